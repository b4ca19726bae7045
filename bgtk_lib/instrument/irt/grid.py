"""Where the abilities are summed over: equally spaced points, and the rule for how far and how fine."""

from __future__ import annotations

import numpy as np

from bgtk_lib.instrument.irt.curves import Floats

SPREADS_NEEDED = 5.5  # standard deviations that the points must reach on each side of every group's mean …
SPREADS_TAKEN = 6.0  # … and do reach, once they have to be laid anew
FINENESS = 1.25  # spacing over the smallest posterior standard deviation: error exp(−2π²/1.25²) = 3e−6 of a likelihood
MOST_POINTS = 1201  # then fineness gives way; a spread near nothing or a very steep item could ask for any number


def lay_points(n_points: int, reach: float) -> Floats:
    """Return equally spaced abilities from −reach to reach."""
    return np.linspace(-reach, reach, n_points)


def widen_points(points: Floats, means: Floats, sds: Floats, *, information: float) -> Floats:
    """Return the points themselves if they reach far enough and are fine enough, else a wider or finer set.

    Parameters
    ----------
    points : array (Q,)
    means, sds : array (G,)
        Of the groups.
    information : float
        The highest test information that anyone's items have at any ability.

    Notes
    -----
    The sum over points h apart has a relative error of about exp(−2π² s²/h²) where the integrand is a normal density of
    standard deviation s: the posterior's, 1/√(I + 1/σ²). What lies beyond the last point is lost. R mirt's fixed
    ±6 costs 0.005 of log-likelihood where σ² = 1.92; here ±6 σ is taken.

    Examples
    --------
    >>> points = lay_points(61, 6.0)
    >>> widen_points(points, np.array([0.0]), np.array([1.0]), information=10.0) is points
    True
    >>> wider = widen_points(points, np.array([0.0]), np.array([1.4]), information=10.0)
    >>> len(wider), wider[[0, -1]].round(6).tolist()
    (85, [-8.4, 8.4])
    """
    low, high, spacing = points[0], points[-1], points[1] - points[0]
    far = (means - SPREADS_NEEDED * sds).min() < low or (means + SPREADS_NEEDED * sds).max() > high
    if far:
        low = min(low, (means - SPREADS_TAKEN * sds).min())
        high = max(high, (means + SPREADS_TAKEN * sds).max())
    finest = FINENESS / np.sqrt(information + 1 / sds.min() ** 2)
    wanted = spacing if spacing <= finest else finest / 1.1  # not at once too coarse again
    wanted = max(wanted, (high - low) / (MOST_POINTS - 1))
    if not far and wanted >= spacing:
        return points
    wider: Floats = wanted * np.arange(np.floor(low / wanted + 1e-9), np.ceil(high / wanted - 1e-9) + 1)
    return wider
