"""Where rows remain: received = accepted + set aside, a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bgtk_lib.disclosure import Released
from bgtk_lib.display.context import Context
from bgtk_lib.display.page import Shown
from bgtk_lib.display.table import Column, draw_table
from bgtk_lib.errors import Text
from bgtk_lib.findings import Withheld
from bgtk_lib.schema import tables
from bgtk_lib.words import say


def draw_row_account(released: Released, context: Context) -> Sequence[Shown]:
    """Draw received = accepted + set aside for every table; where few were set aside, both are written as bounds."""
    found = {(figure.where["table"], figure.name): figure.value for figure in released.figures}
    rows = []
    for table in dict.fromkeys(figure.where["table"] for figure in released.figures):
        received, accepted, aside = (found[table, f"rows.{name}"] for name in ("received", "accepted", "set_aside"))
        row: dict[str, Any] = {"label": tables()[table].about.said(context.language)}
        if isinstance(received, Withheld):
            row["withheld"] = received.reason
        elif isinstance(accepted, Withheld):
            least = say("rows.at_least", n=int(received) - context.min_cell + 1)
            row |= {"received": received, "accepted": least, "set_aside": say("count.few", min_cell=context.min_cell)}
        else:
            row |= {"received": received, "accepted": say("count.exact", n=accepted)}
            row["set_aside"] = say("count.exact", n=0 if isinstance(aside, Withheld) else aside)
        rows.append(
            {k: v.said(context.language) if isinstance(v, Text) and k != "withheld" else v for k, v in row.items()}
        )
    frame = pd.DataFrame(rows, columns=["label", "received", "accepted", "set_aside", "withheld"])
    columns = [
        Column("label", say("column.table")),
        Column("received", say("column.received"), "count"),
        Column("accepted", say("column.accepted")),
        Column("set_aside", say("column.set_aside")),
    ]
    caption, note = say("rows.caption"), say("rows.note")
    return [draw_table(frame, columns=columns, caption=caption, language=context.language, note=note)]
