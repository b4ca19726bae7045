"""The made-up province: same seed same bytes, published counts, valid identifiers, a truth that simulation confirms."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from bgtk_lib import schema
from bgtk_lib.errors import ParameterError, StageError
from bgtk_lib.synthetic import FAULTS, Design, draw_pairs, draw_province, write_demo
from bgtk_lib.synthetic.curves import score_curve, score_moments
from bgtk_lib.synthetic.design import SUBJECTS, count_districts, form_name, share_out
from bgtk_lib.synthetic.exports import build_exports, write_exports
from bgtk_lib.synthetic.faults import plant_faults
from bgtk_lib.synthetic.forms import NOT_REACHED, OMITTED, OPTIONS, build_form, choose_options, give_answers
from bgtk_lib.synthetic.model import chance_of_leaving, draw_abilities, draw_effects
from bgtk_lib.synthetic.people import PPPK
from bgtk_lib.synthetic.truth import compute_truth
from bgtk_lib.workspace.declaration import WorkspaceDeclaration


@cache
def province(size="small", scenario="sound"):
    return draw_province(Design(size=size, scenario=scenario))


@cache
def exports():
    return build_exports(province())


def same(one, other):
    return one.equals(other) if isinstance(one, pd.DataFrame) else one == other


def changed(before, after):
    """Return the paths whose content is new or not the same."""
    return {path for path in after if path not in before or not same(before[path], after[path])}


def hash_folder(folder):
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            whole.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return whole.hexdigest()


# ------------------------------------------------------------------ files


def test_same_seed_same_bytes(tmp_path):
    few = Design(assessments=("MAT", "PED"))
    write_demo(tmp_path / "one", few)
    write_demo(tmp_path / "two", few)
    write_demo(tmp_path / "other", Design(assessments=("MAT", "PED"), seed=7))
    assert hash_folder(tmp_path / "one") == hash_folder(tmp_path / "two")
    assert hash_folder(tmp_path / "one") != hash_folder(tmp_path / "other")


def test_test_files_have_the_layout_of_the_test_system(tmp_path):
    paths = {"data/raw/cbt/p1-pre/PED.csv", "data/control_totals.csv", "workspace.yaml", "truth.json"}
    write_exports({path: content for path, content in exports().items() if path in paths}, tmp_path)
    raw = (tmp_path / "data/raw/cbt/p1-pre/PED.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfNo;No Peserta;NUPTK;NIP;Nama;NPSN;Sekolah;Kab/Kota;Mapel;Paket;Mulai;Selesai;")
    lines = raw.decode("utf-8-sig").split("\r\n")
    assert lines[0].endswith("Soal 29;Soal 30")
    assert {line.count(";") for line in lines[:-1]} == {44}
    assert not (tmp_path / "data/control_totals.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))["design"]["size"] == "small"


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(StageError, match="already holds files"):
        write_demo(tmp_path, Design(assessments=("PED",)))


def test_the_workspace_is_one_the_workbench_accepts():
    for size in ("small", "province"):
        content = build_exports(province())["workspace.yaml"] if size == "small" else None
        if content is None:
            from bgtk_lib.synthetic.layouts import declare_workspace

            content = declare_workspace(Design(size="province"))
        declared = WorkspaceDeclaration.model_validate(content)
        assert set(declared.waves) >= {"p1-pre", "p1-post", "p2-pre", "p2-post"}
    assert declared.forms["PED-3"].assessment == "PED"
    assert "MAT-3" not in declared.forms


def test_every_district_is_spelled_as_the_alias_table_knows():
    homes = province().schools.set_index("npsn")["district"]
    for path, table in exports().items():
        if path.startswith("data/raw/cbt/"):
            codes = schema.resolve_districts(table["Kab/Kota"].str.strip(), system="name")
            assert (codes == table["NPSN"].map(homes)).all()
    spelled = pd.concat([table["Kab/Kota"] for path, table in exports().items() if "/p2-pre/" in path])
    assert spelled[spelled.map(schema.fold_name).str.startswith(("tulangbawangbarat", "tubaba"))].nunique() >= 8


def test_sessions_fall_on_the_declared_days_and_end_after_they_start():
    days = exports()["workspace.yaml"]["waves"]
    for path, table in exports().items():
        if not path.startswith("data/raw/cbt/"):
            continue
        wave = days[path.split("/")[3]]
        start, end = (pd.to_datetime(table[column], format="%d/%m/%Y %H:%M:%S") for column in ("Mulai", "Selesai"))
        assert set(start.dt.date) <= {*wave["window"], *wave["make_up"]}
        assert start.dt.hour.min() >= 8
        assert (end.isna() | (end > start)).all()


def test_a_second_attempt_follows_one_that_broke_off_or_a_complete_one():
    table = exports()["data/raw/cbt/p2-pre/PED.csv"]
    twice = table[table["No Peserta"].duplicated(keep=False)]
    assert 0.002 < len(twice) / 2 / len(table) < 0.03
    items = [f"Soal {number}" for number in range(1, 31)]
    for _, two in twice.groupby("No Peserta"):
        assert list(two["Percobaan"]) == ["1", "2"]
        answered = (two[items] != "").mean(axis=1).to_numpy()
        assert answered[1] > 0.8
        assert answered[0] > 0.8 if two["Selesai"].iloc[0] else answered[0] <= 0.5


# ------------------------------------------------------------------ counts


def test_published_totals_are_exact():
    drawn = province("secondary")
    published = schema.published_totals()
    for phase in ("I", "II"):
        wave = "p1-pre" if phase == "I" else "p2-pre"
        held = drawn.sittings[drawn.sittings["wave"] == wave].drop_duplicates(["teacher", "assessment"])
        persons = drawn.teachers.loc[held["teacher"].unique()]
        for row in published[published["phase"] == phase].itertuples():
            found = len(persons)
            if row.subject:
                found = int((held["assessment"] == row.subject).sum())
            if row.district:
                found = int((persons["district"] == row.district).sum())
            assert found == row.n, (phase, row.subject, row.district)
    capital = drawn.teachers.query("phase == 'I' and comes")["district"] == "18.71"
    assert capital.mean() == pytest.approx(0.6, abs=0.001)


def test_small_keeps_every_district_and_an_eighth_of_the_teachers():
    one, two = (count_districts(Design(), phase) for phase in ("I", "II"))
    assert sum(one.values()) == 334
    assert (len(one), len(two)) == (15, 14)
    assert min([*one.values(), *two.values()]) >= 12
    assert abs(sum(two.values()) - 6762 / 8) < 7


def test_province_adds_phase_three_with_the_general_assessments_only():
    design = Design(size="province")
    assert sum(count_districts(design, "III").values()) == 25_700
    assert len(count_districts(design, "III")) == 15
    assert design.taken("III") == ("PED", "KEP", "SSL")


def test_the_register_of_totals_is_what_was_sat():
    totals = exports()["data/control_totals.csv"]
    for row in totals.itertuples():
        tables = [table for path, table in exports().items() if f"/cbt/{row.wave}/{row.subject or ''}" in path]
        everyone = pd.concat(tables).drop_duplicates("No Peserta")
        if row.district:
            codes = schema.resolve_districts(everyone["Kab/Kota"], system="name")
            everyone = everyone[(codes == row.district).to_numpy()]
        assert len(everyone) == int(row.n), row


def test_rosters_invite_some_who_do_not_come_and_everyone_who_sat_before():
    rosters, teachers = province().rosters, province().teachers
    before = set(rosters.loc[rosters["wave"] == "p2-pre", "teacher"])
    after = set(rosters.loc[rosters["wave"] == "p2-post", "teacher"])
    came = set(teachers.index[teachers["comes"] & (teachers["phase"] == "II")])
    assert after == came
    assert len(before - came) / len(came) == pytest.approx(0.04, abs=0.002)


def test_each_takes_the_own_subject_and_the_general_ones():
    held = province().sittings.query("wave == 'p1-pre' and attempt == 1")
    taken = held.groupby("teacher")["assessment"].agg(set)
    subjects = province().teachers["subject"]
    assert all(taken[number] == {subjects[number], "PED", "KEP", "SSL"} for number in taken.index)
    assert set(subjects) == set(SUBJECTS)


# ------------------------------------------------------------------ identifiers


def test_identifiers_obey_the_official_rules():
    teachers = province().teachers
    for person in teachers.itertuples():
        born, male = person.birth_date, person.sex == "L"
        if person.nuptk:
            assert re.fullmatch(r"\d{16}", person.nuptk)
            assert len(set(person.nuptk)) > 1
        assert re.fullmatch(r"\d{16}", person.nik)
        assert person.nik[6:12] == f"{born.day + (0 if male else 40):02d}{born:%m%y}"
        assert person.nik[12:] >= "9000"  # no real serial is that high
        assert bool(person.nip) == (person.status_id in (1, 2, 10, 11))
        if person.nip:
            assert re.fullmatch(r"\d{18}", person.nip)
            assert person.nip[:8] == f"{born:%Y%m%d}"
            assert person.nip[14] == ("1" if male else "2")
            assert person.nip[15:] != "000"
            joined = int(person.nip[8:12])
            assert 18 <= joined - born.year <= 58
            if person.status_id == PPPK:
                assert person.nip[12:14] == "21"
                assert 2021 <= joined <= 2025
            else:
                assert 1 <= int(person.nip[12:14]) <= 12
                assert joined <= 2025
        assert not person.comes or person.nuptk or person.nip
    assert (teachers["nuptk"] == "").any()
    zeros = teachers["nuptk"].str[-1] == "0"
    assert zeros.mean() < 0.15  # an office that lost digits has more


def test_no_number_comes_twice():
    teachers = province("secondary").teachers
    for column in ("nuptk", "nip", "nik"):
        filled = teachers.loc[teachers[column] != "", column]
        assert filled.is_unique
    for column in ("nip", "nik"):  # phases are drawn apart: they number in ranges of their own
        serial = teachers.loc[teachers[column] != "", column].str[-3:].astype(int)
        spans = serial.groupby(teachers["phase"]).agg(["min", "max"])
        assert spans.loc["I", "max"] < 300 < spans.loc["II", "min"] + 1
        assert spans.loc["II", "max"] < 600


def test_dapodik_answers_as_the_web_service_does():
    schools = {path: entry for path, entry in exports().items() if path.startswith("data/raw/dapodik/sekolah/")}
    assert len(schools) == len(province().schools)
    by_code = {f"{code}"[:4]: name for code, name in schema.districts().set_index("dapodik")["label"].items()}
    for entry in schools.values():
        row = entry["rows"]
        assert isinstance(row, dict)
        assert re.fullmatch(r"12\d{4}  ", row["kode_wilayah"])
        assert by_code[row["kode_wilayah"][:4]] == row["kabupaten_kota"]
        assert re.fullmatch(r"99\d{6}", row["npsn"])
        assert row["bentuk_pendidikan_id_str"] in ("SMA", "SMK", "SLB")
    rows = [row for path, entry in exports().items() if "/gtk/" in path for row in entry["rows"]]
    homes = Counter(row["ptk_id"] for row in rows if row["ptk_induk"] == "1")
    assert set(homes.values()) == {1}
    assert {row["ptk_id"] for row in rows} == set(homes)
    teachers = [row for row in rows if row["jenis_ptk_id"] != "11" and row["ptk_induk"] == "1"]
    assert len(teachers) == len(province().teachers)
    assert all(not row["nip"] or row["nip"][:8] == row["tanggal_lahir"].replace("-", "") for row in rows)
    assert {"agama_id", "nik", "rwy_pend_formal", "status_kepegawaian_id_str"} <= set(rows[0])


# ------------------------------------------------------------------ the model


def test_a_form_is_the_same_in_every_province_and_renewed_between_phases():
    assert build_form("PED-1") is build_form("PED-1")
    one, two = build_form("PED-1"), build_form("PED-2")
    assert not np.array_equal(one.b, two.b)
    assert (one.n_items, build_form("MAT-1").n_items) == (30, 40)
    assert one.item_ids[6] == "PED-1-007"
    assert set(one.indicators) == {"PED1", "PED2", "PED3"}
    assert set(build_form("SSL-2").indicators) <= set(schema.code_list("indicators"))
    assert np.bincount(one.key).tolist() == [6] * 5


def test_what_is_left_out_would_have_been_wrong():
    rng = np.random.default_rng(1)
    form = build_form("MAT-1")
    right = give_answers(rng.standard_normal(4000), form, rng=rng)
    marked = choose_options(right, form, omitted=0.01, not_reached=0.02, rng=rng)
    assert np.array_equal(marked == form.key, right)
    assert (marked == OMITTED).mean() == pytest.approx(0.01, abs=0.002)
    stops = marked[:, -1] == NOT_REACHED
    assert stops.mean() == pytest.approx(0.02, abs=0.008)
    assert not ((marked[:, :-1] == NOT_REACHED) & (marked[:, 1:] != NOT_REACHED)).any()
    chosen = np.stack([(marked == option).mean(axis=0) for option in range(len(OPTIONS))])
    chosen[form.key, np.arange(form.n_items)] = np.nan
    assert np.nanmax(chosen, axis=0).mean() > 2 * np.nanmin(chosen, axis=0).mean()  # distractors attract unequally


def test_abilities_have_the_stated_spread():
    design, rng = Design(), np.random.default_rng(5)
    effects = draw_effects(design, assessments=("PED", "MAT"), rng=rng)
    n = 60_000
    district, school = np.zeros(n, dtype=np.intp), np.arange(n) // 20
    ability = draw_abilities(design, effects, district=district, school=school, rng=rng)
    before, change = ability.before["PED"], ability.after["PED"] - ability.before["PED"]
    assert before.var() == pytest.approx(1 - 0.15**2, rel=0.03)
    assert change.mean() == pytest.approx(effects.change["PED"][0], abs=0.01)
    assert change.std() == pytest.approx((0.08**2 + 0.35**2) ** 0.5, rel=0.02)
    assert np.corrcoef(before, ability.before["MAT"])[0, 1] == pytest.approx(0.6, abs=0.02)
    means = pd.Series(before).groupby(school).mean()
    assert means.var() - (before.var() - 0.25**2) / 20 == pytest.approx(0.25**2, rel=0.15)
    drawn = np.concatenate([draw_effects(design, assessments=("PED",), rng=rng).change["PED"] for _ in range(200)])
    assert (drawn.mean(), drawn.std()) == (pytest.approx(0.20, abs=0.005), pytest.approx(0.05, rel=0.05))


def test_quadrature_agrees_with_a_simulation_of_400000_teachers():
    n, phase = 400_000, "II"
    designs = [Design(), Design(scenario="attrition_observed")]
    rng = np.random.default_rng(20)
    effects = draw_effects(designs[0], assessments=("PED", "MAT"), rng=rng)
    counts = share_out(n, count_districts(designs[0], phase))
    codes = np.array(effects.districts)
    district = np.repeat([effects.districts.index(code) for code in counts], list(counts.values()))
    # One teacher a school: the persons are independent, and their mean has the plain standard error.
    ability = draw_abilities(designs[0], effects, district=district, school=np.arange(n), rng=rng)
    score = {}
    for code in ("PED", "MAT"):
        form = build_form(form_name(code, phase))
        for occasion, theta in (("pre", ability.before[code]), ("post", ability.after[code])):
            score[code, occasion] = give_answers(theta, form, rng=rng).sum(axis=1).astype(float)
            score[code, occasion, "true"] = expit(form.a * (theta[:, None] - form.b)).sum(axis=1)
    for design in designs:
        gate = form_name("PED", phase)
        chance = chance_of_leaving(design, form=gate, theta=ability.before["PED"], score=score["PED", "pre"])
        stays = rng.random(n) >= chance
        for code in ("PED", "MAT"):
            truth = compute_truth(design, effects, assessment=code, phase=phase, counts=counts)
            change = score[code, "post", "true"] - score[code, "pre", "true"]
            seen = score[code, "post"] - score[code, "pre"]
            here = codes[district] == "18.02"
            for population, who in (("all", np.ones(n, dtype=bool)), ("retained", stays)):
                for where, rows in (("", who), ("18.02", who & here)):
                    for column, values in (("points", change), ("points_observed", seen)):
                        expected = truth.value(column, population=population, district=where)
                        error = values[rows].std() / rows.sum() ** 0.5
                        assert abs(values[rows].mean() - expected) < 4 * error, (design.scenario, code, population)
                pre, post = score[code, "pre"][who], score[code, "post"][who]
                assert truth.value("var_pre", population=population) == pytest.approx(pre.var(), rel=0.012)
                assert truth.value("var_post", population=population) == pytest.approx(post.var(), rel=0.012)
                standard = truth.value("points", population=population) / ((pre.var() + post.var()) / 2) ** 0.5
                assert truth.value("g_av", population=population) == pytest.approx(standard, rel=0.01)
            retention = truth.value("retention", population="retained")
            assert stays.mean() == pytest.approx(retention, abs=4 * (0.15 / n) ** 0.5)


def test_the_expected_score_is_the_sum_of_the_items_chances():
    form = build_form("PED-1")
    curve = score_curve("PED-1")
    assert curve.first[1800] == pytest.approx(sum(1 / (1 + np.exp(form.a * form.b))), rel=1e-12)  # theta = 0
    mean, sd = score_moments("PED-1")
    assert 14 < mean < 18
    assert 5 < sd < 7


# ------------------------------------------------------------------ scenarios


def test_no_change_is_exactly_none():
    drawn = draw_pairs(Design(scenario="no_change"), assessment="MAT", phase="I", rng=np.random.default_rng(1))
    rows = drawn.truth.rows
    assert (rows[["points", "percent", "g_av", "theta"]] == 0.0).all(axis=None)
    design, rng = Design(scenario="no_change"), np.random.default_rng(1)
    effects = draw_effects(design, assessments=("PED",), rng=rng)
    ability = draw_abilities(design, effects, district=np.zeros(50, int), school=np.arange(50), rng=rng)
    assert np.array_equal(ability.before["PED"], ability.after["PED"])


def test_one_district_is_exactly_zero_on_the_scale_of_ability():
    drawn = draw_pairs(Design(scenario="one_zero_district"), assessment="PED", phase="II", rng=np.random.default_rng(1))
    zero = drawn.truth.zero_district
    rows = drawn.truth.rows.query("population == 'all' and district != ''").set_index("district")
    assert list(rows.index[rows["theta"] == 0]) == [zero]
    assert abs(rows.loc[zero, "points"]) < 0.05  # the spread of persons' change bends a little on the score
    assert drawn.truth.value("points") > 0.5


def test_tutors_are_those_on_top_of_the_observed_pretest():
    drawn = province("small", "tutors_on_top")
    tutors = drawn.training.query("role == 'Tutor'")
    assert set(tutors["programme"]) == {"TS"}
    held = drawn.sittings.query("assessment == 'PED' and wave == 'p2-pre'")
    marked = drawn.answers["PED", "p2-pre"]
    scores = pd.Series((marked == build_form("PED-2").key).sum(axis=1)[held["row"]], index=held["teacher"].to_numpy())
    scores = scores.groupby(level=0).max()  # an attempt that broke off is the lower one
    chosen = [number for number in tutors["teacher"] if number in scores.index]
    assert len(chosen) == round(0.1 * len(scores))
    assert scores[chosen].mean() > scores.quantile(0.88)


def test_programmes_are_those_of_the_register():
    assert set(province().training["programme"]) == {"TS", "PM", "KKA", "STEM"}
    assert set(province().training["programme"]) <= set(schema.code_list("programmes"))


def test_a_sixth_leave_and_the_weaker_more_often():
    teachers = province("secondary").teachers.query("comes")
    assert teachers["leaves"].mean() == pytest.approx(0.18, abs=0.015)
    drawn = draw_pairs(Design(), assessment="PED", phase="II", n_teachers=6000, rng=np.random.default_rng(2))
    assert drawn.leavers["score_pre"].mean() < drawn.pairs["score_pre"].mean() - 0.6  # a fifth of an SD, in points
    after = province("secondary").sittings.query("wave == 'p1-post'")["teacher"].unique()
    assert not teachers.loc[after, "leaves"].any()


@pytest.mark.parametrize(("scenario", "biased"), [("sound", False), ("attrition_observed", True)])
def test_complete_cases_mislead_only_where_leaving_depends_on_the_observed_score(scenario, biased):
    design, rng = Design(size="secondary", scenario=scenario), np.random.default_rng(8)
    errors, covered = [], []
    for _ in range(150):
        drawn = draw_pairs(design, assessment="PED", phase="II", n_teachers=1500, rng=rng)
        change = drawn.pairs["score_post"] - drawn.pairs["score_pre"]
        rest = change - change.groupby(drawn.pairs["district"]).transform("mean")
        sums = rest.groupby(drawn.pairs["npsn"]).sum()
        error = change.mean() - drawn.truth.value("points", population="retained")
        errors.append(error)
        covered.append(abs(error) < 2.1 * (sums**2).sum() ** 0.5 / len(change))
    mean, se = np.mean(errors), np.std(errors) / len(errors) ** 0.5
    assert (abs(mean) > 10 * se) == biased
    assert abs(mean) < 4 * se or biased
    assert np.mean(covered) < 0.85 if biased else np.mean(covered) > 0.87


def test_pairs_carry_scores_districts_and_schools():
    drawn = draw_pairs(Design(), assessment="MAT", phase="II", n_teachers=200, rng=np.random.default_rng(3))
    assert list(drawn.pairs) == ["score_pre", "score_post", "district", "npsn"]
    assert list(drawn.leavers) == ["score_pre", "district", "npsn"]
    assert len(drawn.pairs) + len(drawn.leavers) == 200
    assert drawn.pairs["score_post"].between(0, 40).all()
    assert drawn.truth.rows.query("population == 'all' and district != ''")["share"].sum() == pytest.approx(1)
    assert drawn.truth.as_json()["n_items"] == 40


# ------------------------------------------------------------------ faults

TOUCHES = {  # which files a fault may change
    "digits_lost": "cbt/p1-post/",
    "leading_zero_lost": "cbt/p1-post/",
    "nip_birth_wrong": "dapodik/gtk/",
    "second_attempts": "cbt/p1-post/|workspace",
    "one_id_two_people": "cbt/p2-post/",
    "wrong_clock": "cbt/p1-post/",
    "month_day_swapped": "cbt/p1-post/KEP",
    "test_accounts": "cbt/p1-post/PED",
    "unknown_district": "cbt/p1-post/",
    "undotted_codes": "cbt/p1-post/",
    "district_disagrees": "cbt/p1-post/",
    "madrasah_in_frame": "dapodik/sekolah/",
    "rows_missing": "cbt/p1-pre/",
    "old_dapodik": "workspace",
    "key_shifted": "register/kunci",
    "different_form": "cbt/p1-post/PED|register/kunci|workspace",
    "different_people": "cbt/p1-post/|roster/p1-post|dapodik/gtk/",
    "late_sitting": "cbt/p1-post/|workspace",
    "keys_released": "workspace",
    "other_province": "cbt/p2-post/PED",
    "duplicate_rows": "cbt/p1-post/",
    "spellings": "cbt/p2-(pre|post)/",
}


def spoil(name):
    return plant_faults(exports(), (name,), seed=1)


def wave_of(content, wave):
    return pd.concat([table for path, table in content.items() if f"/cbt/{wave}/" in path], ignore_index=True)


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_changes_only_what_it_says(name):
    before = {
        path: entry.copy() if isinstance(entry, pd.DataFrame) else json.dumps(entry, default=str)
        for path, entry in exports().items()
    }
    spoiled = spoil(name)
    touched = changed(exports(), spoiled)
    assert touched
    assert all(re.search(TOUCHES[name], path) for path in touched), sorted(touched)[:5]
    assert set(spoiled) == set(exports())
    for path, entry in exports().items():  # what was given stays as it was
        now = entry if isinstance(entry, pd.DataFrame) else json.dumps(entry, default=str)
        assert same(before[path], now)
    assert set(FAULTS[name].closes.values()) <= {"HOLD", "STOP"}
    assert changed(spoiled, spoil(name)) == set()  # the same seed plants the same


@pytest.mark.parametrize(
    ("name", "column", "pattern", "share"),
    [
        ("digits_lost", "p1-post NUPTK", r"\d,\d{5}E\+1\d", (0.02, 0.04)),
        ("leading_zero_lost", "p1-post NUPTK", r"\d{15}", (0.01, 0.03)),
        ("wrong_clock", "p1-post Mulai", r".* 0[1-5]:.*", (0.02, 0.04)),
        ("month_day_swapped", "p1-post Mulai", r"04/(18|25)/.*", (0.01, 0.08)),
        ("test_accounts", "p1-post Nama", r"UJI COBA \d\d", (0.005, 0.02)),
        ("unknown_district", "p1-post Kab/Kota", "Lampung Raya", (0.02, 0.05)),
        ("undotted_codes", "p1-post Kab/Kota", r"18\d\d", (1, 1)),
        ("late_sitting", "p1-post Mulai", r"05/06/2026 .*", (0.05, 0.11)),
        ("other_province", "p2-post Kab/Kota", "Kab. Ogan Komering Ulu", (0.003, 0.02)),
        ("different_form", "p1-post Paket", "PED-9", (0.2, 0.3)),
    ],
)
def test_a_fault_reaches_its_share_of_rows(name, column, pattern, share):
    wave, column = column.split(maxsplit=1)
    hits = wave_of(spoil(name), wave)[column].str.fullmatch(pattern)
    assert share[0] <= hits.mean() <= share[1]
    sound = wave_of(exports(), wave)[column].str.fullmatch(pattern)
    assert not sound.any()


def test_rows_missing_are_whole_persons():
    sound, spoiled = (set(wave_of(content, "p1-pre")["No Peserta"]) for content in (exports(), spoil("rows_missing")))
    assert len(spoiled) / len(sound) == pytest.approx(0.94, abs=0.005)


def test_duplicates_are_exact_and_second_attempts_are_not():
    again = wave_of(spoil("duplicate_rows"), "p1-post")
    assert 0.005 < again.duplicated().mean() < 0.03
    assert not wave_of(exports(), "p1-post").drop(columns="No").duplicated().any()
    spoiled = spoil("second_attempts")
    extra = len(wave_of(spoiled, "p1-post")) / len(wave_of(exports(), "p1-post")) - 1
    assert 0.015 < extra < 0.05
    assert spoiled["workspace.yaml"]["rules"]["attempts"] == "all_flagged"
    assert exports()["workspace.yaml"]["rules"]["attempts"] == "first_complete"


def test_eight_persons_bear_anothers_number_in_another_district_in_the_same_hour():
    table = spoil("one_id_two_people")["data/raw/cbt/p2-post/PED.csv"].drop_duplicates("No Peserta")
    shared = table[(table["NUPTK"] != "") & table["NUPTK"].duplicated(keep=False)]
    assert len(shared) == 16
    homes = province().schools.set_index("npsn")["district"]
    for _, two in shared.groupby("NUPTK"):
        assert two["NIP"].nunique() == 2
        assert two["NPSN"].map(homes).nunique() == 2
        assert len(set(two["Mulai"])) == 1


def test_shifted_keys_are_more_than_a_tenth_of_one_form():
    sound, spoiled = exports()["data/raw/register/kunci.csv"], spoil("key_shifted")["data/raw/register/kunci.csv"]
    moved = sound["Kunci"] != spoiled["Kunci"]
    assert set(sound.loc[moved, "Paket"]) == {"KEP-1"}
    assert moved.sum() / 30 > 0.2


def test_another_form_has_items_of_its_own_and_keeps_what_was_solved():
    spoiled = spoil("different_form")
    key = build_form("PED-9").key
    path = "data/raw/cbt/p1-post/PED.csv"
    items = [f"Soal {number}" for number in range(1, 31)]
    now = spoiled[path][items].to_numpy() == np.array(list(OPTIONS))[key]
    then = exports()[path][items].to_numpy() == np.array(list(OPTIONS))[build_form("PED-1").key]
    assert np.array_equal(now, then)
    assert set(spoiled["data/raw/register/kunci.csv"]["Paket"]) - set(
        exports()["data/raw/register/kunci.csv"]["Paket"]
    ) == {"PED-9"}
    assert spoiled["workspace.yaml"]["forms"]["PED-9"] == {"assessment": "PED"}


def test_less_than_half_of_the_persons_return_where_others_sit():
    before = set(wave_of(exports(), "p1-pre")["No Peserta"])
    spoiled = spoil("different_people")
    table = wave_of(spoiled, "p1-post")
    after = set(table["No Peserta"])
    assert len(before & after) / len(before) < 0.5
    assert len(before & after) / len(after) < 0.6
    newcomers = table[table["No Peserta"].str.startswith("BARU")]
    listed = {row["nuptk"] for path, entry in spoiled.items() if "/gtk/" in path for row in entry["rows"]}
    assert set(newcomers["NUPTK"]) <= listed
    assert set(newcomers["NUPTK"]) <= set(spoiled["data/raw/roster/p1-post.csv"]["NUPTK"])


def test_dapodik_faults():
    spoiled = spoil("nip_birth_wrong")
    rows = [row for path, entry in spoiled.items() if "/gtk/" in path for row in entry["rows"] if row["nip"]]
    wrong = np.mean([row["nip"][:8] != row["tanggal_lahir"].replace("-", "") for row in rows])
    assert 0.06 < wrong < 0.1
    schools = [entry["rows"] for path, entry in spoil("madrasah_in_frame").items() if "/sekolah/" in path]
    assert sum(row["bentuk_pendidikan_id_str"] == "MA" for row in schools) >= 3
    dated = {entry["as_of"] for entry in spoil("old_dapodik")["workspace.yaml"]["sources"] if "as_of" in entry}
    assert (date(2025, 10, 18) - dated.pop()).days > 400
    assert spoil("keys_released")["workspace.yaml"]["waves"]["p1-post"]["released_before"] is True
    WorkspaceDeclaration.model_validate(spoil("late_sitting")["workspace.yaml"])


def test_districts_disagree_for_whole_persons_only():
    homes = province().schools.set_index("npsn")["district"]
    table = wave_of(spoil("district_disagrees"), "p1-post")
    codes = schema.resolve_districts(table["Kab/Kota"].str.strip(), system="name")
    assert codes.notna().all()
    wrong = pd.Series((codes.to_numpy() != table["NPSN"].map(homes).to_numpy()), index=table["No Peserta"])
    assert 0.03 < wrong.mean() < 0.08
    assert set(wrong.groupby(level=0).mean()) == {0.0, 1.0}


def test_ten_spellings_are_all_known():
    table = pd.concat([wave_of(spoil("spellings"), wave) for wave in ("p2-pre", "p2-post")])
    codes = schema.resolve_districts(table["Kab/Kota"].str.strip(), system="name")
    assert codes.notna().all()
    assert table.loc[(codes == "18.12").to_numpy(), "Kab/Kota"].nunique() == 10


def test_an_unknown_fault_is_refused_and_a_planted_one_is_told(tmp_path):
    with pytest.raises(ParameterError, match="no planted fault nonsense"):
        plant_faults(exports(), ("nonsense",), seed=1)
    write_demo(tmp_path / "spoiled", Design(assessments=("PED", "KEP")), faults=("keys_released", "duplicate_rows"))
    truth = json.loads((tmp_path / "spoiled/truth.json").read_text(encoding="utf-8"))
    assert truth["faults"] == ["keys_released", "duplicate_rows"]
