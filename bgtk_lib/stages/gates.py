"""The gates that the stages judged."""

from __future__ import annotations

from bgtk_lib.findings import Gate
from bgtk_lib.quality import read_gate
from bgtk_lib.stages.analysis_plan import judge_plan
from bgtk_lib.workspace import STAGES, Workspace
from bgtk_lib.workspace.plan_lock import read_plan_state


def read_gates(workspace: Workspace) -> list[Gate]:
    """Return the gates of all stages that ran, and of the analysis plan as it stands now, in the order of their codes."""
    stored = [entry for stage in STAGES[1:] for entry in workspace.stage_record(stage).get("gates", [])]
    found = [read_gate(entry) for entry in stored] + judge_plan(read_plan_state(workspace))
    return sorted(found, key=lambda gate: (gate.code, gate.scope_text))
