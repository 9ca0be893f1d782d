"""`python -m bench.generator`: sends prebuilt requests over raw sockets; a `LoadSpec` on stdin, a `LoadResult` out.

A process of its own, so that it shares nothing with what it measures, and without an HTTP client, so that it is not
the limit: it costs about 30 µs a request beside the copying of the bytes.
"""

import asyncio
import sys
import time
from collections import Counter, deque
from datetime import UTC, datetime
from itertools import cycle
from typing import cast

import msgspec
import uvloop

from bench.answers import Answer, AnswerReader
from bench.load import Accepted, LoadResult, LoadSpec
from bench.rows import bodies, http_request
from bench.statistic import percentile

HOST = "127.0.0.1"


class Run:
    """One run of a spec: what to send next, and what has come back."""

    def __init__(self, spec: LoadSpec) -> None:
        self.spec = spec
        timestamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        payloads = bodies(spec.bodies, spec.rows, timestamp, spec.metadata_bytes, spec.first_actor)
        host = f"{HOST}:{spec.port}"
        self._requests = cycle([http_request(p, path=spec.path, host=host, token=spec.token) for p in payloads])
        self._left = spec.requests if spec.requests is not None else sys.maxsize
        self._cpu_before = 0.0
        self.started_at = 0.0
        self.end_at = 0.0
        self.done_at: list[float] = []
        self.took: list[float] = []
        self.accepted: list[Accepted] = []
        self.others: Counter[str] = Counter()

    def start(self) -> None:
        """From now on the time counts."""
        self._cpu_before = time.process_time()
        self.started_at = time.monotonic()
        self.end_at = self.started_at + self.spec.warm_seconds + self.spec.seconds

    def next(self) -> bytes | None:
        """The next request, or None when it is over."""
        if self._left == 0 or time.monotonic() >= self.end_at:
            return None
        self._left -= 1
        return next(self._requests)

    def answered(self, answer: Answer, started_at: float) -> None:
        """Note an answer to a request that was due at `started_at`."""
        now = time.monotonic()
        self.done_at.append(now)
        self.took.append(now - started_at)
        if answer.status != 202:
            self.others[f"{answer.status} {answer.start_of_body.decode(errors='replace')}"] += 1
        elif self.spec.record:
            self.accepted.append(Accepted(answer.request_id, now))

    def result(self) -> LoadResult:
        """What was measured."""
        begin = self.started_at + self.spec.warm_seconds
        end = min(self.end_at, self.done_at[-1])
        counted = sum(begin <= at <= end for at in self.done_at)
        return LoadResult(
            answered=len(self.done_at),
            rows=len(self.done_at) * self.spec.rows,
            per_second=counted / (end - begin) if end > begin else 0.0,
            p50_seconds=percentile(self.took, 50),
            p99_seconds=percentile(self.took, 99),
            first_sent_at=self.started_at,
            last_answer_at=self.done_at[-1],
            others=dict(self.others.most_common(5)),
            cpu_seconds=time.process_time() - self._cpu_before,
            accepted=self.accepted,
        )


class Connection(asyncio.Protocol):
    """A kept connection with at most one request open."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._reader = AnswerReader()
        self._due: deque[float] = deque()
        self._sent_at: float | None = None
        self.idle = asyncio.Event()
        self.idle.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        answer = self._reader.feed(data)
        if answer is None:
            return
        assert self._sent_at is not None
        self._run.answered(answer, self._sent_at)
        self._sent_at = None
        if self._run.spec.per_second is None:
            self.send(time.monotonic())
        elif self._due:
            self.send(self._due.popleft())
        else:
            self.idle.set()

    def send(self, due_at: float) -> None:
        """Send the next request, now if nothing is open, else behind it; `due_at` is when it should have gone."""
        if self._sent_at is not None:
            self._due.append(due_at)
            return
        request = self._run.next()
        if request is None:
            self.idle.set()
            return
        self.idle.clear()
        self._sent_at = due_at
        self._transport.write(request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        if self._sent_at is not None:
            self._run.others[f"connection lost: {exc!r}"] += 1
        self.idle.set()

    def close(self) -> None:
        """Close it."""
        self._transport.close()


async def send_all(spec: LoadSpec) -> LoadResult:
    """Open the connections, send until it is over, wait for the last answers."""
    run = Run(spec)
    loop = asyncio.get_running_loop()
    connections = []
    for _ in range(spec.connections):
        _, connection = await loop.create_connection(lambda: Connection(run), HOST, spec.port)
        connections.append(connection)
    run.start()
    if spec.per_second is None:
        for connection in connections:
            connection.send(run.started_at)
    else:
        await _send_by_the_clock(run, connections, spec.per_second)
    await asyncio.gather(*(connection.idle.wait() for connection in connections))
    for connection in connections:
        connection.close()
    return run.result()


async def _send_by_the_clock(run: Run, connections: list[Connection], per_second: float) -> None:
    """Start requests at equal distances; a connection that is still busy makes its next request late, and the delay
    counts in that request's time.
    """
    for number, connection in enumerate(cycle(connections)):
        due_at = run.started_at + number / per_second
        if due_at >= run.end_at:
            return
        await asyncio.sleep(due_at - time.monotonic())
        connection.send(due_at)


if __name__ == "__main__":
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=LoadSpec)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(send_all(spec))))
