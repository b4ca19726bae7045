"""Is what moved found and what did not kept, and does the linking error tell how far links scatter? Measured.

A replication draws two forms of 30 items that share 12 anchors, sat by different persons, calibrates both and links
them, once for every scenario. Its line is appended at once: a run that was stopped goes on where it stopped. Lines that
other code made are moved aside. The exit code is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, ndtri
from tqdm import tqdm

import bgtk_lib
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.irt.calibrate import Calibration, fit_items
from bgtk_lib.instrument.irt.em import Settings
from bgtk_lib.linking.anchors import RULES, Located, estimate_linking_error, find_drift, locate_anchors
from bgtk_lib.linking.quality import compare_spread
from bgtk_lib.workspace.store import hash_content, library_versions, write_text

Floats = NDArray[np.float64]

REPLICATIONS = 1000  # of each number of persons: 95 % ± 1.8 points, at 99 % confidence
PERSONS = (150, 500, 1000)
N_ITEMS, N_ANCHORS = 30, 12
DIFFICULTY = (-0.2, 1.0)  # mean and SD of b
HIGHER = 0.2  # logits by which the later population stands higher
MOVE = 0.8  # logits
SPREAD = 0.2  # SD of the moves where every anchor moves
SCENARIOS = {  # anchors that moved, in units of MOVE
    "sound": (),
    "two easier": (-1, -1),
    "one easier, one harder": (-1, 1),
    "all a little": (),
}
FOUND_BAR, FALSE_BAR, FROM_PERSONS = 0.95, 0.05, 500
CODE = ("linking/anchors.py", "linking/quality.py")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)  # words about the code decide no line
PLACES = 5  # decimals kept of a line


@cache
def mark_code() -> str:
    """Return the mark of what decides a line: this study and the linking code; the calibrations have their own proofs."""
    paths = [Path(__file__), *(Path(bgtk_lib.__file__).parent / name for name in CODE)]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    for node in (node for tree in trees for node in ast.walk(tree) if isinstance(node, DOCUMENTED)):
        node.body = node.body[ast.get_docstring(node) is not None :]
    return hash_content([list(map(ast.dump, trees)), library_versions()])[:12]


def replicate(n: int, seed: int) -> dict[str, Any]:
    """Return the line of one replication: what every scenario came to."""
    rng = np.random.default_rng([seed, n])
    places = DIFFICULTY[0] + DIFFICULTY[1] * ndtri((np.arange(N_ITEMS) + 0.5) / N_ITEMS)
    anchors = [f"anchor{number}" for number in range(N_ANCHORS)]
    b_pre, b_new = rng.permutation(places), rng.permutation(places)[N_ANCHORS:]
    theta_pre, theta_post = rng.normal(0, 1, n), rng.normal(HIGHER, 1, n)
    luck_pre, luck_post = rng.random((n, N_ITEMS)), rng.random((n, N_ITEMS))
    moved, wander = rng.choice(N_ANCHORS, 2, replace=False), rng.normal(0, SPREAD, N_ANCHORS)
    pre = calibrate(theta_pre, b_pre, luck_pre, anchors)
    line: dict[str, Any] = {"mark": mark_code(), "n": n, "seed": seed}
    for scenario, signs in SCENARIOS.items():
        moves = wander.copy() if scenario == "all a little" else np.zeros(N_ANCHORS)
        moves[moved[: len(signs)]] += MOVE * np.array(signs)
        post = calibrate(theta_post, np.concatenate([b_pre[:N_ANCHORS] + moves, b_new]), luck_post, anchors)
        found = describe_link(pre, post, anchors, planted=[anchors[at] for at in moved[: len(signs)]])
        found["truth"] = round(float(theta_post.mean() - theta_pre.mean()), PLACES)
        found["farthest"] = round(float(np.abs(b_pre[moved]).max()), PLACES)
        line[scenario] = found
    return line


def calibrate(theta: Floats, b: Floats, luck: Floats, anchors: list[str]) -> Calibration:
    """Return the Rasch calibration of one form."""
    names = [*anchors, *(f"other{number}" for number in range(len(b) - len(anchors)))]
    right = (luck < expit(theta[:, None] - b)).astype(float)
    return fit_items(pd.DataFrame(right, columns=names), model="rasch", settings=Settings(threads=1))


def describe_link(pre: Calibration, post: Calibration, anchors: list[str], *, planted: list[str]) -> dict[str, Any]:
    """Return what became of the anchors, the shift with and without drops and their errors, and the set's quality."""
    usable = [item for item in anchors if all(item in one.curves.item_ids for one in (pre, post))]
    sides = locate_anchors(pre, usable), locate_anchors(post, usable)
    drift = find_drift(*sides)
    dropped = set(drift.loc[drift["state"] == "dropped", "item_id"])
    kept = [item for item in usable if item not in dropped]
    line: dict[str, Any] = {"found": len(dropped & set(planted)), "false": len(dropped - set(planted))}
    line["robust"] = int((drift["robust_z"].abs() > RULES.robust_z).sum())
    for name, items in (("kept", kept), ("all", usable)):
        used = np.isin(usable, items)
        moves = (sides[1].b - sides[0].b)[used]
        line[f"shift_{name}"] = -moves.mean()
        line[f"error_{name}"] = estimate_linking_error(moves)
        line[f"se_{name}"] = error_of_mean(sides, used)
    low, high = np.quantile(sides[1].b - sides[0].b, [0.25, 0.75])
    line["error_robust"] = 0.74 * (high - low) / len(kept) ** 0.5
    corrected = compare_spread(*sides, kept=kept)
    line["r"], line["ratio"] = (None if isinstance(one, Withheld) else one for one in corrected)
    line["r_raw"] = np.corrcoef(*(side.b for side in sides))[0, 1]
    line["ratio_raw"] = sides[1].b.std() / sides[0].b.std()
    return {name: value if value is None else round(float(value), PLACES) for name, value in line.items()}


def error_of_mean(sides: tuple[Located, Located], used: NDArray[np.bool_]) -> float:
    """Return the standard error of the shift from both calibrations: persons and answers."""
    weights = used / used.sum()
    return float(np.sqrt(sum(weights @ side.b_covariance @ weights for side in sides)))


def read_lines(path: Path) -> dict[tuple[int, int], dict[str, Any]]:
    """Return the lines that the present code made, by persons and seed; a last line cut off is none."""
    texts = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    lines = [json.loads(text) for text in texts]
    return {(line["n"], line["seed"]): line for line in lines if line["mark"] == mark_code()}


def go_on(path: Path, wanted: list[tuple[int, int]]) -> None:
    """Append the wanted replications (persons and seed) that are not there yet."""
    known = read_lines(path)
    kept = "".join(json.dumps(line) + "\n" for line in known.values())
    if path.exists() and path.read_text(encoding="utf-8") != kept:
        path.replace(path.with_suffix(".aside.jsonl"))
        print(f"{path.name}: what is cut off or made by other code is moved to *.aside.jsonl.", file=sys.stderr)
        write_text(path, kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for n, seed in tqdm([pair for pair in wanted if pair not in known], mininterval=5):
            file.write(json.dumps(replicate(n, seed)) + "\n")
            file.flush()


def summarise(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """Return one row a number of persons and scenario.

    found: share of links in which all that moved was dropped, found_items: share of the anchors that moved; found_near: of
    links whose moved anchors lie within a logit of the first persons' mean; false_links, false_items: share of links with a sound anchor
    dropped, and of sound anchors dropped; scatter: SD of the shift around the persons' true difference, error: root mean
    square of the linking error, both with drops and (…_all) without; error_robust: from 0.74 · IQR of all moves; total: SD of the shift around the populations'
    difference, se: its standard error √(SE² + σ²/L) with the planted σ; low_r, far_ratio: share of links whose correlation
    or SD ratio is outside its bounds (raw: not freed of estimation error).
    """
    rows = []
    for n in sorted({line["n"] for line in lines}):
        for scenario, signs in SCENARIOS.items():
            here = pd.DataFrame([line[scenario] for line in lines if line["n"] == n])
            row = {"n": n, "scenario": scenario, "links": len(here)}
            row["found"] = (here["found"] == len(signs)).mean() if signs else np.nan
            row["found_items"] = here["found"].mean() / len(signs) if signs else np.nan
            near = here[here["farthest"] < 1]
            row |= {"found_near": (near["found"] == len(signs)).mean() if signs else np.nan, "near": len(near)}
            row["false_links"] = (here["false"] > 0).mean()
            row["false_items"] = here["false"].mean() / (N_ANCHORS - len(signs))
            row["robust"] = here["robust"].mean()
            for name in ("kept", "all"):
                away = here[f"shift_{name}"] - here["truth"]
                row |= {f"bias_{name}": away.mean(), f"scatter_{name}": away.std()}
                row[f"error_{name}"] = (here[f"error_{name}"] ** 2).mean() ** 0.5
            row["error_robust"] = (here["error_robust"] ** 2).mean() ** 0.5
            row["total"] = (here["shift_all"] - HIGHER).std()
            planted = SPREAD**2 / N_ANCHORS if scenario == "all a little" else 0.0
            row["se"] = ((here["se_all"] ** 2).mean() + planted) ** 0.5
            for end in ("", "_raw"):
                row[f"low_r{end}"] = (here[f"r{end}"].fillna(0) < RULES.min_r).mean()
                row[f"far_ratio{end}"] = (~here[f"ratio{end}"].between(*RULES.sd_ratio)).mean()
            rows.append(row | {"bar": judge_row(row)})
    return pd.DataFrame(rows)


def judge_row(row: dict[str, Any]) -> str:
    """Return ``held`` or ``missed``, or nothing where there is no bar."""
    if row["n"] < FROM_PERSONS or row["scenario"] == "all a little":
        return ""
    found = np.isnan(row["found"]) or row["found"] >= FOUND_BAR
    return "held" if found and row["false_links"] <= FALSE_BAR else "missed"


def format_table(table: pd.DataFrame) -> str:
    """Return the table as Markdown, shares with their 99 % (Clopper-Pearson) Monte-Carlo range."""
    head = (
        "persons|scenario|links|both dropped %|within ± 1 logit|each|false drops: links %|items %|bias of shift|"
        "linking error / scatter|robust|"
        "without drops: bias|linking error / scatter|SE / SD|r low % (raw)|SD ratio far % (raw)|robust z flags|bar"
    )
    lines = [f"| {head.replace('|', ' | ')} |", "|" + "---|" * (head.count("|") + 1)]
    for row in table.to_dict("records"):
        cells = [f"{row['n']:,}", row["scenario"], f"{row['links']:,}"]
        shares = [(row["found"], row["links"]), (row["found_near"], row["near"])]
        cells += ["–" if np.isnan(share) else show_share(share, of) for share, of in shares]
        cells += ["–" if np.isnan(row["found_items"]) else f"{100 * row['found_items']:.1f}"]
        cells += [show_share(row["false_links"], row["links"]), f"{100 * row['false_items']:.2f}"]
        for name in ("kept", "all"):
            ratio = row[f"error_{name}"] / row[f"scatter_{name}"]
            cells += [
                f"{row[f'bias_{name}']:+.3f}",
                f"{row[f'error_{name}']:.3f} / {row[f'scatter_{name}']:.3f} = {ratio:.2f}",
            ]
            if name == "kept":
                cells += [f"{row['error_robust'] / row['scatter_kept']:.2f}"]
        cells += [f"{row['se']:.3f} / {row['total']:.3f} = {row['se'] / row['total']:.2f}"]
        cells += [f"{100 * row[name]:.1f} ({100 * row[f'{name}_raw']:.1f})" for name in ("low_r", "far_ratio")]
        cells += [f"{row['robust']:.2f}", row["bar"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def show_share(share: float, n: int) -> str:
    """Return a share in percent with its range."""
    exact = stats.binomtest(round(share * n), n).proportion_ci(0.99, method="exact")
    return f"{100 * share:.1f} ({100 * exact.low:.1f}–{100 * exact.high:.1f})"


def main(arguments: list[str] | None = None) -> int:
    """Run what is wanted, write the table, and return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--replications", type=int, default=REPLICATIONS, help="of each number of persons (%(default)s)"
    )
    parser.add_argument("--persons", type=int, action="append", help="may be repeated; by default 150, 500 and 1,000")
    parser.add_argument("--summary", action="store_true", help="only write the table of what has run")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    told = parser.parse_args(arguments)
    mark_code()  # now: the code that is loaded, not what it may become while this runs
    path = told.results / "drift.jsonl"
    wanted = [(n, seed) for seed in range(told.replications) for n in told.persons or PERSONS]
    if not told.summary:
        go_on(path, wanted)
    found = read_lines(path)
    lines = [found[pair] for pair in wanted if pair in found]
    if not lines:
        raise SystemExit("Nothing has run yet. Run this without --summary.")
    table = summarise(lines)
    print(text := format_table(table))
    write_text(told.results / "drift.md", text)
    if len(lines) < len(wanted):
        print(f"The study is not complete: {len(wanted) - len(lines):,} replications have not run.")
    return int(len(lines) < len(wanted) or (table["bar"] == "missed").any())


if __name__ == "__main__":
    sys.exit(main())
