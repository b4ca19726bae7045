"""Raw exports → canonical tables: form only, never content; every row received is accepted or set aside with a reason."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from bgtk_lib.errors import LinkageError, ParameterError
from bgtk_lib.ingest.answers import join_answers
from bgtk_lib.ingest.dapodik_json import extract_dapodik
from bgtk_lib.ingest.extract import Extract, set_aside
from bgtk_lib.ingest.identity import hash_value, open_key, resolve_persons
from bgtk_lib.ingest.mapping import Mapping
from bgtk_lib.ingest.table import extract_table
from bgtk_lib.schema import conform, tables
from bgtk_lib.words import Tell, say, silent
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.declaration import Source
from bgtk_lib.workspace.plan_lock import RESULTS, note_reading
from bgtk_lib.workspace.store import replacing, write_json, write_parts, write_table
from bgtk_lib.workspace.typed import declare, read_yaml

CODED = ("session_id", "item_id", "raw")  # categories of an answer that differ from part to part


def run_ingest(workspace: Workspace, tell: Tell = silent) -> dict[str, Any]:
    """Read every source of a workspace into `data/canonical`.

    Parameters
    ----------
    workspace : Workspace
        Its sources are read in the order of the declaration, registers of items first.
    tell : callable
        Takes a line of progress.

    Returns
    -------
    dict
        The stage's record: per source the files with their hashes, rows received, accepted, set aside by reason, and
        the facts that checks need.

    Raises
    ------
    BgtkError
        If no source is declared, or one cannot be read as its mapping says; nothing is changed then.
    """
    if not workspace.declared.sources:
        raise ParameterError(say("workspace.no_sources"))
    mappings = {s.name: _open_mapping(workspace, s) for s in workspace.declared.sources if s.adapter == "table"}
    found = {s.name: workspace.files_of(s) for s in workspace.declared.sources}
    if workspace.folder("identity.json").is_file():
        open_key(workspace)  # another key is told before anything is read
    extracts: dict[str, Extract] = {}
    positions: dict[tuple[str, int], str] = {}
    registers_first = sorted(
        workspace.declared.sources, key=lambda s: getattr(mappings.get(s.name), "table", "") != "form_item"
    )
    for source in registers_first:
        tell(say("progress.reading", source=source.name))
        files = found[source.name]
        if source.adapter == "dapodik_json":
            extract = extract_dapodik(source, files)
        else:
            extract = extract_table(source, files, mapping=mappings[source.name], positions=positions)
        extracts[source.name] = extract
        if extract.table == "form_item":
            rows = extract.frame[["form_id", "position", "item_id"]].itertuples(index=False)
            positions |= {(form, int(position)): item for form, position, item in rows}
    tell(say("progress.resolving"))
    key = open_key(workspace)  # made at the first run, and not before all files could be read
    extracts, several = _name_persons(extracts, key, workspace.secrets / "ledger.parquet")
    with (
        replacing(workspace.folder("canonical")) as making,
        replacing(workspace.folder("quarantine") / "ingest") as aside,
    ):
        record = _write_tables(extracts, making, aside, waves={s.name: s.wave for s in workspace.declared.sources})
        read = {str(w) for e in extracts.values() if e.table in RESULTS for w in e.frame["wave"].dropna().unique()}
        note_reading(workspace, read, now=datetime.now(ZoneInfo(workspace.declared.time_zone)))
        write_table(making, "identity_conflict", pd.DataFrame({"pid": pd.array(sorted(several), dtype="str")}))
        record["fingerprint"] = workspace.fingerprint("ingest")  # after the key was made
        write_json(making / "stage.json", record)
    return record


def _open_mapping(workspace: Workspace, source: Source) -> Mapping:
    path = workspace.folder("mappings") / f"{source.mapping}.yaml"
    if not path.is_file():
        raise ParameterError(say("mapping.absent", source=source.name, path=f"data/mappings/{path.name}"))
    return declare(Mapping, read_yaml(path), where=f"data/mappings/{path.name}")


def _name_persons(extracts: dict[str, Extract], key: bytes, ledger: Path) -> tuple[dict[str, Extract], frozenset[str]]:
    """Put the pseudonym in the place of the identifiers, for all sources at once: a NIP in one may explain another."""
    with_persons = {name: e for name, e in extracts.items() if "pid" in tables()[e.table].columns}
    if not with_persons:
        return extracts, frozenset()
    ids = pd.concat([e.ids for e in with_persons.values()], keys=with_persons)
    resolved = resolve_persons(ids, key=key, ledger=ledger)
    if resolved.pids.isna().any():
        raise LinkageError(say("identity.unresolved", n=int(resolved.pids.isna().sum())))
    for name, extract in with_persons.items():
        frame = extract.frame.copy()
        if len(frame):
            frame["pid"] = resolved.pids.loc[[name]].to_numpy()
        else:
            frame["pid"] = pd.array([], dtype="str")
        if "birth_hmac" in frame:
            hashed = {day: hash_value(key, "birth", day) for day in frame["birth_hmac"].dropna().unique()}
            frame["birth_hmac"] = frame["birth_hmac"].map(hashed).astype("str")
        extracts[name] = Extract(**{**extract.__dict__, "frame": frame, "ids": extract.ids.iloc[:0]})
    return extracts, resolved.several_ids


def _write_tables(
    extracts: dict[str, Extract], making: Path, aside_folder: Path, *, waves: MappingOf[str, str | None]
) -> dict[str, Any]:
    """Write the canonical tables and the rows set aside; return what happened to every source's rows."""
    aside: list[pd.DataFrame] = []
    sources: list[dict[str, Any]] = []
    by_table: dict[str, list[pd.DataFrame]] = {}
    answer_parts: dict[tuple[str, str], list[pd.DataFrame]] = {}
    seen: dict[str, set[Any]] = {}
    for name, extract in extracts.items():
        frame, twice = _drop_key_twice(extract, seen.setdefault(extract.table, set()))
        rows = pd.concat([extract.aside, twice], ignore_index=True).sort_values("row", ignore_index=True)
        if extract.received != len(frame) + len(rows):
            raise AssertionError(f"{name}: {extract.received} rows received, {len(frame)} + {len(rows)} accounted for")
        aside.append(rows.assign(table=extract.table, source=name))
        by_table.setdefault(extract.table, []).append(conform(frame, extract.table))
        if extract.answers is not None:
            for part, answers in _split_answers(extract.answers, frame):
                answer_parts.setdefault(part, []).append(answers)
        if extract.totals is not None:
            by_table.setdefault("total", []).append(conform(extract.totals, "total"))
        reasons = {str(reason): int(n) for reason, n in rows["reason"].value_counts().sort_index().items()}
        sources.append(
            {"name": name, "table": extract.table, "wave": waves.get(name) or _wave_of(frame), "files": extract.files}
        )
        sources[-1] |= {"received": extract.received, "accepted": len(frame), "aside": reasons, **extract.facts}
    for table, parts in by_table.items():
        write_table(making, table, pd.concat(parts, ignore_index=True))
    write_parts(making, "answer", {part: join_answers(frames) for part, frames in answer_parts.items()})
    write_table(
        aside_folder.parent,
        aside_folder.name,
        pd.concat(aside, ignore_index=True)[["table", "source", "row", "reason"]],
    )
    return {"stage": "ingest", "sources": sources}


def _split_answers(answers: pd.DataFrame, frame: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Return the answers of each wave and form; those of sittings set aside are left out."""
    found = []
    for (wave, form), sittings in frame.groupby(["wave", "form_id"], sort=True):
        rows = answers[answers["session_id"].isin(sittings["session_id"])]
        own = rows.apply(lambda column: column.cat.remove_unused_categories() if column.name in CODED else column)
        found.append(((str(wave), str(form)), own.reset_index(drop=True)))
    return found


def _drop_key_twice(extract: Extract, seen: set[Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows whose key did not occur before, here or in an earlier source, and the others set aside."""
    key = [column for column in tables()[extract.table].key if column in extract.frame.columns]
    values = list(extract.frame[key].astype(str).itertuples(index=False, name=None))
    fresh = []
    for value in values:
        fresh.append(value not in seen)
        seen.add(value)
    keep = pd.Series(fresh, index=extract.frame.index, dtype=bool)
    return extract.frame[keep], set_aside(extract.frame.index[~keep], "key_twice")


def _wave_of(frame: pd.DataFrame) -> str | None:
    waves = list(frame["wave"].dropna().unique()) if "wave" in frame else []
    return str(waves[0]) if len(waves) == 1 else None
