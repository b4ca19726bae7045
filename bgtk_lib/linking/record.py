"""`link.json`: a link written down so that a recorded decision can name it, and read back unaltered or not at all."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from bgtk_lib.errors import Text
from bgtk_lib.findings import Withheld
from bgtk_lib.linking.constants import Line
from bgtk_lib.linking.link import ANCHOR_COLUMNS, Link
from bgtk_lib.linking.quality import AnchorQuality
from bgtk_lib.workspace.store import hash_content, read_sealed, write_sealed

FORMAT = 1
WHOLE = ("step", "position_pre", "position_post")
WORDS = ("item_id", "state", "framework", "note")


def fingerprint_link(link: Link) -> str:
    """Return the SHA-256 of all that a link holds: what a recorded decision names."""
    return hash_content(_encode(link))


def write_link(path: Path, link: Link) -> str:
    """Write a link as JSON, whole or not at all, and return its fingerprint, which stands in the file too."""
    return write_sealed(path, _encode(link))


def read_link(path: Path) -> Link:
    """Return a link as it was written.

    Raises
    ------
    ParameterError
        If there is no such file.
    LinkageError
        If it does not match its fingerprint.
    """
    return _decode(read_sealed(path, kind=FORMAT, altered="linking.altered"))


def _encode(link: Link) -> dict[str, Any]:
    content = {one.name: getattr(link, one.name) for one in fields(link)}
    records = link.anchors.astype(object).where(link.anchors.notna(), None).to_dict("records")
    quality = link.quality and {one.name: _encode_fact(getattr(link.quality, one.name)) for one in fields(link.quality)}
    return content | {
        "format": FORMAT,
        "anchors": records,
        "with_all": link.with_all and asdict(link.with_all),
        "quality": quality,
        "reasons": [asdict(reason) for reason in link.reasons],
        "made_for": list(link.made_for),
    }


def _encode_fact(fact: Any) -> Any:
    if isinstance(fact, Withheld):
        return {"withheld": fact.kind, "reason": asdict(fact.reason)}
    return list(fact) if isinstance(fact, tuple) else fact


def _decode(content: dict[str, Any]) -> Link:
    kinds = dict.fromkeys(ANCHOR_COLUMNS, "float64") | dict.fromkeys(WHOLE, "Int64") | dict.fromkeys(WORDS, "str")
    quality = content["quality"] and {name: _decode_fact(fact) for name, fact in content["quality"].items()}
    known = {one.name: content[one.name] for one in fields(Link)}
    return Link(
        **known
        | {
            "anchors": pd.DataFrame(content["anchors"], columns=ANCHOR_COLUMNS).astype(kinds),
            "with_all": content["with_all"] and Line(**content["with_all"]),
            "quality": quality and AnchorQuality(**quality),
            "reasons": tuple(Text(**reason) for reason in content["reasons"]),
            "made_for": tuple(content["made_for"]),
        }
    )


def _decode_fact(fact: Any) -> Any:
    if isinstance(fact, dict):
        return Withheld(Text(**fact["reason"]), kind=fact["withheld"])
    return tuple(fact) if isinstance(fact, list) else fact
