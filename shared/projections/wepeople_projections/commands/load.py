"""Finds a projection's class: in a file of an analyst, or among those that installed members bring.

A source, as `about` keeps it, is `/path/to/deploys.py:Deploys` or, for a built-in, `package.module:Class`.
"""

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import ModuleType
from typing import Any

from wepeople_projections.commands.imports import imported_from
from wepeople_projections.definition.projection import Definition, Projection, define
from wepeople_projections.errors import ProjectionError

BUILT_IN = "wepeople.projections"
"""The entry-point group by which members bring projections; the entry's name is the projection's."""
_FILE = "projection_of_file_"
"""How modules that were made of projections' files are called."""
_MACHINERY = ("wepeople_contracts", "wepeople_projections")
_DECIDES_NOTHING = ("__pycache__", "commands", "kit", "replay", "skeleton", "versions")


class LoadError(ProjectionError):
    """There is no such projection to be had; the text says what to do."""


class NoFileError(LoadError):
    """There is no file where the class should be."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A projection, where it comes from, and the SHA-256 of all the code that decides what it makes of the stream."""

    definition: Definition
    source: str
    code_sha256: str


def built_in_sources() -> Mapping[str, str]:
    """The built-in projections' sources by name."""
    return {entry.name: entry.value for entry in entry_points(group=BUILT_IN)}


def load_file(spec: str) -> Loaded:
    """The projection of `FILE[:Class]`; `LoadError` or `DefinitionError` say what is wrong with it."""
    path, class_name = _split(spec)
    if not path.is_file():
        raise NoFileError(f"There is no file {path}. `wepeople projection new NAME` writes one to begin with.")
    if path.suffix != ".py":
        raise LoadError(f"{path} is not a Python file: its name has to end in .py.")
    resolved = path.resolve()
    projection = _chosen(_import_file(resolved), class_name, path)
    return _loaded(projection, f"{resolved}:{projection.__name__}", imported_from(resolved.parent, resolved))


def load_source(source: str) -> Loaded:
    """The projection that `about.source` names; `LoadError` when it is not there any more."""
    if source not in built_in_sources().values():
        return load_file(source)
    module_name, _, class_name = source.partition(":")
    projection: type[Projection] = getattr(importlib.import_module(module_name), class_name)
    folders = {
        Path(inspect.getfile(owner)).parent for part in (projection, *projection.parts) for owner in _own_classes(part)
    }
    return _loaded(projection, source, [file for folder in folders for file in folder.glob("*.py")])


def _loaded(projection: type[Projection], source: str, code: Iterable[Path]) -> Loaded:
    digest = hashlib.sha256(machinery_sha256().encode())
    for content in sorted(hashlib.sha256(file.read_bytes()).digest() for file in set(code)):
        digest.update(content)
    return Loaded(define(projection), source, digest.hexdigest())


@lru_cache(maxsize=1)
def machinery_sha256() -> str:
    """The SHA-256 of the installed code that folds and writes, and of the contracts; not of commands and the kit."""
    digest = hashlib.sha256()
    for package in _MACHINERY:
        for file in _sources(files(package)):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _sources(folder: Traversable) -> Iterable[Traversable]:
    for found in sorted(folder.iterdir(), key=lambda found: found.name):
        if found.is_dir() and found.name not in _DECIDES_NOTHING:
            yield from _sources(found)
        elif found.name.endswith((".py", ".sql")):
            yield found


def _own_classes(projection: type[Projection]) -> Iterable[type[Any]]:
    bases = (owner for owner in projection.__mro__ if issubclass(owner, Projection) and owner is not Projection)
    return [*bases, *projection.tables]


def _split(spec: str) -> tuple[Path, str | None]:
    path, colon, class_name = spec.rpartition(":")
    return (Path(path), class_name) if colon and class_name.isidentifier() else (Path(spec), None)


def _import_file(path: Path) -> ModuleType:
    # Not under its own name, which may be that of a module; known to `sys.modules`, where annotations are looked up.
    name = f"{_FILE}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None, "the name ends in .py"
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        found.loader.exec_module(module)
    except ProjectionError:
        raise
    except Exception as error:
        raise LoadError(f"{path} cannot be loaded: {_where(error, path)}") from error
    return module


def _where(error: Exception, path: Path) -> str:
    line = error.lineno if isinstance(error, SyntaxError) else None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(path):
            line = frame.lineno
    text = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    return f"line {line}: {text}" if line else text


def _chosen(module: ModuleType, class_name: str | None, path: Path) -> type[Projection]:
    classes = {
        name: member
        for name, member in vars(module).items()
        if isinstance(member, type) and issubclass(member, Projection) and member.__module__ == module.__name__
    }
    if class_name is not None:
        if class_name not in classes:
            raise LoadError(f"{path} has no projection {class_name}. It has: {', '.join(classes) or 'none'}.")
        return classes[class_name]
    parts = {part for member in classes.values() for part in member.parts}
    whole = {name: member for name, member in classes.items() if member not in parts}
    if not whole:
        raise LoadError(f"{path} has no projection: a class that inherits from wepeople_projections.Projection.")
    if len(whole) > 1:
        choices = " or ".join(f"{path}:{name}" for name in whole)
        raise LoadError(f"{path} has several projections. Say which: {choices}.")
    return next(iter(whole.values()))
