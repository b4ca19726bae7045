"""Differential item functioning: by hand, against R and statsmodels, on planted items, on tables that spoil everything."""

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.stats.multitest import multipletests

from bgtk_lib.errors import LinkageError, ParameterError
from bgtk_lib.instrument.dif.logistic import classify_r2, compare_regressions
from bgtk_lib.instrument.dif.mantel import classify_delta, classify_difference, compare_credit, compare_right
from bgtk_lib.instrument.dif.matching import Matched, band_scores, choose_matching, match
from bgtk_lib.instrument.dif.profile import profile_item
from bgtk_lib.instrument.dif.purify import purify
from bgtk_lib.instrument.dif.review import (
    GROUP_COLUMNS,
    ITEM_COLUMNS,
    MATCHING_COLUMNS,
    PROFILE_COLUMNS,
    find_large_dif,
    find_untested,
    review_dif,
)
from bgtk_lib.instrument.dif.rules import DifRules, explain

SHARED = Path(os.environ.get("BGTK_SHARED", Path(__file__).parents[2] / "shared"))
CLOSED = 1e-12  # both sides compute the same closed formula in double precision
FITTED = 1e-10  # R stops its iterations at 1e-8 of the deviance; the next step squares that
ALL = {"min_group": 1, "min_total": 1, "fewest_matching": 1}

# file, items, the groups' column, the reference group, R's table in reference_R
R = {
    "GMAT": ("difnlr_msatb_gmat/GMAT.csv", "^Item", "group", "0", "dif_GMAT_group_focal1"),
    "MSATB": ("difnlr_msatb_gmat/MSATB.csv", "^Item", "gender", "0", "dif_MSATB_gender_focal1"),
    "HCI": ("hci/HCI.csv", "^Item", "gender", "0", "dif_gender_focal1"),
    "fims sex": ("fims/fims_aus_jpn_scored.csv", "^M1PTI", "SEX", "1", "dif_aus_sex_focal2"),
    "fims country": ("fims/fims_aus_jpn_scored.csv", "^M1PTI", "country", "1", "dif_country_focal_japan"),
    "aggression": (
        "verbal_aggression/VerbalAggression_wide.csv",
        r"^resp2\.",
        "gender",
        "female",
        "dif_resp2_gender_focal_male",
    ),
    "closeread": ("closeread6/CLoSEread6.csv", "^Q6B", "gender", "0", "dif_gender_focal1"),
}


def shared_file(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return path


@cache
def read_data(name):
    """Credit and groups of a real test, and R's table of it."""
    file, items, column, _, table = R[name]
    data = pd.read_csv(shared_file(f"data/{file}"))
    if name == "fims sex":
        data = data[data["country"] == 1]
    reference = pd.read_csv(shared_file(f"data/{Path(file).parent}/reference_R/{table}.csv")).set_index("item")
    return data.filter(regex=items), data[[column]], reference


@cache
def read_r(name, **rules):
    """A real test compared as R did it, and R's table of it."""
    credit, groups, reference = read_data(name)
    return review_dif(credit, groups, references={R[name][2]: R[name][3]}, rules=DifRules(**ALL | rules)), reference


def take(review, method):
    return review.items[review.items["method"] == method].set_index("item_id")


def differ(ours, theirs):
    """The largest difference, relative where values exceed 1."""
    ours, theirs = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    return (np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1)).max()


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


def make(rng, n=400, k=14, *, planted=0, shift=0.64, impact=0.0, steps=1):
    """Credit of two groups of n; the first `planted` items are `shift` logits harder for the focal one ("P")."""
    focal = np.repeat([False, True], n)
    ability = rng.normal(size=2 * n) - impact * focal
    extra = np.outer(focal, np.arange(k) < planted) * shift
    easier = ability[:, None] - np.linspace(-1.5, 1.5, k) - extra
    points = sum((rng.logistic(size=easier.shape) < easier - step).astype(float) for step in np.linspace(0, 0.5, steps))
    credit = pd.DataFrame(points).add_prefix("b")
    return credit, pd.DataFrame({"sex": np.where(focal, "P", "L")})


def tables_of(table, item):
    """The 2 × 2 tables of one item: group × right, wrong."""
    right = table.total[:, :, item]
    return [np.column_stack([right[:, k], table.n[:, k] - right[:, k]]) for k in range(len(table.score))]


def random_table(rng, strata=12, items=6):
    n = rng.integers(1, 40, (2, strata)).astype(float)
    total = rng.binomial(n[:, :, None].astype(int), rng.uniform(0.2, 0.8, (2, strata, items))).astype(float)
    return Matched(score=np.arange(strata, dtype=float), n=n, total=total, squares=total.sum(axis=0))


# ---------------------------------------------------------------- Mantel–Haenszel and Mantel


def test_mantel_haenszel_by_hand():
    # two scores: 8 of 10 and 4 of 10 right; 9 of 10 and 6 of 10 right
    table = Matched(
        score=np.array([1.0, 2]),
        n=np.full((2, 2), 10.0),
        total=np.array([[[8.0], [9.0]], [[4.0], [6.0]]]),
        squares=np.array([[12.0], [15.0]]),
    )
    found = compare_right(table).iloc[0]
    alpha = (8 * 6 + 9 * 4) / (2 * 4 + 1 * 6)
    variance = 10 * 10 * 12 * 8 / (20**2 * 19) + 10 * 10 * 15 * 5 / (20**2 * 19)
    assert found["effect"] == pytest.approx(-2.35 * np.log(alpha))
    assert found["statistic"] == pytest.approx((8 + 9 - 6 - 7.5 - 0.5) ** 2 / variance)


def test_one_of_everything_agrees_with_statsmodels(rng):
    table = random_table(rng)
    ours = compare_right(table)
    for item in range(6):
        theirs = sm.stats.StratifiedTable(tables_of(table, item))
        test = theirs.test_null_odds(correction=True)
        assert ours["effect"][item] == pytest.approx(-2.35 * theirs.logodds_pooled, rel=CLOSED)
        assert ours["effect_se"][item] == pytest.approx(2.35 * theirs.logodds_pooled_se, rel=CLOSED)
        assert ours["statistic"][item] == pytest.approx(test.statistic, rel=CLOSED)
        assert ours["p"][item] == pytest.approx(test.pvalue, rel=1e-9)


def test_both_formulas_of_the_variance_are_one(rng):
    """Phillips & Holland (1987), eq. 5, as difR writes it; ours is Robins, Breslow & Greenland's."""
    table = random_table(rng, items=1)
    (a, c), n = table.total[:, :, 0], table.n
    b, d, size = n[0] - a, n[1] - c, n.sum(axis=0)
    alpha = (a * d / size).sum() / (b * c / size).sum()
    above = ((a * d + alpha * b * c) * (a + d + alpha * (b + c)) / size**2).sum()
    by_hand = 2.35 * np.sqrt(above / (2 * (a * d / size).sum() ** 2))
    assert compare_right(table)["effect_se"][0] == pytest.approx(by_hand, rel=CLOSED)


def test_the_admissions_of_berkeley_agree_with_r():
    """Bickel, Hammel & O'Connell (1975), Science 187, 398-404: who was admitted, men and women, in six departments."""
    reference = json.loads(shared_file("reference/debian_r/mh_ucb.json").read_text())
    admitted = np.array([[512, 353, 120, 138, 53, 22], [89, 17, 202, 131, 94, 24]], dtype=float)
    rejected = np.array([[313, 207, 205, 279, 138, 351], [19, 8, 391, 244, 299, 317]], dtype=float)
    table = Matched(
        score=np.arange(6.0), n=admitted + rejected, total=admitted[:, :, None], squares=admitted.sum(0)[:, None]
    )
    found = compare_right(table).iloc[0]
    low, high = np.exp((found["effect"] + np.array([1, -1]) * 1.959963984540054 * found["effect_se"]) / -2.35)
    assert np.exp(found["effect"] / -2.35) == pytest.approx(reference["OR"], rel=CLOSED)
    assert (found["statistic"], found["p"]) == (pytest.approx(reference["chi2"]), pytest.approx(reference["p"]))
    assert [low, high] == pytest.approx(reference["ci"], rel=1e-9)


def test_the_correction_never_exceeds_the_difference():
    even = Matched(
        score=np.array([1.0]),
        n=np.array([[20.0], [20.0]]),
        total=np.array([[[10.0]], [[10.0]]]),
        squares=np.array([[20.0]]),
    )
    assert compare_right(even)[["statistic", "p", "effect"]].iloc[0].tolist() == [0, 1, 0]


def test_mantels_test_of_one_score_is_a_correlation(rng):
    """With one stratum Mantel's chi-square is (N − 1)·r² of credit and group."""
    credit, focal = rng.integers(0, 4, (60, 3)).astype(float), rng.random(60) < 0.4
    found = compare_credit(match(np.zeros(60), credit, focal))
    by_hand = [59 * np.corrcoef(credit[:, item], focal)[0, 1] ** 2 for item in range(3)]
    assert found["statistic"].to_numpy() == pytest.approx(by_hand, rel=CLOSED)


def test_mantels_test_of_right_and_wrong_is_mantel_haenszels_without_correction(rng):
    table = random_table(rng)
    theirs = [sm.stats.StratifiedTable(tables_of(table, item)).test_null_odds().statistic for item in range(6)]
    assert compare_credit(table)["statistic"].to_numpy() == pytest.approx(theirs, rel=CLOSED)


def test_standardised_difference_by_hand():
    # at score 1 the focal group has 0, 1 and the reference group 2, 1; at score 2 the focal person 2, the others 2, 1
    score = np.array([1.0, 1, 1, 1, 2, 2, 2])
    credit = np.array([0.0, 1, 2, 1, 2, 2, 1])
    focal = np.array([True, True, False, False, True, False, False])
    found = compare_credit(match(score, credit[:, None], focal)).iloc[0]
    difference = 2 / 3 * (0.5 - 1.5) + 1 / 3 * (2 - 1.5)
    variance = (2 / 3) ** 2 * (2 / 3) * 4 / (2 * 2) + (1 / 3) ** 2 * (1 / 3) * 3 / (1 * 2)
    assert found["effect"] == pytest.approx(difference / credit.std(ddof=1))
    assert found["effect_se"] == pytest.approx(np.sqrt(variance) / credit.std(ddof=1))


def test_error_of_the_difference_is_that_of_shuffled_groups(rng):
    score = np.repeat([1.0, 2, 3], [20, 30, 25])
    credit, focal = rng.integers(0, 4, (75, 1)).astype(float), rng.random(75) < 0.4
    expected = compare_credit(match(score, credit, focal))["effect_se"][0]
    order = [np.lexsort([rng.random(75), score]) for _ in range(3000)]  # persons change places within their score
    effects = compare_credit(match(score, np.column_stack([credit[places, 0] for places in order]), focal))["effect"]
    assert np.std(effects) == pytest.approx(expected, rel=0.05)  # 3,000 shuffles: 1.3 % standard error


# ---------------------------------------------------------------- classes


@pytest.mark.parametrize(
    ("effect", "error", "p", "expected"),
    [
        (-0.99, 0.1, 0.001, "A"),
        (2.0, 1.0, 0.06, "A"),
        (-1.0, 0.1, 0.001, "B"),
        (-1.6, 0.30, 0.001, "C"),  # 0.6/0.30 = 2 beyond 1.645
        (-1.6, 0.40, 0.001, "B"),  # 0.6/0.40 = 1.5: large, but not surely beyond 1
        (1.6, 0.36, 0.001, "C"),
        (1.6, 0.37, 0.001, "B"),
        (1.499, 0.01, 0.001, "B"),
        (None, None, 0.001, None),
    ],
)
def test_ets_classes(effect, error, p, expected):
    found = pd.DataFrame({"effect": [effect], "effect_se": [error], "p": [p]}, dtype=float)
    assert classify_delta(found, alpha=0.05).fillna("null")[0] == (expected or "null")


@pytest.mark.parametrize(
    ("classify", "effect", "p", "expected"),
    [
        (classify_difference, -0.17, 0.01, "A"),
        (classify_difference, -0.18, 0.01, "B"),
        (classify_difference, 0.25, 0.01, "B"),
        (classify_difference, -0.26, 0.01, "C"),
        (classify_difference, -0.26, 0.05, "A"),
        (classify_r2, 0.0349, 0.01, "A"),
        (classify_r2, 0.035, 0.01, "B"),
        (classify_r2, 0.07, 0.01, "C"),
        (classify_r2, 0.07, 0.05, "A"),
    ],
)
def test_other_classes(classify, effect, p, expected):
    assert classify(pd.DataFrame({"effect": [effect], "p": [p]}), alpha=0.05)[0] == expected


def test_real_classes_agree_with_r():
    """Base R on the verbal aggression items, classes with both tests of the ETS rule."""
    data = pd.read_csv(shared_file("reference/debian_r/data/VerbAgg_wide.csv"))
    r = pd.DataFrame(json.loads(shared_file("reference/debian_r/dif_verbagg.json").read_text())["items"]).set_index(
        "item"
    )
    review = review_dif(
        data.drop(columns="Gender"), data[["Gender"]], references={"Gender": "F"}, rules=DifRules(**ALL, purify="none")
    )
    ours = take(review, "mantel_haenszel").loc[r.index]
    assert list(ours["dif_class"]) == list(r["ets"])
    assert differ(ours[["statistic", "effect"]], r[["chi2_cc", "delta"]]) < CLOSED
    assert differ(ours["effect_low"] / -2.35, np.log(r["ci_hi"])) < CLOSED
    assert differ(take(review, "logistic").loc[r.index, "effect"], r["nagelkerke_diff"]) < FITTED
    large = r["delta"].abs() >= 1.5
    assert (large & (r["p_cc"] < 0.05)).sum() > (r["ets"] == "C").sum()  # the significance part of the C rule matters


# ---------------------------------------------------------------- R's difR on real tests


@pytest.mark.parametrize("name", R)
def test_mantel_haenszel_agrees_with_difr(name):
    review, r = read_r(name, purify="none")
    ours = take(review, "mantel_haenszel").loc[r.index]
    assert differ(ours[["effect", "effect_se"]], r[["deltaMH", "se_log_alpha"]] * [1, 2.35]) < CLOSED
    # difR lets the correction exceed the difference: where ours is 0, its chi-square rises again, to no consequence
    sure = ours["statistic"] > 0
    assert differ(ours.loc[sure, ["statistic", "p"]], r.loc[sure, ["MH_chi2_cc", "MH_p_cc"]]) < CLOSED
    assert (r.loc[~sure, "MH_p_cc"] > 0.8).all()
    assert sure.sum() >= len(r) - 2


@pytest.mark.parametrize("name", R)
def test_logistic_regression_agrees_with_difr(name):
    review, r = read_r(name, purify="none")
    for method, column in (("", "both"), ("_uniform", "udif"), ("_nonuniform", "nudif")):
        ours = take(review, f"logistic{method}").loc[r.index]
        assert differ(ours["statistic"], r[f"LR_{column}"]) < FITTED
        assert np.abs(ours["p"] - r[f"LRp_{column}"]).max() < FITTED


@pytest.mark.parametrize("name", R)
def test_r_squared_agrees_with_difr_where_its_machine_does_not_underflow(name):
    """difR 5.1 divides by 1 − L0^(2/N), L0 by exp: 0 from some 1,000 persons on, and what it prints is Cox & Snell's R²."""
    review, r = read_r(name, purify="none")
    ours = take(review, "logistic").loc[r.index]
    p = read_data(name)[0].mean()
    n = ours["n_focal"].astype(float) + ours["n_reference"].astype(float)
    deviance = -2 * n * (p * np.log(p) + (1 - p) * np.log(1 - p))
    true, printed = 1 - np.exp(-deviance / n), 1 - np.exp(-deviance / 2) ** (2 / n)
    # where exp(−gain/2) is 0 too it prints 0, or .72 for one item; between 1,400 and 1,500 exp loses digits one by one
    known = r["deltaR2_Nagelkerke"].between(1e-15, 0.2) & ~deviance.between(1400, 1500)
    assert known.sum() >= 5
    assert np.abs((ours["effect"] * true / printed - r["deltaR2_Nagelkerke"])[known]).max() < FITTED
    if name in ("HCI", "aggression"):
        assert differ(ours["effect"], r["deltaR2_Nagelkerke"]) < FITTED


@pytest.mark.parametrize("name", R)
def test_difference_of_proportions_agrees_with_difr(name):
    """The standardised P-DIF of right and wrong, before it is divided by the item's standard deviation."""
    credit, groups, r = read_data(name)
    focal = (groups.iloc[:, 0].astype(str) != R[name][3]).to_numpy()
    found = compare_credit(match(credit.sum(axis=1).to_numpy(dtype=float), credit.to_numpy(dtype=float), focal))
    assert differ(found["effect"] * credit.std().to_numpy(), r["ST_P_DIF"]) < CLOSED
    assert differ(found["statistic"], r["MH_chi2_nocc"]) < CLOSED


@pytest.mark.parametrize("name", [name for name in R if name != "fims country"])
def test_purification_agrees_with_difr(name):
    review, r = read_r(name, purify="significant")
    ours = take(review, "mantel_haenszel").loc[r.index]
    matching = review.matching.set_index("family").loc["mantel"]
    assert list(ours["p"] < 0.05) == list(r["DIF_purified"])
    assert (matching["purified"], matching["n_removed"]) == ("settled", r["DIF_purified"].sum())
    sure = ours["statistic"] > 0
    assert differ(ours.loc[sure, "statistic"], r.loc[sure, "MH_chi2_purified"]) < CLOSED


def test_purification_that_would_leave_nothing_stops():
    """All 14 items differ between the countries by p: difR matches on nothing and prints an infinite chi-square."""
    review, r = read_r("fims country", purify="significant")
    assert np.isinf(r["MH_chi2_purified"]).all()
    assert set(review.items["purified"]) == {"exhausted"}
    before, _ = read_r("fims country", purify="none")
    assert np.allclose(review.items["statistic"], before.items["statistic"])


def test_planted_items_of_gmat_are_found():
    review, _ = read_r("GMAT")
    assert list(take(review, "mantel_haenszel")["dif_class"][:2]) == ["C", "A"]
    assert take(review, "logistic_uniform")["p_adjusted"].idxmin() == "Item1"
    crossed = take(review, "logistic_nonuniform")["p_adjusted"]
    assert list(crossed.index[crossed < 0.05]) == ["Item2"]
    joint = take(review, "logistic")["p_adjusted"]
    assert list(joint.index[joint < 0.05]) == ["Item1", "Item2"]
    assert set(find_large_dif(review)["item_id"]) == {"Item1"}


def test_known_items_of_msatb_are_found():
    review, _ = read_r("MSATB", purify="none")
    found = take(review, "mantel_haenszel")
    assert list(found.index[found["p"] < 0.05]) == ["Item49", "Item68"]
    assert list(found.loc[["Item49", "Item68"], "dif_class"]) == ["B", "A"]
    assert list(found.loc[["Item49", "Item68"], "favours"]) == ["1", "0"]


def test_hci_item_19_has_class_b_only_without_the_test():
    """difR's B looks at the size alone (−1.14); p = .051, so by the ETS rule it is A; B once the score is purified."""
    review, r = read_r("HCI", purify="none")
    item = take(review, "mantel_haenszel").loc["Item 19"]
    assert r.loc["Item 19", "ETS"] == "B"
    assert (round(item["effect"], 2), item["dif_class"], item["p"] > 0.05) == (-1.14, "A", True)
    purified, _ = read_r("HCI", purify="significant")
    assert take(purified, "mantel_haenszel").loc["Item 19", "dif_class"] == "B"


# ---------------------------------------------------------------- logistic regression


def test_logistic_regression_agrees_with_statsmodels(rng):
    credit, groups = make(rng, planted=2)
    focal, score = (groups["sex"] == "P").astype(float), credit.sum(axis=1)
    found = compare_regressions(match(score.to_numpy(), credit.to_numpy()[:, :4], focal.to_numpy() == 1))
    for item in range(4):
        designs = [np.ones(len(score)), score, focal, focal * score]
        fits = [
            sm.GLM(credit.iloc[:, item], np.column_stack(designs[:k]), family=sm.families.Binomial()).fit(tol=1e-12)
            for k in (1, 2, 3, 4)
        ]
        deviance = [fit.deviance for fit in fits]
        r2 = [(1 - np.exp((d - deviance[0]) / 800)) / (1 - np.exp(-deviance[0] / 800)) for d in deviance]
        ours = {name: rows.iloc[item] for name, rows in found.items()}
        assert ours["logistic"]["statistic"] == pytest.approx(deviance[1] - deviance[3], abs=FITTED)
        assert ours["logistic_uniform"]["statistic"] == pytest.approx(deviance[1] - deviance[2], abs=FITTED)
        assert ours["logistic_nonuniform"]["statistic"] == pytest.approx(deviance[2] - deviance[3], abs=FITTED)
        assert ours["logistic"]["effect"] == pytest.approx(r2[3] - r2[1], abs=FITTED)
        assert ours["logistic_nonuniform"]["effect"] == pytest.approx(r2[3] - r2[2], abs=FITTED)
        assert ours["logistic_uniform"]["effect"] == pytest.approx(2.35 * fits[2].params.iloc[2], abs=1e-8)
        assert ours["logistic_uniform"]["effect_se"] == pytest.approx(2.35 * fits[2].bse.iloc[2], abs=1e-8)


def test_crossing_items_have_no_direction(rng):
    n = 1500
    focal, ability = np.repeat([False, True], n), rng.normal(size=2 * n)
    credit = (rng.logistic(size=(2 * n, 12)) < ability[:, None] - np.linspace(-1, 1, 12)).astype(float)
    credit[:, 0] = rng.logistic(size=2 * n) < ability * np.where(focal, 0.3, 1.8)
    review = review_dif(pd.DataFrame(credit), pd.DataFrame({"sex": focal}), rules=DifRules(fewest_matching=5))
    first = review.items[review.items["item_id"] == 0].set_index("method")
    assert first.loc["logistic_nonuniform", "p"] < 1e-6
    assert first.loc[["logistic", "logistic_nonuniform"], "favours"].isna().all()
    assert first.loc["mantel_haenszel", "dif_class"] == "A"  # what Mantel–Haenszel cannot see


def test_a_group_that_has_all_right_leaves_a_finite_test(rng):
    credit, groups = make(rng)
    focal = (groups["sex"] == "P").to_numpy()
    credit.loc[focal, "b3"] = 1.0
    review = review_dif(credit, groups, references={"sex": "L"}, rules=DifRules(purify="none"))
    rows = review.items[review.items["item_id"] == "b3"].set_index("method")
    assert rows["p"].max() < 0.01 or rows.loc["logistic_uniform", "p"] < 1e-6
    assert list(rows.loc[["mantel_haenszel", "logistic_uniform"], "note"]) == ["unbounded", "unbounded"]
    assert rows.loc[["mantel_haenszel", "logistic_uniform"], ["effect", "effect_se", "dif_class"]].isna().all(axis=None)
    assert rows.loc["mantel_haenszel", "favours"] == "P"
    large = find_large_dif(review)
    assert "mantel_haenszel" in set(large.loc[large["item_id"] == "b3", "method"])
    assert "b3" in set(review.profiles["item_id"])


def test_a_score_that_does_not_vary_allows_no_regression():
    table = match(np.ones(20), np.tile([[0.0], [1.0]], (10, 1)), np.arange(20) < 10)
    assert [rows["note"][0] for rows in compare_regressions(table).values()] == ["no_spread"] * 3


# ---------------------------------------------------------------- matching


def test_matching_counts_by_hand():
    table = match(np.array([2.0, 1, 2, 2]), np.array([[1.0], [0], [2], [1]]), np.array([False, False, True, True]))
    assert table.score.tolist() == [1, 2]
    assert table.n.tolist() == [[1, 1], [0, 2]]
    assert table.total[:, :, 0].tolist() == [[0, 1], [0, 3]]
    assert table.squares[:, 0].tolist() == [0, 6]
    assert table.overlap().score.tolist() == [2]


def test_scores_that_differ_in_the_last_bits_are_one():
    assert match(np.array([0.1 + 0.2, 0.3]), np.zeros((2, 1)), np.array([True, False])).score.tolist() == [0.3]


def test_few_who_lack_an_item_are_set_aside_and_an_item_many_lack_does_not_match():
    presented = np.ones((100, 3), dtype=bool)
    presented[:3, 0] = False
    presented[:40, 1] = False
    anchors, complete = choose_matching(presented, share=0.95)
    assert anchors.tolist() == [True, False, True]
    assert complete.sum() == 97
    assert choose_matching(presented, share=1.0)[0].tolist() == [False, False, True]


def test_who_lacks_an_item_of_the_matching_score_is_set_aside_and_counted(rng):
    credit, groups = make(rng)
    credit.loc[credit.index[:10], "b5"] = None
    review = review_dif(credit, groups)
    assert review.groups[["n", "n_compared"]].to_numpy().tolist() == [[400, 390], [400, 400]]
    whole = credit.notna().all(axis=1)
    alone = review_dif(credit[whole], groups[whole], references={"sex": review.items["reference"][0]})
    assert review.items["statistic"].to_numpy() == pytest.approx(alone.items["statistic"].to_numpy())


def test_bands_hold_enough_of_both_groups_and_lose_nobody():
    n = np.array([[5.0, 6, 10, 3, 20, 2], [9, 1, 30, 8, 11, 1]])
    table = Matched(score=np.arange(6.0), n=n, total=np.zeros((2, 6, 1)), squares=np.zeros((6, 1)))
    bands = band_scores(table, fewest=10)
    assert bands == [slice(0, 2), slice(2, 3), slice(3, 6)]
    assert band_scores(table, fewest=100) == []


def test_an_item_half_took_is_tested_among_them_on_the_common_score(rng):
    credit, groups = make(rng, n=800, planted=1, shift=1.0)
    took = rng.random(1600) < 0.5
    part = credit.assign(b0=credit["b0"].where(took))
    ours = take(review_dif(part, groups, references={"sex": "L"}), "mantel_haenszel").loc["b0"]
    alone = review_dif(credit[took], groups[took], references={"sex": "L"}, rules=DifRules(purify="none"))
    theirs = take(alone, "mantel_haenszel").loc["b0"]
    assert ours["n_focal"] == (groups["sex"][took] == "P").sum()
    assert ours[["statistic", "effect"]].tolist() == pytest.approx(theirs[["statistic", "effect"]].tolist())
    assert ours["dif_class"] in ("B", "C")


def test_forms_without_common_items_stop_with_the_reason(rng):
    credit, groups = make(rng, n=800)
    took = rng.random(1600) < 0.5
    credit.loc[took, credit.columns[:7]] = None
    credit.loc[~took, credit.columns[7:]] = None
    review = review_dif(credit, groups)
    assert set(review.items["note"]) == {"few_matching"}
    assert review.items["n_focal"].notna().all()
    assert len(review.matching) == 0


# ---------------------------------------------------------------- purification


def test_purification_stops_in_each_of_its_ways():
    anchors, nothing = np.ones(4, dtype=bool), pd.DataFrame()

    def flag(*rounds):
        answers = iter(rounds)
        return lambda kept: (nothing.assign(kept=[kept.sum()]), np.isin(np.arange(4), next(answers)))

    def end(compare, *, fewest=1, most_rounds=5):
        result = purify(compare, anchors, fewest=fewest, most_rounds=most_rounds)
        assert result.found["kept"][0] == result.anchors.sum()  # what was found rests on the anchors it names
        return result.state, result.rounds, int(result.anchors.sum())

    assert end(flag([])) == ("settled", 0, 4)
    assert end(flag([0], [0, 1], [0, 1])) == ("settled", 2, 2)
    assert end(flag([0], []), most_rounds=1) == ("unsettled", 1, 3)
    assert end(flag([0], [], [0], [], [0], [])) == ("unsettled", 5, 3)
    assert end(flag([0], [0, 1, 2]), fewest=2) == ("exhausted", 1, 3)
    assert end(flag([0]), most_rounds=0) == ("off", 0, 4)


def test_purification_takes_the_bias_from_the_other_items(rng):
    credit, groups = make(rng, n=2000, k=20, planted=5, shift=1.0)
    before = take(review_dif(credit, groups, references={"sex": "L"}, rules=DifRules(purify="none")), "mantel_haenszel")
    review = review_dif(credit, groups, references={"sex": "L"})
    after = take(review, "mantel_haenszel")
    assert before["effect"][5:].mean() > 0.45  # a quarter of the items pulls the score down by .25 logits
    assert after["effect"][5:].mean() == pytest.approx(0, abs=0.1)
    assert after["effect"][:5].mean() == pytest.approx(-2.35, abs=0.15)
    assert list(review.matching["n_removed"]) == [5, 5]
    assert set(review.items["purified"]) == {"settled"}


# ---------------------------------------------------------------- the review


def test_columns_and_rows_are_fixed(rng):
    credit, groups = make(rng)
    credit["b1"] += credit["b2"]  # one item of three steps
    review = review_dif(credit, groups.assign(phase=rng.choice(["I", "II", "III"], len(groups))))
    assert list(review.items.columns) == ITEM_COLUMNS
    assert list(review.matching.columns) == MATCHING_COLUMNS
    assert list(review.groups.columns) == GROUP_COLUMNS
    assert list(review.profiles.columns) == PROFILE_COLUMNS
    assert len(review.items) == (13 * 4 + 1) * (1 + 3)
    assert not review.items.duplicated(["item_id", "grouping", "focal", "method"]).any()
    assert list(review.items["method"].iloc[:5]) == [
        "mantel_haenszel",
        "logistic",
        "logistic_uniform",
        "logistic_nonuniform",
        "mantel",
    ]
    assert len(review.matching) == 2 * 4


def test_swapping_the_groups_turns_the_effects_round(rng):
    credit, groups = make(rng, n=600, planted=3, shift=1.0)
    one, other = (review_dif(credit, groups, references={"sex": name}).items for name in "LP")
    signed = one["method"].isin(["mantel_haenszel", "logistic_uniform"])
    assert np.allclose(one.loc[signed, "effect"], -other.loc[signed, "effect"], atol=1e-8)
    assert np.allclose(one["statistic"], other["statistic"], atol=1e-8)
    assert list(one["dif_class"]) == list(other["dif_class"])
    assert list(one["favours"].fillna("")) == list(other["favours"].fillna(""))


def test_order_of_persons_and_items_does_not_matter(rng):
    credit, groups = make(rng, planted=2)
    shuffled = credit.sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=1)
    before, after = (review_dif(c, groups.loc[c.index]).items for c in (credit, shuffled))
    key, columns = ["item_id", "method"], ["statistic", "p", "p_adjusted"]
    ours = after.set_index(key).loc[pd.MultiIndex.from_frame(before[key]), columns]
    assert ours.to_numpy() == pytest.approx(before[columns].to_numpy(), abs=1e-9)


def test_inputs_are_left_as_they_were(rng):
    credit, groups = make(rng)
    kept = credit.copy(), groups.copy()
    review_dif(credit, groups)
    pd.testing.assert_frame_equal(credit, kept[0])
    pd.testing.assert_frame_equal(groups, kept[1])


def test_uniform_and_non_uniform_add_up(rng):
    review = review_dif(*make(rng, planted=1), rules=DifRules(purify="none"))
    joint, uniform, crossed = (take(review, f"logistic{part}")["statistic"] for part in ("", "_uniform", "_nonuniform"))
    assert (uniform + crossed).to_numpy() == pytest.approx(joint.to_numpy(), abs=FITTED)


def test_adjusted_p_is_that_of_one_grouping_and_method(rng):
    credit, groups = make(rng, planted=2)
    review = review_dif(credit, groups.assign(phase=rng.choice(["I", "II", "III"], len(groups))))
    for (_, _), rows in review.items.groupby(["grouping", "method"]):
        assert rows["p_adjusted"].to_numpy() == pytest.approx(multipletests(rows["p"], method="fdr_bh")[1])
    assert (review.items["p_adjusted"] >= review.items["p"]).all()
    assert review.items.loc[review.items["p"] >= 0.05, "favours"].isna().all()


def test_intervals_are_normal(rng):
    items = review_dif(*make(rng), rules=DifRules(confidence=0.9)).items
    known = items["effect_se"].notna()
    assert set(items.loc[known, "method"]) == {"mantel_haenszel", "logistic_uniform"}
    half = 1.6448536269514722 * items.loc[known, "effect_se"]
    assert np.allclose(items.loc[known, "effect_high"], items.loc[known, "effect"] + half)
    assert np.allclose(items.loc[known, "effect_low"], items.loc[known, "effect"] - half)


def test_items_of_several_steps_have_mantels_test(rng):
    credit, groups = make(rng, n=1000, planted=2, shift=0.8, steps=3)
    review = review_dif(credit, groups, references={"sex": "L"})
    found = review.items.set_index("item_id")
    assert set(found["method"]) == {"mantel"}
    assert set(found["dif_class"][:2]) <= {"B", "C"}
    assert list(found["favours"][:2]) == ["L", "L"]
    assert (found["dif_class"][2:] == "A").all()


# ---------------------------------------------------------------- groups


def test_of_two_groups_the_larger_is_the_reference(rng):
    credit, groups = make(rng, n=400)
    groups.loc[groups.index[:80], "sex"] = "P"
    assert set(review_dif(credit, groups).items["focal"]) == {"L"}
    equal = review_dif(*make(rng, n=400)).items
    assert (set(equal["focal"]), set(equal["reference"])) == ({"P"}, {"L"})


def test_of_more_groups_each_is_compared_with_the_rest_or_with_the_one_named(rng):
    credit, groups = make(rng, n=600)
    groups["status"] = np.resize(["PNS", "PPPK", "honorer"], len(groups))
    rest = review_dif(credit, groups[["status"]]).items
    assert list(rest[["focal", "reference"]].drop_duplicates().itertuples(index=False, name=None)) == [
        ("PNS", "rest"),
        ("PPPK", "rest"),
        ("honorer", "rest"),
    ]
    assert (rest["n_focal"] + rest["n_reference"] == len(groups)).all()
    named = review_dif(credit, groups[["status"]], references={"status": "PNS"}).items
    assert list(named["focal"].unique()) == ["PPPK", "honorer"]
    assert set(named["reference"]) == {"PNS"}
    assert set(named["n_reference"]) == {400}


def test_contrast_with_the_rest_is_that_of_two_groups(rng):
    credit, groups = make(rng, n=600, planted=1)
    groups["status"] = np.resize(["PNS", "PPPK", "honorer"], len(groups))
    ours = review_dif(credit, groups[["status"]]).items.query("focal == 'PPPK'")
    two = groups[["status"]].replace({"status": {"PNS": "others", "honorer": "others"}})
    theirs = review_dif(credit, two, references={"status": "others"}).items
    assert ours["statistic"].to_numpy() == pytest.approx(theirs["statistic"].to_numpy())


def test_who_has_no_group_is_counted(rng):
    credit, groups = make(rng)
    groups.loc[groups.index[:30], "sex"] = None
    groups["school"] = "all one"
    review = review_dif(credit, groups)
    counts = review.groups.set_index(["grouping", review.groups["group"].fillna("?")])[["n", "n_compared", "note"]]
    assert counts.loc[("sex", "?")].tolist() == [30, 0, "missing"]
    assert counts.loc[("sex", "L"), ["n", "n_compared"]].tolist() == [370, 370]
    assert counts.loc[("school", "all one"), ["n", "note"]].tolist() == [800, "alone"]
    assert set(review.items["grouping"]) == {"sex"}
    assert set(review.items["n_reference"]) == {400}


def test_groups_written_as_numbers_are_named_alike(rng):
    credit, groups = make(rng)
    numbers = pd.DataFrame({"coached": (groups["sex"] == "P").astype(float)})
    numbers.loc[0, "coached"] = None
    assert set(review_dif(credit, numbers).items["reference"]) == {"1"}


@pytest.mark.parametrize(
    ("sizes", "note", "told"),
    [
        ((9, 800), "below_cell", False),
        ((199, 800), "below_group", False),
        ((200, 299), "below_total", False),
        ((200, 300), None, True),
    ],
)
def test_few_persons_are_not_tested_and_not_told(rng, sizes, note, told):
    credit = make(rng, n=600)[0][: sum(sizes)]
    groups = pd.DataFrame({"sex": np.repeat(["P", "L"], sizes)})
    review = review_dif(credit, groups)
    assert review.items["note"].fillna("tested").unique().tolist() == [note or "tested"]
    assert review.items[["n_focal", "n_reference"]].notna().all(axis=None) == told
    assert review.items["p"].notna().all() == told
    assert len(find_untested(review)) == (0 if told else len(review.items))


def test_an_item_few_took_is_not_tested_while_the_others_are(rng):
    credit, groups = make(rng)
    credit.loc[credit.index[200:], "b4"] = None
    items = review_dif(credit, groups).items
    assert set(items.loc[items["note"].notna(), "item_id"]) == {"b4"}
    assert (
        items.loc[items["item_id"] == "b4", ["statistic", "effect", "dif_class", "favours", "purified", "n_focal"]]
        .isna()
        .all(axis=None)
    )
    assert list(items["item_id"].unique()) == list(credit.columns)


# ---------------------------------------------------------------- profiles


def test_profile_by_hand():
    points = np.array([[1.0, 0], [0, 1], [1, 1], [1, 1], [1, 0], [1, 1]])
    focal = np.array([False, True, False, True, True, False])
    profile = profile_item(points, focal, np.array([True, True]), 0, fewest=1)
    assert profile[["side", "score_low", "n", "mean_credit"]].to_numpy().tolist() == [
        ["reference", 1, 1, 1],
        ["focal", 1, 2, 0.5],
        ["reference", 2, 2, 1],
        ["focal", 2, 1, 1],
    ]


def test_profiles_show_flagged_items_with_enough_persons(rng):
    credit, groups = make(rng, n=600, planted=2, shift=1.2)
    review = review_dif(credit, groups, references={"sex": "L"})
    flagged = review.items.loc[review.items["dif_class"].isin(["B", "C"]), "item_id"].unique()
    assert list(review.profiles["item_id"].unique()) == list(flagged)
    assert {"b0", "b1"} <= set(flagged)
    assert review.profiles["n"].min() >= 10
    anchors = review.matching.set_index("family")["n_items"]["mantel"]
    assert review.profiles["score_high"].max() == anchors + 1 < 14  # the purified score and the item itself
    first = review.profiles[review.profiles["item_id"] == "b0"]
    assert first.groupby("side")["n"].sum().to_dict() == {"focal": 600, "reference": 600}
    wide = first.pivot_table(index="score_mean", columns="side", values="mean_credit")
    assert (wide["focal"] < wide["reference"])[1:-1].mean() > 0.7  # the easiest item: near the top both have it right


# ---------------------------------------------------------------- what cannot be served


@pytest.mark.parametrize(
    "credit",
    [
        pd.DataFrame(),
        pd.DataFrame(columns=["b1", "b2"]),
        pd.DataFrame({"b1": [1.0]}),
        pd.DataFrame({"b1": [1, 0], "b2": [0, 1]}),
        pd.DataFrame({"b1": [None] * 5, "b2": [None] * 5}),
        pd.DataFrame({"b1": [1] * 6, "b2": [0] * 6}),
        pd.DataFrame({"b1": [1, 0] * 4, "b2": [0, 1] * 4}),
        pd.DataFrame({"b1": [1] * 4 + [None] * 4, "b2": [None] * 4 + [1] * 4}, dtype="Int64"),
        pd.DataFrame({"b1": [0.5, 0.25, 1, 0, 0.5, 0.5], "b2": [2, -1, 0, 1, 1, 1]}),
    ],
    ids=[
        "nothing",
        "no rows",
        "one person",
        "two persons",
        "all null",
        "constant",
        "cancelling",
        "never together",
        "odd",
    ],
)
@pytest.mark.parametrize("rules", [DifRules(), DifRules(min_group=0, min_total=0, min_cell=0, fewest_matching=0)])
def test_odd_tables_give_rows_with_notes(credit, rules):
    groups = pd.DataFrame({"sex": np.resize(["L", "P"], len(credit))}, index=credit.index, dtype="str")
    review = review_dif(credit, groups, rules=rules)
    items = review.items
    assert list(items.columns) == ITEM_COLUMNS
    assert items["item_id"].nunique() == (credit.shape[1] if groups["sex"].nunique() == 2 else 0)
    assert (items["p"].isna() <= items["note"].notna()).all()
    assert (items["effect"].isna() == items["note"].notna()).all()
    for code in items["note"].dropna().unique():
        assert explain("note", code, rules=rules).id


def test_no_groupings_no_rows(rng):
    credit, groups = make(rng, n=5)
    review = review_dif(credit, groups[[]])
    assert (len(review.items), list(review.items.columns)) == (0, ITEM_COLUMNS)
    assert len(find_large_dif(review)) == len(find_untested(review)) == 0


def test_items_all_right_are_told_apart(rng):
    credit, groups = make(rng)
    credit["b1"], credit["b2"] = 1.0, 0.0
    items = review_dif(credit, groups).items
    assert set(items.loc[items["item_id"].isin(["b1", "b2"]), "note"]) == {"constant"}
    assert items.loc[~items["item_id"].isin(["b1", "b2"]), "p"].notna().all()


def test_groups_that_never_meet_at_a_score_say_so():
    credit = pd.DataFrame(np.tril(np.ones((20, 20)))[np.repeat(np.arange(20), 30)]).add_prefix("b")
    groups = pd.DataFrame({"sex": np.where(credit.sum(axis=1) > 10, "L", "P")})
    items = review_dif(credit, groups, rules=DifRules(purify="none")).items
    found = items[(items["method"] == "mantel_haenszel") & (items["note"] != "constant")]
    assert set(found["note"]) == {"no_overlap"}
    assert found["p"].isna().all()


def test_other_rows_are_refused(rng):
    credit, groups = make(rng)
    with pytest.raises(LinkageError, match="800"):
        review_dif(credit, groups[::-1])


@pytest.mark.parametrize("references", [{"sex": "X"}, {"age": "L"}])
def test_an_unknown_reference_is_refused(rng, references):
    credit, groups = make(rng)
    with pytest.raises(ParameterError, match="“" + next(iter(references.values()))):
        review_dif(credit, groups, references=references)


def test_an_unknown_purification_is_refused():
    with pytest.raises(ParameterError, match="“always”"):
        DifRules(purify="always")


def test_every_code_has_words(rng):
    for column, codes in {
        "note": ["below_cell", "below_group", "below_total", "few_matching", "constant", "no_overlap", "no_spread",
                 "unbounded", "not_converged", "missing", "alone"],
        "purified": ["off", "settled", "unsettled", "exhausted"],
        "dif_class": ["A", "B", "C"],
        "method": ["mantel_haenszel", "mantel", "logistic", "logistic_uniform", "logistic_nonuniform"],
        "reference": ["rest"],
    }.items():  # fmt: skip
        assert all(explain(column, code).id for code in codes)
    assert "150" in explain("note", "below_group", rules=DifRules(min_group=150)).id


# ---------------------------------------------------------------- studies


@pytest.mark.slow
@pytest.mark.parametrize("impact", [0.0, 0.5])
def test_without_dif_each_test_errs_as_often_as_it_says(rng, impact):
    """100 tests of 20 items, 250 persons in each group, also where the groups differ in ability."""
    wrong = []
    for _ in range(100):
        items = review_dif(*make(rng, n=250, k=20, impact=impact)).items
        wrong.append((items["p"] < 0.05).groupby(items["method"]).mean())
    rates = pd.DataFrame(wrong).mean()
    assert rates["mantel_haenszel"] == pytest.approx(0.042, abs=0.012)  # the correction makes it a little cautious
    assert (rates[rates.index != "mantel_haenszel"] - 0.05).abs().max() < 0.015  # 2,000 tests: ± .010


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "low", "high", "c_low", "c_high"), [(250, 0.70, 0.88, 0.10, 0.30), (1000, 0.98, 1.0, 0.35, 0.65)]
)
def test_power_for_a_planted_item_of_class_c(rng, n, low, high, c_low, c_high):  # noqa: PLR0917 - by name
    """.64 logits are 1.5 delta points, the border of C: half the estimates lie below; of few persons most are not sure."""
    found = pd.concat(
        take(review_dif(*make(rng, n=n, k=20, planted=2), references={"sex": "L"}), "mantel_haenszel").loc[["b0", "b1"]]
        for _ in range(100)
    )
    assert low <= (found["p"] < 0.05).mean() <= high
    assert c_low <= (found["dif_class"] == "C").mean() <= c_high
    assert found["effect"].mean() == pytest.approx(-1.5, abs=0.1)
    covered = found["effect_low"].lt(-1.5) & found["effect_high"].gt(-1.5)
    assert covered.mean() > 0.9
    if n == 250:  # most items of 1.5 points or more do not pass the significance part of the rule
        large = found["effect"].abs() >= 1.5
        assert (found.loc[large, "dif_class"] == "C").mean() < 0.6


@pytest.mark.slow
def test_with_many_persons_the_class_purifies_better_than_p(rng):
    """10,000 a group, small differences everywhere and four large ones to the same side."""
    focal = np.repeat([False, True], 10_000)
    small = rng.normal(0, 0.15, 36)
    shift = np.r_[np.full(4, 0.64), small - small.mean()]
    easier = rng.normal(size=20_000)[:, None] - np.linspace(-1.5, 1.5, 40) - np.outer(focal, shift)
    credit, groups = (
        pd.DataFrame((rng.logistic(size=easier.shape) < easier).astype(float)),
        pd.DataFrame({"sex": focal}),
    )
    left, off = {}, {}
    for by in ("none", "significant", "class"):
        review = review_dif(credit, groups, references={"sex": "False"}, rules=DifRules(purify=by))
        left[by] = review.matching["n_items"][0]
        off[by] = abs((take(review, "mantel_haenszel")["effect"] / -2.35 - shift)[4:].mean())
    assert left["class"] >= 34
    assert left["significant"] <= 25
    assert off["class"] < 0.03 < off["none"]


@pytest.mark.slow
def test_error_of_the_standardised_difference_covers(rng):
    effects, errors = [], []
    for _ in range(150):
        items = review_dif(*make(rng, n=250, k=12, steps=3), rules=DifRules(purify="none")).items
        effects.append(items["effect"])
        errors.append(items["effect_se"])
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(effects), rel=0.05)
