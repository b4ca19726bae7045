"""What an item's parameters say: the probability of each category at an ability, expected credit and information.

Two families hold all five models. Adjacent-category logits (Rasch, 2PL, partial credit, generalised partial credit):
log P(X = k) = k·a·θ + d_k + const, d_0 = 0. Cumulative logits (graded): logit P(X ≥ k) = a·θ + d_k, d falling in k.
The intercepts d have no bounds, unlike difficulties, which run away where a slope nears zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """Known parameters of items.

    Attributes
    ----------
    item_ids : tuple of str
        The J items.
    slopes : array (J,)
        a, logits per unit of ability.
    intercepts : array (J, M)
        d_1 … d_M in logits, null beyond an item's highest category; M is the most any item has.
    graded : array of bool (J,)
        Cumulative logits instead of adjacent ones.
    """

    item_ids: tuple[str, ...]
    slopes: Floats
    intercepts: Floats
    graded: NDArray[np.bool_]

    @property
    def highest(self) -> NDArray[np.int64]:
        """Highest category of each item (J,): 1 for right or wrong."""
        return np.asarray((~np.isnan(self.intercepts)).sum(axis=1), dtype=np.int64)

    @property
    def difficulties(self) -> Floats:
        """Difficulties b (J, M): where neighbouring categories are equally likely; for graded items, where P(X ≥ k) = ½.

        Undefined (infinite) where a slope is zero.
        """
        steps = self.intercepts.copy()
        adjacent = ~self.graded
        steps[adjacent, 1:] = np.diff(self.intercepts[adjacent], axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            difficulties: Floats = -steps / self.slopes[:, None]
        return difficulties

    def log_odds(self, theta: Floats) -> Floats:
        """Return the unnormalised log probabilities of adjacent items, the cumulative logits of graded ones: J × M × Q."""
        order = np.arange(1, self.intercepts.shape[1] + 1)
        times = np.where(self.graded[:, None], 1, order[None, :])
        odds: Floats = (self.slopes[:, None] * times)[:, :, None] * theta + self.intercepts[:, :, None]
        return odds

    def probabilities(self, theta: Floats) -> Floats:
        """Return P(X = k) at each ability: items × categories × abilities, zero beyond an item's highest category."""
        odds = self.log_odds(np.asarray(theta, dtype=float))
        n_items, n_steps, n_points = odds.shape
        found = np.zeros((n_items, n_steps + 1, n_points))
        adjacent = ~self.graded
        if adjacent.any():
            z = np.concatenate([np.zeros((int(adjacent.sum()), 1, n_points)), odds[adjacent]], axis=1)
            z = np.where(np.isnan(z), -np.inf, z)
            z -= z.max(axis=1, keepdims=True)
            found[adjacent] = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        if self.graded.any():
            found[self.graded] = subtract_steps(odds[self.graded])
        return found

    def slopes_of_probabilities(self, theta: Floats) -> Floats:
        """Return dP(X = k)/dθ: items × categories × abilities."""
        theta = np.asarray(theta, dtype=float)
        found = self.probabilities(theta)
        order = np.arange(found.shape[1], dtype=float)
        mean = (found * order[:, None]).sum(axis=1, keepdims=True)
        slope: Floats = self.slopes[:, None, None] * found * (order[:, None] - mean)
        if self.graded.any():
            odds = self.log_odds(theta)[self.graded]
            falls = np.nan_to_num(expit(odds) * expit(-odds)) * self.slopes[self.graded][:, None, None]
            none = np.zeros((len(falls), 1, len(theta)))
            slope[self.graded] = -np.diff(np.concatenate([none, falls, none], axis=1), axis=1)
        return slope

    def expected_credit(self, theta: Floats) -> Floats:
        """Return the expected category of each item: J × Q."""
        chances = self.probabilities(theta)
        expected: Floats = np.einsum("jkq,k->jq", chances, np.arange(chances.shape[1], dtype=float))
        return expected

    def information(self, theta: Floats) -> Floats:
        """Return Fisher's information of each item about ability, Σ_k (dP_k/dθ)² / P_k: J × Q."""
        chances, slope = self.probabilities(theta), self.slopes_of_probabilities(theta)
        information: Floats = np.divide(slope**2, chances, where=chances > 0, out=np.zeros_like(slope)).sum(axis=1)
        return information

    def take(self, items: Sequence[str]) -> Curves:
        """Return the items named, in that order."""
        at = [self.item_ids.index(item) for item in items]
        return Curves(
            item_ids=tuple(items), slopes=self.slopes[at], intercepts=self.intercepts[at], graded=self.graded[at]
        )

    def rescale(self, *, slope: float, shift: float) -> Curves:
        """Return the same curves on the scale θ* = slope·θ + shift."""
        times = np.where(self.graded[:, None], 1, np.arange(1, self.intercepts.shape[1] + 1)[None, :])
        slopes = self.slopes / slope
        return Curves(
            item_ids=self.item_ids,
            slopes=slopes,
            intercepts=self.intercepts - times * slopes[:, None] * shift,
            graded=self.graded,
        )


def subtract_steps(odds: Floats) -> Floats:
    """Return P(X = k) = P(X ≥ k) − P(X ≥ k + 1) from cumulative logits, null where there is no such step.

    The difference is taken on the side of zero where it loses no digits.
    """
    ends = np.full((len(odds), 1, odds.shape[2]), np.inf)
    steps = np.concatenate([ends, np.where(np.isnan(odds), -np.inf, odds), -ends], axis=1)
    upper, lower = steps[:, :-1], steps[:, 1:]
    right = lower > np.where(np.isinf(upper), -1.0, -upper)
    chances: Floats = np.where(right, expit(-lower) - expit(-upper), expit(upper) - expit(lower))
    return chances
