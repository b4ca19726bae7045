"""Whether participants who had more of a programme stand higher after it: explored, never a cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bgtk_lib.change.clusters import Contrast
from bgtk_lib.change.drawn import Drawn
from bgtk_lib.findings import Withheld
from bgtk_lib.programme.covariates import code_strata, standardise_pretest
from bgtk_lib.programme.effects import contrast_first, lay_design
from bgtk_lib.words import say

PER = {"hours": 10, "sessions": 1}
FEWEST = 30


@dataclass(frozen=True, kw_only=True)
class Dose(Contrast):
    """How later scores rise with the amount of a programme, first score and district held equal.

    Attributes
    ----------
    unit : {"hours", "sessions"}
        What the amount counts.
    per : int
        For how many of these the estimate is.
    n, n_unknown : int
        Participants used, and those whose amount is not known.
    """

    unit: Literal["hours", "sessions"]
    per: int
    n: int
    n_unknown: int


def estimate_dose(
    drawn: Drawn, amount: ArrayLike, *, unit: Literal["hours", "sessions"] = "hours", confidence: float = 0.95
) -> Dose | Withheld:
    """Estimate by how much later scores differ between participants who had ten hours (or one session) more.

    Parameters
    ----------
    drawn : Drawn
        Participants only; `frame` as in `estimate_ancova`.
    amount : array of n
        Hours or sessions; null where not known: left out, and counted.
    unit : {"hours", "sessions"}
        What `amount` counts.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    Dose or Withheld
        Withheld on a linked scale, whose plausible values know nothing of amounts, with fewer than 30 whose amount is known,
        where everyone of a district had the same, or where too few schools are left for an interval.

    Notes
    -----
    post = β·amount/`per` + γ·x + districts + error, x the observed first score in SD; CR2 by school. Who stays to the end is
    not drawn by lot: the slope holds whatever else made them stay.

    Examples
    --------
    >>> import pandas as pd
    >>> from bgtk_lib.change.drawn import lay_draws
    >>> hours = np.arange(40.0)
    >>> pairs = pd.DataFrame({"pid": range(40), "points_pre": [1, 2, 2, 1] * 10, "district": None, "npsn": None})
    >>> pairs = pairs.assign(score_pre=0, score_post=0.3 * hours + [0, 0, 1, 1] * 10)
    >>> round(estimate_dose(lay_draws(pairs, pd.DataFrame()), hours).estimate, 1)
    3.0
    """
    given = np.asarray(amount, dtype=float)
    known = np.isfinite(given)
    if drawn.unit == "scale":
        return Withheld(say("programme.dose_scale"))
    if known.sum() < FEWEST:
        return Withheld(say("programme.dose_few", n=FEWEST))
    here = drawn.take(known)
    x = standardise_pretest(here.frame)[:, None]
    X = lay_design(given[known] / PER[unit], x, code_strata(here.frame))
    if isinstance(X, Withheld):
        return Withheld(say("programme.dose_same"))
    told = contrast_first(here, here.post, X, weights=np.ones(here.n), confidence=confidence)
    if isinstance(told, Withheld):
        return told
    return Dose(**vars(told), unit=unit, per=PER[unit], n=here.n, n_unknown=int((~known).sum()))
