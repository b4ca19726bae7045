"""Rows of a figure: labels from the top down, intervals, bars, a column of counts, and the band over what is withheld."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from bgtk_lib.display.canvas import ACCENT, ACCENT_PALE, ACCENT_SOFT, INK, MUTED, RULE, SIZE, SMALL, settle
from bgtk_lib.display.table import write_reason, write_value
from bgtk_lib.errors import Language, Text
from bgtk_lib.words import say

OVERALL = "all"
"""The code of the row that speaks of all districts together."""

Row = dict[str, Any]


def list_rows(frame: pd.DataFrame) -> list[Row]:
    """Return a frame's rows as dictionaries, in their order."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def write_label(value: object, language: Language) -> str:
    """Return a label that is a Text or already a word."""
    return value.said(language) if isinstance(value, Text) else str(value)


def draw_intervals(ax: Axes, rows: Sequence[Row], *, heads: Sequence[bool], language: Language) -> None:
    """Draw each row's interval and value, those that head the others as diamonds, around a line at zero."""
    ax.axvline(0, color=INK, linewidth=1.0)
    for place, (row, head) in enumerate(zip(rows, heads, strict=True)):
        if write_reason(row, language):
            continue
        if head:
            ax.axvspan(row["low"], row["high"], color=ACCENT_PALE, linewidth=0, zorder=0)
            ax.axvline(row["value"], color=ACCENT, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
        ax.plot([row["low"], row["high"]], [place, place], color=ACCENT, linewidth=2.4 if head else 1.6)
        ax.plot(row["value"], place, "D" if head else "o", color=ACCENT, markersize=6.5 if head else 5.5)
    _widen(ax, [row[name] for row in rows for name in ("low", "high")])


def draw_shares(ax: Axes, rows: Sequence[Row], *, language: Language, limit: float) -> None:
    """Draw bars from 0 to `limit` per cent with their value; a bound is paler and says ≥ or ≤."""
    ax.set_xlim(0, limit)
    places = 0 if limit == 100 else 1
    for place, row in enumerate(rows):
        said = write_value(row["share"], "percent", language, places)
        if not said or write_reason(row, language):
            continue
        bound, share = row.get("bound", "exact"), float(row["share"])
        if bound == "exact":
            ax.barh(place, limit, height=0.56, color=ACCENT_PALE, linewidth=0)
            ax.barh(place, share, height=0.56, color=ACCENT, linewidth=0)
        else:  # a range the share lies in, never a bar that ends where the share does not
            low, high = (share, limit) if bound == "at_least" else (0.0, share)
            ax.barh(place, high - low, left=low, height=0.56, color="white", edgecolor=ACCENT_SOFT, hatch="////")
        inside = bound == "exact" and share > 0.75 * limit
        left = inside or (bound == "at_least" and share > 0.2 * limit)
        ax.text(
            share + (-0.015 if left else 0.015) * limit,
            place,
            {"at_least": "≥ ", "at_most": "≤ "}.get(bound, "") + said,
            ha="right" if left else "left",
            va="center",
            fontsize=SMALL,
            color="white" if inside else INK,
            bbox=None if bound == "exact" else {"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )
    ax.xaxis.set_major_formatter(lambda value, _: write_value(value, "percent", language, 0 if limit >= 5 else 1))


def label_rows(ax: Axes, rows: Sequence[Row], *, language: Language) -> None:
    """Write the rows' names from the top down, and over the withheld ones a hatched band with the reason."""
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_yticks(range(len(rows)), [write_label(row["label"], language) for row in rows])
    settle(ax)
    ax.tick_params(axis="y", length=0, labelsize=SIZE)
    ax.locator_params(axis="x", nbins=8, steps=[1, 2, 5, 10])
    left, right = ax.get_xlim()
    for place, row in enumerate(rows):
        if row.get("district") == OVERALL:
            ax.get_yticklabels()[place].set_fontweight("bold")
            ax.axhline(place - 0.5, color=RULE, linewidth=0.8)
        reason = write_reason(row, language)
        if not reason:
            continue
        ax.get_yticklabels()[place].set_color(MUTED)
        corner = (left, place - 0.28)
        ax.add_patch(
            Rectangle(corner, right - left, 0.56, facecolor="none", edgecolor=RULE, hatch="/////", linewidth=0)
        )
        ax.text(
            (left + right) / 2,
            place,
            say("figure.hidden").said(language),  # short: the table beside says why
            ha="center",
            va="center",
            fontsize=SMALL,
            color=MUTED,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )


def write_column(ax: Axes, values: Sequence[str], *, heading: Text, language: Language) -> None:
    """Write a column at the right of the rows, under its heading."""
    beside = ax.get_yaxis_transform()
    right = 1.04 + 0.02 * max(len(value) for value in values)
    ax.text(right, -0.8, heading.said(language), transform=beside, ha="right", fontsize=SMALL, color=MUTED)
    for place, value in enumerate(values):
        ax.text(right, place, value, transform=beside, ha="right", va="center", fontsize=SMALL, color=INK)


def name_change(ax: Axes, *, language: Language, unit: str) -> Axes:
    """Name the scale of a change: its unit, its sign, where it grows."""
    ax.grid(axis="x", color=RULE, linewidth=0.6)
    ax.xaxis.set_major_formatter(
        lambda value, _: write_value(value, "signed2", language, 0 if float(value).is_integer() else 1)
    )
    ax.set_xlabel(say("figure.change.axis", unit=say(f"figure.unit.{unit}")).said(language))
    return ax


def _widen(ax: Axes, ends: Sequence[Any]) -> None:
    """Let the scale hold every interval and zero, with a little air."""
    known = [float(end) for end in ends if not pd.isna(end)] + [0.0]
    air = 0.06 * ((max(known) - min(known)) or 1.0)
    ax.set_xlim(min(known) - air, max(known) + air)
