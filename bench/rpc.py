"""What asking auth and quota costs, beside an echo that does nothing: the bare limit of a call between processes."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from nats.aio.client import Client

from bench import bare
from bench.figures import Finding, Tell, figure
from bench.ground import Ground, running_bare, running_ground
from bench.plan import Plan
from bench.statistic import percentile
from wepeople_contracts.auth import Authenticate, Principal
from wepeople_contracts.ids import message_id
from wepeople_contracts.quota import Reserve, Verdict
from wepeople_contracts.reply import Reply
from wepeople_contracts.subjects import AUTHENTICATE, reserve_subject

SUBJECT = "calls between services"
AT_ONCE = 32
_TIMEOUT_SECONDS = 30.0
_MILLISECONDS = 1e3

Call = tuple[str, bytes]
"""A subject and the request."""


async def measure_rpc(plan: Plan, tell: Tell) -> list[Finding]:
    """One after the other (p50), then many at once (calls/s). Auth is started anew before it must not know a key."""
    async with running_ground() as ground, running_bare(ground):
        await ground.stop("projector")
        tell("calls: echo")
        findings = await _measure(ground, "echo (does nothing)", [(bare.ECHO, b"x" * 200)] * plan.calls)
        tell("calls: auth, a key it knows")
        known = [(AUTHENTICATE, _authenticate(ground.token))] * plan.calls
        await _ask(ground.connection, known[0], Principal)
        findings += await _measure(ground, "auth, a key it knows", known)
        tell("calls: auth, a key it must check by bcrypt")
        unknown = [(AUTHENTICATE, _authenticate(await ground.new_key())) for _ in range(plan.keys)]
        await _forget(ground)
        one_by_one = await _one_by_one(ground.connection, unknown)
        await _forget(ground)
        findings += _findings(
            "auth, a key it must check (bcrypt)",
            one_by_one,
            await _per_second(ground, unknown),
            min(AT_ONCE, plan.keys),
        )
        tell("calls: quota")
        reservations = [(reserve_subject(ground.org_id), _reserve(ground, n)) for n in range(2 * plan.calls)]
        await _ask(ground.connection, (reservations[0][0], _reserve(ground, -1)), Verdict)
        return findings + await _measure(ground, "quota, a request of 500 events", reservations)


def _authenticate(token: str) -> bytes:
    return Authenticate(token=token).model_dump_json().encode()


def _reserve(ground: Ground, number: int) -> bytes:
    return (
        Reserve(
            org_id=ground.org_id,
            key_id="0" * 12,
            message_id=message_id(ground.app_id, "POST", "/bench", str(number)),
            units=500,
            key_limit=1_000_000,
            org_limit=1_000_000,
            month_limit=None,
        )
        .model_dump_json()
        .encode()
    )


async def _forget(ground: Ground) -> None:
    await ground.stop("auth")
    await ground.start("auth")


async def _ask(connection: Client, call: Call, ok: Any) -> None:
    """One call whose answer is looked at, so that errors are not measured as answers."""
    message = await connection.request(*call, timeout=_TIMEOUT_SECONDS)
    reply = Reply[ok].model_validate_json(message.data)
    if reply.error is not None:
        raise AssertionError(f"{call[0]} answered {reply.error}")


async def _measure(ground: Ground, name: str, calls: Sequence[Call]) -> list[Finding]:
    half = len(calls) // 2
    one_by_one = await _one_by_one(ground.connection, calls[:half])
    return _findings(name, one_by_one, await _per_second(ground, calls[half:]))


def _findings(name: str, seconds: list[float], per_second: float, at_once: int = AT_ONCE) -> list[Finding]:
    return [
        figure(SUBJECT, f"{name}: one at a time, p50", "ms", [percentile(seconds, 50) * _MILLISECONDS]),
        figure(SUBJECT, f"{name}: {at_once} at once", "calls/s", [per_second]),
    ]


async def _one_by_one(connection: Client, calls: Sequence[Call]) -> list[float]:
    seconds = []
    for call in calls:
        started_at = time.perf_counter()
        await connection.request(*call, timeout=_TIMEOUT_SECONDS)
        seconds.append(time.perf_counter() - started_at)
    return seconds


async def _per_second(ground: Ground, calls: Sequence[Call]) -> float:
    waiting = iter(calls)

    async def ask_on() -> None:
        for call in waiting:
            await ground.connection.request(*call, timeout=_TIMEOUT_SECONDS)

    started_at = time.perf_counter()
    await asyncio.gather(*(ask_on() for _ in range(AT_ONCE)))
    return len(calls) / (time.perf_counter() - started_at)
