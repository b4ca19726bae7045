"""The commands about reports: one, all of a workspace, a grid of them, the demonstration, and their parameters."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tqdm import tqdm

from bgtk_lib.cli.said import tell_in, tell_user, write_gates
from bgtk_lib.errors import Language, ParameterError, Text
from bgtk_lib.findings import worst_states
from bgtk_lib.words import join, say
from bgtk_lib.workspace import STAGES, Workspace, open_workspace
from bgtk_lib.workspace.typed import read_yaml, require_known

SHOWN = 5  # reports of one status that a command names when it ends


def _make(workspace: Workspace, wishes: Sequence[Any], language: Language, **how: Any) -> list[Any]:
    """Make reports under a progress bar with the time left on a terminal, a plain line each elsewhere."""
    from bgtk_lib.engine.batch import make_reports

    if not sys.stderr.isatty():
        return make_reports(workspace, wishes, tell_in(language), **how)
    with tqdm(total=len(wishes), file=sys.stderr, unit="laporan" if language == "id" else "report") as bar:

        def tell(text: Text) -> None:
            bar.set_postfix_str(text.said(language)[:60])
            bar.update()

        return make_reports(workspace, wishes, tell, **how)


def _read_how(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return how reports are made: beside how many others, within which time, whether those that did not change too.

    Raises
    ------
    ParameterError
        If a number is none.
    """
    how: dict[str, Any] = {"anew": chosen.anew}
    for name in ("workers", "limit"):
        given = getattr(chosen, name, None)
        if given is not None:
            if not given.isdecimal() or not 1 <= int(given) <= 10**6:
                facts = {"path": f"--{name}", "found": given[:20], "wanted": say("kind.int")}
                raise ParameterError(say("declared.wrong_type", **facts))
            how[name] = int(given)
    return how


def _list_made(workspace: Workspace, made: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {
            "report": one.wish.report.name,
            "slug": one.wish.slug,
            "status": one.status,
            "page": str(one.page.relative_to(workspace.root)) if one.page else None,
            "kept": one.kept,
            "reason": {"id": one.reason.id, "en": one.reason.en} if one.reason else None,
        }
        for one in made
    ]


def _list_editions(workspace: Workspace, made: Sequence[Any]) -> list[dict[str, Any]]:
    """Return for each edition its name, whether it was to become official and did, what is in the way, and its list."""
    from bgtk_lib.editions import is_official

    found = []
    for edition in sorted({one.wish.parameters.edition_id for one in made}):
        ones = [one for one in made if one.wish.parameters.edition_id == edition]
        sealed = is_official(workspace.root / "reports" / edition)
        index = f"reports/{edition if sealed else ones[0].wish.folder}/index.html"
        facts = {"wanted": "resmi" if ones[0].wish.official else "draf", "status": "resmi" if sealed else "draf"}
        hindering = sum(one.status not in ("done", "withheld") for one in ones)
        found.append({"edition": edition, **facts, "hindering": hindering, "index": index})
    return found


def _close(workspace: Workspace, made: Sequence[Any], *, as_json: bool, language: Language) -> int:
    """Say where to look; return 3 where a report failed, 1 where one is stopped, held or withheld, else 0.

    In an edition that became official, what is withheld counts for nothing.
    """
    editions = _list_editions(workspace, made)
    if as_json:
        listed = {"reports": _list_made(workspace, made), "index": [one["index"] for one in editions]}
        print(json.dumps(listed | {"editions": editions}, ensure_ascii=False, sort_keys=True))
    else:
        if kept := sum(one.kept for one in made):
            print(say("cli.kept", n=kept, all=len(made)).said(language))
        for status in ("failed", "stopped", "held", "withheld"):
            _print_some([one for one in made if one.status == status], language)
        for edition in editions:
            if edition["wanted"] == "resmi":
                key = "made" if edition["status"] == "resmi" else "not_made" if edition["hindering"] else "nothing"
                print(say(f"official.{key}", edition=edition["edition"], n=edition["hindering"]).said(language))
            print(say("cli.look", path=str(workspace.root / edition["index"])).said(language))
    official = {edition["edition"] for edition in editions if edition["status"] == "resmi"}
    states = {one.status for one in made if one.status != "withheld" or one.wish.parameters.edition_id not in official}
    return 3 if "failed" in states else 1 if states & {"stopped", "held", "withheld"} else 0


def _print_some(made: Sequence[Any], language: Language) -> None:
    """Say why reports of one status are not simply done: of the first few; the list of reports tells of all."""
    for one in made[:SHOWN]:
        status, title = say(f"page.index.{one.status}").said(language), one.wish.report.title.said(language)
        print(f"{status}: {title} ({one.wish.slug})" + (f"\n     {one.reason.said(language)}" if one.reason else ""))
    if len(made) > SHOWN:
        print(say("cli.more", n=len(made) - SHOWN, status=say(f"page.index.{made[0].status}")).said(language))


def run_all(chosen: argparse.Namespace, language: Language) -> int:
    """Run every stage that is stale, and make every report of the workspace that changed."""
    from bgtk_lib.engine.official import refuse_unready
    from bgtk_lib.engine.wishes import list_wishes
    from bgtk_lib.stages.run import run_stages

    workspace, how = open_workspace(chosen.workspace), _read_how(chosen)
    wishes = list_wishes(workspace, edition=chosen.edition, language=chosen.language)
    refuse_unready(workspace, wishes)
    run_stages(workspace, tell=tell_in(language))
    made = _make(workspace, wishes, language, **how)
    return _close(workspace, made, as_json=chosen.json, language=language)


def run_batch(chosen: argparse.Namespace, language: Language) -> int:
    """Make the reports of a grid file, or say what would become of each."""
    from bgtk_lib.engine.cluster import connect
    from bgtk_lib.engine.official import refuse_unready
    from bgtk_lib.engine.wishes import list_wishes, read_grid
    from bgtk_lib.stages.run import run_stages

    workspace, how = open_workspace(chosen.workspace), _read_how(chosen)
    grid = read_grid(Path(chosen.grid))
    edition, spoken = grid.edition if chosen.edition is None else chosen.edition, chosen.language or grid.language
    wishes = list_wishes(workspace, plans=grid.reports, edition=edition, language=spoken, status=grid.status)
    refuse_unready(workspace, wishes)
    if chosen.rehearse:
        return _rehearse(workspace, wishes, workers=how.get("workers"), as_json=chosen.json, language=language)
    executor = connect(chosen.scheduler) if chosen.scheduler else None
    run_stages(workspace, tell=tell_in(language))
    made = _make(workspace, wishes, language, executor=executor, **how)
    return _close(workspace, made, as_json=chosen.json, language=language)


def _rehearse(
    workspace: Workspace, wishes: Sequence[Any], *, workers: int | None, as_json: bool, language: Language
) -> int:
    """Say what a batch would make, keep, stop and withhold, and how long it would take."""
    from bgtk_lib.engine.batch import count_workers, rehearse

    stale = [stage for stage in STAGES if workspace.is_stale(stage)]
    if stale:
        raise ParameterError(say("batch.stale", stages=join([say(f"stage.{stage}") for stage in stale])))
    found = rehearse(workspace, wishes)
    seconds = sum(one.seconds for one in found) / (workers or count_workers())
    if as_json:
        listed = [
            {
                "report": one.wish.report.name,
                "slug": one.wish.slug,
                "action": one.action,
                "stopped": one.stopped,
                "seconds": round(one.seconds, 1),
            }
            for one in found
        ]
        print(json.dumps({"reports": listed, "seconds": round(seconds)}, ensure_ascii=False, sort_keys=True))
        return 0
    for one in found:
        mark = say("batch.mark.stopped").said(language) if one.stopped else ""
        print(
            f"{say(f'batch.action.{one.action}').said(language):12} {one.wish.report.name}/{one.wish.slug} {mark}".rstrip()
        )
    counts = {name: sum(one.action == name for one in found) for name in ("make", "keep", "withhold")}
    told = say("batch.rehearsed", **counts, stopped=sum(one.stopped for one in found), minutes=math.ceil(seconds / 60))
    print(told.said(language))
    return 0


def _read_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """Return what `-p name=value` gave; what is no pair, and a name twice, is refused."""
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ParameterError(say("cli.pair", found=pair[:40]))
        if name in values:
            raise ParameterError(say("declared.twice", path="-p", found=name[:40]))
        values[name] = value
    return values


def run_report(chosen: argparse.Namespace, language: Language) -> int:
    """Make one report."""
    from bgtk_lib.engine.official import refuse_unready
    from bgtk_lib.engine.wishes import wish_for
    from bgtk_lib.stages.run import run_stages

    workspace, how = open_workspace(chosen.workspace), _read_how(chosen)
    values = (read_yaml(Path(chosen.params)) if chosen.params else {}) | _read_pairs(chosen.parameters)
    wish = wish_for(workspace, chosen.name, values, edition=chosen.edition, language=chosen.language)
    refuse_unready(workspace, [wish])
    run_stages(workspace, tell=tell_in(language))
    made = _make(workspace, [wish], language, **how)
    return _close(workspace, made, as_json=chosen.json, language=language)


def run_parameters(chosen: argparse.Namespace, language: Language) -> int:
    """Print a report's parameters."""
    from bgtk_lib.engine.allowed import describe_parameters
    from bgtk_lib.engine.parameters import find_report

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


def run_demo(chosen: argparse.Namespace, language: Language) -> int:
    """Write a made-up province, do all that `run` does, and hold the gates that closed against those expected."""
    from bgtk_lib.engine.wishes import list_wishes
    from bgtk_lib.stages.gates import read_gates
    from bgtk_lib.stages.run import run_stages
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
    tell_user(say("cli.demo_writing", folder=folder.name), language)
    write_demo(
        folder, Design(size=chosen.size, scenario=chosen.scenario, seed=int(chosen.seed)), faults=tuple(chosen.fault)
    )
    workspace = open_workspace(folder)
    shutil.rmtree(workspace.secrets, ignore_errors=True)  # made-up people: their ledger starts anew with them
    wishes = list_wishes(workspace, language=chosen.language)
    lock_plan(workspace, now=datetime.now(ZoneInfo(workspace.declared.time_zone)))
    run_stages(workspace, tell=tell_in(language))
    made = _make(workspace, wishes, language)
    code = _close(workspace, made, as_json=chosen.json, language=language)
    closed = {code: state for code, state in worst_states(read_gates(workspace)).items() if state in ("HOLD", "STOP")}
    expected = expected_gates(tuple(chosen.fault))
    if code == 3:
        return 3
    tell_user(say("cli.demo_gates", closed=write_gates(closed), expected=write_gates(expected)), language)
    return 0 if closed == expected else 1
