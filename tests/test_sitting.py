"""How persons sat: blanks, times, runs and identical strings, by hand, by chance, and with what was planted."""

import itertools

import numpy as np
import pandas as pd
import pytest

from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.patterns import IDENTICAL_COLUMNS, RUN_COLUMNS, count_identical, review_runs
from bgtk_lib.instrument.sitting import BLANK_COLUMNS, TIME_COLUMNS, review_blanks, review_times


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


def melt(table, states=None):
    """Answers of a persons × items array of options; None is omitted, unless `states` says another state."""
    wide = pd.DataFrame(table).add_prefix("b")
    answers = wide.rename_axis("session_id").reset_index().melt("session_id", var_name="item_id", value_name="raw")
    answers = answers.astype({"raw": "object"})
    answers["state"] = np.where(answers["raw"].isna(), "omitted", "answered")
    if states is not None:
        answers["state"] = pd.DataFrame(states).melt()["value"].to_numpy()
    return answers.sort_values(["session_id", "item_id"], kind="stable", ignore_index=True)


def make_test(rng, n, k, *, easier=0.0):
    """Options and credit of a Rasch test whose key is a random letter and whose wrong options are unequally liked."""
    right = rng.logistic(size=(n, k)) < rng.normal(size=(n, 1)) - np.linspace(-2, 2, k) + easier
    key = rng.integers(4, size=k)
    liked = rng.dirichlet(np.ones(3), size=k)
    wrong = np.stack([rng.choice(3, size=n, p=share) for share in liked], axis=1) + 1
    options = np.array(list("ABCD"))[np.where(right, key, (key + wrong) % 4)]
    return options, right.astype(float)


def give_credit(right):
    return pd.DataFrame(right).add_prefix("b")


# ------------------------------------------------------------------ blanks


def test_blanks_by_hand():
    o, a, n, x = "omitted", "answered", "not_reached", "not_presented"
    states = [[a, a, a, a, x], [o, o, a, a, x], [a, o, n, n, x], [a, a, a, n, x]]
    blanks = review_blanks(melt([["A"] * 5] * 4, states))
    assert list(blanks.items.columns) == BLANK_COLUMNS
    assert blanks.items["n"].tolist() == [4, 4, 4, 4, 0]
    assert blanks.items["share_omitted"].tolist()[:4] == [0.25, 0.5, 0, 0]
    assert blanks.items["share_not_reached"].tolist()[:4] == [0, 0, 0.25, 0.5]
    assert blanks.items.iloc[4, 2:].isna().all()
    assert blanks.items.iloc[:4, 2:].sum(axis=1).tolist() == [1] * 4
    assert (blanks.n_persons, blanks.share_unfinished) == (4, 0.5)
    assert blanks.share_many_omitted == 0.5, "two of four and one of four omitted are more than a fifth"
    assert "50.0 %" in blanks.speededness.en


@pytest.mark.parametrize(("late", "speeded"), [(5, False), (6, True)])
def test_a_form_is_speeded_when_more_than_one_in_twenty_does_not_finish(late, speeded):
    states = [["answered", "not_reached" if person < late else "answered"] for person in range(100)]
    assert (review_blanks(melt([["A"] * 2] * 100, states)).speededness is not None) == speeded


@pytest.mark.parametrize(("omitted", "share"), [(2, 0.0), (3, 1.0)])
def test_a_fifth_left_out_is_not_yet_many(omitted, share):
    assert review_blanks(melt([[None] * omitted + ["A"] * (10 - omitted)])).share_many_omitted == share


# ------------------------------------------------------------------ times


def make_times(seconds):
    answers = melt(np.full(np.shape(seconds), "A"))
    return answers.assign(milliseconds=1000 * np.asarray(seconds, dtype=float).ravel())


def test_rapid_answers_by_hand():
    """b0: mean 40 s, limit 4 s; b1: mean 200 s, limit 10 s rather than 20 s. One person is below both."""
    seconds = np.tile([[40.0, 200.0]], (40, 1))
    seconds[0], seconds[1] = [3.9, 9.9], [4.1, 10.1]
    seconds[2:, 0] += (40 - seconds[:, 0].mean()) * 40 / 38
    seconds[2:, 1] += (200 - seconds[:, 1].mean()) * 40 / 38
    times = review_times(make_times(seconds))
    assert list(times.items.columns) == TIME_COLUMNS
    assert times.items["mean_seconds"].tolist() == pytest.approx([40, 200])
    assert times.items["threshold_seconds"].tolist() == pytest.approx([4, 10])
    assert times.items["share_rapid"].tolist() == [1 / 40, 1 / 40]
    assert times.persons["rte"].tolist() == [0.0] + [1.0] * 39
    assert (times.n_persons, times.share_low_effort) == (40, 1 / 40)


def test_effort_is_low_below_nine_tenths():
    seconds = np.full((50, 20), 30.0)
    seconds[0, :2], seconds[1, :3] = 0.5, 0.5
    times = review_times(make_times(seconds))
    assert times.persons["rte"].tolist()[:3] == pytest.approx([0.90, 0.85, 1.0])
    assert times.share_low_effort == 1 / 50


def test_what_has_no_time_or_no_answer_is_not_judged():
    answers = make_times(np.full((60, 3), 30.0))
    answers.loc[answers["item_id"] == "b1", "milliseconds"] = [np.nan] * 31 + [20_000] * 29
    answers.loc[answers["session_id"] == 5, ["milliseconds", "state"]] = [1, "omitted"]
    answers = answers.astype({"milliseconds": "Int64"})
    times = review_times(answers)
    assert times.items["note"].fillna("").tolist() == ["", "too_few", ""]
    assert times.items["n"].tolist() == [59, 29, 59]
    assert times.items.loc[1, ["threshold_seconds", "share_rapid"]].isna().all()
    assert times.persons["n_timed"].tolist() == [2] * 5 + [0] + [2] * 54
    assert times.persons["rte"].isna().tolist() == [person == 5 for person in range(60)]
    assert times.n_persons == 59


# ------------------------------------------------------------------ runs


def longest(row):
    return max((sum(1 for _ in group) for option, group in itertools.groupby(row) if option is not None), default=0)


def test_runs_are_counted_as_one_would(rng):
    table = rng.choice(np.array(["A", "B", None]), size=(300, 9), p=[0.5, 0.4, 0.1])
    runs = review_runs(melt(table), give_credit(np.zeros((300, 9))))
    assert list(runs.runs.columns) == RUN_COLUMNS
    expected = [sum(longest(row) >= length for row in table) for length in range(2, 10)]
    assert runs.runs["n"].tolist() == expected
    assert runs.runs["length"].tolist() == list(range(2, 10))


def test_chance_of_a_run_agrees_with_every_possible_string():
    """Four items with their own shares and blanks: 3^4 strings, each with its probability."""
    columns = [["A"] * 5 + ["B"] * 5, ["A"] * 8 + ["B"] * 2, ["A"] * 3 + ["B"] * 4 + [None] * 3, ["B"] * 10]
    table = np.array(columns, dtype=object).T
    shares = [{option: column.count(option) / 10 for option in ("A", "B", None)} for column in columns]
    chance = dict.fromkeys((2, 3, 4), 0.0)
    for string in itertools.product(("A", "B", None), repeat=4):
        probability = np.prod([share[option] for share, option in zip(shares, string, strict=True)])
        for length in chance:
            chance[length] += probability * (longest(string) >= length)
    runs = review_runs(melt(table), give_credit(np.zeros((10, 4)))).runs
    assert runs["share_by_chance"].tolist() == pytest.approx(list(chance.values()))


def test_runs_of_a_sound_test_are_those_of_chance(rng):
    """3,000 persons: a share is known to .009; the key has runs of its own, and able persons follow it."""
    options, right = make_test(rng, 3000, 30)
    runs = review_runs(melt(options), give_credit(right))
    assert np.abs(runs.runs["share"] - runs.runs["share_by_chance"]).max() < 0.03
    assert runs.n_rare <= 10, "of 3,000 persons one in a thousand"


def test_straight_lines_are_found(rng):
    options, right = make_test(rng, 500, 30)
    options[:12, 5:] = "C"
    runs = review_runs(melt(options), give_credit(right))
    assert runs.length_rare < 25
    assert 12 <= runs.n_rare <= 15


def test_the_order_of_the_items_is_the_one_given():
    answers, credit = melt([list("ABAB")] * 5), give_credit(np.zeros((5, 4)))
    assert review_runs(answers, credit).runs["n"].tolist() == [0, 0, 0]
    assert review_runs(answers, credit, order=["b0", "b2", "b1", "b3"]).runs["n"].tolist() == [5, 0, 0]


# ------------------------------------------------------------------ identical strings


@pytest.mark.parametrize(("n", "k", "easier"), [(300, 10, 0), (1500, 10, 2), (1500, 20, 3), (400, 40, 0)])
def test_strings_shared_by_chance_are_no_finding(rng, n, k, easier):
    """Many persons share a string on short or easy tests; eight tests of each kind, one in twenty may err."""
    found = [count_identical(*_both(make_test(rng, n, k, easier=easier))) for _ in range(8)]
    assert sum(one.groups["n_beyond"].sum() for one in found) <= 1
    if k == 10 and easier:
        assert min(one.groups["n_groups"].sum() for one in found) > 50
    assert all(one.n_persons + one.n_all_right == n for one in found)


def _both(test):
    options, right = test
    return melt(options), give_credit(right)


@pytest.mark.parametrize("copies", [1, 2, 5])
def test_planted_copies_are_found_and_counted(rng, copies):
    options, right = make_test(rng, 300, 25)
    source = int(np.argsort(right.sum(axis=1))[150])
    others = [person for person in range(300) if person != source][:copies]
    options[others], right[others] = options[source], right[source]
    found = count_identical(melt(options), give_credit(right))
    assert list(found.groups.columns) == IDENTICAL_COLUMNS
    assert found.groups.to_dict("list") == {"size": [copies + 1], "n_groups": [1], "n_beyond": [1]}
    assert found.n_persons_beyond == copies + 1


def test_all_right_and_all_blank_are_left_out(rng):
    options, right = make_test(rng, 100, 12)
    key = [column[mask.argmax()] for column, mask in zip(options.T, right.T == 1, strict=True)]
    options[:20], right[:20] = key, 1
    options = options.astype(object)
    options[20:50], right[20:50] = None, 0
    found = count_identical(melt(options), give_credit(right))
    assert (found.n_all_right, found.n_persons) == (20, 50)
    assert found.n_persons_beyond == 0


# ------------------------------------------------------------------ odd tables

EMPTY = pd.DataFrame({"session_id": [], "item_id": [], "raw": [], "state": [], "milliseconds": []}, dtype="object")


@pytest.mark.parametrize(
    "answers",
    [
        EMPTY,
        melt([["A"]]),
        melt([["A", "B"]]),
        melt([["A", "B"]] * 3),
        melt([[None, None]] * 50),
        melt([["A", "A"]] * 50),
        melt([["A", "B"]] * 50).assign(state="not_presented"),
        melt([["A", "B"]] * 50).assign(state="not_reached"),
        melt([["A", "B"]] * 50).assign(milliseconds=None),
        melt([["A", "B"]] * 50).assign(milliseconds=0),
        melt([["A", "B"]] * 50).astype("category"),
    ],
    ids=[
        "nothing",
        "one answer",
        "one person",
        "three persons",
        "all omitted",
        "all the same",
        "not presented",
        "not reached",
        "null times",
        "no time at all",
        "categories",
    ],
)
def test_odd_answers_are_told_or_withheld(answers):
    credit = answers.assign(one=1.0).pivot_table("one", "session_id", "item_id", observed=True)
    for result in (review_blanks(answers), review_times(answers), review_runs(answers, credit)):
        if isinstance(result, Withheld):
            assert result.reason.id != result.reason.en
    for given in (credit, credit * 0, credit * np.nan, credit.head(0)):
        found = count_identical(answers, given)
        assert isinstance(found, Withheld) or found.n_persons_beyond == 0


def test_without_times_the_reason_is_told():
    answers = melt([["A", "B"]] * 50)
    assert "tidak mencatat waktu" in review_times(answers).reason.id
    assert "30" in review_times(answers.head(10).assign(milliseconds=1000)).reason.id
