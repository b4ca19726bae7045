"""The command line: its exit codes, its JSON, and that no request however odd ends in a traceback or a half-written file."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import papermill
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bgtk_lib.synthetic
from bgtk_lib import cli
from bgtk_lib.cli import reports
from bgtk_lib.errors import StageError, Text
from bgtk_lib.words import plain

QUIET = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,  # the same examples each time: a failure is the code's, not the day's
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)

TINY = {
    "name": "tiny",
    "institution": {"name": "BGTK", "province": "18"},
    "data_kind": "synthetic",
    "language": "id",
    "governance": {"purpose": "uji", "retention_until": "2030-12-31"},
    "sources": [
        {
            "name": "tes",
            "file": "data/raw/tes-*.csv",
            "adapter": "table",
            "mapping": "tes",
            "wave": "p1-pre",
            "form": "F1",
        }
    ],
    "waves": {
        "p1-pre": {"phase": "I", "occasion": "pre", "window": ["2025-10-18", "2025-10-19"], "make_up": ["2025-10-25"]},
        "p1-post": {"phase": "I", "occasion": "post"},
    },
    "forms": {"F1": {"assessment": "PED", "scored": "true", "items": "3"}},
    "rules": {
        "reference_date": "2026-07-01",
        "window_days": ["150", "210"],
        "cluster": "none",
        "cluster_reason": "uji",
        "seed": "1",
    },
    "expected_gates": {"C09": "HOLD"},
    "reports": [
        {"report": "data_quality", "parameters": {"min_cell": "10"}},
        {"report": "coverage_map", "grid": {"wave": ["p1-pre"]}},
    ],
}
MAPPING = {
    "table": "session",
    "person": {"ids": ["local"]},
    "columns": {"local": "No"},
    "answers": {"pattern": "(?P<item>S\\d)"},
}


def write_tiny(root):
    (root / "data" / "raw").mkdir(parents=True)
    (root / "data" / "mappings").mkdir()
    rows = ["No,S1,S2,S3", *(f"G{n:02},{n % 2},{n % 3 // 2},1" for n in range(12))]
    (root / "data" / "raw" / "tes-1.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (root / "data" / "mappings" / "tes.yaml").write_text(yaml.safe_dump(MAPPING), encoding="utf-8")
    (root / "workspace.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False), encoding="utf-8")
    return root


def run(*words):
    """Exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def read_tree(root):
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))
    }


def list_leftovers(root):
    return [str(path.relative_to(root)) for path in root.rglob(".*")]


@pytest.fixture
def tiny(tmp_path):
    return write_tiny(tmp_path / "tiny")


# ---------------------------------------------------------------- exit codes


def test_0_where_all_is_done(tiny):
    code, out, _ = run("ingest", "--workspace", tiny)
    assert code == 0
    assert out.strip()
    assert list_leftovers(tiny) == []


def test_1_where_a_gate_holds(small_province):
    code, out, _ = run("score", "--workspace", small_province.root)
    assert code == 1
    assert "C09 HOLD" in out


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("ingest",),
        ("ingest", "--workspace", "nowhere"),
        ("ingset",),
        ("ingest", "--wrong"),
        ("ingest", "more"),
        ("report",),
        ("parameters",),
        ("demo", "--size", "huge"),
        ("demo", "--seed", "x"),
        ("demo", "--fault", "different_forms"),
        ("demo", "--scenario", "best"),
        ("--json",),
    ],
)
def test_2_where_the_request_is_wrong(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.strip()
    assert list(tmp_path.iterdir()) == []


def test_2_where_a_demonstration_would_overwrite_something(tmp_path):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    assert run("demo", "--folder", tmp_path)[0] == 2
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "mine"


def test_2_where_a_real_workspace_stands_in_the_way_of_a_demonstration(tiny):
    before = read_tree(tiny)
    assert run("demo", "--folder", tiny)[0] == 2
    assert read_tree(tiny) == before


def test_3_where_a_stage_fails_and_what_was_finished_is_kept(tiny, monkeypatch):
    def fail(*given, **more):
        raise OSError("the disk is full: secret")

    assert run("ingest", "--workspace", tiny)[0] == 0
    made = read_tree(tiny)
    rules = {**TINY, "rules": {**TINY["rules"], "seed": "2"}}
    (tiny / "workspace.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    monkeypatch.setattr("bgtk_lib.ingest.write_table", fail)
    code, out, err = run("ingest", "--workspace", tiny)
    assert (code, out) == (3, "")
    assert "Traceback" not in err
    assert "secret" not in err
    assert {name: data for name, data in read_tree(tiny).items() if name != "workspace.yaml"} == {
        name: data for name, data in made.items() if name != "workspace.yaml"
    }


def test_0_for_help_in_both_languages():
    for language, word in (("id", "Kode keluar"), ("en", "Exit codes")):
        code, out, err = run("run", "--help", "--language", language)
        assert (code, err) == (0, "")
        assert out
        told = subprocess.run(
            [sys.executable, "-m", "bgtk_lib.cli", "--help", f"--language={language}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode in (0, 2)
        assert "Traceback" not in told.stderr
        assert told.returncode == 2 or word in told.stdout


def test_a_real_process_speaks_utf8_and_ends_with_the_code(tiny):
    """As a double click starts it, in a console whose encoding knows no dash."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    words = [sys.executable, "-m", "bgtk_lib.cli", "ingset", "--workspace", str(tiny)]
    told = subprocess.run(words, capture_output=True, env=environment, check=False)
    assert told.returncode == 2
    assert "“ingest”" in told.stderr.decode("utf-8")
    assert told.stdout == b""


def test_a_second_run_does_nothing_again(tiny):
    assert json.loads(run("ingest", "--json", "--workspace", tiny)[1])["ran"] == ["ingest"]
    before = read_tree(tiny)
    assert json.loads(run("ingest", "--json", "--workspace", tiny)[1])["ran"] == []
    assert read_tree(tiny) == before


# ---------------------------------------------------------------- --json


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        (("ingest",), {"ran", "sources", "gates"}),
        (("check",), {"ran", "sources", "gates"}),
        (("score",), {"ran", "sources", "gates"}),
        (("parameters", "change"), {"report", "parameters"}),
    ],
)
def test_json_prints_exactly_one_object(words, holds, small_province):
    code, out, _ = run(*words, "--json", "--workspace", small_province.root)
    assert code in (0, 1)
    assert out.count("\n") == 1
    assert set(json.loads(out)) == holds


def test_a_refused_request_prints_no_json(tiny):
    code, out, err = run("report", "chnage", "--json", "--workspace", tiny)
    assert (code, out) == (2, "")
    assert err


def test_the_gates_in_json_are_those_of_the_stage(small_province):
    gates = json.loads(run("score", "--json", "--workspace", small_province.root)[1])["gates"]
    assert {"C01", "C03", "C05", "C09", "D01", "D10"} <= {gate["code"] for gate in gates}
    for gate in gates:
        assert set(gate) == {"code", "state", "scope", "message", "lifted"}
        assert set(gate["message"]) == {"id", "en"}
    codes = [gate["code"] for gate in gates]
    assert codes == sorted(codes)


# ---------------------------------------------------------------- odd command lines

ODD = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="-=,.:/[]{}~$%*", max_size=8),
    st.sampled_from(
        [
            "\0",
            "a\0b",
            "x" * 5_000,
            "/" * 300,
            "é\u202eñ",
            "💥",
            "\udcff",
            "-",
            "--",
            "--=",
            "-p",
            " ",
            "",
            "..",
            "~",
            "%s",
            "{n}",
        ]
    ),
    st.integers().map(str),
)
KNOWN = st.sampled_from(
    [
        *cli.COMMANDS, *cli.COMMANDS, "--workspace", "--json", "--language", "id", "en", "--help", "--edition", "--params",
        "-p", "--size", "small", "--seed", "1", "--fault", "--folder", "--scenario", "data_quality", "coverage_map", "change",
        "assessment=PED", "wave=p1-pre", "wave_pre=p1-pre", "wave_post=p1-post", "min_cell=5", "districts=18.01",
        "workspace.yaml", ".", "data", "min_cell=", "=", "language=fr", "edition_id=uji-1", "jenjang=SD,SMP",
    ]
)  # fmt: skip


@pytest.fixture
def harmless(tmp_path, monkeypatch, own_keys):
    """A tiny workspace as the current folder; no kernel starts, no province is written: both fail at once, and say so."""
    begun = []

    def fail(*given, **more):
        begun.append(given)
        raise StageError(plain("not here"))

    write_tiny(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path / "tiny")
    monkeypatch.setattr(papermill, "execute_notebook", fail)
    monkeypatch.setattr(bgtk_lib.synthetic, "write_demo", fail)
    return begun


@QUIET
@given(words=st.lists(st.one_of(KNOWN, KNOWN, ODD), max_size=8))
def test_no_command_line_ends_in_a_traceback(words, harmless):
    harmless.clear()
    code, out, err = run(*words)
    assert code in {0, 1, 2} or (code == 3 and harmless), (words, err)
    assert "Traceback" not in err + out, words
    if code == 2:
        assert out == "", words
        assert err.strip(), words
    assert list_leftovers(Path.cwd().parent) == [], words


@pytest.mark.parametrize(
    "words",
    [
        ("ingest", "--workspace", "a\0b"),
        ("ingest", "--workspace", "x" * 5_000),
        ("ingest", "--workspace", "workspace.yaml"),
        ("ingest", "--workspace", "\udcff"),
        ("report", "change", "--params", "x" * 5_000),
        ("report", "change", "--params", "data"),
        ("report", "change", "-p", "\udcff=1"),
        ("report", "\udcff"),
        ("demo", "--folder", "x" * 5_000),
        ("demo", "--folder", "workspace.yaml"),
        ("demo", "--folder", "workspace.yaml/inside"),
        ("demo", "--seed", "²"),
        ("demo", "--seed", "9" * 5_000),
        ("run", "--edition", "../outside"),
        ("run", "--edition", "x" * 5_000),
        ("parameters", "change", "--workspace", "x" * 5_000),
    ],
)
def test_an_impossible_place_or_number_is_a_wrong_request(words, harmless):
    before = read_tree(Path.cwd().parent)
    code, out, err = run(*words)
    assert (code, out) == (2, ""), err
    assert err.strip()
    assert read_tree(Path.cwd().parent) == before


# ---------------------------------------------------------------- odd workspaces

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.dates(),
    st.sampled_from(
        [
            "",
            "9" * 400,
            "x" * 3_000,
            "1e999",
            "nan",
            "../..",
            "/",
            "**/*",
            "\x85",
            "é",
            "18.10",
            "0x1F",
            "null",
            "{",
            "%",
            "~",
            "*",
        ]
    ),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.sampled_from(["a", "name", "file", ""]), st.integers(), max_size=2),
)
PIECES = st.one_of(
    st.text(max_size=15),
    st.sampled_from(
        ["\t", "\n", ":", "- ", "&a *a", "*a", "<<: *a", "!!python/object:os.system {}", "!!binary aGk=", "---\n", "...\n",
         "? ", "[", "{", "}", "|", ">", "#", "'", '"', "\0", "\x07", "\ufeff", "\u2028", "%YAML 9.9\n", "name: tiny\n", "!!set {a}", "2025-13-45"]
    ),
)  # fmt: skip


def list_paths(value, path=()):
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from list_paths(value[key], (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from list_paths(inner, (*path, place))


PATHS = [path for path in list_paths(TINY) if path]


@st.composite
def spoiled_structures(draw):
    """The sound declaration with one to three of its parts taken away, renamed, put elsewhere or replaced."""
    content = json.loads(json.dumps(TINY))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(PATHS))
        holder = content
        try:
            for step in path[:-1]:
                holder = holder[step]
            old = holder[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue
        if not isinstance(holder, dict | list):
            continue
        match draw(st.sampled_from(["delete", "rename", "replace", "replace", "wrap", "repeat"])):
            case "delete":
                del holder[path[-1]]
            case "rename" if isinstance(holder, dict):
                holder[draw(st.one_of(st.text(max_size=8), st.just(f"{path[-1]}x")))] = holder.pop(path[-1])
            case "wrap":
                holder[path[-1]] = draw(st.sampled_from([[old], {"a": old}, [old, old]]))
            case "repeat" if isinstance(holder, list):
                holder.append(old)
            case _:
                holder[path[-1]] = draw(SCALARS)
    return yaml.safe_dump(content, allow_unicode=draw(st.booleans()), sort_keys=False).encode("utf-8", "surrogatepass")


@st.composite
def spoiled_texts(draw):
    """The sound text with lines taken away or doubled, pieces put in, cut off; or no text at all."""
    text = yaml.safe_dump(TINY, sort_keys=False)
    for _ in range(draw(st.integers(1, 3))):
        lines = text.splitlines(keepends=True) or [""]
        place = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["drop", "double", "indent", "insert", "cut"])):
            case "drop":
                del lines[place]
            case "double":
                lines.insert(place, lines[place])
            case "indent":
                lines[place] = draw(st.sampled_from([" ", "    ", "\t"])) + lines[place]
            case "insert":
                column = draw(st.integers(0, len(lines[place])))
                lines[place] = lines[place][:column] + draw(PIECES) + lines[place][column:]
            case "cut":
                del lines[place:]
        text = "".join(lines)
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "latin-1"])), "replace")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("pristine") / "tiny")


def hold(raw, command, pristine, harmless):
    """Run a command in a workspace whose yaml is `raw`; hold it to what every wrong yaml is held to."""
    root = Path.cwd().parent / "spoiled"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(pristine, root)
    (root / "workspace.yaml").write_bytes(raw)
    before = read_tree(root)
    harmless.clear()
    code, out, err = run(command, "--workspace", root)
    assert code in {0, 1, 2} or (code == 3 and harmless), err
    assert "Traceback" not in err + out
    assert list_leftovers(root) == []
    if code == 2:
        assert err.strip()
        assert read_tree(root) == before
    return code


@QUIET
@given(raw=spoiled_structures(), command=st.sampled_from(["ingest", "ingest", "run"]))
def test_no_spoiled_declaration_ends_in_a_traceback(raw, command, pristine, harmless):
    """`ingest` for the sources, `run` for the list of reports; the stages and reports themselves are not made here."""
    with pytest.MonkeyPatch.context() as patch:
        if command == "run":
            patch.setattr("bgtk_lib.stages.run.run_stages", lambda *given, **more: [])
            patch.setattr("bgtk_lib.engine.batch.make_reports", lambda *given, **more: [])
        hold(raw, command, pristine, harmless)


@QUIET
@given(raw=st.one_of(spoiled_texts(), spoiled_texts(), spoiled_texts(), st.binary(max_size=200)))
def test_no_spoiled_text_ends_in_a_traceback(raw, pristine, harmless):
    hold(raw, "ingest", pristine, harmless)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "[]",
        "- a\n- b\n",
        "name: a\nname: b\n",
        "{" * 5_000,
        "[" * 50_000,
        "a: " + "{b: " * 3_000,
        "? [a]\n: b\n",
        "? {a: b}\n: c\n",
        "1: 2\n",
        "name: *nobody\n",
        "a: &a [*a]\n",
        "a: &a {b: *a}\n",
        "name: !!python/object/apply:os.system [id]\n",
        "<<: {name: x}\n",
        "name: !secret x\n",
        "--- {}\n--- {}\n",
        "\ufeff\ufeffname: x\n",
        "name: 'x\n",
        "name: \x01\n",
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c]\n",
    ],
    ids=range(22),
)
def test_a_file_that_is_no_declaration_is_refused(text, pristine, harmless):
    assert hold(text.encode(), "ingest", pristine, harmless) == 2


@pytest.mark.parametrize("part", ["file", "mapping", "wave", "form"])
def test_a_source_that_points_nowhere_leaves_nothing_behind(part, pristine, harmless, own_keys):
    """No key either: it is made only for files that are there."""
    source = {**TINY["sources"][0], part: "nowhere"}
    assert hold(yaml.safe_dump({**TINY, "sources": [source]}).encode(), "ingest", pristine, harmless) == 2
    assert list(own_keys.rglob("*")) == []


def test_the_sound_declaration_is_sound(pristine, harmless):
    """Else all that is spoiled would be refused for another reason."""
    assert hold(yaml.safe_dump(TINY).encode(), "ingest", pristine, harmless) == 0


def test_a_long_list_of_what_was_not_made_is_cut_short(capsys):
    """Of 200 districts with too few teachers the first few are named; the list of reports tells of all."""
    report = SimpleNamespace(title=Text(id="Perubahan", en="Change"))
    made = [
        SimpleNamespace(
            status="withheld", wish=SimpleNamespace(report=report, slug=f"ped_{n}"), reason=Text(id="Few", en="Few")
        )
        for n in range(200)
    ]
    reports._print_some(made, "en")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * reports.SHOWN + 1
    assert "ped_0" in lines[0]
    assert f"{200 - reports.SHOWN} more" in lines[-1]
