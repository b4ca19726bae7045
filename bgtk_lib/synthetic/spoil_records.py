"""Faults in Dapodik, in the register of items, in who sits, and in what the workspace declares."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.synthetic.dapodik import FORM
from bgtk_lib.synthetic.design import PRE_DAYS
from bgtk_lib.synthetic.edits import (
    PERSON,
    draw_digits,
    edit_wave,
    find_test,
    form_of,
    list_wave,
    pick_persons,
    take_anyone,
)
from bgtk_lib.synthetic.exports import FORMS, GTK, KEYS, ROSTERS, SCHOOLS, WORKSPACE, Exports, list_keys, list_positions
from bgtk_lib.synthetic.forms import OPTIONS, build_form
from bgtk_lib.synthetic.spoil_tests import POST

OTHER_FORM = "PED-9"
TOO_OLD = timedelta(days=429)


def disagree_on_birth(exports: Exports, rng: np.random.Generator) -> Exports:
    """Put another birth date beside 8 % of the NIP in Dapodik."""
    files = {path: content for path, content in exports.items() if path.startswith(f"{GTK}/")}
    known = sorted({row["nip"] for answer in files.values() for row in answer["rows"] if row["nip"]})
    wrong = {
        str(nip): timedelta(days=int(days))
        for nip, days in zip(
            rng.choice(known, round(0.08 * len(known)), replace=False), rng.integers(40, 900, len(known)), strict=False
        )
    }

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        if row["nip"] not in wrong:
            return row
        return row | {"tanggal_lahir": (date.fromisoformat(row["tanggal_lahir"]) - wrong[row["nip"]]).isoformat()}

    edited = {path: answer | {"rows": [edit(row) for row in answer["rows"]]} for path, answer in files.items()}
    return exports | edited


def admit_madrasah(exports: Exports, rng: np.random.Generator) -> Exports:
    """Make 3 % of the schools (three at least) madrasah, whose teachers another ministry answers for."""
    paths = sorted(path for path in exports if path.startswith(f"{SCHOOLS}/"))
    chosen = rng.choice(paths, max(3, round(0.03 * len(paths))), replace=False).tolist()
    edited: Exports = {}
    for path in chosen:
        row = exports[path]["rows"]
        facts = {"bentuk_pendidikan_id": FORM["MA"], "bentuk_pendidikan_id_str": "MA"}
        edited[path] = exports[path] | {"rows": row | facts | {"nama": f"MA REKAAN {row['npsn'][-3:]}"}}
    return exports | edited


def age_dapodik(exports: Exports, rng: np.random.Generator) -> Exports:  # noqa: ARG001 - nothing is drawn
    """Date the Dapodik files 429 days before the first wave."""
    workspace = exports[WORKSPACE]
    dated = PRE_DAYS["I"] - TOO_OLD
    sources = [entry | {"as_of": dated} if "as_of" in entry else entry for entry in workspace["sources"]]
    return exports | {WORKSPACE: workspace | {"sources": sources}}


def shift_keys(exports: Exports, rng: np.random.Generator) -> Exports:
    """Move the key of a quarter of the items of one form to the next letter."""
    form = form_of(exports[find_test(exports, POST, "KEP")])
    table = exports[KEYS].copy()
    rows = np.flatnonzero(table["Kode Butir"].isin(build_form(form).item_ids))
    chosen = rng.choice(rows, round(0.25 * len(rows)), replace=False)
    keys = table["Kunci"].iloc[chosen]
    table.loc[table.index[chosen], "Kunci"] = [OPTIONS[(OPTIONS.index(key) + 1) % len(OPTIONS)] for key in keys]
    return exports | {KEYS: table}


def change_form(exports: Exports, rng: np.random.Generator) -> Exports:
    """Hold one test after on a form with items of its own. The same persons solve as many as before the change."""
    path = find_test(exports, POST, "PED")
    table = exports[path].copy()
    old, new = build_form(form_of(table)), build_form(OTHER_FORM)
    for number in range(min(old.n_items, new.n_items)):
        wrong = rng.permutation([letter for letter in OPTIONS if letter != OPTIONS[new.key[number]]]).tolist()
        letters = {OPTIONS[old.key[number]]: OPTIONS[new.key[number]]}
        letters |= dict(zip([letter for letter in OPTIONS if letter not in letters], wrong, strict=True))
        column = f"Soal {number + 1}"
        table[column] = [letters.get(answer, answer) for answer in table[column]]
    table["Paket"] = OTHER_FORM
    workspace = exports[WORKSPACE]
    forms = workspace["forms"] | {OTHER_FORM: workspace["forms"][old.name]}
    return exports | {
        path: table,
        FORMS: pd.concat([exports[FORMS], list_positions([OTHER_FORM])], ignore_index=True),
        KEYS: pd.concat([exports[KEYS], list_keys([OTHER_FORM])], ignore_index=True),
        WORKSPACE: workspace | {"forms": forms},
    }


def release_keys(exports: Exports, rng: np.random.Generator) -> Exports:  # noqa: ARG001 - nothing is drawn
    """Declare that keys were released before the second wave."""
    workspace = exports[WORKSPACE]
    waves = workspace["waves"] | {POST: workspace["waves"][POST] | {"released_before": True}}
    return exports | {WORKSPACE: workspace | {"waves": waves}}


def replace_people(exports: Exports, rng: np.random.Generator) -> Exports:
    """Let others sit in the place of 45 % of those who returned: known to Dapodik, invited, but not there before."""
    gone = sorted(pick_persons(exports, POST, share=0.45, rng=rng, fits=take_anyone))
    facts = {"NUPTK": draw_digits(len(gone), rng=rng), "NIP": "", "Nama": "Pengganti Rekaan"}
    newcomers = pd.DataFrame(facts, index=gone, dtype=object)
    seats = pd.concat([exports[path][[PERSON, "NPSN"]] for path in list_wave(exports, POST)]).drop_duplicates(PERSON)
    newcomers["NPSN"] = seats.set_index(PERSON)["NPSN"].reindex(gone)
    born = [date(1980 + number % 20, 1 + number % 12, 1 + number % 28) for number in range(len(gone))]
    newcomers["NIK"] = [f"187101{day:%d%m%y}{9900 + number % 100}" for number, day in enumerate(born)]
    newcomers["born"] = [day.isoformat() for day in born]
    invited: list[list[str]] = []

    def edit(table: pd.DataFrame) -> pd.DataFrame:
        rows = table[PERSON].isin(newcomers.index)
        for column in ("NUPTK", "NIP", "Nama"):
            table.loc[rows, column] = table.loc[rows, PERSON].map(newcomers[column])
        assessment = str(table["Paket"].iloc[0]).split("-", maxsplit=1)[0]
        for person in dict.fromkeys(table.loc[rows, PERSON]):
            entry = newcomers.loc[person]
            invited.append([entry["NUPTK"], entry["NIK"], entry["Nama"], entry["NPSN"], assessment])
        table.loc[rows, PERSON] = table.loc[rows, PERSON].str.replace("LPG", "BARU")
        return table

    edited = edit_wave(exports, POST, edit)
    roster = exports[path := f"{ROSTERS}/{POST}.csv"]
    added = [[str(len(roster) + number), *entry] for number, entry in enumerate(invited, start=1)]
    extra = pd.DataFrame(added, columns=roster.columns, dtype=object)
    return _enter_newcomers(edited, newcomers) | {path: pd.concat([roster, extra], ignore_index=True)}


def _enter_newcomers(exports: Exports, newcomers: pd.DataFrame) -> Exports:
    edited: Exports = {}
    for npsn, group in newcomers.groupby("NPSN", sort=True):
        path = f"{GTK}/{npsn}.json"
        rows = list(exports[path]["rows"])
        for nth, entry in enumerate(group.to_dict(orient="records")):
            facts = {
                "nama": entry["Nama"], "nuptk": entry["NUPTK"], "nik": entry["NIK"], "nip": None,
                "tanggal_lahir": entry["born"], "jenis_kelamin": "L", "ptk_induk": "1",
                "jenis_ptk_id": "4", "jenis_ptk_id_str": "Guru Mapel", "status_kepegawaian_id": 4,
                "status_kepegawaian_id_str": "GTY/PTY", "pangkat_golongan_terakhir": None,
                "ptk_id": f"pengganti-{npsn}-{nth}", "ptk_terdaftar_id": f"pengganti-{npsn}-{nth}-0",
            }  # fmt: skip
            rows.append(rows[0] | facts)
        edited[path] = exports[path] | {"rows": rows, "results": len(rows), "limit": len(rows)}
    return exports | edited
