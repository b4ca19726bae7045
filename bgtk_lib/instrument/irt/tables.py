"""What items and groups say at the points: probabilities, their logs and derivatives, and the weights of ability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from bgtk_lib.instrument.irt.curves import Curves, Floats, subtract_steps
from bgtk_lib.instrument.irt.parameters import Parameters

TINY = 1e-300


@dataclass(frozen=True, kw_only=True, eq=False)
class Tables:
    """Curves of J items and normal densities of G groups at Q points.

    Attributes
    ----------
    values : Parameters
        What the tables were made from.
    points : array (Q,)
    chances, logs : array (J, K, Q)
        P(X = k) and its log; beyond an item's highest category both are zero.
    weights : array (G, Q)
        Logs of the density, summing to one over the points.
    """

    values: Parameters
    points: Floats
    chances: Floats
    logs: Floats
    weights: Floats


def tabulate(values: Parameters, points: Floats) -> Tables:
    """Compute the tables."""
    logs = _tabulate_logs(values.curves, points)
    used = ~np.isnan(np.pad(values.curves.intercepts, ((0, 0), (1, 0))))[:, :, None]
    density = -0.5 * ((points - values.means[:, None]) / values.sds[:, None]) ** 2
    density -= density.max(axis=1, keepdims=True)
    return Tables(
        values=values,
        points=points,
        chances=np.where(used, np.exp(logs), 0.0),
        logs=np.where(used, logs, 0.0),
        weights=density - np.log(np.exp(density).sum(axis=1, keepdims=True)),
    )


def _tabulate_logs(curves: Curves, points: Floats) -> Floats:
    """Return log P(X = k), anything beyond the highest category."""
    odds = curves.log_odds(points)
    n_items, n_steps, n_points = odds.shape
    if n_steps == 1:  # graded or not, right or wrong is the same curve
        below = -np.logaddexp(0, odds[:, 0])
        return np.stack([below, below + odds[:, 0]], axis=1)
    logs = np.empty((n_items, n_steps + 1, n_points))
    adjacent = ~curves.graded
    if adjacent.any():
        z = np.pad(odds[adjacent], ((0, 0), (1, 0), (0, 0)))
        z = np.where(np.isnan(z), -np.inf, z)
        top = z.max(axis=1, keepdims=True)
        logs[adjacent] = z - (top + np.log(np.exp(z - top).sum(axis=1, keepdims=True)))
    if curves.graded.any():
        logs[curves.graded] = np.log(np.maximum(subtract_steps(odds[curves.graded]), TINY))
    return logs


def derive(tables: Tables) -> Floats:
    """Return the derivatives of log P(X = k) by the item's slope and steps: J × (1 + M) × K × Q."""
    curves = tables.values.curves
    n_items, n_categories, n_points = tables.chances.shape
    found = np.zeros((n_items, n_categories, n_categories, n_points))
    order = np.arange(n_categories)
    chances, points = tables.chances, tables.points
    mean = np.einsum("jkq,k->jq", chances, order)
    found[:, 0] = (order[:, None] - mean[:, None, :]) * points
    for step in order[1:]:
        found[:, step] = -chances[:, step, None, :]
        found[:, step, step] += 1
    if (graded := curves.graded).any():
        falls = slopes_of_steps(curves.log_odds(points)[graded])
        share = np.maximum(chances[graded], TINY)
        found[graded] = 0
        for step in order[1:]:
            found[graded, step, step] = falls[:, step - 1] / share[:, step]
            found[graded, step, step - 1] = -falls[:, step - 1] / share[:, step - 1]
        found[graded, 0] = found[graded, 1:].sum(axis=1) * points
    used = ~np.isnan(np.concatenate([np.zeros((n_items, 1)), curves.intercepts], axis=1))
    return np.where(used[:, :, None, None] & used[:, None, :, None], found, 0.0)


def slopes_of_steps(odds: Floats) -> Floats:
    """Return the derivative of P(X ≥ k) by its logit, zero beyond an item's highest category."""
    falls: Floats = np.nan_to_num(expit(odds) * expit(-odds))
    return falls
