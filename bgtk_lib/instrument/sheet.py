"""Answers as an answer sheet, persons × items, marked with the key; and one item taken out of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bgtk_lib.instrument.classical import Floats

OMITTED, NOT_REACHED, NOT_PRESENTED = -1, -2, -3
NO_OPTION = {"omitted": OMITTED, "not_reached": NOT_REACHED, "not_presented": NOT_PRESENTED}


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """The answers to one form.

    Attributes
    ----------
    session_ids, item_ids : Index
        Rows and columns of `chosen`, in the order they first stand in the answers.
    options : list of str
        Every option of the form, each once after folding case and blanks, by spelling.
    chosen : array of int (persons, items)
        Place in `options`, or ``OMITTED``, ``NOT_REACHED``, ``NOT_PRESENTED`` (also where the answers have no row).
    """

    session_ids: pd.Index[Any]
    item_ids: pd.Index[Any]
    options: list[str]
    chosen: NDArray[np.int64]

    def place(self, texts: Iterable[object]) -> NDArray[np.int64]:
        """Return the place of each text in `options`, of which each must be one."""
        places = {fold(option): at for at, option in enumerate(self.options)}
        return np.array([places[fold(text)] for text in texts], dtype=np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Marked:
    """A sheet with its key.

    Attributes
    ----------
    sheet : Sheet
        Who chose what.
    worth : array (items, options)
        What each option earns; null throughout for an item without a key.
    offered : array of bool (items, options)
        Chosen by somebody, keyed, or declared as offered.
    credit : array (persons, items)
        Null where not presented or without a key; 0 where omitted or not reached.
    points, n_marked : array (persons,)
        Sum of the credit, and how many items it is of.
    """

    sheet: Sheet
    worth: Floats
    offered: NDArray[np.bool_]
    credit: Floats
    points: Floats
    n_marked: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """One item of a marked sheet, for the persons it was presented to.

    Attributes
    ----------
    options : list of str or None
        The options it offers, then None twice: for omitted and for not reached.
    keyed : array of bool (options,)
        Whether choosing it earns anything.
    made : array of bool (persons, options)
        Who chose it.
    credit : array (persons,)
        As in `Marked`.
    rest : array (persons,)
        Mean credit on the other items, null where there is none.
    """

    options: list[str | None]
    keyed: NDArray[np.bool_]
    made: NDArray[np.bool_]
    credit: Floats
    rest: Floats

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Which of `options` are options that earn nothing."""
        wrong: NDArray[np.bool_] = np.array([option is not None for option in self.options]) & ~self.keyed
        return wrong


def fold(text: object) -> str:
    """Return what two spellings of one option share: no blanks at the ends, no case."""
    return str(text).strip().casefold()


def read_sheet(answers: pd.DataFrame, *, options: Iterable[object] = ()) -> Sheet:
    """Return the answers of one form as a sheet.

    Parameters
    ----------
    answers : DataFrame
        session_id, item_id, raw, state, at most one row a session and item. An answered row without text is omitted.
    options : iterable of str
        Options beside those that were chosen, e.g. the key's.

    Examples
    --------
    >>> answers = pd.DataFrame({"session_id": list("pqq"), "item_id": ["b1", "b1", "b2"], "raw": ["a", "B", None]})
    >>> sheet = read_sheet(answers.assign(state=["answered", "answered", "omitted"]), options=["A"])
    >>> sheet.options, sheet.chosen.tolist()
    (['A', 'B'], [[0, -3], [1, -1]])
    """
    person, session_ids = pd.factorize(answers["session_id"])
    item, item_ids = pd.factorize(answers["item_id"])
    raw, spellings = pd.factorize(answers["raw"])
    written = sorted({str(text).strip() for text in [*spellings, *options]}, reverse=True)
    names = sorted({fold(text): text for text in written}.values())  # of several spellings the first stays
    places = {fold(name): at for at, name in enumerate(names)}
    of_spelling = [places[fold(text)] for text in spellings]
    code = np.array([*of_spelling, OMITTED], dtype=np.int64)[raw]  # no text has −1: the last
    state = answers["state"].to_numpy()
    for name, absent in NO_OPTION.items():
        code[state == name] = absent
    chosen = np.full((len(session_ids), len(item_ids)), NOT_PRESENTED, dtype=np.int64, order="F")  # read by item
    chosen[person, item] = code
    return Sheet(session_ids=pd.Index(session_ids), item_ids=pd.Index(item_ids), options=names, chosen=chosen)


def mark_sheet(answers: pd.DataFrame, key: pd.DataFrame, options: Sequence[str] = ()) -> Marked:
    """Return answers as a sheet with what each earns.

    Parameters
    ----------
    answers : DataFrame
        session_id, item_id, raw, state of one form.
    key : DataFrame
        item_id, correct and, if not everything earns 1, credit; several rows for an item with several right answers.
        Items that are not in the answers are ignored.
    options : sequence of str
        What every item offers, beside its key and what was chosen.
    """
    keys = key[key["item_id"].isin(answers["item_id"].unique())]
    sheet = read_sheet(answers, options=[*keys["correct"], *options])
    worth = np.full((len(sheet.item_ids), len(sheet.options)), np.nan)
    at = sheet.item_ids.get_indexer(pd.Index(keys["item_id"]))
    worth[at] = 0
    earned = keys["credit"].fillna(1.0).to_numpy(dtype=float) if "credit" in keys else np.ones(len(keys))
    np.maximum.at(worth, (at, sheet.place(keys["correct"])), earned)

    given = sheet.chosen >= 0
    _, item = np.nonzero(given)
    offered = worth > 0
    offered[:, sheet.place(options)] = True
    offered[item, sheet.chosen[given]] = True

    has_key = np.isin(np.arange(len(worth)), at)
    credit = np.where(has_key & (sheet.chosen != NOT_PRESENTED), 0.0, np.nan)
    credit[given] = worth[item, sheet.chosen[given]]
    points, n_marked = np.nansum(credit, axis=1), (~np.isnan(credit)).sum(axis=1)
    return Marked(sheet=sheet, worth=worth, offered=offered, credit=credit, points=points, n_marked=n_marked)


def take_item(marked: Marked, item: int) -> Choice:
    """Return one item, by its place in `item_ids`."""
    chosen = marked.sheet.chosen[:, item]
    shown = chosen != NOT_PRESENTED
    options = np.flatnonzero(marked.offered[item])
    credit = marked.credit[shown, item]
    n_others = marked.n_marked[shown] - ~np.isnan(credit)
    points = marked.points[shown] - np.nan_to_num(credit)
    return Choice(
        options=[*(marked.sheet.options[option] for option in options), None, None],
        keyed=np.append(marked.worth[item, options] > 0, [False, False]),
        made=chosen[shown, None] == np.append(options, [OMITTED, NOT_REACHED]),
        credit=credit,
        rest=np.divide(points, n_others, where=n_others > 0, out=np.full(len(points), np.nan)),
    )
