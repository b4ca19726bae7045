"""Random intercepts of schools by REML: statsmodels' `MixedLM` well started, and the answer where its search has none."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize
from statsmodels.regression.mixed_linear_model import MixedLM

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
    converged : bool
        Whether the search ended at a maximum.
    """

    coef: Floats
    covariance: Floats
    var_group: float
    var_rest: float
    loglik: float
    converged: bool


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
    squares the fit. Elsewhere MixedLM's search starts where the two sides meet, which sums over groups tell; from its
    default start it takes several times as long and can stop short of the maximum.

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
    fits: list[InterceptFit] = []
    for values in y.T:
        left = values - Z @ (Z.T @ values)
        rest = float(left @ left)
        if n <= k or rest <= n * (ROUNDING * float(np.abs(values).max())) ** 2:
            return Withheld(say("statistics.no_variation"))
        parts = np.bincount(group, left).astype(float)
        ratio = _find_ratio(rest, parts, sums, sizes=sizes) if sizes.max() > 1 else 0.0
        if ratio > FARTHEST:
            return Withheld(say("multilevel.same_within"))
        coef, var_rest, converged = root @ (Z.T @ values), rest / (n - k), True
        logs = (n - k) * (np.log(2 * np.pi * var_rest) + 1) + 2 * np.log(np.abs(np.diag(triangle))).sum()
        loglik = -logs / 2
        if ratio:
            found = _search(values, X, group, start=ratio)
            coef, var_rest, converged = np.asarray(found.fe_params), float(found.scale), found.converged
            ratio, loglik = float(found.cov_re[0, 0]) / var_rest, found.llf
        information = np.eye(k) - sums.T @ (sums * (ratio / (1 + ratio * sizes))[:, None])
        fits.append(
            InterceptFit(
                coef=coef,
                covariance=var_rest * root @ np.linalg.inv(information) @ root.T,
                var_group=ratio * var_rest,
                var_rest=var_rest,
                loglik=float(loglik),
                converged=bool(converged),
            )
        )
    return fits


def _find_ratio(rest: float, parts: Floats, sums: Floats, *, sizes: Floats) -> float:
    """Return the ρ where the restricted likelihood stops rising; 0 where it never rises, beyond `FARTHEST` where always.

    Of least squares' residuals their sum of squares and their sums by group, of the orthonormal columns of X theirs.
    """
    df = sizes.sum() - sums.shape[1]

    def rise(ratio: float) -> float:
        shrunk = 1 / (1 + ratio * sizes)
        inverse = np.linalg.inv(np.eye(sums.shape[1]) - sums.T @ (sums * (ratio * shrunk)[:, None]))
        pull = -ratio * sums.T @ (shrunk * parts)
        moved = shrunk * (parts - sums @ (inverse @ pull))
        squares = rest - ratio * float(shrunk @ parts**2) - float(pull @ inverse @ pull)
        trace = float(sizes @ shrunk) - float((inverse * (sums.T @ (sums * (shrunk**2)[:, None]))).sum())
        return float(df * (moved @ moved) - trace * squares)

    if rise(0.0) <= 0:
        return 0.0
    far = 1.0
    while rise(far) > 0:
        far *= 8
        if far > FARTHEST:
            return np.inf
    return float(optimize.brentq(rise, 0.0, far, xtol=NOTHING))


def _search(values: Floats, X: Floats, group: Codes, *, start: float) -> Any:
    """Return MixedLM's fit, searched from a ratio of the variances that is near its end.

    From afar a step can take the root of that ratio below 0, where MixedLM's score has the wrong sign (statsmodels 0.15)
    and its search stops. Powell's method, the second one, needs no score.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it says of the boundary hangs on the unit; `converged` tells the rest
        model = MixedLM(values, X, groups=group)
        return model.fit(reml=True, start_params=np.array([np.sqrt(start)]), method=["bfgs", "powell"])
