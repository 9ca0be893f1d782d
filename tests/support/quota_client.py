"""Client processes that ask quota at the same moment, as fast as they can."""

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import nats
from nats.aio.client import Client

from tests.support.quotas import ORG, PLENTY, new_message_id
from wepeople_contracts.quota import Granted, RateLimited, Reserve, Verdict
from wepeople_contracts.reply import Reply
from wepeople_contracts.subjects import reserve_subject

CONCURRENT = 8
_LINE_BYTES = 64 * 1024 * 1024


class Told(NamedTuple):
    """One verdict, and when it was asked for and answered, in seconds of the machine's monotonic clock."""

    asked: float
    answered: float
    key_id: str
    verdict: str
    scope: str | None
    units: int


class ClientProcesses:
    """Several processes on one quota; each runs this module."""

    def __init__(self, processes: list[asyncio.subprocess.Process]) -> None:
        self._processes = processes

    async def ask(
        self,
        changed: dict[str, Any],
        *,
        count: int = PLENTY,
        seconds: float = 20.0,
        keys: Sequence[str] = (),
        pause_seconds: float = 0.0,
    ) -> list[Told]:
        """What they are told when each asks `count` times, each time with a new id, or for `seconds`.

        Each request is of one of the keys, if any are given, after a pause of at most `pause_seconds`, by chance.
        """
        request = {"org_id": ORG, "key_id": "key", "units": 1, "key_limit": PLENTY, "org_limit": PLENTY}
        request |= {"month_limit": None} | changed
        line = json.dumps(
            {
                "request": request,
                "count": count,
                "seconds": seconds,
                "keys": keys or [request["key_id"]],
                "pause_seconds": pause_seconds,
            }
        )
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(line.encode() + b"\n")
        told: list[Told] = []
        async with asyncio.timeout(60):
            for process in self._processes:
                assert process.stdout is not None
                told += [Told(*one) for one in json.loads(await process.stdout.readline())]
        return told


@asynccontextmanager
async def client_processes(nats_url: str, count: int) -> AsyncIterator[ClientProcesses]:
    """Start them, wait until they are connected, end them."""
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, nats_url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
        )
        for _ in range(count)
    ]
    try:
        async with asyncio.timeout(60):
            for process in processes:
                assert process.stdout is not None
                assert await process.stdout.readline() == b"ready\n"
        yield ClientProcesses(processes)
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def run_client(url: str) -> None:
    """Answer each line on stdin with one of verdicts."""
    connection = await nats.connect(url)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await ask_many(connection, **json.loads(line))), flush=True)


async def ask_many(
    connection: Client,
    *,
    request: dict[str, Any],
    count: int,
    seconds: float,
    keys: Sequence[str],
    pause_seconds: float,
) -> list[Told]:
    """Ask from a few tasks at once."""
    told: list[Told] = []
    left = count
    end = time.monotonic() + seconds

    async def ask() -> None:
        nonlocal left
        while left > 0 and time.monotonic() < end:
            left -= 1
            if pause_seconds:
                await asyncio.sleep(random.uniform(0, pause_seconds))
            key_id = random.choice(keys)
            changed = {"message_id": new_message_id(), "key_id": key_id}
            body = Reserve(**(request | changed)).model_dump_json().encode()
            asked = time.monotonic()
            answer = await connection.request(reserve_subject(request["org_id"]), body, timeout=10)
            answered = time.monotonic()
            reply = Reply[Verdict].model_validate_json(answer.data)
            assert reply.ok is not None
            verdict = reply.ok.verdict
            units = verdict.units if isinstance(verdict, Granted) else 0
            scope = verdict.scope if isinstance(verdict, RateLimited) else None
            told.append(Told(asked, answered, key_id, verdict.verdict, scope, units))

    await asyncio.gather(*(ask() for _ in range(CONCURRENT)))
    return told


if __name__ == "__main__":
    asyncio.run(run_client(sys.argv[1]))
