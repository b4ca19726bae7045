"""What a batch may show: filters refused that would give few persons away, and the edition's suppression plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from bgtk_lib.change.evenness.subgroups import name_levels
from bgtk_lib.coverage import count_coverage
from bgtk_lib.disclosure import plan_suppression
from bgtk_lib.editions import name_report_table, write_plan
from bgtk_lib.engine.enrolled import enrol
from bgtk_lib.engine.report import Report
from bgtk_lib.engine.rows import read_attendance
from bgtk_lib.engine.wishes import Wish
from bgtk_lib.errors import ParameterError
from bgtk_lib.words import say
from bgtk_lib.workspace import Workspace


def check_counts(workspace: Workspace, wishes: Iterable[Wish]) -> None:
    """Refuse, from stored counts, a filter that leaves few persons or would give few away by subtraction.

    Raises
    ------
    ParameterError
        Naming the report; the counts themselves are not said.

    Notes
    -----
    A filter may name only districts and levels that the unfiltered table shows, and where it names both, each of its
    districts × levels must hold nobody or at least `min_cell` persons. An edition has one `min_cell`.
    """
    for wish in wishes:
        others = {int(path.stem.removeprefix("plan-")) for path in _edition_folder(workspace, wish).glob("plan-*.json")}
        if others - {wish.parameters.min_cell}:
            raise ParameterError(say("parameter.one_min_cell", edition=wish.parameters.edition_id, known=max(others)))
        narrowed = [name for name in ("districts", "jenjang") if getattr(wish.parameters, name, None)]
        if not narrowed:
            continue
        table = "pairs" if wish.report.name == "change" else "session"
        fewest, filters = wish.parameters.min_cell, ", ".join(narrowed)
        if Report(wish.report, wish.parameters, workspace).read(table)["pid"].nunique() < fewest:
            raise ParameterError(say("parameter.too_few", report=wish.report.name, min_cell=fewest, filter=filters))
        whole = wish.parameters.model_copy(update={name: [] for name in narrowed})
        rows = Report(wish.report, whole, workspace).read(table)
        if _gives_away(rows, {name: getattr(wish.parameters, name) for name in narrowed}, min_cell=fewest):
            raise ParameterError(say("parameter.gives_away", report=wish.report.name, min_cell=fewest, filter=filters))


def _gives_away(rows: pd.DataFrame, chosen: Mapping[str, Sequence[str]], *, min_cell: int) -> bool:
    """Whether a filter names a cell that the unfiltered table hides, or sets few of one level apart in a district."""
    columns = {"districts": "district", "jenjang": "jenjang"}
    for name, values in chosen.items():
        counts = rows.groupby(columns[name])["pid"].nunique()
        if set(values) & set(plan_suppression({"": counts}, min_cell=min_cell).hidden[""]):
            return True
    atoms = rows.groupby([columns[name] for name in chosen])["pid"].nunique()
    for level, values in enumerate(chosen.values()):
        atoms = atoms[atoms.index.get_level_values(level).isin(values)]
    return bool(atoms.between(1, min_cell - 1).any())


def _edition_folder(workspace: Workspace, wish: Wish) -> Path:
    return workspace.root / "reports" / wish.parameters.edition_id


def lay_plan(workspace: Workspace, wishes: Sequence[Wish]) -> None:
    """Write the suppression plan of every edition over all tables of its grid."""
    grids: dict[tuple[str, int], dict[str, pd.Series[int]]] = {}
    for wish in wishes:
        key = (wish.parameters.edition_id, wish.parameters.min_cell)
        grids.setdefault(key, {}).update(_tables_of(workspace, wish))
    for (edition, min_cell), tables in grids.items():
        write_plan(workspace, edition, tables, min_cell=min_cell)


def _tables_of(workspace: Workspace, wish: Wish) -> dict[str, pd.Series[int]]:
    """Return the persons by cell of every table a report prints."""
    parameters = wish.parameters.model_dump(mode="json")
    report = Report(wish.report, wish.parameters, workspace)
    if wish.report.name == "change":
        counts = _count_cells(workspace, wish, report.read("pairs"))
        groups = count_groups(report.read("pairs"), parameters["subgroups"])
        tables = {name_report_table("change", parameters, f"groups.{name}"): n for name, n in groups.items()}
        return {name_report_table("change", parameters, "districts"): counts, **tables}
    if wish.report.name == "programme":
        return {report.table("groups"): enrol(report).counts}
    if wish.report.name == "coverage_map":
        roster = report.read("roster") if len(read_attendance(workspace, "roster")) else None
        session = report.read("session")
        found = {}
        for by in ("district", "jenjang", "assessment"):
            table = count_coverage(roster, session, session[session["usable"]], by=by)
            column = "invited" if roster is not None else "sat"
            found[name_report_table("coverage_map", parameters, by)] = table.set_index("cell")[column].astype(int)
        return found
    return {}


def count_groups(pairs: pd.DataFrame, groupings: Sequence[str]) -> dict[str, pd.Series[int]]:
    """Return the persons by level of each grouping; those whose level is not known are a cell too."""
    return {name: name_levels(pairs, name).fillna("").value_counts().astype("int64") for name in groupings}


def _count_cells(workspace: Workspace, wish: Wish, rows: pd.DataFrame) -> pd.Series[int]:
    """Return the persons by district; under a filter of levels, those of the smallest level where these are few.

    A district's number of one level, beside its number of all, would give the other level's away.
    """
    counts = rows.groupby("district")["pid"].nunique()
    if getattr(wish.parameters, "jenjang", None):
        every = Report(wish.report, wish.parameters.model_copy(update={"jenjang": []}), workspace)
        table = "pairs" if wish.report.name == "change" else "session"
        persons = every.read(table).drop_duplicates(["district", "jenjang", "pid"])
        atoms = persons.groupby(["district", "jenjang"]).size()
        smallest = atoms.groupby(level="district").min().reindex(counts.index)
        counts = counts.mask(smallest < wish.parameters.min_cell, smallest)
    return counts.astype("int64")
