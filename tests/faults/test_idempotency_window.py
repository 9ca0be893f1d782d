"""A key may be used again once its window, which is the stream's own, is over."""

import json
import time
from collections.abc import AsyncIterator

import pytest

from tests.support.breakable import Breakable
from tests.support.client import Answer, client
from tests.support.exactness import charged, events_body, stored_messages
from tests.support.operators import Operators
from tests.support.read_models import eventually
from wepeople_contracts.subjects import STREAMS

WINDOW_SECONDS = 2.0


async def set_window(operator: Operators, seconds: float) -> None:
    """How long the stream refuses a message id that it holds."""
    info = json.loads((await operator.connection.request(f"$JS.API.STREAM.INFO.{STREAMS[0]}", b"", timeout=5)).data)
    config = json.dumps(info["config"] | {"duplicate_window": int(seconds * 1e9)}).encode()
    reply = json.loads(
        (await operator.connection.request(f"$JS.API.STREAM.UPDATE.{STREAMS[0]}", config, timeout=5)).data
    )
    assert "error" not in reply, reply


@pytest.fixture
async def short_window(breakable: Breakable) -> AsyncIterator[Breakable]:
    """A system whose stream, and with it quota, knows a request for two seconds."""
    quota = breakable.system.services["quota"]
    for seconds in (WINDOW_SECONDS, 600.0):
        await set_window(breakable.operator, seconds)
        assert await quota.stop() == 0
        quota.start()
        await quota.wait_ready(breakable.operator.connection)
        if seconds == WINDOW_SECONDS:
            yield breakable


async def test_a_key_used_again_after_its_window_is_a_new_request(short_window: Breakable) -> None:
    operator = short_window.operator
    caller = await operator.caller()
    body = events_body("a")
    async with client(short_window.system.gateway_url, caller.token) as api:

        async def send() -> Answer:
            answer = await api.post("/events", body, "again")
            assert answer.status == 202, answer
            return answer

        began = time.monotonic()
        first = await send()
        assert (await send()).body == first.body
        # Asking does not make the window longer.
        later = await eventually(send, lambda answer: "Idempotent-Replayed" not in answer.headers)
        assert time.monotonic() - began > WINDOW_SECONDS
    assert later.json()["requestId"] != first.json()["requestId"]
    assert await stored_messages(operator, caller) == 2
    await charged(operator, caller, 2)
