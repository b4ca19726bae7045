"""Rubric scores of a product or a lesson by two raters before and after: their agreement first, then the change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bgtk_lib.change.strata import StratifiedMean, mean_by_strata
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.intraclass import estimate_icc
from bgtk_lib.words import say

LEAST_AGREEMENT = 0.75
OCCASIONS = ("pre", "post")


@dataclass(frozen=True, kw_only=True)
class RubricChange:
    """The change of the mean rating, where raters agree.

    Attributes
    ----------
    icc_pre, icc_post : float or Withheld
        ICC(2,1) of each occasion: absolute agreement of single raters.
    change : StratifiedMean or Withheld
        Mean change of the raters' mean, schools taken as clusters; withheld where an ICC is below .75 or unknown.
    n : int
        Persons whom every rater rated on both occasions.
    n_incomplete : int
        Persons with some rating missing.
    """

    icc_pre: float | Withheld
    icc_post: float | Withheld
    change: StratifiedMean | Withheld
    n: int
    n_incomplete: int


def assess_rubric(ratings: pd.DataFrame, *, confidence: float = 0.95) -> RubricChange:
    """Estimate the mean change of rubric scores, if two raters agree on them on both occasions.

    Parameters
    ----------
    ratings : DataFrame
        pid, occasion (``pre``, ``post``), rater, score, and where there are any criterion and npsn; a row a rating. A rater's
        score of a person is the sum of all criteria, and missing where one of them is.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    RubricChange

    Raises
    ------
    ValueError
        If a rater rated a person twice by a criterion on one occasion.

    Notes
    -----
    Raters who know which product is the later one may see the rise they expect: rate in mixed order.

    References
    ----------
    Koo, T. K. & Li, M. Y. (2016). A guideline of selecting and reporting intraclass correlation coefficients for
    reliability research. *Journal of Chiropractic Medicine* 15(2), 155-163.

    Examples
    --------
    Both raters see every person rise by 1, but for the last who rises by 2.

    >>> rows = [("a", 1, 2), ("b", 2, 3), ("c", 4, 5), ("d", 5, 7)]
    >>> ratings = pd.DataFrame(
    ...     [
    ...         (pid, occasion, rater, score)
    ...         for pid, *scores in rows
    ...         for rater in "xy"
    ...         for occasion, score in zip(OCCASIONS, scores)
    ...     ],
    ...     columns=["pid", "occasion", "rater", "score"],
    ... )
    >>> assess_rubric(ratings).change.estimate
    1.25
    """
    keys = ratings.reindex(columns=["pid", "occasion", "rater", "criterion", "score"])
    keys["criterion"] = keys["criterion"].astype("str").fillna("")
    rated = keys.pivot(index="pid", columns=["occasion", "rater", "criterion"], values="score")  # noqa: PD010 - a duplicate is a fault
    wide = rated.astype("float64").T.groupby(level=["occasion", "rater"]).sum(skipna=False).T
    sides = {occasion: wide.loc[:, wide.columns.get_level_values(0) == occasion] for occasion in OCCASIONS}
    agreement = {occasion: _agree(side, confidence=confidence) for occasion, side in sides.items()}
    means = pd.DataFrame({occasion: side.mean(axis=1, skipna=False) for occasion, side in sides.items()}).dropna()
    change: StratifiedMean | Withheld
    found = [icc for icc in agreement.values() if not isinstance(icc, Withheld)]
    if len(found) < len(OCCASIONS):
        change = next(icc for icc in agreement.values() if isinstance(icc, Withheld))
    elif min(found) < LEAST_AGREEMENT:
        change = Withheld(say("programme.rubric_unreliable", icc=min(found), least=LEAST_AGREEMENT))
    else:
        schools = ratings.drop_duplicates("pid").set_index("pid").reindex(columns=["npsn"])["npsn"]
        gain = (means["post"] - means["pre"]).to_numpy()
        change = mean_by_strata(gain, cluster=schools.reindex(means.index), confidence=confidence)
    return RubricChange(
        icc_pre=agreement["pre"],
        icc_post=agreement["post"],
        change=change,
        n=len(means),
        n_incomplete=len(wide) - len(means),
    )


def _agree(side: pd.DataFrame, *, confidence: float) -> float | Withheld:
    """Return ICC(2,1), which McGraw & Wong write ICC(A,1)."""
    forms = estimate_icc(side, confidence=confidence).forms
    icc = float(forms.loc[forms["form"] == "ICC(A,1)", "icc"].iloc[0])
    return icc if np.isfinite(icc) else Withheld(say("programme.rubric_unknown"))
