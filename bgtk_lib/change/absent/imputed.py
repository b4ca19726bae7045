"""The mean change of everyone who sat first, the second scores of those who left filled in many times over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.change.absent.weighting import GROUPS, lay_design, span
from bgtk_lib.change.clusters import NOTHING, Codes, Floats, code_clusters
from bgtk_lib.change.estimate import Change, estimate_change
from bgtk_lib.change.strata import take_scores
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

N_DRAWS = 20
FEWEST_DF = 5  # of a variance component: with fewer, its posterior has next to no end


@dataclass(frozen=True, kw_only=True, eq=False)
class Completed:
    """Everyone of the first wave with both scores.

    Attributes
    ----------
    frame : DataFrame
        Stayers, then leavers, in the columns of the pairs.
    draws : DataFrame
        pid, draw, score_pre, score_post of everybody; empty where nobody left and scores are points of one form.
    n_left : int
        Persons whose second score is filled in.
    n_draws : int
        How many times it is; 20 are wanted, and a figure says how many there were.
    """

    frame: pd.DataFrame
    draws: pd.DataFrame
    n_left: int
    n_draws: int


@dataclass(frozen=True, kw_only=True)
class SplitVariance:
    """Sums of squares around a regression, within and between schools.

    Attributes
    ----------
    within, between : float
        Sums of squares.
    df_within, df_between : float
        Their degrees of freedom.
    size : float
        Persons a school, as they count: E[between] = df_between·(σ²_e + size·σ²_u), E[within] = df_within·σ²_e.
    """

    within: float
    between: float
    df_within: int
    df_between: int
    size: float

    def draw(self, rng: np.random.Generator) -> tuple[float, float]:
        """Return σ²_e and σ²_u from their posterior: scaled inverse χ² of either mean square, and what it leaves over 0.

        With fewer than 5 degrees of freedom on either side, or nothing within, there is no school effect, and σ²_e is of
        the whole.
        """
        if min(self.df_within, self.df_between) < FEWEST_DF or self.within <= NOTHING * self.between:
            return (self.within + self.between) / rng.chisquare(self.df_within + self.df_between), 0.0
        within = self.within / rng.chisquare(self.df_within)
        between = (self.between / rng.chisquare(self.df_between) - within) / self.size
        return within, max(between, 0.0)


def complete_pairs(
    pairs: pd.DataFrame, leavers: pd.DataFrame, *, draws: pd.DataFrame, imputed: pd.DataFrame, rng: np.random.Generator
) -> Completed | Withheld:
    """Return everyone of the first wave with both scores, drawn where they were not measured.

    Parameters
    ----------
    pairs : DataFrame
        Those who stayed, as `estimate_change` takes them, with pid.
    leavers : DataFrame
        Those without a second score, as `impute_second` takes them, with pid; may be empty.
    draws, imputed : DataFrame
        pid, draw, score_pre, score_post of the pairs and of the leavers, from one joint model; others' rows are ignored.
        Where the scores are points of one form both are empty, and `impute_second` fills in.
    rng : Generator
        Source of randomness; used for points of one form only.

    Returns
    -------
    Completed or Withheld
        Withheld without pairs, where a leaver has no imputed values, or as `impute_second` withholds.
    """
    if leavers.empty:
        number = 1 if draws.empty else draws["draw"].nunique()
        return Completed(frame=pairs, draws=draws, n_left=0, n_draws=number)
    if draws.empty:
        second = impute_second(pairs, leavers, rng=rng)
        if isinstance(second, Withheld):
            return second
        pairs = pairs.assign(linking_error=0.0, n_anchors=0, n_link=0)
        filled = _tabulate(pairs, leavers, second)
    else:
        known, left = (
            table[table["pid"].isin(rows["pid"])].dropna(subset=["score_pre", "score_post"])
            for table, rows in ((draws, pairs), (imputed, leavers))
        )
        if pairs.empty or not leavers["pid"].isin(left["pid"]).all():
            return Withheld(say("imputed.no_values"))
        pairs = pairs.assign(n_link=0)  # see `estimate_completed`
        filled = pd.concat([known, left], ignore_index=True)
    frame = pd.concat([pairs, leavers.reindex(columns=pairs.columns)], ignore_index=True)
    return Completed(frame=frame, draws=filled, n_left=len(leavers), n_draws=filled["draw"].nunique())


def estimate_completed(completed: Completed | Withheld, **how: Any) -> Change | Withheld:
    """Estimate the mean change of everyone who sat the first wave, as `estimate_change` does of those who stayed.

    Parameters
    ----------
    completed : Completed or Withheld
        As `complete_pairs` returns it; a Withheld is handed on.
    **how
        As in `estimate_change`: cluster, confidence, cluster_reason.

    Returns
    -------
    Change or Withheld
        `n_pairs` is everyone.

    Notes
    -----
    Once a draw, then combined by Rubin's rules (`drawn.combine`); g_av likewise. The draws differ by the filling-in beside
    the measuring, and the two cannot be told apart: all of B is kept beside the link's error, none counted as shared with
    it, which errs on the wide side. It is right if, given what the filling-in
    knows of a person (first answers or score, groups, school), staying away has nothing to do with the second score.

    References
    ----------
    Rubin, D. B. (1987). *Multiple imputation for nonresponse in surveys*. Wiley, equations 3.1.4-3.1.6.
    """
    if isinstance(completed, Withheld):
        return completed
    return estimate_change(completed.frame, completed.draws, **how)


def impute_second(
    pairs: pd.DataFrame, leavers: pd.DataFrame, *, rng: np.random.Generator, n_draws: int = N_DRAWS
) -> Floats | Withheld:
    """Draw the second scores of those who left, given their first score, groups and school (points of one form).

    Parameters
    ----------
    pairs : DataFrame
        score_pre, score_post, npsn, and those of district, jenjang, sex and status that are known.
    leavers : DataFrame
        points_pre, npsn and the same groups.
    rng : Generator
        Source of randomness.
    n_draws : int
        Times.

    Returns
    -------
    array of leavers × n_draws, or Withheld
        Not cut at the ends of the form: a mean needs them as they are. Withheld with too few stayers for the regression, or
        where their first scores do not vary.

    Raises
    ------
    LinkageError
        If a score is null.

    Notes
    -----
    post = x′β + u_school + e among the stayers, x being a constant, the first score and a dummy a level of the groups
    (those with fewer than 5 stayers are put together). Proper imputation: each draw takes σ²_e and σ²_u from
    `SplitVariance`, β from its normal posterior by generalised least squares given these, every school's u given β, and
    then e. Residual sums of squares are split by fitting schools after x (Henderson's method III): within schools
    E = df·σ²_e; between, df·σ²_e + [n − Σ_j |Σ_{i∈j} z_i|²/n] σ²_u with z the columns of x made orthogonal, of mean square 1.

    References
    ----------
    Rubin, D. B. (1987). *Multiple imputation for nonresponse in surveys*. Wiley, chapter 5.

    Searle, S. R., Casella, G. & McCulloch, C. E. (1992). *Variance Components*. Wiley, chapter 5.

    Examples
    --------
    Second scores are exactly the first and two, so there is nothing to draw.

    >>> place = {"district": None, "npsn": None}
    >>> stayers = pd.DataFrame({"score_pre": range(9), "score_post": range(2, 11), **place})
    >>> leavers = pd.DataFrame({"points_pre": [4, 7], **place})
    >>> impute_second(stayers, leavers, rng=np.random.default_rng(1), n_draws=1).round(6).tolist()
    [[6.0], [9.0]]
    """
    first, second = take_scores(pairs, "score_pre"), take_scores(pairs, "score_post")
    n = len(first)
    if n < 3 or np.ptp(first) == 0:
        return Withheld(say("statistics.no_line", n=n))
    groups = [name for name in GROUPS if name in pairs and name in leavers]
    both = pd.concat([pairs[[*groups, "npsn"]], leavers[[*groups, "npsn"]]], ignore_index=True)
    points = np.concatenate([first, take_scores(leavers, "points_pre")])
    stays = np.arange(len(both)) < n
    design = span(lay_design(points, both[groups], within=[stays]), over=stays)
    if n - design.shape[1] < FEWEST_DF:
        return Withheld(say("statistics.no_line", n=n))
    schools = code_clusters(both["npsn"], len(both))
    split = split_variance(second, design[:n], schools[:n])
    return np.column_stack([_draw_second(second, design, schools, split=split, rng=rng) for _ in range(n_draws)])


def split_variance(y: Floats, Z: Floats, schools: Codes) -> SplitVariance:
    """Return the residual sums of squares of y on the columns of `span`, within and between schools."""
    inside_y, inside_Z = y - _average(y, schools)[schools], Z - _average(Z, schools)[schools]
    coef, _, rank, _ = np.linalg.lstsq(inside_Z, inside_y, rcond=NOTHING)
    within = float(((inside_y - inside_Z @ coef) ** 2).sum())
    whole = float(((y - Z @ (Z.T @ y) / len(y)) ** 2).sum())
    used = np.unique(schools)
    df_within = len(y) - len(used) - int(rank)
    df_between = len(y) - Z.shape[1] - df_within
    counts = np.bincount(schools)
    overlap = float(((counts[:, None] * _average(Z, schools)) ** 2).sum() / len(y))
    return SplitVariance(
        within=within,
        between=max(whole - within, 0.0),
        df_within=df_within,
        df_between=df_between,
        size=(len(y) - overlap) / df_between if df_between else 0.0,
    )


def _draw_second(
    y: Floats, design: Floats, schools: Codes, *, split: SplitVariance, rng: np.random.Generator
) -> Floats:
    """Return one draw of the second scores of the rows behind those of y; see `impute_second`."""
    n, Z, here = len(y), design[: len(y)], schools[: len(y)]
    counts = np.bincount(here, minlength=schools.max() + 1)
    within, between = split.draw(rng)
    pooled = within + counts * between
    less = (1 - np.sqrt(np.divide(within, pooled, out=np.ones_like(pooled), where=pooled > 0)))[here]
    gls_y, gls_Z = y - less * _average(y, here)[here], Z - less[:, None] * _average(Z, here)[here]
    root = np.linalg.cholesky(gls_Z.T @ gls_Z)
    middle = np.linalg.solve(root, gls_Z.T @ gls_y)
    coef = np.linalg.solve(root.T, middle + np.sqrt(within) * rng.normal(size=len(root)))
    effects = np.zeros(len(counts))
    if between > 0:
        sums = np.bincount(here, y - Z @ coef, minlength=len(counts))
        effects = between * sums / pooled + np.sqrt(between * within / pooled) * rng.normal(size=len(counts))
    noise = np.sqrt(within) * rng.normal(size=len(design) - n)
    return np.asarray(design[n:] @ coef + effects[schools[n:]] + noise, dtype=float)


def _average(values: Floats, codes: Codes) -> Floats:
    """Return means by code, 0 where a code has no row."""
    counts = np.maximum(np.bincount(codes), 1)
    if values.ndim == 1:
        return np.bincount(codes, values) / counts
    return np.column_stack([np.bincount(codes, column) for column in values.T]) / counts[:, None]


def _tabulate(pairs: pd.DataFrame, leavers: pd.DataFrame, second: Floats) -> pd.DataFrame:
    """Return the draws of everyone: pid, draw, score_pre, score_post."""
    pids = np.concatenate([pairs["pid"], leavers["pid"]])
    first = np.concatenate([pairs["score_pre"], leavers["points_pre"]]).astype(float)
    measured = pairs["score_post"].to_numpy(dtype=float)
    tables = [
        pd.DataFrame({"pid": pids, "draw": at, "score_pre": first, "score_post": np.concatenate([measured, column])})
        for at, column in enumerate(second.T, start=1)
    ]
    return pd.concat(tables, ignore_index=True)
