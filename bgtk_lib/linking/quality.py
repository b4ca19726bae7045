"""What a set of anchors is worth: how many, how alike their difficulties, and whether they mirror the forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bgtk_lib.findings import Withheld
from bgtk_lib.linking.anchors import FEWEST, RULES, LinkRules, Located
from bgtk_lib.linking.constants import Calibrated, Floats, locate
from bgtk_lib.words import say

LARGE_CODE = 0.10  # share of a form from which a framework code should have an anchor; our choice


@dataclass(frozen=True, kw_only=True)
class AnchorQuality:
    """Facts about the anchors kept.

    Attributes
    ----------
    n_anchors, n_kept, n_wanted : int
        Anchors that could be compared, those kept, and how many the panel wants.
    dropped_share : float
        Of the anchors that could be compared.
    r : float or Withheld
        Correlation of the two difficulties, freed of estimation error, at most 1.
    sd_ratio : float or Withheld
        SD of the post difficulties on the pre scale over that of the pre ones, freed of estimation error.
    robust_flagged : int
        Anchors kept whose robust z exceeds its bound.
    content_gap : float or None
        Half the sum of the differences between anchors and forms in the shares of framework codes: 0 mirrors, 1 shares
        nothing. None where an item's code is not registered.
    uncovered : tuple of str
        Framework codes of at least 10 % of the forms' items that no anchor has.
    difficulty_gap_pre, difficulty_gap_post : float
        Median difficulty of the anchors less that of the whole form, in logits.
    spread_ratio_pre, spread_ratio_post : float or None
        Interquartile range of the anchors' difficulties over that of the form's; None where the form's is 0.
    order_r : float or None
        Correlation (Spearman) of the anchors' positions; None where positions are not registered.
    n_moved : int or None
        Anchors that stand elsewhere by more than `LinkRules.most_moved` of the form.
    n_other_slopes : int or None
        Anchors whose discrimination changed by more than `LinkRules.z_drop` standard errors; None where the model has
        none.
    """

    n_anchors: int
    n_kept: int
    n_wanted: int
    dropped_share: float
    r: float | Withheld
    sd_ratio: float | Withheld
    robust_flagged: int
    content_gap: float | None
    uncovered: tuple[str, ...]
    difficulty_gap_pre: float
    difficulty_gap_post: float
    spread_ratio_pre: float | None
    spread_ratio_post: float | None
    order_r: float | None
    n_moved: int | None
    n_other_slopes: int | None


def review_anchors(
    anchors: pd.DataFrame,
    calibrations: tuple[Calibrated, Calibrated],
    sides: tuple[Located, Located],
    *,
    sheets: tuple[pd.DataFrame, pd.DataFrame],
    slope: float,
    rules: LinkRules = RULES,
) -> AnchorQuality:
    """Describe the anchors kept.

    Parameters
    ----------
    anchors : DataFrame
        As `find_drift` returns them, of the anchors that could be compared.
    calibrations : (Calibration, Calibration)
        Of the pre and the post form.
    sides : (Located, Located)
        The same anchors in either.
    sheets : (DataFrame, DataFrame)
        The register of each form's items: item_id, position, framework. Empty where there is none.
    slope : float
        Of the link.
    rules : LinkRules
        The bounds.
    """
    kept = anchors[anchors["state"] != "dropped"]
    names = kept["item_id"].tolist()
    r, ratio = compare_spread(*sides, kept=names, slope=slope)
    longer = max(len(calibration.curves.item_ids) for calibration in calibrations)
    (gap_pre, spread_pre), (gap_post, spread_post) = (_mirror_difficulty(one, names) for one in calibrations)
    content_gap, uncovered = _mirror_content(names, sheets)
    order_r, n_moved = _compare_places(names, sheets, most=rules.most_moved)
    slopes = kept["slope_z"].dropna().abs()
    return AnchorQuality(
        n_anchors=len(anchors),
        n_kept=len(kept),
        n_wanted=max(rules.wanted_anchor_n, int(np.ceil(rules.min_anchor_share * longer))),
        dropped_share=1 - len(kept) / len(anchors),
        r=r,
        sd_ratio=ratio,
        robust_flagged=int((kept["robust_z"].abs() > rules.robust_z).sum()),
        content_gap=content_gap,
        uncovered=uncovered,
        difficulty_gap_pre=gap_pre,
        difficulty_gap_post=gap_post,
        spread_ratio_pre=spread_pre,
        spread_ratio_post=spread_post,
        order_r=order_r,
        n_moved=n_moved,
        n_other_slopes=int((slopes > rules.z_drop).sum()) if len(slopes) else None,
    )


def compare_spread(
    pre: Located, post: Located, *, kept: Sequence[str], slope: float = 1.0
) -> tuple[float | Withheld, float | Withheld]:
    """Estimate correlation and SD ratio (post over pre) of the true difficulties of the anchors kept.

    Parameters
    ----------
    pre, post : Located
        The same anchors in either calibration.
    kept : sequence of str
        Which count.
    slope : float
        Of the link: post difficulties are taken on the pre scale.

    Returns
    -------
    (float or Withheld, float or Withheld)
        Both withheld with fewer than three anchors, without standard errors, or where estimation error alone explains how one set varies: then
        its true variance, as corrected, is 0 or less, and nothing can be said about it.

    Notes
    -----
    With C = I − 11'/L and V the covariance of the estimates, the variance expected from error alone is tr(C V C)/(L − 1):
    what all estimates share cancels. Corrected: v = s² − tr(C V C)/(L − 1); r = s_pre,post / √(v_pre v_post), for errors
    of two calibrations are independent; ratio = slope · √(v_post / v_pre). r above 1 is given as 1.

    References
    ----------
    Spearman, C. (1904). The proof and measurement of association between two things. *American Journal of Psychology*
    15, 72-101.

    Examples
    --------
    Variances of 4 and 4 with error variances of 1 each leave 3 and 3; the covariance is 2: r = 2/3.

    >>> units = tuple((name, 0) for name in "abc")
    >>> error = np.diag([0.0, 0, 0, 1, 1, 1])
    >>> pre = Located(units=units, a=np.ones(3), b=np.array([-2.0, 0, 2]), covariance=error)
    >>> post = Located(units=units, a=np.ones(3), b=np.array([-2.0, 2, 0]), covariance=error)
    >>> [round(one, 6) for one in compare_spread(pre, post, kept=["a", "b", "c"])]
    [0.666667, 1.0]
    """
    used = np.isin([item for item, _ in pre.units], list(kept))
    if used.sum() < FEWEST:
        withheld = Withheld(say("linking.few_to_correlate", n=int(used.sum()), needed=FEWEST))
        return withheld, withheld
    observed = np.cov(pre.b[used], post.b[used])
    true = observed.diagonal() - [_spread_by_error(side.b_covariance[np.ix_(used, used)]) for side in (pre, post)]
    if np.isnan(true).any():
        withheld = Withheld(say("linking.not_yet.no_errors"))
        return withheld, withheld
    if not (true > 0).all():
        withheld = Withheld(say("linking.no_true_variance", n=int(used.sum())))
        return withheld, withheld
    return min(float(observed[0, 1] / np.sqrt(true.prod())), 1.0), float(slope * np.sqrt(true[1] / true[0]))


def _spread_by_error(covariance: Floats) -> float:
    """Return the variance that estimation error alone gives to a set of estimates, tr(C V C) / (L − 1)."""
    n = len(covariance)
    return float((np.trace(covariance) - covariance.sum() / n) / (n - 1))


def _mirror_difficulty(calibration: Calibrated, items: Sequence[str]) -> tuple[float, float | None]:
    """Return median difficulty of the items less that of the form, and their interquartile range over the form's.

    Medians and quartiles: an item with a nearly flat slope has no difficulty to speak of.
    """
    parts = (calibration.curves.take(items), calibration.curves)
    some, whole = (np.quantile(locate(part), [0.25, 0.5, 0.75]) for part in parts)
    width = whole[2] - whole[0]
    return float(some[1] - whole[1]), float((some[2] - some[0]) / width) if width > 0 else None


def _mirror_content(
    items: Sequence[str], sheets: tuple[pd.DataFrame, pd.DataFrame]
) -> tuple[float | None, tuple[str, ...]]:
    """Return how far the items' framework codes are from those of the forms, and the large codes they leave out."""
    if any(sheet.empty or sheet["framework"].isna().any() for sheet in sheets):
        return None, ()
    forms = [sheet["framework"].value_counts(normalize=True) for sheet in sheets]
    whole = forms[0].add(forms[1], fill_value=0) / 2
    codes = sheets[0].drop_duplicates("item_id").set_index("item_id")["framework"].reindex(list(items))
    shares = codes.value_counts(normalize=True).reindex(whole.index, fill_value=0.0)
    lacking = whole.index[(whole >= LARGE_CODE) & (shares == 0)]
    return float((shares - whole).abs().sum() / 2), tuple(sorted(map(str, lacking)))


def _compare_places(
    items: Sequence[str], sheets: tuple[pd.DataFrame, pd.DataFrame], *, most: float
) -> tuple[float | None, int | None]:
    """Return the rank correlation of the items' positions, and how many stand elsewhere by more than a share."""
    if any(sheet.empty for sheet in sheets):
        return None, None
    places = pd.DataFrame(index=list(items), columns=["pre", "post"], dtype="float64")
    for side, sheet in zip(places.columns, sheets, strict=True):
        position = sheet.drop_duplicates("item_id").set_index("item_id")["position"].astype("float64")
        places[side] = position / position.max()
    places = places.dropna()
    if len(places) < FEWEST:
        return None, None
    order = places["pre"].rank().corr(places["post"].rank())
    return float(order), int(((places["post"] - places["pre"]).abs() > most).sum())
