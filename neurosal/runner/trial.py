"""What a step of one projection would do to the loss of its batch: tried, measured, and taken back."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from neurosal.engine.losses import LOSSES
from neurosal.engine.network import Network
from neurosal.plasticity import Delta
from neurosal.runner.moment import Moment
from neurosal.runner.recordable import Recordable
from neurosal.settings.training import Training

Tried = tuple[Tensor, Tensor, Tensor, Tensor]


class Trial:
    """Plain steps ``−η Δ`` of single projections, η the optimiser's rate (before any schedule) times the plasticity's.

    Losses are computed in float64 from the output: the difference of two that are nearly the same is what counts.
    """

    def __init__(self, network: Network, recordable: Recordable, training: Training) -> None:
        self.network, self.recordable, self.training = network, recordable, training

    @cached_property
    def descent(self) -> Network:
        """The network whose changes are the gradient of the mean loss: backpropagation with the plain delta rule."""
        circuit = self.recordable.reference
        plain = {name: circuit.projections[name].replace(plasticity=Delta()) for name in self.recordable.compared}
        return self.network.twin(circuit.with_projections(**plain))

    def of(self, projection: str, moment: Moment) -> Tried | None:
        """Gradient and step [R, K, post, pre], and the loss before and after the step [R]; None where the projection
        does not change."""
        change = moment.updates.get(projection)
        if change is None:
            return None
        rate = self._rate(projection).view(-1, *([1] * (change.dim() - 1)))
        step, weight = -rate * change, self.network.weights[projection]
        mask = self.network.weights.mask_of(projection)
        step = step if mask is None else step * mask
        before = moment.once("loss", lambda: self._loss(moment))
        kept = weight.clone()
        weight.add_(step)
        try:
            after = self._loss(moment)
        finally:
            weight.copy_(kept)
        return moment.updates_of(self.descent)[projection], step, before, after

    def _rate(self, projection: str) -> Tensor:
        lr = self.training.optimizer.lr
        rates = torch.tensor(lr, dtype=self.network.dtype, device=self.network.device)
        return rates * self.network.circuit.projections[projection].plasticity.rate

    def _loss(self, moment: Moment) -> Tensor:
        """Mean loss of the batch, [R] in float64."""
        x, y = moment.batch
        output = self.network.predict(x).double()
        labels = self.training.loss == "cross_entropy"
        shape = output.shape[:2] if labels else output.shape
        target = y.to(output.device).expand(shape) if labels else y.to(output).expand(shape)
        found: Tensor = LOSSES[self.training.loss](output, target)[0]
        return found
