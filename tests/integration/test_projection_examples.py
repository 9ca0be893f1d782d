"""The examples on real servers: built, proved, promoted, and read as their documentation says."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.analyst import Analyst, built
from tests.support.fresh import Fresh
from tests.support.stored import RECEIVED_AT_US, envelope, founded, raw, store
from wepeople_chassis.broker import NatsAddress, connect

EXAMPLES = Path(__file__).parents[2] / "examples/projections"
KIM, ALEX = {"externalId": "eng-17"}, {"email": "alex@acme.com"}


def event(event_type: str, at: str, actor: dict[str, str] = KIM, **more: Any) -> bytes:
    return raw({"eventType": event_type, "category": "code", "actor": actor, "timestamp": at, **more})


def queue(at: str, waiting: Any) -> bytes:
    metrics = {"active": 2, "waiting": waiting}
    return raw({"snapshotType": "oncall_queue", "actor": ALEX, "timestamp": at, "metrics": metrics})


@pytest.fixture
async def analyst(fresh: Fresh, tmp_path: Path) -> AsyncIterator[Analyst]:
    """Whose org has had a few events and snapshots."""
    connection = await connect(NatsAddress(fresh.nats_url), "tests")
    try:
        ready = Analyst(fresh, connection, tmp_path)
        events = [
            event("deploy.shipped", "2026-04-13T09:00:30Z", duration=100, metadata={"service": "checkout"}),
            event("deploy.shipped", "2026-04-14T09:00:00Z", duration=10.4, metadata={"service": "checkout"}),
            event("incident.resolved", "2026-04-13T23:00:00Z", ALEX, duration=60),
        ]
        org = ready.org_id
        queues = [queue("2026-04-13T11:00:00Z", {"value": 5}), queue("2026-04-13T11:30:00Z", 4)]
        await store(connection, founded(org), envelope(org, events, received_at_us=RECEIVED_AT_US))
        for row in queues:
            await store(connection, envelope(org, [row], kind="snapshot", received_at_us=RECEIVED_AT_US))
        yield ready
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("name", "statement", "expected"),
    [
        (
            "deploys",
            "SELECT week::text, service, deploys, seconds, slowest_seconds FROM deploys.deploys_per_week",
            [("2026-04-13", "checkout", 2, 110, 100)],
        ),
        (
            "on_call",
            "SELECT day::text, incidents, at_night, l.seconds, most_waiting, waiting FROM on_call.load l "
            "JOIN on_call.queue_now USING (org_id, worker_id)",
            [("2026-04-13", 1, 1, 60, 5.0, 4.0)],
        ),
        (
            "active_minutes",
            "SELECT day::text, minutes, events FROM active_minutes.per_day ORDER BY 1, 2",
            [("2026-04-13", 2, 1), ("2026-04-13", 3, 1), ("2026-04-14", 2, 1)],
        ),
    ],
    ids=["deploys", "on_call", "active_minutes"],
)
async def test_an_example_is_built_proved_and_read(
    analyst: Analyst, name: str, statement: str, expected: list[tuple[Any, ...]]
) -> None:
    await built(analyst, [str(EXAMPLES / f"{name}.py")])
    for command in ("verify", "promote"):
        result = await analyst.projection(command, name)
        assert result.code == 0, result.stderr
    assert [tuple(row.values()) for row in await analyst.rows(statement)] == expected
