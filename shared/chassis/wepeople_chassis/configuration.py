"""`python -m wepeople_chassis.configuration`: docs/configuration.md, made from the settings classes of all members."""

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from wepeople_chassis.archive_settings import ArchiveSettings
from wepeople_chassis.postgres_settings import PostgresSettings
from wepeople_chassis.settings import ServiceSettings
from wepeople_chassis.settings_check import example_of, is_secret, known_settings, meaning_of, variable_of

SHARED: dict[type[BaseSettings], str] = {
    ServiceSettings: "All services, and `wepeople provision`",
    PostgresSettings: "Auth, quota and projector: the database",
    ArchiveSettings: "Quota, projector, archiver and `wepeople` commands: the archive",
}
TITLES = {
    "gateway": "Gateway",
    "auth": "Auth",
    "quota": "Quota",
    "projector": "Projector",
    "archiver": "Archiver",
    "provision": "`wepeople provision`",
    "commands": "Other `wepeople` commands",
}
KINDS = {
    "str": "text",
    "SecretStr": "text",
    "int": "whole number",
    "float": "number",
    "Path": "path",
    "bool": "true or false",
}
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}

_HEAD = """\
# Configuration

<!-- Made by `make specification` from the settings classes; change those. -->

Everything is an environment variable, or a file in the directory `WEPEOPLE_SECRETS_DIR` with the variable's name in
lower case (`/run/secrets/wepeople_postgres_dsn`); the environment goes first, and what is empty is not there. Nothing
is ever an argument, which every process of the machine could read.

Each process checks all of it at its start, and ends with code 2 and a line on each variable that is missing, wrong or
not known: a typo is an error, and the nearest known name is said. To check without starting:

```sh
python -m wepeople_gateway --check-config     # also wepeople_auth, …_quota, …_projector, …_archiver
wepeople provision --check-config
```

It prints `ok`, or for each variable what was found, what it means and an example; the value of a secret is never shown.
Variables of another service are left alone where that service is installed too, and are unknown in an image that has
only one. In Kubernetes set `enableServiceLinks: false`: a Service called `wepeople-…` would add variables of its own.

Traces are switched on by OpenTelemetry's own variables, `OTEL_EXPORTER_OTLP_ENDPOINT` above all
([observability](observability.md)); those of `docker compose` itself are in [compose](compose.md).
"""


def document() -> str:
    """The whole page: first what several have in common, then of each what is its own."""
    parts = [_HEAD]
    for shared, title in SHARED.items():
        parts += [f"## {title}\n", _table(shared, _own(shared))]
    classes = known_settings()
    for name, title in TITLES.items():
        own = _own(classes[name])
        parts += [f"## {title}\n", _table(classes[name], own) if own else "Nothing beside these.\n"]
    return "\n".join(parts)


def _own(cls: type[BaseSettings]) -> list[str]:
    """The fields that no other class has whose settings are shared."""
    inherited = {
        name for shared in SHARED if shared is not cls and issubclass(cls, shared) for name in shared.model_fields
    }
    return [name for name in cls.model_fields if name not in inherited]


def _table(cls: type[BaseSettings], fields: list[str]) -> str:
    lines = ["| variable | type | default | meaning | secret | example |", "|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(_line(name, cls.model_fields[name]) for name in fields)]) + "\n"


def _line(name: str, field: FieldInfo) -> str:
    secret = "yes" if is_secret(field) else ""
    cells = (
        f"`{variable_of(name)}`",
        _kind(field),
        _default(field),
        meaning_of(field),
        secret,
        f"`{example_of(field)}`",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _kind(field: FieldInfo) -> str:
    kind = " or ".join(KINDS.get(name, name) for name in _types(field.annotation))
    return " ".join([kind, *_bounds(field)])


def _types(annotation: Any) -> list[str]:
    if get_origin(annotation) in (Union, UnionType):
        return [name for part in get_args(annotation) if part is not NoneType for name in _types(part)]
    return [getattr(annotation, "__name__", str(annotation))]


def _bounds(field: FieldInfo) -> Iterator[str]:
    for part in field.metadata:
        for name, sign in SIGNS.items():
            if (value := getattr(part, name, None)) is not None:
                yield f"{sign} {value}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if isinstance(value, bool):
        value = str(value).lower()
    return "" if value is None else f"`{value}`"


if __name__ == "__main__":
    print(document(), end="")
