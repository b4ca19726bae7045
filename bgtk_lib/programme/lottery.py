"""What taking part did for those whom the lot brought in: the effect of the draw over how far it changed who took part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from bgtk_lib.change.clusters import Codes, code_clusters, lay_clusters
from bgtk_lib.change.describe import FEWEST_DF
from bgtk_lib.change.drawn import Drawn, combine_contrasts
from bgtk_lib.findings import Withheld
from bgtk_lib.programme.covariates import code_strata, standardise_pretest
from bgtk_lib.programme.effects import lay_design
from bgtk_lib.words import say


@dataclass(frozen=True, kw_only=True)
class Cace:
    """The effect on those who took part because they were drawn (complier average causal effect).

    Attributes
    ----------
    estimate, se, low, high : float
        In the unit of the scores; `se` by the delta method, the ends by Fieller.
    df : float
        Degrees of freedom of the interval.
    taken_up : float
        How many more of those drawn took part, as a share; held equal what the effect holds equal.
    """

    estimate: float
    se: float
    low: float
    high: float
    df: float
    taken_up: float


def code_lots(frame: pd.DataFrame) -> Codes:
    """Return the strata in which lots were drawn, by form sat first: column `lot`; one stratum where it is null."""
    return code_strata(frame, by="lot")


def estimate_cace(
    drawn: Drawn, by_lot: ArrayLike, took: ArrayLike, *, stratum: ArrayLike, confidence: float = 0.95
) -> Cace | Withheld:
    """Estimate the effect of taking part on those who did so because they were drawn.

    Parameters
    ----------
    drawn : Drawn
        Applicants, as in `estimate_ancova`.
    by_lot, took : array of n, bool
        Who was drawn, and who took part.
    stratum : array of n
        Strata in which lots were drawn, as `code_lots` gives them.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    Cace or Withheld
        Withheld where the draw changed too little who took part: Fieller's interval then has no ends.

    Notes
    -----
    γ_y/γ_d, the coefficients of the draw on the later score and on taking part, with first score and strata held equal
    (two-stage least squares). Fieller's interval holds every τ for which the draw has no effect on post − τ·took, judged by
    CR2 by school: (γ_y − τγ_d)² ≤ t²(v_yy − 2τv_yd + τ²v_dd). It assumes that the draw works through taking part only, and
    kept nobody out who would have taken part otherwise. Rubin's rules for v_yy; taking part is known.

    References
    ----------
    Angrist, J. D., Imbens, G. W. & Rubin, D. B. (1996). Identification of causal effects using instrumental variables.
    *Journal of the American Statistical Association* 91(434), 444-455.

    Fieller, E. C. (1954). Some problems in interval estimation. *Journal of the Royal Statistical Society B* 16(2), 175-185.

    Examples
    --------
    Those drawn gain 2 on average, and half of them took part: 4 for those who did.

    >>> from bgtk_lib.change.drawn import lay_draws
    >>> pairs = pd.DataFrame({"pid": range(24), "points_pre": [0, 1] * 12, "score_pre": 0, "npsn": None})
    >>> pairs = pairs.assign(score_post=[4, 4, 0, 0] * 3 + [0, 0, 1, 1, -1, -1] * 2)
    >>> by_lot, took = np.arange(24) < 12, np.array([1, 1, 0, 0] * 3 + [0] * 12)
    >>> found = estimate_cace(lay_draws(pairs, pd.DataFrame()), by_lot, took, stratum=np.zeros(24))
    >>> round(found.estimate, 6), round(found.taken_up, 6)
    (4.0, 0.5)
    """
    strata = np.asarray(stratum, dtype=np.intp)
    X = lay_design(by_lot, standardise_pretest(drawn.frame)[:, None], strata)
    if isinstance(X, Withheld):
        return X
    clusters, pick = code_clusters(drawn.frame["npsn"], drawn.n), np.eye(X.shape[1])[0]
    design = lay_clusters(X, clusters)
    (gamma_d,), parts_d = design.estimate(np.asarray(took, dtype=float)[:, None], pick)
    found = design.contrast(drawn.post, pick, confidence=confidence)
    if any(isinstance(one, Withheld) or one.df < FEWEST_DF for one in found):
        return Withheld(say("withheld.few_clusters"))
    told = combine_contrasts(drawn, found, linked=0, confidence=confidence)
    if isinstance(told, Withheld):
        return told
    v_yd = float((design.estimate(drawn.post, pick)[1].T @ parts_d).mean())
    v_yy, v_dd = told.se**2, float((parts_d**2).sum())
    q = float(stats.t.isf((1 - confidence) / 2, told.df)) ** 2
    a, b, c = gamma_d**2 - q * v_dd, told.estimate * gamma_d - q * v_yd, told.estimate**2 - q * v_yy
    if a <= 0 or gamma_d <= 0:
        return Withheld(say("programme.draw_ignored"))
    middle, half = told.estimate / gamma_d, float(np.sqrt(max(b**2 - a * c, 0.0)))
    return Cace(
        estimate=middle,
        se=float(np.sqrt(max(v_yy - 2 * middle * v_yd + middle**2 * v_dd, 0.0)) / gamma_d),
        low=(b - half) / a,
        high=(b + half) / a,
        df=told.df,
        taken_up=float(gamma_d),
    )
