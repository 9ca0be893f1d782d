"""Which version of which projection a command is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from wepeople_projections.commands.load import Loaded, NoFileError, load_file, load_source
from wepeople_projections.definition.naming import SCRATCH, split_version
from wepeople_projections.errors import ProjectionError
from wepeople_projections.postgres.about import About, read_about, schemas
from wepeople_projections.postgres.ddl import tables_sha256


class TargetError(ProjectionError):
    """There is no such version, or it does not say which."""


@dataclass(frozen=True, slots=True)
class Target:
    """One version, and where it is."""

    schema: str
    about: About

    @property
    def serving(self) -> bool:
        """Whether readers see it."""
        return self.about.serving_since is not None


async def all_targets(connection: AsyncConnection[Any], name: str | None = None) -> list[Target]:
    """Every version of every projection that the role may see, or of one; by name and version."""
    wanted, version = split_version(name) if name else (None, None)
    found = [
        Target(schema, await read_about(connection, schema))
        for schema in await schemas(connection)
        if not schema.endswith(SCRATCH) and wanted in (None, split_version(schema)[0])
    ]
    found = [target for target in found if version in (None, target.about.version)]
    if name and not found:
        raise TargetError(f"There is no projection {name}. `wepeople projection list` shows what there is.")
    return sorted(found, key=lambda target: (target.about.name, target.about.version))


async def find_target(connection: AsyncConnection[Any], name: str, version: int | None) -> Target:
    """The version that is meant; `TargetError` when there is none, or several and it is not said which."""
    return choose(await all_targets(connection, name), name, version)


def choose(found: Sequence[Target], name: str, version: int | None) -> Target:
    """One of the versions of a projection that were found."""
    base, named = split_version(name)
    if version is not None and named is not None and version != named:
        raise TargetError(f"{name} is version {named}, but you also said {version}. Say it once.")
    wanted = named if version is None else version
    matching = [target for target in found if wanted in (None, target.about.version)]
    if len(matching) == 1:
        return matching[0]
    versions = ", ".join(f"{target.schema}{' (serving)' if target.serving else ''}" for target in found)
    if not matching:
        raise TargetError(f"There is no version {wanted} of {base}. There are: {versions}.")
    raise TargetError(f"{base} has several versions. Say which: {versions}.")


def busy(target: Target) -> TargetError:
    """What is said to somebody who comes second."""
    return TargetError(f"Somebody else is verifying, rebuilding or promoting {target.schema}. Try again later.")


def code_of(target: Target, file: str | None) -> Loaded:
    """The class that a version is built by; `TargetError` when it is of another version now, or has other tables."""
    try:
        loaded = load_file(file) if file else load_source(target.about.source)
    except NoFileError as error:
        if file:
            raise
        raise TargetError(
            f"The code of {target.schema} was {target.about.source}, and is not there. Say by --file where it is."
        ) from error
    definition, about = loaded.definition, target.about
    if (definition.name, definition.version) != (about.name, about.version):
        raise TargetError(
            f"{loaded.source} is {definition.schema} now, not {target.schema}. If you have a copy of what it was then, "
            "name it by --file."
        )
    if tables_sha256(definition) != about.tables_sha256:
        raise TargetError(
            f"The tables in {loaded.source} are not those that {target.schema} was made with. "
            f"Give the class version = {about.version + 1} and run it, or put the old tables back."
        )
    return loaded
