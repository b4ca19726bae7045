"""What a report on a programme says in numbers: findings as figures with stable names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pandas as pd

from bgtk_lib.change.clusters import Contrast
from bgtk_lib.findings import CLAIMING, COMPARING, MEASURING, OF_CHANGE, Figure, Status, Withheld
from bgtk_lib.programme.assess import Programme
from bgtk_lib.programme.design import Design
from bgtk_lib.programme.dose import Dose
from bgtk_lib.programme.effects import Effect
from bgtk_lib.programme.groups import Groups
from bgtk_lib.programme.lottery import Cace
from bgtk_lib.programme.rubric import RubricChange
from bgtk_lib.programme.small import Small
from bgtk_lib.programme.towards_mean import TowardsMean
from bgtk_lib.words import say


def list_programme(programme: Programme, *, status: Status = "exploratory") -> list[Figure]:
    """Return a programme as figures.

    `programme.n`, `.comparison_n`, `.evidence` (1 to 4), `.change`, `.comparison_change`, `.rtm_expected`, `.effect`,
    `.effect_sd`, `.p`; of a lottery `.cace` and `.taken_up` (percent); of a few `small.*`; `dose.slope`, `where` = per how
    much; `balance.<column>.before` and `.after`, `where` = the level.

    Parameters
    ----------
    programme : Programme
        As `assess_programme` returns it.
    status : Status
        Of the effect: planned where the analysis plan names it.

    Notes
    -----
    A figure that compares groups bears the n of the smaller one: were it shown for a group too small to be shown, the other
    group's figure would give that group's mean away.
    """
    n, others = programme.n_participants, programme.n_comparison
    unit = "sd" if programme.standardised else "points"
    evidence = programme.design.evidence if isinstance(programme.design, Design) else 1
    own = partial(Figure, n=n, population=say("programme.population.participants"))
    other = partial(Figure, n=others, population=say("programme.population.comparison"))
    expected = partial(own, name="programme.rtm_expected", unit=unit, gates=MEASURING)
    return [
        own(name="programme.n", value=n, unit="persons"),
        other(name="programme.comparison_n", value=others, unit="persons"),
        own(name="programme.evidence", value=evidence, unit="level"),
        _tell(partial(own, name="programme.change", unit="points", gates=COMPARING), programme.change),
        _tell(
            partial(other, name="programme.comparison_change", unit="points", gates=COMPARING),
            programme.comparison_change,
        ),
        _tell(expected, programme.towards_mean),
        *_list_effect(programme, unit=unit, status=status),
        *_list_small(programme),
        *list_dose(programme.dose, unit=unit),
        *_list_balance(programme),
    ]


def list_groups(groups: Groups) -> list[Figure]:
    """Return what the groups rest on as figures.

    `roster.n` (took part between the measurements), `roster.unpaired` (of them without both scores),
    `comparison.same_school`; `programme.elsewhere` and `comparison.elsewhere` (in another programme in the same months).
    """
    taking, compared = say("programme.population.participants"), say("programme.population.comparison")
    n, others = int(groups.members["treated"].sum()), int((~groups.members["treated"]).sum())
    lost = partial(Figure, population=taking)
    return [
        _count(partial(lost, name="roster.unpaired"), groups.n_unpaired, groups.n_roster),
        replace(_count(partial(lost, name="roster.n"), groups.n_unpaired, groups.n_roster), value=groups.n_roster),
        _count(partial(lost, name="programme.elsewhere"), groups.n_elsewhere_participants, n),
        _count(
            partial(Figure, name="comparison.elsewhere", population=compared), groups.n_elsewhere_comparison, others
        ),
        _count(
            partial(Figure, name="comparison.same_school", population=compared),
            groups.n_same_school,
            max(others, groups.n_same_school),
        ),
    ]


def list_dose(dose: Dose | Withheld, *, unit: str = "points") -> list[Figure]:
    """Return the slope on the amount of the programme as `dose.slope`; exploratory in any case."""
    population = say("programme.population.participants")
    figure = partial(Figure, name="dose.slope", unit=unit, population=population, status="exploratory", gates=COMPARING)
    if isinstance(dose, Withheld):
        return [figure(value=dose, n=0)]
    return [_tell(partial(figure, n=dose.n, where={"per": f"{dose.per} {dose.unit}"}), dose)]


def list_rubric(rubric: RubricChange) -> list[Figure]:
    """Return rubric scores as figures: `rubric.n`, `rubric.icc` with `where` = the occasion, `rubric.change`."""
    figure = partial(Figure, n=rubric.n, population=say("programme.population.participants"))
    agreement = [("pre", rubric.icc_pre), ("post", rubric.icc_post)]
    return [
        figure(name="rubric.n", value=rubric.n, unit="persons"),
        *(
            figure(name="rubric.icc", value=icc, unit="icc", where={"occasion": occasion})
            for occasion, icc in agreement
        ),
        _tell(partial(figure, name="rubric.change", unit="points"), rubric.change),
    ]


def _tell(
    figure: Callable[..., Figure], told: Contrast | Effect | Cace | TowardsMean | Withheld, *, divisor: float = 1.0
) -> Figure:
    """Return an estimate with its interval, or why there is none."""
    if isinstance(told, Withheld):
        return figure(value=told)
    ends = {"low": told.low, "high": told.high, "se": getattr(told, "se", None)}
    return figure(
        value=told.estimate / divisor, **{name: None if end is None else end / divisor for name, end in ends.items()}
    )


def _list_effect(programme: Programme, *, unit: str, status: Status) -> list[Figure]:
    """Return what the design found, or why it found nothing."""
    effect, cace = programme.effect, programme.cace
    gates = tuple(code for code in CLAIMING if not (programme.standardised and code in OF_CHANGE))
    smaller = min(programme.n_participants, programme.n_comparison)
    figure = partial(Figure, population=say("programme.population.both"), status=status, gates=gates, n=smaller)
    points = partial(figure, name="programme.effect", unit="points")
    size = partial(figure, name="programme.effect_sd", unit="sd")
    if isinstance(effect, Withheld):
        return [points(value=effect), size(value=effect)]
    figures = [
        _tell(points, Withheld(say("programme.no_scale")) if programme.standardised else effect),
        _tell(size, effect, divisor=effect.sd)
        if effect.sd > 0
        else size(value=Withheld(say("statistics.no_variation"))),
        figure(name="programme.p", value=effect.p, unit="p"),
    ]
    if cace is not None:
        figures.append(_tell(partial(figure, name="programme.cace", unit=unit), cace))
    if isinstance(cace, Cace):
        figures.append(figure(name="programme.taken_up", value=100 * cace.taken_up, unit="percent"))
    return figures


def _list_small(programme: Programme) -> list[Figure]:
    """Return what describes a few participants; nothing outside the small mode."""
    small = programme.small
    figure = partial(Figure, n=programme.n_participants, population=say("programme.population.participants"))
    figure = partial(figure, gates=COMPARING)
    if not isinstance(small, Small):
        return [] if small is None else [figure(name="small.g_av", value=small, unit="sd")]
    change, n = small.change, small.change.n_pairs
    size = {"low": change.g_av_low, "high": change.g_av_high, "se": change.g_av_se}
    figures = [
        figure(name="small.g_av", value=change.g_av, unit="sd", **size),
        figure(name="small.detectable", value=small.detectable, unit="points"),
        figure(name="small.detectable_sd", value=small.detectable_sd, unit="sd"),
        figure(name="small.p_signed_rank", value=small.p_signed_rank, unit="p"),
    ]
    if small.bca_low is not None:
        figures.append(
            figure(name="small.bca", value=change.mean, unit="points", low=small.bca_low, high=small.bca_high)
        )
    for name, count in (("up", small.n_up), ("down", small.n_down)):
        told = _count(partial(figure, name=f"small.{name}"), count, n)
        nobody = Withheld(
            say("withheld.complement"), kind="complement"
        )  # all rose, or none: that is said of each of them
        figures.append(told if 0 < count < n else replace(told, value=nobody))
    return figures


def _count(figure: Callable[..., Figure], count: int, whole: int) -> Figure:
    """Return how many of a known whole: its n is the smaller part there is, for either gives the other away."""
    parts = [part for part in (count, whole - count) if part]
    return figure(value=count, unit="persons", n=min(parts, default=0), tells_n=False)


def _list_balance(programme: Programme) -> list[Figure]:
    """Return the differences before the programme, unweighted and where there are weights weighted."""
    figures = []
    for row in programme.balance.to_dict("records"):
        figure = partial(
            Figure,
            unit="sd",
            n=int(row["n"]),
            population=say("programme.population.both"),
            where={"level": row["level"]} if row["level"] else {},
            gates=MEASURING,
        )
        told = {"before": row["before"], "after": row["after"]}
        for when, value in told.items():
            if pd.notna(value):  # null: nothing was weighted
                figures.append(figure(name=f"balance.{row['column']}.{when}", value=_finite(value)))
    return figures


def _finite(value: float) -> float | Withheld:
    return Withheld(say("programme.separated")) if abs(value) == float("inf") else float(value)
