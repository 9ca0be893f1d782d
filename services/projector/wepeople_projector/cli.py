"""`wepeople worker|timeline|snapshots|status|rejects|request|prove`: what operators type.

What each does is in a module of its own, loaded late, so that `--help` comes at once.
"""

from typing import Annotated

import typer

worker = typer.Typer(no_args_is_help=True, help="The people of an org.")
rejects = typer.Typer(no_args_is_help=True, help="Rows that were rejected, for 14 days.")

Json = Annotated[bool, typer.Option("--json", help="Print all fields as JSON, for scripts.")]
OrgArgument = Annotated[str, typer.Argument(metavar="ORG", help="An org's id, or its name if no other has it.")]
WorkerArgument = Annotated[
    str, typer.Argument(metavar="WORKER", help="A worker's id, or an email or external id that only one worker has.")
]
At = Annotated[
    str | None,
    typer.Option(
        metavar="SEQ|TIME",
        help="As it stood after this sequence of its org's stream, or with all that was stored up to this time. WORKER "
        "is looked up among the names of now.",
    ),
]
RequestArgument = Annotated[str, typer.Argument(metavar="REQUEST_ID", help="Such as req_01HP3K5V4J3M9NVT8XZKQ9YQ2E.")]


@worker.command("list")
def list_workers(org: OrgArgument, as_json: Json = False) -> None:
    """Show an org's workers, the first seen first.

    Example: `wepeople worker list "Acme Inc."`
    """
    from wepeople_projector import commands  # noqa: PLC0415

    commands.list_workers(org, as_json)


@worker.command("show")
def show_worker(worker: WorkerArgument, at: At = None, as_json: Json = False) -> None:
    """Show one worker: who it is, and which identifiers and connections are linked to it.

    Examples: `wepeople worker show alex@acme.com` or `wepeople worker show alex@acme.com --at 2026-04-01`
    """
    from wepeople_projector import commands  # noqa: PLC0415

    commands.show_worker(worker, at, as_json)


@worker.command("conflicts")
def list_conflicts(org: OrgArgument, as_json: Json = False) -> None:
    """Show where identifiers of an org's workers disagreed: the stronger one won, and nothing was merged.

    `worker_id` got the row; `other_worker_id` is whom the identifier belongs to.

    Example: `wepeople worker conflicts Acme`
    """
    from wepeople_projector import commands  # noqa: PLC0415

    commands.list_conflicts(org, as_json)


def timeline(
    worker: WorkerArgument,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many events.")] = 20,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Show what happened to a worker, the newest first.

    Examples: `wepeople timeline eng-17`, `wepeople timeline alex@acme.com --limit 100 --json` or
    `wepeople timeline eng-17 --at 2026-04-19T12:00Z`
    """
    from wepeople_projector import commands  # noqa: PLC0415

    commands.show_timeline(worker, limit, at, as_json)


def snapshots(worker: WorkerArgument, at: At = None, as_json: Json = False) -> None:
    """Show a worker's latest snapshot of each type, from each app.

    Examples: `wepeople snapshots alex@acme.com` or `wepeople snapshots alex@acme.com --at 1234`
    """
    from wepeople_projector import commands  # noqa: PLC0415

    commands.show_snapshots(worker, at, as_json)


def status(as_json: Json = False) -> None:
    """Show the stream's size, how far behind it the read models are, the month's usage, and which services are ready.

    Example: `wepeople status --json`
    """
    from wepeople_projector import commands  # noqa: PLC0415

    commands.show_status(as_json)


def prove(as_json: Json = False) -> None:
    """Prove the running system against its stream, and print a certificate.

    All read models are built again beside the live ones, from the first message, and compared by hash in every column;
    each org's events and its month are counted besides. Nothing is changed, and whoever reads or sends notices
    nothing. Exit code 1 with the first difference, if there is one.

    Example: `wepeople prove --json`
    """
    from wepeople_projector import prove as work  # noqa: PLC0415

    work.prove_system(as_json)


def request(request_id: RequestArgument, as_json: Json = False) -> None:
    """Trace one request: received, stored, projected, and what became of each row.

    Example: `wepeople request req_01HP3K5V4J3M9NVT8XZKQ9YQ2E`
    """
    from wepeople_projector import trace  # noqa: PLC0415

    trace.show_request(request_id, as_json)


@rejects.command("list")
def list_rejects(
    target: Annotated[str | None, typer.Argument(metavar="[ORG|ORG/APP]", help="An org, or an app of it.")] = None,
    code: Annotated[str | None, typer.Option(help="Only those of an error code, such as plan_limit.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many rows.")] = 50,
    as_json: Json = False,
) -> None:
    """Show rejected rows, the newest first.

    Examples: `wepeople rejects list Acme/ci` or `wepeople rejects list Acme --code forbidden_event_type`
    """
    from wepeople_projector import rejects as work  # noqa: PLC0415

    work.list_rejects(target, code, limit, as_json)


@rejects.command("show")
def show_rejects(
    request_id: RequestArgument,
    index: Annotated[int | None, typer.Argument(metavar="[INDEX]", help="Only this row.")] = None,
    as_json: Json = False,
) -> None:
    """Show a request's rejected rows as they were received, and why each was rejected.

    Example: `wepeople rejects show req_01HP3K5V4J3M9NVT8XZKQ9YQ2E 3`
    """
    from wepeople_projector import rejects as work  # noqa: PLC0415

    work.show_rejects(request_id, index, as_json)


@rejects.command("retry")
def retry_rejects(
    request_id: RequestArgument,
    key: Annotated[str, typer.Option(envvar="WEPEOPLE_API_KEY", help="A key of the app that sent the rows.")],
    indices: Annotated[list[int] | None, typer.Argument(metavar="[INDEX]...", help="Only these rows.")] = None,
    gateway: Annotated[
        str | None, typer.Option(envvar="WEPEOPLE_GATEWAY_URL", metavar="URL", help="Where the gateway is.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send a request's rejected rows again, as they were received, under a new Idempotency-Key.

    For when the reason is gone: the event type is allowed now, the month has begun anew. A row without a timestamp
    counts as of now.

    Example: `wepeople rejects retry req_01HP3K5V4J3M9NVT8XZKQ9YQ2E 3 4 --key wp_live_…`
    """
    from wepeople_projector import rejects as work  # noqa: PLC0415

    work.retry_rejects(request_id, indices or [], key, gateway, as_json)
