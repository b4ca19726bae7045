"""Link constants: the line θ_pre = slope · θ_post + shift that carries one calibration's abilities to another's scale."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize

from bgtk_lib.errors import LinkageError, ParameterError
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.words import plain, say

Floats: TypeAlias = NDArray[np.float64]
Method = Literal["mean_mean", "mean_sigma", "haebara", "stocking_lord"]

ONE_SLOPE = ("rasch", "pcm")  # models whose logit is the unit: calibrations of them differ by a shift only
BUMP = 1e-4  # of a parameter, for central differences: errors of the order of 1e-8


class Calibrated(Protocol):
    """What linking needs of a calibration; `instrument.irt.calibrate.Calibration` has it."""

    @property
    def model(self) -> str:
        """``rasch``, ``2pl``, ``pcm``, ``gpcm`` or ``grm``."""

    @property
    def items(self) -> pd.DataFrame:
        """item_id … of every item of the form, those that could not be calibrated too."""

    @property
    def curves(self) -> Curves:
        """The items that could be calibrated."""

    @property
    def covariance(self) -> pd.DataFrame:
        """Of the free parameters, named ``a:ITEM``, ``d1:ITEM`` …; a parameter that is not there has no error."""

    @property
    def groups(self) -> pd.DataFrame:
        """group, mean, sd …; the first one sets the scale."""

    @property
    def n_persons(self) -> int:
        """Persons it rests on."""

    @property
    def converged(self) -> bool:
        """Whether the estimates are what was looked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Abilities at which characteristic curves are compared, and what each counts.

    Attributes
    ----------
    theta, weights : array (Q,)
        Abilities, and weights that sum to one.
    """

    theta: Floats
    weights: Floats

    @classmethod
    def spread_evenly(cls, low: float, high: float, *, n: int) -> Points:
        """Return n equally spaced abilities that count the same."""
        return cls(theta=np.linspace(low, high, n), weights=np.full(n, 1 / n))

    @classmethod
    def take_normal(cls, mean: float = 0.0, sd: float = 1.0, *, n: int = 30) -> Points:
        """Return the n Gauss-Hermite points of a normal population."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(n)
        return cls(theta=mean + sd * nodes, weights=weights / weights.sum())


STANDARD = (Points.take_normal(),)


@dataclass(frozen=True, kw_only=True)
class Constants:
    """The line from the post to the pre scale: θ_pre = slope · θ_post + shift.

    Attributes
    ----------
    slope, shift : float
        Without unit, and in logits of the pre scale.
    slope_se, shift_se : float or None
        Standard errors from both calibrations; None where not computed or not known.
    """

    slope: float
    shift: float
    slope_se: float | None = None
    shift_se: float | None = None


@dataclass(frozen=True, kw_only=True)
class Line(Constants):
    """The line from the post to the pre scale, with what the choice of its anchors or persons leaves open.

    Attributes
    ----------
    linking_error : float
        Standard error that the link adds to a mean carried over it, in units of the pre scale.
    """

    linking_error: float


def find_constants(
    pre: Curves,
    post: Curves,
    *,
    method: Method = "mean_mean",
    slope: float | None = None,
    points: tuple[Points, ...] = STANDARD,
) -> Constants | Withheld:
    """Find the line that carries the post curves of the same items closest to the pre curves.

    Parameters
    ----------
    pre, post : Curves
        The anchors on either scale: the same items in the same order.
    method : {"mean_mean", "mean_sigma", "haebara", "stocking_lord"}
        What is to agree: mean slope and mean location; mean and SD of the locations; the probability of every category
        of every item; the expected score on all items.
    slope : float, optional
        A slope that is known (1 with the Rasch and the partial credit model).
    points : tuple of Points
        For the last two methods. One set: abilities of the pre scale, a one-sided criterion. Two sets: the second one is
        of the post scale, where pre curves are compared with post curves; the two criteria are added (symmetric). Otherwise
        30 points of N(0, 1), one-sided.

    Returns
    -------
    Constants or Withheld
        Withheld without items, and where no positive slope follows from them.

    Raises
    ------
    LinkageError
        If the items are not the same.
    ParameterError
        If `method` is another word.

    Notes
    -----
    An item's location is the mean of its steps; every item counts the same. mean_mean: slope = ā_post / ā_pre.
    mean_sigma: slope = s(b_pre) / s(b_post). Both: shift = b̄_pre − slope · b̄_post. haebara: least
    Σ_q w_q Σ_jk (P_jk − P*_jk)²; stocking_lord: least Σ_q w_q (Σ_j E_j − Σ_j E*_j)², by nonlinear least squares in
    (log slope, shift).

    References
    ----------
    Kolen, M. J. & Brennan, R. L. (2004). *Test Equating, Scaling, and Linking*, 2nd ed., equations 6.2-6.13.

    Examples
    --------
    Two items, each half a logit harder to the later group: that group stands half a logit higher.

    >>> graded = np.zeros(2, dtype=bool)
    >>> pre = Curves(item_ids=("b1", "b2"), slopes=np.ones(2), intercepts=np.array([[1.0], [-1.0]]), graded=graded)
    >>> post = Curves(item_ids=("b1", "b2"), slopes=np.ones(2), intercepts=np.array([[1.5], [-0.5]]), graded=graded)
    >>> find_constants(pre, post).shift
    0.5
    """
    if method not in get_args(Method):
        raise ParameterError(say("linking.unknown_method", found=method, allowed=plain(", ".join(get_args(Method)))))
    if pre.item_ids != post.item_ids:
        raise LinkageError(say("linking.other_items", pre=len(pre.item_ids), post=len(post.item_ids)))
    if not pre.item_ids:
        return Withheld(say("linking.no_anchors"))
    b_pre, b_post = locate(pre), locate(post)
    above, below = (b_pre.std(), b_post.std()) if method == "mean_sigma" else (post.slopes.mean(), pre.slopes.mean())
    first = slope if slope is not None else above / below if below else np.nan
    shift = b_pre.mean() - first * b_post.mean()
    if not (np.isfinite(shift) and first > 0):
        return Withheld(say("linking.no_slope", n=len(pre.item_ids)))
    if method in ("mean_mean", "mean_sigma"):
        return Constants(slope=float(first), shift=float(shift))
    known = [] if slope is None else [np.log(slope)]
    pre, post = _trim(pre), _trim(post)
    fitted = optimize.least_squares(
        lambda line: _compare_curves(pre, post, [*line, *known], method=method, points=points),
        [shift] if known else [shift, np.log(first)],
        xtol=1e-12,
        ftol=1e-12,
        gtol=1e-12,
    ).x
    return Constants(slope=float(first if known else np.exp(fitted[1])), shift=float(fitted[0]))


def estimate_constants(
    pre: Calibrated, post: Calibrated, *, items: Sequence[str], method: Method, points: tuple[Points, ...] = STANDARD
) -> Constants | Withheld:
    """Estimate the line between two calibrations from some of their items, with standard errors.

    Parameters
    ----------
    pre, post : Calibration
        Of the same model.
    items : sequence of str
        Items both hold.
    method, points
        As `find_constants` takes them.

    Notes
    -----
    The slope is 1 with the Rasch and the partial credit model. Standard errors by the delta method: J V J' summed over
    the two calibrations (independent samples), V the covariance of the items' free parameters, J by central differences.
    They hold the sampling of persons: the calibrated populations' means are where the scales begin.

    References
    ----------
    Ogasawara, H. (2000). Asymptotic standard errors of IRT equating coefficients using moments. *Economic Review (Otaru
    University of Commerce)* 51, 1-23.
    """
    slope = 1.0 if pre.model in ONE_SLOPE else None
    sides = [pre.curves.take(items), post.curves.take(items)]

    def solve(curves: list[Curves]) -> Constants | Withheld:
        return find_constants(curves[0], curves[1], method=method, slope=slope, points=points)

    found = solve(sides)
    if isinstance(found, Withheld):
        return found
    variance = np.zeros((2, 2))
    for side, calibration in enumerate((pre, post)):
        places = list_parameters(calibration, items)
        names = list(places)
        ends = []
        for place, step in ((place, step) for place in places.values() for step in (BUMP, -BUMP)):
            end = solve([_bump(curves, place, step) if at == side else curves for at, curves in enumerate(sides)])
            ends.append([np.nan, np.nan] if isinstance(end, Withheld) else [end.slope, end.shift])
        turns = np.reshape(ends, (len(names), 2, 2))
        jacobian = (turns[:, 0] - turns[:, 1]) / (2 * BUMP)
        variance += jacobian.T @ calibration.covariance.loc[names, names].to_numpy(dtype=float) @ jacobian
    errors = [float(np.sqrt(one)) if np.isfinite(one) else None for one in variance.diagonal()]
    return replace(found, slope_se=errors[0] if slope is None else 0.0, shift_se=errors[1])


def locate(curves: Curves) -> Floats:
    """Return each item's location (J,): the mean of its steps; infinite or null where a slope is zero."""
    steps = np.where(np.isnan(curves.intercepts), 0.0, curves.difficulties)
    location: Floats = steps.sum(axis=1) / curves.highest
    return location


def list_parameters(calibration: Calibrated, items: Collection[str]) -> dict[str, tuple[str, int]]:
    """Return the free parameters of some items: name in the covariance → item and step, 0 for a slope."""
    wanted, found = set(items), {}
    for name in map(str, calibration.covariance.index):
        part, _, item = name.partition(":")
        if part[0] in "ad" and item in wanted:
            found[name] = (item, int(part[1:] or 0))
    return found


def _compare_curves(
    pre: Curves, post: Curves, line: Sequence[float] | Floats, *, method: Method, points: tuple[Points, ...]
) -> Floats:
    """Return the weighted differences whose squares are added, for shift and log slope."""
    shift, slope = line[0], np.exp(line[1])
    pairs = [(pre, post.rescale(slope=slope, shift=shift)), (post, pre.rescale(slope=1 / slope, shift=-shift / slope))]
    differences = []
    for (own, other), at in zip(pairs, points, strict=False):
        if method == "haebara":
            gap = own.probabilities(at.theta) - other.probabilities(at.theta)
        else:
            gap = (own.expected_credit(at.theta) - other.expected_credit(at.theta)).sum(axis=0)
        differences.append((gap * np.sqrt(at.weights)).ravel())
    return np.concatenate(differences)


def _trim(curves: Curves) -> Curves:
    """Return the curves without the empty columns that other items of the form left."""
    return replace(curves, intercepts=curves.intercepts[:, : int(curves.highest.max())])


def _bump(curves: Curves, place: tuple[str, int], step: float) -> Curves:
    """Return the curves with one parameter changed."""
    item, which = place
    at = curves.item_ids.index(item)
    slopes, intercepts = curves.slopes.copy(), curves.intercepts.copy()
    if which:
        intercepts[at, which - 1] += step
    else:
        slopes[at] += step
    return replace(curves, slopes=slopes, intercepts=intercepts)
