"""What runs the stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bgtk_lib.words import Tell, say, silent
from bgtk_lib.workspace import STAGES, Workspace


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
            _find_run(stage)(workspace, tell)
            ran.append(stage)
    return ran


def _find_run(stage: str) -> Callable[[Workspace, Tell], Any]:
    """Return what runs a stage, imported only here: most commands find none stale, and estimation takes a second to import."""
    if stage == "ingest":
        from bgtk_lib.ingest import run_ingest

        return run_ingest
    if stage == "check":
        from bgtk_lib.quality import run_check

        return run_check
    if stage == "review":
        from bgtk_lib.stages.review import run_review

        return run_review
    from bgtk_lib.stages.score import run_score

    return run_score
