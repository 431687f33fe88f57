"""Kolen-Pollack: feedback synapses change by the same product as the forward synapses they pair with, and never read
them."""

from __future__ import annotations

from typing import ClassVar

from neurosal.graph.plasticity import Plasticity, Signal
from neurosal.plasticity.delta import Reduction


class KolenPollack(Plasticity):
    """``ΔB = (1/m) Σ_n h_post δ_preᵀ``: activity where the feedback ends, times error where it starts, ``ΔB = ΔWᵀ``.

    With equal weight decay ``W - Bᵀ`` shrinks by ``1 - ηλ`` a step under plain SGD.

    Reference:
        Kolen & Pollack (1994); Akrout et al. (2019), arXiv 1904.05391.
    """

    kind: ClassVar[str] = "kolen_pollack"
    needs: ClassVar[frozenset[str]] = frozenset({"post_activity", "pre_error"})
    product: ClassVar[tuple[Signal, Signal] | None] = ("post_activity", "pre_error")
    reduction: Reduction = "batch"
