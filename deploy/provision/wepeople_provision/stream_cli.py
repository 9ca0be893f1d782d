"""`wepeople stream backup|restore|adopt`, by the provisioner's credentials."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from wepeople_chassis.logging import configure_logging
from wepeople_chassis.operator import fail
from wepeople_chassis.settings import ServiceSettings, load_settings
from wepeople_provision.errors import ProvisionError
from wepeople_provision.provision import nats_at
from wepeople_provision.settings import ProvisionSettings, read_passwords
from wepeople_provision.stream_adopt import adopt as adopt_stream
from wepeople_provision.stream_copy import backup as backup_stream
from wepeople_provision.stream_copy import restore as restore_stream

stream = typer.Typer(no_args_is_help=True, help="The stream itself: copies of it, and reading on in one.")

DirectoryArgument = Annotated[Path, typer.Argument(metavar="DIRECTORY")]


@stream.command()
def backup(directory: DirectoryArgument) -> None:
    """Copy the stream into an empty directory, beside running services. NATS' own command line reads it too."""

    async def work() -> str:
        async with nats_at(load_settings(ServiceSettings).nats, None) as connection:
            return f"copied to {directory}: {await backup_stream(connection, directory)}"

    _run(work())


@stream.command()
def restore(
    directory: DirectoryArgument,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put the copy in the place of a stream of which it has all messages.")
    ] = False,
) -> None:
    """Make the stream from a copy. Then: `wepeople provision`, and `wepeople stream adopt`."""

    async def work() -> str:
        async with nats_at(load_settings(ServiceSettings).nats, None) as connection:
            restored = await restore_stream(connection, directory, replace=replace)
            return f"restored from {directory}: {restored}. Next: wepeople provision, then wepeople stream adopt"

    _run(work())


@stream.command()
def adopt() -> None:
    """After a restore: let the services read on in the stream, where it holds what they have applied."""

    async def work() -> str:
        settings = load_settings(ProvisionSettings)
        passwords = read_passwords(settings.role_passwords_file)
        async with nats_at(settings.nats) as nats:
            return "\n".join(await adopt_stream(nats, settings.admin_dsn.get_secret_value(), passwords))

    _run(work())


def _run(work: Coroutine[Any, Any, str]) -> None:
    configure_logging("stream", "ERROR")
    try:
        typer.echo(asyncio.run(work))
    except ProvisionError as error:
        fail(str(error), 1)
