"""The scheduled copy of the streams, as a machine's cron calls it."""

from tests.support.client import client
from tests.support.compose import NATS_IMAGE, docker
from tests.support.deployment import Deployment
from tests.support.operators import EVENT_TYPE
from tests.support.system import RunningSystem

EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}


async def test_a_copy_of_the_streams_is_in_its_volume_and_the_newest_are_kept(
    deployment: Deployment, system: RunningSystem
) -> None:
    async with client(system.gateway_url, system.api_key) as api:
        assert (await api.events([EVENT])).status == 202
    keeps_two = deployment.compose.with_(WEPEOPLE_KEEP_COPIES="2")
    said = [await keeps_two("run", "--rm", "copier") for _ in range(3)]

    assert all("INGEST: " in words for words in said)
    assert "removed " not in said[1]
    assert "removed " in said[2]
    volume = ("--volume", f"{deployment.compose.project}_copies:/volume:ro", "--user", "0:0")
    names = (await docker("run", "--rm", *volume, "--entrypoint", "ls", NATS_IMAGE, "/volume/copies")).split()
    assert [name in words for name, words in zip(names, said[1:], strict=True)] == [True, True]
