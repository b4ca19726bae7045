"""Threads of ours over rows, and one thread a product in BLAS: the two kinds together are up to forty times slower."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def share_rows(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads while BLAS is held to one."""
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
        yield pool
