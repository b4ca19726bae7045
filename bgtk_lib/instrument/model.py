"""The item response model of one form: fitted where the data carry one, and what it says of items and of the test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.errors import Text
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.facts import Fact, Facts
from bgtk_lib.instrument.irt.calibrate import Calibration, Model, fit_items
from bgtk_lib.instrument.irt.chance import simulate_limits
from bgtk_lib.instrument.irt.contrasts import find_contrasts
from bgtk_lib.instrument.irt.dependence import estimate_q3
from bgtk_lib.instrument.irt.fit import review_fit
from bgtk_lib.instrument.irt.item_points import group_answers, trace_items
from bgtk_lib.instrument.irt.precision import describe_precision, describe_targeting, estimate_reliability
from bgtk_lib.instrument.irt.record import fingerprint_calibration
from bgtk_lib.instrument.irt.wright_map import map_persons
from bgtk_lib.words import say

FEWEST_FOR_MODEL = 100  # persons for a Rasch scale to half a logit (Linacre)
FEWEST_PER_SLOPE = (500, 20)  # persons and items that carry free slopes
Q3_OFFSET = 0.20  # above the mean: two items go together beyond the ability they share
MOST_CONTRAST, LEAST_CORRELATION = 2.0, 0.90  # of residuals, and of the two clusters they make: one dimension
REPETITIONS = 60  # simulated forms that say what chance brings about, where one of these three is passed
GRID = np.round(np.arange(-4, 4.01, 0.2), 1)  # of curves, on the model's own scale
NO_TABLE = pd.DataFrame({"item_id": pd.Series(dtype="str")})


def calibrate(credit: pd.DataFrame, *, model: str) -> Calibration | Withheld:
    """Fit the model that the rules ask for, where the data carry one.

    Parameters
    ----------
    credit : DataFrame
        Persons × items.
    model : str
        As `Rules.model`.

    Returns
    -------
    Calibration or Withheld
        Withheld with `none`, below 100 persons, where credit is not in whole steps, or where nothing can be fitted.
    """
    points = credit.to_numpy(dtype=float, na_value=np.nan)
    known = points[~np.isnan(points)]
    n = int((~np.isnan(points)).any(axis=1).sum())
    if model == "none":
        return Withheld(say("instrument.no_model"))
    if n < FEWEST_FOR_MODEL:
        return Withheld(say("instrument.few_for_model", n=n, needed=FEWEST_FOR_MODEL))
    if (known % 1 != 0).any():
        return Withheld(say("instrument.parts_of_points"))
    chosen: Model = model if model != "auto" else "pcm" if (known > 1).any() else "rasch"  # type: ignore[assignment]
    found = fit_items(credit, model=chosen)
    return found if found.curves.item_ids else Withheld(say("instrument.nothing_to_fit"))


def tell_model(calibration: Calibration) -> list[Text]:
    """Return what must be said with a calibration: that it did not converge, or that few persons carry free slopes."""
    few_persons, few_items = FEWEST_PER_SLOPE
    notes = [] if calibration.converged else [say("instrument.not_converged", n=calibration.n_iterations)]
    thin = calibration.n_persons < few_persons or len(calibration.curves.item_ids) < few_items
    if thin and calibration.model in ("2pl", "gpcm", "grm"):
        facts = {"n": calibration.n_persons, "items": len(calibration.curves.item_ids)}
        notes.append(say("instrument.thin_slopes", persons=few_persons, least=few_items, **facts))
    return notes


def describe_model(calibration: Calibration | Withheld) -> pd.DataFrame:
    """Return the model as one row: its fingerprint and what must be said with it, or why there is none."""
    if isinstance(calibration, Withheld):
        row: dict[str, Any] = {"model": None, "fingerprint": None, "n_items": 0, "n_persons": 0}
        notes = [calibration.reason]
    else:
        row = {"model": calibration.model, "fingerprint": fingerprint_calibration(calibration)}
        row |= {"n_items": len(calibration.curves.item_ids), "n_persons": calibration.n_persons}
        notes = tell_model(calibration)
    row |= {"notes_id": "\n".join(note.id for note in notes), "notes_en": "\n".join(note.en for note in notes)}
    return pd.DataFrame([row]).astype(dict.fromkeys(("model", "fingerprint", "notes_id", "notes_en"), "str"))


def add_model(
    items: pd.DataFrame,
    credit: pd.DataFrame,
    calibration: Calibration,
    *,
    facts: Facts,
    tables: dict[str, pd.DataFrame],
) -> pd.DataFrame:
    """Add parameters and fit of the items, and note precision, targeting and dimensionality of the form."""
    curves = calibration.curves
    mean, sd = (float(calibration.groups[name].iloc[0]) for name in ("mean", "sd"))
    estimates = calibration.items[["item_id", "a", "a_se", "b", "b_se", "note"]].rename(columns={"note": "model_note"})
    fit = review_fit(credit, curves, mean=mean, sd=sd)
    squares = fit.items.drop(columns=["n", "note"])
    items = items.merge(estimates, on="item_id", how="left", validate="one_to_one")
    items = items.merge(squares, on="item_id", how="left", validate="one_to_one")
    reliability = estimate_reliability(credit, curves, mean=mean, sd=sd)
    targeting = describe_targeting(credit, curves, mean=mean)
    contrasts = find_contrasts(credit, curves)
    dependence = estimate_q3(credit, curves, mean=mean, sd=sd)
    wright = map_persons(credit, curves, mean=mean, sd=sd)
    grid = mean + max(sd, 0.5) * GRID
    told: dict[str, float | Withheld] = {
        "loglik": calibration.loglik,
        "model_parameters": float(calibration.n_parameters),
        "ability_mean": mean,
        "marginal_reliability": reliability.marginal,
        "empirical_reliability": reliability.empirical,
        "separation": reliability.separation,
        "separation_reliability": reliability.separation_reliability,
        "targeting": targeting.distance,
        "share_lowest": targeting.share_lowest,
        "share_highest": targeting.share_highest,
        "first_contrast": contrasts.first,
        "contrast_correlation": contrasts.disattenuated,
        "mean_q3": dependence.mean,
    }
    facts |= {name: Fact(value) for name, value in told.items()}
    facts["ability_sd"] = Fact(sd, se=float(calibration.groups["sd_se"].iloc[0]))
    tables |= {
        "steps": calibration.steps,
        "curves": trace_items(curves, grid=grid),
        "points": group_answers(credit, curves, mean=mean, sd=sd),
        "precision": describe_precision(curves, grid=grid),
        "density": NO_TABLE if isinstance(wright.persons, Withheld) else wright.persons,
        "dependence": dependence.pairs[dependence.pairs["q3_above_mean"] > Q3_OFFSET].head(50),
        "loadings": contrasts.loadings,
    }
    return items


def simulate_chance(
    credit: pd.DataFrame,
    calibration: Calibration,
    *,
    facts: Facts,
    tables: Mapping[str, pd.DataFrame],
    rng: np.random.Generator,
) -> Facts:
    """Return what chance alone brings about, where a fixed limit of dependence or dimensionality is passed: else nothing.

    The fixed limits suit about a thousand persons; a sound form of fewer passes them.
    """
    first, correlation = (facts[name].value for name in ("first_contrast", "contrast_correlation"))
    many = not isinstance(first, Withheld) and first > MOST_CONTRAST
    apart = not isinstance(correlation, Withheld) and correlation < LEAST_CORRELATION
    if not (many or apart or len(tables["dependence"])):
        return {}
    mean, sd = (float(calibration.groups[name].iloc[0]) for name in ("mean", "sd"))
    limits = simulate_limits(credit, calibration.curves, mean=mean, sd=sd, rng=rng, repetitions=REPETITIONS)
    found = {
        "q3_limit": limits.q3_above_mean,
        "contrast_limit": limits.first,
        "correlation_limit": limits.disattenuated,
    }
    return {name: Fact(value) for name, value in found.items()}
