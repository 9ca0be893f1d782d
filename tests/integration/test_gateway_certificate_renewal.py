"""The gateway takes a certificate that replaces its own while clients are served, and no other one."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.gateways import Gateway, running_gateway
from tests.support.ops import log_lines
from tests.support.read_models import eventually
from tests.support.system import RunningSystem
from tests.support.tls import trusting, write_server
from tests.support.wire import request_bytes, wire
from wepeople_embedded.ports import HOST


@dataclass(frozen=True, slots=True)
class Renewed:
    """A gateway, and the files of its certificate and key."""

    gateway: Gateway
    certificate: Path
    key: Path

    async def shown(self) -> str:
        """The serial number of what a new connection is shown."""
        _, writer = await asyncio.open_connection(HOST, self.gateway.port, ssl=trusting())
        found = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return str(found)

    def said(self, event: str) -> int:
        """How often the log says it."""
        return sum(line["event"] == event for line in log_lines(self.gateway.log_path))


@pytest.fixture
async def renewed(system: RunningSystem, tmp_path: Path) -> AsyncIterator[Renewed]:
    certificate, key = write_server(tmp_path)
    settings = {"http_certificate_file": certificate, "http_key_file": key}
    async with running_gateway(system.nats_url, tmp_path / "gateway.log", **settings) as gateway:
        yield Renewed(gateway, certificate, key)


def another(tmp_path: Path) -> tuple[Path, Path]:
    directory = tmp_path / "another"
    directory.mkdir()
    return write_server(directory)


async def test_a_new_certificate_is_shown_without_a_restart_and_connections_in_use_go_on(
    renewed: Renewed, system: RunningSystem, tmp_path: Path
) -> None:
    ping = request_bytes("GET", "/ping", system.api_key)
    before = await renewed.shown()
    async with wire(renewed.gateway.url) as in_use:
        await in_use.send(ping)
        assert (await in_use.answer()).status == 200
        certificate, key = another(tmp_path)
        certificate.replace(renewed.certificate)
        key.replace(renewed.key)
        await eventually(renewed.shown, lambda serial: serial != before, within_seconds=15, what="the new one is shown")
        await in_use.send(ping)
        assert (await in_use.answer()).status == 200
    assert renewed.said("listening") == 1


async def test_a_pair_that_does_not_belong_together_is_refused_and_the_old_one_stays_until_a_good_one_comes(
    renewed: Renewed, tmp_path: Path
) -> None:
    before = await renewed.shown()
    certificate, key = another(tmp_path)
    shutil.copy(certificate, renewed.certificate)

    async def refusals() -> int:
        return renewed.said("certificate_refused")

    await eventually(refusals, lambda count: count == 1, within_seconds=15, what="the pair is refused")
    assert await renewed.shown() == before
    shutil.copy(key, renewed.key)
    await eventually(renewed.shown, lambda serial: serial != before, within_seconds=15, what="the good pair is shown")
    assert await refusals() == 1
