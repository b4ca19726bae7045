"""What an adapter hands on: rows of one canonical table with their identifiers, and the rows it could not read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pandas as pd

ID_LENGTHS = {"nuptk": 16, "nip": 18, "nik": 16}


@dataclass(frozen=True, kw_only=True)
class Extract:
    """One source, read.

    Attributes
    ----------
    table : str
        The canonical table.
    frame : DataFrame
        Its rows, still without `pid`; `row` is the number of the row among all rows received.
    ids : DataFrame
        Identifiers beside `frame`, one column a kind, null where absent or damaged; empty where rows are no persons.
    answers, totals : DataFrame or None
        Further tables that the same rows give.
    aside : DataFrame
        row, reason of every row that is not in `frame`.
    received : int
        Rows received: those of `frame` and of `aside`.
    files : list of dict
        file, sha256, rows of each file.
    facts : dict
        Counts that checks need of what is not kept: shapes of identifiers, districts nobody knows, trial accounts.
    """

    table: str
    frame: pd.DataFrame
    ids: pd.DataFrame
    aside: pd.DataFrame
    received: int
    files: list[dict[str, object]]
    answers: pd.DataFrame | None = None
    totals: pd.DataFrame | None = None
    facts: dict[str, object] = field(default_factory=dict)


def shape_of_ids(written: pd.Series[str], kind: str) -> pd.Series[str]:
    """Return the shape of each identifier as a word: ok, none, exponent, decimal, length, letters, repeated.

    Parameters
    ----------
    written : Series of str
        Identifiers as the source wrote them, null where absent.
    kind : {"nuptk", "nip", "nik", "local"}
        What they should be; ``local`` takes any text.
    """
    shape = pd.Series("ok", index=written.index, dtype="str")
    if kind == "local":
        return shape.mask(written.isna(), "none")
    digits = written.str.fullmatch(r"[0-9]+").fillna(False).astype(bool)
    shape = shape.mask(~digits, "letters")
    shape = shape.mask(digits & (written.str.len() != ID_LENGTHS[kind]), "length")
    shape = shape.mask(digits & written.str.fullmatch(r"([0-9])\1+").fillna(False).astype(bool), "repeated")
    shape = shape.mask(written.str.fullmatch(r"[0-9]+[.,]0+").fillna(False).astype(bool), "decimal")
    shape = shape.mask(
        written.str.fullmatch(r"[0-9]+(?:[.,][0-9]+)?[eE]\+?[0-9]+").fillna(False).astype(bool), "exponent"
    )
    return shape.mask(written.isna(), "none")


def count_values(values: pd.Series[str], most: int = 20) -> dict[str, int]:
    """Return value → how often, most frequent first; what holds digits is masked, for it could be anybody's number."""
    masked = ("".join("#" if letter.isdigit() else letter for letter in str(value))[:40] for value in values.dropna())
    return dict(Counter(masked).most_common(most))


def set_aside(rows: pd.Series[int] | pd.Index[int], reason: str) -> pd.DataFrame:
    """Return rows with the one reason why they are not used."""
    return pd.DataFrame(
        {"row": pd.array(list(rows), dtype="int64"), "reason": pd.array([reason] * len(rows), dtype="str")}
    )
