"""Other people's code for the same rules, where it is installed: BioTorch (``pip install --no-deps biotorch``).

Reference: Sanfiz & Akrout (2021), "Benchmarking the accuracy and robustness of feedback alignment algorithms", arXiv
    2108.13446.
"""

from __future__ import annotations

import importlib
import warnings
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from neurosal.bench.agreement import Net, Path, refuse_wrong_net
from neurosal.bench.contenders import FORMS, LEARNING_RATE, RULES, Contender, at_rate
from neurosal.bench.works import Work, cost

ASKED = ("fa", "dfa", "usf")
MISSING = "BioTorch is not installed (pip install --no-deps biotorch): fa, dfa and usf stand without it"


def biotorch(work: Work, device: str = "cpu") -> tuple[list[Contender], list[str]]:
    """BioTorch's step under each of its rules that we share, and lines on what is missing."""
    found, notes = [], []
    for rule in ASKED:
        try:
            layers = importlib.import_module(f"biotorch.layers.{rule}")
        except ImportError:
            return [], [MISSING]
        try:
            found.append(contender(layers, rule, work, device))
        except Exception as error:  # whatever other people's code raises on this torch
            notes.append(f"BioTorch {rule}: failed, {type(error).__name__}: {str(error).strip()[:200]}")
    return found, notes


def contender(layers: Any, rule: str, work: Work, device: str = "cpu") -> Contender:
    """One rule of BioTorch, built from its own layers and trained as its own loop trains."""
    model = _model(layers, rule, work).to(device)
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=LEARNING_RATE, **FORMS["fused"])
    x, y = (tensor.to(device) for tensor in work.data())

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        output = model(x)
        loss = nn.functional.cross_entropy(output, y)
        if rule == "dfa":
            (error,) = torch.autograd.grad(loss, output, retain_graph=True)
            for layer in linear:
                layer.loss_gradient = error
        loss.backward()
        optimizer.step()

    def read() -> Net:
        weights = [layer.weight.detach()[None] for layer in linear]
        return Net(weights, [layer.bias.detach()[None] for layer in linear], _paths(linear, rule))

    name = f"BioTorch {rule}"
    area = torch.zeros_like(y)

    def check() -> float:
        return refuse_wrong_net(name, read, partial(at_rate, step, [optimizer]), x, y, area)

    return Contender(name, step, check, cost(work, RULES[rule][1]), rival=True)


def _model(layers: Any, rule: str, work: Work) -> nn.Sequential:
    made: list[nn.Module] = []
    # Its hooks are of a kind that torch warns of at every step.
    warnings.filterwarnings("ignore", message="Using a non-full backward hook", category=FutureWarning)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for below, above in pairwise(work.sizes):
            options: dict[str, Any] = {"layer_config": {"type": rule}}
            if rule == "dfa":
                options["output_dim"] = work.sizes[-1]
            made += [layers.Linear(below, above, **options), nn.ReLU()]
    return nn.Sequential(*made[:-1])


def _paths(linear: list[nn.Linear], rule: str) -> list[Path | None]:
    """Its backward weights lie as the forward ones do, [above, below] of each layer: with `dfa` [output, below]."""

    def back(layer: nn.Linear) -> Tensor:
        kept = layer.weight_backward
        assert isinstance(kept, Tensor)
        if rule == "usf":  # made anew from the weights at each forward pass
            kept = layer.scaling_factor * layer.weight.sign()  # type: ignore[operator]
        return kept.detach().T[None]

    return [Path("output" if rule == "dfa" else "above", [back(layer)]) for layer in linear[1:]]
