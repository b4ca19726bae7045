"""Who was invited, sat and is usable: counts with their denominators, no score and so no score gate."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from bgtk_lib.findings import COUNTING, COVERING, Figure, Withheld
from bgtk_lib.words import plain, say

ORDER = ("coverage.invited", "coverage.sat", "coverage.usable")
CAPPED, FEWEST_FOR_ALL = 95, 60  # below 60 persons no "100 %": it would speak of each of them
COUNT_COLUMNS = ["cell", "invited", "sat", "usable"]


def count_coverage(
    roster: pd.DataFrame | None, session: pd.DataFrame, usable: pd.DataFrame, *, by: str
) -> pd.DataFrame:
    """Count the persons invited, those who sat, and those with a usable sitting, by group.

    Parameters
    ----------
    roster : DataFrame or None
        pid and the group's column of everyone invited; None where no roster came.
    session : DataFrame
        pid and the group's column of everyone who sat.
    usable : DataFrame
        The same of those whose sitting the checks accepted.
    by : str
        Column of the group: ``district``, ``jenjang`` or ``assessment``.

    Returns
    -------
    DataFrame
        cell, invited (null without a roster), sat, usable; cells in code order; persons counted once a cell. A person
        who sat uninvited is counted as invited, so that shares never pass 100 %.
    """
    everyone = session if roster is None else pd.concat([roster[["pid", by]], session[["pid", by]]])
    counts = {
        name: frame.dropna(subset=by).groupby(by)["pid"].nunique()
        for name, frame in (("invited", everyone), ("sat", session), ("usable", usable))
    }
    table = pd.DataFrame(counts).fillna(0).astype(int).sort_index().rename_axis("cell").reset_index()
    if roster is None:
        table["invited"] = pd.array([pd.NA] * len(table), dtype="Int64")
    return table[COUNT_COLUMNS]


def list_coverage(counts: pd.DataFrame, *, by: str, wave: str) -> list[Figure]:
    """Return coverage as figures: `coverage.invited`, `.sat`, `.usable` (persons) and `.share` (percent of invited).

    Parameters
    ----------
    counts : DataFrame
        As `count_coverage` returns it.
    by : str
        What the cells are.
    wave : str
        Which wave.
    """
    figures = []
    for row in counts.to_dict("records"):
        cell, n = str(row["cell"]), 0 if pd.isna(row["invited"]) else int(row["invited"])
        where, population = {by: cell, "wave": wave}, say("population.cell", cell=plain(cell), wave=plain(wave))
        figure = partial(Figure, where=where, population=population, gates=COVERING)
        uninvited = Withheld(say("coverage.no_roster"))
        figures.append(figure(name="coverage.invited", value=n or uninvited, unit="persons", n=n))
        figures += [
            figure(name=f"coverage.{name}", value=int(row[name]), unit="persons", n=int(row[name]))
            for name in ("sat", "usable")
        ]
        share = 100 * row["usable"] / n if n else uninvited
        figures.append(figure(name="coverage.share", value=share, unit="percent", n=n))
    return figures


def list_total(
    roster: pd.DataFrame | None, session: pd.DataFrame, usable: pd.DataFrame, *, wave: str, denominator: int | None
) -> list[Figure]:
    """Return the wave's totals: `coverage.invited`, `.sat`, `.usable`, and `.of_population` where its size is given.

    Parameters
    ----------
    roster, session, usable : DataFrame
        As in `count_coverage`.
    wave : str
        Which wave.
    denominator : int or None
        Size of the population by the source that the report prints.
    """
    everyone = None if roster is None else pd.concat([roster["pid"], session["pid"]]).nunique()
    sat, used = session["pid"].nunique(), usable["pid"].nunique()
    population = say("population.wave", wave=plain(wave))
    figure = partial(Figure, where={"wave": wave}, unit="persons", population=population, gates=COUNTING)
    invited = Withheld(say("coverage.no_roster")) if everyone is None else everyone
    figures = [
        figure(name="coverage.invited", value=invited, n=everyone or 0),
        figure(name="coverage.sat", value=sat, n=sat),
        figure(name="coverage.usable", value=used, n=used),
    ]
    if denominator:
        share = Figure(
            name="coverage.of_population",
            where={"wave": wave},
            value=100 * used / denominator,
            unit="percent",
            n=used,
            population=population,
            gates=COUNTING,
        )
        figures.append(share)
    return figures


def bound_shares(counts: pd.DataFrame, *, min_cell: int) -> pd.DataFrame:
    """Return shares that give no small group away: exact, or as a bound where the few on either side are too few.

    Parameters
    ----------
    counts : DataFrame
        cell, invited, usable, `few` (``absent``, ``present`` or null): which side `release_nested` withheld, and `base`:
        the smallest count shown that the usable ones are among (those who sat, else the invited).
    min_cell : int
        Fewest persons a printed number may stand for.

    Returns
    -------
    DataFrame
        cell, invited, share (percent), bound (``exact``, ``at_least``, ``at_most``); where fewer than `min_cell`
        of the base are absent, all that is said is "at least (base − min_cell + 1) / invited"; bounds are rounded away
        from the truth, never towards it; above 95 % of fewer than 60 "at least 95 %" is said.

    Examples
    --------
    Of 50 invited 40 sat, and fewer than ten of these are not usable: at least 31 of 50.

    >>> one = pd.DataFrame({"cell": ["a"], "invited": [50], "base": [40], "usable": [None], "few": ["absent"]})
    >>> bound_shares(one, min_cell=10)
      cell  invited  share     bound
    0    a       50   62.0  at_least
    """
    invited, usable = counts["invited"].astype(float), counts["usable"].astype(float)
    absent, present = counts["few"].eq("absent"), counts["few"].eq("present")
    least, most = 100 * (counts["base"].astype(float) - min_cell + 1) / invited, 100 * (min_cell - 1) / invited
    exact = 100 * usable / invited
    nearly_all = exact.gt(CAPPED) & invited.lt(FEWEST_FOR_ALL) & ~absent & ~present
    share = exact.round().mask(nearly_all, CAPPED).mask(present, most.map(np.ceil)).mask(absent, least.map(np.floor))
    bound = pd.Series("exact", index=counts.index, dtype="str")
    bound = bound.mask(nearly_all, "at_least").mask(present, "at_most").mask(absent, "at_least")
    return pd.DataFrame({"cell": counts["cell"], "invited": counts["invited"], "share": share, "bound": bound})
