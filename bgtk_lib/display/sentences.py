"""One true sentence a figure, made from the frame that the figure draws: caption, alt text and message in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import pandas as pd

from bgtk_lib.display.page import find_words
from bgtk_lib.display.rows import OVERALL
from bgtk_lib.errors import Text
from bgtk_lib.findings import FlowStep
from bgtk_lib.words import join, number, plain, say


@dataclass(frozen=True, kw_only=True)
class Change:
    """The numbers of a change that its sentence needs; later wave minus earlier wave.

    Attributes
    ----------
    mean, low, high : float
        Mean change and the ends of its interval, in `unit`.
    pre_mean, post_mean : float
        Means of the same persons in the two waves.
    n : int
        Persons present in both waves.
    first_day, last_day : date or None
        First day of the earlier and last day of the later wave; None where the workspace declares no days.
    unit : str
        As in `findings.Figure.unit`.
    max_points : float or None
        Upper end of the scale where it starts at 0.
    confidence : float
        Share, e.g. 0.95.
    """

    mean: float
    low: float
    high: float
    pre_mean: float
    post_mean: float
    n: int
    first_day: date | None
    last_day: date | None
    unit: str = "points"
    max_points: float | None = None
    confidence: float = 0.95

    @property
    def direction(self) -> Literal["up", "down", "unsettled"]:
        """Where it goes, as far as the interval settles it."""
        return "up" if self.low > 0 else "down" if self.high < 0 else "unsettled"


def tell_bottom_line(change: Change) -> Text:
    """Return the answer: when, how many teachers, how much, from what to what, how sure; and that no cause is shown."""
    if change.first_day is None or change.last_day is None:
        return join([tell_change(change), say("page.line.no_cause")], " ")
    dates = say("page.line.dates", first=change.first_day, last=change.last_day)
    return join([say("page.line.whole", dates=dates, change=_tell_amount(change)), say("page.line.no_cause")], " ")


def tell_change(change: Change) -> Text:
    """Return the change in one sentence without dates, for captions and lists."""
    return say("page.line.short", change=_tell_amount(change))


def tell_change_by_district(frame: pd.DataFrame, *, unit: str = "points") -> Text:
    """Say in how many districts the interval lies above, below or around zero; columns as in `draw_change_by_district`."""
    rows = frame[frame["district"] != OVERALL]
    shown = rows[_is_shown(rows)]
    if shown.empty:
        return say("figure.told.nothing_shown", total=len(rows))
    if len(shown) == 1:
        only = {
            "value": _signed(shown["value"].iloc[0]),
            "unit": say(f"figure.unit.{unit}"),
            "label": _as_text(shown["label"].iloc[0]),
        }
        return _add_withheld(say("figure.told.change_one", **only), withheld=len(rows) - 1)
    above, below = int((shown["low"] > 0).sum()), int((shown["high"] < 0).sum())
    told = say(
        "figure.told.change",
        shown=len(shown),
        low=_signed(shown["value"].min()),
        high=_signed(shown["value"].max()),
        unit=say(f"figure.unit.{unit}"),
        above=above,
        below=below,
        around=len(shown) - above - below,
    )
    return _add_withheld(told, withheld=len(rows) - len(shown))


def tell_sensitivity(frame: pd.DataFrame, *, unit: str = "points") -> Text:
    """Say how far the other ways of computing stray from the headline; columns as in `draw_sensitivity`."""
    shown = frame[_is_shown(frame)]
    others = shown.iloc[1:]
    around = int(((shown["low"] <= 0) & (shown["high"] >= 0)).sum())
    if others.empty or not _is_shown(frame).iloc[0]:
        return say("figure.told.sensitivity_none")
    turns = (shown["high"] < 0).any() and (shown["low"] > 0).any()
    key = "sensitivity_turns" if turns else "sensitivity" if around else "sensitivity_clear"
    return say(
        f"figure.told.{key}",
        headline=_signed(shown["value"].iloc[0]),
        others=len(others),
        low=_signed(others["value"].min()),
        high=_signed(others["value"].max()),
        unit=say(f"figure.unit.{unit}"),
        around=around,
        all=len(shown),
    )


def tell_distribution(grid: pd.DataFrame) -> Text:
    """Say where each wave's scores are centred; columns as in `draw_distribution`."""
    waves = grid.groupby("wave", sort=False).first()
    parts = [
        say("figure.told.wave", label=_as_text(row["label"]), mean=_plain_number(row["mean"], 1), n=int(row["n"]))
        for _, row in waves.iterrows()
    ]
    return say("figure.told.distribution", waves=join(parts, "; "))


def tell_flow(steps: Sequence[FlowStep], *, shortened: bool = False) -> Text:
    """Say how many of the first state reached the last, and at which state most were set aside."""
    first, last = steps[0], steps[-1]
    most = max(steps, key=lambda step: step.set_aside)
    words = {
        "first": find_words("flow", first.state),
        "last": find_words("flow", last.state),
        "n_first": first.n,
        "n_last": last.n,
        "aside": sum(step.set_aside for step in steps),
    }
    few = [say("figure.told.flow_few")] if shortened else []
    if len(steps) == 1 or (shortened and not most.set_aside):
        return join([say("figure.told.flow_one", **words), *few], " ")
    if not most.set_aside:
        return join([say("figure.told.flow_whole", **words), *few], " ")
    told = say("figure.told.flow", most=find_words("flow", most.state), n_most=most.set_aside, **words)
    return join([told, *few], " ")


def tell_coverage(frame: pd.DataFrame) -> Text:
    """Say between which shares the districts lie; columns as in `draw_coverage`."""
    return _tell_shares(frame, key="coverage", places=0)


def tell_problem_rates(frame: pd.DataFrame) -> Text:
    """Say between which shares of records with a problem the districts lie; columns as in `draw_problem_rates`."""
    return _tell_shares(frame, key="problems", places=1)


def tell_timeline(frame: pd.DataFrame) -> Text:
    """Say from when to when results came in, and when most did; columns as in `draw_timeline`."""
    seen = frame[frame["submissions"].isna() | (frame["submissions"] > 0)]
    counted = frame.dropna(subset=["submissions"])
    if counted.empty or not counted["submissions"].max():
        return say("figure.told.timeline_few")
    top = counted.sort_values("submissions", kind="stable", ascending=False).iloc[0]
    moments = {"first": seen["start"].iloc[0], "last": seen["start"].iloc[-1], "top": top["start"]}
    clocks = {f"{name}_clock": _tell_clock(moment) for name, moment in moments.items()}
    one_day = moments["first"].date() == moments["last"].date()
    return say(
        "figure.told.timeline_day" if one_day else "figure.told.timeline",
        n=int(top["submissions"]),
        minutes=int(top["minutes"]),
        **clocks,
        **{name: moment.date() for name, moment in moments.items()},
    )


def tell_missingness(frame: pd.DataFrame) -> Text:
    """Say where most items were left out and where most were not reached; columns as in `draw_missingness`."""
    parts = []
    for state, rows in frame.dropna(subset=["share"]).groupby("state", sort=False):
        top = rows.sort_values("share", kind="stable", ascending=False).iloc[0]
        share = _plain_number(top["share"], 1)
        parts.append(say(f"figure.told.most_{state}", share=share, form=top["form"], decile=int(top["decile"])))
    return join(parts, " ") if parts else say("figure.told.missingness_none")


def _tell_amount(change: Change) -> Text:
    low, high = change.low, change.high
    size = change.mean
    if change.direction == "down":
        low, high, size = -change.high, -change.low, -change.mean
    fits = round(change.post_mean, 1) - round(change.pre_mean, 1)
    tight = min(abs(low), abs(high)) < 0.05 or abs(fits - round(change.mean, 1)) > 0.05
    places = 2 if tight else 1
    write = _signed if change.direction == "unsettled" else _plain_number
    top = say("page.line.scale", top=_plain_number(change.max_points, 0)) if change.max_points else plain("")
    told = say(
        f"page.line.{change.direction}",
        n=change.n,
        size=write(size, places),
        low=write(low, places),
        high=write(high, places),
        pre=_plain_number(change.pre_mean, places),
        post=_plain_number(change.post_mean, places),
        unit=say(f"figure.unit.{change.unit}"),
        scale=top,
        confidence=_plain_number(100 * change.confidence, 0),
    )
    step = round(change.post_mean, places) - round(change.pre_mean, places)
    if abs(step - round(change.mean, places)) > 0.5 * 10**-places:
        return join([told, say("page.line.rounded")], "")
    return told


def _tell_shares(frame: pd.DataFrame, *, key: str, places: int) -> Text:
    rows = frame[frame["district"] != OVERALL]
    known = rows[_is_shown(rows) & rows["share"].notna()]
    shown = known[known["bound"] == "exact"] if "bound" in known else known
    if shown.empty and len(known):
        return _add_withheld(say("figure.told.bounds_only", n=len(known)), withheld=len(rows) - len(known))
    if shown.empty:
        return say("figure.told.nothing_shown", total=len(rows))
    low, high = _plain_number(shown["share"].min(), places), _plain_number(shown["share"].max(), places)
    same = "_same" if low == high else ""
    told = say(f"figure.told.{key}{same}", shown=len(shown), low=low, high=high)
    if len(known) > len(shown):
        told = join([told, say("figure.told.bounds", n=len(known) - len(shown))], " ")
    whole = frame[frame["district"] == OVERALL]
    if len(whole) and bool(_is_shown(whole).iloc[0]):
        told = join([told, say("figure.told.whole", share=_plain_number(whole["share"].iloc[0], places))], " ")
    return _add_withheld(told, withheld=len(rows) - len(known))


def _add_withheld(told: Text, *, withheld: int) -> Text:
    return join([told, say("figure.told.withheld", n=withheld)], " ") if withheld else told


def _is_shown(frame: pd.DataFrame) -> pd.Series[bool]:
    """Tell which rows carry numbers; a frame without the column withholds nothing."""
    if "withheld" not in frame:
        return pd.Series(data=True, index=frame.index)
    return frame["withheld"].isna()


def _as_text(value: object) -> Text:
    return value if isinstance(value, Text) else plain(str(value))


def _plain_number(value: Any, places: int) -> Text:
    rounded = round(float(value), places) + 0.0
    return Text(id=number(rounded, "id", places), en=number(rounded, "en", places))


def _signed(value: Any, places: int = 1) -> Text:
    rounded = round(float(value), places) + 0.0
    sign = rounded != 0
    return Text(id=number(rounded, "id", places, sign=sign), en=number(rounded, "en", places, sign=sign))


def _tell_clock(moment: pd.Timestamp) -> Text:
    return Text(id=moment.strftime("%H.%M"), en=moment.strftime("%H:%M"))
