"""How the exported tests are edited: by wave, by person, without touching what was given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib import schema
from bgtk_lib.synthetic.exports import CBT, SCHOOLS, STAMP, Exports

Mask = np.ndarray
Edit = Callable[[pd.DataFrame], pd.DataFrame]
DISTRICT, PERSON = "Kab/Kota", "No Peserta"


def list_wave(exports: Exports, wave: str) -> list[str]:
    """Return the paths of a wave's tests."""
    return sorted(path for path in exports if path.startswith(f"{CBT}/{wave}/"))


def find_test(exports: Exports, wave: str, assessment: str) -> str:
    """Return the path of one test, or of the wave's first where that assessment was not written."""
    path = f"{CBT}/{wave}/{assessment}.csv"
    return path if path in exports else list_wave(exports, wave)[0]


def form_of(table: pd.DataFrame) -> str:
    """Return the form of a test."""
    return str(table["Paket"].iloc[0])


def edit_wave(exports: Exports, wave: str, edit: Edit) -> Exports:
    """Return exports with each test of a wave edited; `edit` gets a copy. Tests that stay the same are kept."""
    return exports | {path: edit(exports[path].copy()) for path in list_wave(exports, wave)}


def set_where(table: pd.DataFrame, rows: Mask | pd.Series[bool], **values: Any) -> pd.DataFrame:
    """Return a table with columns set in some rows; keywords name columns with `_` for blank."""
    for column, value in values.items():
        table.loc[rows, column.replace("_", " ")] = value
    return table


def pick_persons(
    exports: Exports, wave: str, *, share: float, rng: np.random.Generator, fits: Callable[[pd.DataFrame], Mask]
) -> set[str]:
    """Return the participant numbers of a share of a wave's persons, drawn among those who fit."""
    columns = [PERSON, "NUPTK", "NIP", "NPSN"]
    everyone = pd.concat([exports[path][columns] for path in list_wave(exports, wave)]).drop_duplicates(PERSON)
    able = np.sort(everyone.loc[fits(everyone), PERSON].to_numpy(dtype=str))
    wanted = min(max(1, round(share * len(everyone))), len(able))
    return set(rng.choice(able, wanted, replace=False).tolist())


def home_districts(exports: Exports) -> dict[str, str]:
    """Return NPSN → Kemendagri code of the school's district, by Dapodik's code."""
    frame = schema.districts()
    codes = {str(dapodik)[:4]: str(code) for code, dapodik in frame["dapodik"].items()}
    rows = [content["rows"] for path, content in exports.items() if path.startswith(f"{SCHOOLS}/")]
    return {row["npsn"]: codes[row["kode_wilayah"][:4]] for row in rows}


def take_anyone(table: pd.DataFrame) -> Mask:
    """Return yes for every row."""
    return np.ones(len(table), dtype=bool)


def has_nuptk(table: pd.DataFrame) -> Mask:
    """Return which rows have a NUPTK."""
    return np.asarray(table["NUPTK"] != "")


def starts_before_noon(table: pd.DataFrame) -> Mask:
    """Return which rows start before noon."""
    return np.asarray(table["Mulai"].str[11:13] < "12")


def draw_digits(n: int, *, rng: np.random.Generator) -> list[str]:
    """Return n invented numbers of sixteen digits."""
    return ["".join(row) for row in rng.integers(0, 10, (n, 16)).astype("U1").tolist()]


def shift_times(table: pd.DataFrame, by: timedelta) -> dict[str, list[str]]:
    """Return start and end moved by a time; what is empty stays empty."""
    return {
        column: [f"{datetime.strptime(text, STAMP) + by:{STAMP}}" if text else "" for text in table[column]]  # noqa: DTZ007 - exports carry no zone
        for column in ("Mulai", "Selesai")
    }


def answer_again(rows: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """Return rows with about a third of the answers drawn anew and none left out."""
    items = [column for column in rows.columns if column.startswith("Soal ")]
    old = rows[items].to_numpy(dtype=object)
    new = rng.choice(np.array(list("ABCDE"), dtype=object), old.shape)
    keep = (rng.random(old.shape) > 0.4) & np.isin(old, list("ABCDE"))
    rows = rows.copy()
    rows[items] = np.where(keep, old, new)
    return rows


def invent_rows(table: pd.DataFrame, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
    """Return rows of nobody: copies of drawn first attempts with other answers and no identifier."""
    whole = table[(table["Selesai"] != "") & (table["Percobaan"] == "1")]
    rows = answer_again(whole.iloc[rng.choice(len(whole), n, replace=False)].reset_index(drop=True), rng=rng)
    rows[PERSON] = [f"TES-{number:06d}" for number in range(1, n + 1)]
    rows["NUPTK"], rows["NIP"], rows["Nama"] = "", "", "Tamu Rekaan"
    return rows


def append_rows(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a table with rows added below and numbered on."""
    rows = rows.assign(No=[str(number) for number in range(len(table) + 1, len(table) + len(rows) + 1)])
    return pd.concat([table, rows], ignore_index=True).astype(object)
