"""Drift by step and by group: whether a move is one step's, or only that of those who could know the items."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from bgtk_lib.linking.anchors import RULES, LinkRules, compare_located, locate_anchors
from bgtk_lib.linking.constants import Calibrated

STEP_COLUMNS = ["item_id", "step", "difference", "difference_se", "z"]
GROUP_COLUMNS = [
    "item_id", "exposed", "exposed_se", "others", "others_se", "gap", "gap_se", "z", "state",
]  # fmt: skip


def compare_steps(pre: Calibrated, post: Calibrated, *, items: Sequence[str], kept: Collection[str]) -> pd.DataFrame:
    """Estimate how far each step of polytomous anchors moved, against the other anchors kept.

    Parameters
    ----------
    pre, post : Calibration
        Both hold the items, with the same categories.
    items : sequence of str
        The anchors.
    kept : collection of str
        Those that make the link.

    Returns
    -------
    DataFrame
        `STEP_COLUMNS`: differences post − pre on the pre scale in logits, as in `anchors.compare_located`; an item's
        difference is the mean of its steps'.
    """
    sides = [locate_anchors(calibration, items, by="step") for calibration in (pre, post)]
    moved = compare_located(*sides, kept=kept)
    frame = pd.DataFrame(list(sides[0].units), columns=["item_id", "step"])
    frame = frame.assign(
        difference=moved.b, difference_se=moved.b_se, z=moved.b / np.where(moved.b_se > 0, moved.b_se, np.nan)
    )
    return frame[STEP_COLUMNS]


def compare_groups(
    exposed: tuple[Calibrated, Calibrated],
    others: tuple[Calibrated, Calibrated],
    *,
    items: Sequence[str],
    rules: LinkRules = RULES,
) -> pd.DataFrame:
    """Estimate how much more each anchor drifted among those who could know it (coached districts, say) than elsewhere.

    Parameters
    ----------
    exposed, others : (Calibration, Calibration)
        Pre and post calibrations of either group alone: different persons.
    items : sequence of str
        Anchors that all four hold; others are not compared.
    rules : LinkRules
        Its bounds of size and standard errors.

    Returns
    -------
    DataFrame
        `GROUP_COLUMNS`: each group's own drift in logits (each linked by its own anchors, none dropped), `gap` = exposed −
        others (negative: it became easier among the exposed), its standard error, `z`; `state`: same, review or differs.

    Notes
    -----
    SE(gap)² = SE(exposed)² + SE(others)². Anchors are compared with one another: what all of them became easier by in
    one group looks like that group's higher ability, and no set of anchors can tell the two apart.
    """
    shared = [item for item in items if all(item in one.curves.item_ids for pair in (exposed, others) for one in pair)]
    here, there = (
        compare_located(*(locate_anchors(one, shared) for one in pair), kept=shared) for pair in (exposed, others)
    )
    gap, error = here.b - there.b, np.hypot(here.b_se, there.b_se)
    size = np.abs(gap)
    far = (size > rules.drift_drop) & (size > rules.z_drop * error)
    looked = (size > rules.drift_review) & ~(size <= rules.z_review * error)
    frame = pd.DataFrame(
        {
            "item_id": pd.Series(shared, dtype="str"),
            "exposed": here.b,
            "exposed_se": here.b_se,
            "others": there.b,
            "others_se": there.b_se,
            "gap": gap,
            "gap_se": error,
            "z": gap / np.where(error > 0, error, np.nan),
            "state": pd.Series(np.select([far, looked], ["differs", "review"], "same"), dtype="str"),
        }
    )
    return frame[GROUP_COLUMNS]
