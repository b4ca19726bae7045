"""Invented schools and teachers: where they stand, what they are called, and identifiers that obey the official rules.

No number here can be a real person's: NIK end in a serial from 9000 on and NPSN begin with 99, which nobody bears.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from bgtk_lib import schema
from bgtk_lib.synthetic.design import Design, Phase
from bgtk_lib.synthetic.model import Integers

FIRST = (
    "Awan", "Bintang", "Cemara", "Delima", "Embun", "Fajar", "Gerimis", "Hujan", "Intan", "Jambu", "Kenari", "Langit",
    "Melati", "Nuri", "Ombak", "Padi", "Rimba", "Samudra", "Telaga", "Bulan", "Cendana", "Dahlia", "Kemuning",
    "Lembayung", "Mentari", "Pelangi", "Rotan", "Senja", "Teratai", "Zamrud",
)  # fmt: skip
LAST = (
    "Contohwati", "Contohwan", "Rekaan", "Karangan", "Misalnya", "Andaikata", "Umpama", "Buatan", "Seandainya",
    "Khayalan", "Teladanan", "Perumpamaan", "Ibaratnya", "Tiruan", "Bayangan",
)  # fmt: skip
PNS, SECONDED, PRIVATE, PROVINCIAL, MUNICIPAL, HONORARY, CPNS, PPPK = 1, 2, 4, 5, 6, 8, 10, 11
EMPLOYED = (PNS, SECONDED, CPNS, PPPK)  # those who have an 18-digit number
AT_PUBLIC = {PNS: 0.48, PPPK: 0.33, CPNS: 0.03, PROVINCIAL: 0.11, HONORARY: 0.05}
AT_PRIVATE = {PRIVATE: 0.80, SECONDED: 0.10, HONORARY: 0.10}
AGES = {PNS: (30, 59), SECONDED: (30, 59), CPNS: (24, 34), PPPK: (26, 56)}  # in 2025; others 23-55
WITHOUT_NUPTK = 0.06  # of those with a PPPK or CPNS number, by which they are still known
ELSEWHERE = {"1671": 0.05, "3171": 0.04, "3404": 0.03, "1871": 0.06}  # NIK of people first registered there
FORMS = {"I": {"SMA": 0.60, "SMK": 0.33, "SLB": 0.07}, "II": {"SMA": 0.55, "SMK": 0.42, "SLB": 0.03}}
PRIMARY = {"SD": 0.70, "SMP": 0.30}
PUBLIC_SHARE = {"I": 0.92, "II": 0.75, "III": 0.88}
NPSN_START = {"I": 1, "II": 200_001, "III": 400_001}
SERIALS = {"I": 0, "II": 300, "III": 600}  # each phase numbers in a range of its own, so that no number comes twice


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where teachers stand.

    Attributes
    ----------
    district, school : array of int
        One entry a teacher: row of the district, number of the school from 0.
    school_district : array of int
        One entry a school.
    """

    district: Integers
    school: Integers
    school_district: Integers


def place_teachers(
    counts: Mapping[str, int], *, order: tuple[str, ...], per_school: float, rng: np.random.Generator
) -> Placement:
    """Return the district and the school of every teacher.

    Parameters
    ----------
    counts : mapping
        District → teachers.
    order : tuple of str
        The districts, in the order of their rows.
    per_school : float
        Teachers of a school on average; the sizes vary by a factor of about 1.5. No district has a single school.
    rng : Generator
        Source of randomness.
    """
    sizes: list[int] = []
    homes: list[int] = []
    for code, n in counts.items():
        if not n:
            continue
        schools = min(max(2, round(n / per_school)), n)
        weights = rng.lognormal(0, 0.4, schools)
        sizes += (1 + rng.multinomial(n - schools, weights / weights.sum())).tolist()
        homes += [order.index(code)] * schools
    school_district = np.array(homes, dtype=np.intp)
    school = np.repeat(np.arange(len(sizes)), sizes)
    return Placement(district=school_district[school], school=school, school_district=school_district)


def draw_schools(
    placement: Placement, *, phase: Phase, order: tuple[str, ...], rng: np.random.Generator
) -> pd.DataFrame:
    """Return the schools: npsn, name, form, status, district, subdistrict, lat, lon; one row a school, in order."""
    n = len(placement.school_district)
    shares = PRIMARY if phase == "III" else FORMS[phase]
    form = rng.choice(list(shares), n, p=list(shares.values()))
    public = rng.random(n) < PUBLIC_SHARE[phase]
    number = rng.integers(1, 20, n)
    names = schema.districts()["name"]
    codes = [order[row] for row in placement.school_district]
    place = [f"{FIRST[i % len(FIRST)].upper()} REKAAN" for i in range(n)]
    return pd.DataFrame(
        {
            "npsn": [f"99{NPSN_START[phase] + i:06d}" for i in range(n)],
            "name": [
                _school_name(kind, state, number=int(nth), place=f"{where} {names[code].upper()}")
                for kind, state, nth, where, code in zip(form, public, number, place, codes, strict=True)
            ],
            "phase": phase,
            "form": form.astype(object),
            "public": public,
            "district": codes,
            "subdistrict": rng.integers(1, 20, n),
            "lat": np.round(-5.2 + rng.normal(0, 0.3, n), 6),
            "lon": np.round(105.0 + rng.normal(0, 0.3, n), 6),
        }
    )


def _school_name(form: str, public: bool, *, number: int, place: str) -> str:  # noqa: FBT001 - a fact, not a switch
    if not public:
        return f"{form} S {place}"
    return (f"{form} NEGERI {number} {place}", f"{form}N {number} {place}", f"{form} N {number} {place}")[number % 3]


def draw_identities(schools: pd.DataFrame, *, phase: Phase, come: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Return persons: names, NUPTK, NIP, NIK and the facts of Dapodik that must agree with them.

    Parameters
    ----------
    schools : DataFrame
        The school of each person, one row a person (`public`, `district`).
    phase : {"I", "II", "III"}
        Decides what municipal and provincial schools call their temporary staff.
    come : array of bool
        Whether the person sits a test. Who does has a NUPTK or a NIP, or could not be told apart in the exports.
    rng : Generator
        Source of randomness.
    """
    n = len(schools)
    status = np.where(
        schools["public"], rng.choice(list(AT_PUBLIC), n, p=list(AT_PUBLIC.values())),
        rng.choice(list(AT_PRIVATE), n, p=list(AT_PRIVATE.values())),
    )  # fmt: skip
    if phase == "III":
        status[status == PROVINCIAL] = MUNICIPAL
    female = rng.random(n) < 0.62
    low, high = np.array([AGES.get(int(code), (23, 55)) for code in status]).T
    born = [
        date(2025 - int(age), 1, 1) + timedelta(days=int(day))
        for age, day in zip(rng.integers(low, high + 1), rng.integers(0, 365, n), strict=True)
    ]
    unlisted = np.isin(status, (PPPK, CPNS)) & (rng.random(n) < WITHOUT_NUPTK)
    unlisted |= ~come & np.isin(status, (PROVINCIAL, MUNICIPAL, HONORARY)) & (rng.random(n) < 0.5)
    names = [f"{FIRST[i]} {LAST[j]}" for i, j in rng.integers(0, [len(FIRST), len(LAST)], (n, 2))]
    degree = rng.choice(["S1", "S2", "D4"], n, p=[0.85, 0.12, 0.03])
    frame = pd.DataFrame(
        {
            "name": names,
            "sex": np.where(female, "P", "L").astype(object),
            "birth_date": born,
            "status_id": status.astype(int),
            "education": degree.astype(object),
            "rank": [_rank(int(code), int(step)) for code, step in zip(status, rng.integers(0, 5, n), strict=True)],
            "nuptk": draw_nuptk(n, rng=rng),
        }
    )
    frame["nuptk"] = frame["nuptk"].astype(object).where(~unlisted, "")
    frame["nip"] = _draw_nip(frame, first=SERIALS[phase], rng=rng)
    frame["nik"] = _draw_nik(frame, districts=schools["district"].to_list(), first=SERIALS[phase], rng=rng)
    return frame


def draw_nuptk(n: int, *, rng: np.random.Generator) -> list[str]:
    """Return so many different NUPTK."""
    drawn: dict[str, None] = {}
    while len(drawn) < n:
        digits = rng.integers(0, 10, (n - len(drawn), 16)).astype("U1")
        drawn |= {"".join(row): None for row in digits.tolist() if len(set(row)) > 2}
    return list(drawn)


def _draw_nip(frame: pd.DataFrame, *, first: int, rng: np.random.Generator) -> list[str]:
    """PNS: birth, YYYYMM of appointment, sex, serial. PPPK: birth, year of appointment, 21, sex, serial."""
    n = len(frame)
    joined, month, serial = rng.integers(23, 29, n), rng.choice([1, 3, 4, 12], n), first + rng.integers(1, 100, n)
    contract = rng.integers(2021, 2026, n)
    seen: set[str] = set()
    numbers = []
    for i, (born, sex, status) in enumerate(zip(frame["birth_date"], frame["sex"], frame["status_id"], strict=True)):
        if status not in EMPLOYED:
            numbers.append("")
            continue
        if status == PPPK:
            middle = f"{contract[i]}21"
        elif status == CPNS:
            middle = "202504"
        else:
            middle = f"{born.year + int(joined[i])}{month[i]:02d}"
        numbers.append(_unused(f"{born:%Y%m%d}{middle}{1 if sex == 'L' else 2}", int(serial[i]), width=3, seen=seen))
    return numbers


def _draw_nik(frame: pd.DataFrame, *, districts: list[str], first: int, rng: np.random.Generator) -> list[str]:
    n = len(frame)
    away = rng.choice(["", *ELSEWHERE], n, p=[1 - sum(ELSEWHERE.values()), *ELSEWHERE.values()])
    subdistrict, serial = rng.integers(1, 25, n), 9000 + first + rng.integers(0, 200, n)
    seen: set[str] = set()
    numbers = []
    for i, (born, sex) in enumerate(zip(frame["birth_date"], frame["sex"], strict=True)):
        area = away[i] or districts[i].replace(".", "")
        day = born.day + (40 if sex == "P" else 0)
        start = f"{area}{subdistrict[i]:02d}{day:02d}{born:%m%y}"
        numbers.append(_unused(start, int(serial[i]), width=4, seen=seen))
    return numbers


def _unused(start: str, serial: int, *, width: int, seen: set[str]) -> str:
    while (number := f"{start}{serial:0{width}d}") in seen:
        serial += 1
    seen.add(number)
    return number


def _rank(status: int, step: int) -> str:
    if status in (PNS, SECONDED):
        return ("III/a", "III/b", "III/c", "III/d", "IV/a")[step]
    return {CPNS: "III/a", PPPK: "IX"}.get(status, "")


def average_school(design: Design, phase: Phase, *, share: float = 1.0) -> float:
    """Return the teachers of a school who take an assessment that `share` of a phase's teachers take."""
    return max(design.school_size(phase) * share, 1.25)
