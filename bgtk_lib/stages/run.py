"""What runs the stages."""

from __future__ import annotations

from importlib import import_module

from bgtk_lib.words import Tell, say, silent
from bgtk_lib.workspace import STAGES, Workspace

# Imported only where a stage is stale: most commands find none, and estimation takes a second to import.
RUNS = {
    "ingest": ("bgtk_lib.ingest", "run_ingest"),
    "check": ("bgtk_lib.quality", "run_check"),
    "review": ("bgtk_lib.stages.review", "run_review"),
    "score": ("bgtk_lib.stages.score", "run_score"),
}


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
    ran = []
    for stage in STAGES[: STAGES.index(until) + 1]:
        if workspace.is_stale(stage):
            tell(say("progress.stage", stage=say(f"stage.{stage}")))
            module, name = RUNS[stage]
            getattr(import_module(module), name)(workspace, tell)
            ran.append(stage)
    return ran
