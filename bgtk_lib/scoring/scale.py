"""The scale abilities are told on: 500 is the baseline's mean, 100 its standard deviation, fixed once an assessment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.scoring.plausible import PlausibleValues
from bgtk_lib.scoring.sittings import Floats
from bgtk_lib.words import say
from bgtk_lib.workspace.store import hash_content

CENTRE, SPREAD = 500.0, 100.0


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A reporting scale, frozen from the baseline.

    Attributes
    ----------
    mean, sd : float
        Of ability at the baseline.
    assessment : str
        Its code: scales of two assessments have nothing to do with each other.
    fingerprint : str
        SHA-256 of these and of the plausible values they come from.
    """

    mean: float
    sd: float
    assessment: str
    fingerprint: str

    @property
    def points_per_unit(self) -> float:
        """Points a unit of ability: what differences and standard errors are multiplied by."""
        return SPREAD / self.sd

    def to_points(self, theta: ArrayLike) -> Floats:
        """Return abilities in points: 500 + 100·(θ − mean)/sd; nulls stay null.

        Examples
        --------
        >>> Scale(mean=0.2, sd=0.5, assessment="MAT", fingerprint="").to_points([0.2, 0.7, -0.3]).tolist()
        [500.0, 600.0, 400.0]
        """
        points: Floats = CENTRE + (np.asarray(theta, dtype=float) - self.mean) * self.points_per_unit
        return points

    def to_ability(self, points: ArrayLike) -> Floats:
        """Return points as abilities."""
        theta: Floats = self.mean + (np.asarray(points, dtype=float) - CENTRE) / self.points_per_unit
        return theta


def freeze_scale(plausible: PlausibleValues, *, wave: str, assessment: str) -> Scale | Withheld:
    """Return the scale on which everybody who sat a wave has mean 500 and standard deviation 100.

    Parameters
    ----------
    plausible : PlausibleValues
        Of that wave at least; its ability distribution is the regression's, not that of guesses of persons.
    wave : str
        The baseline.
    assessment : str
        Its code.

    Returns
    -------
    Scale or Withheld
        Withheld where the wave is not among them.
    """
    waves = plausible.population.waves
    here = waves[waves["wave"] == wave]
    if here.empty:
        return Withheld(say("scoring.no_baseline", wave=wave))
    mean, sd = float(here["mean"].iloc[0]), float(here["sd"].iloc[0])
    mark = hash_content([mean, sd, assessment, wave, plausible.population.fingerprint])
    return Scale(mean=mean, sd=sd, assessment=assessment, fingerprint=mark)


def find_sem(scale: Scale, curves: Curves, points: ArrayLike) -> Floats:
    """Return the conditional standard error of measurement, in points, of ability estimated from a form alone.

    Parameters
    ----------
    scale : Scale
        Of the assessment.
    curves : Curves
        Of the form's items, on the scale's abilities.
    points : array
        Where.

    Notes
    -----
    1/√I(θ) in points; null where the form tells nothing.

    Examples
    --------
    Four Rasch items at their difficulty inform by ¼ each: SEM 1 logit.

    >>> items = Curves(
    ...     item_ids=tuple("abcd"), slopes=np.ones(4), intercepts=np.zeros((4, 1)), graded=np.zeros(4, dtype=bool)
    ... )
    >>> find_sem(Scale(mean=0.0, sd=1.0, assessment="MAT", fingerprint=""), items, [500.0]).tolist()
    [100.0]
    """
    information = curves.information(scale.to_ability(np.atleast_1d(points))).sum(axis=0)
    sem: Floats = scale.points_per_unit / np.sqrt(np.where(information > 0, information, np.nan))
    return sem


def count_items_more(scale: Scale, curves: Curves, change: ArrayLike) -> Floats:
    """Return how many more points of a form's raw score a change is worth, for persons at the baseline's mean.

    Parameters
    ----------
    scale : Scale
        Of the assessment.
    curves : Curves
        Of the form's items; right-or-wrong items make it a number of items.
    change : array
        In points of the scale.

    Examples
    --------
    Ten items at the mean: from 5 expected right to 10·logit⁻¹(0.5) = 6.22.

    >>> items = Curves(
    ...     item_ids=tuple("abcdefghij"),
    ...     slopes=np.ones(10),
    ...     intercepts=np.zeros((10, 1)),
    ...     graded=np.zeros(10, dtype=bool),
    ... )
    >>> scale = Scale(mean=0.0, sd=1.0, assessment="MAT", fingerprint="")
    >>> count_items_more(scale, items, [0, 50]).round(2).tolist()
    [0.0, 1.22]
    """
    steps = np.atleast_1d(np.asarray(change, dtype=float))
    expected = curves.expected_credit(scale.to_ability(np.concatenate([[CENTRE], CENTRE + steps]))).sum(axis=0)
    more: Floats = expected[1:] - expected[0]
    return more
