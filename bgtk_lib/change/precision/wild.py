"""What a wild cluster bootstrap needs of the data: sums over clusters, from which every draw follows at any null value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bgtk_lib.change.clusters import Codes, Floats
from bgtk_lib.errors import ParameterError
from bgtk_lib.words import say

WeightKind = Literal["rademacher", "webb"]

N_DRAWS = 9_999
RADEMACHER_FROM = 12  # clusters; below, two points give too few distinct patterns
POINTS: dict[WeightKind, Floats] = {
    "rademacher": np.array([-1.0, 1.0]),
    "webb": np.sqrt([1.5, 1.0, 0.5, 0.5, 1.0, 1.5]) * np.array([-1, -1, -1, 1, 1, 1]),
}
CHUNK = 2**22  # weights in memory at once


@dataclass(frozen=True, kw_only=True, eq=False)
class ClusteredContrast:
    """A contrast of coefficients in coordinates where the columns of X are orthonormal, and what each cluster has of it.

    Attributes
    ----------
    Z : array of n × k
        X in those coordinates; the contrast of an outcome y is a′Z′y.
    a : array of k
        The contrast.
    pull : array of G × k
        a′Z_g′Z_g of each cluster.
    shares : array of G
        Of each cluster in the contrast's variation; they add up to 1.
    factor : float
        Of CR1, for small samples: G/(G − 1) · (n − 1)/(n − k).
    order, starts : array
        Rows by cluster, and where each cluster begins among them.
    """

    Z: Floats
    a: Floats
    pull: Floats
    shares: Floats
    factor: float
    order: Codes
    starts: Codes

    def sum_up(self, rows: Floats) -> Floats:
        """Return the sums of rows by cluster."""
        return _sum_up(rows, self.order, self.starts)


def lay_contrast(X: Floats, codes: Codes, weights: ArrayLike) -> ClusteredContrast:
    """Return a contrast of a least-squares fit, given codes 0 … of the clusters.

    Raises
    ------
    ParameterError
        If the columns of X are not independent.
    """
    n, k = X.shape
    if np.linalg.matrix_rank(X) < k:
        raise ParameterError(say("statistics.rank", columns=k))
    Z, triangle = np.linalg.qr(X)
    a = np.linalg.solve(triangle.T, np.asarray(weights, dtype=float))
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    pull, G = _sum_up((Z @ a)[:, None] * Z, order, starts), len(starts)
    factor = G / max(G - 1, 1) * (n - 1) / max(n - k, 1)
    return ClusteredContrast(Z=Z, a=a, pull=pull, shares=pull @ a / (a @ a), factor=factor, order=order, starts=starts)


def choose_weights(n_clusters: int) -> tuple[WeightKind, bool]:
    """Return the kind of weights for so many clusters, and whether all patterns of them are taken."""
    kind: WeightKind = "rademacher" if n_clusters >= RADEMACHER_FROM else "webb"
    return kind, len(POINTS[kind]) ** n_clusters <= N_DRAWS


def list_weights(n_clusters: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Return patterns of weights, draws × clusters, in parts: all there are, or `N_DRAWS` random ones."""
    kind, exhaustive = choose_weights(n_clusters)
    points = POINTS[kind]
    if exhaustive:
        yield points[np.indices((len(points),) * n_clusters).reshape(n_clusters, -1).T]
        return
    step = max(1, CHUNK // n_clusters)
    for start in range(0, N_DRAWS, step):
        yield points[rng.integers(len(points), size=(min(step, N_DRAWS - start), n_clusters))]


def draw_wild(contrast: ClusteredContrast, residuals: Floats, weights: Iterator[Floats]) -> tuple[Floats, Floats]:
    """Return every draw as polynomials in δ, the estimate less the null value that is imposed.

    Parameters
    ----------
    contrast : ClusteredContrast
    residuals : array of n
        Of the unrestricted fit.
    weights : iterator of arrays of draws × G

    Returns
    -------
    top : array of 2 × B
        Coefficients of 1 and δ in the draw's estimate less the null value.
    below : array of 3 × B
        Coefficients of 1, δ and δ² in its squared CR0 error.

    Notes
    -----
    The restricted residuals are ẽ = ê + δ·Za/|a|². So with the scores s_g = Z_g′ê_g + δ·P_g/|a|², P_g = `pull`, A_g = a′s_g
    and w = Σ v_g s_g the numerator is a′w and the squared error Σ (v_g A_g − P_g w)².
    """
    pull, scores = contrast.pull, contrast.sum_up(contrast.Z * residuals[:, None])
    slopes = pull / (contrast.a @ contrast.a)
    A0, A1 = scores @ contrast.a, contrast.shares
    gram = pull.T @ pull
    tops, belows = [], []
    for v in weights:
        w0, w1 = v @ scores, v @ slopes
        c0, c1 = v @ (A0[:, None] * pull), v @ (A1[:, None] * pull)
        k0, k1 = w0 @ gram, w1 @ gram
        own = v**2 @ np.column_stack([A0**2, 2 * A0 * A1, A1**2])
        crossed = [(w0 * (k0 - 2 * c0)), 2 * (w1 * (k0 - c0) - w0 * c1), (w1 * (k1 - 2 * c1))]
        tops.append(np.stack([w0 @ contrast.a, w1 @ contrast.a]))
        belows.append(own.T + np.stack([part.sum(axis=1) for part in crossed]))
    return np.concatenate(tops, axis=1), np.concatenate(belows, axis=1)


def _sum_up(rows: Floats, order: Codes, starts: Codes) -> Floats:
    sums: Floats = np.add.reduceat(rows[order], starts, axis=0)
    return sums
