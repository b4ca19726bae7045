"""Evenness as a page shows it: gaps before and after, the distribution's change, and the verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bgtk_lib.disclosure import Released
from bgtk_lib.display.canvas import ACCENT, INK, RULE, SMALL, draw_figure, start_figure
from bgtk_lib.display.change import draw_numbers, find_figure
from bgtk_lib.display.context import Context
from bgtk_lib.display.page import Shown, draw_notice, find_words
from bgtk_lib.display.rows import (
    draw_intervals,
    label_rows,
    list_rows,
    name_change,
    write_column,
)
from bgtk_lib.display.table import Column, draw_table, write_reason, write_value
from bgtk_lib.errors import Language, Text
from bgtk_lib.findings import Figure, Gate, Withheld
from bgtk_lib.words import join, plain, say

STATISTICS = ("p10", "p50", "p90", "p90_p10", "sd")
Row = dict[str, Any]


def tell_evenness(released: Released, *, confidence: float, ceiling: Gate | None = None) -> Text:
    """Return the verdict on evenness between districts in one paragraph, for the answer box.

    Parameters
    ----------
    released : Released
        As `evenness.list_evenness` gives them.
    confidence : float
        Of the intervals.
    ceiling : Gate, optional
        C12; where it is closed its sentence follows the verdict.
    """
    verdict, gap, inner = (
        find_figure(released, f"evenness.{name}") for name in ("verdict", "gap_change", "gap_change_90")
    )
    pre, post = (find_figure(released, f"evenness.sd_{wave}") for wave in ("pre", "post"))
    if not (verdict and gap and inner and pre and post):
        reasons = [f.value.reason for f in released.figures if isinstance(f.value, Withheld)]
        return say("evenness.told.none", reason=reasons[0] if reasons else plain(""))
    facts = {"pre": pre.value, "post": post.value, "change": gap.value, "low": gap.low, "high": gap.high}
    parts = [say(f"evenness.told.{verdict.value}", confidence=100 * confidence, **facts)]
    margin = find_figure(released, "evenness.margin")
    if verdict.value == "same" and margin:
        parts.append(say("evenness.told.margin", low=inner.low, high=inner.high, margin=margin.value))
    shares = [find_figure(released, f"evenness.share_{wave}") for wave in ("pre", "post")]
    if shares[0] and shares[1]:
        parts.append(say("evenness.told.share", pre=shares[0].value, post=shares[1].value))
    if ceiling and ceiling.closed:
        parts.append(ceiling.message)
    return join(parts, " ")


def draw_evenness(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the gaps before and after, between districts and between named groups; and the numbers of the former.

    Parameters
    ----------
    released : Released
        Figures of `evenness.list_evenness` and `gaps.list_group_gaps`.
    context : Context
        Of the report.
    """
    frame = frame_gaps(released.figures, context.language)
    if frame.empty:
        return [draw_notice("note", heading=say("evenness.nothing"), body=[], language=context.language)]
    pieces = []
    if frame["pre"].notna().any():
        canvas, ax = start_figure(1.6 * len(frame) + 1)
        draw_dumbbells(frame, ax, language=context.language)
        told = {"title": say("evenness.title"), "sentence": tell_gaps(frame)}
        pieces.append(draw_figure(canvas, **told, marks=context.marks, language=context.language))
    columns = [
        Column("label", say("evenness.column.gap")),
        Column("n", say("column.n"), "code"),
        Column("pre", say("evenness.column.pre"), "points"),
        Column("post", say("evenness.column.post"), "points"),
        Column("change", say("evenness.column.change"), "signed_points"),
        Column("low", say("column.interval"), "interval", high="high"),
    ]
    note = say("evenness.note", confidence=100 * context.confidence)
    table = draw_table(frame, columns=columns, caption=say("evenness.caption"), language=context.language, note=note)
    numbers = tuple(
        f for f in released.figures if f.name.startswith("evenness.") and f.unit not in ("word", "districts")
    )
    compared = find_figure(released, "evenness.districts")
    if not compared:
        return [*pieces, table]
    caption = say("evenness.numbers", n=compared.value)
    return [*pieces, table, draw_numbers(Released(numbers), context, caption=caption)]


def frame_gaps(figures: Sequence[Figure], language: Language) -> pd.DataFrame:
    """Return gaps as the frame that picture and table take: the districts' standard deviation first, then named groups."""
    names = {"pre": "evenness.sd_pre", "post": "evenness.sd_post", "change": "evenness.gap_change"}
    between = {when: f for f in figures for when, name in names.items() if f.name == name}
    rows = []
    if between:
        first = next(iter(between.values()))
        count = first.n if first.tells_n and not hides_count(first) else None
        rows.append(_as_gap(say("evenness.between"), between) | {"n": write_value(count, "count", language)})
    gaps: dict[tuple[str, ...], dict[str, Figure]] = {}
    counts: dict[tuple[str, ...], list[str]] = {}
    for figure in figures:
        if not figure.name.startswith("gap."):
            continue
        key = tuple(figure.where[name] for name in ("grouping", "first", "second"))
        if figure.name == "gap.n":
            n = None if isinstance(figure.value, Withheld) else figure.value
            counts.setdefault(key, []).append(write_value(n, "count", language) or "–")
        else:
            gaps.setdefault(key, {})[figure.name.removeprefix("gap.")] = figure
    for key, found in gaps.items():
        label = say("evenness.pair", first=tell_levels(key[1]), second=tell_levels(key[2]))
        rows.append(_as_gap(label, found) | {"n": " / ".join(counts.get(key, []))})
    return pd.DataFrame(rows, columns=["label", "n", "pre", "post", "change", "low", "high", "withheld"])


def _as_gap(label: Text, found: dict[str, Figure]) -> Row:
    """Return one gap; a row of which a part is withheld is withheld as a whole."""
    reasons = [f.value.reason for f in found.values() if isinstance(f.value, Withheld)]
    if reasons or len(found) < 3:
        return {"label": label, "withheld": reasons[0] if reasons else plain("–")}
    values: Row = {when: figure.value for when, figure in found.items()}
    return {"label": label, "low": found["change"].low, "high": found["change"].high, "withheld": None} | values


def draw_dumbbells(frame: pd.DataFrame, ax: Axes, *, language: Language) -> Axes:
    """Draw each gap before (hollow) and after (full), joined by a line, around a line at zero.

    Parameters
    ----------
    frame : DataFrame
        `label`, `pre`, `post` (points), `n` (text), `withheld`, as `frame_gaps` gives it.
    ax : Axes
        ``start_figure(1.6 * len(frame) + 1)``.
    language : {"id", "en"}
        Language of the words.
    """
    rows = list_rows(frame)
    ends = np.append(frame[["pre", "post"]].to_numpy(dtype=float), 0.0)
    air = 0.08 * (np.nanmax(ends) - np.nanmin(ends) or 1.0)
    ax.set_xlim(np.nanmin(ends) - air, np.nanmax(ends) + air)
    ax.axvline(0, color=INK, linewidth=1.0)
    for place, row in enumerate(rows):
        if write_reason(row, language):
            continue
        ax.plot([row["pre"], row["post"]], [place, place], color=ACCENT, linewidth=1.4, zorder=1)
        ax.plot(row["pre"], place, "o", color=ACCENT, markerfacecolor="white", markersize=8, zorder=2)
        ax.plot(row["post"], place, "o", color=ACCENT, markersize=5, zorder=3)
    named = [say("evenness.row", label=row["label"], n=plain(row["n"] or "–")) for row in rows]
    label_rows(ax, [row | {"label": label} for row, label in zip(rows, named, strict=True)], language=language)
    ax.grid(axis="x", color=RULE, linewidth=0.6)
    ax.xaxis.set_major_formatter(lambda value, _: write_value(value, "points", language, 0))
    ax.set_xlabel(say("evenness.axis").said(language))
    for wave, face in (("pre", "white"), ("post", ACCENT)):
        name = say(f"evenness.column.{wave}").said(language)
        ax.plot([], [], "o", color=ACCENT, markerfacecolor=face, label=name)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=2, frameon=False, fontsize=SMALL)
    return ax


def tell_gaps(frame: pd.DataFrame) -> Text:
    """Say how far districts lay apart, and in how many gaps of named groups the change is settled; as `draw_dumbbells`."""
    shown = frame[frame["withheld"].isna()]
    between = shown["label"] == say("evenness.between")
    parts = [say("evenness.picture.districts", pre=row["pre"], post=row["post"]) for row in list_rows(shown[between])]
    groups = shown[~between]
    if len(groups):
        settled = int(((groups["low"] > 0) | (groups["high"] < 0)).sum())
        parts.append(say("evenness.picture.gaps", n=len(groups), settled=settled))
    return join(parts, " ")


def draw_quantiles(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the change at the tenth, fiftieth and ninetieth percentile, and the table of the distribution.

    Parameters
    ----------
    released : Released
        As `quantiles.list_quantiles` gives them.
    context : Context
        Of the report.
    """
    frame = frame_quantiles(released.figures)
    drawn = frame[frame["statistic"].isin(["p10", "p50", "p90"])]
    if drawn.empty or drawn["withheld"].notna().all():
        return [draw_notice("note", heading=say("quantile.nothing"), body=[], language=context.language)]
    canvas, ax = start_figure(len(drawn))
    rows = list_rows(drawn.rename(columns={"change": "value"}))
    draw_intervals(ax, rows, heads=[False] * len(rows), language=context.language)
    label_rows(ax, rows, language=context.language)
    values = [write_value(row["value"], "signed_points", context.language) or "–" for row in rows]
    write_column(ax, values, heading=say("figure.unit.points"), language=context.language)
    name_change(ax, language=context.language, unit="points")
    told = {"title": say("quantile.title"), "sentence": tell_quantiles(drawn)}
    picture = draw_figure(canvas, **told, marks=context.marks, language=context.language)
    columns = [
        Column("label", say("quantile.column")),
        Column("pre", say("evenness.column.pre"), "points"),
        Column("post", say("evenness.column.post"), "points"),
        Column("change", say("evenness.column.change"), "signed_points"),
        Column("low", say("column.interval"), "interval", high="high"),
    ]
    caption = say("quantile.caption", population=released.figures[0].population)
    return [
        picture,
        draw_table(frame, columns=columns, caption=caption, language=context.language, note=say("quantile.note")),
    ]


def frame_quantiles(figures: Sequence[Figure]) -> pd.DataFrame:
    """Return the distribution as the frame that picture and table take, a row a statistic."""
    rows = []
    for name in STATISTICS:
        found = {when: f for f in figures for when in ("pre", "post", "change") if f.name == f"quantile.{name}_{when}"}
        if found:
            rows.append(_as_gap(say(f"quantile.name.{name}"), found) | {"statistic": name})
    columns = ["statistic", "label", "pre", "post", "change", "low", "high", "withheld"]
    return pd.DataFrame(rows, columns=columns)


def tell_quantiles(frame: pd.DataFrame) -> Text:
    """Say how the percentiles changed, and that they are no persons; columns as in `frame_quantiles`."""
    told = [
        say("quantile.told_one", statistic=row["label"], value=row["change"], low=row["low"], high=row["high"])
        for row in list_rows(frame[frame["withheld"].isna()])
    ]
    return say("quantile.told", changes=join(told, "; "))


def hides_count(figure: Figure) -> bool:
    """Whether the number of persons behind a figure may not be told."""
    return isinstance(figure.value, Withheld) and figure.value.kind in ("small", "complement")


def tell_levels(levels: str) -> Text:
    """Return the words of one level, or of several written with a plus."""
    return join([find_words("subgroup_level", level) for level in levels.split("+")], " + ")
