"""Great Expectations behind one function: rules and a table in, one verdict a rule and the failing positions out.

Imported only when a check runs: the library takes seconds to load. Its own pages are not used: they fetch from the
network and print the values that failed.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bgtk_lib.quality.rules import Rule

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

RESULT_COLUMNS = ["rule", "severity", "items", "passes", "fails", "missing", "error"]
# Positions, not key columns: naming them makes the library build a dictionary a row, eighty times slower.
RESULT_FORMAT = {"result_format": "COMPLETE", "exclude_unexpected_values": True, "return_unexpected_index_query": False}


@cache
def _library() -> Any:
    """Return Great Expectations, quiet and offline."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations, at import
        import great_expectations as gx
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    return gx


@cache
def _context() -> Any:
    context = _library().get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}
    return context


def check_rows(frame: pd.DataFrame, rules: Sequence[Rule]) -> tuple[pd.DataFrame, dict[str, np.ndarray[Any, Any]]]:
    """Return what each rule says of a table.

    Parameters
    ----------
    frame : DataFrame
        A canonical table; its index is ignored.
    rules : sequence of Rule
        The demands on it.

    Returns
    -------
    verdicts : DataFrame
        rule, severity, items (rows looked at), passes, fails, missing (null where a value was looked for), error.
        A rule that could not run has an error and neither passes nor fails.
    failing : dict
        Rule name → positions of the rows that fail it.

    Notes
    -----
    Great Expectations ignores nulls in all but completeness and passes on empty tables: so `missing` stands beside
    `fails`, and every suite opens with a row count.
    """
    gx = _library()
    frame = frame.reset_index(drop=True)
    batch = _batch(frame)
    suite = gx.ExpectationSuite(name="rules", expectations=[_expect(rule) for rule in rules])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas deprecations inside the library, not ours to mend
        result = batch.validate(suite, result_format=RESULT_FORMAT)
    by_name = {rule.name: rule for rule in rules}
    verdicts, failing = [], {}
    for entry in result.results:
        rule = by_name[entry.expectation_config.meta["rule"]]
        verdict, positions = _read_verdict(entry, rule, frame)
        verdicts.append(verdict)
        if len(positions):
            failing[rule.name] = positions
    order = {rule.name: place for place, rule in enumerate(rules)}
    table = pd.DataFrame(verdicts, columns=RESULT_COLUMNS).sort_values(
        "rule", key=lambda s: s.map(order), ignore_index=True
    )
    return table, failing


def _batch(frame: pd.DataFrame) -> Any:
    context = _context()
    source = context.data_sources.add_or_update_pandas("tables")
    return (
        source.add_dataframe_asset("table").add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    )


def _expect(rule: Rule) -> Expectation:  # noqa: PLR0911 - one return a kind of rule
    """Return the expectation that demands what a rule says."""
    expectations = _library().expectations
    shared: dict[str, Any] = {"meta": {"rule": rule.name}, "severity": rule.severity}
    say = rule.arguments
    match rule.check:
        case "rows":
            return expectations.ExpectTableRowCountToBeBetween(min_value=1, **shared)
        case "required":
            return expectations.ExpectColumnValuesToNotBeNull(column=rule.columns[0], **shared)
        case "allowed":
            return expectations.ExpectColumnValuesToBeInSet(column=rule.columns[0], value_set=say["values"], **shared)
        case "pattern":
            return expectations.ExpectColumnValuesToMatchRegex(column=rule.columns[0], regex=say["pattern"], **shared)
        case "range":
            bounds = {"min_value": say["low"], "max_value": say["high"]}
            return expectations.ExpectColumnValuesToBeBetween(column=rule.columns[0], **bounds, **shared)
        case "key" if len(rule.columns) == 1:
            return expectations.ExpectColumnValuesToBeUnique(column=rule.columns[0], **shared)
        case "key":
            return expectations.ExpectCompoundColumnsToBeUnique(
                column_list=list(rule.columns), ignore_row_if="never", **shared
            )
        case "order":
            start, end = rule.columns
            pair = {"column_A": end, "column_B": start, "or_equal": True, "ignore_row_if": "either_value_is_missing"}
            return expectations.ExpectColumnPairValuesAToBeGreaterThanB(**pair, **shared)


def _read_verdict(entry: Any, rule: Rule, frame: pd.DataFrame) -> tuple[list[Any], np.ndarray[Any, Any]]:
    error = _find_error(entry)
    if error:
        return [rule.name, rule.severity, len(frame), 0, 0, 0, error], np.array([], dtype=int)
    if rule.check == "rows":
        fails = 0 if entry.success else 1
        return [rule.name, rule.severity, 1, 1 - fails, fails, 0, ""], np.array([], dtype=int)
    positions = np.array(sorted(set(entry.result.get("unexpected_index_list") or [])), dtype=int)
    nulls = frame[list(rule.columns)].isna()
    missing = 0 if rule.check in ("required", "key") else int(nulls.any(axis=1).sum())
    passes = len(frame) - len(positions) - missing
    return [rule.name, rule.severity, len(frame), passes, len(positions), missing, ""], positions


def _find_error(entry: Any) -> str:
    """Return why a rule could not run (a missing column, an exception), or nothing: a broken rule is no bad data."""
    info = entry.exception_info or {}
    nested = info.values() if info and "raised_exception" not in info else [info]
    raised = [one for one in nested if isinstance(one, dict) and one.get("raised_exception")]
    return str(raised[0].get("exception_message") or "error").splitlines()[0][:200] if raised else ""
