"""Gates C03, C05 and C09: whether the pairs are enough, the same persons, and the right time apart."""

from __future__ import annotations

import pandas as pd

from bgtk_lib.change.leavers import LeaverGap
from bgtk_lib.findings import Gate, GateState, Withheld
from bgtk_lib.pairing import Linked
from bgtk_lib.words import say

FEWEST_FOR_SHARE = 30


def judge_retention(linked: Linked, gap: LeaverGap | Withheld, scope: dict[str, str]) -> list[Gate]:
    """C03 and C09: whether they are the same persons, and those who left like those who stayed.

    C03: fewer than 60 % came back: STOP. C09: 60–80 %, or leavers and stayers surely further apart than .25 SD at the
    first wave: HOLD; .05–.25 SD: WARN (What Works Clearinghouse bounds, adapted to one group).
    """
    retention = linked.retention
    if isinstance(retention, Withheld):
        return [Gate(code="C03", state="STOP", scope=scope, message=retention.reason)]
    left = int((linked.unpaired["reason"] == "only_pre").sum())
    came = say("pairing.retention", share=100 * retention)
    if len(linked.pairs) + left < FEWEST_FOR_SHARE:
        return [
            Gate(code=code, state="UNKNOWN", scope=scope, message=say("gate.C03.UNKNOWN")) for code in ("C03", "C09")
        ]
    if retention < 0.60:
        return [Gate(code="C03", state="STOP", scope=scope, message=say("gate.C03.STOP", retention=came), rows=left)]
    gates = [Gate(code="C03", state="OK", scope=scope, message=say("gate.C03.OK", retention=came), rows=left)]
    if isinstance(gap, Withheld):
        state: GateState = "HOLD" if retention < 0.80 else "WARN" if left else "OK"
        return [
            *gates,
            Gate(code="C09", state=state, scope=scope, message=say("gate.C09.unknown_gap", retention=came), rows=left),
        ]
    surely = gap.low > 0 or gap.high < 0
    far = abs(gap.g) > 0.25 and surely
    state = "HOLD" if retention < 0.80 or far else "WARN" if abs(gap.g) > 0.05 else "OK"
    message = say(f"gate.C09.{state}", retention=came, g=gap.g, low=gap.low, high=gap.high)
    return [*gates, Gate(code="C09", state=state, scope=scope, message=message, rows=left)]


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
