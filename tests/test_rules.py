"""Every rule of every table: a sound table passes, one spoiled cell fails that rule only, nothing passes on nothing.

Sound and spoiled tables are built from the codebook, so that a rule added there is tested here without a new line.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from bgtk_lib.quality import REASONS
from bgtk_lib.quality.rules import SETS_ASIDE, Rule, build_rules
from bgtk_lib.quality.suite import RESULT_COLUMNS, check_rows
from bgtk_lib.schema import conform, tables

KNOWN = {"wave": ["p1-pre", "p1-post"], "form_id": ["PED-1", "MAT-1"]}
N = 6
SHAPED = ([f"108{n:05d}" for n in range(N)],)  # values for columns with a pattern: the first list that fits it
SPOILED = 3  # the row that is spoiled


def known_for(table):
    return {name: values for name, values in KNOWN.items() if name in tables()[table].columns}


def rules_of(table):
    return build_rules(table, known_for(table))


def sound_values(table, column):
    """Return N sound values of one column, all different where the kind allows it."""
    listed = known_for(table).get(column.name) or column.values  # noqa: PD011 - a Column, not a Series
    if listed:
        return [listed[n % len(listed)] for n in range(N)]
    if column.pattern:
        return next(values for values in SHAPED if all(re.fullmatch(column.pattern, value) for value in values))
    low = 0 if column.low is None else column.low
    hour = {"end": 10}.get(column.name, 8)
    by_kind = {
        "text": [f"{column.name}-{n}" for n in range(N)],
        "integer": [int(low) + n for n in range(N)],
        "number": [low + n + 0.5 for n in range(N)],
        "boolean": [n % 2 == 0 for n in range(N)],
        "date": list(pd.date_range("2025-10-01", periods=N)),
        "time": list(pd.date_range(f"2025-10-18 {hour:02d}:00", periods=N, freq="min", tz="Asia/Jakarta")),
    }
    return by_kind[column.kind]


def sound_table(table):
    """Return N rows that keep every rule; every column differs from row to row as far as its list of codes allows."""
    columns = tables()[table].columns
    values = {name: sound_values(table, column) for name, column in columns.items()}
    if "end" in columns and columns["end"].kind == "date":
        values["end"] = [day + pd.Timedelta(days=3) for day in values["start"]]
    return conform(pd.DataFrame(values), table)


def spoil(frame, rule):
    """Return the table with one cell (of a key: one row's key) spoiled so that this rule must fail."""
    frame = frame.copy()
    match rule.check:
        case "required":
            frame.loc[SPOILED, rule.columns[0]] = pd.NA if frame[rule.columns[0]].dtype != "float64" else np.nan
        case "allowed" | "pattern":
            frame.loc[SPOILED, rule.columns[0]] = "?"
        case "range":
            low, high = rule.arguments["low"], rule.arguments["high"]
            frame.loc[SPOILED, rule.columns[0]] = low - 1 if low is not None else high + 1
        case "key":
            for name in rule.columns:
                frame.loc[SPOILED, name] = frame.loc[SPOILED - 1, name]
        case "order":
            start, end = rule.columns
            frame.loc[SPOILED, end] = frame.loc[SPOILED, start] - pd.Timedelta(days=1)
    return frame


def verdicts_of(frame, table):
    verdicts, failing = check_rows(frame, rules_of(table))
    assert list(verdicts.columns) == RESULT_COLUMNS
    assert verdicts["rule"].tolist() == [rule.name for rule in rules_of(table)]
    return verdicts.set_index("rule"), failing


ALL_RULES = [(table, rule) for table in tables() for rule in rules_of(table)]


@pytest.mark.parametrize("table", tables())
def test_a_sound_table_keeps_every_rule(table):
    frame = sound_table(table)
    verdicts, failing = verdicts_of(frame, table)
    assert (verdicts["error"] == "").all(), verdicts["error"].to_dict()
    assert (verdicts["fails"] == 0).all(), verdicts["fails"].to_dict()
    assert (verdicts["missing"] == 0).all(), "the sound table holds a value everywhere"
    assert (verdicts["passes"] == verdicts["items"]).all()
    assert failing == {}


@pytest.mark.parametrize("table", tables())
def test_one_spoiled_cell_fails_that_rule_only(table):
    """One table after another for each rule of the table; the message names the rule."""
    frame = sound_table(table)
    tested = 0
    for rule in rules_of(table):
        if rule.check == "rows":
            continue
        verdicts, failing = verdicts_of(spoil(frame, rule), table)
        failed = verdicts.index[verdicts["fails"] > 0].tolist()
        assert failed == [rule.name], f"spoiled for {rule.name}, failed {failed}"
        assert (verdicts["error"] == "").all(), rule.name
        places = [SPOILED - 1, SPOILED] if rule.check == "key" else [SPOILED]
        assert failing[rule.name].tolist() == places, rule.name
        assert verdicts.loc[rule.name, "fails"] == len(places), rule.name
        assert verdicts.loc[rule.name, "passes"] == N - len(places), rule.name
        tested += 1
    assert tested >= 2


@pytest.mark.parametrize("table", tables())
def test_an_empty_table_fails_for_its_rows(table):
    verdicts, failing = verdicts_of(sound_table(table).iloc[:0], table)
    assert verdicts["fails"].to_dict() == {name: int(name == f"{table}.rows") for name in verdicts.index}
    others = verdicts.drop(index=f"{table}.rows")
    assert (others["items"] == 0).all(), "a rule that saw no row must not count as kept"
    assert (others["passes"] == 0).all()
    assert (verdicts["error"] == "").all()
    assert failing == {}


@pytest.mark.parametrize("table", tables())
def test_an_all_null_table_fails_where_a_value_is_required_and_passes_nowhere(table):
    frame = conform(pd.DataFrame(index=range(N)), table)
    verdicts, _ = verdicts_of(frame, table)
    assert (verdicts["error"] == "").all(), verdicts["error"].to_dict()
    for rule in rules_of(table):
        verdict = verdicts.loc[rule.name]
        if rule.check == "rows":
            assert verdict["passes"] == 1
        elif rule.check == "required":
            assert verdict["fails"] == N, rule.name
        elif rule.check == "key":
            assert verdict["passes"] + verdict["fails"] == N
            assert verdict["fails"] in (0, N)
        else:
            assert (verdict["passes"], verdict["fails"], verdict["missing"]) == (0, 0, N), rule.name


@pytest.mark.parametrize("table", tables())
def test_a_missing_column_is_an_error_and_no_failure(table):
    """A rule that cannot run says nothing about the data: neither passes nor fails."""
    column = next(rule.columns[0] for rule in rules_of(table) if rule.check != "rows")
    verdicts, failing = verdicts_of(sound_table(table).drop(columns=column), table)
    for rule in rules_of(table):
        verdict = verdicts.loc[rule.name]
        if column in rule.columns:
            assert verdict["error"], rule.name
            assert (verdict["passes"], verdict["fails"]) == (0, 0), rule.name
        else:
            assert verdict["error"] == "", rule.name
            assert verdict["fails"] == 0, rule.name
    assert failing == {}


def test_counts_add_up_in_a_table_that_is_half_null():
    frame = sound_table("session")
    frame.loc[[0, 1], "district"] = pd.NA
    frame.loc[2, "district"] = "99.99"
    verdicts, failing = verdicts_of(frame, "session")
    row = verdicts.loc["session.district.allowed"]
    assert (row["items"], row["passes"], row["fails"], row["missing"]) == (N, N - 3, 1, 2)
    assert failing["session.district.allowed"].tolist() == [2]


def test_the_index_of_a_table_is_of_no_matter():
    frame = spoil(sound_table("session"), next(rule for rule in rules_of("session") if rule.check == "order"))
    frame.index = [7] * len(frame)
    _, failing = verdicts_of(frame, "session")
    assert failing["session.start+end.order"].tolist() == [SPOILED], "positions, not labels"


def test_equal_times_are_in_order_and_a_missing_one_is_missing():
    frame = sound_table("session")
    frame.loc[1, "end"] = frame.loc[1, "start"]
    frame.loc[2, "end"] = pd.NaT
    verdicts, failing = verdicts_of(frame, "session")
    assert failing == {}
    assert verdicts.loc["session.start+end.order", "missing"] == 1


def test_ends_of_a_range_are_inside():
    columns = tables()["session"].columns
    frame = sound_table("session")
    frame["attempt"] = pd.array([int(columns["attempt"].low), int(columns["attempt"].high)] * (N // 2), dtype="Int64")
    _, failing = verdicts_of(frame, "session")
    assert failing == {}
    frame.loc[0, "attempt"] = int(columns["attempt"].high) + 1
    _, failing = verdicts_of(frame, "session")
    assert failing["session.attempt.range"].tolist() == [0]


@pytest.mark.parametrize("written", ["1080000", "108000011", " 10800001", "10800001\n", "1080000a", "108-0001"])
def test_a_pattern_means_the_whole_value(written):
    frame = sound_table("school")
    frame.loc[SPOILED, "npsn"] = written
    _, failing = verdicts_of(frame, "school")
    assert failing["school.npsn.pattern"].tolist() == [SPOILED]


def test_one_null_key_column_is_no_key_twice():
    """Versions may be absent: two items without a version are two keys."""
    frame = sound_table("key")
    frame["item_version"] = pd.array([pd.NA] * N, dtype="str")
    _, failing = verdicts_of(frame, "key")
    assert failing == {}
    frame.loc[1, ["item_id", "key_version"]] = frame.loc[0, ["item_id", "key_version"]]
    _, failing = verdicts_of(frame, "key")
    assert failing["key.item_id+item_version+key_version.key"].tolist() == [0, 1]


# ------------------------------------------------------------------ the rules themselves


def test_rules_have_names_of_their_own():
    names = [rule.name for _, rule in ALL_RULES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z_]+(?:\.[a-z_+]+)?\.[a-z]+", name) for name in names)


@pytest.mark.parametrize("table", tables())
def test_every_demand_of_the_codebook_has_a_rule(table):
    spec = tables()[table]
    found = {(rule.columns, rule.check) for rule in rules_of(table)}
    assert build_rules(table)[0].check == "rows", "every suite opens with a row count"
    wanted = {((), "rows"), (spec.key, "key")}
    for name, column in spec.columns.items():
        wanted |= {((name,), "required")} if column.required else set()
        listed = column.values or name in known_for(table)  # noqa: PD011 - a Column, not a Series
        wanted |= {((name,), "allowed")} if listed else set()
        wanted |= {((name,), "pattern")} if column.pattern else set()
        wanted |= {((name,), "range")} if column.low is not None or column.high is not None else set()
    wanted |= {(("start", "end"), "order")} if {"start", "end"} <= set(spec.columns) else set()
    assert found == wanted


def test_what_sets_rows_aside_has_a_reason():
    assert set(REASONS) == set(SETS_ASIDE)
    for _, rule in ALL_RULES:
        assert (rule.severity == "critical") == (rule.check in (*SETS_ASIDE, "rows"))


def test_a_rule_for_a_column_that_is_not_known_to_the_table_is_not_built():
    assert [rule for rule in build_rules("key", {"wave": ["a"]}) if rule.columns == ("wave",)] == []


def test_a_broken_pattern_is_an_error_and_no_failure():
    rule = Rule(name="t.x.pattern", table="key", columns=("item_id",), check="pattern", arguments={"pattern": "("})
    verdicts, failing = check_rows(sound_table("key"), [rule])
    assert verdicts["error"].iloc[0]
    assert (verdicts["passes"].iloc[0], verdicts["fails"].iloc[0]) == (0, 0)
    assert failing == {}
