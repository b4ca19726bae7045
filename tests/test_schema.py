"""The codebook and the registers: well formed, true to the official lists, and never guessing a district."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from bgtk_lib import schema
from bgtk_lib.errors import SchemaError

SHARED = Path(os.environ.get("BGTK_SHARED", Path(__file__).parents[2] / "shared"))
KINDS = {"text", "integer", "number", "boolean", "time", "date"}


def resolve(*written, system):
    found = schema.resolve_districts(pd.Series(written, dtype="str"), system=system)
    return [None if pd.isna(code) else code for code in found]


# ------------------------------------------------------------------ codebook


def test_tables_are_those_of_the_interface():
    assert set(schema.tables()) == {
        "roster", "session", "answer", "total", "form_item", "key", "panel", "teacher", "school", "training", "population",
        "applicant", "rubric",
    }  # fmt: skip


@pytest.mark.parametrize("name", schema.tables())
def test_a_table_is_well_formed(name):
    table = schema.tables()[name]
    assert table.name == name
    assert table.key
    assert set(table.key) <= set(table.columns)
    assert any(column.required for column in table.columns.values()), "a table without a required column checks nothing"
    for column in table.columns.values():
        assert re.fullmatch(r"[a-z][a-z_]*", column.name)
        assert column.kind in KINDS, column.name
        assert column.about.id
        assert column.about.en
        if column.allowed:
            assert column.kind == "text", column.name
            assert len(set(column.allowed)) == len(column.allowed), column.name
            assert column.codes is None, "one list of values, not two"
        if column.codes:
            assert len(schema.code_list(column.codes)) > 1
            assert column.values == tuple(schema.code_list(column.codes))  # noqa: PD011 - a Column, not a Series
        if column.pattern:
            assert column.kind == "text"
            re.compile(column.pattern)
        if column.low is not None or column.high is not None:
            assert column.kind in ("integer", "number"), column.name
        if column.low is not None and column.high is not None:
            assert column.low < column.high


def test_the_same_column_means_the_same_everywhere():
    """A pseudonym is text in every table; so is every other column that occurs twice."""
    seen = {}
    for table in schema.tables().values():
        for column in table.columns.values():
            seen.setdefault(column.name, set()).add((column.kind, column.pattern, column.codes))
    twice = {name: facts for name, facts in seen.items() if len(facts) > 1}
    # `start` is a moment of a sitting and a day of a training; `source` and `subject` are plain words
    assert set(twice) <= {"start", "end"}


def test_identifiers_are_no_columns():
    """What names a person has no place in a canonical table."""
    columns = {column for table in schema.tables().values() for column in table.columns}
    assert not columns & {
        "nuptk",
        "nip",
        "nik",
        "name",
        "nama",
        "email",
        "phone",
        "birth_date",
        "tanggal_lahir",
        "address",
    }


# ------------------------------------------------------------------ districts


def test_fifteen_districts_with_codes_of_their_own():
    frame = schema.districts()
    assert len(frame) == 15
    assert frame.index.is_unique
    assert frame["bps"].is_unique
    assert frame["dapodik"].is_unique
    assert frame.index.str.fullmatch(r"18\.\d\d").all()
    assert frame["bps"].str.fullmatch(r"18\d\d").all()
    assert frame["dapodik"].str.fullmatch(r"12\d\d00").all()
    assert Counter(frame["kind"]) == {"kabupaten": 13, "kota": 2}
    assert list(frame.index) == sorted(frame.index), "reports print districts in code order"


def test_districts_agree_with_the_official_lists():
    path = SHARED / "data/indo_wilayah/lampung_kabkota_crosswalk.csv"
    if not path.is_file():
        pytest.skip("the crosswalk is not on this machine")
    official = {row["kode_kemendagri"]: row for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))}
    frame = schema.districts()
    assert set(official) == set(frame.index)
    for code, row in official.items():
        ours = frame.loc[code]
        assert (ours["bps"], ours["dapodik"]) == (row["kode_bps"], row["kode_dapodik"]), code
        assert ours["label"] == row["nama_dapodik"], code
        assert f"{ours['kind'].title()} {ours['name']}" == row["nama_kemendagri"], code
        for written in ("nama_dapodik", "nama_kemendagri", "nama_bps"):
            assert resolve(row[written], system="name") == [code], row[written]


def test_names_and_aliases_fold_to_one_district_each():
    folded = [
        (schema.fold_name(name), code)
        for code, entry in schema.districts().iterrows()
        for name in {entry["name"], *filter(None, entry["aliases"].split("|"))}
    ]
    meanings = {name: {code for other, code in folded if other == name} for name, _ in folded}
    assert {name: codes for name, codes in meanings.items() if len(codes) > 1} == {}
    assert all(name for name, _ in folded)
    assert len(schema.district_names()) == len(meanings)
    assert not set(schema.district_names()) & set(schema.elsewhere()), "a district of two provinces"


@pytest.mark.parametrize(
    "written",
    [
        "Tulang Bawang Barat",
        "KAB. TULANG BAWANG BARAT",
        "kabupaten tulang-bawang barat",
        "Kab.Tulangbawang Barat",
        "Tubaba",
        "  TULANGBAWANG  BARAT ",
    ],
)
def test_ten_ways_of_one_district(written):
    assert resolve(written, system="name") == ["18.12"]


@pytest.mark.parametrize(
    "written",
    [
        "Lampung Raya",
        "Lampung",
        "Tulang Bawang Bara",
        "Lampung Brat",
        "18.04",
        "1801",
        "Kab. 1804",
        "",
        "Kota",
        "Kab",
        "Lampung Barat 2",
    ],
)
def test_no_nearest_match_ever(written):
    assert resolve(written, system="name") == [None]


def test_bps_and_kemendagri_are_never_confused():
    assert resolve("1801", "1804", system="name") == [None, None]
    assert resolve("1801", "1804", system="bps") == ["18.04", "18.07"]
    assert resolve("1801", "18.01", "1804", system="kemendagri") == ["18.01", "18.01", "18.04"]
    assert resolve("120400", "1804", system="dapodik") == ["18.04", None]
    frame = schema.districts()
    swapped = [code for code, bps in frame["bps"].items() if code.replace(".", "") != bps]
    assert len(swapped) == 8, "most codes differ: a system left undeclared would move most teachers"


def test_what_is_absent_stays_absent():
    assert resolve(None, "Metro", system="name") == [None, "18.72"]
    assert resolve(None, "1872", system="bps") == [None, "18.72"]
    assert resolve(system="name") == []


def test_neighbours_are_known_as_neighbours():
    assert schema.elsewhere()[schema.fold_name("Kab. Ogan Komering Ulu")] == "16.01"
    assert all(code.startswith("16.") for code in schema.elsewhere().values())


# ------------------------------------------------------------------ registers


def test_published_totals_add_up_to_the_published_sums():
    totals = schema.published_totals()
    whole = totals[(totals["district"] == "") & (totals["subject"] == "")].set_index("wave")["n"]
    assert whole.to_dict() == {"p1-pre": 2674, "p2-pre": 6762, "p3-pre": 25_700}
    subjects = totals[totals["subject"] != ""]
    districts = totals[totals["district"] != ""]
    assert (len(subjects), subjects["n"].sum(), set(subjects["wave"])) == (14, 2674, {"p1-pre"})
    assert (len(districts), districts["n"].sum(), set(districts["wave"])) == (14, 6762, {"p2-pre"})
    assert "18.71" not in set(districts["district"]), "Bandar Lampung was in phase I"
    assert set(districts["district"]) < set(schema.districts().index)
    assert set(subjects["subject"]) < set(schema.code_list("assessments"))
    assert totals["source"].str.len().gt(0).all()
    tolerance = totals.groupby("wave")["tolerance"].max()
    assert tolerance.to_dict() == {"p1-pre": 0.02, "p2-pre": 0.02, "p3-pre": 0.05}, (
        "wider only where the source says sekitar"
    )


def test_seventeen_assessments():
    entries = schema.read_reference("assessments.yaml")
    assert Counter(entry["kind"] for entry in entries.values()) == {"subject": 14, "general": 3}
    assert {code for code, entry in entries.items() if entry["kind"] == "general"} == {"PED", "KEP", "SSL"}
    assert {entry["domain"] for entry in entries.values()} == {"profesional", "pedagogik", "kepribadian", "sosial"}
    names = schema.code_list("assessments")
    assert len({text.id for text in names.values()}) == len({text.en for text in names.values()}) == 17
    assert "pengetahuan" in names["KEP"].id.lower(), "the test measures knowledge, not personality"


@pytest.mark.parametrize("name", ["districts", "assessments", "programmes", "indicators"])
def test_every_code_list_has_names(name):
    entries = schema.code_list(name)
    assert entries
    for code, text in entries.items():
        assert code == code.strip()
        assert text.id.strip()
        assert text.en.strip()


def test_refused_fields_are_folded_and_depend_on_the_table():
    teacher, school = schema.refused_fields("teacher"), schema.refused_fields("school")
    assert all(name == name.casefold() for name in teacher)
    assert {"nama_ibu_kandung", "no_hp", "email", "agama", "npwp", "alamat_jalan"} <= set(teacher)
    assert "alamat" not in school, "a school's address is no personal field"
    assert "agama" in school
    everywhere = {column for table in schema.tables().values() for column in table.columns}
    assert not everywhere & set(teacher), "a column of the codebook that the door drops"


def test_a_register_of_totals_keeps_its_codes_as_text():
    text = "phase,wave,district,subject,n,source,tolerance\nI,w,18.10,,12,x,0.02\n"
    read = schema.read_totals(io.StringIO(text))
    assert read.loc[0, "district"] == "18.10"
    assert read.loc[0, "n"] == 12
    with pytest.raises(ValueError, match="invalid literal"):
        schema.read_totals(io.StringIO(text.replace("12", "zwölf")))


# ------------------------------------------------------------------ conform


def test_conform_orders_types_and_adds_what_is_absent():
    given = pd.DataFrame({"correct": ["A"], "item_id": ["b1"], "credit": ["1.5"]})
    read = schema.conform(given, "key")
    assert list(read.columns) == ["item_id", "item_version", "key_version", "correct", "credit"]
    assert read.loc[0, "credit"] == 1.5
    assert read["credit"].dtype == "float64"
    assert read["item_version"].isna().all()
    assert list(given.columns) == ["correct", "item_id", "credit"], "the frame given stays as it is"


@pytest.mark.parametrize("name", schema.tables())
def test_conform_of_an_empty_frame_has_every_column_typed(name):
    read = schema.conform(pd.DataFrame(), name)
    assert list(read.columns) == list(schema.tables()[name].columns)
    for column in schema.tables()[name].columns.values():
        assert str(read[column.name].dtype) == schema.DTYPES[column.kind], column.name


def test_conform_refuses_columns_that_are_not_in_the_codebook():
    with pytest.raises(SchemaError) as caught:
        schema.conform(pd.DataFrame({"item_id": ["b1"], "nama": ["x"]}), "key")
    assert caught.value.text.en == "Table key: the columns nama are not in the codebook."
    assert "buku kode" in caught.value.text.id


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        ("key", "credit", ["one"]),
        ("session", "attempt", ["1.5"]),
        ("teacher", "as_of", ["soon"]),
        ("teacher", "home", ["maybe"]),
    ],
)
def test_conform_refuses_values_of_another_kind(table, column, values):
    with pytest.raises(SchemaError) as caught:
        schema.conform(pd.DataFrame({column: values}), table)
    assert f"Table {table}, column {column}" in caught.value.text.en
    assert values[0] not in str(caught.value), "a value may be a person's"


def test_conform_keeps_long_numbers_as_text():
    read = schema.conform(pd.DataFrame({"session_id": ["0" * 15 + "1", "9" * 16]}), "total")
    assert read["session_id"].tolist() == ["0" * 15 + "1", "9" * 16]


def test_read_day():
    assert schema.read_day("2026-11-21") == schema.read_day(date(2026, 11, 21)) == date(2026, 11, 21)
    with pytest.raises(ValueError, match="isoformat"):
        schema.read_day("21/11/2026")
