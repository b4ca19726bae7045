"""Each district's change twice in one picture: from its own pairs alone, and drawn towards the mean of the districts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bgtk_lib.disclosure import Released
from bgtk_lib.display import sentences as tell
from bgtk_lib.display.canvas import ACCENT, ACCENT_PALE, ACCENT_SOFT, INK, SMALL, draw_figure, start_figure
from bgtk_lib.display.change import NEAR_ZERO, draw_districts, find_figure, frame_districts
from bgtk_lib.display.context import Context
from bgtk_lib.display.page import Shown, draw_notice
from bgtk_lib.display.rows import OVERALL, label_rows, list_rows, name_change, write_column
from bgtk_lib.display.table import Column, draw_table, write_reason, write_value
from bgtk_lib.errors import Language
from bgtk_lib.findings import Withheld
from bgtk_lib.words import join, say

OF_ALL = "change.district_mean"
LIFT = 0.16  # of a row: how far the two marks of a district lie from its middle


def draw_districts_shrunken(released: Released, context: Context) -> Sequence[Shown]:
    """Draw each district's own and shrunken change with their intervals, in code order, and the table behind the picture.

    Parameters
    ----------
    released : Released
        As `multilevel.list_shrunken` gives them, beside those of `describe.list_districts`, which are drawn where the model
        has none.
    context : Context
        Of the report.
    """
    frame = frame_both(released)
    if frame.empty:
        reasons = [f.value.reason for f in released.figures if f.name == OF_ALL and isinstance(f.value, Withheld)]
        notes = [draw_notice("note", heading=say("shrunken.none"), body=reasons, language=context.language)]
        return [*draw_districts(released, context), *(notes if reasons else [])]
    pieces = []
    rows = frame[frame["district"] != OVERALL]
    if rows["value"].notna().any():
        canvas, ax = start_figure(1.35 * len(frame) + 1)
        draw_both(frame, ax, language=context.language)
        told = [tell.tell_change_by_district(rows), say("shrunken.told")]
        mean = find_figure(released, OF_ALL)
        if mean:
            told.append(say("shrunken.told_mean", value=mean.value, low=mean.low, high=mean.high))
        title, sentence = say("shrunken.title"), join(told, " ")
        picture = draw_figure(canvas, title=title, sentence=sentence, marks=context.marks, language=context.language)
        pieces.append(picture)
    ends = frame[["low", "high", "raw_low", "raw_high"]].to_numpy(dtype=float)
    places = 2 if np.isfinite(ends).any() and np.nanmin(np.abs(ends)) < NEAR_ZERO else 1
    columns = [
        Column("label", say("column.district")),
        Column("n", say("column.n_pairs"), "count"),
        Column("raw", say("shrunken.column.raw"), "signed_points", places=places),
        Column("raw_low", say("column.interval"), "interval", high="raw_high", places=places),
        Column("value", say("shrunken.column.shrunken"), "signed_points", places=places),
        Column("low", say("column.interval"), "interval", high="high", places=places),
    ]
    caption, note = say("shrunken.caption"), say("shrunken.note")
    table = draw_table(frame, columns=columns, caption=caption, language=context.language, note=note)
    return [*pieces, table]


def frame_both(released: Released) -> pd.DataFrame:
    """Return one row a district: its shrunken change as `frame_districts` gives it, its own as raw, raw_low, raw_high.

    The mean of the districts is the last row, `district` being ``all``, where it is shown; empty without districts.
    """
    shrunken = frame_districts(released.figures, name="change.shrunken")
    if shrunken.empty:
        return shrunken
    own = frame_districts(released.figures, name="change.raw").set_index("district")
    both = shrunken.assign(
        raw=shrunken["district"].map(own["value"]),
        raw_low=shrunken["district"].map(own["low"]),
        raw_high=shrunken["district"].map(own["high"]),
    )
    mean = find_figure(released, OF_ALL)
    if mean is None:
        return both
    last: dict[str, Any] = {"district": OVERALL, "label": say("shrunken.mean"), "value": mean.value}
    last |= {"low": mean.low, "high": mean.high, "n": mean.n if mean.tells_n else None, "withheld": None}
    return pd.DataFrame([*both.to_dict("records"), last], columns=both.columns)


def draw_both(frame: pd.DataFrame, ax: Axes, *, language: Language) -> Axes:
    """Draw two intervals a row: above, open and pale, the own one; below, filled, the shrunken one.

    Parameters
    ----------
    frame : DataFrame
        As `frame_both` returns it; the row ``all`` is a diamond, a dashed line and a band.
    ax : Axes
        ``start_figure(1.35 * len(frame) + 1)``.
    language : {"id", "en"}
        Language of the words.
    """
    rows = list_rows(frame)
    ax.axvline(0, color=INK, linewidth=1.0)
    for place, row in enumerate(rows):
        if write_reason(row, language):
            continue
        if row["district"] == OVERALL:
            ax.axvspan(row["low"], row["high"], color=ACCENT_PALE, linewidth=0, zorder=0)
            ax.axvline(row["value"], color=ACCENT, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
            ax.plot([row["low"], row["high"]], [place, place], color=ACCENT, linewidth=2.4)
            ax.plot(row["value"], place, "D", color=ACCENT, markersize=6.5)
            continue
        above, below = place - LIFT, place + LIFT
        ax.plot([row["raw_low"], row["raw_high"]], [above, above], color=ACCENT_SOFT, linewidth=1.2)
        ax.plot(row["raw"], above, "o", markerfacecolor="white", markeredgecolor=ACCENT, markersize=5)
        ax.plot([row["low"], row["high"]], [below, below], color=ACCENT, linewidth=1.6)
        ax.plot(row["value"], below, "o", color=ACCENT, markersize=5)
    ends = frame[["low", "high", "raw_low", "raw_high"]].to_numpy(dtype=float)
    known = [*ends[np.isfinite(ends)], 0.0]
    air = 0.06 * ((max(known) - min(known)) or 1.0)
    ax.set_xlim(min(known) - air, max(known) + air)
    label_rows(ax, rows, language=language)
    counts = [write_value(row["n"], "count", language) or "–" for row in rows]
    write_column(ax, counts, heading=say("figure.column.n"), language=language)
    marks = [
        Line2D([], [], color=ACCENT_SOFT, marker="o", markerfacecolor="white", markeredgecolor=ACCENT, markersize=5),
        Line2D([], [], color=ACCENT, marker="o", markersize=5),
    ]
    names = [say(f"shrunken.mark.{kind}").said(language) for kind in ("raw", "shrunken")]
    ax.legend(
        marks, names, loc="lower left", bbox_to_anchor=(-0.01, 1.0), frameon=False, fontsize=SMALL, borderaxespad=0.2
    )
    return name_change(ax, language=language, unit="points")
