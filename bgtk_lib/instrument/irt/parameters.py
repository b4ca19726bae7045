"""The parameters of items and groups, and which of them are free."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bgtk_lib.instrument.irt.curves import Curves, Floats

Flags: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = NDArray[np.intp]

LEAST_SPREAD = 0.01  # of ability, logits; the likelihood no longer tells less from none


@dataclass(frozen=True, kw_only=True, eq=False)
class Parameters:
    """Values of all parameters, free or not.

    Attributes
    ----------
    curves : Curves
        J items.
    means, sds : array (G,)
        Of ability in each group.
    """

    curves: Curves
    means: Floats
    sds: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Free:
    """Which parameters are estimated; the order of their vector is slopes, steps (item by item), means, sds.

    Attributes
    ----------
    slopes : array of bool (J,)
    steps : array of bool (J, M)
    means, sds : array of bool (G,)
    """

    slopes: Flags
    steps: Flags
    means: Flags
    sds: Flags

    def __len__(self) -> int:
        return int(self.slopes.sum() + self.steps.sum() + self.means.sum() + self.sds.sum())

    def name(self, item_ids: tuple[str, ...], groups: tuple[str, ...]) -> list[str]:
        """Return the free parameters' names: ``a:ITEM``, ``d1:ITEM``, ``mean:GROUP``, ``sd:GROUP``."""
        return [
            *(f"a:{item_ids[j]}" for j in np.flatnonzero(self.slopes)),
            *(f"d{m + 1}:{item_ids[j]}" for j, m in zip(*np.nonzero(self.steps), strict=True)),
            *(f"mean:{groups[g]}" for g in np.flatnonzero(self.means)),
            *(f"sd:{groups[g]}" for g in np.flatnonzero(self.sds)),
        ]

    def place(self) -> tuple[Places, Places]:
        """Return where every item's slope and steps (J, 1 + M) and every group's mean and sd (G, 2) stand, −1 if not free."""
        of_items = np.full((len(self.slopes), 1 + self.steps.shape[1]), -1)
        of_groups = np.full((len(self.means), 2), -1)
        places = np.split(np.arange(len(self)), self._ends())
        of_items[self.slopes, 0] = places[0]
        of_items[:, 1:][self.steps] = places[1]
        of_groups[self.means, 0] = places[2]
        of_groups[self.sds, 1] = places[3]
        return of_items, of_groups

    def _ends(self) -> Places:
        return np.cumsum([self.slopes.sum(), self.steps.sum(), self.means.sum()])

    def pack(self, values: Parameters) -> Floats:
        """Return the free parameters as a vector."""
        return np.concatenate(
            [
                values.curves.slopes[self.slopes],
                values.curves.intercepts[self.steps],
                values.means[self.means],
                values.sds[self.sds],
            ]
        )

    def unpack(self, vector: Floats, values: Parameters) -> Parameters:
        """Return the parameters with the free ones taken from a vector; no spread falls below `LEAST_SPREAD`."""
        slopes, steps = values.curves.slopes.copy(), values.curves.intercepts.copy()
        means, sds = values.means.copy(), values.sds.copy()
        slopes[self.slopes], steps[self.steps], means[self.means], sds[self.sds] = np.split(vector, self._ends())
        curves = replace(values.curves, slopes=slopes, intercepts=steps)
        return Parameters(curves=curves, means=means, sds=np.where(self.sds, np.maximum(sds, LEAST_SPREAD), sds))


def is_possible(values: Parameters) -> bool:
    """Whether all is finite and the intercepts of graded items fall."""
    steps = values.curves.intercepts[values.curves.graded]
    falls = np.diff(steps, axis=1)
    return bool(
        np.isfinite(values.curves.slopes).all()
        and np.isfinite(values.means).all()
        and np.isfinite(values.sds).all()
        and (falls[~np.isnan(falls)] < 0).all()
    )
