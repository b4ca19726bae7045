"""Tables: a frame, columns with kinds, a caption; numbers as the language writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import pandas as pd

from bgtk_lib.display.download import draw_download
from bgtk_lib.display.page import Shown, wrap_table
from bgtk_lib.errors import Language, Text
from bgtk_lib.words import number, say

ColumnKind = Literal[
    "text", "code", "count", "points", "percent", "decimal2", "decimal3", "p", "signed_points", "signed2", "interval"
]
PLACES: dict[str, int] = {
    "count": 0,
    "points": 1,
    "percent": 1,
    "decimal2": 2,
    "decimal3": 3,
    "signed_points": 1,
    "signed2": 2,
    "interval": 1,
}


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
        Column of the frame; for an interval, the column of its lower end.
    heading : Text
        What stands above it, with the unit.
    kind : str
        How its values are written; ``percent`` takes 0 to 100, a ``code`` is never broken into lines.
    high : str or None
        For an interval, the column of its upper end.
    places : int or None
        Decimal places where the kind's own do not fit.
    """

    name: str
    heading: Text
    kind: ColumnKind = "text"
    high: str | None = None
    places: int | None = None


def draw_table(
    frame: pd.DataFrame,
    *,
    columns: Sequence[Column],
    caption: Text,
    language: Language,
    note: Text | None = None,
    section: str | None = None,
) -> Shown:
    """Return a frame as a table; the first column heads its rows.

    Parameters
    ----------
    frame : DataFrame
        One row a line. An optional column ``withheld`` (Text, str or null) says why a row's numbers are not shown;
        its empty cells become one cell with the reason. A cell without a value or reason is "–".
    columns : sequence of Column
        What to show, in this order.
    caption : Text
        What the table shows, with its base.
    language : {"id", "en"}
        Language of the page.
    note : Text or None
        Small text below.
    section : str or None
        Column of the frame whose every new value stands as a heading of its own above the rows that share it.
    """
    heads = "".join(
        f'<th scope="col"{_align(column, place)}>{escape(column.heading.said(language))}</th>'
        for place, column in enumerate(columns)
    )
    records: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    sections = [write_value(record[section], "text", language) if section else "" for record in records]
    body, lines = "", [" | ".join(column.heading.said(language) for column in columns)]
    for before, name, record in zip(["", *sections], sections, records, strict=False):
        if name != before:
            start = f'<tr><th scope="rowgroup" colspan="{len(columns)}">{escape(name)}</th></tr>'
            body += ("</tbody><tbody>" if body else "") + start
            lines.append(name)
        body += _draw_row(record, columns=columns, language=language)
        cells = [_write_cell(record, column, language) or "–" for column in columns]
        lines.append(" | ".join([*cells, *([reason] if (reason := write_reason(record, language)) else [])]))
    said = caption.said(language)
    html = wrap_table(
        f"<table><caption><span>{escape(said)}</span></caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>",
        label=said,
    )
    below = f'<p class="tablenote">{escape(note.said(language))}</p>' if note else ""
    below += draw_download(_list_cells(records, columns, sections, language), name=said, language=language)
    return Shown(html + below, "\n".join([said, *lines, *([note.said(language)] if note else [])]))


def _list_cells(
    records: Sequence[dict[str, Any]], columns: Sequence[Column], sections: Sequence[str], language: Language
) -> list[list[str]]:
    """Return a table's cells as they are shown, for a file: both ends of an interval, and a section in every row of it."""
    lead = [""] if any(sections) else []
    head, rows = [*lead], []
    for column in columns:
        said = column.heading.said(language)
        ends = [say(f"page.table.{end}", name=said).said(language) for end in ("low", "high")]
        head += ends if column.kind == "interval" else [said]
    for section, record in zip(sections, records, strict=True):
        row = [section] if lead else []
        for column in columns:
            row.append(write_value(record[column.name], column.kind, language, column.places))
            if column.kind == "interval":
                row.append(write_value(record[column.high or "high"], "interval", language, column.places))
        rows.append([*row, *([reason] if (reason := write_reason(record, language)) else [])])
    return [head, *rows]


def write_value(value: Any, kind: ColumnKind, language: Language, places: int | None = None) -> str:
    """Return one value as its kind is written, "" where there is none.

    Examples
    --------
    >>> write_value(4.06, "signed_points", "id"), write_value(0.0004, "p", "en"), write_value(2674, "count", "id")
    ('+4,1', '< 0.001', '2.674')
    """
    if isinstance(value, Text):
        return value.said(language)
    if value is None or pd.isna(value):
        return ""
    if kind in ("text", "code"):
        return str(value)
    if kind == "p":
        return "< " + number(0.001, language, 3) if value < 0.001 else number(value, language, 3)
    digits = PLACES[kind] if places is None else places
    rounded = round(float(value), digits) + 0.0  # + 0.0: no minus before a zero
    if kind == "percent":
        return number(rounded, language, digits) + "%"
    return number(rounded, language, digits, sign=kind.startswith("signed") and rounded != 0)


def write_reason(record: dict[str, Any], language: Language) -> str:
    """Return why a row's numbers are not shown, "" where they are."""
    reason = record.get("withheld")
    if isinstance(reason, Text):
        return reason.said(language)
    return reason if isinstance(reason, str) else ""


def _write_cell(record: dict[str, Any], column: Column, language: Language) -> str:
    low = write_value(record[column.name], column.kind, language, column.places)
    if column.kind != "interval" or not low:
        return low
    high = write_value(record[column.high or "high"], "interval", language, column.places)
    return say("page.table.interval", low=low, high=high).said(language)


def _draw_row(record: dict[str, Any], *, columns: Sequence[Column], language: Language) -> str:
    """Return one row; neighbouring empty cells of a withheld row become one cell that says why."""
    cells = [_write_cell(record, column, language) for column in columns]
    reason = escape(write_reason(record, language))
    html = [f'<th scope="row"{_align(columns[0], 0)}>{escape(cells[0]) or "–"}</th>']
    place = 1
    while place < len(cells):
        end = place + 1
        if cells[place]:
            html.append(f"<td{_align(columns[place], place)}>{escape(cells[place])}</td>")
        elif reason:
            while end < len(cells) and not cells[end]:
                end += 1
            span = f' colspan="{end - place}"' if end - place > 1 else ""
            html.append(f'<td class="withheld"{span}>– <small>{reason}</small></td>')
            reason = ""
        else:
            hidden = escape(say("page.table.none").said(language))
            html.append(f'<td{_align(columns[place], place)}>–<span class="unseen"> {hidden}</span></td>')
        place = end
    return f"<tr>{''.join(html)}</tr>"


def _align(column: Column, place: int) -> str:
    if column.kind == "code":
        return ' class="code"'
    return "" if column.kind == "text" or place == 0 else ' class="num"'
