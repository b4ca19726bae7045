"""The rows of a report on two waves: the pairs with their draws, who sat only once, and what may be compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from bgtk_lib.change.drawn import Drawn, lay_draws
from bgtk_lib.change.estimate import Change, estimate_change
from bgtk_lib.change.precision.next_wave import NextWave, foresee
from bgtk_lib.change.reliable import find_score_error
from bgtk_lib.engine.report import Report
from bgtk_lib.findings import Withheld
from bgtk_lib.words import say

ICC = 0.05  # share of the variance of change between schools, and between districts, where none is known


@dataclass(frozen=True, kw_only=True, eq=False)
class Paired:
    """One assessment at two waves, as far as a report selects it.

    Attributes
    ----------
    pairs, unpaired : DataFrame
        As `pairing.pair_waves` returns them.
    read : callable
        Table → its rows under the report's selection: the draws are large, and read only where they are used.
    min_cell : int
        Fewest persons a printed number may stand for.
    how : mapping
        How change is clustered, and the confidence of its intervals.
    """

    pairs: pd.DataFrame
    unpaired: pd.DataFrame
    read: Callable[[str], pd.DataFrame]
    min_cell: int
    how: dict[str, Any]

    @cached_property
    def on_scale(self) -> bool:
        """Whether change is told on the scale 500/100, from plausible values; else in points of one form."""
        return len(self.pairs) > 0 and bool(self.pairs["unit"].eq("scale").all())

    @cached_property
    def draws(self) -> pd.DataFrame:
        """Plausible values of the pairs; empty where scores are points of one form."""
        if not self.on_scale:
            return pd.DataFrame()
        draws = self.read("plausible")
        return draws[draws["pid"].isin(self.pairs["pid"])]

    @cached_property
    def drawn(self) -> Drawn:
        """The pairs with their scores of every draw."""
        return lay_draws(self.pairs, self.draws)

    @cached_property
    def leavers(self) -> pd.DataFrame:
        """Who sat the first wave only; score_pre and points_pre, both in points of the form."""
        rows = self.unpaired[self.unpaired["reason"] == "only_pre"]
        return rows.rename(columns={"score": "score_pre"}).assign(points_pre=rows["score"]).reset_index(drop=True)

    @cached_property
    def imputed(self) -> pd.DataFrame:
        """The leavers' draws, the second wave filled in; empty where scores are points of one form."""
        if not self.on_scale:
            return pd.DataFrame()
        draws = self.read("imputed")
        return draws[draws["pid"].isin(self.leavers["pid"])]

    def estimate_form_points(self, **how: Any) -> Change | Withheld:
        """Return the same change in points of the form, where one form was sat twice."""
        if not self.on_scale or (self.pairs["form_pre"] != self.pairs["form_post"]).any():
            return Withheld(say("change.no_form_points"))
        points = self.pairs.assign(score_pre=self.pairs["points_pre"], score_post=self.pairs["points_post"])
        return estimate_change(points, **how)

    def foresee(self) -> NextWave | Withheld:
        """Return a next wave like this one; what its pairs cannot tell is taken as usual."""
        model = self.read("change_model")
        told = model.iloc[0] if len(model) and pd.notna(model["icc_school"].iloc[0]) else None
        shares = {} if told is None else {"icc_school": told["icc_school"], "icc_district": told["share_districts"]}
        known = {name: float(share) for name, share in shares.items()} or {"icc_school": ICC, "icc_district": ICC}
        rows = self.read("form_reliability")
        alpha = rows.loc[rows["wave"].isin(self.pairs["wave_pre"]), "alpha"].dropna()
        if alpha.empty:
            return Withheld(say("power.no_reliability"))
        return foresee(self.drawn, reliability=float(alpha.iloc[0]), **known)

    @property
    def multilevel(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The stored multilevel model, districts and model; empty under a filter, for it speaks of everybody."""
        return self.read("change_districts"), self.read("change_model")

    @property
    def n_joiners(self) -> int:
        """How many sat the second wave only."""
        return int((self.unpaired["reason"] == "only_post").sum())

    @property
    def few_apart(self) -> bool:
        """Whether those who left, or those who joined, are few: a wave's own n would give them away."""
        return any(0 < n < self.min_cell for n in (len(self.leavers), self.n_joiners))

    @cached_property
    def conditioned(self) -> pd.DataFrame:
        """What the plausible values know of: grouping, level, state; empty where there are no such values."""
        return self.read("conditioned") if self.on_scale else pd.DataFrame(columns=["grouping", "level", "state"])

    @cached_property
    def known_districts(self) -> set[str] | None:
        """The districts that may be compared; None: all."""
        rows = self.conditioned
        kept = rows.loc[(rows["grouping"] == "district") & (rows["state"] == "kept"), "level"]
        return set(kept) if self.on_scale else None

    @cached_property
    def reliability(self) -> tuple[float, float] | None:
        """Coefficient alpha of the form before and after, for what points alone cannot tell; None where one is not known."""
        if self.on_scale or self.pairs.empty:
            return None
        first, found = self.pairs.iloc[0], []
        for side in ("pre", "post"):
            rows = self.read("form_reliability")
            here = rows[(rows["wave"] == first[f"wave_{side}"]) & (rows["form"] == first[f"form_{side}"])]
            found.append(float(here["alpha"].iloc[0]) if len(here) else float("nan"))
        return (found[0], found[1]) if all(0 < alpha <= 1 for alpha in found) else None

    @property
    def own_scores(self) -> pd.DataFrame:
        """The pairs with each person's own score and its error at both waves, for shares of a group and `own_gain`."""
        if self.on_scale:
            names = {"own_pre": "score_pre", "own_post": "score_post", "own_se_pre": "se_pre", "own_se_post": "se_post"}
            return self.pairs.drop(columns=["score_pre", "score_post"]).rename(columns=names)
        if self.reliability is None:
            return self.pairs.assign(se_pre=float("nan"), se_post=float("nan"))
        errors = {
            f"se_{side}": find_score_error(float(self.pairs[f"score_{side}"].std()), reliability=alpha)
            for side, alpha in zip(("pre", "post"), self.reliability, strict=True)
        }
        return self.pairs.assign(**errors)

    @property
    def own_gain(self) -> pd.Series[float]:
        """Each pair's change in own scores, for what the plausible values do not know of."""
        own = self.own_scores
        return own["score_post"] - own["score_pre"]


def pair_rows(report: Report) -> Paired:
    """Return the rows of the two waves that a report's parameters name.

    They stand in the order of the pseudonyms, so that no number, down to its last digit or what is drawn by chance, depends on
    anybody's place in an export.
    """
    pairs, unpaired = (report.read(name).sort_values("pid", ignore_index=True) for name in ("pairs", "unpaired"))
    return Paired(
        pairs=pairs,
        unpaired=unpaired,
        read=report.read,
        min_cell=report.parameters.min_cell,
        how={"cluster": report.rules.cluster, "confidence": report.context.confidence},
    )
