"""The analysis plan: what is asked of the data, written down before the later measurement is read.

A YAML file that `workspace.yaml` names under `analysis_plan`. When it was fixed is the matter of `workspace.plan_lock`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from bgtk_lib.errors import ParameterError
from bgtk_lib.schema import code_list
from bgtk_lib.words import say
from bgtk_lib.workspace import Workspace, waves_by_phase
from bgtk_lib.workspace.declaration import Name
from bgtk_lib.workspace.store import hash_content
from bgtk_lib.workspace.typed import Declared, declare, read_yaml, require_known

Grouping = Literal["district", "kota_kabupaten", "jenjang", "sex", "status", "device"]
Edition = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{2,40}$")]
FigureName = Annotated[str, Field(pattern=r"^[a-z][a-z_0-9]*(?:\.[a-z_0-9]+)+$")]

# One contrast told in several ways, by how those who did not come back are treated.
CONTRAST: dict[str, tuple[str, ...]] = {
    "complete": (
        "change.mean",
        "change.g_av",
        "change.d_z",
        "change.t",
        "change.df",
        "change.p",
        "sensitivity.complete",
    ),
    "ipw": ("sensitivity.ipw",),
    "mi": ("sensitivity.mi",),
}
SUBGROUP = (*CONTRAST["complete"], "subgroup.*", "gap.change")
EVENNESS = ("evenness.gap_change*", "evenness.variance_change", "evenness.verdict")
EFFECT = (
    *("programme.effect", "programme.effect_sd", "programme.p", "programme.cace"),
    *("programme.change", "programme.comparison_change", "small.*"),
)


class Pair(Declared):
    """One assessment, from one wave to the later one of its phase."""

    assessment: str
    wave_pre: Name
    wave_post: Name


class Contrast(Pair):
    """The confirmatory contrast of an edition: one figure of one report, over all districts and levels."""

    report: Literal["change"] = "change"
    figure: FigureName = "change.mean"


class ProgrammePlan(Pair):
    """One programme: whose change is looked at, how, and beside whose."""

    programme: str
    role: Literal["participant", "tutor"] = "participant"
    design: Literal["auto", "prepost", "ancova", "did", "staggered"] = "auto"
    comparison: Literal["none", "not_yet", "lottery", "matched", "other_subjects"] = "none"


class AnalysisPlan(Declared):
    """The whole of an analysis plan."""

    confirmatory: Annotated[dict[Edition, Contrast], Field(min_length=1)]
    subgroups: list[Grouping] = Field(default=[], description="each one family: all its levels, corrected together")
    programmes: list[ProgrammePlan] = []
    margin: Annotated[float, Field(gt=0)] | None = Field(default=None, description="points that count as unchanged")
    composite: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(default={}, description="assessment → weight")
    cluster: Literal["school", "district", "none"] = "school"
    missing: Literal["complete", "ipw", "mi"] = "complete"
    notes: str | None = None

    @field_validator("composite")
    @classmethod
    def _sums_to_one(cls, weights: dict[str, float]) -> dict[str, float]:
        if weights and abs(sum(weights.values()) - 1) > 1e-6:
            raise ParameterError(say("plan.weights", total=sum(weights.values())))
        return weights

    @property
    def content(self) -> dict[str, Any]:
        """What it says, whatever its layout: order of keys and lists, blanks, line ends and comments do not matter."""
        content = self.model_dump(mode="json")
        content["subgroups"] = sorted(set(self.subgroups))
        content["programmes"] = sorted(content["programmes"], key=hash_content)
        return content

    def names(self, report: str, figure: str, *, parameters: Mapping[str, Any], where: Mapping[str, str]) -> bool:
        """Whether it names a figure of a report; see `PlanState.status_of`.

        Notes
        -----
        A contrast is named for its own edition; in an edition that the plan does not know, as a draft is, each one is.
        What speaks of chosen districts or levels is not what was planned.
        """
        if parameters.get("districts") or parameters.get("jenjang"):
            return False
        if report == "programme":
            return not where and is_among(figure, EFFECT) and any(_fits(one, parameters) for one in self.programmes)
        edition = str(parameters.get("edition_id"))
        of_edition = [self.confirmatory[edition]] if edition in self.confirmatory else self.confirmatory.values()
        asked = [one for one in of_edition if one.report == report and _fits(one, parameters)]
        if groupings := {where["grouping"]} if "grouping" in where else {*where}:
            return bool(asked) and groupings <= {*self.subgroups} and is_among(figure, SUBGROUP)
        if self.margin is not None and is_among(figure, EVENNESS):
            return bool(asked)
        told = CONTRAST[self.missing]
        return any(figure in (told if one.figure in CONTRAST["complete"] else (one.figure,)) for one in asked)


def is_among(figure: str, patterns: Iterable[str]) -> bool:
    """Whether a figure's name fits one of some patterns, ``*`` for any part.

    Examples
    --------
    >>> is_among("gap.change", ["subgroup.*", "gap.change"]), is_among("gap.pre", ["gap.change"])
    (True, False)
    """
    return any(fnmatchcase(figure, pattern) for pattern in patterns)


def read_analysis_plan(workspace: Workspace) -> AnalysisPlan | None:
    """Return the plan that `workspace.yaml` names, or None where it names none.

    Raises
    ------
    ParameterError
        If the file is absent, says what it must not, or names an assessment, a pair of waves or a programme that is not
        known.
    """
    named = workspace.declared.analysis_plan
    if not named:
        return None
    plan = declare(AnalysisPlan, read_yaml(workspace.root / named), where=named)
    pairs = [*waves_by_phase(workspace.declared.waves)]
    for one in (*plan.confirmatory.values(), *plan.programmes):
        require_known(one.assessment, workspace.assessments, what=f"{named}: assessment")
        if (one.wave_pre, one.wave_post) not in pairs:
            possible = ", ".join(f"{pre} → {post}" for pre, post in pairs) or "–"
            raise ParameterError(say("parameter.order", pre=one.wave_pre, post=one.wave_post, pairs=possible))
    for one in plan.programmes:
        require_known(one.programme, code_list("programmes"), what=f"{named}: programme")
    for code in plan.composite:
        require_known(code, workspace.assessments, what=f"{named}: composite")
    return plan


def _fits(asked: Pair, parameters: Mapping[str, Any]) -> bool:
    """Whether a report is of the same assessment and waves; of a programme, asks for nothing else either."""
    sought = {name: getattr(asked, name) for name in ("assessment", "wave_pre", "wave_post")}
    if isinstance(asked, ProgrammePlan):
        choices = {name: getattr(asked, name) for name in ("role", "design", "comparison") if name in parameters}
        sought |= {"programme": asked.programme} | choices
    return all(parameters.get(name) == value for name, value in sought.items())
