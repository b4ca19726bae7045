"""Small cells: hidden, and not to be had back by subtraction; flows and frames as they may be printed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgtk_lib.coverage import bound_shares
from bgtk_lib.disclosure import (
    FEWEST_FOR_DENSITY,
    Plan,
    name_table,
    plan_suppression,
    publish_count,
    publish_flow,
    release,
    release_density,
    release_frame,
    release_nested,
)
from bgtk_lib.display.context import Context
from bgtk_lib.display.coverage import frame_coverage
from bgtk_lib.findings import Figure, Flow, FlowStep, Withheld
from bgtk_lib.words import plain

MIN = 5
COUNTS = st.lists(st.integers(0, 14), min_size=1, max_size=5)


def table_of(counts):
    return pd.Series(dict(zip("abcdefgh", counts, strict=False)), dtype="int64")


def hide(counts, min_cell=MIN):
    return dict(plan_suppression({"t": table_of(counts)}, min_cell=min_cell).hidden["t"])


def list_possible(hidden, total, min_cell):
    """Return every way to fill the hidden cells that agrees with what is printed: their sum, and why each is hidden."""
    ranges = [range(1, min_cell) if kind == "small" else range(min_cell, total + 1) for kind in hidden.values()]
    return [way for way in itertools.product(*ranges) if sum(way) == total]


# ------------------------------------------------------------------ the plan


@settings(max_examples=300, deadline=None, derandomize=True)
@given(counts=COUNTS)
def test_no_hidden_cell_can_be_worked_out(counts):
    """Brute force: the total and the shown cells leave more than one value for every hidden cell."""
    table, hidden = table_of(counts), hide(counts)
    small = {code for code, n in table.items() if 0 < n < MIN}
    assert {code for code, kind in hidden.items() if kind == "small"} <= small <= set(hidden), (
        "every small cell is hidden"
    )
    assert all(table[code] > 0 for code in hidden), "an empty cell stands for nobody"
    if not small:
        assert hidden == {}
        return
    filled = int((table > 0).sum())
    whole = sum(int(table[code]) for code in hidden)
    assert len(hidden) >= 2 or filled == 1
    assert whole >= MIN or len(hidden) == filled
    if len(hidden) < filled:  # where all cells are hidden already, only hiding the total itself would hide more
        ways = list_possible(hidden, whole, MIN)
        for place in range(len(hidden)):
            assert len({way[place] for way in ways}) > 1, (counts, hidden, ways)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(counts=COUNTS, order=st.randoms(use_true_random=False))
def test_the_order_of_cells_hides_the_same_sizes(counts, order):
    table = table_of(counts)
    shuffled = table.iloc[order.sample(range(len(table)), len(table))]
    one = plan_suppression({"t": table}, min_cell=MIN).hidden["t"]
    two = plan_suppression({"t": shuffled}, min_cell=MIN).hidden["t"]
    assert sorted(table[list(one)]) == sorted(table[list(two)])


@pytest.mark.parametrize(
    ("counts", "hidden"),
    [
        ([10, 20, 30], {}),
        ([0, 0, 0], {}),
        ([0, 12, 30], {}),
        ([4, 25, 60], {"a": "small", "b": "complement"}),
        ([4, 60, 25], {"a": "small", "c": "complement"}),
        ([3, 4, 60, 25], {"a": "small", "b": "small", "d": "complement"}),
        ([6, 7, 60, 25], {"a": "small", "b": "small"}),
        ([4], {"a": "small"}),
        ([4, 0], {"a": "small"}),
        ([1, 10, 50], {"a": "small", "b": "complement", "c": "complement"}),
        ([9, 9, 50], {"a": "small", "b": "small", "c": "complement"}),
    ],
)
def test_plans_by_hand(counts, hidden):
    """With at least ten: 1 and 10 hidden together would sum to 11, which only 1 and 10 give; 9 and 9 likewise."""
    assert hide(counts, min_cell=10) == hidden


def test_tables_are_planned_each_for_itself():
    plan = plan_suppression({"one": table_of([4, 25]), "two": table_of([25, 25])}, min_cell=10)
    assert set(plan.hidden) == {"one", "two"}
    assert plan.hidden["two"] == {}


def test_a_name_of_a_table_says_what_it_selects():
    assert (
        name_table("change", {"wave": "p1", "assessment": "PED"}, "district")
        == "change(assessment=PED,wave=p1).district"
    )
    assert name_table("change", {}, "district") != name_table("change", {"wave": "p1"}, "district")


# ------------------------------------------------------------------ release


def figure_of(n, *, cell=None, value=1.0, name="change.mean"):
    where = {"district": cell} if cell else {}
    return Figure(
        name=name, value=value, unit="points", n=n, population=plain("p"), where=where, low=0.5, high=1.5, se=0.2
    )


def kind_of(figure):
    return figure.value.kind if isinstance(figure.value, Withheld) else None


@pytest.mark.parametrize(("n", "kind"), [(0, None), (1, "small"), (9, "small"), (10, None), (11, None)])
def test_a_figure_of_few_is_withheld_without_any_plan(n, kind):
    (shown,) = release([figure_of(n)], Plan(min_cell=10, hidden={})).figures
    assert kind_of(shown) == kind


def test_a_withheld_figure_keeps_neither_interval_nor_count():
    (shown,) = release([figure_of(9)], Plan(min_cell=10, hidden={})).figures
    stored = shown.as_json()
    assert [stored[name] for name in ("value", "low", "high", "se", "n")] == [None] * 5
    assert stored["withheld"]["kind"] == "small"
    assert "fewer than 10" in stored["withheld"]["en"]


def test_planned_cells_are_withheld_in_their_table_only():
    plan = Plan(min_cell=10, hidden={"t": {"18.01": "small", "18.02": "complement"}})
    figures = [figure_of(50, cell="18.01"), figure_of(50, cell="18.02"), figure_of(50, cell="18.03"), figure_of(50)]
    assert [kind_of(f) for f in release(figures, plan, table="t").figures] == ["small", "complement", None, None]
    assert [kind_of(f) for f in release(figures, plan, table="u").figures] == [None] * 4
    assert [kind_of(f) for f in release(figures, plan).figures] == [None] * 4
    assert [kind_of(f) for f in release(figures, plan, table="t", cell="wave").figures] == [None] * 4


def test_a_small_group_is_hidden_even_where_another_reason_stands():
    other = figure_of(4, value=Withheld(plain("no interval")))
    (shown,) = release([other], Plan(min_cell=10, hidden={})).figures
    assert kind_of(shown) == "small"
    (kept,) = release([figure_of(40, value=Withheld(plain("no interval")))], Plan(min_cell=10, hidden={})).figures
    assert kind_of(kept) == "not_computable"


def test_release_does_not_change_what_it_is_given():
    figures = [figure_of(4)]
    release(figures, Plan(min_cell=10, hidden={}))
    assert figures[0].value == 1.0


# ------------------------------------------------------------------ nested counts

ORDER = ("coverage.invited", "coverage.sat", "coverage.usable")
NESTED = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=4)


def nest(cells):
    """Return invited, sat and usable of each cell, given (usable, absent, unusable), with the share."""
    figures = []
    for code, (usable, unusable, absent) in zip("abcd", cells, strict=False):
        counts = dict(zip(ORDER, (usable + unusable + absent, usable + unusable, usable), strict=True))
        figures += [figure_of(n, cell=code, value=n, name=name) for name, n in counts.items()]
        invited = counts[ORDER[0]]
        figures.append(
            figure_of(invited, cell=code, value=100 * usable / invited if invited else 0.0, name="coverage.share")
        )
    return figures


@settings(max_examples=200, deadline=None, derandomize=True)
@given(cells=NESTED)
def test_no_difference_of_nested_counts_is_small(cells):
    figures = nest(cells)
    plan = plan_suppression(
        {"t": pd.Series({f.where["district"]: f.n for f in figures if f.name == ORDER[0]})}, min_cell=MIN
    )
    shown = release_nested(figures, plan, order=ORDER, table="t").figures
    assert [(f.name, f.where) for f in shown] == [(f.name, f.where) for f in figures], "no figure disappears"
    for code in {f.where["district"] for f in figures}:
        here = {f.name: f for f in shown if f.where["district"] == code}
        counts = [here[name].value for name in ORDER if not isinstance(here[name].value, Withheld)]
        differences = [abs(a - b) for a, b in itertools.combinations(counts, 2)]
        assert not [d for d in [*counts, *differences] if 0 < d < MIN], (cells, counts)
        if isinstance(here[ORDER[2]].value, Withheld):
            assert isinstance(here["coverage.share"].value, Withheld), "a share times its base is the count again"


def test_nested_counts_by_hand():
    plan = Plan(min_cell=10, hidden={})
    shown = release_nested(nest([(85, 5, 10)]), plan, order=ORDER).figures
    assert [kind_of(f) is None for f in shown] == [True, True, False, False], "85 of 90 who sat: 5 would be given away"
    shown = release_nested(nest([(85, 10, 5)]), plan, order=ORDER).figures
    assert [kind_of(f) is None for f in shown] == [True, False, True, True], "95 of 100 invited: 5 would be given away"
    shown = release_nested(nest([(100, 0, 0)]), plan, order=ORDER).figures
    assert [kind_of(f) for f in shown] == [None] * 4


def test_shares_as_bounds():
    counts = pd.DataFrame(
        {"cell": list("abcd"), "invited": 50, "base": [50, 40, 50, 50], "usable": [None, None, None, 30]}
    )
    bounded = bound_shares(counts.assign(few=["absent", "absent", "present", None]), min_cell=10)
    assert bounded["bound"].tolist() == ["at_least", "at_least", "at_most", "exact"]
    assert bounded["share"].tolist() == [82.0, 62.0, 18.0, 60.0]


ENGLISH = Context(
    language="en", marks=(), confidence=0.95, min_cell=10, parameters={}, assessments={}, waves={}, table=str
)  # fmt: skip


CELL = st.tuples(st.integers(0, 60), st.integers(0, 15), st.integers(0, 15))


def frame_nested(cells):
    codes = dict(zip("abcd", ["18.01", "18.02", "18.03", "18.04"], strict=True))
    figures = [replace(f, where={"district": codes[f.where["district"]]}) for f in nest(cells)]
    return frame_coverage(release_nested(figures, Plan(min_cell=10, hidden={}), order=ORDER), "district", ENGLISH)


@given(cells=st.lists(CELL, min_size=1, max_size=4))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_printed_bound_is_true(cells):
    """Whatever is withheld, "at least" and "at most" hold of the number that nobody sees."""
    for cell, row in zip(cells, frame_nested(cells).to_dict("records"), strict=True):
        true = 100 * cell[0] / sum(cell) if sum(cell) else 0.0
        if pd.isna(row["share"]):
            assert sum(cell) == 0 or row["withheld"], "a blank has a reason"
        elif row["bound"] == "at_least":
            assert row["share"] <= true + 1e-9, (cell, row["share"])
        elif row["bound"] == "at_most":
            assert row["share"] >= true - 1e-9, (cell, row["share"])
        else:
            assert row["share"] == pytest.approx(true, abs=0.5), "whole percents"


def test_a_cell_hidden_for_another_has_no_bound():
    """2 of 50 absent are hidden, and with them 20 of 80: "at least 89 %" would be said of 75 %."""
    frame = frame_nested([(48, 0, 2), (60, 0, 20), (70, 0, 20)])
    assert frame["written"].tolist()[0] == "≥ 82%"
    assert "89" not in str(frame["written"].tolist()[1])


# ------------------------------------------------------------------ frames and densities


def test_frames_lose_their_small_rows_values_and_counts():
    frame = pd.DataFrame(
        {"district": list("abcd"), "n": [0, 4, 10, 60], "share": [0.0, 50.0, 10.0, 5.0], "label": list("wxyz")}
    )
    shown = release_frame(frame, Plan(min_cell=10, hidden={}), counts=["n"], values=["share"]).frame
    assert shown["n"].isna().tolist() == [False, True, False, False]
    assert shown["share"].isna().tolist() == [False, True, False, False]
    assert shown["label"].tolist() == list("wxyz")
    assert [text is not None for text in shown["withheld"]] == [False, True, False, False]
    assert frame["n"].tolist() == [0, 4, 10, 60], "the frame given stays as it is"
    assert list(
        release_frame(frame.iloc[:0], Plan(min_cell=10, hidden={}), counts=["n"], values=["share"]).frame.columns
    ) == [
        *frame.columns,
        "withheld",
    ]


def test_a_column_of_counts_by_another_name():
    frame = pd.DataFrame({"records": [4, 40], "share": [1.0, 2.0]})
    shown = release_frame(frame, Plan(min_cell=10, hidden={}), counts=["records"], values=["share"]).frame
    assert shown["records"].isna().tolist() == [True, False]


def test_a_small_count_within_a_day_takes_the_smallest_other_with_it():
    frame = pd.DataFrame({"day": ["a"] * 3 + ["b"] * 2, "submissions": [4, 30, 12, 25, 40]})
    shown = release_frame(frame, Plan(min_cell=10, hidden={}), counts=["submissions"], within="day").frame
    assert shown["submissions"].isna().tolist() == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("n", "min_cell", "shown"),
    [([30, 30], 10, True), ([29, 30], 10, False), ([30, 49], 50, False), ([50, 50], 50, True), ([], 10, False)],
)
def test_densities_need_enough_persons_in_every_curve(n, min_cell, shown):
    assert FEWEST_FOR_DENSITY == 30
    grid = pd.DataFrame({"n": pd.array(n, dtype="int64"), "x": 0.0})
    assert (release_density(grid, Plan(min_cell=min_cell, hidden={})).frame is not None) == shown


@pytest.mark.parametrize(
    ("n", "said"), [(0, "0"), (1, "fewer than 10"), (9, "fewer than 10"), (10, "10"), (1234, "1,234")]
)
def test_counts_in_words(n, said):
    assert said in publish_count(n, Plan(min_cell=10, hidden={})).en


# ------------------------------------------------------------------ flows

LOSSES = st.lists(
    st.dictionaries(st.sampled_from(["x", "y", "z", "several"]), st.integers(1, 12), max_size=3), max_size=4
)


def flow_of(last, losses):
    steps, n = [], last
    for place, reasons in reversed(list(enumerate(losses, start=1))):
        aside = sum(reasons.values())
        steps.append(FlowStep(state=f"s{place}", n=n, set_aside=aside, reasons=reasons))
        n += aside
    return Flow((FlowStep(state="s0", n=n), *reversed(steps)))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(last=st.integers(0, 30), losses=LOSSES)
def test_a_published_flow_gives_no_few_away(last, losses):
    """`Flow` itself refuses a flow that does not conserve; here every number printed and every difference is looked at."""
    flow = flow_of(last, losses)
    shown = publish_flow(flow, Plan(min_cell=MIN, hidden={}))
    numbers = [step.n for step in shown.steps]
    printed = [
        *numbers,
        *(step.set_aside for step in shown.steps),
        *(n for step in shown.steps for n in step.reasons.values()),
    ]
    printed += [a - b for a, b in itertools.combinations(numbers, 2)]
    assert not [n for n in printed if 0 < n < MIN], (flow, shown)
    states = [step.state for step in flow.steps]
    kept = [step.state for step in shown.steps]
    assert kept == [state for state in states if state in kept], "in their order"
    assert all(step.n == next(s.n for s in flow.steps if s.state == step.state) for step in shown.steps)
    if last == 0 or last >= MIN:
        assert shown.steps[-1].state == states[-1], "what the figures rest on is kept"
    if shown.steps:
        assert shown.steps[0].set_aside == 0
    assert publish_flow(shown, Plan(min_cell=MIN, hidden={})).steps == shown.steps


def test_flows_by_hand():
    plan = Plan(min_cell=10, hidden={})
    flow = Flow((
        FlowStep(state="received", n=100),
        FlowStep(state="valid", n=88, set_aside=12, reasons={"outside_window": 11, "key_twice": 1}),
        FlowStep(state="scored", n=85, set_aside=3, reasons={"no_key": 3}),
        FlowStep(state="paired", n=60, set_aside=25, reasons={"only_pre": 25}),
    ))  # fmt: skip
    shown = publish_flow(flow, plan)
    assert [(step.state, step.n, step.set_aside) for step in shown.steps] == [
        ("received", 100, 0),
        ("scored", 85, 15),
        ("paired", 60, 25),
    ]
    assert shown.steps[1].reasons == {"several": 15}, "11 less would leave 4 to be read"
    assert publish_flow(Flow((FlowStep(state="received", n=5),)), plan).steps == ()
    assert publish_flow(Flow((FlowStep(state="received", n=0),)), plan).steps[0].n == 0


def test_a_flow_that_does_not_add_up_is_refused():
    with pytest.raises(ValueError, match="100 received are not 90 valid"):
        Flow((FlowStep(state="received", n=100), FlowStep(state="valid", n=90, set_aside=9, reasons={"x": 9})))
    with pytest.raises(ValueError, match="reasons add up to 9"):
        Flow((FlowStep(state="received", n=100), FlowStep(state="valid", n=90, set_aside=10, reasons={"x": 9})))
