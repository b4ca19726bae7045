"""A workspace: a folder with a `workspace.yaml`, its exports, its tables and its reports."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import platformdirs

from bgtk_lib.errors import Language, ParameterError, StageError, Text
from bgtk_lib.schema import code_list, published_totals, read_totals
from bgtk_lib.words import say
from bgtk_lib.workspace.declaration import Rules, Source, WorkspaceDeclaration
from bgtk_lib.workspace.store import (
    code_fingerprint,
    hash_content,
    hash_files,
    library_versions,
    list_parts,
    read_json,
    read_part,
    read_table,
)
from bgtk_lib.workspace.typed import declare, read_yaml, require_known

STAGES = ("ingest", "check", "review", "score")
APPROVALS = "editions.csv"  # the one file of decisions that no stage reads: who made which edition official


@dataclass(frozen=True)
class Workspace:
    """One workspace, opened: what it declares and where its things lie.

    Attributes
    ----------
    root : Path
        The folder that holds `workspace.yaml`.
    declared : WorkspaceDeclaration
        Its content, validated.
    """

    root: Path
    declared: WorkspaceDeclaration

    @property
    def rules(self) -> Rules:
        """The rules that decide the numbers."""
        return self.declared.rules

    @property
    def language(self) -> Language:
        """The language of its messages and, by default, of its reports."""
        return self.declared.language

    def folder(self, name: str) -> Path:
        """Return one of its folders: ``canonical``, ``quarantine``, ``derived``, ``decisions``, ``mappings``, ``raw``."""
        return self.root / "data" / name

    @property
    def secrets(self) -> Path:
        """Where key and identity lie: outside the workspace, in the user's own data folder or $BGTK_KEYS."""
        home = os.environ.get("BGTK_KEYS") or platformdirs.user_data_dir("bgtk", appauthor=False)
        return Path(home) / self.declared.name

    def files_of(self, source: Source) -> list[Path]:
        """Return the files of a source, in name order.

        Raises
        ------
        ParameterError
            If there is none, or one lies outside the workspace and is not named by an absolute path.
        """
        pattern = os.path.expandvars(source.file)
        base, inner = (Path("/"), pattern.lstrip("/")) if Path(pattern).is_absolute() else (self.root, pattern)
        try:
            found = [base / inner] if (base / inner).is_file() else sorted(base.glob(inner))
        except (ValueError, NotImplementedError, OSError):
            found = []
        found = [path for path in found if path.is_file()]
        if not found:
            raise ParameterError(say("source.no_file", source=source.name, file=source.file))
        return found

    @cached_property
    def assessments(self) -> dict[str, Text]:
        """Code → name of every assessment: the register, or what the workspace declares instead."""
        own = self.declared.assessments
        return {code: Text(id=name.id, en=name.en) for code, name in own.items()} or code_list("assessments")

    @cached_property
    def control_totals(self) -> pd.DataFrame:
        """The register of control totals: its own, or for a real Lampung workspace the published one."""
        if self.declared.control_totals == "published":
            return published_totals()
        if self.declared.control_totals:
            path = self.root / self.declared.control_totals
            if not path.is_file():
                raise ParameterError(say("file.absent", path=self.declared.control_totals))
            try:
                return read_totals(path)
            except (ValueError, KeyError) as error:
                raise ParameterError(say("totals.unreadable", path=self.declared.control_totals)) from error
        return published_totals().iloc[:0]

    def read_quarantine(self, stage: str) -> pd.DataFrame:
        """Return the rows a stage set aside: table, source, row, reason; never values."""
        frame = read_table(self.folder("quarantine"), stage)
        return frame if frame is not None else pd.DataFrame(columns=["table", "source", "row", "reason"]).astype("str")

    def read_accepted(self, table: str, columns: list[str] | None = None) -> pd.DataFrame | None:
        """Return the rows of a canonical table that the checks accepted, or None where no source gives the table.

        Rows of `total` follow their session; answers are read by `read_answers`.
        """
        frame = read_table(self.folder("canonical"), table, columns)
        if frame is None:
            return None
        aside = self._set_aside(table)
        frame = frame.drop(index=frame.index[aside]) if len(aside) else frame
        if table == "total":
            frame = frame[~frame["session_id"].isin(self._sessions_aside)]
        return frame.reset_index(drop=True)

    def read_answers(self) -> Iterator[tuple[str, str, pd.DataFrame]]:
        """Give wave, form and the accepted answers of each, one part at a time."""
        folder = self.folder("canonical")
        for wave, form in list_parts(folder, "answer"):
            answers = read_part(folder, "answer", (wave, form))
            yield wave, form, answers[~answers["session_id"].isin(self._sessions_aside)]

    def _set_aside(self, table: str) -> list[int]:
        """Return the positions of a canonical table that the checks set aside."""
        aside = read_table(self.folder("derived"), "set_aside")
        return (
            [] if aside is None else [int(place) for place in aside.loc[aside["table"] == table, "position"].unique()]
        )

    @property
    def _sessions_aside(self) -> set[str]:
        sessions = read_table(self.folder("canonical"), "session", ["session_id"])
        return set() if sessions is None else set(sessions["session_id"].iloc[self._set_aside("session")])

    def read_derived(self, name: str) -> pd.DataFrame:
        """Return a derived table.

        Raises
        ------
        StageError
            If its stage has not run.
        """
        for folder in ("derived", "instrument", "scores"):
            frame = read_table(self.folder(folder), name)
            if frame is not None:
                return frame
        raise StageError(say("stage.not_run", table=name))

    def has_derived(self, name: str) -> bool:
        """Whether a derived table was written."""
        return any((self.folder(folder) / name).is_dir() for folder in ("derived", "instrument", "scores"))

    def stage_folder(self, stage: str) -> Path:
        """Return where a stage writes: ``data/canonical``, ``derived``, ``instrument`` or ``scores``."""
        return self.folder(
            {"ingest": "canonical", "check": "derived", "review": "instrument", "score": "scores"}[stage]
        )

    def stage_record(self, stage: str) -> dict[str, Any]:
        """Return what a stage left about itself: its fingerprint, its gates, its counts; empty before it ran."""
        return read_json(self.stage_folder(stage) / "stage.json") or {}

    @property
    def key_fingerprint(self) -> str | None:
        """Of the secret key of the pseudonyms; None before one was made. It stands in no report."""
        found: str | None = (read_json(self.folder("identity.json")) or {}).get("key_fingerprint")
        return found

    def fingerprint(self, stage: str) -> str:
        """Return the fingerprint of everything a stage's output depends on: inputs, rules, code, library versions."""
        content: dict[str, Any] = {"code": code_fingerprint(), "libraries": library_versions(), "stage": stage}
        content["declared"] = self.declared.model_dump(
            mode="json", exclude={"reports", "edition", "status", "language", "expected_gates", "analysis_plan"}
        )
        if stage == "ingest":
            content["inputs"] = {
                s.name: [hash_files([f], base=f.parent) for f in self.files_of(s)] for s in self.declared.sources
            }
            mappings = self.folder("mappings").glob("*.yaml")
            content["mappings"] = hash_files(mappings, base=self.folder("mappings"))
            ledger = self.secrets / "ledger.parquet"
            content["ledger"] = hash_files([ledger], base=self.secrets) if ledger.is_file() else None
            content["key"] = self.key_fingerprint
        else:
            content["before"] = self.stage_record(STAGES[STAGES.index(stage) - 1]).get("fingerprint")
            decisions = (path for path in self.folder("decisions").glob("*.csv") if path.name != APPROVALS)
            content["decisions"] = hash_files(decisions, base=self.folder("decisions"))
            if self.declared.control_totals not in (None, "published"):
                content["totals"] = self.control_totals.to_csv()
        return hash_content(content)

    def is_stale(self, stage: str) -> bool:
        """Whether a stage must run again: what made its output is not what is here now."""
        record = self.stage_record(stage)
        return not record or record["fingerprint"] != self.fingerprint(stage)


def open_workspace(root: Path | str) -> Workspace:
    """Open a workspace and validate its `workspace.yaml`.

    Raises
    ------
    ParameterError
        If the file is absent, is not YAML, or says something it must not.
    """
    root = Path(root).resolve()
    path = root / "workspace.yaml"
    if not path.is_file():
        raise ParameterError(say("workspace.absent", folder=root.name or "."))
    declared = declare(WorkspaceDeclaration, read_yaml(path), where="workspace.yaml")
    _check_names(declared)
    return Workspace(root=root, declared=declared)


def _check_names(declared: WorkspaceDeclaration) -> None:
    """Refuse names that point nowhere: waves of sources, assessments of forms, sources that stand twice."""
    for source in declared.sources:
        if source.wave is not None:
            require_known(source.wave, declared.waves, what=f"sources.{source.name}.wave")
        if source.form is not None:
            require_known(source.form, declared.forms, what=f"sources.{source.name}.form")
        if source.adapter == "table" and source.mapping is None:
            raise ParameterError(say("source.no_mapping", source=source.name))
    known = declared.assessments or code_list("assessments")
    for name, form in declared.forms.items():
        require_known(form.assessment, known, what=f"forms.{name}.assessment")
    names = [source.name for source in declared.sources]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ParameterError(say("source.twice", sources=", ".join(sorted(twice))))
    for wave, entry in declared.waves.items():
        if entry.window and entry.window[0] > entry.window[1]:
            raise ParameterError(say("wave.window_reversed", wave=wave))
    _check_rules(declared.rules)


def _check_rules(rules: Rules) -> None:
    """Refuse districts that do not exist, and a missing cluster without its reason."""
    for code in rules.exposed_districts:
        require_known(code, code_list("districts"), what="rules.exposed_districts")
    if rules.cluster == "none" and not rules.cluster_reason:
        raise ParameterError(say("rules.cluster_reason"))


def waves_by_phase(waves: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Return (before, after) of every phase that has both occasions."""
    for before, entry in waves.items():
        for after, other in waves.items():
            if entry.phase == other.phase and entry.occasion == "pre" and other.occasion == "post":
                yield before, after
