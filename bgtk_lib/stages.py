"""The stages in their order, each run only when what made its output has changed: ingest → check → score."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bgtk_lib.change.gates import judge_interval, judge_retention
from bgtk_lib.change.leavers import compare_leavers
from bgtk_lib.errors import StageError
from bgtk_lib.findings import Gate, Withheld
from bgtk_lib.ingest import run_ingest
from bgtk_lib.linking import compare_forms, judge_link, judge_reuse, read_decisions
from bgtk_lib.pairing import Linked, pair_waves
from bgtk_lib.quality import place_sessions, read_gate, run_check, write_gate
from bgtk_lib.schema import conform
from bgtk_lib.scoring import NO_SCORES, NONE_LOST, Scored, judge_key, score_form, score_totals
from bgtk_lib.words import Tell, say, silent
from bgtk_lib.workspace import STAGES, Workspace, waves_by_phase
from bgtk_lib.workspace.store import replacing, write_json, write_table


def run_stages(workspace: Workspace, *, until: str = "score", tell: Tell = silent) -> list[str]:
    """Run every stage up to one that is stale, in order.

    Parameters
    ----------
    workspace : Workspace
        The workspace.
    until : {"ingest", "check", "score"}
        The last stage wanted.
    tell : callable
        Takes a line of progress.

    Returns
    -------
    list of str
        The stages that ran; those whose output is still what it would be are not run again.
    """
    runs = {"ingest": run_ingest, "check": run_check, "score": run_score}
    ran = []
    for stage in STAGES[: STAGES.index(until) + 1]:
        if workspace.is_stale(stage):
            tell(say("progress.stage", stage=say(f"stage.{stage}")))
            runs[stage](workspace, tell)
            ran.append(stage)
    return ran


def read_gates(workspace: Workspace) -> list[Gate]:
    """Return the gates of all stages that ran, in the order of their codes."""
    stored = [entry for stage in ("check", "score") for entry in workspace.stage_record(stage).get("gates", [])]
    return sorted((read_gate(entry) for entry in stored), key=lambda gate: (gate.code, gate.scope_text))


def run_score(workspace: Workspace, tell: Tell = silent) -> list[Gate]:
    """Score every form at every wave, link the waves of every phase, and judge what the scores can carry.

    Writes `scores`, `unscorable`, `items`, `reliability`, `pairs` and `unpaired` to `data/scores`.

    Raises
    ------
    StageError
        If the checks have not run.
    """
    if not workspace.stage_record("check"):
        raise StageError(say("stage.not_run", table="check"))
    session = workspace.read_accepted("session")
    session = conform(pd.DataFrame(), "session") if session is None else session
    tell(say("progress.scoring", n=len(session)))
    scored = _score_all(workspace, session)
    tables = _collect(workspace, session, scored)
    linked = _link_phases(workspace, tables["scores"])
    tables["pairs"] = pd.concat([one.pairs for one, _ in linked], ignore_index=True)
    tables["unpaired"] = pd.concat([one.unpaired for one, _ in linked], ignore_index=True)
    keys = [judge_key(one.review, _scope(workspace, form, wave)) for (form, wave), one in scored.items()]
    gates = [gate for judged in [*keys, *(judged for _, judged in linked)] for gate in judged]
    record = {
        "stage": "score",
        "fingerprint": workspace.fingerprint("score"),
        "gates": [write_gate(gate) for gate in gates],
    }
    with replacing(workspace.folder("scores")) as making:
        for name, frame in tables.items():
            write_table(making, name, frame)
        write_json(making / "stage.json", record)
    return gates


def _scope(workspace: Workspace, form: str, wave: str) -> dict[str, str]:
    return {"wave": wave, "assessment": workspace.declared.forms[form].assessment, "form": form}


def _score_all(workspace: Workspace, session: pd.DataFrame) -> dict[tuple[str, str], Scored]:
    """Return the scores of every form at every wave."""
    totals = workspace.read_accepted("total")
    key = workspace.read_accepted("key")
    found: dict[tuple[str, str], Scored] = {}
    for wave, form, answers in workspace.read_answers():
        if len(answers):
            found[form, wave] = score_form(answers, key=key, form=workspace.declared.forms[form], form_id=form)
    if totals is not None:
        for name, rows in session.groupby(["form_id", "wave"]):
            form, wave = (str(code) for code in name)
            here = totals[totals["session_id"].isin(rows["session_id"])]
            if len(here) and (form, wave) not in found:
                found[form, wave] = score_totals(here, form_id=form)
    return found


def _collect(
    workspace: Workspace, session: pd.DataFrame, scored: dict[tuple[str, str], Scored]
) -> dict[str, pd.DataFrame]:
    """Return the derived tables of all forms together; every accepted session is scored or unscorable."""
    school = workspace.read_accepted("school")
    person = session[["session_id", "pid", "wave", "start", "npsn", "device"]].assign(
        district=place_sessions(session, school)
    )
    person["jenjang"] = (
        person["npsn"].map(school.set_index("npsn")["jenjang"]).astype("str") if school is not None else None
    )
    person["assessment"] = session["form_id"].map({f: form.assessment for f, form in workspace.declared.forms.items()})
    scores = pd.concat([one.scores for one in scored.values()] or [NO_SCORES], ignore_index=True)
    lost = pd.concat([one.unscorable for one in scored.values()] or [NONE_LOST], ignore_index=True)
    silent = person.loc[~person["session_id"].isin([*scores["session_id"], *lost["session_id"]]), "session_id"]
    unscorable = pd.concat([lost, pd.DataFrame({"session_id": silent, "reason": "no_answers"})], ignore_index=True)
    joined = person.merge(scores, on="session_id", validate="one_to_one")
    if len(joined) + len(unscorable) != len(session):
        raise StageError(
            say("stage.rows_lost", stage="score", wanted=len(session), found=len(joined) + len(unscorable))
        )
    items, reliability = [], []
    for (form, wave), one in scored.items():
        if isinstance(one.review, Withheld):
            continue
        scope = _scope(workspace, form, wave)
        items.append(one.review.items.assign(**scope))
        alpha = None if isinstance(one.review.alpha, Withheld) else one.review.alpha
        facts = {"alpha": alpha, "alpha_low": one.review.alpha_low, "alpha_high": one.review.alpha_high}
        reliability.append({**scope, **facts, "n_persons": one.review.n_persons, "n_items": one.review.n_items})
    return {
        "scores": joined,
        "unscorable": unscorable,
        "items": pd.concat(items, ignore_index=True) if items else pd.DataFrame(columns=["item_id"]),
        "reliability": pd.DataFrame(reliability),
    }


def _link_phases(workspace: Workspace, scores: pd.DataFrame) -> list[tuple[Linked, list[Gate]]]:
    """Return every assessment's waves linked within its phase, each with the gates on that link."""
    decisions = read_decisions(workspace.folder("decisions") / "links.csv")
    waves = workspace.declared.waves
    found = []
    for wave_pre, wave_post in waves_by_phase(waves):
        here = scores[scores["wave"].isin([wave_pre, wave_post])]
        for assessment in sorted(here["assessment"].unique()):
            scope = {"assessment": assessment, "wave_pre": wave_pre, "wave_post": wave_post}
            linked = pair_waves(here, **scope)
            one = here[here["assessment"] == assessment]
            forms = {wave: set(one.loc[one["wave"] == wave, "form_id"]) for wave in (wave_pre, wave_post)}
            if forms[wave_pre] and forms[wave_post]:
                comparison = compare_forms(forms[wave_pre], forms[wave_post], decisions)
                found.append((linked, _judge_link(workspace, linked, comparison, scope)))
            else:
                message = say("gate.C03.none", waves=f"{wave_pre} → {wave_post}")
                found.append((linked, [Gate(code="C03", state="STOP", scope=scope, message=message)]))
    return found or [(pair_waves(scores, assessment="", wave_pre="", wave_post=""), [])]


def _judge_link(workspace: Workspace, linked: Linked, comparison: Any, scope: dict[str, str]) -> list[Gate]:
    left = linked.unpaired.loc[linked.unpaired["reason"] == "only_pre", "score"]
    gap = compare_leavers(linked.pairs["score_pre"], left)
    released = workspace.declared.waves[scope["wave_post"]].released_before
    return [
        judge_link(comparison, scope),
        judge_reuse(comparison, released=released, scope=scope),
        *judge_retention(linked, gap, scope),
        judge_interval(linked.pairs, workspace.rules.window_days, scope),
    ]
