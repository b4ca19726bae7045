"""One form at one wave, reviewed whole: what every statistic of this room says of its items, and of the test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.classical import ItemReview, review_items
from bgtk_lib.instrument.dif.review import find_large_dif, review_dif
from bgtk_lib.instrument.experts import PanelReview, review_panel
from bgtk_lib.instrument.facts import Fact, Facts
from bgtk_lib.instrument.flags import PROFILES, flag_items
from bgtk_lib.instrument.irt.calibrate import Calibration
from bgtk_lib.instrument.irt.item_points import POINT_COLUMNS
from bgtk_lib.instrument.model import NO_TABLE, add_model, calibrate, describe_model, simulate_chance
from bgtk_lib.instrument.omega import estimate_omega
from bgtk_lib.instrument.options import OPTION_COLUMNS, TRACE_COLUMNS, review_options, suspect_keys, trace_options
from bgtk_lib.instrument.patterns import count_identical, review_runs
from bgtk_lib.instrument.reliability import find_sem, split_halves
from bgtk_lib.instrument.sitting import review_blanks, review_times
from bgtk_lib.workspace.declaration import Rules


@dataclass(frozen=True, kw_only=True, eq=False)
class FormSheet:
    """What came in of one form at one wave.

    Attributes
    ----------
    answers : DataFrame
        session_id, item_id, raw, state, milliseconds if there are times.
    credit : DataFrame
        Persons × items (index session_id), null where not presented.
    key : DataFrame or None
        item_id, correct, credit; None where the answers came scored.
    persons : DataFrame
        Groups of the same persons, in the order of `credit`, a column a grouping.
    register : DataFrame
        item_id, position, framework; empty where the form is not registered.
    panel : DataFrame or None
        Ratings of its items.
    """

    answers: pd.DataFrame
    credit: pd.DataFrame
    key: pd.DataFrame | None
    persons: pd.DataFrame
    register: pd.DataFrame
    panel: pd.DataFrame | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class FormReview:
    """The review of one form at one wave.

    Attributes
    ----------
    classical : ItemReview
        Difficulty, discrimination, alpha.
    calibration : Calibration or Withheld
        The item response model, or why there is none.
    suspects : DataFrame
        As `suspect_keys` returns it; empty where answers came scored.
    large_dif : DataFrame
        As `find_large_dif` returns it.
    panel : PanelReview or None
        None where nobody rated the form's items.
    facts : mapping
        Name → number about the whole test, or why it cannot be told: alpha, omega, sem, loglik …
    tables : mapping
        Name → tidy table, for the store and the report.
    """

    classical: ItemReview
    calibration: Calibration | Withheld
    suspects: pd.DataFrame
    large_dif: pd.DataFrame
    panel: PanelReview | None
    facts: Mapping[str, Fact]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def review_form(sheet: FormSheet, *, rules: Rules, model: str, rng: np.random.Generator) -> FormReview:
    """Review one form at one wave: classical, options, sitting, model, fairness, panel.

    Parameters
    ----------
    sheet : FormSheet
        What came in.
    rules : Rules
        The profile of item review.
    model : str
        As `Rules.model`; ``auto`` chooses Rasch, or partial credit where an item has more than two categories.
    rng : Generator
        For bootstrap intervals.

    Returns
    -------
    FormReview
    """
    credit = sheet.credit
    classical = review_items(credit)
    limits = PROFILES[rules.item_profile]
    calibration = calibrate(credit, model=model)
    facts = _tell_reliability(credit, classical, rng)
    tables: dict[str, pd.DataFrame] = {}
    items = classical.items.merge(_register_items(sheet), on="item_id", how="left", validate="one_to_one")
    items = _add_sitting(items, sheet, facts)
    if isinstance(calibration, Withheld):
        tables |= dict.fromkeys(("steps", "curves", "precision", "density", "dependence", "loadings"), NO_TABLE)
        tables["points"] = pd.DataFrame(columns=POINT_COLUMNS)
    else:
        items = add_model(items, credit, calibration, facts=facts, tables=tables)
        facts |= simulate_chance(credit, calibration, facts=facts, tables=tables, rng=rng)
    suspects = _review_key(sheet, tables, limits)
    dif = review_dif(credit, sheet.persons)
    panel = None if sheet.panel is None or sheet.panel.empty else review_panel(sheet.panel, writers=None)
    flags = flag_items(classical.items, limits=limits, n_persons=len(credit))
    alpha = None if isinstance(classical.alpha, Withheld) else classical.alpha
    ends = {"alpha_low": classical.alpha_low, "alpha_high": classical.alpha_high}
    counts = {"n_persons": classical.n_persons, "n_items": classical.n_items, "n_sat": len(credit)}
    tables |= {
        "items": items,
        "model": describe_model(calibration),
        "reliability": pd.DataFrame([{"alpha": alpha, **ends, **counts}]).astype(
            dict.fromkeys(("alpha", *ends), "float64")
        ),
        "flags": _gather_flags(flags, suspects, items, find_large_dif(dif)),
        "suspects": suspects,
        "dif": dif.items,
        "dif_profiles": dif.profiles,
        "dif_groups": dif.groups,
        "panel": NO_TABLE if panel is None else panel.items,
        "panel_scales": pd.DataFrame({"scale": pd.Series(dtype="str")}) if panel is None else panel.scales,
    }
    return FormReview(
        classical=classical,
        calibration=calibration,
        suspects=suspects,
        large_dif=find_large_dif(dif),
        panel=panel,
        facts=facts,
        tables=tables,
    )


def _register_items(sheet: FormSheet) -> pd.DataFrame:
    register = sheet.register.reindex(columns=["item_id", "position", "framework"]).drop_duplicates("item_id")
    return register.astype({"item_id": "str", "framework": "str"})


def _name_subscores(sheet: FormSheet) -> pd.Series[str]:
    """Return the framework code of each item, index item_id; empty where none is registered."""
    codes = _register_items(sheet).set_index("item_id")["framework"].reindex(sheet.credit.columns)
    return codes.dropna()


def _tell_reliability(credit: pd.DataFrame, classical: ItemReview, rng: np.random.Generator) -> Facts:
    """Return alpha, omega, split half and the standard error of measurement of the total."""
    total = credit.sum(axis=1, min_count=1)
    facts = {"alpha": Fact(classical.alpha, classical.alpha_low, classical.alpha_high)}
    facts |= {"score_mean": Fact(float(total.mean())), "score_sd": Fact(float(total.std(ddof=1)))}
    facts["sem"] = Fact(find_sem(float(total.std(ddof=1)), classical.alpha))
    omega, halves = estimate_omega(credit, rng=rng), split_halves(credit, rng=rng)
    facts["omega"] = Fact(omega) if isinstance(omega, Withheld) else Fact(omega.omega, omega.low, omega.high, omega.se)
    facts["split_half"] = Fact(halves if isinstance(halves, Withheld) else halves.odd_even)
    return facts


def _add_sitting(items: pd.DataFrame, sheet: FormSheet, facts: Facts) -> pd.DataFrame:
    """Add what was left out and how fast answers came, and note what holds for the whole form."""
    blanks, times = review_blanks(sheet.answers), review_times(sheet.answers)
    if not isinstance(blanks, Withheld):
        shares = blanks.items[["item_id", "share_omitted", "share_not_reached"]]
        items = items.merge(shares, on="item_id", how="left", validate="one_to_one")
        facts["share_many_omitted"] = Fact(blanks.share_many_omitted)
        facts["share_unfinished"] = Fact(blanks.share_unfinished)
    if isinstance(times, Withheld):
        facts["share_low_effort"] = Fact(times)
    else:
        shares = times.items[["item_id", "mean_seconds", "share_rapid"]]
        items = items.merge(shares, on="item_id", how="left", validate="one_to_one")
        facts["share_low_effort"] = Fact(times.share_low_effort)
    if sheet.key is not None:
        order = sheet.register.sort_values("position")["item_id"].tolist() or None
        runs = review_runs(sheet.answers, sheet.credit, order=order)
        same = count_identical(sheet.answers, sheet.credit)
        facts["share_long_runs"] = Fact(runs if isinstance(runs, Withheld) else runs.n_rare / runs.n_persons)
        facts["share_identical"] = Fact(same if isinstance(same, Withheld) else same.n_persons_beyond / same.n_persons)
    return items


def _review_key(sheet: FormSheet, tables: dict[str, pd.DataFrame], limits: Any) -> pd.DataFrame:
    if sheet.key is None:
        tables |= {"options": pd.DataFrame(columns=OPTION_COLUMNS), "traces": pd.DataFrame(columns=TRACE_COLUMNS)}
        return pd.DataFrame({"item_id": [], "reason": [], "option": [], "difference": [], "se": []}).astype(
            {"item_id": "str", "reason": "str", "option": "str", "difference": float, "se": float}
        )
    key = sheet.key[sheet.key["item_id"].isin(sheet.credit.columns)]
    tables |= {
        "options": review_options(sheet.answers, key, limits=limits),
        "traces": trace_options(sheet.answers, key),
    }
    return suspect_keys(sheet.answers, key)


def _gather_flags(*found: pd.DataFrame) -> pd.DataFrame:
    """Return every reason to look at an item again, one row an item and reason: item_id, flag, value, limit."""
    classical, suspects, items, dif = found
    rows: list[pd.DataFrame] = [classical]
    rows.append(suspects.rename(columns={"reason": "flag", "difference": "value"}).reindex(columns=classical.columns))
    if "infit" in items:
        for name in ("infit", "outfit"):
            odd = items[(items[name] > 1.3) | (items[name] < 0.7)]
            limit = np.where(odd[name] > 1, 1.3, 0.7)
            rows.append(
                pd.DataFrame({"item_id": odd["item_id"], "flag": f"{name}_out", "value": odd[name], "limit": limit})
            )
        odd = items[items["model_note"].isin(["negative_slope", "flat_slope", "steep_slope", "no_information"])]
        rows.append(
            pd.DataFrame({"item_id": odd["item_id"], "flag": odd["model_note"], "value": odd["a"], "limit": np.nan})
        )
    large = dif.drop_duplicates(["item_id", "grouping"])
    rows.append(
        pd.DataFrame(
            {"item_id": large["item_id"], "flag": "dif_" + large["grouping"].astype("str"), "value": large["effect"]}
        )
    )
    every = pd.concat([one for one in rows if len(one)] or [classical], ignore_index=True)
    order = {item: place for place, item in enumerate(items["item_id"])}
    return every.sort_values("item_id", key=lambda column: column.map(order), kind="stable").reset_index(drop=True)


def stack_tables(parts: Iterable[tuple[Mapping[str, str], pd.DataFrame]]) -> pd.DataFrame:
    """Return one table of several reviews one below the other, each row with its form's place (form, wave …)."""
    placed = [frame.assign(**place) for place, frame in parts]
    return pd.concat([one for one in placed if len(one)] or placed[:1], ignore_index=True)
