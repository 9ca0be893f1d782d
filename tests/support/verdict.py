"""What a fault test concludes: the ledger, the stream, the read models and the month, held against each other."""

import time
from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing

import msgspec
from nats.aio.client import Client as NatsClient
from psycopg import AsyncConnection

from tests.support.client import Client
from tests.support.ledger import Ledger
from tests.support.load import RequestMaker
from tests.support.operators import EVENT_TYPE, Operators
from tests.support.read_models import eventually, query, rows_of_request
from tests.support.strikes import Striker
from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import stream_of
from wepeople_contracts.envelope import Envelope, decode
from wepeople_contracts.rows import EventRow
from wepeople_contracts.subjects import parse_ingest_subject, partition_filter, partition_of

CATCH_UP_SECONDS = 60.0
_SHOWN = 12

TimelineRow = tuple[str, str, str, int, str]
"""Event id, marker, request id, sequence, metadata as text."""

_row_decoder = msgspec.json.Decoder(EventRow)


async def wait_until_applied(client: Client, operator_dsn: str) -> None:
    """Send one more event of the same org and wait for it: all before it in the org's history is applied by then."""
    last = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "the-last"}}
    answer = await client.events([last | {"metadata": {"marker": RequestMaker.LAST}}])
    assert answer.status == 202, answer
    await rows_of_request(operator_dsn, answer.json()["requestId"], 1, within_seconds=CATCH_UP_SECONDS)


async def read_timeline(operator_dsn: str, org_id: str) -> list[TimelineRow]:
    """The org's timeline, without the last event."""
    statement = b"""
        SELECT event_id, metadata ->> 'marker', request_id, sequence, metadata_raw FROM live.timeline
        WHERE org_id = %s AND metadata ->> 'marker' <> %s
    """
    async with await AsyncConnection.connect(operator_dsn) as connection:
        return await (await connection.execute(statement, [org_id, RequestMaker.LAST])).fetchall()


async def read_stream(connection: NatsClient, org_id: str) -> list[tuple[int, Envelope]]:
    """The org's envelopes with their sequences, from the first to the last."""
    partition = partition_of(org_id)
    stream = await stream_of(connection, partition)
    end = stream.last_sequence
    found: list[tuple[int, Envelope]] = []
    reader = StreamReader(connection, stream=stream.name, filter_subject=partition_filter(partition), after=0)
    async with aclosing(reader.batches()) as batches:
        async for batch in batches:
            for message in batch.messages:
                subject = parse_ingest_subject(message.subject)
                if subject.org_id == org_id and subject.kind != "directory":
                    found.append((message.sequence, decode(message.data)))
            if batch.through >= end:
                return found
    raise AssertionError("the stream ended before its end")


async def read_latest_snapshots(operator_dsn: str, org_id: str) -> dict[tuple[str, str], str]:
    """The marker of each latest snapshot, by (external id, snapshot type)."""
    statement = """
        SELECT external_id, s.snapshot_type, s.metrics ->> 'marker' AS marker
        FROM live.latest_snapshots s
        JOIN live.workers w USING (org_id, worker_id) CROSS JOIN unnest(w.external_ids) AS external_id
        WHERE s.org_id = %(org_id)s
    """
    rows = await query(operator_dsn, statement, {"org_id": org_id})
    return {(row["external_id"], row["snapshot_type"]): row["marker"] for row in rows}


def differences_of_stream(stream: Iterable[tuple[int, Envelope]], timeline: Iterable[TimelineRow]) -> list[str]:
    """What the timeline and the stream say differently, and what the stream holds twice; in words."""
    envelopes = list(stream)
    wrong = [
        f"message id {message_id} is in the stream {times} times"
        for message_id, times in Counter(envelope.message_id for _, envelope in envelopes).items()
        if times > 1
    ]
    expected = {
        (row.event_id, envelope.request_id, sequence, _metadata(row.raw))
        for sequence, envelope in envelopes
        if envelope.kind == "events"
        for row in envelope.accepted
    }
    shown = {(event_id, request_id, sequence, raw) for event_id, _, request_id, sequence, raw in timeline}
    last = {entry for entry in expected if RequestMaker.LAST in entry[3]}
    wrong += [f"{entry[0]} (sequence {entry[2]}) is not in the timeline" for entry in expected - last - shown]
    wrong += [f"{entry[0]} (sequence {entry[2]}) is not in the stream" for entry in shown - expected]
    return wrong


def _metadata(raw: bytes) -> str:
    metadata = _row_decoder.decode(raw).metadata
    assert isinstance(metadata, msgspec.Raw)
    return bytes(metadata).decode()


def complaints(ledger: Ledger, striker: Striker, timeline: Iterable[TimelineRow]) -> list[str]:
    """Every broken promise, with the moment of its request and what was being killed around then."""
    findings = ledger.compare_events((marker, event_id) for event_id, marker, *_ in timeline)
    wrong = [f"request {key} was refused: {why}" for key, why in ledger.refused.items()]
    for kind, markers in findings.all().items():
        requests = Counter(marker.rpartition("-")[0] for marker in markers)
        wrong.append(f"{len(markers)} markers of {len(requests)} requests are {kind}:")
        wrong += [f"  {_story(ledger, striker, key, count)}" for key, count in list(requests.items())[:_SHOWN]]
    return wrong


def _story(ledger: Ledger, striker: Striker, key: str, count: int) -> str:
    """One request of a finding: when it was first sent, and what was killed around then."""
    request = ledger.sent.get(key)
    if request is None:
        return f"{key} was never sent"
    moment = time.strftime("%H:%M:%S", time.localtime(request.sent_at))
    around = "; ".join(striker.around(request.sent_at)) or "nothing was killed"
    return f"{key} ({count} of {len(request.markers)} rows), first sent at {moment}: {around}"


async def wait_for_usage(operator: Operators, org_id: str, events: int) -> None:
    """Quota's month is the number of events in the timeline, once nothing is in flight any more."""
    await eventually(
        lambda: operator.usage(org_id),
        lambda usage: (usage.used, usage.reserved) == (events, 0),
        within_seconds=CATCH_UP_SECONDS,
        what=f"a month of {events} events and nothing reserved",
    )
