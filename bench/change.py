"""How fast the wild cluster bootstrap and the multilevel model are, beside other programs on the same made-up changes.

Everybody takes turns in one run, each in a process of its own whose imports and first call are left out; what counts
is the median, and the ratio. Peers are optional and never dependencies: pyfixest with wildboottest of another Python
(``--peers PATH``), lme4 where R has it (``--r``). Ours gives the interval by test inversion too, the peer only p.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy loads
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

RESULTS = Path(__file__).parent / "results"
N, N_CLUSTERS, N_DRAWS = 9_436, 15, 9_999
TESTS = {"mean": "mean change", "contrast": "a contrast with six covariates"}
LME4 = """
suppressMessages(library(lme4))
x <- read.csv(commandArgs(TRUE)[1]); x$d <- factor(x$d)
invisible(lmer(y ~ 0 + d + (1 | s), x[x$s %% 20 == 0, ]))
t <- system.time(m <- lmer(y ~ 0 + d + (1 | s), x))[["elapsed"]]
cat(sprintf('{"seconds": %.4f, "loglik": %.8f}\\n', t, as.numeric(logLik(m))))
"""


def draw_clusters(n: int = N, clusters: int = N_CLUSTERS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return changes, regressors (treated, constant, covariates) and clusters of unequal size."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(clusters), rng.multinomial(n - clusters, rng.dirichlet(np.full(clusters, 2))) + 1)
    X = np.column_stack([g % 2 == 0, np.ones(n), rng.normal(size=(n, 6))]).astype(float)
    return 1 + 0.8 * X[:, 0] + rng.normal(0, 2, clusters)[g] + rng.normal(0, 10, n), X, g


def draw_schools(n: int, schools: int, draws: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return changes in draws, districts (15) and schools."""
    rng = np.random.default_rng(1)
    home = np.sort(rng.integers(0, 15, schools))
    school = np.repeat(np.arange(schools), rng.multinomial(n - schools, rng.dirichlet(np.full(schools, 1.5))) + 1)
    district = home[school]
    true = 10 + rng.normal(0, 8, 15)[district] + 28 * rng.normal(size=schools)[school] + 85 * rng.normal(size=n)
    return true[:, None] + 45 * rng.normal(size=(n, draws)) * (draws > 1), district, school


# ---------------------------------------------------------------- who works


def test_ours(case: str) -> dict[str, Any]:
    from bgtk_lib.change.precision.bootstrap import bootstrap_contrast

    y, X, g = draw_clusters()
    X, weights = (np.ones((N, 1)), [1.0]) if case == "mean" else (X, [1.0] + [0.0] * (X.shape[1] - 1))
    bootstrap_contrast(y, X, g, weights=weights, rng=np.random.default_rng(0))
    rng = np.random.default_rng(os.getpid())
    start = time.perf_counter()
    found = bootstrap_contrast(y, X, g, weights=weights, rng=rng)
    return {"seconds": time.perf_counter() - start, "t": found.t, "p": found.p}


def test_pyfixest(case: str) -> dict[str, Any]:
    import pandas as pd
    import pyfixest

    y, X, g = draw_clusters()
    frame = pd.DataFrame(X, columns=["treated", "one", *"abcdef"]).assign(y=y, g=g)
    formula, name = ("y ~ 1", "Intercept") if case == "mean" else ("y ~ treated + a + b + c + d + e + f", "treated")

    def work(data: Any, seed: int) -> Any:
        fit = pyfixest.feols(formula, data, vcov={"CRV1": "g"})
        return fit.wildboottest(param=name, cluster="g", reps=N_DRAWS, seed=seed)

    work(frame, 0)
    start = time.perf_counter()
    found = work(frame, os.getpid())
    return {
        "seconds": time.perf_counter() - start,
        "t": float(found["t value"]),
        "p": float(found["Pr(>|t|)"]),
    }


def fit_ours(case: str) -> dict[str, Any]:
    import pandas as pd

    from bgtk_lib.change.drawn import Drawn
    from bgtk_lib.change.multilevel.districts import fit_multilevel

    def lay(n: int, schools: int, draws: int) -> Drawn:
        y, district, school = draw_schools(n, schools, draws)
        codes = {"district": pd.Series(district).map("{:02d}".format), "npsn": pd.Series(school).map("{:04d}".format)}
        free = {"linking_error": 0.0, "link_df": np.inf, "link_n": np.inf}
        return Drawn(frame=pd.DataFrame(codes), pre=0 * y, post=y, unit="scale", **free)

    fit_multilevel(lay(600, 60, 1))
    drawn = lay(*map(int, case.split("x")))
    start = time.perf_counter()
    found = fit_multilevel(drawn)
    return {"seconds": time.perf_counter() - start, "loglik": found.loglik[0]}


def fit_mixedlm(case: str) -> dict[str, Any]:
    from statsmodels.regression.mixed_linear_model import MixedLM

    y, district, school = draw_schools(*map(int, case.split("x")))
    X = np.eye(15)[district]
    start = time.perf_counter()
    found = MixedLM(y[:, 0], X, groups=school).fit(reml=True)
    return {"seconds": time.perf_counter() - start, "loglik": found.llf, "converged": bool(found.converged)}


def fit_lme4(case: str) -> dict[str, Any]:
    y, district, school = draw_schools(*map(int, case.split("x")))
    with tempfile.TemporaryDirectory() as folder:
        table, script = Path(folder) / "changes.csv", Path(folder) / "fit.R"
        rows = np.column_stack([y[:, 0], district, school])
        np.savetxt(table, rows, delimiter=",", header="y,d,s", comments="", fmt=["%.17g", "%d", "%d"])
        script.write_text(LME4)
        done = subprocess.run(["Rscript", str(script), str(table)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


WORKERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "test_ours": test_ours,
    "test_pyfixest": test_pyfixest,
    "fit_ours": fit_ours,
    "fit_mixedlm": fit_mixedlm,
    "fit_lme4": fit_lme4,
}


# ---------------------------------------------------------------- the run


def call_worker(python: str, worker: str, case: str) -> dict[str, Any]:
    command = [python, "-W", "ignore", __file__, "--worker", worker, "--case", case]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip()[-200:].replace("\n", " ")}
    return json.loads(done.stdout.strip().splitlines()[-1])


def take_turns(case: str, rows: list[tuple[str, str, str]], repeats: int) -> list[dict[str, Any]]:
    """Let everybody work on one case in turn; ratios are the medians of those within a turn, to the first."""
    found: dict[str, list[dict[str, Any]]] = {title: [] for title, _, _ in rows}
    for _ in range(repeats):
        for title, python, worker in rows:
            found[title].append(call_worker(python, worker, case))
    first = found[rows[0][0]]
    if any("failed" in one for one in first):
        raise RuntimeError(first)
    told = []
    for title, results in found.items():
        failed = next((one["failed"] for one in results if "failed" in one), None)
        if failed:
            told.append({"case": case, "by": title, "failed": failed})
            continue
        ratios = [one["seconds"] / ours["seconds"] for one, ours in zip(results, first, strict=True)]
        row = {"case": case, "by": title, "seconds": median(one["seconds"] for one in results), "ratio": median(ratios)}
        for name in ("t", "loglik"):
            row |= {name: results[0][name]} if name in results[0] else {}
        if "p" in results[0]:
            row["p"] = [one["p"] for one in results]
        row["converged"] = all(one.get("converged", True) for one in results)
        told.append(row)
    return told


def write(tests: list[dict[str, Any]], fits: list[dict[str, Any]], repeats: int) -> None:
    lines = [f"Medians of {repeats} turns (fits: fewer); ratios are medians of those within a turn.", ""]
    lines += [f"{N:,} pairs, {N_CLUSTERS} clusters, {N_DRAWS:,} draws", ""]
    lines += ["| bootstrap | by | seconds | times ours | t | p, all turns |", "|---|---|---|---|---|---|"]
    for row in tests:
        if "failed" in row:
            lines.append(f"| {TESTS[row['case']]} | {row['by']} | – | – | – | {row['failed']} |")
            continue
        p = f"{min(row['p']):.4f} to {max(row['p']):.4f}, mean {np.mean(row['p']):.4f}"
        cells = [TESTS[row["case"]], row["by"], f"{row['seconds']:.4f}", f"{row['ratio']:.1f}", f"{row['t']:.8f}", p]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| pairs × schools × draws | by | seconds | times ours | log-likelihood, first draw | converged |"]
    lines.append("|---|---|---|---|---|---|")
    for row in fits:
        if "failed" in row:
            lines.append(f"| {row['case']} | {row['by']} | – | – | – | {row['failed']} |")
            continue
        ended = "yes" if row["converged"] else "no"
        cells = [row["case"], row["by"], f"{row['seconds']:.2f}", f"{row['ratio']:.2f}", f"{row['loglik']:.6f}", ended]
        lines.append(f"| {' | '.join(cells)} |")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "change.md").write_text("\n".join(lines) + "\n")
    (RESULTS / "change.json").write_text(json.dumps({"tests": tests, "fits": fits}, indent=1) + "\n")
    print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="a Python that has pyfixest and wildboottest")
    parser.add_argument("--r", action="store_true", help="lme4 too")
    parser.add_argument("--plain", action="store_true", help="MixedLM from its default start too (minutes)")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--fits", default="9436x700x1,9436x700x20,35000x3962x1,35000x3962x20")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    parser.add_argument("--case", default="", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        print(json.dumps(WORKERS[chosen.worker](chosen.case)))
        return
    here = sys.executable
    rows = [("ours, with interval", here, "test_ours")]
    rows += [("pyfixest + wildboottest", chosen.peers, "test_pyfixest")] if chosen.peers else []
    tests = [row for case in TESTS for row in take_turns(case, rows, chosen.repeats)]
    fits = []
    for case in filter(None, chosen.fits.split(",")):
        rows = [("ours, all draws, shrunken", here, "fit_ours")]
        if case.endswith("x1"):
            rows += [("lme4", here, "fit_lme4")] if chosen.r else []
            rows += [("MixedLM, default start", here, "fit_mixedlm")] if chosen.plain else []
        fits += take_turns(case, rows, min(chosen.repeats, 3))
    write(tests, fits, chosen.repeats)


if __name__ == "__main__":
    main()
