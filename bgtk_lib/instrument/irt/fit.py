"""Item fit: do the answers to each item vary around its curve as much as the model says, no more and no less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.instrument.irt.abilities import ROUNDING, TINY, chunk_rows, code_credit, estimate_wle
from bgtk_lib.instrument.irt.curves import Curves, Floats
from bgtk_lib.instrument.irt.score_fit import fit_sum_scores

MIN_PERSONS = 4  # as in the classical statistics
MEAN_SQUARE_COLUMNS = ["item_id", "n", "infit", "infit_t", "outfit", "outfit_t", "note"]
FIT_COLUMNS = ["item_id", "n", "infit", "infit_t", "outfit", "outfit_t", "s_x2", "s_x2_df", "s_x2_p", "note"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FitReview:
    """The item fit of one form.

    Attributes
    ----------
    items : DataFrame
        `FIT_COLUMNS`, one row an item of the form, in the order given. `n`: persons the mean squares rest on. `infit`,
        `outfit`: mean squares, 1 where the answers vary as the model says. `infit_t`, `outfit_t`: the same as standard
        normal deviates. `s_x2`, `s_x2_df`, `s_x2_p`: S-X², its degrees of freedom and its p. `note`: why something is
        null, else null: ``not_calibrated`` (the item has no curve), ``empty`` (presented to nobody), ``too_few`` (fewer
        than four persons without an extreme score): no mean squares; ``no_variation`` (every answer was as likely as its
        opposite, so that its square cannot vary): no `…_t`; ``incomplete``, ``no_spread``, ``few_cells`` (see
        `fit_sum_scores`): no S-X².
    n_persons : int
        Persons with an ability and no extreme score.
    n_extreme : int
        Persons left out of the mean squares because every answer, or none, had full credit.
    n_empty : int
        Persons left out because they were presented no item with a curve, or none that tells abilities apart.
    n_complete : int
        Persons S-X² rests on: presented every item that anybody was presented.
    """

    items: pd.DataFrame
    n_persons: int
    n_extreme: int
    n_empty: int
    n_complete: int


def review_fit(
    credit: pd.DataFrame, curves: Curves, *, mean: float, sd: float, n_free: Mapping[str, int] | None = None
) -> FitReview:
    """Compute infit, outfit and S-X² of every item of one form.

    Parameters
    ----------
    credit : DataFrame
        Persons × items, categories 0 … m, null where not presented.
    curves : Curves
        Of the items that could be calibrated.
    mean, sd : float
        Of the normal population the persons come from, on the scale of the curves.
    n_free : mapping of item to int, optional
        See `fit_sum_scores`.

    Returns
    -------
    FitReview

    Raises
    ------
    SchemaError
        If an item holds a category that its curve does not have.

    Notes
    -----
    The mean squares are taken at Warm's estimates (`estimate_wle`), persons with an extreme score left out: they are
    expected to answer as they did and would only pull the mean squares down. See `mean_squares` and `fit_sum_scores`.

    Examples
    --------
    A Guttman pattern varies less than the model says.

    >>> curves = Curves(
    ...     item_ids=("b1", "b2", "b3"),
    ...     slopes=np.ones(3),
    ...     intercepts=np.array([[1.0], [0.0], [-1.0]]),
    ...     graded=np.zeros(3, bool),
    ... )
    >>> credit = pd.DataFrame([[1, 0, 0], [1, 1, 0]] * 4 + [[1, 1, 1]], columns=["b1", "b2", "b3"])
    >>> review = review_fit(credit, curves, mean=0, sd=1)
    >>> bool((review.items["infit"] < 1).all()), review.n_persons, review.n_extreme
    (True, 8, 1)
    """
    abilities = estimate_wle(credit, curves)
    known = abilities["theta"].notna()
    squares = mean_squares(credit, curves, theta=abilities["theta"].where(~abilities["extreme"]))
    scores = fit_sum_scores(credit, curves, mean=mean, sd=sd, n_free=n_free)
    items = pd.DataFrame({"item_id": list(credit.columns)})
    items = items.merge(squares, on="item_id", how="left", validate="one_to_one")
    items = items.merge(
        scores.drop(columns="n"), on="item_id", how="left", validate="one_to_one", suffixes=("", "_score")
    )
    without = ~items["item_id"].isin(curves.item_ids)
    items["note"] = items["note"].fillna(items["note_score"]).mask(without, "not_calibrated")
    items["n"] = items["n"].mask(without, 0).astype("int64")
    return FitReview(
        items=items[FIT_COLUMNS],
        n_persons=int((known & ~abilities["extreme"]).sum()),
        n_extreme=int((known & abilities["extreme"]).sum()),
        n_empty=int((~known).sum()),
        n_complete=int(scores["n"].max()) if len(scores) else 0,
    )


def mean_squares(credit: pd.DataFrame, curves: Curves, *, theta: pd.Series[Any]) -> pd.DataFrame:
    """Compute infit and outfit mean squares of each item at given abilities.

    Parameters
    ----------
    credit, curves
        As in `review_fit`.
    theta : Series
        Ability of each person, the index of `credit`; a person without one is left out.

    Returns
    -------
    DataFrame
        `MEAN_SQUARE_COLUMNS`, one row an item with a curve; see `FitReview`.

    Raises
    ------
    SchemaError
        If an item holds a category that its curve does not have.

    Notes
    -----
    With residual y = x − E, variance W and fourth central moment C of the answer at the person's ability, over the n
    persons presented the item: outfit u = Σ (y²/W) / n with q² = Σ (C/W²)/n² − 1/n; infit v = Σ y² / Σ W with
    q² = Σ (C − W²) / (Σ W)²; and t = (v^⅓ − 1)·3/q + q/3 (Wilson & Hilferty). This is R eRm's ``itemfit``. R mirt and
    Winsteps bound q at √2, which matters for very few persons only, and mirt raises W below 0.0032. Abilities come from
    the same answers, so that both mean squares lie somewhat below 1 on short tests (about .96 with 20 items), and the
    t of items calibrated on the same persons spread less than a standard normal.

    References
    ----------
    Wright, B. D. & Masters, G. N. (1982). *Rating scale analysis*, pp. 100-101. Chicago: MESA Press.

    Examples
    --------
    Both persons stand at the item's difficulty: y² = W = ¼, so that both mean squares are 1.

    >>> curves = Curves(item_ids=("b1",), slopes=np.ones(1), intercepts=np.zeros((1, 1)), graded=np.zeros(1, bool))
    >>> credit = pd.DataFrame({"b1": [1, 0] * 2})
    >>> mean_squares(credit, curves, theta=pd.Series([0.0] * 4))[["n", "infit", "outfit"]].iloc[0].tolist()
    [4.0, 1.0, 1.0]
    """
    residuals, variances, fourth = take_residuals(credit, curves, theta=theta)
    presented = ~np.isnan(residuals)
    n = presented.sum(axis=0)
    enough = n >= MIN_PERSONS
    squared, W, C = (np.where(presented, table, 0) for table in (residuals**2, variances, fourth))
    shared = np.where(presented, variances, 1)
    n_used, total = np.where(enough, n, np.nan), np.where(enough, W.sum(axis=0), np.nan)
    outfit, infit = (squared / shared).sum(axis=0) / n_used, squared.sum(axis=0) / total
    outfit_t = _standardise(outfit, (C / shared**2).sum(axis=0) / n_used**2 - 1 / n_used)
    infit_t = _standardise(infit, (C - W**2).sum(axis=0) / total**2)
    stiff = np.isnan(outfit_t) | np.isnan(infit_t)
    note = np.select([n == 0, ~enough, stiff], ["empty", "too_few", "no_variation"], default="")
    return pd.DataFrame(
        {
            "item_id": [item for item in curves.item_ids if item in credit.columns],
            "n": n,
            "infit": infit,
            "infit_t": infit_t,
            "outfit": outfit,
            "outfit_t": outfit_t,
            "note": pd.Series(note, dtype="str").where(note != ""),
        },
        columns=MEAN_SQUARE_COLUMNS,
    )


def take_residuals(credit: pd.DataFrame, curves: Curves, *, theta: pd.Series[Any]) -> tuple[Floats, Floats, Floats]:
    """Return what each answer exceeds its expectation by, and the variance and fourth central moment of the answer.

    Parameters
    ----------
    credit, curves, theta
        As in `mean_squares`.

    Returns
    -------
    residuals, variances, fourth : array (persons, items with a curve)
        Null where the item was not presented, the person has no ability, or the answer cannot vary at that ability.
    """
    codes, curves = code_credit(credit, curves)
    at = theta.reindex(credit.index).to_numpy(dtype=float, na_value=np.nan)
    residuals, variances, fourth = (np.full(codes.shape, np.nan) for _ in range(3))
    for rows in chunk_rows(np.flatnonzero(np.isfinite(at))):
        chances = curves.probabilities(at[rows]).transpose(2, 0, 1)  # persons × items × categories
        order = np.arange(chances.shape[2], dtype=float)
        expected = chances @ order
        squared = (order - expected[:, :, None]) ** 2
        variance = (chances * squared).sum(axis=2)
        usable = (codes[rows] >= 0) & (variance > TINY)
        residuals[rows] = np.where(usable, codes[rows] - expected, np.nan)
        variances[rows] = np.where(usable, variance, np.nan)
        fourth[rows] = np.where(usable, (chances * squared**2).sum(axis=2), np.nan)
    return residuals, variances, fourth


def _standardise(mean_square: Floats, variance: Floats) -> Floats:
    """Return a mean square of known variance as a standard normal deviate, by the cube root."""
    q = np.sqrt(np.where(variance > ROUNDING, variance, np.nan))
    deviate: Floats = (np.cbrt(mean_square) - 1) * 3 / q + q / 3
    return deviate
