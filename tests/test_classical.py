"""Classical item statistics: by hand, against R on real tests, and on tables that spoil everything."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.classical import ITEM_COLUMNS, find_negative_items, review_items

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
    names = {"p_or_mean": "difficulty", "r_rest": "item_rest_r", "alpha_if_deleted": "alpha_if_deleted"}
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


def test_order_of_persons_and_items_does_not_matter(rng):
    credit = make_credit(rng)
    shuffled = credit.sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=1)
    before, after = review_items(credit), review_items(shuffled)
    columns = ["n", "difficulty", "item_rest_r", "r_low", "r_high", "alpha_if_deleted"]
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
    assert items.loc[3, ["item_rest_r", "r_low", "r_high"]].isna().all()
    assert items.loc[:2, ["difficulty", "item_rest_r", "r_low", "r_high"]].notna().all(axis=None)
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
