"""The gap between two named groups, before and after, and by how much it changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from bgtk_lib.change.describe import FEWEST_DF
from bgtk_lib.change.drawn import Drawn
from bgtk_lib.change.evenness.subgroups import Grouping, contrast_groups, keep_conditioned, name_population
from bgtk_lib.change.strata import ClusterBy
from bgtk_lib.findings import COMPARING, Figure, Status, Withheld
from bgtk_lib.pairing import name_levels
from bgtk_lib.words import say

GAP_COLUMNS = ["grouping", "first", "second", "n_first", "n_second", "when", "value", "se", "df", "low", "high", "note"]


@dataclass(frozen=True, kw_only=True)
class GroupPair:
    """Two groups whose means are compared: `first` less `second`, each one level or several of one grouping."""

    grouping: Grouping
    first: tuple[str, ...]
    second: tuple[str, ...]


NAMED_GAPS = (
    GroupPair(grouping="kota_kabupaten", first=("kota",), second=("kabupaten",)),
    GroupPair(grouping="jenjang", first=("SMP",), second=("SD",)),
    GroupPair(grouping="jenjang", first=("SMA",), second=("SMP",)),
    GroupPair(grouping="jenjang", first=("SMK",), second=("SMA",)),
    GroupPair(grouping="status", first=("PNS", "PPPK"), second=("honorer",)),
    GroupPair(grouping="sex", first=("P",), second=("L",)),
)


def estimate_group_gaps(
    drawn: Drawn,
    gaps: Sequence[GroupPair] = NAMED_GAPS,
    *,
    conditioned: pd.DataFrame,
    cluster: ClusterBy = "school",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Estimate how far two groups lie apart before and after, and by how much that changed.

    Parameters
    ----------
    drawn, conditioned, cluster, confidence
        As in `estimate_subgroups`.
    gaps : sequence of GroupPair
        What is compared.

    Returns
    -------
    DataFrame
        `GAP_COLUMNS`, three rows a gap: `when` is ``pre``, ``post`` or ``change``. A gap of which one group has nobody is
        left out. Numbers are null where `note` says why: ``not_conditioned`` or ``few_clusters``.

    Notes
    -----
    As `contrast_groups`, of the scores and of the gains: the same persons at both waves, so what they share cancels. The
    change is signed like the gap; it narrowed where the two have opposite signs.
    """
    rows = []
    for gap in gaps:
        levels = name_levels(drawn.frame, gap.grouping)
        if not (levels.isin(gap.first).any() and levels.isin(gap.second).any()):
            continue
        kept = keep_conditioned(drawn, gap.grouping, conditioned)
        levels = name_levels(kept.frame, gap.grouping)
        first, second = (levels.isin(side).to_numpy() for side in (gap.first, gap.second))
        facts: dict[str, Any] = {"grouping": gap.grouping, "first": "+".join(gap.first), "second": "+".join(gap.second)}
        facts |= {"n_first": int(first.sum()), "n_second": int(second.sum())}
        contrast = partial(contrast_groups, kept, first=first, second=second, cluster=cluster, confidence=confidence)
        for when, values in (("pre", kept.pre), ("post", kept.post), ("change", kept.gain)):
            found = contrast(values)
            if isinstance(found, Withheld) or found.df < FEWEST_DF:
                known = first.any() and second.any()
                rows.append(facts | {"when": when, "note": "few_clusters" if known else "not_conditioned"})
                continue
            told = {"value": found.estimate, "se": found.se, "df": found.df, "low": found.low, "high": found.high}
            rows.append(facts | {"when": when} | told)
    return pd.DataFrame(rows, columns=GAP_COLUMNS).astype({"note": "str"})


def list_group_gaps(table: pd.DataFrame, *, status: Status = "exploratory") -> list[Figure]:
    """Return gaps as figures: `gap.pre`, `gap.post`, `gap.change` and `gap.n` of each group.

    Parameters
    ----------
    table : DataFrame
        As `estimate_group_gaps` returns it. `where` is grouping, first and second; for `gap.n` also group. The n of a gap
        is that of its smaller group, so that it is withheld with it.
    status : {"planned", "exploratory", "descriptive"}
        Whether the analysis plan names these gaps.
    """
    figures = []
    for row in table.to_dict("records"):
        where = {name: row[name] for name in ("grouping", "first", "second")}
        compared = name_population(row["grouping"], f"{row['first']} – {row['second']}")
        told = partial(Figure, population=compared, status=status, gates=(*COMPARING, "C12"))
        if row["when"] == "pre" and pd.isna(row["note"]):
            counts = {row["first"]: row["n_first"], row["second"]: row["n_second"]}
            for group, n in counts.items():
                figures.append(told(name="gap.n", where=where | {"group": group}, value=n, unit="persons", n=n))
        one = partial(
            told, name=f"gap.{row['when']}", where=where, unit="points", n=min(row["n_first"], row["n_second"])
        )
        if pd.notna(row["note"]):
            figures.append(one(value=Withheld(say(f"withheld.{row['note']}"))))
        else:
            figures.append(one(value=row["value"], low=row["low"], high=row["high"], se=row["se"]))
    return figures
