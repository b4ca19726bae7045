"""The model of ability, change and leaving. `draw_province` and `draw_pairs` use the same functions.

For each assessment k, person i, school s, district d::

    theta_before = D_kd + S_ks + P_ki         total variance 1
    theta_after  = theta_before + d_kd + s_ks + p_ki (+ the gain of who attends a programme that has an effect)

Each term is sqrt(shared) times a part common to all assessments plus sqrt(1 - shared) times a part of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bgtk_lib import schema
from bgtk_lib.synthetic.curves import leaving_intercept, score_moments
from bgtk_lib.synthetic.design import CAPITAL, Design
from bgtk_lib.synthetic.forms import Floats

Integers = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Effects:
    """What was drawn for the districts.

    Attributes
    ----------
    districts : tuple of str
        Kemendagri codes, in order of the rows below.
    level, change : dict
        Assessment → effect of each district on ability before, and on its change.
    zero_district : str or None
        The district without change, in the scenario that has one.
    """

    districts: tuple[str, ...]
    level: dict[str, Floats]
    change: dict[str, Floats]
    zero_district: str | None = None


def draw_effects(design: Design, *, assessments: tuple[str, ...], rng: np.random.Generator) -> Effects:
    """Return the effects of the 15 districts on each assessment, before and on the change."""
    codes = tuple(str(code) for code in schema.districts().index)
    everywhere = np.arange(len(codes))
    level = draw_shared(everywhere, assessments, sd=design.level_district_sd, shared=design.shared, rng=rng)
    change = draw_shared(everywhere, assessments, sd=design.change_district_sd, shared=design.shared, rng=rng)
    mean = 0.0 if design.scenario == "no_change" else design.change_mean
    spread = 0.0 if design.scenario == "no_change" else 1.0
    change = {code: mean + spread * values for code, values in change.items()}
    zero = None
    if design.scenario == "one_zero_district":
        zero = str(rng.choice([code for code in codes if code != CAPITAL]))
        for values in change.values():
            values[codes.index(zero)] = 0.0
    return Effects(districts=codes, level=level, change=change, zero_district=zero)


def draw_shared(
    groups: Integers, assessments: tuple[str, ...], *, sd: float, shared: float, rng: np.random.Generator
) -> dict[str, Floats]:
    """Return a normal effect of each group on each assessment, correlated `shared` between assessments.

    Parameters
    ----------
    groups : array of int
        One entry a person (or district): the number of the group, from 0.
    assessments : tuple of str
        For which.
    sd, shared : float
        SD of the effect and its correlation between two assessments.
    rng : Generator
        Source of randomness.
    """
    n = int(groups.max()) + 1 if len(groups) else 0
    common = rng.standard_normal(n)
    drawn = {}
    for code in assessments:
        own = rng.standard_normal(n)
        drawn[code] = (sd * (shared**0.5 * common + (1 - shared) ** 0.5 * own))[groups]
    return drawn


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """True abilities of persons: assessment → one value a person, before and after."""

    before: dict[str, Floats]
    after: dict[str, Floats]


def draw_abilities(
    design: Design, effects: Effects, *, district: Integers, school: Integers, rng: np.random.Generator
) -> Abilities:
    """Return true abilities before and after on every assessment the effects speak of.

    Parameters
    ----------
    design : Design
        Its constants.
    effects : Effects
        Of the districts.
    district, school : array of int
        One entry a person: row of the district in `effects`, number of the school.
    rng : Generator
        Source of randomness.
    """
    persons = np.arange(len(district))
    codes = tuple(effects.level)
    still = design.scenario == "no_change"

    def draw(groups: Integers, sd: float) -> dict[str, Floats]:
        return draw_shared(groups, codes, sd=sd, shared=design.shared, rng=rng)

    level_school, level_person = draw(school, design.level_school_sd), draw(persons, design.level_person_sd)
    change_school, change_person = draw(school, design.change_school_sd), draw(persons, design.change_person_sd)
    before = {code: effects.level[code][district] + level_school[code] + level_person[code] for code in codes}
    if still:
        return Abilities(before=before, after={code: values.copy() for code, values in before.items()})
    after = {
        code: before[code] + effects.change[code][district] + change_school[code] + change_person[code]
        for code in codes
    }
    return Abilities(before=before, after=after)


def add_gain(design: Design, ability: Abilities, *, attends: NDArray[np.bool_]) -> Abilities:
    """Return abilities with what KKA adds, after, to those who attend it: in most scenarios nothing."""
    after = {code: values + design.gain(code) * attends for code, values in ability.after.items()}
    return Abilities(before=ability.before, after=after)


def chance_of_leaving(design: Design, *, form: str, theta: Floats, score: Floats) -> Floats:
    """Return the probability that a person is not there after.

    Parameters
    ----------
    design : Design
        In `attrition_observed` it depends on the observed score before, otherwise on the true ability.
    form : str
        The PED form of the phase.
    theta, score : array of float
        True ability and number correct on PED before.
    """
    if design.scenario == "attrition_observed":
        mean, sd = score_moments(form)
        slope, x = design.leaving_slope_observed, (score - mean) / sd
    else:
        slope, x = design.leaving_slope, theta
    return np.asarray(expit(leaving_intercept(design, form) + slope * x))
