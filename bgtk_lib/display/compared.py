"""Participants beside their comparison: how alike they were before the programme, how they changed, how far they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bgtk_lib.disclosure import Released
from bgtk_lib.display.canvas import ACCENT, INK, MUTED, RULE, SMALL, draw_figure, start_figure
from bgtk_lib.display.change import find_figure
from bgtk_lib.display.context import Context
from bgtk_lib.display.page import Shown, draw_notice, find_words
from bgtk_lib.display.rows import draw_intervals, label_rows, list_rows, write_column
from bgtk_lib.display.table import Column, draw_table, write_reason, write_value
from bgtk_lib.errors import Language, Text
from bgtk_lib.findings import Figure, Withheld
from bgtk_lib.programme.balance import FINE, place_in_band
from bgtk_lib.programme.design import Design
from bgtk_lib.words import join, say

WITHIN_DISTRICTS = ("ancova", "overlap", "did")
ROWS = ("change", "comparison_change", "rtm_expected", "effect", "cace")
ValueKind = Literal["signed2", "signed_points"]


def draw_balance(released: Released, context: Context, *, design: Design | Withheld) -> Sequence[Shown]:
    """Draw the difference of every characteristic before and, where there are weights, after weighting, with both limits.

    Parameters
    ----------
    released : Released
        As `list_balance` gives them.
    context : Context
        Of the report; `balance_limit` is the wider limit.
    design : Design or Withheld
        Whether persons are compared within districts.
    """
    frame = frame_balance(released.figures)
    if frame.empty or frame["before"].isna().all():
        heading = say("balance.nothing" if frame.empty else "balance.hidden")
        return [draw_notice("note", heading=heading, body=[], language=context.language)]
    limit = float(context.parameters["balance_limit"])
    canvas, ax = start_figure(len(frame) + 1.5)
    draw_love(frame, ax, language=context.language, limit=limit)
    told = {"title": say("balance.title"), "sentence": tell_balance(frame, limit=limit)}
    picture = draw_figure(canvas, **told, marks=context.marks, language=context.language)
    weighted = frame["after"].notna().any()
    columns = [
        Column("label", say("balance.column")),
        Column("before", say("balance.before") if weighted else say("balance.difference"), "signed2"),
        *([Column("after", say("balance.after"), "signed2")] if weighted else []),
    ]
    method = design.method if isinstance(design, Design) else None
    notes = [say("balance.note", limit=limit)]
    notes += [say("balance.note_districts")] if method in WITHIN_DISTRICTS else []
    notes += [say("balance.note_lottery")] if method == "lottery" else []
    caption, note = say("balance.caption"), join(notes, " ")
    return [picture, draw_table(frame, columns=columns, caption=caption, language=context.language, note=note)]


def frame_balance(figures: Sequence[Figure]) -> pd.DataFrame:
    """Return the differences as the frame that picture and table take: label, before, after, withheld."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for figure in figures:
        _, column, when = figure.name.split(".")
        level = figure.where.get("level", "")
        row = rows.setdefault((column, level), {"label": _name_row(column, level), "withheld": None})
        if isinstance(figure.value, Withheld):
            row["withheld"] = figure.value.reason
        else:
            row[when] = figure.value
    frame = pd.DataFrame(list(rows.values()), columns=["label", "before", "after", "withheld"])
    hidden = frame["withheld"].notna()
    numbers = frame[["before", "after"]].astype(float).mask(hidden)
    return frame.assign(before=numbers["before"], after=numbers["after"])


def draw_love(frame: pd.DataFrame, ax: Axes, *, language: Language, limit: float) -> Axes:
    """Draw each difference as a hollow mark, what weighting leaves of it as a full one, between the two limits.

    Parameters
    ----------
    frame : DataFrame
        As `frame_balance` gives it.
    ax : Axes
        ``start_figure(len(frame) + 1.5)``.
    language : {"id", "en"}
        Language of the words.
    limit : float
        The wider limit; the narrower is .05.
    """
    rows = list_rows(frame)
    far = np.nanmax(np.append(frame[["before", "after"]].abs().to_numpy(dtype=float), limit))
    ax.set_xlim(-1.12 * far, 1.12 * far)
    ax.axvline(0, color=INK, linewidth=1.0)
    for bound, dashes in ((FINE, (0, (1, 2))), (limit, (0, (4, 3)))):
        for side in (-bound, bound):
            ax.axvline(side, color=MUTED, linewidth=0.9, linestyle=dashes, zorder=0)
    weighted = bool(frame["after"].notna().any())
    for place, row in enumerate(rows):
        if write_reason(row, language):
            continue
        if weighted:
            ax.plot([row["before"], row["after"]], [place, place], color=ACCENT, linewidth=1.2, zorder=1)
            ax.plot(row["after"], place, "o", color=ACCENT, markersize=5, zorder=3)
        ax.plot(row["before"], place, "o", color=ACCENT, markerfacecolor="white", markersize=7, zorder=2)
    label_rows(ax, rows, language=language)
    ax.grid(axis="y", color=RULE, linewidth=0.5)
    ax.xaxis.set_major_formatter(lambda value, _: write_value(value, "signed2", language, 2 if far < 1 else 1))
    ax.set_xlabel(say("balance.axis").said(language))
    for when, face in (("before", "white"), ("after", ACCENT)) if weighted else ():
        ax.plot([], [], "o", color=ACCENT, markerfacecolor=face, label=say(f"balance.mark.{when}").said(language))
    if weighted:
        ax.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=2, frameon=False, fontsize=SMALL)
    return ax


def tell_balance(frame: pd.DataFrame, *, limit: float) -> Text:
    """Say how many characteristics lie within the limits and which lies furthest out; columns as in `frame_balance`."""
    known = frame.dropna(subset="before")
    bands = [place_in_band(value, limit=limit) for value in known["before"]]
    largest = list_rows(known.loc[[known["before"].abs().idxmax()]])[0]
    facts = {"n": len(known), "fine": bands.count("fine"), "apart": bands.count("apart"), "limit": limit}
    told = [say("balance.told", label=largest["label"], value=largest["before"], **facts)]
    if known["after"].notna().any():
        told.append(say("balance.told_after", value=float(known["after"].abs().max())))
    return join(told, " ")


def _name_row(column: str, level: str) -> Text:
    kind = say(f"balance.of.{column}")
    if not level:
        return kind
    name = say("balance.level.unknown") if level == "unknown" else find_words("subgroup_level", level)
    return say("balance.row", kind=kind, level=name)


def read_evidence(released: Released) -> int:
    """Return the strength of evidence, 1 to 4."""
    figure = find_figure(released, "programme.evidence")
    return int(figure.value) if figure else 1  # type: ignore[arg-type]


def draw_result(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the change of either group, the regression to the mean expected of participants, and the adjusted difference."""
    frame = frame_result(released, context)
    unit = say(f"figure.unit.{frame['unit'].iloc[0]}")
    shown = frame[frame["withheld"].isna()]
    if shown.empty:
        reasons = list(dict.fromkeys(reason for reason in frame["withheld"]))
        heading = say("programme.result.nothing")
        return [draw_notice("note", heading=heading, body=reasons, language=context.language)]
    canvas, ax = start_figure(1.4 * len(frame) + 1)
    rows = list_rows(frame)
    draw_intervals(ax, rows, heads=[row["name"] == "effect" for row in rows], language=context.language)
    label_rows(ax, rows, language=context.language)
    kind: ValueKind = "signed2" if frame["unit"].iloc[0] == "sd" else "signed_points"
    written = [write_value(row["value"], kind, context.language) or "–" for row in rows]
    write_column(ax, written, heading=unit, language=context.language)
    ax.grid(axis="x", color=RULE, linewidth=0.6)
    ax.xaxis.set_major_formatter(
        lambda value, _: write_value(value, kind, context.language, 0 if value % 1 == 0 else 1)
    )
    ax.set_xlabel(say("programme.result.axis", unit=unit).said(context.language))
    parts = [say("programme.result.one", label=row["label"], value=_tell_value(row, kind)) for row in list_rows(shown)]
    sentence = say("programme.result.told", unit=unit, parts=join(parts, "; "))
    told = {"title": say("programme.result.title"), "sentence": sentence}
    picture = draw_figure(canvas, **told, marks=context.marks, language=context.language)
    columns = [
        Column("label", say("programme.result.column")),
        Column("n", say("column.n"), "count"),
        Column("value", say("programme.result.value", unit=unit), kind),
        Column("low", say("column.interval"), "interval", high="high", places=2 if kind == "signed2" else None),
    ]
    caption, note = say("programme.result.caption"), say("programme.result.note")
    return [picture, draw_table(frame, columns=columns, caption=caption, language=context.language, note=note)]


def frame_result(released: Released, context: Context) -> pd.DataFrame:
    """Return the rows of picture and table; where no scale is common to both measurements, those that are in its SD."""
    by_name = {figure.name: figure for figure in released.figures if not figure.where}
    in_sd = by_name["programme.rtm_expected"].unit == "sd"
    comparison, claims = context.parameters["comparison"], read_evidence(released) >= 3
    drawn, alone = comparison == "lottery", comparison == "none"
    words = {"change": "change_drawn" if drawn else "change", "effect": "added" if claims else "effect"}
    rows: list[dict[str, Any]] = []
    for name in ROWS:
        figure = by_name.get("programme.effect_sd" if in_sd and name == "effect" else f"programme.{name}")
        if figure is None or (in_sd and figure.unit != "sd") or (alone and name == "comparison_change"):
            continue
        hidden = isinstance(figure.value, Withheld)
        rows.append(
            {
                "name": name,
                "label": say(f"programme.row.{words.get(name, name)}"),
                "unit": figure.unit,
                "value": None if hidden else figure.value,
                "low": None if hidden else figure.low,
                "high": None if hidden else figure.high,
                "n": None if hidden or not figure.tells_n else figure.n,
                "withheld": figure.value.reason if isinstance(figure.value, Withheld) else None,
            }
        )
    return pd.DataFrame(rows).astype({"value": float, "low": float, "high": float})


def _tell_value(row: dict[str, Any], kind: ValueKind) -> Text:
    """Return a value with its interval, where it has one."""
    said = {}
    for language in ("id", "en"):
        value, low, high = (write_value(row[name], kind, language) for name in ("value", "low", "high"))
        ends = f" ({say('page.table.interval', low=low, high=high).said(language)})" if low else ""
        said[language] = value + ends
    return Text(**said)
