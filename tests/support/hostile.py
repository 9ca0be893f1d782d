"""Floods, sent from a process of their own so that their cost is not the measuring client's.

`python -m tests.support.hostile guesses|bodies|bombs URL KEY SECONDS` sends for so long, and prints the answers counted
by status as JSON.
"""

import asyncio
import gzip
import json
import secrets
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.client import client
from tests.support.operators import EVENT_TYPE

ROOT = Path(__file__).parents[2]
GUESSERS = 32
GUESSES_PER_SECOND = 400
BODY_CLIENTS = 20
BOMB_CLIENTS = 30
BOMB_BYTES = 500_000_000


def full_body() -> bytes:
    """A good request of nearly 9 MiB, the most that is taken."""
    row = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}
    return json.dumps({"events": [row | {"metadata": {"text": "x" * 16_300, "row": n}} for n in range(500)]}).encode()


async def _repeat(until: float, send: Callable[[], Awaitable[int]]) -> Counter[int]:
    count: Counter[int] = Counter()
    while time.monotonic() < until:
        count[await send()] += 1
    return count


async def _guess(url: str, key: str, until: float) -> Counter[int]:
    """Half of the keys are unknown, half have a known id and another secret."""

    async def send() -> int:
        await asyncio.sleep(GUESSERS / GUESSES_PER_SECOND)
        known = secrets.randbelow(2) == 0
        guess = key[:-20] + secrets.token_hex(10) if known else f"wp_live_{secrets.token_hex(16)}"
        async with client(url, guess) as guesser:
            return (await guesser.ping()).status

    return _sum(await asyncio.gather(*(_repeat(until, send) for _ in range(GUESSERS))))


async def _post_bodies(url: str, key: str, until: float) -> Counter[int]:
    body = full_body()
    async with client(url, key) as api:

        async def send() -> int:
            answer = await api.post("/events", body)
            await asyncio.sleep(int(answer.headers.get("Retry-After", "0")))
            return answer.status

        return _sum(await asyncio.gather(*(_repeat(until, send) for _ in range(BODY_CLIENTS))))


async def _post_bombs(url: str, key: str, until: float) -> Counter[int]:
    bomb = gzip.compress(bytes(BOMB_BYTES), 1)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with client(url, key) as api:

        async def send() -> int:
            return (await api.send("POST", "/events", bomb, headers)).status

        return _sum(await asyncio.gather(*(_repeat(until, send) for _ in range(BOMB_CLIENTS))))


def _sum(counts: list[Counter[int]]) -> Counter[int]:
    return sum(counts, Counter())


ATTACKS = {"guesses": _guess, "bodies": _post_bodies, "bombs": _post_bombs}


@asynccontextmanager
async def flood(attack: str, url: str, key: str, seconds: float) -> AsyncIterator[asyncio.Task[dict[str, int]]]:
    """A flood that lasts so long; its result is how many answers it got of each status."""
    assert attack in ATTACKS
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.hostile", attack, url, key, str(seconds)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    # It says so when it begins.
    await asyncio.wait_for(process.stdout.readline(), 30)

    async def result() -> dict[str, int]:
        output, _ = await asyncio.wait_for(process.communicate(), seconds + 60)
        counted: dict[str, int] = json.loads(output)
        return counted

    task = asyncio.create_task(result())
    try:
        yield task
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.gather(task, return_exceptions=True)


def main() -> None:
    """Carry one attack out."""
    attack, url, key, seconds = sys.argv[1:]
    print("begins", flush=True)
    count = asyncio.run(ATTACKS[attack](url, key, time.monotonic() + float(seconds)))
    print(json.dumps(count))


if __name__ == "__main__":
    main()
