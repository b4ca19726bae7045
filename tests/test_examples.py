"""The example workspaces on real data: published results, the expected gates, registers as they are found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from bgtk_lib.cli import main
from bgtk_lib.findings import worst_states
from bgtk_lib.schema import resolve_districts
from bgtk_lib.stages.gates import read_gates
from bgtk_lib.stages.run import run_stages
from bgtk_lib.workspace import Workspace, open_workspace

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets lie beside the checkout, never in it")

LINKS = "date,who,form_from,form_to,decision,reason\n2026-11-21,panel,P1,P2,parallel,written to one blueprint\n"


def copy_example(name: str, folder: Path) -> Path:
    """Copy an example beside a link to its data, as a checkout has it."""
    home = folder / "main" / "examples" / name
    shutil.copytree(
        ROOT / "examples" / name,
        home,
        ignore=shutil.ignore_patterns(
            "reports", "canonical", "derived", "instrument", "scores", "quarantine", "identity.json"
        ),
    )
    (folder / "shared").symlink_to(SHARED.parent)
    return home


@pytest.fixture(scope="module", autouse=True)
def _keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BGTK_KEYS", str(tmp_path_factory.mktemp("keys")))
        yield


@pytest.fixture(scope="module")
def run(_keys: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Workspace]:
    """Return a function that runs an example's stages, once, and gives its workspace."""

    @cache
    def run(name: str) -> Workspace:
        workspace = open_workspace(copy_example(name, tmp_path_factory.mktemp(name)))
        run_stages(workspace)
        return workspace

    return run


def closed(workspace: Workspace) -> dict[str, list[str]]:
    """Return the gates that closed, as `expected_gates` writes them."""
    return {code: [state] for code, state in worst_states(read_gates(workspace)).items() if state in ("HOLD", "STOP")}


def report(home: Path) -> tuple[int, dict[str, object], str]:
    """Make an example's reports; return the exit code, the change results by figure name, and the page."""
    code = main(["run", "--workspace", str(home)])
    page = next(home.glob("reports/draf/change/*/report.html"))
    results = json.loads((page.parent / "results.json").read_text())
    return code, results, page.read_text()


def figures(results: dict[str, object]) -> dict[str, float | None]:
    """Return name → value of the figures that stand for no part."""
    return {f["name"]: f["value"] for f in results["figures"] if not f["where"]}  # type: ignore[union-attr,attr-defined]


INSTRUMENTS = {"lsat7", "sat12", "hci", "fims", "verbal_aggression"}  # made, and judged, in test_example_items.py


@pytest.mark.parametrize("name", sorted({path.name for path in (ROOT / "examples").iterdir()} - INSTRUMENTS))
def test_an_example_closes_exactly_the_gates_its_workspace_names(name: str, run: Callable[[str], Workspace]) -> None:
    workspace = run(name)
    assert closed(workspace) == workspace.declared.expected_gates
    for source in workspace.stage_record("ingest")["sources"]:
        assert source["received"] == source["accepted"] + sum(source["aside"].values())


def test_learning_to_learn_gives_the_published_change(run: Callable[[str], Workspace]) -> None:
    code, results, page = report(run("learning_to_learn").root)
    found = figures(results)
    assert code == 1  # held by I01
    assert found["change.mean_pre"] == pytest.approx(20.6419, abs=5e-5)
    assert found["change.mean_post"] == pytest.approx(30.8811, abs=5e-5)
    assert found["change.t"] == pytest.approx(53.6444, abs=5e-5)
    assert found["pairs.n"] == 782
    assert "item.Item5F.item_rest_r" in {f["name"] for f in results["figures"]}  # type: ignore[attr-defined]
    assert "Item5F" in page
    assert "The published file names no school" in page


def test_hci_rows_without_an_id_link_by_their_place(run: Callable[[str], Workspace]) -> None:
    code, results, _ = report(run("hci_retest").root)
    found = figures(results)
    assert code == 0
    assert found["retest.r"] == pytest.approx(0.770015, abs=5e-7)
    assert found["pairs.n"] == 45
    assert found["change.mean"] == pytest.approx(0.822222, abs=5e-7)  # retest − test: the direction is the right one


def test_pks_undeclared_stops_and_keeps_what_does_not_compare(run: Callable[[str], Workspace]) -> None:
    code, results, page = report(run("pks_probability").root)
    found = figures(results)
    assert code == 1
    assert (found["pairs.n"], found["leavers.n"]) == (345, 159)
    assert found["change.mean_pre"] == pytest.approx(9.85507, abs=5e-6)
    assert found["change.mean_post"] == pytest.approx(10.50435, abs=5e-6)
    for name in ("change.mean", "change.t", "change.d_z", "change.g_av", "retest.r", "sensitivity.complete"):
        assert found[name] is None
    assert "anchor items" in page


def test_pks_declared_parallel_holds_with_the_published_figures(
    run: Callable[[str], Workspace], tmp_path: Path
) -> None:
    made = run("pks_probability")
    home = copy_example("pks_probability", tmp_path)
    shutil.copytree(made.root / "data", home / "data", dirs_exist_ok=True)
    (home / "data" / "decisions").mkdir(exist_ok=True)
    (home / "data" / "decisions" / "links.csv").write_text(LINKS)
    code, results, page = report(home)
    found = figures(results)
    states = {gate["code"]: gate["state"] for gate in results["gates"]}  # type: ignore[attr-defined]
    assert (code, states["C01"], states["C09"]) == (1, "HOLD", "HOLD")
    assert found["change.t"] == pytest.approx(6.67594, abs=5e-6)
    assert found["change.d_z"] == pytest.approx(0.35942, abs=5e-6)
    assert found["change.df"] == pytest.approx(344)
    assert found["leavers.mean_pre"] < found["stayers.mean_pre"]  # type: ignore[operator]
    assert "DRAF" in page


def test_registers_are_read_by_rule_not_by_guess(run: Callable[[str], Workspace]) -> None:
    workspace = run("lampung_registers")
    school, population = workspace.read_accepted("school"), workspace.read_accepted("population")
    assert school is not None
    assert population is not None
    assert len(school) == 6924
    assert school["district"].notna().all()
    assert school["jenjang"].value_counts().to_dict() == {"SD": 4645, "SMP": 1333, "SMA": 475, "SMK": 446, "SLB": 25}
    by_year = population.groupby(population["date"].dt.year)["n"].sum()
    assert (by_year[2020], by_year[2024]) == (56735, 57654)  # the totals that the register itself prints
    assert population.groupby("date")["district"].nunique().eq(15).all()
    aside = {s["name"]: s["aside"] for s in workspace.stage_record("ingest")["sources"]}
    assert aside["bps-2023"] == {"not_a_record": 3}


def test_codes_of_two_offices_are_never_confused() -> None:
    import pandas as pd

    path = SHARED / "messy_lampung_bps" / "itera_ikp.csv"
    lines = [line.strip().strip('"').split(";") for line in path.read_text(encoding="utf-8-sig").splitlines()]
    frame = pd.DataFrame(lines[1:], columns=lines[0], dtype="str")
    named = resolve_districts(frame["Nama Kabupaten"], system="name")
    coded = frame["Kode Kab/Kota"]
    assert (resolve_districts(coded, system="kemendagri") == named).all()
    assert (resolve_districts(coded, system="bps") != named).any()
    assert resolve_districts(coded, system="name").isna().all()
