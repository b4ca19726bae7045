"""The `table` adapter: a rectangular export and its mapping file → canonical rows. Form only, never content."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd

from bgtk_lib.errors import SchemaError
from bgtk_lib.ingest.extract import Extract, count_values, set_aside, shape_of_ids
from bgtk_lib.ingest.mapping import ID_KINDS, FieldMap, Mapping
from bgtk_lib.ingest.reading import read_cells
from bgtk_lib.schema import refused_fields, resolve_districts, tables
from bgtk_lib.words import say
from bgtk_lib.workspace.declaration import Source

TIME_KINDS = ("time", "date")


def extract_table(source: Source, files: list[Path], mapping: Mapping, positions: dict[tuple[str, int], str]) -> Extract:
    """Return the rows of a source in canonical form, and those that cannot be read, each with its reason.

    Parameters
    ----------
    source : Source
        Its declaration; its wave, form and date are those of every row.
    files : list of Path
        The files, read in this order; `row` counts through them.
    mapping : Mapping
        Which column is which field.
    positions : dict
        (form_id, position) → item_id, for exports whose answer columns are numbered.

    Raises
    ------
    SchemaError
        If a file has not the columns the mapping names, or writes numbers the mapping does not explain.
    """
    parts, received, inventory = [], 0, []
    for path in files:
        cells = read_cells(path, mapping.format)
        part = _extract_file(source, path, cells, mapping, positions, first_row=received)
        parts.append(part)
        inventory.append({"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": len(cells)})
        received += len(cells)
    together = {
        name: pd.concat([getattr(part, name) for part in parts], ignore_index=True)
        for name in ("frame", "ids", "aside")
    }
    answers = [part.answers for part in parts if part.answers is not None]
    totals = [part.totals for part in parts if part.totals is not None]
    return Extract(
        table=mapping.table,
        **together,
        received=received,
        files=inventory,
        answers=concat_categories(answers) if answers else None,
        totals=pd.concat(totals, ignore_index=True) if totals else None,
        facts=_add_facts([part.facts for part in parts]),
    )


def _extract_file(
    source: Source,
    path: Path,
    cells: pd.DataFrame,
    mapping: Mapping,
    positions: dict[tuple[str, int], str],
    first_row: int,
) -> Extract:
    cells = cells.copy()
    cells.index = pd.RangeIndex(first_row, first_row + len(cells))
    if mapping.trim:
        cells = cells.apply(lambda column: column.str.strip())
    _require_columns(path, cells, mapping)
    record = _find_records(cells, mapping)
    blank = set_aside(cells.index[~record], "not_a_record")
    cells = cells[record]
    facts: dict[str, object] = {"refused": _find_refused(cells, mapping.table)}
    spec = tables()[mapping.table].columns
    frame, ids, unreadable = {}, {}, []
    for name, entry in mapping.columns.items():
        written = _read_field(cells, entry, mapping.missing)
        if name in ID_KINDS:
            ids[name] = written
            continue
        if name == "district":
            values = resolve_districts(written, system=entry.system or "name")
            facts["unknown_districts"] = count_values(written[written.notna() & values.isna()])
            frame[name] = values
            continue
        kind = spec[name].kind if name in spec else "number"
        values = _type_values(written, kind, entry, mapping.format.decimal, path)
        unreadable.append(set_aside(written.index[written.notna() & values.isna()], f"unreadable_{kind}"))
        if spec.get(name) is not None and spec[name].required:
            unreadable.append(set_aside(values.index[written.isna()], f"no_{name}"))
        frame[name] = values
    rows = pd.DataFrame(frame, index=cells.index)
    _add_declared(rows, source, mapping)
    known = ids
    ids_frame, facts["id_shape"], facts["ends_in_zero"] = _clean_ids(known, rows, mapping, path)
    if mapping.test_account:
        pattern = "|".join(re.escape(word) for word in mapping.test_account.words)
        names = _read_field(cells, FieldMap(column=mapping.test_account.column), mapping.missing)
        rows["test_account"] = names.str.contains(rf"\b(?:{pattern})\b", case=False, regex=True).fillna(False).astype(bool)
        facts["test_accounts"] = int(rows["test_account"].sum())
    aside = pd.concat([blank, *unreadable], ignore_index=True)
    if mapping.person:
        aside = pd.concat([aside, set_aside(ids_frame.index[ids_frame.isna().all(axis=1)], "no_person")])
    answers = totals = None
    if mapping.table == "session":
        rows["session_id"] = [f"{source.name}/{row}" for row in rows.index]
        if mapping.answers:
            answers, empty, strange = _melt_answers(cells, rows, mapping, positions, path)
            aside = pd.concat([aside, set_aside(empty, "no_answers"), set_aside(strange, "unknown_form")])
        if "total_points" in rows:
            totals = pd.DataFrame({"session_id": rows["session_id"], "points": rows.pop("total_points")})
            totals["points_max"] = rows.pop("total_max") if "total_max" in rows else np.nan
    aside = pd.concat([aside, _find_copies(rows[~rows.index.isin(aside["row"])], ids_frame, answers)])
    aside = aside.drop_duplicates("row").sort_values("row", ignore_index=True)
    if "row" in spec:
        rows["row"] = rows.index
    gone = rows.index.isin(aside["row"])
    if answers is not None:
        answers = answers[~answers["session_id"].isin(rows.loc[gone, "session_id"])]
    if totals is not None:
        totals = totals[~gone]
    return Extract(
        table=mapping.table,
        frame=rows[~gone],
        ids=ids_frame[~gone],
        aside=aside,
        received=len(record),
        files=[],
        answers=answers,
        totals=totals,
        facts=facts,
    )


def _require_columns(path: Path, cells: pd.DataFrame, mapping: Mapping) -> None:
    wanted = [entry.column for entry in mapping.columns.values() if entry.column]
    wanted += [*mapping.skip_where_blank, *mapping.skip_values]
    wanted += [mapping.test_account.column] if mapping.test_account else []
    missing = sorted({column for column in wanted if column not in cells.columns})
    if missing:
        found = ", ".join(cells.columns[:12])
        raise SchemaError(say("mapping.no_column", file=path.name, missing=", ".join(missing[:3]), found=found))
    refused = refused_fields(mapping.table)
    banned = sorted(column for column in wanted if column.casefold() in refused)
    if banned:
        raise SchemaError(say("mapping.refused", columns=", ".join(banned[:3])))


def _find_records(cells: pd.DataFrame, mapping: Mapping) -> pd.Series[bool]:
    """Which rows are records: not blank throughout, and not what the mapping names as footers and totals."""
    record = (cells != "").any(axis=1)
    if mapping.skip_where_blank:
        record &= ~cells[mapping.skip_where_blank].isin(mapping.missing).all(axis=1)
    for column, values in mapping.skip_values.items():
        record &= ~cells[column].isin(values)
    return record


def _find_refused(cells: pd.DataFrame, table: str) -> list[str]:
    """Which personal fields came that are dropped at the door; a column without a value is not counted."""
    refused = refused_fields(table)
    return sorted({refused[c.casefold()] for c in cells.columns if c.casefold() in refused and (cells[c] != "").any()})


def _read_field(cells: pd.DataFrame, entry: FieldMap, missing: list[str]) -> pd.Series[str]:
    if entry.column is None:
        return pd.Series(entry.value, index=cells.index, dtype="str")
    return cells[entry.column].mask(cells[entry.column].isin(missing))


def _type_values(written: pd.Series[str], kind: str, entry: FieldMap, decimal: str, path: Path) -> pd.Series:  # type: ignore[type-arg]
    """Return values typed as the codebook says; what cannot be read is null here and set aside by the caller."""
    if entry.values:
        return written.map(entry.values).astype("str")
    if kind in TIME_KINDS:
        form = entry.as_ or ("%Y-%m-%d %H:%M:%S" if kind == "time" else "%Y-%m-%d")
        read = pd.to_datetime(written, format=form, errors="coerce")  # nulls are set aside as unreadable, and counted
        return read.dt.tz_localize("Asia/Jakarta") if kind == "time" and read.dt.tz is None else read
    if kind in ("integer", "number"):
        thousands = written.str.fullmatch(r"-?\d{1,3}(?:[.,]\d{3})+").fillna(False).astype(bool)
        if (thousands & written.str.contains(decimal, regex=False)).any() and kind == "integer":
            raise SchemaError(say("read.thousands", file=path.name, column=str(entry.column)))
        plain = written.str.replace("." if decimal == "," else ",", "", regex=False).str.replace(decimal, ".", regex=False)
        numbers = pd.to_numeric(plain, errors="coerce")  # nulls are set aside as unreadable, and counted
        return numbers.where(numbers % 1 == 0).astype("Int64") if kind == "integer" else numbers
    if kind == "boolean":
        return written.str.casefold().map({"1": True, "0": False, "true": True, "false": False, "ya": True, "tidak": False}).astype("boolean")
    return written


def _add_declared(rows: pd.DataFrame, source: Source, mapping: Mapping) -> None:
    """Give each row the wave, form and date that its source declares, where the file itself does not say."""
    spec = tables()[mapping.table].columns
    declared = {"wave": source.wave, "form_id": source.form, "as_of": source.as_of, "date": source.as_of}
    for name, value in declared.items():
        if name in spec and name not in rows and value is not None:
            rows[name] = pd.Timestamp(value) if spec[name].kind == "date" else value
    absent = [n for n, c in spec.items() if c.required and n not in rows and n not in ("pid", "row", "session_id", "state")]
    if absent:
        raise SchemaError(say("mapping.required", source=source.name, table=mapping.table, columns=", ".join(absent)))


def _clean_ids(
    written: dict[str, pd.Series[str]], rows: pd.DataFrame, mapping: Mapping, path: Path
) -> tuple[pd.DataFrame, dict[str, int], int]:
    """Return usable identifiers, the shapes of the first kind, and how many of it end in 0 (lost digits do)."""
    if not mapping.person:
        return pd.DataFrame(index=rows.index), {}, 0
    if mapping.person.rows:
        group = mapping.person.group or path.name
        place = pd.Series([f"{group}/{index // mapping.person.rows}" for index in range(len(rows))], index=rows.index, dtype="str")
        return pd.DataFrame({"local": place}), {}, 0
    kinds = mapping.person.ids
    shapes = {kind: shape_of_ids(written[kind], kind) for kind in kinds}
    usable = pd.DataFrame({kind: written[kind].where(shapes[kind] == "ok") for kind in kinds})
    spec = tables()[mapping.table].columns
    first = kinds[0]
    zero = written[first].str.endswith("0").fillna(False).astype(bool)
    if "id_shape" in spec:
        rows["id_shape"] = shapes[first]
    if "ends_in_zero" in spec:
        rows["ends_in_zero"] = zero
    return usable, {str(k): int(v) for k, v in shapes[first].value_counts().sort_index().items()}, int(zero.sum())


def _melt_answers(
    cells: pd.DataFrame, rows: pd.DataFrame, mapping: Mapping, positions: dict[tuple[str, int], str], path: Path
) -> tuple[pd.DataFrame, pd.Index[int], pd.Index[int]]:
    """Return answers long, the rows that hold none at all, and the rows whose form nobody registered."""
    how = mapping.answers
    if how is None:
        raise SchemaError(say("mapping.no_answers", file=path.name))
    found = {column: match for column in cells.columns if (match := re.fullmatch(how.pattern, column))}
    if not found:
        raise SchemaError(say("mapping.no_answers", file=path.name))
    raw = cells[list(found)].to_numpy(dtype=object)
    forms = rows["form_id"].astype(str)
    items = np.full(raw.shape, None, dtype=object)
    for form in forms.unique():
        names = [_name_item(match, form, how.prefix, positions) for match in found.values()]
        items[(forms == form).to_numpy()] = names
    registered = np.not_equal(items, None)
    omitted, late = np.isin(raw, how.omitted), np.isin(raw, how.not_reached)
    given = registered & ~omitted & ~late
    keep = registered
    person, _ = np.nonzero(keep)
    state = np.select([late, omitted], ["not_reached", "omitted"], "answered")
    long = pd.DataFrame(
        {
            "session_id": pd.Categorical.from_codes(person, rows["session_id"].astype(object).to_numpy()),
            "item_id": pd.Categorical(items[keep]),
            "raw": pd.Categorical(raw[keep]).set_categories(sorted(set(raw[given]))),
            "state": pd.Categorical(state[keep], categories=["answered", "omitted", "not_reached", "not_presented"]),
        }
    )
    return long, rows.index[registered.any(axis=1) & ~given.any(axis=1)], rows.index[~registered.any(axis=1)]


def _name_item(match: re.Match[str], form: str, prefix: str, positions: dict[tuple[str, int], str]) -> str | None:
    groups = match.groupdict()
    if groups.get("item"):
        return prefix + groups["item"]
    return positions.get((form, int(groups["position"])))


def _find_copies(rows: pd.DataFrame, ids: pd.DataFrame, answers: pd.DataFrame | None) -> pd.DataFrame:
    """Return rows that say again, to the letter, what an earlier row says; their place in the file is no content."""
    facts = pd.concat([rows.drop(columns=["session_id"], errors="ignore"), ids.loc[rows.index].add_prefix("id_")], axis=1)
    if answers is not None and len(rows):
        written = answers["raw"].astype(object).where(answers["state"] == "answered", answers["state"].astype(object))
        said = pd.util.hash_pandas_object(pd.DataFrame({"i": answers["item_id"].astype(str), "r": written.astype(str)}), index=False)
        facts["answers"] = said.groupby(answers["session_id"], observed=True).sum().reindex(rows["session_id"]).to_numpy()
    return set_aside(rows.index[facts.astype(str).duplicated()], "copy_of_a_row")


def _add_facts(parts: list[dict[str, object]]) -> dict[str, object]:
    """Return the facts of several files as one: counts added, lists united."""
    total: dict[str, object] = {}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, dict):
                known = dict(total.get(name, {}))  # type: ignore[call-overload]
                total[name] = {key: known.get(key, 0) + value.get(key, 0) for key in [*known, *(k for k in value if k not in known)]}
            elif isinstance(value, list):
                total[name] = sorted({*total.get(name, []), *value})  # type: ignore[misc]
            else:
                total[name] = total.get(name, 0) + value  # type: ignore[operator]
    return total


def concat_categories(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Return frames of categories one below the other, the categories united (plain concat would fall to objects)."""
    joined = {}
    for name in parts[0].columns:
        joined[name] = pd.api.types.union_categoricals([part[name] for part in parts], sort_categories=name != "session_id")
    return pd.DataFrame(joined)
