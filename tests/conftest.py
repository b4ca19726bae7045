"""What several tests share: keys in a folder of their own, small workspaces, one made-up province through all stages."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from functools import partial
from types import SimpleNamespace

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy loads: two workers with two threads each are slower

import pytest
import yaml
from filelock import FileLock

from bgtk_lib import cli
from bgtk_lib.stages.run import run_stages
from bgtk_lib.synthetic import Design, write_demo
from bgtk_lib.workspace import open_workspace
from bgtk_lib.workspace.store import read_json, read_table, write_json

pytest_plugins = ("browsing",)
FOUR = Design(assessments=("PED", "KEP", "SSL", "MAT"))


def pytest_collection_modifyitems(items):
    """Put the tests that need the made-up province first: while one process makes it, others have something to do."""
    items.sort(key=lambda item: "small_province" not in item.fixturenames)


@pytest.fixture(scope="session", autouse=True)
def keys(tmp_path_factory):
    """The folder of the pseudonym keys: never the user's own."""
    folder = tmp_path_factory.mktemp("keys")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BGTK_KEYS", str(folder))
        # The same key every time: draws are named by pseudonym, and a test must not hang on which it happened to get.
        patch.setattr("bgtk_lib.ingest.identity.secrets", SimpleNamespace(token_hex=lambda n: "5e" * n))
        yield folder


@pytest.fixture
def own_keys(tmp_path, monkeypatch):
    """Keys and a ledger that no other test knows."""
    folder = tmp_path / "own keys"
    monkeypatch.setenv("BGTK_KEYS", str(folder))
    return folder


@pytest.fixture(scope="session")
def once(keys, tmp_path_factory, worker_id):
    """A function that gives a copy of a workspace which the first process of the run that needs it has made.

    `make`: takes an empty folder, makes the workspace in it, and returns what is to be told with it, as JSON has it.
    """
    base = tmp_path_factory.getbasetemp()
    together = (base if worker_id == "master" else base.parent) / "once"
    together.mkdir(exist_ok=True)

    def take(name, make):
        whole = together / name
        with FileLock(together / f"{name}.lock"):
            if not whole.is_dir():
                making = tmp_path_factory.mktemp(name)
                (making / "workspace").mkdir()
                write_json(making / "told.json", make(making / "workspace"))
                secrets = open_workspace(making / "workspace").secrets
                shutil.copytree(secrets, making / "keys" / secrets.name)
                making.rename(whole)
        shutil.copytree(whole / "keys", keys, dirs_exist_ok=True)
        copy = shutil.copytree(whole / "workspace", tmp_path_factory.mktemp(name) / "copy")
        return SimpleNamespace(workspace=open_workspace(copy), told=read_json(whole / "told.json"))

    return take


@pytest.fixture(scope="session")
def small_province(once):
    """A sound province of four assessments after all stages. Read only: who changes it takes `province_copy`."""

    def make(folder):
        write_demo(folder, FOUR)
        assert run_stages(open_workspace(folder)) == ["ingest", "check", "review", "score"]

    return once("province", make).workspace


@pytest.fixture
def province_copy(small_province, tmp_path):
    """A copy of the small province to change; it has the same key."""
    shutil.copytree(small_province.root, tmp_path / "copy")
    return open_workspace(tmp_path / "copy")


@pytest.fixture(scope="session")
def rendered(small_province, once):
    """The small province with its reports made by one `bgtk run`: workspace, exit code and the JSON it printed."""

    def make(folder):
        shutil.copytree(small_province.root, folder, dirs_exist_ok=True)
        declared = yaml.safe_load((folder / "workspace.yaml").read_text(encoding="utf-8"))
        change = {"assessment": "PED", "wave_pre": "p1-pre", "wave_post": "p1-post"}
        asked = [
            ("data_quality", {}),
            ("coverage_map", {"wave": "p1-pre", "denominator": "14398", "denominator_source": "Lampost.co"}),
            ("change", change),
        ]
        declared["reports"] = [
            {"report": report, "parameters": parameters | {"language": language}}
            for report, parameters in asked
            for language in ("id", "en")
        ] + [{"report": "change", "parameters": change | {"wave_pre": "p2-pre", "wave_post": "p2-post"}}]
        (folder / "workspace.yaml").write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()) as told:
            code = cli.main(["run", "--json", "--workspace", str(folder)])
        assert code in (0, 1), told.getvalue() + said.getvalue()
        return {"code": code, "said": said.getvalue()}

    made = once("rendered", make)
    return SimpleNamespace(workspace=made.workspace, **made.told)


def write_workspace(root, files, mappings, sources, **declared):
    """Write a workspace of a few files, and return it.

    `files`: path under data/raw → text, bytes or a function that writes to the path; `mappings`: name → content;
    `sources`: declarations, of which only what differs from {file: data/raw/<name>} is given; further declarations by
    keyword replace the default ones.
    """
    for path, content in files.items():
        target = root / "data" / "raw" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(target)
        else:
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
    folder = root / "data" / "mappings"
    folder.mkdir(parents=True, exist_ok=True)
    for name, mapping in mappings.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(mapping), encoding="utf-8")
    whole = {
        "name": "small",
        "institution": {"name": "BGTK"},
        "data_kind": "synthetic",
        "sources": sources,
        "waves": {"pre": {"phase": "I", "occasion": "pre"}, "post": {"phase": "I", "occasion": "post"}},
        "forms": {"F1": {"assessment": "PED"}},
        **declared,
    }
    (root / "workspace.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    return open_workspace(root)


@pytest.fixture
def new_workspace(tmp_path, own_keys):
    """A function that writes a workspace of a few files, with keys of its own; see `write_workspace`."""
    return partial(write_workspace, tmp_path / "workspace")


def check_accounts(workspace, record):
    """Check that every row received is in the canonical table or set aside with one reason; return the reasons."""
    aside = workspace.read_quarantine("ingest")
    assert set(aside.columns) == {"table", "source", "row", "reason"}
    assert not aside.duplicated(["source", "row"]).any()
    reasons = {}
    accepted = {}
    for source in record["sources"]:
        rows = aside[aside["source"] == source["name"]]
        assert source["received"] == source["accepted"] + sum(source["aside"].values()), source["name"]
        assert source["received"] == sum(entry["rows"] for entry in source["files"]), source["name"]
        assert rows["reason"].value_counts().to_dict() == source["aside"], source["name"]
        assert rows["row"].between(0, source["received"] - 1).all(), source["name"]
        accepted[source["table"]] = accepted.get(source["table"], 0) + source["accepted"]
        reasons |= {source["name"]: source["aside"]}
    for table, n in accepted.items():
        assert len(read_table(workspace.folder("canonical"), table)) == n, table
    return reasons
