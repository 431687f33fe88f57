"""Spiking units that read an image row by row."""

from __future__ import annotations

from neurosal.circuits.spiking import one_population
from neurosal.graph import AdaptiveLIF, Circuit, Population, TimedReadout, TimedSource, Uniform


def row_reader(
    *,
    units: int = 100,
    rows: int = 8,
    columns: int = 8,
    classes: int = 10,
    row_ms: float = 5.0,
    silent_ms: float = 10.0,
    refractory_ms: float = 2.0,
    adaptation_mv: float = 0.1,
    name: str = "row_reader",
) -> Circuit:
    """Recurrent units with adapting thresholds that see the rows of an image one after the other, each pixel as regular
    spikes at up to one a ms, and are asked for its class during the last 20 ms.

    ``u ← α (u + Σ W_in x + Σ W_rec z - V_t z)``, thresholds ``V_t + ϑ``, ``ϑ ← ρ (ϑ + β z)`` with β drawn uniformly
    from 0 to twice its mean; time step 1 ms, τ_m and the read-out's 20 ms, τ_ϑ 100 ms, V_t 1 mV above rest.

    Args:
        units: of the recurrent population.
        rows, columns: of the image: the first are shown one after the other, the second are the input's units.
        row_ms, silent_ms: how long each row is shown, and how long nothing is after the last.
        adaptation_mv: mean of β.

    Example:
        >>> row_reader().populations["input"].model.steps
        50

    Reference:
        The rule's: Bellec et al. (2020), Nature Communications 11:3625; the task is ours.
    """
    model = AdaptiveLIF(
        tau_m_ms=20.0, e_leak_mv=0.0, v_threshold_mv=1.0, v_reset_mv=0.0, reset="subtract", clamped=False,
        refractory_ms=refractory_ms, threshold_step_mv=Uniform(low=0.0, high=2 * adaptation_mv), tau_threshold_ms=100.0,
    )  # fmt: skip
    return one_population(
        name,
        source=Population(size=columns, model=TimedSource(frames=rows, frame_ms=row_ms, silent_ms=silent_ms)),
        hidden=Population(size=units, model=model),
        readout=Population(size=classes, model=TimedReadout(tau_m_ms=20.0, window_ms=20.0)),
        input_gain=0.4,
        recurrent_gain=0.5,
        readout_gain=0.1,  # small, so that it can follow feedback that it was not drawn for
    )
