"""Does the calibration find what was planted? Bias, and coverage of 95 % intervals, replication by replication.

Items are drawn once for each condition, persons anew in every replication. Batches are appended to a file as they are
finished, so that a run that was stopped goes on; batches that other code made are dropped. The exit code is 1 if a bar
is missed: a Rasch difficulty's bias below 0.02 where n is 500 or more, the mean absolute bias of 2PL slopes and
intercepts below 0.03, coverage whose 99 % Monte Carlo range overlaps 93 to 97 %.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from bgtk_lib.instrument.irt import calibrate
from bgtk_lib.instrument.irt.calibrate import Calibration, Model, fit_items
from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.instrument.irt.em import Settings

RESULTS = Path(__file__).parent / "results"
BATCH = 50
N_ITEMS = 25
SETTINGS = Settings(threads=1)
BAR = (0.93, 0.97)
CODE = (
    "blocks.py", "calibrate.py", "curves.py", "design.py", "em.py", "estep.py", "estimates.py", "grid.py",
    "information.py", "mstep.py", "parameters.py", "scores.py", "tables.py",
)  # fmt: skip


class Condition(NamedTuple):
    """A model, a number of persons and the standard deviation of their ability."""

    model: Model
    n: int
    sd: float = 1.0

    @property
    def name(self) -> str:
        """Model and persons in words."""
        return f"{self.model} {self.n}"


CONDITIONS = (
    *(Condition("rasch", n, 1.2) for n in (150, 500, 2000)),
    *(Condition("2pl", n) for n in (500, 2000)),
    *(Condition("gpcm", n) for n in (500, 2000)),
)


def plant(condition: Condition) -> Curves:
    """Return the true items: difficulties over ±2, slopes around 1, three steps 0.8 apart for partial credit."""
    rng = np.random.default_rng([20261121, len(condition.model)])
    slopes = np.ones(N_ITEMS) if condition.model == "rasch" else rng.uniform(0.6, 1.8, N_ITEMS)
    locations = np.linspace(-2, 2, N_ITEMS) if condition.model != "gpcm" else np.linspace(-1, 1, N_ITEMS)
    spread = np.array([-0.8, 0.0, 0.8]) if condition.model == "gpcm" else np.zeros(1)
    difficulties = rng.permutation(locations)[:, None] + spread
    return Curves(
        item_ids=tuple(f"b{j + 1}" for j in range(N_ITEMS)),
        slopes=slopes,
        intercepts=np.cumsum(-slopes[:, None] * difficulties, axis=1),
        graded=np.zeros(N_ITEMS, dtype=bool),
    )


def draw(curves: Curves, condition: Condition, rng: np.random.Generator) -> pd.DataFrame:
    chances = curves.probabilities(rng.normal(0, condition.sd, condition.n)).transpose(2, 0, 1)
    answers = (rng.random((*chances.shape[:2], 1)) > chances.cumsum(axis=2)[:, :, :-1]).sum(axis=2)
    return pd.DataFrame(answers.astype(float), columns=list(curves.item_ids))


def list_truth(curves: Curves, condition: Condition) -> pd.Series[float]:
    steps = {
        f"{kind}{k + 1}:{item}": value
        for kind, table in (("d", curves.intercepts), ("b", curves.difficulties))
        for item, row in zip(curves.item_ids, table, strict=True)
        for k, value in enumerate(row)
    }
    if condition.model == "rasch":
        return pd.Series(steps | {"sd:all": condition.sd})
    return pd.Series(steps | {f"a:{item}": a for item, a in zip(curves.item_ids, curves.slopes, strict=True)})


def list_estimates(found: Calibration) -> pd.DataFrame:
    """Return value and standard error by the names of `list_truth`."""
    rows: dict[str, tuple[float, float]] = {}
    for step in found.steps.to_dict("records"):
        rows[f"d{step['step']}:{step['item_id']}"] = (step["d"], step["d_se"])
        rows[f"b{step['step']}:{step['item_id']}"] = (step["b"], step["b_se"])
    for item in found.items.to_dict("records"):
        rows[f"a:{item['item_id']}"] = (item["a"], item["a_se"])
    rows["sd:all"] = (found.groups["sd"][0], found.groups["sd_se"][0])
    return pd.DataFrame(rows, index=["value", "se"]).T


def run_batch(condition: Condition, batch: int) -> dict[str, Any]:
    """Return the sums of `BATCH` replications, parameter by parameter."""
    curves = plant(condition)
    truth = list_truth(curves, condition)
    rng = np.random.default_rng([20261121, CONDITIONS.index(condition), batch])
    errors, covered, shares, failed = np.zeros((BATCH, len(truth))), np.zeros((BATCH, len(truth))), {}, 0
    for i in range(BATCH):
        found = fit_items(draw(curves, condition, rng), model=condition.model, settings=SETTINGS)
        estimates = list_estimates(found).reindex(truth.index)
        failed += not found.converged
        errors[i] = estimates["value"] - truth
        covered[i] = np.abs(errors[i]) <= 1.959963985 * estimates["se"]
        covered[i][np.isnan(errors[i])] = np.nan
    for kind in ("a", "b", "d", "sd"):
        of_kind = truth.index.str.startswith(kind if kind == "sd" else f"{kind}:" if kind == "a" else kind)
        shares[kind] = np.nanmean(covered[:, of_kind], axis=1).round(6).tolist() if of_kind.any() else []
    return {
        "condition": condition.name,
        "batch": batch,
        "names": list(truth.index),
        "n": (~np.isnan(errors)).sum(axis=0).tolist(),
        "error": np.nansum(errors, axis=0).round(8).tolist(),
        "covered": np.nansum(covered, axis=0).tolist(),
        "shares": shares,
        "failed": failed,
    }


def mark_code() -> str:
    """Return a mark of the code that makes the numbers."""
    folder = Path(calibrate.__file__).parent
    code = [(folder / name).read_bytes() for name in CODE]
    text = b"".join(code) + Path(__file__).read_bytes()
    return hashlib.sha256(text).hexdigest()[:12]


def summarise(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row a condition and kind of parameter."""
    rows = []
    for condition in CONDITIONS:
        some = [line for line in lines if line["condition"] == condition.name]
        if not some:
            continue
        names = np.array(some[0]["names"])
        n = np.sum([line["n"] for line in some], axis=0)
        bias = np.sum([line["error"] for line in some], axis=0) / n
        coverage = np.sum([line["covered"] for line in some], axis=0) / n
        for kind in ("a", "d", "b", "sd"):
            of_kind = np.char.startswith(names, "sd" if kind == "sd" else kind) & (
                np.char.startswith(names, "sd") == (kind == "sd")
            )
            if not of_kind.any():
                continue
            shares = np.concatenate([line["shares"][kind] for line in some])
            half = stats.norm.isf(0.005) * shares.std(ddof=1) / np.sqrt(len(shares))
            rows.append(
                {
                    "condition": condition.name,
                    "parameter": kind,
                    "replications": len(shares),
                    "mean_bias": float(bias[of_kind].mean()),
                    "mean_abs_bias": float(np.abs(bias[of_kind]).mean()),
                    "max_abs_bias": float(np.abs(bias[of_kind]).max()),
                    "coverage": float(shares.mean()),
                    "low": float(shares.mean() - half),
                    "high": float(shares.mean() + half),
                    "coverage_min": float(coverage[of_kind].min()),
                    "coverage_max": float(coverage[of_kind].max()),
                    "failed": sum(line["failed"] for line in some),
                }
            )
    return rows


def judge(row: dict[str, Any]) -> list[str]:
    missed = []
    model, n = row["condition"].split()
    if model == "rasch" and row["parameter"] in ("b", "d") and int(n) >= 500 and row["max_abs_bias"] >= 0.02:
        missed.append("bias")
    if model == "rasch" and row["parameter"] in ("b", "d") and row["mean_abs_bias"] >= 0.02:
        missed.append("mean bias")
    if model == "2pl" and row["parameter"] in ("a", "d") and row["mean_abs_bias"] >= 0.03:
        missed.append("mean bias")
    if row["low"] > BAR[1] or row["high"] < BAR[0]:
        missed.append("coverage")
    return missed


def write(rows: list[dict[str, Any]]) -> None:
    text = [
        "| model, persons | parameter | replications | mean bias | mean, largest absolute bias | coverage (99 % range) | by parameter | not converged | bar missed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    text += [
        f"| {row['condition']} | {row['parameter']} | {row['replications']} | {row['mean_bias']:+.4f} "
        f"| {row['mean_abs_bias']:.4f}, {row['max_abs_bias']:.4f} "
        f"| {row['coverage']:.4f} ({row['low']:.4f} to {row['high']:.4f}) "
        f"| {row['coverage_min']:.3f} to {row['coverage_max']:.3f} | {row['failed']} | {', '.join(judge(row)) or '–'} |"
        for row in rows
    ]
    (RESULTS / "irt-recovery.md").write_text("\n".join(text) + "\n")
    (RESULTS / "irt-recovery.json").write_text(json.dumps(rows, indent=1) + "\n")
    print("\n".join(text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=1000)
    chosen = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    store, mark = RESULTS / "irt-recovery.jsonl", mark_code()
    lines = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    lines = [line for line in lines if line["mark"] == mark]
    store.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = {(line["condition"], line["batch"]) for line in lines}
    todo = [
        (c, batch)
        for batch in range(-(-chosen.replications // BATCH))
        for c in CONDITIONS
        if (c.name, batch) not in done
    ]
    started = time.process_time()
    with store.open("a") as file:
        for condition, batch in tqdm(todo):
            line = run_batch(condition, batch) | {"mark": mark}
            lines.append(line)
            file.write(json.dumps(line) + "\n")
            file.flush()
    rows = summarise(lines)
    write(rows)
    print(f"{time.process_time() - started:.0f} s of processor time")
    sys.exit(any(judge(row) for row in rows))


if __name__ == "__main__":
    main()
