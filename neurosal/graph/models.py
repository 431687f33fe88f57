"""What a population computes from the input it receives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from neurosal.graph.blocks import shapes
from neurosal.graph.normalisation import Normalisation
from neurosal.graph.value import FrozenMap, Kinded

Activation = Literal["linear", "relu", "tanh", "sigmoid", "gelu", "elu", "softplus"]


class Model(Kinded):
    """A neuron model. ``carries`` says which signals live in it."""

    family: ClassVar[str] = "population model"
    carries: ClassVar[frozenset[str]] = frozenset()

    def features(self, units: int) -> int:
        """How many numbers of a sample an input of so many units takes."""
        return units

    def parameters(self, extent: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """What a population of this extent can learn of its own, by name, and its shape in one area."""
        return {}

    def statistics(self, extent: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Running statistics that it keeps, by name, and their shape."""
        return {}


class Source(Model):
    """Activity is given from outside: the data, or noise.

    Args:
        driven: the activity is noise that stands in for what the population would compute in its circuit (see
            `Circuit.driven_at`). Plasticity that waits for such noise, as the weight mirror does, acts only then.
    """

    kind: ClassVar[str] = "source"
    carries: ClassVar[frozenset[str]] = frozenset({"activity", "error"})
    rare: ClassVar[frozenset[str]] = frozenset({"driven"})
    driven: bool = False


class Rate(Model):
    """``h = f(b + Σ W h_source)`` with a bias per unit and area that starts at zero; ``δ = e * f'(a)``.

    With a norm and a gain it is ``h = g f(norm(a))`` of the whole input ``a = b + Σ W h_source``, bias included, and
    ``δ = Jᵀ e`` with the Jacobian J of that function at a: the error passes the norm as it does under backpropagation,
    within the population and without any synapse.

    With lateral projections L from the population to itself its activity settles: from that without them on, ``h += ρ
    (f(b + Σ W h_source + Σ L h) - h)``, as many times as ``settle_steps`` says. The error is gated at the settled
    state, ``a = b + Σ W h_source + Σ L h``; none travels along lateral projections. A linear population settles at
    ``(I - L)⁻¹ (b + Σ W h_source)`` where ``|1 - ρ (1 - λ)| < 1`` for every eigenvalue λ of L.

    With dropout, each unit is silent for each sample of a training step with that probability p, and what leaves the
    others is 1/(1-p) times as large; the error passes where activity did. Judging (`predict`, `evaluate`) leaves all
    units as they are.

    Args:
        norm: of the input, before f; None for none.
        gain: g, on what leaves.
        dropout: p (Srivastava et al. 2014, "Dropout").
        plastic: whether what the norm (or a module) has of its own learns; phases set it.
        settle_steps, settle_rate: how often, and ρ; of no effect without lateral projections.
    """

    kind: ClassVar[str] = "rate"
    carries: ClassVar[frozenset[str]] = frozenset({"activity", "error"})
    rare: ClassVar[frozenset[str]] = frozenset({"gain", "dropout", "plastic", "settle_steps", "settle_rate"})
    activation: Activation = "relu"
    bias: bool = True
    norm: Normalisation | None = None
    gain: float = Field(default=1.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    plastic: bool = True
    settle_steps: int = Field(default=20, gt=0)
    settle_rate: float = Field(default=0.5, gt=0, le=1)

    def parameters(self, extent: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        bias = {"bias": extent[:1]} if self.bias else {}
        return bias if self.norm is None else bias | self.norm.parameters(extent)

    def statistics(self, extent: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {} if self.norm is None else self.norm.statistics(extent)


class Block(Rate):
    """A torch module in a population: ``h = g f(module(norm(a)))``, and the error comes back through the module by its
    own vector-Jacobian product. Its parameters (``{population}.module.weight``) change from the error that reaches the
    population, as biases and norms do; each replica has its own, drawn from its seed.

    The module takes rows [N, *extent] and gives rows of the same shape, sample by sample. It holds no running
    statistics and draws no numbers; the population's own norm and dropout do that.

    Args:
        module: by its registered name (`neurosal.graph.register_block`), or one of ``torch.nn``.
        options: what the module is made with: numbers, text, true and false, and lists of them.

    Example:
        >>> from neurosal.graph import Population
        >>> model = Block(module="torch.nn.TransformerEncoderLayer", options={
        ...     "d_model": 8, "nhead": 2, "dim_feedforward": 16, "dropout": 0.0, "batch_first": True})
        >>> Population(shape=(5, 8), model=model).parameters["module.linear1.weight"]  # five tokens of eight
        (16, 8)
    """

    kind: ClassVar[str] = "block"
    rare: ClassVar[frozenset[str]] = Rate.rare | {"options", "activation", "bias"}
    module: str
    options: Mapping[str, Any] = Field(default_factory=dict)
    activation: Activation = "linear"
    bias: bool = False

    @field_validator("options", mode="after")
    @classmethod
    def _freeze(cls, options: Mapping[str, Any]) -> FrozenMap[Any]:
        for name, value in options.items():
            entries = value if isinstance(value, (list, tuple)) else [value]
            if not all(isinstance(entry, (bool, int, float, str)) for entry in entries):
                raise ValueError(f"numbers, text, true and false, and lists of them (found {name}: {value!r})")
        return FrozenMap({name: list(value) if isinstance(value, tuple) else value for name, value in options.items()})

    def parameters(self, extent: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        own = {f"module.{key}": shape for key, shape in shapes(self.module, self.options, extent).items()}
        return super().parameters(extent) | own


class Relay(Model):
    """Error relay: linear, carries error only, along feedback projections (Li et al. 2024, arXiv 2405.20594)."""

    kind: ClassVar[str] = "relay"
    carries: ClassVar[frozenset[str]] = frozenset({"error"})
