"""The rules of every canonical table, built from the codebook: what each demands, and what a failing row means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bgtk_lib.schema import tables

Check = Literal["rows", "required", "key", "allowed", "pattern", "range", "order"]
# A row that fails one of these cannot be used; a row that fails another is counted and kept.
SETS_ASIDE: tuple[Check, ...] = ("required", "key", "order")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One demand on one table.

    Attributes
    ----------
    name : str
        ``<table>.<column>.<check>``, stable.
    table : str
        The canonical table.
    columns : tuple of str
        What it looks at.
    check : str
        Which kind of demand.
    arguments : mapping
        Its allowed values, pattern or bounds.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    check: Check
    arguments: Mapping[str, Any]

    @property
    def severity(self) -> Literal["critical", "warning"]:
        """Whether a failing row is set aside (critical) or counted and kept."""
        return "critical" if self.check in SETS_ASIDE or self.check == "rows" else "warning"


def build_rules(table: str, known: Mapping[str, list[str]] | None = None) -> list[Rule]:
    """Return the rules of a table, in the order of its columns.

    Parameters
    ----------
    table : str
        A canonical table.
    known : mapping, optional
        Column → values that the workspace declares (waves, forms, assessments); they are demanded of every row.
    """
    spec = tables()[table]
    rules = [_rule(table, (), "rows")]
    for name, column in spec.columns.items():
        if column.required:
            rules.append(_rule(table, (name,), "required"))
        if column.values:
            rules.append(_rule(table, (name,), "allowed", values=list(column.values)))
        if column.pattern:
            rules.append(_rule(table, (name,), "pattern", pattern=rf"^(?:{column.pattern})\Z"))
        if column.low is not None or column.high is not None:
            rules.append(_rule(table, (name,), "range", low=column.low, high=column.high))
        if known and name in known:
            rules.append(_rule(table, (name,), "allowed", values=known[name]))
    rules.append(_rule(table, spec.key, "key"))
    if {"start", "end"} <= set(spec.columns):
        rules.append(_rule(table, ("start", "end"), "order"))
    return rules


def _rule(table: str, columns: tuple[str, ...], check: Check, **arguments: Any) -> Rule:
    name = ".".join([table, "+".join(columns), check]) if columns else f"{table}.{check}"
    return Rule(name=name, table=table, columns=columns, check=check, arguments=arguments)
