"""Gates C03, C05 and C09: whether the pairs are enough, the same persons, and the right time apart."""

from __future__ import annotations

import pandas as pd

from bgtk_lib.change.leavers import LeaverGap
from bgtk_lib.errors import Text
from bgtk_lib.findings import Gate, GateState, Withheld
from bgtk_lib.pairing import Linked
from bgtk_lib.words import say

FEWEST_FOR_SHARE = 30
FEWEST_TO_TELL = 50
STOPS_BELOW, HOLDS_BELOW = 0.60, 0.80


def judge_retention(linked: Linked, gap: LeaverGap | Withheld, scope: dict[str, str]) -> list[Gate]:
    """C03 and C09: whether they are the same persons, and those who left like those who stayed.

    C03: fewer than 60 % came back: STOP. C09: 60–80 % came back, or the gap at the first wave between leavers and
    stayers exceeds .25 SD and its interval leaves out 0: HOLD; more than .05 SD: WARN (What Works Clearinghouse bounds,
    adapted to one group).

    Notes
    -----
    Numbers of those who left are said from 50 on, the largest `min_cell` there is; below, a band.
    """
    retention = linked.retention
    if isinstance(retention, Withheld):
        return [Gate(code="C03", state="STOP", scope=scope, message=retention.reason)]
    left = int((linked.unpaired["reason"] == "only_pre").sum())
    if len(linked.pairs) + left < FEWEST_FOR_SHARE:
        return [
            Gate(code=code, state="UNKNOWN", scope=scope, message=say("gate.C03.UNKNOWN")) for code in ("C03", "C09")
        ]
    came = _tell_retention(retention, exact=left == 0 or left >= FEWEST_TO_TELL)
    if retention < STOPS_BELOW:
        return [Gate(code="C03", state="STOP", scope=scope, message=say("gate.C03.STOP", retention=came), rows=left)]
    gates = [Gate(code="C03", state="OK", scope=scope, message=say("gate.C03.OK", retention=came), rows=left)]
    state: GateState
    if isinstance(gap, Withheld):
        state = "HOLD" if retention < HOLDS_BELOW else "WARN" if left else "OK"
        message = say("gate.C09.unknown_gap", retention=came)
    else:
        far = abs(gap.g) > 0.25 and not gap.low <= 0 <= gap.high
        state = "HOLD" if retention < HOLDS_BELOW or far else "WARN" if abs(gap.g) > 0.05 else "OK"
        many = left >= FEWEST_TO_TELL
        differ = say("pairing.gap", g=gap.g, low=gap.low, high=gap.high) if many else say("pairing.gap_untold")
        message = say(f"gate.C09.{state}", retention=came, gap=differ)
    return [*gates, Gate(code="C09", state=state, scope=scope, message=message, rows=left)]


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
