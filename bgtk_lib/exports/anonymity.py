"""Nobody stands alone: fresh ids, and facts about persons only where enough share every combination of them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

FEWEST_ALIKE = 10  # persons who share every fact that somebody could know of them: k
FEWEST_PERSONS = 30  # of an export; fewer are known to each other, whatever is left out
ID_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Which facts about persons may be given out together.

    Attributes
    ----------
    names : tuple of str
        The facts kept, in the order given.
    dropped : mapping
        Fact → why it is not: ``one_value`` (the same for everybody) or ``rare`` (with it, some combination is shared by
        fewer than k persons).
    smallest : int
        Persons in the rarest combination of what is kept.
    """

    names: tuple[str, ...]
    dropped: Mapping[str, str]
    smallest: int


def draw_ids(n: int) -> list[str]:
    """Return n ids that nothing is derived from and that nobody can draw again: a letter and 16 hexadecimal digits.

    Notes
    -----
    From the system's source of secrets and not from a seed: whoever knows the seed and the order of the persons could
    otherwise draw the same ids and so name everybody. The letter keeps an id of digits from being read as a number.
    """
    drawn: set[str] = set()
    while len(drawn) < n:
        drawn.add("x" + secrets.token_hex(ID_BYTES))
    return list(drawn)


def keep_facts(
    persons: pd.DataFrame, names: Sequence[str], *, always: Sequence[str] = (), fewest: int = FEWEST_ALIKE
) -> Kept:
    """Return the facts that can be given out so that every combination is shared by enough persons.

    Parameters
    ----------
    persons : DataFrame
        One row a person; rows that share an index label count as one. A null is a value like any other: who reads the
        file sees the gap.
    names : sequence of str
        Columns that may be given out.
    always : sequence of str
        Columns that the file tells in any case, such as the waves a person sat.
    fewest : int
        k: persons who must share a combination.

    Notes
    -----
    k-anonymity (Sweeney 2002, *International Journal of Uncertainty, Fuzziness and Knowledge-Based Systems* 10,
    557-570) by leaving columns out, never cells: a cell left out could be told from its neighbours. While a combination
    is too rare, the fact goes whose absence leaves the fewest persons in rare combinations; of equals the one whose own
    rarest value is rarer, then the later one.

    Examples
    --------
    Of 12 teachers in each of two levels two are men: sex goes, the level stays.

    >>> persons = pd.DataFrame({"sex": (["P"] * 10 + ["L"] * 2) * 2, "level": ["SD"] * 12 + ["SMP"] * 12})
    >>> keep_facts(persons, ["sex", "level"])
    Kept(names=('level',), dropped={'sex': 'rare'}, smallest=12)
    """
    dropped = {name: "one_value" for name in names if persons[name].nunique(dropna=False) < 2}
    kept = [name for name in names if name not in dropped]

    def judge(name: str) -> tuple[int, int, int]:
        rest = _count_alike(persons, [*always, *(other for other in kept if other != name)])
        own = persons[name].value_counts(dropna=False)
        return int(rest[rest < fewest].sum()), int(own.min()), -kept.index(name)

    while kept and int(_count_alike(persons, [*always, *kept]).min()) < fewest:
        rarest = min(kept, key=judge)
        dropped[rarest] = "rare"
        kept.remove(rarest)
    counts = _count_alike(persons, [*always, *kept])
    return Kept(names=tuple(kept), dropped=dropped, smallest=int(counts.min()))


def find_rare(pattern: pd.Series[str], *, fewest: int = FEWEST_ALIKE) -> pd.Series[bool]:
    """Return which persons share their pattern with fewer than enough; rows that share an index label count as one."""
    return pattern.map(_count_alike(pattern.to_frame("pattern"), ["pattern"])) < fewest


def count_smallest(answers: pd.DataFrame) -> int:
    """Return how many persons share the rarest combination of facts in a table of answers as it is written.

    Parameters
    ----------
    answers : DataFrame
        id, and of what a person can be known by: every ``cov_`` column, and the waves.

    Examples
    --------
    >>> answers = pd.DataFrame({"id": list("aabc"), "wave": [1, 2, 1, 1], "cov_sex": list("PPPP")})
    >>> count_smallest(answers)
    1
    """
    facts = [name for name in answers.columns if name.startswith("cov_")]
    persons = answers[["id", *facts]].drop_duplicates().set_index("id")
    if "wave" in answers:
        sat = answers[["id", "wave"]].drop_duplicates().sort_values("wave", kind="stable")
        persons["wave"] = sat["wave"].astype(str).groupby(sat["id"]).agg(",".join)
    return int(_count_alike(persons, [*persons.columns]).min())


def _count_alike(persons: pd.DataFrame, names: Sequence[str]) -> pd.Series[int]:
    """Return the number of persons in each combination; of no facts, of all together."""
    owners = pd.Series(persons.index)
    told = [persons[name].reset_index(drop=True) for name in names]
    return owners.groupby(told, dropna=False).nunique() if told else pd.Series([owners.nunique()])
