"""What is secret is in files, and nowhere else that somebody with access to the engine or the logs would look."""

import json
from collections.abc import Iterator
from pathlib import Path

from tests.support.compose import SERVERS, SERVICES, docker
from tests.support.deployment import PROVISION_IMAGE, VERSION, Deployment, make_secrets
from tests.support.system import RunningSystem

OPEN = {"nats_url", "nats_ca_file"}
"""Of what an operator has, what is no secret."""


def secret_values(secrets: Path) -> Iterator[str]:
    """Every seed, password and private key that was generated; of a key the lines of its body."""
    for file in secrets.glob("*/*"):
        text = file.read_text().strip()
        if file.suffix == ".key":
            yield from (line for line in text.splitlines() if "-----" not in line)
        elif file.suffix == ".json":
            yield from (_secret_part(value) for name, value in json.loads(text).items() if name not in OPEN)
        elif file.suffix == "":
            yield _secret_part(text)


def _secret_part(value: str) -> str:
    """The password of an address; all of anything else."""
    return value.split("@", maxsplit=1)[0].rpartition(":")[2] if "://" in value else value


async def test_no_secret_is_in_the_engines_answers_the_logs_the_arguments_or_the_images(
    deployment: Deployment, system: RunningSystem
) -> None:
    values = set(secret_values(deployment.secrets))
    assert len(values) > 15
    compose = deployment.compose
    places = {"the logs": await compose.logs(), "`compose config`": await compose("config")}
    for part in (*SERVICES, *SERVERS, "provision", "volumes"):
        places[f"inspect {part}"] = json.dumps(await compose.inspect(part))
    for part in (*SERVICES, *SERVERS):
        places[f"arguments of {part}"] = await compose("top", part)
    # Of the servers' images the environment is their own affair: Postgres's keeps the password with which it began.
    for part in SERVICES:
        places[f"environment of {part}"] = await compose("exec", "--no-TTY", part, "cat", "/proc/1/environ")
    for service in (*SERVICES, "provision"):
        history = await docker("image", "history", "--no-trunc", f"wepeople/{service}:{VERSION}")
        places[f"image of {service}"] = history
    found = [place for place, text in places.items() if any(value in text for value in values)]
    assert found == []
    assert system.api_key not in places["the logs"]


async def test_each_service_has_its_own_secrets_and_nobody_elses(deployment: Deployment) -> None:
    for service in SERVICES:
        names = (await deployment.compose("exec", "--no-TTY", service, "ls", "/run/secrets")).split()
        own = (
            {"wepeople_nats_seed", "tls.crt", "tls.key"}
            if service == "gateway"
            else {
                "wepeople_nats_seed",
                "wepeople_postgres_dsn",
            }
        )
        assert set(names) == own
        seed = await deployment.compose("exec", "--no-TTY", service, "cat", "/run/secrets/wepeople_nats_seed")
        assert seed.strip() == deployment.secret(f"{service}/wepeople_nats_seed")


async def test_secrets_that_are_there_are_kept_and_a_missing_one_is_made(tmp_path: Path) -> None:
    await make_secrets(tmp_path / "secrets")
    before = {file: file.read_bytes() for file in (tmp_path / "secrets").glob("*/*")}
    lost = tmp_path / "secrets/gateway/wepeople_nats_seed"
    lost.unlink()
    whose = ("--user", f"{lost.parent.stat().st_uid}:{lost.parent.stat().st_gid}")
    volume = ("--volume", f"{tmp_path / 'secrets'}:/secrets")
    await docker("run", "--rm", *whose, *volume, PROVISION_IMAGE, "secrets", "generate", "/secrets", "--for-containers")
    after = {file: file.read_bytes() for file in (tmp_path / "secrets").glob("*/*")}
    assert after.keys() == before.keys()
    changed = {file.name for file in before if before[file] != after[file]}
    assert changed <= {"wepeople_nats_seed", "users.conf"}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
