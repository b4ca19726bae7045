"""The comparability report's pieces: the verdict, its reasons, the anchors and how far they moved, the conversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bgtk_lib.disclosure import Released
from bgtk_lib.display import item_figures as draw
from bgtk_lib.display.canvas import draw_figure, start_figure
from bgtk_lib.display.context import Context
from bgtk_lib.display.facts import choose, draw_facts, draw_fingerprints
from bgtk_lib.display.fairness import name_grouping
from bgtk_lib.display.page import KeyFigure, Shown, draw_answer, draw_notice, draw_prose
from bgtk_lib.display.table import Column, draw_table
from bgtk_lib.errors import Text
from bgtk_lib.findings import Withheld
from bgtk_lib.linking.anchors import RULES
from bgtk_lib.words import plain, say

MARKS = ("fingerprint", "calibration_pre", "calibration_post", "population")
NUMBERS = (
    "anchors.anchors", "anchors.kept", "link.slope", "link.shift", "link.linking_error", "link.linking_error_points",
    "link.r", "link.sd_ratio", "link.dropped_share", "link.all_shift", "link.all_error", "link.points_per_unit",
)  # fmt: skip
PLACES = {"mean": "number.0", "sd": "number.0", "reliability": "number.2"}


def draw_verdict(released: Released, context: Context, *, links: pd.DataFrame) -> Sequence[Shown]:
    """Draw the answer in one line: yes, yes with notes, not yet; and why."""
    verdict = next(f for f in released.figures if f.name == "link.verdict")
    if isinstance(verdict.value, Withheld):
        heading = say("linking.answer.not_yet")
        return [draw_notice("stop", heading=heading, body=[verdict.value.reason], language=context.language)]
    row = {str(name): value for name, value in links.iloc[0].items()}
    found = {f.name: f for f in released.figures}
    keys = []
    if row.get("design") == "common_item":
        kept, every = found["anchors.kept"].value, found["anchors.anchors"].value
        keys.append(KeyFigure(value=say("linking.key.of", n=kept, of=every), label=say("linking.key.anchors")))
    points = found.get("link.linking_error_points")
    if points:
        keys.append(KeyFigure(value=say("number.1", value=points.value), label=say("linking.key.error")))
    facts = {"pre": plain(str(row["form_pre"])), "post": plain(str(row["form_post"]))}
    same = row["form_pre"] == row["form_post"] and verdict.value != "not_yet"
    line = say(f"linking.answer.{verdict.value}{'_same' if same else ''}", **facts)
    unchecked = pd.isna(row.get("verdict"))
    design = say(f"linking.design.{'same_form' if unchecked else row['design']}", **facts)
    conditions = [design, *([say("linking.unchecked")] if unchecked else []), *_list_reasons(row)]
    return [draw_answer(line, figures=keys, conditions=conditions, language=context.language)]


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
    order = frame["state"].map({"dropped": 0, "review": 1}).fillna(2)
    rows = frame.assign(state=[say(f"linking.state.{state}").said(context.language) for state in frame["state"]])
    rows = rows.loc[order.sort_values(kind="stable").index]
    columns = [
        Column("item_id", say("column.item"), "code"),
        Column("difference", say("linking.column.difference"), "signed2"),
        Column("z", say("linking.column.z"), "signed2"),
        Column("state", say("linking.column.state")),
        Column("b_pre", say("linking.column.b_pre"), "decimal2"),
        Column("b_post", say("linking.column.b_post"), "decimal2"),
        Column("framework", say("instrument.column.framework")),
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
    numbers = draw_facts(choose(released, NUMBERS), context, caption=say("linking.numbers.caption"))
    return numbers or [draw_notice("note", heading=say("linking.no_numbers"), body=[], language=context.language)]


def draw_link_fingerprints(links: pd.DataFrame, context: Context) -> list[Shown]:
    """Draw the fingerprints of the link, of both calibrations and of the population: what a decision names to hold them fast."""
    if links.empty:
        return []
    row = links.iloc[0]
    named = {name: row.get(name) for name in MARKS}
    pairs = [(say(f"linking.mark.{name}"), str(code)) for name, code in named.items() if pd.notna(code) and code]
    return [
        *draw_fingerprints(pairs, context),
        *([draw_prose([say("linking.mark.how")], language=context.language)] if pairs else []),
    ]


def draw_groups_drift(released: Released, context: Context) -> Sequence[Shown]:
    """Draw whether anchors drifted more among those who could have known them."""
    frame = released.frame if released.frame is not None else pd.DataFrame()
    if frame.empty or "gap" not in frame:
        return [draw_notice("note", heading=say("linking.no_exposure"), body=[], language=context.language)]
    rows = frame.assign(state=[say(f"linking.gap.{state}").said(context.language) for state in frame["state"]])
    columns = [
        Column("item_id", say("column.item"), "code"),
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
    waves = [str(context.parameters[name]) for name in ("wave_pre", "wave_post")]
    rows = []
    for name, place in PLACES.items():
        found = {str(row["wave"]): row for row in frame[frame["name"] == name].to_dict("records")}
        values = [say(place, value=found[wave]["value"]) if wave in found else None for wave in waves]
        rows.append({"name": say(f"linking.latent.{name}"), "pre": values[0], "post": values[1]})
    counts = frame[frame["name"] == "mean"].set_index("wave")["n"]
    numbers = [say("count.exact", n=int(counts[wave])) if wave in counts else None for wave in waves]
    rows.append({"name": say("linking.latent.n"), "pre": numbers[0], "post": numbers[1]})
    columns = [
        Column("name", say("column.what")),
        Column("pre", say("wave.pre")),
        Column("post", say("wave.post")),
    ]
    caption, note = say("linking.latent.caption"), say("linking.latent.note")
    table = draw_table(pd.DataFrame(rows), columns=columns, caption=caption, language=context.language, note=note)
    both = frame[frame["name"] == "correlation"].to_dict("records")
    told = [
        say("linking.latent.correlation", n=int(row["n"]), **{name: row[name] for name in ("value", "low", "high")})
        if pd.notna(row["low"])
        else say("linking.latent.correlation_alone", n=int(row["n"]), value=row["value"])
        for row in both
    ]
    return [table, *([draw_prose(told, language=context.language)] if told else [])]


def draw_conditioned(released: Released, context: Context) -> Sequence[Shown]:
    """Draw which groups may be compared on the linked scale."""
    frame = released.frame if released.frame is not None else pd.DataFrame()
    if frame.empty or "grouping" not in frame:
        return []
    lines = []
    for grouping, rows in frame.groupby("grouping", sort=False):
        kept = rows.loc[rows["state"] == "kept", "level"].tolist()
        pooled = int((rows["state"] == "pooled").sum())
        lines.append(_tell_grouping(str(grouping), len(kept), pooled))
    return [draw_notice("note", heading=say("linking.conditioned"), body=lines, language=context.language)]


def _tell_grouping(grouping: str, kept: int, pooled: int) -> Text:
    """Return one line on a grouping: how many of its levels may be compared, and how many were put together."""
    facts = {"grouping": name_grouping(grouping), "kept": kept}
    if not kept:
        return say("linking.conditioned.none", grouping=facts["grouping"])
    return (
        say("linking.conditioned.pooled", **facts, pooled=pooled)
        if pooled
        else say("linking.conditioned.line", **facts)
    )
