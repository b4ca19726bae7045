"""The distribution before and after: its tenth, fiftieth and ninetieth percentile and its width. Never persons.

A percentile that rose says that the distribution rose there: whoever stands at it afterwards is not who stood at it before.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bgtk_lib.change.clusters import Floats
from bgtk_lib.change.drawn import Drawn, combine_means
from bgtk_lib.change.strata import ClusterBy
from bgtk_lib.findings import COMPARING, Figure, Status, Withheld
from bgtk_lib.words import say

QUANTILES = (0.1, 0.5, 0.9)
QUANTILE_COLUMNS = ["statistic", "when", "scores", "value", "se", "df", "low", "high", "note"]


def estimate_quantiles(
    drawn: Drawn,
    *,
    tail: int = 10,
    reliability: tuple[float, float] | None = None,
    cluster: ClusterBy = "school",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Estimate percentiles and width of the distribution before and after, and how each changed.

    Parameters
    ----------
    drawn : Drawn
        The persons who sat both waves.
    tail : int
        Persons that lie beyond a percentile, at least.
    reliability : (float, float), optional
        Of points before and after: their widths are those of true scores, observed ones times its root. Draws need none.
    cluster, confidence
        As in `combine_means`.

    Returns
    -------
    DataFrame
        `QUANTILE_COLUMNS`: statistic (``p10``, ``p50``, ``p90``, ``p90_p10``, ``sd``) by when (``pre``, ``post``,
        ``change``). `scores` says of which: ``true``, or ``observed`` with measurement error in them. Numbers are null where
        `note` says why: ``few_in_tail``, ``no_variation`` or ``no_reliability``.

    Notes
    -----
    Each draw: a person's influence on the standard deviation s is [(y − ȳ)² − s²] / 2s. On a percentile q of observed scores,
    of order p, it is (p − 1[y ≤ q]) / f(q) (Bahadur), f a Gaussian kernel density with Scott's bandwidth. Plausible values
    come from a normal model, of which they know mean and spread: as ȳ + zs, z where their percentile lies, a percentile's
    influence is (y − ȳ) + z[(y − ȳ)² − s²] / 2s. Bahadur's, which holds for any shape, made intervals of a percentile's
    change half too wide there (bench/headline.py). Influences of both waves are subtracted person by person and go through
    `combine_means`, so that clusters, pairing and draws count. The link's shift moves every later percentile, and its slope
    stretches them from the mean, and every width. A score in whole points stands for half a point on either side, so that
    percentiles do not jump: 1[y ≤ q] is then the part of that point below q. That p90 − p10 of true scores is narrower by
    the same root as their standard deviation assumes the same shape.

    References
    ----------
    Bahadur, R. R. (1966). A note on quantiles in large samples. *Annals of Mathematical Statistics* 37(3), 577-580.

    Examples
    --------
    >>> from bgtk_lib.change.drawn import lay_draws
    >>> scores = np.arange(101.0)
    >>> pairs = pd.DataFrame({"score_pre": scores, "score_post": scores + 7, "district": None, "npsn": None})
    >>> told = estimate_quantiles(lay_draws(pairs, pd.DataFrame()), cluster="none").set_index(["statistic", "when"])
    >>> told.loc[[("p10", "pre"), ("p10", "post")], "value"].round(6).tolist()
    [10.0, 17.0]
    """
    half = 0.5 if drawn.unit == "points" else 0.0
    before, after = (_influence(scores, half) for scores in (drawn.pre, drawn.post))
    shrink = np.sqrt(reliability) if drawn.unit == "points" and reliability is not None else np.ones(2)
    estimate = partial(combine_means, drawn, cluster=cluster, confidence=confidence)
    rows: list[dict[str, Any]] = []
    for name in ("p10", "p50", "p90", "p90_p10", "sd"):
        width, rare = name in ("p90_p10", "sd"), name not in ("p50", "sd")
        parts: dict[str, Floats] = {}
        note = "few_in_tail" if (0.1 if rare else 0.5) * drawn.n < tail else None
        if width and drawn.unit == "points" and reliability is None:
            note = "no_reliability"
        elif not (before and after):
            note = note or "no_variation"
        elif note is None:
            scale = shrink if width else np.ones(2)
            parts = {"pre": scale[0] * before[name], "post": scale[1] * after[name]}
            parts["change"] = parts["post"] - parts["pre"]
        for when in ("pre", "post", "change"):
            true = drawn.unit == "scale" or (width and reliability is not None)
            row = {"statistic": name, "when": when, "scores": "true" if true else "observed", "note": note}
            if parts:
                distance = float(parts["post"].mean()) - (0.0 if width else float(drawn.post.mean()))
                linked = 0.0 if when == "pre" else drawn.weigh_link(shift=0 if width else 1, distance=distance)
                told = estimate(parts[when], linked=linked)
                row |= _as_row(told, float(parts[when].mean()))
            rows.append(row)
    return pd.DataFrame(rows, columns=QUANTILE_COLUMNS).astype({"note": "str"})


def _influence(scores: Floats, half: float) -> dict[str, Floats]:
    """Return each person's value of every statistic, whose mean is that statistic; n × m, nothing where nothing varies."""
    if len(scores) == 0 or np.ptp(scores, axis=0).min() == 0:
        return {}
    mean, sd, distance = scores.mean(axis=0), scores.std(axis=0, ddof=1), (scores - scores.mean(axis=0)) ** 2
    widths = sd + (distance - distance.mean(axis=0)) / (2 * sd)
    values = {"sd": widths}
    spread = np.column_stack([_spread_ties(column, half) for column in scores.T]) if half else scores
    for order in QUANTILES:
        at = np.quantile(spread, order, axis=0)
        if scores.shape[1] > 1:
            values[f"p{100 * order:.0f}"] = scores + (at.mean() - mean.mean()) / sd.mean() * widths
        else:
            below = np.clip((at - scores) / (2 * half) + 0.5, 0, 1) if half else (scores <= at).astype(float)
            density = stats.gaussian_kde(scores[:, 0])(at)
            values[f"p{100 * order:.0f}"] = at - (below - below.mean()) / density
    return values | {"p90_p10": values["p90"] - values["p10"]}


def _spread_ties(column: Floats, half: float) -> Floats:
    """Return scores with those that are equal laid evenly over half a point on either side.

    Examples
    --------
    >>> _spread_ties(np.array([3.0, 5.0, 3.0]), 0.5).tolist()
    [2.75, 5.0, 3.25]
    """
    ties = pd.Series(column).groupby(column)
    place = (ties.cumcount() + 0.5) / ties.transform("size") - 0.5
    return column + 2 * half * place.to_numpy(dtype=float)


def _as_row(told: Any, value: float) -> dict[str, Any]:
    if isinstance(told, Withheld):  # one school, or everyone moved alike
        return {"value": value, "note": "no_variation"}
    return {"value": told.estimate, "se": told.se, "df": told.df, "low": told.low, "high": told.high}


def list_quantiles(table: pd.DataFrame, *, n: int, status: Status = "descriptive") -> list[Figure]:
    """Return the distribution as figures: `quantile.<statistic>_<when>`; withheld where it has no interval.

    Parameters
    ----------
    table : DataFrame
        As `estimate_quantiles` returns it.
    n : int
        Persons.
    status : {"planned", "exploratory", "descriptive"}
        Whether the analysis plan names them.
    """
    figure = partial(Figure, unit="points", n=n, status=status, gates=(*COMPARING, "C12"))
    figures = []
    for row in table.to_dict("records"):
        population = say(f"quantile.population.{row['scores']}")
        told = partial(figure, name=f"quantile.{row['statistic']}_{row['when']}", population=population)
        if pd.notna(row["note"]):
            figures.append(told(value=Withheld(say(f"quantile.withheld.{row['note']}"))))
        else:
            figures.append(told(value=row["value"], low=row["low"], high=row["high"], se=row["se"]))
    return figures
