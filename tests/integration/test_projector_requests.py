"""Where a request is: the rows about it, the answers about it, and the broadcast that says how far the models are.

One projector for all; each test has an org of its own.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from psycopg import AsyncConnection

from tests.support.fresh import Fresh, Template, fresh_system
from tests.support.projecting import Projecting, projector_process, running_projector
from tests.support.read_models import eventually, query
from tests.support.stored import envelope, founded, raw
from wepeople_chassis.rpc import Refused, call
from wepeople_contracts.envelope import Envelope, RejectedRow
from wepeople_contracts.ids import new_id, new_request_id
from wepeople_contracts.projection import Projected, RequestQuery, RequestStatus
from wepeople_contracts.subjects import PARTITIONS, PROJECTED_ALL, REQUEST_STATUS, partition_of
from wepeople_embedded.services import ServiceProcess

ROW = raw({"eventType": "x", "category": "code", "actor": {"externalId": "e"}})
BAD = b'{"eventType": "\\ud83d", "note": "\\u0000", "actor":  {}}'


@pytest.fixture(scope="module")
async def home(template: Template) -> AsyncIterator[Fresh]:
    async with fresh_system(template) as ready:
        yield ready


@pytest.fixture(scope="module")
async def projecting(home: Fresh, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Projecting]:
    folder = tmp_path_factory.mktemp("projector")
    async with running_projector(home.nats_url, home.dsn("projector"), home.admin_dsn, folder) as running:
        yield running


@pytest.fixture
def org() -> str:
    return new_id("org")


def with_rejected(request: Envelope, *raws: bytes) -> Envelope:
    """The request with more rows, that were rejected."""
    first = len(request.accepted)
    message = "eventType '\0' is none."
    rejected = [RejectedRow(first + n, "invalid_body", message, "eventType", False, row) for n, row in enumerate(raws)]
    return msgspec.structs.replace(request, rejected=rejected)


async def ask(projecting: Projecting, request: Envelope, **other: str) -> RequestStatus:
    fields = {"org_id": request.org_id, "app_id": request.app_id, "request_id": request.request_id}
    question = RequestQuery(**(fields | other))
    return await call(projecting.connection, REQUEST_STATUS, question, RequestStatus, timeout_seconds=8)


async def refused_with(projecting: Projecting, request: Envelope, **other: str) -> str:
    with pytest.raises(Refused) as refused:
        await ask(projecting, request, **other)
    return refused.value.error.code


async def test_a_request_is_shown_with_what_became_of_its_rows(home: Fresh, projecting: Projecting, org: str) -> None:
    request = with_rejected(envelope(org, [ROW, ROW]), BAD)
    sequence = await projecting.stored_and_applied(founded(org), request)
    [row] = await query(home.dsn("operator"), "SELECT * FROM live.requests WHERE org_id = %(org)s", {"org": org})
    projected_at = row.pop("projected_at")
    assert row == {
        "request_id": request.request_id,
        "org_id": org,
        "app_id": "app_1",
        "connection": "custom:ci",
        "kind": "events",
        "sequence": sequence,
        "received_at": row["received_at"],
        "accepted": 2,
        "rejected": 1,
    }
    status = await ask(projecting, request)
    assert (status.sequence, status.accepted, status.rejected, status.kind) == (sequence, 2, 1, "events")
    assert (status.projected_at, status.received_at) == (projected_at, row["received_at"])


async def test_rejected_rows_are_kept_as_they_were_received(home: Fresh, projecting: Projecting, org: str) -> None:
    request = with_rejected(envelope(org, [ROW]), BAD, b"17")
    sequence = await projecting.stored_and_applied(founded(org), request)
    statement = "SELECT * FROM live.rejects WHERE org_id = %(org)s ORDER BY row_index"
    first, second = await query(home.dsn("operator"), statement, {"org": org})
    assert (first["raw"], second["raw"]) == (BAD.decode(), "17")
    assert (first["row_index"], first["code"], first["field"]) == (1, "invalid_body", "eventType")
    assert (first["message"], first["retryable"]) == ("eventType '\N{REPLACEMENT CHARACTER}' is none.", False)
    assert (first["org_id"], first["app_id"], first["connection"]) == (org, "app_1", "custom:ci")
    assert (first["request_id"], first["sequence"]) == (request.request_id, sequence)
    assert (first["kept_until"] - first["received_at"]).days in (13, 14)


async def test_a_rejected_row_goes_with_the_next_message_of_its_org_past_its_time(
    projecting: Projecting, org: str
) -> None:
    requests = [with_rejected(envelope(org, [ROW]), BAD) for _ in range(3)]
    await projecting.stored_and_applied(founded(org), *requests)
    await projecting.rows(
        "UPDATE live_v1.rejects SET kept_until = received_at WHERE request_id = %(old)s RETURNING 1",
        old=requests[0].request_id,
    )
    await projecting.stored_and_applied(envelope(org, [ROW]))
    kept = await projecting.rows(
        "SELECT request_id FROM live.rejects WHERE org_id = %(org)s ORDER BY sequence", org=org
    )
    assert [row["request_id"] for row in kept] == [request.request_id for request in requests[1:]]


async def test_a_rejected_row_that_is_no_text_is_parked(projecting: Projecting, org: str) -> None:
    await projecting.stored_and_applied(founded(org), with_rejected(envelope(org, [ROW]), b"\xff", BAD))
    [parked] = await projecting.rows("SELECT row_index, reason FROM live.parked WHERE org_id = %(org)s", org=org)
    assert (parked["row_index"], "is not text" in parked["reason"]) == (1, True)
    [kept] = await projecting.rows("SELECT row_index FROM live.rejects WHERE org_id = %(org)s", org=org)
    assert kept["row_index"] == 2
    assert len(await projecting.rows("SELECT FROM live.timeline WHERE org_id = %(org)s", org=org)) == 1


async def test_a_request_of_another_app_or_org_is_not_found(projecting: Projecting, org: str) -> None:
    request = envelope(org, [ROW])
    await projecting.stored_and_applied(founded(org), request)
    assert await refused_with(projecting, request, app_id="app_2") == "not_found"
    assert await refused_with(projecting, request, org_id=new_id("org")) == "not_found"
    assert await refused_with(projecting, request, request_id=new_request_id()) == "not_found"


async def test_a_request_that_was_just_stored_is_waited_for(home: Fresh, projecting: Projecting, org: str) -> None:
    await projecting.stored_and_applied(founded(org))
    requests = [envelope(org, [ROW] * 300) for _ in range(10)]
    await projecting.store(*requests)
    found = await asyncio.gather(*(ask(projecting, request) for request in requests))
    assert [status.request_id for status in found] == [request.request_id for request in requests]


async def test_while_the_read_models_stand_still_nothing_is_said_to_be_missing(
    home: Fresh, projecting: Projecting, org: str
) -> None:
    await projecting.stored_and_applied(founded(org))
    request = envelope(org, [ROW])
    async with _standing_still(home):
        await projecting.store(request)
        assert await refused_with(projecting, request) == "unavailable"
    assert (await ask(projecting, request)).request_id == request.request_id


async def test_what_is_not_a_question_is_answered_so(projecting: Projecting) -> None:
    reply = await projecting.connection.request(REQUEST_STATUS, b"{}", timeout=5)
    assert b'"invalid"' in reply.data


async def test_of_several_projectors_one_answers(home: Fresh, projecting: Projecting, org: str, tmp_path: Path) -> None:
    request = envelope(org, [ROW])
    await projecting.stored_and_applied(founded(org), request)
    second = projector_process(home.nats_url, home.dsn("projector"), tmp_path, "second")
    second.start()
    try:
        await eventually(lambda: _log(second), lambda log: '"event": "ready"' in log)
        inbox = projecting.connection.new_inbox()
        replies = await projecting.connection.subscribe(f"{inbox}.*")
        fields = {"org_id": org, "app_id": request.app_id, "request_id": request.request_id}
        for number in range(20):
            question = RequestQuery(**fields).model_dump_json().encode()
            await projecting.connection.publish(REQUEST_STATUS, question, f"{inbox}.{number}")
        for _ in range(20):
            await replies.next_msg(timeout=5)
        await projecting.process.kill()
        assert (await ask(projecting, request)).request_id == request.request_id
        assert replies.pending_msgs == 0
    finally:
        await second.stop()
        projecting.process.start()
        await projecting.process.wait_ready(projecting.connection)


async def test_positions_are_broadcast_at_the_start_after_each_commit_and_when_idle(
    projecting: Projecting, org: str
) -> None:
    heard = await projecting.connection.subscribe(PROJECTED_ALL)

    async def positions(until: dict[int, int]) -> None:
        """Listen until each of these partitions has been said to be at its sequence, or further."""
        waiting = dict(until)
        async with asyncio.timeout(20):
            while waiting:
                projected = Projected.model_validate_json((await heard.next_msg(timeout=20)).data)
                if projected.sequence >= waiting.get(projected.partition, projected.sequence + 1):
                    del waiting[projected.partition]

    sequence = await projecting.store(founded(org), envelope(org, [ROW]))
    await positions({partition_of(org): sequence})
    await positions({partition: sequence for partition in range(PARTITIONS) if partition != partition_of(org)})
    await projecting.process.stop()
    projecting.process.start()
    await positions(dict.fromkeys(range(PARTITIONS), sequence))


async def _log(process: ServiceProcess) -> str:
    return process.child.log_path.read_text()


@asynccontextmanager
async def _standing_still(home: Fresh) -> AsyncIterator[None]:
    """Nobody can write a request while this lasts; reading goes on."""
    async with await AsyncConnection.connect(home.admin_dsn) as connection:
        await connection.execute("LOCK TABLE live_v1.requests IN EXCLUSIVE MODE")
        yield


async def test_when_a_request_was_projected_is_kept_for_fourteen_days_and_then_a_later_moment(
    projecting: Projecting, org: str
) -> None:
    requests = [envelope(org, [ROW]) for _ in range(3)]
    await projecting.stored_and_applied(founded(org))
    for request in requests:
        await projecting.stored_and_applied(request)
    said = [(await ask(projecting, request)).projected_at for request in requests]
    assert said == sorted(set(said))

    await projecting.process.stop()
    await projecting.rows("UPDATE live_v1.commits SET committed_at = committed_at - interval '15 days' RETURNING 1")
    projecting.process.start()
    await projecting.process.wait_ready(projecting.connection)

    kept = await projecting.rows("SELECT committed_at FROM live_v1.commits WHERE org_id = %(org)s", org=org)
    assert len(kept) == 1
    assert {(await ask(projecting, request)).projected_at for request in requests} == {kept[0]["committed_at"]}
