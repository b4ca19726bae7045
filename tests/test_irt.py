"""Calibration of items: against R on real tests, by independent integration and differentiation, and on odd tables."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info

from bgtk_lib.errors import LinkageError, ParameterError, SchemaError
from bgtk_lib.instrument.irt import blocks as blocks_module
from bgtk_lib.instrument.irt import information as information_module
from bgtk_lib.instrument.irt.blocks import Blocks
from bgtk_lib.instrument.irt.calibrate import fit_items
from bgtk_lib.instrument.irt.curves import Curves
from bgtk_lib.instrument.irt.design import set_start
from bgtk_lib.instrument.irt.em import Settings, find_vanished
from bgtk_lib.instrument.irt.estep import prepare, weigh_points
from bgtk_lib.instrument.irt.grid import lay_points
from bgtk_lib.instrument.irt.information import Hill, observe
from bgtk_lib.instrument.irt.parameters import LEAST_SPREAD
from bgtk_lib.instrument.irt.tables import tabulate
from bgtk_lib.instrument.irt.threads import share_rows

SHARED = Path(os.environ.get("BGTK_SHARED", Path(__file__).parents[2] / "shared"))
TIGHT = 2e-5  # R mirt ran to 1e-8, OpenMx to 1e-10 on 121 points; EM there stops a little below its maximum
ONE_STEP = 3e-4  # the information is that at the last Newton step, which was shorter than 1e-4
LOOSE = 0.02  # of a standard error: these references are R mirt's at its own tolerance of 1e-4 in an EM step
MODELS = ("rasch", "2pl", "pcm", "gpcm", "grm")


def shared_file(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return path


def read_json(name):
    return json.loads(shared_file(name).read_text())


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


def draw_credit(rng, *, n=600, n_items=6, n_categories=2):
    """Answers to a generalised partial credit test with slopes around 1, and its curves."""
    slopes = rng.uniform(0.7, 1.6, n_items)
    steps = np.sort(rng.normal(0, 1, (n_items, n_categories - 1)), axis=1)[:, ::-1]
    curves = Curves(
        item_ids=tuple(f"b{j + 1}" for j in range(n_items)),
        slopes=slopes,
        intercepts=np.cumsum(steps, axis=1),
        graded=np.zeros(n_items, dtype=bool),
    )
    chances = curves.probabilities(rng.normal(size=n)).transpose(2, 0, 1)
    answers = (rng.random((n, n_items, 1)) > chances.cumsum(axis=2)[:, :, :-1]).sum(axis=2)
    return pd.DataFrame(answers.astype(float), columns=list(curves.item_ids)), curves


def spoil_cells(rng, credit, share=0.2):
    return credit.mask(rng.random(credit.shape) < share)


def read_patterns(name):
    table = pd.read_csv(shared_file(f"data/lsat/{name}_patterns.csv"))
    return table.loc[table.index.repeat(table.iloc[:, -1])].iloc[:, :-1].reset_index(drop=True)


def read_verbal():
    table = pd.read_csv(shared_file("reference/debian_r/data/VerbAgg_wide.csv"))
    return table.drop(columns="Gender"), table["Gender"]


# ---------------------------------------------------------------- against R


@pytest.mark.parametrize(
    ("name", "model", "key"),
    [
        ("LSAT6", "rasch", "LSAT6_Rasch"),
        ("LSAT6", "2pl", "LSAT6_2PL"),
        ("LSAT7", "rasch", "LSAT7_Rasch"),
        ("LSAT7", "2pl", "LSAT7_2PL"),
        ("deAyala", "2pl", "deAyala_2PL"),
        ("SAT12", "2pl", "SAT12_2PL"),
        ("VerbAgg", "2pl", "VerbAgg_2PL"),
    ],
)
def test_agrees_with_r_mirt(name, model, key):
    reference = read_json("reference/rmirt_built/r_mirt.json")[key]
    if name == "SAT12":
        credit = pd.read_csv(shared_file("data/sat12/SAT12_scored.csv"))
    else:
        credit = read_verbal()[0] if name == "VerbAgg" else read_patterns(name)
    found = fit_items(credit, model=model)
    d, d_se = ([row[key] for row in rows] for rows, key in ((reference["items"], "d"), (reference["SE"].values(), "d")))
    assert found.converged
    assert found.loglik == pytest.approx(reference["logLik"], abs=1e-5)
    assert found.steps["d"].to_numpy() == pytest.approx(d, abs=TIGHT)
    assert found.steps["d_se"].to_numpy() == pytest.approx(d_se, rel=ONE_STEP)
    if model == "2pl":
        assert found.items["a"].to_numpy() == pytest.approx([row["a1"] for row in reference["items"]], abs=TIGHT)
        assert found.items["a_se"].to_numpy() == pytest.approx(
            [row["a1"] for row in reference["SE"].values()], rel=ONE_STEP
        )
    else:
        variance, error = reference["GroupPars"]["var"], reference["SE_group"]["COV_11"]
        row = found.groups.iloc[0]
        assert row["sd"] ** 2 == pytest.approx(variance, abs=2e-4)  # the variance climbs slowest in R's EM
        assert 2 * row["sd"] * row["sd_se"] == pytest.approx(error, abs=2e-4)


FOLDERS = {
    "HCI": "hci/HCI",
    "SAT12": "sat12/SAT12_scored",
    "J15S500": "exametrika/J15S500",
    "J20S400": "exametrika/J20S400",
    "J12S5000": "exametrika/J12S5000",
    "MSATB": "difnlr_msatb_gmat/MSATB",
    "read6": "closeread6/CLoSEread6",
}


@pytest.mark.parametrize(
    ("name", "model"), [*((n, m) for n in FOLDERS for m in ("Rasch", "2PL") if (n, m) != ("read6", "Rasch"))]
)
def test_agrees_with_r_mirt_at_its_defaults(name, model):
    folder = f"data/{FOLDERS[name].split('/')[0]}/reference_R"
    reference = pd.read_csv(shared_file(f"{folder}/irt_{model}_{name}.csv")).set_index("item")
    fit = pd.read_csv(shared_file(f"{folder}/irt_fit_{model}_{name}.csv"), index_col="stat")["value"]
    credit = pd.read_csv(shared_file(f"data/{FOLDERS[name]}.csv"))[list(reference.index)]
    found = fit_items(credit, model=model.lower())
    items = found.items.set_index("item_id")
    if (name, model) == ("J12S5000", "Rasch"):  # variance 4.14: R's points end at 2.9 standard deviations
        assert found.loglik == pytest.approx(float(fit["logLik"]) + 1.457, abs=0.001)
        return
    assert found.loglik == pytest.approx(float(fit["logLik"]), abs=0.0005)
    assert (np.abs(items["b"] - reference["b"]) / reference["se_b"]).max() < LOOSE
    assert items["b_se"].to_numpy() == pytest.approx(reference["se_b"].to_numpy(), rel=0.003)
    if model == "2PL":
        assert (np.abs(items["a"] - reference["a"]) / reference["se_a"]).max() < LOOSE
        assert items["a_se"].to_numpy() == pytest.approx(reference["se_a"].to_numpy(), rel=0.005)


def test_an_item_that_hardly_discriminates_is_not_bounded():
    found = fit_items(pd.read_csv(shared_file("data/sat12/SAT12_scored.csv")), model="2pl")
    item = found.items.set_index("item_id").loc["Item.32"]
    assert found.loglik == pytest.approx(-9488.955, abs=0.0005)
    assert (item["a"], item["b"]) == (pytest.approx(0.130, abs=0.0005), pytest.approx(12.75, abs=0.005))
    assert item["note"] == "flat_slope"


def test_points_reach_as_far_as_the_spread_needs():
    """R mirt on ±10, OpenMx and glmer agree on −4036.9049; R mirt on its usual ±6 has −4036.9097."""
    reference = read_json("reference/rmirt_built/r_mirt_scores.json")["Rasch_wide"]
    found = fit_items(read_verbal()[0], model="rasch")
    assert found.loglik == pytest.approx(reference["logLik"], abs=1e-5)
    assert found.steps["d"].to_numpy() == pytest.approx(reference["d"], abs=TIGHT)
    assert found.groups["sd"][0] ** 2 == pytest.approx(reference["var"], abs=TIGHT)


def test_graded_items_agree_with_openmx():
    reference = read_json("reference/debian_r/openmx_irt.json")["bfi_A_GRM"]
    credit = pd.read_csv(shared_file("reference/debian_r/data/bfi_A_complete.csv")) - 1
    found = fit_items(credit, model="grm")
    steps = [[row[f"c{k}"] for k in range(1, 6)] for row in reference["est"]]
    errors = np.array(list(reference["se"].values())).reshape(5, 6)
    assert found.loglik == pytest.approx(reference["logLik"], abs=1e-5)
    assert found.curves.slopes == pytest.approx([row["F"] for row in reference["est"]], abs=TIGHT)
    assert found.curves.intercepts == pytest.approx(np.array(steps), abs=TIGHT)
    assert found.items["a_se"].to_numpy() == pytest.approx(errors[:, 0], rel=ONE_STEP)
    assert found.steps["d_se"].to_numpy() == pytest.approx(errors[:, 1:].ravel(), rel=ONE_STEP)


def test_unplanned_gaps_agree_with_openmx():
    reference = read_json("reference/debian_r/openmx_irt.json")["ability_2PL_missing"]
    credit = pd.read_csv(shared_file("reference/debian_r/data/ability_with_missing.csv"))
    found = fit_items(credit, model="2pl")
    errors = np.array(list(reference["se"].values())).reshape(16, 2)
    assert found.loglik == pytest.approx(reference["logLik"], abs=1e-5)
    assert found.n_persons == credit.notna().any(axis=1).sum() < len(credit)
    assert found.curves.slopes == pytest.approx([row["F"] for row in reference["est"]], abs=TIGHT)
    assert found.items["a_se"].to_numpy() == pytest.approx(errors[:, 0], rel=ONE_STEP)


def test_two_groups_agree_with_r_mirt():
    reference = read_json("reference/rmirt_built/r_mirt.json")["VerbAgg_MG"]
    credit, gender = read_verbal()
    found = fit_items(credit, model="2pl", groups=gender)
    assert found.loglik == pytest.approx(reference["logLik"], abs=1e-5)
    expected = [row["a1"] for row in reference["coef"]["F"]["items"]]
    assert found.curves.slopes == pytest.approx(expected, abs=TIGHT)
    assert list(found.groups["group"]) == ["F", "M"]
    assert list(found.groups["n"]) == [243, 73]
    assert found.groups.loc[0, ["mean", "sd"]].tolist() == [0.0, 1.0]
    assert found.groups.loc[0, ["mean_se", "sd_se"]].isna().all()
    assert list(found.covariance.columns[-2:]) == ["mean:M", "sd:M"]
    assert found.groups["mean_se"][1] == pytest.approx(np.sqrt(found.covariance.loc["mean:M", "mean:M"]))
    assert found.groups["mean"][1] == pytest.approx(reference["coef"]["M"]["mean"], abs=5e-5)
    assert found.groups["sd"][1] ** 2 == pytest.approx(reference["coef"]["M"]["var"], abs=5e-5)


def test_known_items_agree_with_r_mirt():
    """R's EM ended .0000004 below the maximum in log-likelihood, and there up to .0002 away in a slope."""
    reference = read_json("reference/rmirt_built/r_mirt_scores.json")["FIPC_M"]
    credit, gender = read_verbal()
    known = fit_items(credit, model="2pl").curves.take(list(credit.columns[:12]))
    found = fit_items(credit[gender == "M"], model="2pl", fixed=known)
    assert found.loglik == pytest.approx(reference["logLik"], abs=1e-5)
    assert found.loglik > reference["logLik"]
    assert found.curves.slopes == pytest.approx([row["a1"] for row in reference["items"]], abs=3e-4)
    assert found.groups["mean"][0] == pytest.approx(reference["mean"], abs=5e-5)
    assert found.groups["sd"][0] ** 2 == pytest.approx(reference["var"], abs=2e-4)
    assert list(found.items["fixed"]) == [True] * 12 + [False] * 12
    assert found.items.loc[:11, ["a_se", "b_se"]].isna().all(axis=None)
    assert (found.curves.slopes[:12] == known.slopes).all()


def test_partial_credit_is_close_to_conditional_likelihood():
    """Another estimator (eRm's CML) of the same steps: all within three quarters of a standard error."""
    reference = read_json("reference/debian_r/erm_rasch.json")["pcmdat2_PCM_thresholds"]
    found = fit_items(pd.read_csv(shared_file("reference/debian_r/data/pcmdat2.csv")), model="pcm")
    ours = found.steps["b"] - found.steps["b"].mean()
    theirs = np.array([[row["Threshold 1"], row["Threshold 2"]] for row in reference]).ravel()
    assert (np.abs(ours - (theirs - theirs.mean())) / found.steps["b_se"]).max() < 0.75


# ---------------------------------------------------------------- by independent means


def set_up(credit, model, groups=None, fixed=None):
    blocks = Blocks.from_frame(credit, groups=groups)
    return blocks, *set_start(model, blocks, fixed)


@pytest.mark.parametrize("model", MODELS)
def test_loglikelihood_is_that_of_gauss_hermite_quadrature(rng, model):
    credit, _ = draw_credit(rng, n=200, n_items=4, n_categories=2 if model in ("rasch", "2pl") else 4)
    credit = spoil_cells(rng, credit, 0.1).dropna(how="all")
    found = fit_items(credit, model=model)
    sd = found.groups["sd"][0]

    nodes, weights = np.polynomial.hermite_e.hermegauss(160)
    chances = found.curves.probabilities(sd * nodes)
    likelihoods = np.ones((len(credit), len(nodes)))
    for j, item in enumerate(credit):
        seen = credit[item].notna().to_numpy()
        likelihoods[seen] *= chances[j, credit.loc[seen, item].astype(int)]
    total = np.log(likelihoods @ weights / weights.sum()).sum()
    assert found.loglik == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
@pytest.mark.parametrize("model", MODELS)
def test_information_is_the_second_derivative(rng, model, gaps):
    """Two groups, one known item; the gradient is differenced, and itself held against the log-likelihood."""
    credit, curves = draw_credit(rng, n=300, n_items=4, n_categories=2 if model in ("rasch", "2pl") else 3)
    groups = pd.Series(np.where(np.arange(300) % 3 == 0, "x", "y"))
    credit = spoil_cells(rng, credit, 0.15).dropna(how="all") if gaps else credit
    known = curves.take(["b2"])
    blocks, start, free = set_up(credit, model, groups, known)
    values = free.unpack(free.pack(start) + rng.uniform(-0.1, 0.1, len(free)), start)
    points = lay_points(121, 9.0)  # beyond which the normal density is nothing, also after the shift
    with share_rows(2) as pool:
        work = prepare(blocks, values, free, pool)
        at = free.pack(values)

        def look(vector):
            return observe(work, tabulate(free.unpack(vector, values), points))

        hill = look(at)
        step = 1e-4
        shifts = step * np.eye(len(at))
        around = [(look(at + shift), look(at - shift)) for shift in shifts]
    gradient = [(up.loglik - down.loglik) / (2 * step) for up, down in around]
    hessian = [(up.gradient - down.gradient) / (2 * step) for up, down in around]
    assert hill.gradient == pytest.approx(np.array(gradient), abs=1e-5)
    assert hill.information == pytest.approx(-np.array(hessian), abs=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_both_routes_give_the_same_numbers(rng, model, monkeypatch):
    """Scores with interpolation between them, and one-hot blocks: the same cells, the same result."""
    credit, _ = draw_credit(rng, n=3000, n_items=5, n_categories=2 if model in ("rasch", "2pl") else 4)
    by_form = fit_items(credit, model=model)
    monkeypatch.setattr(blocks_module, "MIN_FORM", 10_000)
    by_block = fit_items(credit, model=model)
    assert by_block.loglik == pytest.approx(by_form.loglik, abs=1e-6)
    assert by_block.covariance.to_numpy() == pytest.approx(by_form.covariance.to_numpy(), rel=1e-5, abs=1e-8)
    assert by_block.steps["d"].to_numpy() == pytest.approx(by_form.steps["d"].to_numpy(), abs=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_both_ways_to_the_information_of_gaps_give_the_same(rng, model, monkeypatch):
    credit, _ = draw_credit(rng, n=400, n_items=6, n_categories=2 if model in ("rasch", "2pl") else 3)
    credit = spoil_cells(rng, credit, 0.4)
    groups = pd.Series(rng.choice(["x", "y"], len(credit)))
    monkeypatch.setattr(information_module, "SPARSE", 0)
    by_pairs = fit_items(credit, model=model, groups=groups)
    monkeypatch.setattr(information_module, "SPARSE", 1)
    by_person = fit_items(credit, model=model, groups=groups)
    assert by_person.covariance.to_numpy() == pytest.approx(by_pairs.covariance.to_numpy(), rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("models", [("rasch", "pcm"), ("2pl", "gpcm"), ("2pl", "grm")])
def test_models_agree_where_items_have_two_categories(rng, models):
    credit, _ = draw_credit(rng)
    first, second = (fit_items(credit, model=model) for model in models)
    assert first.loglik == pytest.approx(second.loglik, abs=1e-9)
    pd.testing.assert_frame_equal(first.items, second.items, rtol=1e-9)


def test_rasch_spread_is_the_common_slope():
    """LSAT6 with one common slope and variance 1 (Bock & Aitkin, 1981; R: .755) is the same model."""
    found = fit_items(read_patterns("LSAT6"), model="rasch")
    assert found.groups["sd"][0] == pytest.approx(0.7551, abs=5e-5)


def test_covariance_belongs_to_the_tables(rng):
    credit, _ = draw_credit(rng, n_categories=3)
    found = fit_items(credit, model="gpcm")
    covariance = found.covariance
    assert list(covariance.index[:2]) == ["a:b1", "a:b2"]
    assert list(covariance.columns) == list(covariance.index)
    assert found.n_parameters == len(covariance) == 18
    a, d1, d2 = found.items["a"][0], *found.steps["d"][:2]
    inside = covariance.loc[["a:b1", "d1:b1", "d2:b1"], ["a:b1", "d1:b1", "d2:b1"]].to_numpy()
    per_parameter = np.array([d2 / (2 * a**2), 0, -1 / (2 * a)])  # of the location −d2/(2a)
    assert found.items["b"][0] == pytest.approx(-d2 / (2 * a))
    assert found.items["b_se"][0] == pytest.approx(np.sqrt(per_parameter @ inside @ per_parameter))
    assert found.items["a_se"][0] == pytest.approx(np.sqrt(inside[0, 0]))
    assert found.steps["b"][1] == pytest.approx(-(d2 - d1) / a)


# ---------------------------------------------------------------- planted truth


def test_groups_are_found_on_one_scale(rng):
    """Three groups of planned forms; estimates within four standard errors of the truth, and these are small."""
    parts, truth = [], {"g1": (0.0, 1.0), "g2": (0.6, 0.8), "g3": (-0.4, 1.3)}
    for name, (mean, sd) in truth.items():
        credit, curves = draw_credit(np.random.default_rng(1), n=2, n_items=20)
        theta = rng.normal(mean, sd, 3000)
        chances = curves.probabilities(theta)[:, 1].T
        credit = pd.DataFrame((rng.random(chances.shape) < chances).astype(float), columns=list(curves.item_ids))
        form = np.arange(3000) % 2
        credit.iloc[form == 0, 12:] = np.nan
        credit.iloc[form == 1, :8] = np.nan
        parts.append(credit.assign(group=name))
    table = pd.concat(parts, ignore_index=True)
    found = fit_items(table.drop(columns="group"), model="2pl", groups=table["group"])
    for row in found.groups.iloc[1:].to_dict("records"):
        mean, sd = truth[row["group"]]
        assert abs(row["mean"] - mean) < 4 * row["mean_se"] < 0.2
        assert abs(row["sd"] - sd) < 4 * row["sd_se"] < 0.2
    assert (np.abs(found.items["a"] - curves.slopes) / found.items["a_se"]).max() < 4
    blocks = Blocks.from_frame(table.drop(columns="group"), groups=table["group"])
    assert [len(cell) for cell in blocks.cells] == [1500] * 6
    assert all(cell.complete and len(cell.columns) == 12 for cell in blocks.cells)


def test_a_small_spread_is_found(rng):
    curves = Curves(
        item_ids=tuple(f"b{j}" for j in range(20)),
        slopes=np.ones(20),
        intercepts=np.linspace(-2, 2, 20)[:, None],
        graded=np.zeros(20, dtype=bool),
    )
    chances = curves.probabilities(rng.normal(0, 0.3, 4000))[:, 1].T
    credit = pd.DataFrame((rng.random(chances.shape) < chances).astype(float), columns=list(curves.item_ids))
    row = fit_items(credit, model="rasch").groups.iloc[0]
    assert abs(row["sd"] - 0.3) < 4 * row["sd_se"] < 0.1


def test_a_wrong_key_comes_out_negative(rng):
    credit, _ = draw_credit(rng, n=1000, n_items=10)
    before = fit_items(credit, model="2pl").items
    after = fit_items(credit.assign(b3=1 - credit["b3"]), model="2pl").items
    assert after["a"][2] == pytest.approx(-before["a"][2], abs=1e-4)
    assert after["b"][2] == pytest.approx(before["b"][2], abs=1e-4)
    assert after["note"].fillna("").tolist() == ["", "", "negative_slope", *[""] * 7]


@pytest.mark.parametrize("model", ["pcm", "gpcm", "grm"])
def test_items_may_have_different_numbers_of_categories(rng, model):
    wide, _ = draw_credit(rng, n=800, n_items=4, n_categories=4)
    credit = wide.assign(b1=wide["b1"].clip(upper=1), b3=wide["b3"].clip(upper=2))
    found = fit_items(credit, model=model)
    assert found.converged
    assert list(found.items["highest"]) == [1, 3, 2, 3]
    assert found.steps.groupby("item_id")["step"].max().tolist() == [1, 3, 2, 3]
    assert found.steps[["d", "d_se", "b", "b_se"]].notna().all(axis=None)


# ---------------------------------------------------------------- identities


def test_order_of_persons_and_items_does_not_matter(rng):
    credit, _ = draw_credit(rng, n=900)
    credit = spoil_cells(rng, credit)
    groups = pd.Series(rng.choice(["x", "y"], len(credit)))
    shuffled = credit.sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=1)
    first, second = (fit_items(table, model="2pl", groups=groups) for table in (credit, shuffled))
    assert first.loglik == pytest.approx(second.loglik, abs=1e-6)
    ours = second.items.set_index("item_id").loc[first.items["item_id"], ["n", "a", "a_se", "b", "b_se"]]
    assert ours.to_numpy() == pytest.approx(first.items[["n", "a", "a_se", "b", "b_se"]].to_numpy(), abs=1e-5)


@pytest.mark.parametrize("spool", [False, True])
def test_parts_are_the_same_as_the_whole(rng, spool):
    credit, _ = draw_credit(rng, n=2000, n_items=8)
    credit.iloc[:900, 4:] = np.nan
    credit.iloc[1990:, 2] = np.nan
    table = credit.assign(group=rng.choice(["x", "y"], len(credit)))
    whole = fit_items(credit, model="2pl", groups=table["group"])
    parts = (table.iloc[at : at + 300] for at in range(0, len(table), 300))
    found = fit_items(Blocks.from_parts(parts, group_column="group", spool=spool), model="2pl")
    assert found.loglik == pytest.approx(whole.loglik, abs=1e-6)
    pd.testing.assert_frame_equal(found.items, whole.items, rtol=1e-5)
    pd.testing.assert_frame_equal(found.groups, whole.groups, rtol=1e-5)


def test_threads_do_not_change_a_digit(rng):
    credit, _ = draw_credit(rng, n=20_000, n_items=5)
    one, two = (fit_items(credit, model="2pl", settings=Settings(threads=n)) for n in (1, 2))
    assert (one.curves.slopes == two.curves.slopes).all()
    assert one.loglik == two.loglik


def test_frames_are_not_changed(rng):
    credit, _ = draw_credit(rng)
    before = credit.copy()
    fit_items(credit, model="2pl")
    pd.testing.assert_frame_equal(credit, before)


def test_scale_of_known_items_carries_over(rng):
    """Known items on another scale: every group's mean and spread follow it."""
    credit, _ = draw_credit(rng, n=1000, n_items=8)
    usual = fit_items(credit, model="2pl")
    moved = usual.curves.rescale(slope=2.0, shift=-1.0)
    found = fit_items(credit, model="2pl", fixed=moved)
    assert found.groups["mean"][0] == pytest.approx(-1, abs=1e-3)
    assert found.groups["sd"][0] == pytest.approx(2, abs=1e-3)
    assert found.loglik == pytest.approx(usual.loglik, abs=1e-3)


def test_declared_order_of_groups_is_kept(rng):
    credit, _ = draw_credit(rng)
    groups = pd.Series(rng.choice(["post", "pre"], len(credit)))
    declared = groups.astype(pd.CategoricalDtype(["pre", "post", "never"]))
    assert list(fit_items(credit, model="rasch", groups=groups).groups["group"]) == ["post", "pre"]
    assert list(fit_items(credit, model="rasch", groups=declared).groups["group"]) == ["pre", "post"]


# ---------------------------------------------------------------- what cannot be calibrated


@pytest.mark.parametrize(
    ("column", "note"),
    [
        ([1.0] * 8, "all_right"),
        ([0.0] * 8, "all_wrong"),
        ([None] * 8, "empty"),
        ([2.0] * 8, "constant"),
        ([0, 2, 2, 0, 2, 2, 0, 2], "unused_category"),
        ([1, 2, 2, 1, 2, 2, 1, 2], "unused_category"),
        ([1.0] * 7 + [None], "all_right"),
    ],
)
@pytest.mark.parametrize("model", ["pcm", "gpcm", "grm"])
def test_a_spoiled_item_is_left_out_with_a_note(rng, model, column, note):
    credit, _ = draw_credit(rng, n=200, n_items=4)
    spoiled = credit.assign(b5=np.resize(np.array(column, dtype=float), 200))
    found, without = fit_items(spoiled, model=model), fit_items(credit, model=model)
    assert found.items["note"].fillna("").tolist()[-1] == note
    assert found.items.loc[4, ["highest", "a", "a_se", "b", "b_se"]].isna().all()
    assert found.curves.item_ids == ("b1", "b2", "b3", "b4")
    assert found.loglik == pytest.approx(without.loglik, abs=1e-6)


def test_persons_left_without_an_answer_do_not_count(rng):
    """Who was presented only the item that everybody solved says nothing."""
    credit, _ = draw_credit(rng, n=200, n_items=4)
    more = pd.concat([credit.assign(b5=1.0), pd.DataFrame({"b5": [1.0] * 50})], ignore_index=True)
    more.iloc[:30, 0] = np.nan
    found = fit_items(more, model="2pl")
    assert found.n_persons == found.groups["n"][0] == 200
    assert found.items["n"].tolist() == [170, 200, 200, 200, 250]
    assert found.items["note"].fillna("").tolist()[-1] == "all_right"


def test_likelihoods_too_small_for_a_float_are_weighed(rng):
    logs = rng.normal(size=(5, 61)) * 3
    usual, higher = weigh_points(np.eye(5), logs)
    posterior, loglik = weigh_points(np.eye(5), logs - 2000)
    assert posterior == pytest.approx(usual)
    assert posterior.sum(axis=1) == pytest.approx(np.ones(5))
    assert loglik == pytest.approx(higher - 5 * 2000)


def test_an_item_of_two_persons_does_not_stop_the_rest(rng):
    credit, _ = draw_credit(rng, n=300, n_items=6)
    credit = credit.assign(b7=np.nan)
    credit.loc[:1, "b7"] = [0.0, 1.0]
    found = fit_items(credit, model="2pl")
    assert found.items["n"].tolist()[-1] == 2
    assert found.items.loc[6, "note"] == "runaway_slope"
    assert found.items.loc[:5, ["a", "a_se", "b", "b_se"]].notna().all(axis=None)


def test_a_slope_that_runs_away_is_reported_not_bounded(rng):
    credit, _ = draw_credit(rng, n=400, n_items=8)
    total = credit.sum(axis=1)
    found = fit_items(credit.assign(b9=(total > total.median()).astype(float)), model="2pl")
    item = found.items.iloc[-1]
    assert found.converged
    assert item["a"] > 50
    assert (item["note"], item["a_se"]) == ("runaway_slope", pytest.approx(np.nan, nan_ok=True))
    assert found.items.loc[:7, "a"].between(0.3, 3).all()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "credit",
    [
        pd.DataFrame(),
        pd.DataFrame(columns=["b1", "b2"]),
        pd.DataFrame({"b1": [1.0], "b2": [0.0]}),
        pd.DataFrame({"b1": [1, 0], "b2": [0, 1]}),
        pd.DataFrame({"b1": [1, 0, 1], "b2": [0, 1, None]}),
        pd.DataFrame({"b1": [1, 0, 1, 0, 1]}),
        pd.DataFrame({"b1": [None] * 5, "b2": [None] * 5}),
        pd.DataFrame({"b1": [1] * 5, "b2": [0] * 5}),
        pd.DataFrame({"b1": [1] * 4 + [0] * 4, "b2": [0] * 4 + [1] * 4}),
        pd.DataFrame({"b1": [1, 0] * 4, "b2": [1, 0] * 4}, dtype="Int64"),
        pd.DataFrame({"b1": [1, 0] * 4 + [None] * 8, "b2": [None] * 8 + [1, 0] * 4}),
    ],
    ids=["nothing", "no rows", "one", "two", "three", "one item", "empty", "constant", "opposed", "same", "apart"],
)
def test_too_little_is_no_crash(credit, model):
    found = fit_items(credit, model=model)
    assert len(found.items) == credit.shape[1]
    left_out = found.items["a"].isna()
    assert found.items.loc[left_out, "note"].notna().all()
    assert list(found.items.loc[~left_out, "item_id"]) == list(found.curves.item_ids)
    assert np.isfinite(found.loglik)
    assert found.covariance.shape == (found.n_parameters, found.n_parameters)


@pytest.mark.parametrize("model", MODELS)
def test_groups_of_one_person_are_no_crash(rng, model):
    credit, _ = draw_credit(rng, n=12, n_items=5)
    found = fit_items(credit, model=model, groups=pd.Series(np.arange(12)))
    assert list(found.groups["group"]) == [str(g) for g in range(12)]
    assert np.isfinite(found.loglik)


def test_blas_is_held_to_one_thread_while_rows_are_shared():
    with share_rows(2) as pool:
        assert pool._max_workers == 2
        assert {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"} == {1}


def test_a_spread_between_two_points_still_weighs(rng):
    _, start, free = set_up(draw_credit(rng, n=50)[0], "rasch")
    narrow = free.unpack(np.where(np.arange(len(free)) == len(free) - 1, 0.01, free.pack(start)), start)
    weights = tabulate(replace(narrow, means=np.array([1.0])), lay_points(7, 6.0)).weights
    assert np.exp(weights).sum() == pytest.approx(1)
    assert np.exp(weights)[0, 3:5] == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(("slope", "vanished"), [(-1.0, True), (1.0, False)])
def test_a_spread_has_vanished_only_if_the_likelihood_falls_with_it(rng, slope, vanished):
    _, start, free = set_up(draw_credit(rng, n=50)[0], "rasch")
    values = replace(start, sds=np.array([LEAST_SPREAD]))
    gradient = np.full(len(free), slope)
    hill = Hill(loglik=0.0, gradient=gradient, information=np.eye(len(free)))
    assert find_vanished(values, free, hill).tolist() == [vanished]


def test_no_spread_at_all_is_a_note(rng):
    """Answers that agree less than chance lets them: the likelihood is highest where everyone has the same ability."""
    first = rng.permutation(np.repeat([0.0, 1.0], 100))
    found = fit_items(pd.DataFrame({"b1": first, "b2": 1 - first}), model="rasch")
    assert found.groups.loc[0, "note"] == "no_spread"
    assert np.isnan(found.groups.loc[0, "sd_se"])
    assert found.loglik == pytest.approx(400 * np.log(0.5), abs=0.01)
    assert found.items["b_se"].tolist() == pytest.approx([2 / np.sqrt(200)] * 2, rel=1e-3)
    assert found.converged


def test_a_spread_without_end_is_a_note():
    """Two items always answered alike: the more ability spreads, the likelier."""
    found = fit_items(pd.DataFrame({"b1": [1, 0] * 20, "b2": [1, 0] * 20}), model="rasch")
    assert found.groups.loc[0, "note"] == "runaway_spread"
    assert not found.converged


def test_without_convergence_it_says_so(rng):
    credit, _ = draw_credit(rng)
    assert not fit_items(credit, model="2pl", settings=Settings(most_steps=3, errors="none")).converged
    assert fit_items(credit, model="2pl").converged


def test_without_errors_there_are_none(rng):
    credit, _ = draw_credit(rng)
    found, usual = fit_items(credit, model="2pl", settings=Settings(errors="none")), fit_items(credit, model="2pl")
    assert found.items[["a_se", "b_se"]].isna().all(axis=None)
    assert found.items["note"].isna().all()
    assert found.items["a"].to_numpy() == pytest.approx(usual.items["a"].to_numpy(), abs=0.002)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"model": "3pl"}, ParameterError),
        ({"model": "rasch", "credit": pd.DataFrame({"b1": [0, 1, 2], "b2": [0, 1, 1]})}, ParameterError),
        ({"credit": pd.DataFrame({"b1": [0, 0.5, 1]})}, SchemaError),
        ({"credit": pd.DataFrame({"b1": [0, -1, 1]})}, SchemaError),
        ({"credit": pd.DataFrame([[0, 1], [1, 0]], columns=["b1", "b1"])}, SchemaError),
        ({"groups": pd.Series(["x", None])}, SchemaError),
        ({"groups": pd.Series(["x", "x"]), "credit": Blocks.from_frame(pd.DataFrame({"b1": [0, 1]}))}, ParameterError),
        ({"fixed": "other"}, ParameterError),
        ({"fixed": "same", "credit": pd.DataFrame({"b1": [0, 1, 2, 1], "b2": [0, 1, 1, 0]})}, SchemaError),
        (
            {
                "credit": pd.DataFrame({"b1": [0, 1, None, None], "b2": [None, None, 0, 1]}),
                "groups": pd.Series(["x", "x", "y", "y"]),
            },
            LinkageError,
        ),
    ],
)
def test_what_cannot_be_served_is_refused(arguments, error):
    credit = pd.DataFrame({"b1": [0, 1], "b2": [1, 0]})
    if "fixed" in arguments:
        name = {"other": "c1", "same": "b1"}[arguments["fixed"]]
        arguments = arguments | {
            "fixed": Curves(
                item_ids=(name,), slopes=np.ones(1), intercepts=np.zeros((1, 1)), graded=np.zeros(1, dtype=bool)
            )
        }
    with pytest.raises(error) as caught:
        fit_items(**({"credit": credit, "model": "gpcm"} | arguments))
    assert caught.value.text.id != caught.value.text.en


def test_parts_must_have_the_same_columns():
    parts = [pd.DataFrame({"b1": [0, 1]}), pd.DataFrame({"b2": [0, 1]})]
    with pytest.raises(SchemaError):
        Blocks.from_parts(parts)


def test_known_curves_need_not_have_all_the_models_categories(rng):
    """A known item of two categories among new ones of four, and a known one whose highest category nobody reached."""
    credit, curves = draw_credit(rng, n=500, n_items=4, n_categories=4)
    known = replace(curves.take(["b1", "b2"]))
    found = fit_items(credit.assign(b1=credit["b1"].clip(upper=2)), model="gpcm", fixed=known)
    assert found.items["highest"].tolist() == [3, 3, 3, 3]
    assert found.converged
