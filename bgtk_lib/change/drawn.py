"""Scores of the same persons at two waves, once a draw of plausible values; and one interval from all draws and the link.

Everything that is estimated from pairs is estimated from these: a column a draw. Where scores are points of one form there
is a single column, and no link.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bgtk_lib.change.clusters import Contrast, Floats
from bgtk_lib.change.strata import ClusterBy, StratifiedMean, lay_out, plan_strata, take_scores
from bgtk_lib.errors import LinkageError
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """The same n persons at two waves, in m draws.

    Attributes
    ----------
    frame : DataFrame
        Their other columns, one row a person: pid, district, npsn, jenjang …
    pre, post : array of n × m
        Scores; m is 1 where they are points of a form.
    unit : {"points", "scale"}
        Points of the form, or of the reporting scale 500/100.
    linking_error : float
        Standard error of the link in `unit`, the same for everybody; 0 on one form.
    link_df : float
        Its degrees of freedom: anchors less one.
    slope_error : float
        Standard error of the link's slope as a share of it: by so much the later spread may be stretched; 0 on one form.
    link_n : float
        Persons whose own answers made the link; infinite where other persons' did, or one form needs none.
    """

    frame: pd.DataFrame
    pre: Floats
    post: Floats
    unit: Literal["points", "scale"]
    linking_error: float
    link_df: float
    slope_error: float = 0.0
    link_n: float = np.inf

    @property
    def gain(self) -> Floats:
        """Change of each person in each draw, post − pre."""
        return self.post - self.pre

    def weigh_link(self, *, shift: float, distance: float) -> float:
        """Return `linked` of what the link moves by `shift` of its error and, `distance` from the later mean, stretches.

        Errors of shift and slope are taken as independent.
        """
        if not self.linking_error:
            return shift
        return float(np.hypot(shift, distance * self.slope_error / self.linking_error))

    @property
    def n(self) -> int:
        """Persons."""
        return len(self.frame)

    @property
    def n_draws(self) -> int:
        """Draws."""
        return int(self.pre.shape[1])

    def take(self, rows: ArrayLike) -> Drawn:
        """Return some of the persons: a mask, or their places."""
        chosen = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
        return replace(
            self, frame=self.frame.iloc[chosen].reset_index(drop=True), pre=self.pre[chosen], post=self.post[chosen]
        )


def lay_draws(pairs: pd.DataFrame, draws: pd.DataFrame) -> Drawn:
    """Return pairs with their scores of every draw.

    Parameters
    ----------
    pairs : DataFrame
        One row a person, as `pairing.pair_waves` returns it: pid, score_pre, score_post, and on a linked scale `unit`,
        `linking_error`, `n_anchors` and `n_link` (the same in every row).
    draws : DataFrame
        pid, draw, score_pre, score_post on the reporting scale; empty where the scores are points of one form.

    Raises
    ------
    LinkageError
        If a pair has no draws, or a score is null.

    Examples
    --------
    >>> pairs = pd.DataFrame({"pid": ["a", "b"], "score_pre": [1.0, 2.0], "score_post": [2.0, 4.0]})
    >>> lay_draws(pairs, pd.DataFrame()).gain.ravel().tolist()
    [1.0, 2.0]
    """
    frame = pairs.drop(columns=["score_pre", "score_post"]).reset_index(drop=True)
    if draws.empty:
        pre, post = take_scores(pairs, "score_pre"), take_scores(pairs, "score_post")
        return Drawn(
            frame=frame,
            pre=pre[:, None],
            post=post[:, None],
            unit="points",
            linking_error=0.0,
            link_df=np.inf,
            slope_error=0.0,
            link_n=np.inf,
        )
    both = draws.dropna(subset=["score_pre", "score_post"])
    wide = both.pivot(index="pid", columns="draw", values=["score_pre", "score_post"])  # noqa: PD010 - a duplicate is a fault
    wide = wide.reindex(frame["pid"])
    pre, post = (wide[name].to_numpy(dtype=float) for name in ("score_pre", "score_post"))
    missing = int(np.isnan(pre + post).any(axis=1).sum())
    if missing:
        raise LinkageError(say("change.no_draws", n=missing, rows=len(frame)))
    error, anchors = (float(frame[name].iloc[0]) if len(frame) else 0.0 for name in ("linking_error", "n_anchors"))
    return Drawn(
        frame=frame,
        pre=pre,
        post=post,
        unit="scale",
        linking_error=error,
        link_df=max(anchors - 1, 1.0) if error else np.inf,
        slope_error=float(frame["slope_error"].iloc[0]) if error and "slope_error" in frame else 0.0,
        link_n=float(frame["n_link"].iloc[0]) if error and frame["n_link"].iloc[0] > 0 else np.inf,
    )


def combine(
    drawn: Drawn, estimates: ArrayLike, variances: ArrayLike, *, df: float, linked: float, confidence: float
) -> Contrast | Withheld:
    """Return one estimate from those of all draws, with measuring and linking in its interval.

    Parameters
    ----------
    drawn : Drawn
        Whose draws and whose link.
    estimates, variances : array of m
        Of each draw, with the squared standard error that sampling and clustering give it.
    df : float
        Degrees of freedom of these.
    linked : float
        What an error of the link of one point adds to the estimate: 1 for a mean change or a later mean, 0 for what
        compares persons who sat the same two forms, 1/SD for a standardised change.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    Contrast or Withheld
        Withheld where a draw has no estimate, or nothing varies.

    Notes
    -----
    T = Ū + (1 − w)(1 + 1/m)B + (`linked`·e)², with w the group's share of the persons whose answers made the link.
    Degrees of freedom by Welch & Satterthwaite from those of the three parts: `df`, m − 1 and `link_df`. Barnard & Rubin's are
    made for persons who are missing; here each cluster's mean is observed, with error, and theirs came out far too few
    (coverage of district intervals 98.6 to 100 %, bench/headline.py). A single draw has no B.

    Why (1 − w): write a for the error that the anchors' answers bring into the link, and ε for the error of measurement of
    a group's mean with all items. Each calibration puts its own sample at 0, so that for everybody together what remains
    is a alone, not a + ε; for a group it is a + (1 − w)(ε − ε of the rest), whose variance is e² + (1 − w)B. Adding B whole
    would count the anchors' noise twice: intervals of everybody's change came out a fifth too wide (bench/headline.py).
    T never falls below Ū + (1 + 1/m)B.

    Examples
    --------
    Two forms linked with an error of 3; sampling gives 4: √(16 + 9).

    >>> from dataclasses import replace
    >>> pairs = pd.DataFrame({"pid": ["a", "b"], "score_pre": [1.0, 2.0], "score_post": [2.0, 4.0]})
    >>> drawn = replace(lay_draws(pairs, pd.DataFrame()), linking_error=3.0, link_df=11.0)
    >>> round(combine(drawn, [1.5], [16.0], df=20, linked=1, confidence=0.95).se, 6)
    5.0
    """
    means, within = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    if not np.isfinite(means + within).all():
        return Withheld(say("statistics.no_variation"))
    m, sampling, error = len(means), float(within.mean()), abs(linked) * drawn.linking_error
    between = (1 + 1 / m) * float(means.var(ddof=1)) if m > 1 else 0.0
    own = min(drawn.n / drawn.link_n, 1.0)
    if error**2 < own * between:
        own, error = 0.0, 0.0
    middle, measuring = float(means.mean()), (1 - own) * between
    total = sampling + measuring + error**2
    if total <= 0:
        return Withheld(say("statistics.no_variation"))
    below = sampling**2 / df + measuring**2 / max(m - 1, 1) + error**4 / drawn.link_df
    freedom = total**2 / below if below > 0 else np.inf
    se = float(np.sqrt(total))
    half = float(stats.t.isf((1 - confidence) / 2, freedom)) * se
    p = float(2 * stats.t.sf(abs(middle) / se, freedom))
    return Contrast(estimate=middle, se=se, df=freedom, low=middle - half, high=middle + half, t=middle / se, p=p)


def combine_contrasts(
    drawn: Drawn, found: Sequence[Contrast | Withheld], *, linked: float, confidence: float
) -> Contrast | Withheld:
    """Return one estimate from that of every draw; the first that is withheld where one is. As in `combine`."""
    known = [one for one in found if isinstance(one, Contrast)]
    if len(known) < len(found):
        return next(one for one in found if isinstance(one, Withheld))
    estimates, variances = [one.estimate for one in known], [one.se**2 for one in known]
    df = float(np.mean([one.df for one in known]))
    return combine(drawn, estimates, variances, df=df, linked=linked, confidence=confidence)


def combine_means(
    drawn: Drawn, values: NDArray[Any], *, cluster: ClusterBy, linked: float, confidence: float
) -> StratifiedMean | Withheld:
    """Return the mean of everyone's values over all draws: districts fixed, schools independent (`mean_by_strata`).

    Parameters
    ----------
    drawn : Drawn
        The persons; `frame` has district and npsn.
    values : array of n × m
        What is averaged, once a draw: the gain, an influence, an indicator.
    cluster, linked, confidence
        As in `lay_out` and `combine`.
    """
    strata = plan_strata(drawn.n, **lay_out(drawn.frame, cluster))
    if isinstance(strata, Withheld):
        return strata
    found = strata.average(np.asarray(values, dtype=float), confidence=confidence)
    told = combine_contrasts(drawn, found, linked=linked, confidence=confidence)
    return told if isinstance(told, Withheld) else StratifiedMean(**asdict(told), **strata.facts)
