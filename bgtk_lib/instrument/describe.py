"""What an instrument report says in numbers: findings as figures with stable names, and what the panel has to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from bgtk_lib.errors import Text
from bgtk_lib.findings import REVIEWING, Figure, Withheld
from bgtk_lib.instrument.dif.rules import explain
from bgtk_lib.instrument.flags import FEWEST_PERSONS
from bgtk_lib.instrument.model import Q3_OFFSET
from bgtk_lib.instrument.options import SURE
from bgtk_lib.words import say

# Figure → column, with the columns of its interval; unit.
ITEM_FIGURES: Mapping[str, tuple[str, str, str | None, str | None]] = {
    "difficulty": ("difficulty", "credit", "difficulty_low", "difficulty_high"),
    "sd": ("sd", "credit", None, None),
    "point_biserial": ("item_rest_r", "r", "r_low", "r_high"),
    "upper_lower": ("uli", "share", None, None),
    "alpha_if_deleted": ("alpha_if_deleted", "reliability", None, None),
    "omitted": ("share_omitted", "share", None, None),
    "not_reached": ("share_not_reached", "share", None, None),
    "rapid": ("share_rapid", "share", None, None),
    "a": ("a", "logit", None, None),
    "a_se": ("a_se", "logit", None, None),
    "b": ("b", "logit", None, None),
    "b_se": ("b_se", "logit", None, None),
    "infit": ("infit", "mean square", None, None),
    "outfit": ("outfit", "mean square", None, None),
    "s_x2": ("s_x2", "chi-square", None, None),
    "s_x2_p": ("s_x2_p", "p", None, None),
}
NUMBERS_OF_ITEMS = (
    "difficulty", "difficulty_low", "difficulty_high", "sd", "item_rest_r", "r_low", "r_high", "uli", "alpha_if_deleted",
)  # fmt: skip
FACT_UNITS = {
    **dict.fromkeys(("score_mean", "score_sd", "sem"), "points"), "loglik": "nats", "model_parameters": "parameters",
    **dict.fromkeys(("ability_mean", "ability_sd", "targeting"), "logit"), "separation": "ratio",
    **dict.fromkeys(("alpha", "omega", "split_half", "separation_reliability"), "reliability"),
    **dict.fromkeys(("marginal_reliability", "empirical_reliability"), "reliability"),
    **dict.fromkeys(("first_contrast", "contrast_limit"), "items of variance"),
    **dict.fromkeys(("contrast_correlation", "correlation_limit", "mean_q3", "q3_limit"), "r"),
}  # fmt: skip
DIF_METHODS = ("mantel_haenszel", "mantel")  # whose class stands for the item; logistic regression is shown beside
NO_CORRELATION = ("empty", "too_few", "all_right", "all_wrong", "constant")


def list_items(items: pd.DataFrame, steps: pd.DataFrame, dif: pd.DataFrame) -> list[Figure]:
    """Return every number about single items: `item.<id>.difficulty`, `.point_biserial`, `.a`, `.b` and so on.

    Parameters
    ----------
    items, steps, dif : DataFrame
        The tables of a review (`FormReview.tables`).

    Notes
    -----
    An item in two categories has one step: `.d` and `.d_se`. In more: `.d1`, `.b1` … A class of differential functioning is
    a letter; where three or more groups are compared, `where` names the focal one.
    """
    figures = [figure for row in items.to_dict("records") for figure in _list_item({str(k): v for k, v in row.items()})]
    counts = dict(zip(items["item_id"], items["n"], strict=True))
    for item, rows in steps.groupby("item_id") if "step" in steps else ():
        single = len(rows) == 1
        for step in rows.to_dict("records"):
            number = "" if single else str(int(step["step"]))
            for name in ("d", "d_se", *(() if single else ("b", "b_se"))):
                label = name.replace("_se", f"{number}_se") if "_se" in name else f"{name}{number}"
                if pd.notna(step[name]):
                    figures.append(_figure(f"item.{item}.{label}", float(step[name]), "logit", n=int(counts[item])))
    return figures + list_dif(dif)


def list_over_waves(items: pd.DataFrame, dif: pd.DataFrame) -> list[Figure]:
    """Return the numbers of one item at every sitting: as `list_items`, `where` naming form and wave."""
    places = ["form", "wave"]
    found = []
    for place, rows in items.groupby(places, sort=False):
        where = dict(zip(places, map(str, place), strict=True))
        tested = dif[(dif[places] == list(place)).all(axis=1)] if "method" in dif else dif
        found += [replace(f, where={**where, **f.where}) for f in list_items(rows, pd.DataFrame(), tested)]
    return found


def keep_enough(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the tables of items without the sittings of fewer than 30 persons, whose statistics are not told."""
    few = tables["items"].loc[tables["items"]["n"] < FEWEST_PERSONS, ["form", "wave"]].drop_duplicates()
    small = pd.MultiIndex.from_frame(few)
    return {
        name: frame[~pd.MultiIndex.from_frame(frame[["form", "wave"]]).isin(small)]
        if {"form", "wave"} <= {*frame}
        else frame
        for name, frame in tables.items()
    }


def _list_item(row: Mapping[str, Any]) -> list[Figure]:
    found = []
    for name, (column, unit, low, high) in ITEM_FIGURES.items():
        if column not in row:
            continue
        ends = {"low": _number(row.get(low or "")), "high": _number(row.get(high or ""))}
        value: float | Withheld | None = _number(row[column])
        if value is None and name in ("point_biserial", "upper_lower") and row.get("note") in NO_CORRELATION:
            value = Withheld(say(f"instrument.note.{row['note']}"))
        if value is not None:
            found.append(_figure(f"item.{row['item_id']}.{name}", value, unit, n=int(row["n"]), **ends))
    return found


def list_dif(dif: pd.DataFrame) -> list[Figure]:
    """Return the class of each item in each comparison of groups, and its size with interval; or why it was not tested.

    Groups that were compared on no item are one figure, `dif.<grouping>`, with the reason.
    """
    figures: list[Figure] = []
    rows = dif[dif["method"].isin(DIF_METHODS)] if "method" in dif else dif
    for name, one in rows.groupby("grouping", sort=False) if len(rows) else ():
        several = len(one["focal"].unique()) > 1
        for focal, pairs in one.groupby("focal", sort=False):
            where = {"focal": str(focal)} if several else {}
            if pairs["dif_class"].isna().all() and len(pairs["note"].unique()) == 1:
                figures.append(_leave_out(f"dif.{name}", pairs.iloc[0], where))
                continue
            for row in pairs.to_dict("records"):
                figures += _list_one_dif(f"item.{row['item_id']}.dif.{name}", row, where)
    return figures


def _list_one_dif(name: str, row: Mapping[Any, Any], where: Mapping[str, str]) -> list[Figure]:
    if pd.isna(row["dif_class"]):
        return [_leave_out(f"{name}.class", row, where)]
    n, effect = int(row["n_focal"]) + int(row["n_reference"]), _number(row["effect"])
    figures = [_figure(f"{name}.class", str(row["dif_class"]), "class", n=n, where=where)]
    if effect is not None:
        unit = "delta" if row["method"] == "mantel_haenszel" else "sd"
        ends = {"low": _number(row["effect_low"]), "high": _number(row["effect_high"]), "se": _number(row["effect_se"])}
        figures.append(_figure(f"{name}.{unit}", effect, unit, n=n, where=where, **ends))
    return figures


def _leave_out(name: str, row: Mapping[Any, Any] | pd.Series[Any], where: Mapping[str, str]) -> Figure:
    """Return why a comparison was not made."""
    reason = explain("note", str(row["note"])) if pd.notna(row["note"]) else say("instrument.dif.untested")
    n = 0 if pd.isna(row["n_focal"]) else int(row["n_focal"]) + int(row["n_reference"])
    return _figure(name, Withheld(reason), "class", n=n, where=where)


def list_facts(facts: pd.DataFrame, *, n: int) -> list[Figure]:
    """Return the numbers about the whole test: `alpha`, `omega`, `sem`, `loglik` and so on.

    Parameters
    ----------
    facts : DataFrame
        The table of a review.
    n : int
        Persons who sat.
    """
    figures = []
    for row in facts.to_dict("records"):
        told = pd.notna(row["value"])
        reason = Text(id=str(row["reason_id"]), en=str(row["reason_en"])) if pd.notna(row["reason_id"]) else None
        if not told and reason is None:
            continue
        figures.append(
            Figure(
                name=str(row["name"]),
                value=float(row["value"]) if told else Withheld(reason or say("instrument.dif.untested")),
                unit=FACT_UNITS.get(str(row["name"]), "share"),
                n=n,
                population=say("population.sat"),
                gates=REVIEWING,
                low=_number(row["low"]),
                high=_number(row["high"]),
                se=_number(row["se"]),
            )
        )
    return figures


def find_q3_limit(facts: pd.DataFrame) -> float | None:
    """Return from which Q3 above the mean on two items are told to depend: .20, or what chance brings about if that is more.

    None where no model was fitted.
    """
    if "name" not in facts or not facts["name"].eq("mean_q3").any():
        return None
    known = facts.loc[facts["name"] == "q3_limit", "value"].dropna()
    return max([Q3_OFFSET, *(float(limit) for limit in known)])


def list_for_panel(
    items: pd.DataFrame, flags: pd.DataFrame, *, suspects: pd.DataFrame, decisions: pd.DataFrame
) -> pd.DataFrame:
    """Return the items that ask for a look, gravest first, with every reason, what to do, and what was decided.

    Parameters
    ----------
    items, flags, suspects : DataFrame
        The tables of a review.
    decisions : DataFrame
        item_id, decision, who, date of this form.

    Returns
    -------
    DataFrame
        item_id, difficulty, item_rest_r, reasons (list of flag codes), advice (code), option (that would fit the key
        better), decision (text or null).
    """
    rows = []
    surely = suspects[suspects["option"].notna() & (suspects["difference"] >= SURE * suspects["se"])]
    better = surely.drop_duplicates("item_id").set_index("item_id")["option"]
    decided = decisions.drop_duplicates("item_id", keep="last").set_index("item_id")
    for row in items.to_dict("records"):
        item = str(row["item_id"])
        reasons = flags.loc[flags["item_id"] == item, "flag"].drop_duplicates().tolist()
        if not reasons:
            continue
        choice = decided.loc[item] if item in decided.index else None
        rows.append(
            {
                "item_id": item,
                "difficulty": row["difficulty"],
                "item_rest_r": row["item_rest_r"],
                "reasons": reasons,
                "advice": "check_key" if item in better.index else _advise(reasons),
                "option": better.get(item),
                "decision": None if choice is None else f"{choice['decision']} ({choice['who']}, {choice['date']})",
            }
        )
    columns = ["item_id", "difficulty", "item_rest_r", "reasons", "advice", "option", "decision"]
    frame = pd.DataFrame(rows, columns=columns)
    order = {"check_key": 0, "read": 1, "watch": 2}
    return frame.sort_values("advice", key=lambda column: column.map(order), kind="stable").reset_index(drop=True)


def _advise(reasons: Iterable[str]) -> str:
    """Return what to do first: check the key, read the item, or only watch it."""
    found = set(reasons)
    if found & {"negative", "negative_slope"}:
        return "check_key"
    return "watch" if found <= {"rather_hard", "easy", "near_chance", "infit_out", "outfit_out"} else "read"


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _figure(name: str, value: float | str | Withheld, unit: str, *, n: int, **more: Any) -> Figure:
    return Figure(name=name, value=value, unit=unit, n=n, population=say("population.sat"), gates=REVIEWING, **more)


def count_blueprint(items: pd.DataFrame) -> pd.DataFrame:
    """Return how many items stand under each indicator of the framework: framework, n_items, difficulty, item_rest_r, n.

    Items without a registered indicator are one row, its `framework` null.
    """
    rows = items.assign(share=items["difficulty"] / items["highest"])
    grouped = rows.groupby(rows["framework"].astype(object).fillna(""), sort=True)
    found = grouped.agg(
        n_items=("item_id", "size"), difficulty=("share", "mean"), item_rest_r=("item_rest_r", "mean"), n=("n", "min")
    )
    found = found.reset_index()
    return found.assign(framework=found["framework"].replace({"": None}).astype("str"))


def check_standards(review: Mapping[str, pd.DataFrame], *, form: str) -> pd.DataFrame:
    """Return the standards an instrument review answers to, and whether evidence is at hand: standard, evidence (bool).

    Parameters
    ----------
    review : mapping
        The tables of a review, by name, and `links`.
    form : str
        The form reviewed: whether it is linked to another one.

    References
    ----------
    AERA, APA & NCME (2014). *Standards for Educational and Psychological Testing*.
    """
    items, facts, dif = review["items"], review["facts"].set_index("name")["value"], review["dif"]
    tested = bool(len(dif)) and bool(dif["p"].notna().any())
    links = review["links"].reindex(columns=["form_pre", "form_post", "design", "verdict"])
    mine = links[(links[["form_pre", "form_post"]] == form).any(axis=1) & (links["design"] == "common_item")]
    evidence = {
        "content": bool(len(review["panel"])),
        "blueprint": bool(items["framework"].notna().any()),
        "structure": bool(pd.notna(facts.get("first_contrast"))),
        "reliability": bool(pd.notna(facts.get("alpha"))),
        "conditional_sem": bool(len(review["precision"]) and "sem" in review["precision"]),
        "fairness": tested,
        "item_statistics": bool(items["item_rest_r"].notna().any()),
        "scaling": bool("a" in items and items["a"].notna().any()),
        "linking": bool(mine["verdict"].isin(["yes", "yes_with_notes"]).any()),
        "timing": bool(pd.notna(facts.get("share_low_effort"))),
        "consequences": False,
    }
    return pd.DataFrame({"standard": list(evidence), "evidence": list(evidence.values())})
