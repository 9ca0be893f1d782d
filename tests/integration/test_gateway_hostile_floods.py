"""Floods of guessed keys, of the largest bodies and of gzip bombs: memory is bounded, and others are served meanwhile.

What is measured is printed; docs/limits.md has the figures.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import psutil
import pytest

from tests.support.client import Answer, client
from tests.support.gateways import running_gateway
from tests.support.hostile import BODY_CLIENTS, flood
from tests.support.operators import EVENT_TYPE, Operators
from tests.support.system import RunningSystem

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unharmed")]

EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}
FLOOD_SECONDS = 8.0
PAUSE_SECONDS = 0.02
MEBIBYTE = 2**20

Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def print_now(text: str) -> None:
        with capsys.disabled():
            print(f"  {text}", flush=True)

    return print_now


async def latencies(send: Callable[[], Awaitable[Answer]], status: int, seconds: float) -> list[float]:
    """Milliseconds of one request after another, each of which must be answered so."""
    found: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        answer = await send()
        found.append((time.monotonic() - began) * 1000)
        assert answer.status == status, answer
        await asyncio.sleep(PAUSE_SECONDS)
    return found


def described(values: list[float]) -> str:
    ordered = sorted(values)
    return f"median {statistics.median(ordered):.1f} ms, p99 {ordered[int(len(ordered) * 0.99)]:.1f} ms"


async def peak_rss(pid: int, done: asyncio.Task[dict[str, int]]) -> int:
    process, peak = psutil.Process(pid), 0
    while not done.done():
        peak = max(peak, process.memory_info().rss)
        await asyncio.sleep(0.01)
    return peak


async def test_guessed_keys_do_not_hold_up_known_ones(system: RunningSystem, operator: Operators, say: Say) -> None:
    caller = await operator.caller()
    async with client(system.gateway_url, caller.token) as known:
        idle = await latencies(known.ping, 200, 3.0)
        async with flood("guesses", system.gateway_url, caller.token, FLOOD_SECONDS) as flooding:
            meanwhile = await latencies(known.ping, 200, FLOOD_SECONDS - 1)
            answers = await flooding
    say(f"guesses: idle {described(idle)}; meanwhile {described(meanwhile)}; answers to guesses {answers}")
    assert set(answers) <= {"401", "503"}
    assert answers["401"] > 100
    assert statistics.median(meanwhile) <= 3 * statistics.median(idle)


async def test_twenty_clients_with_nine_mebibytes_at_once_leave_room_for_small_requests(
    system: RunningSystem, operator: Operators, tmp_path_factory: pytest.TempPathFactory, say: Say
) -> None:
    large, small = await operator.caller(), await operator.caller()
    log = tmp_path_factory.mktemp("bodies") / "gateway.log"
    async with running_gateway(system.nats_url, log) as gateway, client(gateway.url, small.token) as api:
        idle = await latencies(lambda: api.events([EVENT]), 202, 2.0)
        before = psutil.Process(gateway.pid).memory_info().rss
        async with flood("bodies", gateway.url, large.token, FLOOD_SECONDS) as flooding:
            watching = asyncio.create_task(peak_rss(gateway.pid, flooding))
            meanwhile = await latencies(lambda: api.events([EVENT]), 202, FLOOD_SECONDS - 1)
            answers, peak = await flooding, await watching
    grown = (peak - before) / MEBIBYTE
    say(
        f"{BODY_CLIENTS} x 9 MiB: idle {described(idle)}; meanwhile {described(meanwhile)}; "
        f"gateway grew by {grown:.0f} MiB; answers to bodies {answers}"
    )
    assert set(answers) <= {"202", "503"}
    assert answers["202"] >= BODY_CLIENTS / 2
    assert statistics.median(meanwhile) < 500
    assert grown < 500


async def test_gzip_bombs_at_once_cost_less_memory_than_their_contents(
    system: RunningSystem, operator: Operators, tmp_path_factory: pytest.TempPathFactory, say: Say
) -> None:
    bomber, small = await operator.caller(), await operator.caller()
    log = tmp_path_factory.mktemp("bombs") / "gateway.log"
    async with running_gateway(system.nats_url, log) as gateway, client(gateway.url, small.token) as api:
        idle = await latencies(api.ping, 200, 2.0)
        before = psutil.Process(gateway.pid).memory_info().rss
        async with flood("bombs", gateway.url, bomber.token, FLOOD_SECONDS) as flooding:
            watching = asyncio.create_task(peak_rss(gateway.pid, flooding))
            meanwhile = await latencies(api.ping, 200, FLOOD_SECONDS - 1)
            answers, peak = await flooding, await watching
    grown = (peak - before) / MEBIBYTE
    say(
        f"bombs: idle {described(idle)}; meanwhile {described(meanwhile)}; gateway grew by {grown:.0f} MiB; "
        f"answers to bombs {answers}"
    )
    assert set(answers) <= {"413", "503"}
    assert answers["413"] > 0
    assert grown < 128
