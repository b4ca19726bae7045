"""Two groups, all items, one matching score: what each family of methods finds, with its classes."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from bgtk_lib.instrument.dif.logistic import classify_r2, compare_regressions
from bgtk_lib.instrument.dif.mantel import classify_delta, classify_difference, compare_credit, compare_right
from bgtk_lib.instrument.dif.matching import Flags, Floats, Matched, match_items

Family = Literal["mantel", "logistic"]
LEADING: dict[Family, str] = {"mantel": "mantel_haenszel", "logistic": "logistic"}  # whose flags purify the family
CLASSES = {
    "mantel_haenszel": classify_delta,
    "mantel": classify_difference,
    "logistic": classify_r2,
    "logistic_uniform": classify_delta,
    "logistic_nonuniform": classify_r2,
}
METHODS = tuple(CLASSES)
COLUMNS = ["item", "method", "statistic", "p", "effect", "effect_se", "dif_class", "direction", "note"]


def compare_items(
    points: Floats, focal: Flags, anchors: Flags, *, family: Family, binary: Flags, alpha: float
) -> pd.DataFrame:
    """Compare two groups on every item by one family of methods.

    Parameters
    ----------
    points : array (N, J)
        Credit, null where not presented; never null on an anchor.
    focal : array of bool (N,)
        Whether the person is of the focal group.
    anchors : array of bool (J,)
        Items of the matching score.
    family : {"mantel", "logistic"}
        Items of several steps have one method, Mantel's, in both families: there it is needed to purify the score.
    binary : array of bool (J,)
        Items scored right or wrong.
    alpha : float
        Level of the classes' tests.

    Returns
    -------
    DataFrame
        `COLUMNS`, one row an item and method; `item` is its place among the J.
    """
    parts: dict[str, list[pd.DataFrame]] = {method: [] for method in METHODS}
    for items, table in match_items(points, focal, anchors):
        right = binary[items]
        if right.any():
            for method, found in _compare_binary(table.take(right), family=family, alpha=alpha).items():
                parts[method].append(found.assign(item=items[right]))
        if not right.all():
            parts["mantel"].append(compare_credit(table.take(~right)).assign(item=items[~right]))
    whole = [
        found.assign(method=method, dif_class=CLASSES[method](found, alpha=alpha))
        for method, frames in parts.items()
        if frames and len(found := pd.concat(frames, ignore_index=True))
    ]
    return pd.concat(whole, ignore_index=True) if whole else pd.DataFrame(columns=COLUMNS)


def _compare_binary(table: Matched, *, family: Family, alpha: float) -> dict[str, pd.DataFrame]:
    if family == "mantel":
        return {"mantel_haenszel": compare_right(table)}
    return compare_regressions(table, alpha=alpha)


def flag_items(found: pd.DataFrame, n_items: int, *, family: Family, alpha: float, by: str) -> Flags:
    """Return which items a family of methods flags (J,).

    Parameters
    ----------
    found : DataFrame
        From `compare_items`.
    n_items : int
        J.
    family : {"mantel", "logistic"}
        Which family they are from.
    alpha : float
        Level.
    by : {"significant", "class"}
        p below `alpha` by Mantel–Haenszel, Mantel or the joint logistic test; or, by any method of the family, that and
        a class other than A. (The joint test alone would not do: its classes pass over uniform DIF of 1.5 points.)
    """
    chosen = found["p"] < alpha
    chosen &= found["dif_class"].ne("A") if by == "class" else found["method"].isin([LEADING[family], "mantel"])
    flagged = np.zeros(n_items, dtype=bool)
    flagged[found.loc[chosen, "item"].to_numpy(dtype=int)] = True
    return flagged
