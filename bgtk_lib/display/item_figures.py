"""The figures of items and tests: each takes a tidy frame and an axes, computes nothing and returns the axes.

A mark is an item, an option or a group of at least `min_cell` persons, never a person.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bgtk_lib.display.canvas import ACCENT, ACCENT_PALE, ACCENT_SOFT, INK, MUTED, RULE, SMALL, settle
from bgtk_lib.errors import Language
from bgtk_lib.words import number, say

ROOM_RIGHT = 0.85  # beyond this part of the axis a name stands left of its point
LABEL = (0.11, 0.045)  # parts of the axes that a name takes
MOST_LABELS = 12  # items named in a figure; more would lie on each other
DASHES = ["solid", (0, (5, 2)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 3)), (0, (2, 2))]


def draw_item_map(frame: pd.DataFrame, ax: Axes, *, language: Language, limits: tuple[float, float, float]) -> Axes:
    """Draw each item's difficulty against how it goes with the rest of the test.

    Parameters
    ----------
    frame : DataFrame
        ``item_id``, ``share`` (mean credit as a part of the highest, 0–1), ``item_rest_r``, ``asks`` (for review).
    ax : Axes
        ``start_figure(12)``.
    language : {"id", "en"}
        Language of the words.
    limits : (float, float, float)
        Lowest and highest difficulty and least correlation that ask for no look.
    """
    low, high, least = limits
    ax.axhspan(least, 1, color=ACCENT_PALE, linewidth=0, zorder=0)
    for edge in (low, high):
        ax.axvline(edge, color=RULE, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    ax.axhline(0, color=INK, linewidth=0.8)
    sound, asks = frame[~frame["asks"]], frame[frame["asks"]]
    ax.plot(sound["share"], sound["item_rest_r"], "o", color=ACCENT_SOFT, markersize=5, zorder=2)
    ax.plot(asks["share"], asks["item_rest_r"], "D", color=ACCENT, markersize=6, zorder=3)
    settle(ax, sides=("bottom", "left"))
    ax.set_xlim(-0.02, 1.02)
    known = frame["item_rest_r"].dropna()
    ax.set_ylim(min(-0.05, float(known.min()) - 0.05), max(0.5, float(known.max()) + 0.05))
    _name_points(ax, asks["share"], asks["item_rest_r"], shorten(frame["item_id"])[asks.index])
    ax.xaxis.set_major_formatter(lambda value, _: number(value, language, 1))
    ax.yaxis.set_major_formatter(lambda value, _: number(value, language, 1))
    ax.set_xlabel(say("instrument.axis.share").said(language))
    ax.set_ylabel(say("instrument.axis.r").said(language))
    return ax


def draw_traces(frame: pd.DataFrame, ax: Axes, *, language: Language) -> Axes:
    """Draw which share of each group chose each option of one item, groups from lowest to highest score.

    Parameters
    ----------
    frame : DataFrame
        ``option``, ``keyed``, ``score`` (mean rest score of a group), ``share`` (0–1; null where withheld).
    ax : Axes
        ``start_figure(7)``.
    language : {"id", "en"}
        Language of the words.
    """
    place = 0
    ends = []
    for option, rows in frame.groupby("option", sort=False):
        keyed = bool(rows["keyed"].fillna(value=False).any())
        style = "solid" if keyed else DASHES[1 + place % (len(DASHES) - 1)]
        place += not keyed
        color, width = (ACCENT, 2.4) if keyed else (MUTED, 1.4)
        ax.plot(
            rows["score"], 100 * rows["share"], color=color, linewidth=width, linestyle=style, marker="o", markersize=3
        )
        known = rows.dropna(subset=["share"])
        if len(known):
            ends.append((100 * float(known["share"].iloc[-1]), str(option) + ("*" if keyed else ""), color))
    _name_ends(ax, float(frame["score"].max()), ends)
    settle(ax, sides=("bottom", "left"))
    ax.set_ylim(0, 100)
    ax.margins(x=0.02)
    ax.yaxis.set_major_formatter(lambda value, _: number(value, language, 0) + "%")
    ax.xaxis.set_major_formatter(lambda value, _: number(value, language, 1))
    ax.set_xlabel(say("instrument.axis.rest_score").said(language))
    return ax


def draw_item_curve(curve: pd.DataFrame, points: pd.DataFrame, ax: Axes, *, language: Language) -> Axes:
    """Draw what the model expects of one item, and what groups of persons of like ability did.

    Parameters
    ----------
    curve : DataFrame
        ``theta``, ``expected``.
    points : DataFrame
        ``theta``, ``observed`` of each group.
    ax : Axes
        ``start_figure(7)``.
    language : {"id", "en"}
        Language of the words.
    """
    ax.plot(curve["theta"], curve["expected"], color=ACCENT, linewidth=2.0)
    ax.plot(points["theta"], points["observed"], "o", color=INK, markersize=4.5, clip_on=False)
    settle(ax, sides=("bottom", "left"))
    ax.set_ylim(0, np.ceil(max(curve["expected"].max(), points["observed"].max())))
    ax.margins(x=0)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, _: number(value, language, 1))
    ax.set_xlabel(say("instrument.axis.theta").said(language))
    ax.set_ylabel(say("instrument.axis.credit").said(language))
    return ax


def draw_wright_map(density: pd.DataFrame, steps: pd.DataFrame, ax: Axes, *, language: Language) -> Axes:
    """Draw the density of abilities above the difficulties of the items, on one scale.

    Parameters
    ----------
    density : DataFrame
        ``theta``, ``density``.
    steps : DataFrame
        ``item_id``, ``b``.
    ax : Axes
        ``start_figure(12)``.
    language : {"id", "en"}
        Language of the words.
    """
    top = float(density["density"].max())
    ax.fill_between(density["theta"], density["density"] / top, color=ACCENT_PALE, linewidth=0)
    ax.plot(density["theta"], density["density"] / top, color=ACCENT, linewidth=1.6)
    low, high = find_ends(density)
    known = steps.dropna(subset=["b"])
    width = (high - low) / 24
    heaps: dict[int, int] = {}
    for difficulty in sorted(known["b"].clip(low, high)):
        heap = int((difficulty - low) // width)
        heaps[heap] = heaps.get(heap, 0) + 1
        ax.plot(low + (heap + 0.5) * width, -0.06 - 0.075 * heaps[heap], "s", color=INK, markersize=3.6)
    ax.axhline(0, color=INK, linewidth=0.8)
    settle(ax)
    depth = 0.15 + 0.075 * max(heaps.values(), default=1)
    names = [say(f"instrument.wright.{name}").said(language) for name in ("persons", "items")]
    ax.set_yticks([0.5, -depth / 2], names, rotation=90, va="center")
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(low, high)
    ax.set_ylim(-depth, 1.08)
    ax.xaxis.set_major_formatter(lambda value, _: number(value, language, 0))
    ax.set_xlabel(say("instrument.axis.theta").said(language))
    return ax


def find_ends(density: pd.DataFrame) -> tuple[float, float]:
    """Return from where to where persons are drawn."""
    seen = density.loc[density["density"] > 0.002 * density["density"].max(), "theta"]
    return float(seen.min()), float(seen.max())


def draw_precision(frame: pd.DataFrame, density: pd.DataFrame, ax: Axes, *, language: Language) -> Axes:
    """Draw the standard error of measurement over ability, and where the persons are.

    Parameters
    ----------
    frame : DataFrame
        ``theta``, ``sem``.
    density : DataFrame
        ``theta``, ``density``; may be empty.
    ax : Axes
        ``start_figure(9)``.
    language : {"id", "en"}
        Language of the words.
    """
    known = frame.dropna(subset=["sem"])
    most = float(min(known["sem"].max(), 2.5 * known["sem"].min()))
    if len(density) and "density" in density:
        inside = density[density["theta"].between(known["theta"].min(), known["theta"].max())]
        ax.fill_between(
            inside["theta"], inside["density"] / density["density"].max() * most / 2, color=ACCENT_PALE, linewidth=0
        )
    ax.plot(known["theta"], known["sem"], color=ACCENT, linewidth=2.0)
    settle(ax, sides=("bottom", "left"))
    ax.set_ylim(0, most * 1.05)
    ax.set_xlim(known["theta"].min(), known["theta"].max())
    ax.xaxis.set_major_formatter(lambda value, _: number(value, language, 0))
    ax.yaxis.set_major_formatter(lambda value, _: number(value, language, 1))
    ax.set_xlabel(say("instrument.axis.theta").said(language))
    ax.set_ylabel(say("instrument.axis.sem").said(language))
    return ax


def draw_course(frame: pd.DataFrame, ax: Axes, *, language: Language) -> Axes:
    """Draw difficulty and discrimination of one item at each sitting, with their intervals.

    Parameters
    ----------
    frame : DataFrame
        ``sitting``, ``difficulty`` (0 to ``highest``) and ``item_rest_r`` with ``difficulty_low`` … ``r_high``.
    ax : Axes
        ``start_figure(2 * sittings + 1)``.
    language : {"id", "en"}
        Language of the words.
    """
    at = np.arange(len(frame), dtype=float)
    share = frame[["difficulty", "difficulty_low", "difficulty_high"]].div(frame["highest"], axis=0)
    shown = [("p", share, "o", ACCENT, -0.13), ("r", frame[["item_rest_r", "r_low", "r_high"]], "D", MUTED, 0.13)]
    for name, values, marker, color, lift in shown:
        value, low, high = (values.iloc[:, place] for place in range(3))
        ax.hlines(at + lift, low, high, color=color, linewidth=1.4)
        ax.plot(value, at + lift, marker, color=color, markersize=5, label=say(f"passport.{name}").said(language))
    ax.axvline(0, color=INK, linewidth=0.8, zorder=0)
    settle(ax)
    ax.set_yticks(at, frame["sitting"].tolist())
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(frame) - 0.5, -0.5)
    ax.set_xlim(min(-0.05, float(frame["r_low"].min()) - 0.05), 1.02)
    ax.xaxis.set_major_formatter(lambda value, _: number(value, language, 1))
    ax.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncol=2, frameon=False, fontsize=SMALL, borderaxespad=0.2)
    return ax


def draw_profile(frame: pd.DataFrame, ax: Axes, *, language: Language) -> Axes:
    """Draw how two groups of equal score did on one item.

    Parameters
    ----------
    frame : DataFrame
        ``side`` (``focal``, ``reference``), ``label`` (name of the group), ``score_mean``, ``mean_credit``.
    ax : Axes
        ``start_figure(7)``.
    language : {"id", "en"}
        Language of the words.
    """
    for side, rows in frame.groupby("side", sort=True):
        color, line = (ACCENT, "solid") if side == "focal" else (MUTED, DASHES[1])
        ax.plot(
            rows["score_mean"],
            rows["mean_credit"],
            color=color,
            linestyle=line,
            linewidth=1.8,
            marker="o",
            markersize=3.5,
            label=str(rows["label"].iloc[0]),
        )
    settle(ax, sides=("bottom", "left"))
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(lambda value, _: number(value, language, 1))
    ax.xaxis.set_major_formatter(lambda value, _: number(value, language, 0))
    ax.set_xlabel(say("instrument.axis.score").said(language))
    ax.set_ylabel(say("instrument.axis.credit").said(language))
    ax.legend(loc="upper left", frameon=False, fontsize=SMALL)
    return ax


def draw_drift(frame: pd.DataFrame, ax: Axes, *, language: Language, bounds: tuple[float, float]) -> Axes:
    """Draw how far each anchor moved between the waves, with bands of what is reviewed and what is dropped.

    Parameters
    ----------
    frame : DataFrame
        ``item_id``, ``b_pre``, ``difference``, ``difference_se`` (logits), ``state`` (kept, review, dropped).
    ax : Axes
        ``start_figure(12)``.
    language : {"id", "en"}
        Language of the words.
    bounds : (float, float)
        Sizes in logits from which an anchor is reviewed and dropped.
    """
    review, drop = bounds
    ax.axhspan(-drop, drop, color=ACCENT_PALE, linewidth=0, zorder=0)
    ax.axhspan(-review, review, color="white", linewidth=0, zorder=0)
    ax.axhline(0, color=INK, linewidth=0.8, zorder=1)
    marks = {"kept": ("o", ACCENT_SOFT), "review": ("D", ACCENT), "dropped": ("X", INK)}
    for state, (marker, color) in marks.items():
        rows = frame[frame["state"] == state]
        if rows.empty:
            continue
        half = 1.96 * rows["difference_se"].fillna(0.0)
        ax.vlines(
            rows["b_pre"], rows["difference"] - half, rows["difference"] + half, color=RULE, linewidth=1.2, zorder=2
        )
        ax.plot(
            rows["b_pre"],
            rows["difference"],
            marker,
            color=color,
            markersize=6,
            zorder=3,
            label=say(f"linking.state.{state}").said(language),
        )
    asks = frame[frame["state"].isin(["review", "dropped"])]
    settle(ax, sides=("bottom", "left"))
    _name_points(ax, asks["b_pre"], asks["difference"], shorten(frame["item_id"])[asks.index])
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, _: number(value, language, 1))
    ax.set_xlabel(say("linking.axis.b_pre").said(language))
    ax.set_ylabel(say("linking.axis.difference").said(language))
    ax.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncol=3, frameon=False, fontsize=SMALL, borderaxespad=0.2)
    return ax


def shorten(items: pd.Series[str]) -> pd.Series[str]:
    """Return items' codes without what all of them begin with: a label in a figure has room for little.

    Examples
    --------
    >>> shorten(pd.Series(["SSL-1-007", "SSL-1-020"])).tolist(), shorten(pd.Series(["S1"])).tolist()
    (['007', '020'], ['S1'])
    """
    codes = items.astype("str")
    first, last = (codes.min(), codes.max()) if len(codes) > 1 else ("", "")  # what these share, all share
    shared = first[: next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)]
    return codes.str.slice(len(re.sub(r"[^\W_]*$", "", shared)))


def _name_points(ax: Axes, x: pd.Series, y: pd.Series, names: pd.Series) -> None:
    """Write the names of a few points beside them, the ones furthest out first: inside the axes, not on each other."""
    known = pd.DataFrame({"x": x, "y": y, "name": names}).dropna()
    far = known.assign(far=(known["y"] - known["y"].median()).abs()).nlargest(MOST_LABELS, "far")
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    taken: list[tuple[float, float]] = []
    for row in far.sort_values("y").to_dict("records"):
        across, up = (row["x"] - left) / (right - left), (row["y"] - bottom) / (top - bottom)
        beyond = across > ROOM_RIGHT
        middle = across + (-0.06 if beyond else 0.06)
        touching = [other for at, other in taken if abs(at - middle) < LABEL[0] and abs(other - up) < LABEL[1]]
        height = max([up, *(other + LABEL[1] for other in touching)])
        taken.append((middle, height))
        ax.annotate(
            str(row["name"]),
            (row["x"], row["y"]),
            xytext=(across - 0.012 if beyond else across + 0.012, height + 0.008),
            textcoords="axes fraction",
            ha="right" if beyond else "left",
            fontsize=SMALL - 1,
            color=INK,
        )


def _name_ends(ax: Axes, x: float, ends: list[tuple[float, str, str]]) -> None:
    """Write each curve's name at its right end, pushed apart where they would touch."""
    last = -np.inf
    for height, name, color in sorted(ends):
        place = max(height, last + 6.0)
        last = place
        ax.annotate(
            name,
            (x, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=color,
            annotation_clip=False,
        )
