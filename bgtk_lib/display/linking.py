"""The comparability report's pieces: the verdict, its reasons, the anchors and how far they moved, the conversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bgtk_lib.disclosure import Released
from bgtk_lib.display import item_figures as draw
from bgtk_lib.display.canvas import draw_figure, start_figure
from bgtk_lib.display.change import draw_numbers
from bgtk_lib.display.context import Context
from bgtk_lib.display.page import KeyFigure, Shown, draw_answer, draw_notice
from bgtk_lib.display.table import Column, draw_table
from bgtk_lib.errors import Text
from bgtk_lib.findings import Withheld
from bgtk_lib.linking.anchors import RULES
from bgtk_lib.words import plain, say

NUMBERS = (
    "anchors.anchors", "anchors.kept", "link.slope", "link.shift", "link.linking_error", "link.linking_error_points",
    "link.r", "link.sd_ratio", "link.dropped_share", "link.all_shift", "link.all_error", "link.points_per_unit",
)  # fmt: skip


def draw_verdict(released: Released, context: Context, *, links: pd.DataFrame) -> Sequence[Shown]:
    """Draw the answer in one line: yes, yes with notes, not yet; and why."""
    verdict = next(f for f in released.figures if f.name == "link.verdict")
    if isinstance(verdict.value, Withheld):
        heading = say("linking.answer.not_yet")
        return [draw_notice("stop", heading=heading, body=[verdict.value.reason], language=context.language)]
    row = {str(name): value for name, value in links.iloc[0].items()}
    found = {f.name: f for f in released.figures}
    keys = []
    if row["design"] == "common_item":
        kept, every = found["anchors.kept"].value, found["anchors.anchors"].value
        keys.append(KeyFigure(value=say("linking.key.of", n=kept, of=every), label=say("linking.key.anchors")))
    points = found.get("link.linking_error_points")
    if points:
        keys.append(KeyFigure(value=say("number.1", value=points.value), label=say("linking.key.error")))
    facts = {"pre": plain(str(row["form_pre"])), "post": plain(str(row["form_post"]))}
    line = say(f"linking.answer.{verdict.value}", **facts)
    design = say(f"linking.design.{row['design']}", **facts)
    return [draw_answer(line, figures=keys, conditions=[design, *_list_reasons(row)], language=context.language)]


def _list_reasons(row: dict[str, Any]) -> list[Text]:
    """Return the reasons as they were stored, a line each."""
    both = [
        str(row[name]).split("\n") if pd.notna(row[name]) and row[name] else [] for name in ("reason_id", "reason_en")
    ]
    return [Text(id=one, en=other) for one, other in zip(*both, strict=True)]


def draw_anchor_map(released: Released, context: Context) -> Sequence[Shown]:
    """Draw how far each anchor moved, and the table behind it."""
    frame = released.frame if released.frame is not None else pd.DataFrame()
    if frame.empty or not frame["difference"].notna().any():
        return [draw_notice("note", heading=say("linking.none_shared"), body=[], language=context.language)]
    counts = frame["state"].value_counts()
    facts = {state: int(counts.get(state, 0)) for state in ("kept", "review", "dropped")}
    canvas, ax = start_figure(12)
    seen = frame[frame["difference"].notna()]
    draw.draw_drift(seen, ax, language=context.language, bounds=(RULES.drift_review, RULES.drift_drop))
    sentence = say("linking.drift.sentence", review_at=RULES.drift_review, drop_at=RULES.drift_drop, **facts)
    picture = draw_figure(
        canvas, title=say("linking.drift.title"), sentence=sentence, marks=context.marks, language=context.language
    )
    rows = frame.assign(state=[say(f"linking.state.{state}").said(context.language) for state in frame["state"]])
    columns = [
        Column("item_id", say("column.item")),
        Column("framework", say("instrument.column.framework")),
        Column("b_pre", say("linking.column.b_pre"), "decimal2"),
        Column("b_post", say("linking.column.b_post"), "decimal2"),
        Column("difference", say("linking.column.difference"), "signed2"),
        Column("difference_se", say("instrument.column.se"), "decimal2"),
        Column("z", say("linking.column.z"), "signed2"),
        Column("robust_z", say("linking.column.robust_z"), "signed2"),
        Column("state", say("linking.column.state")),
    ]
    if rows["framework"].isna().all():
        columns = [column for column in columns if column.name != "framework"]
    table = draw_table(
        rows,
        columns=columns,
        caption=say("linking.anchors.caption"),
        language=context.language,
        note=say("linking.anchors.note"),
    )
    return [picture, table]


def draw_link_numbers(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the link's constants, its errors with and without the anchors dropped, and the facts about the anchors."""
    chosen = Released(tuple(f for name in NUMBERS for f in released.figures if f.name == name))
    return [draw_numbers(chosen, context, caption=say("linking.numbers.caption"))] if chosen.figures else []


def draw_groups_drift(released: Released, context: Context) -> Sequence[Shown]:
    """Draw whether anchors drifted more among those who could have known them."""
    frame = released.frame if released.frame is not None else pd.DataFrame()
    if frame.empty or "gap" not in frame:
        return [draw_notice("note", heading=say("linking.no_exposure"), body=[], language=context.language)]
    rows = frame.assign(state=[say(f"linking.gap.{state}").said(context.language) for state in frame["state"]])
    columns = [
        Column("item_id", say("column.item")),
        Column("exposed", say("linking.column.exposed"), "signed2"),
        Column("others", say("linking.column.others"), "signed2"),
        Column("gap", say("linking.column.gap"), "signed2"),
        Column("gap_se", say("instrument.column.se"), "decimal2"),
        Column("state", say("linking.column.state")),
    ]
    return [draw_table(rows, columns=columns, caption=say("linking.exposure.caption"), language=context.language)]


def draw_conversion(released: Released, context: Context) -> Sequence[Shown]:
    """Draw which score of the earlier form goes with each score of the later one."""
    frame = released.frame if released.frame is not None else pd.DataFrame()
    if frame.empty or "raw_post" not in frame:
        return [draw_notice("note", heading=say("linking.no_conversion"), body=[], language=context.language)]
    columns = [
        Column("raw_post", say("linking.column.raw_post"), "count"),
        Column("points", say("linking.column.points"), "count"),
        Column("points_se", say("instrument.column.se"), "count"),
        Column("raw_pre", say("linking.column.raw_pre"), "points"),
    ]
    note = say("linking.conversion.note")
    return [
        draw_table(
            frame, columns=columns, caption=say("linking.conversion.caption"), language=context.language, note=note
        )
    ]


def draw_latent(released: Released, context: Context) -> Sequence[Shown]:
    """Draw what the joint regression of both waves says: mean, spread, reliability, correlation."""
    frame = released.frame if released.frame is not None else pd.DataFrame()
    if frame.empty or "name" not in frame:
        return [draw_notice("note", heading=say("linking.no_scale"), body=[], language=context.language)]
    places = {"mean": "number.0", "sd": "number.0", "reliability": "number.2", "correlation": "number.2"}
    language = context.language
    interval = [
        say("number.interval2", low=row["low"], high=row["high"]).said(language) if pd.notna(row["low"]) else ""
        for row in frame.to_dict("records")
    ]
    rows = frame.assign(
        value=[
            say(places[name], value=value).said(language)
            for name, value in zip(frame["name"], frame["value"], strict=True)
        ],
        interval=interval,
        name=[say(f"linking.latent.{name}").said(language) for name in frame["name"]],
    )
    columns = [
        Column("name", say("column.what")),
        Column("wave", say("linking.column.wave")),
        Column("value", say("column.value")),
        Column("interval", say("column.interval")),
        Column("n", say("column.n"), "count"),
    ]
    note = say("linking.latent.note")
    return [draw_table(rows, columns=columns, caption=say("linking.latent.caption"), language=language, note=note)]


def draw_conditioned(released: Released, context: Context) -> Sequence[Shown]:
    """Draw which groups may be compared on the linked scale."""
    frame = released.frame if released.frame is not None else pd.DataFrame()
    if frame.empty or "grouping" not in frame:
        return []
    lines = []
    for grouping, rows in frame.groupby("grouping", sort=False):
        kept = rows.loc[rows["state"] == "kept", "level"].tolist()
        pooled = int((rows["state"] == "pooled").sum())
        lines.append(draw_grouping(str(grouping), len(kept), pooled))
    return [draw_notice("note", heading=say("linking.conditioned"), body=lines, language=context.language)]


def draw_grouping(grouping: str, kept: int, pooled: int) -> Text:
    """Return one line on a grouping: how many of its levels may be compared, and how many were put together."""
    head, _, programme = grouping.partition(":")
    name = (
        say("instrument.grouping.programme", code=plain(programme)) if programme else say(f"instrument.grouping.{head}")
    )
    return say(
        "linking.conditioned.line" if not pooled else "linking.conditioned.pooled",
        grouping=name,
        kept=kept,
        pooled=pooled,
    )
