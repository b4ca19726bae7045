"""Subgroups and named gaps: by hand, identities, the false discovery rate, planted truth, what is withheld, pages."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bgtk_lib.change.clusters import contrast_cr2
from bgtk_lib.change.drawn import Drawn
from bgtk_lib.change.evenness.gaps import GAP_COLUMNS, NAMED_GAPS, GroupPair, estimate_group_gaps, list_group_gaps
from bgtk_lib.change.evenness.subgroups import SUBGROUP_COLUMNS, contrast_groups, estimate_subgroups, list_subgroups
from bgtk_lib.change.strata import mean_by_strata
from bgtk_lib.disclosure import Released, plan_suppression, release
from bgtk_lib.display.context import Context
from bgtk_lib.display.evenness import draw_evenness
from bgtk_lib.display.subgroups import draw_subgroups
from bgtk_lib.findings import Figure, Withheld
from bgtk_lib.words import plain, sentences

NOBODY = pd.DataFrame()
ALL = ["sex", "jenjang", "status", "device", "kota_kabupaten"]
CODES = ["18.01", "18.02", "18.71", "18.72"]


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


def make_drawn(rng, n=600, m=1, unit="points", **planted):
    """Persons in schools of 10; `planted` adds to the change of a level, e.g. ``SMP=0.5``."""
    school = np.arange(n) // 10
    frame = pd.DataFrame(
        {
            "pid": np.arange(n),
            "npsn": school,
            "sex": rng.choice(["L", "P"], n),
            "status": rng.choice(["PNS", "PPPK", "honorer"], n),
            "device": rng.choice(["phone", "laptop"], n),
        }
    ).astype("str")
    frame = frame.assign(
        district=np.array(CODES)[school % 4], jenjang=np.array(["SD", "SD", "SMP", "SMA", "SMK"])[school % 5]
    )
    pre = rng.normal(500, 100, (n, 1))
    extra = sum((frame == level).any(axis=1).to_numpy() * effect for level, effect in planted.items())
    gain = 20 + 20 * rng.normal(size=school.max() + 1)[school] + 60 * rng.normal(size=n) + extra
    scores = [
        pre + rng.normal(size=(n, m)) * 30 * (m > 1),
        pre + gain[:, None] + rng.normal(size=(n, m)) * 30 * (m > 1),
    ]
    link = {"linking_error": 4.0, "link_df": 11.0} if unit == "scale" else {"linking_error": 0.0, "link_df": np.inf}
    return Drawn(frame=frame, pre=scores[0], post=scores[1], unit=unit, link_n=np.inf, **link)


def keep_all(frame, *but):
    rows = [
        {"grouping": column, "level": level, "state": "pooled" if level in but else "kept"}
        for column in ("district", "sex", "jenjang", "status", "device")
        for level in frame[column].unique()
    ]
    return pd.DataFrame(rows)


def mask(drawn, column, *levels):
    return drawn.frame[column].isin(levels).to_numpy()


# ---------------------------------------------------------------- differences


def test_difference_of_two_groups_without_clusters_is_welchs(rng):
    drawn = make_drawn(rng)
    first = mask(drawn, "sex", "P")
    ours = contrast_groups(drawn, drawn.gain, first=first, second=~first, cluster="none", confidence=0.95)
    known = stats.ttest_ind(drawn.gain[first, 0], drawn.gain[~first, 0], equal_var=False)
    assert (ours.estimate, ours.t) == pytest.approx((np.diff([*map(np.mean, (drawn.gain[~first], drawn.gain[first]))])[0], known.statistic))  # fmt: skip


def test_difference_is_the_clustered_regression_among_the_two(rng):
    drawn = make_drawn(rng)
    first, second = mask(drawn, "jenjang", "SMP"), mask(drawn, "jenjang", "SD")
    ours = contrast_groups(drawn, drawn.post, first=first, second=second, cluster="school", confidence=0.9)
    rows = first | second
    X = np.column_stack([np.ones(rows.sum()), first[rows]])
    schools = drawn.frame.loc[rows, "npsn"]
    known = contrast_cr2(drawn.post[rows, 0], X, schools, weights=[0, 1], confidence=0.9)[0]
    assert (ours.estimate, ours.se, ours.df, ours.high) == pytest.approx(
        (known.estimate, known.se, known.df, known.high)
    )


def test_no_link_in_a_difference_and_all_of_it_in_a_mean(rng):
    drawn = make_drawn(rng, m=5, unit="scale")
    without = replace(drawn, linking_error=0.0, link_df=np.inf)
    known = keep_all(drawn.frame)
    told, bare = (estimate_subgroups(one, ["sex"], conditioned=known) for one in (drawn, without))
    assert told.loc[0, "difference_se"] == bare.loc[0, "difference_se"]
    assert told.loc[0, "se"] == pytest.approx(np.hypot(4, bare.loc[0, "se"]))


def test_mean_of_a_level_is_that_of_the_headline(rng):
    drawn = make_drawn(rng)
    table = estimate_subgroups(drawn, ["jenjang"], conditioned=NOBODY).set_index("level")
    here = mask(drawn, "jenjang", "SMP")
    frame = drawn.frame[here]
    known = mean_by_strata(drawn.gain[here, 0], stratum=frame["district"], cluster=frame["npsn"])
    assert table.loc["SMP", ["mean", "se", "low"]].tolist() == pytest.approx([known.estimate, known.se, known.low])
    assert table.loc["SMP", "n"] == here.sum()


# ---------------------------------------------------------------- many at once


def adjust_by_definition(p):
    """Benjamini & Hochberg as R's p.adjust writes it: running minimum of p·n/rank from the largest down."""
    order = np.argsort(p)[::-1]
    ranked = np.minimum.accumulate(np.asarray(p)[order] * len(p) / np.arange(len(p), 0, -1)).clip(max=1)
    return ranked[np.argsort(order)]


def test_p_is_adjusted_within_each_family(rng):
    known = adjust_by_definition([0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205])
    by_r = [0.008, 0.032, 0.0672, 0.0672, 0.0672, 0.08, 0.0845714285714286, 0.205]  # p.adjust(p, "BH"), R 4.2.2
    assert known == pytest.approx(by_r)
    table = estimate_subgroups(make_drawn(rng), ALL, conditioned=NOBODY, planned={"sex"})
    for status in ("planned", "exploratory"):
        family = table[table["status"] == status].dropna(subset="p")
        assert family["p_adjusted"].tolist() == pytest.approx(adjust_by_definition(family["p"]))
    assert set(table.loc[table["grouping"] == "sex", "status"]) == {"planned"}
    assert table["p"].notna().sum() == 1 + 4 + 3 + 1 + 1  # two levels are compared once


def test_without_differences_few_are_found(rng):
    """25 made-up provinces without differences: one in twenty finds any; 6 or more in less than 1 of 500 tries."""
    found = [
        (estimate_subgroups(make_drawn(rng, 300), ["jenjang", "status", "sex"], conditioned=NOBODY)["p_adjusted"] <= 0.05).any()
        for _ in range(25)
    ]  # fmt: skip
    assert sum(found) <= 5


def test_a_planted_difference_is_found_and_the_others_are_not(rng):
    table = estimate_subgroups(make_drawn(rng, 3000, SMP=30.0), ALL, conditioned=NOBODY).set_index("level")
    assert table.loc["SMP", "p_adjusted"] <= 0.05
    assert table.loc["SMP", "difference"] == pytest.approx(30, abs=4 * table.loc["SMP", "difference_se"])
    assert (table.loc[["L", "PNS", "PPPK", "honorer", "laptop", "kabupaten"], "p_adjusted"] > 0.05).all()


# ---------------------------------------------------------------- identities


def test_order_constants_and_swapped_waves(rng):
    drawn = make_drawn(rng)
    numbers = ["mean", "se", "difference", "p_adjusted"]
    known = estimate_subgroups(drawn, ALL, conditioned=NOBODY)
    shuffled = estimate_subgroups(drawn.take(rng.permutation(drawn.n)), ALL, conditioned=NOBODY)
    assert np.allclose(known[numbers].astype(float), shuffled[numbers].astype(float), equal_nan=True)
    back = estimate_subgroups(replace(drawn, pre=drawn.post, post=drawn.pre), ALL, conditioned=NOBODY)
    assert np.allclose(back[["mean", "difference"]], -known[["mean", "difference"]], equal_nan=True)
    moved = estimate_subgroups(replace(drawn, post=drawn.post + 9), ALL, conditioned=NOBODY)
    assert np.allclose(moved["mean"], known["mean"] + 9)
    assert np.allclose(moved["difference"], known["difference"], equal_nan=True)


def test_gap_after_is_gap_before_and_its_change(rng):
    drawn = make_drawn(rng)
    wide = estimate_group_gaps(drawn, conditioned=NOBODY).set_index(["first", "second", "when"])["value"].unstack()  # noqa: PD010 - nothing to aggregate
    assert np.allclose(wide["post"], wide["pre"] + wide["change"])
    turned = [replace(gap, first=gap.second, second=gap.first) for gap in NAMED_GAPS]
    other = estimate_group_gaps(drawn, turned, conditioned=NOBODY)
    assert np.allclose(other["value"], -estimate_group_gaps(drawn, conditioned=NOBODY)["value"])


def test_gaps_by_hand():
    """Kota 10, 20 and kabupaten 0, 4 before; 11, 21 and 6, 10 after: gap 13, then 8; each person a school."""
    frame = pd.DataFrame({"district": ["18.71", "18.72", "18.01", "18.02"], "npsn": list("abcd")})
    drawn = Drawn(
        frame=frame,
        pre=np.array([[10.0], [20], [0], [4]]),
        post=np.array([[11.0], [21], [6], [12]]),
        unit="points",
        linking_error=0.0,
        link_df=np.inf,
        link_n=np.inf,
    )
    first = mask(drawn, "district", "18.71", "18.72")
    told = [
        contrast_groups(drawn, values, first=first, second=~first, cluster="school", confidence=0.95)
        for values in (drawn.pre, drawn.post)
    ]
    assert [one.estimate for one in told] == pytest.approx([13, 7])
    assert told[0].se == pytest.approx(np.sqrt(50 / 2 + 8 / 2))
    table = estimate_group_gaps(drawn, conditioned=NOBODY)
    assert table["note"].tolist() == ["few_clusters"] * 3  # two degrees of freedom carry no interval


def test_a_gap_that_halves_is_found(rng):
    drawn = make_drawn(rng, 3000)
    kota = mask(drawn, "district", "18.71", "18.72")[:, None]
    drawn = replace(drawn, pre=drawn.pre + 40 * kota, post=drawn.post + 20 * kota)
    table = estimate_group_gaps(drawn, conditioned=NOBODY).set_index(["grouping", "when"])
    change = table.loc[("kota_kabupaten", "change")]
    assert change["value"] == pytest.approx(-20, abs=4 * change["se"])
    assert change["high"] < 0
    still = table.loc[("sex", "change")]
    assert still["low"] < 0 < still["high"]


# ---------------------------------------------------------------- what is withheld


def test_only_levels_that_the_draws_know(rng):
    drawn = make_drawn(rng, m=3, unit="scale")
    known = keep_all(drawn.frame, "SMK")
    table = estimate_subgroups(drawn, ["jenjang"], conditioned=known).set_index("level")
    assert table.loc["SMK", "note"] == "not_conditioned"
    assert table.loc["SMK", ["mean", "difference", "p"]].isna().all()
    kept = mask(drawn, "jenjang", "SD", "SMP", "SMA")
    inside = estimate_subgroups(drawn.take(kept), ["jenjang"], conditioned=known).set_index("level")
    assert table.loc["SD", "difference"] == pytest.approx(inside.loc["SD", "difference"])
    gaps = estimate_group_gaps(drawn, conditioned=known).set_index(["first", "when"])
    assert gaps.loc[("SMK", "change"), "note"] == "not_conditioned"
    assert pd.isna(gaps.loc[("SMA", "change"), "note"])
    for nothing in (pd.DataFrame(), pd.DataFrame(columns=["grouping", "level", "state"])):
        unknown = estimate_subgroups(drawn, ALL, conditioned=nothing)
        assert set(unknown["note"]) == {"not_conditioned"}


def test_kota_is_known_where_its_districts_are(rng):
    drawn = make_drawn(rng, m=3, unit="scale")
    known = keep_all(drawn.frame, "18.72")
    table = estimate_subgroups(drawn, ["kota_kabupaten"], conditioned=known).set_index("level")
    assert table.loc["kota", "n"] == mask(drawn, "district", "18.71").sum()
    both = mask(drawn, "district", "18.71", "18.72")
    assert estimate_subgroups(drawn, ["kota_kabupaten"], conditioned=keep_all(drawn.frame))["n"].max() == both.sum()


@pytest.mark.parametrize("n", range(4))
def test_few_persons(rng, n):
    drawn = make_drawn(rng).take(np.arange(n))
    table = estimate_subgroups(drawn, ALL, conditioned=NOBODY)
    assert table.columns.tolist() == SUBGROUP_COLUMNS
    assert table["mean"].isna().all()
    assert estimate_group_gaps(drawn, conditioned=NOBODY).columns.tolist() == GAP_COLUMNS
    assert all(isinstance(f.value, Withheld) for f in list_subgroups(table))


def test_one_school_no_variation_and_null_columns(rng):
    drawn = make_drawn(rng)
    one_school = replace(drawn, frame=drawn.frame.assign(npsn="1", district="18.01"))
    assert set(estimate_subgroups(one_school, ["sex", "kota_kabupaten"], conditioned=NOBODY)["note"]) == {
        "few_clusters"
    }
    alike = replace(drawn, post=drawn.pre + 3)
    assert set(estimate_subgroups(alike, ALL, conditioned=NOBODY)["note"]) == {"few_clusters"}
    empty = replace(drawn, frame=drawn.frame.assign(sex=None, district=None).drop(columns="device"))
    assert estimate_subgroups(empty, ["sex", "device", "kota_kabupaten"], conditioned=NOBODY).empty
    assert set(estimate_group_gaps(empty, conditioned=NOBODY)["grouping"]) == {"jenjang", "status"}
    lone = estimate_subgroups(drawn.take(mask(drawn, "sex", "P")), ["sex"], conditioned=NOBODY)
    assert lone["mean"].notna().all()
    assert lone["difference"].isna().all()


def test_groups_may_be_several_levels(rng):
    drawn = make_drawn(rng)
    gap = GroupPair(grouping="status", first=("PNS", "PPPK"), second=("honorer",))
    table = estimate_group_gaps(drawn, [gap], conditioned=NOBODY)
    assert table.loc[0, ["first", "second"]].tolist() == ["PNS+PPPK", "honorer"]
    assert table.loc[0, "n_first"] == mask(drawn, "status", "PNS", "PPPK").sum()
    expected = (
        drawn.pre[mask(drawn, "status", "PNS", "PPPK")].mean() - drawn.pre[mask(drawn, "status", "honorer")].mean()
    )
    assert table.loc[0, "value"] == pytest.approx(expected)


# ---------------------------------------------------------------- figures and pages


@pytest.fixture
def context():
    return Context(
        language="id",
        marks=("DRAF",),
        confidence=0.95,
        min_cell=10,
        parameters={},
        assessments={},
        waves={},
        table=str,
    )


def test_figures_of_subgroups(rng):
    drawn = make_drawn(rng)
    figures = list_subgroups(estimate_subgroups(drawn, ALL, conditioned=NOBODY, planned={"jenjang"}))
    assert all(f"name.{f.name}" in sentences() for f in figures)
    assert {f.status for f in figures if f.where["grouping"] == "jenjang"} == {"planned"}
    assert {f.status for f in figures if f.where["grouping"] == "sex"} == {"exploratory"}
    assert [f.name for f in figures if f.where == {"grouping": "sex", "level": "P"}] == ["subgroup.change"]
    adjusted = [f for f in figures if f.name == "subgroup.p_adjusted"]
    assert all(f.unit == "p" and f.low is None for f in adjusted)


def test_the_page_of_subgroups(rng, context):
    drawn = make_drawn(rng, 3000, SMP=30.0)
    drawn.frame.loc[:5, "device"] = "tablet"
    figures = list_subgroups(estimate_subgroups(drawn, ALL, conditioned=NOBODY))
    everyone = Figure(
        name="change.mean", value=26.0, low=20.0, high=32.0, unit="points", n=3000, population=plain("semua")
    )
    released = release([*figures, everyone], plan_suppression({}, min_cell=10))
    picture, table = draw_subgroups(released, context)
    adjusted = [
        f.value for f in released.figures if f.name == "subgroup.p_adjusted" and not isinstance(f.value, Withheld)
    ]
    settled = sum(p <= 0.05 for p in adjusted)
    assert 0 < settled < len(adjusted)
    assert f"Dari {len(adjusted)} perbandingan antarkelompok, {settled} menunjukkan" in picture.html
    assert "setelah disesuaikan untuk banyaknya perbandingan" in picture.text
    assert "\njenjang\n" in table.text  # a heading above its groups
    assert "\nSMP | " in table.text
    assert "kurang dari 10 orang" in next(line for line in table.text.splitlines() if "tablet" in line)
    assert "Eksploratif" in table.text
    assert len(draw_subgroups(Released(), context)) == 1


def test_the_page_of_gaps(rng, context):
    drawn = make_drawn(rng)
    drawn.frame["status"] = np.where(np.arange(600) < 6, "honorer", "PNS")
    figures = list_group_gaps(estimate_group_gaps(drawn, conditioned=NOBODY))
    assert all(f"name.{f.name}" in sentences() for f in figures)
    picture, table = draw_evenness(release(figures, plan_suppression({}, min_cell=10)), context)
    shown = len({tuple(f.where.values())[:3] for f in figures}) - 1
    assert f"Dari {shown} jarak antarkelompok yang ditampilkan" in picture.html
    hidden = next(line for line in table.text.splitlines() if "honorer" in line)
    assert "kurang dari 10 orang" in hidden
    assert "| 6 |" not in hidden
