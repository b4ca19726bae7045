"""The workspace and the mappings that go with the exports of a made-up province."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml

from bgtk_lib.synthetic.design import (
    DAPODIK_AS_OF,
    MAKE_UP_AFTER,
    OCCASIONS,
    Design,
    form_name,
    wave_day,
    wave_name,
)

MAPPING_NAMES = ("cbt", "roster", "form_item", "key", "training", "applicant", "rubric", "panel")


@cache
def read_layout(name: str) -> Any:
    """Return one YAML file of this folder."""
    text = (resources.files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=yaml.CSafeLoader)


PLAN = "analysis_plan.yaml"
MAPPINGS: Mapping[str, Any] = {name: read_layout(name) for name in MAPPING_NAMES}


def declare_workspace(design: Design) -> dict[str, Any]:
    """Return the `workspace.yaml` of a made-up province: its sources, waves and forms; the rest from `base.yaml`."""
    base = read_layout("base")
    sources: list[dict[str, Any]] = []
    waves: dict[str, Any] = {}
    forms: dict[str, Any] = {}
    for phase in design.phases:
        for occasion in OCCASIONS:
            wave, day = wave_name(phase, occasion), wave_day(phase, occasion)
            late = day + MAKE_UP_AFTER
            waves[wave] = {"phase": phase, "occasion": occasion, "window": [day, day], "make_up": [late, late]}
            tests = {"file": f"data/raw/cbt/{wave}/*.csv", "adapter": "table", "mapping": "cbt", "wave": wave}
            invited = {"file": f"data/raw/roster/{wave}.csv", "adapter": "table", "mapping": "roster", "wave": wave}
            sources += [{"name": f"cbt-{wave}", **tests}, {"name": f"roster-{wave}", **invited}]
        forms |= {
            form_name(code, phase, occasion): {"assessment": code}
            for code in design.taken(phase)
            for occasion in OCCASIONS
        }
    dapodik = {"adapter": "dapodik_json", "as_of": DAPODIK_AS_OF}
    sources += [dict(entry) for entry in base["sources"]]
    if design.panel_forms:
        sources.append(
            {"name": "telaah", "file": "data/raw/panel/telaah_ssl.csv", "adapter": "table", "mapping": "panel"}
        )
    if design.scenario == "programme_effects":
        sources += [dict(entry) for entry in base["programme_sources"]]
    sources += [
        {"name": f"dapodik-{kind}", "file": f"data/raw/dapodik/{kind}/*.json", **dapodik} for kind in ("gtk", "sekolah")
    ]
    rules = dict(base["rules"])
    if "III" in design.phases:
        rules["reference_date"] = wave_day("III", "post") + 3 * MAKE_UP_AFTER
    return {
        **base["head"],
        "sources": sources,
        "waves": waves,
        "forms": forms,
        "control_totals": "data/control_totals.csv",
        "analysis_plan": PLAN,
        "rules": rules,
        "reports": [
            *(dict(entry) for entry in base["reports"]),
            *_ask_for_instruments(design),
            *(base["programme_reports"] if design.scenario == "programme_effects" else []),
        ],
    }


def plan_analysis(design: Design) -> dict[str, Any]:
    """Return the analysis plan of a made-up province: one contrast a phase, and the programme whose seats were drawn by lot."""
    pairs = []
    for phase in design.phases:
        taken = design.taken(phase)
        waves = {f"wave_{occasion}": wave_name(phase, occasion) for occasion in OCCASIONS}
        pairs.append({"assessment": "PED" if "PED" in taken else taken[0], **waves})
    plan: dict[str, Any] = {"confirmatory": {f"tahap-{at}": pair for at, pair in enumerate(pairs, start=1)}}
    plan |= {"subgroups": ["sex", "jenjang"], "margin": 3}
    lots = [{"programme": "KKA", **pair, "assessment": "PED", "comparison": "lottery"} for pair in pairs]
    return plan | ({"programmes": lots} if design.scenario == "programme_effects" else {})


def _ask_for_instruments(design: Design) -> list[dict[str, Any]]:
    """Return the reports on instruments that a demonstration makes: two forms, and the link of the one that has two forms."""
    first = design.phases[0]
    pre, post = (wave_name(first, occasion) for occasion in OCCASIONS)
    here = [code for code in ("PED", "SSL") if code in design.taken(first)]
    if not here:
        return []
    pair = {"assessment": here[-1], "wave_pre": pre, "wave_post": post}
    sittings = [[form_name(code, first), pre] for code in here]
    reports: list[dict[str, Any]] = [{"report": "instrument", "grid": {"sittings": sittings}}]
    reports.append({"report": "comparability", "parameters": pair})
    return [*reports, {"report": "change", "parameters": pair}] if "SSL" in here else reports
