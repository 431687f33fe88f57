"""Models: norms and modules that fit the population they are in, and what populations with areas or lateral projections
may have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from neurosal.checks.view import View
from neurosal.errors import CircuitError, Problem
from neurosal.graph.blocks import misfit
from neurosal.graph.models import Block, Rate
from neurosal.graph.normalisation import Normalisation
from neurosal.graph.population import Population

SINGLE = "Take a norm of single samples (layer, group, rms)"


def check_models(view: View) -> Iterator[Problem]:
    """Norms and modules that fit where they are."""
    for name, population in view.populations.items():
        model = population.model
        if isinstance(model, Block):
            yield from _block(f"populations.{name}", population, model)
        if isinstance(model, Rate) and model.norm is not None:
            place = f"populations.{name}.model.norm"
            yield from _norm(place, population, model.norm)
            if model.norm.across and view.circuit.select(pathway="lateral", target=name):
                yield Problem(
                    place=place,
                    expected="a norm that does not join samples (the population has lateral projections)",
                    found=model.norm.kind,
                    remedy=f"{SINGLE}: activity settles sample by sample.",
                )


def _block(place: str, population: Population, model: Block) -> Iterator[Problem]:
    try:
        reason = misfit(model.module, model.options, population.extent)
    except CircuitError as wrong:
        yield from (replace(problem, place=f"{place}.model.{problem.place}") for problem in wrong.problems)
        return
    if reason is not None:
        expected, _, found = reason.partition(", found ")
        yield Problem(place=f"{place}.model.module", expected=expected, found=found)
    if population.areas > 1:
        yield Problem(
            place=f"{place}.areas",
            expected="1 (a module is one for all samples)",
            found=str(population.areas),
            remedy="Put the module into a population of its own.",
        )


def _norm(place: str, population: Population, norm: Normalisation) -> Iterator[Problem]:
    reason = norm.mismatch(population.extent)
    if reason is not None:
        expected, _, found = reason.partition(", found ")
        yield Problem(place=place, expected=expected, found=found)
    if population.areas > 1 and (norm.across or norm.parameters(population.extent)):
        what = "statistics of a batch that areas part" if norm.across else "a scale that all areas would share"
        yield Problem(
            place=place,
            expected=f"a norm of single samples without parameters (the population has {population.areas} areas)",
            found=f"{norm.kind}, with {what}",
            remedy=f"{SINGLE} with affine: false, or normalise in a population of one area.",
        )
