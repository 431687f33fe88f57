"""Circuits and experiments as tables, YAML, dot and pictures; and their check."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import typer
from rich.console import Console, RenderableType
from rich.table import Table

from neurosal import library
from neurosal.checks.circuit import check
from neurosal.checks.memory import constant, own_parameters, parameter_count, parameters
from neurosal.checks.spiking import in_time, refuse_time
from neurosal.cli.in_time import in_short, time_tables
from neurosal.cli.keeping import show_stored, stored
from neurosal.cli.listing import WIDTH, console, in_words, table
from neurosal.cli.scripts import show_script
from neurosal.cli.sources import FAMILIES, assigned, look_up
from neurosal.errors import CircuitError, ExperimentError, NeurosalError, Problem, near
from neurosal.graph.circuit import Circuit
from neurosal.graph.models import Model
from neurosal.graph.projection import Pathway, Projection
from neurosal.graph.value import Value, shown
from neurosal.lower.holding import memory
from neurosal.settings.experiment import Experiment
from neurosal.settings.phases import Phase

FORMATS = ("table", "yaml", "dot", "picture", "memory", "brian2")


def show_source(
    source: str,
    form: str,
    assignments: list[str],
    *,
    out: Path | None,
    rule: str | None,
    options: list[str],
    arm: str | None,
    batch: int = 32,
    recompute: int = 1,
    duration_ms: float = 1000.0,
    dt_ms: float = 0.1,
    seed: int = 0,
) -> None:
    """Print a circuit or an experiment in one of `FORMATS`, or write it to a file.

    Args:
        batch, recompute: samples and segments of the training step whose memory is shown.
        duration_ms, dt_ms, seed: of the simulation that a script for Brian2 makes.

    Raises:
        NeurosalError: for anything that is wrong with it, or with what was asked.
    """
    if form not in FORMATS:
        remedy = near(form, FORMATS)
        raise ExperimentError(
            Problem(place="--format", expected=f"one of {', '.join(FORMATS)}", found=shown(form), remedy=remedy)
        )
    if form == "table" and stored(source) and not assignments:
        show_stored(Path(source))
        return
    value = look_up(source, assignments).readable()
    if isinstance(value, Experiment) and arm is not None:
        value = _circuit_of(value, arm)
    elif arm is not None:
        raise ExperimentError(
            Problem(place="--arm", expected="an experiment, which has arms", found=f"the circuit {source!r}")
        )
    if rule is not None or options:
        value = _with_rule(value, rule, options)
    if isinstance(value, Experiment) and form in ("dot", "picture", "memory", "brian2"):
        remedy = f"Choose one of its arms with --arm: {', '.join(value.arms)}."
        found = f"the experiment {source!r}"
        raise ExperimentError(Problem(place=f"--format {form}", expected="a circuit", found=found, remedy=remedy))
    if form == "picture":
        assert isinstance(value, Circuit)
        _picture(value, out or Path(f"{value.name}.png"))
    elif form == "memory":
        assert isinstance(value, Circuit)
        refuse_time(value)
        _write(f"{memory(check(value), samples=batch, recompute=recompute)}\n", out)
    elif form == "brian2":
        assert isinstance(value, Circuit)
        show_script(check(value), out, _write, duration_ms=duration_ms, dt_ms=dt_ms, seed=seed)
    elif form == "table":
        _print(list(tables(value)), out)
    else:
        assert form == "yaml" or isinstance(value, Circuit)
        _write(value.to_yaml() if form == "yaml" else dot(value), out)  # type: ignore[arg-type]


def _circuit_of(experiment: Experiment, name: str) -> Circuit:
    if name not in experiment.arms:
        raise ExperimentError(
            Problem(
                place="--arm",
                expected="an arm of the experiment",
                found=shown(name),
                remedy=near(name, experiment.arms),
            )
        )
    arm = experiment.arms[name]
    if arm.circuit is not None:
        return arm.circuit
    assert arm.recipe is not None
    return library.build(arm.recipe, place=f"arms.{name}.recipe")


def _with_rule(value: Value, rule: str | None, options: list[str]) -> Circuit:
    if not isinstance(value, Circuit):
        raise ExperimentError(
            Problem(
                place="--rule", expected="a circuit", found="an experiment", remedy="Choose one of its arms with --arm."
            )
        )
    if rule is None:
        raise CircuitError(Problem(place="--option", expected="--rule with it", found="none"))
    given, _, problems = assigned({}, options)
    if problems:
        raise CircuitError(
            [Problem(place="--option", expected="name=value", found=problem.found) for problem in problems]
        )
    return check(library.apply_rule(value, rule, given, place="--rule"))


def check_sources(sources: Iterable[str]) -> None:
    """Say of each source that it is sound, or all that is wrong with it.

    Raises:
        NeurosalError: with the problems of all sources.
    """
    problems: list[Problem] = []
    kinds = set()
    for source in dict.fromkeys(sources):
        found = look_up(source)
        if found.problems:
            kinds.add(found.kind)
            problems += found.problems
        elif found.value is not None:
            typer.echo(f"{source}: {found.kind} {found.value.name!r} is sound ({_in_short(found.value)})")
    if problems:
        raise (FAMILIES[kinds.pop()] if len(kinds) == 1 else NeurosalError)(problems)


def _in_short(value: Circuit | Experiment) -> str:
    if isinstance(value, Circuit):
        if in_time(value):
            return in_short(value)
        own = sum(own_parameters(population) for population in value.populations.values())
        synaptic = parameter_count(value) - own
        counts = f"{len(value.populations)} populations, {len(value.projections)} projections"
        return f"{counts}, {synaptic:,} synaptic parameters"
    return f"{len(value.arms)} arms, {len(value.seeds)} seeds, data {value.data.name}"


# Output --------------------------------------------------------------------------------------------------------------


def _print(parts: list[RenderableType], out: Path | None) -> None:
    if out is None:
        output = console()
        for part in parts:
            output.print(part)
        return
    text = io.StringIO()
    plain = Console(file=text, width=WIDTH, highlight=False, color_system=None)
    for part in parts:
        plain.print(part)
    _write("\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n", out)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as wrong:
        raise unwritable(out, wrong) from None


def unwritable(out: Path, wrong: OSError) -> NeurosalError:
    """The error for a file that cannot be written."""
    return ExperimentError(
        Problem(place=str(out), expected="a file that can be written", found=(wrong.strerror or str(wrong)).lower())
    )


def _picture(circuit: Circuit, out: Path) -> None:
    from neurosal.drawing import ENDINGS, draw

    if out.suffix.lower() not in ENDINGS:
        raise ExperimentError(
            Problem(place=f"--out {out}", expected=f"a name that ends in {', '.join(ENDINGS)}", found=shown(out.suffix))
        )
    try:
        draw(circuit, out)
    except OSError as wrong:
        raise unwritable(out, wrong) from None
    typer.echo(f"Wrote {out}")


# Tables --------------------------------------------------------------------------------------------------------------


def tables(value: Circuit | Experiment) -> Iterable[RenderableType]:
    """What `show` prints of a circuit or an experiment."""
    if isinstance(value, Experiment):
        return _experiment_tables(value)
    return time_tables(value) if in_time(value) else _circuit_tables(value)


def said(model: Model) -> str:
    """A model in a table: its activation, with norm and gain where it has them."""
    text: str = getattr(model, "activation", model.kind)
    norm, gain = getattr(model, "norm", None), getattr(model, "gain", 1.0)
    text += f" of {norm.kind} norm" if norm is not None else ""
    return text + (f", gain {gain:g}" if gain != 1 else "")


def _circuit_tables(circuit: Circuit) -> Iterable[RenderableType]:
    yield f"{circuit!r}\n"
    populations = table("population", "units>", "areas>", "model", "own parameters>")
    for name, population in circuit.populations.items():
        own = own_parameters(population)
        extent = "×".join(f"{size:,}" for size in population.extent)
        populations.add_row(name, extent, str(population.areas), said(population.model), f"{own:,}" if own else "")
    yield populations
    for pathway in get_args(Pathway):
        edges = circuit.select(pathway=pathway)
        if edges:
            yield ""
            yield _projections(circuit, pathway, edges)
    biased = [p.areas * p.channels for p in circuit.populations.values() if "bias" in p.parameters]
    normed = sum(own_parameters(population) for population in circuit.populations.values()) - sum(biased)
    norms = f", {normed:,} of norms" if normed else ""
    yield f"\n{parameter_count(circuit):,} parameters, {sum(biased):,} of them biases{norms}"


def _projections(circuit: Circuit, pathway: str, edges: dict[str, Any]) -> Table:
    rows = table(pathway, "from", "to", "wiring", "areas>", "weights", "plasticity", "parameters>")
    for name, edge in edges.items():
        count = parameters(circuit, name)
        words = (
            in_words(edge.wiring),
            str(circuit.areas_of(name)),
            ("" if edge.wiring.weightless else _weights(edge.weights))
            + (" carries target" if edge.carries == "target" else ""),
            in_words(edge.plasticity),
        )
        rows.add_row(name, edge.source, edge.target, *words, _counted(edge, count))
    return rows


def _counted(edge: Projection, count: int) -> str:
    """How many parameters a projection has, in a table."""
    if edge.wiring.weightless or constant(edge):
        return ""
    return f"{count:,}" if count else "shared"


def _weights(weights: Any) -> str:
    of = getattr(weights, "of", None)
    if of is not None:
        drawn = getattr(weights, "magnitudes", "uniform")
        return f"{weights.kind} of {of}" + (f", {drawn}" if drawn != "uniform" else "")
    init = getattr(weights, "init", None)
    return f"{weights.kind}, {in_words(init)}" if init is not None else str(weights.kind)


def _experiment_tables(experiment: Experiment) -> Iterable[RenderableType]:
    yield f"{experiment.name}: {experiment.title}\n" if experiment.title else f"{experiment.name}\n"
    arms = table("arm", "circuit", "rule", "trained differently", "note")
    for name, arm in experiment.arms.items():
        circuit, rule = (
            (f"{arm.circuit!r}", "as written")
            if arm.recipe is None
            else (_call(arm.recipe.circuit, arm.recipe.arguments), _call(arm.recipe.rule, arm.recipe.options))
        )
        arms.add_row(name, circuit, rule, ", ".join(_flat(arm.training)), arm.note)
    yield arms
    yield ""
    yield from _phases(experiment)
    facts = table("", "")
    facts.show_header = False
    facts.add_row("data", f"{experiment.data!r}")
    facts.add_row("seeds", ", ".join(str(seed) for seed in experiment.seeds))
    for path, values in experiment.vary.items():
        facts.add_row(f"vary {path}", ", ".join(f"{value:g}" for value in values))
    hidden = ("record", "epochs") if experiment.phases else ("record",)
    for line in _flat({key: value for key, value in experiment.training.to_dict().items() if key not in hidden}):
        label, _, text = line.partition("=")
        facts.add_row(label, text)
    for probe in experiment.training.record:
        facts.add_row("record", repr(probe))
    for name, classes in experiment.tasks.items():
        facts.add_row(f"task {name}", ", ".join(str(label) for label in classes))
    facts.add_row("analyses", ", ".join(experiment.analyses))
    yield facts


def _phases(experiment: Experiment) -> Iterable[RenderableType]:
    """The list of phases, and that of each arm which has its own."""
    lists = {"": (experiment.phases, experiment.cycles)}
    lists |= {name: experiment.phases_of(name) for name, arm in experiment.arms.items() if arm.phases is not None}
    for arm, (phases, cycles) in lists.items():
        if not phases:
            continue
        rows = table("phase", "lasts", "driven by", "plastic", "done at its beginning", "trained differently")
        for phase in phases:
            rows.add_row(phase.name, *_phase(phase), ", ".join(_flat(phase.training)))
        yield f"phases{f' of {arm}' if arm else ''}{f', {cycles:,} times' if cycles > 1 else ''}"
        yield rows
        yield ""


def _phase(phase: Phase) -> tuple[str, str, str, str]:
    count, unit = (phase.steps, "step") if phase.epochs is None else (phase.epochs, "epoch")
    drive = "data" if phase.data is None else phase.data.name
    if phase.drive is not None:
        drive = f"noise in {', '.join(phase.drive.populations or ('mirrored populations',))}"
    elif phase.classes is not None:
        drive += f", classes {', '.join(str(label) for label in phase.classes)}"
    plastic = "as the circuit says" if phase.plastic is None else f"only {', '.join(phase.plastic)}"
    plastic += f", not {', '.join(phase.frozen)}" if phase.frozen else ""
    plastic += "".join(f", {name}: {in_words(value)}" for name, value in phase.plasticity.items())
    done = [f"restore {name}" for name in phase.restore]
    done += [f"reset {entry.target}" for entry in phase.reset]
    done += [f"{entry.how} {_share(entry.share)}{entry.target}" for entry in phase.rewire]
    done += [f"lesion {_share(entry.share)}{entry.target}" for entry in phase.lesion]
    return f"{count} {unit}{'' if count == 1 else 's'}", drive, plastic, ", ".join(done)


def _share(share: float | None) -> str:
    return "some of " if share is None else "" if share == 1 else f"{100 * share:g}% of "


def _call(name: str, arguments: Any) -> str:
    return f"{name}({', '.join(f'{key}={_brief(value)}' for key, value in arguments.items())})" if arguments else name


def _brief(value: Any) -> str:
    return str(value["kind"]) if isinstance(value, dict) and list(value) == ["kind"] else str(value)


def _flat(settings: Any, path: str = "") -> list[str]:
    lines = []
    for key, value in settings.items():
        below = f"{path}.{key}" if path else str(key)
        lines += _flat(value, below) if isinstance(value, dict) else [f"{below}={value}"]
    return lines


# Dot -----------------------------------------------------------------------------------------------------------------


def dot(circuit: Circuit) -> str:
    """The circuit in the language of Graphviz, which need not be installed."""
    styles = {
        "feedforward": 'color="#0072b2"',
        "feedback": 'color="#d55e00", constraint=false',
        "lateral": 'color="#000000"',
        "modulatory": 'color="#009e73", style=dotted',
    }
    lines = [f"digraph {_quoted(circuit.name)} {{", "  rankdir=LR;", "  node [shape=box];"]
    for name, population in circuit.populations.items():
        areas = f" × {population.areas} areas" if population.areas > 1 else ""
        extent = "×".join(map(str, population.extent))
        shape = ", shape=ellipse" if population.model.kind == "relay" else ""
        lines.append(f"  {_quoted(name)} [label={_quoted(f'{name}{chr(10)}{extent}{areas}')}{shape}];")
    for name, edge in circuit.projections.items():
        label = _quoted(f"{name}: {edge.weights.kind}, {edge.plasticity.kind}")
        lines.append(f"  {_quoted(edge.source)} -> {_quoted(edge.target)} [tooltip={label}, {styles[edge.pathway]}];")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
