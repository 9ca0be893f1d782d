"""What `run` was told to choose of the stream, as a `Selection`: times become sequences, names become ids."""

from dataclasses import dataclass

from nats.aio.client import Client

from wepeople_chassis.rpc import call
from wepeople_chassis.stream import StreamState, sequence_since, stream_states
from wepeople_contracts.operators import AppList, ListApps, Nothing, Org, OrgList
from wepeople_contracts.subjects import auth_command
from wepeople_projections.definition.points import nanoseconds, parse_point
from wepeople_projections.definition.selection import Selection
from wepeople_projections.errors import ProjectionError

_ORG_ID, _APP_ID = "org_", "app_"


class ChoiceError(ProjectionError):
    """What was chosen is not there, or is not what was chosen before."""


@dataclass(frozen=True, slots=True)
class Choice:
    """As it was typed."""

    start: str | None = None
    end: str | None = None
    orgs: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()

    @property
    def anything(self) -> bool:
        """Whether anything was said."""
        return self != Choice()


async def selection_of(connection: Client, choice: Choice) -> Selection:
    """What a choice means; `ChoiceError` or `PointError` when it cannot be."""
    [stream] = await stream_states(connection)
    start, end = await _first(connection, stream, choice.start), await _last(connection, stream, choice.end)
    if end is not None and start > end:
        raise ChoiceError(f"--from is {start:,} and --to {end:,}: there is nothing between them.")
    named = [*choice.orgs, *(app for app in choice.apps if "/" in app)]
    orgs = [] if all(text.startswith(_ORG_ID) for text in named) else await _orgs(connection)
    return Selection(
        from_sequence=start,
        to_sequence=end,
        org_ids=tuple(sorted({_org_id(orgs, text) for text in choice.orgs})),
        app_ids=tuple(sorted({await _app(connection, orgs, text) for text in choice.apps})),
        event_types=tuple(sorted(set(choice.event_types))),
    )


def kept(before: Selection, now: Selection, schema: str) -> Selection:
    """The selection that a version was made with; `ChoiceError` when it is another now."""
    if before == now:
        return before
    raise ChoiceError(
        f"{schema} was made with {in_words(before)}; it cannot go on with {in_words(now)}. Leave these options away to "
        "go on, or give the class another version to build it anew"
    )


def in_words(selection: Selection) -> str:
    """A selection as the options that make it."""
    parts = [f"--from {selection.from_sequence}"] if selection.from_sequence > 1 else []
    if selection.to_sequence is not None:
        parts.append(f"--to {selection.to_sequence}")
    parts += [f"--org {org_id}" for org_id in selection.org_ids]
    parts += [f"--app {app_id}" for app_id in selection.app_ids]
    parts += [f"--type {event_type}" for event_type in selection.event_types]
    return " ".join(parts) or "the whole stream"


def without_effect(choice: Choice, selection: Selection) -> str | None:
    """What to tell whoever chose a beginning that leaves nothing away."""
    if choice.start is None or selection.from_sequence > 1:
        return None
    return f"The stream has nothing before {choice.start}, so --from leaves nothing away."


async def _first(connection: Client, stream: StreamState, text: str | None) -> int:
    if text is None:
        return 1
    point = parse_point(text)
    return point if isinstance(point, int) else await sequence_since(connection, stream.name, nanoseconds(point))


async def _last(connection: Client, stream: StreamState, text: str | None) -> int | None:
    if text is None:
        return None
    point = parse_point(text)
    if isinstance(point, int):
        return point
    end = await sequence_since(connection, stream.name, nanoseconds(point)) - 1
    if end >= stream.last_sequence:
        raise ChoiceError(
            f"Nothing was stored since {text}, so nobody can tell yet where --to would end. Leave it away."
        )
    return end


async def _orgs(connection: Client) -> list[Org]:
    return (await call(connection, auth_command("list_orgs"), Nothing(), OrgList)).orgs


def _org_id(orgs: list[Org], text: str) -> str:
    if text.startswith(_ORG_ID):
        return text
    found = [org.org_id for org in orgs if org.name == text]
    if len(found) != 1:
        problem = f"{text} names several orgs; use an id: {', '.join(found)}" if found else f"No org is known as {text}"
        raise ChoiceError(f"{problem}. `wepeople org list` shows them.")
    return found[0]


async def _app(connection: Client, orgs: list[Org], text: str) -> str:
    if text.startswith(_APP_ID) and "/" not in text:
        return text
    org_text, slash, slug = text.rpartition("/")
    if not slash:
        raise ChoiceError(f"{text} is no app: name it by its id or as ORG/SLUG. `wepeople app list ORG` shows them.")
    org_id = _org_id(orgs, org_text)
    apps = (await call(connection, auth_command("list_apps"), ListApps(org_id=org_id), AppList)).apps
    found = [app.app_id for app in apps if app.slug == slug]
    if not found:
        raise ChoiceError(f"{org_text} has no app {slug}. `wepeople app list {org_text}` shows its apps.")
    return found[0]
