"""Gates C03, C04, C05 and C09: whether the pairs are enough, the same persons, and the right time apart."""

from __future__ import annotations

import pandas as pd

from bgtk_lib.change.absent.attrition import HOLDS_BELOW, STOPS_BELOW, read_retention
from bgtk_lib.change.absent.leavers import LeaverGap
from bgtk_lib.errors import Text
from bgtk_lib.findings import Gate, GateState, Withheld
from bgtk_lib.pairing import Linked
from bgtk_lib.words import say

FEWEST_FOR_SHARE = 30
FEWEST_TO_TELL = 50
LARGEST_GAP, LEAST_GAP = 0.25, 0.05  # SD
MOST_IMPOSSIBLE = 0.005


def judge_retention(linked: Linked, gap: LeaverGap | Withheld, scope: dict[str, str]) -> list[Gate]:
    """C03 and C09: whether they are the same persons, and those who left like those who stayed.

    C03: fewer than 60 % came back: STOP. C09: 60–80 % came back, so that the headline stands only beside its bounds, or
    the gap at the first wave between leavers and stayers exceeds .25 SD and its interval leaves out 0: HOLD; more than .05
    SD: WARN (What Works Clearinghouse bounds, adapted to one group).

    Notes
    -----
    Numbers of those who left are said from 50 on, the largest `min_cell` there is; below, a band.
    """
    left = int((linked.unpaired["reason"] == "only_pre").sum())
    retention = read_retention(len(linked.pairs), left)
    if isinstance(retention, Withheld):
        return [Gate(code="C03", state="STOP", scope=scope, message=retention.reason)]
    if retention.n_first < FEWEST_FOR_SHARE:
        return [
            Gate(code=code, state="UNKNOWN", scope=scope, message=say("gate.C03.UNKNOWN")) for code in ("C03", "C09")
        ]
    came = _tell_retention(retention.share, exact=left == 0 or left >= FEWEST_TO_TELL)
    if retention.reading == "no_headline":
        return [Gate(code="C03", state="STOP", scope=scope, message=say("gate.C03.STOP", retention=came), rows=left)]
    bounded = retention.reading == "with_bounds"
    state: GateState
    if isinstance(gap, Withheld):
        state = "HOLD" if bounded else "WARN" if left else "OK"
        message = say("gate.C09.unknown_gap", retention=came)
    else:
        far = abs(gap.g) > LARGEST_GAP and not gap.low <= 0 <= gap.high
        state = "HOLD" if bounded or far else "WARN" if abs(gap.g) > LEAST_GAP else "OK"
        many = left >= FEWEST_TO_TELL
        differ = say("pairing.gap", g=gap.g, low=gap.low, high=gap.high) if many else say("pairing.gap_untold")
        message = say("gate.C09.bounds" if bounded else f"gate.C09.{state}", retention=came, gap=differ)
    same = Gate(code="C03", state="OK", scope=scope, message=say("gate.C03.OK", retention=came), rows=left)
    return [same, Gate(code="C09", state=state, scope=scope, message=message, rows=left)]


def _tell_retention(retention: float, *, exact: bool) -> Text:
    if exact:
        return say("pairing.retention", share=100 * retention)
    band = "low" if retention < STOPS_BELOW else "middle" if retention < HOLDS_BELOW else "high"
    return say(f"pairing.retention_{band}")


def judge_interval(pairs: pd.DataFrame, window: list[int], scope: dict[str, str]) -> Gate:
    """C05: days between the sittings. More than 5 % of the pairs outside the window: HOLD."""
    days = pairs["days"].dropna()
    if days.empty:
        return Gate(code="C05", state="UNKNOWN", scope=scope, message=say("gate.C05.UNKNOWN"))
    outside = int((~days.between(window[0], window[1])).sum())
    share = outside / len(days)
    state: GateState = "HOLD" if share > 0.05 else "WARN" if outside else "OK"
    facts = {"share": 100 * share, "first": window[0], "last": window[1]}
    return Gate(code="C05", state=state, scope=scope, message=say(f"gate.C05.{state}", **facts), rows=outside)


def judge_pairs_possible(pairs: pd.DataFrame, scope: dict[str, str]) -> Gate:
    """C04: whether the two sittings of a pair can be one person's. More than 0.5 % of the pairs cannot: STOP.

    Parameters
    ----------
    pairs : DataFrame
        Those that are known of: `sex_pre` and `sex_post`, `birth_pre` and `birth_post` (codes of the birth date), each as
        that wave's own source has it, and `days`, below zero where the second sitting started first. What is null at a
        wave is not compared.
    scope : dict
        What the gate speaks of.

    Returns
    -------
    Gate
        UNKNOWN where nothing can be compared. `rows` counts a pair once, whatever is wrong with it.

    Examples
    --------
    >>> pairs = pd.DataFrame({"sex_pre": ["L", "P", None], "sex_post": ["L", "L", "P"], "days": [180, 181, 182]})
    >>> gate = judge_pairs_possible(pairs, {})
    >>> gate.state, gate.rows
    ('STOP', 1)
    """
    checked, wrong = pd.Series(False, index=pairs.index), pd.Series(False, index=pairs.index)
    for fact in ("sex", "birth"):
        if {f"{fact}_pre", f"{fact}_post"} <= set(pairs):
            pre, post = pairs[f"{fact}_pre"], pairs[f"{fact}_post"]
            known = pre.notna() & post.notna()
            checked |= known
            wrong |= known & pre.ne(post).fillna(False).astype(bool)
    if "days" in pairs:
        checked |= pairs["days"].notna()
        wrong |= pairs["days"].lt(0).fillna(False).astype(bool)
    if not checked.any():
        return Gate(code="C04", state="UNKNOWN", scope=scope, message=say("gate.C04.UNKNOWN"))
    found = int(wrong.sum())
    state: GateState = "STOP" if found > MOST_IMPOSSIBLE * checked.sum() else "WARN" if found else "OK"
    return Gate(code="C04", state=state, scope=scope, message=say(f"gate.C04.{state}"), rows=found)
