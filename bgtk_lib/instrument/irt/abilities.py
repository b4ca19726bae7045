"""Abilities of persons whose items are known: Warm's weighted likelihood estimate, and mean and spread of the posterior."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from scipy.optimize import elementwise
from scipy.special import softmax

from bgtk_lib.errors import SchemaError
from bgtk_lib.instrument.irt.curves import Curves, Floats
from bgtk_lib.words import say

Codes = NDArray[np.int64]

CHUNK = 4096  # persons at a time: their tables stay in the processor's cache, and memory stays bounded
REACH = 6.0  # standard deviations of the population that the grid of the posterior covers
MIN_POINTS, MAX_POINTS = 121, 2001
SEARCH_POINTS = 161  # where the weighted likelihood is looked for before its maximum is solved exactly
TINY = 1e-300
ROUNDING = 1e-12  # a variance below is none; abilities and credit are of the order of 1
ABILITY_COLUMNS = ["theta", "se", "extreme", "n_items", "note"]


def estimate_wle(credit: pd.DataFrame, curves: Curves) -> pd.DataFrame:
    """Estimate each person's ability by Warm's weighted likelihood, finite for extreme scores too.

    Parameters
    ----------
    credit : DataFrame
        Persons × items, categories 0 … m, null where not presented. Items without curves are left out, items with
        curves but no column count as not presented.
    curves : Curves

    Returns
    -------
    DataFrame
        `ABILITY_COLUMNS`, the index of `credit`. `theta`: ability on the scale of the curves. `se`: 1/√I(θ).
        `extreme`: the lowest or the highest credit on every item presented. `n_items`: items it rests on. `note`: why
        there is none, else null: ``empty`` (presented no item), ``flat`` (no item presented tells abilities apart).

    Raises
    ------
    SchemaError
        If an item holds a category that its curve does not have.

    Notes
    -----
    θ solves Σ_j ∂ log P_j(x_j)/∂θ + J/(2I) = 0, with I the test information and J = Σ_j Σ_k P′_jk P″_jk / P_jk, both of
    the items presented to the person. In all our models J = I′ = Σ_j Σ_k P_jk (∂ log P_jk/∂θ)³, so that the estimate is
    also the mode under Jeffreys' prior √I, which R mirt computes (its standard error comes from the curvature at that
    mode, ours from the information alone, as in Warm's paper and in R TAM). Where several θ solve the equation, the one
    with the highest weighted likelihood is taken. Persons with the same sufficient statistic are solved once.

    References
    ----------
    Warm, T. A. (1989). Weighted likelihood estimation of ability in item response theory. *Psychometrika* 54,
    427-450.

    Magis, D. (2015). A note on weighted likelihood and Jeffreys modal estimation of proficiency levels in polytomous
    item response models. *Psychometrika* 80, 200-204 (J = I′).

    Examples
    --------
    Two items of difficulty 0, one of them right: by symmetry θ = 0, where I = 2 · ¼. With both right, P = 5/6 solves
    2(1 - P) + (1 - 2P)/2 = 0, so that θ = log 5.

    >>> curves = Curves(item_ids=("b1", "b2"), slopes=np.ones(2), intercepts=np.zeros((2, 1)), graded=np.zeros(2, bool))
    >>> found = estimate_wle(pd.DataFrame({"b1": [1, 1], "b2": [0, 1]}), curves)
    >>> found["theta"].round(6).tolist(), found["se"].round(6).tolist()
    ([0.0, 1.609438], [1.414214, 1.897367])
    """
    codes, curves = code_credit(credit, curves)
    some, inverse = _find_classes(codes, curves)
    theta, se = np.full(len(some), np.nan), np.full(len(some), np.nan)
    usable = ((some >= 0) & (curves.slopes != 0)).any(axis=1)
    for rows in chunk_rows(np.flatnonzero(usable)):
        theta[rows], se[rows] = _solve_wle(some[rows], curves)
    return _tell(credit.index, codes, curves, theta=theta[inverse], se=se[inverse], reason="flat")


def estimate_eap(credit: pd.DataFrame, curves: Curves, *, mean: float, sd: float) -> pd.DataFrame:
    """Estimate each person's posterior mean and standard deviation under a normal population.

    Parameters
    ----------
    credit, curves
        As in `estimate_wle`.
    mean, sd : float
        Of the abilities in the population, on the scale of the curves.

    Returns
    -------
    DataFrame
        As `estimate_wle` returns; `theta` is the posterior mean, `se` the posterior standard deviation. Who was
        presented nothing has none: the mean of the population would not be an estimate. `note` is ``no_spread`` where
        `sd` is not above zero.

    Raises
    ------
    SchemaError
        If an item holds a category that its curve does not have.

    Notes
    -----
    Equally spaced points over `mean` ± 6 `sd`, 121 or as many as keep their distance below the smallest posterior
    standard deviation; the sum is then exact to about eight digits.

    References
    ----------
    Bock, R. D. & Mislevy, R. J. (1982). Adaptive EAP estimation of ability in a microcomputer environment. *Applied
    Psychological Measurement* 6, 431-444.

    Examples
    --------
    By symmetry one right and one wrong of equal difficulty leave the mean where it was.

    >>> curves = Curves(item_ids=("b1", "b2"), slopes=np.ones(2), intercepts=np.zeros((2, 1)), graded=np.zeros(2, bool))
    >>> found = estimate_eap(pd.DataFrame({"b1": [1, 1], "b2": [0, 1]}), curves, mean=0, sd=1)
    >>> found["theta"].abs().round(6).tolist(), bool(found["se"].max() < 1)
    ([0.0, 0.70428], True)
    """
    codes, curves = code_credit(credit, curves)
    some, inverse = _find_classes(codes, curves)
    theta, se = np.full(len(some), np.nan), np.full(len(some), np.nan)
    usable = (some >= 0).any(axis=1) & (sd > 0)
    grid = place_grid(curves, mean=mean, sd=sd) if usable.any() else np.empty(0)
    for rows in chunk_rows(np.flatnonzero(usable)):
        weights = softmax(weigh_grid(some[rows], curves, grid=grid, mean=mean, sd=sd), axis=1)
        theta[rows] = weights @ grid
        se[rows] = np.sqrt(np.maximum((weights * (grid - theta[rows, None]) ** 2).sum(axis=1), 0))
    return _tell(credit.index, codes, curves, theta=theta[inverse], se=se[inverse], reason="no_spread")


def code_credit(credit: pd.DataFrame, curves: Curves) -> tuple[Codes, Curves]:
    """Return categories as integers, −1 where not presented, and the curves of those items.

    Parameters
    ----------
    credit, curves
        As in `estimate_wle`. Items without a column are left out.

    Raises
    ------
    SchemaError
        If an item holds a category that its curve does not have: persons × items would be misread silently.
    """
    curves = curves.take([item for item in curves.item_ids if item in credit.columns])
    points = credit[list(curves.item_ids)].to_numpy(dtype=float, na_value=np.nan)
    presented = ~np.isnan(points)
    codes = np.where(presented, points, -1)
    strange = presented & ((codes != np.floor(codes)) | (codes < 0) | (codes > curves.highest))
    if strange.any():
        first = next(item for item, wrong in zip(curves.item_ids, strange.any(axis=0), strict=True) if wrong)
        raise SchemaError(
            say("irt_fit.strange_category", n=int(strange.sum()), items=int(strange.any(axis=0).sum()), first=first)
        )
    return codes.astype(np.int64), curves


def place_grid(curves: Curves, *, mean: float, sd: float) -> Floats:
    """Return equally spaced abilities over the population, closer than the narrowest posterior is wide."""
    coarse = np.linspace(mean - REACH * sd, mean + REACH * sd, MIN_POINTS)
    sharpest = float(curves.information(coarse).sum(axis=0).max(initial=0)) + 1 / sd**2
    n_points = int(np.clip(np.ceil(2 * REACH * sd * np.sqrt(sharpest)), MIN_POINTS, MAX_POINTS))
    return np.linspace(mean - REACH * sd, mean + REACH * sd, n_points)


def weigh_grid(codes: Codes, curves: Curves, *, grid: Floats, mean: float, sd: float) -> Floats:
    """Return the logarithm of likelihood times population, up to a constant, persons × points of a grid."""
    logs = log_chances(curves, grid)
    weights: Floats = spread_codes(codes, logs.shape[1]) @ logs.reshape(-1, len(grid))
    return weights - 0.5 * ((grid - mean) / sd) ** 2


def log_chances(curves: Curves, grid: Floats) -> Floats:
    """Return log P(X = k), items × categories × points, finite also where P is not above zero."""
    logs: Floats = np.log(np.maximum(curves.probabilities(grid), TINY))
    return logs


def rely(measures: pd.DataFrame) -> float:
    """Return the reliability of measures, 1 − mean se² / variance; null where they do not vary.

    Parameters
    ----------
    measures : DataFrame
        Columns `theta` and `se`, without nulls.

    References
    ----------
    Adams, R. J. (2005). Reliability as a measurement design effect. *Studies in Educational Evaluation* 31, 162-172.

    Examples
    --------
    Variance 4, mean squared error 1.

    >>> rely(pd.DataFrame({"theta": [-2, 0, 2], "se": [1, 1, 1]}))
    0.75
    """
    variance = float(measures["theta"].var())
    return 1 - float((measures["se"] ** 2).mean()) / variance if variance > ROUNDING else np.nan


def spread_codes(codes: Codes, n_categories: int) -> Floats:
    """Return persons × (items · categories): 1 where the person is in the category."""
    cells: Floats = (codes[:, :, None] == np.arange(n_categories)).reshape(len(codes), -1).astype(float)
    return cells


def chunk_rows(rows: Codes) -> Iterator[Codes]:
    """Yield the rows a few thousand at a time."""
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def _solve_wle(codes: Codes, curves: Curves) -> tuple[Floats, Floats]:
    """Return estimate and standard error of persons of whom every one saw an item with a slope."""
    grid = _place_search(curves)
    presented = (codes >= 0).astype(float)
    change, information, warm = _derive(curves, grid)
    slope = spread_codes(codes, change.shape[1]) @ change.reshape(-1, len(grid))
    slope += _halve_ratio(presented @ warm, presented @ information)
    height = cumulative_trapezoid(slope, grid, axis=1, initial=0)
    falls = (slope[:, :-1] > 0) & (slope[:, 1:] <= 0)
    peak = np.where(falls, height[:, :-1], -np.inf).argmax(axis=1)
    rows = np.arange(len(codes))
    found = elementwise.find_root(
        lambda theta, row: _weigh(theta, codes[row.astype(int)], curves)[0],
        (grid[peak], grid[peak + 1]),
        args=(rows.astype(float),),
    )
    # where an end of the bracket is the solution up to rounding, its sign may differ from the table's
    nearer = np.where(np.abs(slope[rows, peak]) < np.abs(slope[rows, peak + 1]), grid[peak], grid[peak + 1])
    theta: Floats = np.where(falls.any(axis=1), np.where(found.success, found.x, nearer), np.nan)
    information = _weigh(np.nan_to_num(theta), codes, curves)[1]
    return theta, 1 / np.sqrt(np.where(np.isnan(theta), np.nan, information))


def _weigh(theta: Floats, codes: Codes, curves: Curves) -> tuple[Floats, Floats]:
    """Return the slope of each person's log weighted likelihood and the information, at that person's ability."""
    change, information, warm = _derive(curves, theta)
    presented = codes.T >= 0
    taken = np.take_along_axis(change, np.maximum(codes.T, 0)[:, None, :], axis=1)[:, 0]
    total = (information * presented).sum(axis=0)
    return (taken * presented).sum(axis=0) + _halve_ratio((warm * presented).sum(axis=0), total), total


def _derive(curves: Curves, theta: Floats) -> tuple[Floats, Floats, Floats]:
    """Return ∂ log P_jk/∂θ (J × K × Q), information and its slope (both J × Q), without dividing by P."""
    chances = curves.probabilities(theta)
    order = np.arange(chances.shape[1], dtype=float)[:, None]
    slopes = curves.slopes[:, None, None]
    change: Floats = slopes * (order - (chances * order).sum(axis=1, keepdims=True))
    if curves.graded.any():
        above = chances[curves.graded][:, ::-1].cumsum(axis=1)[:, ::-1]  # P(X ≥ k)
        change[curves.graded] = slopes[curves.graded] * (1 - 2 * above + chances[curves.graded])
    information = chances * change**2
    return change, information.sum(axis=1), (information * change).sum(axis=1)


def _halve_ratio(above: Floats, below: Floats) -> Floats:
    """Return Warm's term above/(2·below); zero so far out that no information is left, where nobody's estimate lies."""
    ratio: Floats = np.divide(above, 2 * below, where=below > TINY, out=np.zeros_like(above))
    return ratio


def _place_search(curves: Curves) -> Floats:
    """Return abilities among which every weighted likelihood has its peak, close in the middle, wide apart outside.

    Beyond the outermost difficulty by log(2·n)/a the n items presented cannot outweigh the pull of Warm's term.
    """
    steep = np.abs(curves.slopes[curves.slopes != 0])
    difficulties = curves.difficulties[curves.slopes != 0]
    margin = (np.log(2 * np.maximum(curves.highest.sum(), 1)) + 2) / steep[:, None]
    middle, unit = float(np.nanmedian(difficulties)), 1 / float(np.median(steep))
    reach = float(np.nanmax(np.abs(difficulties - middle) + margin))
    end = np.arcsinh(reach / unit)
    grid: Floats = middle + unit * np.sinh(np.linspace(-end, end, SEARCH_POINTS))
    return grid


def _find_classes(codes: Codes, curves: Curves) -> tuple[Codes, Codes]:
    """Return one person of each class whose members must have the same ability, and everyone's class.

    With one slope throughout, the items presented and the sum of credit are all that matters.
    """
    presented = codes >= 0
    if not curves.graded.any() and len(np.unique(curves.slopes)) == 1:
        total = np.where(presented, codes, 0).sum(axis=1).astype(np.int32)
        key = np.concatenate([np.packbits(presented, axis=1), total[:, None].view(np.uint8)], axis=1)
    else:
        key = codes.astype(np.int8).view(np.uint8)
    if key.size == 0:
        return codes[:1], np.zeros(len(codes), dtype=np.int64)
    whole = np.ascontiguousarray(key).view(np.dtype((np.void, key.shape[1]))).ravel()
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    return codes[first], inverse


def _tell(
    index: pd.Index[Any], codes: Codes, curves: Curves, *, theta: Floats, se: Floats, reason: str
) -> pd.DataFrame:
    """Return `ABILITY_COLUMNS`; see `estimate_wle`. `reason`: why who was presented items has no ability."""
    presented = codes >= 0
    n_items = presented.sum(axis=1)
    lowest, highest = ~(codes > 0).any(axis=1), ~(presented & (codes < curves.highest)).any(axis=1)
    note = np.select([n_items == 0, np.isnan(theta)], ["empty", reason], default="")
    return pd.DataFrame(
        {
            "theta": theta,
            "se": se,
            "extreme": (lowest | highest) & (n_items > 0),
            "n_items": n_items,
            "note": pd.Series(note, index=index, dtype="str").where(note != ""),
        },
        index=index,
        columns=ABILITY_COLUMNS,
    )
