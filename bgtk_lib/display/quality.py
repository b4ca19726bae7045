"""The data quality report's pieces: may these data be used, and what must be mended, by whom."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bgtk_lib.disclosure import Released
from bgtk_lib.display import figures as draw
from bgtk_lib.display import sentences as tell
from bgtk_lib.display.canvas import draw_figure, start_figure
from bgtk_lib.display.change import frame_districts
from bgtk_lib.display.context import Context
from bgtk_lib.display.gates import gather_gates
from bgtk_lib.display.page import Shown, draw_answer, draw_notice
from bgtk_lib.display.table import Column, draw_table
from bgtk_lib.findings import Gate
from bgtk_lib.words import join, plain, say


def draw_quality_answer(gates: Sequence[Gate], context: Context) -> Shown:
    """Draw the bottom line: whether the data may be used, and which gates stand in the way."""
    stopped = sorted({g.code for g in gates if g.state == "STOP" and g.closed})
    held = sorted({g.code for g in gates if g.state == "HOLD" and g.closed})
    key = "quality.answer.stop" if stopped else "quality.answer.hold" if held else "quality.answer.open"
    paragraph = say(key, stopped=", ".join(stopped), held=", ".join(held) or "–")
    closed = gather_gates([gate for gate in gates if gate.closed], most=1)
    conditions = [join([plain(f"{gate.code}: "), gate.message], "") for gate in closed]
    condition = say("quality.condition")
    return draw_answer(paragraph, conditions=[*conditions, condition], language=context.language)


def draw_rules(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the verdict of every rule that failed, missed values or could not run; how many passed whole."""
    frame = released.frame if released.frame is not None else pd.DataFrame()
    noisy = frame[(frame["fails"] != 0) | (frame["error"] != "")].copy()
    whole = len(frame) - len(noisy)
    if noisy.empty:
        return [draw_notice("note", heading=say("rules.all_pass", n=whole), body=[], language=context.language)]
    columns = [Column("rule", say("column.rule")), Column("items", say("column.items"), "count")]
    columns += [Column(name, say(f"column.{name}"), "count") for name in ("fails", "missing")]
    columns += [Column("error", say("column.error"))]
    return [
        draw_table(
            noisy,
            columns=columns,
            caption=say("rules.caption"),
            language=context.language,
            note=say("rules.note", n=whole),
        )
    ]


def draw_problems(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the share of records with a problem by district."""
    frame = frame_districts(released.figures, name="problems.share").rename(columns={"value": "share", "n": "records"})
    if frame.empty:
        return [draw_notice("note", heading=say("quality.no_districts"), body=[], language=context.language)]
    canvas, ax = start_figure(len(frame))
    draw.draw_problem_rates(frame, ax, language=context.language)
    title, sentence = say("quality.problems.title"), tell.tell_problem_rates(frame)
    return [draw_figure(canvas, title=title, sentence=sentence, marks=context.marks, language=context.language)]


def draw_sittings(released: Released, context: Context) -> Sequence[Shown]:
    """Draw when results came in, one picture a day of testing with enough of them."""
    frame = released.frame
    if frame is None or frame.empty:
        return [draw_notice("note", heading=say("quality.no_times"), body=[], language=context.language)]
    days = frame.groupby(frame["start"].dt.date)["submissions"].sum().nlargest(2).index
    pieces = []
    for day in sorted(days):
        one = frame[frame["start"].dt.date == day]
        figure, ax = start_figure(7)
        draw.draw_timeline(one, ax, language=context.language)
        pieces.append(
            draw_figure(
                figure,
                title=say("quality.timeline.title", day=day),
                sentence=tell.tell_timeline(one),
                marks=context.marks,
                language=context.language,
            )
        )
    return pieces


def draw_blanks(released: Released, context: Context) -> Sequence[Shown]:
    """Draw where items were left out and where not reached."""
    frame = released.frame
    if frame is None or frame.empty:
        return [draw_notice("note", heading=say("quality.no_answers"), body=[], language=context.language)]
    figure, ax = start_figure(max(8.0, 1.2 * frame["form"].nunique()))
    draw.draw_missingness(frame, ax, language=context.language)
    return [
        draw_figure(
            figure,
            title=say("quality.blanks.title"),
            sentence=tell.tell_missingness(frame),
            marks=context.marks,
            language=context.language,
        )
    ]


def draw_inventory(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the files received: source, number of files, rows, and the first digits of their common hash."""
    frame = released.frame if released.frame is not None else pd.DataFrame()
    columns = [
        Column("source", say("column.source")),
        Column("files", say("column.files"), "count"),
        Column("rows", say("column.rows"), "count"),
        Column("sha256", say("column.hash")),
    ]
    return [draw_table(frame, columns=columns, caption=say("inventory.caption"), language=context.language)]
