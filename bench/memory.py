"""How much memory a long batch takes: of the process that makes it, of the template, and of each kernel on top of that.

A forked kernel shares the template's pages, so its own memory is what is private to it. Of the two processes the resident
memory counts: a proportional share (``pss``) moves with whatever else on the machine has the same libraries open.
Bars: both flat after the first 20 reports, 250 MB a kernel. Linux only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from bgtk_lib.engine.batch import make_reports, rehearse
from bgtk_lib.engine.warm.kernels import TEMPLATE
from bgtk_lib.engine.wishes import Wish, list_wishes
from bgtk_lib.stages.run import run_stages
from bgtk_lib.synthetic import Design, write_demo
from bgtk_lib.workspace import Workspace, open_workspace
from bgtk_lib.workspace.declaration import ReportPlan
from bgtk_lib.workspace.store import write_text

RESULTS = Path(__file__).parent / "results" / "memory.json"
SETTLED = 20  # reports after which nothing may grow
GROWTH, LARGEST = 20.0, 250.0  # MB: what counts as flat, and the most of a kernel
MB = 1 << 20
EVERY = 0.2  # seconds between two looks at the kernels


def list_many(workspace: Workspace, n: int) -> list[Wish]:
    """Return n reports that have teachers enough, under as many editions as that takes."""
    assessments = sorted({form.assessment for form in workspace.declared.forms.values()})
    grid: dict[str, Any] = {"assessment": assessments, "waves": "all", "language": ["id", "en"]}
    plans = [
        ReportPlan(report="change", grid=grid),
        ReportPlan(report="change", grid={**grid, "districts": "all"}),
        ReportPlan(report="coverage_map", grid={"wave": "all", "language": ["id", "en"]}),
    ]
    wishes = list_wishes(workspace, plans=plans, edition="memori")
    enough = [wish for wish, told in zip(wishes, rehearse(workspace, wishes), strict=True) if told.action != "withhold"]
    return [
        replace(wish, parameters=wish.parameters.model_copy(update={"edition_id": f"memori-{edition}"}))
        for edition in range(1, n // len(enough) + 2)
        for wish in enough
    ][:n]


def list_templates() -> list[psutil.Process]:
    """Return the processes from which this one's kernels are forked: one, however many workers."""
    found = []
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if TEMPLATE in process.cmdline():
                found.append(process)
    return found


@contextmanager
def watch_kernels() -> Iterator[dict[int, float]]:
    """Keep the largest private memory of every kernel (process → MB) while the block runs."""
    largest: dict[int, float] = {}
    done = threading.Event()

    def look() -> None:
        while not done.wait(EVERY):
            for kernel in itertools.chain.from_iterable(template.children() for template in list_templates()):
                with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                    private = kernel.memory_full_info().uss / MB
                    largest[kernel.pid] = max(largest.get(kernel.pid, 0.0), private)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield largest
    finally:
        done.set()
        watcher.join()


def measure(workspace: Workspace, wishes: Sequence[Wish], *, workers: int) -> dict[str, Any]:
    """Make the reports and return what was seen after each of them, and the kernels' largest."""
    seen: list[dict[str, float]] = []
    began = time.monotonic()

    def look(_: Any) -> None:
        memory = {
            "caller": psutil.Process().memory_info().rss / MB,
            "template": sum(template.memory_info().rss / MB for template in list_templates()),
        }
        seen.append(memory)
        if len(seen) == SETTLED or len(seen) % 50 == 0:
            print(f"{len(seen):5} reports: caller {memory['caller']:6.1f} MB, template {memory['template']:6.1f} MB")

    with watch_kernels() as largest:
        made = make_reports(workspace, wishes, look, workers=workers, anew=True)
    growth = {
        name: max(one[name] for one in seen[SETTLED:]) - seen[SETTLED - 1][name] for name in ("caller", "template")
    }
    return {
        "reports": len(made),
        "failed": sum(one.status == "failed" for one in made),
        "workers": workers,
        "seconds": round(time.monotonic() - began),
        "after": {str(n): {k: round(v, 1) for k, v in seen[n - 1].items()} for n in _marks(len(seen))},
        "growth_after_20": {name: round(size, 1) for name, size in growth.items()},
        "templates": len(list_templates()),
        "kernels_seen": len(largest),
        "largest_private": round(max(largest.values(), default=0.0), 1),
    }


def _marks(n: int) -> list[int]:
    return sorted({1, SETTLED, *itertools.takewhile(lambda mark: mark <= n, itertools.count(50, 50)), n})


def main() -> int:
    """Print what was measured; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--workspace", type=Path, help="a demonstration, such as `bgtk demo` writes; by default a new one"
    )
    parser.add_argument("--reports", type=int, default=255)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    if chosen.reports <= SETTLED:
        parser.error(f"--reports must be more than {SETTLED}")
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as folder:
        if chosen.workspace is None:
            os.environ.setdefault("BGTK_KEYS", f"{folder}/keys")
            write_demo(Path(folder) / "province", Design(assessments=("PED", "KEP", "SSL")))
        workspace = open_workspace(chosen.workspace or Path(folder) / "province")
        run_stages(workspace)
        found = measure(workspace, list_many(workspace, chosen.reports), workers=chosen.workers)
    found["load"] = [round(one, 2) for one in os.getloadavg()]  # what else was running
    write_text(RESULTS, json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    flat = all(size <= GROWTH for size in found["growth_after_20"].values())
    sound = found["templates"] == 1 and not found["failed"]
    return 0 if flat and found["largest_private"] <= LARGEST and sound else 1


if __name__ == "__main__":
    raise SystemExit(main())
