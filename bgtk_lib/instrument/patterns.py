"""Patterns of answers beside what chance gives: runs of one option, strings that several persons share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.classical import Floats, group_by_score
from bgtk_lib.instrument.flags import FEWEST_PERSONS
from bgtk_lib.instrument.sheet import NOT_PRESENTED, Sheet, read_sheet
from bgtk_lib.words import say

RARE = 0.001  # a run so long that fewer would have one by chance
ABILITY_GROUPS, ABILITY_FEWEST = 10, 50  # persons of like score, among whom options are chosen nearly independently
UNLIKELY = 0.05  # of one string or more beyond chance among all persons, where there is none
RUN_COLUMNS = ["length", "n", "share", "share_by_chance"]
IDENTICAL_COLUMNS = ["size", "n_groups", "n_beyond"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """How long persons chose the same option on one item after the other.

    Attributes
    ----------
    runs : DataFrame
        `RUN_COLUMNS`, one row a length. `n`, `share`: persons whose longest run is of that length or longer;
        `share_by_chance`: how many were expected if everybody chose by the shares of each item's options.
    n_persons, n_items : int
        Of the form.
    length_rare : int or None
        The shortest run that fewer than one in a thousand would have by chance; None where even the longest is commoner.
    n_rare : int
        Persons with such a run.
    """

    runs: pd.DataFrame
    n_persons: int
    n_items: int
    length_rare: int | None
    n_rare: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Identical:
    """How many persons gave the same answers throughout.

    Attributes
    ----------
    groups : DataFrame
        `IDENTICAL_COLUMNS`, one row a size. `n_groups`: groups of that many persons with one string of answers;
        `n_beyond`: those of them that chance does not explain.
    n_persons : int
        Persons compared.
    n_all_right : int
        Persons left out because they have everything right.
    n_persons_beyond : int
        Persons in groups beyond chance.
    """

    groups: pd.DataFrame
    n_persons: int
    n_all_right: int
    n_persons_beyond: int


def review_runs(answers: pd.DataFrame, credit: pd.DataFrame, *, order: Sequence[str] | None = None) -> Runs | Withheld:
    """Compute how long persons chose the same option in a row, beside what chance would give.

    Parameters
    ----------
    answers : DataFrame
        session_id, item_id, raw, state of one form whose options stood in the same order for everybody.
    credit : DataFrame
        Persons (index session_id) × items, null where not presented.
    order : sequence of str, optional
        Items as they followed each other; none: as they first stand in the answers.

    Returns
    -------
    Runs or Withheld
        Withheld with fewer than two items, or where nobody was presented any.

    Notes
    -----
    An item omitted, not reached or not presented ends a run. By chance: everybody chooses independently by the shares
    of each item's options among persons of like score (up to ten groups of 50 or more by mean credit), so that a key
    with a long run of one letter is no surprise, nor that persons who know more follow it. The distribution of the
    longest run is exact under that: a chain over option and length of the present run.

    Examples
    --------
    Two items with two options of half each: the second answer equals the first in half of the cases.

    >>> answers = pd.DataFrame({"session_id": list("ppqq"), "item_id": ["b1", "b2"] * 2, "raw": list("AABB")})
    >>> credit = pd.DataFrame({"b1": [1, 0], "b2": [1, 0]}, index=["p", "q"])
    >>> review_runs(answers.assign(state="answered"), credit).runs
       length  n  share  share_by_chance
    0       2  2    1.0              0.5
    """
    sheet = read_sheet(answers)
    places = np.arange(len(sheet.item_ids)) if order is None else sheet.item_ids.get_indexer(pd.Index(order))
    chosen = sheet.chosen[:, places[places >= 0]]
    sat = (chosen != NOT_PRESENTED).any(axis=1)
    chosen = chosen[sat]
    n, k = chosen.shape
    if n == 0 or k < 2:
        return Withheld(say("classical.no_runs", persons=n, items=k))
    _, score = _mark_right(sheet, credit)
    group = group_by_score(np.nan_to_num(score[sat]), n_groups=ABILITY_GROUPS, fewest=ABILITY_FEWEST)
    n_group = np.bincount(group)
    shares = _count_choices(chosen, group) / n_group[:, None, None]

    longest = _find_longest(chosen)
    lengths = np.arange(2, k + 1)
    reached = np.array([(longest >= length).sum() for length in lengths])
    chance = np.array([n_group @ _chance_of_run(shares, int(length)) / n for length in lengths])
    rare = int(lengths[chance < RARE].min()) if (chance < RARE).any() else None
    return Runs(
        runs=pd.DataFrame({"length": lengths, "n": reached, "share": reached / n, "share_by_chance": chance}),
        n_persons=n,
        n_items=k,
        length_rare=rare,
        n_rare=0 if rare is None else int((longest >= rare).sum()),
    )


def count_identical(answers: pd.DataFrame, credit: pd.DataFrame) -> Identical | Withheld:
    """Count groups of persons whose answers are the same throughout, and those of them that chance does not explain.

    Parameters
    ----------
    answers : DataFrame
        session_id, item_id, raw, state of one form.
    credit : DataFrame
        Persons (index session_id) × items, null where not presented.

    Returns
    -------
    Identical or Withheld
        Withheld with fewer than 30 persons.

    Notes
    -----
    Who has everything right agrees because the key is the same for all: such persons, and who answered nothing, are left
    out and counted. The others are parted into up to ten groups of 50 or more by mean credit. In a group let p be the
    share of an option, (c + 1)/(m + o): c of m others chose it of o options. The string's probability is the product of p
    over its answered items, divided by that of as many right answers, because it is held only against persons of the
    group with as many right. Under the Rasch model that ratio is the same at every ability, so that it does not matter
    how unlike the group is. A string that g of n such persons share is beyond chance if P(Binomial(n − 1, ratio) ≥
    g − 1), times the number of all persons compared, is below .05. It is a reason to look at a session's record, not a
    proof about anyone, and whose strings they are is not kept.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> drawn = rng.choice(list("ABCD"), size=(100, 20))
    >>> drawn[7] = drawn[3]
    >>> answers = pd.DataFrame(drawn).stack().rename_axis(["session_id", "item_id"]).rename("raw").reset_index()
    >>> count_identical(answers.assign(state="answered"), pd.DataFrame((drawn == "A").astype(float))).groups
       size  n_groups  n_beyond
    0     2         1         1
    """
    sheet = read_sheet(answers)
    right, score = _mark_right(sheet, credit)
    answered = sheet.chosen >= 0
    right &= answered
    all_right = answered.any(axis=1) & (right | (sheet.chosen == NOT_PRESENTED)).all(axis=1)
    compared = ~all_right & answered.any(axis=1) & ~np.isnan(score)
    chosen, right = sheet.chosen[compared], right[compared]
    if len(chosen) < FEWEST_PERSONS:
        return Withheld(say("classical.few_to_compare", n=len(chosen), needed=FEWEST_PERSONS))
    group = group_by_score(score[compared], n_groups=ABILITY_GROUPS, fewest=ABILITY_FEWEST)

    _, first, size = np.unique(chosen.astype(np.int32), axis=0, return_index=True, return_counts=True)
    first, size = first[size > 1], size[size > 1]
    likelihood = _find_likelihood(first, chosen=chosen, right=right, group=group)
    peers = group * (chosen.shape[1] + 1) + right.sum(axis=1)
    n_peers = np.bincount(peers)[peers[first]]
    beyond = stats.binom.sf(size - 2, n_peers - 1, likelihood) * len(chosen) < UNLIKELY
    groups = pd.DataFrame({"size": size, "beyond": beyond}).groupby("size")["beyond"].agg(["size", "sum"])
    groups = groups.rename(columns={"size": "n_groups", "sum": "n_beyond"}).reset_index()
    return Identical(
        groups=groups[IDENTICAL_COLUMNS].astype(int),
        n_persons=len(chosen),
        n_all_right=int(all_right.sum()),
        n_persons_beyond=int(size[beyond].sum()),
    )


def _mark_right(sheet: Sheet, credit: pd.DataFrame) -> tuple[NDArray[np.bool_], Floats]:
    """Return which cells of a sheet earned the most that anybody earned there (at least 1); and mean credits, or null."""
    points = credit.reindex(index=sheet.session_ids, columns=sheet.item_ids).to_numpy(dtype=float, na_value=np.nan)
    known = ~np.isnan(points)
    earned, n_known = np.where(known, points, 0), known.sum(axis=1)
    score = np.divide(earned.sum(axis=1), n_known, where=n_known > 0, out=np.full(len(points), np.nan))
    return earned == earned.max(axis=0, initial=1), score


def _find_longest(chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each person's longest run of one option."""
    run = longest = (chosen[:, 0] >= 0).astype(np.int64)
    for before, now in zip(chosen.T[:-1], chosen.T[1:], strict=True):
        run = np.where(now >= 0, np.where(now == before, run + 1, 1), 0)
        longest = np.maximum(longest, run)
    return longest


def _count_choices(chosen: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of each group chose each option of each item: groups × items × options."""
    person, item = np.nonzero(chosen >= 0)
    counts = np.zeros((group.max() + 1, chosen.shape[1], chosen.max(initial=0) + 1), dtype=np.int64)
    np.add.at(counts, (group[person], item, chosen[person, item]), 1)
    return counts


def _chance_of_run(shares: Floats, length: int) -> Floats:
    """Return the probability of a run of `length` or longer in each group, from shares of groups × items × options."""
    n_groups, n_items, n_options = shares.shape
    state = np.zeros((n_groups, n_options, length - 1))  # last option × length of its run, none ever long enough
    idle = np.ones(n_groups)  # nothing chosen last
    for item in range(n_items):
        share, by_option = shares[:, item], state.sum(axis=2)
        everything = idle + by_option.sum(axis=1)
        begun = share * (everything[:, None] - by_option)
        state = np.concatenate([begun[:, :, None], share[:, :, None] * state[:, :, :-1]], axis=2)
        idle = everything * (1 - share.sum(axis=1))
    chance: Floats = (1 - idle - state.sum(axis=(1, 2))).clip(0, 1)
    return chance


def _find_likelihood(
    first: NDArray[np.int64], *, chosen: NDArray[np.int64], right: NDArray[np.bool_], group: NDArray[np.int64]
) -> Floats:
    """Return how probable the string of each row `first` is among its group with as many right; see `count_identical`."""
    counts = _count_choices(chosen, group)
    n_right = np.stack([right[group == home].sum(axis=0) for home in range(len(counts))])
    n_options = (counts.sum(axis=0) > 0).sum(axis=1)

    strings, home = chosen[first], group[first]  # of which the person `first` itself is left out
    others = counts[home].sum(axis=2) - (strings >= 0)
    same = counts[home[:, None], np.arange(chosen.shape[1]), np.maximum(strings, 0)] - 1
    same_right = n_right[home] - right[first]
    answered = strings >= 0
    p_option = np.where(answered, (same + 1) / np.maximum(others + n_options, 1), 1)
    p_right = np.where(answered, (same_right + 1) / np.maximum(others + 2, 1), 0)

    sums = np.zeros((len(first), chosen.shape[1] + 1))  # probability of each number right, item by item
    sums[:, 0] = 1
    for p in p_right.T:
        sums[:, 1:] = sums[:, 1:] * (1 - p[:, None]) + sums[:, :-1] * p[:, None]
        sums[:, 0] *= 1 - p
    as_many = sums[np.arange(len(first)), right[first].sum(axis=1)]
    likelihood: Floats = np.minimum(p_option.prod(axis=1) / as_many, 1)
    return likelihood
