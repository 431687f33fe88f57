"""The forward and feedback sweep over all steps of a batch. Rows are those of networks without time, with a row for
each step and sample: [T·N, units] for one replica, [R, T·N, units] for more. So changes of weights are the same
products.

Letters: R replica, T step, N sample, U unit, O unit of the read-out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from neurosal.engine.losses import LOSSES
from neurosal.engine.sweep import Batch, Step, Sweep
from neurosal.engine.unrolled import cells
from neurosal.engine.unrolled.events import Events, by_events
from neurosal.engine.unrolled.making import cell_of, decays
from neurosal.graph import TimedReadout, TimedSource, timing_of
from neurosal.lower.plan import Backward, Forward, Phase, Route


class UnrolledSweep(Sweep):
    """The bound functions of a plan over the steps of a sample."""

    def bind(self) -> None:
        """Bind every phase to storage; again where units have gone or come back."""
        plan, timing = self.plan, timing_of(self.plan.circuit)
        assert timing is not None
        self.timing, self.bounds, self.skips, self.start, self.first = timing, {}, {}, [], []
        self._driven = self._carries_target = False
        self._lost: list[Step] = []
        self.cells = {
            phase.population: cell_of(
                plan.circuit, phase.population, timing, self.parameters.seeds, self.parameters.any,
                self.parameters.lesions.silenced.get(phase.population),
            )
            for phase in plan.forward
            if isinstance(phase, Forward) and phase.population != plan.output.population
        }  # fmt: skip
        readout = plan.circuit.populations[plan.output.population].model
        assert isinstance(readout, TimedReadout)
        assert isinstance(readout.tau_m_ms, float)
        self._decays = decays(math.exp(-timing.dt_ms / readout.tau_m_ms), timing.steps, self.parameters.any)
        self.steps: dict[Phase, Step] = {
            phase: self._forward(phase) for phase in plan.forward if not isinstance(phase, Route)
        }
        self.forward = [*self.steps.values()]
        self.forget()
        self.backward = {
            phase.population: self._backward(phase) for phase in plan.backward if isinstance(phase, Backward)
        }

    def look(self) -> None:
        """There are no constant skips."""

    def in_time(self, rows: Tensor) -> Tensor:
        """Rows as [R, T, N, units]; a view."""
        lead = rows if rows.dim() == 3 else rows[None]
        return lead.view(len(lead), self.timing.steps, -1, lead.shape[-1])

    def as_rows(self, tensor: Tensor) -> Tensor:
        """[R, T, N, units] as rows; a view."""
        rows = tensor.flatten(1, 2)
        return rows if self.parameters.replicas > 1 else rows[0]

    # Forward ---------------------------------------------------------------------------------------------------------

    def encode(self, source: str, sample: Tensor) -> Tensor:
        """What an input plays, as rows of spikes.

        Args:
            sample: features of each, [N, frames·units], or [R, N, frames·units].
        """
        population = self.plan.circuit.populations[source]
        model = population.model
        assert isinstance(model, TimedSource)
        frames = sample.unflatten(-1, (model.frames, population.units)).movedim(-2, -3)  # [.., frames, N, U]
        shown = frames.double().repeat_interleave(model.frame_steps, dim=-3)
        counts = (shown.cumsum(-3) * (model.rate_hz * model.dt_ms * 1e-3)).add_(0.5).floor_()
        spikes = torch.diff(counts, dim=-3, prepend=torch.zeros_like(counts[..., :1, :, :]))
        silent = self.timing.steps - spikes.shape[-3]
        if silent:
            spikes = torch.nn.functional.pad(spikes, (0, 0, 0, 0, 0, silent))
        rows = spikes.to(sample.dtype).flatten(-3, -2)
        if source in self.parameters.lesions.silenced:
            keep = self.parameters.lesions.silenced[source]
            rows = rows * (keep[0] if self.parameters.replicas == 1 else keep[:, None])
        return rows

    def _forward(self, phase: Forward) -> Step:
        name = phase.population
        inputs = [self._applied(projection) for projection in phase.projections]

        def arrivals(batch: Batch) -> Tensor:
            total = inputs[0](batch)
            for more in inputs[1:]:
                total = total.add_(more(batch))
            return self.in_time(total)

        if name == self.plan.output.population:

            def read(batch: Batch) -> None:
                batch.activity[name] = self.as_rows(self._filtered(self._decays, arrivals(batch)))

            return read
        cell, recurrent = self.cells[name], self._recurrent(phase.lateral, back=False)

        def spike(batch: Batch) -> None:
            total = arrivals(batch)
            found, trace = cells.forward(cell, total, recurrent(total) if recurrent is not None else None)
            batch.activity[name] = self.as_rows(found)
            batch.kept[name] = trace  # type: ignore[assignment]

        return spike

    @staticmethod
    def _filtered(decays: Tensor, rows: Tensor) -> Tensor:
        """Rows [R, T, N, O] through a matrix of steps."""
        flat = rows.flatten(2)
        return torch.matmul(decays, flat).view(rows.shape)

    def _recurrent(self, projections: tuple[str, ...], *, back: bool) -> Callable[[Tensor], cells.Recurrent] | None:
        """From what a sweep begins with to the function that carries spikes of a step along the population's own
        projections, or errors back."""
        if not projections:
            return None
        owners = [self.plan.owners[projection] for projection in projections]

        def begin(like: Tensor) -> cells.Recurrent:
            # [R, pre, post] for spikes, [R, post, pre] for errors: rows times matrix.
            weight = sum((self.parameters.full[owner][:, 0] for owner in owners[1:]), start=self._full(owners[0]))
            if not back:
                weight = weight.mT
                if by_events(like):
                    return Events(weight.contiguous(), like).add
            if weight.shape[0] == 1:
                single = weight[0]

                def one(rows: Tensor, into: Tensor) -> None:
                    into[0].addmm_(rows[0], single)

                return one

            def many(rows: Tensor, into: Tensor) -> None:
                into.baddbmm_(rows, weight)

            return many

        return begin

    def _full(self, owner: str) -> Tensor:
        return self.parameters.full[owner][:, 0]

    # Feedback --------------------------------------------------------------------------------------------------------

    def _backward(self, phase: Backward) -> Step:
        name, edges = phase.population, self.plan.circuit.projections
        within = tuple(each for each in phase.projections if edges[each].source == name)
        sources = [self._applied(each, kind="error") for each in phase.projections if each not in within]
        cell, recurrent = self.cells[name], self._recurrent(within, back=True)

        def backward(batch: Batch) -> None:
            signal = sources[0](batch)
            for more in sources[1:]:
                signal = signal.add_(more(batch))
            trace: Any = batch.kept[name]
            signal_RTNU = self.in_time(signal)
            along = recurrent(signal_RTNU) if recurrent is not None else None
            batch.error[name] = self.as_rows(cells.backward(cell, trace, signal_RTNU, along))

        return backward

    def lose(self, batch: Batch, target: Tensor, loss: str) -> Tensor:
        """The read-out's error at every step, filtered back in time as its leak asks; returns the mean loss [R]."""
        output = self.plan.output.population
        mean, error = self.losses(batch, target, loss)
        batch.error[output] = self.as_rows(self._filtered(self._decays.mT, error))
        return mean

    def losses(self, batch: Batch, target: Tensor, loss: str) -> tuple[Tensor, Tensor]:
        """Mean loss of each replica over samples and steps of the window, [R], and its error at each step,
        ``∂ℓ_n/∂y`` [R, T, N, O]."""
        timing = self.timing
        y = self.in_time(batch.activity[self.plan.output.population])
        rows = y[:, timing.steps - timing.window :].reshape(len(y), -1, y.shape[-1])
        wanted = self.targets(target, len(y), batch.samples, y.shape[-1], labels=loss == "cross_entropy")
        mean, error = LOSSES[loss](rows, wanted)
        whole = torch.zeros_like(y)
        whole[:, timing.steps - timing.window :] = error.view(len(y), timing.window, -1, y.shape[-1]) / timing.window
        return mean.reshape(len(y)), whole

    def targets(self, target: Tensor, replicas: int, samples: int, units: int, *, labels: bool) -> Tensor:
        """A target for each row of the window: labels [R, T·N], values [R, T·N, O]."""
        window = self.timing.window
        own = target.expand(replicas, *target.shape) if target.dim() < (2 if labels else 3) else target
        if labels:
            return own[:, None].expand(-1, window, -1).reshape(replicas, -1)
        if self.timing.each:
            return own.unflatten(-1, (window, units)).movedim(2, 1).reshape(replicas, -1, units)
        return own[:, None].expand(-1, window, -1, -1).reshape(replicas, -1, units)

    def answers(self, batch: Batch) -> Tensor:
        """The mean of the read-out over the window, [R, N, O]."""
        y = self.in_time(batch.activity[self.plan.output.population])
        return y[:, self.timing.steps - self.timing.window :].mean(1)
