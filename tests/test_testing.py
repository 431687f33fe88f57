"""The shipped contract of rules: all of ours keep it, and a rule that breaks a promise is caught by that promise."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import pytest

from neurosal import rules
from neurosal.errors import NeurosalError
from neurosal.graph import Circuit, Plasticity, Projection, XavierUniform
from neurosal.rules.base import add_feedback, own
from neurosal.testing import RULE_CHECKS, BrokenPromise, check_rule
from tests.rules.table import TABLE, Case


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_our_own_rules_keep_the_contract(case: Case) -> None:
    check_rule(case.make, rate=0.01 if "sum" in case.name else 0.1)


def test_rules_are_found_by_name_with_options_and_another_circuit() -> None:
    from tests.runner.making import two_inputs

    check_rule("sal", options={"areas": 2, "rank": 3}, only=["is_pure", "round_trips"])
    check_rule("kp", circuit=two_inputs())


def broken_by(rule: Any, **options: Any) -> set[str]:
    with pytest.raises(BrokenPromise) as caught:
        check_rule(rule, **options)
    return {problem.place.partition(":")[0] for problem in caught.value.problems}


class OfATest(Plasticity):
    """What ways back of broken rules share: the change of Kolen-Pollack."""

    needs: ClassVar[frozenset[str]] = frozenset({"post_activity", "pre_error"})

    def product_of(self, local: Any) -> Any:
        return local.correlate(local.post_activity, local.pre_error)


class Sociable(OfATest):
    """Replicas take the mean of their changes."""

    kind: ClassVar[str] = "sociable_of_a_test"

    def update(self, local: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        change = self.product_of(local)
        return change.mean(0, keepdim=True).expand_as(change), state


class Forgetful(OfATest):
    """Counts its steps where no checkpoint looks."""

    kind: ClassVar[str] = "forgetful_of_a_test"
    count: ClassVar[Any] = itertools.count(1)

    def update(self, local: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return self.product_of(local) / next(self.count), state


def back_with(plasticity: Plasticity) -> Any:
    def broken(circuit: Circuit) -> Circuit:
        for name, entry in circuit.select(pathway="feedforward").items():
            if entry.source not in circuit.inputs:
                circuit = add_feedback(circuit, name, own(circuit, name, XavierUniform()), plasticity)
        return circuit

    return broken


def test_replicas_that_hear_of_each_other_are_caught() -> None:
    assert {"replica_is_that_seed_alone", "diverging_replica_harms_no_other"} <= broken_by(back_with(Sociable()))


def test_state_beside_the_state_is_caught() -> None:
    assert "goes_on_to_the_same_bits" in broken_by(back_with(Forgetful()))


def open_ended(circuit: Circuit, **_: Any) -> Circuit:
    return rules.fa(circuit)


def forgets_a_layer(circuit: Circuit) -> Circuit:
    return rules.fa(circuit.without(["hidden1_to_hidden2"]).with_projections(
        bypass=Projection(source="hidden1", target="hidden2")
    ))  # fmt: skip


def dangling(circuit: Circuit) -> Circuit:
    return circuit.with_projections(nowhere=Projection(source="output", target="hidden9", pathway="feedback"))


def failing(circuit: Circuit) -> Circuit:
    raise RuntimeError("not today")


@pytest.mark.parametrize(
    ("rule", "promise"),
    [
        (open_ended, "refuses_unknown_options"),
        (forgets_a_layer, "keeps_forward_graph"),
        (forgets_a_layer, "starts_from_the_same_weights"),
        (dangling, "passes_the_checks"),
    ],
)
def test_a_broken_promise_is_told_by_its_name(rule: Any, promise: str) -> None:
    assert promise in broken_by(rule)


def test_a_rule_of_chance_is_not_pure() -> None:
    turns = itertools.count()

    def moody(circuit: Circuit) -> Circuit:
        return (rules.fa, rules.kp)[next(turns) % 2](circuit)

    assert "is_pure" in broken_by(moody, only="is_pure")


def test_a_rule_that_fails_fails_every_promise_and_is_quoted() -> None:
    with pytest.raises(BrokenPromise, match="RuntimeError: not today") as caught:
        check_rule(failing)
    assert {problem.place.partition(":")[0] for problem in caught.value.problems} == {*RULE_CHECKS} - {
        "refuses_unknown_options"
    }


def test_no_learning_is_caught() -> None:
    assert "lowers_the_loss" in broken_by(rules.bp, rate=0.0, only="lowers_the_loss")


def test_an_unknown_promise_is_refused_with_near_names() -> None:
    with pytest.raises(NeurosalError, match="Did you mean 'round_trips'"):
        check_rule(rules.fa, only="round_trip")
