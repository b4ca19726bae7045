"""What the agreement of experts on an item must reach to be more than chance: Aiken's V and the content validity ratio.

Critical values are computed, not looked up: they depend on the number of raters and of categories, and a missing rating
changes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

Floats: TypeAlias = NDArray[np.float64]

ROUNDING = 1e-12  # relative: below it a probability equals alpha


@dataclass(frozen=True, kw_only=True)
class Critical:
    """The least value that raters who rate at random reach with probability alpha or less.

    Attributes
    ----------
    value : float
        Of the statistic: V or CVR.
    count : int
        The same as the sum it comes from: points above the lowest rating (V), or raters who say yes (CVR).
    p : float
        Exact probability of reaching it at random.
    """

    value: float
    count: int
    p: float


def critical_v(n_raters: int, *, n_categories: int, alpha: float = 0.05) -> Critical | Withheld:
    """Compute the critical value of Aiken's V: the least that random ratings reach with probability alpha or less.

    Parameters
    ----------
    n_raters : int
        Raters of the item.
    n_categories : int
        Categories of the scale.
    alpha : float
        Level of the one-sided test.

    Returns
    -------
    Critical or Withheld
        Withheld where even the highest rating by all is likelier than alpha.

    Notes
    -----
    The distribution of the sum of n independent ratings, uniform on the categories, is the n-fold convolution of the
    uniform one: exact, hence no table. SciPy has no distribution of such a sum.

    References
    ----------
    Aiken, L. R. (1985). Three coefficients for analyzing the reliability and validity of ratings. *Educational and
    Psychological Measurement* 45, 131-142.

    Examples
    --------
    Three raters reach the highest of four categories at random with probability (1/4)³ = 1/64; one step less, V = 8/9,
    has 4/64 = .0625, above .05.

    >>> critical_v(3, n_categories=4)
    Critical(value=1.0, count=9, p=0.015625)
    """
    least = _least_sum(n_raters, n_categories, alpha)
    if least is None:
        return Withheld(say("experts.no_critical", n=n_raters, categories=n_categories, alpha=alpha))
    return Critical(
        value=least / (n_raters * (n_categories - 1)), count=least, p=float(right_tail(n_raters, n_categories)[least])
    )


def critical_cvr(n_raters: int, *, alpha: float = 0.05) -> Critical | Withheld:
    """Compute the critical value of the content validity ratio by the exact one-sided binomial test.

    Parameters
    ----------
    n_raters : int
        Raters of the item.
    alpha : float
        Level of the one-sided test.

    Returns
    -------
    Critical or Withheld

    Notes
    -----
    CVR = (n_e − n/2) / (n/2) is 2V − 1 of a scale with two categories; yes and no are equally likely at random.

    References
    ----------
    Ayre, C. & Scally, A. J. (2014). Critical values for Lawshe's content validity ratio. *Measurement and Evaluation in
    Counseling and Development* 47, 79-86.

    Examples
    --------
    Seven or eight of eight say yes at random with probability (8 + 1)/256; six or more with 37/256.

    >>> critical_cvr(8)
    Critical(value=0.75, count=7, p=0.03515625)
    """
    found = critical_v(n_raters, n_categories=2, alpha=alpha)
    if isinstance(found, Withheld):
        return found
    return Critical(value=2 * found.value - 1, count=found.count, p=found.p)


def score_interval(v: ArrayLike, *, n: ArrayLike, n_categories: ArrayLike, confidence: float = 0.95) -> Floats:
    """Compute the score interval of Aiken's V.

    Parameters
    ----------
    v, n, n_categories : float or array
        V, its raters, and the categories of its scale.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    array, last axis of 2
        Lower and upper end; null where there is no rater.

    Notes
    -----
    With m = n·(c − 1) and z the normal quantile: (2mV + z² ∓ z √(4mV(1 − V) + z²)) / (2(m + z²)). The factor is the
    range of the scale, categories *less one*; with the number of categories, as some have published, it is too narrow.
    It is Wilson's interval of m independent yes or no: too wide where raters nearly agree, too narrow where they split
    between the ends of the scale (of ten raters, 25 % lowest and 75 % highest of four: it covers 87 %, not 95 %).

    References
    ----------
    Penfield, R. D. & Giacobbi, P. R. (2004). Applying a score confidence interval to Aiken's item content-relevance
    index. *Measurement in Physical Education and Exercise Science* 8, 213-225.

    Examples
    --------
    V = 1 has an upper end of 1 and a lower one of m/(m + z²); here m = 3·(4 − 1) = 9 and z² = 3.841459.

    >>> score_interval(1.0, n=3, n_categories=4).round(6)
    array([0.700855, 1.      ])
    """
    v = np.asarray(v, dtype=float)
    m = np.asarray(n, dtype=float) * (np.asarray(n_categories, dtype=float) - 1)
    m = np.where(m > 0, m, np.nan)
    z = float(stats.norm.isf((1 - confidence) / 2))
    half = z * np.sqrt(4 * m * v * (1 - v) + z**2)
    ends: Floats = np.stack([2 * m * v + z**2 - half, 2 * m * v + z**2 + half], axis=-1)
    return ends / (2 * (m + z**2))[..., None]


def judge_sums(
    total: ArrayLike, *, n: ArrayLike, n_categories: ArrayLike, alpha: float = 0.05
) -> tuple[Floats, Floats]:
    """Compute the exact right tail of each sum, and the critical sum beside it.

    Parameters
    ----------
    total, n, n_categories : array of int
        Points above the lowest rating, raters, and categories.
    alpha : float
        Level of the one-sided test.

    Returns
    -------
    p, critical : array
        Null without a rater; the critical sum also where even the highest is likelier than alpha.

    Examples
    --------
    >>> judge_sums([8], n=[3], n_categories=[4])
    (array([0.0625]), array([9.]))
    """
    cells = np.stack([np.asarray(values, dtype=int) for values in (n, n_categories, total)], axis=-1).tolist()
    p = [right_tail(raters, c)[s] if raters else np.nan for raters, c, s in cells]
    least = [_least_sum(raters, c, alpha) for raters, c, _ in cells]
    return np.array(p, dtype=float), np.array([np.nan if s is None else s for s in least], dtype=float)


@cache
def right_tail(n_raters: int, n_categories: int) -> Floats:
    """Return the probability that n random ratings reach a sum of s points above the lowest, for s = 0 … n(c − 1)."""
    mass = np.ones(1)
    for _ in range(n_raters):
        mass = np.convolve(mass, np.full(n_categories, 1 / n_categories))
    tail = mass[::-1].cumsum()[::-1]
    tail.flags.writeable = False  # the cache hands out the same array again
    return tail


@cache
def _least_sum(n_raters: int, n_categories: int, alpha: float) -> int | None:
    """Return the least sum that random ratings reach with probability alpha or less, if there is one."""
    reached = np.flatnonzero(right_tail(n_raters, n_categories) <= alpha * (1 + ROUNDING))
    return int(reached[0]) if reached.size and n_raters else None
