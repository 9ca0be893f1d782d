"""Where messages are, and what else on the server wants them to stay: asked of it, without a consumer."""

from typing import Any

from nats.aio.client import Client

from wepeople_archiver.trimming import Limit
from wepeople_chassis.stream import StreamError, StreamState, jetstream
from wepeople_contracts.subjects import PARTITIONS, STREAM_SUBJECTS, STREAMS, partition_filter

_NO_MESSAGE = 10037
_NO_STREAM = 10059


async def held_by_others(connection: Client, stream: StreamState) -> list[Limit]:
    """What readers need that say nowhere how far they are, and splits that are not finished."""
    found = []
    if (reading := await being_read(connection, stream.name)) is not None:
        found.append(Limit(reading, "somebody reads there just now"))
    if (copy := await _copy_of(connection, stream.name)) is not None:
        # It would wait for ever for what goes, or go on behind it.
        found.append(Limit(0, f"{copy} is being split from it: finish `wepeople stream split` first"))
    for partition in sorted(set(range(PARTITIONS)) - stream.partitions):
        if (left := await next_of(connection, stream.name, partition, 0)) is not None:
            why = f"partition {partition} left it by a split, and nobody has compared yet: run `wepeople stream tidy`"
            found.append(Limit(left, why))
    return found


async def _copy_of(connection: Client, stream: str) -> str | None:
    """A stream that is a mirror of this one; the server does not count it among who reads."""
    for name in STREAMS:
        try:
            info = await jetstream(connection, f"STREAM.INFO.{name}", {})
        except StreamError as error:
            if error.err_code != _NO_STREAM:
                raise
        else:
            if (info["config"].get("mirror") or {}).get("name") == stream:
                return name
    return None


async def being_read(connection: Client, stream: str) -> int | None:
    """The sequence that somebody reads next who has not come to the stream's end; the least of all."""
    found: list[int] = []
    asked = 0
    while True:
        page = await jetstream(connection, f"CONSUMER.LIST.{stream}", {"offset": asked})
        consumers = page["consumers"] or []
        found += [one["delivered"]["stream_seq"] + 1 for one in consumers if one["num_pending"]]
        asked += len(consumers)
        if not consumers or asked >= page["total"]:
            return min(found, default=None)


async def next_of(connection: Client, stream: str, partition: int | None, after: int) -> int | None:
    """The sequence of the first message that a partition, or all of them, has after a sequence; None when there is
    none.
    """
    subject = STREAM_SUBJECTS if partition is None else partition_filter(partition)
    return await _sequence(connection, stream, {"seq": after + 1, "next_by_subj": subject})


async def last_of(connection: Client, stream: str) -> int | None:
    """The sequence of a stream's last message, whatever else it has behind; None when there is none."""
    return await _sequence(connection, stream, {"last_by_subj": STREAM_SUBJECTS})


async def _sequence(connection: Client, stream: str, wanted: dict[str, Any]) -> int | None:
    try:
        found = await jetstream(connection, f"STREAM.MSG.GET.{stream}", wanted)
    except StreamError as error:
        if error.err_code == _NO_MESSAGE:
            return None
        raise
    sequence: int = found["message"]["seq"]
    return sequence
