"""Pages: an executed notebook, or the list of an edition's reports, becomes one HTML file that needs nothing else.

No script, no font, no picture comes from outside; a content security policy in the page itself holds the browser to it.
Code, prompts, warnings and tracebacks stay in the notebook. What belongs to the other language is left out.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbconvert.exporters.templateexporter import TemplateExporter
from nbformat import NotebookNode

from bgtk_lib.engine.embedded import embed, embed_results
from bgtk_lib.errors import Language, StageError, Text
from bgtk_lib.words import day, join, plain, say

HIDDEN_TAGS = frozenset({"parameters", "injected-parameters", "title"})
LANGUAGE_TAGS = frozenset({"id", "en"})
CELL = "<!--cell-->"
STATUSES = ("done", "held", "stopped", "failed", "withheld")


class PageExporter(HTMLExporter):  # type: ignore[misc]  # nbconvert has no types
    """nbconvert with the template beside this file.

    `HTMLExporter.from_notebook_node` parses each finished page again, to write "No description has been provided" into
    images without alt text; it takes most of the time, and such an image must not pass here (`check_outputs`).
    """

    def __init__(self) -> None:
        super().__init__(
            extra_template_basedirs=[str(Path(__file__).parent)], template_name="template", exclude_anchor_links=True
        )

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        """Return the page and nbconvert's resources."""
        page: tuple[str, dict[str, Any]] = TemplateExporter.from_notebook_node(
            self, nb, self._init_resources(resources), **kw
        )
        return page


def render_page(
    notebook: NotebookNode,
    *,
    language: Language,
    title: str,
    passport: Mapping[str, Any],
    results: Mapping[str, Any],
    marks: Sequence[str],
) -> str:
    """Return an executed notebook as one self-contained HTML file.

    Parameters
    ----------
    notebook : NotebookNode
        Executed. Markdown cells tagged ``id`` or ``en`` appear in that language only; cells tagged ``parameters`` or
        ``injected-parameters`` do not appear.
    language : {"id", "en"}
        Language of the page.
    title : str
        What the browser's tab shows.
    passport, results : mapping
        Embedded as JSON, ids ``bgtk-passport`` and ``bgtk-results``; `bgtk reproduce` reads them.
    marks : sequence of str
        Stand above the page while it is scrolled, and on every printed sheet.

    Raises
    ------
    StageError
        If a cell shows a bare table of pandas or an image without words.
    """
    cells = [clean for cell in notebook.cells if (clean := _clean_cell(cell, language)) is not None]
    for place, cell in enumerate(cells):
        cell["id"] = f"c{place}"
    node = NotebookNode(nbformat=4, nbformat_minor=5, metadata=NotebookNode(), cells=cells)
    page, _ = _exporter().from_notebook_node(
        node,
        resources={
            "page": {
                "language": language,
                "title": title,
                "marks": list(marks),
                "sheet": _print_marks(marks),
                "passport": embed(passport),
                "results": embed_results(results),
                **_words(language, "skip", "banner", "unfinished", "footer"),
            }
        },
    )
    return _add_contents(page, language)


def render_index(
    entries: Sequence[Mapping[str, Any]], *, edition: str, language: Language, marks: Sequence[str]
) -> str:
    """Return the list of an edition's reports, the stopped and failed ones too; it can be filtered without a network.

    Parameters
    ----------
    entries : sequence of mapping
        ``title``, ``report`` (name), ``report_name`` (in words), ``assessment``, ``waves``, ``districts`` (Text or str),
        ``status`` (``done``, ``held``, ``stopped``, ``failed``, ``withheld``), ``gates`` (codes that are not OK), ``href`` (relative,
        or None where there is no page), ``made`` (date or text), ``reason`` (why it is held, stopped or failed, or None).
    edition : str
        Name of the edition.
    language : {"id", "en"}
        Language of the page.
    marks : sequence of str
        As on the reports.
    """
    rows = [_index_row(entry, language) for entry in entries]
    counts = join(
        [say(f"page.index.count_{s}", n=n) for s in STATUSES if (n := sum(row["status"] == s for row in rows))], " · "
    )
    environment = _exporter().environment
    script = environment.loader.get_source(environment, "list.js")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page: str = environment.get_template("list.html.j2").render(
        rows=rows,
        reports=sorted({(row["report"], row["report_name"]) for row in rows}),
        statuses=[(s, say(f"page.index.{s}").said(language)) for s in STATUSES],
        counts=counts.said(language),
        edition=edition,
        language=language,
        marks=list(marks),
        sheet=_print_marks(marks),
        script=script,
        digest=digest,
        words=_words(language, "skip", "banner", "footer")
        | {
            name: say(f"page.index.{name}").said(language)
            for name in ("title", "search", "report", "status", "all", "shown", "gates", "made", "reason", "list")
        },
    )
    return page


@cache
def _exporter() -> PageExporter:
    return PageExporter()


def _clean_cell(cell: NotebookNode, language: Language) -> NotebookNode | None:
    """Return what of a cell a reader sees, None where that is nothing."""
    tags = set(cell.metadata.get("tags", []))
    if tags & HIDDEN_TAGS or (tags & LANGUAGE_TAGS and language not in tags):
        return None
    if cell.cell_type == "markdown":
        return NotebookNode(cell_type="markdown", metadata=NotebookNode(), source=cell.source)
    outputs = [_check_output(output) for output in cell.get("outputs", []) if output.get("name") != "stderr"]
    if cell.cell_type != "code" or not outputs:
        return None
    return NotebookNode(cell_type="code", metadata=NotebookNode(), source="", outputs=outputs, execution_count=None)


def _check_output(output: NotebookNode) -> NotebookNode:
    """Return an output, or refuse it: a bare table may hold rows of persons, a bare image says nothing to the blind."""
    data = output.get("data", {})
    html = "".join(data.get("text/html", ""))
    image = any(kind.startswith("image/") for kind in data) and not html
    if image or 'class="dataframe"' in html or re.search(r"<img(?![^>]*\salt=)", html):
        raise StageError(say("page.raw_output"))
    return output


def _add_contents(page: str, language: Language) -> str:
    """Return the page with its second-level headings numbered for links, and their list after the answer."""
    found: list[str] = []

    def mark(heading: re.Match[str]) -> str:
        found.append(heading.group(1))
        return f'<h2 id="s{len(found)}">{heading.group(1)}</h2>'

    page = re.sub(r"<h2[^>]*>(.*?)</h2>", mark, page, flags=re.DOTALL)
    if not found:
        return page.replace(CELL, "")
    label = escape(say("page.contents").said(language))
    items = "".join(f'<li><a href="#s{n}">{re.sub("<[^>]+>", "", name)}</a></li>' for n, name in enumerate(found, 1))
    contents = f'<nav class="contents" aria-label="{label}"><p>{label}</p><ol>{items}</ol></nav>'
    cells = page.split(CELL)
    answers = [place + 1 for place, cell in enumerate(cells) if 'class="answer"' in cell]
    first = next(place for place, cell in enumerate(cells) if "<h2 id=" in cell)
    cells.insert(min(answers[0] if answers else first, len(cells) - 1), contents)
    return "".join(cells)


def _print_marks(marks: Sequence[str]) -> str:
    """Return the marks as a CSS string for the margin of every printed sheet."""
    line = " · ".join(marks)
    return '"' + re.sub(r'["\\<>&\n]', lambda sign: f"\\{ord(sign.group()):x} ", line) + '"'


def _words(language: Language, *names: str) -> dict[str, str]:
    return {name: say(f"page.{name}").said(language) for name in names}


def _index_row(entry: Mapping[str, Any], language: Language) -> dict[str, Any]:
    """Return one report of the list with every value in words."""

    def said(name: str) -> str:
        value = entry.get(name) or ""
        if isinstance(value, Text):
            return value.said(language)
        return day(value, language) if isinstance(value, date) else str(value)

    parts = [plain(part) for name in ("assessment", "waves", "districts") if (part := said(name))]
    row: dict[str, Any] = {name: said(name) for name in ("title", "report", "made", "reason", "href")}
    row["report_name"] = said("report_name") or row["report"]
    row["scope"] = join(parts, " · ").said(language)
    row["status"] = entry["status"]
    row["status_words"] = say(f"page.index.{entry['status']}").said(language)
    row["gates"] = ", ".join(entry.get("gates") or ())
    return row
