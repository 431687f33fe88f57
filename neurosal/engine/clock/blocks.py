"""Units that are updated together: populations with the same equations, in all replicas.

Units of a block are numbered population by population, then replica by replica: ``first[population] + replica * units
+ unit``. Eager, the update costs what its bytes cost: linear equations are updated in place, one pass for each term.
Compiled by torch, on a GPU, all is one pass, which also leaves the largest of every `SPAN` flags, so that spikes, which
are few, are found without reading all flags. On a processor `native` compiles it.

Letters: R replicas, M units of a block in all replicas, V state variables, L spikes.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from ctypes import CDLL
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.clock.laws import Form, Law, linear
from neurosal.engine.clock.native import Equations, Units, Varying
from neurosal.engine.clock.sources import kept, load
from neurosal.engine.clock.texts import assigned, function
from neurosal.errors import ExperimentError, Problem
from neurosal.graph import Timed
from neurosal.graph.dynamics import names_in
from neurosal.lower.spiking import Realised

SPAN = 64
LARGE = 16384  # units from which flags are read eight at a time
Value = float | Tensor


class Block:
    """Populations with the same equations.

    Args:
        laws: of its populations.
        realised: one for each replica.
        state: where its state lies, [V, M].
        opens: 1 for units that are not in refractory time and have not just spiked, [M]; equal tensors, in places where
            they are wanted; none where no unit ever is.
        compiled: whether torch compiles the update to one graph.

    Attributes:
        laws: as above.
        first: population → its first unit.
        native: what makes its steps in place of torch, once `attach` was called.
        history: spikes of the last step, of the one before, …, each [L], sorted.
    """

    def __init__(self, laws: Mapping[str, Law], realised: Sequence[Realised], state: Tensor, opens: Sequence[Tensor],
                 compiled: bool) -> None:  # fmt: skip
        self.laws, self._realised = laws, realised
        self._form: Form = next(iter(laws.values())).form
        self.size, self.dt_ms = state.shape[1], realised[0].dt_ms
        self.first, first = {}, 0
        for name in laws:
            self.first[name] = first
            first += len(realised) * realised[0].units(name)
        self._whole, self._opens, self._compiled = state, list(opens), compiled
        self._state = list(state)
        self._open = self._opens[0] if opens else None
        self._given: list[Tensor] = []
        self._none = torch.empty(0, dtype=torch.int64, device=state.device)
        self.history: deque[Tensor] = deque(maxlen=max(1, self._form.refractory))
        self._inputs: list[Value] = self._first_inputs(state)
        numbers = {f"k{k}": self._merged(k, state) for k in range(self._form.numbers)}
        self._numbers = {k: value for k, value in numbers.items() if isinstance(value, float)}
        self._single = {k: value for k, value in numbers.items() if isinstance(value, Tensor)}
        self._steps = {key: Table(entry, self.dt_ms, state) for key, entry in self._timed().items()}
        self.native: Units | None = None
        self._make(state)

    # What it is made of ----------------------------------------------------------------------------------------------

    def _timed(self) -> dict[int, Timed]:
        """Number of an input → how it changes with time. Populations with such inputs stand alone."""
        name, law = next(iter(self.laws.items()))
        dynamics = self._realised[0].populations[name].dynamics
        assert dynamics is not None
        return {place: dynamics.timed[key] for place, key in enumerate(law.inputs) if key in dynamics.timed}

    def _first_inputs(self, state: Tensor) -> list[Value]:
        """Constants of single units, [M]; 0 for what changes, until it is known."""
        found: list[Value] = []
        for place in range(self._form.inputs):
            parts = [entry.constants[name][law.inputs[place]] for name, law in self.laws.items()
                     for entry in self._realised if law.inputs[place] in entry.constants[name]]  # fmt: skip
            known = torch.as_tensor(np.concatenate(parts), dtype=state.dtype, device=state.device) if parts else 0.0
            found.append(known)
        return found

    def _merged(self, number: int, state: Tensor) -> Value:
        """A number of the equations: one for all, or, where populations differ, one for each unit."""
        values = [law.numbers[number] for law in self.laws.values()]
        if len(set(values)) == 1:
            return values[0]
        counts = [len(self._realised) * self._realised[0].units(name) for name in self.laws]
        return torch.as_tensor(np.repeat(values, counts), dtype=state.dtype, device=state.device)

    def _make(self, state: Tensor) -> None:
        form = self._form
        xs, cs, ks = [f"x{k}" for k in range(form.states)], [f"c{k}" for k in range(form.inputs)], list(self._single)
        names = [*xs, *cs, *ks]
        self._places = {x: k for k, x in enumerate(xs)}
        everything = [f"new_{x}" for x in xs]
        free = function("free", names, form.free, everything, self._numbers)
        resting = function("resting", names, form.resting, [f"new_{x}" for x in form.differs], self._numbers) \
            if form.differs else None  # fmt: skip
        threshold = function("threshold", names, [f"fired = {form.threshold}"], ["fired"], self._numbers) \
            if form.threshold else None  # fmt: skip
        self._free, self._resting, self._threshold = free, resting, threshold
        self._changed = [name for name in assigned(form.reset) if name in self._places]
        reads = frozenset().union(*map(names_in, form.reset))
        self._reads = [name for name in names if name in reads]
        self._reset = function("reset", self._reads, form.reset, self._changed, self._numbers)
        self._in_place = None if ks else linear(form, self._numbers)
        self._span = next((span for span in (SPAN, 32, 16, 8) if self.size % span == 0), 1)
        if self._compiled and form.threshold:
            self._fused = _fused(form, names, free, resting, threshold, state.dtype)

    @property
    def equations(self) -> Equations:
        """What a program for processors is written from."""
        inputs = [*(f"c{k}" for k in range(self._form.inputs)), *self._single]
        single = frozenset(f"c{k}" for k, table in self._steps.items() if table.values.ndim == 1)
        return Equations(self._form, self._numbers, inputs, single)

    def attach(self, program: CDLL, law: int) -> None:
        """Have a program make the steps.

        Args:
            law: number of the block's equations in it.
        """
        varying = []
        for place, value in enumerate([*self._inputs, *self._single.values()]):
            if place in self._steps:
                varying.append(Varying(self._steps[place].values, self._steps[place].every))
            else:
                varying.append(Varying(value if isinstance(value, Tensor) else None))
        units = [self._realised[0].units(name) for name in self.first]
        self.native = Units(program, law, self._whole, self._opens, list(self.first.values()), units,
                            len(self._realised), self._form.refractory, varying)  # fmt: skip

    # One step --------------------------------------------------------------------------------------------------------

    def update(self, now: int, sums: Mapping[int, Tensor]) -> None:
        """State from the start of the step to its end, and the spikes at that end.

        Args:
            sums: number of an input → what units hear, [M].
        """
        form, over = self._form, None
        if len(self.history) >= form.refractory and self._opens:
            over = self.history[form.refractory - 1]
        if self.native is not None:
            for place, total in sums.items():
                self.native.hear(place, total)
            self.history.appendleft(self.native.update(now, over))
            return
        for place, table in self._steps.items():
            self._inputs[place] = table(now)
        for place, total in sums.items():
            self._inputs[place] = total
        if self._steps or sums:
            self._given = []
        if over is not None:
            self._gate(over, 1)
        if self._compiled and form.threshold:
            spikes = self._run_fused()
        else:
            if self._in_place is not None:
                self._run_linear()
            else:
                self._run_any()
            spikes = self._fired()
        if self._opens:
            self._gate(spikes, 0)
        self.history.appendleft(spikes)

    def _gate(self, spikes: Tensor, open_: int) -> None:
        if len(spikes):
            for gate in self._opens:
                gate.index_fill_(0, spikes, open_)

    def _run_linear(self) -> None:
        assert self._in_place is not None
        for x, terms, constant in self._in_place:
            old = self._state[self._places[x]]
            still = self._open is not None and x in self._form.held
            own = next((factor for factor, name in terms if name == x), 0.0)
            new = old * own if still else old if own == 1 else old.mul_(own)
            for factor, name in terms:
                if name != x:
                    value = self._value(name)
                    if isinstance(value, Tensor):
                        new.add_(value, alpha=factor)
                    else:
                        constant += factor * value
            if constant:
                new.add_(constant)
            if still:
                assert self._open is not None
                torch.where(self._open, new, old, out=old)

    def _run_any(self) -> None:
        given = (*self._state, *self._inputs, *self._single.values())
        fresh = list(self._free(*given))
        if self._open is not None and self._resting is not None:
            for x, value in zip(self._form.differs, self._resting(*given), strict=True):
                place = self._places[x]
                fresh[place] = torch.where(self._open, fresh[place], value)
        for old, new in zip(self._state, fresh, strict=True):
            old.copy_(new) if isinstance(new, Tensor) else old.fill_(new)

    def _fired(self) -> Tensor:
        """Which units spike, [L]."""
        if self._threshold is None:
            return self._none
        (fired,) = self._threshold(*self._state, *self._inputs, *self._single.values())
        if self._open is not None:
            fired.logical_and_(self._open)
        if self.size < LARGE or self.size % 8:
            return fired.nonzero().squeeze(1)
        return _found(fired, fired.view(torch.int64), 8)

    @torch.no_grad()
    def prepare(self) -> None:
        """Compile, if that is wanted, and leave all as it was.

        Raises:
            ExperimentError: with what the compiler said.
        """
        if not (self._compiled and self._form.threshold):
            return
        before = [value.clone() for value in self._state]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's compiler uses what torch has deprecated
            try:
                self._run_fused()
            except Exception as error:
                if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                    raise
                said = (str(error).strip().splitlines() or [""])[-1]
                raise ExperimentError(
                    Problem(place="compiled", expected="equations that torch compiles", found=said[:200],
                            remedy="Leave compiled=False, which computes the same.")
                ) from error  # fmt: skip
        for value, old in zip(self._state, before, strict=True):
            value.copy_(old)

    def _run_fused(self) -> Tensor:
        def shaped(value: Value) -> Tensor:
            if isinstance(value, Tensor):
                return value.view(-1, self._span)
            return torch.tensor(value, dtype=self._state[0].dtype, device=self._state[0].device)

        if not self._given:
            self._given = [shaped(value) for value in (*self._state, *self._inputs, *self._single.values())]
            if self._open is not None:
                self._given.append(self._open.view(-1, self._span))
        flags, largest = self._fused(*self._given)
        return _found(flags, largest, self._span)

    def reset(self, now: int) -> None:
        """State of units that have just spiked."""
        spikes = self.history[0]
        if not self._changed or not len(spikes):
            return
        if self.native is not None:
            self.native.reset(now, spikes)
            return
        given = [value.index_select(0, spikes) if isinstance(value, Tensor) else value
                 for value in map(self._value, self._reads)]  # fmt: skip
        for x, value in zip(self._changed, self._reset(*given), strict=True):
            state = self._state[self._places[x]]
            if isinstance(value, Tensor):
                state.index_copy_(0, spikes, value)
            else:
                state.index_fill_(0, spikes, value)

    def _value(self, name: str) -> Value:
        """What a name of the equations stands for now."""
        if name in self._single:
            return self._single[name]
        return self._state[self._places[name]] if name in self._places else self._inputs[int(name[1:])]

    def remember(self, steps: int) -> None:
        """Keep spikes for so many steps at least."""
        self.history = deque(self.history, maxlen=max(steps + 1, self.history.maxlen or 1))

    def state_dict(self) -> dict[str, Tensor]:
        """Spikes on their way, which also say who is in refractory time."""
        return kept(self.history, self._none)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """What `state_dict` gave."""
        load(self.history, state, self._none)
        for gate in self._opens:
            gate.fill_(1)
        for spikes in list(self.history)[: self._form.refractory]:
            self._gate(spikes, 0)


def _fused(form: Form, names: list[str], free: Any, resting: Any, threshold: Any, dtype: torch.dtype) -> Any:
    """Update, refractory time and threshold as one graph. It changes x in place and gives flags [M / SPAN, SPAN], 1
    where a unit spikes, and the largest of each row."""
    rests = bool(form.refractory)
    given, body = ", ".join(names), []
    body.append(f"fresh = list(free({given}))")
    if rests and resting is not None:
        body.append(f"slow = resting({given})")
        for k, x in enumerate(form.differs):
            body.append(f"fresh[{x[1:]}] = torch.where(open_ > 0, fresh[{x[1:]}], slow[{k}])")
    later = ", ".join([f"fresh[{k}]" for k in range(form.states)] + names[form.states :])
    body.append(f"(fired,) = threshold({later})")
    if rests:
        body.append("fired = fired & (open_ > 0)")
    body.append("flags = torch.where(fired, one, zero)")
    body += [f"x{k}.copy_(fresh[{k}])" for k in range(form.states)]
    source = "\n".join(
        [
            f"def fused({', '.join([*names, *(['open_'] if rests else [])])}):",
            *(f"    {line}" for line in body),
            "    return flags, flags.amax(-1)",
        ]
    )
    namespace: dict[str, Any] = {"torch": torch, "free": free, "resting": resting, "threshold": threshold,
                                 "one": 1.0, "zero": 0.0}  # fmt: skip
    exec(compile(source, "<fused>", "exec"), namespace)
    return torch.compile(namespace["fused"], dynamic=False, fullgraph=True)


def _found(flags: Tensor, rows: Tensor, width: int) -> Tensor:
    """Where flags are set, in order, when few are.

    Args:
        rows: not 0 for those runs of that many flags in which one is set.
    """
    if width == 1:
        return flags.view(-1).nonzero().squeeze(1)
    some = rows.nonzero().squeeze(1)
    place = flags.view(-1, width).index_select(0, some).nonzero()
    return torch.add(place[:, 1], some.index_select(0, place[:, 0]), alpha=width)


class Table:
    """A constant that changes with time.

    Attributes:
        values: [T], or, of each unit of a replica, [T, units].
        every: for how many steps each holds.
    """

    def __init__(self, timed: Timed, dt_ms: float, like: Tensor) -> None:
        self.every = max(round(timed.every_ms / dt_ms), 1)
        self.values = torch.tensor(timed.values, dtype=like.dtype, device=like.device)
        self._size = like.shape[1]
        self._numbers = self.values.tolist() if self.values.ndim == 1 else []

    def __call__(self, now: int) -> Value:
        """At a step: one number, or of each unit in all replicas, [M]."""
        row = min(now // self.every, len(self.values) - 1)
        return self._numbers[row] if self._numbers else self.values[row].repeat(self._size // self.values.shape[1])


def grouped(laws: Mapping[str, Law], alone: set[str]) -> list[list[str]]:
    """Populations that are updated together.

    Args:
        alone: those that are not to be put together with others.
    """
    found: dict[Any, list[str]] = {}
    for name, law in laws.items():
        found.setdefault((law.form, name if name in alone else ""), []).append(name)
    return list(found.values())
