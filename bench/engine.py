"""What a report costs: this engine beside the command lines and a plain loop, on the same notebooks and parameters.

Every side makes the same reports in a process of its own, sides in turn, as often as `--rounds` says: the command lines
the first 4, for each starts anew; the loop and our cold kernels 12; ours 24, the batch it is made for being larger still.
Processor time is that of the process and of all its descendants, start included. Read the ratios. ``--untweaked`` names a
folder with `rfc3987-syntax` and `lark`, which an environment without our settings would have (`pip install --target FOLDER
rfc3987-syntax`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bgtk_lib.engine.batch import make_reports
from bgtk_lib.engine.notebooks import notebooks_folder
from bgtk_lib.engine.warm.kernels import CHOICE
from bgtk_lib.engine.wishes import wish_for
from bgtk_lib.stages.run import run_stages
from bgtk_lib.synthetic import Design, write_demo
from bgtk_lib.workspace import open_workspace
from bgtk_lib.workspace.store import write_text

RESULTS = Path(__file__).parent / "results"
WAVES = ("p1-pre", "p1-post", "p2-pre", "p2-post")
TWO = {"wave_pre": "p2-pre", "wave_post": "p2-post"}
LEVELS: tuple[list[str], ...] = ([], ["SMA"], ["SMK"])
REPORTS: dict[str, list[dict[str, Any]]] = {
    "coverage_map": [
        {"wave": wave, "jenjang": level, "language": language}
        for language in ("id", "en")
        for wave in WAVES
        for level in LEVELS
    ],
    "change": [
        {**TWO, "assessment": code, "language": language, "jenjang": level, "confidence": sure}
        for sure in ("0.95", "0.90")
        for code in ("PED", "KEP")
        for language in ("id", "en")
        for level in LEVELS
    ],
}
MADE = {"commands": 4, "commands, no tweaks": 4, "one loop": 12, "ours, cold": 12}  # the first of them; others all


def run_commands(folder: Path, report: str, *, extra: str = "") -> None:
    """`papermill`, then `jupyter nbconvert`, once a report."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [extra, os.environ.get("PYTHONPATH", "")]))}
    tools = Path(sys.executable).parent
    with tempfile.TemporaryDirectory(dir=folder) as made:
        for number, parameters in enumerate(REPORTS[report][: MADE["commands"]]):
            out = f"{made}/{number}.ipynb"
            given = [word for name, value in parameters.items() for word in ("-y", json.dumps({name: value}))]
            notebook = str(_find_notebook(report))
            for words in (
                [tools / "papermill", notebook, out, *given, "--no-progress-bar"],
                [tools / "jupyter", "nbconvert", "--to", "html", out],
            ):
                subprocess.run(words, check=True, cwd=made, env=env, capture_output=True)


def run_loop(folder: Path, report: str) -> None:
    """`papermill.execute_notebook` in one process, with one exporter for all."""
    import papermill
    from nbconvert import HTMLExporter

    exporter = HTMLExporter()
    with tempfile.TemporaryDirectory(dir=folder) as made:
        for number, parameters in enumerate(REPORTS[report][: MADE["one loop"]]):
            out = f"{made}/{number}.ipynb"
            notebook = papermill.execute_notebook(
                str(_find_notebook(report)), out, parameters=parameters, cwd=made, progress_bar=False
            )
            page, _ = exporter.from_notebook_node(notebook)
            write_text(Path(made) / f"{number}.html", page)


def run_ours(folder: Path, report: str, *, n: int | None = None, workers: int = 1) -> None:
    """`make_reports`, as `bgtk batch` calls it."""
    workspace = open_workspace(folder)
    wishes = [
        wish_for(workspace, report, parameters, edition=f"bench{parameters.get('confidence', '')[2:]}")
        for parameters in REPORTS[report][:n]
    ]
    made = make_reports(workspace, wishes, workers=workers, anew=True)
    failed = [one.reason for one in made if one.status == "failed"]
    if failed:
        raise RuntimeError(str(failed))


def _find_notebook(report: str) -> Path:
    return next(notebooks_folder().glob(f"*_{report}.ipynb"))


SIDES = {
    "commands": lambda folder, report, _: run_commands(folder, report),
    "commands, no tweaks": lambda folder, report, extra: run_commands(folder, report, extra=extra),
    "one loop": lambda folder, report, _: run_loop(folder, report),
    "ours, cold": lambda folder, report, _: run_ours(folder, report, n=MADE["ours, cold"]),
    "ours": lambda folder, report, _: run_ours(folder, report),
    "ours, two workers": lambda folder, report, _: run_ours(folder, report, workers=2),
}


def time_side(side: str, folder: Path, report: str, extra: str) -> tuple[float, float]:
    """Return processor and wall seconds of one report, start included, of a side in a process of its own."""
    env = {**os.environ, CHOICE: "cold" if side.endswith("cold") else "warm"}
    began = time.monotonic()
    child = subprocess.Popen([sys.executable, __file__, "--side", side, str(folder), report, extra], env=env)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise RuntimeError(f"{side}: {status}")
    n = MADE.get(side, len(REPORTS[report]))
    return (usage.ru_utime + usage.ru_stime) / n, (time.monotonic() - began) / n


def make_workspace(folder: Path) -> None:
    """Make a province of two assessments after all stages."""
    write_demo(folder, Design(assessments=("PED", "KEP")))
    run_stages(open_workspace(folder))


def main(arguments: list[str] | None = None) -> int:
    """Time every side in turn and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--untweaked", default="", help="folder with what an environment without our settings has")
    parser.add_argument("--without", action="append", default=[], choices=[*SIDES], help="a side that is not timed")
    parser.add_argument("--side", nargs=4, help=argparse.SUPPRESS)
    told = parser.parse_args(arguments)
    if told.side:
        SIDES[told.side[0]](Path(told.side[1]), told.side[2], told.side[3])
        return 0
    sides = [side for side in SIDES if side not in told.without and (told.untweaked or side != "commands, no tweaks")]
    folder = Path(tempfile.mkdtemp(prefix="bench-engine-"))
    os.environ.setdefault("BGTK_KEYS", str(folder / "keys"))
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    try:
        make_workspace(folder / "province")
        for _ in range(told.rounds):
            for report in REPORTS:
                for side in sides:
                    one = time_side(side, folder / "province", report, told.untweaked)
                    found.setdefault((report, side), []).append(one)
                    print(report, side, *(f"{value:.2f}" for value in one), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    lines = ["| report | side | CPU s a report | of ours | reports a minute |", "|---|---|---|---|---|"]
    for (report, side), times in found.items():
        cpu, wall = (statistics.median(one[k] for one in times) for k in (0, 1))
        ratio = statistics.median(a[0] / b[0] for a, b in zip(times, found[report, "ours"], strict=True))
        lines.append(f"| {report} | {side} | {cpu:.2f} | {ratio:.2f} | {60 / wall:.1f} |")
    print(text := "\n".join(lines) + "\n")
    RESULTS.mkdir(exist_ok=True)
    write_text(RESULTS / "engine.md", text)
    write_text(RESULTS / "engine.json", json.dumps({" / ".join(key): times for key, times in found.items()}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
