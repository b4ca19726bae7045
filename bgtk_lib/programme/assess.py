"""One programme from its groups to its effect: the design first, the outcome after, and no figure the design does not carry."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bgtk_lib.change.clusters import Contrast, Floats, code_clusters
from bgtk_lib.change.drawn import Drawn, combine_means
from bgtk_lib.findings import Withheld
from bgtk_lib.programme.balance import find_largest, measure_balance, weigh_overlap
from bgtk_lib.programme.covariates import standardise_forms
from bgtk_lib.programme.design import Declared, Design, Facts, choose_design
from bgtk_lib.programme.dose import Dose, estimate_dose
from bgtk_lib.programme.effects import Effect, estimate_ancova, estimate_did
from bgtk_lib.programme.groups import Groups
from bgtk_lib.programme.lottery import Cace, code_lots, estimate_cace
from bgtk_lib.programme.schools import permute_schools
from bgtk_lib.programme.small import Small, describe_small
from bgtk_lib.programme.towards_mean import TowardsMean, expect_towards_mean
from bgtk_lib.words import say


@dataclass(frozen=True, kw_only=True, eq=False)
class Programme:
    """All that is found of one programme and one assessment.

    Attributes
    ----------
    design : Design or Withheld
        Evidence is 1 wherever no effect is shown, whatever was planned.
    balance : DataFrame
        `BALANCE_COLUMNS`; empty without a comparison group.
    change, comparison_change : Contrast or Withheld
        Mean change of either group beside nothing: a description.
    effect : Effect or Withheld
        What the design finds; withheld in every design without a comparison group.
    cace : Cace, Withheld or None
        For those whom the lot brought in; none where no lot was drawn, or everyone did as drawn.
    towards_mean : TowardsMean or Withheld
        What participants would change by where they stood.
    small : Small, Withheld or None
        In the small mode only.
    dose : Dose or Withheld
        Later scores by hours, or by sessions where no hours are known.
    n_participants, n_comparison : int
        Persons of either group.
    standardised : bool
        Whether scores are in SD of their own form, because no scale is common to both measurements.
    """

    design: Design | Withheld
    balance: pd.DataFrame
    change: Contrast | Withheld
    comparison_change: Contrast | Withheld
    effect: Effect | Withheld
    cace: Cace | Withheld | None
    towards_mean: TowardsMean | Withheld
    small: Small | Withheld | None
    dose: Dose | Withheld
    n_participants: int
    n_comparison: int
    standardised: bool


def assess_programme(
    drawn: Drawn,
    groups: Groups,
    declared: Declared,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    reliability: float | None = None,
) -> Programme:
    """Estimate what a programme added, by the design that its groups and its way of choosing participants carry.

    Parameters
    ----------
    drawn : Drawn
        Everyone who sat both measurements, also those set aside by `groups`: regression to the mean is judged by them.
        `frame` has pid, points_pre, form_pre, form_post, district, npsn, and what else balance looks at.
    groups : Groups
        As `form_groups` returns them for the same pairs.
    declared : Declared
        The plan.
    rng : Generator
        For permuting and resampling.
    confidence : float
        Of the intervals, between 0 and 1.
    reliability : float, optional
        Of the first form, for `expect_towards_mean`.

    Returns
    -------
    Programme

    Notes
    -----
    The change of a group picked by a score is shown only beside the regression to the mean it is expected to have; where that
    cannot be told, the change is withheld too.
    """
    linked = drawn.unit == "scale" or bool((drawn.frame["form_pre"] == drawn.frame["form_post"]).all())
    scores = drawn if linked else standardise_forms(drawn)
    study = _take_members(scores, groups)
    treated = study.frame["treated"].to_numpy(dtype=bool)
    everyone = scores.frame["pid"].isin(study.frame.loc[treated, "pid"]).to_numpy()
    towards = expect_towards_mean(scores, everyone, reliability=reliability, confidence=confidence)

    balance = measure_balance(study.frame, treated)
    facts = Facts(
        n_participants=int(treated.sum()),
        n_comparison=int((~treated).sum()),
        n_schools=len(np.unique(code_clusters(study.frame["npsn"], study.n)[treated])),
        imbalance=find_largest(balance, "before"),
        one_scale=linked,
        on_scale=drawn.unit == "scale",
        n_other_unit=groups.n_other_unit,
        roster_says=groups.roster_says,
        days_after=groups.days_after,
    )
    design = choose_design(declared, facts)
    weights = None
    effect: Effect | Withheld
    if isinstance(design, Withheld):
        effect = design
    elif design.method in ("prepost", "small"):
        effect = Withheld(design.reasons[0])
    else:
        effect, weights = _find_effect(study, treated, design, declared, rng=rng, confidence=confidence)
        if isinstance(effect, Withheld):
            design = replace(design, evidence=1, reasons=(*design.reasons, effect.reason))
    if weights is not None:
        balance = measure_balance(study.frame, treated, weights=weights)

    silent = _find_silence(declared, linked=linked, design=design, towards=towards)
    participants, others = study.take(treated), study.take(~treated)
    small = None
    if isinstance(design, Design) and design.method == "small":
        small = silent or describe_small(_as_pairs(participants), rng=rng, confidence=confidence)
    return Programme(
        design=design,
        balance=balance,
        change=silent or _average_gain(participants, confidence=confidence),
        comparison_change=silent or _average_gain(others, confidence=confidence),
        effect=effect,
        cace=_find_cace(study, treated, effect, confidence=confidence),
        towards_mean=towards,
        small=small,
        dose=_find_dose(participants, confidence=confidence),
        n_participants=participants.n,
        n_comparison=others.n,
        standardised=not linked,
    )


def _take_members(drawn: Drawn, groups: Groups) -> Drawn:
    """Return the members with what `groups` knows of them."""
    chosen = drawn.take(drawn.frame["pid"].isin(groups.members["pid"]).to_numpy())
    return replace(chosen, frame=chosen.frame.merge(groups.members, on="pid", how="left", validate="one_to_one"))


def _find_effect(
    study: Drawn, treated: Floats, design: Design, declared: Declared, *, rng: np.random.Generator, confidence: float
) -> tuple[Effect | Withheld, Floats | None]:
    """Return the effect by the design's method, and its weights; withheld where the groups stand too far apart for it."""
    if design.method == "randomisation":
        return permute_schools(study, treated, rng=rng, confidence=confidence), None
    if design.method == "lottery":
        lots = code_lots(study.frame)
        return estimate_ancova(study, treated, stratum=lots, method="lottery", confidence=confidence), None
    weights = weigh_overlap(study.frame, treated) if design.method == "overlap" else None
    if isinstance(weights, Withheld):
        return weights, None
    balance = measure_balance(study.frame, treated, weights=weights)
    apart = find_largest(balance, "before" if weights is None else "after")
    if apart > declared.balance_limit:
        return Withheld(say("programme.apart", limit=declared.balance_limit)), weights
    if design.method == "did":
        return estimate_did(study, treated, confidence=confidence), None
    found = estimate_ancova(study, treated, weights=weights, method=design.method, confidence=confidence)
    return found, weights


def _find_silence(
    declared: Declared, *, linked: bool, design: Design | Withheld, towards: TowardsMean | Withheld
) -> Withheld | None:
    """Return why no change may be shown, or None where it may."""
    if not linked:
        return Withheld(say("programme.no_scale"))
    if isinstance(design, Withheld):
        return design
    if declared.selected and isinstance(towards, Withheld):
        return Withheld(say("programme.change_alone", reason=towards.reason))
    return None


def _average_gain(drawn: Drawn, *, confidence: float) -> Contrast | Withheld:
    if not drawn.n:
        return Withheld(say("programme.nobody_compared"))
    return combine_means(drawn, drawn.gain, cluster="school", linked=1, confidence=confidence)


def _find_cace(study: Drawn, by_lot: Floats, effect: Effect | Withheld, *, confidence: float) -> Cace | Withheld | None:
    took = study.frame["took"].to_numpy(dtype=bool)
    if isinstance(effect, Withheld) or effect.method != "lottery" or (took == by_lot).all():
        return None
    return estimate_cace(study, by_lot, took, stratum=code_lots(study.frame), confidence=confidence)


def _find_dose(participants: Drawn, *, confidence: float) -> Dose | Withheld:
    if participants.frame["hours"].notna().any():
        return estimate_dose(participants, participants.frame["hours"], unit="hours", confidence=confidence)
    return estimate_dose(participants, participants.frame["sessions"], unit="sessions", confidence=confidence)


def _as_pairs(drawn: Drawn) -> pd.DataFrame:
    """Return the frame with its scores, as `estimate_change` takes them; on a scale the mean over the draws, which is refused."""
    return drawn.frame.assign(score_pre=drawn.pre.mean(axis=1), score_post=drawn.post.mean(axis=1), unit=drawn.unit)
