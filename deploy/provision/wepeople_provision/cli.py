"""`wepeople provision`."""

import asyncio

import typer

from wepeople_chassis.logging import configure_logging
from wepeople_chassis.operator import fail
from wepeople_chassis.settings import load_settings
from wepeople_provision.errors import ProvisionError
from wepeople_provision.provision import provision as provision_everything
from wepeople_provision.settings import ProvisionSettings, read_passwords


def provision() -> None:
    """Make the stream, the database roles and the schemas what the services expect. Safe to run again.

    Reads WEPEOPLE_NATS_URL, WEPEOPLE_ADMIN_DSN (a superuser of the database) and WEPEOPLE_ROLE_PASSWORDS_FILE (JSON).
    """
    settings = load_settings(ProvisionSettings)
    configure_logging("provision", "ERROR")
    try:
        passwords = read_passwords(settings.role_passwords_file)
        done = asyncio.run(provision_everything(settings.nats, settings.admin_dsn.get_secret_value(), passwords))
    except ProvisionError as error:
        fail(str(error), 1)
    for line in done:
        typer.echo(line)
