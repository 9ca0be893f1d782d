"""`sslmode=verify-full`: the right server is talked to in secret, and no other is talked to at all.

It needs a Postgres with TLS, which the wheel is not: `make tls`.
"""

from pathlib import Path

import psycopg
import pytest

from tests.support.client import client
from tests.support.operators import EVENT_TYPE
from tests.support.read_models import query, rows_of_request
from tests.support.system import RunningSystem
from tests.support.tls_postgres import TlsPostgres
from wepeople_provision.certificates import new_authority

pytestmark = pytest.mark.tls

EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"email": "alex@acme.com"}}


async def refusal(dsn: str) -> str:
    with pytest.raises(psycopg.OperationalError) as refused:
        await psycopg.AsyncConnection.connect(dsn, connect_timeout=5)
    return str(refused.value)


async def test_a_certificate_of_another_authority_is_refused(postgres: TlsPostgres, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text(new_authority().certificate)
    assert "certificate verify failed" in await refusal(postgres.dsn(ca_file=tmp_path / "ca.crt"))


async def test_a_certificate_for_another_host_is_refused(postgres: TlsPostgres) -> None:
    assert 'server certificate for "localhost"' in await refusal(postgres.dsn(host="127.0.0.1"))
    async with await psycopg.AsyncConnection.connect(postgres.dsn(host="127.0.0.1", mode="verify-ca")):
        pass  # It is the name alone that stood in the way.


async def test_without_the_authoritys_certificate_nothing_is_sent(postgres: TlsPostgres, tmp_path: Path) -> None:
    assert "does not exist" in await refusal(postgres.dsn(ca_file=tmp_path / "nowhere.crt"))


async def test_a_connection_in_the_clear_is_refused(postgres: TlsPostgres) -> None:
    assert "no encryption" in await refusal(postgres.dsn(mode="disable"))


async def test_a_server_that_does_not_speak_tls_is_refused(system: RunningSystem, tmp_path: Path) -> None:
    """What listens on the address may be anything: here it is the NATS server."""
    port = system.nats_url.rpartition(":")[2]
    (tmp_path / "ca.crt").write_text(new_authority().certificate)
    dsn = (
        f"postgresql://postgres:secret@localhost:{port}/postgres?sslmode=verify-full&sslrootcert={tmp_path / 'ca.crt'}"
    )
    assert await refusal(dsn)


async def test_the_whole_system_works_over_it_and_every_connection_is_encrypted(system: RunningSystem) -> None:
    async with client(system.gateway_url, system.api_key) as demo:
        sent = await demo.events([EVENT])
    await rows_of_request(system.operator_dsn, sent.json()["requestId"], 1)
    connections = await query(
        system.admin_dsn,
        "SELECT a.application_name AS service, s.ssl FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) "
        "WHERE a.datname = current_database() AND a.backend_type = 'client backend'",
    )
    assert {"wepeople-auth", "wepeople-quota", "wepeople-projector"} <= {line["service"] for line in connections}
    assert [line for line in connections if not line["ssl"]] == []
