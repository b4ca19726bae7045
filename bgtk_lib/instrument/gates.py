"""Gates D12 and I01 to I05: whether the key fits, the form is reliable, its items are fair, its panel independent."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from bgtk_lib.findings import Gate, GateState, Withheld
from bgtk_lib.instrument.classical import ItemReview
from bgtk_lib.instrument.experts import PanelReview
from bgtk_lib.words import plain, say

FEWEST_FOR_SHARE = 30
FEWEST_FOR_FLAGS = 100
SHARE_BY_CHANCE = (
    0.30  # of sound items with a correlation of .25, more than this are never at 0 or less with 30 persons
)
SURELY_WEAK = 0.10  # an item whose correlation's upper bound is below has a key in doubt
LEAST_RELIABILITY = 0.70  # for statements about groups; single indicators and persons need more
EXPOSED = ("device", "group")  # groupings whose differential functioning a link of waves cannot carry
WATCHED = ("district", *EXPOSED, "programmes")
SHOWN = 5


def judge_key(
    review: ItemReview | Withheld, suspects: pd.DataFrame, scope: dict[str, str], *, decided: Collection[str] = ()
) -> list[Gate]:
    """D12 and I01: whether the key fits the answers.

    D12: more than 10 % of the items with an item–rest correlation of 0 or less: STOP (codes shifted, wrong key file);
    more than 30 % where fewer than 100 persons sat; any such item: WARN, by name; below 30 persons: UNKNOWN. I01, from
    100 persons on: an item whose correlation's upper 95 % bound is below .10, or a distractor that beats the key by two
    standard errors: HOLD until a person has decided; a distractor merely ahead of the key: WARN.

    Parameters
    ----------
    review : ItemReview or Withheld
        Of one form at one wave.
    suspects : DataFrame
        As `suspect_keys` returns it.
    scope : dict
        What the gates speak of.
    decided : collection of str
        Items whose review a person has recorded; they are told and hold nothing.
    """
    where = plain(", ".join(scope.values()))
    if isinstance(review, Withheld):
        return [Gate(code="D12", state="UNKNOWN", scope=scope, message=review.reason)]
    judged = review.items.dropna(subset=["item_rest_r"])
    if judged.empty or review.n_persons < FEWEST_FOR_SHARE:
        return [Gate(code="D12", state="UNKNOWN", scope=scope, message=say("gate.D12.UNKNOWN", where=where))]
    negative = judged.loc[judged["item_rest_r"] <= 0, "item_id"]
    share = len(negative) / len(judged)
    most = SHARE_BY_CHANCE if review.n_persons < FEWEST_FOR_FLAGS else 0.10
    state: GateState = "STOP" if share > most else "WARN" if len(negative) else "OK"
    facts = {"where": where, "n": len(negative), "share": 100 * share, "items": _name(negative)}
    shape = Gate(code="D12", state=state, scope=scope, message=say(f"gate.D12.{state}", **facts))
    return [shape, _judge_items(judged, suspects, scope, decided=decided)]


def _judge_items(
    judged: pd.DataFrame, suspects: pd.DataFrame, scope: dict[str, str], *, decided: Collection[str]
) -> Gate:
    where = plain(", ".join(scope.values()))
    enough = judged[judged["n"] >= FEWEST_FOR_FLAGS]
    beaten = suspects.loc[suspects["reason"] == "beats_key", "item_id"]
    doubtful = enough.loc[(enough["r_high"] < SURELY_WEAK) | enough["item_id"].isin(beaten), "item_id"]
    ahead = enough.loc[enough["item_id"].isin(suspects.loc[suspects["reason"] != "near_chance", "item_id"]), "item_id"]
    open_ones = doubtful[~doubtful.isin(list(decided))]
    told = open_ones if len(open_ones) else pd.concat([doubtful, ahead]).drop_duplicates()
    state: GateState = "HOLD" if len(open_ones) else "WARN" if len(told) else "OK"
    return Gate(
        code="I01",
        state=state,
        scope=scope,
        message=say(f"gate.I01.{state}", where=where, n=len(told), items=_name(told)),
    )


def judge_reliability(review: ItemReview | Withheld, scope: dict[str, str]) -> list[Gate]:
    """I03: whether the form is reliable enough for what is claimed.

    Upper bound of alpha below .70: HOLD, for single indicators and persons; alpha below .70: WARN; not computable, or
    fewer than 30 persons: none.
    """
    if isinstance(review, Withheld) or isinstance(review.alpha, Withheld) or review.n_persons < FEWEST_FOR_SHARE:
        return []
    high = review.alpha if review.alpha_high is None else review.alpha_high
    state: GateState = "HOLD" if high < LEAST_RELIABILITY else "WARN" if review.alpha < LEAST_RELIABILITY else "OK"
    facts = {"where": plain(", ".join(scope.values())), "alpha": review.alpha, "least": LEAST_RELIABILITY}
    return [Gate(code="I03", state=state, scope=scope, message=say(f"gate.I03.{state}", **facts))]


def judge_fairness(large_dif: pd.DataFrame, scope: dict[str, str]) -> Gate:
    """I04: items that work differently by device, district, programme or session. Any of class C: WARN, by name.

    In a link such items are held: see `judge_anchor_fairness`.
    """
    found = large_dif[large_dif["grouping"].isin(WATCHED)]
    state: GateState = "WARN" if len(found) else "OK"
    items = _name(found["item_id"].drop_duplicates())
    where = plain(", ".join(scope.values()))
    return Gate(code="I04", state=state, scope=scope, message=say(f"gate.I04.{state}", where=where, items=items))


def judge_anchor_fairness(large_dif: Mapping[str, pd.DataFrame], kept: Collection[str], scope: dict[str, str]) -> Gate:
    """I04 for a link: anchors in use that work differently by device, district, programme or session: HOLD.

    Parameters
    ----------
    large_dif : mapping
        Wave → as `find_large_dif` returns it.
    kept : collection of str
        The anchors that make the link.
    scope : dict
        What the gate speaks of.
    """
    rows = pd.concat(list(large_dif.values())) if large_dif else pd.DataFrame({"item_id": [], "grouping": []})
    found = rows[rows["item_id"].isin(list(kept)) & rows["grouping"].isin(WATCHED)]["item_id"].drop_duplicates()
    state: GateState = "HOLD" if len(found) else "OK"
    where = plain(", ".join(scope.values()))
    return Gate(code="I04", state=state, scope=scope, message=say(f"gate.I04.{state}", where=where, items=_name(found)))


def judge_panel(panel: PanelReview | None, scope: dict[str, str]) -> list[Gate]:
    """I05: raters of the panel that wrote items or coach teachers: WARN, their ratings set aside; no panel: no gate."""
    if panel is None:
        return []
    state: GateState = "WARN" if panel.n_interested or panel.n_undeclared else "OK"
    facts = {"where": plain(", ".join(scope.values())), "n": panel.n_interested, "raters": panel.n_raters}
    message = (
        say(f"gate.I05.{state}", undeclared=panel.n_undeclared, **facts)
        if state == "WARN"
        else say("gate.I05.OK", **facts)
    )
    return [Gate(code="I05", state=state, scope=scope, message=message)]


def _name(items: pd.Series[str]) -> object:
    return plain(", ".join(items.head(SHOWN)) + (" …" if len(items) > SHOWN else "") or "–")
