"""Anchors: which items kept their difficulty from one calibration to the next, and how far the rest moved."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bgtk_lib.linking.constants import Calibrated, Floats, list_parameters

FEWEST = 3  # anchors: two differences sum to zero, so that either could be the one that moved
DRIFT_COLUMNS = [
    "item_id", "b_pre", "b_pre_se", "b_post", "b_post_se", "difference", "difference_se", "z", "robust_z",
    "slope_ratio", "slope_z", "state", "step",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LinkRules:
    """The bounds a link is judged by.

    Attributes
    ----------
    drift_drop, z_drop : float
        An anchor is dropped if its difficulty moved by more than this many logits *and* standard errors.
    drift_review, z_review : float
        The same, to be looked at.
    robust_z : float
        Bound of the robust z that is shown beside: 1.645, or 2.7 to be conservative (Huynh & Meyer 2010).
    min_anchor_n : int
        Fewer anchors kept carry no official report.
    wanted_anchor_n, min_anchor_share : int, float
        Items, and share of the longer form, that the panel wants as anchors: the larger of the two.
    max_drop_share : float
        Share of the anchors that may be dropped.
    min_r, sd_ratio : float, (float, float)
        Least correlation of the difficulties, and bounds of the ratio of their SDs, freed of estimation error.
    most_error : float
        An anchor whose difficulty has a larger standard error at either time is not compared: a drift that would have it
        dropped could not be told from chance. It is where few were right or wrong, or where the slope is nearly flat. Our
        choice.
    few_persons : int
        Below this many persons at either time drift is hard to see, and the link says so.
    most_moved, difficulty_gap : float
        An anchor's move, as a share of the form's length, and the anchors' median difficulty less the form's, in logits,
        that are mentioned. Both are our choice.

    Notes
    -----
    The sizes .3 and .5 are practice; sizes alone would drop a sound anchor in half of the links of 150 persons, hence
    the bounds in standard errors. 2.6 is the normal quantile of a 1 % two-sided test; with 12 anchors about one sound
    link in ten still exceeds it, which the size keeps in check from 500 persons on.
    """

    drift_drop: float = 0.5
    z_drop: float = 2.6
    drift_review: float = 0.3
    z_review: float = 1.96
    robust_z: float = 1.645
    min_anchor_n: int = 10
    wanted_anchor_n: int = 20
    min_anchor_share: float = 0.20
    max_drop_share: float = 0.20
    min_r: float = 0.95
    sd_ratio: tuple[float, float] = (0.90, 1.10)
    most_error: float = 0.5
    few_persons: int = 250
    most_moved: float = 1 / 3
    difficulty_gap: float = 0.5


RULES = LinkRules()


@dataclass(frozen=True, kw_only=True, eq=False)
class Located:
    """Slopes and difficulties of anchors, or of their steps, with all their errors.

    Attributes
    ----------
    units : tuple of (str, int)
        Item and step; step 0 is the item's location, the mean of its steps.
    a, b : array (U,)
        Slope and difficulty of each unit.
    covariance : array (2U, 2U)
        Of a, then b.
    """

    units: tuple[tuple[str, int], ...]
    a: Floats
    b: Floats
    covariance: Floats

    @property
    def b_covariance(self) -> Floats:
        """Of the difficulties alone (U, U)."""
        return self.covariance[len(self.b) :, len(self.b) :]

    @property
    def b_se(self) -> Floats:
        """Standard errors of the difficulties (U,)."""
        error: Floats = np.sqrt(self.b_covariance.diagonal())
        return error


class Differences(NamedTuple):
    """Post − pre of each unit on the pre scale, with standard errors; and log(a_post / a_pre), the same."""

    b: Floats
    b_se: Floats
    log_a: Floats
    log_a_se: Floats


def locate_anchors(calibration: Calibrated, items: Sequence[str], *, by: Literal["item", "step"] = "item") -> Located:
    """Return slopes and difficulties of some items with their covariance, by the delta method.

    Parameters
    ----------
    calibration : Calibration
        Holds the items.
    items : sequence of str
        Which, in the order wanted.
    by : {"item", "step"}
        Each item's location, or each of its steps.

    Notes
    -----
    Adjacent logits: b_k = −(d_k − d_(k−1)) / a; cumulative logits: b_k = −d_k / a. Parameters that the covariance does
    not name were fixed.
    """
    curves = calibration.curves.take(items)
    steps = [(at, step) for at, highest in enumerate(curves.highest) for step in range(1, highest + 1)]
    at, a = np.array([one for one, _ in steps], dtype=np.intp), curves.slopes
    b = np.array([curves.difficulties[one, step - 1] for one, step in steps])
    places = list_parameters(calibration, items)
    turns = np.zeros((2 * len(steps), len(places)))
    for column, (item, which) in enumerate(places.values()):
        for row, (one, step) in enumerate(steps):
            if items[one] != item:
                continue
            if not which:
                turns[row, column], turns[len(steps) + row, column] = 1.0, -b[row] / a[one]
            else:
                after = which == step - 1 and not curves.graded[one]
                turns[len(steps) + row, column] = (float(after) - float(which == step)) / a[one]
    units = [(items[one], step) for one, step in steps]
    if by == "item":
        mean = (at == np.arange(len(items))[:, None]) / curves.highest[:, None]
        turns, b = np.kron(np.eye(2), mean) @ turns, mean @ b
        units, at = [(item, 0) for item in items], np.arange(len(items))
    known = calibration.covariance.loc[list(places), list(places)].to_numpy(dtype=float)
    return Located(units=tuple(units), a=a[at], b=b, covariance=turns @ known @ turns.T)


def compare_located(pre: Located, post: Located, *, kept: Collection[str]) -> Differences:
    """Estimate how far each unit moved, against the *other* items kept, with standard errors from both calibrations.

    Parameters
    ----------
    pre, post : Located
        The same units on either scale.
    kept : collection of str
        Items that make the link. A unit of one of them is judged on the link that the others make, so that it does not
        hide part of its own move.

    Notes
    -----
    D_i = A_i (b_post,i − b̄_post) − (b_pre,i − b̄_pre), A_i = ā_post / ā_pre, means over the kept items other than i (a
    mean–mean link; A = 1 with one slope). Var D = J_pre V_pre J_pre' + J_post V_post J_post', V the whole covariance of
    slopes and difficulties: what all difficulties of a calibration share (where its scale begins) cancels, and the error
    of the link enters. Measured against all the kept items, i among them, a move would show as (L − 1)/L of itself: such
    displacements sum to zero, and where some anchors became easier the others seem to have become harder.
    """
    items = np.array([item for item, _ in pre.units], dtype=object)
    used = np.isin(items, list(kept)) / np.array([(items == item).sum() for item in items])
    weights = np.where(items[:, None] != items, used, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = weights / weights.sum(axis=1, keepdims=True)
        a_pre, a_post = weights @ pre.a, weights @ post.a
        slope = a_post / a_pre
        from_pre, from_post = pre.b - weights @ pre.b, post.b - weights @ post.b
        own, stays = np.eye(len(items)), np.eye(len(items)) - weights
        by_slope = (slope * from_post)[:, None] * weights
        turns = [
            (pre, np.hstack([-by_slope / a_pre[:, None], -stays])),
            (post, np.hstack([by_slope / a_post[:, None], slope[:, None] * stays])),
        ]
        log_turns = [
            (one, own / one.a[:, None] - weights / mean[:, None]) for one, mean in ((pre, a_pre), (post, a_post))
        ]
        log_a = np.log(post.a / pre.a) - np.log(slope)
    variance = sum(np.einsum("ij,jk,ik->i", turn, one.covariance, turn) for one, turn in turns)
    n = len(items)
    log_variance = sum(np.einsum("ij,jk,ik->i", turn, one.covariance[:n, :n], turn) for one, turn in log_turns)
    return Differences(slope * from_post - from_pre, np.sqrt(variance), log_a, np.sqrt(log_variance))


def find_drift(pre: Located, post: Located, *, rules: LinkRules = RULES) -> pd.DataFrame:
    """Find the anchors that moved: drop the one that moved most, link again, until none is left to drop.

    Parameters
    ----------
    pre, post : Located
        The same anchors in either calibration.
    rules : LinkRules
        The bounds.

    Returns
    -------
    DataFrame
        `DRIFT_COLUMNS`, one row an anchor. `b_pre`, `b_post` and errors: each on its own scale. `difference`: post − pre
        on the pre scale, against the other anchors kept at the end (`compare_located`), logits; `z`: over its standard
        error; both are null where they cannot be told. `robust_z`: (D − median) / (0.74 · IQR) of all anchors before any
        was dropped, null where the IQR is 0. `slope_ratio`: a_post / a_pre on the pre scale, against the others kept;
        `slope_z`: its logarithm over its standard error, null where slopes are fixed. `state`: kept, review or dropped.
        `step`: when it was dropped, else null.

    Notes
    -----
    At least three anchors are left. An anchor without a standard error is never dropped, but reviewed for its size.

    References
    ----------
    Huynh, H. & Meyer, P. (2010). Use of robust z in detecting unstable items in item response theory models. *Practical
    Assessment, Research & Evaluation* 15(2).

    Examples
    --------
    Four anchors known without error; the last one became a logit easier against the other three.

    >>> def place(b):
    ...     units = tuple((f"b{i}", 0) for i in range(4))
    ...     return Located(units=units, a=np.ones(4), b=np.array(b), covariance=np.zeros((8, 8)))
    >>> found = find_drift(place([-1.0, 0.0, 1.0, 2.0]), place([-1.2, -0.2, 0.8, 0.8]))
    >>> found["difference"].round(6).abs().tolist(), found["state"].tolist()
    ([0.0, 0.0, 0.0, 1.0], ['kept', 'kept', 'kept', 'dropped'])
    """
    items = [item for item, _ in pre.units]
    kept, dropped = list(items), list[str]()
    moved = compare_located(pre, post, kept=kept)
    first = moved.b
    while len(kept) > FEWEST:
        far = (
            (np.abs(moved.b) > rules.drift_drop) & (np.abs(moved.b) > rules.z_drop * moved.b_se) & np.isin(items, kept)
        )
        if not far.any():
            break
        dropped.append(items[int(np.argmax(np.where(far, np.abs(moved.b), -1.0)))])
        kept.remove(dropped[-1])
        moved = compare_located(pre, post, kept=kept)
    looked = (np.abs(moved.b) > rules.drift_review) & ~(np.abs(moved.b) <= rules.z_review * moved.b_se)
    state = np.where(looked, "review", "kept").astype(object)
    state[np.isin(items, dropped)] = "dropped"
    return pd.DataFrame(
        {
            "item_id": pd.Series(items, dtype="str"),
            "b_pre": pre.b,
            "b_pre_se": pre.b_se,
            "b_post": post.b,
            "b_post_se": post.b_se,
            "difference": moved.b,
            "difference_se": moved.b_se,
            "z": _divide(moved.b, moved.b_se),
            "robust_z": score_robustly(first),
            "slope_ratio": np.exp(moved.log_a),
            "slope_z": _divide(moved.log_a, moved.log_a_se),
            "state": pd.Series(state, dtype="str"),
            "step": pd.array([dropped.index(item) + 1 if item in dropped else None for item in items], dtype="Int64"),
        },
        columns=DRIFT_COLUMNS,
    )


def score_robustly(difference: Floats) -> Floats:
    """Return the robust z of each anchor's move, (D − median) / (0.74 · IQR); null where the IQR is 0.

    Notes
    -----
    Huynh & Meyer (2010), equation 1; 0.74 · IQR is the SD of a normal distribution.

    Examples
    --------
    >>> [round(float(z), 3) for z in score_robustly(np.array([-1.0, 0.0, 1.0, 2.0, 8.0]))]
    [-1.351, -0.676, 0.0, 0.676, 4.73]
    """
    if not len(difference):
        return np.zeros(0)
    low, middle, high = np.quantile(difference, [0.25, 0.5, 0.75])
    return _divide(difference - middle, np.full(len(difference), 0.74 * (high - low)))


def estimate_linking_error(moves: Floats) -> float:
    """Estimate the standard error of a link that comes from the choice of its anchors, √(Var(D) / L).

    Parameters
    ----------
    moves : array of L
        Post − pre of the anchors kept, on the pre scale; at least two.

    Notes
    -----
    Var with L − 1. It holds what the items' true moves vary and what their estimation adds, since both carry over to the
    shift; it belongs in the standard error of every mean change, and not in differences between groups at one time.
    Dropped anchors make it smaller than the choice of items warrants: the one with all anchors is shown beside.

    References
    ----------
    OECD (2014). *PISA 2012 Technical Report*, chapter 9, "Linking errors".

    Examples
    --------
    >>> estimate_linking_error(np.array([-0.3, 0.0, 0.3]))
    0.17320508075688773
    """
    return float(moves.std(ddof=1) / np.sqrt(len(moves)))


def _divide(above: Floats, below: Floats) -> Floats:
    """Return the quotient, null where the divisor is 0 or null."""
    fine: NDArray[np.bool_] = below > 0
    quotient: Floats = np.divide(above, below, where=fine, out=np.full(len(above), np.nan))
    return quotient
