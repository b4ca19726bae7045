"""Links: constants against plink and equateIRT, drift by hand and planted, verdicts at their bounds, gates, records."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from bgtk_lib.errors import LinkageError, ParameterError
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.irt.calibrate import fit_items
from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.linking.anchors import (
    DRIFT_COLUMNS,
    RULES,
    Located,
    compare_located,
    estimate_linking_error,
    find_drift,
    locate_anchors,
    score_robustly,
)
from bgtk_lib.linking.compare import compare_forms
from bgtk_lib.linking.constants import Points, estimate_constants, find_constants, list_parameters, locate
from bgtk_lib.linking.gates import cross_forms, judge_linked, judge_pooling
from bgtk_lib.linking.groups import GROUP_COLUMNS, STEP_COLUMNS, compare_groups, compare_steps
from bgtk_lib.linking.joint import calibrate_together, fix_anchors
from bgtk_lib.linking.link import ANCHOR_COLUMNS, link_forms, link_scores
from bgtk_lib.linking.persons import link_persons
from bgtk_lib.linking.quality import compare_spread
from bgtk_lib.linking.record import fingerprint_link, read_link, write_link
from bgtk_lib.scoring.conversion import CONVERSION_COLUMNS, convert_scores
from bgtk_lib.scoring.scale import Scale
from bgtk_lib.words import sentences

SHARED = Path(os.environ.get("BGTK_SHARED", Path(__file__).parents[2] / "shared"))
METHODS = ("mean_mean", "mean_sigma", "haebara", "stocking_lord")
EXACT = 1e-9  # closed formulas in double precision, and least squares stopped at 1e-12


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


@pytest.fixture(scope="module")
def reference():
    path = SHARED / "reference/linking_built/linking.json"
    if not path.exists():
        pytest.skip("linking.json is not on this machine")
    return json.loads(path.read_text())


# ------------------------------------------------------------------ what the tests link


@dataclass(frozen=True, kw_only=True, eq=False)
class GuessingCurves(Curves):
    """Curves with a lower asymptote, which the library does not fit but the published example has."""

    guessing: np.ndarray

    def probabilities(self, theta):
        wrong, right = np.moveaxis(super().probabilities(theta), 1, 0)
        c = self.guessing[:, None]
        return np.stack([(1 - c) * wrong, c + (1 - c) * right], axis=1)

    def rescale(self, *, slope, shift):
        moved = super().rescale(slope=slope, shift=shift)
        return replace(self, slopes=moved.slopes, intercepts=moved.intercepts)


def make_curves(b, a=None, *, names=None, kind="2pl"):
    """Return curves with given difficulties: one an item, or a list of steps."""
    steps = [np.atleast_1d(one).astype(float) for one in b]
    a = np.ones(len(steps)) if a is None else np.asarray(a, dtype=float)
    d = np.full((len(steps), max(map(len, steps))), np.nan)
    for row, one in enumerate(steps):
        d[row, : len(one)] = -a[row] * (one if kind == "grm" else np.cumsum(one))
    names = names or [f"b{number}" for number in range(len(steps))]
    return Curves(item_ids=tuple(names), slopes=a, intercepts=d, graded=np.full(len(steps), kind == "grm"))


def make_calibration(curves, *, model="rasch", error=0.1, common=0.0, n=1000, converged=True, lost=()):
    """Return a calibration with independent errors of its parameters, and one that all intercepts share."""
    free = [(name, at) for at, name in enumerate(curves.item_ids)]
    names = [f"a:{name}" for name, _ in free] if model not in ("rasch", "pcm") else []
    names += [f"d{step}:{name}" for name, at in free for step in range(1, curves.highest[at] + 1)]
    shares = np.array([not name.startswith("a") for name in names], dtype=float)
    covariance = np.diag(np.full(len(names), error**2)) + common**2 * np.outer(shares, shares)
    names.append("sd:all")
    covariance = np.pad(covariance, (0, 1))
    return SimpleNamespace(
        model=model,
        curves=curves,
        items=pd.DataFrame({"item_id": pd.Series([*curves.item_ids, *lost], dtype="str")}),
        covariance=pd.DataFrame(covariance, index=names, columns=names),
        groups=pd.DataFrame({"group": ["all"], "mean": [0.0], "sd": [1.0]}),
        n_persons=n,
        converged=converged,
    )


def make_forms(n_anchors=12, *, moves=(), n_other=18, shift=0.3, spread=1.5, **facts):
    """Return Rasch calibrations of two forms: anchors first, moved as said, on a post scale `shift` lower."""
    moved = np.zeros(n_anchors)
    moved[: len(moves)] = moves
    b, rest = np.linspace(-spread, spread, n_anchors), np.linspace(-spread, spread, n_other)
    anchors = [f"anchor{number:02d}" for number in range(n_anchors)]
    pre = make_curves([*b, *rest], names=[*anchors, *(f"old{number}" for number in range(n_other))])
    post = make_curves(
        [*(b + moved - shift), *(rest - shift)], names=[*anchors, *(f"new{number}" for number in range(n_other))]
    )
    return make_calibration(pre, **facts), make_calibration(post, **facts)


def make_link(n_anchors=24, **facts):
    return link_forms(*make_forms(n_anchors, **facts), forms=("F1", "F2"))


def place(b, *, a=None, error=0.1, covariance=None):
    n = len(b)
    full = np.zeros((2 * n, 2 * n))
    full[n:, n:] = np.diag(np.full(n, error**2)) if covariance is None else covariance
    units = tuple((f"b{number}", 0) for number in range(n))
    return Located(units=units, a=np.ones(n) if a is None else np.asarray(a), b=np.asarray(b), covariance=full)


def draw_credit(rng, theta, b, *, a=1.0, names):
    return pd.DataFrame(
        (rng.random((len(theta), len(b))) < expit(a * (theta[:, None] - b))).astype(float), columns=names
    )


@pytest.fixture(scope="module")
def drawn():
    """Two forms of 20 items with 12 anchors: the first 0.9 harder, the second 0.9 easier; 2,000 persons, 0.3 higher after."""
    rng = np.random.default_rng(7)
    b = rng.permutation(np.linspace(-1.6, 1.6, 20))
    later = np.concatenate([b[:12] + np.array([0.9, -0.9] + [0.0] * 10), np.linspace(-1, 1, 8)])
    anchors = [f"anchor{number:02d}" for number in range(12)]
    names = [[*anchors, *(f"{form}{number}" for number in range(8))] for form in ("old", "new")]
    theta = rng.normal(0, 1, 2000), rng.normal(0.3, 1.2, 2000)
    credit = [
        draw_credit(rng, *pair, names=own) for pair, own in zip(zip(theta, (b, later), strict=True), names, strict=True)
    ]
    return SimpleNamespace(
        credit=credit,
        rasch=[fit_items(one, model="rasch") for one in credit],
        two=[fit_items(one, model="2pl") for one in credit],
        truth=theta[1].mean() - theta[0].mean(),
    )


# ------------------------------------------------------------------ constants


@pytest.fixture
def kolen_brennan(reference):
    """Table 6.5 of Kolen & Brennan (2004): pre is the old form; D = 1.7."""
    book = reference["KB04"]
    common = pd.DataFrame(book["common"]) - 1
    sides = []
    for form, at in (("old", common["form.y"]), ("new", common["form.x"])):
        pars = pd.DataFrame(book[form]).iloc[at]
        a = 1.7 * pars["a"].to_numpy()
        plain = make_curves(pars["b"], a)
        sides.append(GuessingCurves(**vars(plain), guessing=pars["c"].to_numpy()))
    return sides


@pytest.mark.parametrize("variant", ["default", "quad"])
def test_constants_agree_with_plink(reference, kolen_brennan, variant):
    """One-sided on 40 even points, and symmetric on 61 Gauss-Hermite points; plink prints six digits, the last one not always rounded."""
    points = {"default": (Points.spread_evenly(-4, 4, n=40),), "quad": (Points.take_normal(n=61),) * 2}[variant]
    for method, theirs in zip(METHODS, reference["KB04"][f"constants_{variant}"], strict=True):
        ours = find_constants(*kolen_brennan, method=method, points=points)
        assert (ours.slope, ours.shift) == (pytest.approx(theirs["A"], abs=1e-6), pytest.approx(theirs["B"], abs=1e-6))


def test_constants_agree_with_equateirt(reference):
    tables = [pd.DataFrame(one).set_index("name") for one in reference["equateIRT_est2pl_coef"]]
    common = [name for name in tables[0].index if name in tables[1].index]
    post, pre = (
        make_curves(-table["X.Intercept."] / table["z1"], table["z1"].to_numpy(), names=common)
        for table in (one.loc[common] for one in tables)
    )
    theirs = reference["equateIRT_est2pl_T1_T2"]
    for method, name in zip(METHODS, ("mean-mean", "mean-sigma", "Haebara", "Stocking-Lord"), strict=True):
        ours = find_constants(pre, post, method=method)  # 30 points of N(0, 1), one-sided: equateIRT's own default
        near = 1e-12 if method.startswith("mean") else 2e-9  # where its optimiser stops
        assert ours.slope == pytest.approx(theirs[name]["A"], abs=near)
        assert ours.shift == pytest.approx(theirs[name]["B"], abs=near)


def test_constants_by_hand():
    pre, post = make_curves([-1.0, 1.0], [1.0, 2.0]), make_curves([-1.0, 3.0], [2.0, 2.0])
    mean = find_constants(pre, post)
    assert (mean.slope, mean.shift) == (pytest.approx(2 / 1.5), pytest.approx(0 - 2 / 1.5 * 1))
    sigma = find_constants(pre, post, method="mean_sigma")
    assert (sigma.slope, sigma.shift) == (pytest.approx(0.5), pytest.approx(-0.5))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["2pl", "gpcm", "grm"])
def test_what_differs_by_a_line_only_gives_that_line(kind, method, rng):
    b = rng.normal(size=6) if kind == "2pl" else [np.sort(rng.normal(size=n)) for n in (1, 2, 3, 3, 2, 4)]
    pre = make_curves(b, np.exp(0.3 * rng.normal(size=6)), kind=kind)
    post = pre.rescale(slope=1 / 1.3, shift=-0.4 / 1.3)
    found = find_constants(pre, post, method=method)
    assert (found.slope, found.shift) == (pytest.approx(1.3, abs=1e-7), pytest.approx(0.4, abs=1e-7))


@pytest.mark.parametrize("method", ["mean_mean", "haebara", "stocking_lord"])
def test_a_symmetric_link_turned_round_is_its_inverse(method, rng):
    pre, post = (make_curves(rng.normal(size=8), np.exp(0.3 * rng.normal(size=8))) for _ in range(2))
    points = (Points.take_normal(), Points.take_normal(0.2, 1.1))
    there = find_constants(pre, post, method=method, points=points)
    back = find_constants(post, pre, method=method, points=points[::-1])
    assert back.slope == pytest.approx(1 / there.slope, abs=1e-7)
    assert back.shift == pytest.approx(-there.shift / there.slope, abs=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_a_known_slope_stays(method, rng):
    pre, post = make_curves(rng.normal(size=8)), make_curves(rng.normal(size=8))
    found = find_constants(pre, post, method=method, slope=1.0)
    assert found.slope == 1.0
    if method.startswith("mean"):
        assert found.shift == pytest.approx((locate(pre) - locate(post)).mean())


@pytest.mark.parametrize("method", METHODS)
def test_empty_columns_of_other_items_do_not_matter(method):
    names = ["b0", "b1", "b2"]
    pre = make_curves([-1.0, 0.2, 1.0], [1.0, 1.2, 0.8], names=names)
    post = make_curves([-1.2, 0.1, 0.7, [0.0, 1.0]], [1.1, 1.0, 0.9, 1.0], names=[*names, "long"]).take(names)
    assert post.intercepts.shape == (3, 2)
    found = find_constants(pre, post, method=method)
    narrow = find_constants(pre, replace(post, intercepts=post.intercepts[:, :1]), method=method)
    assert found == narrow


def test_constants_that_cannot_be_computed_are_withheld():
    none = make_curves([0.0]).take([])
    assert isinstance(find_constants(none, none), Withheld)
    one = make_curves([0.5])
    assert isinstance(find_constants(one, one, method="mean_sigma"), Withheld)
    assert isinstance(find_constants(one, make_curves([0.5], [-1.0])), Withheld)
    assert isinstance(find_constants(one, make_curves([0.5], [0.0])), Withheld)
    with pytest.raises(LinkageError, match="differ"):
        find_constants(one, make_curves([0.5], names=["other"]))
    with pytest.raises(ParameterError, match="fixed_anchor"):
        link_forms(*make_forms(), forms=("F1", "F2"), method="fixed_anchor")


@pytest.mark.parametrize("method", METHODS)
def test_standard_errors_of_the_line_are_those_of_repeated_estimates(method, rng):
    """Parameters drawn from their covariance 150 times: an SD of 150 is known to 6 %, three times that is allowed."""
    pre = make_calibration(make_curves(rng.normal(size=10), np.exp(0.3 * rng.normal(size=10))), model="2pl", error=0.02)
    post = make_calibration(pre.curves.rescale(slope=0.8, shift=0.3), model="2pl", error=0.03)
    items = list(pre.curves.item_ids)
    found = estimate_constants(pre, post, items=items, method=method)
    lines = []
    for _ in range(150):
        shaken = [
            replace(
                one.curves, slopes=one.curves.slopes + noise[0], intercepts=one.curves.intercepts + noise[1][:, None]
            )
            for one, noise in ((pre, rng.normal(0, 0.02, (2, 10))), (post, rng.normal(0, 0.03, (2, 10))))
        ]
        line = find_constants(*shaken, method=method)
        lines.append([line.slope, line.shift])
    assert [found.slope_se, found.shift_se] == pytest.approx(np.std(lines, axis=0), rel=0.18)


def test_the_error_of_a_rasch_shift_by_hand():
    pre, post = make_forms(10, error=0.2, common=0.05)
    found = estimate_constants(pre, post, items=list(pre.curves.item_ids[:10]), method="mean_mean")
    assert (found.slope, found.slope_se) == (1.0, 0.0)
    assert found.shift == pytest.approx(0.3)
    assert found.shift_se == pytest.approx(np.sqrt(2 * (0.2**2 / 10 + 0.05**2)), rel=1e-6)  # central differences


def test_parameters_of_groups_are_none_of_items():
    calibration = make_calibration(make_curves([[0.0, 1.0], 0.5], names=["all", "x:y"]), model="gpcm")
    assert list_parameters(calibration, ["all"]) == {"a:all": ("all", 0), "d1:all": ("all", 1), "d2:all": ("all", 2)}
    assert set(list_parameters(calibration, ["x:y"])) == {"a:x:y", "d1:x:y"}


# ------------------------------------------------------------------ drift


@pytest.mark.parametrize("by", ["item", "step"])
@pytest.mark.parametrize("kind", ["gpcm", "grm"])
def test_covariance_of_difficulties_is_that_of_small_changes(kind, by, rng):
    """Each parameter moved by 1e-6: the difficulties move as the delta method says."""
    curves = make_curves([0.3, [-1.0, 0.5], [-1.0, 0.1, 0.9]], [0.7, 1.0, 1.6], kind=kind)
    calibration = make_calibration(curves, model=kind)
    root = rng.normal(size=(len(calibration.covariance), len(calibration.covariance)))
    known = pd.DataFrame(root @ root.T, index=calibration.covariance.index, columns=calibration.covariance.columns)
    calibration.covariance = known
    found = locate_anchors(calibration, curves.item_ids, by=by)

    def spell(curves):
        steps = [(at, step) for at, highest in enumerate(curves.highest) for step in range(highest)]
        if by == "step":
            return np.array([*(curves.slopes[at] for at, _ in steps), *(curves.difficulties[one] for one in steps)])
        return np.concatenate([curves.slopes, locate(curves)])

    turns = []
    for name in known.index[:-1]:
        part, _, item = name.partition(":")
        at, slopes, intercepts = curves.item_ids.index(item), curves.slopes.copy(), curves.intercepts.copy()
        if part == "a":
            slopes[at] += 1e-6
        else:
            intercepts[at, int(part[1:]) - 1] += 1e-6
        turns.append((spell(replace(curves, slopes=slopes, intercepts=intercepts)) - spell(curves)) / 1e-6)
    by_hand = np.array(turns).T @ known.to_numpy()[:-1, :-1] @ np.array(turns)
    assert np.concatenate([found.a, found.b]) == pytest.approx(spell(curves))
    assert found.covariance == pytest.approx(by_hand, rel=1e-4, abs=1e-4)


def test_a_move_is_measured_against_the_others_by_hand():
    pre, post = place([-1.0, 0.0, 1.0], error=0.1), place([-1.0, 0.3, 1.2], error=0.2)
    moved = compare_located(pre, post, kept=["b0", "b1", "b2"])
    assert moved.b == pytest.approx([0 - 0.25, 0.3 - 0.1, 0.2 - 0.15])
    assert moved.b_se == pytest.approx(np.sqrt((0.1**2 + 0.2**2) * 1.5))
    outside = compare_located(pre, post, kept=["b0", "b1"])
    assert outside.b == pytest.approx([-0.3, 0.3, 0.05])
    assert outside.b_se == pytest.approx(np.sqrt((0.1**2 + 0.2**2) * np.array([2, 2, 1.5])))


def test_what_all_difficulties_share_cancels():
    apart = np.diag([0.01, 0.02, 0.03, 0.04])
    pre, post = place([-1.0, 0, 1, 2]), place([-1.0, 0.2, 1, 2])
    alone, shared = (
        compare_located(replace(pre, covariance=one), replace(post, covariance=one), kept=["b0", "b1", "b2", "b3"])
        for one in (place(pre.b, covariance=apart).covariance, place(pre.b, covariance=apart + 0.5).covariance)
    )
    assert shared.b_se == pytest.approx(alone.b_se)


def test_errors_of_moves_with_slopes_are_those_of_repeated_estimates(rng):
    """600 draws: an SD is known to 3 %; four times that is allowed for the largest of 16."""
    n = 8
    root = 0.01 * rng.normal(size=(2 * n, 2 * n))
    a, b = np.exp(0.2 * rng.normal(size=n)), rng.normal(size=n)
    units = tuple((f"b{number}", 0) for number in range(n))
    sides = [Located(units=units, a=a / s, b=s * b + 0.2, covariance=root @ root.T) for s in (1.0, 1.2)]
    kept = [item for item, _ in units[:-1]]
    found = compare_located(*sides, kept=kept)
    draws = []
    for _ in range(600):
        shaken = []
        for side in sides:
            noise = root @ rng.normal(size=2 * n)
            shaken.append(replace(side, a=side.a + noise[:n], b=side.b + noise[n:]))
        moved = compare_located(*shaken, kept=kept)
        draws.append([moved.b, moved.log_a])
    assert np.abs(found.b).max() < EXACT
    assert np.array([found.b_se, found.log_a_se]) == pytest.approx(np.std(draws, axis=0), rel=0.12)


def test_the_largest_move_goes_first_and_drags_no_sound_anchor_along():
    """Two anchors became easier: the others seem harder, and more so before the second one is dropped."""
    pre = place(np.linspace(-1.5, 1.5, 10))
    post = replace(pre, b=pre.b - np.array([1.0, 1.4] + [0.0] * 8))
    found = find_drift(pre, post)
    assert found["state"].tolist() == ["dropped"] * 2 + ["kept"] * 8
    assert found["step"].tolist()[:2] == [2, 1]
    assert found["step"].isna().sum() == 8
    assert found["difference"].tolist() == pytest.approx([-1.0, -1.4] + [0.0] * 8)
    assert list(found.columns) == DRIFT_COLUMNS


@pytest.mark.parametrize(
    ("move", "error", "state"),
    [
        (0.51, 0.1, "dropped"),
        (0.49, 0.1, "review"),
        (0.31, 0.1, "review"),
        (0.29, 0.1, "kept"),
        (0.9, 0.9 / 2.59 / np.sqrt(2 * 1.1), "review"),
        (0.9, 0.9 / 2.61 / np.sqrt(2 * 1.1), "dropped"),
        (0.9, 0.9 / 1.95 / np.sqrt(2 * 1.1), "kept"),
        (0.9, 0.9 / 1.97 / np.sqrt(2 * 1.1), "review"),
        (2.0, np.nan, "review"),
        (0.2, np.nan, "kept"),
    ],
)
def test_both_size_and_certainty_are_needed(move, error, state):
    """11 anchors: the variance of one against ten others is 2 · error² · 1.1."""
    pre = place(np.linspace(-1, 1, 11), error=error)
    found = find_drift(pre, replace(pre, b=pre.b + np.eye(11)[3] * move))
    assert found["state"].tolist() == ["kept"] * 3 + [state] + ["kept"] * 7
    assert found["z"].isna().all() == bool(np.isnan(error))


def test_three_anchors_are_left():
    pre = place(np.zeros(4), error=0.01)
    found = find_drift(pre, replace(pre, b=np.array([0.0, 2.0, 4.0, 8.0])))
    assert (found["state"] == "dropped").sum() == 1


def test_robust_z_by_hand():
    moves = np.array([0.1, -0.2, 0.0, 0.3, 1.5])
    assert score_robustly(moves) == pytest.approx((moves - 0.1) / (0.74 * 0.3))
    assert np.isnan(score_robustly(np.zeros(5))).all()
    assert len(score_robustly(np.zeros(0))) == 0


def test_linking_error_is_that_of_pisa():
    moves = np.array([0.2, -0.1, 0.3, 0.0])
    assert estimate_linking_error(moves) == pytest.approx(np.sqrt(moves.var(ddof=1) / 4))
    assert estimate_linking_error(moves + 5) == pytest.approx(estimate_linking_error(moves))


def test_drift_of_steps_averages_to_that_of_the_item(rng):
    b = [np.sort(rng.normal(size=3)) for _ in range(6)]
    shifted = [one + (0.6 * np.eye(3)[1] if at == 2 else 0.0) for at, one in enumerate(b)]
    pre, post = (make_calibration(make_curves(one), model="pcm") for one in (b, shifted))
    items = list(pre.curves.item_ids)
    steps = compare_steps(pre, post, items=items, kept=items)
    whole = compare_located(*(locate_anchors(one, items) for one in (pre, post)), kept=items)
    assert steps.groupby("item_id")["difference"].mean().to_numpy() == pytest.approx(whole.b)
    assert list(steps.columns) == STEP_COLUMNS
    mine = steps[steps["item_id"] == "b2"]
    assert mine["difference"].tolist() == pytest.approx([0.0, 0.6, 0.0])


def test_drift_of_coached_districts_only():
    sound, leaked = make_forms(12, error=0.05), make_forms(12, moves=[0.0, -0.9, -0.45], error=0.05)
    found = compare_groups(leaked, sound, items=[f"anchor{number:02d}" for number in range(12)] + ["nowhere"])
    assert list(found.columns) == GROUP_COLUMNS
    assert found["item_id"].tolist() == [f"anchor{number:02d}" for number in range(12)]
    assert found["state"].tolist()[:4] == ["same", "differs", "review", "same"]
    assert found["gap"].tolist() == pytest.approx((found["exposed"] - found["others"]).tolist())
    assert found["gap_se"].tolist() == pytest.approx(np.hypot(found["exposed_se"], found["others_se"]).tolist())
    alike = compare_groups(leaked, leaked, items=found["item_id"].tolist())
    assert alike["gap"].abs().max() < EXACT


# ------------------------------------------------------------------ how alike the difficulties are


def test_estimation_error_is_taken_out_of_correlation_and_spread(rng):
    """800 sets of 12: medians over sets come back to the truth, those of the raw figures do not."""
    raw, free = [], []
    for _ in range(800):
        b = rng.normal(size=12)
        sides = [place(b + rng.normal(0, error, 12), error=error) for error in (0.3, 0.5)]
        raw.append([np.corrcoef(sides[0].b, sides[1].b)[0, 1], sides[1].b.std() / sides[0].b.std()])
        free.append(compare_spread(*sides, kept=[item for item, _ in sides[0].units]))
    known = [one for one in free if not isinstance(one[0], Withheld)]
    assert len(known) > 780
    assert np.median(raw, axis=0)[0] < 0.9
    assert np.median(known, axis=0) == pytest.approx([1.0, 1.0], abs=0.03)
    assert np.median(raw, axis=0)[1] > 1.05


def test_a_spread_that_error_explains_is_withheld():
    pre = place([0.0, 0.1, 0.2], error=0.5)
    for one in compare_spread(pre, pre, kept=["b0", "b1", "b2"]):
        assert isinstance(one, Withheld)
    for one in compare_spread(pre, pre, kept=["b0", "b1"]):
        assert isinstance(one, Withheld)
    unknown = compare_spread(place([0.0, 1.0, 2.0], error=np.nan), pre, kept=["b0", "b1", "b2"])
    assert unknown[0].reason != compare_spread(pre, pre, kept=["b0", "b1", "b2"])[0].reason


def test_errors_shared_by_all_difficulties_are_no_error_of_their_spread():
    pre, post, kept = np.array([-1.0, 0.0, 1.0, 2.0]), np.array([-1.0, 1.0, 0.0, 3.0]), ["b0", "b1", "b2", "b3"]
    alone, shared = (
        compare_spread(place(pre, covariance=one), place(post, covariance=one), kept=kept)
        for one in (np.eye(4) * 0.01, np.eye(4) * 0.01 + 0.5)
    )
    assert shared == pytest.approx(alone)
    assert alone == pytest.approx(
        (11 / 6 / np.sqrt((5 / 3 - 0.01) * (35 / 12 - 0.01)), np.sqrt((35 / 12 - 0.01) / (5 / 3 - 0.01)))
    )
    scaled = compare_spread(
        place(pre, covariance=np.eye(4) * 0.01), place(post, covariance=np.eye(4) * 0.01), kept=kept, slope=0.5
    )
    assert scaled == pytest.approx((alone[0], alone[1] / 2))


# ------------------------------------------------------------------ verdicts


def keys_of(link):
    """The keys of the sentences a verdict rests on, found by their Indonesian beginning."""
    found = []
    for reason in link.reasons:
        for key, both in sentences().items():
            pieces = [piece for piece in both["en"].replace("{", "}").split("}")[::2] if piece.strip()]
            known = key.startswith(("linking.note.", "linking.not_yet.", "linking.no_true_variance"))
            if known and all(piece in reason.en for piece in pieces):
                found.append(key.removeprefix("linking."))
                break
    return found


def test_a_sound_link_says_yes():
    link = make_link()
    assert (link.verdict, link.reasons, link.design, link.method) == ("yes", (), "common_item", "mean_mean")
    assert (link.slope, link.shift) == (1.0, pytest.approx(0.3))
    assert (link.n_anchors, link.n_kept, len(link.kept)) == (24, 24, 24)
    assert link.linking_error == pytest.approx(0.0, abs=EXACT)
    assert (link.with_all.shift, link.with_all.linking_error) == (link.shift, link.linking_error)
    assert list(link.anchors.columns) == ANCHOR_COLUMNS
    assert (link.anchors["b_post"] - link.anchors["b_pre"]).abs().max() < EXACT


@pytest.mark.parametrize(
    ("facts", "verdict", "keys"),
    [
        ({"n_anchors": 20}, "yes", []),
        ({"n_anchors": 19}, "yes_with_notes", ["note.below_wanted"]),
        ({"n_anchors": 10}, "yes_with_notes", ["note.below_wanted"]),
        ({"n_anchors": 9}, "not_yet", ["not_yet.few_anchors", "note.below_wanted"]),
        ({"n_anchors": 25, "moves": [1.0] * 5}, "yes_with_notes", ["note.dropped"]),
        ({"n_anchors": 25, "moves": [1.0] * 6}, "not_yet", ["not_yet.dropped", "note.dropped", "note.below_wanted"]),
        ({"n_anchors": 24, "moves": [0.4]}, "yes_with_notes", ["note.review"]),
        ({"n_anchors": 24, "converged": False}, "not_yet", ["not_yet.converged"]),
        ({"n_anchors": 24, "n": 249}, "yes_with_notes", ["note.few_persons"]),
        ({"n_anchors": 24, "n": 250}, "yes", []),
        ({"n_anchors": 24, "n_other": 96}, "yes", []),
        ({"n_anchors": 24, "n_other": 97}, "yes_with_notes", ["note.below_wanted"]),
        ({"n_anchors": 24, "spread": 0.1}, "yes_with_notes", ["no_true_variance"]),
        ({"n_anchors": 24, "error": 0.49}, "yes", []),
        ({"n_anchors": 24, "error": np.nan}, "not_yet", ["not_yet.no_errors"]),
    ],
)
def test_verdicts_at_their_bounds(facts, verdict, keys):
    link = make_link(**facts)
    assert (link.verdict, keys_of(link)) == (verdict, keys)


def test_the_smaller_number_of_persons_is_told():
    pre, post = make_forms(24)
    post.n_persons = 111
    for pair in ((pre, post), (post, pre)):
        assert "There were 111 persons" in link_forms(*pair, forms=("F1", "F2")).reasons[0].en


def test_dropped_anchors_are_told_and_both_links_shown():
    link = make_link(moves=[1.0, -0.8, 0.7])
    assert link.kept == [f"anchor{number:02d}" for number in range(3, 24)]
    assert (link.shift, link.with_all.shift) == (pytest.approx(0.3), pytest.approx(0.3 - 0.9 / 24))
    assert link.linking_error < EXACT < link.with_all.linking_error
    assert link.anchors.set_index("item_id").loc["anchor01", "difference"] == pytest.approx(-0.8)
    (reason,) = link.reasons
    assert "anchor00, anchor01, anchor02" in reason.en
    assert "+0.30 logits apart, with all anchors +0.26" in reason.en
    assert "+0,30 logit" in reason.id


def test_unlike_difficulties_are_noted():
    """Five percent more or less spread than the bounds; the drift of outer items stays below that for review."""
    keys = []
    for factor in (0.88, 0.92, 1.08, 1.12):
        pre, _ = make_forms(24)
        post = make_calibration(replace(pre.curves, intercepts=pre.curves.intercepts * factor))
        keys.append(keys_of(link_forms(pre, post, forms=("F1", "F2"))))
    assert keys == [["note.sd_ratio"], [], [], ["note.sd_ratio"]]


def test_a_low_correlation_is_noted(rng):
    pre, _ = make_forms(24, error=0.01)
    b = locate(pre.curves)
    b[:24] += 0.29 * np.where(np.arange(24) % 2, 1, -1)
    narrow = make_calibration(make_curves(b / 2, names=pre.curves.item_ids), error=0.01)
    wide = make_calibration(make_curves(locate(pre.curves) / 2, names=pre.curves.item_ids), error=0.01)
    link = link_forms(wide, narrow, forms=("F1", "F2"), anchors=list(pre.curves.item_ids[:24]))
    assert "note.low_r" not in keys_of(link_forms(wide, wide, forms=("F1", "F2")))
    expected = np.corrcoef(locate(wide.curves)[:24], locate(narrow.curves)[:24])[0, 1]
    assert link.quality.r == pytest.approx(expected, abs=0.002)


def make_sheet(items, *, codes="XYZ", version=None):
    return pd.DataFrame(
        {
            "item_id": items,
            "item_version": version,
            "position": pd.array(range(1, len(items) + 1), dtype="Int64"),
            "framework": [codes[number % len(codes)] for number in range(len(items))],
        }
    )


def test_content_and_places_of_the_anchors():
    pre, post = make_forms(24, n_other=24)
    sheets = make_sheet(pre.curves.item_ids), make_sheet(post.curves.item_ids)
    link = link_forms(pre, post, forms=("F1", "F2"), sheets=sheets)
    assert (link.verdict, link.quality.content_gap, link.quality.uncovered) == ("yes", pytest.approx(0.0), ())
    assert (link.quality.order_r, link.quality.n_moved) == (pytest.approx(1.0), 0)
    assert link.anchors["framework"].tolist()[:3] == ["X", "Y", "Z"]
    assert link.anchors["position_post"].tolist() == list(range(1, 25))

    later = sheets[1].assign(position=sheets[1]["position"].to_numpy()[::-1])
    few = sheets[0].assign(framework=["X"] * 24 + ["Y"] * 12 + ["X"] * 12)
    link = link_forms(pre, post, forms=("F1", "F2"), sheets=(few, later.assign(framework=few["framework"])))
    assert (link.quality.content_gap, link.quality.uncovered) == (pytest.approx(0.25), ("Y",))
    assert link.quality.order_r == pytest.approx(-1.0)
    assert link.quality.n_moved == sum(abs(49 - 2 * position) > 16 for position in range(1, 25))
    assert keys_of(link) == ["note.content", "note.moved"]
    back = link_forms(post, pre, forms=("F2", "F1"), sheets=(later, few.assign(item_id=later["item_id"])))
    assert back.quality.n_moved == link.quality.n_moved

    other = link_forms(pre, post, forms=("F1", "F2"), sheets=(few, later.assign(framework="X")))
    assert (other.quality.content_gap, other.quality.uncovered) == (pytest.approx(0.125), ("Y",))
    unknown = link_forms(pre, post, forms=("F1", "F2"), sheets=(few.assign(framework=None), later))
    assert unknown.quality.content_gap is None


def test_easy_anchors_of_a_hard_form_are_noted():
    anchors = [f"anchor{number:02d}" for number in range(24)]
    b = np.linspace(-2, -1, 24)
    sides = [
        make_calibration(
            make_curves([*b, *np.linspace(0, 2, 24)], names=[*anchors, *(f"{form}{n}" for n in range(24))])
        )
        for form in ("old", "new")
    ]
    link = link_forms(*sides, forms=("F1", "F2"))
    assert link.quality.difficulty_gap_pre == pytest.approx(-1.5 + 0.5)
    assert link.quality.spread_ratio_pre < 1
    assert keys_of(link) == ["note.difficulty"]


def test_changed_discrimination_is_noted():
    names = [f"b{number}" for number in range(24)]
    b, a = np.linspace(-1.5, 1.5, 24), np.ones(24)
    pre = make_calibration(make_curves(b, a, names=names), model="2pl")
    post = make_calibration(make_curves(b, a + 0.6 * (np.arange(24) == 5), names=names), model="2pl")
    link = link_forms(pre, post, forms=("F1", "F2"))
    assert link.quality.n_other_slopes == 1
    assert "note.slopes" in keys_of(link)
    changed = link.anchors.set_index("item_id")["slope_ratio"]
    assert changed["b5"] == pytest.approx(1.6)
    assert make_link().quality.n_other_slopes is None, "the Rasch model has no slope that could change"


def test_anchors_that_cannot_be_compared_keep_their_row():
    pre, post = make_forms(24)
    steps = [
        [0.0, 1.0] if name == "anchor03" else one
        for name, one in zip(post.curves.item_ids, locate(post.curves), strict=True)
    ]
    post = make_calibration(make_curves(steps, names=post.curves.item_ids))
    post.curves = post.curves.take([name for name in post.curves.item_ids if name != "anchor04"])
    sheets = [make_sheet(one.items["item_id"], version="1") for one in (pre, post)]
    sheets[1].loc[sheets[1]["item_id"] == "anchor05", "item_version"] = "2"
    sheets[1].loc[sheets[1]["item_id"] == "anchor06", "item_version"] = None
    link = link_forms(
        pre, post, forms=("F1", "F2"), sheets=tuple(sheets), anchors=[*(f"anchor{n:02d}" for n in range(24)), "old1"]
    )
    rows = link.anchors.set_index("item_id")
    assert rows["note"].dropna().to_dict() == {
        "anchor03": "other_categories",
        "anchor04": "not_calibrated",
        "anchor05": "other_version",
        "old1": "not_in_both",
    }
    assert (rows.loc[rows["note"].notna(), "state"] == "not_compared").all()
    assert rows.loc[rows["note"].notna(), ["difference", "z", "robust_z"]].isna().all(axis=None)
    assert (link.n_anchors, link.n_kept) == (21, 21)
    assert "note.not_compared" in keys_of(link)


def test_an_anchor_that_cannot_be_located_makes_no_link():
    """Its slope is nearly flat: its difficulty is known to several logits only, and would decide the shift alone."""
    names = [f"b{number}" for number in range(24)]
    b, a = np.linspace(-1.5, 1.5, 24), np.where(np.arange(24) == 7, 0.05, 1.0)
    pre = make_calibration(make_curves(b, a, names=names), model="2pl")
    post = make_calibration(make_curves(b + 5 * (a < 1), a, names=names), model="2pl")
    link = link_forms(pre, post, forms=("F1", "F2"))
    assert link.anchors.loc[link.anchors["note"].notna(), ["item_id", "note"]].to_numpy().tolist() == [
        ["b7", "not_located"]
    ]
    assert (link.n_anchors, link.shift, link.linking_error) == (23, pytest.approx(0.0), pytest.approx(0.0, abs=EXACT))
    assert isinstance(make_link(error=0.51), Withheld)


def test_forms_that_cannot_be_linked_are_withheld_or_refused():
    pre, post = make_forms(2)
    assert isinstance(link_forms(pre, post, forms=("F1", "F2")), Withheld)
    assert isinstance(link_forms(*make_forms(12), forms=("F1", "F2"), anchors=[]), Withheld)
    empty = make_calibration(make_curves([0.0]).take([]))
    assert isinstance(link_forms(empty, post, forms=("F1", "F2")), Withheld)
    with pytest.raises(LinkageError, match="different models"):
        link_forms(pre, make_calibration(post.curves, model="2pl"), forms=("F1", "F2"))


def test_the_same_form_keeps_its_scale_and_all_its_items():
    pre, post = make_forms(12, moves=[0, 0, 0, 0, 0, 1.0], n_other=0)
    link = link_forms(pre, post, forms=("F1", "F1"))
    assert (link.design, link.method, link.slope, link.shift) == ("same_form", "none", 1.0, 0.0)
    assert (link.n_kept, link.verdict, keys_of(link)) == (12, "yes_with_notes", ["note.review"])
    moves = np.array([1.0] + [0.0] * 11)
    assert link.linking_error == pytest.approx(moves.std(ddof=1) / np.sqrt(12))
    assert link.anchors["b_post"].sum() == pytest.approx(link.anchors["b_pre"].sum()), "shown on the pre scale"
    assert link.carry_curves(pre.curves).intercepts == pytest.approx(pre.curves.intercepts)
    assert link_forms(*make_forms(5, n_other=0), forms=("F1", "F1")).verdict == "yes", (
        "no number of anchors is asked for"
    )


def test_a_link_carries_only_the_curves_it_was_made_for():
    pre, post = make_forms(24)
    link = link_forms(pre, post, forms=("F1", "F2"))
    assert locate(link.carry_curves(post.curves))[:24] == pytest.approx(locate(pre.curves)[:24])
    with pytest.raises(LinkageError, match="another calibration"):
        link.carry_curves(post.curves.rescale(slope=1.0, shift=0.001))


# ------------------------------------------------------------------ through the calibration


def test_planted_drift_is_found_and_the_shift_comes_back(drawn):
    for pair, spread in ((drawn.rasch, 1.0), (drawn.two, 1.2)):
        link = link_forms(*pair, forms=("F1", "F2"))
        rows = link.anchors.set_index("item_id")
        assert set(rows.index[rows["state"] == "dropped"]) == {"anchor00", "anchor01"}
        assert rows.loc[["anchor00", "anchor01"], "difference"].tolist() == pytest.approx([0.9, -0.9], abs=0.35)
        assert abs(link.shift - drawn.truth) < 4 * link.linking_error
        assert abs(link.slope - spread) < 4 * max(link.slope_se, 1e-12)
        assert link.verdict == "yes_with_notes"


def test_all_ways_to_link_agree(drawn):
    """Fixed anchors, joint calibration and the separate ones: no further apart than a fraction of the error of one."""
    for pair in (drawn.rasch, drawn.two):
        link = link_forms(*pair, forms=("F1", "F2"))
        fixed, on_pre = fix_anchors(link, pair[0], drawn.credit[1])
        joint, both = calibrate_together(link, *drawn.credit)
        curved = link_forms(*pair, forms=("F1", "F2"), method="haebara")
        for other in (fixed, joint, curved):
            assert abs(other.shift - link.shift) < 0.5 * link.shift_se
            assert abs(other.slope - link.slope) <= 1.0 * link.slope_se
            assert other.linking_error == pytest.approx(link.linking_error, rel=0.15)
        assert (fixed.method, fixed.slope_se is None or fixed.slope_se == 0.0, fixed.shift_se) == (
            "fixed_anchor",
            True,
            None,
        )
        assert (joint.method, joint.shift_se) == ("concurrent", pytest.approx(link.shift_se, rel=0.15))
        assert locate(on_pre.curves.take(link.kept)) == pytest.approx(locate(pair[0].curves.take(link.kept)))
        assert "anchor00@F2" in both.curves.item_ids
        assert "anchor05@F2" not in both.curves.item_ids


def test_a_joint_calibration_that_fails_closes_the_link(drawn, monkeypatch):
    link = link_forms(*drawn.rasch, forms=("F1", "F2"))
    failed = replace(drawn.rasch[1], converged=False)
    monkeypatch.setattr("bgtk_lib.linking.joint.fit_items", lambda *_, **__: failed)
    assert fix_anchors(link, drawn.rasch[0], drawn.credit[1])[0].verdict == "not_yet"


# ------------------------------------------------------------------ links through persons


def test_a_line_through_scores_by_hand():
    x = np.arange(40.0)
    line = link_persons(3 * x + 10, x, design="equivalent_groups")
    assert (line.slope, line.shift) == (pytest.approx(3.0), pytest.approx(10.0))
    assert line.linking_error == pytest.approx(np.sqrt(2 * 9 * x.var() / 40))
    both = link_persons(3 * x + 10, x, design="common_person")
    assert (both.slope_se, both.linking_error) == (pytest.approx(0.0, abs=EXACT), pytest.approx(0.0, abs=EXACT))


@pytest.mark.parametrize("design", ["equivalent_groups", "common_person"])
def test_errors_of_a_line_through_scores_are_those_of_repeated_samples(design, rng):
    """2,000 samples: an SD is known to 1.6 %; skewed scores, so that a normal formula would be wrong."""
    lines = []
    for _ in range(2000):
        x = rng.gamma(2.0, 1.0, 300)
        y = 5 + 2 * (x if design == "common_person" else rng.gamma(2.0, 1.0, 300)) + rng.normal(0, 1, 300)
        lines.append(link_persons(y, x, design=design))
    for name, error in (("slope", "slope_se"), ("shift", "shift_se")):
        told = np.mean([getattr(line, error) for line in lines])
        assert told == pytest.approx(np.std([getattr(line, name) for line in lines]), rel=0.06)


def test_a_line_through_scores_that_cannot_be_drawn():
    some = np.arange(30.0)
    assert isinstance(link_persons(some[:29], some, design="equivalent_groups"), Withheld)
    assert isinstance(link_persons(some, np.ones(30), design="equivalent_groups"), Withheld)
    half = np.where(np.arange(30) % 2, some, np.nan)
    assert isinstance(link_persons(some, half, design="common_person"), Withheld)
    assert isinstance(link_persons([], [], design="equivalent_groups"), Withheld)


def test_equivalent_groups_need_a_recorded_decision(rng):
    scores = {"pre": rng.normal(50, 10, 100), "post": rng.normal(55, 12, 100)}
    row = {"date": "2026-05-04", "who": "Panel", "form_from": "F1", "form_to": "F2", "reason": "lottery"}
    ask = {"forms": ("F1", "F2"), "design": "equivalent_groups"}
    assert isinstance(link_scores(**scores, **ask, decisions=[]), Withheld)
    assert isinstance(link_scores(**scores, **ask, decisions=[row | {"decision": "parallel"}]), Withheld)
    link = link_scores(**scores, **ask, decisions=[row | {"decision": "equivalent_groups"}])
    assert (link.design, link.method, link.model, link.verdict) == (
        "equivalent_groups",
        "linear",
        "scores",
        "yes_with_notes",
    )
    assert "Panel, 2026-05-04" in link.reasons[0].en
    assert link.slope * scores["post"].mean() + link.shift == pytest.approx(scores["pre"].mean())
    bridge = link_scores(**scores, forms=("F1", "F2"), design="common_person", decisions=[])
    assert bridge.verdict == "yes_with_notes"
    assert isinstance(link_scores([1.0], [2.0], forms=("F1", "F2"), design="common_person", decisions=[]), Withheld)


LOGITS = Scale(mean=0.0, sd=1.0, assessment="MAT", fingerprint="")


# ------------------------------------------------------------------ conversion


def test_a_form_linked_to_itself_converts_to_itself(rng):
    pre = make_calibration(make_curves(rng.normal(size=12)), n=1000)
    link = link_forms(pre, pre, forms=("F1", "F2"))
    table = convert_scores(pre.curves, pre.curves, link=link, scale=LOGITS)
    assert list(table.columns) == CONVERSION_COLUMNS
    assert table["raw_pre"].tolist() == pytest.approx(list(range(13)), abs=1e-9)
    inner = table.iloc[1:-1]
    information = pre.curves.information(inner["theta"].to_numpy()).sum(axis=0)
    assert inner["theta_se"].to_numpy() == pytest.approx(1 / np.sqrt(information))
    assert inner["raw_pre_se"].to_numpy() == pytest.approx(np.sqrt(information)), "in Rasch Var(X) is the information"
    assert inner["points"].to_numpy() == pytest.approx(500 + 100 * inner["theta"].to_numpy())
    assert inner["note"].isna().all()
    assert table["note"].tolist()[:: len(table) - 1] == ["extreme", "extreme"]
    assert table.loc[[0, 12], ["theta", "theta_se", "points", "raw_pre_se"]].isna().all(axis=None)


def test_conversion_by_hand():
    """Four equal items of difficulty 0 after, 1 before: half right is an ability of 0, and so 4 / (1 + e) before."""
    names = ["x1", "x2", "x3", "x4"]
    pre, post = (
        make_calibration(make_curves([1.0] * 4, names=names)),
        make_calibration(make_curves([1.0] * 4, names=names)),
    )
    link = replace(link_forms(pre, post, forms=("F1", "F2")), shift=-1.0)
    table = convert_scores(
        pre.curves, post.curves, link=link, scale=Scale(mean=0.5, sd=2.0, assessment="MAT", fingerprint="")
    )
    middle = table.iloc[2]
    assert middle["theta"] == pytest.approx(0.0, abs=1e-9)
    assert middle["raw_pre"] == pytest.approx(4 / (1 + np.e))
    assert middle["theta_se"] == pytest.approx(1.0)
    assert (middle["points"], middle["points_se"]) == (pytest.approx(475.0), pytest.approx(50.0))
    assert middle["raw_pre_se"] == pytest.approx(4 * np.e / (1 + np.e) ** 2)


@pytest.mark.parametrize("kind", ["gpcm", "grm"])
def test_conversion_of_polytomous_forms_rises(kind, rng):
    b = [np.sort(rng.normal(size=3)) for _ in range(6)]
    pre = make_calibration(make_curves(b, np.exp(0.2 * rng.normal(size=6)), kind=kind), model=kind)
    link = link_forms(pre, pre, forms=("F1", "F2"))
    table = convert_scores(pre.curves, pre.curves, link=link, scale=LOGITS)
    assert len(table) == 19
    inner = table.iloc[1:-1]
    theta = inner["theta"].to_numpy()
    expected = [pre.curves.expected_credit(theta + step).sum(axis=0) for step in (-1e-5, 1e-5)]
    rise = (expected[1] - expected[0]) / 2e-5
    chances, points = pre.curves.probabilities(theta), np.arange(4.0)[:, None]
    variance = ((chances * points**2).sum(axis=1) - (chances * points).sum(axis=1) ** 2).sum(axis=0)
    assert inner["theta_se"].to_numpy() == pytest.approx(np.sqrt(variance) / rise, rel=1e-6)
    assert (table["theta"].iloc[1:-1].diff().dropna() > 0).all()
    assert table["raw_pre"].tolist() == pytest.approx(list(range(19)), abs=1e-9)


def test_a_score_without_ability_says_so():
    names = ["x1", "x2", "x3"]
    curves = make_curves([0.0, 1.0, 2.0], [1.0, -1.0, -1.0], names=names)
    link = replace(make_link(3), slope=1.0, shift=0.0)
    pre = make_calibration(make_curves([0.0, 1.0, 2.0], names=names))
    link = replace(link, made_for=("", link_forms(pre, pre, forms=("a", "b")).made_for[1]))
    good = convert_scores(curves, pre.curves, link=link, scale=LOGITS)
    assert good["note"].isna().tolist() == [False, True, True, False]
    with pytest.raises(LinkageError):
        convert_scores(pre.curves, curves, link=link, scale=LOGITS)


def test_scale_of_errors():
    assert 0.05 * Scale(mean=0.0, sd=1.25, assessment="MAT", fingerprint="").points_per_unit == pytest.approx(4.0)


# ------------------------------------------------------------------ the record


@pytest.mark.parametrize("kind", ["drift", "no sheets", "withheld facts", "scores", "same form"])
def test_a_link_comes_back_as_it_was_written(kind, tmp_path, rng):
    if kind == "drift":
        pre, post = make_forms(24, moves=[1.0])
        sheets = make_sheet(pre.curves.item_ids), make_sheet(post.curves.item_ids)
        link = link_forms(pre, post, forms=("F1", "F2"), sheets=sheets)
    elif kind == "scores":
        link = link_scores(*rng.normal(size=(2, 50)), forms=("F1", "F2"), design="common_person", decisions=[])
    elif kind == "same form":
        link = link_forms(*make_forms(12), forms=("F1", "F1"))
    else:
        link = make_link(spread=0.1 if kind == "withheld facts" else 1.5)
        assert isinstance(link.quality.r, Withheld) == (kind == "withheld facts")
    fingerprint = write_link(tmp_path / "link.json", link)
    back = read_link(tmp_path / "link.json")
    assert fingerprint == fingerprint_link(link) == fingerprint_link(back)
    pd.testing.assert_frame_equal(back.anchors, link.anchors, check_dtype=bool(len(link.anchors)))
    for name in vars(link):
        if name != "anchors":
            assert getattr(back, name) == getattr(link, name), name
    write_link(tmp_path / "again.json", back)
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "link.json").read_bytes()


def test_an_altered_link_is_refused(tmp_path):
    path = tmp_path / "link.json"
    with pytest.raises(ParameterError):
        read_link(path)
    write_link(path, make_link())
    content = json.loads(path.read_text())
    for changed in (content | {"shift": content["shift"] + 0.01}, content | {"verdict": "yes "}, [content], {}):
        path.write_text(json.dumps(changed))
        with pytest.raises(LinkageError, match="was changed"):
            read_link(path)


# ------------------------------------------------------------------ gates


@pytest.mark.parametrize(
    ("facts", "state"),
    [({}, "OK"), ({"n_anchors": 12}, "WARN"), ({"n_anchors": 8}, "STOP")],
    ids=["yes", "notes", "not yet"],
)
def test_c01_follows_the_verdict(facts, state):
    link = make_link(**facts)
    declared = [
        {"date": "2026-01-01", "who": "P", "form_from": "F1", "form_to": "F2", "decision": "parallel", "reason": "r"}
    ]
    for decisions in ([], declared):
        for pre, post in (("F1", "F2"), ("F2", "F1")):
            gate = judge_linked(compare_forms({pre}, {post}, decisions), [link], {"assessment": "PED"})
            assert (gate.code, gate.state, gate.scope) == ("C01", state, {"assessment": "PED"})
            assert f"{link.n_kept} anchors" in gate.message.en
            assert all(reason.en in gate.message.en and reason.id in gate.message.id for reason in link.reasons)


def test_c01_without_a_link_is_what_it_was():
    declared = [
        {"date": "2026-01-01", "who": "P", "form_from": "F1", "form_to": "F2", "decision": "parallel", "reason": "r"}
    ]
    link = make_link()
    states = [
        judge_linked(compare_forms({"F1"}, {"F2"}, []), [], {}).state,
        judge_linked(compare_forms({"F1"}, {"F2"}, declared), [], {}).state,
        judge_linked(compare_forms({"F1"}, {"F1"}, []), [make_link(8)], {}).state,
        judge_linked(compare_forms({"F1"}, {"F3"}, []), [link], {}).state,
        judge_linked(compare_forms({"F1"}, {"F2", "F3"}, []), [link], {}).state,
        judge_linked(compare_forms({"F1"}, {"F1", "F2"}, []), [link], {}).state,
        judge_linked(compare_forms({"F1"}, {"F2"}, []), [make_link(8), link], {}).state,
        judge_linked(compare_forms({"F1"}, set(), []), [link], {}).state,
    ]
    assert states == ["STOP", "HOLD", "OK", "STOP", "STOP", "OK", "OK", "STOP"]


def test_c01_of_several_links_is_that_of_the_worst():
    links = [make_link(), replace(make_link(8), form_post="F3")]
    for order in (links, links[::-1]):
        assert judge_linked(compare_forms({"F1"}, {"F2", "F3"}, []), order, {}).state == "STOP"
    assert judge_linked(compare_forms({"F1"}, {"F2"}, []), links, {}).state == "OK"


def test_c01_by_equivalent_groups_names_its_ground(rng):
    row = {
        "date": "d",
        "who": "Panel",
        "form_from": "F1",
        "form_to": "F2",
        "reason": "r",
        "decision": "equivalent_groups",
    }
    link = link_scores(*rng.normal(size=(2, 50)), forms=("F1", "F2"), design="equivalent_groups", decisions=[row])
    gate = judge_linked(compare_forms({"F1"}, {"F2"}, []), [link], {})
    assert gate.state == "WARN"
    assert "random equivalent groups" in gate.message.en


@pytest.mark.parametrize(
    ("sat", "linked", "state"),
    [
        ({"I": "A", "II": "A"}, (), "OK"),
        ({"I": "A", "II": "B"}, (), "STOP"),
        ({"I": "A", "II": "B"}, ("AB",), "OK"),
        ({"I": "A", "II": "B"}, ("BA",), "OK"),
        ({"I": "A", "II": "B"}, ("AX", "XB"), "OK"),
        ({"I": "A", "II": "B"}, ("AX",), "STOP"),
        ({"I": "AB", "II": "B"}, (), "HOLD"),
        ({"I": "AB", "II": "B"}, ("AB",), "OK"),
        ({"I": "AB", "II": "BC", "III": "C"}, (), "STOP"),
        ({"I": "AB", "II": "BC", "III": "C"}, ("BC",), "HOLD"),
        ({"I": "AD", "II": "BE"}, ("AX", "XB"), "HOLD"),
        ({"I": "AB"}, (), "OK"),
        ({}, (), "OK"),
    ],
)
def test_c02_needs_a_form_in_common_or_a_link(sat, linked, state):
    sessions = pd.DataFrame(
        [{"phase": phase, "form_id": form} for phase, forms in sat.items() for form in forms],
        columns=["phase", "form_id"],
    )
    made = make_link()
    links = [replace(made, form_pre=one, form_post=other) for one, other in linked]
    table = cross_forms(pd.concat([sessions, sessions.assign(phase=None)]), by="phase")
    gate = judge_pooling(table, links, by="phase", scope={"assessment": "PED"})
    assert (gate.code, gate.state) == ("C02", state)
    if links:
        closed = [replace(link, verdict="not_yet") for link in links]
        assert (
            judge_pooling(table, closed, by="phase", scope={}).state
            == judge_pooling(table, [], by="phase", scope={}).state
        )
    if state == "STOP" and sat == {"I": "A", "II": "B"}:
        assert "(A: I; B: II)" in gate.message.en
        assert "fase" in gate.message.id
    if state == "HOLD" and not linked:
        assert "B are comparable" in gate.message.en


def test_the_cross_table_counts_sessions():
    sessions = pd.DataFrame({"district": ["18.71", "18.71", "18.01", None], "form_id": ["A", "A", "B", "A"]})
    table = cross_forms(sessions, by="district")
    assert table.loc["18.71"].to_dict() == {"A": 2, "B": 0}
    assert table.to_numpy().sum() == 3
    assert judge_pooling(table, [], by="district", scope={}).state == "STOP"


def test_bounds_are_those_of_the_standard():
    bounds = (RULES.drift_drop, RULES.z_drop, RULES.drift_review, RULES.z_review, RULES.robust_z)
    assert bounds == (0.5, 2.6, 0.3, 1.96, 1.645)
    assert (RULES.min_anchor_n, RULES.wanted_anchor_n, RULES.min_anchor_share, RULES.max_drop_share) == (
        10,
        20,
        0.2,
        0.2,
    )
    assert (RULES.min_r, RULES.sd_ratio) == (0.95, (0.90, 1.10))
