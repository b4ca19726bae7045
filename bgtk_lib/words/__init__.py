"""Indonesian and English: every sentence a reader sees, numbers and dates as each language writes them.

The sentences stand in the YAML files of this folder, one file a room; a test holds that each has both languages with
the same places to fill.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from importlib import resources
from typing import Any

import yaml

from bgtk_lib.errors import Language, Text

MONTHS = {
    "id": [
        "Januari",
        "Februari",
        "Maret",
        "April",
        "Mei",
        "Juni",
        "Juli",
        "Agustus",
        "September",
        "Oktober",
        "November",
        "Desember",
    ],
    "en": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
}
Tell = Callable[[Text], None]
SYNTHETIC_MARK = "DATA CONTOH BUATAN – BUKAN HASIL GURU LAMPUNG"
SYNTHETIC_MARKS = {"id": SYNTHETIC_MARK, "en": f"{SYNTHETIC_MARK} (MADE-UP EXAMPLE DATA)"}


@cache
def sentences() -> dict[str, dict[str, str]]:
    """Return every sentence: key → {language: template}. A key that stands in two files is an error."""
    found: dict[str, dict[str, str]] = {}
    for file in sorted(resources.files(__name__).iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".yaml"):
            continue
        for key, both in yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader).items():
            if key in found:
                raise KeyError(f"the sentence {key!r} stands twice; second time in {file.name}")
            found[key] = both
    return found


def say(key: str, **values: Any) -> Text:
    """Return one sentence in both languages.

    Parameters
    ----------
    key : str
        Its name in the YAML files, e.g. ``"parameter.unknown"``.
    **values
        What fills its places. Numbers and dates are written as the language writes them; a `Text` gives its own
        sentence of that language.

    Examples
    --------
    >>> say("number.example", value=1234.5).id
    '1.234,50'
    """
    both = sentences()[key]
    return Text(id=fill(both["id"], "id", **values), en=fill(both["en"], "en", **values))


def silent(text: Text) -> None:
    """Say nothing: for work whose progress nobody watches."""
    del text


def plain(text: str) -> Text:
    """Return a word that is the same in both languages (a code, a file's name)."""
    return Text(id=text, en=text)


def join(texts: list[Text], separator: str = ", ") -> Text:
    """Return several texts as one, in each language."""
    return Text(id=separator.join(t.id for t in texts), en=separator.join(t.en for t in texts))


def fill(template: str, language: Language, **values: Any) -> str:
    """Return one template filled in one language; see `say`."""
    return _Writer(language).vformat(template, (), values)


def number(value: float, language: Language, places: int = 2, *, sign: bool = False) -> str:
    """Return a number as the language writes it: 1.234,50 in Indonesian, 1,234.50 in English; a true minus sign."""
    return fill("{value:" + ("+" if sign else "") + f",.{places}f}}", language, value=value)


def day(value: date, language: Language) -> str:
    """Return a date in words: 21 November 2026."""
    return f"{value.day} {MONTHS[language][value.month - 1]} {value.year}"


class _Writer(string.Formatter):
    """`str.format` with the language's decimal comma, thousands point and month names."""

    def __init__(self, language: Language) -> None:
        self.language: Language = language

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, Text):
            return value.said(self.language)
        if isinstance(value, (date, datetime)) and not format_spec:
            return day(value, self.language)
        if hasattr(value, "item"):  # a NumPy scalar
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return str(super().format_field(value, format_spec))
        if not format_spec:
            format_spec = ","
        written = str(super().format_field(value, format_spec))
        if not any(digit in written for digit in "123456789"):
            written = written.lstrip("+-")  # what rounds to zero has no direction
        written = written.replace("-", "−")
        return written.translate(str.maketrans(",.", ".,")) if self.language == "id" else written
