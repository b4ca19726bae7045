"""The headline beside other ways of computing it: who left, who is a cluster, what sitting again may add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from bgtk_lib.change.absent.bounds import Tipping
from bgtk_lib.change.absent.imputed import complete_pairs, estimate_completed
from bgtk_lib.change.absent.leavers import adjust_for_leavers
from bgtk_lib.change.absent.weighting import weigh_stayers
from bgtk_lib.change.clusters import Contrast
from bgtk_lib.change.describe import correct_practice
from bgtk_lib.change.drawn import Drawn, combine_means, lay_draws
from bgtk_lib.change.estimate import Change, estimate_change
from bgtk_lib.change.precision.bootstrap import bootstrap_mean
from bgtk_lib.findings import COMPARING, Figure, Withheld
from bgtk_lib.instrument.sitting import LOW_EFFORT
from bgtk_lib.words import say

Told: TypeAlias = tuple[float, float, float]  # estimate, low, high
Found: TypeAlias = Change | Contrast | Told | Withheld


@dataclass(frozen=True, kw_only=True)
class Ways:
    """The same change computed in other ways, in the unit of the headline; None where a way was not taken.

    Attributes
    ----------
    ipw : Contrast or Withheld
        Everyone of the first wave, by weighting those who stayed (`weigh_stayers`).
    mi : Change or Withheld
        Everyone of the first wave, second scores filled in (`estimate_completed`).
    mi_draws : int
        How many times they were.
    leavers_regressed : Contrast or Withheld
        Everyone of the first wave, by the line of second on first scores (`adjust_for_leavers`).
    district_clusters : Contrast or Withheld
        The headline with districts as clusters; only where schools are its own.
    wild_bootstrap : tuple of estimate, low, high; or Withheld
        The headline with an interval by the wild cluster bootstrap.
    without_rapid : Change or Withheld
        Without those who answered more than a tenth too fast to have read (Wise & Kong 2005).
    """

    ipw: Contrast | Withheld | None = None
    mi: Change | Withheld | None = None
    mi_draws: int = 0
    leavers_regressed: Contrast | Withheld | None = None
    district_clusters: Contrast | Change | Withheld | None = None
    wild_bootstrap: Told | Withheld | None = None
    without_rapid: Change | Withheld | None = None


def compute_ways(
    pairs: pd.DataFrame,
    draws: pd.DataFrame,
    leavers: pd.DataFrame,
    imputed: pd.DataFrame,
    *,
    rng: np.random.Generator,
    **how: Any,
) -> Ways:
    """Estimate the same change in every other way there is.

    Parameters
    ----------
    pairs, draws : DataFrame
        As `estimate_change` takes them; where there are any with effort_pre, effort_post, own_pre, own_post.
    leavers, imputed : DataFrame
        As `complete_pairs` takes them.
    rng : Generator
        Source of randomness.
    **how
        As in `estimate_change`: cluster, confidence, cluster_reason.
    """
    plain_how = {name: how[name] for name in ("cluster", "confidence")}
    drawn = lay_draws(pairs, draws)
    alone = how["cluster"] == "none"
    wider = drawn if alone else _average_draws(drawn)
    completed = complete_pairs(pairs, leavers, draws=draws, imputed=imputed, rng=rng)
    wild = bootstrap_mean(wider, cluster="none" if alone else "district", confidence=how["confidence"], rng=rng)
    tested: Told | Withheld
    if isinstance(wild, Withheld) or isinstance(wild.interval, Withheld):
        tested = wild if isinstance(wild, Withheld) else wild.interval  # type: ignore[assignment]
    else:
        tested = (wild.estimate, *wild.interval)
    return Ways(
        ipw=weigh_stayers(drawn, leavers, **plain_how),
        mi=estimate_completed(completed, **how),
        mi_draws=0 if isinstance(completed, Withheld) else completed.n_draws,
        leavers_regressed=adjust_for_leavers(pairs, leavers, **plain_how) if drawn.unit == "points" else None,
        district_clusters=combine_means(wider, wider.gain, cluster="district", linked=1, confidence=how["confidence"])
        if how["cluster"] == "school"
        else None,
        wild_bootstrap=tested,
        without_rapid=_leave_out_rapid(pairs, draws, **how),
    )


def _average_draws(drawn: Drawn) -> Drawn:
    """Return each person's mean over the draws, for what is judged by how districts differ.

    A district's mean of draws is its estimate, with all of its error in it, measurement too; each single draw would add
    that error a second time, and make intervals half to once again too wide (bench/headline.py).
    """
    means = {side: getattr(drawn, side).mean(axis=1, keepdims=True) for side in ("pre", "post")}
    return replace(drawn, **means)


def _leave_out_rapid(pairs: pd.DataFrame, draws: pd.DataFrame, **how: Any) -> Change | Withheld | None:
    """Return the change of those whose effort was at least .90 at both sittings; None where no times are known.

    Plausible values know nothing of effort and would show the difference too small: it is taken from own scores.
    """
    effort = pairs.reindex(columns=["effort_pre", "effort_post"])
    if effort.isna().all(axis=None):
        return None
    kept = ~effort.lt(LOW_EFFORT).any(axis=1)
    rest = estimate_change(pairs[kept], draws, **how)
    if isinstance(rest, Withheld):
        return rest
    everyone = float(lay_draws(pairs, draws).gain.mean())
    own = pairs["own_post"] - pairs["own_pre"] if "own_pre" in pairs else pairs["score_post"] - pairs["score_pre"]
    shift = everyone + float(own[kept].mean() - own.mean()) - rest.mean
    return replace(rest, mean=rest.mean + shift, low=rest.low + shift, high=rest.high + shift)


def list_sensitivity(change: Change | Withheld, ways: Ways, *, n_first: int, few: bool, min_cell: int) -> list[Figure]:
    """Return the headline beside other ways of computing it: `sensitivity.<way>`, all in its unit.

    Parameters
    ----------
    change : Change or Withheld
        Complete pairs, the headline; where it is withheld nothing stands beside it.
    ways : Ways
        The others.
    n_first : int
        Persons of the first wave.
    few : bool
        Whether so few left that what rests on them would give them away: it is withheld then.
    min_cell : int
        Fewest persons that may be told apart; without rapid answers, fewer set aside than this withhold the line.
    """
    pairs, first = say("population.pairs"), say("population.first_wave")
    figure = partial(Figure, unit="points", gates=COMPARING, status="exploratory", population=pairs)
    if isinstance(change, Withheld):
        return [figure(name="sensitivity.complete", value=change, n=0)]
    stayed, everyone = partial(figure, n=change.n_pairs), partial(figure, n=n_first, population=first)
    filled = partial(everyone, population=say("population.first_wave_filled", draws=ways.mi_draws))
    lines: list[tuple[Callable[..., Figure], Found | None]] = [
        (partial(stayed, name="sensitivity.complete"), change),
        (partial(everyone, name="sensitivity.ipw"), _hide(ways.ipw, hidden=few)),
        (partial(filled, name="sensitivity.mi"), _hide(ways.mi, hidden=few)),
        (partial(everyone, name="sensitivity.leavers_regressed"), _hide(ways.leavers_regressed, hidden=few)),
    ]
    lines += [
        (partial(stayed, name="sensitivity.district_clusters"), ways.district_clusters),
        (partial(stayed, name="sensitivity.wild_bootstrap"), ways.wild_bootstrap),
    ]
    rapid = ways.without_rapid
    apart = change.n_pairs - rapid.n_pairs if isinstance(rapid, Change) else 0
    lines.append(
        (
            partial(figure, n=change.n_pairs - apart, name="sensitivity.without_rapid"),
            _hide(rapid, hidden=0 < apart < min_cell),
        )
    )
    return [*(line(**_tell(found)) for line, found in lines if found is not None), correct_practice(change)]


def list_tipping(tipping: Tipping | Withheld, *, few: bool) -> list[Figure]:
    """Return where those who left would turn the answer: `sensitivity.tipping_points`, `…_sd`, `…_estimate`.

    Parameters
    ----------
    tipping : Tipping or Withheld
        As `find_tipping` returns it.
    few : bool
        As in `list_sensitivity`.
    """
    figure = partial(Figure, gates=COMPARING, status="exploratory", population=say("population.first_wave"))
    points = partial(figure, name="sensitivity.tipping_points", unit="points")
    if few:
        return [points(value=Withheld(say("withheld.complement"), kind="complement"), n=0)]
    if isinstance(tipping, Withheld):
        return [points(value=tipping, n=0)]
    n = tipping.n_everyone
    return [
        points(value=tipping.interval, n=n),
        figure(name="sensitivity.tipping_sd", value=tipping.interval_sd, unit="sd", n=n),
        figure(name="sensitivity.tipping_estimate", value=tipping.estimate, unit="points", n=n),
    ]


def list_form_points(change: Change | Withheld) -> list[Figure]:
    """Return the same change in points of the form, `change.form_points`; another unit, so it stands beside no other.

    Parameters
    ----------
    change : Change or Withheld
        Of the same pairs, from points, where both waves sat one form.
    """
    n = 0 if isinstance(change, Withheld) else change.n_pairs
    figure = partial(Figure, name="change.form_points", unit="points", population=say("population.pairs"))
    return [figure(n=n, gates=COMPARING, status="exploratory", **_tell(change))]


def _hide(found: Found | None, *, hidden: bool) -> Found | None:
    """Return a way, or in its stead why it may not be told."""
    return Withheld(say("withheld.complement"), kind="complement") if hidden and found else found


def _tell(found: Found) -> dict[str, Any]:
    """Return value and interval as a figure takes them."""
    if isinstance(found, Withheld):
        return {"value": found}
    if isinstance(found, tuple):
        return dict(zip(("value", "low", "high"), found, strict=True))
    value = found.mean if isinstance(found, Change) else found.estimate
    return {"value": value, "low": found.low, "high": found.high, "se": found.se}
