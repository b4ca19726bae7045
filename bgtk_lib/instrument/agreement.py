"""How far raters agree beyond chance, and how alike they rank the items.

Agreement says whether raters are interchangeable, not whether they are right: a panel may agree that an item is poor.
The chance-corrected coefficients are written here because statsmodels has only Cohen's and Fleiss' kappa, and neither
with missing ratings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bgtk_lib.errors import ParameterError
from bgtk_lib.findings import Withheld
from bgtk_lib.words import plain, say

Floats: TypeAlias = NDArray[np.float64]
Coefficient = Literal["kappa", "fleiss", "gwet", "krippendorff"]
Weights = Literal["identity", "linear", "quadratic"]

ROUNDING = 1e-12  # by less than this expected agreement does not miss 1


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of raters beyond chance.

    Attributes
    ----------
    coefficient, weights : str
        Which, and how near misses count.
    estimate, se : float
        Its value, and its standard error over items, the raters taken as they are.
    low, high : float
        Ends of the t interval with n_items − 1 degrees of freedom, never beyond −1 and 1.
    observed, expected : float
        Weighted share of agreeing pairs of ratings, and what chance would give.
    n_items : int
        Items with a rating that enter (with Krippendorff's alpha: with two).
    n_paired : int
        Items with two ratings or more, which `observed` rests on.
    n_raters, n_categories : int
        Raters with any rating; categories of the scale.
    """

    coefficient: Coefficient
    weights: Weights
    estimate: float
    se: float
    low: float
    high: float
    observed: float
    expected: float
    n_items: int
    n_paired: int
    n_raters: int
    n_categories: int


@dataclass(frozen=True, kw_only=True)
class Concordance:
    """Kendall's W: how alike raters rank the items.

    Attributes
    ----------
    w : float
        0 (no common order) to 1 (the same order), corrected for ties.
    chi2, df, p : float
        Friedman's test that there is no common order; approximate with few items or raters.
    n_items, n_raters, n_incomplete : int
        Items with every rating; raters; items left out because a rating is missing.
    """

    w: float
    chi2: float
    df: int
    p: float
    n_items: int
    n_raters: int
    n_incomplete: int


def estimate_agreement(
    ratings: pd.DataFrame,
    *,
    coefficient: Coefficient,
    weights: Weights = "identity",
    categories: Sequence[object] | None = None,
    confidence: float = 0.95,
) -> Agreement | Withheld:
    """Estimate the agreement of two or more raters beyond chance.

    Parameters
    ----------
    ratings : DataFrame
        Items × raters, categories; null where a rater gave none.
    coefficient : {"kappa", "fleiss", "gwet", "krippendorff"}
        Cohen's kappa (Conger's for more than two raters), Fleiss' kappa, Gwet's AC1 (AC2 with weights), Krippendorff's
        alpha.
    weights : {"identity", "linear", "quadratic"}
        Whether two ratings agree only if equal, or the more the nearer they are.
    categories : sequence, optional
        All categories of the scale, in order; none: those that occur. Gwet's coefficient depends on their number, and
        weights on their distance: that of the numbers, or of the places in the order where they are words.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    Agreement or Withheld
        Withheld with fewer than two items of two ratings, or where chance alone would agree always.

    Raises
    ------
    ParameterError
        If a word is not known, or a rating is in no category.

    Notes
    -----
    Missing values: items with one rating help to say what chance gives (not with Krippendorff's alpha, which leaves
    them out); items with none are left out. (p_a − p_e)/(1 − p_e), where p_a is the mean over items of the weighted
    share of agreeing pairs; with category shares π and weights w, p_e is Σ w π_k π_l (Fleiss, Krippendorff),
    the same with shares by rater, averaged over pairs of raters (Cohen, Conger), or Σ w · Σ π_k(1 − π_k) / (q(q − 1))
    (Gwet). The standard error is Gwet's: from n linearised items, with 1/(n(n − 1)), raters fixed.

    Kappa is low where nearly all ratings are alike, however well raters agree; Gwet's coefficient is not.

    References
    ----------
    Gwet, K. L. (2014). *Handbook of Inter-Rater Reliability*, 4th ed., chapters 2-5.

    Gwet, K. L. (2008). Computing inter-rater reliability and its variance in the presence of high agreement. *British
    Journal of Mathematical and Statistical Psychology* 61, 29-48.

    Examples
    --------
    Eight of ten agree; margins 1/2 and 1/2, so chance gives .5, and kappa is (.8 − .5)/(1 − .5).

    >>> a = pd.Series(["yes"] * 5 + ["no"] * 5)
    >>> b = pd.Series(["yes"] * 4 + ["no"] * 5 + ["yes"])
    >>> round(estimate_agreement(pd.DataFrame({"a": a, "b": b}), coefficient="kappa").estimate, 6)
    0.6
    """
    for found, words in ((coefficient, get_args(Coefficient)), (weights, get_args(Weights))):
        if found not in words:
            raise ParameterError(say("experts.unknown_word", found=found, allowed=plain(", ".join(words))))
    given = ratings.dropna(axis="columns", how="all")
    cells = pd.Series(given.to_numpy(dtype=object).ravel())
    named = sorted(cells.dropna().unique()) if categories is None else list(categories)
    codes = pd.Index(named).get_indexer(pd.Index(cells))
    stray = int((codes[cells.notna()] < 0).sum())
    if stray:
        raise ParameterError(say("experts.outside_categories", n=stray))
    chosen = codes.reshape(*given.shape, 1) == np.arange(len(named))  # items × raters × categories

    paired = chosen.sum(axis=(1, 2)) >= 2
    if paired.sum() < 2:
        return Withheld(say("experts.agreement_few", n=paired.sum()))
    chosen = chosen[paired if coefficient == "krippendorff" else chosen.any(axis=(1, 2))].astype(float)
    parts = _part_pairs(chosen, _weigh(named, weights), coefficient)
    if 1 - parts.expected <= ROUNDING:
        return Withheld(say("experts.agreement_constant"))

    n = len(chosen)
    chance = 1 - parts.expected
    estimate = (parts.observed - parts.expected) / chance
    centre = float(parts.items_observed.mean()) / chance
    items = parts.items_observed / chance - centre - 2 * (1 - centre) * parts.items_expected / chance
    se = float(np.sqrt((items**2).sum() / (n * (n - 1))))
    half = float(stats.t.isf((1 - confidence) / 2, n - 1)) * se
    return Agreement(
        coefficient=coefficient,
        weights=weights,
        estimate=estimate,
        se=se,
        low=max(estimate - half, -1.0),
        high=min(estimate + half, 1.0),
        observed=parts.observed,
        expected=parts.expected,
        n_items=n,
        n_paired=int(paired.sum()),
        n_raters=chosen.shape[1],
        n_categories=len(named),
    )


def estimate_concordance(ratings: pd.DataFrame) -> Concordance | Withheld:
    """Estimate Kendall's coefficient of concordance W: how alike raters rank the items.

    Parameters
    ----------
    ratings : DataFrame
        Items × raters, numbers; null where a rater gave none.

    Returns
    -------
    Concordance or Withheld
        Withheld with fewer than three items or two raters, or where no rater tells any items apart.

    Notes
    -----
    Missing values: only items that every rater rated are used. W = χ²/(k(n − 1)) of Friedman's test (SciPy), which
    corrects for ties.

    References
    ----------
    Kendall, M. G. & Babington Smith, B. (1939). The problem of m rankings. *Annals of Mathematical Statistics* 10,
    275-287.

    Examples
    --------
    Rank sums 2, 5, 5 differ from their mean 4 by −2, 1, 1: W = 12·6/(2²·(3³ − 3)) = 3/4.

    >>> estimate_concordance(pd.DataFrame({"a": [1, 2, 3], "b": [1, 3, 2]})).w
    0.75
    """
    given = ratings.dropna(axis="columns", how="all")
    x = given.dropna().to_numpy(dtype=float)
    n, k = x.shape
    if n < 3 or k < 2:
        return Withheld(say("experts.concordance_few", items=n, raters=k))
    if (x == x[0]).all():
        return Withheld(say("experts.concordance_constant"))
    test = stats.friedmanchisquare(*x)
    return Concordance(
        w=float(test.statistic) / (k * (n - 1)),
        chi2=float(test.statistic),
        df=n - 1,
        p=float(test.pvalue),
        n_items=n,
        n_raters=k,
        n_incomplete=len(ratings) - n,
    )


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """Observed and expected agreement, and what each item adds to them.

    `items_observed` has mean observed − expected (Krippendorff: before the pairs of a rating with itself),
    `items_expected` has mean 0.
    """

    observed: float
    expected: float
    items_observed: Floats
    items_expected: Floats


def _part_pairs(chosen: Floats, w: Floats, coefficient: Coefficient) -> _Parts:
    """Return the parts of one coefficient from items × raters × categories of 0 and 1."""
    counts = chosen.sum(axis=1)
    n_ratings = counts.sum(axis=1)
    size = np.full(len(counts), n_ratings.mean()) if coefficient == "krippendorff" else n_ratings
    excess = n_ratings / size - 1  # by how much an item has more ratings than it is divided by
    paired = n_ratings >= 2
    agreeing = (counts * (counts @ w - 1)).sum(axis=1) / (size * np.maximum(n_ratings - 1, 1))
    observed = float(agreeing[paired].mean())
    if coefficient == "krippendorff":  # its pairs include each rating with itself
        observed = 1 - (1 - 1 / float(n_ratings.sum())) * (1 - observed)

    shares = counts / size[:, None]
    mean = shares.mean(axis=0)
    if coefficient == "kappa":
        expected, items_expected = _expect_by_rater(chosen, w)
    elif coefficient == "gwet":
        scale = w.sum() / max(len(w) * (len(w) - 1), 1)
        expected = float(scale * mean @ (1 - mean))
        items_expected = scale * shares @ (1 - mean) - expected
    else:
        expected = float(mean @ w @ mean)
        items_expected = shares @ w @ mean - expected - expected * excess
    return _Parts(
        observed=observed,
        expected=expected,
        items_observed=paired * (agreeing - observed * excess - expected) / paired.mean(),
        items_expected=items_expected,
    )


def _expect_by_rater(chosen: Floats, w: Floats) -> tuple[float, Floats]:
    """Return the agreement that chance gives by each rater's own shares, and the deviations of the items from it."""
    n, k, _ = chosen.shape
    rated = chosen.sum(axis=2)
    n_rated = rated.sum(axis=0)
    shares = chosen.sum(axis=0) / n_rated[:, None]
    others = (shares.sum(axis=0) - shares) @ w
    deviations = (chosen - rated[:, :, None] * shares) * (n / n_rated)[None, :, None]
    pairs = k * (k - 1)
    return float((shares * others).sum()) / pairs, np.einsum("irc,rc->i", deviations, others) / pairs


def _weigh(named: Sequence[object], weights: Weights) -> Floats:
    """Return the weight of each pair of categories: 1 on the diagonal, 0 between the farthest, or none between two."""
    if weights == "identity" or len(named) < 2:
        return np.eye(len(named))
    numeric = all(isinstance(value, (int, float, np.number)) for value in named)
    places = np.array(named if numeric else range(len(named)), dtype=float)
    distance = np.abs(places[:, None] - places) / np.ptp(places)
    w: Floats = 1 - (distance if weights == "linear" else distance**2)
    return w
