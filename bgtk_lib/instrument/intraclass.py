"""Intraclass correlations: what share of the differences between ratings are differences between items.

Written here because neither SciPy nor statsmodels has them with intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Floats: TypeAlias = NDArray[np.float64]

ROUNDING = 1e-12  # share of the whole variation; below it there is none
ICC_COLUMNS = ["form", "icc", "low", "high", "f", "df1", "df2", "p", "note"]
ICC_FORMS = ["ICC(1)", "ICC(A,1)", "ICC(C,1)", "ICC(k)", "ICC(A,k)", "ICC(C,k)"]


@dataclass(frozen=True, kw_only=True, eq=False)
class IntraclassReview:
    """The intraclass correlations of items × raters, each by the name of its form.

    Attributes
    ----------
    forms : DataFrame
        `ICC_COLUMNS`, one row each of `ICC_FORMS`. ``1``: raters differ from item to item; ``A``: the same raters, who
        should give the same ratings (absolute agreement); ``C``: the same raters, who should order and space the items
        alike (consistency). ``1`` last: of one rater; ``k``: of the mean of all. `low`, `high`: interval. `f`, `df1`,
        `df2`, `p`: test against zero. `note`: why something is null: ``too_few`` (fewer than two items or raters),
        ``constant`` (all ratings equal), ``no_error`` (no disagreement of this kind, so no interval), ``unbounded``
        (items differ so much less than raters disagree that a value or an end lies below the least possible).
    n_items, n_raters : int
        Items with every rating, which everything rests on; raters with any rating.
    n_incomplete : int
        Items left out because a rating is missing.
    """

    forms: pd.DataFrame
    n_items: int
    n_raters: int
    n_incomplete: int


def estimate_icc(ratings: pd.DataFrame, *, confidence: float = 0.95) -> IntraclassReview:
    """Estimate the intraclass correlations of items × raters.

    Parameters
    ----------
    ratings : DataFrame
        Items × raters, numbers; null where a rater gave none.
    confidence : float
        Of the intervals, between 0 and 1.

    Returns
    -------
    IntraclassReview

    Notes
    -----
    Missing values: only items that every rater rated are used; raters without any rating aside.

    With mean squares of items R, raters C, residual E, and W within items, of n items and k raters: ICC(1) =
    (R − W)/(R + (k − 1)W); ICC(C,1) = (R − E)/(R + (k − 1)E); ICC(A,1) = (R − E)/(R + (k − 1)E + k(C − E)/n). The mean
    of k raters follows by Spearman-Brown. Intervals of the first two follow from F = R/W and R/E; that of ICC(A,1) is
    Satterthwaite's. In the names of Shrout and Fleiss they are (1,1), (3,1) and (2,1).

    References
    ----------
    McGraw, K. O. & Wong, S. P. (1996). Forming inferences about some intraclass correlation coefficients.
    *Psychological Methods* 1, 30-46 (tables 4 and 7; correction in 1, 390).

    Examples
    --------
    The second rater is always one higher: consistency is perfect, agreement is not. R = 2 (n = 3), C = 1.5, E = 0:
    ICC(A,1) = 2/(2 + 2·1.5/3) = 2/3.

    >>> review = estimate_icc(pd.DataFrame({"a": [1, 2, 3], "b": [2, 3, 4]}))
    >>> review.forms.set_index("form")["icc"].round(6)[["ICC(A,1)", "ICC(C,1)", "ICC(A,k)"]].tolist()
    [0.666667, 1.0, 0.8]
    """
    given = ratings.dropna(axis="columns", how="all")
    x = given.dropna().to_numpy(dtype=float)
    n, k = x.shape
    estimates = _estimate_forms(x, confidence=confidence) if min(n, k) >= 2 else None
    forms = pd.DataFrame({"form": ICC_FORMS, "note": "too_few"}) if estimates is None else estimates
    return IntraclassReview(
        forms=forms.reindex(columns=ICC_COLUMNS), n_items=n, n_raters=k, n_incomplete=len(ratings) - n
    )


def _estimate_forms(x: Floats, *, confidence: float) -> pd.DataFrame:
    """Return `ICC_COLUMNS` of complete items × raters, at least two each; see `estimate_icc`."""
    n, k = x.shape
    centred = x - x.mean()
    sums = {
        "items": k * (centred.mean(axis=1) ** 2).sum(),
        "raters": n * (centred.mean(axis=0) ** 2).sum(),
        "error": ((x - x.mean(axis=1, keepdims=True) - centred.mean(axis=0)) ** 2).sum(),
    }
    whole = float((centred**2).sum())
    if whole <= ROUNDING * float((x**2).sum()):
        return pd.DataFrame({"form": ICC_FORMS, "note": "constant"})
    sums = {part: found if found > ROUNDING * whole else 0.0 for part, found in sums.items()}
    sums["within"] = sums["raters"] + sums["error"]
    df = {"items": n - 1, "raters": k - 1, "within": n * (k - 1), "error": (n - 1) * (k - 1)}
    mean = {part: found / df[part] for part, found in sums.items()}

    tail = (1 - confidence) / 2
    rows = []
    for kind, noise in (("1", "within"), ("A", "error"), ("C", "error")):
        limits = _limit_absolute(mean, df, tail) if kind == "A" else _limit_ratio(mean, df, noise, tail)
        exact = mean["within" if kind == "A" else noise] == 0
        f = mean["items"] / mean[noise] if mean[noise] else np.nan
        test = {"f": f, "df1": df["items"], "df2": df[noise], "p": float(stats.f.sf(f, df["items"], df[noise]))}
        single = [1.0, np.nan, np.nan] if exact else limits
        for name, values in ((f"{kind},1", single), (f"{kind},k", [_step_up(value, k) for value in single])):
            note = "no_error" if exact else "unbounded" if np.isnan(values).any() else None
            form = f"ICC({name})".replace("(1,1)", "(1)").replace("(1,k)", "(k)")
            rows.append({"form": form, **dict(zip(("icc", "low", "high"), values, strict=True)), **test, "note": note})
    return pd.DataFrame(rows).set_index("form").loc[ICC_FORMS].reset_index()


def _limit_ratio(mean: dict[str, float], df: dict[str, int], noise: str, tail: float) -> list[float]:
    """Return ICC(1) or ICC(C,1) with its interval from the ratio of items to noise; null without noise."""
    if mean[noise] == 0:
        return [np.nan] * 3
    f, k = mean["items"] / mean[noise], df["raters"] + 1
    low = f / float(stats.f.isf(tail, df["items"], df[noise]))
    high = f * float(stats.f.isf(tail, df[noise], df["items"]))
    return [(ratio - 1) / (ratio + k - 1) for ratio in (f, low, high)]


def _limit_absolute(mean: dict[str, float], df: dict[str, int], tail: float) -> list[float]:
    """Return ICC(A,1) with Satterthwaite's interval; null where it lies below the least possible, −1/(k − 1)."""
    n, k = df["items"] + 1, df["raters"] + 1
    r, c, e = mean["items"], mean["raters"], mean["error"]
    least, whole = -1 / (k - 1), r + (k - 1) * e + k * (c - e) / n
    if mean["within"] == 0 or whole <= 0 or (r - e) / whole <= least:
        return [np.nan] * 3
    icc = (r - e) / whole
    odds = k * icc / (n * (1 - icc))
    of_raters, of_error = odds * c, (1 + odds * (n - 1)) * e
    spread = of_raters**2 / df["raters"] + of_error**2 / df["error"]
    v = (of_raters + of_error) ** 2 / spread if spread else np.nan
    above, below = float(stats.f.isf(tail, n - 1, v)), float(stats.f.isf(tail, v, n - 1))
    if not (np.isfinite(above) and np.isfinite(below)):
        return [icc, np.nan, np.nan]
    rest = k * c + (k * n - k - n) * e
    low, high = n * (r - above * e) / (above * rest + n * r), n * (below * r - e) / (rest + n * below * r)
    return [icc, max(low, least), min(high, 1.0)]


def _step_up(single: float, k: int) -> float:
    """Return what the mean of k raters has, by Spearman-Brown; null at and below the least possible, −1/(k − 1)."""
    whole = 1 + (k - 1) * single
    return k * single / whole if whole > ROUNDING else np.nan
