"""Expert panels and the agreement of raters: by hand, against published tables and R, and on panels that spoil all."""

import itertools
import json
import os
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import proportion_confint

from bgtk_lib.errors import ParameterError
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument.agreement import estimate_agreement, estimate_concordance
from bgtk_lib.instrument.content_validity import critical_cvr, critical_v, judge_sums, right_tail, score_interval
from bgtk_lib.instrument.experts import (
    ADVICE_COLUMNS,
    AGAINST,
    ASIDE_COLUMNS,
    CONFLICTS,
    ITEM_COLUMNS,
    NO_VERDICT,
    ORGANISATION_COLUMNS,
    SCALE_COLUMNS,
    SCALES,
    UNUSABLE,
    USED_COLUMNS,
    Advice,
    RatingScale,
    explain_code,
    review_panel,
)
from bgtk_lib.instrument.intraclass import ICC_COLUMNS, ICC_FORMS, estimate_icc

SHARED = Path(os.environ.get("BGTK_SHARED", Path(__file__).parents[2] / "shared"))
AGREES = 1e-12  # both sides compute the same closed formula in double precision
PRINTED = 5e-6  # the reference was printed with five places

CODES = {*UNUSABLE, *CONFLICTS, *NO_VERDICT, *AGAINST, *get_args(Advice)}

# Aiken's critical values as standards.md 3.2 prints them: V (p), for 3 to 7 categories
AIKEN = {
    2: "– – 1.00(.040) 1.00(.028) 1.00(.020)",
    3: "1.00(.037) 1.00(.016) .92(.032) .87(.046) .89(.029)",
    4: "1.00(.012) .92(.020) .88(.024) .85(.027) .83(.029)",
    5: ".90(.025) .87(.021) .80(.040) .80(.032) .77(.047)",
    6: ".83(.038) .78(.050) .79(.029) .77(.036) .75(.041)",
    7: ".86(.016) .76(.045) .75(.041) .74(.038) .74(.036)",
    8: ".81(.024) .75(.040) .75(.030) .73(.039) .71(.047)",
    9: ".78(.032) .74(.036) .72(.038) .71(.039) .70(.040)",
    10: ".75(.040) .73(.032) .70(.047) .70(.039) .68(.048)",
    15: ".70(.040) .69(.032) .67(.041) .65(.048) .66(.041)",
    20: ".68(.037) .65(.044) .64(.048) .64(.038) .63(.041)",
    25: ".66(.033) .64(.037) .63(.038) .62(.039) .61(.050)",
}


def shared_file(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return path


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


def make_panel(ratings, scale="relevance_4", **columns):
    """One item rated by a, b, c …; or a mapping item → ratings."""
    by_item = ratings if isinstance(ratings, dict) else {"b1": ratings}
    rows = [(item, rater, rating) for item, given in by_item.items() for rater, rating in zip("abcdefghijkl", given)]  # noqa: B905
    return pd.DataFrame(rows, columns=["item_id", "rater", "rating"]).assign(scale=scale, **columns)


def review(panel, **words):
    return review_panel(panel, **({"writers": None} | words))


def first(panel, **words):
    return review(panel, **words).items.iloc[0]


# ---------------------------------------------------------------- critical values


@pytest.mark.parametrize("n", AIKEN)
def test_the_printed_table_of_critical_values_is_computed(n):
    for categories, entry in zip(range(3, 8), AIKEN[n].split(), strict=True):
        found = critical_v(n, n_categories=categories)
        if entry == "–":
            assert isinstance(found, Withheld)
            continue
        v, p = (float(part) for part in entry.rstrip(")").split("("))
        assert (found.value, found.p) == (pytest.approx(v, abs=0.00501), pytest.approx(p, abs=0.000501))  # as printed


def test_critical_values_at_one_percent():
    printed = {(3, 5): 1, (4, 4): 1, (4, 5): 0.94, (5, 4): 0.93, (5, 5): 0.9, (6, 4): 0.89, (6, 5): 0.88, (7, 4): 0.86}
    printed |= {(7, 5): 0.86, (10, 4): 0.8, (10, 5): 0.78}
    for (n, categories), v in printed.items():
        assert critical_v(n, n_categories=categories, alpha=0.01).value == pytest.approx(v, abs=0.00501)


def test_critical_values_agree_with_r():
    table = pd.read_csv(shared_file("reference/debian_r/data/aiken_v_critical.csv"))
    for row in table.to_dict("records"):
        found = critical_v(row["raters"], n_categories=row["categories"], alpha=row["alpha"])
        # R convolves by FFT: its p is right to about 1e-15, not relatively
        assert (found.value, found.p) == (pytest.approx(row["V"], abs=AGREES), pytest.approx(row["p"], abs=AGREES))
    found = {(row["raters"], row["categories"], row["alpha"]) for row in table.to_dict("records")}
    absent = set(itertools.product(range(3, 26), range(2, 8), (0.05, 0.01))) - found
    assert len(absent) > 3
    assert all(isinstance(critical_v(n, n_categories=c, alpha=a), Withheld) for n, c, a in absent)


def test_cvr_agrees_with_r_and_with_the_printed_table():
    table = pd.read_csv(shared_file("reference/debian_r/data/cvr_critical.csv"))
    for row in table.to_dict("records"):
        found = critical_cvr(row["N"])
        assert (found.count, found.value) == (row["n_crit"], pytest.approx(row["cvr_crit"], abs=AGREES))
        assert found.p == pytest.approx(row["p"], abs=AGREES)


@pytest.mark.parametrize(
    ("n", "count", "cvr"), [(5, 5, 1), (8, 7, 0.75), (9, 8, 0.778), (10, 9, 0.8), (13, 10, 0.538), (40, 26, 0.3)]
)
def test_cvr_critical_values_as_published(n, count, cvr):
    found = critical_cvr(n)
    assert (found.count, found.value) == (count, pytest.approx(cvr, abs=0.0005))
    assert found.p == pytest.approx(stats.binom.sf(count - 1, n, 0.5), abs=AGREES)
    assert stats.binom.sf(count - 2, n, 0.5) > 0.05


def test_four_cannot_reach_a_cvr_beyond_chance():
    found = critical_cvr(4)  # (1/2)⁴ = .0625
    assert isinstance(found, Withheld)
    assert "4 raters" in found.reason.en


def test_a_tail_equal_to_alpha_is_reached():
    found = critical_v(2, n_categories=10, alpha=0.01)  # both give the highest of ten: exactly 1/100
    assert (found.value, found.count) == (1, 18)


@pytest.mark.parametrize(("n", "categories"), [(0, 4), (1, 4), (3, 1), (2, 4)])
def test_no_critical_value_where_nothing_is_rare(n, categories):
    assert isinstance(critical_v(n, n_categories=categories), Withheld)


@pytest.mark.parametrize(("n", "c"), [(1, 4), (3, 4), (4, 3), (2, 7)])
def test_the_tail_counts_every_way_to_rate(n, c):
    sums = [sum(ratings) for ratings in itertools.product(range(c), repeat=n)]
    counted = [sum(s >= t for s in sums) / c**n for t in range(n * (c - 1) + 1)]
    assert right_tail(n, c) == pytest.approx(counted, abs=AGREES)


def test_raters_at_random_reach_the_critical_value_as_often_as_it_says(rng):
    found = critical_v(7, n_categories=5)
    reached = (rng.integers(0, 5, size=(40_000, 7)).sum(axis=1) >= found.count).mean()
    assert reached == pytest.approx(found.p, abs=4 * np.sqrt(found.p / 40_000))  # four standard errors


def test_sums_without_a_rater_have_no_tail():
    p, least = judge_sums([0, 0, 3], n=[0, 1, 1], n_categories=[4, 4, 4])
    assert p == pytest.approx([np.nan, 1, 0.25], nan_ok=True)
    assert np.isnan(least).all()


# ---------------------------------------------------------------- intervals of V


def test_content_validity_agrees_with_r():
    reference = json.loads(shared_file("reference/debian_r/content_validity.json").read_text())
    panel = make_panel({f"b{i}": row for i, row in enumerate(reference["ratings"])}, scale="relevance_5")
    result = review(panel)
    for column, name in (("v", "V"), ("cvi", "I_CVI"), ("p", "p_right")):
        assert result.items[column].to_numpy() == pytest.approx(reference[name], abs=AGREES)
    assert result.items[["v_low", "v_high"]].to_numpy() == pytest.approx(np.array(reference["score_ci"]), abs=AGREES)
    assert result.scales.loc[0, "cvi_average"] == pytest.approx(reference["S_CVI_Ave"], abs=AGREES)


@pytest.mark.parametrize(
    ("folder", "file", "n_raters"),
    [
        ("aiken_chatgpt_literacy", "data_Aiken_ChatGPT.csv", 12),
        ("aiken_tutoring", "data_Aiken_Tutoring.csv", 20),
    ],
)
def test_published_panels_agree_with_r(folder, file, n_raters):
    wide = pd.read_csv(shared_file(f"data/{folder}/data/{file}"), encoding="utf-8-sig")
    wide["rater"] = wide.groupby("dimension").cumcount()
    long = wide.melt(["dimension", "rater"], var_name="item_id", value_name="rating")
    long["scale"] = long["dimension"].map({"relevance": "relevance_4", "wording": "clarity_4"})
    reference = pd.read_csv(shared_file(f"data/{folder}/reference_R/aiken_v.csv"))
    reference["scale"] = reference["dimension"].map({"relevance": "relevance_4", "wording": "clarity_4"})
    items = review(long, confidence=1 - 2 * stats.norm.sf(1.96)).items  # the reference has 1.96 for z
    both = items.merge(reference, left_on=["item_id", "scale"], right_on=["item", "scale"], validate="1:1")
    assert len(both) == len(items) == len(reference) >= 40
    assert (both["n"] == n_raters).all()
    for ours, theirs in (("v", "V"), ("v_low", "lower"), ("v_high", "upper"), ("cvi", "I_CVI_3plus")):
        assert both[ours].to_numpy() == pytest.approx(both[theirs].to_numpy(), abs=AGREES), ours


def test_published_intervals_that_count_categories_are_too_narrow():
    """The authors of the tutoring scale print intervals (doi:10.5281/zenodo.16789795, notebook, relevance, 20 raters).

    Theirs have the number of categories, 4, where Penfield and Giacobbi have the range, 3: what a scale of five
    categories would give. The V are ours too.
    """
    printed = {0.967: (0.901, 0.989), 0.817: (0.718, 0.886), 0.7: (0.592, 0.789), 0.45: (0.346, 0.559)}
    for v, ends in printed.items():
        exact = round(v * 60) / 60
        assert score_interval(exact, n=20, n_categories=5) == pytest.approx(ends, abs=0.000501)
        low, high = score_interval(exact, n=20, n_categories=4)
        assert low < ends[0] - 0.01
        assert high > ends[1] + 0.001


def test_the_score_interval_is_wilsons(rng):
    n, c = rng.integers(1, 30, 200), rng.integers(2, 8, 200)
    total = rng.integers(0, n * (c - 1) + 1)
    low, high = proportion_confint(total, n * (c - 1), alpha=0.1, method="wilson")
    ends = score_interval(total / (n * (c - 1)), n=n, n_categories=c, confidence=0.9)
    assert ends == pytest.approx(np.column_stack([low, high]), abs=AGREES)


@pytest.mark.parametrize(
    ("share", "low", "high"),
    [
        ([1 / 64, 9 / 64, 27 / 64, 27 / 64], 0.94, 0.98),  # three coin tosses of 3/4 each: what the formula supposes
        ([0, 0, 0.3, 0.7], 0.95, 1),  # experts who nearly agree
        ([0.25, 0, 0, 0.75], 0.75, 0.90),  # a panel split between the ends: the interval is too narrow, as docs say
    ],
)
def test_the_score_interval_covers_as_often_as_the_documents_say(share, low, high, rng):
    truth = np.array(share) @ np.arange(4) / 3
    v = rng.choice(4, p=share, size=(4000, 10)).sum(axis=1) / 30
    ends = score_interval(v, n=10, n_categories=4)
    assert low < ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean() <= high


# ---------------------------------------------------------------- CVI


@pytest.mark.parametrize(
    ("n", "n_yes", "kappa"),
    # pc and k* as printed in BMC Health Services Research 2017, doi:10.1186/s12913-017-2469-8, table 10
    [(10, 8, 0.79), (10, 7, 0.66), (9, 7, 0.76), (9, 6, 0.60), (9, 8, 0.89), (10, 10, 1.0)],
)
def test_modified_kappa_as_published(n, n_yes, kappa):
    item = first(make_panel([4] * n_yes + [2] * (n - n_yes)))
    assert item["kappa_star"] == pytest.approx(kappa, abs=0.00501)
    assert item["cvi"] == pytest.approx(n_yes / n)


@pytest.mark.parametrize(
    ("n", "least"), [(2, None), (3, 3), (4, 4), (5, 5), (6, 5), (7, 6), (8, 7), (9, 7), (10, 8), (12, 10)]
)
def test_how_many_must_say_yes(n, least):
    panel = make_panel({str(k): [4] * k + [2] * (n - k) for k in range(n + 1)})
    items = review(panel).items.set_index("item_id")
    if least is None:
        assert items["cvi_least"].isna().all()
        return
    enough, short = items.loc[str(least)], items.loc[str(least - 1)]
    assert enough["cvi"] >= enough["cvi_least"] - AGREES
    assert short["cvi"] < short["cvi_least"] - AGREES
    assert short["note"] in ("few_favourable", "not_supported")


def test_s_cvi_by_hand():
    panel = make_panel({"b1": [4, 4, 3], "b2": [4, 4, 1], "b3": [None] * 3})
    result = review(panel)
    assert result.scales.to_dict("records")[0] | {"note": None} == {
        "scale": "relevance_4",
        "n_items": 2,
        "n_unrated": 1,
        "n_raters": 3,
        "cvi_average": pytest.approx((1 + 2 / 3) / 2),
        "cvi_unanimous": 0.5,
        "note": None,
    }


# ---------------------------------------------------------------- advice


@pytest.mark.parametrize(
    ("ratings", "scale", "advice", "note"),
    [
        ([4, 4, 4], "relevance_4", "keep", None),
        ([4, 4, 3], "relevance_4", "discuss", "not_significant"),  # V = .89: three raters need 1.00
        ([4, 4, 2], "relevance_4", "revise", "not_supported"),
        ([4, 4], "relevance_4", "discuss", "cannot_be_significant"),
        ([1], "relevance_4", "discuss", "cannot_be_significant"),
        ([5, 5], "relevance_5", "discuss", "too_few_raters"),  # V = 1 is rare enough (1/25), no share is
        ([4, 4, 4, 4, 4, 4, 2, 2], "clarity_4", "discuss", "few_favourable"),  # V = .83 ≥ .75, but 6 of 8
        ([2] * 8, "clarity_4", "revise", "not_supported"),
        ([None, None, 7], "relevance_4", "discuss", "no_independent_rating"),
        ([3] * 9 + [1], "essential_3", "keep", None),
        ([3] * 8 + [1, 1], "essential_3", "discuss", "few_favourable"),  # CVR .6 < .8; I-CVI .8 would do
        ([3] * 4, "essential_3", "discuss", "too_few_raters"),  # V = 1 is rare enough (1/81), CVR is not (1/16)
    ],
)
def test_advice_follows_its_stated_rules(ratings, scale, advice, note):
    item = first(make_panel(ratings, scale=scale))
    assert item["advice"] == advice
    assert (item["note"] if note else None) == note
    assert pd.isna(item["note"]) == (note is None)


def test_advice_stands_beside_its_critical_value():
    items = review(make_panel({"b1": [4, 4, 3], "b2": [4, 4, None], "b3": [None] * 3})).items.set_index("item_id")
    assert items["n"].to_list() == [3, 2, 0]
    assert items["v"].to_list() == pytest.approx([8 / 9, 1, np.nan], nan_ok=True)
    assert items["v_critical"].to_list() == pytest.approx([1, np.nan, np.nan], nan_ok=True)
    assert items["p"].to_list() == pytest.approx([4 / 64, 1 / 16, np.nan], nan_ok=True)


def test_an_item_has_the_gravest_advice_of_its_scales():
    good, poor = make_panel({"b1": [4] * 6, "b2": [4] * 6}), make_panel({"b1": [1] * 6, "b2": [4] * 6}, "clarity_4")
    advice = review(pd.concat([good, poor])).advice
    assert list(advice.columns) == ADVICE_COLUMNS
    assert set(advice["item_id"]) == {"b1", "b2"}
    assert advice.set_index("item_id").loc["b1", ["advice", "scale"]].to_list() == ["revise", "clarity_4"]
    assert advice.set_index("item_id").loc["b2", "advice"] == "keep"


def test_a_scale_must_have_a_yes_and_a_no():
    with pytest.raises(ParameterError, match="impossible"):
        RatingScale(low=1, high=4, favourable=1)


def test_a_scale_of_ones_own():
    scales = {"zero_ten": RatingScale(low=0, high=10, favourable=6)}
    item = first(make_panel([10, 5, 0], scale="zero_ten"), scales=scales)
    assert (item["v"], item["n_favourable"]) == (0.5, 1)


# ---------------------------------------------------------------- conflicts, and what cannot be used


def test_who_wrote_or_coaches_does_not_count_and_is_counted():
    panel = make_panel(
        {"b1": [4, 4, 4, 1, 1, 2], "b2": [4, 4, 4, 4, 4, 4]},
        organisation=["dinas", "dinas", "kampus", "kursus", "kursus", "kampus"] * 2,
        conflict=["none", "none", None, "coach", "none", "other", "none", "none", None, None, "none", "none"],
    )
    panel.loc[10, "conflict"] = "coach"  # e says so on the second item only
    result = review(panel, writers=pd.DataFrame({"item_id": ["b1", "b9"], "rater": ["c", "z"]}))
    reasons = result.aside.set_index(["item_id", "rater"])["reason"].to_dict()
    assert reasons == {
        ("b1", "c"): "writer",
        ("b1", "d"): "coach",
        ("b1", "e"): "coach",
        ("b1", "f"): "other_conflict",
        ("b2", "d"): "coach",
        ("b2", "e"): "coach",
    }
    items = result.items.set_index("item_id")
    assert items.loc["b1", ["n", "n_conflict", "v"]].to_list() == [2, 4, 1]
    assert items.loc["b2", ["n", "n_conflict", "v"]].to_list() == [4, 2, 1]
    assert (result.n_raters, result.n_writers, result.n_coaches, result.n_interested) == (6, 1, 2, 3)
    assert (result.share_interested, result.n_undeclared, result.writers_known) == (0.5, 2, True)


def test_each_organisation_is_told_apart_whatever_its_interest():
    panel = make_panel(
        [4, 4, 1, 1, 3],
        organisation=["dinas", "dinas", "kursus", "kursus", "kampus"],
        conflict=["none", "writer", "coach", "coach", "none"],
    )
    found = review(panel).organisations.to_dict("records")
    low, high = score_interval(0, n=2, n_categories=4)
    ends = {"v_low": pytest.approx(low), "v_high": pytest.approx(high)}
    # of the dinas one wrote the item: one rater is left, as at the kampus
    assert found == [
        {"item_id": "b1", "scale": "relevance_4", "organisation": "kursus", "n": 2, "n_conflict": 2, "v": 0, **ends}
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"item_id": None}, "incomplete"),
        ({"rater": None}, "incomplete"),
        ({"scale": "relevance"}, "unknown_scale"),
        ({"scale": None}, "unknown_scale"),
        ({"rating": None}, "no_rating"),
        ({"rating": 0}, "outside_scale"),
        ({"rating": 5}, "outside_scale"),
        ({"rating": 3.5}, "outside_scale"),
        ({"rating": "empat"}, "outside_scale"),
        ({"conflict": "writer"}, "writer"),
        ({"conflict": "coach"}, "coach"),
        ({"conflict": "keluarga"}, "other_conflict"),
    ],
)
def test_a_single_spoiled_cell_is_set_aside_for_its_reason(change, reason):
    panel = make_panel([4, 3, 4, 3]).assign(conflict="none").astype({"rating": object})
    column, value = next(iter(change.items()))
    panel.loc[3, column] = value
    result = review(panel)
    assert result.aside["reason"].to_list() == [reason]
    assert result.aside.loc[0, column] == value or (value is None and pd.isna(result.aside.loc[0, column]))
    assert len(result.used) == 3
    assert result.items["n"].sum() == 3
    assert explain_code(reason).id


def test_a_rating_given_twice_is_nobodys():
    panel = pd.concat([make_panel([4, 4, 4]), make_panel([1])])
    result = review(panel)
    assert result.aside["reason"].to_list() == ["repeated", "repeated"]
    assert result.items.loc[0, ["n", "n_unusable"]].to_list() == [2, 2]
    unread = pd.concat([make_panel([4, 4, 4]), make_panel([None])])  # an empty one does not contradict
    assert review(unread).aside["reason"].to_list() == ["no_rating"]


def test_odd_panels_keep_every_row_and_their_columns(rng):
    """Every rating is used or set aside; columns do not depend on what comes; no code is unknown."""
    tables = {"items": ITEM_COLUMNS, "scales": SCALE_COLUMNS, "organisations": ORGANISATION_COLUMNS}
    tables |= {"used": USED_COLUMNS, "aside": ASIDE_COLUMNS, "advice": ADVICE_COLUMNS}
    codes = set()
    for turn in range(15):
        n = int(rng.integers(0, 40)) if turn > 2 else turn
        panel = pd.DataFrame(
            {
                "item_id": rng.choice(["b1", "b2", None], n),
                "rater": rng.choice([*"abcdefgh", None], n),
                "rating": rng.choice(np.array([1, 2, 3, 4, 4, 5, 2.5, None, "x"], dtype=object), n),
                "scale": rng.choice([*SCALES, "?", None], n),
                "organisation": rng.choice(["dinas", "kampus", None], n),
                "conflict": rng.choice(["none", "none", "none", "writer", "other", None], n),
            }
        )
        panel = [panel, panel.convert_dtypes(), panel.iloc[:, :4]][turn % 3]
        before = panel.copy()
        result = review(panel, writers=None if turn % 2 else pd.DataFrame({"item_id": ["b1"], "rater": ["a"]}))
        pd.testing.assert_frame_equal(panel, before)
        assert {name: list(getattr(result, name).columns) for name in tables} == tables
        assert len(result.used) + len(result.aside) == n
        assert result.items["n"].sum() == len(result.used)
        assert result.items["n_conflict"].sum() == result.aside["reason"].isin(["writer", "other_conflict"]).sum()
        assert result.items["v"].isna().equals(result.items["n"] == 0)
        codes |= {*result.items["note"].dropna(), *result.items["advice"], *result.aside["reason"]}
    assert len(codes) > 6
    assert codes <= CODES


def test_every_code_has_words():
    assert len({explain_code(code).id for code in CODES}) == len(CODES) == 17


def test_a_panel_of_nobody():
    result = review(make_panel([]))
    assert result.items.empty
    assert isinstance(result.share_interested, Withheld)
    assert result.spread("relevance_4").empty


def test_ratings_spread_for_agreement():
    panel = make_panel({"b2": [4, 3], "b1": [1, None]})
    spread = review(panel).spread("relevance_4")
    assert spread.loc["b2"].to_list() == [4, 3]
    assert spread.loc["b1", "a"] == 1
    assert pd.isna(spread.loc["b1", "b"])


def test_order_of_rows_does_not_matter(rng):
    panel = make_panel({"b1": [4, 4, 3, 1, 2], "b2": [2, 3, 4, 4, 4]}, organisation=["x", "y", "x", "y", "x"] * 2)
    mixed = panel.sample(frac=1, random_state=rng)
    for table, key in (("items", ["item_id"]), ("organisations", ["item_id", "organisation"])):
        here, there = (getattr(review(p), table).sort_values(key, ignore_index=True) for p in (panel, mixed))
        pd.testing.assert_frame_equal(here, there)


# ---------------------------------------------------------------- intraclass correlations


def forms_of(ratings, **words):
    return estimate_icc(pd.DataFrame(ratings), **words).forms.set_index("form")


def test_shrout_and_fleiss_as_psych():
    reference = json.loads(shared_file("reference/debian_r/psych_reliability.json").read_text())["ShroutFleiss_ICC"]
    ours, theirs = forms_of(reference["data"]), pd.DataFrame(reference["table"])
    columns = {"icc": "ICC", "low": "lower bound", "high": "upper bound", "f": "F", "df1": "df1", "df2": "df2"}
    assert list(ours.index) == ICC_FORMS  # psych has them in the order ICC1, 2, 3, 1k, 2k, 3k
    # psych computes ICC2 from mean squares of aov, and quantiles by R's qf: 1e-9 with its fractional df
    assert ours[list(columns)].to_numpy() == pytest.approx(theirs[list(columns.values())].to_numpy(), abs=1e-8)
    assert ours["icc"].round(2).to_list() == [0.17, 0.29, 0.71, 0.44, 0.62, 0.91]  # Shrout & Fleiss 1979, table 4


def test_hci_retest_as_r():
    data = pd.read_csv(shared_file("data/hci/HCItestretest.csv"))
    theirs = pd.read_csv(shared_file("data/hci/reference_R/HCItestretest_ICC.csv"))
    ours = forms_of({wave: data.loc[data["test"] == wave, "total"].to_numpy() for wave in ("test", "retest")})
    columns = {"icc": "ICC", "low": "lower bound", "high": "upper bound", "f": "F", "p": "p"}
    # psych takes the variance components from a mixed model fitted to about 1e-7
    assert ours[list(columns)].to_numpy() == pytest.approx(theirs[list(columns.values())].to_numpy(), abs=1e-6)


def test_anxiety_as_irr():
    data = pd.read_csv(shared_file("data/ratings_irr/anxiety.csv"))
    theirs = pd.read_csv(shared_file("data/ratings_irr/reference_R/irr_reference.csv"), index_col="stat")["value"]
    ours = forms_of(data)
    assert ours.loc["ICC(C,1)", "icc"] == pytest.approx(theirs["anxiety_ICC_C1"], abs=AGREES)
    absolute = ours.loc["ICC(A,1)", ["icc", "low", "high"]].to_list()
    ends = [theirs[f"anxiety_ICC_A1{end}"] for end in ("", "_lo", "_hi")]
    assert absolute == pytest.approx(ends, abs=1e-9)  # quantiles of F with fractional df


def test_grant_reviews_as_r():
    """Only the one-way forms: R's mixed model found no variance of raters and gives all three forms the same value."""
    data = pd.read_csv(shared_file("data/ratings_aibs_nih/AIBS.csv"))
    theirs = pd.read_csv(shared_file("data/ratings_aibs_nih/reference_R/AIBS_ICC_Score.csv"), index_col="type")
    result = estimate_icc(data.pivot_table(index="ID", columns="RevCode", values="Score"))
    ours = result.forms.set_index("form")
    assert (result.n_items, result.n_raters, result.n_incomplete) == (72, 3, 0)
    for form, name in (("ICC(1)", "ICC1"), ("ICC(k)", "ICC1k")):
        theirs_here = theirs.loc[name, ["ICC", "lower bound", "upper bound", "F"]].to_list()
        # the model is fitted, to about 1e-6
        assert ours.loc[form, ["icc", "low", "high", "f"]].to_list() == pytest.approx(theirs_here, abs=1e-5)


def test_planted_components_are_found(rng):
    n, k = 4000, 4
    x = rng.normal(0, 1, (n, 1)) + np.array([-0.5, 0.5, -0.5, 0.5]) + rng.normal(0, 1, (n, k))
    found = forms_of(x)["icc"]
    # items 1, error 1, raters 1/3 (their variance with k − 1); standard error of an ICC here is about .01
    assert found["ICC(C,1)"] == pytest.approx(1 / 2, abs=0.04)
    assert found["ICC(A,1)"] == pytest.approx(1 / (2 + 1 / 3), abs=0.04)
    assert found["ICC(C,k)"] == pytest.approx(4 / 5, abs=0.03)


def test_a_constant_shift_of_a_rater_moves_agreement_not_consistency():
    base = pd.read_csv(shared_file("data/ratings_irr/anxiety.csv"))
    shifted = base.assign(rater1=base["rater1"] + 10)
    assert forms_of(base).loc["ICC(C,1)", "icc"] == pytest.approx(forms_of(shifted).loc["ICC(C,1)", "icc"])
    assert forms_of(shifted).loc["ICC(A,1)", "icc"] < forms_of(base).loc["ICC(A,1)", "icc"] / 2


@pytest.mark.parametrize(
    ("ratings", "notes"),
    [
        ([[4, 4], [4, 4], [4, 4]], ["constant"] * 6),
        ([[1, 2]], ["too_few"] * 6),
        ([[1], [2], [3]], ["too_few"] * 6),
        ([], ["too_few"] * 6),
        ([[1, 1], [2, 2], [4, 4]], ["no_error"] * 6),
        ([[1, 2], [2, 3], [4, 5]], [None, None, "no_error", None, None, "no_error"]),
        ([[3, 1], [1, 2]], [None, "unbounded", None, None, "unbounded", None]),  # −4, below the least possible, −1
        ([[1, 2], [2, 1]], [None, "unbounded", None, "unbounded", "unbounded", "unbounded"]),
    ],
)
def test_icc_of_odd_tables_says_why(ratings, notes):
    forms = estimate_icc(pd.DataFrame(ratings)).forms
    assert list(forms.columns) == ICC_COLUMNS
    found = [None if pd.isna(note) else note for note in forms["note"]]
    null = forms[["icc", "low", "high"]].isna().any(axis=1).to_list()
    assert null == [note is not None for note in found]
    assert found == notes
    assert all(explain_code(note).id for note in notes if note)


def test_items_that_lack_a_rating_are_left_out_and_counted():
    ratings = pd.DataFrame({"a": [1, 2, 3, 5, None], "b": [1, 2, 4, 4, 5], "nobody": [None] * 5})
    result, complete = estimate_icc(ratings), estimate_icc(ratings.iloc[:4, :2])
    assert (result.n_items, result.n_raters, result.n_incomplete) == (4, 2, 1)
    pd.testing.assert_frame_equal(result.forms, complete.forms)


# ---------------------------------------------------------------- agreement beyond chance

NAMES = {"gwet": "AC1", "fleiss": "Fleiss' Kappa", "krippendorff": "Krippendorff's Alpha", "kappa": "Conger's Kappa"}


@pytest.mark.parametrize("coefficient", NAMES)
def test_missing_ratings_as_irrcac(coefficient):
    data = pd.read_csv(shared_file("data/ratings_irrCAC/cac.raw4raters.csv"))
    file = shared_file("data/ratings_irrCAC/reference_R/cac_raw4raters_reference.csv")
    theirs = pd.read_csv(file, index_col="coeff").loc[NAMES[coefficient]]
    found = estimate_agreement(data, coefficient=coefficient)
    assert (found.estimate, found.se) == (
        pytest.approx(theirs["value"], abs=PRINTED),
        pytest.approx(theirs["se"], abs=PRINTED),
    )
    assert (found.observed, found.expected) == (pytest.approx(theirs["pa"]), pytest.approx(theirs["pe"]))
    low, high = (float(end) for end in theirs["ci"].strip("()").split(","))
    assert (found.low, found.high) == (pytest.approx(low, abs=0.0005), high)
    assert (found.n_items, found.n_paired, found.n_raters) == ((11 if coefficient == "krippendorff" else 12), 11, 4)


@pytest.mark.parametrize(
    ("coefficient", "weights", "estimate", "se"),
    [  # irrCAC 0.4.4 (Python), eight places
        ("gwet", "linear", 0.68963942, 0.08769076),
        ("gwet", "quadratic", 0.83043357, 0.05824641),
        ("fleiss", "linear", 0.61185004, 0.10973874),
        ("fleiss", "quadratic", 0.75071913, 0.09732069),
        ("krippendorff", "linear", 0.63520822, 0.10004526),
        ("krippendorff", "quadratic", 0.77186481, 0.08608133),
        ("kappa", "linear", 0.62405242, 0.10587006),
        ("kappa", "quadratic", 0.76178806, 0.09250482),
    ],
)
def test_weighted_and_missing_as_irrcac(coefficient, weights, estimate, se):
    data = pd.read_csv(shared_file("data/ratings_irrCAC/cac.raw5obser.csv"))
    found = estimate_agreement(data, coefficient=coefficient, weights=weights)
    assert (found.estimate, found.se) == (pytest.approx(estimate, abs=6e-9), pytest.approx(se, abs=6e-9))


def test_fleiss_1971():
    data = pd.read_csv(shared_file("data/ratings_irr/diagnoses.csv"))
    theirs = pd.read_csv(shared_file("data/ratings_irr/reference_R/irr_reference.csv"), index_col="stat")["value"]
    found = estimate_agreement(data, coefficient="fleiss")
    assert found.estimate == pytest.approx(theirs["diagnoses_fleiss_kappa"], abs=AGREES)
    assert round(found.estimate, 3) == 0.430  # as printed by Fleiss


@pytest.mark.parametrize("weights", ["identity", "linear", "quadratic"])
def test_two_raters_are_cohens_kappa(weights, rng):
    """Estimate and standard error; statsmodels divides the variance by n, Gwet by n − 1."""
    n = 120
    first_rater = rng.integers(1, 5, n)
    second = np.where(rng.random(n) < 0.6, first_rater, rng.integers(1, 5, n))
    table = pd.crosstab(first_rater, second).to_numpy()
    theirs = cohens_kappa(table, wt=None if weights == "identity" else weights)
    ours = estimate_agreement(pd.DataFrame([first_rater, second]).T, coefficient="kappa", weights=weights)
    assert ours.estimate == pytest.approx(theirs.kappa, abs=AGREES)
    assert ours.se == pytest.approx(theirs.std_kappa * np.sqrt(n / (n - 1)), abs=AGREES)


def test_kappa_as_psych():
    reference = json.loads(shared_file("reference/debian_r/psych_reliability.json").read_text())["cohen_kappa"]
    # the two vectors stand in 01_reliability_psych.R
    a = [1, 2, 3, 3, 2, 1, 1, 2, 3, 3, 2, 2, 1, 3, 2, 1, 1, 1, 2, 3]
    b = [1, 2, 3, 2, 2, 1, 2, 2, 3, 3, 3, 2, 1, 3, 1, 1, 1, 2, 2, 3]
    ratings = pd.DataFrame({"a": a, "b": b})
    plain, squared = (
        estimate_agreement(ratings, coefficient="kappa", weights=w).estimate for w in ("identity", "quadratic")
    )
    assert (plain, squared) == (
        pytest.approx(reference["kappa"], abs=AGREES),
        pytest.approx(reference["weighted"], abs=AGREES),
    )


def test_agreement_by_hand():
    # ten items, two categories: 8 × (yes, yes), one each of (yes, no) and (no, yes)
    a, b = ["yes"] * 9 + ["no"], ["yes"] * 8 + ["no", "yes"]
    ratings = pd.DataFrame({"a": a, "b": b})
    by = {name: estimate_agreement(ratings, coefficient=name) for name in ("kappa", "fleiss", "gwet", "krippendorff")}
    assert by["kappa"].expected == pytest.approx(0.82)  # .9·.9 + .1·.1
    assert by["kappa"].estimate == pytest.approx(-1 / 9)  # (.8 − .82)/.18: the paradox
    assert by["gwet"].estimate == pytest.approx((0.8 - 0.18) / 0.82)  # 2·.9·.1 by chance
    assert by["krippendorff"].observed == pytest.approx(0.95 * 0.8 + 0.05)


def test_the_scale_counts_not_only_what_occurred():
    ratings = pd.DataFrame({"a": [4, 4, 3, 4], "b": [4, 3, 3, 4]})
    seen = estimate_agreement(ratings, coefficient="gwet")
    whole = estimate_agreement(ratings, coefficient="gwet", categories=[1, 2, 3, 4])
    assert (seen.n_categories, whole.n_categories) == (2, 4)
    assert whole.expected == pytest.approx(seen.expected * (2 * 1) / (4 * 3) * 2)  # T_w/(q(q − 1)): 4/12 to 2/2
    assert estimate_agreement(ratings, coefficient="kappa", categories=[1, 2, 3, 4]).estimate == pytest.approx(
        estimate_agreement(ratings, coefficient="kappa").estimate
    )


def test_distance_is_that_of_the_numbers_or_of_the_places():
    numbers = pd.DataFrame({"a": [1, 2, 5, 1], "b": [1, 5, 5, 2]})
    words = numbers.replace({1: "x", 2: "y", 5: "z"})
    by_number = estimate_agreement(numbers, coefficient="gwet", weights="linear")
    by_place = estimate_agreement(words, coefficient="gwet", weights="linear", categories=["x", "y", "z"])
    assert by_number.observed == pytest.approx((1 + 1 / 4 + 1 + 3 / 4) / 4)
    assert by_place.observed == pytest.approx((1 + 1 / 2 + 1 + 1 / 2) / 4)


@pytest.mark.parametrize("coefficient", NAMES)
def test_unanimous_and_random_raters(coefficient, rng):
    same = rng.integers(1, 5, 400)
    agreed = estimate_agreement(pd.DataFrame({"a": same, "b": same, "c": same}), coefficient=coefficient)
    assert (agreed.estimate, agreed.se) == (pytest.approx(1), pytest.approx(0, abs=1e-9))
    chance = estimate_agreement(pd.DataFrame(rng.integers(1, 5, (400, 3))), coefficient=coefficient)
    assert abs(chance.estimate) < 4 * chance.se


def test_the_interval_covers_a_planted_agreement(rng):
    """Two raters, four categories, uniform: the second copies the first with probability .5, so kappa is .5."""
    covered = 0
    for _ in range(200):
        a = rng.integers(1, 5, 60)
        b = np.where(rng.random(60) < 0.5, a, rng.integers(1, 5, 60))
        found = estimate_agreement(pd.DataFrame({"a": a, "b": b}), coefficient="kappa")
        covered += found.low <= 0.5 <= found.high
    assert 0.90 < covered / 200 < 1  # 95 % with three standard errors of .0154


@pytest.mark.parametrize("coefficient", NAMES)
@pytest.mark.parametrize(
    ("ratings", "said"),
    [
        ({"a": [1, 2, 3]}, "only 0 items"),
        ({"a": [1, None], "b": [1, 2]}, "only 1 items"),
        ({"a": [None, None], "b": [None, None]}, "only 0 items"),
        ({}, "only 0 items"),
    ],
)
def test_too_few_pairs_are_withheld(coefficient, ratings, said):
    found = estimate_agreement(pd.DataFrame(ratings), coefficient=coefficient)
    assert isinstance(found, Withheld)
    assert said in found.reason.en


def test_a_constant_scale():
    ratings = pd.DataFrame({"a": [4, 4, 4], "b": [4, 4, 4]})
    for coefficient in ("kappa", "fleiss", "krippendorff"):
        assert isinstance(estimate_agreement(ratings, coefficient=coefficient, categories=[1, 2, 3, 4]), Withheld)
    assert estimate_agreement(ratings, coefficient="gwet", categories=[1, 2, 3, 4]).estimate == 1
    assert isinstance(estimate_concordance(ratings), Withheld)


def test_requests_that_cannot_be_served():
    ratings = pd.DataFrame({"a": [1, 2, 7], "b": [1, 2, 3]})
    with pytest.raises(ParameterError, match="1 ratings"):
        estimate_agreement(ratings, coefficient="gwet", categories=[1, 2, 3])
    with pytest.raises(ParameterError, match="cohen"):
        estimate_agreement(ratings, coefficient="cohen")
    with pytest.raises(ParameterError, match="cubic"):
        estimate_agreement(ratings, coefficient="kappa", weights="cubic")


# ---------------------------------------------------------------- concordance


def test_video_as_irr():
    data = pd.read_csv(shared_file("data/ratings_irr/video.csv"))
    theirs = pd.read_csv(shared_file("data/ratings_irr/reference_R/irr_reference.csv"), index_col="stat")["value"]
    found = estimate_concordance(data)
    assert found.w == pytest.approx(theirs["video_kendallW_corrected"], abs=AGREES)
    assert (found.df, found.n_items, found.n_raters) == (19, 20, 4)


def test_concordance_is_the_mean_rank_correlation(rng):
    x = pd.DataFrame(rng.normal(size=(12, 5)) + rng.normal(size=(12, 1)))
    rho = x.corr(method="spearman").to_numpy()[np.triu_indices(5, 1)].mean()
    assert estimate_concordance(x).w == pytest.approx((rho * 4 + 1) / 5, abs=AGREES)


@pytest.mark.parametrize("ratings", [{"a": [1, 2], "b": [2, 1]}, {"a": [1, 2, 3]}, {}, {"a": [None], "b": [1]}])
def test_too_few_for_concordance(ratings):
    assert isinstance(estimate_concordance(pd.DataFrame(ratings)), Withheld)
