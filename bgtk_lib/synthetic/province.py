"""A province of teachers, drawn from the model: all that the raw exports are written from, and the planted truth.

True model: ability of SD 1 before; mean change 0.20 SD with districts spread by 0.05, schools by 0.08, persons by
0.35 (`model`); items dichotomous, two-parameter logistic, the same form before and after, or for SSL one that shares 12
items with it (`forms`); 18 % are not there after, the weaker more often. Programmes have an effect in one scenario only
(`rosters`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.synthetic.design import (
    GENERAL,
    KKA_ATTENDING,
    KKA_SEATS,
    OCCASIONS,
    SUBJECTS,
    Design,
    Phase,
    count_districts,
    count_subjects,
    form_name,
    share_out,
    wave_day,
    wave_name,
)
from bgtk_lib.synthetic.forms import Codes, build_form, give_answers, solve_chances
from bgtk_lib.synthetic.model import Effects, add_gain, chance_of_leaving, draw_abilities, draw_effects
from bgtk_lib.synthetic.people import Placement, average_school, draw_identities, draw_schools, place_teachers
from bgtk_lib.synthetic.rosters import Programmes, draw_programmes, draw_training, list_invited
from bgtk_lib.synthetic.sittings import PHONE, Sheet, draw_occasions, hold_sitting
from bgtk_lib.synthetic.truth import Truth, compute_truth
from bgtk_lib.synthetic.workshop import NO_WORKSHOP, Workshop, draw_workshop


@dataclass(frozen=True, kw_only=True)
class Province:
    """A drawn province.

    Attributes
    ----------
    design : Design
        What it was drawn from.
    schools : DataFrame
        npsn, name, phase, form, public, district, subdistrict, lat, lon.
    teachers : DataFrame
        Index: number of the teacher. phase, npsn, other_npsn, district, subject, comes (sits before), leaves (does
        not sit after), identifiers and facts of Dapodik.
    rosters : DataFrame
        wave, teacher, assessment: who was invited.
    sittings : DataFrame
        One row a session: wave, assessment, form_id, teacher, start, end, attempt, device, venue, row.
    answers : dict
        (assessment, wave) → what was marked, sessions by items; `sittings.row` is the row. 0-4 for A-E, -1 crossed
        out, -2 not reached.
    programmes : dict
        Phase → who took part in which programme.
    workshop : Workshop
        Of persons who are no `teachers`; empty but in `programme_effects`.
    effects : Effects
        What was drawn for the districts.
    truth : dict
        (assessment, phase) → Truth.
    """

    design: Design
    schools: pd.DataFrame
    teachers: pd.DataFrame
    rosters: pd.DataFrame
    sittings: pd.DataFrame
    answers: dict[tuple[str, str], Codes]
    programmes: dict[Phase, Programmes]
    workshop: Workshop
    effects: Effects
    truth: dict[tuple[str, Phase], Truth]

    @property
    def training(self) -> pd.DataFrame:
        """Everyone who took part: teacher, programme, start, end, hours, role, sessions, assignment."""
        parts = [took.training for took in self.programmes.values()]
        return pd.concat([*parts, self.workshop.training], ignore_index=True)

    @property
    def applicants(self) -> pd.DataFrame:
        """Everyone who applied for a seat: teacher, programme, call, applied, stratum, drawn, attended."""
        return pd.concat([took.applicants for took in self.programmes.values()], ignore_index=True)


@dataclass(frozen=True, kw_only=True)
class ScorePairs:
    """One draw of one assessment in one phase, as number correct.

    Attributes
    ----------
    pairs : DataFrame
        score_pre, score_post, district, npsn: those there before and after; of two forms where there are two.
    leavers : DataFrame
        score_pre, district, npsn: those there before only.
    truth : Truth
        Given the districts' effects of this draw.
    """

    pairs: pd.DataFrame
    leavers: pd.DataFrame
    truth: Truth


def draw_pairs(
    design: Design, *, assessment: str, phase: Phase, n_teachers: int | None = None, rng: np.random.Generator
) -> ScorePairs:
    """Return the scores before and after of one assessment in one phase, in a few milliseconds.

    Parameters
    ----------
    design : Design
        Constants and scenario; its seed is not used. Districts' effects are drawn anew.
    assessment, phase : str
        Of what.
    n_teachers : int, optional
        How many sit before; by default as many as the design has. Districts keep their shares.
    rng : Generator
        Source of randomness.
    """
    everyone = count_districts(design, phase)
    whole = sum(everyone.values())
    share = 1.0 if assessment in GENERAL else count_subjects(design, phase)[assessment] / whole
    wanted = round(whole * share) if n_teachers is None else n_teachers
    counts = everyone if wanted == whole else share_out(wanted, everyone)
    codes = ("PED",) if assessment == "PED" else ("PED", assessment)
    effects = draw_effects(design, assessments=codes, rng=rng)
    per_school = average_school(design, phase, share=share)
    placement = place_teachers(counts, order=effects.districts, per_school=per_school, rng=rng)
    ability = draw_abilities(design, effects, district=placement.district, school=placement.school, rng=rng)
    if design.gain("PED"):
        ability = add_gain(design, ability, attends=rng.random(wanted) < KKA_SEATS * KKA_ATTENDING)
    first, second = (build_form(form_name(assessment, phase, occasion)) for occasion in OCCASIONS)
    gate = build_form(form_name("PED", phase))
    before = give_answers(ability.before[assessment], first, rng=rng).sum(axis=1)
    gate_score = before if assessment == "PED" else give_answers(ability.before["PED"], gate, rng=rng).sum(axis=1)
    after = give_answers(ability.after[assessment], second, rng=rng).sum(axis=1)
    chance = chance_of_leaving(design, form=gate.name, theta=ability.before["PED"], score=gate_score)
    leaves = rng.random(len(before)) < chance
    frame = pd.DataFrame(
        {
            "score_pre": before,
            "score_post": after,
            "district": np.array(effects.districts, dtype=object)[placement.district],
            "npsn": np.array([f"99{i:06d}" for i in range(len(placement.school_district))])[placement.school],
        }
    )
    return ScorePairs(
        pairs=frame[~leaves].reset_index(drop=True),
        leavers=frame.loc[leaves, ["score_pre", "district", "npsn"]].reset_index(drop=True),
        truth=compute_truth(design, effects, assessment=assessment, phase=phase, counts=counts),
    )


def draw_province(design: Design) -> Province:
    """Return a whole province; the same design gives the same province."""
    streams = np.random.SeedSequence(design.seed).spawn(2 + 3 * len(design.phases))
    of_programmes, of_workshop = streams[1 + 2 * len(design.phases) : -1], streams[-1]
    codes = tuple(dict.fromkeys(("PED", *design.assessments)))
    effects = draw_effects(design, assessments=codes, rng=np.random.default_rng(streams[0]))
    parts = []
    first = 0
    for nth, phase in enumerate(design.phases):
        chosen = (*streams[1 + 2 * nth : 3 + 2 * nth], of_programmes[nth])
        part = _draw_phase(design, effects, phase=phase, rngs=[np.random.default_rng(stream) for stream in chosen])
        part["teachers"].index += first
        for name in ("rosters", "sittings"):
            part[name]["teacher"] += first
        part["programmes"] = part["programmes"].number_from(first)
        first += len(part["teachers"])
        parts.append(part)
    frames = {
        name: pd.concat([part[name] for part in parts], ignore_index=name != "teachers")
        for name in ("schools", "teachers", "rosters", "sittings")
    }
    workshop = NO_WORKSHOP
    if design.scenario == "programme_effects":
        start = wave_day("I", "pre") + timedelta(days=90)
        workshop = draw_workshop(first, start=start, rng=np.random.default_rng(of_workshop))
    return Province(
        design=design,
        **frames,
        programmes={phase: part["programmes"] for phase, part in zip(design.phases, parts, strict=True)},
        workshop=workshop,
        answers={key: matrix for part in parts for key, matrix in part["answers"].items()},
        effects=effects,
        truth={key: value for part in parts for key, value in part["truth"].items()},
    )


def _draw_phase(design: Design, effects: Effects, *, phase: Phase, rngs: list[np.random.Generator]) -> dict[str, Any]:
    """Return one phase's frames; teachers are numbered from 0, those who sit first, then the absent.

    `rngs`: of people, of answers, and of programmes that have effects, so that these change nothing else.
    """
    people, answering, choosing = rngs
    counts = count_districts(design, phase)
    per_school = average_school(design, phase)
    placement = place_teachers(counts, order=effects.districts, per_school=per_school, rng=people)
    schools = draw_schools(placement, phase=phase, order=effects.districts, rng=people)
    teachers = _draw_teachers(design, placement, schools, phase=phase, rng=people)
    n = int(teachers["comes"].sum())
    ability = draw_abilities(design, effects, district=placement.district, school=placement.school, rng=answering)
    members = {
        code: np.arange(n) if code in GENERAL else np.flatnonzero(teachers["subject"].to_numpy()[:n] == code)
        for code in dict.fromkeys(("PED", *design.taken(phase)))
    }
    draws = {  # what is solved where the chance is higher
        (code, occasion): answering.random((len(who), build_form(form_name(code, phase, occasion)).n_items))
        for code, who in members.items()
        for occasion in OCCASIONS
    }
    gate = build_form(form_name("PED", phase))
    score = (draws["PED", "pre"] < solve_chances(ability.before["PED"], gate)).sum(axis=1)
    chance = chance_of_leaving(design, form=gate.name, theta=ability.before["PED"], score=score)
    leaves = answering.random(n) < chance
    teachers["leaves"] = np.concatenate([leaves, np.zeros(len(teachers) - n, dtype=bool)])
    if design.scenario == "programme_effects":
        took = draw_programmes(teachers, scores=score, theta=ability.before["PED"], phase=phase, rng=choosing)
    else:
        took = draw_training(design, teachers, scores=score, phase=phase, rng=people)
    attending = took.training.loc[took.training["programme"] == "KKA", "teacher"]
    ability = add_gain(design, ability, attends=np.isin(np.arange(n), attending))
    districts = teachers["district"].to_numpy()
    sittings, answers = [], {}
    for occasion in OCCASIONS:
        theta = ability.before if occasion == "pre" else ability.after
        days = draw_occasions(n, design=design, rng=answering)
        for code in design.taken(phase):
            form, here = build_form(form_name(code, phase, occasion)), np.ones(len(members[code]), dtype=bool)
            if occasion == "post":
                here = ~leaves[members[code]]
            who = members[code][here]
            chances = solve_chances(theta[code][who], form, phone=days.device[who] == PHONE)
            sheet = Sheet(
                phase=phase, occasion=occasion, form=form, persons=who,
                theta=theta[code][who], right=draws[code, occasion][here] < chances,
            )  # fmt: skip
            held, marked = hold_sitting(sheet, occasions=days, districts=districts, design=design, rng=answering)
            sittings.append(held)
            answers[code, wave_name(phase, occasion)] = marked
    shares = {code: _count_members(teachers, who, counts) for code, who in members.items()}
    return {
        "schools": schools,
        "teachers": teachers,
        "rosters": list_invited(design, teachers, phase=phase),
        "sittings": pd.concat(sittings, ignore_index=True),
        "answers": answers,
        "programmes": took,
        "truth": {
            (code, phase): compute_truth(design, effects, assessment=code, phase=phase, counts=shares[code])
            for code in design.taken(phase)
        },
    }


def _draw_teachers(
    design: Design, placement: Placement, schools: pd.DataFrame, *, phase: Phase, rng: np.random.Generator
) -> pd.DataFrame:
    n = len(placement.school)
    absent = round(design.absent_share * n)
    school = np.concatenate([placement.school, rng.integers(0, len(schools), absent)])
    come = np.arange(n + absent) < n
    homes = schools.iloc[school].reset_index(drop=True)
    teachers = draw_identities(homes, phase=phase, come=come, rng=rng)
    if phase == "III":
        teachers["subject"] = ""
        teachers["kind_id"] = np.where((homes["form"] == "SD") & (rng.random(len(homes)) < 0.75), 3, 4)
    else:
        wanted = count_subjects(design, phase)
        listed = np.repeat(list(wanted), list(wanted.values())).astype(object)
        teachers["subject"] = np.concatenate([rng.permutation(listed), rng.choice(SUBJECTS, absent)])
        teachers["kind_id"] = np.where(teachers["subject"] == "BK", 5, 4)
    second = rng.random(n + absent) < 0.01
    elsewhere = schools["npsn"].to_numpy()[(school + 1) % len(schools)]
    return teachers.assign(
        phase=phase,
        npsn=homes["npsn"],
        district=homes["district"],
        other_npsn=np.where(second, elsewhere, ""),
        comes=come,
    )


def _count_members(teachers: pd.DataFrame, who: np.ndarray, counts: dict[str, int]) -> dict[str, int]:
    found = teachers["district"].to_numpy()[who]
    return {code: int((found == code).sum()) for code in counts}
