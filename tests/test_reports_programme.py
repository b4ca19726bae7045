"""The report on a programme: its figures are the estimators', its claims the design's, and few persons stay hidden."""

import html
import json
import re
import shutil
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from bgtk_lib.change.drawn import lay_draws
from bgtk_lib.disclosure import Plan
from bgtk_lib.display.compared import frame_balance, tell_balance
from bgtk_lib.engine.batch import make_reports
from bgtk_lib.engine.enrolled import OTHERS, OWN, Enrolled, enrol
from bgtk_lib.engine.enrolled_figures import list_entry, list_found, list_marks, screen
from bgtk_lib.engine.lint import lint_page, lint_text
from bgtk_lib.engine.paired import Paired
from bgtk_lib.engine.parameters import Programme, check_parameters, find_report
from bgtk_lib.engine.report import Report
from bgtk_lib.engine.wishes import list_wishes
from bgtk_lib.errors import ParameterError
from bgtk_lib.findings import Figure, Withheld
from bgtk_lib.programme.assess import assess_programme
from bgtk_lib.programme.balance import measure_balance
from bgtk_lib.programme.design import Declared, Design
from bgtk_lib.programme.gates import judge_programme
from bgtk_lib.programme.groups import form_groups
from bgtk_lib.programme.rubric import assess_rubric
from bgtk_lib.stages.persons import span_waves
from bgtk_lib.stages.run import run_stages
from bgtk_lib.synthetic import Design as Province
from bgtk_lib.synthetic import write_demo
from bgtk_lib.words import plain
from bgtk_lib.workspace import open_workspace

MIN_CELL = 10
TWO = {"assessment": "PED", "wave_pre": "p2-pre", "wave_post": "p2-post"}
KKA = {**TWO, "programme": "KKA", "assignment": "lottery", "comparison": "lottery"}
TUTORS = {**TWO, "programme": "TS", "role": "tutor", "assignment": "selected_top"}
OTHER = {"edition_id": "dua-puluh", "min_cell": 20}  # one `min_cell` an edition
ASKED = [
    {**KKA, "language": "id"},
    {**KKA, "language": "en"},
    {**TUTORS, "language": "en"},
    {**TWO, "programme": "STEM", "assignment": "selected_need", "comparison": "matched", "language": "id"},
    {**TWO, "programme": "PM", "assignment": "volunteer", "comparison": "not_yet", "language": "en"},
    {**TWO, "programme": "SM", "assignment": "whole_school", "comparison": "matched", "language": "id", **OTHER},
    {**TWO, "programme": "OKU-PORTO", "assignment": "unknown", "level": "praktik", "language": "en"},
]
SLUGS = {
    "kka_participant_lottery_ped_p2-pre_p2-post_id": "id",
    "kka_participant_lottery_ped_p2-pre_p2-post_en": "en",
    "ts_tutor_none_ped_p2-pre_p2-post_en": "en",
    "stem_participant_matched_ped_p2-pre_p2-post_id": "id",
    "pm_participant_not_yet_ped_p2-pre_p2-post_en": "en",
    "sm_participant_matched_ped_p2-pre_p2-post_id": "id",
    "oku-porto_participant_none_ped_p2-pre_p2-post_en": "en",
}
every_page = pytest.mark.parametrize("slug", SLUGS)
KKA_ID, KKA_EN, TUTOR, STEM, PM, SM, OKU = SLUGS


@pytest.fixture(scope="module")
def made(keys, tmp_path_factory):
    """A province where a lottery adds something, with every kind of programme reported on."""
    folder = tmp_path_factory.mktemp("programme") / "province"
    write_demo(folder, Province(assessments=("PED",), scenario="programme_effects"))
    declared = yaml.safe_load((folder / "workspace.yaml").read_text(encoding="utf-8"))
    declared["rules"] |= {"plausible_values": 5, "dif_groups": []}
    declared["reports"] = [{"report": "programme", "parameters": parameters} for parameters in ASKED]
    (folder / "workspace.yaml").write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
    workspace = open_workspace(folder)
    run_stages(workspace)
    reports = make_reports(workspace, list_wishes(workspace))
    return SimpleNamespace(workspace=workspace, reports=reports)


def read_file(made, slug, name):
    edition = "dua-puluh" if slug == SM else "draf"
    return (made.workspace.root / "reports" / edition / "programme" / slug / name).read_text(encoding="utf-8")


def read_results(made, slug):
    return json.loads(read_file(made, slug, "results.json"))


def read_figures(made, slug):
    return {(f["name"], *sorted(f["where"].items())): f for f in read_results(made, slug)["figures"]}


def read_words(made, slug):
    """What a reader reads: one line an element, no style, script or tag."""
    page = re.sub(r"(?s)<(style|script)\b.*?</\1>", " ", read_file(made, slug, "report.html"))
    return html.unescape(re.sub(r"\s*\n\s*", "\n", re.sub(r"<[^>]+>", "\n", page)))


def may_claim(made, slug):
    return json.loads(read_file(made, slug, "passport.json"))["may_claim"]


# ---------------------------------------------------------------- whole, in both languages, without a person


def test_every_report_was_made(made):
    assert [(one.wish.slug, one.reason) for one in made.reports if one.status == "failed"] == []
    assert {one.wish.slug for one in made.reports} == set(SLUGS)


@every_page
def test_a_page_speaks_one_language_and_is_finished(slug, made):
    words, language = read_words(made, slug), SLUGS[slug]
    assert ("Jawaban singkat" in words, "The bottom line" in words) == (language == "id", language == "en")
    assert ("Apa yang tidak dapat disimpulkan" in words) == (language == "id")
    assert not re.search(r"\{[a-z_:,.0-9]+\}|\bnan\b|\bNone\b|withheld\.|programme\.[a-z]+\.", words)


@every_page
def test_every_picture_has_words(slug, made):
    alts = re.findall(r'<img alt="([^"]*)"', read_file(made, slug, "report.html"))
    assert alts
    assert all(len(alt) > 20 for alt in alts)


@every_page
def test_nobody_is_named(slug, made):
    people = set(made.workspace.read_accepted("training")["pid"]) | set(made.workspace.read_accepted("session")["pid"])
    for name in ("report.html", "results.json", "report.ipynb", "passport.json"):
        assert set(re.findall(r"[\w./@-]{6,}", read_file(made, slug, name))) & people == set(), name


def test_the_language_changes_no_number(made):
    one, other = (read_results(made, slug) for slug in (KKA_ID, KKA_EN))
    for results in (one, other):
        del results["parameters"]["language"]
    assert one == other


# ---------------------------------------------------------------- the figures are the estimators'


def by_hand(made, declared):
    """The programme from the stored tables by the estimators alone, without the report's own rooms."""
    read, days = made.workspace.read_derived, span_waves(made.workspace)
    pairs = read("pairs").query("assessment == 'PED' and wave_pre == 'p2-pre'").reset_index(drop=True)
    staff = read("staff").set_index("pid").reindex(pairs["pid"])
    pairs = pairs.assign(age=2025 - staff["birth_year"].to_numpy(dtype=float), ptk_kind=staff["ptk_kind"].to_numpy())
    draws = read("plausible").query("assessment == 'PED' and wave_pre == 'p2-pre'")
    applicants = read("applicants").astype({"drawn": object, "attended": object})
    between = days.loc["p2-pre", "last"], days.loc["p2-post", "first"]
    groups = form_groups(pairs, read("training"), applicants, declared=declared, between=between)
    drawn = lay_draws(pairs, draws[draws["pid"].isin(pairs["pid"])])
    return drawn, groups, assess_programme(drawn, groups, declared, rng=np.random.default_rng(1))


LOTTERY = Declared(programme="KKA", assignment="lottery", comparison="lottery", conditioned=True)
PICKED = Declared(programme="TS", assignment="selected_top", role="tutor", conditioned=True)


def test_the_lottery_page_tells_what_the_estimators_find(made):
    drawn, groups, found = by_hand(made, LOTTERY)
    told = read_figures(made, KKA_ID)
    assert isinstance(found.design, Design)
    assert told["programme.evidence",]["value"] == found.design.evidence == 4
    pairs = [("programme.effect", found.effect), ("programme.change", found.change), ("programme.cace", found.cace)]
    pairs += [("programme.comparison_change", found.comparison_change), ("programme.rtm_expected", found.towards_mean)]
    for name, one in pairs:
        assert [told[name,][end] for end in ("value", "low", "high")] == pytest.approx(
            [one.estimate, one.low, one.high]
        )
    assert told["programme.effect_sd",]["value"] == pytest.approx(found.effect.estimate / found.effect.sd)
    treated = groups.members["treated"]
    assert [told[f"programme.{name}",]["value"] for name in ("n", "comparison_n")] == [treated.sum(), (~treated).sum()]
    balance = measure_balance(drawn.frame.merge(groups.members, on="pid"), treated)
    age = balance.loc[balance["column"] == "age", "before"].item()
    assert told["balance.age.before",]["value"] == pytest.approx(age)
    # by ordinary least squares alone: the draw, the first score, a column a stratum of the lottery
    rows = groups.members.merge(drawn.frame[["pid", "points_pre"]], on="pid")
    place = drawn.frame.reset_index().set_index("pid").loc[rows["pid"], "index"].to_numpy()
    X = np.column_stack([rows["treated"], rows["points_pre"], pd.get_dummies(rows["lot"])]).astype(float)
    fits = [np.linalg.lstsq(X, column, rcond=None)[0][0] for column in drawn.post[place].T]
    assert told["programme.effect",]["value"] == pytest.approx(np.mean(fits), rel=1e-9)


def test_the_tutors_page_tells_their_change_beside_the_regression_to_the_mean(made):
    drawn, groups, found = by_hand(made, PICKED)
    told = read_figures(made, TUTOR)
    tutors = drawn.frame["pid"].isin(groups.members["pid"]).to_numpy()
    assert told["programme.change",]["value"] == pytest.approx(drawn.gain[tutors].mean())
    assert told["programme.rtm_expected",]["value"] == pytest.approx(found.towards_mean.estimate)
    expected = told["programme.rtm_expected",]
    assert (
        expected["low"] < 0 < expected["high"]
    )  # on the scale no luck returns, and gains are planted alike at every level
    words = read_words(made, TUTOR)
    for name in ("programme.change", "programme.rtm_expected"):
        assert f"{told[name,]['value']:+.1f} points".replace("-", "−") in words


def test_the_programmes_gates_stand_in_results_and_page(made):
    _, groups, found = by_hand(made, LOTTERY)
    judged = {gate.code: gate for gate in judge_programme(found, groups, LOTTERY, {})}
    told = {gate["code"]: gate for gate in read_results(made, KKA_ID)["gates"] if gate["code"] in judged}
    assert {code: gate["state"] for code, gate in told.items()} == {code: gate.state for code, gate in judged.items()}
    assert set(told) == {"C07", "C08", "C16", "C18", "C19"}
    assert told["C18"]["scope"] == {**TWO, "programme": "KKA", "role": "participant"}
    assert told["C18"]["message"]["id"] in read_words(made, KKA_ID)


def test_rubric_scores_are_means_of_their_criteria(made):
    ratings = made.workspace.read_derived("rubric")
    found = assess_rubric(ratings)
    told = read_figures(made, OKU)
    assert told["rubric.change",]["value"] == pytest.approx(found.change.estimate / ratings["criterion"].nunique())
    assert told["rubric.icc", ("occasion", "pre")]["value"] == pytest.approx(found.icc_pre)
    words = read_words(made, OKU)
    assert f"went up by {told['rubric.change',]['value']:.1f} points" in words
    assert "on a scale of 0–20" in words
    assert told["programme.change",]["value"] is None


# ---------------------------------------------------------------- what may be said


def test_where_a_lot_was_drawn_the_page_may_say_it(made):
    assert may_claim(made, KKA_ID)
    page, figures = read_file(made, KKA_ID, "report.html"), read_results(made, KKA_ID)["figures"]
    assert "kontribusi program" in read_words(made, KKA_ID)
    assert "Kontribusi Program · Koding" in read_words(made, KKA_ID)
    found = lint_page(page, language="id", figures=figures, may_claim=False)
    assert {one.rule for one in found if one.severity == "stop"} == {"cause_named"}
    assert [
        one for one in lint_page(page, language="id", figures=figures, may_claim=True) if one.severity == "stop"
    ] == []


@pytest.mark.parametrize("slug", [TUTOR, STEM, PM, SM, OKU])
def test_without_a_comparison_that_carries_it_no_cause_is_named(slug, made):
    assert not may_claim(made, slug)
    words = read_words(made, slug).casefold()
    assert not re.search(r"kontribusi program|added by the programme|what the programme added(?! is not)", words)
    for line in words.splitlines():
        assert [one for one in lint_text(line, language=SLUGS[slug]) if one.severity == "stop"] == [], line


@pytest.mark.parametrize(("slug", "code"), [(TUTOR, "C07"), (STEM, "C18")])
def test_a_stopped_effect_is_no_figure(slug, code, made):
    told = read_figures(made, slug)
    assert {g["code"]: g["state"] for g in read_results(made, slug)["gates"]}[code] == "STOP"
    for name in ("programme.effect", "programme.effect_sd"):
        assert (told[name,]["value"], told[name,]["withheld"]["kind"]) == (None, "gate")
    assert ("programme.p",) not in told
    assert told["programme.evidence",]["value"] == 1
    assert told["programme.change",]["value"] is not None


def test_volunteers_are_compared_and_nothing_is_claimed(made):
    told, words = read_figures(made, PM), read_words(made, PM)
    assert told["programme.evidence",]["value"] == 2
    assert told["programme.effect",]["value"] is not None
    assert "it is no evidence of what the programme did" in words
    assert "2 of 4: with a comparison group ← this report" in words


# ---------------------------------------------------------------- small cells


def is_safe(n):
    return n is None or n == 0 or n >= MIN_CELL


@every_page
def test_no_count_stands_for_few(slug, made):
    results = read_results(made, slug)
    for figure in results["figures"]:
        assert is_safe(figure["n"]), figure["name"]
        if figure["unit"] == "persons":
            assert is_safe(figure["value"]), figure["name"]
    assert all(is_safe(gate["rows"]) for gate in results["gates"])
    for before, after in pairwise(results["flow"]):
        assert before["n"] == after["n"] + after["set_aside"]
        assert all(is_safe(n) for n in (after["set_aside"], *after["reasons"].values()))


@every_page
def test_those_who_took_part_and_are_not_counted_are_not_few(slug, made):
    told = {name: figure["value"] for (name, *_), figure in read_figures(made, slug).items()}
    n, lost, shown = told["roster.n"], told["roster.unpaired"], told["programme.n"]
    if None not in (n, lost, shown) and "lottery" not in slug:
        assert is_safe(n - lost - shown)


def test_few_participants_hide_their_comparison_too(made):
    told = read_figures(made, SM)
    for name, kind in (("programme.n", "small"), ("programme.comparison_n", "complement")):
        assert (told[name,]["value"], told[name,]["withheld"]["kind"]) == (None, kind)
    shown = {name for (name, *_), f in told.items() if f["value"] is not None and not name.startswith("rows.")}
    assert shown == set()
    assert "kurang dari 20 orang" in read_words(made, SM)


# ---------------------------------------------------------------- rows made by hand

DAYS = pd.Timestamp("2025-12-13"), pd.Timestamp("2026-06-06")
LISTED = ["pid", "programme", "start", "end", "hours", "role", "sessions", "assignment"]
APPLIED = ["pid", "programme", "call", "applied", "stratum", "drawn", "attended"]


def enrolled(*, courses=(), applicants=(), rubric=None, unit="points", conditioned=(), stopped=(), **asked):
    """Persons p0 … p119 of one district, forty schools, first scores 0 … 29 and second ones a little higher."""
    n = 120
    points = np.arange(n) % 30
    pairs = pd.DataFrame(
        {"pid": [f"p{i}" for i in range(n)], "points_pre": points, "points_post": points + np.arange(n) % 3}
    )
    pairs = pairs.assign(
        form_pre="F", form_post="F", wave_pre="p2-pre", unit=unit, district="18.01", npsn=[f"n{i % 40}" for i in range(n)],
        score_pre=pairs["points_pre"], score_post=pairs["points_post"], linking_error=0.0, n_anchors=0, n_link=0,
    )  # fmt: skip
    draws = pairs[["pid", "score_pre", "score_post"]].assign(draw=0)
    noise = np.random.default_rng(1).normal(size=(2, n))
    second = draws.assign(draw=1, score_pre=pairs["score_pre"] + noise[0], score_post=pairs["score_post"] + noise[1])
    tables = {
        "plausible": pd.concat([draws, second]),
        "form_reliability": pd.DataFrame({"wave": ["p2-pre"], "form": ["F"], "alpha": [0.8]}),
        "conditioned": pd.DataFrame(list(conditioned), columns=["grouping", "level", "state"]),
    }
    rows = Paired(
        pairs=pairs, unpaired=pd.DataFrame({"pid": [], "reason": [], "npsn": []}), read=tables.__getitem__,
        min_cell=MIN_CELL, how={"cluster": "school", "confidence": 0.95},
    )  # fmt: skip
    given = {"assignment": "whole_school", **TWO, "programme": "PM", **asked}
    dates = dict.fromkeys(("start", "end"), "datetime64[s]")
    return Enrolled(
        asked=Programme(**given),
        rows=rows,
        training=pd.DataFrame(list(courses), columns=LISTED).astype(dates | {"hours": float, "sessions": "Int64"}),
        applicants=pd.DataFrame(list(applicants), columns=APPLIED),
        rubric=pd.DataFrame(columns=["pid", "occasion", "rater", "criterion", "score", "score_max"]) if rubric is None else rubric,
        people=pairs,
        left=pairs.head(0),
        between=DAYS,
        n_waves=2,
        stopped=frozenset(stopped),
        rng=np.random.default_rng(1),
    )  # fmt: skip


def course(i, *, start="2026-02-01", end="2026-03-01", hours=8.0, role=None):
    return (f"p{i}", "PM", start, end, hours, role, None, None)


def test_a_course_is_counted_by_its_own_day():
    """p0 goes on after the second measurement, p1 began before the first: neither makes the other courses vanish."""
    rows = enrolled(
        courses=[
            course(0), course(0, start="2026-06-20", end="2026-07-20", hours=30.0), course(1, start="2025-11-01"), course(1),
            *[course(i) for i in range(2, 50)],
        ],
        comparison="matched",
    )  # fmt: skip
    members = rows.groups.members.set_index("pid")
    assert (members.loc["p0", "hours"], members.loc["p0", "treated"]) == (8.0, True)
    assert "p1" not in members.index
    assert dict(rows.groups.aside.to_numpy()) == {"p1": "started_before"}
    assert rows.groups.days_after == (DAYS[1] - pd.Timestamp("2026-03-01")).days
    assert [str(day) for day in rows.held] == ["2026-02-01", "2026-03-01"]


def test_of_several_draws_the_first_counts_and_nobody_trips_over_what_is_not_known(made, tmp_path):
    """Through the stored table, with its own kinds of columns: two calls, one of them without a lottery."""
    shutil.copytree(made.workspace.root, tmp_path / "copy")
    workspace = open_workspace(tmp_path / "copy")
    table = workspace.folder("scores") / "applicants" / "part-0.parquet"
    applicants = pd.read_parquet(table)
    lost = applicants[~applicants["drawn"].astype(bool)].head(40)
    later = lost.assign(call="2", applied=pd.Timestamp("2026-01-20"), drawn=True, attended=pd.NA)
    unasked = later.head(15).assign(call="0", applied=pd.Timestamp("2025-01-20"), drawn=pd.NA)
    pd.concat([applicants, later, unasked]).to_parquet(table, index=False)
    declaration = find_report("programme")
    before, after = (
        enrol(Report(declaration, check_parameters(declaration, KKA, home), home))
        for home in (made.workspace, workspace)
    )
    assert (before.groups.members["treated"] == after.groups.members["treated"]).all()
    assert before.counts.to_dict() == after.counts.to_dict()


def test_another_phases_persons_are_not_of_the_roster(made):
    declaration = find_report("programme")
    asked = {**TWO, "programme": "KKA", "assignment": "lottery"}
    rows = enrol(Report(declaration, check_parameters(declaration, asked, made.workspace), made.workspace))
    sat = made.workspace.read_derived("scores")
    here = set(sat.loc[sat["wave"].isin(["p2-pre", "p2-post"]), "pid"])
    courses = made.workspace.read_derived("training").query("programme == 'KKA'")
    inside = courses["start"].between(*rows.between, inclusive="left")
    assert rows.groups.n_roster == courses.loc[inside & courses["pid"].isin(here), "pid"].nunique()
    assert rows.groups.n_roster < courses.loc[inside, "pid"].nunique()


def test_a_comparison_too_small_to_be_shown_is_set_aside():
    rows = enrolled(courses=[course(i) for i in range(113)], comparison="matched")
    assert rows.counts.to_dict() == {OWN: 113, OTHERS: 0}
    assert rows.groups.flow.steps[-1].reasons == {"few_compared": 7}
    assert len(rows.groups.members) + len(rows.groups.aside) == 120
    more = enrolled(courses=[course(i) for i in range(110)], comparison="matched")
    assert more.counts.to_dict() == {OWN: 110, OTHERS: 10}


def lots(n_absent):
    drawn = [(f"p{i}", "PM", "1", pd.Timestamp("2025-12-20"), "a", i % 2 == 0, None) for i in range(120)]
    came = list(range(0, 120, 2))[n_absent:]
    return {"applicants": drawn, "courses": [course(i) for i in came], "assignment": "lottery", "comparison": "lottery"}


@pytest.mark.parametrize(("n_absent", "kind"), [(9, "small"), (10, None)])
def test_few_who_stayed_away_are_not_told_by_the_effect_on_those_who_came(n_absent, kind):
    rows = enrolled(**lots(n_absent))
    told = {figure.name: figure for figure in shown(rows, list_found(rows))}
    assert not isinstance(told["programme.effect"].value, Withheld)
    for name in ("programme.cace", "programme.taken_up"):
        value = told[name].value
        assert (value.kind if isinstance(value, Withheld) else None) == kind
        assert not told[name].tells_n
    entry = {figure.name: figure for figure in shown(rows, list_entry(rows))}
    assert entry["participation.hours"].tells_n == (kind is None)


def shown(rows, figures, hidden=()):
    report = SimpleNamespace(
        parameters=rows.asked,
        plan=Plan(min_cell=MIN_CELL, hidden={"t": dict(hidden)}),
        table=lambda _: "t",
    )
    return screen(report, figures).figures


def test_a_count_is_hidden_whatever_n_it_bears():
    population = plain("")
    few = Figure(name="roster.n", value=9, unit="persons", n=0, population=population)
    enough = replace(few, value=10)
    rows = enrolled()
    assert isinstance(shown(rows, [few])[0].value, Withheld)
    assert shown(rows, [enough])[0].value == 10


def test_each_cell_hides_its_own_figures():
    rows = enrolled(courses=[course(i) for i in range(60)], comparison="matched")
    told = shown(rows, list_found(rows), hidden={OTHERS: "complement"})
    hidden = {
        figure.name for figure in told if isinstance(figure.value, Withheld) and figure.value.kind == "complement"
    }
    assert hidden == {"programme.comparison_n", "programme.comparison_change", "comparison.clusters"}
    assert all("group" not in figure.where for figure in told)


def test_few_who_took_part_and_are_not_counted_hide_how_many_took_part():
    tutors = [course(i, role="tutor") for i in range(3)]
    rows = enrolled(courses=[course(i) for i in range(60)] + tutors, comparison="matched")
    told = {figure.name: figure.value for figure in shown(rows, list_entry(rows))}
    assert rows.counts[OWN] == 57
    assert [told[name].kind for name in ("roster.n", "roster.unpaired")] == ["complement", "complement"]
    open_ones = enrolled(courses=[course(i) for i in range(60)], comparison="matched")
    assert {f.name: f.value for f in shown(open_ones, list_entry(open_ones))}["roster.n"] == 60


# ---------------------------------------------------------------- scale, points of the form, or nothing

KNOWN = [("programme:PM", "True", "kept"), ("programme:PM", "False", "kept")]


@pytest.mark.parametrize(
    ("more", "n", "unit"),
    [
        ({"conditioned": KNOWN}, 60, "scale"),
        ({"conditioned": [("programme:PM", "True", "pooled")]}, 60, "points"),
        ({"conditioned": []}, 60, "points"),
        ({"conditioned": KNOWN}, 29, "points"),  # a small workshop
        ({"conditioned": KNOWN, "comparison": "not_yet"}, 60, "scale"),  # nobody took part later
        ({"conditioned": [*KNOWN, ("programme:PM-later", "True", "pooled")], "comparison": "not_yet"}, 60, "points"),
        ({"conditioned": [*KNOWN, ("programme:PM-later", "True", "kept")], "comparison": "not_yet"}, 60, "scale"),
    ],
)
def test_points_stand_for_a_scale_that_does_not_know_the_groups(more, n, unit):
    rows = enrolled(unit="scale", courses=[course(i) for i in range(n)], **more)
    assert rows.unit == unit
    assert isinstance(rows.found.design, Design)


def test_tutors_are_a_group_of_their_own_on_the_scale():
    courses = [course(i, role="tutor") for i in range(60)]
    assert enrolled(unit="scale", courses=courses, conditioned=KNOWN, role="tutor").unit == "points"
    known = [("programme:PM-tutor", "True", "kept")]
    assert enrolled(unit="scale", courses=courses, conditioned=known, role="tutor").unit == "scale"


def test_two_forms_and_a_scale_that_does_not_know_them_are_refused():
    rows = enrolled(unit="scale", courses=[course(i) for i in range(60)])
    apart = replace(rows, people=rows.people.assign(form_post="G"))
    assert "rules.conditioning" in apart.found.design.reason.en
    assert isinstance(apart.found.change, Withheld)


def test_the_slope_on_hours_is_of_points():
    courses = [course(i, hours=float(i % 7)) for i in range(60)]
    rows = enrolled(unit="scale", courses=courses, conditioned=KNOWN)
    again = enrolled(unit="points", courses=courses)
    assert rows.unit == "scale"
    assert rows.found.dose.estimate == pytest.approx(again.found.dose.estimate)


# ---------------------------------------------------------------- what stops, and by which score


@pytest.mark.parametrize(("stopped", "evidence"), [((), 3), (("C03",), 1)])
def test_a_comparison_that_a_gate_stops_is_no_evidence(stopped, evidence):
    rows = enrolled(courses=[course(i) for i in range(0, 120, 2)], comparison="matched", stopped=stopped)
    assert rows.found.design.evidence == evidence
    assert rows.found.design.may_claim == (evidence == 3)


def test_picked_by_a_score_that_is_not_here_is_held():
    facts = {"courses": [course(i) for i in range(0, 120, 2)], "comparison": "matched", "assignment": "selected_need"}
    states = {}
    for by in ("assessment", "other"):
        rows = enrolled(picked_by=by, **facts)
        gates = judge_programme(rows.found, rows.groups, rows.declared, {})
        states[by] = next(gate.state for gate in gates if gate.code == "C07"), rows.found.design.evidence
    assert states == {"assessment": ("WARN", 3), "other": ("HOLD", 2)}


# ---------------------------------------------------------------- rubric and balance by hand


def rate(n, missing=0):
    rows = [
        (f"q{i}", occasion, rater, criterion, 5.0 + i % 5 + (2 + (-1) ** i) * (occasion == "post"), 20.0)
        for i in range(n)
        for occasion in ("pre", "post")
        for rater in ("P1", "P2")
        for criterion in ("a", "b", "c", "d")
        if not (i < missing and occasion == "post" and rater == "P2")
    ]
    return pd.DataFrame(rows, columns=["pid", "occasion", "rater", "criterion", "score", "score_max"])


def test_a_rubric_score_is_the_mean_of_its_criteria():
    rows = enrolled(rubric=rate(24))
    assert rows.rated.change.estimate == pytest.approx(2.0)
    assert rows.highest_mark == 20
    assert {figure.name: figure.tells_n for figure in list_marks(rows)}["rubric.change"]
    mixed = rate(24)
    mixed.loc[0, "score_max"] = 10
    assert enrolled(rubric=mixed).highest_mark is None


def test_few_who_were_not_rated_whole_are_not_told_by_subtraction():
    told = {figure.name: figure for figure in list_marks(enrolled(rubric=rate(24, missing=2)))}
    assert told["rubric.n"].value.kind == "complement"
    assert not told["rubric.change"].tells_n
    assert told["rubric.change"].value == pytest.approx(2.0)


def test_differences_before_the_programme_are_told_with_both_limits():
    def differ(name, value, level=""):
        where = {"level": level} if level else {}
        return Figure(name=f"balance.{name}", value=value, unit="sd", n=50, population=plain(""), where=where)

    hidden = Withheld(plain("few"), kind="small")
    figures = [differ("points_pre.before", 0.04), differ("points_pre.after", 0.0), differ("age.before", -0.3)]
    figures += [differ("age.after", 0.01), differ("sex.before", 0.2, "P"), differ("sex.after", 0.0, "P")]
    figures += [differ("status.before", -0.1, "PNS"), differ("status.after", 0.0, "PNS")]
    figures += [differ("jenjang.before", hidden, "SLB"), differ("jenjang.after", 0.0, "SLB")]
    frame = frame_balance(figures)
    assert frame[["before", "after"]].round(2).to_numpy()[:3].tolist() == [[0.04, 0.0], [-0.3, 0.01], [0.2, 0.0]]
    assert frame[["before", "after"]].iloc[4].isna().all()
    told = tell_balance(frame, limit=0.25).en
    assert "Of 4 characteristics, 1 differ by at most 0.05 standard deviations and 1 by more than 0.25" in told
    assert "the largest is age (−0.30)" in told
    assert "After weighting the largest is 0.01" in told


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"programme": "KKB"}, "KKA"),
        ({"assignment": "chosen"}, "assignment"),
        ({"role": "facilitator"}, "role"),
        ({"wave_pre": "p1-pre"}, "p1-pre → p1-post"),
        ({"small_n": "5"}, "small_n"),
        ({"balance_limit": "2"}, "balance_limit"),
    ],
)
def test_impossible_parameters_are_refused_before_anything_runs(changed, word, made):
    with pytest.raises(ParameterError, match=re.escape(word)):
        check_parameters(find_report("programme"), {**KKA, **changed}, made.workspace)


def test_how_people_came_in_must_be_said(made):
    asked = {name: value for name, value in KKA.items() if name != "assignment"}
    with pytest.raises(ParameterError, match="assignment"):
        check_parameters(find_report("programme"), asked, made.workspace)
