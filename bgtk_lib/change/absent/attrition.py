"""Who came back: the share that a headline needs, and the bias that losing different shares of two groups may bring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from bgtk_lib.errors import ParameterError, Text
from bgtk_lib.findings import Withheld
from bgtk_lib.words import plain, say

Reading = Literal["comfortable", "with_bounds", "no_headline"]
Assumption = Literal["cautious", "optimistic"]
Band = Literal["low_cautious", "low_optimistic", "high"]

STOPS_BELOW, HOLDS_BELOW = 0.60, 0.80
ALPHAS: dict[Assumption, tuple[float, float]] = {"cautious": (0.45, 0.39), "optimistic": (0.27, 0.22)}
LARGEST_BIAS = 0.0552  # SD; the handbook's .05, rounded: its ten points imply .0539 to .0552


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How many of the first wave were scored at the second too.

    Attributes
    ----------
    n_first, n_stayed : int
        Persons scored at the first wave, and at both.
    share : float
        n_stayed / n_first.
    reading : {"comfortable", "with_bounds", "no_headline"}
        From .80 on; from .60 on, where a headline stands only beside its bounds; below.
    """

    n_first: int
    n_stayed: int
    share: float
    reading: Reading


@dataclass(frozen=True, kw_only=True)
class GroupAttrition:
    """Loss from two groups, and the bias it may bring into their difference.

    Attributes
    ----------
    overall : float
        Share lost of both groups together.
    differential : float
        Share lost of the treated less that of the comparison; negative where the comparison lost more.
    bias_cautious, bias_optimistic : float
        Implied bias in standard deviations, by either assumption (`imply_bias`).
    band : {"low_cautious", "low_optimistic", "high"}
        Low by the cautious assumption; low by the optimistic one only; high by both.
    """

    overall: float
    differential: float
    bias_cautious: float
    bias_optimistic: float
    band: Band

    @property
    def text(self) -> Text:
        """The band in a sentence."""
        shares = {"overall": 100 * self.overall, "differential": 100 * abs(self.differential)}
        return say(f"attrition.{self.band}", **shares, cautious=self.bias_cautious, optimistic=self.bias_optimistic)


def read_retention(n_stayed: int, n_left: int) -> Retention | Withheld:
    """Return the share of the first wave that came back, and what it allows.

    Parameters
    ----------
    n_stayed, n_left : int
        Persons scored at both waves, and at the first only.

    Returns
    -------
    Retention or Withheld
        Withheld where nobody was scored at the first wave.

    Examples
    --------
    >>> read_retention(75, 25).reading
    'with_bounds'
    """
    first = n_stayed + n_left
    if not first:
        return Withheld(say("pairing.nobody"))
    share = n_stayed / first
    reading: Reading = "no_headline" if share < STOPS_BELOW else "with_bounds" if share < HOLDS_BELOW else "comfortable"
    return Retention(n_first=first, n_stayed=n_stayed, share=share, reading=reading)


def imply_bias(lost_more: float, lost_less: float, *, assumption: Assumption) -> float:
    """Return the bias that attrition may bring into the difference of two groups, in standard deviations.

    Parameters
    ----------
    lost_more, lost_less : float
        Share lost of the group that lost more and of the other, from 0 to below 1.
    assumption : {"cautious", "optimistic"}
        How closely staying goes with the outcome: correlations .45 and .39, or .27 and .22, the larger one in the
        group that lost more.

    Raises
    ------
    ParameterError
        If a share is no share, or the first is the smaller.

    Notes
    -----
    A person stays where z > c, z being standard normal and correlated α with the outcome, whose standard deviation is 1.
    Those who stay, a share P, have the mean outcome α φ(c)/P; the bias is the difference of the two groups' means.

    References
    ----------
    Deke, J. & Chiang, H. (2017). The WWC attrition standard: sensitivity to assumptions and opportunities for refining
    and adapting to new contexts. *Evaluation Review* 41(2), 130-154.

    Examples
    --------
    Half of each group lost: φ(0)/.5 = .7979, times .45 − .39.

    >>> round(imply_bias(0.5, 0.5, assumption="cautious"), 4)
    0.0479
    """
    if not 0 <= lost_less <= lost_more < 1:
        raise ParameterError(say("attrition.no_shares", more=plain(f"{lost_more:g}"), less=plain(f"{lost_less:g}")))
    means = [stats.norm.pdf(stats.norm.ppf(lost)) / (1 - lost) for lost in (lost_more, lost_less)]
    return float(np.dot(ALPHAS[assumption], [means[0], -means[1]]))


def read_group_attrition(
    *, treated_stayed: int, treated_left: int, comparison_stayed: int, comparison_left: int
) -> GroupAttrition | Withheld:
    """Return overall and differential attrition of a two-group design and the band it falls into.

    Parameters
    ----------
    treated_stayed, treated_left, comparison_stayed, comparison_left : int
        Persons with an outcome and without, by group.

    Returns
    -------
    GroupAttrition or Withheld
        Withheld where nobody of a group stayed.

    Notes
    -----
    The model of `imply_bias` is applied to the two groups' own shares, not read off the handbook's table; that table
    goes by overall and differential attrition of groups of equal size, for which the two agree within .12 (cautious) and
    .32 (optimistic) percentage points of differential attrition. A bias is low up to what the table's own points imply.

    References
    ----------
    What Works Clearinghouse (2020). *Standards Handbook*, version 4.1: attrition.

    Examples
    --------
    >>> lost = read_group_attrition(treated_stayed=80, treated_left=20, comparison_stayed=88, comparison_left=12)
    >>> lost.overall, round(lost.differential, 2), lost.band
    (0.16, 0.08, 'low_optimistic')
    """
    if min(treated_stayed, comparison_stayed) < 1:
        return Withheld(say("attrition.nobody_stayed"))
    treated = treated_left / (treated_left + treated_stayed)
    comparison = comparison_left / (comparison_left + comparison_stayed)
    left, stayed = treated_left + comparison_left, treated_stayed + comparison_stayed
    more, less = max(treated, comparison), min(treated, comparison)
    bias = {assumption: imply_bias(more, less, assumption=assumption) for assumption in ALPHAS}
    low = {assumption: found <= LARGEST_BIAS for assumption, found in bias.items()}
    return GroupAttrition(
        overall=left / (left + stayed),
        differential=treated - comparison,
        bias_cautious=bias["cautious"],
        bias_optimistic=bias["optimistic"],
        band="low_cautious" if low["cautious"] else "low_optimistic" if low["optimistic"] else "high",
    )
