"""Item curves beside the answers: observed and expected credit of persons of like ability."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.special import softmax

from bgtk_lib.instrument.irt.abilities import chunk_rows, code_credit, log_chances, place_grid, weigh_grid
from bgtk_lib.instrument.irt.curves import Curves, Floats
from bgtk_lib.instrument.irt.wright_map import MIN_SHOWN

CURVE_COLUMNS = ["item_id", "theta", "expected", "information"]
POINT_COLUMNS = ["item_id", "group", "n", "theta", "observed", "expected", "note"]
TIE = 9  # decimals within which two abilities are the same


def trace_items(curves: Curves, *, grid: Floats) -> pd.DataFrame:
    """Return expected credit and information of each item at given abilities, `CURVE_COLUMNS`, one row a point.

    Examples
    --------
    >>> curves = Curves(item_ids=("b1",), slopes=np.ones(1), intercepts=np.zeros((1, 1)), graded=np.zeros(1, bool))
    >>> trace_items(curves, grid=np.zeros(1))[["expected", "information"]].iloc[0].tolist()
    [0.5, 0.25]
    """
    return pd.DataFrame(
        {
            "item_id": np.repeat(np.array(curves.item_ids, dtype=object), len(grid)),
            "theta": np.tile(grid, len(curves.item_ids)),
            "expected": curves.expected_credit(grid).ravel(),
            "information": curves.information(grid).ravel(),
        },
        columns=CURVE_COLUMNS,
    )


def group_answers(credit: pd.DataFrame, curves: Curves, *, mean: float, sd: float, n_groups: int = 10) -> pd.DataFrame:
    """Return observed and expected credit of each item in groups of persons of like ability.

    Parameters
    ----------
    credit, curves, mean, sd
        As in `estimate_reliability`.
    n_groups : int
        Groups of about equal size; fewer where a group would have fewer than ten persons.

    Returns
    -------
    DataFrame
        `POINT_COLUMNS`, one row a group of an item. `group`: 1 for the least able. `n`: persons presented the item.
        `theta`: their mean ability. `observed`, `expected`: their mean credit, found and foretold. `note`: ``too_few``
        (fewer than ten persons, one row without values), ``no_spread`` (`sd` is not above zero), else null.

    Raises
    ------
    SchemaError
        If an item holds a category that its curve does not have.

    Notes
    -----
    A person's ability is the posterior mean from the *other* items, and the expected credit that of the item under the
    same posterior: with the item itself among its judges, every item would look steeper than it is. Where the model
    holds, observed and expected differ by chance only. As abilities are not known exactly, `expected` runs a little
    flatter than the item's curve (`trace_items`), and should be drawn beside it.

    Examples
    --------
    Nothing is known of persons who saw this item only: one group, in the middle of the population.

    >>> curves = Curves(item_ids=("b1",), slopes=np.ones(1), intercepts=np.zeros((1, 1)), graded=np.zeros(1, bool))
    >>> points = group_answers(pd.DataFrame({"b1": [1] * 15 + [0] * 5}), curves, mean=0, sd=1)
    >>> points[["n", "observed", "expected"]].round(6).iloc[0].tolist()
    [20.0, 0.75, 0.5]
    """
    codes, curves = code_credit(credit, curves)
    theta, expected = np.full(codes.shape, np.nan), np.full(codes.shape, np.nan)
    if sd > 0:
        theta, expected = _foretell(codes, curves, mean=mean, sd=sd)
    frames = []
    for at, item in enumerate(curves.item_ids):
        rows = np.flatnonzero((codes[:, at] >= 0) & ~np.isnan(theta[:, at]))
        if len(rows) < MIN_SHOWN:
            n = int((codes[:, at] >= 0).sum())
            note = "too_few" if sd > 0 else "no_spread"
            frames.append(
                pd.DataFrame({"item_id": [item], "group": [1], "n": [n], "note": [note]}, columns=POINT_COLUMNS)
            )
            continue
        values = {"theta": theta[rows, at], "observed": codes[rows, at].astype(float), "expected": expected[rows, at]}
        groups = _group_ranks(theta[rows, at], n_groups=n_groups)
        means = pd.DataFrame(values).groupby(groups).mean()
        frames.append(
            means.assign(item_id=item, group=means.index + 1, n=np.bincount(groups), note=None)[POINT_COLUMNS]
        )
    points = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=POINT_COLUMNS)
    return points.astype({"item_id": "str", "note": "str"})


def _foretell(codes: NDArray[np.int64], curves: Curves, *, mean: float, sd: float) -> tuple[Floats, Floats]:
    """Return ability and expected credit on each item from the person's other items, persons × items.

    Where an item was not presented (category −1) what is returned means nothing.
    """
    grid = place_grid(curves, mean=mean, sd=sd)
    logs, credit = log_chances(curves, grid), curves.expected_credit(grid)
    theta, expected = np.empty(codes.shape), np.empty(codes.shape)
    for rows in chunk_rows(np.arange(len(codes))):
        whole = weigh_grid(codes[rows], curves, grid=grid, mean=mean, sd=sd)
        for at in range(codes.shape[1]):
            weights = softmax(whole - logs[at, codes[rows, at]], axis=1)
            theta[rows, at], expected[rows, at] = weights @ grid, weights @ credit[at]
    return theta, expected


def _group_ranks(values: Floats, *, n_groups: int) -> NDArray[np.int64]:
    """Return groups 0 … of about equal size, equal values together, none with fewer than `MIN_SHOWN`."""
    n = len(values)
    wanted = max(min(n_groups, n // MIN_SHOWN), 1)
    ranks = stats.rankdata(np.round(values, TIE), method="average")  # rounding errors would part equal scores
    rough = np.minimum((ranks - 0.5) / n * wanted, wanted - 1).astype(np.int64)
    place, size, label = 0, 0, np.zeros(wanted, dtype=np.int64)
    for group, count in enumerate(np.bincount(rough, minlength=wanted)):
        label[group], size = place, size + count
        if size >= MIN_SHOWN:
            place, size = place + 1, 0
    joined: NDArray[np.int64] = np.minimum(label, place - 1)[rough]
    return joined
