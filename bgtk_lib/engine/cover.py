"""The head and the foot of every report: cover, gates, provenance, glossary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bgtk_lib.display.gates import gather_gates
from bgtk_lib.display.page import (
    Cover,
    NoticeKind,
    Shown,
    draw_cover,
    draw_definition_list,
    draw_gates,
    draw_notice,
    draw_points,
    write_standing,
)
from bgtk_lib.editions import find_approval
from bgtk_lib.engine.report import Report
from bgtk_lib.errors import Text
from bgtk_lib.schema import code_list
from bgtk_lib.words import join, plain, say

GLOSSARY = {
    "data_quality": ("gate", "set_aside", "wave", "form"),
    "coverage_map": ("invited", "usable", "denominator", "wave"),
    "instrument": ("item", "difficulty", "discrimination", "distractor", "alpha", "sem", "dif"),
    "item": ("item", "difficulty", "discrimination", "distractor", "dif", "anchor", "drift"),
    "comparability": ("anchor", "drift", "linking_error", "scale", "form", "wave"),
    "change": ("change", "interval", "g_av", "pairs", "cluster", "wave", "form", "alpha"),
    "programme": ("change", "comparison", "towards_mean", "evidence", "interval", "pairs", "cluster", "form"),
}


def draw_head(report: Report) -> list[Shown]:
    """Draw the cover."""
    context = report.context
    facts = [
        (say("cover.edition"), plain(report.parameters.edition_id)),
        *_tell_standing(report),
        *[(name_wave(report, name), _tell_window(report, name)) for name in report.selection.get("wave", [])[:4]],
    ]
    parameters = [(plain(name), plain(_write(value))) for name, value in report.parameters]
    stamp = [
        (say("cover.data"), plain(report.depends.get("rows", "–")[:16])),
        (say("cover.code"), plain(report.depends.get("code", "–")[:16])),
        (say("cover.institution"), plain(report.workspace.declared.institution.name)),
    ]
    cover = Cover(
        title=name_report(report),
        question=say(f"report.{report.declaration.name}.question"),
        population=say(f"report.{report.declaration.name}.population", **_population(report)),
        facts=facts,
        parameters=parameters,
        stamp=stamp,
        marks=report.marks,
        standing=write_standing(context.confidence)[: 2 if report.declaration.name in ("change", "programme") else 1],
    )
    return [draw_cover(cover, language=context.language)]


def draw_status(report: Report) -> list[Shown]:
    """Draw what holds or stops the report, after its answer; nothing where no gate is closed."""
    if report.status == "done":
        return []
    kind: NoticeKind = "stop" if report.status == "stopped" else "hold"
    lines = gather_gates(report.closing)
    body = [join([plain(f"{gate.code}: "), gate.message], "") for gate in lines]
    effect = report.declaration.name == "programme" and kind == "stop"  # of a programme a change may still be told
    heading = say("programme.not_shown") if effect else say(f"notice.{report.status}")
    return [draw_notice(kind, heading=heading, body=body, language=report.context.language)]


def name_report(report: Report) -> Text:
    """Return a report's title with what it selects."""
    names = {**code_list("assessments"), **report.workspace.assessments}
    title = say(f"report.{report.declaration.name}.contribution") if report.may_claim else report.declaration.title
    parts = [title, *_name_programme(report), *(names[code] for code in report.selection.get("assessment", []))]
    waves = report.selection.get("wave", [])
    parts += [plain(str(code)) for name in ("form", "item") if (code := getattr(report.parameters, name, None))]
    if report.declaration.name in ("change", "programme"):
        parts.append(say("wave.phase", phase=report.workspace.declared.waves[waves[0]].phase))
    elif len(waves) == 1:
        parts.append(name_wave(report, waves[0]))
    return join(parts, " · ")


def _name_programme(report: Report) -> list[Text]:
    """Return the programme a report is about, and whether it is about its tutors; none for other reports."""
    code, role = (getattr(report.parameters, name, None) for name in ("programme", "role"))
    return [say(f"programme.named.{role}", programme=code_list("programmes")[code])] if code else []


def name_wave(report: Report, code: str) -> Text:
    """Return a wave in words: its phase, and whether it is the first or the second measurement."""
    wave = report.workspace.declared.waves[code]
    return say("wave.named", phase=wave.phase, occasion=say(f"wave.{wave.occasion}"), code=plain(code))


def _population(report: Report) -> dict[str, Any]:
    wave = report.selection.get("wave", [])
    label = getattr(report.parameters, "population_label", None)
    jenjang = getattr(report.parameters, "jenjang", None) or []
    districts = getattr(report.parameters, "districts", None) or []
    names = [code_list("districts")[code] for code in districts]
    named = name_wave(report, wave[0]) if wave else plain("–")
    where = join(names) if names else say("population.all_districts")
    return {
        "label": plain(label) if label else say("population.sat_wave", wave=named),
        "where": where,
        "jenjang": plain(", ".join(jenjang)) if jenjang else say("population.all_jenjang"),
    }


def _tell_standing(report: Report) -> list[tuple[Text, Text]]:
    """Return the status, and of an official edition who approved it and on which assessment of data protection."""
    status = say(f"status.{report.parameters.edition_status}")
    facts = [(say("cover.status"), say(f"status.{_name_status(report)}", status=status))]
    approval = find_approval(report.workspace, report.parameters.model_dump())
    if approval:
        facts += [
            (say("cover.approver"), join([plain(approval.who), say("cover.day", day=approval.date)])),
            (say("cover.dpia_ref"), plain(approval.dpia_ref)),
        ]
    return facts


def _name_status(report: Report) -> str:
    """Return the status's word; the data quality report names what its gates do to the others."""
    if report.declaration.name != "data_quality":
        told = any(gate.closed and gate.code in report.declaration.tells for gate in report.gates)
        return "told" if told and report.status == "done" else report.status
    states = {gate.state for gate in report.gates if gate.closed}
    return "quality_stop" if "STOP" in states else "quality_hold" if "HOLD" in states else "quality_open"


def _tell_window(report: Report, wave: str) -> Text:
    days = report.context.waves[wave]
    if not days:
        return say("cover.no_window")
    return join([say("cover.day", day=day) for day in dict.fromkeys(days)], "; ")


def _write(value: Any) -> str:
    return ", ".join(map(str, value)) or "–" if isinstance(value, list) else "–" if value is None else str(value)


def draw_gate_table(report: Report) -> Sequence[Shown]:
    """Draw every gate that touches the report, those that need somebody first."""
    every = report.declaration.name == "data_quality"
    gates = [
        gate for gate in report.gates if every or gate.code in (*report.declaration.rests_on, *report.declaration.tells)
    ]
    return [draw_gates(gather_gates(gates), language=report.context.language)]


def draw_foot(report: Report) -> Sequence[Shown]:
    """Draw what cannot be concluded, the glossary, and what made the report."""
    context = report.context
    name = report.declaration.name
    limits = [say(f"limits.{name}.{n}") for n in range(1, 5)]
    words = [(say(f"glossary.{word}"), say(f"glossary.{word}.meaning")) for word in GLOSSARY[name]]
    return [draw_points(limits, language=context.language), draw_definition_list(words, language=context.language)]
