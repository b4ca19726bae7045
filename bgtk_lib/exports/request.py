"""What is asked for: which answers leave the office, for whom, and on what ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bgtk_lib.editions import apply_decisions
from bgtk_lib.errors import ParameterError
from bgtk_lib.findings import Gate, Withheld
from bgtk_lib.stages.gates import read_gates
from bgtk_lib.words import plain, say
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.typed import require_known

Kind = Literal["irw", "crosscheck"]
KINDS: tuple[Kind, ...] = ("irw", "crosscheck")
UNTIL: dict[Kind, str] = {"irw": "review", "crosscheck": "score"}  # the last stage an export takes from
LONGEST = 200  # letters of a reference
COMPARISON = "C"  # first letter of the gates between two waves: they say nothing about the answers of one form


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On what ground and for whom answers leave the office.

    Attributes
    ----------
    reference : str
        Number of the data-protection impact assessment that covers this export.
    recipient : str
        Who receives it.
    agreement : str
        Number of the agreement with the recipient.
    """

    reference: str
    recipient: str
    agreement: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One export that is asked for.

    Attributes
    ----------
    kind : {"irw", "crosscheck"}
    form : str
        A declared form.
    waves : tuple of str
        Declared waves in the order of their declaration; empty: all that have answers.
    terms : Terms
    folder : Path
        Where it is written: absent or empty.
    """

    kind: Kind
    form: str
    waves: tuple[str, ...]
    terms: Terms
    folder: Path


def state_terms(*, reference: str | None, recipient: str | None, agreement: str | None) -> Terms:
    """Return the ground of an export.

    Raises
    ------
    ParameterError
        If any of the three is not given, with the options that are missing; if one is no line of text.

    Examples
    --------
    >>> state_terms(reference="DPIA-3", recipient="Unila", agreement=" 12/PKS/2026 ").agreement
    '12/PKS/2026'
    """
    given = {"reference": reference, "recipient": recipient, "agreement": agreement}
    stated = {name: (value or "").strip() for name, value in given.items()}
    if missing := [f"--{name}" for name, value in stated.items() if not value]:
        raise ParameterError(say("exports.terms_missing", missing=plain(", ".join(missing))))
    for name, value in stated.items():
        if len(value) > LONGEST or not value.isprintable():
            raise ParameterError(say("exports.terms_unreadable", option=f"--{name}", longest=LONGEST))
    return Terms(**stated)


def request_export(
    workspace: Workspace, kind: str, *, form: str | None, waves: Sequence[str], terms: Terms, folder: str | None
) -> Request:
    """Return what is asked for, checked against what the workspace declares; nothing is written yet.

    Parameters
    ----------
    workspace : Workspace
    kind : {"irw", "crosscheck"}
    form, waves : str, sequence of str
        Codes as declared.
    terms : Terms
    folder : str, optional
        Where to write; none: a folder of the export's name under ``data/exports``.

    Raises
    ------
    ParameterError
        If a name is not known, no form is named, or something lies in the folder: what has been handed over is a
        record, so it is never written over.
    """
    require_known(kind, KINDS, what="bgtk export")
    declared = workspace.declared
    if not form:
        raise ParameterError(say("exports.no_form", known=", ".join(declared.forms) or "–"))
    require_known(form, declared.forms, what="--form")
    for wave in waves:
        require_known(wave, declared.waves, what="--wave")
    chosen = tuple(wave for wave in declared.waves if wave in waves)
    name = "-".join([kind, write_slug(form), *map(write_slug, chosen)])
    target = choose_folder(workspace, name, folder)
    return Request(kind="irw" if kind == "irw" else "crosscheck", form=form, waves=chosen, terms=terms, folder=target)


def choose_folder(workspace: Workspace, name: str, folder: str | None) -> Path:
    """Return where an export goes: the folder named, else one of the export's name under ``data/exports``.

    Raises
    ------
    ParameterError
        If something lies in it.
    """
    target = Path(folder) if folder else workspace.folder("exports") / name
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise ParameterError(say("exports.occupied", folder=target.name or "."))
    return target


def write_slug(text: str) -> str:
    """Return a text as a part of a file's name: small letters, digits, single underscores.

    Examples
    --------
    >>> write_slug("PED-1 (Ujian)")
    'ped_1_ujian'
    """
    kept = "".join(sign if sign.isascii() and sign.isalnum() else " " for sign in text.casefold())
    return "_".join(kept.split())


def list_closed(workspace: Workspace, request: Request, waves: Sequence[str]) -> list[Gate]:
    """Return the closed gates that speak of the answers asked for; those between two waves are not among them."""
    selection = {
        "form": [request.form],
        "wave": [*waves],
        "assessment": [workspace.declared.forms[request.form].assessment],
    }
    gates = apply_decisions(read_gates(workspace), workspace.folder("decisions") / "gates.csv")
    return [one for one in gates if one.closed and not one.code.startswith(COMPARISON) and one.touches(selection)]


def find_stop(gates: Sequence[Gate]) -> Withheld | None:
    """Return why nothing is given out where a gate stops the answers themselves."""
    stops = [gate for gate in gates if gate.state == "STOP"]
    if not stops:
        return None
    return Withheld(say("exports.stopped", code=stops[0].code, message=stops[0].message), kind="gate")
