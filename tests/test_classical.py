"""Classical item statistics: by hand, against R on real tests, and on tables that spoil everything."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.classical import (
    ITEM_COLUMNS,
    find_negative_items,
    group_by_score,
    review_items,
    weigh_extremes,
)
from bgtk_lib.instrument.flags import FLAG_COLUMNS, PROFILES, Limits, flag_items

SHARED = Path(os.environ.get("BGTK_SHARED", Path(__file__).parents[2] / "shared"))
AGREES = 1e-12  # both sides compute the same closed formula in double precision


def shared_file(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return path


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


def find_differences(review, reference):
    names = {"p_or_mean": "difficulty", "sd": "sd", "r_rest": "item_rest_r", "alpha_if_deleted": "alpha_if_deleted"}
    ours = review.items.set_index("item_id")[list(names.values())]
    return np.abs(ours - reference.set_index("item").rename(columns=names)[list(names.values())]).to_numpy()


def make_credit(rng, n=200, k=12):
    ability, difficulty = rng.normal(size=(n, 1)), np.linspace(-1.5, 1.5, k)
    return pd.DataFrame((rng.logistic(size=(n, k)) < ability - difficulty).astype(float)).add_prefix("b")


@pytest.mark.parametrize("grade", [6, 9])
def test_learning_to_learn_agrees_with_r(grade):
    data = pd.read_csv(shared_file("data/learning_to_learn/LearningToLearn.csv"), dtype=str)
    folder = shared_file("data/learning_to_learn/reference_R")
    reference = pd.read_csv(folder / f"ctt_items_grade{grade}.csv")
    review = review_items(data[reference["item"]].astype(float))
    alpha = pd.read_csv(folder / "alpha.csv", index_col="stat").loc[f"alpha{grade}", "value"]
    assert (review.n_persons, review.n_items, len(reference)) == (782, 41, 41)
    assert find_differences(review, reference).max() < AGREES
    assert review.alpha == pytest.approx(alpha, abs=AGREES)


def test_learning_to_learn_has_its_known_negative_item():
    data = pd.read_csv(shared_file("data/learning_to_learn/LearningToLearn.csv"), dtype=str)
    review = review_items(data.filter(regex=r"^Item.*_6$").astype(float))
    assert list(find_negative_items(review)["item_id"]) == ["Item5F_6"]
    assert review.share_negative == pytest.approx(1 / 41)


def test_hci_agrees_with_r():
    data = pd.read_csv(shared_file("data/hci/HCI.csv"))
    reference = pd.read_csv(shared_file("data/hci/reference_R/ctt_items_HCI.csv"))
    total = pd.read_csv(shared_file("data/hci/reference_R/ctt_test_HCI.csv"), index_col="stat")["value"]
    review = review_items(data[reference["item"]])
    assert find_differences(review, reference).max() < AGREES
    assert review.alpha == pytest.approx(total["alpha_raw"], abs=AGREES)


@pytest.mark.parametrize(
    ("folder", "file", "name"),
    [
        ("sat12", "SAT12_scored.csv", "SAT12"),
        ("difnlr_msatb_gmat", "MSATB.csv", "MSATB"),
        ("exametrika", "J12S5000.csv", "J12S5000"),
        ("numeracy876", "numeracy_scored.csv", "numeracy"),
        ("lsat", "LSAT7_expanded.csv", "LSAT7"),
    ],
)
def test_real_tests_agree_with_r(folder, file, name):
    reference = pd.read_csv(shared_file(f"data/{folder}/reference_R/ctt_items_{name}.csv"))
    total = pd.read_csv(shared_file(f"data/{folder}/reference_R/ctt_test_{name}.csv"), index_col="stat")["value"]
    review = review_items(pd.read_csv(shared_file(f"data/{folder}/{file}"))[reference["item"]])
    assert find_differences(review, reference).max() < AGREES
    assert review.alpha == pytest.approx(total["alpha_raw"], abs=AGREES)


def test_difficulty_with_missing_answers_agrees_with_two_programs():
    """J20S400 has 86 empty cells: difficulty rests on whoever has one, as in R and in Shojima's own program."""
    data = pd.read_csv(shared_file("data/exametrika/J20S400.csv")).drop(columns="id")
    folder = shared_file("data/exametrika/reference_mathematica")
    shojima = pd.read_csv(folder / "Chapter03CTT_Item.csv")
    r = pd.read_csv(shared_file("data/exametrika/reference_R/ctt_items_J20S400.csv"))
    items = review_items(data).items
    assert list(items["n"]) == list(shojima["Number of Respondents"]) == list(r["n"])
    assert items["difficulty"].to_numpy() == pytest.approx(shojima["Correct Response Rate"].to_numpy(), abs=AGREES)
    assert items["sd"].to_numpy() == pytest.approx(r["sd"].to_numpy(), abs=AGREES)


@pytest.mark.parametrize("name", ["bfi_A", "ability"])
def test_feldt_interval_agrees_with_psych(name):
    reference = json.loads(shared_file("reference/debian_r/psych_reliability.json").read_text())[
        f"{name}_alpha_complete"
    ]
    review = review_items(pd.read_csv(shared_file(f"reference/debian_r/data/{name}_complete.csv")))
    low, high = (reference["feldt"][end][0]["raw_alpha"] for end in ("lower.ci", "upper.ci"))
    assert review.alpha == pytest.approx(reference["total"]["raw_alpha"], abs=AGREES)
    assert (review.alpha_low, review.alpha_high) == (pytest.approx(low, abs=1e-10), pytest.approx(high, abs=1e-10))
    r_drop = [item["r.drop"] for item in reference["item"]]
    assert review.items["item_rest_r"].to_numpy() == pytest.approx(r_drop, abs=AGREES)


def test_item_statistics_by_hand():
    # the rest of b1 is the mean of b2 and b3: 1, 0.5, 0.5, 0; its correlation with 1, 1, 0, 0 is 2·0.5·0.5 / √(1·0.5)
    credit = pd.DataFrame({"b1": [1, 1, 0, 0], "b2": [1, 1, 1, 0], "b3": [1, 0, 0, 0]})
    first = review_items(credit).items.iloc[0]
    r = 0.5 / np.sqrt(0.5)
    assert first["difficulty"] == 0.5
    assert first["item_rest_r"] == pytest.approx(r)
    assert first["r_low"] == pytest.approx(np.tanh(np.arctanh(r) - 1.959963985))
    assert first["alpha_if_deleted"] == pytest.approx(2 * (1 - 0.5 / (2 / 3)))


def test_rest_is_the_mean_of_what_the_person_was_presented():
    credit = pd.DataFrame({"b1": [1, 1, 0, 0, None], "b2": [1, 1, 1, 0, 0], "b3": [1, None, 0, 0, 1]})
    review = review_items(credit)
    by_hand = np.corrcoef([1, 1, 0, 0], [1, 1, 0.5, 0])[0, 1]
    assert review.items["item_rest_r"][0] == pytest.approx(by_hand)
    assert list(review.items["n"]) == [4, 5, 4]
    assert (review.n_persons, review.n_incomplete) == (3, 2)
    assert isinstance(review.alpha, Withheld)
    assert review.items["alpha_if_deleted"].isna().all()


def test_interval_of_a_share_is_wilsons(rng):
    credit = make_credit(rng, n=50)
    credit["b11"] = 0.0
    items = review_items(credit, confidence=0.9).items
    low, high = proportion_confint(credit.sum().to_numpy(), len(credit), alpha=0.1, method="wilson")
    assert items["difficulty_low"].to_numpy() == pytest.approx(low, abs=AGREES)
    assert items["difficulty_high"].to_numpy() == pytest.approx(high, abs=AGREES)


def test_interval_of_partial_credit_is_that_of_a_mean():
    values = [0, 0.5, 1, 1, 0.5, 0]
    item = review_items(pd.DataFrame({"b1": values, "b2": [0, 1, 1, 0, 1, 0]})).items.iloc[0]
    low, high = stats.t.interval(0.95, 5, loc=0.5, scale=stats.sem(values))
    assert (item["difficulty_low"], item["difficulty_high"]) == (pytest.approx(low), pytest.approx(high))
    assert item["sd"] == pytest.approx(np.std(values, ddof=1))


def test_upper_and_lower_group_by_hand():
    """27 % of ten are 2.7: above the total 3 and 1.7 of three with 2, below both with 0 and 0.7 of four with 1."""
    credit = pd.DataFrame({"b1": [1, 1, 1, 0, 1, 0, 1, 0, 0, 0], "b2": [1, 1, 0, 1, 0, 1, 0, 0, 0, 0]})
    credit["b3"] = [1, 0, 1, 1, 0, 0, 0, 1, 0, 0]
    assert credit.sum(axis=1).tolist() == [3, 2, 2, 2, 1, 1, 1, 1, 0, 0]
    upper, lower = weigh_extremes(credit.mean(axis=1).to_numpy())
    assert upper == pytest.approx([1, *[1.7 / 3] * 3, 0, 0, 0, 0, 0, 0])
    assert lower == pytest.approx([0, 0, 0, 0, *[0.7 / 4] * 4, 1, 1])
    by_hand = (1 + 2 * 1.7 / 3) / 2.7 - 2 * (0.7 / 4) / 2.7
    assert review_items(credit).items["uli"][0] == pytest.approx(by_hand)


def test_ties_share_what_breaking_them_at_random_gives_on_average(rng):
    credit = make_credit(rng, n=100, k=6)
    total, size, found = credit.sum(axis=1).to_numpy(), 27, []
    for _ in range(2000):
        order = np.lexsort([rng.random(100), total])
        found.append(credit.to_numpy()[order[-size:]].mean(axis=0) - credit.to_numpy()[order[:size]].mean(axis=0))
    error = np.std(found, axis=0) / np.sqrt(2000)
    assert (np.abs(np.mean(found, axis=0) - review_items(credit).items["uli"]) < 4 * error + AGREES).all()


def test_credit_beyond_one_counts_as_part_of_the_highest():
    binary = pd.DataFrame({"b1": [1, 1, 0, 0, 1, 0], "b2": [1, 0, 1, 0, 1, 0], "b3": [1, 1, 1, 0, 0, 0]}, dtype=float)
    one, double = review_items(binary).items, review_items(2 * binary).items
    assert double["highest"].tolist() == [2.0] * 3
    for column in ("item_rest_r", "uli"):
        assert double[column].to_numpy() == pytest.approx(one[column].to_numpy())


def test_groups_by_score_keep_ties_together(rng):
    score = rng.integers(0, 12, size=400) / 12
    group = group_by_score(score, n_groups=5, fewest=10)
    assert pd.Series(group).groupby(score).nunique().max() == 1
    assert np.bincount(group).min() >= 10
    assert (pd.Series(score).groupby(group).max().to_numpy()[:-1] < pd.Series(score).groupby(group).min()[1:]).all()
    by_hand = group_by_score(np.array([9.0, 5.0, 6.0, 2.0, 1.0, 2.0]), n_groups=3, fewest=1)
    assert by_hand.tolist() == [2, 1, 2, 1, 0, 1], "places 5.5, 3.5, 4.5, 2, 0.5 of 6: ties stand in their middle"
    assert group_by_score(score[:19], n_groups=5, fewest=10).max() == 0
    assert group_by_score(np.array([]), n_groups=5, fewest=10).tolist() == []
    assert group_by_score(np.ones(100), n_groups=5, fewest=10).max() == 0


# ------------------------------------------------------------------ flags


def make_items(p=0.5, r=0.4, n=100, highest=1.0):
    return pd.DataFrame({"item_id": ["b1"], "n": n, "highest": highest, "difficulty": p * highest, "item_rest_r": r})


@pytest.mark.parametrize(
    ("p", "r", "flags"),
    [
        (0.5, 0.4, []),
        (0.19, 0.4, ["hard"]),
        (0.20, 0.4, ["rather_hard"]),
        (0.30, 0.4, []),
        (0.90, 0.4, []),
        (0.91, 0.4, ["easy"]),
        (0.5, 0.19, ["low_r"]),
        (0.5, 0.20, []),
        (0.5, 0.0, ["negative"]),
        (0.1, -0.2, ["hard", "negative"]),
        (1.0, None, ["easy"]),
        (None, None, []),
    ],
)
def test_flags_at_their_limits(p, r, flags):
    items = make_items(0.5).assign(difficulty=p, item_rest_r=r).astype({"difficulty": float, "item_rest_r": float})
    found = flag_items(items, limits=Limits(), n_persons=100)
    assert list(found["flag"]) == flags
    assert list(found.columns) == FLAG_COLUMNS


@pytest.mark.parametrize(("n", "n_persons", "count"), [(30, 30, 1), (29, 30, 0), (30, 29, 0)])
def test_below_thirty_persons_nothing_is_flagged(n, n_persons, count):
    assert len(flag_items(make_items(0.1, n=n), limits=Limits(), n_persons=n_persons)) == count


def test_flags_judge_a_part_of_the_highest_credit():
    assert flag_items(make_items(0.5, highest=4.0), limits=Limits(), n_persons=100).empty
    assert list(flag_items(make_items(0.95, highest=4.0), limits=Limits(), n_persons=100)["value"]) == [0.95]


def test_a_stricter_profile_flags_whatever_a_looser_one_does(rng):
    items = review_items(make_credit(rng, n=60, k=30)).items
    found = [flag_items(items, limits=PROFILES[name], n_persons=60) for name in ("longgar", "baku", "ketat")]
    flagged = [set(flags["item_id"]) for flags in found]
    assert flagged[0] <= flagged[1] <= flagged[2]
    assert len(flagged[0]) < len(flagged[2])
    assert PROFILES["baku"] == Limits()


def test_order_of_persons_and_items_does_not_matter(rng):
    credit = make_credit(rng)
    shuffled = credit.sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=1)
    before, after = review_items(credit), review_items(shuffled)
    columns = [column for column in ITEM_COLUMNS if column not in ("item_id", "note")]
    ours = after.items.set_index("item_id").loc[before.items["item_id"], columns].to_numpy(dtype=float)
    assert ours == pytest.approx(before.items[columns].to_numpy(dtype=float))
    assert after.alpha == pytest.approx(before.alpha)


def test_a_reversed_key_is_found(rng):
    credit = make_credit(rng)
    credit["b6"] = 1 - credit["b6"]
    assert list(find_negative_items(review_items(credit))["item_id"]) == ["b6"]


def test_fisher_interval_covers_its_correlation(rng):
    truth = review_items(make_credit(rng, n=200_000)).items["item_rest_r"]
    reviews = [review_items(make_credit(rng)).items for _ in range(100)]
    covered = np.mean([(one["r_low"] <= truth) & (truth <= one["r_high"]) for one in reviews])
    assert 0.93 < covered < 0.97  # 1,200 intervals; Fisher's assumes normal scores


@pytest.mark.parametrize(
    ("column", "note"),
    [
        ([1, 1, 1, 1, 1, 1], "all_right"),
        ([0, 0, 0, 0, 0, 0], "all_wrong"),
        ([None] * 6, "empty"),
        ([1, 0, 1, None, None, None], "too_few"),
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], "constant"),
        ([1, 1, 1, 1, 1, None], "all_right"),
    ],
)
def test_a_spoiled_item_has_a_note_and_no_correlation(column, note):
    sound = {"b1": [1, 1, 1, 0, 0, 0], "b2": [1, 0, 1, 0, 1, 0], "b3": [1, 1, 0, 0, 1, 0]}
    items = review_items(pd.DataFrame(sound | {"b4": column})).items
    assert list(items["note"].fillna("")) == ["", "", "", note]
    assert items.loc[3, ["item_rest_r", "r_low", "r_high", "uli"]].isna().all()
    assert items.loc[:2].drop(columns=["note", "alpha_if_deleted"]).notna().all(axis=None)
    assert items.loc[3, ["difficulty_low", "difficulty_high"]].isna().all() == (note in ("empty", "constant"))
    assert (items["difficulty"].isna() == (items["n"] == 0)).all()


@pytest.mark.parametrize(
    "credit",
    [
        pd.DataFrame(),
        pd.DataFrame(columns=["b1", "b2"]),
        pd.DataFrame({"b1": [1, 0, 1, 0, 1]}),
        pd.DataFrame({"b1": [1, 0], "b2": [0, 1]}),
        pd.DataFrame({"b1": [None] * 5, "b2": [None] * 5}),
        pd.DataFrame({"b1": [1] * 5, "b2": [0] * 5}),
        pd.DataFrame({"b1": [1, 0] * 4, "b2": [0, 1] * 4}),
        pd.DataFrame({"b1": [1] * 4 + [None] * 4, "b2": [None] * 4 + [1] * 4}, dtype="Int64"),
    ],
    ids=["nothing", "no rows", "one item", "two persons", "all null", "constant", "cancelling", "never together"],
)
def test_what_cannot_be_computed_is_withheld(credit):
    review = review_items(credit)
    assert list(review.items.columns) == ITEM_COLUMNS
    assert len(review.items) == credit.shape[1]
    assert isinstance(review.alpha, Withheld)
    assert review.alpha_low is None
    assert review.alpha_high is None
    assert (review.items["item_rest_r"].isna() == review.items["note"].notna()).all()
    assert review.n_persons + review.n_incomplete == len(credit)
    assert review.alpha.reason.id != review.alpha.reason.en


def test_without_any_discrimination_the_share_is_withheld():
    assert isinstance(review_items(pd.DataFrame({"b1": [1, 0, 1, 0, 1]})).share_negative, Withheld)
