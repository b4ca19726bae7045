"""The analysis plan: read strictly, hashed by content, locked before the second wave is read, and honest when it was not."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bgtk_lib.errors import ParameterError
from bgtk_lib.stages.analysis_plan import judge_plan
from bgtk_lib.workspace import open_workspace
from bgtk_lib.workspace.analysis_plan import AnalysisPlan, read_analysis_plan
from bgtk_lib.workspace.plan_lock import lock_plan, note_reading, read_plan_state
from bgtk_lib.workspace.store import read_json, write_json
from bgtk_lib.workspace.typed import declare, read_yaml

DOCUMENT = Path(__file__).parent.parent / "docs" / "analysis-plan.md"
WORKSPACE = """\
name: office
institution: {name: BGTK Provinsi Lampung}
data_kind: synthetic
sources:
- {name: cbt-1, file: "data/raw/cbt/p1-pre/*.csv", mapping: cbt, wave: p1-pre}
- {name: cbt-2, file: "data/raw/cbt/p1-post/*.csv", mapping: cbt, wave: p1-post}
- {name: roster-2, file: data/raw/roster.csv, mapping: roster, wave: p2-post}
waves:
  p1-pre: {phase: I, occasion: pre}
  p1-post: {phase: I, occasion: post}
  p2-pre: {phase: II, occasion: pre}
  p2-post: {phase: II, occasion: post}
rules: {cluster: school}
"""
PLAN = """\
confirmatory:
  tahap-1: {assessment: PED, wave_pre: p1-pre, wave_post: p1-post}
  tahap-2: {assessment: KEP, wave_pre: p2-pre, wave_post: p2-post}
subgroups: [sex, district]
programmes:
- {programme: TS, assessment: PED, wave_pre: p1-pre, wave_post: p1-post, comparison: not_yet}
margin: 2
composite: {PED: 0.5, KEP: 0.25, SSL: 0.25}
cluster: school
notes: |
  Agreed with the partner.
  Minutes of 3 March.
"""
EARLY, NOON, LATE = (datetime(2026, 4, day, 8, 30, tzinfo=UTC) for day in (1, 18, 30))
PARAMETERS = {"edition_id": "draf", "assessment": "PED", "wave_pre": "p1-pre", "wave_post": "p1-post"} | {
    "districts": [],
    "jenjang": [],
}


class Office:
    """A small workspace with a plan."""

    def __init__(self, root):
        self.root = root
        self.write("workspace.yaml", WORKSPACE)
        self.write("data/mappings/cbt.yaml", "table: session\ncolumns: {}\n")
        self.write("data/mappings/roster.yaml", "table: roster\ncolumns: {}\n")
        self.write("plan.yaml", PLAN)

    def write(self, name, text, old="", new=""):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert old in text
        path.write_bytes(text.replace(old, new).encode() if old else text.encode())

    def open(self, plan="plan.yaml"):
        workspace = open_workspace(self.root)
        declared = workspace.declared.model_copy(update={"analysis_plan": plan})
        return type(workspace)(root=workspace.root, declared=declared)

    def lock(self, now=EARLY):
        return lock_plan(self.open(), now=now)

    def read(self, *waves, now=NOON):
        note_reading(self.open(), waves, now=now)

    def state(self, **how):
        return read_plan_state(self.open(**how))

    def gates(self, **how):
        return {gate.scope["wave"]: gate for gate in judge_plan(self.state(**how))}

    def status(self, figure="change.mean", where=(), report="change", **parameters):
        return self.state().status_of(report, figure, parameters=PARAMETERS | parameters, where=dict(where))

    def records(self, name):
        return read_json(self.root / "data/decisions" / name)


@pytest.fixture
def office(tmp_path):
    return Office(tmp_path)


# ---------------------------------------------------------------- reading


def test_a_plan_is_read_with_its_defaults(office):
    plan = read_analysis_plan(office.open())
    assert plan.confirmatory["tahap-1"].figure == "change.mean"
    assert (plan.margin, plan.missing, plan.programmes[0].role) == (2.0, "complete", "participant")
    assert read_analysis_plan(office.open(plan=None)) is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("margin: 2", "margn: 2", "margn: this name is not known. Did you mean “margin”?"),
        ("wave_post: p1-post}\n  tahap-2", "wave_pst: p1-post}\n  tahap-2", "Did you mean “wave_post”?"),
        ("margin: 2", "margin: 0", "“0” is out of range; needed is > 0"),
        ("margin: 2", "margin: 2,5", "margin"),
        ("[sex, district]", "[gender, district]", "subgroups.0: “gender” is not known"),
        ("cluster: school", "cluster: schools", "Did you mean “school”?"),
        ("assessment: KEP", "assessment: KEPP", "assessment: “KEPP” is not known. Did you mean “KEP”?"),
        ("{programme: TS", "{programme: TSS", "programme: “TSS” is not known"),
        ("SSL: 0.25", "SSL: 0.35", "the weights sum to 1.1000"),
        ("PED: 0.5", "PDE: 0.5", "composite: “PDE” is not known"),
        ("wave_post: p2-post", "wave_post: p1-post", "p2-pre → p1-post"),
        ("wave_pre: p1-pre, wave_post: p1-post}\n  tahap-2", "wave_pre: p1-post, wave_post: p1-pre}\n  tahap-2", "p1-post → p1-pre"),
        ("tahap-1:", "Tahap 1:", "confirmatory"),
        ("comparison: not_yet", "comparison: notyet", "Did you mean “not_yet”?"),
        ("notes: |", "confirmatory: |", "plan.yaml"),
    ],
)  # fmt: skip
def test_what_a_plan_must_not_say_is_refused(office, old, new, told):
    office.write("plan.yaml", PLAN, old, new)
    with pytest.raises(ParameterError) as refused:
        read_analysis_plan(office.open())
    assert told in refused.value.text.en
    assert refused.value.text.id != refused.value.text.en


def test_a_plan_without_a_contrast_or_a_file_is_refused(office):
    office.write("plan.yaml", "confirmatory: {}\n")
    with pytest.raises(ParameterError, match="confirmatory"):
        office.state()
    with pytest.raises(ParameterError, match=r"other\.yaml"):
        office.state(plan="other.yaml")


def test_the_example_of_the_document_is_a_plan_and_its_keys_are_explained(office):
    text = DOCUMENT.read_text("utf-8")
    office.write("plan.yaml", re.search(r"(?s)```yaml\n(.*?)```", text).group(1))
    assert read_analysis_plan(office.open()).margin == 2
    assert {name for name in AnalysisPlan.model_fields if f"| `{name}` |" not in text} == set()


# ---------------------------------------------------------------- what the hash depends on


def content_of(office, text):
    office.write("plan.yaml", text)
    return office.lock().sha256


def reorder(text):
    """The same plan: keys in another order, flow style for block style, numbers and lists written otherwise."""
    read = declare(AnalysisPlan, read_yaml(text), where="plan").model_dump(mode="json")
    read["subgroups"] = ["district", "sex", "sex"]
    read["margin"] = "2.00"
    return json.dumps(dict(reversed(read.items())))


def test_layout_does_not_change_the_hash(office):
    first = content_of(office, PLAN)
    layouts = {
        "windows": PLAN.replace("\n", "\r\n"),
        "byte order mark": "\ufeff" + PLAN,
        "comments": "# agreed\n" + PLAN.replace("margin: 2", "margin: 2.0   # points"),
        "order": reorder(office.root / "plan.yaml"),
        "indent": PLAN.replace("  tahap", "      tahap"),
    }
    for name, text in layouts.items():
        assert content_of(office, text) == first, name
    assert len(office.records("plan_lock.json")["locks"]) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("margin: 2", "margin: 2.5"),
        ("margin: 2\n", ""),
        ("[sex, district]", "[sex]"),
        ("assessment: KEP", "assessment: SSL"),
        ("tahap-2", "tahap-3"),
        ("comparison: not_yet", "comparison: matched"),
        ("PED: 0.5, KEP: 0.25", "PED: 0.25, KEP: 0.5"),
        ("3 March", "4 March"),
        ("notes", "missing: mi\nnotes"),
    ],
)
def test_content_changes_the_hash(office, old, new):
    first = content_of(office, PLAN)
    office.write("plan.yaml", PLAN, old, new)
    assert office.lock().sha256 != first


# ---------------------------------------------------------------- locking and reading


def test_locked_before_reading_it_is_planned(office):
    lock = office.lock()
    assert (lock.locked_at, lock.present, lock.read) == (EARLY, (), ())
    assert office.gates()["p1-post"].state == "OK"
    assert "have not been read" in office.gates()["p1-post"].message.en
    office.read("p1-pre", "p1-post")
    assert office.status() == "planned"
    gate = office.gates()["p1-post"]
    assert (gate.code, gate.state, gate.scope) == ("C11", "OK", {"wave": "p1-post"})
    assert "1 April 2026" in gate.message.id
    (entry,) = office.records("plan_lock.json")["locks"]
    assert re.fullmatch(r"[0-9a-f]{64}", entry["plan_sha256"])
    assert set(office.records("readings.json")) == {"p1-post"}
    assert office.records("readings.json")["p1-post"]["read_at"] == "2026-04-18T08:30:00+00:00"


def test_without_a_plan_everything_is_exploratory(office):
    state = office.state(plan=None)
    assert state.status_of("change", "change.mean", parameters=PARAMETERS, where={}) == "exploratory"
    assert state.status_of("change", "pairs.n", parameters=PARAMETERS, where={}) == "descriptive"
    gates = office.gates(plan=None)
    assert {wave: gate.state for wave, gate in gates.items()} == {"p1-post": "WARN", "p2-post": "WARN"}
    assert "no analysis plan" in gates["p1-post"].message.en
    with pytest.raises(ParameterError, match="analysis_plan"):
        lock_plan(office.open(plan=None), now=EARLY)


def test_a_plan_that_nobody_locked_is_exploratory(office):
    assert office.gates()["p1-post"].state == "WARN"
    assert "not locked" in office.gates()["p1-post"].message.en
    office.read("p1-post")
    assert office.status() == "exploratory"
    assert "was not locked when" in office.gates()["p1-post"].message.en


def test_locking_after_the_reading_is_too_late_and_stays_so(office):
    office.read("p1-post", now=NOON)
    assert office.lock(LATE).read == ("p1-post",)
    assert office.status() == "exploratory"
    assert office.gates()["p1-post"].state == "WARN"
    office.read("p1-post", "p2-post", now=LATE)  # reading again does not wash it clean; the other wave is in time
    assert office.status() == "exploratory"
    assert office.status(assessment="KEP", wave_pre="p2-pre", wave_post="p2-post") == "planned"
    assert office.records("readings.json")["p1-post"] == {"lock": None, "read_at": "2026-04-18T08:30:00+00:00"}


@pytest.mark.parametrize(
    ("file", "text", "old", "new", "named"),
    [
        ("plan.yaml", PLAN, "margin: 2", "margin: 97.5", "margin"),
        ("plan.yaml", PLAN, "assessment: PED, wave_pre: p1-pre, wave_post: p1-post}\n  ", "assessment: SSL, wave_pre: p1-pre, wave_post: p1-post}\n  ", "confirmatory"),
        ("plan.yaml", PLAN, "[sex, district]", "[sex, district, device]", "subgroups"),
        ("plan.yaml", PLAN, "  tahap-2", "  tahap-1b: {assessment: SSL, wave_pre: p1-pre, wave_post: p1-post}\n  tahap-2", "confirmatory"),
        ("plan.yaml", PLAN, "comparison: not_yet", "comparison: matched", "programmes"),
        ("workspace.yaml", WORKSPACE, "cluster: school", "cluster: school, attempts: last_complete", "rules.attempts"),
        ("workspace.yaml", WORKSPACE, "cluster: school", "cluster: district", "rules.cluster"),
    ],
)  # fmt: skip
def test_a_change_after_the_reading_holds_and_names_what_changed(office, file, text, old, new, named):  # noqa: PLR0917 - by name
    office.lock()
    office.read("p1-post")
    office.write(file, text, old, new)
    gates = office.gates()
    of_one_wave = named in ("confirmatory", "programmes")
    assert (gates["p1-post"].state, gates["p2-post"].state) == ("HOLD", "OK" if of_one_wave else "WARN")
    assert f": {named}." in gates["p1-post"].message.en
    assert f": {named}." in gates["p1-post"].message.id
    assert "97" not in gates["p1-post"].message.en
    assert office.status() == "exploratory"
    if named != "rules.cluster":
        office.lock(LATE)  # locking again does not heal what was read
        assert office.gates()["p1-post"].state == "HOLD"
        assert office.gates()["p2-post"].state == "OK"
        assert len(office.records("plan_lock.json")["locks"]) == 2
    office.write(file, text)  # restored, it is what was locked
    assert office.status() == "planned"


def test_what_is_planned_for_another_wave_may_still_change(office):
    office.lock()
    office.read("p1-post")
    office.write("plan.yaml", PLAN, "{assessment: KEP, wave_pre: p2-pre", "{assessment: SSL, wave_pre: p2-pre")
    assert office.status() == "planned"
    assert {wave: gate.state for wave, gate in office.gates().items()} == {"p1-post": "OK", "p2-post": "WARN"}
    office.lock(LATE)
    assert {wave: gate.state for wave, gate in office.gates().items()} == {"p1-post": "OK", "p2-post": "OK"}


def test_a_plan_taken_away_after_the_reading_holds(office):
    office.lock()
    office.read("p1-post")
    gate = office.gates(plan=None)["p1-post"]
    assert (gate.state, "analysis_plan" in gate.message.id) == ("HOLD", True)


def test_a_plan_may_change_before_the_reading_if_it_is_locked_again(office):
    office.lock()
    office.write("plan.yaml", PLAN, "margin: 2", "margin: 3")
    assert office.gates()["p1-post"].state == "WARN"
    office.lock(NOON)
    office.read("p1-post", now=LATE)
    assert office.status() == "planned"
    first, second = office.records("plan_lock.json")["locks"]
    assert (first["locked_at"] < second["locked_at"], first["plan"]["margin"], second["plan"]["margin"]) == (True, 2, 3)


def test_a_plan_changed_but_not_locked_again_before_the_reading_is_not_what_was_locked(office):
    office.lock()
    office.write("plan.yaml", PLAN, "margin: 2", "margin: 3")
    office.read("p1-post")
    assert office.gates()["p1-post"].state == "HOLD"


def test_rules_that_move_no_change_may_change(office):
    office.lock()
    office.read("p1-post")
    office.write(
        "workspace.yaml",
        WORKSPACE,
        "cluster: school",
        "cluster: school, reference_date: 2026-07-01, item_profile: ketat",
    )
    assert office.status() == "planned"


def test_a_rule_the_library_did_not_know_when_the_plan_was_locked_has_its_default(office):
    office.lock()
    stored = office.records("plan_lock.json")
    assert stored["locks"][0]["rules"]["window_days"] == [150, 210]
    state = office.state()
    older = {name: value for name, value in state.lock.rules.items() if name != "window_days"}
    known = type(state.lock)(locked_at=EARLY, plan=state.lock.plan, rules=older)
    now = type(state)(plan=state.plan, rules=state.rules, lock=known, readings={}, waves=state.waves)
    assert now.changed("p1-post") == ()


def test_exports_that_lay_there_already_are_told(office):
    office.write("data/raw/cbt/p1-post/a.csv", "x")
    office.write("data/raw/roster.csv", "x")  # of the other wave, and no results
    assert office.lock().present == ("p1-post",)
    office.read("p1-post")
    assert office.status() == "planned"
    assert "lay in the workspace already" in office.gates()["p1-post"].message.en


def test_what_an_earlier_library_read_without_a_note_counts_as_read(office):
    sources = [
        {"name": "cbt-2", "table": "session", "wave": "p1-post"},
        {"name": "r", "table": "roster", "wave": "p2-post"},
    ]
    write_json(office.root / "data/canonical/stage.json", {"sources": sources})
    assert office.lock().read == ("p1-post",)
    office.read("p1-post", "p2-post")
    assert office.records("readings.json")["p1-post"] == {"lock": None, "read_at": None}
    assert (office.gates()["p1-post"].state, office.gates()["p2-post"].state) == ("WARN", "OK")


def test_a_plan_that_contradicts_the_rules_cannot_be_locked(office):
    office.write("plan.yaml", PLAN, "cluster: school", "cluster: district")
    with pytest.raises(ParameterError, match=r"rules\.cluster"):
        office.lock()


@pytest.mark.parametrize("name", ["plan_lock.json", "readings.json"])
def test_a_record_edited_by_hand_is_refused(office, name):
    office.lock()
    office.read("p1-post")
    path = office.root / "data/decisions" / name
    path.write_text(path.read_text("utf-8").replace("2026-04-01", "2026-03-01"), encoding="utf-8")
    with pytest.raises(ParameterError, match=name):
        office.state()


# ---------------------------------------------------------------- planned, exploratory, descriptive


@pytest.fixture
def locked(office):
    office.lock()
    office.read("p1-post")
    return office


@pytest.mark.parametrize(
    ("figure", "where", "status"),
    [
        ("change.mean", {}, "planned"),
        ("change.g_av", {}, "planned"),
        ("change.p", {}, "planned"),
        ("sensitivity.complete", {}, "planned"),
        ("sensitivity.ipw", {}, "exploratory"),
        ("change.mean", {"district": "18.01"}, "planned"),
        ("subgroup.change", {"grouping": "sex", "level": "P"}, "planned"),
        ("subgroup.difference", {"grouping": "device", "level": "hp"}, "exploratory"),
        ("gap.change", {"grouping": "sex", "first": "P", "second": "L"}, "planned"),
        ("gap.change", {"grouping": "jenjang", "first": "SMP", "second": "SD"}, "exploratory"),
        ("gap.pre", {"grouping": "sex", "first": "P", "second": "L"}, "descriptive"),
        ("change.mean", {"district": "18.01", "sex": "P"}, "planned"),
        ("change.mean", {"district": "18.01", "device": "hp"}, "exploratory"),
        ("evenness.gap_change", {}, "planned"),
        ("evenness.gap_change_90", {}, "planned"),
        ("evenness.sd_change", {}, "exploratory"),
        ("evenness.sd_pre", {}, "descriptive"),
        ("quantile.p10_change", {}, "exploratory"),
        ("reliable.up", {}, "exploratory"),
        ("something.new", {}, "exploratory"),
        ("change.mean_pre", {}, "descriptive"),
        ("change.mde", {}, "descriptive"),
        ("pairs.n", {}, "descriptive"),
        ("leavers.g", {}, "descriptive"),
    ],
)
def test_each_figure_of_a_planned_report_says_what_it_is(locked, figure, where, status):
    assert locked.status(figure, where) == status


@pytest.mark.parametrize(
    ("other", "status"),
    [
        ({"assessment": "KEP"}, "exploratory"),
        ({"assessment": "KEP", "wave_pre": "p2-pre", "wave_post": "p2-post"}, "planned"),
        ({"districts": ["18.01"]}, "exploratory"),
        ({"jenjang": ["SD"]}, "exploratory"),
        ({"edition_id": "tahap-1"}, "planned"),
        ({"edition_id": "tahap-2"}, "exploratory"),
        ({"edition_id": "elsewhere"}, "planned"),
        ({"report": "coverage_map"}, "descriptive"),
    ],
)
def test_only_the_contrast_of_the_edition_over_everybody_is_planned(locked, other, status):
    locked.read("p2-post")
    assert locked.status(**other) == status


@pytest.mark.parametrize(
    ("figure", "other", "status"),
    [
        ("programme.effect", {}, "planned"),
        ("programme.p", {"comparison": "not_yet"}, "planned"),
        ("programme.effect", {"comparison": "matched"}, "exploratory"),
        ("programme.effect", {"role": "tutor"}, "exploratory"),
        ("programme.effect", {"design": "did"}, "exploratory"),
        ("programme.effect", {"programme": "PM"}, "exploratory"),
        ("programme.effect", {"assessment": "KEP"}, "exploratory"),
        ("dose.slope", {}, "exploratory"),
        ("rubric.change", {}, "exploratory"),
        ("programme.n", {}, "descriptive"),
        ("balance.score_pre.before", {}, "descriptive"),
    ],
)
def test_a_programme_is_planned_as_it_was_written_down(locked, figure, other, status):
    assert locked.status(figure, report="programme", **{"programme": "TS"} | other) == status
    if status == "planned":
        assert locked.status(figure, {"district": "18.01"}, report="programme", programme="TS") == "exploratory"


def test_the_primary_handling_of_those_who_left_is_the_planned_one(office):
    office.write("plan.yaml", PLAN, "cluster: school", "cluster: school\nmissing: ipw")
    office.lock()
    office.read("p1-post")
    assert office.status("sensitivity.ipw") == "planned"
    assert office.status("change.mean") == "exploratory"


def test_without_a_margin_evenness_was_not_planned(office):
    office.write("plan.yaml", PLAN, "margin: 2\n", "")
    office.lock()
    office.read("p1-post")
    assert office.status("evenness.gap_change") == "exploratory"
