"""Lower circuits in continuous time to plain objects of Brian2, and to scripts. Brian2 is imported when
it is needed."""

from neurosal.lower.brian2.building import Built, build, to_brian2
from neurosal.lower.brian2.describing import Description, describe
from neurosal.lower.brian2.scripting import numbers, script

__all__ = ["Built", "Description", "build", "describe", "numbers", "script", "to_brian2"]
