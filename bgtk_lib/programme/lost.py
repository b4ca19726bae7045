"""Who of either group did not come back, and how far that could move the difference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from bgtk_lib.change.absent.attrition import GroupAttrition, read_group_attrition
from bgtk_lib.change.absent.bounds import TrimmedBounds, bound_by_trimming
from bgtk_lib.change.drawn import Drawn
from bgtk_lib.findings import Figure, Withheld
from bgtk_lib.programme.design import Design, Method
from bgtk_lib.programme.groups import Groups
from bgtk_lib.words import say

COMPARING: tuple[Method, ...] = ("ancova", "overlap", "did", "randomisation", "lottery")
UNADJUSTED: tuple[Method, ...] = ("lottery", "did")  # whose plain difference in change is the question


@dataclass(frozen=True, kw_only=True)
class Lost:
    """What is known of those who were of a group and have no second score.

    Attributes
    ----------
    attrition : GroupAttrition or Withheld
        Shares lost, and the band of the What Works Clearinghouse.
    bounds : TrimmedBounds or Withheld
        Of the difference in change; withheld where the groups are comparable only once adjusted.
    n : int
        Persons compared, of the smaller group.
    fewest : int
        The smallest of both groups' stayers and leavers that is not nought: what tells of them tells of so many.
    """

    attrition: GroupAttrition | Withheld
    bounds: TrimmedBounds | Withheld
    n: int
    fewest: int


def assess_lost(
    drawn: Drawn, stayers: Groups, everyone: Groups, left: pd.DataFrame, *, method: Method, confidence: float = 0.95
) -> Lost:
    """Read how many of either group were lost, and bound the difference by it.

    Parameters
    ----------
    drawn : Drawn
        Those with both scores; `frame` has pid, district, npsn.
    stayers, everyone : Groups
        As `form_groups` returns them for those with both scores, and for all of the first measurement.
    left : DataFrame
        Those of the first measurement only: pid, district, npsn.
    method : Method
        Of the design.
    confidence : float
        Of the interval, between 0 and 1.

    Notes
    -----
    Of those who left, who had joined and who is compared is decided as for those who stayed, from the same roster. One who
    left before the programme began counts with the group that did not join, so that in a design without a lottery the
    comparison group may seem to lose more than it did.
    """
    rows = left[["pid", "district", "npsn"]].merge(
        everyone.members[["pid", "treated"]], on="pid", how="inner", validate="one_to_one"
    )
    members = stayers.members
    n = {side: int((members["treated"] == side).sum()) for side in (True, False)}
    lost = {side: int((rows["treated"] == side).sum()) for side in (True, False)}
    attrition = read_group_attrition(
        treated_stayed=n[True], treated_left=lost[True], comparison_stayed=n[False], comparison_left=lost[False]
    )
    bounds: TrimmedBounds | Withheld = Withheld(say("lost.adjusted"))
    if method in UNADJUSTED:
        chosen = drawn.take(drawn.frame["pid"].isin(members["pid"]).to_numpy())
        frame = chosen.frame.merge(members[["pid", "treated"]], on="pid", how="left", validate="one_to_one")
        bounds = bound_by_trimming(
            replace(chosen, frame=frame), rows, treated="treated", cluster="school", confidence=confidence
        )
    counts = [count for count in (*n.values(), *lost.values()) if count]
    return Lost(attrition=attrition, bounds=bounds, n=min(n.values()), fewest=min(counts, default=0))


def lower_evidence(design: Design, lost: Lost) -> Design:
    """Return the design with what is left of its evidence: a lottery that lost too many is a comparison, no longer a draw."""
    if design.evidence < 4 or isinstance(lost.attrition, Withheld) or lost.attrition.band != "high":
        return design
    return replace(design, evidence=3, reasons=(*design.reasons, say("lost.no_lottery")))


def list_lost(lost: Lost, *, unit: str = "points") -> list[Figure]:
    """Return figures: `attrition.overall`, `attrition.differential`, `attrition.bias`; `bounds.lower`, `bounds.upper`.

    Both bounds bear the interval that covers the difference itself.
    """
    both = say("programme.population.both")
    told = partial(Figure, n=lost.fewest, population=both, tells_n=False)
    bound = partial(Figure, n=lost.n, population=both, unit=unit)
    if isinstance(lost.attrition, Withheld):
        figures = [told(name="attrition.overall", value=lost.attrition, unit="percent")]
    else:
        found = lost.attrition
        figures = [
            told(name="attrition.overall", value=100 * found.overall, unit="percent"),
            told(name="attrition.differential", value=100 * found.differential, unit="percent"),
            told(name="attrition.bias", value=found.bias_cautious, unit="sd"),
        ]
    if isinstance(lost.bounds, Withheld):
        return [*figures, bound(name="bounds.lower", value=lost.bounds)]
    bound = partial(bound, low=lost.bounds.low, high=lost.bounds.high)
    return [
        *figures,
        bound(name="bounds.lower", value=lost.bounds.lower.estimate),
        bound(name="bounds.upper", value=lost.bounds.upper.estimate),
    ]
