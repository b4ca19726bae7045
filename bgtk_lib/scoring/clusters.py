"""School effects in a latent regression: teachers of one school are alike, and their draws must be so too.

Without them the draws' school means vary less than the schools do, and standard errors that are clustered by school come
out too small: with 15 teachers a school and 5 % of the variance of change between schools, by about a tenth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from bgtk_lib.scoring.evidence import Pair, Posterior
from bgtk_lib.scoring.regression import PINNED, Regression
from bgtk_lib.scoring.sittings import Floats

START = -1.5  # log SD between over within: a share of 5 % between clusters
BOUNDS = (-6.0, 0.0)  # up to half of the variance


@dataclass(frozen=True, kw_only=True, eq=False)
class Clusters:
    """How a residual divides into what a cluster shares and what is a person's own.

    Attributes
    ----------
    codes : array of int (n,)
        Each person's cluster, 0 ….
    members : sparse array (J, n)
        1 where a person belongs to a cluster: its product with persons' values sums them.
    ratio : array (w, w)
        T: with Σ = LL′, the persons' own part is L(I + TT′)⁻¹L′.
    information : array (n, w, w)
        What a person's answers add to the precision of ability, Λ.
    pull : array (n, w)
        V⁻¹(Eθ − μ) at the prior means below.
    mean : array (n, w)
        The prior means at which these hold.
    """

    codes: NDArray[np.intp]
    members: Any
    ratio: Floats
    information: Floats
    pull: Floats
    mean: Floats

    def divide(self, covariance: Floats) -> Pair:
        """Return the parts of Σ (w, w) within and between clusters."""
        within = _divide(covariance, self.ratio)
        return within, covariance - within

    def draw_prior(self, mean: Floats, covariance: Floats, *, noise: Floats) -> Pair:
        """Draw each cluster's effect given all its members' answers; return prior means with it and Σ without it.

        Parameters
        ----------
        mean : array (n, 2)
            Prior means without cluster effects.
        covariance : array (2, 2)
            Σ.
        noise : array (J, w)
            Standard normal random numbers.

        Notes
        -----
        A person's likelihood counts as normal here, which a sum over members forgives; the draws of abilities that
        follow use it as it is.
        """
        w = len(self.ratio)
        within, between = self.divide(covariance[:w, :w])
        sums = _sum_clusters(self, mean[:, :w], within)
        spread = between @ np.linalg.inv(np.eye(w) + sums.precision @ between)
        root = np.linalg.cholesky((spread + spread.swapaxes(1, 2)) / 2)
        effects = np.einsum("jab,jb->ja", spread, sums.pull)
        effects += np.einsum("jab,jb->ja", root, noise)
        raised, own = mean.copy(), covariance.copy()
        raised[:, :w] += effects[self.codes]
        own[:w, :w] = within
        return raised, own


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sums:
    """What clusters know of their effect, given the part within: person's M = Λ(I + Σ_wΛ)⁻¹ and M(y − μ), and sums."""

    weight: Floats
    push: Floats
    precision: Floats
    pull: Floats
    loglik: float


def find_clusters(fit: Regression, codes: NDArray[np.intp]) -> tuple[Regression, Clusters]:
    """Divide the residual of a fitted regression into clusters and persons, and fit its coefficients again.

    Parameters
    ----------
    fit : Regression
        Without clusters.
    codes : array of int (n,)
        Each person's cluster, 0 ….

    Returns
    -------
    Regression, Clusters
        The regression with generalised-least-squares coefficients and their curvature.

    Notes
    -----
    With the answers of a person taken as one normal observation y of precision Λ = V⁻¹ − Σ⁻¹, it is a mixed model with
    closed sums: person M = (Σ_w + Λ⁻¹)⁻¹, cluster (Σ_b⁻¹ + ΣM)⁻¹. The ratio of the parts is estimated by restricted
    maximum likelihood with the total Σ held; ½ log |TT′| keeps it off zero and errs on the side of wider intervals.
    """
    w = fit.model.n_waves
    slopes, covariance = fit.model.unpack(fit.estimates)
    mean, covariance = (fit.model.design @ slopes)[:, :w], covariance[:w, :w]
    clusters = weigh_persons(fit.posterior, mean, covariance, codes=codes, ratio=np.eye(w))
    start = np.concatenate([np.full(w, START), np.zeros(w - 1)])
    bounds = [BOUNDS] * w + [(-2.0, 2.0)] * (w - 1)
    found = optimize.minimize(_lose, start, (clusters, fit.model.design, covariance), method="L-BFGS-B", bounds=bounds)
    clusters = replace(clusters, ratio=_fill(found.x))
    return _refit(fit, clusters, covariance), clusters


def weigh_persons(
    posterior: Posterior, mean: Floats, covariance: Floats, *, codes: NDArray[np.intp], ratio: Floats
) -> Clusters:
    """Return clusters with what each person's answers add to them.

    Parameters
    ----------
    posterior : Posterior
        Of n persons under these priors.
    mean : array (n, w)
        Their prior means.
    covariance : array (w, w)
        Σ.
    codes : array of int (n,)
        Each person's cluster, 0 ….
    ratio : array (w, w)
        T.
    """
    w = len(ratio)
    inverse = np.linalg.inv(posterior.covariance[:, :w, :w])
    return Clusters(
        codes=codes,
        members=sparse.csr_array((np.ones(len(codes)), (codes, np.arange(len(codes))))),
        ratio=ratio,
        information=inverse - np.linalg.inv(covariance),
        pull=np.einsum("iab,ib->ia", inverse, posterior.mean[:, :w] - mean),
        mean=mean,
    )


def _refit(fit: Regression, clusters: Clusters, covariance: Floats) -> Regression:
    """Return the regression with the coefficients that are best where clusters vary, and their curvature."""
    design, k = fit.model.design, fit.model.n_coefficients
    within, between = clusters.divide(covariance)
    sums = _sum_clusters(clusters, clusters.mean, within)
    spread = between @ np.linalg.inv(np.eye(len(between)) + sums.precision @ between)
    curvature = _curve(clusters, design, sums, between)
    push = sums.push - np.einsum("iab,ibc,ic->ia", sums.weight, spread[clusters.codes], sums.pull[clusters.codes])
    curvature[np.diag_indices(k)] += PINNED * fit.model.pinned

    estimates, whole = fit.estimates.copy(), np.zeros_like(fit.curvature)
    estimates[:k] += np.where(fit.model.pinned, 0.0, np.linalg.solve(curvature, (design.T @ push).ravel()))
    whole[:k, :k] = curvature
    whole[k:, k:] = np.linalg.inv(np.linalg.inv(fit.curvature)[k:, k:])
    return replace(fit, estimates=estimates, curvature=whole)


def _lose(values: Floats, clusters: Clusters, design: Floats, covariance: Floats) -> float:
    """Return minus the restricted log posterior of the ratio, over n."""
    split = replace(clusters, ratio=_fill(values))
    within, between = split.divide(covariance)
    sums = _sum_clusters(split, split.mean, within)
    turned = np.eye(len(between)) + sums.precision @ between
    gain = np.einsum("ja,ab,jb->", sums.pull, between, np.linalg.solve(turned, sums.pull[:, :, None])[:, :, 0])
    total = sums.loglik + 0.5 * (gain - np.linalg.slogdet(turned)[1].sum())
    total -= 0.5 * np.linalg.slogdet(_curve(split, design, sums, between))[1]
    return -float(total + values[: len(between)].sum()) / len(design)


def _curve(clusters: Clusters, design: Floats, sums: _Sums, between: Floats) -> Floats:
    """Return minus the second derivatives in the coefficients: persons' parts less what the clusters' effects take."""
    w, p = len(between), design.shape[1]
    spread = between @ np.linalg.inv(np.eye(w) + sums.precision @ between)
    shared = np.stack([clusters.members @ (design * sums.weight[:, a, b, None]) for a in range(w) for b in range(w)])
    shared = shared.reshape(w, w, -1, p)  # wave of the coefficient, wave of the effect, cluster, column
    taken = np.einsum("jbc,dcjq->dbjq", spread, shared)
    curvature = np.empty((p, w, p, w))
    for a in range(w):
        for d in range(w):
            alone = (design * sums.weight[:, a, d, None]).T @ design
            curvature[:, a, :, d] = alone - sum(shared[a, b].T @ taken[d, b] for b in range(w))
    return curvature.reshape(p * w, p * w)


def _sum_clusters(clusters: Clusters, mean: Floats, within: Floats) -> _Sums:
    """Return persons' weights and their sums over clusters."""
    w = len(within)
    pull = clusters.pull - np.einsum("iab,ib->ia", clusters.information, mean - clusters.mean)
    turned = np.eye(w) + clusters.information @ within
    inverse = np.linalg.inv(turned)
    weight, push = inverse @ clusters.information, np.einsum("iab,ib->ia", inverse, pull)
    precision = (clusters.members @ weight.reshape(len(weight), -1)).reshape(-1, w, w)
    loglik = 0.5 * (np.einsum("ia,ab,ib->i", pull, within, push) - np.linalg.slogdet(turned)[1]).sum()
    return _Sums(weight=weight, push=push, precision=precision, pull=clusters.members @ push, loglik=float(loglik))


def _divide(covariance: Floats, ratio: Floats) -> Floats:
    root = np.linalg.cholesky(covariance)
    within: Floats = root @ np.linalg.inv(np.eye(len(root)) + ratio @ ratio.T) @ root.T
    return within


def _fill(values: Floats) -> Floats:
    """Return T: the exponentials of the first values on its diagonal, the last one below."""
    w = 1 + len(values) // 2
    ratio = np.diag(np.exp(values[:w]))
    if w > 1:
        ratio[1, 0] = values[2]
    return ratio
