"""What Postgres or the decoder refuses blocks nothing and is not lost."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.support.fresh import Fresh
from tests.support.projecting import Projecting, running_projector
from tests.support.stored import envelope, founded, raw, store_bytes
from wepeople_contracts.envelope import AcceptedRow, Envelope
from wepeople_contracts.ids import new_id, worker_id
from wepeople_contracts.subjects import ingest_subject

TOO_LARGE_FOR_JSONB = '{"n": 1e200000}'


@pytest.fixture
async def projecting(fresh: Fresh, tmp_path: Path) -> AsyncIterator[Projecting]:
    async with running_projector(fresh.nats_url, fresh.dsn("projector"), fresh.admin_dsn, tmp_path) as running:
        yield running


def event(external_id: str, metadata: str = '{"n": 1}') -> bytes:
    fields = raw({"eventType": "x", "category": "code", "actor": {"externalId": external_id}})
    return fields[:-1] + f', "metadata": {metadata}}}'.encode()


def with_event_ids_of(request: Envelope, other: Envelope) -> Envelope:
    pairs = zip(request.accepted, other.accepted, strict=True)
    return msgspec.structs.replace(request, accepted=[AcceptedRow(r.index, o.event_id, r.raw) for r, o in pairs])


async def stored_while_it_is_away(projecting: Projecting, *messages: Envelope) -> int:
    """Store messages so that they are read in one batch, and wait until they are applied."""
    await projecting.process.stop()
    sequence = await projecting.store(*messages)
    projecting.process.start()
    await projecting.applied(sequence)
    return sequence


async def test_metadata_that_jsonb_cannot_hold_costs_only_that_rows_jsonb(projecting: Projecting) -> None:
    org = new_id("org")
    await projecting.stored_and_applied(founded(org))
    rows = [event("a"), event("b", TOO_LARGE_FOR_JSONB), event("c"), event("d", TOO_LARGE_FOR_JSONB)]
    await stored_while_it_is_away(
        projecting, *(envelope(org, [event("z")]), envelope(org, rows), envelope(org, rows[:1]))
    )
    found = await projecting.rows("SELECT * FROM live.timeline ORDER BY sequence, row_index")
    assert [row["metadata"] for row in found] == [{"n": 1}, {"n": 1}, None, {"n": 1}, None, {"n": 1}]
    assert [row["metadata_raw"] for row in found][1:5] == ['{"n": 1}', TOO_LARGE_FOR_JSONB] * 2
    assert await projecting.rows("SELECT * FROM live.parked") == []


async def test_a_row_that_the_tables_refuse_is_parked_and_leaves_nothing_behind(projecting: Projecting) -> None:
    org = new_id("org")
    first = envelope(org, [event("a")])
    await projecting.stored_and_applied(founded(org), first)
    at_the_same_time = envelope(org, [event("ghost")], received_at_us=first.received_at_us)
    refused = with_event_ids_of(at_the_same_time, first)
    last = await stored_while_it_is_away(projecting, envelope(org, [event("b")]), refused, envelope(org, [event("c")]))
    [parked] = await projecting.rows("SELECT * FROM live.parked")
    assert (parked["sequence"], parked["row_index"]) == (last - 1, 0)
    assert "duplicate key" in parked["reason"]
    assert "timeline" in parked["reason"]
    assert parked["data"] == msgspec.msgpack.encode(refused)
    assert len(await projecting.rows("SELECT FROM live.requests")) == 4
    workers = {row["external_ids"][0] for row in await projecting.rows("SELECT * FROM live.workers")}
    assert workers == {"a", "b", "c"}

    await projecting.stored_and_applied(envelope(org, [event("ghost")]))
    [row] = await projecting.rows("SELECT worker_id FROM live.workers WHERE 'ghost' = ANY(external_ids)")
    assert row["worker_id"] == worker_id(founded(org).salt, "externalId", "app_1", "ghost")


async def test_what_cannot_be_decoded_and_what_belongs_to_no_org_is_parked_among_what_is_applied(
    projecting: Projecting,
) -> None:
    org = new_id("org")
    await projecting.stored_and_applied(founded(org))
    garbage = await store_bytes(projecting.connection, ingest_subject(org, "app_1", "events"), b"garbage", "g")
    stranger = await projecting.store(envelope(new_id("org"), [event("a")]))
    await projecting.stored_and_applied(envelope(org, [event("a"), b"{}"]))
    await projecting.applied(stranger)
    parked = await projecting.rows("SELECT sequence, row_index, reason FROM live.parked ORDER BY sequence")
    assert [(row["sequence"], row["row_index"]) for row in parked] == [(garbage, -1), (stranger, -1), (stranger + 1, 1)]
    assert "cannot be decoded" in parked[0]["reason"]
    assert "never founded" in parked[1]["reason"]
    assert len(await projecting.rows("SELECT FROM live.timeline")) == 1
