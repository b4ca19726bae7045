"""Pairs of items that go together beyond what one ability explains: Yen's Q3."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.irt.abilities import estimate_eap
from bgtk_lib.instrument.irt.curves import Curves, Floats
from bgtk_lib.instrument.irt.fit import MIN_PERSONS, take_residuals
from bgtk_lib.words import say

PAIR_COLUMNS = ["item_a", "item_b", "n", "q3", "q3_above_mean", "note"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalDependence:
    """Yen's Q3: how residuals of two items go together.

    Attributes
    ----------
    matrix : DataFrame
        Q3 of each item with each other, 1 on the diagonal; null where it could not be computed.
    pairs : DataFrame
        `PAIR_COLUMNS`, one row a pair of items, the largest first. `n`: persons presented both. `q3`: correlation of
        their residuals. `q3_above_mean`: less the mean over all pairs. `note`: why there is none, else null:
        ``too_few`` (fewer than four persons), ``constant`` (a residual that does not vary).
    mean : float or Withheld
        Mean Q3 over all pairs; about −1/(J − 1) where one ability explains everything.
    n_persons : int
        Persons with an ability.
    """

    matrix: pd.DataFrame
    pairs: pd.DataFrame
    mean: float | Withheld
    n_persons: int


def estimate_q3(credit: pd.DataFrame, curves: Curves, *, mean: float, sd: float) -> LocalDependence:
    """Correlate the residuals of each pair of items at the persons' posterior means (Yen's Q3).

    Parameters
    ----------
    credit : DataFrame
        Persons × items, categories 0 … m, null where not presented; a pair rests on the persons presented both. Items
        without curves are left out.
    curves : Curves
    mean, sd : float
        Of the normal population the persons come from, on the scale of the curves.

    Returns
    -------
    LocalDependence

    Raises
    ------
    SchemaError
        If an item holds a category that its curve does not have.

    Notes
    -----
    The residual is x − E(x | θ), not standardised. θ is the posterior mean, as in R mirt (``residuals(type = "Q3")``)
    and exametrika. Q3 of sound items lies around −1/(J − 1), hence the comparison with the mean. A fixed limit of .20
    is passed by chance alone in small samples; see `simulate_limits`.

    References
    ----------
    Yen, W. M. (1984). Effects of local item dependence on the fit and equating performance of the three-parameter
    logistic model. *Applied Psychological Measurement* 8, 125-145.

    Christensen, K. B., Makransky, G. & Horton, M. (2017). Critical values for Yen's Q3. *Applied Psychological
    Measurement* 41, 178-194.

    Examples
    --------
    Two items that are always answered alike leave the same residual.

    >>> curves = Curves(item_ids=("b1", "b2"), slopes=np.ones(2), intercepts=np.zeros((2, 1)), graded=np.zeros(2, bool))
    >>> found = estimate_q3(pd.DataFrame({"b1": [1, 1, 0, 0], "b2": [1, 1, 0, 0]}), curves, mean=0, sd=1)
    >>> round(float(found.pairs["q3"][0]), 6), found.n_persons
    (1.0, 4)
    """
    theta = estimate_eap(credit, curves, mean=mean, sd=sd)["theta"]
    residuals = take_residuals(credit, curves, theta=theta)[0]
    present = (~np.isnan(residuals)).astype(float)
    first, second = np.triu_indices(residuals.shape[1], 1)
    n = (present.T @ present)[first, second].astype(np.int64)
    table = correlate_columns(residuals)
    q3 = table[first, second]
    average = float(np.nanmean(q3)) if (~np.isnan(q3)).any() else Withheld(say("irt_fit.no_pairs"))
    names = pd.Index([item for item in curves.item_ids if item in credit.columns], dtype="str")
    note = np.select([n < MIN_PERSONS, np.isnan(q3)], ["too_few", "constant"], default="")
    pairs = pd.DataFrame(
        {
            "item_a": names[first],
            "item_b": names[second],
            "n": n,
            "q3": q3,
            "q3_above_mean": q3 - (np.nan if isinstance(average, Withheld) else average),
            "note": pd.Series(note, dtype="str").where(note != ""),
        },
        columns=PAIR_COLUMNS,
    )
    return LocalDependence(
        matrix=pd.DataFrame(table, index=names, columns=names),
        pairs=pairs.sort_values("q3_above_mean", ascending=False, kind="stable", ignore_index=True),
        mean=average,
        n_persons=int(theta.notna().sum()),
    )


def find_dependent_pairs(dependence: LocalDependence, *, offset: float = 0.20) -> pd.DataFrame:
    """Return the pairs whose Q3 lies above the mean by more than an offset, the largest first."""
    return dependence.pairs[dependence.pairs["q3_above_mean"] > offset].reset_index(drop=True)


def correlate_columns(values: Floats) -> Floats:
    """Return the correlations of columns over the rows that have both; null with few rows or a column that does not vary."""
    return pd.DataFrame(values).corr(min_periods=MIN_PERSONS).to_numpy(dtype=float)
