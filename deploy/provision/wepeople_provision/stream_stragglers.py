"""Messages that an old stream took of a partition after its cut: brought into the new one, so that none is lost.

None was ever seen. One server lets none through (the marker is behind them all); in a cluster, a node that becomes the
stream's leader at the very moment of the cut, and has not heard of it, could take some.
"""

import base64
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from nats.aio.client import Client

from wepeople_contracts.envelope import MSG_ID_HEADER
from wepeople_contracts.subjects import STREAMS, partition_filter, partitions_in, split_subject
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream_api import Refused, ask
from wepeople_provision.stream_layout import Split

_PUBLISH_SECONDS = 5.0


async def bring_along(connection: Client, split: Split, marker: int | None) -> int:
    """Store again, where they belong, what came behind the marker; how many. What is there already is left out: a
    command that was killed may have brought some, longer ago than ids are remembered.

    Without a marker, which one that was killed had, it is the last one in the old stream.
    """
    if marker is None:
        found = await _get(connection, split.old, {"last_by_subj": split_subject(split.new)})
        if found is None:
            return 0
        marker = int(found["seq"])
    brought = 0
    for partition in sorted(split.moving):
        for message in await _lacking(connection, split.old, split.new, partition, marker):
            await _store(connection, message)
            brought += 1
    return brought


async def _lacking(connection: Client, old: str, new: str, partition: int, marker: int) -> list[dict[str, Any]]:
    """Of a partition's messages behind the marker those that the new stream has not, by their ids."""
    late = [message async for message in _after(connection, old, partition, marker)]
    there = {_id_of(message) async for message in _after(connection, new, partition, marker)} if late else set()
    return [message for message in late if _id_of(message) not in there]


async def not_brought(connection: Client, there: Mapping[str, Mapping[str, Any]]) -> list[Split]:
    """Splits that were promoted, in whose old stream something of what moved is behind the marker."""
    found = []
    for old, info in there.items():
        for subject in info["config"].get("subjects") or []:
            marked = await _get(connection, old, {"last_by_subj": subject}) if subject in _MARKERS else None
            if marked is None:
                continue
            said = json.loads(base64.b64decode(marked["data"]))
            new = there.get(said["to"])
            if new is None or "mirror" in new["config"]:
                continue
            takes = partitions_in(new["config"]["subjects"]).intersection(said["partitions"])
            if late := [p for p in takes if await _lacking(connection, old, said["to"], p, marked["seq"])]:
                found.append(Split(old, said["to"], partitions_in(info["config"]["subjects"]), frozenset(late)))
    return found


_MARKERS = {split_subject(stream) for stream in STREAMS}


async def _after(connection: Client, stream: str, partition: int, after: int) -> AsyncGenerator[dict[str, Any]]:
    while (message := await _get(connection, stream, _next(partition, after))) is not None:
        yield message
        after = message["seq"]


def _next(partition: int, after: int) -> dict[str, Any]:
    return {"seq": after + 1, "next_by_subj": partition_filter(partition)}


async def _get(connection: Client, stream: str, wanted: dict[str, Any]) -> dict[str, Any] | None:
    try:
        message: dict[str, Any] = (await ask(connection, "STREAM.MSG.GET", stream, wanted))["message"]
    except Refused:
        return None
    return message


def _headers(message: Mapping[str, Any]) -> dict[str, str]:
    """Those of a stored message, without what it expected of the stream that it was meant for."""
    lines = base64.b64decode(message.get("hdrs", "")).decode().split("\r\n")[1:]
    pairs = [line.split(": ", 1) for line in lines if ": " in line]
    return {name: value for name, value in pairs if not name.lower().startswith("nats-expected-")}


def _id_of(message: Mapping[str, Any]) -> str:
    """Its id, or, of one that has none, a name that no other has."""
    return _headers(message).get(MSG_ID_HEADER) or f"{message['seq']} without an id"


async def _store(connection: Client, message: dict[str, Any]) -> None:
    data = base64.b64decode(message.get("data", ""))
    reply = await connection.request(message["subject"], data, timeout=_PUBLISH_SECONDS, headers=_headers(message))
    if error := json.loads(reply.data).get("error"):
        raise ProvisionError(f"A message that came late could not be brought along: {error.get('description')}.")
