"""What cannot be applied is put aside with its reason, and everything else goes on."""

from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from tests.support.engines import Commits, Ground, ground_of
from tests.support.fresh import Fresh
from tests.support.poisoned import ORG, events, parked, reasons, request
from tests.support.stored import envelope, founded, imported, raw, store_bytes
from tests.support.tally import POISON, UNFIT, Arrival, OrderedTally, Tally
from wepeople_contracts.envelope import AcceptedRow
from wepeople_contracts.ids import client_event_id
from wepeople_contracts.subjects import PARTITIONS, ingest_subject, partition_of
from wepeople_projections import Event, Operation, insert, on_event
from wepeople_projections.definition.projection import define
from wepeople_projections.running.poison import PoisonFound


@pytest.fixture
async def ground(fresh: Fresh) -> AsyncIterator[Ground]:
    async with ground_of(fresh) as ground:
        yield ground


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

    await ground.build(tally, on_poison="stop", skipped={partition_of(ORG): frozenset({(2, 1), (3, 0), (4, -1)})})

    assert await parked(ground) == []
    assert await events(ground) == [(2, "a")]
    assert len(await ground.rows("SELECT FROM tally_v1.person")) == 1


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
