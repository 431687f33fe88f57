"""A router of one replica, sample by sample: u = h - mean, q = P u / |P u|, s = C q, area = argmax s."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.reference.numerics import Array


class Router:
    """State of one replica's router and what its plasticity does with a batch."""

    def __init__(
        self, fields: dict[str, Any], *, weight: Array, prototypes: Array, mean: Array, usage: Array, count: Any
    ) -> None:
        self.weight, self.prototypes, self.mean, self.usage = (
            weight.copy(),
            prototypes.copy(),
            mean.copy(),
            usage.copy(),
        )
        self.count = float(count)
        self.centre_rate = fields["wiring"]["centre_rate"]
        self.plasticity = fields["plasticity"]

    def query(self, h: Array) -> tuple[Array, float, Array]:
        """u, |P u| and q of one sample."""
        u = h - self.mean
        projected = self.weight @ u
        norm = max(float(np.sqrt((projected**2).sum())), 1e-12)
        return u, norm, projected / norm

    def area(self, h: Array) -> int:
        """The area that one sample selects."""
        return int(np.argmax(self.prototypes @ self.query(h)[2]))

    def learn(self, batch: Array, lr: float) -> None:
        """After a training batch, seen with the state that routed it: first mean and usage move, then what the
        plasticity moves.
        """
        seen = [self.query(h) for h in batch]
        chosen = [int(np.argmax(self.prototypes @ q)) for _, _, q in seen]
        areas = len(self.prototypes)
        self.count += 1
        if self.centre_rate > 0:
            rate = max(self.centre_rate, 1 / self.count)
            self.mean = self.mean + rate * (batch.mean(axis=0) - self.mean)
        share = np.array([chosen.count(k) / len(batch) for k in range(areas)])
        self.usage = self.usage + self.plasticity.get("usage_rate", 0.01) * (share - self.usage)
        if "balance" in self.plasticity:
            handicap = self.plasticity["balance"] * (areas * self.usage - 1)
            targets = [int(np.argmax(self.prototypes @ q - handicap)) for _, _, q in seen]
            {"attract": self._attract, "online_balanced": self._compete}[self.plasticity["kind"]](seen, targets, lr)

    def _attract(self, seen: list[tuple[Array, float, Array]], targets: list[int], lr: float) -> None:
        change = np.zeros_like(self.weight)
        for (u, norm, q), t in zip(seen, targets, strict=True):
            pull = self.prototypes[t] - (self.prototypes[t] @ q) * q
            change += np.outer(pull, u) / norm
        self.weight = self.weight + lr * self.plasticity["rate"] * change / len(seen)

    def _compete(self, seen: list[tuple[Array, float, Array]], targets: list[int], lr: float) -> None:
        areas = len(self.prototypes)
        for k in range(areas):
            won = [q for (_, _, q), t in zip(seen, targets, strict=True) if t == k]
            if won:
                amount = 1 - (1 - self.plasticity["step"]) ** (areas * len(won) / len(seen))
                moved = self.prototypes[k] + amount * (np.mean(won, axis=0) - self.prototypes[k])
                self.prototypes[k] = moved / np.sqrt((moved**2).sum())


def k_means(prototypes: Array, queries: Array, iterations: int) -> Array:
    """Spherical k-means: assign each query to its best prototype, move each prototype to the normalised sum of what
    it won, repeat.

    A prototype k that won nothing is put on the query that is served k-th worst.
    """
    prototypes = prototypes.copy()
    for _ in range(iterations):
        scores = queries @ prototypes.T
        choice = scores.argmax(axis=1)
        worst = np.argsort(scores.max(axis=1))
        moved = prototypes.copy()
        for k in range(len(prototypes)):
            won = queries[choice == k]
            if len(won):
                moved[k] = won.sum(axis=0)
            elif len(queries) >= len(prototypes):
                moved[k] = queries[worst[k]]
            moved[k] = moved[k] / np.sqrt((moved[k] ** 2).sum())
        prototypes = moved
    return prototypes
