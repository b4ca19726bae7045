"""Made-up provinces: raw exports with a planted truth and, on demand, planted faults.

Nothing downstream may treat them differently from real data; `data_kind: synthetic` in the workspace is all that tells.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

from bgtk_lib.errors import BgtkError, ParameterError
from bgtk_lib.findings import GateState
from bgtk_lib.synthetic.design import SCENARIOS, SIZES, Design
from bgtk_lib.synthetic.exports import WORKSPACE, build_exports, write_exports
from bgtk_lib.synthetic.faults import FAULTS, Fault, plant_faults
from bgtk_lib.synthetic.province import ScorePairs, draw_pairs, draw_province
from bgtk_lib.words import say
from bgtk_lib.workspace import open_workspace
from bgtk_lib.workspace.store import hash_content

__all__ = [
    "FAULTS",
    "SCENARIOS",
    "SIZES",
    "Design",
    "Fault",
    "ScorePairs",
    "clear_demo",
    "draw_pairs",
    "draw_province",
    "expected_gates",
    "write_demo",
]

# Closed in every sound province: some subjects are so small that by chance fewer than 80 % of them come back.
SOUND: dict[str, GateState] = {"C09": "HOLD"}


def write_demo(folder: Path, design: Design, *, faults: tuple[str, ...] = ()) -> None:
    """Write a workspace with a made-up province: raw exports, mappings, `workspace.yaml` and `truth.json`.

    Parameters
    ----------
    folder : Path
        New or empty.
    design : Design
        Size, scenario and seed. The same design gives the same bytes.
    faults : tuple of str
        Names of planted faults, in the order in which they are planted; see `faults.FAULTS`.
    """
    sound = build_exports(draw_province(design))
    spoiled = plant_faults(sound, faults, seed=design.seed)
    truth = sound["truth.json"] | {"faults": list(faults)}
    # A name of its own, hence a key and a ledger of its own: persons whom a fault merges stay merged in the ledger.
    workspace = spoiled[WORKSPACE] | {
        "name": f"{spoiled[WORKSPACE]['name']}-{hash_content([asdict(design), faults])[:8]}"
    }
    write_exports(spoiled | {"truth.json": truth, WORKSPACE: workspace}, Path(folder))


def expected_gates(faults: tuple[str, ...] = ()) -> dict[str, GateState]:
    """Return the gates that close in a province with these faults: code → HOLD or STOP."""
    closed = dict(SOUND)
    for name in faults:
        for code, state in FAULTS[name].closes.items():
            closed[code] = "STOP" if "STOP" in (state, closed.get(code)) else "HOLD"
    return closed


def clear_demo(folder: Path) -> None:
    """Remove an earlier demonstration; anything else in the way is refused."""
    above = next(parent for parent in folder.resolve().parents if parent.exists())
    if not above.is_dir():
        raise ParameterError(say("cli.demo_folder", folder=above.name))
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if folder.resolve() in (Path.cwd(), *Path.cwd().parents):  # never the ground one stands on
        raise ParameterError(say("cli.demo_folder", folder=folder.name or "."))
    try:
        declared = open_workspace(folder).declared
        made_up = declared.data_kind == "synthetic" and declared.name.startswith("demo")
    except BgtkError:
        made_up = False
    if not made_up:
        raise ParameterError(say("cli.demo_folder", folder=folder.name))
    shutil.rmtree(folder)
