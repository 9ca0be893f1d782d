"""The same request from many sides at once is one message."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.support.breakable import Breakable
from tests.support.client import client
from tests.support.exactness import Exactly, events_body
from tests.support.gateways import Gateway, running_gateway

COPIES = 200


@pytest.fixture
async def second(breakable: Breakable, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    log = tmp_path_factory.mktemp("second") / "gateway.log"
    async with running_gateway(breakable.system.nats.url, log) as gateway:
        yield gateway


async def test_two_hundred_racing_copies_at_two_gateways_are_one_message_and_one_answer(
    breakable: Breakable, second: Gateway
) -> None:
    caller = await breakable.operator.caller()
    exactly = Exactly(breakable.operator, caller)
    body = events_body(*exactly.markers)
    async with (
        client(breakable.system.gateway_url, caller.token) as one,
        client(second.url, caller.token) as other,
    ):
        sending = (api.post("/events", body, exactly.key) for _ in range(COPIES // 2) for api in (one, other))
        answers = await asyncio.gather(*sending)
    assert Counter("Idempotent-Replayed" in answer.headers for answer in answers) == {False: 1, True: COPIES - 1}
    await exactly.holds(*answers)
