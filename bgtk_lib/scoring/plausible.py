"""Plausible values: draws of each person's ability, made for what is said of groups, never of a person.

Means and spreads of best guesses of ability are wrong: a guess is pulled towards the middle. Draws from what answers
and groups together leave possible are not, if the model knows every group that is later compared. Ten sets of draws say
how much the test leaves open.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bgtk_lib.errors import LinkageError, ParameterError
from bgtk_lib.findings import Withheld
from bgtk_lib.scoring.conditioning import lay_conditions
from bgtk_lib.scoring.population import Population, estimate_population
from bgtk_lib.scoring.sittings import Sittings, Waves, gather_sittings, shorten
from bgtk_lib.words import plain, say

PERSONS_PER_COLUMN = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class PlausibleValues:
    """Draws of ability at one or two waves, and the population they come from.

    Attributes
    ----------
    draws : DataFrame
        pid, wave, draw (1 …), theta; one row a person, wave sat and draw.
    imputed : DataFrame
        The same of the waves not sat: drawn given the other wave's answers, groups and school. It is right if, given
        these, staying away has nothing to do with ability (missing at random).
    population : Population
        What they were drawn from, and what may be compared with them.
    """

    draws: pd.DataFrame
    imputed: pd.DataFrame
    population: Population

    def for_draw(self, draw: int) -> pd.DataFrame:
        """Return one draw as a table: index pid, a column a wave, null where not sat."""
        chosen = self.draws[self.draws["draw"] == draw]
        return pd.DataFrame(
            {wave: chosen[chosen["wave"] == wave].set_index("pid")["theta"] for wave in self.population.waves["wave"]}
        )


def draw_plausible_values(
    waves: Waves,
    *,
    conditioning: pd.DataFrame,
    cluster: pd.Series[Any] | None = None,
    chosen: Collection[str] = (),
    n_values: int = 10,
    rng: np.random.Generator,
    population: Population | None = None,
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
    population : Population, optional
        One that a decision holds fast: it is not estimated again, and nobody's draws depend on the answers of another
        school. `chosen`, `n_values` and `rng` are its own then.

    Returns
    -------
    PlausibleValues or Withheld
        Withheld with fewer than 30 persons in a wave or 5 a column, where no answers differ, or there is no maximum.

    Raises
    ------
    ParameterError
        If there are no or three waves, or fewer than two draws.
    LinkageError
        If a person stands twice or has no groups, or answers, curves and a population held fast do not fit.

    Notes
    -----
    One joint regression of both waves (`fit_regression`), since draws made wave by wave lose their correlation, drawn
    anew for each set (`estimate_population`); then pairs of abilities from each person's posterior. With fewer than 30
    persons in both waves the two are taken as unrelated.

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
    groups, schools = _find_groups(conditioning, sittings), _name_schools(cluster, sittings)
    if population is None:
        conditions = lay_conditions(groups, sittings.sat, chosen=chosen)
        n, columns = int(sittings.sat.sum(axis=0).min()), conditions.design.shape[1]
        if n < PERSONS_PER_COLUMN * columns:
            return Withheld(say("scoring.plausible_columns", n=n, columns=columns, needed=PERSONS_PER_COLUMN))
        found = estimate_population(sittings, conditions, schools, n_values=n_values, rng=rng)
        if isinstance(found, Withheld):
            return found
        population = found
    elif [*population.waves["wave"]] != [*waves]:
        raise LinkageError(say("scoring.population_waves", waves=plain(" → ".join(population.waves["wave"]))))
    sittings = sittings.express(unit=population.unit, centre=population.centre)

    tables: dict[bool, list[pd.DataFrame]] = {True: [], False: []}
    for draw, theta in enumerate(population.draw(sittings, groups, schools), start=1):
        for at, wave in enumerate(waves):
            for sat, parts in tables.items():
                here = sittings.sat[:, at] == sat
                drawn = {"pid": sittings.pids[here], "wave": wave, "draw": draw, "theta": theta[here, at]}
                parts.append(pd.DataFrame(drawn))
    return PlausibleValues(
        draws=pd.concat(tables[True], ignore_index=True),
        imputed=pd.concat(tables[False], ignore_index=True),
        population=population,
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
    levels = plausible.population.conditioned_on.get(column)
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


def _name_schools(cluster: pd.Series[Any] | None, sittings: Sittings) -> NDArray[np.str_]:
    """Return each person's school; who has none is one alone."""
    alone = np.array([f"alone {pid}" for pid in sittings.pids])
    if cluster is None:
        return alone
    twice = int(cluster.index.duplicated().sum())
    if twice:
        raise LinkageError(say("scoring.groups_unclear", twice=twice, absent=0, n=len(sittings.pids)))
    found = cluster.reindex(sittings.pids)
    return np.where(found.isna(), alone, found.astype(str).to_numpy(str))
