"""How long lay between the two sittings, and whether change goes with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from bgtk_lib.change.clusters import Contrast, Floats, fit_cr2
from bgtk_lib.change.describe import COMPARING
from bgtk_lib.change.drawn import Drawn, combine
from bgtk_lib.change.strata import ClusterBy, lay_out, plan_strata
from bgtk_lib.findings import Figure, Withheld
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
    drawn: Drawn, *, window: tuple[int, int], cluster: ClusterBy, confidence: float = 0.95
) -> Timing | Withheld:
    """Estimate how change goes with the days between the sittings, among those whose days are known.

    Parameters
    ----------
    drawn : Drawn
        The pairs; `frame` has days (may be null), district and npsn.
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
    Least squares of the change on one dummy a district and on (days − 180)/30, CR2 by school, in every draw: the slope is its
    last coefficient, the adjusted change Σ(n_d/N)·coefficient of the district's dummy. Districts sat on days of their own, so
    that a slope across them would be their difference. An error of the link moves the adjusted change, not the slope. Who
    sat late chose to or had to: the slope describes, it is not what waiting does.

    Examples
    --------
    Two points in 30 days beside the days: 5 points at 180.

    >>> import pandas as pd
    >>> from bgtk_lib.change.drawn import lay_draws
    >>> days = np.repeat([150, 180, 210], 20)
    >>> noise = np.tile([-1.0, 1.0], 30)
    >>> pairs = pd.DataFrame({"score_pre": 0.0, "score_post": 5 + 2 * (days - 180) / 30 + noise, "days": days})
    >>> drawn = lay_draws(pairs.assign(district="A", npsn=None), pd.DataFrame())
    >>> timing = estimate_timing(drawn, window=(150, 200), cluster="none")
    >>> round(timing.slope.estimate, 6), round(timing.adjusted.estimate, 6), round(timing.share_within, 6)
    (2.0, 5.0, 0.666667)
    """
    known = drawn.frame["days"].notna().to_numpy(dtype=bool)
    if not known.any():
        return Withheld(say("timing.no_days"))
    here = drawn.take(known)
    days = here.frame["days"].to_numpy(dtype=float)
    slope, adjusted = _fit(here, days, cluster=cluster, confidence=confidence)
    return Timing(
        n=here.n,
        n_unknown=drawn.n - here.n,
        median=float(np.median(days)),
        share_within=float(((days >= window[0]) & (days <= window[1])).mean()),
        slope=slope,
        adjusted=adjusted,
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


def _fit(
    drawn: Drawn, days: Floats, *, cluster: ClusterBy, confidence: float
) -> tuple[Contrast | Withheld, Contrast | Withheld]:
    """Return slope and adjusted change over all draws."""
    if drawn.n < FEWEST:
        few = Withheld(say("precision.few_pairs", needed=FEWEST))
        return few, few
    plan = plan_strata(drawn.n, **lay_out(drawn.frame, cluster))
    if isinstance(plan, Withheld):
        return plan, plan
    sizes = np.bincount(plan.strata)
    within = days - (np.bincount(plan.strata, days) / sizes)[plan.strata]
    if within.std() < LEAST_SPREAD:
        alike = Withheld(say("timing.alike"))
        return alike, alike
    X = np.column_stack([np.eye(len(sizes))[plan.strata], (days - TARGET) / STEP])
    weights = np.zeros((2, X.shape[1]))
    weights[0, -1], weights[1, :-1] = 1, sizes / drawn.n
    fits = [fit_cr2(gain, X, plan.clusters) for gain in drawn.gain.T]
    slope, adjusted = (
        _combine(
            drawn, [fit.contrast(row, confidence=confidence) for fit in fits], linked=linked, confidence=confidence
        )
        for row, linked in zip(weights, (0, 1), strict=True)
    )
    return slope, adjusted


def _combine(
    drawn: Drawn, found: list[Contrast | Withheld], *, linked: float, confidence: float
) -> Contrast | Withheld:
    """Return one contrast from those of all draws."""
    seen = [one for one in found if not isinstance(one, Withheld)]
    if len(seen) < len(found):
        return Withheld(say("statistics.no_variation"))
    estimates, variances = [one.estimate for one in seen], [one.se**2 for one in seen]
    df = float(np.mean([one.df for one in seen]))
    return combine(drawn, estimates, variances, df=df, linked=linked, confidence=confidence)
