"""Who sat only the first wave: how they differed, and what the change would be with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from bgtk_lib.change.clusters import ROUNDING
from bgtk_lib.change.estimate import correct_small_sample
from bgtk_lib.change.strata import ClusterBy, StratifiedMean, lay_out, mean_by_strata, take_scores
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

GROUP_COLUMNS = ["column", "level", "n_stayers", "n_leavers", "share_stayers", "share_leavers", "difference", "note"]


@dataclass(frozen=True, kw_only=True)
class LeaverGap:
    """First-wave scores of those who left beside those who stayed; the gap is always leavers − stayers.

    Attributes
    ----------
    n_stayers, n_leavers : int
        Persons with both scores, and with the first only.
    mean_stayers, mean_leavers : float
        Their mean first scores.
    g : float
        Hedges' g: (mean_leavers − mean_stayers) over the pooled standard deviation, small-sample corrected; negative
        where leavers had scored lower.
    low, high : float
        Ends of its interval.
    """

    n_stayers: int
    n_leavers: int
    mean_stayers: float
    mean_leavers: float
    g: float
    low: float
    high: float


def adjust_for_leavers(
    pairs: pd.DataFrame, leavers: pd.DataFrame, *, cluster: ClusterBy, confidence: float = 0.95
) -> StratifiedMean | Withheld:
    """Estimate the mean change of everyone who sat the first wave, if second scores depend on the first score only.

    Parameters
    ----------
    pairs : DataFrame
        As in `estimate_change`: those who stayed.
    leavers : DataFrame
        Those without a second score: `score_pre`, `district`, `npsn`; may be empty.
    cluster : {"school", "district", "none"}
        As in `estimate_change`.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    StratifiedMean or Withheld
        Over stayers and leavers. Withheld for pairs on a linked scale, with fewer than three stayers, where their first scores do not vary, or as
        `mean_by_strata` withholds.

    Raises
    ------
    LinkageError
        If a first score, or a stayer's second score, is null.

    Notes
    -----
    Among the n_s stayers post = a + b·pre is fitted and predicted for the leavers; the estimate is
    ȳ_s + b(x̄ − x̄_s) − x̄, x̄ being the mean first score of all N. With the residuals e_i of that fit, a person's
    influence is (b − 1)(x_i − x̄), and for stayers besides (N/n_s)[1 + (x̄ − x̄_s)(x_i − x̄_s)/v_s] e_i with v_s the
    variance (over n_s) of their first scores. The influences go through the clusters and strata of the headline, so
    that the error of the fitted line is in the interval. Without leavers it is the headline itself. Measurement error
    of the first score flattens b and is not corrected: prediction needs the observed score.

    Examples
    --------
    Stayers change by 2, 2 and 0 on the line post = 7/3 + pre/2; the leaver, at 6, is predicted to change by -2/3.

    >>> pairs = pd.DataFrame({"score_pre": [0, 2, 4], "score_post": [2, 4, 4], "district": None, "npsn": None})
    >>> leaver = pd.DataFrame({"score_pre": [6], "district": None, "npsn": None})
    >>> round(adjust_for_leavers(pairs, leaver.head(0), cluster="none").estimate, 6)
    1.333333
    >>> round(adjust_for_leavers(pairs, leaver, cluster="none").estimate, 6)
    0.833333
    """
    if "unit" in pairs and pairs["unit"].eq("scale").any():  # the leavers' scores are points of their own form
        return Withheld(say("sensitivity.not_on_scale"))
    x, y = take_scores(pairs, "score_pre"), take_scores(pairs, "score_post")
    everyone = np.concatenate([x, take_scores(leavers, "score_pre")])
    if len(x) < 3 or np.ptp(x) == 0:
        return Withheld(say("statistics.no_line", n=len(x)))
    slope = float(np.cov(x, y, ddof=0)[0, 1] / x.var())
    residuals = y - y.mean() - slope * (x - x.mean())
    leverage = 1 + (everyone.mean() - x.mean()) * (x - x.mean()) / x.var()

    values = y.mean() + slope * (everyone - x.mean()) - everyone  # the predicted change of each
    values[: len(x)] += len(everyone) / len(x) * leverage * residuals
    both = pd.concat([pairs[["district", "npsn"]], leavers[["district", "npsn"]]])
    return mean_by_strata(values, **lay_out(both, cluster), confidence=confidence)


def compare_leavers(
    stayers_pre: ArrayLike, leavers_pre: ArrayLike, *, confidence: float = 0.95
) -> LeaverGap | Withheld:
    """Estimate how far leavers stood from stayers in the first wave, in standard deviations.

    Parameters
    ----------
    stayers_pre, leavers_pre : array
        First scores of those with and without a second one.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    LeaverGap or Withheld
        Withheld with fewer than two in either group, or where scores do not vary within the groups.

    Raises
    ------
    LinkageError
        If a score is null.

    Notes
    -----
    g = J·d, J = 1 − 3 / (4(n − 2) − 1), with the normal interval from J²[n / (n_1 n_2) + d² / 2n], n = n_1 + n_2
    (Borenstein et al.). It describes the groups: persons count as independent, schools are not taken into account.

    References
    ----------
    Borenstein, M., Hedges, L. V., Higgins, J. P. T. & Rothstein, H. R. (2009). *Introduction to Meta-Analysis*.
    Wiley, chapter 4.

    Examples
    --------
    Means 2 and 1, pooled standard deviation 1, J = 1 - 3/15.

    >>> round(compare_leavers([1, 2, 3], [0, 1, 2]).g, 6)
    -0.8
    """
    stayers = take_scores(pd.DataFrame({"score_pre": stayers_pre}), "score_pre")
    leavers = take_scores(pd.DataFrame({"score_pre": leavers_pre}), "score_pre")
    n_stayers, n_leavers = len(stayers), len(leavers)
    if min(n_stayers, n_leavers) < 2:
        return Withheld(say("statistics.few_leavers", stayers=n_stayers, leavers=n_leavers))
    n = n_stayers + n_leavers
    pooled = np.sqrt((n_stayers * stayers.var() + n_leavers * leavers.var()) / (n - 2))
    if pooled <= ROUNDING * max(np.abs(stayers).max(), np.abs(leavers).max()):
        return Withheld(say("statistics.no_variation"))
    d = float((leavers.mean() - stayers.mean()) / pooled)
    small = correct_small_sample(n - 2)
    half = float(stats.norm.isf((1 - confidence) / 2)) * small * np.sqrt(n / (n_stayers * n_leavers) + d**2 / (2 * n))
    return LeaverGap(
        n_stayers=n_stayers,
        n_leavers=n_leavers,
        mean_stayers=float(stayers.mean()),
        mean_leavers=float(leavers.mean()),
        g=small * d,
        low=float(small * d - half),
        high=float(small * d + half),
    )


def compare_groups_left(
    stayers: pd.DataFrame, leavers: pd.DataFrame, *, columns: Sequence[str] = ("sex", "jenjang", "status", "district")
) -> pd.DataFrame:
    """Estimate how the make-up of those who left differs from that of those who stayed, level by level.

    Parameters
    ----------
    stayers, leavers : DataFrame
        One row a person, with those of the columns that are known.
    columns : sequence of str
        What they are compared by; a column that neither frame has is left out.

    Returns
    -------
    DataFrame
        `GROUP_COLUMNS`, a row a level in code order, what is not known last (level null). Shares are from 0 to 1;
        `difference` is standardised, leavers − stayers, and null where `note` says why: ``nobody`` (one of the groups is
        empty), ``no_variation`` (everybody is of this level), ``apart`` (all of one group are and none of the other).
        Nothing is suppressed here.

    Notes
    -----
    d = (p_l − p_s) / √((p_l(1 − p_l) + p_s(1 − p_s)) / 2). It describes the groups, without an error: persons who left
    are all known.

    References
    ----------
    Austin, P. C. (2009). Balance diagnostics for comparing the distribution of baseline covariates between treatment
    groups in propensity-score matched samples. *Statistics in Medicine* 28(25), 3083-3107.

    Examples
    --------
    One of two against one of five: (.2 − .5) / √((.16 + .25) / 2).

    >>> stayers, leavers = pd.DataFrame({"sex": ["L", "P"]}), pd.DataFrame({"sex": ["L", "P", "P", "P", "P"]})
    >>> compare_groups_left(stayers, leavers)["difference"].round(4).tolist()
    [-0.6626, 0.6626]
    """
    both = pd.concat([stayers, leavers], ignore_index=True)
    stayed = np.arange(len(both)) < len(stayers)
    rows = []
    for column in [name for name in columns if name in both]:
        codes, levels = pd.factorize(both[column], sort=True)
        known: list[tuple[int, object]] = [*enumerate(levels)]
        for code, level in [*known, (-1, None)] if (codes == -1).any() else known:
            here = codes == code
            shares = _compare_shares(here[stayed], here[~stayed])
            rows.append({"column": column, "level": level} | shares)
    return pd.DataFrame(rows, columns=GROUP_COLUMNS).astype({"note": "str"})


def _compare_shares(stayers: NDArray[np.bool_], leavers: NDArray[np.bool_]) -> dict[str, object]:
    """Return one row of `compare_groups_left`: who of either group is of the level."""
    counts: dict[str, object] = {"n_stayers": int(stayers.sum()), "n_leavers": int(leavers.sum())}
    if min(len(stayers), len(leavers)) == 0:
        return counts | {"note": "nobody"}
    stay, left = float(stayers.mean()), float(leavers.mean())
    shares = counts | {"share_stayers": stay, "share_leavers": left}
    spread = np.sqrt((stay * (1 - stay) + left * (1 - left)) / 2)
    if spread == 0:
        return shares | {"note": "no_variation" if stay == left else "apart"}
    return shares | {"difference": (left - stay) / spread}
