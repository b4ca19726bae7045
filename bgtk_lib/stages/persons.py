"""Who sat: the facts about persons that items are compared by and plausible values are conditioned on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bgtk_lib.quality import place_sessions
from bgtk_lib.schema import conform
from bgtk_lib.stages.participation import list_applicants, list_participation
from bgtk_lib.workspace import Workspace

BY_SCORE = ("selected_top", "selected_need", "unknown")  # how participants came in: by a score, or nobody says
SITTING = ["session_id", "pid", "wave", "form_id", "start", "npsn", "device", "venue", "group"]


def describe_sittings(workspace: Workspace, session: pd.DataFrame) -> pd.DataFrame:
    """Return the accepted sittings with what is known of their persons.

    Parameters
    ----------
    workspace : Workspace
        Whose schools, teachers and forms are looked up.
    session : DataFrame
        The accepted rows of `session`.

    Returns
    -------
    DataFrame
        session_id, pid, wave, form_id, assessment, start, npsn, district, jenjang, device, venue, group, sex_told, sex, status;
        null where not known. `sex_told` is the test export's own, which comes before the master data's.
    """
    school, teacher = workspace.read_accepted("school"), workspace.read_accepted("teacher")
    person = session.reindex(columns=SITTING).assign(district=place_sessions(session, school))
    level = school.set_index("npsn")["jenjang"] if school is not None else pd.Series(dtype="str")
    person["jenjang"] = person["npsn"].map(level).astype("str")
    forms = {code: form.assessment for code, form in workspace.declared.forms.items()}
    person["assessment"] = person["form_id"].map(forms)
    known = pd.DataFrame(columns=["pid", "sex", "employment"]) if teacher is None else _know_teachers(teacher)
    known = known.set_index("pid")
    written = session["sex"] if "sex" in session else pd.Series(None, index=session.index, dtype="str")
    person["sex_told"] = written.astype("str")
    person["sex"] = person["sex_told"].fillna(person["pid"].map(known["sex"]).astype("str"))
    person["status"] = person["pid"].map(known["employment"]).astype("str")
    return person


def _know_teachers(teacher: pd.DataFrame) -> pd.DataFrame:
    """Return one row a teacher: the newest, and of the schools of one teacher the home school first."""
    order = teacher.reindex(columns=["pid", "as_of", "home", "sex", "employment"])
    order = order.assign(home=order["home"].fillna(value=False).astype(bool))
    order = order.sort_values(["as_of", "home"], ascending=False, na_position="last", kind="stable")
    return order.drop_duplicates("pid")


def list_programmes(workspace: Workspace) -> pd.DataFrame:
    """Return the groups that programmes make, which plausible values must know of before they are compared.

    Parameters
    ----------
    workspace : Workspace
        After the checks.

    Returns
    -------
    DataFrame
        pid, programme, start, chosen; one row a person and group. `chosen`: its members were, or may have been, picked by their
        first score, as tutors are. The groups of a programme, e.g. KKA: ``KKA`` takes part;
        ``KKA-tutor`` teaches or leads; ``KKA-before`` and ``KKA-later`` take part, but began before the first measurement
        of their phase ended, or once the second had begun; ``KKA-drawn`` has a seat by lot and did not come;
        ``KKA-applicant`` applied and has no seat.
    """
    took, applied = list_participation(workspace), list_applicants(workspace)
    among = pd.MultiIndex.from_frame(took[["pid", "programme"]])
    alone = applied[~pd.MultiIndex.from_frame(applied[["pid", "programme"]]).isin(among)]
    between = _date_phases(workspace).reindex(took["pid"])
    before, later = took["start"] < between["first"].to_numpy(), took["start"] >= between["second"].to_numpy()
    leads = took["role"].isin(["tutor", "facilitator"])
    by_score = leads | took["assignment"].isin(BY_SCORE)
    kinds = np.select([leads, before, later], ["-tutor", "-before", "-later"], "")
    seats = np.select([_holds(alone["attended"]), _holds(alone["drawn"])], ["", "-drawn"], "-applicant")
    rows = pd.concat(
        [
            took[["pid", "start"]].assign(programme=took["programme"] + kinds, chosen=by_score),
            alone[["pid"]].assign(programme=alone["programme"] + seats, chosen=False),
        ]
    )
    rows["chosen"] = rows.groupby("programme")["chosen"].transform("any")
    return rows.groupby(["pid", "programme"]).agg(start=("start", "min"), chosen=("chosen", "any")).reset_index()


def _holds(column: pd.Series[bool]) -> pd.Series[bool]:
    """Return where something is said to be so."""
    return column.fillna(value=False).astype(bool)


def span_waves(workspace: Workspace) -> pd.DataFrame:
    """Return the first and last day of every wave: as declared, else as sat.

    Parameters
    ----------
    workspace : Workspace
        After the checks.

    Returns
    -------
    DataFrame
        Index: the declared waves; phase, occasion, first, last (null where no day is declared and nobody sat).
    """
    session = workspace.read_accepted("session", ["wave", "start"])
    session = conform(pd.DataFrame(), "session") if session is None else session
    sat = session["start"].dt.tz_localize(None).dt.normalize().groupby(session["wave"]).agg(["min", "max"])
    rows = {}
    for name, wave in workspace.declared.waves.items():
        days = [pd.Timestamp(day) for day in wave.days] or sat.reindex([name]).iloc[0].tolist()
        rows[name] = (wave.phase, wave.occasion, min(days), max(days))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["phase", "occasion", "first", "last"])


def _date_phases(workspace: Workspace) -> pd.DataFrame:
    """Return for each person who sat: the last day of the phase's first measurement and the first of its second."""
    waves = span_waves(workspace)
    first = waves[waves["occasion"] == "pre"].groupby("phase")["last"].max()
    second = waves[waves["occasion"] == "post"].groupby("phase")["first"].min()
    session = workspace.read_accepted("session", ["pid", "wave"])
    session = conform(pd.DataFrame(), "session") if session is None else session
    phase = session["wave"].map(waves["phase"])
    days = {"first": first.reindex(phase).to_numpy(), "second": second.reindex(phase).to_numpy()}
    return pd.DataFrame(days, index=session["pid"]).astype("datetime64[s]").groupby(level=0).max()
