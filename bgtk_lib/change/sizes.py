"""Other effect sizes of the same change, for the appendix: each divides by another spread, so they are never mixed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from bgtk_lib.change.clusters import ROUNDING, Contrast, Floats
from bgtk_lib.change.drawn import Drawn, combine_means
from bgtk_lib.change.estimate import correct_small_sample
from bgtk_lib.change.strata import ClusterBy
from bgtk_lib.findings import COMPARING, Figure, Withheld
from bgtk_lib.words import say

FEWEST = 3  # with two pairs the small-sample correction is nil


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The mean change over two spreads that depend on the correlation of the waves.

    Attributes
    ----------
    n : int
        Pairs.
    g_rm : Contrast or Withheld
        Over the standard deviation within a wave, as the changes and the correlation imply it; withheld where a score
        does not vary, or the waves correlate perfectly.
    g_z : Contrast
        Over the standard deviation of the changes.
    """

    n: int
    g_rm: Contrast | Withheld
    g_z: Contrast


def estimate_sizes(drawn: Drawn, *, cluster: ClusterBy, confidence: float = 0.95) -> Sizes | Withheld:
    """Estimate g_rm and g_z of the mean change, with their intervals.

    Parameters
    ----------
    drawn : Drawn
        The pairs, as `lay_draws` returns them.
    cluster : {"school", "district", "none"}
        As in `estimate_change`.
    confidence : float
        Of the intervals, between 0 and 1.

    Returns
    -------
    Sizes or Withheld
        Withheld with fewer than three pairs, or where changes do not vary.

    Notes
    -----
    With the changes δ_i, their standard deviation s (n − 1) and the correlation r of the two scores: d_z = mean/s,
    d_rm = d_z·√(2(1 − r)), each times J = 1 − 3 / (4(n − 1) − 1). Intervals as for g_av: J times the interval of the mean
    of d + ψ_i in the clusters and strata of the headline, over all draws and with the link's error, with the influences
    ψ_z = (δ_i − mean)/s − d_z/2 · [q_i/q̄ − 1], q_i = (δ_i − mean)², and ψ_rm = c·ψ_z − d_z/c · ψ_r, c = √(2(1 − r)),
    ψ_r = x_i y_i − r(x_i² + y_i²)/2, x and y being the standardised scores. At r = .5 both sizes are the same; where the two
    waves vary alike d_rm is d_av. An error ε of the link's slope stretches the later scores about their mean, and by it
    moves a size d by −ε·d·cov(δ, y)/s²; it is taken as independent of the shift's.

    References
    ----------
    Lakens, D. (2013). Calculating and reporting effect sizes to facilitate cumulative science. *Frontiers in
    Psychology* 4:863.

    Examples
    --------
    Changes 1, 1, 1 and 5: mean and standard deviation are 2, J = 1 - 3/11.

    >>> import pandas as pd
    >>> from bgtk_lib.change.drawn import lay_draws
    >>> pairs = pd.DataFrame({"score_pre": [4, 5, 6, 7], "score_post": [5, 6, 7, 12], "district": None, "npsn": None})
    >>> round(estimate_sizes(lay_draws(pairs, pd.DataFrame()), cluster="none").g_z.estimate, 6)
    0.727273
    """
    if drawn.n < FEWEST:
        return Withheld(say("precision.few_pairs", needed=FEWEST))
    gain = drawn.gain
    spread = gain.std(axis=0, ddof=1)
    if (spread <= ROUNDING * np.abs(gain).max()).any():
        return Withheld(say("statistics.no_variation"))
    d_z = gain.mean(axis=0) / spread
    apart = (gain - gain.mean(axis=0)) / spread
    on_z = apart - d_z / 2 * (apart**2 / (apart**2).mean(axis=0) - 1)
    tell = partial(_tell, drawn, cluster=cluster, confidence=confidence)
    # What the link stretches of the later scores it stretches of the changes' spread too: −d·cov(δ, y)/s² of a size.
    stretch = ((gain - gain.mean(axis=0)) * (drawn.post - drawn.post.mean(axis=0))).mean(axis=0) / spread**2
    weigh = partial(_weigh, drawn, stretch=stretch)
    g_z = tell(d_z + on_z, linked=weigh(1 / spread, d_z))
    if isinstance(g_z, Withheld):
        return g_z

    sds = [scores.std(axis=0) for scores in (drawn.pre, drawn.post)]
    if any((sd == 0).any() for sd in sds):
        return Sizes(n=drawn.n, g_rm=Withheld(say("statistics.constant_scores")), g_z=g_z)
    x, y = ((scores - scores.mean(axis=0)) / sd for scores, sd in zip((drawn.pre, drawn.post), sds, strict=True))
    r = (x * y).mean(axis=0)
    if (1 - r <= ROUNDING).any():
        return Sizes(n=drawn.n, g_rm=Withheld(say("sizes.perfect_r")), g_z=g_z)
    factor = np.sqrt(2 * (1 - r))
    on_rm = factor * on_z - d_z / factor * (x * y - r * (x**2 + y**2) / 2)
    return Sizes(n=drawn.n, g_rm=tell(factor * d_z + on_rm, linked=weigh(factor / spread, factor * d_z)), g_z=g_z)


def _weigh(drawn: Drawn, shift: Floats, size: Floats, *, stretch: Floats) -> float:
    """Return `linked` of a size that an error of the link moves and a stretch of the later scores makes smaller."""
    return drawn.weigh_link(shift=float(shift.mean()), distance=float((size * stretch).mean()))


def list_sizes(sizes: Sizes | Withheld, *, n: int) -> list[Figure]:
    """Return the appendix's effect sizes as figures: `change.g_rm`, `change.g_z`; neither bears a word for its size.

    Parameters
    ----------
    sizes : Sizes or Withheld
        As `estimate_sizes` returns it.
    n : int
        Pairs.
    """
    figures = []
    for name in ("g_rm", "g_z"):
        size = sizes if isinstance(sizes, Withheld) else getattr(sizes, name)
        told = partial(
            Figure, name=f"change.{name}", unit="sd", n=n, population=say("population.pairs"), gates=COMPARING
        )
        if isinstance(size, Withheld):
            figures.append(told(value=size))
        else:
            figures.append(told(value=size.estimate, low=size.low, high=size.high, se=size.se))
    return figures


def _tell(drawn: Drawn, values: Floats, *, linked: float, cluster: ClusterBy, confidence: float) -> Contrast | Withheld:
    """Return the small-sample corrected mean of d + ψ."""
    told = combine_means(drawn, values, cluster=cluster, linked=linked, confidence=confidence)
    if isinstance(told, Withheld):
        return told
    small = correct_small_sample(drawn.n - 1)
    return replace(
        told, estimate=small * told.estimate, se=small * told.se, low=small * told.low, high=small * told.high
    )
