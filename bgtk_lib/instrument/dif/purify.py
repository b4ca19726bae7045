"""Matching on items that do not differ themselves: flagged ones leave the matching score until none comes or goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from bgtk_lib.instrument.dif.matching import Flags

Settled = Literal["off", "settled", "unsettled", "exhausted"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Purified:
    """A comparison and the matching score it rests on.

    Attributes
    ----------
    found : DataFrame
        What was compared.
    anchors : array of bool (J,)
        Items of the matching score.
    state : {"off", "settled", "unsettled", "exhausted"}
        Not asked for; the flagged items stayed the same; they still changed in the last round; too few would be left,
        so the last sufficient matching score stands.
    rounds : int
        Comparisons beyond the first.
    """

    found: pd.DataFrame
    anchors: Flags
    state: Settled
    rounds: int


def purify(
    compare: Callable[[Flags], tuple[pd.DataFrame, Flags]], anchors: Flags, *, fewest: int, most_rounds: int
) -> Purified:
    """Compare, take the flagged items out of the matching score, and compare again.

    Parameters
    ----------
    compare : callable
        Takes items of a matching score; returns what it found and which items it flags, both of all items.
    anchors : array of bool (J,)
        Items that may match.
    fewest : int
        Items a matching score must have.
    most_rounds : int
        Comparisons beyond the first; 0: none, whatever is flagged.

    Notes
    -----
    As `difMH(purify = TRUE)` of R's difR: every item is tested again in each round, so an item may come back.
    """
    kept = anchors
    found, flagged = compare(kept)
    for done in range(most_rounds + 1):
        clean = anchors & ~flagged
        state: Settled | None = None
        if most_rounds == 0:
            state = "off"
        elif (clean == kept).all():
            state = "settled"
        elif done == most_rounds:
            state = "unsettled"
        elif clean.sum() < fewest:
            state = "exhausted"
        if state:
            break
        kept = clean
        found, flagged = compare(kept)
    return Purified(found=found, anchors=kept, state=state or "unsettled", rounds=done)
