"""Options and keys: by hand, against the item review, and on real tests with a key known to be wrong."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bgtk_lib.instrument.classical import review_items
from bgtk_lib.instrument.flags import Limits
from bgtk_lib.instrument.options import (
    OPTION_COLUMNS,
    SUSPECT_COLUMNS,
    TRACE_COLUMNS,
    review_options,
    suspect_keys,
    trace_options,
)
from bgtk_lib.instrument.sheet import mark_sheet

SHARED = Path(os.environ.get("BGTK_SHARED", Path(__file__).parents[2] / "shared"))
AGREES = 1e-12  # both sides compute the same closed formula in double precision


def shared_file(name):
    path = SHARED / "data" / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return path


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


def melt(wide, *, blank=()):
    """Answers of a persons × items table; an empty cell, or one of `blank`, is omitted."""
    answers = wide.reset_index(drop=True).rename_axis("session_id").reset_index()
    answers = answers.melt("session_id", var_name="item_id", value_name="raw").astype({"raw": "object"})
    omitted = answers["raw"].isna() | answers["raw"].isin(blank)
    return answers.assign(raw=answers["raw"].mask(omitted), state=np.where(omitted, "omitted", "answered"))


def make_answers(rng, n=200, k=20, *, slope=1.0):
    """Key A throughout; who does not know draws from B, C, D, each with its own share."""
    ability, difficulty = rng.normal(size=(n, 1)), np.linspace(-1.5, 1.0, k)
    right = rng.logistic(size=(n, k)) < slope * ability - difficulty
    wrong = rng.choice(list("BCD"), size=(n, k), p=[0.6, 0.3, 0.1])
    items = [f"b{item:02}" for item in range(k)]
    key = pd.DataFrame({"item_id": items, "correct": "A"})
    return melt(pd.DataFrame(np.where(right, "A", wrong), columns=items)), key


def read_sat12():
    wide = pd.read_csv(shared_file("sat12/SAT12.csv"), dtype=str)
    key = pd.read_csv(shared_file("sat12/SAT12_key.csv"), dtype=str)
    return melt(wide, blank=["8"]), key.set_axis(["item_id", "correct"], axis=1)


# ------------------------------------------------------------------ options


def test_shares_and_correlation_by_hand():
    """Rest of b1 is b2: 1, 1, 0, 0, 0 for A, A, A, B and nothing; r(A) = (2/5 − 3/5 · 2/5) / √(6/25 · 6/25) = 2/3."""
    answers = melt(pd.DataFrame({"b1": ["A", "A", "A", "B", None], "b2": list("XXYYY")}))
    table = review_options(answers, pd.DataFrame({"item_id": ["b1", "b2"], "correct": ["A", "X"]}), options=["C"])
    first = table[table["item_id"] == "b1"].set_index(["state", "option"])
    assert list(first["n"]) == [3, 1, 0, 1, 0]
    assert list(first["share"]) == [0.6, 0.2, 0.0, 0.2, 0.0]
    assert list(first["keyed"]) == [True, False, False, False, False]
    assert first["r"].iloc[0] == pytest.approx(2 / 3)
    assert list(first["note"].fillna("")) == ["", "", "unchosen", "", "unchosen"]
    u, v = np.array([1, 1, 1, 0, 0]), np.array([1, 1, 0, 0, 0])
    u, v = (u - 0.6) / np.sqrt(0.24), (v - 0.4) / np.sqrt(0.24)
    influence = u * v - 2 / 3 * (u**2 + v**2) / 2
    assert first["r_se"].iloc[0] == pytest.approx(np.sqrt((influence**2).sum()) / 5)
    # 27 % of five are 1.35: of the two with rest 1, who both chose A; below 1.35 of the three with rest 0
    assert list(first["share_top27"]) == pytest.approx([1, 0, 0, 0, 0])
    assert list(first["share_bottom27"]) == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3, 0])


def test_the_key_correlates_as_the_item_review_says(rng):
    answers, key = make_answers(rng)
    answers.loc[::17, "state"] = "not_reached"  # whatever is written there
    answers.loc[::19, "state"] = "not_presented"
    marked = mark_sheet(answers, key)
    items = review_items(pd.DataFrame(marked.credit, columns=marked.sheet.item_ids)).items
    options = review_options(answers, key)
    of_key = options[options["keyed"]].reset_index(drop=True)
    assert of_key["r"].to_numpy() == pytest.approx(items["item_rest_r"].to_numpy(), abs=AGREES)
    assert of_key["share"].to_numpy() == pytest.approx(items["difficulty"].to_numpy(), abs=AGREES)
    assert options.groupby("item_id")["share"].sum().to_numpy() == pytest.approx(1)
    assert options.groupby("item_id")[["share_top27", "share_bottom27"]].sum().to_numpy() == pytest.approx(1)
    assert (options.groupby("item_id", sort=False)["n"].sum().to_numpy() == items["n"].to_numpy()).all()
    counts, given = options.groupby("state")["n"].sum(), answers["state"].value_counts()
    assert counts.to_dict() == given.drop("not_presented").to_dict() | {"omitted": 0}


@pytest.mark.slow
def test_standard_errors_are_those_of_drawing_persons_again(rng):
    """400 bootstrap samples: their standard deviation is known to 4 %."""
    answers, key = make_answers(rng, n=300, k=8)
    answers = answers[answers["item_id"] < "b08"]
    wide = answers.pivot_table("raw", "session_id", "item_id", aggfunc="first")
    drawn = [review_options(melt(wide.iloc[rng.integers(300, size=300)]), key) for _ in range(400)]
    table = review_options(answers, key)
    common = (table["n"] >= 20).to_numpy()
    spread = np.std([one["r"].to_numpy()[common] for one in drawn], axis=0)
    assert table["r_se"].to_numpy()[common] / spread == pytest.approx(1, abs=0.2)
    assert np.mean(table["r_se"].to_numpy()[common] / spread) == pytest.approx(1, abs=0.03)


def test_a_wrong_option_works_where_enough_and_not_the_better_ones_choose_it():
    """40 of 100 know the rest. B: 5 who do not; C: 4 who do not; D: 10 who know; E: 10 who do not."""
    chosen = ["A"] * 30 + ["D"] * 10 + ["B"] * 5 + ["C"] * 4 + ["E"] * 10 + ["A"] * 41
    rest = ["X"] * 40 + ["Y"] * 60
    key = pd.DataFrame({"item_id": ["b1", "b2"], "correct": ["A", "X"]})
    answers = melt(pd.DataFrame({"b1": chosen, "b2": rest}))
    table = review_options(answers, key)
    works = table[table["item_id"] == "b1"].set_index("option")["functioning"]
    assert works[["B", "C", "D", "E"]].tolist() == [True, False, False, True]
    assert works[["A"]].isna().all()
    strict = review_options(answers, key, limits=Limits(distractor_min=0.06)).set_index(["item_id", "option"])
    assert not strict.loc[("b1", "B"), "functioning"]
    few = review_options(answers[answers["session_id"] % 4 == 0], key)
    assert few["functioning"].isna().all()


def test_spelling_is_folded_and_several_answers_may_be_right():
    answers = melt(pd.DataFrame({"b1": ["a", " A", "B ", "c"], "b2": list("XXYY")}))
    key = pd.DataFrame(
        {"item_id": ["b1", "b1", "b2", "zz"], "correct": ["A", "b", "X", "Q"], "credit": [1, 0.5, None, 1]}
    )
    table = review_options(answers, key)
    first = table[table["item_id"] == "b1"]
    assert list(first["option"].dropna()) == ["A", "B", "c"]
    assert list(first["n"]) == [2, 1, 1, 0, 0]
    assert list(first["keyed"]) == [True, True, False, False, False]
    marked = mark_sheet(answers, key)
    assert marked.credit.tolist() == [[1, 1], [1, 1], [0.5, 0], [0, 0]]


def test_an_item_without_a_key_enters_no_rest_and_is_not_suspected(rng):
    answers, key = make_answers(rng, k=6)
    without = key[key["item_id"] != "b03"]
    table = review_options(answers, without).set_index("item_id")
    alone = review_options(answers[answers["item_id"] != "b03"], without).set_index("item_id")
    assert table.loc["b00", "r"].to_numpy() == pytest.approx(alone.loc["b00", "r"].to_numpy(), nan_ok=True)
    assert table.loc["b03", "r"].notna().any()
    assert not table.loc["b03", "keyed"].any()
    assert table.loc["b03", "functioning"].isna().all()
    assert "b03" not in set(suspect_keys(answers, without)["item_id"])


# ------------------------------------------------------------------ keys


def test_the_wrong_key_of_sat12_is_found():
    """Item 32 is keyed 5 and ought to be 3 (mirt's help page); mirt's data give .162, .037 and .443, .203."""
    answers, key = read_sat12()
    table = review_options(answers, key, options="12345").set_index(["item_id", "option"])
    assert table.loc[("Item.32", "5"), ["share", "r"]].tolist() == pytest.approx([0.162, 0.037], abs=5e-4)
    assert table.loc[("Item.32", "3"), ["share", "r"]].tolist() == pytest.approx([0.443, 0.203], abs=5e-4)
    suspects = suspect_keys(answers, key, options="12345")
    surely = suspects[suspects["reason"] == "beats_key"]
    assert list(zip(surely["item_id"], surely["option"], strict=True)) == [("Item.32", "3")]
    assert set(suspects.loc[suspects["item_id"] == "Item.32", "reason"]) == {"beats_key", "more_of_top", "near_chance"}
    mended = key.assign(correct=key["correct"].mask(key["item_id"] == "Item.32", "3"))
    assert "Item.32" not in set(suspect_keys(answers, mended, options="12345")["item_id"])


def test_sound_keys_of_real_tests_are_not_accused():
    hci = pd.read_csv(shared_file("hci/HCIdata.csv"), dtype=str).filter(regex=r"^A\d+$")
    msatb = pd.read_csv(shared_file("difnlr_msatb_gmat/MSATBtest.csv"), dtype=str).drop(columns="gender")
    for wide, file in ((hci, "hci/HCIkey.csv"), (msatb, "difnlr_msatb_gmat/MSATBkey.csv")):
        key = pd.DataFrame({"item_id": wide.columns, "correct": pd.read_csv(shared_file(file))["key"]})
        assert len(key) == 20
        assert "beats_key" not in set(suspect_keys(melt(wide), key)["reason"])


def test_the_one_odd_key_of_shojimas_test_is_found():
    """V2 of J35S5000: the key has an r of .04, with an upper bound below .10; option 1 has .13."""
    wide = pd.read_csv(shared_file("exametrika/J35S5000_raw.csv"), dtype=str).drop(columns="id")
    key = pd.read_csv(shared_file("exametrika/J35S5000_key.csv"), dtype=str).set_axis(["item_id", "correct"], axis=1)
    answers = melt(wide)
    suspects = suspect_keys(answers, key).query("reason == 'beats_key'")
    assert list(zip(suspects["item_id"], suspects["option"], strict=True)) == [("V2", "1")]
    table = review_options(answers, key)
    assert int(table.loc[table["state"] == "omitted", "n"].sum()) == wide.isna().sum().sum() == 396
    scored = pd.read_csv(shared_file("exametrika/J35S5000.csv")).drop(columns="id")
    assert (mark_sheet(answers, key).credit == scored.to_numpy()).all()


def test_difference_has_the_error_of_drawing_persons_again():
    """SAT12's item 32, 1,000 bootstrap samples: their standard deviation is known to 2 %."""
    rng = np.random.default_rng(1)
    answers, key = read_sat12()
    marked = mark_sheet(answers, key)
    item = marked.sheet.item_ids.get_loc("Item.32")
    rest = (marked.points - marked.credit[:, item]) / 31
    three = marked.sheet.chosen[:, item] == marked.sheet.place(["3"])[0]
    found = suspect_keys(answers, key).set_index(["item_id", "reason"]).loc[("Item.32", "beats_key")]
    columns = np.stack([rest, marked.credit[:, item], three])
    drawn = []
    for _ in range(1000):
        r = np.corrcoef(columns[:, rng.integers(600, size=600)])
        drawn.append(r[0, 2] - r[0, 1])
    r = np.corrcoef(columns)
    assert found["difference"] == pytest.approx(r[0, 2] - r[0, 1], abs=AGREES)
    assert found["se"] == pytest.approx(np.std(drawn), rel=0.08)


@pytest.mark.parametrize("n", [120, 300])
def test_planted_wrong_keys_are_found_and_no_other(rng, n):
    answers, key = make_answers(rng, n=n, slope=1.2)
    key.loc[[4, 13], "correct"] = ["B", "C"]
    suspects = suspect_keys(answers, key, options="ABCD")
    surely = suspects[suspects["reason"] == "beats_key"]
    assert list(surely["item_id"]) == ["b04", "b13"]
    assert list(surely["option"]) == ["A", "A"]
    assert (surely["difference"] >= 2 * surely["se"]).all()


@pytest.mark.slow
def test_sound_items_are_hardly_ever_accused(rng):
    """5,000 sound items with correlations around .35, 100 persons: fewer than one in 500 is held."""
    held = sum((suspect_keys(*make_answers(rng, n=100, k=25))["reason"] == "beats_key").sum() for _ in range(200))
    assert held < 10


def test_chance_by_hand():
    """A quarter of 100 is right: within two standard errors of 1/4; of 40 right it is not; 10 are worse than chance."""
    reasons = {}
    for right in (10, 25, 40):
        wide = pd.DataFrame({"b1": (["A"] * right + list("BCD") * 30)[:100], "b2": ["A", "B"] * 50})
        key = pd.DataFrame({"item_id": ["b1", "b2"], "correct": "A"})
        suspects = suspect_keys(melt(wide), key, options="ABCD").query("reason == 'near_chance' and item_id == 'b1'")
        reasons[right] = suspects[["difference", "se"]].to_numpy().ravel().tolist()
    error = np.sqrt(0.25 * 0.75 / 100)
    assert reasons == {10: pytest.approx([-0.15, error]), 25: pytest.approx([0, error]), 40: []}


def test_rare_options_are_not_held_against_the_key(rng):
    answers, key = make_answers(rng)
    points = mark_sheet(answers, key).points
    best = np.argsort(points)[-9:]
    answers.loc[(answers["item_id"] == "b07") & answers["session_id"].isin(best), "raw"] = "Z"
    table = review_options(answers, key).set_index(["item_id", "option"])["r"]
    assert table[("b07", "Z")] > table[("b07", "A")]
    assert "Z" not in set(suspect_keys(answers, key)["option"])


def test_leaving_out_is_no_option_that_could_be_the_key(rng):
    answers, key = make_answers(rng)
    best = np.argsort(mark_sheet(answers, key).points)[-60:]
    answers.loc[(answers["item_id"] == "b07") & answers["session_id"].isin(best), "state"] = "omitted"
    table = review_options(answers, key).set_index(["item_id", "state"])["r"]
    assert table.loc[("b07", "omitted")].item() > 0.5
    suspects = suspect_keys(answers, key).query("item_id == 'b07' and reason != 'near_chance'")
    assert suspects["option"].isin(list("BCD")).all()


# ------------------------------------------------------------------ lines of options


def test_traced_shares_add_up_and_rise_for_the_key(rng):
    answers, key = make_answers(rng, n=500)
    traced = trace_options(answers, key)
    assert (traced.groupby(["item_id", "group"])["share"].sum() - 1).abs().max() < AGREES
    assert traced["n_group"].min() >= 10
    of_key = traced[traced["keyed"]]
    last = of_key.groupby("item_id")["share"].agg(["first", "last"])
    assert (last["last"] > last["first"]).all()
    per_item = of_key.groupby("item_id")
    assert (per_item["n_group"].sum() == 500).all()
    assert per_item["score"].apply(lambda score: score.is_monotonic_increasing).all()


@pytest.mark.parametrize(("n", "groups"), [(100, 5), (49, 4), (25, 2)])
def test_groups_become_fewer_where_persons_are_few(rng, n, groups):
    answers, key = make_answers(rng, n=n, k=30)
    assert trace_options(answers, key)["group"].max() <= groups
    assert trace_options(answers, key)["n_group"].min() >= 10


# ------------------------------------------------------------------ odd tables

KEY = pd.DataFrame({"item_id": ["b1", "b2"], "correct": ["A", "B"]})
NOTHING = pd.DataFrame({"session_id": [], "item_id": [], "raw": [], "state": []}, dtype="object")


@pytest.mark.parametrize(
    "answers",
    [
        NOTHING,
        melt(pd.DataFrame({"b1": ["A"], "b2": ["B"]})),
        melt(pd.DataFrame({"b1": ["A", "B", "A"], "b2": [None] * 3})),
        melt(pd.DataFrame({"b1": [None] * 40, "b2": [None] * 40})),
        melt(pd.DataFrame({"b1": ["A"] * 40, "b2": ["B"] * 40})),
        melt(pd.DataFrame({"b1": ["C"] * 40, "b2": ["D"] * 40})),
        melt(pd.DataFrame({"b1": list("ABCD") * 10})),
        melt(pd.DataFrame({"b1": list("ABCD") * 10, "b2": ["B"] * 40})),
        melt(pd.DataFrame({"b1": list("AB") * 20, "b2": list("AB") * 20})).assign(state="not_presented"),
        melt(pd.DataFrame({"b1": list("AB") * 20, "zz": list("AB") * 20})),
        melt(pd.DataFrame({"b1": list("ABCD") * 10, "b2": list("ABBA") * 10})).astype("category"),
    ],
    ids=[
        "nothing",
        "one person",
        "three persons",
        "all omitted",
        "all right",
        "all wrong",
        "one item",
        "constant rest",
        "not presented",
        "no key",
        "categories",
    ],
)
@pytest.mark.parametrize("key", [KEY, KEY.head(0)], ids=["key", "empty key"])
def test_odd_answers_have_a_note_instead_of_a_number(answers, key):
    table = review_options(answers, key, options="ABC")
    assert list(table.columns) == OPTION_COLUMNS
    assert (table["r"].isna() == table["note"].notna()).all()
    assert (table["r"].isna() == table["r_se"].isna()).all()
    suspects, traced = suspect_keys(answers, key, options="ABC"), trace_options(answers, key)
    assert list(suspects.columns) == SUSPECT_COLUMNS
    assert list(traced.columns) == TRACE_COLUMNS
    assert suspects[["difference", "se"]].notna().all(axis=None)
    assert (traced["group"].isna() == traced["note"].notna()).all()
    assert set(traced["item_id"]) == set(answers["item_id"].astype("str"))
