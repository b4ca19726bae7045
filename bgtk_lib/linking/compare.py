"""Two forms → one scale, or a refusal: the first cut knows the same form, and forms a person declared parallel.

Raw scores of different forms are not compared (C01). A recorded decision that two forms are parallel lets the figures
be shown marked as draft; a link by anchor items is what opens them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bgtk_lib.findings import Gate
from bgtk_lib.words import plain, say
from bgtk_lib.workspace.typed import read_decision_rows

DECISION_COLUMNS = ("date", "who", "form_from", "form_to", "decision", "reason")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """On what ground the scores of two waves are compared.

    Attributes
    ----------
    kind : {"same_form", "declared_parallel", "none"}
        The ground, or that there is none.
    forms_pre, forms_post : tuple of str
        The forms sat at each wave.
    who : str
        Who declared the forms parallel, and when; empty otherwise.
    """

    kind: Literal["same_form", "declared_parallel", "none"]
    forms_pre: tuple[str, ...]
    forms_post: tuple[str, ...]
    who: str = ""


def read_decisions(path: Path) -> list[dict[str, str]]:
    """Return the recorded decisions about links (`data/decisions/links.csv`); none where the file is absent."""
    return read_decision_rows(path, DECISION_COLUMNS)


def compare_forms(forms_pre: set[str], forms_post: set[str], decisions: list[dict[str, str]]) -> Comparison:
    """Return on what ground the forms of two waves may be compared.

    Parameters
    ----------
    forms_pre, forms_post : set of str
        Forms of one assessment at either wave.
    decisions : list of dict
        As `read_decisions` returns them.
    """
    pre, post = tuple(sorted(forms_pre)), tuple(sorted(forms_post))
    if len(pre) == 1 and pre == post:
        return Comparison(kind="same_form", forms_pre=pre, forms_post=post)
    if len(pre) == len(post) == 1:
        for row in decisions:
            if row["decision"] == "parallel" and {row["form_from"], row["form_to"]} == {pre[0], post[0]}:
                return Comparison(
                    kind="declared_parallel", forms_pre=pre, forms_post=post, who=f"{row['who']}, {row['date']}"
                )
    return Comparison(kind="none", forms_pre=pre, forms_post=post)


def judge_link(comparison: Comparison, scope: dict[str, str]) -> Gate:
    """C01: scores of different forms. Same form: open; declared parallel: HOLD; otherwise STOP."""
    states = {"same_form": "OK", "declared_parallel": "HOLD", "none": "STOP"}
    state = states[comparison.kind]
    pre, post = ", ".join(comparison.forms_pre), ", ".join(comparison.forms_post)
    message = say(f"gate.C01.{state}", pre=plain(pre), post=plain(post), who=comparison.who)
    return Gate(code="C01", state=state, scope=scope, message=message)  # type: ignore[arg-type]


def judge_reuse(comparison: Comparison, *, released: bool, scope: dict[str, str]) -> Gate:
    """C06: the same items again. WARN; HOLD where keys or item results were released between the waves."""
    if comparison.kind != "same_form":
        return Gate(code="C06", state="OK", scope=scope, message=say("gate.C06.OK"))
    state = "HOLD" if released else "WARN"
    return Gate(code="C06", state=state, scope=scope, message=say(f"gate.C06.{state}"))  # type: ignore[arg-type]
