"""Who was invited, sat and is usable: counts with their denominators, no score and so no score gate."""

from __future__ import annotations

import pandas as pd

from bgtk_lib.findings import Figure, Withheld
from bgtk_lib.words import plain, say

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
    counts = {name: frame.dropna(subset=by).groupby(by)["pid"].nunique() for name, frame in
              (("invited", everyone), ("sat", session), ("usable", usable))}
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
    for row in counts.itertuples():
        where = {by: str(row.cell), "wave": wave}
        shared = {"where": where, "population": say("population.cell", cell=plain(str(row.cell)), wave=plain(wave)), "gates": ("D07", "D08", "D09")}
        for name in ("invited", "sat", "usable"):
            n = getattr(row, name)
            value = Withheld(say("coverage.no_roster")) if pd.isna(n) else int(n)
            figures.append(Figure(name=f"coverage.{name}", value=value, unit="persons", n=0 if pd.isna(n) else int(n), **shared))
        share = Withheld(say("coverage.no_roster")) if pd.isna(row.invited) or not row.invited else 100 * row.usable / row.invited
        n = 0 if pd.isna(row.invited) else int(row.invited)
        figures.append(Figure(name="coverage.share", value=share, unit="percent", n=n, **shared))
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
    shared = {"where": {"wave": wave}, "unit": "persons", "population": say("population.wave", wave=plain(wave)), "gates": ("D07", "D09")}
    figures = [
        Figure(name="coverage.invited", value=Withheld(say("coverage.no_roster")) if everyone is None else everyone, n=everyone or 0, **shared),
        Figure(name="coverage.sat", value=sat, n=sat, **shared),
        Figure(name="coverage.usable", value=used, n=used, **shared),
    ]
    if denominator:
        figures.append(Figure(name="coverage.of_population", value=100 * used / denominator, n=used, **{**shared, "unit": "percent"}))
    return figures


def bound_shares(counts: pd.DataFrame, *, min_cell: int) -> pd.DataFrame:
    """Return shares that give no small group away: exact, or as a bound where the few on either side are too few.

    Parameters
    ----------
    counts : DataFrame
        cell, invited, usable, as `count_coverage` returns it.
    min_cell : int
        Fewest persons a printed number may stand for.

    Returns
    -------
    DataFrame
        cell, invited, share (percent), bound (``exact``, ``at_least``, ``at_most``); where fewer than `min_cell`
        of the invited are absent, all that is said is "at least (invited − min_cell + 1) / invited".
    """
    invited, usable = counts["invited"].astype(float), counts["usable"].astype(float)
    absent = invited - usable
    least = 100 * (invited - min_cell + 1) / invited
    most = 100 * (min_cell - 1) / invited
    few_absent, few_there = absent < min_cell, usable < min_cell
    share = (100 * usable / invited).mask(few_there, most).mask(few_absent, least)
    bound = pd.Series("exact", index=counts.index).mask(few_there, "at_most").mask(few_absent, "at_least")
    return pd.DataFrame({"cell": counts["cell"], "invited": counts["invited"], "share": share, "bound": bound})
