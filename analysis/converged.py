"""What feedback over a relay converges to, without training: derived for units of any number, and drawn.

Under product feedback alignment every synapse of R that there is comes to ``R = M ⊙ Wᵀ Bᵀ``, M being 1 where it is, so
the path R B is known once B and M are drawn.

Letters: n units of the population that sends error, m of its relay, I of the population that receives it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy

from neurosal.graph import Circuit, Dense, Orthogonal, Own, Relay, Sparse, XavierUniform
from neurosal.graph.initialisers import XavierNormal
from neurosal.lower.paths import Pair

CHUNK = 2048  # units of a relay whose synapses are drawn together
KURTOSIS = {XavierUniform: 1.8, XavierNormal: 3.0}


@dataclass(frozen=True, kw_only=True)
class Product:
    """Feedback over a relay, between independent random forward weights and back.

    Args:
        sends, relay, receives: units n, m and I.
        first, second: densities of the two hops.
        deviation: of the synapses of B that there are.
        kurtosis: of their distribution, 9/5 where it is uniform. 1 stands for an orthogonal B.
    """

    sends: int
    relay: int
    receives: int
    first: float = 1.0
    second: float = 1.0
    deviation: float = 1.0
    kurtosis: float = 1.8
    orthogonal: bool = False

    @property
    def expansion(self) -> float:
        """ρ."""
        return self.relay / self.sends

    @property
    def scale(self) -> float:
        """s where the expected BᵀB is s times the identity."""
        return self.deviation**2 * self.relay * self.first

    def many_units(self) -> tuple[float, float]:
        """Angle ``arctan(1/√(p ρ))`` in degrees and norm ratio ``p s √(1 + 1/(p ρ))``, p the density of the second
        hop: the limit for many units at one ρ. An orthogonal B without gaps has 0 and s."""
        spread = 0.0 if self.orthogonal else 1 / (self.second * self.expansion)
        return self._of(spread)

    def expected(self) -> tuple[float, float]:
        """The same for so many units, from the mean square of the path's entries.

        ``tan² = (n - 1)/(p m) + κ/(p₁ p m) - 1/m``: beside the noise of other units, n - 1 of them, stands that of
        how many synapses of the first hop (density p₁) a unit's own way goes through.
        """
        if self.orthogonal:
            return self._of(0.0)
        own = self.kurtosis / (self.first * self.second) - 1
        return self._of((self.sends - 1) / (self.second * self.relay) + own / self.relay)

    def _of(self, tangent_squared: float) -> tuple[float, float]:
        angle = float(numpy.degrees(numpy.arctan(tangent_squared**0.5)))
        return angle, float(self.second * self.scale * (1 + tangent_squared) ** 0.5)

    def drawn(self, generator: numpy.random.Generator) -> tuple[float, float]:
        """Angle and norm ratio of one draw of W, B and the synapses of both hops, R having converged."""
        assert not self.orthogonal
        forward = generator.standard_normal((self.sends, self.receives), dtype=numpy.float32)
        path = numpy.zeros((self.receives, self.sends), numpy.float32)
        for start in range(0, self.relay, CHUNK):
            size = (min(CHUNK, self.relay - start), self.sends)
            if self.kurtosis == KURTOSIS[XavierNormal]:
                b = generator.standard_normal(size, dtype=numpy.float32)
            else:
                b = (generator.random(size, dtype=numpy.float32) * 2 - 1) * numpy.float32(3**0.5)
            b *= numpy.float32(self.deviation)
            if self.first < 1:
                b *= generator.random(size, dtype=numpy.float32) < self.first
            r = forward.T @ b.T
            if self.second < 1:
                r *= generator.random(r.shape, dtype=numpy.float32) < self.second
            path += r @ b
        w, back = forward.T.astype(float), path.astype(float)
        norms = float(numpy.linalg.norm(w)), float(numpy.linalg.norm(back))
        cosine = float((w * back).sum()) / (norms[0] * norms[1])
        return float(numpy.degrees(numpy.arccos(min(1.0, cosine)))), norms[1] / norms[0]


def product_of(circuit: Circuit, pair: Pair) -> Product | None:
    """The relay along which error returns to a pair of populations; None where it comes another way, over a learned
    first hop, or over wiring or first values that nothing is derived for."""
    if len(pair.forward) != 1 or len(pair.feedback) != 1 or len(pair.feedback[0]) != 2:
        return None
    edges = [circuit.projections[name] for name in pair.feedback[0]]
    relay = circuit.populations[edges[0].target]
    init = edges[0].weights.init if isinstance(edges[0].weights, Own) else None
    if not isinstance(relay.model, Relay) or edges[0].plasticity.plastic or not edges[1].plasticity.plastic:
        return None
    densities = [_density(edge.wiring) for edge in edges]
    sends, receives = (circuit.populations[name].units for name in (pair.target, pair.source))
    if None in densities:
        return None
    first, second = (float(density) for density in densities if density is not None)
    plain = Product(sends=sends, relay=relay.units, receives=receives, first=first, second=second)
    if isinstance(init, Orthogonal):
        fits = first == second == 1 and relay.units >= sends
        return replace(plain, orthogonal=True, deviation=init.gain / relay.units**0.5) if fits else None
    if isinstance(init, XavierUniform | XavierNormal):
        return replace(plain, deviation=init.deviation(sends, relay.units), kurtosis=KURTOSIS[type(init)])
    return None


def _density(wiring: object) -> float | None:
    """The share of synapses that there are."""
    if isinstance(wiring, Sparse):
        return wiring.density
    return 1.0 if type(wiring) is Dense else None
