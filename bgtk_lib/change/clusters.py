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
class ClusteredFit:
    """Least squares with CR2, kept in coordinates where the columns of X are orthonormal: Z = X·root, Z′Z = I.

    Attributes
    ----------
    coef : array of k
        Coefficients.
    covariance : array of k × k
        Their CR2 covariance.
    n_clusters : int
        Clusters used.
    root : array of k × k
        What turns X into Z.
    grams : array of J × k × k
        S_j = Z_j′Z_j.
    adjusters : array of J × k × k
        B_j = (I − S_j)^(−½), so that A_j Z_j = Z_j B_j.
    scores : array of J × k
        B_j Z_j′e_j.
    size : float
        Largest absolute outcome; below `ROUNDING` of it nothing is variation.
    """

    coef: Floats
    covariance: Floats
    n_clusters: int
    root: Floats
    grams: Floats
    adjusters: Floats
    scores: Floats
    size: float

    def contrast(self, weights: ArrayLike, *, confidence: float = 0.95) -> Contrast | Withheld:
        """Estimate one combination of the coefficients.

        Parameters
        ----------
        weights : array of k
            What each coefficient counts.
        confidence : float
            Of the interval, between 0 and 1.

        Returns
        -------
        Contrast or Withheld
            Withheld where no variation between clusters is left to judge it by.

        Notes
        -----
        With u_j = A_j X_j M c, w_j = X_j′u_j and M = (X′X)⁻¹ the degrees of freedom are (tr G)² / tr G²,
        G = diag(u_j′u_j) − W M W′. Neither G (J × J) nor I − H (N × N) is formed: both traces come from k × k sums.
        """
        c = self.root.T @ np.asarray(weights, dtype=float)
        v = self.adjusters @ c
        w = np.einsum("jab,jb->ja", self.grams, v)
        lengths = (v * w).sum(axis=1)
        df = approximate_df(lengths, overlaps=(w**2).sum(axis=1), gram=w.T @ w)
        return state_contrast(
            float(np.asarray(weights, dtype=float) @ self.coef),
            self.scores @ c,
            df=df,
            floor=ROUNDING * self.size * float(np.sqrt(lengths.sum())),
            confidence=confidence,
        )


def fit_cr2(y: ArrayLike, X: ArrayLike, cluster: ArrayLike) -> ClusteredFit:
    """Fit ordinary least squares with the CR2 covariance (identity working model).

    Parameters
    ----------
    y : array of n
        Outcome, no nulls.
    X : array of n × k
        Regressors, with the constant if one is wanted; of full rank.
    cluster : array of n
        Cluster of each row; a row whose cluster is null is a cluster of its own.

    Returns
    -------
    ClusteredFit

    Raises
    ------
    ParameterError
        If the columns of X are not independent.

    Notes
    -----
    V = M [Σ_j X_j′ A_j e_j e_j′ A_j X_j] M with A_j the symmetric square root of the generalised inverse of I − H_jj:
    where a cluster alone decides a coefficient, that direction carries no information and counts nothing. As
    A_j Z_j = Z_j (I − Z_j′Z_j)^(−½), a k × k root a cluster suffices, however large the cluster.

    Examples
    --------
    Four persons in clusters of their own: the standard error of the mean is s / √n = 2 / √4.

    >>> fit = fit_cr2([1, 1, 1, 5], [[1], [1], [1], [1]], ["a", "b", "c", "d"])
    >>> result = fit.contrast([1])
    >>> round(result.estimate, 6), round(result.se, 6), round(result.df, 6)
    (2.0, 1.0, 3.0)
    """
    y, X = np.asarray(y, dtype=float), np.asarray(X, dtype=float)
    if np.linalg.matrix_rank(X) < X.shape[1]:
        raise ParameterError(say("statistics.rank", columns=X.shape[1]))
    codes = code_clusters(cluster, len(y))
    order = np.argsort(codes, kind="stable")
    Z, triangle = np.linalg.qr(X[order])
    root = np.linalg.inv(triangle)
    projected = Z.T @ y[order]
    residuals = y[order] - Z @ projected

    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    grams = np.array([block.T @ block for block in np.split(Z, starts[1:])])
    values, vectors = np.linalg.eigh(grams)
    left = np.where(1 - values > NOTHING, 1 - values, np.inf)
    adjusters = (vectors / np.sqrt(left)[:, None, :]) @ vectors.swapaxes(1, 2)
    scores = np.einsum("jab,jb->ja", adjusters, np.add.reduceat(Z * residuals[:, None], starts))
    return ClusteredFit(
        coef=root @ projected,
        covariance=root @ (scores.T @ scores) @ root.T,
        n_clusters=len(starts),
        root=root,
        grams=grams,
        adjusters=adjusters,
        scores=scores,
        size=float(np.abs(y).max()),
    )


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


def state_contrast(
    estimate: float, parts: Floats, *, df: float, floor: float, confidence: float
) -> Contrast | Withheld:
    """Return the t inference from what each cluster adds to the estimate's error."""
    se = float(np.sqrt((parts**2).sum()))
    if df == 0 or se <= floor:
        return Withheld(say("statistics.no_variation"))
    half = float(stats.t.isf((1 - confidence) / 2, df)) * se
    t = estimate / se
    p = float(2 * stats.t.sf(abs(t), df))
    return Contrast(estimate=estimate, se=se, df=df, low=estimate - half, high=estimate + half, t=t, p=p)
