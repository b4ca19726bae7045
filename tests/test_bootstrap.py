"""The wild cluster bootstrap: by its definition, against sign flips and another program, its interval, draws and link."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from bgtk_lib.change.clusters import code_clusters, contrast_cr2
from bgtk_lib.change.drawn import combine, lay_draws
from bgtk_lib.change.precision.bootstrap import WildTest, bootstrap_contrast, bootstrap_mean
from bgtk_lib.change.precision.wild import N_DRAWS, POINTS, choose_weights, draw_wild, lay_contrast, list_weights
from bgtk_lib.errors import ParameterError
from bgtk_lib.findings import Withheld


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


def seed():
    return np.random.default_rng(1)


def make_pairs(rng, *, clusters=13, change=0.4, spread=0.5, sizes=(5, 60)):
    """Return pairs of districts of unequal size, one school each, whose change varies by `spread` around `change`."""
    size = rng.integers(*sizes, size=clusters)
    place = np.repeat(np.arange(clusters), size)
    gain = change + spread * rng.normal(size=clusters)[place] + rng.normal(size=len(place))
    frame = pd.DataFrame({"pid": [f"p{i}" for i in range(len(place))], "score_pre": rng.normal(size=len(place))})
    frame["score_post"] = frame["score_pre"] + gain
    return frame.assign(district=pd.Series(place).map("18.{:02d}".format), npsn=None)


def make_other(rng):
    """Return the data of the values that another program gave (see `test_another_program`)."""
    size = rng.integers(5, 60, 13)
    g = np.repeat(np.arange(13), size)
    n = len(g)
    x = rng.normal(size=n) + 0.3 * rng.normal(size=13)[g]
    treated = (g % 3 == 0).astype(float)
    field = rng.integers(0, 3, n)
    y = 0.15 + 0.4 * treated + 0.3 * x + 0.2 * field + 0.4 * rng.normal(size=13)[g] + rng.normal(size=n)
    return y, np.column_stack([treated, x, np.eye(3)[field]]), g


def compute_by_definition(y, X, g, *, c, null, weights):
    """Return t of the data and t* of every draw, with n × n algebra and a fit to each draw."""
    n, k, G = *X.shape, g.max() + 1
    M = np.linalg.inv(X.T @ X)

    def t_of(outcome):
        b = M @ X.T @ outcome
        left = outcome - X @ b
        scores = np.array([c @ M @ X[g == j].T @ left[g == j] for j in range(G)])
        return (c @ b - null) / np.sqrt(G / (G - 1) * (n - 1) / (n - k) * (scores**2).sum())

    b = M @ X.T @ y
    held = b - M @ c * (c @ b - null) / (c @ M @ c)
    left = y - X @ held
    return t_of(y), np.array([t_of(X @ held + left * v[g]) for v in weights])


@pytest.mark.parametrize("null", [0.0, 0.7, -3.0])
def test_polynomials_are_the_definition(rng, null):
    """Every t* to 1e-11: both are double precision sums, some hundred terms long."""
    g, n = np.sort(rng.integers(0, 7, 120)), 120
    X = np.column_stack([np.eye(3)[rng.integers(0, 3, n)], rng.normal(size=n), g % 2])
    y, c = rng.normal(size=7)[g] + rng.normal(size=n), np.array([0, 0, 0, 0, 1.0])
    weights = POINTS["webb"][rng.integers(6, size=(40, 7))]
    t, drawn = compute_by_definition(y, X, g, c=c, null=null, weights=weights)

    contrast = lay_contrast(X, g, c)
    top, below = draw_wild(contrast, y - contrast.Z @ (contrast.Z.T @ y), iter([weights]))
    shift = float(contrast.a @ (contrast.Z.T @ y)) - null
    square = contrast.factor * (below[0] + below[1] * shift + below[2] * shift**2)
    np.testing.assert_allclose((top[0] + top[1] * shift) / np.sqrt(square), drawn, atol=1e-11)
    told = bootstrap_contrast(y - null * X[:, 4], X, g, weights=c, rng=seed())
    assert told.t == pytest.approx(t, abs=1e-11)


def test_clusters_of_one_are_flipped_signs(rng):
    """With a cluster to each value t* rises with |Σ v(y − null)|: the exact test of flipped signs."""
    y = rng.normal(0.4, 1, size=12)
    told = bootstrap_contrast(y, np.ones((12, 1)), None, weights=[1], rng=seed())
    sums = np.abs([np.dot(signs, y) for signs in product((-1, 1), repeat=12)])
    assert told.exhaustive
    assert told.n_draws == 2**12
    assert told.p == pytest.approx(np.mean(sums >= abs(y.sum()) - 1e-9), abs=1e-12)
    # and its interval: the values that this test does not reject, which change where two sums meet
    for end, outside in zip(told.interval, (-1e-4, 1e-4), strict=True):
        flipped = [
            np.abs([np.dot(signs, y - null) for signs in product((-1, 1), repeat=12)])
            >= abs((y - null).sum()) * (1 - 1e-9)
            for null in (end - outside, end + outside)
        ]
        assert np.mean(flipped[0]) >= 0.05 >= np.mean(flipped[1])


def test_another_program(rng):
    """p of pyfixest 0.60 with wildboottest, which also takes all 2¹³ patterns: 76 and 182 of them, t to nine digits."""
    y, X, g = make_other(rng)
    mean = bootstrap_contrast(y, np.ones((len(y), 1)), g, weights=[1], rng=seed())
    assert (mean.p, mean.n_draws) == (pytest.approx(76 / 8192, abs=1e-12), 8192)
    assert mean.t == pytest.approx(2.6462589096, abs=1e-9)
    effect = bootstrap_contrast(y, X, g, weights=[1, 0, 0, 0, 0], rng=seed())
    assert effect.p == pytest.approx(182 / 8192, abs=1e-12)
    assert effect.t == pytest.approx(3.0672159286, abs=1e-9)


def test_weights_and_patterns():
    assert choose_weights(5) == ("webb", True)
    assert choose_weights(6) == choose_weights(11) == ("webb", False)
    assert choose_weights(12) == choose_weights(13) == ("rademacher", True)
    assert choose_weights(14) == ("rademacher", False)
    for points in POINTS.values():  # mean 0, variance 1
        assert abs(points.sum()) < 1e-12
        assert (points**2).mean() == pytest.approx(1, abs=1e-12)
    assert len(next(list_weights(5, seed()))) == 6**5
    parts = list(list_weights(3_000, seed()))
    assert len(parts) > 1
    assert sum(len(part) for part in parts) == N_DRAWS


def test_p_and_interval_agree(rng):
    """The p-value of an end is 1 − confidence, but for one step of 1/8192 at a jump."""
    drawn = lay_draws(make_pairs(rng), pd.DataFrame())
    told = bootstrap_mean(drawn, cluster="district", rng=seed(), confidence=0.9)
    for end in told.interval:
        shifted = replace(drawn, post=drawn.post - end)
        assert bootstrap_mean(shifted, cluster="district", rng=seed()).p == pytest.approx(0.1, abs=2e-3)
    assert told.interval[0] < told.estimate < told.interval[1]


def test_identities(rng):
    pairs = make_pairs(rng)
    drawn = lay_draws(pairs, pd.DataFrame())
    told = bootstrap_mean(drawn, cluster="district", rng=seed())
    swapped = bootstrap_mean(replace(drawn, pre=drawn.post, post=drawn.pre), cluster="district", rng=seed())
    assert (swapped.p, swapped.estimate) == pytest.approx((told.p, -told.estimate), abs=1e-9)
    assert swapped.interval == pytest.approx((-told.interval[1], -told.interval[0]), abs=1e-4)
    moved = bootstrap_mean(replace(drawn, post=drawn.post + 10), cluster="district", rng=seed())
    assert moved.interval == pytest.approx(tuple(end + 10 for end in told.interval), abs=1e-4)
    shuffled = lay_draws(pairs.sample(frac=1, random_state=1), pd.DataFrame())
    again = bootstrap_mean(shuffled, cluster="district", rng=seed())
    assert (again.p, *again.interval) == pytest.approx((told.p, *told.interval), abs=1e-4)
    scaled = bootstrap_mean(replace(drawn, pre=100 * drawn.pre, post=100 * drawn.post), cluster="district", rng=seed())
    assert scaled.p == told.p


def test_schools_in_fixed_districts_agree_with_cr2(rng):
    """With many clusters both tests are the normal one: intervals within 4 % of their length."""
    pairs = make_pairs(rng, clusters=10, sizes=(60, 100))
    pairs["npsn"] = pairs["district"] + (np.arange(len(pairs)) % 8).astype(str)
    drawn = lay_draws(pairs, pd.DataFrame())
    told = bootstrap_mean(drawn, cluster="school", rng=seed())
    dummies = pd.get_dummies(pairs["district"]).to_numpy(dtype=float)
    cr2 = contrast_cr2(drawn.gain[:, 0], dummies, pairs["npsn"], weights=dummies.mean(axis=0))[0]
    assert told.n_clusters == 80
    assert told.estimate == pytest.approx(cr2.estimate, abs=1e-12)
    np.testing.assert_allclose(told.interval, [cr2.low, cr2.high], atol=0.04 * (cr2.high - cr2.low))


def test_size_with_unequal_clusters():
    """No change, 14 districts of 20 to 400: 120 tests at 5 % reject 0 to 13 times (99.7 % of binomial draws)."""
    rng, size = np.random.default_rng(7), np.geomspace(20, 400, 14).astype(int)
    g = np.repeat(np.arange(14), size)
    X = np.ones((len(g), 1))
    tests = [
        bootstrap_contrast(0.3 * rng.normal(size=14)[g] + rng.normal(size=len(g)), X, g, weights=[1], rng=rng)
        for _ in range(120)
    ]
    assert sum(test.p <= 0.05 for test in tests) <= 13
    assert sum(test.interval[0] <= 0 <= test.interval[1] for test in tests) >= 107
    assert sum(test.p <= 0.5 for test in tests) >= 40  # nor does it never reject


def test_few_clusters_are_refused_and_few_that_carry_are_named(rng):
    for clusters in (2, 4):
        told = bootstrap_mean(
            lay_draws(make_pairs(rng, clusters=clusters), pd.DataFrame()), cluster="district", rng=rng
        )
        assert isinstance(told, Withheld)
    y, g = rng.normal(size=400), np.repeat(np.arange(40), 10)
    for treated, named in ((3, True), (20, False)):
        X = np.column_stack([np.ones(400), g < treated])
        told = bootstrap_contrast(y, X, g, weights=[0, 1], rng=seed())
        assert (told.note is not None) is named
        assert (told.n_clusters_effective < 5) is named
    sizes = np.array([50, 1, 1, 1, 1, 1, 1])  # one district is nearly everything
    told = bootstrap_contrast(
        rng.normal(size=56), np.ones((56, 1)), np.repeat(np.arange(7), sizes), weights=[1], rng=rng
    )
    assert told.n_clusters_effective == pytest.approx(56**2 / (sizes**2).sum())
    assert told.note is not None


def test_odd_inputs(rng):
    g = np.arange(20) % 10
    assert isinstance(bootstrap_contrast(np.full(20, 3.0), np.ones((20, 1)), g, weights=[1], rng=rng), Withheld)
    with pytest.raises(ParameterError):
        bootstrap_contrast(rng.normal(size=20), np.ones((20, 2)), g, weights=[1, 0], rng=rng)
    alone = pd.Series([None] * 20, dtype="str")  # nobody's school is known: everyone a cluster
    assert bootstrap_contrast(rng.normal(size=20), np.ones((20, 1)), alone, weights=[1], rng=rng).n_clusters == 20
    sure = bootstrap_contrast(
        rng.normal(size=5), np.ones((5, 1)), np.arange(5), weights=[1], rng=rng, confidence=0.9999
    )
    assert isinstance(sure.interval, Withheld)  # 6⁵ patterns, 6 of them all alike: nothing is rejected at 1 in 10,000


def test_draws_and_link_widen(rng):
    pairs = make_pairs(rng, clusters=30)
    one = lay_draws(pairs, pd.DataFrame())
    plain = bootstrap_mean(one, cluster="district", rng=seed())
    same = replace(one, pre=np.repeat(one.pre, 5, axis=1), post=np.repeat(one.post, 5, axis=1))
    agreed = bootstrap_mean(same, cluster="district", rng=seed())  # draws that agree add nothing
    assert (agreed.p, *agreed.interval) == pytest.approx((plain.p, *plain.interval), abs=1e-5)

    noise = rng.normal(size=(one.n, 20)) + 0.05 * rng.normal(size=20)
    many = replace(one, pre=np.zeros((one.n, 20)), post=one.gain + noise)
    linked = replace(many, linking_error=0.2, link_df=11.0)
    for drawn in (many, linked):
        told = bootstrap_mean(drawn, cluster="district", rng=seed())
        contrast = lay_contrast(np.ones((one.n, 1)), code_clusters(pairs["district"], one.n), [1])
        parts = contrast.sum_up(drawn.gain - drawn.gain.mean(axis=0)) / one.n
        variances = contrast.factor * (parts**2).sum(axis=0)
        whole = combine(drawn, drawn.gain.mean(axis=0), variances, df=29, linked=1, confidence=0.95)
        assert told.se == pytest.approx(whole.se, abs=1e-12)
        # 30 clusters: the bootstrap is near t with 29, so the two intervals differ by a tenth of their length at most
        np.testing.assert_allclose(told.interval, [whole.low, whole.high], atol=0.1 * (whole.high - whole.low))
    assert told.se > plain.se
    assert told.interval[1] - told.interval[0] > plain.interval[1] - plain.interval[0]


def test_draws_of_a_contrast(rng):
    y, X, g = make_other(rng)
    weights = [1, 0, 0, 0, 0]
    one = bootstrap_contrast(y, X, g, weights=weights, rng=seed())
    told = bootstrap_contrast(np.repeat(y[:, None], 4, axis=1), X, g, weights=weights, rng=seed())
    assert isinstance(told, WildTest)
    assert (told.p, told.se) == pytest.approx((one.p, one.se), abs=1e-9)
    noisy = bootstrap_contrast(y[:, None] + rng.normal(size=(len(y), 20)), X, g, weights=weights, rng=seed())
    assert noisy.se > one.se


def test_no_p_is_zero(rng):
    """The data count as one draw: where nothing drawn is as extreme, p is 1 in 10,000."""
    drawn = lay_draws(make_pairs(rng, clusters=20, change=50.0), pd.DataFrame())
    assert bootstrap_mean(drawn, cluster="district", rng=seed()).p == pytest.approx(1e-4, abs=1e-12)


def test_repeatable(rng):
    drawn = lay_draws(make_pairs(rng, clusters=20), pd.DataFrame())
    assert bootstrap_mean(drawn, cluster="district", rng=seed()) == bootstrap_mean(
        drawn, cluster="district", rng=seed()
    )
