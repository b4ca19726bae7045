"""The stages in their order, each run only when what made its output has changed: ingest → check → review → score."""

from __future__ import annotations

from bgtk_lib.findings import Gate
from bgtk_lib.ingest import run_ingest
from bgtk_lib.quality import read_gate, run_check
from bgtk_lib.stages.analysis_plan import judge_plan
from bgtk_lib.stages.review import run_review
from bgtk_lib.stages.score import run_score
from bgtk_lib.words import Tell, say, silent
from bgtk_lib.workspace import STAGES, Workspace
from bgtk_lib.workspace.plan_lock import read_plan_state


def run_stages(workspace: Workspace, *, until: str = "score", tell: Tell = silent) -> list[str]:
    """Run every stage up to one that is stale, in order.

    Parameters
    ----------
    workspace : Workspace
        The workspace.
    until : {"ingest", "check", "review", "score"}
        The last stage wanted.
    tell : callable
        Takes a line of progress.

    Returns
    -------
    list of str
        The stages that ran; those whose output is still what it would be are not run again.
    """
    runs = {"ingest": run_ingest, "check": run_check, "review": run_review, "score": run_score}
    ran = []
    for stage in STAGES[: STAGES.index(until) + 1]:
        if workspace.is_stale(stage):
            tell(say("progress.stage", stage=say(f"stage.{stage}")))
            runs[stage](workspace, tell)
            ran.append(stage)
    return ran


def read_gates(workspace: Workspace) -> list[Gate]:
    """Return the gates of all stages that ran, and of the analysis plan as it stands now, in the order of their codes."""
    stored = [entry for stage in STAGES[1:] for entry in workspace.stage_record(stage).get("gates", [])]
    found = [read_gate(entry) for entry in stored] + judge_plan(read_plan_state(workspace))
    return sorted(found, key=lambda gate: (gate.code, gate.scope_text))
