"""Load: what is asked of the generator (a process of its own, `generator.py`), and what it measured."""

import asyncio
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

ROOT = Path(__file__).parent.parent
_SLACK_SECONDS = 30.0


class LoadSpec(Struct, frozen=True, kw_only=True):
    """What to send: `connections` at once, each with one request open at a time, until `seconds` have passed or
    `requests` were sent, whichever is first. With `per_second` requests start by the clock instead.

    `warm_seconds` at the start do not count in the rate. `bodies` different bodies of `rows` rows take turns.
    """

    port: int
    path: str = "/api/v1/ingest/events"
    token: str = "-"
    connections: int
    seconds: float
    warm_seconds: float = 0.0
    requests: int | None = None
    per_second: float | None = None
    rows: int
    bodies: int = 20
    metadata_bytes: int = 0
    first_actor: int = 0
    record: bool = False


class Accepted(Struct, frozen=True, array_like=True):
    """A 202: the request's id, and when the answer was whole (seconds of the machine's monotonic clock)."""

    request_id: str
    at: float


class LoadResult(Struct, frozen=True, kw_only=True):
    """What came of it: `per_second` in answers, between the warm-up and the end of sending; times in seconds."""

    answered: int
    rows: int
    per_second: float
    p50_seconds: float
    p99_seconds: float
    first_sent_at: float
    last_answer_at: float
    others: dict[str, int]
    cpu_seconds: float
    accepted: list[Accepted]


class LoadFailed(Exception):
    """The generator did not get the answers it came for, so its figures would mean nothing."""


async def run_load(spec: LoadSpec) -> LoadResult:
    """Run the generator; `LoadFailed` when any answer was not 202, or it did not end in time."""
    generator = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.generator"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(
            generator.communicate(msgspec.json.encode(spec)), spec.seconds + spec.warm_seconds + _SLACK_SECONDS
        )
    except TimeoutError as error:
        raise LoadFailed("the load generator did not end in time: some request was never answered") from error
    finally:
        if generator.returncode is None:
            generator.kill()
    if generator.returncode != 0:
        raise LoadFailed(f"the load generator failed:\n{err.decode(errors='replace')[-2000:]}")
    result = msgspec.json.decode(out, type=LoadResult)
    if result.others:
        raise LoadFailed(f"answers other than 202: {result.others}")
    return result
