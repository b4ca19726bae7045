"""Editions: passports of what made a report, people's decisions on gates and editions, the suppression plan over the grid."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import Field

from bgtk_lib.disclosure import Plan, name_table, plan_suppression
from bgtk_lib.findings import Gate
from bgtk_lib.words import sentences
from bgtk_lib.workspace import APPROVALS, Workspace
from bgtk_lib.workspace.store import hash_file, library_versions, read_json, read_sealed, write_json, write_sealed
from bgtk_lib.workspace.typed import Declared, declare, read_decision_rows, require_known

MANIFEST = "manifest.json"
OFFICIAL = "resmi"
Filled = Annotated[str, Field(min_length=1)]
DECISION_COLUMNS = ("date", "who", "code", "scope", "decision", "reason")
SELECTS = (
    *("assessment", "form", "wave", "wave_pre", "wave_post", "districts", "jenjang"),
    *("programme", "role", "assignment", "comparison", "spillover", "unit"),  # whom a programme's report compares
)


class Approval(Declared):
    """What a person recorded to make an edition official: one row of `data/decisions/editions.csv`."""

    date: date
    who: Filled
    edition: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{2,40}$")]
    dpia_ref: Filled
    library: Annotated[str, Field(pattern=r"^[0-9a-f]{12,64}$")]
    reason: Filled


def read_approvals(workspace: Workspace) -> dict[str, Approval]:
    """Return edition → its approval; a later row about an edition takes the place of an earlier one.

    Raises
    ------
    ParameterError
        If a row, of whatever edition, is not filled in as it must be: a slip must not pass for an approval.
    """
    path = workspace.folder("decisions") / APPROVALS
    rows = read_decision_rows(path, tuple(Approval.model_fields))
    approvals = [declare(Approval, row, where=f"{path.name} ({row['edition'][:40]})") for row in rows]
    return {one.edition: one for one in approvals}


def find_approval(workspace: Workspace, parameters: Mapping[str, Any]) -> Approval | None:
    """Return the approval that a report of an official edition rests on; None for a draft, or where none is recorded."""
    official = parameters.get("edition_status") == OFFICIAL
    return read_approvals(workspace).get(parameters["edition_id"]) if official else None


def name_folder(edition: str, status: str) -> str:
    """Return the folder in `reports/` where an edition is made: a hidden one for what is to be official."""
    return f".{edition}" if status == OFFICIAL else edition


def is_official(folder: Path) -> bool:
    """Whether an edition was sealed as official; where its manifest is lost, its passports say so."""
    try:
        manifest = read_json(folder / MANIFEST)
    except ValueError:
        manifest = None
    told = [manifest] if manifest else map(read_json, folder.glob("*/*/passport.json"))
    return any(one.get("status") == OFFICIAL for one in told)


def apply_decisions(gates: Iterable[Gate], path: Path) -> list[Gate]:
    """Return gates, those lifted that a person has recorded in `data/decisions/gates.csv`.

    Parameters
    ----------
    gates : iterable of Gate
        As the stages judged them.
    path : Path
        CSV with date, who, code, scope (as printed: ``assessment=PED, wave=p1-pre``; empty for all), decision (``lift``)
        and reason. HOLD is lifted, and UNKNOWN, which holds an official edition only; a STOP cannot be.

    Raises
    ------
    ParameterError
        If a row names a decision or a code that does not exist: a slip must not pass for a decision.
    """
    decisions = read_decision_rows(path, DECISION_COLUMNS)
    for row in decisions:
        require_known(row["decision"], ["lift"], what=f"{path.name}: decision")
        require_known(row["code"], gate_codes(), what=f"{path.name}: code")
    lifted = {
        (d["code"], d["scope"]): f"{d['who']}, {d['date']}: {d['reason']}" for d in decisions if d["decision"] == "lift"
    }
    found = []
    for gate in gates:
        reason = lifted.get((gate.code, gate.scope_text)) or lifted.get((gate.code, ""))
        found.append(replace(gate, lifted=reason) if reason and gate.state in ("HOLD", "UNKNOWN") else gate)
    return found


def gate_codes() -> list[str]:
    """Return the codes of all gates there are: those with a sentence."""
    return sorted({key.split(".")[1] for key in sentences() if key.startswith("gate.") and key.count(".") == 2})


def name_report_table(report: str, parameters: Mapping[str, Any], part: str) -> str:
    """Return the name of one table of a report in the edition's plan: what it selects, not how it is shown."""
    chosen = {name: parameters[name] for name in SELECTS if parameters.get(name)}
    return name_table(report, chosen, part)


def write_plan(
    workspace: Workspace, edition: str, tables: Mapping[str, pd.Series[int]], *, min_cell: int, mark: str = ""
) -> Plan:
    """Compute an edition's suppression plan over the tables of its whole grid, and store it beside its reports.

    `mark` says from what: as long as it is the same, the plan need not be computed again.
    """
    plan = plan_suppression(tables, min_cell=min_cell)
    path = plan_path(workspace, edition, min_cell)
    known = (read_json(path) or {}).get("hidden", {})
    hidden = {**known, **{k: dict(v) for k, v in plan.hidden.items()}}
    write_json(path, {"min_cell": min_cell, "hidden": hidden, "made_from": mark})
    return plan


def plan_path(workspace: Workspace, edition: str, min_cell: int) -> Path:
    """Return where an edition's plan lies."""
    return workspace.root / "reports" / edition / f"plan-{min_cell}.json"


def read_plan(workspace: Workspace, *, edition: str, min_cell: int) -> Plan:
    """Return an edition's plan; one without tables where none was made (every small figure is withheld all the same).

    Of an official edition that is no longer in the making, the sealed one.
    """
    paths = (plan_path(workspace, name, min_cell) for name in (edition, edition.removeprefix(".")))
    stored: dict[str, Any] = next((plan for path in paths if (plan := read_json(path))), {})
    return Plan(min_cell=min_cell, hidden=stored.get("hidden", {}))


def write_manifest(folder: Path, approval: Approval | None = None) -> None:
    """Write the hash of every file of an edition, sealed: what `verify_edition` holds them against.

    With an approval the edition is official from then on.
    """
    files = {path.relative_to(folder).as_posix(): hash_file(path) for path in _list_files(folder)}
    official = {"status": OFFICIAL, "approval": approval.model_dump(mode="json")} if approval else {"status": "draf"}
    write_sealed(folder / MANIFEST, {"format": 1, "files": files, **official})


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return an edition's manifest: `files` with their hashes, `status`, and of an official one the `approval`.

    Raises
    ------
    ParameterError
        If there is none.
    LinkageError
        If it was altered.
    """
    return read_sealed(folder / MANIFEST, kind=1, altered="edition.manifest_altered")


def verify_edition(folder: Path) -> dict[str, list[str]]:
    """Return the files of an edition that are not as its manifest says.

    Returns
    -------
    dict
        ``altered``, ``missing`` and ``unknown`` → paths within the edition; all empty where nothing was touched.

    Raises
    ------
    ParameterError
        If there is no manifest.
    LinkageError
        If the manifest itself was altered.
    """
    known = read_manifest(folder)["files"]
    found = {path.relative_to(folder).as_posix(): path for path in _list_files(folder)}
    return {
        "altered": [name for name, path in found.items() if name in known and hash_file(path) != known[name]],
        "missing": sorted(known.keys() - found.keys()),
        "unknown": sorted(found.keys() - known.keys()),
    }


def _list_files(folder: Path) -> list[Path]:
    """Return an edition's files but for its manifest; what a report in the making holds is nobody's yet."""
    parts = [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST]
    return sorted(path for path in parts if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def make_passport(
    workspace: Workspace, report: str, parameters: Mapping[str, Any], *, depends: Mapping[str, str]
) -> dict[str, Any]:
    """Return what made a report: parameters, fingerprints of all it depends on, rules, seed, versions, approval."""
    approval = find_approval(workspace, parameters)
    return {
        "report": report,
        "parameters": dict(parameters),
        "data_kind": workspace.declared.data_kind,
        "institution": workspace.declared.institution.name,
        "province": workspace.declared.institution.province,
        "depends": dict(depends),
        "rules": workspace.rules.model_dump(mode="json"),
        "seed": workspace.rules.seed,
        "library": metadata.version("bgtk-workbench"),
        "libraries": library_versions(),
        "python": platform.python_version(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "status": parameters.get("edition_status", "draf"),
        **({"approval": approval.model_dump(mode="json")} if approval else {}),
    }
