"""Typed declarations read strictly: unknown names, wrong types and impossible values are refused, the nearest named.

pydantic does the typing; this module says its verdicts in Indonesian and English.
"""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from bgtk_lib.errors import BgtkError, ParameterError, Text
from bgtk_lib.words import join, plain, say


def _check_label(text: str) -> str:
    """Refuse words that fit no title: none, very many, or with signs that are not seen."""
    if not 1 <= len(text) <= LONGEST_LABEL or not text.isprintable():
        raise ParameterError(say("declared.label", most=LONGEST_LABEL))
    return text


LONGEST_LABEL = 200
Label = Annotated[str, AfterValidator(_check_label)]


class Declared(BaseModel):
    """A declaration: frozen, and closed to names it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


D = TypeVar("D", bound=Declared)
DEEPEST = 40  # levels of nesting in a YAML file; workspace.yaml has seven


class _TextLoader(yaml.CSafeLoader):
    """YAML whose scalars all load as text: 18.10 stays 18.10; the declaration types them. A key twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's own signature
        seen = []
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.append(key.value)
        return super().construct_mapping(node, deep=deep)


def _scalar(_: yaml.CSafeLoader, node: yaml.ScalarNode) -> str | None:
    quoted = node.style in ("'", '"', "|", ">")
    return node.value if quoted or node.value not in ("", "~", "null") else None


_TextLoader.yaml_implicit_resolvers = {}
_TextLoader.add_constructor("tag:yaml.org,2002:str", _scalar)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a YAML file whose top is a mapping, scalars as text.

    Raises
    ------
    ParameterError
        If it is absent, not UTF-8, not YAML, or not a mapping.
    """
    if not path.is_file():
        raise ParameterError(say("file.absent", path=path.name))
    try:
        text = path.read_text(encoding="utf-8-sig")
        _check_depth(text)
        read = yaml.load(text, Loader=_TextLoader)  # noqa: S506 - a safe loader, with text for every scalar
    except UnicodeDecodeError as error:
        raise ParameterError(say("yaml.encoding", path=path.name)) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        where = getattr(error, "problem_mark", None)
        line = where.line + 1 if where else 1
        raise ParameterError(say("yaml.broken", path=path.name, line=line)) from error
    if not isinstance(read, dict) or not all(isinstance(key, str) for key in read):
        raise ParameterError(say("yaml.not_a_mapping", path=path.name))
    return read


def _check_depth(text: str) -> None:
    """Refuse nesting that no declaration has: libyaml's composer recurses in C, and would take the whole process down."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.composer.ComposerError(None, None, "nested too deeply", event.start_mark)  # type: ignore[arg-type]


def read_decision_rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a file of recorded decisions; none where it is absent.

    Raises
    ------
    ParameterError
        If it is not UTF-8 or has other columns than these.
    """
    if not path.is_file():
        return []
    try:
        lines = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    except UnicodeDecodeError as error:
        raise ParameterError(say("yaml.encoding", path=path.name)) from error
    rows = [line for line in lines if line]
    if not rows or tuple(rows[0]) != columns or any(len(row) != len(columns) for row in rows):
        raise ParameterError(say("decisions.columns", path=path.name, wanted=", ".join(columns)))
    return [dict(zip(columns, row, strict=True)) for row in rows[1:]]


def declare(kind: type[D], values: Mapping[str, Any], *, where: str) -> D:
    """Return values as a typed declaration.

    Parameters
    ----------
    kind : type
        The declaration.
    values : mapping
        Names and values as read.
    where : str
        What the reader calls it: a file's name or ``"parameter"``.

    Raises
    ------
    ParameterError
        With every fault found, each with what was found, what is allowed and, for names, the nearest known one.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        faults = [_explain(fault, kind) for fault in error.errors(include_url=False)[:8]]
        raise ParameterError(join([say("declared.wrong", where=where), *faults], "\n  ")) from error


def nearest(name: str, known: Iterable[str]) -> Text:
    """Return "did you mean …?" for a name, or the list of known ones; numbers get no suggestion."""
    known, typed = {str(value).casefold(): str(value) for value in known}, name.casefold()
    swapped = [word for word in known if sorted(word) == sorted(typed)]  # KB for BK, which difflib holds to be far
    if not name.replace(".", "").isdigit() and (
        close := swapped or difflib.get_close_matches(typed, known, n=1, cutoff=0.5)
    ):
        return say("declared.did_you_mean", near=known[close[0]])
    return say("declared.allowed", known=", ".join([*known.values()][:40]))


def require_known(name: str, known: Iterable[str], *, what: str) -> str:
    """Return a name that must be one of the known ones; else refuse it, the nearest named."""
    known = list(known)
    if name not in known:
        raise ParameterError(say("declared.unknown_value", what=what, found=_short(name), hint=nearest(name, known)))
    return name


def _short(value: Any) -> str:
    """What was found, shortened, and masked where it could be an identifier."""
    text = str(value)
    if sum(letter.isdigit() for letter in text) >= 12:
        return "…"
    return text if len(text) <= 40 else text[:37] + "…"


def _explain(fault: Any, kind: type[BaseModel]) -> Text:  # noqa: PLR0911 - one return a kind of fault
    path = ".".join(_short(part) for part in fault["loc"]) or "–"
    context = fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            return say(
                "declared.unknown_name",
                path=path,
                hint=nearest(str(fault["loc"][-1]), _names_at(kind, fault["loc"][:-1])),
            )
        case "missing" | "string_too_short":
            return say("declared.missing", path=path)
        case "literal_error":
            known = [word.strip(" '") for word in context["expected"].replace(" or ", ",").split(",")]
            return say(
                "declared.unknown_value",
                what=path,
                found=_short(fault["input"]),
                hint=nearest(str(fault["input"]), known),
            )
        case "value_error" if isinstance(context.get("error"), BgtkError):
            inner: BgtkError = context["error"]
            return Text(id=f"{path}: {inner.text.id}", en=f"{path}: {inner.text.en}")
        case "greater_than_equal" | "less_than_equal" | "greater_than" | "less_than":
            sign = {"ge": "≥", "le": "≤", "gt": ">", "lt": "<"}
            limit = "; ".join(f"{sign[name]} {value}" for name, value in context.items() if name in sign)
            return say("declared.out_of_range", path=path, found=_short(fault["input"]), limit=plain(limit))
        case "string_pattern_mismatch":
            return say("declared.pattern", path=path, found=_short(fault["input"]), pattern=context["pattern"])
        case other:
            wanted = other.removesuffix("_type").removesuffix("_parsing").split("_")[0]
            return say(
                "declared.wrong_type",
                path=path,
                found=_short(fault["input"]),
                wanted=say(f"kind.{wanted}") if wanted in _KINDS else plain(wanted),
            )


_KINDS = ("int", "float", "bool", "date", "string", "list", "dict", "model", "too", "finite")


def _names_at(kind: Any, path: tuple[Any, ...]) -> list[str]:
    """Return the names a nested declaration knows, walking the annotations; empty where they cannot be told."""
    for part in path:
        if isinstance(part, int):
            continue
        field = getattr(kind, "model_fields", {}).get(part)
        annotation = field.annotation if field else kind
        kind = next((t for t in _flatten(annotation) if hasattr(t, "model_fields")), kind)
    return list(getattr(kind, "model_fields", {}))


def _flatten(annotation: Any) -> list[Any]:
    return [annotation, *(inner for part in getattr(annotation, "__args__", ()) for inner in _flatten(part))]
