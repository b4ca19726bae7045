"""What a report depends on, known without running it: a report whose dependencies are what they were is not made again.

The parts are named, so that a difference can be: the notebook, the code, the parameters, the rows it reads, the answer key
behind its scores, the gates and decisions that touch it, what its edition hides, the declaration with its rules, and the
libraries.
"""

from __future__ import annotations

import ast
import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object

from bgtk_lib.editions import apply_decisions, find_approval, read_plan
from bgtk_lib.engine.answer_key import AnswerKeys
from bgtk_lib.engine.notebooks import LIBRARY, find_module, list_imports, notebooks_folder, read_code
from bgtk_lib.engine.parameters import REPORTS
from bgtk_lib.engine.report import Report
from bgtk_lib.engine.rows import load_table
from bgtk_lib.engine.wishes import Wish
from bgtk_lib.findings import Gate
from bgtk_lib.stages.gates import read_gates
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.plan_lock import read_plan_state
from bgtk_lib.workspace.store import hash_content, hash_file, hash_files, library_versions, read_json, write_json

TABLES = ("canonical", "derived", "instrument", "scores")  # folders of data/ that hold what reports read
SUMS = "row_sums.json"  # under data/: sums of all rows by group, kept as long as no table's bytes change
MAKERS = ("bgtk_lib.engine.run", "bgtk_lib.engine.warm.template")  # what makes a page beside its notebook
SHOWN = {".yaml", ".csv", ".json", ".j2", ".css", ".js"}  # files of the library that pages are made of


class Ground:
    """What all reports of a batch stand on: one look at a workspace, its tables read once at most.

    Parameters
    ----------
    workspace : Workspace
        After its stages ran. It must not change while the ground is used.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._tables: dict[str, pd.DataFrame] = {}
        self._sums: dict[tuple[Any, ...], str] = {}
        self._code: dict[str, str] = {}
        self._persons: dict[tuple[Any, ...], pd.DataFrame] = {}
        self._keys = AnswerKeys(workspace)

    def load(self, table: str) -> pd.DataFrame:
        """Return a whole table (`rows.load_table`), the same object every time: not to be changed."""
        if table not in self._tables:
            self._tables[table] = load_table(self.workspace, table)
        return self._tables[table]

    def open(self, wish: Wish) -> Report:
        """Return a wish as the report that its notebook will open."""
        report = Report(wish.report, wish.parameters, self.workspace, load=self.load)
        report.gates = [gate for gate in self._gates if gate.touches(report.selection)]
        return report

    def find_dependencies(self, wish: Wish) -> dict[str, str]:
        """Return what a report depends on: part → SHA-256.

        Notes
        -----
        Rows are summed up by group of the columns that reports filter by, and a report's sum is that of its groups: rows
        of other groups do not enter, nor does the order in which groups stand.
        """
        report = self.open(wish)
        return {
            "notebook": hash_file(notebooks_folder() / wish.report.notebook),
            "code": self._hash_code(wish.report.notebook),
            "parameters": hash_content(self._tell_parameters(wish)),
            "rows": self.sum_rows(wish),
            "key": self._keys.sum_up(report.selection),
            "gates": hash_content([_tell_gate(gate) for gate in report.gates]),
            "hidden": hash_content(self._list_hidden(wish)),
            "declared": self._declared,
            "libraries": hash_content(
                [library_versions(), platform.python_version(), metadata.version("bgtk-workbench")]
            ),
        }

    def sum_rows(self, wish: Wish) -> str:
        """Return one SHA-256 of all rows that a report reads."""
        report = self.open(wish)
        return hash_content({table: self._sum_table(report, table) for table in wish.report.reads})

    def list_persons(self, wish: Wish, table: str, by: tuple[str, ...]) -> pd.DataFrame:
        """Return whom a report reads in a table: pid and the columns `by`, each combination once."""
        report = self.open(wish)
        key = (table, by, _name_wanted(report, table))
        if key not in self._persons:
            self._persons[key] = report.read(table)[["pid", *by]].drop_duplicates()
        return self._persons[key]

    def _tell_parameters(self, wish: Wish) -> dict[str, Any]:
        """Return all parameters, and of an official edition its approval, which the pages show."""
        told = wish.parameters.model_dump(mode="json")
        approval = find_approval(self.workspace, told)
        return told | ({"approval": approval.model_dump(mode="json")} if approval else {})

    def _hash_code(self, notebook: str) -> str:
        if notebook not in self._code:
            self._code[notebook] = hash_code(notebook)
        return self._code[notebook]

    @cached_property
    def _gates(self) -> list[Gate]:
        return apply_decisions(read_gates(self.workspace), self.workspace.folder("decisions") / "gates.csv")

    @cached_property
    def _declared(self) -> str:
        """The declaration, but for what only lists reports or says where files lie; and the analysis plan."""
        told = self.workspace.declared.model_dump(
            mode="json", exclude={"reports", "edition", "status", "expected_gates", "sources"}
        )
        return hash_content([told, asdict(read_plan_state(self.workspace)), self.workspace.control_totals.to_csv()])

    def _list_hidden(self, wish: Wish) -> dict[str, Any]:
        """Return what the edition hides of the tables of this report."""
        plan = read_plan(self.workspace, edition=wish.folder, min_cell=wish.parameters.min_cell)
        own = Report(wish.report, wish.parameters, self.workspace).table("")
        return {name: dict(cells) for name, cells in plan.hidden.items() if name.startswith(own)}

    def _sum_table(self, report: Report, table: str) -> str:
        key = (table, _name_wanted(report, table), report.is_part)
        if key not in self._sums:
            groups = self._by_group[table]
            if table in report.declaration.whole and report.is_part:
                groups = groups.iloc[:0]
            for column, values in _list_wanted(report, table).items():
                if values and column in groups:
                    groups = groups[groups[column].isin(values)]
            self._sums[key] = hash_content([self._groups[table]["columns"], sorted(groups.to_numpy().tolist())])
        return self._sums[key]

    @cached_property
    def _by_group(self) -> dict[str, pd.DataFrame]:
        return {
            name: pd.DataFrame(found["groups"], columns=[*found["by"], "sum"]) for name, found in self._groups.items()
        }

    @cached_property
    def _groups(self) -> dict[str, dict[str, Any]]:
        """Table → its columns, and for every group of rows a sum; kept in data/ for the next batch."""
        data = self.workspace.root / "data"
        files = [
            path for folder in TABLES for path in (data / folder).rglob("*") if path.suffix in (".parquet", ".json")
        ]
        files += [*self.workspace.folder("decisions").rglob("*.csv")]
        state = hash_content([hash_files(files, base=data), self._declared, hash_code(*MAKERS)])
        kept = read_json(data / SUMS)
        if kept and kept.get("state") == state:
            return dict(kept["tables"])
        tables = {table: sum_by_group(self.load(table), by) for table, by in _list_filters().items()}
        write_json(data / SUMS, {"state": state, "tables": tables})
        return tables


def sum_by_group(frame: pd.DataFrame, by: list[str]) -> dict[str, Any]:
    """Return one SHA-256 of the rows of every group, in the order in which they stand.

    Parameters
    ----------
    frame : DataFrame
        Any table.
    by : list of str
        What groups it; columns that are not there group nothing. A null is a group of its own.

    Examples
    --------
    >>> found = sum_by_group(pd.DataFrame({"wave": ["a", "b", "a"], "x": [1, 2, 3]}), ["wave", "form"])
    >>> found["by"], [group[0] for group in found["groups"]]
    (['wave'], ['a', 'b'])
    """
    by = [column for column in by if column in frame]
    columns = [[str(name), str(kind)] for name, kind in frame.dtypes.items()]
    if frame.empty:
        return {"by": by, "columns": columns, "groups": []}
    nested = {str(name): column.map(_write_nested) for name, column in frame.items() if column.dtype == object}
    sums = hash_pandas_object(frame.assign(**nested), index=False).to_numpy()
    keys = frame[by].astype("str").fillna("") if by else pd.DataFrame({"": np.zeros(len(frame), dtype=int)})
    groups = [
        [*(map(str, key) if by else ()), hashlib.sha256(sums[places].tobytes()).hexdigest()]
        for key, places in keys.groupby([*keys.columns]).indices.items()
        for key in [key if isinstance(key, tuple) else (key,)]
    ]
    return {"by": by, "columns": columns, "groups": groups}


def _write_nested(value: Any) -> Any:
    """Return a list that stands in a cell as text: what cannot be hashed."""
    return json.dumps(value.tolist(), default=str) if isinstance(value, np.ndarray) else value


def _list_filters() -> dict[str, list[str]]:
    """Return every table that some report reads, and the columns that reports filter it by."""
    found: dict[str, list[str]] = {}
    for report in REPORTS.values():
        for table, filters in report.reads.items():
            found[table] = [*dict.fromkeys([*found.get(table, []), *filters])]
    return found


def _list_wanted(report: Report, table: str) -> dict[str, list[str]]:
    """Return column → the values that a report reads of a table; empty where it reads all."""
    chosen = {column: getattr(report.parameters, name) for column, name in report.declaration.reads[table].items()}
    return {column: [*map(str, value if isinstance(value, list) else [value])] for column, value in chosen.items()}


def _name_wanted(report: Report, table: str) -> tuple[Any, ...]:
    return tuple((column, *values) for column, values in _list_wanted(report, table).items())


def _tell_gate(gate: Gate) -> list[Any]:
    return [gate.code, gate.state, dict(gate.scope), gate.message.id, gate.message.en, gate.rows, gate.lifted]


def hash_code(*roots: str) -> str:
    """Return the SHA-256 of the code that `list_code` names, and of all files of this library that are no code."""
    tables = [path for path in LIBRARY.rglob("*") if path.suffix in SHOWN and path.is_file()]
    return hash_files([*list_code(*roots), *tables], base=LIBRARY)


def list_code(*roots: str) -> set[Path]:
    """Return the modules of this library that notebooks or modules use, and those that make pages.

    Parameters
    ----------
    *roots : str
        Names of notebooks (`.ipynb`) or of modules. What they import counts, wherever the import stands, and what that
        imports: rather too much than too little.
    """
    asked: list[str] = [*MAKERS]
    for root in roots:
        asked += _read_imports(notebooks_folder() / root) if root.endswith(".ipynb") else [root]
    known: set[Path] = set()
    while asked:
        path = find_module(asked.pop())
        if path and path not in known:
            known.add(path)
            asked += _read_imports(path)
    return known


def _read_imports(path: Path) -> tuple[str, ...]:
    """Return the modules of this library that a module or a notebook imports; a package counts for its `__init__`."""
    return _find_imports(read_code(path))


@cache
def _find_imports(code: str) -> tuple[str, ...]:
    names = {name for name in list_imports(ast.parse(code)) if name.split(".")[0] == LIBRARY.name}
    packages = {".".join(name.split(".")[:n]) for name in names for n in range(1, name.count(".") + 1)}
    return tuple(sorted(names | packages))


def list_differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the parts that are not the same, in the order of `Ground.find_dependencies`."""
    return [part for part in now if before.get(part) != now[part]]
