"""The month of a moving stream against the answers of a quota that may be a little behind, or wrong."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.fresh import Fresh
from tests.support.stored import envelope, founded, store
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.rpc import Unavailable
from wepeople_chassis.stream import stream_states
from wepeople_contracts.envelope import Charge, Envelope
from wepeople_contracts.quota import Usage
from wepeople_contracts.reply import Reply
from wepeople_contracts.subjects import QUOTA_ALL
from wepeople_projector.counting import Count, counting
from wepeople_projector.tally import Tally

ORG = "org_a"


@pytest.fixture
async def connection(fresh: Fresh) -> AsyncIterator[Client]:
    connected = await connect(NatsAddress(fresh.nats_url), "tests")
    await store(connected, founded(ORG), charged(5), charged(2))
    yield connected
    await connected.close()


def charged(units: int) -> Envelope:
    return msgspec.structs.replace(envelope(ORG, []), charge=Charge("2026-04", units, 1))


@asynccontextmanager
async def counted(connection: Client) -> AsyncIterator[Count]:
    async with counting(connection, Tally({}, ()), await stream_states(connection), lambda *_: None) as count:
        yield count


@asynccontextmanager
async def quota_that_says(
    connection: Client, answers: Sequence[int], *, storing: Envelope | None
) -> AsyncIterator[None]:
    """A quota with these answers, the last of them again and again; a request is stored before it gives the first."""
    left = [*answers]
    to_store = [storing] if storing else []

    async def answer(message: Msg) -> None:
        while to_store:
            await store(connection, to_store.pop())
        used = left.pop(0) if len(left) > 1 else left[0]
        usage = Usage(org_id=ORG, period="2026-04", used=used, reserved=0, resets_at=datetime(2026, 5, 1, tzinfo=UTC))
        await message.respond(Reply[Usage](ok=usage).model_dump_json().encode())

    subscription = await connection.subscribe(QUOTA_ALL, cb=answer)
    try:
        yield
    finally:
        await subscription.unsubscribe()


async def test_an_answer_is_right_if_the_stream_came_by_it_while_it_was_given(connection: Client) -> None:
    for before, after in ((7, 10), (10, 13)):
        for used in (before, after):
            storing = charged(3) if used == before else None
            async with counted(connection) as count, quota_that_says(connection, [used], storing=storing):
                month = await count.month(ORG)
            assert (month.equal, month.used) == (True, used)


async def test_a_quota_that_is_a_message_behind_is_asked_again(connection: Client) -> None:
    async with counted(connection) as count, quota_that_says(connection, [5, 7], storing=None):
        assert (await count.month(ORG)).used == 7


async def test_a_quota_that_is_wrong_stays_wrong(connection: Client) -> None:
    async with counted(connection) as count, quota_that_says(connection, [8], storing=None):
        month = await count.month(ORG)
    assert (month.equal, month.charged, month.used) == (False, 7, 8)


async def test_an_org_that_was_charged_nothing_has_used_nothing(connection: Client) -> None:
    async with counted(connection) as count, quota_that_says(connection, [0], storing=None):
        assert (await count.month("org_b")).equal


async def test_without_quota_nothing_is_said_of_the_month(connection: Client) -> None:
    async with counted(connection) as count:
        with pytest.raises(Unavailable):
            await count.month(ORG)
