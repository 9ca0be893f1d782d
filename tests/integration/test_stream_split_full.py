"""A stream without room even for the marker says what to do, and is split once it has some."""

import json

import pytest
from nats.aio.client import Client

from tests.support.lone_stream import eventually
from tests.support.splitting import split_stream, subject_in
from wepeople_chassis.stream import stream_states
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream import provision_streams
from wepeople_provision.stream_plan import Wishes
from wepeople_provision.stream_split import carry_out, splits_due


async def fill(connection: Client, size: int) -> None:
    while "error" not in json.loads((await connection.request(subject_in(3), bytes(size), timeout=5)).data):
        pass


async def test_a_stream_that_is_full_to_the_brim_is_split_once_it_has_more_room(connection: Client) -> None:
    await eventually(lambda: provision_streams(connection, Wishes(max_bytes=100_000)))
    for size in (500, 50, 1):
        await fill(connection, size)
    with pytest.raises(ProvisionError, match=r"full to the brim.*some more room first"):
        await split_stream(connection, "INGEST")
    assert [len(state.partitions) for state in await stream_states(connection)] == [16]
    await provision_streams(connection, Wishes(max_bytes=200_000))
    await carry_out(connection, (await splits_due(connection, None, None))[0])
    assert [len(state.partitions) for state in await stream_states(connection)] == [8, 8]
