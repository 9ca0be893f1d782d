"""Splits a stream while requests come in (docs/adr/0008): the new stream is at first a mirror of the old one.

Every step looks at what the server says, so that a split that was interrupted anywhere is finished by running it again.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client

from wepeople_chassis.stream import IDENTITY
from wepeople_contracts.subjects import partition_filter, partitions_in, split_subject
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream_api import ask, ask_or_none, own_metadata, streams_there
from wepeople_provision.stream_cut import cut_over, require_as_planned
from wepeople_provision.stream_layout import Place, Split, splits_of
from wepeople_provision.stream_stragglers import bring_along, not_brought

Say = Callable[[str], None]

_NEARLY = 100
"""With so few messages to copy the mirror has the rest within milliseconds."""

_STUCK_SECONDS = 60.0
_WHOLE_SECONDS = 10.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Done:
    """A split, the sequence of its marker (None: it was promoted before), and for how long nobody took what moved."""

    split: Split
    marker: int | None
    cut_seconds: float
    stragglers: int = 0

    def __str__(self) -> str:
        late = f", {self.stragglers} messages brought along" if self.stragglers else ""
        return f"{self.split}: done, nobody took what moved for {self.cut_seconds * 1000:.0f} ms{late}"


def places(there: Mapping[str, dict[str, Any]]) -> list[Place]:
    """The streams that take something, in the order of their first partition."""
    found = [
        Place(name, _partitions(info), info["state"]["bytes"]) for name, info in there.items() if _partitions(info)
    ]
    return sorted(found, key=lambda place: min(place.partitions))


def unfinished(there: Mapping[str, dict[str, Any]]) -> list[Split]:
    """Splits that were begun and not ended."""
    found = []
    for name, info in there.items():
        if mirror := info["config"].get("mirror"):
            old, moving = mirror["name"], partitions_in(one["src"] for one in mirror["subject_transforms"])
            found.append(Split(old, name, _partitions(there[old]) - moving, moving))
    return found


async def splits_due(connection: Client, name: str | None, into: int | None) -> list[Split]:
    """What was begun, or what is asked for (`stream_layout.splits_of`); `ProvisionError` when that cannot be."""
    there = await streams_there(connection)
    if not there:
        raise ProvisionError("There is no stream; run `wepeople provision` first.")
    begun = unfinished(there) or await not_brought(connection, there)
    return begun or splits_of(places(there), name, into)


async def carry_out(connection: Client, split: Split, say: Say = lambda _: None) -> Done:
    """Do what is left to do of a split; `ProvisionError` when it has to wait, and then nothing is changed for readers
    and writers.
    """
    old = await ask(connection, "STREAM.INFO", split.old)
    new = await ask_or_none(connection, "STREAM.INFO", split.new)
    marker, cut_seconds = None, 0.0
    if new is None:
        require_as_planned(split, old, None)
        await _require_whole(connection, split.old)
        new = await ask(connection, "STREAM.CREATE", split.new, _mirror(old, split))
        say(f"{split.new}: made, as a mirror of {split.old}")
    if "mirror" in new["config"]:
        await _wait_for_the_copy(connection, split, say)
        marker, cut_seconds = await cut_over(connection, split)
        say(f"{split.new}: takes its partitions now")
    late = await bring_along(connection, split, marker)
    return Done(split, marker, cut_seconds, late)


def _partitions(info: Mapping[str, Any]) -> frozenset[int]:
    return partitions_in(info["config"].get("subjects") or [])


def _mirror(old: Mapping[str, Any], split: Split) -> dict[str, Any]:
    """Settings of the new stream while it copies the old one, whose identity it keeps: who has read the one may read on
    in the other.
    """
    subjects = [*map(partition_filter, sorted(split.moving)), split_subject(split.new)]
    own = {name: value for name, value in old["config"].items() if name not in ("subjects", "metadata")}
    identity = own_metadata(old["config"]).get(IDENTITY) or old["created"]
    transforms = [{"src": subject, "dest": ""} for subject in subjects]
    return own | {
        "name": split.new,
        "metadata": {IDENTITY: identity},
        "mirror": {"name": split.old, "subject_transforms": transforms},
    }


async def _require_whole(connection: Client, name: str) -> None:
    """`ProvisionError` unless each copy of the stream is there, and soon up to date, as under load it is by turns."""
    until = time.monotonic() + _WHOLE_SECONDS
    while True:
        others = (await ask(connection, "STREAM.INFO", name)).get("cluster", {}).get("replicas") or []
        lame = [other["name"] for other in others if not other["current"] or other.get("offline")]
        if not lame:
            return
        if time.monotonic() > until:
            raise ProvisionError(
                f"The copy of {name} on {', '.join(lame)} is not whole. Nothing was changed for readers and writers. "
                "Wait until `wepeople status` shows all copies, then run this again."
            )
        await asyncio.sleep(_LOOK_SECONDS)


async def _wait_for_the_copy(connection: Client, split: Split, say: Say) -> None:
    """Return once the mirror has nearly all, on every copy of its own; `ProvisionError` when it gets no further."""
    least, moved_at, said_at = None, time.monotonic(), time.monotonic()
    while True:
        new = await ask(connection, "STREAM.INFO", split.new)
        lag, works = new["mirror"].get("lag", 0), new["mirror"].get("active", -1) >= 0
        if works and lag <= _NEARLY:
            return await _require_whole(connection, split.new)
        if least is None or lag < least:
            least, moved_at = lag, time.monotonic()
        if time.monotonic() > moved_at + _STUCK_SECONDS:
            raise ProvisionError(
                f"The mirror {split.new} is {lag} messages behind {split.old} and comes no nearer. Nothing was changed "
                "for readers and writers. Look at nats-server's log, then run this again."
            )
        if time.monotonic() > said_at + 1:
            say(f"{split.new}: copying, {lag} messages to go")
            said_at = time.monotonic()
        await asyncio.sleep(_LOOK_SECONDS)
