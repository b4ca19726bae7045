"""A second dimension among what one ability leaves unexplained: principal components of standardised residuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.irt.abilities import estimate_wle, rely
from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.instrument.irt.dependence import correlate_columns
from bgtk_lib.instrument.irt.fit import MIN_PERSONS, take_residuals
from bgtk_lib.words import say

CONTRAST_COLUMNS = ["contrast", "eigenvalue", "share"]
LOADING_COLUMNS = ["item_id", "loading", "cluster", "note"]
MIN_ITEMS = 3  # of a contrast, and of each of its two clusters
N_CONTRASTS = 5  # as many as are usually printed


@dataclass(frozen=True, kw_only=True, eq=False)
class ResidualContrasts:
    """Principal components of the standardised residuals.

    Attributes
    ----------
    contrasts : DataFrame
        `CONTRAST_COLUMNS`, at most five, the largest first. `eigenvalue`: in units of items. `share`: of the residual
        variance. No rows where `first` is withheld.
    loadings : DataFrame
        `LOADING_COLUMNS`, one row an item with a curve. `loading`: correlation with the first contrast, the largest
        positive. `cluster`: ``upper`` (loading above zero) or ``lower``. `note`: why there is none, else null:
        ``constant`` (fewer than four residuals, or none that vary), ``withheld`` (see `first`).
    first : float or Withheld
        The first eigenvalue.
    correlation : float or Withheld
        Of the persons' measures on the two clusters.
    disattenuated : float or Withheld
        The same, divided by the root of the product of their reliabilities, at most 1.
    n_persons : int
        Persons with an ability and no extreme score.
    """

    contrasts: pd.DataFrame
    loadings: pd.DataFrame
    first: float | Withheld
    correlation: float | Withheld
    disattenuated: float | Withheld
    n_persons: int


def find_contrasts(credit: pd.DataFrame, curves: Curves) -> ResidualContrasts:
    """Look for a second dimension among the standardised residuals.

    Parameters
    ----------
    credit, curves
        As in `estimate_q3`.

    Returns
    -------
    ResidualContrasts

    Raises
    ------
    SchemaError
        If an item holds a category that its curve does not have.

    Notes
    -----
    Principal components of the correlations of (x − E)/√W at Warm's estimates, persons with extreme scores left out.
    Winsteps does the same with its own estimates, but takes residuals of answers that are missing as 0; here a
    correlation rests on the persons who have both. Items with loadings above and below zero make two clusters, on each of which
    everyone is measured again (Warm); reliability of a measure: 1 − mean se² / variance. An eigenvalue of 2 means: the
    strength of two items. With few persons chance alone exceeds it; see `simulate_limits`.

    References
    ----------
    Linacre, J. M. (1998). Detecting multidimensionality: which residual data-type works best? *Journal of Outcome
    Measurement* 2, 266-283.

    Examples
    --------
    Everyone solves one of three like items: the residuals of each two correlate at -1/2, which makes two contrasts of
    3/2 items.

    >>> curves = Curves(
    ...     item_ids=("b1", "b2", "b3"), slopes=np.ones(3), intercepts=np.zeros((3, 1)), graded=np.zeros(3, bool)
    ... )
    >>> found = find_contrasts(pd.DataFrame(np.tile(np.eye(3), (4, 1)), columns=list(curves.item_ids)), curves)
    >>> found.contrasts["eigenvalue"].round(6).abs().tolist()
    [1.5, 1.5, 0.0]
    """
    abilities = estimate_wle(credit, curves)
    theta = abilities["theta"].where(~abilities["extreme"])
    residuals, variances, _ = take_residuals(credit, curves, theta=theta)
    names = [item for item in curves.item_ids if item in credit.columns]
    table = correlate_columns(residuals / np.sqrt(variances))
    varies = ~np.isnan(np.diag(table))
    table = table[np.ix_(varies, varies)]
    loadings = pd.DataFrame({"item_id": names, "loading": np.nan, "cluster": None, "note": None})
    loadings["note"] = pd.Series(np.where(varies, "withheld", "constant"), dtype="str")
    n_persons, unknown = int(theta.notna().sum()), int(np.isnan(table).sum()) // 2
    if len(table) < MIN_ITEMS or unknown:
        few_items = say("irt_fit.contrast_items", n=len(table), needed=MIN_ITEMS)
        reason = Withheld(say("irt_fit.contrast_pairs", n=unknown) if unknown else few_items)
        return ResidualContrasts(
            contrasts=pd.DataFrame(columns=CONTRAST_COLUMNS, dtype=float),
            loadings=loadings[LOADING_COLUMNS],
            first=reason,
            correlation=reason,
            disattenuated=reason,
            n_persons=n_persons,
        )
    values, vectors = np.linalg.eigh(table)
    first = vectors[:, -1] * np.sqrt(values[-1])
    first *= np.sign(first[np.abs(first).argmax()])
    loadings.loc[varies, "loading"] = first
    loadings["cluster"] = pd.Series(np.where(loadings["loading"] > 0, "upper", "lower"), dtype="str").where(varies)
    loadings["note"] = loadings["note"].where(~varies)
    largest = values[::-1][:N_CONTRASTS]
    correlation, disattenuated = _compare_clusters(credit, curves, loadings)
    return ResidualContrasts(
        contrasts=pd.DataFrame(
            {"contrast": np.arange(1, len(largest) + 1), "eigenvalue": largest, "share": largest / len(table)}
        ),
        loadings=loadings[LOADING_COLUMNS],
        first=float(values[-1]),
        correlation=correlation,
        disattenuated=disattenuated,
        n_persons=n_persons,
    )


def _compare_clusters(
    credit: pd.DataFrame, curves: Curves, loadings: pd.DataFrame
) -> tuple[float | Withheld, float | Withheld]:
    """Return the correlation of the measures on two clusters of items, as it is and without measurement error."""
    clusters = [list(loadings.loc[loadings["cluster"] == name, "item_id"]) for name in ("upper", "lower")]
    fewest = min(len(items) for items in clusters)
    if fewest < MIN_ITEMS:
        reason = Withheld(say("irt_fit.cluster_items", n=fewest, needed=MIN_ITEMS))
        return reason, reason
    upper, lower = (estimate_wle(credit[items], curves) for items in clusters)
    both = upper["theta"].notna() & lower["theta"].notna()
    r = correlate_columns(np.column_stack([upper.loc[both, "theta"], lower.loc[both, "theta"]]))[0, 1]
    if np.isnan(r):
        reason = Withheld(say("irt_fit.cluster_persons", n=int(both.sum()), needed=MIN_PERSONS))
        return reason, reason
    reliabilities = [rely(measures[both]) for measures in (upper, lower)]
    if min(reliabilities) <= 0:
        return float(r), Withheld(say("irt_fit.cluster_unreliable"))
    return float(r), float(min(r / np.sqrt(reliabilities[0] * reliabilities[1]), 1))
