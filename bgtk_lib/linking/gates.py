"""C01 and C02 once forms are linked: may two waves be compared, may phases be pooled or districts set side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd

from bgtk_lib.errors import Text
from bgtk_lib.findings import Gate, GateState
from bgtk_lib.linking.compare import Comparison, judge_link
from bgtk_lib.linking.link import Link
from bgtk_lib.words import join, plain, say

By = Literal["phase", "district"]
VERDICTS = ("yes", "yes_with_notes", "not_yet")  # from best to worst


def judge_linked(comparison: Comparison, links: Sequence[Link], scope: dict[str, str]) -> Gate:
    """C01 where links were made. Yes: OK; yes with notes: WARN; not yet: STOP.

    Parameters
    ----------
    comparison : Comparison
        On what ground the waves are compared without a link.
    links : sequence of Link
        Any; of two for the same forms the later one counts, and its direction does not matter.
    scope : dict
        What the gate speaks of.

    Notes
    -----
    Every form of the first wave must be linked to every other one of the second; the worst verdict among them counts.
    Where one is not, and with the same form, it is `compare.judge_link`. A link is worth more than a declaration that forms
    are parallel: one that says *not yet* stops what the declaration alone would leave as draft.
    """
    of_forms = {frozenset((link.form_pre, link.form_post)): link for link in links}
    needed = {frozenset((pre, post)) for pre in comparison.forms_pre for post in comparison.forms_post if pre != post}
    if comparison.kind == "same_form" or not needed or not needed <= set(of_forms):
        return judge_link(comparison, scope)
    worst = max((of_forms[pair] for pair in sorted(needed, key=sorted)), key=lambda link: VERDICTS.index(link.verdict))
    facts = {"pre": plain(", ".join(comparison.forms_pre)), "post": plain(", ".join(comparison.forms_post))}
    ground = say(f"linking.ground.{worst.design}", n=worst.n_kept)
    reasons = join(list(worst.reasons), " ")
    state: GateState
    if worst.verdict == "yes":
        state, message = "OK", say("gate.C01.linked", **facts, ground=ground)
    elif worst.verdict == "yes_with_notes":
        state, message = "WARN", say("gate.C01.WARN", **facts, ground=ground, reasons=reasons)
    else:
        state, message = "STOP", say("gate.C01.not_yet", **facts, ground=ground, reasons=reasons)
    return Gate(code="C01", state=state, scope=scope, message=message)


def cross_forms(sessions: pd.DataFrame, *, by: By) -> pd.DataFrame:
    """Count the sessions of each form in each phase or district.

    Parameters
    ----------
    sessions : DataFrame
        Columns `form_id` and `by`, one row a session of one assessment; who has no group is left out.
    by : {"phase", "district"}
        What would be pooled or compared.

    Returns
    -------
    DataFrame
        Groups in rows (index), forms in columns, in code order.

    Examples
    --------
    >>> cross_forms(
    ...     pd.DataFrame({"phase": ["I", "I", "II"], "form_id": ["A", "A", "B"]}), by="phase"
    ... ).to_numpy().tolist()
    [[2, 0], [0, 1]]
    """
    return pd.crosstab(sessions[by].astype(object), sessions["form_id"].astype(object))


def judge_pooling(table: pd.DataFrame, links: Sequence[Link], *, by: By, scope: dict[str, str]) -> Gate:
    """C02: phases pooled or districts compared across forms. No form in common and no link: STOP.

    Parameters
    ----------
    table : DataFrame
        As `cross_forms` returns it: shown beside a STOP.
    links : sequence of Link
        Any; those that say *not yet* join nothing.
    by : {"phase", "district"}
        What is pooled or compared.
    scope : dict
        What the gate speaks of.

    Notes
    -----
    OK: one form, or all forms linked. HOLD: forms are not all linked, but one of them (with those linked to it) was sat in
    every group: only its sessions are comparable. STOP: none was, so that forms and groups cannot be told apart.
    """
    sat = {str(group): {str(form) for form in table.columns[row > 0]} for group, row in table.iterrows()}
    used = set().union(*sat.values())
    joined = [{link.form_pre, link.form_post} for link in links if link.verdict != "not_yet"]
    clusters = [cluster for cluster in _unite([*({form} for form in sorted(used)), *joined]) if cluster & used]
    shared = [cluster for cluster in clusters if all(cluster & forms for forms in sat.values())]
    state: GateState = "OK" if len(clusters) < 2 or len(sat) < 2 else "HOLD" if shared else "STOP"
    facts: dict[str, Text] = {"by": say(f"linking.by.{by}")}
    if state == "HOLD":
        facts["forms"] = plain(", ".join(sorted(shared[0])))
    if state == "STOP":
        facts["table"] = _tell_forms(sat)
    return Gate(code="C02", state=state, scope=scope, message=say(f"gate.C02.{state}", **facts))


def _unite(sets: list[set[str]]) -> list[set[str]]:
    """Return the sets with those that overlap made one."""
    apart: list[set[str]] = []
    for one in sets:
        touching = [other for other in apart if other & one]
        apart = [*(other for other in apart if not other & one), one.union(*touching)]
    return apart


def _tell_forms(sat: dict[str, set[str]]) -> Text:
    """Return which groups sat which forms, without counts: `PED-1: I; PED-2: II`."""
    groups: dict[str, list[str]] = {}
    for group, forms in sat.items():
        groups.setdefault(", ".join(sorted(forms)), []).append(group)
    return plain("; ".join(f"{forms}: {', '.join(names)}" for forms, names in sorted(groups.items())))
