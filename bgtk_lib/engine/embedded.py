"""What a page carries of itself: its passport and its results as JSON, from which it can be made again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bgtk_lib.errors import ParameterError
from bgtk_lib.words import say

ELEMENT = re.compile(r'<script type="application/json" id="bgtk-(passport|results)">(.*?)</script>', re.DOTALL)
ABSENT = {"low", "high", "se", "value", "n", "withheld"}  # of a figure: left out where it is null
EMPTY: dict[str, Any] = {"where": {}}


def embed(value: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the element it stands in."""
    written = json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def embed_results(results: Mapping[str, Any]) -> str:
    """Return `results.json` for a page: each population once, nulls left out; a third of a large page's results."""
    populations: list[Any] = []
    figures = []
    for figure in results.get("figures", []):
        if figure["population"] not in populations:
            populations.append(figure["population"])
        kept = {k: v for k, v in figure.items() if not (v is None and k in ABSENT) and EMPTY.get(k, ()) != v}
        figures.append({**kept, "population": populations.index(figure["population"])})
    return embed({**results, "figures": figures, "populations": populations})


def read_page(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the passport and the results that a report's file carries, as `passport.json` and `results.json` hold them.

    Raises
    ------
    ParameterError
        If it is absent or is no report of this workbench.
    """
    if not path.is_file():
        raise ParameterError(say("file.absent", path=path.name))
    found = dict(ELEMENT.findall(path.read_text(encoding="utf-8", errors="replace")))
    try:
        passport, results = (json.loads(found[name]) for name in ("passport", "results"))
        populations = results.pop("populations")
        empty = {**dict.fromkeys(ABSENT), **EMPTY}
        figures = [{**empty, **one, "population": populations[one["population"]]} for one in results["figures"]]
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ParameterError(say("reproduce.no_report", path=path.name)) from error
    return passport, {**results, "figures": figures}
