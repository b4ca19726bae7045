"""How persons sat the test: what they left out, what they did not reach, how fast they answered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bgtk_lib.errors import Text
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.flags import FEWEST_PERSONS
from bgtk_lib.instrument.sheet import NOT_PRESENTED, NOT_REACHED, OMITTED, read_sheet
from bgtk_lib.words import say

MANY_OMITTED = 0.20  # share of the presented items; above, a sensitivity run leaves the person out
MANY_UNFINISHED = 0.05  # share of persons; above, the form is called speeded
RAPID_SHARE, RAPID_SECONDS = 0.10, 10.0  # NT10: a tenth of the item's mean time, at most ten seconds
LOW_EFFORT = 0.90  # response-time effort below
BLANK_COLUMNS = ["item_id", "n", "share_answered", "share_omitted", "share_not_reached"]
TIME_COLUMNS = ["item_id", "n", "mean_seconds", "threshold_seconds", "share_rapid", "note"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Blanks:
    """What was left out and what was not reached.

    Attributes
    ----------
    items : DataFrame
        `BLANK_COLUMNS`, one row an item in the order of the answers. `n`: persons it was presented to; the three shares
        of them add up to 1.
    n_persons : int
        Persons presented anything.
    share_many_omitted : float
        Share of persons who omitted more than 20 % of what they were presented.
    share_unfinished : float
        Share of persons with an item not reached, which by its meaning stands at the end.
    speededness : Text or None
        What to say where more than 5 % did not reach the end.
    """

    items: pd.DataFrame
    n_persons: int
    share_many_omitted: float
    share_unfinished: float
    speededness: Text | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Times:
    """How fast items were answered.

    Attributes
    ----------
    items : DataFrame
        `TIME_COLUMNS`. `n`: answers with a time. `threshold_seconds`: below is rapid. `note`: ``too_few`` for items with
        fewer than 30 timed answers, which have no threshold and enter nobody's effort.
    persons : DataFrame
        session_id; n_timed: answers that could be judged; rte: share of them that were not rapid, the response-time
        effort; null where there is none to judge.
    n_persons : int
        Persons with an effort.
    share_low_effort : float
        Share of them with an effort below .90.
    """

    items: pd.DataFrame
    persons: pd.DataFrame
    n_persons: int
    share_low_effort: float


def review_blanks(answers: pd.DataFrame) -> Blanks | Withheld:
    """Compute the shares of answers omitted and not reached.

    Parameters
    ----------
    answers : DataFrame
        session_id, item_id, raw, state of one form.

    Examples
    --------
    >>> answers = pd.DataFrame({"session_id": list("ppqq"), "item_id": ["b1", "b2"] * 2, "raw": ["A", "B", "A", None]})
    >>> blanks = review_blanks(answers.assign(state=["answered"] * 3 + ["not_reached"]))
    >>> blanks.share_unfinished, blanks.items["share_not_reached"].tolist()
    (0.5, [0.0, 0.5])
    """
    sheet = read_sheet(answers)
    shown = sheet.chosen != NOT_PRESENTED
    sat = shown.any(axis=1)
    if not sat.any():
        return Withheld(say("classical.no_answers"))
    omitted, late = sheet.chosen == OMITTED, sheet.chosen == NOT_REACHED
    n = shown.sum(axis=0)
    size = np.where(n > 0, n, np.nan)
    unfinished = float(late[sat].any(axis=1).mean())
    items = pd.DataFrame(
        {
            "item_id": sheet.item_ids,
            "n": n,
            "share_answered": (sheet.chosen >= 0).sum(axis=0) / size,
            "share_omitted": omitted.sum(axis=0) / size,
            "share_not_reached": late.sum(axis=0) / size,
        }
    )
    return Blanks(
        items=items,
        n_persons=int(sat.sum()),
        share_many_omitted=float((omitted[sat].sum(axis=1) > MANY_OMITTED * shown[sat].sum(axis=1)).mean()),
        share_unfinished=unfinished,
        speededness=say("classical.speeded", share=100 * unfinished) if unfinished > MANY_UNFINISHED else None,
    )


def review_times(answers: pd.DataFrame) -> Times | Withheld:
    """Compute which answers came too fast to have been read, by item and by person.

    Parameters
    ----------
    answers : DataFrame
        session_id, item_id, state, milliseconds of one form. Answers given without a time are left out; so is what was
        not answered: leaving an item out quickly is no guess.

    Returns
    -------
    Times or Withheld
        Withheld where no item has 30 timed answers.

    References
    ----------
    Wise, S. L. & Kong, X. (2005). Response time effort: a new measure of examinee motivation in computer-based tests.
    *Applied Measurement in Education* 18, 163-183.

    Wise, S. L. & Ma, L. (2012). Setting response time thresholds for a CAT item pool: the normative threshold method.
    *Annual meeting of the National Council on Measurement in Education* (NT10).

    Examples
    --------
    Thirty persons need 60 s and 10 s; their mean is 35 s, a tenth of it 3.5 s.

    >>> answers = pd.DataFrame({"session_id": range(30), "item_id": "b1", "milliseconds": [60_000, 10_000] * 15})
    >>> times = review_times(answers.assign(state="answered"))
    >>> times.items["threshold_seconds"].tolist(), times.share_low_effort
    ([3.5], 0.0)
    """
    if "milliseconds" not in answers or answers["milliseconds"].isna().all():
        return Withheld(say("classical.no_times"))
    timed = ((answers["state"] == "answered") & answers["milliseconds"].notna()).to_numpy()
    item, item_ids = pd.factorize(answers["item_id"])
    person, session_ids = pd.factorize(answers["session_id"])
    item, person = item[timed], person[timed]
    seconds = answers["milliseconds"].to_numpy(dtype=float, na_value=np.nan)[timed] / 1000

    n = np.bincount(item, minlength=len(item_ids))
    mean = np.bincount(item, seconds, minlength=len(n)) / np.where(n > 0, n, np.nan)
    enough = n >= FEWEST_PERSONS
    if not enough.any():
        return Withheld(say("classical.few_times", needed=FEWEST_PERSONS))
    threshold = np.where(enough, np.minimum(RAPID_SHARE * mean, RAPID_SECONDS), np.nan)
    rapid, judged = seconds < threshold[item], enough[item]
    n_timed = np.bincount(person[judged], minlength=len(session_ids))
    n_rapid = np.bincount(person[judged], rapid[judged], minlength=len(session_ids))
    effort = 1 - n_rapid / np.where(n_timed > 0, n_timed, np.nan)
    items = pd.DataFrame(
        {
            "item_id": item_ids,
            "n": n,
            "mean_seconds": mean,
            "threshold_seconds": threshold,
            "share_rapid": np.where(enough, np.bincount(item, rapid, minlength=len(n)) / np.maximum(n, 1), np.nan),
            "note": pd.Series(["too_few"] * len(n), dtype="str").where(~enough),
        }
    )
    return Times(
        items=items,
        persons=pd.DataFrame({"session_id": session_ids, "n_timed": n_timed, "rte": effort}),
        n_persons=int((n_timed > 0).sum()),
        share_low_effort=float((effort[n_timed > 0] < LOW_EFFORT).mean()),
    )
