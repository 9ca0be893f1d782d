"""The `wepeople` command: finds what each installed member contributes, and knows none of it.

A member contributes by the entry-point group `wepeople.commands`: a `typer.Typer` becomes a group of commands, a
function becomes one command; groups of the same name from several members become one.
"""

import sys
from importlib.metadata import entry_points

import typer


def build(only: str = "") -> typer.Typer:
    """Assemble the command line from the installed members; with the name of a command or group, from those alone that
    contribute to it, because loading them all takes longer than most commands do.
    """
    root = typer.Typer(
        name="wepeople",
        help="WePeople Ingest: run it, look after its orgs and keys, read what it has built.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )
    # Without it, a command line of one command would not want its name.
    root.callback()(lambda: None)
    groups: dict[str, typer.Typer] = {}
    entries = entry_points(group="wepeople.commands")
    for entry in sorted(entries.select(name=only) or entries, key=lambda e: (e.name, e.value)):
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
        build(*sys.argv[1:2])()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
