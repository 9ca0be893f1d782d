"""`wepeople secrets generate`."""

from pathlib import Path
from typing import Annotated

import typer

from wepeople_chassis.operator import fail
from wepeople_provision.errors import ProvisionError
from wepeople_provision.secret_files import generate as generate_files

secrets = typer.Typer(no_args_is_help=True, help="The secrets of a deployment: keys, certificates, passwords.")

_FOR_CONTAINERS = 0o644


@secrets.callback()
def _group() -> None:
    """A group also while it has one command."""


@secrets.command()
def generate(
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY")],
    host: Annotated[
        list[str] | None, typer.Option(help="A name of the gateway that its certificate has first; may be repeated.")
    ] = None,
    replica: Annotated[
        bool,
        typer.Option(
            "--replica",
            help="Also what a standby of Postgres needs, and addresses that find whichever of the two takes writes. "
            "Said once, it stays so.",
        ),
    ] = False,
    for_containers: Annotated[
        bool,
        typer.Option(
            "--for-containers",
            help="Let other users read the files, where a container of another user mounts one; the directory itself "
            "stays closed to them.",
        ),
    ] = False,
) -> None:
    """Make all secrets of a deployment in a directory. Run again, it keeps seeds, passwords and certificates that are
    there, makes what is missing, and writes anew what holds them too (addresses, operator.json, users.conf): to renew a
    secret, take its own file away first (of a certificate, the .crt; of a role's password, its line in
    role_passwords.json).
    """
    try:
        made = generate_files(
            directory,
            gateway_hosts=tuple(host or ()),
            file_mode=_FOR_CONTAINERS if for_containers else 0o600,
            replica=replica,
        )
    except ProvisionError as error:
        fail(str(error), 1)
    typer.echo("\n".join(f"made {name}" for name in made) or "nothing was missing")
