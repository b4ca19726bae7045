"""The groups that plausible values know of: which levels are kept, which are pooled, and the regression's columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bgtk_lib.errors import LinkageError
from bgtk_lib.scoring.sittings import Floats, shorten
from bgtk_lib.words import say

SMALL_STUDY = 500  # below so many persons in an occasion a level needs FEWEST_IN_SMALL of them, else FEWEST
FEWEST_IN_SMALL = 30
FEWEST = 10
CONSTANT = "constant"
POOLED = "(pooled)"
UNKNOWN = "(unknown)"
DEPENDENT = 1e-9  # what a column adds to those before it, as a share of its length: nothing


@dataclass(frozen=True, kw_only=True)
class Levels:
    """What became of one column's levels.

    Attributes
    ----------
    kept : tuple of str
        Known to the regression: they may be compared.
    pooled : tuple of str
        Too small, taken as one: they may not.
    unknown : str
        With whom those stand whose level is not known.
    """

    kept: tuple[str, ...]
    pooled: tuple[str, ...]
    unknown: str = field(default=UNKNOWN, repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Conditions:
    """The regression's columns.

    Attributes
    ----------
    design : array (n, p)
        Independent columns, the constant first.
    terms : list of str
        Names of all columns: ``constant``, ``district=18.01`` …
    independent : array of bool
        Which of `terms` stand in `design`; the others are combinations of those before them.
    levels : mapping
        Column → `Levels`.
    n_later : int
        How many of the last columns of `design` have no effect at the first occasion.
    """

    design: Floats
    terms: list[str]
    independent: NDArray[np.bool_]
    levels: Mapping[str, Levels]
    n_later: int


def lay_conditions(conditioning: pd.DataFrame, sat: NDArray[np.bool_], *, chosen: Collection[str] = ()) -> Conditions:
    """Return the columns of a latent regression on categories.

    Parameters
    ----------
    conditioning : DataFrame
        One row a person; every column is a category, whatever its type.
    sat : array of bool (n, w)
        Who sat which occasion.
    chosen : collection of str
        Columns decided by the answers of the first occasion; they come last.

    Notes
    -----
    A level counts as many persons as sat the occasion with the fewest. With fewer than 500 persons a level needs 30,
    otherwise 10; the smallest are pooled until each level, and what is pooled, has so many. Persons whose level is not
    known are a level nobody compares; where they are fewer, they stand with the largest level. The largest level has no
    column. A column in which nothing is kept has none either.
    """
    fewest = FEWEST_IN_SMALL if sat.sum(axis=0).min() < SMALL_STUDY else FEWEST
    columns: dict[str, NDArray[Any]] = {CONSTANT: np.ones(len(conditioning))}
    levels = {}
    common = 1  # columns that act on both occasions
    for name in sorted(conditioning.columns, key=lambda name: (name in chosen, name)):
        codes, levels[name] = pool_levels(conditioning[name], sat, fewest=fewest)
        largest = codes.value_counts().sort_index().idxmax()
        columns |= {f"{name}={level}": (codes == level).to_numpy(float) for level in sorted(set(codes) - {largest})}
        common = common if name in chosen else len(columns)
    full = np.column_stack(list(columns.values()))
    independent = find_independent(full)
    return Conditions(
        design=full[:, independent],
        terms=list(columns),
        independent=independent,
        levels=levels,
        n_later=int(independent[common:].sum()),
    )


def lay_known_conditions(conditioning: pd.DataFrame, levels: Mapping[str, Levels], terms: Collection[str]) -> Floats:
    """Return the columns of a regression that is known already: (n, p).

    Parameters
    ----------
    conditioning : DataFrame
        One row a person, a column each that the regression knows of.
    levels : mapping
        Column → what became of its levels then. One that was not there then counts as pooled, and where none was, as the
        largest.
    terms : collection of str
        The regression's columns, as `Conditions.terms` names those that are independent.

    Raises
    ------
    LinkageError
        If one of these columns is not there.

    Examples
    --------
    >>> levels = {"jenjang": Levels(kept=("SD", "SMP"), pooled=("SLB",))}
    >>> found = pd.DataFrame({"jenjang": ["SD", "SMP", "SLB", "PAUD"]})
    >>> lay_known_conditions(found, levels, ["constant", "jenjang=(pooled)", "jenjang=SMP"]).T.tolist()
    [[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0]]
    """
    absent = [name for name in levels if name not in conditioning]
    if absent:
        raise LinkageError(say("scoring.population_grouping", groupings=shorten(absent)))
    columns: dict[str, NDArray[Any]] = {CONSTANT: np.ones(len(conditioning))}
    for name, known in levels.items():
        codes = name_levels(conditioning[name])
        codes = codes.where(codes.isin([*known.kept, UNKNOWN]), POOLED).replace(UNKNOWN, known.unknown)
        columns |= {f"{name}={code}": (codes == code).to_numpy(float) for code in set(codes)}
    return np.column_stack([columns.get(term, np.zeros(len(conditioning))) for term in terms])


def pool_levels(column: pd.Series[Any], sat: NDArray[np.bool_], *, fewest: int) -> tuple[pd.Series[str], Levels]:
    """Return each person's level with the small ones pooled, and which they are.

    Examples
    --------
    >>> column = pd.Series(["a"] * 5 + ["b"] * 3 + ["c"] * 1)
    >>> pool_levels(column, np.ones((9, 1), dtype=bool), fewest=3)[1]
    Levels(kept=('a',), pooled=('b', 'c'))
    """
    codes = name_levels(column)
    counts = pd.DataFrame(sat).groupby(codes.to_numpy()).sum()  # level × occasion
    known = counts.drop(index=UNKNOWN, errors="ignore")
    by_size = known.loc[known.min(axis=1).sort_values(kind="stable").index]
    n_pooled = int((by_size.min(axis=1) < fewest).sum())
    while 0 < n_pooled < len(by_size) and by_size.head(n_pooled).sum().min() < fewest:
        n_pooled += 1
    pooled = list(by_size.index[:n_pooled])
    kept = sorted(by_size.index[n_pooled:])
    codes = codes.where(~codes.isin(pooled), POOLED)
    unknown = UNKNOWN
    if UNKNOWN in counts.index and counts.loc[UNKNOWN].min() < fewest:
        unknown = str(by_size.index[-1]) if kept else POOLED
    return codes.replace(UNKNOWN, unknown), Levels(kept=tuple(kept), pooled=tuple(sorted(pooled)), unknown=unknown)


def name_levels(column: pd.Series[Any]) -> pd.Series[str]:
    """Return the levels as text; null is a level of its own."""
    return column.astype("str").where(column.notna(), UNKNOWN)


def find_independent(columns: Floats) -> NDArray[np.bool_]:
    """Return which columns are no combination of those before them.

    Examples
    --------
    >>> find_independent(np.array([[1.0, 1.0, 2.0], [1.0, 0.0, 1.0]])).tolist()
    [True, True, False]
    """
    basis = np.empty((len(columns), 0))
    found = np.zeros(columns.shape[1], dtype=bool)
    for at, column in enumerate(columns.T):
        left = column - basis @ (basis.T @ column)
        length = np.linalg.norm(left)
        if length > DEPENDENT * np.linalg.norm(column):
            basis = np.column_stack([basis, left / length])
            found[at] = True
    return found
