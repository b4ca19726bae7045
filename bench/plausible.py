"""Do plausible values give back what was planted? Bias and coverage of group means, replication by replication.

A replication draws persons who sit two Rasch forms, makes plausible values in several ways, and estimates from them as
a report would. Its line is appended at once: a run that was stopped goes on where it stopped; lines that other code
made are left out. The exit code is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from tqdm import tqdm

import bgtk_lib
from bgtk_lib.change.strata import mean_by_strata
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.scoring.combine import combine_draws
from bgtk_lib.scoring.plausible import draw_plausible_values, require_conditioned
from bgtk_lib.workspace.store import hash_content, library_versions, write_text

Floats = NDArray[np.float64]

REPLICATIONS = 300
R, EFFECT = 0.80, 0.30  # planted: residual correlation of the waves, effect of the programme on the second
BIAS, BAR = 0.02, (0.93, 0.97)


@dataclass(frozen=True)
class Scenario:
    """Who is tested, and how plausible values are made of them: the first way always, others in one of three."""

    n: int
    n_districts: int = 15
    n_items: int = 30
    gone: float = 0.10  # of each wave, at random
    in_programme: float = 0.20
    school_size: int = 1
    between: float = 0.0  # schools' share of the variance of change; of level 15 %
    ways: tuple[str, ...] = ("joint", "no roster", "wave by wave")


SCENARIOS = {
    "province": Scenario(n=1500),
    "subject": Scenario(n=150, n_districts=1, in_programme=0.5, ways=("joint",)),
    "schools of 15": Scenario(n=1500, school_size=15, between=0.05, ways=("with schools", "joint")),
    "schools of 3": Scenario(n=1500, school_size=3, between=0.05, ways=("with schools", "joint")),
}


@dataclass(frozen=True, eq=False)
class Study:
    """The persons of a replication: groups by pid, answers and curves by wave, planted mean change by district."""

    groups: pd.DataFrame
    waves: dict[str, tuple[pd.DataFrame, Curves]]
    planted: pd.Series


@cache
def mark_code(name: str) -> str:
    """Return the mark of all that decides a scenario's lines: code (neither form nor docstrings), libraries, settings."""
    root = Path(bgtk_lib.__file__).parent
    paths = [*sorted((root / "scoring").glob("*.py")), root / "instrument" / "irt" / "curves.py"]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    texts += [inspect.getsource(one) for one in (draw_study, draw_values, measure, list_truths, replicate)]
    content = []
    for text in texts:
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        content.append(ast.dump(tree))
    return hash_content([content, library_versions(), asdict(SCENARIOS[name])])[:12]


def draw_study(plan: Scenario, rng: np.random.Generator) -> Study:
    """Return persons whose districts differ in level and change, with a programme that acts on the second wave."""
    n, districts = plan.n, np.arange(plan.n_districts)
    school = np.arange(n) // plan.school_size
    district = school % plan.n_districts
    in_programme = pd.Series(rng.random(n)).groupby(district).rank(pct=True).to_numpy() <= plan.in_programme
    change = np.linspace(-0.2, 0.6, plan.n_districts) if plan.n_districts > 1 else np.array([0.2])
    level = 0.4 * np.sin(2.0 * districts)

    total = np.array([[1.0, R], [R, 1.0]])
    level_share, change_variance = 0.15 * (plan.between > 0), plan.between * 2 * (1 - R)
    shared = np.full((2, 2), level_share - change_variance / 2) + np.eye(2) * change_variance / 2
    effects = rng.multivariate_normal([0, 0], shared, school.max() + 1)[school]
    own = rng.multivariate_normal([0, 0], total - shared, n)
    pre = level[district] + effects[:, 0] + own[:, 0]
    post = (level + change)[district] + EFFECT * in_programme + effects[:, 1] + own[:, 1]

    pids = pd.Index([f"p{i:05d}" for i in range(n)], name="pid")
    names = [f"18.{d + 1:02d}" for d in range(plan.n_districts)]
    groups = {"district": [names[d] for d in district], "programme": in_programme, "school": school}
    waves = {}
    for wave, theta in {"pre": pre, "post": post}.items():
        b = np.linspace(-2, 2, plan.n_items)
        items = tuple(f"{wave}{j:02d}" for j in range(plan.n_items))
        right = rng.logistic(size=(n, plan.n_items)) < theta[:, None] - b
        credit = pd.DataFrame(right.astype(float), index=pids, columns=list(items))
        curves = Curves(item_ids=items, slopes=np.ones(len(b)), intercepts=-b[:, None], graded=np.zeros(len(b), bool))
        waves[wave] = (credit[rng.random(n) >= plan.gone], curves)
    return Study(groups=pd.DataFrame(groups, index=pids), waves=waves, planted=pd.Series(change, index=names))


def draw_values(way: str, study: Study, rng: np.random.Generator) -> list[pd.DataFrame]:
    """Return the pairs of each draw: columns pre, post and the groups."""
    listed = ["district"] if way == "no roster" else ["district", "programme"]
    cluster = study.groups["school"] if way == "with schools" else None
    parts = [{wave: study.waves[wave]} for wave in study.waves] if way == "wave by wave" else [study.waves]
    made = [draw_plausible_values(part, conditioning=study.groups[listed], cluster=cluster, rng=rng) for part in parts]
    if any(isinstance(one, Withheld) or not one.population.converged for one in made):
        raise SystemExit(f"{way}: no plausible values")
    refused = [require_conditioned(one, "programme") is not None for one in made]
    if refused != [way == "no roster"] * len(made):
        raise SystemExit(f"{way}: the roster is refused where it is on the list, or not where it is not")
    draws = range(1, made[0].draws["draw"].max() + 1)
    return [pd.concat([one.for_draw(k) for one in made], axis=1).dropna().join(study.groups) for k in draws]


def measure(pairs: pd.DataFrame, *, schools: bool) -> dict[str, tuple[float, float, float]]:
    """Return, of one draw, each estimate with its squared standard error and degrees of freedom."""
    change = (pairs["post"] - pairs["pre"]).to_numpy()
    X = pd.get_dummies(pairs["district"]).assign(programme=pairs["programme"]).to_numpy(dtype=float)
    n, p = X.shape
    inverse = np.linalg.inv(X.T @ X)
    left = pairs[["pre", "post"]].to_numpy()
    left = left - X @ (inverse @ (X.T @ left))
    gain = inverse @ (X.T @ change)
    spread = float(((change - X @ gain) ** 2).sum() / (n - p))
    r = float((left[:, 0] * left[:, 1]).sum() / np.sqrt((left**2).sum(axis=0).prod()))
    found = {
        "correlation": (float(np.arctanh(r)), 1 / (n - p - 2), np.inf),
        "sd of change": (0.5 * float(np.log(spread)), 1 / (2 * (n - p)), np.inf),
        "programme": (float(gain[-1]), spread * float(inverse[-1, -1]), float(n - p)),
    }
    layout = {"stratum": pairs["district"], "cluster": pairs["school"]} if schools else {}
    whole = mean_by_strata(change, **layout)
    found["change"] = (whole.estimate, whole.se**2, whole.df)
    if p > 2:
        grouped = pd.Series(change).groupby(pairs["district"].to_numpy()).agg(["mean", "var", "size"])
        found |= {
            f"change {d}": (row["mean"], row["var"] / row["size"], row["size"] - 1) for d, row in grouped.iterrows()
        }
    return found


def list_truths(pairs: pd.DataFrame, planted: pd.Series) -> dict[str, float]:
    """Return what the estimates of these pairs aim at, whoever was drawn into them."""
    expected = pairs["district"].map(planted).astype(float) + EFFECT * pairs["programme"]
    by_district = expected.groupby(pairs["district"]).mean()
    truths = {"correlation": R, "sd of change": float(np.sqrt(2 * (1 - R))), "programme": EFFECT}
    return truths | {"change": float(expected.mean())} | {f"change {d}": value for d, value in by_district.items()}


BACK = {"correlation": np.tanh, "sd of change": np.exp}


def replicate(name: str, seed: int) -> dict[str, Any]:
    """Return the line of one replication."""
    plan = SCENARIOS[name]
    study = draw_study(plan, np.random.default_rng([seed, list(SCENARIOS).index(name)]))
    rows = []
    for way in plan.ways if seed % 3 == 0 else plan.ways[:1]:
        draws = draw_values(way, study, np.random.default_rng([seed, list(SCENARIOS).index(name), 1]))
        found = [measure(pairs, schools=plan.school_size > 1) for pairs in draws]
        truths = list_truths(draws[0], study.planted)
        for what in found[0]:
            means, variances, freedom = zip(*(one[what] for one in found), strict=True)
            whole = combine_draws(means, variances, complete_df=float(np.mean(freedom)))
            back = BACK.get(what, float)
            ends = [float(back(value)) for value in (whole.estimate, whole.low, whole.high)]
            slope = {"correlation": 1 - ends[0] ** 2, "sd of change": ends[0]}.get(what, 1.0)
            rows.append([way, what, truths[what], *ends, whole.se * slope])
    return {"scenario": name, "seed": seed, "mark": mark_code(name), "rows": rows}


def read_lines(path: Path, name: str) -> dict[int, dict[str, Any]]:
    """Return the lines that the present code made, by seed; a last line cut off is none."""
    texts = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    lines = [json.loads(text) for text in texts]
    return {line["seed"]: line for line in lines if line["mark"] == mark_code(name)}


def summarise(name: str, lines: list[dict[str, Any]]) -> pd.DataFrame:
    """Return one row a way and measure.

    covered: share of intervals that hold the truth; low, high: its exact (Clopper-Pearson) 99 % Monte-Carlo range, for
    ``all districts`` from the spread of each replication's share; se_ratio: mean standard error over the SD of the
    estimates' error.
    """
    columns = ["way", "what", "truth", "estimate", "low", "high", "se"]
    frame = pd.DataFrame([[line["seed"], *row] for line in lines for row in line["rows"]], columns=["seed", *columns])
    frame["error"] = frame["estimate"] - frame["truth"]
    frame["covered"] = frame["low"].le(frame["truth"]) & frame["high"].ge(frame["truth"])
    rows = []
    for (way, what), here in frame.groupby(["way", "what"], sort=False):
        if what.startswith("change ") and way != SCENARIOS[name].ways[0]:
            continue  # in the row of all districts
        exact = stats.binomtest(int(here["covered"].sum()), len(here)).proportion_ci(0.99, method="exact")
        rows.append({"way": way, "what": what, "low": exact.low, "high": exact.high} | _average(here))
    districts = frame[frame["what"].str.startswith("change ")]
    for way, here in districts.groupby("way", sort=False):
        shares = here.groupby("seed")["covered"].mean()
        half = float(stats.norm.isf(0.005)) * shares.std() / np.sqrt(len(shares))
        ends = {"low": shares.mean() - half, "high": shares.mean() + half}
        rows.append({"way": way, "what": "all districts"} | ends | _average(here))
    table = pd.DataFrame(rows).assign(scenario=name)
    table["bar"] = [judge_row(row) for row in table.to_dict("records")]
    return table


def _average(here: pd.DataFrame) -> dict[str, float]:
    n, error = here["seed"].nunique(), here["error"]
    found = {"n": n, "truth": here["truth"].mean(), "bias": error.mean(), "bias_error": error.std() / len(here) ** 0.5}
    return found | {"covered": here["covered"].mean(), "se_ratio": here["se"].mean() / error.std()}


def judge_row(row: dict[str, Any]) -> str:
    """Return ``held`` or ``missed`` for a row that has a bar, else nothing."""
    plan = SCENARIOS[row["scenario"]]
    if row["way"] != plan.ways[0] or (plan.school_size > 1 and row["what"] != "change"):  # others do not use schools
        return ""
    held = abs(row["bias"]) < BIAS and row["low"] <= BAR[1] and row["high"] >= BAR[0]
    return "held" if held else "missed"


def format_table(table: pd.DataFrame) -> str:
    """Return the table as Markdown."""
    head = "scenario|way|estimate|n|truth|bias|± MC error|coverage %|99 % range|SE ratio|bar"
    lines = [f"| {head.replace('|', ' | ')} |", "|" + "---|" * (head.count("|") + 1)]
    for row in table.to_dict("records"):
        cells = [
            row["scenario"],
            row["way"],
            row["what"],
            f"{row['n']:,}",
            f"{row['truth']:.3f}",
            f"{row['bias']:+.4f}",
        ]
        cells += [f"{row['bias_error']:.4f}", f"{100 * row['covered']:.1f}"]
        cells += [f"{100 * row['low']:.1f} – {100 * row['high']:.1f}", f"{row['se_ratio']:.3f}", row["bar"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run what is wanted, write the table, and return 1 if a bar is missed or replications are."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replications", type=int, default=REPLICATIONS, help="of each scenario (%(default)s)")
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", help="may be repeated; by default all")
    parser.add_argument("--summary", action="store_true", help="only write the table of what has run")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    told = parser.parse_args(arguments)
    told.results.mkdir(parents=True, exist_ok=True)
    tables, missing = [], 0
    for name in told.scenario or SCENARIOS:
        path = told.results / f"plausible-{name.replace(' ', '-')}.jsonl"
        known = read_lines(path, name)
        wanted = [seed for seed in range(told.replications) if seed not in known]
        if not told.summary:
            with path.open("a", encoding="utf-8") as file:
                for seed in tqdm(wanted, desc=name, mininterval=5, disable=not wanted):
                    file.write(json.dumps(replicate(name, seed)) + "\n")
                    file.flush()
            known = read_lines(path, name)
        lines = [known[seed] for seed in range(told.replications) if seed in known]
        missing += told.replications - len(lines)
        if lines:
            tables.append(summarise(name, lines))
    table = pd.concat(tables, ignore_index=True)
    print(text := format_table(table))
    write_text(told.results / "plausible.md", text)
    if missing:
        print(f"The study is not complete: {missing:,} replications have not run.", file=sys.stderr)
    return int(missing > 0 or (table["bar"] == "missed").any())


if __name__ == "__main__":
    sys.exit(main())
