"""Marginal maximum likelihood: Bock and Aitkin's EM, accelerated, then Newton's steps to the top."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bgtk_lib.instrument.irt.blocks import NOT_PRESENTED
from bgtk_lib.instrument.irt.curves import Floats
from bgtk_lib.instrument.irt.estep import CHUNK, Work, expect
from bgtk_lib.instrument.irt.grid import lay_points, widen_points
from bgtk_lib.instrument.irt.information import Hill, observe
from bgtk_lib.instrument.irt.mstep import maximise
from bgtk_lib.instrument.irt.parameters import LEAST_SPREAD, Flags, Free, Parameters, is_possible
from bgtk_lib.instrument.irt.tables import tabulate

MOST_NEWTON = 5
EM_FACTOR = 10  # an EM step is that much shorter than the way still to go, at least
RUNAWAY = 50.0  # of a slope or a spread, logits: a slope beyond is a mere step, over an eighth of a standard deviation


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the likelihood is summed over ability and when its maximum counts as reached.

    Attributes
    ----------
    n_points : int
        Abilities summed over at first, equally spaced.
    reach : float
        From −reach to reach; both are raised where the data need it, see `grid.widen_points`.
    tolerance : float
        The distance of any parameter to the maximum, by Newton's step, that counts as none (logits, or units of
        ability). EM goes on until its steps are a tenth of it.
    loglik_tolerance : float
        The same for the log-likelihood.
    most_steps : int
        E-steps before EM gives up; if Newton's steps do not arrive either, the result says `converged=False`.
    errors : {"observed", "none"}
        Standard errors from the observed information, or none: then Newton's steps are left out as well.
    threads : int
        That share the rows; BLAS should have one thread (``OPENBLAS_NUM_THREADS=1``).
    """

    n_points: int = 61
    reach: float = 6.0
    tolerance: float = 1e-4
    loglik_tolerance: float = 1e-3
    most_steps: int = 500
    errors: Literal["observed", "none"] = "observed"
    threads: int = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Top:
    """Where the estimation came to.

    Attributes
    ----------
    reached : Parameters
    free : Free
        What was still free at the end: slopes that ran away and spreads that vanished were stopped.
    loglik : float
    information : array (p, p), optional
        Observed, of the free parameters; there, or one last Newton step below the tolerance before.
    n_steps : int
        E-steps done.
    converged : bool
    """

    reached: Parameters
    free: Free
    loglik: float
    information: Floats | None
    n_steps: int
    converged: bool


def find_top(work: Work, start: Parameters, settings: Settings) -> Top:
    """Maximise the marginal likelihood; a slope without a finite maximum is stopped where it is a mere step."""
    points, n_steps = lay_points(settings.n_points, settings.reach), 0
    while True:
        top = climb(work, start, points, settings)
        n_steps += top.n_steps
        start = top.reached
        if (away := find_runaways(start, work.free)).any():
            work = replace(work, free=replace(work.free, slopes=work.free.slopes & ~away))
            continue
        information = find_highest_information(work, start, points)
        wider = widen_points(points, start.means, start.sds, information=information)
        if wider is points or start.sds.max() > RUNAWAY:
            break
        points = wider
    top = replace(top, n_steps=n_steps, converged=top.converged and wider is points)
    return top if settings.errors == "none" else finish(work, top, points, settings)


def find_runaways(values: Parameters, free: Free) -> Flags:
    """Return which free slopes have grown beyond `RUNAWAY`."""
    away: Flags = free.slopes & (np.abs(values.curves.slopes) > RUNAWAY)
    return away


def climb(work: Work, start: Parameters, points: Floats, settings: Settings) -> Top:
    """Run EM with the squared extrapolation S3 of Varadhan and Roland (2008) until a step changes next to nothing.

    An extrapolation is kept only if it is possible and not lower than what EM alone had reached.
    """
    free, n_steps, longest = work.free, 0, 4.0
    current, before = start, -np.inf

    def step(values: Parameters) -> tuple[float, Parameters]:
        nonlocal n_steps
        n_steps += 1
        tables = tabulate(values, points)
        found = expect(work, tables)
        return found.loglik, maximise(work, found, tables)

    def stop(*, converged: bool) -> Top:
        return Top(reached=current, free=free, loglik=loglik, information=None, n_steps=n_steps, converged=converged)

    loglik, first = step(current)
    while n_steps < settings.most_steps and not find_runaways(current, free).any():
        x0, x1 = free.pack(current), free.pack(first)
        small = np.abs(x1 - x0).max(initial=0) < settings.tolerance / EM_FACTOR
        if small and loglik - before < settings.loglik_tolerance:
            return stop(converged=True)
        loglik_1, second = step(first)
        x2 = free.pack(second)
        r, v = x1 - x0, x2 - 2 * x1 + x0
        length = min(max(float(np.linalg.norm(r)) / max(float(np.linalg.norm(v)), 1e-150), 1.0), longest)
        longest *= 4 if length == longest else 1
        leap = free.unpack(x0 + 2 * length * r + length**2 * v, current)
        before, current, loglik, first = loglik, first, loglik_1, second
        if length > 1 and is_possible(leap):
            loglik_leap, after = step(leap)
            if loglik_leap >= loglik_1:
                before, current, loglik, first = loglik_1, leap, loglik_leap, after
            else:
                longest = max(1.0, longest / 4)
    return stop(converged=False)


def finish(work: Work, top: Top, points: Floats, settings: Settings) -> Top:
    """Take Newton's steps, with exact gradient and information, while they lead up; the last is below tolerance."""
    values, loglik, n_steps, converged = top.reached, top.loglik, top.n_steps, top.converged
    for _ in range(MOST_NEWTON):
        hill = observe(work, tabulate(values, points))
        if (vanished := find_vanished(values, work.free, hill)).any():
            work = replace(work, free=replace(work.free, sds=work.free.sds & ~vanished))
            continue
        step = take_newton_step(hill)
        if step is None:
            break
        moved = work.free.unpack(work.free.pack(values) + step, values)
        reached = expect(work, tabulate(moved, points)).loglik if is_possible(moved) else -np.inf
        n_steps += 2
        if reached < loglik - settings.loglik_tolerance / 1000:
            converged = converged and float(hill.gradient @ step) / 2 < settings.loglik_tolerance
            break
        values, loglik = moved, reached
        converged = bool(np.abs(step).max(initial=0) < settings.tolerance and values.sds.max() <= RUNAWAY)
        if converged:
            break
    return Top(
        reached=values,
        free=work.free,
        loglik=loglik,
        information=hill.information,
        n_steps=n_steps,
        converged=converged,
    )


def find_vanished(values: Parameters, free: Free, hill: Hill) -> Flags:
    """Return which free spreads are as small as they can be, with the likelihood falling as they grow."""
    found = free.sds & (values.sds <= LEAST_SPREAD)
    at = free.place()[1][:, 1]
    found[found] &= hill.gradient[at[found]] <= 0
    return found


def take_newton_step(hill: Hill) -> Floats | None:
    """Return I⁻¹g, or None where the information is not positive definite."""
    scale = 1 / np.sqrt(np.maximum(np.diag(hill.information), 1e-300))
    scaled = hill.information * scale[:, None] * scale
    try:
        np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        return None
    step: Floats = np.linalg.solve(scaled, hill.gradient * scale) * scale
    return step


def find_highest_information(work: Work, values: Parameters, points: Floats) -> float:
    """Return the highest test information at any point among the items that anyone was presented together."""
    curves = values.curves
    information = curves.information(points) * (np.abs(curves.slopes) <= RUNAWAY)[:, None]
    highest = 0.0
    for route in work.routes:
        cell = route.cell
        some = information[cell.columns]
        if cell.complete:
            highest = max(highest, float(some.sum(axis=0).max()))
        else:
            for start in range(0, len(cell), CHUNK):
                presented = cell.read(start, start + CHUNK) != NOT_PRESENTED
                highest = max(highest, float((presented.astype(float) @ some).max()))
    return highest
