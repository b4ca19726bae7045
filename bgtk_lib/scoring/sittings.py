"""Who sat which wave and what they answered, laid out for estimation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bgtk_lib.errors import LinkageError, Text
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.words import plain, say

Floats: TypeAlias = NDArray[np.float64]
Waves: TypeAlias = Mapping[str, tuple[pd.DataFrame, Curves]]

FEWEST_PERSONS = 30  # in a wave, and in both for their correlation


@dataclass(frozen=True, kw_only=True, eq=False)
class Sitting:
    """The answers at one wave.

    Attributes
    ----------
    credit : array (n, J)
        Categories, null where not presented; every person of the study has a row.
    curves : Curves
        Of the same J items.
    """

    credit: Floats
    curves: Curves


@dataclass(frozen=True, kw_only=True, eq=False)
class Sittings:
    """The answers at all waves.

    Attributes
    ----------
    pids : Index of n
        Who was presented an item at one wave at least, in order.
    sat : array of bool (n, w)
        At which.
    waves : tuple of str
        Their names.
    each : tuple of Sitting
        One a wave, on the abilities of the regression: (θ − centre)/unit.
    unit, centre : float
        1/slope of the middle item and the middle difficulty: so the regression's numbers are of the order of 1.
    """

    pids: pd.Index[Any]
    sat: NDArray[np.bool_]
    waves: tuple[str, ...]
    each: tuple[Sitting, ...]
    unit: float
    centre: float

    @property
    def n_both(self) -> int:
        """Persons who sat two waves."""
        return int((self.sat.sum(axis=1) == 2).sum())

    def express(self, *, unit: float, centre: float) -> Sittings:
        """Return the same answers with abilities in other units."""
        if (unit, centre) == (self.unit, self.centre):
            return self
        slope, shift = self.unit / unit, (self.centre - centre) / unit
        each = tuple(replace(one, curves=one.curves.rescale(slope=slope, shift=shift)) for one in self.each)
        return replace(self, each=each, unit=unit, centre=centre)


def gather_sittings(waves: Waves) -> Sittings | Withheld:
    """Return the answers at all waves, persons and items in order, items without a curve left out.

    Parameters
    ----------
    waves : mapping
        Wave → credit (index pid) and curves.

    Returns
    -------
    Sittings or Withheld
        Withheld with fewer than 30 persons in a wave, or where all their answers earned the highest credit or none.

    Raises
    ------
    LinkageError
        If a person stands twice, no item has a curve, or a category is none of its item's.
    """
    read = {wave: _read_credit(wave, *given) for wave, given in waves.items()}
    for wave, credit in read.items():
        if len(credit) < FEWEST_PERSONS:
            return Withheld(say("scoring.plausible_few", wave=plain(wave), n=len(credit), needed=FEWEST_PERSONS))
        highest = waves[wave][1].take(list(credit.columns)).highest
        if not ((credit > 0).to_numpy().any() and (credit < highest).to_numpy().any()):
            return Withheld(say("scoring.plausible_constant", wave=plain(wave)))
    unit, centre = _find_unit(curves for _, curves in waves.values())
    pids = pd.Index(sorted(set().union(*(credit.index for credit in read.values()))), name="pid")
    return Sittings(
        pids=pids,
        sat=np.column_stack([pids.isin(credit.index) for credit in read.values()]),
        waves=tuple(waves),
        each=tuple(
            Sitting(
                credit=credit.reindex(pids).to_numpy(),
                curves=waves[wave][1].take(list(credit.columns)).rescale(slope=1 / unit, shift=-centre / unit),
            )
            for wave, credit in read.items()
        ),
        unit=unit,
        centre=centre,
    )


def _read_credit(wave: str, credit: pd.DataFrame, curves: Curves) -> pd.DataFrame:
    """Return credit on the items that have a curve, of those who were presented one."""
    twice = int(credit.index.duplicated().sum())
    if twice:
        raise LinkageError(say("scoring.person_twice", wave=plain(wave), n=twice))
    items = sorted(set(credit.columns) & set(curves.item_ids))
    if not items:
        raise LinkageError(say("scoring.no_curves", wave=plain(wave)))
    chosen = credit[items].astype(float).dropna(how="all")
    wrong = chosen.notna() & ~(chosen.ge(0) & chosen.le(curves.take(items).highest) & chosen.mod(1).eq(0))
    if wrong.to_numpy().any():
        names = shorten(wrong.columns[wrong.any()])
        n = int(wrong.to_numpy().sum())
        raise LinkageError(say("scoring.wrong_category", wave=plain(wave), n=n, items=names))
    return chosen


def _find_unit(curves: Iterable[Curves]) -> tuple[float, float]:
    """Return 1/slope of the middle item and the middle difficulty."""
    given = list(curves)
    slopes = np.concatenate([one.slopes for one in given])
    places = np.concatenate([one.difficulties.ravel() for one in given])
    return float(1 / np.median(np.abs(slopes))), float(np.median(places[np.isfinite(places)]))


def shorten(names: Iterable[str]) -> Text:
    """Return at most three names in one line.

    Examples
    --------
    >>> shorten("abcd").en
    'a, b, c, …'
    """
    given = list(names)
    return plain(", ".join(given[:3] + ["…"] * (len(given) > 3)))
