"""Wide answers → long: one row an answer, with what a blank means said by the mapping."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bgtk_lib.errors import SchemaError
from bgtk_lib.ingest.mapping import Answers
from bgtk_lib.words import say

STATES = ["answered", "omitted", "not_reached", "not_presented"]
Floats = NDArray[np.float64]
Positions = MappingOf[tuple[str, int], str]


@dataclass(frozen=True)
class Melted:
    """Answers, long.

    Attributes
    ----------
    answers : DataFrame
        session_id, item_id, raw, state; categories, for there are millions; milliseconds where the mapping names times.
    empty : Index
        Rows without a single answer.
    unregistered : Index
        Rows whose form has no registered item among the columns.
    """

    answers: pd.DataFrame
    empty: pd.Index
    unregistered: pd.Index


def melt_answers(cells: pd.DataFrame, rows: pd.DataFrame, *, how: Answers, positions: Positions) -> Melted | None:
    """Return the answers of one file, or None where no column fits the pattern.

    Parameters
    ----------
    cells : DataFrame
        The cells as written.
    rows : DataFrame
        session_id and form_id beside them.
    how : Answers
        Which columns are answers and what marks a missing one.
    positions : mapping
        (form_id, position) → item_id, for columns that are numbered.
    """
    found = {column: match for column in cells.columns if (match := re.fullmatch(how.pattern, column))}
    if not found:
        return None
    raw = cells[list(found)].to_numpy(dtype=object)
    forms = rows["form_id"].astype(str)
    items = np.full(raw.shape, None, dtype=object)
    for form in forms.unique():
        names = [_name_item(match, form, how.prefix, positions) for match in found.values()]
        twice = sorted({name for name in names if name is not None and names.count(name) > 1})
        if twice:
            raise SchemaError(say("mapping.same_item", file=form, items=", ".join(twice[:3])))
        items[(forms == form).to_numpy()] = names
    registered = np.asarray(~pd.isna(items))
    unseen, omitted, late = (np.isin(raw, marks) for marks in (how.not_presented, how.omitted, how.not_reached))
    given = registered & ~omitted & ~late & ~unseen
    state = np.select([unseen, late, omitted], ["not_presented", "not_reached", "omitted"], "answered")
    session = pd.Categorical(rows["session_id"]).take(np.nonzero(registered)[0])
    answers = pd.DataFrame(
        {
            "session_id": session,
            "item_id": pd.Categorical(items[registered]),
            "raw": pd.Categorical(raw[registered]).set_categories(sorted(set(raw[given]))),
            "state": pd.Categorical(state[registered], categories=STATES),
        }
    )
    if how.times:
        answers["milliseconds"] = _read_times(cells, list(found.values()), how=how)[registered]
    some, one = given.any(axis=1), registered.any(axis=1)
    return Melted(answers=answers, empty=rows.index[np.asarray(one & ~some)], unregistered=rows.index[np.asarray(~one)])


def _read_times(cells: pd.DataFrame, found: list[re.Match[str]], *, how: Answers) -> Floats:
    """Return rows × answer columns: the response time of each answer in milliseconds, null where none can be read."""
    at = {next(filter(None, match.groupdict().values())): place for place, match in enumerate(found)}
    times = np.full((len(cells), len(found)), np.nan)
    for column in cells.columns:
        match = re.fullmatch(how.times or "", column)
        name = next(filter(None, match.groupdict().values()), None) if match else None
        if name in at:
            read = pd.to_numeric(cells[column].str.replace(",", ".", regex=False), errors="coerce").to_numpy(
                dtype=float
            )
            times[:, at[name]] = np.where(read >= 0, read, np.nan) * (1000 if how.times_in == "seconds" else 1)
    return times


def _name_item(match: re.Match[str], form: str, prefix: str, positions: Positions) -> str | None:
    groups = match.groupdict()
    if groups.get("item"):
        return prefix + groups["item"]
    position = groups.get("position") or ""
    if not position.isdecimal():
        raise SchemaError(say("mapping.position", pattern=match.re.pattern, column=match.string))
    return positions.get((form, int(position)))


def hash_answers(answers: pd.DataFrame, sessions: pd.Series[str]) -> pd.Series[int]:
    """Return one number a session that two sessions share if, and all but surely only if, their answers are the same."""
    written = answers["raw"].astype(object).where(answers["state"] == "answered", answers["state"].astype(object))
    said = pd.DataFrame({"item": answers["item_id"].astype(str), "raw": written.astype(str)})
    hashes = pd.util.hash_pandas_object(said, index=False)
    return hashes.groupby(answers["session_id"].astype(object)).sum().reindex(sessions)


def join_answers(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Return answers one below the other, the categories united (a plain concat would fall back to objects)."""
    joined = {}
    for name in ("session_id", "item_id", "raw", "state"):
        joined[name] = pd.api.types.union_categoricals([part[name] for part in parts])
    frame = pd.DataFrame(joined)
    if any("milliseconds" in part for part in parts):
        nothing = pd.Series(dtype="float64")
        times = [part.get("milliseconds", nothing.reindex(range(len(part)))) for part in parts]
        frame["milliseconds"] = np.concatenate([one.to_numpy(dtype=float) for one in times])
    return frame
