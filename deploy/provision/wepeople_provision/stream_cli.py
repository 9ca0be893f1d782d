"""`wepeople stream …`, by the provisioner's credentials."""

import asyncio
import json
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from wepeople_chassis.logging import configure_logging
from wepeople_chassis.operator import fail
from wepeople_chassis.settings import ServiceSettings, load_settings
from wepeople_chassis.stream import StreamError
from wepeople_provision.errors import ProvisionError
from wepeople_provision.provision import nats_at
from wepeople_provision.settings import ProvisionSettings, read_passwords
from wepeople_provision.stream_adopt import adopt as adopt_streams
from wepeople_provision.stream_copy import backup as backup_streams
from wepeople_provision.stream_copy import restore as restore_streams
from wepeople_provision.stream_kept import backup_and_keep
from wepeople_provision.stream_split import carry_out, splits_due
from wepeople_provision.stream_tidy import end_asking, leftovers
from wepeople_provision.stream_tidy import tidy as tidy_up

stream = typer.Typer(no_args_is_help=True, help="The streams themselves: splitting them, and copies of them.")

DirectoryArgument = Annotated[Path, typer.Argument(metavar="DIRECTORY")]


@stream.command()
def backup(
    directory: DirectoryArgument,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            help="For a schedule: copy into a directory in DIRECTORY named by the time, and keep so many, the newest.",
            min=1,
        ),
    ] = None,
) -> None:
    """Copy each stream into an empty directory, beside running services: DIRECTORY/<stream>/, which NATS' own command
    line reads too.
    """

    async def work() -> str:
        async with nats_at(load_settings(ServiceSettings).nats, None) as connection:
            with _writing(directory):
                if keep is None:
                    return _lines(f"copied to {directory}:", await backup_streams(connection, directory))
                kept = await backup_and_keep(connection, directory, keep)
        removed = [f"removed {name}" for name in kept.removed]
        return _lines(f"copied to {kept.directory}:", [*kept.extents, *removed])

    _run(work())


@stream.command()
def restore(
    directory: DirectoryArgument,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put the copies in the place of streams of which they have all messages.")
    ] = False,
) -> None:
    """Make the streams from their copies. Then: `wepeople provision`, and `wepeople stream adopt`."""

    async def work() -> str:
        async with nats_at(load_settings(ServiceSettings).nats, None) as connection:
            restored = await restore_streams(connection, directory, replace=replace)
        return _lines(f"restored from {directory}:", [*restored, "Next: wepeople provision, wepeople stream adopt"])

    _run(work())


@stream.command()
def adopt() -> None:
    """After a restore: let the services read on in the streams, where those hold what they have applied."""

    async def work() -> str:
        settings = load_settings(ProvisionSettings)
        passwords = read_passwords(settings.role_passwords_file)
        async with nats_at(settings.nats) as nats:
            return "\n".join(await adopt_streams(nats, settings.admin_dsn.get_secret_value(), passwords))

    _run(work())


@stream.command()
def split(
    name: Annotated[str | None, typer.Argument(metavar="[STREAM]", help="Which one, where there are several.")] = None,
    into: Annotated[int | None, typer.Option("--into", help="Split until there are so many.", min=1, max=16)] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be done, and do nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Give the upper half of a stream's partitions to a new stream, with their whole history, while requests come in.

    What was interrupted is finished by running it again, and nothing else is done then.
    """
    if name is not None and into is not None:
        fail("Name a stream or give --into, not both.")

    async def work() -> str:
        async with nats_at(load_settings(ServiceSettings).nats, None) as connection:
            splits = await splits_due(connection, name, into)
            if plan:
                return _as_json([asdict(one) for one in splits]) if as_json else "\n".join(map(str, splits))
            done = [await carry_out(connection, one, _quiet if as_json else _say) for one in splits]
        return _as_json([asdict(one) for one in done]) if as_json else "\n".join(map(str, done))

    _run(work())


@stream.command()
def tidy(
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be purged, and purge nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """After a split: purge what left the old stream, once the new one is seen to hold the same, message by message."""

    async def work() -> str:
        async with nats_at(load_settings(ServiceSettings).nats, None) as connection:
            left = await leftovers(connection)
            for one in [] if plan else left:
                await tidy_up(connection, one)
                if not as_json:
                    _say(f"{one}: the same there, purged here")
            if not plan:
                await end_asking(connection)
        if as_json:
            return _as_json([asdict(one) for one in left])
        return "\n".join(map(str, left)) if plan and left else "" if left else "Nothing to tidy up."

    _run(work())


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """What goes wrong with the files is not said of NATS."""
    try:
        yield
    except (TimeoutError, ConnectionError):
        raise
    except OSError as error:
        raise ProvisionError(f"The copy in {directory} could not be written: {error.strerror}.") from error


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _quiet(_: str) -> None:
    return


def _as_json(found: list[dict[str, Any]]) -> str:
    return json.dumps(found, indent=2, default=sorted)


def _lines(title: str, lines: Sequence[object]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _run(work: Coroutine[Any, Any, str]) -> None:
    configure_logging("stream", "ERROR")
    try:
        if said := asyncio.run(work):
            typer.echo(said)
    except (ProvisionError, StreamError) as error:
        fail(str(error), 1)
