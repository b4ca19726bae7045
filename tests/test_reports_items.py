"""The reports on items and links of a made-up province: what was planted is found, nothing of a person is told."""

import html
import json
import re
import shutil
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml

from bgtk_lib.display.facts import FINGERPRINT
from bgtk_lib.engine import report as engine
from bgtk_lib.engine.batch import make_reports
from bgtk_lib.engine.notebooks import notebooks_folder
from bgtk_lib.engine.parameters import check_parameters, find_report
from bgtk_lib.engine.wishes import list_wishes
from bgtk_lib.errors import ParameterError
from bgtk_lib.findings import Withheld
from bgtk_lib.instrument import describe
from bgtk_lib.instrument.irt.record import fingerprint_calibration, read_calibration, write_calibration
from bgtk_lib.instrument.model import calibrate
from bgtk_lib.linking.describe import list_link
from bgtk_lib.stages import frozen
from bgtk_lib.stages.decisions import read_item_decisions
from bgtk_lib.stages.review import run_review
from bgtk_lib.stages.score import run_score
from bgtk_lib.workspace import open_workspace

MIN_CELL = 10
DECIDED = "2026-05-02"
PANEL = {"form": "SSL-1", "wave": "p1-pre"}
ASKED = [
    ("instrument", {**PANEL, "language": "id"}),
    ("instrument", {**PANEL, "language": "en", "audience": "mitra"}),
    ("instrument", {"form": "KEP-2", "wave": "p2-pre", "language": "id"}),
    ("instrument", {"form": "MAT-1", "wave": "p1-pre", "language": "id"}),
    ("comparability", {"assessment": "SSL", "wave_pre": "p1-pre", "wave_post": "p1-post", "language": "id"}),
    ("comparability", {"assessment": "SSL", "wave_pre": "p2-pre", "wave_post": "p2-post", "language": "en"}),
    ("comparability", {"assessment": "MAT", "wave_pre": "p1-pre", "wave_post": "p1-post", "language": "id"}),
    ("item", {"item": "SSL-1-007", "language": "id"}),
    ("item", {"item": "KEP-2-024", "language": "en"}),
]
SLUGS = {
    "instrument/ssl-1_p1-pre_id": "id",
    "instrument/ssl-1_p1-pre_en": "en",
    "instrument/kep-2_p2-pre_id": "id",
    "instrument/mat-1_p1-pre_id": "id",
    "comparability/ssl_p1-pre_p1-post_id": "id",
    "comparability/ssl_p2-pre_p2-post_en": "en",
    "comparability/mat_p1-pre_p1-post_id": "id",
    "item/ssl-1-007_id": "id",
    "item/kep-2-024_en": "en",
}
every_page = pytest.mark.parametrize("slug", SLUGS)


@pytest.fixture(scope="module")
def made(small_province, tmp_path_factory):
    """The small province with its reports on items, and decisions of the panel recorded before they were made."""
    folder = tmp_path_factory.mktemp("items") / "province"
    shutil.copytree(small_province.root, folder)
    (folder / "data" / "decisions").mkdir(exist_ok=True)
    decision = f"date,who,form,item_id,decision,reason\n{DECIDED},Panel SSL,SSL-1,SSL-1-001,revise,Kalimat diperbaiki\n"
    (folder / "data" / "decisions" / "items.csv").write_text(decision, encoding="utf-8")
    declared = yaml.safe_load((folder / "workspace.yaml").read_text(encoding="utf-8"))
    declared["reports"] = [{"report": name, "parameters": parameters} for name, parameters in ASKED]
    (folder / "workspace.yaml").write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
    workspace = open_workspace(folder)
    reports = make_reports(workspace, list_wishes(workspace))
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["items"]
    return SimpleNamespace(workspace=workspace, reports=reports, truth=truth)


def read_file(made, slug, name):
    return (made.workspace.root / "reports" / "draf" / slug / name).read_text(encoding="utf-8")


def read_figures(made, slug):
    return {
        (f["name"], *sorted(f["where"].items())): f
        for f in json.loads(read_file(made, slug, "results.json"))["figures"]
    }


def read_words(made, slug):
    """What a reader reads: one line an element, no style, script or tag."""
    page = re.sub(r"(?s)<(style|script)\b.*?</\1>", " ", read_file(made, slug, "report.html"))
    return html.unescape(re.sub(r"\s*\n\s*", "\n", re.sub(r"<[^>]+>", "\n", page)))


# ---------------------------------------------------------------- whole, in one language, without a person


def test_every_report_was_made(made):
    assert [(one.wish.slug, one.reason) for one in made.reports if one.status == "failed"] == []
    assert {f"{one.wish.report.name}/{one.wish.slug}" for one in made.reports} == set(SLUGS)


@every_page
def test_a_page_speaks_one_language_and_tells_its_gates(slug, made):
    words, language = read_words(made, slug), SLUGS[slug]
    mine, other = (("Jawaban singkat", "The bottom line"), ("Pemeriksaan", "The checks"))
    assert (mine[0] in words, mine[1] in words) == (language == "id", language == "en")
    assert (other[0] in words, other[1] in words) == (language == "id", language == "en")
    assert not re.search(r"\{[a-z_:,.0-9]+\}|\bnan\b|\bNone\b|withheld\.|instrument\.[a-z]+\.", words)


@every_page
def test_nothing_of_a_person_is_in_any_byte(slug, made):
    session = made.workspace.read_accepted("session")
    codes = set(session["session_id"].astype("str")) | set(session["pid"].astype("str"))
    for name in ("report.html", "results.json", "report.ipynb", "passport.json"):
        text = read_file(made, slug, name)
        found = set(re.findall(r"[\w./@-]{6,}", text)) & codes
        assert found == set(), name


@every_page
def test_no_number_rests_on_fewer_than_ten(slug, made):
    for figure in read_figures(made, slug).values():
        told = figure["withheld"] is None
        assert not (told and 0 < (figure["n"] or 0) < MIN_CELL), figure["name"]


@every_page
def test_a_page_is_no_larger_than_400_kilobytes(slug, made):
    """A form of thirty items compared by four groupings is the largest."""
    assert len(read_file(made, slug, "report.html")) < 400_000


# ---------------------------------------------------------------- the instrument


def test_the_numbers_of_items_have_stable_names(made):
    found = read_figures(made, "instrument/ssl-1_p1-pre_id")
    names = {name for name, *_ in found}
    wanted = (
        "difficulty",
        "point_biserial",
        "upper_lower",
        "alpha_if_deleted",
        "b",
        "b_se",
        "infit",
        "outfit",
        "s_x2_p",
    )
    assert {f"item.SSL-1-{at:03}.{name}" for at in range(1, 31) for name in wanted} <= names
    assert {"alpha", "omega", "sem", "ability_sd", "first_contrast", "loglik"} <= names
    assert found[("alpha",)]["unit"] == "reliability"
    credit = made.workspace.read_derived("items")
    row = credit[(credit["form"] == "SSL-1") & (credit["wave"] == "p1-pre") & (credit["item_id"] == "SSL-1-007")]
    assert found[("item.SSL-1-007.difficulty",)]["value"] == row["difficulty"].iloc[0]


def test_the_item_planted_to_be_harder_on_a_phone_is_of_class_c(made):
    planted = next(entry for entry in made.truth["dif"] if entry["form"] == "KEP-2")
    found = read_figures(made, "instrument/kep-2_p2-pre_id")
    name = f"item.{planted['item']}.dif.device"
    assert found[(f"{name}.class", ("focal", "phone"))]["value"] == "C"
    assert found[(f"{name}.delta", ("focal", "phone"))]["high"] < 0
    assert "Perangkat: ponsel – semua kelompok lain" in read_words(made, "instrument/kep-2_p2-pre_id")


def test_groups_too_small_to_compare_are_one_figure_with_the_reason(made):
    found = read_figures(made, "instrument/kep-2_p2-pre_id")
    assert found[("dif.device", ("focal", "desktop"))]["withheld"] is not None
    assert not any(
        name == "item.KEP-2-001.dif.device.class" and ("focal", "desktop") in where for name, *where in found
    )


def test_the_panel_advises_to_revise_the_poor_item_and_its_decision_is_read_back(made):
    poor = made.truth["panel"]["poor_item"]
    ratings = made.workspace.read_derived("panel")
    assert set(ratings.loc[ratings["item_id"] == poor, "advice"]) == {"revise"}
    words = read_words(made, "instrument/ssl-1_p1-pre_id")
    assert re.search(rf"{poor}\n(?:[^\n]*\n){{1,7}}perlu diperbaiki", words)
    decided = read_item_decisions(made.workspace)
    assert decided[["item_id", "decision"]].to_numpy().tolist() == [[poor, "revise"]]


def test_the_key_and_the_options_are_for_the_office_only(made):
    office, partner = (read_words(made, f"instrument/ssl-1_p1-pre_{language}") for language in ("id", "en"))
    assert re.search(r"\n[A-E]\xa0\d+,\d%\xa0\(", office)
    assert "internal readers only" in partner
    assert not re.search(r"\n[A-E]\xa0\d+\.\d%", partner)
    assert "the thick line" not in partner


def test_the_fingerprint_of_the_calibration_is_printed(made):
    stored = read_calibration(made.workspace.stage_folder("review") / "calibrations" / "SSL-1@p1-pre.json")
    words = read_words(made, "instrument/ssl-1_p1-pre_id")
    assert fingerprint_calibration(stored)[:FINGERPRINT] in words
    assert "beku" not in words


def test_a_form_below_a_hundred_persons_has_classical_statistics_and_says_why_no_model(made):
    words, found = read_words(made, "instrument/mat-1_p1-pre_id"), read_figures(made, "instrument/mat-1_p1-pre_id")
    assert ("item.MAT-1-001.difficulty",) in found
    assert not any(name.endswith(".b") for name, *_ in found)
    assert "Tidak ada model respons butir untuk paket ini" in words
    assert "Q3" not in words


def test_a_form_below_thirty_persons_prints_no_item_statistics(made, monkeypatch):
    """The small province has no such form: the bound is set above its largest."""
    monkeypatch.setattr(engine, "FEWEST_PERSONS", 10_000)
    shown, report = run_here(made, "02_instrument.ipynb", monkeypatch, form="SSL-1", wave="p1-pre")
    assert report.figures == []
    assert "Kurang dari 30 peserta" in shown
    assert not re.search(r"SSL-1-\d{3}", shown)


def run_here(made, name, monkeypatch, **chosen):
    """Run a notebook's cells in this process, and return all it shows and its report."""
    monkeypatch.chdir(made.workspace.root)
    pieces, names = [], {}
    monkeypatch.setattr(engine, "display", pieces.append)
    for cell in nbformat.read(notebooks_folder() / name, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, name, "exec"), names)
            names |= chosen if "parameters" in cell.metadata.get("tags", []) else {}
    return "\n".join(piece.html for piece in pieces), names["report"]


def test_what_chance_brings_about_moves_the_limit_of_dependence_up_only():
    facts = pd.DataFrame({"name": ["mean_q3", "q3_limit"], "value": [-0.03, 0.31]})
    assert describe.find_q3_limit(facts) == 0.31
    assert describe.find_q3_limit(facts.assign(value=[-0.03, 0.12])) == 0.20
    assert describe.find_q3_limit(facts.assign(value=[-0.03, np.nan])) == 0.20
    assert describe.find_q3_limit(facts.iloc[:1]) == 0.20
    assert describe.find_q3_limit(pd.DataFrame()) is None


def test_limits_of_chance_are_simulated_only_where_a_fixed_one_is_passed(made):
    facts = made.workspace.read_derived("facts").pivot_table(index=["form", "wave"], columns="name", values="value")
    pairs = made.workspace.read_derived("dependence")
    passed = (facts["first_contrast"] > 2) | (facts["contrast_correlation"] < 0.90)
    passed |= facts.index.isin(pd.MultiIndex.from_frame(pairs[["form", "wave"]]))
    simulated = facts.get("q3_limit", pd.Series(index=facts.index, dtype=float)).notna()
    assert simulated[facts["first_contrast"].notna()].tolist() == passed[facts["first_contrast"].notna()].tolist()


# ---------------------------------------------------------------- the link


@pytest.mark.parametrize(("slug", "phase"), [("ssl_p1-pre_p1-post_id", "I"), ("ssl_p2-pre_p2-post_en", "II")])
def test_the_anchors_planted_to_drift_are_dropped(slug, phase, made):
    planted = next(entry for entry in made.truth["anchors"] if entry["phase"] == phase)
    found = read_figures(made, f"comparability/{slug}")
    states = {item: found[(f"anchor.{item}.state",)]["value"] for item in planted["items"]}
    assert {item for item, state in states.items() if state == "dropped"} == set(planted["drift"])
    for item, by in planted["drift"].items():
        assert np.sign(found[(f"anchor.{item}.difference",)]["value"]) == np.sign(by)
    assert found[("anchors.kept",)]["value"] == len(planted["items"]) - len(planted["drift"])
    assert {("link.shift",), ("link.linking_error",), ("link.linking_error_points",), ("link.verdict",)} <= set(found)


def test_the_fingerprints_of_the_link_are_those_a_decision_names(made):
    row = made.workspace.read_derived("links").set_index(["assessment", "wave_pre"]).loc[("SSL", "p1-pre")]
    words = read_words(made, "comparability/ssl_p1-pre_p1-post_id")
    for name in ("fingerprint", "calibration_pre", "calibration_post"):
        assert row[name][:FINGERPRINT] in words, name


def test_the_same_form_compares_without_a_calibration_with_the_note_that_drift_was_not_checked(made):
    """C01 lets it pass and the change report tells it: this report must not forbid it."""
    found = read_figures(made, "comparability/mat_p1-pre_p1-post_id")
    assert found[("link.verdict",)]["value"] == "yes_with_notes"
    words = read_words(made, "comparability/mat_p1-pre_p1-post_id")
    assert "Ya, dengan catatan. Skor MAT-1 boleh dibandingkan" in words
    assert "tidak dapat diperiksa" in words
    assert "Belum boleh" not in words


def test_different_forms_without_a_calibration_say_not_yet_and_why():
    row = {
        "form_pre": "A",
        "form_post": "B",
        "n_pre": 60,
        "n_post": 50,
        "verdict": None,
        "reason_id": "x",
        "reason_en": "y",
    }
    (verdict,) = list_link(pd.DataFrame([row]))
    assert isinstance(verdict.value, Withheld)
    (same,) = list_link(pd.DataFrame([row | {"form_post": "A"}]))
    assert same.value == "yes_with_notes"


def test_a_calibration_has_the_same_fingerprint_before_it_is_written_and_after(tmp_path):
    """Else the one that a report prints would freeze nothing."""
    rng = np.random.default_rng(3)
    credit = pd.DataFrame((rng.random((150, 6)) < 0.5).astype(float), columns=list("abcdef")).assign(f=1.0)
    fresh = calibrate(credit, model="rasch")
    written = write_calibration(tmp_path / "c.json", fresh)
    assert written == fingerprint_calibration(fresh) == fingerprint_calibration(read_calibration(tmp_path / "c.json"))


def test_frozen_calibrations_keep_the_scores_when_other_answers_come_in(made, tmp_path):
    """Forty persons answer anew: the form is calibrated again, and nobody else's ability moves."""
    folder = tmp_path / "grown"
    shutil.copytree(made.workspace.root, folder, ignore=shutil.ignore_patterns("reports"))
    row = made.workspace.read_derived("links").set_index(["assessment", "wave_pre"]).loc[("SSL", "p1-pre")]
    marks = [
        ("calibration", row["calibration_pre"]),
        ("calibration", row["calibration_post"]),
        ("link", row["fingerprint"]),
    ]
    lines = [f"{DECIDED},Tim,{kind},{mark[:FINGERPRINT]},skor sudah diumumkan" for kind, mark in marks]
    path = folder / "data" / "decisions" / "frozen.csv"
    path.write_text("\n".join([",".join(frozen.COLUMNS), *lines]) + "\n", encoding="utf-8")
    workspace = open_workspace(folder)
    redone = answer_anew(folder, n=40)
    run_review(workspace)
    run_score(workspace)
    fresh = read_calibration(workspace.stage_folder("review") / "calibrations" / "SSL-1@p1-pre.json")
    assert not fingerprint_calibration(fresh).startswith(row["calibration_pre"])
    places = ["theta", "scale_points"]  # the scale is held fast with its link
    known, told = (one.read_derived("scores").set_index("session_id")[places] for one in (made.workspace, workspace))
    before, after = known["theta"], told["theta"]
    others = after.dropna().index.difference(redone)
    assert len(others) > 400
    assert told.loc[others].to_numpy() == pytest.approx(known.loc[others].to_numpy(), abs=1e-9)  # summed anew
    moved = before.index.intersection(redone)
    assert (after[moved] != before[moved]).mean() > 0.9
    link = workspace.read_derived("links").set_index(["assessment", "wave_pre"]).loc[("SSL", "p1-pre")]
    assert (link["fingerprint"], link["shift"]) == (row["fingerprint"], row["shift"])


def answer_anew(folder, *, n):
    """Leave only SSL of phase I, let its first n sessions of the first wave choose A throughout, and return them."""
    parts = folder / "data" / "canonical" / "answer"
    kept = {parts / "wave=p1-pre" / "form=SSL-1", parts / "wave=p1-post" / "form=SSL-1B"}
    for part in set(parts.glob("wave=*/form=*")) - kept:
        shutil.rmtree(part)
    path = parts / "wave=p1-pre" / "form=SSL-1" / "part-0.parquet"
    answers = pd.read_parquet(path)
    redone = list(dict.fromkeys(answers["session_id"].astype("str")))[:n]
    here, kinds = answers["session_id"].astype("str").isin(redone), answers.dtypes
    for name, value in (("raw", "A"), ("state", "answered")):
        answers[name] = answers[name].astype(object).mask(here, value).astype(kinds[name])
    answers.to_parquet(path, index=False)
    return redone


def test_a_fingerprint_that_names_nothing_is_refused(made, tmp_path):
    folder = tmp_path / "slip"
    (folder / "data" / "decisions").mkdir(parents=True)
    shutil.copy(made.workspace.root / "workspace.yaml", folder)
    line = f"{DECIDED},Tim,calibration,{'0' * FINGERPRINT},-"
    (folder / "data" / "decisions" / "frozen.csv").write_text(f"{','.join(frozen.COLUMNS)}\n{line}\n", encoding="utf-8")
    with pytest.raises(ParameterError, match="0" * FINGERPRINT):
        frozen.keep_frozen(open_workspace(folder))


# ---------------------------------------------------------------- the passport of an item


def test_a_passport_follows_an_item_over_forms_and_waves(made):
    found, words = read_figures(made, "item/ssl-1-007_id"), read_words(made, "item/ssl-1-007_id")
    places = [("SSL-1", "p1-pre"), ("SSL-1B", "p1-post")]
    for form, wave in places:
        where = (("form", form), ("wave", wave))
        assert {("item.SSL-1-007.difficulty", *where), ("item.SSL-1-007.b", *where)} <= set(found)
        assert f"{form} · {wave}" in words
    assert "Dikeluarkan dari penyetaraan p1-pre → p1-post" in words


def test_each_comparison_of_groups_stands_beside_its_own_size(made):
    """The rows are put in the order of the waves, and the words with them."""
    words, found = read_words(made, "item/kep-2-024_en"), read_figures(made, "item/kep-2-024_en")
    rows = re.findall(r"KEP-2 · (p2-\w+)\nDevice: phone – all other groups\n([−+][\d.]+)\n([BC])", words)
    assert [wave for wave, *_ in rows] == ["p2-pre", "p2-post"]
    for wave, size, letter in rows:
        where = (("focal", "phone"), ("form", "KEP-2"), ("wave", wave))
        assert float(size.replace("−", "-")) == pytest.approx(
            found[("item.KEP-2-024.dif.device.delta", *where)]["value"], abs=0.005
        )
        assert letter == found[("item.KEP-2-024.dif.device.class", *where)]["value"]


def test_an_unknown_item_is_refused_with_the_nearest(made):
    with pytest.raises(ParameterError, match="SSL-1-007"):
        check_parameters(find_report("item"), {"item": "SSL-1-0007"}, made.workspace)


# ---------------------------------------------------------------- on a phone


@pytest.mark.browser
@pytest.mark.parametrize(
    "slug",
    [
        "instrument/ssl-1_p1-pre_id",
        pytest.param("instrument/kep-2_p2-pre_id", marks=pytest.mark.slow),
        "comparability/ssl_p1-pre_p1-post_id",
        "item/ssl-1-007_id",
    ],
)
def test_a_page_holds_in_a_browser(slug, made, check_page):
    check_page(made.workspace.root / "reports" / "draf" / slug / "report.html")
