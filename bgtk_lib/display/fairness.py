"""What the instrument report says of fairness, of the experts' panel and of the testing standards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from bgtk_lib.disclosure import Released
from bgtk_lib.display import item_figures as draw
from bgtk_lib.display.context import Context
from bgtk_lib.display.facts import draw_picture, take_frame
from bgtk_lib.display.instrument import MOST_DRAWN
from bgtk_lib.display.page import Shown, draw_notice, find_words
from bgtk_lib.display.table import Column, draw_table
from bgtk_lib.errors import Language, Text
from bgtk_lib.instrument.describe import DIF_METHODS
from bgtk_lib.instrument.dif.rules import REST, explain
from bgtk_lib.instrument.experts import explain_code
from bgtk_lib.words import plain, say

FEWEST_POINTS = 4  # of both groups together: fewer show no course


def draw_dif(released: Released, context: Context, *, profiles: pd.DataFrame) -> Sequence[Shown]:
    """Draw the items that groups of equal score find unequally hard, and which groups could not be compared."""
    frame = take_frame(released)
    if frame.empty or "dif_class" not in frame:
        return [draw_notice("note", heading=say("instrument.no_groups"), body=[], language=context.language)]
    pieces: list[Shown] = []
    tested, untested = frame[frame["dif_class"].notna()], frame[frame["dif_class"].isna()]
    found = tested[tested["dif_class"].isin(["B", "C"])]
    lines = [
        say(
            "instrument.dif.counts",
            grouping=name_grouping(str(grouping)),
            n=rows["item_id"].nunique(),
            b=int((rows["dif_class"] == "B").sum()),
            c=int((rows["dif_class"] == "C").sum()),
        )
        for grouping, rows in tested[tested["method"].isin(DIF_METHODS)].groupby("grouping", sort=False)
    ]
    left = untested[~untested["grouping"].isin(tested["grouping"])]
    for grouping, rows in left.groupby("grouping", sort=False):
        known = rows["note"].dropna()
        reason = explain("note", str(known.iloc[0])) if len(known) else say("instrument.dif.untested")
        lines.append(say("instrument.dif.not_tested", grouping=name_grouping(str(grouping)), reason=reason))
    pieces.append(draw_notice("note", heading=say("instrument.dif.heading"), body=lines, language=context.language))
    contrasts = _gather_contrasts(found, tested, context.language)
    if len(contrasts):
        columns = [
            Column("item_id", say("column.item"), "code"),
            Column("contrast", say("instrument.column.contrast")),
            Column("effect", say("instrument.column.effect"), "signed2"),
            Column("p_adjusted", say("instrument.column.p_adjusted"), "p"),
            Column("classes", say("instrument.column.dif_class")),
            Column("favours", say("instrument.column.favours")),
        ]
        caption, note = say("instrument.dif.caption"), say("instrument.dif.note")
        pieces.append(draw_table(contrasts, columns=columns, caption=caption, language=context.language, note=note))
    return [*pieces, *_draw_profiles(found, profiles, context)]


def _gather_contrasts(found: pd.DataFrame, tested: pd.DataFrame, language: Language) -> pd.DataFrame:
    """Return one row for each item and contrast with a class B or C by any method: Mantel–Haenszel's size, both classes."""
    rows = []
    names = ["item_id", "grouping", "focal", "reference"]
    for key, _ in found.groupby(names, sort=False):
        every = tested[(tested[names] == list(key)).all(axis=1)]
        first = every[every["method"].isin(DIF_METHODS)]
        row = dict((first if len(first) else every).iloc[0])
        worst = every.loc[~every["method"].isin(DIF_METHODS), "dif_class"].max()
        same = pd.isna(worst) or worst == row["dif_class"] or first.empty
        both = {"found": plain(str(row["dif_class"])), "other": plain(str(worst))}
        row["classes"] = both["found"].said(language) if same else say("instrument.dif.classes", **both).said(language)
        easier = [*first["favours"].dropna(), *every["favours"].dropna()]
        row["favours"] = name_group(str(easier[0])).said(language) if easier else None
        sides = {name: name_group(str(row[name])) for name in ("focal", "reference")}
        row["contrast"] = say("instrument.dif.contrast", grouping=name_grouping(str(row["grouping"])), **sides)
        rows.append(row)
    return pd.DataFrame(rows)


def _draw_profiles(found: pd.DataFrame, profiles: pd.DataFrame, context: Context) -> list[Shown]:
    """Draw the items of class C, each in the contrast in which its groups lie furthest apart."""
    pieces: list[Shown] = []
    large = found[(found["dif_class"] == "C") & found["method"].isin(DIF_METHODS)]
    order = large["effect"].abs().sort_values(ascending=False).index
    for row in large.loc[order].drop_duplicates("item_id").head(MOST_DRAWN).to_dict("records"):
        if "side" not in profiles:
            continue
        here = (profiles[["item_id", "grouping", "focal"]] == [row["item_id"], row["grouping"], row["focal"]]).all(
            axis=1
        )
        sides = {name: name_group(str(row[name])) for name in ("focal", "reference")}
        labels = {name: side.said(context.language) for name, side in sides.items()}
        shown = profiles[here].assign(label=profiles.loc[here, "side"].map(labels)).dropna(subset=["mean_credit"])
        if len(shown) < FEWEST_POINTS:
            continue
        facts = {"item": plain(str(row["item_id"])), **sides}
        pieces.append(
            draw_picture(
                partial(draw.draw_profile, shown),
                7,
                title=say("instrument.profile.title", item=facts["item"]),
                sentence=say("instrument.profile.sentence", **facts),
                context=context,
            )
        )
    return pieces


def name_grouping(code: str) -> Text:
    """Return the words of a grouping: `sex`, `device`, `programme:PM` and so on."""
    head, _, programme = code.partition(":")
    return (
        say("instrument.grouping.programme", code=plain(programme)) if programme else say(f"instrument.grouping.{head}")
    )


def name_group(code: str) -> Text:
    """Return the words of one group, its code where it has none."""
    return explain("reference", code) if code == REST else find_words("group", code)


def draw_experts(released: Released, context: Context) -> Sequence[Shown]:
    """Draw what the panel's independent raters say of each item."""
    frame = take_frame(released)
    if frame.empty or "v" not in frame:
        return [draw_notice("note", heading=say("instrument.no_panel"), body=[], language=context.language)]
    rows = frame.assign(
        advice=[_tell_advice(row).said(context.language) for row in frame.to_dict("records")],
        scale=[find_words("rating", str(scale)).said(context.language) for scale in frame["scale"]],
    ).sort_values("advice", key=lambda _: frame["advice"].eq("keep"), kind="stable")
    columns = [
        Column("item_id", say("column.item"), "code"),
        Column("n", say("instrument.column.raters"), "count"),
        Column("v", say("instrument.column.v"), "decimal2"),
        Column("v_low", say("column.interval"), "interval", high="v_high", places=2),
        Column("v_critical", say("instrument.column.v_critical"), "decimal2"),
        Column("cvi", say("instrument.column.cvi"), "decimal2"),
        Column("advice", say("instrument.column.advice")),
    ]
    told = say("instrument.experts.caption")
    if len(frame["scale"].unique()) > 1:
        columns.insert(1, Column("scale", say("instrument.column.scale")))
    else:
        told = say("instrument.experts.caption_of", scale=plain(str(rows["scale"].iloc[0])))
    note = say("instrument.experts.note")
    return [draw_table(rows, columns=columns, caption=told, language=context.language, note=note)]


def _tell_advice(row: dict[Any, Any]) -> Text:
    """Return what the panel advises, and why where it is more than to keep the item."""
    advice = explain_code(str(row["advice"]))
    why = row["advice"] != "keep" and pd.notna(row["note"])
    return say("instrument.experts.why", advice=advice, why=explain_code(str(row["note"]))) if why else advice


def draw_standards(frame: pd.DataFrame, context: Context) -> Shown:
    """Draw which of the testing standards have evidence here."""
    rows = pd.DataFrame(
        {
            "standard": [say(f"instrument.standard.{code}").said(context.language) for code in frame["standard"]],
            "evidence": [
                say("instrument.evidence.yes" if there else "instrument.evidence.no").said(context.language)
                for there in frame["evidence"]
            ],
        }
    )
    columns = [
        Column("standard", say("instrument.column.standard")),
        Column("evidence", say("instrument.column.evidence")),
    ]
    return draw_table(rows, columns=columns, caption=say("instrument.standards.caption"), language=context.language)
