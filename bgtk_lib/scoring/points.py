"""Answers and keys → scores: number of points and percent of the maximum, defined once, for all waves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bgtk_lib.findings import Withheld
from bgtk_lib.words import say
from bgtk_lib.workspace.declaration import Form

SCORE_COLUMNS = ["session_id", "form_id", "points", "points_max", "score_pct", "n_items", "n_answered"]
NO_SCORES = pd.DataFrame(columns=SCORE_COLUMNS).astype(dict.fromkeys(SCORE_COLUMNS[2:], "float64"))
NO_SCORES = NO_SCORES.astype(dict.fromkeys(SCORE_COLUMNS[:2], "str"))
NONE_LOST = pd.DataFrame({"session_id": [], "reason": []}, dtype="str")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The scores of one form at one wave.

    Attributes
    ----------
    scores : DataFrame
        session_id, form_id, points, points_max, score_pct (0–100), n_items, n_answered.
    unscorable : DataFrame
        session_id, reason of every session without a score.
    unreviewed : Withheld or None
        Why nothing can be told of the items: no key, or a source that gives only totals; else None.
    """

    scores: pd.DataFrame
    unscorable: pd.DataFrame
    unreviewed: Withheld | None = None


def give_credit(answers: pd.DataFrame, key: pd.DataFrame | None, form: Form) -> pd.DataFrame:
    """Return credit: persons in rows (index session_id), items in columns, points earned.

    Parameters
    ----------
    answers : DataFrame
        session_id, item_id, raw, state of one form at one wave.
    key : DataFrame or None
        item_id, correct, credit; None for forms whose answers come scored.
    form : Form
        Its declaration.

    Notes
    -----
    An answer omitted or not reached earns nothing; an item not presented is null. An answer earns the credit of its
    key (1 where the register gives none) if it equals it after folding case and blanks.
    """
    sessions = pd.Index(answers["session_id"].astype(object).unique(), name="session_id")
    items = pd.Index(sorted(answers["item_id"].astype(object).unique()), name="item_id")
    rows = sessions.get_indexer(answers["session_id"].astype(object))
    columns = items.get_indexer(answers["item_id"].astype(object))
    raw = answers["raw"]
    values = (
        pd.Index(raw.cat.categories) if isinstance(raw.dtype, pd.CategoricalDtype) else pd.Index(raw.dropna().unique())
    )
    codes = values.get_indexer(raw.astype(object))
    if form.scored:
        worth = np.tile(
            pd.to_numeric(pd.Series(values, dtype="object"), errors="raise").to_numpy(dtype=float), (len(items), 1)
        )
    else:
        worth = _worth_of_options(values, items, key)
    credit = np.full((len(sessions), len(items)), np.nan)
    earned = np.where(codes >= 0, worth[columns, codes], 0.0) if len(values) else np.zeros(len(rows))
    given = (answers["state"] == "answered").to_numpy()
    presented = (answers["state"] != "not_presented").to_numpy()
    credit[rows[presented], columns[presented]] = np.where(given, earned, 0.0)[presented]
    return pd.DataFrame(credit, index=sessions, columns=items)


def _worth_of_options(values: pd.Index, items: pd.Index, key: pd.DataFrame | None) -> NDArray[np.float64]:
    """Return items × options: what each option earns; null for an item without a key."""
    worth = np.full((len(items), max(len(values), 1)), np.nan)
    if key is None:
        return worth
    folded = pd.Index([str(value).strip().casefold() for value in values])
    for entry in key.to_dict("records"):
        if entry["item_id"] in items:
            earned = 1.0 if pd.isna(entry["credit"]) else float(entry["credit"])
            right = folded == str(entry["correct"]).strip().casefold()
            at = items.get_loc(entry["item_id"])
            worth[at, : len(values)] = np.fmax(np.nan_to_num(worth[at, : len(values)]), earned * right)
    return worth


def score_form(answers: pd.DataFrame, *, key: pd.DataFrame | None, form: Form, form_id: str) -> Scored:
    """Return the total scores of one form at one wave.

    Parameters
    ----------
    answers : DataFrame
        session_id, item_id, raw, state.
    key : DataFrame or None
        item_id, correct, credit.
    form : Form
        Its declaration; a form that does not come scored needs a key for every item.
    form_id : str
        Its code.
    """
    credit = give_credit(answers, key, form)
    keyed = credit.notna().any() if len(credit) else pd.Series(dtype=bool)
    if not form.scored and (key is None or not set(credit.columns) <= set(key["item_id"])):
        lost = pd.DataFrame({"session_id": credit.index, "reason": "no_key"})
        return Scored(scores=NO_SCORES, unscorable=lost, unreviewed=Withheld(say("scoring.no_key", form=form_id)))
    highest = _highest_points(credit, key, form)
    given = answers["state"].eq("answered").groupby(answers["session_id"].astype(object)).sum()
    points = credit.sum(axis=1)
    scores = pd.DataFrame(
        {
            "session_id": credit.index.astype("str"),
            "form_id": form_id,
            "points": points.to_numpy(),
            "points_max": highest,
            "score_pct": 100 * points.to_numpy() / highest,
            "n_items": int(keyed.sum()),
            "n_answered": given.reindex(credit.index).to_numpy(),
        }
    )
    return Scored(scores=scores, unscorable=NONE_LOST)


def _highest_points(credit: pd.DataFrame, key: pd.DataFrame | None, form: Form) -> float:
    if form.scored or key is None:
        return float(np.nansum(np.maximum(credit.max(), 1.0)))
    here = key[key["item_id"].isin(credit.columns)]
    return float(here["credit"].fillna(1.0).groupby(here["item_id"]).max().sum())


def score_totals(totals: pd.DataFrame, *, form_id: str) -> Scored:
    """Return scores of sources that give only totals; their reliability cannot be computed.

    Parameters
    ----------
    totals : DataFrame
        session_id, points, points_max.
    """
    scores = totals.assign(form_id=form_id, score_pct=100 * totals["points"] / totals["points_max"])
    scores = scores.reindex(columns=SCORE_COLUMNS)  # how many items there were is not known
    return Scored(scores=scores, unscorable=NONE_LOST, unreviewed=Withheld(say("scoring.totals_only")))
