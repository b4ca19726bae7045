"""What the data quality report counts: rows by source, problems by district of records, sittings by time, blanks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from bgtk_lib.findings import Figure, Flow, FlowStep
from bgtk_lib.words import say

ROWS_ORDER = ("rows.received", "rows.accepted")
PROBLEMS_ORDER = ("problems.records", "problems.n")
ROW_COLUMNS = ["table", "received", "accepted", "set_aside"]


def account_rows(sources: Sequence[Mapping[str, Any]], set_aside: pd.DataFrame) -> pd.DataFrame:
    """Return what became of every row received, by canonical table.

    Parameters
    ----------
    sources : sequence of mapping
        As the ingest stage recorded them.
    set_aside : DataFrame
        table, position, reason of what the checks set aside afterwards.

    Returns
    -------
    DataFrame
        table, received, accepted, set_aside; received = accepted + set_aside in every row.
    """
    rows: dict[str, dict[str, int]] = {}
    for source in sources:
        entry = rows.setdefault(source["table"], {"received": 0, "set_aside": 0})
        entry["received"] += source["received"]
        entry["set_aside"] += sum(source["aside"].values())
    later = set_aside.drop_duplicates(["table", "position"])["table"].value_counts()
    frame = pd.DataFrame([{"table": table, **entry} for table, entry in sorted(rows.items())])
    frame["set_aside"] += frame["table"].map(later).fillna(0).astype(int)
    frame["accepted"] = frame["received"] - frame["set_aside"]
    return frame[ROW_COLUMNS]


def list_rows(rows: pd.DataFrame) -> list[Figure]:
    """Return `rows.received`, `rows.accepted` and `rows.set_aside` of every table, as figures.

    Parameters
    ----------
    rows : DataFrame
        As `account_rows` returns it.
    """
    figures = []
    for row in rows.to_dict("records"):
        figure = partial(Figure, where={"table": row["table"]}, unit="rows", population=say("population.rows"))
        figures += [figure(name=f"rows.{n}", value=row[n], n=row[n]) for n in ("received", "accepted", "set_aside")]
    return figures


def list_problems(problems: pd.DataFrame) -> list[Figure]:
    """Return `problems.records`, `problems.n` and `problems.share` of every district, as figures.

    Parameters
    ----------
    problems : DataFrame
        As `rate_problems` returns it.
    """
    figures = []
    for row in problems.to_dict("records"):
        figure = partial(Figure, where={"district": row["district"]}, population=say("population.rows"))
        figures += [
            figure(name="problems.records", value=row["records"], unit="rows", n=row["records"]),
            figure(name="problems.n", value=row["problems"], unit="rows", n=row["problems"]),
            figure(name="problems.share", value=row["share"], unit="percent", n=row["records"]),
        ]
    return figures


def rate_problems(session: pd.DataFrame) -> pd.DataFrame:
    """Return the share of sittings with a problem by district, of records, not of people.

    Parameters
    ----------
    session : DataFrame
        district, id_shape, reason (null where accepted) of every sitting received.

    Returns
    -------
    DataFrame
        district, records, problems, share (percent); a problem is a damaged identifier, or a sitting set aside for
        another reason than the attempt rule.
    """
    known = session.dropna(subset="district")
    damaged = known["id_shape"].notna() & ~known["id_shape"].isin(["ok", "none"])
    refused = known["reason"].notna() & (known["reason"] != "other_attempt")
    frame = known.assign(problem=damaged | refused).groupby("district")["problem"].agg(["size", "sum"]).reset_index()
    frame.columns = pd.Index(["district", "records", "problems"])
    return frame.assign(share=100 * frame["problems"] / frame["records"])


def count_sittings(session: pd.DataFrame, *, minutes: int = 60) -> pd.DataFrame:
    """Return how many sittings ended in each span of time, every span between the first and the last of a day.

    Parameters
    ----------
    session : DataFrame
        end of every sitting, zoned; null ones are left out.
    minutes : int
        Width of a span.
    """
    ended = session["end"].dropna().dt.tz_localize(None).dt.floor(f"{minutes}min")
    counts = ended.value_counts().sort_index()
    days = []
    for _, one in counts.groupby(counts.index.date):
        span = pd.date_range(one.index[0], one.index[-1], freq=f"{minutes}min")
        days.append(one.reindex(span, fill_value=0).rename_axis("start").rename("submissions").reset_index())
    empty = pd.DataFrame({"start": pd.to_datetime([]), "submissions": pd.array([], dtype=int)})
    frame = pd.DataFrame(pd.concat(days or [empty], ignore_index=True))
    return frame.assign(minutes=minutes, day=frame["start"].dt.date)


def rate_blanks(states: pd.DataFrame, *, most: int = 8) -> pd.DataFrame:
    """Return the share of answers omitted and not reached, by form and tenth of its positions.

    Parameters
    ----------
    states : DataFrame
        wave, form, decile, state, n.
    most : int
        Forms to show: those with the largest shares.

    Returns
    -------
    DataFrame
        form, state (``omitted``, ``not_reached``), decile, share (percent), n (answers in that state).
    """
    if states.empty:
        return pd.DataFrame(columns=["form", "state", "decile", "share", "n"])
    grid = states.groupby(["form", "decile", "state"], as_index=False)["n"].sum()
    totals = grid.groupby(["form", "decile"], as_index=False)["n"].sum().rename(columns={"n": "answers"})
    parts = []
    for state in ("omitted", "not_reached"):
        here = totals.merge(grid[grid["state"] == state], on=["form", "decile"], how="left", validate="one_to_one")
        parts.append(here.assign(state=state, n=here["n"].fillna(0), share=100 * here["n"].fillna(0) / here["answers"]))
    rates = pd.concat(parts, ignore_index=True)[["form", "state", "decile", "share", "n"]]
    shown = rates.groupby("form")["share"].max().nlargest(most).index
    rates = rates[rates["form"].isin(shown)]
    return pd.DataFrame(rates).reset_index(drop=True)


def follow_sittings(session: pd.DataFrame) -> Flow:
    """Return the flow of sittings, received → valid; `reason` says why one was set aside, null where not."""
    reasons = {str(reason): int(n) for reason, n in session["reason"].dropna().value_counts().items()}
    valid = int(session["reason"].isna().sum())
    steps = (
        FlowStep(state="received", n=len(session)),
        FlowStep(state="valid", n=valid, set_aside=len(session) - valid, reasons=reasons),
    )
    return Flow(steps)
