"""What is assumed of the next wave: how scores spread, how the waves go together, and who stands beside whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bgtk_lib.change.drawn import Drawn
from bgtk_lib.errors import ParameterError
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

ANCHOR_INFORMATION = 0.25  # of one person about one anchor's difficulty, at most (Rasch, p = .5), per squared logit
FEWEST = 3  # pairs that have a correlation


@dataclass(frozen=True, kw_only=True)
class NextWave:
    """What is assumed of the next wave; every variance is in squared standard deviations of true scores.

    Attributes
    ----------
    sd : float
        Standard deviation of true scores, in points: 100 on the reporting scale; of points of a form their SD times
        √reliability.
    retest_r : float
        Correlation of the true scores of the two waves.
    reliability : float
        Of one score, above 0.
    icc_school, icc_district : float
        Shares of the variance of true change that lie between schools of a district, and between districts.
    per_school : float
        Σn_j²/Σn_j of the schools: teachers beside whom a teacher stands, himself included.
    n_districts : float
        Districts, or the number of equal ones that would weigh the same.
    n_anchors : int
        Items that link two forms; 0: the same form at both waves.
    drift_sd : float
        Standard deviation of what an anchor truly moves between the waves, in standard deviations of true scores.

    Raises
    ------
    ParameterError
        If one of them is impossible.
    """

    sd: float
    retest_r: float
    reliability: float
    icc_school: float
    icc_district: float
    per_school: float
    n_districts: float
    n_anchors: int
    drift_sd: float

    def __post_init__(self) -> None:
        share, size = (0.0, 1.0), (0.0, np.inf)
        bounds = {"retest_r": (-1.0, 1.0), "reliability": (0.01, 1.0), "icc_school": share, "icc_district": share}
        bounds |= {"per_school": (1.0, np.inf), "n_districts": (1.0, np.inf)}
        for name, found in vars(self).items():
            low, high = bounds.get(name, size)
            if not low <= found <= high:
                raise ParameterError(say("precision.outside", name=name, found=found, low=low, high=high))
        between = self.icc_school + self.icc_district
        if between > 1:
            raise ParameterError(say("precision.outside", name="icc", found=between, low=0, high=1))


PLAIN = NextWave(
    sd=100, retest_r=0.7, reliability=1, icc_school=0, icc_district=0, per_school=1, n_districts=1, n_anchors=0, drift_sd=0
)  # fmt: skip
"""Before anything is measured: one form, r is that of the scores as they are, schools and districts change alike."""


def foresee(drawn: Drawn, *, reliability: float, icc_school: float, icc_district: float) -> NextWave | Withheld:
    """Return a next wave like the last: its spread, correlation, schools, districts and anchors.

    Parameters
    ----------
    drawn : Drawn
        The pairs of the last comparison.
    reliability : float
        Of one score.
    icc_school, icc_district : float
        As in `NextWave`; pairs of a few hundred do not tell them.

    Returns
    -------
    NextWave or Withheld
        Withheld with fewer than three pairs, or where a score does not vary.

    Notes
    -----
    Plausible values give the true standard deviation and correlation; of points they are SD·√ρ and r/ρ (at most 1), ρ being
    the reliability. The link's error e of L anchors is taken apart into what sampling the n persons who made it gives, and
    true drift: drift² = L·e² − 8/n, at least 0.

    Examples
    --------
    Two schools of two; the standard deviations are 1, and √.5 of them true where half of the variance is.

    >>> import pandas as pd
    >>> from bgtk_lib.change.drawn import lay_draws
    >>> scores = pd.DataFrame({"score_pre": [-(1.5**0.5), 0, 0, 1.5**0.5], "score_post": [0, -(1.5**0.5), 1.5**0.5, 0]})
    >>> drawn = lay_draws(scores.assign(district="A", npsn=list("xxyy")), pd.DataFrame())
    >>> wave = foresee(drawn, reliability=0.5, icc_school=0, icc_district=0)
    >>> round(wave.sd, 6), round(wave.retest_r, 6), wave.per_school, wave.n_districts
    (0.707107, 0.0, 2.0, 1.0)
    """
    if drawn.n < FEWEST:
        return Withheld(say("precision.few_pairs", needed=FEWEST))
    sds = np.array([drawn.pre.std(axis=0, ddof=1), drawn.post.std(axis=0, ddof=1)])
    if not (sds > 0).all():
        return Withheld(say("statistics.constant_scores"))
    r = float(np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(drawn.pre.T, drawn.post.T, strict=True)]))
    sd = float(np.sqrt((sds**2).mean(axis=0)).mean())
    if drawn.unit == "points":
        sd, r = sd * reliability**0.5, max(-1.0, min(1.0, r / reliability))
    n_anchors = round(drawn.link_df) + 1 if drawn.linking_error else 0
    drift = n_anchors * (drawn.linking_error / sd) ** 2 - 2 / (ANCHOR_INFORMATION * drawn.link_n)
    schools, districts = (drawn.frame[name].value_counts() for name in ("npsn", "district"))
    alone = drawn.n - schools.sum()
    return NextWave(
        sd=sd,
        retest_r=r,
        reliability=reliability,
        icc_school=icc_school,
        icc_district=icc_district,
        per_school=float((schools**2).sum() + alone) / drawn.n,
        n_districts=float(districts.sum() ** 2 / (districts**2).sum()) if len(districts) else 1.0,
        n_anchors=n_anchors,
        drift_sd=float(np.sqrt(max(drift, 0.0))),
    )
