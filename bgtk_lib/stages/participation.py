"""Who took part in which programme, who applied for it, and what raters saw: the tables that programmes are judged by."""

from __future__ import annotations

import pandas as pd

from bgtk_lib.schema import conform, tables
from bgtk_lib.workspace import Workspace

PERSON = ["pid", "programme", "role"]
PARTICIPATION = [*PERSON, "start", "end", "hours", "sessions", "assignment"]


def lay_programme_tables(workspace: Workspace) -> dict[str, pd.DataFrame]:
    """Return the tables on programmes that the score stage stores: participation, training, applicants, rubric, staff.

    Parameters
    ----------
    workspace : Workspace
        After the checks. A table that no source gives is empty.
    """
    return {
        "participation": list_participation(workspace),
        "training": _read(workspace, "training").drop(columns="row"),
        "applicants": list_applicants(workspace),
        "rubric": _read(workspace, "rubric").drop(columns="row"),
        "staff": list_staff(workspace),
    }


def list_participation(workspace: Workspace) -> pd.DataFrame:
    """Return who took part in what: one row a person, programme and role, several courses added up.

    Parameters
    ----------
    workspace : Workspace
        After the checks.

    Returns
    -------
    DataFrame
        pid, programme, role (``participant`` where the list names none), start (of the first course), end (of the
        last), hours, sessions (null where one course does not tell) and assignment (``unknown`` where the list does not
        tell, tells no known way, or several).
    """
    rows = _read(workspace, "training")
    ways = tables()["training"].columns["assignment"].allowed
    rows["role"] = rows["role"].fillna("participant")
    rows["assignment"] = rows["assignment"].where(rows["assignment"].isin(ways), "unknown")
    groups = rows.groupby(PERSON)
    found = groups.agg(start=("start", "min"), end=("end", "max"), assignment=("assignment", "min"))
    found["assignment"] = found["assignment"].where(found["assignment"] == groups["assignment"].max(), "unknown")
    for amount in ("hours", "sessions"):
        found[amount] = groups[amount].sum(skipna=False)
    return found.reset_index()[PARTICIPATION]


def list_applicants(workspace: Workspace) -> pd.DataFrame:
    """Return who applied for a programme and what the lot gave: one row a person, programme and call.

    Parameters
    ----------
    workspace : Workspace
        After the checks.

    Returns
    -------
    DataFrame
        pid, programme, call, applied, stratum, drawn (null: no part in the lottery) and attended: as written, else
        whether the person is among the programme's participants; null where nobody is.
    """
    rows = _read(workspace, "applicant").drop(columns="row")
    took = list_participation(workspace)
    took = took[took["role"] == "participant"]
    listed = pd.MultiIndex.from_frame(rows[["pid", "programme"]]).isin(pd.MultiIndex.from_frame(took[PERSON[:2]]))
    known = pd.Series(listed, index=rows.index, dtype="boolean").where(rows["programme"].isin(took["programme"]))
    return rows.assign(attended=rows["attended"].fillna(known))


def list_staff(workspace: Workspace) -> pd.DataFrame:
    """Return what the master data say of persons and tests do not: one row a person.

    Parameters
    ----------
    workspace : Workspace
        After the checks.

    Returns
    -------
    DataFrame
        pid, ptk_kind, birth_year: of the newest master data, the home school first; null where not known.
    """
    rows = _read(workspace, "teacher").sort_values(["as_of", "home"], ascending=False, kind="stable")
    return rows.drop_duplicates("pid")[["pid", "ptk_kind", "birth_year"]].reset_index(drop=True)


def _read(workspace: Workspace, table: str) -> pd.DataFrame:
    rows = workspace.read_accepted(table)
    return conform(pd.DataFrame(), table) if rows is None else rows
