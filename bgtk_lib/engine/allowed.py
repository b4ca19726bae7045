"""What each parameter of a report may be, read off its declaration: for a person, for `--json`, for a grid's ``all``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args, get_origin

from bgtk_lib.engine.parameters import Report
from bgtk_lib.schema import code_list
from bgtk_lib.schema import districts as district_register
from bgtk_lib.words import say
from bgtk_lib.workspace import Workspace


def describe_parameters(report: Report, workspace: Workspace | None) -> list[dict[str, Any]]:
    """Return a report's parameters: name, type, default, allowed values and help, for a person and for `--json`."""
    rows = []
    for name, field in report.parameters.model_fields.items():
        annotation, marks = _strip_optional(field.annotation, field.metadata)
        allowed = [str(value) for value in _literals(annotation)]
        if workspace and name in ("wave", "waves", "wave_pre", "wave_post"):
            allowed = [*workspace.declared.waves]
        elif workspace and name == "form":
            allowed = [*workspace.declared.forms]
        elif workspace and name == "assessment":
            allowed = [*workspace.assessments]
        elif name == "programme":
            allowed = [*code_list("programmes")]
        elif name == "districts":
            allowed = [*district_register().index]
        limits = [
            f"{type(m).__name__.lower()} {getattr(m, 'ge', getattr(m, 'le', ''))}"
            for m in marks
            if hasattr(m, "ge") or hasattr(m, "le")
        ]
        default = None if field.is_required() else field.get_default()
        kind = "list" if str(annotation).startswith("list") else getattr(annotation, "__name__", "str")
        rows.append(
            {
                "name": name,
                "type": "choice" if kind == "Literal" else kind,
                "required": field.is_required(),
                "default": default,
                "allowed": allowed or limits,
                "help": say(f"parameter.help.{name}"),
            }
        )
    return rows


def _strip_optional(annotation: Any, marks: list[Any]) -> tuple[Any, list[Any]]:
    """Return a declared type without the None it may be, and its limits: of ``Annotated[int, Field(ge=1)] | None`` int, [≥ 1]."""
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if type(None) not in get_args(annotation) or len(parts) != 1:
        return annotation, marks
    inner = parts[0]
    if get_origin(inner) is not Annotated:
        return inner, marks
    bare, *notes = get_args(inner)
    return bare, [*marks, *(limit for note in notes for limit in getattr(note, "metadata", ()))]


def _literals(annotation: Any) -> list[Any]:
    if getattr(annotation, "__origin__", None) is Literal:
        return list(get_args(annotation))
    return [value for part in get_args(annotation) for value in _literals(part)]
