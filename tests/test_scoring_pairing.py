"""Answers → scores → pairs, by hand and by identities; the gates on keys, links and pairs on both sides of each bound."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgtk_lib.change.absent.leavers import LeaverGap
from bgtk_lib.change.gates import judge_interval, judge_retention
from bgtk_lib.errors import LinkageError, ParameterError
from bgtk_lib.findings import Withheld
from bgtk_lib.linking.compare import Comparison, compare_forms, judge_link, judge_reuse, read_decisions
from bgtk_lib.pairing import Linked, pair_waves
from bgtk_lib.scoring.points import SCORE_COLUMNS, give_credit, score_form, score_totals
from bgtk_lib.words import plain
from bgtk_lib.workspace.declaration import Form

FORM, SCORED = Form(assessment="PED"), Form(assessment="PED", scored=True)
KEY = pd.DataFrame({"item_id": ["i1", "i2", "i3"], "correct": ["A", "B", "C"], "credit": [None, None, None]})


def answers(rows):
    """Return long answers of {session: {item: answer}}; X is omitted, - not reached, ? not presented."""
    states = {"X": "omitted", "-": "not_reached", "?": "not_presented"}
    long = [
        {"session_id": s, "item_id": i, "raw": None if a in states else a, "state": states.get(a, "answered")}
        for s, given in rows.items()
        for i, a in given.items()
    ]
    frame = pd.DataFrame(long, columns=["session_id", "item_id", "raw", "state"])
    return frame.astype({"session_id": "category", "item_id": "category", "raw": "category", "state": "category"})


def points(scored):
    return dict(zip(scored.scores["session_id"], scored.scores["points"], strict=True))


# ------------------------------------------------------------------ scores by hand


def test_scores_by_hand():
    given = answers(
        {
            "s1": {"i1": "A", "i2": "B", "i3": "C"},
            "s2": {"i1": "A", "i2": "X", "i3": "D"},
            "s3": {"i1": "-", "i2": "-", "i3": "c "},
        }
    )
    scored = score_form(given, key=KEY, form=FORM, form_id="F1")
    assert list(scored.scores.columns) == SCORE_COLUMNS
    assert points(scored) == {"s1": 3, "s2": 1, "s3": 1}, "case and blanks are not content"
    assert scored.scores["points_max"].tolist() == [3, 3, 3]
    assert scored.scores["score_pct"].round(6).tolist() == [100, 33.333333, 33.333333]
    assert scored.scores["n_items"].tolist() == [3, 3, 3]
    assert scored.scores["n_answered"].tolist() == [3, 2, 1]
    assert scored.unscorable.empty


def test_credit_by_hand():
    given = answers({"s1": {"i1": "A", "i2": "X", "i3": "?"}, "s2": {"i1": "Z", "i2": "B", "i3": "C"}})
    credit = give_credit(given, KEY, FORM)
    expected = pd.DataFrame({"i1": [1.0, 0.0], "i2": [0.0, 1.0], "i3": [np.nan, 1.0]}, index=["s1", "s2"])
    pd.testing.assert_frame_equal(credit, expected, check_names=False, check_index_type=False, check_column_type=False)


def test_several_right_answers_and_partial_credit():
    """Item i1: A earns 2, B earns 1; i2: B or C earn 1; whoever gives the best everywhere has the maximum."""
    key = pd.DataFrame(
        {"item_id": ["i1", "i1", "i2", "i2"], "correct": ["A", "B", "B", "C"], "credit": [2.0, 1.0, None, 1.0]}
    )
    given = answers({"s1": {"i1": "A", "i2": "C"}, "s2": {"i1": "B", "i2": "B"}, "s3": {"i1": "C", "i2": "A"}})
    scored = score_form(given, key=key, form=FORM, form_id="F1")
    assert points(scored) == {"s1": 3, "s2": 2, "s3": 0}
    assert scored.scores["points_max"].tolist() == [3, 3, 3]


def test_the_order_of_keys_is_of_no_matter():
    key = pd.DataFrame({"item_id": ["i1", "i1"], "correct": ["A", "A"], "credit": [2.0, 1.0]})
    given = answers({"s1": {"i1": "A"}})
    for register in (key, key.iloc[::-1]):
        assert points(score_form(given, key=register, form=FORM, form_id="F1")) == {"s1": 2}


def test_an_item_without_a_key_scores_nobody():
    given = answers({"s1": {"i1": "A", "i9": "B"}, "s2": {"i1": "B", "i9": "B"}})
    for key in (KEY, None):
        scored = score_form(given, key=key, form=FORM, form_id="F1")
        assert scored.scores.empty
        assert list(scored.scores.columns) == SCORE_COLUMNS
        assert scored.unscorable.to_dict("list") == {"session_id": ["s1", "s2"], "reason": ["no_key", "no_key"]}
        assert isinstance(scored.unreviewed, Withheld)
        assert "F1" in scored.unreviewed.reason.en


def test_keys_of_other_forms_change_nothing():
    more = pd.concat([KEY, pd.DataFrame({"item_id": ["i7"], "correct": ["A"], "credit": [5.0]})])
    given = answers({"s1": {"i1": "A", "i2": "B", "i3": "D"}})
    one, two = (score_form(given, key=key, form=FORM, form_id="F1").scores for key in (KEY, more))
    pd.testing.assert_frame_equal(one, two)


def test_answers_that_come_scored():
    given = answers({"s1": {"i1": "1", "i2": "0"}, "s2": {"i1": "X", "i2": "1"}})
    scored = score_form(given, key=None, form=SCORED, form_id="F1")
    assert points(scored) == {"s1": 1, "s2": 1}
    assert scored.scores["points_max"].tolist() == [2, 2]


def test_an_item_nobody_got_right_counts_in_the_maximum():
    given = answers({"s1": {"i1": "1", "i2": "0"}, "s2": {"i1": "1", "i2": "0"}})
    assert score_form(given, key=None, form=SCORED, form_id="F1").scores["points_max"].tolist() == [2, 2]
    given = answers({"s1": {"i1": "A", "i2": "A"}, "s2": {"i1": "B", "i2": "X"}})
    assert score_form(given, key=KEY, form=FORM, form_id="F1").scores["points_max"].tolist() == [2, 2]


def test_totals():
    totals = pd.DataFrame({"session_id": ["s1", "s2"], "points": [30.0, 10.0], "points_max": [40.0, np.nan]})
    scored = score_totals(totals, form_id="F1")
    assert list(scored.scores.columns) == SCORE_COLUMNS
    assert scored.scores["score_pct"].iloc[0] == 75
    assert pd.isna(scored.scores["score_pct"].iloc[1]), "without a maximum there is no percentage"
    assert isinstance(scored.unreviewed, Withheld)


LETTERS = st.sampled_from(["A", "B", "C", "D", "X", "-"])
SHEETS = st.lists(st.tuples(LETTERS, LETTERS, LETTERS), min_size=1, max_size=12)


def sheet(rows):
    return answers({f"s{n}": dict(zip(("i1", "i2", "i3"), row, strict=True)) for n, row in enumerate(rows)})


@settings(max_examples=40, deadline=None, derandomize=True)
@given(rows=SHEETS, order=st.randoms(use_true_random=False))
def test_scores_do_not_depend_on_the_order_of_rows(rows, order):
    given_answers = sheet(rows)
    shuffled = given_answers.iloc[order.sample(range(len(given_answers)), len(given_answers))]
    one = score_form(given_answers, key=KEY, form=FORM, form_id="F1")
    two = score_form(shuffled, key=KEY, form=FORM, form_id="F1")
    assert points(one) == points(two)
    by_hand = {f"s{n}": sum(a == k for a, k in zip(row, "ABC", strict=True)) for n, row in enumerate(rows)}
    assert points(one) == by_hand
    assert len(one.scores) + len(one.unscorable) == len(rows)


def states_of(gates):
    return {gate.code: gate.state for gate in gates}


# ------------------------------------------------------------------ pairs


def scores_of(pre, post, *, assessment="PED"):
    rows = [(pid, wave, points) for wave, given in (("pre", pre), ("post", post)) for pid, points in given.items()]
    frame = pd.DataFrame(rows, columns=["pid", "wave", "points"])
    start = {
        "pre": pd.Timestamp("2025-10-18 23:30", tz="Asia/Jakarta"),
        "post": pd.Timestamp("2026-04-18 00:30", tz="Asia/Jakarta"),
    }
    return frame.assign(
        assessment=assessment, form_id="F1", points_max=10.0, start=frame["wave"].map(start),
        district=frame["wave"].map({"pre": "18.01", "post": "18.02"}), npsn="10800001", jenjang="SD",
    ).astype({"points": float})  # fmt: skip


def pair(frame, pre="pre", post="post"):
    return pair_waves(frame, assessment="PED", wave_pre=pre, wave_post=post)


def test_pairs_by_hand():
    linked = pair(scores_of({"a": 3, "b": 5, "c": 4}, {"b": 7, "a": 2, "d": 9}))
    assert linked.pairs["pid"].tolist() == ["a", "b"]
    assert linked.pairs["score_pre"].tolist() == [3, 5]
    assert linked.pairs["score_post"].tolist() == [2, 7]
    assert linked.pairs["days"].tolist() == [182, 182], "calendar days in WIB, whatever the hour"
    assert set(linked.pairs["district"]) == {"18.01"}, "the district is the one of the first wave"
    assert linked.unpaired[["pid", "reason", "score"]].to_numpy().tolist() == [
        ["c", "only_pre", 4.0],
        ["d", "only_post", 9.0],
    ]
    assert linked.retention == 2 / 3
    assert set(linked.pairs["wave_pre"]) == {"pre"}
    assert set(linked.unpaired["assessment"]) == {"PED"}


PEOPLE = st.dictionaries(st.sampled_from("abcdefghij"), st.integers(0, 10))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pre=PEOPLE, post=PEOPLE)
def test_nobody_is_lost_and_swapping_waves_flips_the_sign(pre, post):
    frame = pd.concat([scores_of(pre, post), scores_of({"z": 1}, {"z": 2}, assessment="MAT")])
    linked, swapped = pair(frame), pair(frame, "post", "pre")
    assert 2 * len(linked.pairs) + len(linked.unpaired) == len(pre) + len(post)
    assert set(linked.pairs["pid"]) == set(pre) & set(post)
    assert set(linked.unpaired["pid"]) == set(pre) ^ set(post)
    change = (linked.pairs["score_post"] - linked.pairs["score_pre"]).set_axis(linked.pairs["pid"])
    back = (swapped.pairs["score_post"] - swapped.pairs["score_pre"]).set_axis(swapped.pairs["pid"])
    assert change.to_dict() == {pid: post[pid] - pre[pid] for pid in set(pre) & set(post)}
    assert back.to_dict() == {pid: -value for pid, value in change.items()}
    turned = {"only_pre": "only_post", "only_post": "only_pre"}
    assert {(p, turned[r]) for p, r in linked.unpaired[["pid", "reason"]].itertuples(index=False)} == set(
        swapped.unpaired[["pid", "reason"]].itertuples(index=False, name=None)
    )
    assert list(linked.pairs.columns) == list(swapped.pairs.columns)
    if not pre:
        assert isinstance(linked.retention, Withheld)


@pytest.mark.parametrize("wave", ["pre", "post"])
def test_two_scores_of_a_person_stop_the_pairing(wave):
    frame = scores_of({"a": 3, "b": 4}, {"a": 5})
    frame = pd.concat([frame, frame[(frame["wave"] == wave) & (frame["pid"] == "a")]])
    with pytest.raises(LinkageError) as caught:
        pair(frame)
    assert (
        caught.value.text.en
        == f"Wave {wave}, assessment PED: 1 persons have two scores; the attempt rule must choose one. Check rules.attempts."
    )


def test_without_times_there_are_no_days():
    linked = pair(
        scores_of({"a": 3}, {"a": 5}).assign(
            start=pd.Series(pd.NaT, index=range(2), dtype="datetime64[s, Asia/Jakarta]")
        )
    )
    assert linked.pairs["days"].isna().all()
    assert judge_interval(linked.pairs, [150, 210], {}).state == "UNKNOWN"


# ------------------------------------------------------------------ C03, C09, C05


def linked_of(stayed, left):
    """Return a link with as many who stayed and left; two more came to the second wave only."""
    unpaired = pd.DataFrame({"reason": ["only_pre"] * left + ["only_post"] * 2, "score": 1.0})
    return Linked(pairs=pd.DataFrame({"pid": range(stayed)}), unpaired=unpaired)


def gap_of(g, half=0.1):
    return LeaverGap(n_stayers=90, n_leavers=10, mean_stayers=0, mean_leavers=g, g=g, low=g - half, high=g + half)


NO_GAP = Withheld(plain("too few"))


@pytest.mark.parametrize(
    ("stayed", "left", "gap", "states"),
    [
        (59, 41, gap_of(0), {"C03": "STOP"}),
        (60, 40, gap_of(0), {"C03": "OK", "C09": "HOLD"}),
        (79, 21, gap_of(0), {"C03": "OK", "C09": "HOLD"}),
        (80, 20, gap_of(0), {"C03": "OK", "C09": "OK"}),
        (80, 20, gap_of(0.05), {"C03": "OK", "C09": "OK"}),
        (80, 20, gap_of(-0.06), {"C03": "OK", "C09": "WARN"}),
        (80, 20, gap_of(0.25), {"C03": "OK", "C09": "WARN"}),
        (80, 20, gap_of(-0.26), {"C03": "OK", "C09": "HOLD"}),
        (80, 20, gap_of(-0.26, half=0.3), {"C03": "OK", "C09": "WARN"}),
        (80, 20, NO_GAP, {"C03": "OK", "C09": "WARN"}),
        (100, 0, NO_GAP, {"C03": "OK", "C09": "OK"}),
        (70, 30, NO_GAP, {"C03": "OK", "C09": "HOLD"}),
        (10, 19, gap_of(0), {"C03": "UNKNOWN", "C09": "UNKNOWN"}),
        (10, 20, gap_of(0), {"C03": "STOP"}),
        (0, 0, NO_GAP, {"C03": "STOP"}),
        (0, 40, NO_GAP, {"C03": "STOP"}),
    ],
)
def test_who_came_back(stayed, left, gap, states):
    gates = judge_retention(linked_of(stayed, left), gap, {"assessment": "PED"})
    assert states_of(gates) == states
    assert all(gate.scope == {"assessment": "PED"} for gate in gates)


@pytest.mark.parametrize(
    ("days", "state"),
    [
        ([180] * 100, "OK"),
        ([150] * 50 + [210] * 50, "OK"),
        ([180] * 95 + [149] * 5, "WARN"),
        ([180] * 94 + [211] * 6, "HOLD"),
        ([180] * 99 + [211], "WARN"),
        ([180] * 10 + [None] * 90, "OK"),
        ([211] + [None] * 99, "HOLD"),
        ([], "UNKNOWN"),
        ([None], "UNKNOWN"),
    ],
)
def test_days_between_the_sittings(days, state):
    gate = judge_interval(pd.DataFrame({"days": pd.Series(days, dtype="float64")}), [150, 210], {})
    assert (gate.code, gate.state) == ("C05", state)


# ------------------------------------------------------------------ C01, C06


def decide(**facts):
    return [
        {
            "date": "2026-01-01",
            "who": "Panel",
            "form_from": "F1",
            "form_to": "F2",
            "decision": "parallel",
            "reason": "r",
            **facts,
        }
    ]


@pytest.mark.parametrize(
    ("pre", "post", "decisions", "kind", "state"),
    [
        ({"F1"}, {"F1"}, [], "same_form", "OK"),
        ({"F1"}, {"F2"}, [], "none", "STOP"),
        ({"F1"}, {"F2"}, decide(), "declared_parallel", "HOLD"),
        ({"F2"}, {"F1"}, decide(), "declared_parallel", "HOLD"),
        ({"F1"}, {"F3"}, decide(), "none", "STOP"),
        ({"F1"}, {"F2"}, decide(decision="not parallel"), "none", "STOP"),
        ({"F1", "F2"}, {"F1", "F2"}, decide(), "none", "STOP"),
        ({"F1", "F2"}, {"F1"}, decide(), "none", "STOP"),
        ({"F1"}, {"F1"}, decide(), "same_form", "OK"),
    ],
)
def test_on_what_ground_forms_are_compared(pre, post, decisions, kind, state):  # noqa: PLR0917 - pytest gives them by name
    comparison = compare_forms(pre, post, decisions)
    assert comparison.kind == kind
    gate = judge_link(comparison, {})
    assert (gate.code, gate.state) == ("C01", state)
    assert ("Panel" in gate.message.en) == (kind == "declared_parallel"), "whose decision it was is printed"


@pytest.mark.parametrize(
    ("kind", "released", "state"),
    [
        ("same_form", False, "WARN"),
        ("same_form", True, "HOLD"),
        ("declared_parallel", True, "OK"),
        ("none", True, "OK"),
    ],
)
def test_the_same_items_again(kind, released, state):
    comparison = Comparison(kind=kind, forms_pre=("F1",), forms_post=("F1",))
    gate = judge_reuse(comparison, released=released, scope={})
    assert (gate.code, gate.state) == ("C06", state)


def test_decisions_are_read_strictly(tmp_path):
    path = tmp_path / "links.csv"
    assert read_decisions(path) == []
    path.write_text(
        "\ufeffdate,who,form_from,form_to,decision,reason\n2026-01-01,Panel,F1,F2,parallel,r\n", encoding="utf-8"
    )
    assert read_decisions(path) == decide()
    path.write_text(
        'date,who,form_from,form_to,decision,reason\n2026-01-01,Panel,F1,F2,parallel,"one,\ntwo"\n', encoding="utf-8"
    )
    assert read_decisions(path) == decide(reason="one,\ntwo")
    header = "date,who,form_from,form_to,decision,reason\n"
    for text in (
        "date,who\n",
        "",
        header.replace(",", ";"),
        header + "2026-01-01,Panel,F1,F2,parallel\n",
        header + "2026-01-01,Panel,F1,F2,parallel,a,b\n",
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ParameterError, match=r"links\.csv must have the columns"):
            read_decisions(path)
    path.write_bytes((header + "2026-01-01,Panel,F1,F2,parallel,Hände\n").encode("latin-1"))
    with pytest.raises(ParameterError, match="is not UTF-8"):
        read_decisions(path)
