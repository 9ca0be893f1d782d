"""`wepeople worker|timeline|snapshots|status`: what operators type. What it does is in `commands.py`, loaded late."""

from typing import Annotated

import typer

worker = typer.Typer(no_args_is_help=True, help="The people of an org.")

Json = Annotated[bool, typer.Option("--json", help="Print all fields as JSON, for scripts.")]
OrgArgument = Annotated[str, typer.Argument(metavar="ORG", help="An org's id, or its name if no other has it.")]
WorkerArgument = Annotated[
    str, typer.Argument(metavar="WORKER", help="A worker's id, or an email or external id that only one worker has.")
]


@worker.command("list")
def list_workers(org: OrgArgument, as_json: Json = False) -> None:
    """Show an org's workers, the first seen first.

    Example: `wepeople worker list "Acme Inc."`
    """
    from wepeople_projector import commands  # noqa: PLC0415

    commands.list_workers(org, as_json)


@worker.command("show")
def show_worker(worker: WorkerArgument, as_json: Json = False) -> None:
    """Show one worker: who it is, and which identifiers and connections are linked to it.

    Example: `wepeople worker show alex@acme.com`
    """
    from wepeople_projector import commands  # noqa: PLC0415

    commands.show_worker(worker, as_json)


def timeline(
    worker: WorkerArgument,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many events.")] = 20,
    as_json: Json = False,
) -> None:
    """Show what happened to a worker, the newest first.

    Examples: `wepeople timeline eng-17` or `wepeople timeline alex@acme.com --limit 100 --json`
    """
    from wepeople_projector import commands  # noqa: PLC0415

    commands.show_timeline(worker, limit, as_json)


def snapshots(worker: WorkerArgument, as_json: Json = False) -> None:
    """Show a worker's latest snapshot of each type, from each app.

    Example: `wepeople snapshots alex@acme.com`
    """
    from wepeople_projector import commands  # noqa: PLC0415

    commands.show_snapshots(worker, as_json)


def status(as_json: Json = False) -> None:
    """Show the stream's size, how far behind it the read models are, the month's usage, and which services are ready.

    Example: `wepeople status --json`
    """
    from wepeople_projector import commands  # noqa: PLC0415

    commands.show_status(as_json)
