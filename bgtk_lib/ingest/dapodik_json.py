"""The `dapodik_json` adapter: answers of the Dapodik WebService, `getGtk` (teachers) and `getSekolah` (schools).

A file is one answer of one school, named after its NPSN. Fields the law and the office do not need are dropped here.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

from bgtk_lib.errors import SchemaError
from bgtk_lib.ingest.extract import Extract, set_aside, shape_of_ids
from bgtk_lib.schema import refused_fields, resolve_districts
from bgtk_lib.words import say
from bgtk_lib.workspace.declaration import Source

# Dapodik's own codes: status_kepegawaian, jenis_ptk, bentuk_pendidikan.
EMPLOYMENT = {**dict.fromkeys(("1", "2", "3", "10"), "PNS"), "11": "PPPK", "4": "GTY"}
EMPLOYMENT |= dict.fromkeys(("5", "6", "7", "8", "9", "12", "13"), "honorer")
PTK_KIND = {**dict.fromkeys(("3", "4", "5", "6", "14", "15", "16", "17"), "guru"), "20": "kepala_sekolah"}
JENJANG = {name: name for name in ("SD", "SMP", "SMA", "SMK", "SLB")}
JENJANG |= dict.fromkeys(("TK", "KB", "TPA", "SPS", "PAUD"), "PAUD") | dict.fromkeys(("PKBM", "SKB"), "PNF")
JENJANG |= dict.fromkeys(("RA", "MI", "MTs", "MA", "MAK"), "madrasah")
HOLDS_NIP = ("PNS", "PPPK")


def extract_dapodik(source: Source, files: list[Path]) -> Extract:
    """Return teachers or schools from WebService answers.

    Parameters
    ----------
    source : Source
        Its declaration; `as_of` is the date of the data.
    files : list of Path
        One answer each; `rows` is a list for teachers and one object for a school.

    Raises
    ------
    SchemaError
        If a file is no WebService answer, or teachers and schools are mixed in one source.
    """
    answers = [(path, _read_rows(path)) for path in files]
    rows = [{**row, "_npsn": path.stem} for path, found in answers for row in found]
    inventory: list[dict[str, object]] = [
        {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": len(found)}
        for path, found in answers
    ]
    raw = pd.DataFrame(rows, dtype=object)  # a number beside a null would become a float and lose digits
    teachers, schools = "ptk_id" in raw, "bentuk_pendidikan_id_str" in raw
    if teachers == schools:
        raise SchemaError(say("dapodik.which", source=source.name))
    table = "teacher" if teachers else "school"
    refused = refused_fields(table)
    came = sorted({refused[c.casefold()] for c in raw.columns if c.casefold() in refused and raw[c].notna().any()})
    frame, ids = _read_teachers(raw, source) if teachers else (_read_schools(raw), pd.DataFrame(index=raw.index))
    aside = [set_aside(frame.index[frame["npsn"].isna()], "no_npsn")]
    facts: dict[str, object] = {"refused": came}
    if teachers:
        aside.append(set_aside(ids.index[ids.isna().all(axis=1)], "no_person"))
        facts["id_shape"] = {str(k): int(v) for k, v in frame["id_shape"].value_counts().sort_index().items()}
        facts["unreadable_birth"] = int((_text(raw, "tanggal_lahir").notna() & frame["birth_year"].isna()).sum())
    else:
        codes = _text(raw, "kode_wilayah")
        unknown = frame["district"].isna() & codes.notna()
        outside = unknown & ~codes.str.startswith("12").fillna(False).astype(bool)
        facts["unknown_districts"] = {
            f"Dapodik {code}": int(n) for code, n in codes[unknown & ~outside].str[:4].value_counts().items()
        }
        facts["other_province"] = int(outside.sum())
    gone = pd.concat(aside, ignore_index=True).drop_duplicates("row")
    frame["row"] = frame.index
    keep = ~frame.index.isin(gone["row"])
    return Extract(
        table=table, frame=frame[keep], ids=ids[keep], aside=gone, received=len(raw), files=inventory, facts=facts
    )


def _read_rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))["rows"]
    except (ValueError, KeyError, TypeError) as error:
        raise SchemaError(say("dapodik.no_answer", file=path.name)) from error
    rows = [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SchemaError(say("dapodik.no_answer", file=path.name))
    return rows


def _text(raw: pd.DataFrame, name: str) -> pd.Series[str]:
    """Return a field as text without surrounding blanks, null where absent or empty."""
    if name not in raw:
        return pd.Series(None, index=raw.index, dtype="str")
    values = raw[name].astype("str").str.strip()
    return values.mask(raw[name].isna() | (values == ""))


def _read_teachers(raw: pd.DataFrame, source: Source) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return teachers and their identifiers; `birth_hmac` holds the date itself until the caller has hashed it."""
    written = pd.DataFrame({kind: _text(raw, kind) for kind in ("nuptk", "nip", "nik")})
    shapes = {str(kind): shape_of_ids(written[kind], str(kind)) for kind in written}
    ids = pd.DataFrame({kind: written[kind].where(shape == "ok") for kind, shape in shapes.items()})
    birth = _text(raw, "tanggal_lahir")
    birth = birth.where(pd.to_datetime(birth, format="%Y-%m-%d", errors="coerce").notna())  # the caller counts these
    employment = _text(raw, "status_kepegawaian_id").map(EMPLOYMENT).fillna("lainnya")
    checkable = ids["nip"].notna() & employment.isin(HOLDS_NIP) & birth.notna()
    agrees = (ids["nip"].str[:8] == birth.str.replace("-", "")).astype("boolean").where(checkable)
    frame = pd.DataFrame(
        {
            "npsn": raw["_npsn"].astype("str"),
            "as_of": pd.Timestamp(source.as_of) if source.as_of else pd.NaT,
            "home": _text(raw, "ptk_induk").map({"1": True, "0": False}).astype("boolean"),
            "birth_year": birth.str[:4].astype("Int64"),
            "sex": _text(raw, "jenis_kelamin"),
            "employment": employment,
            "ptk_kind": _text(raw, "jenis_ptk_id").map(PTK_KIND).fillna("tendik"),
            "qualification": _text(raw, "pendidikan_terakhir"),
            "id_shape": shapes["nuptk"],
            "nip_birth_agrees": agrees,
            "birth_hmac": birth,
        }
    )
    return frame, ids


def _read_schools(raw: pd.DataFrame) -> pd.DataFrame:
    kind = _text(raw, "bentuk_pendidikan_id_str")
    district = _text(raw, "kode_wilayah").str[:4] + "00"  # a kecamatan's code holds its kabupaten's
    return pd.DataFrame(
        {
            "npsn": _text(raw, "npsn"),
            "form_of_education": kind,
            "jenjang": kind.map(JENJANG).astype("str"),
            "status": _text(raw, "status_sekolah").map({"1": "negeri", "2": "swasta"}).astype("str"),
            "district": resolve_districts(district, system="dapodik"),
        }
    )
