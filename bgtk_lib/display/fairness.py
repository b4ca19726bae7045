"""What the instrument report says of fairness, of the experts' panel and of the testing standards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from bgtk_lib.disclosure import Released
from bgtk_lib.display import item_figures as draw
from bgtk_lib.display.context import Context
from bgtk_lib.display.instrument import MOST_DRAWN, draw_picture, take_frame
from bgtk_lib.display.page import Shown, draw_notice
from bgtk_lib.display.table import Column, draw_table
from bgtk_lib.errors import Text
from bgtk_lib.instrument.dif.rules import explain
from bgtk_lib.instrument.experts import explain_code
from bgtk_lib.words import plain, say


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
            grouping=_name_grouping(str(grouping)),
            n=rows["item_id"].nunique(),
            b=int((rows["dif_class"] == "B").sum()),
            c=int((rows["dif_class"] == "C").sum()),
        )
        for grouping, rows in tested[tested["method"].isin(["mantel_haenszel", "mantel"])].groupby(
            "grouping", sort=False
        )
    ]
    left = untested[~untested["grouping"].isin(tested["grouping"])]
    for grouping, rows in left.groupby("grouping", sort=False):
        note = rows["note"].dropna()
        reason = explain("note", str(note.iloc[0])) if len(note) else say("instrument.dif.untested")
        lines.append(say("instrument.dif.not_tested", grouping=_name_grouping(str(grouping)), reason=reason))
    pieces.append(draw_notice("note", heading=say("instrument.dif.heading"), body=lines, language=context.language))
    if len(found):
        rows = found.assign(
            grouping=[_name_grouping(str(one)).said(context.language) for one in found["grouping"]],
            contrast=[
                f"{focal} – {_name_reference(str(other)).said(context.language)}"
                for focal, other in zip(found["focal"], found["reference"], strict=True)
            ],
            method=[explain("method", str(method)).said(context.language) for method in found["method"]],
        )
        columns = [
            Column("item_id", say("column.item")),
            Column("grouping", say("instrument.column.grouping")),
            Column("contrast", say("instrument.column.contrast")),
            Column("method", say("instrument.column.method")),
            Column("effect", say("instrument.column.effect"), "signed2"),
            Column("p_adjusted", say("instrument.column.p_adjusted"), "p"),
            Column("dif_class", say("instrument.column.dif_class")),
            Column("favours", say("instrument.column.favours")),
        ]
        pieces.append(
            draw_table(
                rows,
                columns=columns,
                caption=say("instrument.dif.caption"),
                language=context.language,
                note=say("instrument.dif.note"),
            )
        )
    pieces += _draw_profiles(found, profiles, context)
    return pieces


def _draw_profiles(found: pd.DataFrame, profiles: pd.DataFrame, context: Context) -> list[Shown]:
    pieces: list[Shown] = []
    if "side" not in profiles:
        return []
    for item, rows in profiles[profiles["item_id"].isin(found.loc[found["dif_class"] == "C", "item_id"])].groupby(
        "item_id", sort=False
    ):
        first = rows[(rows["grouping"] == rows["grouping"].iloc[0]) & (rows["focal"] == rows["focal"].iloc[0])]
        labels = {
            "focal": str(first["focal"].iloc[0]),
            "reference": _name_reference(str(first["reference"].iloc[0])).said(context.language),
        }
        shown = first.assign(label=first["side"].map(labels)).dropna(subset=["mean_credit"])
        if len(shown) < 4 or len(pieces) == MOST_DRAWN:
            continue
        sentence = say(
            "instrument.profile.sentence",
            item=plain(str(item)),
            focal=plain(labels["focal"]),
            reference=plain(labels["reference"]),
        )
        pieces.append(
            draw_picture(
                partial(draw.draw_profile, shown),
                7,
                title=say("instrument.profile.title", item=plain(str(item))),
                sentence=sentence,
                context=context,
            )
        )
    return pieces


def _name_grouping(code: str) -> Text:
    head, _, programme = code.partition(":")
    return (
        say("instrument.grouping.programme", code=plain(programme)) if programme else say(f"instrument.grouping.{head}")
    )


def _name_reference(code: str) -> Text:
    return explain("reference", code) if code == "rest" else plain(code)


def draw_experts(released: Released, context: Context) -> Sequence[Shown]:
    """Draw what the panel's independent raters say of each item."""
    frame = take_frame(released)
    if frame.empty or "v" not in frame:
        return [draw_notice("note", heading=say("instrument.no_panel"), body=[], language=context.language)]
    rows = frame.assign(advice=[explain_code(str(advice)).said(context.language) for advice in frame["advice"]])
    columns = [
        Column("item_id", say("column.item")),
        Column("scale", say("instrument.column.scale")),
        Column("n", say("instrument.column.raters"), "count"),
        Column("v", say("instrument.column.v"), "decimal2"),
        Column("v_low", say("column.interval"), "interval", high="v_high", places=2),
        Column("v_critical", say("instrument.column.v_critical"), "decimal2"),
        Column("cvi", say("instrument.column.cvi"), "decimal2"),
        Column("advice", say("instrument.column.advice")),
    ]
    return [
        draw_table(
            rows,
            columns=columns,
            caption=say("instrument.experts.caption"),
            language=context.language,
            note=say("instrument.experts.note"),
        )
    ]


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
