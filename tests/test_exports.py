"""What leaves the office: nobody can be recognised, the format is the warehouse's, and R finds our numbers again."""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import yaml

from bgtk_lib import cli
from bgtk_lib.errors import ParameterError, StageError
from bgtk_lib.exports.anonymity import FEWEST_ALIKE, count_smallest, draw_ids, find_rare, keep_facts
from bgtk_lib.exports.crosscheck import export_crosscheck, read_script
from bgtk_lib.exports.irw import FACTS, _keep_covariates, export_irw
from bgtk_lib.exports.request import Terms, request_export, state_terms, write_slug
from bgtk_lib.findings import Gate, Withheld
from bgtk_lib.stages.run import run_stages
from bgtk_lib.words import plain
from bgtk_lib.workspace import open_workspace

TERMS = Terms(reference="DPIA-7", recipient="Universitas Contoh", agreement="12/PKS/2026")
GROUND = ["--reference", "DPIA-7", "--recipient", "Universitas Contoh", "--agreement", "12/PKS/2026"]
N, ITEMS, KEY = 540, 12, "ABCDABCDABCD"
BACK, NEW = 420, 6  # who came back; who came only to the second wave: too few to be told

MAPPING = {
    "table": "session",
    "person": {"ids": ["nuptk"]},
    "columns": {
        "nuptk": "NUPTK",
        "npsn": "NPSN",
        "sex": "Sex",
        "device": "Device",
        "group": "Group",
        "start": {"column": "Start", "as": "%Y-%m-%d %H:%M:%S"},
    },
    "answers": {
        "pattern": r"Soal (?P<position>\d+)",
        "omitted": ["X"],
        "not_presented": ["-"],
        "times": r"Waktu (?P<position>\d+)",
        "times_in": "milliseconds",
    },
}
DECISIONS = "date,who,form,item_id,decision,reason\n2026-01-05,panel,F-1,F1-12,drop,ambiguous\n"


def sit(persons, *, day, rng):
    """The export of one wave: answers that follow ability, one cell in fifty omitted, the last item shown to half."""
    n = len(persons)
    theta = persons["theta"].to_numpy()[:, None] + rng.normal(0, 0.3, (n, 1))
    right = rng.random((n, ITEMS)) < 1 / (1 + np.exp(np.linspace(-1.5, 1.5, ITEMS) - theta))
    wrong = np.array([[letter for letter in "ABCD" if letter != key] for key in KEY])
    chosen = np.where(right, list(KEY), wrong[np.arange(ITEMS), rng.integers(0, 3, (n, ITEMS))])
    chosen = np.where(rng.random((n, ITEMS)) < 0.02, "X", chosen)
    chosen[rng.random(n) < 0.5, -1] = "-"
    frame = persons[["NUPTK", "NPSN", "Sex", "Device", "Group"]].reset_index(drop=True)
    frame["Start"] = [f"{day} 09:{minute:02}:00" for minute in rng.integers(0, 60, n)]
    frame["Paket"] = "F-1"
    answers = pd.DataFrame(chosen, columns=[f"Soal {k}" for k in range(1, ITEMS + 1)])
    times = pd.DataFrame(rng.integers(2_000, 90_000, (n, ITEMS)), columns=[f"Waktu {k}" for k in range(1, ITEMS + 1)])
    return pd.concat([frame, answers, times], axis=1).to_csv(index=False)


def write_workspace(root):
    rng = np.random.default_rng(20260101)
    n = N + NEW
    persons = pd.DataFrame(
        {
            "NUPTK": [f"{number:016d}" for number in rng.permutation(10**15 + np.arange(n) * 7_919)],
            "NPSN": rng.choice([f"{number}" for number in range(69_000_001, 69_000_041)], n),
            "Sex": np.where(rng.random(n) < 0.45, "L", "P"),
            "Device": rng.choice(["phone", "laptop"], n),
            "Group": np.where(np.arange(n) % 130 == 0, "Utara", "Selatan"),  # five in the north
            "theta": rng.normal(0, 1.2, n),
        }
    )
    raw = root / "data" / "raw"
    raw.mkdir(parents=True)
    (root / "data" / "mappings").mkdir()
    (root / "data" / "decisions").mkdir()
    (raw / "pre.csv").write_text(sit(persons[:N], day="2025-10-18", rng=rng), encoding="utf-8")
    (raw / "post.csv").write_text(sit(persons[N - BACK :], day="2026-04-18", rng=rng), encoding="utf-8")
    item_ids = [f"F1-{k:02}" for k in range(1, ITEMS + 1)]
    register = {"form_id": "F-1", "position": range(1, ITEMS + 1), "item_id": item_ids, "framework": "PED1"}
    pd.DataFrame(register).to_csv(raw / "register.csv", index=False)
    pd.DataFrame({"item_id": item_ids, "correct": list(KEY)}).to_csv(raw / "key.csv", index=False)
    plain_table = {"register": ("form_item", [*register]), "key": ("key", ["item_id", "correct"])}
    for name, (table, columns) in plain_table.items():
        content = {"table": table, "columns": {column: column for column in columns}}
        (root / "data" / "mappings" / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (root / "data" / "mappings" / "tes.yaml").write_text(yaml.safe_dump(MAPPING), encoding="utf-8")
    (root / "data" / "decisions" / "items.csv").write_text(DECISIONS, encoding="utf-8")
    sources = [
        {"name": f"tes-{wave}", "file": f"data/raw/{wave}.csv", "mapping": "tes", "wave": wave, "form": "F-1"}
        for wave in ("pre", "post")
    ] + [{"name": name, "file": f"data/raw/{name}.csv", "mapping": name} for name in plain_table]
    declared = {
        "name": "small",
        "institution": {"name": "BGTK Provinsi Lampung"},
        "data_kind": "real",
        "language": "en",
        "governance": {"purpose": "x", "legal_basis": "x", "retention_until": "2030-12-31", "dpia_ref": "D-1"},
        "sources": sources,
        "waves": {
            "pre": {"phase": "I", "occasion": "pre", "window": ["2025-10-18", "2025-10-18"]},
            "post": {"phase": "I", "occasion": "post", "window": ["2026-04-18", "2026-04-18"]},
        },
        "forms": {"F-1": {"assessment": "PED", "model": "rasch"}, "F-2": {"assessment": "PED"}},
        "rules": {"reference_date": "2026-07-01", "cluster": "none", "cluster_reason": "test"},
    }
    (root / "workspace.yaml").write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def office(keys, tmp_path_factory):
    """A workspace of one form at two waves, after all stages. Read only."""
    workspace = open_workspace(write_workspace(tmp_path_factory.mktemp("exports") / "small"))
    run_stages(workspace)
    return workspace


def ask(office, kind, folder, *waves):
    return request_export(office, kind, form="F-1", waves=waves, terms=TERMS, folder=str(folder))


@pytest.fixture(scope="module")
def table(office, tmp_path_factory):
    """The folder of a warehouse table of both waves."""
    folder = tmp_path_factory.mktemp("irw") / "out"
    export_irw(office, ask(office, "irw", folder))
    return folder


@pytest.fixture(scope="module")
def pack(office, tmp_path_factory):
    """The folder of a cross-check pack of both waves."""
    folder = tmp_path_factory.mktemp("crosscheck") / "out"
    export_crosscheck(office, ask(office, "crosscheck", folder))
    return folder


def read_answers(folder):
    return pd.read_csv(folder / json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["answers"])


def read_manifest(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def run(*words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


# ---------------------------------------------------------------- facts about persons, by hand


def test_the_fact_goes_whose_absence_helps_most():
    """Level × sex has 3 men in primary schools; without sex nobody is alone, without level neither: sex is rarer."""
    persons = pd.DataFrame(
        {"sex": ["L"] * 3 + ["P"] * 57 + ["L"] * 20 + ["P"] * 20, "level": ["SD"] * 60 + ["SMP"] * 40}
    )
    kept = keep_facts(persons, ["level", "sex"])
    assert (kept.names, dict(kept.dropped), kept.smallest) == (("level",), {"sex": "rare"}, 40)
    assert keep_facts(persons, ["level", "sex"], fewest=3).names == ("level", "sex")


def test_what_the_file_tells_in_any_case_counts():
    """Nine women sat both waves: sex and waves together give them away, sex alone does not."""
    persons = pd.DataFrame({"sex": ["P"] * 9 + ["L"] * 20 + ["P"] * 30, "waves": ["1,2"] * 29 + ["1"] * 30})
    assert keep_facts(persons, ["sex"]).names == ("sex",)
    kept = keep_facts(persons, ["sex"], always=["waves"])
    assert (kept.names, kept.smallest) == ((), 29)


def test_a_warehouse_table_counts_the_waves_among_the_facts():
    facts = {"sex": ["P"] * 9 + ["L"] * 20 + ["P"] * 30, "waves": ["1,2"] * 29 + ["1"] * 30, "device": "phone"}
    persons = pd.DataFrame(facts).reindex(columns=[*FACTS, "waves"])
    assert dict(_keep_covariates(persons, one_wave=False).dropped) == {"sex": "rare", "device": "of_a_sitting"}


def test_a_gap_is_a_value_like_any_other():
    persons = pd.DataFrame({"sex": [None] * 9 + ["L"] * 20 + ["P"] * 30})
    assert dict(keep_facts(persons, ["sex"]).dropped) == {"sex": "rare"}


def test_what_is_the_same_for_all_tells_nothing_and_is_no_danger():
    kept = keep_facts(pd.DataFrame({"level": ["SD"] * 40}), ["level"])
    assert (kept.names, dict(kept.dropped), kept.smallest) == ((), {"level": "one_value"}, 40)


def test_rare_patterns_are_found():
    assert find_rare(pd.Series(["1"] * 10 + ["2"] * 9)).tolist() == [False] * 10 + [True] * 9


def test_ids_are_drawn_anew_and_are_no_numbers():
    first, second = draw_ids(2_000), draw_ids(2_000)
    assert len({*first, *second}) == 4_000
    assert all(re.fullmatch(r"x[0-9a-f]{16}", one) for one in first)


def test_no_seed_draws_the_same_ids():
    drawn = []
    for _ in range(2):
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002, TID251 - what must not matter
        drawn.append(draw_ids(20))
    assert set(drawn[0]).isdisjoint(drawn[1])


# ---------------------------------------------------------------- the request


@pytest.mark.parametrize("missing", ["reference", "recipient", "agreement"])
def test_the_three_references_are_asked_for_by_name(missing):
    given = {"reference": "a", "recipient": "b", "agreement": "c"}
    with pytest.raises(ParameterError, match=f"--{missing}"):
        state_terms(**given | {missing: "  "})


@pytest.mark.parametrize("text", ["a\nb", "a\0b", "x" * 201])
def test_a_reference_is_one_line(text):
    with pytest.raises(ParameterError, match="--recipient"):
        state_terms(reference="a", recipient=text, agreement="c")


def test_a_folder_that_holds_something_is_left_alone(office, tmp_path):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ParameterError, match="--to"):
        ask(office, "irw", tmp_path)
    with pytest.raises(ParameterError, match="--to"):
        ask(office, "irw", tmp_path / "mine.txt")


def test_names_must_be_known(office, tmp_path):
    for words in [{"form": "F-9"}, {"form": None}, {"waves": ["later"]}]:
        given = {"form": "F-1", "waves": [], "terms": TERMS, "folder": str(tmp_path / "out"), **words}
        with pytest.raises(ParameterError):
            request_export(office, "irw", **given)
    with pytest.raises(ParameterError):
        request_export(office, "replica", form="F-1", waves=[], terms=TERMS, folder=None)


def test_a_form_without_answers_is_refused(office, tmp_path):
    request = request_export(office, "irw", form="F-2", waves=["pre"], terms=TERMS, folder=str(tmp_path / "out"))
    with pytest.raises(ParameterError, match="pre"):
        export_irw(office, request)


def test_a_slug_holds_no_signs():
    assert (write_slug("PED-1"), write_slug("../Ü/a b")) == ("ped_1", "a_b")


# ---------------------------------------------------------------- the warehouse table


def test_every_answer_of_the_persons_told_is_there_once(office, table):
    answers = read_answers(table)
    assert list(answers.columns[:4]) == ["id", "item", "resp", "wave"]
    assert not answers.duplicated(["id", "item", "wave"]).any()
    raw = {wave: pd.read_csv(office.root / f"data/raw/{wave}.csv", dtype=str) for wave in ("pre", "post")}
    raw["post"] = raw["post"].iloc[:BACK]  # who came only then is left out
    for place, wave in enumerate(["pre", "post"], start=1):
        here = answers[answers["wave"] == place]
        cells = raw[wave][[f"Soal {k}" for k in range(1, ITEMS)]]  # the last item was dropped by the panel
        assert len(here) == cells.size
        right = (cells == list(KEY[:-1])).sum()
        assert here.groupby("item")["resp"].sum().tolist() == right.tolist()
    assert answers.groupby("wave")["id"].nunique().tolist() == [N, BACK]


def test_a_person_is_the_same_at_both_waves(office, table):
    """Pairs of totals are those of the raw files."""
    answers = read_answers(table)
    found = answers.pivot_table(index="id", columns="wave", values="resp", aggfunc="sum").dropna()
    raw = [pd.read_csv(office.root / f"data/raw/{wave}.csv", dtype=str).set_index("NUPTK") for wave in ("pre", "post")]
    totals = [(one[[f"Soal {k}" for k in range(1, ITEMS)]] == list(KEY[:-1])).sum(axis=1) for one in raw]
    pairs = pd.concat(totals, axis=1, join="inner")
    assert sorted(map(tuple, found.to_numpy().astype(int))) == sorted(map(tuple, pairs.to_numpy()))


def test_omitted_is_zero_and_not_presented_is_no_row(office, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        none_dropped = pd.DataFrame(columns=["form", "decision", "item_id"])
        patch.setattr("bgtk_lib.exports.irw.read_item_decisions", lambda workspace: none_dropped)
        export_irw(office, ask(office, "irw", tmp_path / "out", "pre"))
    answers = read_answers(tmp_path / "out")
    raw = pd.read_csv(office.root / "data/raw/pre.csv", dtype=str)
    assert (raw == "X").to_numpy().any()
    last = answers[answers["item"] == "F1-12"]
    assert len(last) == (raw["Soal 12"] != "-").sum()
    assert last["resp"].sum() == (raw["Soal 12"] == KEY[-1]).sum()
    assert "wave" not in answers


def test_times_are_seconds(office, table):
    answers = read_answers(table)
    raw = pd.read_csv(office.root / "data/raw/pre.csv")
    here = answers[(answers["wave"] == 1) & (answers["item"] == "F1-03")]
    assert sorted(here["rt"]) == pytest.approx(sorted(raw["Waktu 3"] / 1000))


def test_items_and_persons_are_described_without_contradiction(table):
    answers = read_answers(table)
    facts = [name for name in answers if name.startswith("cov_")]
    assert facts == ["cov_sex"]
    assert len(answers[["id", *facts]].drop_duplicates()) == N
    items = answers[["item", "itemcov_framework", "itemcov_position"]].drop_duplicates()
    assert items["itemcov_position"].tolist() == [*range(1, ITEMS)]
    assert "item_family" not in answers


def test_the_manifest_says_what_was_given_to_whom_and_what_not(office, table):
    told = read_manifest(table)
    assert (told["reference"], told["recipient"], told["agreement"]) == ("DPIA-7", "Universitas Contoh", "12/PKS/2026")
    assert told["reference_date"] == "2026-07-01"
    assert told["waves"] == {"1": "pre", "2": "post"}
    assert {name: why["code"] for name, why in told["covariates_dropped"].items()} == {
        "group": "rare",  # five in the north
        "device": "of_a_sitting",
    }
    assert told["left_out"] == {"later_sittings": 0, "persons_with_rare_waves": "< 10", "items": ["F1-12"]}
    assert told["counts"] == {"persons": N, "items": ITEMS - 1, "rows": (N + BACK) * (ITEMS - 1)}
    assert told["fingerprint"] == office.stage_record("review")["fingerprint"]
    assert set(told["files"]) == {"README.md", "bgtk_2025_f_1.csv"}


def test_the_rows_stand_in_random_order_of_persons(office, table, tmp_path):
    """Ids are drawn, rows sorted by them: another export has another order, and no id in common."""
    export_irw(office, ask(office, "irw", tmp_path / "again"))
    first, second = read_answers(table), read_answers(tmp_path / "again")
    assert set(first["id"]).isdisjoint(second["id"])
    assert first["id"].is_monotonic_increasing
    one, other = ({**read_manifest(folder), "files": 0} for folder in (table, tmp_path / "again"))
    assert one == other  # nothing else differs: no clock
    assert not first["resp"].equals(second["resp"])


def test_a_name_has_author_year_construct_and_forty_letters(office, tmp_path):
    long = office.declared.model_copy(
        update={
            "institution": office.declared.institution.model_copy(update={"name": "Kantorguruindonesiatimur Raya"}),
            "forms": {"F-1": office.declared.forms["F-1"]},
        }
    )
    workspace = type(office)(root=office.root, declared=long)
    made = export_irw(workspace, ask(workspace, "irw", tmp_path / "out"))
    assert made["answers"] == "kantorguruin_2025_f_1.csv"
    assert len(made["answers"]) <= 40


def test_made_up_answers_say_so(office, tmp_path):
    made_up = type(office)(root=office.root, declared=office.declared.model_copy(update={"data_kind": "synthetic"}))
    made = export_irw(made_up, ask(made_up, "irw", tmp_path / "out"))
    assert made["answers"].startswith("synthetic_")
    assert "BUATAN" in made["mark"]["id"]
    assert "MADE-UP" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not shutil.which("irw-validate"), reason="irw-validate is not installed")
def test_the_warehouse_accepts_the_table(table):
    (path,) = table.glob("*.csv")
    told = subprocess.run(["irw-validate", "--json", str(path)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
    assert '"conforms": true' in told.stdout


# ---------------------------------------------------------------- nobody is recognised


@pytest.fixture(params=["table", "pack"])
def exported(request):
    return request.getfixturevalue(request.param)


def test_no_code_of_a_person_a_sitting_or_a_school_is_in_any_byte(office, exported):
    session = office.read_accepted("session")
    raw = pd.concat([pd.read_csv(path, dtype=str) for path in (office.root / "data/raw").glob("p*.csv")])
    long = {*session["pid"], *session["session_id"], *raw["NUPTK"]}
    assert len(long) > 2 * N
    for path in exported.iterdir():
        text = path.read_text(encoding="utf-8")
        assert [code for code in long if code in text] == [], path.name
        words = set(re.findall(r"[\w.]+", text))  # eight digits may stand inside a long decimal; a word they are not
        assert words.isdisjoint(raw["NPSN"]), path.name


def test_ten_persons_share_every_combination_in_the_written_file(exported):
    """Counted here anew, from the bytes."""
    answers = pd.read_csv(exported / read_manifest(exported)["answers"], dtype=str, keep_default_na=False)
    facts = [name for name in answers if name.startswith("cov_")]
    assert facts
    seen = {}
    for row in answers[["id", "wave", *facts]].drop_duplicates().to_dict("records"):
        seen.setdefault(row["id"], []).append(tuple(row.values())[1:])
    counts = pd.Series([str(sorted(one)) for one in seen.values()]).value_counts()
    assert counts.min() == read_manifest(exported)["smallest_combination"] >= FEWEST_ALIKE


def test_nothing_of_the_five_in_the_north_is_told(exported):
    assert all("Utara" not in path.read_text(encoding="utf-8") for path in exported.iterdir())


@pytest.mark.parametrize("export", [export_irw, export_crosscheck])
def test_a_file_that_gives_somebody_away_is_not_written(office, tmp_path, monkeypatch, export):
    """As if the choice of facts had failed: the five in the north would stand in the file."""
    kind = export.__name__.removeprefix("export_")
    keep = keep_facts

    def keep_all(persons, names, **more):
        known = [name for name in ("sex", "group") if name in persons]
        return type(keep(persons, []))(names=tuple(known), dropped={}, smallest=99)

    monkeypatch.setattr(f"bgtk_lib.exports.{kind}.keep_facts", keep_all)
    if kind == "crosscheck":
        monkeypatch.setattr("bgtk_lib.exports.crosscheck.TOO_FEW", [])  # as if the groups had been compared
    with pytest.raises(StageError):
        export(office, ask(office, kind, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("column", ["pid", "session_id", "npsn"])
def test_a_file_that_holds_a_code_is_not_written(office, tmp_path, monkeypatch, column):
    session = office.read_accepted("session")
    codes = iter(session[column])
    monkeypatch.setattr(
        "bgtk_lib.exports.irw.draw_ids", lambda n: [f"{next(codes)}" if k == 3 else f"y{k}" for k in range(n)]
    )
    with pytest.raises(StageError, match=r"\.csv"):
        export_irw(office, ask(office, "irw", tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("export", [export_irw, export_crosscheck])
def test_few_persons_are_not_exported(office, tmp_path, monkeypatch, export):
    kind = export.__name__.removeprefix("export_")
    monkeypatch.setattr(f"bgtk_lib.exports.{kind}.FEWEST_PERSONS", N + NEW + 1)
    made = export(office, ask(office, kind, tmp_path / "out"))
    assert isinstance(made, Withheld)
    assert made.kind == "small"
    assert list(tmp_path.iterdir()) == []


def test_what_a_gate_stops_is_not_exported_and_what_it_holds_is_told(office, tmp_path, monkeypatch):
    scope = {"form": "F-1", "wave": "pre"}
    gates = [
        Gate(code="D12", state="STOP", scope=scope, message=plain("key")),
        Gate(code="I01", state="HOLD", scope=scope, message=plain("item")),
        Gate(code="C03", state="STOP", scope={"wave_pre": "pre"}, message=plain("waves")),
        Gate(code="D06", state="STOP", scope={"wave": "post"}, message=plain("another wave")),
    ]
    monkeypatch.setattr("bgtk_lib.exports.request.read_gates", lambda workspace: gates)
    made = export_irw(office, ask(office, "irw", tmp_path / "out", "pre"))
    assert isinstance(made, Withheld)
    assert "D12" in made.reason.en
    del gates[0]
    made = export_irw(office, ask(office, "irw", tmp_path / "out", "pre"))
    assert made["gates"] == [{"code": "I01", "state": "HOLD", "scope": scope}]


# ---------------------------------------------------------------- the cross-check pack


def test_the_pack_holds_our_stored_numbers(office, pack):
    items = pd.read_csv(pack / "items.csv")
    stored = office.read_derived("items")
    stored = stored[stored["form"] == "F-1"].reset_index(drop=True)
    for name in ("n", "difficulty", "item_rest_r", "a", "b", "b_se"):
        assert items[name].to_numpy() == pytest.approx(stored[name].to_numpy(), nan_ok=True)
    assert not [name for name in items if name.startswith("share_")]
    dif = pd.read_csv(pack / "dif.csv")
    assert set(dif["grouping"]) == {"sex", "device"}  # that by group was not made: five are too few
    assert set(pd.read_csv(pack / "facts.csv")["name"]) >= {"alpha", "loglik", "ability_sd"}
    assert pd.read_csv(pack / "models.csv").to_dict("list") == {"wave": ["pre", "post"], "model": ["rasch", "rasch"]}
    assert pd.read_csv(pack / "links.csv")["form_pre"].tolist() == ["F-1"]
    assert set(pd.read_csv(pack / "anchors.csv")["item_id"]) <= set(items["item_id"])
    assert (pack / "check.R").read_text(encoding="utf-8") == read_script()


def test_nobody_is_followed_from_wave_to_wave(pack):
    answers = read_answers(pack)
    assert answers.groupby("wave")["id"].nunique().to_dict() == {"pre": N, "post": BACK + NEW}
    assert answers["id"].nunique() == N + BACK + NEW
    assert "rt" not in answers


def test_the_pack_holds_no_key(pack):
    """Answers are scored: which option was chosen, or right, stands nowhere."""
    assert set(read_answers(pack)["resp"]) == {0, 1}
    assert {path.name for path in pack.iterdir()} == {
        "README.md", "answers.csv", "anchors.csv", "check.R", "dif.csv", "facts.csv", "items.csv", "links.csv",
        "manifest.json", "models.csv", "steps.csv",
    }  # fmt: skip
    for name in ("items.csv", "facts.csv", "dif.csv"):
        assert not {"correct", "raw", "option", "key"} & set(pd.read_csv(pack / name).columns)


def has_psych():
    if not shutil.which("Rscript"):
        return False
    asked = subprocess.run(["Rscript", "-e", "library(psych)"], capture_output=True, check=False)
    return asked.returncode == 0


needs_r = pytest.mark.skipif(not has_psych(), reason="Rscript with psych is not installed")


def check(folder):
    told = subprocess.run(["Rscript", "check.R"], cwd=folder, capture_output=True, text=True, check=False)
    return told, pd.read_csv(folder / "check.csv")


@needs_r
def test_r_finds_our_numbers_again(pack, tmp_path):
    shutil.copytree(pack, tmp_path / "pack")
    told, found = check(tmp_path / "pack")
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr
    assert set(found["verdict"]) == {"agrees"}
    made = set(zip(found["by"], found["number"], strict=True))
    assert {
        ("psych", "alpha"), ("psych", "alpha_low"), ("base", "item_rest_r"), ("base", "loglik"), ("base", "step_to_top_d"),
        ("base", "step_to_top_sd"), ("base", "mh_d_dif"), ("base", "mh_d_dif_se"), ("base", "linking_error"),
    } <= made  # fmt: skip
    assert found.groupby("wave").size().index.tolist() == ["post", "pre", "pre post"]


@needs_r
def test_r_sees_wrong_numbers(pack, tmp_path):
    shutil.copytree(pack, tmp_path / "pack")
    spoiled = {
        "difficulty": ("items.csv", "difficulty"),
        "alpha": ("facts.csv", "value"),
        "step_to_top_d": ("steps.csv", "d"),
        "mh_d_dif": ("dif.csv", "effect"),
        "mean_move": ("anchors.csv", "b_post"),
    }
    for file, column in spoiled.values():
        frame = pd.read_csv(tmp_path / "pack" / file, dtype={"item_id": "str"})
        frame.loc[0, column] += 0.01
        frame.to_csv(tmp_path / "pack" / file, index=False)
    told, found = check(tmp_path / "pack")
    assert told.returncode == 1
    assert set(spoiled) <= set(found.loc[found["verdict"] == "differs", "number"])


# ---------------------------------------------------------------- the command


def test_the_command_writes_and_tells_what_it_left_out(office, tmp_path):
    words = ["export", "irw", "--form", "F-1", "--workspace", office.root, *GROUND]
    code, out, err = run(*words, "--wave", "pre", "post", "--to", tmp_path / "out")
    assert (code, err) == (0, "")
    assert "540" in out
    assert "group" in out
    assert (tmp_path / "out" / "manifest.json").is_file()
    assert run(*words, "--to", tmp_path / "out")[0] == 2  # it is not written over

    code, out, _ = run(*words, "--json", "--wave", "pre", "--to", tmp_path / "json")
    assert code == 0
    assert out.count("\n") == 1
    assert json.loads(out)["folder"] == str(tmp_path / "json")


def test_without_a_folder_it_lies_where_git_does_not_look(office):
    code, out, _ = run("export", "crosscheck", "--form", "F-1", "--wave", "pre", "--workspace", office.root, *GROUND)
    assert code == 0
    folder = office.root / "data" / "exports" / "crosscheck-f_1-pre"
    assert str(folder) in out
    for name in ("answers", "items", "steps", "facts", "dif", "models"):
        assert set(pd.read_csv(folder / f"{name}.csv")["wave"]) == {"pre"}, name
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize("left_out", [0, 2, 4])
def test_the_command_names_the_reference_that_is_missing(office, tmp_path, left_out):
    ground = GROUND[:left_out] + GROUND[left_out + 2 :]
    code, out, err = run(
        "export", "irw", "--form", "F-1", "--workspace", office.root, "--to", tmp_path / "out", *ground
    )
    assert (code, out) == (2, "")
    assert GROUND[left_out] in err
    assert list(tmp_path.iterdir()) == []


def test_what_is_withheld_ends_with_1(office, tmp_path, monkeypatch):
    monkeypatch.setattr("bgtk_lib.exports.irw.FEWEST_PERSONS", 10_000)
    words = ["export", "irw", "--form", "F-1", "--workspace", office.root, "--to", tmp_path / "out", *GROUND]
    code, out, _ = run(*words, "--json")
    assert (code, set(json.loads(out))) == (1, {"export", "withheld"})
    assert run(*words)[0] == 1
    assert list(tmp_path.iterdir()) == []


def test_counting_the_rarest_combination():
    answers = pd.DataFrame(
        {"id": ["a", "a", "b", "c", "c"], "wave": [1, 2, 1, 2, 1], "cov_sex": ["P", "P", "P", "P", "P"]}
    )
    assert count_smallest(answers) == 1  # only b sat once
    assert count_smallest(answers.drop(columns="wave")) == 3
