"""`wepeople org|app|key|worker`: what operators type. What a command does is in `operator.py`, loaded when it runs."""

from pathlib import Path
from typing import Annotated

import typer

org = typer.Typer(no_args_is_help=True, help="Orgs: the tenants, and what each has bought.")
app = typer.Typer(no_args_is_help=True, help="Developer apps of an org, and which event types each may send.")
key = typer.Typer(no_args_is_help=True, help="Keys of an app: issued once, shown once, revoked for good.")
worker = typer.Typer(no_args_is_help=True, help="The people of an org.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
OrgArgument = Annotated[str, typer.Argument(metavar="ORG", help="An org's id, or its name if no other has it.")]
AppArgument = Annotated[str, typer.Argument(metavar="APP", help="An app's id, or ORG/SLUG.")]


def _run(command: str, *arguments: object, as_json: bool) -> None:
    # Only now, so that `wepeople --help` need not load NATS and pydantic.
    from wepeople_auth import operator  # noqa: PLC0415
    from wepeople_chassis.operator import run  # noqa: PLC0415

    work = getattr(operator, command)
    run(lambda where: operator.checked(work(where, *arguments, as_json=as_json)))


@org.command("create")
def create_org(
    name: Annotated[str, typer.Argument(help="What people call the org.")],
    plan: Annotated[str, typer.Option(help="free, standard or scale.")] = "standard",
    as_json: Json = False,
) -> None:
    """Found an org.

    Plans:

    | plan | events a month | requests a second, key | org |
    |---|---|---|---|
    | free | 10,000 | 60 | 600 |
    | standard | 10,000,000 | 60 | 600 |
    | scale | no limit | 5,000 | 20,000 |

    Example: `wepeople org create "Acme Inc." --plan scale`
    """
    _run("create_org", name, plan, as_json=as_json)


@org.command("plan")
def change_plan(
    org: OrgArgument,
    plan: Annotated[str, typer.Argument(help="free, standard or scale.")],
    as_json: Json = False,
) -> None:
    """Move an org to another plan. Gateways know of it within 60 seconds; what the month has used stays used.

    Example: `wepeople org plan Acme scale`
    """
    _run("change_plan", org, plan, as_json=as_json)


@org.command("list")
def list_orgs(as_json: Json = False) -> None:
    """Show every org.

    Example: `wepeople org list --json`
    """
    _run("list_orgs", as_json=as_json)


@app.command("create")
def create_app(
    org: OrgArgument,
    slug: Annotated[str, typer.Argument(help="Lowercase letters, digits, hyphens. Shown as custom:SLUG.")],
    allow: Annotated[list[str] | None, typer.Option(metavar="TYPE", help="An event type; repeat for more.")] = None,
    as_json: Json = False,
) -> None:
    """Create an app of an org.

    Example: `wepeople app create Acme ci --allow deploy.shipped --allow review.done`
    """
    _run("create_app", org, slug, allow or [], as_json=as_json)


@app.command("list")
def list_apps(org: OrgArgument, as_json: Json = False) -> None:
    """Show an org's apps.

    Example: `wepeople app list Acme`
    """
    _run("list_apps", org, as_json=as_json)


@app.command("allow")
def allow_event_types(
    app: AppArgument,
    event_types: Annotated[list[str], typer.Argument(metavar="TYPE...", help="Such as deploy.shipped.")],
    as_json: Json = False,
) -> None:
    """Let an app send more event types; every gateway knows within 60 seconds.

    Example: `wepeople app allow Acme/ci incident.opened incident.resolved`
    """
    _run("allow_event_types", app, event_types, as_json=as_json)


@key.command("create")
def create_key(
    app: AppArgument,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "",
    rate_per_second: Annotated[
        int | None, typer.Option(min=1, help="Requests a second, instead of the plan's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Issue a key of an app. It is shown once: copy it.

    Example: `wepeople key create Acme/ci --name "build server"`
    """
    _run("create_key", app, name, rate_per_second, as_json=as_json)


@key.command("list")
def list_keys(app: AppArgument, as_json: Json = False) -> None:
    """Show an app's keys, revoked ones too; never the secrets.

    Example: `wepeople key list Acme/ci`
    """
    _run("list_keys", app, as_json=as_json)


@key.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The 12 characters that `key list` shows.")], as_json: Json = False
) -> None:
    """Revoke a key for good, in under a second.

    Example: `wepeople key revoke 9f3c3e4c1e9b`
    """
    _run("revoke_key", key_id, as_json=as_json)


@worker.command("import")
def import_workers(
    org: OrgArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="CSV with a header: email,name")],
    as_json: Json = False,
) -> None:
    """Bring the people of a CSV file into an org's directory.

    The first line is the header `email,name`. One bad line, and nothing is imported. Importing a file again changes
    nothing but names.

    Example: `wepeople worker import Acme people.csv`
    """
    _run("import_workers", org, file, as_json=as_json)
