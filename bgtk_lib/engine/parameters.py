"""The one typed declaration of every report: its notebook, its parameters, and which rows they select.

The command line, the notebooks' parameters cells, `bgtk parameters` and the checks before a kernel starts all read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from bgtk_lib.errors import ParameterError, Text
from bgtk_lib.findings import CLAIMING, COMPARING, COVERING, LINKING, REVIEWING
from bgtk_lib.programme.design import Assignment, Comparison, Role, Spillover, Unit, Wanted
from bgtk_lib.schema import code_list
from bgtk_lib.schema import districts as district_register
from bgtk_lib.words import say
from bgtk_lib.workspace import Workspace, waves_by_phase
from bgtk_lib.workspace.typed import Declared, Label, declare, require_known

Subgroup = Literal["sex", "jenjang", "status", "device", "kota_kabupaten"]
Jenjang = Literal["PAUD", "SD", "SMP", "SMA", "SMK", "SLB", "PNF"]


class Common(Declared):
    """Parameters that every report has."""

    edition_id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{2,40}$")] = "draf"
    edition_status: Literal["draf", "resmi"] = "draf"
    language: Literal["id", "en"] = "id"
    audience: Literal["internal", "mitra", "publik"] = "internal"
    min_cell: Annotated[int, Field(ge=5, le=50)] = 10
    confidence: Literal["0.90", "0.95", "0.99"] = "0.95"


class DataQuality(Common):
    """Parameters of the data quality report."""

    waves: list[str] = []


class CoverageMap(Common):
    """Parameters of the coverage report."""

    wave: str
    denominator: Annotated[int, Field(ge=1, le=10_000_000)] | None = None  # all teachers of Indonesia: 3.4 million
    denominator_source: Label | None = None
    population_label: Label | None = None
    jenjang: list[Jenjang] = []


class Change(Common):
    """Parameters of the six-month change report."""

    assessment: str
    wave_pre: str
    wave_post: str
    districts: list[str] = []
    jenjang: list[Jenjang] = []
    subgroups: list[Subgroup] = [*get_args(Subgroup)]


class Programme(Common):
    """Parameters of the report on a programme."""

    programme: str
    role: Role = "participant"
    assessment: str
    wave_pre: str
    wave_post: str
    assignment: Assignment
    picked_by: Literal["assessment", "other"] = "assessment"
    comparison: Comparison = "none"
    design: Wanted = "auto"
    unit: Unit = "guru"
    level: Literal["reaksi", "pengetahuan", "praktik", "imbas"] = "pengetahuan"
    spillover: Spillover = "unknown"
    balance_limit: Annotated[float, Field(ge=0.05, le=1)] = 0.25
    small_n: Annotated[int, Field(ge=10, le=60)] = 30


class Instrument(Common):
    """Parameters of the instrument report."""

    form: str
    wave: str


class Item(Common):
    """Parameters of an item's passport."""

    item: Label


class Comparability(Common):
    """Parameters of the comparability report."""

    assessment: str
    wave_pre: str
    wave_post: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """One report.

    Attributes
    ----------
    name, code : str
        As on the command line, and R0 … R7.
    notebook : str
        Its file in `notebooks/`.
    parameters : type
        Their typed declaration.
    reads : mapping
        Table → {column: parameter that filters it}; an empty list selects all.
    rests_on : tuple of str
        Gate codes that, stopped, leave its main figures out.
    tells : tuple of str
        Gate codes that it prints beside these: its own verdicts, which hold nothing back here.
    whole : tuple of str
        Tables that speak of everybody together: read only where districts and jenjang are not filtered.
    """

    name: str
    code: str
    notebook: str
    parameters: type[Common]
    reads: Mapping[str, Mapping[str, str]]
    rests_on: tuple[str, ...]
    tells: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()

    @property
    def title(self) -> Text:
        """Its title."""
        return say(f"report.{self.name}.title")


REVIEW_TABLES = (
    "items", "steps", "facts", "flags", "options", "traces", "suspects", "curves", "points", "precision", "density",
    "dependence", "loadings", "dif", "dif_profiles", "dif_groups", "panel", "panel_scales", "reliability", "model",
)  # fmt: skip
ITEM_TABLES = ("items", "flags", "options", "dif", "panel", "anchors", "key")
LINK_TABLES = ("links", "anchors", "conversion", "latent", "conditioned", "drift_groups")
PAIR = {"assessment": "assessment", "wave_pre": "wave_pre", "wave_post": "wave_post"}
PLACE = {"district": "districts", "jenjang": "jenjang"}
FORM = {"form": "form", "wave": "wave"}
SAT = {"form_id": "form", "wave": "wave"}
ITEM = {"item_id": "item"}
WAVE = {"wave": "wave", "jenjang": "jenjang"}
REPORTS: dict[str, Report] = {
    report.name: report
    for report in (
        Report(
            name="data_quality",
            code="R0",
            notebook="00_data_quality.ipynb",
            parameters=DataQuality,
            reads={
                "session": {"wave": "waves"},
                "answer": {},
                "rules": {},
                "set_aside": {},
                "sources": {},
                "account": {},
            },
            rests_on=("P07",),
        ),
        Report(
            name="coverage_map",
            code="R1",
            notebook="01_coverage_map.ipynb",
            parameters=CoverageMap,
            reads={"session": WAVE, "roster": WAVE, "account": {}},
            rests_on=COVERING,
        ),
        Report(
            name="instrument",
            code="R2",
            notebook="02_instrument.ipynb",
            parameters=Instrument,
            reads={**dict.fromkeys(REVIEW_TABLES, FORM), "session": SAT, "scores": SAT, "links": {}}
            | {"item_decisions": {"form": "form"}},
            rests_on=REVIEWING,
            tells=("D12", "I01", "I03", "I04", "I05"),
        ),
        Report(
            name="item",
            code="R2b",
            notebook="02_item_passport.ipynb",
            parameters=Item,
            reads=dict.fromkeys((*ITEM_TABLES, "item_decisions"), ITEM),
            rests_on=REVIEWING,
            tells=("D12", "I01", "I04", "I05"),
        ),
        Report(
            name="comparability",
            code="R3",
            notebook="03_comparability.ipynb",
            parameters=Comparability,
            reads=dict.fromkeys(LINK_TABLES, PAIR),
            rests_on=LINKING,
            tells=("C01", "C02", "C06"),
        ),
        Report(
            name="change",
            code="R4",
            notebook="04_change.ipynb",
            parameters=Change,
            reads={
                "pairs": {**PAIR, **PLACE},
                "unpaired": {**PAIR, **PLACE},
                "session": {"assessment": "assessment", "wave": "wave_pre", **PLACE},
                "unscorable": {"assessment": "assessment", "wave": "wave_pre", **PLACE},
                "form_reliability": {"assessment": "assessment"},
                "form_items": {"assessment": "assessment"},
                "plausible": {**PAIR, **PLACE},
                "imputed": {**PAIR, **PLACE},
                **dict.fromkeys(("conditioned", "links", "change_districts", "change_model"), PAIR),
                "account": {},
            },
            rests_on=COMPARING,
            whole=("change_districts", "change_model"),
        ),
        Report(
            name="programme",
            code="R5",
            notebook="05_programme.ipynb",
            parameters=Programme,
            reads={
                "pairs": PAIR,
                "unpaired": PAIR,
                "session": {"assessment": "assessment", "wave": "wave_pre"},
                "unscorable": {"assessment": "assessment", "wave": "wave_pre"},
                "form_reliability": {"assessment": "assessment"},
                "plausible": PAIR,
                "conditioned": PAIR,
                "links": PAIR,
                "training": {},
                "applicants": {"programme": "programme"},
                "rubric": {"programme": "programme"},
                "staff": {},
                "scores": {},
                "account": {},
            },
            rests_on=CLAIMING,
        ),
    )
}


def find_report(name: str) -> Report:
    """Return a report by its name; an unknown one is refused with the nearest."""
    return REPORTS[require_known(name, REPORTS, what="report")]


def check_parameters(report: Report, values: Mapping[str, Any], workspace: Workspace) -> Common:
    """Return a report's parameters, typed and possible in this workspace.

    Parameters
    ----------
    report : Report
        Which one.
    values : mapping
        Name → value as given (text, or lists of text).
    workspace : Workspace
        Whose waves, assessments and districts they may name.

    Raises
    ------
    ParameterError
        With every fault: unknown name, wrong type, impossible value, each with the nearest valid one.
    """
    given = {name: _as_declared(report, name, value) for name, value in values.items()}
    parameters = declare(report.parameters, {"language": workspace.language, **given}, where=say_where(report))
    check_names(parameters, workspace)
    if isinstance(parameters, Change | Comparability | Programme):
        _check_order(parameters, workspace)
    if parameters.min_cell < 10 and parameters.audience != "internal":
        raise ParameterError(say("parameter.min_cell", audience=parameters.audience))
    chosen = [len(getattr(parameters, name, [])) for name in ("districts", "jenjang")]
    if parameters.audience != "internal" and sum(chosen) > 1:
        raise ParameterError(say("parameter.free_filter", audience=parameters.audience))
    return parameters


def say_where(report: Report) -> str:
    """Return what the reader calls a report's parameters."""
    return f"parameter {report.name}"


def _as_declared(report: Report, name: str, value: Any) -> Any:
    """Return a value ready to be typed: numbers of a literal as text, one name for a list of one."""
    field = report.parameters.model_fields.get(name)
    if field is None or value is None:
        return value
    if name == "confidence" and not isinstance(value, bool):
        try:
            written = f"{float(value):.2f}"
            return written if float(written) == float(value) else str(value)  # 0.951 is not 0.95
        except (TypeError, ValueError):
            return value
    if str(field.annotation).startswith("list") and isinstance(value, str):
        return [part.strip() for part in value.strip("[] ").split(",")] if value.strip() != "[]" else []
    return (
        str(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and field.annotation is str
        else value
    )


def check_names(parameters: Common, workspace: Workspace) -> None:
    """Refuse codes that are not of this workspace, as far as its stages have made them known, and one named twice."""
    for name, value in parameters:
        several = value if isinstance(value, list) else [value]
        for one in several:
            _check_name(name, one, workspace)
            if several.count(one) > 1:
                raise ParameterError(say("declared.twice", path=name, found=one))


def _check_name(name: str, value: Any, workspace: Workspace) -> None:
    known: dict[str, Iterable[str]] = {
        "wave": workspace.declared.waves,
        "waves": workspace.declared.waves,
        "wave_pre": workspace.declared.waves,
        "wave_post": workspace.declared.waves,
        "assessment": workspace.assessments,
        "form": workspace.declared.forms,
        "districts": district_register().index,
        "programme": code_list("programmes"),
    }
    if name == "item" and workspace.has_derived("items"):  # before the first review nobody knows the items
        known["item"] = workspace.read_derived("items")["item_id"].unique()
    if name in known and value is not None:
        require_known(value, [*known[name]], what=name)


def _check_order(parameters: Change | Comparability | Programme, workspace: Workspace) -> None:
    """Refuse two waves in the wrong order or of different phases: the direction is always post − pre."""
    pre, post = (workspace.declared.waves[name] for name in (parameters.wave_pre, parameters.wave_post))
    if (pre.occasion, post.occasion) != ("pre", "post") or pre.phase != post.phase:
        pairs = ", ".join(f"{a} → {b}" for a, b in _possible_pairs(workspace))
        raise ParameterError(
            say("parameter.order", pre=parameters.wave_pre, post=parameters.wave_post, pairs=pairs or "–")
        )


def _possible_pairs(workspace: Workspace) -> list[tuple[str, str]]:
    return list(waves_by_phase(workspace.declared.waves))
