"""One estimate from several draws: Rubin's rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from bgtk_lib.errors import ParameterError
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say


@dataclass(frozen=True, kw_only=True)
class Combined:
    """An estimate over all draws.

    Attributes
    ----------
    estimate : float
        Mean of the draws' estimates.
    se : float
        Square root of T = Ū + (1 + 1/m)B.
    df : float
        Degrees of freedom; infinite where neither the draws differ nor the complete data have any.
    low, high : float
        Ends of the t interval.
    share_missing : float
        (1 + 1/m)B / T: how much of the variance comes from what the test leaves open.
    n_values : int
        Draws.
    """

    estimate: float
    se: float
    df: float
    low: float
    high: float
    share_missing: float
    n_values: int


def combine_draws(
    estimates: ArrayLike, variances: ArrayLike, *, complete_df: float = np.inf, confidence: float = 0.95
) -> Combined | Withheld:
    """Combine the estimates of m draws into one, with the draws' disagreement in its standard error.

    Parameters
    ----------
    estimates : array of m
        The same statistic from each draw; a correlation as artanh, a variance as logarithm.
    variances : array of m
        Its squared standard error in each draw.
    complete_df : float
        Degrees of freedom if ability were known (of the clustered standard error, say); infinite: not limited.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    Combined or Withheld
        Withheld with fewer than two draws, or where a draw has no estimate.

    Raises
    ------
    ParameterError
        If there are not as many variances as estimates.

    Notes
    -----
    With λ = (1 + 1/m)B / T: 1/df = λ²/(m − 1) + 1/df_obs, df_obs = (ν + 1)/(ν + 3) · ν(1 − λ), ν = `complete_df`
    (Barnard & Rubin 1999, equation 3); with ν infinite this is Rubin's (m − 1)/λ².

    References
    ----------
    Rubin, D. B. (1987). *Multiple imputation for nonresponse in surveys*. Wiley, equations 3.1.4-3.1.6.

    Barnard, J. & Rubin, D. B. (1999). Small-sample degrees of freedom with multiple imputation. *Biometrika* 86,
    948-955.

    Examples
    --------
    The draws' variance is 1, so T = 2 + (1 + 1/3)·1 and λ = (4/3) / (10/3) = .4; df = 2/.16.

    >>> result = combine_draws([4, 5, 6], [2, 2, 2])
    >>> result.estimate, round(result.se**2, 6), round(result.df, 6), round(result.share_missing, 6)
    (5.0, 3.333333, 12.5, 0.4)
    """
    means, within = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    if means.shape != within.shape or means.ndim != 1:
        raise ParameterError(say("scoring.draws_unequal", estimates=means.size, variances=within.size))
    m = len(means)
    if m < 2 or not (np.isfinite(means) & np.isfinite(within)).all():
        return Withheld(say("scoring.draws_missing", n=int(np.isfinite(means + within).sum()), draws=m))
    between = (1 + 1 / m) * float(means.var(ddof=1))
    total = float(within.mean()) + between
    share = between / total if total > 0 else 0.0
    nu = complete_df
    observed = nu if np.isinf(nu) else (nu + 1) / (nu + 3) * nu * (1 - share)
    inverse = share**2 / (m - 1) + (1 / observed if observed > 0 else np.inf)
    df = 1 / inverse if inverse > 0 else np.inf
    half = float(stats.t.isf((1 - confidence) / 2, df)) * np.sqrt(total)
    middle = float(means.mean())
    return Combined(
        estimate=middle,
        se=float(np.sqrt(total)),
        df=float(df),
        low=middle - half,
        high=middle + half,
        share_missing=share,
        n_values=m,
    )
