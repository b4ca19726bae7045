"""The values everything later returns: gates, flows, figures, and what may not or cannot be reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bgtk_lib.errors import Text

GateState = Literal["OK", "WARN", "UNKNOWN", "HOLD", "STOP"]
Status = Literal["planned", "exploratory", "descriptive"]
SEVERITY: dict[str, int] = {"OK": 0, "WARN": 1, "UNKNOWN": 2, "HOLD": 3, "STOP": 4}

# The gates that each kind of figure rests on: where one of them stops, the figure is not shown.
COUNTING = ("D01", "D06", "D07", "D09", "D10", "E08", "P07")  # who was there
COVERING = (*COUNTING, "D08", "D11")  # and where
REVIEWING = ("D07", "E08", "P07")  # a review of items: never on its own findings, which are what it shows
LINKING = ("D07", "D12", "E08", "I01", "I04", "P07")  # C01 is its own verdict, and so not among them
MEASURING = ("D01", "D02", "D04", "D05", "D06", "D07", "D10", "D12", "E08", "I01", "P07")
COMPARING = (*MEASURING, "C01", "C03", "C04", "C05", "C06", "C09", "C11")
PLACING = (*COMPARING, "D08")  # change by district
CLAIMING = (*COMPARING, "C07", "C08", "C16", "C18", "C19")
OF_CHANGE = ("C01",)  # a difference between groups on one form needs no link of the two forms


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One verdict on whether the data carry a claim.

    Attributes
    ----------
    code : str
        As in the catalogue of threats: ``D01`` … ``C12`` … ``P07``.
    state : {"OK", "WARN", "UNKNOWN", "HOLD", "STOP"}
        OK and WARN are printed; UNKNOWN could not be checked; HOLD marks figures as draft; STOP leaves them out.
    scope : mapping
        What it speaks of, e.g. ``{"wave": "p1-pre"}``; empty means everything.
    message : Text
        What was found, what it means and who can mend it.
    rows : int
        Rows behind it (records, not persons); withheld on pages where small.
    lifted : str or None
        The reason by which a person lifted a HOLD, from ``data/decisions/gates.csv``.
    """

    code: str
    state: GateState
    message: Text
    scope: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0
    lifted: str | None = None

    @property
    def closed(self) -> bool:
        """Whether figures that rest on it are marked or left out."""
        return self.state in ("HOLD", "STOP") and not self.lifted

    def touches(self, selection: Mapping[str, Iterable[str]]) -> bool:
        """Whether it speaks of anything in a selection: each shared key must share a value."""
        return all(value in selection[key] for key, value in self.scope.items() if key in selection)

    @property
    def scope_text(self) -> str:
        """The scope in one line, in code order."""
        return ", ".join(f"{key}={value}" for key, value in sorted(self.scope.items()))


def worst_states(gates: Iterable[Gate]) -> dict[str, GateState]:
    """Return the worst state each code reached, codes in order, those that are OK left out."""
    worst: dict[str, GateState] = {}
    for gate in gates:
        if gate.state != "OK" and SEVERITY[gate.state] > SEVERITY[worst.get(gate.code, "OK")]:
            worst[gate.code] = gate.state
    return dict(sorted(worst.items()))


@dataclass(frozen=True, kw_only=True)
class FlowStep:
    """One state the rows passed through.

    Attributes
    ----------
    state : str
        Name of the state; its words are ``flow.<state>``.
    n : int
        Rows or persons that reached it.
    set_aside : int
        How many of the state before did not.
    reasons : mapping
        Reason code → how many; sums to `set_aside`.
    """

    state: str
    n: int
    set_aside: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Flow:
    """Received → … → used, with what was set aside between: nothing disappears.

    Attributes
    ----------
    steps : tuple of FlowStep
        In order.
    shortened : bool
        Whether steps were left out for printing, because few were set aside there.

    Raises
    ------
    ValueError
        If a step does not equal the step before less what was set aside, or its reasons do not add up.
    """

    steps: tuple[FlowStep, ...]
    shortened: bool = False

    def __post_init__(self) -> None:
        for before, after in zip(self.steps, self.steps[1:], strict=False):
            if before.n != after.n + after.set_aside:
                raise ValueError(f"{before.n} {before.state} are not {after.n} {after.state} + {after.set_aside} aside")
        for step in self.steps:
            if step.set_aside != sum(step.reasons.values()):
                raise ValueError(
                    f"{step.state}: the reasons add up to {sum(step.reasons.values())}, not {step.set_aside}"
                )


@dataclass(frozen=True)
class Withheld:
    """What may not or cannot be reported, a value of the same rank as a number.

    Attributes
    ----------
    reason : Text
        Why, and what would open it.
    kind : {"small", "complement", "gate", "not_computable"}
        Which rule withheld it.
    """

    reason: Text
    kind: Literal["small", "complement", "gate", "not_computable"] = "not_computable"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number with all that its quotation needs.

    Attributes
    ----------
    name : str
        Stable dotted name: ``change.mean``, ``pairs.n`` …
    value : float, int, str or Withheld
        At full precision, or why there is none.
    unit : str
        ``points``, ``percent``, ``sd``, ``persons``, ``rows`` …
    n : int
        How many persons (or rows) made the number, taken after exclusions.
    population : Text
        Of whom it speaks.
    where : mapping
        Codes, e.g. ``{"district": "18.01"}``; codes never enter a name.
    low, high : float or None
        Ends of the interval.
    se : float or None
        Standard error.
    status : {"planned", "exploratory", "descriptive"}
        Fixed before looking, found while looking, or a description.
    gates : tuple of str
        Codes it rests on.
    tells_n : bool
        Whether `n` may be printed; not where subtracting it from another would give a few persons away.
    """

    name: str
    value: float | int | str | Withheld
    unit: str
    n: int
    population: Text
    where: Mapping[str, str] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    se: float | None = None
    status: Status = "descriptive"
    gates: tuple[str, ...] = ()
    tells_n: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return it as `results.json` holds it: a withheld one has no value, no interval and no n."""
        shown = not isinstance(self.value, Withheld)
        return {
            "name": self.name,
            "where": dict(self.where),
            "value": self.value if shown else None,
            "low": self.low if shown else None,
            "high": self.high if shown else None,
            "se": self.se if shown else None,
            "n": self.n if shown and self.tells_n else None,
            "unit": self.unit,
            "population": {"id": self.population.id, "en": self.population.en},
            "status": self.status,
            "withheld": None
            if shown
            else {"kind": self.value.kind, "id": self.value.reason.id, "en": self.value.reason.en},  # type: ignore[union-attr]
        }
