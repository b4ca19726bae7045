"""Where kernels come from: forked from a template, started ahead, or cold.

``warm`` forks a clean kernel from a process that has done the imports: a tenth of a second. ``spare`` keeps such
processes ready and uses each once: for systems that cannot fork. ``cold`` starts Python anew. The pages are the same.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.launcher import launch_kernel
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import CaselessStrEnum, default

from bgtk_lib.engine.notebooks import list_modules
from bgtk_lib.errors import StageError
from bgtk_lib.words import say
from bgtk_lib.workspace.typed import require_known

LOG = logging.getLogger("bgtk_lib")
WAYS = ("warm", "spare", "cold")
CHOICE = "BGTK_KERNELS"  # the environment variable that chooses one of them
ENGINE = "bgtk"  # its name for Papermill
TEMPLATE = "bgtk_lib.engine.warm.template"
AS_KERNELS = ("-Xfrozen_modules=off",)  # which ipykernel asks for; its debugger complains otherwise
SPARES = 2
PATIENCE = 60.0  # seconds until a template must have done its imports
# For a template's imports. One of Arrow's allocators would start a thread, arithmetic libraries a pool of them; the other
# keeps 50 MB a kernel that are not in use.
STILL = {
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # as ipykernel sets it before a notebook's imports
}


class Forked:
    """A kernel that the template forked. It is no child of ours: a file descriptor tells when it has ended."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, watch: int) -> None:
        self.pid, self._watch = pid, watch
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return None while it runs, then 0: how it ended only its parent knows."""
        if self.returncode is None and self._has_ended(0):
            self.returncode = 0
            os.close(self._watch)
        return self.returncode

    def _has_ended(self, milliseconds: float | None) -> bool:
        one = select.poll()
        one.register(self._watch, select.POLLIN)
        return bool(one.poll(milliseconds))

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        if self.returncode is None and not self._has_ended(None if timeout is None else 1000 * timeout):
            raise subprocess.TimeoutExpired("kernel", timeout or 0)
        return self.poll() or 0

    def send_signal(self, sig: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._watch, sig)  # never to another that got its number

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


class Template:
    """A running template, from which kernels are forked; its imports go on while its owner does something else.

    Parameters
    ----------
    modules : sequence of str
        What it imports before the first kernel.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, *AS_KERNELS, "-m", TEMPLATE, ",".join(modules), str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env={**os.environ, **STILL}
            )
        self._control.settimeout(PATIENCE)
        self._ready = False

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def start(self, arguments: Sequence[str], *, cwd: str, env: dict[str, str]) -> Forked:
        """Return a kernel forked for these arguments of ipykernel.

        Raises
        ------
        StageError
            If the template did not come up, has ended, or cannot fork.
        """
        order = {"arguments": [*arguments], "cwd": cwd, "env": env}
        with self._lock:
            self._wait_until_ready()
            try:
                self._control.send(json.dumps(order).encode())
            except OSError as error:
                raise StageError(say("warm.gone")) from error
            answer, watch = self._answer()
        if "refused" in answer:
            raise StageError(say("warm.threads", n=answer["refused"]))
        return Forked(answer["pid"], watch[0])

    def _wait_until_ready(self) -> None:
        if not self._ready:
            try:
                self._answer()
            except StageError:
                self.close()  # the next kernel need not wait as long
                raise
            self._ready = True

    def _answer(self) -> tuple[dict[str, Any], list[int]]:
        try:
            message, watch, _, _ = socket.recv_fds(self._control, 1 << 16, 1)
        except OSError as error:
            raise StageError(say("warm.gone")) from error
        if not message:
            raise StageError(say("warm.gone"))
        return json.loads(message), watch

    def close(self) -> None:
        """End it, and every kernel that still runs."""
        self._control.close()  # at which it ends by itself, once it is done with its imports
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Spares:
    """Processes that have done the imports and wait for their order; each becomes one kernel, and another is started."""

    def __init__(self, modules: Sequence[str], *, n: int = SPARES) -> None:
        self._modules = modules
        self._lock = threading.Lock()
        self._waiting = deque(self._begin() for _ in range(n))

    def _begin(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, *AS_KERNELS, "-m", TEMPLATE, ",".join(self._modules)]
        process: subprocess.Popen[bytes] = launch_kernel(
            command, stdin=subprocess.PIPE, env={**os.environ, **STILL}, independent=False
        )
        return process

    def start(self, arguments: Sequence[str], *, cwd: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
        """Return the one that waited longest, as the kernel for these arguments of ipykernel.

        Its environment is that of its own start: on Windows it holds handles that no other process knows.
        """
        del env
        with self._lock:
            process = self._waiting.popleft()
            self._waiting.append(self._begin())
        order = {"arguments": [*arguments], "cwd": cwd, "env": None}
        if process.stdin is None:
            raise StageError(say("warm.gone"))
        try:
            with process.stdin as told:
                told.write(json.dumps(order).encode() + b"\n")
        except OSError as error:
            process.wait()
            raise StageError(say("warm.gone")) from error
        return process

    def close(self) -> None:
        """End those that wait."""
        for process in self._waiting:
            process.kill()
            process.communicate()


def choose_way() -> str:
    """Return where kernels come from: as $BGTK_KERNELS says, else forked where the system can, else spare ones.

    Raises
    ------
    ParameterError
        If $BGTK_KERNELS is another word.
    """
    asked = os.environ.get(CHOICE)
    if asked:
        return require_known(asked, WAYS, what=f"${CHOICE}")
    return "warm" if sys.platform == "linux" and hasattr(os, "pidfd_open") else "spare"


_sources: dict[tuple[str, int], Template | Spares] = {}
_opening = threading.Lock()  # two reports may want the first kernel at once


def open_source() -> Template | Spares | None:
    """Return what this process takes its kernels from, None for cold ones; it starts at the first call and ends with us.

    Who calls it early has its imports done by the time of the first kernel.
    """
    way = choose_way()
    if way == "cold":
        return None
    mine = (way, os.getpid())  # a forked process has its own
    with _opening:
        if mine not in _sources:
            _sources[mine] = Template(list_modules()) if way == "warm" else Spares(list_modules())
            atexit.register(_sources[mine].close)
        return _sources[mine]


class Provisioner(LocalProvisioner):
    """Takes a kernel's process from the template or from the spares; everything else is jupyter-client's.

    Where that fails a cold kernel is started, and a line says why: slower, never wrong.
    """

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the kernel."""
        source, launcher = open_source(), "ipykernel_launcher"
        if source is None or launcher not in cmd:
            return await super().launch_kernel(cmd, **kwargs)
        cwd = str(kwargs.get("cwd") or Path.cwd())
        try:
            process = source.start(cmd[cmd.index(launcher) + 1 :], cwd=cwd, env=kwargs["env"])
        except StageError as error:
            LOG.warning("%s / %s", error.text.id, error.text.en)
            return await super().launch_kernel(cmd, **kwargs)
        self.process = process  # type: ignore[assignment]  # of a Popen it needs what `Forked` has
        self.pid = process.pid
        self.pgid = self.pid if os.name == "posix" else None  # each leads a group of its own
        self.cwd = cwd
        return self.connection_info

    async def wait(self) -> int | None:
        """Wait until the process has ended; looked at more often than jupyter-client does, which costs 0.1 s a report."""
        while await self.poll() is None:
            await asyncio.sleep(0.005)
        return await super().wait()


class Client(AsyncKernelClient):
    """jupyter-client's, done waiting once the kernel has answered.

    The library's own then listens 0.2 s more, to throw away messages of the start, which nbclient passes over anyway.
    """

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Wait until the kernel answers, on the channel of its outputs too.

        Raises
        ------
        RuntimeError
            If it died, or did not answer in so many seconds; jupyter-client raises the same.
        """
        end = time.monotonic() + timeout if timeout else float("inf")
        while time.monotonic() < end:
            self.kernel_info()
            with suppress(Empty):
                answer = await self.shell_channel.get_msg(timeout=1)
                if answer["msg_type"] == "kernel_info_reply":
                    await self.iopub_channel.get_msg(timeout=0.2)
                    self._handle_kernel_info_reply(answer)
                    return
            if not await self.is_alive():
                raise RuntimeError("Kernel died before it answered")
        raise RuntimeError(f"Kernel did not answer in {timeout} seconds")


class KernelManager(AsyncKernelManager):
    """A kernel from `Provisioner`, reached over files and not over TCP ports that two reports could grab at once.

    Windows has no such files; there it stays with ports.
    """

    transport = CaselessStrEnum(["tcp", "ipc"], default_value="tcp" if os.name == "nt" else "ipc", config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.client_factory = Client
        self.kernel_id = str(uuid.uuid4())
        self.provisioner = Provisioner(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)

    @default("connection_file")
    def _own_connection_file(self) -> str:
        return str(Path(tempfile.mkdtemp(prefix="bgtk-")) / "kernel.json")

    def cleanup_connection_file(self) -> None:
        """Remove the connection file and the folder made for it."""
        super().cleanup_connection_file()
        shutil.rmtree(Path(self.connection_file).parent, ignore_errors=True)
