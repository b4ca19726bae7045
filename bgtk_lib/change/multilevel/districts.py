"""Change by district with schools as random intercepts, and district estimates drawn towards their common mean.

The model is fitted to every draw by REML; what a district's own few schools leave open is then filled from
the other districts (`change.shrink`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bgtk_lib.change.clusters import code_clusters
from bgtk_lib.change.drawn import Drawn, combine
from bgtk_lib.change.multilevel.intercepts import fit_random_intercepts
from bgtk_lib.change.multilevel.shrink import FEWEST, shrink
from bgtk_lib.errors import Text
from bgtk_lib.findings import PLACING, Figure, Withheld
from bgtk_lib.words import plain, say

DISTRICT_COLUMNS = {
    "district": "str",
    "n_pairs": "Int64",
    "n_schools": "Int64",
    **dict.fromkeys(
        ("raw", "raw_se", "raw_low", "raw_high", "shrunken", "low", "high", "weight"), "float64"
    ),
    "note": "str",
}  # fmt: skip
KINDS = {"float": "float64", "float | None": "float64", "int": "Int64", "bool": "boolean", "str": "str"}
KINDS["tuple[float, ...]"] = "object"
RAW = {"": "estimate", "_se": "se", "_low": "low", "_high": "high"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Multilevel:
    """Change by district, each from its own pairs and shrunken.

    Attributes
    ----------
    districts : DataFrame
        One row a district in code order: district, n_pairs, n_schools; `raw`, `raw_se`, `raw_low`, `raw_high` from the
        mixed model; `shrunken`, `low`, `high`; `weight`, the share that its own pairs have in the shrunken estimate. Null
        where `note` says ``not_conditioned``.
    mean, mean_low, mean_high : float
        Mean of the districts, each counting as one; with the link's error in its interval.
    tau, tau_low, tau_high : float
        Standard deviation of the districts' true changes (REML) and its Q-profile interval; the ends are null where the
        districts lie closer together than their errors let expect.
    var_school, var_person : float
        Variances of the change between schools of a district and between persons of a school, means over the draws. From
        points of a form the second one holds measurement error too.
    icc_school : float or None
        var_school / (var_school + var_person); null where no school has two persons.
    share_districts : float
        tau² / (tau² + var_school + var_person).
    loglik : tuple of float
        Restricted log-likelihood of each draw.
    n_boundary : int
        Draws whose variance between schools is 0: a result, not a failure.
    n_pairs, n_schools : int
        In the model; who has no school is a school of one.
    confidence : float
        Of all intervals.
    unit : {"points", "scale"}
        As in `Drawn`.
    """

    districts: pd.DataFrame
    mean: float
    mean_low: float
    mean_high: float
    tau: float
    tau_low: float | None
    tau_high: float | None
    var_school: float
    var_person: float
    icc_school: float | None
    share_districts: float
    loglik: tuple[float, ...]
    n_boundary: int
    n_pairs: int
    n_schools: int
    confidence: float
    unit: str


def fit_multilevel(
    drawn: Drawn, *, conditioned: Collection[str] | None = None, confidence: float = 0.95
) -> Multilevel | Withheld:
    """Estimate the change of every district by a mixed model and shrink it, with measurement and link in the intervals.

    Parameters
    ----------
    drawn : Drawn
        The pairs, as `lay_draws` returns them; `frame` has district and npsn. Pairs without a district are left out.
    conditioned : collection of str, optional
        Districts that the plausible values know of; others are left out of the model and listed with a note. None: all.
    confidence : float
        Of all intervals, between 0 and 1.

    Returns
    -------
    Multilevel or Withheld
        Withheld with fewer than three districts, or where the change does not vary within them.

    Notes
    -----
    First stage, in each draw: change = district + school + person by REML (`fit_random_intercepts`). Each district's `raw`
    estimate is put together by `combine`, degrees of freedom being schools less districts. Second stage (`shrink`): the
    districts are exchangeable. What e, the link's error, leaves of a district's variance T stands on the diagonal, T − e²;
    off it stands what the mixed model has there; the draws' own covariances, of which m draws tell next to nothing, are
    left out. The link's error is common to all districts: it moves none against another, and is added to each interval
    as the root of both squares on either side (Zou & Donner 2008).

    A shrunken estimate is nearer to the truth on average over the districts; for a single one it may be the worse. Its
    interval speaks of districts like these, not of this one over repeated tests.

    References
    ----------
    Zou, G. Y. & Donner, A. (2008). Construction of confidence limits about effect measures: a general approach. *Statistics
    in Medicine* 27(10), 1693-1702.

    Examples
    --------
    >>> from bgtk_lib.change.drawn import lay_draws
    >>> pairs = pd.DataFrame({"pid": range(6), "score_pre": 0.0, "score_post": [1, 3, 4, 6, 7, 9.0]})
    >>> pairs = pairs.assign(district=["A", "A", "B", "B", "C", "C"], npsn=None)
    >>> fit_multilevel(lay_draws(pairs, pd.DataFrame())).districts["raw"].round(6).tolist()
    [2.0, 5.0, 8.0]
    """
    frame = drawn.frame.assign(school=code_clusters(drawn.frame["npsn"], drawn.n))
    counts = frame.groupby("district").agg(n_pairs=("school", "size"), n_schools=("school", "nunique")).reset_index()
    used = counts["district"] if conditioned is None else counts.loc[counts["district"].isin(conditioned), "district"]
    chosen = frame["district"].isin(used)
    kept = drawn.take(chosen.to_numpy())
    place, codes = pd.factorize(kept.frame["district"], sort=True)
    if len(codes) < FEWEST:
        return Withheld(say("multilevel.few_districts", n=len(codes), needed=FEWEST))
    school = pd.factorize(frame.loc[chosen, "school"])[0]
    fits = fit_random_intercepts(kept.gain, np.eye(len(codes))[place], school)
    if isinstance(fits, Withheld):
        return fits

    means, within = np.array([fit.coef for fit in fits]), np.array([fit.covariance for fit in fits])
    n_schools, raw = int(school.max()) + 1, []
    for d in range(len(codes)):
        df, here = max(n_schools - len(codes), 1), kept.take(place == d)
        one = combine(here, means[:, d], within[:, d, d], df=df, linked=1, confidence=confidence)
        if isinstance(one, Withheld):
            return one
        raw.append(one)
    errors = within.mean(axis=0)
    np.fill_diagonal(errors, [one.se**2 - kept.linking_error**2 for one in raw])
    shrunken = shrink([one.estimate for one in raw], errors, confidence=confidence)
    if isinstance(shrunken, Withheld):
        return shrunken

    half = kept.linking_error * float(stats.t.isf((1 - confidence) / 2, kept.link_df))
    low, high = _widen(shrunken.estimate, shrunken.low, shrunken.high, half=half)
    columns: dict[str, Any] = {f"raw{end}": [getattr(one, name) for one in raw] for end, name in RAW.items()}
    columns |= {"shrunken": shrunken.estimate, "low": low, "high": high, "weight": shrunken.weight}
    table = counts.merge(pd.DataFrame({"district": codes, **columns}), on="district", how="left", validate="one_to_one")
    note = table["raw"].isna().map({True: "not_conditioned", False: None})
    var_school, var_person = (float(np.mean([getattr(fit, f"var_{of}") for fit in fits])) for of in ("group", "rest"))
    mean_low, mean_high = _widen(shrunken.mean, shrunken.mean_low, shrunken.mean_high, half=half)
    return Multilevel(
        districts=table.assign(note=note)[list(DISTRICT_COLUMNS)].astype(DISTRICT_COLUMNS),
        mean=shrunken.mean,
        mean_low=float(mean_low),
        mean_high=float(mean_high),
        tau=shrunken.tau,
        tau_low=shrunken.tau_low,
        tau_high=shrunken.tau_high,
        var_school=var_school,
        var_person=var_person,
        icc_school=var_school / (var_school + var_person) if n_schools < kept.n else None,
        share_districts=shrunken.tau**2 / (shrunken.tau**2 + var_school + var_person),
        loglik=tuple(fit.loglik for fit in fits),
        n_boundary=sum(fit.var_group == 0 for fit in fits),
        n_pairs=kept.n,
        n_schools=n_schools,
        confidence=confidence,
        unit=kept.unit,
    )


def tabulate_multilevel(result: Multilevel | Withheld) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a result as two tables to be stored: the districts, and one row of the model.

    Parameters
    ----------
    result : Multilevel or Withheld
        As `fit_multilevel` returns it.

    Returns
    -------
    districts, model : DataFrame
        `Multilevel.districts`, empty where withheld; the other attributes in one row, with `withheld_id` and
        `withheld_en`, the reason in both languages, null where there is none.
    """
    kinds = {one.name: KINDS[str(one.type)] for one in fields(Multilevel) if one.name != "districts"}
    row: dict[str, Any] = dict.fromkeys(kinds) | {"loglik": [], "withheld_id": None, "withheld_en": None}
    districts = pd.DataFrame(columns=list(DISTRICT_COLUMNS)).astype(DISTRICT_COLUMNS)
    if isinstance(result, Withheld):
        row |= {f"withheld_{language}": told for language, told in asdict(result.reason).items()}
    else:
        districts = result.districts
        row |= {name: getattr(result, name) for name in kinds} | {"loglik": list(result.loglik)}
    return districts, pd.DataFrame([row]).astype(kinds | dict.fromkeys(("withheld_id", "withheld_en"), "str"))


def list_shrunken(districts: pd.DataFrame, model: pd.DataFrame) -> list[Figure]:
    """Return the change of each district as `change.raw` and `change.shrunken`; of all, `change.district_mean` and `.district_sd`.

    Parameters
    ----------
    districts, model : DataFrame
        As `tabulate_multilevel` returns them; no figures where both are empty. Where the model has no result, one
        withheld `change.district_mean` says why.
    """
    if model.empty:
        return []
    told = model.iloc[0]
    everyone = partial(Figure, unit="points", population=say("population.pairs"), status="exploratory", gates=PLACING)
    if pd.notna(told["withheld_id"]):
        reason = Text(id=str(told["withheld_id"]), en=str(told["withheld_en"]))
        return [everyone(name="change.district_mean", value=Withheld(reason), n=0)]

    figures = []
    for row in districts.to_dict("records"):
        code = str(row["district"])
        here = partial(
            everyone,
            where={"district": code},
            n=int(row["n_pairs"]),
            population=say("population.pairs_in", district=plain(code)),
        )
        if pd.notna(row["note"]):
            withheld = Withheld(say(f"withheld.{row['note']}"))
            figures += [here(name=name, value=withheld) for name in ("change.raw", "change.shrunken")]
            continue
        ends = {"low": float(row["raw_low"]), "high": float(row["raw_high"]), "se": float(row["raw_se"])}
        figures.append(here(name="change.raw", value=float(row["raw"]), **ends))
        ends = {"low": float(row["low"]), "high": float(row["high"])}
        figures.append(here(name="change.shrunken", value=float(row["shrunken"]), **ends))
    # not all districts are in the model: its n less those shown could be what another table hides
    everyone = partial(everyone, n=int(told["n_pairs"]), tells_n=False)
    ends = {name: float(told[f"mean_{name}"]) for name in ("low", "high")}
    figures.append(everyone(name="change.district_mean", value=float(told["mean"]), **ends))
    ends = {} if pd.isna(told["tau_low"]) else {name: float(told[f"tau_{name}"]) for name in ("low", "high")}
    return [*figures, everyone(name="change.district_sd", value=float(told["tau"]), **ends)]


def _widen(middle: Any, low: Any, high: Any, *, half: float) -> tuple[Any, Any]:
    """Return an interval with an independent error added: on each side the root of both squares."""
    return middle - np.hypot(middle - low, half), middle + np.hypot(high - middle, half)
