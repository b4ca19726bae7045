"""Change on a linked scale: every draw of plausible values estimated, and the draws and the link put into one interval."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bgtk_lib.change.estimate import DISTRICT_COLUMNS, Change, estimate_by_district, estimate_change
from bgtk_lib.errors import LinkageError
from bgtk_lib.findings import Withheld
from bgtk_lib.scoring.combine import Combined, combine_draws
from bgtk_lib.words import say

COMBINED = ("mean", "se", "df", "low", "high", "t", "p", "g_av", "g_av_se", "g_av_low", "g_av_high", "retest_r")


def estimate_over_draws(pairs: pd.DataFrame, draws: pd.DataFrame, **how: Any) -> Change | Withheld:
    """Estimate the mean change of everyone who sat both waves, measurement and linking error in its interval.

    Parameters
    ----------
    pairs : DataFrame
        As in `estimate_change`, with pid; on a linked scale also `linking_error` (points, the same in every row) and
        `n_anchors`, those that make the link.
    draws : DataFrame
        pid, draw, score_pre, score_post on the reporting scale; empty where the scores are points of one form, whose
        change is then estimated from them.
    **how
        As in `estimate_change`: cluster, confidence, cluster_reason.

    Returns
    -------
    Change or Withheld

    Raises
    ------
    LinkageError
        If a pair has no draws.

    Notes
    -----
    T = Ū + (1 + 1/m)B + e²: the mean of the draws' squared CR2 errors, their disagreement, and the linking error e, which
    all persons share. Degrees of freedom by Barnard & Rubin for the first two, then Welch & Satterthwaite with L − 1 for
    the third, L anchors. `g_av` likewise, e in standard deviations. `retest_r` is the mean over the draws: free of
    measurement error. What is not estimated with error (means, standard deviations) is the mean over the draws.

    References
    ----------
    Rubin, D. B. (1987). *Multiple imputation for nonresponse in surveys*. Wiley, equations 3.1.4-3.1.6.
    """
    if draws.empty:
        return estimate_change(pairs, **how)
    found = []
    for _, drawn in _lay_draws(pairs, draws):
        one = estimate_change(drawn, **how)
        if isinstance(one, Withheld):
            return one
        found.append(one)
    first, confidence = found[0], found[0].confidence
    error, freedom = _read_link(pairs)
    spread = float(np.mean([np.sqrt((one.sd_pre**2 + one.sd_post**2) / 2) for one in found]))
    mean = _combine([one.mean for one in found], [one.se for one in found], first.df, confidence)
    size = _combine([one.g_av for one in found], [one.g_av_se for one in found], first.df, confidence)
    if isinstance(mean, Withheld) or isinstance(size, Withheld):
        return mean if isinstance(mean, Withheld) else size  # type: ignore[return-value]
    se, df, low, high = _add_link(mean, error, freedom, confidence=confidence)
    g_se, _, g_low, g_high = _add_link(size, error / spread, freedom, confidence=confidence)
    averaged: dict[str, Any] = {
        one.name: float(np.mean([getattr(change, one.name) for change in found]))
        for one in fields(Change)
        if one.name not in COMBINED and one.type == "float" and one.name != "confidence"
    }
    correlations = [change.retest_r for change in found if not isinstance(change.retest_r, Withheld)]
    t = mean.estimate / se
    return replace(
        first,
        **averaged,
        mean=mean.estimate,
        se=se,
        df=df,
        low=low,
        high=high,
        t=t,
        p=float(2 * stats.t.sf(abs(t), df)),
        g_av=size.estimate,
        g_av_se=g_se,
        g_av_low=g_low,
        g_av_high=g_high,
        retest_r=float(np.mean(correlations)) if len(correlations) == len(found) else first.retest_r,
    )


def estimate_districts_over_draws(
    pairs: pd.DataFrame, draws: pd.DataFrame, *, conditioned: pd.DataFrame, **how: Any
) -> pd.DataFrame:
    """Estimate the mean change of each district on a linked scale; as `estimate_by_district` without draws.

    Parameters
    ----------
    pairs, draws
        As in `estimate_over_draws`.
    conditioned : DataFrame
        grouping, level, state: which districts the plausible values know of. A district that is not ``kept`` has no
        interval, its `note` is ``not_conditioned``: a group left out of the conditioning gets a change it did not have.
    **how
        cluster and confidence.
    """
    if draws.empty:
        return estimate_by_district(pairs, **how)
    tables = [estimate_by_district(drawn, **how) for _, drawn in _lay_draws(pairs, draws)]
    error, freedom = _read_link(pairs)
    known = conditioned[(conditioned["grouping"] == "district") & (conditioned["state"] == "kept")]["level"].tolist()
    rows = []
    for place in range(len(tables[0])):
        same = [table.iloc[place] for table in tables]
        row = {name: same[0][name] for name in ("district", "n_pairs", "note")}
        row |= {name: float(np.mean([one[name] for one in same])) for name in ("mean_pre", "mean_post", "mean")}
        told = _combine([one["mean"] for one in same], [one["se"] for one in same], same[0]["df"], how["confidence"])
        if pd.notna(row["district"]) and row["district"] not in known:
            row["note"] = "not_conditioned"
        elif not isinstance(told, Withheld):
            se, df, low, high = _add_link(told, error, freedom, confidence=how["confidence"])
            row |= {"se": se, "df": df, "low": low, "high": high}
        rows.append(row)
    return pd.DataFrame(rows, columns=DISTRICT_COLUMNS).astype({"note": "str"})


def take_one_draw(pairs: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Return pairs with the scores of the first draw: what a distribution is drawn from; the pairs themselves without draws."""
    return pairs if draws.empty else _lay_draws(pairs, draws)[0][1]


def _lay_draws(pairs: pd.DataFrame, draws: pd.DataFrame) -> list[tuple[int, pd.DataFrame]]:
    """Return the pairs once a draw, with that draw's scores."""
    base = pairs.drop(columns=["score_pre", "score_post"])
    found = []
    for draw, rows in draws.groupby("draw"):
        both = rows.dropna(subset=["score_pre", "score_post"])[["pid", "score_pre", "score_post"]]
        one = base.merge(both, on="pid", how="left", validate="one_to_one")
        missing = int(one["score_pre"].isna().sum())
        if missing:
            raise LinkageError(say("change.no_draws", n=missing, rows=len(one)))
        found.append((int(str(draw)), one))
    return found


def _read_link(pairs: pd.DataFrame) -> tuple[float, float]:
    """Return the linking error in points, and its degrees of freedom."""
    return float(pairs["linking_error"].iloc[0]), max(float(pairs["n_anchors"].iloc[0]) - 1, 1.0)


def _combine(estimates: list[Any], errors: list[Any], df: float, confidence: float) -> Combined | Withheld:
    variances = [float(error) ** 2 for error in errors]
    return combine_draws(estimates, variances, complete_df=float(df), confidence=confidence)


def _add_link(told: Combined, error: float, freedom: float, *, confidence: float) -> tuple[float, float, float, float]:
    """Return standard error, degrees of freedom and interval with the linking error in them."""
    variance = told.se**2 + error**2
    below = (told.se**4 / told.df if np.isfinite(told.df) else 0.0) + error**4 / freedom
    df = variance**2 / below if below > 0 else np.inf
    half = float(stats.t.isf((1 - confidence) / 2, df)) * float(np.sqrt(variance))
    return float(np.sqrt(variance)), float(df), told.estimate - half, told.estimate + half
