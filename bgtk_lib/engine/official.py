"""Official editions: what they need before anything runs, and how they are sealed, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from bgtk_lib.editions import find_approval, is_official, read_approvals
from bgtk_lib.engine.index import entry_path, write_index
from bgtk_lib.engine.notebooks import LIBRARY, notebooks_folder
from bgtk_lib.engine.parameters import REPORTS
from bgtk_lib.engine.wishes import Wish, report_folder
from bgtk_lib.errors import ParameterError, Text
from bgtk_lib.quality.gates import judge_governance
from bgtk_lib.words import join, plain, say
from bgtk_lib.workspace import APPROVALS, Workspace
from bgtk_lib.workspace.plan_lock import read_plan_state
from bgtk_lib.workspace.store import hash_content, hash_file, take_place
from bgtk_lib.workspace.typed import nearest

if TYPE_CHECKING:
    from bgtk_lib.engine.batch import Made

PLANNED = "C11"  # the gate by which a report rests on the analysis plan
SHOWN = 12  # digits of the library's hash in messages, and the fewest that an approval names


@cache
def hash_library() -> str:
    """Return the SHA-256 of this library as it runs: all its files and the reports' notebooks, wherever they lie."""
    places = {f"notebooks/{report.notebook}": notebooks_folder() / report.notebook for report in REPORTS.values()}
    for path in LIBRARY.rglob("*"):
        parts = path.relative_to(LIBRARY).parts
        made = any(part.startswith((".", "__pycache__")) for part in parts)
        if path.is_file() and not made and parts[0] != "notebooks":
            places["/".join(parts)] = path
    return hash_content({name: hash_file(path) for name, path in places.items()})


def refuse_unready(workspace: Workspace, wishes: Sequence[Wish]) -> None:
    """Refuse what would touch an official edition, and an edition that lacks something to become one.

    Parameters
    ----------
    workspace : Workspace
        Nothing of its data is read: its stages need not have run.
    wishes : sequence of Wish
        All that is asked for at once.

    Raises
    ------
    ParameterError
        With all that is lacking.
    """
    editions = sorted({wish.parameters.edition_id for wish in wishes})
    lacks = {name: [*_list_lacks(workspace, name, wishes)] for name in editions}
    told = [join([say("official.refused", edition=name), *found], "\n  ") for name, found in lacks.items() if found]
    if told:
        raise ParameterError(join(told, "\n"))


def _list_lacks(workspace: Workspace, edition: str, wishes: Sequence[Wish]) -> Iterator[Text]:
    """Give what forbids to make reports of an edition."""
    asked = [wish for wish in wishes if wish.parameters.edition_id == edition]
    if is_official(workspace.root / "reports" / edition):
        yield say("official.sealed")
        return
    if not any(wish.official for wish in asked):
        return
    if not all(wish.official for wish in asked):
        yield say("official.mixed")
    if edition == "draf":
        yield say("official.name")
    yield from _list_missing_approval(workspace, edition)
    declared = workspace.declared
    governance = judge_governance(declared.governance, declared.data_kind, workspace.rules.reference_date)
    yield from (join([plain(gate.code), gate.message], ": ") for gate in governance if gate.closed)
    if any(PLANNED in wish.report.rests_on for wish in asked) and not read_plan_state(workspace).is_locked:
        yield say("official.plan")


def _list_missing_approval(workspace: Workspace, edition: str) -> Iterator[Text]:
    try:
        approvals = read_approvals(workspace)
    except ParameterError as error:
        yield error.text
        return
    if edition not in approvals:
        hint = nearest(edition, approvals) if approvals else plain("")
        yield say("official.no_approval", file=f"data/decisions/{APPROVALS}", library=hash_library()[:SHOWN], hint=hint)
    elif not hash_library().startswith(approvals[edition].library):
        found = approvals[edition].library[:SHOWN]
        yield say("official.library", found=plain(found), runs=plain(hash_library()[:SHOWN]))


def seal_editions(workspace: Workspace, made: Sequence[Made]) -> list[Made]:
    """Put every official edition in its place that nothing stands in the way of; the others stay hidden.

    Parameters
    ----------
    workspace : Workspace
        Whose editions they are.
    made : sequence of Made
        All reports that were asked for. One that failed, is held or is stopped stands in the way of its whole edition;
        one that is withheld does not, if any report was made.

    Returns
    -------
    list of Made
        The same, with their pages where they now lie.

    Raises
    ------
    ParameterError
        If what an edition needs is no longer there, or somebody else made it official meanwhile.
    """
    reports = workspace.root / "reports"
    sealed = set()
    for folder in sorted({one.wish.folder for one in made if one.wish.official}):
        ones = [one for one in made if one.wish.folder == folder]
        states = {one.status for one in ones}
        if "done" in states and states <= {"done", "withheld"}:
            refuse_unready(workspace, [one.wish for one in ones])  # it may have taken hours
            _seal(workspace, ones)
            sealed.add(folder)
    return [
        replace(one, page=reports / one.wish.parameters.edition_id / one.page.relative_to(reports / one.wish.folder))
        if one.page and one.wish.folder in sealed
        else one
        for one in made
    ]


def _seal(workspace: Workspace, made: Sequence[Made]) -> None:
    """Clear an edition of what was not asked for, list it, rename it in one step, and make its files read-only."""
    wish = made[0].wish
    staged = workspace.root / "reports" / wish.folder
    pages = {one.page.parent for one in made if one.page}
    entries = {entry_path(report_folder(workspace, one.wish)) for one in made}
    for path in staged.glob("*/*"):
        if path.is_dir() and path not in pages:
            shutil.rmtree(path)
        elif path.is_file() and path not in entries:
            path.unlink()
    write_index(workspace, wish.folder, find_approval(workspace, wish.parameters.model_dump()))
    sealed = staged.with_name(wish.parameters.edition_id)
    take_place(staged, sealed)
    for path in sealed.rglob("*"):
        if path.is_file():
            with suppress(OSError):  # not every file system knows it; the manifest tells what was touched
                path.chmod(0o444)
