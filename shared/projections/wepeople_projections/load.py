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
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from wepeople_projections.errors import ProjectionError
from wepeople_projections.projection import Definition, Projection, define

BUILT_IN = "wepeople.projections"
"""The entry-point group by which members bring projections; the entry's name is the projection's."""


class LoadError(ProjectionError):
    """There is no such projection to be had; the text says what to do."""


class NoFileError(LoadError):
    """There is no file where the class should be."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A projection, where it comes from, and the SHA-256 of the code it is written in (not of what that imports)."""

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
    projection = _chosen(_import_file(path.resolve()), class_name, path)
    return _loaded(projection, f"{path.resolve()}:{projection.__name__}", [path])


def load_source(source: str) -> Loaded:
    """The projection that `about.source` names; `LoadError` when it is not there any more."""
    if source not in built_in_sources().values():
        return load_file(source)
    module_name, _, class_name = source.partition(":")
    projection: type[Projection] = getattr(importlib.import_module(module_name), class_name)
    files = {inspect.getsourcefile(owner) for part in (projection, *projection.parts) for owner in _own_classes(part)}
    return _loaded(projection, source, sorted(Path(file) for file in files if file))


def _loaded(projection: type[Projection], source: str, files: Iterable[Path]) -> Loaded:
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return Loaded(define(projection), source, digest.hexdigest())


def _own_classes(projection: type[Projection]) -> Iterable[type[Any]]:
    return [*(owner for owner in projection.__mro__ if issubclass(owner, Projection)), *projection.tables]


def _split(spec: str) -> tuple[Path, str | None]:
    path, colon, class_name = spec.rpartition(":")
    return (Path(path), class_name) if colon and class_name.isidentifier() else (Path(spec), None)


def _import_file(path: Path) -> ModuleType:
    # Not under its own name, which may be that of a module; known to `sys.modules`, where annotations are looked up.
    name = f"projection_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
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
