"""Links by calibrating again: the new form on the anchors' known parameters, or both forms together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.instrument.irt.calibrate import Calibration, fit_items
from bgtk_lib.instrument.irt.em import Settings
from bgtk_lib.linking.anchors import estimate_linking_error
from bgtk_lib.linking.constants import ONE_SLOPE
from bgtk_lib.linking.link import Link, LinkMethod
from bgtk_lib.words import say

SETTINGS = Settings()


def fix_anchors(
    link: Link, pre: Calibration, credit_post: pd.DataFrame, *, settings: Settings = SETTINGS
) -> tuple[Link, Calibration]:
    """Link by calibrating the post form with the kept anchors fixed at their pre parameters.

    Parameters
    ----------
    link : Link
        By the same anchors, from separate calibrations: it says which are kept.
    pre : Calibration
        Of the pre form.
    credit_post : DataFrame
        Persons × items of the post form, as `fit_items` takes it.
    settings : Settings
        Of the calibration.

    Returns
    -------
    Link, Calibration
        The link with the line that the fixed calibration implies, and that calibration, which is on the pre scale.
        Standard errors of the line are not known: the anchors' own errors do not enter a calibration that takes them as
        known. Drift, linking error with all anchors and verdict are those of the separate calibrations.

    Notes
    -----
    The post population has mean 0 (and with free slopes SD 1) on its own scale, and the estimated ones here:
    slope = σ (1 with one slope), shift = μ.
    """
    known = pre.curves.take(link.kept)
    calibration = fit_items(credit_post, model=pre.model, fixed=known, settings=settings)
    return _relink(link, calibration, calibration.groups.iloc[0], method="fixed_anchor"), calibration


def calibrate_together(
    link: Link, credit_pre: pd.DataFrame, credit_post: pd.DataFrame, *, settings: Settings = SETTINGS
) -> tuple[Link, Calibration]:
    """Link by calibrating both forms at once, two groups of persons, the kept anchors the same items in both.

    Parameters
    ----------
    link : Link
        By the same anchors, from separate calibrations: it says which are kept.
    credit_pre, credit_post : DataFrame
        Persons × items of either form, as `fit_items` takes it.
    settings : Settings
        Of the calibration.

    Returns
    -------
    Link, Calibration
        The link with the line that the joint calibration implies, and that calibration. In it, items that stand in both
        forms without being kept anchors are two items, the later one named ``ITEM@FORM``. A person who sat both forms
        counts as two, so that the standard error of the shift is too large where scores of a person go together.

    Notes
    -----
    slope = σ_post / σ_pre (1 with one slope), shift = μ_post; the pre group sets the scale.
    """
    own = {
        item: f"{item}@{link.form_post}" for item in set(credit_pre.columns) & set(credit_post.columns) - set(link.kept)
    }
    stacked = pd.concat([credit_pre, credit_post.rename(columns=own)], ignore_index=True)
    sizes = [len(credit_pre), len(credit_post)]
    groups = pd.Series(
        pd.Categorical(np.repeat(["pre", "post"], sizes), categories=["pre", "post"]), index=stacked.index
    )
    calibration = fit_items(stacked, model=link.model, groups=groups, settings=settings)  # type: ignore[arg-type]
    post = calibration.groups[calibration.groups["group"] == "post"]
    return _relink(link, calibration, post.iloc[0], method="concurrent"), calibration


def _relink(link: Link, calibration: Calibration, post: pd.Series[Any], *, method: LinkMethod) -> Link:
    """Return the link with the line on which the post population lies in a calibration of the pre scale."""
    one = link.model in ONE_SLOPE
    slope, shift = 1.0 if one else float(post["sd"]), float(post["mean"])
    anchors = link.anchors.assign(
        b_post=slope * (link.anchors["b_post"] - link.shift) / link.slope + shift,
        b_post_se=slope * link.anchors["b_post_se"] / link.slope,
    )
    moves = (anchors["b_post"] - anchors["b_pre"])[anchors["item_id"].isin(link.kept)].to_numpy()
    joint = method == "concurrent"
    made = replace(
        link,
        method=method,
        slope=slope,
        shift=shift,
        slope_se=0.0 if one else _read_error(post["sd_se"]) if joint else None,
        shift_se=_read_error(post["mean_se"]) if joint else None,
        linking_error=estimate_linking_error(moves),
        anchors=anchors,
    )
    if calibration.converged:
        return made
    return replace(made, verdict="not_yet", reasons=(say("linking.not_yet.converged"), *link.reasons))


def _read_error(error: float) -> float | None:
    return float(error) if np.isfinite(error) else None
