"""The score stage: every form scored at every wave, the waves of every phase linked, and what the scores can carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from bgtk_lib.change.absent.leavers import compare_leavers
from bgtk_lib.change.drawn import lay_draws
from bgtk_lib.change.evenness.assess import judge_ceiling
from bgtk_lib.change.gates import judge_interval, judge_pairs_possible, judge_retention
from bgtk_lib.change.multilevel.districts import Multilevel, fit_multilevel, tabulate_multilevel
from bgtk_lib.errors import StageError
from bgtk_lib.findings import Gate, Withheld
from bgtk_lib.instrument.irt.record import fingerprint_calibration, read_calibration
from bgtk_lib.instrument.sitting import review_times
from bgtk_lib.linking.compare import compare_forms, judge_link, judge_reuse, read_decisions
from bgtk_lib.linking.gates import cross_forms, judge_pooling
from bgtk_lib.linking.link import Link
from bgtk_lib.linking.record import read_link, write_link
from bgtk_lib.pairing import EFFORT, PERSON_COLUMNS, TOLD, Linked, pair_waves
from bgtk_lib.quality import write_gate
from bgtk_lib.schema import conform
from bgtk_lib.scoring.plausible import PlausibleValues
from bgtk_lib.scoring.points import NO_SCORES, NONE_LOST, Scored, score_form, score_totals
from bgtk_lib.scoring.population import Population, read_population, write_population
from bgtk_lib.scoring.scale import Scale
from bgtk_lib.stages.decisions import read_item_decisions
from bgtk_lib.stages.frozen import hold_facts, keep_frozen, scale_of
from bgtk_lib.stages.participation import lay_programme_tables
from bgtk_lib.stages.persons import describe_sittings, list_programmes
from bgtk_lib.stages.review import lay_sheets
from bgtk_lib.stages.waves import ABILITY_COLUMNS, Compared, FormAnswers, compare_waves, judge_waves
from bgtk_lib.words import Tell, say, silent
from bgtk_lib.workspace import Workspace, waves_by_phase
from bgtk_lib.workspace.declaration import Rules
from bgtk_lib.workspace.store import read_json, replacing, write_json, write_table

MODEL_TABLES = ("change_districts", "change_model")
DRAWN_TABLES = ("plausible", "imputed")
PLACES = ["district", "jenjang"]


def run_score(workspace: Workspace, tell: Tell = silent) -> list[Gate]:
    """Score every form at every wave, link the waves of every phase, and judge what the scores can carry.

    Writes `scores`, `unscorable`, `pairs`, `unpaired` and what the comparability report shows to `data/scores`, and each
    link beside them.

    Raises
    ------
    StageError
        If the review has not run.
    """
    if not workspace.stage_record("review"):
        raise StageError(say("stage.not_run", table="review"))
    session = workspace.read_accepted("session")
    session = conform(pd.DataFrame(), "session") if session is None else session
    sittings = describe_sittings(workspace, session)
    tell(say("progress.scoring", n=len(session)))
    scored, effort, gates = _score_all(workspace, session)
    tables = _collect(sittings, scored, effort)
    links: dict[str, Link] = {}
    scales: dict[str, Scale] = {}
    populations: dict[str, Population] = {}
    stacked: dict[str, list[pd.DataFrame]] = {}
    for scope, linked, found, judged in _link_phases(workspace, tables["scores"], sittings, tell):
        gates += judged
        parts = {"pairs": linked.pairs, "unpaired": linked.unpaired}
        if found:
            parts |= {name: frame.assign(**scope) for name, frame in found.tables.items()}
            parts["abilities"] = found.abilities
            if isinstance(found.link, Link):
                name = f"{found.link.form_pre}~{found.link.form_post}@{scope['wave_pre']}~{scope['wave_post']}"
                links[name] = found.link
                scales |= {name: found.scale} if found.scale else {}
                drawn = found.plausible
                populations |= {name: drawn.population} if isinstance(drawn, PlausibleValues) else {}
            parts |= {name: _place(parts[name], linked) for name in DRAWN_TABLES if name in parts}
        modelled = tabulate_multilevel(_model_districts(linked, parts))
        parts |= {name: frame.assign(**scope) for name, frame in zip(MODEL_TABLES, modelled, strict=True)}
        for name, frame in parts.items():
            stacked.setdefault(name, []).append(frame)
    gates += _judge_pooling(sittings, [*links.values()])
    tables |= {
        name: pd.concat([p for p in parts if len(p)] or parts[:1], ignore_index=True) for name, parts in stacked.items()
    }
    abilities = tables.pop("abilities", pd.DataFrame(columns=ABILITY_COLUMNS)).drop_duplicates("session_id")
    tables |= {**lay_programme_tables(workspace), **hold_facts(workspace)}
    tables["scores"] = tables["scores"].merge(abilities, on="session_id", how="left", validate="one_to_one")
    record = {"stage": "score", "fingerprint": workspace.fingerprint("score"), "gates": [write_gate(g) for g in gates]}
    with replacing(workspace.folder("scores")) as making:
        for name, frame in tables.items():
            write_table(making, name, frame)
        for name, link in links.items():
            write_link(making / "link_records" / f"{name}.json", link)
        for name, scale in scales.items():
            write_json(scale_of(making / "link_records" / f"{name}.json"), asdict(scale))
        for name, population in populations.items():
            write_population(making / "populations" / f"{name}.json", population)
        write_json(making / "stage.json", record)
    return gates


def _place(draws: pd.DataFrame, linked: Linked) -> pd.DataFrame:
    """Return draws with everybody's district and jenjang: a report on one district reads no others."""
    people = pd.concat([one[["pid", *PLACES]] for one in (linked.pairs, linked.unpaired)]).drop_duplicates("pid")
    return draws.merge(people, on="pid", how="left", validate="many_to_one")


def _model_districts(linked: Linked, tables: Mapping[str, pd.DataFrame]) -> Multilevel | Withheld:
    """Return the multilevel model of one change, made once a state of the data: reports only read it."""
    on_scale = len(linked.pairs) > 0 and linked.pairs["unit"].eq("scale").all()
    draws = tables["plausible"] if on_scale else pd.DataFrame()
    known = tables["conditioned"] if on_scale else pd.DataFrame(columns=["grouping", "level", "state"])
    kept = known.loc[(known["grouping"] == "district") & (known["state"] == "kept"), "level"]
    drawn = lay_draws(linked.pairs, draws[draws["pid"].isin(linked.pairs["pid"])] if on_scale else draws)
    return fit_multilevel(drawn, conditioned=set(kept) if on_scale else None)


def _score_all(
    workspace: Workspace, session: pd.DataFrame
) -> tuple[dict[tuple[str, str], Scored], pd.DataFrame, list[Gate]]:
    """Return the scores of every form at every wave, everybody's effort, and D12 where items cannot be reviewed.

    Items that the panel dropped count nowhere.
    """
    totals, key = workspace.read_accepted("total"), workspace.read_accepted("key")
    decisions = read_item_decisions(workspace)
    dropped = decisions[decisions["decision"] == "drop"]
    found: dict[tuple[str, str], Scored] = {}
    efforts, gates = [pd.DataFrame({"session_id": pd.Series(dtype="str"), "rte": pd.Series(dtype=float)})], []
    for wave, form, answers in workspace.read_answers():
        out = dropped.loc[dropped["form"] == form, "item_id"]
        kept = answers[~answers["item_id"].astype("str").isin(out)] if len(out) else answers
        if len(kept):
            found[form, wave] = score_form(kept, key=key, form=workspace.declared.forms[form], form_id=form)
            times = review_times(kept)
            efforts += [] if isinstance(times, Withheld) else [times.persons[["session_id", "rte"]]]
    if totals is not None:
        for name, rows in session.groupby(["form_id", "wave"]):
            form, wave = (str(code) for code in name)
            here = totals[totals["session_id"].isin(rows["session_id"])]
            if len(here) and (form, wave) not in found:
                found[form, wave] = score_totals(here, form_id=form)
    for (form, wave), one in found.items():
        if one.unreviewed:
            scope = {"wave": wave, "assessment": workspace.declared.forms[form].assessment, "form": form}
            gates.append(Gate(code="D12", state="UNKNOWN", scope=scope, message=one.unreviewed.reason))
    return found, pd.concat(efforts, ignore_index=True).rename(columns={"rte": EFFORT}), gates


def _collect(
    sittings: pd.DataFrame, scored: dict[tuple[str, str], Scored], effort: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Return the scores of all forms together; every accepted session is scored or unscorable."""
    person = sittings[["session_id", "pid", "wave", "start", "assessment", *PERSON_COLUMNS, TOLD]]
    scores = pd.concat([one.scores for one in scored.values()] or [NO_SCORES], ignore_index=True)
    lost = pd.concat([one.unscorable for one in scored.values()] or [NONE_LOST], ignore_index=True)
    silent_ones = person.loc[~person["session_id"].isin([*scores["session_id"], *lost["session_id"]]), "session_id"]
    unscorable = pd.concat([lost, pd.DataFrame({"session_id": silent_ones, "reason": "no_answers"})], ignore_index=True)
    joined = person.merge(scores, on="session_id", validate="one_to_one")
    joined = joined.merge(
        effort.astype({"session_id": joined["session_id"].dtype}), on="session_id", how="left", validate="one_to_one"
    )
    if len(joined) + len(unscorable) != len(sittings):
        raise StageError(
            say("stage.rows_lost", stage="score", wanted=len(sittings), found=len(joined) + len(unscorable))
        )
    known = sittings[["session_id", "assessment", "wave", *PLACES]]
    return {"scores": joined, "unscorable": unscorable.merge(known, on="session_id", validate="one_to_one")}


def _link_phases(
    workspace: Workspace, scores: pd.DataFrame, sittings: pd.DataFrame, tell: Tell
) -> list[tuple[dict[str, str], Linked, Compared | None, list[Gate]]]:
    """Return every assessment's waves within its phase: scope, pairs, comparison, gates."""
    decisions = read_decisions(workspace.folder("decisions") / "links.csv")
    sides = _list_sides(workspace, sittings)
    kept = keep_frozen(workspace)
    frozen = {name: (read_link(path), _read_scale(path)) for name, path in kept["link"].items()}
    populations = {name: read_population(path) for name, path in kept["population"].items()}
    conditioning, chosen = _list_groups(workspace, sittings)
    first = sittings.sort_values("start", kind="stable").drop_duplicates("pid").set_index("pid")
    schools = first["npsn"] if workspace.rules.cluster == "school" else None
    found: list[tuple[dict[str, str], Linked, Compared | None, list[Gate]]] = []
    for wave_pre, wave_post in waves_by_phase(workspace.declared.waves):
        here = scores[scores["wave"].isin([wave_pre, wave_post])]
        for assessment in sorted(here["assessment"].unique()):
            scope = {"assessment": assessment, "wave_pre": wave_pre, "wave_post": wave_post}
            linked = pair_waves(here, **scope)
            one = here[here["assessment"] == assessment]
            forms = {wave: sorted(set(one.loc[one["wave"] == wave, "form_id"])) for wave in (wave_pre, wave_post)}
            if not forms[wave_pre] or not forms[wave_post]:
                message = say("gate.C03.none", waves=f"{wave_pre} → {wave_post}")
                found.append((scope, linked, None, [Gate(code="C03", state="STOP", scope=scope, message=message)]))
                continue
            two = {
                wave: sides[codes[0], wave]
                for wave, codes in forms.items()
                if len(codes) == 1 and (codes[0], wave) in sides
            }
            tell(say("progress.linking", assessment=assessment, waves=f"{wave_pre} → {wave_post}"))
            compared: Compared | None = None
            held = None
            released = workspace.declared.waves[wave_post].released_before
            if len(two) == 2:
                name = f"{two[wave_pre].form}~{two[wave_post].form}@{wave_pre}~{wave_post}"
                held = frozen.get(name)
                compared = compare_waves(
                    two,
                    pids=sittings.set_index("session_id")["pid"],
                    conditioning=conditioning,
                    cluster=schools,
                    chosen=chosen,
                    rules=workspace.rules,
                    decisions=decisions,
                    frozen=held,
                    population=populations.get(name),
                )
                ground = judge_waves(compared, two, released=released, scope=scope)
            else:
                comparison = compare_forms(set(forms[wave_pre]), set(forms[wave_post]), decisions)
                ground = [judge_link(comparison, scope), judge_reuse(comparison, released=released, scope=scope)]
            gates = [*ground, *_judge_pairs(workspace, linked, scope)]
            if compared and compared.carries_change and _wants_scale(workspace.rules, compared):
                linked = _tell_on_scale(linked, compared, sittings, frozen=held is not None)
            found.append((scope, linked, compared, gates))
    return found or [({}, pair_waves(scores, assessment="", wave_pre="", wave_post=""), None, [])]


def _read_scale(link: Path) -> Scale | None:
    """Return the scale that is held fast with a link; None where the link had none."""
    content = read_json(scale_of(link))
    return None if content is None else Scale(**content)


def _list_sides(workspace: Workspace, sittings: pd.DataFrame) -> dict[tuple[str, str], FormAnswers]:
    """Return what every form at every wave gives to a comparison, its calibration frozen or fresh."""
    frozen = keep_frozen(workspace)["calibration"]
    decisions = read_item_decisions(workspace)
    dif = workspace.read_derived("dif") if workspace.has_derived("dif") else pd.DataFrame({"form": [], "wave": []})
    large = dif[dif["dif_class"] == "C"] if "dif_class" in dif else dif
    districts = sittings.set_index("session_id")["district"]
    found = {}
    for place, sheet in lay_sheets(workspace, sittings):
        fresh = workspace.stage_folder("review") / "calibrations" / place.file
        path = frozen.get(fresh.stem, fresh)
        calibration = read_calibration(path) if path.is_file() else None
        out = decisions.loc[(decisions["form"] == place.form) & (decisions["decision"] == "drop"), "item_id"]
        found[place.form, place.wave] = FormAnswers(
            form=place.form,
            credit=sheet.credit.drop(columns=[item for item in out if item in sheet.credit]),
            calibration=calibration,
            fingerprint=fingerprint_calibration(calibration) if calibration else "",
            register=sheet.register,
            large_dif=large[(large["form"] == place.form) & (large["wave"] == place.wave)],
            exposed=districts.reindex(sheet.credit.index).isin(workspace.rules.exposed_districts),
        )
    return found


def _list_groups(workspace: Workspace, sittings: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the groupings that may be compared (index pid, a column each), and those picked by the first score.

    Who sat twice stands as at first.
    """
    wanted = workspace.rules.conditioning
    person = sittings.sort_values("start", kind="stable").drop_duplicates("pid").set_index("pid")
    groups = person[[name for name in wanted if name in person]].copy()
    groups = groups.loc[:, groups.notna().any()]
    chosen = []
    if "programmes" in wanted:
        for code, rows in list_programmes(workspace).groupby("programme"):
            groups[f"programme:{code}"] = groups.index.isin(rows["pid"]).astype("str")
            chosen += [f"programme:{code}"] if rows["chosen"].any() else []
    return groups, chosen


def _tell_on_scale(linked: Linked, compared: Compared, sittings: pd.DataFrame, *, frozen: bool) -> Linked:
    """Return pairs on the reporting scale: scores are means of plausible values, to be shown; estimates use the draws."""
    link, scale = compared.link, compared.scale
    means = compared.tables["plausible"].groupby("pid")[["score_pre", "score_post"]].mean()
    pairs = linked.pairs.drop(columns=["score_pre", "score_post"])
    pairs = pairs.merge(means, on="pid", how="left", validate="one_to_one")
    pairs = _add_own(pairs, compared, sittings)
    facts = {"linking_error": 0.0, "slope_error": 0.0, "n_anchors": 0, "n_link": 0}
    if isinstance(link, Link) and scale and link.design != "same_form":  # of one form nothing is carried over
        facts = {"linking_error": link.linking_error * scale.points_per_unit, "n_anchors": link.n_kept}
        facts["slope_error"] = (link.slope_se or 0.0) / link.slope
        facts["n_link"] = 0 if frozen else int(compared.tables["links"][["n_pre", "n_post"]].min(axis=1).iloc[0])
    told = pairs.assign(unit="scale", **facts)
    return Linked(pairs=told, unpaired=linked.unpaired)


def _add_own(pairs: pd.DataFrame, compared: Compared, sittings: pd.DataFrame) -> pd.DataFrame:
    """Return pairs with each person's own ability and its error at both waves: own_pre, own_se_pre, own_post, own_se_post.

    They say how far a single score can be trusted, for shares of a group, and how change goes with what the plausible values
    do not know of; no mean change is estimated from them.
    """
    own = compared.abilities.merge(sittings[["session_id", "pid", "wave"]], on="session_id", validate="one_to_one")
    for side in ("pre", "post"):
        here = own[own["wave"] == pairs[f"wave_{side}"].iloc[0]] if len(pairs) else own
        here = here[["pid", "scale_points", "scale_se"]].set_axis(["pid", f"own_{side}", f"own_se_{side}"], axis=1)
        pairs = pairs.merge(here, on="pid", how="left", validate="one_to_one")
    return pairs


def _wants_scale(rules: Rules, compared: Compared) -> bool:
    """Whether change is told on the scale 500/100: two forms allow nothing else; of one, the rules may ask for its points."""
    return rules.change_scale == "common" or compared.comparison.kind != "same_form"


def _judge_pairs(workspace: Workspace, linked: Linked, scope: dict[str, str]) -> list[Gate]:
    left = linked.unpaired.loc[linked.unpaired["reason"] == "only_pre", "score"]
    gap = compare_leavers(linked.pairs["score_pre"], left)
    return [
        *judge_retention(linked, gap, scope),
        judge_pairs_possible(linked.pairs, scope),
        judge_interval(linked.pairs, workspace.rules.window_days, scope),
        judge_ceiling(_stack_points(linked.pairs), scope=scope),
    ]


def _stack_points(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return wave, points, points_max of the forms sat: one row a person and wave."""
    sides = {"pre": ["points_pre", "points_max"], "post": ["points_post", "points_max_post"]}
    parts = [pairs[names].set_axis(["points", "points_max"], axis=1).assign(wave=wave) for wave, names in sides.items()]
    return pd.concat(parts, ignore_index=True)


def _judge_pooling(sittings: pd.DataFrame, links: list[Link]) -> list[Gate]:
    """C02: whether districts sat the same form at each wave, assessment by assessment."""
    gates = []
    for name, rows in sittings.dropna(subset=["district"]).groupby(["assessment", "wave"]):
        assessment, wave = (str(code) for code in name)
        scope = {"assessment": assessment, "wave": wave}
        gates.append(judge_pooling(cross_forms(rows, by="district"), links, by="district", scope=scope))
    return gates
