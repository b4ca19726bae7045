"""Participants and those they are compared with, from the roster of a programme; everybody else with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from bgtk_lib.findings import Flow, FlowStep
from bgtk_lib.programme.design import Declared

MEMBER_COLUMNS = ["pid", "treated", "took", "hours", "sessions", "lot"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Groups:
    """Who is compared with whom.

    Attributes
    ----------
    members : DataFrame
        `MEMBER_COLUMNS`, one row a person: `treated` (of the participants; in a lottery: drawn), `took` (took part between
        the measurements), hours and sessions of those who did (null where not known), `lot` (stratum of the lottery).
    aside : DataFrame
        pid, reason: everybody else of the pairs.
    flow : Flow
        Pairs → members.
    n_roster, n_unpaired : int
        Persons who took part between the measurements, and those of them without both scores.
    n_same_school : int
        Comparison persons who share a school with a participant, before any was set aside for it.
    n_elsewhere_participants, n_elsewhere_comparison : int
        Members who took part in another programme between the measurements; they stay: that is what happens without this one.
    n_other_unit : int
        Pairs on the roster who are not of the declared unit.
    roster_says : frozenset of str
        How people came in, by the roster itself.
    days_after : float or None
        Median days from the programme's end to the second measurement.
    """

    members: pd.DataFrame
    aside: pd.DataFrame
    flow: Flow
    n_roster: int
    n_unpaired: int
    n_same_school: int
    n_elsewhere_participants: int
    n_elsewhere_comparison: int
    n_other_unit: int
    roster_says: frozenset[str]
    days_after: float | None


def form_groups(
    pairs: pd.DataFrame,
    training: pd.DataFrame,
    applicants: pd.DataFrame | None = None,
    *,
    declared: Declared,
    between: tuple[date, date],
) -> Groups:
    """Return participants of a programme and their comparison group among those who sat both measurements.

    Parameters
    ----------
    pairs : DataFrame
        pid, npsn, district (each may be null); where there are any ptk_kind (guru, kepala_sekolah) and subject.
    training : DataFrame
        pid, programme, start, and where there are any end, hours, sessions, role, assignment; a row a participation. No
        role: a participant.
    applicants : DataFrame, optional
        For a lottery: pid, programme, drawn (null: no part in it), and where there are any call, applied (day), stratum and
        attended, which counts for those whom the roster does not name. Who was drawn for several times counts by the first.
    declared : Declared
        Which programme, which role, whom to compare with.
    between : pair of dates
        Last day of the first measurement, first day of the second.

    Returns
    -------
    Groups
        Everybody of the pairs is a member or aside, with the first of these reasons that holds: ``other_unit``,
        ``started_before``; of a lottery ``not_applicant``, ``no_draw``; else ``other_role`` (tutor or facilitator, or both
        roles), ``no_start`` (on the roster without a date), ``no_comparison``, ``never_joined`` (not_yet), ``same_subject``,
        ``no_subject``, ``same_school``, ``district_alone`` (a district with only one of the groups, where
        there are both).

    Notes
    -----
    Taking part means a first day from the first measurement on and before the second. In a lottery nobody is set aside for
    what they did after the draw, nor for their school or district: that would undo it; who is on the roster without a date
    took part there.

    Examples
    --------
    >>> pairs = pd.DataFrame({"pid": ["a", "b", "c"], "npsn": ["1", "2", "1"], "district": "18.01"})
    >>> training = pd.DataFrame({"pid": ["a"], "programme": ["PM"], "start": [date(2026, 1, 5)]})
    >>> declared = Declared(
    ...     programme="PM", assignment="waitlist", comparison="matched", spillover="same_school_excluded"
    ... )
    >>> groups = form_groups(pairs, training, declared=declared, between=(date(2025, 10, 18), date(2026, 4, 18)))
    >>> groups.members[["pid", "treated"]].values.tolist(), groups.aside.values.tolist()
    ([['a', True], ['b', False]], [['c', 'same_school']])
    """
    first, second = (pd.Timestamp(day) for day in between)
    dated = _date_rows(training)
    roster = dated[dated["programme"] == declared.programme]
    mine, inside = roster["role"] == declared.role, (roster["start"] >= first) & (roster["start"] < second)
    joined = roster[mine & inside]
    people = pairs.reset_index(drop=True)
    pid = people["pid"]
    took, on_roster = pid.isin(joined["pid"]), pid.isin(roster["pid"])
    undated = pid.isin(roster.loc[mine & roster["start"].isna(), "pid"]) & ~took

    reason = pd.Series(None, index=people.index, dtype=object)
    stray = _find_other_unit(people, declared)
    _mark(reason, on_roster & stray if declared.comparison == "none" else stray, "other_unit")
    _mark(reason, pid.isin(roster.loc[mine & (roster["start"] < first), "pid"]), "started_before")

    treated, lot = took, pd.Series(None, index=people.index, dtype=object)
    if declared.comparison == "lottery":
        lots = _read_lots(people, applicants, declared, reason)
        treated, lot = lots["drawn"], lots["lot"]
        took = took | undated | (lots["attended"] & ~on_roster)
    else:
        _mark(reason, pid.isin(roster.loc[~mine, "pid"]), "other_role")
        _mark(reason, undated, "no_start")
        later = pid.isin(roster.loc[mine & (roster["start"] >= second), "pid"])
        _choose_comparison(reason, people, took=took, later=later, declared=declared)
    shared = ~treated & people["npsn"].isin(people.loc[treated & reason.isna(), "npsn"].dropna())
    n_same_school = int((shared & reason.isna()).sum())
    if declared.comparison not in ("none", "lottery"):
        _mark(reason, shared if declared.spillover == "same_school_excluded" else shared & False, "same_school")
        _mark(reason, _find_lone_districts(people["district"], treated, used=reason.isna()), "district_alone")

    doses = joined.groupby("pid")[["hours", "sessions"]].sum(skipna=False)
    rows = pd.DataFrame({"pid": pid, "treated": treated, "took": took, "lot": lot}).merge(
        doses, left_on="pid", right_index=True, how="left", validate="one_to_one"
    )
    members = rows.loc[reason.isna(), MEMBER_COLUMNS].reset_index(drop=True)
    others = dated[(dated["programme"] != declared.programme) & (dated["start"] >= first) & (dated["start"] < second)]
    elsewhere = members["pid"].isin(others["pid"])
    counts = reason.dropna().value_counts()
    after = (second - joined["end"]).dt.days.median()
    return Groups(
        members=members,
        aside=pd.DataFrame({"pid": pid, "reason": reason}).dropna().reset_index(drop=True),
        flow=Flow(
            (
                FlowStep(state="paired", n=len(people)),
                FlowStep(
                    state="compared",
                    n=len(members),
                    set_aside=int(counts.sum()),
                    reasons={str(code): int(n) for code, n in counts.items()},
                ),
            )
        ),
        n_roster=int(joined["pid"].nunique()),
        n_unpaired=int(joined.loc[~joined["pid"].isin(pid), "pid"].nunique()),
        n_same_school=n_same_school,
        n_elsewhere_participants=int((elsewhere & members["treated"]).sum()),
        n_elsewhere_comparison=int((elsewhere & ~members["treated"]).sum()),
        n_other_unit=int((on_roster & stray).sum()),
        roster_says=frozenset(joined["assignment"].dropna().astype(str)),
        days_after=None if pd.isna(after) else float(after),
    )


def _date_rows(training: pd.DataFrame) -> pd.DataFrame:
    """Return the roster with every column that is used, dates as timestamps, no role as participant."""
    rows = training.reindex(columns=["pid", "programme", "start", "end", "hours", "sessions", "role", "assignment"])
    days = {name: pd.to_datetime(rows[name]) for name in ("start", "end")}
    numbers = {name: rows[name].astype("float64") for name in ("hours", "sessions")}
    return rows.assign(**days, **numbers, role=rows["role"].astype(object).fillna("participant"))


def _mark(reason: pd.Series, holds: pd.Series, code: str) -> None:
    """Write a reason where it holds and none stands yet."""
    reason[holds & reason.isna()] = code


def _find_other_unit(people: pd.DataFrame, declared: Declared) -> pd.Series[bool]:
    """Return who is known to be of another unit: a principal where the programme is for teachers, or the reverse."""
    if declared.unit == "sekolah" or "ptk_kind" not in people:
        return pd.Series(data=False, index=people.index)
    return people["ptk_kind"].notna() & (people["ptk_kind"] != declared.unit)


def _read_lots(
    people: pd.DataFrame, applicants: pd.DataFrame | None, declared: Declared, reason: pd.Series
) -> pd.DataFrame:
    """Return drawn, lot and attended of everyone; who did not apply, or was in no draw, is marked."""
    columns = ["pid", "programme", "call", "applied", "stratum", "drawn", "attended"]
    given = (pd.DataFrame() if applicants is None else applicants).reindex(columns=columns)
    here = given[given["programme"] == declared.programme]
    draws = here.dropna(subset="drawn").sort_values(["applied", "call"], kind="stable").drop_duplicates("pid")
    first = draws.set_index("pid")
    rows = pd.DataFrame({"pid": people["pid"].to_numpy()}, index=people.index)
    rows["drawn"] = rows["pid"].map(first["drawn"]).eq(True).fillna(value=False).astype(bool)
    lots = first["call"].astype("str").fillna("") + "/" + first["stratum"].astype("str").fillna("")
    rows["lot"] = rows["pid"].map(lots)
    rows["attended"] = rows["pid"].isin(here.loc[here["attended"].eq(True).fillna(value=False).astype(bool), "pid"])
    _mark(reason, ~rows["pid"].isin(here["pid"]), "not_applicant")
    _mark(reason, ~rows["pid"].isin(first.index), "no_draw")
    return rows


def _choose_comparison(
    reason: pd.Series, people: pd.DataFrame, *, took: pd.Series, later: pd.Series, declared: Declared
) -> None:
    """Mark who is neither a participant nor of the comparison group."""
    if declared.comparison == "none":
        _mark(reason, ~took, "no_comparison")
    elif declared.comparison == "not_yet":
        _mark(reason, ~took & ~later, "never_joined")
    elif declared.comparison == "other_subjects":
        subject = people["subject"] if "subject" in people else pd.Series(None, index=people.index, dtype=object)
        _mark(reason, ~took & subject.isna(), "no_subject")
        _mark(reason, ~took & subject.isin(subject[took & reason.isna()].dropna()), "same_subject")


def _find_lone_districts(district: pd.Series, treated: pd.Series, *, used: pd.Series) -> pd.Series[bool]:
    """Return who stands in a district that has participants only, or comparison persons only."""
    place = district.astype("str").fillna("")
    theirs, others = set(place[used & treated]), set(place[used & ~treated])
    if not (theirs and others):  # nobody to compare: participants are described wherever they are
        return pd.Series(data=False, index=district.index)
    return pd.Series(~np.isin(place, list(theirs & others)), index=district.index)
