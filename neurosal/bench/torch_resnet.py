"""ResNet-20 for CIFAR in plain torch, as one would write it for speed: the rival of convolutional circuits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """``relu(x' + norm(conv(relu(norm(conv(x))))))``, x' the option A shortcut where extents change."""

    def __init__(self, below: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(below, channels, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.stride, self.more = stride, channels - below

    def forward(self, x: Tensor) -> Tensor:
        h = functional.relu(self.first_norm(self.first(x)), inplace=True)
        h = self.second_norm(self.second(h))
        if self.stride > 1 or self.more:
            half = self.more // 2
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.more - half))
        return functional.relu(h + x, inplace=True)


class TorchResNet(nn.Module):
    """A stem, three stages of `blocks` blocks with `width`, twice and four times as many channels, and a read-out."""

    def __init__(self, blocks: int = 3, width: int = 16, inputs: int = 3, classes: int = 10) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.stem = nn.Conv2d(inputs, width, 3, 1, 1, bias=False)
            self.stem_norm = nn.BatchNorm2d(width)
            made, below = [], width
            for index in range(3 * blocks):
                channels = width * 2 ** (index // blocks)
                made.append(Block(below, channels, 2 if index in (blocks, 2 * blocks) else 1))
                below = channels
            self.blocks = nn.Sequential(*made)
            self.readout = nn.Linear(below, classes)
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(self.readout.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.blocks(functional.relu(self.stem_norm(self.stem(x)), inplace=True))
        out: Tensor = self.readout(h.mean((2, 3)))
        return out

    def numbers(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Live weights and what populations have of their own, under the names of `circuits.resnet20`."""
        weights, own, below = {"input_to_stem": self.stem.weight}, _of_norm("stem", self.stem_norm), "stem"
        for index, block in enumerate(self.blocks, start=1):
            assert isinstance(block, Block)
            name = f"block{index}"
            weights[f"{below}_to_{name}_hidden"] = block.first.weight
            weights[f"{name}_hidden_to_{name}_branch"] = block.second.weight
            own |= _of_norm(f"{name}_hidden", block.first_norm) | _of_norm(f"{name}_branch", block.second_norm)
            below = name
        weights["pooled_to_output"] = self.readout.weight
        own["output.bias"] = self.readout.bias
        return {k: v.detach() for k, v in weights.items()}, {k: v.detach() for k, v in own.items()}


def _of_norm(name: str, norm: nn.BatchNorm2d) -> dict[str, Tensor]:
    return {f"{name}.scale": norm.weight, f"{name}.shift": norm.bias}


def loss_of(model: nn.Module, *, compiled: bool = False, autocast: str | None = None) -> Callable[..., Tensor]:
    """The loss of a batch as a function (x, y) → scalar; with products in another type under `torch.autocast`."""

    def plain(x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(model(x), y)

    def narrow(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype=getattr(torch, autocast or "")):
            return functional.cross_entropy(model(x), y)

    loss = plain if autocast is None else narrow
    return torch.compile(loss) if compiled else loss
