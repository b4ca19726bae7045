"""The proof of the intervals, in short: coverage against the planted truth, and that the proof itself can fail."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bgtk_lib.synthetic import SCENARIOS

SCRIPT = Path(__file__).parents[1] / "bench" / "coverage.py"


@pytest.fixture(scope="module")
def bench():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("bench_coverage", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_file(path):
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def count_covered(lines, estimate, truth):
    return sum(line[f"{estimate}_low"] <= line[truth] <= line[f"{estimate}_high"] for line in lines)


def could_be_95_percent(covered, n):
    low, high = stats.binomtest(covered, n).proportion_ci(0.999, method="exact")
    return low <= 0.95 <= high


# ---------------------------------------------------------------- the proof in short


def test_the_interval_holds_the_truth_and_fails_where_it_must(bench, tmp_path):
    assert bench.main(["--quick", "--results", str(tmp_path)]) == 0
    sound = read_file(tmp_path / "coverage-sound.jsonl")
    assert len(sound) == 200
    for estimate, truth in (("mean", "points_all"), ("mean", "points_retained"), ("g_av", "g_av_retained")):
        assert could_be_95_percent(count_covered(sound, estimate, truth), len(sound)), (estimate, truth)
    assert len({line["points_all"] for line in sound}) == 200  # every replication has a truth of its own

    # Whoever scores low by bad luck leaves: those who stay had good luck, and seem to gain less than they do.
    leaving = read_file(tmp_path / "coverage-attrition_observed.jsonl")
    assert count_covered(leaving, "mean", "points_all") < 0.85 * len(leaving)
    assert np.mean([line["mean"] - line["points_all"] for line in leaving]) < -0.1
    assert could_be_95_percent(count_covered(leaving, "adjusted", "points_all"), len(leaving))


@pytest.mark.slow
@pytest.mark.coverage_proof
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "attrition_observed"])
def test_every_scenario_covers(bench, tmp_path, scenario):
    path = tmp_path / "lines.jsonl"
    bench.go_on(path, scenario=scenario, wanted=[("drawn", seed) for seed in range(50_000, 50_500)])
    lines = read_file(path)
    assert could_be_95_percent(count_covered(lines, "mean", "points_all"), 500)
    assert could_be_95_percent(count_covered(lines, "mean", "points_retained"), 500)
    assert could_be_95_percent(count_covered(lines, "g_av", "g_av_retained"), 500)
    spread = np.std([line["mean"] - line["points_retained"] for line in lines])
    assert np.mean([line["mean_se"] for line in lines]) == pytest.approx(spread, rel=0.11)  # 500: 3.2 % each way
    if scenario == "no_change":
        assert {line["points_all"] for line in lines} == {0.0}
        assert could_be_95_percent(sum(line["p"] >= 0.05 for line in lines), 500)


@pytest.mark.slow
@pytest.mark.coverage_proof
def test_a_replication_through_the_files_tells_of_both_phases(bench):
    one, two = bench.replicate("files", scenario="sound", seed=3)
    assert (one["phase"], two["phase"]) == ("I", "II")
    for line in (one, two):
        assert line["n_pairs"] > 200
        assert 0.1 < line["n_leavers"] / line["n_pairs"] < 0.4
        assert abs(line["mean"] - line["points_retained"]) < 4 * line["mean_se"]


# ---------------------------------------------------------------- the bench


def test_a_proof_that_was_stopped_goes_on(bench, tmp_path):
    stopped, straight = tmp_path / "stopped.jsonl", tmp_path / "straight.jsonl"
    wanted = [("drawn", seed) for seed in range(4)]
    bench.go_on(stopped, scenario="sound", wanted=wanted[:3])
    stopped.write_text(stopped.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    bench.go_on(stopped, scenario="sound", wanted=wanted)
    bench.go_on(straight, scenario="sound", wanted=wanted)
    assert stopped.read_text(encoding="utf-8") == straight.read_text(encoding="utf-8")
    assert len(read_file(stopped)) == 4


def test_lines_of_other_code_are_moved_aside_and_never_counted(bench, tmp_path):
    path = tmp_path / "lines.jsonl"
    bench.go_on(path, scenario="sound", wanted=[("drawn", 0)])
    (good,) = read_file(path)
    path.write_text(json.dumps(good | {"mark": "other", "seed": 1}) + "\n" + json.dumps(good) + "\n", encoding="utf-8")
    assert list(bench.read_lines(path)) == [("drawn", 0, "II")]
    bench.go_on(path, scenario="sound", wanted=[("drawn", 0)])
    assert read_file(path) == [good]
    assert [line["mark"] for line in read_file(path.with_suffix(".aside.jsonl"))] == ["other", good["mark"]]


def test_the_summary_by_hand(bench):
    line = {"route": "drawn", "phase": "II", "points_all": 1.0, "points_retained": 1.0, "points_observed_retained": 1.0}
    line |= {"g_av_all": 0.3, "g_av_retained": 0.3}
    lines = []
    for mean, p in ((0.0, 1.0), (1.0, 0.04), (2.5, 0.001)):
        ends = {"": mean, "_se": 0.5, "_low": mean - 0.9, "_high": mean + 0.9}
        found = {f"{name}{end}": value for name in ("mean", "g_av", "adjusted") for end, value in ends.items()}
        lines.append(line | found | {"p": p})
    row = bench.summarise(lines, scenario="sound").iloc[0]
    assert (row["n"], row["covered"], row["rejected"]) == (3, pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert row["low"] == pytest.approx(1 - 0.995 ** (1 / 3))  # Clopper-Pearson: P(one or more of three) = 0.005
    assert row["bias"] == pytest.approx(0.5 / 3)
    errors = np.array([-1.0, 0.0, 1.5])
    assert row["bias_error"] == pytest.approx(errors.std(ddof=1) / np.sqrt(3))
    assert row["se_ratio"] == pytest.approx(0.5 / errors.std(ddof=1))


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "held"),
        ({"covered": 0.929}, "missed"),
        ({"covered": 0.971}, "missed"),
        ({"n": 200, "low": 0.88, "high": 0.96}, "held"),
        ({"n": 200, "low": 0.82, "high": 0.94}, "missed"),
        ({"route": "files", "n": 100, "low": 0.82, "high": 0.94}, "missed"),
        ({"scenario": "attrition_observed", "high": 0.80}, "held"),
        ({"scenario": "attrition_observed"}, "missed"),
        ({"estimate": "adjusted"}, ""),
        ({"route": "300 in schools of 3", "covered": 0.5}, ""),
        ({"route": "files", "phase": "I", "n": 100, "high": 0.5}, ""),
    ],
)
def test_a_bar_can_be_missed(bench, changed, verdict):
    row = {"scenario": "sound", "route": "drawn", "phase": "II", "estimate": "mean", "truth": "points_all"}
    row |= {"n": 2000, "covered": 0.95, "low": 0.937, "high": 0.962}
    assert bench.judge_row(row | changed) == verdict


def test_an_unfinished_proof_is_none(bench, tmp_path, capsys):
    bench.go_on(tmp_path / "coverage-sound.jsonl", scenario="sound", wanted=[("drawn", 0), ("drawn", 1)])
    asked = ["--scenario", "sound", "--replications", "20", "--summary", "--results", str(tmp_path)]
    assert bench.main(asked) == 1
    assert "not complete: 59 replications have not run" in capsys.readouterr().out  # 3 × 20 and one through the files
