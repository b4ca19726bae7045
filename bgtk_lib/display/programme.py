"""The report on a programme: its answer and how far it may be trusted, how people came in, what they had of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Literal

import pandas as pd

from bgtk_lib.disclosure import Released
from bgtk_lib.display.change import NEAR_ZERO, draw_numbers, find_figure, write_row
from bgtk_lib.display.compared import read_evidence
from bgtk_lib.display.context import Context
from bgtk_lib.display.page import KeyFigure, Shown, draw_answer, draw_notice, draw_points, draw_prose
from bgtk_lib.display.table import Column, draw_table, write_value
from bgtk_lib.errors import Text
from bgtk_lib.findings import Figure, Withheld
from bgtk_lib.programme.design import Design
from bgtk_lib.programme.lost import Lost
from bgtk_lib.schema import code_list
from bgtk_lib.words import join, plain, say

LEVELS = (1, 2, 3, 4)
LINE = {"did": "did", "lottery": "lottery"}  # method → how its difference is told; the others compare later scores
Unit = Literal["scale", "points", "sd"]


# ---------------------------------------------------------------- the answer


def draw_programme_answer(
    released: Released,
    context: Context,
    *,
    design: Design | Withheld,
    unit: Unit,
    link: pd.DataFrame,
    highest: float | None = None,
) -> Sequence[Shown]:
    """Draw the bottom line with its strength of evidence and its conditions; why there is none, where there is none.

    Parameters
    ----------
    released : Released
        As `list_found` and `list_marks` give them.
    context : Context
        Of the report; its parameters say how people came in.
    design : Design or Withheld
        How the question is answered.
    unit : {"scale", "points", "sd"}
        What scores are told in.
    link : DataFrame
        The link of the two forms, one row; its scale is told where scores are on it.
    highest : float or None
        Highest possible rubric score of a criterion.
    """
    effect = find_figure(released, "programme.effect") or find_figure(released, "programme.effect_sd")
    change, rated = (find_figure(released, f"{name}.change") for name in ("programme", "rubric"))
    shown = effect or change or rated
    reasons = _list_reasons(design, compared=effect is not None)
    if shown is None:
        hidden = next(f.value for f in released.figures if f.name == "programme.n")
        body = [hidden.reason] if isinstance(hidden, Withheld) else reasons
        return [draw_notice("note", heading=say("programme.no_answer"), body=body, language=context.language)]
    evidence = read_evidence(released) if effect else 1
    if effect:
        line = _tell_effect(released, effect, context, method=_name_method(design), evidence=evidence)
        keys = _list_effect_keys(released, effect, context, evidence=evidence)
    else:
        line, keys = _tell_change(released, shown, context)
    points = _tell_rubric(highest) if shown is rated else _tell_unit(unit, link=link)
    conditions = [*reasons, *points, say(f"programme.level.{context.parameters['level']}")]
    conditions.append(say(f"change.condition.{shown.status}"))
    strength = say(f"programme.evidence.{evidence}")
    box = draw_answer(line, figures=keys, evidence=strength, conditions=conditions, language=context.language)
    return [box, draw_ladder(evidence, context)]


def draw_ladder(evidence: int, context: Context) -> Shown:
    """Draw the four levels of evidence with what each allows to say, the report's own marked."""
    levels = {level: say(f"programme.evidence.{level}") for level in LEVELS}
    told = {
        level: say("programme.ladder.here", level=name) if level == evidence else name for level, name in levels.items()
    }
    frame = pd.DataFrame(
        {"level": [told[level] for level in LEVELS], "means": [say(f"programme.ladder.{level}") for level in LEVELS]}
    )
    columns = [Column("level", say("programme.ladder.level")), Column("means", say("programme.ladder.means"))]
    return draw_table(frame, columns=columns, caption=say("programme.ladder.caption"), language=context.language)


def _tell_effect(released: Released, effect: Figure, context: Context, *, method: str, evidence: int) -> Text:
    """Return the difference in one paragraph: of whom, how large, how sure, and what it may be called."""
    who = "drawn" if method == "lottery" else context.parameters["role"]
    others = find_figure(released, "programme.comparison_n")
    people, compared = _count(find_figure(released, "programme.n")), _count(others)
    line = _tell_line(
        LINE.get(method, "ancova"), effect, context, n=people, who=_name_who(who, context), others=compared
    )
    settled = not _is_open(effect)
    meaning = f"programme.meaning.{evidence}" if settled or evidence <= 2 else "programme.meaning.unsettled"
    return join([line, say(meaning)], " ")


def _tell_change(released: Released, change: Figure, context: Context) -> tuple[Text, list[KeyFigure]]:
    """Return the change of participants alone in one paragraph, beside the regression to the mean expected of them."""
    rated = change.name == "rubric.change"
    who = _name_who(context.parameters["role"], context)
    parts = [_tell_line("rubric" if rated else "change", change, context, n=_count(change), who=who)]
    keys = [_as_key(change, say("programme.key.rubric" if rated else "programme.key.change"))]
    expected = None if rated else find_figure(released, "programme.rtm_expected")
    if expected and str(context.parameters["assignment"]).startswith("selected"):
        told = {"value": _write(expected, "signed_points"), "unit": say("figure.unit.points")}
        parts.append(say("programme.line.towards_mean", **told))
        keys.append(_as_key(expected, say("programme.key.towards_mean")))
    label = say("programme.key.rated" if rated else "programme.key.n")
    keys.append(KeyFigure(value=_count(change), label=label))
    return join([*parts, say("programme.meaning.1")], " "), keys


def _tell_line(kind: str, figure: Figure, context: Context, **people: Text) -> Text:
    """Return one sentence on a difference or a change; without a direction where its interval contains 0."""
    low, high, size = float(figure.low or 0.0), float(figure.high or 0.0), float(figure.value)  # type: ignore[arg-type]
    way = "unsettled" if _is_open(figure) else "up" if low > 0 else "down"
    if way == "down":
        low, high, size = -high, -low, -size
    places = 2 if figure.unit == "sd" or min(abs(low), abs(high)) < NEAR_ZERO else 1
    low_told, high_told, told = (say(f"number.{places}", value=value) for value in (low, high, size))
    interval = say("programme.interval", confidence=100 * context.confidence, low=low_told, high=high_told)
    unit = say(f"figure.unit.{figure.unit}")
    return say(f"programme.line.{kind}_{way}", size=told, unit=unit, interval=interval, **people)


def _list_effect_keys(released: Released, effect: Figure, context: Context, *, evidence: int) -> list[KeyFigure]:
    keys = [_as_key(effect, say("programme.key.added" if evidence >= 3 else "programme.key.effect"))]
    size = find_figure(released, "programme.effect_sd")
    if size and size.name != effect.name:
        keys.append(_as_key(size, say("programme.key.effect_sd")))
    both = [_count(find_figure(released, name)) for name in ("programme.n", "programme.comparison_n")]
    label = say("programme.key.drawn" if context.parameters["comparison"] == "lottery" else "programme.key.groups")
    return [*keys, KeyFigure(value=say("programme.both", n=both[0], others=both[1]), label=label)]


def _list_reasons(design: Design | Withheld, *, compared: bool) -> list[Text]:
    """Return why it is answered so; where a comparison was meant and is not shown, why it is not."""
    if isinstance(design, Withheld):
        return [design.reason]
    described = design.method in ("prepost", "small")
    return list(design.reasons) if compared or described else list(design.reasons[-1:])


def _tell_unit(unit: Unit, *, link: pd.DataFrame) -> list[Text]:
    """Return what a point is."""
    if unit == "sd":
        return [say("programme.standardised")]
    if unit == "points":
        return [say("programme.points_instead" if len(link) else "programme.points")]
    return [say("programme.scale", points=float(link["points_an_item"].iloc[0]))] if len(link) else []


def _as_key(figure: Figure, label: Text) -> KeyFigure:
    in_sd = figure.unit == "sd"
    value = say("change.value2", value=figure.value) if in_sd else say("figure.points_signed", value=figure.value)
    ends = {"low": figure.low, "high": figure.high}
    detail = None if figure.low is None else say("change.interval2" if in_sd else "change.interval1", **ends)
    return KeyFigure(value=value, label=label, detail=detail)


def _name_method(design: Design | Withheld) -> str:
    return design.method if isinstance(design, Design) else "prepost"


def _name_who(who: object, context: Context) -> Text:
    return say(f"programme.who.{who}", programme=code_list("programmes")[str(context.parameters["programme"])])


def _count(figure: Figure | None) -> Text:
    return say("count.exact", n=figure.n) if figure and figure.tells_n else plain("–")


def _is_open(figure: Figure) -> bool:
    """Whether an interval leaves the direction open."""
    return figure.low is None or figure.high is None or figure.low <= 0 <= figure.high


def _write(figure: Figure, kind: Literal["signed_points", "signed2"]) -> Text:
    return Text(id=write_value(figure.value, kind, "id"), en=write_value(figure.value, kind, "en"))


# ---------------------------------------------------------------- how people came in


def draw_entry(
    released: Released, context: Context, *, held: tuple[date, date] | None, days_after: float | None
) -> Sequence[Shown]:
    """Draw how people came in, with whom they are compared, when it was held, and how many took part.

    Parameters
    ----------
    released : Released
        As `list_entry` gives them.
    context : Context
        Of the report.
    held : pair of dates or None
        First and last day of the participants' courses.
    days_after : float or None
        Median days from the programme's end to the second measurement.
    """
    asked = context.parameters
    told = [say(f"programme.assigned.{asked['assignment']}"), say(f"programme.compared.{asked['comparison']}")]
    told += [say("programme.tutors")] if asked["role"] == "tutor" else []
    told.append(say("programme.whom", unit=say(f"programme.unit.{asked['unit']}")))
    if held:
        told.append(say("programme.held", first=held[0], last=held[1]))
        told += [say("programme.after", days=days_after)] if days_after is not None else []
    alone = asked["comparison"] == "none"
    counted = [f for f in released.figures if f.unit == "persons" and not (alone and f.name.startswith("comparison."))]
    rows = pd.DataFrame([write_row(figure, context) for figure in counted])
    rows["value"] = rows["value"].where(rows["withheld"].isna(), "")  # the reason stands there
    columns = [Column("name", say("column.what")), Column("value", say("programme.entry.persons"))]
    table = draw_table(rows, columns=columns, caption=say("programme.entry.caption"), language=context.language)
    return [draw_prose([join(told, " ")], language=context.language), table]


def draw_lost(released: Released, context: Context, *, lost: Lost | None) -> Sequence[Shown]:
    """Say how many of either group did not come back and what bias that may bring, and how far it could move the difference.

    Parameters
    ----------
    released : Released
        As `list_lost` gives them.
    context : Context
        Of the report.
    lost : Lost or None
        Whose sentences; None: no groups are compared, nothing is drawn.
    """
    if lost is None:
        return []
    overall, lower = (find_figure(released, name) for name in ("attrition.overall", "bounds.lower"))
    told = [] if overall is None or isinstance(lost.attrition, Withheld) else [lost.attrition.text]
    told += [] if lower is None or isinstance(lost.bounds, Withheld) else [lost.bounds.assumes]
    prose = [draw_prose([join(told, " ")], language=context.language)] if told else []
    return [*prose, draw_numbers(released, context, caption=say("lost.caption"))]


def draw_participation(released: Released, context: Context) -> Sequence[Shown]:
    """Say how much participants had of the programme, and how later scores go with it."""
    amounts = {name: find_figure(released, f"participation.{name}") for name in ("hours", "sessions")}
    told = [say(f"programme.{name}", value=amount.value) for name, amount in amounts.items() if amount]
    parts = [join(told, " ")] if told else [say("programme.no_amounts")]
    dose = next((f for f in released.figures if f.name == "dose.slope"), None)
    if dose is not None and isinstance(dose.value, Withheld):
        parts.append(say("programme.no_dose", reason=dose.value.reason))
    elif dose is not None:
        n, unit = dose.where["per"].split(" ")
        ends = [say("number.2", value=end) for end in (dose.low, dose.high)]
        interval = say("programme.interval", confidence=100 * context.confidence, low=ends[0], high=ends[1])
        per = say(f"programme.per.{unit}", n=int(n))
        parts.append(say("programme.dose", per=per, value=dose.value, interval=interval))
        parts += [say("programme.dose_unsettled")] if _is_open(dose) else []
    return [draw_prose([parts[0], join(parts[1:], " ")] if len(parts) > 1 else parts, language=context.language)]


# ---------------------------------------------------------------- what else was found


def draw_small(released: Released, context: Context) -> Sequence[Shown]:
    """Draw what describes a small group; that there is none, where there are more."""
    small = tuple(figure for figure in released.figures if figure.name.startswith("small."))
    count, small_n = find_figure(released, "programme.n"), int(context.parameters["small_n"])
    if count is None or not small:
        enough = count is not None and count.n >= small_n
        told = say("programme.small.none", small_n=small_n) if enough else say("programme.small.nothing")
        return [draw_prose([told], language=context.language)]
    table = draw_numbers(Released(small), context, caption=say("programme.small.caption"))
    return [table, draw_prose([say("programme.small.note")], language=context.language)]


def draw_rubric(released: Released, context: Context, *, highest: float | None) -> Sequence[Shown]:
    """Draw the raters' agreement and the change of their scores; that there are none, where there are none.

    Parameters
    ----------
    released : Released
        As `list_marks` gives them.
    context : Context
        Of the report.
    highest : float or None
        Highest possible score of a criterion.
    """
    if not released.figures:
        return [draw_prose([say("programme.rubric.none")], language=context.language)]
    rows = [replace(f, name=".".join([f.name, *f.where.values()]), where={}) for f in released.figures]
    table = draw_numbers(Released(tuple(rows)), context, caption=say("programme.rubric.caption"))
    told = [*_tell_rubric(highest), say("programme.rubric.agreement")]
    return [table, draw_prose(told, language=context.language)]


def _tell_rubric(highest: float | None) -> list[Text]:
    """Return what a rubric score is, where its criteria share one scale."""
    return [] if highest is None else [say("programme.rubric.scale", top=highest)]


def draw_programme_numbers(released: Released, context: Context) -> Sequence[Shown]:
    """Draw the appendix: every number with its name in `results.json`."""
    rows = tuple(replace(figure, where={}) for figure in released.figures)
    return [draw_numbers(Released(rows), context, caption=say("programme.numbers"))]


def draw_limits(context: Context, *, claims: bool) -> Sequence[Shown]:
    """Say what this report cannot tell, by its own design."""
    told = [] if claims else [say("programme.limit.cause")]
    told += [say("programme.limit.learning"), say(f"programme.limit.spillover_{context.parameters['spillover']}")]
    return [draw_points([*told, say("programme.limit.complete")], language=context.language)]
