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
from bgtk_lib.schema import code_list
from bgtk_lib.words import join, plain, say


def draw_coverage_answer(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the bottom line: how many sat, of how many invited, and of which population by which source."""
    usable, invited = find_figure(released, "coverage.usable"), find_figure(released, "coverage.invited")
    population = find_figure(released, "coverage.of_population")
    keys, lines = [], []
    if usable is not None:
        lines.append(
            say("coverage.answer_alone", n=usable.value)
            if invited is None
            else say("coverage.answer", n=usable.value, invited=invited.value)
        )
        keys.append(KeyFigure(value=say("count.exact", n=usable.value), label=say("coverage.key.usable")))
    elif invited is not None:
        lines.append(say("coverage.answer_nearly", invited=invited.value, min_cell=context.min_cell))
        keys.append(KeyFigure(value=say("count.exact", n=invited.value), label=say("coverage.key.invited")))
    else:
        return [draw_notice("note", heading=say("coverage.no_answer"), body=[], language=context.language)]
    if population is not None:
        source, n = plain(str(context.parameters["denominator_source"] or "–")), context.parameters["denominator"]
        lines.append(say("coverage.answer_population", share=population.value, n=n, source=source))
        share = say("coverage.percent", value=population.value)
        keys.append(KeyFigure(value=share, label=say("coverage.key.population"), detail=say("coverage.of", n=n)))
    elif context.parameters["denominator"] is None:
        lines.append(say("coverage.no_denominator"))
    condition = say("coverage.condition")
    return [draw_answer(join(lines, " "), figures=keys, conditions=[condition], language=context.language)]


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
            pieces.append(
                draw_figure(
                    figure,
                    title=say("coverage.picture"),
                    sentence=tell.tell_coverage(frame),
                    marks=context.marks,
                    language=context.language,
                )
            )
        columns = [
            Column("label", say(f"column.{by}")),
            Column("invited", say("column.invited"), "count"),
            Column("written", say("column.share_usable"), "text"),
        ]
        pieces.append(
            draw_table(
                frame,
                columns=columns,
                caption=say(f"coverage.caption.{by}"),
                language=context.language,
                note=say("coverage.bound_note", min_cell=context.min_cell),
            )
        )
        return pieces

    return draw_cells


def frame_coverage(released: Released, by: str, context: Context) -> pd.DataFrame:
    """Return one row a cell: invited, share usable (exact or a bound), withheld reason; in code order."""
    cells = sorted({figure.where[by] for figure in released.figures})
    found = {(figure.where[by], figure.name): figure for figure in released.figures}
    labels, rows = _labels(by), []
    for cell in cells:
        names = ("coverage.invited", "coverage.sat", "coverage.usable")
        invited, sat, usable = (found[cell, name].value for name in names)
        base = next((n for n in (sat, invited) if not isinstance(n, Withheld)), None)
        few = None
        if isinstance(usable, Withheld) and base is not None:
            # a count hidden to protect another cell has no few beside it, and so no bound to print
            apart = int(base) - found[cell, "coverage.usable"].n
            few = "present" if usable.kind == "small" else "absent" if 0 < apart < context.min_cell else None
        unsaid = usable.reason if isinstance(usable, Withheld) and few is None else None
        rows.append(
            {
                "cell": cell,
                "label": labels.get(cell, plain(cell)).said(context.language),
                "invited": None if isinstance(invited, Withheld) else invited,
                "base": base,
                "usable": None if isinstance(usable, Withheld) else usable,
                "few": None if isinstance(invited, Withheld) else few,
                "withheld": invited.reason if isinstance(invited, Withheld) else unsaid,
            }
        )
    frame = pd.DataFrame(rows, columns=["cell", "label", "invited", "base", "usable", "few", "withheld"])
    bounded = bound_shares(frame, min_cell=context.min_cell)
    written = [
        None if pd.isna(row["share"]) else say(f"share.{row['bound']}", value=row["share"]).said(context.language)
        for row in bounded.to_dict("records")
    ]
    shares = bounded[["share", "bound"]].assign(written=pd.Series(written, index=frame.index, dtype=object))
    return pd.concat([frame.rename(columns={"cell": "district"}), shares], axis=1)


def _labels(by: str) -> dict[str, Text]:
    return (
        code_list({"district": "districts", "assessment": "assessments"}[by])
        if by in ("district", "assessment")
        else {}
    )
