"""Change: CR2 by its definition and against R, identities, real two-wave data, leavers."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from bgtk_lib.change.absent.leavers import adjust_for_leavers, compare_leavers
from bgtk_lib.change.clusters import contrast_cr2, lay_clusters
from bgtk_lib.change.estimate import DISTRICT_COLUMNS, estimate_by_district, estimate_change
from bgtk_lib.change.strata import mean_by_strata
from bgtk_lib.errors import LinkageError, ParameterError
from bgtk_lib.findings import Withheld
from bgtk_lib.words import plain

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("BGTK_SHARED", HERE.parents[1] / "shared"))
NO_CLUSTER = plain("no school is known in this file")


def shared_file(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return path


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


def make_pairs(rng, *, districts=5, schools=6, change=0.3, icc=0.2):
    """Return pairs whose change varies between schools (share `icc`) around `change`, schools of 1 to 12 teachers."""
    sizes = rng.integers(1, 13, size=districts * schools)
    school = np.repeat(np.arange(len(sizes)), sizes)
    n = len(school)
    pre = rng.normal(size=n)
    gain = change + np.sqrt(icc) * rng.normal(size=len(sizes))[school] + np.sqrt(1 - icc) * rng.normal(size=n)
    return pd.DataFrame(
        {
            "score_pre": 500 + 100 * pre,
            "score_post": 500 + 100 * (0.7 * pre + gain),
            "district": pd.Series(school // schools).map("18.{:02d}".format),
            "npsn": pd.Series(school).map("108{:05d}".format),
        }
    )


def compute_cr2_by_definition(y, X, cluster, c):
    """Return variance and Satterthwaite df with the N × N matrices of the papers, nothing saved."""
    N = len(y)
    M = np.linalg.inv(X.T @ X)
    rest = np.eye(N) - X @ M @ X.T
    variance, p = 0.0, []
    for name in np.unique(cluster):
        rows = cluster == name
        values, vectors = np.linalg.eigh(rest[np.ix_(rows, rows)])
        root = np.array([value**-0.5 if value > 1e-10 else 0.0 for value in values])
        u = vectors @ np.diag(root) @ vectors.T @ X[rows] @ M @ c
        variance += float(u @ (rest @ y)[rows]) ** 2
        p.append(rest[:, rows] @ u)
    gram = np.array(p) @ np.array(p).T
    return variance, np.trace(gram) ** 2 / (gram**2).sum()


# ---------------------------------------------------------------- CR2


def test_cr2_agrees_with_clubsandwich():
    data = pd.read_csv(shared_file("reference/debian_r/data/exam15.csv"), dtype={"school": str})
    reference = json.loads((HERE / "reference" / "cluster_clubsandwich.json").read_text())
    X = np.column_stack([np.ones(len(data)), data[["standLRT", "girl", "pol"]]])
    for weights, name in zip(np.eye(4), reference["coef"], strict=True):
        ours = contrast_cr2(data["normexam"], X, data["school"], weights=weights)[0]
        assert ours.estimate == pytest.approx(reference["coef"][name], rel=1e-10)
        assert ours.se == pytest.approx(reference["CR2"]["se"][name], rel=1e-10)
        assert ours.df == pytest.approx(reference["CR2"]["df"][name], abs=1e-8)
        assert ours.p == pytest.approx(reference["CR2"]["p"][name], rel=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_cr2_is_its_definition(seed):
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, 8, size=60)
    X = np.column_stack([np.ones(60), rng.normal(size=(60, 2)), cluster == 3])  # cluster 3 fits itself: singular I − H
    y, c = rng.normal(size=60), rng.normal(size=4)
    variance, df = compute_cr2_by_definition(y, X, cluster, c)
    one, twice = contrast_cr2(np.column_stack([y, 2 * y]), X, cluster, weights=c)
    assert one.se**2 == pytest.approx(variance, rel=1e-9)
    assert one.df == pytest.approx(df, rel=1e-9)
    assert one.estimate == pytest.approx(c @ np.linalg.lstsq(X, y)[0])
    assert (twice.estimate, twice.se, twice.t) == pytest.approx((2 * one.estimate, 2 * one.se, one.t))


def test_dependent_columns_are_refused():
    with pytest.raises(ParameterError, match="2 regression columns are not independent"):
        lay_clusters(np.ones((3, 2)), [1, 2, 3])


def test_a_coefficient_that_one_cluster_decides_is_withheld(rng):
    cluster = np.repeat([0, 1, 2], 5)
    found = contrast_cr2(rng.normal(size=15), np.eye(3)[cluster], cluster, weights=[0, 0, 1])
    assert isinstance(found[0], Withheld)


# ---------------------------------------------------------------- the stratified mean


@pytest.mark.parametrize("crossing", [False, True], ids=["nested", "crossing"])
@pytest.mark.parametrize("seed", range(4))
def test_stratified_mean_is_the_general_fit(seed, crossing):
    rng = np.random.default_rng(seed)
    pairs = make_pairs(rng)
    if crossing:
        pairs.loc[pairs.sample(6, random_state=seed).index, "district"] = "18.00"
    values = pairs["score_post"] - pairs["score_pre"]
    ours = mean_by_strata(values, stratum=pairs["district"], cluster=pairs["npsn"])
    dummies = pd.get_dummies(pairs["district"], dtype=float)
    general = asdict(contrast_cr2(values, dummies, pairs["npsn"], weights=dummies.mean())[0])
    assert ours.strata_merged == 0
    assert {name: getattr(ours, name) for name in general} == pytest.approx(general, rel=1e-10)


def test_without_clusters_it_is_the_one_sample_t(rng):
    values = rng.normal(1, 2, size=40)
    ours, known = mean_by_strata(values), stats.ttest_1samp(values, 0)
    low, high = known.confidence_interval()
    assert (ours.t, ours.df, ours.p) == pytest.approx((known.statistic, 39, known.pvalue))
    assert (ours.low, ours.high) == pytest.approx((low, high))
    assert (ours.n_clusters, ours.n_clusters_effective) == (40, 40)


def test_a_person_without_cluster_is_one(rng):
    values = rng.normal(size=6)
    ours = mean_by_strata(values, cluster=["a", "a", None, None, "b", "b"])
    named = mean_by_strata(values, cluster=["a", "a", "c", "d", "b", "b"])
    assert (ours.n_without_cluster, ours.n_clusters) == (2, 4)
    assert ours.n_clusters_effective == pytest.approx(36 / 10)
    assert asdict(replace(ours, n_without_cluster=0)) == pytest.approx(asdict(named))


@pytest.mark.parametrize(
    ("lone", "joined", "merged"),
    [
        ({"18.01": 1, "18.03": 1}, {"18.01": "x", "18.03": "x"}, 2),
        ({"18.01": 1}, {"18.01": "x", "18.04": "x"}, 2),
        ({"18.01": 1, "18.02": 1, "18.03": 1, "18.04": 1}, dict.fromkeys(["18.01", "18.02", "18.03", "18.04"], "x"), 4),
    ],
    ids=["together", "with the smallest other", "all but one"],
)
def test_districts_of_one_school_are_put_together(rng, lone, joined, merged):
    pairs = make_pairs(rng)
    smallest = pairs[pairs["district"] == "18.04"].groupby("npsn").head(1)  # makes 18.04 the smallest district
    pairs = pd.concat([pairs[pairs["district"] != "18.04"], smallest])
    for district in lone:
        pairs.loc[pairs["district"] == district, "npsn"] = f"only {district}"
    values = pairs["score_post"] - pairs["score_pre"]
    ours = mean_by_strata(values, stratum=pairs["district"], cluster=pairs["npsn"])
    by_hand = mean_by_strata(values, stratum=pairs["district"].replace(joined), cluster=pairs["npsn"])
    assert ours.strata_merged == merged
    assert asdict(replace(ours, strata_merged=0)) == pytest.approx(asdict(by_hand))


def test_who_has_no_district_is_a_stratum(rng):
    pairs = make_pairs(rng)
    named = estimate_change(pairs, cluster="school")
    pairs["district"] = pairs["district"].astype(object).replace({"18.04": None})
    pairs.loc[pairs[pairs["district"].isna()].index[::2], "district"] = np.nan
    assert estimate_change(pairs, cluster="school") == named


@pytest.mark.parametrize(
    ("values", "cluster"),
    [([], None), ([1.0], None), ([1, 2, 3], ["a"] * 3), ([0.1] * 7, None), ([1, 2, 2, 1], ["a", "a", "b", "b"])],
    ids=["nobody", "one person", "one cluster", "constant", "clusters alike"],
)
def test_a_mean_without_uncertainty_is_withheld(values, cluster):
    ours = mean_by_strata(values, cluster=cluster)
    assert isinstance(ours, Withheld)
    assert ours.kind == "not_computable"


# ---------------------------------------------------------------- change, real data


def read_learning_to_learn():
    data = pd.read_csv(shared_file("data/learning_to_learn/LearningToLearn.csv"), usecols=["score_6", "score_9"])
    return data.set_axis(["score_pre", "score_post"], axis=1), "data/learning_to_learn/reference_R/paired_by_track.csv"


def read_probability():
    data = pd.read_csv(shared_file("data/pks_probability/probability.csv"))
    pairs = pd.DataFrame({f"score_{wave}": data[[f"b{part}{i:02d}" for i in range(1, 13)]].sum(axis=1, skipna=False)
                          for wave, part in {"pre": 1, "post": 2}.items()})  # fmt: skip
    return pairs.dropna(), "data/pks_probability/reference_R/paired_total_by_group.csv"


def read_hci_prepost():
    data = pd.read_csv(shared_file("data/hci/HCIprepost.csv"), usecols=["score.pre", "score.post"])
    return data.set_axis(["score_pre", "score_post"], axis=1), "data/hci/reference_R/HCIprepost_paired.csv"


def read_hci_retest():
    total = pd.read_csv(shared_file("data/hci/HCItestretest.csv"))["total"].to_numpy()
    pairs = pd.DataFrame({"score_pre": total[1::2], "score_post": total[::2]})  # the retest row of each person is first
    return pairs, "data/hci/reference_R/HCItestretest_paired.csv"


@pytest.mark.parametrize("read", [read_learning_to_learn, read_probability, read_hci_prepost, read_hci_retest])
def test_paired_statistics_agree_with_r(read):
    pairs, reference = read()
    r = pd.read_csv(shared_file(reference)).iloc[0]
    ours = estimate_change(pairs.assign(district=None, npsn=None), cluster="none", cluster_reason=NO_CLUSTER)
    names = {
        "n_pairs": "n", "mean_pre": "mean_pre", "mean_post": "mean_post", "sd_pre": "sd_pre", "sd_post": "sd_post",
        "retest_r": "r", "mean": "mean_diff", "t": "t", "df": "df", "p": "p", "low": "ci_lo", "high": "ci_hi",
        "d_z": "dz",
    }  # fmt: skip
    assert {a: getattr(ours, a) for a in names} == pytest.approx({a: r[b] for a, b in names.items()}, rel=1e-9)
    assert ours.g_av / (1 - 3 / (4 * r["df"] - 1)) == pytest.approx(r["d_av"], rel=1e-9)


# ---------------------------------------------------------------- change, identities


@pytest.mark.parametrize("cluster", ["school", "district", "none"])
def test_identities(rng, cluster):
    pairs = make_pairs(rng)
    waves = ["score_pre", "score_post"]

    def estimate(table):
        change = asdict(estimate_change(table, cluster=cluster, cluster_reason=NO_CLUSTER))
        return pd.Series(change).drop(["cluster", "cluster_reason", "confidence"]).astype(float)

    before = estimate(pairs)
    swapped = estimate(pairs.rename(columns=dict(zip(waves, waves[::-1], strict=True))))
    flips = ["mean", "t", "d_z", "g_av"]
    assert swapped[flips].to_numpy() == pytest.approx(-before[flips].to_numpy())
    stays = ["se", "df", "p", "g_av_se", "retest_r"]
    assert swapped[stays].to_numpy() == pytest.approx(before[stays].to_numpy())
    assert (-swapped["low"], -swapped["g_av_low"]) == pytest.approx((before["high"], before["g_av_high"]))

    shifted = estimate(pairs.assign(**pairs[waves] + 1000))
    moved = ["mean_pre", "mean_post"]
    assert shifted.drop(moved).to_numpy() == pytest.approx(before.drop(moved).to_numpy(), rel=1e-8)
    assert shifted[moved].to_numpy() == pytest.approx(before[moved].to_numpy() + 1000)

    scaled = estimate(pairs.assign(**pairs[waves] * 0.03))
    free = ["t", "df", "p", "d_z", "retest_r", "g_av", "g_av_se", "g_av_low", "g_av_high"]
    assert scaled[free].to_numpy() == pytest.approx(before[free].to_numpy())

    shuffled = estimate(pairs.sample(frac=1, random_state=2))
    assert shuffled.to_numpy() == pytest.approx(before.to_numpy())


def test_interval_of_g_by_hand():
    # changes 1, 1, 3, 3; variances 4/3 and 8/3, so s = √2 and d = √2; squared deviations 1 + 4, 1 + 0, 1 + 0, 1 + 4 over
    # their mean 3, less 1: 2/3, −2/3, −2/3, 2/3; influences ψ·√2 = −1 − 2/3, −1 + 2/3, 1 + 2/3, 1 − 2/3; J = 1 − 3/11
    pairs = pd.DataFrame({"score_pre": [0, 2, 0, 2], "score_post": [1, 3, 3, 5], "district": None, "npsn": None})
    change = estimate_change(pairs, cluster="none", cluster_reason=NO_CLUSTER)
    se = 8 / 11 * np.std([-5 / 3, -1 / 3, 5 / 3, 1 / 3], ddof=1) / np.sqrt(2) / 2
    assert (change.g_av, change.g_av_se) == pytest.approx((8 / 11 * np.sqrt(2), se))
    assert (change.g_av_low, change.g_av_high) == pytest.approx(
        (change.g_av - 3.1824463053 * se, change.g_av + 3.1824463053 * se)
    )


def test_standard_error_of_g_is_that_of_the_bootstrap(rng):
    pairs = make_pairs(rng, districts=1, schools=60, change=1.5, icc=0.4).assign(district=None)
    ours = estimate_change(pairs, cluster="school")
    schools = [school[["score_pre", "score_post"]].to_numpy() for _, school in pairs.groupby("npsn")]
    again = []
    for _ in range(2000):
        drawn = np.vstack([schools[i] for i in rng.integers(len(schools), size=len(schools))])
        again.append((drawn[:, 1] - drawn[:, 0]).mean() / np.sqrt(drawn.var(axis=0, ddof=1).mean()))
    assert ours.g_av_se == pytest.approx(np.std(again), rel=0.06)  # 2,000 draws: 1.6 %; the rest is second order


@pytest.mark.coverage_proof
def test_interval_covers_the_planted_change(rng):
    truth = {"mean": 30.0}
    found = [estimate_change(make_pairs(rng), cluster="school") for _ in range(400)]
    covered = np.mean([one.low <= truth["mean"] <= one.high for one in found])
    assert 0.92 < covered < 0.98  # 400 intervals at 95 %: ± 2.2 points


def test_few_pairs_or_clusters_are_withheld(rng):
    pairs = make_pairs(rng)
    assert isinstance(estimate_change(pairs.head(0), cluster="school"), Withheld)
    assert isinstance(estimate_change(pairs.head(1), cluster="school"), Withheld)
    assert isinstance(estimate_change(pairs.assign(npsn="1"), cluster="school"), Withheld)
    assert isinstance(estimate_change(pairs.assign(score_post=pairs["score_pre"]), cluster="school"), Withheld)


def test_scores_that_do_not_vary_have_no_retest_correlation(rng):
    change = estimate_change(make_pairs(rng).assign(score_pre=400.0), cluster="school")
    assert isinstance(change.retest_r, Withheld)


def test_schools_that_are_not_known_are_counted(rng):
    pairs = make_pairs(rng)
    pairs.loc[:3, "npsn"] = None
    assert estimate_change(pairs, cluster="school").n_without_cluster == 4
    assert estimate_change(pairs.assign(npsn=None), cluster="school").n_clusters == len(pairs)


def test_a_null_score_is_an_error(rng):
    pairs = make_pairs(rng)
    pairs.loc[[1, 5], "score_post"] = None
    with pytest.raises(LinkageError, match=rf"2 of {len(pairs)} rows have no value in column score_post"):
        estimate_change(pairs, cluster="school")


def test_no_cluster_needs_a_reason_and_a_known_word(rng):
    with pytest.raises(ParameterError, match="needs a reason"):
        estimate_change(make_pairs(rng), cluster="none")
    with pytest.raises(ParameterError, match=r"“kabupaten” is not known. Choose one of: school, district, none"):
        estimate_change(make_pairs(rng), cluster="kabupaten")


# ---------------------------------------------------------------- by district


def test_districts_are_each_the_change_of_their_own_pairs(rng):
    pairs = make_pairs(rng)
    pairs.loc[pairs["district"] == "18.02", "npsn"] = "10800000"
    table = estimate_by_district(pairs.sample(frac=1, random_state=1), cluster="school").set_index("district")
    assert list(table.reset_index().columns) == DISTRICT_COLUMNS
    assert list(table.index) == sorted(pairs["district"].unique())
    assert table["n_pairs"].sum() == len(pairs)
    for district in ["18.00", "18.01", "18.03", "18.04"]:
        alone = asdict(estimate_change(pairs[pairs["district"] == district], cluster="school"))
        row = table.loc[district].drop("note")
        assert row.to_numpy(dtype=float) == pytest.approx(np.array([alone[name] for name in row.index]))
    assert table.loc["18.02", "note"] == "one_cluster"
    assert table.loc["18.02", ["se", "df", "low", "high"]].isna().all()
    assert table.loc["18.02", "mean"] == pytest.approx(table.loc["18.02", "mean_post"] - table.loc["18.02", "mean_pre"])


def test_districts_of_nobody_of_null_and_of_no_variation(rng):
    pairs = make_pairs(rng)
    empty = estimate_by_district(pairs.head(0), cluster="school")
    assert (list(empty.columns), len(empty)) == (DISTRICT_COLUMNS, 0)
    pairs.loc[pairs["district"] == "18.01", "district"] = None
    pairs.loc[pairs["district"] == "18.03", "score_post"] = pairs["score_pre"] + 7
    table = estimate_by_district(pairs, cluster="none")
    assert table["district"].isna().tolist() == [False] * 4 + [True]
    assert table["note"].fillna("").tolist() == ["", "", "no_variation", "", ""]
    assert estimate_by_district(pairs, cluster="district")["note"].tolist()[:4] == ["one_cluster"] * 4


# ---------------------------------------------------------------- leavers


def split_by_attrition(pairs, rng, *, strength=1.0):
    """Return stayers and leavers: who scored lower before is likelier to leave."""
    z = (pairs["score_pre"] - 500) / 100
    stays = rng.uniform(size=len(pairs)) < 1 / (1 + np.exp(-strength * (1 + z)))
    return pairs[stays], pairs[~stays].drop(columns="score_post")


def test_the_adjusted_change_is_the_regression_prediction(rng):
    stayers, leavers = split_by_attrition(make_pairs(rng), rng)
    fit = sm.OLS(stayers["score_post"], sm.add_constant(stayers["score_pre"])).fit()
    predicted = fit.predict(sm.add_constant(leavers["score_pre"]))
    gains = np.concatenate([stayers["score_post"] - stayers["score_pre"], predicted - leavers["score_pre"]])
    ours = adjust_for_leavers(stayers, leavers, cluster="school")
    assert len(leavers) > 20
    assert ours.estimate == pytest.approx(gains.mean(), rel=1e-10)


def test_without_leavers_nothing_is_adjusted(rng):
    pairs = make_pairs(rng)
    ours, headline = (
        adjust_for_leavers(pairs, pairs.head(0), cluster="school"),
        estimate_change(pairs, cluster="school"),
    )
    assert (ours.estimate, ours.se, ours.df) == pytest.approx((headline.mean, headline.se, headline.df))


def test_adjusted_standard_error_is_that_of_the_jackknife(rng):
    pairs = make_pairs(rng, districts=1, schools=150).assign(district=None)
    stayers, leavers = split_by_attrition(pairs.assign(score_pre=pairs["score_pre"] - 100), rng, strength=2)
    ours = adjust_for_leavers(stayers, leavers, cluster="school")
    without = np.array(
        [
            adjust_for_leavers(
                stayers[stayers["npsn"] != school], leavers[leavers["npsn"] != school], cluster="none"
            ).estimate
            for school in np.union1d(stayers["npsn"], leavers["npsn"])
        ]
    )
    J = len(without)
    assert ours.se == pytest.approx(np.sqrt((J - 1) / J * ((without - without.mean()) ** 2).sum()), rel=0.05)


@pytest.mark.coverage_proof
def test_the_adjusted_interval_covers_the_planted_change(rng):
    found = []
    for _ in range(400):
        pairs = make_pairs(rng, schools=8)
        found.append(adjust_for_leavers(*split_by_attrition(pairs, rng), cluster="school"))
    assert 0.92 < np.mean([one.low <= 30 <= one.high for one in found]) < 0.98  # 400 intervals at 95 %: ± 2.2 points
    assert np.mean([one.estimate for one in found]) == pytest.approx(30, abs=1.5)


def test_a_line_needs_three_stayers(rng):
    pairs = make_pairs(rng)
    leavers = pairs.tail(5)
    assert isinstance(adjust_for_leavers(pairs.head(2), leavers, cluster="none"), Withheld)
    assert isinstance(adjust_for_leavers(pairs.head(9).assign(score_pre=1.0), leavers, cluster="none"), Withheld)


def test_leaver_gap_by_hand():
    # means 4 and 2, pooled variance (2 + 8) / 4 = 2.5, J = 1 − 3/15
    gap = compare_leavers([3, 4, 5], [0, 2, 4])
    g = 0.8 * -2 / np.sqrt(2.5)
    half = 0.8 * 1.959963985 * np.sqrt(6 / 9 + (4 / 2.5) / 12)
    assert (gap.g, gap.low, gap.high) == pytest.approx((g, g - half, g + half))
    assert (gap.n_stayers, gap.n_leavers, gap.mean_stayers, gap.mean_leavers) == (3, 3, 4, 2)
    back = compare_leavers([0, 2, 4], [3, 4, 5])
    assert (back.g, back.low, back.high) == pytest.approx((-gap.g, -gap.high, -gap.low))


def test_a_gap_that_cannot_be_computed_is_withheld():
    assert isinstance(compare_leavers([1, 2, 3], [1]), Withheld)
    assert isinstance(compare_leavers([1, 1], [0.1, 0.1]), Withheld)
    with pytest.raises(LinkageError):
        compare_leavers([1, 2], [1, None])


# ---------------------------------------------------------------- draws and link


def make_draws(rng, pairs, *, m=5, spread=40.0):
    frames = []
    for draw in range(1, m + 1):
        shift = rng.normal(0, spread / np.sqrt(len(pairs)), 2)
        frames.append(
            pd.DataFrame(
                {
                    "pid": pairs["pid"],
                    "draw": draw,
                    "score_pre": pairs["score_pre"] + shift[0],
                    "score_post": pairs["score_post"] + shift[1],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def test_measurement_and_link_are_in_the_interval(rng):
    """T = Ū + (1 − w)(1 + 1/m)B + e², by hand; w is the share of the persons who made the link."""
    pairs = make_pairs(rng)
    pairs = pairs.assign(pid=[f"p{i}" for i in range(len(pairs))], unit="scale", linking_error=6.0, n_anchors=12)
    draws = make_draws(rng, pairs)
    plain_pairs = pairs.assign(linking_error=0.0, n_anchors=0, n_link=0)
    own = [
        estimate_change(
            pairs.assign(score_pre=d["score_pre"].to_numpy(), score_post=d["score_post"].to_numpy()), cluster="school"
        )
        for _, d in draws.groupby("draw")
    ]
    within, between = np.mean([one.se**2 for one in own]), (1 + 1 / 5) * np.var([one.mean for one in own], ddof=1)
    for n_link, share in ((0, 0.0), (len(pairs), 1.0), (2 * len(pairs), 0.5)):
        linked = estimate_change(pairs.assign(n_link=n_link), draws, cluster="school")
        assert linked.mean == pytest.approx(np.mean([one.mean for one in own]))
        assert linked.se**2 == pytest.approx(within + (1 - share) * between + 36)
    assert estimate_change(plain_pairs, draws, cluster="school").se ** 2 == pytest.approx(within + between)
    # a link that seems better than its own sample can be measured adds nothing, and takes nothing off
    tiny = estimate_change(pairs.assign(linking_error=1e-6, n_link=len(pairs)), draws, cluster="school")
    assert tiny.se**2 == pytest.approx(within + between)


def test_a_pair_without_draws_is_refused(rng):
    pairs = make_pairs(rng).assign(linking_error=0.0, n_anchors=0, n_link=0)
    pairs = pairs.assign(pid=[f"p{i}" for i in range(len(pairs))])
    draws = make_draws(rng, pairs)
    with pytest.raises(LinkageError, match="1 "):
        estimate_change(pairs, draws[draws["pid"] != "p3"], cluster="school")
