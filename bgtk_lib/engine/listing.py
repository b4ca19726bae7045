"""The list of an edition's reports as one HTML file that needs nothing else, and what it shares with their pages."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader

from bgtk_lib.errors import Language
from bgtk_lib.words import day, join, plain, say

TEMPLATE = Path(__file__).parent / "template"
WHOLE = "all"  # of a filter by district: reports of no single one
MOST_NAMED = 3  # districts in a title; of more their number
INDEX_WORDS = (
    *("title", "search", "filter", "district", "assessment", "report", "status", "all", "show_all", "shown", "none"),
    *("gates", "made", "footer", "withheld_heading", "withheld_why"),
)
STATUSES = ("done", "held", "stopped", "failed", "withheld")


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
    environment = _open_templates()
    script = (TEMPLATE / "list.js").read_text(encoding="utf-8")
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
        sheet=print_marks(marks),
        script=script,
        digest=digest,
        words=take_words(language, "skip", "banner")
        | {name: say(f"page.index.{name}").said(language) for name in INDEX_WORDS},
    )
    return page


@cache
def _open_templates() -> Environment:
    return Environment(loader=FileSystemLoader(TEMPLATE), trim_blocks=True)  # noqa: S701 - the template escapes by itself


def print_marks(marks: Sequence[str]) -> str:
    """Return the marks as a CSS string for the margin of every printed sheet."""
    line = " · ".join(marks)
    return '"' + re.sub(r'["\\<>&\n]', lambda sign: f"\\{ord(sign.group()):x} ", line) + '"'


def take_words(language: Language, *names: str) -> dict[str, str]:
    """Return the page's own words by name."""
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
