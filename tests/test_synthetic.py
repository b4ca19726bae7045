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
from bgtk_lib.synthetic.design import GENERAL, SUBJECTS, count_districts, form_name, share_out, wave_name
from bgtk_lib.synthetic.exports import FORMS, KEYS, PANEL, build_exports, write_exports
from bgtk_lib.synthetic.faults import plant_faults
from bgtk_lib.synthetic.forms import (
    NOT_REACHED,
    OMITTED,
    OPTIONS,
    build_form,
    choose_options,
    give_answers,
    list_anchors,
    solve_chances,
)
from bgtk_lib.synthetic.model import chance_of_leaving, draw_abilities, draw_effects
from bgtk_lib.synthetic.people import PPPK
from bgtk_lib.synthetic.spoil_items import move_items
from bgtk_lib.synthetic.truth import compute_truth
from bgtk_lib.workspace.declaration import WorkspaceDeclaration


@cache
def province(size="small", scenario="sound"):
    return draw_province(Design(size=size, scenario=scenario))


@cache
def few_assessments():
    return draw_province(Design(size="secondary", assessments=("PED", "KEP")))


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
    assert declared.forms["SSL-3B"].assessment == "SSL"
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


def test_quadrature_agrees_where_the_forms_differ_and_where_the_device_matters():
    n, phase, rng = 200_000, "I", np.random.default_rng(21)
    design = Design()
    effects = draw_effects(design, assessments=("PED", "SSL", "KEP"), rng=rng)
    counts = share_out(n, count_districts(design, phase))
    district = np.repeat([effects.districts.index(code) for code in counts], list(counts.values()))
    ability = draw_abilities(design, effects, district=district, school=np.arange(n), rng=rng)
    for code in ("SSL", "KEP"):
        first, second = (build_form(form_name(code, phase, occasion)) for occasion in ("pre", "post"))
        theta = {"pre": ability.before[code], "post": ability.after[code]}
        phone = {occasion: rng.random(n) < 0.35 for occasion in theta}  # drawn anew each wave
        pre = give_answers(theta["pre"], first, phone=phone["pre"], rng=rng).sum(axis=1)
        post = give_answers(theta["post"], second, phone=phone["post"], rng=rng).sum(axis=1)
        again = solve_chances(theta["post"], first).sum(axis=1) - solve_chances(theta["pre"], first).sum(axis=1)
        truth = compute_truth(design, effects, assessment=code, phase=phase, counts=counts)
        assert (truth.form, truth.form_post) == (first.name, second.name)
        for column, values in (("points", again), ("points_observed", post - pre), ("mean_post", post)):
            assert abs(values.mean() - truth.value(column)) < 4 * values.std() / n**0.5, (code, column)
        for column, values in (("var_post", post), ("theta_var_pre", theta["pre"]), ("theta_var_post", theta["post"])):
            assert truth.value(column) == pytest.approx(values.var(), rel=0.015), (code, column)
        assert truth.value("theta") == pytest.approx((theta["post"] - theta["pre"]).mean(), abs=4 * 0.36 / n**0.5)
    assert truth.value("points") == truth.value("points_observed")  # KEP: one form
    renewed = compute_truth(design, effects, assessment="SSL", phase=phase, counts=counts)
    assert renewed.value("points_observed") < renewed.value("points") - 0.8  # the later form is harder


def test_the_expected_score_is_the_sum_of_the_items_chances():
    form = build_form("PED-1")
    curve = score_curve("PED-1")
    assert curve.first[1800] == pytest.approx(sum(1 / (1 + np.exp(form.a * form.b))), rel=1e-12)  # theta = 0
    mean, sd = score_moments("PED-1")
    assert 14 < mean < 18
    assert 5 < sd < 7


# ------------------------------------------------------------------ items


def logit(share):
    return np.log(share / (1 - share))


def right_in(content, wave, assessment):
    """Return who solved what as the registers tell: persons by items, complete first attempts, of one export."""
    table = content[f"data/raw/cbt/{wave}/{assessment}.csv"]
    table = table[(table["Selesai"] != "") & ~table["No Peserta"].duplicated(keep="last")]
    sheet = content[FORMS][content[FORMS]["Paket"] == table["Paket"].iloc[0]]
    key = content[KEYS].set_index("Kode Butir")["Kunci"]
    solved = {
        code: table[f"Soal {n}"] == key[code] for n, code in zip(sheet["Nomor"], sheet["Kode Butir"], strict=True)
    }
    return pd.DataFrame(solved).assign(device=table["Perangkat"]).reset_index(drop=True)


def find_moved(content, phase):
    """Return the anchors that moved by more than .5 logit and 2.6 SE, by plain logits of p, the furthest first."""
    pre, post = (right_in(content, wave_name(phase, occasion), "SSL") for occasion in ("pre", "post"))
    kept = [code for code in pre if code in post and code != "device"]
    p, q = pre[kept].mean(), post[kept].mean()
    d = (logit(q) - logit(p)) * (1 + 0.35) ** 0.5  # logits of p are flatter than those of persons: 16·3/(15·pi²) = .35
    se = ((1 / (len(pre) * p * (1 - p)) + 1 / (len(post) * q * (1 - q))) * 1.35) ** 0.5
    dropped = []
    while True:
        away = d - d[kept].mean()
        far = [code for code in kept if abs(away[code]) > max(0.5, 2.6 * se[code])]
        if not far:
            return dropped
        dropped.append(max(far, key=lambda code: abs(away[code])))
        kept.remove(dropped[-1])


@pytest.mark.parametrize("phase", ["I", "II", "III"])
def test_the_later_form_shares_twelve_items_that_mirror_it(phase):
    before, after = (build_form(form_name("SSL", phase, occasion)) for occasion in ("pre", "post"))
    shared = list_anchors(before.name, after.name)
    assert len(shared) == 12
    assert len(set(after.item_ids)) == after.n_items == 30
    one, two = ({code: nth for nth, code in enumerate(form.item_ids)} for form in (before, after))
    for code in shared:
        i, j = one[code], two[code]
        assert abs(i - j) <= 2
        assert (before.a[i], before.key[i], before.indicators[i]) == (after.a[j], after.key[j], after.indicators[j])
        assert np.array_equal(before.lure[i], after.lure[j])
    for indicator in set(before.indicators):  # four of ten, an easy and a hard one among them
        same = [code for code, content in zip(before.item_ids, before.indicators, strict=True) if content == indicator]
        ranks = [nth for nth, code in enumerate(sorted(same, key=lambda code: before.b[one[code]])) if code in shared]
        assert len(ranks) == 4
        assert (ranks[0] <= 2, ranks[-1] >= 7) == (True, True)
    assert Counter(before.indicators) == Counter(after.indicators)
    assert abs(before.b[[one[code] for code in shared]].mean() - before.b.mean()) < 0.35
    assert before.b[[one[code] for code in shared]].std() > 0.7
    drift = [by for by in shared.values() if by]
    assert sorted(drift) == pytest.approx([-0.8, 0.8])
    assert after.b.sum() - before.b.sum() == pytest.approx(18 * 0.3)  # the new items are harder, drift cancels


def test_all_others_sit_the_same_form_before_and_after():
    assert {code for code in (*SUBJECTS, *GENERAL) if form_name(code, "I") != form_name(code, "I", "post")} == {"SSL"}
    held = province().sittings.query("wave == 'p2-post'").groupby("assessment")["form_id"].agg(set)
    assert held["SSL"] == {"SSL-2B"}
    assert held["PED"] == {"PED-2"}


def test_an_anchor_stands_in_both_forms_and_once_among_the_keys():
    forms, keys = exports()[FORMS], exports()[KEYS]
    assert keys["Kode Butir"].is_unique
    assert set(keys["Kode Butir"]) == set(forms["Kode Butir"])
    in_forms = forms.groupby("Kode Butir")["Paket"].agg(set)
    twice = in_forms[in_forms.map(len) == 2]
    assert len(twice) == 24  # twelve in each phase
    assert twice.map(lambda names: {name.rstrip("B") for name in names}.pop()).value_counts().to_dict() == {
        "SSL-1": 12,
        "SSL-2": 12,
    }


@pytest.mark.parametrize("phase", ["I", "II"])
@pytest.mark.parametrize("assessments", [("PED", "KEP", "SSL", "MAT"), (*SUBJECTS, *GENERAL)])
def test_the_drift_that_was_planted_is_what_shows(assessments, phase):
    """By the rule of the reports two of twelve go: 17 %, under the fifth that a link may lose."""
    content = exports() if len(assessments) > 4 else build_exports(draw_province(Design(assessments=assessments)))
    planted = next(entry for entry in content["truth.json"]["items"]["anchors"] if entry["phase"] == phase)
    assert set(find_moved(content, phase)) == set(planted["drift"])


def test_one_item_is_harder_on_a_phone_and_no_other():
    form = build_form("KEP-1")
    at = int(np.argmax(form.on_phone))
    theta = np.linspace(-2, 2, 9)
    off, on, whole = (solve_chances(theta, form, phone=share) for share in (0.0, 1.0, 0.35))
    assert logit(off[:, at]) - logit(on[:, at]) == pytest.approx(0.8 * form.a[at])
    assert whole == pytest.approx(0.35 * on + 0.65 * off)
    assert np.array_equal(np.delete(on, at, axis=1), np.delete(off, at, axis=1))
    assert score_curve("KEP-1").first[1800] == pytest.approx(whole[4].sum(), rel=1e-12)  # theta = 0
    mixed = solve_chances(theta, form, phone=np.arange(9) % 2)
    assert np.array_equal(mixed[::2], off[::2])
    assert mixed[1::2] == pytest.approx(on[1::2])
    assert [code for code in GENERAL if build_form(f"{code}-1").on_phone.any()] == ["KEP"]


@pytest.mark.parametrize("occasion", ["pre", "post"])
def test_the_device_counts_in_every_wave(occasion):
    """Mantel-Haenszel over classes of rest scores: the planted item alone is harder on phones."""
    drawn, form = few_assessments(), build_form("KEP-2")
    held = drawn.sittings.query("assessment == 'KEP' and wave == @wave_name('II', @occasion) and attempt == 1")
    right = (drawn.answers["KEP", wave_name("II", occasion)] == form.key)[held["row"]]
    phone = (held["device"] == "HP").to_numpy()
    size = []
    for item in range(form.n_items):
        rest = (right.sum(axis=1) - right[:, item]) // 3
        a, b, c, d = pd.crosstab(rest, [phone, right[:, item]]).to_numpy().T
        size.append(np.log((b * c / (a + b + c + d)).sum() / (a * d / (a + b + c + d)).sum()))
    planted = int(np.argmax(form.on_phone))
    assert int(np.argmax(np.abs(size))) == planted
    assert size[planted] == pytest.approx(0.8 * form.a[planted], abs=0.2)  # 3 SE of 6,762 persons
    assert np.abs(np.delete(size, planted)).max() < 0.25


def test_truth_tells_what_is_planted_in_the_items():
    told = exports()["truth.json"]["items"]
    matrix = {(entry["assessment"], entry["phase"]): (entry["pre"], entry["post"]) for entry in told["forms"]}
    assert matrix["SSL", "I"] == ("SSL-1", "SSL-1B")
    assert matrix["KEP", "II"] == ("KEP-2", "KEP-2")
    assert len(matrix) == 2 * 17
    assert [(entry["phase"], sorted(entry["drift"].values())) for entry in told["anchors"]] == [
        ("I", [-0.8, 0.8]),
        ("II", [-0.8, 0.8]),
    ]
    assert [(entry["form"], entry["device"], entry["logits"]) for entry in told["dif"]] == [
        ("KEP-1", "phone", 0.8),
        ("KEP-2", "phone", 0.8),
    ]
    without = build_exports(draw_province(Design(assessments=("PED",))))
    assert PANEL not in without
    assert not without["truth.json"]["items"]["anchors"]
    assert "telaah" not in {source["name"] for source in without["workspace.yaml"]["sources"]}


def test_times_add_up_and_few_hurry_at_the_end():
    table = exports()["data/raw/cbt/p2-pre/SSL.csv"]
    assert not [column for column in exports()["data/raw/cbt/p2-pre/PED.csv"] if column.startswith("Waktu")]
    columns = [[f"{name} {number}" for number in range(1, 31)] for name in ("Soal", "Waktu")]
    marks, times = (table[names].to_numpy(dtype=object) for names in columns)
    assert np.array_equal(times == "", marks == "")
    seconds = np.array([[float(text.replace(",", ".")) if text else 0.0 for text in row] for row in times])
    start, end = (pd.to_datetime(table[name], format="%d/%m/%Y %H:%M:%S") for name in ("Mulai", "Selesai"))
    took = (end - start).dt.total_seconds().to_numpy()
    rapid = (seconds > 0) & (seconds <= 5)
    hurried = rapid.sum(axis=1) > 2
    calm = ~np.isnan(took) & ~rapid.any(axis=1)
    assert seconds.sum(axis=1)[calm] == pytest.approx(took[calm], abs=2)
    assert 0.015 < hurried.mean() < 0.05
    assert not rapid[hurried][:, :20].any()
    right = marks == np.array(list(OPTIONS), dtype=object)[build_form("SSL-2").key]
    assert right[hurried[:, None] & rapid].mean() == pytest.approx(0.25, abs=0.12)


def test_the_panel_rates_one_item_badly_and_one_rater_wrote_some():
    table, planted = exports()[PANEL], exports()["truth.json"]["items"]["panel"]
    forms = [name for name in exports()["workspace.yaml"]["forms"] if name.startswith("SSL")]
    items = {code for name in forms for code in build_form(name).item_ids}
    assert set(table["Kode Butir"]) == items
    assert len(table) == len(items) * 8 == 96 * 8
    assert not table.duplicated(["Kode Butir", "Penelaah"]).any()
    assert table.groupby("Lembaga")["Penelaah"].nunique().to_dict() == {
        "Perguruan Tinggi Rekaan": 3,
        "Dinas Pendidikan Rekaan": 3,
        "Asosiasi Guru Rekaan": 2,
    }
    assert set(table["Nilai"]) == set("1234")
    v = (table["Nilai"].astype(int) - 1).groupby(table["Kode Butir"]).sum() / (8 * 3)  # Aiken's V; .75 with 8 raters
    assert list(v.index[v < 0.75]) == [planted["poor_item"]]
    own = table[table["Kepentingan"] == "Penulis butir"]
    assert set(own["Penelaah"]) == {planted["writer"]}
    assert set(own["Kode Butir"]) == set(planted["written"])
    assert set(own["Nilai"]) == {"4"}
    assert not set(planted["written"]) & set(list_anchors("SSL-1", "SSL-1B"))


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
    "wrong_key": "register/kunci",
    "drifting_anchors": "cbt/p1-post/SSL",
    "few_anchors": "register/(kunci|paket)",
    "unfair_anchor": "cbt/p2-(pre|post)/SSL",
    "different_form": "cbt/p1-post/PED|register/(kunci|paket)|workspace",
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
    sound, spoiled = exports()[KEYS], spoil("key_shifted")[KEYS]
    moved = sound["Kunci"] != spoiled["Kunci"]
    assert set(sound.loc[moved, "Kode Butir"]) <= set(build_form("KEP-1").item_ids)
    assert moved.sum() / 30 > 0.2


def test_a_wrong_key_is_one_that_the_able_do_not_choose():
    sound, spoiled = exports()[KEYS], spoil("wrong_key")[KEYS]
    (moved,) = sound.loc[sound["Kunci"] != spoiled["Kunci"], "Kode Butir"]
    assert moved in build_form("KEP-1").item_ids
    assert not build_form("KEP-1").on_phone[build_form("KEP-1").item_ids.index(moved)]
    for wave in ("p1-pre", "p1-post"):
        right = right_in(spoil("wrong_key"), wave, "KEP").drop(columns="device").astype(float)
        assert np.corrcoef(right[moved], right.drop(columns=moved).sum(axis=1))[0, 1] < -0.1


def test_anchors_that_drift_and_anchors_that_are_gone():
    drifted = find_moved(spoil("drifting_anchors"), "I")
    assert len(drifted) > 0.2 * 12
    few = spoil("few_anchors")
    codes = {name: set(rows["Kode Butir"]) for name, rows in few[FORMS].groupby("Paket")}
    assert len(codes["SSL-1"] & codes["SSL-1B"]) == 6
    assert not codes["SSL-1"] & codes["SSL-1B"] & {code for code, by in list_anchors("SSL-1", "SSL-1B").items() if by}
    assert len(codes["SSL-1B"]) == 30
    now, then = (right_in(content, "p1-post", "SSL").to_numpy() for content in (few, exports()))
    assert np.array_equal(now, then)  # the same answers to the same keys
    assert few[KEYS]["Kode Butir"].is_unique


def test_an_unfair_anchor_is_harder_on_phones_in_both_waves():
    spoiled, shared = spoil("unfair_anchor"), list_anchors("SSL-2", "SSL-2B")
    for wave in ("p2-pre", "p2-post"):
        now, then = (right_in(content, wave, "SSL") for content in (spoiled, exports()))
        phone = (now["device"] == "HP").to_numpy()
        (moved,) = [code for code in now if not now[code].equals(then[code])]
        assert shared[moved] == 0
        assert now.loc[~phone, moved].equals(then.loc[~phone, moved])
        gap = logit(then.loc[phone, moved].mean()) - logit(now.loc[phone, moved].mean())
        assert gap == pytest.approx(1.2, abs=0.4)


def test_items_move_by_what_is_asked_and_others_stay():
    form, rng = build_form("SSL-1"), np.random.default_rng(3)
    letters = np.array([*OPTIONS], dtype=object)
    theta = rng.standard_normal(20_000)
    marked = choose_options(give_answers(theta, form, rng=rng), form, omitted=0, not_reached=0, rng=rng)
    table = pd.DataFrame(letters[marked], columns=[f"Soal {n}" for n in range(1, 31)], dtype=object)
    by = {form.item_ids[4]: 1.0, form.item_ids[9]: -1.0}
    moved = move_items(table, form, by=by, rng=rng)
    now = moved.to_numpy() == letters[form.key]
    for item, logits in ((4, 1.0), (9, -1.0)):
        wanted = expit(form.a[item] * (theta - form.b[item] - logits)).mean()
        assert now[:, item].mean() == pytest.approx(wanted, abs=0.03)  # the score stands for ability
    same = [column for nth, column in enumerate(table) if nth not in (4, 9)]
    assert moved[same].equals(table[same])


def test_another_form_has_items_of_its_own_and_keeps_what_was_solved():
    spoiled = spoil("different_form")
    key = build_form("PED-9").key
    path = "data/raw/cbt/p1-post/PED.csv"
    items = [f"Soal {number}" for number in range(1, 31)]
    now = spoiled[path][items].to_numpy() == np.array(list(OPTIONS))[key]
    then = exports()[path][items].to_numpy() == np.array(list(OPTIONS))[build_form("PED-1").key]
    assert np.array_equal(now, then)
    assert set(spoiled[FORMS]["Paket"]) - set(exports()[FORMS]["Paket"]) == {"PED-9"}
    assert set(spoiled[KEYS]["Kode Butir"]) - set(exports()[KEYS]["Kode Butir"]) == set(build_form("PED-9").item_ids)
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
