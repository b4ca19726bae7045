"""A pack by which measurement partners recompute what we say of a form: scored answers, our numbers, an R script."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import pandas as pd

from bgtk_lib.exports.anonymity import FEWEST_ALIKE, FEWEST_PERSONS, draw_ids, keep_facts
from bgtk_lib.exports.answers import gather_answers, lay_answers
from bgtk_lib.exports.package import Package, write_package
from bgtk_lib.exports.request import Request, find_stop, list_closed
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.dif.contrast import TOO_FEW
from bgtk_lib.instrument.irt.record import read_calibration
from bgtk_lib.words import say
from bgtk_lib.workspace import Workspace

ANSWERS, SCRIPT = "answers.csv", "check.R"
NOT_CHECKED = ("share_", "mean_seconds")  # what scored answers cannot show: blanks, times, shares of few persons


def export_crosscheck(workspace: Workspace, request: Request) -> dict[str, Any] | Withheld:
    """Write one form's scored answers with our numbers about it and a script that recomputes them.

    Returns
    -------
    dict or Withheld
        The manifest. Withheld where a gate stops the answers, or fewer than 30 persons sat at a wave.

    Raises
    ------
    ParameterError
        If a wave has no answers to the form.

    Notes
    -----
    Everything that is checked is checked wave by wave, so every sitting has an id of its own: nobody can be followed from
    wave to wave. Of the groups that items were compared by, those are told whose comparison was made and whose every
    combination ten persons share. The numbers are the stored ones of the review and score stages. A comparison of groups
    that was not made, because a group is small, is left out: its row would tell that such persons are there.
    """
    gathered = gather_answers(workspace, request)
    gates = list_closed(workspace, request, [*gathered.sheets])
    if stop := find_stop(gates):
        return stop
    sittings = gathered.sittings
    if int(sittings["wave"].value_counts().min()) < FEWEST_PERSONS:
        return Withheld(say("exports.few_persons", needed=FEWEST_PERSONS), kind="small")
    numbers = _take_numbers(workspace, request, [*gathered.sheets])
    groups = pd.concat([sheet.persons for sheet in gathered.sheets.values()])
    tested = set(numbers["dif.csv"]["grouping"])
    told = [str(name) for name in groups.columns if name in tested]
    persons = sittings.set_index("session_id")[["wave"]].join(groups[told])
    persons = persons.assign(id=draw_ids(len(persons)))
    kept = keep_facts(persons, told, always=["wave"])

    waves = {wave: wave for wave in gathered.sheets}
    answers = lay_answers(gathered.sheets, persons["id"], waves=waves).drop(columns="rt", errors="ignore")
    facts = persons.set_index("id")[[*kept.names]].add_prefix("cov_")
    package = Package(
        answers=ANSWERS,
        tables={ANSWERS: answers.join(facts, on="id"), **numbers},
        texts={SCRIPT: read_script()},
        readme=say("exports.crosscheck_readme", needed=FEWEST_ALIKE),
        waves=waves,
        covariates=kept,
        gates=gates,
    )
    return write_package(workspace, request, package)


def read_script() -> str:
    """Return the R script of the pack."""
    return (resources.files("bgtk_lib.exports") / SCRIPT).read_text(encoding="utf-8")


def _take_numbers(workspace: Workspace, request: Request, waves: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return our numbers by file name: items, steps, facts, dif, models, and anchors and links where the form is linked."""
    taken = {name: _take(workspace, name, request.form, waves) for name in ("items", "steps", "facts", "dif")}
    items, facts, dif = taken["items"], taken["facts"], taken["dif"]
    taken["items"] = items.loc[:, [not name.startswith(NOT_CHECKED) for name in items.columns]]
    taken["facts"] = facts[~facts["name"].str.startswith(NOT_CHECKED)]
    taken["dif"] = dif[~dif["note"].isin(TOO_FEW)]
    taken["models"] = _list_models(workspace, request.form, waves)
    links = workspace.read_derived("links") if workspace.has_derived("links") else pd.DataFrame()
    if "verdict" in links:
        mine = (links["form_pre"].eq(request.form) & links["wave_pre"].isin(waves)) | (
            links["form_post"].eq(request.form) & links["wave_post"].isin(waves)
        )
        links = links[mine & links["verdict"].notna()]
        if len(links):
            place = ["assessment", "wave_pre", "wave_post"]
            anchors = workspace.read_derived("anchors")
            taken |= {"links": links, "anchors": anchors.merge(links[place], on=place, validate="many_to_one")}
    return {f"{name}.csv": frame for name, frame in taken.items()}


def _take(workspace: Workspace, name: str, form: str, waves: Sequence[str]) -> pd.DataFrame:
    """Return what a stored table says of the form at these waves."""
    table = workspace.read_derived(name)
    return table[table["form"].eq(form) & table["wave"].isin(waves)]


def _list_models(workspace: Workspace, form: str, waves: Sequence[str]) -> pd.DataFrame:
    """Return wave and model of every calibration."""
    folder = workspace.stage_folder("review") / "calibrations"
    paths = {wave: folder / f"{form}@{wave}.json" for wave in waves}
    rows = [{"wave": wave, "model": read_calibration(path).model} for wave, path in paths.items() if path.is_file()]
    return pd.DataFrame(rows, columns=["wave", "model"])
