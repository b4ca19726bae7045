"""Calibrate items: their slopes and steps, and the groups' means and spreads, by marginal maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from bgtk_lib.errors import ParameterError
from bgtk_lib.instrument.irt.blocks import Blocks
from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.instrument.irt.design import check_known, check_links, check_model, judge_items, set_start
from bgtk_lib.instrument.irt.em import Settings, Top, find_top
from bgtk_lib.instrument.irt.estep import prepare
from bgtk_lib.instrument.irt.estimates import (
    ITEM_COLUMNS,
    describe_groups,
    describe_steps,
    invert_information,
    remark_slopes,
    take_errors,
)
from bgtk_lib.instrument.irt.threads import share_rows
from bgtk_lib.words import plain, say

__all__ = ["Calibration", "Model", "Settings", "fit_items"]

Model: TypeAlias = Literal["rasch", "2pl", "pcm", "gpcm", "grm"]
USUAL = Settings()


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """Items and groups on one scale.

    Attributes
    ----------
    model : {"rasch", "2pl", "pcm", "gpcm", "grm"}
    curves : Curves
        Of the items that could be calibrated, or were known.
    items : DataFrame
        One row an item of the data, in its order. `n`: persons presented. `highest`: category. `a`, `b`: slope and
        location (the mean of the steps' difficulties), in logits and in units of ability; `a_se` and `b_se`, null where
        not estimated. `fixed`: parameters known beforehand. `note`: null, or why the item is not calibrated
        (see `design.judge_items`), or what is odd about it: ``runaway_slope`` (the likelihood rises with the slope
        without end; it was stopped beyond 50), ``no_information`` (the data do not determine it), ``negative_slope``,
        ``flat_slope`` (the 95 % interval of the slope holds zero), ``steep_slope`` (above 6). No slope is bounded.
    steps : DataFrame
        `item_id`, `step`, `d`, `d_se`, `b`, `b_se`.
    groups : DataFrame
        `group`, `n`, `mean`, `mean_se`, `sd`, `sd_se`, `note`; errors are null where the value is set, not estimated.
        `note`: ``no_spread`` (the likelihood is highest with no spread of ability at all), ``runaway_spread`` (it rises
        with the spread without end; the calibration has not converged), else null.
    covariance : DataFrame
        Of the free parameters ``a:ITEM``, ``d1:ITEM`` …, ``mean:GROUP``, ``sd:GROUP``; null where not determined, and
        throughout with ``Settings(errors="none")``.
    loglik : float
        Marginal log-likelihood, natural logs.
    n_parameters, n_persons : int
        Free parameters; persons with at least one answer to a calibrated item.
    n_iterations : int
        E-steps.
    converged : bool
    """

    model: Model
    curves: Curves
    items: pd.DataFrame
    steps: pd.DataFrame
    groups: pd.DataFrame
    covariance: pd.DataFrame
    loglik: float
    n_parameters: int
    n_persons: int
    n_iterations: int
    converged: bool


def fit_items(
    credit: pd.DataFrame | Blocks,
    *,
    model: Model,
    groups: pd.Series[Any] | None = None,
    fixed: Curves | None = None,
    settings: Settings = USUAL,
) -> Calibration:
    """Estimate the items' slopes and steps, and mean and standard deviation of ability in every group.

    Parameters
    ----------
    credit : DataFrame or Blocks
        Persons × items: categories 0, 1, … m; null where not presented. `Blocks` where there are more persons than
        memory.
    model : {"rasch", "2pl", "pcm", "gpcm", "grm"}
        Rasch and partial credit: every slope is 1 and the spread of ability is free. Otherwise slopes are free and
        ability in the first group has mean 0 and standard deviation 1.
    groups : Series, optional
        Group of every person, on the index of `credit`; the first category, or else the first in sorted order, is the
        reference. `Blocks` hold their own.
    fixed : Curves, optional
        Items whose parameters are known; they are not moved, and mean and spread of every group become free.
    settings : Settings

    Returns
    -------
    Calibration
        With no usable item: without curves, and `converged` false.

    Raises
    ------
    ParameterError
        If the model is another word or has no place for a category; if none of the known items occurs; if `Blocks`, which
        hold their groups, come with `groups`.
    SchemaError
        If a value is no category, or one that a known item does not have; if a person has no group.
    LinkageError
        If a group shares no items with the rest.

    Notes
    -----
    Missing values are taken as missing by design: persons enter with the items they were presented. The marginal
    likelihood Π_i ∫ Π_j P_j(x_ij | θ) dN(θ; μ_g, σ_g²) is summed over equally spaced points and maximised by EM (Bock
    & Aitkin, 1981) with squared extrapolation (Varadhan & Roland, 2008), then by Newton's steps with the observed
    information (Louis, 1982), which also gives the standard errors. Nothing is bounded. See docs/method-irt.md.

    References
    ----------
    Bock, R. D. & Aitkin, M. (1981). Marginal maximum likelihood estimation of item parameters: application of an EM
    algorithm. *Psychometrika* 46, 443-459.

    Louis, T. A. (1982). Finding the observed information matrix when using the EM algorithm. *Journal of the Royal
    Statistical Society B* 44, 226-233.

    Examples
    --------
    Half of the persons solve either item, so both are of difficulty 0. The right answers go together more often than not.

    >>> credit = pd.DataFrame({"b1": [1, 1, 1, 1, 0, 0, 0, 0], "b2": [1, 1, 1, 0, 1, 0, 0, 0]})
    >>> found = fit_items(credit, model="rasch")
    >>> found.items[["item_id", "n", "a"]].assign(b=found.items["b"].abs().round(6))
      item_id  n    a    b
    0      b1  8  1.0  0.0
    1      b2  8  1.0  0.0
    >>> found.converged, bool(found.groups["sd"][0] > 0)
    (True, True)
    """
    if model not in get_args(Model):
        raise ParameterError(
            say("irt.unknown_model", found=plain(str(model)), allowed=plain(", ".join(get_args(Model))))
        )
    if isinstance(credit, Blocks) and groups is not None:
        raise ParameterError(say("irt.groups_twice"))
    blocks = credit if isinstance(credit, Blocks) else Blocks.from_frame(credit, groups=groups)
    known = np.array([fixed is not None and item in fixed.item_ids for item in blocks.item_ids], dtype=bool)
    check_model(model, blocks, known)
    if fixed is not None:
        check_known(fixed, blocks)
    notes = judge_items(blocks.counts, known)
    used = np.array([j for j, note in enumerate(notes) if note is None], dtype=np.intp)
    usable = blocks if len(used) == len(notes) else blocks.take(used)
    start, free = set_start(model, usable, fixed)
    if not usable.cells:
        top = Top(reached=start, free=free, loglik=0.0, information=None, n_steps=0, converged=False)
    else:
        check_links(usable, known[used])
        with share_rows(settings.threads) as pool:
            top = find_top(prepare(usable, start, free, pool), start, settings)
    return _describe(model, top, blocks=blocks, usable=usable, notes=notes)


def _describe(model: Model, top: Top, *, blocks: Blocks, usable: Blocks, notes: list[str | None]) -> Calibration:
    """Lay out the estimates."""
    found, free = top.reached, top.free
    curves = found.curves
    covariance = invert_information(top.information, len(free))
    steps, location, location_errors = describe_steps(curves, free, covariance)
    slope_errors = take_errors(covariance, free.place()[0][:, 0])
    estimated = pd.DataFrame(
        {
            "item_id": list(curves.item_ids),
            "highest": curves.highest,
            "a": curves.slopes,
            "a_se": slope_errors,
            "b": location,
            "b_se": location_errors,
            "fixed": ~free.steps.any(axis=1),
            "remark": remark_slopes(curves.slopes, slope_errors, free.slopes),
        }
    )
    items = pd.DataFrame({"item_id": list(blocks.item_ids), "n": blocks.counts.sum(axis=1), "note": notes})
    items = items.merge(estimated, on="item_id", how="left", validate="one_to_one")
    names = free.name(curves.item_ids, usable.group_names)
    return Calibration(
        model=model,
        curves=curves,
        items=items.assign(
            highest=items["highest"].astype("Int64"),
            fixed=items["fixed"].eq(other=True),
            note=items["note"].fillna(items["remark"]).astype("str"),
        )[ITEM_COLUMNS],
        steps=steps,
        groups=describe_groups(found, free, covariance, blocks=usable),
        covariance=pd.DataFrame(covariance, index=names, columns=names),
        loglik=top.loglik,
        n_parameters=len(free),
        n_persons=int(usable.group_sizes.sum()),
        n_iterations=top.n_steps,
        converged=top.converged,
    )
