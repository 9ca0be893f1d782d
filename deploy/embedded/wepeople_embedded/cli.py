"""`wepeople up`."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from wepeople_chassis.logging import configure_logging
from wepeople_chassis.operator import fail, stdout
from wepeople_chassis.rpc import Refused, Unavailable
from wepeople_contracts.subjects import PARTITIONS
from wepeople_embedded.errors import EmbeddedError
from wepeople_embedded.state import DEFAULT_STATE_DIR
from wepeople_embedded.up import run
from wepeople_provision.errors import ProvisionError


def up(
    state_dir: Annotated[
        Path | None, typer.Option(help="Where data, logs and passwords are kept (.wepeople).", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(help="The gateway's port.", min=1, max=65535)] = 8080,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Use a temporary directory, removed at the end.")
    ] = False,
    streams: Annotated[
        int | None,
        typer.Option(envvar="WEPEOPLE_STREAMS", help="Streams of a new directory: 1, 2, 4, 8 or 16 (1)."),
    ] = None,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Create no demo org, app and key.")] = False,
) -> None:
    """Run everything on this machine: NATS, Postgres and the services. Ctrl-C stops it; the data stays.

    The archiver runs too where WEPEOPLE_ARCHIVE_URL says where the archive is.
    """
    if ephemeral and state_dir is not None:
        fail("Give --state-dir or --ephemeral, not both.")
    if streams is not None and (streams < 1 or PARTITIONS % streams):
        fail("WEPEOPLE_STREAMS (--streams) is 1, 2, 4, 8 or 16.")
    configure_logging("up", "ERROR")
    path = Path(tempfile.mkdtemp(prefix="wepeople-")) if ephemeral else state_dir or DEFAULT_STATE_DIR
    try:
        asyncio.run(run(path, port=port, with_demo=not no_demo, console=stdout, streams=streams))
    except (EmbeddedError, ProvisionError, Refused, Unavailable) as error:
        fail(str(error), 1)
    finally:
        if ephemeral:
            shutil.rmtree(path)
