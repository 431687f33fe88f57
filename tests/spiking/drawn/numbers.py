"""Numbers and what gives them: constants of units, waveforms, weights."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from neurosal.graph import Constant, Given, LogNormal, Normal, Ramp, Samples, Sine, Steps, TruncatedNormal, Uniform


def between(low: float, high: float) -> st.SearchStrategy[float]:
    """A number with few digits."""
    return st.floats(low, high).map(lambda value: min(max(round(value, 3), low), high))


def many(low: float, high: float, count: int) -> st.SearchStrategy[tuple[float, ...]]:
    """So many of them."""
    return st.lists(between(low, high), min_size=count, max_size=count).map(tuple)


def bounded(low: float, high: float, count: int) -> st.SearchStrategy[Any]:
    """A distribution that stays within bounds, or as many numbers as are wanted."""
    middle, width = (low + high) / 2, (high - low) / 4
    return st.one_of(
        st.just(Uniform(low=low, high=high)),
        st.sampled_from(
            [
                TruncatedNormal(mean=middle, std=width, low=low, high=high),
                TruncatedNormal(mean=low, std=width, low=low),
                TruncatedNormal(mean=high, std=width / 2, high=high),
            ]
        ),
        between(low, high).map(lambda value: Constant(value=value)),
        many(low, high, count).map(lambda values: Given(values=values)),
    )


def each(low: float, high: float, units: int) -> st.SearchStrategy[Any]:
    """One number for all units (more often), or one for each."""
    one = between(low, high)
    middle, width = (low + high) / 2, (high - low) / 8
    spread = st.just(Normal(mean=middle, std=width)) if low <= 0 <= high or high < 0 else \
        st.just(LogNormal(log_mean=0.0, log_std=0.1)) if low <= 0.7 and high >= 1.4 else st.nothing()  # fmt: skip
    return st.one_of(*[one] * 8, bounded(low, high, units), spread)


@st.composite
def waveforms(draw: st.DrawFn, low: float, high: float, units: int) -> Any:
    """A number over time, for all units or for each."""
    every = draw(st.sampled_from([0.5, 1.0, 0.25, 3.0]))
    single = draw(st.booleans())
    row: Any = many(low, high, units) if single else between(low, high)
    kind = draw(st.sampled_from([Samples, Steps, Ramp, Sine]))
    if kind is Samples:
        return Samples(values=tuple(draw(st.lists(row, min_size=1, max_size=6))), every_ms=every)
    if kind is Steps:
        times = sorted(draw(st.sets(st.sampled_from([0.0, 1.0, 2.5, 4.0, 9.0, 15.0]), min_size=1, max_size=4)))
        return Steps(times_ms=tuple(times), values=tuple(draw(row) for _ in times))
    first, last = draw(between(low, high)), draw(between(low, high))
    if kind is Ramp:
        start = draw(st.sampled_from([0.0, 2.0]))
        return Ramp(first=first, last=last, start_ms=start, end_ms=start + draw(between(1, 9)), every_ms=every)
    return Sine(
        mean=(first + last) / 2, amplitude=abs(last - first) / 2, frequency_hz=draw(between(20, 200)),
        phase=draw(between(0, 6)), until_ms=draw(st.sampled_from([5.0, 12.0, 1000.0])), every_ms=every,
    )  # fmt: skip
