"""The documents say what the program does: commands, gates, keys, examples and links are held against the code."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bgtk_lib import cli, editions
from bgtk_lib.engine.parameters import REPORTS
from bgtk_lib.ingest import mapping
from bgtk_lib.linking.compare import read_decisions
from bgtk_lib.schema import code_list
from bgtk_lib.stages.decisions import COLUMNS as ITEM_COLUMNS
from bgtk_lib.stages.frozen import COLUMNS as FROZEN_COLUMNS
from bgtk_lib.synthetic import FAULTS, SCENARIOS, SIZES
from bgtk_lib.words import sentences
from bgtk_lib.workspace import declaration, open_workspace
from bgtk_lib.workspace.typed import declare, read_decision_rows, read_yaml

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "data/README.md", ROOT / "reports/README.md"])
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def fenced(text, language):
    """The blocks of code of one language."""
    return [block for kind, block in FENCE.findall(text) if kind == language]


def quoted(text, word):
    """Every command that a page quotes, inline or in a shell block, that begins with a word."""
    inline = re.findall(rf"`({word}(?: [^`]*)?)`", FENCE.sub("", text))
    lines = (
        line.strip().split("  #")[0].split(" # ")[0] for block in fenced(text, "sh") for line in block.splitlines()
    )
    return [*inline, *(line for line in lines if line.split(" ")[0] == word)]


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_codebook_page_is_the_one_the_script_writes():
    assert read("docs/codebook.md") == load_script("codebook").render(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    for command in quoted(page.read_text(encoding="utf-8"), "make"):
        assert set(command.split()[1:]) <= targets, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_bgtk_commands_are_understood(page):
    for command in quoted(page.read_text(encoding="utf-8"), "bgtk"):
        words = shlex.split(command)[1:]
        if words == ["…"]:  # `bgtk …`: the command as such
            continue
        chosen = cli.build_parser("en").parse_args(words)
        if chosen.command in ("report", "parameters"):
            assert chosen.name in REPORTS, command
        if chosen.command == "report":
            fields = REPORTS[chosen.name].parameters.model_fields
            assert {pair.partition("=")[0] for pair in chosen.parameters} <= set(fields), command
        if chosen.command == "demo":
            assert chosen.size in SIZES, command
            assert chosen.scenario in SCENARIOS, command
            assert set(chosen.fault) <= set(FAULTS), command


def test_the_commands_are_found_at_all():
    readme = read("README.md")
    assert {"make demo", "make test"} <= {command.strip() for command in quoted(readme, "make")}
    assert len(quoted(readme, "bgtk")) >= len(cli.COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors_of(file), target


def anchors_of(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_gate_has_its_row_and_every_row_its_gate():
    said = {}
    for key in sentences():
        if found := re.fullmatch(r"gate\.([A-Z]\d\d)\.(OK|WARN|HOLD|STOP|UNKNOWN)", key):
            said.setdefault(found[1], set()).add(found[2])
    rows = {}
    for line in read("docs/gates.md").splitlines():
        if re.match(r"\| [A-Z]\d\d \|", line):
            code, _, *cells, _ = [cell.strip() for cell in line.strip("|").split("|")]
            rows[code] = {
                state for state, cell in zip(("WARN", "HOLD", "STOP", "UNKNOWN"), cells, strict=True) if cell != "–"
            }
    assert set(rows) == set(said)
    for code, states in said.items():
        assert states - {"OK"} <= rows[code], f"{code}: docs/gates.md says nothing about a state that has a sentence"


def test_the_words_of_the_states_are_those_of_the_reports():
    rows = dict(re.findall(r"^\| (OK|WARN|UNKNOWN|HOLD|STOP) \| ([^|]+) \|", read("docs/gates.md"), re.MULTILINE))
    assert rows == {state: sentences()[f"page.state.{state}"]["id"] for state in rows}
    assert len(rows) == 5


@pytest.mark.parametrize(
    "model",
    [
        declaration.WorkspaceDeclaration,
        declaration.Governance,
        declaration.Source,
        declaration.Wave,
        declaration.Form,
        declaration.Rules,
        declaration.ReportPlan,
        mapping.Mapping,
        mapping.Format,
        mapping.FieldMap,
        mapping.Person,
        mapping.Answers,
    ],
    ids=lambda model: model.__name__,
)
def test_every_key_is_explained(model):
    page = read("docs/workspace.md")
    names = {field.alias or name for name, field in model.model_fields.items()}
    assert {name for name in names if f"`{name}`" not in page and f"`{name}:" not in page} == set()


def test_defaults_of_the_rules_are_those_printed():
    section = read("docs/workspace.md").partition("### rules")[2].partition("\n### ")[0]
    printed = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", section, re.MULTILINE))
    defaults = declaration.Rules().model_dump(mode="json", exclude_none=True)
    assert {name: yaml.safe_load(value) for name, value in printed.items()} == defaults


def test_examples_of_workspace_and_mappings_are_valid(tmp_path):
    blocks = fenced(read("docs/workspace.md"), "yaml")
    assert len(blocks) >= 6
    named = {block.splitlines()[0].removeprefix("# "): block for block in blocks}
    (tmp_path / "workspace.yaml").write_text(named.pop("workspace.yaml"), encoding="utf-8")
    workspace = open_workspace(tmp_path)
    for place, block in named.items():
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block, encoding="utf-8")
        declare(mapping.Mapping, read_yaml(path), where=place)
    for source in workspace.declared.sources:
        if source.adapter == "table":
            assert f"data/mappings/{source.mapping}.yaml" in named, source.name


def test_examples_of_decisions_have_the_columns_that_are_read(tmp_path):
    gates, official, links, items, frozen = fenced(read("docs/workspace.md"), "csv")
    (tmp_path / "gates.csv").write_text(gates, encoding="utf-8")
    assert editions.apply_decisions([], tmp_path / "gates.csv") == []
    (tmp_path / "links.csv").write_text(links, encoding="utf-8")
    assert [row["decision"] for row in read_decisions(tmp_path / "links.csv")] == ["parallel"]
    for text, columns in (
        (official, tuple(editions.Approval.model_fields)),
        (items, ITEM_COLUMNS),
        (frozen, FROZEN_COLUMNS),
    ):
        (tmp_path / "rows.csv").write_text(text, encoding="utf-8")
        assert len(read_decision_rows(tmp_path / "rows.csv", columns)) == 1


def test_every_room_is_in_the_list_of_rooms():
    listed = set(re.findall(r"`(\w+)/?`", read("CONTRIBUTING.md").partition("## House habits")[0]))
    rooms = {path.stem for path in (ROOT / "bgtk_lib").iterdir() if path.suffix in ("", ".py") and path.stem[0] != "_"}
    assert rooms <= listed


def test_the_office_workspace_opens_and_says_what_to_do_first(tmp_path, own_keys, capsys):
    (tmp_path / "workspace.yaml").write_text(read("workspace.yaml"), encoding="utf-8")
    declared = open_workspace(tmp_path).declared
    assert (declared.name, declared.data_kind, declared.sources) == ("bgtk-lampung", "real", [])
    assert list(declared.waves) == ["p1-pre", "p1-post", "p2-pre", "p2-post"]
    for command in ("run", "check"):
        assert cli.main([command, "--workspace", str(tmp_path)]) == 2
        assert sentences()["workspace.no_sources"]["id"] in capsys.readouterr().err
    assert not own_keys.exists(), "nothing was run, so no key was made"


def test_the_commented_examples_of_the_office_workspace_are_valid(tmp_path):
    text = re.sub(r"^(sources|reports|forms): (\[\]|\{\})", r"\1:", read("workspace.yaml"), flags=re.MULTILINE)
    (tmp_path / "workspace.yaml").write_text(re.sub(r"^#  ", "  ", text, flags=re.MULTILINE), encoding="utf-8")
    declared = open_workspace(tmp_path).declared
    assert {form.assessment for form in declared.forms.values()} == set(code_list("assessments"))
    assert {plan.report for plan in declared.reports} <= set(REPORTS)
    assert declared.sources


def test_the_picture_is_small_enough_to_be_carried():
    assert (ROOT / "docs/picture-r4.png").stat().st_size <= 200_000


def test_the_four_lines_are_four_and_name_what_exists():
    (block,) = fenced(read("README.md"), "python")
    assert len(ast.parse(block).body) == 4


@pytest.mark.slow
def test_the_four_lines_make_pages(tmp_path, keys):
    (block,) = fenced(read("README.md"), "python")
    subprocess.run([sys.executable, "-c", block], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "demo-7/reports/draf/index.html").is_file()
    assert len(list(tmp_path.glob("demo-7/reports/draf/*/*/report.html"))) == 11
