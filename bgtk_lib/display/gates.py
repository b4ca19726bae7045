"""Gates for a reader: those that need somebody first, like ones together, the open ones in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from bgtk_lib.errors import Text
from bgtk_lib.findings import SEVERITY, Gate
from bgtk_lib.words import join, plain, say

PRINTED_WHEN_OPEN = ("D10",)  # its numbers, ours and the register's, are printed whatever they are


def gather_gates(gates: Sequence[Gate], *, most: int = 3) -> list[Gate]:
    """Return gates as the page lists them: worst state first, one for each code, state and lift; open ones together.

    Parameters
    ----------
    gates : sequence of Gate
        Every gate that touches a report; all of them stand in its `results.json`.
    most : int
        Messages shown of those that are alike; how many more there are is said.
    """
    groups: dict[tuple[str, str, str | None], list[Gate]] = {}
    for gate in gates:
        if gate.state != "OK" or gate.code in PRINTED_WHEN_OPEN:
            groups.setdefault((gate.code, gate.state, gate.lifted), []).append(gate)
    gathered = [_join(group, most) for group in groups.values()]
    gathered.sort(key=lambda gate: (-SEVERITY[gate.state], gate.code))
    opened = Counter(gate.code for gate in gates if gate.state == "OK" and gate.code not in PRINTED_WHEN_OPEN)
    if opened:
        named = ", ".join(code if n == 1 else f"{code} ({n}×)" for code, n in sorted(opened.items()))
        gathered.append(Gate(code="–", state="OK", message=say("gate.open", codes=plain(named))))
    return gathered


def tell_gate(gate: Gate) -> Text:
    """Return a gate's message, led by the assessment and waves it speaks of where the message does not say."""
    if "wave_pre" not in gate.scope:
        return gate.message
    where = f"{gate.scope.get('assessment', '')} {gate.scope['wave_pre']} → {gate.scope['wave_post']}: "
    return join([plain(where), gate.message], "")


def _join(group: list[Gate], most: int) -> Gate:
    told = [tell_gate(gate) for gate in group] if len(group) > 1 else [group[0].message]
    distinct = list(dict.fromkeys(told))
    shown = distinct[:most]
    more = [say("gate.more", n=len(distinct) - most)] if len(distinct) > most else []
    scope = group[0].scope if len(group) == 1 else {}
    return replace(group[0], message=join([*shown, *more], " "), scope=scope)
