"""Where the next message is: asked of the server, without a consumer."""

from nats.aio.client import Client

from wepeople_chassis.stream import StreamError, jetstream
from wepeople_contracts.subjects import STREAM_SUBJECTS, partition_filter

_NO_MESSAGE = 10037


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
    try:
        found = await jetstream(connection, f"STREAM.MSG.GET.{stream}", {"seq": after + 1, "next_by_subj": subject})
    except StreamError as error:
        if error.err_code == _NO_MESSAGE:
            return None
        raise
    sequence: int = found["message"]["seq"]
    return sequence
