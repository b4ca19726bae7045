"""Which reports are wanted: every one that a list asks for, grids multiplied out, parameters checked."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bgtk_lib.editions import OFFICIAL, name_folder
from bgtk_lib.engine.allowed import describe_parameters
from bgtk_lib.engine.parameters import Common, check_parameters, find_report
from bgtk_lib.engine.parameters import Report as Declaration
from bgtk_lib.errors import ParameterError
from bgtk_lib.words import say
from bgtk_lib.workspace import Workspace, waves_by_phase
from bgtk_lib.workspace.declaration import GridFile, ReportPlan
from bgtk_lib.workspace.typed import declare, read_yaml, require_known

PAIRED = {"waves": ("wave_pre", "wave_post"), "sittings": ("form", "wave")}  # of a grid: what each pair fills


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One report to make, its parameters already found possible."""

    report: Declaration
    parameters: Common
    minimum: int | None = None  # of a grid: fewer persons are withheld, and nothing else stops for it

    @property
    def official(self) -> bool:
        """Whether its edition is to be official."""
        return self.parameters.edition_status == OFFICIAL

    @property
    def folder(self) -> str:
        """The folder in `reports/` where its edition is made."""
        return name_folder(self.parameters.edition_id, self.parameters.edition_status)

    @property
    def slug(self) -> str:
        """The folder of this selection: what is selected, in parameter order."""
        whom = ("programme", "role", "comparison")
        selects = ("assessment", "form", "item", "wave", "wave_pre", "wave_post", "waves", "districts", "jenjang")
        values = [getattr(self.parameters, name, None) for name in (*whom, *selects)]
        parts = ["+".join(map(str, v)) if isinstance(v, list) else str(v) for v in values if v]
        return re.sub(r"[^\w+-]", "-", "_".join([*parts, self.parameters.language]).lower())


def list_wishes(
    workspace: Workspace,
    *,
    plans: Sequence[ReportPlan] | None = None,
    edition: str | None = None,
    language: str | None = None,
    status: str | None = None,
) -> list[Wish]:
    """Return every report that a list asks for, grids multiplied out.

    A grid's `waves`, a list of pairs, fills `wave_pre` and `wave_post`; its `sittings`, a list of pairs, `form` and `wave`.

    Parameters
    ----------
    workspace : Workspace
        Whose codes they may name.
    plans : sequence of ReportPlan, optional
        The list; by default that of `workspace.yaml`, with its edition and status.
    edition, language, status : str, optional
        In place of what the list says.

    Raises
    ------
    ParameterError
        If a parameter is impossible, or two reports that differ would lie in one folder.
    """
    if plans is None:
        declared = workspace.declared
        plans, edition = declared.reports, declared.edition if edition is None else edition
        status = declared.status if status is None else status
    once = {"edition": edition, "language": language, "status": status}
    wishes: list[Wish] = []
    for plan in plans:
        report = find_report(plan.report)
        lists = {name: _list_values(workspace, report, name, values) for name, values in plan.grid.items()}
        _check_left_out(plan, lists)
        chosen = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
        for one in [*(c for c in chosen if not any(_matches(c, left_out) for left_out in plan.exclude)), *plan.include]:
            values = _fill_pairs(report, {**plan.parameters, **one})
            wish = wish_for(workspace, report.name, values, **once)
            wishes.append(replace(wish, minimum=plan.minimum or (1 if plan.grid else None)))
    _refuse_same_folders(workspace, wishes)
    return wishes


def read_grid(path: Path) -> GridFile:
    """Return a grid file, checked as strictly as `workspace.yaml`.

    Raises
    ------
    ParameterError
        If it is absent, is not YAML, or says something it must not.
    """
    return declare(GridFile, read_yaml(path), where=path.name)


def _list_values(workspace: Workspace, report: Declaration, name: str, values: list[Any] | Literal["all"]) -> list[Any]:
    """Return the values of one list of a grid; for ``all`` every one there is in this workspace."""
    if values != "all":
        return values
    if name == "waves" and PAIRED["waves"][0] in report.parameters.model_fields:
        return [[*pair] for pair in waves_by_phase(workspace.declared.waves)]
    known = {row["name"]: row["allowed"] for row in describe_parameters(report, workspace)}
    require_known(name, known, what=f"reports.{report.name}.grid")
    if not known[name]:
        raise ParameterError(say("grid.no_all", report=report.name, name=name))
    allowed: list[Any] = known[name]
    return allowed


def _check_left_out(plan: ReportPlan, lists: Mapping[str, list[Any]]) -> None:
    """Refuse to leave out what is in no list: a misspelt exception would silently leave out nothing."""
    what = f"reports.{plan.report}.exclude"
    for name, value in ((name, value) for left_out in plan.exclude for name, value in left_out.items()):
        require_known(name, lists, what=what)
        several = [value] if value in lists[name] or not isinstance(value, list) else value
        for one in several:
            require_known(str(one), map(str, lists[name]), what=f"{what}.{name}")


def _fill_pairs(report: Declaration, chosen: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with the pairs of a grid in their places."""
    for name, both in PAIRED.items():
        if name in chosen and both[0] in report.parameters.model_fields:
            pair = chosen.pop(name)
            if not isinstance(pair, list) or len(pair) != 2:
                raise ParameterError(say(f"grid.{name}", report=report.name))
            chosen |= dict(zip(both, pair, strict=True))
    return chosen


def _matches(chosen: Mapping[str, Any], left_out: Mapping[str, Any]) -> bool:
    """Whether a combination is one of those left out: each value named is its own, or one of those named."""
    return all(
        name in chosen and (chosen[name] == value or (isinstance(value, list) and chosen[name] in value))
        for name, value in left_out.items()
    )


def _refuse_same_folders(workspace: Workspace, wishes: list[Wish]) -> None:
    """Refuse two different reports of one folder: the later one would silently take the place of the other."""
    known: dict[Path, Wish] = {}
    for wish in wishes:
        before = known.setdefault(report_folder(workspace, wish), wish)
        if before.parameters != wish.parameters:
            told, other = wish.parameters.model_dump(), before.parameters.model_dump()
            names = ", ".join(sorted(name for name in told if told[name] != other[name]))
            raise ParameterError(say("grid.same_folder", report=wish.report.name, slug=wish.slug, names=names))


def wish_for(
    workspace: Workspace,
    name: str,
    values: Mapping[str, Any],
    *,
    edition: str | None = None,
    language: str | None = None,
    status: str | None = None,
) -> Wish:
    """Return one report to make; its parameters are checked here, before any kernel starts."""
    given = dict(values)
    given |= {"edition_id": edition} if edition is not None else {}
    given |= {"language": language} if language is not None else {}
    given |= {"edition_status": status} if status is not None else {}
    report = find_report(name)
    return Wish(report=report, parameters=check_parameters(report, given, workspace))


def report_folder(workspace: Workspace, wish: Wish) -> Path:
    """Return where a report's files lie."""
    return workspace.root / "reports" / wish.folder / wish.report.name / wish.slug
