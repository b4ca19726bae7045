"""One report made: its notebook run by Papermill, its page rendered and looked through, its files put in place."""

from __future__ import annotations

import base64
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# A grammar that jsonschema compiles at import and nobody here uses: 1.5 s of every start.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

import nbformat  # noqa: E402
import papermill  # noqa: E402
from jupyter_core.utils import ensure_event_loop  # noqa: E402
from nbclient.exceptions import CellTimeoutError, DeadKernelError  # noqa: E402

from bgtk_lib.engine.cover import name_report  # noqa: E402
from bgtk_lib.engine.html import render_page  # noqa: E402
from bgtk_lib.engine.lint import refuse_claims  # noqa: E402
from bgtk_lib.engine.notebooks import notebooks_folder  # noqa: E402
from bgtk_lib.engine.report import ORDER, Report  # noqa: E402
from bgtk_lib.engine.visible import PICTURE  # noqa: E402
from bgtk_lib.engine.warm.kernels import ENGINE  # noqa: E402
from bgtk_lib.engine.wishes import Wish  # noqa: E402
from bgtk_lib.errors import FULL, StageError, Text  # noqa: E402
from bgtk_lib.findings import Gate  # noqa: E402
from bgtk_lib.words import say  # noqa: E402
from bgtk_lib.workspace import Workspace  # noqa: E402
from bgtk_lib.workspace.store import read_json, replacing, write_json, write_text  # noqa: E402

IDENTIFIER = re.compile(
    r"(?<![\w.])\d{16}(?:\d{2})?(?!\w|\.\d)"  # NUPTK, NIK, NIP
    r"|(?<![\w.])\d{8} \d{6} \d \d{3}(?!\w)"  # a NIP as it is written by hand
    r"|(?<![\w.])(?:\+62|0)8\d{2}[ -]?\d{3,4}[ -]?\d{3,5}(?!\w)"  # a mobile number
    r"|[\w.+-]+@[\w-]+\.[\w.]+"  # an e-mail address
)
NO_SPACE = re.compile(rf"\[Errno ({'|'.join(str(code) for code in FULL)})\]")
PACKED = re.compile(r'(?<=id="bgtk-results">)[A-Za-z0-9+/=]+')  # `results.json`, looked through by itself
WRITTEN = re.compile(r"<text[^>]*>(.*?)</text>", re.DOTALL)  # in a figure


def reopen(workspace: Workspace, wish: Wish, folder: Path | None = None) -> Report:
    """Return the report as its notebook left it in a folder: with the gates found on the way, and what it may claim."""
    report = Report(wish.report, wish.parameters, workspace)
    results, passport = (read_json(folder / name) if folder else None for name in ("results.json", "passport.json"))
    if results and passport:
        report.gates = [
            Gate(**{**gate, "message": Text(**gate["message"]), "rows": gate["rows"] or 0}) for gate in results["gates"]
        ]
        report.may_claim = bool(passport.get("may_claim"))
    return report


def make_report(
    workspace: Workspace, wish: Wish, folder: Path, *, depends: Mapping[str, str], limit: float | None = None
) -> Report:
    """Run one notebook by Papermill and render its page; the folder takes the old one's place only when all is there.

    Parameters
    ----------
    workspace : Workspace
        After its stages ran.
    wish : Wish
        Which report.
    folder : Path
        Where its files go.
    depends : mapping
        What it depends on (`Ground.find_dependencies`); its passport carries it.
    limit : float, optional
        Seconds it may take.

    Returns
    -------
    Report
        As its notebook left it.

    Raises
    ------
    StageError
        If the notebook failed, took too long or did not write its results: then there is no HTML.
    """
    with replacing(folder) as making:
        notebook = _execute(wish, making, depends=depends, limit=limit)
        _write_clean(notebook, making / "report.ipynb")
        results, passport = read_json(making / "results.json"), read_json(making / "passport.json")
        if results is None or passport is None:
            raise StageError(say("report.unfinished", report=wish.report.name))
        report = reopen(workspace, wish, making)
        title = name_report(report).said(wish.parameters.language)
        page = render_page(
            notebook,
            language=wish.parameters.language,
            title=title,
            passport=passport,
            results=results,
            marks=report.marks,
        )
        for text in (page, *((making / name).read_text(encoding="utf-8") for name in ("results.json", "report.ipynb"))):
            refuse_identifiers(text)
        refuse_claims(
            page,
            language=wish.parameters.language,
            figures=results["figures"],
            may_claim=passport["may_claim"],
            refused=("stop", "warn") if wish.official else ("stop",),
        )
        write_text(making / "report.html", page)
    return report


def refuse_identifiers(text: str) -> None:
    """Refuse a text with an identifier in it or in its figures: the last net, for none should come so far (threat P01)."""
    figures = (base64.b64decode(picture).decode() for picture in PICTURE.findall(text))
    written = (words for figure in figures for words in WRITTEN.findall(figure))
    if IDENTIFIER.search("\n".join([PACKED.sub("", PICTURE.sub("", text)), *written])):
        raise StageError(say("report.identifier"))


def _execute(wish: Wish, folder: Path, *, depends: Mapping[str, str], limit: float | None) -> Any:
    """Return the executed notebook.

    The notebook runs in the folder it fills: there it finds its order (`wanted.json`), and the workspace above it.
    """
    write_json(folder / ORDER, {"report": wish.report.name, "depends": dict(depends)})
    end = time.monotonic() + limit if limit else None
    left = (
        {"timeout_func": lambda _: max(end - time.monotonic(), 0.001)} if end else {}
    )  # of a cell: what is left of all
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
            **left,
        )
    except papermill.exceptions.PapermillExecutionError as error:
        if NO_SPACE.match(error.evalue or ""):
            raise StageError(say("report.no_space")) from error
        raise StageError(
            say("report.cell_failed", kind=error.ename, cell=error.cell_index, report=wish.report.name)
        ) from error
    except CellTimeoutError as error:
        raise StageError(say("report.too_long", report=wish.report.name, seconds=limit or 0)) from error
    except DeadKernelError as error:
        raise StageError(say("report.kernel_died", report=wish.report.name)) from error
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
