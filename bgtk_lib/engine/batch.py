"""Many reports: what is still as it would be is kept, the rest is made side by side, and no failure stops the others."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from bgtk_lib.engine.freshness import Ground
from bgtk_lib.engine.index import read_entry, write_entry, write_index
from bgtk_lib.engine.official import refuse_unready, seal_editions
from bgtk_lib.engine.parameters import check_names
from bgtk_lib.engine.plan import lay_plan, refuse_few
from bgtk_lib.engine.wishes import Wish, report_folder
from bgtk_lib.errors import FULL, BgtkError, FewError, Text
from bgtk_lib.words import Tell, say, silent
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.store import hash_file

Status = Literal["done", "held", "stopped", "failed", "withheld"]
FILES = ("report.html", "results.json", "passport.json", "report.ipynb")
MOST_WORKERS = 8
USUAL = 4.0  # seconds a report takes, where none of its kind was made before


@dataclass(frozen=True, kw_only=True)
class Made:
    """What became of one report.

    Attributes
    ----------
    wish : Wish
        Which one.
    status : {"done", "held", "stopped", "failed", "withheld"}
        As the index shows it; withheld: too few persons, nothing was run.
    page : Path or None
        Its HTML; None where there is none.
    reason : Text or None
        Why it is not simply done.
    kept : bool
        Whether it was there already, made from the same.
    """

    wish: Wish
    status: Status
    page: Path | None
    reason: Text | None = None
    kept: bool = False


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """What would become of one report.

    Attributes
    ----------
    wish : Wish
        Which one.
    action : {"keep", "make", "withhold"}
        Whether it is there already, would be made, or has too few persons.
    stopped : bool
        Whether a gate that is known already stops it: its page would say what opens it.
    seconds : float
        How long it would take on one processor, as far as those made before tell.
    """

    wish: Wish
    action: Literal["keep", "make", "withhold"]
    stopped: bool
    seconds: float


def count_workers() -> int:
    """Return how many reports are made side by side unless one says otherwise: the processors at hand, 8 at most."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(found, MOST_WORKERS)


def make_reports(
    workspace: Workspace,
    wishes: Sequence[Wish],
    tell: Tell = silent,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    limit: float | None = None,
    anew: bool = False,
) -> list[Made]:
    """Make reports; one that fails never stops the rest, and one whose dependencies did not change is not made again.

    Parameters
    ----------
    workspace : Workspace
        After its stages ran.
    wishes : sequence of Wish
        As `list_wishes` or `wish_for` return them.
    tell : callable
        Takes a line of progress, once a report.
    executor : concurrent.futures.Executor, optional
        Where they run; by default threads, each waiting for a kernel of its own. A `dask.distributed` client's will do.
    workers : int, optional
        How many of these threads.
    limit : float, optional
        Seconds that one report may take as a whole.
    anew : bool
        Whether those that did not change are made again too.

    Returns
    -------
    list of Made
        One each, in the order of `wishes`. The indexes of their editions are up to date, also after an interruption; an
        official edition is sealed if all its reports are as they must be, and else stays hidden.

    Raises
    ------
    ParameterError
        If a filter that was asked for by hand leaves too few persons; one of a grid is withheld instead. If an edition is
        official already, or lacks something to become so.
    """
    refuse_unready(workspace, wishes)
    ground = Ground(workspace)
    made, wanted = _sort_out(ground, wishes, anew=anew, rehearsing=False)
    if wanted and executor is None:
        _begin()
    _note_unmade(ground, wishes, made, wanted)
    number = 0

    def note(one: Made) -> None:
        nonlocal number
        number += 1
        facts = {"number": number, "all": len(wishes), "report": one.wish.report.title, "slug": one.wish.slug}
        tell(say("progress.kept" if one.kept else f"progress.{one.status}", **facts))

    try:
        for one in made.values():
            note(one)
        with executor or ThreadPoolExecutor(max_workers=workers or count_workers()) as pool:
            waiting = {
                pool.submit(_make_or_fail, workspace, wishes[place], depends, limit): place
                for place, depends in wanted.items()
            }
            try:
                for future in as_completed(waiting):
                    made[waiting[future]] = one = _take(future, wishes[waiting[future]])
                    note(one)
            except BaseException:  # an interruption: what has not begun does not begin
                for future in waiting:
                    future.cancel()
                raise
    finally:
        for edition in sorted({wish.folder for wish in wishes}):
            write_index(workspace, edition)
    return seal_editions(workspace, [made[place] for place in range(len(wishes))])


def rehearse(workspace: Workspace, wishes: Sequence[Wish]) -> list[Rehearsed]:
    """Return what `make_reports` would do; nothing is run and no report is written.

    Parameters
    ----------
    workspace, wishes
        As `make_reports` takes them.
    """
    refuse_unready(workspace, wishes)
    ground = Ground(workspace)
    made, wanted = _sort_out(ground, wishes, anew=False, rehearsing=True)
    taken: dict[str, list[float]] = {}
    for wish in wishes:
        if entry := read_entry(report_folder(workspace, wish)):
            taken.setdefault(wish.report.name, []).append(entry.get("seconds", USUAL))
    found = []
    for place, wish in enumerate(wishes):
        known = taken.get(wish.report.name, [USUAL])
        action = "make" if place in wanted else "withhold" if made[place].status == "withheld" else "keep"
        seconds = sum(known) / len(known) if action == "make" else 0.0
        found.append(
            Rehearsed(wish=wish, action=action, stopped=ground.open(wish).status == "stopped", seconds=seconds)  # type: ignore[arg-type]
        )
    return found


def _sort_out(
    ground: Ground, wishes: Sequence[Wish], *, anew: bool, rehearsing: bool
) -> tuple[dict[int, Made], dict[int, dict[str, str]]]:
    """Return what needs no run (by place in `wishes`), and the dependencies of what is to be made.

    A rehearsal takes what the edition hides from its last batch.
    """
    made: dict[int, Made] = {}
    for place, wish in enumerate(wishes):
        check_names(wish.parameters, ground.workspace)  # before the stages ran not every name was known
        try:
            refuse_few(ground, wish)
        except FewError as error:
            if wish.minimum is None:
                raise
            made[place] = Made(wish=wish, status="withheld", page=None, reason=error.withheld)
    if not rehearsing:
        lay_plan(ground, [wish for place, wish in enumerate(wishes) if place not in made])
    wanted = {}
    for place, wish in enumerate(wishes):
        if place not in made:
            depends = ground.find_dependencies(wish)
            kept = None if anew else _keep(ground.workspace, wish, depends)
            if kept:
                made[place] = kept
            else:
                wanted[place] = depends
    return made, wanted


def _note_unmade(
    ground: Ground, wishes: Sequence[Wish], made: Mapping[int, Made], wanted: Mapping[int, Mapping[str, str]]
) -> None:
    """Note what is withheld, and that what is to be made is not: an earlier page must not pass for it if we are cut off.

    Of what is withheld the earlier page goes: it shows persons who may not be shown, and nobody would replace it.
    """
    for place, wish in enumerate(wishes):
        one = made.get(place)
        if place in wanted:
            one = Made(wish=wish, status="failed", page=None, reason=say("report.not_yet"))
        folder = report_folder(ground.workspace, wish)
        if one and one.status == "withheld" and folder.exists():
            shutil.rmtree(folder)
        if one and not one.kept:
            write_entry(folder, ground.open(wish), one)


def _keep(workspace: Workspace, wish: Wish, depends: Mapping[str, str]) -> Made | None:
    """Return a report that was made from the same and whose files are untouched; None where it must be made."""
    folder = report_folder(workspace, wish)
    entry = read_entry(folder)
    if not entry or entry.get("depends") != depends or entry["status"] == "failed":
        return None
    for name in FILES:
        path = folder / name
        if not path.is_file() or hash_file(path) != entry["files"].get(name):
            return None
    reason = Text(**entry["reason"]) if entry["reason"] else None
    return Made(wish=wish, status=entry["status"], page=folder / "report.html", reason=reason, kept=True)


def _take(future: Any, wish: Wish) -> Made:
    """Return what a worker made; where the worker itself was lost, that."""
    try:
        found: Made = future.result()
    except Exception as error:  # noqa: BLE001 - of whatever kind a lost worker is, the others go on
        return Made(wish=wish, status="failed", page=None, reason=say("report.failed", kind=type(error).__name__))
    return found


def _begin() -> None:
    """Let the source of kernels do its imports while this process does its own; keep a long batch from growing.

    Arrow's own allocator reserves memory that nothing lives in: 40 MB more in one batch of 255.
    """
    from bgtk_lib.engine.warm.kernels import open_source  # jupyter-client: not where nothing is made

    open_source()
    pa.set_memory_pool(pa.system_memory_pool())


def _make_or_fail(workspace: Workspace, wish: Wish, depends: Mapping[str, str], limit: float | None) -> Made:
    """Make one report in a worker, and note beside it what became of it."""
    return Context().run(_make, workspace, wish, depends, limit)  # the kernel's client leaves its event loop in there


def _make(workspace: Workspace, wish: Wish, depends: Mapping[str, str], limit: float | None) -> Made:
    from bgtk_lib.engine.run import make_report, reopen  # Papermill takes a second to import: not where nothing is made

    folder, began = report_folder(workspace, wish), time.monotonic()
    try:
        report = make_report(workspace, wish, folder, depends=depends, limit=limit)
        reason = report.why() if report.status != "done" else None
        made = Made(wish=wish, status=report.status, page=folder / "report.html", reason=reason)
    except BgtkError as error:
        made = Made(wish=wish, status="failed", page=None, reason=error.text)
    except Exception as error:  # noqa: BLE001 - the rest must go on; the reason stands in the index, without values
        made = Made(wish=wish, status="failed", page=None, reason=_explain(error))
    try:
        files = {name: hash_file(folder / name) for name in FILES} if made.page else {}
        facts = {"depends": dict(depends), "files": files, "seconds": round(time.monotonic() - began, 2)}
        write_entry(folder, reopen(workspace, wish, folder), made, **facts)
    except OSError as error:  # without its entry it will be made again
        made = Made(wish=wish, status="failed", page=None, reason=_explain(error))
    return made


def _explain(error: Exception) -> Text:
    full = isinstance(error, OSError) and error.errno in FULL
    return say("report.no_space") if full else say("report.failed", kind=type(error).__name__)
