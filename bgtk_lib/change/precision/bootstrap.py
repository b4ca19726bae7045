"""Wild cluster bootstrap with the null imposed: a test that needs no degrees of freedom where clusters are few.

All that a draw needs of the data are sums over clusters, and in another null value it is a polynomial: 9,999 draws cost
products of draws × clusters, and the interval by test inversion a few sums more. It is written here because statsmodels
and SciPy have no wild bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from bgtk_lib.change.clusters import NOTHING, ROUNDING, Contrast, Floats, code_clusters
from bgtk_lib.change.drawn import Drawn, combine
from bgtk_lib.change.precision.wild import (
    ClusteredContrast,
    WeightKind,
    choose_weights,
    draw_wild,
    lay_contrast,
    list_weights,
)
from bgtk_lib.change.strata import ClusterBy, lay_out, plan_strata
from bgtk_lib.errors import Text
from bgtk_lib.findings import Withheld
from bgtk_lib.scoring.combine import Combined, combine_draws
from bgtk_lib.words import say

FEWEST_CLUSTERS = 5
TIES = 1e-9  # share of a statistic that is rounding: a draw that repeats the data counts as extreme as they are
FARTHEST = 2.0**10  # standard errors within which an end of the interval is looked for


@dataclass(frozen=True, kw_only=True)
class WildTest:
    """A combination of coefficients, tested against zero by the wild cluster bootstrap.

    Attributes
    ----------
    estimate : float
        Its value, in the unit of the outcome.
    se : float
        CR1 standard error; over several draws of plausible values with measurement and linking error in it.
    t : float
        Estimate over standard error.
    p : float
        Symmetric two-sided p-value.
    interval : tuple of float or Withheld
        Null values that are not rejected; withheld where no end can be found, as happens with few patterns of weights.
    confidence : float
        Of the interval.
    n_draws : int
        Bootstrap draws; where `exhaustive`, every pattern of weights that exists.
    exhaustive : bool
        Whether all patterns were taken, so that nothing is random.
    weights : {"rademacher", "webb"}
        ±1, or the six points ±√½, ±1, ±√1.5.
    n_clusters : int
        Clusters.
    n_clusters_effective : float
        1 / Σ s_g², s_g the share of the contrast's variation that lies in cluster g; (Σn)² / Σn² for a mean.
    note : Text or None
        Caution where so few clusters carry the contrast that the test is known to fail.
    """

    estimate: float
    se: float
    t: float
    p: float
    interval: tuple[float, float] | Withheld
    confidence: float
    n_draws: int
    exhaustive: bool
    weights: WeightKind
    n_clusters: int
    n_clusters_effective: float
    note: Text | None


def bootstrap_mean(
    drawn: Drawn, *, cluster: ClusterBy, rng: np.random.Generator, confidence: float = 0.95
) -> WildTest | Withheld:
    """Test the mean change of everyone who sat both waves, and give the interval of values that are not rejected.

    Parameters
    ----------
    drawn : Drawn
        The pairs, as `lay_draws` returns them.
    cluster : {"school", "district", "none"}
        As in `estimate_change`: ``school`` is schools in fixed districts, ``district`` is districts.
    rng : Generator
        Draws the weights.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    WildTest or Withheld
        As `bootstrap_contrast`.
    """
    strata = plan_strata(drawn.n, **lay_out(drawn.frame, cluster))
    if isinstance(strata, Withheld):
        return strata
    sizes = np.bincount(strata.strata)
    contrast = lay_contrast(np.eye(len(sizes))[strata.strata], strata.clusters, sizes / drawn.n)
    return _test(drawn.gain, contrast, drawn, rng=rng, confidence=confidence)


def bootstrap_contrast(
    y: ArrayLike,
    X: ArrayLike,
    cluster: ArrayLike,
    *,
    weights: ArrayLike,
    rng: np.random.Generator,
    confidence: float = 0.95,
) -> WildTest | Withheld:
    """Test one combination of the coefficients of a least-squares fit, and give the interval of values not rejected.

    Parameters
    ----------
    y : array of n or n × m
        Outcome, no nulls; several columns are draws of plausible values of the same outcome.
    X : array of n × k
        Regressors, with the constant if one is wanted; of full rank.
    cluster : array of n
        Cluster of each row; a row whose cluster is null is a cluster of its own.
    weights : array of k
        What each coefficient counts.
    rng : Generator
        Draws the weights of the bootstrap.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    WildTest or Withheld
        Withheld with fewer than five clusters, or where no variation between them is left.

    Raises
    ------
    ParameterError
        If the columns of X are not independent.

    Notes
    -----
    Restricted wild cluster bootstrap (WCR): with the residuals ẽ of the fit that holds the null value, y* = ŷ + v_g ẽ, v_g
    one weight a cluster; t* is the studentised estimate of y* by CR1, p the share of |t*| ≥ |t|, the data counted as one
    draw more. All patterns are taken where there are no more than 9,999, else 9,999 draws. In the null value θ₀ the
    numerator of t* is linear and its squared error quadratic in δ = θ̂ − θ₀, so the interval is found by root search on
    the same draws. p need not fall evenly in |δ|; the ends are where it crosses 1 − `confidence`.

    Over m draws of plausible values the mean of the columns gives t*. Of the whole variance T (`combine_draws`; `combine`
    for a mean change) only Ū is sampling; the rest R = T − Ū is independent of it. So p is the share of
    |√Ū·t* + √R·t_f| ≥ |δ|, a random t to each draw, f being what Welch & Satterthwaite give R: each part keeps its own law,
    and without draws and link it is the plain test. A bootstrap of the mean of the columns alone would leave R out.

    References
    ----------
    Cameron, A. C., Gelbach, J. B. & Miller, D. L. (2008). Bootstrap-based improvements for inference with clustered
    errors. *Review of Economics and Statistics* 90(3), 414-427.

    Webb, M. D. (2023). Reworking wild bootstrap-based inference for clustered errors. *Canadian Journal of Economics*
    56(3), 839-858.

    MacKinnon, J. G. & Webb, M. D. (2017). Wild bootstrap inference for wildly different cluster sizes. *Journal of
    Applied Econometrics* 32(2), 233-254.

    Examples
    --------
    Five clusters of one: of the 6⁵ patterns of Webb weights all are taken.

    >>> rng = np.random.default_rng(1)
    >>> test = bootstrap_contrast([1, 2, 3, 4, 5], np.ones((5, 1)), list("abcde"), weights=[1], rng=rng)
    >>> round(test.estimate, 6), test.n_draws, test.exhaustive, round(test.n_clusters_effective, 6)
    (3.0, 7776, True, 5.0)
    """
    columns = np.asarray(y, dtype=float).reshape(len(np.asarray(y)), -1)
    contrast = lay_contrast(np.asarray(X, dtype=float), code_clusters(cluster, len(columns)), weights)
    return _test(columns, contrast, None, rng=rng, confidence=confidence)


def _test(
    y: Floats, contrast: ClusteredContrast, drawn: Drawn | None, *, rng: np.random.Generator, confidence: float
) -> WildTest | Withheld:
    """Return the test of a contrast over m draws, with the error of the link where those are given who have one."""
    n_clusters = len(contrast.starts)
    if n_clusters < FEWEST_CLUSTERS:
        return Withheld(say("bootstrap.few_clusters", n=n_clusters, needed=FEWEST_CLUSTERS))
    residuals = y - contrast.Z @ (contrast.Z.T @ y)
    parts = contrast.sum_up((contrast.Z @ contrast.a)[:, None] * residuals)
    values, variances = contrast.a @ (contrast.Z.T @ y), contrast.factor * (parts**2).sum(axis=0)
    within = float(variances.mean())
    if within <= (ROUNDING * float(np.abs(y).max())) ** 2 * float(contrast.a @ contrast.a):
        return Withheld(say("statistics.no_variation"))
    total, df = within, np.inf
    if drawn or len(values) > 1:
        told: Contrast | Combined | Withheld = combine_draws(values, variances)
        if drawn:
            told = combine(drawn, values, variances, df=df, linked=1, confidence=confidence)
        if isinstance(told, Withheld):
            return told
        total, df = told.se**2, told.df

    kind, exhaustive = choose_weights(n_clusters)
    top, below = draw_wild(contrast, residuals.mean(axis=1), list_weights(n_clusters, rng))
    n_draws, rest = top.shape[1], max(total - within, 0.0) / total
    other = np.zeros(n_draws)
    if rest > NOTHING:
        other = np.sqrt(rest * total) * rng.standard_t(df * rest**2, n_draws)

    def measure(shift: float) -> float:
        """Return the p-value of the null value estimate − shift."""
        square = contrast.factor * (below[0] + shift * (below[1] + shift * below[2]))
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (top[0] + shift * top[1]) / np.sqrt(np.maximum(square, 0.0))
        near = np.abs(np.sqrt(within) * t + other) < abs(shift) * (1 - TIES)  # not where t is 0/0
        return float(1 - near.sum() / (n_draws + (not exhaustive)))

    estimate, se = float(values.mean()), float(np.sqrt(total))
    effective = 1 / float((contrast.shares**2).sum())
    return WildTest(
        estimate=estimate,
        se=se,
        t=estimate / se,
        p=measure(estimate),
        interval=_invert(measure, estimate, se, alpha=1 - confidence),
        confidence=confidence,
        n_draws=n_draws,
        exhaustive=exhaustive,
        weights=kind,
        n_clusters=n_clusters,
        n_clusters_effective=effective,
        note=say("bootstrap.few_carry", n=effective) if effective < FEWEST_CLUSTERS else None,
    )


def _invert(
    measure: Callable[[float], float], estimate: float, se: float, *, alpha: float
) -> tuple[float, float] | Withheld:
    """Return the null values on both sides of the estimate where the p-value falls to `alpha`."""
    ends = []
    for side in (se, -se):
        far = 2.0
        while measure(side * far) > alpha:
            far *= 2
            if far > FARTHEST:
                return Withheld(say("bootstrap.no_end"))
        ends.append(estimate - side * optimize.brentq(lambda r, s=side: measure(r * s) - alpha, 0.0, far, xtol=1e-6))
    return ends[0], ends[1]
