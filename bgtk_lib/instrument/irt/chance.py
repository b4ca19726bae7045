"""How large the signs of dependence become by chance alone, in a form of this length with this many persons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.irt.abilities import code_credit
from bgtk_lib.instrument.irt.contrasts import find_contrasts
from bgtk_lib.instrument.irt.curves import Curves, Floats
from bgtk_lib.instrument.irt.dependence import estimate_q3
from bgtk_lib.words import say

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class ChanceLimits:
    """What chance alone brings about where one ability explains everything.

    Attributes
    ----------
    q3_above_mean : float or Withheld
        The largest `q3_above_mean` of a form stays below it at the given level.
    first : float or Withheld
        The first eigenvalue stays below it.
    disattenuated : float or Withheld
        The disattenuated correlation stays above it.
    level : float
        Share of sound forms within each limit, one limit at a time.
    repetitions : int
        Simulated data sets.
    """

    q3_above_mean: float | Withheld
    first: float | Withheld
    disattenuated: float | Withheld
    level: float
    repetitions: int


def simulate_limits(
    credit: pd.DataFrame,
    curves: Curves,
    *,
    mean: float,
    sd: float,
    rng: np.random.Generator,
    repetitions: int = 200,
) -> ChanceLimits:
    """Simulate how large Q3 and the first contrast become by chance, where the model holds (parametric bootstrap).

    Parameters
    ----------
    credit, curves, mean, sd
        As in `estimate_q3`. As many persons are drawn as there are, each presented what one of them was.
    rng : Generator
    repetitions : int
        Simulated data sets. With 200 of them a limit is passed by 2 to 8 % of sound forms instead of by 5 %.

    Returns
    -------
    ChanceLimits

    Notes
    -----
    The items count as known: they are not calibrated again on each simulated data set, which moves the limits by about
    .01 (Q3), .03 (eigenvalue) and .006 (correlation). The fixed limits in use, .20, 2 and .90, suit about a thousand
    persons: with 111 persons and 40 items chance alone reaches about .38, 2.6 and .69.

    References
    ----------
    Christensen, K. B., Makransky, G. & Horton, M. (2017). Critical values for Yen's Q3. *Applied Psychological
    Measurement* 41, 178-194.

    Raîche, G. (2005). Critical eigenvalue sizes in standardized residual principal components analysis. *Rasch
    Measurement Transactions* 19(1).

    Examples
    --------
    Two items leave one pair, which is its own mean, and too few items for a contrast.

    >>> curves = Curves(item_ids=("b1", "b2"), slopes=np.ones(2), intercepts=np.zeros((2, 1)), graded=np.zeros(2, bool))
    >>> credit = pd.DataFrame(np.tile([[1, 0], [0, 0]], (20, 1)), columns=["b1", "b2"])
    >>> limits = simulate_limits(credit, curves, mean=0, sd=1, rng=np.random.default_rng(1), repetitions=5)
    >>> limits.q3_above_mean, isinstance(limits.first, Withheld)
    (0.0, True)
    """
    codes, curves = code_credit(credit, curves)
    presented = codes >= 0
    found = np.full((repetitions, 3), np.nan)
    for at in range(repetitions):
        drawn = pd.DataFrame(_draw(presented, curves, mean=mean, sd=sd, rng=rng), columns=list(curves.item_ids))
        contrasts = find_contrasts(drawn, curves)
        found[at, 0] = estimate_q3(drawn, curves, mean=mean, sd=sd).pairs["q3_above_mean"].max()
        found[at, 1] = _value(contrasts.first)
        found[at, 2] = _value(contrasts.disattenuated)
    return ChanceLimits(
        q3_above_mean=_limit(found[:, 0], LEVEL),
        first=_limit(found[:, 1], LEVEL),
        disattenuated=_limit(found[:, 2], 1 - LEVEL),
        level=LEVEL,
        repetitions=repetitions,
    )


def _draw(presented: NDArray[np.bool_], curves: Curves, *, mean: float, sd: float, rng: np.random.Generator) -> Floats:
    """Return simulated credit, null where it was not presented."""
    chances = curves.probabilities(rng.normal(mean, sd, len(presented)))
    passed = rng.random(presented.T.shape)[:, None, :] > chances.cumsum(axis=1)
    drawn = np.minimum(passed.sum(axis=1).T, curves.highest)
    found: Floats = np.where(presented, drawn, np.nan)
    return found


def _value(result: float | Withheld) -> float:
    """Return the number, null where there is none."""
    return np.nan if isinstance(result, Withheld) else result


def _limit(drawn: Floats, share: float) -> float | Withheld:
    """Return a quantile of what could be computed, withheld where that is at most half."""
    known = drawn[~np.isnan(drawn)]
    if 2 * len(known) <= len(drawn):
        return Withheld(say("irt_fit.no_limit", n=len(known), of=len(drawn)))
    return float(np.quantile(known, share))
