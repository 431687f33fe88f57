"""The built-in circuits of convolutions as plain torch modules, written from the papers. Layers carry the names that
their weights have in the circuits, so that numbers can be copied; nothing else is shared."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Named(nn.Module):
    """A module whose layers are called as projections (convolutions, dense) and populations (norms) are."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()

    def through(self, source: str, target: str, make: Any, *sizes: int, **options: Any) -> str:
        self.layers[f"{source}_to_{target}"] = make(*sizes, **options)
        return target

    def conv(self, source: str, target: str, *sizes: int, normed: bool = True, **options: Any) -> str:
        self.through(source, target, nn.Conv2d, *sizes, **{"bias": not normed, "padding": sizes[2] // 2} | options)
        if normed:
            self.layers[target] = nn.BatchNorm2d(sizes[1])
        return target

    def run(self, source: str, target: str, x: Tensor) -> Tensor:
        x = self.layers[f"{source}_to_{target}"](x)
        return self.layers[target](x) if target in self.layers else x


class Residual(Named):
    """ResNets: basic blocks, (channels, stride) each, on a stem."""

    def __init__(self, plan: list[tuple[int, int]], classes: int, inputs: int, *, option: str, large: bool) -> None:
        super().__init__()
        self.plan, self.option, self.large = plan, option, large
        channels = plan[0][0]
        self.conv("input", "stem", inputs, channels, *((7, 2) if large else (3, 1)))
        below = "pooled_stem" if large else "stem"
        for index, (wide, stride) in enumerate(plan, start=1):
            block = f"block{index}"
            self.conv(below, f"{block}_hidden", channels, wide, 3, stride)
            self.conv(f"{block}_hidden", f"{block}_branch", wide, wide, 3)
            if option == "B" and (stride > 1 or wide != channels):
                self.conv(below, f"{block}_skip", channels, wide, 1, stride)
            below, channels = block, wide
        self.through("pooled", "output", nn.Linear, channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.run("input", "stem", x))
        below = "stem"
        if self.large:
            x, below = functional.max_pool2d(x, 3, 2, 1), "pooled_stem"
        for index, (wide, stride) in enumerate(self.plan, start=1):
            block = f"block{index}"
            h = functional.relu(self.run(below, f"{block}_hidden", x))
            h = self.run(f"{block}_hidden", f"{block}_branch", h)
            if f"{below}_to_{block}_skip" in self.layers:
                x = self.run(below, f"{block}_skip", x)
            elif stride > 1:
                before = (wide - x.shape[1]) // 2
                x = functional.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, before, wide - x.shape[1] - before))
            x, below = functional.relu(h + x), block
        return self.run("pooled", "output", x.mean((2, 3)))


class LeNet(Named):
    """LeNet-5 with average pooling."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.through("input", "conv1", nn.Conv2d, 1, 6, 5, padding=2)
        self.through("pooled1", "conv2", nn.Conv2d, 6, 16, 5)
        self.through("flat", "hidden1", nn.Linear, 400, 120)
        self.through("hidden1", "hidden2", nn.Linear, 120, 84)
        self.through("hidden2", "output", nn.Linear, 84, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.avg_pool2d(torch.tanh(self.run("input", "conv1", x)), 2)
        x = functional.avg_pool2d(torch.tanh(self.run("pooled1", "conv2", x)), 2)
        x = torch.tanh(self.run("flat", "hidden1", x.flatten(1)))
        return self.run("hidden2", "output", torch.tanh(self.run("hidden1", "hidden2", x)))


class VGG(Named):
    """VGG by the numbers of convolutions in its stages; batch norm behind each, biases kept."""

    def __init__(self, stages: tuple[int, ...], width: int, hidden: int, classes: int, *, normed: bool) -> None:
        super().__init__()
        self.order: list[tuple[str, str]] = []
        channels, source, index = 3, "input", 0
        for stage, (count, factor) in enumerate(zip(stages, (1, 2, 4, 8, 8), strict=True)):
            wide = width * factor
            for _ in range(count):
                index += 1
                self.order.append((source, f"conv{index}"))
                source = self.conv(source, f"conv{index}", channels, wide, 3, normed=normed, bias=True)
                channels = wide
            source = f"pooled{stage + 1}"
            self.order.append(("", source))
        self.through("flat", "hidden1", nn.Linear, channels, hidden)
        self.through("hidden1", "output", nn.Linear, hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        for source, target in self.order:
            x = functional.relu(self.run(source, target, x)) if source else functional.max_pool2d(x, 2)
        return self.run("hidden1", "output", functional.relu(self.run("flat", "hidden1", x.flatten(1))))


class AllConv(Named):
    """All-CNN-C."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        wide = 2 * width
        sizes = [(3, width, 3, 1, 1), (width, width, 3, 1, 1), (width, width, 3, 2, 1), (width, wide, 3, 1, 1)]
        sizes += [(wide, wide, 3, 1, 1), (wide, wide, 3, 2, 1), (wide, wide, 3, 1, 0), (wide, wide, 1, 1, 0)]
        source = "input"
        for index, (pre, post, kernel, stride, padding) in enumerate([*sizes, (wide, classes, 1, 1, 0)], start=1):
            source = self.through(source, f"conv{index}", nn.Conv2d, pre, post, kernel, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers.values():
            x = functional.relu(layer(x))
        return x.mean((2, 3))


def cifar(blocks: int, width: int, classes: int, option: str) -> Residual:
    plan = [(width * 2**stage, 1 if stage == 0 or index else 2) for stage in range(3) for index in range(blocks)]
    return Residual(plan, classes, 3, option=option, large=False)


def imagenet18(width: int, classes: int) -> Residual:
    plan = [(width * 2**stage, 1 if stage == 0 or index else 2) for stage in range(4) for index in range(2)]
    return Residual(plan, classes, 3, option="B", large=True)


# Numbers, by the names that they have in a network -------------------------------------------------------------------


def tensors(module: Named) -> dict[str, Tensor]:
    """Parameters of a module by the names of a network: ``a_to_b``, ``b.bias``, ``b.scale``, ``b.shift``."""
    found: dict[str, Tensor] = {}
    for name, layer in module.layers.items():
        if isinstance(layer, nn.BatchNorm2d):
            found |= {f"{name}.scale": layer.weight, f"{name}.shift": layer.bias}
        else:
            found[name] = layer.weight  # type: ignore[assignment]
            if layer.bias is not None:
                found[f"{name.rpartition('_to_')[2]}.bias"] = layer.bias  # type: ignore[assignment]
    return found


def statistics(module: Named) -> dict[str, Tensor]:
    """Running statistics by the names of a network: ``b.mean``, ``b.variance``."""
    norms = {name: layer for name, layer in module.layers.items() if isinstance(layer, nn.BatchNorm2d)}
    return {f"{name}.{key}": value for name, norm in norms.items() for key, value in
            (("mean", norm.running_mean), ("variance", norm.running_var)) if value is not None}  # fmt: skip
