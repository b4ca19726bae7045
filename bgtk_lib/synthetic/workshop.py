"""A workshop of persons from elsewhere who sit no test: two raters score what they made, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.synthetic.people import draw_nuptk
from bgtk_lib.synthetic.rosters import lay_course

WORKSHOP, PERSONS, RATERS, SCORE_MAX = "OKU-PORTO", 24, ("P1", "P2"), 20
CRITERIA = ("Perencanaan", "Bukti karya", "Refleksi", "Tata kelola")
RUBRIC_GAIN, RUBRIC_SPREAD = 0.5, 0.3  # mean and SD of the change of a person's quality, in SD of it before
RUBRIC_MIDDLE, RUBRIC_SD = 11, 3.5  # points of a criterion
# Variance of a rater's total that is no person's: of the rater's view of a person, and of each criterion besides.
VIEW, CRITERION = 0.10, 0.30


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """A workshop of persons from elsewhere who sit no test.

    Attributes
    ----------
    persons : DataFrame
        nuptk, nik; index: numbers that no teacher has.
    training : DataFrame
        As of `Programmes`.
    rubric : DataFrame
        teacher, programme, occasion, rater, criterion, score, score_max.
    """

    persons: pd.DataFrame
    training: pd.DataFrame
    rubric: pd.DataFrame


NO_WORKSHOP = Workshop(
    persons=pd.DataFrame(columns=["nuptk", "nik"]),
    training=pd.DataFrame(),
    rubric=pd.DataFrame(columns=["teacher", "programme", "occasion", "rater", "criterion", "score", "score_max"]),
)


def draw_workshop(first: int, *, start: date, rng: np.random.Generator) -> Workshop:
    """Return a workshop whose portfolios two raters score before and after, with a planted gain.

    Parameters
    ----------
    first : int
        Number of its first person.
    start : date
        Of two days.
    rng : Generator
        Source of randomness.

    Notes
    -----
    With q the quality of a person's portfolio, of SD 1 before, a criterion's score is 11 + 3.5 (q + v + e), rounded,
    between 0 and 20; v is a rater's view of the person, e of the criterion besides. A rater's total of k criteria then
    has an intraclass correlation of 1 / (1 + var v + (var e) / k) before.
    """
    who = np.arange(first, first + PERSONS)
    before = rng.standard_normal(PERSONS)
    after = before + RUBRIC_GAIN + RUBRIC_SPREAD * rng.standard_normal(PERSONS)
    quality = np.stack([before, after])[:, :, None, None]
    view = VIEW**0.5 * rng.standard_normal((2, PERSONS, len(RATERS), 1))
    error = CRITERION**0.5 * rng.standard_normal((2, PERSONS, len(RATERS), len(CRITERIA)))
    points = np.clip(np.round(RUBRIC_MIDDLE + RUBRIC_SD * (quality + view + error)), 0, SCORE_MAX).astype(int)
    keys = pd.MultiIndex.from_product(
        [("Sebelum", "Sesudah"), who, RATERS, CRITERIA], names=["occasion", "teacher", "rater", "criterion"]
    )
    rubric = pd.DataFrame({"score": points.ravel()}, index=keys).reset_index()
    training = lay_course(who, WORKSHOP, start=start, assignment="unknown")
    return Workshop(
        persons=pd.DataFrame({"nuptk": draw_nuptk(PERSONS, rng=rng), "nik": ""}, index=who, dtype=object),
        training=training.assign(end=start + timedelta(days=1)),
        rubric=rubric.assign(programme=WORKSHOP, score_max=SCORE_MAX),
    )


def describe_workshop() -> dict[str, Any]:
    """Return what is planted: the gain in SD of the quality before, and the raters' agreement before."""
    icc = 1 / (1 + VIEW + CRITERION / len(CRITERIA))
    return {"on": "rubric", "effect": RUBRIC_GAIN, "icc": icc, "assignment": "unknown", "n": {"I": PERSONS}}
