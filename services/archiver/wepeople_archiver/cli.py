"""`wepeople archive …`: what the archive has, whether it is right, and what may leave the stream."""

from typing import Annotated

import typer

from wepeople_archiver.commands import show_status, trim_streams, verify_archive

archive = typer.Typer(
    no_args_is_help=True,
    help="The archive of the stream, in object storage (WEPEOPLE_ARCHIVE_URL): what it has, and trimming the stream.",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table.")]


@archive.command()
def status(as_json: Json = False) -> None:
    """Show how far each partition is archived and verified, and what the stream has.

    Examples:

        wepeople archive status

        wepeople archive status --json
    """
    show_status(as_json)


@archive.command()
def verify(
    partition: Annotated[int | None, typer.Option(min=0, help="Only this partition.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also read back what the stream no longer has.")] = False,
    as_json: Json = False,
) -> None:
    """Read the files back and compare them with the stream, message by message; note those that are right.

    With --all, also files of what was trimmed, against the hashes noted when the stream still had it. Ends with 1 when
    a file is damaged, missing, or not what the stream has.

    Examples:

        wepeople archive verify

        wepeople archive verify --all --partition 9
    """
    verify_archive(partition, everything=everything, as_json=as_json)


@archive.command()
def trim(
    keep_days: Annotated[
        float, typer.Option(min=0, help="Keep at least what was stored in so many days; two duplicate windows stay.")
    ] = 7.0,
    leave_behind: Annotated[
        list[str] | None,
        typer.Option(help="A version of a projection, or quota, that need not have read it: it reads in the archive."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Let go of what is archived, verified and read: shows what would go and what keeps the rest, and asks.

    Nothing goes that is not in a verified file, that a projection or quota has not read, or that a retry may ask for.
    With --json it does not ask: without --yes it only shows the plan.

    Examples:

        wepeople archive trim

        wepeople archive trim --keep-days 30 --yes

        wepeople archive trim --keep-days 0 --leave-behind team_health_v1
    """
    trim_streams(keep_days=keep_days, left_behind=leave_behind or [], yes=yes, as_json=as_json)
