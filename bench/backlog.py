"""A stream of events made without the gateway: envelopes of the contract, published straight into it.

The orgs are spread evenly over the partitions, and their requests take turns, so that every partition has the same
work.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator
from itertools import count, cycle, islice

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from bench.rows import event
from wepeople_contracts.directory import OrgFounded, encode_fact
from wepeople_contracts.envelope import MSG_ID_HEADER, AcceptedRow, Charge, Envelope, encode
from wepeople_contracts.ids import event_id, message_id, new_id, new_request_id
from wepeople_contracts.subjects import NO_APP, PARTITIONS, ingest_subject, partition_of

ROWS = 500
PEOPLE = 500
IN_FLIGHT = 64
TIMESTAMP = "2026-04-19T12:05:00Z"
_ACK_SECONDS = 30.0
_APP = "app_bench"


class NotStored(Exception):
    """The server refused a message of the backlog, or did not acknowledge it in time."""


class Backlog:
    """Publishes requests of 500 of the guide's events, of so many people in each org.

    It knows at which sequence so many events are reached.
    """

    def __init__(self, connection: Client, orgs: int = PARTITIONS, people: int = PEOPLE) -> None:
        self._connection = connection
        self._orgs = _orgs(orgs)
        self._takes_turns = cycle(self._orgs)
        self._rows = [json.dumps(event(n % people, TIMESTAMP)).encode() for n in range(ROWS)]
        self._ends: list[int] = []

    async def found(self) -> None:
        """Store the founding of every org; it comes before all events."""
        facts = []
        for org_id in self._orgs:
            salt = hashlib.sha256(org_id.encode()).digest()
            fact = OrgFounded(fact_id=new_id("fact"), org_id=org_id, name="Bench", salt=salt, occurred_at_us=_now_us())
            facts.append((ingest_subject(org_id, NO_APP, "directory"), fact.fact_id, encode_fact(fact)))
        await self._store(iter(facts))

    async def grow(self, events: int) -> None:
        """Store so many events more; `NotStored` when the server does not take them."""
        self._ends += await self._store(islice(self._requests(), events // ROWS))

    def end_of(self, events: int) -> int:
        """The sequence at which the first so many events are in the stream."""
        return self._ends[events // ROWS - 1]

    def _requests(self) -> Iterator[tuple[str, str, bytes]]:
        for org_id in self._takes_turns:
            envelope = _envelope(org_id, self._rows)
            yield ingest_subject(org_id, _APP, "events"), envelope.message_id, encode(envelope)

    async def _store(self, messages: Iterator[tuple[str, str, bytes]]) -> list[int]:
        """Publish with `IN_FLIGHT` messages at once waiting for their acknowledgement; their sequences."""
        inbox = self._connection.new_inbox()
        room = asyncio.Semaphore(IN_FLIGHT)
        sequences: list[int] = []
        refused: list[str] = []

        async def acknowledged(message: Msg) -> None:
            answer = json.loads(message.data)
            if "error" in answer:
                refused.append(str(answer["error"]))
            else:
                sequences.append(answer["seq"])
            room.release()

        subscription = await self._connection.subscribe(f"{inbox}.*", cb=acknowledged)
        try:
            async with asyncio.timeout(None) as limit:
                for number, (subject, identifier, data) in enumerate(messages):
                    limit.reschedule(asyncio.get_running_loop().time() + _ACK_SECONDS)
                    await room.acquire()
                    headers = {MSG_ID_HEADER: identifier}
                    await self._connection.publish(subject, data, reply=f"{inbox}.{number}", headers=headers)
                for _ in range(IN_FLIGHT):
                    await room.acquire()
        except (TimeoutError, nats.errors.Error) as error:
            raise NotStored(f"the backlog could not be stored: {error!r}") from error
        finally:
            await subscription.unsubscribe()
        if refused:
            raise NotStored(f"the server refused {len(refused)} messages of the backlog: {refused[0]}")
        return sequences


def _orgs(number: int) -> list[str]:
    """Names of orgs, of which each partition in turn has the next."""
    free: list[list[str]] = [[] for _ in range(PARTITIONS)]
    for n in count():
        free[partition_of(f"org_bench{n}")].append(f"org_bench{n}")
        if min(map(len, free)) * PARTITIONS >= number:
            return [free[turn % PARTITIONS][turn // PARTITIONS] for turn in range(number)]
    raise AssertionError("there are names without end")


def _envelope(org_id: str, rows: list[bytes]) -> Envelope:
    request_id = new_request_id()
    return Envelope(
        kind="events",
        request_id=request_id,
        message_id=message_id(_APP, "POST", "/bench", request_id),
        org_id=org_id,
        app_id=_APP,
        connection="custom:bench",
        key_id="0" * 12,
        received_at_us=_now_us(),
        fingerprint=bytes(32),
        charge=Charge("2026-04", len(rows), 0),
        accepted=[AcceptedRow(index, event_id(request_id, index), raw) for index, raw in enumerate(rows)],
        rejected=[],
    )


def _now_us() -> int:
    return time.time_ns() // 1000
