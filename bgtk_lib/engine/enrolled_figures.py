"""What a report on a programme may show: its figures, screened as two cells of one table, participants and comparison."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from bgtk_lib.disclosure import Released, release
from bgtk_lib.engine.enrolled import OTHERS, OWN, Enrolled
from bgtk_lib.engine.report import Report
from bgtk_lib.findings import MEASURING, Figure, Withheld
from bgtk_lib.programme.describe import list_groups, list_programme, list_rubric
from bgtk_lib.programme.effects import Effect
from bgtk_lib.programme.lost import list_lost
from bgtk_lib.words import say

TAKING_UP = ("programme.taken_up", "programme.cace")  # with the effect, either tells how many of those drawn came
HIDDEN = Withheld(say("withheld.complement"), kind="complement")


def list_found(enrolled: Enrolled) -> list[Figure]:
    """Return what was found, without the balance: `list_programme`, and what the effect rests on.

    Notes
    -----
    What tells how many came of those drawn bears the n of the fewest: those drawn who did not come, or the reverse.
    """
    members = enrolled.groups.members
    fewest = int(members.groupby(["treated", "took"]).size().min()) if len(members) else 0
    listed = [one for one in list_programme(enrolled.found) if not one.name.startswith("balance.")]
    told = [replace(one, n=min(fewest, one.n), tells_n=False) if one.name in TAKING_UP else one for one in listed]
    dosed = [_hide_rest(one, enrolled) if one.name.startswith("dose.") else one for one in told]
    return [*dosed, *_list_method(enrolled.found.effect)]


def list_balance(enrolled: Enrolled) -> list[Figure]:
    """Return the differences before the programme; districts are left out, which every comparison holds fixed."""
    listed = [one for one in list_programme(enrolled.found) if one.name.startswith("balance.")]
    return [one for one in listed if not one.name.startswith("balance.district.")]


def list_entry(enrolled: Enrolled) -> list[Figure]:
    """Return how many took part, what is known of the groups beside, and how much participants had of the programme."""
    groups = enrolled.groups
    lost = groups.n_roster - groups.n_unpaired - int(enrolled.counts[OWN])
    few = enrolled.asked.comparison != "lottery" and 0 < lost < enrolled.rows.min_cell
    told = sorted(list_groups(groups), key=lambda one: one.name != "roster.n")
    counted = [replace(one, value=HIDDEN) if few and one.name.startswith("roster.") else one for one in told]
    return [*counted, *_list_amounts(enrolled)]


def list_left(enrolled: Enrolled) -> list[Figure]:
    """Return who of either group did not come back, and how far that could move the difference; none without a comparison."""
    return [] if enrolled.lost is None else list_lost(enrolled.lost, unit="points" if enrolled.unit != "sd" else "sd")


def list_marks(enrolled: Enrolled) -> list[Figure]:
    """Return what the raters saw; how many is not told where few of those who took part, or were rated, are missing."""
    rated = enrolled.rated
    if rated is None:
        return []
    missing = (rated.n_incomplete, enrolled.groups.n_roster - rated.n)
    few = any(0 < n < enrolled.rows.min_cell for n in missing)
    told = [replace(one, tells_n=not few) for one in list_rubric(rated)]
    return [replace(one, value=HIDDEN) if few and one.name == "rubric.n" else one for one in told]


def screen(report: Report, figures: Iterable[Figure]) -> Released:
    """Return figures of a programme as they may be shown: participants and comparison are two cells of one table.

    Parameters
    ----------
    report : Report
        Whose plan.
    figures : iterable of Figure
        As the functions above list them.
    """
    given = [*figures]
    cells = [OTHERS if figure.name.startswith(("comparison.", "programme.comparison")) else OWN for figure in given]
    placed = [replace(figure, where={"group": cell}) for figure, cell in zip(given, cells, strict=True)]
    shown = release(placed, report.plan, table=report.table("groups"), cell="group").figures
    return Released(tuple(replace(one, where=figure.where) for one, figure in zip(shown, given, strict=True)))


def _list_method(effect: Effect | Withheld) -> list[Figure]:
    """Return what the effect rests on: degrees of freedom, schools, and what weights leave of the persons."""
    if isinstance(effect, Withheld):
        return []
    smaller = min(effect.n_participants, effect.n_comparison)
    figure = partial(Figure, n=smaller, population=say("programme.population.both"), gates=MEASURING)
    told = [
        figure(name="programme.clusters", value=effect.n_schools, unit="clusters"),
        figure(name="comparison.clusters", value=effect.n_schools_comparison, unit="clusters"),
    ]
    if effect.df is not None:
        told.insert(0, figure(name="programme.df", value=effect.df, unit="df"))
    if effect.method == "overlap":
        worth = {"programme": effect.effective_participants, "comparison": effect.effective_comparison}
        told += [figure(name=f"{name}.effective", value=n, unit="equal_persons") for name, n in worth.items()]
    return told


def _list_amounts(enrolled: Enrolled) -> list[Figure]:
    """Return the median hours and sessions of those who took part, of whom they are known."""
    members, told = enrolled.groups.members, []
    population = say("programme.population.participants")
    for name in ("hours", "sessions"):
        known = members.loc[members["treated"] & members["took"], name].dropna().astype(float)
        if len(known):
            figure = partial(Figure, name=f"participation.{name}", unit=name, population=population)
            told.append(_hide_rest(figure(value=float(known.median()), n=len(known)), enrolled))
    return told


def _hide_rest(figure: Figure, enrolled: Enrolled) -> Figure:
    """Return a figure of some of the participants, its n untold where the rest of them are few."""
    return replace(figure, tells_n=not 0 < int(enrolled.counts[OWN]) - figure.n < enrolled.rows.min_cell)
