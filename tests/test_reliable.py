"""How precise a change is: reliable change as shares, days between the sittings, the appendix's effect sizes."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from bgtk_lib.change.drawn import lay_draws
from bgtk_lib.change.estimate import estimate_change
from bgtk_lib.change.reliable import BOUND, estimate_reliable, find_score_error, list_reliable
from bgtk_lib.change.sizes import estimate_sizes, list_sizes
from bgtk_lib.change.timing import estimate_timing, list_timing
from bgtk_lib.errors import LinkageError, ParameterError
from bgtk_lib.findings import Withheld

SHARED = Path(os.environ.get("BGTK_SHARED", Path(__file__).parents[2] / "shared"))
NONE = pd.DataFrame()


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


def make_observed(rng, *, n=600, change=0.0, spread=0.0, school_sd=0.0):
    """Observed scores of schools of four, true change `change` ± `spread`, errors that differ between persons and waves."""
    school = np.arange(n) // 4
    true = rng.normal(500, 100, size=n)
    moved = change + school_sd * rng.normal(size=n // 4 + 1)[school] + spread * rng.normal(size=n)
    errors = rng.uniform(30, 70, size=(2, n))
    return pd.DataFrame(
        {
            "score_pre": true + errors[0] * rng.normal(size=n),
            "score_post": true + moved + errors[1] * rng.normal(size=n),
            "se_pre": errors[0],
            "se_post": errors[1],
            "district": pd.Series(school % 5).map("18.{:02d}".format),
            "npsn": pd.Series(school).map("108{:05d}".format),
        }
    )


def swap(frame):
    names = {"score_pre": "score_post", "score_post": "score_pre", "se_pre": "se_post", "se_post": "se_pre"}
    return frame.rename(columns=names)


def ends(found, sign=1):
    """Estimate and interval, mirrored for a change that was turned around."""
    told = (found.estimate, found.low, found.high) if sign == 1 else (-found.estimate, -found.high, -found.low)
    return pytest.approx(told, rel=1e-9, abs=1e-12)


# ---------------------------------------------------------------- reliable change


def test_the_index_is_that_of_r():
    path = SHARED / "reference/debian_r/missing_change.json"
    if not path.exists():
        pytest.skip("the reference is not on this machine")
    known = json.loads(path.read_text())["rci_jacobson_truax"]
    sem = find_score_error(7.5, reliability=0.80)
    assert sem == pytest.approx(known["sem"], rel=1e-12)
    pairs = pd.DataFrame({"score_pre": 47.5, "score_post": [32.5] * 20 + [47.5] * 20, "se_pre": sem, "se_post": sem})
    found = estimate_reliable(pairs.assign(district=None, npsn=None), cluster="none")
    assert found.needed / BOUND == pytest.approx(known["sdiff"], rel=1e-12)
    assert (32.5 - 47.5) / (found.needed / BOUND) == pytest.approx(known["rc"], rel=1e-12)
    assert found.down.estimate == 0.5  # |−3.16| is beyond 1.96


@pytest.mark.parametrize(("reliability", "points"), [(0.70, 18.2), (0.80, 14.9), (0.90, 10.5)])
def test_one_teachers_change_is_nearly_unmeasurable(reliability, points):
    """domain.md, item 5: on a test with standard deviation 12."""
    sem = find_score_error(12, reliability=reliability)
    assert BOUND * np.hypot(sem, sem) == pytest.approx(points, abs=0.05)  # printed with one place


def test_an_impossible_reliability_is_refused():
    with pytest.raises(ParameterError, match="reliability"):
        find_score_error(7.5, reliability=1.2)


def test_where_nobody_changed_chance_alone_fills_both_sides(rng):
    found = estimate_reliable(make_observed(rng, n=20_000), cluster="none")
    assert (found.up_expected, found.down_expected) == pytest.approx((0.025, 0.025))
    noise = 4 * np.sqrt(0.025 * 0.975 / 20_000)  # four Monte-Carlo standard errors
    assert found.up.estimate == pytest.approx(0.025, abs=noise)
    assert found.down.estimate == pytest.approx(0.025, abs=noise)


def test_where_all_changed_alike_the_mean_alone_says_how_many(rng):
    found = estimate_reliable(make_observed(rng, n=20_000, change=60), cluster="none")
    noise = 4 * np.sqrt(0.15 * 0.85 / 20_000) + 0.002  # the mean change itself is off by up to a point
    assert found.up.estimate == pytest.approx(found.up_shifted, abs=noise)
    assert found.down.estimate == pytest.approx(found.down_shifted, abs=noise)
    assert found.up_shifted > 0.1
    assert found.down_shifted < 0.003


def test_real_differences_in_change_show_beyond_the_mean(rng):
    found = estimate_reliable(make_observed(rng, n=5000, change=20, spread=60), cluster="school")
    assert found.up.low > found.up_shifted
    assert found.down.low > found.down_shifted


def test_shares_add_up_and_swapping_waves_swaps_the_sides(rng):
    pairs = make_observed(rng, change=30)
    found, turned = (estimate_reliable(frame, cluster="school") for frame in (pairs, swap(pairs)))
    assert found.up.estimate + found.down.estimate + found.neither.estimate == pytest.approx(1)
    for side, other in (("up", "down"), ("down", "up"), ("neither", "neither")):
        told = getattr(turned, other)
        assert ends(getattr(found, side)) == (told.estimate, told.low, told.high)
    assert (found.up_shifted, found.needed) == pytest.approx((turned.down_shifted, turned.needed))


def test_neither_a_constant_nor_the_order_of_rows_matters(rng):
    pairs = make_observed(rng, change=30)
    lifted = pairs.assign(score_pre=pairs["score_pre"] + 7, score_post=pairs["score_post"] + 7)
    first = estimate_reliable(pairs, cluster="school")
    for other in (lifted, pairs.sample(frac=1, random_state=1)):
        told = estimate_reliable(other, cluster="school").up
        assert ends(first.up) == (told.estimate, told.low, told.high)


def test_without_clusters_the_interval_is_wilsons(rng):
    pairs = make_observed(rng, n=200, change=30)
    found = estimate_reliable(pairs, cluster="none").up
    level = 2 * stats.norm.sf(stats.t.isf(0.025, 199))  # statsmodels takes a normal quantile: the t quantile's level
    low, high = proportion_confint(found.estimate * 199, 199, alpha=level, method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high))


def test_the_clustered_interval_covers(rng):
    true = estimate_reliable(make_observed(rng, n=200_000, change=20, school_sd=60), cluster="none").up.estimate
    everyone = make_observed(rng, n=200 * 160, change=20, school_sd=60)
    held = 0
    for start in range(0, len(everyone), 160):
        found = estimate_reliable(everyone.iloc[start : start + 160], cluster="school").up
        held += found.low <= true <= found.high
    # 95 % ± 2.6 Monte-Carlo standard errors of 1.5 %, and what Satterthwaite's t gives away
    assert 0.91 <= held / 200 <= 0.99


def test_an_error_of_the_link_moves_everybody(rng):
    pairs = make_observed(rng, change=30)
    linked = pairs.assign(linking_error=15.0, n_anchors=12)
    near, wide = (estimate_reliable(frame, cluster="school") for frame in (pairs, linked))
    gain, error = pairs["score_post"] - pairs["score_pre"], np.hypot(pairs["se_pre"], pairs["se_post"])
    moved = ((gain + 15 > BOUND * error).mean() - (gain - 15 > BOUND * error).mean()) / 2
    assert wide.up.se == pytest.approx(np.hypot(near.up.se, moved))
    assert wide.up.estimate == near.up.estimate
    assert wide.up.high - wide.up.low > near.up.high - near.up.low


@pytest.mark.parametrize("n", [0, 1, 2, 29])
def test_few_persons_are_withheld(rng, n):
    found = estimate_reliable(make_observed(rng).head(n), cluster="school")
    assert isinstance(found, Withheld)
    assert "30" in found.reason.en  # what is needed, not how many there are
    assert [f.name for f in list_reliable(found, n=n)] == ["reliable.up"]


def test_a_perfect_score_error_is_withheld_and_a_missing_one_refused(rng):
    pairs = make_observed(rng)
    assert isinstance(estimate_reliable(pairs.assign(se_pre=0.0, se_post=0.0), cluster="school"), Withheld)
    assert isinstance(estimate_reliable(pairs.assign(se_pre=np.inf), cluster="school"), Withheld)
    with pytest.raises(LinkageError, match="se_post"):
        estimate_reliable(pairs.assign(se_post=np.nan), cluster="school")


def test_a_side_with_nobody_is_withheld_alone(rng):
    pairs = make_observed(rng)
    still = pairs.assign(score_post=pairs["score_pre"] + np.where(np.arange(600) < 60, 500, 1))
    found = estimate_reliable(still, cluster="school")
    assert found.up.estimate == pytest.approx(0.1)
    assert isinstance(found.down, Withheld)
    figures = {f.name: f for f in list_reliable(found, n=600)}
    assert figures["reliable.up"].value == pytest.approx(10)
    assert isinstance(figures["reliable.down"].value, Withheld)
    assert figures["reliable.up_expected"].value == pytest.approx(2.5)
    assert all(f.n == 600 and not f.where for f in figures.values())


# ---------------------------------------------------------------- other effect sizes


def make_pairs(rng, *, n=400, r=0.7, change=0.3, ratio=1.0):
    school = np.arange(n) // 4
    pre = rng.normal(size=n)
    post = ratio * (r * pre + np.sqrt(1 - r**2) * rng.normal(size=n)) + change
    return pd.DataFrame(
        {
            "pid": [f"p{i}" for i in range(n)],
            "score_pre": pre,
            "score_post": post,
            "district": pd.Series(np.minimum(school % 4, 2)).map("18.{:02d}".format),  # of unequal size
            "npsn": school.astype(str),
        }
    )


def with_correlation(pairs, r):
    """Both waves with standard deviation 1 and exactly this correlation, keeping their means."""
    x = (pairs["score_pre"] - pairs["score_pre"].mean()) / pairs["score_pre"].std()
    rest = pairs["score_post"] - np.polyval(np.polyfit(x, pairs["score_post"], 1), x)
    post = r * x + np.sqrt(1 - r**2) * rest / rest.std()
    return pairs.assign(score_pre=x, score_post=post + 0.3)


def test_g_z_is_the_paired_t_and_g_rm_its_multiple(rng):
    pairs = make_pairs(rng, ratio=1.3)
    sizes = estimate_sizes(lay_draws(pairs, NONE), cluster="none")
    t = stats.ttest_rel(pairs["score_post"], pairs["score_pre"]).statistic
    small = 1 - 3 / (4 * 399 - 1)
    r = np.corrcoef(pairs["score_pre"], pairs["score_post"])[0, 1]
    assert sizes.g_z.estimate == pytest.approx(small * t / 20)
    assert sizes.g_rm.estimate == pytest.approx(sizes.g_z.estimate * np.sqrt(2 * (1 - r)))


def test_at_a_correlation_of_one_half_both_sizes_are_one(rng):
    sizes = estimate_sizes(lay_draws(with_correlation(make_pairs(rng), 0.5), NONE), cluster="school")
    assert sizes.g_rm.estimate == pytest.approx(sizes.g_z.estimate, rel=1e-12)
    assert sizes.g_rm.se != pytest.approx(sizes.g_z.se)  # r is estimated in the one, and not in the other


def test_where_both_waves_vary_alike_g_rm_is_g_av(rng):
    pairs = with_correlation(make_pairs(rng), 0.8)
    change = estimate_change(pairs, cluster="school")
    assert estimate_sizes(lay_draws(pairs, NONE), cluster="school").g_rm.estimate == pytest.approx(change.g_av)


def test_sizes_turn_with_the_waves_and_know_no_constant_or_order(rng):
    pairs = make_pairs(rng, ratio=1.3)
    first, turned = (estimate_sizes(lay_draws(frame, NONE), cluster="school") for frame in (pairs, swap(pairs)))
    lifted = pairs.assign(score_pre=pairs["score_pre"] + 5, score_post=pairs["score_post"] + 5)
    same = [
        estimate_sizes(lay_draws(frame, NONE), cluster="school")
        for frame in (lifted, pairs.sample(frac=1, random_state=1))
    ]
    for name in ("g_rm", "g_z"):
        size, other = getattr(first, name), getattr(turned, name)
        assert ends(size, sign=-1) == (other.estimate, other.low, other.high)
        for one in same:
            told = getattr(one, name)
            assert ends(size) == (told.estimate, told.low, told.high)


def test_standard_errors_are_those_of_drawing_again_and_intervals_cover(rng):
    drawn = lay_draws(make_pairs(rng, n=250 * 160, change=0.5), NONE)
    studies = np.arange(drawn.n).reshape(250, 160)
    found = [estimate_sizes(drawn.take(study), cluster="school") for study in studies]
    for name, true in (("g_rm", 0.5), ("g_z", 0.5 / np.sqrt(2 * 0.3))):
        sizes = [getattr(one, name) for one in found]
        scatter = np.std([one.estimate for one in sizes], ddof=1)
        assert np.mean([one.se for one in sizes]) == pytest.approx(
            scatter, rel=0.13
        )  # the scatter's own error is 4.5 %
        assert 0.91 <= np.mean([one.low <= true <= one.high for one in sizes]) <= 0.985


def test_g_z_has_the_error_of_the_closed_form(rng):
    """Without clusters and for normal changes: 1/n + d²/2n."""
    sizes = estimate_sizes(lay_draws(make_pairs(rng, n=20_000, change=0.5), NONE), cluster="none")
    known = np.sqrt(1 / 20_000 + sizes.g_z.estimate**2 / 40_000)
    assert sizes.g_z.se == pytest.approx(known, rel=0.02)  # kurtosis is off by 4√(24/n) of its share


def test_draws_and_link_are_in_the_interval(rng):
    pairs = make_pairs(rng)
    draws = pd.concat(
        pairs[["pid"]].assign(
            draw=draw,
            score_pre=pairs["score_pre"] + rng.normal(0, 0.3, 400),
            score_post=pairs["score_post"] + rng.normal(0, 0.3, 400),
        )
        for draw in range(5)
    )
    drawn = lay_draws(pairs.assign(linking_error=0.1, n_anchors=12, n_link=0), draws)
    free = estimate_sizes(replace(drawn, linking_error=0.0), cluster="school")
    linked = estimate_sizes(drawn, cluster="school")
    small = 1 - 3 / (4 * 399 - 1)
    s = drawn.gain.std(axis=0, ddof=1)
    assert linked.g_z.se == pytest.approx(np.hypot(free.g_z.se, small * 0.1 * (1 / s).mean()))
    assert linked.g_rm.estimate == free.g_rm.estimate
    each = [
        estimate_sizes(replace(drawn, pre=drawn.pre[:, [k]], post=drawn.post[:, [k]]), cluster="school")
        for k in range(5)
    ]
    assert free.g_rm.estimate == pytest.approx(np.mean([one.g_rm.estimate for one in each]))


def test_a_stretched_later_scale_enters_as_far_as_it_moves_the_size(rng):
    """Against the sizes of later scores that are stretched by a thousandth about their mean."""
    drawn = replace(lay_draws(make_pairs(rng), NONE), linking_error=1e-9, link_df=11.0, slope_error=0.0)
    post, step = drawn.post, 1e-3
    other = replace(drawn, post=post + step * (post - post.mean()))
    for name in ("g_z", "g_rm"):
        plain, moved, wide = (
            getattr(estimate_sizes(one, cluster="none"), name)
            for one in (drawn, other, replace(drawn, slope_error=0.2))
        )
        slope = (moved.estimate - plain.estimate) / step
        assert abs(slope) > 0.1
        assert wide.se**2 - plain.se**2 == pytest.approx((0.2 * slope) ** 2, rel=0.01)


def test_what_has_no_size_is_withheld(rng):
    pairs = make_pairs(rng)
    for n in range(3):
        assert isinstance(estimate_sizes(lay_draws(pairs.head(n), NONE), cluster="none"), Withheld)
    constant = estimate_sizes(lay_draws(pairs.assign(score_post=pairs["score_pre"] + 1), NONE), cluster="none")
    assert isinstance(constant, Withheld)
    for post in (2 * pairs["score_pre"], 1.0):  # the waves correlate perfectly; the later one does not vary
        sizes = estimate_sizes(lay_draws(pairs.assign(score_post=post), NONE), cluster="none")
        assert isinstance(sizes.g_rm, Withheld)
        figures = list_sizes(sizes, n=400)
        assert [f.name for f in figures] == ["change.g_rm", "change.g_z"]
        assert isinstance(figures[1].value, float)
    assert all(isinstance(f.value, Withheld) for f in list_sizes(constant, n=400))


# ---------------------------------------------------------------- days between


def make_timed(rng, *, n=600, slope=0.4):
    """Change grows by `slope` in 30 days within a district; districts sit at different times and change differently."""
    pairs = make_pairs(rng, n=n)
    place = pairs["district"].str[-1].astype(int)
    days = (165 + 20 * place + rng.integers(-20, 21, size=n)).astype(float)
    pairs["score_post"] += slope * (days - 180) / 30 - 0.5 * place
    return pairs.assign(days=days)


def time_pairs(pairs, *, cluster="school", **changed):
    """Return the timing of observed scores, the pairs' link changed."""
    drawn = replace(lay_draws(pairs, NONE), **changed)
    return estimate_timing(drawn, drawn.gain[:, 0], window=(150, 210), cluster=cluster)


def test_slope_and_adjusted_change_are_the_regressions(rng):
    pairs = make_timed(rng)
    found = time_pairs(pairs)
    dummies = pd.get_dummies(pairs["district"], dtype=float)
    fit = sm.OLS(pairs["score_post"] - pairs["score_pre"], dummies.assign(x=(pairs["days"] - 180) / 30)).fit()
    assert found.slope.estimate == pytest.approx(fit.params["x"])
    assert found.adjusted.estimate == pytest.approx(fit.params[:-1] @ dummies.mean())
    assert found.slope.low < 0.4 < found.slope.high
    assert found.share_within == pairs["days"].between(150, 210).mean()
    assert found.median == pairs["days"].median()


def test_with_persons_alone_the_error_is_hc2(rng):
    pairs = make_timed(rng)
    found = time_pairs(pairs, cluster="none")
    x = sm.add_constant((pairs["days"] - 180) / 30)
    known = sm.OLS(pairs["score_post"] - pairs["score_pre"], x).fit(cov_type="HC2")
    assert found.slope.se == pytest.approx(known.bse["days"])
    assert found.adjusted.se == pytest.approx(known.bse["const"], rel=0.02)  # a sum of two parts


def test_waves_constants_order_and_link(rng):
    pairs = make_timed(rng)
    first = time_pairs(pairs)
    turned = time_pairs(swap(pairs))
    lifted = time_pairs(pairs.assign(score_post=pairs["score_post"] + 3))
    mixed = time_pairs(pairs.sample(frac=1, random_state=1))
    linked = time_pairs(pairs, linking_error=0.2, link_df=11.0)
    assert ends(first.slope, sign=-1) == (turned.slope.estimate, turned.slope.low, turned.slope.high)
    assert ends(first.slope) == (mixed.slope.estimate, mixed.slope.low, mixed.slope.high)
    assert ends(first.slope) == (lifted.slope.estimate, lifted.slope.low, lifted.slope.high)
    assert lifted.adjusted.estimate == pytest.approx(first.adjusted.estimate + 3)
    assert linked.slope.se == pytest.approx(first.slope.se)
    assert linked.adjusted.se == pytest.approx(np.hypot(first.adjusted.se, 0.2))


def test_plausible_values_would_hide_the_slope(rng):
    """Drawn without knowing the days they keep only the reliable part of it; own scores keep all, in the mean of many."""
    found = []
    for _ in range(40):
        pairs = make_timed(rng, slope=1.0)
        truth = (pairs["score_post"] - pairs["score_pre"]).to_numpy()
        shrunk = truth.mean() + 0.6 * (truth - truth.mean())
        drawn = lay_draws(pairs, NONE)
        blind = replace(drawn, pre=np.zeros((600, 5)), post=shrunk[:, None] + rng.normal(0, 0.5, size=(600, 5)))
        found.append(estimate_timing(blind, truth, window=(150, 210), cluster="school").slope.estimate)
    assert np.mean(found) == pytest.approx(1.0, abs=0.1)


def test_days_that_hardly_vary_within_districts_carry_no_slope(rng):
    pairs = make_timed(rng)
    same = pairs.assign(days=pairs["district"].str[-1].astype(int) * 20.0 + 165)
    found = time_pairs(same)
    assert isinstance(found.slope, Withheld)
    assert isinstance(found.adjusted, Withheld)
    assert found.median == same["days"].median()


def test_days_unknown_are_counted_and_left_out(rng):
    pairs = make_timed(rng)
    pairs.loc[:99, "days"] = np.nan
    found = time_pairs(pairs)
    assert (found.n, found.n_unknown) == (500, 100)
    figures = {f.name: f for f in list_timing(found, n=600)}
    assert {f.n for f in figures.values()} == {500}
    assert figures["timing.slope"].status == "exploratory"
    for n in (0, 1, 3, 29):
        few = time_pairs(pairs.tail(n))
        assert isinstance(few if n == 0 else few.slope, Withheld)
    nothing = time_pairs(pairs.assign(days=None))
    assert isinstance(nothing, Withheld)
    assert [f.name for f in list_timing(nothing, n=600)] == ["timing.median"]


def test_one_school_has_no_slope(rng):
    pairs = make_timed(rng).assign(npsn="1", district="A")
    found = time_pairs(pairs)
    assert isinstance(found.slope, Withheld)
