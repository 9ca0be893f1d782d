"""The moment of a split: the old stream's subjects are cut, and the mirror that has everything becomes a stream.

Behind all that the old stream took of what moves, a marker is stored under a subject that the mirror copies too. So the
mirror that has it has everything; and as the marker is its last message, its numbering goes on behind each sequence
that the old stream had while it took what moves, as far as any reader of a quiet partition may have come.

The old stream keeps the marker's subject until `wepeople stream tidy`: by it, gateways ask for message ids of before.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from wepeople_chassis.stream import BEGINS, EARLIER_IDS, first_sequence
from wepeople_contracts.subjects import STREAMS, partition_filter, partitions_in, split_subject, stream_subjects
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream_api import Refused, ask, count_of, own_metadata
from wepeople_provision.stream_layout import Split
from wepeople_provision.stream_lock import one_at_a_time

CUT_SECONDS = 3.0
"""So long the mirror may take to the marker, or the cut is undone; gateways repeat for five seconds."""

_CLOCKS_NANOSECONDS = 60 * 1_000_000_000
"""By so much a gateway's clock may be ahead of ours."""

_LOOK_SECONDS = 0.002
_FULL = "maximum bytes exceeded"
"""So the server says that a stream has no room for a message."""


class _Missing(Exception):
    """The mirror has less than the stream."""


async def cut_over(connection: Client, split: Split) -> tuple[int, float]:
    """The marker's sequence, and for how many seconds nobody took what moved.

    It is done to its end even when we are told to stop meanwhile. `ProvisionError` when the mirror does not come to the
    marker in time, and the cut was undone.
    """
    task = asyncio.create_task(_cut_over(connection, split))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


async def change(connection: Client, info: Mapping[str, Any], **settings: Any) -> None:
    """Other settings for a stream that the server describes so."""
    await ask(connection, "STREAM.UPDATE", info["config"]["name"], info["config"] | settings)


async def _cut_over(connection: Client, split: Split) -> tuple[int, float]:
    async with one_at_a_time(connection):
        old = await ask(connection, "STREAM.INFO", split.old)
        require_as_planned(split, old, await ask(connection, "STREAM.INFO", split.new))
        return await _cut_alone(connection, split, old)


def require_as_planned(split: Split, old: Mapping[str, Any], new: Mapping[str, Any] | None) -> None:
    """`ProvisionError` unless the old stream takes all, or was cut for this very split, and the new one, where it is
    made already, is its mirror still: another command may have been there since the split was planned.
    """
    takes = partitions_in(old["config"].get("subjects") or [])
    begun = new is not None and takes == split.staying and split_subject(split.new) in markers_of(old)
    mirrors = new is None or (new["config"].get("mirror") or {}).get("name") == split.old
    if not mirrors or not (begun or takes == split.staying | split.moving):
        raise ProvisionError(
            f"{split.old} and {split.new} are not as they were when this split was planned: another `wepeople stream "
            "split` was at work. Nothing was changed. Look at `wepeople stream split --plan`."
        )


async def _cut_alone(connection: Client, split: Split, old: dict[str, Any]) -> tuple[int, float]:
    began = time.monotonic()
    await change(connection, old, subjects=_cut_subjects(old, split))
    try:
        async with asyncio.timeout(CUT_SECONDS):
            marker = await _mark(connection, split)
            new = await _arrived(connection, split, marker)
            await _require_all(connection, split)
    except (TimeoutError, Refused, _Missing) as error:
        raise await _undone(connection, old, split, str(error) or "no answer") from error
    try:
        await _promote(connection, split, old, new)
    except Refused as error:
        raise await _undone(connection, old, split, str(error)) from error
    return marker, time.monotonic() - began


async def _undone(connection: Client, old: Mapping[str, Any], split: Split, why: str) -> ProvisionError:
    await change(connection, old, subjects=[*stream_subjects(split.staying | split.moving), *markers_of(old)])
    return ProvisionError(
        f"There is no room in it for the split's marker: {split.old} is full to the brim, and takes all as before. "
        "Give it some more room first (WEPEOPLE_STREAM_MAX_BYTES, then `wepeople provision`), then split it."
        if _FULL in why
        else f"{split.new} did not get all of {split.old} in time ({why}), so {split.old} takes all as before. "
        "Run this again."
    )


async def _mark(connection: Client, split: Split) -> int:
    """Store the marker; its sequence, which is behind all that the old stream took of what moves."""
    said = json.dumps({"from": split.old, "to": split.new, "partitions": sorted(split.moving)}).encode()
    while True:
        try:
            reply = await connection.request(
                split_subject(split.new), said, timeout=1, headers={"Nats-Msg-Id": f"split-{secrets.token_hex(8)}"}
            )
        except (NoRespondersError, NatsTimeoutError):
            # A cluster's other nodes learn of the subject a moment later.
            await asyncio.sleep(_LOOK_SECONDS)
            continue
        stored: dict[str, Any] = json.loads(reply.data)
        if "error" in stored:
            raise Refused("mark", split.old, stored["error"].get("description"))
        return int(stored["seq"])


async def _arrived(connection: Client, split: Split, marker: int) -> dict[str, Any]:
    """How the mirror stands once it has the marker."""
    while True:
        new = await ask(connection, "STREAM.INFO", split.new)
        if new["state"]["last_seq"] >= marker:
            return new
        await asyncio.sleep(_LOOK_SECONDS)


async def _require_all(connection: Client, split: Split) -> None:
    """`_Missing` when the mirror has fewer messages of what moves than the stream."""
    filters = [*map(partition_filter, sorted(split.moving))]
    there, copied = await asyncio.gather(
        count_of(connection, split.old, filters), count_of(connection, split.new, filters)
    )
    if copied < there:
        raise _Missing(f"{copied} messages of {there}")


async def _promote(connection: Client, split: Split, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    begins = new["state"]["first_seq"]
    metadata = own_metadata(new["config"]) | {
        BEGINS: f"{min(first_sequence(old), begins)}/{begins}",
        EARLIER_IDS: _earlier_ids(old, split),
    }
    # A cluster leaves the window out of a mirror's settings.
    window = old["config"]["duplicate_window"]
    config = {name: value for name, value in new["config"].items() if name != "mirror"} | {"duplicate_window": window}
    subjects = stream_subjects(split.moving)
    await ask(connection, "STREAM.UPDATE", split.new, config | {"subjects": subjects, "metadata": metadata})


def _earlier_ids(old: Mapping[str, Any], split: Split) -> str:
    """Where ids of before are known: in the old stream, and where the old one itself still sends those who ask."""
    until = time.time_ns() + old["config"]["duplicate_window"] + _CLOCKS_NANOSECONDS
    before = own_metadata(old["config"]).get(EARLIER_IDS)
    return ",".join([f"{split.new}@{until}", *([before] if before else [])])


def markers_of(info: Mapping[str, Any]) -> list[str]:
    """A stream's subjects by which it is asked for ids of before its splits."""
    known = {split_subject(stream) for stream in STREAMS}
    return [subject for subject in info["config"].get("subjects") or [] if subject in known]


def _cut_subjects(old: Mapping[str, Any], split: Split) -> list[str]:
    return [*stream_subjects(split.staying), *dict.fromkeys([*markers_of(old), split_subject(split.new)])]
