"""The last span of a request's trace: the transaction that made its rows visible.

A batch is of many requests, each with a trace of its own, so each gets a span of its own of the same moment, with what
the batch was like.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from wepeople_chassis.stream import StoredMessage
from wepeople_chassis.tracing import is_tracing, record

NAME = "project"


@contextmanager
def traced_commit(schema: str, partition: int, messages: Sequence[StoredMessage], rows: int) -> Iterator[None]:
    """Around a transaction: once it is committed, each message's trace says so."""
    if not is_tracing():
        yield
        return
    began_ns = time.time_ns()
    yield
    ended_ns = time.time_ns()
    for message in messages:
        if message.traceparent is None:
            continue
        attributes: dict[str, str | int | float] = {
            "wepeople.schema": schema,
            "wepeople.partition": partition,
            "wepeople.sequence": message.sequence,
            "wepeople.stored_seconds_ago": round((began_ns - message.stored_at_ns) / 1e9, 6),
            "wepeople.batch.messages": len(messages),
            "wepeople.batch.rows": rows,
            "wepeople.batch.first_sequence": messages[0].sequence,
            "wepeople.batch.last_sequence": messages[-1].sequence,
        }
        record(NAME, message.traceparent, began_ns=began_ns, ended_ns=ended_ns, attributes=attributes)
