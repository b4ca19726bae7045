"""What participants had beside their comparison group, in points and standard deviations, schools taken as clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bgtk_lib.change.clusters import Codes, Contrast, Floats, code_clusters, contrast_cr2
from bgtk_lib.change.describe import FEWEST_DF
from bgtk_lib.change.drawn import Drawn, combine_contrasts
from bgtk_lib.findings import Withheld
from bgtk_lib.programme.balance import count_effective
from bgtk_lib.programme.covariates import code_strata, standardise_pretest
from bgtk_lib.programme.design import Method
from bgtk_lib.words import say

NOTHING = 1e-9  # share of a column that is rounding


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The difference between participants and their comparison group.

    Attributes
    ----------
    method : Method
        How it was found.
    estimate, low, high : float
        In the unit of the scores.
    se, df : float or None
        CR2 standard error and Satterthwaite degrees of freedom; none where schools were permuted.
    p : float
        Two-sided.
    sd : float
        Standard deviation of the first scores within the groups, by which the effect is divided; taken as known.
    n_participants, n_comparison : int
        Persons used.
    n_schools, n_schools_comparison : int
        Their schools; who has none is one of their own.
    effective_participants, effective_comparison : float
        What the weights of each group are worth in persons; the persons themselves without weights.
    """

    method: Method
    estimate: float
    low: float
    high: float
    se: float | None
    df: float | None
    p: float
    sd: float
    n_participants: int
    n_comparison: int
    n_schools: int
    n_schools_comparison: int
    effective_participants: float
    effective_comparison: float


def estimate_ancova(
    drawn: Drawn,
    treated: ArrayLike,
    *,
    stratum: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    method: Method = "ancova",
    confidence: float = 0.95,
) -> Effect | Withheld:
    """Estimate how far participants' later scores lie from those of comparison persons with the same first score.

    Parameters
    ----------
    drawn : Drawn
        Members of both groups; `frame` has points_pre, district, npsn (the last two may be null).
    treated : array of n, bool
        Participants, or those drawn by lot.
    stratum : array of n, optional
        Codes 0 … of what is held fixed; none: districts, by form sat first.
    weights : array of n, optional
        Overlap weights; none: everyone counts the same.
    method : Method
        What the result is called.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    Effect or Withheld
        Withheld where one stratum holds only participants and another only the others, where first scores do not vary, or
        where too few schools are left for an interval.

    Notes
    -----
    post = γ·group + β·x + strata + error, x the observed points of the first form in its own SD, never a plausible value:
    participants picked by x differ in its error too, and only x itself takes both away. Fitted once a draw of `post`, with
    CR2 by school, and combined by Rubin's rules. The link of two forms shifts both groups alike and adds nothing. With
    weights w the rows are multiplied by √w: CR2 for a working model with variance 1/w; that the weights were estimated is
    not in the interval, which makes it rather too wide (Lunceford & Davidian 2004).

    References
    ----------
    Van Breukelen, G. J. P. (2006). ANCOVA versus change from baseline had more power in randomized studies and more bias
    in nonrandomized studies. *Journal of Clinical Epidemiology* 59(9), 920-925.

    Lunceford, J. K. & Davidian, M. (2004). Stratification and weighting via the propensity score in estimation of causal
    treatment effects. *Statistics in Medicine* 23(19), 2937-2960.

    Examples
    --------
    First scores are alike, so that the effect is the difference of the later means, 3.5 and 1.

    >>> from bgtk_lib.change.drawn import lay_draws
    >>> pairs = pd.DataFrame({"pid": list("abcdefgh"), "points_pre": [0, 1, 2, 1] * 2, "district": None, "npsn": None})
    >>> pairs = pairs.assign(score_pre=pairs["points_pre"], score_post=[2, 3, 4, 5, 0, 1, 3, 0])
    >>> effect = estimate_ancova(lay_draws(pairs, pd.DataFrame()), [True] * 4 + [False] * 4)
    >>> round(effect.estimate, 6)
    2.5
    """
    w = np.ones(drawn.n) if weights is None else np.asarray(weights, dtype=float)
    counted = w > NOTHING * w.max(initial=0)
    x = standardise_pretest(drawn.frame)[counted]
    codes = code_strata(drawn.frame) if stratum is None else np.asarray(stratum, dtype=np.intp)
    design = lay_design(np.asarray(treated)[counted], x[:, None], codes[counted])
    if isinstance(design, Withheld):
        return design
    here = drawn.take(counted)
    return _estimate(here, here.post, design, weights=w[counted], method=method, confidence=confidence)


def estimate_did(drawn: Drawn, treated: ArrayLike, *, confidence: float = 0.95) -> Effect | Withheld:
    """Estimate the mean change of participants less that of comparison persons of the same district.

    Parameters
    ----------
    drawn, treated, confidence
        As in `estimate_ancova`.

    Returns
    -------
    Effect or Withheld
        As in `estimate_ancova`.

    Notes
    -----
    gain = γ·group + strata + error; with one stratum γ is the plain difference of mean changes, with several the average of
    their differences, weighted by n_p·n_c/(n_p + n_c). It is an effect if both groups would have changed alike, which two
    measurements cannot test. For a group picked by its first score that is false: its regression to the mean would be the
    effect, and `choose_design` refuses.

    References
    ----------
    Angrist, J. D. & Pischke, J.-S. (2009). *Mostly Harmless Econometrics*. Princeton University Press, chapter 5.

    Examples
    --------
    Changes 3, 5 and 4 against 1, 2 and 0.

    >>> from bgtk_lib.change.drawn import lay_draws
    >>> pairs = pd.DataFrame({"pid": list("abcdef"), "score_pre": 0, "district": None, "npsn": None})
    >>> drawn = lay_draws(pairs.assign(score_post=[3, 5, 4, 1, 2, 0]), pd.DataFrame())
    >>> effect = estimate_did(drawn, [True] * 3 + [False] * 3)
    >>> round(effect.estimate, 6), round(effect.se, 6)
    (3.0, 0.816497)
    """
    design = lay_design(treated, np.empty((drawn.n, 0)), code_strata(drawn.frame))
    if isinstance(design, Withheld):
        return design
    return _estimate(drawn, drawn.gain, design, weights=np.ones(drawn.n), method="did", confidence=confidence)


def lay_design(first: ArrayLike, others: Floats, strata: Codes) -> Floats | Withheld:
    """Return the columns of a regression: what is asked about, what is held equal, a dummy each stratum.

    Withheld where, within the strata, the first column does not vary, or the columns depend on each other.
    """
    asked = np.asarray(first, dtype=float)
    if not len(asked):
        return Withheld(say("programme.nobody_compared"))
    dummies = np.eye(int(strata.max()) + 1)[strata]
    X = np.column_stack([asked, others, dummies[:, dummies.any(axis=0)]])
    within = asked - (np.bincount(strata, asked) / np.maximum(np.bincount(strata), 1))[strata]
    if np.abs(within).max() <= NOTHING * max(np.abs(asked).max(), 1.0):
        return Withheld(say("programme.confounded"))
    if len(X) <= X.shape[1] or np.linalg.matrix_rank(X) < X.shape[1]:
        return Withheld(say("programme.no_pretest"))
    return X


def contrast_first(
    drawn: Drawn, outcomes: Floats, X: Floats, *, weights: Floats, confidence: float
) -> Contrast | Withheld:
    """Return the coefficient of the first column over all draws of an outcome (n × m), CR2 by school."""
    root = np.sqrt(weights)[:, None]
    clusters, pick = code_clusters(drawn.frame["npsn"], drawn.n), np.eye(X.shape[1])[0]
    if clusters.max() == 0:
        return Withheld(say("withheld.few_clusters"))
    found = contrast_cr2(root * outcomes, root * X, clusters, weights=pick, confidence=confidence)
    if isinstance(found[0], Contrast) and found[0].df < FEWEST_DF:
        return Withheld(say("withheld.few_clusters"))
    return combine_contrasts(drawn, found, linked=0, confidence=confidence)


def pool_sd(scores: Floats, treated: ArrayLike) -> float:
    """Return the standard deviation of scores within the groups, n − 2 below; over draws the mean."""
    chosen = np.asarray(treated, dtype=bool)
    parts = [group for group in (scores[chosen], scores[~chosen]) if len(group)]
    squares = sum(((group - group.mean(axis=0)) ** 2).sum(axis=0) for group in parts)
    return float(np.sqrt(squares / max(len(scores) - len(parts), 1)).mean())


def _estimate(
    drawn: Drawn, outcomes: Floats, X: Floats, *, weights: Floats, method: Method, confidence: float
) -> Effect | Withheld:
    told = contrast_first(drawn, outcomes, X, weights=weights, confidence=confidence)
    if isinstance(told, Withheld):
        return told
    chosen = X[:, 0] > 0
    schools = code_clusters(drawn.frame["npsn"], drawn.n)
    return Effect(
        method=method,
        estimate=told.estimate,
        low=told.low,
        high=told.high,
        se=told.se,
        df=told.df,
        p=told.p,
        sd=pool_sd(drawn.pre, chosen),
        n_participants=int(chosen.sum()),
        n_comparison=int((~chosen).sum()),
        n_schools=int(pd.unique(schools[chosen]).size),
        n_schools_comparison=int(pd.unique(schools[~chosen]).size),
        effective_participants=count_effective(weights[chosen]),
        effective_comparison=count_effective(weights[~chosen]),
    )
