"""The change report's pieces: answer, flow, districts, densities, sensitivity, appendix. Each draws what was released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.change.estimate import Change
from bgtk_lib.disclosure import Released
from bgtk_lib.display import figures as draw
from bgtk_lib.display import sentences as tell
from bgtk_lib.display.canvas import draw_figure, start_figure
from bgtk_lib.display.context import Context
from bgtk_lib.display.page import KeyFigure, Shown, draw_answer, draw_notice, draw_prose
from bgtk_lib.display.table import Column, draw_table
from bgtk_lib.errors import Text
from bgtk_lib.findings import Figure, Flow, Withheld
from bgtk_lib.schema import districts
from bgtk_lib.words import join, plain, say


def find_figure(released: Released, name: str) -> Figure | None:
    """Return the figure of a name that has a value, or None where it is withheld or absent."""
    found = [f for f in released.figures if f.name == name and not isinstance(f.value, Withheld)]
    return found[0] if found else None


def draw_change_answer(
    released: Released, context: Context, *, link: pd.DataFrame | None = None, evenness: Text | None = None
) -> Sequence[Shown]:
    """Draw the bottom line: the answer with its interval and its conditions; why there is none, where there is none.

    Parameters
    ----------
    released : Released
        As `describe.list_change` gives them.
    context : Context
        Of the report.
    link : DataFrame, optional
        The link of the two forms, one row; its scale is told where the change is on it.
    evenness : Text, optional
        The verdict on evenness, in one paragraph.
    """
    mean = find_figure(released, "change.mean")
    if mean is None:
        withheld = next(f.value for f in released.figures if f.name == "change.mean")
        reason = withheld.reason if isinstance(withheld, Withheld) else plain("–")
        return [draw_notice("note", heading=say("change.no_answer"), body=[reason], language=context.language)]
    pre, post = find_figure(released, "change.mean_pre"), find_figure(released, "change.mean_post")
    change = _as_told(mean, pre, post, highest=find_figure(released, "scale.max"), context=context)
    size = find_figure(released, "change.g_av")
    keys = [
        KeyFigure(
            value=say("figure.points_signed", value=mean.value), label=say("change.key.mean"), detail=_interval(mean, 1)
        )
    ]
    if size:
        keys.append(
            KeyFigure(
                value=say("change.value2", value=size.value), label=say("change.key.g_av"), detail=_interval(size, 2)
            )
        )
    keys.append(KeyFigure(value=say("count.exact", n=mean.n), label=say("change.key.pairs")))
    conditions = [say("change.condition.same_persons")]
    if find_figure(released, "scale.max") is None and link is not None and len(link):
        conditions.insert(0, say("change.condition.scale", points=float(link["points_an_item"].iloc[0])))
    if practice := find_figure(released, "sensitivity.practice"):
        told = {"value": practice.value, "low": practice.low, "high": practice.high}
        conditions.append(say("change.condition.practice", **told))
    if detectable := find_figure(released, "change.mde"):
        conditions.append(say("change.condition.detectable", value=detectable.value))
    conditions += [evenness] if evenness else []
    conditions.append(say(f"change.condition.{mean.status}"))
    line, evidence = tell.tell_bottom_line(change), say("page.evidence.early")
    return [draw_answer(line, figures=keys, evidence=evidence, conditions=conditions, language=context.language)]


def _as_told(
    mean: Figure, pre: Figure | None, post: Figure | None, *, highest: Figure | None, context: Context
) -> tell.Change:
    waves = [context.waves.get(str(context.parameters[name])) for name in ("wave_pre", "wave_post")]
    return tell.Change(
        mean=float(mean.value),  # type: ignore[arg-type]
        low=float(mean.low or 0.0),
        high=float(mean.high or 0.0),
        pre_mean=float(pre.value) if pre else float("nan"),  # type: ignore[arg-type]
        post_mean=float(post.value) if post else float("nan"),  # type: ignore[arg-type]
        n=mean.n,
        first_day=waves[0][0] if waves[0] else None,
        last_day=waves[1][-1] if waves[1] else None,
        max_points=float(highest.value) if highest else None,  # type: ignore[arg-type]
        confidence=context.confidence,
    )


def _interval(figure: Figure, places: int) -> Any:
    return say(f"change.interval{places}", low=figure.low, high=figure.high)


def draw_change_flow(flow: Flow, context: Context) -> Sequence[Shown]:
    """Draw how the sittings of the first wave became pairs."""
    if not flow.steps:
        return [
            draw_notice(
                "note", heading=say("flow.too_small", min_cell=context.min_cell), body=[], language=context.language
            )
        ]
    figure, ax = start_figure(draw.count_flow_rows(flow.steps, language=context.language))
    draw.draw_flow(flow.steps, ax, language=context.language)
    shown = draw_figure(
        figure,
        title=say("flow.title"),
        sentence=tell.tell_flow(flow.steps, shortened=flow.shortened),
        marks=context.marks,
        language=context.language,
    )
    return [shown]


def draw_districts(released: Released, context: Context) -> Sequence[Shown]:
    """Draw each district's change with its interval, in code order, and the table behind the picture."""
    frame = frame_districts(released.figures)
    if frame.empty:
        return [draw_notice("note", heading=say("change.no_districts"), body=[], language=context.language)]
    pieces = []
    if frame["value"].notna().any():
        canvas, ax = start_figure(len(frame))
        draw.draw_change_by_district(frame, ax, language=context.language, unit="points")
        title, sentence = say("change.districts.title"), tell.tell_change_by_district(frame)
        picture = draw_figure(canvas, title=title, sentence=sentence, marks=context.marks, language=context.language)
        pieces.append(picture)
    ends = frame[["low", "high"]].to_numpy(dtype=float)
    places = 2 if np.isfinite(ends).any() and np.nanmin(np.abs(ends)) < NEAR_ZERO else 1
    columns = [
        Column("label", say("column.district")),
        Column("n", say("column.n_pairs"), "count"),
        Column("value", say("column.change"), "signed_points", places=places),
        Column("low", say("column.interval"), "interval", high="high", places=places),
    ]
    table = draw_table(
        frame,
        columns=columns,
        caption=say("change.districts.caption"),
        language=context.language,
        note=say("change.districts.note"),
    )
    return [*pieces, table]


def frame_districts(figures: Sequence[Figure], *, name: str = "change.mean") -> pd.DataFrame:
    """Return figures of districts as the frame that pictures and tables take: code order, withheld ones in their place."""
    labels = districts()["label"]
    rows = []
    for figure in sorted(
        (f for f in figures if "district" in f.where and f.name == name), key=lambda f: f.where["district"]
    ):
        code = figure.where["district"]
        hidden = isinstance(figure.value, Withheld)
        small = isinstance(figure.value, Withheld) and figure.value.kind in ("small", "complement")
        rows.append(
            {
                "district": code,
                "label": labels.get(code, code),
                "value": None if hidden else figure.value,
                "low": None if hidden else figure.low,
                "high": None if hidden else figure.high,
                "n": None if small else figure.n,
                "withheld": figure.value.reason if isinstance(figure.value, Withheld) else None,
            }
        )
    return pd.DataFrame(rows, columns=["district", "label", "value", "low", "high", "n", "withheld"])


def draw_densities(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the densities of both waves' scores; nothing where too few persons stand behind them."""
    grid = released.frame
    if grid is None or grid.empty:
        return [draw_notice("note", heading=say("change.no_density"), body=[], language=context.language)]
    labels = {"pre": say("wave.pre").said(context.language), "post": say("wave.post").said(context.language)}
    grid = grid.assign(label=grid["wave"].map(labels))
    figure, ax = start_figure(8)
    draw.draw_distribution(grid, ax, language=context.language)
    return [
        draw_figure(
            figure,
            title=say("change.density.title"),
            sentence=tell.tell_distribution(grid),
            marks=context.marks,
            language=context.language,
        )
    ]


def draw_sensitivity_strip(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the headline beside other ways of computing it, and say what each assumes."""
    rows = []
    for figure in released.figures:
        hidden = isinstance(figure.value, Withheld)
        rows.append(
            {
                "label": say(figure.name),
                "value": None if hidden else figure.value,
                "low": None if hidden else figure.low,
                "high": None if hidden else figure.high,
                "n": figure.n,
                "withheld": figure.value.reason if isinstance(figure.value, Withheld) else None,
            }
        )
    frame = pd.DataFrame(rows)
    canvas, ax = start_figure(2 * len(frame))
    draw.draw_sensitivity(frame, ax, language=context.language)
    picture = draw_figure(
        canvas,
        title=say("change.sensitivity.title"),
        sentence=tell.tell_sensitivity(frame),
        marks=context.marks,
        language=context.language,
    )
    frame["meaning"] = [say(f"{f.name}.meaning").said(context.language) for f in released.figures]
    frame["label"] = [label.said(context.language) for label in frame["label"]]
    columns = [
        Column("label", say("column.way")),
        Column("value", say("column.change"), "signed_points"),
        Column("low", say("column.interval"), "interval", high="high"),
        Column("meaning", say("column.meaning")),
    ]
    return [
        picture,
        draw_table(frame, columns=columns, caption=say("change.sensitivity.caption"), language=context.language),
    ]


def draw_leavers(released: Released, context: Context) -> Sequence[Shown]:
    """Draw those who left beside those who stayed, at the first wave."""
    left = next(f for f in released.figures if f.name == "leavers.n")
    gap = find_figure(released, "leavers.g")
    if isinstance(left.value, Withheld) or gap is None:
        return [draw_notice("note", heading=say("leavers.few"), body=[], language=context.language)]
    return [draw_numbers(released, context, caption=say("leavers.caption"))]


def draw_numbers(released: Released, context: Context, *, caption: Any = None) -> Shown:
    """Draw figures as a table: what it is, its value, its interval, how many persons."""
    rows = [write_row(figure, context) for figure in released.figures]
    columns = [
        Column("name", say("column.what")),
        Column("value", say("column.value"), "text"),
        Column("interval", say("column.interval"), "text"),
        Column("n", say("column.n"), "count"),
    ]
    return draw_table(
        pd.DataFrame(rows), columns=columns, caption=caption or say("numbers.caption"), language=context.language
    )


def draw_change_numbers(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the appendix: every number behind the answer, with its name in `results.json`."""
    return [draw_numbers(released, context)]


def draw_clusters(change: Change | Withheld, context: Context) -> Shown:
    """Say what was taken as observed independently, and why where it is no school."""
    if isinstance(change, Withheld):
        return draw_prose([change.reason], language=context.language)
    facts = {"n": change.n_clusters, "effective": change.n_clusters_effective}
    lines = [say(f"clusters.{change.cluster}", reason=change.cluster_reason or plain(""), **facts)]
    if change.strata_merged:
        lines.append(say("clusters.merged", n=change.strata_merged))
    if change.n_without_cluster >= context.min_cell and change.cluster != "none":
        lines.append(say("clusters.without"))
    return draw_prose(lines, language=context.language)


def draw_reliable(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the shares of the group whose change exceeds the test's error, beside those that come by chance."""
    return [draw_numbers(released, context, caption=say("reliable.caption"))]


def draw_tipping(released: Released, context: Context) -> Sequence[Shown]:
    """Draw how differently those who left would have to have changed to turn the answer."""
    return [draw_numbers(released, context, caption=say("tipping.caption"))]


def draw_reliability(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the reliability of the forms and the items to be looked at, under a caption of their own."""
    return [draw_numbers(released, context, caption=say("reliability.caption"))]


NEAR_ZERO = 0.05  # an end this near to zero is written with two places, so that its side can be seen
SMALLEST_P = 0.0001  # below, a p value is written as such
PLACES: Mapping[str, int] = {
    "points": 2,
    "percent": 1,
    "sd": 2,
    "r": 3,
    "alpha": 3,
    "t": 2,
    "df": 1,
    "p": 4,
    "clusters": 0,
    "days": 0,
    "districts": 0,
    "level": 0,
    "persons": 0,
}


def write_row(figure: Figure, context: Context) -> dict[str, Any]:
    """Return one figure as a row of text in the report's language."""
    name = _name(figure).said(context.language)
    if isinstance(figure.value, Withheld):
        n = None if figure.value.kind in ("small", "complement") else figure.n
        return {"name": name, "value": "–", "interval": "", "n": n, "withheld": figure.value.reason}
    places = PLACES.get(figure.unit, 2)
    value = say(f"number.{places}", value=figure.value)
    if figure.unit == "p" and float(figure.value) < SMALLEST_P:
        value = say("number.tiny")
    bounds = plain("") if figure.low is None else say(f"number.interval{places}", low=figure.low, high=figure.high)
    said = {"value": value.said(context.language), "interval": bounds.said(context.language)}
    return {"name": name, **said, "n": figure.n if figure.tells_n else None, "withheld": None}


def _name(figure: Figure) -> Text:
    if figure.name.startswith("item."):
        base = say("name.item", item=plain(figure.name.split(".")[1]))
    else:
        base = say(f"name.{figure.name}")
    return join([base, plain(", ".join(figure.where.values()))], " · ") if figure.where else base
