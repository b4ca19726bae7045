"""The instrument report's pieces: which items ask for a look, how exact the test is, whether it is fair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from bgtk_lib.disclosure import Released
from bgtk_lib.display import item_figures as draw
from bgtk_lib.display.canvas import draw_figure, start_figure
from bgtk_lib.display.change import draw_numbers, find_figure
from bgtk_lib.display.context import Context
from bgtk_lib.display.page import KeyFigure, Shown, draw_answer, draw_notice
from bgtk_lib.display.table import Column, draw_table
from bgtk_lib.errors import Language, Text
from bgtk_lib.instrument.flags import Limits
from bgtk_lib.words import plain, say

MOST_DRAWN = 4  # items whose curves a report draws; the tables hold them all
TestFigures = (
    "alpha", "omega", "split_half", "sem", "score_mean", "score_sd", "marginal_reliability", "empirical_reliability",
    "separation", "separation_reliability", "ability_sd", "targeting", "share_lowest", "share_highest",
    "first_contrast", "contrast_correlation", "loglik",
)  # fmt: skip
SITTING_FIGURES = ("share_many_omitted", "share_unfinished", "share_low_effort", "share_long_runs", "share_identical")


def draw_instrument_answer(
    released: Released, context: Context, *, items: pd.DataFrame, asks: pd.DataFrame
) -> Sequence[Shown]:
    """Draw the bottom line: how many items ask for a look, and for what level of statement the test is reliable enough.

    Parameters
    ----------
    released : Released
        As `describe.list_facts` gives them.
    context : Context
        Of the report.
    items, asks : DataFrame
        All items, and those for the panel (`describe.list_for_panel`).
    """
    if items.empty:
        return [draw_notice("stop", heading=say("instrument.few_persons"), body=[], language=context.language)]
    alpha = find_figure(released, "alpha")
    n_key = int((asks["advice"] == "check_key").sum())
    level = "unknown" if alpha is None else _name_level(float(alpha.value))  # type: ignore[arg-type]
    facts = {"items": len(items), "asks": len(asks), "doubtful": n_key, "level": say(f"instrument.level.{level}")}
    keys = [KeyFigure(value=say("count.exact", n=len(items)), label=say("instrument.key.items"))]
    if alpha:
        ends = say("number.interval2", low=alpha.low, high=alpha.high) if alpha.low is not None else None
        keys.append(KeyFigure(value=say("number.2", value=alpha.value), label=say("instrument.key.alpha"), detail=ends))
    keys.append(KeyFigure(value=say("count.exact", n=len(asks)), label=say("instrument.key.asks")))
    conditions = [say("instrument.condition.flag"), say("instrument.condition.sample")]
    return [
        draw_answer(say("instrument.answer", **facts), figures=keys, conditions=conditions, language=context.language)
    ]


def _name_level(alpha: float) -> str:
    return "persons" if alpha >= 0.90 else "programmes" if alpha >= 0.80 else "groups" if alpha >= 0.70 else "none"


def draw_for_panel(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the items that ask for a look, with every reason, what to do first, and the panel's own column."""
    frame = take_frame(released)
    if frame.empty:
        return [draw_notice("note", heading=say("instrument.panel.none"), body=[], language=context.language)]
    advice = [
        _say_all(
            [say(f"instrument.advice.{code}"), *([_name_option(option)] if pd.notna(option) else [])],
            between=" ",
            language=context.language,
        )
        for code, option in zip(frame["advice"], frame["option"], strict=True)
    ]
    reasons = [
        _say_all([say(_name_flag(flag)) for flag in flags], language=context.language) for flags in frame["reasons"]
    ]
    rows = frame.assign(reasons=reasons, advice=advice, decision=frame["decision"].fillna(" "))
    columns = [
        Column("item_id", say("column.item")),
        Column("difficulty", say("instrument.column.difficulty"), "decimal2"),
        Column("item_rest_r", say("instrument.column.r"), "decimal2"),
        Column("reasons", say("instrument.column.reasons")),
        Column("advice", say("instrument.column.advice")),
        Column("decision", say("instrument.column.decision")),
    ]
    note = say("instrument.panel.note")
    return [
        draw_table(rows, columns=columns, caption=say("instrument.panel.caption"), language=context.language, note=note)
    ]


def _name_flag(flag: str) -> str:
    return f"instrument.flag.{flag}" if not flag.startswith("dif_") else "instrument.flag.dif"


def _name_option(option: object) -> Text:
    return say("instrument.advice.option", option=plain(str(option)))


def _say_all(texts: Sequence[Text], *, between: str = "; ", language: Language) -> str:
    return between.join(dict.fromkeys(text.said(language) for text in texts))


def draw_blueprint(released: Released, context: Context) -> Sequence[Shown]:
    """Draw how many items stand under each indicator."""
    frame = take_frame(released)
    if frame.empty or not frame["framework"].notna().any():
        return [draw_notice("note", heading=say("instrument.no_blueprint"), body=[], language=context.language)]
    columns = [
        Column("framework", say("instrument.column.framework")),
        Column("n_items", say("instrument.column.n_items"), "count"),
        Column("difficulty", say("instrument.column.difficulty"), "decimal2"),
        Column("item_rest_r", say("instrument.column.r"), "decimal2"),
    ]
    return [draw_table(frame, columns=columns, caption=say("instrument.blueprint.caption"), language=context.language)]


def draw_item_table(released: Released, context: Context, *, asks: pd.DataFrame, limits: Limits) -> Sequence[Shown]:
    """Draw difficulty and discrimination of every item: a picture, and the table behind it."""
    frame = take_frame(released)
    if frame.empty:
        return []
    seen = frame.assign(share=frame["difficulty"] / frame["highest"], asks=frame["item_id"].isin(asks["item_id"]))
    pieces = []
    if seen["item_rest_r"].notna().any():
        bounds = (limits.p_low, limits.p_high, limits.rpb_min)
        sentence = say("instrument.map.sentence", n=len(seen), asks=int(seen["asks"].sum()), least=limits.rpb_min)
        drawn = partial(draw.draw_item_map, seen, limits=bounds)
        pieces.append(draw_picture(drawn, 12, title=say("instrument.map.title"), sentence=sentence, context=context))
    columns = [
        Column("item_id", say("column.item")),
        Column("n", say("column.n"), "count"),
        Column("difficulty", say("instrument.column.difficulty"), "decimal2"),
        Column("difficulty_low", say("column.interval"), "interval", high="difficulty_high", places=2),
        Column("item_rest_r", say("instrument.column.r"), "decimal2"),
        Column("r_low", say("column.interval"), "interval", high="r_high", places=2),
        Column("uli", say("instrument.column.uli"), "decimal2"),
        Column("alpha_if_deleted", say("instrument.column.alpha_without"), "decimal2"),
    ]
    if "share_rapid" in frame:
        columns.append(Column("share_rapid", say("instrument.column.rapid"), "decimal2"))
    notes = [
        say(f"instrument.note.{note}").said(context.language) if pd.notna(note) else None for note in frame["note"]
    ]
    rows = frame.assign(withheld=pd.Series(notes, index=frame.index, dtype=object).fillna(_hidden(frame)))
    table = draw_table(
        rows,
        columns=columns,
        caption=say("instrument.items.caption"),
        language=context.language,
        note=say("instrument.items.note"),
    )
    return [*pieces, table]


def _hidden(frame: pd.DataFrame) -> pd.Series[Any]:
    """Return why a row's numbers may not be shown; null where they may."""
    return frame["withheld"] if "withheld" in frame else pd.Series(None, index=frame.index, dtype=object)


def draw_options(released: Released, context: Context, *, key: str) -> Sequence[Shown]:
    """Draw who chose which option; small numbers are hidden. `key`: ``shown`` to the office only, else ``hidden``."""
    frame = take_frame(released)
    if frame.empty or "option" not in frame:
        return [draw_notice("note", heading=say("instrument.no_options"), body=[], language=context.language)]
    if key == "hidden":
        return [draw_notice("note", heading=say("instrument.options_internal"), body=[], language=context.language)]
    states = {state: say(f"instrument.state.{state}").said(context.language) for state in ("omitted", "not_reached")}
    shown = frame[~((frame["state"] != "answered") & (frame["n"] == 0))]
    label = shown["option"].astype(object).where(shown["option"].notna(), shown["state"].map(states))
    keyed = shown["keyed"].fillna(value=False).astype(bool)
    works = shown["functioning"].map({True: say("instrument.works"), False: say("instrument.works_not")})
    rows = shown.assign(
        option=label.astype("str") + keyed.map({True: " *", False: ""}),
        works=works.astype(object).where(works.notna(), None),
        share=100 * shown["share"],
    )
    columns = [
        Column("item_id", say("column.item")),
        Column("option", say("instrument.column.option")),
        Column("n", say("column.n"), "count"),
        Column("share", say("instrument.column.share"), "percent"),
        Column("r", say("instrument.column.option_r"), "decimal2"),
        Column("works", say("instrument.column.works")),
    ]
    note = say("instrument.options.note")
    return [
        draw_table(
            rows, columns=columns, caption=say("instrument.options.caption"), language=context.language, note=note
        )
    ]


def draw_traces(released: Released, context: Context, *, asks: pd.DataFrame) -> Sequence[Shown]:
    """Draw the option curves of the items for the panel, at most four, those whose key is in doubt first."""
    frame = take_frame(released)
    if frame.empty or "option" not in frame or context.parameters["audience"] != "internal":
        return []
    pieces = []
    doubted = [bool({"beats_key", "larger_r", "more_of_top", "negative"} & set(reasons)) for reasons in asks["reasons"]]
    for item in asks.loc[doubted, "item_id"].head(MOST_DRAWN):
        rows = frame[(frame["item_id"] == item) & frame["option"].notna()]
        if rows["share"].notna().sum() < 2:
            continue
        sentence = say("instrument.traces.sentence", item=plain(str(item)), groups=int(rows["group"].max()))
        pieces.append(
            draw_picture(
                partial(draw.draw_traces, rows),
                7,
                title=say("instrument.traces.title", item=plain(str(item))),
                sentence=sentence,
                context=context,
            )
        )
    return pieces


def draw_test_numbers(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the numbers about the whole test, each with its interval or why there is none."""
    chosen = Released(tuple(f for name in TestFigures for f in released.figures if f.name == name))
    return [draw_numbers(chosen, context, caption=say("instrument.numbers.caption"))]


def draw_sitting(released: Released, context: Context) -> Sequence[Shown]:
    """Draw how the test was sat: left out, not reached, too fast, runs and identical strings. Shares, never persons."""
    chosen = Released(tuple(f for name in SITTING_FIGURES for f in released.figures if f.name == name))
    return [draw_numbers(chosen, context, caption=say("instrument.sitting.caption"))] if chosen.figures else []


def draw_precision(released: Released, context: Context, *, density: pd.DataFrame) -> Sequence[Shown]:
    """Draw the standard error of measurement over ability."""
    frame = take_frame(released)
    if frame.empty or "sem" not in frame:
        return [draw_notice("note", heading=say("instrument.no_model_here"), body=[], language=context.language)]
    best = frame.sort_values("sem").iloc[0]
    sentence = say("instrument.precision.sentence", best=float(best["sem"]), at=float(best["theta"]))
    return [
        draw_picture(
            partial(draw.draw_precision, frame, density),
            9,
            title=say("instrument.precision.title"),
            sentence=sentence,
            context=context,
        )
    ]


def draw_wright_map(released: Released, context: Context, *, steps: pd.DataFrame) -> Sequence[Shown]:
    """Draw persons (a density) and items on one scale."""
    density = take_frame(released)
    if density.empty or "density" not in density or "b" not in steps:
        return []
    known = steps.dropna(subset=["b"])
    sentence = say(
        "instrument.wright.sentence", n=len(known), low=float(known["b"].min()), high=float(known["b"].max())
    )
    return [
        draw_picture(
            partial(draw.draw_wright_map, density, known),
            12,
            title=say("instrument.wright.title"),
            sentence=sentence,
            context=context,
        )
    ]


def draw_model_table(released: Released, context: Context) -> Sequence[Shown]:
    """Draw each item's parameters and how it fits."""
    frame = take_frame(released)
    if "a" not in frame or not frame["a"].notna().any():
        return []
    columns = [
        Column("item_id", say("column.item")),
        Column("a", say("instrument.column.a"), "decimal2"),
        Column("a_se", say("instrument.column.se"), "decimal2"),
        Column("b", say("instrument.column.b"), "decimal2"),
        Column("b_se", say("instrument.column.se"), "decimal2"),
        Column("infit", say("instrument.column.infit"), "decimal2"),
        Column("outfit", say("instrument.column.outfit"), "decimal2"),
        Column("s_x2_p", say("instrument.column.s_x2_p"), "p"),
    ]
    if frame["a_se"].isna().all():
        columns = [column for column in columns if column.name not in ("a", "a_se")]
    note = say("instrument.model.note")
    return [
        draw_table(
            frame, columns=columns, caption=say("instrument.model.caption"), language=context.language, note=note
        )
    ]


def draw_item_curves(
    released: Released, context: Context, *, curves: pd.DataFrame, asks: pd.DataFrame
) -> Sequence[Shown]:
    """Draw the curves of the items for the panel with what groups of persons did, at most four."""
    points = take_frame(released)
    if points.empty or "observed" not in points:
        return []
    pieces = []
    misfits = [any(reason.endswith(("_out", "_slope")) for reason in reasons) for reasons in asks["reasons"]]
    for item in asks.loc[misfits, "item_id"].head(MOST_DRAWN):
        curve, seen = curves[curves["item_id"] == item], points[points["item_id"] == item].dropna(subset=["observed"])
        if curve.empty or len(seen) < 2:
            continue
        curve = curve[curve["theta"].between(seen["theta"].min() - 0.7, seen["theta"].max() + 0.7)]
        sentence = say("instrument.curve.sentence", item=plain(str(item)), groups=len(seen))
        pieces.append(
            draw_picture(
                partial(draw.draw_item_curve, curve, seen),
                7,
                title=say("instrument.curve.title", item=plain(str(item))),
                sentence=sentence,
                context=context,
            )
        )
    return pieces


def draw_dependence(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the pairs of items that go together beyond the ability they share."""
    frame = take_frame(released)
    if frame.empty or "q3" not in frame:
        return [draw_notice("note", heading=say("instrument.no_pairs"), body=[], language=context.language)]
    columns = [
        Column("item_a", say("column.item")),
        Column("item_b", say("instrument.column.item_b")),
        Column("q3", say("instrument.column.q3"), "decimal2"),
        Column("q3_above_mean", say("instrument.column.q3_above"), "decimal2"),
    ]
    return [
        draw_table(frame.head(10), columns=columns, caption=say("instrument.pairs.caption"), language=context.language)
    ]


def take_frame(released: Released) -> pd.DataFrame:
    """Return the table that was released; an empty one where there is none."""
    return released.frame if released.frame is not None else pd.DataFrame()


def draw_picture(drawn: Callable[..., Axes], height: float, *, title: Text, sentence: Text, context: Context) -> Shown:
    """Return a figure that one function draws, with its title and its sentence."""
    canvas, ax = start_figure(height)
    drawn(ax, language=context.language)
    return draw_figure(canvas, title=title, sentence=sentence, marks=context.marks, language=context.language)
