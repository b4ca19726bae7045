"""Persons and items on one scale: the data of a Wright map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import softmax

from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.irt.abilities import chunk_rows, code_credit, place_grid, weigh_grid
from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.words import say

DENSITY_COLUMNS = ["theta", "density"]
STEP_COLUMNS = ["item_id", "step", "difficulty", "note"]
MIN_SHOWN = 10  # persons behind a point or a density: the smallest published cell


@dataclass(frozen=True, kw_only=True, eq=False)
class WrightMap:
    """Persons and items on one scale.

    Attributes
    ----------
    persons : DataFrame or Withheld
        `DENSITY_COLUMNS`: the mean of the persons' posterior densities at equally spaced abilities.
    steps : DataFrame
        `STEP_COLUMNS`, one row a step of an item, hardest last within an item as calibrated. `note`: ``flat`` where the
        slope is zero and there is no difficulty, else null.
    n_persons : int
        Persons presented an item.
    """

    persons: pd.DataFrame | Withheld
    steps: pd.DataFrame
    n_persons: int


def map_persons(credit: pd.DataFrame, curves: Curves, *, mean: float, sd: float) -> WrightMap:
    """Lay the density of abilities beside the difficulties of the items (Wright map).

    Parameters
    ----------
    credit, curves, mean, sd
        As in `estimate_reliability`.

    Returns
    -------
    WrightMap
        The density is withheld with fewer than ten persons, or where `sd` is not above zero.

    Raises
    ------
    SchemaError
        If an item holds a category that its curve does not have.

    Notes
    -----
    The mean posterior density has the mean of the posterior means, and their variance plus the mean posterior variance:
    the spread of true abilities, which a histogram of estimates shows too narrow (posterior means) or too wide (Warm).
    As every person is spread out over a posterior, no single one can be seen.

    Examples
    --------
    The densities at points 0.1 apart add up to 1/0.1.

    >>> curves = Curves(item_ids=("b1",), slopes=np.ones(1), intercepts=np.ones((1, 1)), graded=np.zeros(1, bool))
    >>> found = map_persons(pd.DataFrame({"b1": [1, 0] * 5}), curves, mean=0, sd=1)
    >>> found.steps["difficulty"].tolist(), float(found.persons["density"].sum().round(6))
    ([-1.0], 10.0)
    """
    codes, curves = code_credit(credit, curves)
    rows = np.flatnonzero((codes >= 0).any(axis=1))
    persons: pd.DataFrame | Withheld = Withheld(say("irt_fit.few_persons", n=len(rows), needed=MIN_SHOWN), kind="small")
    if not sd > 0:
        persons = Withheld(say("irt_fit.no_spread"))
    elif len(rows) >= MIN_SHOWN:
        grid = place_grid(curves, mean=mean, sd=sd)
        total = np.zeros(len(grid))
        for some in chunk_rows(rows):
            total += softmax(weigh_grid(codes[some], curves, grid=grid, mean=mean, sd=sd), axis=1).sum(axis=0)
        persons = pd.DataFrame(
            {"theta": grid, "density": total / len(rows) / (grid[1] - grid[0])}, columns=DENSITY_COLUMNS
        )
    item, step = np.nonzero(~np.isnan(curves.intercepts))
    flat = curves.slopes[item] == 0
    steps = pd.DataFrame(
        {
            "item_id": np.array(curves.item_ids, dtype=object)[item],
            "step": step + 1,
            "difficulty": np.where(flat, np.nan, curves.difficulties[item, step]),
            "note": pd.Series(np.where(flat, "flat", ""), dtype="str").where(flat),
        },
        columns=STEP_COLUMNS,
    )
    return WrightMap(persons=persons, steps=steps, n_persons=len(rows))
