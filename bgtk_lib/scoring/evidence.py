"""What answers say of a person's ability at two occasions: likelihoods on a grid, posteriors under a normal prior.

The probability of a person's answers is an integral over (θ₁, θ₂). On a grid the prior's cross term is one matrix K for
everybody, so that the integral is a_i′ K b_i: matrix products, where a table persons × nodes × nodes would not fit.
Where there is only one occasion, the second has a single node, 0, and is independent of the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bgtk_lib.scoring.sittings import Floats, Sitting

Pair: TypeAlias = tuple[Floats, Floats]

BLOCK = 4096  # persons worked on at once: their tables stay in the processor's cache
FAINT = float(np.finfo(float).tiny / np.finfo(float).eps)  # below, doubles lose the digits a quantile needs
IMPOSSIBLE = -1e6  # log-likelihood of a person under a prior that double precision cannot hold


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """The answers' likelihood at each of two occasions.

    Attributes
    ----------
    grids : pair of array (Q,)
        Equally spaced abilities; a single node for an occasion that is not there.
    logliks : pair of array (n, Q)
        Zero throughout for who did not sit.
    """

    grids: Pair
    logliks: Pair


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """Everybody's ability after the answers.

    Attributes
    ----------
    loglik : array (n,)
        Log of the probability of the answers.
    mean : array (n, 2)
        Expected abilities.
    covariance : array (n, 2, 2)
        Their covariance.
    """

    loglik: Floats
    mean: Floats
    covariance: Floats


def weigh_answers(sitting: Sitting, grid: Floats) -> Floats:
    """Return the log-likelihood of each person's answers at each ability: (n, Q).

    Examples
    --------
    Right on an item of difficulty 0: log ½ at ability 0. Who was presented nothing gives no evidence.

    >>> from bgtk_lib.instrument.irt.curves import Curves
    >>> item = Curves(item_ids=("i",), slopes=np.ones(1), intercepts=np.zeros((1, 1)), graded=np.zeros(1, dtype=bool))
    >>> weigh_answers(Sitting(credit=np.array([[1.0], [np.nan]]), curves=item), np.zeros(1)).round(4).tolist()
    [[-0.6931], [0.0]]
    """
    logs = np.log(np.maximum(sitting.curves.probabilities(grid), np.finfo(float).tiny))
    found = np.zeros((len(sitting.credit), len(grid)))
    for category in range(logs.shape[1]):
        found += (sitting.credit == category).astype(float) @ logs[:, category]
    return found


def find_posterior(evidence: Evidence, mean: Floats, covariance: Floats) -> Posterior:
    """Return everybody's posterior under normal priors.

    Parameters
    ----------
    evidence : Evidence
        Of n persons.
    mean : array (n, 2)
        Their prior means.
    covariance : array (2, 2)
        The prior covariance, common to all.
    """
    total, top = np.empty(len(mean)), np.empty(len(mean))
    means, squares, product = np.empty_like(mean), np.empty_like(mean), np.empty(len(mean))
    tilting = _Tilting.of(evidence, mean, covariance)
    first, second, kernel = tilting.first, tilting.second, tilting.kernel
    for at, left, right, tops in tilting.blocks():
        along, across = left * (right @ kernel.T), right * (left @ kernel)
        total[at], top[at] = along.sum(axis=1), tops
        means[at] = np.column_stack([along @ first, across @ second])
        squares[at] = np.column_stack([along @ first**2, across @ second**2])
        product[at] = (right * ((left * first) @ kernel)) @ second
    lost = total <= 0  # beyond double precision: no prior for which that happens is near a maximum
    total = np.where(lost, 1.0, total)
    means /= total[:, None]
    squares = squares / total[:, None] - means**2
    product = product / total - means.prod(axis=1)
    cells = np.log([_step(grid) or np.sqrt(2 * np.pi) for grid in evidence.grids]).sum()
    constant = cells - np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(covariance)[1]
    loglik = np.log(total) + top + constant - 0.5 * (tilting.away * tilting.pull).sum(axis=1)
    return Posterior(
        loglik=np.where(lost, IMPOSSIBLE, loglik),
        mean=means + tilting.middles,
        covariance=np.column_stack([squares[:, 0], product, product, squares[:, 1]]).reshape(-1, 2, 2),
    )


def draw_abilities(evidence: Evidence, mean: Floats, covariance: Floats, *, chances: Floats) -> Floats:
    """Draw one pair of abilities a person from the posterior: (n, 2).

    Parameters
    ----------
    evidence, mean, covariance
        As `find_posterior` takes them.
    chances : array (2, n)
        Uniform random numbers: the quantiles that are drawn.

    Notes
    -----
    The first comes from its own posterior, the second from the one given the first. A draw lies anywhere in its node's
    cell, which adds a twelfth of a squared step to the variance.
    """
    drawn = np.empty_like(mean)
    slope = covariance[0, 1] / covariance[0, 0]
    spread = covariance[1, 1] - slope * covariance[0, 1]
    first, second = evidence.grids
    tilting = _Tilting.of(evidence, mean, covariance)
    for at, left, right, _ in tilting.blocks():
        density = left * (right @ tilting.kernel.T)
        lost = np.flatnonzero(
            density.sum(axis=1) < FAINT
        )  # the waves disagree more than a narrow prior lets doubles hold
        if len(lost):
            density[lost] = _weigh_in_logs(evidence, mean, covariance, rows=lost + at.start)
        drawn[at, 0] = _invert(density, first, chances[0, at])
        expected = mean[at, 1] + slope * (drawn[at, 0] - mean[at, 0])
        density, _ = _tilt(evidence.logliks[1][at] - 0.5 * (second - expected[:, None]) ** 2 / spread)
        drawn[at, 1] = _invert(density, second, chances[1, at])
    return drawn


def _weigh_in_logs(evidence: Evidence, mean: Floats, covariance: Floats, *, rows: NDArray[np.intp]) -> Floats:
    """Return the posterior of the first ability of a few persons, every row's largest 1: slowly, and without underflow."""
    precision = np.linalg.inv(covariance)
    away = [grid - mean[rows, at][:, None] for at, grid in enumerate(evidence.grids)]
    logs = (
        evidence.logliks[0][rows][:, :, None]
        + evidence.logliks[1][rows][:, None, :]
        - 0.5 * precision[0, 0] * away[0][:, :, None] ** 2
        - precision[0, 1] * away[0][:, :, None] * away[1][:, None, :]
        - 0.5 * precision[1, 1] * away[1][:, None, :] ** 2
    )
    along = logsumexp(logs, axis=2)
    density: Floats = np.exp(along - along.max(axis=1, keepdims=True))
    return density


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tilting:
    """The factors of the posterior.

    With d = θ − middle and P = Σ⁻¹, the kernel of all is exp(−½|P₁₂|(√s·d₁ ± d₂/√s)²), s = √(P₁₁/P₂₂), which is 1 along
    a ridge and never more. A person's own factors are the likelihoods times what is left of the prior,
    exp(d′P(μ − middle) − ½(1 − |ρ|)(P₁₁d₁² + P₂₂d₂²)).
    """

    evidence: Evidence
    middles: Floats
    first: Floats
    second: Floats
    kernel: Floats
    away: Floats
    pull: Floats
    own: Floats

    @classmethod
    def of(cls, evidence: Evidence, mean: Floats, covariance: Floats) -> _Tilting:
        precision = np.linalg.inv(covariance)
        tie, size = precision[0, 1], np.diag(precision)
        middles = np.array([(grid[0] + grid[-1]) / 2 for grid in evidence.grids])
        first, second = (grid - middle for grid, middle in zip(evidence.grids, middles, strict=True))
        stretch = (size[0] / size[1]) ** 0.25
        away = mean - middles
        return cls(
            evidence=evidence,
            middles=middles,
            first=first,
            second=second,
            kernel=np.exp(-0.5 * abs(tie) * np.add.outer(stretch * first, np.sign(tie) / stretch * second) ** 2),
            away=away,
            pull=away @ precision,
            own=size * (1 - abs(tie) / np.sqrt(size.prod())),
        )

    def blocks(self) -> Iterator[tuple[slice, Floats, Floats, Floats]]:
        """Yield rows, the two factors with every row's largest 1, and the log of what each row was divided by."""
        bend = -0.5 * self.own[0] * self.first**2, -0.5 * self.own[1] * self.second**2
        for start in range(0, len(self.pull), BLOCK):
            at = slice(start, start + BLOCK)
            left, left_top = _tilt(self.evidence.logliks[0][at] + self.pull[at, :1] * self.first + bend[0])
            right, right_top = _tilt(self.evidence.logliks[1][at] + self.pull[at, 1:] * self.second + bend[1])
            yield at, left, right, left_top + right_top


def _tilt(logs: Floats) -> Pair:
    """Return exp(logs) with every row's largest 1, and the log of what each row was divided by."""
    top = logs.max(axis=1)
    return np.exp(logs - top[:, None]), top


def _invert(density: Floats, grid: Floats, chances: Floats) -> Floats:
    """Return each row's quantile of a density that is constant in the cell around each node."""
    below = density.cumsum(axis=1)
    aim = chances * below[:, -1]
    node = np.minimum((below < aim[:, None]).sum(axis=1), len(grid) - 1)
    rows = np.arange(len(node))
    share = 1 - (below[rows, node] - aim) / density[rows, node]
    quantile: Floats = grid[node] + _step(grid) * (share - 0.5)
    return quantile


def _step(grid: Floats) -> float:
    """Return the distance of neighbouring nodes, 0 for a single one."""
    return float(grid[1] - grid[0]) if len(grid) > 1 else 0.0
