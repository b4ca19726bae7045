"""Beyond one machine: the same batch on the workers of a `dask.distributed` scheduler."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

from bgtk_lib.errors import ParameterError
from bgtk_lib.words import say

PATIENCE = 10  # seconds in which a scheduler must answer


def connect(address: str) -> Executor:
    """Return an executor whose workers are those of a scheduler.

    Parameters
    ----------
    address : str
        ``tcp://host:port``. Its workers must see the workspace under the same path and have the same library.

    Raises
    ------
    ParameterError
        If `distributed` is not installed, or nobody answers there.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ParameterError(say("batch.no_cluster")) from error
    try:
        client: Any = Client(address, timeout=PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise ParameterError(say("batch.no_scheduler", address=address[:60])) from error
    executor: Executor = client.get_executor(pure=False)
    return executor
