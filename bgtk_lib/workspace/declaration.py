"""What a `workspace.yaml` may say: institution, sources, waves, forms, rules and the reports to make."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from bgtk_lib.workspace.typed import Declared

Model = Literal["auto", "none", "rasch", "2pl", "pcm", "gpcm", "grm"]
LinkMethod = Literal["mean_mean", "mean_sigma", "haebara", "stocking_lord", "fixed_anchor", "concurrent"]
Grouping = Literal["district", "jenjang", "sex", "status", "device", "group", "programmes"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$")]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Institution(Declared):
    """Whose data these are."""

    name: str
    province: Annotated[str, Field(pattern=r"^\d\d$")] = "18"


class Governance(Declared):
    """What the law asks to be recorded before persons' data are worked on (UU 27/2022)."""

    purpose: str | None = None
    legal_basis: str | None = None
    retention_until: date | None = None
    dpia_ref: str | None = None
    processor: str | None = None


class Source(Declared):
    """One export: where it lies, which adapter reads it, and what it speaks of."""

    name: Name
    file: str
    adapter: Literal["table", "dapodik_json"] = "table"
    mapping: Name | None = None
    wave: Name | None = None
    form: str | None = None
    as_of: date | None = None


class Wave(Declared):
    """One measurement: its phase, its occasion and the days on which it was sat."""

    phase: str
    occasion: Literal["pre", "post"]
    window: Annotated[list[date], Field(min_length=2, max_length=2)] | None = None
    make_up: list[date] = []
    released_before: bool = Field(default=False, description="keys or item results were released before this wave")

    @property
    def days(self) -> list[date]:
        """The days that are named: first and last of the window, then make-up days; none where not declared."""
        return [*(self.window or []), *sorted(self.make_up)]


class Form(Declared):
    """One test form: its assessment, whether its answers come scored already (0/1), and its model if not the rules'."""

    assessment: Name
    scored: bool = False
    model: Model | None = None
    items: Annotated[int, Field(ge=1, le=500)] | None = None


class AssessmentName(Declared):
    """The name of an assessment that is not in the register."""

    id: str
    en: str


class Rules(Declared):
    """What decides the numbers. Rules stand once, here; a stage applies them and they enter its fingerprint."""

    reference_date: date | None = None
    attempts: Literal["first_complete", "last_complete", "all_flagged"] = "first_complete"
    exclude_test_accounts: bool = False
    complete_share: Annotated[float, Field(ge=0, le=1)] = 0.8
    window_days: Annotated[list[int], Field(min_length=2, max_length=2)] = [150, 210]
    cluster: Literal["school", "district", "none"] = "school"
    cluster_reason: str | None = None
    effect_size: Literal["g_av"] = "g_av"
    count_madrasah: bool = False
    model: Model = "auto"
    item_profile: Literal["longgar", "baku", "ketat"] = "baku"
    dif_groups: list[Grouping] = ["sex", "jenjang", "status", "device", "group"]
    link_method: LinkMethod = "mean_mean"
    exposed_districts: list[str] = []
    anchors_wanted: Annotated[int, Field(ge=10, le=40)] = 20
    plausible_values: Annotated[int, Field(ge=5, le=40)] = 20
    change_scale: Literal["common", "form"] = "common"
    conditioning: list[Grouping] = ["district", "jenjang", "sex", "status", "device", "programmes"]
    dapodik_max_age_days: Annotated[int, Field(ge=1, le=2000)] = 180
    seed: Annotated[int, Field(ge=0)] = 20251018


class ReportPlan(Declared):
    """One report to make, or a grid of them: each combination of the lists in `grid`.

    A list may be the word ``all``: every value there is. `exclude` leaves combinations out, `include` adds single ones;
    those with fewer than `minimum` persons are withheld and not run.
    """

    report: str
    parameters: dict[str, Any] = {}
    grid: dict[str, Annotated[list[Any], Field(min_length=1)] | Literal["all"]] = {}
    include: list[dict[str, Any]] = []
    exclude: list[dict[str, Any]] = []
    minimum: Annotated[int, Field(ge=1)] | None = None


class GridFile(Declared):
    """A file of reports to make, for `bgtk batch`."""

    edition: str | None = None
    status: Literal["draf", "resmi"] | None = None
    language: Literal["id", "en"] | None = None
    reports: Annotated[list[ReportPlan], Field(min_length=1)]


class WorkspaceDeclaration(Declared):
    """The whole of `workspace.yaml`."""

    name: Name
    institution: Institution
    data_kind: Literal["real", "synthetic"]
    language: Literal["id", "en"] = "id"
    time_zone: Literal["Asia/Jakarta"] = "Asia/Jakarta"
    governance: Governance = Governance()
    assessments: dict[str, AssessmentName] = {}
    sources: list[Source]
    waves: dict[Name, Wave]
    forms: dict[str, Form] = {}
    control_totals: str | None = None
    analysis_plan: str | None = None
    rules: Rules = Rules()
    expected_gates: dict[str, Annotated[list[str], BeforeValidator(_as_list)]] = {}
    edition: str | None = None
    status: Literal["draf", "resmi"] | None = None
    reports: list[ReportPlan] = []
