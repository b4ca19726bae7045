"""What a flagged item looks like: observed credit of both groups along the matching score."""

from __future__ import annotations

import pandas as pd

from bgtk_lib.instrument.dif.matching import Flags, Floats, band_scores, match_item

COLUMNS = ["side", "score_low", "score_high", "score_mean", "n", "mean_credit"]


def profile_item(points: Floats, focal: Flags, anchors: Flags, item: int, *, fewest: int) -> pd.DataFrame:
    """Compute the mean credit of both groups by bands of the matching score.

    Parameters
    ----------
    points : array (N, J)
        Credit, null where not presented; never null on an anchor.
    focal : array of bool (N,)
        Whether the person is of the focal group.
    anchors : array of bool (J,)
        Items of the matching score.
    item : int
        The item's place among the J.
    fewest : int
        Persons of each group a band must have: neighbouring scores are put together until it has.

    Returns
    -------
    DataFrame
        `COLUMNS`, two rows a band: `side` (``reference``, ``focal``), the band's ends and its mean score (of both
        groups, so that they stand above each other), persons, mean credit (of right and wrong: proportion right).
    """
    table = match_item(points, focal, anchors, item)
    rows = []
    for band in band_scores(table, fewest=fewest):
        n, score = table.n[:, band], table.score[band]
        where = {"score_low": score[0], "score_high": score[-1], "score_mean": (n * score).sum() / n.sum()}
        rows += [
            {"side": side, **where, "n": int(n[row].sum()), "mean_credit": table.total[row, band].sum() / n[row].sum()}
            for row, side in enumerate(("reference", "focal"))
        ]
    return pd.DataFrame(rows, columns=COLUMNS)
