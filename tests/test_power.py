"""The smallest detectable change: the standards' figures, statsmodels, a simulation, identities, and the page's pieces."""

from dataclasses import replace
from html.parser import HTMLParser
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from bgtk_lib.change.drawn import combine, lay_draws
from bgtk_lib.change.estimate import estimate_change
from bgtk_lib.change.precision.next_wave import PLAIN, foresee
from bgtk_lib.change.precision.power import (
    NEEDED_COLUMNS,
    POWER_COLUMNS,
    SIZES,
    Case,
    count_needed,
    find_detectable,
    list_detectable,
    list_power,
    plan_power,
)
from bgtk_lib.change.strata import plan_strata
from bgtk_lib.disclosure import Plan, Released, release
from bgtk_lib.display.canvas import start_figure
from bgtk_lib.display.context import Context
from bgtk_lib.display.power import draw_power, frame_power, plot_power, tell_power
from bgtk_lib.errors import ParameterError
from bgtk_lib.findings import Withheld

NONE = pd.DataFrame()
CASES = get_args(Case)
ROUGH = replace(
    PLAIN, reliability=0.8, icc_school=0.1, icc_district=0.05, per_school=4, n_districts=14, n_anchors=12, drift_sd=0.1
)
PHASE_TWO = [
    704,
    977,
    689,
    417,
    372,
    487,
    773,
    576,
    401,
    392,
    162,
    283,
    172,
    357,
]  # the published counts of 14 districts


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


def mde(wave, case, n):
    return float(plan_power(wave, sizes={case: [n]})["mde_sd"].iloc[0])


# ---------------------------------------------------------------- the standards' figures (3.10)


@pytest.mark.parametrize("n", [2674, 6762, 9436])
def test_pooled_over_fifteen_equal_districts(n):
    """Districts as draws, ICC of change .05 between them, r = .7 of the scores as they are: .14 whatever the n."""
    wave = replace(PLAIN, icc_district=0.05, n_districts=15)
    assert mde(wave, "province_wider", n) == pytest.approx(0.14, abs=0.005)


def test_pooled_over_the_fourteen_unequal_districts_of_phase_two():
    """The same with (Σn)²/Σn² = 11.5 districts; their Satterthwaite df of 10.5 is that number less one."""
    sizes = np.array(PHASE_TWO)
    effective = sizes.sum() ** 2 / (sizes**2).sum()
    plan = plan_strata(sizes.sum(), cluster=np.repeat(np.arange(14), sizes))
    df = plan.average(np.random.default_rng(1).normal(size=(sizes.sum(), 1)), confidence=0.95)[0].df
    assert df == pytest.approx(effective - 1, abs=0.05)
    wave = replace(PLAIN, icc_district=0.05, n_districts=effective)
    assert mde(wave, "province_wider", int(sizes.sum())) == pytest.approx(0.16, abs=0.005)


@pytest.mark.parametrize(("n", "told"), [(91, 0.33), (150, 0.27), (300, 0.18)])
@pytest.mark.parametrize("reliability", [1.0, 0.85, 0.75])
def test_one_subject_with_twelve_anchors(n, told, reliability):
    """True r = .7, no clusters, anchors that do not drift and tell 1/4 a person, t with the link's 11 df: within .01.

    With normal quantiles .331, .257 and .182 come out: the first and the last as printed; no error that falls with √n
    gives the middle one too.
    """
    assert mde(replace(PLAIN, n_anchors=12, reliability=reliability), "subject", n) == pytest.approx(told, abs=0.01)


@pytest.mark.parametrize(("n", "told"), [(100, 0.22), (30, 0.41), (20, 0.51)])
def test_one_workshop(n, told):
    """Persons independent, r = .7 of the scores as they are, the same form."""
    assert mde(PLAIN, "workshop", n) == pytest.approx(told, abs=0.005)


# ---------------------------------------------------------------- other programs, simulation


@pytest.mark.parametrize("n", [20, 30, 100, 400])
def test_a_workshop_is_the_paired_t_of_statsmodels(n):
    """Its noncentral t differs from (t + t)·se by less than .1 %."""
    known = TTestPower().solve_power(nobs=n, power=0.8, alpha=0.05) * np.sqrt(0.6)
    assert mde(PLAIN, "workshop", n) == pytest.approx(known, rel=0.001)


@pytest.mark.parametrize("n", [60, 200, 1000])
@pytest.mark.parametrize("reliability", [1.0, 0.8])
def test_two_groups_are_the_two_sample_t_of_what_the_first_score_leaves(n, reliability):
    wave = replace(PLAIN, reliability=reliability)
    left = np.sqrt((1 - (0.7 * reliability) ** 2) / reliability)
    known = TTestIndPower().solve_power(nobs1=n / 2, power=0.8, alpha=0.05) * left
    assert mde(wave, "programme", n) == pytest.approx(known, rel=0.001)


@pytest.mark.parametrize("n", [60, 200, 1000])
def test_two_groups_of_schools_are_the_two_sample_t_of_their_means(n):
    wave = replace(PLAIN, icc_school=0.1, per_school=5)
    spread = np.sqrt(0.51 * (0.1 + 0.9 / 5))
    known = TTestIndPower().solve_power(nobs1=n / 10, power=0.8, alpha=0.05) * spread
    assert mde(wave, "programme_schools", n) == pytest.approx(known, rel=0.002)


def test_persons_needed_are_those_of_statsmodels():
    needed = count_needed(PLAIN).set_index("case")["n"]
    alone = TTestPower().solve_power(effect_size=0.2 / np.sqrt(0.6), power=0.8, alpha=0.05)
    pair = TTestIndPower().solve_power(effect_size=0.2 / np.sqrt(0.51), power=0.8, alpha=0.05)
    assert needed["workshop"] == pytest.approx(np.ceil(alone), abs=1)
    assert needed["programme"] == pytest.approx(2 * pair, abs=2)


def test_a_change_of_that_size_is_found_in_four_of_five_studies(rng):
    """The headline's own estimator: 480 teachers in schools of four, ten fixed districts that change differently."""
    wave = replace(ROUGH, n_districts=10, n_anchors=0)
    told = plan_power(wave, sizes={"province": [480]}).iloc[0]
    replications, school = 2000, np.arange(480) // 4
    shape = (480, replications)
    true = 0.6 * np.array([0.1, 0.85])
    gain = np.sqrt(true[0]) * rng.normal(size=(120, replications))[school] + np.sqrt(true[1]) * rng.normal(size=shape)
    gain += np.sqrt(2 * (1 / 0.8 - 1)) * rng.normal(size=shape) + (school % 10)[:, None] / 10
    plan = plan_strata(480, stratum=school % 10, cluster=school)
    found = plan.average(gain - gain.mean() + told["mde_sd"], confidence=0.95)
    assert np.mean([one.low > 0 for one in found]) == pytest.approx(
        0.80, abs=0.027
    )  # three Monte-Carlo standard errors
    assert np.mean([one.se for one in found]) == pytest.approx(told["se_sd"], rel=0.02)
    assert found[0].df == pytest.approx(told["df"], rel=0.001)


def test_the_link_enters_as_it_does_where_change_is_estimated(rng):
    """Points of one form have a single draw, so that `combine` adds the link whole: reliability 1."""
    wave = replace(PLAIN, n_anchors=12, drift_sd=0.2)
    told = plan_power(wave, sizes={"subject": [200]}).iloc[0]
    pairs = pd.DataFrame({"score_pre": rng.normal(size=200), "score_post": 0.0})
    link = np.sqrt((0.2**2 + 8 / 200) / 12)
    drawn = replace(lay_draws(pairs, NONE), linking_error=link, link_df=11.0)
    known = combine(drawn, [0.3], [0.6 / 200], df=199, linked=1, confidence=0.95)
    assert (told["se_sd"], told["df"]) == pytest.approx((known.se, known.df), rel=1e-9)


# ---------------------------------------------------------------- identities


@pytest.mark.parametrize("case", CASES)
def test_more_persons_detect_less_never_more(case):
    table = plan_power(ROUGH, sizes={case: [2**k for k in range(4, 17)]})
    assert list(table.columns) == POWER_COLUMNS
    assert (table["mde_sd"].dropna().diff().dropna() < 0).all()
    assert (table["mde_sd"].isna() == (table["note"] == "few_clusters")).all()
    assert table["mde_points"].dropna().to_numpy() == pytest.approx(100 * table["mde_sd"].dropna().to_numpy())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "worse",
    [
        {"retest_r": 0.5},
        {"reliability": 0.6},
        {"icc_school": 0.3},
        {"drift_sd": 0.3},
        {"n_anchors": 6},
        {"per_school": 8},
    ],
    ids=str,
)
def test_what_is_worse_detects_no_less(case, worse):
    assert mde(replace(ROUGH, **worse), case, 1000) >= mde(ROUGH, case, 1000) - 1e-12


def test_without_clusters_and_link_every_case_of_one_group_is_the_workshop():
    alone = replace(PLAIN, reliability=0.8)
    for case in ("subject", "district", "province"):
        assert mde(alone, case, 150) == pytest.approx(mde(alone, "workshop", 150), rel=1e-12)


def test_measuring_is_not_counted_twice_beside_the_link():
    """A province makes its own link: error of measurement is in it. A district keeps all but its share of its own."""
    sharp, blunt = (replace(ROUGH, drift_sd=0, reliability=reliability) for reliability in (1.0, 0.8))
    assert mde(sharp, "province", 1000) == pytest.approx(mde(blunt, "province", 1000), rel=1e-12)
    assert mde(sharp, "district", 1000) < mde(blunt, "district", 1000)
    least = replace(blunt, n_anchors=10_000)  # a link that tells less than the answers it rests on is no link
    assert mde(least, "province", 1000) == pytest.approx(mde(replace(blunt, n_anchors=0), "province", 1000))


def test_needed_and_detectable_are_inverse():
    needed = count_needed(ROUGH)
    assert list(needed.columns) == NEEDED_COLUMNS
    assert needed["case"].tolist() == list(CASES)
    for row in needed.dropna(subset=["n"]).to_dict("records"):
        assert mde(ROUGH, row["case"], row["n"]) <= 0.20 < mde(ROUGH, row["case"], row["n"] - 1)
    wide = count_needed(replace(ROUGH, drift_sd=0.3)).set_index("case")
    assert wide["note"].dropna().to_dict() == dict.fromkeys(
        ["subject", "district", "province", "province_wider"], "never"
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_hardly_anybody_detects_nothing(case, n):
    table = plan_power(ROUGH, sizes={case: [n]})
    assert table["note"].tolist() == ["few_clusters"]
    assert isinstance(list_power(ROUGH, sizes={"workshop": [n]})[9].value, Withheld)


def test_waves_that_agree_wholly_detect_everything():
    assert mde(replace(PLAIN, retest_r=1), "workshop", 30) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"retest_r": 1.1},
        {"reliability": 0},
        {"icc_school": -0.1},
        {"per_school": 0.5},
        {"sd": np.nan},
        {"n_anchors": -1},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        replace(PLAIN, **wrong)


def test_shares_above_one_are_refused():
    with pytest.raises(ParameterError, match="icc"):
        replace(PLAIN, icc_school=0.7, icc_district=0.7)


# ---------------------------------------------------------------- what was just measured


def make_pairs(rng, *, n=240, schools=40):
    pre = rng.normal(500, 100, size=n)
    school = np.arange(n) % schools
    return pd.DataFrame(
        {
            "score_pre": pre,
            "score_post": 0.7 * pre + 150 + rng.normal(0, 70, size=n),
            "district": pd.Series(school % 4).map("18.{:02d}".format),
            "npsn": school.astype(str),
        }
    )


def test_the_headline_says_what_it_could_have_found(rng):
    change = estimate_change(make_pairs(rng), cluster="school")
    points, size = list_detectable(change, n=240)
    t = stats.t(change.df)
    assert points.value == pytest.approx((t.ppf(0.975) + t.ppf(0.8)) * change.se)
    assert size.value == pytest.approx(points.value / change.se * change.g_av_se)
    assert (points.name, points.unit, size.name, size.unit) == ("change.mde", "points", "change.mde_sd", "sd")


def test_too_few_degrees_of_freedom_are_withheld():
    assert isinstance(find_detectable(1.0, df=2.9), Withheld)
    exact = TTestPower().solve_power(nobs=4, power=0.8, alpha=0.05) * 2
    assert find_detectable(1.0, df=3) == pytest.approx(exact, rel=0.025)
    withheld = list_detectable(Withheld(find_detectable(1.0, df=1).reason), n=2)
    assert [f.name for f in withheld] == ["change.mde"]


# ---------------------------------------------------------------- a next wave like the last


def test_the_next_wave_takes_after_the_last(rng):
    pairs = make_pairs(rng)
    wave = foresee(lay_draws(pairs, NONE), reliability=0.8, icc_school=0.05, icc_district=0.02)
    assert wave.per_school == pytest.approx(6)
    assert wave.n_districts == pytest.approx(4)
    assert (wave.n_anchors, wave.drift_sd) == (0, 0)
    r = np.corrcoef(pairs["score_pre"], pairs["score_post"])[0, 1]
    assert wave.retest_r == pytest.approx(r / 0.8)
    spread = np.sqrt((pairs["score_pre"].var() + pairs["score_post"].var()) / 2)
    assert wave.sd == pytest.approx(spread * np.sqrt(0.8))
    alone = foresee(
        lay_draws(pairs.assign(npsn=None, district=None), NONE), reliability=0.8, icc_school=0, icc_district=0
    )
    assert (alone.per_school, alone.n_districts) == (1, 1)


def test_points_and_true_scores_tell_the_same_error(rng):
    """(V + E)·sd² is the variance of the observed change, where both waves vary alike."""
    pairs = make_pairs(rng)
    drawn = lay_draws(pairs, NONE)
    wave = foresee(drawn, reliability=0.8, icc_school=0, icc_district=0)
    se = float(plan_power(wave, sizes={"workshop": [240]})["se_sd"].iloc[0]) * wave.sd
    assert se == pytest.approx(float(drawn.gain.std(ddof=1)) / np.sqrt(240), rel=0.01)


def test_the_link_is_taken_apart_and_put_together_again(rng):
    pairs = make_pairs(rng)
    drawn = replace(lay_draws(pairs, NONE), unit="scale", linking_error=9.0, link_df=11.0, link_n=400.0)
    wave = foresee(drawn, reliability=0.8, icc_school=0, icc_district=0)
    assert wave.n_anchors == 12
    assert (wave.drift_sd**2 + 8 / 400) / 12 == pytest.approx((9.0 / wave.sd) ** 2)
    small = foresee(replace(drawn, linking_error=1.0), reliability=0.8, icc_school=0, icc_district=0)
    assert small.drift_sd == 0


def test_nothing_is_foreseen_from_next_to_nothing(rng):
    pairs = make_pairs(rng)
    for few in (pairs.head(0), pairs.head(2), pairs.assign(score_post=1.0)):
        wave = foresee(lay_draws(few, NONE), reliability=0.8, icc_school=0, icc_district=0)
        assert isinstance(wave, Withheld)
        assert [f.name for f in list_power(wave)] == ["power.mde"]


# ---------------------------------------------------------------- the page


def make_context(language):
    facts = {"confidence": 0.95, "min_cell": 10, "parameters": {}, "assessments": {}, "waves": {}, "table": str}
    return Context(language=language, marks=("DRAF",), **facts)


def released(wave=ROUGH, **how):
    return release(list_power(wave, **how), Plan(min_cell=10, hidden={}))


def test_figures_have_stable_names_and_places():
    figures = list_power(ROUGH)
    names = {figure.name for figure in figures if not figure.name.startswith("power.assumed")}
    assert names == {"power.mde", "power.mde_points", "power.n_needed"}
    shown = {(f.where["case"], int(f.where["n"])) for f in figures if f.name == "power.mde"}
    assert shown == {(case, n) for case, persons in SIZES.items() for n in persons}
    assert {f.n for f in figures} == {0}  # a plan stands for nobody


@pytest.mark.parametrize("language", ["id", "en"])
def test_the_page_shows_picture_tables_and_assumptions(language):
    shown = draw_power(released(), make_context(language))
    assert len(shown) == 4
    for piece in shown:
        HTMLParser().feed(piece.html)
    assert 'alt="' in shown[0].html
    said = " ".join(piece.text for piece in shown)
    assert {"id": "Perubahan terkecil yang dapat dipastikan", "en": "smallest change"}[language] in said
    assert {"id": "0,20", "en": "0.20"}[language] in said
    assert "nan" not in said.lower()


def test_the_sentence_is_true():
    frame = frame_power(released(PLAIN, sizes={"workshop": [20, 30, 100], "subject": [91]}))
    told = tell_power(frame)
    assert told.en.endswith(
        "one workshop, same test 0.51 (20 teachers) – 0.22 (100 teachers); one assessment 0.23 (91 teachers)."
    )
    assert "0,51 (20 guru) – 0,22 (100 guru)" in told.id


def test_the_picture_draws_what_the_frame_holds():
    frame = frame_power(released())
    _, ax = start_figure(18)
    plot_power(frame, ax, language="id")
    assert ax.get_xscale() == "log"
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) > 2]
    assert len(lines) == frame["case"].nunique()
    assert sorted(np.concatenate([line.get_ydata() for line in lines])) == pytest.approx(sorted(frame["mde_sd"]))


def test_what_is_withheld_is_told_not_drawn():
    few = draw_power(released(sizes={"workshop": [2]}), make_context("en"))
    assert len(few) == 1
    none = draw_power(Released(tuple(list_power(Withheld(find_detectable(1.0, df=1).reason)))), make_context("id"))
    assert "tidak dapat dihitung" in none[0].text
    partly = draw_power(released(sizes={"workshop": [2, 30]}), make_context("en"))
    assert "too few" in partly[1].text
