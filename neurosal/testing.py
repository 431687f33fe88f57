"""The contract that every learning rule keeps, for the tests of your own: `check_rule(rule)`.

A rule is a function ``circuit → circuit``. What experiments rely on is not in its signature: that it changes nothing it
was given, that its circuit can be stored and read back, that a replica of a batch is that seed alone, that a step asks
autograd for nothing. Each check is a function of `RULE_CHECKS` that yields what is wrong.

Example:
    >>> from neurosal import rules
    >>> from neurosal.testing import check_rule
    >>> check_rule(rules.fa)

With pytest, one test a promise::

    @pytest.mark.parametrize("promise", RULE_CHECKS)
    def test_my_rule_keeps(promise):
        check_rule(my_rule, only=promise)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from neurosal import library, rules
from neurosal.checks import check
from neurosal.errors import NeurosalError, Problem, near
from neurosal.graph import Circuit
from neurosal.graph.files import to_yaml
from neurosal.graph.value import shown
from neurosal.settings import SGD, Optimizer

if TYPE_CHECKING:
    from neurosal.engine.network import Network

Rule = Callable[..., Circuit]
STEPS, SAMPLES = 5, 6
LARGEST_GAP = 1e-10  # of a replica in a batch to the same seed alone, in float64


class BrokenPromise(NeurosalError):
    """A rule that does not keep the contract."""

    what = "the rule"


@dataclass(frozen=True, kw_only=True)
class RuleCase:
    """A rule under test.

    Args:
        rule: ``rule(circuit, **options) → circuit``.
        options: of the rule.
        circuit: what it is applied to.
        rate: learning rate of the steps.
    """

    rule: Rule
    circuit: Circuit
    options: Mapping[str, Any] = field(default_factory=dict)
    rate: float = 0.1

    @property
    def name(self) -> str:
        """What messages call the rule."""
        return str(getattr(self.rule, "__name__", self.rule))

    def made(self) -> Circuit:
        """The circuit that the rule makes."""
        return self.rule(self.circuit, **self.options)

    def network(self, *seeds: int) -> Network:
        """Its network in float64."""
        from neurosal.engine.network import compile as compile_circuit

        return compile_circuit(self.made(), seeds=seeds, device="cpu", dtype="float64")

    def optimizer(self, *factors: float) -> Optimizer:
        """A rate for each replica, with momentum and decay."""
        return SGD(lr=tuple(self.rate * factor for factor in factors), momentum=0.5, weight_decay=1e-3)

    def batches(self, replicas: int, count: int = STEPS) -> list[tuple[Any, Any]]:
        """Inputs [R, N, I] (by population where there are several) and labels [R, N], the same at every call."""
        import torch

        random = torch.Generator().manual_seed(0)
        classes = self.circuit.populations[self.circuit.output].units
        found = []
        for _ in range(count):
            x = {
                name: torch.randn(
                    replicas, SAMPLES, self.circuit.populations[name].units, generator=random, dtype=torch.float64
                )
                for name in self.circuit.inputs
            }
            labels = torch.randint(classes, (replicas, SAMPLES), generator=random)
            found.append((x if len(x) > 1 else next(iter(x.values())), labels))
        return found

    def wrong(self, expected: str, found: str, remedy: str = "") -> Problem:
        """A broken promise."""
        return Problem(place=self.name, expected=expected, found=found, remedy=remedy)


Check = Callable[[RuleCase], Iterator[Problem]]


def check_rule(
    rule: Rule | str,
    *,
    circuit: Circuit | None = None,
    options: Mapping[str, Any] | None = None,
    rate: float = 0.1,
    only: str | Iterable[str] | None = None,
) -> None:
    """Hold a rule to the contract; every promise that it breaks is told at once.

    Args:
        rule: the function, or the name that it is registered by.
        circuit: to apply it to, with labels as targets; None for a small perceptron with two hidden layers.
        options: of the rule.
        rate: learning rate of the steps that are taken; every replica takes another one near it.
        only: names of promises (keys of `RULE_CHECKS`); None for all.

    Raises:
        BrokenPromise: with a problem for each.
    """
    wanted = list(RULE_CHECKS) if only is None else [only] if isinstance(only, str) else list(only)
    if unknown := [name for name in wanted if name not in RULE_CHECKS]:
        problems = [
            Problem(place="only", expected="a promise", found=shown(name), remedy=near(name, RULE_CHECKS))
            for name in unknown
        ]
        raise BrokenPromise(problems)
    function = library.find("rules", rule) if isinstance(rule, str) else rule
    if circuit is None:
        circuit = library.find("circuits", "mlp")(4, 6, 5, 3, activation="tanh")
    case = RuleCase(rule=function, circuit=circuit, options=dict(options or {}), rate=rate)
    if found := [problem for name in wanted for problem in _told(name, case)]:
        raise BrokenPromise(found)


def _told(name: str, case: RuleCase) -> list[Problem]:
    """What one check finds, under its name; what it runs into counts too."""
    try:
        found = list(RULE_CHECKS[name](case))
    except NeurosalError as wrong:
        found = list(wrong.problems) or [case.wrong("no error", str(wrong))]
    except Exception as wrong:
        found = [case.wrong("no error", f"{type(wrong).__name__}: {wrong}")]
    return [
        Problem(place=f"{name}: {one.place}", expected=one.expected, found=one.found, remedy=one.remedy)
        for one in found
    ]


# The graph -----------------------------------------------------------------------------------------------------------


def is_pure(case: RuleCase) -> Iterator[Problem]:
    """The same circuit gives the same circuit, and is left as it was."""
    before = to_yaml(case.circuit.to_dict())
    if case.made() != case.made():
        yield case.wrong("the same circuit at every call", "another one", "Take randomness from initialisers.")
    if to_yaml(case.circuit.to_dict()) != before:
        yield case.wrong("a circuit that is left as it was", "a changed one", "Make a new one: circuit.with_...")


def keeps_forward_graph(case: RuleCase) -> Iterator[Problem]:
    """Populations and feedforward projections stay, with their sizes, models, ends and wiring."""
    made = case.made()
    for name, population in case.circuit.populations.items():
        now = made.populations.get(name)
        if now is None or (now.units, now.model) != (population.units, population.model):
            yield case.wrong(f"population {name!r} as it was", "none" if now is None else repr(now))
    for name, edge in case.circuit.select(pathway="feedforward").items():
        there = made.projections.get(name)
        parts = [(entry.source, entry.target, entry.pathway, entry.wiring) for entry in (edge, there) if entry]
        if len(parts) < 2 or parts[0] != parts[1]:
            yield case.wrong(f"projection {name!r} as it was", "none" if there is None else repr(there))


def passes_the_checks(case: RuleCase) -> Iterator[Problem]:
    """What it makes is a sound circuit."""
    check(case.made())
    return iter(())


def round_trips(case: RuleCase) -> Iterator[Problem]:
    """What it makes can be stored and read back equal."""
    made = case.made()
    if Circuit.from_dict(made.to_dict()) != made:
        yield case.wrong("the same circuit from its dict", "another one")
    if Circuit.from_yaml(made.to_yaml()) != made:
        yield case.wrong("the same circuit from its YAML", "another one")


def refuses_unknown_options(case: RuleCase) -> Iterator[Problem]:
    """An option that it does not have is refused, not ignored."""
    try:
        case.rule(case.circuit, **{**case.options, "no_such_option": 1})
    except (TypeError, NeurosalError):
        return
    yield case.wrong("an error for an option that it does not have", "none", "Leave **options out of its signature.")


# The network ---------------------------------------------------------------------------------------------------------


def starts_from_the_same_weights(case: RuleCase) -> Iterator[Problem]:
    """Forward weights start as those of backpropagation: rules are compared from one start, seed by seed."""
    import torch

    mine = case.network(3, 4)
    plain = RuleCase(rule=rules.bp, circuit=case.circuit.without(list(case.circuit.select(pathway="feedback"))))
    other = plain.network(3, 4)
    for name in case.circuit.select(pathway="feedforward"):
        if not torch.equal(mine.weights[name][:, :1], other.weights[name][:, :1]):
            yield case.wrong(f"the first weights of {name!r} as they are under bp", "others")


def learns_without_autograd(case: RuleCase) -> Iterator[Problem]:
    """A step moves forward weights, leaves finite numbers, and builds no graph for autograd."""
    import torch

    network, (x, y) = case.network(0, 1), case.batches(2, 1)[0]
    start = {name: tensor.clone() for name, tensor in network.parameters("feedforward").items()}
    inputs = list(x.values()) if isinstance(x, dict) else [x]
    for entry in inputs:
        entry.requires_grad_()  # any operation that records would now record

    def refuse(_: Any) -> Any:
        raise BrokenPromise(case.wrong("no graph for autograd", "a tensor saved for a backward pass"))

    with torch.autograd.graph.saved_tensors_hooks(refuse, refuse):
        loss = network.step(x, y, optimizer=case.optimizer(1, 2))
    tensors = {"loss": loss, **network.state_dict()}
    if recorded := [name for name, tensor in tensors.items() if tensor.requires_grad]:
        yield case.wrong("tensors without a gradient", ", ".join(recorded))
    if lost := [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor.double()).all())]:
        yield case.wrong("finite numbers after one step", f"others in {', '.join(lost)}")
    if all(torch.equal(tensor, start[name]) for name, tensor in network.parameters("feedforward").items()):
        yield case.wrong("forward weights that change", "none that does")


def replica_is_that_seed_alone(case: RuleCase) -> Iterator[Problem]:
    """A replica among others, each with its seed and rate, is that seed trained alone."""
    together, factors, seeds = case.network(0, 1, 2), (1.0, 0.5, 2.0), (0, 1, 2)
    alone = {place: case.network(seeds[place]) for place in (0, 2)}
    for x, y in case.batches(3):
        together.step(x, y, optimizer=case.optimizer(*factors))
        for place, network in alone.items():
            own = {name: rows[place : place + 1] for name, rows in x.items()} if isinstance(x, dict) else x[place][None]
            network.step(own, y[place][None], optimizer=case.optimizer(factors[place]))
    for place, network in alone.items():
        for name, tensor in network.parameters().items():
            gap = float((together.parameters()[name][place] - tensor[0]).abs().max())
            if not gap <= LARGEST_GAP:
                remedy = "Sum over samples, never over replicas (the first axis)."
                yield case.wrong(f"{name!r} of replica {place} as of its seed alone", f"a gap of {gap:.2g}", remedy)


def diverging_replica_harms_no_other(case: RuleCase) -> Iterator[Problem]:
    """A replica whose numbers are lost leaves the others as they are."""
    clean, sick = case.network(0, 1), case.network(0, 1)
    for weight in sick.parameters("feedforward").values():
        weight[1] = float("nan")
    for x, y in case.batches(2):
        for network in (clean, sick):
            network.step(x, y, optimizer=case.optimizer(1, 1))
    for name, tensor in clean.parameters().items():
        # Where areas are chosen, kernels of another shape may round otherwise.
        if not bool(((tensor[0] - sick.parameters()[name][0]).abs() <= LARGEST_GAP).all()):
            yield case.wrong(f"{name!r} of the sound replica as without the other", "another one")


def goes_on_to_the_same_bits(case: RuleCase) -> Iterator[Problem]:
    """State that was stored and loaded, or copied, goes on to the same bits."""
    import torch

    network, optimizer = case.network(0, 1), case.optimizer(1, 2)
    batches = case.batches(2)
    for x, y in batches[:2]:
        network.step(x, y, optimizer=optimizer)
    stored = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    loaded, copied = case.network(0, 1), copy.deepcopy(network)
    for x, y in batches[:1]:
        loaded.step(x, y, optimizer=optimizer)  # so that there is state to be replaced
    loaded.load_state_dict(stored)
    for x, y in batches[2:]:
        for each in (network, loaded, copied):
            each.step(x, y, optimizer=optimizer)
    for how, each in (("loaded", loaded), ("copied", copied)):
        state = each.state_dict()
        if different := [name for name, value in network.state_dict().items() if not torch.equal(value, state[name])]:
            remedy = "Keep what changes in the plasticity's state, not in its attributes."
            yield case.wrong(f"the same bits from {how} state", f"others in {', '.join(different)}", remedy)


def lowers_the_loss(case: RuleCase) -> Iterator[Problem]:
    """On one small batch the loss falls."""
    network, (x, y) = case.network(0, 1, 2), case.batches(3, 1)[0]
    losses = [network.step(x, y, optimizer=SGD(lr=case.rate)) for _ in range(60)]
    if not bool((losses[-1] < losses[0]).all()):
        told = ", ".join(f"{float(a):.3g} → {float(b):.3g}" for a, b in zip(losses[0], losses[-1], strict=True))
        yield case.wrong("a loss that falls in 60 steps", told, "Try another rate: check_rule(rule, rate=0.01).")


RULE_CHECKS: dict[str, Check] = {
    function.__name__: function
    for function in (
        is_pure,
        keeps_forward_graph,
        passes_the_checks,
        round_trips,
        refuses_unknown_options,
        starts_from_the_same_weights,
        learns_without_autograd,
        replica_is_that_seed_alone,
        diverging_replica_harms_no_other,
        goes_on_to_the_same_bits,
        lowers_the_loss,
    )
}
