"""Workspaces: read strictly, written whole or not at all, and redone exactly when what made them has changed."""

from __future__ import annotations

import os
import shutil

import pandas as pd
import pytest
import yaml
from conftest import write_workspace

from bgtk_lib.errors import ParameterError, SchemaError, StageError
from bgtk_lib.stages.run import run_stages
from bgtk_lib.workspace import open_workspace, waves_by_phase
from bgtk_lib.workspace.declaration import WorkspaceDeclaration
from bgtk_lib.workspace.store import hash_files, read_json, read_table, replacing, write_json, write_table, write_text
from bgtk_lib.workspace.typed import declare, read_yaml

WHOLE = """\
name: office
institution: {name: BGTK Provinsi Lampung}
data_kind: real
sources:
- {name: cbt, file: data/raw/cbt.csv, mapping: cbt, wave: pre}
waves:
  pre: {phase: I, occasion: pre, window: [2025-10-18, 2025-10-19]}
  post: {phase: I, occasion: post}
forms:
  F1: {assessment: PED}
rules: {attempts: first_complete, complete_share: 0.8}
"""
LONG = "12345678" * 2  # an identifier's length


@pytest.fixture
def open_text(tmp_path):
    def write(text):
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "workspace.yaml").write_bytes(content)
        return open_workspace(tmp_path)

    return write


def refuse(open_text, text):
    """Return what the reader is told, in English; both languages must be there."""
    with pytest.raises(ParameterError) as caught:
        open_text(text)
    assert caught.value.text.id != caught.value.text.en
    return caught.value.text.en


# ------------------------------------------------------------------ strict reading


def test_a_sound_declaration_opens_with_its_defaults(open_text):
    workspace = open_text(WHOLE)
    assert workspace.rules.attempts == "first_complete"
    assert workspace.rules.complete_share == 0.8
    assert workspace.rules.window_days == [150, 210]
    assert workspace.language == "id"
    assert workspace.declared.waves["pre"].window[0].isoformat() == "2025-10-18"
    assert list(waves_by_phase(workspace.declared.waves)) == [("pre", "post")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("rules: {attempts", "rules: {atempts"), "rules.atempts: this name is not known. Did you mean “attempts”?"),
        (("data_kind: real", "data_kid: real"), "data_kid: this name is not known. Did you mean “data_kind”?"),
        (("occasion: post", "ocasion: post"), "waves.post.ocasion: this name is not known. Did you mean “occasion”?"),
        (
            ("mapping: cbt, wave: pre", "maping: cbt, wave: pre"),
            "sources.0.maping: this name is not known. Did you mean “mapping”?",
        ),
        (
            ("first_complete", "first_complet"),
            "rules.attempts: “first_complet” is not known. Did you mean “first_complete”?",
        ),
        (("data_kind: real", "data_kind: riil"), "data_kind: “riil” is not known. Did you mean “real”?"),
        (("0.8", "most"), "rules.complete_share: “most” must be a number."),
        (("0.8", "1.8"), "rules.complete_share: “1.8” is out of range; needed is ≤ 1"),
        (("0.8", "0,8"), "rules"),
        (("2025-10-19]", "19/10/2025]"), "waves.pre.window.1: “19/10/2025” must be a date like 2025-10-18."),
        (
            ("[2025-10-18, 2025-10-19]", "[2025-10-18]"),
            "waves.pre.window: “['2025-10-18']” must be a list of the right length.",
        ),
        (("[2025-10-18, 2025-10-19]", "2025-10-18"), "waves.pre.window: “2025-10-18” must be a list, such as [a, b]."),
        (
            ("[2025-10-18, 2025-10-19]", "[2025-10-19, 2025-10-18]"),
            "Wave pre: the first day of the window is after its last.",
        ),
        (("wave: pre", "wave: pra"), "sources.cbt.wave: “pra” is not known. Did you mean “pre”?"),
        (("assessment: PED", "assessment: PDE"), "forms.F1.assessment: “PDE” is not known. Did you mean “PED”?"),
        ((", mapping: cbt", ""), "Source cbt: the table adapter needs a `mapping`."),
        (("name: office\n", ""), "name: is required."),
        (("name: office", "name: ../office"), "name: “../office” does not fit the pattern"),
        (("rules: {", "rules: {cluster: none, "), "rules.cluster: none needs rules.cluster_reason"),
    ],
)
def test_what_is_wrong_is_refused_and_the_nearest_named(open_text, change, told):
    assert change[0] in WHOLE
    assert told in refuse(open_text, WHOLE.replace(*change, 1))


def test_a_number_gets_no_suggestion(open_text):
    """The nearest of numbers is not what was meant."""
    text = refuse(open_text, WHOLE.replace("wave: pre", "wave: '2026'", 1))
    assert "Did you mean" not in text
    assert "Available: pre, post." in text


def test_every_fault_is_told_at_once(open_text):
    text = refuse(open_text, WHOLE.replace("data_kind: real", "data_kind: riil").replace("0.8", "2"))
    assert "data_kind" in text
    assert "rules.complete_share" in text


def test_a_long_number_in_the_wrong_place_is_not_repeated(open_text):
    text = refuse(open_text, WHOLE.replace("attempts: first_complete", f"attempts: {LONG}"))
    assert LONG not in text
    text = refuse(open_text, WHOLE.replace("rules: {", f"rules: {{{LONG}: x, "))
    assert LONG not in text


@pytest.mark.parametrize("written", ["18.10", "0123", "1e5", "yes", "2026-01-01", "~x", "0x1F"])
def test_scalars_stay_text(tmp_path, written):
    (tmp_path / "a.yaml").write_text(f"district: {written}\n", encoding="utf-8")
    assert read_yaml(tmp_path / "a.yaml") == {"district": written}


def test_district_18_10_does_not_become_18_1(open_text):
    workspace = open_text(WHOLE + "reports:\n- {report: change, parameters: {districts: [18.10, 18.1]}}\n")
    assert workspace.declared.reports[0].parameters == {"districts": ["18.10", "18.1"]}


def test_nothing_is_null_and_quoted_null_is_a_word(tmp_path):
    (tmp_path / "a.yaml").write_text("a:\nb: ~\nc: null\nd: 'null'\ne: ''\n", encoding="utf-8")
    assert read_yaml(tmp_path / "a.yaml") == {"a": None, "b": None, "c": None, "d": "null", "e": ""}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            WHOLE.replace("data_kind: real", "data_kind: real\ndata_kind: synthetic"),
            "cannot be read as YAML near line 4",
        ),
        (WHOLE.replace("attempts: first_complete", "attempts: a, attempts: b"), "cannot be read as YAML near line 11"),
        (WHOLE + "  broken: [", "cannot be read as YAML"),
        (WHOLE + "\tx: 1", "cannot be read as YAML"),
        (WHOLE.encode("utf-16"), "is not UTF-8 text"),
        (WHOLE.replace("Lampung", "Lampüng").encode("latin-1"), "is not UTF-8 text"),
        ("- a\n- b\n", "must hold name: value pairs"),
        ("just words", "must hold name: value pairs"),
        ("", "must hold name: value pairs"),
        ("? [a, b]\n: c\n", "cannot be read as YAML"),
        ("a: &x [*x]\n", ""),
        ("a: !!python/object/apply:os.system ['true']\n", "cannot be read as YAML"),
    ],
)
def test_a_file_that_is_no_declaration_is_refused(open_text, content, told):
    assert told in refuse(open_text, content)


def test_a_byte_order_mark_is_no_fault(open_text):
    assert open_text(b"\xef\xbb\xbf" + WHOLE.encode()).declared.name == "office"


def test_no_workspace_here(tmp_path):
    with pytest.raises(ParameterError, match="bgtk demo"):
        open_workspace(tmp_path)
    with pytest.raises(ParameterError, match=r"nowhere\.yaml"):
        read_yaml(tmp_path / "nowhere.yaml")


def test_two_sources_of_one_name(open_text):
    line = "- {name: cbt, file: data/raw/cbt.csv, mapping: cbt, wave: pre}\n"
    assert "Source names that stand twice: cbt" in refuse(open_text, WHOLE.replace(line, 2 * line))


def test_a_declaration_cannot_be_changed():
    declared = declare(WorkspaceDeclaration, yaml.safe_load(WHOLE), where="x")
    with pytest.raises(ValueError, match="frozen"):
        declared.name = "other"


# ------------------------------------------------------------------ files of sources


def test_files_in_the_order_of_their_names(open_text, tmp_path):
    (tmp_path / "data/raw").mkdir(parents=True)
    for name in ("b.csv", "a.csv", "c.txt"):
        (tmp_path / "data/raw" / name).touch()
    (tmp_path / "data/raw/d.csv").mkdir()
    workspace = open_text(WHOLE.replace("cbt.csv", "*.csv"))
    assert [path.name for path in workspace.files_of(workspace.declared.sources[0])] == ["a.csv", "b.csv"]


def test_a_name_with_brackets_is_a_name(open_text, tmp_path):
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "data/raw/hasil [1].csv").touch()
    workspace = open_text(WHOLE.replace("data/raw/cbt.csv", "'data/raw/hasil [1].csv'"))
    assert len(workspace.files_of(workspace.declared.sources[0])) == 1


@pytest.mark.parametrize("pattern", ["data/raw/cbt.csv", "data/raw/*.csv", "data/**x/y", "''"])
def test_no_file_says_which_source(open_text, pattern):
    workspace = open_text(WHOLE.replace("data/raw/cbt.csv", pattern))
    with pytest.raises(ParameterError, match="Source cbt: no file matches"):
        workspace.files_of(workspace.declared.sources[0])


# ------------------------------------------------------------------ the store


def test_replacing_leaves_the_old_folder_on_failure(tmp_path):
    folder = tmp_path / "derived"
    with replacing(folder) as making:
        (making / "a.txt").write_text("first")
    with pytest.raises(RuntimeError, match="half way"), replacing(folder) as making:  # noqa: PT012 - the failure is inside
        (making / "a.txt").write_text("second")
        (making / "b.txt").write_text("half")
        raise RuntimeError("half way")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a.txt": "first"}
    assert [path.name for path in tmp_path.iterdir()] == ["derived"], "nothing half written stays"


def test_replacing_puts_the_old_back_when_the_last_step_fails(tmp_path, monkeypatch):
    """Two renames replace a folder; between them there must be no moment after which nothing is there."""
    folder = tmp_path / "derived"
    with replacing(folder) as making:
        (making / "a.txt").write_text("first")
    rename = type(folder).rename

    def fail(self, target):
        if target == folder and not str(self).endswith("-old"):
            raise PermissionError("somebody has it open")
        return rename(self, target)

    monkeypatch.setattr(type(folder), "rename", fail)
    with pytest.raises(PermissionError), replacing(folder) as making:
        (making / "a.txt").write_text("second")
    assert folder.is_dir(), "the old folder is gone"
    assert (folder / "a.txt").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["derived"]


def test_replacing_takes_away_what_was_there(tmp_path):
    folder = tmp_path / "derived"
    for name in ("one", "two"):
        with replacing(folder) as making:
            (making / name).touch()
    assert [path.name for path in folder.iterdir()] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["derived"]


def test_text_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "first\n")
    monkeypatch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_text(path, "second\n")
    assert path.read_text() == "first\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def test_json_has_one_form_and_no_nan(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n "a": "é",\n "b": 1\n}\n'
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert read_json(tmp_path / "a.json") == {"a": "é", "b": 1}
    assert read_json(tmp_path / "nowhere.json") is None


def test_tables_come_back_as_written(tmp_path):
    frame = pd.DataFrame({"id": ["1".zfill(16), None], "n": pd.array([1, None], dtype="Int64")})
    write_table(tmp_path, "t", frame)
    pd.testing.assert_frame_equal(read_table(tmp_path, "t"), frame)
    assert list(read_table(tmp_path, "t", ["n"]).columns) == ["n"]
    assert read_table(tmp_path, "nowhere") is None


def test_a_fingerprint_of_files_holds_names_and_bytes(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"x")
    second.write_bytes(b"y")
    both = hash_files([second, first], base=tmp_path)
    assert both == hash_files([first, second], base=tmp_path)
    first.write_bytes(b"y")
    second.write_bytes(b"x")
    assert hash_files([first, second], base=tmp_path) != both


# ------------------------------------------------------------------ stale or not

EXPORT = "NUPTK;Paket;Soal 1;Soal 2\n" + "".join(f"{10**15 + 7 * n + 12};F1;{'AB'[n % 2]};A\n" for n in range(12))
MAPPING = {
    "table": "session",
    "format": {"separator": ";"},
    "person": {"ids": ["nuptk"]},
    "columns": {"nuptk": "NUPTK", "form_id": "Paket"},
    "answers": {"pattern": "Soal (?P<item>.+)"},
}
KEY = {"table": "key", "columns": {"item_id": "butir", "correct": "kunci"}}


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """A folder with a workspace after all stages, and its keys. Read only: who changes it takes `small`."""
    folder = tmp_path_factory.mktemp("once")
    workspace = write_workspace(
        folder / "workspace",
        {"pre.csv": EXPORT, "key.csv": "butir,kunci\n1,A\n2,A\n"},
        {"cbt": MAPPING, "key": KEY},
        [
            {"name": "cbt", "file": "data/raw/pre.csv", "mapping": "cbt", "wave": "pre"},
            {"name": "key", "file": "data/raw/key.csv", "mapping": "key"},
        ],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BGTK_KEYS", str(folder / "keys"))
        assert run_stages(workspace) == ["ingest", "check", "review", "score"]
    return folder


@pytest.fixture
def small(run_once, tmp_path, own_keys):
    shutil.copytree(run_once / "keys", own_keys)
    return open_workspace(shutil.copytree(run_once / "workspace", tmp_path / "workspace"))


def edit(workspace, path, old, new):
    file = workspace.root / path
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    return open_workspace(workspace.root)


def test_nothing_changed_nothing_runs(small):
    before = hash_files([p for p in small.root.rglob("*") if p.is_file()], base=small.root)
    assert run_stages(open_workspace(small.root)) == []
    assert hash_files([p for p in small.root.rglob("*") if p.is_file()], base=small.root) == before


def test_a_touched_file_is_not_a_changed_file(small):
    os.utime(small.root / "data/raw/pre.csv", (1, 1))
    assert run_stages(open_workspace(small.root)) == []


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("data/raw/pre.csv", "F1;B;A", "F1;C;A"),
        ("data/raw/key.csv", "1,A", "1,B"),
        ("data/mappings/cbt.yaml", "table: session", "table: session\ntrim: true"),
        ("workspace.yaml", "name: small", "rules: {complete_share: 0.5}\nname: small"),
        ("workspace.yaml", "occasion: pre", "occasion: pre\n    window: [2025-10-18, 2025-10-18]"),
    ],
)
def test_a_change_of_input_mapping_or_rule_runs_everything_again(small, path, old, new):
    before = {stage: small.fingerprint(stage) for stage in ("ingest", "check", "review", "score")}
    workspace = edit(small, path, old, new)
    assert workspace.fingerprint("ingest") != before["ingest"]
    assert run_stages(workspace) == ["ingest", "check", "review", "score"]
    assert all(workspace.fingerprint(stage) != before[stage] for stage in before)
    assert run_stages(open_workspace(small.root)) == []


def test_a_new_file_of_a_source_is_seen(small):
    edit(small, "workspace.yaml", "data/raw/pre.csv", "data/raw/p*.csv")
    run_stages(open_workspace(small.root))
    shutil.copy(small.root / "data/raw/pre.csv", small.root / "data/raw/pre2.csv")
    assert open_workspace(small.root).is_stale("ingest")


def test_a_renamed_file_is_another_input(small):
    edit(small, "workspace.yaml", "data/raw/pre.csv", "data/raw/p*.csv")
    run_stages(open_workspace(small.root))
    (small.root / "data/raw/pre.csv").rename(small.root / "data/raw/pro.csv")
    assert open_workspace(small.root).is_stale("ingest"), "the records name files"


def test_a_decision_runs_checks_and_scores_but_not_ingest(small):
    write_text(small.folder("decisions") / "links.csv", "date,who,form_from,form_to,decision,reason\n")
    assert run_stages(open_workspace(small.root)) == ["check", "review", "score"]
    write_text(
        small.folder("decisions") / "links.csv",
        "date,who,form_from,form_to,decision,reason\n2026-01-01,panel,F1,F2,parallel,same blueprint\n",
    )
    assert run_stages(open_workspace(small.root)) == ["check", "review", "score"]
    assert run_stages(open_workspace(small.root)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [("name: small", "language: en\nname: small"), ("name: small", "reports: [{report: data_quality}]\nname: small")],
)
def test_what_only_selects_or_shows_runs_nothing(small, old, new):
    assert run_stages(edit(small, "workspace.yaml", old, new)) == []


def test_other_control_totals_are_other_inputs(small):
    header = "phase,wave,district,subject,n,source,tolerance\n"
    write_text(small.root / "data/totals.csv", header + "I,pre,,,12,us,0.02\n")
    assert run_stages(edit(small, "workspace.yaml", "name: small", "control_totals: data/totals.csv\nname: small"))
    write_text(small.root / "data/totals.csv", header + "I,pre,,,13,us,0.02\n")
    assert run_stages(open_workspace(small.root)) == ["check", "review", "score"]


@pytest.mark.parametrize(
    "content", ["a,b\n1,2\n", "phase,wave,district,subject,n,source,tolerance\nI,pre,,,many,us,0.02\n", ""]
)
def test_control_totals_that_cannot_be_read(small, content):
    write_text(small.root / "data/totals.csv", content)
    workspace = edit(small, "workspace.yaml", "name: small", "control_totals: data/totals.csv\nname: small")
    with pytest.raises(ParameterError, match=r"data/totals\.csv"):
        _ = workspace.control_totals


def test_until_stops_early_and_a_stage_needs_the_one_before(small):
    workspace = edit(small, "data/raw/pre.csv", "F1;B;A", "F1;D;A")
    assert run_stages(workspace, until="ingest") == ["ingest"]
    assert workspace.is_stale("check")
    shutil.rmtree(workspace.folder("derived"))
    shutil.rmtree(workspace.folder("scores"))
    with pytest.raises(StageError, match="bgtk run"):
        workspace.read_derived("scores")


def test_a_failing_ingest_changes_nothing(small):
    before = hash_files([p for p in small.root.rglob("*") if p.is_file() and "raw" not in p.parts], base=small.root)
    workspace = edit(small, "data/raw/pre.csv", "NUPTK;Paket", "NUPTK;Form")
    with pytest.raises(SchemaError, match="the columns Paket are not there"):
        run_stages(workspace)
    assert (
        hash_files([p for p in small.root.rglob("*") if p.is_file() and "raw" not in p.parts], base=small.root)
        == before
    )
    left = [path.name for path in (small.root / "data").rglob(".*")]
    assert left == [], "nothing half written stays"


def test_accepted_rows_leave_out_what_the_checks_set_aside(small):
    aside = pd.DataFrame({"table": ["session"], "position": [3], "reason": ["no_value"]})
    write_table(small.folder("derived"), "set_aside", aside)
    sessions = small.read_accepted("session")
    answers = pd.concat([part for *_, part in small.read_answers()])
    gone = read_table(small.folder("canonical"), "session")["session_id"].iloc[3]
    assert len(sessions) == 11
    assert gone not in set(sessions["session_id"])
    assert len(answers) == 22
    assert gone not in set(answers["session_id"].astype(str))
    assert small.read_accepted("teacher") is None
