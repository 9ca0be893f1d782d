"""The guide's own examples, verbatim through HTTP, and read back as its readers would read them.

`guide_examples/*.json` are the guide's text, byte for byte.
"""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client, client, refusal
from tests.support.operators import operators
from tests.support.read_models import eventually, query, rows_of_request
from tests.support.system import RunningSystem

EXAMPLES = Path(__file__).with_name("guide_examples")


@pytest.fixture
async def demo(system: RunningSystem) -> AsyncIterator[Client]:
    async with client(system.gateway_url, system.api_key) as caller:
        yield caller


async def worker(system: RunningSystem, worker_id: str) -> dict[str, Any]:
    """One line of live.workers, as the demo org's reader sees it."""
    statement = "SELECT * FROM live.workers WHERE worker_id = %(worker_id)s"
    (found,) = await query(system.demo.postgres_dsn, statement, {"worker_id": worker_id})
    return found


async def test_ping_echoes_the_organization_and_the_apps_slug(system: RunningSystem, demo: Client) -> None:
    answer = await demo.ping()
    assert answer.status == 200
    assert answer.json() == {
        "organizationId": system.demo.organization_id,
        "app": {"slug": "ci"},
        "requestId": answer.headers["X-Request-Id"],
    }


async def test_the_guides_event_is_in_the_timeline_as_it_was_sent(system: RunningSystem, demo: Client) -> None:
    body = (EXAMPLES / "events.json").read_bytes()
    answer = await demo.post("/events", body)
    assert answer.status == 202, answer
    said = answer.json()
    assert (said["accepted"], said["rejected"]) == (1, 0)
    (result,) = said["results"]
    assert (result["index"], result["status"]) == (0, "accepted")

    (row,) = await rows_of_request(system.demo.postgres_dsn, said["requestId"], 1)
    assert (row["event_id"], row["org_id"]) == (result["eventId"], system.demo.organization_id)
    assert (row["event_type"], row["category"], row["duration"]) == ("deploy.shipped", "code", 612)
    assert row["occurred_at"] == datetime(2026, 4, 19, 12, 5, tzinfo=UTC)
    assert row["connection"] == "custom:ci"
    assert row["metadata"] == {"service": "checkout-api", "sha": "3c4d8a1", "env": "production"}
    sent = body.decode().split('"metadata": ')[1]
    assert row["metadata_raw"] == sent[: sent.index("}") + 1]

    provisioned = await worker(system, row["worker_id"])
    assert "eng-17" in provisioned["external_ids"]
    assert provisioned["connections"] == ["custom:ci"]


async def test_the_guides_snapshot_is_the_latest_with_its_metrics_in_order(system: RunningSystem, demo: Client) -> None:
    body = (EXAMPLES / "snapshot.json").read_bytes()
    answer = await demo.post("/snapshots", body)
    assert answer.status == 202, answer
    said = answer.json()
    assert (said["accepted"], said["rejected"], len(said["results"])) == (1, 0, 1)

    # As text: the order of the metrics is what matters.
    statement = "SELECT *, metrics::text AS text FROM live.latest_snapshots WHERE request_id = %(request_id)s"
    (latest,) = await eventually(
        lambda: query(system.demo.postgres_dsn, statement, {"request_id": said["requestId"]}),
        lambda rows: len(rows) == 1,
    )
    assert (latest["snapshot_type"], latest["connection"]) == ("oncall_queue", "custom:ci")
    assert list(json.loads(latest["text"]).items()) == list(json.loads(body)["metrics"].items())

    provisioned = await worker(system, latest["worker_id"])
    assert provisioned["emails"] == ["alex@acme.com"]
    assert provisioned["connections"] == ["custom:ci"]


async def test_an_error_looks_like_the_guides(system: RunningSystem) -> None:
    async with operators(system.nats_url) as operator:
        stranger = await operator.caller(event_types=["review.done"])
    example = json.loads((EXAMPLES / "error.json").read_bytes())["error"]
    async with client(system.gateway_url, stranger.token) as caller:
        answer = await caller.post("/events", (EXAMPLES / "events.json").read_bytes())
    error = refusal(answer, 403, "forbidden_event_type")
    assert example.keys() <= error.keys()
    assert error["code"] == example["code"]
    assert error["message"].startswith(example["message"].removesuffix("."))
    assert len(error["requestId"]) == len(example["requestId"])
