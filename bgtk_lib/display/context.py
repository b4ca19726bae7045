"""What drawing needs to know of the report it draws for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from bgtk_lib.errors import Language, Text


@dataclass(frozen=True, kw_only=True)
class Context:
    """The report's language, marks and names.

    Attributes
    ----------
    language : {"id", "en"}
        In which everything is said.
    marks : tuple of str
        What stands inside every figure: the synthetic mark, DRAF.
    confidence : float
        Of intervals, e.g. 0.95.
    min_cell : int
        Fewest persons a printed number may stand for.
    parameters : mapping
        The report's parameters.
    assessments : mapping
        Code → name.
    waves : mapping
        Code → the days that are named, the make-up days last; empty where not declared.
    table : callable
        Part → the name of that table in the edition's plan.
    """

    language: Language
    marks: tuple[str, ...]
    confidence: float
    min_cell: int
    parameters: Mapping[str, Any]
    assessments: Mapping[str, Text]
    waves: Mapping[str, list[date]]
    table: Callable[[str], str]
