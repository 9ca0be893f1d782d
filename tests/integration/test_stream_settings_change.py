"""Settings of a stream that is full and in use are changed, and not a message is lost."""

import asyncio
import hashlib
import json
import subprocess
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from tests.support.read_models import eventually
from wepeople_chassis.broker import BROKER_DOWN, NatsAddress, connect
from wepeople_embedded.ports import free_port
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream import provision_streams
from wepeople_provision.stream_plan import Wishes

MEBIBYTE = 1024 * 1024
BODY = b"x" * 9000


async def publish(connection: Client, message_id: str) -> dict[str, Any]:
    """Store a message as the gateway does; the stream's acknowledgement, or its error."""
    headers = {"Nats-Msg-Id": message_id}
    reply = await connection.request("ingest.0.org_1.app_1.events", BODY, timeout=5, headers=headers)
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


async def fill(connection: Client) -> int:
    """Publish until the stream is full; how many it took."""
    count = 0
    while "error" not in (answer := await publish(connection, f"m{count}")):
        count += 1
    assert answer["error"]["err_code"] == 10077, answer
    return count


async def contents(connection: Client) -> tuple[int, str]:
    """How many messages the stream holds, and the hash of all of them."""
    js = connection.jetstream()
    info = await js.stream_info("INGEST")
    digest = hashlib.sha256()
    for sequence in range(info.state.first_seq, info.state.last_seq + 1):
        message = await js.get_msg("INGEST", sequence)
        digest.update(repr((message.seq, message.subject, message.headers, message.data)).encode())
    return info.state.messages, digest.hexdigest()


async def test_a_full_stream_takes_other_settings_loses_nothing_and_takes_messages_again(connection: Client) -> None:
    await eventually_provisioned(connection, Wishes(max_bytes=2 * MEBIBYTE))
    stored = await fill(connection)
    before = await contents(connection)
    config = (await connection.jetstream().stream_info("INGEST")).config
    config.duplicate_window, config.max_msg_size = 1200.0, 5000
    await connection.jetstream().update_stream(config)

    done = await provision_streams(connection, Wishes(max_bytes=4 * MEBIBYTE))
    assert done[:3] == [
        "stream INGEST: duplicate_window 1200000000000 -> 600000000000",
        "stream INGEST: max_msg_size 5000 -> 12582912",
        "stream INGEST: max_bytes 2097152 -> 4194304",
    ]
    assert await contents(connection) == before
    assert (await publish(connection, "m0"))["duplicate"]
    assert (await publish(connection, f"m{stored}"))["seq"] == stored + 1


async def test_a_limit_below_what_is_stored_is_refused_and_the_stream_is_as_before(connection: Client) -> None:
    await eventually_provisioned(connection, Wishes(max_bytes=2 * MEBIBYTE))
    await fill(connection)
    before = await contents(connection), (await connection.jetstream().stream_info("INGEST")).config
    with pytest.raises(ProvisionError, match="set WEPEOPLE_STREAM_MAX_BYTES to more"):
        await provision_streams(connection, Wishes(max_bytes=MEBIBYTE))
    assert (await contents(connection), (await connection.jetstream().stream_info("INGEST")).config) == before


async def test_more_than_the_server_has_room_for_is_refused_with_what_to_do(connection: Client) -> None:
    await eventually_provisioned(connection, Wishes())
    await publish(connection, "kept")
    with pytest.raises(ProvisionError, match=r"insufficient storage.*This stream was not changed.*max_file_store"):
        await provision_streams(connection, Wishes(max_bytes=2**60))
    assert (await contents(connection))[0] == 1


async def test_copies_without_a_cluster_are_refused_with_what_to_do(connection: Client) -> None:
    await eventually_provisioned(connection, Wishes())
    await publish(connection, "kept")
    with pytest.raises(ProvisionError, match=r"num_replicas 1 -> 3.*WEPEOPLE_STREAM_REPLICAS"):
        await provision_streams(connection, Wishes(replicas=3))
    assert (await contents(connection))[0] == 1


async def test_in_a_cluster_a_full_stream_gets_three_copies_and_one_again_and_loses_nothing(tmp_path: Path) -> None:
    async with cluster(tmp_path) as connection:
        await eventually_provisioned(connection, Wishes(max_bytes=2 * MEBIBYTE))
        await fill(connection)
        before = await contents(connection)
        done = await provision_streams(connection, Wishes(replicas=3, max_bytes=2 * MEBIBYTE))
        assert "stream INGEST: num_replicas 1 -> 3" in done
        assert "stream KV_quota-lease: num_replicas 1 -> 3" in done
        await eventually(lambda: copies(connection), lambda count: count == 3, within_seconds=30, what="three copies")
        assert await contents(connection) == before
        await provision_streams(connection, Wishes(replicas=1, max_bytes=4 * MEBIBYTE))
        await eventually(lambda: copies(connection), lambda count: count == 1, within_seconds=30, what="one copy")
        assert await contents(connection) == before
        assert "error" not in await publish(connection, "new")


async def copies(connection: Client) -> int:
    """How many servers have all of the stream."""
    try:
        info = await connection.jetstream().stream_info("INGEST")
    except BROKER_DOWN:
        return 0
    assert info.cluster is not None
    return 1 + sum(1 for replica in info.cluster.replicas or () if replica.current)


async def eventually_provisioned(connection: Client, wishes: Wishes) -> None:
    """Make the stream in a server that may be starting."""
    async with asyncio.timeout(30):
        while True:
            try:
                await provision_streams(connection, wishes)
                return
            except (ProvisionError, *BROKER_DOWN):
                await asyncio.sleep(0.1)


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Client]:
    """Three servers of one cluster, and a connection."""
    clients, routes = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
    peers = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    processes = []
    for number, (client, route) in enumerate(zip(clients, routes, strict=True)):
        config = folder / f"nats-{number}.conf"
        config.write_text(
            f'server_name: n{number}\nhost: "127.0.0.1"\nport: {client}\nmax_payload: 12MB\n'
            f'jetstream {{ store_dir: "{folder}/store-{number}", sync_interval: always }}\n'
            f'cluster {{ name: wepeople, host: "127.0.0.1", port: {route}, routes: [{peers}] }}\n'
        )
        command = [f"{sysconfig.get_path('scripts')}/nats-server", "-c", str(config)]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    try:
        url = ",".join(f"nats://127.0.0.1:{port}" for port in clients)
        connection = await connect(NatsAddress(url), "tests")
        try:
            yield connection
        finally:
            await connection.close()
    finally:
        for process in processes:
            process.kill()
            process.wait(10)
