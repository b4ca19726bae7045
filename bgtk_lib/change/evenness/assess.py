"""Whether districts came closer, what a test's ends do to that, and which ways of saying it are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from bgtk_lib.change.clusters import Floats
from bgtk_lib.change.drawn import Drawn
from bgtk_lib.change.evenness.quadratic import QuadraticForm, solve_rising
from bgtk_lib.change.evenness.spread import (
    KERNELS,
    DistrictMeans,
    Side,
    Spread,
    estimate_spread,
    lay_districts,
    lay_form,
)
from bgtk_lib.findings import PLACING, Figure, Gate, Status, Withheld
from bgtk_lib.words import join, say

Verdict = Literal["narrowed", "same", "widened", "undecided"]
GAP = KERNELS["post"] - KERNELS["pre"]
SIDES: tuple[Side, ...] = ("pre", "post", "change")
EQUIVALENCE = 0.90  # of the interval that must lie inside the margin
CROWDED, HEADROOM = 0.15, 0.5  # share at an end of the form; standard deviations between the mean and that end


@dataclass(frozen=True, kw_only=True)
class GapChange:
    """Whether districts came closer; change is always after less before.

    Attributes
    ----------
    change, low, high : float
        Of the standard deviation between districts, with its interval.
    inner_low, inner_high : float
        Its 90 % interval.
    variance_change, variance_low, variance_high : float
        Of the variance between districts, with its interval.
    margin : float or None
        What the analysis plan takes for no change, in the unit of the scores.
    verdict : {"narrowed", "same", "widened", "undecided"}
        ``same`` where the 90 % interval lies inside the margin, even if it leaves out 0: the plan says that so little is
        nothing. Else ``narrowed`` or ``widened`` where the interval leaves out 0, else ``undecided``.
    n, n_districts : int
        Persons and districts.
    """

    change: float
    low: float
    high: float
    inner_low: float
    inner_high: float
    variance_change: float
    variance_low: float
    variance_high: float
    margin: float | None
    verdict: Verdict
    n: int
    n_districts: int


def estimate_gap_change(
    means: DistrictMeans, *, margin: float | None = None, confidence: float = 0.95
) -> GapChange | Withheld:
    """Estimate by how much the standard deviation between districts changed, and say whether they came closer.

    Parameters
    ----------
    means : DistrictMeans
        As `lay_districts` gives them.
    margin : float, optional
        Half the width of what the analysis plan takes for no change, in the unit of the scores. Without it nothing is
        ever called ``same``.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    GapChange or Withheld
        Withheld as `estimate_spread`, at either wave.

    Notes
    -----
    x′Mx − tr(MT) with M = diag(−1, 1) ⊗ A is without bias for the change of the variance; that the same persons sat both
    waves is in T. The interval holds every change c that it does not speak against, the true deviations lying in the
    directions observed with standard deviations h − c/2 and h + c/2; h is the mean of the two estimates, or |c|/2 if that
    is more. As h is estimated, the variance is enlarged by the square of the error that h² gives it, over itself. The
    interval of the change of variance is the same one, h held fixed. Simulated as for `estimate_spread`, a 95 % interval
    holds the truth in 92–99 %.

    Examples
    --------
    Districts at 0, 0, 10 and 10, then at 0, 0, 4 and 4, each of two schools: 25 − ¾·1 and 4 − ¾·1.

    >>> from bgtk_lib.change.drawn import lay_draws
    >>> from bgtk_lib.change.evenness.spread import lay_districts
    >>> pairs = pd.DataFrame({"district": list("AABBCCDD"), "npsn": list("abcdefgh")})
    >>> pairs = pairs.assign(score_pre=[-1.0, 1, -1, 1, 9, 11, 9, 11], score_post=[1.0, -1, -1, 1, 3, 5, 3, 5])
    >>> means = lay_districts(lay_draws(pairs, pd.DataFrame()), conditioned=pd.DataFrame())
    >>> told = estimate_gap_change(means)
    >>> round(told.variance_change, 6), round(told.change, 6)
    (-21.0, -3.121653)
    """
    before, after = (estimate_spread(means, side, confidence=confidence) for side in ("pre", "post"))
    if isinstance(before, Withheld):
        return before
    if isinstance(after, Withheld):
        return after
    form, x, half = lay_form(means, GAP), means.deviations, (before.sd + after.sd) / 2
    lengths = np.sqrt([x @ np.kron(KERNELS[side], means.centre) @ x for side in ("pre", "post")])
    unit = x / np.repeat(lengths, len(means.n))
    form = replace(form, slack=_find_slack(means, form, unit, half=half))

    def place(c: float) -> Floats:
        return max(half, abs(c) / 2) + np.array([-c, c]) / 2

    observed = form.estimate(x)
    low, high, inner_low, inner_high = (
        solve_rising(
            lambda c: form.exceed(observed, np.repeat(place(c), len(means.n)) * unit),
            level,
            least=-np.inf,
            start=float(lengths.sum()),
        )
        for level in ((1 - confidence) / 2, (1 + confidence) / 2, (1 - EQUIVALENCE) / 2, (1 + EQUIVALENCE) / 2)
    )
    verdict: Verdict = "narrowed" if high < 0 else "widened" if low > 0 else "undecided"
    if margin is not None and max(-inner_low, inner_high) < margin:
        verdict = "same"
    variance_low, variance_high = (float(np.diff(place(end) ** 2)[0]) for end in (low, high))
    return GapChange(
        change=after.sd - before.sd,
        low=low,
        high=high,
        inner_low=inner_low,
        inner_high=inner_high,
        variance_change=observed,
        variance_low=variance_low,
        variance_high=variance_high,
        margin=margin,
        verdict=verdict,
        n=before.n,
        n_districts=before.n_districts,
    )


def _find_slack(means: DistrictMeans, form: QuadraticForm, unit: Floats, *, half: float) -> float:
    """Return the squared error of the variance of the change that comes from the estimated h²."""
    slope = 4 * unit @ form.M @ form.T @ form.M @ unit
    both = lay_form(means, np.eye(2) / 2)  # the mean of the two variances
    return float(slope**2 * both.find_cumulants(half * unit)[1])


def judge_ceiling(points: pd.DataFrame, *, scope: Mapping[str, str]) -> Gate:
    """C12: whether an end of a form cuts scores off, so that gaps shrink of themselves.

    HOLD where at either wave more than 15 % stand at an end of the form, or its mean is less than half a standard
    deviation from it.

    Parameters
    ----------
    points : DataFrame
        wave, points of the form sat then, points_max; one row a person and wave.
    scope : mapping
        Of the gate.
    """
    known = points.dropna(subset=["points", "points_max"])
    if known.empty:
        return Gate(code="C12", state="UNKNOWN", scope=scope, message=say("gate.C12.UNKNOWN"))
    found, rows = [], 0
    for wave, sat in known.groupby("wave", sort=False):
        scores = sat["points"].to_numpy(dtype=float)
        for end, room in (("ceiling", sat["points_max"].to_numpy(dtype=float) - scores), ("floor", scores)):
            at_end = room <= 0
            if at_end.mean() > CROWDED or room.mean() < HEADROOM * scores.std():
                facts = {"wave": say(f"evenness.wave.{wave}"), "share": 100 * at_end.mean()}
                found.append(say(f"gate.C12.{end}", **facts))
                rows += int(at_end.sum())
    if found:
        return Gate(code="C12", state="HOLD", scope=scope, message=join(found, " "), rows=rows)
    return Gate(code="C12", state="OK", scope=scope, message=say("gate.C12.OK"))


def refuse_inequality() -> Withheld:
    """Refuse Theil and Gini on points of a scale without a true zero (C13), and say what is computed in their place."""
    return Withheld(say("evenness.refused.inequality"), kind="gate")


def refuse_convergence() -> Withheld:
    """Refuse the slope of change on the observed first score as a sign of catching up (Galton's fallacy)."""
    return Withheld(say("evenness.refused.convergence"), kind="gate")


def refuse_by_pretest(distance: float, *, reliability: float) -> Withheld:
    """Refuse changes of groups formed by observed first scores (C07), and say what chance alone makes of them.

    Parameters
    ----------
    distance : float
        Of the group's mean first score from everybody's.
    reliability : float
        Of the first score.

    Notes
    -----
    A group chosen by a score of reliability r comes back by −(1 − r)·`distance` without any change.

    Examples
    --------
    >>> refuse_by_pretest(-100, reliability=0.7).reason.en.split(": ")[1].split(",")[0]
    'a group whose mean first score lies −100.0 points from everybody’s would move by +30.0 points'
    """
    expected = -(1 - reliability) * distance
    return Withheld(say("evenness.refused.by_pretest", distance=distance, expected=expected), kind="gate")


def assess_evenness(
    drawn: Drawn,
    *,
    conditioned: pd.DataFrame,
    reliability: tuple[float, float] | None = None,
    margin: float | None = None,
    confidence: float = 0.95,
) -> tuple[dict[Side, Spread | Withheld], GapChange | Withheld]:
    """Estimate the spread between districts before, after and of the change, and whether it became smaller.

    Parameters
    ----------
    drawn, conditioned, reliability
        As `lay_districts` takes them.
    margin, confidence
        As `estimate_gap_change` takes them.
    """
    means = lay_districts(drawn, conditioned=conditioned, reliability=reliability)
    if isinstance(means, Withheld):
        return dict.fromkeys(SIDES, means), means
    gap = estimate_gap_change(means, margin=margin, confidence=confidence)
    return {side: estimate_spread(means, side, confidence=confidence) for side in SIDES}, gap


def list_evenness(
    spreads: Mapping[Side, Spread | Withheld],
    gap: GapChange | Withheld,
    *,
    n: int,
    status: Status = "descriptive",
) -> list[Figure]:
    """Return evenness between districts as figures: `evenness.sd_*`, `.share_*`, `.gap_change`, `.verdict` and more.

    Parameters
    ----------
    spreads : mapping
        ``pre``, ``post``, ``change``: as `estimate_spread` returns them.
    gap : GapChange or Withheld
        As `estimate_gap_change` returns it.
    n : int
        All pairs. Where fewer stand behind a figure their number is not told: it would count the few left out.
    status : {"planned", "exploratory", "descriptive"}
        Whether the analysis plan names the change of the gap; the rest is descriptive.
    """
    everyone = say("population.pairs")
    figure = partial(Figure, population=everyone, gates=(*PLACING, "C02"))
    figures = []
    for side, spread in spreads.items():
        sd = partial(figure, name=f"evenness.sd_{side}", unit="points")
        if isinstance(spread, Withheld):
            figures.append(sd(value=spread, n=n))
            continue
        counted = {"n": spread.n, "tells_n": spread.n == n}
        figures.append(sd(value=spread.sd, low=spread.low, high=spread.high, **counted))
        if side == "change":
            continue
        share = partial(figure, name=f"evenness.share_{side}", unit="percent", **counted)
        if isinstance(spread.share, Withheld):
            figures.append(share(value=spread.share))
        else:
            low, high = (None if end is None else 100 * end for end in (spread.share_low, spread.share_high))
            figures.append(share(value=100 * spread.share, low=low, high=high))
    judged = partial(figure, status=status, gates=(*PLACING, "C02", "C12"))
    if isinstance(gap, Withheld):
        return [*figures, judged(name="evenness.gap_change", value=gap, unit="points", n=n)]
    told = partial(judged, n=gap.n, unit="points", tells_n=gap.n == n)
    inner = {"low": gap.inner_low, "high": gap.inner_high}
    variance = {"low": gap.variance_low, "high": gap.variance_high, "unit": "points_squared"}
    margin = [] if gap.margin is None else [told(name="evenness.margin", value=gap.margin)]
    return [
        *figures,
        told(name="evenness.gap_change", value=gap.change, low=gap.low, high=gap.high),
        told(name="evenness.gap_change_90", value=gap.change, **inner),
        told(name="evenness.variance_change", value=gap.variance_change, **variance),
        *margin,
        told(name="evenness.verdict", value=gap.verdict, unit="word"),
        told(name="evenness.districts", value=gap.n_districts, unit="districts"),
    ]
