"""The codebook as data: canonical tables, their keys, columns, units and codes; districts, assessments, programmes.

Everything stands in `reference/` as YAML and CSV that the office can edit; this module only reads and enforces it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Literal

import pandas as pd
import yaml

from bgtk_lib.errors import SchemaError, Text
from bgtk_lib.words import say

Kind = Literal["text", "integer", "number", "boolean", "time", "date"]
DTYPES = {"text": "str", "integer": "Int64", "number": "float64", "boolean": "boolean", "date": "datetime64[s]"}
DTYPES["time"] = "datetime64[s, Asia/Jakarta]"
CODE_SYSTEMS = ("kemendagri", "bps", "dapodik")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a canonical table: its kind, whether every row needs a value, and what values it may hold."""

    name: str
    kind: Kind
    about: Text
    required: bool = False
    allowed: tuple[str, ...] = ()
    pattern: str | None = None
    codes: str | None = None
    low: float | None = None
    high: float | None = None
    unit: str | None = None

    @property
    def values(self) -> tuple[str, ...]:
        """All values it may hold, where they can be listed."""
        return self.allowed or (tuple(code_list(self.codes)) if self.codes else ())


@dataclass(frozen=True, kw_only=True)
class Table:
    """One canonical table: its key and its columns, in order."""

    name: str
    about: Text
    key: tuple[str, ...]
    columns: Mapping[str, Column]


@cache
def read_reference(name: str) -> Any:
    """Return one YAML file of `reference/` as Python objects."""
    text = (resources.files("bgtk_lib.reference") / name).read_text(encoding="utf-8")
    return yaml.load(text, Loader=yaml.CSafeLoader)


@cache
def tables() -> dict[str, Table]:
    """Return the canonical tables by name."""
    found = {}
    for name, entry in read_reference("codebook.yaml").items():
        columns = {}
        for column, facts in entry["columns"].items():
            told = {"about": Text(**facts["about"]), "allowed": tuple(facts.get("allowed", ()))}
            columns[column] = Column(**{"name": column, **facts, **told})
        found[name] = Table(name=name, about=Text(**entry["about"]), key=tuple(entry["key"]), columns=columns)
    return found


@cache
def districts() -> pd.DataFrame:
    """Return the 15 kabupaten/kota: index Kemendagri code; name, kind, label, BPS and Dapodik codes, aliases."""
    with (resources.files("bgtk_lib.reference") / "districts.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False).set_index("kemendagri")
    frame["label"] = frame["kind"].map({"kabupaten": "Kab. ", "kota": "Kota "}) + frame["name"]
    return frame


@cache
def elsewhere() -> dict[str, str]:
    """Return folded name → Kemendagri code of districts of the neighbouring province: another institution's teachers."""
    with (resources.files("bgtk_lib.reference") / "other_districts.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file, dtype=str)
    return {fold_name(name): code for code, name in zip(frame["kemendagri"], frame["name"], strict=True)}


@cache
def published_totals() -> pd.DataFrame:
    """Return the published control totals: phase, wave, district, subject, n, source, tolerance."""
    with (resources.files("bgtk_lib.reference") / "control_totals.csv").open(encoding="utf-8") as file:
        return read_totals(file)


def read_totals(file: Any) -> pd.DataFrame:
    """Return a register of control totals (CSV) with counts and tolerances typed."""
    frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    return frame.assign(n=frame["n"].astype(int), tolerance=frame["tolerance"].astype(float))


@cache
def code_list(name: str) -> dict[str, Text]:
    """Return code → name of one register: ``districts``, ``assessments``, ``programmes`` or ``indicators``."""
    if name == "districts":
        return {str(code): Text(id=label, en=label) for code, label in districts()["label"].items()}
    framework = name == "indicators"
    entries = read_reference("framework.yaml")["indicators"] if framework else read_reference(f"{name}.yaml")
    return {code: Text(id=str(entry["id"]), en=str(entry["en"])) for code, entry in entries.items()}


def fold_name(name: str) -> str:
    """Return a district's name without case, punctuation, blanks and the words Kabupaten, Kab., Kota.

    Examples
    --------
    >>> fold_name("KAB.  Tulang-Bawang Barat "), fold_name("Kota Metro")
    ('tulangbawangbarat', 'metro')
    """
    words = re.sub(r"[^a-z ]+", " ", name.casefold()).split()
    if words and words[0] in ("kabupaten", "kab", "kota"):
        words = words[1:]
    return "".join(words)


@cache
def district_names() -> dict[str, str]:
    """Return folded name or alias → Kemendagri code. Exact after folding: no nearest match, ever."""
    found: dict[str, str] = {}
    for code, entry in districts().iterrows():
        for name in [entry["name"], *filter(None, entry["aliases"].split("|"))]:
            found[fold_name(name)] = str(code)
    return found


def resolve_districts(written: pd.Series[str], *, system: str) -> pd.Series[str]:
    """Return the Kemendagri code of each district as a source wrote it; null where it cannot be told.

    Parameters
    ----------
    written : Series of str
        Names or codes, null where absent.
    system : {"name", "kemendagri", "bps", "dapodik"}
        What they are. Four digits without a dot mean different districts for BPS and Kemendagri, so the mapping must
        say which; ``name`` never accepts digits.
    """
    distinct = written.dropna().unique()
    if system == "name":
        lookup = {value: district_names().get(fold_name(value)) for value in distinct if not re.search(r"\d", value)}
    else:
        frame = districts()
        codes = frame.index if system == "kemendagri" else frame[system]
        known = {str(code).replace(".", ""): key for code, key in zip(codes, frame.index, strict=True)}
        lookup = {value: known.get(value.strip().replace(".", "")) for value in distinct}
    return written.map(lookup).astype("str")


def conform(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """Return a frame in the canonical form of a table: its columns in order, typed; absent ones added as null.

    Raises
    ------
    SchemaError
        If a column is not in the codebook or holds values that are not of its kind.
    """
    spec = tables()[table]
    unknown = [column for column in frame.columns if column not in spec.columns]
    if unknown:
        raise SchemaError(say("schema.unknown_columns", table=table, columns=", ".join(unknown)))
    typed = {}
    for name, column in spec.columns.items():
        values = frame[name] if name in frame else pd.Series([None] * len(frame), index=frame.index, dtype=object)
        try:
            typed[name] = values.astype(DTYPES[column.kind])  # type: ignore[call-overload]
        except (ValueError, TypeError) as error:
            raise SchemaError(say("schema.wrong_kind", table=table, column=name, kind=column.kind)) from error
    return pd.DataFrame(typed, index=frame.index)


def refused_fields(table: str) -> dict[str, str]:
    """Return folded field name → why it is refused, for a table."""
    found = {}
    for entry in read_reference("refused.yaml"):
        if entry.get("only") in (None, table):
            for field in [entry["field"], *entry["also"]]:
                found[field.casefold()] = entry["why"]
    return found


def read_day(written: str | date) -> date:
    """Return an ISO date."""
    return written if isinstance(written, date) else date.fromisoformat(written)
