"""Latent regression of ability at one or two occasions on what is known of persons, the items' parameters being known.

θ_i = B′x_i + e_i, e_i ~ N(0, Σ): each occasion has coefficients of its own, Σ is free. Whoever sat one occasion stays;
what was not answered says nothing (missing at random, given x and the other occasion).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from bgtk_lib.scoring.evidence import Evidence, Pair, Posterior, find_posterior, weigh_answers
from bgtk_lib.scoring.sittings import Floats, Sitting

POINTS = 101  # steps of about .12 SD; sums over them are exact to 1e-7 where a posterior's SD is no less than a step
REACH = 5.0  # SDs beyond the lowest and the highest prior mean
WIDEST = 8.0  # half-width of the grid to begin with
ROUNDS = 5  # of fitting on a grid that the fit before asked for
HIGHEST_Z = 2.5  # bound of artanh ρ (ρ = .987): beyond, the two occasions can hardly be told apart
SPREADS = (0.05, 20.0)  # bounds of a residual SD
VAGUE = 5.0  # prior SD of a coefficient: shrinks a mean of 30 persons by .2 %, and holds where all are at the maximum
PINNED = 1e12  # precision of a coefficient that is held at 0
STEP = 1e-4  # of the differences that give the curvature in Σ


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """What is estimated, and how its values stand in one array.

    The array holds B of `design` row by row, then the log SDs of the residuals, then artanh of their correlation.

    Attributes
    ----------
    design : array (n, p)
        Columns of x made orthogonal, with mean square 1.
    root : array (p, p)
        The columns given are `design` @ `root`: their coefficients are root⁻¹ B.
    n_waves : int
        Occasions estimated, 1 or 2; another one has mean 0 and variance 1.
    correlated : bool
        Whether the residual correlation is estimated; else it is 0.
    n_later : int
        How many of the last columns have no effect at the first occasion.
    """

    design: Floats
    root: Floats
    n_waves: int
    correlated: bool
    n_later: int = 0

    @property
    def n_coefficients(self) -> int:
        """How many values stand before the log SDs."""
        return int(self.design.shape[1]) * self.n_waves

    @property
    def pinned(self) -> NDArray[np.bool_]:
        """Which coefficients are 0; as `root` is triangular, so are those of the columns given."""
        held = np.zeros((self.design.shape[1], self.n_waves), dtype=bool)
        held[len(held) - self.n_later :, 0] = True
        return held.ravel()

    def unpack(self, values: Floats) -> Pair:
        """Return B (p, 2) and Σ (2, 2)."""
        slopes = np.zeros((self.design.shape[1], 2))
        slopes[:, : self.n_waves] = values[: self.n_coefficients].reshape(-1, self.n_waves)
        sd = np.ones(2)
        sd[: self.n_waves] = np.exp(values[self.n_coefficients :][: self.n_waves])
        r = np.tanh(values[-1]) if self.correlated else 0.0
        return slopes, np.outer(sd, sd) * np.array([[1.0, r], [r, 1.0]])

    def pack(self, slopes: Floats, covariance: Floats) -> Floats:
        """Return the array of B (p, 2) and Σ (2, 2)."""
        sd = np.sqrt(np.diag(covariance))
        last = [np.arctanh(covariance[0, 1] / sd.prod())] if self.correlated else []
        return np.concatenate([slopes[:, : self.n_waves].ravel(), np.log(sd[: self.n_waves]), last])

    def find_posterior(self, values: Floats, evidence: Evidence) -> Posterior:
        """Return everybody's posterior if these were the values."""
        slopes, covariance = self.unpack(values)
        return find_posterior(evidence, self.design @ slopes, covariance)


@dataclass(frozen=True, kw_only=True, eq=False)
class Regression:
    """A fitted latent regression.

    Attributes
    ----------
    model : Model
        What was estimated.
    estimates : array (k,)
        Where the posterior is highest, the residuals' covariance corrected for the p coefficients.
    curvature : array (k, k)
        Minus the second derivatives there: the inverse of the values' covariance.
    evidence : Evidence
        On the grids at the end.
    posterior : Posterior
        Of abilities at `estimates`.
    converged : bool
        Whether the maximum was found, inside its bounds.
    """

    model: Model
    estimates: Floats
    curvature: Floats
    evidence: Evidence
    posterior: Posterior
    converged: bool


def fit_regression(sittings: tuple[Sitting, ...], design: Floats, *, correlated: bool, n_later: int = 0) -> Regression:
    """Estimate B and Σ by marginal maximum likelihood, with just enough prior that odd data have a maximum.

    Parameters
    ----------
    sittings : one or two Sitting
        The same n persons in each, in the unit of about 1/slope around the middle difficulty.
    design : array (n, p)
        x with the constant first; independent columns.
    correlated : bool
        Whether enough persons sat both for a residual correlation; it is taken as 0 otherwise.
    n_later : int
        How many of the last columns have no effect at the first occasion.

    Notes
    -----
    What is highest is log L + ½ log |Σ| − Σ b²/(2·5²), with b the coefficients of the columns given, all but the
    constant's. The second term keeps Σ off its boundary and adds about 1/n to variances (Chung et al. 2015). The
    gradient is Fisher's identity: X′(Eθ − XB)P for B and ½ P(S − nΣ)P for Σ, with P = Σ⁻¹ and S the sum of
    Cov θ_i + r_i r_i′. The curvature of B is Σ_i (P − P V_i P) ⊗ x_i x_i′ (Louis), that of Σ taken by differences.
    As residuals of p estimated coefficients are too small, Σ is then raised by p/(n − p) · (P − P V̄ P)⁻¹, which is
    the restricted likelihood's answer where all V_i are equal.

    References
    ----------
    Mislevy, R. J. (1984). Estimating latent distributions. *Psychometrika* 49, 359-381.

    Louis, T. A. (1982). Finding the observed information matrix when using the EM algorithm. *Journal of the Royal
    Statistical Society B* 44, 226-233.

    Chung, Y., Gelman, A., Rabe-Hesketh, S., Liu, J. & Dorie, V. (2015). Weakly informative prior for point estimation
    of covariance matrices in hierarchical models. *Journal of Educational and Behavioral Statistics* 40, 136-157.
    """
    root = np.linalg.qr(design, mode="r") / np.sqrt(len(design))
    basis = design @ np.linalg.inv(root)
    model = Model(design=basis, root=root, n_waves=len(sittings), correlated=correlated, n_later=n_later)
    values = np.zeros(model.n_coefficients + model.n_waves + model.correlated)
    grids = (np.linspace(-WIDEST, WIDEST, POINTS),) * model.n_waves
    for _ in range(ROUNDS):
        evidence = gather_evidence(sittings, grids)
        found = optimize.minimize(
            _lose,
            values,
            (model, evidence),
            jac=True,
            method="L-BFGS-B",
            bounds=_bound(model),
            options={"maxiter": 500, "maxcor": 20, "ftol": 1e-13, "gtol": 1e-6},
        )
        values, wanted = found.x, _reach(model, found.x)
        settled = all(
            np.abs(old - new).max() < REACH * (new[1] - new[0]) for old, new in zip(grids, wanted, strict=True)
        )
        if settled:
            break
        grids = wanted

    curvature = _curve(values, model, evidence)
    low, high = np.transpose(_bound(model))
    inside = bool(((low < values) & (values < high) | (low == high)).all())
    values = _correct(values, model, evidence)
    return Regression(
        model=model,
        estimates=values,
        curvature=curvature,
        evidence=evidence,
        posterior=model.find_posterior(values, evidence),
        converged=settled and bool(found.success) and inside and bool(np.linalg.eigvalsh(curvature).min() > 0),
    )


def draw_values(fit: Regression, *, rng: np.random.Generator) -> Pair:
    """Draw a regression from its large-sample posterior; return B (p, 2) and Σ (2, 2)."""
    root = np.linalg.cholesky(fit.curvature)
    away = linalg.solve_triangular(root.T, rng.standard_normal(len(root)))
    return fit.model.unpack(np.clip(fit.estimates + away, *np.transpose(_bound(fit.model))))


def find_errors(fit: Regression) -> Floats:
    """Return the standard errors of the coefficients of the columns given: (p, n_waves)."""
    inverse, (p, w) = np.linalg.inv(fit.model.root), (len(fit.model.root), fit.model.n_waves)
    covariance = np.linalg.inv(fit.curvature)[: p * w, : p * w].reshape(p, w, p, w)
    errors: Floats = np.sqrt(np.einsum("ab,bwcw,ac->aw", inverse, covariance, inverse))
    return errors


def gather_evidence(sittings: tuple[Sitting, ...], grids: tuple[Floats, ...]) -> Evidence:
    """Return what the answers say on one or two grids; an occasion that is not there has a single node."""
    found = [(grid, weigh_answers(sitting, grid)) for sitting, grid in zip(sittings, grids, strict=True)]
    found += [(np.zeros(1), np.zeros((len(sittings[0].credit), 1)))] * (2 - len(found))
    (first, along), (second, across) = found
    return Evidence(grids=(first, second), logliks=(along, across))


def _reach(model: Model, values: Floats) -> tuple[Floats, ...]:
    """Return grids that reach a few SDs beyond every prior mean."""
    slopes, covariance = model.unpack(values)
    means, sd = model.design @ slopes, np.sqrt(np.diag(covariance))
    low, high = means.min(axis=0) - REACH * sd, means.max(axis=0) + REACH * sd
    return tuple(np.linspace(low[wave], high[wave], POINTS) for wave in range(model.n_waves))


def _bound(model: Model) -> list[tuple[float, float]]:
    """Return the lowest and highest of each value."""
    spreads = (float(np.log(SPREADS[0])), float(np.log(SPREADS[1])))
    bounds = [(0.0, 0.0) if held else (-np.inf, np.inf) for held in model.pinned] + [spreads] * model.n_waves
    return bounds + [(-HIGHEST_Z, HIGHEST_Z)] * model.correlated


def _lose(values: Floats, model: Model, evidence: Evidence) -> tuple[float, Floats]:
    """Return minus the log posterior of the values, and its gradient, each over n."""
    slopes, covariance = model.unpack(values)
    mean = model.design @ slopes
    posterior = find_posterior(evidence, mean, covariance)
    precision = np.linalg.inv(covariance)
    n = len(mean)

    given = np.linalg.solve(model.root, slopes)
    given[0] = 0.0  # the constant has no prior
    away = posterior.mean - mean
    steep = model.design.T @ away @ precision - np.linalg.solve(model.root.T, given) / VAGUE**2

    squares = posterior.covariance.sum(axis=0) + away.T @ away
    turn = 0.5 * precision @ (squares - n * covariance) @ precision
    sd, r = np.sqrt(np.diag(covariance)), np.tanh(values[-1]) if model.correlated else 0.0
    spread = (2 * np.diag(covariance @ turn) + 1)[: model.n_waves]
    last = [2 * turn[0, 1] * sd.prod() * (1 - r**2) - r] if model.correlated else []

    gain = posterior.loglik.sum() + 0.5 * np.linalg.slogdet(covariance)[1] - 0.5 * (given**2).sum() / VAGUE**2
    return -gain / n, -np.concatenate([steep[:, : model.n_waves].ravel(), spread, last]) / n


def _curve(values: Floats, model: Model, evidence: Evidence) -> Floats:
    """Return minus the second derivatives of the log posterior of the values."""
    n, (p, w, k) = len(model.design), (model.design.shape[1], model.n_waves, model.n_coefficients)
    precision = np.linalg.inv(model.unpack(values)[1])
    inner = precision - precision @ model.find_posterior(values, evidence).covariance @ precision
    curvature = np.zeros((len(values), len(values)))
    blocks = curvature[:k, :k].reshape(p, w, p, w)
    vague = np.linalg.inv(model.root)[1:]
    for a in range(w):
        for b in range(w):
            blocks[:, a, :, b] = (model.design * inner[:, a, b, None]).T @ model.design
        blocks[:, a, :, a] += vague.T @ vague / VAGUE**2
    blocks = curvature[:k, :k]
    blocks[np.diag_indices(k)] += PINNED * model.pinned
    for at in range(k, len(values)):
        step = np.zeros(len(values))
        step[at] = STEP
        up, down = (_lose(values + side * step, model, evidence)[1] for side in (1, -1))
        curvature[at] = curvature[:, at] = n * (up - down) / (2 * STEP)
    return curvature


def _correct(values: Floats, model: Model, evidence: Evidence) -> Floats:
    """Return the values with Σ raised for the p coefficients that were estimated."""
    slopes, covariance = model.unpack(values)
    n, p = model.design.shape
    precision = np.linalg.inv(covariance)
    known = precision - precision @ model.find_posterior(values, evidence).covariance.mean(axis=0) @ precision
    return model.pack(slopes, covariance + p / (n - p) * np.linalg.inv(known))
