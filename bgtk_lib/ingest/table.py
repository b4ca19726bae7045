"""The `table` adapter: a rectangular export and its mapping file → canonical rows. Form only, never content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from bgtk_lib.errors import SchemaError
from bgtk_lib.ingest.answers import Melted, Positions, hash_answers, join_answers, melt_answers
from bgtk_lib.ingest.extract import Extract, count_values, set_aside, shape_of_ids
from bgtk_lib.ingest.fields import find_trial_accounts, read_field, type_values
from bgtk_lib.ingest.mapping import ID_KINDS, FieldMap, Mapping
from bgtk_lib.ingest.reading import read_cells
from bgtk_lib.schema import refused_fields, resolve_districts, tables
from bgtk_lib.words import say
from bgtk_lib.workspace.declaration import Source

NOT_FROM_FILES = ("pid", "row", "session_id", "state")


def extract_table(source: Source, files: Sequence[Path], *, mapping: Mapping, positions: Positions) -> Extract:
    """Return the rows of a source in canonical form, and those that cannot be read, each with its reason.

    Parameters
    ----------
    source : Source
        Its declaration; its wave, form and date are those of every row.
    files : sequence of Path
        The files, read in this order; `row` counts through them.
    mapping : Mapping
        Which column is which field.
    positions : mapping
        (form_id, position) → item_id, for exports whose answer columns are numbered.

    Raises
    ------
    SchemaError
        If a file has not the columns the mapping names, or writes numbers the mapping does not explain.
    """
    parts, received, inventory = [], 0, []
    for path in files:
        cells = read_cells(path, mapping.format)
        cells.index = pd.RangeIndex(received, received + len(cells))
        parts.append(_File(source, path, mapping, cells).extract(positions))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        inventory.append({"file": path.name, "sha256": digest, "rows": len(cells)})
        received += len(cells)
    answers = [part.answers for part in parts if part.answers is not None]
    totals = [part.totals for part in parts if part.totals is not None]
    return Extract(
        table=mapping.table,
        frame=pd.concat([part.frame for part in parts], ignore_index=True),
        ids=pd.concat([part.ids for part in parts], ignore_index=True),
        aside=pd.concat([part.aside for part in parts], ignore_index=True),
        received=received,
        files=inventory,
        answers=join_answers(answers) if answers else None,
        totals=pd.concat(totals, ignore_index=True) if totals else None,
        facts=_add_facts([part.facts for part in parts]),
    )


@dataclass(frozen=True)
class _File:
    """One file of a source, its cells read as text."""

    source: Source
    path: Path
    mapping: Mapping
    raw: pd.DataFrame

    @cached_property
    def trimmed(self) -> pd.DataFrame:
        """All rows received; blanks around cells gone where the mapping says so."""
        return self.raw.apply(lambda column: column.str.strip()) if self.mapping.trim else self.raw

    @cached_property
    def is_record(self) -> pd.Series[bool]:
        """Which rows are records: not blank throughout, and not what the mapping names as footers and totals."""
        cells, mapping = self.trimmed, self.mapping
        record = (cells != "").any(axis=1)
        if mapping.skip_where_blank:
            record &= ~cells[mapping.skip_where_blank].isin(mapping.missing).all(axis=1)
        for column, values in mapping.skip_values.items():
            record &= ~cells[column].isin(values)
        return record

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The cells of the records."""
        return self.trimmed[self.is_record]

    def extract(self, positions: Positions) -> Extract:
        """Return the records in canonical form; every other row is set aside with the first reason found."""
        self._require_columns()
        facts: dict[str, object] = {"refused": self._find_refused()}
        rows, aside = self._read_rows(facts)
        ids = self._read_ids(rows, facts)
        self._mark_trial_accounts(rows, facts)
        if self.mapping.person:
            aside.append(set_aside(ids.index[ids.isna().all(axis=1)], "no_person"))
        melted = self._read_answers(rows, positions)
        if melted:
            aside += [set_aside(melted.empty, "no_answers"), set_aside(melted.unregistered, "unknown_form")]
        totals = self._take_totals(rows)
        aside.append(self._find_copies(rows[~rows.index.isin(_rows_of(aside))], ids, melted))
        every = pd.concat(aside, ignore_index=True).drop_duplicates("row").sort_values("row", ignore_index=True)
        if "row" in tables()[self.mapping.table].columns:
            rows["row"] = rows.index
        kept = ~rows.index.isin(every["row"])
        answers = melted.answers if melted else None
        if answers is not None and not kept.all():
            gone = set(rows.loc[~kept, "session_id"])
            answers = answers[~answers["session_id"].isin(gone)]
        return Extract(
            table=self.mapping.table,
            frame=rows[kept],
            ids=ids[kept],
            aside=every,
            received=len(self.raw),
            files=[],
            answers=answers,
            totals=totals[kept] if totals is not None else None,
            facts=facts,
        )

    def _require_columns(self) -> None:
        mapping = self.mapping
        wanted = [entry.column for entry in mapping.columns.values() if entry.column]
        wanted += [*mapping.skip_where_blank, *mapping.skip_values]
        wanted += [mapping.test_account.column] if mapping.test_account else []
        missing = sorted({column for column in wanted if column not in self.raw.columns})
        if missing:
            found = ", ".join(self.raw.columns[:12])
            raise SchemaError(
                say("mapping.no_column", file=self.path.name, missing=", ".join(missing[:3]), found=found)
            )
        banned = sorted(column for column in wanted if column.casefold() in refused_fields(mapping.table))
        if banned:
            raise SchemaError(say("mapping.refused", columns=", ".join(banned[:3])))

    def _find_refused(self) -> list[str]:
        """Which personal fields came that are dropped at the door; a column without a value is not counted."""
        refused = refused_fields(self.mapping.table)
        came = [c for c in self.cells.columns if c.casefold() in refused and (self.cells[c] != "").any()]
        return sorted({refused[column.casefold()] for column in came})

    def _read_rows(self, facts: dict[str, object]) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
        """Return the typed fields of every record, and the rows whose values cannot be read."""
        mapping, spec = self.mapping, tables()[self.mapping.table].columns
        aside = [set_aside(self.raw.index[~self.is_record], "not_a_record")]
        fields = {}
        for name, entry in mapping.columns.items():
            if name in ID_KINDS:
                continue
            written = read_field(self.cells, entry, mapping.missing)
            if name == "district":
                fields[name] = resolve_districts(written, system=entry.system or "name")
                facts["unknown_districts"] = count_values(written[written.notna() & fields[name].isna()])
                continue
            kind = spec[name].kind if name in spec else "number"
            fields[name] = type_values(written, kind, entry=entry, form=mapping.format)
            aside.append(set_aside(written.index[written.notna() & fields[name].isna()], f"unreadable_{kind}"))
            if name in spec and spec[name].required:
                aside.append(set_aside(written.index[written.isna()], f"no_{name}"))
        rows = pd.DataFrame(fields, index=self.cells.index)
        declared = {"wave": self.source.wave, "form_id": self.source.form, "as_of": self.source.as_of}
        for name, value in {**declared, "date": self.source.as_of}.items():
            if name in spec and name not in rows and value is not None:
                rows[name] = pd.Timestamp(value) if spec[name].kind == "date" else value
        absent = [n for n, c in spec.items() if c.required and n not in rows and n not in NOT_FROM_FILES]
        if absent:
            where = {"source": self.source.name, "table": mapping.table, "columns": ", ".join(absent)}
            raise SchemaError(say("mapping.required", **where))
        if mapping.table == "session":
            rows["session_id"] = [f"{self.source.name}/{row}" for row in rows.index]
        return rows, aside

    def _read_ids(self, rows: pd.DataFrame, facts: dict[str, object]) -> pd.DataFrame:
        """Return the usable identifiers; note the shapes of the first kind, and how many of it end in 0."""
        person = self.mapping.person
        if not person:
            return pd.DataFrame(index=rows.index)
        if person.rows:
            group = person.group or self.path.name
            places = [f"{group}/{place // person.rows}" for place in range(len(rows))]
            return pd.DataFrame({"local": pd.Series(places, index=rows.index, dtype="str")})
        entries = {kind: self.mapping.columns[kind] for kind in person.ids}
        written = {kind: read_field(self.cells, entry, self.mapping.missing) for kind, entry in entries.items()}
        shapes = {kind: shape_of_ids(values, kind) for kind, values in written.items()}
        first = person.ids[0]
        zero = written[first].str.endswith("0").fillna(False).astype(bool)
        facts["id_shape"] = {str(k): int(v) for k, v in shapes[first].value_counts().sort_index().items()}
        facts["ends_in_zero"] = int(zero.sum())
        if "id_shape" in tables()[self.mapping.table].columns:
            rows["id_shape"], rows["ends_in_zero"] = shapes[first], zero
        return pd.DataFrame({kind: values.where(shapes[kind] == "ok") for kind, values in written.items()})

    def _mark_trial_accounts(self, rows: pd.DataFrame, facts: dict[str, object]) -> None:
        trial = self.mapping.test_account
        if trial:
            names = read_field(self.cells, FieldMap(column=trial.column), self.mapping.missing)
            rows["test_account"] = find_trial_accounts(names, trial.words)
            facts["test_accounts"] = int(rows["test_account"].sum())

    def _read_answers(self, rows: pd.DataFrame, positions: Positions) -> Melted | None:
        if self.mapping.table != "session" or self.mapping.answers is None:
            return None
        melted = melt_answers(self.cells, rows, how=self.mapping.answers, positions=positions)
        if melted is None:
            raise SchemaError(say("mapping.no_answers", file=self.path.name))
        return melted

    @staticmethod
    def _take_totals(rows: pd.DataFrame) -> pd.DataFrame | None:
        """Take the total scores out of the rows, for sources that give only those."""
        if "total_points" not in rows:
            return None
        totals = pd.DataFrame({"session_id": rows["session_id"], "points": rows.pop("total_points")})
        totals["points_max"] = rows.pop("total_max") if "total_max" in rows else np.nan
        return totals

    @staticmethod
    def _find_copies(rows: pd.DataFrame, ids: pd.DataFrame, melted: Melted | None) -> pd.DataFrame:
        """Return rows that say again, to the letter, what an earlier one says; their place in the file is no content."""
        content = [rows.drop(columns="session_id", errors="ignore"), ids.loc[rows.index].add_prefix("id_")]
        facts = pd.concat(content, axis=1)
        if melted and len(rows):
            facts["answers"] = hash_answers(melted.answers, rows["session_id"]).to_numpy()
        return set_aside(rows.index[facts.astype(str).duplicated()], "copy_of_a_row")


def _rows_of(aside: list[pd.DataFrame]) -> set[int]:
    return {int(row) for frame in aside for row in frame["row"]}


def _add_facts(parts: list[dict[str, object]]) -> dict[str, object]:
    """Return the facts of several files as one: counts added, lists united."""
    total: dict[str, object] = {}
    for part in parts:
        for name, value in part.items():
            known = total.get(name)
            if isinstance(value, dict):
                counts = dict(known) if isinstance(known, dict) else {}
                total[name] = {key: counts.get(key, 0) + value.get(key, 0) for key in dict.fromkeys([*counts, *value])}
            elif isinstance(value, list):
                total[name] = sorted({*(known if isinstance(known, list) else []), *value})
            elif isinstance(value, int):
                total[name] = (known if isinstance(known, int) else 0) + value
    return total
