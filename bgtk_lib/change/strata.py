"""The mean of everyone with districts as fixed strata and schools as clusters: the machinery of every headline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

import numpy as np
import pandas as pd
from scipy import sparse

from bgtk_lib.change.clusters import (
    ROUNDING,
    Codes,
    Contrast,
    Floats,
    approximate_df,
    code_clusters,
    contrast_cr2,
    state_contrasts,
)
from bgtk_lib.errors import LinkageError, ParameterError
from bgtk_lib.findings import Withheld
from bgtk_lib.words import plain, say

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

ClusterBy = Literal["school", "district", "none"]


@dataclass(frozen=True, kw_only=True)
class StratifiedMean(Contrast):
    """The mean of everyone, with fixed strata.

    Attributes
    ----------
    n_clusters : int
        Clusters used; who has none is a cluster of one.
    n_clusters_effective : float
        (Σn)² / Σn²: how many clusters of equal size would weigh the same (Kish).
    n_without_cluster : int
        Persons whose cluster is not known.
    strata_merged : int
        Strata of a single cluster that were put together, with the one they joined; 0 if there were none.
    """

    n_clusters: int
    n_clusters_effective: float
    n_without_cluster: int
    strata_merged: int


def mean_by_strata(
    values: ArrayLike,
    *,
    stratum: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    confidence: float = 0.95,
) -> StratifiedMean | Withheld:
    """Estimate the mean of everyone: strata fixed (all are observed), clusters within them independent.

    Parameters
    ----------
    values : array of n
        No nulls.
    stratum : array of n, optional
        Null is a stratum of its own; none: one stratum.
    cluster : array of n, optional
        A row whose cluster is null is a cluster of its own; none: every row is.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    StratifiedMean or Withheld
        Withheld with fewer than two clusters, or where the clusters do not differ at all.

    Notes
    -----
    It is `contrast_cr2` on stratum dummies with the contrast n_d/N. A stratum with a single cluster says nothing about how
    clusters vary: all such are put together, and if they are one cluster still, with the smallest other stratum. With
    every cluster inside one stratum, 1 is an eigenvector of I − H_jj and A_j 1 = (1 − n_j/n_d)^(−½) 1, so that sums
    over clusters suffice; otherwise the general fit is used. With one stratum and every row a cluster it is the
    one-sample t.

    Examples
    --------
    >>> result = mean_by_strata([1, 1, 1, 5])
    >>> round(result.se, 6), round(result.df, 6), round(result.t, 6)
    (1.0, 3.0, 2.0)
    """
    values = np.asarray(values, dtype=float)
    strata = plan_strata(len(values), stratum=stratum, cluster=cluster)
    return strata if isinstance(strata, Withheld) else strata.average(values[:, None], confidence=confidence)[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Strata:
    """Who stands in which stratum and cluster, worked out once for any number of outcomes.

    Attributes
    ----------
    strata, clusters : array of n
        Codes 0 …; lone strata are merged.
    facts : mapping
        The attributes that `StratifiedMean` adds to a contrast.
    """

    strata: Codes
    clusters: Codes
    facts: Mapping[str, Any]

    def average(self, values: Floats, *, confidence: float) -> list[StratifiedMean | Withheld]:
        """Return the mean of everyone for each column of values (n × m), as `mean_by_strata` does for one."""
        n, n_stratum, n_cluster = len(values), np.bincount(self.strata), np.bincount(self.clusters)
        home = np.zeros(len(n_cluster), dtype=np.intp)
        home[self.clusters] = self.strata
        if (home[self.clusters] != self.strata).any():  # a cluster in several strata: the general fit
            dummies, weights = np.eye(len(n_stratum))[self.strata], n_stratum / n
            fits = contrast_cr2(values, dummies, self.clusters, weights=weights, confidence=confidence)
            return [self._state(one) for one in fits]
        residuals = values - ((_sum_by(self.strata, len(n_stratum)) @ values) / n_stratum[:, None])[self.strata]
        gain = (1 - n_cluster / n_stratum[home]) ** -0.5
        lengths = gain**2 * n_cluster / n**2
        overlaps = (gain * n_cluster / n) ** 2 / n_stratum[home]
        df = approximate_df(lengths, overlaps=overlaps, gram=np.bincount(home, overlaps))
        parts = gain[:, None] * (_sum_by(self.clusters, len(n_cluster)) @ residuals) / n
        floors = ROUNDING * np.abs(values).max(axis=0) * float(np.sqrt(lengths.sum()))
        found = state_contrasts(values.mean(axis=0), parts, df=df, floors=floors, confidence=confidence)
        return [self._state(one) for one in found]

    def _state(self, contrast: Contrast | Withheld) -> StratifiedMean | Withheld:
        return contrast if isinstance(contrast, Withheld) else StratifiedMean(**asdict(contrast), **self.facts)


def plan_strata(n: int, *, stratum: ArrayLike | None = None, cluster: ArrayLike | None = None) -> Strata | Withheld:
    """Return who stands where among n persons; withheld with fewer than two clusters. As in `mean_by_strata`."""
    clusters = code_clusters(cluster, n)
    sizes = np.bincount(clusters)
    if len(sizes) < 2:
        return Withheld(say("statistics.one_cluster", n=n))
    given = np.zeros(n, dtype=np.intp) if stratum is None else _code_strata(stratum)
    strata = _merge_lone_strata(given, clusters)
    lost = int(given.max() - strata.max())
    facts = {
        "n_clusters": len(sizes),
        "n_clusters_effective": n**2 / float((sizes**2).sum()),
        "n_without_cluster": 0 if cluster is None else int(pd.isna(pd.Series(cluster)).sum()),
        "strata_merged": lost + 1 if lost else 0,
    }
    return Strata(strata=strata, clusters=clusters, facts=facts)


def _sum_by(codes: Codes, n: int) -> Any:
    """Return the n × persons matrix whose product sums persons' values by code."""
    return sparse.csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(n, len(codes)))


class Layout(TypedDict):
    """Who is observed independently: the arguments of `mean_by_strata`."""

    stratum: pd.Series[Any] | None
    cluster: pd.Series[Any] | None


def lay_out(frame: pd.DataFrame, cluster: ClusterBy) -> Layout:
    """Return strata and clusters for a way of clustering.

    Parameters
    ----------
    frame : DataFrame
        Columns `district` and `npsn`; each may be null, also throughout.
    cluster : {"school", "district", "none"}
        ``school``: schools within fixed districts; ``district``: districts; ``none``: every person.

    Raises
    ------
    ParameterError
        If `cluster` is another word.
    """
    if cluster not in get_args(ClusterBy):
        allowed = plain(", ".join(get_args(ClusterBy)))
        raise ParameterError(say("statistics.unknown_cluster", found=cluster, allowed=allowed))
    if cluster == "school":
        return Layout(stratum=frame["district"], cluster=frame["npsn"])
    return Layout(stratum=None, cluster=frame["district"] if cluster == "district" else None)


def take_scores(frame: pd.DataFrame, column: str) -> Floats:
    """Return a column of scores as floats.

    Raises
    ------
    LinkageError
        If a score is null: whoever has none is set aside, with a reason, before anything is estimated.
    """
    missing = int(frame[column].isna().sum())
    if missing:
        raise LinkageError(say("statistics.null_scores", n=missing, rows=len(frame), column=plain(column)))
    return frame[column].to_numpy(dtype=float)


def _code_strata(stratum: ArrayLike) -> Codes:
    """Return codes 0 … in the order of the strata, a null being a stratum of its own."""
    codes, known = pd.factorize(pd.Series(stratum), sort=True)
    codes[codes == -1] = len(known)
    return codes


def _merge_lone_strata(strata: Codes, clusters: Codes) -> Codes:
    """Return codes 0 … of strata that have two clusters each; see `mean_by_strata`."""
    n_clusters = pd.Series(clusters).groupby(strata).nunique().to_numpy()
    lone = np.flatnonzero(n_clusters == 1)
    if lone.size == 0:
        return strata
    if len(np.unique(clusters[np.isin(strata, lone)])) == 1:
        sizes = np.bincount(strata).astype(float)
        sizes[lone] = np.inf
        lone = np.append(lone, sizes.argmin())
    joined = np.where(np.isin(strata, lone), lone[0], strata)
    return np.unique(joined, return_inverse=True)[1]
