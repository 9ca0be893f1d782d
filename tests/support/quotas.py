"""Quota as a process, and clients that ask it."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from nats.aio.client import Client

from tests.support.nats_users import nats_environment
from tests.support.stored import envelope
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.rpc import call
from wepeople_contracts.envelope import Charge, Envelope
from wepeople_contracts.quota import Granted, RateLimited, Release, Reserve, Seen, Usage, UsageQuery, Verdict
from wepeople_contracts.subjects import release_subject, reserve_subject, usage_subject
from wepeople_embedded.services import ServiceProcess

ORG = "org_test"
PLENTY = 10**9


def this_period() -> str:
    """The UTC month that is now."""
    return f"{datetime.now(UTC):%Y-%m}"


def charged(
    units: int,
    event_ids: Sequence[str] = (),
    *,
    org_id: str = ORG,
    message_id: str | None = None,
    period: str | None = None,
    slug: str = "ci",
) -> Envelope:
    """An envelope that costs its org so many units of this month, those of the named events among them."""
    charge = Charge(period or this_period(), units, 1, list(event_ids))
    message = replace(envelope(org_id, [b"{}"], slug=slug), charge=charge)
    return message if message_id is None else replace(message, message_id=message_id)


def new_message_id() -> str:
    """An id such as the gateway derives."""
    return secrets.token_hex(20)


class Asker:
    """A client of quota."""

    def __init__(self, connection: Client) -> None:
        self.connection = connection

    async def reserve(self, message_id: str | None, units: int = 1, **changed: Any) -> Granted | RateLimited | Seen:
        """Ask for a passage, with limits that do not stand in the way unless they are given."""
        fields = {"org_id": ORG, "key_id": "key", "key_limit": PLENTY, "org_limit": PLENTY, "month_limit": None}
        request = Reserve(message_id=message_id, units=units, **(fields | changed))
        reply = await call(self.connection, reserve_subject(request.org_id), request, Verdict)
        return reply.verdict

    async def release(self, message_id: str, org_id: str = ORG) -> None:
        """Give a reservation back."""
        release = Release(org_id=org_id, message_id=message_id)
        await self.connection.publish(release_subject(org_id), release.model_dump_json().encode())

    async def usage(self, org_id: str = ORG) -> Usage:
        """What an org has used of this month."""
        return await call(self.connection, usage_subject(org_id), UsageQuery(org_id=org_id), Usage)


@asynccontextmanager
async def asker(nats_url: str) -> AsyncIterator[Asker]:
    """A client on a connection of its own."""
    connection = await connect(NatsAddress(nats_url), "test-asker")
    try:
        yield Asker(connection)
    finally:
        await connection.close()


def quota_process(
    nats_url: str, dsn: str, directory: Path, settings: Mapping[str, str] | None = None
) -> ServiceProcess:
    """Quota's process, not started; it saves five times a second unless told otherwise."""
    environment = {
        **nats_environment("quota", nats_url),
        "WEPEOPLE_POSTGRES_DSN": dsn,
        "WEPEOPLE_SAVE_SECONDS": "0.2",
        **(settings or {}),
    }
    return ServiceProcess("quota", environment, directory / f"quota-{time.monotonic_ns()}.log")


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 15) -> None:
    """Return once a condition holds; `TimeoutError` when it does not within the time."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)
