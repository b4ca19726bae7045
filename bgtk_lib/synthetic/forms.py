"""The test forms: items of known difficulty, keys and distractors. A form is the same in every province.

The items of a form come from a seed made of the form's name alone, so that replications differ in persons only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from bgtk_lib.synthetic.design import GENERAL

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]

N_GENERAL, N_SUBJECT = 30, 40
OPTIONS = "ABCDE"
OMITTED, NOT_REACHED = -1, -2
DISCRIMINATION_SD = 0.2  # of log a: mild
DIFFICULTY = (-0.2, 1.0)  # mean and SD of b: slightly easy
INDICATORS = {"PED": "PED", "KEP": "KEP", "SSL": "SOS"}  # first letters of the framework's codes; subjects: PRO
LONGEST_TAIL = 0.15  # of the items may be not reached


@dataclass(frozen=True, kw_only=True)
class Form:
    """One test form.

    Attributes
    ----------
    name, assessment : str
        E.g. ``PED-1`` and ``PED``.
    a, b : array of float
        Discrimination (logistic metric) and difficulty of each item.
    key : array of int8
        Position of the right option, 0 for A.
    lure : array of float, items by options
        Cumulated shares of the wrong options among wrong answers.
    indicators : tuple of str
        Framework code of each item.
    """

    name: str
    assessment: str
    a: Floats
    b: Floats
    key: Codes
    lure: Floats
    indicators: tuple[str, ...]

    @property
    def n_items(self) -> int:
        """Number of items, which is the highest number correct."""
        return len(self.a)

    @property
    def item_ids(self) -> list[str]:
        """Item codes, e.g. ``PED-1-007``."""
        return [f"{self.name}-{number:03d}" for number in range(1, self.n_items + 1)]


@cache
def build_form(name: str) -> Form:
    """Return the form of a name such as ``PED-1``; always the same one."""
    assessment = name.split("-", maxsplit=1)[0]
    rng = np.random.default_rng([2_025, *name.encode()])
    k = N_GENERAL if assessment in GENERAL else N_SUBJECT
    key = rng.permutation(np.arange(k) % len(OPTIONS)).astype(np.int8)
    lure = rng.dirichlet([1.5] * len(OPTIONS), k)
    lure[np.arange(k), key] = 0
    prefix = INDICATORS.get(assessment, "PRO")
    # The middles of k equal slices of the normal curve in random order: every form has the same spread of difficulty.
    spread = ndtri((np.arange(k) + 0.5) / k)
    return Form(
        name=name,
        assessment=assessment,
        a=np.exp(DISCRIMINATION_SD * rng.permutation(spread)),
        b=DIFFICULTY[0] + DIFFICULTY[1] * rng.permutation(spread) + rng.normal(0, 0.1, k),
        key=key,
        lure=np.cumsum(lure / lure.sum(axis=1, keepdims=True), axis=1),
        indicators=tuple(f"{prefix}{1 + number % 3}" for number in range(k)),
    )


def give_answers(theta: Floats, form: Form, *, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return right or wrong, persons by items: P(right) = 1 / (1 + exp(-a (theta - b)))."""
    draws = rng.random((len(theta), form.n_items))
    return np.asarray(draws < expit(form.a * (theta[:, None] - form.b)))


def choose_options(
    right: NDArray[np.bool_], form: Form, *, omitted: float, not_reached: float, rng: np.random.Generator
) -> Codes:
    """Return what each person marked: 0-4 for A-E, -1 crossed out, -2 not reached.

    Parameters
    ----------
    right : array of bool, persons by items
        Who solves what.
    form : Form
        Its key and lures.
    omitted, not_reached : float
        Share of all answers that are crossed out; share of persons who do not reach the end. Only answers that would
        have been wrong are touched; the number correct is that of `right`.
    rng : Generator
        Source of randomness.
    """
    n, k = right.shape
    draws = rng.random((n, k))
    marked = np.zeros((n, k), dtype=np.int8)
    for option in range(len(OPTIONS) - 1):
        marked += draws > form.lure[:, option]
    marked = np.where(right, form.key, marked).astype(np.int8)
    wrong_share = max(1 - float(right.mean()), 1e-9) if n else 1.0
    marked[(rng.random((n, k)) < omitted / wrong_share) & ~right] = OMITTED
    tail = np.minimum(np.argmax(right[:, ::-1], axis=1), int(LONGEST_TAIL * k))  # wrong answers at the end
    able = tail > 0
    chance = min(not_reached / max(float(able.mean()), 1e-9), 1.0) if n else 0.0
    stops = able & (rng.random(n) < chance)
    marked[stops[:, None] & (np.arange(k) >= (k - tail)[:, None])] = NOT_REACHED
    return marked
