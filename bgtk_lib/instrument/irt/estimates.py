"""Tables of a calibration: every estimate beside its standard error, difficulties by the delta method."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bgtk_lib.instrument.irt.blocks import Blocks
from bgtk_lib.instrument.irt.curves import Curves, Floats
from bgtk_lib.instrument.irt.em import RUNAWAY
from bgtk_lib.instrument.irt.parameters import LEAST_SPREAD, Flags, Free, Parameters, Places

STEEP = 6.0  # logits: over one standard deviation of ability the chance of success goes from 5 to 95 %
NEGLIGIBLE = 1e-9  # eigenvalue of the scaled information below which a direction is not informed at all
Z = 1.959963984540054

ITEM_COLUMNS = ["item_id", "n", "highest", "a", "a_se", "b", "b_se", "fixed", "note"]
STEP_COLUMNS = ["item_id", "step", "d", "d_se", "b", "b_se"]
GROUP_COLUMNS = ["group", "n", "mean", "mean_se", "sd", "sd_se", "note"]


def invert_information(information: Floats | None, n_parameters: int) -> Floats:
    """Return the covariance of the free parameters; null for those that the data do not inform about."""
    if information is None:
        return np.full((n_parameters, n_parameters), np.nan)
    diagonal = np.diag(information)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(information * scale[:, None] * scale)
    informed = values > NEGLIGIBLE
    covariance = (vectors[:, informed] / values[informed]) @ vectors[:, informed].T * scale[:, None] * scale
    unknown = (vectors[:, ~informed] ** 2).sum(axis=1) > 1e-6
    covariance[unknown] = np.nan
    covariance[:, unknown] = np.nan
    return np.asarray(covariance)


def describe_steps(curves: Curves, free: Free, covariance: Floats) -> tuple[pd.DataFrame, Floats, Floats]:
    """Return the table of steps, and the location of every item with its standard error.

    Adjacent categories: b_k = −(d_k − d_{k−1})/a; graded: b_k = −d_k/a. The location is their mean.
    """
    n_items, n_steps = curves.intercepts.shape
    parts = free.place()[0]
    difficulties = curves.difficulties
    d_errors, b_errors = np.full((2, n_items, n_steps), np.nan)
    location, location_errors = np.full((2, n_items), np.nan)
    for j in range(n_items):
        highest = curves.highest[j]
        at = parts[j, : highest + 1]
        inside = np.zeros((highest + 1, highest + 1))
        kept = at >= 0
        inside[np.ix_(kept, kept)] = covariance[np.ix_(at[kept], at[kept])]
        per_d = np.eye(highest)
        if not curves.graded[j]:
            per_d -= np.eye(highest, k=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = np.column_stack([-difficulties[j, :highest], -per_d]) / curves.slopes[j]
        slopes = np.vstack([slopes, slopes.mean(axis=0)])
        location[j] = difficulties[j, :highest].mean()
        if kept.any():
            errors = np.sqrt(np.einsum("sp,pr,sr->s", slopes, inside, slopes))
            b_errors[j, :highest], location_errors[j] = errors[:-1], errors[-1]
            d_errors[j, :highest] = np.sqrt(np.diag(inside)[1:])
    item, step = np.nonzero(~np.isnan(curves.intercepts))
    table = pd.DataFrame(
        {
            "item_id": np.array(curves.item_ids, dtype=object)[item],
            "step": step + 1,
            "d": curves.intercepts[item, step],
            "d_se": d_errors[item, step],
            "b": difficulties[item, step],
            "b_se": b_errors[item, step],
        },
        columns=STEP_COLUMNS,
    )
    return table.astype({"item_id": "str"}), location, location_errors


def describe_groups(values: Parameters, free: Free, covariance: Floats, *, blocks: Blocks) -> pd.DataFrame:
    """Return the table of groups."""
    errors = take_errors(covariance, free.place()[1])
    return pd.DataFrame(
        {
            "group": list(blocks.group_names),
            "n": blocks.group_sizes,
            "mean": values.means,
            "mean_se": errors[:, 0],
            "sd": values.sds,
            "sd_se": errors[:, 1],
            "note": pd.Series([_remark_spread(sd) for sd in values.sds], dtype="str"),
        },
        columns=GROUP_COLUMNS,
    )


def _remark_spread(sd: float) -> str | None:
    if sd <= LEAST_SPREAD:
        return "no_spread"
    return "runaway_spread" if sd > RUNAWAY else None


def take_errors(covariance: Floats, places: Places) -> Floats:
    """Return the standard errors of the parameters at some places, null where the place is −1."""
    variances = np.append(np.diag(covariance), np.nan)
    errors: Floats = np.sqrt(variances[places])
    return errors


def remark_slopes(slopes: Floats, errors: Floats, estimated: Flags) -> list[str | None]:
    """Return what is odd about each slope, None if nothing is."""
    known = ~np.isnan(errors)
    with np.errstate(invalid="ignore"):
        remarks = np.select(
            [
                np.abs(slopes) > RUNAWAY,
                ~estimated,
                ~known & known.any(),
                np.abs(slopes) <= Z * errors,
                slopes < 0,
                slopes > STEEP,
            ],
            ["runaway_slope", "", "no_information", "flat_slope", "negative_slope", "steep_slope"],
            default="",
        )
    return [remark or None for remark in remarks.tolist()]
