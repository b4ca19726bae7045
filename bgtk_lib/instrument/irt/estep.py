"""The E-step: the log-likelihood, and how many persons of each ability are expected to have answered each item, and how.

Two routes give the same numbers. Complete cells of adjacent-category items go by their weighted scores. Graded items,
and rows whose pattern of presented items few others share, go by one-hot blocks and matrix products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from bgtk_lib.instrument.irt.blocks import Blocks, Bytes, Cell
from bgtk_lib.instrument.irt.curves import Floats
from bgtk_lib.instrument.irt.parameters import Flags, Free, Parameters
from bgtk_lib.instrument.irt.scores import (
    ScoreTable,
    interpolate_means,
    lay_scores,
    place_scores,
    tabulate_scores,
)
from bgtk_lib.instrument.irt.tables import Tables

CHUNK = 1024  # persons at a time, so that their block stays in the processor's cache
SCORE_CHUNK = 8192  # the same where a person is a few numbers
LEAST = 1e-250  # of a person's likelihood; below, it is computed anew from its largest log

Found = TypeVar("Found")


@dataclass(kw_only=True, eq=False)
class Expected:
    """What the E-step expects of J items, K categories, G groups at Q points.

    Attributes
    ----------
    loglik : float
    takers : array (J, Q)
        Persons of each ability who were presented each item.
    persons : array (G, Q)
    credit : array (J,)
        Σ_i x_ij E(θ | x_i); not summed where no slope is free.
    answers : array (J, K, Q), optional
        Persons by category; only where items are graded.
    """

    loglik: float
    takers: Floats
    persons: Floats
    credit: Floats
    answers: Floats | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Route:
    """How a cell goes: by scores (with their numbers, if these never change) or by one-hot blocks."""

    cell: Cell
    by_score: bool
    scores: Floats | None = None
    numbers: Floats | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """The answers, ready for E-steps.

    Attributes
    ----------
    routes : tuple of Route
    free : Free
        Which parameters may move.
    graded : array of bool (J,)
        Items with cumulative logits and more than two categories.
    counts, score_counts : array (J, K)
        Persons in each category: of all cells, and of those that go by scores.
    pool : ThreadPoolExecutor
    """

    routes: tuple[Route, ...]
    free: Free
    graded: Flags
    counts: Floats
    score_counts: Floats
    pool: ThreadPoolExecutor = field(repr=False)

    def spread(self, task: Callable[[int, int], Found], n: int, chunk: int) -> Iterator[Found]:
        """Yield a task's results over rows 0 … n, in order, so that sums do not depend on the threads."""
        starts = range(0, n, chunk)
        if len(starts) == 1:
            return iter([task(0, n)])
        return self.pool.map(lambda start: task(start, min(start + chunk, n)), starts)


def prepare(blocks: Blocks, start: Parameters, free: Free, pool: ThreadPoolExecutor) -> Work:
    """Choose each cell's route; where no slope is free the weighted scores are counted once and for all."""
    curves = start.curves
    graded = curves.graded & (curves.highest > 1)
    counts = np.zeros((len(curves.slopes), curves.intercepts.shape[1] + 1))
    width = min(counts.shape[1], blocks.counts.shape[1])
    counts[:, :width] = blocks.counts[:, :width]
    score_counts = counts.copy()
    routes = []
    for cell in blocks.cells:
        by_score = cell.complete and not graded[cell.columns].any()
        if not by_score:
            routes.append(Route(cell=cell, by_score=False))
            answers = cell.read(0, len(cell))
            for category in range(counts.shape[1]):
                score_counts[cell.columns, category] -= (answers == category).sum(axis=0)
        elif free.slopes[cell.columns].any():
            routes.append(Route(cell=cell, by_score=True))
        else:
            slopes, starts = curves.slopes[cell.columns], range(0, len(cell), SCORE_CHUNK)
            scores = [cell.read(at, at + SCORE_CHUNK).astype(float) @ slopes for at in starts]
            distinct, numbers = np.unique(np.concatenate(scores), return_counts=True)
            routes.append(Route(cell=cell, by_score=True, scores=distinct, numbers=numbers.astype(float)))
    return Work(routes=tuple(routes), free=free, graded=graded, counts=counts, score_counts=score_counts, pool=pool)


def expect(work: Work, tables: Tables) -> Expected:
    """Do the E-step at the parameters of the tables."""
    n_items, n_categories, n_points = tables.logs.shape
    found = Expected(
        loglik=float((np.nan_to_num(tables.values.curves.intercepts) * work.score_counts[:, 1:]).sum()),
        takers=np.zeros((n_items, n_points)),
        persons=np.zeros((len(tables.weights), n_points)),
        credit=np.zeros(n_items),
        answers=np.zeros((n_items, n_categories, n_points)) if work.graded.any() else None,
    )
    for route in work.routes:
        if route.by_score:
            _add_by_score(found, work, route, tables)
        else:
            _add_by_block(found, work, route.cell, tables)
    return found


def sum_logs(cell: Cell, tables: Tables) -> Floats:
    """Return the log of the prior times the likelihood of answering 0 to every item of a complete cell (Q,)."""
    total: Floats = tables.logs[cell.columns, 0].sum(axis=0) + tables.weights[cell.group]
    return total


def _add_by_score(found: Expected, work: Work, route: Route, tables: Tables) -> None:
    """Add what a complete cell of adjacent-category items gives."""
    cell, points, base = route.cell, tables.points, sum_logs(route.cell, tables)
    slopes = tables.values.curves.slopes[cell.columns]
    extremes = slopes * tables.values.curves.highest[cell.columns]
    scores = lay_scores(extremes.clip(max=0).sum(), extremes.clip(min=0).sum(), float(tables.values.sds.max()))
    if route.scores is not None and route.numbers is not None:
        table, numbers = tabulate_scores(route.scores, base, points), route.numbers
    elif len(cell) <= len(scores):
        answers = cell.read(0, len(cell)).astype(float)
        table, numbers = tabulate_scores(answers @ slopes, base, points), np.ones(len(cell))
        found.credit[cell.columns] += (table.posterior @ points) @ answers
    else:
        table = tabulate_scores(scores, base, points)
        numbers = _place_cell(found, work, cell, (table, slopes, points))
    persons = numbers @ table.posterior
    found.loglik += float(numbers @ table.logs)
    found.takers[cell.columns] += persons
    found.persons[cell.group] += persons


def _place_cell(found: Expected, work: Work, cell: Cell, at: tuple[ScoreTable, Floats, Floats]) -> Floats:
    """Add the credit of a cell, and return how many persons each score of the table stands for."""
    table, slopes, points = at
    pieces = interpolate_means(table, points)

    def place(start: int, stop: int) -> tuple[Floats, Floats]:
        answers = cell.read(start, stop).astype(float)
        means, numbers = place_scores(answers @ slopes, table.scores, pieces)
        return means @ answers, numbers

    total = np.zeros(len(table.scores))
    for credit, numbers in work.spread(place, len(cell), SCORE_CHUNK):
        found.credit[cell.columns] += credit
        total += numbers
    return total


def code_answers(answers: Bytes, first: int, n_categories: int) -> Floats:
    """Return one column of ones, then indicators of the categories from the first on, items running fastest."""
    n, width = answers.shape
    block = np.empty((n, 1 + (n_categories - first) * width))
    block[:, 0] = 1
    for category in range(first, n_categories):
        at = 1 + (category - first) * width
        block[:, at : at + width] = answers == category
    return block


def lay_logs(cell: Cell, tables: Tables, first: int) -> Floats:
    """Return the logs that `code_answers` picks from: (1 + (K − first) · C) × Q; with first = 1, against category 0."""
    logs = tables.logs[cell.columns].transpose(1, 0, 2)
    rest = tables.weights[cell.group] if first == 0 else sum_logs(cell, tables)
    picked = logs if first == 0 else logs[1:] - logs[:1]
    return np.concatenate([rest[None, :], picked.reshape(-1, len(rest))])


def weigh_points(block: Floats, logs: Floats) -> tuple[Floats, float]:
    """Return every person's posterior at the points, and the log-likelihood of all; see `lay_logs`."""
    posterior: Floats = block @ logs
    np.exp(posterior, out=posterior)
    total = posterior @ np.ones(posterior.shape[1])
    added = 0.0
    if total.min(initial=1) < LEAST:
        posterior = block @ logs
        top = posterior.max(axis=1)
        posterior = np.exp(posterior - top[:, None])
        total = posterior.sum(axis=1)
        added = float(top.sum())
    posterior *= (1 / total)[:, None]
    return posterior, float(np.log(total).sum()) + added


def _add_by_block(found: Expected, work: Work, cell: Cell, tables: Tables) -> None:
    """Add what a cell gives by one-hot blocks; where all were presented everything, category 0 is the rest."""
    n_categories, n_points = tables.logs.shape[1:]
    first = 1 if cell.complete else 0
    logs = lay_logs(cell, tables, first)

    def add(start: int, stop: int) -> tuple[float, Floats]:
        block = code_answers(cell.read(start, stop), first, n_categories)
        posterior, loglik = weigh_points(block, logs)
        return loglik, block.T @ posterior

    total = np.zeros_like(logs)
    for loglik, some in work.spread(add, len(cell), CHUNK):
        found.loglik += loglik
        total += some
    answers = np.empty((len(cell.columns), n_categories, n_points))
    answers[:, first:] = total[1:].reshape(-1, len(cell.columns), n_points).transpose(1, 0, 2)
    if cell.complete:
        answers[:, 0] = total[0] - answers[:, 1:].sum(axis=1)
    found.takers[cell.columns] += answers.sum(axis=1)
    found.persons[cell.group] += total[0]
    found.credit[cell.columns] += np.einsum("jkq,k->jq", answers, np.arange(n_categories, dtype=float)) @ tables.points
    if found.answers is not None:
        found.answers[cell.columns] += answers
