"""Pages: an executed notebook, or the list of an edition's reports, becomes one HTML file that needs nothing else.

No script, no font, no picture comes from outside; a content security policy in the page itself holds the browser to it.
Code, prompts, warnings and tracebacks stay in the notebook. What belongs to the other language is left out.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from html import escape
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from nbconvert.exporters import HTMLExporter
from nbconvert.exporters.templateexporter import TemplateExporter
from nbformat import NotebookNode

from bgtk_lib.engine.embedded import embed, embed_results
from bgtk_lib.errors import Language, StageError
from bgtk_lib.words import day, join, plain, say

HIDDEN_TAGS = frozenset({"parameters", "injected-parameters", "title"})
LANGUAGE_TAGS = frozenset({"id", "en"})
CELL = "<!--cell-->"
WHOLE = "all"  # of a filter by district: reports of no single one
MOST_NAMED = 3  # districts in a title; of more their number
INDEX_WORDS = (
    *("title", "search", "filter", "district", "assessment", "report", "status", "all", "show_all", "shown", "none"),
    *("gates", "made", "footer", "withheld_heading", "withheld_why"),
)
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
        ``title``, ``report`` (name), ``report_name`` (in words), ``assessments`` and ``districts`` (code → name; no district
        is the whole province), ``waves``, ``jenjang``, ``language``, ``status`` (``done``, ``held``, ``stopped``,
        ``failed``, ``withheld``), ``gates`` (codes that are not OK), ``href`` (relative, or None where there is no page),
        ``made`` (date or text), ``reason`` (why it is held, stopped or failed, or None).
    edition : str
        Name of the edition.
    language : {"id", "en"}
        Language of the page.
    marks : sequence of str
        As on the reports.
    """
    rows = [_index_row(entry, language) for entry in entries]
    found = {status: sum(row["status"] == status for row in rows) for status in STATUSES}
    counts = join([say(f"page.index.count_{status}", n=n) for status, n in found.items() if n], " · ")
    environment = _exporter().environment
    script = environment.loader.get_source(environment, "list.js")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page: str = environment.get_template("list.html.j2").render(
        groups=_group(row for row in rows if row["status"] != "withheld"),
        withheld=_group((row for row in rows if row["status"] == "withheld"), "why"),
        n_all=len(rows),
        n_withheld=found["withheld"],
        filters=[
            ("district", _list_options(entries, "districts", language)),
            ("assessment", _list_options(entries, "assessments", language)),
            ("report", sorted({(row["report"], row["report_name"]) for row in rows}, key=itemgetter(1))),
            ("status", [(s, say(f"page.index.{s}").said(language)) for s, n in found.items() if n]),
        ],
        counts=counts.said(language),
        edition=edition,
        language=language,
        marks=list(marks),
        sheet=_print_marks(marks),
        script=script,
        digest=digest,
        words=_words(language, "skip", "banner")
        | {name: say(f"page.index.{name}").said(language) for name in INDEX_WORDS},
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


def _group(rows: Iterable[dict[str, Any]], *more: str) -> list[dict[str, Any]]:
    """Return neighbours that differ only in whom they are about together: what they share, and the rows."""
    key = itemgetter("title", "waves", *more)
    return [{**(several := [*group])[0], "rows": several} for _, group in groupby(rows, key=key)]


def _list_options(
    entries: Sequence[Mapping[str, Any]], name: Literal["districts", "assessments"], language: Language
) -> list[tuple[str, str]]:
    """Return what a list can be filtered by, in the order of the codes; for districts the whole province first."""
    named = {code: text.said(language) for entry in entries for code, text in entry[name].items()}
    whole = [(WHOLE, say("page.index.province").said(language))] if name == "districts" else []
    return [*whole, *sorted(named.items())]


def _index_row(entry: Mapping[str, Any], language: Language) -> dict[str, Any]:
    """Return one report of the list with every value in words."""
    made = entry["made"]
    reason = entry["reason"].said(language) if entry["reason"] else ""
    districts = [*entry["districts"].values()]
    several = say("page.index.districts", n=len(districts)) if len(districts) > MOST_NAMED else join(districts)
    where = several if districts else say("page.index.province")
    apart = [plain(entry["jenjang"])] if entry["jenjang"] else []
    apart += [say(f"page.index.in_{entry['language']}")] if entry["language"] != language else []
    return {
        "title": entry["title"].said(language),
        "alone": join([entry["title"], *([where] if districts else []), *apart], " · ").said(language),
        "whom": join([where, *apart], " · ").said(language),
        "waves": entry["waves"],
        "report": entry["report"],
        "report_name": entry["report_name"].said(language),
        "districts": " ".join(entry["districts"]) or WHOLE,
        "assessments": " ".join(entry["assessments"]),
        "status": entry["status"],
        "status_words": say(f"page.index.{entry['status']}").said(language),
        "gates": ", ".join(entry["gates"]),
        "href": entry["href"],
        "made": day(made, language) if isinstance(made, date) else made,
        "reason": reason,
        "why": reason.rpartition(": ")[2],  # of what is withheld: without whom it is about, who stand in a list
    }
