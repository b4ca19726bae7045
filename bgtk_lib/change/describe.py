"""What a report on change says in numbers: findings as figures with stable names, flows, densities."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from bgtk_lib.change.absent.leavers import LeaverGap
from bgtk_lib.change.drawn import lay_draws
from bgtk_lib.change.estimate import Change
from bgtk_lib.findings import COMPARING, MEASURING, PLACING, Figure, Flow, FlowStep, Withheld
from bgtk_lib.words import plain, say

PRACTICE_SD = 0.25  # what sitting the same form again may add, at most (Hausknecht et al. 2007)
FEWEST_DF = 3  # below, a t interval of cluster means says next to nothing, and its coverage is not known


def list_change(change: Change | Withheld, pairs: pd.DataFrame) -> list[Figure]:
    """Return a change as figures: `change.*`, `pairs.n`, `retest.r`; the whole is withheld where it has no interval.

    Parameters
    ----------
    change : Change or Withheld
        As `estimate_change` returns it.
    pairs : DataFrame
        The pairs behind it; their `points_max` is the end of the scale.
    """
    everyone = say("population.pairs")
    if isinstance(change, Withheld):
        count = Figure(name="pairs.n", value=len(pairs), unit="persons", n=len(pairs), population=everyone)
        return [Figure(name="change.mean", value=change, unit="points", n=len(pairs), population=everyone), count]
    figure = partial(Figure, n=change.n_pairs, population=everyone)
    compared, measured = partial(figure, gates=COMPARING), partial(figure, gates=MEASURING)
    points = {"low": change.low, "high": change.high, "se": change.se}
    standardised = {"low": change.g_av_low, "high": change.g_av_high, "se": change.g_av_se}
    return [
        compared(name="change.mean", value=change.mean, unit="points", **points),
        compared(name="change.g_av", value=change.g_av, unit="sd", **standardised),
        compared(name="change.t", value=change.t, unit="t"),
        compared(name="change.df", value=change.df, unit="df"),
        compared(name="change.p", value=change.p, unit="p"),
        compared(name="change.d_z", value=change.d_z, unit="sd"),
        compared(name="retest.r", value=change.retest_r, unit="r"),
        measured(name="change.mean_pre", value=change.mean_pre, unit="points"),
        measured(name="change.mean_post", value=change.mean_post, unit="points"),
        measured(name="change.sd_pre", value=change.sd_pre, unit="points"),
        measured(name="change.sd_post", value=change.sd_post, unit="points"),
        *_list_scale(pairs, figure),
        figure(name="pairs.n", value=change.n_pairs, unit="persons"),
        figure(name="clusters.n", value=change.n_clusters, unit="clusters"),
        figure(name="clusters.effective", value=change.n_clusters_effective, unit="clusters"),
        *([correct_practice(change)] if _is_same_form(pairs) else []),
    ]


def _is_same_form(pairs: pd.DataFrame) -> bool:
    """Whether the very items came again; where no form is named, they did."""
    return "form_pre" not in pairs or bool((pairs["form_pre"] == pairs["form_post"]).all())


def _list_scale(pairs: pd.DataFrame, figure: Callable[..., Figure]) -> list[Figure]:
    """Return the end of the form's own scale, or what linking two forms adds to the error on the reporting scale."""
    if "unit" in pairs and pairs["unit"].eq("scale").any():
        if _is_same_form(pairs):
            return []
        return [figure(name="link.linking_error_points", value=float(pairs["linking_error"].iloc[0]), unit="points")]
    return [figure(name="scale.max", value=float(pairs["points_max"].max()), unit="points")]


def list_districts(table: pd.DataFrame) -> list[Figure]:
    """Return the change of each district as figures `change.mean` with `where` = its code.

    Parameters
    ----------
    table : DataFrame
        As `estimate_by_district` returns it; the row without a district is left out.
    """
    figures = []
    for row in table.dropna(subset="district").to_dict("records"):
        code = str(row["district"])
        figure = partial(
            Figure,
            name="change.mean",
            where={"district": code},
            unit="points",
            n=int(row["n_pairs"]),
            population=say("population.pairs_in", district=plain(code)),
            status="exploratory",
            gates=PLACING,
        )
        if row["note"] == "not_conditioned":
            figures.append(figure(value=Withheld(say("withheld.not_conditioned"))))
        elif pd.isna(row["se"]) or row["df"] < FEWEST_DF:
            figures.append(figure(value=Withheld(say("withheld.few_clusters"))))
        else:
            figures.append(figure(value=row["mean"], low=row["low"], high=row["high"], se=row["se"]))
    return figures


def list_leavers(gap: LeaverGap | Withheld, *, n_leavers: int, n_joiners: int) -> list[Figure]:
    """Return who left beside who stayed: `leavers.n`, `leavers.mean_pre`, `stayers.mean_pre`, `leavers.g`, `joiners.n`.

    Parameters
    ----------
    gap : LeaverGap or Withheld
        As `compare_leavers` returns it.
    n_leavers, n_joiners : int
        Persons scored at the first wave only, and at the second only.
    """
    figure = partial(Figure, n=n_leavers, population=say("population.leavers"))
    joined = say("population.joiners")
    counts = [
        figure(name="leavers.n", value=n_leavers, unit="persons"),
        Figure(name="joiners.n", value=n_joiners, unit="persons", n=n_joiners, population=joined),
    ]
    if isinstance(gap, Withheld):
        return [*counts, figure(name="leavers.g", value=gap, unit="sd")]
    stayed = Figure(
        name="stayers.mean_pre",
        value=gap.mean_stayers,
        unit="points",
        n=gap.n_stayers,
        population=say("population.pairs"),
        gates=MEASURING,
    )
    return [
        *counts,
        stayed,
        figure(name="leavers.mean_pre", value=gap.mean_leavers, unit="points", gates=MEASURING),
        figure(name="leavers.g", value=gap.g, low=gap.low, high=gap.high, unit="sd", gates=MEASURING),
    ]


def correct_practice(change: Change) -> Figure:
    """Return the change less what sitting the same form again may have added: `sensitivity.practice`."""
    practice = PRACTICE_SD * math.sqrt((change.sd_pre**2 + change.sd_post**2) / 2)
    return Figure(
        name="sensitivity.practice",
        value=change.mean - practice,
        low=change.low - practice,
        high=change.high - practice,
        se=change.se,
        unit="points",
        n=change.n_pairs,
        population=say("population.pairs"),
        status="exploratory",
        gates=COMPARING,
    )


def list_reliability(
    reliability: pd.DataFrame, items: pd.DataFrame, scope: dict[str, list[str]], *, few: bool
) -> list[Figure]:
    """Return the reliability of each form and wave, and the items whose correlation with the rest is 0 or less.

    Parameters
    ----------
    reliability : DataFrame
        wave, assessment, form, alpha, alpha_low, alpha_high, n_persons.
    items : DataFrame
        wave, assessment, form, item_id, item_rest_r, r_low, r_high, n.
    scope : dict
        ``assessment`` and ``wave`` that the report selects.
    few : bool
        Whether so few left or joined that a wave's own n would give them away; it is not said then.
    """
    figure = partial(Figure, population=say("population.sat"))
    figures = []
    for row in _within(reliability, scope).to_dict("records"):
        where, n = {"wave": row["wave"], "form": row["form"]}, int(row["n_persons"])
        told = partial(figure, name="reliability.alpha", where=where, unit="alpha", n=n, tells_n=not few)
        if pd.isna(row["alpha"]):
            figures.append(told(value=Withheld(say("reliability.none"))))
        else:
            figures.append(told(value=row["alpha"], low=row["alpha_low"], high=row["alpha_high"]))
    for row in _within(items, scope).to_dict("records"):
        if pd.notna(row["item_rest_r"]) and row["item_rest_r"] <= 0:
            name = f"item.{row['item_id']}.item_rest_r"
            where = {"wave": row["wave"], "form": row["form"]}
            bounds = {"low": row["r_low"], "high": row["r_high"]}
            figures.append(
                figure(name=name, where=where, value=row["item_rest_r"], unit="r", n=int(row["n"]), **bounds)
            )
    return figures


def _within(frame: pd.DataFrame, scope: dict[str, list[str]]) -> pd.DataFrame:
    for name in ("assessment", "wave"):
        if name in scope and name in frame:
            frame = frame[frame[name].isin(scope[name])]
    return frame


def place_means(grid: pd.DataFrame, change: Change | Withheld) -> pd.DataFrame:
    """Return densities with the means of the estimate: one draw, from which a curve is drawn, has means of its own."""
    if isinstance(change, Withheld):
        return grid
    return grid.assign(mean=grid["wave"].map({"pre": change.mean_pre, "post": change.mean_post}).astype(float))


def estimate_density(
    pairs: pd.DataFrame, draws: pd.DataFrame | None = None, *, tail: int, points: int = 61
) -> pd.DataFrame:
    """Return smooth densities of the scores of both waves: no mark stands for a person, and no end shows one.

    Parameters
    ----------
    pairs, draws
        As in `estimate_change`; of the draws the first is shown.
    tail : int
        Persons that lie beyond either end of each curve, at least: the lowest and highest scores are not drawn.
    points : int
        Points of each curve.

    Returns
    -------
    DataFrame
        wave (``pre``, ``post``), x, density, mean, n; empty where a wave does not vary or has too few persons.

    Notes
    -----
    Gaussian kernel with one and a half times Scott's bandwidth, reflected at 0 and the maximum so that no density lies
    outside the scale (the reporting scale has no ends), rounded to a hundredth of the peak: what single persons add cannot be read back from the curve.
    """
    empty = pd.DataFrame(columns=["wave", "x", "density", "mean", "n"])
    drawn = lay_draws(pairs, pd.DataFrame() if draws is None else draws)
    bounded = drawn.unit == "points"
    if (bounded and pairs["points_max"].isna().any()) or len(pairs) < 2 * tail:
        return empty
    highest = float(pairs["points_max"].max()) if bounded else np.inf
    parts = []
    for wave, sides in (("pre", drawn.pre), ("post", drawn.post)):
        scores = np.sort(sides[:, 0])
        if scores[0] == scores[-1]:
            return empty
        grid = np.linspace(scores[tail], scores[-tail - 1], points)
        kernel = stats.gaussian_kde(scores, bw_method=lambda kde: 1.5 * kde.scotts_factor())
        density = kernel(grid) + (kernel(-grid) + kernel(2 * highest - grid) if bounded else 0.0)
        density = np.round(density / density.max(), 2) * float(f"{density.max():.2g}")
        curve = {"wave": wave, "x": grid, "density": density, "mean": scores.mean(), "n": len(scores)}
        parts.append(pd.DataFrame(curve))
    return pd.concat(parts, ignore_index=True)


def count_flow(session: pd.DataFrame, unscorable: pd.DataFrame, *, n_pairs: int, n_unpaired: int) -> Flow:
    """Return the flow of the first wave: received → valid → scored → paired.

    Parameters
    ----------
    session : DataFrame
        The sittings received of the first wave: session_id and the reason why the checks set one aside, null where not.
    unscorable : DataFrame
        session_id, reason of those without a score.
    n_pairs, n_unpaired : int
        Persons scored at both waves, and at the first only.
    """
    refused = session["reason"].dropna().value_counts()
    valid = session[session["reason"].isna()]
    lost = unscorable[unscorable["session_id"].isin(valid["session_id"])]["reason"].value_counts()
    scored = len(valid) - int(lost.sum())
    return Flow(
        (
            FlowStep(state="received", n=len(session)),
            FlowStep(state="valid", n=len(valid), set_aside=int(refused.sum()), reasons=_as_counts(refused)),
            FlowStep(state="scored", n=scored, set_aside=int(lost.sum()), reasons=_as_counts(lost)),
            FlowStep(
                state="paired", n=n_pairs, set_aside=n_unpaired, reasons={"only_pre": n_unpaired} if n_unpaired else {}
            ),
        )
    )


def _as_counts(counts: pd.Series[int]) -> dict[str, int]:
    return {str(reason): int(n) for reason, n in counts.items()}
