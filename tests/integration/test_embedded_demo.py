"""The demo org, run after run."""

from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tests.support.nats_users import nats_as
from tests.support.operators import operators
from tests.support.system import RunningSystem
from wepeople_contracts.ids import key_public_id
from wepeople_embedded.demo import Demo, make_demo
from wepeople_embedded.state import open_state_dir


async def demo_in(state_dir: Path, system: RunningSystem) -> Demo:
    with open_state_dir(state_dir) as state:
        return await make_demo(
            state,
            gateway_url=system.gateway_url,
            nats=nats_as("operator", system.nats_url),
            admin_dsn=system.admin_dsn,
            projector_dsn=system.projector_dsn,
            reader_password=str(conninfo_to_dict(system.demo.postgres_dsn)["password"]),
        )


async def test_a_key_is_kept_from_run_to_run_and_replaced_once_it_was_revoked(
    system: RunningSystem, tmp_path: Path
) -> None:
    first = await demo_in(tmp_path / "state", system)
    assert await demo_in(tmp_path / "state", system) == first

    revoked = key_public_id(first.api_key)
    assert revoked is not None
    async with operators(system.nats_url) as operator:
        await operator.revoke(revoked)
    second = await demo_in(tmp_path / "state", system)
    assert second.api_key != first.api_key
    assert second.organization_id == first.organization_id == system.demo.organization_id
