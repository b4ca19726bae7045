"""The test forms: items of known difficulty, keys and distractors. A form is the same in every province.

The items of a form come from a seed made of the form's name alone, so that replications differ in persons only. A name
such as ``SSL-1B`` is the form that follows ``SSL-1``: some of its items are those of ``SSL-1`` (anchors), the others new.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from bgtk_lib.synthetic.design import GENERAL, LATER, PHONE_SHARE

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]

N_GENERAL, N_SUBJECT = 30, 40
OPTIONS = "ABCDE"
OMITTED, NOT_REACHED = -1, -2
DISCRIMINATION_SD = 0.2  # of log a: mild
DIFFICULTY = (-0.2, 1.0)  # mean and SD of b: slightly easy
INDICATORS = {"PED": "PED", "KEP": "KEP", "SSL": "SOS"}  # first letters of the framework's codes; subjects: PRO
LONGEST_TAIL = 0.15  # of the items may be not reached
HARDER_ON_PHONES = {"KEP": 0.8}  # assessment → logits by which one of its items is harder on a phone
ANCHOR_RANKS = (1, 4, 7, 8)  # by difficulty among the ten items of an indicator: 12 anchors, easy and hard ones
DRIFT = 0.8  # logits by which one anchor is harder the second time, and another easier: their mean stays
NEW_HARDER = 0.3  # logits by which the new items of a later form are harder: raw scores would show too little change


@dataclass(frozen=True, kw_only=True)
class Form:
    """One test form.

    Attributes
    ----------
    name, assessment : str
        E.g. ``PED-1`` and ``PED``.
    item_ids : tuple of str
        Item codes, e.g. ``PED-1-007``; an anchor has the code it has in the form before.
    a, b : array of float
        Discrimination (logistic metric) and difficulty of each item.
    on_phone : array of float
        By how much each item is harder on a phone, in logits: 0 but for an item with uniform DIF.
    key : array of int8
        Position of the right option, 0 for A.
    lure : array of float, items by options
        Cumulated shares of the wrong options among wrong answers.
    indicators : tuple of str
        Framework code of each item.
    """

    name: str
    assessment: str
    item_ids: tuple[str, ...]
    a: Floats
    b: Floats
    on_phone: Floats
    key: Codes
    lure: Floats
    indicators: tuple[str, ...]

    @property
    def n_items(self) -> int:
        """Number of items, which is the highest number correct."""
        return len(self.a)


@cache
def build_form(name: str) -> Form:
    """Return the form of a name such as ``PED-1``; always the same one."""
    return _renew_form(build_form(name.removesuffix(LATER))) if name.endswith(LATER) else _draw_form(name)


def _draw_form(name: str) -> Form:
    assessment = name.split("-", maxsplit=1)[0]
    rng = np.random.default_rng([2_025, *name.encode()])
    k = N_GENERAL if assessment in GENERAL else N_SUBJECT
    key = rng.permutation(np.arange(k) % len(OPTIONS)).astype(np.int8)
    lure = rng.dirichlet([1.5] * len(OPTIONS), k)
    lure[np.arange(k), key] = 0
    prefix = INDICATORS.get(assessment, "PRO")
    # The middles of k equal slices of the normal curve in random order: every form has the same spread of difficulty.
    spread = ndtri((np.arange(k) + 0.5) / k)
    a = np.exp(DISCRIMINATION_SD * rng.permutation(spread))
    b = DIFFICULTY[0] + DIFFICULTY[1] * rng.permutation(spread) + rng.normal(0, 0.1, k)
    on_phone = np.zeros(k)
    on_phone[rank_by_information(a, b)[0]] = HARDER_ON_PHONES.get(assessment, 0.0)
    return Form(
        name=name,
        assessment=assessment,
        item_ids=_number_items(name, k),
        a=a,
        b=b,
        on_phone=on_phone,
        key=key,
        lure=np.cumsum(lure / lure.sum(axis=1, keepdims=True), axis=1),
        indicators=tuple(f"{prefix}{1 + number % 3}" for number in range(k)),
    )


def _number_items(name: str, k: int) -> tuple[str, ...]:
    return tuple(f"{name}-{number:03d}" for number in range(1, k + 1))


def rank_by_information(a: Floats, b: Floats) -> NDArray[np.intp]:
    """Return the items in order of a² p (1 - p) at average ability, the most informative first."""
    chance = expit(-a * b)
    return np.argsort(-(a**2) * chance * (1 - chance), kind="stable")


def _renew_form(before: Form) -> Form:
    """Return the form that follows one: anchors at most two places away, two of them drifted; the others new."""
    new = _draw_form(f"{before.name}{LATER}")
    kept = _pick_anchors(before)
    harder, easier = [item for item in rank_by_information(before.a, before.b) if kept[item]][:2]
    b = before.b + np.where(kept, 0.0, NEW_HARDER)  # a new item is of the kind of the one whose place it takes
    b[harder] += DRIFT
    b[easier] -= DRIFT
    order = np.arange(before.n_items).reshape(-1, 3)[:, ::-1].ravel()
    return Form(
        name=new.name,
        assessment=before.assessment,
        item_ids=tuple((before if kept[item] else new).item_ids[item] for item in order),
        a=np.where(kept, before.a, new.a)[order],
        b=b[order],
        on_phone=np.where(kept, before.on_phone, new.on_phone)[order],
        key=np.where(kept, before.key, new.key)[order],
        lure=np.where(kept[:, None], before.lure, new.lure)[order],
        indicators=tuple(before.indicators[item] for item in order),
    )


def _pick_anchors(form: Form) -> NDArray[np.bool_]:
    """Return which items the next form has too: as many of each indicator, spread over its difficulties."""
    kept = np.zeros(form.n_items, dtype=bool)
    for code in set(form.indicators):
        same = np.flatnonzero(np.array(form.indicators) == code)
        kept[same[np.argsort(form.b[same])[list(ANCHOR_RANKS)]]] = True
    return kept


def list_anchors(before: str, after: str) -> dict[str, float]:
    """Return the item codes two forms share, with the logits by which each is harder the second time."""
    one, two = build_form(before), build_form(after)
    b = dict(zip(one.item_ids, one.b, strict=True))
    return {code: float(later - b[code]) for code, later in zip(two.item_ids, two.b, strict=True) if code in b}


def solve_chances(theta: Floats, form: Form, *, phone: Floats | float = PHONE_SHARE) -> Floats:
    """Return P(right) = 1 / (1 + exp(-a (theta - b))), persons by items; items may be harder on a phone.

    Parameters
    ----------
    theta : array of float
        True abilities.
    form : Form
        Its items.
    phone : array of float or float
        1 for who sits at a phone, 0 for who does not; or the share who do, where it is not known who.
    """
    chance = expit(form.a * (theta[:, None] - form.b))
    at = np.flatnonzero(form.on_phone)
    harder = expit(form.a[at] * (theta[:, None] - form.b[at] - form.on_phone[at]))
    chance[:, at] += np.reshape(phone, (-1, 1)) * (harder - chance[:, at])
    return np.asarray(chance)


def give_answers(
    theta: Floats, form: Form, *, phone: Floats | float = PHONE_SHARE, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return right or wrong, persons by items; parameters as those of `solve_chances`."""
    draws = rng.random((len(theta), form.n_items))
    return np.asarray(draws < solve_chances(theta, form, phone=phone))


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
