"""How far districts truly lie apart: the variance of their true means, what chance adds taken off, with its interval.

Every district is observed and none is sampled, so what is estimated is the spread of these very districts' true means,
each weighted by its persons. Their estimated means lie further apart, for schools and tests add chance: that is taken off,
and what it leaves open is in the interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd

from bgtk_lib.change.clusters import ROUNDING, Codes, Floats, approximate_df, code_clusters
from bgtk_lib.change.drawn import Drawn
from bgtk_lib.change.evenness.quadratic import QuadraticForm, solve_rising
from bgtk_lib.change.evenness.subgroups import keep_conditioned
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

Side = Literal["pre", "post", "change"]
# What a variance takes from the two means of one district, before and after.
KERNELS: Mapping[Side, Floats] = MappingProxyType(
    {
        "pre": np.array([[1.0, 0.0], [0.0, 0.0]]),
        "post": np.array([[0.0, 0.0], [0.0, 1.0]]),
        "change": np.array([[1.0, -1.0], [-1.0, 1.0]]),
    }
)


@dataclass(frozen=True, kw_only=True, eq=False)
class DistrictMeans:
    """The mean scores of D districts at both waves, and the error of these 2D numbers.

    Attributes
    ----------
    codes : tuple of str
        The districts, in code order.
    n : array of D
        Persons of each.
    means : array of 2 × D
        Before and after, over all draws.
    sampling : array of D × 2 × 2
        Covariance that schools and persons give each district's two means (CR2).
    drawing : array of 2D × 2D
        Covariance that the draws give all means, (1 + 1/m)B; zero with one draw.
    df, draw_df : array of D, float
        Degrees of freedom of the two.
    within : array of 2 × 2, or Withheld
        Covariance of the true scores of persons of one district; withheld for points whose reliability is not given.
    n_left_out : int
        Persons without a district, of one with a single school, or of one that the draws do not know.
    """

    codes: tuple[str, ...]
    n: Floats
    means: Floats
    sampling: Floats
    drawing: Floats
    df: Floats
    draw_df: float
    within: Floats | Withheld
    n_left_out: int

    @cached_property
    def centre(self) -> Floats:
        """A = diag(w) − ww′, by which x′Ax is the weighted variance of D numbers."""
        w = self.n / self.n.sum()
        return np.diag(w) - np.outer(w, w)

    @cached_property
    def deviations(self) -> Floats:
        """All 2D means, each less the mean of its wave."""
        means = np.average(self.means, axis=1, weights=self.n)
        return np.subtract(self.means, means[:, None]).ravel()

    @cached_property
    def covariance(self) -> Floats:
        """Of all 2D means; what schools and persons add in one district is unrelated to the others'."""
        places = np.arange(len(self.n))
        full: Floats = np.zeros((2, len(self.n), 2, len(self.n)))
        full[:, places, :, places] = self.sampling
        return full.reshape(len(self.drawing), -1) + self.drawing


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far districts truly lie apart.

    Attributes
    ----------
    variance : float
        Between districts, its error taken off; may be below 0.
    sd, low, high : float
        Its root (0 if it is below 0) and the ends of its interval, in the unit of the scores.
    share : float or Withheld
        Part of the variance of all persons' true scores that lies between districts.
    share_low, share_high : float or None
        Its interval.
    n, n_districts : int
        Persons and districts.
    """

    variance: float
    sd: float
    low: float
    high: float
    share: float | Withheld
    share_low: float | None
    share_high: float | None
    n: int
    n_districts: int


def lay_districts(
    drawn: Drawn, *, conditioned: pd.DataFrame, reliability: tuple[float, float] | None = None
) -> DistrictMeans | Withheld:
    """Estimate the means of all districts at both waves with their joint error.

    Parameters
    ----------
    drawn : Drawn
        The persons; `frame` has district and npsn.
    conditioned : DataFrame
        grouping, level, state: a district that is not ``kept`` is left out, for its draws carry a mean that is not its
        own. Not looked at for points of a form.
    reliability : (float, float), optional
        Of points before and after, for the share of the variance; draws need none.

    Returns
    -------
    DistrictMeans or Withheld
        Withheld with fewer than two districts of two schools each.

    Notes
    -----
    A school is an independent cluster of its district, and who has none is one alone; a school in two districts counts
    as two. CR2 as in `mean_by_strata`, the same persons at both waves. The linking error moves all districts alike. The
    variance within districts is that around estimated means, enlarged by what the error of these took from it; of points
    (1 − reliability) of their variance is taken off.
    """
    known = keep_conditioned(drawn, "district", conditioned)
    place = known.frame["district"].astype("str")
    school = pd.Series(code_clusters(place + "/" + known.frame["npsn"].astype("str"), known.n))
    several = school.groupby(place).transform("nunique").to_numpy() > 1
    kept, m = known.take(several), known.n_draws
    codes, names = pd.factorize(place[several], sort=True)
    if len(names) < 2:
        return Withheld(say("evenness.few_districts", n=len(names)))
    n = np.bincount(codes).astype(float)
    scores = np.stack([kept.pre, kept.post], axis=1)  # persons × 2 × draws
    means = _sum_by(scores, codes) / n[:, None, None]
    residuals = scores - means[codes]
    sampling, df = _find_sampling(residuals, codes, pd.factorize(school[several])[0])
    stacked = means.swapaxes(0, 1).reshape(2 * len(n), m)
    within = np.einsum("iam,ibm->ab", residuals, residuals) / (kept.n * m) + np.tensordot(n / kept.n, sampling, 1)
    if kept.unit == "points" and reliability is not None:
        within = within - np.diag((1 - np.array(reliability)) * scores.var(axis=0)[:, 0])
    return DistrictMeans(
        codes=tuple(names),
        n=n,
        means=means.mean(axis=2).T,
        sampling=sampling,
        drawing=(1 + 1 / m) * np.cov(stacked) if m > 1 else np.zeros((2 * len(n), 2 * len(n))),
        df=df,
        draw_df=max(m - 1.0, 1.0),
        within=Withheld(say("evenness.no_reliability")) if kept.unit == "points" and reliability is None else within,
        n_left_out=drawn.n - kept.n,
    )


def _sum_by(values: Floats, codes: Codes) -> Floats:
    """Return sums over the persons of each code: persons × 2 × draws → codes × 2 × draws."""
    found = np.zeros((int(codes.max()) + 1, *values.shape[1:]))
    np.add.at(found, codes, values)
    return found


def _find_sampling(residuals: Floats, codes: Codes, school: Codes) -> tuple[Floats, Floats]:
    """Return the CR2 covariance of each district's two means, over the draws, and its degrees of freedom."""
    n, sizes = np.bincount(codes).astype(float), np.bincount(school).astype(float)
    home = np.zeros(len(sizes), dtype=np.intp)
    home[school] = codes
    gain = (1 - sizes / n[home]) ** -0.5
    parts = (gain / n[home])[:, None, None] * _sum_by(residuals, school)
    sampling = np.zeros((len(n), 2, 2))
    np.add.at(sampling, home, np.einsum("jam,jbm->jab", parts, parts) / residuals.shape[2])
    lengths = gain**2 * sizes / n[home] ** 2
    overlaps = (gain * sizes / n[home]) ** 2 / n[home]
    df = [
        approximate_df(lengths[here], overlaps=overlaps[here], gram=overlaps[here].sum())
        for here in (home == district for district in range(len(n)))
    ]
    return sampling, np.array(df)


def lay_form(means: DistrictMeans, kernel: Floats) -> QuadraticForm:
    """Return the quadratic form M = kernel ⊗ A of all 2D means."""
    M: Floats = np.kron(kernel, means.centre).astype(np.float64)
    sampled = np.diag(means.centre)[:, None, None] * (kernel @ means.sampling)
    drawn = M @ means.drawing
    noise = (np.einsum("dab,dba->d", sampled, sampled) / means.df).sum() + np.trace(drawn @ drawn) / means.draw_df
    return QuadraticForm(M=M, T=means.covariance, noise=float(2 * noise))


def estimate_spread(means: DistrictMeans, of: Side, *, confidence: float = 0.95) -> Spread | Withheld:
    """Estimate the standard deviation between districts of true means, or of true change, and its share of the variance.

    Parameters
    ----------
    means : DistrictMeans
        As `lay_districts` gives them.
    of : {"pre", "post", "change"}
        Of which scores.
    confidence : float
        Of the intervals, between 0 and 1.

    Returns
    -------
    Spread or Withheld
        Withheld where nothing varies between districts, or within them.

    Notes
    -----
    With the deviations x of the estimated means and A = diag(w) − ww′, x′Ax − tr(AT) is without bias for the variance; T
    is the covariance of the means, from schools and draws (Rubin). The interval holds every standard deviation s that
    the estimate does not speak against, the true deviations being s·x/√(x′Ax) and the estimate distributed there as
    `QuadraticForm.exceed` says; its upper end is that of an estimate of 0 where the estimate is below 0. With 15 districts
    of 162–977 persons in schools of 15 a 95 % interval holds the truth in 94–99 % of 200 simulated provinces, with real
    differences and with none. The share is of that and the variance within districts, whose own error is small beside it
    and left out.

    References
    ----------
    Mathai, A. M. & Provost, S. B. (1992). *Quadratic forms in random variables*. Dekker (the cumulants).

    Examples
    --------
    Four districts at 0, 0, 10 and 10, each of two schools that lie 4 apart: 25 − ¾·4 = 22.

    >>> from bgtk_lib.change.drawn import lay_draws
    >>> pairs = pd.DataFrame({"district": list("AABBCCDD"), "npsn": list("abcdefgh")})
    >>> pairs = pairs.assign(score_pre=[-2.0, 2, -2, 2, 8, 12, 8, 12], score_post=0.0)
    >>> means = lay_districts(lay_draws(pairs, pd.DataFrame()), conditioned=pd.DataFrame())
    >>> round(estimate_spread(means, "pre").variance, 6)
    22.0
    """
    form, x = lay_form(means, KERNELS[of]), means.deviations
    square = float(x @ form.M @ x)
    if min(square, form.chance) <= ROUNDING * float(np.abs(means.means).max()) ** 2:
        return Withheld(say("statistics.no_variation"))
    length, variance, tail = float(np.sqrt(square)), form.estimate(x), (1 - confidence) / 2
    low = solve_rising(lambda s: form.exceed(variance, s / length * x), tail, least=0.0, start=length)
    high = solve_rising(lambda s: form.exceed(max(variance, 0.0), s / length * x), 1 - tail, least=0.0, start=length)
    squares = np.array([max(variance, 0.0), low**2, high**2])
    inside = means.within if isinstance(means.within, Withheld) else float((KERNELS[of] * means.within).sum())
    shares: tuple[float | Withheld, float | None, float | None]
    if isinstance(inside, Withheld):
        shares = (inside, None, None)
    elif inside <= 0:
        shares = (Withheld(say("statistics.no_variation")), None, None)
    else:
        shares = tuple(float(one) for one in squares / (squares + inside))  # type: ignore[assignment]
    return Spread(
        variance=variance,
        sd=float(np.sqrt(squares[0])),
        low=low,
        high=high,
        share=shares[0],
        share_low=shares[1],
        share_high=shares[2],
        n=int(means.n.sum()),
        n_districts=len(means.n),
    )
