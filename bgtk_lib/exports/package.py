"""A folder that leaves the office: written whole or not at all, and read again before it counts as written."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from bgtk_lib.errors import StageError, Text
from bgtk_lib.exports.anonymity import FEWEST_ALIKE, Kept, count_smallest
from bgtk_lib.exports.request import UNTIL, Request
from bgtk_lib.findings import Gate
from bgtk_lib.words import SYNTHETIC_MARKS, say
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.store import hash_files, read_table, replacing, write_json, write_text

MANIFEST, README = "manifest.json", "README.md"


@dataclass(frozen=True, kw_only=True, eq=False)
class Package:
    """What an export holds.

    Attributes
    ----------
    answers : str
        Name of the table that holds persons' answers.
    tables : mapping
        File name → table, that of the answers among them.
    texts : mapping
        File name → text.
    readme : Text
        What the recipient must know.
    waves : mapping
        How a wave is written in the tables → its code.
    covariates : Kept
        What is told of persons.
    gates : list of Gate
        Closed ones that speak of these answers.
    left_out : mapping
        What of the accepted answers is not in the export, and why.
    """

    answers: str
    tables: Mapping[str, pd.DataFrame]
    texts: Mapping[str, str]
    readme: Text
    waves: Mapping[str, str]
    covariates: Kept
    gates: list[Gate]
    left_out: Mapping[str, Any] = field(default_factory=dict)


def write_package(workspace: Workspace, request: Request, package: Package) -> dict[str, Any]:
    """Write an export with its manifest, after what was written has been read again; return the manifest.

    Raises
    ------
    StageError
        If the written answers hold a combination of facts that fewer than k persons share, or any written table a cell
        that is the code of a person, of a sitting or of a school. Nothing is left behind.
    """
    with replacing(request.folder) as making:
        for name, table in package.tables.items():
            write_text(making / name, table.to_csv(index=False, lineterminator="\n"))
        for name, text in {**package.texts, README: write_readme(workspace, package.readme)}.items():
            write_text(making / name, text)
        smallest = count_smallest(pd.read_csv(making / package.answers, dtype=str, keep_default_na=False))
        if smallest < FEWEST_ALIKE:
            raise StageError(say("exports.too_alone", needed=FEWEST_ALIKE))
        codes = list_codes(workspace, "pid", "session_id", "npsn")
        for name in package.tables:
            _refuse_codes(making / name, codes)
        content = _describe(workspace, request, package) | {"smallest_combination": smallest}
        content["files"] = {path.name: hash_files([path], base=making) for path in sorted(making.iterdir())}
        write_json(making / MANIFEST, content)
    return content


def write_readme(workspace: Workspace, text: Text) -> str:
    """Return a text in both languages, marked where the data are made up."""
    made_up = workspace.declared.data_kind == "synthetic"
    marks = [f"**{SYNTHETIC_MARKS['en']}**\n"] if made_up else []
    return "\n".join([*marks, text.id, text.en])


def list_codes(workspace: Workspace, *names: str) -> set[str]:
    """Return the codes by which the workspace's own tables name persons (pid), sittings (session_id), schools (npsn)."""
    codes: set[str] = set()
    for table in ("session", "teacher", "school", "roster"):
        frame = read_table(workspace.folder("canonical"), table)
        for name in names:
            if frame is not None and name in frame:
                codes |= set(frame[name].dropna().astype(str))
    return codes


def _refuse_codes(path: Path, codes: set[str]) -> None:
    """Refuse a table with a cell that names a person, a sitting or a school as the workspace's own tables do."""
    with path.open(encoding="utf-8", newline="") as file:
        if any(not codes.isdisjoint(row) for row in csv.reader(file)):
            raise StageError(say("exports.code_found", file=path.name))


def _describe(workspace: Workspace, request: Request, package: Package) -> dict[str, Any]:
    """Return the manifest but for what is known only of the written files."""
    declared, answers = workspace.declared, package.tables[package.answers]
    reference_date = workspace.rules.reference_date
    reasons = {
        name: say(f"exports.dropped.{code}", needed=FEWEST_ALIKE) for name, code in package.covariates.dropped.items()
    }
    return {
        "export": request.kind,
        "data_kind": declared.data_kind,
        "mark": SYNTHETIC_MARKS if declared.data_kind == "synthetic" else None,
        "institution": declared.institution.name,
        "reference": request.terms.reference,
        "recipient": request.terms.recipient,
        "agreement": request.terms.agreement,
        "reference_date": reference_date.isoformat() if reference_date else None,
        "form": request.form,
        "assessment": declared.forms[request.form].assessment,
        "waves": dict(package.waves),
        "answers": package.answers,
        "counts": {"persons": answers["id"].nunique(), "items": answers["item"].nunique(), "rows": len(answers)},
        "covariates": list(package.covariates.names),
        "covariates_dropped": {
            name: {"code": package.covariates.dropped[name], "id": reason.id, "en": reason.en}
            for name, reason in reasons.items()
        },
        "left_out": dict(package.left_out),
        "needed_combination": FEWEST_ALIKE,
        "gates": [{"code": gate.code, "state": gate.state, "scope": dict(gate.scope)} for gate in package.gates],
        "fingerprint": workspace.stage_record(UNTIL[request.kind])["fingerprint"],
        "library": metadata.version("bgtk-workbench"),
    }
