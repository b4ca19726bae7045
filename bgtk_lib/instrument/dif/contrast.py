"""One group against another on every item of a form: who is enough, by which matching score, with what result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bgtk_lib.instrument.dif.compare import METHODS, Family, compare_items, flag_items
from bgtk_lib.instrument.dif.matching import Flags, Floats
from bgtk_lib.instrument.dif.profile import profile_item
from bgtk_lib.instrument.dif.purify import Purified, purify
from bgtk_lib.instrument.dif.rules import DifRules

FAMILIES: tuple[Family, ...] = ("mantel", "logistic")
TOO_FEW = ["below_cell", "below_group", "below_total"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Contrast:
    """Two groups who sat one form.

    Attributes
    ----------
    points : array (N, J)
        Credit, null where not presented; never null on an anchor.
    focal : array of bool (N,)
        Whether the person is of the focal group.
    anchors : array of bool (J,)
        Items that may match.
    binary : array of bool (J,)
        Items scored right or wrong.
    rules : DifRules
    """

    points: Floats
    focal: Flags
    anchors: Flags
    binary: Flags
    rules: DifRules


def compare_by_rules(contrast: Contrast) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Compare two groups on every item by every method, where the rules allow it.

    Returns
    -------
    items : DataFrame
        One row an item (its place among the J) and method.
    matching : DataFrame
        One row a family of methods; none where no item could be tested.
    profiles : DataFrame
        Two rows an item of class B or C and band of scores.
    """
    rows = _list_rows(contrast)
    tested = rows["note"].isna()
    if not tested.any():
        return rows, pd.DataFrame(), pd.DataFrame()

    results = {family: _purify(contrast, family) for family in FAMILIES}
    found = pd.concat([result.found.assign(purified=result.state) for result in results.values()])
    found = found.drop_duplicates(["item", "method"])  # items of several steps: the Mantel family's row
    compared = rows[tested].drop(columns="note").merge(found, how="left", on=["item", "method"], validate="one_to_one")
    items = pd.concat([compared, rows[~tested]]).sort_values("item", kind="stable", ignore_index=True)

    n_items = int(contrast.anchors.sum())
    matching = pd.DataFrame(
        {
            "family": family,
            "n_items": int(result.anchors.sum()),
            "n_removed": n_items - int(result.anchors.sum()),
            "rounds": result.rounds,
            "purified": result.state,
        }
        for family, result in results.items()
    )
    flagged = items.loc[items["dif_class"].isin(["B", "C"]), "item"].drop_duplicates().sort_values()
    profiles = [
        profile_item(
            contrast.points, contrast.focal, results["mantel"].anchors, item, fewest=contrast.rules.min_cell
        ).assign(item=item)
        for item in flagged
    ]
    return items, matching, pd.concat(profiles) if profiles else pd.DataFrame()


def _list_rows(contrast: Contrast) -> pd.DataFrame:
    """Return one row an item and method with the persons compared, and the reason where it is not tested."""
    presented, rules = ~np.isnan(contrast.points), contrast.rules
    n_focal, n_reference = presented[contrast.focal].sum(axis=0), presented[~contrast.focal].sum(axis=0)
    smaller = np.minimum(n_focal, n_reference)
    highest = np.fmax.reduce(contrast.points, axis=0, initial=-np.inf)  # fmax and fmin pass over nulls
    lowest = np.fmin.reduce(contrast.points, axis=0, initial=np.inf)
    reasons = {
        "below_cell": smaller < rules.min_cell,
        "below_group": smaller < rules.min_group,
        "below_total": n_focal + n_reference < rules.min_total,
        "few_matching": np.full(len(smaller), contrast.anchors.sum() < rules.fewest_matching),
        "constant": highest <= lowest,
    }
    note = np.select(list(reasons.values()), list(reasons), default="")
    methods = [[name for name in METHODS if (name == "mantel") != right] for right in contrast.binary]
    rows = pd.DataFrame(
        {
            "item": np.arange(len(smaller)),
            "method": methods,
            "n_focal": pd.Series(n_focal, dtype="Int64"),
            "n_reference": pd.Series(n_reference, dtype="Int64"),
            "note": pd.Series(note, dtype="str").where(note != ""),
        }
    )
    # where a group is small its number stays untold, and with it the other's, from which it could be taken off
    rows[["n_focal", "n_reference"]] = rows[["n_focal", "n_reference"]].mask(rows["note"].isin(TOO_FEW))
    return rows.explode("method", ignore_index=True)


def _purify(contrast: Contrast, family: Family) -> Purified:
    """Compare by one family of methods, on a purified matching score where the rules ask for one."""
    alpha, by = contrast.rules.alpha, contrast.rules.purify

    def compare(anchors: Flags) -> tuple[pd.DataFrame, Flags]:
        found = compare_items(
            contrast.points, contrast.focal, anchors, family=family, binary=contrast.binary, alpha=alpha
        )
        return found, flag_items(found, len(anchors), family=family, alpha=alpha, by=by)

    rounds = 0 if by == "none" else contrast.rules.most_rounds
    return purify(compare, contrast.anchors, fewest=contrast.rules.fewest_matching, most_rounds=rounds)
