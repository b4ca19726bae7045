"""Estimates drawn towards their common mean, as far as their errors ask for it: normal–normal, tau integrated out.

Written here because statsmodels' meta-analysis takes independent estimates only, and has neither shrunken estimates nor
Q-profile intervals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from bgtk_lib.change.clusters import ROUNDING, Floats
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

FEWEST = 3  # groups; with fewer the flat prior on tau leaves no proper posterior
POINTS = 400  # of the grid over tau


@dataclass(frozen=True, kw_only=True, eq=False)
class Shrunken:
    """Estimates of exchangeable groups.

    Attributes
    ----------
    estimate, low, high : array of D
        Posterior mean and ends of the interval of each group's true value.
    weight : array of D
        Share that the group's own estimate has in it; the rest is the other groups'.
    mean, mean_low, mean_high : float
        Mean of the distribution that the groups come from.
    tau : float
        Standard deviation of that distribution: REML.
    tau_low, tau_high : float or None
        Its Q-profile interval; null where the estimates lie closer together than their errors let expect, so that no
        value of tau fits them.
    """

    estimate: Floats
    low: Floats
    high: Floats
    weight: Floats
    mean: float
    mean_low: float
    mean_high: float
    tau: float
    tau_low: float | None
    tau_high: float | None


def shrink(estimates: ArrayLike, covariance: ArrayLike, *, confidence: float = 0.95) -> Shrunken | Withheld:
    """Estimate the true values of groups that are taken as exchangeable, and how much they differ.

    Parameters
    ----------
    estimates : array of D
        One of each group.
    covariance : array of D × D
        Of their errors, positive definite; taken as known.
    confidence : float
        Of all intervals, between 0 and 1.

    Returns
    -------
    Shrunken or Withheld
        Withheld with fewer than three groups.

    Notes
    -----
    y ~ N(θ, S), θ_d ~ N(μ, τ²), priors flat on μ and on τ ≥ 0 (Rubin 1981; Gelman 2006 finds it safe from about five
    groups on, and too wide rather than too narrow below). With V = S + τ²I, μ̂ = 1′V⁻¹y / 1′V⁻¹1 and v = 1 / 1′V⁻¹1

    p(τ | y) ∝ |V|^(−½) v^½ exp(−½ (y − μ̂)′V⁻¹(y − μ̂)), E(θ | τ) = y − SV⁻¹(y − μ̂),
    var(θ | τ) = τ²V⁻¹S + v·(SV⁻¹1)(SV⁻¹1)′,

    and everything is averaged over p(τ | y) on a grid, so that the intervals hold what is not known of τ; ends are
    quantiles of the mixture. As S and τ²I share eigenvectors, one decomposition serves all τ. The estimate of τ is where
    p(τ | y) is highest, which is REML; its interval holds the τ for which (y − μ̂)′V⁻¹(y − μ̂) lies between the quantiles
    of χ² with D − 1 degrees of freedom.

    References
    ----------
    Rubin, D. B. (1981). Estimation in parallel randomized experiments. *Journal of Educational Statistics* 6(4), 377-401.

    Gelman, A. (2006). Prior distributions for variance parameters in hierarchical models. *Bayesian Analysis* 1(3),
    515-534.

    Viechtbauer, W. (2007). Confidence intervals for the amount of heterogeneity in meta-analysis. *Statistics in
    Medicine* 26(1), 37-52.

    Examples
    --------
    Three groups measured with the same error: their mean stays where it is, and all draw near to it.

    >>> result = shrink([-3, 0, 3], np.eye(3))
    >>> abs(round(result.mean, 6)), round(result.tau**2, 6)
    (0.0, 8.0)
    >>> bool((abs(result.estimate) <= [3, 1e-9, 3]).all())
    True
    """
    y, S = np.asarray(estimates, dtype=float), np.asarray(covariance, dtype=float)
    if len(y) < FEWEST:
        return Withheld(say("multilevel.few_districts", n=len(y), needed=FEWEST))
    values, Q = np.linalg.eigh(S)
    ones = Q.T @ np.ones(len(y))

    def profile(squares: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return μ̂, v, the residuals in eigenvectors and their Q, for each τ²."""
        inverse = 1 / (values + squares[:, None])
        v = 1 / (inverse @ ones**2)
        mean = v * (inverse @ (ones * (Q.T @ y)))
        left = Q.T @ y - mean[:, None] * ones
        return mean, v, left, (inverse * left**2).sum(axis=1)

    def judge(squares: Floats) -> Floats:
        """Return log p(τ | y) but for a constant."""
        _, v, _, q = profile(squares)
        told: Floats = (np.log(v) - np.log(values + squares[:, None]).sum(axis=1) - q) / 2
        return told

    # τ = c·tan(πu/2) takes the points to infinity; dτ/du weighs them
    angle = (np.arange(POINTS) + 0.5) / POINTS * np.pi / 2
    scale = float(np.sqrt(np.median(values) + y.var()))
    squares = (scale * np.tan(angle)) ** 2
    log_weights = judge(squares) - 2 * np.log(np.cos(angle))
    p = special.softmax(log_weights)

    mean, v, left, _ = profile(squares)
    held = values / (values + squares[:, None])  # SV⁻¹ in eigenvectors
    centers = y - (held * left) @ Q.T
    spreads = np.sqrt((squares[:, None] * held) @ (Q.T**2) + v[:, None] * ((held * ones) @ Q.T) ** 2)
    ends = [_find_ends(p, *pair, confidence=confidence) for pair in zip(centers.T, spreads.T, strict=True)]
    mean_low, mean_high = _find_ends(p, mean, np.sqrt(v), confidence=confidence)
    low, high = _profile_q(lambda square: float(profile(np.array([square]))[3][0]), len(y) - 1, confidence=confidence)
    return Shrunken(
        estimate=p @ centers,
        low=np.array([end[0] for end in ends]),
        high=np.array([end[1] for end in ends]),
        weight=1 - p @ (held @ (Q.T**2)),
        mean=float(p @ mean),
        mean_low=mean_low,
        mean_high=mean_high,
        tau=_find_peak(judge, float(np.ptp(y))),
        tau_low=low,
        tau_high=high,
    )


def _find_ends(p: Floats, centers: Floats, spreads: Floats, *, confidence: float) -> tuple[float, float]:
    """Return the equal-tailed interval of a mixture of normals."""
    far = float(special.ndtri((1 - confidence) / 4)) - 8
    least, most = float((centers + far * spreads).min()), float((centers - far * spreads).max())

    def beyond(x: float, share: float) -> float:
        return float(p @ special.ndtr((x - centers) / spreads)) - share

    low, high = (float(optimize.brentq(beyond, least, most, args=(s,))) for s in _tails(confidence))
    return low, high


def _find_peak(judge: Callable[[Floats], Floats], widest: float) -> float:
    """Return the τ of the highest posterior density, between 0 and the range of the estimates."""
    if widest == 0:
        return 0.0
    found = optimize.minimize_scalar(
        lambda tau: -float(judge(np.array([tau**2]))[0]), bounds=(0.0, widest), method="bounded", options={"xatol": 1e-8 * widest}
    )  # fmt: skip
    return float(found.x) if -found.fun > float(judge(np.zeros(1))[0]) else 0.0


def _profile_q(measure: Callable[[float], float], df: int, *, confidence: float) -> tuple[float | None, float | None]:
    """Return the τ between which Q lies within its quantiles; none where it lies below them at τ = 0 already."""
    lower, upper = (float(q) for q in stats.chi2.ppf(_tails(confidence), df))
    at_zero = measure(0.0)
    if at_zero < lower:
        return None, None
    far = 1.0
    while measure(far) > lower:
        far *= 4

    def reach(q: float) -> float:
        return float(np.sqrt(optimize.brentq(lambda square: measure(square) - q, 0.0, far, xtol=ROUNDING)))

    return reach(upper) if at_zero > upper else 0.0, reach(lower)


def _tails(confidence: float) -> tuple[float, float]:
    return (1 - confidence) / 2, (1 + confidence) / 2
