"""Quota and a split that is undone: what a stream does not take for a moment has not left it."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from tests.support.virtual_time import in_virtual_time
from wepeople_chassis.stream import Batch, StreamMoved, StreamState
from wepeople_chassis.tasks import end
from wepeople_contracts.subjects import PARTITIONS
from wepeople_quota import shards as looking
from wepeople_quota.fold import Fold
from wepeople_quota.ledger import Ledger
from wepeople_quota.shards import Shards, settled_state

ALL, LOWER, UPPER = (frozenset(range(a, b)) for a, b in ((0, PARTITIONS), (0, 8), (8, PARTITIONS)))
WHOLE = StreamState("INGEST", ALL, "id", 1, 100, 100, 0, 600.0, None, 1, 1)
CUT = replace(WHOLE, partitions=LOWER)
NEW = replace(WHOLE, name="INGEST_8", partitions=UPPER)

NOBODY: Any = None


def fold_of(state: StreamState) -> Fold:
    ledgers = {p: Ledger(reservation_seconds=30, remember_seconds=600) for p in range(PARTITIONS)}
    return Fold(NOBODY, state, ledgers)


class Part:
    """A shard that does nothing."""

    def __init__(self, state: StreamState) -> None:
        self.fold = fold_of(state)

    async def live(self, _: StreamState) -> None:
        await asyncio.Event().wait()


class Server:
    """The streams as they are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states = [WHOLE]
        monkeypatch.setattr(looking, "stream_states", self.look)

    async def look(self, _: object) -> list[StreamState]:
        return self.states


@in_virtual_time
async def test_only_what_left_by_a_split_that_was_ended_is_not_kept_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    server, parts = Server(monkeypatch), dict[str, Any]()
    shards = Shards(NOBODY, Part, parts)  # type: ignore[arg-type]
    shards.settle(server.states, asked_at_ns=1)
    watching = asyncio.create_task(shards.live())
    for server.states in ([CUT], [WHOLE], [CUT], [WHOLE, NEW]):
        await asyncio.sleep(5)
        assert {name: part.fold.partitions for name, part in parts.items()} == {"INGEST": ALL}
    server.states = [CUT, NEW]
    await asyncio.sleep(5)
    assert {name: part.fold.partitions for name, part in parts.items()} == {"INGEST": LOWER, "INGEST_8": UPPER}
    await end([watching])
    await shards.end()


async def test_how_a_stream_stands_is_not_said_while_one_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    assert await settled_state(NOBODY, "INGEST") == WHOLE
    server.states = [CUT]
    with pytest.raises(TimeoutError):
        await settled_state(NOBODY, "INGEST")


@in_virtual_time
async def test_a_fold_that_met_a_cut_waits_and_reads_on_in_the_same_stream_once_that_is_undone() -> None:
    fold, cut = fold_of(WHOLE), asyncio.Event()

    class Reader:
        async def batches(self) -> AsyncGenerator[Batch]:
            if cut.is_set():
                raise StreamMoved("INGEST", UPPER)
            yield Batch([], 100, 0)
            await cut.wait()
            raise StreamMoved("INGEST", UPPER)

    fold._reader = lambda **_: Reader()  # type: ignore[method-assign, assignment]
    following = asyncio.create_task(fold.follow())
    await fold.reach(100)
    cut.set()
    await asyncio.sleep(5)
    fold.through = 0
    cut.clear()
    await asyncio.sleep(5)
    assert fold.through == 0
    fold.settle(WHOLE)
    fold.ends(WHOLE, asked_at_ns=1)
    async with asyncio.timeout(5):
        await fold.reach(100)
    assert {ledger.position.sequence for ledger in fold.ledgers.values()} == {100}
    await end([following])
