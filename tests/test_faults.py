"""Every planted fault closes exactly the gates its catalogue entry names, and no row disappears on the way."""

from __future__ import annotations

import shutil
from functools import cache

import pandas as pd
import pytest
import yaml
from conftest import check_accounts

from bgtk_lib.findings import worst_states
from bgtk_lib.quality.summary import account_rows
from bgtk_lib.stages.gates import read_gates
from bgtk_lib.stages.run import run_stages
from bgtk_lib.synthetic import FAULTS, SOUND, Design, draw_province, expected_gates
from bgtk_lib.synthetic.exports import build_exports, write_exports
from bgtk_lib.synthetic.faults import plant_faults
from bgtk_lib.workspace import open_workspace
from bgtk_lib.workspace.store import read_table

TWO = Design(assessments=("PED", "SSL"))  # sat twice on one form, and on two that share items: faults need no more


@cache
def sound_exports():
    return build_exports(draw_province(TWO))


def write_province(folder, faults, *, reviewed=None):
    """Write a province with faults and few draws, whose number closes no gate; return it.

    `reviewed`: another's reviews; those of forms that the faults leave alone are taken over, the others made again.
    """
    write_exports(plant_faults(sound_exports(), faults, seed=TWO.seed), folder)
    if reviewed:
        shutil.copytree(reviewed, folder / "data" / "instrument")
    declared = yaml.safe_load((folder / "workspace.yaml").read_text(encoding="utf-8"))
    declared["rules"] = {**declared.get("rules", {}), "plausible_values": 5}
    (folder / "workspace.yaml").write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
    return open_workspace(folder)


@pytest.fixture(scope="module")
def reviewed(keys, tmp_path_factory):
    """The folder of the reviews of the province without a fault."""
    workspace = write_province(tmp_path_factory.mktemp("sound") / "province", ())
    run_stages(workspace, until="review")
    return workspace.folder("instrument")


def find_closed(workspace):
    """Return code → HOLD or STOP of every gate that closes."""
    return {code: state for code, state in worst_states(read_gates(workspace)).items() if state in ("HOLD", "STOP")}


def check_conservation(workspace):
    """Check received = accepted + set aside at the door, after the checks, after scoring and after pairing."""
    record = workspace.stage_record("ingest")
    check_accounts(workspace, record)
    aside = read_table(workspace.folder("derived"), "set_aside")
    assert not aside.duplicated(["table", "position"]).any()
    table = account_rows(record["sources"], aside)
    assert (table["received"] == table["accepted"] + table["set_aside"]).all()
    for row in table.itertuples():
        assert len(workspace.read_accepted(row.table)) == row.accepted, row.table
    scores, unscorable = workspace.read_derived("scores"), workspace.read_derived("unscorable")
    sessions = workspace.read_accepted("session")
    assert sorted([*scores["session_id"], *unscorable["session_id"]]) == sorted(sessions["session_id"])
    for *_, answers in workspace.read_answers():
        assert set(answers["session_id"].astype(str)) <= set(sessions["session_id"])
    pairs, unpaired = workspace.read_derived("pairs"), workspace.read_derived("unpaired")
    both = ["assessment", "wave_pre", "wave_post"]
    for (assessment, pre, post), here in pairs.groupby(both):
        alone = unpaired[(unpaired[both] == [assessment, pre, post]).all(axis=1)]
        sat = scores[(scores["assessment"] == assessment) & scores["wave"].isin([pre, post])]
        assert 2 * len(here) + len(alone) == len(sat), (assessment, pre, post)


def test_sound_province_closes_what_is_expected(small_province):
    assert find_closed(small_province) == expected_gates(()) == SOUND


def test_no_row_of_a_sound_province_disappears(small_province):
    check_conservation(small_province)


def test_the_catalogue_covers_every_gate_that_rows_can_close():
    """A gate that no planted fault closes has never been seen to work."""
    closed = {code for fault in FAULTS.values() for code in fault.closes} | set(SOUND)
    assert closed >= {
        "D01", "D02", "D04", "D05", "D06", "D07", "D08", "D09", "D10", "D11", "D12", "I01", "C01", "C03", "C05", "C06",
        "C09", "E08",
    }  # fmt: skip


def test_expected_gates_of_several_faults_keep_the_worse_state():
    assert expected_gates(("district_disagrees", "unknown_district")) == {**SOUND, "D08": "STOP"}
    assert expected_gates(("unknown_district", "district_disagrees")) == {**SOUND, "D08": "STOP"}
    assert expected_gates(("duplicate_rows",)) == SOUND


# Faults whose gates another one closes too: their proof is in `make test-all`.
ALIKE = {"digits_lost", "month_day_swapped", "undotted_codes", "few_anchors", "different_form", "wrong_key"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in ALIKE else ()) for name in FAULTS]
)
def test_a_fault_closes_exactly_its_gates(name, tmp_path, own_keys, reviewed):
    workspace = write_province(tmp_path / "province", (name,), reviewed=reviewed)
    run_stages(workspace)
    # What small subjects close in a sound province (above) may close here too.
    beyond = {code: state for code, state in find_closed(workspace).items() if SOUND.get(code) != state}
    assert beyond == dict(FAULTS[name].closes)
    check_conservation(workspace)
    shutil.rmtree(tmp_path / "province")


def test_repeated_rows_are_counted_and_change_no_score(tmp_path, own_keys, reviewed):
    found = {}
    for name in ((), ("duplicate_rows",)):
        workspace = write_province(tmp_path / "-".join(["province", *name]), name, reviewed=reviewed)
        run_stages(workspace)
        scores = workspace.read_derived("scores")[["pid", "wave", "assessment", "points"]]
        found[name] = scores.sort_values(["pid", "wave", "assessment"], ignore_index=True)
        aside = {s["name"]: s["aside"] for s in workspace.stage_record("ingest")["sources"]}
        copies = {source: reasons["copy_of_a_row"] for source, reasons in aside.items() if "copy_of_a_row" in reasons}
        assert set(copies) == ({"cbt-p1-post"} if name else set())
    pd.testing.assert_frame_equal(found[()], found[("duplicate_rows",)])
