"""Scores before and after → pairs and the unpaired, with attrition. The direction is in the names: always post − pre."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bgtk_lib.errors import LinkageError
from bgtk_lib.findings import Withheld
from bgtk_lib.schema import districts
from bgtk_lib.words import say

PERSON_COLUMNS = ["district", "npsn", "jenjang", "sex", "status", "device"]
EFFORT = "effort"
TOLD = "sex_told"  # as the export of that wave itself says it


@dataclass(frozen=True, kw_only=True)
class Linked:
    """Two waves of one assessment, linked by person.

    Attributes
    ----------
    pairs : DataFrame
        pid, assessment, wave_pre, wave_post, form_pre, form_post, score_pre, score_post (points of the form; where `unit`
        is ``scale``, points of the reporting scale), points_pre, points_max, points_post, points_max_post (of either
        form, in any case), sex_pre and sex_post (as each wave's export has it), linking_error (in `unit`), slope_error,
        n_anchors and n_link (persons) of the link, days between the sittings, effort_pre and effort_post (share of answers
        that were not too fast, null where no times are known), and district, npsn, jenjang, sex, status, device at the first.
    unpaired : DataFrame
        pid, assessment, wave_pre, wave_post, reason (``only_pre`` or ``only_post``), score, district, npsn, jenjang, sex, status, device.
    """

    pairs: pd.DataFrame
    unpaired: pd.DataFrame

    @property
    def retention(self) -> float | Withheld:
        """Share of those scored at the first wave who were scored at the second too."""
        sat = len(self.pairs) + int((self.unpaired["reason"] == "only_pre").sum())
        return len(self.pairs) / sat if sat else Withheld(say("pairing.nobody"))


def pair_waves(scores: pd.DataFrame, *, assessment: str, wave_pre: str, wave_post: str) -> Linked:
    """Return the pairs and the unpaired of one assessment and two waves.

    Parameters
    ----------
    scores : DataFrame
        pid, wave, assessment, form_id, points, points_max, start, effort, district, npsn, jenjang, sex, status, device (what
        is not known of anybody may be absent); one row a person and wave.
    assessment, wave_pre, wave_post : str
        What is linked, before and after.

    Raises
    ------
    LinkageError
        If a person has two scores at a wave: the attempt rule must have chosen one.
    """
    here = scores[scores["assessment"] == assessment]
    here = here.reindex(
        columns=[*here.columns, *(name for name in (*PERSON_COLUMNS, TOLD, EFFORT) if name not in here)]
    )
    sides = {}
    for side, wave in (("pre", wave_pre), ("post", wave_post)):
        one = here[here["wave"] == wave]
        twice = int(one["pid"].duplicated().sum())
        if twice:
            raise LinkageError(say("pairing.twice", wave=wave, assessment=assessment, n=twice))
        sides[side] = one.set_index("pid")
    pre, post = sides["pre"], sides["post"]
    both = pre.index.intersection(post.index, sort=False)
    first, second = pre.loc[both], post.loc[both]
    pairs = pd.DataFrame(
        {
            "pid": both.astype("str"),
            "form_pre": first["form_id"].to_numpy(),
            "form_post": second["form_id"].to_numpy(),
            "score_pre": first["points"].to_numpy(),
            "score_post": second["points"].to_numpy(),
            "points_pre": first["points"].to_numpy(),
            "points_max": first["points_max"].to_numpy(),
            "points_post": second["points"].to_numpy(),
            "points_max_post": second["points_max"].to_numpy(),
            "sex_pre": first[TOLD].to_numpy(),
            "sex_post": second[TOLD].to_numpy(),
            "unit": "points",
            "linking_error": 0.0,
            "slope_error": 0.0,
            "n_anchors": 0,
            "n_link": 0,
            "days": (second["start"].dt.normalize() - first["start"].dt.normalize()).dt.days.to_numpy(),
            "effort_pre": first[EFFORT].to_numpy(dtype=float, na_value=float("nan")),
            "effort_post": second[EFFORT].to_numpy(dtype=float, na_value=float("nan")),
        }
    ).assign(**{name: first[name].to_numpy() for name in PERSON_COLUMNS})
    alone = []
    for reason, frame in (("only_pre", pre.drop(index=both)), ("only_post", post.drop(index=both))):
        alone.append(
            frame.reset_index()[["pid", "points", *PERSON_COLUMNS]]
            .rename(columns={"points": "score"})
            .assign(reason=reason)
        )
    what = {"assessment": assessment, "wave_pre": wave_pre, "wave_post": wave_post}
    return Linked(pairs=pairs.assign(**what), unpaired=pd.concat(alone, ignore_index=True).assign(**what))


def name_levels(frame: pd.DataFrame, grouping: str) -> pd.Series[str]:
    """Return everybody's level: a column of the pairs, or what kind their district is; null where it is not known."""
    if grouping == "kota_kabupaten":
        return frame["district"].map(districts()["kind"]).astype("str")
    column = frame[grouping] if grouping in frame else pd.Series(None, index=frame.index, dtype=object)
    return column.astype("str")
