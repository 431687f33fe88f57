"""Names and units of Brian2: ``v_mv`` is ``v : volt`` there, and a number of it is ``-70 * mV``.

Brian2 checks dimensions, so every equation of a circuit is checked by them once more.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable
from dataclasses import dataclass, field

from neurosal.graph.dynamics import unit_of


@dataclass(frozen=True)
class Unit:
    """A unit of names.

    Attributes:
        quantity: in Brian2, an expression.
        dimension: of a variable in equations.
        size: in SI units.
    """

    quantity: str
    dimension: str
    size: float


PLAIN = Unit("1", "1", 1.0)
UNITS = {
    "": PLAIN,
    "ms": Unit("ms", "second", 1e-3),
    "mv": Unit("mV", "volt", 1e-3),
    "pa": Unit("pA", "amp", 1e-12),
    "ns": Unit("nS", "siemens", 1e-9),
    "pf": Unit("pF", "farad", 1e-12),
    "hz": Unit("Hz", "hertz", 1.0),
    "gohm": Unit("Gohm", "ohm", 1e9),
    "per_ms": Unit("ms**-1", "second**-1", 1e3),
    "mv_per_ms": Unit("mV/ms", "volt/second", 1.0),
    "per_mv_ms": Unit("mV**-1/ms", "volt**-1*second**-1", 1e6),
    "per_mv": Unit("mV**-1", "volt**-1", 1e3),
    "pa_per_ms": Unit("pA/ms", "amp/second", 1e-9),
}

# What Brian2 calls something else: variables of its groups, constants, functions, units of one or two letters.
_TAKEN = (
    "i j k t dt N e pi inf xi lastspike lastupdate not_refractory refractory delay rate rates rand randn int "
    "sign exp log sqrt tanh abs clip floor ceil sin cos timestep poisson spike spikes N_pre N_post start stop "
    "name order clock when events equations namespace variables source target pre post synapses thresholder "
    "resetter set_states"
)
TAKEN = frozenset(_TAKEN.split())
_SCRIPTS = (
    "run seed random beside numbers drawn truncated chosen trains order synapses defaultclock np Path print len ms "
    "mV pA nS pF Hz Gohm dict enumerate range zip"
)
SCRIPTS = frozenset(_SCRIPTS.split())


def unit(name: str) -> Unit:
    """The unit that a name ends in.

    Example:
        >>> unit("tau_m_ms").quantity, unit("slope_mv_per_ms").dimension, unit("w").dimension
        ('ms', 'volt/second', '1')
    """
    return UNITS[unit_of(name)]


def bare(name: str) -> str:
    """A name without its unit."""
    found = unit_of(name)
    return name.removesuffix(f"_{found}") if found else name


def quantity(value: float, name: str) -> str:
    """A number of the unit of a name, as an expression.

    Example:
        >>> quantity(-70.0, "e_leak_mv"), quantity(0.5, "utilisation")
        ('-70.0*mV', '0.5')
    """
    number, of = repr(float(value)), unit(name)
    return number if of is PLAIN else f"{number}*{of.quantity}"


@dataclass
class Names:
    """Names of one object in Brian2: without their units where that keeps them apart and Brian2 has none of its own.

    Args:
        taken: names that cannot be given any more.
    """

    taken: set[str] = field(default_factory=lambda: set(TAKEN))
    given: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.given[name]

    def add(self, names: Iterable[str]) -> Names:
        """Give each its name."""
        for name in names:
            if name not in self.given:
                self.given[name] = self._free(name)
                self.taken.add(self.given[name])
        return self

    def _free(self, name: str) -> str:
        import sympy

        for candidate in (bare(name), name, f"{name}_value", *(f"{name}_{count}" for count in range(2, 100))):
            legal = candidate.isidentifier() and not candidate.startswith("_") and not candidate.endswith("_")
            # Brian2 hands names of variables to sympy as text, which takes `trace` for its own function.
            legal = legal and candidate not in self.taken and not hasattr(sympy, candidate)
            if legal and not candidate.endswith(("_pre", "_post")):
                return candidate
        raise AssertionError(name)


def identifier(name: str) -> str:
    """The name of a population or projection as Brian2 takes it; names that scripts use get an ending.

    Example:
        >>> identifier("layer-4"), identifier("random")
        ('layer_4', 'random_group')
    """
    text = name.replace("-", "_")
    text = text if text.isidentifier() and text[0].isalpha() else f"n_{text}"
    return f"{text}_group" if text in SCRIPTS or keyword.iskeyword(text) else text
