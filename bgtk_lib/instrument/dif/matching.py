"""Persons of two groups set side by side at equal score: the table that every method here starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = NDArray[np.intp]

DECIMALS = 9  # scores that agree so far are one: sums of fractions differ in the last bits


@dataclass(frozen=True, kw_only=True, eq=False)
class Matched:
    """Credit on J items by matching score and group.

    Attributes
    ----------
    score : array (S,)
        The distinct matching scores, rising.
    n : array (2, S)
        Persons of the reference group (0) and of the focal group (1).
    total : array (2, S, J)
        Sum of their credit; of right and wrong, how many were right.
    squares : array (S, J)
        Sum of squared credit, both groups.
    """

    score: Floats
    n: Floats
    total: Floats
    squares: Floats

    def take(self, items: Flags) -> Matched:
        """Return the same of some items."""
        return replace(self, total=self.total[:, :, items], squares=self.squares[:, items])

    def overlap(self) -> Matched:
        """Return the scores at which there are persons of both groups; the others say nothing about equals."""
        both = (self.n > 0).all(axis=0)
        return Matched(score=self.score[both], n=self.n[:, both], total=self.total[:, both], squares=self.squares[both])


def match(score: Floats, points: Floats, focal: Flags) -> Matched:
    """Sum credit by score and group.

    Parameters
    ----------
    score : array (N,)
        The matching score of each person.
    points : array (N, J)
        Credit, no nulls.
    focal : array of bool (N,)
        Whether the person is of the focal group.

    Examples
    --------
    >>> table = match(np.array([1.0, 1, 2, 2]), np.array([[0.0], [1], [1], [1]]), np.array([False, True, False, True]))
    >>> table.n.tolist(), table.total[:, :, 0].tolist()
    ([[1.0, 1.0], [1.0, 1.0]], [[0.0, 1.0], [1.0, 1.0]])
    """
    scores, place = np.unique(score.round(DECIMALS), return_inverse=True)
    cell = place + len(scores) * focal
    # a sparse indicator sums all items in one pass; a loop of np.bincount takes about five times as long
    indicator = sparse.csr_array((np.ones(len(cell)), (cell, np.arange(len(cell)))), shape=(2 * len(scores), len(cell)))
    return Matched(
        score=scores,
        n=np.bincount(cell, minlength=2 * len(scores)).reshape(2, -1).astype(float),
        total=(indicator @ points).reshape(2, len(scores), points.shape[1]),
        squares=(indicator @ points**2).reshape(2, len(scores), points.shape[1]).sum(axis=0),
    )


def match_items(points: Floats, focal: Flags, anchors: Flags) -> Iterator[tuple[Places, Matched]]:
    """Match each item on the anchors' score, the item itself included; yield items that share a score together.

    Parameters
    ----------
    points : array (N, J)
        Credit, null where not presented; never null on an anchor.
    focal : array of bool (N,)
        Whether the person is of the focal group.
    anchors : array of bool (J,)
        Items that make the matching score.

    Notes
    -----
    The studied item belongs to its own matching score: without it, an item without DIF shows some wherever the groups
    differ in ability (Holland & Thayer 1988; Zwick 1990). An item that is no anchor is therefore added to the score for
    its own test only, as R's difR does.
    """
    if anchors.any():
        matching = np.ascontiguousarray(points[:, anchors])
        yield np.flatnonzero(anchors), match(matching.sum(axis=1), matching, focal)
    for item in np.flatnonzero(~anchors):
        yield np.array([item]), match_item(points, focal, anchors, int(item))


def match_item(points: Floats, focal: Flags, anchors: Flags, item: int) -> Matched:
    """Match one item as `match_items` does; persons it was not presented to are left out."""
    with_item = anchors.copy()
    with_item[item] = True
    seen = ~np.isnan(points[:, item])
    return match(points[seen][:, with_item].sum(axis=1), points[seen, item][:, None], focal[seen])


def choose_matching(presented: Flags, *, share: float) -> tuple[Flags, Flags]:
    """Return the items everyone took, and the persons who took them all.

    Parameters
    ----------
    presented : array of bool (N, J)
        Whether the item was presented to the person.
    share : float
        An item counts as taken by everyone from this share of the persons on; the few who did not are set aside.

    Returns
    -------
    anchors : array of bool (J,)
    complete : array of bool (N,)

    Examples
    --------
    >>> anchors, complete = choose_matching(np.array([[True, True], [True, False], [False, True]]), share=0.6)
    >>> anchors.tolist(), complete.tolist()
    ([True, True], [True, False, False])
    """
    anchors: Flags = presented.sum(axis=0) >= share * max(len(presented), 1)
    return anchors, np.asarray(presented[:, anchors].all(axis=1))


def band_scores(table: Matched, *, fewest: int) -> list[slice]:
    """Return neighbouring scores put together until each group has enough persons; what is left joins the last band.

    Examples
    --------
    >>> n = np.array([[6.0, 6, 9, 2], [9, 4, 9, 8]])
    >>> table = Matched(score=np.arange(4.0), n=n, total=n[:, :, None], squares=n.sum(axis=0)[:, None])
    >>> [(band.start, band.stop) for band in band_scores(table, fewest=10)]
    [(0, 2), (2, 4)]
    """
    bands: list[slice] = []
    start = 0
    for end in range(1, len(table.score) + 1):
        if (table.n[:, start:end].sum(axis=1) >= fewest).all():
            bands.append(slice(start, end))
            start = end
    if bands:
        bands[-1] = slice(bands[-1].start, len(table.score))
    return bands
