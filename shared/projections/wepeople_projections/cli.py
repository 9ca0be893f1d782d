"""`wepeople projection …`: what analysts type. What a command does is in `commands/`, loaded when it runs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

projection = typer.Typer(no_args_is_help=True, help="Projections: the stream, turned into tables of your own.")
parked = typer.Typer(no_args_is_help=True, help="What a projection could not take, waiting for a decision.")
projection.add_typer(parked, name="parked")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
LongJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts; progress as one object a line.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A projection, or one version of it: NAME_vN.")]
VersionArgument = Annotated[
    int | None, typer.Argument(metavar="[VERSION]", min=1, help="Needed only where there are several.")
]
FileOption = Annotated[
    str | None,
    typer.Option("--file", metavar="FILE[:Class]", help="Where the class is, if it moved since it was first run."),
]
OnPoison = Annotated[
    Literal["park", "stop"] | None,
    typer.Option(
        help="Of rows that cannot be taken: `park` puts them aside, `stop` ends before the first. `run` parks until "
        "it is told otherwise, and then keeps to that; `rebuild` stops unless it is told."
    ),
]
ParkedOrg = Annotated[
    str | None,
    typer.Option("--org", metavar="ORG_ID", help="Whose message, where several streams have one of that sequence."),
]
SequenceArgument = Annotated[int, typer.Argument(metavar="SEQUENCE", min=1, help="As `parked list` shows it.")]
RowArgument = Annotated[
    int | None, typer.Argument(metavar="[ROW]", help="A row of the message; without it, all that is parked of it.")
]


@projection.command("new")
def new_projection(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower case: letters, digits and _.")],
    directory: Annotated[Path, typer.Option("--in", metavar="FOLDER", help="Where the files go.")] = Path(),
    as_json: Json = False,
) -> None:
    """Write a projection that works, and its test: NAME.py and test_NAME.py, yours to change; and a pytest.ini, unless
    the folder says already how pytest runs.

    Example: `wepeople projection new deploys`
    """
    from wepeople_projections.commands import new  # noqa: PLC0415

    new.write_skeleton(name, directory, as_json)


@projection.command("run")
def run_projection(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE[:Class]", help="The file, and the class if it has several.")],
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SEQ|TIME",
            help="The first message that handlers are given. A sequence wants --org where there are several streams.",
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="SEQ|TIME", help="End with this sequence, or before this time."),
    ] = None,
    org: Annotated[
        list[str] | None, typer.Option(metavar="ORG", help="Only this org (id or name); repeat for more.")
    ] = None,
    app: Annotated[
        list[str] | None, typer.Option(metavar="APP", help="Only this app (id or ORG/SLUG); repeat for more.")
    ] = None,
    event_type: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only events of this type, or deploy.*; repeat for more."),
    ] = None,
    on_poison: OnPoison = None,
    as_json: LongJson = False,
) -> None:
    """Build a projection's tables from the stream, and keep them up to date until Ctrl-C.

    They are in the schema NAME_vN. It goes on where it stopped, whatever stopped it; several of this command share the
    work. What `--from` and the others choose is kept: leave them out when it goes on. With `--to` it ends there. A
    TIME is such as 2026-04-01 or 2026-04-01T09:00Z, in UTC unless it says otherwise.

    Examples: `wepeople projection run deploys.py` or `wepeople projection run deploys.py --from 2026-04-01 --org Acme`
    """
    from wepeople_projections.commands import choosing, running  # noqa: PLC0415

    choice = choosing.Choice(start, end, tuple(org or ()), tuple(app or ()), tuple(event_type or ()))
    running.run_projection(file, choice, on_poison, as_json)


@projection.command("list")
def list_projections(as_json: Json = False) -> None:
    """Show every projection and version, and which of them readers see.

    Example: `wepeople projection list`
    """
    from wepeople_projections.commands import looking  # noqa: PLC0415

    looking.list_projections(as_json)


@projection.command("status")
def show_status(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this projection, or only this version of it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show how far projections are: position, what is left in messages and seconds, rows a second, what is parked.

    Example: `wepeople projection status deploys`
    """
    from wepeople_projections.commands import looking  # noqa: PLC0415

    looking.show_status(name, as_json)


@projection.command("pause")
def pause_projection(name: NameArgument, version: VersionArgument = None, as_json: Json = False) -> None:
    """Let a projection stand still within a second, wherever it runs, until it is resumed.

    Example: `wepeople projection pause deploys`
    """
    from wepeople_projections.commands import steering  # noqa: PLC0415

    steering.set_paused(name, version, True, as_json)


@projection.command("resume")
def resume_projection(name: NameArgument, version: VersionArgument = None, as_json: Json = False) -> None:
    """Let a paused projection go on.

    Example: `wepeople projection resume deploys`
    """
    from wepeople_projections.commands import steering  # noqa: PLC0415

    steering.set_paused(name, version, False, as_json)


@projection.command("rebuild")
def rebuild_projection(
    name: NameArgument,
    version: VersionArgument = None,
    on_poison: OnPoison = None,
    file: FileOption = None,
    as_json: LongJson = False,
) -> None:
    """Build a version anew from the whole stream, beside the one that is there, and put it in its place at the end.

    Readers see the old tables until the new ones have all that those had. It stops at a row that cannot be taken,
    unless told to park it. What was interrupted goes on by the same command; `drop` throws it away with the rest.

    Example: `wepeople projection rebuild deploys`
    """
    from wepeople_projections.commands import rebuild  # noqa: PLC0415

    rebuild.rebuild_projection(name, version, on_poison, file, as_json)


@projection.command("verify")
def verify_projection(
    name: NameArgument, version: VersionArgument = None, file: FileOption = None, as_json: LongJson = False
) -> None:
    """Prove that a version's tables are what the stream makes of them: build them again and compare every column.

    Exit code 1, and the table, the org and a row, where they differ. What is built for it is dropped at the end.

    Example: `wepeople projection verify deploys 2`
    """
    from wepeople_projections.commands import verify  # noqa: PLC0415

    verify.verify_projection(name, version, file, as_json)


@projection.command("promote")
def promote_projection(
    name: NameArgument,
    version: VersionArgument = None,
    as_json: LongJson = False,
) -> None:
    """Let readers of the schema NAME see this version from now on; an older one, to go back to it.

    It must have caught up, and passed `verify` within a day. No reader sees an error, or anything older than before.

    Example: `wepeople projection promote deploys 2`
    """
    from wepeople_projections.commands import promote  # noqa: PLC0415

    promote.promote_projection(name, version, as_json)


@projection.command("months")
def show_months(
    name: NameArgument,
    version: VersionArgument = None,
    *,
    keep_days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Drop the months of which all is older than that.")
    ] = None,
    drop_before: Annotated[
        str | None, typer.Option(metavar="DAY", help="Drop the months before the one of this day.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say which would go.")] = False,
    as_json: Json = False,
) -> None:
    """Show the months of tables that are kept by month, with rows as Postgres counted them last; drop old ones.

    What is dropped is gone from the tables, not from the stream. Rows of those months are not written any more.

    Examples: `wepeople projection months live` or `wepeople projection months live --keep-days 400 --plan`
    """
    from wepeople_projections.commands import months  # noqa: PLC0415

    months.show_months(name, version, keep_days=keep_days, drop_before=drop_before, plan=plan, as_json=as_json)


@projection.command("drop")
def drop_projection(
    name: NameArgument,
    version: VersionArgument = None,
    serving: Annotated[
        bool, typer.Option("--serving", help="Also if readers see it: the schema NAME goes with it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Delete a version's tables, and what an interrupted rebuild of it left. The stream keeps everything.

    Example: `wepeople projection drop deploys 1`
    """
    from wepeople_projections.commands import dropping  # noqa: PLC0415

    dropping.drop_projection(name, version, serving, as_json)


@parked.command("list")
def list_parked(
    name: NameArgument,
    every: Annotated[bool, typer.Option("--all", help="Also what was decided already.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many rows.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what a projection could not take, the oldest first, and why.

    `waiting` rows are not at fault: they are a worker's, after a row that is. Decide about that one first.

    Example: `wepeople projection parked list deploys`
    """
    from wepeople_projections.commands import parked as work  # noqa: PLC0415

    work.list_parked(name, every, limit, as_json)


@parked.command("show")
def show_parked(
    name: NameArgument,
    sequence: SequenceArgument,
    row: RowArgument = None,
    org: ParkedOrg = None,
    as_json: Json = False,
) -> None:
    """Show one parked message: its whole envelope as it was stored, and the reason.

    Example: `wepeople projection parked show deploys 1234 0`
    """
    from wepeople_projections.commands import parked as work  # noqa: PLC0415

    work.show_parked(name, sequence, row, org, as_json)


@parked.command("retry")
def retry_parked(
    name: NameArgument,
    sequence: Annotated[int | None, typer.Argument(metavar="[SEQUENCE]", min=1, help="As `parked list` shows.")] = None,
    row: RowArgument = None,
    *,
    org: ParkedOrg = None,
    every: Annotated[bool, typer.Option("--all", help="All that is parked.")] = False,
    as_json: Json = False,
) -> None:
    """Give parked rows to the projection again: for when its code has been mended and runs.

    Rows that waited behind one of them follow it. What fails again is parked again. A row is applied as if it came now:
    where the order matters, `verify` may differ afterwards, and `rebuild` puts the row in its place.

    Example: `wepeople projection parked retry deploys 1234 0`
    """
    from wepeople_projections.commands import deciding  # noqa: PLC0415

    deciding.decide(name, sequence, row, org, every=every, decision="retry", as_json=as_json)


@parked.command("skip")
def skip_parked(
    name: NameArgument,
    sequence: SequenceArgument,
    row: RowArgument = None,
    org: ParkedOrg = None,
    as_json: Json = False,
) -> None:
    """Leave a parked row out for good, also of every later rebuild of this version; it stays listed as skipped.

    Rows that waited behind it are applied.

    Example: `wepeople projection parked skip deploys 1234 0`
    """
    from wepeople_projections.commands import deciding  # noqa: PLC0415

    deciding.decide(name, sequence, row, org, every=False, decision="skip", as_json=as_json)
