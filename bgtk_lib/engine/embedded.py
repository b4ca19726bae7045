"""What a page carries of itself: its passport and its results, from which it can be made again."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bgtk_lib.errors import ParameterError
from bgtk_lib.words import say

ELEMENT = re.compile(r'<script type="application/(?:json|zlib)" id="bgtk-(passport|results)">(.*?)</script>', re.DOTALL)


def embed(value: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the element it stands in."""
    return _write(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def pack(value: Mapping[str, Any]) -> str:
    """Return JSON, packed (zlib, base64): the same number stands in it many times, and pages travel by phone.

    Packed, nothing in it can be searched: look it through before.
    """
    return base64.b64encode(zlib.compress(_write(value).encode(), 9)).decode()


def _write(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":"))


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
        passport = json.loads(found["passport"])
        results = json.loads(zlib.decompress(base64.b64decode(found["results"], validate=True)))
        figures = [*results["figures"]]
    except (KeyError, ValueError, TypeError, binascii.Error, zlib.error) as error:
        raise ParameterError(say("reproduce.no_report", path=path.name)) from error
    return passport, {**results, "figures": figures}
