"""`wepeople request`, `rejects list|show` and `worker conflicts`, through the real command."""

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from tests.support.fresh import Fresh, Template, fresh_system
from tests.support.projecting import Projecting, running_projector
from tests.support.shell import as_operator as wepeople
from tests.support.stored import envelope, founded, raw, store_bytes
from wepeople_chassis.stream import jetstream
from wepeople_contracts.envelope import AcceptedRow, Envelope, RejectedRow, encode
from wepeople_contracts.ids import client_event_id, new_id, new_request_id, worker_id
from wepeople_contracts.subjects import STREAMS, ingest_subject

ORG = new_id("org")
BAD = '{"eventType": "[red]", "actor":  {"externalId": "\\ud83d"}}'


@pytest.fixture(scope="module")
async def fresh(template: Template) -> AsyncIterator[Fresh]:
    async with fresh_system(template) as ready:
        yield ready


@pytest.fixture(scope="module", autouse=True)
async def projecting(fresh: Fresh, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Projecting]:
    logs = tmp_path_factory.mktemp("projector")
    async with running_projector(fresh.nats_url, fresh.dsn("projector"), fresh.admin_dsn, logs) as running:
        await running.stored_and_applied(founded(ORG))
        yield running


def event(**actor: str) -> bytes:
    return raw({"eventType": "x", "category": "code", "actor": actor})


def mixed(slug: str = "ci") -> Envelope:
    """A request with an accepted row, and two that were rejected."""
    rejected = [
        RejectedRow(0, "forbidden_event_type", "eventType '[red]' is not allowed.", "eventType", False, BAD.encode()),
        RejectedRow(2, "plan_limit", "The month is full.", None, False, event(externalId="late")),
    ]
    request = envelope(ORG, [event(externalId="e")], app_id=f"app_{slug}", slug=slug)
    accepted = [replace(row, index=1) for row in request.accepted]
    return replace(request, accepted=accepted, rejected=rejected)


def named(request: Envelope, name: str) -> Envelope:
    event_id = client_event_id(request.app_id, name)
    return replace(request, accepted=[AcceptedRow(r.index, event_id, r.raw, True) for r in request.accepted])


async def test_a_request_is_traced_from_its_receipt_to_each_row(fresh: Fresh, projecting: Projecting) -> None:
    request = mixed()
    sequence = await projecting.stored_and_applied(request)
    trace = (await wepeople(fresh, "request", request.request_id, "--json")).json
    assert (trace["org_id"], trace["sequence"], trace["kind"]) == (ORG, sequence, "events")
    assert (trace["accepted"], trace["rejected"], trace["notes"]) == (1, 2, [])
    assert trace["received_at"] <= trace["stored_at"] <= trace["projected_at"]
    first, second, third = trace["results"]
    assert (first["index"], first["status"], first["code"]) == (0, "rejected", "forbidden_event_type")
    assert (second["event_id"], second["status"]) == (request.accepted[0].event_id, "accepted")
    assert second["worker_id"] == worker_id(founded(ORG).salt, "externalId", "app_ci", "e")
    assert (third["code"], third["field"], third["message"]) == ("plan_limit", None, "The month is full.")
    table = (await wepeople(fresh, "request", request.request_id)).stdout
    assert "eventType '[red]' is not allowed." in table
    assert str(sequence) in table


async def test_an_event_that_was_there_already_names_the_request_that_brought_it(
    fresh: Fresh, projecting: Projecting
) -> None:
    first, again = (named(envelope(ORG, [event(externalId="e")]), "one") for _ in range(2))
    await projecting.stored_and_applied(first, again)
    [row] = (await wepeople(fresh, "request", again.request_id, "--json")).json["results"]
    assert first.request_id in row["note"]
    assert row["worker_id"] is None


async def test_a_request_that_was_never_stored_is_said_to_be_so(fresh: Fresh) -> None:
    refused = await wepeople(fresh, "request", new_request_id())
    assert refused.code == 1
    assert "was stored" in refused.stderr


async def test_a_request_that_waits_to_be_projected_is_found_in_the_stream(
    fresh: Fresh, projecting: Projecting
) -> None:
    await projecting.process.stop()
    try:
        request = mixed()
        sequence = await projecting.store(envelope(ORG, [event(externalId="e")]), request)
        trace = (await wepeople(fresh, "request", request.request_id, "--json")).json
    finally:
        projecting.process.start()
        await projecting.process.wait_ready(projecting.connection)
    assert (trace["sequence"], trace["projected_at"], len(trace["results"])) == (sequence, None, 3)
    assert "not projected yet" in trace["notes"][0]


async def test_a_request_that_was_parked_says_why(fresh: Fresh, projecting: Projecting) -> None:
    request = envelope(ORG, [event(externalId="e")])
    stranger = replace(request, org_id=new_id("org"))
    subject = ingest_subject(ORG, request.app_id, "events")
    sequence = await store_bytes(projecting.connection, subject, encode(stranger), request.message_id)
    await projecting.applied(sequence)
    trace = (await wepeople(fresh, "request", request.request_id, "--json")).json
    assert (trace["sequence"], trace["projected_at"]) == (sequence, None)
    assert "parked" in trace["notes"][0]


async def test_a_request_whose_message_was_trimmed_says_what_is_lost(fresh: Fresh, projecting: Projecting) -> None:
    request = mixed()
    sequence = await projecting.stored_and_applied(request)
    await jetstream(projecting.connection, f"STREAM.MSG.DELETE.{STREAMS[0]}", {"seq": sequence, "no_erase": True})
    trace = (await wepeople(fresh, "request", request.request_id, "--json")).json
    assert (trace["accepted"], trace["rejected"], trace["results"]) == (1, 2, [])
    assert f"no longer holds sequence {sequence}" in trace["notes"][0]


async def test_rejected_rows_are_listed_by_org_app_and_code_and_shown_as_received(
    fresh: Fresh, projecting: Projecting
) -> None:
    ours, hr = mixed("docs"), mixed("hr")
    await projecting.stored_and_applied(ours, hr)
    listed = (await wepeople(fresh, "rejects", "list", f"{ORG}/docs", "--json")).json
    assert [(row["request_id"], row["row_index"]) for row in listed] == [(ours.request_id, 0), (ours.request_id, 2)]
    assert listed[0]["raw"] == BAD
    newest = (await wepeople(fresh, "rejects", "list", ORG, "--code", "plan_limit", "--limit", "1", "--json")).json
    assert [(row["request_id"], row["row_index"]) for row in newest] == [(hr.request_id, 2)]
    everywhere = (await wepeople(fresh, "rejects", "list", "--json")).json
    assert {row["request_id"] for row in everywhere} >= {ours.request_id, hr.request_id}
    [one] = (await wepeople(fresh, "rejects", "show", ours.request_id, "0", "--json")).json
    assert (one["raw"], one["code"]) == (BAD, "forbidden_event_type")
    assert BAD in (await wepeople(fresh, "rejects", "show", ours.request_id)).stdout
    missing = await wepeople(fresh, "rejects", "show", ours.request_id, "1")
    assert missing.code == 1
    assert "no rejected row 1" in missing.stderr


async def test_conflicts_say_who_got_the_row_and_whose_the_identifier_is(fresh: Fresh, projecting: Projecting) -> None:
    org = new_id("org")
    rows = [event(externalId="e"), event(email="m@x.com"), event(externalId="e", email="M@x.com")]
    await projecting.stored_and_applied(founded(org), envelope(org, rows))
    [conflict] = (await wepeople(fresh, "worker", "conflicts", org, "--json")).json
    assert (conflict["kind"], conflict["value"], conflict["reason"]) == ("email", "m@x.com", "bound_to_another")
    assert conflict["worker_id"] == worker_id(founded(org).salt, "externalId", "app_1", "e")
    assert conflict["other_worker_id"] == worker_id(founded(org).salt, "email", org, "m@x.com")
    assert conflict["worker_id"] in (await wepeople(fresh, "worker", "conflicts", org)).stdout
    nothing = await wepeople(fresh, "worker", "conflicts", ORG)
    assert (nothing.code, "ever disagreed" in nothing.stdout) == (0, True)


@pytest.mark.parametrize("command", ["request", "rejects list", "rejects show", "rejects retry", "worker conflicts"])
async def test_help_has_an_example(fresh: Fresh, command: str) -> None:
    text = (await wepeople(fresh, *command.split(), "--help")).stdout
    assert f"wepeople {command}" in text.split("xample")[1]
