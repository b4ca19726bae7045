"""Few schools took part: the effect beside what every other choice of as many schools would have shown."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bgtk_lib.change.clusters import Floats
from bgtk_lib.change.drawn import Drawn
from bgtk_lib.findings import Withheld
from bgtk_lib.programme.covariates import standardise_pretest
from bgtk_lib.programme.effects import NOTHING, Effect, pool_sd
from bgtk_lib.words import say


def permute_schools(
    drawn: Drawn, treated: ArrayLike, *, rng: np.random.Generator, choices: int = 9999, confidence: float = 0.95
) -> Effect | Withheld:
    """Estimate the effect in the schools that took part, and how unusual it is among all choices of as many schools.

    Parameters
    ----------
    drawn : Drawn
        Members of both groups; `frame` has points_pre and npsn. Who has no school, and comparison persons in schools that
        took part, are left out.
    treated : array of n, bool
        Participants.
    rng : Generator
        Draws the choices where there are more than `choices`.
    choices : int
        Most choices of schools that are looked at.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    Effect or Withheld
        Without `se` and `df`. Withheld with fewer than two schools in a group, or where even the most extreme choice is too
        common for an interval (fewer than 20 choices at 95 %).

    Notes
    -----
    Schools are one row each: mean later score y (over draws), mean first score. R takes out the mean and the first score;
    the effect is d′Ry/d′Rd, d the schools that took part. A choice c of as many schools is judged by |c′Ry|/√(c′Rc); p is
    the share of choices at least as far out, the true one included. Under an effect τ for every school y becomes y − τd, and
    a choice stays at least as far out between the two τ where |c′Ry − τc′Rd|/√(c′Rc) = |d′Ry − τd′Rd|/√(d′Rd): as
    |c′Rd|/√(c′Rc) ≤ √(d′Rd) these τ are one interval around the estimate, and the ends of the confidence interval are read
    off the sorted ends of all choices. Exact if schools were drawn by lot; else it says only how unusual these schools are.

    References
    ----------
    Rosenbaum, P. R. (2002). Covariance adjustment in randomized experiments and observational studies. *Statistical
    Science* 17(3), 286-327.

    MacKinnon, J. G. & Webb, M. D. (2020). Randomization inference for difference-in-differences with few treated
    clusters. *Journal of Econometrics* 218(2), 435-450.
    """
    chosen, npsn = np.asarray(treated, dtype=bool), drawn.frame["npsn"]
    used = npsn.notna().to_numpy() & (chosen | ~npsn.isin(npsn[chosen]).to_numpy())
    here, chosen = drawn.take(used), chosen[used]
    x = standardise_pretest(here.frame) if here.n else np.empty(0)
    person = pd.DataFrame({"y": here.post.mean(axis=1), "x": x, "d": chosen.astype(float)})
    schools = person.groupby(here.frame["npsn"].to_numpy()).mean()
    n_schools, n_treated = len(schools), int(schools["d"].sum())
    if min(n_treated, n_schools - n_treated) < 2:
        return Withheld(say("programme.few_schools", n=n_treated))

    basis = np.linalg.qr(np.column_stack([np.ones(n_schools), schools["x"]]))[0]
    y, d = (_take_out(schools[name].to_numpy(), basis) for name in ("y", "d"))
    actual = np.flatnonzero(schools["d"].to_numpy() > 0)
    others = _list_choices(n_schools, n_treated, rng=rng, choices=choices)
    rows = np.vstack([actual, others[(others != actual).any(axis=1)]])
    length = np.sqrt(np.maximum(n_treated - (basis[rows].sum(axis=1) ** 2).sum(axis=1), 0.0))
    length = np.where(length > NOTHING, length, np.inf)
    u, a = y[rows].sum(axis=1) / length, d[rows].sum(axis=1) / length
    if not np.isfinite(length[0]) or np.ptp(y) <= NOTHING * max(float(np.abs(schools["y"]).max()), 1.0):
        return Withheld(say("statistics.no_variation"))
    low, high = _find_ends(u, a, confidence=confidence)
    if not np.isfinite(low + high):
        return Withheld(say("programme.few_choices", n=len(rows)))
    return Effect(
        method="randomisation",
        estimate=float(u[0] / a[0]),
        low=low,
        high=high,
        se=None,
        df=None,
        p=float(np.mean(np.abs(u) >= np.abs(u[0]) * (1 - NOTHING))),
        sd=pool_sd(here.pre, chosen),
        n_participants=int(chosen.sum()),
        n_comparison=int((~chosen).sum()),
        n_schools=n_treated,
        n_schools_comparison=n_schools - n_treated,
        effective_participants=float(chosen.sum()),
        effective_comparison=float((~chosen).sum()),
    )


def _take_out(values: Floats, basis: Floats) -> Floats:
    return values - basis @ (basis.T @ values)


def _list_choices(n: int, k: int, *, rng: np.random.Generator, choices: int) -> NDArray[np.intp]:
    """Return choices of k of n schools: all where they are few enough, else drawn ones."""
    if comb(n, k) > choices:
        return np.array([np.sort(rng.choice(n, k, replace=False)) for _ in range(choices)])
    return np.array(list(combinations(range(n), k)))


def _find_ends(u: Floats, a: Floats, *, confidence: float) -> tuple[float, float]:
    """Return the ends of the effects under which the true choice, the first, is no rarer than 1 − confidence."""
    middle, steep = u[0] / a[0], a[0]
    far = u - middle * a
    same = np.abs(a) >= steep * (1 - NOTHING)  # the true choice and its complement: as far out under any effect
    rank = int(np.floor((1 - confidence) * len(u) + NOTHING))
    ends = []
    for side in (-1, 1):
        reach = np.abs(far) / np.where(same, 1.0, steep + side * np.sign(far) * a)
        reach = np.sort(np.where(same, np.inf, reach))[::-1]
        ends.append(float(middle + side * reach[rank]))
    return ends[0], ends[1]
