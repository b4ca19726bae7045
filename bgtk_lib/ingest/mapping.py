"""What a mapping file may say: which column of an export is which field, and how the export writes things."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from bgtk_lib.errors import ParameterError
from bgtk_lib.schema import CODE_SYSTEMS, tables
from bgtk_lib.words import say
from bgtk_lib.workspace.typed import Declared, require_known

ID_KINDS = ("nuptk", "nip", "nik", "local")
# What stands in a file, to the letter: a tab that separates and a blank that means "missing" are no blanks to strip.
Written = Annotated[str, StringConstraints(strip_whitespace=False)]


def _column(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


class Format(Declared):
    """How the file is written. Nothing is sniffed: what a mapping does not say has the default here."""

    kind: Literal["csv", "xlsx", "ods", "parquet"] = "csv"
    separator: Written = ","
    encoding: str = "utf-8-sig"
    decimal: Literal[".", ","] = "."
    header_rows: Annotated[int, Field(ge=1, le=5)] = 1
    skip_rows: Annotated[int, Field(ge=0, le=50)] = 0
    quoted_lines: bool = Field(default=False, description="each line stands in quotes as a whole")
    sheet: str | None = None


class FieldMap(Declared):
    """One field: the column it comes from, its constant value or a name made of the row's number; and how it is read."""

    column: str | None = None
    value: str | None = None
    numbered: Annotated[str, Field(pattern=r"^[^{}]*\{row\}[^{}]*$")] | None = Field(
        default=None, description="e.g. PED-{row}, for a list of keys in the order of the items"
    )
    system: Literal["name", "kemendagri", "bps", "dapodik"] | None = None
    as_: str | None = Field(default=None, alias="as")
    values: dict[str, str] = {}

    @model_validator(mode="after")
    def _says_how_times_are_written(self) -> FieldMap:
        if self.as_ is not None and "%" not in self.as_:
            raise ParameterError(say("mapping.time_format", found=self.as_[:20]))
        return self


class Person(Declared):
    """Who a row is: identifiers among the fields, or, where there is none, its place in the file."""

    ids: list[Literal["nuptk", "nip", "nik", "local"]] = []
    rows: Annotated[int, Field(ge=1, le=100)] | None = None
    group: str | None = None


class Answers(Declared):
    """Which columns are answers: a pattern with a group `position` or `item`, and what marks a missing one.

    `times` names the columns of response times in the same way.
    """

    pattern: str
    omitted: list[Written] = [""]
    not_reached: list[Written] = []
    not_presented: list[Written] = []
    prefix: str = ""
    times: str | None = None
    times_in: Literal["seconds", "milliseconds"] = "seconds"

    @model_validator(mode="after")
    def _has_a_group(self) -> Answers:
        for pattern in filter(None, (self.pattern, self.times)):
            try:
                groups = re.compile(pattern).groupindex
            except re.error as error:
                raise ParameterError(say("mapping.pattern", pattern=pattern)) from error
            if not {"position", "item"} & set(groups):
                raise ParameterError(say("mapping.pattern", pattern=pattern))
        return self


class TestAccount(Declared):
    """How trial accounts can be told: words in a column that is itself not kept."""

    column: str
    words: list[str]


class Mapping(Declared):
    """A mapping file."""

    table: str
    format: Format = Format()
    missing: list[Written] = [""]
    trim: bool = False
    person: Person | None = None
    columns: dict[str, Annotated[FieldMap, BeforeValidator(_column)]]
    test_account: TestAccount | None = None
    answers: Answers | None = None
    skip_where_blank: list[str] = Field(
        default=[], description="source columns; a row blank in all of them is no record"
    )
    skip_values: dict[str, list[str]] = Field(
        default={}, description="source column → values of rows that are no record"
    )

    @model_validator(mode="after")
    def _fits_its_table(self) -> Mapping:
        require_known(self.table, [*tables()], what="table")
        fields = [*tables()[self.table].columns, *ID_KINDS, "total_points", "total_max"]
        for name, entry in self.columns.items():
            require_known(name, fields, what="columns")
            if [entry.column, entry.value, entry.numbered].count(None) != 2:
                raise ParameterError(say("mapping.column_or_value", field=name))
            if name == "district" and entry.column and entry.system is None:
                raise ParameterError(say("mapping.system", systems=", ".join(("name", *CODE_SYSTEMS))))
        if "pid" in tables()[self.table].columns and not (self.person and (self.person.ids or self.person.rows)):
            raise ParameterError(say("mapping.person", table=self.table))
        for kind in self.person.ids if self.person else ():
            if kind not in self.columns:
                raise ParameterError(say("mapping.id_column", kind=kind))
        return self
