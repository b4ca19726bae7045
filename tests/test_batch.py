"""Batches: only what changed is made again, nothing stale passes for fresh, and no failure spoils the rest."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
import yaml

from bgtk_lib import cli
from bgtk_lib.editions import verify_edition
from bgtk_lib.engine import batch, freshness, run
from bgtk_lib.engine.batch import FILES, make_reports, rehearse
from bgtk_lib.engine.cluster import connect
from bgtk_lib.engine.freshness import Ground, hash_code, list_code, list_differences, sum_by_group
from bgtk_lib.engine.index import entry_path, read_entry
from bgtk_lib.engine.notebooks import notebooks_folder
from bgtk_lib.engine.wishes import list_wishes, read_grid, report_folder, wish_for
from bgtk_lib.errors import ParameterError
from bgtk_lib.stages.frozen import COLUMNS
from bgtk_lib.stages.persons import describe_sittings
from bgtk_lib.stages.review import run_review
from bgtk_lib.stages.score import run_score
from bgtk_lib.workspace import open_workspace

PED = {"assessment": "PED", "wave_pre": "p1-pre", "wave_post": "p1-post"}
LARGE = {"wave_pre": "p2-pre", "wave_post": "p2-post"}
SELATAN, TENGAH = "18.01", "18.02"  # with enough teachers in phase II


def write_notebooks(folder, extra=""):
    """Write every notebook with its own parameters and no more in it than opening and closing, and what is given."""
    folder.mkdir(exist_ok=True)
    for path in notebooks_folder().glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
        name = next(r.name for r in freshness.REPORTS.values() if r.notebook == path.name)
        source = f"from bgtk_lib.engine.report import open_report\nreport = open_report({name!r}, vars())"
        cells = [parameters, *map(nbformat.v4.new_code_cell, (source, extra, "report.close()"))]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata), folder / path.name)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """The folder of the short notebooks: written once, for a cell written again has another id and is another."""
    folder = tmp_path_factory.mktemp("short") / "notebooks"
    write_notebooks(folder)
    return folder


@pytest.fixture
def notebooks(short, tmp_path, monkeypatch):
    """A function that writes short notebooks, which stand in the place of the real ones."""
    folder = shutil.copytree(short, tmp_path / "notebooks")
    for module in (run, freshness):
        monkeypatch.setattr(module, "notebooks_folder", lambda: folder)

    def write(extra=""):
        write_notebooks(folder, extra)

    return write


@pytest.fixture(scope="module")
def whole(small_province, short, tmp_path_factory):
    """The small province with one report, made by a short notebook. Read only: who changes it takes `made`."""
    folder = tmp_path_factory.mktemp("whole") / "province"
    workspace = open_workspace(shutil.copytree(small_province.root, folder))
    with pytest.MonkeyPatch.context() as patch:
        for module in (run, freshness):
            patch.setattr(module, "notebooks_folder", lambda: short)
        make_reports(workspace, [wish(workspace)])
    return workspace


@pytest.fixture
def made(whole, notebooks, tmp_path):
    """A copy of it to change; its report is fresh as long as the short notebooks stay as they are."""
    return open_workspace(shutil.copytree(whole.root, tmp_path / "made"))


@pytest.fixture
def place(notebooks, monkeypatch):
    """Where something can be spoiled."""
    return SimpleNamespace(notebooks=notebooks, monkeypatch=monkeypatch)


def wish(workspace, **parameters):
    return wish_for(workspace, "change", {**PED, **parameters})


def kept(made):
    return [one.kept for one in made]


def alter(path, change):
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def alter_rows(workspace, table, rows, **values):
    """Change some rows of a derived table as if the data had been others."""
    path = workspace.folder("scores") / table / "part-0.parquet"
    frame = pd.read_parquet(path)
    chosen = rows(frame)
    assert chosen.any()
    for column, value in values.items():
        frame.loc[chosen, column] += value
    frame.to_parquet(path, index=False)


# ---------------------------------------------------------------- only what changed


def test_what_did_not_change_is_not_made_again(province_copy, notebooks):
    wishes = [wish(province_copy), wish(province_copy, language="en")]
    first = make_reports(province_copy, wishes)
    pages = [one.page.stat().st_mtime_ns for one in first]
    second = make_reports(province_copy, wishes)
    assert (kept(first), kept(second)) == ([False, False], [True, True])
    assert [one.page.stat().st_mtime_ns for one in second] == pages
    assert [(one.status, one.reason) for one in first] == [(one.status, one.reason) for one in second]
    assert kept(make_reports(province_copy, wishes, anew=True)) == [False, False]


def spoil_rules(workspace, place):
    path = workspace.root / "workspace.yaml"
    declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    declared["rules"] |= {"cluster": "district"}
    path.write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")


def spoil_notebook(workspace, place):
    place.notebooks("changed = 1")


def spoil_code(workspace, place):
    place.monkeypatch.setattr(freshness, "hash_code", lambda *roots: "other")


def spoil_rows(workspace, place):
    alter_rows(workspace, "pairs", lambda frame: frame["assessment"].eq("PED"), score_pre=1e-9)


def spoil_decisions(workspace, place):
    rows = "date,who,code,scope,decision,reason\n2026-05-01,Panel,C05,,lift,dibahas\n"
    (workspace.root / "data" / "decisions").mkdir(exist_ok=True)
    (workspace.root / "data" / "decisions" / "gates.csv").write_text(rows, encoding="utf-8")


def spoil_gates(workspace, place):
    path = workspace.stage_folder("score") / "stage.json"
    alter(path, lambda text: text.replace('"state": "OK"', '"state": "HOLD"'))


def spoil_hidden(workspace, place):
    path = workspace.root / "reports" / "draf" / "plan-10.json"
    plan = json.loads(path.read_text(encoding="utf-8"))
    table = next(name for name in plan["hidden"] if name.startswith("change("))
    plan["hidden"][table]["18.01"] = "small"
    path.write_text(json.dumps(plan), encoding="utf-8")


def spoil_libraries(workspace, place):
    place.monkeypatch.setattr(freshness, "library_versions", lambda: {"pandas": "0"})


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (spoil_rules, "declared"),
        (spoil_notebook, "notebook"),
        (spoil_code, "code"),
        (spoil_rows, "rows"),
        (spoil_gates, "gates"),
        (spoil_hidden, "hidden"),
        (spoil_libraries, "libraries"),
    ],
)
def test_each_part_that_changes_makes_the_report_again(spoil, part, made, place):
    one = wish(made)
    before = read_entry(report_folder(made, one))["depends"]
    assert list_differences(before, Ground(made).find_dependencies(one)) == []
    spoil(made, place)
    again = open_workspace(made.root)
    assert part in list_differences(before, Ground(again).find_dependencies(one))
    assert kept(make_reports(again, [one])) == [False]
    assert kept(make_reports(again, [one])) == [True]


def test_a_lifted_gate_makes_the_report_again(made, place):
    one = wish(made)
    spoil_gates(made, place)
    before = Ground(made).find_dependencies(one)
    spoil_decisions(made, place)
    assert "gates" in list_differences(before, Ground(made).find_dependencies(one))


@pytest.mark.parametrize("name", FILES)
def test_a_file_touched_by_hand_is_made_again(name, made):
    one = wish(made)
    path = report_folder(made, one) / name
    told = [rehearse(made, [one])[0].action]
    alter(path, lambda text: text + " ")
    told.append(rehearse(made, [one])[0].action)
    path.unlink()
    told.append(rehearse(made, [one])[0].action)
    assert told == ["keep", "make", "make"]
    assert kept(make_reports(made, [one])) == [False]


@pytest.mark.parametrize("content", ["", "{", "null", "[]"])
def test_a_spoiled_entry_counts_for_none(content, made):
    one = wish(made)
    entry_path(report_folder(made, one)).write_text(content, encoding="utf-8")
    assert kept(make_reports(made, [one])) == [False]


def test_another_district_s_rows_leave_a_report_alone(province_copy, notebooks):
    """Reports of one district, of another and of all; then the pairs of the one change."""
    wishes = [wish(province_copy, districts=codes, **LARGE) for codes in ([SELATAN], [TENGAH], [])]
    make_reports(province_copy, wishes)
    alter_rows(
        province_copy,
        "pairs",
        lambda frame: frame["assessment"].eq("PED") & frame["district"].eq(SELATAN),
        score_post=1.0,
    )
    assert kept(make_reports(province_copy, wishes)) == [False, True, False]
    alter_rows(province_copy, "pairs", lambda frame: frame["assessment"].eq("KEP"), score_post=1.0)
    assert kept(make_reports(province_copy, wishes)) == [True, True, True]


def test_new_answers_of_one_district_move_only_its_reports_where_the_scores_are_held_fast(province_copy, notebooks):
    """Ten teachers' answers are other ones; calibrations, link and population are frozen."""
    root = province_copy.root
    for part in (root / "data" / "canonical" / "answer").glob("wave=*/form=*"):
        if not part.name.startswith("form=SSL"):
            shutil.rmtree(part)
    row = province_copy.read_derived("links").query("assessment == 'SSL' and wave_pre == 'p2-pre'").iloc[0]
    kinds = {"calibration_pre": "calibration", "calibration_post": "calibration", "fingerprint": "link"}
    kinds |= {"population": "population"}
    lines = [f"2026-11-01,Tim,{kind},{row[name]},sudah diumumkan" for name, kind in kinds.items()]
    frozen = root / "data" / "decisions" / "frozen.csv"
    frozen.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n", encoding="utf-8")

    def score():
        workspace = open_workspace(root)
        run_review(workspace)
        run_score(workspace)
        return make_reports(workspace, [wish(workspace, assessment="SSL", districts=c, **LARGE) for c in wanted])

    wanted = ([SELATAN], [TENGAH], [])
    assert kept(score()) == [False] * 3
    answer_otherwise(province_copy, "SSL-2B", district=SELATAN)
    assert kept(score()) == [False, True, False]


def answer_otherwise(workspace, form, *, district):
    """Let ten teachers of a district choose A on four items of a form of phase II."""
    sat = describe_sittings(workspace, workspace.read_accepted("session"))
    chosen = sat.loc[(sat["form_id"] == form) & (sat["district"] == district), "session_id"].astype("str").head(10)
    path = workspace.root / "data" / "canonical" / "answer" / "wave=p2-post" / f"form={form}" / "part-0.parquet"
    answers = pd.read_parquet(path)
    kinds, nth = answers.dtypes, answers.groupby("session_id", observed=True).cumcount()
    here = answers["session_id"].astype("str").isin(chosen) & (nth < 4)
    assert here.sum() == 40
    for name, value in (("raw", "A"), ("state", "answered")):
        answers[name] = answers[name].astype(object).mask(here, value).astype(kinds[name])
    answers.to_parquet(path, index=False)


def test_sums_see_every_cell_and_the_order():
    frame = pd.DataFrame({"district": ["a", "b", "a", None], "x": [1.0, 2.0, 3.0, float("nan")]})

    def sums(of):
        return dict(sum_by_group(of, ["district"])["groups"])

    before = sums(frame)
    assert len(before) == 3
    for place, value in ((0, 1.0 + 1e-15), (2, 3.5)):
        other = sums(frame.assign(x=frame["x"].where(frame.index != place, value)))
        assert {key for key in before if before[key] != other[key]} == {"a"}
    assert sums(frame.iloc[[2, 1, 0, 3]])["a"] != before["a"]
    assert sum_by_group(frame.rename(columns={"x": "y"}), [])["columns"] != sum_by_group(frame, [])["columns"]


def test_code_counts_where_it_is_used():
    """A change report rests on the estimate of change; the made-up province and the command line are nobody's ground."""
    used = {path.relative_to(freshness.LIBRARY).as_posix() for path in list_code("04_change.ipynb")}
    assert {"change/estimate.py", "change/multilevel/shrink.py", "display/change.py", "engine/html.py"} <= used
    assert not {path for path in used if path.startswith(("synthetic", "exports")) or path == "cli.py"}
    assert hash_code("04_change.ipynb") != hash_code("00_data_quality.ipynb")


# ---------------------------------------------------------------- one failure, and the rest

LIMIT = 15  # far more than a good report needs on a busy machine, for it must not end one
POISON = {
    "an error": ("1 / 0", "ZeroDivisionError"),
    "a dead kernel": ("import os; os._exit(9)", "process died"),
    "no results": ("type(report).close = lambda self: None", "did not write its results"),
}
ENDLESS = ("import time; time.sleep(300)", f"longer than {LIMIT} seconds")


@pytest.mark.parametrize(
    ("poison", "limit"), [([*POISON.values()], None), ([ENDLESS], LIMIT)], ids=["a fault of its own", "no end"]
)
def test_a_failure_is_explained_and_the_rest_is_made(poison, limit, province_copy, notebooks):
    """Each failure in an assessment of its own, with a good report before and after them."""
    spoiled = dict(zip(("KEP", "SSL", "MAT"), poison, strict=False))
    among = [wish(province_copy, assessment=code) for code in spoiled]
    wishes = [wish(province_copy), *among, wish(province_copy, language="en")]
    good = make_reports(province_copy, wishes)[1:-1]
    before = [one.page.read_bytes() for one in good]
    notebooks("\n".join(f"if assessment == {code!r}:\n    {source}" for code, (source, _) in spoiled.items()))
    first, *failed, last = make_reports(province_copy, wishes, limit=limit)
    assert "failed" not in (first.status, last.status)
    assert {one.status for one in failed} == {"failed"}
    index = (province_copy.root / "reports" / "draf" / "index.html").read_text(encoding="utf-8")
    for one, (_, says) in zip(failed, poison, strict=True):
        assert says in one.reason.en
        assert one.reason.id.split(":")[0].split(" (")[0] in index
    assert [one.page.read_bytes() for one in good] == before  # the old pages are still whole
    notebooks()
    assert "failed" not in {one.status for one in make_reports(province_copy, wishes)}


FULL = """
import resource, signal, sys
from bgtk_lib.engine.batch import make_reports
from bgtk_lib.engine.wishes import wish_for
from bgtk_lib.workspace import open_workspace
workspace = open_workspace(sys.argv[1])
pair = {"wave_pre": "p1-pre", "wave_post": "p1-post"}
one = wish_for(workspace, "change", pair | {"assessment": "PED"})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))  # a page is larger, a list of reports is not
made = make_reports(workspace, [one])[0]
print(made.status, made.reason.en)
"""


def test_a_full_disk_spoils_nothing_and_the_next_run_goes_on(province_copy):
    one = wish(province_copy)
    Ground(province_copy).find_dependencies(one)  # writes its sums while there is room
    told = subprocess.run(
        [sys.executable, "-c", FULL, str(province_copy.root)], capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith("failed"), told.stdout
    assert "disk is full" in told.stdout
    folder = report_folder(province_copy, one)
    assert not folder.exists()
    assert not [*folder.parent.glob(".*")]  # nothing half-made
    assert make_reports(province_copy, [one])[0].status == "held"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_an_interrupted_batch_goes_on_where_it_was(province_copy, notebooks):
    wishes = [wish_for(province_copy, "change", {**PED, "assessment": code}) for code in ("PED", "KEP", "SSL")]
    told = []

    def interrupt(text):
        told.append(text)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_reports(province_copy, wishes, interrupt, workers=1)
    there = [report_folder(province_copy, one).is_dir() for one in wishes]
    assert told
    assert 1 <= sum(there) < 3
    assert (province_copy.root / "reports" / "draf" / "index.html").is_file()
    states = [read_entry(report_folder(province_copy, one))["status"] for one in wishes]
    assert [state == "failed" for state in states] == [not done for done in there]
    assert kept(make_reports(province_copy, wishes)) == there


def test_an_interruption_leaves_no_earlier_page_as_if_it_were_this_one(made, notebooks):
    one = wish(made)
    notebooks("changed = 1")
    others = [wish(made, assessment=code) for code in ("KEP", "SSL")]

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_reports(made, [*others, one], interrupt, workers=1)
    assert (report_folder(made, one) / "report.html").is_file()
    assert read_entry(report_folder(made, one))["href"] is None
    index = (made.root / "reports" / "draf" / "index.html").read_text(encoding="utf-8")
    assert "Belum dibuat ulang" in index


def test_a_rehearsal_of_a_new_edition_leaves_no_trace_in_it(province_copy, notebooks, tmp_path):
    plan = {"report": "change", "parameters": PED, "grid": {"districts": "all"}, "minimum": 10_000}
    wishes = list_wishes(province_copy, plans=read_grid(write_grid(tmp_path, plan)).reports, edition="baru")
    assert {one.action for one in rehearse(province_copy, wishes)} == {"withhold"}
    rehearse(province_copy, [wish_for(province_copy, "change", PED, edition="baru")])
    assert not (province_copy.root / "reports" / "baru").exists()


def read_without_times(made):
    """Every file of every report, without the moment at which the report was made."""
    found = {}
    for one in made:
        time = json.loads((one.page.parent / "passport.json").read_text(encoding="utf-8"))["made"]
        for path in (one.page.parent / name for name in FILES):
            found[path] = path.read_text(encoding="utf-8").replace(time, "")
    return found


def test_side_by_side_is_the_same_as_one_by_one(province_copy):
    """The real notebooks, to the byte apart from times."""
    wishes = [wish(province_copy), wish_for(province_copy, "coverage_map", {"wave": "p1-pre"})]
    found = [read_without_times(make_reports(province_copy, wishes, workers=n, anew=True)) for n in (1, 4)]
    assert found[0] == found[1]


@pytest.mark.slow
def test_255_side_by_side_are_the_same_as_one_by_one(province_copy):
    """The list that bench/memory.py makes; 22 minutes on a busy machine."""
    spec = importlib.util.spec_from_file_location("bench_memory", Path(__file__).parents[1] / "bench" / "memory.py")
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    wishes = bench.list_many(province_copy, 255)
    found = [read_without_times(make_reports(province_copy, wishes, workers=n, anew=True)) for n in (2, 1)]
    assert len(found[0]) == 255 * len(FILES)
    assert [path for path, text in found[0].items() if text != found[1][path]] == []


# ---------------------------------------------------------------- grids


def write_grid(folder, *plans, **more):
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump({"reports": list(plans), **more}), encoding="utf-8")
    return path


def slugs(workspace, path):
    return [one.slug for one in list_wishes(workspace, plans=read_grid(path).reports)]


def test_a_grid_is_multiplied_out_with_all_values_without_some_and_with_others(small_province, tmp_path):
    plan = {
        "report": "change",
        "grid": {"assessment": ["PED", "KEP", "SSL"], "waves": "all"},
        "exclude": [{"assessment": "KEP", "waves": ["p2-pre", "p2-post"]}, {"assessment": ["SSL"]}],
        "include": [{"assessment": "MAT", "wave_pre": "p1-pre", "wave_post": "p1-post"}],
    }
    found = slugs(small_province, write_grid(tmp_path, plan))
    pairs = [pair.removesuffix("-pre") for pair in small_province.declared.waves if pair.endswith("-pre")]
    wanted = [f"{code}_{p}-pre_{p}-post_id" for code in ("ped", "kep") for p in pairs if (code, p) != ("kep", "p2")]
    assert found == [*wanted, "mat_p1-pre_p1-post_id"]


def test_all_districts_are_fifteen(small_province, tmp_path):
    plan = {"report": "change", "parameters": PED, "grid": {"districts": "all"}}
    assert len(slugs(small_province, write_grid(tmp_path, plan))) == 15


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ({"reports": [{"report": "chnge"}]}, "change"),
        ({"reports": [{"report": "change", "grids": {}}]}, "grid"),
        ({"reports": [{"report": "change", "grid": {"assessment": []}}]}, "assessment"),
        ({"reports": [{"report": "change", "grid": {"population_label": "all"}}]}, "population_label"),
        ({"reports": [{"report": "change", "parameters": PED, "minimum": 0}]}, "minimum"),
        ({"reports": [{"report": "change", "parameters": PED}], "editions": "x"}, "edition"),
        ({"reports": [{"report": "change", "parameters": PED, "include": [{"distrits": "18.01"}]}]}, "districts"),
    ],
)
def test_an_impossible_grid_is_refused_before_anything_runs(grid, says, small_province, capsys):
    path = small_province.root / "impossible.yaml"
    path.write_text(yaml.safe_dump(grid), encoding="utf-8")
    code = cli.main(["batch", str(path), "--workspace", str(small_province.root), "--language", "en"])
    assert code == 2
    assert says in capsys.readouterr().err


def test_too_few_teachers_are_withheld_and_stop_nothing(province_copy, notebooks, tmp_path):
    pairs = province_copy.read_derived("pairs").query("assessment == 'PED' and wave_pre == 'p1-pre'")
    counts = pairs.groupby("district")["pid"].nunique()
    least = int(counts.max())
    plan = {"report": "change", "parameters": PED, "grid": {"districts": "all"}, "minimum": least}
    wishes = list_wishes(province_copy, plans=read_grid(write_grid(tmp_path, plan)).reports)
    made = make_reports(province_copy, wishes)
    assert {one.wish.parameters.districts[0] for one in made if one.status != "withheld"} == {
        code for code, n in counts.items() if n == least
    }
    few = [one for one in made if one.status == "withheld"]
    assert all(one.page is None for one in few)
    assert all(str(least) in one.reason.en for one in few)
    index = (province_copy.root / "reports" / "draf" / "index.html").read_text(encoding="utf-8")
    assert index.count('data-status="withheld"') == len(few)
    assert "tidak dibuat" in index


def test_what_is_withheld_is_told_in_staff_s_words_and_its_earlier_page_goes(province_copy, notebooks):
    """Neither the count nor the page of a time when there were enough stays."""
    earlier = wish(province_copy, districts=[SELATAN], **LARGE)
    page = make_reports(province_copy, [earlier])[0].page
    assert page.is_file()
    many = replace(earlier, minimum=10_000)
    jenjang = replace(wish(province_copy, districts=["18.72"], jenjang=["SD"], **LARGE), minimum=10_000)
    made = make_reports(province_copy, [many, jenjang])
    assert [one.reason.id for one in made] == [
        "Kab. Lampung Selatan: kurang dari 10.000 guru",
        "Kota Metro, SD: kurang dari 10.000 guru",
    ]
    assert made[0].reason.en == "Kab. Lampung Selatan: fewer than 10,000 teachers"
    assert not page.parent.exists()
    index = (province_copy.root / "reports" / "draf" / "index.html").read_text(encoding="utf-8")
    assert "Kab. Lampung Selatan</li>" in index
    assert "Kota Metro · SD</li>" in index
    assert "18-01" not in index
    assert "districts" not in index
    assert verify_edition(province_copy.root / "reports" / "draf") == {"altered": [], "missing": [], "unknown": []}


def test_another_min_cell_than_the_edition_s_is_refused_not_withheld(made):
    other = replace(wish(made, min_cell="12"), minimum=1)
    with pytest.raises(ParameterError, match="min_cell 10"):
        make_reports(made, [other])


def test_an_item_that_the_stages_did_not_find_is_refused_before_a_kernel(province_copy, notebooks, monkeypatch):
    """Asked for before the first review, when nobody knew the items."""
    monkeypatch.setattr(type(province_copy), "has_derived", lambda *_: False)
    one = wish_for(province_copy, "item", {"item": "PED-1-999"})
    monkeypatch.undo()
    with pytest.raises(ParameterError, match="PED-1-0"):
        make_reports(province_copy, [one])
    assert not (province_copy.root / "reports").exists()


def test_a_rehearsal_tells_and_runs_nothing(province_copy, notebooks, tmp_path, capsys):
    plan = {"report": "change", "parameters": PED, "grid": {"assessment": ["PED", "KEP", "SSL"]}}
    path = write_grid(tmp_path, plan)
    given = ["batch", str(path), "--rehearse", "--workspace", str(province_copy.root), "--language", "en"]
    wishes = list_wishes(province_copy, plans=read_grid(path).reports, language="en")
    make_reports(province_copy, wishes[:1])
    files = sorted((province_copy.root / "reports").rglob("*"))
    assert cli.main([*given, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["action"] for one in told["reports"]] == ["keep", "make", "make"]
    assert cli.main(given) == 0
    assert re.search(r"To be made: 2; kept: 1; .* About \d+ minutes\.", capsys.readouterr().out)
    assert not [p for p in sorted((province_copy.root / "reports").rglob("*")) if p not in files]
    alter(
        province_copy.root / "workspace.yaml", lambda text: text.replace("plausible_values: 20", "plausible_values: 6")
    )
    assert rehearse(province_copy, wishes)[0].action == "keep"  # this one has not looked again


def test_a_rehearsal_names_what_a_gate_stops(province_copy, notebooks):
    path = province_copy.stage_folder("score") / "stage.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    for gate in record["gates"]:
        if gate["code"] == "C01" and gate["scope"]["assessment"] == "PED":
            gate["state"] = "STOP"
    path.write_text(json.dumps(record), encoding="utf-8")
    wishes = [wish(province_copy), wish(province_copy, assessment="KEP")]
    assert [one.stopped for one in rehearse(province_copy, wishes)] == [True, False]


@pytest.mark.parametrize("option", [["--workers", "0"], ["--workers", "two"], ["--limit", "-1"], ["--limit", "1.5"]])
def test_impossible_options_are_refused(option, small_province, tmp_path):
    path = write_grid(tmp_path, {"report": "change", "parameters": PED})
    assert cli.main(["batch", str(path), "--workspace", str(small_province.root), *option]) == 2


# ---------------------------------------------------------------- beyond one machine


def test_nobody_at_the_address_is_said_before_anything_runs(small_province, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bgtk_lib.engine.cluster.PATIENCE", 0.5)
    path = write_grid(tmp_path, {"report": "change", "parameters": PED})
    nobody = "tcp://localhost:" + "9"
    given = ["batch", str(path), "--workspace", str(small_province.root), "--scheduler", nobody]
    assert cli.main(given) == 2
    assert nobody in capsys.readouterr().err


@pytest.mark.slow
def test_a_lost_worker_of_a_cluster_loses_no_report(province_copy):
    """Three worker processes of `dask.distributed`; one is killed while it works."""
    from distributed import LocalCluster

    wishes = [
        wish(province_copy, assessment=code, language=lang) for code in ("PED", "KEP", "SSL") for lang in ("id", "en")
    ]
    with LocalCluster(n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        killed = []

        def kill_one(_):
            if not killed:
                process = next(iter(cluster.workers.values())).process.process
                killed.append(process.pid)
                os.kill(process.pid, signal.SIGKILL)

        made = make_reports(province_copy, wishes, kill_one, executor=connect(cluster.scheduler_address))
    assert killed
    assert [one.status for one in made] == ["held"] * 6
    local = make_reports(province_copy, wishes)
    assert kept(local) == [True] * 6


def test_processes_of_their_own_make_the_same(province_copy):
    """What `dask.distributed` and process pools need: everything handed over can be pickled."""
    import pickle

    one = wish(province_copy)
    handed = pickle.loads(pickle.dumps((batch._make_or_fail, province_copy, one, {"rows": "x"}, 3.0)))
    assert handed[1:3] == (province_copy, one)


def test_pages_are_the_same_whether_made_alone_or_among_others(province_copy, tmp_path):
    """A page names the rows it reads, not the state of the whole workspace."""
    one = wish(province_copy, districts=[TENGAH], **LARGE)
    page = make_reports(province_copy, [one])[0].page.read_text(encoding="utf-8")
    alter_rows(province_copy, "pairs", lambda frame: frame["district"].eq(SELATAN), score_post=1.0)
    shutil.rmtree(Path(province_copy.root) / "reports")
    again = make_reports(province_copy, [one])[0].page.read_text(encoding="utf-8")
    times = [json.loads(text.split('id="bgtk-passport">')[1].split("</script>")[0])["made"] for text in (page, again)]
    assert page.replace(times[0], "") == again.replace(times[1], "")
