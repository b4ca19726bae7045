"""What was made can be made again, held against its manifest, and compared with what was made later."""

from __future__ import annotations

import json
import re
import shutil

import pandas as pd
import pytest

from bgtk_lib import cli
from bgtk_lib.editions import verify_edition
from bgtk_lib.engine.batch import make_reports
from bgtk_lib.engine.freshness import Ground, list_differences
from bgtk_lib.engine.reproduce import CAUSES, compare_editions, compare_figures, reproduce_report
from bgtk_lib.engine.wishes import wish_for
from bgtk_lib.errors import LinkageError, ParameterError
from bgtk_lib.stages.run import run_stages
from bgtk_lib.workspace import open_workspace
from bgtk_lib.workspace.store import write_json

FIRST = {"assessment": "PED", "wave_pre": "p1-pre", "wave_post": "p1-post"}
PED = {"assessment": "PED", "wave_pre": "p2-pre", "wave_post": "p2-post"}


@pytest.fixture(scope="module")
def made(small_province, tmp_path_factory):
    """A workspace with a change report in the edition `pertama`; not to be changed."""
    folder = tmp_path_factory.mktemp("editions") / "province"
    shutil.copytree(small_province.root, folder)
    workspace = open_workspace(folder)
    make_reports(workspace, [wish_for(workspace, "change", PED, edition="pertama")])
    return workspace


@pytest.fixture
def edition(made, tmp_path):
    """A copy of it, to be changed."""
    shutil.copytree(made.root, tmp_path / "copy")
    return open_workspace(tmp_path / "copy")


def page_of(workspace, edition="pertama"):
    return next((workspace.root / "reports" / edition).glob("change/*/report.html"))


def move_scores(workspace):
    path = workspace.folder("scores") / "plausible" / "part-0.parquet"
    frame = pd.read_parquet(path)
    frame.loc[frame["assessment"].eq("PED"), "score_post"] += 1.0
    frame.to_parquet(path, index=False)


def call(capsys, workspace, *words):
    code = cli.main([*words, "--workspace", str(workspace.root), "--language", "en"])
    said = capsys.readouterr()
    return code, said.out + said.err


# ---------------------------------------------------------------- made again


def test_a_report_is_made_again_from_its_file_alone(edition, tmp_path, capsys):
    page = tmp_path / "dari kawan.html"
    page.write_bytes(page_of(edition).read_bytes())
    before = sorted(path for path in (edition.root / "reports").rglob("*"))
    code, said = call(capsys, edition, "reproduce", str(page))
    assert (code, "numbers are the same" in said, "What differs" in said) == (0, True, False), said
    assert sorted(path for path in (edition.root / "reports").rglob("*")) == before


def test_other_data_move_numbers_and_are_named(edition):
    move_scores(edition)
    found = reproduce_report(edition, page_of(edition))
    assert found.differs == ("rows",)
    moved = {one.name: one for one in found.moved}
    assert moved["change.mean"].now == pytest.approx(moved["change.mean"].before + 1)
    assert moved["change.mean"].causes == ("data",)
    assert "pairs.n" not in moved
    assert found.n > 200


def test_other_code_that_moves_nothing_is_named_too(edition, monkeypatch):
    monkeypatch.setattr("bgtk_lib.engine.freshness.hash_code", lambda *roots: "another")
    found = reproduce_report(edition, page_of(edition))
    assert (found.moved, found.differs) == ((), ("code",))


@pytest.mark.parametrize(
    "content", ["", "<html></html>", '<script type="application/json" id="bgtk-passport">{</script>']
)
def test_what_is_no_report_is_refused(content, made, tmp_path, capsys):
    path = tmp_path / "lain.html"
    path.write_text(content, encoding="utf-8")
    assert call(capsys, made, "reproduce", str(path))[0] == 2
    assert call(capsys, made, "reproduce", str(tmp_path / "tidak ada.html"))[0] == 2


# ---------------------------------------------------------------- held against its manifest


def test_an_edition_as_it_was_made_is_whole(edition, capsys):
    folder = edition.root / "reports" / "pertama"
    assert verify_edition(folder) == {"altered": [], "missing": [], "unknown": []}
    assert call(capsys, edition, "verify", str(folder))[0] == 0


def test_every_touched_file_is_named(edition, capsys):
    folder = edition.root / "reports" / "pertama"
    page = page_of(edition)
    page.write_text(page.read_text(encoding="utf-8").replace("0", "1", 1), encoding="utf-8")
    (page.parent / "results.json").unlink()
    (folder / "catatan.txt").write_text("x", encoding="utf-8")
    inner = page.parent.relative_to(folder).as_posix()
    assert verify_edition(folder) == {
        "altered": [f"{inner}/report.html"],
        "missing": [f"{inner}/results.json"],
        "unknown": ["catatan.txt"],
    }
    code, said = call(capsys, edition, "verify", str(folder))
    assert (code, said.count("\n")) == (1, 4)


def test_an_altered_manifest_proves_nothing(edition, tmp_path):
    folder = edition.root / "reports" / "pertama"
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content["files"].pop("index.html")
    manifest.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(LinkageError):
        verify_edition(folder)
    with pytest.raises(ParameterError):
        verify_edition(tmp_path)


# ---------------------------------------------------------------- compared with what was made later


def test_two_editions_of_the_same_are_the_same(edition, capsys):
    make_reports(edition, [wish_for(edition, "change", PED, edition="kedua")])
    found = compare_editions(edition, "pertama", "kedua")
    assert (found.moved, found.differs, found.gone, found.new) == ((), (), (), ())
    assert call(capsys, edition, "compare", "pertama", "kedua")[0] == 0


def test_what_moved_is_told_with_its_cause(edition, capsys):
    move_scores(edition)
    wishes = [wish_for(edition, "change", PED, edition="kedua"), wish_for(edition, "data_quality", {}, edition="kedua")]
    make_reports(edition, wishes)
    code, said = call(capsys, edition, "compare", "pertama", "kedua")
    assert code == 1
    assert "change.mean" in said
    assert "[data]" in said
    assert "New: data_quality/id" in said
    assert "What differs: the data." in said
    assert call(capsys, edition, "compare", "pertama", "ketiga")[0] == 2


def change_key(workspace, item):
    """Let another option of an item be right, from its raw export on."""
    path = next((workspace.root / "data" / "raw" / "register").glob("*kunci*"))
    text = path.read_text(encoding="utf-8")
    found = re.search(rf"^{item}([;,].*?[;,])([A-E])\b", text, re.MULTILINE)
    other = "B" if found[2] == "A" else "A"
    path.write_text(text[: found.start(2)] + other + text[found.end(2) :], encoding="utf-8")
    run_stages(workspace)


@pytest.mark.slow
def test_a_changed_key_is_told_apart_from_changed_data(edition):
    others = [wish_for(edition, "change", FIRST), wish_for(edition, "coverage_map", {"wave": "p2-pre"})]
    before = [Ground(edition).find_dependencies(one)["key"] for one in others]
    change_key(edition, "PED-2-005")
    make_reports(edition, [wish_for(edition, "change", PED, edition="kedua")])
    found = compare_editions(edition, "pertama", "kedua")
    moved = {one.name: one.causes for one in found.moved}
    assert moved["change.mean"] == ("key", "data")
    assert {"key", "rows"} <= {*found.differs}
    assert [
        Ground(edition).find_dependencies(one)["key"] for one in others
    ] == before  # the form of the other phase, and what reads no scores


def test_the_printed_sum_of_a_key_cannot_be_found_by_trying_keys(edition):
    """A form of ten items has a million keys: what the page does not tell is in the sum too."""
    one = wish_for(edition, "change", PED)
    before = Ground(edition).find_dependencies(one)
    write_json(edition.folder("identity.json"), {"key_fingerprint": "0" * 16})
    assert list_differences(before, Ground(edition).find_dependencies(one)) == ["key"]


def test_a_dropped_item_is_told_as_key(edition):
    one = wish_for(edition, "change", PED)
    before = Ground(edition).find_dependencies(one)
    row = "2026-05-04,Panel,{form},{form}-005,drop,notulen\n"
    path = edition.folder("decisions") / "items.csv"
    for form, differs in (("PED-1", False), ("PED-2", True)):
        path.write_text("date,who,form,item_id,decision,reason\n" + row.format(form=form), encoding="utf-8")
        assert ("key" in list_differences(before, Ground(edition).find_dependencies(one))) == differs


def figure(name, value, **more):
    return {
        "name": name,
        "where": {},
        "value": value,
        "low": None,
        "high": None,
        "se": None,
        "n": 30,
        "status": "",
        **more,
    }


def test_what_one_side_withholds_is_not_told_of_the_other():
    before = {"figures": [figure("a", 1.0), figure("b", 2.0), figure("c", 3.0), figure("same", 4.0)]}
    now = {"figures": [figure("a", None), figure("b", 2.0, n=31), figure("same", 4.0), figure("d", 5.0)]}
    n, moved = compare_figures("change/x", before, now, differs=["rows", "code"])
    assert n == 5
    assert {one.name: (one.before, one.now) for one in moved} == {
        "a": (None, None),
        "b": (2.0, 2.0),
        "c": (None, None),
        "d": (None, None),
    }
    assert {one.causes for one in moved} == {("code", "data")}
    assert [one.causes for one in compare_figures("x", before, now, differs=[])[1]] == [()] * 4  # chance
    assert {part for parts in CAUSES.values() for part in parts} == {
        *("notebook", "code", "parameters", "rows", "key", "gates", "hidden", "declared", "libraries"),
    }
