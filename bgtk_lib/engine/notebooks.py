"""The notebooks: where they lie, and which modules they import."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parent.parent


def notebooks_folder() -> Path:
    """Return where the notebooks lie: beside the library in a checkout, inside it when installed."""
    beside = LIBRARY.parent / "notebooks"
    return beside if beside.is_dir() else LIBRARY / "notebooks"


@cache
def list_modules() -> tuple[str, ...]:
    """Return every module that some notebook imports, in the order of their names."""
    found: set[str] = set()
    for path in notebooks_folder().glob("*.ipynb"):
        found |= {*list_imports(ast.parse(read_code(path)))}
    return tuple(sorted(found))


def read_code(path: Path) -> str:
    """Return the code of a module, or of a notebook's cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]  # not nbformat, which takes longer to import than all notebooks to read
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def list_imports(tree: ast.AST) -> Iterator[str]:
    """Give the modules that code imports, wherever the import stands; of a package's names those that are modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (
                f"{node.module}.{alias.name}" for alias in node.names if find_module(f"{node.module}.{alias.name}")
            )


def find_module(name: str) -> Path | None:
    """Return the file of a module of this library; None where it is none, or not of this library."""
    top, *rest = name.split(".")
    place = LIBRARY.joinpath(*rest)
    files = (place.with_suffix(".py"), place / "__init__.py")
    return next((file for file in files if file.is_file()), None) if top == LIBRARY.name else None
