"""The change of the persons who sat both waves, in points and in standard deviations, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bgtk_lib.change.clusters import Floats, code_clusters
from bgtk_lib.change.strata import ClusterBy, lay_out, mean_by_strata, take_scores
from bgtk_lib.errors import ParameterError, Text
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

DISTRICT_COLUMNS = ["district", "n_pairs", "mean_pre", "mean_post", "mean", "se", "df", "low", "high", "note"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """The mean change of the same persons; change is always post − pre.

    Attributes
    ----------
    n_pairs : int
        Persons with both scores.
    mean_pre, mean_post : float
        Their mean scores.
    sd_pre, sd_post : float
        Standard deviations (n − 1).
    retest_r : float or Withheld
        Pearson correlation of the two scores; withheld where one of them does not vary.
    mean : float
        Mean change, in points.
    se, df, low, high : float
        Its CR2 standard error, Satterthwaite degrees of freedom and t interval.
    t, p : float
        Test that it is zero, two-sided.
    d_z : float
        Mean change over the standard deviation of the changes; for the appendix, with `retest_r`.
    g_av, g_av_se, g_av_low, g_av_high : float
        Mean change over the average standard deviation, small-sample corrected; its standard error and interval.
    confidence : float
        Of both intervals.
    cluster : {"school", "district", "none"}
        What was taken as observed independently.
    cluster_reason : Text or None
        Why there is no cluster; the page prints it.
    n_clusters : int
        Clusters used; who has none is a cluster of one.
    n_clusters_effective : float
        (Σn)² / Σn².
    n_without_cluster : int
        Persons whose school (or district) is not known.
    strata_merged : int
        Districts put together because one had a single school; 0 if there were none.
    """

    n_pairs: int
    mean_pre: float
    mean_post: float
    sd_pre: float
    sd_post: float
    retest_r: float | Withheld
    mean: float
    se: float
    df: float
    low: float
    high: float
    t: float
    p: float
    d_z: float
    g_av: float
    g_av_se: float
    g_av_low: float
    g_av_high: float
    confidence: float
    cluster: ClusterBy
    cluster_reason: Text | None
    n_clusters: int
    n_clusters_effective: float
    n_without_cluster: int
    strata_merged: int


def estimate_change(
    pairs: pd.DataFrame,
    *,
    cluster: ClusterBy,
    confidence: float = 0.95,
    cluster_reason: Text | None = None,
) -> Change | Withheld:
    """Estimate the mean change of everyone who sat both waves.

    Parameters
    ----------
    pairs : DataFrame
        One row a person: `score_pre` and `score_post` on one scale, `district` and `npsn` (both may be null).
    cluster : {"school", "district", "none"}
        ``school``: CR2 by `npsn` with districts as fixed strata. ``district``: CR2 by district. ``none``: every person
        alone, which is the paired t test.
    confidence : float
        Of the intervals, between 0 and 1.
    cluster_reason : Text, optional
        Why there is no cluster; required with ``none``.

    Returns
    -------
    Change or Withheld
        Withheld with fewer than two pairs or clusters, or where the clusters do not differ at all.

    Raises
    ------
    LinkageError
        If a score is null.
    ParameterError
        If `cluster` is another word, or is ``none`` without a reason.

    Notes
    -----
    g_av = J·d with d = mean / s, s = √((sd_pre² + sd_post²) / 2) and J = 1 − 3 / (4(n − 1) − 1). Lakens divides by the
    mean of the two standard deviations instead; the two agree closely while these are alike. Its interval is J times
    the interval of the mean of d + ψ_i, in the same clusters and strata, with the influence of a person
    ψ_i = (δ_i − mean)/s − d/2 · [q_i/q̄ − 1], q_i = (pre_i − mean_pre)² + (post_i − mean_post)².

    References
    ----------
    Lakens, D. (2013). Calculating and reporting effect sizes to facilitate cumulative science. *Frontiers in
    Psychology* 4:863.

    Hedges, L. V. (1981). Distribution theory for Glass's estimator of effect size and related estimators. *Journal of
    Educational Statistics* 6(2), 107-128.

    Examples
    --------
    Changes 1, 1, 1 and 5: mean 2, standard error 2 / √4.

    >>> from bgtk_lib.words import plain
    >>> pairs = pd.DataFrame({"score_pre": [4, 5, 6, 7], "score_post": [5, 6, 7, 12], "district": None, "npsn": None})
    >>> change = estimate_change(pairs, cluster="none", cluster_reason=plain("one school only"))
    >>> round(change.mean, 6), round(change.se, 6), round(change.d_z, 6)
    (2.0, 1.0, 1.0)
    """
    if cluster == "none" and cluster_reason is None:
        raise ParameterError(say("statistics.reason_needed"))
    pre, post = take_scores(pairs, "score_pre"), take_scores(pairs, "score_post")
    layout = lay_out(pairs, cluster)
    gain = post - pre
    change = mean_by_strata(gain, **layout, confidence=confidence)
    if isinstance(change, Withheld):
        return change

    spread = (pre - pre.mean()) ** 2 + (post - post.mean()) ** 2
    sd_average = np.sqrt((pre.var(ddof=1) + post.var(ddof=1)) / 2)
    d_average = change.estimate / sd_average
    size = mean_by_strata(
        gain / sd_average - d_average / 2 * (spread / spread.mean() - 1), **layout, confidence=confidence
    )
    if isinstance(size, Withheld):
        return size
    small = correct_small_sample(len(gain) - 1)
    return Change(
        n_pairs=len(gain),
        mean_pre=float(pre.mean()),
        mean_post=float(post.mean()),
        sd_pre=float(pre.std(ddof=1)),
        sd_post=float(post.std(ddof=1)),
        retest_r=_correlate(pre, post),
        mean=change.estimate,
        se=change.se,
        df=change.df,
        low=change.low,
        high=change.high,
        t=change.t,
        p=change.p,
        d_z=change.estimate / float(gain.std(ddof=1)),
        g_av=small * size.estimate,
        g_av_se=small * size.se,
        g_av_low=small * size.low,
        g_av_high=small * size.high,
        confidence=confidence,
        cluster=cluster,
        cluster_reason=cluster_reason,
        n_clusters=change.n_clusters,
        n_clusters_effective=change.n_clusters_effective,
        n_without_cluster=change.n_without_cluster,
        strata_merged=change.strata_merged,
    )


def estimate_by_district(pairs: pd.DataFrame, *, cluster: ClusterBy, confidence: float = 0.95) -> pd.DataFrame:
    """Estimate the mean change of each district, from its own pairs alone.

    Parameters
    ----------
    pairs : DataFrame
        As in `estimate_change`.
    cluster : {"school", "district", "none"}
        As in `estimate_change`; by ``district`` each is a single cluster, so that no interval exists.
    confidence : float
        Of the intervals, between 0 and 1.

    Returns
    -------
    DataFrame
        `DISTRICT_COLUMNS`, every district of the input in code order, those without one last. `se`, `df`, `low` and
        `high` are null where `note` says why: ``one_cluster`` or ``no_variation``. Nothing is suppressed here.

    Raises
    ------
    LinkageError
        If a score is null.

    Examples
    --------
    >>> pairs = pd.DataFrame(
    ...     {"score_pre": [4, 5, 6], "score_post": [5, 8, 8], "district": ["A", "A", "B"], "npsn": None}
    ... )
    >>> estimate_by_district(pairs, cluster="none")[["district", "n_pairs", "mean", "se", "note"]]
      district  n_pairs  mean   se         note
    0        A        2   2.0  1.0          NaN
    1        B        1   2.0  NaN  one_cluster
    """
    scored = pairs.assign(gain=take_scores(pairs, "score_post") - take_scores(pairs, "score_pre"))
    rows = []
    for district, group in scored.groupby("district", dropna=False):
        layout = lay_out(group, cluster)
        change = mean_by_strata(group["gain"], **layout, confidence=confidence)
        row = {
            "district": district,
            "n_pairs": len(group),
            "mean_pre": group["score_pre"].mean(),
            "mean_post": group["score_post"].mean(),
            "mean": group["gain"].mean(),
        }
        if isinstance(change, Withheld):
            lone = code_clusters(layout["cluster"], len(group)).max() == 0
            rows.append(row | {"note": "one_cluster" if lone else "no_variation"})
        else:
            rows.append(row | {"se": change.se, "df": change.df, "low": change.low, "high": change.high})
    return pd.DataFrame(rows, columns=DISTRICT_COLUMNS).astype({"note": "str"})


def correct_small_sample(df: int) -> float:
    """Return Hedges' J = 1 − 3 / (4·df − 1), by which a standardised mean is multiplied."""
    return 1 - 3 / (4 * df - 1)


def _correlate(pre: Floats, post: Floats) -> float | Withheld:
    """Return the Pearson correlation."""
    if np.ptp(pre) == 0 or np.ptp(post) == 0:
        return Withheld(say("statistics.constant_scores"))
    return float(np.corrcoef(pre, post)[0, 1])
