"""Links without anchors: through random equivalent groups, or through persons who sat both forms."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bgtk_lib.findings import Withheld
from bgtk_lib.linking.constants import Floats, Line
from bgtk_lib.words import say

FEWEST = 30  # persons a group: below, a standard deviation is known to no better than 13 %


def link_persons(
    pre: ArrayLike, post: ArrayLike, *, design: Literal["equivalent_groups", "common_person"]
) -> Line | Withheld:
    """Estimate the line that gives the scores on the post form the mean and SD of those on the pre form.

    Parameters
    ----------
    pre, post : array
        Scores on either form, of any unit; nulls count for nothing. With ``common_person``: of the same persons in the
        same order, and only who has both counts.
    design : {"equivalent_groups", "common_person"}
        Two random samples of one population, or one sample that sat both forms.

    Returns
    -------
    Line or Withheld
        score_pre = slope · score_post + shift. Withheld with fewer than 30 persons, or where a form's scores do not vary.

    Notes
    -----
    slope = s_pre / s_post, shift = x̄_pre − slope · x̄_post. Standard errors by the delta method from each person's
    influence on means and SDs, x − x̄ and ((x − x̄)² − s²) / 2s; no normality is assumed. Two scores of one person
    carry their covariance. The linking error is the standard error of the line at x̄_post.

    References
    ----------
    Kolen, M. J. & Brennan, R. L. (2004). *Test Equating, Scaling, and Linking*, 2nd ed., equations 2.8 and 7.3.

    Examples
    --------
    >>> line = link_persons(np.arange(60.0), np.arange(60.0) / 2 + 1, design="common_person")
    >>> round(line.slope, 6), round(line.shift, 6), round(line.slope_se, 6)
    (2.0, -2.0, 0.0)
    """
    x, y = (np.asarray(one, dtype=float) for one in (post, pre))
    if design == "common_person":
        both = ~np.isnan(x) & ~np.isnan(y)
        x, y = x[both], y[both]
    x, y = x[~np.isnan(x)], y[~np.isnan(y)]
    if min(len(x), len(y)) < FEWEST:
        return Withheld(say("linking.few_persons", pre=len(y), post=len(x), needed=FEWEST))
    if min(x.std(), y.std()) == 0:
        return Withheld(say("linking.no_variation"))
    slope = y.std(ddof=1) / x.std(ddof=1)
    (mean_x, sd_x), (mean_y, sd_y) = _influence(x), _influence(y)
    on_slope = (sd_y / x.std(ddof=1), -slope * sd_x / x.std(ddof=1))
    on_mean = (mean_y, -slope * mean_x)
    on_shift = (mean_y - x.mean() * on_slope[0], -slope * mean_x - x.mean() * on_slope[1])
    return Line(
        slope=float(slope),
        shift=float(y.mean() - slope * x.mean()),
        slope_se=_add_up(on_slope, design),
        shift_se=_add_up(on_shift, design),
        linking_error=_add_up(on_mean, design),
    )


def _add_up(influence: tuple[Floats, Floats], design: str) -> float:
    """Return the standard error from the influence of each person of either form, of the same persons or others."""
    sides = [influence[0] + influence[1]] if design == "common_person" else influence
    return float(np.sqrt(sum((side**2).sum() / len(side) ** 2 for side in sides)))


def _influence(scores: Floats) -> tuple[Floats, Floats]:
    """Return each person's influence on the mean and on the SD."""
    away, sd = scores - scores.mean(), scores.std(ddof=1)
    return away, (away**2 - sd**2) / (2 * sd)
