"""Rows as reports read them: sittings and invitations with their district and level, answers counted by state."""

from __future__ import annotations

import pandas as pd

from bgtk_lib.quality import place_sessions
from bgtk_lib.schema import conform
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.store import read_table


def read_attendance(workspace: Workspace, table: str) -> pd.DataFrame:
    """Return sessions or roster rows with district, jenjang and assessment, one row each; `usable` marks those accepted."""
    frame = read_table(workspace.folder("canonical"), table)
    if frame is None:
        frame = conform(pd.DataFrame(), table)
    school = workspace.read_accepted("school")
    if "district" not in frame:
        frame["district"] = None
    frame["district"] = place_sessions(frame, school)
    frame["jenjang"] = (
        frame["npsn"].map(school.set_index("npsn")["jenjang"]).astype("str") if school is not None else None
    )
    if table == "session":
        frame["assessment"] = frame["form_id"].map({f: form.assessment for f, form in workspace.declared.forms.items()})
        aside = workspace.read_derived("set_aside")
        rows = aside.loc[aside["table"] == "session"].drop_duplicates("position").set_index("position")["reason"]
        frame["reason"] = rows.reindex(range(len(frame))).to_numpy()
        frame["usable"] = frame["reason"].isna()
    return frame


def count_answer_states(workspace: Workspace) -> pd.DataFrame:
    """Return how many answers of each form and tenth of its positions were answered, omitted, not reached."""
    answers = workspace.read_accepted("answer")
    register = workspace.read_accepted("form_item")
    session = workspace.read_accepted("session", None)
    if answers is None or session is None:
        return pd.DataFrame(columns=["wave", "form", "decile", "state", "n", "answers"])
    place = session.set_index("session_id")
    form = answers["session_id"].map(place["form_id"]).astype("str")
    wave = answers["session_id"].map(place["wave"]).astype("str")
    if register is not None:
        position = (
            answers["item_id"]
            .astype("str")
            .map(register.drop_duplicates("item_id").set_index("item_id")["position"])
            .astype(float)
        )
    else:
        position = answers["item_id"].cat.codes.astype(float) + 1
    last = position.groupby(form).transform("max")
    decile = ((10 * position - 1e-9) // last).clip(0, 9).astype(int) + 1
    counted = pd.DataFrame({"wave": wave, "form": form, "decile": decile, "state": answers["state"].astype("str")})
    n = counted.value_counts().rename("n").reset_index()
    total = counted.groupby(["wave", "form", "decile"]).size().rename("answers").reset_index()
    return n.merge(total, on=["wave", "form", "decile"], validate="many_to_one")
