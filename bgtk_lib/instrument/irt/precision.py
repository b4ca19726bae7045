"""How exactly a form measures, and whether it is as hard as its persons are able."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.irt.abilities import code_credit, estimate_eap, estimate_wle, place_grid, rely
from bgtk_lib.instrument.irt.curves import Curves, Floats
from bgtk_lib.instrument.irt.fit import MIN_PERSONS
from bgtk_lib.words import say

PRECISION_COLUMNS = ["theta", "information", "sem"]


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """How much of the differences between persons is not measurement error.

    Attributes
    ----------
    marginal : float or Withheld
        Expected in the population: the mean of I/(I + 1/sd²) over the abilities.
    empirical : float or Withheld
        Found in these persons: variance of the posterior means over itself plus the mean posterior variance.
    separation_reliability : float or Withheld
        Person separation reliability: 1 − mean se² / variance, of Warm's estimates without extreme scores. May be below
        zero, where errors are larger than differences.
    separation : float or Withheld
        √(R/(1 − R)) of the same: how many times as large as the error true differences are.
    n_persons : int
        Persons with an ability.
    n_extreme : int
        Of these with an extreme score.
    """

    marginal: float | Withheld
    empirical: float | Withheld
    separation_reliability: float | Withheld
    separation: float | Withheld
    n_persons: int
    n_extreme: int


@dataclass(frozen=True, kw_only=True)
class Targeting:
    """Whether a form is as hard as its persons are able.

    Attributes
    ----------
    mean_theta : float
        Mean ability of the population.
    mean_difficulty : float or Withheld
        Mean location of the items (the mean of an item's steps).
    distance : float or Withheld
        `mean_theta` − `mean_difficulty`: above zero, the form is easy for its persons.
    share_lowest, share_highest : float or Withheld
        Of persons whose every answer has no credit, or full credit.
    n_persons : int
        Persons presented an item.
    n_items : int
        Items with a location: a slope other than zero.
    """

    mean_theta: float
    mean_difficulty: float | Withheld
    distance: float | Withheld
    share_lowest: float | Withheld
    share_highest: float | Withheld
    n_persons: int
    n_items: int


def describe_precision(curves: Curves, *, grid: Floats) -> pd.DataFrame:
    """Return test information and conditional standard error of measurement at given abilities.

    Parameters
    ----------
    curves : Curves
        Of the form's items.
    grid : array
        Abilities.

    Returns
    -------
    DataFrame
        `PRECISION_COLUMNS`. `sem`: 1/√information, null where the form tells nothing (information 0).

    Examples
    --------
    Four items of difficulty 0 and slope 1: information 4 · ¼, standard error 1.

    >>> curves = Curves(
    ...     item_ids=("b1", "b2", "b3", "b4"), slopes=np.ones(4), intercepts=np.zeros((4, 1)), graded=np.zeros(4, bool)
    ... )
    >>> describe_precision(curves, grid=np.array([0.0])).iloc[0].tolist()
    [0.0, 1.0, 1.0]
    """
    information = curves.information(grid).sum(axis=0)
    sem = 1 / np.sqrt(np.where(information > 0, information, np.nan))
    return pd.DataFrame({"theta": grid, "information": information, "sem": sem}, columns=PRECISION_COLUMNS)


def estimate_reliability(credit: pd.DataFrame, curves: Curves, *, mean: float, sd: float) -> Reliability:
    """Estimate marginal, empirical and separation reliability of a form.

    Parameters
    ----------
    credit : DataFrame
        Persons × items, categories 0 … m, null where not presented. Items without curves are left out.
    curves : Curves
    mean, sd : float
        Of the normal population the persons come from, on the scale of the curves.

    Returns
    -------
    Reliability

    Raises
    ------
    SchemaError
        If an item holds a category that its curve does not have.

    Notes
    -----
    The marginal reliability supposes every item of the form; the other two take what each person was presented. R mirt:
    ``marginal_rxx`` (for sd = 1), ``empirical_rxx``; R eRm: ``SepRel``.

    References
    ----------
    Green, B. F., Bock, R. D., Humphreys, L. G., Linn, R. L. & Reckase, M. D. (1984). Technical guidelines for assessing
    computerized adaptive tests. *Journal of Educational Measurement* 21, 347-360.

    Wright, B. D. & Masters, G. N. (1982). *Rating scale analysis*, ch. 5. Chicago: MESA Press.

    Examples
    --------
    One item of slope 0 tells nothing; nobody stands between its scores.

    >>> curves = Curves(item_ids=("b1",), slopes=np.zeros(1), intercepts=np.zeros((1, 1)), graded=np.zeros(1, bool))
    >>> found = estimate_reliability(pd.DataFrame({"b1": [1, 1, 0, 0]}), curves, mean=0, sd=1)
    >>> found.marginal, round(found.empirical, 6), isinstance(found.separation, Withheld)
    (0.0, 0.0, True)
    """
    posterior = estimate_eap(credit, curves, mean=mean, sd=sd)
    abilities = estimate_wle(credit, curves)
    known = posterior["theta"].notna()
    measured = abilities[abilities["theta"].notna() & ~abilities["extreme"]]
    separated = rely(measured) if len(measured) >= MIN_PERSONS else np.nan
    alike = Withheld(say("irt_fit.few_measures", n=len(measured), needed=MIN_PERSONS))
    few = Withheld(say("irt_fit.few_persons", n=int(known.sum()), needed=MIN_PERSONS))
    return Reliability(
        marginal=_integrate_reliability(curves, mean=mean, sd=sd),
        empirical=_share_of_means(posterior[known]) if known.sum() >= MIN_PERSONS else few,
        separation_reliability=alike if np.isnan(separated) else separated,
        separation=alike if np.isnan(separated) else float(np.sqrt(max(separated, 0) / (1 - separated))),
        n_persons=int(known.sum()),
        n_extreme=int((known & abilities["extreme"]).sum()),
    )


def describe_targeting(credit: pd.DataFrame, curves: Curves, *, mean: float) -> Targeting:
    """Compare the mean ability with the mean difficulty, and count those the form has nothing left to ask.

    Parameters
    ----------
    credit, curves, mean
        As in `estimate_reliability`.

    Returns
    -------
    Targeting

    Raises
    ------
    SchemaError
        If an item holds a category that its curve does not have.

    Examples
    --------
    >>> curves = Curves(
    ...     item_ids=("b1", "b2"), slopes=np.ones(2), intercepts=np.array([[1.0], [0.0]]), graded=np.zeros(2, bool)
    ... )
    >>> found = describe_targeting(pd.DataFrame({"b1": [1, 1, 0, 1], "b2": [0, 1, 0, 0]}), curves, mean=0.25)
    >>> found.mean_difficulty, found.distance, found.share_lowest, found.share_highest
    (-0.5, 0.75, 0.25, 0.25)
    """
    codes, curves = code_credit(credit, curves)
    presented = codes >= 0
    seen = presented.any(axis=1)
    lowest = seen & ~(codes > 0).any(axis=1)
    highest = seen & ~(presented & (codes < curves.highest)).any(axis=1)
    located = curves.slopes != 0
    n_persons, n_items = int(seen.sum()), int(located.sum())
    nobody = Withheld(say("irt_fit.few_persons", n=0, needed=1))
    middle: float | Withheld = Withheld(say("irt_fit.no_location"))
    if n_items:
        middle = float(np.nanmean(curves.difficulties[located], axis=1).mean())
    return Targeting(
        mean_theta=mean,
        mean_difficulty=middle,
        distance=middle if isinstance(middle, Withheld) else mean - middle,
        share_lowest=float(lowest.sum() / n_persons) if n_persons else nobody,
        share_highest=float(highest.sum() / n_persons) if n_persons else nobody,
        n_persons=n_persons,
        n_items=n_items,
    )


def _integrate_reliability(curves: Curves, *, mean: float, sd: float) -> float | Withheld:
    """Return the mean of I/(I + 1/sd²) over a normal population."""
    if not sd > 0:
        return Withheld(say("irt_fit.no_spread"))
    grid = place_grid(curves, mean=mean, sd=sd)
    information = curves.information(grid).sum(axis=0)
    weights = stats.norm.pdf(grid, mean, sd)
    return float((information / (information + 1 / sd**2)) @ weights / weights.sum())


def _share_of_means(posterior: pd.DataFrame) -> float:
    """Return the variance of posterior means as a share of all variance."""
    between = float(posterior["theta"].var())
    return between / (between + float((posterior["se"] ** 2).mean()))
