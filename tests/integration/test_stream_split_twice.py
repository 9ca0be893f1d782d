"""Two commands that change streams at once: one at a time, and what was acknowledged is where it was said to be."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from nats.aio.client import Client

from tests.support.lone_stream import Server, eventually
from tests.support.splitting import load, split_stream, wrongs
from wepeople_chassis.stream import stream_states
from wepeople_provision import stream_lock
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream import provision_streams
from wepeople_provision.stream_api import streams_there
from wepeople_provision.stream_cut import cut_over
from wepeople_provision.stream_lock import one_at_a_time
from wepeople_provision.stream_plan import Wishes
from wepeople_provision.stream_split import carry_out, splits_due
from wepeople_provision.stream_tidy import end_asking


@pytest.fixture
async def streams(connection: Client) -> Client:
    await eventually(lambda: provision_streams(connection))
    return connection


async def split_into_four(connection: Client) -> None:
    for split in await splits_due(connection, None, 4):
        await carry_out(connection, split)


async def test_of_two_at_once_none_undoes_what_the_other_did(streams: Client, server: Server) -> None:
    async with load(server.url) as running:
        await running.more()
        ended = await asyncio.gather(*(split_into_four(streams) for _ in range(2)), return_exceptions=True)
        await running.more()
        await split_into_four(streams)
        await running.more()
    assert all(one is None or isinstance(one, ProvisionError) for one in ended), ended
    states = await stream_states(streams)
    assert [state.name for state in states] == ["INGEST", "INGEST_4", "INGEST_8", "INGEST_12"]
    assert await wrongs(streams, running.answers, {p: state.name for state in states for p in state.partitions}) == []


async def test_a_plan_that_another_command_has_overtaken_is_refused_and_changes_nothing(streams: Client) -> None:
    (planned,) = await splits_due(streams, None, None)
    await split_stream(streams, "INGEST")
    before = await stream_states(streams)
    with pytest.raises(ProvisionError, match="another `wepeople stream split` was at work"):
        await cut_over(streams, planned)
    assert await stream_states(streams) == before


async def test_while_one_cuts_another_waits_and_says_so_when_it_does_not_end(
    streams: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_lock, "WAIT_SECONDS", 0.3)
    async with one_at_a_time(streams):
        with pytest.raises(ProvisionError, match="is at work"):
            await split_stream(streams, "INGEST")
    assert [len(state.partitions) for state in await stream_states(streams)] == [16]
    await split_stream(streams, "INGEST")


async def other_settings(connection: Client) -> None:
    await provision_streams(connection, Wishes(max_bytes=50_000_000))


@pytest.mark.parametrize("change_them", [other_settings, end_asking])
async def test_while_one_cuts_nobody_else_changes_a_stream(
    streams: Client, monkeypatch: pytest.MonkeyPatch, change_them: Callable[[Client], Awaitable[None]]
) -> None:
    """Settings of before the cut would take it back."""
    monkeypatch.setattr(stream_lock, "WAIT_SECONDS", 0.3)
    await split_stream(streams, "INGEST")
    before = await streams_there(streams)
    async with one_at_a_time(streams):
        await provision_streams(streams)
        with pytest.raises(ProvisionError, match="is at work"):
            await change_them(streams)
        assert settings_of(await streams_there(streams)) == settings_of(before)
    await change_them(streams)
    assert settings_of(await streams_there(streams)) != settings_of(before)


def settings_of(there: dict[str, dict[str, Any]]) -> list[Any]:
    return [info["config"] for info in there.values()]
