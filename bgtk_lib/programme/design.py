"""What may be said of a programme, given how people came in and what data there are: decided before any effect is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bgtk_lib.errors import ParameterError, Text
from bgtk_lib.findings import Withheld
from bgtk_lib.words import plain, say

Assignment = Literal["lottery", "waitlist", "selected_top", "selected_need", "volunteer", "whole_school", "unknown"]
Comparison = Literal["none", "not_yet", "lottery", "matched", "other_subjects"]
Wanted = Literal["auto", "prepost", "ancova", "did", "staggered", "rdd"]
Role = Literal["participant", "tutor"]
Unit = Literal["guru", "kepala_sekolah", "sekolah"]
Spillover = Literal["none", "same_school_excluded", "unknown"]
Method = Literal["prepost", "small", "ancova", "overlap", "did", "randomisation", "lottery"]
Evidence = Literal[1, 2, 3, 4]

FEWEST_SCHOOLS = 5  # below, an error clustered by treated schools is not to be trusted (MacKinnon & Webb 2017)
FEWEST_WAVES = 3
SAME_WEEK = 7  # days from the end of a programme to the second sitting: what is still fresh


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What is said of a programme before anything is computed: the analysis plan and the report's parameters.

    Attributes
    ----------
    programme : str
        Code of the register.
    assignment : Assignment
        How people came in.
    comparison : Comparison
        Whom they are compared with.
    wanted : Wanted
        The design; ``auto``: by `choose_design`.
    role : Role
        Whose change: tutors and those they teach are never one group.
    unit : Unit
        Whom the programme is for.
    spillover : Spillover
        What becomes of comparison persons in participants' schools.
    small_n : int
        With fewer participants the small mode describes, and nothing is compared.
    balance_limit : float
        Largest standardised difference between groups that are still compared, in SD.
    score_known : bool
        Whether those selected were picked by the first score that is in the data.
    conditioned : bool
        Whether the plausible values know who took part; without, a scale carries no effect of the programme.
    n_waves : int
        Measurements of this assessment there are.

    Raises
    ------
    ParameterError
        If a word is not one of those allowed.
    """

    programme: str
    assignment: Assignment
    comparison: Comparison = "none"
    wanted: Wanted = "auto"
    role: Role = "participant"
    unit: Unit = "guru"
    spillover: Spillover = "unknown"
    small_n: int = 30
    balance_limit: float = 0.25
    score_known: bool = True
    conditioned: bool = False
    n_waves: int = 2

    def __post_init__(self) -> None:
        words = {
            "assignment": Assignment,
            "comparison": Comparison,
            "wanted": Wanted,
            "role": Role,
            "unit": Unit,
            "spillover": Spillover,
        }
        for name, allowed in words.items():
            if getattr(self, name) not in get_args(allowed):
                choice = plain(", ".join(get_args(allowed)))
                raise ParameterError(
                    say("programme.unknown_word", name=name, found=getattr(self, name), allowed=choice)
                )

    @property
    def selected(self) -> bool:
        """Whether participants were picked by a score or by need: such a group returns towards the mean by itself."""
        return self.assignment in ("selected_top", "selected_need")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the data hold, before any outcome is compared.

    Attributes
    ----------
    n_participants, n_comparison : int
        Persons of either group with the scores that are needed.
    n_schools : int
        Schools of the participants.
    imbalance : float
        Largest standardised difference between the groups before weighting, in SD; infinite where it is not known.
    one_scale : bool
        Whether both measurements are on one scale, so that there is a change.
    on_scale : bool
        Whether that is the scale of plausible values.
    n_other_unit : int
        Persons on the roster who are not of the declared unit.
    roster_says : frozenset of str
        How people came in, by the roster itself.
    days_after : float or None
        Median days from the programme's end to the second sitting.
    """

    n_participants: int
    n_comparison: int
    n_schools: int
    imbalance: float = math.inf
    one_scale: bool = True
    on_scale: bool = False
    n_other_unit: int = 0
    roster_says: frozenset[str] = frozenset()
    days_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class Design:
    """How the question is answered, and how much the answer may claim.

    Attributes
    ----------
    method : Method
        ``prepost`` and ``small`` describe participants alone.
    evidence : {1, 2, 3, 4}
        1 description, 2 beside a comparison group, 3 adjusted and alike in what was observed, 4 drawn by lot.
    reasons : tuple of Text
        Why this one, and what it leaves open.
    """

    method: Method
    evidence: Evidence
    reasons: tuple[Text, ...]

    @property
    def may_claim(self) -> bool:
        """Whether a sentence may say that the programme added something."""
        return self.evidence >= 3


def choose_design(declared: Declared, facts: Facts) -> Design | Withheld:
    """Return how a programme can be judged: by how people came in, and what data exist.

    Parameters
    ----------
    declared : Declared
        Assignment, comparison, thresholds.
    facts : Facts
        Of the groups; nothing in it is an outcome, so that the choice cannot follow the result.

    Returns
    -------
    Design or Withheld
        Withheld where what was asked for cannot be answered by these data: a regression discontinuity ever, a staggered
        design with fewer than three measurements, differences in change of a group picked by its first score, a lottery
        that was none, a roster that contradicts the declaration.

    Notes
    -----
    Fewer participants than `small_n`: described alone. No comparison group: described alone, whatever else there is.
    Drawn by lot: compared as drawn. Fewer than five schools took part: schools are permuted. Not-yet participants who were
    not picked by the score: change against change. Otherwise later scores at equal first scores (ancova), and overlap
    weights where the groups stand further apart than `balance_limit`. Volunteers, an unknown way in, teachers of other
    subjects, schools not drawn by lot and a selection by a score that is not at hand never rise above evidence 2.

    Examples
    --------
    >>> facts = Facts(n_participants=200, n_comparison=900, n_schools=60, imbalance=0.2)
    >>> choose_design(Declared(programme="PM", assignment="selected_need", comparison="matched"), facts).method
    'ancova'
    >>> alone = choose_design(Declared(programme="TS", assignment="selected_top"), facts)
    >>> alone.method, alone.evidence, alone.may_claim
    ('prepost', 1, False)
    """
    refused = _refuse(declared, facts)
    if refused:
        return Withheld(refused)
    method = _pick_method(declared, facts)
    chosen = method == "prepost" and not _is_alone(declared, facts)
    key = "programme.as_wanted" if chosen else f"programme.method.{method}"
    reasons = [say(key, small_n=declared.small_n, limit=declared.balance_limit)]
    if facts.days_after is not None and facts.days_after <= SAME_WEEK:
        reasons.append(say("programme.learning", days=SAME_WEEK))
    if method in ("prepost", "small"):
        return Design(method=method, evidence=1, reasons=tuple(reasons))
    weaknesses = _list_weaknesses(declared, method)
    evidence: Evidence = 2 if weaknesses else 4 if declared.comparison == "lottery" else 3
    return Design(method=method, evidence=evidence, reasons=(*reasons, *weaknesses))


def _refuse(declared: Declared, facts: Facts) -> Text | None:
    """Return why the question as put has no answer in these data; None where it has."""
    others = facts.roster_says & (set(get_args(Assignment)) - {declared.assignment, "unknown"})
    change = declared.wanted in ("did", "staggered")
    lacking = declared.wanted in ("ancova", "did", "staggered") and _is_alone(declared, facts)
    checks: list[tuple[bool, str, dict[str, Any]]] = [
        (declared.wanted == "rdd", "rdd", {}),
        (declared.wanted == "staggered" and declared.n_waves < FEWEST_WAVES, "staggered", {"n": declared.n_waves}),
        (facts.n_participants == 0, "nobody", {}),
        (facts.n_other_unit > facts.n_participants, "unit", {"unit": say(f"programme.unit.{declared.unit}")}),
        (bool(others), "roster", {"found": ", ".join(sorted(others)), "declared": declared.assignment}),
        (declared.comparison == "lottery" and declared.assignment != "lottery", "lottery", {}),
        (facts.on_scale and not declared.conditioned, "conditioned", {}),
        (change and declared.selected, "did_selected", {}),
        (change and not facts.one_scale, "did_scale", {}),
        (declared.wanted == "staggered" and declared.comparison != "not_yet", "staggered_comparison", {}),
        (lacking, "alone", {}),
    ]
    found = next(((key, values) for refuses, key, values in checks if refuses), None)
    return say(f"programme.refused.{found[0]}", **found[1]) if found else None


def _is_alone(declared: Declared, facts: Facts) -> bool:
    """Whether there is nobody, or too few, to compare with."""
    return declared.comparison == "none" or facts.n_comparison < declared.small_n


def _pick_method(declared: Declared, facts: Facts) -> Method:
    drawn = declared.comparison == "lottery"
    alike = facts.imbalance <= declared.balance_limit
    asked: dict[str, Method] = {"ancova": "ancova", "did": "did", "staggered": "did", "prepost": "prepost"}
    change = declared.comparison == "not_yet" and not declared.selected and facts.one_scale and alike
    checks: list[tuple[bool, Method]] = [
        (facts.n_participants < declared.small_n, "small"),
        (_is_alone(declared, facts) or declared.wanted == "prepost", "prepost"),
        (facts.n_schools < FEWEST_SCHOOLS and (not drawn or declared.unit == "sekolah"), "randomisation"),
        (drawn, "lottery"),
        (declared.wanted in asked, asked.get(declared.wanted, "ancova")),
        (change, "did"),
        (alike, "ancova"),
    ]
    return next((method for holds, method in checks if holds), "overlap")


def _list_weaknesses(declared: Declared, method: Method) -> list[Text]:
    """Return what keeps a comparison from being evidence that the programme added something."""
    checks = {
        "assignment": declared.assignment in ("volunteer", "unknown"),
        "subjects": declared.comparison == "other_subjects",
        "schools": method == "randomisation" and declared.comparison != "lottery",
        "score": declared.selected and not declared.score_known,
    }
    return [say(f"programme.open.{name}") for name, holds in checks.items() if holds]
