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
from typing import Any, NoReturn

from bgtk_lib.cli import data, editions, reports
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
    "reproduce": editions.run_reproduce,
    "verify": editions.run_verify,
    "compare": editions.run_compare,
    "parameters": reports.run_parameters,
    "plan": data.run_plan,
    "export": data.run_export,
    "version": editions.run_version,
}

COMMANDS = (*RUN,)


Argument = tuple[tuple[str, ...], str, dict[str, Any]]  # words, key of the help, how argparse takes it
EVERY: list[Argument] = [
    (("--workspace",), "workspace", {"default": ".", "metavar": "DIR"}),
    (("--language",), "language", {"choices": ["id", "en"]}),
    (("--json",), "json", {"action": "store_true"}),
]
MAKING: list[Argument] = [
    (("--edition",), "edition", {"metavar": "ID"}),
    (("--anew",), "anew", {"action": "store_true"}),
    (("--limit",), "limit", {"metavar": "N", "default": "1800"}),
]
SIDE_BY_SIDE: list[Argument] = [(("--workers",), "workers", {"metavar": "N"})]
ARGUMENTS: dict[str, list[Argument]] = {
    "demo": [
        (("--size",), "size", {"default": "small"}),
        (("--scenario",), "scenario", {"default": "sound"}),
        (("--seed",), "seed", {"default": "20251018"}),
        (("--fault",), "fault", {"action": "append", "default": []}),
        (("--folder",), "folder", {"default": "demo"}),
    ],
    "run": [*MAKING, *SIDE_BY_SIDE],
    "report": [
        (("name",), "report_name", {}),
        (("-p",), "p", {"action": "append", "default": [], "metavar": "NAME=VALUE", "dest": "parameters"}),
        (("--params",), "params", {"metavar": "FILE"}),
        *MAKING,
    ],
    "batch": [
        (("grid",), "grid", {"metavar": "GRID.yaml"}),
        (("--rehearse",), "rehearse", {"action": "store_true"}),
        (("--scheduler",), "scheduler", {"metavar": "TCP://…"}),
        *MAKING,
        *SIDE_BY_SIDE,
    ],
    "reproduce": [(("page",), "page", {"metavar": "REPORT.html"})],
    "verify": [(("edition",), "edition_folder", {"metavar": "reports/EDITION"})],
    "compare": [(("first",), "first", {"metavar": "EDITION"}), (("second",), "second", {"metavar": "EDITION"})],
    "parameters": [(("name",), "report_name", {})],
    "plan": [(("--lock",), "lock", {"action": "store_true"})],
    "export": [
        (("kind",), "export_kind", {"nargs": "?", "default": ""}),
        (("--report",), "export_report", {"metavar": "REPORT.html"}),
        (("--form",), "form", {}),
        (("--wave",), "wave", {"nargs": "+", "action": "extend", "default": [], "metavar": "W"}),
        *(((f"--{ground}",), ground, {}) for ground in ("reference", "recipient", "agreement")),
        (("--to",), "to", {"metavar": "FOLDER"}),
    ],
}


def build_parser(language: Language) -> Parser:
    """Return the command line, its help in one language."""

    def told(key: str) -> str:
        return sentences()[f"cli.help.{key}"][language]

    parser = Parser(prog="bgtk", description=told("bgtk"), epilog=told("exit_codes"))
    commands = parser.add_subparsers(dest="command", metavar="|".join(COMMANDS), parser_class=Parser)
    for name in COMMANDS:
        one = commands.add_parser(name, help=told(name), description=told(name))
        for words, key, how in (*EVERY, *ARGUMENTS.get(name, [])):
            one.add_argument(*words, help=told(key), **how)
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
    for name in ("workspace", "params", "folder", "to", "grid", "page", "report"):
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
