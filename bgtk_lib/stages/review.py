"""The review stage: every form at every wave reviewed and calibrated, before any person is scored."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object

from bgtk_lib.errors import StageError
from bgtk_lib.findings import Gate, Withheld
from bgtk_lib.instrument.facts import stack_facts
from bgtk_lib.instrument.gates import judge_fairness, judge_key, judge_panel, judge_reliability
from bgtk_lib.instrument.irt.record import write_calibration
from bgtk_lib.instrument.review import FormReview, FormSheet, review_form, stack_tables
from bgtk_lib.quality import read_gate, write_gate
from bgtk_lib.schema import conform
from bgtk_lib.scoring.points import give_credit
from bgtk_lib.stages.decisions import read_item_decisions
from bgtk_lib.stages.frozen import keep_frozen
from bgtk_lib.stages.persons import describe_sittings, list_programmes
from bgtk_lib.words import Tell, say, silent
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.store import (
    code_fingerprint,
    hash_content,
    library_versions,
    read_json,
    read_table,
    replacing,
    write_json,
    write_table,
)

REVIEW_RULES = ("item_profile", "model", "seed")
FORMS, RECORD = "forms", "review.json"  # each form's own review, made again only when what made it changed


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which form at which wave, and of which assessment."""

    form: str
    wave: str
    assessment: str

    @property
    def scope(self) -> dict[str, str]:
        """As gates and tables name it."""
        return {"wave": self.wave, "assessment": self.assessment, "form": self.form}

    @property
    def name(self) -> str:
        """By which its review is kept."""
        return f"{self.form}@{self.wave}"

    @property
    def file(self) -> str:
        """Name of its calibration."""
        return f"{self.name}.json"


def run_review(workspace: Workspace, tell: Tell = silent) -> list[Gate]:
    """Review every form at every wave, calibrate it, and judge what it can carry.

    Writes the tables of `FormReview` to `data/instrument`, and each calibration beside them. The review of a form whose
    answers, key, groups, rules and code are what they were is taken over.

    Raises
    ------
    StageError
        If the checks have not run.
    """
    if not workspace.stage_record("check"):
        raise StageError(say("stage.not_run", table="check"))
    session = workspace.read_accepted("session")
    session = conform(pd.DataFrame(), "session") if session is None else session
    decisions = read_item_decisions(workspace)
    keep_frozen(workspace)  # what a decision names is kept before it is made anew
    found: list[tuple[Place, dict[str, pd.DataFrame]]] = []
    gates: list[Gate] = []
    with replacing(workspace.stage_folder("review")) as making:
        for place, sheet in lay_sheets(workspace, describe_sittings(workspace, session)):
            decided = sorted(decisions.loc[decisions["form"] == place.form, "item_id"])
            mark = _mark(workspace, place, sheet, decided)
            tables = _keep_form(workspace, place, making, mark=mark)
            if tables is None:
                tell(say("progress.reviewing", form=place.form, wave=place.wave, n=len(sheet.credit)))
                tables = _review_form(workspace, place, sheet, making, decided=decided, mark=mark)
            found.append((place, tables))
            gates += [read_gate(entry) for entry in read_json(making / FORMS / place.name / RECORD)["gates"]]
        for name in dict.fromkeys(name for _, tables in found for name in tables):
            write_table(making, name, stack_tables((place.scope, tables[name]) for place, tables in found))
        judged = [write_gate(gate) for gate in gates]
        record = {"stage": "review", "fingerprint": workspace.fingerprint("review"), "gates": judged}
        write_json(making / "stage.json", record)
    return gates


def _mark(workspace: Workspace, place: Place, sheet: FormSheet, decided: list[str]) -> str:
    """Return the fingerprint of all that the review of one form at one wave depends on."""
    declared = workspace.declared.forms[place.form].model_dump(mode="json")
    key = None if sheet.key is None else sheet.key[sheet.key["item_id"].isin(sheet.credit.columns)]
    frames = [sheet.answers, sheet.credit, key, sheet.persons, sheet.register, sheet.panel]
    marks = [
        None
        if frame is None
        else [list(frame.columns), hashlib.sha256(hash_pandas_object(frame).to_numpy().tobytes()).hexdigest()]
        for frame in frames
    ]
    rules = workspace.rules.model_dump(mode="json", include=set(REVIEW_RULES))
    return hash_content([place.scope, declared, rules, marks, decided, code_fingerprint(), library_versions()])


def _keep_form(workspace: Workspace, place: Place, making: Path, *, mark: str) -> dict[str, pd.DataFrame] | None:
    """Take over the review of a form that is still what it would be, and return its tables; None where it must be made."""
    kept = workspace.stage_folder("review") / FORMS / place.name
    record = read_json(kept / RECORD)
    if record is None or record["mark"] != mark:
        return None
    shutil.copytree(kept, making / FORMS / place.name)
    calibration = workspace.stage_folder("review") / "calibrations" / place.file
    if calibration.is_file():
        (making / "calibrations").mkdir(exist_ok=True)
        shutil.copyfile(calibration, making / "calibrations" / place.file)
    tables = {name: read_table(kept, name) for name in record["tables"]}
    return {name: table for name, table in tables.items() if table is not None}


def _review_form(
    workspace: Workspace, place: Place, sheet: FormSheet, making: Path, *, decided: list[str], mark: str
) -> dict[str, pd.DataFrame]:
    """Review one form, write what was found, and return its tables."""
    rng = np.random.default_rng([workspace.rules.seed, *place.name.encode()])
    model = workspace.declared.forms[place.form].model or workspace.rules.model
    review = review_form(sheet, rules=workspace.rules, model=model, rng=rng)
    tables = {**review.tables, "facts": stack_facts(review.facts)}
    for name, table in tables.items():
        write_table(making / FORMS / place.name, name, table)
    if not isinstance(review.calibration, Withheld):
        write_calibration(making / "calibrations" / place.file, review.calibration)
    gates = [write_gate(gate) for gate in _judge(place, review, decided)]
    write_json(making / FORMS / place.name / RECORD, {"mark": mark, "tables": list(tables), "gates": gates})
    return tables


def lay_sheets(workspace: Workspace, sittings: pd.DataFrame) -> list[tuple[Place, FormSheet]]:
    """Return what came in of every form at every wave that has answers and, where it needs one, a key for every item.

    Parameters
    ----------
    workspace : Workspace
        Whose answers are read.
    sittings : DataFrame
        As `describe_sittings` returns it.
    """
    key, register, panel = (workspace.read_accepted(name) for name in ("key", "form_item", "panel"))
    programmes = list_programmes(workspace)
    found = []
    for wave, form, answers in workspace.read_answers():
        declared = workspace.declared.forms[form]
        place = Place(form=form, wave=wave, assessment=declared.assessment)
        credit = give_credit(answers, key, declared)
        if credit.empty or (not declared.scored and (key is None or not set(credit.columns) <= set(key["item_id"]))):
            continue
        rows = pd.DataFrame({"form_id": []}) if register is None else register[register["form_id"] == form]
        here = rows.reindex(columns=["item_id", "item_version", "position", "framework"])
        credit = credit[_order_items(credit.columns, here)]
        persons = sittings.set_index("session_id").reindex(credit.index)
        groups = persons.reindex(columns=[g for g in workspace.rules.dif_groups if g != "programmes"])
        if "programmes" in workspace.rules.dif_groups:
            for code, rows in programmes.groupby("programme"):
                groups[f"programme:{code}"] = np.where(persons["pid"].isin(rows["pid"]), "yes", "no")
        found.append(
            (
                place,
                FormSheet(
                    answers=answers,
                    credit=credit,
                    key=None if declared.scored else key,
                    persons=groups.loc[:, groups.notna().any()],
                    register=here,
                    panel=None if panel is None else panel[panel["item_id"].isin(credit.columns)],
                ),
            )
        )
    return found


def _order_items(items: pd.Index[Any], register: pd.DataFrame) -> list[str]:
    """Return the items in the order of the form; those not registered last, 2 before 10."""
    position = register.drop_duplicates("item_id").set_index("item_id")["position"]

    def place(item: str) -> tuple[float, list[tuple[bool, int, str]]]:
        parts = [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", item)]
        return float(position.get(item, np.inf)), parts

    return sorted((str(item) for item in items), key=place)


def _judge(place: Place, review: FormReview, decided: list[str]) -> list[Gate]:
    return [
        *judge_key(review.classical, review.suspects, place.scope, decided=decided),
        *judge_reliability(review.classical, place.scope),
        judge_fairness(review.large_dif, place.scope),
        *judge_panel(review.panel, place.scope),
    ]
