"""Raw scores of one form as scores of the other: true-score equating, through abilities on one scale."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.linking.constants import Floats
from bgtk_lib.linking.link import Link
from bgtk_lib.scoring.scale import Scale

CONVERSION_COLUMNS = ["raw_post", "theta", "theta_se", "points", "points_se", "raw_pre", "raw_pre_se", "note"]
FARTHEST = 60.0  # logits: curves are flat long before


def convert_scores(pre: Curves, post: Curves, *, link: Link, scale: Scale) -> pd.DataFrame:
    """Estimate which score on the pre form goes with each raw score on the post form.

    Parameters
    ----------
    pre, post : Curves
        All calibrated items of either form, each on its own scale.
    link : Link
        Made for these curves.
    scale : Scale
        Reporting points.

    Returns
    -------
    DataFrame
        `CONVERSION_COLUMNS`, one row for each raw score 0 … highest of the post form. `theta`: the ability, on the pre
        scale, whose expected post score it is; `points`: the same on the reporting scale; `raw_pre`: the expected score
        on the pre form. Standard errors are those of one person's score at that ability. `note`: ``extreme`` at the
        lowest and highest score, which have no ability and are given the pre form's lowest and highest; ``no_theta``
        where curves do not rise.

    Raises
    ------
    LinkageError
        If the link was made for other curves.

    Notes
    -----
    θ solves τ_post(θ) = x. SE(θ) = √Var(X_post | θ) / τ'_post(θ) (with one slope: 1/√information);
    SE(raw_pre) = τ'_pre(θ) · SE(θ). Items without curves count in neither raw score. Errors of the calibrations and of
    the link are not in these standard errors.

    References
    ----------
    Kolen, M. J. & Brennan, R. L. (2004). *Test Equating, Scaling, and Linking*, 2nd ed., section 6.5.

    Lord, F. M. (1980). *Applications of Item Response Theory to Practical Testing Problems*, equation 5-3.
    """
    linked = link.carry_curves(post)
    highest = int(post.highest.sum())
    theta = np.array([_find_ability(linked, score) for score in range(highest + 1)])
    known = ~np.isnan(theta)
    at = np.where(known, theta, 0.0)
    slope_post, slope_pre = _slope(linked, at), _slope(pre, at)
    order = np.arange(linked.intercepts.shape[1] + 1)[:, None]
    chances = linked.probabilities(at)
    variance = ((chances * order**2).sum(axis=1) - linked.expected_credit(at) ** 2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(known, np.sqrt(variance) / slope_post, np.nan)
    raw_pre = np.where(known, pre.expected_credit(at).sum(axis=0), np.nan)
    raw_pre[[0, -1]] = 0.0, pre.highest.sum()
    note = pd.Series(["no_theta"] * len(theta), dtype="str").mask(known)
    note.iloc[[0, -1]] = "extreme"
    return pd.DataFrame(
        {
            "raw_post": np.arange(highest + 1),
            "theta": theta,
            "theta_se": error,
            "points": scale.to_points(theta),
            "points_se": scale.points_per_unit * error,
            "raw_pre": raw_pre,
            "raw_pre_se": slope_pre * error,
            "note": note,
        },
        columns=CONVERSION_COLUMNS,
    )


def _find_ability(curves: Curves, score: int) -> float:
    """Return the ability whose expected score it is; null for the lowest and highest score."""

    def lack(theta: float) -> float:
        return float(curves.expected_credit(np.array([theta])).sum()) - score

    if not 0 < score < curves.highest.sum() or lack(-FARTHEST) >= 0 or lack(FARTHEST) <= 0:
        return np.nan
    return float(brentq(lack, -FARTHEST, FARTHEST, xtol=1e-12))


def _slope(curves: Curves, theta: Floats) -> Floats:
    """Return how fast the expected score rises, points a logit (Q,)."""
    order = np.arange(curves.intercepts.shape[1] + 1)[:, None]
    slope: Floats = (curves.slopes_of_probabilities(theta) * order).sum(axis=(0, 1))
    return slope
