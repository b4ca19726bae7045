"""What the panel decided about items."""

from __future__ import annotations

import pandas as pd

from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.typed import read_decision_rows, require_known

ITEM_DECISIONS = ("keep", "revise", "drop", "rekey")
COLUMNS = ("date", "who", "form", "item_id", "decision", "reason")


def read_item_decisions(workspace: Workspace) -> pd.DataFrame:
    """Return what the panel decided about items (`data/decisions/items.csv`): form, item_id, decision, who, date, reason.

    Raises
    ------
    ParameterError
        If a decision is another word than keep, revise, drop, rekey, or names a form that is not declared.
    """
    path = workspace.folder("decisions") / "items.csv"
    rows = read_decision_rows(path, COLUMNS)
    for row in rows:
        require_known(row["decision"], ITEM_DECISIONS, what=f"{path.name}: decision")
        require_known(row["form"], workspace.declared.forms, what=f"{path.name}: form")
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype("str")
