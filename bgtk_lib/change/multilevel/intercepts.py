"""Random intercepts of schools by REML, from sums over schools.

statsmodels' `MixedLM` searches for what one equation in the ratio of the variances tells: here it takes ten times as long at
best, from its default start it can stop short, and at ratio 0 it has no answer. The tests hold this beside it and lme4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize

from bgtk_lib.change.clusters import NOTHING, ROUNDING, Codes, Floats
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

FARTHEST = 1e9  # ratio of the variances beyond which nobody differs from others of the group


@dataclass(frozen=True, kw_only=True, eq=False)
class InterceptFit:
    """A linear model with a random intercept for each group, by REML.

    Attributes
    ----------
    coef : array of k
        Fixed effects.
    covariance : array of k × k
        Of `coef`, at the estimated variances: σ²(X′V⁻¹X)⁻¹.
    var_group, var_rest : float
        Variances of the intercepts and of the residuals; `var_group` is 0 where REML has its maximum there.
    loglik : float
        Restricted log-likelihood, as lme4 counts it.
    """

    coef: Floats
    covariance: Floats
    var_group: float
    var_rest: float
    loglik: float


def fit_random_intercepts(y: Floats, X: Floats, group: Codes) -> list[InterceptFit] | Withheld:
    """Fit y = Xb + intercept of the group + residual by REML, to each of m outcomes.

    Parameters
    ----------
    y : array of n × m
        Outcomes, no nulls.
    X : array of n × k
        Fixed effects, of full rank, with the constant if one is wanted.
    group : array of n
        Codes 0 …, none left out.

    Returns
    -------
    list of InterceptFit, or Withheld
        Withheld where no residuals are left, or where the fixed effects leave no differences between the groups to judge
        their variance by (one school in every district).

    Notes
    -----
    With V = I + ρGG′, G the groups, and P what V leaves of X, the restricted likelihood rises in ρ where
    (n − k)·|G′Py|² > tr(G′PG)·y′Py. Where it does not at ρ = 0, or no group has two members, 0 is the estimate and least
    squares the fit; elsewhere the estimate is where the two sides meet. The rest follows by generalised least squares:
    X′V⁻¹X and X′V⁻¹y need only the groups' sums, log|V| = Σ log(1 + ρn_g).

    References
    ----------
    Searle, S. R., Casella, G. & McCulloch, C. E. (1992). *Variance Components*. Wiley, chapter 6.

    Examples
    --------
    Two groups of two, 2 apart and 1 within: the mean squares are 4 and 1/2, the group variance (4 - 1/2) / 2.

    >>> y, group = np.array([[1.0], [2], [3], [4]]), np.array([0, 0, 1, 1])
    >>> fit = fit_random_intercepts(y, np.ones((4, 1)), group)[0]
    >>> round(float(fit.coef[0]), 6), round(fit.var_group, 3), round(fit.var_rest, 3)
    (2.5, 1.75, 0.5)
    """
    n, k = X.shape
    Z, triangle = np.linalg.qr(X)
    sums, sizes = pd.DataFrame(Z).groupby(group).sum().to_numpy(), np.bincount(group).astype(float)
    if n - (sums**2).sum() <= NOTHING * n < n - k:
        return Withheld(say("multilevel.one_school_each"))
    root = np.linalg.inv(triangle)
    constant = 2 * float(np.log(np.abs(np.diag(triangle))).sum())
    fits: list[InterceptFit] = []
    for values in y.T:
        left = values - Z @ (Z.T @ values)
        rest = float(left @ left)
        if n <= k or rest <= n * (ROUNDING * float(np.abs(values).max())) ** 2:
            return Withheld(say("statistics.no_variation"))
        groups = _Sums(rest=rest, parts=np.bincount(group, left).astype(float), columns=sums, sizes=sizes)
        ratio = _find_ratio(groups) if sizes.max() > 1 else 0.0
        if ratio > FARTHEST:
            return Withheld(say("multilevel.same_within"))
        found = groups.leave(ratio)
        var_rest = found.squares / (n - k)
        logs = (n - k) * (np.log(2 * np.pi * var_rest) + 1) + np.log1p(ratio * sizes).sum() + constant
        fits.append(
            InterceptFit(
                coef=root @ (Z.T @ values + found.inverse @ found.pull),
                covariance=var_rest * root @ found.inverse @ root.T,
                var_group=ratio * var_rest,
                var_rest=var_rest,
                loglik=float(-(logs - np.linalg.slogdet(found.inverse)[1]) / 2),
            )
        )
    return fits


@dataclass(frozen=True, kw_only=True, eq=False)
class _Left:
    """What a ratio leaves: (X′V⁻¹X)⁻¹ of orthonormal X, X′V⁻¹ of least squares' residuals, y′Py, |G′Py|² and tr(G′PG)."""

    inverse: Floats
    pull: Floats
    squares: float
    moved: float
    trace: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sums:
    """Least squares' residuals: their sum of squares and sums by group; orthonormal columns of X by group; persons in each."""

    rest: float
    parts: Floats
    columns: Floats
    sizes: Floats

    def leave(self, ratio: float) -> _Left:
        """Return what V = I + ρGG′ leaves at one ratio ρ of the variances."""
        shrunk = 1 / (1 + ratio * self.sizes)
        weighted = self.columns * shrunk[:, None]
        inverse = np.linalg.inv(np.eye(self.columns.shape[1]) - ratio * self.columns.T @ weighted)
        pull = -ratio * self.columns.T @ (shrunk * self.parts)
        moved = shrunk * (self.parts - self.columns @ (inverse @ pull))
        return _Left(
            inverse=np.asarray(inverse, dtype=np.float64),
            pull=pull,
            squares=self.rest - ratio * float(shrunk @ self.parts**2) - float(pull @ inverse @ pull),
            moved=float(moved @ moved),
            trace=float(self.sizes @ shrunk) - float((inverse * (weighted.T @ weighted)).sum()),
        )


def _find_ratio(sums: _Sums) -> float:
    """Return the ρ where the restricted likelihood stops rising; 0 where it never rises, beyond `FARTHEST` where always."""
    df = float(sums.sizes.sum()) - sums.columns.shape[1]

    def rise(ratio: float) -> float:
        left = sums.leave(ratio)
        return float(df * left.moved - left.trace * left.squares)

    if rise(0.0) <= 0:
        return 0.0
    far = 1.0
    while rise(far) > 0:
        far *= 8
        if far > FARTHEST:
            return np.inf
    return float(optimize.brentq(rise, 0.0, far, xtol=NOTHING))
