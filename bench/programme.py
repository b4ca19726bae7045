"""What programmes added, from planted truth: false effects where nothing was added, and coverage where something was.

A replication draws 1,500 teachers and their first answers, picks participants (by lot, or by the answers), draws the second
answers with what was planted, and goes the report's way: calibration, link, plausible values that know the roster, the
method that the design allows. Lines are appended; a run that was stopped goes on. The exit code is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from headline import Study, compare, mark_code, tell_pairs
from scipy import stats
from scipy.special import expit
from tqdm import tqdm

import bgtk_lib
from bgtk_lib.change.drawn import lay_draws
from bgtk_lib.findings import Withheld
from bgtk_lib.linking.link import Link
from bgtk_lib.programme.assess import Programme, assess_programme
from bgtk_lib.programme.design import Assignment, Comparison, Declared
from bgtk_lib.programme.groups import form_groups
from bgtk_lib.synthetic import Design
from bgtk_lib.synthetic.design import count_districts, form_name, share_out
from bgtk_lib.synthetic.forms import build_form, give_answers
from bgtk_lib.synthetic.model import chance_of_leaving, draw_abilities, draw_effects
from bgtk_lib.synthetic.people import average_school, place_teachers
from bgtk_lib.synthetic.truth import compute_truth
from bgtk_lib.workspace.store import hash_content, write_text

N, PHASE, SHARE = 1500, "II", 0.25
BETWEEN, INSIDE = (date(2025, 10, 18), date(2026, 4, 18)), date(2026, 1, 10)
FALSE_BAR, COVER_BAR = 0.07, (0.93, 0.97)


@dataclass(frozen=True)
class Cell:
    """How participants were picked, and what they gained: `slope` of the logit of taking part in the first score's SD."""

    assignment: Assignment
    comparison: Comparison
    gain: float = 0.0
    slope: float = 0.0
    strict: bool = False
    replications: int = 1000


CELLS = {
    "top, likelier the higher": Cell("selected_top", "matched", slope=1.0),
    "need, likelier the lower": Cell("selected_need", "matched", slope=-1.0),
    "top, a little likelier the higher": Cell("selected_top", "matched", slope=0.2, replications=400),
    "top, a strict cut": Cell("selected_top", "matched", slope=1.0, strict=True, replications=200),
    "need, a strict cut": Cell("selected_need", "matched", slope=-1.0, strict=True, replications=200),
    "top, nobody to compare with": Cell("selected_top", "none", slope=1.0, replications=200),
    "need, nobody to compare with": Cell("selected_need", "none", slope=-1.0, replications=200),
    "lottery, +0.20 SD": Cell("lottery", "lottery", gain=0.2, replications=200),
    "waitlist, +0.20 SD": Cell("waitlist", "not_yet", gain=0.2, replications=200),
    "need, likelier the lower, +0.20 SD": Cell("selected_need", "matched", gain=0.2, slope=-1.0, replications=200),
}


def draw_study(name: str, seed: int) -> Study:
    """Return one draw; who leaves does so by the true ability before, whoever took part."""
    cell = CELLS[name]
    rng = np.random.default_rng([seed, *name.encode()])
    design = Design(size="secondary", scenario="sound", assessments=("PED",))
    counts = share_out(N, count_districts(design, PHASE))
    effects = draw_effects(design, assessments=("PED",), rng=rng)
    placement = place_teachers(counts, order=effects.districts, per_school=average_school(design, PHASE), rng=rng)
    ability = draw_abilities(design, effects, district=placement.district, school=placement.school, rng=rng)
    form = build_form(form_name("PED", PHASE, "pre"))
    first = give_answers(ability.before["PED"], form, rng=rng)
    joins = _pick(first.sum(axis=1), cell, rng=rng)
    second = give_answers(ability.after["PED"] + cell.gain * joins, form, rng=rng)
    leaves = rng.random(N) < chance_of_leaving(
        design, form=form_name("PED", PHASE), theta=ability.before["PED"], score=first.sum(axis=1)
    )
    pids = pd.Index([f"t{i:05d}" for i in range(N)], name="pid")
    persons = {
        "district": np.array(effects.districts, dtype=object)[placement.district],
        "npsn": np.array([f"99{i:06d}" for i in range(len(placement.school_district))])[placement.school],
        "jenjang": np.where(rng.random(N) < 0.55, "SMA", "SMK"),
        "programme:PM": joins.astype(str),
    }
    answers = {
        wave: (form.name, pd.DataFrame(given.astype(float), index=pids, columns=list(form.item_ids)))
        for wave, given in (("pre", first), ("post", second))
    }
    answers["post"] = (form.name, answers["post"][1][~leaves])
    truth = compute_truth(design, effects, assessment="PED", phase=PHASE, counts=counts)
    return Study(cell=name, persons=pd.DataFrame(persons, index=pids), answers=answers, truth=truth)


def _pick(score: Any, cell: Cell, *, rng: np.random.Generator) -> Any:
    """Return who takes part: a quarter, by lot, likelier by the first score, or its top or bottom."""
    place = cell.slope * (score - score.mean()) / score.std()
    if cell.strict:
        return place + 1e-6 * rng.random(N) >= np.quantile(place, 1 - SHARE)
    return rng.random(N) < expit(place + np.log(SHARE / (1 - SHARE)))


def replicate(name: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the effect beside its truth, or that none was shown."""
    cell, study = CELLS[name], draw_study(name, seed)
    start = {"cell": name, "mark": mark_all(), "seed": seed}
    picked = cell.assignment in ("selected_top", "selected_need")
    found = compare(study, seed, chosen=["programme:PM"] if picked else [])
    if not found.carries_change or not isinstance(found.link, Link):
        yield start | {"figure": "refused"}
        return
    pairs = tell_pairs(study, found).assign(form_pre="A", form_post="A")
    pairs["points_pre"] = pairs["pid"].map(study.answers["pre"][1].sum(axis=1))
    joined = pairs.loc[pairs["programme:PM"].eq("True"), "pid"]
    training = pd.DataFrame({"pid": joined, "programme": "PM", "start": INSIDE, "role": "participant"})
    applicants = pairs[["pid", "district"]].rename(columns={"district": "stratum"}).assign(programme="PM")
    applicants["drawn"] = applicants["pid"].isin(joined)
    waiting = pairs.loc[~pairs["pid"].isin(joined), "pid"] if cell.comparison == "not_yet" else []
    later = pd.DataFrame({"pid": waiting, "programme": "PM", "start": date(2026, 6, 1), "role": "participant"})
    declared = Declared(
        programme="PM", assignment=cell.assignment, comparison=cell.comparison, conditioned=True, spillover="none"
    )
    lots = applicants if cell.comparison == "lottery" else None
    groups = form_groups(pairs, pd.concat([training, later]), lots, declared=declared, between=BETWEEN)
    drawn = lay_draws(pairs, found.tables["plausible"].dropna())
    programme = assess_programme(drawn, groups, declared, rng=np.random.default_rng(seed))
    rows = study.truth.rows[study.truth.rows["population"] == "all"].set_index("district")
    unit = 100 / np.sqrt(rows.loc["", "theta_var_pre"])
    if cell.comparison == "none":  # what is told instead: their change, and what of it their place lets expect
        yield from (start | line for line in _tell_alone(programme, true=rows.loc["", "theta"] * unit))
    effect = programme.effect
    if isinstance(effect, Withheld):
        yield start | {"figure": "none shown", "truth": cell.gain * unit}
        return
    numbers = {"value": effect.estimate, "se": effect.se, "low": effect.low, "high": effect.high, "p": effect.p}
    yield start | {"figure": "effect", "method": effect.method, "truth": cell.gain * unit} | numbers


def _tell_alone(programme: Programme, *, true: float) -> Iterator[dict[str, Any]]:
    """Yield the participants' change and the regression to the mean expected of it: here gains hang on no first score."""
    for name, found, truth in (("change", programme.change, true), ("towards", programme.towards_mean, 0.0)):
        if not isinstance(found, Withheld):
            numbers = {"value": found.estimate, "low": found.low, "high": found.high}
            yield {"figure": name, "truth": truth, "se": getattr(found, "se", np.nan), "p": np.nan} | numbers


def mark_all() -> str:
    """Return the mark of the code of change and of programmes."""
    files = sorted((Path(bgtk_lib.__file__).parent / "programme").glob("*.py"))
    return hash_content([mark_code(), *(file.read_text(encoding="utf-8") for file in files)])[:12]


def summarise(lines: list[dict[str, Any]]) -> str:
    """Return the table as Markdown: how often a figure was shown, was found where none was, and held the truth."""
    head = "cell|figure|n|shown|p < .05|99 % range|covers the truth|bias|SE ratio|bar"
    table = [f"| {head.replace('|', ' | ')} |", "|" + "---|" * (head.count("|") + 1)]
    frame = pd.DataFrame(lines)
    for name, cell in frame.groupby("cell", sort=False):
        n, alone = cell["seed"].nunique(), CELLS[str(name)].comparison == "none"
        for figure in ("change", "towards") if alone else ("effect",):
            here = cell[cell["figure"] == figure]
            row = _describe(here, n=n, figure=figure, planted=CELLS[str(name)].gain > 0)
            table.append(f"| {' | '.join([str(name), figure, *row])} |")
    return "\n".join(table) + "\n"


def _describe(here: pd.DataFrame, *, n: int, figure: str, planted: bool) -> list[str]:
    found = int((here["p"] < 0.05).sum()) if len(here) else 0
    ends = stats.binomtest(found, n).proportion_ci(0.99, method="exact")
    told = [f"{n:,}", f"{len(here):,}"]
    told += [f"{found:,}", f"{100 * ends.low:.1f} – {100 * ends.high:.1f} %"] if figure == "effect" else ["", ""]
    bar = "held" if found <= FALSE_BAR * n else "missed"
    if len(here) < 2:
        return [*told, "", "", "", bar]
    error = here["value"] - here["truth"]
    covered = int((here["low"].le(here["truth"]) & here["high"].ge(here["truth"])).sum())
    cover = stats.binomtest(covered, len(here)).proportion_ci(0.99, method="exact")
    told.append(f"{100 * covered / len(here):.1f} % ({100 * cover.low:.1f} – {100 * cover.high:.1f})")
    told += [f"{error.mean():+.2f} ± {error.std() / len(here) ** 0.5:.2f}", f"{here['se'].mean() / error.std():.3f}"]
    if planted or figure == "change":
        bar = "held" if cover.low <= COVER_BAR[1] and cover.high >= COVER_BAR[0] else "missed"
    return [*told, "" if figure == "towards" else bar]


def _run(name: str, seed: int) -> list[dict[str, Any]]:
    return list(replicate(name, seed))


def main(arguments: list[str] | None = None) -> int:
    """Run what is not there yet, write the table, and return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replications", type=int, help="of each cell at most")
    parser.add_argument("--workers", type=int, default=2, help="processes (%(default)s)")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    told = parser.parse_args(arguments)
    path = told.results / "programme.jsonl"
    texts = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = [line for text in texts if (line := json.loads(text))["mark"] == mark_all()]
    done = {(line["cell"], line["seed"]) for line in lines}
    counts = {name: min(cell.replications, told.replications or cell.replications) for name, cell in CELLS.items()}
    wanted = [(name, seed) for seed in range(max(counts.values())) for name, n in counts.items() if seed < n]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    with path.open("a", encoding="utf-8") as file, ProcessPoolExecutor(told.workers) as pool:
        waiting = [pool.submit(_run, *one) for one in wanted if one not in done]
        for future in tqdm(as_completed(waiting), total=len(waiting), mininterval=30, disable=not waiting):
            lines += (found := future.result())
            file.write("".join(json.dumps(line) + "\n" for line in found))
            file.flush()
    print(text := summarise(lines))
    write_text(told.results / "programme.md", text)
    return int("| missed |" in text)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
