"""The rows of a report on a programme: who took part, who is compared with them, and what is found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd

from bgtk_lib.change.describe import count_flow
from bgtk_lib.change.drawn import Drawn, lay_draws
from bgtk_lib.editions import apply_decisions
from bgtk_lib.engine.paired import Paired, pair_rows
from bgtk_lib.engine.parameters import Programme as Asked
from bgtk_lib.engine.report import Report
from bgtk_lib.findings import CLAIMING, OF_CHANGE, Flow, FlowStep, Withheld
from bgtk_lib.programme.assess import Programme, assess_programme
from bgtk_lib.programme.design import Declared, Design
from bgtk_lib.programme.dose import Dose, estimate_dose
from bgtk_lib.programme.gates import judge_programme
from bgtk_lib.programme.groups import Groups, form_groups
from bgtk_lib.programme.lost import COMPARING, Lost, assess_lost, lower_evidence
from bgtk_lib.programme.rubric import RubricChange, assess_rubric
from bgtk_lib.schema import read_reference
from bgtk_lib.stages.persons import span_waves
from bgtk_lib.words import say

OWN, OTHERS = "participants", "comparison"  # cells of the table `groups`
COMPARED = {"not_yet": ("-later",), "lottery": ("-drawn", "-applicant", "-later")}  # their groups on the scale


@dataclass(frozen=True, kw_only=True, eq=False)
class Enrolled:
    """One programme and one assessment, as a report asks for them.

    Attributes
    ----------
    asked : Asked
        The report's parameters.
    rows : Paired
        Both measurements.
    training, applicants, rubric : DataFrame
        As `stages.participation` lays them; the last two of this programme. In training nobody whom another phase tested.
    people : DataFrame
        The pairs with ptk_kind, age (years, at the first measurement) and subject.
    left : DataFrame
        Those of the first measurement only, described likewise.
    between : pair of Timestamp
        Last day of the first measurement, first day of the second.
    n_waves : int
        Measurements of the phase.
    stopped : frozenset of str
        Gates that leave a comparison of the two measurements out.
    rng : Generator
        For permuting and resampling.
    """

    asked: Asked
    rows: Paired
    training: pd.DataFrame
    applicants: pd.DataFrame
    rubric: pd.DataFrame
    people: pd.DataFrame
    left: pd.DataFrame
    between: tuple[pd.Timestamp, pd.Timestamp]
    n_waves: int
    stopped: frozenset[str]
    rng: np.random.Generator

    @cached_property
    def groups(self) -> Groups:
        """Who is compared with whom; a comparison group too small to be shown is set aside, for nobody is compared with it."""
        found = form_groups(self.people, self.training, self.applicants, declared=self._declared, between=self.between)
        few = 0 < int((~found.members["treated"]).sum()) < self.rows.min_cell
        return _set_comparison_aside(found) if few else found

    @property
    def counts(self) -> pd.Series[int]:
        """Persons of either group: a table of the edition's plan."""
        treated = self.groups.members["treated"]
        return pd.Series({OWN: int(treated.sum()), OTHERS: int((~treated).sum())}, dtype="int64")

    @property
    def _declared(self) -> Declared:
        asked = self.asked
        names = ("programme", "assignment", "comparison", "role", "unit", "spillover", "small_n", "balance_limit")
        return Declared(
            **{name: getattr(asked, name) for name in names},
            wanted=asked.design,
            score_known=asked.picked_by == "assessment",
            n_waves=self.n_waves,
        )

    @cached_property
    def conditioned(self) -> bool:
        """Whether the plausible values know of every group that is compared."""
        known = self.rows.conditioned
        states = dict(known.loc[known["level"] == "True", ["grouping", "state"]].to_numpy())
        code = f"programme:{self.asked.programme}"
        others = [code + kind for kind in COMPARED.get(self.asked.comparison, ())]
        own = f"{code}-tutor" if self.asked.role == "tutor" else code
        return states.get(own) == "kept" and all(states.get(other, "kept") == "kept" for other in others)

    @property
    def same_form(self) -> bool:
        """Whether one form was sat twice, so that there is a change in its points."""
        return len(self.people) > 0 and bool((self.people["form_pre"] == self.people["form_post"]).all())

    @cached_property
    def in_points(self) -> bool:
        """Whether points of the form stand for the scale: it does not know the groups, or has no place for so few."""
        few = self.counts[OWN] < self.asked.small_n
        return self.rows.on_scale and self.same_form and (few or not self.conditioned)

    @cached_property
    def declared(self) -> Declared:
        """What is said of the programme before anything is computed."""
        return replace(self._declared, conditioned=self.in_points or not self.rows.on_scale or self.conditioned)

    @cached_property
    def points(self) -> Drawn:
        """The pairs with their points of the form."""
        told = self.people.assign(score_pre=self.people["points_pre"], score_post=self.people["points_post"])
        return lay_draws(told.assign(unit="points", linking_error=0.0), pd.DataFrame())

    @property
    def unit(self) -> str:
        """What scores are told in: ``scale``, ``points``, or ``sd`` where no scale is common to both measurements."""
        if self.found.standardised:
            return "sd"
        return "scale" if self.rows.on_scale and not self.in_points else "points"

    @cached_property
    def drawn(self) -> Drawn:
        """The pairs' scores: plausible values, or points of the form."""
        return self.points if self.in_points else lay_draws(self.people, self.rows.draws)

    @cached_property
    def _assessed(self) -> Programme:
        return assess_programme(
            self.drawn,
            self.groups,
            self.declared,
            rng=self.rng,
            confidence=self.rows.how["confidence"],
            reliability=self._reliability,
        )

    @cached_property
    def lost(self) -> Lost | None:
        """Who of either group did not come back; None where no groups are compared."""
        design = self._assessed.design
        if not isinstance(design, Design) or design.method not in COMPARING or self._assessed.standardised:
            return None
        first = pd.concat([self.people, self.left], ignore_index=True)
        everyone = form_groups(first, self.training, self.applicants, declared=self._declared, between=self.between)
        confidence = self.rows.how["confidence"]
        return assess_lost(self.drawn, self.groups, everyone, self.left, method=design.method, confidence=confidence)

    @cached_property
    def found(self) -> Programme:
        """What is found; the evidence is 1 where a gate leaves the comparison out, and no lottery's where too many were lost."""
        found, confidence = self._assessed, self.rows.how["confidence"]
        if self.rows.on_scale and self.same_form:
            found = replace(found, dose=self._find_dose(confidence))
        if self.lost is not None and isinstance(found.design, Design):
            found = replace(found, design=lower_evidence(found.design, self.lost))
        stops = self.stopped - ({*OF_CHANGE} if found.standardised else set())
        if stops and isinstance(found.design, Design):
            reasons = (*found.design.reasons, say("programme.stopped"))
            found = replace(found, design=replace(found.design, evidence=1, reasons=reasons))
        return found

    @property
    def _reliability(self) -> float | None:
        alpha = self.rows.read("form_reliability")
        if self.people.empty or alpha.empty:
            return None
        here = (alpha["wave"] == self.asked.wave_pre) & (alpha["form"] == self.people["form_pre"].iloc[0])
        known = alpha.loc[here, "alpha"].dropna()
        return float(known.iloc[0]) if len(known) and 0 < known.iloc[0] <= 1 else None

    def _find_dose(self, confidence: float) -> Dose | Withheld:
        """Return the slope on hours, or on sessions, in points of the form: the scale knows nothing of them."""
        members = self.groups.members
        joined = members[members["treated"] & members["took"]].set_index("pid")
        here = self.points.take(self.points.frame["pid"].isin(joined.index).to_numpy())
        amounts = joined.loc[here.frame["pid"]]
        hours = bool(amounts["hours"].notna().any())
        given = amounts["hours"] if hours else amounts["sessions"]
        return estimate_dose(here, given, unit="hours" if hours else "sessions", confidence=confidence)

    @cached_property
    def rated(self) -> RubricChange | None:
        """The change of the rubric scores, each the mean of its criteria; None where nobody was rated."""
        if self.rubric.empty:
            return None
        schools = pd.concat([self.people, self.rows.unpaired]).drop_duplicates("pid").set_index("pid")["npsn"]
        n_criteria = max(self.rubric["criterion"].nunique(dropna=False), 1)
        ratings = self.rubric.assign(
            score=self.rubric["score"] / n_criteria, npsn=self.rubric["pid"].map(schools).astype("str")
        )
        return assess_rubric(ratings, confidence=self.rows.how["confidence"])

    @property
    def highest_mark(self) -> float | None:
        """The highest possible rubric score of a criterion; None where the criteria differ in it."""
        highest = set(self.rubric["score_max"]) if len(self.rubric) else set()
        return float(highest.pop()) if len(highest) == 1 and not self.rubric["score_max"].hasnans else None

    @property
    def held(self) -> tuple[date, date] | None:
        """First and last day of the participants' courses; None where few took part."""
        rows, members = self.training, self.groups.members
        theirs = rows["pid"].isin(members.loc[members["treated"], "pid"]) & (rows["programme"] == self.asked.programme)
        inside = (rows["start"] >= self.between[0]) & (rows["start"] < self.between[1])
        courses = rows[theirs & inside & (rows["role"].fillna("participant") == self.asked.role)]
        if courses["pid"].nunique() < self.rows.min_cell:
            return None
        return courses["start"].min().date(), courses[["start", "end"]].max().max().date()

    def flow(self, session: pd.DataFrame, unscorable: pd.DataFrame) -> Flow:
        """Return the flow: sittings received → … → pairs → members of either group."""
        n_left = int((self.rows.unpaired["reason"] == "only_pre").sum())
        before = count_flow(session, unscorable, n_pairs=len(self.people), n_unpaired=n_left)
        return Flow((*before.steps, *self.groups.flow.steps[1:]))


def enrol(report: Report) -> Enrolled:
    """Return the rows of a report on a programme."""
    asked, rows = report.parameters, pair_rows(report)
    if not isinstance(asked, Asked):
        raise TypeError(type(asked).__name__)
    days, scores, staff = span_waves(report.workspace), report.read("scores"), report.read("staff")
    year = days["last"].dt.year
    phase = days["phase"].eq(days["phase"].to_dict()[asked.wave_pre])
    return Enrolled(
        asked=asked,
        rows=rows,
        training=_leave_out(report.read("training"), scores, waves=phase.index[phase]),
        applicants=report.read("applicants"),
        rubric=report.read("rubric"),
        people=_describe_people(rows.pairs, staff, scores, year=year),
        left=_describe_people(rows.leavers, staff, scores, year=year),
        between=(days["last"].to_dict()[asked.wave_pre], days["first"].to_dict()[asked.wave_post]),
        n_waves=int(phase.sum()),
        stopped=frozenset(g.code for g in report.gates if g.code in CLAIMING and g.state == "STOP" and g.closed),
        rng=report.rng,
    )


def judge(report: Report, enrolled: Enrolled) -> None:
    """Add the programme's own gates to a report, and let its sentences name a cause where the design carries one."""
    named = ("assessment", "wave_pre", "wave_post", "programme", "role")
    scope = {name: str(getattr(enrolled.asked, name)) for name in named}
    gates = judge_programme(enrolled.found, enrolled.groups, enrolled.declared, scope)
    decided = apply_decisions(gates, report.workspace.folder("decisions") / "gates.csv")
    report.gates = [*report.gates, *decided]
    design = enrolled.found.design
    report.may_claim = isinstance(design, Design) and design.may_claim


def _leave_out(training: pd.DataFrame, scores: pd.DataFrame, *, waves: pd.Index[str]) -> pd.DataFrame:
    """Return the courses without those of persons who sat tests, but none of this phase."""
    here = scores.loc[scores["wave"].isin(waves), "pid"]
    return training[training["pid"].isin(here) | ~training["pid"].isin(scores["pid"])].reset_index(drop=True)


def _describe_people(
    pairs: pd.DataFrame, staff: pd.DataFrame, scores: pd.DataFrame, *, year: pd.Series[int]
) -> pd.DataFrame:
    """Return the pairs with ptk_kind, age and subject: of the subjects' tests a person sat, the first."""
    known = staff.set_index("pid").reindex(pairs["pid"])
    kinds = {code for code, entry in read_reference("assessments.yaml").items() if entry["kind"] == "subject"}
    taught = scores[scores["assessment"].isin(kinds)].sort_values("start", kind="stable").drop_duplicates("pid")
    age = pairs["wave_pre"].map(year).astype("float64") - known["birth_year"].astype("float64").to_numpy()
    subject = pairs["pid"].map(taught.set_index("pid")["assessment"])
    return pairs.assign(ptk_kind=known["ptk_kind"].to_numpy(), age=age, subject=subject.astype("str"))


def _set_comparison_aside(groups: Groups) -> Groups:
    """Return the groups with everyone of the comparison set aside as ``few_compared``."""
    kept = groups.members[groups.members["treated"]].reset_index(drop=True)
    others = groups.members.loc[~groups.members["treated"], ["pid"]].assign(reason="few_compared")
    first, last = groups.flow.steps
    reasons = {**last.reasons, "few_compared": len(others)}
    step = FlowStep(state=last.state, n=len(kept), set_aside=last.set_aside + len(others), reasons=reasons)
    aside = pd.concat([groups.aside, others], ignore_index=True)
    return replace(groups, members=kept, aside=aside, flow=Flow((first, step)), n_same_school=0)
