"""A panel's view of the items: eight experts of three organisations rate how relevant each is, one item badly.

A panel judges forms, not persons: it is the same in every province.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.synthetic.forms import build_form

RATERS = {
    "R1": "Perguruan Tinggi Rekaan", "R2": "Perguruan Tinggi Rekaan", "R3": "Perguruan Tinggi Rekaan",
    "R4": "Dinas Pendidikan Rekaan", "R5": "Dinas Pendidikan Rekaan", "R6": "Dinas Pendidikan Rekaan",
    "R7": "Asosiasi Guru Rekaan", "R8": "Asosiasi Guru Rekaan",
}  # fmt: skip
WRITER, N_WRITTEN = "R3", 6
GOOD, POOR = (0.0, 0.02, 0.20, 0.78), (0.40, 0.50, 0.10, 0.0)  # chances of ratings 1 to 4
ASPECT, OWN, NONE = "Relevansi (1-4)", "Penulis butir", "Tidak ada"
COLUMNS = ["Kode Butir", "Versi", "Penelaah", "Lembaga", "Aspek", "Nilai", "Kepentingan"]


def describe_panel(forms: Sequence[str]) -> dict[str, Any]:
    """Return what is planted in the panel of some forms: the item that is rated badly, who wrote which items.

    Parameters
    ----------
    forms : sequence of str
        Two at least; the second shares items with the first.
    """
    first, second = (build_form(name).item_ids for name in forms[:2])
    written = [code for code in second if code not in first][:N_WRITTEN]
    poor = next(code for code in first if code not in second)
    return {"poor_item": poor, "writer": WRITER, "written": written, "raters": dict(RATERS)}


def rate_items(forms: Sequence[str]) -> pd.DataFrame:
    """Return the ratings as the office keeps them, one row an item and rater; each item of some forms once."""
    planted = describe_panel(forms)
    rng = np.random.default_rng([2_025, *b"panel"])
    rows = []
    for code in dict.fromkeys(code for name in forms for code in build_form(name).item_ids):
        ratings = rng.choice([1, 2, 3, 4], len(RATERS), p=POOR if code == planted["poor_item"] else GOOD)
        for (rater, organisation), rating in zip(RATERS.items(), ratings, strict=True):
            own = rater == WRITER and code in planted["written"]
            rows.append([code, "1", rater, organisation, ASPECT, "4" if own else str(rating), OWN if own else NONE])
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)
