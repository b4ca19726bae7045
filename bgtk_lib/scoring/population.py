"""The population that plausible values are drawn from: estimated once, written down, held fast where a decision says so.

What is drawn of a person depends on the population, on this person's answers and groups, and on the answers of those who
share the school: so with a population held fast, new answers of one district move nobody's values in another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bgtk_lib.errors import Text
from bgtk_lib.findings import Withheld
from bgtk_lib.scoring.clusters import Clusters, find_clusters, weigh_persons
from bgtk_lib.scoring.conditioning import Conditions, Levels, lay_known_conditions
from bgtk_lib.scoring.evidence import draw_abilities, find_posterior
from bgtk_lib.scoring.regression import POINTS, Regression, draw_values, find_errors, fit_regression, gather_evidence
from bgtk_lib.scoring.sittings import FEWEST_PERSONS, Floats, Sittings
from bgtk_lib.words import say
from bgtk_lib.workspace.store import hash_content, read_sealed, write_sealed

CONFIDENCE = 0.95
KEY_BYTES = 16
FORMAT = 1
TABLES = ("waves", "coefficients")
ARRAYS = ("slopes", "covariance", "drawn_slopes", "drawn_covariances")


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """A latent regression with the draws of it, and all that is needed to draw persons' abilities from it again.

    Attributes
    ----------
    unit, centre : float
        Of the regression: its abilities are (θ − centre)/unit.
    grids : tuple of (float, float)
        First and last ability of each wave's grid, in these units.
    terms : tuple of str
        The regression's columns: ``constant``, ``district=18.01`` …
    conditioned_on : mapping
        Column → `Levels`: what may be compared.
    slopes : array (p, 2)
        Coefficients of `terms` at each wave (a second wave that is not there: 0).
    covariance : array (2, 2)
        Of the residuals, Σ.
    ratio : array (w, w) or None
        How Σ divides into what a school shares and what is a person's own (`Clusters.ratio`); None without schools.
    drawn_slopes, drawn_covariances : array (m, p, 2), (m, 2, 2)
        The same, drawn once for each set of plausible values: they carry what is not known of the population.
    key : str
        Of the persons' streams of random numbers.
    waves : DataFrame
        wave, n (persons), n_items, mean and sd of ability among them, reliability (share of its variance that answers
        and groups explain), between_clusters (share of the residual variance; null without clusters).
    n_both : int
        Persons who sat both waves; 0 where there is one.
    coefficients : DataFrame
        wave, term, estimate, se, note; in units of ability. ``dependent``: the column is a combination of others.
    correlation : float or Withheld
        Of the two waves' abilities, given the groups.
    correlation_low, correlation_high : float or None
        Its 95 % interval.
    converged : bool
        Whether the likelihood's maximum was found inside its bounds.
    """

    unit: float
    centre: float
    grids: tuple[tuple[float, float], ...]
    terms: tuple[str, ...]
    conditioned_on: Mapping[str, Levels]
    slopes: Floats
    covariance: Floats
    ratio: Floats | None
    drawn_slopes: Floats
    drawn_covariances: Floats
    key: str
    waves: pd.DataFrame
    n_both: int
    coefficients: pd.DataFrame
    correlation: float | Withheld
    correlation_low: float | None
    correlation_high: float | None
    converged: bool

    @property
    def residuals(self) -> pd.DataFrame:
        """Covariance of ability given the groups: wave × wave."""
        names = list(self.waves["wave"])
        spread = self.unit**2 * self.covariance[: len(names), : len(names)]
        return pd.DataFrame(spread, index=names, columns=names)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all of it: what a recorded decision names."""
        return hash_content(_encode(self))

    def draw(self, sittings: Sittings, conditioning: pd.DataFrame, schools: NDArray[np.str_]) -> Iterator[Floats]:
        """Yield everybody's abilities (n, 2) for each set of draws.

        Parameters
        ----------
        sittings : Sittings
            In the units of this population.
        conditioning : DataFrame
            The groups of the same n persons. Levels that the population does not know count as the pooled ones.
        schools : array of str (n,)
            Each person's school; who has none is one alone.

        Raises
        ------
        LinkageError
            If a grouping that the population knows of is not among the groups.

        Notes
        -----
        Every person, and every school, has a stream of random numbers of its own: the order of rows, and who else is
        there, change nobody's.
        """
        design = lay_known_conditions(conditioning, self.conditioned_on, self.terms)
        evidence = gather_evidence(sittings.each, tuple(np.linspace(*ends, POINTS) for ends in self.grids))
        w, m = len(self.grids), len(self.drawn_slopes)
        pids = [str(pid) for pid in sittings.pids]
        chances = np.array([stream.random((m, 2)) for stream in _open_streams(self.key, "person", pids)])
        clusters: Clusters | None = None
        if self.ratio is not None:
            mean = design @ self.slopes
            posterior = find_posterior(evidence, mean, self.covariance)
            codes, names = pd.factorize(schools)
            clusters = weigh_persons(posterior, mean[:, :w], self.covariance[:w, :w], codes=codes, ratio=self.ratio)
            noise = np.array([s.standard_normal((m, w)) for s in _open_streams(self.key, "school", [*names])])
        for at in range(m):
            mean, covariance = design @ self.drawn_slopes[at], self.drawn_covariances[at]
            if clusters is not None:
                mean, covariance = clusters.draw_prior(mean, covariance, noise=noise[:, at])
            theta = draw_abilities(evidence, mean, covariance, chances=chances[:, at].T)
            yield self.centre + self.unit * theta


def estimate_population(
    sittings: Sittings, conditions: Conditions, schools: NDArray[np.str_], *, n_values: int, rng: np.random.Generator
) -> Population | Withheld:
    """Estimate the regression of one or two waves on the groups, and draw it as often as values are wanted.

    Parameters
    ----------
    sittings : Sittings
        Who sat and what they answered.
    conditions : Conditions
        The regression's columns for the same persons.
    schools : array of str (n,)
        Each person's school; who has none is one alone.
    n_values : int
        How many draws of it.
    rng : Generator
        Of these, and of the key of the persons' streams.

    Returns
    -------
    Population or Withheld
        Withheld where there is no maximum.

    Notes
    -----
    Each set of plausible values draws the regression itself from its large-sample posterior, a normal distribution around
    the estimates whose covariance is the inverse of the observed curvature, with SDs as logarithms and the correlation as
    artanh. This makes the imputation proper: it carries the uncertainty of a group's mean, which all its members share.
    """
    key = rng.bytes(KEY_BYTES).hex()
    correlated = sittings.n_both >= FEWEST_PERSONS
    fit = fit_regression(sittings.each, conditions.design, correlated=correlated, n_later=conditions.n_later)
    if np.linalg.eigvalsh(fit.curvature).min() <= 0:
        return Withheld(say("scoring.plausible_no_maximum", n=len(sittings.pids)))
    clusters, codes = None, pd.factorize(schools)[0]
    if codes.max() + 1 < len(codes):
        fit, clusters = find_clusters(fit, codes)
    slopes, covariance = fit.model.unpack(fit.estimates)
    inverse = np.linalg.inv(fit.model.root)
    drawn = [draw_values(fit, rng=rng) for _ in range(n_values)]
    correlation, low, high = _state_correlation(fit, sittings)
    return Population(
        unit=sittings.unit,
        centre=sittings.centre,
        grids=tuple((float(grid[0]), float(grid[-1])) for grid in fit.evidence.grids[: fit.model.n_waves]),
        terms=tuple(term for term, stays in zip(conditions.terms, conditions.independent, strict=True) if stays),
        conditioned_on=conditions.levels,
        slopes=inverse @ slopes,
        covariance=covariance,
        ratio=None if clusters is None else clusters.ratio,
        drawn_slopes=np.array([inverse @ one for one, _ in drawn]),
        drawn_covariances=np.array([one for _, one in drawn]),
        key=key,
        waves=_describe_waves(fit, clusters, sittings),
        n_both=sittings.n_both,
        coefficients=_list_coefficients(fit, conditions, sittings),
        correlation=correlation,
        correlation_low=low,
        correlation_high=high,
        converged=fit.converged,
    )


def _open_streams(key: str, kind: str, names: Sequence[str]) -> Iterator[np.random.Generator]:
    """Yield a generator for each name: the same for the same key, kind and name."""
    for name in names:
        mark = hashlib.sha256(f"{key}|{kind}|{name}".encode()).digest()
        yield np.random.Generator(np.random.Philox(key=int.from_bytes(mark[:KEY_BYTES], "little")))


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


def write_population(path: Path, population: Population) -> str:
    """Write a population as JSON, whole or not at all, and return its fingerprint, which stands in the file too."""
    return write_sealed(path, _encode(population))


def read_population(path: Path) -> Population:
    """Return a population as it was written.

    Raises
    ------
    ParameterError
        If there is no such file.
    LinkageError
        If it does not match its fingerprint.
    """
    return _decode(read_sealed(path, kind=FORMAT, altered="scoring.population_altered"))


def _encode(population: Population) -> dict[str, Any]:
    content = {one.name: getattr(population, one.name) for one in fields(population)}
    content |= {name: content[name].tolist() for name in ARRAYS}
    content |= {
        name: content[name].astype(object).where(content[name].notna(), None).to_dict("records") for name in TABLES
    }
    correlation = population.correlation
    told = {"withheld": asdict(correlation.reason)} if isinstance(correlation, Withheld) else correlation
    return content | {
        "format": FORMAT,
        "grids": [list(ends) for ends in population.grids],
        "terms": list(population.terms),
        "conditioned_on": {
            name: [list(one.kept), list(one.pooled), one.unknown] for name, one in population.conditioned_on.items()
        },
        "ratio": None if population.ratio is None else population.ratio.tolist(),
        "correlation": told,
    }


def _decode(content: dict[str, Any]) -> Population:
    known = {one.name: content[one.name] for one in fields(Population)}
    told = known["correlation"]
    kinds = {
        "waves": {"between_clusters": "float64"},
        "coefficients": {"note": "str", "estimate": "float64", "se": "float64"},
    }
    return Population(
        **known
        | {name: np.array(known[name], dtype=float) for name in ARRAYS}
        | {name: pd.DataFrame(known[name]).astype(kinds[name]) for name in TABLES}
        | {
            "grids": tuple((low, high) for low, high in known["grids"]),
            "terms": tuple(known["terms"]),
            "conditioned_on": {
                name: Levels(kept=tuple(kept), pooled=tuple(pooled), unknown=unknown)
                for name, (kept, pooled, unknown) in known["conditioned_on"].items()
            },
            "ratio": None if known["ratio"] is None else np.array(known["ratio"]),
            "correlation": Withheld(Text(**told["withheld"])) if isinstance(told, dict) else told,
        }
    )
