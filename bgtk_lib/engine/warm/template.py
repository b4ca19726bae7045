"""The template: a process that has imported what the notebooks import, and then becomes kernels.

Run as a module by `kernels`, never imported by a notebook. With a socket it forks a kernel for every order, as long as
the socket is open; without one it reads a single order from standard input and becomes that kernel itself.

A fork is safe because the template stays what it was when its imports were done: one thread (counted before every
fork), no event loop, no ZeroMQ context, no IPython shell, no figure. All of these are made in the kernel.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import json
import os
import random
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

KERNEL = (  # what a kernel imports on its way to the first cell, and pandas at the first table it reads
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "ipykernel.debugger",
    "IPython.core.completer",
    "IPython.core.completerlib",
    "IPython.core.pylabtools",
    "pyarrow.dataset",
    "pyarrow.parquet",
)
LARGEST = 1 << 20  # bytes of an order: folders and environment variables


def prepare(modules: list[str]) -> dict[str, str]:
    """Import what kernels will need, and leave no other trace.

    pandas asks while it is imported whether it runs in a kernel, and shows tables otherwise if not: it is told yes.

    Returns
    -------
    dict
        The environment variables that the kernel's own imports added. What the notebooks' imports added is taken back: a
        cold kernel's notebook starts without it.
    """
    before = {*os.environ}
    if sys.path and sys.path[0] in ("", str(Path.cwd())):  # `-m` puts the folder here; a kernel puts its own
        del sys.path[0]
    builtins.get_ipython = lambda: SimpleNamespace(kernel=True)  # type: ignore[attr-defined]
    try:
        importlib.import_module("pandas")
    finally:
        del builtins.get_ipython  # type: ignore[attr-defined]
    for name in modules:
        importlib.import_module(name)
    for name in {*os.environ} - before:
        del os.environ[name]
    for name in KERNEL:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is there now stays shared: no collection of a kernel touches it
    return {name: value for name, value in os.environ.items() if name not in before}


def count_threads() -> int:
    """Return how many threads this process has, those of C libraries too."""
    return len([*Path("/proc/self/task").iterdir()])


def become_kernel(order: dict[str, Any], added: dict[str, str]) -> NoReturn:
    """Be the kernel that was ordered, until it is shut down.

    Parameters
    ----------
    order : dict
        `arguments` of ipykernel; `cwd`; `env`, which takes the place of the template's own, or None to keep that.
    added : dict
        As `prepare` returned it: here too the imports were made.
    """
    code = 1
    try:
        if order["env"] is not None:
            os.environ.clear()
            os.environ.update({**added, **order["env"]})
            time.tzset()
        os.environ["JPY_PARENT_PID"] = os.environ.get("JPY_PARENT_PID") or str(os.getppid())
        os.chdir(order["cwd"])
        random.seed()
        numpy: Any = importlib.import_module("numpy")
        numpy.random.seed()
        app = importlib.import_module("ipykernel.kernelapp").IPKernelApp
        sys.argv = [str(find_spec("ipykernel_launcher").origin), *order["arguments"]]  # type: ignore[union-attr]
        kernel = app.instance(parent_handle=int(os.environ["JPY_PARENT_PID"]))
        kernel.initialize(order["arguments"])
        kernel.start()
        code = 0
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 0
    except BaseException:  # noqa: BLE001 - the last frame of a process: nobody else can say it
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # what the template registered to run at its end is not the kernel's


def serve(control: socket.socket, added: dict[str, str]) -> None:
    """Fork a kernel for every order until the other end is closed; then end, and with it every kernel."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt at the terminal is for who ordered
    while message := control.recv(LARGEST):
        while _reap():
            pass
        if (threads := count_threads()) != 1:
            control.send(json.dumps({"refused": threads}).encode())
            continue
        pid = os.fork()
        if pid == 0:
            control.close()
            _stand_alone()
            become_kernel(json.loads(message), added)
        watch = os.pidfd_open(pid)
        socket.send_fds(control, [json.dumps({"pid": pid}).encode()], [watch])
        os.close(watch)
    while _reap():
        pass


def _stand_alone() -> None:
    """Be a process of its own group that dies with the template and hears signals again."""
    import ctypes

    os.setsid()
    die_with_parent = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None, use_errno=True).prctl(die_with_parent, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(1)  # the template was gone before it could be asked to take us along
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _reap() -> bool:
    """Let one kernel go that has ended; whether there was one. Until then its number belongs to nobody else."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def main(arguments: list[str]) -> None:
    """`template MODULES [SOCKET]`: modules by comma; the number of an open socket to serve on."""
    added = prepare([name for name in arguments[0].split(",") if name])
    if len(arguments) > 1:
        control = socket.socket(fileno=int(arguments[1]))
        control.send(json.dumps({"pid": os.getpid()}).encode())
        serve(control, added)
    elif order := sys.stdin.buffer.readline():
        become_kernel(json.loads(order), added)


if __name__ == "__main__":
    main(sys.argv[1:])
