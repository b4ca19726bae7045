"""Gates C07, C08, C16, C18 and C19: whether a programme's groups, and how they came about, carry an effect."""

from __future__ import annotations

from bgtk_lib.errors import Text
from bgtk_lib.findings import Gate, GateState, Withheld
from bgtk_lib.programme.assess import Programme
from bgtk_lib.programme.balance import find_largest, place_in_band
from bgtk_lib.programme.design import FEWEST_SCHOOLS, Declared, Design
from bgtk_lib.programme.groups import Groups
from bgtk_lib.words import say

FEWEST_TO_TELL = 50  # persons; the largest `min_cell` there is: below, no number is said


def judge_programme(programme: Programme, groups: Groups, declared: Declared, scope: dict[str, str]) -> list[Gate]:
    """Return every gate of a programme, those that are OK too.

    C07: picked by a score: without a comparison STOP, by a score that is not at hand HOLD, else WARN; how people came in
    unknown: UNKNOWN. C08: volunteers, or an unknown way in: WARN, and no claim. C16: comparison persons in participants'
    schools: WARN. C18: standardised differences before the programme: beyond .05 WARN, beyond the limit STOP; in a lottery
    never more than WARN, for there they are chance. C19: fewer than five schools took part: WARN. The last three where groups
    are compared.

    Parameters
    ----------
    programme, groups, declared
        As `assess_programme`, `form_groups` and the plan have them.
    scope : dict
        What the gates speak of.
    """
    gates = [judge_selection(programme, declared, scope), judge_volunteers(declared, scope)]
    if _is_described(programme):
        return gates
    return [
        *gates,
        judge_spillover(groups, declared, scope),
        judge_balance(programme, declared, scope),
        judge_schools(programme, scope),
    ]


def judge_selection(programme: Programme, declared: Declared, scope: dict[str, str]) -> Gate:
    """C07: whether regression to the mean can be read as an effect."""
    state: GateState = "OK"
    if declared.assignment == "unknown":
        state = "UNKNOWN"
    elif declared.selected:
        state = "STOP" if _is_described(programme) else "WARN" if declared.score_known else "HOLD"
    return Gate(code="C07", state=state, scope=scope, message=say(f"gate.C07.{state}"), rows=programme.n_participants)


def judge_volunteers(declared: Declared, scope: dict[str, str]) -> Gate:
    """C08: whether those who wanted to come are compared with those who did not."""
    state: GateState = "WARN" if declared.assignment in ("volunteer", "unknown") else "OK"
    return Gate(code="C08", state=state, scope=scope, message=say(f"gate.C08.{state}"))


def judge_spillover(groups: Groups, declared: Declared, scope: dict[str, str]) -> Gate:
    """C16: whether a programme can have reached the comparison group through its schools."""
    n = groups.n_same_school
    state: GateState = "OK"
    if n and (declared.spillover != "same_school_excluded" or declared.comparison == "lottery"):
        state = "WARN"
    elif declared.spillover == "unknown":
        state = "UNKNOWN"
    return Gate(code="C16", state=state, scope=scope, message=say(f"gate.C16.{state}", count=_tell_count(n)), rows=n)


def judge_balance(programme: Programme, declared: Declared, scope: dict[str, str]) -> Gate:
    """C18: whether the groups were alike before the programme, after what the design does about it."""
    method = programme.design.method if isinstance(programme.design, Design) else "prepost"
    apart = find_largest(programme.balance, "after" if method == "overlap" else "before")
    band = place_in_band(apart, limit=declared.balance_limit)
    state: GateState = "OK" if band == "fine" else "WARN" if band == "adjust" or method == "lottery" else "STOP"
    if apart == float("inf"):
        return Gate(code="C18", state=state, scope=scope, message=say("gate.C18.unlike", limit=declared.balance_limit))
    message = say(f"gate.C18.{state}", difference=apart, limit=declared.balance_limit)
    return Gate(code="C18", state=state, scope=scope, message=message)


def judge_schools(programme: Programme, scope: dict[str, str]) -> Gate:
    """C19: whether enough schools took part for a clustered error."""
    few = isinstance(programme.design, Design) and programme.design.method == "randomisation"
    state: GateState = "WARN" if few else "OK"
    return Gate(code="C19", state=state, scope=scope, message=say(f"gate.C19.{state}", least=FEWEST_SCHOOLS))


def _is_described(programme: Programme) -> bool:
    """Whether no groups are compared."""
    return isinstance(programme.design, Withheld) or programme.design.method in ("prepost", "small")


def _tell_count(n: int) -> Text:
    return say("programme.count", n=n) if n >= FEWEST_TO_TELL else say("programme.count_few", n=FEWEST_TO_TELL)
