"""Which items are harder for a group than for its equals in another: every grouping and method, one row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bgtk_lib.errors import LinkageError, ParameterError
from bgtk_lib.instrument.dif.contrast import Contrast, compare_by_rules
from bgtk_lib.instrument.dif.matching import Flags, choose_matching
from bgtk_lib.instrument.dif.rules import REST, STANDARD, DifRules
from bgtk_lib.words import plain, say

PLACE = ["grouping", "focal", "reference"]
ITEM_COLUMNS = [
    "item_id",
    *PLACE,
    "method",
    "n_focal",
    "n_reference",
    "statistic",
    "p",
    "p_adjusted",
    "effect",
    "effect_se",
    "effect_low",
    "effect_high",
    "dif_class",
    "favours",
    "purified",
    "note",
]
MATCHING_COLUMNS = [*PLACE, "family", "n_items", "n_removed", "rounds", "purified"]
GROUP_COLUMNS = ["grouping", "group", "n", "n_compared", "note"]
PROFILE_COLUMNS = ["item_id", *PLACE, "side", "score_low", "score_high", "score_mean", "n", "mean_credit"]
NUMBERS = ["statistic", "p", "effect", "effect_se", "direction"]


@dataclass(frozen=True, kw_only=True, eq=False)
class DifReview:
    """What the comparison of groups at equal score found.

    Attributes
    ----------
    items : DataFrame
        `ITEM_COLUMNS`, one row an item, contrast and method. Right and wrong: ``mantel_haenszel``, ``logistic``,
        ``logistic_uniform``, ``logistic_nonuniform``; credit in several steps: ``mantel``. `focal`, `reference`: names
        of groups; the reference ``rest`` is everyone else who has a group. `n_focal`, `n_reference`: persons compared
        who were presented the item; null where they were too few. `statistic`: chi-square. `p`: raw. `p_adjusted`:
        Benjamini & Hochberg over the tests of one grouping and method. `effect`, with `effect_se` and the interval
        `effect_low` to `effect_high`: delta points (``mantel_haenszel``, ``logistic_uniform``) or standardised mean
        difference (``mantel``), negative where the item is harder for the focal group; gain in Nagelkerke's R² (the
        other two), which has neither error nor interval. `dif_class`: A, B or C (`classify_delta`,
        `classify_difference`, `classify_r2`). `favours`: the group that does better at equal score, where p is below
        the level; null where that depends on the score. `purified`: how the purification of the matching score ended
        (`Purified`). `note`: why values are null, else null (words: `explain`).
    matching : DataFrame
        `MATCHING_COLUMNS`, one row a contrast and family of methods (``mantel``, ``logistic``): items in its matching
        score, items that purification removed, its rounds and its end.
    groups : DataFrame
        `GROUP_COLUMNS`: persons of each group, and how many of them took the whole matching score, so that they could
        be compared. `note`: ``missing`` (those without a group), ``alone`` (nobody to compare with), else null.
    profiles : DataFrame
        `PROFILE_COLUMNS`, for items of class B or C by any method: mean credit of either `side` (``focal``,
        ``reference``) in bands of the Mantel family's matching score; see `profile_item`.

    Notes
    -----
    These are findings; what of the counts is printed, `bgtk_lib.disclosure` decides.
    """

    items: pd.DataFrame
    matching: pd.DataFrame
    groups: pd.DataFrame
    profiles: pd.DataFrame


def review_dif(
    credit: pd.DataFrame,
    groups: pd.DataFrame,
    *,
    references: Mapping[str, str] | None = None,
    rules: DifRules = STANDARD,
) -> DifReview:
    """Test every item of a form for differential functioning between groups.

    Parameters
    ----------
    credit : DataFrame
        Persons × items: 0 or 1, or credit in several steps; null where the item was not presented.
    groups : DataFrame
        The same persons in the same order, one column a grouping; null where a person's group is not known.
    references : mapping, optional
        Grouping → the group that every other one is compared with. Without it, of two groups the smaller is focal and
        the larger the reference (of equals, the later one is focal), and of more each is compared with all the rest: so
        nobody is made the norm, and the result does not turn on which group happens to be largest. Differential
        functioning in one group then also shows, weaker and reversed, in the others' contrasts.
    rules : DifRules
        Fewest persons, levels, purification.

    Returns
    -------
    DifReview

    Raises
    ------
    LinkageError
        If `groups` has other rows than `credit`.
    ParameterError
        If a named reference is no group of its grouping.

    Notes
    -----
    Persons are matched on the sum of credit over the items that (nearly) everyone took, the studied item included; with
    complete data that is the total score. An item that only some took is tested among them, on that sum and its own
    credit. What an item shows beyond equal score is no bias until its content gives a reason; and the persons of one
    district or school are not as independent as the tests take them to be.

    Examples
    --------
    Eight persons of equal score 2: of four men three have the first item right, of four women one. So α = 3·3/(1·1),
    MH D-DIF = −2.35 ln 9.

    >>> credit = pd.DataFrame({"b1": [1, 1, 1, 0, 1, 0, 0, 0], "b2": [1, 1, 1, 2, 1, 2, 2, 2]})
    >>> groups = pd.DataFrame({"sex": ["L"] * 4 + ["P"] * 4})
    >>> few = DifRules(min_group=4, min_total=8, min_cell=4, fewest_matching=2, purify="none")
    >>> first = review_dif(credit, groups, rules=few).items.iloc[0]
    >>> first["method"], first["focal"], round(float(first["effect"]), 3)
    ('mantel_haenszel', 'P', -5.163)
    """
    references = references or {}
    _check_input(credit, groups, references)
    points = credit.to_numpy(dtype=float, na_value=np.nan)
    anchors, complete = choose_matching(~np.isnan(points), share=rules.taken_by)
    binary = (np.isnan(points) | (points == 0) | (points == 1)).all(axis=0)

    counts: list[pd.DataFrame] = []
    items: list[pd.DataFrame] = []
    matching: list[pd.DataFrame] = []
    profiles: list[pd.DataFrame] = []
    for grouping, column in groups.rename(columns=str).items():
        labels = _label(column)
        counts.append(_count_groups(labels, complete).assign(grouping=str(grouping)))
        for focal, reference in _list_contrasts(labels, references.get(str(grouping))):
            chosen = labels.notna() if reference == REST else labels.isin([focal, reference])
            used = complete & chosen.to_numpy(dtype=bool)
            contrast = Contrast(
                points=points[used],
                focal=(labels[used] == focal).to_numpy(dtype=bool),
                anchors=anchors,
                binary=binary,
                rules=rules,
            )
            place = {"grouping": str(grouping), "focal": focal, "reference": reference}
            for kept, frame in zip((items, matching, profiles), compare_by_rules(contrast), strict=True):
                kept.append(frame.assign(**place))
    return DifReview(
        items=_finish_items(_stack(items), credit.columns, rules).reindex(columns=ITEM_COLUMNS),
        matching=_stack(matching).reindex(columns=MATCHING_COLUMNS),
        groups=_stack(counts).reindex(columns=GROUP_COLUMNS),
        profiles=_name_items(_stack(profiles), credit.columns).reindex(columns=PROFILE_COLUMNS),
    )


def find_large_dif(review: DifReview) -> pd.DataFrame:
    """Return the rows with large DIF: class C by any method, or an infinite effect whose test has p below the level.

    Items that could not be tested are not among them: `find_untested`.
    """
    items = review.items
    unbounded = (items["note"] == "unbounded") & items["favours"].notna()
    return items[(items["dif_class"] == "C") | unbounded].reset_index(drop=True)


def find_untested(review: DifReview) -> pd.DataFrame:
    """Return the rows that say nothing about DIF, each with its `note`."""
    return review.items[review.items["p"].isna()].reset_index(drop=True)


def _check_input(credit: pd.DataFrame, groups: pd.DataFrame, references: Mapping[str, str]) -> None:
    if not credit.index.equals(groups.index):
        raise LinkageError(say("dif.other_rows", persons=len(credit), rows=len(groups)))
    for grouping, reference in references.items():
        known = sorted(_label(groups[grouping]).dropna().unique()) if grouping in groups else []
        if reference not in known:
            allowed = plain(", ".join(known) or "–")
            raise ParameterError(say("dif.unknown_reference", found=reference, grouping=grouping, allowed=allowed))


def _label(column: pd.Series[Any]) -> pd.Series[str]:
    """Return groups as text; whole numbers that stood beside nulls without their decimals."""
    return column.convert_dtypes().astype("str").where(column.notna())


def _count_groups(labels: pd.Series[str], complete: Flags) -> pd.DataFrame:
    """Return persons by group, those without one last."""
    n = labels.value_counts(dropna=False).sort_index(na_position="last")
    n_compared = labels[complete].value_counts(dropna=False).reindex(n.index, fill_value=0)
    missing = np.asarray(n.index.isna())
    alone = "alone" if (~missing).sum() == 1 else None
    return pd.DataFrame(
        {
            "group": n.index,
            "n": n.to_numpy(),
            "n_compared": np.where(missing, 0, n_compared),
            "note": pd.Series(["missing" if gone else alone for gone in missing], dtype="str"),
        }
    )


def _list_contrasts(labels: pd.Series[str], reference: str | None) -> list[tuple[str, str]]:
    """Return focal and reference groups; see `review_dif`."""
    sizes = labels.value_counts().sort_index()
    if reference is None and len(sizes) == 2:
        reference = str(sizes.idxmax())
    if reference is None:
        return [(str(group), REST) for group in sizes.index if len(sizes) > 1]
    return [(str(group), reference) for group in sizes.index if group != reference]


def _finish_items(rows: pd.DataFrame, item_ids: pd.Index[Any], rules: DifRules) -> pd.DataFrame:
    """Return rows in order, with adjusted p, interval and the group favoured."""
    if rows.empty:
        return rows
    rows = _name_items(rows, item_ids).reindex(columns=[*ITEM_COLUMNS, "direction"])
    rows[NUMBERS] = rows[NUMBERS].astype(float)
    rows["p_adjusted"] = rows.groupby(["grouping", "method"], sort=False)["p"].transform(_adjust)
    half = stats.norm.isf((1 - rules.confidence) / 2) * rows["effect_se"]
    rows["effect_low"], rows["effect_high"] = rows["effect"] - half, rows["effect"] + half
    better = rows["focal"].where(rows["direction"] > 0).fillna(rows["reference"].where(rows["direction"] < 0))
    rows["favours"] = better.where(rows["p"] < rules.alpha)
    return rows


def _adjust(p: pd.Series[float]) -> pd.Series[float]:
    """Return p-values by Benjamini & Hochberg, nulls left out of their number."""
    adjusted, known = p.copy(), p.notna()
    if known.any():
        adjusted[known] = stats.false_discovery_control(p[known])
    return adjusted


def _name_items(rows: pd.DataFrame, item_ids: pd.Index[Any]) -> pd.DataFrame:
    return rows if rows.empty else rows.assign(item_id=item_ids.take(rows["item"].to_numpy(dtype=int)))


def _stack(frames: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()
