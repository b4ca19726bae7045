"""`bgtk …`: the stages, the reports and the demonstration, from a terminal or a double click.

Exit codes: 0 done · 1 done, but a gate stopped or held something · 2 the request is wrong, nothing was run · 3 a failure.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from bgtk_lib.cli import data, reports
from bgtk_lib.cli.said import tell_user
from bgtk_lib.errors import BgtkError, Language, ParameterError
from bgtk_lib.words import say, sentences
from bgtk_lib.workspace.typed import nearest, read_yaml


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


RUN: dict[str, Callable[[argparse.Namespace, Language], int]] = {
    "demo": reports.run_demo,
    "run": reports.run_all,
    "ingest": data.run_stage("ingest"),
    "check": data.run_stage("check"),
    "score": data.run_stage("score"),
    "report": reports.run_report,
    "batch": reports.run_batch,
    "parameters": reports.run_parameters,
    "plan": data.run_plan,
    "export": data.run_export,
}

COMMANDS = (*RUN,)


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
        if name in ("run", "report", "batch"):
            _add_making(one, name, told)
    return parser


def _add_making(one: argparse.ArgumentParser, name: str, told: Callable[[str], str]) -> None:
    """Add the options of the commands that make reports."""
    if name == "batch":
        one.add_argument("grid", metavar="GRID.yaml", help=told("grid"))
        one.add_argument("--rehearse", action="store_true", help=told("rehearse"))
        one.add_argument("--scheduler", metavar="TCP://…", help=told("scheduler"))
    one.add_argument("--edition", metavar="ID", help=told("edition"))
    one.add_argument("--anew", action="store_true", help=told("anew"))
    one.add_argument("--limit", metavar="N", default="1800", help=told("limit"))
    if name != "report":
        one.add_argument("--workers", metavar="N", help=told("workers"))


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
        return RUN[chosen.command](chosen, language)
    except SystemExit as done:  # --help
        return int(done.code or 0)
    except BgtkError as error:
        tell_user(error.text, language)
        return error.exit_code
    except KeyboardInterrupt:
        tell_user(say("cli.interrupted"), language)
        return 3
    except Exception as error:
        if os.environ.get("BGTK_DEBUG"):
            raise
        tell_user(say("cli.fault", kind=type(error).__name__), language)
        return 3


def _check_places(chosen: argparse.Namespace) -> None:
    """Refuse a path that no file system takes: a name too long, a sign that has no bytes."""
    for name in ("workspace", "params", "folder", "to", "grid"):
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
