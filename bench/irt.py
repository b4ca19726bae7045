"""How fast items are calibrated, beside other programs on the same made-up answers in the same run: read the ratios.

Peers are optional and never dependencies: `mirt` and `girth` of another Python (``--peers PATH``), OpenMx with rpf where R
has them (``--r``). Every fit is timed from the answers in memory to the estimates; imports and a first small fit are left
out. Log-likelihoods come from one evaluator with 241 points, so that no speed is bought with a worse fit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy loads
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

N = 34_000
RESULTS = Path(__file__).parent / "results"
NAMES = {"2pl": "2PL", "forms": "2PL", "gpcm": "GPCM", "grm": "GRM", "rasch": "2PL"}
TITLES = {
    "rasch": "Rasch, 34,000 × 40",
    "2pl": "2PL, 34,000 × 40",
    "forms": "2PL, 34,000 × 120 in 6 forms of 40",
    "gpcm": "GPCM, 34,000 × 20, 4 categories",
    "grm": "graded, 34,000 × 20, 4 categories",
}
OPENMX = """
suppressMessages({library(OpenMx); library(rpf)}); mxOption(NULL, "Number of Threads", 2)
fit <- function(x, spec, start) {
  ip <- mxMatrix(name="item", values=start, free=TRUE, dimnames=list(rownames(start), colnames(x)), nrow=nrow(start), ncol=ncol(start))
  mxRun(mxModel("m", ip, mxData(x, type="raw"), mxExpectationBA81(ItemSpec=spec, qpoints=61, qwidth=6), mxFitFunctionML(),
    mxComputeSequence(list(mxComputeEM("expectation", "scores", mxComputeNewtonRaphson(), tolerance=1e-8, maxIter=5000L)))), silent=TRUE)
}
read <- function(path) { x <- read.csv(path); as.data.frame(lapply(x, function(v) mxFactor(v, levels=0:max(v, na.rm=TRUE)))) }
x <- read(commandArgs(TRUE)[1]); k <- nlevels(x[[1]])
start <- matrix(c(1, seq(1, -1, length.out=k - 1) * (k > 2)), k, ncol(x), dimnames=list(c("F", paste0("c", 1:(k - 1))), NULL))
spec <- replicate(ncol(x), rpf.grm(k))
invisible(fit(x[1:500, 1:5], spec[1:5], start[, 1:5]))
t <- system.time(r <- fit(x, spec, start))[["elapsed"]]
v <- r$item$values
cat(sprintf('{"seconds": %.4f, "a": [%s], "d": [%s]}\\n', t, paste(v[1, ], collapse=","),
  paste(apply(v[-1, , drop=FALSE], 2, function(z) paste0("[", paste(z, collapse=","), "]")), collapse=",")))
"""


def draw(case: str, n: int = N, seed: int = 1) -> np.ndarray:
    """Return answers as int8, −1 where not presented."""
    rng = np.random.default_rng(seed)
    n_items, n_steps = {"forms": (120, 1), "gpcm": (20, 3), "grm": (20, 3)}.get(case, (40, 1))
    slopes = np.ones(n_items) if case == "rasch" else np.exp(rng.normal(0, 0.3, n_items))
    steps = np.sort(rng.normal(0, 1, (n_items, n_steps)), axis=1)
    answers = np.empty((n, n_items), dtype=np.int8)
    for start in range(0, n, 20_000):
        theta = rng.normal(size=min(20_000, n - start))
        odds = slopes[:, None] * (theta[:, None, None] - steps)
        if case == "grm":
            above = 1 / (1 + np.exp(-odds))
            found = (rng.random((*odds.shape[:2], 1)) < above).sum(axis=2)
        else:
            weights = np.exp(np.concatenate([np.zeros((*odds.shape[:2], 1)), np.cumsum(odds, axis=2)], axis=2))
            share = weights.cumsum(axis=2) / weights.sum(axis=2, keepdims=True)
            found = (rng.random((*odds.shape[:2], 1)) > share[:, :, :-1]).sum(axis=2)
        answers[start : start + len(theta)] = found
    if case == "forms":
        form = rng.integers(0, 6, n)
        for k in range(6):
            seen = (np.arange(40) + 20 * k) % 120
            hidden = np.setdiff1d(np.arange(120), seen)
            answers[np.ix_(form == k, hidden)] = -1
    return answers


# ---------------------------------------------------------------- who fits


def fit_ours(answers: np.ndarray, case: str, errors: str) -> dict[str, Any]:
    import pandas as pd

    from bgtk_lib.instrument.irt.calibrate import fit_items
    from bgtk_lib.instrument.irt.em import Settings

    credit = pd.DataFrame(np.where(answers < 0, np.nan, answers)).add_prefix("b")
    model = {"2pl": "2pl", "forms": "2pl"}.get(case, case)
    start = time.perf_counter()
    found = fit_items(credit, model=model, settings=Settings(errors=errors))
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "a": (found.curves.slopes * found.groups["sd"][0]).tolist(),
        "d": found.curves.intercepts.tolist(),
        "steps": found.n_iterations,
        "converged": found.converged,
    }


def fit_mirt(answers: np.ndarray, case: str, accelerate: str) -> dict[str, Any]:
    import mirt

    def fit(some: np.ndarray) -> Any:
        extra = {} if case in ("2pl", "forms", "rasch") else {"n_categories": 4}
        return mirt.fit_mirt(
            some.astype(int),
            model=NAMES[case],
            n_quadpts=61,
            compute_standard_errors=False,
            accelerate=accelerate,
            **extra,
        )

    fit(answers[:500, :5] if case != "forms" else draw("2pl", 500))
    start = time.perf_counter()
    found = fit(answers)
    seconds = time.perf_counter() - start
    values = {key: np.asarray(value, dtype=float) for key, value in found.model.parameters.items()}
    slopes = values["discrimination"].ravel()
    if "difficulty" in values:
        steps = -slopes[:, None] * values["difficulty"].reshape(len(slopes), -1)
    elif case == "grm":
        steps = -slopes[:, None] * values["thresholds"].reshape(len(slopes), -1)
    else:
        steps = np.cumsum(-slopes[:, None] * values["steps"].reshape(len(slopes), -1), axis=1)
    return {"seconds": seconds, "a": slopes.tolist(), "d": steps.tolist()}


def fit_girth(answers: np.ndarray, case: str, _: str) -> dict[str, Any]:
    import girth

    data = np.where(answers < 0, girth.INVALID_RESPONSE, answers).astype(int).T
    data = np.where(data == girth.INVALID_RESPONSE, data, data + (case in ("gpcm", "grm")))
    estimate: Callable[[Any], dict[str, Any]] = {
        "2pl": girth.twopl_mml,
        "forms": girth.twopl_mml,
        "grm": girth.grm_mml,
        "gpcm": girth.pcm_mml,
    }[case]
    start = time.perf_counter()
    found = estimate(data)
    seconds = time.perf_counter() - start
    slopes, hard = np.asarray(found["Discrimination"]), np.asarray(found["Difficulty"]).reshape(len(data), -1)
    steps = -slopes[:, None] * hard
    steps = np.cumsum(steps, axis=1) if case == "gpcm" else steps
    return {"seconds": seconds, "a": slopes.tolist(), "d": steps.tolist()}


def fit_openmx(answers: np.ndarray, _case: str, _: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        table, script = Path(folder) / "answers.csv", Path(folder) / "fit.R"
        header = ",".join(f"b{j}" for j in range(answers.shape[1]))
        text = answers.astype(str)
        text[answers < 0] = "NA"
        np.savetxt(table, text, fmt="%s", delimiter=",", header=header, comments="")
        script.write_text(OPENMX)
        command, threads = ["Rscript", str(script), str(table)], os.environ | {"OMP_NUM_THREADS": "2"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=threads)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


WORKERS = {"ours": fit_ours, "mirt": fit_mirt, "girth": fit_girth, "openmx": fit_openmx}


def evaluate(answers: np.ndarray, case: str, found: dict[str, Any]) -> float:
    """Return the marginal log-likelihood of N(0, 1) abilities by 241 points on ±9 (Rasch: its spread is in the slope)."""
    slopes, steps = np.array(found["a"]), np.array(found["d"]).reshape(len(found["a"]), -1)
    theta = np.linspace(-9, 9, 241)
    prior = np.exp(-(theta**2) / 2)
    order = np.arange(1, steps.shape[1] + 1)
    if case == "grm":
        above = 1 / (1 + np.exp(-(slopes[:, None, None] * theta + steps[:, :, None])))
        ends = np.ones((len(slopes), 1, len(theta)))
        chances = -np.diff(np.concatenate([ends, above, 0 * ends], axis=1), axis=1)
    else:
        odds = (slopes[:, None] * order)[:, :, None] * theta + steps[:, :, None]
        weights = np.exp(np.concatenate([np.zeros((len(slopes), 1, len(theta))), odds], axis=1))
        chances = weights / weights.sum(axis=1, keepdims=True)
    logs = np.log(np.maximum(chances, 1e-300))
    total = 0.0
    for start in range(0, len(answers), 2000):
        some = answers[start : start + 2000]
        of_person = np.tile(np.log(prior / prior.sum()), (len(some), 1))
        for k in range(logs.shape[1]):
            of_person += (some == k) @ logs[:, k]
        top = of_person.max(axis=1, keepdims=True)
        total += float((np.log(np.exp(of_person - top).sum(axis=1)) + top[:, 0]).sum())
    return total


# ---------------------------------------------------------------- the limit of an E-step


def measure_estep(case: str, repeats: int = 15) -> dict[str, float]:
    """Return processor time of one E-step, and of matrix products and exp of the same sizes in the same two threads."""
    import pandas as pd

    from bgtk_lib.instrument.irt.blocks import Blocks
    from bgtk_lib.instrument.irt.design import set_start
    from bgtk_lib.instrument.irt.estep import CHUNK, expect, prepare
    from bgtk_lib.instrument.irt.grid import lay_points
    from bgtk_lib.instrument.irt.tables import tabulate
    from bgtk_lib.instrument.irt.threads import share_rows

    answers = draw(case)
    blocks = Blocks.from_frame(pd.DataFrame(np.where(answers < 0, np.nan, answers)))
    start, free = set_start({"forms": "2pl"}.get(case, case), blocks, None)
    width = int((answers[0] >= 0).sum() * start.curves.highest.max())
    rng = np.random.default_rng(1)
    block = rng.random((CHUNK, width))
    logs = rng.random((width, 61)) - 3
    posterior = np.empty((CHUNK, 61))

    def least(_: int) -> None:
        products = block @ logs
        np.exp(products, out=posterior)
        block.T @ posterior

    times: dict[str, list[float]] = {"E-step": [], "limit": []}
    with share_rows(2) as pool:
        work = prepare(blocks, start, free, pool)
        points = lay_points(61, 6.0)
        for _ in range(repeats):
            at = time.process_time()
            expect(work, tabulate(start, points))
            times["E-step"].append(time.process_time() - at)
            at = time.process_time()
            list(pool.map(least, range(0, N, CHUNK)))
            times["limit"].append(time.process_time() - at)
    return {name: 1000 * min(found) for name, found in times.items()}


# ---------------------------------------------------------------- many persons


def fit_many(n: int, *, spool: bool) -> dict[str, Any]:
    """Calibrate n × 40 from parts of 200,000, and return seconds and the highest memory of this process."""
    import resource

    import pandas as pd

    from bgtk_lib.instrument.irt.blocks import Blocks
    from bgtk_lib.instrument.irt.calibrate import fit_items

    drawing = 0.0

    def parts() -> Iterator[pd.DataFrame]:
        nonlocal drawing
        for seed, start in enumerate(range(0, n, 200_000)):
            at = time.perf_counter()
            part = pd.DataFrame(draw("2pl", min(200_000, n - start), seed=1_000 + seed).astype(float)).add_prefix("b")
            drawing += time.perf_counter() - at
            yield part

    start = time.perf_counter()
    blocks = Blocks.from_parts(parts(), spool=spool)
    read = time.perf_counter()
    found = fit_items(blocks, model="2pl")
    end = time.perf_counter()
    return {
        "n": n,
        "reading": read - start - drawing,
        "fit": end - read,
        "steps": found.n_iterations,
        "converged": found.converged,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


# ---------------------------------------------------------------- the run


def call_worker(python: str, arguments: list[str]) -> dict[str, Any]:
    done = subprocess.run([python, __file__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip()[-200:].replace("\n", " ")}
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(case: str, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Fit one case by everybody in turn, `repeats` times; the best time of each counts."""
    answers = draw(case)
    rows = [
        ("ours, with standard errors", sys.executable, "ours", "observed"),
        ("ours", sys.executable, "ours", "none"),
    ]
    if chosen.peers and case != "rasch":
        rows += [("mirt (PyPI), 61 points", chosen.peers, "mirt", "none")]
        rows += [("mirt (PyPI), 61 points, SQUAREM", chosen.peers, "mirt", "squarem")]
        if chosen.girth:
            rows += [("girth", chosen.peers, "girth", "")]
    if chosen.r and case in ("2pl", "forms", "grm"):
        rows += [("OpenMx + rpf, 61 points", sys.executable, "openmx", "")]
    best: dict[str, dict[str, Any]] = {}
    for _ in range(chosen.repeats):
        for title, python, worker, option in rows:
            found = call_worker(python, ["--worker", worker, "--cases", case, "--option", option])
            if "failed" in found or found["seconds"] < best.get(title, {"seconds": np.inf}).get("seconds", np.inf):
                best[title] = found
    ours = best["ours"]["seconds"]
    return [
        {
            "case": TITLES[case],
            "by": title,
            "seconds": found.get("seconds"),
            "ratio": found["seconds"] / ours if "seconds" in found else None,
            "loglik": evaluate(answers, case, found) if "seconds" in found else None,
            "note": found.get("failed", ""),
        }
        for title, found in best.items()
    ]


def write(rows: list[dict[str, Any]], limits: dict[str, Any], many: list[dict[str, Any]]) -> None:
    RESULTS.mkdir(exist_ok=True)
    text = ["| fit | by | seconds | times ours | log-likelihood | |", "|---|---|---|---|---|---|"]
    for row in rows:
        numbers = (
            "– | – | –"
            if row["seconds"] is None
            else f"{row['seconds']:.3f} | {row['ratio']:.1f} | {row['loglik']:.3f}"
        )
        text.append(f"| {row['case']} | {row['by']} | {numbers} | {row['note']} |")
    text += [
        "",
        "| E-step, processor time of 2 threads | ms | products and exp alone, ms | ratio |",
        "|---|---|---|---|",
    ]
    for case, found in limits.items():
        ratio = found["E-step"] / found["limit"]
        text.append(f"| {TITLES[case]} | {found['E-step']:.1f} | {found['limit']:.1f} | {ratio:.2f} |")
    text += ["", "| 2PL × 40, fit with standard errors | reading, s | fit, s | µs a person | E-steps | peak MB |"]
    text += ["|---|---|---|---|---|---|"]
    for found in many:
        per_person = 1e6 * (found["reading"] + found["fit"]) / found["n"]
        cells = [f"{found['reading']:.2f}", f"{found['fit']:.2f}", f"{per_person:.1f}", str(found["steps"])]
        text.append(f"| {found['n']:,} | {' | '.join(cells)} | {found['peak_mb']:.0f} |")
    (RESULTS / "irt.md").write_text("\n".join(text) + "\n")
    (RESULTS / "irt.json").write_text(json.dumps({"fits": rows, "estep": limits, "many": many}, indent=1) + "\n")
    print("\n".join(text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="rasch,2pl,forms,gpcm,grm")
    parser.add_argument("--peers", help="a Python that has mirt and girth")
    parser.add_argument("--girth", action="store_true", help="girth too (minutes)")
    parser.add_argument("--r", action="store_true", help="OpenMx and rpf too")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--many", default="34000,1000000", help="numbers of persons, with s: answers in a file")
    parser.add_argument("--worker", choices=[*WORKERS, "many"], help=argparse.SUPPRESS)
    parser.add_argument("--option", default="", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker == "many":
        print(json.dumps(fit_many(int(chosen.option.rstrip("s")), spool=chosen.option.endswith("s"))))
    elif chosen.worker:
        print(json.dumps(WORKERS[chosen.worker](draw(chosen.cases), chosen.cases, chosen.option)))
    else:
        cases = [case for case in chosen.cases.split(",") if case]
        rows = [row for case in cases for row in compare(case, chosen)]
        limits = {case: measure_estep(case) for case in cases if case != "rasch"}
        many = [call_worker(sys.executable, ["--worker", "many", "--option", n]) for n in chosen.many.split(",") if n]
        write(rows, limits, many)


if __name__ == "__main__":
    main()
