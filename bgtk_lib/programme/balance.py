"""How alike participants and comparison persons were before the programme, and weights that make them alike."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import ArrayLike
from scipy import linalg
from statsmodels.tools.sm_exceptions import ConvergenceWarning, PerfectSeparationWarning

from bgtk_lib.change.clusters import Floats
from bgtk_lib.findings import Withheld
from bgtk_lib.programme.covariates import lay_covariates
from bgtk_lib.words import say

BALANCE_COLUMNS = ["column", "level", "before", "after", "n"]
Band = Literal["fine", "adjust", "apart"]
FINE = 0.05
FEWEST_ALIKE = 30  # persons that the weights of a group must be worth
HELD_FIXED = ("district",)  # strata of every comparison: an imbalance there is compared away


def measure_balance(frame: pd.DataFrame, treated: ArrayLike, *, weights: ArrayLike | None = None) -> pd.DataFrame:
    """Estimate how far participants stood from comparison persons before the programme, in standard deviations.

    Parameters
    ----------
    frame : DataFrame
        As in `lay_covariates`.
    treated : array of n, bool
        Participants.
    weights : array of n, optional
        Weights of the comparison; none: `after` is null.

    Returns
    -------
    DataFrame
        `BALANCE_COLUMNS`: one row a number, and one each level of a kind. Positive where participants were higher, or more
        often of the level. Infinite where neither group varies and they differ. `n`: persons that a row would tell of: the
        smaller group, or if they are fewer those of the level, or those of all others. Empty where a group is.

    Notes
    -----
    (x̄_p − x̄_c) / √((s²_p + s²_c)/2), with p(1 − p) for the variance of a level. The denominator stays unweighted, so
    that a difference cannot shrink because the weights stretched it.

    References
    ----------
    Austin, P. C. (2009). Balance diagnostics for comparing the distribution of baseline covariates between treatment
    groups in propensity-score matched samples. *Statistics in Medicine* 28(25), 3083-3107.

    Examples
    --------
    Means 2 and 1 in points, both with variance 1; in SD of the form the same.

    >>> frame = pd.DataFrame({"points_pre": [1, 2, 3, 0, 1, 2]})
    >>> measure_balance(frame, [True] * 3 + [False] * 3)["before"].round(6).tolist()
    [1.0]
    """
    laid, chosen = lay_covariates(frame), np.asarray(treated, dtype=bool)
    if chosen.all() or not chosen.any():
        return pd.DataFrame(columns=BALANCE_COLUMNS).astype({"before": float, "after": float})
    x, number = laid.to_numpy(), np.asarray(laid.columns.get_level_values(1) == "")
    even = np.ones(len(x))
    variance = np.zeros(x.shape[1])
    for group in (chosen, ~chosen):
        share = x[group].mean(axis=0)
        ddof = min(int(group.sum()) - 1, 1)
        variance += np.where(number, x[group].var(axis=0, ddof=ddof), share * (1 - share)) / 2
    before = _compare(x, chosen, even, variance)
    after = np.full(len(before), np.nan) if weights is None else _compare(x, chosen, weights, variance)
    columns, levels = laid.columns.get_level_values(0), laid.columns.get_level_values(1)
    of_level = np.where(number, len(x), np.minimum(x.sum(axis=0), len(x) - x.sum(axis=0)))
    n = np.minimum(of_level, min(int(chosen.sum()), int((~chosen).sum()))).astype(int)
    return pd.DataFrame({"column": columns, "level": levels, "before": before, "after": after, "n": n})


def find_largest(balance: pd.DataFrame, when: Literal["before", "after"]) -> float:
    """Return the largest difference in size, districts aside, which every comparison holds fixed; infinite if unknown."""
    judged = balance.loc[~balance["column"].isin(HELD_FIXED), when].abs()
    return np.inf if judged.empty or judged.isna().any() else float(judged.max())


def place_in_band(difference: float, *, limit: float) -> Band:
    """Return what a difference asks for: nothing, adjustment, or no comparison (What Works Clearinghouse .05 and .25)."""
    return "fine" if abs(difference) <= FINE else "adjust" if abs(difference) <= limit else "apart"


def count_effective(weights: ArrayLike) -> float:
    """Return how many persons of equal weight would weigh the same, (Σw)² / Σw² (Kish)."""
    w = np.asarray(weights, dtype=float)
    return float(w.sum() ** 2 / (w**2).sum()) if w.any() else 0.0


def weigh_overlap(frame: pd.DataFrame, treated: ArrayLike) -> Floats | Withheld:
    """Estimate overlap weights: what makes participants and comparison persons alike in all that was observed.

    Parameters
    ----------
    frame : DataFrame
        As in `lay_covariates`.
    treated : array of n, bool
        Participants.

    Returns
    -------
    array of n, or Withheld
        1 − e for participants and e for the others, e the probability of taking part. Withheld where a score or a group
        decides who takes part, so that nobody alike is left, or where the weights of a group are worth fewer than 30 persons.

    Notes
    -----
    e is a logistic regression on every covariate; then the weighted means of all of them agree exactly. Who would almost
    surely, or almost surely not, have taken part weighs next to nothing: the effect is one on those who might have gone
    either way.

    References
    ----------
    Li, F., Morgan, K. L. & Zaslavsky, A. M. (2018). Balancing covariates via propensity score weighting. *Journal of the
    American Statistical Association* 113(521), 390-400.

    Examples
    --------
    Scores say nothing of who takes part: everybody has weight 1/2.

    >>> frame = pd.DataFrame({"points_pre": [1.0, 2.0] * 60})
    >>> weights = weigh_overlap(frame, [True, True, False, False] * 30)
    >>> weights.round(6).min(), weights.round(6).max()
    (np.float64(0.5), np.float64(0.5))
    """
    chosen = np.asarray(treated, dtype=bool)
    X = linalg.orth(np.column_stack([np.ones(len(chosen)), lay_covariates(frame)]))  # the same fit without dependence
    try:
        with warnings.catch_warnings(), np.errstate(over="ignore"):  # a probability of 1 is one
            warnings.simplefilter("error", PerfectSeparationWarning)
            warnings.simplefilter("error", ConvergenceWarning)
            e = sm.GLM(chosen.astype(float), X, family=sm.families.Binomial()).fit(maxiter=200, tol=1e-12).fittedvalues
    except (PerfectSeparationWarning, ConvergenceWarning, np.linalg.LinAlgError):
        return Withheld(say("programme.none_alike"))
    weights: Floats = np.where(chosen, 1 - e, e)
    if min(count_effective(weights[group]) for group in (chosen, ~chosen)) < FEWEST_ALIKE:
        return Withheld(say("programme.few_alike", n=FEWEST_ALIKE))
    return weights


def _compare(x: Floats, chosen: np.ndarray, weights: ArrayLike, variance: Floats) -> Floats:
    """Return the standardised differences of weighted means."""
    w = np.asarray(weights, dtype=float)
    gap = np.average(x[chosen], axis=0, weights=w[chosen]) - np.average(x[~chosen], axis=0, weights=w[~chosen])
    nothing = variance <= 0
    return np.where(nothing, np.where(np.abs(gap) > 0, np.inf, 0.0), gap / np.sqrt(np.where(nothing, 1.0, variance)))
