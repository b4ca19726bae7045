"""What a made-up province looks like: its size, its truth and the calendar of its waves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal, get_args

from bgtk_lib import schema

Size = Literal["small", "secondary", "province"]
Scenario = Literal[
    "sound", "attrition_observed", "one_zero_district", "no_change", "tutors_on_top", "programme_effects"
]  # fmt: skip
Phase = Literal["I", "II", "III"]
Occasion = Literal["pre", "post"]

SIZES: tuple[Size, ...] = get_args(Size)
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
SUBJECTS = ("MAT", "BIN", "BK", "BIG", "BIO", "FIS", "KIM", "EKO", "PPK", "SEJ", "PJO", "INF", "GEO", "SOS")
GENERAL = ("PED", "KEP", "SSL")
RENEWED = ("SSL",)  # assessments sat on another form after, which shares items with the one before
LATER = "B"  # ends the name of such a form: SSL-1, then SSL-1B
PHONE_SHARE = 0.35  # of the persons of a wave
PHASES: tuple[Phase, ...] = ("I", "II", "III")
OCCASIONS: tuple[Occasion, ...] = ("pre", "post")
NUMBER: Mapping[str, int] = {"I": 1, "II": 2, "III": 3}
PHASE_III_TEACHERS = 25_700  # "sekitar", press
CAPITAL = "18.71"
CAPITAL_SHARE = 0.6  # of phase I; the rest are chosen schools of the other 14 districts
SMALLEST_DISTRICT = 12  # teachers of a phase, after scaling down
SMALL_SCALE = 8
KKA_SEATS = 0.12  # of those who sit before; twice as many apply
KKA_ATTENDING = 0.85  # of those whom the lot gives a seat
KKA_GAIN = 0.15  # in SD of ability before, on PED
DAPODIK_AS_OF = date(2025, 9, 15)
PRE_DAYS: Mapping[Phase, date] = {"I": date(2025, 10, 18), "II": date(2025, 12, 6), "III": date(2026, 2, 7)}
POST_DAYS: Mapping[Phase, date] = {"I": date(2026, 4, 18), "II": date(2026, 6, 6), "III": date(2026, 8, 8)}
MAKE_UP_AFTER = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Design:
    """A made-up province: how large, which truth, which seed; and the constants of the model.

    Attributes
    ----------
    size : {"small", "secondary", "province"}
        `secondary` has the published 2,674 teachers of phase I and 6,762 of phase II, `small` an eighth of them,
        `province` 25,700 teachers of primary and lower secondary schools on top.
    scenario : {"sound", "attrition_observed", "one_zero_district", "no_change", "tutors_on_top", "programme_effects"}
        `sound`: change everywhere, leaving depends on the true pretest. `attrition_observed`: leaving depends on the
        observed pretest, so that complete cases mislead. `one_zero_district`: one district's effect is exactly 0.
        `no_change`: all terms of change are exactly 0. `tutors_on_top`: the top tenth of the pretest are tutors.
        `programme_effects`: as `sound`, but programmes choose in ways of their own, and one has an effect (`rosters`).
    seed : int
        Of everything but the test forms.
    assessments : tuple of str
        Which are written; a teacher takes the own subject and the general ones.
    level_district_sd, level_school_sd : float
        SD of district and school means of ability before; the persons' SD is what makes the total 1.
    shared : float
        Correlation of the ability (and of its change) between two assessments, at every level.
    change_mean, change_district_sd : float
        Distribution of the districts' mean change, in SD of ability before.
    change_school_sd, change_person_sd : float
        SD of the schools' and persons' deviations from it.
    leaving_rate : float
        Share that sits before and not after.
    leaving_slope : float
        Logistic slope of leaving on the true ability in PED before.
    leaving_slope_observed : float
        The same on the standardised observed score of PED before, in `attrition_observed`.
    absent_share : float
        Invited and absent before, as a share of those who came.
    make_up_share : float
        Share of a wave's persons who sit a week later.
    omitted_share, not_reached_share : float
        Share of answers crossed out, and of sessions that end early. Both fall on answers that would have been
        wrong, so that the number correct obeys the model exactly.
    second_attempt_share : float
        Share of sessions with a second attempt: half after one that broke off, half after a complete one.
    teachers_per_school : mapping
        Phase → teachers of a school on average.
    """

    size: Size = "small"
    scenario: Scenario = "sound"
    seed: int = 20251018
    assessments: tuple[str, ...] = (*SUBJECTS, *GENERAL)
    level_district_sd: float = 0.15
    level_school_sd: float = 0.25
    shared: float = 0.6
    change_mean: float = 0.20
    change_district_sd: float = 0.05
    change_school_sd: float = 0.08
    change_person_sd: float = 0.35
    leaving_rate: float = 0.18
    leaving_slope: float = -0.2
    leaving_slope_observed: float = -1.2
    absent_share: float = 0.04
    make_up_share: float = 0.04
    omitted_share: float = 0.01
    not_reached_share: float = 0.02
    second_attempt_share: float = 0.01
    teachers_per_school: Mapping[str, float] = field(default_factory=lambda: {"I": 20.0, "II": 15.0, "III": 9.0})

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases this size has."""
        return PHASES if self.size == "province" else PHASES[:2]

    @property
    def change_within_sd(self) -> float:
        """SD of a person's change around the district's: schools and persons together; 0 without change."""
        if self.scenario == "no_change":
            return 0.0
        return float((self.change_school_sd**2 + self.change_person_sd**2) ** 0.5)

    @property
    def level_within_sd(self) -> float:
        """SD of ability before within a district: schools and persons together."""
        return float((1 - self.level_district_sd**2) ** 0.5)

    @property
    def level_person_sd(self) -> float:
        """SD of ability before within a school."""
        return float((self.level_within_sd**2 - self.level_school_sd**2) ** 0.5)

    def gain(self, assessment: str) -> float:
        """Return what attending KKA adds to the ability after, in SD of ability before."""
        return KKA_GAIN if self.scenario == "programme_effects" and assessment == "PED" else 0.0

    def mixture(self, assessment: str) -> tuple[tuple[float, float], ...]:
        """Return (share, gain) of those whom no programme helps and of those whom one does, whatever their ability.

        Examples
        --------
        >>> Design().mixture("PED")
        ((1.0, 0.0),)
        >>> Design(scenario="programme_effects").mixture("PED")
        ((0.898, 0.0), (0.102, 0.15))
        """
        gain, share = self.gain(assessment), KKA_SEATS * KKA_ATTENDING
        return ((1 - share, 0.0), (share, gain)) if gain else ((1.0, 0.0),)

    def school_size(self, phase: Phase) -> float:
        """Return the teachers of a school on average; `small` has a fifth, so that districts keep several schools."""
        return self.teachers_per_school[phase] / (5 if self.size == "small" else 1)

    def taken(self, phase: Phase) -> tuple[str, ...]:
        """Return the assessments of a phase: in phase III the general ones only."""
        return tuple(code for code in self.assessments if phase != "III" or code in GENERAL)

    @property
    def panel_forms(self) -> tuple[str, ...]:
        """The forms that a panel rates: those of the assessments that have two a phase."""
        return tuple(
            form_name(code, phase, occasion)
            for phase in self.phases
            for code in self.taken(phase)
            if code in RENEWED
            for occasion in OCCASIONS
        )


def wave_name(phase: Phase, occasion: Occasion) -> str:
    """Return the name of a wave, e.g. ``p1-pre``."""
    return f"p{NUMBER[phase]}-{occasion}"


def wave_day(phase: Phase, occasion: Occasion) -> date:
    """Return the day of a wave, a Saturday."""
    return (PRE_DAYS if occasion == "pre" else POST_DAYS)[phase]


def form_name(assessment: str, phase: Phase, occasion: Occasion = "pre") -> str:
    """Return the form of an assessment in a phase, e.g. ``PED-1``: renewed each phase, for some also after."""
    return f"{assessment}-{NUMBER[phase]}{LATER if occasion == 'post' and assessment in RENEWED else ''}"


def count_subjects(design: Design, phase: Phase) -> dict[str, int]:
    """Return how many teachers of each subject a phase has; phase I has the published counts."""
    published = _published("I", "subject")
    total = sum(count_districts(design, phase).values())
    return published if total == sum(published.values()) and phase == "I" else share_out(total, published)


def count_districts(design: Design, phase: Phase) -> dict[str, int]:
    """Return how many teachers of each district a phase has; phase II has the published counts."""
    scale = SMALL_SCALE if design.size == "small" else 1
    everywhere = [str(code) for code in schema.districts().index]
    others = _published("II", "district")
    if phase == "I":
        total = round(sum(_published("I", "subject").values()) / scale)
        outside = max(total - round(CAPITAL_SHARE * total), SMALLEST_DISTRICT * len(others))
        return share_out(outside, others, least=SMALLEST_DISTRICT) | {CAPITAL: total - outside}
    if phase == "II":
        if scale == 1:
            return others
        return {code: max(round(n / scale), SMALLEST_DISTRICT) for code, n in others.items()}
    weights = {code: float(others.get(code, 900)) for code in everywhere}
    return share_out(round(PHASE_III_TEACHERS / scale), weights)


def share_out(total: int, weights: Mapping[str, float], *, least: int = 1) -> dict[str, int]:
    """Return whole numbers that add up to a total, in proportion to weights (largest remainders), none below `least`.

    Examples
    --------
    >>> share_out(10, {"a": 1, "b": 2})
    {'a': 3, 'b': 7}
    """
    free = total - least * len(weights)
    if free < 0:
        return share_out(total, weights, least=total // len(weights))
    whole = sum(weights.values())
    wanted = {key: max(total * weight / whole - least, 0.0) for key, weight in weights.items()}
    scale = free / sum(wanted.values()) if free else 0.0
    exact = {key: value * scale for key, value in wanted.items()}
    counts = {key: int(value) for key, value in exact.items()}
    rest = free - sum(counts.values())
    for key in sorted(exact, key=lambda key: (counts[key] - exact[key], key))[:rest]:
        counts[key] += 1
    return {key: count + least for key, count in counts.items()}


def _published(phase: Phase, column: str) -> dict[str, int]:
    totals = schema.published_totals()
    rows = totals[(totals["phase"] == phase) & (totals[column] != "")]
    return {str(code): int(n) for code, n in zip(rows[column], rows["n"], strict=True)}
