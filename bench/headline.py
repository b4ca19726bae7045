"""Does the printed interval of a change on the common scale hold the truth? Replications through calibration, link and draws.

A replication draws 1,500 teachers whose true change is known, calibrates both forms, links them, draws plausible values
and estimates the change as the report does: every error that the interval claims to hold is drawn anew, and so are the
districts' effects. Its line is appended at once: a run that was stopped goes on where it stopped; lines that other code
made are left out. The exit code is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import ast
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats
from tqdm import tqdm

import bgtk_lib
from bgtk_lib.change.drawn import lay_draws
from bgtk_lib.change.estimate import estimate_by_district, estimate_change
from bgtk_lib.change.evenness.assess import assess_evenness
from bgtk_lib.change.evenness.gaps import GroupPair, estimate_group_gaps
from bgtk_lib.change.evenness.quantiles import estimate_quantiles
from bgtk_lib.change.evenness.subgroups import estimate_subgroups
from bgtk_lib.change.multilevel.districts import fit_multilevel
from bgtk_lib.change.sensitivity import compute_ways
from bgtk_lib.change.sizes import estimate_sizes
from bgtk_lib.change.timing import estimate_timing
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.model import calibrate
from bgtk_lib.linking.link import Link
from bgtk_lib.stages.waves import Compared, FormAnswers, compare_waves
from bgtk_lib.synthetic import Design
from bgtk_lib.synthetic.design import count_districts, form_name, share_out
from bgtk_lib.synthetic.forms import build_form, give_answers
from bgtk_lib.synthetic.model import chance_of_leaving, draw_abilities, draw_effects
from bgtk_lib.synthetic.people import average_school, place_teachers
from bgtk_lib.synthetic.rosters import TOP
from bgtk_lib.synthetic.truth import Truth, compute_truth
from bgtk_lib.workspace.declaration import Rules
from bgtk_lib.workspace.store import hash_content, library_versions, write_text

EVERY = 10  # of the replications, in which the other intervals are looked at too
REPLICATIONS = 2000  # 95 % ± 1.3 points, at 99 % confidence
N, PHASE = 1500, "II"
JENJANG = GroupPair(grouping="jenjang", first=("SMK",), second=("SMA",))  # given at random: nothing lies between them
SHRUNKEN = "shrunken, mean over districts"
BAR, FALSE_BAR = (0.93, 0.97), (0.03, 0.07)
TUTORS, PARTICIPANTS = 0.05, 0.10
DECIDING = (  # all that numbers come from
    "change/clusters.py", "change/strata.py", "change/drawn.py", "change/estimate.py", "scoring", "linking", "instrument/irt",
    "instrument/model.py", "stages/waves.py", "synthetic/model.py", "synthetic/curves.py", "synthetic/forms.py",
)  # fmt: skip
TOLD = ("describe.py", "gates.py", "record.py")  # what only tells of them


@dataclass(frozen=True)
class Cell:
    """What is planted, and on which forms: PED is sat twice, SSL on two forms that share 12 items, 2 of them drifting."""

    scenario: str
    assessment: str


CELLS = {
    "no change, one form": Cell("no_change", "PED"),
    "no change, linked forms": Cell("no_change", "SSL"),
    "+0.20 SD, one form": Cell("sound", "PED"),
    "+0.20 SD, linked forms, drift": Cell("sound", "SSL"),
    "tutors picked on top": Cell("tutors_on_top", "PED"),
}


@dataclass(frozen=True, eq=False)
class Study:
    """The cell, the persons of a replication by pid, their answers by wave and form, and the truth."""

    cell: str
    persons: pd.DataFrame
    answers: dict[str, tuple[str, pd.DataFrame]]
    truth: Truth

    @property
    def pairs(self) -> pd.DataFrame:
        """Those who sat both waves."""
        return self.persons.loc[self.answers["post"][1].index].reset_index(names="pid")


def draw_study(name: str, seed: int) -> Study:
    """Return one draw; leaving depends on the true ability before."""
    cell = CELLS[name]
    rng = np.random.default_rng([seed, *f"{cell.scenario}/{cell.assessment}".encode()])
    design = Design(size="secondary", scenario=cell.scenario, assessments=("PED",))
    counts = share_out(N, count_districts(design, PHASE))
    codes = tuple(dict.fromkeys(("PED", cell.assessment)))
    effects = draw_effects(design, assessments=codes, rng=rng)
    per_school = average_school(design, PHASE)
    placement = place_teachers(counts, order=effects.districts, per_school=per_school, rng=rng)
    ability = draw_abilities(design, effects, district=placement.district, school=placement.school, rng=rng)
    forms = {wave: build_form(form_name(cell.assessment, PHASE, wave)) for wave in ("pre", "post")}
    given = {
        wave: give_answers(one[cell.assessment], forms[wave], rng=rng)
        for wave, one in (("pre", ability.before), ("post", ability.after))
    }
    score = given["pre"].sum(axis=1)
    leaves = rng.random(N) < chance_of_leaving(
        design, form=form_name("PED", PHASE), theta=ability.before["PED"], score=score
    )
    picked = score + rng.random(N) / 2
    tutor = picked >= np.quantile(picked, 1 - TOP) if cell.scenario == "tutors_on_top" else rng.random(N) < TUTORS
    pids = pd.Index([f"t{i:05d}" for i in range(N)], name="pid")
    persons = {
        "district": np.array(effects.districts, dtype=object)[placement.district],
        "npsn": np.array([f"99{i:06d}" for i in range(len(placement.school_district))])[placement.school],
        "jenjang": np.where(rng.random(N) < 0.55, "SMA", "SMK"),
        "programme:TS-tutor": tutor.astype(str),
        "programme:PM": (rng.random(N) < PARTICIPANTS).astype(str),
    }
    answers = {
        wave: (form.name, pd.DataFrame(given[wave].astype(float), index=pids, columns=list(form.item_ids)))
        for wave, form in forms.items()
    }
    answers["post"] = (answers["post"][0], answers["post"][1][~leaves])
    truth = compute_truth(design, effects, assessment=cell.assessment, phase=PHASE, counts=counts)
    return Study(cell=name, persons=pd.DataFrame(persons, index=pids), answers=answers, truth=truth)


def compare(study: Study, seed: int, *, chosen: Sequence[str] = ("programme:TS-tutor",)) -> Compared:
    """Return what the score stage makes of the two waves; `chosen` rosters were filled by the first score."""
    sides, pids = {}, []
    for wave, (form, credit) in study.answers.items():
        sessions = wave + credit.index
        register = pd.DataFrame({"item_id": credit.columns, "item_version": "1", "framework": None})
        sides[wave] = FormAnswers(
            form=form,
            credit=credit.set_axis(sessions),
            calibration=calibrate(credit, model="2pl"),
            fingerprint="",
            register=register.assign(position=range(1, len(register) + 1)),
            large_dif=pd.DataFrame(),
            exposed=pd.Series(data=False, index=sessions),
        )
        pids.append(pd.Series(credit.index, index=sessions))
    return compare_waves(
        sides,
        pids=pd.concat(pids),
        conditioning=study.persons.drop(columns="npsn"),
        cluster=study.persons["npsn"],
        chosen=[*chosen],
        rules=Rules(seed=seed),
        decisions=[],
        frozen=None,
    )


def tell_pairs(study: Study, found: Compared) -> pd.DataFrame:
    """Return the pairs as the score stage hands them on."""
    link, scale = found.link, found.scale
    if isinstance(link, Withheld) or scale is None:
        raise TypeError("no link")
    linked = link.design != "same_form"
    return study.pairs.assign(
        score_pre=0.0,
        score_post=0.0,
        unit="scale",
        linking_error=link.linking_error * scale.points_per_unit if linked else 0.0,
        slope_error=(link.slope_se or 0.0) / link.slope if linked else 0.0,
        n_anchors=link.n_kept if linked else 0,
        n_link=len(study.pairs) if linked else 0,
    )


def replicate(name: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield each interval of one replication beside its truth, in points of the scale."""
    study = draw_study(name, seed)
    found = compare(study, seed)
    start = {"cell": name, "mark": mark_code(), "seed": seed}
    if not found.carries_change or not isinstance(found.link, Link):
        yield start | {"figure": "refused"}
        return
    pairs, draws = tell_pairs(study, found), found.tables["plausible"].dropna()
    rows = study.truth.rows[study.truth.rows["population"] == "all"].set_index("district")
    unit = 100 / np.sqrt(rows.loc["", "theta_var_pre"])
    true = rows["theta"] * unit
    change = estimate_change(pairs, draws, cluster="school")
    if isinstance(change, Withheld):
        raise TypeError("no interval")
    spread = np.sqrt((rows.loc["", "theta_var_pre"] + rows.loc["", "theta_var_post"]) / 2)
    told = [("mean", change.mean, change.se, change.low, change.high, true[""], change.p)]
    g = change.g_av, change.g_av_se, change.g_av_low, change.g_av_high
    told.append(("g_av", *g, rows.loc["", "theta"] / spread, change.p))
    table = estimate_by_district(pairs, draws, cluster="school")
    told += list(measure_others(study, found, pairs=pairs, draws=draws, seed=seed)) if seed % EVERY == 0 else []
    for district in (table.iloc[table["n_pairs"].argmax()], table.iloc[table["n_pairs"].argmin()]):
        name_of = "largest district" if district["n_pairs"] == table["n_pairs"].max() else "smallest district"
        told.append((name_of, *district[["mean", "se", "low", "high"]], true[district["district"]], np.nan))
    for figure, value, se, low, high, truth, p in told:
        numbers = {"value": value, "se": se, "low": low, "high": high, "truth": truth, "p": p}
        yield start | {"figure": figure} | {key: float(number) for key, number in numbers.items()}


def measure_others(
    study: Study, found: Compared, *, pairs: pd.DataFrame, draws: pd.DataFrame, seed: int
) -> Iterator[tuple[str, float, float, float, float, float, float]]:
    """Yield the other intervals of the report: figure, value, se, low, high, truth, p; what is withheld is left out."""
    truth = find_truths(study)
    conditioned, rng = found.tables["conditioned"], np.random.default_rng(seed)
    pairs = pairs.assign(days=rng.integers(150, 211, len(pairs)))
    drawn, how = lay_draws(pairs, draws), {"cluster": "school", "confidence": 0.95}
    leavers = study.persons.drop(index=pairs["pid"]).reset_index(names="pid")
    score = study.answers["pre"][1].sum(axis=1)
    pairs, leavers = (one.assign(points_pre=one["pid"].map(score), score_pre=0.0) for one in (pairs, leavers))
    imputed = found.tables["imputed"]
    ways = compute_ways(pairs, draws, leavers, imputed, rng=rng, **how)
    results: list[tuple[str, Any, float]] = [
        ("sensitivity.ipw", ways.ipw, truth["mean"]),
        ("sensitivity.mi", ways.mi, truth["mean"]),
        ("sensitivity.district_clusters", ways.district_clusters, truth["mean_of_any"]),
        ("sensitivity.wild_bootstrap", ways.wild_bootstrap, truth["mean_of_any"]),
    ]
    sizes = estimate_sizes(drawn, **how)
    if not isinstance(sizes, Withheld):
        results += [("change.g_rm", sizes.g_rm, truth["g_rm"]), ("change.g_z", sizes.g_z, truth["g_z"])]
    spreads, gap = assess_evenness(drawn, conditioned=conditioned)
    results += [(f"evenness.sd_{side}", one, truth[f"sd_{side}"]) for side, one in spreads.items()]
    results.append(("evenness.gap_change", gap, truth["sd_post"] - truth["sd_pre"]))
    groups = estimate_subgroups(drawn, ["jenjang"], conditioned=conditioned, **how).iloc[0]
    results.append(("subgroup.change", tuple(groups[["mean", "low", "high"]]), truth["mean"]))
    results.append(("subgroup.difference", tuple(groups[[f"difference{end}" for end in ("", "_low", "_high")]]), 0.0))
    gaps = estimate_group_gaps(drawn, [JENJANG], conditioned=conditioned, **how).set_index("when")
    for when in ("pre", "change"):
        results.append((f"gap.{when}", tuple(gaps.loc[when, ["value", "low", "high"]]), 0.0))
    own = found.abilities.set_index("session_id")["scale_points"]
    gain = own.loc["post" + pairs["pid"]].to_numpy() - own.loc["pre" + pairs["pid"]].to_numpy()
    timing = estimate_timing(drawn, gain, window=(150, 210), **how)
    if not isinstance(timing, Withheld):
        results += [("timing.slope", timing.slope, 0.0), ("timing.adjusted", timing.adjusted, truth["mean"])]
    spread = estimate_quantiles(drawn, **how).set_index(["statistic", "when"])
    for statistic in ("p10", "p50", "p90", "sd"):
        told = tuple(spread.loc[(statistic, "change"), ["value", "low", "high"]])
        results.append((f"quantile.{statistic}_change", told, truth[statistic]))
    model = fit_multilevel(drawn, conditioned=None)
    if not isinstance(model, Withheld):
        for row in model.districts.dropna(subset="shrunken").to_dict("records"):
            here = truth["districts"][row["district"]]
            results.append((SHRUNKEN, (row["shrunken"], row["low"], row["high"]), here))
            results.append(("multilevel, own", (row["raw"], row["raw_low"], row["raw_high"]), here))
    for figure, one, known in results:
        if one is None or isinstance(one, Withheld) or np.isnan(known):
            continue
        if isinstance(one, tuple):
            value, low, high = one
        else:
            name = next(name for name in ("estimate", "mean", "sd", "change") if hasattr(one, name))
            value, low, high = getattr(one, name), one.low, one.high
        se = float(getattr(one, "se", np.nan))
        yield figure, float(value), se, float(low), float(high), float(known), np.nan


def find_truths(study: Study) -> dict[str, Any]:
    """Return what the other intervals should hold, in points of the scale; districts weigh as many as sat before."""
    table = study.truth.rows[study.truth.rows["population"] == "all"].set_index("district")
    whole, rows = table.loc[""], table.drop(index="")
    unit, share = 100 / np.sqrt(whole["theta_var_pre"]), rows["share"]
    level, gain = unit * rows["theta_mean_pre"], unit * rows["theta"]
    after = level + gain
    sds = {
        side: np.sqrt((share * (one - (share * one).sum()) ** 2).sum())
        for side, one in (("pre", level), ("post", after), ("change", gain))
    }
    within = {side: unit * np.sqrt(rows[f"theta_var_{side}"]) for side in ("pre", "post")}
    own = unit * Design(size="secondary", scenario=CELLS[study.cell].scenario).change_within_sd
    sd_gain = np.hypot(own, sds["change"])
    sd = {side: unit * np.sqrt(whole[f"theta_var_{side}"]) for side in ("pre", "post")}
    r = (sd["pre"] ** 2 + sd["post"] ** 2 - sd_gain**2) / (2 * sd["pre"] * sd["post"])
    mean = unit * whole["theta"]
    design = Design(size="secondary", scenario=CELLS[study.cell].scenario)
    any_districts = 0.0 if design.scenario == "no_change" else unit * design.change_mean  # of which these are a draw
    truth: dict[str, Any] = {
        "mean": mean,
        "mean_of_any": any_districts,
        "districts": gain.to_dict(),
        "sd": sd["post"] - sd["pre"],
    }
    truth |= {f"sd_{side}": one for side, one in sds.items()}
    truth["g_z"] = mean / sd_gain if sd_gain else np.nan
    truth["g_rm"] = truth["g_z"] * np.sqrt(2 * (1 - r))
    for name, order in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9)):
        ends = [find_quantile(order, middle, within[side], share) for side, middle in (("pre", level), ("post", after))]
        truth[name] = ends[1] - ends[0]
    return truth


def find_quantile(order: float, middle: Any, spread: Any, share: Any) -> float:
    """Return where a share `order` of a mixture of normal distributions lies below."""
    far = 2000.0
    return float(optimize.brentq(lambda q: (share * stats.norm.cdf(q, middle, spread)).sum() - order, -far, far))


@cache
def mark_code() -> str:
    """Return the mark of all that decides a line: code (not its form), tables, libraries."""
    root = Path(bgtk_lib.__file__).parent
    found = [root / room for room in DECIDING]
    paths = [path for place in found for path in (place.rglob("*.py") if place.is_dir() else [place])]
    content = {
        path.relative_to(root).as_posix(): ast.dump(ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted(paths)
        if path.name not in TOLD
    }
    return hash_content([content, library_versions(), N])[:12]


def _run(name: str, seed: int, mark: str) -> list[dict[str, Any]]:
    return [line | {"mark": mark} for line in replicate(name, seed)]


def go_on(path: Path, *, wanted: list[tuple[str, int]], workers: int) -> list[dict[str, Any]]:
    """Append the wanted replications (cell and seed) that are not there yet; return the lines of this code."""
    texts = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = [line for text in texts if (line := json.loads(text))["mark"] == mark_code()]
    done = {(line["cell"], line["seed"]) for line in lines}
    missing = [one for one in wanted if one not in done]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    with path.open("a", encoding="utf-8") as file, ProcessPoolExecutor(workers) as pool:
        waiting = [pool.submit(_run, *one, mark_code()) for one in missing]
        for future in tqdm(as_completed(waiting), total=len(waiting), mininterval=30, disable=not waiting):
            lines += (found := future.result())
            file.write("".join(json.dumps(line) + "\n" for line in found))
            file.flush()
    return lines


def summarise(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """Return one row a cell and figure: coverage with its exact 99 % Monte-Carlo range, bias, SE over real SD, p < .05."""
    frame = pd.DataFrame(lines)
    refused = frame[frame["figure"] == "refused"].groupby("cell").size()
    rows = []
    for (cell, figure), here in frame[frame["figure"] != "refused"].groupby(["cell", "figure"], sort=False):
        error = here["value"] - here["truth"]
        covered = here["low"].le(here["truth"]) & here["high"].ge(here["truth"])
        exact = stats.binomtest(int(covered.sum()), len(here)).proportion_ci(0.99, method="exact")
        row = {"cell": cell, "figure": figure, "n": len(here), "refused": int(refused.get(cell, 0))}
        row |= {"covered": covered.mean(), "low": exact.low, "high": exact.high, "bias": error.mean()}
        row |= {"bias_error": error.std() / len(here) ** 0.5, "se_ratio": here["se"].mean() / error.std()}
        row["rejected"] = (here["p"] < 0.05).mean() if figure == "mean" else np.nan
        rows.append(row | {"bar": judge(row)})
    return pd.DataFrame(rows)


def judge(row: dict[str, Any]) -> str:
    """Return ``held``, ``missed`` or, with too few replications, ``–``: headline 93-97 %, others' range overlaps it.

    Exempt are shrunken intervals: they speak of districts like these, and are wide where districts hardly differ.
    """
    if row["figure"] == SHRUNKEN:
        return "exempt"
    if row["figure"] != "mean":
        return "held" if row["low"] <= BAR[1] and row["high"] >= BAR[0] else "missed"
    if row["n"] < REPLICATIONS:
        return "–"
    sound = BAR[0] <= row["covered"] <= BAR[1]
    if row["cell"].startswith("no change"):
        sound &= FALSE_BAR[0] <= row["rejected"] <= FALSE_BAR[1]
    return "held" if sound else "missed"


def format_table(table: pd.DataFrame) -> str:
    """Return the table as Markdown."""
    head = "cell|figure|n|refused|coverage %|99 % range|bias|± MC error|SE ratio|p < .05 %|bar"
    lines = [f"| {head.replace('|', ' | ')} |", "|" + "---|" * (head.count("|") + 1)]
    for row in table.to_dict("records"):
        cells = [row["cell"], row["figure"], f"{row['n']:,}", row["refused"], f"{100 * row['covered']:.1f}"]
        cells += [
            f"{100 * row['low']:.1f} – {100 * row['high']:.1f}",
            f"{row['bias']:+.3f}",
            f"{row['bias_error']:.3f}",
        ]
        cells += [
            f"{row['se_ratio']:.3f}",
            "" if np.isnan(row["rejected"]) else f"{100 * row['rejected']:.1f}",
            row["bar"],
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run what is wanted, write the table, and return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replications", type=int, default=REPLICATIONS, help="of each cell (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (%(default)s)")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    told = parser.parse_args(arguments)
    wanted = [(name, seed) for seed in range(told.replications) for name in CELLS]
    path, lines = told.results / "headline.jsonl", []
    while wanted:  # as many more as had no interval because their link was refused
        lines = go_on(path, wanted=wanted, workers=told.workers)
        made, refused = (
            {(line["cell"], line["seed"]) for line in lines if line["figure"] == f} for f in ("mean", "refused")
        )
        missing = {name: told.replications - sum(cell == name for cell, _ in made) for name in CELLS}
        seeds = {name: told.replications + sum(cell == name for cell, _ in refused) for name in CELLS}
        wanted = [(name, seeds[name] - n - 1) for name, most in missing.items() for n in range(most)]
    table = summarise(lines)
    print(text := format_table(table))
    write_text(told.results / "headline.md", text)
    return int((table["bar"] == "missed").any())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
