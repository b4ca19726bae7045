"""Who sat: the facts about persons that items are compared by and plausible values are conditioned on."""

from __future__ import annotations

import pandas as pd

from bgtk_lib.quality import place_sessions
from bgtk_lib.workspace import Workspace

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
        session_id, pid, wave, form_id, assessment, start, npsn, district, jenjang, device, venue, group, sex, status; null
        where not known. The test export's own sex comes before the master data's.
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
    person["sex"] = written.astype("str").fillna(person["pid"].map(known["sex"]).astype("str"))
    person["status"] = person["pid"].map(known["employment"]).astype("str")
    return person


def _know_teachers(teacher: pd.DataFrame) -> pd.DataFrame:
    """Return one row a teacher: the newest, and of the schools of one teacher the home school first."""
    order = teacher.reindex(columns=["pid", "as_of", "home", "sex", "employment"])
    order = order.assign(home=order["home"].fillna(value=False).astype(bool))
    order = order.sort_values(["as_of", "home"], ascending=False, na_position="last", kind="stable")
    return order.drop_duplicates("pid")


def list_programmes(workspace: Workspace) -> pd.DataFrame:
    """Return who took part in which programme: one row a person and programme, with its first day; tutors apart."""
    training = workspace.read_accepted("training")
    if training is None or training.empty:
        return pd.DataFrame({"pid": [], "programme": [], "start": []})
    rows = training.reindex(columns=["pid", "programme", "role", "start"])
    tutor = rows["role"].isin(["tutor", "facilitator"])
    rows["programme"] = rows["programme"].astype("str").where(~tutor, rows["programme"].astype("str") + "-tutor")
    return rows.groupby(["pid", "programme"])["start"].min().reset_index()
