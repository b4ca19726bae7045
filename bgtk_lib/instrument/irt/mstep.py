"""The M-step: a step of Newton (adjacent categories) or Fisher scoring (graded) for all items at once, never downhill."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bgtk_lib.instrument.irt.curves import Curves, Floats
from bgtk_lib.instrument.irt.estep import Expected, Work
from bgtk_lib.instrument.irt.parameters import LEAST_SPREAD, Parameters
from bgtk_lib.instrument.irt.tables import Tables, derive, tabulate

LONGEST = 2.0  # change of a parameter in one step, in logits: the first steps from a poor start may overshoot
HALVINGS = 8


def maximise(work: Work, found: Expected, tables: Tables) -> Parameters:
    """Do the M-step: raise the expected complete-data log-likelihood of every item and group."""
    free, values, points = work.free, tables.values, tables.points
    curves = _move_items(work, found, tables, steps=_find_steps(work, found, tables))
    sizes = np.maximum(found.persons.sum(axis=1), 1)
    means = np.where(free.means, found.persons @ points / sizes, values.means)
    squares = (found.persons * (points - means[:, None]) ** 2).sum(axis=1) / sizes
    sds = np.where(free.sds, np.maximum(np.sqrt(squares), LEAST_SPREAD), values.sds)
    return Parameters(curves=curves, means=means, sds=sds)


def differentiate(work: Work, found: Expected, tables: Tables) -> tuple[Floats, Floats]:
    """Return gradient (J, 1 + M) and negative Hessian (J, 1 + M, 1 + M) of the expected log-likelihood, item by item.

    The Hessian of graded items is Fisher's, with the persons expected at each point.
    """
    chances, points, takers = tables.chances, tables.points, found.takers
    n_items, n_categories, _ = chances.shape
    order = np.arange(n_categories, dtype=float)
    mean = np.einsum("jkq,k->jq", chances, order)
    spread = np.einsum("jkq,k->jq", chances, order**2) - mean**2
    weighted = takers[:, None, :] * chances[:, 1:]
    gradient = np.empty((n_items, n_categories))
    gradient[:, 0] = found.credit - (takers * mean) @ points
    gradient[:, 1:] = work.counts[:, 1:] - weighted.sum(axis=2)
    hessian = np.empty((n_items, n_categories, n_categories))
    hessian[:, 0, 0] = (takers * spread) @ points**2
    hessian[:, 0, 1:] = (weighted * (order[1:, None] - mean[:, None, :])) @ points
    hessian[:, 1:, 0] = hessian[:, 0, 1:]
    hessian[:, 1:, 1:] = -weighted @ chances[:, 1:].transpose(0, 2, 1)
    steps = np.arange(1, n_categories)
    hessian[:, steps, steps] += weighted.sum(axis=2)
    if found.answers is not None:
        graded = work.graded
        scores = derive(tables)[graded]
        gradient[graded] = np.einsum("jpkq,jkq->jp", scores, found.answers[graded])
        roots = scores * np.sqrt(chances[graded] * takers[graded][:, None, :])[:, None]
        roots = roots.reshape(len(roots), n_categories, -1)
        hessian[graded] = roots @ roots.transpose(0, 2, 1)
    return gradient, hessian


def _find_steps(work: Work, found: Expected, tables: Tables) -> Floats:
    """Return Newton's step of each item (J, 1 + M), zero for what is not free."""
    gradient, hessian = differentiate(work, found, tables)
    chosen = np.concatenate([work.free.slopes[:, None], work.free.steps], axis=1)
    matrix = np.where(chosen[:, :, None] & chosen[:, None, :], hessian, 0.0)
    diagonal = np.arange(matrix.shape[1])
    matrix[:, diagonal, diagonal] = np.where(chosen, matrix[:, diagonal, diagonal] * (1 + 1e-10) + 1e-10, 1.0)
    steps = np.linalg.solve(matrix, np.where(chosen, gradient, 0.0)[:, :, None])[:, :, 0]
    longest = np.abs(steps).max(axis=1, keepdims=True, initial=0)
    shortened: Floats = steps * np.minimum(1, LONGEST / np.maximum(longest, LONGEST))
    return shortened


def _move_items(work: Work, found: Expected, tables: Tables, *, steps: Floats) -> Curves:
    """Return the curves moved by the steps; the step of an item that got worse is halved until it did not."""
    curves, before = tables.values.curves, _value_items(work, found, tables)
    for halving in range(HALVINGS + 1):
        moved = replace(curves, slopes=curves.slopes + steps[:, 0], intercepts=curves.intercepts + steps[:, 1:])
        after = _value_items(work, found, tabulate(replace(tables.values, curves=moved), tables.points))
        worse = ~(after >= before - 1e-9 * np.abs(before))
        if not worse.any():
            break
        steps = np.where(worse[:, None], steps / 2 if halving < HALVINGS - 1 else 0.0, steps)
    return moved


def _value_items(work: Work, found: Expected, tables: Tables) -> Floats:
    """Return the expected complete-data log-likelihood of each item; −inf where the steps of a graded item cross."""
    curves = tables.values.curves
    given = (work.counts[:, 1:] * np.nan_to_num(curves.intercepts)).sum(axis=1)
    values: Floats = curves.slopes * found.credit + given + (found.takers * tables.logs[:, 0]).sum(axis=1)
    if found.answers is not None:
        graded = work.graded
        crossed = (np.nan_to_num(np.diff(curves.intercepts[graded], axis=1), nan=-1.0) >= 0).any(axis=1)
        inside = (found.answers[graded] * tables.logs[graded]).sum(axis=(1, 2))
        values[graded] = np.where(crossed, -np.inf, inside)
    return values
