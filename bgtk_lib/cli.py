"""`bgtk …`: the stages, the reports and the demonstration, from a terminal or a double click.

Exit codes: 0 done · 1 done, but a gate stopped or held something · 2 the request is wrong, nothing was run · 3 a failure.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from tqdm import tqdm

from bgtk_lib.errors import BgtkError, Language, ParameterError, Text
from bgtk_lib.findings import Gate, Withheld, worst_states
from bgtk_lib.words import say, sentences
from bgtk_lib.workspace import Workspace, open_workspace
from bgtk_lib.workspace.typed import nearest, read_yaml, require_known

COMMANDS = ("demo", "run", "ingest", "check", "score", "report", "parameters", "plan", "export")


class Parser(argparse.ArgumentParser):
    """argparse whose errors are ours: bilingual, exit code 2, no usage dump."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        words = message.split("'")
        argument = message.removeprefix("argument ").partition(":")[0]
        if "invalid choice" in message and argument.startswith("-"):
            known = re.findall(r"[\w-]+", message.rpartition("choose from")[2])
            raise ParameterError(
                say("declared.unknown_value", what=argument, found=words[1][:40], hint=nearest(words[1], known))
            )
        if "invalid choice" in message and len(words) > 1:
            raise ParameterError(say("cli.unknown_command", found=words[1][:40], hint=nearest(words[1], COMMANDS)))
        raise ParameterError(say("cli.usage", message=message[:200]))


def build_parser(language: Language) -> Parser:
    """Return the command line, its help in one language."""

    def told(key: str) -> str:
        return sentences()[f"cli.help.{key}"][language]

    shared = Parser(add_help=False)
    shared.add_argument("--workspace", default=".", metavar="DIR", help=told("workspace"))
    shared.add_argument("--language", choices=["id", "en"], help=told("language"))
    shared.add_argument("--json", action="store_true", help=told("json"))
    parser = Parser(prog="bgtk", description=told("bgtk"), epilog=told("exit_codes"))
    commands = parser.add_subparsers(dest="command", metavar="|".join(COMMANDS), parser_class=Parser)
    for name in COMMANDS:
        one = commands.add_parser(name, parents=[shared], help=told(name), description=told(name))
        if name == "demo":
            one.add_argument("--size", default="small", help=told("size"))
            one.add_argument("--scenario", default="sound", help=told("scenario"))
            one.add_argument("--seed", default="20251018", help=told("seed"))
            one.add_argument("--fault", action="append", default=[], help=told("fault"))
            one.add_argument("--folder", default="demo", help=told("folder"))
        if name == "report":
            one.add_argument("name", help=told("report_name"))
            one.add_argument("-p", action="append", default=[], metavar="NAME=VALUE", dest="parameters", help=told("p"))
            one.add_argument("--params", metavar="FILE", help=told("params"))
        if name == "parameters":
            one.add_argument("name", help=told("report_name"))
        if name == "plan":
            one.add_argument("--lock", action="store_true", help=told("lock"))
        if name == "export":
            one.add_argument("kind", nargs="?", default="", help=told("export_kind"))
            one.add_argument("--form", help=told("form"))
            one.add_argument("--wave", nargs="+", action="extend", default=[], metavar="W", help=told("wave"))
            for ground in ("reference", "recipient", "agreement"):
                one.add_argument(f"--{ground}", help=told(ground))
            one.add_argument("--to", metavar="FOLDER", help=told("to"))
        if name in ("run", "report"):
            one.add_argument("--edition", metavar="ID", help=told("edition"))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. No traceback reaches a user unless $BGTK_DEBUG is set."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    language = _guess_language(given)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")  # a Windows console may not know every sign
    try:
        chosen = build_parser(language).parse_args([word.replace("\0", "") for word in given])  # no path holds a NUL
        if chosen.command is None:
            build_parser(language).print_help(sys.stderr)
            return 2
        _check_places(chosen)
        return _RUN[chosen.command](chosen, language)
    except SystemExit as done:  # --help
        return int(done.code or 0)
    except BgtkError as error:
        _tell(error.text, language)
        return error.exit_code
    except KeyboardInterrupt:
        _tell(say("cli.interrupted"), language)
        return 3
    except Exception as error:
        if os.environ.get("BGTK_DEBUG"):
            raise
        _tell(say("cli.fault", kind=type(error).__name__), language)
        return 3


def _check_places(chosen: argparse.Namespace) -> None:
    """Refuse a path that no file system takes: a name too long, a sign that has no bytes."""
    for name in ("workspace", "params", "folder", "to"):
        place = getattr(chosen, name, None)
        try:
            Path(place or ".").stat()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue  # absent, but possible: what reads it says so
        except (OSError, ValueError) as error:
            raise ParameterError(say("file.absent", path=str(place)[:40])) from error


def _guess_language(given: Sequence[str]) -> Language:
    """Return the language of messages before anything is parsed: the option, the workspace's, else Indonesian."""
    for place, word in enumerate(given):
        said = given[place + 1] if word == "--language" and place + 1 < len(given) else word.removeprefix("--language=")
        if word.startswith("--language") and said in ("id", "en"):
            return "en" if said == "en" else "id"
    folder = given[given.index("--workspace") + 1] if "--workspace" in given[:-1] else "."
    try:
        return "en" if read_yaml(Path(folder) / "workspace.yaml").get("language") == "en" else "id"
    except (BgtkError, OSError, ValueError):
        return "id"


def _tell(text: Text, language: Language) -> None:
    print(text.said(language), file=sys.stderr)


def _teller(language: Language) -> Callable[[Text], None]:
    return lambda text: _tell(text, language)


def _open(chosen: argparse.Namespace) -> Workspace:
    return open_workspace(chosen.workspace)


def _list_gates(gates: Sequence[Gate]) -> list[dict[str, Any]]:
    return [
        {
            "code": g.code,
            "state": g.state,
            "scope": dict(g.scope),
            "message": {"id": g.message.id, "en": g.message.en},
            "lifted": g.lifted,
        }
        for g in gates
    ]


def _run_stage(until: str) -> Callable[[argparse.Namespace, Language], int]:
    def run(chosen: argparse.Namespace, language: Language) -> int:
        from bgtk_lib.editions import apply_decisions
        from bgtk_lib.stages import read_gates, run_stages

        workspace = _open(chosen)
        ran = run_stages(workspace, until=until, tell=_teller(language))
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
        content = {"ran": ran, "sources": sources, "gates": _list_gates(gates)}
        if chosen.json:
            print(json.dumps(content, ensure_ascii=False, sort_keys=True))
        else:
            worst = _write_gates(worst_states(gates))
            print(say("cli.stage_done", stage=say(f"stage.{until}"), worst=worst).said(language))
        return 1 if any(gate.closed for gate in gates) else 0

    return run


def _make(workspace: Workspace, wishes: Sequence[Any], language: Language) -> list[Any]:
    """Make reports under a progress bar on a terminal, a plain line each elsewhere."""
    from bgtk_lib.engine.run import make_reports

    if sys.stderr.isatty():
        with tqdm(total=len(wishes), file=sys.stderr, unit="laporan" if language == "id" else "report") as bar:

            def tell(text: Text) -> None:
                bar.set_postfix_str(text.said(language)[:60])
                bar.update()

            made = make_reports(workspace, wishes, tell)
    else:
        made = make_reports(workspace, wishes, _teller(language))
    return made


def _list_made(workspace: Workspace, made: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {
            "report": one.wish.report.name,
            "slug": one.wish.slug,
            "status": one.status,
            "page": str(one.page.relative_to(workspace.root)) if one.page else None,
            "reason": {"id": one.reason.id, "en": one.reason.en} if one.reason else None,
        }
        for one in made
    ]


def _close(workspace: Workspace, made: Sequence[Any], *, as_json: bool, language: Language) -> int:
    """Say where to look; return 3 where a report failed, 1 where one is stopped or held, else 0."""
    editions = sorted({one.wish.parameters.edition_id for one in made})
    index = [workspace.root / "reports" / edition / "index.html" for edition in editions]
    if as_json:
        listed = {"reports": _list_made(workspace, made), "index": [str(p.relative_to(workspace.root)) for p in index]}
        print(json.dumps(listed, ensure_ascii=False, sort_keys=True))
    else:
        for one in (one for one in made if one.status != "done"):
            status, title = say(f"page.index.{one.status}").said(language), one.wish.report.title.said(language)
            print(
                f"{status}: {title} ({one.wish.slug})" + (f"\n     {one.reason.said(language)}" if one.reason else "")
            )
        for path in index:
            print(say("cli.look", path=str(path)).said(language))
    states = {one.status for one in made}
    return 3 if "failed" in states else 1 if states & {"stopped", "held"} else 0


def _run_all(chosen: argparse.Namespace, language: Language) -> int:
    from bgtk_lib.engine.wishes import list_wishes
    from bgtk_lib.stages import run_stages

    workspace = _open(chosen)
    wishes = list_wishes(workspace, edition=chosen.edition, language=chosen.language)
    run_stages(workspace, tell=_teller(language))
    made = _make(workspace, wishes, language)
    return _close(workspace, made, as_json=chosen.json, language=language)


def _run_report(chosen: argparse.Namespace, language: Language) -> int:
    from bgtk_lib.engine.plan import check_counts
    from bgtk_lib.engine.wishes import wish_for
    from bgtk_lib.stages import run_stages

    workspace = _open(chosen)
    values = dict(read_yaml(Path(chosen.params))) if chosen.params else {}
    for pair in chosen.parameters:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ParameterError(say("cli.pair", found=pair[:40]))
        values[name] = value
    wish = wish_for(workspace, chosen.name, values, edition=chosen.edition, language=chosen.language)
    run_stages(workspace, tell=_teller(language))
    check_counts(workspace, [wish])
    made = _make(workspace, [wish], language)
    return _close(workspace, made, as_json=chosen.json, language=language)


def _run_parameters(chosen: argparse.Namespace, language: Language) -> int:
    from bgtk_lib.engine.parameters import describe_parameters, find_report

    report = find_report(chosen.name)
    workspace = open_workspace(chosen.workspace) if (Path(chosen.workspace) / "workspace.yaml").is_file() else None
    rows = describe_parameters(report, workspace)
    if chosen.json:
        content = [{**row, "help": {"id": row["help"].id, "en": row["help"].en}} for row in rows]
        print(json.dumps({"report": report.name, "parameters": content}, ensure_ascii=False, sort_keys=True))
        return 0
    for row in rows:
        default = say("cli.required").said(language) if row["required"] else f"{row['default']}"
        print(f"{row['name']:20} {row['type']:8} {default:12} {row['help'].said(language)}")
        if row["allowed"]:
            print(f"{'':20} {', '.join(row['allowed'][:24])}{' …' if len(row['allowed']) > 24 else ''}")
    return 0


def _run_export(chosen: argparse.Namespace, language: Language) -> int:
    from bgtk_lib.exports.crosscheck import export_crosscheck
    from bgtk_lib.exports.irw import export_irw
    from bgtk_lib.exports.request import UNTIL, request_export, state_terms
    from bgtk_lib.stages import run_stages

    workspace = _open(chosen)
    terms = state_terms(reference=chosen.reference, recipient=chosen.recipient, agreement=chosen.agreement)
    request = request_export(workspace, chosen.kind, form=chosen.form, waves=chosen.wave, terms=terms, folder=chosen.to)
    run_stages(workspace, until=UNTIL[request.kind], tell=_teller(language))
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


def _run_plan(chosen: argparse.Namespace, language: Language) -> int:
    """Check the analysis plan, lock it if asked, and say for every later measurement where it stands."""
    from bgtk_lib.stages.analysis_plan import judge_plan
    from bgtk_lib.workspace.plan_lock import lock_plan, read_plan_state

    workspace = _open(chosen)
    if chosen.lock:
        lock_plan(workspace, now=datetime.now(ZoneInfo(workspace.declared.time_zone)))
    state = read_plan_state(workspace)
    gates = judge_plan(state)
    if chosen.json:
        locked = {"sha256": state.lock.sha256, "locked_at": state.lock.locked_at.isoformat()} if state.lock else None
        print(json.dumps({"lock": locked, "gates": _list_gates(gates)}, ensure_ascii=False, sort_keys=True))
    else:
        for gate in gates:
            print(f"{gate.code} {gate.state:4} {gate.scope_text}\n     {gate.message.said(language)}")
    return 1 if any(gate.closed for gate in gates) else 0


def _run_demo(chosen: argparse.Namespace, language: Language) -> int:
    """Write a made-up province, do all that `run` does, and hold the gates that closed against those expected."""
    from bgtk_lib.engine.wishes import list_wishes
    from bgtk_lib.stages import read_gates, run_stages
    from bgtk_lib.synthetic import FAULTS, SCENARIOS, SIZES, Design, clear_demo, expected_gates, write_demo
    from bgtk_lib.workspace.plan_lock import lock_plan

    require_known(chosen.size, SIZES, what="--size")
    require_known(chosen.scenario, SCENARIOS, what="--scenario")
    for fault in chosen.fault:
        require_known(fault, FAULTS, what="--fault")
    if not chosen.seed.isdecimal() or len(chosen.seed) > 18:
        raise ParameterError(say("declared.wrong_type", path="--seed", found=chosen.seed[:20], wanted=say("kind.int")))
    folder = Path(chosen.folder)
    clear_demo(folder)
    _tell(say("cli.demo_writing", folder=folder.name), language)
    write_demo(
        folder, Design(size=chosen.size, scenario=chosen.scenario, seed=int(chosen.seed)), faults=tuple(chosen.fault)
    )
    workspace = open_workspace(folder)
    shutil.rmtree(workspace.secrets, ignore_errors=True)  # made-up people: their ledger starts anew with them
    wishes = list_wishes(workspace, language=chosen.language)
    lock_plan(workspace, now=datetime.now(ZoneInfo(workspace.declared.time_zone)))
    run_stages(workspace, tell=_teller(language))
    made = _make(workspace, wishes, language)
    code = _close(workspace, made, as_json=chosen.json, language=language)
    closed = {code: state for code, state in worst_states(read_gates(workspace)).items() if state in ("HOLD", "STOP")}
    expected = expected_gates(tuple(chosen.fault))
    if code == 3:
        return 3
    _tell(say("cli.demo_gates", closed=_write_gates(closed), expected=_write_gates(expected)), language)
    return 0 if closed == expected else 1


def _write_gates(gates: dict[str, Any]) -> str:
    return ", ".join(f"{code} {state}" for code, state in sorted(gates.items())) or "–"


_RUN: dict[str, Callable[[argparse.Namespace, Language], int]] = {
    "demo": _run_demo,
    "run": _run_all,
    "ingest": _run_stage("ingest"),
    "check": _run_stage("check"),
    "score": _run_stage("score"),
    "report": _run_report,
    "parameters": _run_parameters,
    "plan": _run_plan,
    "export": _run_export,
}

if __name__ == "__main__":
    sys.exit(main())
