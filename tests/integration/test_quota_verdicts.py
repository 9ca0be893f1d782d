"""Quota as a process under clients that ask at once: exact rates, an exact month, replies to everything."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fresh import Fresh
from tests.support.quota_client import ClientProcesses, Told, client_processes
from tests.support.quotas import ORG, Asker, asker, charged, new_message_id, quota_process, until
from tests.support.servers import Servers
from tests.support.stored import founded, store
from wepeople_contracts.ids import new_id
from wepeople_contracts.quota import Granted, RateLimited, Seen, Verdict
from wepeople_contracts.reply import Reply
from wepeople_contracts.subjects import reserve_subject


@pytest.fixture
async def ask(fresh: Fresh, tmp_path: Path) -> AsyncIterator[Asker]:
    """A client of a quota process that is ready."""
    process = quota_process(fresh.nats_url, fresh.dsn("quota"), tmp_path)
    process.start()
    try:
        async with asker(fresh.nats_url) as client:
            await process.wait_ready(client.connection)
            yield client
    finally:
        await process.stop()


@pytest.fixture(scope="module")
async def clients(servers: Servers) -> AsyncIterator[ClientProcesses]:
    """Four processes that ask at once."""
    async with client_processes(servers.nats_url, 4) as processes:
        yield processes


@pytest.mark.parametrize("scope", ["key", "org"])
async def test_four_processes_together_get_exactly_one_window_of_a_rate(
    ask: Asker, clients: ClientProcesses, scope: str
) -> None:
    for attempt in range(10):
        org = f"org_{attempt}"
        told = await clients.ask({"org_id": org, "key_id": org, f"{scope}_limit": 60}, count=50)
        if max(one.answered for one in told) - min(one.asked for one in told) < 1.0:
            assert len(told) == 4 * 50
            assert sum(one.verdict == "granted" for one in told) == 60
            return
    pytest.fail("this machine never managed 200 requests within one second")


async def test_no_second_holds_more_than_the_limit_and_none_is_lost_to_refusals(
    ask: Asker, clients: ClientProcesses
) -> None:
    told = await clients.ask({"key_limit": 100}, seconds=3.2)
    granted = [one for one in told if one.verdict == "granted"]
    assert any(one.verdict == "rate_limited" for one in told)
    for first in granted:
        # Quota decided between the two moments that the client saw, so these were surely decided within one second.
        assert sum(one.asked >= first.asked and one.answered < first.asked + 1.0 for one in granted) <= 100
    assert 300 <= len(granted) <= 400


@pytest.mark.parametrize(
    ("key_limit", "org_limit", "pause_seconds"), [(7, 18, 0.2), (40, 90, 0.05), (100, 1000, 0.1), (150, 200, 0.0)]
)
async def test_four_gateways_at_random_moments_are_told_what_one_window_per_key_and_org_would_say(
    ask: Asker, clients: ClientProcesses, key_limit: int, org_limit: int, pause_seconds: float
) -> None:
    limits = {"key_limit": key_limit, "org_limit": org_limit}
    told = await clients.ask(limits, seconds=2.2, keys=["one", "two", "three"], pause_seconds=pause_seconds)
    granted = [one for one in told if one.verdict == "granted"]
    of_key = {key: [one for one in granted if one.key_id == key] for key in ("one", "two", "three")}
    assert {one.verdict for one in told} == {"granted", "rate_limited"}
    # Each was decided at some moment between its two. No second surely holds more than the limit, ...
    for one in granted:
        assert surely_within(granted, one.asked, one.asked + 1) <= org_limit
        assert surely_within(of_key[one.key_id], one.asked, one.asked + 1) <= key_limit
    # ... and no request was refused unless the second before it may have been full.
    for one in told:
        if one.scope == "key":
            assert maybe_within(of_key[one.key_id], one.asked - 1, one.answered) >= key_limit
        elif one.scope == "org":
            assert maybe_within(granted, one.asked - 1, one.answered) >= org_limit
            assert surely_within(of_key[one.key_id], one.answered - 1, one.asked) < key_limit


async def test_a_noisy_key_costs_its_org_no_more_than_its_own_rate_and_another_org_nothing(
    ask: Asker, clients: ClientProcesses
) -> None:
    async def ask_quietly(changed: dict[str, Any]) -> list[str]:
        verdicts: list[str] = []
        for _ in range(60):
            verdicts.append((await ask.reserve(None, 0, **changed)).verdict)
            await asyncio.sleep(0.03)
        return verdicts

    limits = {"key_limit": 60, "org_limit": 100}
    # At most 34 a second of the quiet key: with the noisy one's 60 still fewer than the org may.
    noise, neighbour, other_org = await asyncio.gather(
        clients.ask({"key_id": "noisy", **limits}, seconds=2.0),
        ask_quietly({"key_id": "quiet", **limits}),
        ask_quietly({"key_id": "elsewhere", "org_id": "org_elsewhere", **limits}),
    )
    assert sum(one.verdict == "rate_limited" for one in noise) > 100
    assert neighbour == ["granted"] * 60
    assert other_org == ["granted"] * 60


async def test_four_processes_together_get_exactly_the_month(ask: Asker, clients: ClientProcesses) -> None:
    told = await clients.ask({"month_limit": 1000, "units": 7}, count=100)
    assert sum(one.units for one in told) == 1000
    assert {one.units for one in told} == {0, 1000 % 7, 7}
    usage = await ask.usage()
    assert (usage.used, usage.reserved) == (0, 1000)


async def test_requests_with_one_id_share_one_reservation(ask: Asker) -> None:
    message_id = new_message_id()
    verdicts = await asyncio.gather(*(ask.reserve(message_id, 5, month_limit=8) for _ in range(20)))
    assert [v.units for v in verdicts if isinstance(v, Granted)] == [5] * 20
    assert (await ask.usage()).reserved == 5


async def test_a_stored_message_becomes_usage_and_its_id_is_seen(ask: Asker) -> None:
    message = charged(3)
    await ask.reserve(message.message_id, 3)
    sequence = await store(ask.connection, message)
    await until(lambda: is_used(ask, 3))
    assert (await ask.usage()).reserved == 0
    verdict = await ask.reserve(message.message_id, 3, month_limit=3)
    assert isinstance(verdict, Seen)
    assert verdict.sequence == sequence


async def test_a_release_gives_the_units_back(ask: Asker) -> None:
    message_id = new_message_id()
    await ask.reserve(message_id, 5, month_limit=5)
    await ask.release(message_id)
    await until(lambda: is_free(ask))
    verdict = await ask.reserve(new_message_id(), 5, month_limit=5)
    assert isinstance(verdict, Granted)
    assert verdict.units == 5


async def test_a_client_that_waits_as_long_as_it_was_told_gets_through(ask: Asker) -> None:
    await ask.reserve(None, 0, key_limit=1)
    refused = await ask.reserve(None, 0, key_limit=1)
    assert isinstance(refused, RateLimited)
    await asyncio.sleep(refused.retry_after_seconds)
    assert isinstance(await ask.reserve(None, 0, key_limit=1), Granted)


async def test_a_request_that_makes_no_sense_is_answered(ask: Asker) -> None:
    for body in (b"", b"{}", b"\xff", b'{"units": -1}'):
        answer = await ask.connection.request(reserve_subject(ORG), body, timeout=2)
        reply = Reply[Verdict].model_validate_json(answer.data)
        assert reply.error is not None
        assert reply.error.code == "invalid"


async def test_what_is_not_an_envelope_charges_nobody_and_stops_nothing(ask: Asker) -> None:
    stream = ask.connection.jetstream()
    await stream.publish("ingest.3.org.app.events", b"\xff\xffrubbish", headers={"Nats-Msg-Id": new_id("x")})
    await store(ask.connection, founded(ORG), charged(2))
    await until(lambda: is_used(ask, 2))


def surely_within(verdicts: list[Told], begin: float, end: float) -> int:
    return sum(one.asked >= begin and one.answered < end for one in verdicts)


def maybe_within(verdicts: list[Told], begin: float, end: float) -> int:
    return sum(one.answered > begin and one.asked <= end for one in verdicts)


async def is_used(ask: Asker, units: int) -> bool:
    return (await ask.usage()).used == units


async def is_free(ask: Asker) -> bool:
    return (await ask.usage()).reserved == 0
