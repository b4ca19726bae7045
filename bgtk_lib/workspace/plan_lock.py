"""When the analysis plan was fixed, and what of it was changed after the later measurement was read.

Locking adds the plan, and the rules that decide numbers, to `data/decisions/plan_lock.json`. The first reading of a later
wave's results is noted in `data/decisions/readings.json` with the lock of that moment. Both files are committed; nothing in
them is rewritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from bgtk_lib.errors import ParameterError
from bgtk_lib.words import say
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.analysis_plan import AnalysisPlan, is_among, read_analysis_plan
from bgtk_lib.workspace.declaration import Rules, Source
from bgtk_lib.workspace.store import hash_content, read_json, write_json
from bgtk_lib.workspace.typed import read_yaml

Standing = Literal["planned", "exploratory", "descriptive"]

LOCKS, READINGS = "plan_lock.json", "readings.json"
RESULTS = ("session", "answer", "total")  # tables of who scored what; a roster may come before anybody sits
NO_NUMBERS = {"reference_date", "dapodik_max_age_days", "item_profile", "cluster_reason"}  # rules that move no change
CLAIMING = ("change", "programme")  # reports whose figures claim something; the others describe
# Figures that count or describe. One that is not named here claims something, and is exploratory unless planned.
DESCRIBING = (
    *(
        f"{root}.*"
        for root in ("attrition", "balance", "clusters", "item", "joiners", "leavers", "link", "pairs", "power")
    ),
    *(f"{root}.*" for root in ("reliability", "retest", "scale", "stayers")),
    *("*.n", "*_n", "*.pre", "*.post", "*_pre", "*_post", "*.districts", "*.margin", "change.mde*", "rubric.icc"),
    *("roster.*", "participation.*", "comparison.*", "*.elsewhere"),
    *("programme.clusters", "programme.effective", "programme.df"),
    *("programme.evidence", "programme.rtm_expected", "programme.taken_up", "reliable.needed"),
    *("timing.median", "timing.within"),
)


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A plan and the rules as they were at one moment.

    Attributes
    ----------
    locked_at : datetime
        When.
    plan, rules : mapping
        Their content.
    present : tuple of str
        Later waves whose exports lay in the workspace already.
    read : tuple of str
        Later waves whose results had been read.
    """

    locked_at: datetime
    plan: Mapping[str, Any]
    rules: Mapping[str, Any]
    present: tuple[str, ...] = ()
    read: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """The SHA-256 of plan and rules."""
        return hash_content({"plan": self.plan, "rules": self.rules})


@dataclass(frozen=True, kw_only=True)
class PlanState:
    """What is planned, and whether it was before the results were read.

    Attributes
    ----------
    plan : AnalysisPlan or None
        As it is now; None where the workspace names none.
    rules : mapping
        The rules that decide numbers, as they are now.
    lock : Lock or None
        The latest.
    readings : mapping
        Later wave that has been read → the lock of that moment, None where there was none.
    waves : tuple of str
        The later waves that the workspace declares.
    """

    plan: AnalysisPlan | None
    rules: Mapping[str, Any]
    lock: Lock | None
    readings: Mapping[str, Lock | None]
    waves: tuple[str, ...]

    @property
    def is_locked(self) -> bool:
        """Whether plan and rules, as they are now, are those of the latest lock, whenever that was."""
        content = {"plan": self.plan.content, "rules": self.rules} if self.plan else None
        return self.lock is not None and self.lock.sha256 == hash_content(content)

    def lock_of(self, wave: str) -> Lock | None:
        """Return the lock that counts for a wave: that of its first reading; before it, the latest."""
        return self.readings.get(wave, self.lock)

    def changed(self, wave: str) -> tuple[str, ...]:
        """Return the names of what is not as it was locked for a wave; never values. What is planned for others may change."""
        lock = self.lock_of(wave)
        if lock is None:
            return ()
        if self.plan is None:
            return ("analysis_plan",)
        defaults = {name: field.default for name, field in AnalysisPlan.model_fields.items()}
        rules = Rules().model_dump(mode="json", exclude=NO_NUMBERS)
        return (
            *_compare(_narrow(defaults | dict(lock.plan), wave), _narrow(self.plan.content, wave)),
            *_compare(rules | dict(lock.rules), self.rules, "rules."),
        )

    def is_prospective(self, wave: str) -> bool:
        """Whether the plan and the rules, as they are now, were locked before a wave's results were read."""
        return wave in self.waves and self.lock_of(wave) is not None and not self.changed(wave)

    def status_of(
        self, report: str, figure: str, *, parameters: Mapping[str, Any], where: Mapping[str, str]
    ) -> Standing:
        """Return how a figure of a report is to be read.

        Parameters
        ----------
        report, figure : str
            Names, as in `results.json`.
        parameters : mapping
            Of the report: edition_id, assessment, wave_pre, wave_post, districts, jenjang; of a programme its own too.
        where : mapping
            Codes of the figure.

        Returns
        -------
        {"planned", "exploratory", "descriptive"}
            Planned where the plan names it, was locked before the later wave was read, and stands unchanged.
        """
        if report not in CLAIMING or is_among(figure, DESCRIBING):
            return "descriptive"
        named = self.plan is not None and self.plan.names(report, figure, parameters=parameters, where=where)
        return "planned" if named and self.is_prospective(str(parameters.get("wave_post"))) else "exploratory"


def read_plan_state(workspace: Workspace) -> PlanState:
    """Return a workspace's plan, its latest lock, and the locks with which later waves were first read.

    Raises
    ------
    ParameterError
        If the plan cannot be read, or a record was altered.
    """
    locks = _read_locks(workspace)
    return PlanState(
        plan=read_analysis_plan(workspace),
        rules=_rules_content(workspace),
        lock=locks[-1] if locks else None,
        readings=_read_readings(workspace),
        waves=_later_waves(workspace),
    )


def lock_plan(workspace: Workspace, *, now: datetime) -> Lock:
    """Lock the plan and the rules as they are, and return the lock; the latest one if nothing has changed since.

    Parameters
    ----------
    workspace : Workspace
        Nothing of its exports is read; only whether they are there is noted.
    now : datetime
        The time, with its zone.

    Raises
    ------
    ParameterError
        If there is no plan, or it contradicts the rules.
    """
    plan = read_analysis_plan(workspace)
    if plan is None:
        raise ParameterError(say("plan.none"))
    if plan.cluster != workspace.rules.cluster:
        raise ParameterError(say("plan.cluster", plan=plan.cluster, rules=workspace.rules.cluster))
    locks = _read_locks(workspace)
    lock = Lock(
        locked_at=now,
        plan=plan.content,
        rules=_rules_content(workspace),
        present=_list_present(workspace),
        read=tuple(sorted(_read_readings(workspace))),
    )
    if locks and locks[-1].sha256 == lock.sha256:
        return locks[-1]
    write_json(workspace.folder("decisions") / LOCKS, {"locks": [_encode(one) for one in (*locks, lock)]})
    return lock


def note_reading(workspace: Workspace, waves: Iterable[str], *, now: datetime) -> None:
    """Note that the results of waves were read, and with which lock; a wave that is noted stays as it is.

    Parameters
    ----------
    workspace : Workspace
        Before the record of this reading takes the place of an earlier one.
    waves : iterable of str
        Waves with results (`RESULTS`) in what was read; first waves are left out.
    now : datetime
        The time, with its zone.
    """
    path = workspace.folder("decisions") / READINGS
    noted = read_json(path) or {}
    locks, read_before = _read_locks(workspace), _read_readings(workspace)
    fresh = sorted({*waves} & {*_later_waves(workspace)} - {*noted})
    for wave in fresh:
        first = wave not in read_before  # else a library that took no notes read it
        lock = _encode(locks[-1]) if locks and first else None
        noted[wave] = {"read_at": now.isoformat(timespec="seconds") if first else None, "lock": lock}
    if fresh:
        write_json(path, noted)


# ---------------------------------------------------------------- records


def _compare(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    return [f"{prefix}{name}" for name in sorted({*before, *now}) if before.get(name) != now.get(name)]


def _narrow(plan: Mapping[str, Any], wave: str) -> dict[str, Any]:
    """Return a plan's content without the contrasts and programmes of other waves."""
    contrasts = {edition: one for edition, one in plan["confirmatory"].items() if one["wave_post"] == wave}
    programmes = [one for one in plan["programmes"] if one["wave_post"] == wave]
    return {**plan, "confirmatory": contrasts, "programmes": programmes}


def _rules_content(workspace: Workspace) -> dict[str, Any]:
    return workspace.rules.model_dump(mode="json", exclude=NO_NUMBERS)


def _later_waves(workspace: Workspace) -> tuple[str, ...]:
    return tuple(name for name, wave in workspace.declared.waves.items() if wave.occasion == "post")


def _list_present(workspace: Workspace) -> tuple[str, ...]:
    """Return the later waves for which an export with results lies in the workspace."""
    found = set()
    for source in workspace.declared.sources:
        mapping = workspace.folder("mappings") / f"{source.mapping}.yaml"
        table = read_yaml(mapping).get("table") if mapping.is_file() else RESULTS[0]
        if source.wave in _later_waves(workspace) and table in RESULTS and _has_files(workspace, source):
            found.add(source.wave)
    return tuple(sorted(found))


def _has_files(workspace: Workspace, source: Source) -> bool:
    try:
        return bool(workspace.files_of(source))
    except ParameterError:  # none is there yet
        return False


def _read_readings(workspace: Workspace) -> dict[str, Lock | None]:
    """Return the later waves that were read, with the lock of that moment; those read without a note have none."""
    noted = read_json(workspace.folder("decisions") / READINGS) or {}
    sources = workspace.stage_record("ingest").get("sources", [])
    unnoted = {source["wave"] for source in sources if source["table"] in RESULTS} & {*_later_waves(workspace)}
    kept = {wave: _decode(entry["lock"], READINGS) if entry["lock"] else None for wave, entry in noted.items()}
    return dict.fromkeys(sorted(unnoted)) | kept


def _read_locks(workspace: Workspace) -> list[Lock]:
    stored = read_json(workspace.folder("decisions") / LOCKS) or {"locks": []}
    return [_decode(entry, LOCKS) for entry in stored["locks"]]


def _encode(lock: Lock) -> dict[str, Any]:
    content = {
        "locked_at": lock.locked_at.isoformat(timespec="seconds"),
        "plan": lock.plan,
        "plan_sha256": hash_content(lock.plan),
        "rules": lock.rules,
        "rules_sha256": hash_content(lock.rules),
        "present": list(lock.present),
        "read": list(lock.read),
    }
    return content | {"fingerprint": hash_content(content)}


def _decode(entry: dict[str, Any], file: str) -> Lock:
    content = {name: value for name, value in entry.items() if name != "fingerprint"}
    if entry.get("fingerprint") != hash_content(content):
        raise ParameterError(say("plan.altered", file=file))
    when = datetime.fromisoformat(entry["locked_at"])
    waves = {"present": tuple(entry["present"]), "read": tuple(entry["read"])}
    return Lock(locked_at=when, plan=entry["plan"], rules=entry["rules"], **waves)
