"""Rows as reports read them, table by table: all that a report shows comes through here."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bgtk_lib.quality import place_sessions
from bgtk_lib.quality.summary import account_rows
from bgtk_lib.schema import conform
from bgtk_lib.stages.decisions import read_item_decisions
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.store import hash_content, read_table

HANDED = "tables"  # folder of a replication package that holds tables as its report reads them


def load_table(workspace: Workspace, table: str) -> pd.DataFrame:
    """Return a whole table by the name that reports declare it with.

    Beside the derived tables: ``session`` and ``roster`` (with district and level), ``answer`` (counted by state), ``key``,
    ``sources`` (what was read), ``account`` (rows received, accepted, set aside) and ``item_decisions``.

    Raises
    ------
    StageError
        If the stage that makes it has not run.
    """
    handed = read_table(workspace.folder(HANDED), table)
    if handed is not None:
        return handed
    if table in ("session", "roster"):
        return read_attendance(workspace, table)
    made = {"answer": count_answer_states, "key": read_key, "sources": list_sources, "account": count_rows}
    made |= {"item_decisions": read_item_decisions}
    if table in made:
        return made[table](workspace)
    # a table that no form or pair of waves gave rise to
    if workspace.stage_record("score") and not workspace.has_derived(table):
        return pd.DataFrame()
    return workspace.read_derived(table)


def list_sources(workspace: Workspace) -> pd.DataFrame:
    """Return the sources with their files, rows and the first digits of their hash."""
    rows = [
        {
            "source": source["name"],
            "files": len(source["files"]),
            "rows": source["received"],
            "sha256": hash_content([entry["sha256"] for entry in source["files"]])[:12],
        }
        for source in workspace.stage_record("ingest")["sources"]
    ]
    return pd.DataFrame(rows, columns=["source", "files", "rows", "sha256"])


def count_rows(workspace: Workspace) -> pd.DataFrame:
    """Return received = accepted + set aside for every table of the workspace."""
    return account_rows(workspace.stage_record("ingest")["sources"], workspace.read_derived("set_aside"))


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


def read_key(workspace: Workspace) -> pd.DataFrame:
    """Return the accepted rows of the key; none where the answers came scored."""
    key = workspace.read_accepted("key")
    return conform(pd.DataFrame(), "key") if key is None else key


def count_answer_states(workspace: Workspace) -> pd.DataFrame:
    """Return how many answers of each form and tenth of its positions were answered, omitted, not reached."""
    register = workspace.read_accepted("form_item")
    counted = []
    for wave, form, answers in workspace.read_answers():
        items = answers["item_id"]
        if register is not None:
            places = register[register["form_id"] == form].set_index("item_id")["position"]
            position = items.astype("str").map(places).astype(float)
        else:
            position = items.cat.codes.astype(float) + 1
        decile = np.ceil(10 * position / position.max()).clip(1, 10).astype(int)
        states = answers["state"].astype("str")
        n = pd.DataFrame({"decile": decile, "state": states}).value_counts().rename("n").reset_index()
        counted.append(n.assign(wave=wave, form=form))
    empty = pd.DataFrame(columns=["wave", "form", "decile", "state", "n"])
    return pd.concat(counted, ignore_index=True) if counted else empty
