"""The coverage report's pieces: who was invited, sat and is usable, with denominators and their sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from bgtk_lib.coverage import bound_shares
from bgtk_lib.disclosure import Released
from bgtk_lib.display import figures as draw
from bgtk_lib.display import sentences as tell
from bgtk_lib.display.canvas import draw_figure, start_figure
from bgtk_lib.display.change import find_figure
from bgtk_lib.display.context import Context
from bgtk_lib.display.page import KeyFigure, Shown, draw_answer, draw_notice
from bgtk_lib.display.table import Column, draw_table
from bgtk_lib.errors import Text
from bgtk_lib.findings import Withheld
from bgtk_lib.schema import code_list, districts
from bgtk_lib.words import plain, say


def draw_coverage_answer(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the bottom line: how many sat, of how many invited, and of which population by which source."""
    usable, invited = find_figure(released, "coverage.usable"), find_figure(released, "coverage.invited")
    population = find_figure(released, "coverage.of_population")
    if usable is None:
        return [draw_notice("note", heading=say("coverage.no_answer"), body=[], language=context.language)]
    lines = [say("coverage.answer", n=usable.value, invited=invited.value if invited else 0) if invited else say("coverage.answer_alone", n=usable.value)]
    keys = [KeyFigure(value=say("count.exact", n=usable.value), label=say("coverage.key.usable"))]
    if population:
        source = plain(str(context.parameters.get("denominator_source") or "–"))
        n = context.parameters.get("denominator")
        lines.append(say("coverage.answer_population", share=population.value, n=n, source=source))
        keys.append(KeyFigure(value=say("coverage.percent", value=population.value), label=say("coverage.key.population"), detail=say("coverage.of", n=n)))
    else:
        lines.append(say("coverage.no_denominator"))
    paragraph = Text(id=" ".join(t.id for t in lines), en=" ".join(t.en for t in lines))
    return [draw_answer(paragraph, figures=keys, conditions=[say("coverage.condition")], language=context.language)]


def draw_coverage_by(by: str) -> Callable[[Released, Context], Sequence[Shown]]:
    """Return the drawing of coverage by district, jenjang or assessment: a picture for districts, a table for all."""

    def draw_cells(released: Released, context: Context) -> Sequence[Shown]:
        frame = frame_coverage(released, by, context)
        if frame.empty:
            return [draw_notice("note", heading=say("coverage.no_cells"), body=[], language=context.language)]
        pieces = []
        if by == "district" and frame["share"].notna().any():
            figure, ax = start_figure(len(frame))
            draw.draw_coverage(frame, ax, language=context.language)
            pieces.append(draw_figure(figure, title=say("coverage.picture"), sentence=tell.tell_coverage(frame), marks=context.marks, language=context.language))
        columns = [
            Column("label", say(f"column.{by}")),
            Column("invited", say("column.invited"), "count"),
            Column("written", say("column.share_usable"), "text"),
        ]
        pieces.append(draw_table(frame, columns=columns, caption=say(f"coverage.caption.{by}"), language=context.language, note=say("coverage.bound_note", min_cell=context.min_cell)))
        return pieces

    return draw_cells


def frame_coverage(released: Released, by: str, context: Context) -> pd.DataFrame:
    """Return one row a cell: invited, share usable (exact or a bound), withheld reason; in code order."""
    counts: dict[str, dict[str, float]] = {}
    reasons: dict[str, Text] = {}
    for figure in released.figures:
        cell = figure.where.get(by)
        if cell is None:
            continue
        if isinstance(figure.value, Withheld):
            if figure.name == "coverage.invited":
                reasons[cell] = figure.value.reason
            counts.setdefault(cell, {})
        else:
            counts.setdefault(cell, {})[figure.name.removeprefix("coverage.")] = float(figure.value)
    rows = pd.DataFrame([{"cell": cell, **values} for cell, values in sorted(counts.items())], columns=["cell", "invited", "usable"])
    if rows.empty:
        return rows
    bounded = bound_shares(rows, min_cell=context.min_cell)
    labels = _labels(by)
    bounded = bounded.assign(
        district=bounded["cell"],
        label=[labels.get(cell, cell) for cell in bounded["cell"]],
        withheld=[reasons.get(cell) for cell in bounded["cell"]],
    )
    bounded["label"] = [label.said(context.language) if isinstance(label, Text) else label for label in bounded["label"]]
    bounded["written"] = [
        None if pd.isna(row.share) else say(f"share.{row.bound}", value=row.share).said(context.language) for row in bounded.itertuples()
    ]
    return bounded


def _labels(by: str) -> dict[str, object]:
    if by == "district":
        return dict(districts()["label"])
    return dict(code_list("assessments")) if by == "assessment" else {}
