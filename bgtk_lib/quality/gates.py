"""Gates D01–D11, E08, P05, P07: whether the rows can carry a report, each with what to do and who can.

Every function takes what the earlier rooms counted and returns gates, OK ones too: a gate nobody sees is no gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import pandas as pd

from bgtk_lib.errors import Text
from bgtk_lib.findings import Gate, GateState
from bgtk_lib.schema import elsewhere, fold_name
from bgtk_lib.words import join, plain, say
from bgtk_lib.workspace.declaration import Governance, Rules, Wave

DAMAGED = ("exponent", "decimal", "length", "letters", "repeated")
NIGHT_HOURS = (1, 5)
FEWEST_TO_QUOTE = 10


def _gate(code: str, state: GateState, rows: int = 0, scope: Mapping[str, str] | None = None, **facts: Any) -> Gate:
    """Return a gate whose sentence is ``gate.<code>.<state>``."""
    scope = scope or {}
    where = plain(", ".join(scope.values())) if scope else say("gate.everywhere")
    message = say(f"gate.{code}.{state}", rows=rows, where=where, **facts)
    return Gate(code=code, state=state, scope=scope, message=message, rows=rows)


def _scope_of(source: Mapping[str, Any]) -> dict[str, str]:
    return {"wave": source["wave"]} if source.get("wave") else {"source": source["name"]}


def judge_identifiers(sources: Iterable[Mapping[str, Any]]) -> list[Gate]:
    """D01: digits lost. Above 1 % of the identifiers damaged, or above 20 % ending in 0 (10 % is expected): STOP."""
    gates = []
    for source in sources:
        shapes = source.get("id_shape") or {}
        total = sum(n for shape, n in shapes.items() if shape != "none")
        if not total:
            continue
        damaged = sum(shapes.get(shape, 0) for shape in DAMAGED)
        zeros = source.get("ends_in_zero", 0)
        rounded = total >= 100 and zeros / total > 0.20
        state: GateState = "STOP" if damaged / total > 0.01 or rounded else "WARN" if damaged else "OK"
        kinds = join_counts({shape: shapes[shape] for shape in DAMAGED if shapes.get(shape)})
        rows = damaged or (zeros if rounded else 0)
        files = ", ".join(entry["file"] for entry in source["files"][:3]) + (" …" if len(source["files"]) > 3 else "")
        gates.append(_gate("D01", state, rows, _scope_of(source), share=100 * rows / total, kinds=kinds, files=files))
    return gates or [_gate("D01", "UNKNOWN")]


def join_counts(counts: Mapping[str, int]) -> Text:
    """Return reason codes in words, without their counts (which may be small)."""
    return join([say(f"id_shape.{code}") for code in counts]) if counts else plain("–")


def judge_nip(teacher: pd.DataFrame | None) -> list[Gate]:
    """D02: birth date in the NIP against Dapodik's. Any: WARN; above 5 %: HOLD. NI PPPK: date and year only."""
    if teacher is None or teacher["nip_birth_agrees"].isna().all():
        return [_gate("D02", "UNKNOWN")]
    checked = teacher["nip_birth_agrees"].dropna()
    wrong = int((~checked.astype(bool)).sum())
    share = wrong / len(checked)
    return [_gate("D02", "HOLD" if share > 0.05 else "WARN" if wrong else "OK", wrong, share=100 * share)]


def judge_attempts(repeated: pd.DataFrame, session: pd.DataFrame, rules: Rules) -> list[Gate]:
    """D04: two different complete attempts of one person. Above 1 % with no rule that chooses: STOP."""
    gates = []
    for wave, sessions in session.groupby("wave"):
        persons = sessions["pid"].nunique()
        twice = repeated.loc[repeated["wave"] == wave, "pid"].nunique()
        unruled = rules.attempts == "all_flagged"
        state: GateState = "STOP" if unruled and twice / persons > 0.01 else "WARN" if twice else "OK"
        gates.append(_gate("D04", state, twice, {"wave": str(wave)}, rule=say(f"attempts.{rules.attempts}")))
    return gates


def judge_identity(session: pd.DataFrame, conflict: pd.DataFrame) -> list[Gate]:
    """D05: one person under two numbers, two persons under one, or one person in two districts at the same hour: HOLD."""
    several = session["pid"].isin(conflict["pid"])
    timed = session.dropna(subset=["start", "end", "district"]).sort_values(["pid", "start"], kind="stable")
    same = timed["pid"].eq(timed["pid"].shift())
    overlap = same & (timed["start"] < timed["end"].shift()) & timed["district"].ne(timed["district"].shift())
    found = several | session.index.isin(timed.index[overlap])
    gates = []
    for wave, rows in found.groupby(session["wave"]):
        persons = int(session.loc[rows[rows].index, "pid"].nunique())
        gates.append(_gate("D05", "HOLD" if persons else "OK", persons, {"wave": str(wave)}))
    return gates


def outside_window(session: pd.DataFrame, waves: Mapping[str, Wave]) -> pd.Series[bool]:
    """Return which sessions started on no day of their wave (window or declared make-up days), or ended before start."""
    start = session["start"].dt.date
    outside = pd.Series(False, index=session.index)
    for name, wave in waves.items():
        here = (session["wave"] == name) & session["start"].notna()
        if wave.window:
            days = set(_days(wave.window[0], wave.window[1])) | set(wave.make_up)
            outside |= here & ~start.isin(days)
    return outside | (session["end"] < session["start"]).fillna(False)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def judge_clock(session: pd.DataFrame, sources: Iterable[Mapping[str, Any]], waves: Mapping[str, Wave]) -> list[Gate]:
    """D06: sessions outside their wave's days, in the night, or with an unreadable time. Above 1 %: STOP; never mended."""
    outside = outside_window(session, waves)
    hours = session["start"].dt.hour
    night = hours.ge(NIGHT_HOURS[0]) & hours.lt(NIGHT_HOURS[1])
    unreadable: dict[str, int] = {}
    for source in sources:
        if source["table"] == "session" and source["wave"]:
            unreadable[source["wave"]] = unreadable.get(source["wave"], 0) + source["aside"].get("unreadable_time", 0)
    gates = []
    for name, wave in waves.items():
        here = session["wave"] == name
        lost = unreadable.get(name, 0)
        if not here.any() and not lost:
            continue
        if not lost and (wave.window is None or session.loc[here, "start"].isna().all()):
            gates.append(_gate("D06", "UNKNOWN", scope={"wave": name}))
            continue
        wrong = int((here & (outside | night)).sum()) + lost
        share = wrong / (int(here.sum()) + lost)  # a wave whose times cannot be read at all is wrong throughout
        state: GateState = "STOP" if share > 0.01 else "WARN" if wrong else "OK"
        gates.append(_gate("D06", state, wrong, {"wave": name}, share=100 * share))
    return gates


def judge_trial_accounts(sources: Iterable[Mapping[str, Any]], rules: Rules) -> list[Gate]:
    """D07: accounts that were made to try the system. STOP until a rule leaves them out."""
    gates = []
    for source in sources:
        if "test_accounts" not in source:
            continue
        found = source["test_accounts"]
        state: GateState = "OK" if not found else "WARN" if rules.exclude_test_accounts else "STOP"
        gates.append(_gate("D07", state, found, _scope_of(source)))
    return gates or [_gate("D07", "UNKNOWN")]


def judge_districts(
    sources: Iterable[Mapping[str, Any]], session: pd.DataFrame, school: pd.DataFrame | None
) -> list[Gate]:
    """D08: a district nobody knows, or four digits whose system is not declared: STOP. NPSN says otherwise > 2 %: HOLD."""
    gates = []
    for source in sources:
        unknown = {name: n for name, n in (source.get("unknown_districts") or {}).items() if not is_elsewhere(name)}
        if unknown:
            rows = sum(unknown.values())
            gates.append(_gate("D08", "STOP", rows, _scope_of(source), names=_quote_names(unknown)))
    if school is None or session["district"].isna().all() or session["npsn"].isna().all():
        return gates or [_gate("D08", "UNKNOWN")]
    by_school = session["npsn"].map(school.set_index("npsn")["district"])
    both = session["district"].notna() & by_school.notna()
    for wave, here in both.groupby(session["wave"]):
        at = here[here].index
        wrong = int((session.loc[at, "district"] != by_school.loc[at]).sum())
        state: GateState = "HOLD" if wrong > 0.02 * max(len(at), 1) else "OK"
        gates.append(_gate("D08", state, wrong, {"wave": str(wave)}, share=100 * wrong / max(len(at), 1), names=""))
    return gates


def _quote_names(unknown: Mapping[str, int]) -> Text:
    """Return what many rows wrote for a district; what few wrote could be anything, even a person's name."""
    many = [f"“{name}”" for name, n in unknown.items() if n >= FEWEST_TO_QUOTE or not name.strip("#")]
    return plain(", ".join(many[:3])) if many else say("gate.names_untold", n=len(unknown))


def is_elsewhere(name: str) -> bool:
    """Whether a written district is known to lie in another province."""
    return fold_name(name) in elsewhere() or name.strip() in elsewhere().values()


def judge_province(sources: Iterable[Mapping[str, Any]]) -> list[Gate]:
    """E08: rows of another institution's province. STOP unless declared."""
    gates = []
    for source in sources:
        found = {name: n for name, n in (source.get("unknown_districts") or {}).items() if is_elsewhere(name)}
        rows = sum(found.values()) + source.get("other_province", 0)
        if rows:
            gates.append(_gate("E08", "STOP", rows, _scope_of(source), names=", ".join(list(found)[:3]) or "–"))
    return gates or [_gate("E08", "OK")]


def judge_frame(
    session: pd.DataFrame, teacher: pd.DataFrame | None, school: pd.DataFrame | None, rules: Rules
) -> list[Gate]:
    """D09: madrasah or other staff among the teachers. STOP for coverage unless declared."""
    if school is None and teacher is None:
        return [_gate("D09", "UNKNOWN")]
    outside = pd.Series(False, index=session.index)
    if school is not None:
        outside |= session["npsn"].map(school.set_index("npsn")["jenjang"]).eq("madrasah").fillna(False)
    if teacher is not None:
        staff = teacher.loc[teacher["ptk_kind"] == "tendik", "pid"]
        outside |= session["pid"].isin(staff)
    rows = int(session.loc[outside, "pid"].nunique())
    return [_gate("D09", "OK" if not rows else "WARN" if rules.count_madrasah else "STOP", rows)]


def judge_totals(session: pd.DataFrame, totals: pd.DataFrame, waves: Iterable[str]) -> list[Gate]:
    """D10: persons counted against the register. Off by more than the register's tolerance: HOLD; both are printed.

    Parameters
    ----------
    session : DataFrame
        pid, wave, district, assessment of sessions received, trial accounts left out.
    totals : DataFrame
        The register; an empty district or subject means all.
    """
    totals = totals[totals["wave"].isin(list(waves))]
    if totals.empty:
        return [_gate("D10", "UNKNOWN")]
    gates = []
    for wave, register in totals.groupby("wave"):
        here = session[session["wave"] == wave]
        off = []
        for entry in register.to_dict("records"):
            cell = here
            if entry["district"]:
                cell = cell[cell["district"] == entry["district"]]
            if entry["subject"]:
                cell = cell[cell["assessment"] == entry["subject"]]
            counted = cell["pid"].nunique()
            if abs(counted - entry["n"]) > float(entry["tolerance"]) * float(entry["n"]):
                off.append((entry, counted))
        whole = register[(register["district"] == "") & (register["subject"] == "")]
        parts = register[register["district"] != ""] if (register["district"] != "").any() else register
        expected = int((whole if len(whole) else parts)["n"].sum())
        counted = int(here["pid"].nunique())
        state: GateState = "HOLD" if off else "OK"
        facts = {"counted": counted, "expected": expected, "cells": len(off), "source": register["source"].iloc[0]}
        gates.append(_gate("D10", state, abs(counted - expected), {"wave": str(wave)}, **facts))
    return gates


def judge_age(teacher: pd.DataFrame | None, waves: Mapping[str, Wave], rules: Rules) -> list[Gate]:
    """D11: master data older than the wave by more than the rule's days: WARN; by more than a year: HOLD."""
    dated = teacher["as_of"].dropna() if teacher is not None else pd.Series(dtype="datetime64[s]")
    gates = []
    for name, wave in waves.items():
        if dated.empty or wave.window is None:
            continue
        days = (wave.window[0] - dated.max().date()).days
        state: GateState = "HOLD" if days > 365 else "WARN" if days > rules.dapodik_max_age_days else "OK"
        gates.append(_gate("D11", state, 0, {"wave": name}, days=days))
    return gates or [_gate("D11", "UNKNOWN")]


def judge_refused(sources: Iterable[Mapping[str, Any]]) -> list[Gate]:
    """P05: personal fields that came and were dropped at the door: WARN, so that they are no longer sent."""
    gates = []
    for source in sources:
        fields = source.get("refused") or []
        if fields:
            words = ", ".join(fields)
            gates.append(_gate("P05", "WARN", source["received"], {"source": source["name"]}, fields=words))
    return gates or [_gate("P05", "OK")]


def judge_governance(governance: Governance, data_kind: str, today: date | None) -> list[Gate]:
    """P07: purpose, legal basis, retention and assessment reference of real persons' data. Missing: HOLD."""
    if data_kind == "synthetic":
        return [_gate("P07", "OK")]
    needed = ("purpose", "legal_basis", "retention_until", "dpia_ref")
    absent = [name for name in needed if getattr(governance, name) is None]
    if absent:
        return [_gate("P07", "HOLD", fields=", ".join(absent))]
    until = governance.retention_until
    expired = bool(today and until and until < today)
    return [_gate("P07", "WARN" if expired else "OK", fields="retention_until")]
