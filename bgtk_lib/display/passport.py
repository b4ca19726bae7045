"""The passport of one item: where it stood, how it did from wave to wave, and what was decided about it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from bgtk_lib.disclosure import Released
from bgtk_lib.display import item_figures as draw
from bgtk_lib.display.context import Context
from bgtk_lib.display.facts import draw_picture, take_frame
from bgtk_lib.display.fairness import name_group, name_grouping
from bgtk_lib.display.instrument import name_flag, tell_options
from bgtk_lib.display.page import KeyFigure, Shown, draw_answer, draw_notice
from bgtk_lib.display.table import Column, draw_table
from bgtk_lib.errors import Text
from bgtk_lib.words import plain, say

MODEL = {"b": "b", "b_se": "se", "infit": "infit", "outfit": "outfit"}  # column → its heading


def draw_item_answer(
    released: Released, context: Context, *, flags: pd.DataFrame, anchors: pd.DataFrame, decisions: pd.DataFrame
) -> Sequence[Shown]:
    """Draw the bottom line: at how many sittings the item was used, how hard it was, what was found and decided."""
    frame = take_frame(released)
    known = frame.dropna(subset=["difficulty"])
    if known.empty:
        return [draw_notice("stop", heading=say("passport.few"), body=[], language=context.language)]
    share = known["difficulty"] / known["highest"]
    facts: dict[str, Any] = {"item": plain(str(context.parameters["item"])), "low": share.min(), "high": share.max()}
    line = say("passport.answer", **facts, n=len(frame), forms=plain(", ".join(frame["form"].astype("str").unique())))
    found = say("passport.flags" if len(flags) else "passport.no_flags", n=len(flags.drop_duplicates(["form", "wave"])))
    last = decisions.tail(1).to_dict("records")
    told = [say("passport.decided", **{k: plain(str(row[k])) for k in ("decision", "who", "date")}) for row in last]
    keys = [
        KeyFigure(value=say("count.exact", n=len(frame)), label=say("passport.key.sittings")),
        KeyFigure(value=say("number.interval2", low=share.min(), high=share.max()), label=say("passport.key.p")),
    ]
    out = anchors[anchors["state"] == "dropped"].to_dict("records") if "state" in anchors else []
    moved = [say("passport.moved", waves=_name_waves(row), by=row["difference"]) for row in out]
    conditions = [found, *moved, *(told or [say("passport.undecided")]), say("instrument.condition.sample")]
    return [draw_answer(line, figures=keys, conditions=conditions, language=context.language)]


def draw_places(released: Released, context: Context, *, key: pd.DataFrame) -> Sequence[Shown]:
    """Draw where the item stood: form, wave, place, indicator, persons, and the versions of its key."""
    rows = _name_sittings(take_frame(released), context)
    columns = [
        Column("sitting", say("passport.column.sitting"), "code"),
        Column("position", say("passport.column.position"), "count"),
        Column("framework", say("instrument.column.framework")),
        Column("n", say("column.n"), "count"),
    ]
    versions = ", ".join(key["key_version"].astype("str").unique()) if "key_version" in key else ""
    note = say("passport.key_version", versions=plain(versions)) if versions else None
    return [draw_table(rows, columns=columns, caption=say("passport.places"), language=context.language, note=note)]


def draw_course(released: Released, context: Context) -> Sequence[Shown]:
    """Draw difficulty and discrimination from sitting to sitting, and the model's parameters beside them."""
    rows = _name_sittings(take_frame(released), context)
    known = rows.dropna(subset=["difficulty"])
    if known.empty:
        return []
    sentence = say("passport.course.sentence", n=len(known), item=plain(str(context.parameters["item"])))
    drawn = partial(draw.draw_course, known)
    picture = draw_picture(drawn, 2 * len(known) + 1, title=say("passport.course"), sentence=sentence, context=context)
    columns = [
        Column("sitting", say("passport.column.sitting"), "code"),
        Column("difficulty", say("instrument.column.p"), "decimal2"),
        Column("item_rest_r", say("instrument.column.r"), "decimal2"),
    ]
    told = {name: rows.get(name, pd.Series(dtype=float)).notna().any() for name in ("a", "a_se", *MODEL)}
    names = ([*MODEL] if told["b"] else []) if not told["a_se"] else ["a", *MODEL]
    columns += [Column(name, say(f"instrument.column.{MODEL.get(name, name)}"), "decimal2") for name in names]
    note, caption = say("passport.course.note"), say("passport.course.caption")
    return [picture, draw_table(rows, columns=columns, caption=caption, language=context.language, note=note)]


def draw_item_options(released: Released, context: Context, *, key: str) -> Sequence[Shown]:
    """Draw who chose which option at each sitting; `key`: ``shown`` to the office only, else ``hidden``."""
    frame = take_frame(released)
    if frame.empty or "option" not in frame:
        return [draw_notice("note", heading=say("instrument.no_options"), body=[], language=context.language)]
    if key == "hidden":
        return [draw_notice("note", heading=say("instrument.options_internal"), body=[], language=context.language)]
    named = _name_sittings(frame, context).groupby("sitting", sort=False)
    rows = pd.DataFrame([{"sitting": sitting, **tell_options(one, context.language)} for sitting, one in named])
    columns = [Column("sitting", say("passport.column.sitting"), "code")]
    columns += [Column(name, say(f"instrument.column.{name}")) for name in ("key", "works", "idle")]
    note, caption = say("instrument.options.note"), say("instrument.options.caption")
    return [draw_table(rows, columns=columns, caption=caption, language=context.language, note=note)]


def draw_item_drift(released: Released, context: Context) -> Sequence[Shown]:
    """Draw how far the item moved between the waves that share it."""
    frame = take_frame(released)
    if frame.empty:
        return [draw_notice("note", heading=say("passport.no_drift"), body=[], language=context.language)]
    waves = [_name_waves(row).said(context.language) for row in frame.to_dict("records")]
    states = [say(f"linking.state.{state}").said(context.language) for state in frame["state"]]
    columns = [
        Column("waves", say("passport.column.waves"), "code"),
        Column("difference", say("linking.column.difference"), "signed2"),
        Column("difference_se", say("instrument.column.se"), "decimal2"),
        Column("z", say("linking.column.z"), "signed2"),
        Column("state", say("linking.column.state")),
    ]
    rows = frame.assign(waves=waves, state=states)
    return [draw_table(rows, columns=columns, caption=say("passport.drift"), language=context.language)]


def _name_waves(row: dict[Any, Any]) -> Text:
    return plain(f"{row['wave_pre']} → {row['wave_post']}")


def draw_item_dif(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the class of the item in every comparison of groups that could be made."""
    frame = take_frame(released)
    tested = frame[frame["dif_class"].notna()] if "dif_class" in frame else frame
    if tested.empty:
        return [draw_notice("note", heading=say("passport.no_dif"), body=[], language=context.language)]
    found = _name_sittings(tested[tested["dif_class"].isin(["B", "C"])], context)
    if found.empty:
        heading = say("passport.all_small", n=len(tested))
        return [draw_notice("note", heading=heading, body=[], language=context.language)]
    contrasts = [
        say("instrument.dif.contrast", grouping=name_grouping(str(row["grouping"])), **_name_sides(row))
        for row in found.to_dict("records")
    ]
    rows = found.assign(contrast=[one.said(context.language) for one in contrasts])
    columns = [
        Column("sitting", say("passport.column.sitting"), "code"),
        Column("contrast", say("instrument.column.contrast")),
        Column("effect", say("instrument.column.effect"), "signed2"),
        Column("dif_class", say("instrument.column.dif_class")),
    ]
    note, caption = say("passport.dif.note"), say("passport.dif", n=len(tested))
    return [draw_table(rows, columns=columns, caption=caption, language=context.language, note=note)]


def _name_sides(row: dict[Any, Any]) -> dict[str, Text]:
    return {side: name_group(str(row[side])) for side in ("focal", "reference")}


def draw_item_decisions(released: Released, context: Context, *, decisions: pd.DataFrame) -> Sequence[Shown]:
    """Draw why the item was flagged at each sitting, and every decision about it, the latest last."""
    flags = take_frame(released)
    pieces = []
    if len(flags):
        named = _name_sittings(flags, context).groupby("sitting", sort=False)["flag"]
        rows = [(sitting, [say(name_flag(str(f))).said(context.language) for f in found]) for sitting, found in named]
        frame = pd.DataFrame([{"sitting": one, "flags": "; ".join(dict.fromkeys(told))} for one, told in rows])
        columns = [Column("sitting", say("passport.column.sitting"), "code")]
        columns.append(Column("flags", say("passport.column.flags")))
        pieces.append(draw_table(frame, columns=columns, caption=say("passport.flagged"), language=context.language))
    if decisions.empty:
        return [*pieces, draw_notice("note", heading=say("passport.undecided"), body=[], language=context.language)]
    columns = [Column(name, say(f"passport.column.{name}")) for name in ("date", "form", "decision", "who", "reason")]
    return [
        *pieces,
        draw_table(decisions, columns=columns, caption=say("passport.decisions"), language=context.language),
    ]


def _name_sittings(frame: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Return rows with the name of their sitting, form and wave, in the order of the waves."""
    waves = [*context.waves]
    placed = frame.sort_values("wave", key=lambda column: column.map(waves.index), kind="stable")
    return placed.assign(sitting=placed["form"].astype("str") + " · " + placed["wave"].astype("str"))
