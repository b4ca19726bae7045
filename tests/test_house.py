"""The house's own rules: the rooms' order, who may import what, the shape of modules and notebooks, nothing private in git.

`make check` runs this file beside ruff and mypy; it needs no data.
"""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Annotated, get_args, get_origin

import nbformat
import pytest

from bgtk_lib.engine.parameters import REPORTS

HOUSE = Path(__file__).parent.parent
LIBRARY = HOUSE / "bgtk_lib"

# architecture.md's list, two rooms placed: `coverage` counts accepted sittings and imports no estimate, so it stands
# with the rooms that count (after `pairing`, before `change`); `stages` runs everything up to the scores and judges
# the pairs by `change.gates`, so it stands after `change`, and before `disclosure`, because nothing a stage stores has
# been screened. `exports` stands after `engine`: a replication package runs a report.
ROOMS = [
    "errors",
    "words",
    "schema",
    "workspace",
    "findings",
    "synthetic",
    "ingest",
    "quality",
    "instrument",
    "linking",
    "scoring",
    "pairing",
    "coverage",
    "change",
    "programme",
    "stages",
    "disclosure",
    "display",
    "editions",
    "engine",
    "exports",
    "cli",
]
NO_CODE = {"reference"}  # files that `schema` reads
SOLE = {
    "great_expectations": "quality",
    "papermill": "engine",
    "nbconvert": "engine",
    "nbformat": "engine",
    "jupyter_client": "engine",
}
NO_MODULES = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "lib", "stuff", "main", "manager"}
LONGEST = 400


@cache
def read_modules():
    return {path.relative_to(HOUSE): ast.parse(path.read_text("utf-8")) for path in sorted(LIBRARY.rglob("*.py"))}


def room_of(path):
    return path.parts[1].removesuffix(".py")


def list_imports(tree):
    """Every module a tree imports, wherever it stands: in functions and under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "bgtk_lib" else [module]
        elif is_import(node) and isinstance(node.args[0], ast.Constant):
            yield node.args[0].value


def is_import(node):
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__"))


def calls(tree, name):
    return [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == name]


# ---------------------------------------------------------------- rooms


def test_every_room_stands_in_the_list():
    found = {room_of(path) for path in read_modules()} - {"__init__"}
    assert found - NO_CODE == set(ROOMS)


def test_a_room_imports_only_rooms_before_it():
    wrong = [
        f"{path} imports {name}"
        for path, tree in read_modules().items()
        if room_of(path) in ROOMS
        for name in list_imports(tree)
        if name.startswith("bgtk_lib.")
        and (other := name.split(".")[1]) != room_of(path)
        and (other not in ROOMS or ROOMS.index(other) > ROOMS.index(room_of(path)))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "code",
    [
        "import bgtk_lib.engine.run",
        "from bgtk_lib.engine import run",
        "from bgtk_lib import engine",
        "def f():\n    from bgtk_lib.engine.run import x",
        "if TYPE_CHECKING:\n    import bgtk_lib.engine",
        "importlib.import_module('bgtk_lib.engine')",
    ],
)
def test_an_import_is_seen_wherever_it_stands(code):
    assert {".".join(name.split(".")[:2]) for name in list_imports(ast.parse(code))} == {"bgtk_lib.engine"}


@pytest.mark.parametrize("library", SOLE)
def test_a_heavy_library_has_one_importer(library):
    users = {room_of(p) for p, tree in read_modules().items() for n in list_imports(tree) if n.split(".")[0] == library}
    assert users == {SOLE[library]}


def test_only_the_template_imports_what_it_is_told_to():
    told = {
        path.as_posix()
        for path, tree in read_modules().items()
        for node in ast.walk(tree)
        if is_import(node) and not isinstance(node.args[0], ast.Constant)
    }
    assert told == {"bgtk_lib/engine/warm/template.py"}


def test_nothing_is_imported_by_its_place():
    wrong = [
        p for p, tree in read_modules().items() for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level
    ]
    assert wrong == []


def test_what_must_hold_is_raised_not_asserted():
    wrong = [
        f"{p}:{n.lineno}" for p, tree in read_modules().items() for n in ast.walk(tree) if isinstance(n, ast.Assert)
    ]
    assert wrong == []


def test_only_the_command_line_prints():
    wrong = [
        f"{p}:{n.lineno}" for p, tree in read_modules().items() if room_of(p) != "cli" for n in calls(tree, "print")
    ]
    assert wrong == []


def test_a_module_is_one_idea():
    long = {
        str(path): n for path in read_modules() if (n := len((HOUSE / path).read_text("utf-8").splitlines())) > LONGEST
    }
    assert long == {}


def test_a_module_is_named_for_its_idea():
    assert [str(path) for path in read_modules() if path.stem in NO_MODULES] == []


def test_nothing_is_swallowed():
    """No bare `except:`, and no handler that only passes."""
    wrong = [
        f"{path}:{node.lineno}"
        for path, tree in read_modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or all(isinstance(step, ast.Pass) for step in node.body))
    ]
    assert wrong == []


# ---------------------------------------------------------------- notebooks

NOTEBOOKS = sorted((HOUSE / "notebooks").glob("*.ipynb"))
OF_REPORT = {report.notebook: report for report in REPORTS.values()}
LOGIC = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.Lambda,
    ast.comprehension,
    ast.If,
    ast.Try,
)
NO_CALLS = {"merge", "groupby", "join", "apply", "pivot", "pivot_table", "query", "print"}

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
every_report = pytest.mark.parametrize("report", REPORTS.values(), ids=lambda report: report.name)


def read_cells(path, *, kind=None, tag=None):
    cells = nbformat.read(path, as_version=4).cells
    return [
        cell
        for cell in cells
        if kind in (None, cell.cell_type) and (tag is None or tag in cell.metadata.get("tags", []))
    ]


def read_parameters(report):
    """The parameters cell: name → (annotation, default); and its source."""
    cells = read_cells(HOUSE / "notebooks" / report.notebook, tag="parameters")
    assert len(cells) == 1, "exactly one cell tagged parameters"
    found = {}
    for statement in ast.parse(cells[0].source).body:
        assert isinstance(statement, ast.AnnAssign), f"no plain annotated literal: {ast.unparse(statement)}"
        found[statement.target.id] = (ast.unparse(statement.annotation), ast.literal_eval(statement.value))
    return found, cells[0].source


def kind_of(annotation):
    """The type a notebook's cell writes for a declared one: Literal["id", "en"] is str, list[Jenjang] is list."""
    name = str(annotation)
    if name.startswith("list"):
        return "list"
    parts = [part for part in get_args(annotation) if part is not NoneType] or [annotation]
    first = parts[0]
    if get_origin(first) is Annotated:
        return kind_of(get_args(first)[0])
    return first.__name__ if isinstance(first, type) else type(first).__name__


def test_every_report_has_its_notebook():
    assert set(OF_REPORT) <= {path.name for path in NOTEBOOKS}
    assert {path.name for path in NOTEBOOKS} - set(OF_REPORT) <= {"start.ipynb"}


@every_report
def test_the_parameters_cell_says_what_the_declaration_says(report):
    found, _ = read_parameters(report)
    fields = report.parameters.model_fields
    assert list(found) == list(fields)
    for name, field in fields.items():
        annotation, default = found[name]
        assert annotation == kind_of(field.annotation), name
        if not field.is_required():
            assert (default, type(default)) == (field.default, type(field.default)), name


@every_report
def test_the_parameters_cell_holds_possible_values(report):
    """What a required parameter has in the notebook is an example that its declaration admits."""
    found, _ = read_parameters(report)
    report.parameters.model_validate({name: default for name, (_, default) in found.items()})


@every_report
def test_every_parameter_is_commented(report):
    _, source = read_parameters(report)
    assert [line for line in source.splitlines() if not re.search(r"\S  # \S", line)] == []


@every_notebook
def test_a_notebook_is_committed_without_outputs(path):
    for cell in read_cells(path, kind="code"):
        assert (cell.outputs, cell.execution_count) == ([], None), cell.source[:60]


@every_notebook
def test_a_notebook_holds_no_logic(path):
    for cell in read_cells(path, kind="code"):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, LOGIC), ast.unparse(node)
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert name not in NO_CALLS, ast.unparse(node)


@every_notebook
def test_a_code_cell_does_one_thing(path):
    """The parameters cell is a declaration: as long as there are parameters, one a line."""
    long = [
        cell.source[:60]
        for cell in read_cells(path, kind="code")
        if "parameters" not in cell.metadata.get("tags", []) and len(cell.source.splitlines()) > 10
    ]
    assert long == []


@every_notebook
def test_what_is_said_in_one_language_is_said_in_the_other_beside_it(path):
    cells = read_cells(path)
    languages = [[tag for tag in cell.metadata.get("tags", []) if tag in ("id", "en")] for cell in cells]
    place = 0
    while place < len(cells):
        if cells[place].cell_type == "markdown":
            assert languages[place : place + 2] == [["id"], ["en"]], cells[place].source[:60]
            first, second = cells[place : place + 2]
            assert second.cell_type == "markdown"
            assert set(first.metadata.tags) - {"id"} == set(second.metadata.tags) - {"en"}
            levels = [re.findall(r"(?m)^#+ ", cell.source) for cell in (first, second)]
            assert levels[0] == levels[1], first.source[:60]
            assert first.source != second.source
            place += 1
        else:
            assert languages[place] == [], "code speaks both languages"
        place += 1


@every_report
def test_a_notebook_opens_and_closes_its_report_and_imports_only_the_library(report):
    sources = [cell.source for cell in read_cells(HOUSE / "notebooks" / report.notebook, kind="code")]
    assert sum(f'open_report("{report.name}", vars())' in source for source in sources) == 1
    assert sources[-1] == "report.close()"
    imported = {name for source in sources for name in list_imports(ast.parse(source))}
    assert imported
    assert {name.split(".")[0] for name in imported} == {"bgtk_lib"}


# ---------------------------------------------------------------- what is in git

# Written so that this file does not hold what it looks for.
IDENTIFIER = re.compile(r"(?<![\da-fA-F.])(\d{16}|\d{18}|\d{8} \d{6} [12] \d{3})(?![\da-fA-F])")
MACHINE = re.compile(
    r"(?<![\w.$}])/(?:work|root)/[\w.]|/home/[a-z]{2}|/Users/[a-z]|/tmp/[b]ash_|[A-Z]:\\\\?Users\\\\?[a-z]"
)
REGISTRY = re.compile(
    r"(?i)\b(?:test\.)?[p]ypi\.(?:org|python)|files\.python[h]osted|[c]onda\.anaconda\.org|repo\.anaconda\.(?:com|org)"
    r"|registry\.[n]pmjs|arti[f]actory|\b[n]exus\.|[d]ev[p]i|proxy\.[g]olang|cran\.r-[p]roject|localhost:\d|127\.0\.0\.1:\d"
    r"|\b10\.\d{1,3}\.\d{1,3}\.\d{1,3}\b|\b192\.168\.\d"
)


@cache
def read_tracked():
    """What git holds or would take with `git add .`: path → text. What is no text is not looked into."""
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(asked, cwd=HOUSE, check=True, capture_output=True, text=True).stdout.split("\0")
    found = {}
    for name in filter(None, names):
        path = HOUSE / name
        if path.is_file() and b"\0" not in (raw := path.read_bytes()):
            found[name] = raw.decode("utf-8", errors="replace")
    assert "pyproject.toml" in found
    return found


def find_lines(pattern):
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in read_tracked().items()
        if pattern.search(text)
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_identifier_of_a_person_is_in_git():
    assert find_lines(IDENTIFIER) == []


def test_no_machine_is_named_in_git():
    assert find_lines(MACHINE) == []


def test_no_registry_is_named_in_git():
    assert find_lines(REGISTRY) == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (IDENTIFIER, "nuptk " + "4" * 16),
        (IDENTIFIER, "1" * 18 + ","),
        (IDENTIFIER, f"{19800101} 200501 1 001"),
        (MACHINE, "see /" + "work/main"),
        (MACHINE, "/ho" + "me/ani/data"),
        (MACHINE, "C:\\Us" + "ers\\ani"),
        (REGISTRY, "https://py" + "pi.org/simple"),
        (REGISTRY, "index: http://localhost" + ":3141"),
    ],
)
def test_the_patterns_find_what_they_look_for(pattern, text):
    assert pattern.search(text)


def test_no_data_is_in_git():
    """Raw, made and identifying files stay out; only folders' notes, mappings and decisions are kept."""
    made = re.compile(
        r"(?:^|/)data/(?:raw|canonical|quarantine|derived|scores)/(?!README\.md$|\.gitkeep$).|^reports/(?!README\.md$|\.gitkeep$)."
    )
    assert [name for name in read_tracked() if made.search(name) or name.endswith((".key", ".pem", ".parquet"))] == []
