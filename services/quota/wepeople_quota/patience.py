"""Waiting for NATS and Postgres."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from psycopg import OperationalError

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger

log = get_logger(__name__)

_RETRY_SECONDS = 0.5

T = TypeVar("T")


async def patiently(action: Callable[[], Awaitable[T]]) -> T:
    """Repeat until both are there."""
    while True:
        try:
            return await action()
        except (OperationalError, *BROKER_DOWN) as error:
            log.warning("waiting", error=str(error) or repr(error))
            await asyncio.sleep(_RETRY_SECONDS)
