"""The instrument examples on real data: what the report writes down against R's results beside the data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from test_examples import SHARED, closed, copy_example

from bgtk_lib.cli import main
from bgtk_lib.workspace import Workspace, open_workspace

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets lie beside the checkout, never in it")

EXAMPLES = ("lsat7", "sat12", "hci", "fims", "verbal_aggression")


class Case(NamedTuple):
    """One report: its example and folder, R's items and model beside the data, and how R names an item of ours."""

    name: str
    slug: str
    classical: str
    model: str | None
    pattern: str


REPORTS = [
    Case("lsat7", "lsat7_once_en", "lsat/reference_R/ctt_items_LSAT7.csv", "lsat/reference_R/irt_2PL_LSAT7.csv", "{}"),
    Case(
        "sat12", "sat12_once_en", "sat12/reference_R/ctt_items_SAT12.csv", "sat12/reference_R/irt_2PL_SAT12.csv", "{}"
    ),
    Case("hci", "hci-1_once_en", "hci/reference_R/ctt_items_HCI.csv", "hci/reference_R/irt_2PL_HCI.csv", "Item {}"),
    Case("fims", "fims_australia_en", "fims/reference_R/ctt_items_aus.csv", None, "{}"),
    Case("verbal_aggression", "va-2_again_en", "verbal_aggression/reference_R/ctt_items_resp2.csv", None, "resp2.{}"),
]
STOPPED_EARLY = 2e-3  # R's fits stop at a change of 1e-4 a parameter; SEs follow


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Return a function that makes an example's reports, once, and gives its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BGTK_KEYS", str(tmp_path_factory.mktemp("keys")))

        @cache
        def make(name: str) -> Path:
            home = copy_example(name, tmp_path_factory.mktemp(name))
            assert main(["run", "--workspace", str(home)]) in (0, 1)
            return home

        yield make


def read_figures(home: Path, slug: str) -> dict[str, dict[str, object]]:
    """Return the figures of one report by name; those of a part (`where`) are left out."""
    results = json.loads((home / f"reports/draf/instrument/{slug}/results.json").read_text())
    return {figure["name"]: figure for figure in results["figures"] if not figure["where"]}


def take(found: dict[str, dict[str, object]], items: pd.Series, name: str) -> list[float]:
    return [float(str(found[f"item.{item}.{name}"]["value"])) for item in items]


def ours(reference: pd.Series, pattern: str) -> pd.Series:
    """Return our item ids of R's: a pattern's blank and prefix gone."""
    if pattern == "Item {}":
        return reference.str.replace(" ", "", regex=False)
    return reference.str.replace("resp2.", "D", regex=False) if pattern == "resp2.{}" else reference


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_closes_exactly_the_gates_its_workspace_names(reported: Callable[[str], Path], name: str) -> None:
    workspace: Workspace = open_workspace(reported(name))
    assert closed(workspace) == workspace.declared.expected_gates


@pytest.mark.parametrize("case", REPORTS, ids=[case.slug for case in REPORTS])
def test_classical_statistics_are_those_of_r(reported: Callable[[str], Path], case: Case) -> None:
    found, reference = read_figures(reported(case.name), case.slug), pd.read_csv(SHARED / case.classical)
    items = ours(reference["item"], case.pattern)
    assert take(found, items, "difficulty") == pytest.approx(reference["p_or_mean"].tolist(), abs=1e-12)
    assert take(found, items, "point_biserial") == pytest.approx(reference["r_rest"].tolist(), abs=1e-9)
    assert take(found, items, "alpha_if_deleted") == pytest.approx(reference["alpha_if_deleted"].tolist(), abs=1e-9)
    whole = pd.read_csv(SHARED / case.classical.replace("ctt_items", "ctt_test")).set_index("stat")["value"]
    assert float(str(found["alpha"]["value"])) == pytest.approx(float(whole["alpha_raw"]), abs=1e-9)


@pytest.mark.parametrize("case", [case for case in REPORTS if case.model], ids=lambda case: case.slug)
def test_item_parameters_and_their_errors_are_those_of_r(reported: Callable[[str], Path], case: Case) -> None:
    model = str(case.model)
    found, reference = read_figures(reported(case.name), case.slug), pd.read_csv(SHARED / model)
    items = ours(reference["item"], case.pattern)
    steep = reference["a"].to_numpy() > 0.3  # where a slope nears zero b = -d/a is not determined; d is compared below
    assert take(found, items, "a") == pytest.approx(reference["a"].tolist(), rel=STOPPED_EARLY, abs=STOPPED_EARLY)
    assert take(found, items, "a_se") == pytest.approx(reference["se_a"].tolist(), rel=STOPPED_EARLY, abs=STOPPED_EARLY)
    assert take(found, items, "d") == pytest.approx(
        (-reference["a"] * reference["b"]).tolist(), rel=STOPPED_EARLY, abs=STOPPED_EARLY
    )
    assert take(found, items[steep], "b") == pytest.approx(
        reference.loc[steep, "b"].tolist(), rel=STOPPED_EARLY, abs=STOPPED_EARLY
    )
    fit = pd.read_csv(SHARED / model.replace("irt_2PL", "irt_fit_2PL")).set_index("stat")["value"]
    assert float(str(found["loglik"]["value"])) == pytest.approx(float(fit["logLik"]), abs=0.01)


def test_the_suspect_key_is_found_and_no_other(reported: Callable[[str], Path]) -> None:
    page = (reported("sat12") / "reports/draf/instrument/sat12_once_en/report.html").read_text()
    gates = json.loads((reported("sat12") / "reports/draf/instrument/sat12_once_en/results.json").read_text())["gates"]
    told = next(gate["message"]["en"] for gate in gates if gate["code"] == "I01")
    assert "Item.32;" in told
    assert "Item.6" not in told
    assert "Option 3 goes better with the score" in page


def test_fairness_by_sex_has_the_sizes_of_r_and_the_classes_of_ets(reported: Callable[[str], Path]) -> None:
    found = read_figures(reported("hci"), "hci-1_once_en")
    reference = pd.read_csv(SHARED / "hci/reference_R/dif_gender_focal1.csv")
    items = ours(reference["item"], "Item {}")
    assert take(found, items, "dif.sex.delta") == pytest.approx(reference["deltaMH"].tolist(), abs=1e-9)
    classes = {item: found[f"item.{item}.dif.sex.class"]["value"] for item in items}
    # R's table classes by size alone: item 19, at -1.14, is its only B; its p is .051, so that ETS's rule makes it A
    assert set(classes.values()) == {"A"}
    assert float(reference.loc[reference["item"] == "Item 19", "MH_p_cc"].iloc[0]) > 0.05


def test_groups_too_small_to_compare_are_said_not_to_be(reported: Callable[[str], Path]) -> None:
    found = read_figures(reported("verbal_aggression"), "va-2_again_en")
    untested = found["dif.sex"]
    assert untested["value"] is None
    assert "Not tested" in untested["withheld"]["en"]  # type: ignore[index]


def test_levels_of_a_rating_have_a_step_each(reported: Callable[[str], Path]) -> None:
    found = read_figures(reported("verbal_aggression"), "va-3_once_en")
    assert {"item.S1.d1", "item.S1.d2", "item.S1.b1", "item.S1.b2"} <= set(found)
    assert found["item.S1.a"]["value"] == 1.0
