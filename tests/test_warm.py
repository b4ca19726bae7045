"""Kernels forked or started ahead are as clean as cold ones, and none outlives who asked for it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import papermill
import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from bgtk_lib.engine.batch import make_reports
from bgtk_lib.engine.parameters import REPORTS
from bgtk_lib.engine.warm import kernels
from bgtk_lib.engine.warm.kernels import CHOICE, ENGINE, WAYS, Forked, Spares, Template
from bgtk_lib.engine.wishes import list_wishes, wish_for
from bgtk_lib.errors import ParameterError, StageError

FORKS = sys.platform == "linux" and hasattr(os, "pidfd_open")
needs_fork = pytest.mark.skipif(not FORKS, reason="kernels are forked on Linux only")

STATE = """
import builtins, os, signal, sys, warnings
import matplotlib as mpl, matplotlib.pyplot, numpy as np, pandas as pd
state = {
    "pandas": {name: repr(pd.get_option(name)) for name in ("display.max_columns", "display.width", "mode.sim_interactive")},
    "rc": {name: repr(value) for name, value in mpl.rcParams.items()},
    "folder": os.getcwd(), "path": sys.path, "argv": sys.argv[:1],
    "env": {k: v for k, v in os.environ.items() if not k.startswith(("JPY_", "PYTEST", "BGTK_KERNELS", "OMP", "OPENBLAS", "ARROW_", "JE_"))},
    "sum": pd.DataFrame.sum.__module__, "builtins": sorted(n for n in vars(builtins) if not n.startswith("_")),
    "filters": len(warnings.filters) > 0, "main": sorted(n for n in vars(sys.modules["__main__"]) if n.startswith("left")),
    "signals": [str(signal.getsignal(s)) for s in (signal.SIGTERM, signal.SIGCHLD)], "umask": os.umask(0o022),
}
print(__import__("json").dumps(state, sort_keys=True, default=str))
"""
SPOIL = """
import builtins, os, random, sys, warnings
import matplotlib as mpl, numpy as np, pandas as pd
left_behind = 1
builtins.left = 2
mpl.rcParams["figure.dpi"] = 7
pd.set_option("display.max_columns", 3)
pd.DataFrame.sum = lambda self: "spoiled"
os.environ["LEFT"] = "yes"
os.umask(0o077)
os.chdir("/")
np.random.seed(1); random.seed(1)
sys.path.insert(0, "/left")
warnings.simplefilter("error")
import bgtk_lib.words; bgtk_lib.words.say = None
"""
SHOWN = """
import matplotlib.pyplot as plt, numpy as np, pandas as pd
display(pd.DataFrame(np.arange(60).reshape(2, 30)))
plt.plot([1, 3, 2]); plt.show()
print(pd.DataFrame(np.arange(60).reshape(2, 30)))
"""


def run(folder, *sources, way=None, monkeypatch=None, **options):
    """Run cells and return the notebook; the way is set for this call where it is given."""
    if way:
        monkeypatch.setenv(CHOICE, way)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python", "language": "python"}
    notebook = nbformat.from_dict({**notebook, "metadata": {**notebook.metadata, "language_info": {"name": "python"}}})
    path = folder / "notebook.ipynb"
    nbformat.write(notebook, path)
    return papermill.execute_notebook(
        str(path),
        None,  # no copy
        engine_name=ENGINE,
        kernel_name="python3",
        progress_bar=False,
        resources={"metadata": {"path": str(folder)}},
        **options,
    )


def told(notebook):
    return "".join(out["text"] for cell in notebook.cells for out in cell.outputs if out.get("name") == "stdout")


def wait_until(true, seconds=90):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(pid):
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def usual():
    """Where kernels come from unless somebody chooses."""
    return "warm" if FORKS else "spare"


@pytest.fixture(params=[pytest.param("warm", marks=needs_fork), "spare"])
def way(request):
    return request.param


# ---------------------------------------------------------------- as clean as a cold one


def test_what_a_notebook_sees_is_the_same_from_every_source(way, tmp_path, monkeypatch):
    ours, cold = (json.loads(told(run(tmp_path, STATE, way=one, monkeypatch=monkeypatch))) for one in (way, "cold"))
    assert {name: (value, cold[name]) for name, value in ours.items() if value != cold[name]} == {}


def test_what_a_notebook_shows_is_the_same_from_every_source(way, tmp_path, monkeypatch):
    ours, cold = (run(tmp_path, SHOWN, way=one, monkeypatch=monkeypatch) for one in (way, "cold"))
    assert json.dumps(ours.cells[0].outputs) == json.dumps(cold.cells[0].outputs)
    assert any("image/png" in out.get("data", {}) for out in ours.cells[0].outputs)


def test_nothing_a_notebook_changes_is_left_for_the_next(way, tmp_path, monkeypatch):
    before = told(run(tmp_path, STATE, way=way, monkeypatch=monkeypatch))
    spoiled = told(run(tmp_path, SPOIL, STATE, way=way, monkeypatch=monkeypatch))
    assert '"spoiled"' not in before
    assert "left_behind" in spoiled
    assert spoiled != before
    assert told(run(tmp_path, STATE, way=way, monkeypatch=monkeypatch)) == before


def test_chance_is_drawn_anew_in_every_kernel(tmp_path, monkeypatch, usual):
    source = "import random, uuid, numpy as np; print(random.random(), np.random.random(), uuid.uuid4())"
    first, second = (told(run(tmp_path, source, way=usual, monkeypatch=monkeypatch)).split() for _ in range(2))
    assert not set(first) & set(second)


def test_a_kernel_can_use_threads_and_processes(tmp_path, monkeypatch, usual):
    source = (
        "import subprocess, threading, numpy as np, pyarrow.compute as pc\n"
        "t = threading.Thread(target=lambda: print('thread')); t.start(); t.join()\n"
        "print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip())\n"
        "a = np.ones((300, 300)); print((a @ a).sum(), pc.sum([1, 2]).as_py())"
    )
    lines = told(run(tmp_path, source, way=usual, monkeypatch=monkeypatch)).split("\n")
    assert lines[:3] == ["thread", "child", "27000000.0 3"]


@pytest.mark.parametrize("names", [["change"], pytest.param([*REPORTS], marks=pytest.mark.slow)], ids=["one", "all"])
def test_every_report_is_the_same_to_the_byte_from_every_source(names, province_copy, monkeypatch):
    further = {
        "item": {"item": province_copy.read_derived("items")["item_id"].iloc[0]},
        "programme": {"programme": "TS", "role": "tutor", "assignment": "selected_top", "comparison": "matched"}
        | {"assessment": "PED", "wave_pre": "p2-pre", "wave_post": "p2-post"},
    }
    more = [wish_for(province_copy, name, parameters) for name, parameters in further.items()]
    wishes = {wish.report.name: wish for wish in [*list_wishes(province_copy), *more]}
    assert set(wishes) == set(REPORTS)
    found = {}
    for one in ("warm" if FORKS else "spare", "cold"):
        monkeypatch.setenv(CHOICE, one)
        made = make_reports(province_copy, [wishes[name] for name in names], anew=True)
        assert {report.status for report in made} <= {"done", "held", "stopped"}
        assert not any(report.kept for report in made)
        for page in (report.page for report in made):
            for file in ("report.html", "results.json", "report.ipynb", "passport.json"):
                text = re.sub(r'"made": ?"[^"]+"', "", (page.parent / file).read_text(encoding="utf-8"))
                found.setdefault((page.parent.parent.name, file), set()).add(text)
    assert [name for name, texts in found.items() if len(texts) > 1] == []
    assert len(found) == 4 * len(names)


# ---------------------------------------------------------------- what goes wrong


def test_a_failing_cell_a_dying_kernel_and_a_long_one_are_told_apart(tmp_path, monkeypatch, usual):
    with pytest.raises(papermill.PapermillExecutionError):
        run(tmp_path, "1 / 0", way=usual, monkeypatch=monkeypatch)
    with pytest.raises(DeadKernelError):
        run(tmp_path, "import os; os._exit(3)", way=usual, monkeypatch=monkeypatch)
    with pytest.raises(CellTimeoutError):
        run(tmp_path, "import time; time.sleep(60)", way=usual, monkeypatch=monkeypatch, timeout_func=lambda _: 0.3)
    assert told(run(tmp_path, "print(1)", way=usual, monkeypatch=monkeypatch)) == "1\n"


def test_no_file_of_a_kernel_is_left(tmp_path, monkeypatch, usual):
    with tempfile.TemporaryDirectory() as folder:  # not below `tmp_path`: a socket's path must be short
        monkeypatch.setattr(tempfile, "tempdir", folder)
        run(tmp_path, "print(1)", way=usual, monkeypatch=monkeypatch)
        assert not [*Path(folder).iterdir()]


@needs_fork
def test_a_template_that_is_gone_costs_time_and_no_report(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv(CHOICE, "warm")
    source = Template(["json"])
    monkeypatch.setattr(kernels, "open_source", lambda: source)
    os.kill(source.pid, signal.SIGKILL)
    assert told(run(tmp_path, "print(1)")) == "1\n"
    assert "tidak menjawab" in caplog.text
    source.close()


@needs_fork
def test_a_template_with_a_second_thread_is_not_forked(tmp_path, monkeypatch):
    (tmp_path / "restless.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    source = Template(["restless"])
    with pytest.raises(StageError, match="2 threads"):
        source.start([], cwd=str(tmp_path), env={})
    source.close()


def test_a_template_whose_imports_fail_says_so(tmp_path):
    if FORKS:
        template = Template(["no_such_module"])
        for _ in range(2):
            with pytest.raises(StageError, match="does not answer"):
                template.start([], cwd=str(tmp_path), env={})
    spares = Spares(["no_such_module"], n=1)
    wait_until(lambda: spares._waiting[0].poll() is not None)
    with pytest.raises(StageError, match="does not answer"):
        spares.start(["-f", "x" * 100_000], cwd=str(tmp_path), env={})
    spares.close()


def test_reports_that_want_the_first_kernel_at_once_share_one_source(usual, monkeypatch):
    made = []

    class Slow:
        def __init__(self, modules):
            time.sleep(0.2)
            made.append(self)

        def close(self):
            pass

    monkeypatch.setenv(CHOICE, usual)
    monkeypatch.setattr(kernels, "_sources", {})
    monkeypatch.setattr(kernels, "Template" if usual == "warm" else "Spares", Slow)
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda _: kernels.open_source(), range(4))]
    assert found == made * 4


def test_another_way_is_refused_with_the_nearest(monkeypatch):
    monkeypatch.setenv(CHOICE, "warn")
    with pytest.raises(ParameterError, match="warm"):
        kernels.choose_way()
    assert WAYS == ("warm", "spare", "cold")


@pytest.mark.parametrize("first", ["bgtk_lib.engine.warm.kernels", "bgtk_lib.engine.run", "papermill"])
def test_papermill_finds_the_engine_whatever_is_imported_first(first):
    source = f"import {first}, papermill.engines as e; assert {ENGINE!r} in e.papermill_engines._engines"
    subprocess.run([sys.executable, "-c", source], check=True)


# ---------------------------------------------------------------- who asked is gone


@needs_fork
def test_a_kernel_ends_with_its_template_and_the_template_with_who_asked():
    asks = (
        "import os, sys, time\nfrom bgtk_lib.engine.warm.kernels import Template\n"
        "t, folder = Template(['json']), sys.argv[1]\n"
        "words = ['-f', folder + '/kernel.json', '--transport=ipc', '--IPKernelApp.ip=' + folder + '/k']\n"
        "k = t.start(words, cwd=folder, env=dict(os.environ))\n"
        "print(t.pid, k.pid, flush=True); time.sleep(600)"
    )
    with tempfile.TemporaryDirectory() as folder:  # a socket's path must be short
        command = [sys.executable, "-c", asks, folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            pids = [int(pid) for pid in process.stdout.readline().split()]
            wait_until(Path(folder, "kernel.json").is_file)
            assert all(alive(pid) for pid in pids)
            process.kill()
        wait_until(lambda: not any(alive(pid) for pid in pids))


@needs_fork
def test_a_process_that_ended_is_known_to_have_ended():
    child = subprocess.Popen(["sleep", "600"])
    forked = Forked(child.pid, os.pidfd_open(child.pid))
    assert forked.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        forked.wait(timeout=0.01)
    forked.kill()
    assert forked.wait(timeout=10) == 0
    forked.kill()  # nobody is there any more
    child.wait()


@needs_fork
@pytest.mark.slow
def test_a_template_does_not_grow(tmp_path, monkeypatch):
    monkeypatch.setenv(CHOICE, "warm")
    run(tmp_path, "print(1)")
    source = kernels.open_source()

    def resident():
        return int(Path(f"/proc/{source.pid}/statm").read_text().split()[1])

    before = resident()
    for _ in range(40):
        run(tmp_path, "x = list(range(1000))")
    assert resident() <= before + 256  # pages: 1 MB
