"""From which values on an item, an option or a form is looked at again. A flag invites to read; it removes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

Profile = Literal["longgar", "baku", "ketat"]

FEWEST_PERSONS = 30  # below, statistics are shown and nothing is flagged
FLAG_COLUMNS = ["item_id", "flag", "value", "limit"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From which values on an item, an option or a form is looked at again; the defaults are the profile ``baku``.

    Attributes
    ----------
    p_low, p_watch, p_high : float
        Difficulty below `p_low` is hard, from there to below `p_watch` worth watching, above `p_high` easy.
    rpb_min : float
        Least item–rest correlation.
    distractor_min : float
        Least share of persons that a working wrong option attracts.
    rel_min : float
        Least reliability of a total that is reported for groups.

    Notes
    -----
    ``baku`` is common practice: .20 from Ebel and Frisbie (1991), .05 from Tarrant et al. (2009), .70 from Nunnally.
    ``longgar`` takes .15 from Kehoe (1995) and .65, the least for decisions about groups, from Ebel and Frisbie.
    ``ketat`` takes the range .30 to .80 from Kehoe, .30 ("reasonably good") from Ebel and Frisbie, and .80 from what
    programme decisions ask. Their other numbers (.10, .20, .95, .02; .40, .10) are our own choice, a step to each side.

    References
    ----------
    Ebel, R. L. & Frisbie, D. A. (1991). *Essentials of Educational Measurement*, 5th ed.

    Kehoe, J. (1995). Basic item analysis for multiple-choice tests. *Practical Assessment, Research & Evaluation* 4(10).

    Tarrant, M., Ware, J. & Mohammed, A. M. (2009). An assessment of functioning and non-functioning distractors in
    multiple-choice questions. *BMC Medical Education* 9, 40.
    """

    p_low: float = 0.20
    p_watch: float = 0.30
    p_high: float = 0.90
    rpb_min: float = 0.20
    distractor_min: float = 0.05
    rel_min: float = 0.70


PROFILES: dict[Profile, Limits] = {
    "longgar": Limits(p_low=0.10, p_watch=0.20, p_high=0.95, rpb_min=0.15, distractor_min=0.02, rel_min=0.65),
    "baku": Limits(),
    "ketat": Limits(p_low=0.30, p_watch=0.40, p_high=0.80, rpb_min=0.30, distractor_min=0.10, rel_min=0.80),
}


def flag_items(items: pd.DataFrame, *, limits: Limits, n_persons: int) -> pd.DataFrame:
    """Return what a panel should look at again: one row for each limit an item passes.

    Parameters
    ----------
    items : DataFrame
        `ItemReview.items`.
    limits : Limits
        E.g. ``PROFILES["baku"]``.
    n_persons : int
        Persons of the form. Nothing is flagged where they, or those an item was presented to, are fewer than 30.

    Returns
    -------
    DataFrame
        `FLAG_COLUMNS`, items in the order given. `flag`: ``hard`` (below `p_low`), ``rather_hard`` (below `p_watch`),
        ``easy`` (above `p_high`), ``negative`` (item–rest correlation 0 or less), ``low_r`` (above 0, below `rpb_min`).
        `value`: what was found, difficulty as a part of the highest credit; `limit`: what it was held against.

    Examples
    --------
    >>> items = pd.DataFrame({"item_id": ["b1"], "n": 90, "highest": 1.0, "difficulty": 0.95, "item_rest_r": 0.1})
    >>> flag_items(items, limits=Limits(), n_persons=90)
      item_id   flag  value  limit
    0      b1   easy   0.95    0.9
    1      b1  low_r   0.10    0.2
    """
    judged = items[(items["n"] >= FEWEST_PERSONS) & (n_persons >= FEWEST_PERSONS)].reset_index(drop=True)
    p, r = judged["difficulty"] / judged["highest"], judged["item_rest_r"]
    found = [
        ("hard", p, p < limits.p_low, limits.p_low),
        ("rather_hard", p, (p >= limits.p_low) & (p < limits.p_watch), limits.p_watch),
        ("easy", p, p > limits.p_high, limits.p_high),
        ("negative", r, r <= 0, 0.0),
        ("low_r", r, (r > 0) & (r < limits.rpb_min), limits.rpb_min),
    ]
    flags = [
        judged.loc[passed, ["item_id"]].assign(flag=flag, value=value[passed], limit=limit)
        for flag, value, passed, limit in found
    ]
    return pd.concat(flags).sort_index(kind="stable").reset_index(drop=True)[FLAG_COLUMNS]
