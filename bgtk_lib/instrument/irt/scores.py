"""The posterior where it depends on the answers through one number only: the weighted score.

In the adjacent-category models log P(x | θ) = θ·s + Σ_j d_{j, x_j} − Σ_j log Z_j(θ) with s = Σ_j a_j x_j, so that persons
who were presented the same items and have the same s have the same posterior (an exponential family; Andersen, 1970;
for the Rasch model s is the raw score). The log of the marginal likelihood K(s) and the posterior are smooth in s, and
are computed where few values of s occur for each of them, else on a grid of s and interpolated between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import polynomial

from bgtk_lib.instrument.irt.curves import Floats

NODES = 6  # of a piece's polynomial: of degree 5
STEP = 0.125  # of the grid of s, over the largest spread of ability: relative error below 3e−7, commonly 1e−9


def _basis() -> Floats:
    """Return the coefficients of the six Lagrange polynomials on −2 … 3, in powers of u; the piece is 0 ≤ u ≤ 1."""
    places = np.arange(NODES) - 2.0
    rows = []
    for place in places:
        others = places[places != place]
        rows.append(polynomial.polyfromroots(others) / np.prod(place - others))
    return np.array(rows)


BASIS = _basis()


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreTable:
    """The posterior at some weighted scores of one cell.

    Attributes
    ----------
    scores : array (S,)
    logs : array (S,)
        K(s), the log of ∫ exp(θs) / Π_j Z_j(θ) dF(θ).
    posterior : array (S, Q)
    """

    scores: Floats
    logs: Floats
    posterior: Floats


def tabulate_scores(scores: Floats, base: Floats, points: Floats) -> ScoreTable:
    """Compute K and the posterior at given scores; `base` is log prior − Σ_j log Z_j at the points."""
    logs: Floats = np.multiply.outer(scores, points)
    logs += base
    top = logs.max(axis=1, keepdims=True)
    logs -= top
    np.exp(logs, out=logs)
    total: Floats = logs.sum(axis=1, keepdims=True)
    logs /= total
    return ScoreTable(scores=scores, logs=(top + np.log(total))[:, 0], posterior=logs)


def lay_scores(low: float, high: float, spread: float) -> Floats:
    """Return a grid of s that holds every s from low to high in the middle one of five gaps."""
    step = STEP / spread
    n_pieces = int((high - low) / step) + 1
    scores: Floats = low + step * (np.arange(n_pieces + NODES - 1, dtype=float) - 2)
    return scores


def interpolate_means(table: ScoreTable, points: Floats) -> Floats:
    """Return the coefficients (6, pieces) of the posterior mean between scores, in powers of the way to the next."""
    means = table.posterior @ points
    windows = np.lib.stride_tricks.sliding_window_view(means, NODES)
    return np.ascontiguousarray((windows @ BASIS).T)


def place_scores(scores: Floats, grid: Floats, pieces: Floats) -> tuple[Floats, Floats]:
    """Return the posterior mean at every score, and how many persons each score of the grid stands for."""
    n_pieces = pieces.shape[1]
    way = (scores - grid[2]) / (grid[1] - grid[0])
    piece = np.clip(way.astype(np.intp), 0, n_pieces - 1)
    way -= piece
    means = pieces[-1].take(piece)
    for coefficients in pieces[-2::-1]:
        means *= way
        means += coefficients.take(piece)
    power = np.ones_like(way)
    sums = [np.bincount(piece, minlength=n_pieces).astype(float)]
    for _ in range(1, NODES):
        power *= way
        sums.append(np.bincount(piece, power, minlength=n_pieces))
    numbers = np.zeros(len(grid))
    for node, share in enumerate(BASIS @ np.array(sums)):
        numbers[node : node + n_pieces] += share
    return means, numbers
