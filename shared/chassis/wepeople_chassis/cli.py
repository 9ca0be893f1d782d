"""The `wepeople` command: finds what each installed member contributes, and knows none of it.

A member contributes by the entry-point group `wepeople.commands`: a `typer.Typer` becomes a group of commands, a
function becomes one command; groups of the same name from several members become one.
"""

from importlib.metadata import entry_points

import typer


def build() -> typer.Typer:
    """Assemble the command line from the installed members."""
    root = typer.Typer(
        name="wepeople",
        help="WePeople Ingest: run it, look after its orgs and keys, read what it has built.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )
    groups: dict[str, typer.Typer] = {}
    for entry in sorted(entry_points(group="wepeople.commands"), key=lambda e: (e.name, e.value)):
        contribution = entry.load()
        if not isinstance(contribution, typer.Typer):
            root.command(entry.name)(contribution)
        elif entry.name in groups:
            groups[entry.name].registered_commands.extend(contribution.registered_commands)
        else:
            groups[entry.name] = contribution
            root.add_typer(contribution, name=entry.name)
    return root


def main() -> None:
    """Entry point of the `wepeople` script; Ctrl-C while it still loads ends it as quietly as later on."""
    try:
        build()()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
