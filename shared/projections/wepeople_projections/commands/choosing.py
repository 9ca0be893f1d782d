"""What `run` was told to choose of the stream, as a `Selection`: times become sequences, names become ids."""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace
from nats.aio.client import Client

from wepeople_chassis.rpc import call
from wepeople_chassis.stream import StreamState, sequence_since, takers
from wepeople_contracts.operators import AppList, ListApps, Nothing, Org, OrgList
from wepeople_contracts.subjects import auth_command, partition_of
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
    named = [*choice.orgs, *(app for app in choice.apps if "/" in app)]
    orgs = [] if all(text.startswith(_ORG_ID) for text in named) else await _orgs(connection)
    org_ids = tuple(sorted({_org_id(orgs, text) for text in choice.orgs}))
    chosen = Selection(
        org_ids=org_ids,
        app_ids=tuple(sorted({await _app(connection, orgs, text) for text in choice.apps})),
        event_types=tuple(sorted(set(choice.event_types))),
    )
    if choice.start is None and choice.end is None:
        return chosen
    streams = await takers(connection)
    if org_ids:
        streams = {partition: streams[partition] for partition in map(partition_of, org_ids)}
    return within(
        chosen,
        await first_sequences(connection, streams, choice.start),
        await last_sequences(connection, streams, choice.end),
    )


def within(chosen: Selection, starts: Mapping[int, int], ends: Mapping[int, int]) -> Selection:
    """A selection between sequences of partitions; `ChoiceError` when nothing is there. Without ends it has none."""
    if ends and all(starts[partition] > end for partition, end in ends.items()):
        raise ChoiceError(
            f"--from is {max(starts.values()):,} and --to {min(ends.values()):,}: there is nothing between them."
        )
    start = starts if len(set(starts.values())) > 1 else {}
    end = ends if len(set(ends.values())) > 1 else {}
    return replace(
        chosen,
        from_sequence=1 if start else next(iter(starts.values())),
        to_sequence=None if end else next(iter(ends.values()), None),
        from_sequences=dict(start),
        to_sequences=dict(end),
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
    if selection.from_sequences:
        parts.append(f"--from TIME ({_spelled(selection.from_sequences)})")
    if selection.to_sequence is not None:
        parts.append(f"--to {selection.to_sequence}")
    if selection.to_sequences:
        parts.append(f"--to TIME ({_spelled(selection.to_sequences)})")
    parts += [f"--org {org_id}" for org_id in selection.org_ids]
    parts += [f"--app {app_id}" for app_id in selection.app_ids]
    parts += [f"--type {event_type}" for event_type in selection.event_types]
    return " ".join(parts) or "the whole stream"


def without_effect(choice: Choice, selection: Selection) -> str | None:
    """What to tell whoever chose a beginning that leaves nothing away."""
    if choice.start is None or selection.from_sequence > 1 or selection.from_sequences:
        return None
    return f"The stream has nothing before {choice.start}, so --from leaves nothing away."


async def first_sequences(connection: Client, streams: Mapping[int, StreamState], text: str | None) -> dict[int, int]:
    """Where each partition begins, as `--from` says; `ChoiceError` where that is a sequence of nobody knows which."""
    if text is None:
        return dict.fromkeys(streams, 1)
    point = parse_point(text)
    if isinstance(point, int):
        _check_one_stream("--from", text, streams)
        return dict.fromkeys(streams, point)
    return await _since(connection, streams, nanoseconds(point))


async def last_sequences(connection: Client, streams: Mapping[int, StreamState], text: str | None) -> dict[int, int]:
    """Where each partition ends, as `--to` says; nothing where it does not. `ChoiceError` as above, or where nothing at
    all was stored since that time, so that nobody can tell yet.
    """
    if text is None:
        return {}
    point = parse_point(text)
    if isinstance(point, int):
        _check_one_stream("--to", text, streams)
        return dict.fromkeys(streams, point)
    ends = {
        partition: next_ - 1 for partition, next_ in (await _since(connection, streams, nanoseconds(point))).items()
    }
    if all(end >= streams[partition].last_sequence for partition, end in ends.items()):
        raise ChoiceError(
            f"Nothing was stored since {text}, so nobody can tell yet where --to would end. Leave it away."
        )
    return ends


async def _since(connection: Client, streams: Mapping[int, StreamState], stored_at_ns: int) -> dict[int, int]:
    names = {stream.name for stream in streams.values()}
    found = {name: await sequence_since(connection, name, stored_at_ns) for name in sorted(names)}
    return {partition: found[stream.name] for partition, stream in streams.items()}


def _check_one_stream(option: str, text: str, streams: Mapping[int, StreamState]) -> None:
    names = sorted({stream.name for stream in streams.values()})
    if len(names) > 1:
        raise ChoiceError(
            f"{option} {text} is another message in each of the streams {', '.join(names)}. Say a time, such as "
            f"{option} 2026-04-01T09:00Z, or name the org whose history you mean with --org."
        )


def _spelled(sequences: Mapping[int, int]) -> str:
    return ", ".join(f"partition {partition}: {sequence}" for partition, sequence in sorted(sequences.items()))


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
