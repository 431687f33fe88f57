"""The training step as one graph: compiled by torch, or captured as a CUDA graph.

The step of a network is traced once for each batch size (and loss, and optimiser), with weights, states and rates as
arguments, so that neither a schedule nor a resumed run traces it again. What is traced has no branch that depends on
numbers: the whole step is one graph, without breaks, or it is refused.

Letters: R replica.
"""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from neurosal.engine.inputs import refuse_labels
from neurosal.engine.learning import Rates
from neurosal.engine.losses import NO_LOSS
from neurosal.engine.tracing import Places, trace
from neurosal.errors import ExperimentError, Problem, near
from neurosal.graph import Block, Circuit
from neurosal.settings.optimizers import Optimizer

if TYPE_CHECKING:
    from neurosal.engine.network import Network

WAYS = ("eager", "compiled", "cuda_graph")
BACKEND = "inductor"
WARM_UP = 3  # steps that run before one is captured, so that libraries have their workspaces
Call = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]  # (rates, target, inputs), (weights, states) → mean


def refuse_way(way: str, device: torch.device, compute: torch.dtype | None = None, segments: int = 1) -> None:
    """Refuse a way to step that there is not, or not here.

    Raises:
        ExperimentError: saying what is missing.
    """
    if way not in WAYS:
        expected = f"one of {', '.join(WAYS)}"
        raise ExperimentError(Problem(place="step", expected=expected, found=repr(way), remedy=near(way, WAYS)))
    if way != "eager" and compute is not None:
        found, remedy = f"{way!r} with products in {str(compute).removeprefix('torch.')}", "Leave out one of the two."
        raise ExperimentError(
            Problem(
                place="step", expected="'eager', or products in the type of the weights", found=found, remedy=remedy
            )
        )
    if way == "compiled" and segments > 1:
        remedy = (
            "The compiler would merge what is computed again with what was computed first; leave out one of the two."
        )
        raise ExperimentError(
            Problem(
                place="step", expected="'eager' with recompute", found=f"{way!r}, recompute={segments}", remedy=remedy
            )
        )
    if way == "cuda_graph" and device.type != "cuda":
        remedy = 'CUDA graphs are of GPUs; step="compiled" compiles for any device.'
        raise ExperimentError(
            Problem(place="step", expected="a GPU for 'cuda_graph'", found=f"device {str(device)!r}", remedy=remedy)
        )
    if way == "compiled" and BACKEND == "inductor" and (missing := missing_compiler(device)):
        remedy = 'Install it (for another C++ compiler set CXX), or use step="eager".'
        raise ExperimentError(Problem(place="step", expected=missing, found="none", remedy=remedy))


def refuse_populations(way: str, circuit: Circuit) -> None:
    """Refuse to make one graph of a step in which populations draw numbers or have torch modules.

    Raises:
        ExperimentError: naming them.
    """
    models = {name: population.model for name, population in circuit.populations.items()}
    drawing = [name for name, model in models.items() if getattr(model, "dropout", 0)]
    modules = [name for name, model in models.items() if isinstance(model, Block)]
    for what, names in (("dropout", drawing), ("a module", modules)):
        if way != "eager" and names:
            found, remedy = f"{way!r}, and {what} in {', '.join(names)}", "Leave out one of the two."
            raise ExperimentError(
                Problem(place="step", expected="'eager' with dropout or a module", found=found, remedy=remedy)
            )


def missing_compiler(device: torch.device) -> str:
    """What torch compiles with on this device, where it is not installed."""
    if device.type == "cuda":
        return "" if find_spec("triton") is not None else "triton, with which torch compiles for GPUs"
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    return "" if shutil.which(compiler) is not None else f"the C++ compiler {compiler}, with which torch compiles"


def refuse_processes(network: Network) -> None:
    """Refuse to share a step that is one graph with other processes.

    Raises:
        ExperimentError: naming the way.
    """
    if network.way != "eager":
        remedy = "Processes wait for each other within a step; leave out one of the two."
        raise ExperimentError(
            Problem(place="step", expected="'eager' with several processes", found=repr(network.way), remedy=remedy)
        )


class TracedSteps:
    """The graphs of one network's step."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.graphs: dict[Any, tuple[Places, Call]] = {}
        self._optimizer: Optimizer | None = None
        self._fixed: Any = None
        self._rates: list[tuple[Any, Tensor]] = []
        self._skips: dict[str, int] = {}

    def step(self, network: Network, x: Any, y: Any, loss: str, optimizer: Optimizer, rates: Rates) -> Tensor:
        """The mean loss of each replica before the step, [R]."""
        batch = network.batch_of(x)
        if (skips := network._sweep.skips) is not self._skips:  # bound again
            if skips.keys() != self._skips.keys():
                self.graphs.clear()
            self._skips = skips
        target = None if loss == NO_LOSS else network._target(batch, y, loss)
        inputs = batch.activity
        given = [*self._tensors(network, optimizer, rates), *(() if target is None else (target,))]
        shapes = tuple((t.shape, t.stride(), t.dtype) for t in (*given, *inputs.values()))
        key = (loss, shapes, self._settings(optimizer))
        if (found := self.graphs.get(key)) is None:
            places = Places(network, optimizer, loss)
            found = self.graphs[key] = places, self._made(trace(network, places, inputs, given, loss, optimizer))
        places, call = found
        with torch.no_grad():
            try:
                return call([*given, *inputs.values()], places.tensors())
            except (IndexError, RuntimeError):
                if target is not None:
                    refuse_labels(target, loss, network._outputs)
                raise

    def _tensors(self, network: Network, optimizer: Optimizer, rates: Rates) -> list[Tensor]:
        """The rates as tensors [R], so that another rate is not another graph; no decay where there never is any."""
        wanted = [rates.lr] if optimizer.weight_decay == 0 else [rates.lr, rates.decay]
        if len(self._rates) != len(wanted):
            empty = [torch.zeros(network.replicas, dtype=torch.float64, device=network.device) for _ in wanted]
            self._rates = [(None, tensor) for tensor in empty]
        for index, (value, (known, tensor)) in enumerate(zip(wanted, self._rates, strict=True)):
            if isinstance(value, Tensor):
                tensor.copy_(value)
            elif value != known:
                tensor.fill_(value)
                self._rates[index] = (value, tensor)
        return [tensor for _, tensor in self._rates]

    def _settings(self, optimizer: Optimizer) -> Any:
        """What of an optimiser is a number in the graph: all but its rates."""
        if optimizer is not self._optimizer:
            decays = float(optimizer.weight_decay != 0)
            self._fixed = optimizer.replace(lr=0.0, weight_decay=decays, schedule=None, decay_schedule=None)
            self._optimizer = optimizer
        return self._fixed

    def _made(self, graph: GraphModule) -> Call:
        if self.way == "cuda_graph":
            return Replayed(graph)
        return Compiled(graph, BACKEND)


class Compiled:
    """A graph that torch compiles when it is first called."""

    def __init__(self, graph: GraphModule, backend: Any) -> None:
        self._call = torch.compile(graph, fullgraph=True, dynamic=False, backend=backend)
        self._compiled = False

    def __call__(self, given: Sequence[Tensor], state: Sequence[Tensor]) -> Tensor:
        found: Tensor
        if self._compiled:
            found = self._call(*given, *state)
            return found
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's compiler uses what torch has deprecated
            try:
                found = self._call(*given, *state)
            except Exception as error:
                if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                    raise
                raise ExperimentError(_failure(error)) from error
        self._compiled = True
        return found


def _failure(error: Exception) -> Problem:
    lines = str(error).strip().splitlines()
    found = f"{type(error).__name__}: {lines[0] if lines else ''}"
    remedy = 'step="eager" does without; please report what the compiler says.'
    return Problem(place="step", expected="a step that torch compiles", found=found, remedy=remedy)


class Replayed:
    """A graph that runs as it is a few times, is then captured, and from then on replayed.

    The first steps are real ones, on a stream of their own, so nothing needs to be put back. Inputs, target and rates
    are copied into buffers that stay; weights and states are read and written where they are, and the graph is captured
    again where one of them has moved.
    """

    def __init__(self, graph: GraphModule) -> None:
        self._graph, self._done = graph, 0
        self._replay: Callable[[], Any] | None = None
        self._buffers: list[Tensor] = []
        self._state: list[Tensor] = []
        self._mean = torch.empty(0)

    def __call__(self, given: Sequence[Tensor], state: Sequence[Tensor]) -> Tensor:
        if self._done < WARM_UP:
            self._done += 1
            return self._beside(given, state)
        if self._replay is None or any(mine is not other for mine, other in zip(self._state, state, strict=True)):
            self._buffers, self._state = [value.clone() for value in given], list(state)
            self._replay, self._mean = self._capture()
        else:
            for buffer, value in zip(self._buffers, given, strict=True):
                buffer.copy_(value)
        self._replay()
        return self._mean.clone()

    def _capture(self) -> tuple[Callable[[], Any], Tensor]:
        """What runs the graph on its buffers again, and where the mean loss is then; it does not run here."""
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            mean: Tensor = self._graph(*self._buffers, *self._state)
        return captured.replay, mean

    def _beside(self, given: Sequence[Tensor], state: Sequence[Tensor]) -> Tensor:
        """One step on another stream, as capturing wants it."""
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            mean: Tensor = self._graph(*given, *state)
        torch.cuda.current_stream().wait_stream(beside)
        return mean
