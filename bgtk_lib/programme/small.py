"""A workshop of fewer than 30: its participants described, with every uncertainty, and nothing claimed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bgtk_lib.change.clusters import Floats, code_clusters
from bgtk_lib.change.estimate import Change, estimate_change
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

RESAMPLES = 9999
POWER = 0.80


@dataclass(frozen=True, kw_only=True)
class Small:
    """The change of a few persons.

    Attributes
    ----------
    change : Change
        Mean and g_av with t intervals, schools taken as clusters, districts left aside.
    bca_low, bca_high : float or None
        Bootstrap interval of the mean (BCa), schools resampled; none where the bootstrap has no spread.
    n_up, n_down, n_same : int
        Persons whose score rose, fell, stayed.
    p_signed_rank : float
        Wilcoxon's signed ranks, two-sided, exact (permuted signs where ranks are tied); for the appendix, no headline.
    detectable, detectable_sd : float
        The change that would have been found with a probability of 80 %, in points and in average SD.
    """

    change: Change
    bca_low: float | None
    bca_high: float | None
    n_up: int
    n_down: int
    n_same: int
    p_signed_rank: float
    detectable: float
    detectable_sd: float


def describe_small(pairs: pd.DataFrame, *, rng: np.random.Generator, confidence: float = 0.95) -> Small | Withheld:
    """Describe the change of the participants of a small workshop.

    Parameters
    ----------
    pairs : DataFrame
        As in `estimate_change`, points of one form at both measurements.
    rng : Generator
        For resampling and permuting.
    confidence : float
        Of the intervals, between 0 and 1.

    Returns
    -------
    Small or Withheld
        Withheld on a linked scale, which a group as small cannot have its own place on, with fewer than two schools, or
        where nothing varies.

    Notes
    -----
    What is detectable: (t₁₋α/₂ + t_power)·se, with the degrees of freedom of the mean change.

    References
    ----------
    Efron, B. (1987). Better bootstrap confidence intervals. *Journal of the American Statistical Association* 82(397),
    171-185.

    Examples
    --------
    >>> pairs = pd.DataFrame({"score_pre": [4, 5, 6, 7], "score_post": [5, 6, 7, 12], "district": None, "npsn": None})
    >>> small = describe_small(pairs, rng=np.random.default_rng(1))
    >>> small.change.mean, small.n_up, small.n_down, small.p_signed_rank
    (2.0, 4, 0, 0.125)
    """
    if "unit" in pairs and pairs["unit"].eq("scale").any():
        return Withheld(say("programme.small_scale"))
    if not len(pairs):
        return Withheld(say("programme.nobody_compared"))
    change = estimate_change(pairs.assign(district=None), cluster="school", confidence=confidence)
    if isinstance(change, Withheld):
        return change
    gain = pairs["score_post"].to_numpy(dtype=float) - pairs["score_pre"].to_numpy(dtype=float)
    low, high = _bootstrap_mean(gain, pairs["npsn"], rng=rng, confidence=confidence)
    reach = stats.t.isf((1 - confidence) / 2, change.df) + stats.t.ppf(POWER, change.df)
    detectable = float(reach) * change.se
    return Small(
        change=change,
        bca_low=low,
        bca_high=high,
        n_up=int((gain > 0).sum()),
        n_down=int((gain < 0).sum()),
        n_same=int((gain == 0).sum()),
        p_signed_rank=_rank_signs(gain, rng=rng),
        detectable=detectable,
        detectable_sd=detectable / float(np.sqrt((change.sd_pre**2 + change.sd_post**2) / 2)),
    )


def _bootstrap_mean(
    gain: Floats, npsn: pd.Series, *, rng: np.random.Generator, confidence: float
) -> tuple[float | None, float | None]:
    """Return the BCa ends of the mean, whole schools resampled; none where they cannot be had."""
    schools = code_clusters(npsn, len(gain))
    sums, counts = np.bincount(schools, gain), np.bincount(schools).astype(float)

    def find_mean(total: Floats, persons: Floats, axis: int) -> Any:
        return total.sum(axis=axis) / persons.sum(axis=axis)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # told by ends that are not finite
        found = stats.bootstrap(
            (sums, counts),
            find_mean,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            confidence_level=confidence,
            method="BCa",
            rng=rng,
        ).confidence_interval
    return (float(found.low), float(found.high)) if np.isfinite(found.low + found.high) else (None, None)


def _rank_signs(gain: Floats, *, rng: np.random.Generator) -> float:
    """Return the two-sided p of Wilcoxon's signed ranks, those without a change left out."""
    moved = gain[gain != 0]
    if not len(moved):
        return 1.0
    if len(np.unique(np.abs(moved))) == len(moved):
        return float(stats.wilcoxon(moved, method="exact").pvalue)
    ranks = stats.rankdata(np.abs(moved)) * np.sign(moved)  # `stats.wilcoxon` permutes too, 400 times slower
    found = stats.permutation_test(
        (ranks,), np.sum, permutation_type="samples", vectorized=True, n_resamples=RESAMPLES, rng=rng
    )
    return float(found.pvalue)
