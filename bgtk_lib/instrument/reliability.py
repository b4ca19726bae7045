"""How exactly a form measures: reliability of the total and its error, halves, subscores, retests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
from scipy import stats

from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.classical import MIN_PERSONS, ROUNDING, Floats, review_items
from bgtk_lib.instrument.omega import Kind, Omega, estimate_omega, take_complete
from bgtk_lib.words import say

ALL_SPLITS = 10_000  # halvings that are all looked at; of more, a random part
SUBSCORE_COLUMNS = ["subscale", "n_items", "n_persons", "prmse_subscore", "prmse_total", "added_value", "note"]


@dataclass(frozen=True, kw_only=True)
class Halves:
    """Reliability of the total from two halves of the test.

    Attributes
    ----------
    odd_even : float or Withheld
        First, third … item against second, fourth …, stepped up by Spearman and Brown.
    mean, lowest, highest : float
        Guttman's 4·cov/variance over halvings: Revelle's β is the lowest, Guttman's λ4 the highest, of all halvings.
    n_splits : int
        Halvings looked at.
    every_split : bool
        Whether these are all there are.
    n_persons, n_items : int
        Persons presented every item that is not empty; such items.
    """

    odd_even: float | Withheld
    mean: float
    lowest: float
    highest: float
    n_splits: int
    every_split: bool
    n_persons: int
    n_items: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """How exactly the total of a form measures.

    Attributes
    ----------
    n_persons, n_incomplete : int
        Persons presented every item that is not empty, on whom all rests, and the others.
    n_items : int
        Items that are not empty.
    mean_total, sd_total : float or None
        Of the sum of credit; None where there are too few persons.
    alpha : float or Withheld
        Cronbach's alpha, as in `review_items`.
    alpha_low, alpha_high : float or None
        Feldt's interval.
    omega : Omega or Withheld
        As in `estimate_omega`.
    halves : Halves or Withheld
        As in `split_halves`.
    sem_alpha, sem_omega : float or Withheld
        Standard error of measurement of the total, by either reliability.
    """

    n_persons: int
    n_incomplete: int
    n_items: int
    mean_total: float | None
    sd_total: float | None
    alpha: float | Withheld
    alpha_low: float | None
    alpha_high: float | None
    omega: Omega | Withheld
    halves: Halves | Withheld
    sem_alpha: float | Withheld
    sem_omega: float | Withheld


@dataclass(frozen=True, kw_only=True)
class Retest:
    """The same persons measured twice.

    Attributes
    ----------
    n, n_incomplete : int
        Persons with both scores, and with one only.
    r, r_low, r_high : float
        Correlation and Fisher's interval.
    sd_first, sd_second : float
        Standard deviations.
    mean_difference, sd_difference : float
        Of second less first.
    sem_difference : float
        Standard error of measurement of a person's difference, √((s₁² + s₂²)(1 − r)).
    """

    n: int
    n_incomplete: int
    r: float
    r_low: float
    r_high: float
    sd_first: float
    sd_second: float
    mean_difference: float
    sd_difference: float
    sem_difference: float


def review_reliability(
    credit: pd.DataFrame, *, kind: Kind = "categorical", rng: np.random.Generator, confidence: float = 0.95
) -> Reliability:
    """Estimate the reliability of the total of one form in every way the report shows, with its error of measurement.

    Parameters
    ----------
    credit : DataFrame
        Persons × items in the order of the form, null where not presented; persons as for alpha.
    kind : {"categorical", "linear"}
        Of omega.
    rng : Generator
        For the interval of omega and for random halvings.
    confidence : float
        Of the intervals, between 0 and 1.

    Examples
    --------
    Totals 3, 2, 1, 0: s² = 5/3, and alpha = 3/2 · (1 − (1/4 + 1/3 + 1/4)/(5/3)) = 3/4.

    >>> credit = pd.DataFrame({"b1": [1, 1, 1, 0], "b2": [1, 1, 0, 0], "b3": [1, 0, 0, 0]})
    >>> reliability = review_reliability(credit, rng=np.random.default_rng(1))
    >>> round(reliability.alpha, 6), round(reliability.sem_alpha, 6), type(reliability.omega).__name__
    (0.75, 0.645497, 'Withheld')
    """
    review = review_items(credit, confidence=confidence)
    omega = estimate_omega(credit, kind=kind, rng=rng, confidence=confidence)
    _, complete = take_complete(credit)
    enough = len(complete) >= MIN_PERSONS
    sd = float(complete.sum(axis=1).std(ddof=1)) if enough else 0.0
    return Reliability(
        n_persons=review.n_persons,
        n_incomplete=review.n_incomplete,
        n_items=review.n_items,
        mean_total=float(complete.sum(axis=1).mean()) if enough else None,
        sd_total=sd if enough else None,
        alpha=review.alpha,
        alpha_low=review.alpha_low,
        alpha_high=review.alpha_high,
        omega=omega,
        halves=split_halves(credit, rng=rng),
        sem_alpha=find_sem(sd, review.alpha),
        sem_omega=find_sem(sd, omega if isinstance(omega, Withheld) else omega.omega),
    )


def split_halves(credit: pd.DataFrame, *, rng: np.random.Generator) -> Halves | Withheld:
    """Estimate the reliability of the total by halving the test: odd against even items, and every or many other ways.

    Parameters
    ----------
    credit : DataFrame
        Persons × items in the order of the form, null where not presented; persons as for alpha.
    rng : Generator
        For 10,000 random halvings where there are more than that (from 17 items on).

    Returns
    -------
    Halves or Withheld
        Withheld with fewer than two items or four persons, or a total that does not vary.

    Notes
    -----
    Spearman–Brown: 2r/(1 + r). Guttman: 4·cov(A, B)/s_X², which needs no halves of equal variance; its mean over all
    halvings into equal numbers is alpha, which is why the lowest and the highest are what it adds. Of an odd number of
    items one half has one more.

    References
    ----------
    Guttman, L. (1945). A basis for analyzing test-retest reliability. *Psychometrika* 10, 255-282 (λ4).

    Revelle, W. (1979). Hierarchical cluster analysis and the internal structure of tests. *Multivariate Behavioral
    Research* 14, 57-74 (β).

    Examples
    --------
    The mean is alpha, 4/3 · (1 − (1/3 + 1/4 + 1/3 + 1/4)/(10/3)) = 13/15.

    >>> credit = pd.DataFrame({"b1": [1, 1, 0, 0], "b2": [1, 1, 1, 0], "b3": [1, 1, 0, 0], "b4": [1, 0, 0, 0]})
    >>> halves = split_halves(credit, rng=np.random.default_rng(1))
    >>> halves.n_splits, round(halves.mean, 6), round(halves.highest, 6)
    (3, 0.866667, 0.9)
    """
    items, complete = take_complete(credit)
    n, k = complete.shape
    if k < 2 or n < MIN_PERSONS or np.ptp(complete.sum(axis=1)) <= ROUNDING:
        return Withheld(say("classical.no_halves", persons=n, items=len(items), needed=MIN_PERSONS))
    covariance = np.cov(complete, rowvar=False)
    n_splits = comb(k - 1, k // 2 - 1) if k % 2 == 0 else comb(k, k // 2)
    every = n_splits <= ALL_SPLITS
    sides = _list_halvings(k) if every else rng.permuted(np.tile(np.resize([1.0, -1.0], k), (ALL_SPLITS, 1)), axis=1)
    guttman = 1 - ((sides @ covariance) * sides).sum(axis=1) / covariance.sum()
    return Halves(
        odd_even=_step_up(complete[:, ::2].sum(axis=1), complete[:, 1::2].sum(axis=1)),
        mean=float(guttman.mean()),
        lowest=float(guttman.min()),
        highest=float(guttman.max()),
        n_splits=len(sides),
        every_split=every,
        n_persons=n,
        n_items=k,
    )


def find_sem(sd: float, reliability: float | Withheld) -> float | Withheld:
    """Return the standard error of measurement, s·√(1 − reliability), in the unit of the score.

    A reliability that cannot be told withholds it; one below zero counts as zero.

    Examples
    --------
    >>> find_sem(10.0, 0.84)
    4.0
    """
    if isinstance(reliability, Withheld):
        return reliability
    return float(sd * np.sqrt(1 - min(max(reliability, 0.0), 1.0)))


def review_subscores(credit: pd.DataFrame, subscales: Mapping[str, str]) -> pd.DataFrame:
    """Estimate whether a subscore tells more about what it is to measure than the total does (Haberman's PRMSE).

    Parameters
    ----------
    credit : DataFrame
        Persons × items, null where not presented; persons as for alpha.
    subscales : mapping
        Item → subscale; every item of one total. Items that are not in it are left out of the total.

    Returns
    -------
    DataFrame
        `SUBSCORE_COLUMNS`, one row a subscale, by name. `n_items`: that are not empty. `prmse_subscore`: part of the
        variance of the true subscore that the observed one predicts, which is its reliability (alpha).
        `prmse_total`: part that the observed total predicts. `added_value`: whether the first is larger. `note`: why
        they are null: ``few_items`` (fewer than two), ``few_persons`` (fewer than four), ``constant`` (subscore or total
        does not vary), ``no_reliability`` (alpha 0 or less: no true variance is left).

    Notes
    -----
    With σ_e² = s²(1 − α) the error variance of the subscore s, x the total (s in it) and errors of different subscores
    uncorrelated: PRMSE_total = (cov(s, x) − σ_e²)² / (s²·α · s_x²), at most 1. The subscore deserves to be shown beside
    the total if its own PRMSE is the larger.

    References
    ----------
    Haberman, S. J. (2008). When can subscores have value? *Journal of Educational and Behavioral Statistics* 33, 204-229.

    Examples
    --------
    Two pairs of equal items that have nothing to do with each other: each half of the total is the other's noise.

    >>> credit = pd.DataFrame({"b1": [1, 1, 0, 0] * 2, "b2": [1, 1, 0, 0] * 2, "b3": [1, 0] * 4, "b4": [1, 0] * 4})
    >>> review_subscores(credit, {"b1": "first", "b2": "first", "b3": "second", "b4": "second"}).iloc[:, :6]
      subscale  n_items  n_persons  prmse_subscore  prmse_total  added_value
    0    first        2          8             1.0          0.5         True
    1   second        2          8             1.0          0.5         True
    """
    items, complete = take_complete(credit[[item for item in credit.columns if item in subscales]])
    names = np.array([subscales[item] for item in items], dtype=object)
    total = complete.sum(axis=1)
    rows = []
    for name in sorted({subscales[item] for item in credit.columns if item in subscales}):
        part = complete[:, names == name]
        row = {"subscale": name, "n_items": part.shape[1], "n_persons": len(part)}
        rows.append(row | _predict_subscore(part, total))
    types = {"subscale": "str", "prmse_subscore": "float64", "prmse_total": "float64", "added_value": "boolean"}
    return pd.DataFrame(rows, columns=SUBSCORE_COLUMNS).astype(types | {"note": "str"})


def compare_retest(first: pd.Series[float], second: pd.Series[float], *, confidence: float = 0.95) -> Retest | Withheld:
    """Estimate how well the scores of the same persons agree over two occasions.

    Parameters
    ----------
    first, second : Series
        Scores; index: persons, each once. Who has one score only, or a null, is left out and counted.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    Retest or Withheld
        Withheld with fewer than four persons, or where everybody has the same score on an occasion.

    References
    ----------
    Maassen, G. H. (2004). The standard error in the Jacobson and Truax reliable change index: the classical approach to
    the assessment of reliable change. *Journal of the International Neuropsychological Society* 10, 888-893 (unequal
    variances).

    Examples
    --------
    >>> retest = compare_retest(pd.Series([1.0, 2.0, 3.0, 4.0]), pd.Series([2.0, 3.0, 5.0, 4.0]))
    >>> round(retest.r, 6), retest.mean_difference, round(retest.sem_difference, 6)
    (0.8, 1.0, 0.816497)
    """
    both = pd.concat([first, second], axis=1, join="outer").dropna()
    n = len(both)
    if n < MIN_PERSONS:
        return Withheld(say("classical.few_retests", n=n, needed=MIN_PERSONS))
    one, two = both.to_numpy(dtype=float).T
    if min(np.ptp(one), np.ptp(two)) <= ROUNDING:
        return Withheld(say("statistics.constant_scores"))
    r = float(np.corrcoef(one, two)[0, 1])
    middle = np.arctanh(np.clip(r, -1 + ROUNDING, 1 - ROUNDING))
    half = stats.norm.isf((1 - confidence) / 2) / np.sqrt(n - 3)
    variances = one.var(ddof=1) + two.var(ddof=1)
    return Retest(
        n=n,
        n_incomplete=len(first.index.union(second.index)) - n,
        r=r,
        r_low=float(np.tanh(middle - half)),
        r_high=float(np.tanh(middle + half)),
        sd_first=float(one.std(ddof=1)),
        sd_second=float(two.std(ddof=1)),
        mean_difference=float((two - one).mean()),
        sd_difference=float((two - one).std(ddof=1)),
        sem_difference=float(np.sqrt(variances * max(1 - r, 0))),
    )


def _predict_subscore(part: Floats, total: Floats) -> dict[str, float | bool | str]:
    """Return what is known of one subscore; see `review_subscores`."""
    n, k = part.shape
    if k < 2 or n < MIN_PERSONS:
        return {"note": "few_items" if k < 2 else "few_persons"}
    score = part.sum(axis=1)
    if min(np.ptp(score), np.ptp(total)) <= ROUNDING:
        return {"note": "constant"}
    both = np.cov(score, total)
    alpha = k / (k - 1) * (1 - part.var(axis=0, ddof=1).sum() / both[0, 0])
    if alpha <= ROUNDING:
        return {"note": "no_reliability"}
    with_total = (both[0, 1] - both[0, 0] * (1 - alpha)) ** 2 / (both[0, 0] * alpha * both[1, 1])
    return {"prmse_subscore": alpha, "prmse_total": min(with_total, 1.0), "added_value": bool(alpha > with_total)}


def _list_halvings(k: int) -> Floats:
    """Return every halving of k items as rows of 1 and −1, each once."""
    even = k % 2 == 0
    chosen = (
        [(0, *rest) for rest in combinations(range(1, k), k // 2 - 1)] if even else [*combinations(range(k), k // 2)]
    )
    sides = np.full((len(chosen), k), -1.0)
    np.put_along_axis(sides, np.array(chosen, dtype=np.int64), 1.0, axis=1)
    return sides


def _step_up(one: Floats, two: Floats) -> float | Withheld:
    """Return the reliability of both halves together, from their correlation."""
    if min(np.ptp(one), np.ptp(two)) <= ROUNDING:
        return Withheld(say("classical.constant_half"))
    r = float(np.corrcoef(one, two)[0, 1])
    return 2 * r / (1 + r) if r > ROUNDING - 1 else Withheld(say("classical.constant_half"))
