"""Programmes: every estimator by hand, against R, by identities, and on planted effects."""

import json
import os
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bgtk_lib.change.clusters import contrast_cr2
from bgtk_lib.change.drawn import lay_draws
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.intraclass import estimate_icc
from bgtk_lib.programme.balance import (
    count_effective,
    find_largest,
    measure_balance,
    place_in_band,
    weigh_overlap,
)
from bgtk_lib.programme.covariates import lay_covariates, standardise_forms, standardise_pretest
from bgtk_lib.programme.dose import estimate_dose
from bgtk_lib.programme.effects import estimate_ancova, estimate_did
from bgtk_lib.programme.lottery import code_lots, estimate_cace
from bgtk_lib.programme.rubric import assess_rubric
from bgtk_lib.programme.schools import permute_schools
from bgtk_lib.programme.small import describe_small
from bgtk_lib.programme.towards_mean import expect_towards_mean

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("BGTK_SHARED", HERE.parents[1] / "shared"))
R = json.loads((HERE / "reference" / "programme.json").read_text())
EXACT = 1e-9  # the same arithmetic in another order


def shared_file(name, *, room="reference/debian_r"):
    path = SHARED / room / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return path


@pytest.fixture
def rng():
    return np.random.default_rng(20261122)


def lay(pre, post, *, npsn=None, district=None, **columns):
    """Return scores of one form as `Drawn`."""
    pairs = pd.DataFrame({"pid": [f"p{i}" for i in range(len(pre))], "points_pre": np.asarray(pre, dtype=float)})
    pairs = pairs.assign(score_pre=pairs["points_pre"], score_post=np.asarray(post, dtype=float), form_pre="A")
    npsn = None if npsn is None else pd.Series(npsn).astype("str").to_numpy()
    return lay_draws(pairs.assign(form_post="A", npsn=npsn, district=district, **columns), pd.DataFrame())


def lay_reference(outcome="post"):
    data = pd.DataFrame(R["data"])
    district = data["district"].astype("str").to_numpy()
    more = {name: data[name].to_numpy() for name in ("sex", "status")}
    return lay(data["x"], data[outcome], npsn=data["school"], district=district, **more), data


def make_programme(rng, *, n=1200, schools=120, effect=0.0, pick=None, districts=4, noise=0.5):
    """Return scores on two occasions (true retest .8, reliability 1/(1 + noise²)) and who took part; SD of truth 1."""
    school = rng.integers(0, schools, n)
    truth = 0.3 * rng.normal(size=schools)[school] + 0.95 * rng.normal(size=n)
    later = 0.8 * truth + 0.2 * rng.normal(size=schools)[school] + 0.55 * rng.normal(size=n) + 0.15
    pre, post = truth + noise * rng.normal(size=n), later + noise * rng.normal(size=n)
    treated = (rng.random(n) < 0.25) if pick is None else pick(pre, school, rng)
    district = pd.Series(school % districts).map("18.{:02d}".format).to_numpy()
    return lay(pre, post + effect * treated, npsn=school, district=district), treated


# ---------------------------------------------------------------- covariates and balance


def test_the_first_score_is_standardised_within_its_form():
    frame = pd.DataFrame({"points_pre": [1, 2, 3, 10, 20, 30, 7], "form_pre": list("AAABBBC")})
    assert standardise_pretest(frame) == pytest.approx([-1, 0, 1, -1, 0, 1, 0])
    drawn = replace(lay([1, 2, 3], [5, 7, 9]), pre=np.array([[1.0], [2.0], [3.0]]))
    assert standardise_forms(drawn).gain.ravel() == pytest.approx([0, 0, 0])


def test_what_is_missing_is_a_level_or_an_indicator():
    frame = pd.DataFrame({"points_pre": [1, 2, 3, 4], "sex": ["L", None, "P", "L"], "age": [30, 40, np.nan, 50]})
    laid = lay_covariates(frame.assign(status=None, jenjang="SMA"))
    assert list(laid) == [
        ("points_pre", ""),
        ("age", ""),
        ("age", "unknown"),
        ("sex", "L"),
        ("sex", "P"),
        ("sex", "unknown"),
    ]
    assert laid["age", ""].tolist() == [30, 40, 40, 50]


def test_balance_and_overlap_weights_agree_with_r():
    drawn, data = lay_reference()
    treated = data["treat"] == 1
    weights = weigh_overlap(drawn.frame, treated)
    assert weights == pytest.approx(np.array(R["weights"]), abs=1e-8)  # both stop iterating somewhere
    balance = measure_balance(drawn.frame, treated, weights=weights).set_index(["column", "level"])
    for key, name in [(("points_pre", ""), "points_pre"), (("sex", "P"), "P"), (("status", "PNS"), "PNS")]:
        assert balance.loc[key, "before"] == pytest.approx(R["smd"][name], rel=EXACT)
    assert balance["after"].abs().max() < 1e-8  # a logistic regression balances its own columns
    assert count_effective(weights[treated]) == pytest.approx(R["ess"]["treat"], rel=1e-7)
    assert count_effective(weights[~treated]) == pytest.approx(R["ess"]["other"], rel=1e-7)


def test_balance_turns_round_with_the_groups_and_keeps_its_place_when_shuffled(rng):
    frame = pd.DataFrame({"points_pre": rng.integers(0, 40, 60), "sex": rng.choice(["L", "P"], 60)})
    treated = rng.random(60) < 0.4
    balance = measure_balance(frame, treated)
    assert measure_balance(frame, ~treated)["before"].to_numpy() == pytest.approx(-balance["before"].to_numpy())
    order = rng.permutation(60)
    again = measure_balance(frame.iloc[order].reset_index(drop=True), treated[order])
    assert again["before"].to_numpy() == pytest.approx(balance["before"].to_numpy())


def test_the_largest_difference_leaves_districts_out():
    frame = pd.DataFrame({"points_pre": [1, 2, 3, 1, 2, 3], "district": list("aaabbb")})
    balance = measure_balance(frame, [True] * 3 + [False] * 3)
    assert balance["before"].abs().max() == np.inf
    assert find_largest(balance, "before") == 0
    assert find_largest(balance, "after") == np.inf
    assert find_largest(measure_balance(frame, [True] * 6), "before") == np.inf


@pytest.mark.parametrize(
    ("difference", "band"), [(0.05, "fine"), (-0.051, "adjust"), (0.25, "adjust"), (-0.26, "apart")]
)
def test_bands_are_those_of_the_clearinghouse(difference, band):
    assert place_in_band(difference, limit=0.25) == band


def test_a_score_that_decides_leaves_nobody_alike(rng):
    frame = pd.DataFrame({"points_pre": rng.normal(size=400)})
    assert isinstance(weigh_overlap(frame, frame["points_pre"] > 1), Withheld)
    almost = rng.random(400) < stats.norm.cdf(40 * (frame["points_pre"] - 0.5))
    assert isinstance(weigh_overlap(frame, almost), Withheld)


# ---------------------------------------------------------------- ancova, difference in differences


@pytest.mark.parametrize("name", ["ancova", "overlap", "did"])
def test_effects_agree_with_r(name):
    drawn, data = lay_reference()
    treated = data["treat"] == 1
    weights = weigh_overlap(drawn.frame, treated) if name == "overlap" else None
    effect = estimate_did(drawn, treated) if name == "did" else estimate_ancova(drawn, treated, weights=weights)
    assert effect.estimate == pytest.approx(R[name]["coef"], rel=1e-7)
    assert effect.se == pytest.approx(R[name]["se"], rel=1e-7)
    assert effect.df == pytest.approx(R[name]["df"], rel=1e-6)
    assert (effect.n_participants, effect.n_schools) == (int(treated.sum()), data.loc[treated, "school"].nunique())


def test_ancova_agrees_with_clubsandwich():
    data = pd.read_csv(shared_file("data/exam15.csv"), dtype={"school": str})
    reference = json.loads(shared_file("clubsandwich.json").read_text())
    drawn = lay(data["standLRT"], data["normexam"], npsn=data["school"])
    effect = estimate_ancova(drawn, data["pol"] == 1, stratum=data["girl"])
    assert effect.estimate == pytest.approx(reference["coef"]["pol"], rel=EXACT)
    assert effect.se == pytest.approx(reference["CR2"]["se"]["pol"], rel=EXACT)
    assert effect.df == pytest.approx(reference["CR2"]["df"]["pol"], rel=EXACT)
    assert effect.p == pytest.approx(reference["CR2"]["p"]["pol"], rel=1e-7)


def test_ancova_and_change_agree_with_r_on_made_up_pairs():
    data = pd.read_csv(shared_file("data/prepost.csv")).dropna()
    reference = json.loads(shared_file("missing_change.json").read_text())
    drawn, treated = lay(data["pre"], data["post"], npsn=data["school"]), data["treat"] == 1
    assert estimate_ancova(drawn, treated).estimate == pytest.approx(reference["ancova"]["coef"]["treat"], rel=EXACT)
    assert estimate_did(drawn, treated).estimate == pytest.approx(reference["change"]["coef"]["treat"], rel=EXACT)


def test_two_tracks_differ_by_what_is_published():
    """Learning to Learn, grade 6 to 9: the tracks were matched on the first score, so that both ways say the same."""
    data = pd.read_csv(shared_file("LearningToLearn.csv", room="data/learning_to_learn"))
    r = pd.read_csv(shared_file("reference_R/ancova_track.csv", room="data/learning_to_learn"), index_col="term")
    drawn, treated = lay(data["score_6"], data["score_9"]), data["track_01"] == 1
    effect = estimate_ancova(drawn, treated)
    assert effect.estimate == pytest.approx(r.loc["track_01", "Estimate"], rel=EXACT)
    assert effect.se == pytest.approx(r.loc["track_01", "Std. Error"], rel=0.01)  # ours allows unequal variances
    assert estimate_did(drawn, treated).estimate == pytest.approx(0.555, abs=5e-4)


def test_a_learning_object_added_what_is_published():
    """Probability, two arms: the second score differs by .15 at equal first scores, p = .41."""
    data = pd.read_csv(shared_file("probability.csv", room="data/pks_probability"))
    score = {part: data[[f"b{part}{i:02d}" for i in range(1, 13)]].sum(axis=1, skipna=False) for part in (1, 2)}
    both = score[1].notna() & score[2].notna()
    drawn = lay(score[1][both].to_numpy(), score[2][both].to_numpy())
    effect = estimate_ancova(drawn, (data["learnobj"][both] == "enhan").to_numpy())
    assert (effect.n_participants, effect.n_comparison) == (181, 164)
    assert round(effect.estimate, 2) == 0.15
    assert round(effect.p, 2) == 0.41


def test_did_in_closed_form(rng):
    district, treated = rng.choice(["a", "b", "c"], 200), rng.random(200) < 0.4
    drawn = lay(rng.normal(size=200), rng.normal(size=200), district=district)
    plain = estimate_did(replace(drawn, frame=drawn.frame.assign(district=None)), treated)
    gain = drawn.gain.ravel()
    assert plain.estimate == pytest.approx(gain[treated].mean() - gain[~treated].mean(), rel=EXACT)
    parts = []
    for place in "abc":
        p, c = gain[treated & (district == place)], gain[~treated & (district == place)]
        parts.append((len(p) * len(c) / (len(p) + len(c)), p.mean() - c.mean()))
    weights, gaps = np.array(parts).T
    assert estimate_did(drawn, treated).estimate == pytest.approx(np.average(gaps, weights=weights), rel=EXACT)


def test_effects_turn_round_shift_and_keep_when_shuffled(rng):
    drawn, treated = make_programme(rng, n=300, schools=40)
    for estimate in (estimate_ancova, estimate_did):
        effect, turned = estimate(drawn, treated), estimate(drawn, ~treated)
        assert (turned.estimate, turned.se) == pytest.approx((-effect.estimate, effect.se), rel=1e-7)
        shifted = replace(drawn, pre=drawn.pre + 7, post=drawn.post + 7)
        assert estimate(shifted, treated).estimate == pytest.approx(effect.estimate, abs=1e-9)
        order = rng.permutation(drawn.n)
        again = estimate(drawn.take(order), treated[order])
        assert (again.estimate, again.se, again.df) == pytest.approx((effect.estimate, effect.se, effect.df), rel=1e-7)
    other = replace(drawn, pre=rng.normal(size=drawn.pre.shape))  # plausible values of the first test are no covariate
    assert estimate_ancova(other, treated).estimate == estimate_ancova(drawn, treated).estimate


def test_draws_and_link_enter_as_they_should(rng):
    """Draws that differ widen the interval; an error of the link, which shifts both groups alike, does not."""
    drawn, treated = make_programme(rng, n=300, schools=40)
    noise = rng.normal(size=(300, 10))
    drawn = replace(drawn, post=drawn.post + noise, pre=np.repeat(drawn.pre, 10, axis=1))
    whole = estimate_ancova(drawn, treated)
    each = [estimate_ancova(replace(drawn, pre=drawn.pre[:, [j]], post=drawn.post[:, [j]]), treated) for j in range(10)]
    estimates, variances = np.array([one.estimate for one in each]), np.array([one.se**2 for one in each])
    assert whole.estimate == pytest.approx(estimates.mean())
    assert whole.se**2 == pytest.approx(variances.mean() + 1.1 * estimates.var(ddof=1))
    linked = replace(drawn, linking_error=5.0, link_df=11.0)
    assert estimate_ancova(linked, treated) == whole


def test_effects_that_the_data_do_not_identify_are_withheld(rng):
    district = np.repeat(["a", "b"], 20)
    drawn = lay(rng.normal(size=40), rng.normal(size=40), district=district)
    for estimate in (estimate_ancova, estimate_did):
        assert isinstance(estimate(drawn, district == "a"), Withheld)
        assert isinstance(estimate(drawn, np.zeros(40, dtype=bool)), Withheld)
        assert isinstance(estimate(drawn.take(np.arange(0)), np.zeros(0, dtype=bool)), Withheld)
        one_school = replace(drawn, frame=drawn.frame.assign(npsn="1"))
        assert isinstance(estimate(one_school, rng.random(40) < 0.5), Withheld)
        for n in (1, 2, 3):
            assert isinstance(estimate(drawn.take(range(n)), np.arange(n) == 0), Withheld)
    assert isinstance(
        estimate_ancova(replace(drawn, frame=drawn.frame.assign(points_pre=3.0)), district == "x"), Withheld
    )


def test_two_treated_schools_have_no_clustered_interval(rng):
    drawn, _ = make_programme(rng, n=400, schools=40, districts=1)
    found = estimate_ancova(drawn, drawn.frame["npsn"].isin(["1", "2"]))
    assert isinstance(found, Withheld)


def pick_low(pre, school, rng):
    return rng.random(len(pre)) < 1 / (1 + np.exp(0.7 + 1.2 * pre))


@pytest.mark.parametrize("method", ["ancova", "did", "overlap", "lottery"])
def test_a_planted_effect_is_found(method):
    """12 programmes of +.30 each: the mean estimate lies within 4 of its standard errors, most intervals hold .30."""
    estimates, errors, holds = [], [], 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        drawn, treated = make_programme(rng, effect=0.3, pick=pick_low if method == "overlap" else None)
        weights = weigh_overlap(drawn.frame, treated) if method == "overlap" else None
        found = estimate_did(drawn, treated) if method == "did" else estimate_ancova(drawn, treated, weights=weights)
        estimates.append(found.estimate)
        errors.append(found.se)
        holds += found.low < 0.3 < found.high
    assert abs(np.mean(estimates) - 0.3) < 4 * np.mean(errors) / np.sqrt(12)
    assert holds >= 9


def test_change_against_change_takes_regression_to_the_mean_for_an_effect():
    """Picked by a noisy score with no effect at all: change against change finds one, later at equal first scores does not."""
    rng = np.random.default_rng(5)
    drawn, treated = make_programme(rng, n=6000, schools=400, pick=pick_low)
    biased, fair = estimate_did(drawn, treated), estimate_ancova(drawn, treated)
    assert biased.low > 0.15  # two standard deviations apart is what .36 of the distance would give
    assert fair.low < 0 < fair.high


# ---------------------------------------------------------------- the lottery


def test_cace_agrees_with_r():
    drawn, data = lay_reference("later")
    lots = code_lots(drawn.frame)
    itt = estimate_ancova(drawn, data["lot"] == 1, stratum=lots, method="lottery")
    assert (itt.estimate, itt.se, itt.df) == pytest.approx(tuple(R["itt"][k] for k in ("coef", "se", "df")), rel=1e-7)
    found = estimate_cace(drawn, data["lot"] == 1, data["took"] == 1, stratum=lots)
    for name, key in (("estimate", "coef"), ("taken_up", "taken_up"), ("low", "low"), ("high", "high")):
        assert getattr(found, name) == pytest.approx(R["cace"][key], rel=1e-7)


def test_with_everyone_as_drawn_the_two_effects_are_one():
    drawn, data = lay_reference()
    lot, lots = data["lot"] == 1, code_lots(drawn.frame)
    itt, found = estimate_ancova(drawn, lot, stratum=lots), estimate_cace(drawn, lot, lot, stratum=lots)
    assert (found.estimate, found.se, found.low, found.high) == pytest.approx((itt.estimate, itt.se, itt.low, itt.high))


def test_a_draw_that_nobody_followed_has_no_interval(rng):
    drawn, data = lay_reference()
    took = rng.random(drawn.n) < 0.3
    assert isinstance(estimate_cace(drawn, data["lot"] == 1, took, stratum=code_lots(drawn.frame)), Withheld)


def test_an_effect_on_those_who_took_part_is_found(rng):
    drawn, _ = make_programme(rng, n=3000, schools=300)
    lot = rng.random(drawn.n) < 0.5
    took = lot & (rng.random(drawn.n) < 0.6)
    treated = replace(drawn, post=drawn.post + 0.5 * took[:, None])
    found = estimate_cace(treated, lot, took, stratum=code_lots(drawn.frame))
    assert found.low < 0.5 < found.high
    assert found.taken_up == pytest.approx(0.6, abs=0.06)  # 3 standard errors of a share of 1,500


# ---------------------------------------------------------------- few schools


def compute_p(y, x, own, tau):
    """Return the share of choices that explain at least as much as the true one, each by two regressions."""
    left, base = y - tau * own, np.column_stack([np.ones(len(y)), x])

    def explained(chosen):
        wide = np.column_stack([base, np.isin(np.arange(len(y)), chosen)])
        parts = [((left - X @ np.linalg.lstsq(X, left)[0]) ** 2).sum() for X in (base, wide)]
        return parts[0] - parts[1]

    k, actual = int(own.sum()), explained(np.flatnonzero(own))
    return np.mean([explained(chosen) >= actual * (1 - EXACT) for chosen in combinations(range(len(y)), k)])


def test_permuted_schools_agree_with_r():
    drawn, data = lay_reference()
    effect = permute_schools(drawn, data["school"].isin([1, 9, 17]), rng=np.random.default_rng(1))
    assert effect.estimate == pytest.approx(R["schools"]["coef"], rel=EXACT)
    assert effect.p == pytest.approx(R["schools"]["p"], rel=EXACT)  # all 2,024 choices: exact
    inside = [effect.low < tau < effect.high for tau in R["schools"]["p_at"]["tau"]]
    assert inside == [p > 0.05 for p in R["schools"]["p_at"]["p"]]


def test_the_ends_are_where_the_share_falls_to_its_level(rng):
    x, y, own = rng.normal(size=10), rng.normal(size=10), np.isin(np.arange(10), [2, 5, 7])
    drawn = lay(x, y, npsn=np.arange(10))
    z = standardise_pretest(drawn.frame)
    effect = permute_schools(drawn, own, rng=rng)
    assert effect.p == pytest.approx(compute_p(y, z, own, 0.0), rel=EXACT)
    for end, inward in ((effect.low, 1), (effect.high, -1)):
        assert compute_p(y, z, own, end - inward * 1e-6) <= 0.05 < compute_p(y, z, own, end + inward * 1e-6)


def test_few_choices_have_no_interval_and_drawn_ones_come_close(rng):
    drawn = lay(rng.normal(size=30), rng.normal(size=30), npsn=np.repeat(np.arange(6), 5))
    assert isinstance(permute_schools(drawn, drawn.frame["npsn"].isin(["0", "1"]), rng=rng), Withheld)  # 15 choices
    assert isinstance(permute_schools(drawn, drawn.frame["npsn"] == "0", rng=rng), Withheld)
    assert isinstance(permute_schools(drawn.take(np.arange(0)), np.zeros(0, dtype=bool), rng=rng), Withheld)
    reference, data = lay_reference()
    treated = data["school"].isin([1, 9, 17])
    sampled = permute_schools(reference, treated, rng=rng, choices=1000)
    assert sampled.p == pytest.approx(R["schools"]["p"], abs=0.06)  # 4 standard errors of a share of 1,000


def test_who_has_no_school_or_stayed_out_in_a_treated_one_is_left_out(rng):
    drawn, data = lay_reference()
    treated = data["school"].isin([1, 9, 17])
    whole = permute_schools(drawn, treated, rng=rng)
    extra = drawn.take([*range(drawn.n), 0, 0])
    npsn = extra.frame["npsn"].to_numpy(dtype=object)
    npsn[-1] = None
    extra = replace(extra, frame=extra.frame.assign(npsn=npsn), post=extra.post.copy())
    extra.post[-2:] = 1e6
    more = permute_schools(extra, [*treated, False, False], rng=rng)
    assert (more.estimate, more.n_comparison) == pytest.approx((whole.estimate, whole.n_comparison))


def test_permuted_schools_miss_a_null_as_often_as_they_say():
    """200 times no effect in 3 of 15 schools: 5 % outside, between .5 and 9.5 % (3 standard errors)."""
    outside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        school = np.repeat(np.arange(15), 3)
        drawn = lay(rng.normal(size=45), rng.normal(size=45) + rng.normal(size=15)[school], npsn=school)
        chosen = rng.choice(15, 3, replace=False)
        effect = permute_schools(drawn, np.isin(school, chosen), rng=rng)
        outside += not effect.low <= 0 <= effect.high
    assert 1 <= outside <= 19


# ---------------------------------------------------------------- towards the mean


@pytest.mark.parametrize(("share", "top", "expected"), [(0.10, True, -0.351), (0.20, False, 0.280)])
def test_regression_of_the_best_and_of_the_others_is_what_theory_says(share, top, expected):
    """The mean of the top tenth of a normal is 1.755, of the bottom fifth -1.400; a retest of .80 lets a fifth return."""
    pre = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    picked = pre > stats.norm.isf(share) if top else pre < stats.norm.ppf(share)
    found = expect_towards_mean(lay(pre, 0 * pre), picked, reliability=0.8)
    assert isinstance(found, Withheld)  # nobody's later score varies: no line from first to second
    rng = np.random.default_rng(1)
    found = expect_towards_mean(lay(pre, 0.8 * pre + 0.6 * rng.normal(size=len(pre))), picked)
    assert found.source == "retest"
    assert found.estimate == pytest.approx(expected, abs=0.02)  # the slope of the others is known to .003–.004
    assert found.low < expected < found.high
    assert found.remains == pytest.approx(0.8, abs=0.012)


def test_a_reliability_stands_in_where_few_are_left():
    pre = np.arange(40.0)
    found = expect_towards_mean(lay(pre, pre), pre < 30, reliability=0.8)
    assert (found.source, found.low) == ("reliability", None)
    assert found.estimate == pytest.approx(0.2 * (19.5 - 14.5))
    assert isinstance(expect_towards_mean(lay(pre, pre), pre < 30), Withheld)
    assert isinstance(expect_towards_mean(lay(pre, pre), pre < 99, reliability=0.8), Withheld)
    assert isinstance(expect_towards_mean(lay(pre, pre), pre > 99, reliability=0.8), Withheld)


def test_the_expected_change_is_the_one_without_effect(rng):
    """With no effect, the group's change less everyone's is what was expected; on another scale too."""
    drawn, treated = make_programme(rng, n=20_000, schools=2000, pick=pick_low)
    found = expect_towards_mean(drawn, treated)
    actual = drawn.gain[treated].mean() - drawn.gain.mean()
    assert actual == pytest.approx(found.estimate, abs=0.03)  # 3 standard errors of a mean of some 6,000
    scaled = replace(drawn, pre=500 + 100 * drawn.pre, post=500 + 100 * drawn.post)
    assert expect_towards_mean(scaled, treated).estimate == pytest.approx(100 * found.estimate)


def test_plausible_values_hold_no_luck_that_could_return(rng):
    """Picked by a noisy score, but drawn from what the score tells of the ability: only abilities return, here by .1."""
    truth = rng.normal(size=20_000)
    noisy = truth + 0.6 * rng.normal(size=20_000)
    reliable = 1 / 1.36
    mean, spread = reliable * noisy, np.sqrt(1 - reliable)
    pre = mean[:, None] + spread * rng.normal(size=(20_000, 5))
    drawn = lay(noisy, noisy, npsn=rng.integers(0, 2000, 20_000))
    drawn = replace(drawn, pre=pre, post=0.9 * pre + 0.3 * rng.normal(size=pre.shape), unit="scale")
    picked = noisy > np.quantile(noisy, 0.9)
    found = expect_towards_mean(drawn, picked)
    assert found.estimate == pytest.approx(-0.1 * (pre[picked].mean() - pre.mean()), abs=0.01)
    assert (drawn.gain[picked].mean() - drawn.gain.mean()) == pytest.approx(found.estimate, abs=0.02)
    few = expect_towards_mean(
        drawn.take(np.r_[np.flatnonzero(picked), np.flatnonzero(~picked)[:20]]), np.arange(2020) < 2000
    )
    assert isinstance(few, Withheld)


# ---------------------------------------------------------------- few participants, dose, rubric


def make_workshop(rng, n=20):
    pre = rng.integers(10, 30, n)
    columns = {"score_pre": pre, "score_post": pre + rng.integers(-3, 8, n), "district": "18.01"}
    return pd.DataFrame(columns | {"npsn": [f"{i:08d}" for i in range(n)]})


def test_a_workshop_is_the_one_sample_t(rng):
    pairs = make_workshop(rng)
    gain = pairs["score_post"] - pairs["score_pre"]
    small = describe_small(pairs, rng=rng)
    interval = stats.ttest_1samp(gain, 0).confidence_interval(0.95)
    assert (small.change.low, small.change.high) == pytest.approx((interval.low, interval.high))
    error, reach = gain.sem(), stats.t.ppf(0.975, 19) + stats.t.ppf(0.8, 19)
    assert small.detectable == pytest.approx(reach * error)
    assert (small.n_up, small.n_down, small.n_same) == ((gain > 0).sum(), (gain < 0).sum(), (gain == 0).sum())
    known = stats.bootstrap((gain,), np.mean, n_resamples=9999, rng=np.random.default_rng(3)).confidence_interval
    assert small.bca_low == pytest.approx(known.low, abs=0.15)  # two bootstraps of a mean with an error of .7
    assert small.bca_high == pytest.approx(known.high, abs=0.15)


@pytest.mark.parametrize(("n", "expected"), [(30, 0.41), (20, 0.51), (100, 0.22)])
def test_what_is_detectable_is_what_the_standards_say(n, expected):
    """Retest .7: the SD of change is √(2·.3); scores of exactly that spread."""
    z = stats.norm.ppf((np.arange(n) + 0.5) / n)
    z = (z - z.mean()) / z.std(ddof=1)
    turn = np.random.default_rng(1).permutation(z)
    other = turn - (turn @ z) / (z @ z) * z
    other /= other.std(ddof=1)
    pairs = pd.DataFrame(
        {"score_pre": z, "score_post": 0.7 * z + np.sqrt(0.51) * other, "npsn": None, "district": None}
    )
    small = describe_small(pairs, rng=np.random.default_rng(1))
    assert small.detectable_sd == pytest.approx(expected, abs=0.005)


def test_signed_ranks_are_exact(rng):
    untied = pd.DataFrame(
        {"score_pre": [0, 0, 0, 0, 0], "score_post": [1, 2, 3, 4, -5], "npsn": None, "district": None}
    )
    assert describe_small(untied, rng=rng).p_signed_rank == pytest.approx(20 / 32)  # ten of the 32 sums are 5 or less
    tied = untied.assign(score_post=[2, 2, 2, 2, 2])
    assert isinstance(describe_small(tied, rng=rng), Withheld)
    tied = untied.assign(score_post=[2, 2, 2, 2, 4])
    assert describe_small(tied, rng=rng).p_signed_rank == pytest.approx(2 / 32)


def test_a_workshop_of_shared_schools_resamples_schools(rng):
    pairs = make_workshop(rng, 24)
    alone = describe_small(pairs, rng=np.random.default_rng(1))
    four = pairs.assign(
        npsn=np.repeat(["1", "2", "3", "4"], 6), score_post=pairs["score_pre"] + np.repeat([0, 9, 0, 9], 6)
    )
    shared = describe_small(four.assign(score_post=four["score_post"] + [0, 1] * 12), rng=np.random.default_rng(1))
    assert shared.bca_high - shared.bca_low > 1.5 * (alone.bca_high - alone.bca_low)


@pytest.mark.parametrize("n", [0, 1])
def test_nobody_or_one_is_withheld(n, rng):
    assert isinstance(describe_small(make_workshop(rng).head(n), rng=rng), Withheld)


def test_a_few_persons_have_no_place_on_the_scale(rng):
    assert isinstance(describe_small(make_workshop(rng).assign(unit="scale"), rng=rng), Withheld)


def test_a_slope_on_hours_is_the_regression(rng):
    drawn, _ = make_programme(rng, n=200, schools=40)
    hours = rng.integers(8, 40, 200).astype(float)
    hours[:10] = np.nan
    found = estimate_dose(drawn, hours)
    here = drawn.take(~np.isnan(hours))
    districts = pd.get_dummies(here.frame["district"]).to_numpy(dtype=float)
    X = np.column_stack([hours[10:] / 10, here.frame["points_pre"], districts])
    direct = contrast_cr2(here.post, X, here.frame["npsn"], weights=np.eye(6)[0])[0]
    assert (found.estimate, found.se, found.df) == pytest.approx((direct.estimate, direct.se, direct.df), rel=1e-7)
    assert (found.n, found.n_unknown, found.per) == (190, 10, 10)
    per_session = estimate_dose(drawn, hours, unit="sessions")
    assert per_session.estimate * 10 == pytest.approx(found.estimate)


def test_a_dose_that_nobody_varies_or_knows_is_withheld(rng):
    drawn, _ = make_programme(rng, n=60, schools=20)
    assert isinstance(estimate_dose(drawn, np.full(60, 32.0)), Withheld)
    assert isinstance(estimate_dose(drawn, np.full(60, np.nan)), Withheld)
    hours = rng.integers(8, 40, 60)
    assert not isinstance(estimate_dose(drawn, hours), Withheld)
    assert isinstance(estimate_dose(replace(drawn, unit="scale"), hours), Withheld)


def rate(scores, *, bias=0.0, noise=0.0, rng=None, **columns):
    """Return ratings of two raters around true scores (persons × occasions)."""
    rows = []
    for rater in ("r1", "r2"):
        for place, occasion in enumerate(("pre", "post")):
            seen = (
                scores[:, place]
                + (bias if rater == "r2" else 0)
                + (noise * rng.normal(size=len(scores)) if noise else 0)
            )
            rows.append(
                pd.DataFrame(
                    {"pid": [f"p{i}" for i in range(len(scores))], "occasion": occasion, "rater": rater, "score": seen}
                )
            )
    return pd.concat(rows, ignore_index=True).assign(**columns)


def test_raters_who_agree_let_the_change_be_told(rng):
    truth = rng.normal(size=(40, 1)) + np.array([0.0, 0.5])
    ratings = rate(truth, noise=0.2, rng=rng)
    found = assess_rubric(ratings)
    pre = ratings[ratings["occasion"] == "pre"].pivot_table(index="pid", columns="rater", values="score")
    icc = estimate_icc(pre).forms.set_index("form").loc["ICC(A,1)", "icc"]
    assert found.icc_pre == pytest.approx(icc)
    means = ratings.pivot_table(index="pid", columns="occasion", values="score")
    gain = means["post"] - means["pre"]
    assert found.change.estimate == pytest.approx(gain.mean())
    assert found.change.se == pytest.approx(gain.sem())
    assert found.n == 40


def test_raters_who_disagree_withhold_it(rng):
    truth = rng.normal(size=(40, 1)) + np.array([0.0, 0.5]) + 0.3 * rng.normal(size=(40, 2))
    harsh = assess_rubric(rate(truth, bias=1.5, rng=rng))
    assert max(harsh.icc_pre, harsh.icc_post) < 0.75
    assert "Not yet reliable" in harsh.change.reason.en
    alone = rate(truth, rng=rng)
    assert isinstance(assess_rubric(alone[alone["rater"] == "r1"]).change, Withheld)
    assert isinstance(assess_rubric(alone[alone["occasion"] == "pre"]).change, Withheld)
    assert isinstance(assess_rubric(alone.head(0)).change, Withheld)
    some = assess_rubric(alone.drop(index=0))
    assert (some.n, some.n_incomplete) == (39, 1)


def test_criteria_are_added_up_and_none_may_miss(rng):
    truth = rng.normal(size=(40, 1)) + np.array([0.0, 0.5]) + 0.3 * rng.normal(size=(40, 2))
    whole, parts = rate(truth, rng=rng), []
    for name, share in (("a", 0.25), ("b", 0.75)):
        parts.append(whole.assign(criterion=name, score=share * whole["score"]))
    split = pd.concat(parts, ignore_index=True)
    assert assess_rubric(split).change.estimate == pytest.approx(assess_rubric(whole).change.estimate)
    assert assess_rubric(split.drop(index=3)).n == 39
    assert assess_rubric(split.assign(score=split["score"].where(split.index != 3))).n == 39


def test_a_person_rated_twice_is_an_error(rng):
    ratings = rate(rng.normal(size=(5, 2)), rng=rng)
    with pytest.raises(ValueError, match="duplicate"):
        assess_rubric(pd.concat([ratings, ratings.head(1)]))
