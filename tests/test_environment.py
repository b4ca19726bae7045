"""One environment, however it is made: environment.yml, pyproject.toml and the lock say the same. No network, no conda."""

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = [Requirement(line) for line in chain(PROJECT["dependencies"], *EXTRAS.values())]
LOCK_TEXT = (ROOT / "requirements.lock.txt").read_text(encoding="utf-8")
PINS = [Requirement(line) for line in LOCK_TEXT.splitlines() if re.match(r"\w", line)]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
BY_CONDA = [line for line in CONDA["dependencies"] if isinstance(line, str)]
BY_PIP = [line for part in CONDA["dependencies"] if isinstance(part, dict) for line in part["pip"]]
PLATFORMS = [
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
]
SUPPORTED = [v for v in (f"3.{minor}" for minor in range(30)) if SpecifierSet(PROJECT["requires-python"]).contains(v)]
MACHINES = [
    {**default_environment(), **platform, "python_version": v, "python_full_version": f"{v}.5", "extra": ""}
    for v in SUPPORTED
    for platform in PLATFORMS
]


def find_pins(environment):
    """Name → version of every pin that holds on one kind of machine; two of one name are an error."""
    found = {}
    for pin in PINS:
        if pin.marker is None or pin.marker.evaluate(environment):
            name = canonicalize_name(pin.name)
            assert name not in found, f"two pins for {name} on Python {environment['python_version']}"
            found[name] = str(pin.specifier).removeprefix("==")
    return found


def test_supported_pythons_are_the_four_that_the_documents_name():
    assert SUPPORTED == ["3.11", "3.12", "3.13", "3.14"]


def test_conda_brings_a_supported_python_and_pip_only():
    names = {re.split(r"[<>=! ]", line)[0]: line for line in BY_CONDA}
    assert set(names) == {"python", "pip"}, "whatever else there is comes by pip, in the locked version"
    pinned = names["python"].removeprefix("python=")
    assert pinned in SUPPORTED, f"environment.yml has Python {pinned}, pyproject.toml {PROJECT['requires-python']}"


def test_conda_channel_asks_for_no_licence():
    assert CONDA["channels"] == ["conda-forge", "nodefaults"]


def test_conda_environment_has_the_name_that_mulai_bat_looks_for():
    assert f" activate {CONDA['name']}\n" in (ROOT / "Mulai.bat").read_text(encoding="utf-8")


def test_conda_installs_the_lock_and_then_the_project_with_every_extra():
    lock, project = BY_PIP
    assert lock == "-r requirements.lock.txt"
    extras = re.fullmatch(r"-e \.\[([\w,-]+)\]", project)
    assert extras, f"{project!r} should be -e .[…]"
    assert set(extras[1].split(",")) == set(EXTRAS), "the lock holds every extra"


def test_lock_is_pins_only():
    for pin in PINS:
        assert re.fullmatch(r"==[^*,]+", str(pin.specifier)), f"{pin} is not an exact version"
        assert pin.url is None, f"{pin.name} comes from an address"
    assert not re.search(r"//|--|@", LOCK_TEXT), "the lock names an address, an index or a hash"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m['python_version']}-{m['sys_platform']}")
def test_lock_holds_what_is_declared(machine):
    pins = find_pins(machine)
    for wanted in DECLARED:
        name = canonicalize_name(wanted.name)
        assert name in pins, f"{name} is declared but not locked: make lock"
        assert wanted.specifier.contains(pins[name]), f"{wanted} does not admit the locked {pins[name]}: make lock"


def test_whatever_the_library_imports_is_declared():
    """Not only somebody else's dependency, which may leave with the next release."""
    providers = packages_distributions()
    lines = [*PROJECT["dependencies"], *EXTRAS["cluster"]]  # who does without a cluster is told what to install
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    imported = set()
    for path in sorted((ROOT / "bgtk_lib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    imported -= {"bgtk_lib", *sys.stdlib_module_names}
    for name in sorted(imported):
        by = {canonicalize_name(dist) for dist in providers.get(name, [name])}
        assert by & declared, (
            f"bgtk_lib imports {name} ({', '.join(sorted(by))}), which pyproject.toml does not declare"
        )


def test_lock_is_closed():
    """Whatever a locked package needs on this machine is locked too, in a version that it admits."""
    here = {**default_environment(), "extra": ""}
    pins = find_pins(here)
    seen = 0
    for name in pins:
        for line in distribution(name).requires or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate(here):
                seen += 1
                other = canonicalize_name(needed.name)
                assert other in pins, f"{name} needs {other}, which is not locked: make lock"
                assert needed.specifier.contains(pins[other], prereleases=True), f"{name} needs {needed}: make lock"
    assert seen > len(DECLARED)


def test_these_tests_run_with_the_locked_versions():
    wrong = []
    for name, locked in find_pins({**default_environment(), "extra": ""}).items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "nothing"
        if installed != locked:
            wrong.append(f"{name}: {installed} is installed, {locked} is locked")
    assert not wrong, f"make env sets it right (Python {sys.version.split()[0]}): {wrong[:3]}"


def test_ruff_and_mypy_read_the_code_as_the_oldest_supported_python():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    oldest = SUPPORTED[0]
    assert tool["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    assert tool["mypy"]["python_version"] == oldest
