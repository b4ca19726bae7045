"""What a batch may show: filters refused that would give few persons away, and the edition's suppression plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from bgtk_lib.coverage import count_coverage
from bgtk_lib.disclosure import plan_suppression
from bgtk_lib.editions import name_report_table, plan_path, write_plan
from bgtk_lib.engine.freshness import Ground
from bgtk_lib.engine.wishes import Wish
from bgtk_lib.errors import FewError, ParameterError, Text
from bgtk_lib.pairing import name_levels
from bgtk_lib.schema import code_list
from bgtk_lib.words import join, plain, say
from bgtk_lib.workspace.store import hash_content, read_json

PLACES = {"districts": "district", "jenjang": "jenjang"}  # what narrows a report, and the column it filters
COUNTED = ("pairs", "session")  # whose persons are a report's, the first that it reads


def refuse_few(ground: Ground, wish: Wish) -> None:
    """Refuse a filter that leaves few persons, or would give few away by subtraction.

    Parameters
    ----------
    ground : Ground
        Whose rows are counted.
    wish : Wish
        The report; one of a grid may ask for more persons than `min_cell`.

    Raises
    ------
    FewError
        Naming the report; the counts themselves are not said.
    ParameterError
        If the edition was made with another `min_cell`.

    Notes
    -----
    A filter may name only districts and levels that the unfiltered table shows, and where it names both, each of its
    districts × levels must hold nobody or at least `min_cell` persons. An edition has one `min_cell`.
    """
    fewest = wish.parameters.min_cell
    others = {
        int(path.stem.removeprefix("plan-"))
        for path in plan_path(ground.workspace, wish.folder, 0).parent.glob("plan-*")
    }
    if others - {fewest}:
        raise ParameterError(say("parameter.one_min_cell", edition=wish.parameters.edition_id, known=max(others)))
    narrowed = {name: getattr(wish.parameters, name) for name in PLACES if getattr(wish.parameters, name, None)}
    table = next((name for name in COUNTED if name in wish.report.reads), None)
    if table is None or not (narrowed or wish.minimum):
        return
    persons = _list_persons(ground, wish, table)
    chosen = persons
    for name, values in narrowed.items():
        chosen = chosen[chosen[PLACES[name]].isin(values)]
    told = {"report": wish.report.name, "filter": ", ".join(narrowed)}
    least = max(fewest, wish.minimum or 0)
    if chosen["pid"].nunique() < least:
        key = "parameter.too_few" if narrowed else "grid.too_few"
        raise FewError(say(key, min_cell=least, **told), withheld=_tell_withheld("too_few", narrowed, least))
    if narrowed and _gives_away(persons, narrowed, min_cell=fewest):
        few = _tell_withheld("gives_away", narrowed, fewest)
        raise FewError(say("parameter.gives_away", min_cell=fewest, **told), withheld=few)


def _tell_withheld(why: str, narrowed: Mapping[str, Sequence[str]], least: int) -> Text:
    """Return why nothing is made for whom a report would select, in the words of those who read the list of reports."""
    labels = code_list("districts")
    whom = join([labels.get(code, plain(code)) for codes in narrowed.values() for code in codes])
    few = say(f"withheld.{why}", min_cell=least)
    return join([whom, few], ": ") if narrowed else few


def _list_persons(ground: Ground, wish: Wish, table: str) -> pd.DataFrame:
    """Return whom a report would read without its filters by place: pid, district, jenjang, each once."""
    whole = wish.parameters.model_copy(update={name: [] for name in PLACES if hasattr(wish.parameters, name)})
    return ground.list_persons(replace(wish, parameters=whole), table, tuple(PLACES.values()))


def _gives_away(rows: pd.DataFrame, chosen: Mapping[str, Sequence[str]], *, min_cell: int) -> bool:
    """Whether a filter names a cell that the unfiltered table hides, or sets few of one level apart in a district."""
    for name, values in chosen.items():
        counts = rows.groupby(PLACES[name])["pid"].nunique()
        if set(values) & set(plan_suppression({"": counts}, min_cell=min_cell).hidden[""]):
            return True
    atoms = rows.groupby([PLACES[name] for name in chosen])["pid"].nunique()
    for level, values in enumerate(chosen.values()):
        atoms = atoms[atoms.index.get_level_values(level).isin(values)]
    return bool(atoms.between(1, min_cell - 1).any())


def lay_plan(ground: Ground, wishes: Sequence[Wish]) -> None:
    """Write the suppression plan of every edition over all tables of its grid; one laid from the same rows stays."""
    grids: dict[tuple[str, int], list[Wish]] = {}
    for wish in wishes:
        grids.setdefault((wish.folder, wish.parameters.min_cell), []).append(wish)
    for (edition, min_cell), grid in grids.items():
        mark = hash_content([[wish.report.name, wish.slug, ground.sum_rows(wish)] for wish in grid])
        if (read_json(plan_path(ground.workspace, edition, min_cell)) or {}).get("made_from") != mark:
            tables = {name: counts for wish in grid for name, counts in _tables_of(ground, wish).items()}
            write_plan(ground.workspace, edition, tables, min_cell=min_cell, mark=mark)


def _tables_of(ground: Ground, wish: Wish) -> dict[str, pd.Series[int]]:
    """Return the persons by cell of every table a report prints."""
    parameters = wish.parameters.model_dump(mode="json")
    report = ground.open(wish)
    if wish.report.name == "change":
        counts = _count_cells(ground, wish, report.read("pairs"))
        groups = count_groups(report.read("pairs"), parameters["subgroups"])
        tables = {name_report_table("change", parameters, f"groups.{name}"): n for name, n in groups.items()}
        return {name_report_table("change", parameters, "districts"): counts, **tables}
    if wish.report.name == "programme":
        from bgtk_lib.engine.enrolled import enrol  # estimation takes a second to import: not where no plan is laid

        return {report.table("groups"): enrol(report).counts}
    if wish.report.name == "coverage_map":
        roster = report.roster()
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


def _count_cells(ground: Ground, wish: Wish, rows: pd.DataFrame) -> pd.Series[int]:
    """Return the persons by district; under a filter of levels, those of the smallest level where these are few.

    A district's number of one level, beside its number of all, would give the other level's away.
    """
    counts = rows.groupby("district")["pid"].nunique()
    if getattr(wish.parameters, "jenjang", None):
        every = ground.open(replace(wish, parameters=wish.parameters.model_copy(update={"jenjang": []})))
        table = "pairs" if wish.report.name == "change" else "session"
        persons = every.read(table).drop_duplicates(["district", "jenjang", "pid"])
        atoms = persons.groupby(["district", "jenjang"]).size()
        smallest = atoms.groupby(level="district").min().reindex(counts.index)
        counts = counts.mask(smallest < wish.parameters.min_cell, smallest)
    return counts.astype("int64")
