"""What a report on change says in numbers: findings as figures with stable names, flows, densities."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from bgtk_lib.change.estimate import Change
from bgtk_lib.change.leavers import LeaverGap
from bgtk_lib.change.strata import StratifiedMean
from bgtk_lib.findings import Figure, Flow, FlowStep, Withheld
from bgtk_lib.words import plain, say

# What measuring rests on, and what comparing two waves rests on beside it.
MEASURING = ("D01", "D02", "D04", "D05", "D06", "D07", "D10", "D12", "E08", "I01", "P07")
COMPARING = (*MEASURING, "C01", "C03", "C05", "C06", "C09")
PLACING = (*COMPARING, "D08")
FEWEST_DF = 3  # below, a t interval of cluster means says next to nothing, and its coverage is not known


def list_change(change: Change | Withheld, *, n_unpaired: int) -> list[Figure]:
    """Return a change as figures: `change.*`, `pairs.n`, `retest.r`; the whole is withheld where it has no interval.

    Parameters
    ----------
    change : Change or Withheld
        As `estimate_change` returns it.
    n_unpaired : int
        Persons who sat one wave only; printed beside the pairs.
    """
    everyone = say("population.pairs")
    if isinstance(change, Withheld):
        return [Figure(name="change.mean", value=change, unit="points", n=0, population=everyone, status="planned")]
    n = change.n_pairs
    shared = {"n": n, "population": everyone}
    compared = {**shared, "gates": COMPARING}
    interval = {"low": change.low, "high": change.high, "se": change.se}
    standardised = {"low": change.g_av_low, "high": change.g_av_high, "se": change.g_av_se}
    return [
        Figure(name="change.mean", value=change.mean, unit="points", status="planned", **interval, **compared),
        Figure(name="change.g_av", value=change.g_av, unit="sd", status="planned", **standardised, **compared),
        Figure(name="change.t", value=change.t, unit="t", **compared),
        Figure(name="change.df", value=change.df, unit="df", **compared),
        Figure(name="change.p", value=change.p, unit="p", **compared),
        Figure(name="change.d_z", value=change.d_z, unit="sd", **compared),
        Figure(name="retest.r", value=change.retest_r, unit="r", **compared),
        Figure(name="change.mean_pre", value=change.mean_pre, unit="points", gates=MEASURING, **shared),
        Figure(name="change.mean_post", value=change.mean_post, unit="points", gates=MEASURING, **shared),
        Figure(name="change.sd_pre", value=change.sd_pre, unit="points", gates=MEASURING, **shared),
        Figure(name="change.sd_post", value=change.sd_post, unit="points", gates=MEASURING, **shared),
        Figure(name="pairs.n", value=n, unit="persons", **shared),
        Figure(name="unpaired.n", value=n_unpaired, unit="persons", n=n_unpaired, population=say("population.unpaired")),
        Figure(name="clusters.n", value=change.n_clusters, unit="clusters", **shared),
        Figure(name="clusters.effective", value=change.n_clusters_effective, unit="clusters", **shared),
    ]


def list_districts(table: pd.DataFrame) -> list[Figure]:
    """Return the change of each district as figures `change.mean` with `where` = its code.

    Parameters
    ----------
    table : DataFrame
        As `estimate_by_district` returns it; the row without a district is left out.
    """
    figures = []
    for row in table.dropna(subset="district").itertuples():
        code = str(row.district)
        unsure = pd.isna(row.se) or row.df < FEWEST_DF
        value = Withheld(say("withheld.few_clusters")) if unsure else float(row.mean)
        bounds = {} if unsure else {"low": float(row.low), "high": float(row.high), "se": float(row.se)}
        figures.append(
            Figure(
                name="change.mean",
                where={"district": code},
                value=value,
                unit="points",
                n=int(row.n_pairs),
                population=say("population.pairs_in", district=plain(code)),
                status="exploratory",
                gates=PLACING,
                **bounds,
            )
        )
    return figures


def list_leavers(gap: LeaverGap | Withheld, n_leavers: int) -> list[Figure]:
    """Return who left beside who stayed: `leavers.n`, `leavers.mean_pre`, `stayers.mean_pre`, `leavers.g`."""
    left = say("population.leavers")
    figures = [Figure(name="leavers.n", value=n_leavers, unit="persons", n=n_leavers, population=left)]
    if isinstance(gap, Withheld):
        return [*figures, Figure(name="leavers.g", value=gap, unit="sd", n=n_leavers, population=left)]
    return [
        *figures,
        Figure(name="stayers.mean_pre", value=gap.mean_stayers, unit="points", n=gap.n_stayers, population=say("population.pairs"), gates=MEASURING),
        Figure(name="leavers.mean_pre", value=gap.mean_leavers, unit="points", n=gap.n_leavers, population=left, gates=MEASURING),
        Figure(name="leavers.g", value=gap.g, low=gap.low, high=gap.high, unit="sd", n=gap.n_leavers, population=left, gates=MEASURING),
    ]


def list_sensitivity(change: Change | Withheld, adjusted: StratifiedMean | Withheld, plain_person: Change | Withheld, n: int) -> list[Figure]:
    """Return the headline beside other ways of computing it: `sensitivity.<way>`.

    Parameters
    ----------
    change : Change or Withheld
        Complete pairs, the headline.
    adjusted : StratifiedMean or Withheld
        With those who left, if their second score depends on the first only (`adjust_for_leavers`).
    plain_person : Change or Withheld
        By districts as clusters, the wider claim.
    n : int
        Persons behind the adjusted one: all who sat the first wave.
    """
    ways = {
        "complete": (change, "mean", getattr(change, "n_pairs", 0), "population.pairs"),
        "leavers_regressed": (adjusted, "estimate", n, "population.first_wave"),
        "district_clusters": (plain_person, "mean", getattr(plain_person, "n_pairs", 0), "population.pairs"),
    }
    figures = []
    for name, (found, field, persons, who) in ways.items():
        shared = {"name": f"sensitivity.{name}", "unit": "points", "n": persons, "population": say(who), "gates": COMPARING}
        if isinstance(found, Withheld):
            figures.append(Figure(value=found, **shared))
        else:
            figures.append(Figure(value=getattr(found, field), low=found.low, high=found.high, se=found.se, status="exploratory", **shared))
    if not isinstance(change, Withheld):
        practice = 0.25 * change.mean / change.g_av if change.g_av else 0.0
        bounds = {"low": change.low - practice, "high": change.high - practice, "se": change.se}
        figures.append(Figure(name="sensitivity.practice", value=change.mean - practice, unit="points", n=change.n_pairs,
                              population=say("population.pairs"), gates=COMPARING, status="exploratory", **bounds))
    return figures


def list_reliability(reliability: pd.DataFrame, items: pd.DataFrame, scope: dict[str, list[str]]) -> list[Figure]:
    """Return the reliability of each form and wave, and the items whose correlation with the rest is 0 or less.

    Parameters
    ----------
    reliability : DataFrame
        wave, assessment, form, alpha, alpha_low, alpha_high, n_persons.
    items : DataFrame
        wave, assessment, form, item_id, item_rest_r, r_low, r_high, n.
    scope : dict
        ``assessment`` and ``wave`` that the report selects.
    """
    figures = []
    for row in _within(reliability, scope).itertuples():
        where = {"wave": row.wave, "form": row.form}
        value = Withheld(say("scoring.totals_only")) if pd.isna(row.alpha) else float(row.alpha)
        bounds = {} if pd.isna(row.alpha) else {"low": float(row.alpha_low), "high": float(row.alpha_high)}
        figures.append(Figure(name="reliability.alpha", where=where, value=value, unit="alpha", n=int(row.n_persons), population=say("population.sat"), **bounds))
    for row in _within(items, scope).itertuples():
        if pd.notna(row.item_rest_r) and row.item_rest_r <= 0:
            where = {"wave": row.wave, "form": row.form}
            figures.append(Figure(name=f"item.{row.item_id}.item_rest_r", where=where, value=float(row.item_rest_r), low=float(row.r_low), high=float(row.r_high), unit="r", n=int(row.n), population=say("population.sat")))
    return figures


def _within(frame: pd.DataFrame, scope: dict[str, list[str]]) -> pd.DataFrame:
    for name in ("assessment", "wave"):
        if name in scope and name in frame:
            frame = frame[frame[name].isin(scope[name])]
    return frame


def estimate_density(pairs: pd.DataFrame, *, points: int = 121) -> pd.DataFrame:
    """Return smooth densities of the scores of both waves: no mark stands for a person.

    Parameters
    ----------
    pairs : DataFrame
        score_pre, score_post, points_max.
    points : int
        Points of the grid from 0 to the maximum.

    Returns
    -------
    DataFrame
        wave (``pre``, ``post``), x, density, mean, n; empty where a wave does not vary.

    Notes
    -----
    Gaussian kernel, Scott's bandwidth, reflected at 0 and the maximum so that no density lies outside the scale.
    """
    highest = float(pairs["points_max"].max()) if len(pairs) and pairs["points_max"].notna().any() else float(pairs["score_post"].max() if len(pairs) else 0)
    parts = []
    for wave in ("pre", "post"):
        scores = pairs[f"score_{wave}"].to_numpy(dtype=float)
        if len(scores) < 2 or scores.std() == 0 or not highest:
            return pd.DataFrame(columns=["wave", "x", "density", "mean", "n"])
        grid = np.linspace(0, highest, points)
        kernel = stats.gaussian_kde(scores)
        density = kernel(grid) + kernel(-grid) + kernel(2 * highest - grid)
        parts.append(pd.DataFrame({"wave": wave, "x": grid, "density": density, "mean": scores.mean(), "n": len(scores)}))
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
    as_counts = lambda counts: {str(reason): int(n) for reason, n in counts.items()}  # noqa: E731
    return Flow((
        FlowStep(state="received", n=len(session)),
        FlowStep(state="valid", n=len(valid), set_aside=int(refused.sum()), reasons=as_counts(refused)),
        FlowStep(state="scored", n=scored, set_aside=int(lost.sum()), reasons=as_counts(lost)),
        FlowStep(state="paired", n=n_pairs, set_aside=n_unpaired, reasons={"only_pre": n_unpaired} if n_unpaired else {}),
    ))
