"""Change by subgroup, and how far it differs from that of the others: over all draws, schools as clusters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from bgtk_lib.change.clusters import Contrast, Floats, contrast_cr2
from bgtk_lib.change.describe import FEWEST_DF
from bgtk_lib.change.drawn import Drawn, combine_contrasts, combine_means
from bgtk_lib.change.strata import ClusterBy, lay_out
from bgtk_lib.errors import Text
from bgtk_lib.findings import COMPARING, Figure, Withheld
from bgtk_lib.pairing import name_levels
from bgtk_lib.words import plain, say

Mask = NDArray[np.bool_]
Grouping = Literal["sex", "jenjang", "status", "device", "kota_kabupaten"]
DIFFERENCE = ["difference", "difference_se", "difference_df", "difference_low", "difference_high", "p", "p_adjusted"]
SUBGROUP_COLUMNS = ["grouping", "level", "status", "n", "mean", "se", "df", "low", "high", *DIFFERENCE, "note"]


def keep_conditioned(drawn: Drawn, grouping: str, conditioned: pd.DataFrame) -> Drawn:
    """Return the persons whose level is one that the draws know; of points of a form, whose level is known.

    Parameters
    ----------
    drawn : Drawn
        The persons.
    grouping : str
        ``district`` or a `Grouping`; kota and kabupaten are known where the district is.
    conditioned : DataFrame
        grouping, level, state: what the plausible values were conditioned on is ``kept``.
    """
    levels = name_levels(drawn.frame, grouping)
    if drawn.unit == "points":
        return drawn.take(levels.notna().to_numpy())
    column = "district" if grouping == "kota_kabupaten" else grouping
    known = conditioned.reindex(columns=["grouping", "level", "state"])
    kept = known.loc[(known["grouping"] == column) & (known["state"] == "kept"), "level"]
    return drawn.take((levels.notna() & name_levels(drawn.frame, column).isin(kept)).to_numpy())


def contrast_groups(
    drawn: Drawn, values: Floats, *, first: Mask, second: Mask, cluster: ClusterBy, confidence: float
) -> Contrast | Withheld:
    """Estimate the difference of two groups' mean values, not adjusted for anything.

    Parameters
    ----------
    drawn : Drawn
        The persons.
    values : array of n × m
        Scores of one wave, or gains.
    first, second : array of bool
        Who is in which; the difference is first − second.
    cluster, confidence
        As in `combine_means`.

    Returns
    -------
    Contrast or Withheld
        Withheld where a group is empty or its clusters do not differ.

    Notes
    -----
    CR2 of a regression on the two groups, over all draws; a school may have persons of both. All sat the same two forms:
    the linking error adds nothing. Districts are not held fixed, so that intervals are rather too wide than too narrow.
    """
    if not (first.any() and second.any()):
        return Withheld(say("subgroup.empty"))
    rows = first | second
    groups = np.column_stack([first, second])[rows].astype(float)
    clusters = lay_out(drawn.frame[rows], cluster)["cluster"]
    found = contrast_cr2(values[rows], groups, clusters, weights=[1, -1])
    return combine_contrasts(drawn, found, linked=0, confidence=confidence)


def estimate_subgroups(
    drawn: Drawn,
    groupings: Sequence[Grouping],
    *,
    conditioned: pd.DataFrame,
    planned: Collection[str] = (),
    cluster: ClusterBy = "school",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Estimate the mean change of every subgroup, and how it differs from that of the others.

    Parameters
    ----------
    drawn : Drawn
        The persons.
    groupings : sequence of {"sex", "jenjang", "status", "device", "kota_kabupaten"}
        By what they are divided. Never by their own first scores (`evenness.refuse_by_pretest`).
    conditioned : DataFrame
        As in `keep_conditioned`; points of a form need none.
    planned : collection of str
        The groupings that the analysis plan names; any other is ``exploratory``.
    cluster, confidence
        As in `combine_means`.

    Returns
    -------
    DataFrame
        `SUBGROUP_COLUMNS`, a row a level, in the order of groupings and codes. Numbers are null where `note` says why:
        ``not_conditioned`` or ``few_clusters``. Where a grouping has two levels, the difference stands at the first only.
        Nothing is suppressed here.

    Notes
    -----
    The mean is that of `combine_means` among the level's persons, linking error included; the difference is that of
    `contrast_groups` from the others of a known level. `p_adjusted` controls the false discovery rate among all
    differences of one status (Benjamini & Hochberg): a difference counts only by it.

    References
    ----------
    Benjamini, Y. & Hochberg, Y. (1995). Controlling the false discovery rate: a practical and powerful approach to
    multiple testing. *Journal of the Royal Statistical Society B* 57(1), 289-300.

    Examples
    --------
    >>> from bgtk_lib.change.drawn import lay_draws
    >>> pairs = pd.DataFrame({"sex": list("LLLLPPPP"), "score_pre": 0.0, "score_post": [1.0, 1, 1, 5, 4, 4, 4, 8]})
    >>> drawn = lay_draws(pairs.assign(district=None, npsn=None), pd.DataFrame())
    >>> table = estimate_subgroups(drawn, ["sex"], conditioned=pd.DataFrame())
    >>> table[["level", "mean", "se", "difference"]].round(6).values.tolist()
    [['L', 2.0, 1.0, -3.0], ['P', 5.0, 1.0, nan]]
    """
    rows: list[dict[str, Any]] = []
    for grouping in groupings:
        kept = keep_conditioned(drawn, grouping, conditioned)
        level_of = name_levels(kept.frame, grouping)
        known = sorted(level_of.unique())
        everyone = name_levels(drawn.frame, grouping).value_counts()
        for level in sorted(everyone.index):
            row = {"grouping": grouping, "level": level, "status": "planned" if grouping in planned else "exploratory"}
            if level not in known:
                rows.append(row | {"n": int(everyone[level]), "note": "not_conditioned"})
                continue
            here = (level_of == level).to_numpy()
            told_apart = len(known) > 2 or (len(known) == 2 and level == known[0])
            rest = ~here if told_apart else np.zeros_like(here)
            found = _estimate_level(kept, here, rest, cluster=cluster, confidence=confidence)
            rows.append(row | {"n": int(here.sum())} | found)
    table = pd.DataFrame(rows, columns=SUBGROUP_COLUMNS).astype({"note": "str"} | dict.fromkeys(DIFFERENCE, float))
    for _, family in table.dropna(subset="p").groupby("status"):
        table.loc[family.index, "p_adjusted"] = multipletests(family["p"], method="fdr_bh")[1]
    return table


def _estimate_level(kept: Drawn, here: Mask, rest: Mask, *, cluster: ClusterBy, confidence: float) -> dict[str, Any]:
    own = kept.take(here)
    mean = combine_means(own, own.gain, cluster=cluster, linked=1, confidence=confidence)
    if isinstance(mean, Withheld) or mean.df < FEWEST_DF:
        return {"note": "few_clusters"}
    row = {"mean": mean.estimate, "se": mean.se, "df": mean.df, "low": mean.low, "high": mean.high}
    apart = contrast_groups(kept, kept.gain, first=here, second=rest, cluster=cluster, confidence=confidence)
    if isinstance(apart, Withheld) or apart.df < FEWEST_DF:
        return row
    values = [apart.estimate, apart.se, apart.df, apart.low, apart.high, apart.p]
    return row | dict(zip(DIFFERENCE, values, strict=False))


def list_subgroups(table: pd.DataFrame) -> list[Figure]:
    """Return subgroups as figures: `subgroup.change`, `.difference`, `.p_adjusted`, with `where` = grouping and level.

    Parameters
    ----------
    table : DataFrame
        As `estimate_subgroups` returns it.
    """
    figures = []
    for row in table.to_dict("records"):
        told = partial(
            Figure,
            where={"grouping": row["grouping"], "level": row["level"]},
            n=int(row["n"]),
            population=name_population(row["grouping"], row["level"]),
            status=row["status"],
            gates=COMPARING,
        )
        if pd.notna(row["note"]):
            figures.append(told(name="subgroup.change", value=Withheld(say(f"withheld.{row['note']}")), unit="points"))
            continue
        ends = {"low": row["low"], "high": row["high"], "se": row["se"]}
        figures.append(told(name="subgroup.change", value=row["mean"], unit="points", **ends))
        if pd.notna(row["p_adjusted"]):
            apart = {end: row[f"difference_{end}"] for end in ("low", "high", "se")}
            figures.append(told(name="subgroup.difference", value=row["difference"], unit="points", **apart))
            figures.append(told(name="subgroup.p_adjusted", value=row["p_adjusted"], unit="p"))
    return figures


def name_population(grouping: str, level: str) -> Text:
    """Say of whom a figure speaks: who sat both waves, of one level."""
    return say("subgroup.population", grouping=say(f"subgroup.grouping.{grouping}"), level=plain(level))
