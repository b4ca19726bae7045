"""Reliable change: which share of a group changed by more than measuring alone explains, beside what chance would give.

It never speaks of a person: one person's change is nearly always within the error of the test, and of any hundred who did
not change at all two or three cross each bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bgtk_lib.change.clusters import Contrast, Floats
from bgtk_lib.change.drawn import Drawn, combine_means, lay_draws
from bgtk_lib.change.strata import ClusterBy, take_scores
from bgtk_lib.errors import ParameterError
from bgtk_lib.findings import COMPARING, Figure, Withheld
from bgtk_lib.words import say

BOUND = float(stats.norm.isf(0.025))  # Jacobson & Truax: 1.96 standard errors of the difference
FEWEST = 30  # persons


@dataclass(frozen=True, kw_only=True)
class ReliableChange:
    """Shares of a group, 0 to 1, that changed by more than 1.96 standard errors of measurement.

    Attributes
    ----------
    n : int
        Persons.
    up, down, neither : Contrast or Withheld
        Their shares; withheld where nobody or everybody is among them.
    up_expected, down_expected : float
        Shares that error alone would put there if nobody had changed.
    up_shifted, down_shifted : float
        The same if everybody had changed by the mean change and by nothing else.
    needed : float
        Change, in the unit of the scores, that half of the persons would have to exceed for theirs to count.
    """

    n: int
    up: Contrast | Withheld
    down: Contrast | Withheld
    neither: Contrast | Withheld
    up_expected: float
    down_expected: float
    up_shifted: float
    down_shifted: float
    needed: float


def find_score_error(sd: float, *, reliability: float) -> float:
    """Return the standard error of measurement of a test score, SD · √(1 − reliability).

    Parameters
    ----------
    sd : float
        Standard deviation of the scores of one wave.
    reliability : float
        Of those scores, e.g. alpha, between 0 and 1.

    Raises
    ------
    ParameterError
        If the reliability lies outside 0 to 1.

    Examples
    --------
    The worked example of Jacobson and Truax.

    >>> round(find_score_error(7.5, reliability=0.80), 2)
    3.35
    """
    if not 0 <= reliability <= 1:
        raise ParameterError(say("precision.outside", name="reliability", found=reliability, low=0, high=1))
    return float(sd * np.sqrt(1 - reliability))


def estimate_reliable(
    pairs: pd.DataFrame, *, cluster: ClusterBy, confidence: float = 0.95
) -> ReliableChange | Withheld:
    """Estimate the shares of a group whose change exceeds the error of measuring it.

    Parameters
    ----------
    pairs : DataFrame
        One row a person: `score_pre` and `score_post` as observed, on one scale (points of the form, or each wave's own
        ability in points of the reporting scale: never plausible values), their standard errors `se_pre` and `se_post`,
        `district` and `npsn` (both may be null); on a linked scale also `linking_error` and `n_anchors`.
    cluster : {"school", "district", "none"}
        As in `estimate_change`.
    confidence : float
        Of the intervals, between 0 and 1.

    Returns
    -------
    ReliableChange or Withheld
        Withheld below 30 persons, and where a standard error is 0.

    Raises
    ------
    LinkageError
        If a score or a standard error is null.

    Notes
    -----
    RC = (post − pre) / √(se_pre² + se_post²), up above 1.96 and down below −1.96: the form with the error of either wave
    (Maassen). If everybody changed by δ, error alone gives the shares mean Φ(δ/s_i − 1.96) and mean Φ(−δ/s_i − 1.96), s_i
    being the error of the difference; with δ = 0 that is 2.5 % on each side. This takes the standard errors as known and the
    scores as continuous: with abilities of 20, 30 and 40 Rasch items and errors read off at the ability found, nobody
    changing, 1.8, 2.2 and 2.4 % were there (20,000 persons each), so that the comparison errs towards chance. An error of the link moves everybody: it
    enters with what one point of it would change in the share. The interval is Wilson's, for the number of independent
    persons that would have the clustered standard error, with the t quantile: it stays within 0 and 1.

    References
    ----------
    Jacobson, N. S. & Truax, P. (1991). Clinical significance: a statistical approach to defining meaningful change in
    psychotherapy research. *Journal of Consulting and Clinical Psychology* 59(1), 12-19.

    Maassen, G. H. (2004). The standard error in the Jacobson and Truax Reliable Change Index: the classical approach to the
    assessment of reliable change. *Journal of the International Neuropsychological Society* 10(6), 888-893.

    Examples
    --------
    Errors of 3 and 4 make one of 5: a change of 10 is beyond 9.8, one of 9 is not.

    >>> pairs = pd.DataFrame(
    ...     {"score_pre": 50.0, "score_post": [60.0] * 10 + [59.0] * 30, "se_pre": 3.0, "se_post": 4.0}
    ... )
    >>> found = estimate_reliable(pairs.assign(district=None, npsn=None), cluster="none")
    >>> round(found.up.estimate, 6), round(found.needed, 1), round(found.up_expected, 6)
    (0.25, 9.8, 0.025)
    """
    error = np.hypot(take_scores(pairs, "se_pre"), take_scores(pairs, "se_post"))
    drawn = _lay(pairs)
    if drawn.n < FEWEST:
        return Withheld(say("precision.few_pairs", needed=FEWEST))
    if not (np.isfinite(error) & (error > 0)).all():
        return Withheld(say("reliable.no_error"))
    gain = drawn.gain[:, 0]
    told = {}
    for side, moved in _sort(gain, error).items():
        step = drawn.linking_error
        pushed = [_sort(gain + push, error)[side].mean() for push in (-step, step)]
        told[side] = _bound(
            combine_means(
                drawn,
                moved[:, None],
                cluster=cluster,
                linked=float(pushed[1] - pushed[0]) / (2 * step) if step else 0.0,
                confidence=confidence,
            ),
            confidence=confidence,
        )
    still, shifted = _expect(0.0, error), _expect(float(gain.mean()), error)
    return ReliableChange(
        n=drawn.n,
        **told,
        up_expected=still[0],
        down_expected=still[1],
        up_shifted=shifted[0],
        down_shifted=shifted[1],
        needed=float(np.median(BOUND * error)),
    )


def list_reliable(found: ReliableChange | Withheld, *, n: int) -> list[Figure]:
    """Return reliable change as figures, in percent of the group: `reliable.up`, `.down`, `.neither`, and what chance gives.

    Parameters
    ----------
    found : ReliableChange or Withheld
        As `estimate_reliable` returns it.
    n : int
        Persons of the group.
    """
    figure = partial(Figure, n=n, population=say("population.pairs"), gates=COMPARING, status="exploratory")
    if isinstance(found, Withheld):
        return [figure(name="reliable.up", value=found, unit="percent")]
    figures = []
    for side in ("up", "down", "neither"):
        share = getattr(found, side)
        told = partial(figure, name=f"reliable.{side}", unit="percent")
        if isinstance(share, Withheld):
            figures.append(told(value=share))
        else:
            ends = {"low": 100 * share.low, "high": 100 * share.high, "se": 100 * share.se}
            figures.append(told(value=100 * share.estimate, **ends))
    chance = [
        figure(name=f"reliable.{name}", value=100 * getattr(found, name), unit="percent")
        for name in ("up_expected", "down_expected", "up_shifted", "down_shifted")
    ]
    return [*figures, *chance, figure(name="reliable.needed", value=found.needed, unit="points")]


def _lay(pairs: pd.DataFrame) -> Drawn:
    """Return the observed scores as a single draw, with the link's error where there is one."""
    drawn = lay_draws(pairs, pd.DataFrame())
    if "linking_error" not in pairs or not drawn.n or not pairs["linking_error"].iloc[0] > 0:
        return drawn
    anchors = float(pairs["n_anchors"].iloc[0])
    return replace(drawn, linking_error=float(pairs["linking_error"].iloc[0]), link_df=max(anchors - 1, 1.0))


def _sort(gain: Floats, error: Floats) -> dict[str, NDArray[np.bool_]]:
    """Return who changed up, down or neither."""
    up, down = gain > BOUND * error, gain < -BOUND * error
    return {"up": up, "down": down, "neither": ~(up | down)}


def _expect(change: float, error: Floats) -> tuple[float, float]:
    """Return the shares up and down that error gives where everybody changed by the same."""
    up, down = (stats.norm.cdf(side * change / error - BOUND).mean() for side in (1, -1))
    return float(up), float(down)


def _bound(share: Contrast | Withheld, *, confidence: float) -> Contrast | Withheld:
    """Return a share with Wilson's interval; written here because SciPy's and statsmodels' know no t quantile."""
    if isinstance(share, Withheld):
        return share
    p, q = share.estimate, float(stats.t.isf((1 - confidence) / 2, share.df))
    weight = (q * share.se) ** 2 / (p * (1 - p))  # q²/n, n = p(1 − p)/se²
    middle = (p + weight / 2) / (1 + weight)
    half = float(np.sqrt((q * share.se) ** 2 + weight**2 / 4)) / (1 + weight)
    return replace(share, low=middle - half, high=middle + half)
