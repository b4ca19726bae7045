"""The power page's pieces: which change the next wave could tell from none, and how many teachers a change of .20 SD needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from bgtk_lib.disclosure import Released
from bgtk_lib.display.canvas import ACCENT, ACCENT_SOFT, INK, MUTED, RULE, SMALL, draw_figure, settle, start_figure
from bgtk_lib.display.context import Context
from bgtk_lib.display.page import Shown, draw_notice
from bgtk_lib.display.table import Column, draw_table
from bgtk_lib.errors import Language, Text
from bgtk_lib.findings import Withheld
from bgtk_lib.words import join, number, say

TARGET = 0.20  # standard deviations: the line in the picture
TICKS = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000)
STYLES: dict[str, tuple[str, str, Any]] = {
    "subject": ("o", ACCENT, "solid"),
    "district": ("s", ACCENT, (0, (5, 2))),
    "province": ("D", ACCENT, (0, (1, 1))),
    "province_wider": ("D", ACCENT_SOFT, (0, (5, 2))),
    "workshop": ("^", ACCENT_SOFT, "solid"),
    "programme": ("v", MUTED, "solid"),
    "programme_schools": ("v", MUTED, (0, (5, 2))),
}
"""Case → marker, colour and line: one hue, told apart by form."""


def draw_power(released: Released, context: Context) -> Sequence[Shown]:
    """Draw what the next wave could tell from no change: picture, table, teachers needed, assumptions.

    Parameters
    ----------
    released : Released
        As `power.list_power` gives them.
    context : Context
        Of the report.
    """
    frame = frame_power(released)
    if not frame["mde_sd"].notna().any():
        reasons = [f.value.reason for f in released.figures if isinstance(f.value, Withheld)]
        return [draw_notice("note", heading=say("power.none"), body=reasons[:1], language=context.language)]
    canvas, ax = start_figure(18)
    plot_power(frame, ax, language=context.language)
    picture = draw_figure(
        canvas, title=say("power.title"), sentence=tell_power(frame), marks=context.marks, language=context.language
    )
    columns = [
        Column("n", say("power.column.n"), "count"),
        Column("mde_sd", say("power.column.sd"), "decimal2"),
        Column("mde_points", say("power.column.points"), "points"),
    ]
    rows = frame.assign(label=[label.said(context.language) for label in frame["label"]])
    table = draw_table(
        rows,
        columns=columns,
        caption=say("power.table.caption"),
        language=context.language,
        note=say("power.table.note"),
        section="label",
    )
    return [picture, table, *_draw_needed(released, context), *_draw_assumed(released, context)]


def frame_power(released: Released) -> pd.DataFrame:
    """Return the released figures as rows: case, label (Text), n, mde_sd, mde_points, withheld."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for figure in released.figures:
        if figure.name not in ("power.mde", "power.mde_points") or "case" not in figure.where:
            continue
        case, n = figure.where["case"], figure.where["n"]
        row = rows.setdefault(
            (case, n), {"case": case, "label": say(f"power.case.{case}"), "n": int(n), "withheld": None}
        )
        if isinstance(figure.value, Withheld):
            row["withheld"] = figure.value.reason
        else:
            row["mde_sd" if figure.name == "power.mde" else "mde_points"] = figure.value
    frame = pd.DataFrame(list(rows.values()), columns=["case", "label", "n", "mde_sd", "mde_points", "withheld"])
    return frame.astype({"mde_sd": "float64", "mde_points": "float64"})


def plot_power(frame: pd.DataFrame, ax: Axes, *, language: Language) -> Axes:
    """Draw the smallest detectable change against the number of teachers (logarithmic), a line a case, and .20 SD.

    Parameters
    ----------
    frame : DataFrame
        As `frame_power` returns it.
    ax : Axes
        ``start_figure(18)``.
    language : {"id", "en"}
        Language of the words.
    """
    shown = frame.dropna(subset=["mde_sd"])
    for case, rows in shown.groupby("case", sort=False):
        marker, color, line = STYLES[str(case)]
        name = rows["label"].iloc[0].said(language)
        ax.plot(
            rows["n"], rows["mde_sd"], marker, color=color, linestyle=line, markersize=4.5, linewidth=1.4, label=name
        )
    ax.axhline(TARGET, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    settle(ax, sides=("bottom", "left"))
    ax.grid(axis="y", color=RULE, linewidth=0.6)
    ax.set_xscale("log")
    fewest, most = shown["n"].min(), shown["n"].max()
    counts = [n for n in TICKS if fewest <= n <= most]
    ax.set_xticks(counts, [number(n, language, 0) for n in counts])
    ax.set_xticks([], minor=True)
    ax.set_ylim(0, 1.08 * float(shown["mde_sd"].max()))
    ax.yaxis.set_major_formatter(lambda value, _: number(value, language, 1))
    ax.set_xlabel(say("power.axis.n").said(language))
    ax.set_ylabel(say("power.axis.mde").said(language))
    ax.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), frameon=False, fontsize=SMALL, borderaxespad=0.2)
    return ax


def tell_power(frame: pd.DataFrame) -> Text:
    """Say for every case what its fewest and its most teachers could tell from none; columns as in `plot_power`."""
    parts = []
    for _, rows in frame.dropna(subset=["mde_sd"]).groupby("case", sort=False):
        ends = [
            say("power.told.end", sd=_two(row["mde_sd"]), n=int(row["n"]))
            for _, row in rows.iloc[sorted({0, len(rows) - 1})].iterrows()
        ]
        parts.append(say("power.told.case", case=rows["label"].iloc[0], ends=join(ends, " – ")))
    return say("power.told", cases=join(parts, "; "))


def _draw_needed(released: Released, context: Context) -> list[Shown]:
    """Draw how many teachers each case needs."""
    figures = [figure for figure in released.figures if figure.name == "power.n_needed"]
    if not figures:
        return []
    rows = [
        {
            "label": say(f"power.case.{figure.where['case']}").said(context.language),
            "n": None if isinstance(figure.value, Withheld) else figure.value,
            "withheld": figure.value.reason if isinstance(figure.value, Withheld) else None,
        }
        for figure in figures
    ]
    columns = [Column("label", say("power.column.case")), Column("n", say("power.column.needed"), "count")]
    caption = say("power.needed.caption", target=float(figures[0].where["target_sd"]))
    return [draw_table(pd.DataFrame(rows), columns=columns, caption=caption, language=context.language)]


def _draw_assumed(released: Released, context: Context) -> list[Shown]:
    """Draw what the next wave is taken to be."""
    rows = [
        {"name": say(f"name.{figure.name}").said(context.language), "value": figure.value}
        for figure in released.figures
        if figure.name.startswith("power.assumed.")
    ]
    if not rows:
        return []
    columns = [Column("name", say("column.what")), Column("value", say("column.value"), "decimal2")]
    return [
        draw_table(pd.DataFrame(rows), columns=columns, caption=say("power.assumed.caption"), language=context.language)
    ]


def _two(value: float) -> Text:
    return Text(id=number(value, "id", 2), en=number(value, "en", 2))
