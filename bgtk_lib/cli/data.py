"""The commands about data: the stages, the analysis plan, exports."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from bgtk_lib.cli.said import list_gates, tell_in, write_gates
from bgtk_lib.errors import Language, Text
from bgtk_lib.findings import Withheld, worst_states
from bgtk_lib.words import say
from bgtk_lib.workspace import open_workspace


def run_stage(until: str) -> Callable[[argparse.Namespace, Language], int]:
    """Return the command that runs the stages up to one and prints the gates that are closed."""

    def run(chosen: argparse.Namespace, language: Language) -> int:
        from bgtk_lib.editions import apply_decisions
        from bgtk_lib.stages.gates import read_gates
        from bgtk_lib.stages.run import run_stages

        workspace = open_workspace(chosen.workspace)
        ran = run_stages(workspace, until=until, tell=tell_in(language))
        gates = (
            apply_decisions(read_gates(workspace), workspace.folder("decisions") / "gates.csv")
            if until != "ingest"
            else []
        )
        if not chosen.json:
            for gate in (gate for gate in gates if gate.state not in ("OK", "WARN", "UNKNOWN")):
                print(f"{gate.code} {gate.state:4} {gate.scope_text}\n     {gate.message.said(language)}")
        sources = [
            {key: source[key] for key in ("name", "table", "received", "accepted", "aside")}
            for source in workspace.stage_record("ingest")["sources"]
        ]
        content = {"ran": ran, "sources": sources, "gates": list_gates(gates)}
        if chosen.json:
            print(json.dumps(content, ensure_ascii=False, sort_keys=True))
        else:
            worst = write_gates(worst_states(gates))
            print(say("cli.stage_done", stage=say(f"stage.{until}"), worst=worst).said(language))
        return 1 if any(gate.closed for gate in gates) else 0

    return run


def run_plan(chosen: argparse.Namespace, language: Language) -> int:
    """Check the analysis plan, lock it if asked, and say for every later measurement where it stands."""
    from bgtk_lib.stages.analysis_plan import judge_plan
    from bgtk_lib.workspace.plan_lock import lock_plan, read_plan_state

    workspace = open_workspace(chosen.workspace)
    if chosen.lock:
        lock_plan(workspace, now=datetime.now(ZoneInfo(workspace.declared.time_zone)))
    state = read_plan_state(workspace)
    gates = judge_plan(state)
    if chosen.json:
        locked = {"sha256": state.lock.sha256, "locked_at": state.lock.locked_at.isoformat()} if state.lock else None
        print(json.dumps({"lock": locked, "gates": list_gates(gates)}, ensure_ascii=False, sort_keys=True))
    else:
        for gate in gates:
            print(f"{gate.code} {gate.state:4} {gate.scope_text}\n     {gate.message.said(language)}")
    return 1 if any(gate.closed for gate in gates) else 0


def run_export(chosen: argparse.Namespace, language: Language) -> int:
    """Write an export for a partner, and say what was left out."""
    from bgtk_lib.exports.crosscheck import export_crosscheck
    from bgtk_lib.exports.irw import export_irw
    from bgtk_lib.exports.request import UNTIL, request_export, state_terms
    from bgtk_lib.stages.run import run_stages

    workspace = open_workspace(chosen.workspace)
    terms = state_terms(reference=chosen.reference, recipient=chosen.recipient, agreement=chosen.agreement)
    request = request_export(workspace, chosen.kind, form=chosen.form, waves=chosen.wave, terms=terms, folder=chosen.to)
    run_stages(workspace, until=UNTIL[request.kind], tell=tell_in(language))
    made = (export_irw if request.kind == "irw" else export_crosscheck)(workspace, request)
    if isinstance(made, Withheld):
        content = {"export": request.kind, "withheld": {"id": made.reason.id, "en": made.reason.en}}
        print(json.dumps(content, ensure_ascii=False) if chosen.json else made.reason.said(language))
        return 1
    if chosen.json:
        print(json.dumps(made | {"folder": str(request.folder)}, ensure_ascii=False, sort_keys=True))
    else:
        print(say("exports.done", **made["counts"], smallest=made["smallest_combination"]).said(language))
        for name, reason in made["covariates_dropped"].items():
            print(say("exports.without", name=name, reason=Text(id=reason["id"], en=reason["en"])).said(language))
        if made["gates"]:
            closed = ", ".join(sorted({f"{gate['code']} {gate['state']}" for gate in made["gates"]}))
            print(say("exports.gates", closed=closed).said(language))
        print(say("cli.look", path=str(request.folder)).said(language))
    return 1 if made["gates"] else 0
