"""What was stored in the stream is found in the views, by those who may see it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from tests.support.fresh import Fresh
from tests.support.read_models import eventually, query, rows_of_request
from tests.support.stored import RECEIVED_AT_US, app_created, envelope, founded, imported, raw, store, store_bytes
from wepeople_chassis.broker import connect
from wepeople_contracts.ids import new_id, worker_id
from wepeople_contracts.subjects import ingest_subject
from wepeople_embedded.services import ServiceProcess
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


@pytest.fixture
async def stream(fresh: Fresh) -> AsyncIterator[Client]:
    connection = await connect(fresh.nats_url, "test")
    yield connection
    await connection.close()


@pytest.fixture
async def projector(fresh: Fresh, stream: Client, tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    settings = {"WEPEOPLE_NATS_URL": fresh.nats_url, "WEPEOPLE_POSTGRES_DSN": fresh.dsn("projector")}
    process = ServiceProcess("projector", settings, tmp_path / "projector.log")
    process.start()
    await process.wait_ready(stream)
    yield process
    assert await process.stop() == 0


async def test_the_guides_event_is_in_the_timeline_with_its_metadata_byte_for_byte(
    fresh: Fresh, stream: Client, projector: ServiceProcess
) -> None:
    org, app = new_id("org"), new_id("app")
    request = envelope(org, [GUIDE_EVENT], app_id=app)
    sequence = await store(stream, founded(org), app_created(org, app), request)

    [row] = await rows_of_request(fresh.dsn("operator"), request.request_id, 1)

    assert row["event_id"] == request.accepted[0].event_id
    assert row["worker_id"] == worker_id(founded(org).salt, "externalId", app, "eng-17")
    assert (row["org_id"], row["app_id"], row["connection"]) == (org, app, "custom:ci")
    assert (row["event_type"], row["category"], row["duration"]) == ("deploy.shipped", "code", 612.0)
    assert row["occurred_at"].isoformat() == "2026-04-19T12:05:00+00:00"
    assert (row["sequence"], row["row_index"]) == (sequence, 0)
    assert row["metadata"] == {"service": "checkout-api", "sha": "3c4d8a1", "env": "production"}
    assert row["metadata_raw"] == GUIDE_METADATA
