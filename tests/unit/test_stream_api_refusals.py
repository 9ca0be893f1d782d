"""What a call of JetStream's API that was refused means: wait, or ask an operator."""

import json
from typing import Any, cast

import pytest
from nats.aio.client import Client

from wepeople_chassis.stream import StreamError, jetstream


class _Refuses:
    """A connection whose server answers every request with an error."""

    def __init__(self, **error: object) -> None:
        self.data = json.dumps({"error": error}).encode()

    async def request(self, *_: Any, **__: Any) -> "_Refuses":
        return self


@pytest.mark.parametrize(
    "error",
    [
        {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"},
        {"code": 500, "err_code": 10118, "description": "stream is offline"},
        {"code": 500, "err_code": 10119, "description": "consumer is offline"},
    ],
)
async def test_what_a_server_that_died_had_is_waited_for(error: dict[str, object]) -> None:
    with pytest.raises(TimeoutError):
        await jetstream(cast(Client, _Refuses(**error)), "CONSUMER.INFO.INGEST.read-1", {})


async def test_what_does_not_mend_itself_is_said_with_the_servers_own_number() -> None:
    refuses = _Refuses(code=404, err_code=10014, description="consumer not found")
    with pytest.raises(StreamError, match="consumer not found") as found:
        await jetstream(cast(Client, refuses), "CONSUMER.INFO.INGEST.read-1", {})
    assert found.value.err_code == 10014
