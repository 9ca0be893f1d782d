"""The ops port by itself: it answers in time, whatever that does which it asks, and asks it only once at a time."""

import asyncio
import math
import socket
from collections.abc import AsyncIterator

import pytest
from prometheus_client import Gauge

from tests.support.ops import Ops as Client
from tests.support.read_models import eventually
from wepeople_chassis.asking import Question
from wepeople_chassis.ops import ANSWER_SECONDS, Ops
from wepeople_embedded.ports import HOST

LEVEL = Gauge("wepeople_tests_level", "For these tests.")


@pytest.fixture
async def ops() -> AsyncIterator[Ops]:
    server = Ops("tests")
    await server.listen(HOST, 0)
    server.works()
    try:
        yield server
    finally:
        await server.stop()


class Asked:
    """A dependency that does not answer before it is let, not even when it is told to give up."""

    def __init__(self) -> None:
        self.times = 0
        self.let = asyncio.Event()

    async def __call__(self) -> None:
        self.times += 1
        while not self.let.is_set():
            try:
                await self.let.wait()
            except asyncio.CancelledError:
                continue


async def test_it_is_ready_once_the_service_works_and_no_longer_when_that_ends() -> None:
    server = Ops("tests")
    await server.listen(HOST, 0)
    client = Client(server.port)
    assert await client.ready() == (503, {"service": "is starting"})
    server.works()
    assert await client.ready() == (200, {"service": "ok"})
    server.ends()
    assert await client.ready() == (503, {"service": "is stopping"})
    await server.stop()


async def test_what_a_check_finds_wrong_is_said_beside_what_is_in_order(ops: Ops) -> None:
    async def away() -> str:
        return "is away"

    async def raises() -> str:
        raise OSError("10.0.0.1 has a secret")

    ops.check("first", away)
    ops.check("second", raises)
    status, checks = await Client(ops.port).ready()
    assert status == 503
    assert checks == {"service": "ok", "first": "is away", "second": "OSError"}


async def test_whoever_hangs_holds_up_nobody_and_is_asked_once(ops: Ops) -> None:
    hanging = Asked()
    ops.check("hanging", hanging)
    client = Client(ops.port)
    try:
        async with asyncio.timeout(3 * ANSWER_SECONDS):
            for _ in range(3):
                ops.works()  # It forgets what it found before.
                status, checks = await client.ready()
                assert status == 503
                assert checks["hanging"].startswith("no answer")
            assert (await client.get("/healthz"))[0] == 200
        assert hanging.times == 1
    finally:
        hanging.let.set()


async def test_many_who_ask_at_once_are_one_question(ops: Ops) -> None:
    asked = 0

    async def answers() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)

    ops.check("counted", answers)
    client = Client(ops.port)
    assert {status for status, _ in await asyncio.gather(*(client.ready() for _ in range(20)))} == {200}
    assert asked == 1


async def test_two_scrapes_at_once_say_the_same_and_those_that_follow_ask_nobody(ops: Ops) -> None:
    looked, let = 0, asyncio.Event()

    async def look() -> None:
        nonlocal looked
        looked += 1
        await let.wait()
        LEVEL.set(7)

    ops.measure(look, LEVEL)
    client = Client(ops.port)
    async with asyncio.TaskGroup() as tasks:
        scrapes = [tasks.create_task(client.metrics()) for _ in range(2)]
        await asyncio.sleep(0.1)  # Late or not, the second must not make a difference.
        let.set()
    assert [scrape.result().value("wepeople_tests_level") for scrape in scrapes] == [7, 7]
    for _ in range(20):
        assert (await client.metrics()).value("wepeople_tests_level") == 7
    assert looked < 20


async def test_who_asks_while_it_is_being_asked_gets_its_answer_or_its_failure() -> None:
    let = asyncio.Event()

    async def ask() -> int:
        await let.wait()
        return 7

    async def fail() -> int:
        await let.wait()
        raise OSError

    for put, outcome in ((Question(ask), 7), (Question(fail), OSError)):
        let.clear()
        askers = [asyncio.create_task(put.answer(5)) for _ in range(3)]
        await asyncio.sleep(0)
        let.set()
        found = await asyncio.gather(*askers, return_exceptions=True)
        assert [one if outcome == 7 else type(one) for one in found] == [outcome] * 3


async def test_who_waits_longer_than_the_first_is_told_when_that_gives_up() -> None:
    put = Question(asyncio.Event().wait)
    first, second = await asyncio.gather(put.answer(0.05), put.answer(5), return_exceptions=True)
    assert (type(first), type(second)) == (TimeoutError, TimeoutError)


async def test_what_cannot_be_measured_any_more_is_unknown_and_not_what_it_was(ops: Ops) -> None:
    hanging, there = Asked(), True

    async def look() -> None:
        if not there:
            await hanging()
        LEVEL.set(7)

    ops.measure(look, LEVEL)
    client = Client(ops.port)
    assert (await client.metrics()).value("wepeople_tests_level") == 7
    there = False

    async def measured() -> float:
        return (await client.metrics()).value("wepeople_tests_level")

    try:
        await eventually(measured, math.isnan, what="not known any more")
    finally:
        hanging.let.set()
    there = True
    await eventually(measured, lambda level: level == 7, what="measured again")


async def test_a_port_that_is_taken_ends_the_start_with_the_variables_name() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"{port} \\(WEPEOPLE_OPS_PORT\\)"):
            await Ops("tests").listen(HOST, port)
