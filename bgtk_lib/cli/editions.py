"""The commands about what was made: a report made again, an edition held against its manifest, two editions compared."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from bgtk_lib.cli.said import tell_in
from bgtk_lib.errors import Language, ParameterError
from bgtk_lib.words import join, plain, say
from bgtk_lib.workspace import open_workspace

SHOWN = 20  # lines of what moved; all of them with --json


def run_reproduce(chosen: argparse.Namespace, language: Language) -> int:
    """Make a report again from its file; 0 where every number is the same, else 1 and what differs."""
    from bgtk_lib.engine.embedded import read_page
    from bgtk_lib.engine.reproduce import reproduce_report
    from bgtk_lib.stages.run import run_stages

    page = Path(chosen.page)
    read_page(page)  # before anything is run
    workspace = open_workspace(chosen.workspace)
    run_stages(workspace, tell=tell_in(language))
    return _tell_compared(reproduce_report(workspace, page), as_json=chosen.json, language=language)


def run_version(chosen: argparse.Namespace, language: Language) -> int:
    """Print the version and the hash of the library, which an approval of an official edition names."""
    from bgtk_lib.engine.official import hash_library

    facts = {"version": metadata.version("bgtk-workbench"), "library": hash_library()}
    print(json.dumps(facts, sort_keys=True) if chosen.json else say("cli.version", **facts).said(language))
    return 0


def run_compare(chosen: argparse.Namespace, language: Language) -> int:
    """Compare two editions number by number; 0 where all are the same, else 1 and what moved."""
    from bgtk_lib.engine.reproduce import compare_editions

    workspace = open_workspace(chosen.workspace)
    found = compare_editions(workspace, chosen.first, chosen.second)
    return _tell_compared(found, as_json=chosen.json, language=language)


def run_verify(chosen: argparse.Namespace, language: Language) -> int:
    """Hold an edition's files against its manifest; 0 where none was touched, else 1 and which were. Say its status."""
    from bgtk_lib.editions import Approval, read_manifest, verify_edition

    folder = Path(chosen.edition)
    if not folder.is_dir():
        raise ParameterError(say("file.absent", path=folder.name))
    found, manifest = verify_edition(folder), read_manifest(folder)
    status, approved = manifest.get("status", "draf"), manifest.get("approval")
    if chosen.json:
        content = {**found, "status": status, "approval": approved}
        print(json.dumps(content, ensure_ascii=False, sort_keys=True))
    else:
        if approved:
            approval = Approval(**approved)
            facts = {"who": approval.who, "day": approval.date, "dpia_ref": approval.dpia_ref}
            print(say("verify.official", **facts).said(language))
        for kind, names in found.items():
            for name in names:
                print(f"{say(f'verify.{kind}').said(language)}: {name}")
        n = sum(map(len, found.values()))
        print(say("verify.found" if n else "verify.whole", n=n).said(language))
    return 1 if any(found.values()) else 0


def _tell_compared(found: Any, *, as_json: bool, language: Language) -> int:
    same = not (found.moved or found.gone or found.new)
    if as_json:
        print(json.dumps({**asdict(found), "same": same}, ensure_ascii=False, sort_keys=True))
        return 0 if same else 1
    for kind, names in (("gone", found.gone), ("new", found.new)):
        for name in names:
            print(say(f"compare.{kind}", report=name).said(language))
    for one in found.moved[:SHOWN]:
        where = ", ".join(f"{key}={value}" for key, value in one.where.items())
        values = say("compare.hidden") if one.before is None else plain(f"{one.before} → {one.now}")
        causes = join([say(f"compare.cause.{cause}") for cause in one.causes or ("chance",)])
        print(
            f"{one.report} {one.name}{f' ({where})' if where else ''}: {values.said(language)} [{causes.said(language)}]"
        )
    if len(found.moved) > SHOWN:
        print(say("compare.more", n=len(found.moved) - SHOWN).said(language))
    print(say("compare.same" if not found.moved else "compare.moved", n=found.n, moved=len(found.moved)).said(language))
    if found.differs:
        parts = join([say(f"compare.part.{part}") for part in found.differs])
        print(say("compare.differs", parts=parts).said(language))
    return 0 if same else 1
