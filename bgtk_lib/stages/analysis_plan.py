"""Gate C11: whether what is called planned was planned before the results were seen."""

from __future__ import annotations

from bgtk_lib.findings import Gate
from bgtk_lib.words import plain, say
from bgtk_lib.workspace.plan_lock import PlanState


def judge_plan(state: PlanState) -> list[Gate]:
    """C11: whether the analysis plan was locked before a later wave was read, and stands; one gate a later wave.

    Locked before reading and unchanged: OK. No plan, or locked too late or not at all: WARN, all is exploratory. Plan or
    rules changed after the reading: HOLD, with the names of what changed.
    """
    return [_judge_wave(state, wave) for wave in state.waves]


def _judge_wave(state: PlanState, wave: str) -> Gate:
    scope = {"wave": wave}
    lock, changed, read = state.lock_of(wave), state.changed(wave), wave in state.readings
    if state.plan is None and lock is None:
        return Gate(code="C11", state="WARN", scope=scope, message=say("gate.C11.WARN"))
    if lock is None or (changed and not read):
        return Gate(code="C11", state="WARN", scope=scope, message=say("gate.C11.late" if read else "gate.C11.open"))
    if changed:
        message = say("gate.C11.HOLD", day=lock.locked_at, changed=plain(", ".join(changed)))
        return Gate(code="C11", state="HOLD", scope=scope, message=message)
    key = "ready" if not read else "present" if wave in lock.present else "OK"
    return Gate(code="C11", state="OK", scope=scope, message=say(f"gate.C11.{key}", day=lock.locked_at))
