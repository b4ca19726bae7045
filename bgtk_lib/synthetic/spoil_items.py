"""Faults in items: a key that is wrong, anchors that drifted, are too few, or are not the same item for everyone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from bgtk_lib.synthetic.curves import GRID, score_curve
from bgtk_lib.synthetic.edits import find_test, form_of
from bgtk_lib.synthetic.exports import FORMS, KEYS, Exports, write_answers
from bgtk_lib.synthetic.forms import (
    OPTIONS,
    Form,
    build_form,
    choose_options,
    list_anchors,
    rank_by_information,
    solve_chances,
)
from bgtk_lib.synthetic.sittings import PHONE
from bgtk_lib.synthetic.spoil_tests import POST, POST_II

PRE, PRE_II = "p1-pre", "p2-pre"


def misprint_key(exports: Exports, rng: np.random.Generator) -> Exports:  # noqa: ARG001 - nothing is drawn
    """Register the strongest wrong option of one good item as its key: whoever knows the answer is now wrong."""
    form = build_form(form_of(exports[find_test(exports, POST, "KEP")]))
    item = next(item for item in rank_by_information(form.a, form.b) if not form.on_phone[item])
    wrong = OPTIONS[np.argmax(np.diff(form.lure[item], prepend=0.0))]
    keys = exports[KEYS].copy()
    keys.loc[keys["Kode Butir"] == form.item_ids[item], "Kunci"] = wrong
    return exports | {KEYS: keys}


def drift_anchors(exports: Exports, rng: np.random.Generator) -> Exports:
    """Move four more anchors by a logit after, in turns harder and easier: with the two that had drifted, half of all."""
    path, form, drift = _find_anchors(exports, PRE, POST)
    stayed = [
        form.item_ids[item] for item in rank_by_information(form.a, form.b) if drift.get(form.item_ids[item]) == 0
    ]
    by = {code: 1.0 if nth % 2 else -1.0 for nth, code in enumerate(stayed[: len(drift) // 2 - 2])}
    return exports | {path: move_items(exports[path], form, by=by, rng=rng)}


def part_anchors(exports: Exports, rng: np.random.Generator) -> Exports:  # noqa: ARG001 - nothing is drawn
    """Register six of the twelve anchors, those that drifted among them, as new items of the later form."""
    _, form, drift = _find_anchors(exports, PRE, POST)
    first = form_of(exports[find_test(exports, PRE, "SSL")])
    gone = sorted(drift, key=lambda code: (not drift[code], code))[: len(drift) // 2]
    renamed = {code: code.replace(first, form.name) for code in gone}
    forms, keys = exports[FORMS].copy(), exports[KEYS]
    here = forms["Paket"] == form.name
    forms.loc[here, "Kode Butir"] = forms.loc[here, "Kode Butir"].replace(renamed)
    added = keys[keys["Kode Butir"].isin(gone)].assign(**{"Kode Butir": lambda table: table["Kode Butir"].map(renamed)})
    return exports | {FORMS: forms, KEYS: pd.concat([keys, added], ignore_index=True)}


def tilt_anchor(exports: Exports, rng: np.random.Generator) -> Exports:
    """Make one anchor harder by 1.2 logits for who sits at a phone, in both waves of a phase: it does not drift."""
    _, form, drift = _find_anchors(exports, PRE_II, POST_II)
    chosen = next(
        form.item_ids[item] for item in rank_by_information(form.a, form.b) if drift.get(form.item_ids[item]) == 0
    )
    edited: Exports = {}
    for wave in (PRE_II, POST_II):
        table = exports[path := find_test(exports, wave, "SSL")]
        harder = move_items(table, build_form(form_of(table)), by={chosen: 1.2}, rng=rng)
        edited[path] = table.where(table["Perangkat"] != PHONE, harder)
    return exports | edited


def move_items(table: pd.DataFrame, form: Form, *, by: Mapping[str, float], rng: np.random.Generator) -> pd.DataFrame:
    """Return a test with some items harder: some right answers turned wrong, or the other way round.

    Parameters
    ----------
    table : DataFrame
        The export of one form.
    form : Form
        Which.
    by : mapping
        Item code → logits by which it becomes harder; easier where negative.
    rng : Generator
        Source of randomness.

    Notes
    -----
    True ability is not in an export: the one whose expected score is the score of the row stands for it. A right answer
    stays right with chance P'/P, a wrong one stays wrong with (1 - P')/(1 - P); what was left out stays left out.
    """
    columns = [f"Soal {number}" for number in range(1, form.n_items + 1)]
    letters = table[columns].to_numpy(dtype=object)
    keys = write_answers(form.key)
    right = letters == keys
    chance = solve_chances(np.interp(right.sum(axis=1), score_curve(form.name).first, GRID), form)
    moved = expit(logit(chance) - form.a * np.array([by.get(code, 0.0) for code in form.item_ids]))
    draws = rng.random(right.shape)
    lost = right & (draws > moved / chance)
    won = ~right & np.isin(letters, list(OPTIONS)) & (draws > (1 - moved) / (1 - chance))
    wrong = write_answers(choose_options(np.zeros_like(right), form, omitted=0, not_reached=0, rng=rng))
    now = np.where(lost, wrong, np.where(won, keys, letters))
    return table.assign(**dict(zip(columns, now.T, strict=True))).astype(object)


def _find_anchors(exports: Exports, pre: str, post: str) -> tuple[str, Form, dict[str, float]]:
    """Return where the later test lies, its form, and how far each anchor has already drifted."""
    path = find_test(exports, post, "SSL")
    form = build_form(form_of(exports[path]))
    return path, form, list_anchors(form_of(exports[find_test(exports, pre, "SSL")]), form.name)
