"""Threads of ours over rows, and one thread a product in BLAS: the two kinds together are up to forty times slower."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

PINNED_BY = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def share_rows(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads while BLAS is held to one; where it cannot be held, a pool of a single thread."""
    if importlib.util.find_spec("threadpoolctl") is not None:
        limits = importlib.import_module("threadpoolctl").threadpool_limits
        with limits(1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
            yield pool
    else:
        pinned = any(os.environ.get(name) == "1" for name in PINNED_BY)
        with ThreadPoolExecutor(n_threads if pinned else 1) as pool:
            yield pool
