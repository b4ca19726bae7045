"""Membuat lagi laporan paket ini dan membandingkan setiap angka / makes this package's report again and compares every number.

    python replicate.py          memeriksa berkas, membuat laporan di folder `replicated`, membandingkan
                                 checks the files, makes the report in the folder `replicated`, compares
    python replicate.py --make   hanya membuat, bagi yang mengubah parameter atau data
                                 only makes it, for who changed parameters or data

Kode keluar / exit code: 0 sama / the same · 1 ada yang berbeda / something differs.

`bgtk export replication` copies this file to the top of a package, where it finds library and data beside itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
NEAR = 1e-9  # share of a number that is the rounding of another machine
SHOWN = 40  # lines of what differs


def find_altered(folder: Path) -> list[str]:
    """Return the files that are not as they were handed over; with nothing but Python, before any of them is imported."""
    sealed = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    fingerprint = sealed.pop("fingerprint", None)
    if fingerprint != hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest():
        return ["expected.json"]
    return [name for name, expected in sealed["files"].items() if _hash(folder / name) != expected]


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def main(arguments: Sequence[str]) -> int:
    """Check, make and compare; or only make."""
    only_make = "--make" in arguments
    if altered := [] if only_make else find_altered(HERE):
        for name in altered:
            print(f"berubah / altered: {name}")
        return 1
    sys.path.insert(0, str(HERE))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    for name, value in {"BGTK_KERNELS": "cold", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}.items():
        os.environ.setdefault(name, value)

    from bgtk_lib.exports.replication import make_again

    made = make_again(HERE)
    print("dibuat / made: replicated/report.html")
    return 0 if only_make else _compare(made)


def _compare(made: dict[str, object]) -> int:
    """Say how many numbers are those expected, which are not, and what of the environment is another."""
    from bgtk_lib.engine.reproduce import compare_figures
    from bgtk_lib.exports.replication import list_environment

    expected = json.loads((HERE / "expected_results.json").read_text(encoding="utf-8"))
    told = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))["environment"]
    here = list_environment()
    n, unequal = compare_figures("", expected, made, differs=[])
    _, moved = compare_figures("", expected, made, differs=[], near=NEAR)
    for name in (name for name in told if told[name] != here.get(name)):
        print(f"lingkungan lain / other environment: {name} {told[name]} → {here.get(name)}")
    for one in moved[:SHOWN]:
        where = ", ".join(f"{key}={value}" for key, value in one.where.items())
        print(f"berbeda / differs: {one.name}{f' ({where})' if where else ''}: {one.before} → {one.now}")
    print(f"{n - len(unequal)} / {n} sama sampai digit terakhir / the same to the last digit")
    print(f"{len(unequal) - len(moved)} pembulatan / rounding, {len(moved)} berbeda / differ")
    return 1 if moved else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
