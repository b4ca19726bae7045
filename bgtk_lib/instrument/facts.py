"""Numbers about a whole test, each with what it is worth or why it cannot be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from bgtk_lib.findings import Withheld


@dataclass(frozen=True)
class Fact:
    """One number about a whole test: its value or why there is none, and where it has them an interval and an error."""

    value: float | Withheld
    low: float | None = None
    high: float | None = None
    se: float | None = None


Facts: TypeAlias = dict[str, Fact]


def stack_facts(facts: Mapping[str, Fact]) -> pd.DataFrame:
    """Return facts as rows: name, value, low, high, se, and in both languages why there is no value."""
    rows = []
    for name, fact in facts.items():
        gone = isinstance(fact.value, Withheld)
        row: dict[str, Any] = {"name": name, "value": None if gone else fact.value}
        row |= {"low": fact.low, "high": fact.high, "se": fact.se, "reason_id": None, "reason_en": None}
        rows.append(row | ({"reason_id": fact.value.reason.id, "reason_en": fact.value.reason.en} if gone else {}))  # type: ignore[union-attr]
    numbers = dict.fromkeys(("value", "low", "high", "se"), "float64")
    return pd.DataFrame(rows).astype(numbers | {"reason_id": "str", "reason_en": "str"})
