"""How a network is trained, as a value."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from neurosal.errors import ExperimentError
from neurosal.graph.value import Value
from neurosal.settings.augmentation import Augmentation
from neurosal.settings.optimizers import SGD, Optimizer
from neurosal.settings.probes import Probe

# Fields that older runs do not know: left out of files where they say what was always so.
LATER: dict[str, Any] = {
    "evaluate_every_steps": None,
    "checkpoint_at_end": True,
    "compute": None,
    "step": "eager",
    "recompute": 1,
    "augment": [],
}

Loss = Literal["cross_entropy", "mse", "bce", "none"]


class Training(Value):
    """Settings of one training run.

    Args:
        epochs: passes over the training part.  batch_size: samples a step (the last batch of an epoch may be smaller).
        loss: "cross_entropy" (takes logits), "mse" (mean over outputs) or "bce" (takes logits, mean over outputs);
            "none" learns without an error: only plasticity that needs none acts, targets are not looked at, the
            recorded loss is NaN and there are no evaluations.
        optimizer: e.g. ``SGD(lr=0.1)``.
        evaluate_every: epochs between evaluations on the validation and test parts; before the first step and after the
            last there is always one.
        evaluate_every_steps: steps between further evaluations, for epochs that take long.
        log_every: steps between records of the training loss.
        checkpoint_every: epochs between checkpoints, and one at the end of each phase where the phases are gone through
            once; None writes one at the end only.
        checkpoint_every_steps: steps between further checkpoints, for epochs that take long.
        checkpoint_at_end: whether there is one at the end; without, a run that is done keeps no weights, and one that
            is stopped begins anew unless there were checkpoints on the way.
        record: probes.
        queue_mb: memory for records that wait to be written, in MiB (checkpoints, too, up to that size).
        when_full: what happens to a record that finds that memory full: "block" waits, "drop" leaves it out, counts it
            in `status.json` and warns at the end. Records below a thousandth of the memory are never dropped.
        dtype: "float32" or "float64".
        compute: the type of dense products, "bfloat16" with float32 weights; None (null) for `dtype`. What is recorded
            is float32 either way.
        step: how a step runs: "eager", kernel after kernel; "compiled", as one graph that torch compiles at the first
            step of each batch size; "cuda_graph", as one graph that a GPU replays. See `compile`.
        recompute: segments of which a step holds one, and computes the others again when the feedback reaches them (see
            `neurosal.compile`); 1 for none.
        augment: changes of the images that are trained on, one after the other, e.g. ``(RandomFlip(), PadCrop())``.
    """

    error = ExperimentError
    epochs: int = Field(default=25, gt=0)
    batch_size: int = Field(default=16, gt=0)
    loss: Loss = "cross_entropy"
    optimizer: Optimizer = Field(default_factory=SGD)
    evaluate_every: int = Field(default=1, gt=0)
    evaluate_every_steps: int | None = Field(default=None, gt=0)
    log_every: int = Field(default=10, gt=0)
    checkpoint_every: int | None = Field(default=5, gt=0)
    checkpoint_every_steps: int | None = Field(default=None, gt=0)
    checkpoint_at_end: bool = True
    record: tuple[Probe, ...] = ()
    queue_mb: float = Field(default=16, gt=0, allow_inf_nan=False)
    when_full: Literal["block", "drop"] = "block"
    dtype: Literal["float32", "float64"] = "float32"
    compute: Literal["float32", "float64", "bfloat16"] | None = None
    step: Literal["eager", "compiled", "cuda_graph"] = "eager"
    recompute: int = Field(default=1, gt=0)
    augment: tuple[Augmentation, ...] = ()

    @field_validator("recompute", mode="after")
    @classmethod
    def _waits_for_nothing(cls, value: int, info: ValidationInfo) -> int:
        if value > 1 and getattr(info.data.get("optimizer"), "clip", None) is not None:
            raise ValueError("1 with an optimizer that clips, which holds all signals until every change is known")
        if value > 1 and info.data.get("step") == "compiled":
            raise ValueError("1 with a compiled step: the compiler would merge what is computed twice")
        return value

    @field_validator("compute", mode="after")
    @classmethod
    def _fits(cls, value: str | None, info: ValidationInfo) -> str | None:
        own = info.data.get("dtype", value)  # absent where it is wrong, which is said elsewhere
        if value == own or value is None:
            return None
        if value == "bfloat16" and own == "float32":
            return value
        raise ValueError(f"null, or {own!r}, the dtype{', or bfloat16' if own == 'float32' else ''}")

    @field_validator("step", mode="after")
    @classmethod
    def _computes(cls, value: str, info: ValidationInfo) -> str:
        if value != "eager" and info.data.get("compute") is not None:
            raise ValueError(f"'eager' (the way for products in {info.data['compute']})")
        return value

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers; without fields that older runs do not know, where nothing is asked
        of them."""
        return {name: value for name, value in super().to_dict().items() if name not in LATER or value != LATER[name]}
