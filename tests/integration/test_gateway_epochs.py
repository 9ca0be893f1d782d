"""A gateway takes a verdict of an earlier owner of quota for no answer."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.servers import Servers
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_contracts.auth import Principal
from wepeople_contracts.quota import Granted, Verdict, Window
from wepeople_contracts.reply import Reply
from wepeople_contracts.subjects import reserve_subject
from wepeople_gateway.alone import NO_EPOCH
from wepeople_gateway.budgets import Budgets

PRINCIPAL = Principal(
    org_id="org_epochs",
    app_id="app",
    app_slug="ci",
    connection="custom:ci",
    key_id="key",
    key_requests_per_second=1000,
    org_requests_per_second=1000,
    max_events_per_month=None,
    allowed_event_types=frozenset(),
)


@pytest.fixture
async def connection(servers: Servers) -> AsyncIterator[Client]:
    connection = await connect(NatsAddress(servers.nats_url), "test-epochs")
    yield connection
    await connection.close()


async def test_a_verdict_of_a_lower_epoch_than_one_seen_before_counts_as_no_answer(connection: Client) -> None:
    epochs = iter([3, 4, 4, 3, 5])

    async def answer(message: Msg) -> None:
        granted = Granted(
            units=1,
            period="2026-04",
            epoch=next(epochs),
            month_resets_at=datetime(2026, 5, 1, tzinfo=UTC),
            key_window=Window(remaining=1, reset_seconds=1),
        )
        await message.respond(Reply[Verdict](ok=Verdict(verdict=granted)).model_dump_json().encode())

    await connection.subscribe(reserve_subject(PRINCIPAL.org_id), cb=answer)
    now = 0.0
    budgets = Budgets(connection, 1, clock=lambda: now)
    found = []
    for _ in range(5):
        verdict = await budgets.reserve(PRINCIPAL, "message", 1)
        assert isinstance(verdict, Granted)
        found.append(verdict.epoch)
        now += 2
    assert found == [3, 4, 4, NO_EPOCH, 5]
