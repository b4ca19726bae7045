"""Item fit by sum score: S-X², the observed and the expected answers of persons with the same score."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bgtk_lib.instrument.irt.abilities import code_credit, place_grid
from bgtk_lib.instrument.irt.curves import Curves, Floats

SCORE_FIT_COLUMNS = ["item_id", "n", "s_x2", "s_x2_df", "s_x2_p", "note"]
MIN_EXPECTED = 1.0  # of a cell, as in Orlando & Thissen 2000 and R mirt


def fit_sum_scores(
    credit: pd.DataFrame, curves: Curves, *, mean: float, sd: float, n_free: Mapping[str, int] | None = None
) -> pd.DataFrame:
    """Compute S-X² of each item: whether persons with the same sum score answer it as the model says.

    Parameters
    ----------
    credit : DataFrame
        Persons × items, categories 0 … m, null where not presented. Items without curves are left out. Only persons
        presented every item that was presented to anybody are used (listwise).
    curves : Curves
    mean, sd : float
        Of the normal population the persons come from, on the scale of the curves.
    n_free : mapping of item to int, optional
        Parameters of the item estimated from these data, taken off the degrees of freedom; 0 for items whose parameters
        come from elsewhere. None: one for each step, and one for the slope unless all slopes are the same.

    Returns
    -------
    DataFrame
        `SCORE_FIT_COLUMNS`, one row an item with a curve. `n`: complete persons. `s_x2`, `s_x2_df`, `s_x2_p`: the
        statistic, its degrees of freedom and the probability of a larger one. `note`: why there is none, else null:
        ``empty`` (presented to nobody), ``incomplete`` (nobody was presented every item), ``no_spread`` (`sd` is not
        above zero), ``few_cells`` (no degree of freedom is left).

    Raises
    ------
    SchemaError
        If an item holds a category that its curve does not have.

    Notes
    -----
    S-X² = Σ_s Σ_k (O_sk − E_sk)² / E_sk over scores s and categories k. E_sk = N_s ∫ P_k(θ) S*(s − k | θ) φ(θ) dθ /
    ∫ S(s | θ) φ(θ) dθ, where S is the distribution of the sum score given ability and S* that of the other items, both
    by the recursion of Lord and Wingersky. The lowest and the highest score say nothing.

    Cells are joined until each expects at least one person: scores at which not every category is possible join the
    nearest at which all are; empty scores are dropped, a score of one person joins the next; within a score the category
    that expects least joins the smaller of its neighbours, as long as three are left; a score that still expects less
    joins the neighbour with fewer persons. With two categories R mirt joins the same cells; with more it also joins
    categories across all scores, and may keep a few cells fewer. Degrees of freedom: cells − scores − free parameters.
    For a Rasch model with free variance mirt takes off one more, for the variance.

    References
    ----------
    Orlando, M. & Thissen, D. (2000). Likelihood-based item-fit indices for dichotomous item response theory models.
    *Applied Psychological Measurement* 24, 50-64.

    Kang, T. & Chen, T. T. (2008). Performance of the generalized S-X² item fit index for polytomous IRT models.
    *Journal of Educational Measurement* 45, 391-406.

    Lord, F. M. & Wingersky, M. S. (1984). Comparison of IRT true-score and equipercentile observed-score "equatings".
    *Applied Psychological Measurement* 8, 453-461.

    Examples
    --------
    Three like items: with a sum of 1 or 2, one or two of the three answers are right, whatever the ability. The 12
    persons of each score should therefore give 4 and 8 right answers; b1 has 6 and 8, hence 4/4 + 4/8.

    >>> curves = Curves(
    ...     item_ids=("b1", "b2", "b3"), slopes=np.ones(3), intercepts=np.zeros((3, 1)), graded=np.zeros(3, bool)
    ... )
    >>> answers = (
    ...     [[1, 0, 0]] * 6 + [[0, 1, 0]] * 3 + [[0, 0, 1]] * 3 + [[1, 1, 0]] * 4 + [[1, 0, 1]] * 4 + [[0, 1, 1]] * 4
    ... )
    >>> fit = fit_sum_scores(pd.DataFrame(answers, columns=["b1", "b2", "b3"]), curves, mean=0, sd=1)
    >>> fit.round(6).iloc[0].to_dict()
    {'item_id': 'b1', 'n': 24, 's_x2': 1.5, 's_x2_df': 1.0, 's_x2_p': 0.220671, 'note': nan}
    """
    codes, curves = code_credit(credit, curves)
    used = np.flatnonzero((codes >= 0).any(axis=0))
    complete = codes[(codes[:, used] >= 0).all(axis=1) & (used.size > 0)][:, used]
    found = np.full((len(curves.item_ids), 3), np.nan)
    note = np.full(len(found), "empty", dtype=object)
    note[used] = "incomplete" if sd > 0 else "no_spread"
    if len(complete) and sd > 0:
        some = curves.take([curves.item_ids[at] for at in used])
        free = _count_free(some) if n_free is None else [n_free[item] for item in some.item_ids]
        observed, expected = _observe(complete, some), _expect(complete, some, mean=mean, sd=sd)
        tables = zip(observed, expected, some.highest, free, strict=True)
        found[used] = [_test(join_cells(seen, due, highest=top), n_free=lost) for seen, due, top, lost in tables]
        note[used] = "few_cells"
        note[~np.isnan(found[:, 0])] = None
    return pd.DataFrame(
        {
            "item_id": list(curves.item_ids),
            "n": len(complete),
            "s_x2": found[:, 0],
            "s_x2_df": found[:, 1],
            "s_x2_p": found[:, 2],
            "note": pd.Series(note, dtype="str"),
        },
        columns=SCORE_FIT_COLUMNS,
    )


def distribute_scores(chances: Floats, highest: NDArray[np.int64]) -> Floats:
    """Return the distribution of the sum score at each ability, scores × abilities (Lord & Wingersky's recursion).

    Parameters
    ----------
    chances : array (J, K, Q)
        P(X = k) of each item at each ability, as `Curves.probabilities` returns them.
    highest : array (J,)
        Highest category of each item.

    Examples
    --------
    >>> coin = np.full((2, 2, 1), 0.5)
    >>> distribute_scores(coin, np.ones(2, dtype=int)).ravel().tolist()
    [0.25, 0.5, 0.25]
    """
    scores: Floats = np.ones((1, chances.shape[2]))
    for item, top in zip(chances, highest, strict=True):
        longer = np.zeros((len(scores) + top, chances.shape[2]))
        for k in range(top + 1):
            longer[k : k + len(scores)] += item[k] * scores
        scores = longer
    return scores


def join_cells(observed: Floats, expected: Floats, *, highest: int) -> list[Floats]:
    """Return scores as arrays (2, cells) of observed and expected counts, joined until every cell expects enough.

    Parameters
    ----------
    observed, expected : array (S + 1, K)
        Persons with each score in each category of the item.
    highest : int
        Highest category of the item.
    """
    top = len(observed) - 1
    if top < 2 * highest:  # no score at which every category is possible
        return []
    place = np.clip(np.arange(1, top), highest, top - highest) - highest
    table = np.zeros((top - 2 * highest + 1, 2, highest + 1))
    np.add.at(table, place, np.stack([observed, expected], axis=1)[1:top, :, : highest + 1])
    scores = [row for row in table if row[0].sum() > 0]

    joined: list[Floats] = []
    for at, row in enumerate(scores):
        if row[0].sum() == 1 and at + 1 < len(scores):
            scores[at + 1] = scores[at + 1] + row
        elif row[0].sum() == 1 and joined:
            joined[-1] = joined[-1] + row
        else:
            joined.append(row)
    while len(joined) > 1:
        poor = [at for at, row in enumerate(joined) if _join_categories(row)[1].min() < MIN_EXPECTED]
        if not poor:
            break
        row = joined.pop(poor[0])
        sides = [at for at in (poor[0] - 1, poor[0]) if 0 <= at < len(joined)]
        least = min(sides, key=lambda at: joined[at][0].sum())
        joined[least] = joined[least] + row
    return [_join_categories(row) for row in joined]


def _join_categories(row: Floats) -> Floats:
    """Return the counts of one score with sparse categories joined to a neighbour, down to two."""
    while row.shape[1] > 2 and row[1].min() < MIN_EXPECTED:
        last = row.shape[1] - 1
        least = last - int(row[1, ::-1].argmin())
        left = least == last or (least > 0 and row[1, least - 1] <= row[1, least + 1])
        into = least - 1 if left else least + 1
        row = row.copy()
        row[:, into] += row[:, least]
        row = np.delete(row, least, axis=1)
    return row


def _count_free(curves: Curves) -> NDArray[np.int64]:
    """Return the parameters of each item: its steps, and its slope unless all slopes are the same."""
    return curves.highest + int(len(np.unique(curves.slopes)) > 1)


def _observe(codes: NDArray[np.int64], curves: Curves) -> list[Floats]:
    """Return, for each item, persons by sum score and category, (S + 1) × K."""
    shape = int(curves.highest.sum()) + 1, curves.intercepts.shape[1] + 1
    total = codes.sum(axis=1)
    return [
        np.bincount(total * shape[1] + column, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
        for column in codes.T
    ]


def _expect(codes: NDArray[np.int64], curves: Curves, *, mean: float, sd: float) -> list[Floats]:
    """Return what `_observe` should return; see `fit_sum_scores`."""
    grid = place_grid(curves, mean=mean, sd=sd)
    weights = stats.norm.pdf(grid, mean, sd)
    chances, highest = curves.probabilities(grid), curves.highest
    total = distribute_scores(chances, highest) @ weights
    n_persons = np.bincount(codes.sum(axis=1), minlength=len(total))
    tables = []
    for item, top in enumerate(highest):
        others = np.delete(np.arange(len(highest)), item)
        rest = distribute_scores(chances[others], highest[others])
        table = np.zeros((len(total), chances.shape[1]))
        for k in range(top + 1):
            table[k : k + len(rest), k] = rest @ (chances[item, k] * weights)
        tables.append(table * (n_persons / total)[:, None])
    return tables


def _test(rows: list[Floats], *, n_free: int) -> tuple[float, float, float]:
    """Return statistic, degrees of freedom and p; nulls where no freedom is left."""
    freedom = sum(row.shape[1] - 1 for row in rows) - n_free
    if freedom < 1:
        return np.nan, np.nan, np.nan
    value = float(sum(((row[0] - row[1]) ** 2 / row[1]).sum() for row in rows))
    return value, float(freedom), float(stats.chi2.sf(value, freedom))
