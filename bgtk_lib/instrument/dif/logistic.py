"""Logistic regression for DIF: whether group, and group by score, add to what the matching score says of an item.

The regressions of all items that share a matching score are fitted side by side, on counts by score and group. A test
of 40 items is 120 regressions a contrast and a purification round: statsmodels' GLM takes seconds for each, this some
milliseconds, with the same likelihoods (it is the oracle of the tests).

References
----------
Swaminathan, H. & Rogers, H. J. (1990). Detecting differential item functioning using logistic regression procedures.
*Journal of Educational Measurement* 27, 361-370.

Nagelkerke, N. J. D. (1991). A note on a general definition of the coefficient of determination. *Biometrika* 78,
691-692.

Jodoin, M. G. & Gierl, M. J. (2001). Evaluating type I error and power rates using an effect size measure with the
logistic regression procedure for DIF detection. *Applied Measurement in Education* 14, 329-349.

Monahan, P. O., McHorney, C. A., Stump, T. E. & Perkins, A. J. (2007). Odds ratio, delta, ETS classification, and
standardization measures of DIF magnitude for binary logistic regression. *Journal of Educational and Behavioral
Statistics* 32, 92-109.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit, logit

from bgtk_lib.instrument.dif.found import DELTA, classify, state_found
from bgtk_lib.instrument.dif.matching import Flags, Floats, Matched

METHODS = ("logistic", "logistic_uniform", "logistic_nonuniform")
MAX_ITERATIONS = 50
FARTHEST = 10.0  # logits; a group coefficient beyond has run away, because one group's answers are all alike
TOLERANCE = 1e-10  # of the log-likelihood, relative; Newton's next step would change the square of that


@dataclass(frozen=True, kw_only=True, eq=False)
class _Fit:
    """Coefficients and standard errors (J, q), log-likelihoods (J,) of single answers, whether they settled (J,)."""

    coef: Floats
    errors: Floats
    loglik: Floats
    converged: Flags


def compare_regressions(table: Matched, *, alpha: float = 0.05) -> dict[str, pd.DataFrame]:
    """Compute the likelihood-ratio tests of uniform, non-uniform and any DIF of items scored right or wrong.

    Parameters
    ----------
    table : Matched
        Of J items with credit 0 or 1.
    alpha : float
        Below it, non-uniform DIF leaves the joint test without a direction.

    Returns
    -------
    dict of DataFrame
        ``logistic`` (any DIF: M2 against M0, 2 degrees of freedom), ``logistic_uniform`` (M1 against M0, 1) and
        ``logistic_nonuniform`` (M2 against M1, 1). One row an item: `statistic` (chi-square), `p`, `effect`,
        `effect_se`, `direction` (1: the focal group does better at equal score, −1: worse, null: it depends on the
        score), `note` (``no_spread``: a group has fewer than two scores; ``constant``: all right or all wrong;
        ``not_converged``; ``unbounded``: the group coefficient is infinite; else null). The effect of the uniform test
        is 2.35·b2 in delta points, like MH D-DIF (Monahan et al. 2007); of the others the gain in Nagelkerke's R², from
        0 to 1, without error.

    Notes
    -----
    M0: logit P(right) = b0 + b1·score. M1: + b2·focal. M2: + b3·focal·score. The statistics are −2 ln of likelihood
    ratios; the uniform and the non-uniform one add up to the joint one. R² = (1 − exp(2(l0 − l)/N)) / (1 − exp(2·l0/N))
    with likelihoods of single answers, l0 with the intercept only (never by way of exp(l0), which is 0 in the machine
    from about a thousand persons on: R's difR 5.1 lost the denominator that way).

    Examples
    --------
    Two scores; right are 4 and 6 of 8 in the reference group, 2 and 4 of 8 in the focal one. The odds are 1 and 3, and
    1/3 and 1: at either score the focal group's are a third, so b2 = −ln 3 and nothing is left for M2.

    >>> table = Matched(
    ...     score=np.array([1.0, 2]),
    ...     n=np.full((2, 2), 8.0),
    ...     total=np.array([[[4.0], [6.0]], [[2.0], [4.0]]]),
    ...     squares=np.array([[6.0], [10.0]]),
    ... )
    >>> found = compare_regressions(table)
    >>> round(float(found["logistic_uniform"]["effect"][0]), 4), round(float(found["logistic_nonuniform"]["p"][0]), 4)
    (-2.5817, 1.0)
    """
    n, right = table.n.reshape(-1), table.total.reshape(-1, table.total.shape[2])
    score = np.tile(table.score, 2)
    group = np.repeat([0.0, 1.0], len(table.score))
    used = n > 0
    n, right, score, group = n[used], right[used], score[used], group[used]
    size = n.sum()
    share = right.sum(axis=0) / max(size, 1)
    varies = (share > 0) & (share < 1)
    if (table.n > 0).sum(axis=1).min() < 2 or not varies.any():
        empty = np.full(right.shape[1], np.nan)
        note = np.where(varies, "no_spread", "constant")
        return {name: state_found(empty, empty, error=empty, direction=empty, note=note) for name in METHODS}

    standard = (score - score.mean()) / score.std()
    design = np.column_stack([np.ones_like(standard), standard, group, group * standard])
    right = np.where(varies, right, n[:, None] / 2)  # keeps a constant item from spoiling the batch; it has its note
    share = np.where(varies, share, 0.5)
    nothing = size * (share * np.log(share) + (1 - share) * np.log1p(-share))
    fits = [_fit(design[:, :columns], right, n) for columns in (2, 3, 4)]
    r2 = [(1 - np.exp(2 * (nothing - fit.loglik) / size)) / (1 - np.exp(2 * nothing / size)) for fit in fits]
    settled = np.logical_and.reduce([fit.converged for fit in fits])
    note = np.select([~varies, ~settled], ["constant", "not_converged"], default="")

    score_only, uniform, crossed = (2 * fit.loglik for fit in fits)
    group_effect, none = fits[1].coef[:, 2], np.full(len(note), np.nan)
    far = np.where((note == "") & (np.abs(group_effect) > FARTHEST), "unbounded", note)
    side, crosses = np.sign(group_effect), stats.chi2.sf(crossed - uniform, 1) < alpha
    return {
        "logistic": state_found(
            crossed - score_only,
            r2[2] - r2[0],
            error=none,
            direction=np.where(crosses, np.nan, side),
            note=note,
            freedom=2,
        ),
        "logistic_uniform": state_found(
            uniform - score_only,
            abs(DELTA) * group_effect,
            error=abs(DELTA) * fits[1].errors[:, 2],
            direction=side,
            note=far,
        ),
        "logistic_nonuniform": state_found(crossed - uniform, r2[2] - r2[1], error=none, direction=none, note=note),
    }


def classify_r2(found: pd.DataFrame, *, alpha: float) -> pd.Series[Any]:
    """Return the class of Jodoin & Gierl (2001): A: p ≥ `alpha` or ΔR² < .035, C: ΔR² ≥ .070, B: the rest."""
    return classify(found, small=found["effect"] < 0.035, large=found["effect"] >= 0.070, alpha=alpha)


def _fit(design: Floats, right: Floats, n: Floats) -> _Fit:
    """Fit one logistic regression an item by Newton's method; cells (C, q), right (C, J), n (C,)."""
    n = n[:, None]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)

    def invert(weight: Floats) -> Floats:
        # where the groups separate perfectly the weights vanish: the pseudo-inverse stays finite
        grams = (weight.T @ products).reshape(-1, design.shape[1], design.shape[1])
        return np.asarray(np.linalg.pinv(grams, hermitian=True))

    eta = logit((right + 0.5) / (n + 1))
    loglik = np.full(right.shape[1], -np.inf)
    for _ in range(MAX_ITERATIONS):
        p = expit(eta)
        weight = n * p * (1 - p)
        target = (weight * eta + right - n * p).T @ design
        coef: Floats = (invert(weight) @ target[:, :, None])[:, :, 0]
        eta = design @ coef.T
        before, loglik = loglik, (right * eta - n * np.logaddexp(0, eta)).sum(axis=0)
        converged: Flags = np.abs(loglik - before) <= TOLERANCE * (np.abs(loglik) + 0.1)
        if converged.all():
            break
    p = expit(eta)
    errors = np.sqrt(np.diagonal(invert(n * p * (1 - p)), axis1=1, axis2=2))
    return _Fit(coef=coef, errors=errors, loglik=loglik, converged=converged)
