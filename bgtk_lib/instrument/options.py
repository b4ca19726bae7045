"""What each option attracts: who chooses it, whether wrong options work, whether another one would be the better key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bgtk_lib.instrument.classical import MIN_PERSONS, ROUNDING, Floats, group_by_score, weigh_extremes
from bgtk_lib.instrument.flags import FEWEST_PERSONS, Limits
from bgtk_lib.instrument.sheet import Choice, mark_sheet, take_item

FEWEST_CHOICES = 10  # of an option, before it is held against the key: below, its r is not nearly normal
SURE = 2.0  # standard errors that make a difference more than chance
OPTION_COLUMNS = [
    "item_id",
    "option",
    "state",
    "keyed",
    "n",
    "share",
    "r",
    "r_se",
    "share_top27",
    "share_bottom27",
    "functioning",
    "note",
]
TRACE_COLUMNS = ["item_id", "option", "state", "keyed", "group", "score", "n_group", "n", "share", "note"]
SUSPECT_COLUMNS = ["item_id", "reason", "option", "difference", "se"]
TYPES = (
    dict.fromkeys(["item_id", "option", "state", "note"], "str")
    | dict.fromkeys(["keyed", "functioning"], "boolean")
    | dict.fromkeys(["n", "n_group", "group"], "Int64")
    | dict.fromkeys(["share", "r", "r_se", "share_top27", "share_bottom27", "score"], "float64")
)


def review_options(
    answers: pd.DataFrame, key: pd.DataFrame, *, options: Sequence[str] = (), limits: Limits | None = None
) -> pd.DataFrame:
    """Compute, for each option, how many chose it and how that goes with the rest of the test.

    Parameters
    ----------
    answers : DataFrame
        session_id, item_id, raw, state of one form. Persons who were not presented an item count nowhere; an answer
        without text counts as omitted.
    key : DataFrame
        item_id, correct and, if not everything earns 1, credit; several rows for an item with several right answers.
    options : sequence of str
        What every item of the form offers, so that an option nobody chose is seen too. Spelling is compared after
        folding case and blanks, as in scoring.
    limits : Limits, optional
        For `functioning`; the profile ``baku``.

    Returns
    -------
    DataFrame
        `OPTION_COLUMNS`; items in the order of the answers, their options by spelling, then a row (`option` null) for
        each of the states omitted and not_reached. `n`, `share`: who chose it, of those presented the item; the shares
        of an item add up to 1. `r`: correlation of choosing it with the rest score; `r_se`: its standard error.
        `share_top27`, `share_bottom27`: share in the upper and lower 27 % by rest score (`weigh_extremes`).
        `functioning`: for wrong options, chosen by `distractor_min` or more and not by the better ones; null for other
        rows, items without a key and fewer than 30 persons. `note`: why `r` is null: ``empty`` (item presented to
        nobody), ``unchosen``, ``too_few`` (fewer than four persons), ``constant`` (chosen by everybody, or a rest that
        does not vary).

    Notes
    -----
    The rest score is the mean credit on the other items presented to the same person, those without a key aside.
    Everything here is held against it: by total score the key would gain from its own point, in 20 items so much that a
    key unrelated to the rest passes for a good one. (The `uli` of `review_items` is by total score, as is usual.) With
    u and v the standardised choice and rest score, the influence of a person on r is u·v − r·(u² + v²)/2, and the
    standard error is √(Σ influence²)/n. No normality is assumed; rare options make it rough.

    References
    ----------
    Devlin, S. J., Gnanadesikan, R. & Kettenring, J. R. (1975). Robust estimation and outlier detection with correlation
    coefficients. *Biometrika* 62, 531-545 (influence of a correlation).

    Examples
    --------
    >>> answers = pd.DataFrame({"session_id": list("pqrs"), "item_id": "b1", "raw": list("AaB") + [None]})
    >>> answers["state"] = ["answered"] * 3 + ["omitted"]
    >>> table = review_options(answers, pd.DataFrame({"item_id": ["b1"], "correct": ["A"]}), options="ABC")
    >>> table[["option", "keyed", "n", "share", "note"]]
      option  keyed  n  share      note
    0      A   True  2   0.50   too_few
    1      B  False  1   0.25   too_few
    2      C  False  0   0.00  unchosen
    3    NaN  False  1   0.25   too_few
    4    NaN  False  0   0.00  unchosen
    """
    limits = limits or Limits()
    marked = mark_sheet(answers, key, options)
    items = enumerate(marked.sheet.item_ids)
    rows = [_describe_item(item_id, take_item(marked, item), limits) for item, item_id in items]
    return _join(rows, OPTION_COLUMNS)


def trace_options(answers: pd.DataFrame, key: pd.DataFrame, *, n_groups: int = 5, min_group: int = 10) -> pd.DataFrame:
    """Compute how the share of each option moves with the score: the lines of a distractor picture.

    Parameters
    ----------
    answers, key : DataFrame
        As in `review_options`.
    n_groups : int
        Groups of persons by rest score, as equal as ties allow: who has the same score is in the same group.
    min_group : int
        Persons in the smallest group; where it would be smaller, the item gets fewer groups.

    Returns
    -------
    DataFrame
        `TRACE_COLUMNS`, one row an option and group, options as in `review_options`. `group`: 1 is the lowest.
        `score`: mean credit of the group on the other items. `n_group`: its persons. `n`, `share`: who
        chose the option. An item with fewer than two groups has one row, with nothing but the note ``too_few``.

    Examples
    --------
    >>> rows = [(p, i, "A" if p >= 10 * i else "B") for p in range(30) for i in (1, 2)]
    >>> answers = pd.DataFrame(rows, columns=["session_id", "item_id", "raw"]).assign(state="answered")
    >>> traced = trace_options(answers, pd.DataFrame({"item_id": [1, 2], "correct": "A"}))
    >>> traced[(traced["item_id"] == "2") & (traced["option"] == "A")][["group", "score", "n_group", "n", "share"]]
       group  score  n_group   n  share
    8      1    0.0       10   0    0.0
    9      2    1.0       20  10    0.5
    """
    marked = mark_sheet(answers, key, ())
    rows: list[dict[str, Any]] = []
    for item, item_id in enumerate(marked.sheet.item_ids):
        choice = take_item(marked, item)
        compared = ~np.isnan(choice.rest)
        rest = choice.rest[compared]
        group = group_by_score(rest, n_groups=n_groups, fewest=min_group)
        if group.max(initial=0) == 0:
            rows.append({column: [None] for column in TRACE_COLUMNS} | {"item_id": [item_id], "note": ["too_few"]})
            continue
        n_group = np.bincount(group)
        members = (group[:, None] == np.arange(len(n_group))).astype(float)
        n = choice.made[compared].T @ members  # options × groups
        named = _name_rows(item_id, choice)
        rows.append(
            {name: np.repeat(np.array(column, dtype=object), len(n_group)) for name, column in named.items()}
            | {
                "group": np.tile(np.arange(1, len(n_group) + 1), len(n)),
                "score": np.tile(rest @ members / n_group, len(n)),
                "n_group": np.tile(n_group, len(n)),
                "n": n.ravel(),
                "share": (n / n_group).ravel(),
                "note": [None] * n.size,
            }
        )
    return _join(rows, TRACE_COLUMNS)


def suspect_keys(answers: pd.DataFrame, key: pd.DataFrame, *, options: Sequence[str] = ()) -> pd.DataFrame:
    """Return the items whose key may be wrong, with the option that would fit better.

    Parameters
    ----------
    answers, key : DataFrame
        As in `review_options`.
    options : sequence of str
        What every item offers; where it is empty, an item offers its key and what was ever chosen.

    Returns
    -------
    DataFrame
        `SUSPECT_COLUMNS`, one row an item and reason, of items presented to 30 persons or more. `reason`:

        * ``beats_key``: r of a wrong option above that of the key by two standard errors or more (gate I01: HOLD);
        * ``larger_r``: above it by less than that;
        * ``more_of_top``: a wrong option chosen by more of the upper 27 % than the key;
        * ``near_chance``: share of right answers less than two standard errors above 1/options, or below it.

        `option`: the wrong option that goes furthest (null for ``near_chance``); `difference`: its indicator less that
        of the key, or share right less chance; `se`: the standard error of the difference.

    Notes
    -----
    Only options chosen by 10 persons or more are held against the key. Both r come from the same persons and the same
    rest score, so the standard error of their difference is that of the difference of influences (see
    `review_options`), which holds their covariance. Two shares of one group of n: √((p + q − (p − q)²)/n). Chance:
    √(c(1 − c)/n). The key is the credit earned, so that an item with several right answers has one r. A key that nobody
    chose has none, and shows only in the last two.

    Examples
    --------
    The 40 of 60 who know three other items choose B; the key says A.

    >>> rows = [(p, f"b{i}", "A" if (p < 40) == (i < 4) else "B") for p in range(60) for i in (1, 2, 3, 4)]
    >>> answers = pd.DataFrame(rows, columns=["session_id", "item_id", "raw"]).assign(state="answered")
    >>> suspect_keys(answers, pd.DataFrame({"item_id": ["b1", "b2", "b3", "b4"], "correct": "A"})).iloc[:, :4]
      item_id       reason option  difference
    0      b4    beats_key      B    2.000000
    1      b4  more_of_top      B    1.000000
    2      b4  near_chance    NaN   -0.166667
    """
    marked = mark_sheet(answers, key, options)
    rows: list[dict[str, Any]] = []
    for item, item_id in enumerate(marked.sheet.item_ids):
        choice = take_item(marked, item)
        if choice.keyed.any() and len(choice.made) >= FEWEST_PERSONS:
            found = [*_compare_r(choice), *_compare_top(choice), *_compare_chance(choice)]
            rows.extend({"item_id": item_id, "option": None} | reason for reason in found)
    suspects = pd.DataFrame(rows, columns=SUSPECT_COLUMNS)
    return suspects.astype({"item_id": "str", "reason": "str", "option": "str", "difference": float, "se": float})


def _name_rows(item_id: object, choice: Choice) -> dict[str, Any]:
    """Return the columns that say which item and option a row is about."""
    return {
        "item_id": [item_id] * len(choice.options),
        "option": choice.options,
        "state": ["answered"] * (len(choice.options) - 2) + ["omitted", "not_reached"],
        "keyed": choice.keyed,
    }


def _describe_item(item_id: object, choice: Choice, limits: Limits) -> dict[str, Any]:
    """Return the columns of one item; see `review_options`."""
    n, n_shown = choice.made.sum(axis=0), len(choice.made)
    r, influence = _correlate(choice)
    n_compared = len(influence)
    upper, lower, _ = _share_extremes(choice)
    note = np.select(
        [np.full(len(n), n_shown == 0), n == 0, np.full(len(n), n_compared < MIN_PERSONS), np.isnan(r[:-1])],
        ["empty", "unchosen", "too_few", "constant"],
        default="",
    )
    share = n / n_shown if n_shown else np.full(len(n), np.nan)
    judged = choice.wrong & bool(choice.keyed.any()) & (n_shown >= FEWEST_PERSONS)
    works = (share >= limits.distractor_min) & ~(r[:-1] > 0)
    return _name_rows(item_id, choice) | {
        "n": n,
        "share": share,
        "r": np.where(note == "", r[:-1], np.nan),
        "r_se": np.where(note == "", _standard_error(influence[:, :-1]), np.nan),
        "share_top27": upper,
        "share_bottom27": lower,
        "functioning": [bool(work) if told else None for work, told in zip(works, judged, strict=True)],
        "note": [code or None for code in note],
    }


def _correlate(choice: Choice) -> tuple[Floats, Floats]:
    """Return r of each option, and last of the credit, with the rest score; and each person's influence on it."""
    compared = ~np.isnan(choice.rest)
    u = np.column_stack([choice.made, choice.credit])[compared]
    v = choice.rest[compared, None]
    u, v = _standardise(u), _standardise(v)
    r: Floats = (u * v).sum(axis=0) / max(len(v), 1)
    return r, u * v - r * (u**2 + v**2) / 2


def _standardise(values: Floats) -> Floats:
    """Return columns with mean 0 and standard deviation 1 (with n); null where they do not vary."""
    n = max(len(values), 1)
    centred = values - values.sum(axis=0) / n
    sd = np.sqrt((centred**2).sum(axis=0) / n)
    standardised: Floats = centred / np.where(sd > ROUNDING, sd, np.nan)
    return standardised


def _standard_error(influence: Floats) -> Floats:
    error: Floats = np.sqrt((influence**2).sum(axis=0)) / max(len(influence), 1)
    return error


def _share_extremes(choice: Choice) -> tuple[Floats, Floats, float]:
    """Return the share of each option in the upper and lower 27 % by rest score, null where there is nobody; their size."""
    compared = ~np.isnan(choice.rest)
    weights = weigh_extremes(choice.rest[compared])
    size = float(weights[0].sum())
    upper, lower = (weight @ choice.made[compared] / (size or np.nan) for weight in weights)
    return upper, lower, size


def _find_rivals(choice: Choice) -> NDArray[np.int64]:
    """Return the wrong options that enough persons chose."""
    return np.flatnonzero(choice.wrong & (choice.made.sum(axis=0) >= FEWEST_CHOICES))


def _compare_r(choice: Choice) -> Iterator[dict[str, Any]]:
    """Yield the wrong option whose r lies above that of the key: surely, or the furthest."""
    r, influence = _correlate(choice)
    gain, se = r - r[-1], _standard_error(influence - influence[:, -1:])
    better = [option for option in _find_rivals(choice) if gain[option] > 0]
    if better:
        best = max(better, key=lambda option: (gain[option] >= SURE * se[option], gain[option]))
        reason = "beats_key" if gain[best] >= SURE * se[best] else "larger_r"
        yield {"reason": reason, "option": choice.options[best], "difference": gain[best], "se": se[best]}


def _compare_top(choice: Choice) -> Iterator[dict[str, Any]]:
    """Yield the wrong option that more of the upper 27 % chose than the key."""
    share, _, size = _share_extremes(choice)
    right = share[choice.keyed].sum()
    better = [option for option in _find_rivals(choice) if share[option] > right]
    if better:
        best = max(better, key=lambda option: share[option])
        gain = share[best] - right
        se = np.sqrt(max(share[best] + right - gain**2, 0) / size)
        yield {"reason": "more_of_top", "option": choice.options[best], "difference": gain, "se": se}


def _compare_chance(choice: Choice) -> Iterator[dict[str, Any]]:
    """Yield that no more are right than blind choice would be."""
    chance = choice.keyed.sum() / (len(choice.options) - 2)
    gain = choice.made[:, choice.keyed].sum() / len(choice.made) - chance
    se = np.sqrt(chance * (1 - chance) / len(choice.made))
    if gain < SURE * se:
        yield {"reason": "near_chance", "difference": gain, "se": se}


def _join(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """Return the columns of several items one below the other."""
    joined = {column: [value for row in rows for value in row[column]] for column in columns}
    return pd.DataFrame(joined).astype({column: TYPES[column] for column in columns})
