"""`wepeople provision`."""

import asyncio
from typing import Annotated

import typer

from wepeople_chassis.logging import configure_logging
from wepeople_chassis.operator import fail
from wepeople_chassis.settings import CHECK_CONFIG, load_settings
from wepeople_provision import provision as provisioner
from wepeople_provision.change import as_json, as_text
from wepeople_provision.errors import ProvisionError
from wepeople_provision.settings import ProvisionSettings, read_passwords
from wepeople_provision.stream_plan import Wishes


def provision(
    plan: Annotated[bool, typer.Option("--plan", help="Print what would change, and change nothing.")] = False,
    as_json_text: Annotated[bool, typer.Option("--json", help="With --plan: print JSON, for scripts.")] = False,
    check_config: Annotated[
        bool, typer.Option(CHECK_CONFIG, help="Say `ok` or what is wrong with the settings, and do nothing.")
    ] = False,
    after_rollout: Annotated[
        bool, typer.Option("--after-rollout", help="No process of the release before is left: also take away its part.")
    ] = False,
) -> None:
    """Make the streams, the database roles and the schemas what the services expect. Safe to run again, and beside
    running services.

    Reads WEPEOPLE_NATS_URL, WEPEOPLE_ADMIN_DSN (a superuser of the database), WEPEOPLE_ROLE_PASSWORDS_FILE (JSON), and
    WEPEOPLE_STREAMS, WEPEOPLE_STREAM_REPLICAS and WEPEOPLE_STREAM_MAX_BYTES if they are there.
    """
    if as_json_text and not plan:
        fail("--json goes with --plan.")
    settings = load_settings(ProvisionSettings, [CHECK_CONFIG] if check_config else [])
    configure_logging("provision", "ERROR")
    wishes = Wishes(settings.stream_replicas, settings.stream_max_bytes, settings.streams)
    try:
        passwords = read_passwords(settings.role_passwords_file)
        dsn = settings.admin_dsn.get_secret_value()
        if not plan:
            done = asyncio.run(
                provisioner.provision(settings.nats, dsn, passwords, after_rollout=after_rollout, wishes=wishes)
            )
            typer.echo("\n".join(done))
            return
        changes = asyncio.run(
            provisioner.plan(settings.nats, dsn, passwords, after_rollout=after_rollout, wishes=wishes)
        )
    except ProvisionError as error:
        fail(str(error), 1)
    typer.echo(as_json(changes) if as_json_text else as_text(changes))
    if any(change.refused for change in changes):
        raise typer.Exit(1)
