"""What is wrong with the settings, in words that say what to do; the values of secrets are in none of them."""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

GROUP = "wepeople.settings"
PREFIX = "WEPEOPLE_"
_USER_AND_PASSWORD = re.compile(r"(^|//|,)[^/,]*@")


@dataclass(frozen=True, slots=True)
class Problem:
    """A variable that is missing, wrong or unknown; one without a name is about several together."""

    variable: str
    what: str
    found: str = ""
    meaning: str = ""
    example: str = ""

    def __str__(self) -> str:
        parts = (("found", self.found), ("meaning", self.meaning), ("for example", self.example))
        lines = [f"{label}: {text}" for label, text in parts if text]
        return "\n    ".join([f"  {self.variable}: {self.what}" if self.variable else f"  {self.what}", *lines])


def problems_of(cls: type[BaseSettings], secrets_dir: Path | None) -> list[Problem]:
    """Everything that is wrong with what the environment and the directory of secrets say for a settings class."""
    names = _names_given(secrets_dir)
    problems = [_unknown(cls, name, where) for name, where in names.items() if not _is_known(cls, name)]
    try:
        settings = cls(_secrets_dir=secrets_dir)
    except ValidationError as error:
        return problems + [_invalid(cls, names, e["loc"], e["type"], e["msg"]) for e in error.errors()]
    return problems + list(_missing_files(cls, settings, names))


def variable_of(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def is_secret(field: FieldInfo) -> bool:
    """Whether a field's value is shown to nobody."""
    return "SecretStr" in str(field.annotation)


def example_of(field: FieldInfo) -> str:
    """A value that a field takes."""
    return str(field.examples[0] if field.examples else field.default)


def meaning_of(field: FieldInfo) -> str:
    """What a field is for, on one line."""
    return " ".join((field.description or "").split())


def known_settings() -> dict[str, type[BaseSettings]]:
    """The settings classes of all installed members, by the entry points `wepeople.settings`."""
    return {entry.name: entry.load() for entry in entry_points(group=GROUP)}


def _names_given(secrets_dir: Path | None) -> dict[str, str]:
    """The variables under our prefix, and where each comes from; the environment goes before the directory, and what is
    empty in it is not there.
    """
    files = sorted(secrets_dir.iterdir()) if secrets_dir else []
    found = {file.name.upper(): str(file) for file in files if file.name.startswith(PREFIX.lower())}
    return found | {name.upper(): "" for name, value in os.environ.items() if value and name.upper().startswith(PREFIX)}


def _is_known(cls: type[BaseSettings], name: str) -> bool:
    return name in _variables([cls]) or name in _variables(known_settings().values())


def _variables(classes: Iterable[type[BaseSettings]]) -> Sequence[str]:
    return [variable_of(field) for cls in classes for field in cls.model_fields]


def _unknown(cls: type[BaseSettings], name: str, where: str) -> Problem:
    own = difflib.get_close_matches(name, _variables([cls]), n=1, cutoff=0.7)
    others = difflib.get_close_matches(name, _variables(known_settings().values()), n=1, cutoff=0.7)
    nearest = next(iter(own or others), None)
    what = f"there is no such setting{f'; did you mean {nearest}?' if nearest else ''}"
    return Problem(name, what, found=where and f"the file {where}")


def _invalid(
    cls: type[BaseSettings], names: Mapping[str, str], location: tuple[int | str, ...], kind: str, message: str
) -> Problem:
    what = "missing" if kind == "missing" else message.removeprefix("Value error, ")
    field = cls.model_fields.get(str(location[0])) if location else None
    if field is None:
        return Problem("", what)
    variable = variable_of(str(location[0]))
    return Problem(variable, what, _found(field, variable, names), meaning_of(field), example_of(field))


def _found(field: FieldInfo, variable: str, names: Mapping[str, str]) -> str:
    if variable not in names:
        return ""
    where = f"in the file {names[variable]}" if names[variable] else "in the environment"
    if is_secret(field):
        return f"a value {where}, which is not shown"
    file = names[variable]
    value = Path(file).read_text() if file else next(v for k, v in os.environ.items() if k.upper() == variable)
    shown = _USER_AND_PASSWORD.sub(r"\1***@", value.strip())
    return f"{shown!r} {where}"


def _missing_files(cls: type[BaseSettings], settings: BaseSettings, names: Mapping[str, str]) -> Iterator[Problem]:
    for name, field in cls.model_fields.items():
        value: Any = getattr(settings, name)
        if isinstance(value, Path) and not os.access(value, os.R_OK):
            what = "cannot be read" if value.exists() else "there is no such file or directory"
            variable = variable_of(name)
            yield Problem(variable, what, _found(field, variable, names), meaning_of(field), example_of(field))
