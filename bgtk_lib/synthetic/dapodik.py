"""Answers of the Dapodik web service, with the fields a real one has, also those an office must refuse."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib import schema
from bgtk_lib.synthetic.people import CPNS, HONORARY, MUNICIPAL, PNS, PPPK, PRIVATE, PROVINCIAL, SECONDED

STATUS = {
    PNS: "PNS", SECONDED: "PNS Diperbantukan", PRIVATE: "GTY/PTY", PROVINCIAL: "Honor Daerah TK.I Provinsi",
    MUNICIPAL: "Honor Daerah TK.II Kab/Kota", HONORARY: "Guru Honor Sekolah", CPNS: "CPNS", PPPK: "PPPK",
}  # fmt: skip
KIND = {3: "Guru Kelas", 4: "Guru Mapel", 5: "Guru BK", 11: "Tenaga Administrasi Sekolah"}
FORM = {"SD": 5, "SMP": 6, "SMA": 13, "SMK": 15, "MA": 16, "SLB": 29}
FAITHS = {1: "Islam", 2: "Kristen", 3: "Katholik", 4: "Hindu", 5: "Budha"}
YEAR = "2025"
CLERK_EVERY = 2  # schools, one has an administrator among its staff


def answer_school(school: Mapping[Any, Any]) -> dict[str, Any]:
    """Return getSekolah's answer on one school: `rows` is one object, codes end in two blanks."""
    entry = schema.districts().loc[school["district"]]
    local = f"{entry['dapodik'][:4]}{int(school['subdistrict']):02d}"
    row = {
        "sekolah_id": _stable_id("school", school["npsn"]),
        "nama": school["name"],
        "nss": None,
        "npsn": school["npsn"],
        "bentuk_pendidikan_id": FORM[school["form"]],
        "bentuk_pendidikan_id_str": school["form"],
        "status_sekolah": "1" if school["public"] else "2",
        "status_sekolah_str": "Negeri" if school["public"] else "Swasta",
        "alamat_jalan": "Jl. Rekaan No. 1",
        "rt": "0",
        "rw": "0",
        "kode_wilayah": f"{local}  ",
        "kode_pos": None,
        "nomor_telepon": None,
        "nomor_fax": None,
        "email": None,
        "website": None,
        "is_sks": False,
        "lintang": f"{school['lat']:.6f}",
        "bujur": f"{school['lon']:.6f}",
        "dusun": None,
        "desa_kelurahan": "Rekaan",
        "kecamatan": f"Kec. Rekaan {int(school['subdistrict'])}",
        "kabupaten_kota": entry["label"],
        "provinsi": "Prov. Lampung",
    }
    return {"results": 1, "id": "sekolah_id", "start": 0, "limit": 1, "rows": row}


def answer_gtk(teachers: pd.DataFrame, schools: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return NPSN → getGtk's answer: home teachers, those lent by another school, here and there an administrator."""
    rows: dict[str, list[dict[str, Any]]] = {npsn: [] for npsn in schools["npsn"]}
    names = {code: text.id for code, text in schema.code_list("assessments").items()}
    for number, teacher in zip(teachers.index, teachers.to_dict(orient="records"), strict=True):
        row = _describe(teacher, key=str(number), subject=names.get(teacher["subject"], "Pendidikan Guru"))
        rows[teacher["npsn"]].append(row)
        if teacher["other_npsn"]:
            lent = {"ptk_induk": "0", "ptk_terdaftar_id": _stable_id("lent", number)}
            rows[teacher["other_npsn"]].append(row | lent)
    for nth, npsn in enumerate(schools["npsn"]):
        if nth % CLERK_EVERY == 0:
            rows[npsn].append(_describe(_invent_clerk(nth), key=f"clerk-{npsn}", subject="Administrasi"))
    return {
        npsn: {"results": len(found), "id": "ptk_id", "start": 0, "limit": len(found), "rows": found}
        for npsn, found in rows.items()
    }


def _describe(teacher: Mapping[Any, Any], *, key: str, subject: str) -> dict[str, Any]:
    born: date = teacher["birth_date"]
    kind, status = int(teacher["kind_id"]), int(teacher["status_id"])
    faith = 1 + (born.day % 7 == 0) + (born.day % 29 == 0)
    return {
        "tahun_ajaran_id": YEAR,
        "ptk_terdaftar_id": _stable_id("registered", key),
        "ptk_id": _stable_id("person", key),
        "ptk_induk": "1",
        "tanggal_surat_tugas": f"{min(born.year + 26, 2025)}-07-01",
        "nama": teacher["name"],
        "jenis_kelamin": teacher["sex"],
        "tempat_lahir": "Rekaan",
        "tanggal_lahir": born.isoformat(),
        "agama_id": faith,
        "agama_id_str": FAITHS[faith],
        "nuptk": teacher["nuptk"] or None,
        "nik": teacher["nik"],
        "jenis_ptk_id": str(kind),
        "jenis_ptk_id_str": KIND[kind],
        "jabatan_ptk_id": str(kind),
        "jabatan_ptk_id_str": KIND[kind],
        "status_kepegawaian_id": status,
        "status_kepegawaian_id_str": STATUS[status],
        "nip": teacher["nip"] or None,
        "pendidikan_terakhir": teacher["education"],
        "bidang_studi_terakhir": subject,
        "pangkat_golongan_terakhir": teacher["rank"] or None,
        "rwy_pend_formal": [],
        "rwy_kepangkatan": [],
    }


def _invent_clerk(number: int) -> dict[str, Any]:
    """Return an administrator: no teacher, never tested, in nobody's denominator."""
    rng = np.random.default_rng([11, number])
    born = date(1970 + int(rng.integers(0, 30)), int(rng.integers(1, 13)), int(rng.integers(1, 29)))
    nik = f"1801{int(rng.integers(1, 25)):02d}{born:%d%m%y}{9900 + number % 100}"
    facts = {"name": "Tata Karangan", "sex": "L", "birth_date": born, "status_id": HONORARY, "kind_id": 11}
    return facts | {"education": "S1", "rank": "", "nuptk": "", "nip": "", "nik": nik}


def _stable_id(kind: str, key: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"bgtk-synthetic/{kind}/{key}"))
