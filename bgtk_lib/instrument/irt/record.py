"""A calibration written down, so that a recorded decision can freeze it, and read back unaltered or not at all."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.instrument.irt.calibrate import Calibration
from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.workspace.store import hash_content, read_sealed, write_sealed

FORMAT = 1
FRAMES = ("items", "steps", "groups")
WORDS = ("item_id", "note", "group")
KINDS = {"n": "int64", "step": "int64", "fixed": "bool"}


def fingerprint_calibration(calibration: Calibration) -> str:
    """Return the SHA-256 of all that a calibration holds: what a recorded decision names and every score carries."""
    return hash_content(_encode(calibration))


def write_calibration(path: Path, calibration: Calibration) -> str:
    """Write a calibration as JSON, whole or not at all, and return its fingerprint, which stands in the file too."""
    return write_sealed(path, _encode(calibration))


def read_calibration(path: Path) -> Calibration:
    """Return a calibration as it was written.

    Raises
    ------
    ParameterError
        If there is no such file.
    LinkageError
        If it does not match its fingerprint.
    """
    return _decode(read_sealed(path, kind=FORMAT, altered="instrument.altered"))


def _encode(calibration: Calibration) -> dict[str, Any]:
    known = {one.name: getattr(calibration, one.name) for one in fields(calibration)}
    curves = calibration.curves
    return known | {
        "format": FORMAT,
        "curves": {
            "item_ids": list(curves.item_ids),
            "slopes": curves.slopes.tolist(),
            "intercepts": [[None if np.isnan(one) else one for one in row] for row in curves.intercepts.tolist()],
            "graded": curves.graded.tolist(),
        },
        **{
            name: _list_records(_type_columns(known[name])) for name in FRAMES
        },  # as read: 1 is not 1.0 in a fingerprint
        "covariance": {
            "names": list(calibration.covariance.index),
            "values": [
                [None if np.isnan(one) else one for one in row] for row in calibration.covariance.to_numpy().tolist()
            ],
        },
    }


def _list_records(frame: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(name): column.astype(object).where(column.notna(), None).tolist() for name, column in frame.items()}


def _decode(content: dict[str, Any]) -> Calibration:
    curves, covariance = content["curves"], content["covariance"]
    widest = max((len(row) for row in curves["intercepts"]), default=1)
    intercepts = np.array(curves["intercepts"], dtype=float).reshape(len(curves["item_ids"]), widest)
    frames = {name: _type_columns(pd.DataFrame(content[name])) for name in FRAMES}
    names = covariance["names"]
    return Calibration(
        **{one.name: content[one.name] for one in fields(Calibration)}
        | frames
        | {
            "curves": Curves(
                item_ids=tuple(curves["item_ids"]),
                slopes=np.array(curves["slopes"], dtype=float),
                intercepts=intercepts,
                graded=np.array(curves["graded"], dtype=bool),
            ),
            "covariance": pd.DataFrame(
                np.array(covariance["values"], dtype=float).reshape(len(names), len(names)), index=names, columns=names
            ),
        }
    )


def _type_columns(frame: pd.DataFrame) -> pd.DataFrame:
    kinds = {name: "str" if name in WORDS else KINDS.get(name, "float64") for name in frame.columns}
    return frame.astype(kinds)
