"""A report while its notebook runs: its rows, its gates, its suppression plan, and the record of every figure shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from IPython.display import display

from bgtk_lib.disclosure import Plan, Released, publish_flow, release_nested
from bgtk_lib.display.context import Context
from bgtk_lib.display.page import Shown, draw_notice, draw_prose
from bgtk_lib.display.quality import draw_row_account
from bgtk_lib.editions import apply_decisions, make_passport, name_report_table, read_plan
from bgtk_lib.engine.paired import Paired
from bgtk_lib.engine.parameters import Common, check_parameters, find_report
from bgtk_lib.engine.parameters import Report as Declaration
from bgtk_lib.engine.rows import load_table
from bgtk_lib.errors import ParameterError, Text
from bgtk_lib.findings import SEVERITY, Figure, Flow, Gate, Withheld
from bgtk_lib.instrument.flags import FEWEST_PERSONS, PROFILES, Limits
from bgtk_lib.quality.summary import ROWS_ORDER, list_rows
from bgtk_lib.stages import read_gates
from bgtk_lib.words import SYNTHETIC_MARKS, join, plain, say
from bgtk_lib.workspace import Workspace, open_workspace
from bgtk_lib.workspace.declaration import Rules
from bgtk_lib.workspace.plan_lock import PlanState, read_plan_state
from bgtk_lib.workspace.store import read_json, write_json

DRAFT_MARK = "DRAF"
ORDER = "wanted.json"


@dataclass
class Report:
    """What a notebook holds in its hands; see `open_report`.

    Attributes
    ----------
    declaration : engine.parameters.Report
        What the report is.
    parameters : Common
        Its parameters, typed.
    workspace : Workspace
        Where its rows come from.
    load : callable, optional
        Name of a table → the whole table, of somebody who holds it already; else `rows.load_table`.
    depends : mapping
        What it depends on, part → SHA-256; empty where the notebook is run by hand.
    may_claim : bool
        Whether its design carries a sentence that names a cause.
    """

    declaration: Declaration
    parameters: Common
    workspace: Workspace
    load: Callable[[str], pd.DataFrame] | None = None
    depends: Mapping[str, str] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    may_claim: bool = False
    _stops: set[tuple[str, ...]] = field(default_factory=set)
    _flow: Flow = field(default_factory=lambda: Flow(()))

    @cached_property
    def selection(self) -> dict[str, list[str]]:
        """What the parameters select, by the names that gates' scopes use."""
        found: dict[str, list[str]] = {}
        for name, value in self.parameters:
            values = (
                [str(one) for one in value] if isinstance(value, list) else [str(value)] if value is not None else []
            )
            if values and name in ("assessment", "form", "wave_pre", "wave_post"):
                found[name] = values
            if name == "form" and value in self.workspace.declared.forms:
                found["assessment"] = [self.workspace.declared.forms[value].assessment]
            if values and name in ("wave", "waves", "wave_pre", "wave_post"):
                found.setdefault("wave", []).extend(values)
            if name == "item" and self.workspace.has_derived("items"):
                sat, waves = self.read("items"), [*self.workspace.declared.waves]
                found |= {k: sorted(set(sat[k]), key=[*waves, *sat[k]].index) for k in ("assessment", "form", "wave")}
        return found

    @cached_property
    def gates(self) -> list[Gate]:
        """Every gate that touches what the report selects, decisions applied."""
        gates = apply_decisions(read_gates(self.workspace), self.workspace.folder("decisions") / "gates.csv")
        return [gate for gate in gates if gate.touches(self.selection)]

    @cached_property
    def plan(self) -> Plan:
        """The edition's suppression plan."""
        return read_plan(self.workspace, edition=self.parameters.edition_id, min_cell=self.parameters.min_cell)

    @cached_property
    def context(self) -> Context:
        """What drawing needs to know: language, marks, names, confidence."""
        return Context(
            language=self.parameters.language,
            marks=tuple(self.marks),
            confidence=float(self.parameters.confidence),
            min_cell=self.parameters.min_cell,
            parameters=self.parameters.model_dump(mode="json"),
            assessments=self.workspace.assessments,
            waves={name: wave.days for name, wave in self.workspace.declared.waves.items()},
            table=self.table,
        )

    @property
    def marks(self) -> list[str]:
        """What stands on every page and in every figure: the synthetic mark; DRAF where a gate holds."""
        synthetic = self.workspace.declared.data_kind == "synthetic"
        marks = [SYNTHETIC_MARKS[self.parameters.language]] if synthetic else []
        return (
            [*marks, DRAFT_MARK]
            if any(g.state == "HOLD" and g.closed for g in self._resting(self.declaration.rests_on))
            else marks
        )

    def _resting(self, codes: Sequence[str]) -> list[Gate]:
        return [gate for gate in self.gates if gate.code in codes]

    def table(self, part: str) -> str:
        """Return the name under which the edition's plan holds one table of this report."""
        return name_report_table(self.declaration.name, self.parameters.model_dump(mode="json"), part)

    def read(self, table: str) -> pd.DataFrame:
        """Return the rows of a table that the declaration lets this report read, filtered as it says.

        Raises
        ------
        ParameterError
            If the declaration does not name the table, or a filter leaves fewer than `min_cell` persons.
        """
        if table not in self.declaration.reads:
            raise ParameterError(say("report.not_declared", table=table, report=self.declaration.name))
        frame = self._load(table)
        for column, parameter in self.declaration.reads[table].items():
            wanted = getattr(self.parameters, parameter)
            values = wanted if isinstance(wanted, list) else [wanted]
            if values and column in frame:
                frame = frame[frame[column].isin(values)]
        return frame.reset_index(drop=True)

    def _load(self, table: str) -> pd.DataFrame:
        return self.load(table) if self.load else load_table(self.workspace, table)

    def read_all(self) -> dict[str, pd.DataFrame]:
        """Return every table the declaration lets this report read, by name; all empty where fewer than 30 sat the form."""
        tables = {table: self.read(table) for table in self.declaration.reads}
        few = "scores" in tables and len(tables["scores"]) < FEWEST_PERSONS
        return {name: frame.iloc[:0] if few and name != "scores" else frame for name, frame in tables.items()}

    @staticmethod
    def keep(frame: pd.DataFrame) -> Released:
        """Return a table of items or of files as it may be shown: it tells of no group of persons."""
        return Released(frame=frame)

    def record(self, released: Released) -> None:
        """Record figures in `results.json` without drawing them."""
        self.pass_gates(released)

    def pass_gates(self, released: Released) -> Released:
        """Record figures and return them as the gates leave them, to be told elsewhere."""
        return replace(released, figures=self._record(released))

    @cached_property
    def analysis_plan(self) -> PlanState:
        """What was planned before the later wave was read, as far as the workspace says."""
        return read_plan_state(self.workspace)

    @property
    def margin(self) -> float | None:
        """What the analysis plan takes for no change, in points; None without a plan."""
        plan = self.analysis_plan.plan
        return plan.margin if plan else None

    def gate(self, code: str) -> Gate | None:
        """Return the worst gate of a code that touches what the report selects; None where there is none."""
        return max(self._resting([code]), key=lambda gate: SEVERITY[gate.state], default=None)

    @property
    def groups(self) -> dict[str, str]:
        """Grouping → its table in the edition's plan."""
        return {name: self.table(f"groups.{name}") for name in getattr(self.parameters, "subgroups", [])}

    def _grade(self, figure: Figure) -> Figure:
        """Return a figure with its standing: planned, exploratory or descriptive."""
        told = {"parameters": self.parameters.model_dump(mode="json"), "where": figure.where}
        return replace(figure, status=self.analysis_plan.status_of(self.declaration.name, figure.name, **told))

    def _record(self, released: Released) -> tuple[Figure, ...]:
        figures = tuple(self._grade(self._close(figure)) for figure in released.figures)
        known = {(figure.name, tuple(figure.where.items())) for figure in self.figures}
        self.figures += [one for one in figures if (one.name, tuple(one.where.items())) not in known]
        return figures

    @property
    def limits(self) -> Limits:
        """From which values on an item is looked at again, by the workspace's profile."""
        return PROFILES[self.rules.item_profile]

    def show(self, released: Released, draw: Callable[..., Sequence[Shown] | Shown], **facts: Any) -> None:
        """Draw what was released and record it; what a stopped gate covers is left out, and its place says so.

        Parameters
        ----------
        released : Released
            As `disclosure.release` returns it.
        draw : callable
            A function of `display`: what was released and the context → pieces of the page.
        **facts
            What else the function draws from.
        """
        figures = self._record(released)
        withheld = [f.value for f in figures if isinstance(f.value, Withheld)]
        if len(withheld) == len(figures) and any(value.kind == "gate" for value in withheld):
            codes = sorted({gate.code for f in figures for gate in self._stopping(f)})
            self._put(self._tell_stop(codes))
            return
        pieces = draw(replace(released, figures=figures), self.context, **facts)
        self._put(*([pieces] if isinstance(pieces, Shown) else pieces))

    def _stopping(self, figure: Figure) -> list[Gate]:
        return [gate for gate in self._resting(figure.gates) if gate.state == "STOP" and gate.closed]

    def _close(self, figure: Figure) -> Figure:
        codes = sorted({gate.code for gate in self._stopping(figure)})
        hidden = isinstance(figure.value, Withheld) and figure.value.kind in ("small", "complement")
        if not codes or hidden:  # a small group stays hidden for its smallness: a gate would let its n be printed
            return figure
        return replace(
            figure,
            value=Withheld(say("withheld.gate", codes=", ".join(codes)), kind="gate"),
            low=None,
            high=None,
            se=None,
        )

    def _tell_stop(self, codes: Sequence[str]) -> Shown:
        gates = [gate for gate in self._resting(codes) if gate.state == "STOP"]
        lines = [Text(id=f"{g.code}: {g.message.id}", en=f"{g.code}: {g.message.en}") for g in gates]
        if tuple(codes) in self._stops:
            return draw_prose([say("report.stopped_again", codes=", ".join(codes))], language=self.parameters.language)
        self._stops.add(tuple(codes))
        return draw_notice("stop", heading=say("report.stopped_here"), body=lines, language=self.parameters.language)

    def rest(self, released: Released) -> Released:
        """Return a picture without figures that rests on the report's own gates: nothing of it where one stopped."""
        stopped = any(g.state == "STOP" and g.closed for g in self._resting(self.declaration.rests_on))
        return replace(released, frame=None) if stopped else released

    def show_page(self, pieces: Sequence[Shown] | Shown) -> None:
        """Show pieces that hold no figure: cover, gates, glossary."""
        self._put(*([pieces] if isinstance(pieces, Shown) else pieces))

    @property
    def rules(self) -> Rules:
        """The workspace's rules."""
        return self.workspace.rules

    @property
    def clustering(self) -> dict[str, Any]:
        """How `estimate_change` clusters: by the rule, with the reason where it is none."""
        reason = self.rules.cluster_reason
        how = {"cluster": self.rules.cluster, "confidence": self.context.confidence}
        return {**how, "cluster_reason": plain(reason) if reason else None}

    @cached_property
    def rng(self) -> np.random.Generator:
        """Source of randomness, the same for the same report: what is drawn by chance comes out again."""
        name = "/".join([self.declaration.name, *(value for values in self.selection.values() for value in values)])
        return np.random.default_rng([self.rules.seed, *name.encode()])

    def paired(self) -> Paired:
        """Return the rows of the two waves that the parameters name.

        They stand in the order of the pseudonyms, so that no number, down to its last digit or what is drawn by chance,
        depends on anybody's place in an export.
        """
        pairs, unpaired = (self.read(name).sort_values("pid", ignore_index=True) for name in ("pairs", "unpaired"))
        return Paired(
            pairs=pairs,
            unpaired=unpaired,
            read=self.read,
            min_cell=self.parameters.min_cell,
            how={"cluster": self.rules.cluster, "confidence": self.context.confidence},
        )

    def roster(self) -> pd.DataFrame | None:
        """Return who was invited, or None where no roster came."""
        return self.read("roster") if len(self._load("roster")) else None

    def show_rows(self) -> None:
        """Show received = accepted + set aside for every table of the workspace."""
        rows = list_rows(self.read("account"))
        self.show(release_nested(rows, self.plan, order=ROWS_ORDER), draw_row_account)

    def show_flow(self, flow: Flow, draw: Callable[[Flow, Context], Sequence[Shown]]) -> None:
        """Draw and record how the rows came to those used; small steps are joined with the next."""
        self._flow = publish_flow(flow, self.plan)
        self._put(*draw(self._flow, self.context))

    @staticmethod
    def _put(*pieces: Shown) -> None:
        for piece in pieces:
            display(piece)  # type: ignore[no-untyped-call]

    def results(self) -> dict[str, Any]:
        """Return what `results.json` holds."""
        gates = [
            {
                "code": g.code,
                "state": g.state,
                "scope": dict(g.scope),
                "message": {"id": g.message.id, "en": g.message.en},
                "rows": g.rows if g.rows == 0 or g.rows >= self.parameters.min_cell else None,
                "lifted": g.lifted,
            }
            for g in self.gates
        ]
        return {
            "report": self.declaration.name,
            "parameters": self.parameters.model_dump(mode="json"),
            "flow": [
                {"state": s.state, "n": s.n, "set_aside": s.set_aside, "reasons": dict(s.reasons)}
                for s in self._flow.steps
            ],
            "gates": gates,
            "figures": [figure.as_json() for figure in self.figures],
        }

    def close(self) -> None:
        """Write `results.json` and `passport.json`: without them there is no page.

        The engine runs it in the folder it fills, where its order lies; run by hand in JupyterLab it writes nothing.
        """
        folder = Path.cwd()
        if (folder / ORDER).is_file():
            write_json(folder / "results.json", self.results())
            parameters = self.parameters.model_dump(mode="json")
            passport = make_passport(self.workspace, self.declaration.name, parameters, depends=self.depends)
            write_json(folder / "passport.json", passport | {"may_claim": self.may_claim})

    @property
    def status(self) -> Literal["done", "held", "stopped"]:
        """``stopped``, ``held`` or ``done``."""
        states = {g.state for g in self._resting(self.declaration.rests_on) if g.closed}
        return "stopped" if "STOP" in states else "held" if "HOLD" in states else "done"

    def why(self) -> Text:
        """Return the closed gates it rests on in words; empty where there is none."""
        closed = [g for g in self._resting(self.declaration.rests_on) if g.closed]
        told = [Text(id=f"{g.code}: {g.message.id}", en=f"{g.code}: {g.message.en}") for g in closed]
        return join(told, " ") if told else plain("")


def open_report(name: str, variables: Mapping[str, Any]) -> Report:
    """Open a report in its notebook: check its parameters and hand over what it may read.

    Parameters
    ----------
    name : str
        As in `REPORTS`.
    variables : mapping
        Holds a value for every parameter: in a notebook ``vars()``, the variables of its parameters cell.

    Notes
    -----
    The workspace is the nearest folder above the one in which the notebook runs that holds a `workspace.yaml`.

    Raises
    ------
    ParameterError
        If a parameter is impossible.
    """
    declaration = find_report(name)
    here = Path.cwd()
    home = open_workspace(next((f for f in [here, *here.parents] if (f / "workspace.yaml").is_file()), here))
    values = {key: variables[key] for key in declaration.parameters.model_fields if key in variables}
    values = {key: value for key, value in values.items() if value not in (None, "")}
    parameters = check_parameters(declaration, json.loads(json.dumps(values)), home)
    return Report(declaration, parameters, home, depends=(read_json(here / ORDER) or {}).get("depends", {}))
