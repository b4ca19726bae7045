"""The answers to one form as they leave: one row a person and item, scored, under fresh ids, without the key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bgtk_lib.errors import ParameterError
from bgtk_lib.exports.request import Request
from bgtk_lib.instrument.review import FormSheet
from bgtk_lib.schema import conform
from bgtk_lib.stages.persons import describe_sittings
from bgtk_lib.stages.review import lay_sheets
from bgtk_lib.words import plain, say
from bgtk_lib.workspace import Workspace

LONG_COLUMNS = ["id", "item", "resp", "wave"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Gathered:
    """The accepted answers to one form.

    Attributes
    ----------
    sheets : mapping
        Wave → its answers, in the order in which the workspace declares the waves.
    sittings : DataFrame
        One row a sitting that was presented anything, with session_id, pid, wave, start and what `describe_sittings` knows.
    """

    sheets: Mapping[str, FormSheet]
    sittings: pd.DataFrame


def gather_answers(workspace: Workspace, request: Request) -> Gathered:
    """Return the accepted answers that an export asks for.

    Raises
    ------
    ParameterError
        If a wave has no answers to the form, or the form none at all, or its items no key.
    """
    session = workspace.read_accepted("session")
    session = conform(pd.DataFrame(), "session") if session is None else session
    known = describe_sittings(workspace, session)
    found = {place.wave: sheet for place, sheet in lay_sheets(workspace, known) if place.form == request.form}
    lacking = [wave for wave in request.waves if wave not in found]
    if lacking or not found:
        facts = {
            "form": request.form,
            "waves": plain(", ".join(lacking) or "–"),
            "known": plain(", ".join(found) or "–"),
        }
        raise ParameterError(say("exports.no_answers", **facts))
    chosen = request.waves or tuple(wave for wave in workspace.declared.waves if wave in found)
    sheets = {wave: found[wave] for wave in chosen}
    sat = [session for sheet in sheets.values() for session in sheet.credit.index[sheet.credit.notna().any(axis=1)]]
    return Gathered(sheets=sheets, sittings=known[known["session_id"].isin(sat)].reset_index(drop=True))


def lay_answers(
    sheets: Mapping[str, FormSheet],
    ids: pd.Series[str],
    *,
    waves: Mapping[str, str] | Mapping[str, int],
    without: Sequence[str] = (),
) -> pd.DataFrame:
    """Return answers as rows: id, item, resp, wave, and rt where anybody's time is known.

    Parameters
    ----------
    sheets : mapping
        Wave → answers.
    ids : Series
        Session → fresh id; sessions that are not in it are left out.
    waves : mapping
        Wave → how it is written.
    without : sequence of str
        Items left out.

    Returns
    -------
    DataFrame
        Sorted by id, so that persons stand in random order, then wave and item. `resp`: credit; 0 where omitted or not
        reached, as scored; no row where not presented. `rt`: seconds, null where not known.
    """
    parts = [_lay_wave(sheet, ids, without).assign(wave=waves[wave]) for wave, sheet in sheets.items()]
    table = pd.concat(parts, ignore_index=True)
    items = pd.Index(table["item"].unique())  # in the order of the form
    table = table.assign(order=items.get_indexer(pd.Index(table["item"])))
    table = table.sort_values(["id", "wave", "order"], kind="stable", ignore_index=True).drop(columns="order")
    if (table["resp"] % 1 == 0).all():
        table = table.astype({"resp": "int64"})
    return table[[*LONG_COLUMNS, *(["rt"] if table["rt"].notna().any() else [])]]


def describe_items(sheets: Mapping[str, FormSheet]) -> pd.DataFrame:
    """Return what is registered of the items: item, itemcov_framework, itemcov_position; only columns that hold anything."""
    register = next(iter(sheets.values())).register.drop_duplicates("item_id")
    named = {"item_id": "item", "framework": "itemcov_framework", "position": "itemcov_position"}
    facts = register[[*named]].rename(columns=named).astype({"item": "str"})
    return facts.loc[:, (facts.columns == "item") | facts.notna().any().to_numpy()]


def _lay_wave(sheet: FormSheet, ids: pd.Series[str], without: Sequence[str]) -> pd.DataFrame:
    """Return the rows of one wave: id, item, resp, rt."""
    place = sheet.register.drop_duplicates("item_id").set_index("item_id")["position"]
    items = [item for item in sheet.credit.columns if item not in without]
    items = sorted(items, key=lambda item: place.get(item, default=np.inf))  # unregistered ones stay as they are, last
    credit = sheet.credit.loc[sheet.credit.index.isin(ids.index), items]
    rows = credit.reset_index().melt(id_vars="session_id", var_name="item", value_name="resp").dropna(subset="resp")
    rows = rows.astype({"session_id": "str", "item": "str"})
    if "milliseconds" in sheet.answers:
        times = sheet.answers[["session_id", "item_id", "milliseconds"]].rename(columns={"item_id": "item"})
        times = times.astype({"session_id": "str", "item": "str"})
        rows = rows.merge(times, on=["session_id", "item"], how="left", validate="one_to_one")
        rows["rt"] = rows.pop("milliseconds").astype("float64") / 1000
    else:
        rows["rt"] = np.nan
    return rows.assign(id=rows["session_id"].map(ids)).drop(columns="session_id")
