"""What the projector's commands find where there are two streams, in which the same sequence is another message."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest
from nats.aio.client import Client

from tests.support.fresh import Fresh, renew_stream
from tests.support.poisoned import request
from tests.support.stored import founded, store
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.stream import jetstream, stream_states, takers
from wepeople_contracts.envelope import Charge, Envelope
from wepeople_contracts.subjects import PARTITIONS, partition_of
from wepeople_projections.definition.projection import define
from wepeople_projections.definition.table import spec_of
from wepeople_projections.replay.backlog import backlog_of
from wepeople_projector.counting import counting
from wepeople_projector.models.live import Live
from wepeople_projector.models.requests import StoredRequest
from wepeople_projector.replaying import replay, sequence_at
from wepeople_projector.tally import Tally
from wepeople_projector.waiting import find_waiting

LOWER = next(f"org_{n}" for n in range(100) if partition_of(f"org_{n}") < PARTITIONS // 2)
UPPER = next(f"org_{n}" for n in range(100) if partition_of(f"org_{n}") >= PARTITIONS // 2)


def charged(org: str, units: int) -> Envelope:
    return msgspec.structs.replace(request(("a", "w1"), org=org), charge=Charge("2026-04", units, 1))


@pytest.fixture
async def connection(fresh: Fresh) -> AsyncIterator[Client]:
    connected = await connect(NatsAddress(fresh.nats_url), "tests")
    await renew_stream(connected, streams=2)
    yield connected
    await connected.close()


@pytest.fixture
async def asked(connection: Client) -> dict[str, str]:
    """The last request of each org, by the org."""
    last = {}
    for org, units in ((LOWER, 3), (UPPER, 5)):
        await store(connection, founded(org), charged(org, units), message := charged(org, units))
        last[org] = message.request_id
    return last


async def test_each_orgs_month_is_counted_in_its_stream(connection: Client, asked: dict[str, str]) -> None:
    tally = Tally(dict.fromkeys(range(PARTITIONS), 2), ())
    async with counting(connection, tally, await stream_states(connection), lambda *_: None):
        months = {org: (tally.orgs[org].accepted, dict(tally.orgs[org].months)) for org in asked}
    assert months == {LOWER: (1, {"2026-04": 6}), UPPER: (1, {"2026-04": 10})}


async def test_a_request_that_waits_is_found_in_whichever_stream_it_is(
    connection: Client, asked: dict[str, str]
) -> None:
    for org, request_id in asked.items():
        found = await find_waiting(connection, request_id, {partition_of(org): 1})
        assert found is not None
        assert (found.sequence, found.subject.split(".")[2]) == (3, org)
    assert await find_waiting(connection, "req_unknown", {}) is None


async def test_a_point_of_the_past_is_one_of_the_orgs_own_stream(connection: Client, asked: dict[str, str]) -> None:
    await store(connection, charged(UPPER, 1))
    now = datetime.now(UTC)
    assert [await sequence_at(connection, org, 99) for org in asked] == [3, 4]
    assert [await sequence_at(connection, org, now) for org in asked] == [3, 4]
    assert [await sequence_at(connection, org, 2) for org in asked] == [2, 2]
    for org, through, requests in ((LOWER, 1, 0), (LOWER, 99, 2), (UPPER, 3, 2), (UPPER, 4, 3)):
        found = await replay(connection, define(Live), spec_of(StoredRequest), (org, ""), through)
        assert (len(found.rows), found.parked) == (requests, 0)


async def test_what_is_left_of_each_stream_is_counted(connection: Client, asked: dict[str, str]) -> None:
    assert set(asked) == {LOWER, UPPER}
    messages, seconds = await backlog_of(
        connection, {partition_of(LOWER): 1, partition_of(UPPER): 3}, await takers(connection)
    )
    assert (messages, seconds > 0) == (2, True)


async def test_what_a_split_left_to_nobody_hides_neither_the_lag_of_the_rest_nor_itself(
    connection: Client, asked: dict[str, str]
) -> None:
    info = await jetstream(connection, "STREAM.INFO.INGEST_8", {})
    await jetstream(connection, "STREAM.UPDATE.INGEST_8", info["config"] | {"subjects": ["ingest.8.*.*.*"]})
    streams = {partition: state for state in await stream_states(connection) for partition in state.partitions}
    assert sorted(streams) == list(range(9))
    with pytest.raises(TimeoutError, match="no stream takes partition 9, 10, 11, 12, 13, 14, 15 now"):
        await takers(connection)
    assert (await backlog_of(connection, {partition_of(LOWER): 0, 8: 0}, streams))[0] == len(asked) + 1
