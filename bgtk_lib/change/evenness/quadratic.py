"""Quadratic forms of means that are known with error: estimated without bias, and how they are distributed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from bgtk_lib.change.clusters import Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class QuadraticForm:
    """x′Mx − tr(MT̂) for x ~ N(μ, T): an estimate of μ′Mμ without bias, and its distribution.

    Attributes
    ----------
    M, T : array of 2D × 2D
        The form, and the covariance of x.
    noise : float
        Variance of tr(MT̂).
    slack : float
        Squared error of the estimate's variance where μ is itself estimated.
    """

    M: Floats
    T: Floats
    noise: float
    slack: float = 0.0

    @property
    def chance(self) -> float:
        """What chance adds to x′Mx, tr(MT)."""
        return float(np.trace(self.M @ self.T))

    def estimate(self, x: Floats) -> float:
        """Return the estimate of μ′Mμ."""
        return float(x @ self.M @ x) - self.chance

    def find_cumulants(self, mu: Floats) -> tuple[float, float, float]:
        """Return the estimate's mean, variance and third central moment if the means are `mu`.

        Notes
        -----
        κ_r = 2^(r−1) (r−1)! [tr (MT)^r + r μ′(MT)^(r−1)Mμ], of the first without its trace, and `noise` in the second.
        """
        MT, Mmu = self.M @ self.T, self.M @ mu
        TMmu = self.T @ Mmu
        second = 2 * np.trace(MT @ MT) + 4 * Mmu @ TMmu + self.noise
        third = 8 * np.trace(MT @ MT @ MT) + 24 * TMmu @ self.M @ TMmu
        return float(mu @ Mmu), float(second), float(third)

    def exceed(self, observed: float, mu: Floats) -> float:
        """Return the probability of an estimate above `observed` if the means are `mu`: Pearson type III."""
        first, second, third = self.find_cumulants(mu)
        second += self.slack / second
        return float(stats.pearson3.sf(observed, third / second**1.5, loc=first, scale=np.sqrt(second)))


def solve_rising(probability: Callable[[float], float], level: float, *, least: float, start: float) -> float:
    """Return where a rising probability reaches `level`, or `least` where it stands there already."""
    left, right = max(least, -start), start
    while left > least and probability(left) > level:
        left *= 2
    if probability(left) >= level:
        return left
    while probability(right) < level:
        right *= 2
    return float(optimize.brentq(lambda s: probability(s) - level, left, right))
