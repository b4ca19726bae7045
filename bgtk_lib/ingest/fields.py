"""One field of an export → typed values: text, numbers, times, codes. What cannot be read is null here and counted."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.errors import SchemaError
from bgtk_lib.ingest.mapping import FieldMap, Format
from bgtk_lib.words import say

DEFAULT_FORMATS = {"time": "%Y-%m-%d %H:%M:%S", "date": "%Y-%m-%d"}
YES_NO = {"1": True, "0": False, "true": True, "false": False, "ya": True, "tidak": False}
MOST_EXACT = 2**53  # above, a float no longer tells whole numbers apart


def read_field(cells: pd.DataFrame, entry: FieldMap, missing: list[str]) -> pd.Series[str]:
    """Return what the source wrote in a field, null where it marks a missing value; or the mapping's own value."""
    if entry.numbered is not None:
        numbers = pd.Series(cells.index + 1, index=cells.index).astype("str")
        return entry.numbered.split("{row}")[0] + numbers + entry.numbered.split("{row}")[1]
    if entry.column is None:
        return pd.Series(entry.value, index=cells.index, dtype="str")
    return cells[entry.column].mask(cells[entry.column].isin(missing))


def type_values(written: pd.Series[str], kind: str, *, entry: FieldMap, form: Format) -> pd.Series[Any]:
    """Return values typed as the codebook says; null where they cannot be read, for the caller to set aside.

    Parameters
    ----------
    written : Series of str
        As the source wrote them.
    kind : {"text", "integer", "number", "boolean", "time", "date"}
        What the codebook asks for.
    entry : FieldMap
        Which values mean what, and how times are written.
    form : Format
        Which sign separates decimals.
    """
    if entry.values:  # noqa: PD011 - the mapping's field, no frame
        return written.map(entry.values).astype("str")
    if kind in ("time", "date"):
        read = pd.to_datetime(written, format=entry.as_ or DEFAULT_FORMATS[kind], errors="coerce")
        return read.dt.tz_localize("Asia/Jakarta") if kind == "time" and read.dt.tz is None else read
    if kind in ("integer", "number"):
        numbers = _read_numbers(written, entry=entry, form=form)
        whole = (numbers % 1 == 0) & (numbers.abs() <= MOST_EXACT)
        return numbers.where(whole).astype("Int64") if kind == "integer" else numbers
    return written.str.casefold().map(YES_NO).astype("boolean") if kind == "boolean" else written


def _read_numbers(written: pd.Series[str], *, entry: FieldMap, form: Format) -> pd.Series[float]:
    """Return numbers; "1.234" with a decimal point declared is refused, for it may be a thousand or one and a bit."""
    alike = written.str.fullmatch(rf"-?\d{{1,3}}{re.escape(form.decimal)}\d{{3}}").fillna(False).astype(bool)
    if alike.any() and (alike | written.isna() | written.str.fullmatch(r"-?\d{1,3}").fillna(False)).all():
        raise SchemaError(say("read.thousands", column=str(entry.column)))
    thousands = "." if form.decimal == "," else ","
    plain = written.str.replace(thousands, "", regex=False).str.replace(form.decimal, ".", regex=False)
    numbers = pd.to_numeric(plain, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def find_trial_accounts(names: pd.Series[str], words: list[str]) -> pd.Series[bool]:
    """Return which names hold one of the words that trial accounts are given."""
    pattern = "|".join(re.escape(word) for word in words)
    return names.str.contains(rf"\b(?:{pattern})\b", case=False, regex=True).fillna(False).astype(bool)
