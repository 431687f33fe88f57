"""A trained network in one file: safetensors, with the circuit beside the tensors. Nothing read from disk is
executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from neurosal.engine.inputs import pick_device
from neurosal.errors import NeurosalError, Problem, StoreError
from neurosal.graph import Circuit

if TYPE_CHECKING:
    from neurosal.engine.network import Network

FORMAT = "neurosal network 1"


def save(network: Network, path: str | Path) -> Path:
    """Write a network (circuit, seeds, weights, state) to one file, aside first and then renamed.

    Raises:
        StoreError: when the file cannot be written.
    """
    path = Path(path)
    header = {
        "format": FORMAT,
        "circuit": json.dumps(network.circuit.to_dict()),
        "seeds": json.dumps(network.seeds),
        "dtype": str(network.dtype).removeprefix("torch."),
    }
    aside = Path(f"{path}.part")
    try:
        save_file(
            {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()},
            aside,
            header,
        )
        aside.replace(path)
    except (OSError, SafetensorError) as error:
        aside.unlink(missing_ok=True)
        raise StoreError(Problem(place=str(path), expected="a file that can be written", found=str(error))) from None
    return path


def load(path: str | Path, device: str = "auto") -> Network:
    """The network that `save` wrote.

    Raises:
        StoreError: when the file is missing, damaged or something else. ExperimentError: for a device that is not
            there.
    """
    from neurosal.engine.network import compile

    path, where = Path(path), str(pick_device(device))
    if not path.is_file():
        raise StoreError(Problem(place=str(path), expected="a saved network", found="no such file"))
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        if header.get("format") != FORMAT:
            raise StoreError(Problem(place=str(path), expected=f"format {FORMAT!r}", found=repr(header.get("format"))))
        network = compile(
            Circuit.from_dict(json.loads(header["circuit"])), json.loads(header["seeds"]), where, header["dtype"]
        )
        network.load_state_dict(load_file(path, device=where))
    except StoreError:
        raise
    except NeurosalError as error:
        raise StoreError(
            Problem(place=f"{path}: {problem.place}", expected=problem.expected, found=problem.found)
            for problem in error.problems
        ) from None
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        found = f"a damaged file ({type(error).__name__}: {error})"
        raise StoreError(Problem(place=str(path), expected="a saved network", found=found)) from None
    return network
