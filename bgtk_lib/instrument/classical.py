"""Classical item and test statistics: how hard an item is, whether it goes with the rest, how reliable the total."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

Floats: TypeAlias = NDArray[np.float64]

MIN_PERSONS = 4  # for a correlation, whose interval divides by n − 3; the same for alpha
EXTREME = 0.27  # share of persons in the upper and in the lower group (Kelley 1939)
ROUNDING = 1e-12  # a variance below is none; credit is of the order of 1
ITEM_COLUMNS = [
    "item_id",
    "n",
    "highest",
    "difficulty",
    "difficulty_low",
    "difficulty_high",
    "sd",
    "item_rest_r",
    "r_low",
    "r_high",
    "uli",
    "alpha_if_deleted",
    "note",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemReview:
    """The classical statistics of one form.

    Attributes
    ----------
    items : DataFrame
        `ITEM_COLUMNS`, one row an item in the order given. `n`: persons it was presented to. `highest`: the most
        credit anybody earned, at least 1. `difficulty`: mean credit. `difficulty_low`, `difficulty_high`: its interval.
        `sd`: standard deviation of credit. `item_rest_r`: correlation of credit with the rest of the test. `r_low`,
        `r_high`: its interval. `uli`: mean credit of the upper less that of the lower 27 % by total score, as a part
        of `highest`. `alpha_if_deleted`: alpha of the other items. `note`: why a correlation is null, else null:
        ``empty`` (presented to nobody), ``too_few`` (fewer than four persons, or no other item), ``all_right``,
        ``all_wrong``, ``constant`` (any other credit that does not vary, or a rest that does not); `uli` is null with it.
        Without a note of their own are null: `uli` where nobody of a group was presented the item, the interval of
        difficulty for credit that is not 0/1 and does not vary, `sd` for one person, `alpha_if_deleted` where fewer than two items or four persons would be left.
    alpha : float or Withheld
        Cronbach's alpha of the sum score (KR-20 for 0/1 credit).
    alpha_low, alpha_high : float or None
        Ends of Feldt's interval; None where alpha is withheld.
    n_persons : int
        Persons alpha rests on: presented every item that is not empty.
    n_incomplete : int
        Persons left out of alpha.
    n_items : int
        Items alpha rests on: all but the empty ones.
    """

    items: pd.DataFrame
    alpha: float | Withheld
    alpha_low: float | None
    alpha_high: float | None
    n_persons: int
    n_incomplete: int
    n_items: int

    @property
    def share_negative(self) -> float | Withheld:
        """Share of items at or below zero discrimination, of those whose discrimination could be computed."""
        n_known = int(self.items["item_rest_r"].notna().sum())
        if n_known == 0:
            return Withheld(say("statistics.no_discrimination"))
        return len(find_negative_items(self)) / n_known


def review_items(credit: pd.DataFrame, *, confidence: float = 0.95) -> ItemReview:
    """Compute difficulty, corrected point-biserial, upper–lower index and alpha of one form.

    Parameters
    ----------
    credit : DataFrame
        Persons × items: credit from 0 up, null where the item was not presented or not reached.
    confidence : float
        Of the intervals, between 0 and 1.

    Returns
    -------
    ItemReview

    Notes
    -----
    Missing values: difficulty and correlation use whoever was presented the item; the rest is the mean credit on the
    other items presented to the same person. Alpha and alpha-if-deleted use only persons presented every item
    (listwise), empty items aside. With complete data these are the usual statistics (R: ``psych::alpha``).

    α = k/(k − 1) · (1 − Σ s_i² / s_X²), s² with n − 1. Feldt: (1 − α_true)/(1 − α) follows F with n − 1 and
    (n − 1)(k − 1) degrees of freedom, hence the interval 1 − (1 − α)·F_{1−a/2} … 1 − (1 − α)·F_{a/2}. The interval of a
    correlation is Fisher's, tanh(artanh r ± z / √(n − 3)); that of a difficulty Wilson's for 0/1 credit, else that of
    the t distribution, which may reach past what can be earned. Both take persons as drawn one by one.

    Upper and lower group hold 27 % of the persons by mean credit on what they were presented, the item included, as is
    usual. Persons tied at the cut belong to a group in part, each with the same weight, so that it holds 27 % exactly:
    what every way of breaking ties gives on average. (ShinyItemAnalysis takes thirds; there ties fall into one group.)

    References
    ----------
    Cronbach, L. J. (1951). Coefficient alpha and the internal structure of tests. *Psychometrika* 16, 297-334.

    Feldt, L. S. (1965). The approximate sampling distribution of Kuder-Richardson reliability coefficient twenty.
    *Psychometrika* 30, 357-370.

    Kelley, T. L. (1939). The selection of upper and lower groups for the validation of test items. *Journal of
    Educational Psychology* 30, 17-24.

    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. *Journal of the American
    Statistical Association* 22, 209-212.

    Examples
    --------
    Both item variances are 1/3, that of the sum is 4/3: alpha = 2·(1 - (2/3)/(4/3)) = 1. The third item was seen by
    nobody.

    >>> review = review_items(pd.DataFrame({"b1": [1, 1, 0, 0], "b2": [1, 1, 0, 0], "b3": [None] * 4}))
    >>> round(review.alpha, 6)
    1.0
    >>> review.items[["item_id", "n", "difficulty", "note"]]
      item_id  n  difficulty   note
    0      b1  4         0.5    NaN
    1      b2  4         0.5    NaN
    2      b3  0         NaN  empty
    """
    points = credit.to_numpy(dtype=float, na_value=np.nan)
    presented = ~np.isnan(points)
    used = presented.any(axis=0)
    complete = points[presented[:, used].all(axis=1)][:, used]
    alpha = _estimate_alpha(complete)
    low, high = None, None
    if not isinstance(alpha, Withheld):
        n, k = complete.shape
        freedom = (n - 1, (n - 1) * (k - 1))
        tail = (1 - confidence) / 2
        low = 1 - (1 - alpha) * float(stats.f.isf(tail, *freedom))
        high = 1 - (1 - alpha) * float(stats.f.ppf(tail, *freedom))
    return ItemReview(
        items=_describe_items(points, credit.columns, complete, confidence=confidence),
        alpha=alpha,
        alpha_low=low,
        alpha_high=high,
        n_persons=len(complete),
        n_incomplete=len(points) - len(complete),
        n_items=complete.shape[1],
    )


def find_negative_items(review: ItemReview) -> pd.DataFrame:
    """Return the items that go against the rest of the test or not at all with it: discrimination at or below zero."""
    return review.items[review.items["item_rest_r"] <= 0].reset_index(drop=True)


def weigh_extremes(score: Floats) -> tuple[Floats, Floats]:
    """Return how far each person belongs to the upper and to the lower 27 %: 1, 0, or in part where tied at the cut.

    Examples
    --------
    Of five persons 27 % are 1.35: the best one, and 0.35 spread over the two tied behind.

    >>> weigh_extremes(np.array([9.0, 7.0, 7.0, 3.0, 1.0]))[0].round(6).tolist()
    [1.0, 0.175, 0.175, 0.0, 0.0]
    """
    _, place, tied = np.unique(np.round(score, 9), return_inverse=True, return_counts=True)
    size, below = EXTREME * len(score), np.cumsum(tied) - tied
    above = len(score) - below - tied
    lower, upper = ((size - before) / tied for before in (below, above))
    return upper.clip(0, 1)[place], lower.clip(0, 1)[place]


def group_by_score(score: Floats, *, n_groups: int, fewest: int) -> NDArray[np.int64]:
    """Return groups 0 … from low to high, as equal as ties allow: who has the same score is in the same group.

    Parameters
    ----------
    score : array (n,)
        No nulls.
    n_groups : int
        Asked for; there are fewer where the smallest would hold fewer than `fewest`, and one where nothing helps.
    fewest : int
        Persons of the smallest group.

    Examples
    --------
    >>> group_by_score(np.array([1.0, 2.0, 2.0, 5.0, 6.0, 9.0]), n_groups=3, fewest=1).tolist()
    [0, 1, 1, 1, 2, 2]
    """
    _, place, tied = np.unique(np.round(score, 9), return_inverse=True, return_counts=True)
    middle = (np.cumsum(tied) - tied / 2) / max(len(score), 1)  # the place of everybody with that score, 0 to 1
    for asked in range(n_groups if len(score) >= 2 * fewest else 1, 1, -1):
        _, group = np.unique(np.floor(asked * middle)[place], return_inverse=True)
        if np.bincount(group).min() >= fewest:
            return group
    return np.zeros(len(score), dtype=np.int64)


def _describe_items(points: Floats, item_ids: pd.Index[Any], complete: Floats, *, confidence: float) -> pd.DataFrame:
    """Return `ITEM_COLUMNS`; see `ItemReview`."""
    presented = ~np.isnan(points)
    n = presented.sum(axis=0)
    given = np.where(presented, points, 0)
    others = presented.sum(axis=1, keepdims=True) - 1  # of the items presented to a person, all but this one
    rest = (given.sum(axis=1, keepdims=True) - given) / np.maximum(others, 1)

    paired = presented & (others > 0)
    n_paired = paired.sum(axis=0)
    item, rest = _centre(given, paired), _centre(rest, paired)
    products = np.sqrt((item**2).sum(axis=0) * (rest**2).sum(axis=0))
    note = np.select(
        [
            n == 0,
            n_paired < MIN_PERSONS,
            (given == presented).all(axis=0),
            (given == 0).all(axis=0),
            products <= ROUNDING * n_paired,
        ],
        ["empty", "too_few", "all_right", "all_wrong", "constant"],
        default="",
    )
    known = note == ""
    r = _divide((item * rest).sum(axis=0), products, where=known).clip(-1, 1)
    middle = np.arctanh(r.clip(-1 + ROUNDING, 1 - ROUNDING))
    half = stats.norm.isf((1 - confidence) / 2) / np.sqrt(np.where(known, n_paired - 3, np.nan))

    used = n > 0
    highest = np.maximum(given.max(axis=0, initial=1), 1)
    difficulty = _divide(given.sum(axis=0), n, where=used)
    sd = np.sqrt(_divide((_centre(given, presented) ** 2).sum(axis=0), n - 1, where=n > 1))
    low, high = _bound_difficulty(
        difficulty, sd, n, binary=np.all((given == 0) | (given == 1), axis=0), confidence=confidence
    )
    n_shown = presented.sum(axis=1)
    total = _divide(given.sum(axis=1), n_shown, where=n_shown > 0)
    without = np.full(len(n), np.nan)
    without[used] = _estimate_alpha_without(complete)
    return pd.DataFrame(
        {
            "item_id": item_ids,
            "n": n,
            "highest": highest,
            "difficulty": difficulty,
            "difficulty_low": low,
            "difficulty_high": high,
            "sd": sd,
            "item_rest_r": r,
            "r_low": np.tanh(middle - half),
            "r_high": np.tanh(middle + half),
            "uli": np.where(known, _compare_extremes(given, presented, total) / highest, np.nan),
            "alpha_if_deleted": without,
            "note": pd.Series(note, dtype="str").where(~known),
        },
        columns=ITEM_COLUMNS,
    )


def _bound_difficulty(
    mean: Floats, sd: Floats, n: NDArray[np.int64], *, binary: NDArray[np.bool_], confidence: float
) -> tuple[Floats, Floats]:
    """Return the ends of the interval of a mean credit: Wilson's for 0/1, else that of the t distribution."""
    tail, size = (1 - confidence) / 2, np.where(n > 0, n, np.nan)
    z = stats.norm.isf(tail)
    shrink = 1 + z**2 / size
    middle = (mean + z**2 / (2 * size)) / shrink
    half = z * np.sqrt(np.where(binary, mean * (1 - mean), 0) / size + z**2 / (4 * size**2)) / shrink
    around = stats.t.isf(tail, np.maximum(n - 1, 1)) * np.where(sd > ROUNDING, sd, np.nan) / np.sqrt(size)
    middle, half = np.where(binary, middle, mean), np.where(binary, half, around)
    return middle - half, middle + half


def _compare_extremes(given: Floats, presented: NDArray[np.bool_], total: Floats) -> Floats:
    """Return the mean credit of the upper less that of the lower 27 %; null where one of them was not presented the item."""
    sat = ~np.isnan(total)

    def take_mean(weight: Floats) -> Floats:
        shown = weight @ presented[sat]
        return _divide(weight @ given[sat], shown, where=shown > ROUNDING)

    upper, lower = weigh_extremes(total[sat])
    return take_mean(upper) - take_mean(lower)


def _estimate_alpha(complete: Floats) -> float | Withheld:
    """Return alpha of persons × items without nulls."""
    n, k = complete.shape
    if k < 2:
        return Withheld(say("statistics.alpha_few_items", n=k))
    if n < MIN_PERSONS:
        return Withheld(say("statistics.alpha_few_persons", n=n, needed=MIN_PERSONS))
    total = complete.sum(axis=1).var(ddof=1)
    if total <= ROUNDING:
        return Withheld(say("statistics.alpha_no_variation"))
    return float(k / (k - 1) * (1 - complete.var(axis=0, ddof=1).sum() / total))


def _estimate_alpha_without(complete: Floats) -> Floats:
    """Return, for each item, alpha of the others; null where they are fewer than two or their total does not vary."""
    n, k = complete.shape
    if k < 3 or n < MIN_PERSONS:
        return np.full(k, np.nan)
    variances = complete.var(axis=0, ddof=1)
    rest = (complete.sum(axis=1, keepdims=True) - complete).var(axis=0, ddof=1)
    alpha: Floats = (k - 1) / (k - 2) * (1 - _divide(variances.sum() - variances, rest, where=rest > ROUNDING))
    return alpha


def _centre(values: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """Return deviations from the column mean of the chosen cells, zero elsewhere."""
    mean = (values * chosen).sum(axis=0) / np.maximum(chosen.sum(axis=0), 1)
    deviations: Floats = (values - mean) * chosen
    return deviations


def _divide(above: Floats, below: Floats, *, where: NDArray[np.bool_]) -> Floats:
    """Return the quotient, null elsewhere."""
    quotient: Floats = np.divide(above, below, where=where, out=np.full(len(above), np.nan))
    return quotient
