"""A replication package: it makes its report again anywhere, it is found out where it was touched, and it names nobody."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from bgtk_lib import cli
from bgtk_lib.engine.paired import pair_rows
from bgtk_lib.engine.parameters import REPORTS
from bgtk_lib.engine.report import Report
from bgtk_lib.engine.reproduce import compare_figures
from bgtk_lib.engine.rows import load_table
from bgtk_lib.engine.wishes import wish_for
from bgtk_lib.errors import StageError
from bgtk_lib.exports.anonymity import FEWEST_ALIKE
from bgtk_lib.exports.carried import CARRIED, Carried, let_leave
from bgtk_lib.exports.replication import export_replication
from bgtk_lib.exports.request import Terms
from bgtk_lib.findings import Gate, Withheld
from bgtk_lib.words import plain
from bgtk_lib.workspace.store import hash_file, read_table, write_json, write_sealed

TERMS = Terms(reference="DPIA-7", recipient="Universitas Contoh", agreement="12/PKS/2026")
GROUND = ["--reference", "DPIA-7", "--recipient", "Universitas Contoh", "--agreement", "12/PKS/2026"]
CHANGE = {"assessment": "PED", "wave_pre": "p2-pre", "wave_post": "p2-post"}
FACTS = {"district", "jenjang", "sex", "status", "device", "days"}  # as somebody could know them of a person
HEADLINE = {"change.mean", "change.g_av", "change.t", "change.df", "change.p", "pairs.n", "sensitivity.wild_bootstrap"}


def find_page(workspace, slug):
    return workspace.root / "reports" / "draf" / slug / "report.html"


@pytest.fixture(scope="module")
def package(rendered, tmp_path_factory):
    """A package of one change report, moved away from the workspace it was made in, and its manifest."""
    folder = tmp_path_factory.mktemp("handed") / "package"
    made_in = rendered.workspace.folder("exports") / "package"
    page = find_page(rendered.workspace, "change/ped_p2-pre_p2-post_id")
    assert isinstance(export_replication(rendered.workspace, page, TERMS, made_in), dict)
    shutil.move(made_in, folder)
    return folder


@pytest.fixture
def touched(package, tmp_path):
    """A copy of the package to change."""
    return shutil.copytree(package, tmp_path / "touched")


def replicate(folder, *arguments):
    """Run the package's script as its recipient does: no keys, no workspace, no library but its own."""
    env = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    env |= {"PYTHONPATH": str(folder), "HOME": str(folder.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "replicate.py", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def read_manifest(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def read_tables(folder):
    return {path.name: read_table(path.parent, path.name) for path in sorted((folder / "data" / "tables").iterdir())}


def seal_again(folder):
    """Make the hashes fit what was changed."""
    sealed = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    sealed.pop("fingerprint")
    sealed["files"] = {name: hash_file(folder / name) for name in sealed["files"]}
    write_sealed(folder / "expected.json", sealed)


# ---------------------------------------------------------------- the same numbers


def test_the_report_is_made_again_anywhere(package, tmp_path):
    folder = shutil.copytree(package, tmp_path / "elsewhere")
    done = replicate(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    n = len(json.loads((folder / "expected_results.json").read_text(encoding="utf-8"))["figures"])
    assert f"{n} / {n} sama" in done.stdout
    page = (folder / "replicated" / "report.html").read_text(encoding="utf-8")
    assert "DATA CONTOH BUATAN" in page
    code = folder / "bgtk_lib"
    ran = subprocess.run(
        [sys.executable, "-c", "import bgtk_lib; print(bgtk_lib.__file__)"],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == str(code / "__init__.py")  # its own library ran, not the one installed here


def test_the_headline_is_the_published_one_to_the_last_digit(package, rendered):
    moved = {one["name"] for one in read_manifest(package)["numbers"]["moved"] if not one["where"]}
    assert moved.isdisjoint(HEADLINE)
    results = find_page(rendered.workspace, "change/ped_p2-pre_p2-post_id").with_name("results.json")
    published = json.loads(results.read_text(encoding="utf-8"))
    expected = json.loads((package / "expected_results.json").read_text(encoding="utf-8"))
    n, differs = compare_figures("", published, expected, differs=[])
    told = read_manifest(package)["numbers"]
    assert (told["n"], told["equal"]) == (n, n - len(differs))
    assert {one["name"] for one in told["moved"]} == {one.name for one in differs}
    assert {figure["name"] for figure in expected["figures"] if figure["value"] is not None} >= HEADLINE


@pytest.mark.slow
def test_a_number_that_differs_is_named_and_rounding_is_not(touched):
    results = json.loads((touched / "expected_results.json").read_text(encoding="utf-8"))
    mean, size = (next(f for f in results["figures"] if f["name"] == name) for name in ("change.mean", "change.d_z"))
    mean["value"] += 0.001
    size["value"] *= 1 + 1e-13
    write_json(touched / "expected_results.json", results)
    seal_again(touched)
    done = replicate(touched)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "differs: change.mean:" in done.stdout
    assert "1 pembulatan / rounding, 1 berbeda / differ" in done.stdout


def test_an_altered_file_is_named_and_nothing_runs(touched):
    path = touched / "data" / "tables" / "pairs" / "part-0.parquet"
    pairs = pd.read_parquet(path)
    pairs.loc[0, "score_post"] += 1
    pairs.to_parquet(path, index=False)
    done = replicate(touched)
    assert done.returncode == 1
    assert done.stdout.split(": ")[1].strip() == "data/tables/pairs/part-0.parquet"
    assert not (touched / "replicated").exists()


def test_a_seal_that_was_made_to_fit_is_itself_found(touched):
    path = touched / "expected.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"python": "', '"python": "9'), encoding="utf-8")
    done = replicate(touched)
    assert (done.returncode, done.stdout.split(": ")[1].strip()) == (1, "expected.json")


def test_rows_in_another_order_make_the_same_report(rendered):
    wish = wish_for(rendered.workspace, "change", CHANGE)

    def shuffle(table):
        return load_table(rendered.workspace, table).sample(frac=1, random_state=7)

    one = pair_rows(Report(wish.report, wish.parameters, rendered.workspace))
    other = pair_rows(Report(wish.report, wish.parameters, rendered.workspace, load=shuffle))
    pd.testing.assert_frame_equal(one.pairs, other.pairs)
    pd.testing.assert_frame_equal(one.unpaired, other.unpaired)


# ---------------------------------------------------------------- nobody is recognised


def list_secrets(workspace):
    """Every code and name that the workspace or its exports hold: those no other word could be, and npsn."""
    long, schools = set(), set()
    for name in ("session", "teacher", "roster"):
        frame = read_table(workspace.folder("canonical"), name)
        for column in ("pid", "session_id"):
            long |= set(frame[column]) if column in frame else set()
    for path in (workspace.root / "data" / "raw").rglob("*.csv"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file, delimiter=";" if ";" in path.read_text("utf-8-sig")[:80] else ","):
                long |= {row[name] for name in ("NUPTK", "NIP", "Nama", "No Peserta", "Sekolah") if row.get(name)}
                schools |= {row["NPSN"]} if row.get("NPSN") else set()
    return long, schools


def test_no_code_or_name_of_the_workspace_is_in_any_file(package, rendered):
    long, schools = list_secrets(rendered.workspace)
    assert len(long) > 3000
    assert len(schools) > 50
    assert any(" " in one for one in long)  # names are among them
    for name, table in read_tables(package).items():
        cells = {str(cell) for column in table for cell in table[column].dropna()}
        assert cells.isdisjoint(long | schools), name
    for path in (path for path in package.rglob("*") if path.is_file()):
        if package / "bgtk_lib" in path.parents and path.suffix == ".py":
            continue  # code, the same in every package
        text = path.read_bytes().decode("utf-8", errors="replace")
        assert [one for one in long if one in text] == [], path.name
        assert schools.isdisjoint(re.findall(r"\d+", text)) or path.suffix == ".parquet", path.name


def test_the_search_finds_what_it_looks_for(rendered):
    long, schools = list_secrets(rendered.workspace)
    pairs = rendered.workspace.read_derived("pairs")
    assert set(pairs["pid"]) <= long
    assert set(pairs["npsn"].dropna()) <= schools


def test_every_combination_of_what_is_told_is_shared_by_enough(package):
    """Counted anew over both tables of persons, from what stands in the files."""
    tables, manifest = read_tables(package), read_manifest(package)
    told = []
    for name, shape in (("pairs", ["form_pre", "form_post"]), ("unpaired", ["reason"])):
        facts = [column for column in tables[name] if column in FACTS and tables[name][column].notna().any()]
        assert {f"{name}.{fact}" for fact in facts} == {f for f in manifest["facts"] if f.startswith(f"{name}.")}
        counts = tables[name].groupby([*shape, *facts], dropna=False).size()
        told.append(int(counts.min()))
    assert min(told) >= FEWEST_ALIKE
    assert manifest["smallest_combination"] <= min(told)
    assert "pairs.district" in manifest["facts"]  # else nothing was counted
    assert manifest["facts_dropped"]
    sittings = tables["session"]
    assert sittings["reason"].fillna("").value_counts().min() >= FEWEST_ALIKE
    assert sittings["pid"].isna().all()  # no sitting leads to a person


def test_only_rows_of_the_report_are_told_and_no_date(package):
    tables = read_tables(package)
    for name, table in tables.items():
        for column in ("assessment", "wave_pre", "wave_post"):
            if column in table and len(table):
                assert set(table[column]) == {CHANGE[column]}, name
        for column in table.select_dtypes(["datetime", "datetimetz"]):
            assert table[column].isna().all(), f"{name}.{column}"
    for column in ("venue", "device", "row", "form_id", "id_shape"):
        assert tables["session"][column].isna().all(), column
    known = set(tables["pairs"]["pid"]) | set(tables["unpaired"]["pid"])
    assert set(tables["plausible"]["pid"]) <= known
    assert (tables["change_districts"]["n_pairs"] >= FEWEST_ALIKE).all()


def test_where_tables_tell_different_facts_no_school_joins_them(package):
    tables, facts = read_tables(package), read_manifest(package)["facts"]
    assert ("pairs.district" in facts) != ("unpaired.district" in facts)  # else this says nothing
    assert set(tables["pairs"]["npsn"].dropna()).isdisjoint(tables["unpaired"]["npsn"].dropna())


def test_ids_are_drawn_anew_and_keep_no_order_but_that_of_the_hashes(rendered):
    wish = wish_for(rendered.workspace, "change", CHANGE)
    report = Report(wish.report, wish.parameters, rendered.workspace)
    tables = {name: report.read(name) for name in CARRIED["change"]}
    first, second = (let_leave(tables, CARRIED["change"]).tables for _ in range(2))
    for name, column in (("pairs", "pid"), ("pairs", "npsn"), ("session", "session_id")):
        assert set(first[name][column].dropna()).isdisjoint(second[name][column].dropna())
    one, other = (table["pairs"].drop(columns=["pid", "npsn"]) for table in (first, second))
    pd.testing.assert_frame_equal(one, other)
    assert first["pairs"]["pid"].is_monotonic_increasing
    mine = tables["pairs"].sort_values("pid")["score_post"].tolist()
    assert one["score_post"].tolist() == mine != tables["pairs"]["score_post"].tolist()  # the export's order is another


# ---------------------------------------------------------------- by hand

PERSONS = {"pairs": Carried(unit="pid", shape=("form",), facts=("district", "sex"), plain=("npsn", "score"))}
BOTH = PERSONS | {"unpaired": Carried(unit="pid", shape=("reason",), facts=("district",), plain=("npsn",))}


def lay_pairs(n=40, **columns):
    frame = pd.DataFrame({"pid": [f"p{k:03}" for k in range(n)], "form": "F", "district": "A", "sex": "P"})
    return frame.assign(npsn=[f"s{k % 4}" for k in range(n)], score=range(n), name="Ani").assign(**columns)


def test_a_rare_fact_goes_the_district_last():
    places = ["A"] * 20 + ["B"] * 20
    pairs = lay_pairs(district=places, sex=(["P"] * 12 + ["L"] * 8) * 2)
    leaving = let_leave({"pairs": pairs}, PERSONS)
    assert (leaving.facts, dict(leaving.dropped)) == (("pairs.district",), {"pairs.sex": "rare"})
    assert leaving.smallest == 20
    table = leaving.tables["pairs"]
    assert table[["sex", "name"]].isna().all(axis=None)
    assert table["score"].tolist() == list(range(40))
    assert table["npsn"].nunique() == 4


def test_a_rare_district_goes_and_sex_may_stay():
    leaving = let_leave({"pairs": lay_pairs(district=["A"] * 35 + ["B"] * 5, sex=["P", "L"] * 20)}, PERSONS)
    assert (leaving.facts, dict(leaving.dropped)) == (("pairs.sex",), {"pairs.district": "rare"})


def test_who_shares_what_cannot_be_left_out_with_too_few_is_left_out():
    leaving = let_leave({"pairs": lay_pairs(form=["F"] * 36 + ["G"] * 4)}, PERSONS)
    assert (leaving.persons, leaving.rare, set(leaving.tables["pairs"]["form"])) == (36, 4, {"F"})


def test_what_a_report_selects_by_is_kept_and_who_is_rare_by_it_goes():
    pairs = lay_pairs(district=["A"] * 35 + ["B"] * 5)
    leaving = let_leave({"pairs": pairs}, PERSONS, chosen_by=["district"])
    assert (leaving.persons, set(leaving.tables["pairs"]["district"])) == (35, {"A"})


def test_a_school_is_the_same_in_two_tables_only_where_both_tell_the_same():
    left = lay_pairs(12, reason="only_pre", district=["A"] * 6 + ["B"] * 6).drop(columns=["form", "sex", "score"])
    left["pid"] = [f"q{k:03}" for k in range(12)]
    apart = let_leave({"pairs": lay_pairs(district=["A", "B"] * 20, sex="P"), "unpaired": left}, BOTH).tables
    assert apart["unpaired"]["district"].isna().all()
    assert set(apart["pairs"]["npsn"]).isdisjoint(apart["unpaired"]["npsn"])
    pairs = lay_pairs(sex=["P"] * 35 + ["L"] * 5)
    same = let_leave({"pairs": pairs, "unpaired": left.assign(district="A")}, BOTH).tables
    assert set(same["pairs"]["npsn"]) == set(same["unpaired"]["npsn"])


def test_fewer_than_thirty_are_not_exported():
    assert isinstance(let_leave({"pairs": lay_pairs(29)}, PERSONS), Withheld)


def test_rows_of_one_person_count_once():
    sittings = {"session": Carried(unit="session_id", shape=("reason",), facts=("district",))}
    frame = pd.DataFrame({"session_id": [f"s{k}" for k in range(70)], "reason": "ok", "district": "A"})
    pids = [f"p{k}" for k in range(35)] + [f"p{k % 5}" for k in range(35)]  # the last 35 sittings are of five persons
    frame = frame.assign(pid=pids, district=["A"] * 35 + ["B"] * 35)
    leaving = let_leave({"session": frame}, sittings)
    assert dict(leaving.dropped) == {"session.district": "rare"}
    assert leaving.persons == 35


@pytest.mark.parametrize("name", CARRIED)
def test_every_table_that_a_report_reads_has_its_rule(name):
    assert set(CARRIED[name]) == set(REPORTS[name].reads)


# ---------------------------------------------------------------- what is refused


def export(workspace, capsys, *arguments):
    """Run the command; return its exit code and what it said."""
    code = cli.main(["export", "replication", *arguments, "--language", "en", "--workspace", str(workspace.root)])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_the_command_asks_for_a_report_and_the_terms(rendered, capsys, tmp_path):
    page = str(find_page(rendered.workspace, "change/ped_p2-pre_p2-post_id"))
    for given, wanted in (
        (["--report", page], "--reference, --recipient, --agreement"),
        (GROUND, "--report is not given"),
        ([*GROUND, "--report", page, "--form", "PED-1"], "--form does not go with replication"),
        ([*GROUND, "--report", str(tmp_path / "none.html")], "none.html"),
        ([*GROUND, "--report", page, "--to", str(rendered.workspace.root)], "is not empty"),
    ):
        code, said = export(rendered.workspace, capsys, *given)
        assert (code, wanted in said) == (2, True), said


def test_what_cannot_travel_is_refused(rendered, monkeypatch, tmp_path):
    page = find_page(rendered.workspace, "change/ped_p2-pre_p2-post_id")
    gate = Gate(code="D01", state="STOP", message=plain("no such item"))
    with monkeypatch.context() as patch:
        patch.setattr("bgtk_lib.engine.freshness.read_gates", lambda workspace: [gate])
        made = export_replication(rendered.workspace, page, TERMS, tmp_path / "stopped")
    assert isinstance(made, Withheld)
    assert "D01" in made.reason.en
    monkeypatch.delitem(CARRIED, "change")
    with pytest.raises(Exception, match="cannot be packed"):
        export_replication(rendered.workspace, page, TERMS, tmp_path / "unknown")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_package_that_could_make_little_again_is_not_made(rendered, tmp_path):
    """In a small province who was absent is rare in every district: nearly all that coverage counts would be empty."""
    page = find_page(rendered.workspace, "coverage_map/p1-pre_id")
    with pytest.raises(StageError, match="no replication"):
        export_replication(rendered.workspace, page, TERMS, tmp_path / "coverage")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_says_how_many_numbers_come_again(rendered, capsys, tmp_path):
    page = find_page(rendered.workspace, "change/ped_p1-pre_p1-post_en")
    folder = tmp_path / "package"
    code, said = export(rendered.workspace, capsys, *GROUND, "--report", str(page), "--to", str(folder), "--json")
    assert code in (0, 1), said
    manifest = read_manifest(folder)
    assert json.loads(said.splitlines()[-1])["numbers"] == manifest["numbers"]
    readme = (folder / "README.md").read_text(encoding="utf-8")
    numbers = manifest["numbers"]
    assert f"{numbers['equal']} of {numbers['n']} are the same to the last digit" in readme
    for word in ("DPIA-7", "Universitas Contoh", "12/PKS/2026", "replicate.py", "BUATAN"):
        assert word in readme
    codebook = pd.read_csv(folder / "codebook.csv")
    assert set(codebook["table"]) == set(CARRIED["change"])
    assert set(codebook.loc[codebook["kind"] == "fact", "column"]) <= FACTS
