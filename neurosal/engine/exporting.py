"""Ways out of a network, and back: files, and plain torch modules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from neurosal.engine import modules, storing

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from neurosal.engine.network import Network


class Exported:
    """What a network offers to leave by; `Network` is one."""

    def save(self, path: str | Path) -> Path:
        """Write circuit, weights and state to one file that `neurosal.load` reads.

        Raises:
            StoreError: when the file cannot be written.
        """
        return storing.save(self._network, path)

    def save_weights(self, path: str | Path) -> Path:
        """Write weights, biases and routers to one safetensors file, without the memory of the optimiser.

        Tensors are called and turned as in `weights`, [R, K, post, pre], so that other programs can read them:
        ``{projection}``, ``{population}.bias``, ``{router}.prototypes``; where something was taken out,
        ``{projection}.mask`` and ``{population}.kept``. The header says what the axes are (``dims``), and has the
        circuit, the seeds, the type and which projections are tied to others (``ties``: they are not in the file).
        `neurosal.load` makes a network of it.

        Raises:
            StoreError: when the file cannot be written.

        Example:
            >>> import tempfile, neurosal as ns
            >>> from safetensors.numpy import load_file
            >>> network = ns.compile(ns.rules.bp(ns.circuits.mlp(3, 4, 2)), device="cpu")
            >>> path = network.save_weights(f"{tempfile.mkdtemp()}/weights.safetensors")
            >>> {name: array.shape for name, array in load_file(path).items()}["input_to_hidden1"]
            (1, 1, 4, 3)
            >>> ns.load(path, device="cpu")
            Network('mlp', replicas=1, weights=20, device='cpu', dtype='float32')
        """
        return storing.save_weights(self._network, path)

    def load_weights(self, path: str | Path) -> None:
        """Take over what `save_weights` of a network of the same populations and projections wrote: weights, lesions
        and how many steps were done. What an optimiser remembers is forgotten.

        Raises:
            StoreError: when the file is missing, damaged, or holds other names or shapes; nothing is taken over then.
        """
        storing.load_weights(self._network, path)

    def to_module(self, replica: int = 0) -> GraphModule:
        """One replica as a plain `torch.nn.Module` with the same outputs as `predict`: [N, *extent] in, [N, O] out.

        It computes the forward sweep alone; feedback synapses stay behind. Every dense projection is a
        `torch.nn.Linear` of its name and every convolution a `torch.nn.Conv2d`, with the population's bias in the first
        one that reaches it, so that ``hidden1_to_output.weight`` is a key of its ``state_dict``; a norm is a layer
        ``{population}_norm``, dropout one ``{population}_dropout``. Areas, routers, constant skips, lesions and lateral
        settling come along; synapses that are absent stay absent under any optimiser, fixed ones and routers do not
        learn. The module comes in evaluation mode; batch normalisation and dropout tell that from training.
        ``print(module.code)`` shows the lines that it runs, and `torch.export.export` takes it.

        Args:
            replica: which one of ``seeds``; one module holds one.

        Returns:
            A module with copies of the weights, of the network's type and on its device. Several inputs are arguments
            by the names of their populations.

        Raises:
            ExperimentError: for a replica that is not there. CircuitError: for what has no torch module, by name.

        Example:
            >>> import torch, neurosal as ns
            >>> network = ns.compile(ns.rules.fa(ns.circuits.mlp(3, 4, 2)), seeds=(0, 1), device="cpu")
            >>> module, x = network.to_module(replica=1), torch.ones(5, 3)
            >>> torch.allclose(module(x), network.predict(x)[1])
            True
            >>> print(module.input_to_hidden1)
            Linear(in_features=3, out_features=4, bias=True)
            >>> print(module.code.strip())
            def forward(self, input):
                input_1 = input
                input_to_hidden1 = self.input_to_hidden1(input_1);  input_1 = None
                relu = torch.relu(input_to_hidden1);  input_to_hidden1 = None
                hidden1_to_output = self.hidden1_to_output(relu);  relu = None
                return hidden1_to_output
        """
        return modules.to_module(self._network, replica)

    def load_module(self, module: nn.Module | Mapping[str, Tensor], replica: int = 0) -> None:
        """Take over the weights of a module that `to_module` made, perhaps trained since, into one replica.

        Feedback synapses with weights of their own, the other replicas and what the optimiser remembers stay as they
        are (`restart` makes it forget).

        Args:
            module: the module, or its ``state_dict``.
            replica: where to put them.

        Raises:
            CircuitError: for names, shapes or lesions that are not those of this network; nothing is taken over then.
            ExperimentError: for a replica that is not there.

        Example:
            >>> import torch, neurosal as ns
            >>> network = ns.compile(ns.rules.fa(ns.circuits.mlp(3, 4, 2)), device="cpu")
            >>> module = network.to_module()
            >>> module.hidden1_to_output.weight.data.zero_()
            tensor([[0., 0., 0., 0.],
                    [0., 0., 0., 0.]])
            >>> network.load_module(module)
            >>> float(network.weights["hidden1_to_output"].norm())
            0.0
        """
        modules.load_module(self._network, module, replica)

    @property
    def _network(self) -> Network:
        return cast("Network", self)
