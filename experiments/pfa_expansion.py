"""What a wider relay is worth: product feedback alignment on MNIST with ρ from 1 to 100."""

from __future__ import annotations

from neurosal.experiments.pfa_density import arm, study
from neurosal.settings import Experiment

SIZES = [784, 128, 128, 10]  # of 512 units, as in the paper, ρ = 100 would have relays of 51,200
EXPANSIONS = (1, 2, 5, 10, 20, 50, 100)
EPOCHS = 4


def pfa_expansion() -> Experiment:
    """784-128-128-10 ReLU on MNIST under PFA with relays 1 to 100 times as wide as the population they hear from.

    The recipe of `pfa_density` in 4 epochs: batch 64, SGD .01 with momentum .9 (×.5 after 1/2 and after 3/4 of
    training), decay 1e-4, for PFA .04 in the first epoch (dose 3.8) and 9e-5 afterwards. Three seeds, beside BP, PFA-o
    (ρ = 1 with an orthogonal B, which PFA with ρ = 1 has not) and the read-out alone.

    The path converges to the angle arctan(1/√ρ) to the forward weights, with √(1 + 1/ρ) of their norm. The analysis
    `relays` draws these curves, and what B and converged R of the same sizes give, for which nothing is trained.

    Reference: Li et al. (2024), "Deep learning without weight symmetry", arXiv 2405.20594.
    """
    arms = {"bp": arm(SIZES, "bp", "BP", "weight transport")}
    arms["shallow"] = arm(SIZES, "shallow", "read-out only (shallow)", "hidden weights never change")
    arms["pfa_o"] = arm(SIZES, "pfa_o", "PFA-o", "ρ = 1, orthogonal")
    arms |= {f"pfa_{ratio}": arm(SIZES, "pfa", f"PFA, ρ = {ratio}", "", expansion=ratio) for ratio in EXPANSIONS}
    return study("pfa_expansion", "Expansion of relays, MNIST", arms, epochs=EPOCHS, seeds=range(3))
