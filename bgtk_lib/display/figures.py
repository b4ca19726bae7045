"""The figures: each takes a tidy frame and an axes, computes nothing and returns the axes.

Rows stand in the order of the frame, which is the order of the codes: a league table is never drawn. No mark stands for
a person. The sentence of each figure is made from the same frame in `sentences`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from textwrap import wrap

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, num2date
from matplotlib.patches import Rectangle

from bgtk_lib.display.canvas import ACCENT, ACCENT_PALE, ACCENT_SOFT, INK, MUTED, RULE, SIZE, SMALL, settle
from bgtk_lib.display.page import find_words, list_reasons
from bgtk_lib.display.rows import (
    OVERALL,
    draw_intervals,
    draw_shares,
    label_rows,
    list_rows,
    name_change,
    write_column,
    write_label,
)
from bgtk_lib.display.table import write_value
from bgtk_lib.errors import Language
from bgtk_lib.findings import FlowStep
from bgtk_lib.words import MONTHS, number, say

FLOW_CHARACTERS = 58
"""Characters a line of a flow box holds."""


def draw_change_by_district(frame: pd.DataFrame, ax: Axes, *, language: Language, unit: str = "points") -> Axes:
    """Draw the change of each district with its interval, in code order.

    Parameters
    ----------
    frame : DataFrame
        ``district`` (code; ``all`` is the overall line, drawn as a diamond, a dashed line and a band), ``label`` (str or
        Text), ``value``, ``low``, ``high`` (in `unit`), ``n`` (persons), ``withheld`` (Text, str or null).
    ax : Axes
        ``start_figure(len(frame) + 1)``.
    language : {"id", "en"}
        Language of the words.
    unit : str
        As in `findings.Figure.unit`.
    """
    rows = list_rows(frame)
    draw_intervals(ax, rows, heads=[row["district"] == OVERALL for row in rows], language=language)
    label_rows(ax, rows, language=language)
    counts = [write_value(row["n"], "count", language) or "–" for row in rows]
    write_column(ax, counts, heading=say("figure.column.n"), language=language)
    return name_change(ax, language=language, unit=unit)


def draw_sensitivity(frame: pd.DataFrame, ax: Axes, *, language: Language, unit: str = "points") -> Axes:
    """Draw the same change computed in several ways, the headline first.

    Parameters
    ----------
    frame : DataFrame
        ``label`` (str or Text), ``value``, ``low``, ``high`` (in `unit`), ``withheld``; the first row is the headline.
    ax : Axes
        ``start_figure(len(frame) + 1)``.
    language : {"id", "en"}
        Language of the words.
    unit : str
        As in `findings.Figure.unit`.
    """
    rows = list_rows(frame)
    draw_intervals(ax, rows, heads=[place == 0 for place in range(len(rows))], language=language)
    label_rows(ax, rows, language=language)
    values = [write_value(row["value"], "signed_points", language) or "–" for row in rows]
    write_column(ax, values, heading=say(f"figure.unit.{unit}"), language=language)
    return name_change(ax, language=language, unit=unit)


def draw_coverage(frame: pd.DataFrame, ax: Axes, *, language: Language) -> Axes:
    """Draw the share of the invited whose result can be used, by district, in code order.

    Parameters
    ----------
    frame : DataFrame
        ``district`` (code; ``all`` is the whole), ``label``, ``share`` (0 to 100), ``bound`` (``exact``, ``at_least`` or
        ``at_most``: what disclosure left of it), ``invited`` (persons), ``withheld``.
    ax : Axes
        ``start_figure(len(frame) + 1)``.
    language : {"id", "en"}
        Language of the words.
    """
    rows = list_rows(frame)
    draw_shares(ax, rows, language=language, limit=100.0)
    label_rows(ax, rows, language=language)
    counts = [write_value(row["invited"], "count", language) or "–" for row in rows]
    write_column(ax, counts, heading=say("figure.column.invited"), language=language)
    ax.set_xlabel(say("figure.coverage.axis").said(language))
    return ax


def draw_problem_rates(frame: pd.DataFrame, ax: Axes, *, language: Language) -> Axes:
    """Draw the share of records with at least one problem, by district, in code order; records, not persons.

    Parameters
    ----------
    frame : DataFrame
        ``district`` (code; ``all`` is the whole), ``label``, ``share`` (0 to 100), ``records`` (rows), ``withheld``.
    ax : Axes
        ``start_figure(len(frame) + 1)``.
    language : {"id", "en"}
        Language of the words.
    """
    rows = list_rows(frame)
    draw_shares(ax, rows, language=language, limit=max(1.0, 1.25 * float(frame["share"].max())))
    label_rows(ax, rows, language=language)
    counts = [write_value(row["records"], "count", language) or "–" for row in rows]
    write_column(ax, counts, heading=say("figure.column.records"), language=language)
    ax.set_xlabel(say("figure.problems.axis").said(language))
    return ax


def draw_distribution(grid: pd.DataFrame, ax: Axes, *, language: Language) -> Axes:
    """Draw how scores spread in each wave, as densities; no mark is a person.

    Parameters
    ----------
    grid : DataFrame
        ``wave`` (code, in order of time), ``label`` (str or Text), ``x`` (score), ``density``, and, repeated on each row
        of a wave, ``mean`` and ``n`` (persons).
    ax : Axes
        ``start_figure(9)``.
    language : {"id", "en"}
        Language of the words.
    """
    styles = [(MUTED, (0, (5, 2))), (ACCENT, "solid"), (ACCENT_SOFT, (0, (1, 1)))]
    for place, (_, wave) in enumerate(grid.groupby("wave", sort=False)):
        color, line = styles[place % len(styles)]
        first = wave.iloc[0]
        label = say(
            "figure.distribution.wave",
            label=write_label(first["label"], language),
            mean=first["mean"],
            n=int(first["n"]),
        )
        ax.plot(wave["x"], wave["density"], color=color, linestyle=line, linewidth=2.0, label=label.said(language))
        if place:
            ax.fill_between(wave["x"], wave["density"], color=ACCENT_PALE, linewidth=0, zorder=0)
        height = np.interp(first["mean"], wave["x"], wave["density"])
        ax.vlines(first["mean"], 0, height, color=color, linestyle=line, linewidth=1.2)
    settle(ax)
    ax.set_ylim(bottom=0)
    ax.margins(x=0)
    ax.set_yticks([])
    ax.locator_params(axis="x", integer=True, steps=[1, 2, 5, 10])
    ax.xaxis.set_major_formatter(lambda value, _: number(value, language, 0))
    ax.set_xlabel(say("figure.distribution.axis").said(language))
    ax.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), frameon=False, fontsize=SMALL, borderaxespad=0.2)
    return ax


def draw_timeline(frame: pd.DataFrame, ax: Axes, *, language: Language) -> Axes:
    """Draw how many results were sent in each stretch of time, in one wave.

    Parameters
    ----------
    frame : DataFrame
        ``start`` (local time, ascending, without gaps), ``submissions`` (null where withheld: a small grey tick), and,
        repeated, ``minutes`` (length of a stretch).
    ax : Axes
        ``start_figure(7)``.
    language : {"id", "en"}
        Language of the words.
    """
    minutes = int(frame["minutes"].iloc[0])
    start = pd.to_datetime(frame["start"]).dt.tz_localize(None)
    edges = [*start, start.iloc[-1] + pd.Timedelta(minutes=minutes)]
    ax.stairs(frame["submissions"].fillna(0), edges, color=ACCENT, fill=True, linewidth=0)
    few = start[frame["submissions"].isna()]
    ax.plot(few, np.zeros(len(few)), "|", color=MUTED, markersize=5, clip_on=False)
    settle(ax, sides=("bottom",))
    ax.grid(axis="y", color=RULE, linewidth=0.6)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(lambda value, _: number(value, language, 0))
    ax.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=6))  # type: ignore[no-untyped-call]
    hours = edges[-1] - edges[0] <= pd.Timedelta(hours=36)
    ax.xaxis.set_major_formatter(lambda value, _: _write_time(value, language, hours="clock" if hours else "day"))
    ax.set_ylabel(say("figure.timeline.axis", minutes=minutes).said(language))
    return ax


def draw_missingness(frame: pd.DataFrame, ax: Axes, *, language: Language) -> Axes:
    """Draw which share of the items was left out or not reached, by form and place in the form.

    Parameters
    ----------
    frame : DataFrame
        ``form`` (code), ``state`` (``omitted`` or ``not_reached``), ``decile`` (1 to 10: tenth of the form), ``share``
        (0 to 100; null where withheld: hatched).
    ax : Axes
        ``start_figure(2 + 1.2 * number of forms * number of states)``.
    language : {"id", "en"}
        Language of the words.
    """
    wide = frame.set_index(["form", "state", "decile"])["share"].unstack(sort=False)  # noqa: PD010 - nothing to aggregate
    said = wide.map(lambda share: write_value(share, "points", language, 0))
    tints = LinearSegmentedColormap.from_list("bgtk", ["#ffffff", ACCENT_SOFT, ACCENT])
    ax.set_facecolor("white")
    ax.patch.set(hatch="/////", edgecolor=RULE)
    top = max(10.0, float(np.nan_to_num(wide.to_numpy(dtype=float)).max()))
    sns.heatmap(
        wide, ax=ax, cmap=tints, vmin=0, vmax=top, annot=said, fmt="", annot_kws={"fontsize": SMALL},
        cbar=False, linewidths=1, linecolor="white",
    )  # fmt: skip
    names = [say(f"figure.missingness.{state}", form=form).said(language) for form, state in wide.index]
    ax.set_yticks(np.arange(len(names)) + 0.5, names)
    settle(ax, sides=())
    ax.tick_params(length=0, labelrotation=0)
    ax.tick_params(axis="y", labelsize=SIZE)
    ax.set(ylabel="", xlabel=say("figure.missingness.axis").said(language))
    return ax


def draw_flow(steps: Sequence[FlowStep], ax: Axes, *, language: Language) -> Axes:
    """Draw the states the rows passed through from the top down, and at the right what was set aside and why.

    Parameters
    ----------
    steps : sequence of FlowStep
        The words are ``flow.<state>`` and ``reason.<code>``.
    ax : Axes
        ``start_figure(count_flow_rows(steps, language=language))``.
    language : {"id", "en"}
        Language of the words.
    """
    depth = 0.0
    for place, step in enumerate(steps):
        lines = _list_aside(step, language)
        if place:
            end = depth + 0.9 * len(lines) + 2.1
            ax.annotate("", (0.1, end - 0.6), (0.1, depth + 0.6), arrowprops={"arrowstyle": "-|>", "color": MUTED})
            for line, said in enumerate(lines):
                at = depth + 1.35 + 0.9 * line
                ax.text(0.16, at, said, va="center", fontsize=SMALL, color=INK if line == 0 else MUTED)
            depth = end
        last = place == len(steps) - 1
        face = ACCENT_PALE if last else "white"
        ax.add_patch(Rectangle((0.0, depth - 0.6), 0.72, 1.2, facecolor=face, edgecolor=ACCENT, linewidth=1.0))
        head = say("page.flow.step", n=step.n, state=find_words("flow", step.state)).said(language)
        ax.text(0.025, depth, head, va="center", fontsize=SIZE, color=INK, fontweight="bold")
    ax.set(xlim=(-0.01, 1), ylim=(depth + 0.7, -0.7))
    ax.set_axis_off()
    return ax


def count_flow_rows(steps: Sequence[FlowStep], *, language: Language) -> float:
    """Return how many rows of text `draw_flow` needs, for `start_figure`."""
    return sum(2.1 + 0.9 * len(_list_aside(step, language)) for step in steps[1:]) - 0.6


def _list_aside(step: FlowStep, language: Language) -> list[str]:
    """Return the lines beside an arrow: how many were set aside, then each reason."""
    if not step.set_aside:
        return []
    reasons = [reason.said(language) for reason in list_reasons(step.reasons)]
    wrapped = [line for reason in reasons for line in wrap(reason, FLOW_CHARACTERS, subsequent_indent="\u2003")]
    return [say("page.flow.aside", n=step.set_aside).said(language), *wrapped]


def _write_time(value: float, language: Language, *, hours: str) -> str:
    moment: datetime = num2date(value)  # type: ignore[no-untyped-call]
    if hours == "clock":
        return moment.strftime("%H.%M" if language == "id" else "%H:%M")
    return f"{moment.day} {MONTHS[language][moment.month - 1][:3]}"
