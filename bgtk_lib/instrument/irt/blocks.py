"""Answers of many persons in one byte each, sorted by what was presented: planned gaps then cost nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bgtk_lib.errors import SchemaError
from bgtk_lib.words import plain, say

Bytes: TypeAlias = NDArray[np.int8]
Places: TypeAlias = NDArray[np.intp]
Part: TypeAlias = tuple[pd.DataFrame, "pd.Series[Any] | None"]

NOT_PRESENTED = -1
HIGHEST = 100  # of a category; one byte holds 127
MIN_FORM = 128  # persons from which a pattern of presented items is a form of its own; below, its rows go together
ROWS = 1024  # turned into bytes at a time, in the processor's cache
ONE_GROUP = "all"


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """Persons of one group who were presented the same items, or (a rest) any.

    Attributes
    ----------
    columns : array of int (C,)
        Which items, by position in `Blocks.item_ids`.
    group : int
        Position in `Blocks.group_names`.
    answers : array of int8 (n, ≥ C)
        Categories, −1 where not presented; may be a file mapped into memory.
    complete : bool
        Whether everyone was presented all of `columns`.
    positions : array of int (C,), optional
        Where the columns stand in `answers`; none: they are its columns.
    """

    columns: Places
    group: int
    answers: Bytes
    complete: bool
    positions: Places | None = None

    def __len__(self) -> int:
        return len(self.answers)

    def read(self, start: int, stop: int) -> Bytes:
        """Return the categories of some persons: n × C."""
        rows = self.answers[start:stop]
        return rows if self.positions is None else rows[:, self.positions]

    def take(self, place: Places) -> Cell:
        """Return the cell with fewer items: `place` is each item's new position, −1 for those left out."""
        keep = np.flatnonzero(place[self.columns] >= 0)
        positions = keep if self.positions is None else self.positions[keep]
        kept = replace(self, columns=place[self.columns[keep]], positions=positions)
        if self.complete:
            return kept
        answers = kept.read(0, len(self))
        return replace(kept, answers=answers[(answers != NOT_PRESENTED).any(axis=1)], positions=None)


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """All answers to be calibrated.

    Attributes
    ----------
    item_ids, group_names : tuple of str
        J items; G groups, in the order of their categories if these were declared, else sorted.
    cells : tuple of Cell
        Persons with at least one answer.
    counts : array of int (J, K)
        Persons in each category of each item.
    """

    item_ids: tuple[str, ...]
    group_names: tuple[str, ...]
    cells: tuple[Cell, ...]
    counts: NDArray[np.int64]

    @property
    def group_sizes(self) -> NDArray[np.int64]:
        """Persons in each group (G,)."""
        sizes = np.zeros(len(self.group_names), dtype=np.int64)
        for cell in self.cells:
            sizes[cell.group] += len(cell)
        return sizes

    def take(self, items: Places) -> Blocks:
        """Return the blocks with fewer items, by position; persons without an answer to these are left out."""
        place = np.full(len(self.item_ids), -1)
        place[items] = np.arange(len(items))
        cells = (cell.take(place) for cell in self.cells)
        return replace(
            self,
            item_ids=tuple(self.item_ids[item] for item in items),
            cells=tuple(cell for cell in cells if len(cell.columns) and len(cell)),
            counts=self.counts[items],
        )

    @classmethod
    def from_frame(cls, credit: pd.DataFrame, *, groups: pd.Series[Any] | None = None) -> Blocks:
        """Return the answers of a table.

        Parameters
        ----------
        credit : DataFrame
            Persons × items: categories 0, 1, … m; null where not presented.
        groups : Series, optional
            The group of each person, on the same index.

        Raises
        ------
        SchemaError
            If a value is not a whole number from 0 to 100, or a person has no group.
        """
        return _gather([(credit, groups)], spool=False)

    @classmethod
    def from_parts(
        cls, parts: Iterable[pd.DataFrame], *, group_column: str | None = None, spool: bool = False
    ) -> Blocks:
        """Return the answers of a table that comes in parts, each read once.

        Parameters
        ----------
        parts : iterable of DataFrame
            As for `from_frame`, with the same columns; for instance ``(pd.read_parquet(path) for path in paths)``.
        group_column : str, optional
            The column that holds the group.
        spool : bool
            Keep the answers, one byte each, in temporary files rather than in memory.
        """
        split = (
            (part, None) if group_column is None else (part.drop(columns=group_column), part[group_column])
            for part in parts
        )
        return _gather(split, spool=spool)


class _Store:
    """Rows that belong together, in memory or in a nameless file that goes when nobody uses it any more."""

    def __init__(self, width: int, *, spool: bool) -> None:
        self.width, self.rows = width, list[Bytes]()
        self.file = tempfile.TemporaryFile() if spool else None  # noqa: SIM115 - open until `close`

    def append(self, rows: Bytes) -> None:
        if self.file is None:
            self.rows.append(rows)
        else:
            self.file.write(rows.tobytes())

    def close(self) -> Bytes:
        if self.file is None:
            return self.rows[0] if len(self.rows) == 1 else np.concatenate(self.rows)
        with self.file:
            self.file.flush()
            return np.memmap(self.file, dtype=np.int8, mode="r").reshape(-1, self.width)


def _gather(parts: Iterable[Part], *, spool: bool) -> Blocks:
    """Sort the rows of every part by group and pattern of presented items."""
    items: tuple[str, ...] = ()
    counts = np.zeros((0, 2), dtype=np.int64)
    labels: list[Any] = []
    declared = False
    stores: dict[tuple[Any, bytes], _Store] = {}
    for number, (credit, groups) in enumerate(parts):
        names = tuple(str(name) for name in credit.columns)
        if number == 0:
            _check_names(names)
            items, counts = names, np.zeros((len(names), 2), dtype=np.int64)
        elif names != items:
            raise SchemaError(say("irt.other_columns", n=len(names), expected=len(items)))
        given, codes = _code_groups(groups, credit.index)
        declared |= groups is not None and isinstance(groups.dtype, pd.CategoricalDtype)
        labels += [label for label in given if label not in labels]
        answers = _turn_to_bytes(credit)
        counts = _add_counts(counts, answers)
        for group, pattern, rows in _split(answers, codes, {key for key in stores if key[1]}, given):
            width = len(items) if not pattern else len(_columns(pattern, len(items)))
            if (group, pattern) not in stores:
                stores[group, pattern] = _Store(width, spool=spool)
            chosen = answers if len(rows) == len(answers) else answers[rows]
            stores[group, pattern].append(chosen if width == len(items) else chosen[:, _columns(pattern, len(items))])
    groups_in_order = labels if declared else sorted(labels)
    return Blocks(
        item_ids=items,
        group_names=tuple(str(label) for label in groups_in_order),
        cells=tuple(
            Cell(
                columns=_columns(pattern, len(items)) if pattern else np.arange(len(items)),
                group=groups_in_order.index(group),
                answers=store.close(),
                complete=bool(pattern),
            )
            for (group, pattern), store in stores.items()
        ),
        counts=counts,
    )


def _check_names(names: tuple[str, ...]) -> None:
    """Refuse items that bear the same name."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise SchemaError(say("irt.repeated_items", n=len(repeated), items=plain(", ".join(repeated[:3]))))


def _code_groups(groups: pd.Series[Any] | None, index: pd.Index[Any]) -> tuple[list[Any], Places]:
    """Return the groups' labels in order, and every row's group."""
    if groups is None:
        return [ONE_GROUP], np.zeros(len(index), dtype=np.intp)
    given = groups if groups.index.equals(index) else groups.reindex(index)
    coded = pd.Categorical(given).remove_unused_categories()
    if missing := int((coded.codes < 0).sum()):
        raise SchemaError(say("irt.no_group", n=missing, rows=len(index)))
    return list(coded.categories), coded.codes.astype(np.intp)


def _turn_to_bytes(credit: pd.DataFrame) -> Bytes:
    """Return the categories in one byte each, −1 for null."""
    answers = np.empty(credit.shape, dtype=np.int8)
    for start in range(0, len(credit), ROWS):
        values = credit.iloc[start : start + ROWS].to_numpy(dtype=float, na_value=np.nan)
        with np.errstate(invalid="ignore"):
            found = values.astype(np.int8)  # of null, anything: it is overwritten
        absent = np.isnan(values)
        unusable = (found.astype(float) != values) | (found < 0) | (found > HIGHEST)
        unusable &= ~absent
        if unusable.any():
            columns = [str(name) for name in credit.columns[unusable.any(axis=0)]]
            raise SchemaError(say("irt.not_a_category", n=int(unusable.sum()), items=plain(", ".join(columns[:3]))))
        np.putmask(found, absent, NOT_PRESENTED)
        answers[start : start + ROWS] = found
    return answers


def _add_counts(counts: NDArray[np.int64], answers: Bytes) -> NDArray[np.int64]:
    """Return how many persons are in each category, earlier parts included."""
    n_categories = max(counts.shape[1], int(answers.max(initial=0)) + 1)
    found = np.zeros((len(counts), n_categories), dtype=np.int64)
    found[:, : counts.shape[1]] = counts
    for category in range(n_categories):
        found[:, category] += np.count_nonzero(answers == category, axis=0)
    return found


def _split(
    answers: Bytes, codes: Places, known: set[tuple[Any, bytes]], labels: list[Any]
) -> Iterator[tuple[Any, bytes, Places]]:
    """Yield rows by group and pattern; the pattern of those that share theirs with few is empty; no answers: left out."""
    if not answers.size:
        return
    presented = np.packbits(answers != NOT_PRESENTED, axis=1)
    padded = np.pad(presented, ((0, 0), (0, -presented.shape[1] % 8)))
    code = codes.astype(np.int64)
    for word in padded.view(np.uint64).T:  # hashing eight bytes at a time; sorting rows of bytes is ten times slower
        part, words = pd.factorize(word)
        code = pd.factorize(code * len(words) + part)[0]
    _, first, which, sizes = np.unique(code, return_index=True, return_inverse=True, return_counts=True)
    rest: dict[Any, list[Places]] = {}
    order = np.argsort(which, kind="stable")
    for row, rows in zip(first, np.split(order, np.cumsum(sizes)[:-1]), strict=True):
        group, pattern = labels[codes[row]], presented[row].tobytes()
        if not any(pattern):
            continue
        if len(rows) >= MIN_FORM or (group, pattern) in known:
            yield group, pattern, rows
        else:
            rest.setdefault(group, []).append(rows)
    for group, rows_of_patterns in rest.items():
        yield group, b"", np.sort(np.concatenate(rows_of_patterns))


def _columns(pattern: bytes, n_items: int) -> Places:
    """Return the items of a pattern."""
    return np.flatnonzero(np.unpackbits(np.frombuffer(pattern, dtype=np.uint8), count=n_items))
