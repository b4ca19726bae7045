"""Mantel–Haenszel for right and wrong, Mantel with the standardised mean difference for items of several steps.

Written here because statsmodels' `StratifiedTable` takes one item at a time, in a loop about ten times as slow, and
knows neither Mantel's ordinal test nor the standardised difference. It is the oracle of the tests.

References
----------
Mantel, N. & Haenszel, W. (1959). Statistical aspects of the analysis of data from retrospective studies of disease.
*Journal of the National Cancer Institute* 22, 719-748.

Mantel, N. (1963). Chi-square tests with one degree of freedom. *Journal of the American Statistical Association* 58,
690-700.

Holland, P. W. & Thayer, D. T. (1988). Differential item performance and the Mantel-Haenszel procedure. In H. Wainer &
H. I. Braun (Eds.), *Test validity*, 129-145.

Zwick, R. (2012). *A review of ETS differential item functioning assessment procedures* (RR-12-08). ETS.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bgtk_lib.instrument.dif.found import DELTA, classify, state_found
from bgtk_lib.instrument.dif.matching import Matched


def compare_right(table: Matched) -> pd.DataFrame:
    """Compute the Mantel–Haenszel test and MH D-DIF of items scored right or wrong.

    Parameters
    ----------
    table : Matched
        Of J items with credit 0 or 1.

    Returns
    -------
    DataFrame
        One row an item: `statistic` (chi-square, 1 degree of freedom, continuity correction ½), `p`, `effect`
        (MH D-DIF in delta points; negative: harder for the focal group than for the reference group at equal score),
        `effect_se`, `note` (``no_overlap``: no score at which both groups and both answers occur; ``unbounded``: the
        odds ratio is 0 or infinite; else null).

    Notes
    -----
    At each score A, B are right and wrong of the reference group, C, D of the focal group, N all. α = Σ AD/N ÷ Σ BC/N;
    Δ = −2.35 ln α. Var ln α = Σ PR/(2R₊²) + Σ (PS + QR)/(2R₊S₊) + Σ QS/(2S₊²) with P = (A + D)/N, Q = (B + C)/N,
    R = AD/N, S = BC/N (Robins, Breslow & Greenland 1986, *Biometrics* 42, 311-323, eq. 5; the same as Phillips &
    Holland 1987, *Biometrics* 43, 425-431). The correction never exceeds the difference it corrects, so the chi-square
    does not rise again where observed and expected nearly agree.

    Examples
    --------
    One score; 30 of 40 right in the reference group, 20 of 40 in the focal group: α = 30·20/(10·20) = 3, and the
    variance of ln α is 1/30 + 1/10 + 1/20 + 1/20.

    >>> table = Matched(
    ...     score=np.array([1.0]),
    ...     n=np.array([[40.0], [40.0]]),
    ...     total=np.array([[[30.0]], [[20.0]]]),
    ...     squares=np.array([[50.0]]),
    ... )
    >>> compare_right(table)[["effect", "effect_se"]].round(4).to_dict("records")
    [{'effect': -2.5817, 'effect_se': 1.1352}]
    """
    shared = table.overlap()
    n_reference, n_focal = shared.n[:, :, None]
    a, c = shared.total
    b, d = n_reference - a, n_focal - c
    size, right = n_reference + n_focal, a + c

    variance = (n_reference * n_focal * right * (size - right) / (size**2 * (size - 1))).sum(axis=0)
    gap = np.abs((a - n_reference * right / size).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (gap - np.minimum(gap, 0.5)) ** 2 / variance
        r, s, p, q = a * d / size, b * c / size, (a + d) / size, (b + c) / size
        r_sum, s_sum = r.sum(axis=0), s.sum(axis=0)
        effect = DELTA * np.log(r_sum / s_sum)
        log_variance = (
            (p * r).sum(axis=0) / (2 * r_sum**2)
            + (p * s + q * r).sum(axis=0) / (2 * r_sum * s_sum)
            + (q * s).sum(axis=0) / (2 * s_sum**2)
        )
    return state_found(
        statistic,
        effect,
        error=abs(DELTA) * np.sqrt(log_variance),
        direction=np.sign(effect),
        note=np.select([variance <= 0, (r_sum <= 0) | (s_sum <= 0)], ["no_overlap", "unbounded"], default=""),
    )


def compare_credit(table: Matched) -> pd.DataFrame:
    """Compute Mantel's test and the standardised mean difference of items with credit in several steps.

    Parameters
    ----------
    table : Matched
        Of J items.

    Returns
    -------
    DataFrame
        One row an item: `statistic` (chi-square, 1 degree of freedom, no continuity correction), `p`, `effect` (mean
        difference in standard deviations of the item; negative: less credit for the focal group at equal score),
        `effect_se`, `note` (``no_overlap`` or null).

    Notes
    -----
    At each score k, SMD = Σ w_k (mean focal − mean reference), w_k the share of the focal group there (Dorans & Schmitt
    1991, ETS RR-91-47), over the item's standard deviation among all persons. Its standard error is the one of Mantel's
    permutation model, Var = Σ w_k² s_k² N_k/(n_Fk n_Rk) with s_k² of both groups together (n − 1); that of separate
    variances is too small (Zwick & Thayer 1996, *Journal of Educational and Behavioral Statistics* 21, 187-201).

    Examples
    --------
    One score; credit 0, 1, 2 in the focal group and 1, 2, 3 in the reference group: a difference of −1, and a standard
    deviation of √1.1.

    >>> from bgtk_lib.instrument.dif.matching import match
    >>> credit = np.array([[0.0], [1], [2], [1], [2], [3]])
    >>> table = match(np.ones(6), credit, np.repeat([True, False], 3))
    >>> compare_credit(table)["effect"].round(4).to_list()
    [-0.9535]
    """
    shared = table.overlap()
    n_reference, n_focal = shared.n[:, :, None]
    size, credit = n_reference + n_focal, shared.total.sum(axis=0)
    within = np.clip(shared.squares - credit**2 / size, 0, None) / (size - 1)
    variance = (within * n_reference * n_focal / size).sum(axis=0)
    gap = (shared.total[1] - n_focal * credit / size).sum(axis=0)

    weight = n_focal / np.maximum(n_focal.sum(axis=0), 1)
    difference = (weight * (shared.total[1] / n_focal - shared.total[0] / n_reference)).sum(axis=0)
    error = np.sqrt((weight**2 * within * size / (n_focal * n_reference)).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        n, sums = table.n.sum(), table.total.sum(axis=(0, 1))
        sd = np.sqrt((table.squares.sum(axis=0) - sums**2 / n) / (n - 1))
        return state_found(
            gap**2 / variance,
            difference / sd,
            error=error / sd,
            direction=np.sign(difference),
            note=np.where(variance <= 0, "no_overlap", ""),
        )


def classify_delta(found: pd.DataFrame, *, alpha: float) -> pd.Series[Any]:
    """Return the ETS class of MH D-DIF.

    A: p ≥ `alpha`, or less than 1 point either way. C: at least 1.5 points, and more than 1 by a one-sided test at
    `alpha`. B: the rest (Zwick 2012, section 2). Null where there is no effect.
    """
    size = found["effect"].abs()
    beyond = (size - 1) / found["effect_se"] > stats.norm.isf(alpha)
    return classify(found, small=size < 1, large=(size >= 1.5) & beyond, alpha=alpha)


def classify_difference(found: pd.DataFrame, *, alpha: float) -> pd.Series[Any]:
    """Return the ETS class of a standardised mean difference.

    A: p ≥ `alpha` or at most .17 standard deviations. C: more than .25. B: the rest (Zwick, Thayer & Mazzeo 1997, GRE
    Board Report 93-10P). Null where there is no effect.
    """
    size = found["effect"].abs()
    return classify(found, small=size <= 0.17, large=size > 0.25, alpha=alpha)
