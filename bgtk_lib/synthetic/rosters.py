"""Who was invited, and who took part in which programme. No programme has an effect."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd

from bgtk_lib.synthetic.design import GENERAL, Design, Phase, wave_day, wave_name

PROGRAMMES = {"PM": 0.10, "KKA": 0.08, "STEM": 0.06}  # share of the teachers who take part, drawn by lot
TUTEES, TUTORS = 0.20, 0.05  # of TS; in `tutors_on_top` the top tenth of the pretest are the tutors
TOP = 0.10
HOURS = {"TS": 24, "PM": 32, "KKA": 40, "STEM": 16}


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
    design: Design, teachers: pd.DataFrame, *, scores: np.ndarray, phase: Phase, rng: np.random.Generator
) -> pd.DataFrame:
    """Return teacher, programme, start, end, hours, role, between the waves of a phase.

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
    n = len(scores)
    lots = rng.random(n)
    if design.scenario == "tutors_on_top":
        tutors = np.argsort(-scores + lots * 0.5)[: round(TOP * n)]  # lots decide between equal scores
    else:
        tutors = np.argsort(lots)[: round(TUTORS * n)]
    others = np.setdiff1d(np.arange(n), tutors)
    groups = [("TS", tutors, "Tutor"), ("TS", rng.choice(others, round(TUTEES * n), replace=False), "Peserta")]
    groups += [
        (programme, rng.choice(len(teachers), round(share * n), replace=False), "Peserta")
        for programme, share in PROGRAMMES.items()
    ]
    parts = []
    for nth, (programme, who, role) in enumerate(groups):
        start = wave_day(phase, "pre") + timedelta(days=30 + 14 * nth)
        parts.append(
            pd.DataFrame(
                {
                    "teacher": np.sort(who),
                    "programme": programme,
                    "start": start,
                    "end": start + timedelta(days=28),
                    "hours": HOURS[programme],
                    "role": role,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
