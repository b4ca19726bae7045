"""The table every method fills: test, effect and its class, or the reason there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bgtk_lib.instrument.dif.matching import Floats

DELTA = -2.35  # ETS delta points per logit of disadvantage: 4/1.7 (Holland & Thayer 1988)


def state_found(
    statistic: Floats, effect: Floats, *, error: Floats, direction: Floats, note: NDArray[np.str_], freedom: int = 1
) -> pd.DataFrame:
    """Return one row an item: `statistic` (chi-square), `p`, `effect`, `effect_se`, `direction`, `note`.

    A note leaves the row without effect, and without test too unless it is ``unbounded``.
    """
    sized = note == ""
    tested = sized | (note == "unbounded")
    statistic = np.where(
        tested, np.clip(statistic, 0, None), np.nan
    )  # of nested models none is negative but by rounding
    return pd.DataFrame(
        {
            "statistic": statistic,
            "p": stats.chi2.sf(statistic, freedom),
            "effect": np.where(sized, effect, np.nan),
            "effect_se": np.where(sized, error, np.nan),
            "direction": np.where(tested, direction, np.nan),
            "note": pd.Series(note, dtype="str").where(~sized),
        }
    )


def classify(found: pd.DataFrame, *, small: pd.Series[bool], large: pd.Series[bool], alpha: float) -> pd.Series[Any]:
    """Return A where the effect is small or p not below `alpha`, else C where large, else B; null without effect."""
    classes = np.select([small | (found["p"] >= alpha), large], ["A", "C"], default="B")
    return pd.Series(classes, index=found.index, dtype="str").where(found["effect"].notna())
