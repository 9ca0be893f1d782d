"""Two processes of quota on the same servers, and who of them is the owner."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.quotas import ORG, PLENTY, Asker, asker, new_message_id
from wepeople_chassis.rpc import Unavailable
from wepeople_contracts.quota import Granted, Reserve, Verdict
from wepeople_contracts.reply import Reply
from wepeople_contracts.subjects import STREAMS, reserve_subject
from wepeople_embedded.services import ServiceProcess
from wepeople_quota.bucket import Bucket


@dataclass
class Pair:
    """An owner and a standby, and a client."""

    ask: Asker
    processes: list[ServiceProcess]

    async def owner(self, stream: str = STREAMS[0]) -> ServiceProcess:
        """The process that a stream's lease names."""
        pid = (await Bucket(self.ask.connection, stream).read()).owner.split(":")[1]
        return next(process for process in self.processes if process.child.pid == int(pid))

    async def standby(self) -> ServiceProcess:
        """The other one."""
        owner = await self.owner()
        return next(process for process in self.processes if process is not owner)

    async def granted(self, within_seconds: float = 15) -> Granted:
        """A verdict, as soon as there is one."""
        async with asyncio.timeout(within_seconds):
            while True:
                try:
                    verdict = await asyncio.wait_for(self.ask.reserve(new_message_id()), 0.3)
                except (Unavailable, TimeoutError):
                    await asyncio.sleep(0.02)
                    continue
                assert isinstance(verdict, Granted)
                return verdict


@asynccontextmanager
async def quota_pair(nats_url: str, make_process: Callable[[], ServiceProcess], count: int = 2) -> AsyncIterator[Pair]:
    """Start both, and wait until both are ready: the one that answers, and the one that could; or one alone."""
    async with asker(nats_url) as client:
        pair = Pair(client, [])
        try:
            for _ in range(count):
                process = make_process()
                process.start()
                pair.processes.append(process)
            async with asyncio.timeout(30):
                while len(await answers(client.connection, "rpc.quota.ready", b"", 0.3)) < len(pair.processes):
                    pass
            yield pair
        finally:
            for process in pair.processes:
                await process.kill()


async def answers(connection: Client, subject: str, body: bytes, seconds: float) -> list[bytes]:
    """Everything that is answered to one request within a time."""
    found: list[bytes] = []

    async def take(message: Msg) -> None:
        if message.data:
            found.append(message.data)

    inbox = connection.new_inbox()
    subscription = await connection.subscribe(inbox, cb=take)
    await connection.publish(subject, body, reply=inbox)
    await asyncio.sleep(seconds)
    await subscription.unsubscribe()
    return found


async def verdicts(connection: Client, seconds: float, org_id: str = ORG) -> list[Granted]:
    """Every verdict on one request."""
    request = Reserve(
        org_id=org_id,
        key_id="key",
        message_id=new_message_id(),
        units=1,
        key_limit=PLENTY,
        org_limit=PLENTY,
        month_limit=None,
    )
    found = []
    for data in await answers(connection, reserve_subject(org_id), request.model_dump_json().encode(), seconds):
        reply = Reply[Verdict].model_validate_json(data)
        assert reply.ok is not None
        assert isinstance(reply.ok.verdict, Granted)
        found.append(reply.ok.verdict)
    return found
