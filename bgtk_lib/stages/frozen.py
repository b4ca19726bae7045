"""Calibrations and links frozen by a recorded decision: kept beside it, so that new answers move nobody's score.

`data/decisions/frozen.csv` names what is frozen by the fingerprint that the reports print. The file itself is kept in
`data/decisions/frozen/` from the first run that sees the decision, and from then on used in place of a new one.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from bgtk_lib.errors import ParameterError
from bgtk_lib.words import plain, say
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.store import read_json
from bgtk_lib.workspace.typed import read_decision_rows, require_known

COLUMNS = ("date", "who", "kind", "fingerprint", "reason")
MADE: Mapping[str, tuple[str, str]] = {
    "calibration": ("instrument", "calibrations"),
    "link": ("scores", "link_records"),
}
SCALE = ".scale.json"  # beside a link: the reporting scale of its waves, held fast with it
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
        found[kind][kept.stem] = kept
    return found


def scale_of(link: Path) -> Path:
    """Return where the reporting scale of a link lies."""
    return link.with_name(link.name.removesuffix(".json") + SCALE)


def _find(workspace: Workspace, kind: str, fingerprint: str) -> Path | None:
    """Return the file with a fingerprint, kept ones first."""
    stage, folder = MADE[kind]
    places = (workspace.folder("decisions") / "frozen" / folder, workspace.folder(stage) / folder)
    for file in (file for place in places for file in sorted(place.glob("*.json"))):
        if file.name.endswith(SCALE):
            continue
        content = read_json(file)
        if len(fingerprint) >= SHORTEST and str(content.get("fingerprint", "")).startswith(fingerprint):
            return file
    return None
