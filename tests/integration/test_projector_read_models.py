"""What was stored in the stream is found in the views, by those who may see it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace
from psycopg import AsyncConnection
from psycopg.errors import InsufficientPrivilege

from tests.support.fresh import Fresh, Template, fresh_system
from tests.support.projecting import Projecting, running_projector
from tests.support.read_models import query
from tests.support.stored import RECEIVED_AT_US, app_created, envelope, founded, imported, raw
from wepeople_contracts.envelope import RejectedRow
from wepeople_contracts.ids import new_id, worker_id
from wepeople_provision.dsn import login_dsn
from wepeople_provision.readers import create_reader

GUIDE_EVENT = b"""{
      "eventType": "deploy.shipped",
      "category": "code",
      "timestamp": "2026-04-19T12:05:00Z",
      "actor": { "externalId": "eng-17" },
      "duration": 612,
      "metadata": {
        "service": "checkout-api",
        "sha": "3c4d8a1",
        "env": "production"
      }
    }"""
GUIDE_METADATA = GUIDE_EVENT.split(b'"metadata": ')[1].removesuffix(b"\n    }").decode()
METRICS = b'{ "waiting": { "value": 5, "unit": "count", "label": "queued" }, "active": 2, "active": 3 }'
SECOND_US = 1_000_000


@pytest.fixture(scope="module")
async def fresh(template: Template) -> AsyncIterator[Fresh]:
    """One for the module: each test has an org of its own."""
    async with fresh_system(template) as ready:
        yield ready


@pytest.fixture(scope="module")
async def projecting(fresh: Fresh, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Projecting]:
    logs = tmp_path_factory.mktemp("projector")
    async with running_projector(fresh.nats_url, fresh.dsn("projector"), fresh.admin_dsn, logs) as running:
        yield running


@pytest.fixture
def org() -> str:
    return new_id("org")


async def rows_of(fresh: Fresh, relation: str, org: str, order: str = "org_id") -> list[dict[str, Any]]:
    """What an operator sees of an org."""
    statement = f"SELECT * FROM {relation} WHERE org_id = %(org)s ORDER BY {order}"
    return await query(fresh.dsn("operator"), statement, {"org": org})


def event(**actor: str) -> bytes:
    return raw({"eventType": "deploy.shipped", "category": "code", "actor": actor})


def snapshot(metrics: bytes, timestamp: str, **actor: str) -> bytes:
    fields = raw({"snapshotType": "oncall_queue", "actor": actor, "timestamp": timestamp})
    return fields[:-1] + b', "metrics": ' + metrics + b"}"


async def test_the_guides_event_is_in_the_timeline_with_its_metadata_byte_for_byte(
    fresh: Fresh, projecting: Projecting, org: str
) -> None:
    app = new_id("app")
    request = envelope(org, [GUIDE_EVENT], app_id=app)
    sequence = await projecting.stored_and_applied(founded(org), app_created(org, app), request)

    [row] = await rows_of(fresh, "live.timeline", org)

    assert (row["event_id"], row["request_id"]) == (request.accepted[0].event_id, request.request_id)
    assert row["worker_id"] == worker_id(founded(org).salt, "externalId", app, "eng-17")
    assert (row["org_id"], row["app_id"], row["connection"]) == (org, app, "custom:ci")
    assert (row["event_type"], row["category"], row["duration"]) == ("deploy.shipped", "code", 612.0)
    assert row["occurred_at"].isoformat() == "2026-04-19T12:05:00+00:00"
    assert round(row["received_at"].timestamp() * SECOND_US) == request.received_at_us
    assert (row["sequence"], row["row_index"]) == (sequence, 0)
    assert row["metadata"] == {"service": "checkout-api", "sha": "3c4d8a1", "env": "production"}
    assert row["metadata_raw"] == GUIDE_METADATA


async def test_metadata_that_jsonb_would_change_is_still_shown_as_it_was_sent(
    fresh: Fresh, projecting: Projecting, org: str
) -> None:
    metadata = '{"b": 1.10, "a": "\\u00e9 é 🎉", "b": 1e2, "long": "' + "x" * 10_000 + '"}'
    row = event(externalId="e")[:-1] + f', "metadata": {metadata}}}'.encode()
    await projecting.stored_and_applied(founded(org), envelope(org, [row, event(externalId="e")]))
    first, second = await rows_of(fresh, "live.timeline", org, "row_index")
    assert first["metadata_raw"] == metadata
    assert first["metadata"] == {"a": "é é 🎉", "b": 100, "long": "x" * 10_000}
    assert (second["metadata"], second["metadata_raw"], second["duration"]) == (None, None, None)


async def test_a_worker_shows_all_that_was_learned_of_it_in_the_order_it_was_learned(
    fresh: Fresh, projecting: Projecting, org: str
) -> None:
    await projecting.stored_and_applied(founded(org), envelope(org, [event(externalId="eng-17")], app_id="app_1"))
    both = [event(externalId="a17", email="Alex@Acme.com"), event(email="alex@acme.com")]
    await projecting.stored_and_applied(envelope(org, both, app_id="app_2", slug="hr"))
    await projecting.stored_and_applied(
        envelope(org, [event(externalId="eng-17", email="alex@acme.com")], app_id="app_1"),
        imported(org, ("alex@acme.com", "Alex")),
        envelope(org, [event(externalId="eng-17", email="al@acme.com")], app_id="app_1"),
    )
    first, second = await rows_of(fresh, "live.workers", org, "in_directory, worker_id")
    assert (first["external_ids"], first["emails"]) == (["eng-17"], ["al@acme.com"])
    assert (first["connections"], first["name"], first["in_directory"]) == (["custom:ci"], None, False)
    assert (second["external_ids"], second["emails"]) == (["a17"], ["alex@acme.com"])
    assert (second["connections"], second["name"], second["in_directory"]) == (["custom:hr"], "Alex", True)


async def test_one_worker_of_two_apps_has_both_connections(fresh: Fresh, projecting: Projecting, org: str) -> None:
    await projecting.stored_and_applied(founded(org), imported(org, ("alex@acme.com", "Alex")))
    for app, slug in (("app_2", "hr"), ("app_1", "ci"), ("app_2", "hr")):
        actor = {"email": "alex@acme.com", "externalId": f"{slug}-17"}
        await projecting.stored_and_applied(envelope(org, [event(**actor)], app_id=app, slug=slug))
    [worker] = await rows_of(fresh, "live.workers", org)
    assert worker["connections"] == ["custom:hr", "custom:ci"]
    assert worker["external_ids"] == ["hr-17", "ci-17"]


async def test_identifiers_of_two_workers_are_not_merged_and_the_conflict_is_recorded_once(
    fresh: Fresh, projecting: Projecting, org: str
) -> None:
    await projecting.stored_and_applied(
        founded(org), envelope(org, [event(externalId="eng-17"), event(email="alex@acme.com")])
    )
    for _ in range(2):
        await projecting.stored_and_applied(envelope(org, [event(externalId="eng-17", email="alex@acme.com")]))
    salt = founded(org).salt
    [conflict] = await rows_of(fresh, "live.identity_conflicts", org)
    assert (conflict["reason"], conflict["kind"], conflict["value"]) == ("bound_to_another", "email", "alex@acme.com")
    assert conflict["worker_id"] == worker_id(salt, "externalId", "app_1", "eng-17")
    assert conflict["other_worker_id"] == worker_id(salt, "email", org, "alex@acme.com")


async def test_a_newer_snapshot_replaces_the_older_and_a_late_one_does_not(
    fresh: Fresh, projecting: Projecting, org: str
) -> None:
    await projecting.stored_and_applied(founded(org))
    for metrics, timestamp in (
        (b'{"active": 1}', "2026-04-19T11:00:00Z"),
        (METRICS, "2026-04-19T11:30:00Z"),
        (b'{"active": 2}', "2026-04-19T11:15:00Z"),
    ):
        row = snapshot(metrics, timestamp, email="alex@acme.com")
        await projecting.stored_and_applied(envelope(org, [row], kind="snapshot", received_at_us=RECEIVED_AT_US))
    [latest] = await rows_of(fresh, "live.latest_snapshots", org)
    [as_sent] = await rows_of(fresh, "(SELECT org_id, metrics::text AS text FROM live.latest_snapshots)", org)
    assert as_sent["text"] == METRICS.decode()
    assert list(latest["metrics"]) == ["waiting", "active"]
    assert latest["observed_at"].isoformat() == "2026-04-19T11:30:00+00:00"
    assert (latest["snapshot_type"], latest["connection"]) == ("oncall_queue", "custom:ci")
    assert latest["worker_id"] == worker_id(founded(org).salt, "email", org, "alex@acme.com")


async def test_a_reader_sees_its_own_org_and_cannot_let_itself_see_another(
    fresh: Fresh, projecting: Projecting, org: str
) -> None:
    other = new_id("org")
    for one in (other, org):
        rows = [event(externalId="e", email="m@x.com"), event(email="n@x.com"), event(externalId="e", email="n@x.com")]
        rejected = [RejectedRow(3, "invalid_body", "Mend it.", None, False, b"{}")]
        await projecting.stored_and_applied(founded(one), replace(envelope(one, rows), rejected=rejected))
        row = snapshot(METRICS, "2026-04-19T11:30:00Z", email="m@x.com")
        await projecting.stored_and_applied(envelope(one, [row], kind="snapshot"))
    await create_reader(fresh.admin_dsn, fresh.dsn("projector"), f"reader_{org.lower()}", "secret", org)
    await create_reader(fresh.admin_dsn, fresh.dsn("projector"), f"reader_{other.lower()}", "secret", other)
    reader = login_dsn(fresh.admin_dsn, f"reader_{org.lower()}", "secret")

    tables = ("workers", "timeline", "latest_snapshots", "identity_conflicts", "identifiers", "requests", "rejects")
    views = (*tables, "reader_orgs")
    for relation in (*(f"live.{view}" for view in views), *(f"live_v1.{table}" for table in tables)):
        statement = f"SELECT DISTINCT org_id FROM {relation}"
        seen_by_operator = {row["org_id"] for row in await query(fresh.dsn("operator"), statement)}
        assert {org, other} <= seen_by_operator, relation
        assert [row["org_id"] for row in await query(reader, statement)] == [org], relation

    for attempt in (
        f"INSERT INTO live.reader_orgs VALUES (current_user, '{other}')",
        f"UPDATE live.reader_orgs SET org_id = '{other}'",
        "DELETE FROM live_v1.timeline",
        "INSERT INTO live.workers (org_id) VALUES ('x')",
        "SELECT salt FROM live_v1.orgs",
        "SELECT * FROM live_v1.parked",
        "SELECT * FROM live.parked",
        "SELECT * FROM live.checkpoint",
        "SET ROLE wepeople_operator",
    ):
        async with await AsyncConnection.connect(reader) as connection:
            await connection.execute("SET TRANSACTION READ WRITE")
            with pytest.raises(InsufficientPrivilege):
                await connection.execute(attempt.encode())
    with pytest.raises(InsufficientPrivilege):
        await query(fresh.dsn("operator"), "SELECT salt FROM live_v1.orgs")
