"""The exact observed information of the marginal likelihood, and its gradient (Louis, 1982, equations 3.1 and 3.2).

With S_i(θ) the complete-data score of person i the gradient is Σ_i E_i[S_i] and the observed information
Σ_i {E_i[−∂S_i] − Cov_i[S_i]}, over the posterior of θ. Nothing is approximated but the integral by a sum over points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bgtk_lib.instrument.irt.blocks import NOT_PRESENTED, Cell
from bgtk_lib.instrument.irt.curves import Floats
from bgtk_lib.instrument.irt.estep import (
    CHUNK,
    Expected,
    Route,
    Work,
    code_answers,
    expect,
    lay_logs,
    sum_logs,
    weigh_points,
)
from bgtk_lib.instrument.irt.mstep import differentiate
from bgtk_lib.instrument.irt.parameters import Parameters, Places
from bgtk_lib.instrument.irt.scores import tabulate_scores
from bgtk_lib.instrument.irt.tables import TINY, Tables, derive, slopes_of_steps

MOST_NUMBERS = 4e6  # that are laid out at a time, person by person
SPARSE = 0.3  # share of the items presented, below which going person by person is cheaper


@dataclass(frozen=True, kw_only=True, eq=False)
class Hill:
    """The marginal log-likelihood around some values of its p free parameters.

    Attributes
    ----------
    loglik : float
    gradient : array (p,)
    information : array (p, p)
        The negative Hessian.
    """

    loglik: float
    gradient: Floats
    information: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class _Local:
    """The free parameters that a cell touches: first those of its items, then those of its group.

    `at`: their places in the vector. `item`, `part`: for the first, which item of the cell, and which of its parameters.
    `scores` (parameters, K, Q): the derivative of the log-likelihood by each, where the answer is k.
    """

    at: Places
    item: Places
    part: Places
    scores: Floats


def observe(work: Work, tables: Tables) -> Hill:
    """Compute log-likelihood, gradient and observed information; the parameters' order is that of `Free.pack`."""
    found = expect(work, tables)
    gradients, complete = differentiate(work, found, tables)
    if found.answers is not None:
        complete[work.graded] = _curve_graded(work, found, tables)
    of_items, of_groups = work.free.place()
    group_scores, group_curves = _differentiate_groups(tables.values, tables.points)
    gradient = np.zeros(len(work.free))
    information = np.zeros((len(gradient), len(gradient)))
    blocks = [*zip(of_items, gradients, complete, strict=True)]
    for at, score, curve, persons in zip(of_groups, group_scores, group_curves, found.persons, strict=True):
        blocks.append((at, score @ persons, curve @ persons))
    for at, slope, curve in blocks:
        kept = at >= 0
        gradient[at[kept]] += slope[kept]
        information[np.ix_(at[kept], at[kept])] += curve[np.ix_(kept, kept)]
    scores = derive(tables)
    for route in work.routes:
        columns, group = route.cell.columns, route.cell.group
        local = _localise(of_items[columns], of_groups[group], scores[columns], group_scores[group])
        spread = _spread_by_score if route.by_score else _choose_spread(route.cell)
        information[np.ix_(local.at, local.at)] -= spread(work, route, local, tables)
    return Hill(loglik=found.loglik, gradient=gradient, information=(information + information.T) / 2)


def _localise(of_items: Places, of_group: Places, scores: Floats, group_scores: Floats) -> _Local:
    item, part = np.nonzero(of_items >= 0)
    kept = np.flatnonzero(of_group >= 0)
    of_the_group = np.repeat(group_scores[kept][:, None, :], scores.shape[2], axis=1)
    return _Local(
        at=np.concatenate([of_items[item, part], of_group[kept]]),
        item=item,
        part=part,
        scores=np.concatenate([scores[item, part], of_the_group]),
    )


def _differentiate_groups(values: Parameters, points: Floats) -> tuple[Floats, Floats]:
    """Return first (G, 2, Q) and negative second (G, 2, 2, Q) derivatives of the log normal density by mean and sd."""
    sd = values.sds[:, None]
    away = (points - values.means[:, None]) / sd
    first = np.stack([away / sd, (away**2 - 1) / sd], axis=1)
    mixed = 2 * away / sd**2
    second = np.array([[np.ones_like(away) / sd**2, mixed], [mixed, (3 * away**2 - 1) / sd**2]])
    return first, second.transpose(2, 0, 1, 3)


def _curve_graded(work: Work, found: Expected, tables: Tables) -> Floats:
    """Return the expected negative Hessian of the graded items, one (1 + M) × (1 + M) each."""
    graded = work.graded
    odds = tables.values.curves.log_odds(tables.points)[graded]
    falls = slopes_of_steps(odds)
    turns = falls * -np.tanh(np.nan_to_num(odds) / 2)  # second derivative of P(X ≥ k), F(1 − F)(1 − 2F)
    answers = np.zeros(0) if found.answers is None else found.answers[graded]
    chances = np.maximum(tables.chances[graded], TINY)
    ratio = answers / chances
    n_items, n_steps, n_points = odds.shape
    first = np.zeros((n_items, n_steps, n_steps + 1, n_points))  # of log P(X = k) by the logits
    for step in range(n_steps):
        first[:, step, step + 1] = falls[:, step] / chances[:, step + 1]
        first[:, step, step] = -falls[:, step] / chances[:, step]
    inside = np.einsum("jmkq,jkq,jnkq->jmnq", first, answers, first, optimize=True)
    steps = np.arange(n_steps)
    inside[:, steps, steps] -= turns * (ratio[:, 1:] - ratio[:, :-1])
    curve = np.empty((n_items, n_steps + 1, n_steps + 1))
    curve[:, 1:, 1:] = inside.sum(axis=3)
    curve[:, 0, 1:] = curve[:, 1:, 0] = inside.sum(axis=1) @ tables.points
    curve[:, 0, 0] = inside.sum(axis=(1, 2)) @ tables.points**2
    return curve


def _choose_spread(cell: Cell) -> Callable[[Work, Route, _Local, Tables], Floats]:
    """Return the cheaper way: pairs of all items over persons at once, or of the few items each person was presented."""
    starts = range(0, 0 if cell.complete else len(cell), CHUNK)
    presented = sum(int((cell.read(at, at + CHUNK) != NOT_PRESENTED).sum()) for at in starts)
    few = presented < SPARSE * len(cell) * len(cell.columns)
    return _spread_by_person if few and not cell.complete else _spread_by_block


def _spread_by_score(work: Work, route: Route, local: _Local, tables: Tables) -> Floats:
    """Return Σ_i Cov_i[S_i] of a complete cell of adjacent-category items: S = x·θ + h(θ) for slopes, else h(θ)."""
    points, base = tables.points, sum_logs(route.cell, tables)
    slopes = tables.values.curves.slopes[route.cell.columns]
    order = np.argsort(local.part, kind="stable")  # slopes first, so that they are one slice
    n_slopes = int((local.part == 0).sum())
    own = np.concatenate([order, np.arange(len(order), len(local.at))])
    heights = local.scores[own, 0]
    sloped = local.item[order[:n_slopes]]

    def sum_products(scores: Floats, numbers: Floats, answers: Floats) -> Floats:
        posterior = tabulate_scores(scores, base, points).posterior
        mean, square = posterior @ points, posterior @ points**2
        expected = posterior @ heights.T
        expected[:, :n_slopes] += answers * mean[:, None]
        total: Floats = (heights * (numbers @ posterior)) @ heights.T
        posterior *= points
        cross = (answers.T @ posterior) @ heights.T
        total[:n_slopes] += cross
        total[:, :n_slopes] += cross.T
        total[:n_slopes, :n_slopes] += answers.T @ (answers * square[:, None])
        expected *= np.sqrt(numbers)[:, None]
        total -= expected.T @ expected
        return total

    def take(start: int, stop: int) -> Floats:
        answers = route.cell.read(start, stop).astype(float)
        return sum_products(answers @ slopes, np.ones(len(answers)), answers[:, sloped])

    if route.scores is not None and route.numbers is not None:
        total = sum_products(route.scores, route.numbers, np.zeros((len(route.scores), 0)))
    else:
        total = sum(work.spread(take, len(route.cell), CHUNK), start=np.zeros((len(own), len(own))))
    found = np.empty_like(total)
    found[np.ix_(own, own)] = total
    return found


def _spread_by_block(work: Work, route: Route, local: _Local, tables: Tables) -> Floats:
    """Return Σ_i Cov_i[S_i] of any cell, by the expected numbers of pairs of answers at every point.

    S is linear in the one-hot block: its column of ones carries the group and, in complete cells, category 0.
    """
    cell, n_own, n_points = route.cell, len(local.item), len(tables.points)
    n_items, n_categories = len(cell.columns), tables.logs.shape[1]
    first = 1 if cell.complete else 0
    logs = lay_logs(cell, tables, first)
    rest = local.scores[:n_own, 0] * first
    scores = np.zeros((n_points, len(logs), len(local.at)))
    scores[:, 0] = np.concatenate([rest, local.scores[n_own:, 0]]).T
    rows = [1 + (k - first) * n_items + local.item for k in range(first, n_categories)]
    for k, of_category in enumerate(rows, start=first):
        scores[:, of_category, np.arange(n_own)] = (local.scores[:n_own, k] - rest).T

    def take(start: int, stop: int) -> tuple[Floats, Floats]:
        block = code_answers(cell.read(start, stop), first, n_categories)
        posterior, _ = weigh_points(block, logs)
        expected = posterior @ scores[:, 0]
        for of_category in rows:
            expected[:, :n_own] += block[:, of_category] * (posterior @ scores[:, of_category, np.arange(n_own)])
        pairs = np.empty((n_points, len(logs), len(logs)))
        for q, root in enumerate(np.sqrt(posterior).T):
            weighted = block * root[:, None]
            np.matmul(weighted.T, weighted, out=pairs[q])
        return pairs, expected.T @ expected

    pairs = np.zeros((n_points, len(logs), len(logs)))
    products = np.zeros((len(local.at), len(local.at)))
    for some_pairs, some_products in work.spread(take, len(cell), 4 * CHUNK):
        pairs += some_pairs
        products += some_products
    found: Floats = (scores.transpose(0, 2, 1) @ pairs @ scores).sum(axis=0) - products
    return found


def _spread_by_person(work: Work, route: Route, local: _Local, tables: Tables) -> Floats:
    """Return Σ_i Cov_i[S_i] of rows with gaps, person by person over the items presented alone."""
    cell, n_points = route.cell, len(tables.points)
    n_items, n_categories = len(cell.columns), tables.logs.shape[1]
    n_own, n_all = len(local.item), len(local.at)
    parts = np.zeros((n_items, n_categories, n_categories, n_points))  # item, category answered, parameter, point
    parts[local.item, :, local.part] = local.scores[:n_own]
    places = np.full((n_items, n_categories), n_all)  # where nothing is free, one place beyond the last
    places[local.item, local.part] = np.arange(n_own)
    group = local.scores[n_own:, 0]
    logs = lay_logs(cell, tables, 0)

    def take(start: int, stop: int) -> Floats:
        answers = cell.read(start, stop)
        posterior, _ = weigh_points(code_answers(answers, 0, n_categories), logs)
        presented = answers != NOT_PRESENTED
        seen = np.argsort(~presented, axis=1, kind="stable")[:, : presented.sum(axis=1).max()]
        missing = ~np.take_along_axis(presented, seen, axis=1)
        scores = parts[seen, np.take_along_axis(answers, seen, axis=1)]
        scores[missing] = 0
        scores = scores.reshape(len(answers), -1, n_points)
        scores = np.concatenate([scores, np.broadcast_to(group, (len(answers), *group.shape))], axis=1)
        at = places[seen].reshape(len(answers), -1)
        at = np.concatenate([at, np.broadcast_to(np.arange(n_own, n_all), (len(answers), n_all - n_own))], axis=1)
        weighted = scores * posterior[:, None, :]
        expected = weighted.sum(axis=2)
        spread = weighted @ scores.transpose(0, 2, 1) - expected[:, :, None] * expected[:, None, :]
        pairs = at[:, :, None] * (n_all + 1) + at[:, None, :]
        return np.bincount(pairs.ravel(), spread.ravel(), minlength=(n_all + 1) ** 2).astype(float)

    chunk = max(16, int(MOST_NUMBERS / (n_categories * n_items * n_points)))
    total: Floats = sum(work.spread(take, len(cell), chunk), start=np.zeros((n_all + 1) ** 2))
    return total.reshape(n_all + 1, n_all + 1)[:-1, :-1]
