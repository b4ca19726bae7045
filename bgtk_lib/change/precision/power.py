"""The smallest change that can be told from none: of what was measured, and of the next wave with more or fewer persons."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy import stats

from bgtk_lib.change.describe import FEWEST_DF
from bgtk_lib.change.estimate import Change
from bgtk_lib.change.precision.next_wave import ANCHOR_INFORMATION, NextWave
from bgtk_lib.findings import COMPARING, Figure, Withheld
from bgtk_lib.words import say

Case = Literal["subject", "district", "province", "province_wider", "workshop", "programme", "programme_schools"]

POWER_COLUMNS = ["case", "n", "se_sd", "df", "mde_sd", "mde_points", "note"]
NEEDED_COLUMNS = ["case", "target_sd", "n", "note"]
LEVEL = 0.05  # two-sided
CHANCE = 0.80  # that a change of this size is told from none
TARGET = 0.20  # standard deviations
PERSONS = range(2, 100_001)  # asked about
SIZES: Mapping[Case, Sequence[int]] = {
    "subject": (100, 150, 300, 600),
    "district": (150, 300, 600, 1000),
    "province": (1000, 2500, 5000, 10_000),
    "province_wider": (1000, 2500, 5000, 10_000),
    "workshop": (20, 30, 100),
    "programme": (60, 100, 300, 1000),
    "programme_schools": (60, 100, 300, 1000),
}


def find_detectable(se: float, *, df: float) -> float | Withheld:
    """Return the smallest change told from none with a chance of 80 % at a level of 5 %, in the unit of `se`.

    Parameters
    ----------
    se, df : float
        Standard error and degrees of freedom of the estimate.

    Returns
    -------
    float or Withheld
        (t_.975 + t_.80)·se (Bloom 1995). Withheld below 3 degrees of freedom: by the noncentral t it is 2 % too small at 3,
        5 % at 2.

    References
    ----------
    Bloom, H. S. (1995). Minimum detectable effects: a simple way to report the statistical power of experimental designs.
    *Evaluation Review* 19(5), 547-556.

    Examples
    --------
    With many degrees of freedom 1.96 + 0.84 standard errors.

    >>> round(find_detectable(1.0, df=1e9), 2)
    2.8
    """
    if df < FEWEST_DF:
        return Withheld(say("withheld.few_clusters"))
    return _count_errors(df) * se


def list_detectable(change: Change | Withheld, *, n: int) -> list[Figure]:
    """Return what the comparison just made could have told from no change: `change.mde`, `change.mde_sd`.

    Parameters
    ----------
    change : Change or Withheld
        As `estimate_change` returns it.
    n : int
        Pairs.
    """
    figure = partial(Figure, n=n, population=say("population.pairs"), gates=COMPARING)
    if isinstance(change, Withheld):
        return [figure(name="change.mde", value=change, unit="points")]
    return [
        figure(name="change.mde", value=find_detectable(change.se, df=change.df), unit="points"),
        figure(name="change.mde_sd", value=find_detectable(change.g_av_se, df=change.df), unit="sd"),
    ]


def plan_power(wave: NextWave, *, sizes: Mapping[Case, Sequence[int]] = SIZES) -> pd.DataFrame:
    """Return the smallest change the next wave could tell from none, for every case and number of persons.

    Parameters
    ----------
    wave : NextWave
        What is assumed.
    sizes : mapping
        Case → persons with both scores; in the programme cases those of both groups, half in each.

        * ``subject``, ``province``: everyone of one assessment; schools independent within fixed districts (the headline).
        * ``district``: the same in one of `n_districts` equal districts; the link is that of all of them.
        * ``province_wider``: districts as draws from more of them (the sensitivity line).
        * ``workshop``: persons independent, one form at both sittings.
        * ``programme``: two groups of persons, the later score adjusted for the first.
        * ``programme_schools``: the same with whole schools in either group.

    Returns
    -------
    DataFrame
        `POWER_COLUMNS`: `mde_sd` in standard deviations of true scores, `mde_points` in points; `se_sd`, `df` what they rest
        on. Null with the note ``few_clusters`` below 3 degrees of freedom.

    Notes
    -----
    Of true change the variance is V = 2(1 − r), of error E = 2(1/ρ − 1) a person. A mean of n in schools of c, districts
    fixed: [icc_s·V·c + (1 − icc_s − icc_d)·V + E] / n with n/c − D degrees of freedom; with districts as draws icc_d·V/D more,
    and D − 1; a workshop (V + E)/n and n − 1.

    A link of L anchors adds (drift² + 8/N)/L with L − 1 degrees of freedom: an anchor has two difficulties, each of error
    1/√(N/4) logits at best where N persons calibrate a form, and the spread of ability is taken as one logit. As those who
    make the link are measured with the same answers, only 1 − w of E is added to it, w being their share (1; in a district
    1/D), but never less than E in all; `drawn.combine` says why. Degrees of freedom by Welch and Satterthwaite.

    Two groups share their forms, so that no link enters: 4·R/n with R = (1/ρ)(1 − (rρ)²), the later score's variance that the
    first leaves, and n − 3; schools as groups 4·R·(icc_s·c + 1 − icc_s)/n and n/c − 2.

    Examples
    --------
    A hundred persons of a workshop, r = .7 without measurement error: √(.6/100)·2.83.

    >>> from bgtk_lib.change.precision.next_wave import PLAIN
    >>> plan_power(PLAIN, sizes={"workshop": [100]})[["n", "mde_sd", "mde_points"]].round(2)
         n  mde_sd  mde_points
    0  100    0.22       21.92
    """
    rows: list[dict[str, Any]] = []
    for case, n in [(case, int(n)) for case, persons in sizes.items() for n in persons]:
        se, df = _expect_error(case, n, wave)
        if df < FEWEST_DF:
            rows.append({"case": case, "n": n, "note": "few_clusters"})
        else:
            mde = _count_errors(df) * se
            rows.append({"case": case, "n": n, "se_sd": se, "df": df, "mde_sd": mde, "mde_points": mde * wave.sd})
    numbers = dict.fromkeys(("se_sd", "df", "mde_sd", "mde_points"), "float64")
    return pd.DataFrame(rows, columns=POWER_COLUMNS).astype({**numbers, "note": "str"})


def count_needed(wave: NextWave, *, target_sd: float = TARGET) -> pd.DataFrame:
    """Return how many persons each case needs to tell a change from none.

    Parameters
    ----------
    wave : NextWave
        What is assumed.
    target_sd : float
        The change, in standard deviations of true scores.

    Returns
    -------
    DataFrame
        `NEEDED_COLUMNS`, every case. `n` is null with the note ``never`` where 100,000 persons are not enough: what districts
        or anchors differ by does not shrink with more persons.

    Examples
    --------
    >>> from bgtk_lib.change.precision.next_wave import PLAIN
    >>> needed = count_needed(PLAIN).set_index("case")["n"]
    >>> int(needed["workshop"])
    120
    """

    def reaches(case: Case, n: int) -> bool:
        se, df = _expect_error(case, n, wave)
        return df >= FEWEST_DF and _count_errors(df) * se <= target_sd

    rows = []
    for case in get_args(Case):
        place = bisect_left(PERSONS, True, key=partial(reaches, case))
        found = {"n": PERSONS[place]} if place < len(PERSONS) else {"note": "never"}
        rows.append({"case": case, "target_sd": target_sd, **found})
    return pd.DataFrame(rows, columns=NEEDED_COLUMNS).astype({"n": "Int64", "note": "str"})


def list_power(wave: NextWave | Withheld, *, sizes: Mapping[Case, Sequence[int]] = SIZES) -> list[Figure]:
    """Return the next wave as figures: `power.mde`, `power.mde_points`, `power.n_needed`, `power.assumed.*`.

    Parameters
    ----------
    wave : NextWave or Withheld
        As `foresee` returns it.
    sizes : mapping
        As in `plan_power`. `where` holds the case, and n as planned; nobody stands behind these figures yet.
    """
    figure = partial(Figure, n=0, population=say("population.next_wave"))
    if isinstance(wave, Withheld):
        return [figure(name="power.mde", value=wave, unit="sd")]
    figures = [
        figure(name=f"power.assumed.{name}", value=value, unit="points" if name == "sd" else "number")
        for name, value in vars(wave).items()
    ]
    for row in plan_power(wave, sizes=sizes).to_dict("records"):
        where = {"case": str(row["case"]), "n": str(row["n"])}
        few = Withheld(say("withheld.few_clusters")) if pd.notna(row["note"]) else None
        figures.append(figure(name="power.mde", where=where, value=few or row["mde_sd"], unit="sd"))
        figures.append(figure(name="power.mde_points", where=where, value=few or row["mde_points"], unit="points"))
    for row in count_needed(wave).to_dict("records"):
        never = Withheld(say("power.never", target=row["target_sd"])) if pd.notna(row["note"]) else None
        where = {"case": str(row["case"]), "target_sd": str(row["target_sd"])}
        figures.append(figure(name="power.n_needed", where=where, value=never or int(row["n"]), unit="persons"))
    return figures


def _count_errors(df: float) -> float:
    """Return how many standard errors a detectable change has."""
    return float(stats.t.isf(LEVEL / 2, df) + stats.t.ppf(CHANCE, df))


def _expect_error(case: Case, n: int, wave: NextWave) -> tuple[float, float]:
    """Return standard error and degrees of freedom of a case; none or fewer where it cannot be estimated."""
    if n < 2:
        return np.inf, 0.0
    true, error = 2 * (1 - wave.retest_r), 2 * (1 / wave.reliability - 1)
    inside = true * (wave.icc_school * wave.per_school + 1 - wave.icc_school - wave.icc_district)
    left = 4 * (1 - (wave.retest_r * wave.reliability) ** 2) / wave.reliability
    schools, districts = n / wave.per_school, wave.n_districts
    if case == "workshop":
        return float(np.sqrt((true + error) / n)), n - 1
    if case == "programme":
        return float(np.sqrt(left / n)), n - 3
    if case == "programme_schools":
        return float(np.sqrt(left * (wave.icc_school * wave.per_school + 1 - wave.icc_school) / n)), schools - 2

    variance, df = inside / n, schools - (1 if case == "district" else districts)
    if case == "province_wider":
        variance, df = variance + true * wave.icc_district / districts, min(districts, schools) - 1
    share = 1 / districts if case == "district" else 1.0
    link = (wave.drift_sd**2 + 2 * share / (ANCHOR_INFORMATION * n)) / wave.n_anchors if wave.n_anchors else 0.0
    if df <= 0 or link <= share * error / n:
        return float(np.sqrt(variance + error / n)), df
    variance += (1 - share) * error / n
    freedom = (variance + link) ** 2 / (variance**2 / df + link**2 / max(wave.n_anchors - 1, 1))
    return float(np.sqrt(variance + link)), float(freedom)
