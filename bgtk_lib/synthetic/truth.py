"""The planted truth: the mean change in the population from which the teachers are drawn, not in those drawn.

Given the districts' effects and the items, expectations are taken over schools, persons and answers by quadrature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.synthetic.curves import (
    GRID,
    NODES,
    WEIGHTS,
    read_curve,
    score_curve,
    stay_curve,
    stay_given_other,
)
from bgtk_lib.synthetic.design import OCCASIONS, RENEWED, Design, Phase, form_name
from bgtk_lib.synthetic.forms import NEW_HARDER, Floats, build_form, list_anchors
from bgtk_lib.synthetic.model import Effects
from bgtk_lib.synthetic.panel import describe_panel
from bgtk_lib.synthetic.times import HURRIED, TIMED

COLUMNS = (
    "population", "district", "share", "retention", "points", "percent", "g_av", "theta", "points_observed",
    "mean_pre", "mean_post", "var_pre", "var_post", "theta_mean_pre", "theta_var_pre", "theta_var_post",
)  # fmt: skip
# X, Y: scores before and after; again: after, on the form sat before; theta, later: ability before and after.
PARTS = ("weight", "X", "X²", "Y", "Y²", "true X", "again", "again²", "change", "theta", "theta²", "later", "later²")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The true change of one assessment in one phase.

    Attributes
    ----------
    assessment, phase : str
        Of what.
    form, form_post : str
        Sat before and after.
    n_items : int
        Highest number correct.
    rows : DataFrame
        One row a population (``all`` who sat before; ``retained``: weighted by the chance to be there after) and
        district (empty: all, weighted by the districts' numbers of teachers). `share`: of the teachers;
        `retention`: chance to be there after; `points`: mean change of the true score, number correct on the form sat
        before (where another was sat after: as if it had been that one); `percent`: of the highest score; `g_av`:
        points in SD of the observed scores on that form, variances averaged; `theta`: in SD of ability before;
        `points_observed`: expected mean difference of the *observed* scores of the population, which for the retained
        is what complete cases estimate, and means nothing where the forms differ; `mean_*`, `var_*`: of the observed
        scores; `theta_mean_pre`, `theta_var_*`: of ability.
    zero_district : str or None
        The district whose effect is exactly 0, in the scenario that has one.
    """

    assessment: str
    phase: Phase
    form: str
    form_post: str
    n_items: int
    rows: pd.DataFrame
    zero_district: str | None = None

    def value(self, column: str, *, population: str = "all", district: str = "") -> float:
        """Return one number of `rows`."""
        here = (self.rows["population"] == population) & (self.rows["district"] == district)
        return float(self.rows.loc[here, column].iloc[0])

    def as_json(self) -> dict[str, Any]:
        """Return it as `truth.json` holds it."""
        return {
            "assessment": self.assessment,
            "phase": self.phase,
            "form": self.form,
            "form_post": self.form_post,
            "n_items": self.n_items,
            "zero_district": self.zero_district,
            "rows": self.rows.to_dict(orient="records"),
        }


def compute_truth(
    design: Design, effects: Effects, *, assessment: str, phase: Phase, counts: Mapping[str, int]
) -> Truth:
    """Return the true mean change given the districts' effects, for all who sat before and for those retained.

    Parameters
    ----------
    design : Design
        Its constants.
    effects : Effects
        Drawn for the districts.
    assessment, phase : str
        Of what.
    counts : mapping
        District → number of teachers, which are the weights.

    Notes
    -----
    For a district with level m and effect d, ability before is N(m, s²), after it is that plus d plus N(0, c²)::

        points = E[w(theta) * (G(theta + d) - T(theta))] / E[w(theta)]

    where T is the expected score, G the same around its argument with SD c, and w is 1 or the chance to stay. Where
    leaving depends on the observed score, w is its expectation given the ability. Where a programme adds g to the
    ability of a share p, drawn by lot whatever their ability and whether they stay, G(theta + d) is
    (1 - p) G(theta + d) + p G(theta + d + g), and so with the other parts after. The share that attends in a province
    is a whole number of persons: it misses p by at most 1/2n.
    """
    rows = [effects.districts.index(code) for code in counts]
    sizes = np.array(list(counts.values()), dtype=float)
    moments = {
        population: _district_moments(design, effects, assessment=assessment, phase=phase, population=population)[rows]
        for population in ("all", "retained")
    }
    form = build_form(form_name(assessment, phase))
    frames = [
        _summarise(found, population=population, districts=list(counts), shares=sizes / sizes.sum(), k=form.n_items)
        for population, found in moments.items()
    ]
    return Truth(
        assessment=assessment,
        phase=phase,
        form=form.name,
        form_post=form_name(assessment, phase, "post"),
        n_items=form.n_items,
        rows=pd.concat(frames, ignore_index=True),
        zero_district=effects.zero_district,
    )


def _district_moments(design: Design, effects: Effects, *, assessment: str, phase: Phase, population: str) -> Floats:
    """Return districts by `PARTS`: expectations times weight."""
    form, gate = form_name(assessment, phase), form_name("PED", phase)
    before = score_curve(form)
    again = score_curve(form, design.change_within_sd)
    after = score_curve(form_name(assessment, phase, "post"), design.change_within_sd)
    deviation = design.level_within_sd * NODES
    theta = effects.level[assessment][:, None] + deviation
    later = theta + effects.change[assessment][:, None]
    mixture = design.mixture(assessment)
    helped = sum(share * gain for share, gain in mixture)

    def expect(curve: Floats) -> Floats:
        """Return a curve after, over those whom a programme helps and the others."""
        return np.asarray(sum(share * read_curve(curve, later + gain) for share, gain in mixture))

    first, second = before.first, before.second
    if population == "all":
        weight = np.ones_like(theta)
    elif assessment == "PED":
        stay = stay_curve(design, gate)
        weight = read_curve(stay.weight, theta)
        first, second = _divide(stay.first, stay.weight), _divide(stay.second, stay.weight)
    else:
        expected = effects.level["PED"][:, None] + design.shared * deviation
        weight = read_curve(stay_given_other(design, gate), expected)
    parts = [
        np.ones_like(theta),
        read_curve(first, theta),
        read_curve(second, theta),
        expect(after.first),
        expect(after.second),
        read_curve(before.first, theta),
        expect(again.first),
        expect(again.second),
        np.broadcast_to(effects.change[assessment][:, None] + helped, theta.shape),
        theta,
        theta**2,
        later + helped,
        sum(share * (later + gain) ** 2 for share, gain in mixture) + design.change_within_sd**2,
    ]
    return np.stack([(weight * part) @ WEIGHTS for part in parts], axis=1)


def _divide(values: Floats, weight: Floats) -> Floats:
    return np.divide(values, weight, out=np.zeros_like(GRID), where=weight > 0)


def _summarise(moments: Floats, *, population: str, districts: list[str], shares: Floats, k: int) -> pd.DataFrame:
    whole = (shares[:, None] * moments).sum(axis=0, keepdims=True)
    weight, *rest = np.concatenate([whole, moments]).T
    mean = dict(zip(PARTS[1:], (part / weight for part in rest), strict=True))
    var = {name: mean[f"{name}²"] - mean[name] ** 2 for name in ("X", "Y", "again", "theta", "later")}
    points = mean["again"] - mean["true X"]
    table = {
        "population": population,
        "district": ["", *districts],
        "share": np.concatenate([[1.0], shares]),
        "retention": weight,
        "points": points,
        "percent": 100 * points / k,
        "g_av": points / np.sqrt((var["X"] + var["again"]) / 2),
        "theta": mean["change"],
        "points_observed": mean["Y"] - mean["X"],
        "mean_pre": mean["X"],
        "mean_post": mean["Y"],
        "var_pre": var["X"],
        "var_post": var["Y"],
        "theta_mean_pre": mean["theta"],
        "theta_var_pre": var["theta"],
        "theta_var_post": var["later"],
    }
    return pd.DataFrame(table, columns=list(COLUMNS))


def describe_items(design: Design) -> dict[str, Any]:
    """Return what is planted in the items: who sits what, anchors and their drift, DIF, hurry, the panel's view.

    Parameters
    ----------
    design : Design
        Its phases and assessments.

    Notes
    -----
    `drift`: logits by which an anchor is harder the second time; two in opposite directions, so that the mean of the
    anchors' difficulties stays. `new_items_harder`: mean difficulty of the other items after less that of those whose
    place they took. `logits` of DIF: by which the item is harder on a phone, in every wave.
    """
    taken = [(code, phase) for phase in design.phases for code in design.taken(phase)]
    forms = [
        {"assessment": code, "phase": phase, **{occasion: form_name(code, phase, occasion) for occasion in OCCASIONS}}
        for code, phase in taken
    ]
    told: dict[str, Any] = {"forms": forms, "anchors": [], "dif": []}
    for entry in forms:
        first, second = (build_form(entry[occasion]) for occasion in OCCASIONS)
        if entry["assessment"] in RENEWED:
            drift = list_anchors(first.name, second.name)
            moved = {item: round(by, 9) for item, by in drift.items() if by}
            told["anchors"].append({**entry, "items": list(drift), "drift": moved, "new_items_harder": NEW_HARDER})
        told["dif"] += [
            {"form": first.name, "item": first.item_ids[at], "device": "phone", "logits": float(first.on_phone[at])}
            for at in np.flatnonzero(first.on_phone)
        ]
    told["hurried"] = {"assessments": [code for code in TIMED if code in design.assessments], "share": HURRIED}
    return told | ({"panel": describe_panel(design.panel_forms)} if design.panel_forms else {})
