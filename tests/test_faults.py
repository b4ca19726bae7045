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


# Every fault, several in one province each: so few provinces prove them all, and `make test-all` proves each alone.
# Within a group no two close the same gate, so that a gate that stays open tells which fault was not seen.
GROUPS = {
    "identifiers lose their zero": (
        "leading_zero_lost", "wrong_clock", "unknown_district", "test_accounts", "drifting_anchors", "keys_released",
        "old_dapodik", "spellings",
    ),
    "identifiers lose their digits": (
        "digits_lost", "month_day_swapped", "undotted_codes", "few_anchors", "wrong_key", "late_sitting",
        "nip_birth_wrong", "duplicate_rows", "one_id_two_people", "rows_missing",
    ),
    "others come": (
        "key_shifted", "different_form", "district_disagrees", "madrasah_in_frame", "second_attempts",
        "different_people", "other_province", "unfair_anchor",
    ),
}  # fmt: skip


def test_each_fault_stands_in_one_group_and_shares_no_gate_there():
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(FAULTS)
    for group in GROUPS.values():
        codes = [code for name in group for code in FAULTS[name].closes]
        assert len(codes) == len({*codes})


@pytest.mark.parametrize("group", GROUPS)
def test_faults_together_close_exactly_the_gates_of_each(group, tmp_path, own_keys):
    check_gates(write_province(tmp_path / "province", GROUPS[group]), GROUPS[group])


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_closes_exactly_its_gates(name, tmp_path, own_keys, reviewed):
    check_gates(write_province(tmp_path / "province", (name,), reviewed=reviewed), (name,))


def check_gates(workspace, faults):
    """Run all stages: the gates of these faults close, no others, and no row is lost. Then the province goes."""
    run_stages(workspace)
    # What small subjects close in a sound province (above) may close here too.
    beyond = {code: state for code, state in find_closed(workspace).items() if SOUND.get(code) != state}
    assert beyond == {code: state for name in faults for code, state in FAULTS[name].closes.items()}
    check_conservation(workspace)
    shutil.rmtree(workspace.root)


def count_copies(workspace):
    """Return source → rows set aside as the copy of another."""
    aside = {source["name"]: source["aside"] for source in workspace.stage_record("ingest")["sources"]}
    return {source: reasons["copy_of_a_row"] for source, reasons in aside.items() if "copy_of_a_row" in reasons}


def name_by_person(workspace):
    """Return the sittings, and their answers, by who sat what and when: the number of a row in its file names nothing."""
    session, person = workspace.read_accepted("session"), ["pid", "wave", "form_id", "attempt"]
    answers = pd.concat(rows.astype({"session_id": "str"}) for *_, rows in workspace.read_answers())
    answers = answers.merge(session[["session_id", *person]], on="session_id", validate="many_to_one")
    tables = session.drop(columns="row"), answers
    keys = person, [*person, "item_id"]
    return [
        table.drop(columns="session_id").sort_values(by, ignore_index=True)
        for table, by in zip(tables, keys, strict=True)
    ]


def test_repeated_rows_are_counted_and_change_no_answer(tmp_path, own_keys):
    """Nor who gave it: all that comes later rests on these."""
    found = {}
    for name in ((), ("duplicate_rows",)):
        workspace = write_province(tmp_path / "-".join(["province", *name]), name)
        run_stages(workspace, until="check")
        found[name] = name_by_person(workspace)
        assert set(count_copies(workspace)) == ({"cbt-p1-post"} if name else set())
    for sound, repeated in zip(*found.values(), strict=True):
        pd.testing.assert_frame_equal(sound, repeated)


@pytest.mark.slow
def test_repeated_rows_change_no_score(tmp_path, own_keys, reviewed):
    found = []
    for name in ((), ("duplicate_rows",)):
        workspace = write_province(tmp_path / "-".join(["province", *name]), name, reviewed=reviewed)
        run_stages(workspace)
        scores = workspace.read_derived("scores")[["pid", "wave", "assessment", "points"]]
        found.append(scores.sort_values(["pid", "wave", "assessment"], ignore_index=True))
    pd.testing.assert_frame_equal(*found)
