"""The change of the persons who sat both waves, in points and in standard deviations, with its uncertainty."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bgtk_lib.change.clusters import Floats, code_clusters
from bgtk_lib.change.drawn import combine_means, lay_draws
from bgtk_lib.change.strata import ClusterBy, lay_out
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
    draws: pd.DataFrame | None = None,
    *,
    cluster: ClusterBy,
    confidence: float = 0.95,
    cluster_reason: Text | None = None,
) -> Change | Withheld:
    """Estimate the mean change of everyone who sat both waves, with all that makes it uncertain in its interval.

    Parameters
    ----------
    pairs : DataFrame
        One row a person: `score_pre` and `score_post` on one scale, `district` and `npsn` (both may be null); with draws
        also pid, `linking_error` and `n_anchors`, as `lay_draws` takes them.
    draws : DataFrame, optional
        Plausible values: pid, draw, score_pre, score_post. None or empty: the scores are points of one form.
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
        If a score is null, or a pair has no draws.
    ParameterError
        If `cluster` is another word, or is ``none`` without a reason.

    Notes
    -----
    From draws every interval has measurement and linking error in it (`drawn.combine`); means, standard deviations and
    `retest_r`, which then is free of measurement error, are means over the draws.

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
    drawn = lay_draws(pairs, pd.DataFrame() if draws is None else draws)
    pre, post, gain = drawn.pre, drawn.post, drawn.gain
    change = combine_means(drawn, gain, cluster=cluster, linked=1, confidence=confidence)
    if isinstance(change, Withheld):
        return change

    spread = (pre - pre.mean(axis=0)) ** 2 + (post - post.mean(axis=0)) ** 2
    sd_pre, sd_post = pre.std(axis=0, ddof=1), post.std(axis=0, ddof=1)
    sd_average = np.sqrt((sd_pre**2 + sd_post**2) / 2)
    sizes = gain / sd_average - gain.mean(axis=0) / sd_average / 2 * (spread / spread.mean(axis=0) - 1)
    size = combine_means(drawn, sizes, cluster=cluster, linked=float(1 / sd_average.mean()), confidence=confidence)
    if isinstance(size, Withheld):
        return size
    small = correct_small_sample(drawn.n - 1)
    return Change(
        n_pairs=drawn.n,
        mean_pre=float(pre.mean()),
        mean_post=float(post.mean()),
        sd_pre=float(sd_pre.mean()),
        sd_post=float(sd_post.mean()),
        retest_r=_correlate(pre, post),
        mean=change.estimate,
        se=change.se,
        df=change.df,
        low=change.low,
        high=change.high,
        t=change.t,
        p=change.p,
        d_z=float((gain.mean(axis=0) / gain.std(axis=0, ddof=1)).mean()),
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


def estimate_by_district(
    pairs: pd.DataFrame,
    draws: pd.DataFrame | None = None,
    *,
    cluster: ClusterBy,
    confidence: float = 0.95,
    known: Collection[str] | None = None,
) -> pd.DataFrame:
    """Estimate the mean change of each district, from its own pairs alone.

    Parameters
    ----------
    pairs, draws
        As in `estimate_change`.
    cluster : {"school", "district", "none"}
        As in `estimate_change`; by ``district`` each is a single cluster, so that no interval exists.
    confidence : float
        Of the intervals, between 0 and 1.
    known : collection of str, optional
        The districts that the plausible values know of; any other gets no interval, for its draws carry a change that is
        not its own. None: all.

    Returns
    -------
    DataFrame
        `DISTRICT_COLUMNS`, every district of the input in code order, those without one last. `se`, `df`, `low` and
        `high` are null where `note` says why: ``one_cluster``, ``no_variation`` or ``not_conditioned``. Nothing is
        suppressed here.

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
    drawn = lay_draws(pairs, pd.DataFrame() if draws is None else draws)
    rows = []
    for key, places in drawn.frame.groupby("district", dropna=False).indices.items():
        here, district = drawn.take(places), None if pd.isna(key) else str(key)  # type: ignore[call-overload]
        change = combine_means(here, here.gain, cluster=cluster, linked=1, confidence=confidence)
        row = {"district": district, "n_pairs": here.n, "mean_pre": here.pre.mean(), "mean_post": here.post.mean()}
        row |= {"mean": here.gain.mean()}
        if known is not None and district is not None and district not in known:
            rows.append(row | {"note": "not_conditioned"})
        elif isinstance(change, Withheld):
            lone = code_clusters(lay_out(here.frame, cluster)["cluster"], here.n).max() == 0
            rows.append(row | {"note": "one_cluster" if lone else "no_variation"})
        else:
            rows.append(row | {"se": change.se, "df": change.df, "low": change.low, "high": change.high})
    return pd.DataFrame(rows, columns=DISTRICT_COLUMNS).astype({"note": "str"})


def correct_small_sample(df: int) -> float:
    """Return Hedges' J = 1 − 3 / (4·df − 1), by which a standardised mean is multiplied."""
    return 1 - 3 / (4 * df - 1)


def _correlate(pre: Floats, post: Floats) -> float | Withheld:
    """Return the mean over the draws of the Pearson correlation."""
    if (np.ptp(pre, axis=0) == 0).any() or (np.ptp(post, axis=0) == 0).any():
        return Withheld(say("statistics.constant_scores"))
    return float(np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(pre.T, post.T, strict=True)]))
