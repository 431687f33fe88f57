"""Synapses of one projection, event by event, as the specification says: slow, in numbers of Python, sharing no code
with the engines.

Each variable remembers by itself when it was last known, and statements are run by Python itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from neurosal.graph import Program

FUNCTIONS = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "tanh": math.tanh,
    "abs": abs,
    "minimum": min,
    "maximum": max,
    "clip": lambda value, low, high: min(max(value, low), high),
}


class Unit:
    """What ``pre.x`` and ``post.x`` find."""

    def __init__(self, values: Mapping[str, float]) -> None:
        self.__dict__.update(values)


class ByEvent:
    """Synapses k from pre[k] to post[k].

    Args:
        program: what happens at them.
        first: first value of each variable, w among them, for each synapse.
    """

    def __init__(
        self,
        program: Program,
        pre: Sequence[int],
        post: Sequence[int],
        dt_ms: float,
        first: Mapping[str, Sequence[float]],
    ) -> None:
        self.program, self.pre, self.post, self.dt_ms = program, list(pre), list(post), dt_ms
        self.values = [{name: float(values[k]) for name, values in first.items()} for k in range(len(pre))]
        self.known_at = [dict.fromkeys(program.decays, 0) for _ in pre]
        self.step_number = 0

    def value(self, k: int, name: str, step: int) -> float:
        """A variable of synapse k in a step, decayed since it was last changed."""
        value, decay = self.values[k][name], self.program.decays.get(name)
        if decay is None:
            return value
        rest = self.program.constants[decay.rest] if isinstance(decay.rest, str) else decay.rest
        elapsed_ms = (step - self.known_at[k][name]) * self.dt_ms
        return rest + (value - rest) * math.exp(-elapsed_ms / self.program.constants[decay.tau])

    def step(
        self,
        arrived: Sequence[int] = (),
        fired: Sequence[int] = (),
        pre: Sequence[Mapping[str, float]] | None = None,
        post: Sequence[Mapping[str, float]] | None = None,
        at_end: Sequence[Mapping[str, float]] | None = None,
    ) -> dict[int, float]:
        """One step; what each synapse transmits at which a spike arrives.

        Args:
            arrived: synapses at which one arrives.
            fired: target units that spike.
            pre, post: state of all units when spikes arrive.
            at_end: state of target units at the end of the step, after reset and arrivals; as `post` where not given.
        """
        now, sent = self.step_number, {}
        for k in arrived:
            self._do(k, self.program.before, pre, post)
            sent[k] = eval(self.program.transmits, {}, self._names(k, pre, post))
            self._do(k, self.program.on_pre, pre, post)
        for k, unit in enumerate(self.post):
            if unit in fired:
                self._do(k, self.program.on_post, pre, post)
        end = at_end if at_end is not None else post
        for k in range(len(self.post)):
            self._do(k, self.program.each_step, pre, end)
        if now % self.program.steps_apart(self.dt_ms) == 0 and self.program.at_intervals:
            sums = {unit: sum(v["w"] for v, there in zip(self.values, self.post, strict=True) if there == unit)
                    for unit in set(self.post)}  # fmt: skip
            for k, unit in enumerate(self.post):
                more = {"sum_in": sums[unit], "count_in": self.post.count(unit)}
                self._do(k, self.program.at_intervals, pre, end, more)
        self.step_number = now + 1
        return sent

    def _names(self, k: int, pre: Any, post: Any, more: Mapping[str, float] | None = None) -> dict[str, Any]:
        names: dict[str, Any] = {**FUNCTIONS, **self.program.constants, "dt_ms": self.dt_ms, **(more or {})}
        names |= {name: self.value(k, name, self.step_number) for name in self.values[k]}
        if pre is not None:
            names["pre"] = Unit(pre[self.pre[k]])
        if post is not None:
            names["post"] = Unit(post[self.post[k]])
        return names

    def _do(
        self, k: int, statements: Sequence[str], pre: Any, post: Any, more: Mapping[str, float] | None = None
    ) -> None:
        if not statements:
            return
        names = self._names(k, pre, post, more)
        before = dict(names)
        for text in statements:
            exec(text, {}, names)
        for name in self.values[k]:
            if names[name] != before[name]:
                self.values[k][name] = names[name]
                if name in self.known_at[k]:
                    self.known_at[k][name] = self.step_number

    def now(self, name: str) -> list[float]:
        """A variable of all synapses at the start of the step that comes next."""
        return [self.value(k, name, self.step_number) for k in range(len(self.post))]
