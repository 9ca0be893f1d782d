"""A NATS user's key and the server's certificate change while others go on; the server only reads its files again."""

import asyncio
import signal
import ssl
import subprocess
import sysconfig
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.aio.client import Client

from tests.support.read_models import eventually
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_embedded.ports import free_port

SCRIPTS = Path(sysconfig.get_path("scripts"))


@dataclass(frozen=True, slots=True)
class Secured:
    """A nats-server as `wepeople secrets generate` wants it."""

    secrets: Path
    port: int
    process: subprocess.Popen[bytes]

    def generate(self) -> None:
        """What is missing is made, what is there is kept."""
        subprocess.run([SCRIPTS / "wepeople", "secrets", "generate", self.secrets], check=True, timeout=60)

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def address(self, user: str) -> NatsAddress:
        seed = (self.secrets / user / "wepeople_nats_seed").read_text().strip()
        return NatsAddress(f"tls://localhost:{self.port}", seed, self.secrets / "ca/ca.crt")

    async def certificate(self) -> bytes:
        """What the server shows."""
        context = ssl.create_default_context(cafile=self.secrets / "ca/ca.crt")
        _, writer = await asyncio.open_connection("localhost", self.port, ssl=context)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        assert isinstance(shown, bytes)
        return shown


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    secrets, port, config = tmp_path / "secrets", free_port(), tmp_path / "nats.conf"
    subprocess.run([SCRIPTS / "wepeople", "secrets", "generate", secrets], check=True, timeout=60)
    config.write_text(
        f'host: "127.0.0.1"\nport: {port}\ninclude "secrets/nats/users.conf"\n'
        'tls { cert_file: "secrets/nats/server.crt", key_file: "secrets/nats/server.key", handshake_first: true }\n'
    )
    process = subprocess.Popen([SCRIPTS / "nats-server", "-c", config], stderr=subprocess.DEVNULL, cwd=tmp_path)
    yield Secured(secrets, port, process)
    process.kill()
    process.wait(10)


async def answers(connection: Client) -> bool:
    return connection.is_connected and await connection.rtt() > 0


async def test_a_users_new_key_works_after_a_reload_the_old_one_no_longer_and_others_go_on(secured: Secured) -> None:
    quota = await connect(secured.address("quota"), "quota")
    old = await connect(secured.address("auth"), "auth, old", max_reconnect_attempts=2)
    (secured.secrets / "auth/wepeople_nats_seed").unlink()
    secured.generate()
    waiting = asyncio.create_task(connect(secured.address("auth"), "auth, new"))
    assert await answers(old)
    assert not waiting.done()
    secured.reload()
    async with asyncio.timeout(15):
        new = await waiting

    async def is_out() -> bool:
        return old.is_closed

    await eventually(is_out, bool, what="the old key is let in no longer")
    assert await answers(new)
    assert await answers(quota)
    assert quota.stats["reconnects"] == 0
    for connection in (quota, old, new):
        await connection.close()


async def test_a_new_certificate_is_shown_after_a_reload_and_open_connections_stay(secured: Secured) -> None:
    quota = await connect(secured.address("quota"), "quota")
    before = await secured.certificate()
    for name in ("server.crt", "server.key"):
        (secured.secrets / "nats" / name).unlink()
    secured.generate()
    assert await secured.certificate() == before
    secured.reload()
    await eventually(secured.certificate, lambda shown: shown != before, what="the new certificate")
    assert await answers(quota)
    assert quota.stats["reconnects"] == 0
    another = await connect(secured.address("projector"), "projector")
    assert await answers(another)
    await another.close()
    await quota.close()
