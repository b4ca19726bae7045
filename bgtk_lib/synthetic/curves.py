"""Curves over the ability scale, computed once a form: expected scores, and who stays.

All integrals over normal distributions are sums over equally spaced points, which for smooth integrands is exact to
many digits; between the points of the grid the curves are straight, an error below 0.0001 points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from bgtk_lib.synthetic.design import Design
from bgtk_lib.synthetic.forms import Floats, build_form, solve_chances

GRID = np.linspace(-9.0, 9.0, 3601)
NODES = np.linspace(-6.0, 6.0, 61)
WEIGHTS = np.exp(-0.5 * NODES**2) / np.exp(-0.5 * NODES**2).sum()


@dataclass(frozen=True, kw_only=True)
class ScoreCurve:
    """E[X | theta] and E[X² | theta] of a number correct X, on the grid.

    Attributes
    ----------
    first, second : array of float
        In points and points squared.
    """

    first: Floats
    second: Floats


@dataclass(frozen=True, kw_only=True)
class StayCurve:
    """How likely a person of an ability stays, and the score of those who do, on the grid.

    Attributes
    ----------
    weight, first, second : array of float
        P(stays | theta), E[X · stays | theta] and E[X² · stays | theta] of the PED score X before.
    """

    weight: Floats
    first: Floats
    second: Floats


def read_curve(curve: Floats, theta: Floats) -> Floats:
    """Return a curve's values at some abilities."""
    return np.asarray(np.interp(theta, GRID, curve))


@cache
def score_curve(form: str, spread: float = 0.0) -> ScoreCurve:
    """Return the expected score at each ability, or around it: for theta + N(0, spread²)."""
    if spread:
        sharp = score_curve(form)
        shifted = GRID[:, None] + spread * NODES
        return ScoreCurve(
            first=read_curve(sharp.first, shifted) @ WEIGHTS, second=read_curve(sharp.second, shifted) @ WEIGHTS
        )
    chance = solve_chances(GRID, build_form(form))
    mean = chance.sum(axis=1)
    return ScoreCurve(first=mean, second=mean**2 + (chance * (1 - chance)).sum(axis=1))


@cache
def score_moments(form: str) -> tuple[float, float]:
    """Return mean and SD of the number correct where ability is N(0, 1)."""
    curve = score_curve(form)
    mean = float(read_curve(curve.first, NODES) @ WEIGHTS)
    return mean, float((read_curve(curve.second, NODES) @ WEIGHTS - mean**2) ** 0.5)


@cache
def score_chances(form: str) -> Floats:
    """Return P(X = x | theta), grid points by scores 0 … n_items (Lord and Wingersky's recursion)."""
    items = build_form(form)
    chance = solve_chances(GRID, items)
    table = np.zeros((len(GRID), items.n_items + 1))
    table[:, 0] = 1.0
    for item in range(items.n_items):
        right = chance[:, item, None]
        table[:, 1:] = table[:, 1:] * (1 - right) + table[:, :-1] * right
        table[:, 0] *= 1 - right[:, 0]
    return table


def leaving_intercept(design: Design, form: str) -> float:
    """Return the intercept of leaving at which the wanted share leaves where ability is N(0, 1)."""
    observed = design.scenario == "attrition_observed"
    slope = design.leaving_slope_observed if observed else design.leaving_slope
    return _intercept(form if observed else "", slope, rate=design.leaving_rate)


@cache
def _intercept(form: str, slope: float, *, rate: float) -> float:
    if form:
        mean, sd = score_moments(form)
        table = score_chances(form)
        weights = WEIGHTS @ np.stack([read_curve(column, NODES) for column in table.T], axis=1)
        x = (np.arange(table.shape[1]) - mean) / sd
    else:
        weights, x = WEIGHTS, NODES
    return float(brentq(lambda start: float(weights @ expit(start + slope * x)) - rate, -20, 20))


def stay_curve(design: Design, form: str) -> StayCurve:
    """Return who stays, by true ability on the PED form of the phase."""
    observed = design.scenario == "attrition_observed"
    slope = design.leaving_slope_observed if observed else design.leaving_slope
    return _stay_curve(form, slope, intercept=leaving_intercept(design, form), observed=observed)


@cache
def _stay_curve(form: str, slope: float, *, intercept: float, observed: bool) -> StayCurve:
    curve = score_curve(form)
    if not observed:
        stays = expit(-intercept - slope * GRID)
        return StayCurve(weight=stays, first=stays * curve.first, second=stays * curve.second)
    table = score_chances(form)
    mean, sd = score_moments(form)
    x = np.arange(table.shape[1])
    stays = expit(-intercept - slope * (x - mean) / sd)
    return StayCurve(weight=table @ stays, first=table @ (x * stays), second=table @ (x**2 * stays))


@cache
def blur_curve(values: tuple[str, float, float, bool], spread: float) -> Floats:
    """Return P(stays) around an ability: for theta + N(0, spread²). `values` are the arguments of the stay curve."""
    form, slope, intercept, observed = values
    weight = _stay_curve(form, slope, intercept=intercept, observed=observed).weight
    return np.asarray(read_curve(weight, GRID[:, None] + spread * NODES) @ WEIGHTS)


def stay_given_other(design: Design, form: str) -> Floats:
    """Return P(stays) by the *expected* PED ability of a person of whom another ability is known.

    Within a district the two are normal with correlation `shared`: around its expectation the PED ability has
    SD `level_within_sd` * sqrt(1 - shared²).
    """
    observed = design.scenario == "attrition_observed"
    slope = design.leaving_slope_observed if observed else design.leaving_slope
    spread = design.level_within_sd * (1 - design.shared**2) ** 0.5
    return blur_curve((form, slope, leaving_intercept(design, form), observed), spread)
