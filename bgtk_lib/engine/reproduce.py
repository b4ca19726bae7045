"""Reports made again from what their file carries, and two editions held against each other, number by number."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bgtk_lib.engine.embedded import read_page
from bgtk_lib.engine.freshness import Ground, list_differences
from bgtk_lib.engine.index import ENTRY
from bgtk_lib.engine.run import make_report
from bgtk_lib.engine.wishes import wish_for
from bgtk_lib.errors import ParameterError
from bgtk_lib.words import say
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.store import read_json

VALUES = ("value", "low", "high", "se", "n", "status")
# What a difference comes from: each of these whose parts differ. Without any it is chance, which there must not be.
CAUSES: Mapping[str, tuple[str, ...]] = {
    "parameter": ("parameters", "hidden"),
    "rules": ("declared",),
    "code": ("notebook", "code"),
    "libraries": ("libraries",),
    "key": ("key",),
    "data": ("rows", "gates"),
}


@dataclass(frozen=True, kw_only=True)
class Moved:
    """One number that is not what it was.

    Attributes
    ----------
    report : str
        Its report and folder.
    name : str
        As in `results.json`.
    where : mapping
        Its codes.
    before, now : float, str or None
        Its values; None where it is withheld or absent.
    causes : tuple of str
        Of `CAUSES`, in their order; empty: chance.
    """

    report: str
    name: str
    where: Mapping[str, str]
    before: Any
    now: Any
    causes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What came of comparing numbers.

    Attributes
    ----------
    n : int
        Numbers on either side.
    moved : tuple of Moved
        Those that differ.
    differs : tuple of str
        The parts that differ of what the reports depend on, whether or not a number moved.
    gone, new : tuple of str
        Reports that only the first or only the second edition has.
    """

    n: int
    moved: tuple[Moved, ...]
    differs: tuple[str, ...]
    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()


def reproduce_report(workspace: Workspace, page: Path) -> Compared:
    """Make a report again from the parameters in its file, and compare every number.

    Parameters
    ----------
    workspace : Workspace
        With the data it was made from, after its stages ran. No report of it is touched.
    page : Path
        The report's HTML, wherever it lies.

    Raises
    ------
    ParameterError
        If the file is no report, or its parameters are impossible here.
    StageError
        If it cannot be made.
    """
    passport, results = read_page(page)
    wish = wish_for(workspace, passport["report"], passport["parameters"])
    depends = Ground(workspace).find_dependencies(wish)
    reports = workspace.root / "reports"
    reports.mkdir(exist_ok=True)
    folder = Path(
        tempfile.mkdtemp(prefix=".reproduced-", dir=reports)
    )  # below workspace.yaml, where the notebook looks for it
    try:
        with ThreadPoolExecutor(max_workers=1) as pool:  # apart from an event loop that may run here, as in a notebook
            pool.submit(
                Context().run, partial(make_report, workspace, wish, folder / "report", depends=depends)
            ).result()
        again = read_json(folder / "report" / "results.json")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    differs = list_differences(passport.get("depends", {}), depends)
    n, moved = compare_figures(f"{wish.report.name}/{wish.slug}", results, again, differs=differs)
    return Compared(n=n, moved=tuple(moved), differs=tuple(differs))


def compare_editions(workspace: Workspace, first: str, second: str) -> Compared:
    """Compare every number of the reports that two editions share.

    Parameters
    ----------
    workspace : Workspace
        Under whose `reports/` both lie.
    first, second : str
        Their names, the earlier first.

    Raises
    ------
    ParameterError
        If one of them has no reports.
    """
    sides = [_read_edition(workspace, edition) for edition in (first, second)]
    both = [name for name in sides[0] if name in sides[1]]
    n = 0
    moved: list[Moved] = []
    differs: list[str] = []
    for name in both:
        (passport, results), (other, again) = sides[0][name], sides[1][name]
        parts = list_differences(*(_leave_edition_out(one) for one in (passport, other)))
        count, found = compare_figures(name, results, again, differs=parts)
        n += count
        moved += found
        differs += parts
    return Compared(
        n=n,
        moved=tuple(moved),
        differs=tuple(dict.fromkeys(differs)),
        gone=tuple(name for name in sides[0] if name not in sides[1]),
        new=tuple(name for name in sides[1] if name not in sides[0]),
    )


def _read_edition(workspace: Workspace, edition: str) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return name → passport and results of every report of an edition that has a page."""
    folder = workspace.root / "reports" / edition
    found = {}
    for entry in sorted(folder.glob(f"*/*{ENTRY}")) if not edition.startswith(".") else []:
        report = entry.with_name(entry.name.removesuffix(ENTRY))
        passport, results = (read_json(report / f"{name}.json") for name in ("passport", "results"))
        if passport and results:
            found[f"{report.parent.name}/{report.name}"] = (passport, results)
    if not found:
        raise ParameterError(say("compare.no_edition", edition=edition))
    return found


def _leave_edition_out(passport: Mapping[str, Any]) -> dict[str, str]:
    """Return what a report depends on, its parameters without name and status of its edition: that is why there are two."""
    of_edition = ("edition_id", "edition_status")
    parameters = {name: value for name, value in passport["parameters"].items() if name not in of_edition}
    return {**passport.get("depends", {}), "parameters": json.dumps(parameters, sort_keys=True)}


def compare_figures(
    report: str, before: Mapping[str, Any], now: Mapping[str, Any], *, differs: Sequence[str], near: float = 0.0
) -> tuple[int, list[Moved]]:
    """Return how many numbers there are, and those that are not the same.

    Parameters
    ----------
    report : str
        Its name, for the list.
    before, now : mapping
        Two `results.json`.
    differs : sequence of str
        The parts that differ of what they depend on.
    near : float
        Share of a number that passes for rounding; 0: none.

    Notes
    -----
    A number is the same if value, interval, standard error, n and standing are, to the last digit unless `near` is given.
    What one side withholds is not told of the other.
    """
    sides = [{(f["name"], *sorted(f["where"].items())): f for f in results["figures"]} for results in (before, now)]
    causes = tuple(cause for cause, parts in CAUSES.items() if set(parts) & set(differs))
    moved = []
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        old, new = (side.get(key) for side in sides)
        if old is None or new is None or any(not _is_same(old[name], new[name], near) for name in VALUES):
            hidden = old is None or new is None or old["value"] is None or new["value"] is None
            values = (None, None) if hidden else (old["value"], new["value"])  # type: ignore[index]
            moved.append(
                Moved(
                    report=report, name=str(key[0]), where=dict(key[1:]), before=values[0], now=values[1], causes=causes
                )
            )
    return len({*sides[0], *sides[1]}), moved


def _is_same(old: Any, new: Any, near: float) -> bool:
    if not (isinstance(old, float) and isinstance(new, float)):
        return bool(old == new)
    return math.isclose(old, new, rel_tol=near, abs_tol=near / 1000) or (math.isnan(old) and math.isnan(new))
