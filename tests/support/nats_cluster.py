"""Three nats-servers in a cluster, and a whole system of services on it, for tests that lose one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client

from tests.support.nats_users import ACCESS, SEEDS
from tests.support.operators import Operators, operators
from wepeople_chassis.broker import NatsAddress
from wepeople_chassis.stream import jetstream
from wepeople_contracts.subjects import STREAMS
from wepeople_embedded.nats_server import NatsServer
from wepeople_embedded.ports import HOST, free_port
from wepeople_embedded.postgres_server import PostgresServer
from wepeople_embedded.services import START_ORDER, ServiceProcess, make_services
from wepeople_embedded.state import StateDir
from wepeople_provision.dsn import login_dsn
from wepeople_provision.provision import provision
from wepeople_provision.roles import LOGIN_ROLES
from wepeople_provision.stream_plan import Wishes

NODES = ("north", "east", "south")


class NatsCluster:
    """Its nodes by name; every client is told of all of them."""

    def __init__(self, directory: Path) -> None:
        routes = {name: free_port() for name in NODES}
        self.nodes = {
            name: NatsServer(
                directory / name,
                port=free_port(),
                log_path=directory / f"{name}.log",
                access=ACCESS + _cluster(routes, name),
                seed=SEEDS["provision"],
                name=name,
            )
            for name in NODES
        }
        self.url = ",".join(node.url for node in self.nodes.values())

    async def start(self) -> None:
        """All at once: none answers before most are there."""
        await asyncio.gather(*(node.start() for node in self.nodes.values()))

    async def stop(self) -> None:
        await asyncio.gather(*(node.stop() for node in self.nodes.values()))


@dataclass(frozen=True, slots=True)
class Clustered:
    """The system as it runs on three nodes."""

    cluster: NatsCluster
    services: dict[str, ServiceProcess]
    gateway_url: str
    operator_dsn: str
    operator: Operators


@asynccontextmanager
async def clustered_system(state: StateDir) -> AsyncIterator[Clustered]:
    """Start everything in an empty directory, the stream with three copies."""
    cluster = NatsCluster(state.path / "nats")
    passwords = state.passwords()
    postgres = PostgresServer(
        state.path / "postgres", port=free_port(), password=passwords["postgres"], log_path=state.log("postgres")
    )
    port = free_port()
    services = make_services(
        nats_url=cluster.url,
        seeds=SEEDS,
        admin_dsn=postgres.dsn(),
        passwords=passwords,
        gateway_port=port,
        logs=state.logs,
    )
    try:
        await asyncio.gather(cluster.start(), postgres.start())
        logins = {role: passwords[role] for role in LOGIN_ROLES}
        nats = NatsAddress(cluster.url, SEEDS["provision"])
        await provision(nats, postgres.dsn(), logins, after_rollout=True, wishes=Wishes(replicas=len(NODES)))
        async with operators(cluster.url) as operator:
            for service in services.values():
                service.start()
            await asyncio.gather(*(service.wait_ready(operator.connection) for service in services.values()))
            operator_dsn = login_dsn(postgres.dsn(), "wepeople_operator", passwords["wepeople_operator"])
            yield Clustered(cluster, services, f"http://{HOST}:{port}", operator_dsn, operator)
    finally:
        for name in reversed(START_ORDER):
            await services[name].stop()
        await cluster.stop()
        await postgres.stop()


async def leader_of_stream(connection: Client) -> str:
    """The node through which the stream is written now."""
    leader: str = (await jetstream(connection, f"STREAM.INFO.{STREAMS[0]}", {}))["cluster"]["leader"]
    return leader


async def copies_up_to_date(connection: Client) -> int:
    """How many nodes have all of the stream, its leader included."""
    cluster = (await jetstream(connection, f"STREAM.INFO.{STREAMS[0]}", {}))["cluster"]
    return 1 + sum(1 for replica in cluster.get("replicas", []) if replica["current"] and not replica.get("offline"))


def _cluster(routes: dict[str, int], name: str) -> str:
    others = ", ".join(f'"nats-route://{HOST}:{port}"' for other, port in routes.items() if other != name)
    return f"""
cluster {{
  name: wepeople
  host: {HOST}
  port: {routes[name]}
  routes: [{others}]
}}
"""
