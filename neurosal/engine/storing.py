"""A trained network in one file: safetensors, with the circuit beside the tensors. Nothing read from disk is
executed.

Two kinds of file: all that a step reads, in the network's own layout, to go on from; and the weights alone, as users
see them, for other programs too. `load` reads both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurosal.engine.dimensions import weight_sizes
from neurosal.engine.inputs import pick_device
from neurosal.engine.reading import Stored
from neurosal.errors import CircuitError, NeurosalError, Problem, StoreError, near
from neurosal.graph import Circuit
from neurosal.record import schema
from neurosal.record.tensors import TensorFile, write_tensors

if TYPE_CHECKING:
    from neurosal.engine.network import Network

FORMAT = "neurosal network 1"
WEIGHTS = "neurosal weights 1"
ROUTER_DIMS = {
    "weight": ("rank", "pre"),
    "prototypes": ("area", "rank"),
    "mean": ("pre",),
    "usage": ("area",),
    "count": (),
}


def save(network: Network, path: str | Path) -> Path:
    """Write a network (circuit, seeds, weights, state) to one file, aside first and then renamed.

    Raises:
        StoreError: when the file cannot be written.
    """
    return _write(Path(path), network.state_dict(), _header(network, FORMAT))


def save_weights(network: Network, path: str | Path) -> Path:
    """Write weights alone; see `Network.save_weights`."""
    tensors = dict(_public(network))
    dims = {name: _dims(network, name) for name in tensors}
    header = _header(network, WEIGHTS) | {
        "steps": str(network.steps),
        "dims": json.dumps(dims),
        "ties": json.dumps({name: owner for name, owner in network.plan.owners.items() if name != owner}),
    }
    return _write(Path(path), tensors, header)


def load_weights(network: Network, path: str | Path) -> None:
    """Take over the weights of a file; see `Network.load_weights`."""
    path = Path(path)
    with _reading(path):
        file, header = _open(path, (WEIGHTS,))
        _take(network, file, header)


def load(path: str | Path, device: str = "auto") -> Network:
    """The network that `save` or `save_weights` wrote; after the latter no optimiser remembers anything.

    Raises:
        StoreError: when the file is missing, damaged or something else. ExperimentError: for a device that is not
            there.
    """
    from neurosal.engine.network import compile

    path, where = Path(path), str(pick_device(device))
    with _reading(path):
        file, header = _open(path, (FORMAT, WEIGHTS))
        network = compile(
            Circuit.from_dict(json.loads(header["circuit"])), json.loads(header["seeds"]), where, header["dtype"],
            header.get("compute"),  # files from before there was a choice do not say it
        )  # fmt: skip
        if header["format"] == WEIGHTS:
            _take(network, file, header)
        else:
            network.load_state_dict(Stored(file))
    return network


def _header(network: Network, kind: str) -> dict[str, str]:
    return {
        "format": kind,
        "circuit": json.dumps(network.circuit.to_dict()),
        "seeds": json.dumps(network.seeds),
        "dtype": str(network.dtype).removeprefix("torch."),
        "compute": network.compute,
    }


def _write(path: Path, tensors: Mapping[str, Tensor], header: dict[str, str]) -> Path:
    aside = Path(f"{path}.part")
    try:
        write_tensors(aside, tensors, header)
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise StoreError(Problem(place=str(path), expected="a file that can be written", found=str(error))) from None
    return path


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever is wrong with the file is said as an error of the store, with its place."""
    if not path.is_file():
        raise StoreError(Problem(place=str(path), expected="a saved network", found="no such file"))
    try:
        yield
    except StoreError:
        raise
    except NeurosalError as error:
        raise StoreError(
            Problem(place=f"{path}: {problem.place}", expected=problem.expected, found=problem.found)
            for problem in error.problems
        ) from None
    except (KeyError, TypeError, ValueError, RecursionError, OSError) as error:
        found = f"a damaged file ({type(error).__name__}: {error})"
        raise StoreError(Problem(place=str(path), expected="a saved network", found=found)) from None


def _open(path: Path, kinds: tuple[str, ...]) -> tuple[TensorFile, dict[str, str]]:
    file = TensorFile(path)
    header = file.metadata
    if header.get("format") not in kinds:
        expected = f"format {' or '.join(map(repr, kinds))}"
        raise StoreError(Problem(place=str(path), expected=expected, found=repr(header.get("format"))))
    return file, header


# Weights as users see them --------------------------------------------------------------------------------------------


def _public(network: Network) -> Iterator[tuple[str, Tensor]]:
    """Of a network's state all that is no memory of an optimiser or a plasticity, by the names that users know and in
    each projection's own direction."""
    for key, tensor in network.state_dict().items():
        part, _, name = key.partition("/")
        match part:
            case "weights":
                yield name, network.weights.oriented(name, tensor)
            case "magnitudes":
                yield f"{name}.magnitude", network.weights.oriented(name, tensor)
            case "masks":
                yield f"{name}.mask", network.weights.oriented(name, tensor) != 0
            case "silenced":
                yield f"{name}.kept", tensor != 0
            case "biases" | "statistics":
                yield name, tensor
            case "routers":
                yield name.replace("/", "."), tensor


def parameters_of(network: Network, owner: str) -> tuple[str, ...]:
    """Names of what a population has of its own; none where it is no population."""
    population = network.circuit.populations.get(owner)
    return () if population is None else tuple(population.parameters)


def _key(network: Network, name: str) -> str | None:
    """Under which key a network's state has what users know by a name; None where it has no such thing."""
    owner, _, entry = name.partition(".")
    parameters = network.weights
    keys = {
        "": f"weights/{owner}",
        "magnitude": f"magnitudes/{owner}",
        "mask": f"masks/{owner}" if owner in parameters and parameters.mask_key(owner) == owner else "",
        "kept": f"silenced/{owner}" if owner in network.circuit.populations else "",
        **dict.fromkeys(parameters_of(network, owner), f"biases/{name}"),
        **dict.fromkeys(("mean", "variance"), f"statistics/{name}"),
    }
    key = keys.get(entry) if owner not in network.routers else f"routers/{owner}/{entry}"
    lesion = bool(key) and entry in ("mask", "kept")
    return key if key and (lesion or key in network._state.first()) else None


def _dims(network: Network, name: str) -> tuple[str, ...]:
    """What the axes of a tensor of the file are, called as in a record."""
    circuit = network.circuit
    owner, _, entry = name.partition(".")
    if entry and owner in circuit.populations:
        area = ("area",) if name in network.biases else ()
        per_channel = entry != "kept" and circuit.populations[owner].spatial
        own = schema.channels_dimension if per_channel else schema.units_dimension
        return (schema.REPLICA, *area, own(owner))
    edge = circuit.projections[owner]
    if edge.pathway == "modulatory":
        pre = schema.units_dimension(edge.source)
        return (schema.REPLICA, *(pre if dim == "pre" else dim for dim in ROUTER_DIMS[entry]))
    return (schema.REPLICA, schema.AREA, *weight_sizes(circuit, owner))


def _take(network: Network, file: TensorFile, header: Mapping[str, str]) -> None:
    """Put the weights of a file into a network; nothing is put there when names or shapes differ."""
    names: dict[str, str] = {}
    turns: dict[str, Callable[[Tensor], Tensor]] = {}
    problems = []
    for name in file:
        key = _key(network, name)
        owner, _, entry = name.partition(".")
        if key is None:
            remedy = near(name, [known for known, _ in _public(network)])
            problems.append(Problem(place=name, expected="a tensor of the circuit", found="another", remedy=remedy))
            continue
        if entry in ("mask", "kept"):
            units = network.circuit.populations[owner].units if entry == "kept" else 0
            shape = list(network.weights[owner].shape) if entry == "mask" else [network.replicas, units]
            if list(file.shape(name)) != shape:
                found = str(list(file.shape(name)))
                problems.append(Problem(place=name, expected=f"a tensor {shape}", found=found))
                continue
        names[key] = name
        if entry in ("", "magnitude", "mask") and owner in network.plan.reversed:
            turns[key] = partial(network.weights.oriented, owner)
    if problems:
        raise CircuitError(problems)
    network.load_state_dict(Stored(file, names, turns, {"steps": torch.tensor(int(header["steps"]))}))
