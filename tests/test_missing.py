"""Who did not come back: bands of attrition, weighting, imputation, bounds, the strip of ways, impossible pairs."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from bgtk_lib.change.absent import bounds
from bgtk_lib.change.absent.attrition import imply_bias, read_group_attrition, read_retention
from bgtk_lib.change.absent.bounds import bound_by_trimming, find_tipping
from bgtk_lib.change.absent.imputed import complete_pairs, estimate_completed, impute_second, split_variance
from bgtk_lib.change.absent.leavers import GROUP_COLUMNS, LeaverGap, adjust_for_leavers, compare_groups_left
from bgtk_lib.change.absent.weighting import fit_staying, group_levels, span, weigh_stayers
from bgtk_lib.change.drawn import Drawn, combine, combine_means, lay_draws
from bgtk_lib.change.estimate import estimate_change
from bgtk_lib.change.gates import judge_pairs_possible, judge_retention
from bgtk_lib.change.sensitivity import (
    Ways,
    _average_draws,
    _leave_out_rapid,
    compute_ways,
    list_form_points,
    list_sensitivity,
    list_tipping,
)
from bgtk_lib.errors import LinkageError, ParameterError
from bgtk_lib.findings import Withheld
from bgtk_lib.pairing import Linked
from bgtk_lib.words import plain, say

SHARED = Path(os.environ.get("BGTK_SHARED", Path(__file__).parents[2] / "shared"))
NO_DRAWS = pd.DataFrame()
ALONE = {"cluster": "none", "cluster_reason": plain("no school is known in this file")}


@pytest.fixture
def rng():
    return np.random.default_rng(20261122)


@pytest.fixture
def prepost():
    """The two-wave data of the R reference: stayers, leavers, and R's values."""
    folder = SHARED / "reference" / "debian_r"
    if not folder.exists():
        pytest.skip("the R reference is not on this machine")
    data = pd.read_csv(folder / "data" / "prepost.csv").assign(status=None)
    data = data.rename(columns={"pre": "points_pre", "post": "score_post"}).assign(
        pid=data["id"].astype(str), npsn=data["school"].astype(str), district=data["treat"].astype(str)
    )
    data["score_pre"] = data["points_pre"]
    stayed = data["obs"] == 1
    reference = json.loads((folder / "missing_change.json").read_text())
    return data[stayed].reset_index(drop=True), data[~stayed].reset_index(drop=True), reference


def make_people(rng, *, schools=150, slope=0.6, icc=0.3):
    """Return persons in five districts, schools of 4 to 14; who scored higher at first changes by less."""
    sizes = rng.integers(4, 15, size=schools)
    school = np.repeat(np.arange(schools), sizes)
    n = len(school)
    pre = 25 + 5 * rng.normal(size=n)
    noise = np.sqrt(icc) * rng.normal(size=schools)[school] + np.sqrt(1 - icc) * rng.normal(size=n)
    return pd.DataFrame(
        {
            "pid": [f"p{i}" for i in range(n)],
            "score_pre": pre,
            "points_pre": pre,
            "score_post": 27 + slope * (pre - 25) + 3 * noise,
            "district": pd.Series(school % 5).map("18.{:02d}".format),
            "npsn": pd.Series(school).map("108{:05d}".format),
            "jenjang": rng.choice(["SD", "SMP", "SMA"], size=n),
            "sex": rng.choice(["L", "P", None], size=n),
            "status": rng.choice(["PNS", "PPPK"], size=n),
        }
    )


def let_leave(people, rng, *, strength):
    """Return stayers and leavers; above strength 0, who scored lower at first is likelier to leave. A fifth to a third leave."""
    chance = 1 / (1 + np.exp(-(1.2 + strength * (people["points_pre"] - 25) / 5)))
    stays = rng.uniform(size=len(people)) < chance
    leavers = people[~stays].drop(columns=["score_pre", "score_post"]).reset_index(drop=True)
    return people[stays].reset_index(drop=True), leavers


def weigh(stayers, leavers, cluster="school"):
    return weigh_stayers(lay_draws(stayers, NO_DRAWS), leavers, cluster=cluster)


def complete(stayers, leavers, rng):
    return complete_pairs(stayers, leavers, draws=NO_DRAWS, imputed=NO_DRAWS, rng=rng)


# ---------------------------------------------------------------- planted truth


def test_leaving_by_the_first_score_biases_complete_pairs_and_is_mended_three_ways(rng):
    people = make_people(rng, slope=0.4)
    truth = (people["score_post"] - people["score_pre"]).mean()
    stayers, leavers = let_leave(people, rng, strength=1.5)
    headline = estimate_change(stayers, cluster="school")
    assert 0.2 < len(leavers) / len(people) < 0.35
    # those who changed by more are missing: 0.8 points, more than five of the standard errors
    assert headline.mean < truth - 0.6
    assert headline.high < truth
    mended = [
        weigh(stayers, leavers),
        adjust_for_leavers(stayers, leavers.rename(columns={"points_pre": "score_pre"}), cluster="school"),
        (filled := estimate_completed(complete(stayers, leavers, rng), cluster="school")),
    ]
    # a third of the second scores are missing (sd 3, clustered): ± 0.13 around everyone's; three of these
    for one in mended:
        assert getattr(one, "estimate", None) or one.mean == pytest.approx(truth, abs=0.4)
        assert one.low < truth < one.high
    assert [one.estimate for one in mended[:2]] == pytest.approx([truth, truth], abs=0.4)
    assert filled.n_pairs == len(people)


def test_leaving_at_random_leaves_all_ways_alike(rng):
    stayers, leavers = let_leave(make_people(rng), rng, strength=0)
    headline = estimate_change(stayers, cluster="school")
    weighted, filled = weigh(stayers, leavers), estimate_completed(complete(stayers, leavers, rng), cluster="school")
    regressed = adjust_for_leavers(stayers, leavers.rename(columns={"points_pre": "score_pre"}), cluster="school")
    found = [weighted.estimate, filled.mean, regressed.estimate]
    assert found == pytest.approx([headline.mean] * 3, abs=headline.se)  # they share all stayers
    assert filled.g_av == pytest.approx(headline.g_av, abs=headline.g_av_se)


# ---------------------------------------------------------------- attrition

POINTS = {
    "cautious": [(0.1, 0.063), (0.2, 0.054), (0.3, 0.041), (0.4, 0.026), (0.5, 0.010)],
    "optimistic": [(0.1, 0.109), (0.2, 0.100), (0.3, 0.082), (0.4, 0.060), (0.5, 0.037)],
}
EVERY_POINT = [(name, *point) for name, points in POINTS.items() for point in points]


@pytest.mark.parametrize(("assumption", "overall", "differential"), EVERY_POINT)
def test_the_handbooks_points_imply_the_same_bias(assumption, overall, differential):
    """Overall and differential attrition at the handbook's boundary, to a tenth of a percentage point."""
    bias = imply_bias(overall + differential / 2, overall - differential / 2, assumption=assumption)
    assert 0.0535 < bias < 0.0555


@pytest.mark.parametrize(("assumption", "overall", "differential"), EVERY_POINT)
def test_the_handbooks_points_are_low_and_half_a_point_beyond_is_not(assumption, overall, differential):
    def band(apart):
        lost = [round(10_000 * (overall + sign * apart / 2)) for sign in (1, -1)]
        found = read_group_attrition(
            treated_stayed=10_000 - lost[0],
            treated_left=lost[0],
            comparison_stayed=10_000 - lost[1],
            comparison_left=lost[1],
        )
        assert (found.overall, found.differential) == pytest.approx((overall, apart), abs=1e-4)
        return found.band

    low = {"cautious": ["low_cautious"], "optimistic": ["low_cautious", "low_optimistic"]}[assumption]
    assert band(differential) in low
    assert band(differential + 0.005) not in low


def test_bias_by_simulation(rng):
    z = rng.normal(size=2_000_000)
    y = 0.45 * z + np.sqrt(1 - 0.45**2) * rng.normal(size=len(z))
    x = 0.39 * z + np.sqrt(1 - 0.39**2) * rng.normal(size=len(z))
    found = y[z > stats.norm.ppf(0.3)].mean() - x[z > stats.norm.ppf(0.2)].mean()
    # means of 1.4 and 1.6 million: a standard error of 0.0011
    assert imply_bias(0.3, 0.2, assumption="cautious") == pytest.approx(found, abs=0.004)


def test_it_does_not_matter_which_group_lost_more():
    lost = {"treated_stayed": 70, "treated_left": 30, "comparison_stayed": 95, "comparison_left": 5}
    names = ["comparison_stayed", "comparison_left", "treated_stayed", "treated_left"]
    one, other = read_group_attrition(**lost), read_group_attrition(**dict(zip(names, lost.values(), strict=True)))
    assert one == replace(other, differential=-other.differential)
    assert one.band == "high"
    assert "17" in one.text.en or "18" in one.text.en
    assert "25,0 poin persentase" in one.text.id


def test_a_group_of_which_nobody_stayed_is_withheld_and_shares_are_shares():
    nobody = read_group_attrition(treated_stayed=0, treated_left=4, comparison_stayed=5, comparison_left=0)
    assert isinstance(nobody, Withheld)
    whole = read_group_attrition(treated_stayed=4, treated_left=0, comparison_stayed=5, comparison_left=0)
    assert (whole.bias_cautious, whole.band) == (0, "low_cautious")
    for shares in [(0.1, 0.2), (1.0, 0.5), (0.5, -0.1)]:
        with pytest.raises(ParameterError, match="larger one first"):
            imply_bias(*shares, assumption="cautious")


@pytest.mark.parametrize(
    ("stayed", "left", "reading"),
    [(80, 20, "comfortable"), (799, 201, "with_bounds"), (60, 40, "with_bounds"), (599, 401, "no_headline")],
)
def test_what_the_share_that_came_back_allows(stayed, left, reading):
    found = read_retention(stayed, left)
    assert (found.reading, found.n_first, found.share) == (reading, stayed + left, stayed / (stayed + left))
    assert isinstance(read_retention(0, 0), Withheld)


def test_groups_that_left_by_hand():
    stayers = pd.DataFrame({"sex": ["L"] * 3 + ["P"] * 1, "status": "PNS", "jenjang": ["SD", "SD", None, None]})
    leavers = pd.DataFrame({"sex": ["L", "P"], "status": "PNS", "jenjang": ["SMP", None]})
    table = compare_groups_left(stayers, leavers)
    assert list(table) == GROUP_COLUMNS
    assert table[["column", "n_stayers", "n_leavers"]].to_numpy().tolist() == [
        ["sex", 3, 1], ["sex", 1, 1], ["jenjang", 2, 0], ["jenjang", 0, 1], ["jenjang", 2, 1], ["status", 4, 2],
    ]  # fmt: skip
    assert table["level"].fillna("").tolist() == ["L", "P", "SD", "SMP", "", "PNS"]
    apart = (1 / 2 - 3 / 4) / np.sqrt((1 / 4 + 3 / 16) / 2)
    assert table["difference"].tolist() == pytest.approx(
        [apart, -apart, -0.5 / np.sqrt(1 / 8), 0.5 / np.sqrt(1 / 8), 0.0, np.nan], nan_ok=True
    )
    assert table["note"].fillna("").tolist() == ["", "", "", "", "", "no_variation"]
    back = compare_groups_left(leavers, stayers)
    assert back["difference"].to_numpy() == pytest.approx(-table["difference"].to_numpy(), nan_ok=True)


def test_groups_of_nobody_of_nothing_and_wholly_apart():
    people = pd.DataFrame({"sex": ["L", "L"], "status": None})
    assert compare_groups_left(people, people.head(0))["note"].tolist() == ["nobody", "nobody"]
    assert compare_groups_left(people, people.assign(sex="P"))["note"].tolist() == ["apart", "apart", "no_variation"]
    assert compare_groups_left(people.head(0), people.head(0)).empty
    assert compare_groups_left(people[[]], people[[]]).empty


# ---------------------------------------------------------------- weighting


def test_weights_agree_with_r(prepost):
    stayers, leavers, r = prepost
    model = fit_staying(stayers, leavers)
    coef = r["ipw_glm"]["coef"]
    linear = coef["(Intercept)"] + coef["pre"] * stayers["points_pre"] + coef["treat"] * stayers["treat"]
    weights = 1 / model.chance[: len(stayers)]
    assert weights == pytest.approx((1 + np.exp(-linear)).to_numpy(), abs=1e-7)  # R stops at 1e-8
    X = sm.add_constant(stayers[["points_pre", "treat"]])
    fit = sm.WLS(stayers["score_post"], X, weights=weights).fit()
    assert fit.params.tolist() == pytest.approx(list(r["ipw_svyglm"]["coef"].values()), rel=1e-7)
    # survey 4.1.1: svymean(~post - pre) with these weights cut at quantile(c(.01, .99)); (Σw)²/Σw² over n
    ours = weigh(stayers, leavers)
    assert (ours.estimate, ours.effective_share) == pytest.approx((0.499397357581, 0.976502044312), rel=1e-8)
    assert (ours.n_everyone, ours.n_clusters) == (400, 40)


def test_standard_error_of_the_weighted_mean_is_that_of_the_jackknife(rng):
    people = make_people(rng, schools=120, slope=0).assign(district="18.00")
    stayers, leavers = let_leave(people, rng, strength=1.0)
    bare = [frame.drop(columns=["jenjang", "sex", "status"]) for frame in (stayers, leavers)]
    ours = weigh(*bare)
    without = np.array(
        [
            weigh(*(frame[frame["npsn"] != school] for frame in bare), cluster="none").estimate
            for school in np.union1d(stayers["npsn"], leavers["npsn"])
        ]
    )
    J = len(without)
    # with the weights taken as known it would be 9 % more: the change goes with the first score
    assert ours.se == pytest.approx(np.sqrt((J - 1) / J * ((without - without.mean()) ** 2).sum()), rel=0.02)


def test_weighting_identities(rng):
    stayers, leavers = let_leave(make_people(rng, schools=60), rng, strength=1.0)
    ours = weigh(stayers, leavers)
    swapped = weigh(
        stayers.assign(score_pre=stayers["score_post"], score_post=stayers["score_pre"]), leavers
    )  # the weights rest on points_pre, which stays
    assert (swapped.estimate, swapped.se) == pytest.approx((-ours.estimate, ours.se))
    higher = weigh(stayers.assign(score_post=stayers["score_post"] + 7), leavers)
    assert (higher.estimate, higher.se) == pytest.approx((ours.estimate + 7, ours.se))
    shuffled = weigh(stayers.sample(frac=1, random_state=3), leavers.sample(frac=1, random_state=4))
    assert (shuffled.estimate, shuffled.se, shuffled.df) == pytest.approx((ours.estimate, ours.se, ours.df))
    other_unit = [frame.assign(points_pre=3 * frame["points_pre"] - 40) for frame in (stayers, leavers)]
    assert weigh(*other_unit).estimate == pytest.approx(ours.estimate)
    assert ours.n_everyone == len(stayers) + len(leavers)


def test_without_leavers_the_weighted_mean_is_the_headline(rng):
    people = make_people(rng, schools=30)
    ours, headline = weigh(people, people.head(0)), estimate_change(people, cluster="school")
    assert (ours.estimate, ours.se, ours.df) == pytest.approx((headline.mean, headline.se, headline.df))
    assert ours.effective_share == 1


def test_weighting_over_draws_has_measuring_and_linking_in_its_interval(rng):
    stayers, leavers = let_leave(make_people(rng, schools=60), rng, strength=1.0)
    drawn = lay_draws(stayers, NO_DRAWS)
    alone = weigh_stayers(drawn, leavers, cluster="school")
    linked = weigh_stayers(replace(drawn, linking_error=0.5, link_df=11.0), leavers, cluster="school")
    assert linked.se == pytest.approx(np.hypot(alone.se, 0.5))
    shifts = np.array([-0.3, 0.1, 0.2])
    three = replace(drawn, pre=np.repeat(drawn.pre, 3, axis=1), post=drawn.post + shifts)
    told = weigh_stayers(three, leavers, cluster="school")
    assert told.estimate == pytest.approx(alone.estimate)
    assert told.se == pytest.approx(np.sqrt(alone.se**2 + 4 / 3 * shifts.var(ddof=1)))
    half = weigh_stayers(
        replace(three, linking_error=0.5, link_df=11.0, link_n=2 * drawn.n), leavers, cluster="school"
    )  # the stayers are half of those whose answers made the link (`drawn.combine`); leavers are not counted
    assert half.se == pytest.approx(np.sqrt(alone.se**2 + 4 / 3 * shifts.var(ddof=1) / 2 + 0.5**2))


def test_weights_that_cannot_be_had_are_withheld(rng):
    people = make_people(rng, schools=60)
    low = people["points_pre"] < 20
    apart = weigh(people[~low], people[low])
    assert isinstance(apart, Withheld)
    assert "terpisah" in apart.reason.id or "memisahkan" in apart.reason.id
    assert isinstance(weigh(people.head(0), people), Withheld)
    assert isinstance(weigh(people.head(1), people.head(0)), Withheld)
    stays = rng.uniform(size=len(people)) < 1 / (1 + np.exp(-2.5 * (people["points_pre"] - 26) / 5))
    few = weigh(people[stays], people[~stays])
    assert isinstance(few, Withheld)
    assert "60%" in few.reason.en
    with pytest.raises(LinkageError):
        weigh(people, people.head(3).assign(points_pre=None))


def test_groups_of_nothing_and_scores_that_do_not_vary_are_no_obstacle(rng):
    stayers, leavers = let_leave(make_people(rng, schools=40), rng, strength=0)
    nothing = {"district": None, "npsn": None, "jenjang": None, "sex": None, "status": None}
    plain_mean = (stayers["score_post"] - stayers["score_pre"]).mean()
    alike = weigh(stayers.assign(points_pre=9.0, **nothing), leavers.assign(points_pre=9.0, **nothing))
    assert (alike.estimate, alike.effective_share) == pytest.approx((plain_mean, 1.0))
    bare = ["points_pre", "district", "npsn"]
    assert weigh(stayers[["pid", "score_pre", "score_post", *bare]], leavers[bare]).effective_share < 1


def test_levels_with_few_are_put_together():
    stays = np.array([True] * 20 + [False] * 20)
    half = [*"a" * 10, *"b" * 5, *"c" * 3, *"d" * 2]
    codes = group_levels(pd.Series([*half, *half]), within=[stays, ~stays])
    assert codes[[0, 10, 15, 18]].tolist() == [0, 1, 2, 2]  # c and d are five together
    fewer = group_levels(pd.Series([*half, *half[:-1], "a"]), within=[stays, ~stays])
    assert fewer[[0, 10, 15, 18]].tolist() == [0, 1, 0, 0]  # not among the leavers: they join the largest level
    assert group_levels(pd.Series([], dtype="str"), within=[np.array([], dtype=bool)]).empty


# ---------------------------------------------------------------- imputation


@pytest.mark.parametrize("complete_df", [np.inf, 100])
def test_rubins_rules_agree_with_mice(prepost, complete_df):
    stayers, _, reference = prepost
    r = reference["rubin_dfcom_Inf" if np.isinf(complete_df) else "rubin_dfcom_100"]
    told = combine(lay_draws(stayers, NO_DRAWS), r["q"], r["u"], df=complete_df, linked=0, confidence=0.95)
    assert (told.estimate, told.se**2) == pytest.approx((r["qbar"], r["t"]), rel=1e-12)
    # mice takes Barnard & Rubin's degrees of freedom; of clusters measured with error they are those of both parts
    between = r["t"] - r["ubar"]
    df = r["t"] ** 2 / (r["ubar"] ** 2 / complete_df + between**2 / 4)
    assert told.df == pytest.approx(df, rel=1e-12)
    if np.isinf(complete_df):
        assert told.df == pytest.approx(r["df"], rel=1e-12)


def test_imputation_agrees_with_mice(prepost, rng):
    """R: mice 3.15, method norm, 3,000 imputations of post from pre: the mean change of all 400, its sd, the imputed' sd."""
    stayers, leavers, _ = prepost
    lone = {"npsn": None, "district": None}
    second = impute_second(stayers.assign(**lone), leavers.assign(**lone), rng=rng, n_draws=3000)
    gains = (stayers["score_post"] - stayers["score_pre"]).sum() + (second - leavers[["points_pre"]].to_numpy()).sum(0)
    means = gains / 400
    assert means.mean() == pytest.approx(0.4861, abs=4 * 0.24 * np.sqrt(2 / 3000))
    assert means.std() == pytest.approx(0.2396, rel=4 / np.sqrt(3000))
    assert second.std(axis=0, ddof=1).mean() == pytest.approx(10.13, rel=0.01)


def test_imputed_means_are_the_regressions_and_differ_as_theory_says(rng):
    stayers, leavers = let_leave(make_people(rng, schools=20), rng, strength=1.0)
    bare = [frame[["points_pre"]].assign(npsn=None) for frame in (stayers, leavers)]
    pairs = bare[0].assign(score_pre=stayers["score_pre"], score_post=stayers["score_post"])
    totals = impute_second(pairs, bare[1], rng=rng, n_draws=2000).sum(axis=0)
    fit = sm.OLS(stayers["score_post"], sm.add_constant(stayers["points_pre"])).fit()
    X = sm.add_constant(leavers["points_pre"]).sum()
    variance = fit.ssr / (fit.df_resid - 2) * (len(leavers) + X @ fit.normalized_cov_params @ X)  # E[1/χ²] = 1/(df − 2)
    assert totals.mean() == pytest.approx(fit.predict(X).item(), abs=4 * np.sqrt(variance / 2000))
    assert totals.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / 2000))


def test_variance_is_split_as_in_the_analysis_of_variance(rng):
    schools = np.repeat(np.arange(12), 5)
    y = rng.normal(size=60) + rng.normal(size=12)[schools]
    split = split_variance(y, np.ones((60, 1)), schools)
    assert (split.df_within, split.df_between, split.size) == pytest.approx((48, 11, 5))
    f = stats.f_oneway(*y.reshape(12, 5)).statistic
    assert split.between / 11 / (split.within / 48) == pytest.approx(f)


def test_school_effects_are_drawn_around_the_planted_variances(rng):
    people = make_people(rng, schools=300, icc=0.4)
    design = span(np.column_stack([np.ones(len(people)), people["score_pre"]]), over=np.full(len(people), True))
    split = split_variance(people["score_post"].to_numpy(), design, pd.factorize(people["npsn"])[0])
    drawn = np.array([split.draw(rng) for _ in range(500)])
    # 9 × .6 within, 9 × .4 between, from 300 schools of nine: standard errors of 0.16 and 0.37
    assert drawn.mean(axis=0) == pytest.approx([5.4, 3.6], abs=1.0)
    assert drawn.std(axis=0) == pytest.approx([0.16, 0.37], rel=0.3)


def test_the_second_score_of_a_leaver_is_drawn_near_the_own_school(rng):
    people = make_people(rng, schools=40, icc=0.9)
    here = people["npsn"] == people["npsn"].iloc[0]
    people.loc[here, "score_post"] += 12
    leavers = pd.concat([people[here].head(1), people[~here].head(1).assign(npsn=None)])
    second = impute_second(people.drop(index=leavers.index), leavers, rng=rng, n_draws=300).mean(axis=1)
    fitted = 27 + 0.6 * (leavers["points_pre"] - 25)
    assert second[0] - fitted.iloc[0] > 6
    assert abs(second[1] - fitted.iloc[1]) < 2  # no school is known: the mean of all


def test_values_of_the_joint_model_are_taken_as_they_are(rng):
    stayers, leavers = let_leave(make_people(rng, schools=30), rng, strength=0)
    pairs = stayers.assign(linking_error=40.0, n_anchors=12, n_link=300)
    both = pd.concat([stayers[["pid"]], leavers[["pid"]], pd.DataFrame({"pid": ["elsewhere"]})])
    draws = pd.concat([both.assign(draw=at) for at in range(1, 4)], ignore_index=True)
    draws["score_pre"] = rng.normal(500, 100, size=len(draws))
    draws["score_post"] = draws["score_pre"] + rng.normal(30, 40, size=len(draws))
    known = draws["pid"].isin(stayers["pid"])
    found = complete_pairs(
        pairs, leavers, draws=draws.mask(~known, {"score_post": None}), imputed=draws[~known], rng=rng
    )
    assert (len(found.frame), found.n_left, found.n_draws) == (len(stayers) + len(leavers), len(leavers), 3)
    change = estimate_completed(found, cluster="school")
    here = draws[draws["pid"] != "elsewhere"]
    assert change.mean == pytest.approx((here["score_post"] - here["score_pre"]).mean())
    assert change.se > 40  # the link is in it
    pairs["n_link"] = 0
    alone = complete_pairs(pairs, leavers, draws=draws[known], imputed=draws[~known], rng=rng)
    assert estimate_completed(alone, cluster="school").se == change.se  # nothing is counted as shared with the link
    lost = draws[~known & (draws["pid"] != leavers["pid"].iloc[0])]
    refused = complete_pairs(pairs, leavers, draws=draws[known], imputed=lost, rng=rng)
    assert isinstance(refused, Withheld)
    assert estimate_completed(refused, cluster="school") is refused


def test_without_leavers_nothing_is_filled_in(rng):
    people = make_people(rng, schools=30)
    found = complete(people, people.head(0), rng)
    assert (found.n_left, found.n_draws) == (0, 1)
    assert estimate_completed(found, cluster="school") == estimate_change(people, cluster="school")


def test_too_few_to_impute_from_are_withheld(rng):
    people = make_people(rng, schools=30)
    leavers = people.tail(4)
    for stayers in (people.head(0), people.head(2), people.head(4), people.head(50).assign(score_pre=1.0)):
        assert isinstance(complete(stayers, leavers, rng), Withheld)
    nothing = people.assign(district=None, npsn=None, jenjang=None, sex=None, status=None)
    assert impute_second(nothing.head(9), nothing.tail(2), rng=rng).shape == (2, 20)
    assert impute_second(people.assign(npsn="1"), leavers.assign(npsn="1"), rng=rng).shape == (4, 20)
    assert np.isfinite(impute_second(people.assign(score_post=3.0), leavers, rng=rng)).all()


# ---------------------------------------------------------------- bounds


def test_the_tipping_point_moves_everyones_mean_and_interval_to_zero(rng):
    stayers, leavers = let_leave(make_people(rng, schools=30), rng, strength=0)
    change = estimate_change(stayers, cluster="school")
    told = find_tipping(change, n_left=len(leavers))
    share = len(leavers) / (len(stayers) + len(leavers))
    assert told.share_left == share
    assert (1 - share) * change.mean + share * (change.mean + told.estimate) == pytest.approx(0)
    assert change.low + share * told.interval == pytest.approx(0)
    assert told.estimate < told.interval < 0
    spread = np.sqrt((stayers["score_pre"].var() + stayers["score_post"].var()) / 2)
    assert (told.interval_sd, told.estimate_sd) == pytest.approx((told.interval / spread, told.estimate / spread))
    back = estimate_change(
        stayers.rename(columns={"score_pre": "score_post", "score_post": "score_pre"}), cluster="school"
    )
    turned = find_tipping(back, n_left=len(leavers))
    assert (turned.interval, turned.estimate) == pytest.approx((-told.interval, -told.estimate))


def test_a_tipping_point_needs_leavers_and_an_interval_apart_from_zero(rng):
    change = estimate_change(make_people(rng, schools=30), cluster="school")
    assert isinstance(find_tipping(change, n_left=0), Withheld)
    none = Withheld(plain("too few"))
    assert find_tipping(none, n_left=3) is none
    around = find_tipping(replace(change, low=-0.1), n_left=3)
    assert isinstance(around.interval, Withheld)
    assert isinstance(around.interval_sd, Withheld)
    assert around.estimate == pytest.approx(-change.mean * around.n_everyone / 3)


def test_trimming_bounds_agree_with_r(prepost):
    """R cuts ⌊5.999…⌋ = 5 of 143 where the surplus is 6 exactly; its ends are met when 5 are cut, and ours cut 6."""
    stayers, leavers, reference = prepost
    stayers, leavers = (frame.assign(treat=frame["treat"] == 1) for frame in (stayers, leavers))
    drawn = lay_draws(stayers, NO_DRAWS)
    told = bound_by_trimming(drawn, leavers, treated="treat", outcome="post", cluster="school")
    assert (told.trimmed, told.n_trimmed) == ("comparison", 6)
    assert told.share_trimmed == pytest.approx(reference["lee"]["trim_share"])
    takes = np.concatenate([stayers["treat"], leavers["treat"]])
    stayed = np.arange(400) < len(stayers)
    ends = [-bounds._trim(drawn.post, stayed, ~takes, n_trimmed=5, end=end).mean() for end in ("bottom", "top")]
    assert ends == pytest.approx([reference["lee"]["lower"], reference["lee"]["upper"]], rel=1e-12)
    treated, other = stayers[stayers["treat"]]["score_post"], stayers[~stayers["treat"]]["score_post"].sort_values()
    ends = [treated.mean() - other.iloc[6:].mean(), treated.mean() - other.iloc[:-6].mean()]
    assert [told.lower.estimate, told.upper.estimate] == pytest.approx(ends)


def test_standard_errors_of_the_bounds_are_lees(prepost):
    """Lee (2009), proposition 3: the variance of the trimmed mean, that of the share trimmed, and the other group's."""
    stayers, leavers, _ = prepost
    stayers, leavers = (frame.assign(treat=frame["treat"] == 1) for frame in (stayers, leavers))
    lone = [frame.assign(npsn=None, district=None) for frame in (stayers, leavers)]
    told = bound_by_trimming(lay_draws(lone[0], NO_DRAWS), lone[1], treated="treat", outcome="post", cluster="none")
    y = np.sort(stayers[~stayers["treat"]]["score_post"])
    p, n = told.share_trimmed, len(y)
    shares = sum((1 - q) / (200 * q) for q in (0.685, 0.715))
    for end, kept, cut in ((told.lower, y[6:], y[6]), (told.upper, y[:-6], y[-7])):
        trimmed = (kept.var() + (cut - kept.mean()) ** 2 * p) / (n * (1 - p)) + (cut - kept.mean()) ** 2 * shares
        whole = trimmed + stayers[stayers["treat"]]["score_post"].var() / 137
        assert end.se == pytest.approx(np.sqrt(whole), rel=0.002)  # the formula divides by n, CR2 by n − 1


def make_groups(rng, n=600):
    people = make_people(rng, schools=60).sample(n, random_state=5, replace=True).reset_index(drop=True)
    people["pid"] = [f"q{i}" for i in range(n)]
    people["tutor"] = rng.uniform(size=n) < 0.5
    people["score_post"] += 2 * people["tutor"]
    return people


def test_bounds_hold_the_planted_difference_where_leaving_is_monotone(rng):
    people = make_groups(rng, 2000)
    gain = people["score_post"] - people["score_pre"] - 2 * people["tutor"]
    stays = ~((gain > gain.quantile(0.7)) & ~people["tutor"])  # of the others, those who gain most do not come back
    stayers = people[stays].reset_index(drop=True)
    naive = stayers[stayers["tutor"]].eval("score_post - score_pre").mean()
    naive -= stayers[~stayers["tutor"]].eval("score_post - score_pre").mean()
    told = bound_by_trimming(lay_draws(stayers, NO_DRAWS), people[~stays], treated="tutor", cluster="school")
    assert naive > 3
    assert told.lower.estimate == pytest.approx(2, abs=0.5)  # the worst the data allow is what happened
    assert told.low < 2 < naive <= told.upper.estimate
    assert told.trimmed == "treated"
    assert "akan kembali juga bila ikut" in told.assumes.id


def test_identities_of_the_bounds(rng):
    people = make_groups(rng)
    stays = rng.uniform(size=len(people)) < np.where(people["tutor"], 0.9, 0.7)
    drawn, leavers = lay_draws(people[stays], NO_DRAWS), people[~stays]
    told = bound_by_trimming(drawn, leavers, treated="tutor", cluster="school")
    assert told.low < told.lower.estimate < told.upper.estimate < told.high
    assert told.low > told.lower.low  # one end at a time: shorter than the two t intervals together

    turned = replace(drawn, frame=drawn.frame.assign(tutor=~drawn.frame["tutor"]))
    back = bound_by_trimming(turned, leavers.assign(tutor=~leavers["tutor"]), treated="tutor", cluster="school")
    assert (back.low, back.lower.se, back.trimmed) == (
        pytest.approx(-told.high),
        pytest.approx(told.upper.se),
        "comparison",
    )

    three = replace(
        drawn, pre=np.repeat(drawn.pre, 3, 1), post=np.repeat(drawn.post, 3, 1), linking_error=9.0, link_df=5.0
    )
    again = bound_by_trimming(three, leavers, treated="tutor", cluster="school")
    assert (again.lower.estimate, again.lower.se) == pytest.approx((told.lower.estimate, told.lower.se))

    whole = bound_by_trimming(drawn, leavers.head(0), treated="tutor", cluster="school")
    assert whole.n_trimmed == 0
    assert (whole.low, whole.high) == pytest.approx((whole.lower.low, whole.upper.high))
    gain, takes = drawn.gain.ravel(), drawn.frame["tutor"].to_numpy()
    assert whole.lower.estimate == whole.upper.estimate == pytest.approx(gain[takes].mean() - gain[~takes].mean())


def test_equal_shares_lost_are_no_reason_to_trim(rng):
    people = make_groups(rng).sort_values("tutor").assign(district=None, npsn=None).reset_index(drop=True)
    people = pd.concat([people[~people["tutor"]].head(250), people[people["tutor"]].head(250)])
    left = people.groupby("tutor").head(50).index
    stayers = people.drop(index=left)
    told = bound_by_trimming(lay_draws(stayers, NO_DRAWS), people.loc[left], treated="tutor", cluster="none")
    gain = (stayers["score_post"] - stayers["score_pre"]).groupby(stayers["tutor"])
    assert (told.n_trimmed, told.lower.estimate) == (0, pytest.approx(gain.mean().diff().iloc[1]))
    # the influences are deviations from their own group's mean, over 500 persons: 1 − 1/500 against 1 − 1/200
    assert told.lower.se == told.upper.se == pytest.approx(np.sqrt(gain.var().sum() / 200), rel=0.005)


def test_bounds_of_too_few_are_withheld(rng):
    people = make_groups(rng, 40)
    one = people.drop(index=people[people["tutor"]].index[1:])
    for stayers, leavers in [
        (people.head(0), people),
        (one, people.head(0)),
        (people[people["tutor"]], people.head(0)),
    ]:
        told = bound_by_trimming(lay_draws(stayers, NO_DRAWS), leavers, treated="tutor", cluster="none")
        assert isinstance(told, Withheld)


# ---------------------------------------------------------------- the strip


@pytest.fixture
def strip(rng):
    """A headline, and every other way of computing it."""
    stayers, leavers = let_leave(make_people(rng, schools=40), rng, strength=0)
    change = estimate_change(stayers, cluster="school")
    ways = Ways(
        ipw=weigh(stayers, leavers),
        mi=estimate_completed(complete(stayers, leavers, rng), cluster="school"),
        mi_draws=20,
        leavers_regressed=adjust_for_leavers(
            stayers, leavers.assign(score_pre=leavers["points_pre"]), cluster="school"
        ),
        district_clusters=estimate_change(stayers, cluster="district"),
        wild_bootstrap=(change.mean, change.low - 1, change.high + 1),
        without_rapid=estimate_change(stayers.iloc[12:], cluster="school"),
    )
    return change, ways, len(stayers) + len(leavers)


def test_districts_as_clusters_count_measurement_once(rng):
    """Ten districts that differ by measurement alone: the error of their mean is that of the districts' own estimates."""
    n, m = 2000, 20
    district = np.arange(n) % 10
    found, held = [], 0
    for _ in range(200):
        estimate = rng.normal(0, 2, 10)  # what each district's answers say, around 0; draws scatter as much around it
        gain = estimate[district][:, None] + rng.normal(0, 2, (10, m))[district] + rng.normal(0, 10, (n, m))
        frame = pd.DataFrame({"district": pd.Series(district).astype("str"), "npsn": None})
        free = {"linking_error": 0.0, "link_df": np.inf, "link_n": np.inf}
        flat = _average_draws(Drawn(frame=frame, pre=np.zeros((n, m)), post=gain, unit="scale", **free))
        told = combine_means(flat, flat.gain, cluster="district", linked=1, confidence=0.95)
        found.append((told.estimate, told.se))
        held += told.low <= 0 <= told.high
    estimates, errors = np.array(found).T
    assert errors.mean() == pytest.approx(estimates.std(), rel=0.12)
    assert 178 <= held <= 199  # 95 %: 99.9 % of runs


@pytest.mark.parametrize(("cluster", "shown"), [("school", True), ("district", False), ("none", False)])
def test_districts_stand_beside_schools_only(rng, cluster, shown):
    stayers, leavers = let_leave(make_people(rng, schools=40), rng, strength=0)
    leavers = leavers.assign(score_pre=leavers["points_pre"])
    how = {"cluster": cluster, "confidence": 0.95, "cluster_reason": plain("by hand") if cluster == "none" else None}
    ways = compute_ways(stayers, NO_DRAWS, leavers, NO_DRAWS, rng=rng, **how)
    assert (ways.district_clusters is not None) == shown
    if shown:
        alike = estimate_change(stayers, cluster="district")
        assert ways.district_clusters.estimate == pytest.approx(alike.mean)
        assert ways.district_clusters.low == pytest.approx(alike.low)


def test_without_those_who_hurried_the_difference_is_that_of_own_scores(rng):
    """Plausible values know nothing of effort: of the two points by which those who hurried differ they show only some."""
    n = 600
    effort = np.where(np.arange(n) % 6 == 0, 0.5, 1.0)
    own = rng.normal(10, 1, n) - 2.0 * (effort < 0.9)
    pairs = pd.DataFrame(
        {"pid": [f"p{i}" for i in range(n)], "district": "A", "npsn": [f"s{i % 60}" for i in range(n)]}
    )
    pairs = pairs.assign(score_pre=0.0, score_post=own, unit="points", effort_pre=1.0, effort_post=effort)
    how = {"cluster": "school", "confidence": 0.95}
    alone = _leave_out_rapid(pairs, NO_DRAWS, **how)
    assert alone == estimate_change(pairs[effort >= 0.9], NO_DRAWS, **how)  # of points nothing is lost
    shrunk = own.mean() + 0.8 * (own - own.mean())
    blind = pairs.assign(score_post=shrunk, own_pre=0.0, own_post=own)
    told = _leave_out_rapid(blind, NO_DRAWS, **how)
    shift = own[effort >= 0.9].mean() - own.mean()
    assert told.mean == pytest.approx(shrunk.mean() + shift)
    assert told.high - told.low == pytest.approx(2 * (told.high - told.mean))
    assert told.n_pairs == 500
    assert _leave_out_rapid(pairs.assign(effort_pre=None, effort_post=None), NO_DRAWS, **how) is None
    assert _leave_out_rapid(pairs.drop(columns=["effort_pre", "effort_post"]), NO_DRAWS, **how) is None
    unknown = _leave_out_rapid(pairs.assign(effort_post=np.where(effort < 0.9, np.nan, 1.0)), NO_DRAWS, **how)
    assert unknown.n_pairs == n  # of whom no times are known, nothing is held against


ON_LEAVERS = ["sensitivity.ipw", "sensitivity.mi", "sensitivity.leavers_regressed"]
ALL_WAYS = [
    "sensitivity.complete", *ON_LEAVERS, "sensitivity.district_clusters", "sensitivity.wild_bootstrap",
    "sensitivity.without_rapid", "sensitivity.practice",
]  # fmt: skip


def test_the_strip_lists_every_way_once(strip):
    change, ways, n_first = strip
    figures = list_sensitivity(change, ways, n_first=n_first, few=False, min_cell=10)
    assert [figure.name for figure in figures] == ALL_WAYS
    assert all(figure.low < figure.value < figure.high and figure.unit == "points" for figure in figures)
    n = {figure.name: figure.n for figure in figures}
    assert [n[name] for name in ON_LEAVERS] == [n_first] * 3
    assert (n["sensitivity.complete"], n["sensitivity.without_rapid"]) == (change.n_pairs, change.n_pairs - 12)
    for figure in figures:
        assert say(figure.name).id
        assert say(f"{figure.name}.meaning").en
    filled = figures[2]
    assert (filled.value, filled.se) == (ways.mi.mean, ways.mi.se)
    assert "20 kali" in filled.population.id


def test_what_was_not_computed_is_not_in_the_strip(strip):
    change, ways, n_first = strip
    figures = list_sensitivity(change, Ways(), n_first=n_first, few=False, min_cell=10)
    assert [figure.name for figure in figures] == ["sensitivity.complete", "sensitivity.practice"]
    none = Withheld(plain("too few"))
    assert [figure.value for figure in list_sensitivity(none, ways, n_first=9, few=False, min_cell=10)] == [none]
    refused = Ways(ipw=none, wild_bootstrap=none, district_clusters=none, without_rapid=none)
    figures = list_sensitivity(change, refused, n_first=n_first, few=False, min_cell=10)
    assert sum(figure.value is none for figure in figures) == 4


def test_few_leavers_are_not_given_away(strip):
    change, ways, n_first = strip
    told = list_sensitivity(change, ways, n_first=n_first, few=True, min_cell=10)
    hidden = [figure.name for figure in told if isinstance(figure.value, Withheld)]
    assert hidden == ON_LEAVERS
    assert all(figure.value.kind == "complement" and figure.low is None for figure in told if figure.name in hidden)
    assert [f.value.kind for f in list_tipping(find_tipping(change, n_left=3), few=True)] == ["complement"]


def test_few_rapid_answers_are_not_given_away(strip):
    change, ways, n_first = strip
    told = list_sensitivity(change, ways, n_first=n_first, few=False, min_cell=13)
    assert [figure.name for figure in told if isinstance(figure.value, Withheld)] == ["sensitivity.without_rapid"]
    alike = list_sensitivity(change, Ways(without_rapid=change), n_first=n_first, few=False, min_cell=13)
    assert alike[1].value == change.mean  # nobody was set aside


def test_tipping_points_and_points_of_the_form_stand_apart(strip):
    change, _, n_first = strip
    tipping = find_tipping(change, n_left=n_first - change.n_pairs)
    figures = list_tipping(tipping, few=False)
    assert [(figure.name, figure.unit, figure.n) for figure in figures] == [
        ("sensitivity.tipping_points", "points", n_first),
        ("sensitivity.tipping_sd", "sd", n_first),
        ("sensitivity.tipping_estimate", "points", n_first),
    ]
    assert [f.value for f in figures] == [tipping.interval, tipping.interval_sd, tipping.estimate]
    (form,) = list_form_points(change)
    assert (form.name, form.value, form.low, form.n) == ("change.form_points", change.mean, change.low, change.n_pairs)
    none = Withheld(plain("too few"))
    assert [f.value for f in [*list_form_points(none), *list_tipping(none, few=False)]] == [none, none]
    for figure in [*figures, form]:
        assert say(f"name.{figure.name}").id


# ---------------------------------------------------------------- gates


def pairs_of(n, wrong, **facts):
    """Return n pairs, of which the first `wrong` differ by sex."""
    sex = {"sex_pre": ["L"] * n, "sex_post": ["P"] * wrong + ["L"] * (n - wrong)}
    return pd.DataFrame({**sex, **facts})


@pytest.mark.parametrize(
    ("pairs", "state", "rows"),
    [
        (pairs_of(200, 0), "OK", 0),
        (pairs_of(200, 1), "WARN", 1),  # half a percent exactly
        (pairs_of(199, 1), "STOP", 1),
        (pairs_of(1000, 5, days=180), "WARN", 5),
        (pairs_of(1000, 5, days=[-1] * 5 + [180] * 995), "WARN", 5),  # a pair counts once
        (pairs_of(1000, 5, days=[180] * 995 + [-1] * 5), "STOP", 10),
        (pairs_of(1000, 0, birth_pre="x", birth_post=["y"] * 6 + ["x"] * 994), "STOP", 6),
        (pairs_of(1000, 0, birth_pre="x", birth_post=[None] * 999 + ["x"]), "OK", 0),
        (pd.DataFrame({"sex_pre": ["L"] * 300, "sex_post": ["P"] + ["L"] * 149 + [None] * 150}), "STOP", 1),
        (pd.DataFrame({"sex_pre": [None, None], "sex_post": ["L", "P"], "days": [None, None]}), "UNKNOWN", 0),
        (pd.DataFrame({"days": pd.Series([-3, 180, None], dtype="Int64")}), "STOP", 1),
        (pd.DataFrame({"sex_pre": ["L"]}), "UNKNOWN", 0),
        (pd.DataFrame({"days": []}), "UNKNOWN", 0),
    ],
)
def test_pairs_that_cannot_be_one_person(pairs, state, rows):
    gate = judge_pairs_possible(pairs, {"assessment": "PED"})
    assert (gate.code, gate.state, gate.rows, gate.scope) == ("C04", state, rows, {"assessment": "PED"})
    assert not any(digit.isdigit() for digit in gate.message.id.replace("0,5%", ""))  # no count of few persons


def test_a_headline_of_few_who_came_back_stands_beside_its_bounds():
    unpaired = pd.DataFrame({"reason": ["only_pre"] * 60})
    gap = LeaverGap(n_stayers=140, n_leavers=60, mean_stayers=0, mean_leavers=0, g=0, low=-0.1, high=0.1)
    gates = judge_retention(Linked(pairs=pd.DataFrame({"pid": range(140)}), unpaired=unpaired), gap, {})
    assert [(gate.code, gate.state) for gate in gates] == [("C03", "OK"), ("C09", "HOLD")]
    assert "bersama batasnya" in gates[1].message.id
    many = judge_retention(Linked(pairs=pd.DataFrame({"pid": range(400)}), unpaired=unpaired), gap, {})
    assert (many[1].state, "batas" in many[1].message.id) == ("OK", False)
