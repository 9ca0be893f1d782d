"""An analyst with files of projections, who types `wepeople projection …` against a fresh system."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nats.aio.client import Client

from tests.support.fresh import Fresh
from tests.support.nats_users import SEEDS
from tests.support.read_models import eventually, query
from tests.support.shell import WEPEOPLE, Result, wepeople
from tests.support.stored import envelope, founded, raw, store, subject_of
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_contracts.envelope import MSG_ID_HEADER, encode
from wepeople_contracts.ids import new_id

DEPLOYS = '''
from wepeople_projections import Event, Operation, Projection, Row, Sum, add, on_event, table


@table(key=("service",))
class PerService(Row, frozen=True):
    """How often a service was deployed."""

    service: str
    deploys: Sum[int]


class Deploys(Projection):
    name = "deploys"
    version = 1
    tables = (PerService,)

    @on_event("deploy.shipped")
    def count(self, event: Event) -> Operation:
        return add(PerService(event.org_id, event.metadata["service"], 1))
'''
SERVICES = ("api", "web", "jobs")


class Running:
    """A `wepeople projection run` that has not ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def interrupt(self) -> Result:
        """Ctrl-C, and what it said."""
        self.process.send_signal(signal.SIGINT)
        return await self.ended()

    def freeze(self) -> None:
        """Let it stand still, as it is."""
        self.process.send_signal(signal.SIGSTOP)

    async def kill(self) -> None:
        """kill -9."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def ended(self) -> Result:
        """How it ended by itself."""
        async with asyncio.timeout(60):
            stdout, stderr = await self.process.communicate()
        return Result(self.process.returncode or 0, stdout.decode(), stderr.decode())


class Analyst:
    """Has a folder for files, an org whose events are stored, and a stream to store more in."""

    def __init__(self, fresh: Fresh, connection: Client, folder: Path) -> None:
        self.fresh = fresh
        self.connection = connection
        self.folder = folder
        self.org_id = new_id("org")
        self._environment = {
            "WEPEOPLE_NATS_SEED": SEEDS["analyst"],
            "WEPEOPLE_ANALYST_DSN": fresh.dsn("analyst"),
            "WEPEOPLE_PROJECTOR_DSN": fresh.dsn("projector"),
            "COLUMNS": "400",
        }

    def write(self, text: str = DEPLOYS, name: str = "deploys.py") -> str:
        """Write a projection; its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)

    async def store(self, requests: int, *, rows: int = 3, service: str | None = None) -> int:
        """Store requests of the org, with events that deploy the services in turn; the sequence of the last."""
        sequence = 0
        for _ in range(requests):
            services = [service or SERVICES[n % len(SERVICES)] for n in range(rows)]
            sequence = await store(self.connection, envelope(self.org_id, [deploy(name) for name in services]))
        return sequence

    async def store_much(self, requests: int, *, orgs: int = 8) -> None:
        """Store requests of several orgs without waiting for each."""
        ids = [new_id("org") for _ in range(orgs)]
        await store(self.connection, *(founded(org_id) for org_id in ids))
        for number in range(requests):
            message = envelope(ids[number % orgs], [deploy(service) for service in SERVICES])
            headers = {MSG_ID_HEADER: message.message_id}
            await self.connection.publish(subject_of(message), encode(message), headers=headers)
        await store(self.connection, envelope(ids[0], [deploy("api")]))

    async def wepeople(self, *arguments: str, **environment: str) -> Result:
        """Run a command to its end."""
        return await wepeople(
            self.fresh.nats_url, self.fresh.dsn("operator"), *arguments, **(self._environment | environment)
        )

    async def projection(self, *arguments: str) -> Result:
        """Run `wepeople projection …` to its end."""
        return await self.wepeople("projection", *arguments)

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[Running]:
        """Begin `wepeople projection …`; killed at the end if it is still there."""
        addresses = {"WEPEOPLE_NATS_URL": self.fresh.nats_url, "WEPEOPLE_POSTGRES_DSN": self.fresh.dsn("operator")}
        process = await asyncio.create_subprocess_exec(
            WEPEOPLE,
            "projection",
            *arguments,
            env=os.environ | addresses | self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        running = Running(process)
        try:
            yield running
        except Exception as error:
            await running.kill()
            if process.stderr is not None:
                error.add_note(f"wepeople projection {' '.join(arguments)}: {(await process.stderr.read()).decode()}")
            raise
        finally:
            await running.kill()

    async def rows(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a statement, as the superuser sees them."""
        return await query(self.fresh.admin_dsn, statement, parameters)

    async def deploys(self, schema: str = "deploys_v1") -> dict[str, int]:
        """How often each service was deployed, as a version's table says."""
        found = await self.rows(f"SELECT service, sum(deploys)::int AS deploys FROM {schema}.per_service GROUP BY 1")
        return {line["service"]: line["deploys"] for line in found}

    async def counted(self, total: int, schema: str = "deploys_v1") -> None:
        """Wait until so many deploys are in a version's table, and no more."""
        await eventually(
            lambda: self._all_deploys(schema), lambda found: found == total, within_seconds=90, what=f"{total} deploys"
        )

    async def counted_at_least(self, total: int, schema: str = "deploys_v1") -> None:
        """Wait until so many deploys or more are in a version's table."""
        await eventually(
            lambda: self._all_deploys(schema), lambda found: found >= total, within_seconds=90, what=f"{total} deploys"
        )

    async def _all_deploys(self, schema: str) -> int:
        there = await self.rows("SELECT to_regclass(%(table)s) AS it", table=f"{schema}.per_service")
        return sum((await self.deploys(schema)).values()) if there[0]["it"] else -1


@asynccontextmanager
async def analyst_of(fresh: Fresh, folder: Path) -> AsyncIterator[Analyst]:
    """An analyst whose org was founded, and has no events yet."""
    connection = await connect(NatsAddress(fresh.nats_url), "tests")
    try:
        analyst = Analyst(fresh, connection, folder)
        await store(connection, founded(analyst.org_id))
        yield analyst
    finally:
        await connection.close()


def deploy(service: str | None, worker: str = "eng-1") -> bytes:
    """An event; without a service one that the projection cannot take."""
    metadata = {} if service is None else {"service": service}
    fields = {"eventType": "deploy.shipped", "category": "code", "actor": {"externalId": worker}, "metadata": metadata}
    return raw(fields)


async def promoted(analyst: Analyst, version: int) -> None:
    """Verify a version and promote it."""
    for command in ("verify", "promote"):
        result = await analyst.projection(command, "deploys", str(version))
        assert result.code == 0, result.stderr


async def built(analyst: Analyst, files: Sequence[str] = (), *, to: int | None = None) -> None:
    """Build each of these files, up to a sequence or to the end of the stream."""
    last = to or (await analyst.connection.jetstream().stream_info("INGEST")).state.last_seq
    for file in files:
        result = await analyst.projection("run", file, "--to", str(last))
        assert result.code == 0, result.stderr
