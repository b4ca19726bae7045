"""A package by which a partner makes one report again, without the office's data: tables, code, environment, expectations."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bgtk_lib.editions import DECISION_COLUMNS, plan_path
from bgtk_lib.engine.embedded import read_page
from bgtk_lib.engine.freshness import Ground, list_differences
from bgtk_lib.engine.notebooks import LIBRARY, notebooks_folder
from bgtk_lib.engine.report import Report
from bgtk_lib.engine.reproduce import compare_figures
from bgtk_lib.engine.rows import HANDED
from bgtk_lib.engine.run import make_report
from bgtk_lib.engine.wishes import Wish, wish_for
from bgtk_lib.errors import ParameterError, StageError, Text
from bgtk_lib.exports.anonymity import FEWEST_ALIKE
from bgtk_lib.exports.carried import CARRIED, Carried, Leaving, lay_patterns, let_leave
from bgtk_lib.exports.package import MANIFEST, README, list_codes, write_readme
from bgtk_lib.exports.request import Terms
from bgtk_lib.findings import Gate, Withheld
from bgtk_lib.quality import write_gate
from bgtk_lib.stages.analysis_plan import judge_plan
from bgtk_lib.words import join, plain, say
from bgtk_lib.workspace import Workspace, open_workspace
from bgtk_lib.workspace.plan_lock import LOCKS, READINGS, read_plan_state
from bgtk_lib.workspace.store import (
    hash_file,
    library_versions,
    read_json,
    read_table,
    replacing,
    write_json,
    write_sealed,
    write_table,
    write_text,
)
from bgtk_lib.workspace.typed import read_decision_rows, read_yaml

KIND = "replication"
SCRIPT, ASKED, SEAL, RESULTS, MADE = (
    "replicate.py",
    "parameters.yaml",
    "expected.json",
    "expected_results.json",
    "replicated",
)
BESIDE = ("pyproject.toml", "requirements.lock.txt", "LICENSE")  # of a checkout
LEAST = 0.5  # of the published numbers to the last digit: a package that makes fewer again is none of this report
DISTRIBUTION = "bgtk-workbench"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """How many numbers of the published report a package makes again.

    Attributes
    ----------
    n : int
        Numbers of the published report and of the package's.
    moved : list of dict
        name, where and state of those that are not the same: ``withheld`` in the package, of another ``interval`` or
        standing about the same value, or ``other``.
    """

    n: int
    moved: list[dict[str, Any]]

    @property
    def equal(self) -> int:
        """Those that are the same to the last digit."""
        return self.n - len(self.moved)


def export_replication(workspace: Workspace, page: Path, terms: Terms, folder: Path) -> dict[str, Any] | Withheld:
    """Write a package by which a partner makes one report again, after it has made it once itself.

    Parameters
    ----------
    workspace : Workspace
        After its stages ran.
    page : Path
        The report's HTML.
    terms : Terms
        On what ground, for whom.
    folder : Path
        Absent or empty.

    Returns
    -------
    dict or Withheld
        The manifest. Withheld where a gate stops the report, or fewer than 30 persons are left.

    Raises
    ------
    ParameterError
        If the file is no report, or its kind cannot travel.
    StageError
        If the package cannot make the report, makes less than half of its numbers again, or holds what it must not.
        Nothing is left behind.
    """
    passport, published = read_page(page)
    if passport["report"] not in CARRIED:
        raise ParameterError(say("exports.not_carried", report=passport["report"], known=", ".join(CARRIED)))
    wish = wish_for(workspace, passport["report"], passport["parameters"])
    ground = Ground(workspace)
    report, carried = ground.open(wish), CARRIED[wish.report.name]
    if stop := _find_stop([*report.results()["gates"], *published["gates"]], wish):
        return stop
    chosen_by = [name for name in ("district", "jenjang") if name in _list_chosen(wish)]
    leaving = let_leave({name: report.read(name) for name in carried}, carried, chosen_by=chosen_by)
    if isinstance(leaving, Withheld):
        return leaving
    with replacing(folder) as making:
        for name, table in leaving.tables.items():
            write_table(making / "data" / HANDED, name, table)
        _write_workspace(report, making)
        _write_code(wish, making)
        made = _make_once(making)
        write_json(making / RESULTS, made)
        kept = compare_published(published, made)
        if kept.equal < LEAST * kept.n:
            raise StageError(say("exports.half_made", equal=kept.equal, n=kept.n))
        differs = list_differences(passport.get("depends", {}), ground.find_dependencies(wish))
        codebook = _describe_columns(leaving, carried)
        write_text(making / "codebook.csv", codebook.to_csv(index=False, lineterminator="\n"))
        content = _describe(report, terms, leaving) | _tell_kept(kept, differs)
        content["smallest_combination"] = _check_written(making, carried, leaving)
        write_text(making / README, write_readme(workspace, _tell_readme(wish, terms, leaving, kept)))
        write_json(making / MANIFEST, content)
        _refuse_codes(workspace, making)
        files = {path.relative_to(making).as_posix(): hash_file(path) for path in making.rglob("*") if path.is_file()}
        sealed = {"files": files, "depends": passport.get("depends", {}), "environment": list_environment()}
        write_sealed(making / SEAL, sealed)
    return content


def make_again(folder: Path) -> dict[str, Any]:
    """Make the report of a package into its folder ``replicated``, and return what its `results.json` holds."""
    asked: dict[str, Any] = read_yaml(folder / ASKED)
    workspace = open_workspace(folder)
    wish = wish_for(workspace, asked["report"], asked["parameters"])
    make_report(workspace, wish, folder / MADE, depends={})
    return dict(read_json(folder / MADE / "results.json"))


def list_environment() -> dict[str, str]:
    """Return what numbers can depend on beside data and code: Python, machine, libraries."""
    return {"python": platform.python_version(), "machine": platform.machine(), **library_versions()}


def compare_published(published: Mapping[str, Any], made: Mapping[str, Any]) -> Kept:
    """Return how many numbers of a published report a package makes again."""
    n, moved = compare_figures("", published, made, differs=[])
    told = {(figure["name"], *sorted(figure["where"].items())): figure["value"] for figure in made["figures"]}
    rows = []
    for one in moved:
        lost = told.get((one.name, *sorted(one.where.items()))) is None
        state = "withheld" if lost else "interval" if one.before == one.now else "other"
        rows.append({"name": one.name, "where": dict(one.where), "state": state})
    return Kept(n=n, moved=rows)


def _list_chosen(wish: Wish) -> set[str]:
    """Return the columns by which a report selects."""
    filters = {column: name for reads in wish.report.reads.values() for column, name in reads.items()}
    return {column for column, name in filters.items() if getattr(wish.parameters, name)}


def _find_stop(gates: Sequence[Mapping[str, Any]], wish: Wish) -> Withheld | None:
    """Return why nothing is given out where a gate stops the report, known beforehand or found on the way."""
    for gate in gates:
        if gate["state"] == "STOP" and gate["code"] in wish.report.rests_on:
            return Withheld(say("exports.stopped", code=gate["code"], message=Text(**gate["message"])), kind="gate")
    return None


# ---------------------------------------------------------------- what is written


def _write_workspace(report: Report, making: Path) -> None:
    """Write what of the workspace the report asks for beside its tables: declaration, gates, decisions, plans."""
    workspace, parameters = report.workspace, report.parameters.model_dump(mode="json")
    left = {"name", "sources", "reports", "expected_gates", "governance", "control_totals", "analysis_plan"}
    declared = workspace.declared.model_dump(mode="json", exclude=left) | {"name": KIND, "sources": []}
    if assessments := report.selection.get("assessment"):
        declared["forms"] = {k: form for k, form in declared["forms"].items() if form["assessment"] in assessments}
    if workspace.declared.analysis_plan:
        declared["analysis_plan"] = "analysis_plan.yaml"
        shutil.copyfile(workspace.root / workspace.declared.analysis_plan, making / declared["analysis_plan"])
    write_text(making / "workspace.yaml", yaml.safe_dump(declared, sort_keys=False, allow_unicode=True))
    asked = {"report": report.declaration.name, "parameters": {k: v for k, v in parameters.items() if v is not None}}
    write_text(making / ASKED, yaml.safe_dump(asked, sort_keys=False, allow_unicode=True))

    planned = {gate.code for gate in judge_plan(read_plan_state(workspace))}  # judged again from the plan itself
    gates = [write_gate(_round_rows(gate)) for gate in report.gates if gate.code not in planned]
    write_json(making / "data" / "derived" / "stage.json", {"gates": gates})
    sources = [
        {name: source[name] for name in ("table", "wave")} for source in workspace.stage_record("ingest")["sources"]
    ]
    write_json(making / "data" / "canonical" / "stage.json", {"sources": sources})
    decisions = making / "data" / "decisions"
    lifted = [gate.code for gate in report.gates if gate.lifted]
    rows = read_decision_rows(workspace.folder("decisions") / "gates.csv", DECISION_COLUMNS)
    who = workspace.declared.institution.name  # the decision is the office's
    told = pd.DataFrame([row | {"who": who} for row in rows if row["code"] in lifted], columns=[*DECISION_COLUMNS])
    write_text(decisions / "gates.csv", told.to_csv(index=False, lineterminator="\n"))
    for name in (LOCKS, READINGS):
        if (content := read_json(workspace.folder("decisions") / name)) is not None:
            write_json(decisions / name, content)
    edition, fewest = report.parameters.edition_id, report.parameters.min_cell
    hidden = {name: dict(cells) for name, cells in report.plan.hidden.items() if name.startswith(report.table(""))}
    there = plan_path(workspace, edition, fewest).relative_to(workspace.root)
    write_json(making / there, {"min_cell": fewest, "hidden": hidden})


def _round_rows(gate: Gate) -> Gate:
    """Return a gate that does not tell few rows behind it: 1 … 9 are written as 1, which no page prints."""
    return replace(gate, rows=1) if 0 < gate.rows < FEWEST_ALIKE else gate


def _write_code(wish: Wish, making: Path) -> None:
    """Write the library, the report's notebook, what the environment is built from, and the script.

    Raises
    ------
    ParameterError
        If the library is installed without the files of its repository.
    """
    lacking = [name for name in BESIDE if not (LIBRARY.parent / name).is_file()]
    if lacking:
        raise ParameterError(say("exports.no_checkout", files=plain(", ".join(lacking))))
    for name in BESIDE:
        shutil.copyfile(LIBRARY.parent / name, making / name)
    shutil.copytree(LIBRARY, making / LIBRARY.name, ignore=shutil.ignore_patterns("__pycache__"))
    (making / "notebooks").mkdir()
    shutil.copyfile(notebooks_folder() / wish.report.notebook, making / "notebooks" / wish.report.notebook)
    shutil.copyfile(LIBRARY / "cli" / SCRIPT, making / SCRIPT)
    # Laid beside the library its metadata count as installed: versions and Papermill's engine are found, nothing is built.
    distribution = metadata.distribution(DISTRIBUTION)
    laid = making / f"{DISTRIBUTION.replace('-', '_')}-{distribution.version}.dist-info"
    for name in ("METADATA", "entry_points.txt"):
        write_text(laid / name, distribution.read_text(name) or "")


def _make_once(making: Path) -> dict[str, Any]:
    """Run the package's own script as its recipient will, in a process that knows nothing of this workspace."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("BGTK_", "PYTHON"))}
    environment = known | {"PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, SCRIPT, "--make"]
    done = subprocess.run(command, cwd=making, env=environment, capture_output=True, text=True, check=False)
    results = read_json(making / MADE / "results.json")
    if done.returncode or results is None:
        raise StageError(say("exports.not_remade", told=plain("\n".join(done.stderr.strip().splitlines()[-3:]))))
    shutil.rmtree(making / MADE)
    return dict(results)


# ---------------------------------------------------------------- what is said of it


def _describe_columns(leaving: Leaving, carried: Mapping[str, Carried]) -> pd.DataFrame:
    """Return table, column, type, kind, why for every column; kind: id, shape, fact, value, or empty and why."""
    rows = []
    for name, table in leaving.tables.items():
        here = carried[name]
        kinds = dict.fromkeys(here.plain, "value") | dict.fromkeys(here.shape, "shape")
        kinds |= dict.fromkeys(("pid", "session_id", "npsn"), "id")
        for column, kind in table.dtypes.items():
            fact = f"{name}.{column}"
            found = "fact" if fact in leaving.facts else kinds.get(str(column), "value" if not here.unit else "empty")
            told = table[column].notna().any() or fact in leaving.facts
            rows.append((name, column, str(kind), found if told else "empty", leaving.dropped.get(fact, "")))
    return pd.DataFrame(rows, columns=["table", "column", "type", "kind", "why"])


def _describe(report: Report, terms: Terms, leaving: Leaving) -> dict[str, Any]:
    """Return the manifest but for what is known only of the package that was made."""
    declared, closed = report.workspace.declared, [gate for gate in report.gates if gate.closed]
    resting = (*report.declaration.rests_on, *report.declaration.tells)
    return {
        "export": KIND,
        "data_kind": declared.data_kind,
        "institution": declared.institution.name,
        **asdict(terms),
        "report": report.declaration.name,
        "parameters": report.parameters.model_dump(mode="json"),
        "counts": {"persons": leaving.persons, "rows": {name: len(one) for name, one in leaving.tables.items()}},
        "facts": list(leaving.facts),
        "facts_dropped": dict(leaving.dropped),
        "left_out": {"rare": f"< {FEWEST_ALIKE}" if 0 < leaving.rare < FEWEST_ALIKE else leaving.rare},
        "needed_combination": FEWEST_ALIKE,
        "gates": [{"code": g.code, "state": g.state, "scope": dict(g.scope)} for g in closed if g.code in resting],
        "library": metadata.version(DISTRIBUTION),
    }


def _tell_kept(kept: Kept, differs: Sequence[str]) -> dict[str, Any]:
    """Return what the manifest says of the published report: how many numbers come again, which not, what it was made of."""
    return {"numbers": {"n": kept.n, "equal": kept.equal, "moved": kept.moved}, "page_differs": list(differs)}


def _tell_readme(wish: Wish, terms: Terms, leaving: Leaving, kept: Kept) -> Text:
    """Return the README."""
    states = [one["state"] for one in kept.moved]
    gone = [
        join([plain(f"`{fact}`"), say(f"exports.dropped.{why}", needed=FEWEST_ALIKE)], ": ")
        for fact, why in leaving.dropped.items()
    ]
    named = {
        state: plain(", ".join(dict.fromkeys(f"`{one['name']}`" for one in kept.moved if one["state"] == state)) or "–")
        for state in ("interval", "other")
    }
    return say(
        "exports.replication_readme",
        title=wish.report.title,
        python=".".join(platform.python_version_tuple()[:2]),
        **asdict(terms),
        n=kept.n,
        equal=kept.equal,
        **{state: states.count(state) for state in ("withheld", "interval", "other")},
        intervals=named["interval"],
        others=named["other"],
        gone=join([join([plain("* "), one], "") for one in gone], "\n") if gone else plain("–"),
        facts=plain(", ".join(f"`{fact}`" for fact in leaving.facts) or "–"),
        needed=FEWEST_ALIKE,
        persons=leaving.persons,
        smallest=leaving.smallest,
    )


# ---------------------------------------------------------------- read again


def _check_written(making: Path, carried: Mapping[str, Carried], leaving: Leaving) -> int:
    """Return how many persons share the rarest combination, counted from the written tables; refuse too few."""
    written = {name: read_table(making / "data" / HANDED, name) for name in leaving.tables}
    smallest = leaving.smallest
    for unit in {one.unit for one in carried.values() if one.unit}:
        mine = {name: frame for name, frame in written.items() if frame is not None and carried[name].unit == unit}
        patterns = lay_patterns(mine, carried, unit)
        smallest = min(smallest, int(patterns.groupby([*patterns.columns], dropna=False).size().min()))
    if smallest < FEWEST_ALIKE:
        raise StageError(say("exports.too_alone", needed=FEWEST_ALIKE))
    return smallest


def _refuse_codes(workspace: Workspace, making: Path) -> None:
    """Refuse a package that names a person, a sitting or a school as the workspace does: in a cell, or as a word of a text."""
    codes, words = list_codes(workspace, "pid", "session_id", "npsn"), list_codes(workspace, "pid", "npsn")
    for path in making.rglob("*"):
        if path.suffix == ".parquet":
            table = pd.read_parquet(path, partitioning=None)
            cells = {
                str(cell) for _, column in table.select_dtypes(["object", "str"]).items() for cell in column.dropna()
            }
            found = not codes.isdisjoint(cells)
        elif path.is_file() and path.relative_to(making).parts[0] != LIBRARY.name:
            told = re.findall(r"[\w.]+", path.read_text(encoding="utf-8"))  # eight digits may stand inside a decimal
            found = not words.isdisjoint(word.strip(".") for word in told)
        else:
            continue
        if found:
            raise StageError(say("exports.code_found", file=path.relative_to(making).as_posix()))
