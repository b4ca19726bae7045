"""Programmes from the lists that staff keep to the tables reports read, and what the made-up province plants in them."""

from __future__ import annotations

import json
from datetime import date
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bgtk_lib import schema
from bgtk_lib.ingest import run_ingest
from bgtk_lib.quality import run_check
from bgtk_lib.stages.participation import lay_programme_tables, list_applicants, list_participation
from bgtk_lib.stages.persons import list_programmes, span_waves
from bgtk_lib.synthetic import Design, draw_pairs, draw_province, write_demo
from bgtk_lib.synthetic.design import KKA_ATTENDING, KKA_GAIN, KKA_SEATS, wave_day
from bgtk_lib.synthetic.exports import build_exports
from bgtk_lib.synthetic.forms import build_form
from bgtk_lib.synthetic.workshop import PERSONS, RUBRIC_GAIN, RUBRIC_MIDDLE, RUBRIC_SD, describe_workshop, draw_workshop
from bgtk_lib.workspace import open_workspace

SHARE = KKA_SEATS * KKA_ATTENDING


@cache
def province(scenario="programme_effects"):
    return draw_province(Design(assessments=("PED", "KEP"), scenario=scenario))


def score_before(phase="II", wave="p2-pre"):
    """The observed PED score before of every teacher of a phase; an attempt that broke off is the lower one."""
    held = province().sittings.query("assessment == 'PED' and wave == @wave")
    right = (province().answers["PED", wave] == build_form(f"PED-{wave[1]}").key).sum(axis=1)
    return pd.Series(right[held["row"]], index=held["teacher"].to_numpy()).groupby(level=0).max()


def of_phase(frame, phase):
    return frame[frame["teacher"].map(province().teachers["phase"]) == phase]


# ------------------------------------------------------------------ what is planted


def test_only_the_second_ped_test_of_those_who_attended_differs_from_a_sound_province():
    sound, other = province("sound"), province()
    assert sound.teachers.equals(other.teachers)
    assert sound.sittings.equals(other.sittings)
    attending = set(other.training.query("programme == 'KKA'")["teacher"])
    for (assessment, wave), marked in sound.answers.items():
        if assessment != "PED" or wave.endswith("pre"):
            assert np.array_equal(marked, other.answers[assessment, wave])
            continue
        key = build_form(f"PED-{wave[1]}").key  # which wrong option is marked depends on how many are wrong
        more = (other.answers[assessment, wave] == key).sum(axis=1) - (marked == key).sum(axis=1)
        held = other.sittings.query("assessment == @assessment and wave == @wave").set_index("row")["teacher"]
        assert set(held.loc[np.flatnonzero(more)]) <= attending
        assert (more >= 0).all()
        here = held.isin(attending)
        assert here.sum() > 20
        # 0.15 SD are 0.79 points of these forms; what it is for one attender varies by less than one
        assert more[held.index[here]].mean() == pytest.approx(0.79, abs=0.5)


def test_other_scenarios_have_no_applicants_and_no_workshop():
    for scenario in ("sound", "tutors_on_top"):
        exports = build_exports(province(scenario))
        assert not {"data/raw/roster/pelamar.csv", "data/raw/rubrik/portofolio.csv"} & set(exports)
        assert {entry["effect"] for entry in exports["truth.json"]["programmes"].values()} == {0.0}
        assert "pelamar" not in {source["name"] for source in exports["workspace.yaml"]["sources"]}
    tutors = province("tutors_on_top").training.query("role == 'Tutor'")
    assert set(tutors["assignment"]) == {"selected_top"}


def test_the_truth_of_the_province_knows_of_the_effect():
    for key, truth in province().truth.items():
        sound = province("sound").truth[key]
        added = truth.rows["theta"] - sound.rows["theta"]
        planted = SHARE * KKA_GAIN if key[0] == "PED" else 0.0
        assert added.to_numpy() == pytest.approx(planted, abs=1e-12)
        if key[0] == "PED":
            assert (truth.rows["points"] > sound.rows["points"]).all()
    # whole persons: what attended differs from the share by at most half a person
    for phase, wave in (("I", "p1-pre"), ("II", "p2-pre")):
        attended = len(of_phase(province().training.query("programme == 'KKA'"), phase))
        assert abs(attended - SHARE * len(score_before(phase, wave))) <= 0.5


@pytest.mark.parametrize("scenario", ["sound", "programme_effects"])
def test_quadrature_agrees_with_a_simulation_where_a_programme_helps(scenario):
    design = Design(size="secondary", scenario=scenario)
    drawn = draw_pairs(design, assessment="PED", phase="II", n_teachers=200_000, rng=np.random.default_rng(3))
    gain = drawn.pairs["score_post"] - drawn.pairs["score_pre"]
    se = gain.std() / len(gain) ** 0.5 * 1.5  # schools share some of their change
    truth = drawn.truth
    assert abs(gain.mean() - truth.value("points_observed", population="retained")) < 3.5 * se
    assert drawn.pairs["score_post"].var() == pytest.approx(truth.value("var_post", population="retained"), rel=0.015)
    effect = SHARE * KKA_GAIN * 5  # points: the whole effect is eight standard errors, so that its lack would show
    assert scenario == "sound" or effect > 5 * se


def test_seats_are_drawn_by_lot_in_each_stratum_and_only_the_drawn_attend():
    applied = province().applicants
    assert set(applied["programme"]) == {"KKA"}
    assert not applied.duplicated("teacher").any()
    for phase in ("I", "II"):
        here = of_phase(applied, phase)
        assert here["drawn"].sum() * 2 == len(here)
        by_stratum = here.groupby("stratum")["drawn"].agg(["sum", "size"])
        assert set(by_stratum.index) == {"kabupaten", "kota"}
        assert ((2 * by_stratum["sum"] - by_stratum["size"]).abs() <= 1).all()
    assert applied.loc[applied["attended"], "drawn"].all()
    assert applied.loc[applied["drawn"], "attended"].mean() == pytest.approx(KKA_ATTENDING, abs=0.02)
    kka = province().training.query("programme == 'KKA'")
    assert set(kka["teacher"]) == set(applied.loc[applied["attended"], "teacher"])
    assert set(kka["assignment"]) == {"lottery"}


def test_each_programme_chooses_as_it_says():
    training, scores = of_phase(province().training, "II"), score_before()
    planted = build_exports(province())["truth.json"]["programmes"]
    bottom = set(training.query("programme == 'STEM'")["teacher"])
    assert bottom == set(scores.index[scores <= planted["STEM"]["cutoff"]["II"]])
    assert 0.05 < len(bottom) / len(scores) <= 0.12
    top = scores.loc[training.query("role == 'Tutor'")["teacher"]]
    assert len(top) == round(0.10 * len(scores))
    assert top.min() >= scores.quantile(0.9)
    schools = province().teachers.loc[training.query("programme == 'SM'")["teacher"], "npsn"]
    whole = province().teachers.query("npsn in @schools.unique()")
    assert schools.nunique() == 4
    assert set(whole.index) == set(training.query("programme == 'SM'")["teacher"])
    volunteers = training.query("programme == 'PM'")
    later = pd.to_datetime(volunteers["start"]) > pd.Timestamp(wave_day("II", "post"))
    assert (int((~later).sum()), int(later.sum())) == (planted["PM"]["n"]["II"], planted["PM-later"]["n"]["II"])
    assert scores.loc[volunteers["teacher"]].mean() > scores.mean() + 0.5  # they differ before anything happened
    assert training["hours"].eq(4 * training["sessions"]).all()


def test_the_workshop_has_the_planted_gain_and_agreement():
    gains, spreads, agreements = [], [], []
    for seed in range(150):
        workshop = draw_workshop(0, start=wave_day("I", "pre"), rng=np.random.default_rng(seed))
        assert len(workshop.rubric) == PERSONS * 2 * 2 * 4
        totals = workshop.rubric.pivot_table(index="teacher", columns=["occasion", "rater"], values="score")
        before, after = totals["Sebelum"], totals["Sesudah"]
        gains.append((after - before).to_numpy().mean() / RUBRIC_SD)
        spreads.append(before.to_numpy().mean())
        rows, columns = before.mean(axis=1), before.mean(axis=0)
        between = 2 * rows.var(ddof=1)
        left = before.sub(rows, axis=0).sub(columns, axis=1).to_numpy() + before.to_numpy().mean()
        within = (left**2).sum() / (PERSONS - 1)
        agreements.append(((between - within) / 2, within))
    share, rest = np.mean(agreements, axis=0)
    # 150 workshops: the mean gain varies by 0.008, the mean by 0.06 points, the variances' ratio by about 0.01
    assert np.mean(gains) == pytest.approx(RUBRIC_GAIN, abs=0.03)
    assert np.mean(spreads) == pytest.approx(RUBRIC_MIDDLE, abs=0.25)
    assert share / (share + rest) == pytest.approx(describe_workshop()["icc"], abs=0.03)
    assert describe_workshop()["icc"] == pytest.approx(0.85, abs=0.005)


def test_the_workshop_is_of_persons_who_sat_no_test():
    workshop = province().workshop
    assert len(workshop.persons) == PERSONS
    assert not set(workshop.persons.index) & set(province().teachers.index)
    assert not set(workshop.persons["nuptk"]) & set(province().teachers["nuptk"])


# ------------------------------------------------------------------ by hand


def workspace_of(**given):
    """A workspace that holds a few rows of canonical tables, with one phase of two waves."""
    kept = {name: schema.conform(pd.DataFrame(rows), name) for name, rows in given.items()}
    days = {"pre": [date(2025, 10, 18), date(2025, 10, 25)], "post": []}  # of the second, as it was sat
    waves = {name: SimpleNamespace(phase="I", occasion=name, days=named) for name, named in days.items()}

    def read(table, columns=None):
        frame = kept.get(table)
        return frame if frame is None or columns is None else frame[columns]

    return SimpleNamespace(read_accepted=read, declared=SimpleNamespace(waves=waves))


def course(pid, programme="PM", **facts):
    return {"pid": pid, "programme": programme, "start": "2026-01-05", "row": 0} | facts


def applicant(pid, **facts):
    return {"pid": pid, "programme": "KKA", "call": "1", "row": 0} | facts


def sitting(pid, wave, day):
    moment = pd.Timestamp(day).tz_localize("Asia/Jakarta")
    return {"session_id": f"{wave}/{pid}", "pid": pid, "wave": wave, "form_id": "F", "start": moment, "row": 0}


def test_courses_are_added_up_and_what_is_not_told_stays_unknown():
    workspace = workspace_of(
        training=[
            course("a", hours=8, sessions=2, role="participant", assignment="volunteer", end="2026-01-20"),
            course("a", hours=4, sessions=1, role="participant", assignment="volunteer", start="2026-02-01"),
            course("a", hours=3, role="tutor", start="2026-02-02", assignment="selected_top"),
            course("b", hours=8, sessions=2, assignment="volunteer"),
            course("b", start="2026-03-01", sessions=3, assignment="lottery"),
            course("c", "TS", assignment="somehow"),
        ]
    )
    found = list_participation(workspace).set_index(["pid", "programme", "role"])
    assert list(found.columns) == ["start", "end", "hours", "sessions", "assignment"]
    one = found.loc["a", "PM", "participant"]
    assert (one["hours"], one["sessions"], one["assignment"]) == (12, 3, "volunteer")
    assert (one["start"], one["end"]) == (pd.Timestamp("2026-01-05"), pd.Timestamp("2026-01-20"))
    tutor = found.loc["a", "PM", "tutor"]
    assert (tutor["hours"], tutor["assignment"]) == (3, "selected_top")
    assert pd.isna(tutor["sessions"])
    both = found.loc["b", "PM", "participant"]  # one course without hours, two ways of coming in
    assert (both["sessions"], both["assignment"]) == (5, "unknown")
    assert pd.isna(both["hours"])
    assert found.loc["c", "TS", "participant"]["assignment"] == "unknown"
    assert len(found) == 4


def test_who_came_is_as_written_or_as_the_list_of_participants_says():
    rows = [
        applicant("a", drawn=True),
        applicant("b", drawn=True),
        applicant("c", drawn=True, attended=True),
        applicant("d", drawn=False),
    ]
    found = list_applicants(workspace_of(applicant=rows, training=[course("a", "KKA")])).set_index("pid")
    assert found["attended"].to_dict() == {"a": True, "b": False, "c": True, "d": False}
    unlisted = list_applicants(workspace_of(applicant=rows)).set_index("pid")["attended"]
    assert unlisted.isna().to_dict() == {"a": True, "b": True, "c": False, "d": True}


def test_groups_that_are_compared_are_told_apart():
    sat = [sitting(pid, "pre", "2025-10-18") for pid in "abcdefgh"]
    sat += [sitting(pid, "post", "2026-04-18") for pid in "abcdefg"] + [sitting("i", "post", "2026-04-25")]
    workspace = workspace_of(
        session=sat,
        training=[
            course("a"),
            course("b", start="2026-04-18"),
            course("c", role="tutor", start="2026-04-20"),
            course("d", "KKA", start="2025-10-25"),
            course("e", "KKA", start=None),
            course("h", start="2026-04-20"),  # was not there after: what counts is when the phase was measured
            course("i", start="2026-04-17"),
            course("g", start="2025-10-20"),  # between the first day and the make-up day
            course("z", start="2026-04-20"),  # sat no test
        ],
        applicant=[
            applicant("d", drawn=True),
            applicant("b", drawn=True),
            applicant("f", drawn=False),
            applicant("g"),
            applicant("h", drawn=True, attended=True),
        ],
    )
    found = list_programmes(workspace)
    assert list(found.columns) == ["pid", "programme", "start", "chosen"]
    assert sorted(zip(found["pid"], found["programme"], strict=True)) == [
        ("a", "PM"), ("b", "KKA-drawn"), ("b", "PM-later"), ("c", "PM-tutor"), ("d", "KKA"), ("e", "KKA"),
        ("f", "KKA-applicant"), ("g", "KKA-applicant"), ("g", "PM-before"), ("h", "KKA"), ("h", "PM-later"), ("i", "PM"),
        ("z", "PM"),
    ]  # fmt: skip


def test_waves_have_the_days_declared_or_those_that_were_sat():
    sat = [sitting("a", "pre", "2025-10-19"), sitting("a", "post", "2026-04-18"), sitting("b", "post", "2026-04-25")]
    found = span_waves(workspace_of(session=sat))
    days = found[["first", "last"]].map(lambda day: f"{day:%Y-%m-%d}")
    assert days.loc["pre"].tolist() == ["2025-10-18", "2025-10-25"]
    assert days.loc["post"].tolist() == ["2026-04-18", "2026-04-25"]
    assert span_waves(workspace_of())["first"].isna().tolist() == [False, True]


def test_a_person_is_in_a_group_once():
    rows = [applicant("a", drawn=False), applicant("a", call="2", drawn=False), applicant("b", drawn=False)]
    found = list_programmes(workspace_of(applicant=rows, training=[course("b", "KKA")]))
    assert found.to_numpy().tolist()[1] == ["b", "KKA", pd.Timestamp("2026-01-05"), True], "nobody says how b came in"
    assert found["programme"].tolist() == ["KKA-applicant", "KKA"]


@pytest.mark.parametrize("given", [{}, {"training": []}, {"applicant": []}, {"rubric": []}])
def test_without_lists_the_tables_are_empty_and_have_their_columns(given):
    workspace = workspace_of(**given)
    made = lay_programme_tables(workspace)
    tables = ("participation", "training", "applicants", "rubric", "staff")
    assert {name: len(table) for name, table in made.items()} == dict.fromkeys(tables, 0)
    assert list(made["participation"]) == [
        "pid", "programme", "role", "start", "end", "hours", "sessions", "assignment",
    ]  # fmt: skip
    assert list(made["applicants"]) == ["pid", "programme", "call", "applied", "stratum", "drawn", "attended"]
    assert list(made["rubric"]) == ["pid", "programme", "occasion", "rater", "criterion", "score", "score_max"]
    assert list_programmes(workspace).empty


# ------------------------------------------------------------------ through the files


@pytest.fixture(scope="module")
def checked(keys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("programmes")
    write_demo(folder, Design(assessments=("PED", "KEP"), scenario="programme_effects"))
    workspace = open_workspace(folder)
    record = run_ingest(workspace)
    run_check(workspace)
    return SimpleNamespace(workspace=workspace, record=record)


def test_every_row_of_the_lists_comes_through(checked):
    drawn = province()
    wanted = {"pelatihan": drawn.training, "pelamar": drawn.applicants, "rubrik": drawn.workshop.rubric}
    sources = {source["name"]: source for source in checked.record["sources"]}
    for name, table in wanted.items():
        assert (sources[name]["received"], sources[name]["accepted"]) == (len(table), len(table)), name
    rules = checked.workspace.read_derived("rules")
    ours = rules[rules["table"].isin(["training", "applicant", "rubric"])]
    assert set(ours["table"]) == {"training", "applicant", "rubric"}
    assert (ours["fails"] == 0).all()
    assert (ours["error"] == "").all()


def test_the_tables_are_what_was_drawn(checked):
    drawn, made = province(), lay_programme_tables(checked.workspace)
    by_way = ["programme", "assignment"]
    assert (made["participation"].groupby(by_way).size() == drawn.training.groupby(by_way).size()).all()
    assert made["participation"]["hours"].sum() == drawn.training["hours"].sum()
    assert made["participation"]["sessions"].sum() == drawn.training["sessions"].sum()
    lots = ["stratum", "drawn", "attended"]
    assert made["applicants"].groupby(lots).size().to_dict() == drawn.applicants.groupby(lots).size().to_dict()
    planted = drawn.workshop.rubric.replace({"occasion": {"Sebelum": "pre", "Sesudah": "post"}})
    sums = [rubric.groupby(["occasion", "rater", "criterion"])["score"].sum() for rubric in (made["rubric"], planted)]
    assert sums[0].to_dict() == sums[1].to_dict()
    assert set(made["rubric"]["rater"]) == {"P1", "P2"}


def test_groups_are_those_of_the_truth(checked):
    planted = json.loads((checked.workspace.root / "truth.json").read_text(encoding="utf-8"))["programmes"]
    found = list_programmes(checked.workspace)["programme"].value_counts().to_dict()
    lost = {"KKA-applicant": 0, "KKA-drawn": 0}
    for phase, n in planted["KKA"]["drawn"].items():
        lost["KKA-drawn"] += n - planted["KKA"]["n"][phase]
        lost["KKA-applicant"] += planted["KKA"]["applicants"][phase] - n
    assert found == lost | {group: sum(entry["n"].values()) for group, entry in planted.items()}


def test_persons_of_the_lists_are_those_of_the_tests(checked):
    sat = set(checked.workspace.read_accepted("session")["pid"])
    made = lay_programme_tables(checked.workspace)
    tested = made["participation"].query("programme not in ['OKU-PORTO', 'SM']")
    assert set(tested["pid"]) <= sat
    assert set(made["applicants"]["pid"]) <= sat
    assert not set(made["rubric"]["pid"]) & sat
