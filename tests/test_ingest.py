"""Raw exports → canonical tables: every way of writing, every row accounted for, one person one pseudonym, no key in sight."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import stat

import openpyxl
import pandas as pd
import pytest
import yaml
from conftest import check_accounts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P

from bgtk_lib.errors import BgtkError, LinkageError, ParameterError, SchemaError
from bgtk_lib.ingest import run_ingest
from bgtk_lib.ingest.extract import count_values, shape_of_ids
from bgtk_lib.ingest.identity import hash_value, resolve_persons
from bgtk_lib.ingest.mapping import Format, Mapping
from bgtk_lib.ingest.reading import read_cells
from bgtk_lib.stages.run import run_stages
from bgtk_lib.workspace import open_workspace
from bgtk_lib.workspace.store import read_json, read_table
from bgtk_lib.workspace.typed import declare


def run(text):
    """Return a text without its underscores: sixteen digits in a row may not stand in a file of this repository."""
    return text.replace("_", "")


A, B, C = (
    run("01234567_89012345"),
    run("12345678_90123450"),
    run("99999999_99999998"),
)  # NUPTK; one led by a zero, one ending in it
HEADER = ["NUPTK", "Paket", "Soal 1", "Soal 2"]
ROWS = [[A, "F1", "A", "B"], [B, "F1", "C", ""], [C, "F1", "X", "D"]]
SESSION = {
    "table": "session",
    "person": {"ids": ["nuptk"]},
    "columns": {"nuptk": "NUPTK", "form_id": "Paket"},
    "answers": {"pattern": r"Soal (?P<item>\d+)", "omitted": ["", "X"]},
}
PRE = {"name": "cbt", "file": "data/raw/cbt.csv", "mapping": "cbt", "wave": "pre"}


def write_csv(rows, separator=","):
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def write_xlsx(sheets):
    def write(path):
        book = openpyxl.Workbook()
        book.remove(book.active)
        for name, rows in sheets.items():
            sheet = book.create_sheet(name)
            for row in rows:
                sheet.append(row)
        book.save(path)

    return write


def write_ods(sheets):
    def write(path):
        book = OpenDocumentSpreadsheet()
        for name, rows in sheets.items():
            table = Table(name=name)
            for row in rows:
                line = TableRow()
                for value in row:
                    cell = TableCell(valuetype="string") if value else TableCell()
                    if value:
                        cell.addElement(P(text=value))
                    line.addElement(cell)
                table.addElement(line)
            book.spreadsheet.addElement(table)
        book.save(path)

    return write


def write_parquet(frame):
    return frame.to_parquet


def change(mapping, **facts):
    return {**mapping, **facts}


def told(error):
    """Return what the reader is told; both languages are there, and no long number in either."""
    text = error.value.text
    assert text.id
    assert text.en
    assert not re.search(r"\d{12}", text.id + text.en)
    return text.en


@pytest.fixture
def ingest(new_workspace):
    """Return a function that reads one source and returns (workspace, reasons of rows set aside)."""

    def read(content, mapping=SESSION, *, path="cbt.csv", source=PRE, **declared):
        workspace = new_workspace(
            {path: content}, {"cbt": mapping}, [{**source, "file": f"data/raw/{path}"}], **declared
        )
        record = run_ingest(workspace)
        return workspace, check_accounts(workspace, record)[source["name"]]

    return read


def canonical(workspace, table):
    return read_table(workspace.folder("canonical"), table)


def answers_of(workspace):
    """Return each session's answers in order, as {row: {item: (raw, state)}}."""
    frame = canonical(workspace, "answer").astype(object)
    found = {}
    for entry in frame.itertuples():
        raw = None if pd.isna(entry.raw) else entry.raw
        found.setdefault(int(entry.session_id.rsplit("/")[-1]), {})[entry.item_id] = (raw, entry.state)
    return found


SOUND = {
    0: {"1": ("A", "answered"), "2": ("B", "answered")},
    1: {"1": ("C", "answered"), "2": (None, "omitted")},
    2: {"1": (None, "omitted"), "2": ("D", "answered")},
}

# ------------------------------------------------------------------ ways of writing


@pytest.mark.parametrize(
    ("content", "how"),
    [
        (write_csv([HEADER, *ROWS]), {}),
        ("\ufeff" + write_csv([HEADER, *ROWS]), {}),
        (write_csv([HEADER, *ROWS], ";"), {"separator": ";"}),
        (write_csv([HEADER, *ROWS], "\t"), {"separator": "\t"}),
        (write_csv([HEADER, *ROWS]).encode("utf-16"), {"encoding": "utf-16"}),
        (write_csv([HEADER, *ROWS]).replace("\r\n", "\n"), {}),
        (write_csv([HEADER, *ROWS]) + "\r\n\r\n", {}),
        ("Hasil Tes\n\n" + write_csv([HEADER, *ROWS]), {"skip_rows": 2}),
        ("".join(f'"{line}"\n' for line in write_csv([HEADER, *ROWS]).splitlines()), {"quoted_lines": True}),
        (write_csv([["NUPTK", "Paket", "Soal", ""], ["", "", "1", "2"], *ROWS]), {"header_rows": 2}),
        (write_csv([[f" {name}\u00a0" for name in HEADER], *ROWS]), {}),
        (write_csv([[*row, ""] for row in (HEADER, *ROWS)]), {}),
        (write_xlsx({"Hasil": [HEADER, *ROWS]}), {"kind": "xlsx"}),
        (write_xlsx({"Catatan": [["x"]], "Hasil": [HEADER, *ROWS]}), {"kind": "xlsx", "sheet": "Hasil"}),
        (write_xlsx({"Hasil": [["NUPTK", "Paket", "Soal", None], [None, None, 1, 2], *ROWS]}), {"kind": "xlsx", "header_rows": 2}),
        (write_ods({"Hasil": [HEADER, *ROWS]}), {"kind": "ods"}),
        (write_parquet(pd.DataFrame(ROWS, columns=HEADER)), {"kind": "parquet"}),
    ],
    ids=["plain", "bom", "semicolon", "tab", "utf16", "lf", "blank end", "title", "quoted lines", "two headers", "nbsp", "empty column",
         "xlsx", "sheet", "xlsx two headers", "ods", "parquet"],
)  # fmt: skip
def test_however_it_is_written_the_content_is_the_same(ingest, content, how):
    workspace, aside = ingest(content, change(SESSION, format=how))
    assert answers_of(workspace) == SOUND
    assert set(aside) <= {"not_a_record"}
    frame = canonical(workspace, "session")
    assert frame["form_id"].tolist() == ["F1", "F1", "F1"]
    assert frame["wave"].tolist() == ["pre", "pre", "pre"]
    assert frame["ends_in_zero"].tolist() == [False, True, False]
    assert frame["pid"].nunique() == 3


@pytest.mark.parametrize(
    ("content", "how", "message"),
    [
        (write_csv([HEADER, *ROWS]).encode("utf-16"), {}, "is not utf-8-sig text"),
        (write_csv([HEADER, *ROWS]), {"encoding": "utf-17"}, "is not utf-17 text"),
        (write_csv([HEADER, *ROWS], ";"), {}, "cannot be read with the separator “,”"),
        (write_csv([HEADER, *ROWS], "\t"), {"separator": ";"}, "cannot be read with the separator “;”"),
        (write_csv([HEADER, *ROWS]), {"separator": ";;"}, "cannot be read with the separator"),
        (write_csv([HEADER, ROWS[0], ROWS[1][:3], ROWS[2]]), {}, "1 rows do not have 4 columns (first: row 2)"),
        (write_csv([HEADER, ROWS[0], [*ROWS[1], "E"], [*ROWS[2], ""]]), {}, "2 rows do not have 4 columns (first: row 2)"),
        (write_csv([[*HEADER[:3], "Soal 1"], *ROWS]), {}, "column names that stand twice: Soal 1"),
        (write_csv([["NUPTK", "Paket", "Soal 1", "soal"], *ROWS]).replace("soal", '"x'), {}, ""),
        ("", {}, "holds nothing"),
        ("\n\n", {}, "holds nothing"),
        (write_csv([HEADER]), {"header_rows": 2}, "holds nothing"),
        (write_xlsx({"Satu": [HEADER, *ROWS], "Dua": [HEADER]}), {"kind": "xlsx"}, "holds several sheets (Satu, Dua)"),
        (write_xlsx({"Satu": [HEADER, *ROWS]}), {"kind": "xlsx", "sheet": "Hasil"}, "there is no sheet “Hasil”. There are: Satu."),
        (write_ods({"Satu": [HEADER, *ROWS], "Dua": [HEADER]}), {"kind": "ods"}, "holds several sheets (Satu, Dua)"),
        (write_xlsx({"Satu": []}), {"kind": "xlsx"}, "holds nothing"),
        (write_xlsx({"Satu": [[*HEADER[:3], "Soal 1"], *ROWS]}), {"kind": "xlsx"}, "column names that stand twice: Soal 1"),
        (write_csv([HEADER, *ROWS]), {"kind": "xlsx"}, "cannot be opened as xlsx"),
        (write_csv([HEADER, *ROWS]), {"kind": "ods"}, "cannot be opened as ods"),
        (write_csv([HEADER, *ROWS]), {"kind": "parquet"}, "cannot be opened as parquet"),
        (write_parquet(pd.DataFrame({"NUPTK": [1.2345e15, None], "Paket": "F1", "Soal 1": "A"})), {"kind": "parquet"}, "keep long numbers as floats"),
    ],
)  # fmt: skip
def test_what_is_ambiguous_stops(ingest, content, how, message):
    with pytest.raises(SchemaError) as caught:
        ingest(content, change(SESSION, format=how))
    assert message in told(caught)


def test_a_refusal_writes_nothing(new_workspace):
    workspace = new_workspace({"cbt.csv": "a;b\n1;2\n"}, {"cbt": SESSION}, [PRE])
    with pytest.raises(SchemaError):
        run_ingest(workspace)
    assert not workspace.folder("canonical").exists()
    assert not workspace.folder("quarantine").exists()


def test_identifiers_stay_text_beside_blanks(tmp_path):
    """The trap: sixteen digits with one blank in the column become a float: the last one changes."""
    (tmp_path / "a.csv").write_text(run("id,n\n00000000_00000001,1\n,2\n99999999_99999999,3\n"), encoding="utf-8")
    cells = read_cells(tmp_path / "a.csv", Format())
    assert cells["id"].tolist() == [run("00000000_00000001"), "", run("99999999_99999999")]
    for kind, write in (("xlsx", write_xlsx), ("ods", write_ods)):
        write({"s": [["id", "n"], [run("00000000_00000001"), "1"], ["", "2"], [run("99999999_99999999"), "3"]]})(
            tmp_path / f"a.{kind}"
        )
        cells = read_cells(tmp_path / f"a.{kind}", Format(kind=kind))
        assert cells["id"].tolist() == [run("00000000_00000001"), "", run("99999999_99999999")], kind
    frame = pd.DataFrame({"id": pd.array([9_007_199_254_740_993, None], dtype="Int64"), "n": [1, 2]})
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_cells(tmp_path / "a.parquet", Format(kind="parquet"))["id"].tolist() == [run("90071992_54740993"), ""]


def test_words_that_readers_of_tables_take_for_missing_stay(tmp_path):
    words = ["NA", "NULL", "nan", "None", "N/A", "-", "#N/A", "TRUE"]
    (tmp_path / "a.csv").write_text("x,y\n" + "".join(f"{word},1\n" for word in words), encoding="utf-8")
    assert read_cells(tmp_path / "a.csv", Format())["x"].tolist() == words
    write_xlsx({"s": [["x", "y"], *[[word, "1"] for word in words]]})(tmp_path / "a.xlsx")
    assert read_cells(tmp_path / "a.xlsx", Format(kind="xlsx"))["x"].tolist() == words, "a failed formula is not blank"


# ------------------------------------------------------------------ fields


def session_with(**columns):
    return change(SESSION, columns={**SESSION["columns"], **columns})


def test_a_dash_is_missing_only_where_the_mapping_says_so(ingest):
    rows = [[*HEADER, "Tempat"], *[[*row, place] for row, place in zip(ROWS, ("-", "Aula", ""), strict=True)]]
    workspace, _ = ingest(write_csv(rows), change(session_with(venue="Tempat"), missing=["", "-"]))
    assert canonical(workspace, "session")["venue"].isna().tolist() == [True, False, True]


def test_a_dash_that_is_not_declared_stays(ingest):
    rows = [[*HEADER, "Tempat"], *[[*row, "-"] for row in ROWS]]
    workspace, _ = ingest(write_csv(rows), session_with(venue="Tempat"))
    assert canonical(workspace, "session")["venue"].tolist() == ["-", "-", "-"]


@pytest.mark.parametrize(
    ("written", "decimal", "read"),
    [
        ("1,5", ",", 1.5),
        ("1.234,5", ",", 1234.5),
        ("1.5", ".", 1.5),
        ("1,234.5", ".", 1234.5),
        ("-2", ".", -2.0),
        ("0,25", ",", 0.25),
    ],
)
def test_decimal_commas_and_points(ingest, written, decimal, read):
    mapping = {
        "table": "key",
        "format": {"decimal": decimal, "separator": ";"},
        "columns": {"item_id": "b", "correct": "k", "credit": "n"},
    }
    workspace, aside = ingest(f"b;k;n\n1;A;{written}\n2;B;1\n", mapping, source={"name": "key", "mapping": "cbt"})
    assert aside == {}
    assert canonical(workspace, "key")["credit"].tolist() == [read, 1.0]


def test_thousands_that_may_be_decimals_stop(ingest):
    mapping = {"table": "population", "format": {"separator": ";"}, "columns": {"n": "n"}}
    with pytest.raises(SchemaError) as caught:
        ingest("n;x\n1.234;a\n2.345;b\n", mapping, source={"name": "p", "mapping": "cbt"})
    assert "whether point or comma separates thousands" in told(caught)


@pytest.mark.parametrize(
    "written",
    [
        "inf",
        "-inf",
        "nan",
        "1e999",
        "0x10",
        "1_000",
        "١٢",
        "1 000",
        "--1",
        "1.2.3",
        "NULL",
        run("99999999_999999999999"),
    ],
)
def test_what_is_no_number_is_set_aside(ingest, written):
    mapping = {"table": "population", "columns": {"n": "n", "source": "s"}}
    workspace, aside = ingest(
        write_csv([["n", "s"], [written, "a"], ["5", "b"]]), mapping, source={"name": "p", "mapping": "cbt"}
    )
    assert aside == {"unreadable_integer": 1}
    assert canonical(workspace, "population")["n"].tolist() == [5]


@pytest.mark.parametrize("written", ["inf", "-inf", "nan", "1e999", "NULL"])
def test_what_is_no_finite_score_is_set_aside(ingest, written):
    mapping = change(SESSION, columns={**SESSION["columns"], "total_points": "Skor"})
    mapping.pop("answers")
    workspace, aside = ingest(write_csv([["NUPTK", "Paket", "Skor"], [A, "F1", written], [B, "F1", "7"]]), mapping)
    assert aside == {"unreadable_number": 1}
    assert canonical(workspace, "total")["points"].tolist() == [7.0]


def test_times_that_cannot_be_read_are_set_aside_and_others_are_zoned(ingest):
    times = ["18/10/2025 08:00:00", "10/18/2025 08:00:00", "18/10/2025"]
    rows = [[*HEADER, "Mulai"], *[[*row, time] for row, time in zip(ROWS, times, strict=True)]]
    workspace, aside = ingest(write_csv(rows), session_with(start={"column": "Mulai", "as": "%d/%m/%Y %H:%M:%S"}))
    assert aside == {"unreadable_time": 2}
    start = canonical(workspace, "session")["start"]
    assert start.iloc[0] == pd.Timestamp("2025-10-18 08:00", tz="Asia/Jakarta")


def test_codes_without_a_meaning_are_set_aside(ingest):
    rows = [[*HEADER, "Perangkat"], *[[*row, device] for row, device in zip(ROWS, ("HP", "Kulkas", ""), strict=True)]]
    workspace, aside = ingest(write_csv(rows), session_with(device={"column": "Perangkat", "values": {"HP": "phone"}}))
    assert aside == {"unreadable_text": 1}
    frame = canonical(workspace, "session")
    assert frame["device"].isna().tolist() == [False, True]


def test_districts_are_resolved_by_the_declared_system_and_unknown_ones_counted(ingest):
    rows = [[*HEADER, "Kab"], *[[*row, code] for row, code in zip(ROWS, ("1801", "1871", "1899"), strict=True)]]
    for system, wanted in (
        ("bps", ["18.04", "18.71", None]),
        ("kemendagri", ["18.01", "18.71", None]),
        ("name", [None] * 3),
    ):
        workspace, aside = ingest(write_csv(rows), session_with(district={"column": "Kab", "system": system}))
        found = canonical(workspace, "session")["district"]
        assert [None if pd.isna(code) else code for code in found] == wanted
        assert aside == {}, "an unknown district is a gate's matter, not the row's"
        unknown = workspace_record(workspace)["unknown_districts"]
        assert sum(unknown.values()) == wanted.count(None)
        assert not any(re.search(r"\d", name) for name in unknown), "digits could be anybody's number"


def workspace_record(workspace, name="cbt"):
    return next(s for s in read_json(workspace.folder("canonical") / "stage.json")["sources"] if s["name"] == name)


def test_masked_counts():
    assert count_values(pd.Series(["Kab 12", "Kab 34", "Metro", None])) == {"Kab ##": 2, "Metro": 1}


# ------------------------------------------------------------------ rows that are no records


def test_footers_are_told_by_the_mapping(ingest):
    rows = [HEADER, *ROWS, ["", "", "", ""], ["", "Jumlah", "3", "3"], ["dicetak", "", "", ""]]
    workspace, aside = ingest(
        write_csv(rows), change(SESSION, skip_where_blank=["NUPTK"], skip_values={"NUPTK": ["dicetak"]})
    )
    assert aside == {"not_a_record": 3}
    assert answers_of(workspace) == SOUND


def test_a_footer_that_is_not_declared_is_no_person(ingest):
    _, aside = ingest(write_csv([HEADER, *ROWS, ["", "Jumlah", "3", "3"]]))
    assert aside == {"no_person": 1}


def test_required_values_and_answers_that_lack_are_reasons(ingest):
    rows = [
        HEADER,
        *ROWS,
        [run("11111111_11111112"), "", "A", "B"],
        [run("11111111_11111113"), "F1", "X", ""],
        ["", "F1", "A", "B"],
        ["abc", "F1", "A", "B"],
    ]
    _, aside = ingest(write_csv(rows))
    assert aside == {"no_answers": 1, "no_form_id": 1, "no_person": 2}


def test_copies_of_rows_are_set_aside_and_repeats_with_other_answers_stay(ingest):
    rows = [
        ["No", *HEADER],
        ["1", *ROWS[0]],
        ["2", *ROWS[1]],
        ["3", *ROWS[0]],
        ["4", *ROWS[0][:3], "C"],
        ["5", *ROWS[0]],
    ]
    workspace, aside = ingest(write_csv(rows))
    assert aside == {"copy_of_a_row": 2}
    assert sorted(answers_of(workspace)) == [0, 1, 3]
    assert canonical(workspace, "session")["pid"].nunique() == 2


def test_a_copy_in_another_file_of_the_source_stays_a_second_sitting(ingest, new_workspace):
    """Copies are told within a file; two files that both hold a sitting are two exports, for the attempt rule to judge."""
    text = write_csv([HEADER, *ROWS])
    workspace = new_workspace({"a.csv": text, "b.csv": text}, {"cbt": SESSION}, [{**PRE, "file": "data/raw/*.csv"}])
    record = run_ingest(workspace)
    check_accounts(workspace, record)
    assert [entry["file"] for entry in record["sources"][0]["files"]] == ["a.csv", "b.csv"]
    assert len(canonical(workspace, "session")) == 6
    assert canonical(workspace, "session")["session_id"].is_unique


def test_a_key_that_stands_twice_is_set_aside(ingest):
    mapping = {"table": "key", "columns": {"item_id": "b", "correct": "k"}}
    workspace, aside = ingest("b,k\n1,A\n2,B\n1,C\n", mapping, source={"name": "key", "mapping": "cbt"})
    assert aside == {"key_twice": 1}
    assert canonical(workspace, "key")["correct"].tolist() == ["A", "B"]


# ------------------------------------------------------------------ answers


REGISTER = "Paket,Nomor,Butir\nF1,1,P-07\nF1,2,P-03\nF2,1,P-09\n"
FORM_ITEM = {"table": "form_item", "columns": {"form_id": "Paket", "position": "Nomor", "item_id": "Butir"}}


@pytest.mark.parametrize("register_first", [True, False])
def test_answers_by_position_are_named_by_the_register(new_workspace, register_first):
    sources = [{"name": "butir", "file": "data/raw/r.csv", "mapping": "butir"}, PRE]
    rows = [HEADER, *ROWS, [run("11111111_11111112"), "F2", "B", "C"], [run("11111111_11111113"), "F3", "B", "C"]]
    mapping = change(SESSION, answers={"pattern": r"Soal (?P<position>\d+)", "omitted": ["X"], "not_reached": [""]})
    workspace = new_workspace(
        {"cbt.csv": write_csv(rows), "r.csv": REGISTER},
        {"cbt": mapping, "butir": FORM_ITEM},
        sources if register_first else sources[::-1],
        forms={"F1": {"assessment": "PED"}, "F2": {"assessment": "PED"}},
    )
    reasons = check_accounts(workspace, run_ingest(workspace))
    assert reasons["cbt"] == {"unknown_form": 1}
    assert answers_of(workspace) == {
        0: {"P-07": ("A", "answered"), "P-03": ("B", "answered")},
        1: {"P-07": ("C", "answered"), "P-03": (None, "not_reached")},
        2: {"P-07": (None, "omitted"), "P-03": ("D", "answered")},
        3: {"P-09": ("B", "answered")},
    }


def test_answers_by_item_take_a_prefix(ingest):
    workspace, _ = ingest(
        write_csv([HEADER, *ROWS]), change(SESSION, answers={"pattern": r"Soal (?P<item>\d)", "prefix": "PED-"})
    )
    assert set(answers_of(workspace)[0]) == {"PED-1", "PED-2"}


def test_items_that_were_not_shown_are_no_omissions(ingest):
    mapping = change(SESSION, answers={**SESSION["answers"], "not_presented": ["-"]})
    workspace, _ = ingest(write_csv([HEADER, [A, "F1", "-", "B"], [B, "F1", "X", "C"]]), mapping)
    assert {row: answers["1"][1] for row, answers in answers_of(workspace).items()} == {
        0: "not_presented",
        1: "omitted",
    }


def test_response_times_stand_beside_their_answers(ingest):
    answers = {**SESSION["answers"], "times": r"Waktu (?P<item>\d+)", "times_in": "seconds"}
    rows = [[*HEADER, "Waktu 2", "Waktu 1"], [A, "F1", "A", "B", "3,5", "12"], [B, "F1", "C", "D", "?", "-1"]]
    workspace, _ = ingest(write_csv(rows, ";"), change(SESSION, answers=answers, format={"separator": ";"}))
    stored = canonical(workspace, "answer")
    found = stored.sort_values(["session_id", "item_id"])["milliseconds"].tolist()
    assert found[:2] == [12_000, 3_500]
    assert pd.isna(found[2:]).all()  # what cannot be read, or is negative, is no time


def test_keys_in_the_order_of_the_items(ingest):
    mapping = {"table": "key", "columns": {"item_id": {"numbered": "PED-{row}"}, "correct": "key"}}
    workspace, _ = ingest("key\nB\nD\n", mapping, source={"name": "cbt", "mapping": "cbt"})
    assert canonical(workspace, "key")[["item_id", "correct"]].to_numpy().tolist() == [["PED-1", "B"], ["PED-2", "D"]]


def test_no_column_fits_the_pattern(ingest):
    with pytest.raises(SchemaError) as caught:
        ingest(write_csv([HEADER, *ROWS]), change(SESSION, answers={"pattern": r"Q(?P<item>\d+)"}))
    assert "no column fits the answer pattern" in told(caught)


def test_a_position_that_is_no_number_is_refused(ingest):
    rows = [[*HEADER, "Soal uraian"], *[[*row, "x"] for row in ROWS]]
    with pytest.raises(BgtkError) as caught:
        ingest(write_csv(rows), change(SESSION, answers={"pattern": r"Soal (?P<position>.+)"}))
    assert "position" in told(caught)


def test_scored_answers(ingest):
    rows = [HEADER, [A, "F1", "1", "0"], [B, "F1", "0", ""], [C, "F1", "0.5", "1"]]
    workspace, _ = ingest(write_csv(rows), forms={"F1": {"assessment": "PED", "scored": True}})
    run_stages(workspace)
    scores = workspace.read_derived("scores").sort_values("session_id")
    assert scores["points"].tolist() == [1.0, 0.0, 1.5]
    assert set(scores["points_max"]) == {2.0}


def test_totals_without_answers(ingest):
    mapping = {
        "table": "session",
        "format": {"decimal": ","},
        "person": {"ids": ["nuptk"]},
        "columns": {"nuptk": "NUPTK", "form_id": {"value": "F1"}, "total_points": "Skor", "total_max": {"value": "40"}},
    }
    workspace, aside = ingest(f'NUPTK,Skor\n{A},"31,5"\n{B},12\n{C},\n', mapping)
    assert aside == {}
    assert canonical(workspace, "total")["points_max"].tolist() == [40.0, 40.0, 40.0]
    run_stages(workspace)
    assert sorted(workspace.read_derived("scores")["score_pct"].tolist()) == [30.0, 78.75]
    lost = workspace.read_derived("unscorable")
    assert lost["reason"].tolist() == ["no_answers"], "a sitting without its only score is no silent zero"


def test_constants_wave_and_form_come_from_mapping_and_source(ingest):
    mapping = {**SESSION, "columns": {"nuptk": "NUPTK", "venue": {"value": "Aula BGTK"}}}
    workspace, _ = ingest(write_csv([HEADER, *ROWS]), mapping, source={**PRE, "form": "F1"})
    frame = canonical(workspace, "session")
    assert set(frame["venue"]) == {"Aula BGTK"}
    assert set(frame["form_id"]) == {"F1"}
    assert set(frame["wave"]) == {"pre"}


def test_what_nothing_says_is_required(ingest):
    mapping = {**SESSION, "columns": {"nuptk": "NUPTK"}}
    with pytest.raises(SchemaError) as caught:
        ingest(write_csv([HEADER, *ROWS]), mapping, source={k: v for k, v in PRE.items() if k != "wave"})
    assert "the table session needs the columns wave, form_id" in told(caught)


def test_a_file_without_rows_is_a_source_without_rows(ingest):
    workspace, aside = ingest(write_csv([HEADER]))
    assert aside == {}
    assert len(canonical(workspace, "session")) == 0
    run_stages(workspace)


def test_trial_accounts_are_marked_by_whole_words(ingest):
    names = ["UJI COBA 01", "Ujian Cobain", "akun tes"]
    rows = [[*HEADER, "Nama"], *[[*row, name] for row, name in zip(ROWS, names, strict=True)]]
    workspace, _ = ingest(
        write_csv(rows), change(SESSION, test_account={"column": "Nama", "words": ["uji coba", "akun tes"]})
    )
    assert canonical(workspace, "session")["test_account"].tolist() == [True, False, True]
    assert workspace_record(workspace)["test_accounts"] == 2


# ------------------------------------------------------------------ mappings


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"table": "sesion"}, "Did you mean “session”?"),
        ({"columns": {"nuptk": "NUPTK", "form": "Paket"}}, "columns: “form” is not known. Did you mean “form_id”?"),
        (
            {"columns": {"nuptk": "NUPTK", "form_id": {"column": "Paket", "value": "F1"}}},
            "form_id: give either `column` or `value`.",
        ),
        ({"columns": {"nuptk": "NUPTK", "form_id": {}}}, "form_id: give either `column` or `value`."),
        (
            {"columns": {"nuptk": "NUPTK", "district": "Kab"}},
            "district needs a `system` (name, kemendagri, bps, dapodik)",
        ),
        ({"person": None}, "needs `person`"),
        ({"person": {"ids": []}}, "needs `person`"),
        ({"person": {"ids": ["nip"]}}, "person.ids names nip, which is not among `columns`."),
        ({"person": {"ids": ["npwp"]}}, "“npwp” is not known"),
        ({"answers": {"pattern": r"Soal \d+"}}, "must be a regular expression with a group"),
        ({"answers": {"pattern": r"Soal (?P<item>"}}, "must be a regular expression with a group"),
        ({"format": {"decimal": ";"}}, "“;” is not known"),
        ({"format": {"header_rows": "0"}}, "is out of range; needed is ≥ 1"),
        ({"formt": {}}, "formt: this name is not known. Did you mean “format”?"),
        ({"columns": "NUPTK"}, "must be name: value pairs"),
    ],
)
def test_a_mapping_is_read_strictly(facts, message):
    with pytest.raises(ParameterError) as caught:
        declare(Mapping, {**SESSION, **facts}, where="data/mappings/cbt.yaml")
    assert message in told(caught)


def test_columns_that_are_not_there_are_named_with_those_that_are(ingest):
    with pytest.raises(SchemaError) as caught:
        ingest(write_csv([["Nuptk", *HEADER[1:]], *ROWS]))
    assert (
        told(caught)
        == "cbt.csv: the columns NUPTK are not there. There are: Nuptk, Paket, Soal 1, Soal 2. Correct the mapping file."
    )


def test_refused_columns_cannot_be_mapped_and_are_dropped_when_they_come(ingest):
    rows = [[*HEADER, "Nama Ibu Kandung", "No HP", "Agama"], *[[*row, "SITI", "081234567890", ""] for row in ROWS]]
    with pytest.raises(SchemaError) as caught:
        ingest(write_csv(rows), session_with(venue="Nama Ibu Kandung"))
    assert "hold personal data that may not be taken" in told(caught)
    workspace, _ = ingest(write_csv(rows))
    assert workspace_record(workspace)["refused"] == ["mother's name"]
    assert_nowhere(workspace, "SITI", "081234567890")


def read_everything(workspace):
    """Return all that ingest wrote, as text: JSON as it stands, tables with every value."""
    parts = []
    for path in sorted(workspace.root.rglob("*")):
        if not path.is_file() or "raw" in path.relative_to(workspace.root).parts:
            continue
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
            parts.append(frame.astype(object).to_csv())
        else:
            parts.append(path.read_text(encoding="utf-8"))
    return "\n".join(parts)


def assert_nowhere(workspace, *words):
    whole = read_everything(workspace)
    assert len(whole) > 500
    for word in words:
        assert word not in whole


# ------------------------------------------------------------------ shapes of identifiers


@pytest.mark.parametrize(
    ("written", "kind", "shape"),
    [
        (run("12345678_90123456"), "nuptk", "ok"),
        (run("00000000_00000001"), "nuptk", "ok"),
        (None, "nuptk", "none"),
        (run("12345678_9012345"), "nuptk", "length"),
        (run("12345678_901234567"), "nuptk", "length"),
        ("1,23457E+15", "nuptk", "exponent"),
        ("1.23457e15", "nuptk", "exponent"),
        ("1E+15", "nuptk", "exponent"),
        (run("12345678_90123456.0"), "nuptk", "decimal"),
        (run("12345678_90123456,00"), "nuptk", "decimal"),
        ("12345678901234S6", "nuptk", "letters"),
        ("1234 5678 9012 3456", "nuptk", "letters"),
        (run("'12345678_90123456"), "nuptk", "letters"),
        ("-", "nuptk", "letters"),
        (run("00000000_00000000"), "nuptk", "repeated"),
        (run("99999999_99999999"), "nuptk", "repeated"),
        ("99", "nuptk", "repeated"),
        (run("19800101_2005011001"), "nip", "ok"),
        (run("19800101_20050110"), "nip", "length"),
        (run("18710101_01900001"), "nik", "ok"),
        ("anything 1", "local", "ok"),
        (None, "local", "none"),
        (run("١٢٣٤٥٦٧٨_٩٠١٢٣٤٥٦"), "nuptk", "letters"),
    ],
)
def test_shapes_of_identifiers(written, kind, shape):
    assert shape_of_ids(pd.Series([written], dtype="str"), kind).tolist() == [shape]


def test_a_damaged_identifier_joins_nobody(ingest):
    """Two persons whose number a spreadsheet rounded to the same text are not one person."""
    mapping = change(SESSION, person={"ids": ["nuptk", "nip"]}, columns={**SESSION["columns"], "nip": "NIP"})
    header = ["NIP", *HEADER]
    rows = [
        header,
        [run("19800101_2005011001"), "1,23457E+15", "F1", "A", "B"],
        [run("19800101_2005011002"), "1,23457E+15", "F1", "C", "B"],
        ["", "1,23457E+15", "F1", "C", "B"],
    ]
    workspace, aside = ingest(write_csv(rows), mapping)
    frame = canonical(workspace, "session")
    assert aside == {"no_person": 1}
    assert frame["pid"].nunique() == 2
    assert frame["id_shape"].tolist() == ["exponent", "exponent"]


# ------------------------------------------------------------------ identity

NIP, NIK = run("19800101_2005011001"), run("18710101_01800001")


def two_sources(new_workspace, pre, post, ids=("nuptk", "nip", "nik")):
    columns = {kind: kind.upper() for kind in ids} | {"form_id": {"value": "F1"}}
    mapping = {
        "table": "session",
        "person": {"ids": list(ids)},
        "columns": columns,
        "answers": {"pattern": "Soal (?P<item>.)"},
    }
    header = [*(kind.upper() for kind in ids), "Soal 1"]
    return new_workspace(
        {
            "pre.csv": write_csv([header, *[[*row, "A"] for row in pre]]),
            "post.csv": write_csv([header, *[[*row, "B"] for row in post]]),
        },
        {"cbt": mapping},
        [{**PRE, "name": wave, "file": f"data/raw/{wave}.csv", "wave": wave} for wave in ("pre", "post")],
    )


def pids(workspace, wave):
    frame = canonical(workspace, "session")
    return frame.loc[frame["wave"] == wave, "pid"].tolist()


def test_nuptk_nip_and_nik_bridge_to_one_person(new_workspace):
    workspace = two_sources(
        new_workspace,
        [[A, NIP, ""], [B, "", ""]],
        [["", NIP, NIK], ["", "", NIK], [B, "", ""], ["", "", run("18710101_01800002")]],
    )
    record = run_ingest(workspace)
    check_accounts(workspace, record)
    before, after = pids(workspace, "pre"), pids(workspace, "post")
    assert after[0] == after[1] == before[0], "NUPTK–NIP in one row, NIP–NIK in another, NIK alone in a third"
    assert after[2] == before[1]
    assert after[3] not in before
    assert len(set(before)) == 2
    assert len(canonical(workspace, "identity_conflict")) == 0


def test_the_same_digits_of_another_kind_are_another_identifier(new_workspace):
    workspace = two_sources(new_workspace, [[A, "", ""]], [["", "", A]])
    run_ingest(workspace)
    assert pids(workspace, "pre") != pids(workspace, "post")


def test_two_numbers_of_a_kind_under_one_person_are_a_conflict(new_workspace):
    workspace = two_sources(new_workspace, [[A, NIP, ""]], [[B, NIP, ""]])
    run_ingest(workspace)
    assert pids(workspace, "pre") == pids(workspace, "post")
    assert canonical(workspace, "identity_conflict")["pid"].tolist() == pids(workspace, "pre")


def test_pseudonyms_are_stable_over_runs_and_orders(new_workspace):
    workspace = two_sources(new_workspace, [[A, NIP, ""], [B, "", ""]], [["", NIP, NIK]])
    run_ingest(workspace)
    before = pids(workspace, "pre")
    run_ingest(workspace)
    assert pids(workspace, "pre") == before
    path = workspace.root / "data/raw/pre.csv"
    header, first, second = path.read_text().splitlines()
    path.write_text(f"{header}\n{second}\n{first}\n")
    run_ingest(workspace)
    assert pids(workspace, "pre") == before[::-1]
    (workspace.secrets / "ledger.parquet").unlink()
    run_ingest(workspace)
    assert pids(workspace, "pre") == before[::-1], (
        "the key alone gives the same names while the identifiers are the same"
    )


def test_the_ledger_remembers_a_bridge_that_is_no_longer_sent(new_workspace):
    workspace = two_sources(new_workspace, [[A, NIP, ""]], [["", NIP, ""]])
    run_ingest(workspace)
    before = pids(workspace, "pre")
    path = workspace.root / "data/raw/pre.csv"
    path.write_text(path.read_text().replace(NIP, ""))
    run_ingest(workspace)
    assert pids(workspace, "pre") == pids(workspace, "post") == before


def test_a_new_identifier_does_not_rename_a_known_person(tmp_path):
    key, ledger = b"k" * 32, tmp_path / "ledger.parquet"
    first = resolve_persons(pd.DataFrame({"nuptk": [A, B], "nik": [None, None]}), key=key, ledger=ledger).pids
    for nik in (run("18710101_01800001"), run("18710101_01800002"), run("18710101_01800003")):
        again = resolve_persons(pd.DataFrame({"nuptk": [A, None], "nik": [nik, nik]}), key=key, ledger=ledger).pids
        assert again.tolist() == [first[0], first[0]]


def test_pseudonyms_cannot_be_taken_for_identifiers_and_depend_on_the_key(tmp_path):
    ids = pd.DataFrame({"nuptk": [f"{n:016d}" for n in range(1, 2000)]})
    one = resolve_persons(ids, key=b"1" * 32, ledger=tmp_path / "1.parquet").pids
    two = resolve_persons(ids, key=b"2" * 32, ledger=tmp_path / "2.parquet").pids
    assert one.is_unique
    assert one.str.fullmatch(r"t[a-z2-7]{16}").all()
    assert not one.str.contains(r"\d{12}").any()
    assert not set(one) & set(two)
    assert hash_value(b"1" * 32, "nuptk", A) != hash_value(b"1" * 32, "nik", A)


def test_another_key_or_a_lost_one_is_a_refusal(new_workspace):
    workspace = two_sources(new_workspace, [[A, NIP, ""]], [[A, NIP, ""]])
    run_ingest(workspace)
    path = workspace.secrets / "key"
    held = path.read_text()
    path.write_text("ab" * 32)
    with pytest.raises(LinkageError) as caught:
        run_ingest(workspace)
    assert "is not the one used before" in told(caught)
    path.unlink()
    with pytest.raises(LinkageError) as caught:
        run_ingest(workspace)
    assert "is gone" in told(caught)
    assert not path.exists(), "a lost key is not replaced"
    path.write_text(held)
    run_ingest(workspace)


@pytest.mark.parametrize("content", ["", "not hexadecimal", "é"])
def test_a_key_that_is_no_key_is_a_refusal(new_workspace, content):
    workspace = two_sources(new_workspace, [[A, NIP, ""]], [[A, NIP, ""]])
    run_ingest(workspace)
    (workspace.secrets / "key").write_text(content, encoding="utf-8")
    with pytest.raises(LinkageError):
        run_ingest(workspace)


def test_key_and_identifiers_are_nowhere_but_beside_each_other(new_workspace):
    said = []
    workspace = two_sources(new_workspace, [[A, NIP, NIK], [B, "", ""]], [[A, NIP, NIK]])
    run_stages(workspace, tell=said.append)
    key = (workspace.secrets / "key").read_text()
    assert re.fullmatch(r"[0-9a-f]{64}", key)
    assert workspace.root not in workspace.secrets.parents
    assert_nowhere(workspace, key, A, B, NIP, NIK, hash_value(bytes.fromhex(key), "nuptk", A))
    messages = "".join(text.id + text.en for text in said)
    assert not any(word in messages for word in (key, A, B, NIP, NIK))
    for name in ("key", "ledger.parquet"):
        assert stat.S_IMODE((workspace.secrets / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(workspace.secrets.stat().st_mode) == 0o700
    ledger = pd.read_parquet(workspace.secrets / "ledger.parquet")
    assert set(ledger.columns) == {"id_kind", "id_hmac", "pid"}
    assert not any(word in ledger.to_csv() for word in (A, B, NIP, NIK))


def test_persons_by_their_place_in_the_file(ingest):
    """Where rows hold no identifier, two rows a person: the first two are one, the next two another."""
    mapping = {
        "table": "session",
        "person": {"rows": 2, "group": "study"},
        "columns": {"form_id": {"value": "F1"}, "wave": "w"},
        "answers": {"pattern": "q(?P<item>.)"},
    }
    source = {"name": "cbt", "mapping": "cbt"}
    workspace, _ = ingest("w,q1\npre,1\npost,0\npre,0\npost,1\n", mapping, source=source)
    frame = canonical(workspace, "session")
    assert frame["pid"].iloc[0] == frame["pid"].iloc[1]
    assert frame["pid"].iloc[2] == frame["pid"].iloc[3]
    assert frame["pid"].nunique() == 2


# ------------------------------------------------------------------ Dapodik


def teacher(**facts):
    return {
        "ptk_id": "p", "nuptk": A, "nip": None, "nik": NIK, "tanggal_lahir": "1980-01-01", "jenis_kelamin": "P",
        "status_kepegawaian_id": "1", "jenis_ptk_id": "4", "ptk_induk": "1", "pendidikan_terakhir": "S1", **facts,
    }  # fmt: skip


@pytest.fixture
def dapodik(new_workspace):
    def read(files):
        texts = {f"gtk/{name}.json": json.dumps({"results": 1, "rows": rows}) for name, rows in files.items()}
        source = {"name": "gtk", "file": "data/raw/gtk/*.json", "adapter": "dapodik_json", "as_of": "2025-09-15"}
        workspace = new_workspace(texts, {}, [source])
        record = run_ingest(workspace)
        return workspace, check_accounts(workspace, record)["gtk"]

    return read


def test_dapodik_teachers(dapodik):
    rows = [
        teacher(nip=NIP, ibu_kandung="SITI", no_hp="081234567890", agama_id_str=None),
        teacher(nuptk=B, nik=run("18710101_01800002"), ptk_induk="0", status_kepegawaian_id="5", jenis_ptk_id="20"),
        teacher(nuptk=C, nik="", jenis_ptk_id="11", status_kepegawaian_id="99", tanggal_lahir=None),
        teacher(nuptk="", nik=None),
    ]
    workspace, aside = dapodik({"10800001": rows[:2], "10800002": rows[2:]})
    assert aside == {"no_person": 1}
    frame = canonical(workspace, "teacher")
    assert frame["npsn"].tolist() == ["10800001", "10800001", "10800002"]
    assert frame["home"].tolist() == [True, False, True]
    assert frame["employment"].tolist() == ["PNS", "honorer", "lainnya"]
    assert frame["ptk_kind"].tolist() == ["guru", "kepala_sekolah", "tendik"]
    assert frame["birth_year"].tolist()[:2] == [1980, 1980]
    assert frame["birth_year"].isna().tolist() == [False, False, True]
    assert (frame["as_of"] == pd.Timestamp("2025-09-15")).all()
    assert frame["birth_hmac"].str.fullmatch("[0-9a-f]{64}").tolist()[:2] == [True, True]
    assert workspace_record(workspace, "gtk")["refused"] == ["mother's name", "phone"]
    assert_nowhere(workspace, "SITI", "081234567890", "1980-01-01", NIP, NIK)


@pytest.mark.parametrize(
    ("status", "nip", "agrees"),
    [
        ("1", run("19800101_2005011001"), True),
        ("1", run("19800201_2005011001"), False),
        ("3", run("19790101_2005011001"), False),
        ("11", run("19800101_2022211001"), True),  # NI PPPK: birth date and year of appointment; 21 is no month
        ("11", run("19800102_2022211001"), False),
        ("5", run("19790101_2005011001"), None),  # an honorary teacher has no NIP; whatever stands there is not judged
        ("1", None, None),
        ("1", "19800101", None),
    ],
)
def test_birth_dates_in_the_nip_are_compared_by_status(dapodik, status, nip, agrees):
    workspace, _ = dapodik({"10800001": [teacher(nip=nip, status_kepegawaian_id=status)]})
    found = canonical(workspace, "teacher")["nip_birth_agrees"].tolist()
    assert [None if pd.isna(value) else value for value in found] == [agrees]


def test_dapodik_numbers_beside_nulls_keep_their_digits(dapodik):
    """Where a WebService writes numbers as numbers, a null beside them must not make floats of them."""
    rows = [
        teacher(nuptk=9_999_999_999_999_998, nik=None),
        teacher(nuptk=None, nik=9_199_999_999_999_997),
        teacher(nuptk=9_999_999_999_999_998, nik=9_199_999_999_999_997),
    ]
    workspace, aside = dapodik({"10800001": rows})
    frame = canonical(workspace, "teacher")
    assert set(frame["id_shape"]) <= {"ok", "none"}
    assert len(set(frame["pid"])) == 1
    assert aside == {"key_twice": 2}


@pytest.mark.parametrize("birth", ["01/01/1980", "lahir 1980", "", "0000-00-00", "1980"])
def test_dapodik_birth_dates_that_cannot_be_read(dapodik, birth):
    workspace, _ = dapodik(
        {"10800001": [teacher(tanggal_lahir=birth, nip=NIP), teacher(nuptk=B, nik=run("18710101_01800002"))]}
    )
    frame = canonical(workspace, "teacher")
    assert frame["birth_year"].dropna().tolist()[-1] == 1980
    assert len(frame) == 2, "a birth date is no ground to lose a teacher"
    assert frame["birth_year"].isna().iloc[0]
    assert pd.isna(frame["nip_birth_agrees"].iloc[0])
    assert pd.isna(frame["birth_hmac"].iloc[0])


def school(**facts):
    return {
        "npsn": "10800001",
        "bentuk_pendidikan_id_str": "SD",
        "status_sekolah": "1",
        "kode_wilayah": "120401",
        "alamat_jalan": "Jl.",
        **facts,
    }


def test_dapodik_schools_are_objects(dapodik):
    files = {
        "a": school(),
        "b": school(npsn="10800002", bentuk_pendidikan_id_str="MTs", status_sekolah="2", kode_wilayah="126001 "),
        "c": [school(npsn="10800003", bentuk_pendidikan_id_str="KB", kode_wilayah="129901")],
        "d": school(npsn="10600003", kode_wilayah="110101"),
        "e": school(npsn=None),
        "f": school(npsn="10800004", kode_wilayah=None),
    }
    workspace, aside = dapodik(files)
    assert aside == {"no_npsn": 1}
    frame = canonical(workspace, "school").set_index("npsn")
    assert frame["jenjang"].to_dict() == {
        "10800001": "SD",
        "10800002": "madrasah",
        "10800003": "PAUD",
        "10600003": "SD",
        "10800004": "SD",
    }
    assert frame["status"].tolist()[:2] == ["negeri", "swasta"]
    known = frame["district"].dropna().to_dict()
    assert known == {"10800001": "18.04", "10800002": "18.71"}
    record = workspace_record(workspace, "gtk")
    assert record["other_province"] == 1, "only a code of another province is another province"
    assert sum(record["unknown_districts"].values()) == 1
    assert record["refused"] == [], "a school's address is no personal field"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"rows": 1}', '{"rows": [1]}', "not json", '{"rows": null}'])
def test_a_file_that_is_no_answer_is_refused(new_workspace, content):
    source = {"name": "gtk", "file": "data/raw/gtk/*.json", "adapter": "dapodik_json"}
    workspace = new_workspace({"gtk/1.json": content}, {}, [source])
    with pytest.raises(SchemaError) as caught:
        run_ingest(workspace)
    assert "Dapodik WebService answer" in told(caught)


def test_teachers_and_schools_are_two_sources(dapodik):
    with pytest.raises(SchemaError) as caught:
        dapodik({"a": [teacher()], "b": school()})
    assert "in two sources" in told(caught)


# ------------------------------------------------------------------ any damage

CELLS = st.one_of(
    st.sampled_from([A, B, C, NIP, "F1", "F9", "A", "B", "X", "", " ", "-", "1,5", "1.234", "0", "18/10/2025 08:00:00", "Metro", "1801", "1E+15", "\u00a0", "NULL"]),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=6),
    st.integers(-(10**20), 10**20).map(str),
)  # fmt: skip
TABLES = st.lists(st.lists(CELLS, min_size=7, max_size=7), max_size=8)
DAMAGES = st.sampled_from(["none", "none", "none", "cut", "drop column", "twice", "bytes", "other separator"])
FUZZ = {
    "table": "session",
    "format": {"separator": ";", "decimal": ","},
    "missing": ["", "-"],
    "person": {"ids": ["nuptk", "nip"]},
    "columns": {
        "nuptk": "NUPTK", "nip": "NIP", "form_id": "Paket", "attempt": "Percobaan",
        "start": {"column": "Mulai", "as": "%d/%m/%Y %H:%M:%S"}, "district": {"column": "Kab", "system": "name"},
    },
    "answers": {"pattern": "Soal (?P<item>.)", "omitted": ["", "X"]},
}  # fmt: skip
FUZZ_HEADER = ["NUPTK", "NIP", "Paket", "Percobaan", "Mulai", "Kab", "Soal 1"]


def damage(text, how):
    match how:
        case "cut":
            return text[: 2 * len(text) // 3].encode()
        case "drop column":
            return "\n".join(line.partition(";")[2] for line in text.splitlines()).encode()
        case "twice":
            return (text + text).encode()
        case "bytes":
            return text.encode() + b"\xff\xfe\x00"
        case "other separator":
            return text.replace(";", "|").encode()
        case _:
            return text.encode()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(rows=TABLES, how=DAMAGES, trim=st.booleans())
def test_whatever_comes_is_accounted_for_or_refused(new_workspace, rows, how, trim):
    """Random cells, random damage: received = accepted + set aside, or a refusal that says what to do. Nothing else."""
    text = write_csv([FUZZ_HEADER, *rows], ";")
    try:
        workspace = new_workspace({"cbt.csv": damage(text, how)}, {"cbt": {**FUZZ, "trim": trim}}, [PRE])
        record = run_ingest(workspace)
    except BgtkError as error:
        assert how != "none" or error.text.en  # noqa: PT017 - either outcome is right
    else:
        check_accounts(workspace, record)
        if how == "none":
            assert record["sources"][0]["received"] == len(rows)
        frame = canonical(workspace, "session")
        assert frame["pid"].notna().all()
        answers = canonical(workspace, "answer")
        assert answers is None or set(answers["session_id"].astype(str)) <= set(frame["session_id"])
    finally:
        shutil.rmtree(workspace.root / "data/canonical", ignore_errors=True)


def test_the_mapping_files_of_the_demonstration_are_sound(small_province):
    for path in sorted(small_province.folder("mappings").glob("*.yaml")):
        declare(Mapping, yaml.safe_load(path.read_text(encoding="utf-8")), where=path.name)
    assert open_workspace(small_province.root).declared == small_province.declared


def test_every_row_of_the_small_province_is_accounted_for(small_province):
    check_accounts(small_province, small_province.stage_record("ingest"))
