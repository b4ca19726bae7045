"""May the scores be compared? Yes, yes with notes, or not yet: what the facts about the anchors add up to."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from bgtk_lib.errors import Text
from bgtk_lib.findings import Withheld
from bgtk_lib.linking.anchors import LinkRules
from bgtk_lib.linking.constants import Calibrated, Constants
from bgtk_lib.linking.quality import AnchorQuality
from bgtk_lib.words import plain, say

Verdict = Literal["yes", "yes_with_notes", "not_yet"]


def judge_anchors(
    anchors: pd.DataFrame,
    quality: AnchorQuality,
    *,
    lines: tuple[Constants, Constants],
    calibrations: tuple[Calibrated, Calibrated],
    rules: LinkRules,
) -> tuple[Verdict, tuple[Text, ...]]:
    """Return the verdict on a link by anchors, and what it rests on, the gravest first.

    Parameters
    ----------
    anchors : DataFrame
        As `Link.anchors` has them.
    quality : AnchorQuality
        The facts about those kept.
    lines : (Constants, Constants)
        The link, and the one with every anchor.
    calibrations : (Calibration, Calibration)
        Of the pre and the post form.
    rules : LinkRules
        The bounds.

    Notes
    -----
    not_yet: fewer than `min_anchor_n` anchors kept, more than `max_drop_share` of them dropped, a calibration that did not
    converge, or one without standard errors, so that drift cannot be told from chance. Everything else is a note: what was dropped or is for review, how many anchors the panel wants,
    correlation and SD ratio outside their bounds, content, difficulty or places that the anchors do not mirror, few
    persons.
    """
    grave = _list_grave(quality, calibrations, rules)
    if anchors.loc[anchors["state"] != "not_compared", "difference_se"].isna().any():
        grave.append(say("linking.not_yet.no_errors"))
    notes = [*_list_moved(anchors, lines), *_list_unlike(quality, rules), *_list_unmirrored(quality, rules)]
    fewest = min(calibration.n_persons for calibration in calibrations)
    if fewest < rules.few_persons:
        notes.append(say("linking.note.few_persons", n=fewest, needed=rules.few_persons))
    return "not_yet" if grave else "yes_with_notes" if notes else "yes", tuple(dict.fromkeys([*grave, *notes]))


def _list_grave(quality: AnchorQuality, calibrations: tuple[Calibrated, Calibrated], rules: LinkRules) -> list[Text]:
    found = []
    if quality.n_kept < rules.min_anchor_n:
        found.append(say("linking.not_yet.few_anchors", n=quality.n_kept, needed=rules.min_anchor_n))
    if quality.dropped_share > rules.max_drop_share:
        facts = {"n": quality.n_anchors - quality.n_kept, "of": quality.n_anchors}
        found.append(say("linking.not_yet.dropped", **facts, most=100 * rules.max_drop_share))
    if not all(calibration.converged for calibration in calibrations):
        found.append(say("linking.not_yet.converged"))
    return found


def _list_moved(anchors: pd.DataFrame, lines: tuple[Constants, Constants]) -> list[Text]:
    """Return what is to be said about anchors that were dropped, are for review or could not be compared."""
    found = []
    names = {state: rows["item_id"].tolist() for state, rows in anchors.groupby("state")}
    if "dropped" in names:
        facts = {"n": len(names["dropped"]), "items": _name(names["dropped"])}
        found.append(say("linking.note.dropped", **facts, shift=lines[0].shift, shift_all=lines[1].shift))
    rest = [(state, names[state]) for state in ("review", "not_compared") if state in names]
    return [*found, *(say(f"linking.note.{state}", n=len(items), items=_name(items)) for state, items in rest)]


def _list_unlike(quality: AnchorQuality, rules: LinkRules) -> list[Text]:
    """Return what is to be said about the number of anchors and how alike their difficulties are."""
    found = []
    if quality.n_kept < quality.n_wanted:
        found.append(say("linking.note.below_wanted", n=quality.n_kept, wanted=quality.n_wanted))
    if isinstance(quality.r, Withheld) or isinstance(quality.sd_ratio, Withheld):
        return [*found, *(one.reason for one in (quality.r,) if isinstance(one, Withheld))]
    if quality.r < rules.min_r:
        found.append(say("linking.note.low_r", r=quality.r, needed=rules.min_r))
    low, high = rules.sd_ratio
    if not low <= quality.sd_ratio <= high:
        found.append(say("linking.note.sd_ratio", ratio=quality.sd_ratio, low=low, high=high))
    return found


def _list_unmirrored(quality: AnchorQuality, rules: LinkRules) -> list[Text]:
    """Return what is to be said about content, difficulty, places and discrimination."""
    found = []
    if quality.uncovered:
        found.append(say("linking.note.content", codes=plain(", ".join(quality.uncovered))))
    gap = max(quality.difficulty_gap_pre, quality.difficulty_gap_post, key=abs)
    if abs(gap) > rules.difficulty_gap:
        found.append(say("linking.note.difficulty", gap=gap))
    if quality.n_moved:
        found.append(say("linking.note.moved", n=quality.n_moved))
    if quality.n_other_slopes:
        found.append(say("linking.note.slopes", n=quality.n_other_slopes))
    return found


def _name(items: list[str]) -> Text:
    return plain(", ".join(items))
