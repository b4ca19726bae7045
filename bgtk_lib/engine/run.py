"""Reports made: parameters checked, plan laid, notebook run by Papermill, one HTML file, an index of the edition."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

# A grammar that jsonschema compiles at import and nobody here uses: 1.5 s of every start.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

import nbformat  # noqa: E402
import papermill  # noqa: E402
from jupyter_core.utils import ensure_event_loop  # noqa: E402

from bgtk_lib.engine.cover import name_report  # noqa: E402
from bgtk_lib.engine.html import render_index, render_page  # noqa: E402
from bgtk_lib.engine.lint import refuse_claims  # noqa: E402
from bgtk_lib.engine.notebooks import notebooks_folder  # noqa: E402
from bgtk_lib.engine.parameters import REPORTS, find_report  # noqa: E402
from bgtk_lib.engine.plan import check_counts, lay_plan  # noqa: E402
from bgtk_lib.engine.report import ORDER, Report  # noqa: E402
from bgtk_lib.engine.warm.kernels import ENGINE  # noqa: E402
from bgtk_lib.engine.wishes import Wish, report_folder  # noqa: E402
from bgtk_lib.errors import BgtkError, StageError, Text  # noqa: E402
from bgtk_lib.findings import Gate  # noqa: E402
from bgtk_lib.words import SYNTHETIC_MARK, Tell, say, silent  # noqa: E402
from bgtk_lib.workspace import Workspace  # noqa: E402
from bgtk_lib.workspace.store import read_json, replacing, write_json, write_text  # noqa: E402

IDENTIFIER = re.compile(
    r"(?<![\w.])\d{16}(?:\d{2})?(?!\w|\.\d)"  # NUPTK, NIK, NIP
    r"|(?<![\w.])\d{8} \d{6} \d \d{3}(?!\w)"  # a NIP as it is written by hand
    r"|(?<![\w.])(?:\+62|0)8\d{2}[ -]?\d{3,4}[ -]?\d{3,5}(?!\w)"  # a mobile number
    r"|[\w.+-]+@[\w-]+\.[\w.]+"  # an e-mail address
)
EMBEDDED = re.compile(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+")


@dataclass(frozen=True, kw_only=True)
class Made:
    """What became of one report.

    Attributes
    ----------
    status : {"done", "held", "stopped", "failed"}
        As the index shows it.
    page : Path or None
        Its HTML; None where it failed.
    reason : Text or None
        Why it is held, stopped or failed.
    """

    wish: Wish
    status: str
    page: Path | None
    reason: Text | None = None


def make_reports(
    workspace: Workspace, wishes: Sequence[Wish], tell: Tell = silent, *, executor: Executor | None = None
) -> list[Made]:
    """Make reports; one that fails never stops the rest. The index is made anew after all.

    Parameters
    ----------
    workspace : Workspace
        After its stages ran.
    wishes : sequence of Wish
        As `list_wishes` or `wish_for` return them.
    tell : callable
        Takes a line of progress.
    executor : concurrent.futures.Executor, optional
        Where they run; by default two threads, each waiting for a kernel of its own.
    """
    check_counts(workspace, wishes)
    lay_plan(workspace, wishes)
    with executor or ThreadPoolExecutor(max_workers=2) as pool:
        waiting = {pool.submit(Context().run, _make_or_fail, workspace, wish): wish for wish in wishes}
        for number, future in enumerate(as_completed(waiting), start=1):
            wish = waiting[future]
            tell(say("progress.report", number=number, all=len(wishes), report=wish.report.title, slug=wish.slug))
        made = [future.result() for future in waiting]
    for edition in {wish.parameters.edition_id for wish in wishes}:
        write_index(workspace, edition)
    return made


def _make_or_fail(workspace: Workspace, wish: Wish) -> Made:
    folder = report_folder(workspace, wish)
    try:
        made = make_report(workspace, wish, folder)
    except BgtkError as error:
        made = Made(wish=wish, status="failed", page=None, reason=error.text)
    except Exception as error:  # noqa: BLE001 - the rest must go on; the reason stands in the index, without values
        made = Made(wish=wish, status="failed", page=None, reason=say("report.failed", kind=type(error).__name__))
    report = _reopen(workspace, wish, folder)
    entry = {
        "title": _both(name_report(report)),
        "report": wish.report.name,
        "status": made.status,
        "reason": _both(made.reason) if made.reason else None,
        "assessment": ", ".join(report.selection.get("assessment", [])),
        "waves": " → ".join(report.selection.get("wave", [])),
        "made": (read_json(folder / "passport.json") or {}).get("made"),
        "districts": ", ".join(getattr(wish.parameters, "districts", [])),
        "language": wish.parameters.language,
        "gates": sorted({g.code for g in report.gates if g.closed and g.code in wish.report.rests_on}),
        "href": made.page.relative_to(workspace.root / "reports" / wish.parameters.edition_id).as_posix()
        if made.page
        else None,
    }
    write_json(folder.parent / f"{folder.name}.entry.json", entry)
    return made


def _reopen(workspace: Workspace, wish: Wish, folder: Path) -> Report:
    """Return the report as its notebook left it: with the gates found on the way, and what it may claim."""
    report = Report(wish.report, wish.parameters, workspace)
    results, passport = read_json(folder / "results.json"), read_json(folder / "passport.json")
    if results and passport:
        report.gates = [
            Gate(**{**gate, "message": Text(**gate["message"]), "rows": gate["rows"] or 0}) for gate in results["gates"]
        ]
        report.may_claim = bool(passport.get("may_claim"))
    return report


def _both(text: Text) -> dict[str, str]:
    return {"id": text.id, "en": text.en}


def make_report(workspace: Workspace, wish: Wish, folder: Path) -> Made:
    """Run one notebook by Papermill and render its page; the folder takes the old one's place only when all is there.

    Raises
    ------
    StageError
        If the notebook failed or did not write its results: then there is no HTML.
    """
    with replacing(folder) as making:
        notebook = _execute(wish, making)
        _write_clean(notebook, making / "report.ipynb")
        results, passport = read_json(making / "results.json"), read_json(making / "passport.json")
        if results is None or passport is None:
            raise StageError(say("report.unfinished", report=wish.report.name))
        report = _reopen(workspace, wish, making)
        title = name_report(report).said(wish.parameters.language)
        page = render_page(
            notebook,
            language=wish.parameters.language,
            title=title,
            passport=passport,
            results=results,
            marks=report.marks,
        )
        refuse_identifiers(page)
        refuse_claims(
            page, language=wish.parameters.language, figures=results["figures"], may_claim=passport["may_claim"]
        )
        refuse_identifiers((making / "report.ipynb").read_text(encoding="utf-8"))
        write_text(making / "report.html", page)
    reason = report.why() if report.status != "done" else None
    return Made(wish=wish, status=report.status, page=folder / "report.html", reason=reason)


def refuse_identifiers(text: str) -> None:
    """Refuse a page with a run of 16 or 18 digits in it: the last net, for none should come so far (threat P01)."""
    if IDENTIFIER.search(EMBEDDED.sub("", text)):
        raise StageError(say("report.identifier"))


def _execute(wish: Wish, folder: Path) -> Any:
    """Return the executed notebook.

    The notebook runs in the folder it fills: there it finds its order (`wanted.json`), and the workspace above it.
    """
    write_json(folder / ORDER, {"report": wish.report.name})
    try:
        return papermill.execute_notebook(
            str(notebooks_folder() / wish.report.notebook),
            None,  # written once, clean, when all is done
            engine_name=ENGINE,
            parameters=wish.parameters.model_dump(mode="json"),
            resources={"metadata": {"path": str(folder)}},  # not `cwd`: Papermill would move the whole process there
            progress_bar=False,
            log_output=False,
            kernel_name="python3",
        )
    except papermill.exceptions.PapermillExecutionError as error:
        raise StageError(
            say("report.cell_failed", kind=error.ename, cell=error.cell_index, report=wish.report.name)
        ) from error
    finally:
        (folder / ORDER).unlink(missing_ok=True)
        ensure_event_loop().close()  # made for this report's context by the kernel's client, which leaves it open


def _write_clean(notebook: Any, path: Path) -> None:
    """Write an executed notebook without what Papermill notes of this machine: folders, times, and standard error."""
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["id"] = "given"  # Papermill draws one at random
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    write_text(path, nbformat.writes(notebook) + "\n")


def write_index(workspace: Workspace, edition: str) -> Path:
    """Write the edition's `index.html`, the stopped and failed reports too, from what lies in its folder."""
    folder = workspace.root / "reports" / edition
    entries = []
    for path in sorted(folder.glob("*/*.entry.json")):
        entry = read_json(path)
        words: dict[str, Text | None] = {
            "title": Text(**entry["title"]),
            "report_name": find_report(entry["report"]).title,
        }
        words["reason"] = Text(**entry["reason"]) if entry["reason"] else None
        entries.append(
            {**entry, **words, "made": datetime.fromisoformat(entry["made"]).date() if entry["made"] else None}
        )
    order = [*REPORTS]
    entries.sort(key=lambda e: (order.index(e["report"]), e["waves"], e["assessment"]))
    synthetic = workspace.declared.data_kind == "synthetic"
    page = render_index(
        entries, edition=edition, language=workspace.language, marks=[SYNTHETIC_MARK] if synthetic else []
    )
    write_text(folder / "index.html", page)
    return folder / "index.html"
