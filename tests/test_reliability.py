"""Reliability: by hand, against R, Mathematica and statsmodels, with planted truth, and on tables that spoil everything."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats
from statsmodels.multivariate.factor import Factor

from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.classical import review_items
from bgtk_lib.instrument.omega import estimate_omega
from bgtk_lib.instrument.polychoric import correlate_polychoric, extract_factor, extract_factor_ml, find_orthant
from bgtk_lib.instrument.reliability import (
    SUBSCORE_COLUMNS,
    compare_retest,
    find_sem,
    review_reliability,
    review_subscores,
    split_halves,
)

SHARED = Path(os.environ.get("BGTK_SHARED", Path(__file__).parents[2] / "shared"))
AGREES = 1e-12  # both sides compute the same closed formula in double precision


def shared_file(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return path


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


@pytest.fixture(scope="module")
def psych():
    return json.loads(shared_file("reference/debian_r/psych_reliability.json").read_text())


def read_complete(name):
    return pd.read_csv(shared_file(f"reference/debian_r/data/{name}_complete.csv"))


def make_ordinal(rng, n, loadings, cuts):
    """Credit of one-factor normal variables with these loadings, cut at each item's cuts: persons × items."""
    loadings = np.asarray(loadings)
    under = rng.normal(size=(n, 1)) * loadings + rng.normal(size=(n, len(loadings))) * np.sqrt(1 - loadings**2)
    return pd.DataFrame((under[:, :, None] > np.asarray(cuts)).sum(axis=2).astype(float)).add_prefix("b")


# ------------------------------------------------------------------ orthants, polychoric correlations, one factor


def test_orthants_agree_with_scipy(rng):
    """SciPy's own integration is accurate to about 1e-8 in two dimensions; cuts at zero and correlations near ±1 too."""
    points = [
        (h, k, r) for h in (-2.5, -1e-13, 0.0, 0.7) for k in (-1.0, 0.0, 3.0) for r in (-0.99, -0.3, 0.0, 0.6, 0.999)
    ]
    h, k, r = np.array(points).T
    expected = [stats.multivariate_normal.cdf([a, b], cov=[[1, c], [c, 1]], abseps=1e-10) for a, b, c in points]
    assert find_orthant(h, k, r) == pytest.approx(np.array(expected), abs=1e-7)
    assert find_orthant(np.zeros(3), np.zeros(3), np.array([-0.5, 0, 0.5])) == pytest.approx([1 / 6, 1 / 4, 1 / 3])


def test_tetrachoric_and_polychoric_agree_with_psych(psych):
    """R's psych stops its search at 1e-4."""
    for name, reference in (("ability", "ability_tetrachoric"), ("bfi_A", "bfi_A_polychoric")):
        found = correlate_polychoric(read_complete(name)).to_numpy()
        assert found == pytest.approx(np.array(psych[reference]["rho"]), abs=1e-4)


def test_tetrachoric_with_missing_answers_agrees_with_shojima():
    """His Mathematica program rounds its search at about 1e-4 as well; its omega of that matrix follows exactly."""
    data = pd.read_csv(shared_file("data/exametrika/J20S400.csv")).drop(columns="id")
    folder = shared_file("data/exametrika/reference_mathematica")
    reference = pd.read_csv(folder / "Chapter03CTT_Tetrachoric_Correlation.csv", index_col=0).to_numpy()
    total = pd.read_csv(folder / "Chapter03CTT_Test.csv", index_col=0)["Statistics"]
    assert correlate_polychoric(data).to_numpy() == pytest.approx(reference, abs=1e-4)
    loadings = extract_factor(reference)
    omega = loadings.sum() ** 2 / (loadings.sum() ** 2 + (1 - loadings**2).sum())
    assert omega == pytest.approx(total["Omega(Tetrachoric)"], abs=1e-6)


def test_polychoric_is_the_correlation_of_two_normal_variables_however_they_are_cut(rng):
    credit = make_ordinal(rng, 100_000, [0.9, 0.8, 0.7], [[0, np.inf, np.inf], [-1, 0.5, np.inf], [-1, 0, 1]])
    assert [credit[item].nunique() for item in credit] == [2, 3, 4]
    found = correlate_polychoric(credit).to_numpy()
    assert found == pytest.approx(np.array([[1, 0.72, 0.63], [0.72, 1, 0.56], [0.63, 0.56, 1]]), abs=0.02)
    rescaled = correlate_polychoric(credit * [0.5, 1, 3]).to_numpy()
    assert rescaled == pytest.approx(found, abs=1e-8)


def test_an_empty_cell_counts_half_a_person():
    credit = pd.DataFrame({"b1": [1] * 10 + [0] * 10, "b2": [1] * 6 + [0] * 14})
    filled = correlate_polychoric(credit).loc["b1", "b2"]
    assert 0.8 < filled < 0.999
    assert correlate_polychoric(1 - credit).loc["b1", "b2"] == pytest.approx(filled, abs=1e-6)


def test_one_factor_agrees_with_factanal_and_statsmodels(psych):
    """R's factanal stops at about 1e-7, statsmodels at 1e-6."""
    for name in ("bfi_A", "ability"):
        correlations = read_complete(name).corr().to_numpy()
        found = extract_factor_ml(correlations)
        fitted = Factor(corr=correlations, n_factor=1, nobs=1000, method="ml").fit().loadings[:, 0]
        assert found == pytest.approx(fitted * np.sign(fitted.sum()), abs=1e-5)
        if name == "bfi_A":
            assert found == pytest.approx(psych["bfi_A_factanal"]["loadings"], abs=1e-6)


@pytest.mark.parametrize("extract", [extract_factor, extract_factor_ml])
def test_a_factor_is_found_again(extract, rng):
    loadings = rng.uniform(-0.3, 0.9, size=(4, 12))
    loadings *= np.sign(loadings.sum(axis=1, keepdims=True))
    correlations = loadings[:, :, None] * loadings[:, None, :]
    correlations[:, np.arange(12), np.arange(12)] = 1
    assert extract(correlations) == pytest.approx(loadings, abs=1e-6)


# ------------------------------------------------------------------ omega


def test_linear_omega_from_the_loadings_of_r(psych, rng):
    """The total is that of the raw scores; psych's own omega is of standardised ones, with left-over covariance as true."""
    credit = read_complete("bfi_A")
    weighted = np.array(psych["bfi_A_factanal"]["loadings"]) * credit.std().to_numpy()
    omega = estimate_omega(credit, kind="linear", rng=rng)
    assert omega.omega == pytest.approx(weighted.sum() ** 2 / credit.sum(axis=1).var(), abs=1e-6)
    loadings = omega.loadings["loading"]
    correlations = credit.corr().to_numpy().sum()
    assert 1 - (1 - loadings**2).sum() / correlations == pytest.approx(psych["bfi_A_omega1_ml"]["omega.tot"], abs=1e-6)


LOADINGS = np.linspace(0.3, 0.8, 12)
CUTS = np.stack([np.linspace(-1.2, 1.0, 12), np.linspace(-0.5, 2.0, 12)], axis=1)


@pytest.mark.parametrize("values", [2, 3])
def test_categorical_omega_is_the_correlation_of_parallel_tests(rng, values):
    """Two parallel tests of 40,000 persons: their correlation is known to .002, the estimate from 20,000 of them to .004."""
    cuts = CUTS[:, : values - 1]
    ability = rng.normal(size=(40_000, 1))
    tests = [
        ((ability * LOADINGS + rng.normal(size=(40_000, 12)) * np.sqrt(1 - LOADINGS**2))[:, :, None] > cuts).sum(axis=2)
        for _ in range(2)
    ]
    truth = np.corrcoef(tests[0].sum(axis=1), tests[1].sum(axis=1))[0, 1]
    omega = estimate_omega(pd.DataFrame(tests[0][:20_000]), rng=rng, replicates=40)
    assert omega.omega == pytest.approx(truth, abs=0.01)
    assert omega.low < truth < omega.high
    assert omega.loadings["loading"].to_numpy() == pytest.approx(LOADINGS, abs=0.04)


def test_both_omegas_and_alpha_agree_where_all_items_are_alike(rng):
    """Equal loadings and equal cuts make the items parallel: alpha is the reliability, and so is either omega."""
    credit = make_ordinal(rng, 30_000, [0.6] * 10, [[0.0]] * 10)
    covariance = 2 * (special.ndtr(0) ** 2 + np.arcsin(0.36) / (2 * np.pi) - 0.25) / 2
    truth = 100 * covariance / (10 * 0.25 + 90 * covariance)
    alpha = review_items(credit).alpha
    for kind in ("categorical", "linear"):
        assert estimate_omega(credit, kind=kind, rng=rng, replicates=2).omega == pytest.approx(alpha, abs=0.002)
    assert alpha == pytest.approx(truth, abs=0.01)


def test_categories_keep_their_steps(rng):
    """Credit in halves is the same total on another scale; an item worth more weighs more."""
    credit = make_ordinal(rng, 500, LOADINGS, CUTS)
    one, half = (estimate_omega(scale * credit, rng=np.random.default_rng(1), replicates=20) for scale in (1, 0.5))
    assert half.omega == pytest.approx(one.omega, abs=1e-9)
    assert half.se == pytest.approx(one.se, abs=1e-9)
    heavy = credit.assign(b0=20 * credit["b0"])
    assert estimate_omega(heavy, rng=rng, replicates=2).omega < 0.3 < one.omega


def test_an_item_that_everybody_solves_adds_nothing(rng):
    credit = make_ordinal(rng, 300, LOADINGS, CUTS[:, :1])
    plain, more = (
        estimate_omega(one, rng=np.random.default_rng(1), replicates=20) for one in (credit, credit.assign(easy=1.0))
    )
    assert more.omega == pytest.approx(plain.omega, abs=1e-9)
    assert more.loadings["loading"].isna().tolist() == [False] * 12 + [True]
    assert (plain.n_items, more.n_items) == (12, 13)


def test_bootstrap_of_blocks_is_that_of_persons(rng):
    """2,000 persons in 500 blocks of four: the standard error is that of a plain bootstrap (known to 4 and 5 %)."""
    credit = make_ordinal(rng, 2000, LOADINGS, CUTS[:, :1]).to_numpy()
    blocks = estimate_omega(pd.DataFrame(credit), kind="linear", rng=rng, replicates=400).se
    samples = np.stack([credit[rng.integers(2000, size=2000)] for _ in range(200)])
    covariance = np.stack([np.cov(sample, rowvar=False) for sample in samples])
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    loadings = extract_factor_ml(covariance / (sd[:, :, None] * sd[:, None, :]))
    drawn = (loadings * sd).sum(axis=1) ** 2 / covariance.sum(axis=(1, 2))
    assert blocks == pytest.approx(np.std(drawn), rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["categorical", "linear"])
def test_intervals_of_omega_cover(rng, kind):
    """200 samples of 150 persons: the intervals are somewhat wide (97 to 99 %), never too narrow."""
    truth = estimate_omega(make_ordinal(rng, 200_000, LOADINGS, CUTS[:, :1]), kind=kind, rng=rng, replicates=2).omega
    found = [
        estimate_omega(make_ordinal(rng, 150, LOADINGS, CUTS[:, :1]), kind=kind, rng=rng, replicates=100)
        for _ in range(200)
    ]
    assert 0.93 < np.mean([one.low <= truth <= one.high for one in found]) <= 1
    assert np.mean([one.omega for one in found]) == pytest.approx(truth, abs=0.015)


# ------------------------------------------------------------------ halves, error of measurement, subscores, retest


def test_best_and_worst_halves_agree_with_psych(psych, rng):
    credit = read_complete("bfi_A")
    halves = split_halves((credit - credit.mean()) / credit.std(), rng=rng)
    assert halves.highest == pytest.approx(psych["bfi_A_splitHalf"]["maxrb"], abs=AGREES)
    assert halves.lowest == pytest.approx(psych["bfi_A_splitHalf"]["minrb"], abs=AGREES)
    assert halves.highest == pytest.approx(psych["bfi_A_guttman"]["lambda.4"], abs=AGREES)
    assert (halves.n_splits, halves.every_split) == (10, True)


def test_the_mean_of_all_halves_is_alpha(rng):
    """A theorem for an even number of items; with 40 items and 10,000 random halvings nearly so."""
    credit = make_ordinal(rng, 200, LOADINGS, CUTS[:, :1])
    halves = split_halves(credit, rng=rng)
    assert halves.every_split
    assert halves.n_splits == 462
    assert halves.mean == pytest.approx(review_items(credit).alpha, abs=AGREES)
    long = make_ordinal(rng, 200, [0.5] * 40, [[0.0]] * 40)
    halves = split_halves(long, rng=rng)
    assert (halves.n_splits, halves.every_split) == (10_000, False)
    assert halves.mean == pytest.approx(review_items(long).alpha, abs=0.002)
    assert halves.lowest < halves.mean < halves.highest


def test_odd_against_even_by_hand(rng):
    credit = pd.DataFrame({"b1": [1, 1, 0, 0], "b2": [1, 1, 1, 0], "b3": [1, 1, 0, 0]})
    r = 1 / np.sqrt(3)  # of 2, 2, 0, 0 and 1, 1, 1, 0
    assert split_halves(credit, rng=rng).odd_even == pytest.approx(2 * r / (1 + r))
    assert split_halves(credit[["b1", "b1", "b3", "b3"]], rng=rng).odd_even == pytest.approx(1)
    assert isinstance(split_halves(credit.assign(b2=1), rng=rng).odd_even, Withheld)


@pytest.mark.parametrize(
    ("k", "n_splits", "every"), [(2, 1, True), (15, 6435, True), (16, 6435, True), (17, 10_000, False)]
)
def test_so_many_halvings(rng, k, n_splits, every):
    halves = split_halves(make_ordinal(rng, 50, [0.5] * k, [[0.0]] * k), rng=rng)
    assert (halves.n_splits, halves.every_split) == (n_splits, every)


@pytest.mark.parametrize(
    ("folder", "file", "name"),
    [
        ("sat12", "SAT12_scored.csv", "SAT12"),
        ("hci", "HCI.csv", "HCI"),
        ("difnlr_msatb_gmat", "MSATB.csv", "MSATB"),
        ("numeracy876", "numeracy_scored.csv", "numeracy"),
    ],
)
def test_error_of_measurement_agrees_with_r(folder, file, name, rng):
    items = pd.read_csv(shared_file(f"data/{folder}/reference_R/ctt_items_{name}.csv"))["item"]
    reference = pd.read_csv(shared_file(f"data/{folder}/reference_R/ctt_test_{name}.csv"), index_col="stat")["value"]
    found = review_reliability(pd.read_csv(shared_file(f"data/{folder}/{file}"))[items], rng=rng)
    assert (found.n_persons, found.n_items) == (reference["n_persons"], reference["k_items"])
    ours = [found.mean_total, found.sd_total, found.alpha, found.sem_alpha]
    assert ours == pytest.approx(reference[["mean_total", "sd_total", "alpha_raw", "sem"]].tolist(), abs=1e-11)
    assert found.sem_omega == pytest.approx(found.sd_total * np.sqrt(1 - found.omega.omega))
    assert found.omega.low < found.alpha < found.omega.high + 0.02
    assert found.halves.lowest < found.alpha < found.halves.highest


@pytest.mark.parametrize(("reliability", "sem"), [(0.75, 5.0), (-0.3, 10.0), (1.0, 0.0)])
def test_error_of_measurement_by_hand(reliability, sem):
    assert find_sem(10.0, reliability) == pytest.approx(sem)


def test_subscores_of_planted_abilities(rng):
    """The true subscores are known: PRMSE is the squared correlation with the true one, of the subscore and of the total."""
    n, k = 20_000, 8
    first = rng.normal(size=n)
    abilities = np.stack([first, 0.95 * first + 0.31 * rng.normal(size=n), rng.normal(size=n)], axis=1)
    difficulty = np.tile(np.linspace(-1, 1, k), 3)
    chance = special.expit(np.repeat(abilities, k, axis=1) - difficulty)
    credit = pd.DataFrame((rng.random(size=chance.shape) < chance).astype(float)).add_prefix("b")
    subscales = {item: "xyz"[place // k] for place, item in enumerate(credit)}
    table = review_subscores(credit, subscales)
    total = credit.sum(axis=1)
    for place, row in enumerate(table.to_dict("records")):
        true = chance[:, place * k : (place + 1) * k].sum(axis=1)
        score = credit.iloc[:, place * k : (place + 1) * k].sum(axis=1)
        expected = [np.corrcoef(true, observed)[0, 1] ** 2 for observed in (score, total)]
        assert [row["prmse_subscore"], row["prmse_total"]] == pytest.approx(expected, abs=0.02)
        assert row["added_value"] == (expected[0] > expected[1])
    alike = review_subscores(credit, {item: name for item, name in subscales.items() if name != "z"})
    assert [table["added_value"].tolist(), alike["added_value"].tolist()] == [[True, True, True], [False, False]]


def test_subscores_by_hand():
    """Subscore s = b1 + b2 and total x: variances, covariance and alpha are written out."""
    credit = pd.DataFrame({"b1": [1, 1, 1, 0, 0, 0], "b2": [1, 1, 0, 1, 0, 0], "b3": [1, 0, 1, 0, 1, 0]})
    table = review_subscores(credit.assign(b4=1, b5=None), {"b1": "s", "b2": "s", "b3": "t"})
    s, x = credit["b1"] + credit["b2"], credit.sum(axis=1)
    alpha = 2 * (1 - 0.6 / s.var())
    with_total = (s.cov(x) - s.var() * (1 - alpha)) ** 2 / (s.var() * alpha * x.var())
    assert table.loc[0, ["prmse_subscore", "prmse_total"]].tolist() == pytest.approx([alpha, with_total])
    assert table["n_items"].tolist() == [2, 1]
    assert table["note"].fillna("").tolist() == ["", "few_items"]


def test_retest_agrees_with_r():
    """HCI: 45 persons, two rows each, the second sitting first."""
    data = pd.read_csv(shared_file("data/hci/HCItestretest.csv"))
    reference = pd.read_csv(shared_file("data/hci/reference_R/HCItestretest_paired.csv")).iloc[0]
    total = data.filter(regex=r"^QR\d+$").sum(axis=1).to_numpy().reshape(-1, 2)
    found = compare_retest(pd.Series(total[:, 1]), pd.Series(total[:, 0]))
    assert (found.n, found.n_incomplete) == (45, 0)
    ours = [found.r, found.sd_first, found.sd_second, found.mean_difference, found.sd_difference]
    theirs = reference[["r", "sd_pre", "sd_post", "mean_diff", "sd_diff"]].tolist()
    assert ours == pytest.approx(theirs, abs=1e-11)
    low, high = stats.pearsonr(*total.T).confidence_interval()
    assert (found.r_low, found.r_high) == (pytest.approx(low), pytest.approx(high))
    squares = found.sd_first**2 + found.sd_second**2
    assert found.sem_difference == pytest.approx(np.sqrt(squares * (1 - found.r)))


def test_retest_joins_persons_not_rows():
    first = pd.Series([1.0, 2.0, 3.0, 4.0, 9.0], index=list("abcde"))
    second = pd.Series([4.0, 3.0, 2.0, 1.0, None, 5.0], index=list("dcbaef"))
    found = compare_retest(first, second)
    assert (found.n, found.n_incomplete) == (4, 2)
    assert found.r == pytest.approx(1)
    assert found.sem_difference == 0


@pytest.mark.parametrize(
    ("first", "second"), [([], []), ([1, 2, 3], [1, 2, 3]), ([1, 1, 1, 1], [1, 2, 3, 4]), ([1, None], [None, 1])]
)
def test_a_retest_that_cannot_be_computed_is_withheld(first, second):
    assert isinstance(compare_retest(pd.Series(first, dtype=float), pd.Series(second, dtype=float)), Withheld)


# ------------------------------------------------------------------ odd tables


@pytest.mark.parametrize("kind", ["categorical", "linear"])
@pytest.mark.parametrize(
    "credit",
    [
        pd.DataFrame(),
        pd.DataFrame(columns=["b1", "b2", "b3"]),
        pd.DataFrame({"b1": [1.0], "b2": [0.0], "b3": [1.0]}),
        pd.DataFrame({"b1": [1, 0, 1], "b2": [0, 1, 1], "b3": [1, 0, 0]}),
        pd.DataFrame({"b1": [1, 0] * 30}),
        pd.DataFrame({"b1": [1, 0] * 30, "b2": [0, 1] * 30}),
        pd.DataFrame({"b1": [1] * 60, "b2": [0] * 60, "b3": [1, 0] * 30}),
        pd.DataFrame({"b1": [None] * 60, "b2": [None] * 60, "b3": [None] * 60}),
        pd.DataFrame({"b1": [1, None] * 30, "b2": [None, 1] * 30, "b3": [0, 1] * 30}),
        pd.DataFrame({"b1": [1] * 60, "b2": [1] * 60, "b3": [1] * 60}),
    ],
    ids=[
        "nothing",
        "no rows",
        "one person",
        "three persons",
        "one item",
        "cancelling",
        "one varies",
        "all null",
        "never together",
        "all right",
    ],
)
def test_what_cannot_be_computed_is_withheld(credit, kind, rng):
    found = review_reliability(credit, kind=kind, rng=rng)
    assert isinstance(found.omega, Withheld)
    assert isinstance(found.sem_omega, Withheld)
    assert isinstance(found.sem_alpha, Withheld) == isinstance(found.alpha, Withheld)
    assert isinstance(found.halves, Withheld) or np.isfinite(found.halves.mean)
    assert correlate_polychoric(credit).shape == (credit.shape[1], credit.shape[1])
    table = review_subscores(credit, dict.fromkeys(credit.columns, "s"))
    assert list(table.columns) == SUBSCORE_COLUMNS
    assert (table["prmse_subscore"].isna() == table["note"].notna()).all()
    for held in (found.omega, found.halves):
        if isinstance(held, Withheld):
            assert held.reason.id != held.reason.en


@pytest.mark.parametrize("kind", ["categorical", "linear"])
@pytest.mark.parametrize(
    "credit",
    [
        pd.DataFrame(np.eye(60)[:, :8]),
        pd.DataFrame(np.tile([[1, 0]], (30, 1)).repeat(4, axis=1)[:, :8] ^ (np.arange(30) % 2)[:, None]),
        pd.DataFrame(np.tile((np.arange(60) % 2)[:, None], (1, 5))),
        pd.DataFrame(np.random.default_rng(3).integers(2, size=(200, 12))),
    ],
    ids=["one solver an item", "half of it reversed", "all items the same", "noise"],
)
def test_degenerate_items_end_in_a_number_or_a_reason(credit, kind, rng):
    found = estimate_omega(credit, kind=kind, rng=rng, replicates=30)
    if isinstance(found, Withheld):
        assert "omega" in found.reason.id
    else:
        assert np.isfinite([found.omega, found.low, found.high, found.se]).all()
        assert found.low <= found.omega <= found.high <= 1


def test_too_many_values_are_not_categories(rng):
    credit = pd.DataFrame(rng.normal(size=(100, 1)) + rng.normal(size=(100, 5)))
    assert "linear" in estimate_omega(credit, rng=rng).reason.en
    assert estimate_omega(credit, kind="linear", rng=rng).omega > 0.5
