"""What each container may do, and whom it reaches: no more than the design's arrows."""

import json
from itertools import product

import pytest

from tests.support.compose import SERVERS, SERVICES
from tests.support.deployment import Deployment

PORTS = {"nats": 4222, "postgres": 5432}
REACHES = {
    "gateway": {"nats"},
    "auth": {"nats", "postgres"},
    "quota": {"nats", "postgres"},
    "projector": {"nats", "postgres"},
}
REACH = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()
    print("reached")
except OSError as error:
    print(type(error).__name__)
"""
"""Who is in no common network has no name here either."""


@pytest.mark.parametrize("service", [*SERVICES, *SERVERS])
async def test_a_container_may_write_nowhere_but_its_volume_and_has_no_privilege(
    deployment: Deployment, service: str
) -> None:
    found = await deployment.compose.inspect(service)
    host, user = found["HostConfig"], found["Config"]["User"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert not host["Privileged"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert user.split(":")[0].isdigit()
    assert int(user.split(":")[0]) > 0
    writable = {mount["Destination"] for mount in found["Mounts"] if mount["RW"]}
    assert writable <= {"nats": {"/data"}, "postgres": {"/var/lib/postgresql"}}.get(service, set())


@pytest.mark.parametrize(("service", "server"), list(product(SERVICES, ("nats", "postgres"))))
async def test_a_service_reaches_those_that_it_needs_and_no_others(
    deployment: Deployment, service: str, server: str
) -> None:
    reached = await deployment.compose("exec", "--no-TTY", service, "python", "-c", REACH, server, str(PORTS[server]))
    assert reached.strip() == ("reached" if server in REACHES[service] else "gaierror")


@pytest.mark.parametrize("service", ["auth", "quota", "projector", *SERVERS])
async def test_only_the_gateway_can_be_asked_from_outside(deployment: Deployment, service: str) -> None:
    described = json.loads(await deployment.compose("config", "--format", "json"))["services"]
    own_to_tests = {"nats", "postgres"}
    published = described[service].get("ports", [])
    assert not published or service in own_to_tests
    networks = set(described[service]["networks"]) - {"tests"}
    assert "front" not in networks
