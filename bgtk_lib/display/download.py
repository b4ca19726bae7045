"""A shown table as a CSV file inside the page: what stands in the table, no digit more, for a spreadsheet to open."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from bgtk_lib.errors import Language
from bgtk_lib.words import say

SEPARATOR = {"id": ";", "en": ","}  # a spreadsheet set to Indonesian takes the comma for the decimal sign
STARTS_FORMULA = re.compile(r"^[=@\t\r]|^[+-](?![\d.,])")
MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"  # by which spreadsheets know UTF-8
KEPT = (
    " ;,.()/"  # signs that need no escape in the address; what stays readable is also seen by who looks for names in it
)


def draw_download(rows: Sequence[Sequence[str]], *, name: str, language: Language) -> str:
    """Return the link that saves a table, as HTML.

    Parameters
    ----------
    rows : sequence of sequence of str
        As they are shown, the headings first.
    name : str
        The table's caption: names the link and the file.
    language : {"id", "en"}
        Of the page: decides what separates the cells.

    Notes
    -----
    The file lies in the link itself, as text; it begins with a byte order mark, by which spreadsheets know UTF-8. A typographic
    minus becomes the sign that they read as one, and no cell can be taken for a formula.

    Examples
    --------
    >>> draw_download([["Guru", "Perubahan"], ["70", "−1,5"]], name="Perubahan", language="id").split('"')[5]
    'data:text/csv;charset=utf-8,%EF%BB%BFGuru;Perubahan%0D%0A70;-1,5%0D%0A'
    """
    file = io.StringIO()
    csv.writer(file, delimiter=SEPARATOR[language]).writerows([[_write_plain(cell) for cell in row] for row in rows])
    address = escape(f"data:text/csv;charset=utf-8,{quote(MARK + file.getvalue(), safe=KEPT)}")
    label = escape(say("page.table.download", table=name).said(language))
    stem = re.sub(r"\W+", "-", name.casefold()).strip("-")[:60] or "tabel"
    return f'<p class="csv"><a download="{escape(stem)}.csv" href="{address}" aria-label="{label}">CSV</a></p>'


def _write_plain(cell: str) -> str:
    text = cell.replace("−", "-")
    return f"'{text}" if STARTS_FORMULA.match(text) else text
