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
from bgtk_lib.synthetic.design import Design, Phase, form_name
from bgtk_lib.synthetic.forms import Floats, build_form
from bgtk_lib.synthetic.model import Effects

COLUMNS = (
    "population", "district", "share", "retention", "points", "percent", "g_av", "theta", "points_observed",
    "mean_pre", "mean_post", "var_pre", "var_post",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The true change of one assessment in one phase.

    Attributes
    ----------
    assessment, phase, form : str
        Of what.
    n_items : int
        Highest number correct.
    rows : DataFrame
        One row a population (``all`` who sat before; ``retained``: weighted by the chance to be there after) and
        district (empty: all, weighted by the districts' numbers of teachers). `share`: of the teachers;
        `retention`: chance to be there after; `points`: mean change of the true score, number correct; `percent`: of
        the highest score; `g_av`: points / sqrt((var_pre + var_post) / 2); `theta`: in SD of ability before;
        `points_observed`: expected mean change of the *observed* scores of the population, which for the retained is
        what complete cases estimate; `mean_*`, `var_*`: of the observed scores.
    zero_district : str or None
        The district whose effect is exactly 0, in the scenario that has one.
    """

    assessment: str
    phase: Phase
    form: str
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
    leaving depends on the observed score, w is its expectation given the ability.
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
        n_items=form.n_items,
        rows=pd.concat(frames, ignore_index=True),
        zero_district=effects.zero_district,
    )


def _district_moments(design: Design, effects: Effects, *, assessment: str, phase: Phase, population: str) -> Floats:
    """Return districts by (weight, X, X², Y, Y², true X, theta change): expectations times weight."""
    form, gate = form_name(assessment, phase), form_name("PED", phase)
    before = score_curve(form)
    after = score_curve(form, design.change_within_sd)
    deviation = design.level_within_sd * NODES
    theta = effects.level[assessment][:, None] + deviation
    later = theta + effects.change[assessment][:, None]
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
        read_curve(after.first, later),
        read_curve(after.second, later),
        read_curve(before.first, theta),
        np.broadcast_to(effects.change[assessment][:, None], theta.shape),
    ]
    return np.stack([(weight * part) @ WEIGHTS for part in parts], axis=1)


def _divide(values: Floats, weight: Floats) -> Floats:
    return np.divide(values, weight, out=np.zeros_like(GRID), where=weight > 0)


def _summarise(moments: Floats, *, population: str, districts: list[str], shares: Floats, k: int) -> pd.DataFrame:
    whole = (shares[:, None] * moments).sum(axis=0, keepdims=True)
    weight, x, xx, y, yy, true_x, theta = np.concatenate([whole, moments]).T
    means = {"x": x / weight, "y": y / weight, "true": true_x / weight}
    var_pre, var_post = xx / weight - means["x"] ** 2, yy / weight - means["y"] ** 2
    points = means["y"] - means["true"]
    table = {
        "population": population,
        "district": ["", *districts],
        "share": np.concatenate([[1.0], shares]),
        "retention": weight,
        "points": points,
        "percent": 100 * points / k,
        "g_av": points / np.sqrt((var_pre + var_post) / 2),
        "theta": theta / weight,
        "points_observed": means["y"] - means["x"],
        "mean_pre": means["x"],
        "mean_post": means["y"],
        "var_pre": var_pre,
        "var_post": var_post,
    }
    return pd.DataFrame(table, columns=list(COLUMNS))
