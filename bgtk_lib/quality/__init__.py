"""The checks: verdicts of every rule, rows set aside with their reason, and the gates that close or open reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.errors import StageError, Text
from bgtk_lib.findings import Gate
from bgtk_lib.quality import gates as judge
from bgtk_lib.quality.rules import build_rules
from bgtk_lib.schema import tables
from bgtk_lib.words import Tell, say, silent
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.store import list_parts, read_part, read_table, replacing, write_json, write_table

REASONS = {"required": "no_value", "key": "key_twice", "order": "ends_before_start"}


def run_check(workspace: Workspace, tell: Tell = silent) -> list[Gate]:
    """Check the canonical tables; write verdicts, rows set aside and gates to `data/derived`.

    Parameters
    ----------
    workspace : Workspace
        After `run_ingest`.
    tell : callable
        Takes a line of progress.

    Returns
    -------
    list of Gate
        Every gate that these tables allow to judge, the open ones too.

    Raises
    ------
    StageError
        If ingest has not run.
    """
    record = workspace.stage_record("ingest")
    if not record:
        raise StageError(say("stage.not_run", table="ingest"))
    read = {name: read_table(workspace.folder("canonical"), name) for name in tables() if name != "answer"}
    found = {name: frame for name, frame in read.items() if frame is not None}
    verdicts, aside = _check_tables(found, workspace, tell)
    answers = _check_answers(workspace)
    session = found.get("session")
    gates = _judge_sources(record["sources"], workspace)
    if session is not None:
        session = session.assign(district=place_sessions(session, found.get("school")), reported=session["district"])
        session["assessment"] = session["form_id"].map(
            {f: form.assessment for f, form in workspace.declared.forms.items()}
        )
        chosen, repeated = _choose_sessions(
            session, workspace, gone=set(aside.loc[aside["table"] == "session", "position"])
        )
        aside = pd.concat([aside, chosen], ignore_index=True)
        gates += _judge_sessions(session, repeated, found=found, sources=record["sources"], workspace=workspace)
    gates += judge.judge_governance(
        workspace.declared.governance, workspace.declared.data_kind, workspace.rules.reference_date
    )
    with replacing(workspace.folder("derived")) as making:
        write_table(making, "rules", pd.concat([verdicts, answers], ignore_index=True))
        write_table(making, "set_aside", aside)
        write_json(making / "stage.json", _record(workspace, gates))
    return gates


def _record(workspace: Workspace, gates: list[Gate]) -> dict[str, Any]:
    return {
        "stage": "check",
        "fingerprint": workspace.fingerprint("check"),
        "gates": [write_gate(gate) for gate in gates],
    }


def write_gate(gate: Gate) -> dict[str, Any]:
    """Return a gate as the store keeps it."""
    message = {"id": gate.message.id, "en": gate.message.en}
    return {"code": gate.code, "state": gate.state, "scope": dict(gate.scope), "message": message, "rows": gate.rows}


def read_gate(stored: Mapping[str, Any]) -> Gate:
    """Return a gate that the store kept."""
    message = Text(**stored["message"])
    return Gate(code=stored["code"], state=stored["state"], scope=stored["scope"], message=message, rows=stored["rows"])


def place_sessions(session: pd.DataFrame, school: pd.DataFrame | None) -> pd.Series[str]:
    """Return each session's district: that of its school's NPSN; where no school is known, the one written."""
    if school is None:
        return session["district"]
    return session["npsn"].map(school.set_index("npsn")["district"]).fillna(session["district"]).astype("str")


def _check_tables(
    found: dict[str, pd.DataFrame], workspace: Workspace, tell: Tell
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the verdicts of every table's suite, and the positions that a critical rule sets aside."""
    from bgtk_lib.quality.suite import check_rows  # loads Great Expectations, which takes seconds

    verdicts, aside = [], []
    for name, frame in found.items():
        tell(say("progress.checking", table=name))
        known = {"wave": [*workspace.declared.waves], "form_id": [*workspace.declared.forms]}
        rules = build_rules(name, {k: v for k, v in known.items() if v and k in tables()[name].columns})
        verdict, failing = check_rows(frame, rules)
        verdicts.append(verdict.assign(table=name))
        for rule in rules:
            if rule.severity == "critical" and rule.name in failing:
                positions = failing[rule.name]
                aside.append(pd.DataFrame({"table": name, "position": positions, "reason": REASONS[rule.check]}))
        if "form_id" in frame.columns and name == "session":
            strangers = np.flatnonzero(~frame["form_id"].isin([*workspace.declared.forms]))
            aside.append(pd.DataFrame({"table": name, "position": strangers, "reason": "unknown_form"}))
    empty = pd.DataFrame(
        {"table": pd.array([], dtype="str"), "position": np.array([], dtype=int), "reason": pd.array([], dtype="str")}
    )
    joined = pd.concat([empty, *aside], ignore_index=True).drop_duplicates(["table", "position"])
    return pd.concat(verdicts, ignore_index=True), joined


def _check_answers(workspace: Workspace) -> pd.DataFrame:
    """Return verdicts on the answers, by masks: at millions of rows a suite costs several times as much."""
    folder = workspace.folder("canonical")
    found = {"answer.session_id+item_id.key": 0, "answer.raw.required": 0}
    rows = 0
    for part in list_parts(folder, "answer"):
        answers = read_part(folder, "answer", part)
        rows += len(answers)
        found["answer.session_id+item_id.key"] += int(answers.duplicated(["session_id", "item_id"], keep=False).sum())
        found["answer.raw.required"] += int(((answers["state"] == "answered") & answers["raw"].isna()).sum())
    if not rows:
        return pd.DataFrame()
    verdicts = [[name, "critical", rows, rows - fails, fails, 0, "", "answer"] for name, fails in found.items()]
    columns = ["rule", "severity", "items", "passes", "fails", "missing", "error", "table"]
    return pd.DataFrame(verdicts, columns=columns)


def _choose_sessions(
    session: pd.DataFrame, workspace: Workspace, *, gone: set[int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the sessions set aside by rule (trial accounts, outside the wave's days, other attempts), and the repeats.

    Returns
    -------
    aside : DataFrame
        table, position, reason.
    repeated : DataFrame
        pid, wave, assessment of persons with two complete attempts.
    """
    rules = workspace.rules
    left = session[~session.index.isin(gone)]
    reasons = pd.Series(pd.NA, index=left.index, dtype="object")
    if rules.exclude_test_accounts:
        reasons[left["test_account"].fillna(False).astype(bool)] = "trial_account"
    outside = judge.outside_window(left, workspace.declared.waves)
    reasons[outside & reasons.isna()] = "outside_window"
    left = left[reasons.isna()].assign(complete=_find_complete(session, workspace, rules.complete_share))
    by_person = ["pid", "wave", "assessment"]
    done = left[left["complete"]]
    repeated = done[done.duplicated(by_person, keep=False)][by_person].drop_duplicates()
    if rules.attempts == "all_flagged":
        reasons[left.index[left.duplicated(by_person, keep=False)]] = "attempts_unresolved"
    else:
        late = rules.attempts == "last_complete"
        ordered = left.assign(
            order=left["attempt"].fillna(1).astype(float) * (-1 if late else 1), worse=~left["complete"]
        )
        ordered = ordered.sort_values(["worse", "order", "start"], ascending=[True, True, not late], kind="stable")
        reasons[ordered.index[ordered.duplicated(by_person)]] = "other_attempt"
    reasons = reasons.dropna()
    positions = session.index.get_indexer(reasons.index)
    return pd.DataFrame(
        {"table": "session", "position": positions, "reason": reasons.astype("str").to_numpy()}
    ), repeated


def _find_complete(session: pd.DataFrame, workspace: Workspace, share: float) -> pd.Series[bool]:
    """Return which sessions answered at least a share of their items; those with a total only are complete."""
    folder = workspace.folder("canonical")
    given: dict[str, float] = {}
    for part in list_parts(folder, "answer"):
        answers = read_part(folder, "answer", part)
        shares = (answers["state"] == "answered").groupby(answers["session_id"].astype(object)).mean()
        given |= {str(session_id): float(one) for session_id, one in shares.items()}
    return session["session_id"].map(given).fillna(1.0).ge(share)


def _judge_sources(sources: list[dict[str, Any]], workspace: Workspace) -> list[Gate]:
    sessions = [source for source in sources if source["table"] == "session"]
    return [
        *judge.judge_identifiers([s for s in sources if s["table"] in ("session", "teacher", "roster")]),
        *judge.judge_trial_accounts(sessions, workspace.rules),
        *judge.judge_province(sources),
        *judge.judge_refused(sources),
    ]


def _judge_sessions(
    session: pd.DataFrame,
    repeated: pd.DataFrame,
    *,
    found: dict[str, pd.DataFrame],
    sources: list[dict[str, Any]],
    workspace: Workspace,
) -> list[Gate]:
    waves, rules = workspace.declared.waves, workspace.rules
    teacher, school = found.get("teacher"), found.get("school")
    conflict = read_table(workspace.folder("canonical"), "identity_conflict")
    real = session[~session["test_account"].fillna(False).astype(bool)]
    written = session.assign(district=session["reported"])
    return [
        *judge.judge_nip(teacher),
        *judge.judge_attempts(repeated, session, rules),
        *judge.judge_identity(written, conflict if conflict is not None else pd.DataFrame({"pid": []})),
        *judge.judge_clock(session, sources, waves),
        *judge.judge_districts(sources, written, school),
        *judge.judge_frame(session, teacher, school, rules),
        *judge.judge_totals(real, workspace.control_totals, session["wave"].unique()),
        *judge.judge_age(teacher, waves, rules),
    ]
