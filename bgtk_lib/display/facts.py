"""Pieces that the reports on items, tests and links share: a picture, a table of numbers, the fingerprints to freeze."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from bgtk_lib.disclosure import Released
from bgtk_lib.display.canvas import draw_figure, start_figure
from bgtk_lib.display.context import Context
from bgtk_lib.display.page import Shown, draw_definition_list
from bgtk_lib.display.table import Column, draw_table, write_value
from bgtk_lib.errors import Language, Text
from bgtk_lib.findings import Figure, Withheld
from bgtk_lib.words import join, plain, say

PLACES = {"items": 0, "persons": 0, "reliability": 3, "nats": 1, "parameters": 0}  # of a unit; others have two
FINGERPRINT = 12  # digits that name one calibration or link in data/decisions/frozen.csv


def take_frame(released: Released) -> pd.DataFrame:
    """Return the table that was released; an empty one where there is none."""
    return released.frame if released.frame is not None else pd.DataFrame()


def choose(released: Released, names: Sequence[str]) -> Released:
    """Return the figures of some names, in their order."""
    return Released(tuple(f for name in names for f in released.figures if f.name == name))


def draw_picture(drawn: Callable[..., Axes], height: float, *, title: Text, sentence: Text, context: Context) -> Shown:
    """Return a figure that one function draws, with its title and its sentence."""
    canvas, ax = start_figure(height)
    drawn(ax, language=context.language)
    return draw_figure(canvas, title=title, sentence=sentence, marks=context.marks, language=context.language)


def draw_facts(released: Released, context: Context, *, caption: Text, note: Text | None = None) -> Sequence[Shown]:
    """Draw numbers that rest on the same persons: the caption tells how many; intervals only where there are any."""
    figures = released.figures
    if not figures:
        return []
    rows = pd.DataFrame([_write(figure, context.language) for figure in figures])
    same = len({figure.n for figure in figures}) == 1
    columns = [Column("name", say("column.what")), Column("value", say("column.value"))]
    if rows["interval"].notna().any():
        columns.append(Column("interval", say("column.interval")))
    if not same:
        columns.append(Column("n", say("column.n"), "count"))
    told = join([caption, say("instrument.numbers.n", n=figures[0].n)], " ") if same else caption
    return [draw_table(rows, columns=columns, caption=told, language=context.language, note=note)]


def _write(figure: Figure, language: Language) -> dict[str, Any]:
    row: dict[str, Any] = {"name": say(f"name.{figure.name}"), "n": figure.n, "value": None, "interval": None}
    if isinstance(figure.value, Withheld):
        return row | {"withheld": figure.value.reason}
    row |= {"value": write_number(figure.value, figure.unit, language), "withheld": None}
    if figure.low is not None and figure.high is not None:
        low, high = (write_number(end, figure.unit, language) for end in (figure.low, figure.high))
        row["interval"] = say("page.table.interval", low=low, high=high).said(language)
    return row


def write_number(value: Any, unit: str, language: Language) -> str:
    """Return a number as its unit is written: a share in percent.

    Examples
    --------
    >>> write_number(0.125, "share", "id"), write_number(12, "items", "id"), write_number(0.797, "reliability", "en")
    ('12,5%', '12', '0.797')
    """
    if isinstance(value, str):
        return value
    if unit == "share":
        return write_value(100 * float(value), "percent", language)
    return write_value(value, "decimal2", language, PLACES.get(unit, 2))


def draw_fingerprints(pairs: Sequence[tuple[Text, str]], context: Context) -> list[Shown]:
    """Draw the fingerprints that a decision names to hold a calibration or a link fast."""
    known = [(name, plain(code[:FINGERPRINT])) for name, code in pairs if code]
    return [draw_definition_list(known, language=context.language)] if known else []
