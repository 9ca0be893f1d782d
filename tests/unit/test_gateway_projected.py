"""Waiting until the read models have come far enough."""

import asyncio

from wepeople_contracts.projection import Projected
from wepeople_contracts.subjects import PROJECTED_ALL
from wepeople_gateway.projected import Positions


class Message:
    def __init__(self, partition: int, sequence: int) -> None:
        self.data = Projected(partition=partition, sequence=sequence).model_dump_json().encode()


class Connection:
    async def subscribe(self, subject: str, cb: object) -> None:
        assert subject == PROJECTED_ALL
        self.hear = cb


async def listening() -> tuple[Positions, Connection]:
    connection = Connection()
    positions = Positions()
    await positions.listen(connection)  # type: ignore[arg-type]
    return positions, connection


async def test_a_position_already_passed_needs_no_waiting() -> None:
    positions, connection = await listening()
    await connection.hear(Message(3, 7))  # type: ignore[operator]
    assert await positions.reached(3, 7, 0)


async def test_another_partition_or_an_earlier_position_does_not_do() -> None:
    positions, connection = await listening()
    await connection.hear(Message(4, 9))  # type: ignore[operator]
    await connection.hear(Message(3, 6))  # type: ignore[operator]
    assert not await positions.reached(3, 7, 0.01)


async def test_who_waits_is_woken_when_it_is_reached_and_late_news_take_nothing_back() -> None:
    positions, connection = await listening()
    waiting = [asyncio.create_task(positions.reached(3, n, 5)) for n in (6, 7)]
    await asyncio.sleep(0)
    for sequence in (5, 7, 2):
        await connection.hear(Message(3, sequence))  # type: ignore[operator]
    assert await asyncio.gather(*waiting) == [True, True]
    assert await positions.reached(3, 7, 0)
