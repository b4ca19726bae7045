"""Who was invited, and who took part in which programme, how they came in and what it did.

Only in `programme_effects` does a programme have an effect, KKA on PED, whose seats are drawn by lot. There the
tutors are the top of the observed pretest and STEM takes its bottom, so that both seem to change; PM's volunteers are
the abler ones, some of whom begin only after the second wave; SM takes whole schools.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib import schema
from bgtk_lib.synthetic.design import GENERAL, KKA_ATTENDING, KKA_SEATS, Design, Phase, wave_day, wave_name
from bgtk_lib.synthetic.forms import Floats
from bgtk_lib.synthetic.model import Integers

PROGRAMMES = {"PM": 0.10, "KKA": 0.08, "STEM": 0.06}  # share of the teachers who take part, drawn by lot
TUTEES, TUTORS = 0.20, 0.05  # of TS; where the top of the pretest are the tutors, it is the top tenth
TOP = 0.10
SESSIONS = {"TS": 6, "PM": 8, "KKA": 10, "STEM": 4, "SM": 12, "OKU-PORTO": 4}
HOURS = 4  # a session
# Of `programme_effects`:
PRESENT = 0.9  # share of the sessions that somebody attends
VOLUNTEERS = {"now": 0.12, "later": 0.06}  # of PM
EAGERNESS = 0.5  # by how much an SD of ability multiplies, as a logarithm, the odds of volunteering
NEEDING = 0.12  # at most, of STEM: all at or below a score
MODEL_SCHOOLS = 4  # of a phase


@dataclass(frozen=True, kw_only=True)
class Programmes:
    """Who took part in one phase.

    Attributes
    ----------
    training : DataFrame
        teacher, programme, start, end, hours, role, sessions, assignment.
    applicants : DataFrame
        teacher, programme, call, applied, stratum, drawn, attended; empty but in `programme_effects`.
    cutoff : int or None
        Highest score of the pretest with which STEM took everybody, in that scenario.
    """

    training: pd.DataFrame
    applicants: pd.DataFrame
    cutoff: int | None = None

    def number_from(self, first: int) -> Programmes:
        """Return the same, with the teachers numbered from another one than 0."""
        training, applicants = (
            rows.assign(teacher=rows["teacher"] + first) for rows in (self.training, self.applicants)
        )
        return replace(self, training=training, applicants=applicants)


APPLICANTS = ("teacher", "programme", "call", "applied", "stratum", "drawn", "attended")
NO_APPLICANTS = pd.DataFrame(columns=list(APPLICANTS))


def list_invited(design: Design, teachers: pd.DataFrame, *, phase: Phase) -> pd.DataFrame:
    """Return wave, teacher, assessment: before, also those who did not come; after, everyone who sat before."""
    parts = []
    for code in design.taken(phase):
        takes = np.ones(len(teachers), dtype=bool) if code in GENERAL else (teachers["subject"] == code).to_numpy()
        came = teachers["comes"].to_numpy()
        for wave, who in ((wave_name(phase, "pre"), takes), (wave_name(phase, "post"), takes & came)):
            parts.append(pd.DataFrame({"wave": wave, "teacher": np.flatnonzero(who), "assessment": code}))
    whole = pd.concat(parts, ignore_index=True)
    return whole.sort_values(["wave", "teacher", "assessment"], ignore_index=True)


def draw_training(
    design: Design, teachers: pd.DataFrame, *, scores: Integers, phase: Phase, rng: np.random.Generator
) -> Programmes:
    """Return who took part between the waves of a phase, where no programme has an effect.

    Parameters
    ----------
    design : Design
        In `tutors_on_top` the tutors are those with the highest scores; otherwise they are drawn by lot.
    teachers : DataFrame
        Of the phase.
    scores : array of int
        Observed PED score before, of those who came (the first rows of `teachers`).
    phase : {"I", "II", "III"}
        Whose calendar.
    rng : Generator
        Source of randomness.
    """
    n, start = len(scores), wave_day(phase, "pre")
    tutors, tutees = _draw_tutors(scores, on_top=design.scenario == "tutors_on_top", rng=rng)
    groups = [tutors, tutees]
    groups += [rng.choice(len(teachers), round(share * n), replace=False) for share in PROGRAMMES.values()]
    how = ["selected_top" if design.scenario == "tutors_on_top" else "volunteer", *["volunteer"] * 4]
    parts = [
        lay_course(who, programme, start=start + timedelta(days=30 + 14 * nth), assignment=assignment)
        for nth, (who, programme, assignment) in enumerate(zip(groups, ("TS", "TS", *PROGRAMMES), how, strict=True))
    ]
    parts[0]["role"] = "Tutor"
    return Programmes(training=pd.concat(parts, ignore_index=True), applicants=NO_APPLICANTS)


def draw_programmes(
    teachers: pd.DataFrame, *, scores: Integers, theta: Floats, phase: Phase, rng: np.random.Generator
) -> Programmes:
    """Return who took part in a phase of `programme_effects`, each programme in a way of its own.

    Parameters
    ----------
    teachers : DataFrame
        Of the phase.
    scores, theta : array
        Observed score and true ability in PED before, of those who came (the first rows of `teachers`).
    phase : {"I", "II", "III"}
        Whose calendar.
    rng : Generator
        Source of randomness.
    """
    n, start = len(scores), wave_day(phase, "pre")
    tutors, tutees = _draw_tutors(scores, on_top=True, rng=rng)
    eager = np.exp(EAGERNESS * theta)
    volunteers = rng.choice(n, round(sum(VOLUNTEERS.values()) * n), replace=False, p=eager / eager.sum())
    now, later = np.split(rng.permutation(volunteers), [round(VOLUNTEERS["now"] * n)])
    applicants = _hold_lottery(teachers.head(n), start=start + timedelta(days=14), rng=rng)
    attending = applicants.loc[applicants["attended"], "teacher"].to_numpy()
    cutoff = int(np.sort(scores)[round(NEEDING * n)]) - 1
    schools = rng.choice(teachers["npsn"].head(n).unique(), MODEL_SCHOOLS, replace=False)
    after = wave_day(phase, "post") + timedelta(days=14)
    groups = [
        (tutors, "TS", 30, "selected_top"),
        (tutees, "TS", 44, "volunteer"),
        (now, "PM", 58, "volunteer"),
        (later, "PM", (after - start).days, "volunteer"),
        (attending, "KKA", 72, "lottery"),
        (np.flatnonzero(scores <= cutoff), "STEM", 86, "selected_need"),
        (np.flatnonzero(teachers["npsn"].isin(schools)), "SM", 100, "whole_school"),
    ]
    parts = []
    for who, programme, days, assignment in groups:
        part = lay_course(who, programme, start=start + timedelta(days=days), assignment=assignment)
        part["sessions"] = np.maximum(1, rng.binomial(SESSIONS[programme], PRESENT, len(part)))
        parts.append(part.assign(hours=HOURS * part["sessions"]))
    parts[0]["role"] = "Tutor"
    return Programmes(training=pd.concat(parts, ignore_index=True), applicants=applicants, cutoff=cutoff)


def describe_programmes(design: Design, took: Mapping[Phase, Programmes]) -> dict[str, dict[str, Any]]:
    """Return what is planted of each group that a programme makes, under the name the stages give it.

    Parameters
    ----------
    design : Design
        Whether programmes have effects.
    took : mapping
        Phase → who took part.

    Notes
    -----
    `effect`: in SD of ability before. `n`: persons by phase. `drawn` had a seat
    by lot, of whom `n` attended; the effect of the lot itself is `effect` times their share.
    """
    told: dict[str, dict[str, Any]] = {}
    for phase, here in took.items():
        late = pd.to_datetime(here.training["start"]) > pd.Timestamp(wave_day(phase, "post"))
        kind = np.select([here.training["role"] == "Tutor", late], ["-tutor", "-later"], "")
        for group, rows in here.training.groupby(here.training["programme"] + kind):
            effect = design.gain("PED") if group == "KKA" else 0.0
            entry = {"on": "PED", "effect": effect, "assignment": rows["assignment"].iloc[0], "n": {}}
            told.setdefault(str(group), entry)["n"][phase] = len(rows)
        if len(here.applicants):
            told["KKA"].setdefault("applicants", {})[phase] = len(here.applicants)
            told["KKA"].setdefault("drawn", {})[phase] = int(here.applicants["drawn"].sum())
        if here.cutoff is not None:
            told["STEM"].setdefault("cutoff", {})[phase] = here.cutoff
    return told


def _draw_tutors(scores: Integers, *, on_top: bool, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Return tutors and tutees."""
    n = len(scores)
    lots = rng.random(n)
    order = np.argsort(-scores + lots * 0.5 if on_top else lots)  # lots decide between equal scores
    tutors = order[: round((TOP if on_top else TUTORS) * n)]
    others = np.setdiff1d(np.arange(n), tutors)
    return tutors, rng.choice(others, round(TUTEES * n), replace=False)


def _hold_lottery(teachers: pd.DataFrame, *, start: date, rng: np.random.Generator) -> pd.DataFrame:
    """Return KKA's applicants: in each stratum the lot takes half, to one person; some of those drawn do not come."""
    n = len(teachers)
    seats = round(KKA_SEATS * n)
    who = rng.permutation(n)[: 2 * seats]
    kinds = teachers["district"].map(schema.districts()["kind"]).to_numpy()[who]
    lots = pd.DataFrame({"teacher": who, "stratum": kinds}).sort_values("stratum", kind="stable", ignore_index=True)
    lots["drawn"] = (np.arange(2 * seats) + rng.integers(2)) % 2 == 0
    attending = rng.choice(lots.loc[lots["drawn"], "teacher"], round(KKA_ATTENDING * KKA_SEATS * n), replace=False)
    days = rng.integers(0, 10, 2 * seats)
    lots = lots.assign(programme="KKA", call="1", applied=[start + timedelta(days=int(day)) for day in days])
    lots["attended"] = lots["teacher"].isin(attending)
    return lots[list(APPLICANTS)].sort_values("teacher", ignore_index=True)


def lay_course(who: Integers, programme: str, *, start: date, assignment: str) -> pd.DataFrame:
    """Return one course of four weeks whose participants attend every session.

    Parameters
    ----------
    who : array of int
        Numbers of the teachers.
    programme : str
        Its code.
    start : date
        First day.
    assignment : str
        How they came in.
    """
    return pd.DataFrame(
        {
            "teacher": np.sort(who),
            "programme": programme,
            "start": start,
            "end": start + timedelta(days=28),
            "hours": HOURS * SESSIONS[programme],
            "role": "Peserta",
            "sessions": SESSIONS[programme],
            "assignment": assignment,
        }
    )
