"""What every command says in the same way: messages, and gates."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bgtk_lib.errors import Language, Text
from bgtk_lib.findings import Gate


def tell_user(text: Text, language: Language) -> None:
    """Say something beside the output, on standard error."""
    print(text.said(language), file=sys.stderr)


def tell_in(language: Language) -> Callable[[Text], None]:
    """Return `tell_user` for one language, as stages and batches take it."""
    return lambda text: tell_user(text, language)


def list_gates(gates: Sequence[Gate]) -> list[dict[str, Any]]:
    """Return gates as `--json` prints them."""
    return [
        {
            "code": g.code,
            "state": g.state,
            "scope": dict(g.scope),
            "message": {"id": g.message.id, "en": g.message.en},
            "lifted": g.lifted,
        }
        for g in gates
    ]


def write_gates(gates: Mapping[str, Any]) -> str:
    """Return gates in a line: code and state."""
    return ", ".join(f"{code} {state}" for code, state in sorted(gates.items())) or "–"
