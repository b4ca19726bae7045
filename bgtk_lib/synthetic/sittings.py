"""When and where people sit, what breaks off and is tried again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bgtk_lib import schema
from bgtk_lib.synthetic.design import (
    CAPITAL,
    GENERAL,
    MAKE_UP_AFTER,
    PHONE_SHARE,
    Design,
    Occasion,
    Phase,
    wave_day,
    wave_name,
)
from bgtk_lib.synthetic.forms import NOT_REACHED, Codes, Floats, Form, choose_options, give_answers
from bgtk_lib.synthetic.model import Integers

SLOT_MINUTES = {"PED": 600, "KEP": 675, "SSL": 795}  # minutes after midnight; the own subject first
SUBJECT_SLOT = 480
AGAIN_SLOT = 885
LIMIT_MINUTES = {"general": 60, "subject": 90}
PHONE = "HP"
DEVICES = {PHONE: PHONE_SHARE, "Laptop": 0.45, "PC": 0.15, "Tablet": 0.05}
SITTING_COLUMNS = ("wave", "assessment", "form_id", "teacher", "start", "end", "attempt", "device", "venue", "row")


@dataclass(frozen=True, kw_only=True)
class Occasions:
    """What is drawn once for a person and a wave: the day's shift and the device.

    Attributes
    ----------
    later : array of bool
        Whether the person sits on the make-up day.
    device : array of str
        As the export writes it.
    """

    later: np.ndarray
    device: np.ndarray


def draw_occasions(n: int, *, design: Design, rng: np.random.Generator) -> Occasions:
    """Return make-up days and devices of the persons of one wave."""
    return Occasions(
        later=rng.random(n) < design.make_up_share,
        device=rng.choice(list(DEVICES), n, p=list(DEVICES.values())).astype(object),
    )


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Who sits one form in one wave, with what ability and what is solved.

    Attributes
    ----------
    phase, occasion : str
        Which wave.
    form : Form
        Which form.
    persons : array of int
        Positions of the persons among the phase's teachers.
    theta : array of float
        Their true abilities on that day.
    right : array of bool, persons by items
        What they solve.
    """

    phase: Phase
    occasion: Occasion
    form: Form
    persons: Integers
    theta: Floats
    right: np.ndarray


def hold_sitting(
    sheet: Sheet, *, occasions: Occasions, districts: np.ndarray, design: Design, rng: np.random.Generator
) -> tuple[pd.DataFrame, Codes]:
    """Return the sessions of one form in one wave and what was marked in each.

    Parameters
    ----------
    sheet : Sheet
        Who sits and solves what.
    occasions : Occasions
        Make-up days and devices, one entry a teacher of the phase.
    districts : array of str
        District of each teacher of the phase.
    design : Design
        Shares of what goes wrong.
    rng : Generator
        Source of randomness.

    Returns
    -------
    tuple of (DataFrame, array of int8)
        Columns as `SITTING_COLUMNS`; the rows of both agree. The first complete attempt is always the one that
        obeys the model. A first attempt that broke off has no end and at most half of its answers.
    """
    form, n = sheet.form, len(sheet.persons)
    shares = {"omitted": design.omitted_share, "not_reached": design.not_reached_share}
    marked = choose_options(sheet.right, form, **shares, rng=rng)
    once = _hold_once(sheet, occasions=occasions, districts=districts, rng=rng)
    tries = rng.random(n) < design.second_attempt_share
    first, second = once[tries], once[tries]
    broken = rng.random(len(first)) < 0.5
    first = first.assign(end=first["end"].where(~broken))
    start = second["start"].dt.normalize() + _seconds(AGAIN_SLOT, len(second), rng=rng)
    second = second.assign(attempt=2, start=start, end=start + (second["end"] - second["start"]))
    stopped = np.arange(form.n_items) >= rng.integers(2, form.n_items // 2, len(first))[:, None]
    phone = occasions.device[sheet.persons[tries]] == PHONE
    other = choose_options(give_answers(sheet.theta[tries], form, phone=phone, rng=rng), form, **shares, rng=rng)
    own, off = marked[tries], broken[:, None]
    frame = pd.concat([once[~tries], first, second], ignore_index=True)
    answers = np.concatenate([marked[~tries], np.where(off & stopped, NOT_REACHED, own), np.where(off, own, other)])
    order = np.lexsort((frame["attempt"], frame["teacher"]))
    frame = frame.iloc[order].reset_index(drop=True).assign(row=np.arange(len(frame)))
    return frame[list(SITTING_COLUMNS)], answers[order].astype(np.int8)


def _hold_once(sheet: Sheet, *, occasions: Occasions, districts: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    n, assessment, persons = len(sheet.persons), sheet.form.assessment, sheet.persons
    limit = LIMIT_MINUTES["general" if assessment in GENERAL else "subject"]
    day = np.datetime64(wave_day(sheet.phase, sheet.occasion), "s")
    shift = np.where(occasions.later[persons], np.timedelta64(MAKE_UP_AFTER, "s"), np.timedelta64(0, "s"))
    start = day + shift + _seconds(SLOT_MINUTES.get(assessment, SUBJECT_SLOT), n, rng=rng)
    return pd.DataFrame(
        {
            "wave": wave_name(sheet.phase, sheet.occasion),
            "assessment": assessment,
            "form_id": sheet.form.name,
            "teacher": persons,
            "start": start,
            "end": start + (rng.uniform(0.55, 0.99, n) * limit * 60).astype(int).astype("timedelta64[s]"),
            "attempt": 1,
            "device": occasions.device[persons],
            "venue": [_venue(code, int(i)) for code, i in zip(districts[persons], persons, strict=True)],
        }
    )


def _seconds(slot: int, n: int, *, rng: np.random.Generator) -> np.ndarray:
    return (slot * 60 + rng.integers(0, 600, n)).astype("timedelta64[s]")


def _venue(district: str, number: int) -> str:
    if district == CAPITAL:
        return ("SMAN 5 Bandar Lampung", "SMAN 9 Bandar Lampung")[number % 2]
    return f"Ruang Tes {schema.districts()['name'][district]}"
