"""Several orgs' load on one system while its streams are split, and what must be true of each org in the end."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.breakable import Breakable
from tests.support.client import client
from tests.support.exactness import Exactly
from tests.support.load import Load, RequestMaker
from tests.support.operators import Caller, Operators
from tests.support.shell import WEPEOPLE
from tests.support.verdict import (
    differences_of_stream,
    read_latest_snapshots,
    read_stream,
    read_timeline,
    wait_for_usage,
    wait_until_applied,
)
from wepeople_contracts.subjects import PARTITIONS, partition_of


@dataclass(frozen=True, slots=True)
class OrgLoad:
    """One org's."""

    caller: Caller
    load: Load

    @property
    def partition(self) -> int:
        return partition_of(self.caller.org_id)


async def callers_of_quarters(operator: Operators) -> list[Caller]:
    """An org in each quarter of the partitions, so that some move whenever a stream is split."""
    quarter = PARTITIONS // 4
    found: dict[int, Caller] = {}
    while len(found) < quarter:
        caller = await operator.caller()
        found.setdefault(partition_of(caller.org_id) // quarter, caller)
    return [found[number] for number in sorted(found)]


@asynccontextmanager
async def loads(breakable: Breakable, callers: list[Caller], rate: float, seed: int) -> AsyncIterator[list[OrgLoad]]:
    """As many requests a second of all together; ended when each has its answer and the read models have all of it."""
    url, dsn = breakable.system.gateway_url, breakable.system.operator_dsn
    async with AsyncExitStack() as stack:
        apis = [await stack.enter_async_context(client(url, one.token, timeout_seconds=20)) for one in callers]
        orgs = [
            OrgLoad(caller, Load(api, RequestMaker(seed + number), rate / len(callers)))
            for number, (caller, api) in enumerate(zip(callers, apis, strict=True))
        ]
        stop = asyncio.Event()
        running = [asyncio.create_task(org.load.run(stop)) for org in orgs]
        try:
            yield orgs
        finally:
            stop.set()
            await asyncio.gather(*running)
        await asyncio.gather(*(wait_until_applied(api, dsn) for api in apis))


async def more(orgs: list[OrgLoad], requests: int) -> None:
    """Return once each org was promised so many requests more."""
    wanted = [len(org.load.ledger.promised) + requests for org in orgs]
    async with asyncio.timeout(90):
        while any(len(org.load.ledger.promised) < count for org, count in zip(orgs, wanted, strict=True)):
            await asyncio.sleep(0.05)


async def complaints(breakable: Breakable, orgs: list[OrgLoad]) -> list[str]:
    """What is lost, doubled, refused or without an answer, of any org; and the month that is not as it should be."""
    wrong: list[str] = []
    for org in orgs:
        ledger, org_id = org.load.ledger, org.caller.org_id
        timeline = await read_timeline(breakable.system.operator_dsn, org_id)
        findings = ledger.compare_events((marker, event_id) for event_id, marker, *_ in timeline)
        wrong += [f"partition {org.partition} {kind}: {sorted(found)[:9]}" for kind, found in findings.all().items()]
        wrong += differences_of_stream(await read_stream(breakable.operator.connection, org_id), timeline)
        snapshots = await read_latest_snapshots(breakable.system.operator_dsn, org_id)
        wrong += ledger.compare_snapshots(snapshots)
        wrong += [f"{key} was refused: {why}" for key, why in ledger.refused.items()]
        wrong += [f"{request.key} was never answered" for request in ledger.unknown]
        await wait_for_usage(breakable.operator, org_id, len(timeline) + 1)
    return wrong


def answers(orgs: list[OrgLoad]) -> Counter[str]:
    """Of all orgs, by what they were."""
    return sum((org.load.answers for org in orgs), Counter[str]())


@dataclass(frozen=True, slots=True)
class Provisioner:
    """`wepeople stream …` as the provisioner of a system types it."""

    secrets: Path

    async def stream(self, *arguments: str) -> str:
        """What it printed; it fails when the command does."""
        process = await self._start(*arguments)
        async with asyncio.timeout(120):
            printed, _ = await process.communicate()
        assert process.returncode == 0, printed.decode()
        return printed.decode()

    async def stream_killed(self, *arguments: str, after_seconds: float) -> bool:
        """Kill it so long after it said its first word; False when it came to its end before."""
        process = await self._start(*arguments)
        assert process.stdout is not None
        async with asyncio.timeout(120):
            await process.stdout.readline()
        await asyncio.sleep(after_seconds)
        if process.returncode is not None:
            return False
        process.kill()
        await process.wait()
        return True

    async def _start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            WEPEOPLE,
            *("stream", *arguments),
            env=os.environ | {"WEPEOPLE_SECRETS_DIR": str(self.secrets)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )


def requests_to_repeat(operator: Operators, callers: list[Caller]) -> list[Exactly]:
    """A request of each org that is sent again and again."""
    return [Exactly(operator, caller) for caller in callers]
