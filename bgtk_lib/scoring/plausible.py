"""Plausible values: draws of each person's ability, made for what is said of groups, never of a person.

Means and spreads of best guesses of ability are wrong: a guess is pulled towards the middle. Draws from what answers
and groups together leave possible are not, if the model knows every group that is later compared. Ten sets of draws say
how much the test leaves open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bgtk_lib.errors import LinkageError, ParameterError
from bgtk_lib.findings import Withheld
from bgtk_lib.scoring.clusters import Clusters, find_clusters
from bgtk_lib.scoring.conditioning import Conditions, Levels, lay_conditions
from bgtk_lib.scoring.evidence import draw_abilities
from bgtk_lib.scoring.regression import Regression, draw_prior, find_errors, fit_regression
from bgtk_lib.scoring.sittings import FEWEST_PERSONS, Sittings, Waves, gather_sittings, shorten
from bgtk_lib.words import plain, say
from bgtk_lib.workspace.store import hash_content

CONFIDENCE = 0.95
PERSONS_PER_COLUMN = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class PlausibleValues:
    """Draws of ability at one or two waves, and the regression they come from.

    Attributes
    ----------
    draws : DataFrame
        pid, wave, draw (1 …), theta; one row a person, wave sat and draw.
    imputed : DataFrame
        The same of the waves not sat: drawn given the other wave's answers, groups and school. It is right if, given
        these, staying away has nothing to do with ability (missing at random).
    waves : DataFrame
        wave, n (persons), n_items, mean and sd of ability among them, reliability (share of its variance that answers
        and groups explain), between_clusters (share of the residual variance; null without clusters).
    n_both : int
        Persons who sat both waves; 0 where there is one.
    coefficients : DataFrame
        wave, term, estimate, se, note; in units of ability. ``dependent``: the column is a combination of others.
    residuals : DataFrame
        wave × wave: covariance of ability given the groups.
    correlation : float or Withheld
        Of the two waves' abilities, given the groups.
    correlation_low, correlation_high : float or None
        Its 95 % interval.
    conditioned_on : mapping
        Column → `Levels`: what may be compared.
    converged : bool
        Whether the likelihood's maximum was found inside its bounds.
    fingerprint : str
        SHA-256 of answers, items, groups, number of draws and the generator's state.
    """

    draws: pd.DataFrame
    imputed: pd.DataFrame
    waves: pd.DataFrame
    n_both: int
    coefficients: pd.DataFrame
    residuals: pd.DataFrame
    correlation: float | Withheld
    correlation_low: float | None
    correlation_high: float | None
    conditioned_on: Mapping[str, Levels]
    converged: bool
    fingerprint: str

    def for_draw(self, draw: int) -> pd.DataFrame:
        """Return one draw as a table: index pid, a column a wave, null where not sat."""
        chosen = self.draws[self.draws["draw"] == draw]
        return pd.DataFrame(
            {wave: chosen[chosen["wave"] == wave].set_index("pid")["theta"] for wave in self.waves["wave"]}
        )


def draw_plausible_values(
    waves: Waves,
    *,
    conditioning: pd.DataFrame,
    cluster: pd.Series[Any] | None = None,
    chosen: Collection[str] = (),
    n_values: int = 10,
    rng: np.random.Generator,
) -> PlausibleValues | Withheld:
    """Draw everybody's ability at one or two waves, given their answers and their groups.

    Parameters
    ----------
    waves : mapping
        Wave → credit (index pid; items in columns, categories, null where not presented) and the curves of its form.
        The curves of two waves are on one linked scale; items without a curve are left out. Persons may be in one wave.
    conditioning : DataFrame
        Index pid, a column for each grouping that will be compared: district, jenjang, programme rosters (who takes
        part, whenever that was: each wave has effects of its own), and crossings of them as columns of their own.
    cluster : Series, optional
        Index pid: the school (null: a school of one's own), if standard errors will be clustered by it.
    chosen : collection of str
        Columns of `conditioning` whose members were picked by their answers at the first wave. They act on the second wave
        only: at the first the answers say all, and a mean of their own would take the luck they were picked for as ability.
    n_values : int
        Draws a person, 2 or more.
    rng : Generator
        The same state gives the same draws, whatever the order of rows and columns.

    Returns
    -------
    PlausibleValues or Withheld
        Withheld with fewer than 30 persons in a wave or 5 a column, where no answers differ, or there is no maximum.

    Raises
    ------
    ParameterError
        If there are no or three waves, or fewer than two draws.
    LinkageError
        If a person stands twice or has no groups, or answers and curves do not fit.

    Notes
    -----
    One joint regression of both waves (`fit_regression`), since draws made wave by wave lose their correlation. Each
    set of draws first draws the regression itself from its large-sample posterior, a normal distribution around the
    estimates whose covariance is the inverse of the observed curvature, with SDs as logarithms and the correlation as
    artanh; then pairs of abilities from each person's posterior. The first step makes the imputation proper: it
    carries the uncertainty of a group's mean, which all its members share. With fewer than 30 persons in both waves
    the two are taken as unrelated.

    Effects are those of the columns given, added up: a crossing that is no column of its own is not known. A programme
    whose participants were chosen by a score is adjusted for that score, never for plausible values.

    References
    ----------
    Mislevy, R. J. (1991). Randomization-based inference about latent variables from complex samples. *Psychometrika*
    56, 177-196.

    Rubin, D. B. (1987). *Multiple imputation for nonresponse in surveys*. Wiley.
    """
    if len(waves) not in (1, 2) or n_values < 2:
        raise ParameterError(say("scoring.plausible_arguments", waves=len(waves), draws=n_values))
    sittings = gather_sittings(waves)
    if isinstance(sittings, Withheld):
        return sittings
    conditions = lay_conditions(_find_groups(conditioning, sittings), sittings.sat, chosen=chosen)
    n, columns = int(sittings.sat.sum(axis=0).min()), conditions.design.shape[1]
    if n < PERSONS_PER_COLUMN * columns:
        return Withheld(say("scoring.plausible_columns", n=n, columns=columns, needed=PERSONS_PER_COLUMN))
    codes = _code_clusters(cluster, sittings)
    fingerprint = _mark(sittings, conditions, codes, n_values=n_values, rng=rng)
    correlated = sittings.n_both >= FEWEST_PERSONS
    fit = fit_regression(sittings.each, conditions.design, correlated=correlated, n_later=conditions.n_later)
    if np.linalg.eigvalsh(fit.curvature).min() <= 0:
        return Withheld(say("scoring.plausible_no_maximum", n=len(sittings.pids)))
    clusters = None
    if codes.max() + 1 < len(codes):
        fit, clusters = find_clusters(fit, codes)

    tables: dict[bool, list[pd.DataFrame]] = {True: [], False: []}
    for draw in range(1, n_values + 1):
        mean, covariance = draw_prior(fit, rng=rng)
        if clusters is not None:
            mean, covariance = clusters.draw_prior(mean, covariance, rng=rng)
        theta = sittings.centre + sittings.unit * draw_abilities(fit.evidence, mean, covariance, rng=rng)
        for at, wave in enumerate(waves):
            for sat, parts in tables.items():
                here = sittings.sat[:, at] == sat
                drawn = {"pid": sittings.pids[here], "wave": wave, "draw": draw, "theta": theta[here, at]}
                parts.append(pd.DataFrame(drawn))
    correlation, low, high = _state_correlation(fit, sittings)
    names, covariance = list(waves), sittings.unit**2 * fit.model.unpack(fit.estimates)[1]
    return PlausibleValues(
        draws=pd.concat(tables[True], ignore_index=True),
        imputed=pd.concat(tables[False], ignore_index=True),
        waves=_describe_waves(fit, clusters, sittings),
        n_both=sittings.n_both,
        coefficients=_list_coefficients(fit, conditions, sittings),
        residuals=pd.DataFrame(covariance[: len(names), : len(names)], index=names, columns=names),
        correlation=correlation,
        correlation_low=low,
        correlation_high=high,
        conditioned_on=conditions.levels,
        converged=fit.converged,
        fingerprint=fingerprint,
    )


def require_conditioned(plausible: PlausibleValues, column: str, level: object = None) -> Withheld | None:
    """Return None if a grouping may be compared with these plausible values, else why not and what to do.

    Parameters
    ----------
    plausible : PlausibleValues
        Drawn with a list of groupings.
    column : str
        The grouping, e.g. ``district``.
    level : object, optional
        One of its levels; without it, all of them.

    Notes
    -----
    What the regression did not know of is drawn as if it had no effect: 18–55 % of an effect is lost at reliabilities
    of .8–.6. Pooled levels are drawn as one.
    """
    levels = plausible.conditioned_on.get(column)
    if levels is None:
        return Withheld(say("scoring.not_conditioned", column=plain(column)))
    if level is None and levels.pooled:
        names = shorten(levels.pooled)
        return Withheld(say("scoring.levels_pooled", column=plain(column), n=len(levels.pooled), levels=names))
    if level is not None and str(level) in levels.pooled:
        return Withheld(say("scoring.level_pooled", column=plain(column), level=plain(str(level))))
    if level is not None and str(level) not in levels.kept:
        return Withheld(say("scoring.level_unknown", column=plain(column), level=plain(str(level))))
    return None


def _find_groups(conditioning: pd.DataFrame, sittings: Sittings) -> pd.DataFrame:
    """Return the groups of the persons who sat."""
    twice = int(conditioning.index.duplicated().sum())
    absent = int((~sittings.pids.isin(conditioning.index)).sum())
    if twice or absent:
        raise LinkageError(say("scoring.groups_unclear", twice=twice, absent=absent, n=len(sittings.pids)))
    return conditioning.loc[sittings.pids]


def _code_clusters(cluster: pd.Series[Any] | None, sittings: Sittings) -> NDArray[np.intp]:
    """Return codes 0 …; who has no cluster is one alone."""
    if cluster is None:
        return np.arange(len(sittings.pids))
    twice = int(cluster.index.duplicated().sum())
    if twice:
        raise LinkageError(say("scoring.groups_unclear", twice=twice, absent=0, n=len(sittings.pids)))
    codes, known = pd.factorize(cluster.reindex(sittings.pids))
    alone = codes == -1
    codes[alone] = len(known) + np.arange(alone.sum())
    return codes


def _mark(
    sittings: Sittings, conditions: Conditions, codes: NDArray[np.intp], *, n_values: int, rng: np.random.Generator
) -> str:
    """Return the fingerprint of everything the draws depend on."""
    digest = hashlib.sha256("\0".join(map(str, sittings.pids)).encode())
    arrays = [conditions.design, codes.astype(float)]
    for one in sittings.each:
        arrays += [one.credit, one.curves.slopes, one.curves.intercepts, one.curves.graded.astype(float)]
    for array in arrays:
        digest.update(np.nan_to_num(array, nan=np.inf).tobytes())
    levels = {column: [one.kept, one.pooled] for column, one in conditions.levels.items()}
    scale = [sittings.unit, sittings.centre, conditions.n_later]
    return hash_content([digest.hexdigest(), levels, conditions.terms, scale, n_values, rng.bit_generator.state])


def _state_correlation(fit: Regression, sittings: Sittings) -> tuple[float | Withheld, float | None, float | None]:
    """Return the residual correlation with its interval."""
    if not fit.model.correlated:
        return Withheld(say("scoring.plausible_unpaired", n=sittings.n_both, needed=FEWEST_PERSONS)), None, None
    half = float(stats.norm.isf((1 - CONFIDENCE) / 2) * np.sqrt(np.linalg.inv(fit.curvature)[-1, -1]))
    middle = float(fit.estimates[-1])
    return float(np.tanh(middle)), float(np.tanh(middle - half)), float(np.tanh(middle + half))


def _describe_waves(fit: Regression, clusters: Clusters | None, sittings: Sittings) -> pd.DataFrame:
    """Return how many sat each wave, with how many items, and the distribution of their ability."""
    rows, w = [], len(sittings.waves)
    covariance = fit.model.unpack(fit.estimates)[1][:w, :w]
    between = np.full((w, w), np.nan) if clusters is None else clusters.divide(covariance)[1] / covariance
    for at, (wave, one) in enumerate(zip(sittings.waves, sittings.each, strict=True)):
        here = sittings.sat[:, at]
        expected, left = fit.posterior.mean[here, at], fit.posterior.covariance[here, at, at].mean()
        total = expected.var() + left
        row = {"wave": wave, "n": int(here.sum()), "n_items": one.credit.shape[1]}
        row |= {"mean": sittings.centre + sittings.unit * expected.mean(), "sd": sittings.unit * np.sqrt(total)}
        rows.append(row | {"reliability": 1 - left / total, "between_clusters": between[at, at]})
    return pd.DataFrame(rows)


def _list_coefficients(fit: Regression, conditions: Conditions, sittings: Sittings) -> pd.DataFrame:
    """Return wave, term, estimate, se, note."""
    estimates = sittings.unit * np.linalg.solve(fit.model.root, fit.model.unpack(fit.estimates)[0])
    estimates[0] += sittings.centre
    errors = sittings.unit * find_errors(fit)
    terms = pd.DataFrame(
        {
            "term": conditions.terms,
            "note": pd.Series("dependent", dtype="str", index=range(len(conditions.terms))).mask(
                conditions.independent
            ),
        }
    )
    tables = []
    for at, wave in enumerate(sittings.waves):
        table = terms.assign(wave=wave, estimate=np.nan, se=np.nan)
        table.loc[conditions.independent, ["estimate", "se"]] = np.column_stack([estimates[:, at], errors[:, at]])
        tables.append(table)
    return pd.concat(tables, ignore_index=True)[["wave", "term", "estimate", "se", "note"]]
