"""Which columns of which tables a report can be made from elsewhere, and the tables as they leave: nobody stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from bgtk_lib.exports.anonymity import FEWEST_ALIKE, FEWEST_PERSONS, draw_ids, find_rare, keep_facts
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

Unit = Literal["pid", "session_id"]
SCHOOL = "npsn"


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What of one table leaves. Columns that are not named stay behind: they are there, and empty.

    Attributes
    ----------
    unit : {"pid", "session_id"} or None
        Whom a row is about; None: nobody, as in a table of items. Tables of one unit share its fresh ids; a sitting's id
        leads to no person.
    shape : tuple of str
        Facts that the report counts by and that can therefore not be left out; who shares them with too few is.
    facts : tuple of str
        Told where, with all else that is told, enough persons share them; a district before any other.
    plain : tuple of str
        Told as they are: what the test measured, what is the same for everybody, and for tables about nobody the rest.
        None named and no unit: all columns.
    few : tuple of str
        Counts: a row in which one of them is 1 … 9 stays behind.
    """

    unit: Unit | None = None
    shape: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    few: tuple[str, ...] = ()


PAIR = ("assessment", "wave_pre", "wave_post")
PERSON = ("district", "jenjang", "sex", "status", "device")
LINK = ("unit", "linking_error", "slope_error", "n_anchors", "n_link")
MEASURED = tuple(
    f"{name}_{side}" for name in ("score", "points", "own", "own_se", "effort") for side in ("pre", "post")
)
DRAWS = Carried(unit="pid", plain=(*PAIR, "draw", "score_pre", "score_post"))
ACCOUNT = Carried(few=("received", "accepted", "set_aside"))
PLACE = ("district", "jenjang")
CARRIED: dict[str, dict[str, Carried]] = {
    "change": {
        "pairs": Carried(
            unit="pid",
            shape=("form_pre", "form_post"),
            facts=(*PERSON, "days"),
            plain=(*PAIR, SCHOOL, *MEASURED, "points_max", "points_max_post", *LINK),
        ),
        "unpaired": Carried(unit="pid", shape=("reason",), facts=PERSON, plain=(*PAIR, SCHOOL, "score")),
        "plausible": DRAWS,
        "imputed": DRAWS,
        "session": Carried(unit="session_id", shape=("reason", "usable"), plain=("assessment", "wave")),
        "unscorable": Carried(unit="session_id", shape=("reason",), plain=("assessment", "wave")),
        "form_reliability": Carried(),
        "form_items": Carried(),
        "conditioned": Carried(),
        "links": Carried(),
        "change_districts": Carried(),
        "change_model": Carried(),
        "account": ACCOUNT,
    },
    "coverage_map": {
        "session": Carried(unit="pid", shape=("assessment", "reason", "usable"), facts=PLACE, plain=("wave",)),
        "roster": Carried(unit="pid", shape=("assessment",), facts=PLACE, plain=("wave",)),
        "account": ACCOUNT,
    },
    "data_quality": {
        "session": Carried(
            unit="session_id", shape=("wave", "reason", "usable"), facts=("district", "id_shape", "end")
        ),
        "answer": Carried(),
        "rules": Carried(few=("fails", "missing")),
        "set_aside": Carried(plain=("table", "reason")),
        "sources": Carried(),
        "account": ACCOUNT,
    },
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Leaving:
    """Tables as they leave.

    Attributes
    ----------
    tables : mapping
        Name → rows, sorted by fresh id.
    facts : tuple of str
        ``table.column`` of the facts that are told.
    dropped : mapping
        ``table.column`` → why it is not: ``rare`` (with it, fewer than k persons share some combination).
    smallest : int
        Persons in the rarest combination of all that is told of them.
    persons : int
        Whom the tables speak of.
    rare : int
        Persons or sittings left out because too few share what cannot be left out.
    """

    tables: Mapping[str, pd.DataFrame]
    facts: tuple[str, ...]
    dropped: Mapping[str, str]
    smallest: int
    persons: int
    rare: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Told:
    """What is told of one unit: its fresh ids, whom it leaves out, and as in `Leaving`."""

    ids: pd.Series[str]
    facts: tuple[str, ...]
    dropped: Mapping[str, str]
    smallest: int
    persons: int
    out: frozenset[str]


def let_leave(
    tables: Mapping[str, pd.DataFrame], carried: Mapping[str, Carried], *, chosen_by: Sequence[str] = ()
) -> Leaving | Withheld:
    """Return a report's tables as they may leave.

    Parameters
    ----------
    tables : mapping
        Name → the rows that the report reads.
    carried : mapping
        Name → what of it leaves.
    chosen_by : sequence of str
        Columns by which the report selects: they cannot be left out.

    Returns
    -------
    Leaving or Withheld
        Withheld where fewer than 30 persons are left.

    Notes
    -----
    In which tables a person stands is a fact like any other, so combinations are counted over all tables of a unit: of
    who left, a district may be unknown while it is told of who stayed. Schools get fresh ids, for they are what was
    observed independently; a school has the same id in two tables only where both tell the same, or one table would
    tell what the other leaves out. Persons get ids in the order of their pseudonyms, which are keyed hashes: the order
    tells nothing, and reports that keep it find every number again to the last digit.
    """
    coarse = {name: _coarsen(frame) for name, frame in tables.items()}
    found: dict[Unit, _Told] = {}
    for unit in dict.fromkeys(one.unit for one in carried.values() if one.unit):
        mine = {name: frame for name, frame in coarse.items() if carried[name].unit == unit}
        told = _tell(mine, carried, unit, chosen_by)
        if isinstance(told, Withheld):
            return told
        found[unit] = told
        if unit == "pid":  # who is left out sat nowhere, or the report's counts would not add up
            out = {name: frame["pid"].isin(told.out) for name, frame in coarse.items() if "pid" in frame}
            coarse |= {name: coarse[name][~gone] for name, gone in out.items()}
    facts = tuple(fact for told in found.values() for fact in told.facts)
    schools = _name_schools(coarse, carried, facts)
    leaving = {}
    for name, frame in coarse.items():
        here, renamed = carried[name], frame
        if here.unit and here.unit in frame:
            renamed = _rename(frame, here.unit, found[here.unit].ids, schools.get(name, {}))
        leaving[name] = _empty(_leave_out_few(renamed, here.few), here, _list_told(facts, name), chosen_by)
    return Leaving(
        tables=_keep_told(leaving, facts),
        facts=facts,
        dropped={fact: why for told in found.values() for fact, why in told.dropped.items()},
        smallest=min(told.smallest for told in found.values()),
        persons=max(told.persons for told in found.values()),
        rare=sum(len(told.out) for told in found.values()),
    )


def lay_patterns(tables: Mapping[str, pd.DataFrame], carried: Mapping[str, Carried], unit: Unit) -> pd.DataFrame:
    """Return one row a unit: for every column told of it, ``table.column``, its values there, null where it is not in it."""
    patterns = {
        f"{name}.{column}": frame[column].astype("str").fillna("").groupby(frame[unit]).agg(_join)
        for name, frame in tables.items()
        for column in (*carried[name].shape, *carried[name].facts)
        if column in frame
    }
    return pd.DataFrame(patterns)


def _join(values: pd.Series[str]) -> str:
    return "|".join(sorted(values))


def _rename(frame: pd.DataFrame, unit: Unit, ids: pd.Series[str], schools: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows of those who have a fresh id, under it and sorted by it; schools under theirs."""
    kept = frame[frame[unit].isin(ids.index)]
    kept = kept.assign(**{unit: kept[unit].map(ids).astype("str")})
    if schools:
        kept = kept.assign(**{SCHOOL: kept[SCHOOL].map(schools).astype("str")})
    return kept.sort_values(unit, kind="stable")


def _empty(frame: pd.DataFrame, carried: Carried, told: set[str], chosen_by: Sequence[str]) -> pd.DataFrame:
    """Return a table whose columns that stay behind are empty; those it would be selected by again are not there."""
    named = {carried.unit, *carried.shape, *carried.plain, *told}
    everything = not carried.unit and not carried.plain
    gone = [column for column in frame.columns if column not in named and not everything]
    nobody = np.zeros(len(frame), dtype=bool)
    empty = frame.assign(**{column: frame[column].where(nobody) for column in gone})
    return empty.drop(columns=[column for column in gone if column in chosen_by]).reset_index(drop=True)


def _list_told(facts: Sequence[str], table: str) -> set[str]:
    """Return the columns of a table among facts."""
    return {fact.partition(".")[2] for fact in facts if fact.startswith(f"{table}.")}


def _coarsen(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows whose times are told to the hour at most."""
    return frame.assign(end=frame["end"].dt.floor("h")) if "end" in frame else frame


def _tell(
    tables: Mapping[str, pd.DataFrame], carried: Mapping[str, Carried], unit: Unit, chosen_by: Sequence[str]
) -> _Told | Withheld:
    """Return what is told of the persons or sittings of some tables; combinations are counted by persons."""
    units = lay_patterns(tables, carried, unit)
    owner = units.index.to_series()
    if unit == "session_id":
        sat = tables["session"].set_index(unit)["pid"]
        units = units[units.index.isin(sat.index)]
        owner = sat.reindex(units.index)
    chosen = [f"{name}.{column}" for name in tables for column in chosen_by if f"{name}.{column}" in units]
    shapes = [f"{name}.{column}" for name in tables for column in carried[name].shape if f"{name}.{column}" in units]
    fixed = [*shapes, *chosen]
    shape = units[fixed].fillna("–").agg("/".join, axis=1).set_axis(owner.to_numpy())
    rare = find_rare(shape).to_numpy()
    persons = units[~rare].set_axis(owner[~rare].to_numpy())
    if persons.index.nunique() < FEWEST_PERSONS:
        return Withheld(say("exports.few_persons", needed=FEWEST_PERSONS), kind="small")

    asked = [str(column) for column in units if column not in fixed]
    alike = [column for column in asked if persons[column].dropna().nunique() < 2]  # everybody's in that table
    places = [column for column in asked if column.endswith(".district") and column not in alike]
    others = [column for column in asked if column not in (*alike, *places)]
    first = keep_facts(persons, places, always=fixed)
    kept = keep_facts(persons, others, always=[*fixed, *first.names])
    fresh = draw_ids(len(persons))
    ids = pd.Series(sorted(fresh) if unit == "pid" else fresh, index=units.index[~rare].sort_values())
    return _Told(
        ids=ids,
        facts=(*chosen, *alike, *first.names, *kept.names),
        dropped={**first.dropped, **kept.dropped},
        smallest=kept.smallest,
        persons=persons.index.nunique(),
        out=frozenset(units.index[rare]),
    )


def _name_schools(
    tables: Mapping[str, pd.DataFrame], carried: Mapping[str, Carried], facts: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return table → school → fresh id."""
    named: dict[frozenset[str], dict[str, str]] = {}
    found = {}
    for name, frame in tables.items():
        if SCHOOL in carried[name].plain:
            known = named.setdefault(frozenset(_list_told(facts, name) & {*PERSON}), {})
            new = [school for school in frame[SCHOOL].dropna().unique() if school not in known]
            known |= dict(zip(new, draw_ids(len(new)), strict=True))
            found[name] = known
    return found


def _leave_out_few(frame: pd.DataFrame, counts: Sequence[str]) -> pd.DataFrame:
    """Return the rows of which no count is small."""
    if frame.empty or not counts:
        return frame
    table = frame[[*counts]]
    return frame[~((table > 0) & (table < FEWEST_ALIKE)).any(axis=1)]


def _keep_told(tables: Mapping[str, pd.DataFrame], facts: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return tables of districts and of groupings without those that are not told of persons.

    Of districts none is told where one has few pairs: their sum, which stands elsewhere, would tell how few.
    """
    kept, groupings = dict(tables), {fact.partition(".")[2] for fact in facts}
    if len(districts := kept.get("change_districts", pd.DataFrame())):
        known = set(kept["pairs"]["district"].dropna() if districts["n_pairs"].min() >= FEWEST_ALIKE else ())
        kept["change_districts"] = districts[districts["district"].isin(known)].reset_index(drop=True)
    if len(levels := kept.get("conditioned", pd.DataFrame())):
        kept["conditioned"] = levels[levels["grouping"].isin(groupings)].reset_index(drop=True)
    return kept
