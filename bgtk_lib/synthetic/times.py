"""How long each answer took, and who hurried: rapid guesses that change neither what is solved nor the model."""

from __future__ import annotations

import numpy as np

from bgtk_lib.synthetic.forms import NOT_REACHED, Codes, Floats, Form

TIMED = ("SSL",)  # assessments whose export has response times
ITEM_SD, PERSON_SD, ANSWER_SD = 0.25, 0.25, 0.40  # of log seconds
HURRIED = 0.03  # of the sessions
LAST_PART = 1 / 3  # of the items, in which they guess
RAPID_IF_WRONG, RAPID_IF_RIGHT = 0.8, 0.2  # so that about a quarter of the rapid answers are right
RAPID_SECONDS = (1.0, 5.0)


def draw_times(marked: Codes, form: Form, *, seconds: Floats, rng: np.random.Generator) -> Floats:
    """Return seconds, sessions by items; null where an item was not reached.

    Parameters
    ----------
    marked : array of int8, sessions by items
        What was marked.
    form : Form
        Of which.
    seconds : array of float
        How long each session took; the times of its items add up to that, but for those who hurried.
    rng : Generator
        Source of randomness.

    Notes
    -----
    Rapid answers fall on answers already given, more often on wrong ones: the scores are those of the model.
    """
    n, k = marked.shape
    pace = rng.normal(0, ITEM_SD, k) + rng.normal(0, PERSON_SD, (n, 1)) + rng.normal(0, ANSWER_SD, (n, k))
    times = np.where(marked == NOT_REACHED, np.nan, np.exp(pace))
    whole = np.nansum(times, axis=1, keepdims=True)
    times *= np.divide(seconds[:, None], whole, out=np.zeros((n, 1)), where=whole > 0)
    late = np.arange(k) >= round(k * (1 - LAST_PART))
    chance = np.where(marked == form.key, RAPID_IF_RIGHT, RAPID_IF_WRONG)
    hurried = rng.random((n, 1)) < HURRIED
    rapid = hurried & late & (marked >= 0) & (rng.random((n, k)) < chance)
    return np.asarray(np.where(rapid, rng.uniform(*RAPID_SECONDS, (n, k)), times))
