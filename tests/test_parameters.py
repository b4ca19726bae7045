"""Wrong requests: refused with exit code 2 and the nearest right one, before a kernel starts and with nothing written."""

import json
from dataclasses import replace

import papermill
import pytest
import yaml

from bgtk_lib import cli
from bgtk_lib.engine.freshness import Ground
from bgtk_lib.engine.parameters import REPORTS, check_parameters, find_report
from bgtk_lib.engine.plan import refuse_few
from bgtk_lib.engine.wishes import list_wishes, wish_for
from bgtk_lib.errors import ParameterError
from bgtk_lib.synthetic import Design, write_demo
from bgtk_lib.workspace import open_workspace
from bgtk_lib.workspace.declaration import ReportPlan

CHANGE = {"assessment": "PED", "wave_pre": "p1-pre", "wave_post": "p1-post"}
COVERAGE = {"wave": "p1-pre"}
SOUND = {
    "change": CHANGE,
    "comparability": CHANGE,
    "programme": CHANGE | {"programme": "KKA", "assignment": "lottery"},
    "coverage_map": COVERAGE,
    "data_quality": {},
    "instrument": {"form": "PED-1", "wave": "p1-pre"},
    "item": {"item": "PED-1-001"},
}
LONG = "a" * 5_000

# report, what is asked beside a sound request, what the refusal must name. None takes a parameter away.
WRONG = [
    # names
    ("change", {"asessment": "PED"}, "assessment"),
    ("change", {"wave_prev": "p1-pre"}, "wave_pre"),
    ("change", {"wavepost": "p1-post"}, "wave_post"),
    ("change", {"min_cel": "10"}, "min_cell"),
    ("change", {"mincell": "10"}, "min_cell"),
    ("change", {"confidense": "0.95"}, "confidence"),
    ("change", {"lang": "id"}, "language"),
    ("change", {"district": ["18.01"]}, "districts"),
    ("change", {"Jenjang": ["SD"]}, "jenjang"),
    ("change", {"audence": "mitra"}, "audience"),
    ("change", {"edition": "draf"}, "edition_id"),
    ("change", {"seed": "1"}, "assessment"),
    ("change", {"": "x"}, "assessment"),
    ("change", {"💥": "x"}, "assessment"),
    ("change", {LONG: "x"}, "assessment"),
    ("change", {"model_config": "x"}, "assessment"),
    ("change", {"__class__": "x"}, "assessment"),
    ("coverage_map", {"waves": ["p1-pre"]}, "wave"),
    ("coverage_map", {"denominater": "10"}, "denominator"),
    ("coverage_map", {"assessment": "PED"}, "wave"),
    ("data_quality", {"wave": "p1-pre"}, "waves"),
    ("data_quality", {"districts": ["18.01"]}, "edition_status"),
    ("instrument", {"forms": "PED-1"}, "form"),
    ("instrument", {"form": "PED-9"}, "PED-2"),
    ("instrument", {"form": None}, "form"),
    ("instrument", {"districts": ["18.01"]}, "edition_status"),
    ("item", {"items": "PED-1-001"}, "item"),
    ("item", {"item": None}, "item"),
    ("programme", {"assignment": "picked"}, "selected_top"),
    ("programme", {"programme": "KKB"}, "KKA"),
    ("programme", {"wave_pre": "p1-post", "wave_post": "p1-pre"}, "p1-pre"),
    ("programme", {"balance_limit": 2}, "balance_limit"),
    ("comparability", {"wave": "p1-pre"}, "wave_pre"),
    ("comparability", {"wave_pre": "p1-post", "wave_post": "p1-pre"}, "p1-pre"),
    ("comparability", {"jenjang": ["SD"]}, "language"),
    # what must be given
    ("change", {"assessment": None}, "assessment"),
    ("change", {"wave_pre": None}, "wave_pre"),
    ("change", {"wave_post": None}, "wave_post"),
    ("coverage_map", {"wave": None}, "wave"),
    # types
    ("change", {"min_cell": "sepuluh"}, "min_cell"),
    ("change", {"min_cell": "10.5"}, "min_cell"),
    ("change", {"min_cell": ""}, "min_cell"),
    ("change", {"min_cell": ["10", "20"]}, "min_cell"),
    ("change", {"min_cell": {"a": "1"}}, "min_cell"),
    ("change", {"min_cell": "1e1"}, "min_cell"),
    ("change", {"min_cell": "١٠x"}, "min_cell"),
    ("change", {"min_cell": "nan"}, "min_cell"),
    ("change", {"confidence": ["0.95"]}, "0.95"),
    ("change", {"confidence": "tinggi"}, "0.95"),
    ("change", {"confidence": "nan"}, "0.95"),
    ("change", {"confidence": "inf"}, "0.95"),
    ("change", {"language": ["id"]}, "id"),
    ("change", {"language": {"id": "en"}}, "id"),
    ("change", {"assessment": ["PED", "MAT"]}, "assessment"),
    ("change", {"wave_pre": {"p1-pre": "p1-post"}}, "wave_pre"),
    ("change", {"districts": {"18.01": "yes"}}, "districts"),
    ("change", {"districts": [["18.01"]]}, "districts"),
    ("change", {"districts": [None]}, "districts"),
    ("coverage_map", {"denominator": "banyak"}, "denominator"),
    ("coverage_map", {"denominator": "14.398"}, "denominator"),
    ("coverage_map", {"denominator": ["1"]}, "denominator"),
    ("coverage_map", {"population_label": ["a"]}, "population_label"),
    ("data_quality", {"waves": {"p1-pre": None}}, "waves"),
    # values
    ("change", {"assessment": "PEDD"}, "PED"),
    ("change", {"assessment": "ped"}, "PED"),
    ("change", {"assessment": "XYZ"}, "PED"),
    ("change", {"assessment": "PED;MAT"}, "PED"),
    ("change", {"assessment": "../PED"}, "PED"),
    ("change", {"wave_pre": "p1-pr"}, "p1-pre"),
    ("change", {"wave_pre": "P1-PRE"}, "p1-pre"),
    ("change", {"wave_post": "p1-pots"}, "p1-post"),
    ("change", {"wave_post": "2026B"}, "p1-post"),
    ("change", {"districts": ["18.99"]}, "18.01"),
    ("change", {"districts": ["1801"]}, "18.01"),
    ("change", {"districts": ["18.1"]}, "18.01"),
    ("change", {"districts": ["18.01", "16.01"]}, "18.01"),
    ("change", {"districts": ["Lampung Selatan"]}, "18.01"),
    ("change", {"districts": "18.01,18.98"}, "18.01"),
    ("change", {"jenjang": ["SDN"]}, "SD"),
    ("change", {"jenjang": ["smp"]}, "SMP"),
    ("change", {"jenjang": "SMA SMK"}, "SMA"),
    ("change", {"language": "fr"}, "en"),
    ("change", {"language": "ID"}, "id"),
    ("change", {"audience": "public"}, "publik"),
    ("change", {"audience": "umum"}, "internal"),
    ("change", {"edition_status": "final"}, "draf"),
    ("change", {"edition_id": "A"}, "edition_id"),
    ("change", {"edition_id": "../../etc"}, "edition_id"),
    ("change", {"edition_id": "draf/x"}, "edition_id"),
    ("change", {"edition_id": "x" * 60}, "edition_id"),
    ("change", {"edition_id": "dr\naf"}, "edition_id"),
    ("change", {"edition_id": "-draf"}, "edition_id"),
    ("change", {"min_cell": "4"}, "5"),
    ("change", {"min_cell": "51"}, "50"),
    ("change", {"min_cell": "-10"}, "5"),
    ("change", {"min_cell": "9" * 400}, "min_cell"),
    ("change", {"confidence": "0.96"}, "0.95"),
    ("change", {"confidence": "95"}, "0.95"),
    ("change", {"confidence": "0.951"}, "0.95"),
    ("change", {"confidence": "1e400"}, "0.95"),
    ("coverage_map", {"wave": "p3-pre"}, "p2-pre"),
    ("coverage_map", {"wave": LONG}, "p1-pre"),
    ("coverage_map", {"denominator": "0"}, "1"),
    ("coverage_map", {"denominator": "-3"}, "1"),
    ("coverage_map", {"jenjang": ["MA"]}, "SMA"),
    ("data_quality", {"waves": ["p1-pre", "p9-pre"]}, "p2-pre"),
    ("data_quality", {"waves": "p1-pre,p1-ost"}, "p1-post"),
    # together impossible
    ("change", {"wave_pre": "p1-post", "wave_post": "p1-pre"}, "p1-pre → p1-post"),
    ("change", {"wave_pre": "p1-pre", "wave_post": "p1-pre"}, "p1-pre → p1-post"),
    ("change", {"wave_pre": "p1-pre", "wave_post": "p2-post"}, "p2-pre → p2-post"),
    ("change", {"wave_pre": "p2-pre", "wave_post": "p1-post"}, "p1-pre → p1-post"),
    ("change", {"min_cell": "9", "audience": "publik"}, "10"),
    ("change", {"min_cell": "5", "audience": "mitra"}, "10"),
    ("coverage_map", {"min_cell": "9", "audience": "publik"}, "10"),
    ("data_quality", {"min_cell": "9", "audience": "publik"}, "10"),
]


def merge(report, asked):
    """A sound request with what is asked beside it."""
    return {name: value for name, value in (SOUND[report] | asked).items() if name not in asked or value is not None}


def name_row(row):
    report, asked, _ = row
    return report + ":" + ",".join(f"{name[:12]}={str(value)[:20]}" for name, value in asked.items())


def list_tree(root):
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in sorted(root.rglob("*"))}


@pytest.fixture(scope="module")
def unread(tmp_path_factory):
    """A province of which nothing was read yet: a request that went on would leave traces."""
    folder = tmp_path_factory.mktemp("unread")
    write_demo(folder, Design(assessments=("PED",)))
    return open_workspace(folder)


@pytest.fixture(autouse=True)
def no_kernel(monkeypatch):
    def refuse(*given, **more):
        raise AssertionError("a kernel was started")

    monkeypatch.setattr(papermill, "execute_notebook", refuse)


def test_there_are_enough_of_them():
    assert len(WRONG) >= 60
    assert {report for report, _, _ in WRONG} == set(REPORTS)


@pytest.mark.parametrize("report", SOUND)
def test_the_sound_requests_are_sound(report, unread):
    """Else every wrong one would be refused for another reason."""
    check_parameters(find_report(report), SOUND[report], unread)


@pytest.mark.parametrize("row", WRONG, ids=name_row)
def test_a_wrong_request_is_refused(row, unread, tmp_path, capsys):
    report, asked, names = row
    before = list_tree(unread.root)
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(merge(report, asked), allow_unicode=True), encoding="utf-8")
    assert cli.main(["report", report, "--workspace", str(unread.root), "--params", str(file)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert names in said.err
    assert "Traceback" not in said.err
    assert len(said.err) < 3_000
    assert list_tree(unread.root) == before


AS_TEXT = [row for row in WRONG if all(isinstance(value, str) for value in row[1].values())]


@pytest.mark.parametrize("row", AS_TEXT, ids=name_row)
def test_it_is_refused_on_the_command_line_too(row, unread, capsys):
    report, asked, names = row
    before = list_tree(unread.root)
    pairs = [word for name, value in merge(report, asked).items() for word in ("-p", f"{name}={value}")]
    assert cli.main(["report", report, "--workspace", str(unread.root), *pairs]) == 2
    assert names in capsys.readouterr().err
    assert list_tree(unread.root) == before


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["report", "chnage"], "change"),
        (["report", "R4"], "change"),
        (["report"], "bgtk --help"),
        (["parameters", "coverage"], "coverage_map"),
        (["report", "change", "-p", "assessment"], "assessment"),
        (["report", "change", "-p", "=PED"], "assessment"),
        (["report", "change", "--params", "absent.yaml"], "absent.yaml"),
        (["rprt", "change"], "report"),
        (["report", "change", "--language", "de"], "language"),
    ],
)
def test_a_wrong_command_is_refused(words, names, unread, capsys):
    before = list_tree(unread.root)
    assert cli.main([*words, "--workspace", str(unread.root)]) == 2
    said = capsys.readouterr()
    assert (names in said.err, said.out) == (True, "")
    assert list_tree(unread.root) == before


def test_all_faults_are_named_at_once(unread):
    wrong = {"min_cell": "sepuluh", "language": "fr", "asessment": "PED"}
    with pytest.raises(ParameterError) as refused:
        check_parameters(find_report("change"), CHANGE | wrong, unread)
    assert all(name in refused.value.text.id and name in refused.value.text.en for name in wrong)


def test_an_identifier_in_a_refusal_is_masked(unread, capsys):
    number = "18" * 8
    asked = ["-p", f"assessment={number}", "-p", "wave_pre=p1-pre", "-p", "wave_post=p1-post"]
    assert cli.main(["report", "change", "--workspace", str(unread.root), *asked]) == 2
    assert number not in capsys.readouterr().err


@pytest.mark.parametrize("language", ["id", "en"])
def test_a_refusal_speaks_the_language_asked_for(language, unread, capsys):
    words = ["report", "change", "--workspace", str(unread.root), "--language", language]
    words += [word for name, value in (CHANGE | {"assessment": "XYZ"}).items() for word in ("-p", f"{name}={value}")]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert ("Available" in said, "Yang tersedia" in said) == (language == "en", language == "id")


# ---------------------------------------------------------------- the workspace's own list


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ({"report": "chnage"}, "change"),
        ({"report": "change", "parameters": {**CHANGE, "asessment": "PED"}}, "assessment"),
        ({"report": "change", "grid": {"assessment": ["PED", "PDE"], "waves": [["p1-pre", "p1-post"]]}}, "PED"),
        ({"report": "change", "grid": {"assessment": ["PED"], "waves": ["p1-pre"]}}, "waves"),
        ({"report": "change", "grid": {"assessment": ["PED"], "waves": [["p1-post", "p1-pre"]]}}, "p1-pre → p1-post"),
        ({"report": "change", "grid": {"assessment": []}, "parameters": {}}, "assessment"),
        ({"report": "coverage_map", "grid": {"wave": ["p1-pre", "p7-pre"]}}, "p2-pre"),
    ],
)
def test_one_wrong_entry_of_the_list_stops_the_run_before_anything_is_read(entry, names, province_copy, capsys):
    declared = yaml.safe_load((province_copy.root / "workspace.yaml").read_text("utf-8"))
    declared["reports"] = [{"report": "data_quality"}, entry]
    (province_copy.root / "workspace.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    before = list_tree(province_copy.root)
    assert cli.main(["run", "--workspace", str(province_copy.root)]) == 2
    assert names in capsys.readouterr().err
    assert list_tree(province_copy.root) == before


# ---------------------------------------------------------------- filters that leave too few


def count_persons(workspace, **filters):
    wish = wish_for(workspace, "change", CHANGE | filters)
    pairs = workspace.read_derived("pairs")
    here = pairs[(pairs["assessment"] == "PED") & (pairs["wave_pre"] == "p1-pre")]
    for column, name in (("district", "districts"), ("jenjang", "jenjang")):
        if filters.get(name):
            here = here[here[column].isin(filters[name])]
    return wish, here["pid"].nunique()


def test_a_filter_that_leaves_too_few_is_refused_without_the_count(small_province, capsys):
    pairs = small_province.read_derived("pairs")
    here = pairs[(pairs["assessment"] == "PED") & (pairs["wave_pre"] == "p1-pre")]
    counts = here["district"].value_counts()
    small = counts[counts < 10]
    assert len(small), "the province must have a small district, else this test shows nothing"
    for code, n in small.items():
        wish, persons = count_persons(small_province, districts=[code])
        assert persons == n
        with pytest.raises(ParameterError) as refused:
            refuse_few(Ground(small_province), wish)
        said = refused.value.text.id + refused.value.text.en
        assert "districts" in said
        assert not any(number in said.replace("10", "") for number in (str(n), f" {n} "))
    before = list_tree(small_province.root)
    asked = [word for name, value in CHANGE.items() for word in ("-p", f"{name}={value}")]
    words = ["report", "change", "--workspace", str(small_province.root), *asked, "-p", f"districts={small.index[0]}"]
    assert cli.main(words) == 2
    assert list_tree(small_province.root) == before


def test_a_filter_that_leaves_nobody_is_refused_alike(small_province):
    """Nobody and nearly nobody read the same: the refusal gives no count away."""
    refusals = set()
    for filters in ({"jenjang": ["PAUD"]}, {"jenjang": ["SLB"], "districts": ["18.03"]}):
        wish, persons = count_persons(small_province, **filters)
        assert persons < 10
        with pytest.raises(ParameterError) as refused:
            refuse_few(Ground(small_province), wish)
        refusals.add(refused.value.text.id.replace("districts, ", ""))
    assert len(refusals) == 1


def test_a_filter_that_leaves_enough_passes(small_province):
    wish, persons = count_persons(small_province, districts=["18.71"])
    assert persons >= 10
    refuse_few(Ground(small_province), wish)


def test_the_threshold_is_the_reports_own(small_province):
    _, persons = count_persons(small_province, districts=["18.71"], jenjang=["SLB"])
    assert 10 <= persons < 50
    wish, _ = count_persons(small_province, districts=["18.71"], jenjang=["SLB"], min_cell="50")
    with pytest.raises(ParameterError):
        refuse_few(Ground(small_province), wish)


# ---------------------------------------------------------------- bgtk parameters

SHAPE = {"name": str, "type": str, "required": bool, "allowed": list, "help": dict}


@pytest.mark.parametrize("report", REPORTS)
def test_the_parameters_are_listed_as_one_json_object(report, unread, capsys):
    assert cli.main(["parameters", report, "--json", "--workspace", str(unread.root)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"report", "parameters"}
    assert told["report"] == report
    fields = REPORTS[report].parameters.model_fields
    assert [row["name"] for row in told["parameters"]] == list(fields)
    for row in told["parameters"]:
        assert set(row) == {*SHAPE, "default"}
        assert all(isinstance(row[name], kind) for name, kind in SHAPE.items()), row
        assert set(row["help"]) == {"id", "en"}
        assert all(row["help"].values())
        assert row["required"] == fields[row["name"]].is_required()
        assert row["type"] in {"str", "int", "float", "list", "choice"}
        assert not (row["required"] and row["default"] is not None)
        assert all(isinstance(value, str) for value in row["allowed"])


def test_the_parameters_name_what_this_workspace_allows(unread, capsys):
    assert cli.main(["parameters", "change", "--json", "--workspace", str(unread.root)]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["parameters"]}
    assert rows["wave_pre"]["allowed"] == ["p1-pre", "p1-post", "p2-pre", "p2-post"]
    assert {"PED", "KEP", "SSL", "MAT"} <= set(rows["assessment"]["allowed"])
    assert len(rows["assessment"]["allowed"]) == 17
    assert len(rows["districts"]["allowed"]) == 15
    assert rows["jenjang"]["allowed"] == ["PAUD", "SD", "SMP", "SMA", "SMK", "SLB", "PNF"]
    assert rows["confidence"]["allowed"] == ["0.90", "0.95", "0.99"]
    assert rows["confidence"]["default"] == "0.95"
    assert rows["min_cell"]["allowed"] == ["ge 5", "le 50"]
    assert (rows["min_cell"]["type"], rows["min_cell"]["default"]) == ("int", 10)
    assert rows["assessment"]["required"]


def test_the_parameters_are_listed_without_a_workspace_too(tmp_path, capsys):
    assert cli.main(["parameters", "change", "--workspace", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in REPORTS["change"].parameters.model_fields)


def test_every_value_the_listing_allows_is_accepted(unread, capsys):
    """What `bgtk parameters` offers, `bgtk report` takes."""
    for name in REPORTS:
        assert cli.main(["parameters", name, "--json", "--workspace", str(unread.root)]) == 0
        rows = json.loads(capsys.readouterr().out)["parameters"]
        for row in rows:
            if row["type"] in ("int", "float") or row["name"] in ("wave_pre", "wave_post", "edition_status"):
                continue
            for value in row["allowed"]:
                asked = SOUND[name] | {row["name"]: [value] if row["type"] == "list" else value}
                check_parameters(find_report(name), asked, unread)


def test_the_workspace_of_a_demonstration_asks_for_possible_reports(unread):
    assert len(list_wishes(unread)) >= 4


def test_two_reports_that_would_replace_each_other_are_refused(unread):
    """They differ in what their folder does not name; the same one twice, or in an edition of its own, is none of that."""
    asked = {"report": "change", "parameters": {"assessment": "PED", "wave_pre": "p1-pre", "wave_post": "p1-post"}}
    tighter = {**asked, "parameters": {**asked["parameters"], "confidence": "0.99", "min_cell": 20}}
    apart = {**tighter, "parameters": {**tighter["parameters"], "edition_id": "ketat"}}

    def wish(*reports):
        declared = unread.declared.model_copy(update={"reports": [ReportPlan(**one) for one in reports]})
        return list_wishes(replace(unread, declared=declared))

    assert len(wish(asked, asked, apart)) == 3
    with pytest.raises(ParameterError, match=r"confidence, min_cell.*ped_p1-pre_p1-post_id"):
        wish(asked, tighter)
