"""Calibrations, links and populations frozen by a recorded decision: kept beside it, so that new answers move nobody's score.

`data/decisions/frozen.csv` names what is frozen by the fingerprint that the reports print. The file itself is kept in
`data/decisions/frozen/` from the first run that sees the decision, and from then on used in place of a new one.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bgtk_lib.errors import ParameterError
from bgtk_lib.words import plain, say
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.store import read_json, write_json
from bgtk_lib.workspace.typed import read_decision_rows, require_known

COLUMNS = ("date", "who", "kind", "fingerprint", "reason")
MADE: Mapping[str, tuple[str, str]] = {
    "calibration": ("instrument", "calibrations"),
    "link": ("scores", "link_records"),
    "population": ("scores", "populations"),
}
SCALE = ".scale.json"  # beside a link: the reporting scale of its waves, held fast with it
FACTS = ".facts.json"  # beside a frozen calibration: what the review said of its form, held fast with it
TOLD = ("reliability", "items")  # tables of the review that reports quote of a form
NAMED = ["wave", "assessment", "form", "alpha"]
ITEM_COLUMNS = ["item_id", "item_rest_r", "r_low", "r_high", "n", "wave", "assessment", "form"]
SHORTEST = 12  # digits of a fingerprint that name one file


def keep_frozen(workspace: Workspace) -> dict[str, dict[str, Path]]:
    """Copy what decisions newly freeze to where it stays, and return all that is frozen: kind → name → file.

    Raises
    ------
    ParameterError
        If a decision names a kind or a fingerprint that does not exist.

    Notes
    -----
    A later decision about the same form, or pair of forms, takes the place of the earlier one.
    """
    found: dict[str, dict[str, Path]] = {kind: {} for kind in MADE}
    path = workspace.folder("decisions") / "frozen.csv"
    for row in read_decision_rows(path, COLUMNS):
        kind = require_known(row["kind"], [*MADE], what=f"{path.name}: kind")
        file = _find(workspace, kind, row["fingerprint"])
        if file is None:
            facts = {"file": path.name, "fingerprint": plain(row["fingerprint"][:SHORTEST]), "kind": plain(kind)}
            raise ParameterError(say("frozen.absent", **facts))
        kept = path.parent / "frozen" / MADE[kind][1] / file.name
        if file != kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            for one, place in ((file, kept), (scale_of(file), scale_of(kept))):
                if one.is_file():
                    shutil.copyfile(one, place)
            if kind == "calibration" and workspace.has_derived("reliability"):
                _keep_facts(workspace, kept)
        found[kind][kept.stem] = kept
    return found


def hold_facts(workspace: Workspace) -> dict[str, pd.DataFrame]:
    """Return what the review says of the forms that reports quote: as it was when their calibrations were frozen.

    Returns
    -------
    dict
        `form_reliability` and `form_items` (those whose correlation with the rest is 0 or less), a row a form and wave, and
        a row an item, form and wave.
    """
    frozen = keep_frozen(workspace)["calibration"]
    held = {name: read_json(_facts_of(path)) for name, path in frozen.items() if _facts_of(path).is_file()}
    found = {}
    for table in TOLD:
        now = pd.DataFrame(columns=NAMED)
        if workspace.has_derived(table):
            now = _quote(workspace.read_derived(table))
            rest = now[~(now["form"] + "@" + now["wave"]).isin(held)]
            kept = [pd.DataFrame(facts[table], columns=now.columns).astype(now.dtypes) for facts in held.values()]
            now = pd.concat([rest, *(rows for rows in kept if len(rows))], ignore_index=True)
        found[f"form_{table}"] = now
    return found


def _keep_facts(workspace: Workspace, kept: Path) -> None:
    form, _, wave = kept.stem.rpartition("@")
    facts = {}
    for name in TOLD:
        rows = _quote(workspace.read_derived(name))
        rows = rows[(rows["form"] == form) & (rows["wave"] == wave)]
        facts[name] = rows.astype(object).where(rows.notna(), None).to_dict("records")
    write_json(_facts_of(kept), facts)


def _quote(table: pd.DataFrame) -> pd.DataFrame:
    """Return what reports quote: of items only those that go against the rest."""
    return table.loc[table["item_rest_r"] <= 0, ITEM_COLUMNS] if "item_rest_r" in table else table


def _facts_of(calibration: Path) -> Path:
    return calibration.with_name(calibration.name.removesuffix(".json") + FACTS)


def scale_of(link: Path) -> Path:
    """Return where the reporting scale of a link lies."""
    return link.with_name(link.name.removesuffix(".json") + SCALE)


def _find(workspace: Workspace, kind: str, fingerprint: str) -> Path | None:
    """Return the file with a fingerprint, kept ones first."""
    stage, folder = MADE[kind]
    places = (workspace.folder("decisions") / "frozen" / folder, workspace.folder(stage) / folder)
    for file in (file for place in places for file in sorted(place.glob("*.json"))):
        if file.name.endswith((SCALE, FACTS)):
            continue
        content = read_json(file)
        if len(fingerprint) >= SHORTEST and str(content.get("fingerprint", "")).startswith(fingerprint):
            return file
    return None
