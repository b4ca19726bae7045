"""The list of an edition's reports: an entry beside each, one page over all, and a manifest of every file's hash."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bgtk_lib.editions import Approval, write_manifest
from bgtk_lib.engine.cover import name_report
from bgtk_lib.engine.listing import render_index
from bgtk_lib.engine.parameters import REPORTS, find_report
from bgtk_lib.engine.report import Report
from bgtk_lib.errors import Text
from bgtk_lib.schema import code_list
from bgtk_lib.words import SYNTHETIC_MARK, plain, say
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.store import read_json, write_json, write_text

if TYPE_CHECKING:
    from bgtk_lib.engine.batch import Made

ENTRY = ".entry.json"


def entry_path(folder: Path) -> Path:
    """Return where the entry of a report lies: beside its folder, so that a failed one has its entry too."""
    return folder.with_name(folder.name + ENTRY)


def read_entry(folder: Path) -> dict[str, Any] | None:
    """Return what was noted of a report; None where nothing was, or it cannot be read."""
    try:
        entry: dict[str, Any] | None = read_json(entry_path(folder))
    except ValueError:
        return None
    return entry


def write_entry(folder: Path, report: Report, made: Made, **facts: Any) -> None:
    """Note what became of a report, with what the index shows of it.

    Parameters
    ----------
    folder : Path
        Of the report.
    report : Report
        As its notebook left it.
    made : Made
        What became of it.
    **facts
        What else is noted: `depends`, `files`, `seconds`.
    """
    passport = read_json(folder / "passport.json") or {}
    entry = {
        "title": _both(name_report(report)),
        "report": report.declaration.name,
        "status": made.status,
        "reason": _both(made.reason) if made.reason else None,
        "assessment": ", ".join(report.selection.get("assessment", [])),
        "waves": " → ".join(report.selection.get("wave", [])),
        "made": passport.get("made"),
        "districts": ", ".join(getattr(report.parameters, "districts", [])),
        "jenjang": ", ".join(getattr(report.parameters, "jenjang", [])),
        "language": report.parameters.language,
        "gates": sorted({gate.code for gate in report.closing}),
        "href": made.page.relative_to(folder.parent.parent).as_posix() if made.page else None,
    }
    write_json(entry_path(folder), entry | facts)


def _both(text: Text) -> dict[str, str]:
    return {"id": text.id, "en": text.en}


def _name(codes: str, known: Mapping[str, Text]) -> dict[str, Text]:
    """Return code → name of the codes of an entry."""
    return {code: known[code] for code in codes.split(", ") if code}


def write_index(workspace: Workspace, edition: str, approval: Approval | None = None) -> Path:
    """Write the edition's `index.html`, the stopped and failed reports too, and its manifest, from what lies in its folder.

    Parameters
    ----------
    workspace : Workspace
        Whose edition it is.
    edition : str
        Its folder in `reports/`.
    approval : Approval, optional
        What makes it official.
    """
    folder = workspace.root / "reports" / edition
    known = {"assessments": {**code_list("assessments"), **workspace.assessments}, "districts": code_list("districts")}
    order = [*REPORTS]
    read = [read_json(path) for path in sorted(folder.glob(f"*/*{ENTRY}"))]
    read.sort(key=lambda e: (order.index(e["report"]), e["waves"], e["assessment"], e["districts"]))
    entries = [
        {
            **entry,
            "title": Text(**entry["title"]),
            "report_name": find_report(entry["report"]).title,
            "reason": Text(**entry["reason"]) if entry["reason"] else None,
            "made": datetime.fromisoformat(entry["made"]).date() if entry["made"] else None,
            "assessments": _name(entry["assessment"], known["assessments"]),
            "districts": _name(entry["districts"], known["districts"]),
        }
        for entry in read
    ]
    synthetic = workspace.declared.data_kind == "synthetic"
    name = plain(edition.removeprefix("."))
    if approval:
        name = say("index.official", edition=name, who=plain(approval.who), dpia_ref=plain(approval.dpia_ref))
    page = render_index(
        entries,
        edition=name.said(workspace.language),
        language=workspace.language,
        marks=[SYNTHETIC_MARK] if synthetic else [],
    )
    write_text(folder / "index.html", page)
    write_manifest(folder, approval)
    return folder / "index.html"
