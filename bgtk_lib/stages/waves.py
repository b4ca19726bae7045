"""One assessment at two waves: on what ground they are compared, on which scale, and what may be said of groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bgtk_lib.findings import Gate, Withheld
from bgtk_lib.instrument.gates import judge_anchor_fairness
from bgtk_lib.instrument.irt.abilities import estimate_wle
from bgtk_lib.instrument.irt.calibrate import Calibration
from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.instrument.model import calibrate
from bgtk_lib.linking.anchors import LinkRules
from bgtk_lib.linking.compare import Comparison, compare_forms, judge_reuse
from bgtk_lib.linking.gates import judge_linked
from bgtk_lib.linking.groups import GROUP_COLUMNS, compare_groups
from bgtk_lib.linking.joint import calibrate_together, fix_anchors
from bgtk_lib.linking.link import Link, link_forms
from bgtk_lib.linking.record import fingerprint_link
from bgtk_lib.scoring.conversion import convert_scores
from bgtk_lib.scoring.plausible import PlausibleValues, draw_plausible_values
from bgtk_lib.scoring.population import Population
from bgtk_lib.scoring.scale import Scale, count_items_more, freeze_scale
from bgtk_lib.words import say
from bgtk_lib.workspace.declaration import Rules

QUALITY = (
    "n_wanted", "dropped_share", "r", "sd_ratio", "content_gap", "order_r", "n_moved", "n_other_slopes",
    "difficulty_gap_pre", "difficulty_gap_post",
)  # fmt: skip
DIGITS = 6  # of a point that are kept: fewer would show, more differ by the order in which a sum is taken
ABILITY_COLUMNS = ["session_id", "theta", "theta_se", "scale_points", "scale_se", "extreme", "calibration"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FormAnswers:
    """What one form at one wave gives to a comparison.

    Attributes
    ----------
    form : str
        Its code.
    credit : DataFrame
        Persons × items, index session_id; items that the panel dropped are not among them.
    calibration : Calibration or None
        Frozen or fresh; None where there is no model.
    fingerprint : str
        Of the calibration; empty without one.
    register : DataFrame
        item_id, item_version, position, framework.
    large_dif : DataFrame
        As the review found it.
    exposed : Series
        Of the same persons: whether they are of a district that may have known the items; null where not known.
    """

    form: str
    credit: pd.DataFrame
    calibration: Calibration | None
    fingerprint: str
    register: pd.DataFrame
    large_dif: pd.DataFrame
    exposed: pd.Series[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """What came of comparing two waves of one assessment.

    Attributes
    ----------
    comparison : Comparison
        The forms, and the ground without a link.
    link : Link or Withheld
        How the later form's scale is carried to the earlier's, or why it is not.
    plausible : PlausibleValues or Withheld
        Draws of both waves on one scale, or why there are none.
    scale : Scale or None
        500/100 at the earlier wave.
    abilities : DataFrame
        `ABILITY_COLUMNS` of both waves' sittings; only where there is a scale.
    tables : mapping
        Name → what the comparability report shows.
    """

    comparison: Comparison
    link: Link | Withheld
    plausible: PlausibleValues | Withheld
    scale: Scale | None
    abilities: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]

    @property
    def carries_change(self) -> bool:
        """Whether change can be told on the scale 500/100: one form, or two whose link is good, with plausible values."""
        if not isinstance(self.link, Link) or not isinstance(self.plausible, PlausibleValues):
            return False
        return self.link.design in ("same_form", "common_item") and self.link.verdict != "not_yet"


def compare_waves(
    sides: Mapping[str, FormAnswers],
    *,
    pids: pd.Series[str],
    conditioning: pd.DataFrame,
    cluster: pd.Series[str] | None,
    chosen: Collection[str] = (),
    rules: Rules,
    decisions: list[dict[str, str]],
    frozen: tuple[Link, Scale | None] | None,
    population: Population | None = None,
) -> Compared:
    """Compare two waves of one assessment, each on one form.

    Parameters
    ----------
    sides : mapping
        Wave → its answers, the earlier first.
    pids : Series
        Session → person.
    conditioning : DataFrame
        Index pid, a column a grouping that may be compared.
    cluster : Series or None
        Index pid: what change is clustered by (schools), for the draws to share; None: nothing.
    chosen : collection of str
        Columns of `conditioning` whose members were picked by their score at the earlier wave.
    rules : Rules
        Link method, number of plausible values, seed.
    decisions : list of dict
        As `compare.read_decisions` returns them.
    frozen : (Link, Scale or None) or None
        A link that a decision holds fast, and the scale with it.
    population : Population, optional
        A population that a decision holds fast.
    """
    (wave_pre, pre), (wave_post, post) = sides.items()
    comparison = compare_forms({pre.form}, {post.form}, decisions)
    link: Link | Withheld = frozen[0] if frozen else _link(pre, post, rules=rules)
    curves = _place_curves(sides, link)
    plausible: PlausibleValues | Withheld = Withheld(say("linking.no_scale"))
    scale: Scale | None = None
    if curves:
        waves = {
            wave: (sides[wave].credit.set_axis(pids.reindex(sides[wave].credit.index)), curves[wave]) for wave in sides
        }
        rng = np.random.default_rng([rules.seed, *f"{pre.form}@{wave_pre}>{post.form}@{wave_post}".encode()])
        plausible = draw_plausible_values(
            waves,
            conditioning=conditioning,
            cluster=cluster,
            chosen=chosen,
            n_values=rules.plausible_values,
            rng=rng,
            population=population,
        )
    if isinstance(plausible, PlausibleValues):
        found = freeze_scale(plausible, wave=wave_pre, assessment=pre.form)
        scale = None if isinstance(found, Withheld) else found
        scale = frozen[1] or scale if frozen else scale
    abilities = [_measure(sides[wave], curves[wave], scale) for wave in sides if curves and scale] or [
        pd.DataFrame(columns=ABILITY_COLUMNS)
    ]
    return Compared(
        comparison=comparison,
        link=link,
        plausible=plausible,
        scale=scale,
        abilities=pd.concat(abilities, ignore_index=True),
        tables=_list_tables(sides, link=link, plausible=plausible, scale=scale),
    )


def judge_waves(
    compared: Compared, sides: Mapping[str, FormAnswers], *, released: bool, scope: dict[str, str]
) -> list[Gate]:
    """C01, C06 and, where items link the waves, I04."""
    links = [compared.link] if isinstance(compared.link, Link) else []
    ground = judge_linked(compared.comparison, links, scope)
    if links and links[0].design == "common_item" and ground.state in ("OK", "WARN") and not compared.carries_change:
        message = say("gate.C01.no_values", reason=compared.plausible.reason)  # type: ignore[union-attr]
        ground = Gate(code="C01", state="STOP", scope=scope, message=message)
    gates = [ground, judge_reuse(compared.comparison, released=released, scope=scope)]
    if links and links[0].design == "common_item":
        dif = {wave: side.large_dif for wave, side in sides.items()}
        gates.append(judge_anchor_fairness(dif, links[0].kept, scope))
    return gates


def _link(pre: FormAnswers, post: FormAnswers, *, rules: Rules) -> Link | Withheld:
    if pre.calibration is None or post.calibration is None:
        return Withheld(say("linking.no_calibration"))
    if pre.calibration.model != post.calibration.model:
        return Withheld(say("linking.models", pre=pre.calibration.model, post=post.calibration.model))
    asked = rules.link_method
    separate = asked if asked not in ("fixed_anchor", "concurrent") else "mean_mean"
    link = link_forms(
        pre.calibration,
        post.calibration,
        forms=(pre.form, post.form),
        method=separate,  # type: ignore[arg-type]
        sheets=(pre.register, post.register),
        rules=LinkRules(wanted_anchor_n=rules.anchors_wanted),
    )
    if isinstance(link, Withheld) or link.design == "same_form" or separate == asked:
        return link
    if asked == "fixed_anchor":
        return fix_anchors(link, pre.calibration, post.credit)[0]
    return calibrate_together(link, pre.credit, post.credit)[0]


def _place_curves(sides: Mapping[str, FormAnswers], link: Link | Withheld) -> dict[str, Curves]:
    """Return both forms' curves on the earlier scale; none where they are on no common one."""
    (wave_pre, pre), (wave_post, post) = sides.items()
    if isinstance(link, Withheld) or pre.calibration is None or post.calibration is None:
        return {}
    if link.design not in ("same_form", "common_item") or link.verdict == "not_yet":
        return {}
    later = pre.calibration.curves if link.design == "same_form" else link.carry_curves(post.calibration.curves)
    placed = {wave_pre: pre.calibration.curves, wave_post: later}
    return {
        wave: curves.take([item for item in curves.item_ids if item in sides[wave].credit.columns])
        for wave, curves in placed.items()
    }


def _measure(side: FormAnswers, curves: Curves, scale: Scale) -> pd.DataFrame:
    """Return each sitting's own ability (Warm), for description: never for change."""
    found = estimate_wle(side.credit[list(curves.item_ids)], curves)
    return pd.DataFrame(
        {
            "session_id": found.index.astype("str"),
            "theta": found["theta"].to_numpy(),
            "theta_se": found["se"].to_numpy(),
            "scale_points": scale.to_points(found["theta"]).round(DIGITS),
            "scale_se": (found["se"].to_numpy() * scale.points_per_unit).round(DIGITS),
            "extreme": found["extreme"].to_numpy(dtype=bool),
            "calibration": side.fingerprint[:16],
        },
        columns=ABILITY_COLUMNS,
    )


def _list_tables(
    sides: Mapping[str, FormAnswers],
    *,
    link: Link | Withheld,
    plausible: PlausibleValues | Withheld,
    scale: Scale | None,
) -> dict[str, pd.DataFrame]:
    """Return what the comparability report shows of the link: links, anchors, conversion, plausible, latent."""
    (wave_pre, pre), (wave_post, post) = sides.items()
    tables = {"links": pd.DataFrame([_describe_link(pre, post, link=link, scale=scale)])}
    if isinstance(link, Link):
        tables["anchors"] = link.anchors
        tables["drift_groups"] = _compare_exposure(pre, post, items=link.anchors["item_id"].tolist())
    if isinstance(link, Link) and scale and link.design == "common_item" and pre.calibration and post.calibration:
        tables["conversion"] = convert_scores(pre.calibration.curves, post.calibration.curves, link=link, scale=scale)
    if isinstance(plausible, PlausibleValues) and scale:
        tables["links"]["population"] = plausible.population.fingerprint[:16]
        tables["plausible"] = _place_draws(plausible.draws, scale, wave_pre, wave_post)
        first = plausible.draws[plausible.draws["wave"] == wave_pre]
        unseen = plausible.imputed[plausible.imputed["wave"] == wave_post]
        known = pd.concat([first[first["pid"].isin(unseen["pid"])], unseen])
        tables["imputed"] = _place_draws(known, scale, wave_pre, wave_post)
        tables["latent"] = _describe_latent(plausible, scale)
        tables["conditioned"] = pd.DataFrame(
            [
                {"grouping": name, "level": level, "state": state}
                for name, levels in plausible.population.conditioned_on.items()
                for state, group in (("kept", levels.kept), ("pooled", levels.pooled))
                for level in group
            ],
            columns=["grouping", "level", "state"],
        ).astype("str")
    return tables


def _compare_exposure(pre: FormAnswers, post: FormAnswers, *, items: list[str]) -> pd.DataFrame:
    """Return how items drifted in exposed districts and elsewhere; nothing where either group is too small to calibrate."""
    sides = []
    for exposed in (True, False):
        for side in (pre, post):
            chosen = side.credit[(side.exposed == exposed).to_numpy(dtype=bool)]
            found = calibrate(chosen, model=side.calibration.model if side.calibration else "none")
            if isinstance(found, Withheld):
                return pd.DataFrame(columns=GROUP_COLUMNS)
            sides.append(found)
    return compare_groups((sides[0], sides[1]), (sides[2], sides[3]), items=items)


def _place_draws(draws: pd.DataFrame, scale: Scale, wave_pre: str, wave_post: str) -> pd.DataFrame:
    """Return the draws in points of the scale: pid, draw, score_pre, score_post; null at a wave that was not sat."""
    sides = []
    for wave, column in ((wave_pre, "score_pre"), (wave_post, "score_post")):
        rows = draws[draws["wave"] == wave]
        points = scale.to_points(rows["theta"]).round(DIGITS)
        sides.append(pd.DataFrame({"pid": rows["pid"], "draw": rows["draw"], column: points}))
    return sides[0].merge(sides[1], on=["pid", "draw"], how="outer", validate="one_to_one")


def _describe_link(
    pre: FormAnswers, post: FormAnswers, *, link: Link | Withheld, scale: Scale | None
) -> dict[str, Any]:
    """Return a link as one row: its facts, its verdict and reasons, or why there is none."""
    row: dict[str, Any] = {
        "form_pre": pre.form,
        "form_post": post.form,
        "n_pre": len(pre.credit),
        "n_post": len(post.credit),
    }
    row |= {"calibration_pre": pre.fingerprint[:16], "calibration_post": post.fingerprint[:16]}
    if isinstance(link, Withheld):
        return row | {"verdict": None, "reason_id": link.reason.id, "reason_en": link.reason.en}
    names = (
        "design",
        "method",
        "model",
        "slope",
        "shift",
        "slope_se",
        "shift_se",
        "linking_error",
        "n_anchors",
        "n_kept",
    )
    row |= {name: getattr(link, name) for name in (*names, "verdict")}
    row |= {"fingerprint": fingerprint_link(link)[:16]}
    row |= {"reason_id": "\n".join(r.id for r in link.reasons), "reason_en": "\n".join(r.en for r in link.reasons)}
    if link.with_all:
        row |= {
            "all_slope": link.with_all.slope,
            "all_shift": link.with_all.shift,
            "all_error": link.with_all.linking_error,
        }
    if link.quality:
        values = {name: getattr(link.quality, name) for name in QUALITY}
        row |= {name: None if isinstance(value, Withheld) else value for name, value in values.items()}
    if scale and pre.calibration:
        worth = float(count_items_more(scale, pre.calibration.curves, [10.0])[0]) / 10
        row |= {"scale_mean": scale.mean, "scale_sd": scale.sd, "points_per_unit": scale.points_per_unit}
        row |= {"points_an_item": 1 / worth}
    return row


def _describe_latent(plausible: PlausibleValues, scale: Scale) -> pd.DataFrame:
    """Return what the regression says of both waves: name, value, low, high, n."""
    population, rows = plausible.population, []
    for wave in population.waves.to_dict("records"):
        rows.append(
            {"name": "mean", "wave": wave["wave"], "value": float(scale.to_points(wave["mean"])), "n": wave["n"]}
        )
        rows.append({"name": "sd", "wave": wave["wave"], "value": wave["sd"] * scale.points_per_unit, "n": wave["n"]})
        rows.append({"name": "reliability", "wave": wave["wave"], "value": wave["reliability"], "n": wave["n"]})
    if not isinstance(population.correlation, Withheld):
        ends = {"low": population.correlation_low, "high": population.correlation_high}
        rows.append(
            {"name": "correlation", "wave": None, "value": population.correlation, "n": population.n_both, **ends}
        )
    return pd.DataFrame(rows, columns=["name", "wave", "value", "low", "high", "n"]).astype({"wave": "str"})
