"""The equations of each population with those of the synapses that end there put in."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from neurosal.errors import CircuitError, Problem, near
from neurosal.graph import Circuit, Dynamical, Dynamics, Emitter, Joined
from neurosal.graph.dynamics import names_in, renamed


@dataclass(frozen=True)
class Assembled:
    """A population as engines see it.

    Attributes:
        dynamics: closed equations, without ports; None for sources of spikes.
        lands: projection that ends here → state variable that its spikes change, or, for continuous ones, the name
            in the equations that stands for its sum.
        hears: continuous projection → variable of its source.
    """

    dynamics: Dynamics | None
    lands: Mapping[str, str] = field(default_factory=dict)
    hears: Mapping[str, str] = field(default_factory=dict)


def assemble(circuit: Circuit) -> dict[str, Assembled]:
    """Every population of a circuit in continuous time, by name.

    Raises:
        CircuitError: for populations without equations, projections without a synapse, and synapses that their target
            cannot take.
    """
    problems: list[Problem] = []
    found: dict[str, Assembled] = {}
    for name, population in circuit.populations.items():
        model = population.model
        if isinstance(model, Dynamical):
            found[name] = _joined(circuit, name, model.dynamics(), problems)
        elif isinstance(model, Emitter):
            found[name] = Assembled(None)
        else:
            problems.append(
                Problem(
                    place=f"populations.{name}.model",
                    expected="a model in continuous time, or a source of spikes",
                    found=model.kind,
                    remedy="Circuits of rates without time are trained; see `neurosal.train`.",
                )
            )
    if problems:
        raise CircuitError(problems)
    return found


def _joined(circuit: Circuit, population: str, model: Dynamics, problems: list[Problem]) -> Assembled:
    equations, constants, start = dict(model.equations), dict(model.constants), dict(model.start)
    added: dict[str, list[str]] = {port: [] for port in model.ports}
    lands: dict[str, str] = {}
    hears: dict[str, str] = {}
    known: dict[object, Joined] = {}
    for name, edge in circuit.select(target=population).items():
        place = f"projections.{name}.synapse"
        if edge.synapse is None:
            problems.append(Problem(place=place, expected="what its spikes do at the target", found="nothing",
                                    remedy="Give it a synapse, such as exponential_current."))  # fmt: skip
            continue
        same = edge.synapse if not edge.synapse.joined("x").continuous else name
        if same not in known:
            known[same] = joined = edge.synapse.joined(edge.synapse.receptor or name.replace("-", "_"))
            for port, expression in joined.adds.items():
                if port not in added:
                    problems.append(Problem(place=place, expected=f"a synapse that {population!r} can take",
                                            found=f"{edge.synapse.kind}, which adds to {port}",
                                            remedy=near(port, added)))  # fmt: skip
                added.setdefault(port, []).append(expression)
            clash = (set(joined.equations) & set(equations)) | {
                key for key, value in joined.constants.items() if constants.get(key, value) != value
            }
            if clash:
                problems.append(Problem(place=place, expected="names of its own",
                                        found=f"{', '.join(sorted(clash))} a second time",
                                        remedy="Give it another receptor."))  # fmt: skip
            equations |= joined.equations
            constants |= joined.constants
            start |= joined.start
        joined = known[same]
        lands[name] = joined.lands
        if joined.continuous:
            hears[name] = joined.continuous
        elif joined.lands not in equations:
            problems.append(Problem(place=place, expected=f"a state variable of {population!r}",
                                    found=repr(joined.lands), remedy=near(joined.lands, equations)))  # fmt: skip
    sums = {port: " + ".join(parts) or "0.0" for port, parts in added.items()}
    closed = {variable: _tidy(renamed(text, sums)) for variable, text in equations.items()}
    texts = (*closed.values(), model.threshold or "0", *model.reset)
    used = frozenset(value for value in model.start.values() if isinstance(value, str)).union(*map(names_in, texts))
    return Assembled(
        replace(
            model,
            equations=closed,
            constants={name: value for name, value in constants.items() if name in used},
            start=start,
            ports=(),
        ),
        lands,
        hears,
    )


def _tidy(text: str) -> str:
    """Without sums of nothing, whatever they are divided by or multiplied with.

    Example:
        >>> _tidy("(e_mv - v_mv + (0.0)) / tau_ms + (bias_pa + 0.0) / c_pf + 0.0 / c_pf")
        '(e_mv - v_mv) / tau_ms + bias_pa / c_pf'
    """

    def nothing(node: ast.expr) -> bool:
        return isinstance(node, ast.Constant) and node.value == 0.0 and isinstance(node.value, float)

    class Tidy(ast.NodeTransformer):
        def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
            self.generic_visit(node)
            if isinstance(node.op, (ast.Add, ast.Sub)) and nothing(node.right):
                return node.left
            if isinstance(node.op, ast.Add) and nothing(node.left):
                return node.right
            if isinstance(node.op, (ast.Mult, ast.Div)) and nothing(node.left):
                return node.left
            return node

    return ast.unparse(Tidy().visit(ast.parse(text, mode="eval")))
