"""How long lay between the two sittings, and whether change goes with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from bgtk_lib.change.clusters import Contrast, Floats, contrast_cr2
from bgtk_lib.change.drawn import Drawn, combine_means
from bgtk_lib.change.strata import ClusterBy, lay_out, plan_strata
from bgtk_lib.findings import COMPARING, Figure, Withheld
from bgtk_lib.words import say

TARGET = 180  # days: the six months of the question
STEP = 30  # days a slope is told for
FEWEST = 30  # persons
LEAST_SPREAD = 7.0  # days: below, a slope of 30 days reaches beyond four standard deviations of what was seen


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Days between the sittings, and the change as they go.

    Attributes
    ----------
    n : int
        Pairs whose days are known.
    n_unknown : int
        Pairs whose days are not.
    median : float
        Days.
    share_within : float
        Share within the window, its ends included, 0 to 1.
    slope : Contrast or Withheld
        Difference in change between persons of one district who sat 30 days further apart.
    adjusted : Contrast or Withheld
        Mean change had everybody sat 180 days apart, if that slope holds.
    """

    n: int
    n_unknown: int
    median: float
    share_within: float
    slope: Contrast | Withheld
    adjusted: Contrast | Withheld


def estimate_timing(
    drawn: Drawn, gain: ArrayLike, *, window: tuple[int, int], cluster: ClusterBy, confidence: float = 0.95
) -> Timing | Withheld:
    """Estimate how change goes with the days between the sittings, among those whose days are known.

    Parameters
    ----------
    drawn : Drawn
        The pairs; `frame` has days (may be null), district and npsn.
    gain : array of n
        Each person's change in own scores, from which the slope is taken: plausible values know nothing of days, and would
        show a slope too small by what the test leaves open.
    window : (int, int)
        Fewest and most days that count as six months.
    cluster : {"school", "district", "none"}
        As in `estimate_change`.
    confidence : float
        Of the intervals, between 0 and 1.

    Returns
    -------
    Timing or Withheld
        Withheld where nobody's days are known. Slope and adjusted change alone are withheld below 30 pairs, and where days
        vary by less than a week (standard deviation) within districts.

    Notes
    -----
    Slope: least squares of `gain` on one dummy a district and on (days − 180)/30, CR2 by school. Districts sat on days of
    their own, so that a slope across them would be their difference. Adjusted: the mean change of `drawn` less the slope
    times what the mean days are beyond 180; a mean and a slope within districts are independent, so that their errors add
    as squares. An error of the link moves the adjusted change, not the slope. Who sat late chose to or had to: the slope
    describes, it is not what waiting does.

    Examples
    --------
    Two points in 30 days beside the days: 5 points at 180.

    >>> import pandas as pd
    >>> from bgtk_lib.change.drawn import lay_draws
    >>> days = np.repeat([150, 180, 225], 20)
    >>> noise = np.tile([-1.0, 1.0], 30)
    >>> pairs = pd.DataFrame({"score_pre": 0.0, "score_post": 5 + 2 * (days - 180) / 30 + noise, "days": days})
    >>> drawn = lay_draws(pairs.assign(district="A", npsn=None), pd.DataFrame())
    >>> timing = estimate_timing(drawn, pairs["score_post"], window=(150, 200), cluster="none")
    >>> round(timing.slope.estimate, 6), round(timing.adjusted.estimate, 6), round(timing.share_within, 6)
    (2.0, 5.0, 0.666667)
    """
    known = drawn.frame["days"].notna().to_numpy(dtype=bool)
    if not known.any():
        return Withheld(say("timing.no_days"))
    here, rises = drawn.take(known), np.asarray(gain, dtype=float)[known]
    days = here.frame["days"].to_numpy(dtype=float)
    slope = _find_slope(here, rises, days, cluster=cluster, confidence=confidence)
    mean = combine_means(here, here.gain, cluster=cluster, linked=1, confidence=confidence)
    return Timing(
        n=here.n,
        n_unknown=drawn.n - here.n,
        median=float(np.median(days)),
        share_within=float(((days >= window[0]) & (days <= window[1])).mean()),
        slope=slope,
        adjusted=_move(mean, slope, steps=(days.mean() - TARGET) / STEP, confidence=confidence),
    )


def list_timing(timing: Timing | Withheld, *, n: int) -> list[Figure]:
    """Return the days and what goes with them: `timing.median`, `timing.within`, `timing.slope`, `timing.adjusted`.

    Parameters
    ----------
    timing : Timing or Withheld
        As `estimate_timing` returns it.
    n : int
        Pairs.
    """
    if isinstance(timing, Withheld):
        return [Figure(name="timing.median", value=timing, unit="days", n=n, population=say("population.pairs"))]
    figure = partial(Figure, n=timing.n, population=say("population.pairs_with_days"))
    figures = [
        figure(name="timing.median", value=timing.median, unit="days"),
        figure(name="timing.within", value=100 * timing.share_within, unit="percent"),
    ]
    for name, found in (("slope", timing.slope), ("adjusted", timing.adjusted)):
        told = partial(figure, name=f"timing.{name}", unit="points", status="exploratory", gates=COMPARING)
        if isinstance(found, Withheld):
            figures.append(told(value=found))
        else:
            figures.append(told(value=found.estimate, low=found.low, high=found.high, se=found.se))
    return figures


def _find_slope(
    drawn: Drawn, gain: Floats, days: Floats, *, cluster: ClusterBy, confidence: float
) -> Contrast | Withheld:
    """Return the slope within districts."""
    if drawn.n < FEWEST:
        return Withheld(say("precision.few_pairs", needed=FEWEST))
    plan = plan_strata(drawn.n, **lay_out(drawn.frame, cluster))
    if isinstance(plan, Withheld):
        return plan
    sizes = np.bincount(plan.strata)
    within = days - (np.bincount(plan.strata, days) / sizes)[plan.strata]
    if within.std() < LEAST_SPREAD:
        return Withheld(say("timing.alike"))
    X = np.column_stack([np.eye(len(sizes))[plan.strata], (days - TARGET) / STEP])
    weights = np.append(np.zeros(len(sizes)), 1.0)
    return contrast_cr2(gain, X, plan.clusters, weights=weights, confidence=confidence)[0]


def _move(
    mean: Contrast | Withheld, slope: Contrast | Withheld, *, steps: float, confidence: float
) -> Contrast | Withheld:
    """Return the mean less the slope times `steps`; degrees of freedom by Welch and Satterthwaite."""
    if isinstance(slope, Withheld):
        return slope
    if isinstance(mean, Withheld):
        return mean
    parts = mean.se**2, (steps * slope.se) ** 2
    estimate, se = mean.estimate - steps * slope.estimate, math.sqrt(sum(parts))
    df = se**4 / (parts[0] ** 2 / mean.df + parts[1] ** 2 / slope.df)
    half = float(stats.t.isf((1 - confidence) / 2, df)) * se
    p = float(2 * stats.t.sf(abs(estimate) / se, df))
    return Contrast(estimate=estimate, se=se, df=df, low=estimate - half, high=estimate + half, t=estimate / se, p=p)
