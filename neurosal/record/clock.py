"""Times as they are stored."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """The time (ISO 8601, UTC)."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def later(than: str) -> str:
    """The time, or `than` where the clock was set back: times of a run never go back."""
    return max(now(), than)
