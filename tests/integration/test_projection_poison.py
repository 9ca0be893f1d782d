"""What cannot be applied is put aside with its reason; everything else goes on, and the rest is somebody's decision."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from psycopg import AsyncConnection

from tests.support.engines import Commits, Ground, ground_of
from tests.support.fresh import Fresh
from tests.support.read_models import eventually
from tests.support.stored import envelope, founded, imported, raw, store_bytes
from tests.support.tally import POISON, UNFIT, Arrival, OrderedTally, Tally
from wepeople_contracts.envelope import AcceptedRow, Envelope
from wepeople_contracts.ids import client_event_id
from wepeople_contracts.subjects import PARTITIONS, ingest_subject, partition_of
from wepeople_projections import Event, Operation, Projection, insert, on_event
from wepeople_projections.projection import define
from wepeople_projections.running.job import Job
from wepeople_projections.running.options import RunOptions
from wepeople_projections.running.poison import PoisonFound
from wepeople_projections.running.settling import settle_decided

ORG = "org_a"


@pytest.fixture
async def ground(fresh: Fresh) -> AsyncIterator[Ground]:
    async with ground_of(fresh) as ground:
        yield ground


def request(*rows: tuple[str, str], org: str = ORG) -> Envelope:
    """Events as (type, worker); the metadata names the worker, a lone NUL is for JSONB to refuse."""
    events = [
        {"eventType": kind, "category": "code", "metadata": {"name": who}, "actor": {"externalId": who}}
        for kind, who in rows
    ]
    return envelope(org, [raw(event) for event in events], app_id=f"{org}_app")


async def events(ground: Ground, schema: str = "tally_v1") -> list[tuple[int, str]]:
    """The events that were applied, as (sequence, type), in the order of their ids."""
    rows = await ground.rows(f"SELECT sequence, event_type FROM {schema}.seen ORDER BY sequence, event_id")
    return [(row["sequence"], row["event_type"]) for row in rows]


async def parked(ground: Ground, schema: str = "tally_v1") -> list[tuple[int, int, str, int]]:
    """What was ever parked: (sequence, row, status, attempts)."""
    rows = await ground.rows(f"SELECT * FROM {schema}.parked ORDER BY sequence, row_index")
    return [(row["sequence"], row["row_index"], row["status"], row["attempts"]) for row in rows]


async def reasons(ground: Ground, schema: str = "tally_v1") -> list[str]:
    rows = await ground.rows(f"SELECT reason FROM {schema}.parked ORDER BY sequence, row_index")
    return [row["reason"] for row in rows]


async def decide(ground: Ground, decision: str, *, schema: str, sequence: int, row: int) -> None:
    async with await AsyncConnection.connect(ground.dsn, autocommit=True) as connection:
        statement = f"UPDATE {schema}.parked SET status = %s WHERE sequence = %s AND row_index = %s"
        await connection.execute(statement.encode(), [decision, sequence, row])


def mended(projection: type[Projection]) -> Any:
    """The projection's next release, which takes what it could not take before."""

    class Mended(projection):  # type: ignore[valid-type,misc]
        @on_event()
        def happened(self, event: Event) -> Sequence[Operation]:
            swap = {POISON: "cured", UNFIT: "fitted"}
            event_type = swap.get(event.event_type, event.event_type)
            emitted: Sequence[Operation] = list(super().happened(msgspec.structs.replace(event, event_type=event_type)))
            return emitted

    return define(Mended)


async def test_a_row_that_the_handler_cannot_take_is_parked_and_the_rest_of_its_request_is_applied(
    ground: Ground,
) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), request(("a", "w1"), (POISON, "w1"), ("b", "w1")))

    await ground.build(tally)

    assert await events(ground) == [(2, "a"), (2, "b")]
    assert await parked(ground) == [(2, 1, "parked", 0)]
    (reason,) = await reasons(ground)
    assert "ValueError: no w1" in reason
    assert "happened" in reason


async def test_what_postgres_refuses_is_found_and_parked_wherever_it_is_and_all_else_is_applied(
    ground: Ground,
) -> None:
    tally = await ground.create(Tally)
    requests = [request(("a", "w1"), (UNFIT if n in (3, 4, 40, 99) else "b", f"w{n}"), ("c", "w2")) for n in range(100)]
    last = await ground.store(founded(ORG), *requests)

    await ground.build(tally)

    assert [(sequence, row) for sequence, row, _, _ in await parked(ground)] == [(5, 1), (6, 1), (42, 1), (101, 1)]
    assert all(reason.startswith("Postgres refused it: ") for reason in await reasons(ground))
    assert len(await events(ground)) == 3 * 100 - 4
    (people,) = await ground.rows("SELECT count(*) FROM tally_v1.person")
    assert people["count"] == 96, "nobody is founded by a row that was refused"
    assert (await ground.positions("tally_v1"))[0] == last


async def test_an_actor_who_names_nobody_is_parked_and_founds_nobody(ground: Ground) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), request(("a", "w1"), ("b", "\0"), ("c", "w1")), request(("d", "w1")))

    await ground.build(tally)

    rows = await ground.rows("SELECT event_type, metadata IS NULL AS no, metadata_raw FROM tally_v1.seen ORDER BY 1")
    assert [(row["event_type"], row["no"]) for row in rows] == [("a", False), ("c", False), ("d", False)]
    # An actor whose externalId has a NUL names nobody.
    assert await parked(ground) == [(2, 1, "parked", 0)]


async def test_metadata_that_jsonb_cannot_hold_is_null_there_and_parks_nothing(ground: Ground) -> None:
    tally = await ground.create(Tally)
    row = {"eventType": "x", "category": "code", "metadata": {"n": "\0"}, "actor": {"externalId": "w1"}}
    good = row | {"metadata": {"n": 1}}
    await ground.store(founded(ORG), envelope(ORG, [raw(good), raw(row), raw(good)]))

    await ground.build(tally)

    rows = await ground.rows("SELECT metadata IS NULL AS no, metadata_raw AS raw FROM tally_v1.seen ORDER BY event_id")
    assert [row["no"] for row in rows] == [False, True, False]
    assert rows[1]["raw"] == '{"n": "\\u0000"}'
    assert await parked(ground) == []


async def test_metadata_that_jsonb_cannot_hold_in_every_request_costs_no_batch_its_place(ground: Ground) -> None:
    tally, commits = await ground.create(Tally), Commits()
    row = {"eventType": "x", "category": "code", "actor": {"externalId": "w1"}}
    sent = (rb'{"n": "\u0000"}', b'{"n": 1}', rb'{"n": "\ud83d\ude00"}', b'{"n": 1e999999}')
    unfit = [raw(row)[:-1] + b', "metadata": ' + metadata + b"}" for metadata in sent]
    last = await ground.store(founded(ORG), *(envelope(ORG, unfit) for _ in range(30)))

    until = dict.fromkeys(range(PARTITIONS), last)
    await ground.engine(tally, commits=commits, until=until, gives_way=False).run()

    rows = await ground.rows("SELECT metadata IS NULL AS no, count(*) FROM tally_v1.seen GROUP BY 1 ORDER BY 1")
    assert [(row["no"], row["count"]) for row in rows] == [(False, 60), (True, 60)]
    told = [told for told in commits.told if told[0] == partition_of(ORG)]
    assert len(told) <= 4, "begun once, and written in as many batches as it came in"


async def test_a_message_that_cannot_be_read_is_parked_whole(ground: Ground) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG))
    await store_bytes(ground.connection, ingest_subject(ORG, "app", "events"), b"\xff\xff", "m1")
    await ground.store(request(("a", "w1")), request(("b", "w1"), org="org_unheard_of"))

    await ground.build(tally)

    assert await parked(ground) == [(2, -1, "parked", 0), (4, -1, "parked", 0)]
    kept = await ground.rows("SELECT sequence, data FROM tally_v1.parked_messages ORDER BY 1")
    assert bytes(kept[0]["data"]) == b"\xff\xff"
    assert await events(ground) == [(3, "a")]


async def test_a_named_event_that_was_refused_leaves_its_name_to_the_next(ground: Ground) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG))
    for kind in (POISON, UNFIT, "a", "b"):
        one = request((kind, "w1"))
        name = AcceptedRow(0, client_event_id(one.app_id, "n"), one.accepted[0].raw, True)
        await ground.store(msgspec.structs.replace(one, accepted=[name]))

    await ground.build(tally)

    assert await events(ground) == [(4, "a")]


@pytest.mark.parametrize("kind", [POISON, UNFIT])
async def test_a_run_that_stops_on_poison_names_it_and_has_applied_all_before_it(ground: Ground, kind: str) -> None:
    tally = await ground.create(Tally)
    stored = [request(("a", "w1")) for _ in range(30)] + [request(("b", "w1"), (kind, "w1"))]
    last = await ground.store(founded(ORG), *stored)
    await ground.store(*(request(("c", "w1")) for _ in range(5)))

    with pytest.raises(PoisonFound) as found:
        await ground.build(tally, on_poison="stop")

    assert (found.value.sequence, found.value.row) == (last, 1)
    (checkpoint,) = await ground.rows("SELECT message_sequence FROM tally_v1.checkpoint WHERE message_sequence > 0")
    assert checkpoint["message_sequence"] == last - 1
    assert len(await events(ground)) == 30
    assert await parked(ground) == []


async def test_rows_to_be_skipped_stop_nothing_and_leave_no_trace(ground: Ground) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), request(("a", "w1"), (POISON, "w2")), request((UNFIT, "w3")))
    await store_bytes(ground.connection, ingest_subject(ORG, "app", "events"), b"\xff", "m1")

    await ground.build(tally, on_poison="stop", skipped=frozenset({(2, 1), (3, 0), (4, -1)}))

    assert await parked(ground) == []
    assert await events(ground) == [(2, "a")]
    assert len(await ground.rows("SELECT FROM tally_v1.person")) == 1


async def test_a_parked_row_that_is_retried_after_it_was_mended_is_applied_by_the_running_engine(
    ground: Ground,
) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), request((POISON, "w1"), (UNFIT, "w1"), (POISON, "w2")))
    await ground.build(tally)

    async with ground.running(ground.engine(mended(Tally))):
        for row in (0, 1):
            await decide(ground, "retry", schema="tally_v1", sequence=2, row=row)
        await decide(ground, "skip", schema="tally_v1", sequence=2, row=2)
        await eventually(
            lambda: parked(ground),
            lambda found: found == [(2, 0, "applied", 1), (2, 1, "applied", 1), (2, 2, "skipped", 0)],
            within_seconds=10,
        )
        assert await events(ground) == [(2, "cured"), (2, "fitted")]
        assert len(await ground.rows("SELECT FROM tally_v1.person")) == 1
        await ground.reached("tally_v1", await ground.store(request(("a", "w1"))), within_seconds=5)


@pytest.mark.parametrize("kind", [POISON, UNFIT])
async def test_a_retry_that_fails_again_is_counted_and_leaves_no_trace(ground: Ground, kind: str) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), request(("a", "w1"), (kind, "w2")))
    await ground.build(tally)
    await decide(ground, "retry", schema="tally_v1", sequence=2, row=1)

    await settle_decided(Job(tally, "tally_v1", ground.connection, ground.pool, RunOptions(), Commits()))

    assert await parked(ground) == [(2, 1, "parked", 1)]
    assert len(await ground.rows("SELECT FROM tally_v1.person")) == 1


async def test_a_whole_message_is_retried_with_all_its_rows(ground: Ground) -> None:
    tally = await ground.create(Tally)
    at = await ground.store(request(("a", "w1"), (POISON, "w1"), ("b", "w2")))
    await ground.store(founded(ORG))
    await ground.build(tally)
    assert await parked(ground) == [(at, -1, "parked", 0)]
    await decide(ground, "retry", schema="tally_v1", sequence=at, row=-1)

    await settle_decided(Job(tally, "tally_v1", ground.connection, ground.pool, RunOptions(), Commits()))

    assert await parked(ground) == [(at, -1, "applied", 1), (at, 1, "parked", 0)]
    assert await events(ground) == [(at, "a"), (at, "b")]


async def test_in_an_ordered_projection_a_workers_later_rows_wait_and_go_in_order_once_the_first_is_applied(
    ground: Ground,
) -> None:
    schema = "ordered_tally_v1"
    tally = await ground.create(OrderedTally)
    await ground.store(founded(ORG), request(("begin", "w1")), request((POISON, "w1"), ("a", "w2"), ("end", "w1")))
    await ground.store(request(("begin", "w1")), request(("b", "w2"), ("end", "w1"), ("begin", "w1")))
    await ground.build(tally, schema)
    assert [(s, r, status) for s, r, status, _ in await parked(ground, schema)] == [
        (3, 0, "parked"),
        (3, 2, "waiting"),
        (4, 0, "waiting"),
        (5, 1, "waiting"),
        (5, 2, "waiting"),
    ]
    assert await events(ground, schema) == [(2, "begin"), (3, "a"), (5, "b")]

    async with ground.running(ground.engine(mended(OrderedTally), schema)):
        await decide(ground, "retry", schema=schema, sequence=3, row=0)
        await eventually(
            lambda: parked(ground, schema),
            lambda found: {status for _, _, status, _ in found} == {"applied"},
            within_seconds=10,
        )
        await ground.reached(schema, await ground.store(request(("end", "w1"))), within_seconds=5)

    assert await ground.rows(f"SELECT * FROM {schema}.busy") == []
    counted = await ground.rows(f"SELECT event_type, sum(events) AS n FROM {schema}.count GROUP BY 1 ORDER BY 1")
    assert {row["event_type"]: row["n"] for row in counted} == {"a": 1, "b": 1, "begin": 3, "cured": 1, "end": 3}


async def test_in_an_ordered_projection_the_followers_stop_at_the_next_row_that_cannot_be_applied(
    ground: Ground,
) -> None:
    schema = "ordered_tally_v1"
    tally = await ground.create(OrderedTally)
    await ground.store(founded(ORG), request((POISON, "w1"), ("a", "w1"), (UNFIT, "w1"), ("b", "w1")))
    await ground.build(tally, schema)
    await decide(ground, "skip", schema=schema, sequence=2, row=0)

    await settle_decided(Job(tally, schema, ground.connection, ground.pool, RunOptions(), Commits()))

    assert await parked(ground, schema) == [
        (2, 0, "skipped", 0),
        (2, 1, "applied", 1),
        (2, 2, "parked", 1),
        (2, 3, "waiting", 0),
    ]


async def test_in_an_ordered_projection_a_refused_row_makes_the_later_ones_of_its_worker_wait(ground: Ground) -> None:
    schema = "ordered_tally_v1"
    tally = await ground.create(OrderedTally)
    await ground.store(founded(ORG), request((UNFIT, "w1"), ("a", "w1"), ("b", "w2")), request(("c", "w1")))

    await ground.build(tally, schema)

    assert [(s, r, status) for s, r, status, _ in await parked(ground, schema)] == [
        (2, 0, "parked"),
        (2, 1, "waiting"),
        (3, 0, "waiting"),
    ]
    assert await events(ground, schema) == [(2, "b")]


async def test_a_person_of_an_import_who_cannot_be_stored_is_parked_alone(ground: Ground) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), imported(ORG, ("a@x", "Alex"), ("b@x", "\0"), ("c@x", "Cleo")))

    await ground.build(tally)

    assert [(s, r) for s, r, _, _ in await parked(ground)] == [(2, 1)]
    names = await ground.rows("SELECT name FROM tally_v1.person ORDER BY 1")
    assert [row["name"] for row in names] == ["Alex", "Cleo"]
    assert set((await ground.positions("tally_v1")).values()) == {2}
    assert len(await ground.positions("tally_v1")) == PARTITIONS


class Twice(Tally):
    """Inserts the same key for every event of a worker."""

    @on_event()
    def happened(self, event: Event) -> Sequence[Operation]:
        return [insert(Arrival(event.org_id, f"of {event.worker_id}", 0, 0))]


async def test_a_key_that_is_inserted_twice_parks_the_second_however_the_batches_are_cut(ground: Ground) -> None:
    twice = define(Twice)
    for schema in ("tally_v1", "tally_v2"):
        await ground.create(Tally, schema)
    await ground.store(founded(ORG), request(("a", "w1")), request(("b", "w2"), ("c", "w1")), request(("d", "w1")))

    await ground.build(twice, "tally_v1", batch_bytes=1)
    await ground.build(twice, "tally_v2")

    for schema in ("tally_v1", "tally_v2"):
        assert [(s, r) for s, r, _, _ in await parked(ground, schema)] == [(3, 1), (4, 0)]
