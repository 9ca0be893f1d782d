"""The backlog of a replay: an org in each partition, the same work for all, and envelopes as the gateway makes them."""

import asyncio
import json
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from bench.backlog import ROWS, Backlog, NotStored
from wepeople_contracts.envelope import decode
from wepeople_contracts.subjects import PARTITIONS, parse_ingest_subject


class Broker:
    """Acknowledges what is published, in order."""

    def __init__(self, refuse: bool = False) -> None:
        self.published: list[tuple[str, bytes]] = []
        self._refuse = refuse

    def new_inbox(self) -> str:
        return "inbox"

    async def subscribe(self, _: str, *, cb: Any) -> Any:
        self._acknowledged = cb

        async def unsubscribe() -> None:
            return

        return SimpleNamespace(unsubscribe=unsubscribe)

    async def publish(self, subject: str, data: bytes, *, reply: str, headers: dict[str, str]) -> None:
        assert reply
        assert headers
        self.published.append((subject, data))
        answer = {"error": "full"} if self._refuse else {"seq": len(self.published)}
        await self._acknowledged(SimpleNamespace(data=json.dumps(answer).encode()))
        await asyncio.sleep(0)


async def test_every_partition_has_an_org_with_as_many_events_as_any_other() -> None:
    broker: Any = Broker()
    backlog = Backlog(broker)
    await backlog.found()
    await backlog.grow(2 * PARTITIONS * ROWS)
    subjects = [parse_ingest_subject(subject) for subject, _ in broker.published]
    assert Counter(subject.partition for subject in subjects if subject.kind == "directory") == Counter(
        range(PARTITIONS)
    )
    assert Counter(s.partition for s in subjects if s.kind == "events") == Counter(2 * [*range(PARTITIONS)])
    envelopes = [decode(data) for subject, data in broker.published if subject.endswith(".events")]
    assert len({row.event_id for envelope in envelopes for row in envelope.accepted}) == 2 * PARTITIONS * ROWS


async def test_so_many_events_end_at_the_sequence_of_the_request_that_has_the_last_of_them() -> None:
    broker: Any = Broker()
    backlog = Backlog(broker)
    await backlog.found()
    await backlog.grow(3 * ROWS)
    assert [backlog.end_of(requests * ROWS) for requests in (1, 2, 3)] == [PARTITIONS + n for n in (1, 2, 3)]


async def test_what_the_server_refuses_ends_the_bench() -> None:
    broker: Any = Broker(refuse=True)
    with pytest.raises(NotStored, match="full"):
        await Backlog(broker).grow(ROWS)
