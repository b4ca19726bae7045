"""The mean change of everyone who sat first, by weighting those who stayed with how seldom their like stayed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import special
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

from bgtk_lib.change.clusters import NOTHING, Floats
from bgtk_lib.change.drawn import Drawn, combine_means
from bgtk_lib.change.strata import ClusterBy, StratifiedMean, take_scores
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

GROUPS = ("district", "jenjang", "sex", "status")
PLACE = ["district", "npsn"]
FEWEST = 5  # stayers, and leavers, of a level that keeps a coefficient of its own
TRIMMED_AT = (1, 99)  # percentiles
LEAST_EFFECTIVE = 0.60  # of the stayers


@dataclass(frozen=True, kw_only=True, eq=False)
class Staying:
    """How likely everyone of the first wave was to stay, the stayers first.

    Attributes
    ----------
    chance : array of N
        Fitted probability; 1 where nobody left.
    design : array of N × k
        What it was fitted on: independent columns that span a constant, the first score and the groups.
    """

    chance: Floats
    design: Floats


@dataclass(frozen=True, kw_only=True)
class WeightedChange(StratifiedMean):
    """The weighted mean change; its clusters and strata are those of everyone.

    Attributes
    ----------
    n_everyone : int
        Persons it speaks of: all who sat the first wave.
    effective_share : float
        (Σw)² / Σw² as a share of the stayers.
    """

    n_everyone: int
    effective_share: float


def fit_staying(stayers: pd.DataFrame, leavers: pd.DataFrame) -> Staying | Withheld:
    """Estimate how likely each person was to stay, from what was observed at the first wave.

    Parameters
    ----------
    stayers, leavers : DataFrame
        `points_pre`, the observed first score, on one form, and those of district, jenjang, sex and status that are known.

    Returns
    -------
    Staying or Withheld
        Withheld where nobody stayed, or the first scores tell stayers and leavers apart completely.

    Raises
    ------
    LinkageError
        If a first score is null.

    Notes
    -----
    Logistic regression, linear in the first score, a dummy for every level of the groups; unknown is a level. Levels
    with fewer than 5 stayers or 5 leavers are put together (`group_levels`), or their weights would be guesses.
    """
    n = len(stayers)
    everyone = pd.concat([stayers, leavers], ignore_index=True)
    points = take_scores(everyone, "points_pre")
    stays = np.arange(len(everyone)) < n
    known = [name for name in GROUPS if name in everyone]
    design = span(lay_design(points, everyone[known], within=[stays, ~stays]), over=np.ones_like(stays))
    if n == len(everyone):
        return Staying(chance=np.ones(n), design=design)
    if n == 0:
        return Withheld(say("weighting.apart"))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", PerfectSeparationWarning)  # what it warns of is looked at below
        fit = sm.GLM(stays.astype(float), design, family=sm.families.Binomial()).fit(tol=1e-10, tol_criterion="params")
    chance = np.asarray(special.expit(design @ fit.params), dtype=float)
    if not fit.converged or chance[:n].min() < 1e-6 or chance[n:].max() > 1 - 1e-6:
        return Withheld(say("weighting.apart"))
    return Staying(chance=chance, design=design)


def weigh_stayers(
    drawn: Drawn, leavers: pd.DataFrame, *, cluster: ClusterBy, confidence: float = 0.95
) -> WeightedChange | Withheld:
    """Estimate the mean change of everyone who sat the first wave, if staying depends on what was observed then.

    Parameters
    ----------
    drawn : Drawn
        Those who stayed; `frame` has `points_pre` and the groups of `fit_staying`.
    leavers : DataFrame
        The same columns, district and npsn of those without a second score; may be empty.
    cluster : {"school", "district", "none"}
        As in `estimate_change`.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    WeightedChange or Withheld
        Withheld as by `fit_staying`, where the effective sample size is below 60 % of the stayers, or where no interval
        exists. Without leavers it is the plain mean.

    Notes
    -----
    w_i = 1/p_i, cut at the 1st and 99th percentile of the stayers' weights; Δ = Σ w_i δ_i / Σ w_i. A person's influence is
    [R_i w_i (δ_i − Δ) + a′I⁻¹x_i (R_i − p_i)] · N/Σw with R = 1 for stayers, the information I = Σ p(1 − p)xx′ of the
    logit and a = −Σ_stayers (1 − p_i)/p_i (δ_i − Δ) x_i over the weights that were not cut: that the weights are estimated
    is in the interval. The influences of all N go through the strata and clusters of the headline, CR2 with the identity
    as working model of the influences; survey's `svymean` takes the weights as known. Once a draw, then combined; the
    weights are the same in every draw.

    References
    ----------
    Seaman, S. R. & White, I. R. (2013). Review of inverse probability weighting for dealing with missing data.
    *Statistical Methods in Medical Research* 22(3), 278-295.

    Examples
    --------
    Two of four stayed at 0 points and two of three at 1: weights 2 and 1.5 for the changes 0, 0 and 2, 4; 9/7.

    >>> from bgtk_lib.change.drawn import lay_draws
    >>> stayers = pd.DataFrame({"pid": list("abcd"), "points_pre": [0, 0, 1, 1], "district": None, "npsn": None})
    >>> stayers = stayers.assign(score_pre=stayers["points_pre"], score_post=[0, 0, 3, 5])
    >>> leavers = pd.DataFrame({"points_pre": [0, 0, 1], "district": None, "npsn": None})
    >>> told = weigh_stayers(lay_draws(stayers, pd.DataFrame()), leavers, cluster="none")
    >>> round(told.estimate, 6), round(told.effective_share, 6)
    (1.285714, 0.98)
    """
    model = fit_staying(drawn.frame, leavers)
    if isinstance(model, Withheld):
        return model
    n, everyone = drawn.n, len(model.chance)
    chance, design = model.chance, model.design
    if n < 2:
        return Withheld(say("statistics.one_cluster", n=n))
    raw = 1 / chance[:n]
    weights = np.clip(raw, *np.percentile(raw, TRIMMED_AT))
    share = float(weights.sum() ** 2 / (weights**2).sum() / n)
    if share < LEAST_EFFECTIVE:
        return Withheld(say("weighting.few_effective", share=100 * share, needed=100 * LEAST_EFFECTIVE))
    mean = weights @ drawn.gain / weights.sum()
    apart = drawn.gain - mean
    slope = np.where(weights == raw, 1 - raw, 0.0)  # of a weight, by the linear predictor
    pull = (design[:n] * slope[:, None]).T @ apart
    information = design.T @ (design * (chance * (1 - chance))[:, None])
    scores = design * ((np.arange(everyone) < n) - chance)[:, None]
    influence = scores @ np.linalg.pinv(information, hermitian=True) @ pull  # nil where nobody left
    influence[:n] += weights[:, None] * apart
    both = pd.concat([drawn.frame[PLACE], leavers[PLACE]], ignore_index=True)
    values = mean + influence * everyone / weights.sum()
    all_of_them = replace(
        drawn, frame=both, link_n=drawn.link_n * everyone / n
    )  # only stayers' answers are in the link
    told = combine_means(all_of_them, values, cluster=cluster, linked=1.0, confidence=confidence)
    if isinstance(told, Withheld):
        return told
    return WeightedChange(**asdict(told), n_everyone=everyone, effective_share=share)


def lay_design(points: Floats, groups: pd.DataFrame, *, within: Sequence[NDArray[np.bool_]]) -> Floats:
    """Return a constant, standardised points, and dummies of every group's levels, those with few put together.

    Parameters
    ----------
    points : array of N
        First scores.
    groups : DataFrame of N rows
        A column a grouping; null is a level.
    within : list of masks of N
        Sets of persons of whom each level needs 5.
    """
    spread = points.std()
    centred = (points - points.mean()) / spread if spread > 0 else np.zeros_like(points)
    dummies = [
        pd.get_dummies(group_levels(groups[name], within=within), drop_first=True, dtype=float) for name in groups
    ]
    return np.column_stack([np.ones_like(points), centred, *dummies])


def span(design: Floats, *, over: NDArray[np.bool_]) -> Floats:
    """Return columns that span those of a design, orthogonal and of mean square 1 over some of its rows."""
    rows = design[over]
    _, sizes, axes = np.linalg.svd(rows, full_matrices=False)
    kept = sizes > NOTHING * sizes.max(initial=0)
    return np.asarray(design @ (axes[kept].T / sizes[kept]) * np.sqrt(len(rows)), dtype=float)


def group_levels(values: pd.Series, *, within: Sequence[NDArray[np.bool_]]) -> pd.Series:
    """Return codes of levels, those with fewer than 5 persons in any of the sets put together.

    Where these are too few together as well, they join the largest level.

    Examples
    --------
    Level b has one person only, and c with it still fewer than five.

    >>> levels = group_levels(pd.Series([*"aaaaa", "b", None]), within=[np.full(7, True)])
    >>> levels.tolist()
    [0, 0, 0, 0, 0, 0, 0]
    """
    codes, _ = pd.factorize(values, use_na_sentinel=False)
    counts = np.array([np.bincount(codes[mask], minlength=codes.max(initial=0) + 1) for mask in within])
    few = np.flatnonzero((counts < FEWEST).any(axis=0))
    if len(few) and (counts[:, few].sum(axis=1) < FEWEST).any():
        few = np.union1d(few, [counts.sum(axis=0).argmax()])
    return pd.Series(np.where(np.isin(codes, few), few[:1].sum(), codes), index=values.index)
