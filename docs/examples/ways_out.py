"""A trained circuit outside neurosal, and back: ``python docs/examples/ways_out.py runs/ways_out``.

Its weights go to a safetensors file that any program reads, one of its copies to a plain torch module, which is trained
on by torch itself, exported as a program that needs no neurosal, and put back into the network.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors import safe_open

import neurosal as ns
from neurosal import circuits, rules


def gap(one: torch.Tensor, two: torch.Tensor) -> float:
    """Largest difference."""
    return float((one - two).detach().abs().max())


def main(folder: Path) -> None:
    """Train, leave by each way, come back, and print what is equal."""
    folder.mkdir(parents=True, exist_ok=True)
    data = ns.data.load("digits").scaled("symmetric").split(train=0.8, test=0.2)
    circuit = rules.sal(circuits.mlp(64, 32, 10), areas=4)
    network = ns.compile(circuit, seeds=(0, 1), device="cpu")
    ns.train(network, data, epochs=3, batch_size=16, optimizer=ns.SGD(lr=0.5))
    x = torch.tensor(data.test.x)

    # Weights, by the names of the projections, with their axes in the header.
    path = network.save_weights(folder / "weights.safetensors")
    with safe_open(path, framework="numpy") as file:
        dims = json.loads(file.metadata()["dims"])
        for name in file.keys():  # noqa: SIM118 - the file is no mapping
            print(f"{name:28} {dims[name]} {file.get_slice(name).get_shape()}")
    print("loaded again, the same outputs:", torch.equal(ns.load(path, device="cpu").predict(x), network.predict(x)))

    # One copy as a plain module.
    module = network.to_module(replica=1)
    print(module.code)
    print("largest difference of its outputs:", gap(module(x), network.predict(x)[1]))

    # A program that runs where there is only torch.
    samples = torch.export.Dim("samples", min=2)
    program = torch.export.export(module, (x[:2],), dynamic_shapes=({0: samples},))
    torch.export.save(program, folder / "circuit.pt2")
    again = torch.export.load(folder / "circuit.pt2").module()
    print("largest difference of the program:", gap(again(x), module(x)))

    # Trained on by torch, and taken back.
    before = network.evaluate(data)["test_loss"]
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1)
    x_train, y_train = torch.tensor(data.train.x), torch.tensor(data.train.y)
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(x_train), y_train).backward()
        optimizer.step()
    network.load_module(module, replica=1)
    print("test loss of both copies before:", before.tolist(), "after:", network.evaluate(data)["test_loss"].tolist())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/ways_out"))
