"""What a comparability report says in numbers: the link, its anchors, its errors, as figures with stable names."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bgtk_lib.errors import Text
from bgtk_lib.findings import LINKING, Figure, Withheld
from bgtk_lib.words import say

LINK_FIGURES = {
    "slope": "ratio",
    "shift": "logit",
    "linking_error": "logit",
    "dropped_share": "share",
    "r": "r",
    "sd_ratio": "ratio",
    "content_gap": "share",
    "all_shift": "logit",
    "all_error": "logit",
    "scale_mean": "logit",
    "scale_sd": "logit",
    "points_per_unit": "points",
}


def list_link(links: pd.DataFrame) -> list[Figure]:
    """Return the numbers of a link: `link.slope`, `link.shift`, `link.linking_error`, `anchors.kept` and so on.

    Parameters
    ----------
    links : DataFrame
        One row, as the score stage stores it; none where one of the waves has no answers.

    Notes
    -----
    `link.linking_error_points` is the linking error on the reporting scale: what enters the standard error of every mean
    change. Where the same form was sat twice its scores compare without a model; that its items did not drift could then
    not be checked.
    """
    if links.empty:
        return [_figure("link.verdict", Withheld(say("linking.no_calibration")), "verdict", 0)]
    row = {str(name): value for name, value in links.iloc[0].items()}
    n = int(min(row["n_pre"], row["n_post"]))
    if pd.isna(row.get("verdict")) and row["form_pre"] == row["form_post"]:
        return [_figure("link.verdict", "yes_with_notes", "verdict", n)]
    if pd.isna(row.get("verdict")):
        reason = Text(id=str(row["reason_id"]), en=str(row["reason_en"]))
        return [_figure("link.verdict", Withheld(reason), "verdict", n)]
    figures = [_figure("link.verdict", str(row["verdict"]), "verdict", n)]
    figures += [_figure(f"anchors.{name}", int(row[f"n_{name}"]), "items", n) for name in ("anchors", "kept")]
    for name, unit in LINK_FIGURES.items():
        value = _number(row.get(name))
        if value is not None:
            figures.append(_figure(f"link.{name}", value, unit, n, se=_number(row.get(f"{name}_se"))))
    error, points = _number(row.get("linking_error")), _number(row.get("points_per_unit"))
    if error is not None and points is not None:
        figures.append(_figure("link.linking_error_points", error * points, "points", n))
    return figures


def list_anchors(anchors: pd.DataFrame, *, n: int) -> list[Figure]:
    """Return how far each anchor moved: `anchor.<id>.difference` with its standard error and state, `.robust_z`."""
    figures = []
    for row in anchors.to_dict("records"):
        name = f"anchor.{row['item_id']}"
        figures.append(_figure(f"{name}.state", str(row["state"]), "state", n))
        for column, unit in (("difference", "logit"), ("robust_z", "z"), ("b_pre", "logit"), ("b_post", "logit")):
            value = _number(row[column])
            if value is not None:
                figures.append(_figure(f"{name}.{column}", value, unit, n, se=_number(row.get(f"{column}_se"))))
    return figures


def count_persons(links: pd.DataFrame) -> int:
    """Return the fewer persons of either wave; 0 where there is no comparison."""
    return 0 if links.empty else int(min(links.iloc[0]["n_pre"], links.iloc[0]["n_post"]))


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _figure(name: str, value: float | int | str | Withheld, unit: str, n: int, *, se: float | None = None) -> Figure:
    return Figure(name=name, value=value, unit=unit, n=n, population=say("population.sat"), gates=LINKING, se=se)
