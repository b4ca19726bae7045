"""Wide answers → long: one row an answer, with what a blank means said by the mapping."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bgtk_lib.errors import SchemaError
from bgtk_lib.ingest.mapping import Answers
from bgtk_lib.words import say

STATES = ["answered", "omitted", "not_reached", "not_presented"]
Positions = MappingOf[tuple[str, int], str]


@dataclass(frozen=True)
class Melted:
    """Answers, long.

    Attributes
    ----------
    answers : DataFrame
        session_id, item_id, raw, state; categories, for there are millions.
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
    omitted, late = np.isin(raw, how.omitted), np.isin(raw, how.not_reached)
    given = registered & ~omitted & ~late
    state = np.select([late, omitted], ["not_reached", "omitted"], "answered")
    session = pd.Categorical(rows["session_id"]).take(np.nonzero(registered)[0])
    answers = pd.DataFrame(
        {
            "session_id": session,
            "item_id": pd.Categorical(items[registered]),
            "raw": pd.Categorical(raw[registered]).set_categories(sorted(set(raw[given]))),
            "state": pd.Categorical(state[registered], categories=STATES),
        }
    )
    some, one = given.any(axis=1), registered.any(axis=1)
    return Melted(answers=answers, empty=rows.index[np.asarray(one & ~some)], unregistered=rows.index[np.asarray(~one)])


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
    for name in parts[0].columns:
        joined[name] = pd.api.types.union_categoricals([part[name] for part in parts])
    return pd.DataFrame(joined)
