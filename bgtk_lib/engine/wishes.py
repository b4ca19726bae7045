"""Which reports are wanted: every one that `workspace.yaml` asks for, grids multiplied out, parameters checked."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bgtk_lib.engine.parameters import Common, check_parameters, find_report
from bgtk_lib.engine.parameters import Report as Declaration
from bgtk_lib.errors import ParameterError
from bgtk_lib.words import say
from bgtk_lib.workspace import Workspace

PAIRED = {"waves": ("wave_pre", "wave_post"), "sittings": ("form", "wave")}  # of a grid: what each pair fills


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One report to make, its parameters already found possible."""

    report: Declaration
    parameters: Common

    @property
    def slug(self) -> str:
        """The folder of this selection: what is selected, in parameter order."""
        whom = ("programme", "role", "comparison")
        selects = ("assessment", "form", "item", "wave", "wave_pre", "wave_post", "waves", "districts", "jenjang")
        values = [getattr(self.parameters, name, None) for name in (*whom, *selects)]
        parts = ["+".join(map(str, v)) if isinstance(v, list) else str(v) for v in values if v]
        return "_".join([*parts, self.parameters.language]).lower().replace(".", "-") or "semua"


def list_wishes(workspace: Workspace, *, edition: str | None = None, language: str | None = None) -> list[Wish]:
    """Return every report that `workspace.yaml` asks for, grids multiplied out.

    A grid's `waves`, a list of pairs, fills `wave_pre` and `wave_post`; its `sittings`, a list of pairs, `form` and `wave`.

    Raises
    ------
    ParameterError
        If a parameter is impossible, or two reports that differ would lie in one folder.
    """
    wishes: list[Wish] = []
    for entry in workspace.declared.reports:
        report = find_report(entry.report)
        for values in itertools.product(*entry.grid.values()):
            chosen = dict(entry.parameters) | dict(zip(entry.grid, values, strict=True))
            for name, both in PAIRED.items():
                if name in entry.grid and both[0] in report.parameters.model_fields:
                    pair = chosen.pop(name)
                    if not isinstance(pair, list) or len(pair) != 2:
                        raise ParameterError(say(f"grid.{name}", report=report.name))
                    chosen |= dict(zip(both, pair, strict=True))
            wishes.append(wish_for(workspace, report.name, chosen, edition=edition, language=language))
    _refuse_same_folders(workspace, wishes)
    return wishes


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
) -> Wish:
    """Return one report to make; its parameters are checked here, before any kernel starts."""
    given = dict(values)
    given |= {"edition_id": edition} if edition else {}
    given |= {"language": language} if language else {}
    report = find_report(name)
    return Wish(report=report, parameters=check_parameters(report, given, workspace))


def report_folder(workspace: Workspace, wish: Wish) -> Path:
    """Return where a report's files lie."""
    return workspace.root / "reports" / wish.parameters.edition_id / wish.report.name / wish.slug
