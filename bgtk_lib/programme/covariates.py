"""What was known of persons before a programme, laid out for balance, weights and regression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from bgtk_lib.change.clusters import Codes, Floats
from bgtk_lib.change.drawn import Drawn
from bgtk_lib.change.strata import take_scores

PRETEST = "points_pre"
NUMBERS = ("age", "experience")
KINDS = ("sex", "jenjang", "status", "district")
UNKNOWN = "unknown"


def standardise_pretest(frame: pd.DataFrame) -> Floats:
    """Return the observed first score of everyone in standard deviations of those who sat the same form.

    Parameters
    ----------
    frame : DataFrame
        points_pre, no nulls; form_pre where there are several forms.

    Notes
    -----
    Always the points that were seen, never plausible values of them: who was picked by a score was picked by its error
    too, and only the score itself holds that error. On a form where all have the same score everyone is 0.

    Examples
    --------
    >>> standardise_pretest(pd.DataFrame({"points_pre": [1, 2, 3]})).tolist()
    [-1.0, 0.0, 1.0]
    """
    return _standardise(take_scores(frame, PRETEST)[:, None], _read_form(frame, "form_pre"))[:, 0]


def standardise_forms(drawn: Drawn) -> Drawn:
    """Return scores in standard deviations of their own form and wave: for forms that nothing links.

    A change cannot be had from them, but groups that sat the same forms can be compared on each.
    """
    pre = _standardise(drawn.pre, _read_form(drawn.frame, "form_pre"))
    return replace(drawn, pre=pre, post=_standardise(drawn.post, _read_form(drawn.frame, "form_post")))


def code_strata(frame: pd.DataFrame, by: str = "district") -> Codes:
    """Return a code for each stratum and form sat first; an unknown stratum is one of its own.

    Forms are crossed in because a score in standard deviations of its form stands for the same only within a form.
    """
    keys = [pd.Series(_read_form(frame, name), index=frame.index, name=name) for name in (by, "form_pre")]
    return frame.groupby(keys, dropna=False).ngroup().to_numpy().astype(np.intp)


def lay_covariates(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what is compared between groups as numbers: one column a number, one an indicator for each level of a kind.

    Parameters
    ----------
    frame : DataFrame
        points_pre, and where there are any age, experience (years), sex, jenjang, status, district.

    Returns
    -------
    DataFrame
        Columns (column, level), level empty for a number. What does not vary is left out. A missing number has the mean
        and an indicator ``unknown``; a missing kind is the level ``unknown``.

    Examples
    --------
    >>> frame = pd.DataFrame({"points_pre": [1, 2, 3], "sex": ["L", "P", None], "jenjang": "SMA"})
    >>> list(lay_covariates(frame))
    [('points_pre', ''), ('sex', 'L'), ('sex', 'P'), ('sex', 'unknown')]
    """
    laid: dict[tuple[str, str], Floats] = {(PRETEST, ""): standardise_pretest(frame)}
    for name in (name for name in NUMBERS if name in frame):
        values = frame[name].astype("float64")
        laid[name, ""] = np.asarray(values.fillna(values.mean()), dtype=np.float64)
        laid[name, UNKNOWN] = values.isna().to_numpy().astype(float)
    for name in (name for name in KINDS if name in frame):
        levels = frame[name].astype("str").fillna(UNKNOWN)
        laid |= {(name, level): (levels == level).to_numpy().astype(float) for level in sorted(levels.unique())}
    varying = {key: column for key, column in laid.items() if len(column) and np.ptp(column) > 0}
    columns = pd.MultiIndex.from_tuples(list(varying), names=["column", "level"])
    return pd.DataFrame(np.column_stack([*varying.values(), np.empty((len(frame), 0))]), columns=columns)


def _read_form(frame: pd.DataFrame, name: str) -> Codes:
    return pd.factorize(frame[name])[0] if name in frame else np.zeros(len(frame), dtype=np.intp)


def _standardise(scores: Floats, form: Codes) -> Floats:
    """Return columns of scores, each in standard deviations (n − 1) of those of the same form."""
    table = pd.DataFrame(scores)
    by_form = table.groupby(form)
    spread = by_form.transform("std").replace(0.0, np.nan)
    return ((table - by_form.transform("mean")) / spread).fillna(0.0).to_numpy(dtype=float)
