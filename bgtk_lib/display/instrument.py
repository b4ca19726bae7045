"""The instrument report's pieces: which items ask for a look, how exact the test is, whether it is fair."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from bgtk_lib.disclosure import Released
from bgtk_lib.display import item_figures as draw
from bgtk_lib.display.change import find_figure
from bgtk_lib.display.context import Context
from bgtk_lib.display.facts import choose, draw_facts, draw_fingerprints, draw_picture, take_frame
from bgtk_lib.display.page import KeyFigure, Shown, draw_answer, draw_notice, draw_prose
from bgtk_lib.display.table import Column, draw_table
from bgtk_lib.errors import Language, Text
from bgtk_lib.instrument.flags import Limits
from bgtk_lib.words import join, plain, say

MOST_DRAWN = 4  # items whose curves a report draws; the tables hold them all
TEST_FIGURES = (
    "alpha", "omega", "split_half", "sem", "score_mean", "score_sd", "share_lowest", "share_highest",
)  # fmt: skip
MODEL_FIGURES = (
    "marginal_reliability", "empirical_reliability", "separation", "separation_reliability", "ability_sd", "targeting",
    "loglik", "first_contrast", "contrast_limit", "contrast_correlation", "correlation_limit", "q3_limit",
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
    line = say("instrument.answer" if n_key else "instrument.answer.no_key", **facts)
    keys = [KeyFigure(value=say("count.exact", n=len(items)), label=say("instrument.key.items"))]
    if alpha:
        ends = say("number.interval2", low=alpha.low, high=alpha.high) if alpha.low is not None else None
        keys.append(KeyFigure(value=say("number.3", value=alpha.value), label=say("instrument.key.alpha"), detail=ends))
    keys.append(KeyFigure(value=say("count.exact", n=len(asks)), label=say("instrument.key.asks")))
    conditions = [say("instrument.condition.flag"), say("instrument.condition.sample")]
    return [draw_answer(line, figures=keys, conditions=conditions, language=context.language)]


def _name_level(alpha: float) -> str:
    return "persons" if alpha >= 0.90 else "programmes" if alpha >= 0.80 else "groups" if alpha >= 0.70 else "none"


def draw_for_panel(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the items that ask for a look, with every reason, what to do first, and the panel's own column."""
    frame = take_frame(released)
    if frame.empty:
        return [draw_notice("note", heading=say("instrument.panel.none"), body=[], language=context.language)]
    why = [_tell_why(row, context.language) for row in frame.to_dict("records")]
    rows = frame.assign(why=why, decision=frame["decision"].fillna(" "))
    columns = [
        Column("item_id", say("column.item"), "code"),
        Column("difficulty", say("instrument.column.p"), "decimal2"),
        Column("item_rest_r", say("instrument.column.r"), "decimal2"),
        Column("why", say("instrument.column.why")),
        Column("decision", say("instrument.column.decision")),
    ]
    note = say("instrument.panel.note")
    return [
        draw_table(rows, columns=columns, caption=say("instrument.panel.caption"), language=context.language, note=note)
    ]


def _tell_why(row: dict[Any, Any], language: Language) -> str:
    """Return what to do first with an item, and every reason."""
    told = [say(f"instrument.advice.{row['advice']}")]
    if pd.notna(row["option"]):
        told.append(say("instrument.advice.option", option=plain(str(row["option"]))))
    flags = [say(name_flag(flag)).said(language) for flag in row["reasons"]]
    return say("instrument.why", advice=join(told, " "), flags=plain("; ".join(dict.fromkeys(flags)))).said(language)


def name_flag(flag: str) -> str:
    """Return the key of a flag's words; those of differential functioning have one for all groupings."""
    return f"instrument.flag.{flag}" if not flag.startswith("dif_") else "instrument.flag.dif"


def draw_blueprint(released: Released, context: Context) -> Sequence[Shown]:
    """Draw how many items stand under each indicator."""
    frame = take_frame(released)
    if frame.empty or not frame["framework"].notna().any():
        return [draw_notice("note", heading=say("instrument.no_blueprint"), body=[], language=context.language)]
    unplaced = say("instrument.no_indicator").said(context.language)
    frame = frame.assign(framework=frame["framework"].astype(object).where(frame["framework"].notna(), unplaced))
    columns = [
        Column("framework", say("instrument.column.framework")),
        Column("n_items", say("instrument.column.n_items"), "count"),
        Column("difficulty", say("instrument.column.mean_p"), "decimal2"),
        Column("item_rest_r", say("instrument.column.mean_r"), "decimal2"),
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
        Column("item_id", say("column.item"), "code"),
        Column("difficulty", say("instrument.column.p"), "decimal2"),
        Column("difficulty_low", say("column.interval"), "interval", high="difficulty_high", places=2),
        Column("item_rest_r", say("instrument.column.r"), "decimal2"),
        Column("r_low", say("column.interval"), "interval", high="r_high", places=2),
        Column("uli", say("instrument.column.uli"), "decimal2"),
        Column("alpha_if_deleted", say("instrument.column.alpha_without"), "decimal2"),
    ]
    same = len(frame["n"].unique()) == 1 and bool(frame["n"].notna().all())
    if not same:
        columns.insert(1, Column("n", say("column.n"), "count"))
    if "share_rapid" in frame and frame["share_rapid"].notna().any():
        frame = frame.assign(share_rapid=100 * frame["share_rapid"])
        columns.append(Column("share_rapid", say("instrument.column.rapid"), "percent"))
    notes = [
        say(f"instrument.note.{note}").said(context.language) if pd.notna(note) else None for note in frame["note"]
    ]
    rows = frame.assign(withheld=pd.Series(notes, index=frame.index, dtype=object).fillna(_hidden(frame)))
    told = [
        say("instrument.items.caption"),
        *([say("instrument.numbers.n", n=int(frame["n"].iloc[0]))] if same else []),
    ]
    table = draw_table(
        rows,
        columns=columns,
        caption=join(told, " "),
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
    rows = [
        {"item_id": item, **tell_options(one, context.language)} for item, one in frame.groupby("item_id", sort=False)
    ]
    columns = [
        Column("item_id", say("column.item"), "code"),
        Column("key", say("instrument.column.key")),
        Column("works", say("instrument.column.works")),
        Column("idle", say("instrument.column.idle")),
    ]
    note, caption = say("instrument.options.note"), say("instrument.options.caption")
    return [draw_table(pd.DataFrame(rows), columns=columns, caption=caption, language=context.language, note=note)]


def tell_options(rows: pd.DataFrame, language: Language) -> dict[str, str]:
    """Return the options of one item as text: the key, the distractors that work, and those that do not."""
    answered = rows[rows["state"] == "answered"]
    keyed = answered["keyed"].fillna(value=False).astype(bool)
    works = answered["functioning"].fillna(value=False).astype(bool)
    parts = {"key": answered[keyed], "works": answered[~keyed & works], "idle": answered[~keyed & ~works]}
    return {
        name: "; ".join(_tell_option(row, language) for row in part.to_dict("records")) or "–"
        for name, part in parts.items()
    }


def _tell_option(row: dict[Any, Any], language: Language) -> str:
    option = plain(str(row["option"]))
    if pd.isna(row["share"]):
        return say("instrument.option.hidden", option=option).said(language)
    if pd.isna(row["r"]):
        return say("instrument.option.share", option=option, share=100 * row["share"]).said(language)
    return say("instrument.option.told", option=option, share=100 * row["share"], r=row["r"]).said(language)


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
    return draw_facts(choose(released, TEST_FIGURES), context, caption=say("instrument.numbers.caption"))


def draw_model_numbers(
    released: Released, context: Context, *, model: pd.DataFrame, scores: pd.DataFrame
) -> Sequence[Shown]:
    """Draw what the model is, what must be said with it, and its numbers; or why there is none.

    Parameters
    ----------
    released : Released
        As `describe.list_facts` gives them.
    context : Context
        Of the report.
    model : DataFrame
        One row: model, fingerprint, n_items, n_persons, notes_id, notes_en.
    scores : DataFrame
        Of the form's persons; `calibration`: of which fingerprint.
    """
    if model.empty:
        return []
    row = model.iloc[0]
    notes = _read_notes(row)
    if pd.isna(row["model"]):
        return [draw_notice("note", heading=say("instrument.no_model_here"), body=notes, language=context.language)]
    pieces = (
        [draw_notice("note", heading=say("instrument.mind"), body=notes, language=context.language)] if notes else []
    )
    facts = {"model": say(f"instrument.model_name.{row['model']}"), "items": int(row["n_items"])}
    told = say("instrument.model.told", **facts, n=int(row["n_persons"]))
    pieces.append(draw_prose([told], language=context.language))
    used = scores.get("calibration", pd.Series(dtype="str")).dropna().unique()
    frozen = [str(code) for code in used if not str(row["fingerprint"]).startswith(str(code))]
    marks = [(say("instrument.fingerprint"), str(row["fingerprint"]))]
    marks += [(say("instrument.fingerprint.frozen"), code) for code in frozen]
    pieces += draw_fingerprints(marks, context)
    numbers = choose(released, MODEL_FIGURES)
    limited = any(figure.name == "contrast_limit" for figure in numbers.figures)
    note = say("instrument.limits.note") if limited else None
    return [*pieces, *draw_facts(numbers, context, caption=say("instrument.model_numbers.caption"), note=note)]


def _read_notes(row: pd.Series[Any]) -> list[Text]:
    both = [
        str(row[name]).split("\n") if pd.notna(row[name]) and row[name] else [] for name in ("notes_id", "notes_en")
    ]
    return [Text(id=one, en=other) for one, other in zip(*both, strict=True)]


def draw_sitting(released: Released, context: Context) -> Sequence[Shown]:
    """Draw how the test was sat: left out, not reached, too fast, runs and identical strings. Shares, never persons."""
    return draw_facts(choose(released, SITTING_FIGURES), context, caption=say("instrument.sitting.caption"))


def draw_precision(released: Released, context: Context, *, density: pd.DataFrame) -> Sequence[Shown]:
    """Draw the standard error of measurement over ability."""
    frame = take_frame(released)
    if frame.empty or "sem" not in frame:
        return []
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
    low, high = draw.find_ends(density)
    beyond = int((~known["b"].between(low, high)).sum())
    facts = {"n": len(known), "low": float(known["b"].min()), "high": float(known["b"].max())}
    sentence = say("instrument.wright.beyond" if beyond else "instrument.wright.sentence", **facts, beyond=beyond)
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
        Column("item_id", say("column.item"), "code"),
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


def draw_dependence(released: Released, context: Context, *, limit: float | None) -> Sequence[Shown]:
    """Draw the pairs of items that go together beyond the ability they share, and beyond chance (`limit`; None: no model)."""
    frame = take_frame(released)
    if limit is None:
        return []
    frame = frame[frame["q3_above_mean"] > limit] if "q3_above_mean" in frame else frame
    if frame.empty or "q3" not in frame:
        heading = say("instrument.no_pairs", limit=limit)
        return [draw_notice("note", heading=heading, body=[], language=context.language)]
    columns = [
        Column("item_a", say("column.item"), "code"),
        Column("item_b", say("instrument.column.item_b"), "code"),
        Column("q3", say("instrument.column.q3"), "decimal2"),
        Column("q3_above_mean", say("instrument.column.q3_above"), "decimal2"),
    ]
    caption, note = say("instrument.pairs.caption"), say("instrument.pairs.note", limit=limit)
    return [draw_table(frame.head(10), columns=columns, caption=caption, language=context.language, note=note)]
