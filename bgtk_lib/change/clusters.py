"""Least squares with CR2 standard errors and Satterthwaite degrees of freedom.

Teachers of one school change together, so the school, not the teacher, is what was observed independently. The plain
clustered error is too small where clusters are few or of unequal size; CR2 corrects each cluster's residuals so that
the variance is unbiased if the errors were independent after all, and the degrees of freedom say how many clusters
really carry the estimate. It is written here because statsmodels offers CR1S for least squares and CR3 in its GEE,
but neither CR2 nor these degrees of freedom.

References
----------
Bell, R. M. & McCaffrey, D. F. (2002). Bias reduction in standard errors for linear regression with multi-stage
samples. *Survey Methodology* 28(2), 169-181.

Pustejovsky, J. E. & Tipton, E. (2018). Small-sample methods for cluster-robust variance estimation and hypothesis
testing in fixed effects models. *Journal of Business & Economic Statistics* 36(4), 672-683.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bgtk_lib.errors import ParameterError
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.intp]

NOTHING = 1e-10  # share of a variance that is rounding: what is left of I − H where a cluster fits itself
ROUNDING = 1e-12  # the same for values, as a share of the largest


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A combination of coefficients, tested against zero.

    Attributes
    ----------
    estimate : float
        Its value, in the unit of the outcome.
    se : float
        CR2 standard error.
    df : float
        Satterthwaite degrees of freedom; at least 1.
    low, high : float
        Ends of the t interval.
    t, p : float
        Estimate over standard error, and its two-sided p-value.
    """

    estimate: float
    se: float
    df: float
    low: float
    high: float
    t: float
    p: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ClusteredDesign:
    """Regressors and clusters, worked out once for any number of outcomes: Z = X·root, Z′Z = I, rows sorted by cluster.

    Attributes
    ----------
    order : array of n
        Places of the rows as sorted.
    starts : array of J
        Where each cluster begins among them.
    basis : array of n × k
        Z.
    root : array of k × k
        What turns X into Z.
    grams : array of J × k × k
        S_j = Z_j′Z_j.
    adjusters : array of J × k × k
        B_j = (I − S_j)^(−½), so that A_j Z_j = Z_j B_j.
    """

    order: Codes
    starts: Codes
    basis: Floats
    root: Floats
    grams: Floats
    adjusters: Floats

    def estimate(self, values: Floats, weights: ArrayLike) -> tuple[Floats, Floats]:
        """Return one combination of the coefficients for outcomes n × m: m estimates, and what each cluster adds to their errors.

        Notes
        -----
        With A_j the symmetric square root of the generalised inverse of I − H_jj and M = (X′X)⁻¹, cluster j adds
        c′M X_j′A_j e_j: the squares of these (J × m) sum up to the CR2 variance c′M [Σ_j X_j′A_j e_j e_j′A_j X_j] M c.
        """
        u, projected = self._weigh(weights)[1], self.basis.T @ values[self.order]
        residuals = values[self.order] - self.basis @ projected
        return self.root.T @ np.asarray(weights, dtype=float) @ projected, np.add.reduceat(
            u[:, None] * residuals, self.starts
        )

    def _weigh(self, weights: ArrayLike) -> tuple[Floats, Floats]:
        """Return v_j = B_j·root′c (J × k), and u, which is Z_j v_j in sorted rows."""
        v = self.adjusters @ (self.root.T @ np.asarray(weights, dtype=float))
        sizes = np.diff(self.starts, append=len(self.order))
        return v, (self.basis * np.repeat(v, sizes, axis=0)).sum(axis=1)

    def contrast(self, values: Floats, weights: ArrayLike, *, confidence: float = 0.95) -> list[Contrast | Withheld]:
        """Estimate one combination of the coefficients for each column of outcomes.

        Parameters
        ----------
        values : array of n × m
            Outcomes, no nulls.
        weights : array of k
            What each coefficient counts.
        confidence : float
            Of the intervals, between 0 and 1.

        Returns
        -------
        list of m Contrast or Withheld
            Withheld where no variation between clusters is left to judge it by.

        Notes
        -----
        With u_j = A_j X_j M c, w_j = X_j′u_j the degrees of freedom are (tr G)² / tr G², G = diag(u_j′u_j) − W M W′.
        Neither G (J × J) nor I − H (N × N) is formed: both traces come from k × k sums.
        """
        v, _ = self._weigh(weights)
        w = np.einsum("jab,jb->ja", self.grams, v)
        lengths = (v * w).sum(axis=1)
        estimates, parts = self.estimate(values, weights)
        return state_contrasts(
            estimates,
            parts,
            df=approximate_df(lengths, overlaps=(w**2).sum(axis=1), gram=w.T @ w),
            floors=ROUNDING * np.abs(values).max(axis=0) * float(np.sqrt(lengths.sum())),
            confidence=confidence,
        )


def lay_clusters(X: ArrayLike, cluster: ArrayLike | None) -> ClusteredDesign:
    """Work out regressors and clusters: least squares with CR2 (identity working model), before any outcome.

    Parameters
    ----------
    X : array of n × k
        Regressors, with the constant if one is wanted; of full rank.
    cluster : array of n or None
        Cluster of each row; a row whose cluster is null is a cluster of its own. None: every row is.

    Raises
    ------
    ParameterError
        If the columns of X are not independent.

    Notes
    -----
    Where a cluster alone decides a coefficient, that direction carries no information and counts nothing. As
    A_j Z_j = Z_j (I − Z_j′Z_j)^(−½), a k × k root a cluster suffices, however large the cluster.
    """
    X = np.asarray(X, dtype=float)
    if np.linalg.matrix_rank(X) < X.shape[1]:
        raise ParameterError(say("statistics.rank", columns=X.shape[1]))
    codes = code_clusters(cluster, len(X))
    order = np.argsort(codes, kind="stable")
    Z, triangle = np.linalg.qr(X[order])
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    grams = np.add.reduceat(Z[:, :, None] * Z[:, None, :], starts)
    values, vectors = np.linalg.eigh(grams)
    left = np.where(1 - values > NOTHING, 1 - values, np.inf)
    return ClusteredDesign(
        order=order,
        starts=starts,
        basis=Z,
        root=np.linalg.inv(triangle),
        grams=grams,
        adjusters=(vectors / np.sqrt(left)[:, None, :]) @ vectors.swapaxes(1, 2),
    )


def contrast_cr2(
    values: ArrayLike, X: ArrayLike, cluster: ArrayLike | None, *, weights: ArrayLike, confidence: float = 0.95
) -> list[Contrast | Withheld]:
    """Estimate one combination of the coefficients of a least-squares fit, for each column of outcomes.

    Parameters
    ----------
    values : array of n or n × m
        Outcomes, no nulls.
    X, cluster
        As in `lay_clusters`.
    weights, confidence
        As in `ClusteredDesign.contrast`.

    Examples
    --------
    Four persons in clusters of their own: the standard error of the mean is s / √n = 2 / √4.

    >>> found = contrast_cr2([1, 1, 1, 5], [[1], [1], [1], [1]], ["a", "b", "c", "d"], weights=[1])
    >>> [round(value, 6) for value in (found[0].estimate, found[0].se, found[0].df)]
    [2.0, 1.0, 3.0]
    """
    columns = np.asarray(values, dtype=float).reshape(len(np.asarray(values)), -1)
    return lay_clusters(X, cluster).contrast(columns, weights, confidence=confidence)


def code_clusters(cluster: ArrayLike | None, n: int) -> Codes:
    """Return codes 0 … for n rows, every null being a cluster of its own; no cluster: every row is."""
    if cluster is None:
        return np.arange(n)
    codes, known = pd.factorize(pd.Series(cluster))
    alone = codes == -1
    codes[alone] = len(known) + np.arange(alone.sum())
    return codes


def approximate_df(lengths: Floats, *, overlaps: Floats, gram: NDArray[Any]) -> float:
    """Return (tr G)² / tr G² for G = diag(lengths) − WW′, given |w_j|² and W′W (or its diagonal); 0 if G is nil."""
    trace = lengths.sum() - overlaps.sum()
    if trace <= NOTHING * lengths.sum():
        return 0.0
    return float(trace**2 / ((lengths**2).sum() - 2 * (lengths * overlaps).sum() + (gram**2).sum()))


def state_contrasts(
    estimates: Floats, parts: Floats, *, df: float, floors: Floats, confidence: float
) -> list[Contrast | Withheld]:
    """Return the t inference on m estimates from what each cluster adds to their errors.

    Parameters
    ----------
    estimates : array of m
        Their values.
    parts : array of J × m
        What each cluster adds.
    df : float
        Degrees of freedom of all.
    floors : array of m
        The standard error below which there is no variation.
    confidence : float
        Of the intervals, between 0 and 1.
    """
    errors = np.sqrt((parts**2).sum(axis=0))
    known = (errors > floors) & (df > 0)
    quantile = float(stats.t.isf((1 - confidence) / 2, df)) if df > 0 else np.nan
    t = np.divide(estimates, errors, out=np.full(len(errors), np.nan), where=known)
    p = 2 * stats.t.sf(np.abs(t), df) if known.any() else t
    rows = np.column_stack([estimates, errors, estimates - quantile * errors, estimates + quantile * errors, t, p])
    return [
        Contrast(estimate=estimate, se=se, df=df, low=low, high=high, t=t, p=p)
        if there
        else Withheld(say("statistics.no_variation"))
        for (estimate, se, low, high, t, p), there in zip(rows.tolist(), known, strict=True)
    ]
