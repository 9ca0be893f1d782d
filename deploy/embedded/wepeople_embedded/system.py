"""A whole system of processes: two servers, the stream and schemas, the services."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Coroutine, Mapping
from typing import Any

from wepeople_chassis.broker import NatsAddress, connect, user_of_seed
from wepeople_embedded.child import Child
from wepeople_embedded.nats_server import NatsServer
from wepeople_embedded.ports import HOST
from wepeople_embedded.postgres_server import PostgresServer
from wepeople_embedded.services import ARCHIVE_URL, ServiceProcess, make_services
from wepeople_embedded.state import SUPERUSER, StateDir
from wepeople_provision.dsn import login_dsn
from wepeople_provision.nats_users import authorization
from wepeople_provision.provision import provision
from wepeople_provision.roles import ANALYST_ROLE, LOGIN_ROLES, OPERATOR_ROLE, PROJECTOR_ROLE
from wepeople_provision.stream_plan import Wishes

PROVISIONER = "provision"
STOP_SECONDS = 9.0
_LONGEST_STOP_SECONDS = 5.0
_LEAST_STOP_SECONDS = 0.4


class System:
    """Its parts can be stopped, killed and started one by one; `start` and `stop` are for all of them.

    `guest` is the public key of a NATS user for measuring and testing (`wepeople_provision.nats_users.authorization`);
    `streams` says how many an empty directory begins with.
    """

    def __init__(
        self, state: StateDir, *, gateway_port: int, guest: str | None = None, streams: int | None = None
    ) -> None:
        self._state = state
        self._wishes = Wishes(streams=streams)
        self.passwords = state.passwords()
        self._seeds = state.nats_seeds()
        self.gateway_url = f"http://{HOST}:{gateway_port}"
        public_keys = {user: user_of_seed(seed) for user, seed in self._seeds.items()}
        self.nats = NatsServer(
            state.path / "nats",
            port=state.port("nats"),
            log_path=state.log("nats"),
            access=authorization(public_keys, guest),
            seed=self._seeds["provision"],
        )
        self.postgres = PostgresServer(
            state.path / "postgres",
            port=state.port("postgres"),
            password=self.passwords[SUPERUSER],
            log_path=state.log("postgres"),
        )
        self.services: dict[str, ServiceProcess] = make_services(
            nats_url=self.nats.url,
            seeds=self._seeds,
            admin_dsn=self.admin_dsn,
            passwords=self.passwords,
            gateway_port=gateway_port,
            logs=state.logs,
        )

    @property
    def admin_dsn(self) -> str:
        """The superuser's address of the database."""
        return self.postgres.dsn()

    @property
    def projector_dsn(self) -> str:
        """The projector's login."""
        return self._dsn(PROJECTOR_ROLE)

    @property
    def operator_dsn(self) -> str:
        """The address by which operators read every org's read models."""
        return self._dsn(OPERATOR_ROLE)

    def nats_address(self, user: str) -> NatsAddress:
        """NATS as one of its users."""
        return NatsAddress(self.nats.url, self._seeds[user])

    @property
    def children(self) -> list[Child]:
        """Every process, in the order to stop them."""
        services = [service.child for service in reversed(self.services.values())]
        return [*services, self.nats.child, self.postgres.child]

    async def start(self) -> None:
        """Start the servers, provision, start the services; returns once each can work. `ChildFailed` if one can't."""
        await _all(self.nats.start(), self.postgres.start())
        passwords = {role: self.passwords[role] for role in LOGIN_ROLES}
        await provision(
            self.nats_address("provision"), self.admin_dsn, passwords, after_rollout=True, wishes=self._wishes
        )
        self._state.write(
            "operator.json",
            {
                "nats_url": self.nats.url,
                "nats_seed": self._seeds["operator"],
                "postgres_dsn": self.operator_dsn,
                "analyst_dsn": self._dsn(ANALYST_ROLE),
                "projector_dsn": self.projector_dsn,
                "trimmer_seed": self._seeds["trimmer"],
                **({"archive_url": url} if (url := os.environ.get(ARCHIVE_URL)) else {}),
            },
        )
        self._write_provisioner(passwords)
        for service in self.services.values():
            service.start()
        connection = await connect(self.nats_address("operator"), "wepeople-up")
        try:
            await _all(*(service.wait_ready(connection) for service in self.services.values()))
        finally:
            await connection.close()

    async def stop(self) -> None:
        """Stop every process in order, within `STOP_SECONDS`; whoever takes too long is killed."""
        deadline = time.monotonic() + STOP_SECONDS
        for position, child in enumerate(self.children, start=1):
            left_for_others = _LEAST_STOP_SECONDS * (len(self.children) - position)
            left = deadline - time.monotonic() - left_for_others
            await child.stop(min(_LONGEST_STOP_SECONDS, max(_LEAST_STOP_SECONDS, left)))

    def kill(self) -> None:
        """Send every process SIGKILL and return at once."""
        for child in self.children:
            child.signal(signal.SIGKILL)

    def ended(self) -> Child | None:
        """A process that has ended, or None while all of them run."""
        return next((child for child in self.children if not child.is_running), None)

    def _write_provisioner(self, passwords: Mapping[str, str]) -> None:
        """What `wepeople provision` and `wepeople stream` need: `WEPEOPLE_SECRETS_DIR` is this directory then."""
        self._state.write_secrets(
            PROVISIONER,
            {
                "wepeople_nats_url": self.nats.url,
                "wepeople_nats_seed": self._seeds["provision"],
                "wepeople_admin_dsn": self.admin_dsn,
                "wepeople_role_passwords_file": str(self._state.path / PROVISIONER / "role_passwords.json"),
                "role_passwords.json": json.dumps(passwords),
            },
        )

    def _dsn(self, role: str) -> str:
        return login_dsn(self.admin_dsn, role, self.passwords[role])


async def _all(*work: Coroutine[Any, Any, None]) -> None:
    """Do all of it at once; when one fails the others are given up before its error goes on."""
    tasks = [asyncio.create_task(part) for part in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
