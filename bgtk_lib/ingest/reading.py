"""Files as they came, every cell as text: CSV, XLSX, ODS, Parquet. Form only, never content."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd

from bgtk_lib.errors import SchemaError
from bgtk_lib.ingest.mapping import Format
from bgtk_lib.words import say


def read_cells(path: Path, form: Format) -> pd.DataFrame:
    """Return the cells of a file as text, one row a row; column names made of the header row(s).

    Parameters
    ----------
    path : Path
        The file.
    form : Format
        How it is written.

    Raises
    ------
    SchemaError
        If it cannot be read as declared: wrong encoding, separator, sheet, or a header with a name twice.
    """
    if form.kind == "csv":
        frame = _read_csv(path, form)
    elif form.kind == "parquet":
        frame = _read_parquet(path)
    else:
        frame = _read_sheet(path, form)
    names = [" ".join(str(name).replace("\u00a0", " ").split()) for name in frame.columns]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise SchemaError(say("read.header_twice", file=path.name, columns=", ".join(twice[:3])))
    frame.columns = pd.Index(names)
    return frame.reset_index(drop=True)


def _read_csv(path: Path, form: Format) -> pd.DataFrame:
    try:
        text = path.read_text(encoding=form.encoding)
    except (UnicodeError, LookupError) as error:
        raise SchemaError(say("read.encoding", file=path.name, encoding=form.encoding)) from error
    if form.quoted_lines:
        text = "\n".join(line[1:-1] if line[:1] == line[-1:] == '"' else line for line in text.splitlines())
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=form.separator, strict=True))
    except (csv.Error, TypeError) as error:
        raise SchemaError(say("read.csv", file=path.name, separator=form.separator)) from error
    rows = [row for row in rows[form.skip_rows :] if row]
    if len(rows) < form.header_rows:
        raise SchemaError(say("read.empty", file=path.name))
    header = _merge_header(rows[: form.header_rows])
    body = rows[form.header_rows :]
    if len(header) == 1 and any(sep in header[0] for sep in ";\t|,"):
        raise SchemaError(say("read.csv", file=path.name, separator=form.separator))
    wrong = [number for number, row in enumerate(body, start=1) if len(row) != len(header)]
    if wrong:
        raise SchemaError(say("read.ragged", file=path.name, n=len(wrong), row=wrong[0], wanted=len(header)))
    columns = list(zip(*body, strict=True)) if body else [()] * len(header)
    keep = [index for index, name in enumerate(header) if name or any(columns[index])]
    data = {index: pd.array(columns[index], dtype="str") for index in keep}
    frame = pd.DataFrame(data)
    frame.columns = pd.Index([header[index] for index in keep])
    return frame


def _read_sheet(path: Path, form: Format) -> pd.DataFrame:
    engine = {"xlsx": "openpyxl", "ods": "odf"}[form.kind]
    try:
        book = pd.ExcelFile(path, engine=engine)  # type: ignore[arg-type]
    except Exception as error:  # each engine has errors of its own; the reader needs one sentence
        raise SchemaError(say("read.sheet_file", file=path.name, kind=form.kind)) from error
    with book:
        sheets = [str(name) for name in book.sheet_names]
        if form.sheet is None and len(sheets) > 1:
            raise SchemaError(say("read.sheets", file=path.name, sheets=", ".join(sheets)))
        if form.sheet is not None and form.sheet not in sheets:
            raise SchemaError(say("read.no_sheet", file=path.name, sheet=form.sheet, sheets=", ".join(sheets)))
        how = {"header": None, "dtype": str, "keep_default_na": False, "skiprows": form.skip_rows}
        cells = pd.read_excel(book, sheet_name=form.sheet or sheets[0], **how)  # type: ignore[call-overload]
    if len(cells) < form.header_rows:
        raise SchemaError(say("read.empty", file=path.name))
    header = _merge_header(cells.iloc[: form.header_rows].astype(str).to_numpy().tolist())
    body = cells.iloc[form.header_rows :].astype("str").fillna("#N/A")  # a cell whose formula failed is not blank
    body.columns = pd.Index(header)
    return pd.DataFrame(body[[name for name in header if name]])


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise SchemaError(say("read.sheet_file", file=path.name, kind="parquet")) from error
    floats = [str(c) for c in frame.columns if pd.api.types.is_float_dtype(frame[c]) and (frame[c].abs() >= 1e14).any()]
    if floats:  # sixteen digits in a float have already lost their last one
        raise SchemaError(say("read.float_identifier", file=path.name, columns=", ".join(floats[:3])))
    return frame.astype("str").fillna("")


def _merge_header(rows: list[list[str]]) -> list[str]:
    """Return one name a column: header rows joined by a blank, merged cells carried to the right."""
    names = [""] * len(rows[-1])
    for level, row in enumerate(rows):
        last = ""
        for index in range(len(names)):
            cell = (row[index] if index < len(row) else "").strip()
            last = cell or (last if level < len(rows) - 1 else "")
            names[index] = f"{names[index]} {last}".strip()
    return names
