"""A province as the files an office would receive: tests, register of items, rosters, training, Dapodik."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bgtk_lib import schema
from bgtk_lib.errors import StageError
from bgtk_lib.synthetic.dapodik import answer_gtk, answer_school
from bgtk_lib.synthetic.design import Design, count_districts, count_subjects, wave_name
from bgtk_lib.synthetic.forms import NOT_REACHED, OMITTED, OPTIONS, Codes, build_form
from bgtk_lib.synthetic.layouts import MAPPINGS, PLAN, declare_workspace, plan_analysis
from bgtk_lib.synthetic.panel import rate_items
from bgtk_lib.synthetic.province import Province
from bgtk_lib.synthetic.rosters import describe_programmes
from bgtk_lib.synthetic.times import TIMED, draw_times
from bgtk_lib.synthetic.truth import describe_items
from bgtk_lib.synthetic.workshop import WORKSHOP, describe_workshop
from bgtk_lib.words import say

Exports = dict[str, Any]  # relative path → DataFrame of text (csv) or plain objects (json, yaml)

CBT = "data/raw/cbt"
GTK = "data/raw/dapodik/gtk"
SCHOOLS = "data/raw/dapodik/sekolah"
FORMS = "data/raw/register/paket.csv"
KEYS = "data/raw/register/kunci.csv"
ROSTERS = "data/raw/roster"
TRAINING = "data/raw/roster/pelatihan.csv"
APPLICANTS = "data/raw/roster/pelamar.csv"
RUBRIC = "data/raw/rubrik/portofolio.csv"
PANEL = "data/raw/panel/telaah_ssl.csv"
TOTALS = "data/control_totals.csv"
WORKSPACE = "workspace.yaml"
CBT_COLUMNS = (
    "No", "No Peserta", "NUPTK", "NIP", "Nama", "NPSN", "Sekolah", "Kab/Kota", "Mapel", "Paket", "Mulai", "Selesai",
    "Perangkat", "Tempat", "Percobaan",
)  # fmt: skip
TRAINING_COLUMNS = {
    "Program": "programme", "Mulai": "start", "Selesai": "end", "Jam": "hours", "Peran": "role", "Sesi": "sessions",
    "Cara Terpilih": "assignment",
}  # fmt: skip
APPLICANT_COLUMNS = {
    "Program": "programme", "Panggilan": "call", "Tanggal Daftar": "applied", "Kelompok Undian": "stratum",
    "Terpilih": "drawn", "Hadir": "attended",
}  # fmt: skip
RUBRIC_COLUMNS = {
    "Program": "programme", "Waktu": "occasion", "Penilai": "rater", "Kriteria": "criterion", "Skor": "score",
    "Skor Maksimum": "score_max",
}  # fmt: skip
ASSIGNMENT = {code: written for written, code in MAPPINGS["training"]["columns"]["assignment"]["values"].items()}
BROKEN_OFF = 1200.0  # seconds that a session without an end took
STAMP = "%d/%m/%Y %H:%M:%S"
LETTERS = np.array([*OPTIONS, "", "X"], dtype=object)
LETTERS[OMITTED], LETTERS[NOT_REACHED] = "X", ""  # counted from the end


def build_exports(province: Province) -> Exports:
    """Return every file of a workspace that holds this province: relative path → content, ready to be spoiled."""
    teachers, schools = province.teachers, province.schools
    exports: Exports = {WORKSPACE: declare_workspace(province.design), PLAN: plan_analysis(province.design)}
    exports |= {f"data/mappings/{name}.yaml": dict(mapping) for name, mapping in MAPPINGS.items()}
    exports[TOTALS] = _list_totals(province)
    forms = [form for truth in province.truth.values() for form in (truth.form, truth.form_post)]
    exports |= {FORMS: list_positions(forms), KEYS: list_keys(forms)}
    if rated := province.design.panel_forms:
        exports[PANEL] = rate_items(rated)
    exports |= _list_rosters(province)
    exports |= _list_programmes(province)
    exports |= _list_tests(province)
    exports |= {f"{SCHOOLS}/{row['npsn']}.json": answer_school(row) for row in schools.to_dict(orient="records")}
    exports |= {f"{GTK}/{npsn}.json": answer for npsn, answer in answer_gtk(teachers, schools).items()}
    told = describe_programmes(province.design, province.programmes)
    exports["truth.json"] = {
        "design": _plain(province),
        "change": [truth.as_json() for truth in province.truth.values()],
        "items": describe_items(province.design),
        "programmes": told | ({WORKSHOP: describe_workshop()} if len(province.workshop.persons) else {}),
        "district_effects": {
            code: dict(zip(province.effects.districts, values.tolist(), strict=True))
            for code, values in province.effects.change.items()
        },
    }
    return exports


def write_exports(exports: Exports, folder: Path) -> None:
    """Write every file into a folder that does not exist yet or is empty.

    Raises
    ------
    StageError
        If the folder already holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise StageError(say("synthetic.folder_in_use", folder=folder.name))
    for name in sorted(exports):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = exports[name]
        if isinstance(content, pd.DataFrame):
            _write_table(content, path)
        elif path.suffix == ".json":
            path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n")
        else:
            text = yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=110)
            path.write_text(text, encoding="utf-8", newline="\n")


def list_positions(forms: list[str]) -> pd.DataFrame:
    """Return the register of forms: which item stands where; an anchor has its code in both forms."""
    rows = [
        [form.name, str(number), code, "1", indicator]
        for form in map(build_form, dict.fromkeys(forms))
        for number, (code, indicator) in enumerate(zip(form.item_ids, form.indicators, strict=True), start=1)
    ]
    return pd.DataFrame(rows, columns=["Paket", "Nomor", "Kode Butir", "Versi", "Indikator"], dtype=object)


def list_keys(forms: list[str]) -> pd.DataFrame:
    """Return the register of keys, each item once."""
    built = [build_form(name) for name in forms]
    keys = {code: OPTIONS[key] for form in built for code, key in zip(form.item_ids, form.key, strict=True)}
    rows = [[code, "1", key, "1"] for code, key in keys.items()]
    return pd.DataFrame(rows, columns=["Kode Butir", "Versi", "Kunci", "Versi Kunci"], dtype=object)


def write_answers(marked: Codes) -> np.ndarray:
    """Return marks as letters: A-E, X where crossed out, empty where not reached."""
    return np.asarray(LETTERS[marked])


def spell_district(codes: np.ndarray, *, turns: np.ndarray) -> np.ndarray:
    """Return districts as people write them: one of the spellings the alias table knows, by turn."""
    known = {code: list_spellings(str(code)) for code in np.unique(codes)}
    return np.array(
        [known[code][turn % len(known[code])] for code, turn in zip(codes, turns, strict=True)], dtype=object
    )


def list_spellings(code: str) -> list[str]:
    """Return the spellings of a district in exports; all mean the same after folding."""
    entry = schema.districts().loc[code]
    name, label = entry["name"], entry["label"]
    kind = "Kabupaten" if entry["kind"] == "kabupaten" else "Kota"
    aliases = [alias for alias in entry["aliases"].split("|") if alias]
    return [label, label, name.upper(), name, label.upper(), f"{kind} {name}", f"{label}  ", *aliases]


def _list_tests(province: Province) -> Exports:
    teachers = province.teachers
    school_names = province.schools.set_index("npsn")["name"]
    labels = {code: text.id for code, text in schema.code_list("assessments").items()}
    tests: Exports = {}
    for key, held in province.sittings.groupby(["wave", "assessment"], sort=True):
        wave, assessment = (str(part) for part in key)
        who = teachers.loc[held["teacher"]]
        number = held["teacher"].to_numpy()
        marked = province.answers[assessment, wave][held["row"].to_numpy()]
        answers = write_answers(marked)
        left = np.column_stack(
            [
                np.arange(1, len(held) + 1).astype("U7").astype(object),
                np.array([f"LPG-{i + 1:06d}" for i in number], dtype=object),
                who["nuptk"].to_numpy(dtype=object),
                who["nip"].to_numpy(dtype=object),
                who["name"].to_numpy(dtype=object),
                who["npsn"].to_numpy(dtype=object),
                who["npsn"].map(school_names).to_numpy(dtype=object),
                spell_district(who["district"].to_numpy(dtype=object), turns=number * 7 + len(wave) + number // 11),
                np.full(len(held), labels[assessment], dtype=object),
                held["form_id"].to_numpy(dtype=object),
                held["start"].dt.strftime(STAMP).to_numpy(dtype=object),
                held["end"].dt.strftime(STAMP).fillna("").to_numpy(dtype=object),
                held["device"].to_numpy(dtype=object),
                held["venue"].to_numpy(dtype=object),
                held["attempt"].to_numpy().astype("U2").astype(object),
            ]
        )
        columns = [*CBT_COLUMNS, *(f"Soal {n}" for n in range(1, answers.shape[1] + 1))]
        parts = [left, answers]
        if assessment in TIMED:
            columns += [f"Waktu {n}" for n in range(1, answers.shape[1] + 1)]
            parts.append(_write_times(held, marked, design=province.design))
        tests[f"{CBT}/{wave}/{assessment}.csv"] = pd.DataFrame(
            np.concatenate(parts, axis=1), columns=columns, dtype=object
        )
    return tests


def _write_times(held: pd.DataFrame, marked: Codes, *, design: Design) -> np.ndarray:
    """Return seconds as text with a decimal comma; a stream of its own, so that nothing else is drawn otherwise."""
    wave, form = str(held["wave"].iloc[0]), build_form(str(held["form_id"].iloc[0]))
    seconds = np.asarray((held["end"] - held["start"]).dt.total_seconds().fillna(BROKEN_OFF), dtype=np.float64)
    rng = np.random.default_rng([design.seed, *wave.encode()])
    times = draw_times(marked, form, seconds=seconds, rng=rng)
    texts = [["" if np.isnan(time) else f"{time:.1f}".replace(".", ",") for time in row] for row in times.tolist()]
    return np.array(texts, dtype=object)


def _list_rosters(province: Province) -> Exports:
    found: Exports = {}
    for wave, rows in province.rosters.groupby("wave", sort=True):
        who = province.teachers.loc[rows["teacher"], ["nuptk", "nik", "name", "npsn"]].to_numpy(dtype=object)
        number = np.arange(1, len(rows) + 1).astype("U7").astype(object)
        found[f"{ROSTERS}/{wave}.csv"] = pd.DataFrame(
            np.column_stack([number, who, rows["assessment"].to_numpy(dtype=object)]),
            columns=["No", "NUPTK", "NIK", "Nama", "NPSN", "Asesmen"],
            dtype=object,
        )
    return found


def _list_programmes(province: Province) -> Exports:
    """Return who took part; where programmes have effects also who applied, and the raters' scores."""
    known = pd.concat([province.teachers[["nuptk", "nik"]], province.workshop.persons])

    def write(rows: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
        """Return a frame under the names of the export, days and truth values as people write them, persons named."""
        who = known.loc[rows["teacher"]]
        table = {"NUPTK": who["nuptk"].to_numpy(dtype=object), "NIK": who["nik"].to_numpy(dtype=object)}
        for name, column in columns.items():
            table[name] = np.array([_write_cell(value) for value in rows[column]], dtype=object)
        return pd.DataFrame(table, dtype=object)

    found = {TRAINING: write(province.training.replace({"assignment": ASSIGNMENT}), TRAINING_COLUMNS)}
    if len(province.applicants):
        found |= {APPLICANTS: write(province.applicants, APPLICANT_COLUMNS)}
        found |= {RUBRIC: write(province.workshop.rubric, RUBRIC_COLUMNS)}
    return found


def _write_cell(value: Any) -> str:
    if isinstance(value, bool):
        return "Ya" if value else "Tidak"
    return f"{value:%d/%m/%Y}" if isinstance(value, date) else str(value)


def _list_totals(province: Province) -> pd.DataFrame:
    """Return the register of control totals: phase, wave, district, subject, n, source, tolerance."""
    design, source = province.design, "data contoh buatan (hitungan rancangan)"
    rows: list[list[str]] = []
    for phase in design.phases:
        wave, counts = wave_name(phase, "pre"), count_districts(design, phase)
        tolerance = "0.05" if phase == "III" else "0.02"
        entries: list[tuple[str, str, int]] = [("", "", sum(counts.values()))]
        if phase == "I":
            entries += [
                ("", code, n) for code, n in count_subjects(design, phase).items() if code in design.assessments
            ]
        elif phase == "II":
            entries += [(code, "", n) for code, n in counts.items()]
        rows += [[phase, wave, district, subject, str(n), source, tolerance] for district, subject, n in entries]
    return pd.DataFrame(
        rows, columns=["phase", "wave", "district", "subject", "n", "source", "tolerance"], dtype=object
    )


def _plain(province: Province) -> Mapping[str, Any]:
    design = province.design
    return {name: _plain_value(getattr(design, name)) for name in design.__dataclass_fields__}


def _plain_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _write_table(table: pd.DataFrame, path: Path) -> None:
    """Raw tables as Excel would write them: semicolons, a byte-order mark, CRLF; the register of totals plainly."""
    raw = "raw" in path.parts
    with path.open("w", encoding="utf-8-sig" if raw else "utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";" if raw else ",", lineterminator="\r\n" if raw else "\n")
        writer.writerow(table.columns)
        writer.writerows(table.to_numpy().tolist())
