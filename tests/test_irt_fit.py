"""Abilities, item fit, dependence and precision: by hand, against R and Mathematica, and against a planted truth."""

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bgtk_lib.errors import SchemaError
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.irt.abilities import ABILITY_COLUMNS, estimate_eap, estimate_wle, rely
from bgtk_lib.instrument.irt.chance import _draw, simulate_limits
from bgtk_lib.instrument.irt.contrasts import CONTRAST_COLUMNS, LOADING_COLUMNS, find_contrasts
from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.instrument.irt.dependence import PAIR_COLUMNS, correlate_columns, estimate_q3, find_dependent_pairs
from bgtk_lib.instrument.irt.fit import FIT_COLUMNS, mean_squares, review_fit, take_residuals
from bgtk_lib.instrument.irt.item_points import CURVE_COLUMNS, POINT_COLUMNS, group_answers, trace_items
from bgtk_lib.instrument.irt.precision import describe_precision, describe_targeting, estimate_reliability
from bgtk_lib.instrument.irt.score_fit import _expect, distribute_scores, fit_sum_scores, join_cells
from bgtk_lib.instrument.irt.wright_map import STEP_COLUMNS, map_persons

SHARED = Path(os.environ.get("BGTK_SHARED", Path(__file__).parents[2] / "shared"))
SAME_FORMULA = 1e-10  # both sides sum the same closed formula in double precision
MIRT_SEARCH = 1e-5  # mirt searches the maximum numerically (nlm), and stops there
MIRT_TABLES = 1e-5  # the tables were made with 61 points on ±6 and parameters estimated to about 1e-6
MEAN_SQUARES = {"infit": "infitMSQ", "outfit": "outfitMSQ", "infit_t": "infitZ", "outfit_t": "outfitZ"}


def shared_file(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return path


def shared_json(name):
    return json.loads(shared_file(f"reference/{name}.json").read_text())


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


def make_curves(intercepts, *, slopes=None, graded=None):
    intercepts = np.asarray(intercepts, dtype=float)
    intercepts = intercepts[:, None] if intercepts.ndim == 1 else intercepts
    n = len(intercepts)
    return Curves(
        item_ids=tuple(f"b{j}" for j in range(n)),
        slopes=np.ones(n) if slopes is None else np.asarray(slopes, dtype=float),
        intercepts=intercepts,
        graded=np.zeros(n, bool) if graded is None else np.asarray(graded, dtype=bool),
    )


def make_rasch(n_items=20):
    return make_curves(np.linspace(2, -2, n_items))


def make_mixed(rng, *, least=-1.5):
    """Return curves of both families, up to four categories, slopes of either sign."""
    n, graded = 6, np.array([0, 1, 0, 1, 0, 0], dtype=bool)
    intercepts = np.full((n, 3), np.nan)
    for j, highest in enumerate([1, 3, 2, 2, 3, 1]):
        drawn = rng.normal(0, 1.5, highest)
        intercepts[j, :highest] = np.sort(drawn)[::-1] if graded[j] else drawn.cumsum()
    return make_curves(intercepts, slopes=rng.uniform(least, 1.8, n), graded=graded)


def draw_credit(rng, curves, theta, *, missing=0.0):
    passed = rng.random((len(curves.item_ids), 1, len(theta))) > curves.probabilities(theta).cumsum(axis=1)
    credit = np.minimum(passed.sum(axis=1).T, curves.highest).astype(float)
    credit[rng.random(credit.shape) < missing] = np.nan
    index = pd.Index([f"s{i}" for i in range(len(theta))], name="session_id")
    return pd.DataFrame(credit, index=index, columns=list(curves.item_ids))


def read_mirt(items, *, graded=False):
    steps = [key for key in items[0] if key.startswith("d") and key != "d0"]
    return Curves(
        item_ids=tuple(item["_row"] for item in items),
        slopes=np.array([item["a1"] for item in items]),
        intercepts=np.array([[item[step] for step in steps] for item in items]),
        graded=np.full(len(items), graded),
    )


def read_table(folder, name):
    items = pd.read_csv(shared_file(f"data/{folder}/reference_R/irt_2PL_{name}.csv"))
    return make_curves(-items["a"] * items["b"], slopes=items["a"]), list(items["item"])


def read_verbal_aggression():
    return pd.read_csv(shared_file("reference/debian_r/data/VerbAgg_wide.csv")).drop(columns="Gender")


def read_erm(name):
    """Return credit, curves, R's results and the ML abilities they rest on (none for extreme scores)."""
    data = name.split("_")[0]
    reference = shared_json("debian_r/erm_rasch")[name]
    credit = pd.read_csv(shared_file(f"reference/debian_r/data/{data}.csv")).astype(float)
    highest = credit.max().astype(int).to_numpy()
    intercepts = np.full((len(highest), highest.max()), np.nan)
    intercepts[np.arange(highest.max()) < highest[:, None]] = reference["beta_easiness"]
    table = dict(zip(reference["score_table"]["raw"], reference["score_table"]["theta"], strict=True))
    raw = credit.sum(axis=1)
    theta = raw.map(table).where((raw > 0) & (raw < highest.sum()))
    return credit.set_axis([f"b{j}" for j in range(len(highest))], axis=1), make_curves(intercepts), reference, theta


# ---------------------------------------------------------------- abilities


def test_posterior_means_agree_with_mirt():
    scores, fits = shared_json("rmirt_built/r_mirt_scores"), shared_json("rmirt_built/r_mirt")
    found = estimate_eap(read_verbal_aggression(), read_mirt(fits["VerbAgg_2PL"]["items"]), mean=0, sd=1)[:50]
    reference = scores["scores"]["VerbAgg_2PL"]["EAP"]
    assert found["theta"].to_numpy() == pytest.approx(reference["theta"], abs=SAME_FORMULA)
    assert found["se"].to_numpy() == pytest.approx(reference["se"], abs=SAME_FORMULA)


def test_warm_estimates_agree_with_mirt():
    scores, fits = shared_json("rmirt_built/r_mirt_scores"), shared_json("rmirt_built/r_mirt")
    found = estimate_wle(read_verbal_aggression(), read_mirt(fits["VerbAgg_2PL"]["items"]))[:50]
    reference = scores["scores"]["VerbAgg_2PL"]["WLE"]
    assert found["theta"].to_numpy() == pytest.approx(reference["theta"], abs=MIRT_SEARCH)
    # mirt: the curvature at the mode; here: the information alone, as in Warm's paper
    assert found["se"].to_numpy() == pytest.approx(reference["se"], abs=0.02)


@pytest.mark.parametrize(
    ("folder", "name", "file"),
    [
        ("hci", "HCI", "HCI.csv"),
        ("exametrika", "J15S500", "J15S500.csv"),
        ("exametrika", "J20S400", "J20S400.csv"),  # 86 answers missing
        ("lsat", "LSAT7", "LSAT7_expanded.csv"),
        ("sat12", "SAT12", "SAT12_scored.csv"),
        ("numeracy876", "numeracy", "numeracy_scored.csv"),
        ("closeread6", "read6", "CLoSEread6.csv"),
    ],
)
def test_posterior_means_agree_with_mirts_tables(folder, name, file):
    curves, items = read_table(folder, name)
    credit = pd.read_csv(shared_file(f"data/{folder}/{file}"))[items].set_axis(list(curves.item_ids), axis=1)
    reference = pd.read_csv(shared_file(f"data/{folder}/reference_R/theta_EAP_2PL_{name}.csv"))
    found = estimate_eap(credit, curves, mean=0, sd=1)
    assert len(found) == len(reference)
    assert found["theta"].to_numpy() == pytest.approx(reference["theta_EAP"], abs=MIRT_TABLES)
    assert found["se"].to_numpy() == pytest.approx(reference["se"], abs=MIRT_TABLES)


def test_warm_estimates_by_searching_the_weighted_likelihood(rng):
    grid = np.linspace(-40, 40, 40_001)
    for sign in (1, -1):
        curves = make_mixed(rng, least=0.3)
        curves = make_curves(curves.intercepts, slopes=curves.slopes * [1, 1, sign, sign, 1, 1], graded=curves.graded)
        credit = draw_credit(rng, curves, rng.normal(size=15), missing=0.2)
        credit.iloc[0], credit.iloc[1] = 0, curves.highest
        chances, information = curves.probabilities(grid), curves.information(grid)
        found = estimate_wle(credit, curves)
        for (_, answers), theta in zip(credit.iterrows(), found["theta"], strict=True):
            seen = answers.notna().to_numpy()
            if not seen.any():
                assert np.isnan(theta)
                continue
            with np.errstate(divide="ignore"):
                logs = (
                    np.log(chances[seen, answers[seen].astype(int)]).sum(axis=0)
                    + np.log(information[seen].sum(axis=0)) / 2
                )
            assert theta == pytest.approx(grid[np.nanargmax(logs)], abs=4e-3)  # the grid's step is 2e-3


def test_persons_of_one_score_share_an_ability_only_where_they_saw_the_same_items():
    curves = make_rasch(4)
    credit = pd.DataFrame(
        [[1, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, np.nan], [np.nan, 0, 0, 1]], columns=list(curves.item_ids)
    )
    for found in (estimate_wle(credit, curves), estimate_eap(credit, curves, mean=0.3, sd=1.4)):
        assert found["theta"][0] == found["theta"][1]
        assert found["theta"].nunique() == 3
    steeper = make_curves(curves.intercepts, slopes=[1, 1, 1, 2])
    assert estimate_wle(credit, steeper)["theta"].nunique() == 4


def test_scores_in_the_very_middle_of_a_symmetric_test(rng):
    # the weighted likelihood peaks on a point of the search grid; whether just before or behind is a matter of rounding
    plain = make_rasch(40)
    curves = make_curves(plain.intercepts, graded=np.ones(40, bool))  # the same curves, but every pattern solved anew
    patterns = rng.permuted(np.tile([1.0, 0.0], (500, 20)), axis=1)
    found = estimate_wle(pd.DataFrame(patterns, columns=list(curves.item_ids)), curves)
    assert found["theta"].abs().max() < 1e-9
    assert found["se"].to_numpy() == pytest.approx(np.full(500, plain.information(np.zeros(1)).sum() ** -0.5))


@pytest.mark.parametrize("at", [-2.0, 0.0, 2.0])
def test_warm_estimates_are_nearly_unbiased_and_their_errors_honest(rng, at):
    curves = make_rasch(40)
    found = estimate_wle(draw_credit(rng, curves, np.full(4000, at)), curves)
    assert found["theta"].mean() == pytest.approx(at, abs=0.03)  # three standard errors of 4,000 persons
    assert (((found["theta"] - at) / found["se"]).std()) == pytest.approx(1, abs=0.06)


def test_posterior_means_and_variances_make_up_the_population(rng):
    curves = make_mixed(rng, least=0.4)
    credit = draw_credit(rng, curves, rng.normal(0.5, 1.3, 20_000))
    found = estimate_eap(credit, curves, mean=0.5, sd=1.3)
    assert found["theta"].mean() == pytest.approx(0.5, abs=0.03)
    assert found["theta"].var() + (found["se"] ** 2).mean() == pytest.approx(1.3**2, abs=0.04)


def test_narrow_posteriors_are_not_missed_by_the_grid(rng):
    # 400 items of slope 3 leave a posterior 1/36 wide, less than a tenth of the coarse grid's step for sd = 4
    curves = make_curves(np.linspace(3, -3, 400), slopes=np.full(400, 3.0))
    credit = draw_credit(rng, curves, np.array([0.11, 0.53]))
    found, warm = estimate_eap(credit, curves, mean=0, sd=4), estimate_wle(credit, curves)
    assert found["theta"].to_numpy() == pytest.approx(warm["theta"].to_numpy(), abs=2e-3)
    assert found["se"].to_numpy() == pytest.approx(warm["se"].to_numpy(), rel=0.02)


def test_extreme_scores_and_those_without_answers_are_told():
    curves = make_rasch(3)
    credit = pd.DataFrame([[1, 1, np.nan], [0, 0, 0], [1, 0, 1], [np.nan] * 3], columns=list(curves.item_ids))
    found = estimate_wle(credit, curves)
    assert found["extreme"].tolist() == [True, True, False, False]
    assert found["n_items"].tolist() == [2, 3, 3, 0]
    assert found["note"].fillna("").tolist() == ["", "", "", "empty"]
    assert found["theta"].notna().tolist() == [True, True, True, False]
    assert estimate_eap(credit, curves, mean=0, sd=1)["note"].fillna("").tolist() == ["", "", "", "empty"]
    assert set(estimate_eap(credit, curves, mean=0, sd=0)["note"]) == {"no_spread", "empty"}
    flat = estimate_wle(credit, make_curves([0, 0, 0], slopes=[0, 0, 0]))
    assert set(flat["note"]) == {"flat", "empty"}
    assert flat["theta"].isna().all()


def test_a_category_the_curve_does_not_have_is_refused():
    curves = make_rasch(2)
    for wrong in (2, -1, 0.5):
        with pytest.raises(SchemaError, match="b1"):
            estimate_wle(pd.DataFrame({"b0": [1, 0], "b1": [wrong, 0]}), curves)


# ---------------------------------------------------------------- mean squares


@pytest.mark.parametrize("name", ["raschdat1_RM", "pcmdat2_PCM", "rsmdat_RSM"])
def test_mean_squares_agree_with_erm(name):
    credit, curves, reference, theta = read_erm(name)
    found = mean_squares(credit, curves, theta=theta)
    assert (found["n"] == reference["df"]).all()
    for ours, theirs in MEAN_SQUARES.items():
        assert found[ours].to_numpy() == pytest.approx(reference[theirs], abs=SAME_FORMULA)


@pytest.mark.parametrize("name", ["LSAT6", "LSAT7"])
def test_mean_squares_agree_with_mirt(name):
    fits = shared_json("rmirt_built/r_mirt")
    curves = read_mirt(fits[f"{name}_Rasch"]["items"])
    credit = pd.read_csv(shared_file(f"data/lsat/{name}_expanded.csv"))[list(curves.item_ids)]
    sd = fits[f"{name}_Rasch"]["GroupPars"]["var"] ** 0.5
    theta = estimate_eap(credit, curves, mean=0, sd=sd)["theta"]  # mirt's default
    found, reference = mean_squares(credit, curves, theta=theta), pd.DataFrame(fits[f"{name}_infit_rasch"])
    for ours, theirs in {"infit": "infit", "outfit": "outfit", "infit_t": "z.infit", "outfit_t": "z.outfit"}.items():
        assert found[ours].to_numpy() == pytest.approx(reference[theirs], abs=1e-6)  # mirt's points lie on ±6


def test_infit_agrees_with_mirt_but_for_its_floor():
    scores, fits = shared_json("rmirt_built/r_mirt_scores"), shared_json("rmirt_built/r_mirt")
    credit, curves = read_verbal_aggression(), read_mirt(fits["VerbAgg_2PL"]["items"])
    theta = estimate_eap(credit, curves, mean=0, sd=1)["theta"]
    found = mean_squares(credit, curves, theta=theta)
    reference = pd.DataFrame(scores["itemfit_infit"]["VerbAgg_2PL"])
    # mirt raises variances below 0.0032, which persons with extreme scores reach
    assert found["infit"].to_numpy() == pytest.approx(reference["infit"], abs=2e-4)
    assert found["outfit"].to_numpy() == pytest.approx(reference["outfit"], abs=2e-5)
    residuals, variances, fourth = take_residuals(credit, curves, theta=theta)
    floored = np.maximum(variances, 1e-5**0.5)
    outfit = (residuals**2 / floored).mean(axis=0)
    q = np.sqrt((fourth / floored**2).sum(axis=0) / len(credit) ** 2 - 1 / len(credit))
    assert outfit == pytest.approx(reference["outfit"], abs=SAME_FORMULA)
    assert (np.cbrt(outfit) - 1) * 3 / q + q / 3 == pytest.approx(reference["z.outfit"], abs=SAME_FORMULA)


def test_residuals_of_a_person_add_up_to_zero_at_the_maximum_of_the_likelihood():
    credit, curves, _, theta = read_erm("pcmdat2_PCM")
    sums = take_residuals(credit, curves, theta=theta)[0].sum(axis=1)
    assert np.isnan(sums).sum() == theta.isna().sum() > 0
    assert np.nanmax(np.abs(sums)) < 1e-4  # eRm's search for the maximum stops there


def test_an_item_that_tells_less_than_the_others_has_large_mean_squares(rng):
    slopes = np.ones(30)
    slopes[14], slopes[15] = 0.2, 2.5
    truth = make_curves(np.linspace(1.5, -1.5, 30), slopes=slopes)
    credit = draw_credit(rng, truth, rng.normal(size=1500))
    believed = make_curves(truth.intercepts)
    items = review_fit(credit, believed, mean=0, sd=1, n_free=dict.fromkeys(truth.item_ids, 0)).items
    assert items["infit"].idxmax() == 14
    assert items["infit"].idxmin() == 15
    assert items["infit_t"][14] > 6
    assert items["infit_t"][15] < -6
    assert items["s_x2"].nlargest(2).index.tolist() in ([14, 15], [15, 14])
    assert items["s_x2_p"][[14, 15]].max() < 1e-6
    sound = items.drop(index=[14, 15])
    assert sound["infit"].between(0.9, 1.1).all()
    assert sound["outfit"].mean() == pytest.approx(
        1, abs=0.05
    )  # a little below 1: abilities come from the same answers


def test_review_tells_every_item_and_why_it_has_no_statistics(rng):
    curves = make_rasch(8)
    credit = draw_credit(rng, curves, rng.normal(size=60))
    credit["b6"], credit["b7"] = np.nan, [1.0, 0.0, 1.0] + [np.nan] * 57
    credit["new"] = 1.0
    review = review_fit(credit, curves, mean=0, sd=1)
    items = review.items.set_index("item_id")
    assert list(review.items.columns) == FIT_COLUMNS
    assert items["note"].fillna("").to_dict() == dict.fromkeys([f"b{j}" for j in range(6)], "few_cells") | {
        "b6": "empty",
        "b7": "too_few",
        "new": "not_calibrated",
    }
    known = items.loc["b0":"b5"]
    assert known[["infit", "infit_t", "outfit", "outfit_t"]].notna().all(axis=None)
    assert items.loc[["b6", "b7", "new"], "infit"].isna().all()
    assert review.n_complete == 3
    assert review.n_persons + review.n_extreme + review.n_empty == 60
    assert (known["n"] == review.n_persons).all()


def test_persons_with_extreme_scores_are_left_out(rng):
    curves = make_rasch(10)
    credit = draw_credit(rng, curves, rng.normal(size=100))
    inner = credit[credit.sum(axis=1).between(1, 9)]
    extremes = pd.DataFrame([[1.0] * 10, [0.0] * 10] * 5, columns=credit.columns)
    more = review_fit(pd.concat([inner, extremes]), curves, mean=0, sd=1)
    assert (more.n_persons, more.n_extreme) == (len(inner), 10)
    columns = ["infit", "infit_t", "outfit", "outfit_t"]
    assert more.items[columns].equals(review_fit(inner, curves, mean=0, sd=1).items[columns])


def test_order_of_persons_and_items_does_not_matter(rng):
    curves = make_mixed(rng, least=0.3)
    credit = draw_credit(rng, curves, rng.normal(size=300), missing=0.1)
    shuffled = credit.sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=1)
    before = review_fit(credit, curves, mean=0, sd=1).items.set_index("item_id").drop(columns="note")
    after = review_fit(shuffled, curves.take(list(shuffled.columns)), mean=0, sd=1).items.set_index("item_id")
    assert after.loc[before.index, before.columns].to_numpy() == pytest.approx(before.to_numpy(), nan_ok=True)


# ---------------------------------------------------------------- S-X²


@pytest.mark.parametrize("name", ["LSAT6", "LSAT7", "VerbAgg"])
def test_s_x2_agrees_with_mirt(name):
    fits = shared_json("rmirt_built/r_mirt")
    curves = read_mirt(fits[f"{name}_2PL"]["items"])
    if name == "VerbAgg":
        credit = read_verbal_aggression()
        reference = shared_json("rmirt_built/r_mirt_scores")["itemfit_SX2"]["VerbAgg_2PL"]
    else:
        credit = pd.read_csv(shared_file(f"data/lsat/{name}_expanded.csv"))
        reference = fits[f"{name}_SX2"]
    found = fit_sum_scores(credit, curves, mean=0, sd=1)
    reference = pd.DataFrame(reference)
    assert found["s_x2_df"].tolist() == reference["df.S_X2"].tolist()
    assert found["s_x2"].to_numpy() == pytest.approx(reference["S_X2"], abs=1e-6)  # 61 points on ±6 in mirt
    assert found["s_x2_p"].to_numpy() == pytest.approx(reference["p.S_X2"], abs=1e-6)


def test_expected_counts_by_listing_every_pattern_of_answers(rng):
    curves = make_mixed(rng)
    patterns = np.array(list(itertools.product(*(range(top + 1) for top in curves.highest))))
    grid = np.linspace(-7, 7, 1401)
    weights = stats.norm.pdf(grid, 0.3, 0.9)
    chances = curves.probabilities(grid)
    likely = np.array([chances[np.arange(6), one].prod(axis=0) @ weights for one in patterns])
    codes = patterns[rng.choice(len(patterns), 500)]
    total, n_persons = patterns.sum(axis=1), np.bincount(codes.sum(axis=1), minlength=13)
    for item, table in enumerate(_expect(codes, curves, mean=0.3, sd=0.9)):
        for score, k in itertools.product(range(13), range(curves.highest[item] + 1)):
            here = total == score
            share = likely[here & (patterns[:, item] == k)].sum() / likely[here].sum()
            assert table[score, k] == pytest.approx(share * n_persons[score], abs=1e-6)


def test_distribution_of_scores_adds_up(rng):
    curves, grid = make_mixed(rng), np.linspace(-3, 3, 7)
    scores = distribute_scores(curves.probabilities(grid), curves.highest)
    assert scores.shape == (curves.highest.sum() + 1, 7)
    assert scores.sum(axis=0) == pytest.approx(np.ones(7))
    assert np.arange(13) @ scores == pytest.approx(curves.expected_credit(grid).sum(axis=0))


def test_cells_are_joined_until_each_expects_a_person():
    # scores 1 … 5: the one person of score 2 joins score 3; score 5 expects 0.5 and joins score 4
    expected = np.array([[9, 0], [1.8, 1.2], [0.6, 0.4], [2, 4], [3, 5], [0.5, 3.5], [0, 9]])
    observed = np.array([[9, 0], [2, 1], [1, 0], [4, 2], [3, 5], [1, 3], [0, 9]])
    rows = join_cells(observed.astype(float), expected, highest=1)
    assert [row.tolist() for row in rows] == [
        [[2.0, 1.0], [1.8, 1.2]],
        [[5.0, 2.0], [2.6, 4.4]],
        [[4.0, 8.0], [3.5, 8.5]],
    ]
    # three categories are possible from score 2 to score 4; 0.4 joins the smaller of its neighbours
    expected = np.array([[5, 0, 0], [2, 1, 0], [3, 2, 2], [5, 0.4, 1.6], [2, 2, 2], [0, 1, 1], [0, 0, 5]])
    observed = np.array([[5, 0, 0], [2, 1, 0], [2, 1, 4], [6, 0, 1], [3, 2, 1], [0, 0, 2], [0, 0, 5]])
    assert [row.tolist() for row in join_cells(observed.astype(float), expected, highest=2)] == [
        [[4.0, 2.0, 4.0], [5.0, 3.0, 2.0]],
        [[6.0, 1.0], [5.0, 2.0]],
        [[3.0, 2.0, 3.0], [2.0, 3.0, 3.0]],
    ]


def test_joining_keeps_every_person_between_the_extremes(rng):
    curves = make_curves(np.sort(rng.normal(0, 1.5, (5, 3)))[:, ::-1], graded=[True] * 5)
    credit = draw_credit(rng, curves, rng.normal(size=80))
    codes = credit.to_numpy(dtype=int)
    total = codes.sum(axis=1)
    for item, expected in enumerate(_expect(codes, curves, mean=0, sd=1)):
        observed = np.zeros_like(expected)
        np.add.at(observed, (total, codes[:, item]), 1)
        rows = join_cells(observed, expected, highest=3)
        assert sum(row[0].sum() for row in rows) == ((total > 0) & (total < 15)).sum()
        assert sum(row[1].sum() for row in rows) == pytest.approx(sum(row[0].sum() for row in rows))
        assert min(row[1].min() for row in rows) >= 1
        assert min(row.shape[1] for row in rows) >= 2


def test_s_x2_flags_as_many_sound_items_as_its_level_says(rng):
    curves = make_mixed(rng, least=0.5)
    known = dict.fromkeys(curves.item_ids, 0)
    p = [
        fit_sum_scores(draw_credit(rng, curves, rng.normal(size=400)), curves, mean=0, sd=1, n_free=known)["s_x2_p"]
        for _ in range(100)
    ]
    assert 0.03 < (np.concatenate(p) < 0.05).mean() < 0.075  # 600 tests: 0.05 ± 2.5 standard errors
    assert np.mean(np.concatenate(p)) == pytest.approx(0.5, abs=0.03)


# ---------------------------------------------------------------- dependence


def test_q3_agrees_with_mirt():
    scores, fits = shared_json("rmirt_built/r_mirt_scores"), shared_json("rmirt_built/r_mirt")
    found = estimate_q3(read_verbal_aggression(), read_mirt(fits["VerbAgg_2PL"]["items"]), mean=0, sd=1)
    assert found.matrix.iloc[0].to_numpy() == pytest.approx(scores["Q3_VerbAgg_first_row"], abs=SAME_FORMULA)
    assert found.pairs.shape == (24 * 23 / 2, len(PAIR_COLUMNS))


def test_q3_agrees_with_shojimas_mathematica_program():
    folder = "data/exametrika/reference_mathematica/Chapter04IRT2pl"
    items, students = pd.read_csv(shared_file(f"{folder}_Item.csv")), pd.read_csv(shared_file(f"{folder}_Student.csv"))
    reference = pd.read_csv(shared_file(f"{folder}_Q3.csv"), index_col=0).to_numpy()
    curves = make_curves(-items["Slope"] * items["Location"], slopes=items["Slope"])
    credit = pd.read_csv(shared_file("data/exametrika/J15S500.csv"))[items["Item"]].set_axis(
        list(curves.item_ids), axis=1
    )
    residuals = take_residuals(credit, curves, theta=students["EAP Score"])[0]
    assert correlate_columns(residuals) == pytest.approx(reference, abs=SAME_FORMULA)
    # with our own posterior means; that program sums over few points, and is off by up to 0.04 in ability
    assert estimate_q3(credit, curves, mean=0, sd=1).matrix.to_numpy() == pytest.approx(reference, abs=1e-3)


def test_two_items_that_depend_on_each_other_are_found(rng):
    curves = make_rasch(20)
    credit = draw_credit(rng, curves, rng.normal(size=800))
    copied = rng.random(800) < 0.6
    credit.loc[copied, "b11"] = credit.loc[copied, "b10"]
    found = estimate_q3(credit, curves, mean=0, sd=1)
    limits = simulate_limits(credit, curves, mean=0, sd=1, rng=rng, repetitions=8)
    assert found.pairs.loc[0, ["item_a", "item_b", "n"]].tolist() == ["b10", "b11", 800]
    assert found.pairs["q3_above_mean"].is_monotonic_decreasing
    assert len(find_dependent_pairs(found)) == 1
    assert len(find_dependent_pairs(found, offset=limits.q3_above_mean)) == 1
    assert found.mean == pytest.approx(-1 / 19, abs=0.02)
    assert found.pairs["q3_above_mean"].mean() == pytest.approx(0, abs=1e-12)
    assert found.matrix.equals(found.matrix.T)


def test_a_second_dimension_is_found_and_measured(rng):
    curves = make_curves(np.tile(np.linspace(1.5, -1.5, 15), 2))
    both = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=1000)
    parts = [draw_credit(rng, curves, theta) for theta in both.T]
    credit = pd.concat([parts[0].iloc[:, :15], parts[1].iloc[:, 15:]], axis=1)
    found = find_contrasts(credit, curves)
    limits = simulate_limits(credit, curves, mean=0, sd=1, rng=rng, repetitions=8)
    assert found.first > 2 > limits.first
    clusters = found.loadings.groupby("cluster")["item_id"].agg(list)
    assert {tuple(clusters["upper"]), tuple(clusters["lower"])} == {curves.item_ids[:15], curves.item_ids[15:]}
    assert found.disattenuated == pytest.approx(0.5, abs=0.08)
    assert found.correlation < found.disattenuated < limits.disattenuated


def test_what_chance_brings_about_in_small_samples_is_told(rng):
    # sound data of 111 persons and 40 items: all three fixed limits (.20, 2, .90) are passed by chance alone
    curves = make_rasch(40)
    credit = draw_credit(rng, curves, rng.normal(size=111))
    limits = simulate_limits(credit, curves, mean=0, sd=1, rng=rng, repetitions=20)
    assert limits.q3_above_mean > 0.25
    assert limits.first > 2.2
    assert limits.disattenuated < 0.85


def test_limits_of_chance_are_reproducible(rng):
    curves = make_rasch(10)
    credit = draw_credit(rng, curves, rng.normal(size=50), missing=0.1)
    first, second = (
        simulate_limits(credit, curves, mean=0, sd=1, rng=np.random.default_rng(3), repetitions=3) for _ in range(2)
    )
    assert first == second
    assert first != simulate_limits(credit, curves, mean=0, sd=1, rng=rng, repetitions=3)


def test_simulated_answers_follow_the_curves_and_are_missing_where_the_real_ones_are(rng):
    curves = make_mixed(rng)
    presented = rng.random((20_000, 6)) < [0.9, 0.9, 0.5, 1, 1, 0.2]
    drawn = _draw(presented, curves, mean=0.5, sd=0.8, rng=rng)
    assert (np.isnan(drawn) == ~presented).all()
    grid = np.linspace(-5, 6, 1101)
    expected = curves.expected_credit(grid) @ stats.norm.pdf(grid, 0.5, 0.8) * 0.01
    assert np.nanmean(drawn, axis=0) == pytest.approx(expected, abs=0.05)  # 4,000 answers at least
    assert np.nanmax(drawn, axis=0).tolist() == curves.highest.tolist()


@pytest.mark.slow
def test_limits_of_chance_hold_in_as_many_sound_forms_as_they_say(rng):
    curves = make_rasch(20)
    credit = draw_credit(rng, curves, rng.normal(size=150), missing=0.1)
    limits = simulate_limits(credit, curves, mean=0, sd=1, rng=rng, repetitions=400)
    passed = []
    for _ in range(200):
        sound = draw_credit(rng, curves, rng.normal(size=150), missing=0.1)
        contrasts = find_contrasts(sound, curves)
        q3 = estimate_q3(sound, curves, mean=0, sd=1).pairs["q3_above_mean"].max()
        passed.append(
            [q3 > limits.q3_above_mean, contrasts.first > limits.first, contrasts.disattenuated < limits.disattenuated]
        )
    assert (np.mean(passed, axis=0) < 0.10).all()  # 0.05 with a standard error of 0.019
    assert (np.mean(passed, axis=0) > 0.01).all()


def test_contrasts_are_the_eigenvalues_of_residual_correlations(rng):
    curves = make_mixed(rng, least=0.4)
    credit = draw_credit(rng, curves, rng.normal(size=500))
    abilities = estimate_wle(credit, curves)
    residuals, variances, _ = take_residuals(credit, curves, theta=abilities["theta"].where(~abilities["extreme"]))
    standard = pd.DataFrame(residuals / np.sqrt(variances)).dropna()
    found = find_contrasts(credit, curves)
    values = np.linalg.eigvalsh(np.corrcoef(standard.T))[::-1]
    assert found.contrasts["eigenvalue"].to_numpy() == pytest.approx(values[:5])
    assert found.first == found.contrasts["eigenvalue"][0]
    assert (found.loadings["loading"] ** 2).sum() == pytest.approx(found.first)
    assert found.loadings["loading"].abs().max() == found.loadings["loading"].max()
    assert found.n_persons == len(standard)
    assert found.contrasts["share"].sum() < 1
    assert (list(found.contrasts.columns), list(found.loadings.columns)) == (CONTRAST_COLUMNS, LOADING_COLUMNS)


def test_contrasts_that_cannot_be_computed_are_withheld(rng):
    curves = make_rasch(6)
    credit = draw_credit(rng, curves, rng.normal(size=200))
    few = find_contrasts(credit[["b0", "b1"]], curves)
    assert isinstance(few.first, Withheld)
    assert "2" in few.first.reason.en
    assert set(few.loadings["note"]) == {"withheld"}
    apart = credit.copy()
    apart.iloc[:100, :3], apart.iloc[100:, 3:] = np.nan, np.nan
    never = find_contrasts(apart, curves)
    assert isinstance(never.disattenuated, Withheld)
    assert "9 pairs" in never.first.reason.en  # 3 · 3
    four = find_contrasts(credit[["b0", "b1", "b2", "b3"]], curves)
    assert not isinstance(four.first, Withheld)
    assert isinstance(four.disattenuated, Withheld)  # no two clusters of three items


# ---------------------------------------------------------------- precision


def test_information_agrees_with_mirt_and_adds_up():
    scores, fits = shared_json("rmirt_built/r_mirt_scores"), shared_json("rmirt_built/r_mirt")
    curves = read_mirt(fits["VerbAgg_2PL"]["items"])
    grid = np.array(scores["testinfo_VerbAgg"]["theta"])
    found = describe_precision(curves, grid=grid)
    assert found["information"].to_numpy() == pytest.approx(scores["testinfo_VerbAgg"]["info"], abs=SAME_FORMULA)
    assert (found["sem"] ** -2).to_numpy() == pytest.approx(found["information"].to_numpy())
    halves = [describe_precision(curves.take(curves.item_ids[part::2]), grid=grid)["information"] for part in (0, 1)]
    assert (halves[0] + halves[1]).to_numpy() == pytest.approx(found["information"].to_numpy())
    traced = trace_items(curves, grid=grid)
    assert list(traced.columns) == CURVE_COLUMNS
    assert traced.groupby("theta")["information"].sum().to_numpy() == pytest.approx(found["information"].to_numpy())


@pytest.mark.parametrize("name", ["LSAT6", "LSAT7", "VerbAgg"])
def test_reliabilities_agree_with_mirt(name):
    reference = shared_json("rmirt_built/r_mirt")[f"{name}_2PL"]
    curves = read_mirt(reference["items"])
    credit = (
        read_verbal_aggression() if name == "VerbAgg" else pd.read_csv(shared_file(f"data/lsat/{name}_expanded.csv"))
    )
    found = estimate_reliability(credit, curves, mean=0, sd=1)
    assert found.empirical == pytest.approx(reference["empirical_rxx"], abs=1e-7)  # ±6 in mirt
    assert found.marginal == pytest.approx(reference["marginal_rxx"], abs=1e-7)
    assert found.n_persons == len(credit)


@pytest.mark.parametrize("name", ["raschdat1_RM", "pcmdat2_PCM", "rsmdat_RSM"])
def test_separation_agrees_with_erm(name):
    _, curves, reference, theta = read_erm(name)
    theta = theta.dropna()
    measures = pd.DataFrame({"theta": theta, "se": curves.information(theta.to_numpy()).sum(axis=0) ** -0.5})
    assert rely(measures) == pytest.approx(
        reference["person_sep"], abs=5e-5
    )  # eRm's errors come from a numeric Hessian


def test_reliabilities_are_the_squared_correlation_with_true_ability(rng):
    curves = make_rasch(30)
    theta = rng.normal(0.4, 1.2, 8000)
    found = estimate_reliability(draw_credit(rng, curves, theta), curves, mean=0.4, sd=1.2)
    posterior = estimate_eap(draw_credit(rng, curves, theta), curves, mean=0.4, sd=1.2)["theta"]
    truth = np.corrcoef(posterior, theta)[0, 1] ** 2
    for value in (found.marginal, found.empirical, found.separation_reliability):
        assert value == pytest.approx(truth, abs=0.02)
    assert found.separation == pytest.approx((found.separation_reliability / (1 - found.separation_reliability)) ** 0.5)


def test_extreme_scores_count_for_the_reliability_but_not_for_the_separation(rng):
    curves = make_rasch(6)
    credit = draw_credit(rng, curves, rng.normal(size=400))
    found, abilities = estimate_reliability(credit, curves, mean=0, sd=1), estimate_wle(credit, curves)
    assert found.n_extreme == abilities["extreme"].sum() > 10
    assert found.separation_reliability == rely(abilities[~abilities["extreme"]]) != rely(abilities)
    posterior = estimate_eap(credit, curves, mean=0, sd=1)
    between = posterior["theta"].var()
    assert found.empirical == pytest.approx(between / (between + (posterior["se"] ** 2).mean()))
    assert found.n_persons == 400


def test_wright_map_shows_the_spread_of_true_abilities(rng):
    curves = make_mixed(rng, least=0.4)
    credit = draw_credit(rng, curves, rng.normal(0.5, 1.3, 400), missing=0.1)
    found = map_persons(credit, curves, mean=0.5, sd=1.3)
    posterior = estimate_eap(credit, curves, mean=0.5, sd=1.3)
    theta, density = found.persons["theta"].to_numpy(), found.persons["density"].to_numpy()
    weights = density * (theta[1] - theta[0])
    mean = weights @ theta
    assert weights.sum() == pytest.approx(1)
    assert mean == pytest.approx(posterior["theta"].mean())
    assert weights @ (theta - mean) ** 2 == pytest.approx(
        posterior["theta"].var(ddof=0) + (posterior["se"] ** 2).mean()
    )
    assert list(found.steps.columns) == STEP_COLUMNS
    assert len(found.steps) == curves.highest.sum()
    assert found.n_persons == posterior["theta"].notna().sum()
    assert isinstance(map_persons(credit[:9], curves, mean=0, sd=1).persons, Withheld)
    assert isinstance(map_persons(credit, curves, mean=0, sd=0).persons, Withheld)
    flat = map_persons(credit[["b0"]], make_curves([0.5], slopes=[0]), mean=0, sd=1).steps
    assert (flat["note"].tolist(), flat["difficulty"].isna().tolist()) == (["flat"], [True])


def test_targeting_by_hand():
    # locations: b0 at −1; b1 with steps at −1 and 2, hence ½; b2 has none
    curves = make_curves([[1, np.nan], [1, -1], [0, np.nan]], slopes=[1, 1, 0])
    credit = pd.DataFrame({"b0": [0, 1, 1, 1], "b1": [0, 2, 1, np.nan], "b2": [0, 1, 1, np.nan]})
    found = describe_targeting(credit, curves, mean=0.75)
    assert (found.mean_difficulty, found.distance) == (-0.25, 1.0)
    assert (found.share_lowest, found.share_highest) == (0.25, 0.5)
    assert (found.n_persons, found.n_items) == (4, 2)


def test_observed_and_expected_credit_differ_by_chance_only_where_the_model_holds(rng):
    curves = make_mixed(rng, least=0.5)
    credit = draw_credit(rng, curves, rng.normal(size=6000), missing=0.1)
    found = group_answers(credit, curves, mean=0, sd=1)
    assert list(found.columns) == POINT_COLUMNS
    assert found.groupby("item_id")["n"].sum().to_dict() == credit.notna().sum().to_dict()
    highest = found["item_id"].map(dict(zip(curves.item_ids, curves.highest, strict=True)))
    gap = (found["observed"] - found["expected"]) / (highest / 2 / np.sqrt(found["n"]))  # at most that standard error
    assert gap.abs().max() < 3.5
    assert gap.pow(2).mean() < 1
    assert found.groupby("item_id")["theta"].is_monotonic_increasing.all()


def test_an_item_flatter_than_its_curve_strays_from_it_at_both_ends(rng):
    slopes = np.ones(20)
    slopes[7] = 0.2
    truth = make_curves(np.zeros(20), slopes=slopes)
    credit = draw_credit(rng, truth, rng.normal(size=2000))
    found = group_answers(credit, make_curves(truth.intercepts), mean=0, sd=1, n_groups=5).query("item_id == 'b7'")
    gap = (found["observed"] - found["expected"]).tolist()
    assert gap[0] > 0.15
    assert gap[-1] < -0.15


def test_no_group_is_small_and_equal_scores_stay_together(rng):
    curves = make_rasch(5)  # few different scores
    credit = draw_credit(rng, curves, rng.normal(size=57))
    found = group_answers(credit, curves, mean=0, sd=1)
    assert found["n"].min() >= 10
    assert found.groupby("item_id")["n"].sum().eq(57).all()
    assert not found.duplicated(["item_id", "theta"]).any()
    few = group_answers(credit[:9], curves, mean=0, sd=1)
    assert few["note"].tolist() == ["too_few"] * 5
    assert few["n"].tolist() == [9] * 5
    assert few["observed"].isna().all()


# ---------------------------------------------------------------- odd inputs

ODD = {
    "no persons": pd.DataFrame(columns=["b0", "b1", "b2"], dtype=float),
    "no items": pd.DataFrame(index=["s1", "s2"]),
    "none of the items": pd.DataFrame({"x": [1, 0]}),
    "one person": pd.DataFrame({"b0": [1], "b1": [0], "b2": [1]}),
    "three persons": pd.DataFrame({"b0": [1, 0, 1], "b1": [0, 0, 1], "b2": [1, 1, 1]}),
    "one item": pd.DataFrame({"b1": [0, 1, 1, 0, 1]}),
    "all right": pd.DataFrame(np.ones((30, 3)), columns=["b0", "b1", "b2"]),
    "all wrong": pd.DataFrame(np.zeros((30, 3)), columns=["b0", "b1", "b2"]),
    "all missing": pd.DataFrame(np.full((30, 3), np.nan), columns=["b0", "b1", "b2"]),
    "one column missing": pd.DataFrame({"b0": [1.0, 0] * 10, "b1": [None] * 20, "b2": [1.0, 1, 0, 0] * 5}),
    "nobody alike": pd.DataFrame({"b0": [1, 0, None, None], "b1": [None, None, 1, 0], "b2": [1, 0, 1, 0]}),
    "nullable integers": pd.DataFrame({"b0": [1, 0, None], "b1": [0, 1, 1], "b2": [0, None, 1]}).astype("Int64"),
}


@pytest.mark.parametrize("slope", [1.0, 0.0])
@pytest.mark.parametrize("case", ODD)
def test_odd_tables_give_tables_with_reasons(case, slope, rng):
    credit, curves = ODD[case], make_curves([1.0, 0.0, -1.0], slopes=np.full(3, slope))
    before = credit.copy()
    for found in (estimate_wle(credit, curves), estimate_eap(credit, curves, mean=0, sd=1)):
        assert list(found.columns) == ABILITY_COLUMNS
        assert found.index.equals(credit.index)
        assert (found["theta"].isna() == found["note"].notna()).all()
    review = review_fit(credit, curves, mean=0, sd=1)
    assert review.items["item_id"].tolist() == credit.columns.tolist()
    assert (review.items[FIT_COLUMNS[2:-1]].isna().any(axis=1) == review.items["note"].notna()).all()
    pairs = estimate_q3(credit, curves, mean=0, sd=1).pairs
    assert (pairs["q3"].isna() == pairs["note"].notna()).all()
    loadings = find_contrasts(credit, curves).loadings
    assert (loadings["loading"].isna() == loadings["note"].notna()).all()
    limits = simulate_limits(credit, curves, mean=0, sd=1, rng=rng, repetitions=3)
    assert limits.repetitions == 3
    points = group_answers(credit, curves, mean=0, sd=1)
    assert (points["observed"].isna() == points["note"].notna()).all()
    reliability = estimate_reliability(credit, curves, mean=0, sd=1)
    assert all(isinstance(value, Withheld) or np.isfinite(value) for value in vars(reliability).values())
    targeting = describe_targeting(credit, curves, mean=0)
    assert all(isinstance(value, Withheld) or np.isfinite(value) for value in vars(targeting).values())
    assert map_persons(credit, curves, mean=0, sd=1).n_persons <= len(credit)
    assert credit.equals(before)
