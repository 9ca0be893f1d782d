"""`kill -9` of any part at any moment loses no accepted event and doubles none.

WP_FAULT_SEED repeats a run's requests and kills (their timing against each other stays the machine's).
"""

import asyncio
import os
import random
import time
from collections.abc import Callable

import pytest

from tests.support.breakable import Breakable
from tests.support.client import client
from tests.support.load import Load, RequestMaker
from tests.support.strikes import VICTIMS, Striker, plan
from tests.support.verdict import (
    complaints,
    differences_of_stream,
    read_latest_snapshots,
    read_stream,
    read_timeline,
    wait_for_usage,
    wait_until_applied,
)

RATE = 110.0
LEAST_RATE = 100.0

Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Print at once: a loop of minutes must show that it goes on."""

    def print_now(text: str) -> None:
        with capsys.disabled():
            print(f"  {text}", flush=True)

    return print_now


@pytest.mark.slow
async def test_no_event_is_lost_or_doubled_by_a_kill_of_each_part(breakable: Breakable) -> None:
    # Of this seed nats-server hangs with requests on their way, and dies.
    await kill_loop(breakable, kills_of_each=1, say=print, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_no_event_is_lost_or_doubled_by_twenty_kills_of_each_part(breakable: Breakable, say: Say) -> None:
    await kill_loop(breakable, kills_of_each=20, say=say, seed=random.randrange(2**32))


async def kill_loop(breakable: Breakable, *, kills_of_each: int, say: Say, seed: int) -> None:
    seed = int(os.environ.get("WP_FAULT_SEED") or seed)
    say(f"WP_FAULT_SEED={seed}")
    system, operator = breakable.system, breakable.operator
    caller = await operator.caller()
    striker = Striker(system, operator.connection, say)
    async with client(system.gateway_url, caller.token, timeout_seconds=20) as api:
        load = Load(api, RequestMaker(seed), RATE)
        stop = asyncio.Event()
        loading = asyncio.create_task(load.run(stop))
        began = time.monotonic()
        try:
            await striker.carry_out(plan(seed, kills_of_each))
        finally:
            stop.set()
            await loading
        seconds = time.monotonic() - began
        await wait_until_applied(api, system.operator_dsn)

    ledger, org_id = load.ledger, caller.org_id
    say(
        f"{len(ledger.sent)} requests begun, {load.begun_per_second:.0f}/s for {seconds:.0f} s; "
        f"{ledger.promised_events()} events accepted, {len(ledger.unknown)} requests of unknown outcome; "
        f"kills {dict(striker.kills())}; answers {dict(load.answers)}"
    )
    assert striker.kills() == dict.fromkeys(VICTIMS, kills_of_each)
    assert load.begun_per_second >= LEAST_RATE

    timeline = await read_timeline(system.operator_dsn, org_id)
    wrong = complaints(ledger, striker, timeline)
    wrong += differences_of_stream(await read_stream(operator.connection, org_id), timeline)
    wrong += ledger.compare_snapshots(await read_latest_snapshots(system.operator_dsn, org_id))
    assert not wrong, f"WP_FAULT_SEED={seed}\n" + "\n".join(wrong)
    await wait_for_usage(operator, org_id, len(timeline) + 1)
