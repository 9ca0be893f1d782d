"""Load like a careful client's: each request is tried again under its own key until it is answered."""

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from tests.support.client import Answer, Client
from tests.support.ledger import Gauge, Ledger, SentRequest
from tests.support.operators import EVENT_TYPE

WORKERS = 60
SNAPSHOT_TYPES = ("oncall_queue", "open_reviews")
_SHARE_OF_SNAPSHOTS = 0.15
_SHARE_OF_BATCHES = 0.25
_BATCH_ROWS = 20
_MAX_PAUSE_SECONDS = 1.0
_RETRIED = frozenset({429, 500, 503})
_SHARE_OF_IMPATIENT = 0.1
_IMPATIENT_SECONDS = 0.02


class RequestMaker:
    """Requests of 1 or 20 events, and snapshots, in a random order that its seed decides."""

    LAST = "last"
    """The marker of an event that follows all others."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._count = 0

    def next(self) -> tuple[SentRequest, str, bytes]:
        """A request for the ledger, and its path and body."""
        self._count += 1
        key, now = f"r{self._count}", time.time()
        kind = self._random.random()
        if kind < _SHARE_OF_SNAPSHOTS:
            return self._snapshot(key, now)
        count = _BATCH_ROWS if kind < _SHARE_OF_SNAPSHOTS + _SHARE_OF_BATCHES else 1
        request = SentRequest(key, tuple(f"{key}-{row}" for row in range(count)), now)
        rows = [self._event(marker) for marker in request.markers]
        return request, "/events", json.dumps({"events": rows}).encode()

    def _worker(self) -> str:
        return f"eng-{self._random.randrange(WORKERS)}"

    def _event(self, marker: str) -> dict[str, Any]:
        return {
            "eventType": EVENT_TYPE,
            "category": "code",
            "actor": {"externalId": self._worker()},
            "metadata": {"marker": marker, "service": "checkout-api"},
        }

    def _snapshot(self, key: str, now: float) -> tuple[SentRequest, str, bytes]:
        observed_at_us = int(now * 1_000_000)
        gauge = Gauge(self._worker(), self._random.choice(SNAPSHOT_TYPES), observed_at_us)
        body = {
            "snapshotType": gauge.snapshot_type,
            "actor": {"externalId": gauge.external_id},
            "metrics": {"marker": f"{key}-0", "active": 2},
            "timestamp": datetime.fromtimestamp(observed_at_us / 1_000_000, UTC).isoformat(),
        }
        return SentRequest(key, (f"{key}-0",), now, gauge), "/snapshots", json.dumps(body).encode()


@dataclass(slots=True)
class Load:
    """Begins `rate` requests a second, whether earlier ones are answered or not, and keeps the ledger."""

    client: Client
    maker: RequestMaker
    rate: float
    give_up_seconds: float = 90.0
    ledger: Ledger = field(default_factory=Ledger)
    answers: Counter[str] = field(default_factory=Counter)
    begun_per_second: float = 0.0
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, stop: asyncio.Event) -> None:
        """Begin requests until told to stop, then wait until each is answered or given up."""
        started = time.monotonic()
        while not stop.is_set():
            due = int((time.monotonic() - started) * self.rate) - len(self.ledger.sent)
            for _ in range(due):
                task = asyncio.create_task(self.settle(*self.maker.next()))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            await asyncio.sleep(0.01)
        self.begun_per_second = len(self.ledger.sent) / (time.monotonic() - started)
        await asyncio.gather(*self._under_way)

    async def settle(self, request: SentRequest, path: str, body: bytes) -> None:
        """Send the same request under the same key until its outcome is certain, or it is time to give up."""
        self.ledger.send(request)
        deadline = time.monotonic() + self.give_up_seconds
        pause = 0.05
        while time.monotonic() < deadline:
            answer = await self._attempt(request, path, body)
            if answer is not None and answer.status not in _RETRIED:
                self._note(request, answer)
                return
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, _MAX_PAUSE_SECONDS)

    async def _attempt(self, request: SentRequest, path: str, body: bytes) -> Answer | None:
        # Now and then a client leaves before its answer: the request may be stored, and its retry must find it.
        impatient = random.random() < _SHARE_OF_IMPATIENT
        try:
            async with asyncio.timeout(random.uniform(0, _IMPATIENT_SECONDS) if impatient else None):
                answer = await self.client.post(path, body, request.key)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            self.answers[type(error).__name__] += 1
            return None
        self.answers[str(answer.status) + ("r" if "Idempotent-Replayed" in answer.headers else "")] += 1
        return answer

    def _note(self, request: SentRequest, answer: Answer) -> None:
        if answer.status == 202:
            self.ledger.promise(request, [result["eventId"] for result in answer.json()["results"]])
        else:
            self.ledger.refuse(request, f"{answer.status} {answer.body.decode(errors='replace')}")
