"""What a panel of experts says of items: Aiken's V, content validity ratio and index, each beside what it must reach.

Experts judge the items they have no interest in. What the writer of an item, a coach or anybody with a declared
conflict says of it is set aside with the reason and counted; what each organisation says stands in a table of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from bgtk_lib.errors import ParameterError, Text
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.content_validity import judge_sums, score_interval
from bgtk_lib.words import say

Advice = Literal["keep", "revise", "discuss"]

ROUNDING = 1e-12  # by less than this a share does not miss its threshold
CVI_LEAST = 7 / 9  # the .78 of the literature is seven of nine, rounded
CVI_RATERS = (3, 6)  # from three raters on all must agree, from six on `CVI_LEAST` of them

PANEL_COLUMNS = ["item_id", "rater", "rating", "scale", "organisation", "conflict"]
USED_COLUMNS = ["item_id", "scale", "rater", "organisation", "rating"]
ASIDE_COLUMNS = [*PANEL_COLUMNS, "reason"]
ITEM_COLUMNS = ["item_id", "scale", "n", "n_conflict", "n_unusable", "v", "v_low", "v_high", "v_critical", "p"]
ITEM_COLUMNS += ["n_favourable", "cvi", "cvi_least", "cvr", "cvr_critical", "kappa_star", "advice", "note"]
SCALE_COLUMNS = ["scale", "n_items", "n_unrated", "n_raters", "cvi_average", "cvi_unanimous", "note"]
ORGANISATION_COLUMNS = ["item_id", "scale", "organisation", "n", "n_conflict", "v", "v_low", "v_high"]
ADVICE_COLUMNS = ["item_id", "advice", "scale", "note"]

UNUSABLE = ("incomplete", "unknown_scale", "no_rating", "outside_scale", "repeated")
CONFLICTS = ("writer", "coach", "other_conflict")
NO_VERDICT = ("no_independent_rating", "cannot_be_significant", "too_few_raters")
AGAINST = ("not_supported", "not_significant", "few_favourable")


@dataclass(frozen=True, kw_only=True)
class RatingScale:
    """A scale that experts rate on, in whole steps.

    Attributes
    ----------
    low, high : int
        Lowest and highest rating.
    favourable : int
        The lowest rating that counts as a yes: relevant, clear, essential.
    rule : {"cvi", "cvr"}
        What the share of yes is held against: the least content validity index, or the critical value of the content
        validity ratio.

    Raises
    ------
    ParameterError
        If not low < favourable ≤ high.
    """

    low: int
    high: int
    favourable: int
    rule: Literal["cvi", "cvr"] = "cvi"

    def __post_init__(self) -> None:
        if not self.low < self.favourable <= self.high:
            raise ParameterError(say("experts.scale", low=self.low, high=self.high, favourable=self.favourable))


SCALES: Mapping[str, RatingScale] = MappingProxyType(
    {
        "relevance_4": RatingScale(low=1, high=4, favourable=3),
        "relevance_5": RatingScale(low=1, high=5, favourable=4),
        "clarity_4": RatingScale(low=1, high=4, favourable=3),
        "clarity_5": RatingScale(low=1, high=5, favourable=4),
        "essential_3": RatingScale(low=1, high=3, favourable=3, rule="cvr"),
    }
)


@dataclass(frozen=True, kw_only=True, eq=False)
class PanelReview:
    """What the independent raters of a panel say, item by item, and who was not counted.

    Attributes
    ----------
    items : DataFrame
        `ITEM_COLUMNS`, one row an item and scale in the order of the panel. `n`: independent raters. `n_conflict`,
        `n_unusable`: ratings set aside for a conflict, and because they cannot be read. `v`, `v_low`, `v_high`:
        Aiken's V with its interval. `v_critical`: what V must reach with n raters; null where not even unanimity does.
        `p`: exact right tail. `n_favourable`: raters who say yes. `cvi`, `cvi_least`: their share, and what it must
        reach; null for fewer than three raters. `cvr`, `cvr_critical`: the same as a ratio; null for fewer raters than
        can reach it. `kappa_star`: modified kappa. `advice`: ``keep``, ``revise`` or ``discuss``. `note`: why not
        ``keep``; see `review_panel`.
    scales : DataFrame
        `SCALE_COLUMNS`, one row a scale. `n_items`: items with an independent rating, which both indices rest on.
        `n_unrated`: items without. `n_raters`: independent raters. `cvi_average`, `cvi_unanimous`: mean of the items'
        CVI (S-CVI/Ave), and share of items with a CVI of 1 (S-CVI/UA). `note`: ``no_independent_rating`` where both
        are null.
    organisations : DataFrame
        `ORGANISATION_COLUMNS`, one row an item, scale and organisation with two raters or more: V of all who did not
        write the item, with `n_conflict`, how many of the `n` declared a conflict and are not in `items`.
    used : DataFrame
        `USED_COLUMNS`: the ratings `items` rests on.
    aside : DataFrame
        `ASIDE_COLUMNS`: all others as received, each with a `reason`: one of `UNUSABLE` or `CONFLICTS`.
    n_raters : int
        Raters with at least one rating that can be read.
    n_writers, n_coaches : int
        Those of them who wrote any item, or declared it; who declared being a coach. One may be both.
    n_interested : int
        Those who are either.
    n_undeclared : int
        Those who left the conflict empty on some row; they count as independent.
    writers_known : bool
        Whether it was said who wrote which item.
    """

    items: pd.DataFrame
    scales: pd.DataFrame
    organisations: pd.DataFrame
    used: pd.DataFrame
    aside: pd.DataFrame
    n_raters: int
    n_writers: int
    n_coaches: int
    n_interested: int
    n_undeclared: int
    writers_known: bool

    @property
    def share_interested(self) -> float | Withheld:
        """Share of raters who are writers or coaches."""
        if self.n_raters == 0:
            return Withheld(say("experts.no_raters"))
        return self.n_interested / self.n_raters

    @property
    def advice(self) -> pd.DataFrame:
        """`ADVICE_COLUMNS`, one row an item: the gravest advice of its scales (revise, discuss, keep), and which."""
        grave = self.items["advice"].map({"revise": 0, "discuss": 1, "keep": 2})
        chosen = self.items.loc[grave.sort_values(kind="stable").index].drop_duplicates("item_id").sort_index()
        return chosen[ADVICE_COLUMNS].reset_index(drop=True)

    def spread(self, scale: str) -> pd.DataFrame:
        """Return the ratings used on one scale as items × raters, null where a rater gave none; see `agreement`."""
        chosen = self.used[self.used["scale"] == scale]
        return chosen.pivot_table(index="item_id", columns="rater", values="rating", aggfunc="first", sort=False)


def review_panel(
    panel: pd.DataFrame,
    *,
    writers: pd.DataFrame | None,
    scales: Mapping[str, RatingScale] = SCALES,
    alpha: float = 0.05,
    confidence: float = 0.95,
) -> PanelReview:
    """Compute what the independent experts of a panel say of each item, and advise on it.

    Parameters
    ----------
    panel : DataFrame
        `PANEL_COLUMNS`, one row a rating, of one version of each item; `organisation` and `conflict` (``none``,
        ``writer``, ``coach``, ``other``; null: not declared) may be absent.
    writers : DataFrame or None
        `item_id`, `rater`: who wrote which item; None where it is not known.
    scales : mapping
        Code of the column `scale` → `RatingScale`.
    alpha : float
        Level of both critical values, one-sided.
    confidence : float
        Of the intervals of V, between 0 and 1.

    Returns
    -------
    PanelReview

    Notes
    -----
    Missing ratings: every statistic uses the n independent raters who rated the item. A rating is set aside, by the
    first reason that holds, as ``incomplete`` (no item or no rater), ``unknown_scale``, ``no_rating``,
    ``outside_scale`` (beyond the ends, between the steps, or no number), ``repeated`` (rated twice: nobody knows which
    holds), ``writer`` (of this item, by `writers` or declared), ``coach`` (who declares it once is one on every item)
    or ``other_conflict`` (any other word but ``none``).

    Advice: ``keep`` if V reaches its critical value *and* enough raters say yes; ``revise`` if neither
    (``not_supported``); else ``discuss``, because V does not reach it (``not_significant``), or too few say yes
    (``few_favourable``), or there are so few raters that V cannot reach it (``cannot_be_significant``) or the share has
    no threshold (``too_few_raters``), or none (``no_independent_rating``). Enough is, by the scale's rule, a CVI of 1
    with three to five raters and of 7/9 (.78) from six on, or the critical value of CVR. CVI is n_e/n, and
    κ* = (CVI − p_c)/(1 − p_c) with p_c the binomial probability of n_e in n at one half.

    References
    ----------
    Lynn, M. R. (1986). Determination and quantification of content validity. *Nursing Research* 35, 382-385.

    Polit, D. F., Beck, C. T. & Owen, S. V. (2007). Is the CVI an acceptable indicator of content validity? *Research in
    Nursing & Health* 30, 459-467.

    Examples
    --------
    Three raters give 4, 4, 3 of four: V = (3 + 3 + 2)/(3·3) = 8/9, but with three raters only 1 is beyond chance. The
    fourth wrote the item.

    >>> panel = pd.DataFrame({"item_id": "b1", "rater": list("abcd"), "rating": [4, 4, 3, 4], "scale": "relevance_4"})
    >>> review = review_panel(panel, writers=pd.DataFrame({"item_id": ["b1"], "rater": ["d"]}))
    >>> review.items[["n", "n_conflict", "v", "v_critical", "cvi", "advice", "note"]].round(3)
       n  n_conflict      v  v_critical  cvi   advice             note
    0  3           1  0.889         1.0  1.0  discuss  not_significant
    """
    text = dict.fromkeys(set(PANEL_COLUMNS) - {"rating"}, "str")  # codes, however the caller's frame types them
    pairs = pd.DataFrame(columns=["item_id", "rater"]) if writers is None else writers
    pairs = pairs[["item_id", "rater"]].astype("str")
    rows = _sort_out(panel.reindex(columns=PANEL_COLUMNS).astype(text).reset_index(drop=True), pairs, scales)
    used = rows.assign(rating=rows["number"]).loc[rows["n"], USED_COLUMNS].reset_index(drop=True)
    items = _describe_items(rows, alpha=alpha, confidence=confidence)

    read = rows[~rows["reason"].isin(UNUSABLE)]
    raters = pd.Index(read["rater"].unique())
    wrote = raters.isin([*rows.loc[rows["conflict"] == "writer", "rater"], *pairs["rater"]])
    coach = raters.isin(rows.loc[rows["conflict"] == "coach", "rater"])
    return PanelReview(
        items=items,
        scales=_describe_scales(items, used),
        organisations=_describe_organisations(read[read["reason"] != "writer"], confidence=confidence),
        used=used,
        aside=rows.loc[~rows["n"], ASIDE_COLUMNS].reset_index(drop=True),
        n_raters=len(raters),
        n_writers=int(wrote.sum()),
        n_coaches=int(coach.sum()),
        n_interested=int((wrote | coach).sum()),
        n_undeclared=read.loc[read["conflict"].isna(), "rater"].nunique(),
        writers_known=writers is not None,
    )


def explain_code(code: str) -> Text:
    """Return the words of a code: an advice, a note of `ITEM_COLUMNS` or `ICC_COLUMNS`, or why a rating is aside."""
    return say(f"experts.code.{code}")


def _sort_out(rows: pd.DataFrame, writers: pd.DataFrame, scales: Mapping[str, RatingScale]) -> pd.DataFrame:
    """Return the rows with a `reason` to set them aside, and what the tables sum.

    `n`, `n_conflict`, `n_unusable`: whether it is used, or why not. `number`: the rating as a number. `points`: steps
    above the lowest rating. `yes`: whether it is favourable. `categories`, `rule`: of its scale.
    """
    rating = pd.to_numeric(rows["rating"], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    low, high, favourable = (
        rows["scale"].map({code: getattr(scale, name) for code, scale in scales.items()}).to_numpy(dtype=float)
        for name in ("low", "high", "favourable")
    )
    unusable = np.select(
        [
            rows[["item_id", "rater"]].isna().any(axis=1),
            ~rows["scale"].isin(list(scales)),
            rows["rating"].isna(),
            ~((low <= rating) & (rating <= high) & (rating % 1 == 0)),
        ],
        UNUSABLE[:-1],
        default="",
    )
    read = unusable == ""
    twice = rows[read].duplicated(["item_id", "rater", "scale"], keep=False).reindex(rows.index, fill_value=False)
    pair = pd.MultiIndex.from_frame(rows[["item_id", "rater"]])
    wrote = (rows["conflict"] == "writer") | pair.isin(pd.MultiIndex.from_frame(writers))
    coach = rows["rater"].isin(rows.loc[rows["conflict"] == "coach", "rater"])
    other = rows["conflict"].notna() & (rows["conflict"] != "none")
    reason = np.select([~read, twice, wrote, coach, other], [unusable, UNUSABLE[-1], *CONFLICTS], default="")
    return rows.assign(
        reason=reason,
        n=reason == "",
        n_conflict=np.isin(reason, CONFLICTS),
        n_unusable=np.isin(reason, UNUSABLE),
        points=np.where(read, rating - low, 0),
        yes=read & (rating >= favourable),
        categories=np.nan_to_num(high - low + 1).astype(int),
        rule=rows["scale"].map({code: scale.rule for code, scale in scales.items()}),
        number=rating,
    )


def _describe_items(rows: pd.DataFrame, *, alpha: float, confidence: float) -> pd.DataFrame:
    """Return `ITEM_COLUMNS`; see `PanelReview`."""
    known = rows[~rows["reason"].isin(["incomplete", "unknown_scale"])]
    summed = known.assign(points=known["points"] * known["n"], n_favourable=known["yes"] & known["n"])
    items = _sum_up(
        summed, ["item_id", "scale"], ["n", "n_conflict", "n_unusable", "n_favourable"], confidence=confidence
    )
    n, n_yes = items["n"].to_numpy(), items["n_favourable"].to_numpy()
    p, least = judge_sums(items["points"], n=n, n_categories=items["categories"], alpha=alpha)
    _, least_yes = judge_sums(n_yes, n=n, n_categories=np.full(len(n), 2), alpha=alpha)
    counted = np.where(n > 0, n, np.nan)
    cvi, chance = n_yes / counted, stats.binom.pmf(n_yes, n, 0.5)
    cvi_least = np.select([n < CVI_RATERS[0], n < CVI_RATERS[1]], [np.nan, 1.0], default=CVI_LEAST)

    needed = np.where(items["rule"] == "cvr", least_yes / counted, cvi_least)
    beyond, enough = items["points"].to_numpy() >= least, cvi >= needed - ROUNDING
    note = np.select(
        [n == 0, np.isnan(least), np.isnan(needed), ~beyond & ~enough, ~beyond, ~enough],
        [*NO_VERDICT, *AGAINST],
        default="",
    )
    return items.assign(
        v_critical=least / (counted * (items["categories"] - 1)),
        p=p,
        cvi=cvi,
        cvi_least=cvi_least,
        cvr=2 * cvi - 1,
        cvr_critical=2 * least_yes / counted - 1,
        kappa_star=(cvi - chance) / np.where(n > 0, 1 - chance, np.nan),
        advice=pd.Series(np.select([note == "", note == "not_supported"], ["keep", "revise"], "discuss"), dtype="str"),
        note=pd.Series(note, dtype="str").where(note != ""),
    )[ITEM_COLUMNS]


def _describe_scales(items: pd.DataFrame, used: pd.DataFrame) -> pd.DataFrame:
    """Return `SCALE_COLUMNS`; see `PanelReview`."""
    rated = items["n"] > 0
    all_yes = (items["cvi"] == 1).astype(float).where(rated)
    by_scale = items.assign(rated=rated, all_yes=all_yes).groupby("scale", sort=False)
    frame = by_scale.agg(
        n_items=("rated", "sum"), n=("n", "size"), cvi_average=("cvi", "mean"), cvi_unanimous=("all_yes", "mean")
    ).reset_index()
    n_raters = frame["scale"].map(used.groupby("scale")["rater"].nunique()).fillna(0).astype(int)
    note = pd.Series("no_independent_rating", index=frame.index, dtype="str").where(frame["n_items"] == 0)
    return frame.assign(n_unrated=frame["n"] - frame["n_items"], n_raters=n_raters, note=note)[SCALE_COLUMNS]


def _describe_organisations(rows: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """Return `ORGANISATION_COLUMNS`; see `PanelReview`."""
    key = ["item_id", "scale", "organisation"]
    found = _sum_up(rows.assign(n=True), key, ["n", "n_conflict"], confidence=confidence)
    return found.loc[found["n"] >= 2, ORGANISATION_COLUMNS].reset_index(drop=True)


def _sum_up(rows: pd.DataFrame, key: list[str], counts: list[str], *, confidence: float) -> pd.DataFrame:
    """Return the sums of points and counts of each group in the order of the rows, with V and its interval."""
    groups = rows.groupby(key, sort=False)
    frame = groups[["points", *counts]].sum().astype(int).join(groups[["categories", "rule"]].first()).reset_index()
    n, c = frame["n"], frame["categories"]
    v = frame["points"] / (n * (c - 1)).where(n > 0)
    ends = score_interval(v, n=n, n_categories=c, confidence=confidence)
    return frame.assign(v=v, v_low=ends[:, 0], v_high=ends[:, 1])
