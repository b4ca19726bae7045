"""The store: Parquet and JSON written whole or not at all, and fingerprints of what made what."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pandas as pd

from bgtk_lib.errors import LinkageError, ParameterError
from bgtk_lib.words import say

LIBRARIES = ("pandas", "numpy", "scipy", "statsmodels", "pyarrow", "great-expectations")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write into; on success it takes the place of `folder`, on failure nothing changed.

    Parameters
    ----------
    folder : Path
        What to replace; need not exist.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield making
        making.chmod(0o755)
        take_place(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def take_place(making: Path, folder: Path) -> None:
    """Rename a folder to another's name, which need not exist; where that fails, the other is what it was."""
    old = making.with_name(making.name + "-old")
    if folder.exists():
        folder.rename(old)
    try:
        making.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all: to a temporary name beside it, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys, whole or not at all."""
    write_text(
        path, json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False, default=str) + "\n"
    )


def read_json(path: Path) -> Any:
    """Return a JSON file, or None where it is absent."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write_sealed(path: Path, content: Mapping[str, Any]) -> str:
    """Write JSON with the SHA-256 of its content in it, whole or not at all, and return that fingerprint."""
    fingerprint = hash_content(content)
    write_json(path, {**content, "fingerprint": fingerprint})
    return fingerprint


def read_sealed(path: Path, *, kind: int, altered: str) -> dict[str, Any]:
    """Return the content as `write_sealed` wrote it.

    Parameters
    ----------
    path : Path
        The file.
    kind : int
        The `format` its content must state.
    altered : str
        Key of what is said otherwise.

    Raises
    ------
    ParameterError
        If there is no such file.
    LinkageError
        If it does not match its fingerprint, or is of another format.
    """
    content = read_json(path)
    if content is None:
        raise ParameterError(say("file.absent", path=path.name))
    fingerprint = content.pop("fingerprint", None) if isinstance(content, dict) else None
    if fingerprint is None or fingerprint != hash_content(content) or content["format"] != kind:
        raise LinkageError(say(altered, path=path.name))
    return dict(content)


def write_table(folder: Path, name: str, frame: pd.DataFrame) -> None:
    """Write one table as Parquet into a folder of its own."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    frame.to_parquet(folder / name / "part-0.parquet", index=False)


def read_table(folder: Path, name: str, columns: list[str] | None = None) -> pd.DataFrame | None:
    """Return one table whole, or None where it was never written."""
    if not (folder / name).is_dir():
        return None
    return pd.read_parquet(folder / name, columns=columns, partitioning=None)


def write_parts(folder: Path, name: str, parts: Mapping[tuple[str, str], pd.DataFrame]) -> None:
    """Write a table in parts, one for each wave and form, so that no report need load it whole."""
    for (wave, form), frame in parts.items():
        write_table(folder / name / f"wave={quote(wave, safe='')}", f"form={quote(form, safe='')}", frame)


def list_parts(folder: Path, name: str) -> list[tuple[str, str]]:
    """Return the (wave, form) of every part of a table, in code order."""
    found = sorted((folder / name).glob("wave=*/form=*"))
    return [
        (unquote(path.parent.name.removeprefix("wave=")), unquote(path.name.removeprefix("form="))) for path in found
    ]


def read_part(folder: Path, name: str, part: tuple[str, str]) -> pd.DataFrame:
    """Return one part of a table."""
    wave, form = (quote(code, safe="") for code in part)
    return pd.read_parquet(folder / name / f"wave={wave}" / f"form={form}" / "part-0.parquet")


def hash_files(paths: Iterable[Path], *, base: Path) -> str:
    """Return one SHA-256 over names (relative to `base`) and bytes of files, in name order."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.relative_to(base).as_posix().encode() + b"\0")
        digest.update(bytes.fromhex(hash_file(path)))
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_content(content: Any) -> str:
    """Return one SHA-256 of anything JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


@cache
def code_fingerprint() -> str:
    """Return the SHA-256 of the library's own code and data: part of every stage's fingerprint."""
    root = Path(__file__).parent.parent
    kinds = {".py", ".yaml", ".csv", ".j2", ".css"}
    return hash_files((path for path in root.rglob("*") if path.suffix in kinds and path.is_file()), base=root)


@cache
def library_versions() -> dict[str, str]:
    """Return the versions of the libraries whose arithmetic enters the numbers."""
    return {name: metadata.version(name) for name in LIBRARIES}
