"""Papermill's engine on our kernels. Papermill loads it by its entry point while it is itself imported; nobody else may."""

from __future__ import annotations

from typing import Any

from papermill.engines import NBClientEngine

from bgtk_lib.engine.warm.kernels import KernelManager


class Engine(NBClientEngine):  # type: ignore[misc]  # Papermill has no types
    """Papermill's own engine on such a kernel, which is ended at once when the last cell is done: `--engine bgtk`."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Run the cells."""
        kwargs = {"kernel_manager_class": KernelManager, "shutdown_kernel": "immediate", **kwargs}
        return super().execute_managed_notebook(nb_man, kernel_name, **kwargs)
