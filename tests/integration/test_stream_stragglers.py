"""What an old stream took behind its cut is brought along, as gateways store it, also by a second command."""

import base64
import json
from typing import Any

import pytest
from nats.aio.client import Client

from tests.support.lone_stream import eventually
from tests.support.splitting import Killed, split_stream, subject_in, texts
from wepeople_contracts.subjects import partition_filter, stream_subjects
from wepeople_provision import stream_cut, stream_split
from wepeople_provision.stream import provision_streams
from wepeople_provision.stream_api import ask
from wepeople_provision.stream_layout import Split
from wepeople_provision.stream_split import carry_out, splits_due
from wepeople_provision.stream_stragglers import bring_along

EXPECTING = {"Nats-Msg-Id": "late", "Nats-Expected-Stream": "INGEST"}


@pytest.fixture
async def streams(connection: Client) -> Client:
    await eventually(lambda: provision_streams(connection))
    return connection


async def come_late(connection: Client) -> None:
    """As a node that has not heard of the cut: a gateway's message of partition 9 goes into the old stream."""
    old, new = [await ask(connection, "STREAM.INFO", name) for name in ("INGEST", "INGEST_8")]
    await stream_cut.change(connection, new, subjects=stream_subjects({8, *range(10, 16)}))
    await stream_cut.change(connection, old, subjects=[*old["config"]["subjects"], partition_filter(9)])
    await connection.request(subject_in(9), b"late", timeout=5, headers=EXPECTING)
    await stream_cut.change(connection, old)
    await stream_cut.change(connection, new)


async def test_what_expected_the_old_stream_is_taken_by_the_new(
    streams: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def with_one_late(connection: Client, split: Split, marker: int | None) -> int:
        await come_late(connection)
        return await bring_along(connection, split, marker)

    monkeypatch.setattr(stream_split, "bring_along", with_one_late)
    assert (await split_stream(streams, "INGEST")).stragglers == 1
    assert list((await texts(streams, "INGEST_8", 9)).values()) == ["late"]
    answer = await streams.request(subject_in(9), b"late", timeout=5, headers={"Nats-Msg-Id": "late"})
    assert json.loads(answer.data)["duplicate"]


async def test_killed_before_it_brought_them_along_the_next_does_and_only_once(
    streams: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any) -> int:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(stream_split, "bring_along", killed)
        with pytest.raises(Killed):
            await split_stream(streams, "INGEST")
    await come_late(streams)
    assert await texts(streams, "INGEST_8", 9) == {}
    (left,) = await splits_due(streams, None, 2)
    assert (await carry_out(streams, left)).stragglers == 1
    assert (await carry_out(streams, left)).stragglers == 0
    (sequence,) = await texts(streams, "INGEST_8", 9)
    stored = (await ask(streams, "STREAM.MSG.GET", "INGEST_8", {"seq": sequence}))["message"]
    assert b"Nats-Expected" not in base64.b64decode(stored["hdrs"])
    assert await splits_due(streams, None, 2) == []
