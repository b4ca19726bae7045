"""Do the intervals hold what they promise? Bias and coverage against the planted truth, replication by replication.

A replication draws a made-up province with known change and estimates the change as a report would. Its line is
appended at once: a run that was stopped goes on where it stopped. Lines that other code or other settings made are
moved aside, never mixed in. The exit code is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

import bgtk_lib
from bgtk_lib.change.absent.leavers import adjust_for_leavers
from bgtk_lib.change.estimate import estimate_change
from bgtk_lib.findings import Withheld
from bgtk_lib.stages.run import run_stages
from bgtk_lib.synthetic import SCENARIOS, Design, draw_pairs, write_demo
from bgtk_lib.synthetic.design import Size, wave_name
from bgtk_lib.workspace import open_workspace
from bgtk_lib.workspace.store import hash_content, library_versions, write_text

REPLICATIONS = 2000  # 95 % ± 1.3 points, at 99 % confidence
QUICK = {"sound": 200, "attrition_observed": 60}
BAR = (0.93, 0.97)
DRAWING = ("change", "synthetic", "reference")  # all that numbers come from without files
SHOWING = ("cli.py", "coverage.py", "describe.py", "disclosure.py", "display", "editions.py", "engine", "words")
WRITING = (  # what only files need
    "__init__.py", "gates.py", "codebook.yaml", "dapodik.py", "edits.py", "exports.py", "faults.py", "layouts",
    "panel.py", "rosters.py", "sittings.py", "spoil_items.py", "spoil_records.py", "spoil_tests.py", "times.py", "workshop.py",
)  # fmt: skip


class Route(NamedTuple):
    """How one of `every` replications gets its pairs: from schools of 3 teachers on average (small) or 15 (secondary).

    `n_teachers` sit before, districts keeping their published shares; None: as many as the design has, through the files.
    """

    size: Size
    n_teachers: int | None
    every: int = 1
    scenarios: tuple[str, ...] = ("sound",)


DRAWN = tuple(name for name in SCENARIOS if name != "programme_effects")  # what it plants, nobody here attends
ROUTES = {
    "drawn": Route(size="secondary", n_teachers=1500, scenarios=DRAWN),
    "files": Route(size="small", n_teachers=None, every=20),
    "300 in schools of 3": Route(size="small", n_teachers=300),
    "300 in schools of 15": Route(size="secondary", n_teachers=300),
}
# Estimate and truth: complete pairs and, last, everyone who sat before, if the second score depends on the first only.
MEASURES = (
    ("mean", "points_all"), ("mean", "points_retained"), ("mean", "points_observed_retained"),
    ("g_av", "g_av_all"), ("g_av", "g_av_retained"), ("adjusted", "points_all"),
)  # fmt: skip


@cache
def mark_code(name: str) -> str:
    """Return the mark of all that decides a route's lines: code (not its form), tables, libraries, settings."""
    root = Path(bgtk_lib.__file__).parent
    drawn = ROUTES[name].n_teachers is not None
    rooms, aside = (DRAWING, {*SHOWING, *WRITING}) if drawn else (("",), {*SHOWING})
    content = {}
    for path in sorted(path for room in rooms for path in (root / room).rglob("*")):
        if path.suffix in (".py", ".csv", ".yaml") and not aside & {*path.relative_to(root).parts}:
            text = path.read_text(encoding="utf-8")
            content[path.relative_to(root).as_posix()] = ast.dump(ast.parse(text)) if path.suffix == ".py" else text
    return hash_content([content, library_versions(), ROUTES[name]._asdict()])[:12]


def replicate(name: str, *, scenario: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the lines of one replication: one a phase."""
    route, start = ROUTES[name], {"route": name, "mark": mark_code(name), "seed": seed}
    design = Design(size=route.size, scenario=scenario, seed=seed, assessments=("PED",))
    if route.n_teachers is None:
        yield from (start | line for line in _replicate_files(design))
        return
    stream = [seed, SCENARIOS.index(scenario), route.n_teachers, list(ROUTES).index(name)]
    rng = np.random.default_rng(stream)
    one = draw_pairs(design, assessment="PED", phase="II", n_teachers=route.n_teachers, rng=rng)
    yield start | {"phase": "II"} | estimate_all(one.pairs, one.leavers) | pick_truth(one.truth.rows.to_dict("records"))


def _replicate_files(design: Design) -> Iterator[dict[str, Any]]:
    """Yield the lines of a province that is written, ingested, checked, scored and linked like a real one."""
    with tempfile.TemporaryDirectory(prefix="bgtk-coverage-") as folder:
        with patch.dict(os.environ, {"BGTK_KEYS": f"{folder}/keys"}):
            write_demo(Path(folder) / "demo", design)
            workspace = open_workspace(Path(folder) / "demo")
            run_stages(workspace)
        pairs, unpaired = workspace.read_derived("pairs"), workspace.read_derived("unpaired")
        leavers = unpaired[unpaired["reason"] == "only_pre"].rename(columns={"score": "score_pre"})
        for planted in json.loads((workspace.root / "truth.json").read_text(encoding="utf-8"))["change"]:
            here = {"wave_pre": wave_name(planted["phase"], "pre"), "assessment": planted["assessment"]}
            found = estimate_all(
                *(frame[(frame[list(here)] == pd.Series(here)).all(axis=1)] for frame in (pairs, leavers))
            )
            yield {"phase": planted["phase"]} | found | pick_truth(planted["rows"])


def estimate_all(pairs: pd.DataFrame, leavers: pd.DataFrame) -> dict[str, float]:
    """Return counts, estimates, standard errors and ends of the intervals, flat."""
    change = estimate_change(pairs, cluster="school")
    adjusted = adjust_for_leavers(pairs, leavers, cluster="school")
    if isinstance(change, Withheld) or isinstance(adjusted, Withheld):
        raise SystemExit(f"An interval was withheld with {len(pairs)} pairs: coverage would count only the others.")
    line = {"n_pairs": change.n_pairs, "n_leavers": len(leavers), "n_clusters": change.n_clusters, "df": change.df}
    line |= {"mean": change.mean, "mean_se": change.se, "mean_low": change.low, "mean_high": change.high, "p": change.p}
    line |= {f"g_av{end}": getattr(change, f"g_av{end}") for end in ("", "_se", "_low", "_high")}
    line |= {"adjusted": adjusted.estimate, "adjusted_se": adjusted.se}
    return line | {"adjusted_low": adjusted.low, "adjusted_high": adjusted.high}


def pick_truth(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the truths of the whole province, of all who sat before and of those retained."""
    whole = [row for row in rows if not row["district"]]
    return {f"{name}_{row['population']}": row[name] for row in whole for name in ("points", "g_av", "points_observed")}


def read_lines(path: Path) -> dict[tuple[str, int, str], dict[str, Any]]:
    """Return the lines that the present code made, by route, seed and phase; a last line cut off is none."""
    texts = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    lines = [json.loads(text) for text in texts]
    known = [line for line in lines if line["route"] in ROUTES and line["mark"] == mark_code(line["route"])]
    return {(line["route"], line["seed"], line["phase"]): line for line in known}


def go_on(path: Path, *, scenario: str, wanted: list[tuple[str, int]]) -> None:
    """Append the wanted replications (route and seed) that are not there yet."""
    known = read_lines(path)
    kept = "".join(json.dumps(line) + "\n" for line in known.values())
    if path.exists() and path.read_text(encoding="utf-8") != kept:
        path.replace(path.with_suffix(".aside.jsonl"))
        print(f"{path.name}: what is cut off or made by other code is moved to *.aside.jsonl.", file=sys.stderr)
        write_text(path, kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    missing = [(name, seed) for name, seed in wanted if (name, seed, "II") not in known]
    with path.open("a", encoding="utf-8") as file:
        for name, seed in tqdm(missing, desc=scenario, mininterval=5, disable=not missing):
            file.write("".join(json.dumps(line) + "\n" for line in replicate(name, scenario=scenario, seed=seed)))
            file.flush()


def list_wanted(scenario: str, seeds: range) -> list[tuple[str, int]]:
    """Return route and seed of every replication of the proof."""
    routes = {name: route for name, route in ROUTES.items() if scenario in route.scenarios}
    return [(name, seed) for name, route in routes.items() for seed in seeds[:: route.every]]


def summarise(lines: list[dict[str, Any]], *, scenario: str, level: float = 0.99) -> pd.DataFrame:
    """Return one row a route, phase, estimate and truth.

    covered: share of intervals that hold the truth; low, high: its exact (Clopper-Pearson) Monte-Carlo range; se_ratio:
    mean standard error over the SD of estimate − truth; rejected: share of the headlines with p < .05.
    """
    rows = []
    frame = pd.DataFrame(lines, columns=None if lines else ["route", "phase"])
    for (route, phase), here in frame.groupby(["route", "phase"], sort=False):
        for estimate, truth in MEASURES:
            error = here[estimate] - here[truth]
            covered = here[f"{estimate}_low"].le(here[truth]) & here[f"{estimate}_high"].ge(here[truth])
            exact = stats.binomtest(int(covered.sum()), len(here)).proportion_ci(level, method="exact")
            row = {"scenario": scenario, "route": route, "phase": phase, "estimate": estimate, "truth": truth}
            row |= {"n": len(here), "covered": covered.mean(), "low": exact.low, "high": exact.high}
            row |= {"bias": error.mean(), "bias_error": error.std() / len(here) ** 0.5}
            row |= {"se_ratio": here[f"{estimate}_se"].mean() / error.std()}
            rows.append(row | {"rejected": (here["p"] < 0.05).mean()})
    return pd.DataFrame(rows)


def judge_row(row: dict[str, Any]) -> str:
    """Return ``held`` or ``missed`` for a row that has a bar, else nothing.

    Complete pairs: 93-97 % in the full proof; with fewer replications 95 % within the range. Where leaving depends on
    the observed score they must fail: the whole range below 93 %.
    """
    if row["estimate"] != "mean" or row["truth"] == "points_observed_retained" or row["phase"] != "II":
        return ""
    if row["scenario"] == "attrition_observed":
        return "held" if row["high"] < BAR[0] else "missed"
    if row["route"] == "drawn" and row["n"] >= REPLICATIONS:
        return "held" if BAR[0] <= row["covered"] <= BAR[1] else "missed"
    if row["route"] in ("drawn", "files"):
        return "held" if row["low"] <= 0.95 <= row["high"] else "missed"
    return ""


def format_table(table: pd.DataFrame, *, level: float) -> str:
    """Return the table as Markdown."""
    head = f"scenario|route|phase|estimate|truth|n|coverage %|{100 * level:g} % range|bias|± MC error|SE ratio|p < .05 %|bar"
    lines = [f"| {head.replace('|', ' | ')} |", "|" + "---|" * (head.count("|") + 1)]
    for row in table.itertuples():
        cells = [row.scenario, row.route, row.phase, row.estimate, row.truth, f"{row.n:,}", f"{100 * row.covered:.1f}"]
        cells += [f"{100 * row.low:.1f} – {100 * row.high:.1f}", f"{row.bias:+.4f}", f"{row.bias_error:.4f}"]
        cells += [f"{row.se_ratio:.3f}", f"{100 * row.rejected:.1f}" if row.estimate == "mean" else "", row.bar]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run what is wanted, write the table, and return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replications", type=int, default=REPLICATIONS, help="of each scenario (%(default)s)")
    parser.add_argument("--scenario", choices=DRAWN, action="append", help="may be repeated; by default all")
    parser.add_argument("--seed-start", type=int, default=0, help="the first replication's number (%(default)s)")
    parser.add_argument("--summary", action="store_true", help="only write the table of what has run")
    parser.add_argument("--quick", action="store_true", help="a few hundred replications, not through the files")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    told = parser.parse_args(arguments)
    list(map(mark_code, ROUTES))  # now: the code that is loaded, not what it may become while this runs
    counts = QUICK if told.quick else dict.fromkeys(told.scenario or DRAWN, told.replications)
    tables, missing, level = [], 0, 0.999 if told.quick else 0.99
    for scenario, n in counts.items():
        path = told.results / f"coverage-{scenario}.jsonl"
        wanted = list_wanted(scenario, range(told.seed_start, told.seed_start + n))
        wanted = [(name, seed) for name, seed in wanted if not told.quick or name == "drawn"]
        if not told.summary:
            go_on(path, scenario=scenario, wanted=wanted)
        found, asked = read_lines(path), set(wanted)
        missing += sum((name, seed, "II") not in found for name, seed in wanted)
        tables.append(summarise([found[key] for key in found if key[:2] in asked], scenario=scenario, level=level))
    table = pd.concat(tables, ignore_index=True)
    table["bar"] = [judge_row(row) for row in table.to_dict(orient="records")]
    print(text := format_table(table, level=level))
    write_text(told.results / "coverage.md", text)
    if missing:
        print(f"The proof is not complete: {missing:,} replications have not run. Run this again without --summary.")
    return int(missing > 0 or (table["bar"] == "missed").any())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a run that is ended takes its temporary folder along
    sys.exit(main())
