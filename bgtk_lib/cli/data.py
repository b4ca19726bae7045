"""The commands about data: the stages, the analysis plan, exports."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from bgtk_lib.cli.said import list_gates, tell_in, write_gates
from bgtk_lib.errors import Language, ParameterError, Text
from bgtk_lib.findings import Withheld, worst_states
from bgtk_lib.words import join, say
from bgtk_lib.workspace import Workspace, open_workspace
from bgtk_lib.workspace.typed import require_known

if TYPE_CHECKING:
    from bgtk_lib.exports.request import Terms

REPLICATION = "replication"


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
    from bgtk_lib.exports.request import KINDS, state_terms

    workspace = open_workspace(chosen.workspace)
    terms = state_terms(reference=chosen.reference, recipient=chosen.recipient, agreement=chosen.agreement)
    require_known(chosen.kind, (*KINDS, REPLICATION), what="bgtk export")
    own = {REPLICATION: {"report"}}.get(chosen.kind, {"form", "wave"})
    for option in ("report", "form", "wave"):
        if getattr(chosen, option) and option not in own:
            raise ParameterError(say("exports.not_asked", option=f"--{option}", kind=chosen.kind))
    write = _write_replication if chosen.kind == REPLICATION else _write_answers
    made, folder = write(workspace, terms, chosen, language)
    if isinstance(made, Withheld):
        content = {"export": chosen.kind, "withheld": {"id": made.reason.id, "en": made.reason.en}}
        print(json.dumps(content, ensure_ascii=False) if chosen.json else made.reason.said(language))
        return 1
    if chosen.json:
        print(json.dumps(made | {"folder": str(folder)}, ensure_ascii=False, sort_keys=True))
    else:
        for line in (_tell_replication if chosen.kind == REPLICATION else _tell_answers)(made):
            print(line.said(language))
        if made["gates"]:
            closed = ", ".join(sorted({f"{gate['code']} {gate['state']}" for gate in made["gates"]}))
            print(say("exports.gates", closed=closed).said(language))
        print(say("cli.look", path=str(folder)).said(language))
    return 1 if made["gates"] else 0


def _write_answers(
    workspace: Workspace, terms: Terms, chosen: argparse.Namespace, language: Language
) -> tuple[dict[str, Any] | Withheld, Path]:
    from bgtk_lib.exports.crosscheck import export_crosscheck
    from bgtk_lib.exports.irw import export_irw
    from bgtk_lib.exports.request import UNTIL, request_export
    from bgtk_lib.stages.run import run_stages

    request = request_export(workspace, chosen.kind, form=chosen.form, waves=chosen.wave, terms=terms, folder=chosen.to)
    run_stages(workspace, until=UNTIL[request.kind], tell=tell_in(language))
    return (export_irw if request.kind == "irw" else export_crosscheck)(workspace, request), request.folder


def _write_replication(
    workspace: Workspace, terms: Terms, chosen: argparse.Namespace, language: Language
) -> tuple[dict[str, Any] | Withheld, Path]:
    from bgtk_lib.engine.embedded import read_page
    from bgtk_lib.exports.replication import export_replication
    from bgtk_lib.exports.request import choose_folder
    from bgtk_lib.stages.run import run_stages

    if not chosen.report:
        raise ParameterError(say("exports.no_report"))
    page = Path(chosen.report)
    passport, _ = read_page(page)  # before anything is run
    name = "-".join([REPLICATION, passport["report"], page.resolve().parent.name])
    folder = choose_folder(workspace, name, chosen.to)
    run_stages(workspace, tell=tell_in(language))
    return export_replication(workspace, page, terms, folder), folder


def _tell_answers(made: Mapping[str, Any]) -> list[Text]:
    told = [say("exports.done", **made["counts"], smallest=made["smallest_combination"])]
    for name, reason in made["covariates_dropped"].items():
        told.append(say("exports.without", name=name, reason=Text(id=reason["id"], en=reason["en"])))
    return told


def _tell_replication(made: Mapping[str, Any]) -> list[Text]:
    numbers, states = made["numbers"], [one["state"] for one in made["numbers"]["moved"]]
    counts = {"n": numbers["n"], "equal": numbers["equal"], "persons": made["counts"]["persons"]}
    counts |= {state: states.count(state) for state in ("withheld", "interval", "other")}
    told = [say("exports.replicated", **counts, smallest=made["smallest_combination"])]
    for name, why in made["facts_dropped"].items():
        reason = say(f"exports.dropped.{why}", needed=made["needed_combination"])
        told.append(say("exports.without", name=name, reason=reason))
    if made["page_differs"]:
        parts = join([say(f"compare.part.{part}") for part in made["page_differs"]])
        told.append(say("exports.page_differs", parts=parts))
    return told
