"""Change by subgroup as a page shows it: every group with its interval and n, and what the adjusted p settles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bgtk_lib.disclosure import Released
from bgtk_lib.display import figures as draw
from bgtk_lib.display.canvas import draw_figure, start_figure
from bgtk_lib.display.context import Context
from bgtk_lib.display.evenness import hides_count, tell_levels
from bgtk_lib.display.page import Shown, draw_notice
from bgtk_lib.display.rows import OVERALL
from bgtk_lib.display.table import Column, draw_table
from bgtk_lib.errors import Text
from bgtk_lib.findings import Figure, Withheld
from bgtk_lib.words import join, plain, say

DISCOVERY = 0.05  # a difference counts where its adjusted p is not above it
Row = dict[str, Any]


def draw_subgroups(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the change of every subgroup with its interval and n, and the table with its difference from the others.

    Parameters
    ----------
    released : Released
        As `subgroups.list_subgroups` gives them; with `change.mean` of everybody if it is to stand below them.
    context : Context
        Of the report.
    """
    frame = frame_subgroups(released.figures)
    if frame.empty:
        return [draw_notice("note", heading=say("subgroup.nothing"), body=[], language=context.language)]
    pieces = []
    groups = frame[frame["district"] != OVERALL]
    if groups["value"].notna().any():
        canvas, ax = start_figure(len(frame) + 1)
        draw.draw_change_by_district(frame, ax, language=context.language)
        told = {"title": say("subgroup.title"), "sentence": tell_subgroups(groups)}
        pieces.append(draw_figure(canvas, **told, marks=context.marks, language=context.language))
    columns = [
        Column("level", say("subgroup.column.group")),
        Column("n", say("column.n"), "count"),
        Column("value", say("subgroup.column.change"), "signed_points"),
        Column("low", say("column.interval"), "interval", high="high"),
        Column("difference", say("subgroup.column.difference"), "signed_points"),
        Column("difference_low", say("column.interval"), "interval", high="difference_high"),
        Column("p", say("subgroup.column.p"), "p"),
    ]
    plan = {f.where["grouping"] for f in released.figures if f.name == "subgroup.change" and f.status == "planned"}
    named = join([say(f"subgroup.grouping.{grouping}") for grouping in sorted(plan)])
    note = say("subgroup.note", planned=say("subgroup.planned", groupings=named) if plan else plain(""))
    caption = say("subgroup.caption")
    return [
        *pieces,
        draw_table(groups, columns=columns, caption=caption, section="grouping", language=context.language, note=note),
    ]


def frame_subgroups(figures: Sequence[Figure]) -> pd.DataFrame:
    """Return subgroups as the frame that picture and table take, in the order given; everybody last, if there."""
    rows: dict[tuple[str, str], Row] = {}
    for figure in figures:
        if figure.name.startswith("subgroup."):
            key = (figure.where["grouping"], figure.where["level"])
            grouping, level = say(f"subgroup.grouping.{key[0]}"), tell_levels(key[1])
            label = say("subgroup.row", grouping=grouping, level=level)
            row = {"district": "=".join(key), "label": label, "grouping": grouping, "level": level}
            rows.setdefault(key, row).update(_as_part(figure))
    everyone = [f for f in figures if f.name == "change.mean" and not f.where and not isinstance(f.value, Withheld)]
    last = [{"district": OVERALL, "label": say("subgroup.everyone")} | _as_part(f) for f in everyone]
    columns = [
        "district",
        "label",
        "grouping",
        "level",
        "n",
        "value",
        "low",
        "high",
        "difference",
        "difference_low",
        "difference_high",
        "p",
    ]
    return pd.DataFrame([*rows.values(), *last] if rows else [], columns=[*columns, "withheld"])


def _as_part(figure: Figure) -> Row:
    """Return what one figure says of a subgroup's row."""
    if isinstance(figure.value, Withheld):
        return {"n": None if hides_count(figure) else figure.n, "withheld": figure.value.reason}
    if figure.name == "subgroup.difference":
        return {"difference": figure.value, "difference_low": figure.low, "difference_high": figure.high}
    if figure.name == "subgroup.p_adjusted":
        return {"p": figure.value}
    return {"n": figure.n, "value": figure.value, "low": figure.low, "high": figure.high}


def tell_subgroups(frame: pd.DataFrame) -> Text:
    """Say in how many comparisons the adjusted p settles a difference; columns as in `frame_subgroups`."""
    compared = frame.loc[frame["withheld"].isna(), "p"].dropna().astype(float)
    if compared.empty:
        return say("subgroup.told_none")
    settled = int((compared <= DISCOVERY).sum())
    return say("subgroup.told", n=len(compared), settled=settled, open=len(compared) - settled)
