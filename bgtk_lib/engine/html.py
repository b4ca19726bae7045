"""Pages: an executed notebook becomes one HTML file that needs nothing else.

No script, no font, no picture comes from outside; a content security policy in the page itself holds the browser to it.
Code, prompts, warnings and tracebacks stay in the notebook. What belongs to the other language is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbconvert.exporters.templateexporter import TemplateExporter
from nbformat import NotebookNode

from bgtk_lib.engine.embedded import embed, pack
from bgtk_lib.engine.listing import TEMPLATE, print_marks, take_words
from bgtk_lib.errors import Language, StageError
from bgtk_lib.words import say

HIDDEN_TAGS = frozenset({"parameters", "injected-parameters", "title"})
LANGUAGE_TAGS = frozenset({"id", "en"})
CELL = "<!--cell-->"
NOTE = re.compile(r"\[\^([a-z0-9_]+)\]")  # of a note on method


class PageExporter(HTMLExporter):  # type: ignore[misc]  # nbconvert has no types
    """nbconvert with the template beside this file.

    `HTMLExporter.from_notebook_node` parses each finished page again, to write "No description has been provided" into
    images without alt text; it takes most of the time, and such an image must not pass here (`check_outputs`).
    """

    def __init__(self) -> None:
        super().__init__(
            extra_template_basedirs=[str(TEMPLATE.parent)], template_name=TEMPLATE.name, exclude_anchor_links=True
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
        Embedded, ids ``bgtk-passport`` and ``bgtk-results`` (packed); `bgtk reproduce` reads them.
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
                "sheet": print_marks(marks),
                "passport": embed(passport),
                "results": pack(results),
                **take_words(language, "skip", "banner", "unfinished", "footer"),
            }
        },
    )
    return _add_contents(_add_notes(page, language), language)


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


def _add_notes(page: str, language: Language) -> str:
    """Return the page with its marks `[^name]` numbered and linked to notes on method, which stand at its end."""
    text, script, data = page.partition('<script type="application/json"')
    names: list[str] = []

    def mark(found: re.Match[str]) -> str:
        name = found.group(1)
        anchor = "" if name in names else f' id="r{len(names) + 1}"'
        names.extend([] if name in names else [name])
        n = names.index(name) + 1
        label = escape(say("method.mark", n=n).said(language))
        return f'<sup class="ref"><a{anchor} href="#n{n}" aria-label="{label}">[{n}]</a></sup>'

    text = NOTE.sub(mark, text)
    if not names:
        return page
    back = escape(say("method.back").said(language))
    notes = "".join(
        f'<li id="n{n}">{escape(say(f"method.{name}").said(language))} <a href="#r{n}" aria-label="{back}">↩</a></li>'
        for n, name in enumerate(names, start=1)
    )
    heading = escape(say("method.heading").said(language))
    body, cell, foot = text.rpartition(CELL)
    return f'{body}{cell}<section class="notes"><h2>{heading}</h2><ol>{notes}</ol></section>{cell}{foot}{script}{data}'


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
