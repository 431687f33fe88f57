"""In which order the bound functions of a plan are called, and what is forgotten after each: a schedule for each way
to cut the forward sweep, and for the relays that a batch is large enough to join.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from neurosal.lower.contraction import contracted, joined_at
from neurosal.lower.plan import Backward, Change, Contraction, Phase, Plan
from neurosal.lower.schedule import Schedule, Signal, schedule

if TYPE_CHECKING:
    from neurosal.engine.parameters import Parameters
    from neurosal.engine.sweep import Batch

Step = Callable[["Batch"], None]
Joined = tuple[Contraction, ...]


class LeanSteps:
    """The steps of a schedule, each with the signals that go after it; changes are left to the learner."""

    def __init__(self, sweep: Scheduled, schedule: Schedule) -> None:
        self.up: list[tuple[Step, tuple[Signal, ...]]] = [(step, ()) for step in sweep.start]
        self.up += [(sweep.steps[moment.phase], moment.frees) for moment in schedule.forward]
        self.lost = schedule.output.frees
        self.down: list[tuple[Change | None, Step | None, tuple[Signal, ...]]] = []
        for moment in schedule.backward:
            phase = moment.phase
            if isinstance(phase, Change):
                self.down.append((phase, None, moment.frees))
            else:
                step = sweep.back(phase) if isinstance(phase, Backward) else sweep.steps[phase]
                self.down.append((None, step, moment.frees))


class Scheduled:
    """What of a sweep depends on its schedule."""

    plan: Plan
    parameters: Parameters
    start: list[Step]
    steps: dict[Phase, Step]
    backward: dict[str, Step]

    def begin(self) -> None:
        """No schedule is known yet."""
        self._lean: dict[tuple[int, bool, Joined], LeanSteps] = {}
        self._schedules: dict[tuple[int, bool, Joined], Schedule] = {}
        self._plans: dict[Joined, Plan] = {(): self.plan}
        self._backs: dict[Backward, Step] = {}  # of plans with joined hops

    def forget(self) -> None:
        """Steps are bound anew when they are asked for; schedules stay."""
        self._lean.clear()
        self._backs.clear()

    def _backward(self, phase: Backward) -> Step:
        raise NotImplementedError

    def lean(self, segments: int, light: bool, samples: int) -> LeanSteps:
        """The steps of a schedule with these options, for so many samples."""
        key = (segments, light, self.joined(samples) if self.plan.contractions else ())
        if (found := self._lean.get(key)) is None:
            found = self._lean[key] = LeanSteps(self, self.schedule(*key))
        return found

    def schedule(self, segments: int, light: bool, joined: Joined = ()) -> Schedule:
        """The schedule with these options."""
        if (found := self._schedules.get((segments, light, joined))) is None:
            found = schedule(self.plan_with(joined), segments=segments, light=light)
            self._schedules[segments, light, joined] = found
        return found

    def joined(self, samples: int) -> Joined:
        """The relays whose hops are joined in a batch of so many samples; not those in which units are silenced."""
        silenced = self.parameters.lesions.silenced
        return tuple(each for each in joined_at(self.plan, samples) if each.relay not in silenced)

    def plan_with(self, joined: Joined) -> Plan:
        """The plan with the hops of these relays joined."""
        if (found := self._plans.get(joined)) is None:
            found = self._plans[joined] = contracted(self.plan, joined)
        return found

    def back(self, phase: Backward) -> Step:
        """The bound function of a phase of the way back, of this plan or of one with joined hops."""
        if not phase.contracted:
            return self.backward[phase.population]
        if (found := self._backs.get(phase)) is None:
            found = self._backs[phase] = self._backward(phase)
        return found
