"""A split stream that is brought back is another one from its first moment."""

from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from tests.support.lone_stream import eventually
from tests.support.splitting import Killed, split_stream
from wepeople_chassis.stream import stream_states
from wepeople_provision import stream_copy, stream_cut
from wepeople_provision.stream import provision_streams
from wepeople_provision.stream_api import ask
from wepeople_provision.stream_copy import backup, restore


async def test_no_moment_and_no_kill_leaves_a_restored_stream_with_the_identity_of_the_lost_one(
    connection: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await eventually(lambda: provision_streams(connection))
    await split_stream(connection, "INGEST")
    lost = {state.identity for state in await stream_states(connection)}
    await backup(connection, tmp_path / "copy")
    for name in ("INGEST", "INGEST_8"):
        await connection.jetstream().delete_stream(name)

    async def only_restore(connection: Client, call: str, *more: Any) -> dict[str, Any]:
        if call == "STREAM.UPDATE":
            raise Killed
        return await ask(connection, call, *more)

    for module in (stream_copy, stream_cut):
        monkeypatch.setattr(module, "ask", only_restore)
    await restore(connection, tmp_path / "copy", replace=False)
    there = await stream_states(connection)
    assert len(there) == len({state.identity for state in there}) == 2
    assert not lost & {state.identity for state in there}
