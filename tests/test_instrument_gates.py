"""Gates of the instrument room: a sound form passes, each single fault closes its gate, and what is decided is told."""

from __future__ import annotations

import pandas as pd
import pytest

from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.classical import ItemReview
from bgtk_lib.instrument.experts import review_panel
from bgtk_lib.instrument.gates import judge_anchor_fairness, judge_fairness, judge_key, judge_panel, judge_reliability
from bgtk_lib.words import plain

NONE = pd.DataFrame({"item_id": [], "reason": []}, dtype="str")

# ------------------------------------------------------------------ D12 and I01


def review_of(correlations, *, n=200, high=0.5):
    items = pd.DataFrame({"item_id": [f"i{k}" for k in range(len(correlations))], "item_rest_r": correlations, "n": n})
    items = items.assign(r_high=[high if r is None or r > 0 else 0.2 for r in correlations])
    return ItemReview(
        items=items, alpha=0.8, alpha_low=0.7, alpha_high=0.9, n_persons=n, n_incomplete=0, n_items=len(items)
    )


def states_of(gates):
    return {gate.code: gate.state for gate in gates}


@pytest.mark.parametrize(
    ("negative", "n", "state"),
    [
        (0, 200, "OK"),
        (1, 200, "WARN"),
        (2, 200, "WARN"),
        (3, 200, "STOP"),
        (6, 99, "WARN"),
        (7, 99, "STOP"),
        (3, 100, "STOP"),
        (0, 30, "OK"),
        (20, 29, "UNKNOWN"),
    ],
)
def test_share_of_negative_items_that_stops(negative, n, state):
    """Of 20 items: 2 are the 10 % that is still allowed; below 100 persons 6 are the 30 %; below 30 nothing is said."""
    review = review_of([-0.05] * negative + [0.3] * (20 - negative), n=n)
    assert states_of(judge_key(review, NONE, {"form": "F1"}))["D12"] == state


def test_an_item_at_zero_counts_as_negative_and_one_unknown_does_not_count():
    assert states_of(judge_key(review_of([0.0] + [0.3] * 19), NONE, {}))["D12"] == "WARN"
    assert states_of(judge_key(review_of([-0.1, -0.1] + [0.3] * 18 + [None] * 20), NONE, {}))["D12"] == "WARN"
    assert states_of(judge_key(review_of([None, None]), NONE, {}))["D12"] == "UNKNOWN"


@pytest.mark.parametrize(
    ("high", "n", "state"), [(0.099, 200, "HOLD"), (0.10, 200, "OK"), (0.099, 100, "HOLD"), (0.099, 99, "OK")]
)
def test_an_item_is_surely_poor_when_the_upper_bound_is_below_a_tenth(high, n, state):
    review = review_of([0.3] * 19 + [0.01], n=n)
    review.items.loc[19, "r_high"] = high
    gates = judge_key(review, NONE, {"form": "F1"})
    assert states_of(gates)["I01"] == state
    assert ("i19" in gates[-1].message.en) == (state == "HOLD"), "the item is named so that somebody can review it"


def test_what_cannot_be_reviewed_is_unknown():
    gates = judge_key(Withheld(plain("totals only")), NONE, {"form": "F1"})
    assert states_of(gates) == {"D12": "UNKNOWN"}


# ------------------------------------------------------------------ suspects and decisions


def suspect(reason):
    return pd.DataFrame({"item_id": ["i3"], "reason": [reason]})


@pytest.mark.parametrize(
    ("reason", "n", "state"),
    [
        ("beats_key", 100, "HOLD"),
        ("beats_key", 99, "OK"),
        ("larger_r", 200, "WARN"),
        ("more_of_top", 200, "WARN"),
        ("near_chance", 200, "OK"),
    ],
)
def test_a_distractor_that_beats_the_key_holds(reason, n, state):
    gate = judge_key(review_of([0.3] * 20, n=n), suspect(reason), {})[-1]
    assert (gate.code, gate.state, "i3" in gate.message.id) == ("I01", state, state != "OK")


def test_a_decision_opens_the_gate_for_its_item_only():
    review = review_of([0.3] * 19 + [0.01])
    review.items.loc[19, "r_high"] = 0.05
    both = judge_key(review, suspect("beats_key"), {}, decided={"i3"})[-1]
    assert both.state == "HOLD"
    assert "i19" in both.message.en
    assert "i3," not in both.message.en
    done = judge_key(review, suspect("beats_key"), {}, decided={"i3", "i19"})[-1]
    assert done.state == "WARN"
    assert "i3" in done.message.en


# ------------------------------------------------------------------ I03


@pytest.mark.parametrize(
    ("alpha", "high", "n", "states"),
    [
        (0.70, 0.75, 200, ["OK"]),
        (0.69, 0.75, 200, ["WARN"]),
        (0.60, 0.69, 200, ["HOLD"]),
        (0.60, 0.69, 29, []),
        (Withheld(plain("no variation")), None, 200, []),
    ],
)
def test_reliability_holds_only_where_it_is_surely_low(alpha, high, n, states):
    review = review_of([0.3] * 20, n=n)
    facts = {**review.__dict__, "alpha": alpha, "alpha_low": 0.5, "alpha_high": high}
    assert [gate.state for gate in judge_reliability(ItemReview(**facts), {})] == states


# ------------------------------------------------------------------ I04


def large(item, grouping):
    return pd.DataFrame({"item_id": [item], "grouping": [grouping]})


@pytest.mark.parametrize(("grouping", "state"), [("device", "WARN"), ("district", "WARN"), ("sex", "OK")])
def test_large_differences_by_device_or_place_are_told(grouping, state):
    assert judge_fairness(large("i3", grouping), {}).state == state


@pytest.mark.parametrize(("kept", "state"), [(["i3", "i4"], "HOLD"), (["i4"], "OK"), ([], "OK")])
def test_an_anchor_in_use_that_differs_by_device_holds(kept, state):
    found = judge_anchor_fairness({"pre": large("i3", "device"), "post": large("i9", "sex")}, kept, {})
    assert (found.code, found.state) == ("I04", state)


# ------------------------------------------------------------------ I05


@pytest.mark.parametrize(("conflict", "state"), [("none", "OK"), ("coach", "WARN"), ("writer", "WARN"), (None, "WARN")])
def test_raters_with_an_interest_are_told(conflict, state):
    rows = {"item_id": "i1", "rater": list("abcd"), "rating": 4, "scale": "relevance_4", "organisation": "x"}
    panel = pd.DataFrame(rows).assign(conflict=["none", "none", "none", conflict])
    assert [gate.state for gate in judge_panel(review_panel(panel, writers=None), {})] == [state]


def test_without_a_panel_there_is_no_gate():
    assert judge_panel(None, {}) == []
