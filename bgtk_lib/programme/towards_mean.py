"""How far a group picked by its first score returns towards the mean by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bgtk_lib.change.clusters import Contrast, code_clusters, contrast_cr2
from bgtk_lib.change.describe import FEWEST_DF
from bgtk_lib.change.drawn import Drawn, combine_contrasts
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

FEWEST_OTHERS = 30  # those not picked, whose line from first to second score is used


@dataclass(frozen=True, kw_only=True)
class TowardsMean:
    """The change to expect of a group only because of where it stood.

    Attributes
    ----------
    estimate : float
        In the unit of the scores; positive for a group from below the mean.
    low, high : float or None
        Ends of its interval; none where it rests on a reliability that is taken as known.
    sd : float
        Standard deviation of everyone's first scores, by which it may be divided.
    remains : float
        Share of the group's distance from the mean that is expected to remain: r.
    source : {"retest", "reliability"}
        Whether r comes from those who were not picked, or from the test's reliability.
    n_group, n_others : int
        Persons of the group, and those not in it.
    """

    estimate: float
    low: float | None
    high: float | None
    sd: float
    remains: float
    source: Literal["retest", "reliability"]
    n_group: int
    n_others: int


def expect_towards_mean(
    drawn: Drawn, picked: ArrayLike, *, reliability: float | None = None, confidence: float = 0.95
) -> TowardsMean | Withheld:
    """Estimate the change that a group picked by its first score shows with no effect at all.

    Parameters
    ----------
    drawn : Drawn
        Everyone who sat both measurements; `frame` has npsn. Plausible values may not know of the group at the first wave
        (`draw_plausible_values`, `chosen`).
    picked : array of n, bool
        The group.
    reliability : float, optional
        Of the first form; stands in for r of points where fewer than 30 were not picked. It leaves out that persons change, so the true
        regression is larger.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    TowardsMean or Withheld
        Withheld for an empty group, where all are in it (its distance from the mean is not known then), or with neither 30
        others nor a reliability.

    Notes
    -----
    (1 − r)(M − m): M and m the mean first scores of everyone and of the group, r the slope of second on first score among those
    not picked. Picking by the first score cuts its range but leaves that slope as it is; a correlation would shrink. Points
    of a form hold the luck by which some were picked, and r tells how much of it goes. Plausible values hold none: theirs is
    the slope of true on true ability, in each draw, and what returns is what abilities themselves do. Beside it stands
    whatever everyone changed.

    References
    ----------
    Barnett, A. G., van der Pols, J. C. & Dobson, A. J. (2005). Regression to the mean: what it is and how to deal with it.
    *International Journal of Epidemiology* 34(1), 215-220.

    Examples
    --------
    The group lies 3 below the mean of 5; a reliability of .8 lets a fifth of that return.

    >>> import pandas as pd
    >>> from bgtk_lib.change.drawn import lay_draws
    >>> pairs = pd.DataFrame({"pid": list("abcd"), "points_pre": [2, 2, 8, 8], "npsn": None})
    >>> pairs = pairs.assign(score_pre=pairs["points_pre"], score_post=0)
    >>> found = expect_towards_mean(lay_draws(pairs, pd.DataFrame()), [True, True, False, False], reliability=0.8)
    >>> round(found.estimate, 6), found.source
    (0.6, 'reliability')
    """
    group = np.asarray(picked, dtype=bool)
    n_others = int((~group).sum())
    if not group.any() or n_others == 0:
        return Withheld(say("programme.no_mean"))
    distance = float(drawn.pre[group].mean() - drawn.pre.mean())
    sd = float(drawn.pre.std(axis=0, ddof=1).mean())
    others = drawn.take(~group)
    if n_others >= FEWEST_OTHERS and (np.ptp(others.pre, axis=0) > 0).all():
        slope = _find_slope(others, confidence=confidence)
        if isinstance(slope, Withheld):
            return slope
        low, high = sorted(((slope.low - 1) * distance, (slope.high - 1) * distance))
        return TowardsMean(
            estimate=(slope.estimate - 1) * distance,
            low=low,
            high=high,
            sd=sd,
            remains=slope.estimate,
            source="retest",
            n_group=int(group.sum()),
            n_others=n_others,
        )
    if reliability is None or drawn.n_draws > 1:
        return Withheld(say("programme.no_retest", n=FEWEST_OTHERS))
    return TowardsMean(
        estimate=-(1 - reliability) * distance,
        low=None,
        high=None,
        sd=sd,
        remains=reliability,
        source="reliability",
        n_group=int(group.sum()),
        n_others=n_others,
    )


def _find_slope(drawn: Drawn, *, confidence: float) -> Contrast | Withheld:
    """Return the slope of second on first score over all draws, CR2 by school."""
    clusters = code_clusters(drawn.frame["npsn"], drawn.n)
    if clusters.max() == 0:
        return Withheld(say("withheld.few_clusters"))
    found: list[Contrast | Withheld] = []
    for pre, post in zip(drawn.pre.T, drawn.post.T, strict=True):
        X = np.column_stack([(pre - pre.mean()) / np.ptp(pre), np.ones(drawn.n)])
        found += contrast_cr2(post / np.ptp(pre), X, clusters, weights=[1.0, 0.0], confidence=confidence)
    if np.mean([one.df for one in found if isinstance(one, Contrast)] or [np.inf]) < FEWEST_DF:
        return Withheld(say("withheld.few_clusters"))
    return combine_contrasts(drawn, found, linked=0, confidence=confidence)
