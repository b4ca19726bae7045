"""One form in the format of the Item Response Warehouse (its data standard 1.0): a row a person, item and occasion."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bgtk_lib.exports.anonymity import FEWEST_ALIKE, FEWEST_PERSONS, Kept, draw_ids, find_rare, keep_facts
from bgtk_lib.exports.answers import Gathered, describe_items, gather_answers, lay_answers
from bgtk_lib.exports.package import Package, write_package
from bgtk_lib.exports.request import Request, find_stop, list_closed, write_slug
from bgtk_lib.findings import Withheld
from bgtk_lib.stages.decisions import read_item_decisions
from bgtk_lib.words import say
from bgtk_lib.workspace import Workspace

FACTS = ("sex", "jenjang", "status", "group", "device")
LONGEST_NAME, LONGEST_AUTHOR = 40, 12  # letters of a file's name; of the author in it
MADE_UP = "synthetic"  # the author of what nobody answered


def export_irw(workspace: Workspace, request: Request) -> dict[str, Any] | Withheld:
    """Write one form's answers as an Item Response Warehouse table with its manifest.

    Returns
    -------
    dict or Withheld
        The manifest. Withheld where a gate stops the answers, or fewer than 30 persons are left.

    Raises
    ------
    ParameterError
        If a wave has no answers to the form.

    Notes
    -----
    A person has the same id at all waves of the file, so the waves sat are a fact about the person: who shares them
    with fewer than ten is left out. Of several sittings of one person at one wave the first counts. Facts about persons
    are those of the first sitting in the file; the device belongs to a sitting and is told only where there is one wave.
    District, school and venue are never told. Items that the panel dropped are left out.
    """
    gathered = gather_answers(workspace, request)
    gates = list_closed(workspace, request, [*gathered.sheets])
    if stop := find_stop(gates):
        return stop
    order = {wave: place for place, wave in enumerate(gathered.sheets, start=1)}
    sittings, persons, left_out = _choose_persons(gathered, order)
    if len(persons) < FEWEST_PERSONS:
        return Withheld(say("exports.few_persons", needed=FEWEST_PERSONS), kind="small")
    persons = persons.assign(id=draw_ids(len(persons)))
    kept = _keep_covariates(persons, one_wave=len(order) == 1)

    decisions = read_item_decisions(workspace)
    out = decisions.loc[(decisions["form"] == request.form) & (decisions["decision"] == "drop"), "item_id"]
    left_out |= {"items": sorted(set(out))}
    ids = sittings.set_index("session_id")["pid"].map(persons["id"])
    table = lay_answers(gathered.sheets, ids, waves=order, without=[*out])
    facts = persons.set_index("id")[[*kept.names]].add_prefix("cov_")
    table = table.join(facts, on="id").merge(
        describe_items(gathered.sheets), on="item", how="left", validate="many_to_one"
    )
    if len(order) == 1:
        table = table.drop(columns="wave")
    name = name_table(workspace, request, gathered)
    package = Package(
        answers=name,
        tables={name: table},
        texts={},
        readme=say("exports.irw_readme", needed=FEWEST_ALIKE),
        waves={str(place): wave for wave, place in order.items()},
        covariates=kept,
        gates=gates,
        left_out=left_out,
    )
    return write_package(workspace, request, package)


def name_table(workspace: Workspace, request: Request, gathered: Gathered) -> str:
    """Return a file's name, author_year_construct.csv, of at most 40 letters; ``nd`` where no date is known.

    The author is the institution's first word, ``synthetic`` for made-up data; the year that of the first sitting.
    """
    declared = workspace.declared
    author = MADE_UP if declared.data_kind == "synthetic" else write_slug(declared.institution.name).partition("_")[0]
    start = gathered.sittings["start"].min()
    days = [day for wave in gathered.sheets for day in declared.waves[wave].days]
    first = start if pd.notna(start) else min(days, default=None)
    stem = f"{author[:LONGEST_AUTHOR] or 'office'}_{first.year if first else 'nd'}_{write_slug(request.form)}"
    return stem[: LONGEST_NAME - len(".csv")].rstrip("_") + ".csv"


def _choose_persons(gathered: Gathered, order: dict[str, int]) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return the sittings and the persons (index pid) that are told, and how many are not."""
    known = gathered.sittings.assign(place=gathered.sittings["wave"].map(order))
    known = known.sort_values(["place", "start"], kind="stable")
    sittings = known.drop_duplicates(["pid", "place"])
    waves = sittings["place"].astype(str).groupby(sittings["pid"]).agg(",".join)
    rare = waves.index[find_rare(waves)]
    told = sittings[~sittings["pid"].isin(rare)]
    persons = told.drop_duplicates("pid").set_index("pid").assign(waves=waves)
    left_out = {
        "later_sittings": _tell_count(len(known) - len(sittings)),
        "persons_with_rare_waves": _tell_count(len(rare)),
    }
    return told, persons, left_out


def _tell_count(n: int) -> int | str:
    """Return a count, or that it is small."""
    return f"< {FEWEST_ALIKE}" if 0 < n < FEWEST_ALIKE else n


def _keep_covariates(persons: pd.DataFrame, *, one_wave: bool) -> Kept:
    """Return what is told of persons; the device of one sitting is no fact about who sat at several waves."""
    known = [name for name in FACTS if persons[name].notna().any()]
    sound = [name for name in known if one_wave or name != "device"]
    kept = keep_facts(persons, sound, always=["waves"])
    passing = {name: "of_a_sitting" for name in known if name not in sound}
    return Kept(names=kept.names, dropped={**kept.dropped, **passing}, smallest=kept.smallest)
