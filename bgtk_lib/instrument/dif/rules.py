"""When items are tested for DIF and how, and the words of what comes out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args

from bgtk_lib.errors import ParameterError, Text
from bgtk_lib.words import plain, say

Purification = Literal["none", "significant", "class"]
Column = Literal["note", "purified", "dif_class", "method", "reference"]

REST = "rest"  # the reference group of a contrast with everyone else


@dataclass(frozen=True, kw_only=True)
class DifRules:
    """When and how items are tested.

    Attributes
    ----------
    min_group, min_total : int
        Fewest persons of the smaller group, and of both together (ETS; Zwick 2012).
    min_cell : int
        Groups below are told apart from other small ones; also the fewest persons of each group in a band of a profile.
    fewest_matching : int
        Items a matching score must have, also after purification (our choice).
    taken_by : float
        An item belongs to the matching score if this share of the persons took it; who lacks one of these is set aside.
        1: the items that everyone took.
    alpha : float
        Level of all tests.
    confidence : float
        Of the intervals, between 0 and 1.
    purify : {"none", "significant", "class"}
        Which items leave the matching score: none; those with p below `alpha`, as in R's difR; of these, those in class
        B or C, near ETS practice. Among thousands of persons differences too small to matter have p below `alpha`:
        ``significant`` then empties the score.
    most_rounds : int
        Comparisons beyond the first.

    Raises
    ------
    ParameterError
        If `purify` is another word.
    """

    min_group: int = 200
    min_total: int = 500
    min_cell: int = 10
    fewest_matching: int = 10
    taken_by: float = 0.95
    alpha: float = 0.05
    confidence: float = 0.95
    purify: Purification = "class"
    most_rounds: int = 10

    def __post_init__(self) -> None:
        if self.purify not in get_args(Purification):
            allowed = plain(", ".join(get_args(Purification)))
            raise ParameterError(say("dif.unknown_purification", found=self.purify, allowed=allowed))


STANDARD = DifRules()


def explain(column: Column, code: str, *, rules: DifRules = STANDARD) -> Text:
    """Return what a code in a column of the review means.

    Examples
    --------
    >>> explain("note", "below_group").en
    'Not tested: the smaller group has fewer than 200 persons'
    """
    return say(f"dif.{column}.{code}", **asdict(rules))
