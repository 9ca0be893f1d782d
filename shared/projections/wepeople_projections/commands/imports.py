"""Which files that lie beside a file it imports, wherever in it, and what those import in turn: read, not run."""

import ast
from collections.abc import Iterator
from pathlib import Path


def imported_from(folder: Path, file: Path) -> set[Path]:
    """The files in a folder or below that a file needs, itself among them; an import within a function counts too.

    What is imported by a name that is put together at run time cannot be seen.
    """
    found: set[Path] = set()
    left = {file}
    while left:
        found |= left
        left = {needed for one in left for needed in _imports(folder, one)} - found
    return found


def _imports(folder: Path, file: Path) -> Iterator[Path]:
    package = file.parent.relative_to(folder).parts
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        # Whoever imports it is told; its text counts all the same.
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(folder, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = [*above, *(node.module.split(".") if node.module else ())]
            yield from _files(folder, module)
            for alias in node.names:
                yield from _files(folder, [*module, alias.name])


def _files(folder: Path, module: list[str]) -> Iterator[Path]:
    """The file of a module, and those of the packages that it is in, as far as they are there."""
    for length in range(1, len(module) + 1):
        place = folder.joinpath(*module[:length])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                yield file
