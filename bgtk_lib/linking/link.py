"""A link: the line from the post to the pre scale, how sure it is, and whether scores may be compared on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bgtk_lib.errors import LinkageError, Text
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.linking.anchors import (
    DRIFT_COLUMNS,
    FEWEST,
    RULES,
    LinkRules,
    estimate_linking_error,
    find_drift,
    locate_anchors,
)
from bgtk_lib.linking.constants import Calibrated, Line, Method, Points, estimate_constants, locate
from bgtk_lib.linking.persons import link_persons
from bgtk_lib.linking.quality import AnchorQuality, review_anchors
from bgtk_lib.linking.verdict import Verdict, judge_anchors
from bgtk_lib.words import plain, say
from bgtk_lib.workspace.store import hash_content

Design = Literal["same_form", "common_item", "equivalent_groups", "common_person"]
LinkMethod = Literal[
    "none", "mean_mean", "mean_sigma", "haebara", "stocking_lord", "fixed_anchor", "concurrent", "linear"
]

ANCHOR_COLUMNS = [*DRIFT_COLUMNS, "framework", "position_pre", "position_post", "note"]
SHEET_COLUMNS = ["item_id", "item_version", "position", "framework"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Link:
    """Two forms on one scale: θ_pre = slope · θ_post + shift.

    Attributes
    ----------
    design : {"same_form", "common_item", "equivalent_groups", "common_person"}
        What joins the forms.
    method : str
        How the constants were found.
    form_pre, form_post : str
        The forms.
    model : str
        Of the calibrations; ``scores`` where scores were linked.
    slope, shift : float
        Without unit, and in logits of the pre scale (or in the unit of the scores).
    slope_se, shift_se : float or None
        Standard errors, sampling of persons included; None where not known.
    linking_error : float
        √(Var(D)/L) of the anchors kept, in logits; of linked scores, the standard error of a mean carried over. It enters
        the standard error of every mean change.
    n_anchors, n_kept : int
        Anchors that could be compared, and those kept.
    anchors : DataFrame
        `ANCHOR_COLUMNS`, one row an anchor, as `anchors.find_drift` describes them but `b_post` and its error on the pre
        scale. `state` is ``not_compared`` where `note` says why: ``not_in_both``, ``not_calibrated``,
        ``other_categories``, ``other_version``, ``not_located`` (see `LinkRules.most_error`). `framework`, `position_pre`, `position_post`: as registered.
    with_all : Line or None
        The link with all anchors; None without anchors.
    quality : AnchorQuality or None
        Facts about the anchors; None without anchors.
    verdict : {"yes", "yes_with_notes", "not_yet"}
        Whether scores of the two forms may be compared.
    reasons : tuple of Text
        What the verdict rests on, the gravest first; empty where it is yes.
    made_for : (str, str)
        Fingerprints of the curves whose abilities the line carries, and of those it carries them to, in the order pre,
        post (with the same form twice the pre ones); empty where scores were linked.
    """

    design: Design
    method: LinkMethod
    form_pre: str
    form_post: str
    model: str
    slope: float
    shift: float
    slope_se: float | None
    shift_se: float | None
    linking_error: float
    n_anchors: int
    n_kept: int
    anchors: pd.DataFrame
    with_all: Line | None
    quality: AnchorQuality | None
    verdict: Verdict
    reasons: tuple[Text, ...]
    made_for: tuple[str, str]

    @property
    def kept(self) -> list[str]:
        """The anchors that make the link."""
        return self.anchors.loc[self.anchors["state"].isin(["kept", "review"]), "item_id"].tolist()

    def carry_curves(self, post: Curves) -> Curves:
        """Return the post form's curves on the pre scale.

        Raises
        ------
        LinkageError
            If the link was made for other curves.
        """
        if mark_curves(post) != self.made_for[1]:
            raise LinkageError(say("linking.other_curves", form=self.form_post))
        return post.rescale(slope=self.slope, shift=self.shift)


def link_forms(
    pre: Calibrated,
    post: Calibrated,
    *,
    forms: tuple[str, str],
    anchors: Sequence[str] | None = None,
    method: Method = "mean_mean",
    sheets: tuple[pd.DataFrame, pd.DataFrame] | None = None,
    rules: LinkRules = RULES,
) -> Link | Withheld:
    """Link two forms by the items they share, and say whether scores may be compared on that link.

    Parameters
    ----------
    pre, post : Calibration
        Of the same model, each of its own persons.
    forms : (str, str)
        Their codes. The same code twice: slope 1 and shift 0, for the pre calibration scores both waves; no item is
        dropped, since the scores contain them all, but drift is looked for and its error counted.
    anchors : sequence of str, optional
        The items declared as anchors; none: all that stand in both forms.
    method : {"mean_mean", "mean_sigma", "haebara", "stocking_lord"}
        How the constants are found. Drift is judged on the mean–mean link whatever the method.
    sheets : (DataFrame, DataFrame), optional
        `form_item` of either form: item_id, item_version, position, framework. Two versions are two items.
    rules : LinkRules
        The bounds.

    Returns
    -------
    Link or Withheld
        Withheld with fewer than three anchors that can be compared, or where no positive slope follows from them.

    Raises
    ------
    LinkageError
        If the models differ.

    Notes
    -----
    haebara and stocking_lord use the symmetric criterion, weighted by the two calibrated populations (30 points of each
    normal distribution).
    """
    if pre.model != post.model:
        raise LinkageError(say("linking.models", pre=pre.model, post=post.model))
    registers = tuple(sheet.reindex(columns=SHEET_COLUMNS) for sheet in sheets or (pd.DataFrame(), pd.DataFrame()))
    sheets = (registers[0], registers[1])
    notes = _find_hindrances((pre, post), sheets)
    if anchors is not None:
        notes = {item: notes.get(item, "not_in_both") for item in dict.fromkeys(anchors)}
    shared = [item for item, note in notes.items() if not note]
    vague = np.logical_or(*(locate_anchors(one, shared).b_se > rules.most_error for one in (pre, post)))
    usable = [item for item, is_vague in zip(shared, vague, strict=True) if not is_vague]
    notes |= {item: "not_located" for item, is_vague in zip(shared, vague, strict=True) if is_vague}
    if len(usable) < FEWEST:
        return Withheld(say("linking.few_shared", n=len(usable), needed=FEWEST))

    same = forms[0] == forms[1]
    if same:  # the scores contain every item, so that none can be dropped and none is wanted
        rules = replace(rules, drift_drop=np.inf, min_anchor_n=0, wanted_anchor_n=0, min_anchor_share=0.0)
    sides = (locate_anchors(pre, usable), locate_anchors(post, usable))
    drift = find_drift(*sides, rules=rules)
    kept = drift.loc[drift["state"] != "dropped", "item_id"].tolist()
    line = _draw_line((pre, post), kept, method=method)
    with_all = line if kept == usable else _draw_line((pre, post), usable, method=method)
    if isinstance(line, Withheld) or isinstance(with_all, Withheld):
        return Withheld(say("linking.no_slope", n=len(kept)))
    drift = drift.assign(b_post=line.slope * drift["b_post"] + line.shift, b_post_se=line.slope * drift["b_post_se"])
    quality = review_anchors(drift, (pre, post), sides, sheets=sheets, slope=line.slope, rules=rules)
    if same:
        line = with_all = replace(line, slope=1.0, shift=0.0, slope_se=0.0, shift_se=0.0)
    anchors_seen = _register(drift, notes, sheets)
    verdict, reasons = judge_anchors(
        anchors_seen, quality, lines=(line, with_all), calibrations=(pre, post), rules=rules
    )
    return Link(
        design="same_form" if same else "common_item",
        method="none" if same else method,
        form_pre=forms[0],
        form_post=forms[1],
        model=pre.model,
        **asdict(line),
        n_anchors=quality.n_anchors,
        n_kept=quality.n_kept,
        anchors=anchors_seen,
        with_all=with_all,
        quality=quality,
        verdict=verdict,
        reasons=reasons,
        made_for=(mark_curves(pre.curves), mark_curves(pre.curves if same else post.curves)),
    )


def link_scores(
    pre: ArrayLike,
    post: ArrayLike,
    *,
    forms: tuple[str, str],
    design: Literal["equivalent_groups", "common_person"],
    decisions: list[dict[str, str]],
) -> Link | Withheld:
    """Link two forms by their scores: of random equivalent groups, or of persons who sat both.

    Parameters
    ----------
    pre, post : array
        Scores on either form; as `persons.link_persons` takes them.
    forms : (str, str)
        Their codes.
    design : {"equivalent_groups", "common_person"}
        The first only where a recorded decision says so: nothing in the scores can show that groups are equivalent.
    decisions : list of dict
        As `compare.read_decisions` returns them; ``equivalent_groups`` in the column `decision`.

    Returns
    -------
    Link or Withheld
        Withheld without the decision, or as `link_persons` says. `linking_error` is the standard error of the line at
        the mean of the post scores.
    """
    declared = [
        row for row in decisions if row["decision"] == design and {row["form_from"], row["form_to"]} == set(forms)
    ]
    if design == "equivalent_groups" and not declared:
        return Withheld(say("linking.not_declared", pre=plain(forms[0]), post=plain(forms[1])), kind="gate")
    line = link_persons(pre, post, design=design)
    if isinstance(line, Withheld):
        return line
    who = plain(f"{declared[-1]['who']}, {declared[-1]['date']}") if declared else None
    return Link(
        design=design,
        method="linear",
        form_pre=forms[0],
        form_post=forms[1],
        model="scores",
        **asdict(line),
        n_anchors=0,
        n_kept=0,
        anchors=pd.DataFrame(columns=ANCHOR_COLUMNS),
        with_all=None,
        quality=None,
        verdict="yes_with_notes",
        reasons=(say("linking.by_decision", who=who) if who else say("linking.by_persons"),),
        made_for=("", ""),
    )


def mark_curves(curves: Curves) -> str:
    """Return the SHA-256 of a set of curves: items and parameters."""
    parts = (curves.slopes, curves.intercepts, curves.graded)
    return hash_content([curves.item_ids, *(part.tolist() for part in parts)])


def _find_hindrances(
    calibrations: tuple[Calibrated, Calibrated], sheets: tuple[pd.DataFrame, pd.DataFrame]
) -> dict[str, str]:
    """Return, for every item of both forms, why its difficulties cannot be compared, or nothing."""
    pre, post = calibrations
    later = set(post.items["item_id"])
    shapes = [
        {
            item: (int(highest), bool(graded))
            for item, highest, graded in zip(one.item_ids, one.highest, one.graded, strict=True)
        }
        for one in (pre.curves, post.curves)
    ]
    versions = [
        sheet.dropna(subset=["item_version"]).set_index("item_id")["item_version"].to_dict() for sheet in sheets
    ]
    notes = {}
    for item in (str(item) for item in pre.items["item_id"] if item in later):
        forms = [shape.get(item) for shape in shapes]
        known = [version[item] for version in versions if item in version]
        notes[item] = "not_calibrated" if None in forms else "other_categories" if forms[0] != forms[1] else ""
        if not notes[item] and len(known) == 2 and known[0] != known[1]:
            notes[item] = "other_version"
    return notes


def _draw_line(calibrations: tuple[Calibrated, Calibrated], items: Sequence[str], *, method: Method) -> Line | Withheld:
    """Return the line through some anchors, with its linking error."""
    pre, post = calibrations
    points = [Points.take_normal(one.groups["mean"].iloc[0], one.groups["sd"].iloc[0]) for one in calibrations]
    found = estimate_constants(pre, post, items=items, method=method, points=(points[0], points[1]))
    if isinstance(found, Withheld):
        return found
    moves = found.slope * locate(post.curves.take(items)) + found.shift - locate(pre.curves.take(items))
    return Line(**asdict(found), linking_error=estimate_linking_error(moves))


def _register(drift: pd.DataFrame, notes: dict[str, str], sheets: tuple[pd.DataFrame, pd.DataFrame]) -> pd.DataFrame:
    """Return `ANCHOR_COLUMNS` of all anchors declared, those that could not be compared too."""
    frame = pd.DataFrame({"item_id": pd.Series(list(notes), dtype="str")})
    frame = frame.merge(drift, on="item_id", how="left", validate="one_to_one")
    frame["note"] = frame["item_id"].map({item: note or None for item, note in notes.items()}).astype("str")
    frame["state"] = frame["state"].fillna("not_compared")
    pre, post = (sheet.drop_duplicates("item_id").set_index("item_id") for sheet in sheets)
    frame["framework"] = frame["item_id"].map(pre["framework"]).astype("str")
    for name, sheet in (("position_pre", pre), ("position_post", post)):
        frame[name] = frame["item_id"].map(sheet["position"]).astype("Int64")
    return frame[ANCHOR_COLUMNS]
