"""Correlations of what lies under categories (tetrachoric, polychoric), all pairs of items at once, and their one factor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bgtk_lib.instrument.classical import Floats

NEAREST = 0.999  # to ±1 that an estimated correlation may come
STEPS, SCORING_STEPS, SETTLED = 500, 50, 1e-9  # most steps to a factor, to a correlation; the change that ends them
LEAST_UNIQUE = 0.005  # part of an item's variance that no factor may explain (as R's factanal)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cuts:
    """Items cut into their categories.

    Attributes
    ----------
    above : array (persons, items · cuts)
        1 where credit reaches the value above a cut, else 0, also where null; 0 beyond an item's last cut.
    presented : array of bool (persons, items)
        Where credit is not null.
    steps : array (items, cuts)
        How much credit rises at a cut, 0 beyond an item's last: credit = lowest value + `steps` · `above`.
    """

    above: Floats
    presented: NDArray[np.bool_]
    steps: Floats


def correlate_polychoric(credit: pd.DataFrame) -> pd.DataFrame:
    """Estimate the correlation of the normal variables that would be cut into each pair of items: items × items.

    Parameters
    ----------
    credit : DataFrame
        Persons × items, few different values; a pair uses the persons who were presented both. Two items of two
        values give the tetrachoric correlation.

    Returns
    -------
    DataFrame
        Null for an item whose credit does not vary, and a pair presented together to nobody.

    Notes
    -----
    Two steps (Olsson 1979): cuts from each item's own distribution, then maximum likelihood for each pair by Fisher
    scoring. For 2 × 2 tables it is the ordinary maximum likelihood; an empty cell of theirs gets half a person, as in R's
    ``psych::tetrachoric``, but no more than independence would put there: half a person where a hundredth is expected
    would make two rare items look alike. No library has it for all pairs at once; the probability of an orthant
    comes from SciPy's Owen T function.

    References
    ----------
    Olsson, U. (1979). Maximum likelihood estimation of the polychoric correlation coefficient. *Psychometrika* 44,
    443-460.

    Owen, D. B. (1956). Tables for computing bivariate normal probabilities. *Annals of Mathematical Statistics* 27,
    1075-1090.

    Examples
    --------
    Cut in the middle, two of three persons on the same side: sin(π/2 · (2 · 2/3 − 1)) = sin 30° = 1/2.

    >>> credit = pd.DataFrame({"b1": [1, 1, 1, 0, 0, 0], "b2": [1, 1, 0, 1, 0, 0]})
    >>> float(correlate_polychoric(credit).loc["b1", "b2"].round(6))
    0.5
    """
    cuts = cut_items(credit.to_numpy(dtype=float, na_value=np.nan))
    n_items, n_cuts = cuts.steps.shape
    shown = cuts.presented.astype(float)
    rho, _ = fit_pairs(
        (cuts.above.T @ cuts.above).reshape(n_items, n_cuts, n_items, n_cuts),
        (cuts.above.T @ shown).reshape(n_items, n_cuts, n_items),
        shown.T @ shown,
        real=cuts.steps > 0,
    )
    varies = (cuts.steps > 0).sum(axis=1) > 0
    found = np.diag(np.where(varies, 1.0, np.nan))
    rows, columns = np.triu_indices(n_items, 1)
    found[rows, columns] = found[columns, rows] = np.where(varies[rows] & varies[columns], rho, np.nan)
    return pd.DataFrame(found, index=credit.columns, columns=credit.columns)


def cut_items(points: Floats) -> Cuts:
    """Return persons × items (null where not presented) as categories."""
    presented = ~np.isnan(points)
    values = [np.unique(column[shown]) for column, shown in zip(points.T, presented.T, strict=True)]
    n_cuts = max((len(known) - 1 for known in values if len(known)), default=0)
    above = np.zeros((*points.shape, n_cuts))
    steps = np.zeros((points.shape[1], n_cuts))
    for item, known in enumerate(values):
        above[:, item, : max(len(known) - 1, 0)] = points[:, item, None] >= known[1:]
        steps[item, : max(len(known) - 1, 0)] = np.diff(known)
    return Cuts(above=above.reshape(len(points), steps.size), presented=presented, steps=steps)


def fit_pairs(
    both: Floats, with_row: Floats, n: Floats, *, real: NDArray[np.bool_], start: Floats | float = 0.0
) -> tuple[Floats, Floats]:
    """Estimate polychoric correlations from counts of persons.

    Parameters
    ----------
    both : array (items, cuts, items, cuts)
        Persons at or above a cut of one item and a cut of another; of one item and itself, those presented it.
    with_row : array (items, cuts, items)
        Persons at or above a cut who were presented the other item.
    n : array (items, items)
        Persons presented both.
    real : array of bool (items, cuts)
        Which cuts an item has.
    start : float or array (pairs,)
        Correlations near the result, where some are known.

    Returns
    -------
    correlations : array (pairs,)
        Of the pairs in the order of ``numpy.triu_indices(n_items, 1)``; null where a pair has nobody.
    cut_at : array (items, cuts)
        Φ⁻¹ of the share at or above each cut, kept half a person away from 0 and 1; meaningless where it is not real.
    """
    rows, columns = np.triu_indices(len(n), 1)
    n_cuts = real.shape[1]
    reached = np.zeros((len(rows), n_cuts + 2, n_cuts + 2))  # at or above both cuts, bordered by everybody and by none
    reached[:, 0, 0] = n[rows, columns]
    reached[:, 1:-1, 0] = with_row[rows, :, columns]
    reached[:, 0, 1:-1] = with_row[columns, :, rows]
    reached[:, 1:-1, 1:-1] = both[rows, :, columns, :]

    binary = real.sum(axis=1) == 1
    square = np.zeros(n_cuts + 1, dtype=bool)
    square[:2] = True
    small = (binary[rows] & binary[columns])[:, None, None] & square[:, None] & square
    table = _take_cells(reached)
    size = np.maximum(table.sum(axis=(1, 2), keepdims=True), 1)
    expected = table.sum(axis=2, keepdims=True) * table.sum(axis=1, keepdims=True) / size
    table = np.where(small & (table == 0), np.minimum(expected, 0.5), table)

    size = np.maximum(np.diag(n), 1)[:, None]
    share = np.einsum("jcjc->jc", both) / size
    cut_at = special.ndtri(share.clip(0.5 / size, 1 - 0.5 / size))
    rho = np.broadcast_to(start, len(rows))
    return _fit_tables(table, cut_at[rows], cut_at[columns], inside=(real[rows], real[columns]), rho=rho), cut_at


def find_orthant(h: Floats, k: Floats, r: Floats) -> Floats:
    """Return P(X ≤ h, Y ≤ k) for standard normal X and Y of correlation r, |r| < 1, from Owen's T.

    Examples
    --------
    >>> float(find_orthant(np.array(0.0), np.array(0.0), np.array(0.5)).round(9))
    0.333333333
    """
    h, k = (np.where(np.abs(cut) < 1e-12, 1e-12, cut) for cut in (h, k))  # the formula divides by the cuts
    across = np.sqrt((1 - r) * (1 + r))
    first = special.owens_t(h, (k - r * h) / (h * across))
    second = special.owens_t(k, (h - r * k) / (k * across))
    below: Floats = (special.ndtr(h) + special.ndtr(k)) / 2 - first - second - np.where(h * k < 0, 0.5, 0)
    return below.clip(0, 1)


def extract_factor(correlations: Floats) -> Floats:
    """Return the loadings of one factor by least squares on the correlations off the diagonal (minres).

    Parameters
    ----------
    correlations : array (..., items, items)
        Need not be positive definite, as polychoric ones often are not.

    Returns
    -------
    array (..., items)
        Their sum is not negative; null where the iteration did not settle.

    Examples
    --------
    >>> extract_factor(np.array([[1, 0.42, 0.35], [0.42, 1, 0.30], [0.35, 0.30, 1]])).round(6).tolist()
    [0.7, 0.6, 0.5]
    """
    off = correlations * (1 - np.eye(correlations.shape[-1]))

    def improve(loadings: Floats) -> Floats:
        squares = (loadings**2).sum(axis=-1, keepdims=True) - loadings**2
        product: Floats = (off @ loadings[..., None])[..., 0] / np.maximum(squares, 1e-12)
        return product

    return _settle(improve, off)


def extract_factor_ml(correlations: Floats) -> Floats:
    """Return the loadings of one factor by maximum likelihood; as `extract_factor`, but positive definite matrices only.

    Notes
    -----
    λ = R Ψ⁻¹λ / (1 + λ'Ψ⁻¹λ), ψ = 1 − λ²: the likelihood equations of Lawley & Maxwell (1971, chapter 4) for one factor,
    solved for many matrices at once, which ``statsmodels.multivariate.factor.Factor`` does not do.
    """

    def improve(loadings: Floats) -> Floats:
        over = loadings / np.maximum(1 - loadings**2, LEAST_UNIQUE)
        product: Floats = (correlations @ over[..., None])[..., 0] / (1 + (loadings * over).sum(axis=-1, keepdims=True))
        return product

    return _settle(improve, correlations * (1 - np.eye(correlations.shape[-1])))


def _settle(improve: Callable[[Floats], Floats], off: Floats) -> Floats:
    """Return the loadings at which an iteration, started from centroids, stands still."""
    total = np.maximum(off.sum(axis=(-2, -1)), 1)[..., None]
    loadings = (off.sum(axis=-1) / np.sqrt(total)).clip(-0.9, 0.9)
    most = np.sqrt(1 - LEAST_UNIQUE)
    change = np.full(loadings.shape, np.inf)
    for _ in range(STEPS):
        improved = (improve(loadings).clip(-most, most) + loadings) / 2  # half a step: whole ones may swing to and fro
        change, loadings = np.abs(improved - loadings), improved
        if not (change > SETTLED).any():
            break
    turned = loadings * np.where(loadings.sum(axis=-1, keepdims=True) < 0, -1, 1)
    settled: Floats = np.where(change.max(axis=-1, keepdims=True) < 1e3 * SETTLED, turned, np.nan)
    return settled


def _take_cells(reached: Floats) -> Floats:
    """Return what lies in each cell from what lies at or above both of its cuts."""
    return np.diff(np.diff(reached, axis=1), axis=2)


def _fit_tables(
    table: Floats, first: Floats, second: Floats, *, inside: tuple[NDArray[np.bool_], NDArray[np.bool_]], rho: Floats
) -> Floats:
    """Return the correlation under which each table is most likely, by Fisher scoring; null for an empty one."""
    h, k = first[:, :, None], second[:, None, :]
    real = inside[0][:, :, None] & inside[1][:, None, :]
    above, slope = np.zeros((2, len(table), first.shape[1] + 2, first.shape[1] + 2))
    above[:, 0, 0] = 1
    above[:, 1:-1, 0], above[:, 0, 1:-1] = special.ndtr(first) * inside[0], special.ndtr(second) * inside[1]
    n = table.sum(axis=(1, 2))
    for _ in range(SCORING_STEPS):
        r = rho[:, None, None]
        across = (1 - r) * (1 + r)
        density = np.exp(-(h**2 - 2 * r * h * k + k**2) / (2 * across)) / (2 * np.pi * np.sqrt(across))
        above[:, 1:-1, 1:-1] = np.where(real, find_orthant(h, k, r), 0)
        slope[:, 1:-1, 1:-1] = np.where(real, density, 0)
        p, change = np.maximum(_take_cells(above), 1e-15), _take_cells(slope)
        score = (table * change / p).sum(axis=(1, 2))
        information = n * (change**2 / p).sum(axis=(1, 2))
        step = np.divide(score, information, where=information > 0, out=np.zeros(len(table)))
        before, rho = rho, (rho + step.clip(-0.5, 0.5)).clip(-NEAREST, NEAREST)
        if not (np.abs(rho - before) > SETTLED).any():
            break
    return np.where(n > 0, rho, np.nan)
