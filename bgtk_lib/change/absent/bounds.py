"""How far those who left could move the answer: the tipping point of a change, trimming bounds of a difference of groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, stats

from bgtk_lib.change.clusters import Contrast, Floats
from bgtk_lib.change.drawn import Drawn, combine_means
from bgtk_lib.change.estimate import Change
from bgtk_lib.change.strata import ClusterBy
from bgtk_lib.errors import Text
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

Arm = Literal["treated", "comparison"]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Tipping:
    """Mean change of those who left less that of those who stayed, at which the change of everyone reaches zero.

    Attributes
    ----------
    n_everyone : int
        Persons at the first wave.
    share_left : float
        Share of them without a second score.
    interval, interval_sd : float or Withheld
        Where the nearer end of the interval reaches zero, in points and in average standard deviations of the stayers;
        withheld where the interval holds zero already. Negative: leavers would have to change by less than stayers.
    estimate, estimate_sd : float
        Where the estimate itself does.
    """

    n_everyone: int
    share_left: float
    interval: float | Withheld
    interval_sd: float | Withheld
    estimate: float
    estimate_sd: float


@dataclass(frozen=True, kw_only=True)
class TrimmedBounds:
    """Bounds of a difference of two groups (treated − comparison) that did not lose equal shares.

    Attributes
    ----------
    lower, upper : Contrast
        Each end with its own standard error.
    low, high : float
        The interval that covers the difference itself, not both ends (Imbens & Manski).
    trimmed : {"treated", "comparison"}
        The group that kept the larger share, from which the surplus is cut.
    share_trimmed : float
        Share of its stayers that is surplus.
    n_trimmed : int
        How many that is.
    """

    lower: Contrast
    upper: Contrast
    low: float
    high: float
    trimmed: Arm
    share_trimmed: float
    n_trimmed: int

    @property
    def assumes(self) -> Text:
        """What must hold, with the direction named."""
        return say(f"bounds.monotone_{self.trimmed}")


def find_tipping(change: Change | Withheld, *, n_left: int) -> Tipping | Withheld:
    """Return how much less (or more) those who left would have to change for the change of everyone to reach zero.

    Parameters
    ----------
    change : Change or Withheld
        Of those who stayed.
    n_left : int
        Persons at the first wave only.

    Returns
    -------
    Tipping or Withheld
        Withheld as the change is, or where nobody left.

    Notes
    -----
    With the share q of leavers, and δ their mean change less the stayers' Δ, everyone's is Δ + qδ; δ is assumed, not
    estimated, so its interval is that of Δ moved by qδ. It reaches zero at δ = −end/q, the estimate at −Δ/q. Nothing is
    assumed of why they left; whether such a δ is plausible is for the reader to judge.

    References
    ----------
    Cro, S., Morris, T. P., Kenward, M. G. & Carpenter, J. R. (2020). Sensitivity analysis for clinical trials with
    missing continuous outcome data using controlled multiple imputation: a practical guide. *Statistics in Medicine*
    39(21), 2815-2842.

    Examples
    --------
    Stayers change by 2, interval 1.2 to 2.8; a fifth left, who would have to change by 6 less, to 1.2 − 6/5 = 0.

    >>> from bgtk_lib.change.estimate import estimate_change
    >>> from bgtk_lib.words import plain
    >>> pairs = pd.DataFrame({"score_pre": [4, 5, 6, 7], "score_post": [5, 6, 7, 12], "district": None, "npsn": None})
    >>> change = estimate_change(pairs, cluster="none", cluster_reason=plain("one school only"))
    >>> told = find_tipping(replace(change, low=1.2, high=2.8), n_left=1)
    >>> told.share_left, round(told.interval, 6), round(told.estimate, 6)
    (0.2, -6.0, -10.0)
    """
    if isinstance(change, Withheld):
        return change
    if n_left < 1:
        return Withheld(say("bounds.nobody_left"))
    everyone = change.n_pairs + n_left
    share = n_left / everyone
    spread = float(np.sqrt((change.sd_pre**2 + change.sd_post**2) / 2))
    estimate = -change.mean / share
    interval: float | Withheld = Withheld(say("bounds.holds_zero"))
    if not change.low <= 0 <= change.high:
        interval = -(change.low if change.low > 0 else change.high) / share
    return Tipping(
        n_everyone=everyone,
        share_left=share,
        interval=interval,
        interval_sd=interval if isinstance(interval, Withheld) else interval / spread,
        estimate=estimate,
        estimate_sd=estimate / spread,
    )


def bound_by_trimming(
    drawn: Drawn,
    leavers: pd.DataFrame,
    *,
    treated: str,
    outcome: Literal["gain", "post"] = "gain",
    cluster: ClusterBy,
    confidence: float = 0.95,
) -> TrimmedBounds | Withheld:
    """Bound the difference of two groups among those who would stay in either, whatever made the others leave.

    Parameters
    ----------
    drawn : Drawn
        Those who stayed, of both groups.
    leavers : DataFrame
        Those without an outcome: district, npsn and the column `treated`.
    treated : str
        Name of the boolean column of both frames: true in the group that took part.
    outcome : {"gain", "post"}
        The change, or the later score.
    cluster : {"school", "district", "none"}
        As in `estimate_change`.
    confidence : float
        Of the intervals, between 0 and 1.

    Returns
    -------
    TrimmedBounds or Withheld
        Withheld with fewer than two stayers in a group, or where trimming leaves fewer than two.

    Notes
    -----
    Groups must be comparable but for who left, and leaving monotone: whoever stayed in the group that kept the smaller
    share q_l would have stayed in the other (`assumes`). Of that other group's stayers the share p = 1 − q_l/q_h is
    surplus; ⌊pn⌋ are cut from the top, then from the bottom, of each draw. With the cut c, the trimmed mean M and
    θ = 1 − p, a kept stayer's influence on M is (y − c)/θ, and c − M besides for every stayer of the group; that θ is
    estimated adds −(c − M)(S − q_h)/q_h over everybody of this group and (c − M)(S − q_l)/q_l over the other, S being 1 for
    stayers. Influences go through strata and clusters as the headline's do, once a draw, then combined. A link error is
    common to both groups and cancels. The interval is [L − z·se_L, U + z·se_U] with F(z + (U − L)/max(se)) − F(−z) the
    confidence, F being the t distribution of the fewer degrees of freedom: without trimming it is the t interval.

    References
    ----------
    Lee, D. S. (2009). Training, wages, and sample selection: estimating sharp bounds on treatment effects. *Review of
    Economic Studies* 76(3), 1071-1102.

    Imbens, G. W. & Manski, C. F. (2004). Confidence intervals for partially identified parameters. *Econometrica* 72(6),
    1845-1857.

    Examples
    --------
    Four of four treated and two of four others stayed: two treated are surplus; 1.5 − 2 and 3.5 − 2.

    >>> from bgtk_lib.change.drawn import lay_draws
    >>> stayers = pd.DataFrame({"pid": list("abcdef"), "score_pre": 0, "score_post": [1, 2, 3, 4, 1, 3]})
    >>> stayers = stayers.assign(tutor=[True] * 4 + [False] * 2, district=None, npsn=None)
    >>> leavers = pd.DataFrame({"tutor": [False, False], "district": None, "npsn": None})
    >>> told = bound_by_trimming(lay_draws(stayers, pd.DataFrame()), leavers, treated="tutor", cluster="none")
    >>> round(told.lower.estimate, 6), round(told.upper.estimate, 6), told.n_trimmed
    (-0.5, 1.5, 2)
    """
    columns = ["district", "npsn", treated]
    both = pd.concat([drawn.frame[columns], leavers[columns]], ignore_index=True)
    takes, stayed = both[treated].to_numpy(dtype=bool), np.arange(len(both)) < drawn.n
    size = {side: int((takes == side).sum()) for side in (True, False)}
    kept = {side: int((stayed & (takes == side)).sum()) for side in (True, False)}
    if min(kept.values()) < 2:
        return Withheld(say("bounds.few_stayed"))
    larger = kept[True] * size[False] >= kept[False] * size[True]
    surplus = kept[larger] * size[not larger] - kept[not larger] * size[larger]  # times size[not larger], to stay whole
    n_trimmed = surplus // size[not larger]
    if kept[larger] - n_trimmed < 2:
        return Withheld(say("bounds.few_stayed"))
    scores = drawn.gain if outcome == "gain" else drawn.post
    sign = 1 if larger else -1
    ends = []
    for end in ("top", "bottom") if larger else ("bottom", "top"):
        values = sign * _trim(scores, stayed, takes == larger, n_trimmed=n_trimmed, end=end)
        told = combine_means(replace(drawn, frame=both), values, cluster=cluster, linked=0.0, confidence=confidence)
        if isinstance(told, Withheld):
            return told
        ends.append(told)
    low, high = _cover(ends[0], ends[1], confidence=confidence)
    return TrimmedBounds(
        lower=ends[0],
        upper=ends[1],
        low=low,
        high=high,
        trimmed="treated" if larger else "comparison",
        share_trimmed=surplus / size[not larger] / kept[larger],
        n_trimmed=n_trimmed,
    )


def _trim(scores: Floats, stayed: Mask, larger: Mask, *, n_trimmed: int, end: str) -> Floats:
    """Return everyone's values whose mean is the larger group's trimmed mean less the other's; see `bound_by_trimming`."""
    n, mine, other = len(stayed), stayed & larger, stayed & ~larger
    y, z = scores[mine[: len(scores)]], scores[other[: len(scores)]]
    ranks = np.argsort(np.argsort(y, axis=0, kind="stable"), axis=0)
    kept = ranks < len(y) - n_trimmed if end == "top" else ranks >= n_trimmed
    mean = np.where(kept, y, 0).sum(axis=0) / kept.sum(axis=0)
    cut = np.where(kept, y, -np.inf).max(axis=0) if end == "top" else np.where(kept, y, np.inf).min(axis=0)
    cut = cut if n_trimmed else mean  # nothing is cut: nor is there an error of how much

    share = np.where(larger, stayed[larger].mean(), stayed[~larger].mean())
    size = np.where(larger, -larger.sum(), (~larger).sum())  # with the sign of what it does to the share kept
    values = ((stayed / share - 1) / size)[:, None] * (cut - mean)
    values[mine] += (np.where(kept, y - cut, 0) * len(y) / kept.sum(axis=0) + cut - mean) / len(y)
    values[other] -= (z - z.mean(axis=0)) / len(z)
    return np.asarray(mean - z.mean(axis=0) + n * values, dtype=float)


def _cover(lower: Contrast, upper: Contrast, *, confidence: float) -> tuple[float, float]:
    """Return the interval that covers a value between two bounds, with t of the fewer degrees of freedom."""
    law = stats.t(min(lower.df, upper.df))
    width = (upper.estimate - lower.estimate) / max(lower.se, upper.se)
    far = float(law.isf((1 - confidence) / 2))
    z = float(optimize.brentq(lambda at: law.cdf(at + width) - law.cdf(-at) - confidence, 0, far + 1e-9))
    return lower.estimate - z * lower.se, upper.estimate + z * upper.se
