"""Official editions: refused as long as anything is lacking, made whole or not at all, and never overwritten."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import UTC, datetime

import pytest
import yaml
from test_batch import PED, alter, kept, write_grid, write_notebooks

from bgtk_lib import cli
from bgtk_lib.editions import Approval, is_official, read_manifest, verify_edition
from bgtk_lib.engine import freshness, official, run
from bgtk_lib.engine.batch import make_reports
from bgtk_lib.engine.embedded import read_page
from bgtk_lib.engine.official import hash_library
from bgtk_lib.engine.reproduce import compare_editions, reproduce_report
from bgtk_lib.engine.wishes import list_wishes, report_folder, wish_for
from bgtk_lib.errors import ParameterError
from bgtk_lib.workspace import STAGES, open_workspace
from bgtk_lib.workspace.plan_lock import lock_plan

EDITION = "april-2026"
SECOND = {
    "wave_pre": "p2-pre",
    "wave_post": "p2-post",
}  # no gate is closed there; C09 holds what rests on the first phase
OPEN = {"report": "change", "parameters": {**SECOND, "assessment": "PED"}}
OTHER = {"report": "change", "parameters": {**SECOND, "assessment": "KEP"}}
HELD = {"report": "change", "parameters": PED}
APPROVED = {
    "date": "2026-04-20",
    "who": "Kepala BGTK",
    "edition": EDITION,
    "dpia_ref": "DPIA-2026-03",
    "library": "",
    "reason": "Rapat 18 April",
}


def approve(workspace, columns=tuple(APPROVED), **other):
    """Record one approval, filled in as it must be but for what is given."""
    path = workspace.folder("decisions") / "editions.csv"
    path.parent.mkdir(exist_ok=True)
    row = APPROVED | {"library": hash_library()[:12]} | other
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, row.values()])


def lift(workspace, code):
    path = workspace.folder("decisions") / "gates.csv"
    path.write_text(f"date,who,code,scope,decision,reason\n2026-05-01,Panel,{code},,lift,dibahas\n", encoding="utf-8")


def lock(workspace):
    lock_plan(workspace, now=datetime(2026, 4, 1, tzinfo=UTC))


def spoil_gate(workspace, state):
    """Give the second phase's gate C05 of PED a state."""
    path = workspace.stage_folder("score") / "stage.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    for gate in record["gates"]:
        if gate["code"] == "C05" and gate["scope"].items() >= OPEN["parameters"].items():
            gate["state"] = state
    path.write_text(json.dumps(record), encoding="utf-8")


def list_files(workspace):
    return {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()}


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """A function that writes short notebooks, which stand in the place of the real ones."""
    folder = tmp_path / "notebooks"
    for module in (run, freshness):
        monkeypatch.setattr(module, "notebooks_folder", lambda: folder)
    write_notebooks(folder)
    return lambda extra: write_notebooks(folder, extra)


@pytest.fixture
def office(province_copy, notebooks):
    """A workspace with all that an official edition needs."""
    lock(province_copy)
    approve(province_copy)
    return province_copy


@pytest.fixture
def batch(tmp_path, capsys):
    """A function that makes a grid's reports on the command line: exit code, what was printed, what was told."""

    def call(workspace, *plans, words=(), edition=EDITION, status="resmi"):
        path = write_grid(tmp_path, *plans, edition=edition, status=status)
        code = cli.main(["batch", str(path), "--workspace", str(workspace.root), "--language", "en", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


# ---------------------------------------------------------------- what is needed


def forget(workspace):
    (workspace.folder("decisions") / "editions.csv").unlink()


def change_weights(workspace):
    path = workspace.root / "analysis_plan.yaml"
    plan = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(plan | {"composite": {"PED": "0.3", "KEP": "0.7"}}), encoding="utf-8")


def declare_more(workspace, **more):
    path = workspace.root / "workspace.yaml"
    declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(declared | more, sort_keys=False), encoding="utf-8")
    return open_workspace(workspace.root)


LACKS = {
    "no approval": (forget, "data/decisions/editions.csv"),
    "approval of another": (lambda w: approve(w, edition="aprl-2026"), "Did you mean “aprl-2026”"),
    "no assessment": (lambda w: approve(w, dpia_ref=" "), "dpia_ref: is required"),
    "nobody": (lambda w: approve(w, who=""), "who: is required"),
    "another library": (lambda w: approve(w, library="0123456789ab"), "approved for the library 0123456789ab"),
    "few digits": (lambda w: approve(w, library=hash_library()[:11]), "library: “"),
    "no date": (lambda w: approve(w, date="kemarin"), "date: “kemarin”"),
    "other columns": (lambda w: approve(w, columns=("date", "who")), "must have the columns"),
    "no lock": (lambda w: (w.folder("decisions") / "plan_lock.json").unlink(), "bgtk plan --lock"),
    "weights changed": (change_weights, "bgtk plan --lock"),
    "no legal basis": (
        lambda w: declare_more(w, data_kind="real", governance={"dpia_ref": "DPIA-1"}),
        "P07: Not recorded",
    ),
}


@pytest.mark.parametrize("name", LACKS)
def test_what_is_lacking_is_told_and_nothing_is_written(name, office, batch):
    spoil, says = LACKS[name]
    spoil(office)
    before = list_files(office)
    code, _, told = batch(office, OPEN)
    assert (code, says in told) == (2, True), told
    assert batch(office, OPEN, words=["--rehearse"])[0] == 2
    assert list_files(office) == before


def test_all_that_is_lacking_is_told_at_once(province_copy, batch):
    draft = {**OTHER, "parameters": {**OTHER["parameters"], "edition_status": "draf"}}
    official_one = {**OPEN, "parameters": {**OPEN["parameters"], "edition_status": "resmi"}}
    code, _, told = batch(province_copy, official_one, draft, edition="draf", status=None)
    assert code == 2
    for says in ("some drafts", "a name of its own", "editions.csv", "bgtk plan --lock"):
        assert says in told


@pytest.mark.slow
def test_a_description_needs_no_plan(province_copy, notebooks, batch):
    approve(province_copy)
    assert batch(province_copy, {"report": "data_quality"})[0] == 0


def test_an_approval_makes_no_stage_stale(small_province, province_copy):
    approve(province_copy)
    assert not [stage for stage in STAGES if province_copy.is_stale(stage)]


def test_every_file_of_the_library_is_in_its_hash(tmp_path, monkeypatch):
    library, notebooks = tmp_path / "bgtk_lib", tmp_path / "bgtk_lib" / "notebooks"
    library.mkdir()
    write_notebooks(notebooks)
    for name in ("a.py", "reference/b.csv", "__pycache__/a.pyc"):
        (library / name).parent.mkdir(exist_ok=True)
        (library / name).write_text("1", encoding="utf-8")
    monkeypatch.setattr(official, "LIBRARY", library)

    def count(*changed, where=notebooks):
        monkeypatch.setattr(official, "notebooks_folder", lambda: where)
        for path in changed:
            alter(path, lambda text: text + " ")
        return official.hash_library.__wrapped__()

    found = [count(), count(library / "__pycache__" / "a.pyc")]
    shutil.copytree(notebooks, tmp_path / "notebooks")
    assert len({*found, count(where=tmp_path / "notebooks")}) == 1  # installed or in a checkout
    found += [count(library / "a.py"), count(library / "reference" / "b.csv"), count(notebooks / "04_change.ipynb")]
    assert len({*found}) == 4


def test_the_version_is_told_with_the_hash(capsys):
    assert cli.main(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["library"] == hash_library()
    assert cli.main(["version"]) == 0
    assert hash_library() in capsys.readouterr().out


# ---------------------------------------------------------------- made


def test_an_official_edition_is_sealed_whole(office, batch):
    code, said, told = batch(office, OPEN, OTHER, words=["--json"])
    assert code == 0, told
    folder = office.root / "reports" / EDITION
    content = json.loads(said)
    assert content["editions"] == [
        {
            "edition": EDITION,
            "wanted": "resmi",
            "status": "resmi",
            "hindering": 0,
            "index": f"reports/{EDITION}/index.html",
        }
    ]
    assert all((office.root / one["page"]).is_file() for one in content["reports"])
    assert not [*folder.parent.glob(".*")]
    assert is_official(folder)
    approved = Approval(**read_manifest(folder)["approval"])
    assert (approved.who, approved.dpia_ref) == (APPROVED["who"], APPROVED["dpia_ref"])
    assert "resmi; disetujui Kepala BGTK" in (folder / "index.html").read_text(encoding="utf-8")
    assert {path.stat().st_mode & 0o222 for path in folder.rglob("*") if path.is_file()} == {0}


@pytest.mark.slow
def test_the_status_may_stand_in_the_workspace(office):
    again = declare_more(office, edition=EDITION, status="resmi", reports=[OPEN])
    assert not [stage for stage in STAGES if again.is_stale(stage)]
    make_reports(again, list_wishes(again))
    assert is_official(office.root / "reports" / EDITION)


def test_an_official_page_says_so(province_copy, batch, capsys):
    """The real notebook: cover, marks, passport; made again, and held against its manifest."""
    approve(province_copy)
    assert batch(province_copy, {"report": "data_quality"})[0] == 0
    folder = province_copy.root / "reports" / EDITION
    page = folder / "data_quality" / "en" / "report.html"
    text = page.read_text(encoding="utf-8")
    assert ">DRAF<" not in text
    assert "DATA CONTOH BUATAN" in text
    for says in ("Approved by", "Kepala BGTK, 20 April 2026", "DPIA-2026-03", "official; "):
        assert says in text
    passport, _ = read_page(page)
    assert (passport["status"], passport["approval"]["dpia_ref"]) == ("resmi", "DPIA-2026-03")
    forget(province_copy)
    again = reproduce_report(province_copy, page)
    assert (again.moved, again.n > 20, "rows" in again.differs) == ((), True, False)
    assert cli.main(["verify", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["approval"]["who"], told["altered"]) == ("resmi", "Kepala BGTK", [])
    page.chmod(0o644)
    alter(page, lambda text: text.replace("DPIA-2026-03", "DPIA-2026-04"))
    assert cli.main(["verify", str(folder), "--language", "en"]) == 1
    told = capsys.readouterr().out
    assert "altered: data_quality/en/report.html" in told
    assert "An official edition, approved by Kepala BGTK" in told


def test_an_official_edition_can_be_compared_and_a_hidden_one_cannot(office, batch):
    make_reports(office, [wish_for(office, "change", {**OPEN["parameters"], "language": "en"}, edition="draf-april")])
    assert batch(office, OPEN, HELD)[0] == 1
    with pytest.raises(ParameterError):
        compare_editions(office, "draf-april", f".{EDITION}")
    assert batch(office, OPEN)[0] == 0
    found = compare_editions(office, "draf-april", EDITION)
    assert (found.moved, found.differs, found.gone, found.new) == ((), (), (), ())


@pytest.mark.slow
def test_drafts_of_the_same_name_give_way(office, batch):
    assert batch(office, HELD, status="draf")[0] == 1
    assert batch(office, OPEN)[0] == 0
    folder = office.root / "reports" / EDITION
    assert [path.parent.name for path in folder.rglob("report.html")] == ["ped_p2-pre_p2-post_en"]
    assert not [*folder.parent.glob(".*")]


# ---------------------------------------------------------------- written once


def test_what_is_official_is_written_once(office, batch):
    assert batch(office, OPEN)[0] == 0
    before = list_files(office)
    for status in ("resmi", "draf"):
        for words in ([], ["--anew"], ["--rehearse"]):
            code, _, told = batch(office, OTHER, status=status, words=words)
            assert (code, "is official already" in told) == (2, True), told
    given = ["report", "data_quality", "--edition", EDITION, "--workspace", str(office.root)]
    assert cli.main(given) == 2
    assert list_files(office) == before


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, "{"])
def test_a_lost_manifest_opens_nothing(content, office, batch):
    assert batch(office, OPEN)[0] == 0
    manifest = office.root / "reports" / EDITION / "manifest.json"
    manifest.unlink()
    if content:
        manifest.write_text(content, encoding="utf-8")
    assert batch(office, OPEN, status="draf")[0] == 2


# ---------------------------------------------------------------- all or nothing


def test_one_held_report_keeps_all_hidden_until_it_is_settled(office, batch):
    code, said, _ = batch(office, OPEN, HELD)
    assert code == 1
    assert "C09" in said
    assert "1 reports stand in the way" in said
    reports = office.root / "reports"
    assert [path.name for path in reports.iterdir()] == [f".{EDITION}"]
    assert read_manifest(reports / f".{EDITION}")["status"] == "draf"
    lift(office, "C09")
    code, said, _ = batch(office, OPEN, HELD, words=["--json"])
    assert (code, [one["kept"] for one in json.loads(said)["reports"]]) == (0, [True, False])
    assert [path.name for path in reports.iterdir()] == [EDITION]


@pytest.mark.slow
def test_what_could_not_be_checked_holds_an_official_edition_only(office, batch):
    spoil_gate(office, "UNKNOWN")
    assert batch(office, OPEN, edition="uji-coba", status="draf")[0] == 0
    code, said, _ = batch(office, OPEN)
    assert (code, "C05" in said) == (1, True), said
    lift(office, "C05")
    assert batch(office, OPEN)[0] == 0


@pytest.mark.slow
def test_one_failed_report_keeps_all_hidden(office, notebooks, batch):
    notebooks("if assessment == 'KEP':\n    1 / 0")
    code, said, _ = batch(office, OPEN, OTHER)
    assert (code, "ZeroDivisionError" in said) == (3, True)
    assert not (office.root / "reports" / EDITION).exists()


@pytest.mark.slow
def test_a_word_that_is_only_told_of_a_draft_fails_an_official_page(office, notebooks, batch):
    notebooks("from IPython.display import HTML, display\ndisplay(HTML('<p>A significant change.</p>'))")
    assert batch(office, OPEN, edition="uji-coba", status="draf")[0] == 0
    code, said, _ = batch(office, OPEN)
    assert (code, "significant" in said) == (3, True), said


def test_too_few_teachers_do_not_stand_in_the_way(office, batch):
    few = {**OTHER, "minimum": 10_000}
    assert batch(office, OPEN, few)[0] == 0
    index = (office.root / "reports" / EDITION / "index.html").read_text(encoding="utf-8")
    assert index.count('data-status="withheld"') == 1


@pytest.mark.slow
def test_nothing_but_withheld_reports_is_no_edition(office, batch):
    code, said, _ = batch(office, {**OPEN, "minimum": 10_000})
    assert (code, "none of its reports" in said) == (1, True), said
    assert not (office.root / "reports" / EDITION).exists()


def test_an_interrupted_edition_goes_on_where_it_was(office):
    wishes = [
        wish_for(office, plan["report"], plan["parameters"], edition=EDITION, status="resmi") for plan in (OPEN, OTHER)
    ]

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_reports(office, wishes, interrupt, workers=1)
    assert not (office.root / "reports" / EDITION).exists()
    there = [report_folder(office, one).is_dir() for one in wishes]
    assert any(there)
    made = make_reports(office, wishes)
    assert kept(made) == there
    assert all(one.page.parent.parent.parent.name == EDITION and one.page.is_file() for one in made)
    assert verify_edition(office.root / "reports" / EDITION) == {"altered": [], "missing": [], "unknown": []}


@pytest.mark.slow
def test_what_was_approved_by_another_is_made_again(office, batch):
    assert batch(office, OPEN, HELD)[0] == 1
    approve(office, who="Pelaksana Tugas")
    code, said, _ = batch(office, OPEN, words=["--json"])
    assert (code, json.loads(said)["reports"][0]["kept"]) == (0, False)


@pytest.mark.slow
def test_what_an_earlier_attempt_left_is_not_sealed(office, batch):
    assert batch(office, OPEN, OTHER, HELD)[0] == 1
    report_type = office.root / "reports" / f".{EDITION}" / "change"
    (report_type / ".cut-off-x").mkdir()
    assert batch(office, OPEN, {**OTHER, "minimum": 10_000})[0] == 0
    folder = office.root / "reports" / EDITION / "change"
    names = ["ped_p2-pre_p2-post_en", "ped_p2-pre_p2-post_en.entry.json", "kep_p2-pre_p2-post_en.entry.json"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.mark.slow
def test_an_approval_withdrawn_meanwhile_seals_nothing(office):
    one = wish_for(office, OPEN["report"], OPEN["parameters"], edition=EDITION, status="resmi")
    with pytest.raises(ParameterError):
        make_reports(office, [one], lambda _: forget(office))
    assert not (office.root / "reports" / EDITION).exists()
