"""`--check-config` of every service and of the provisioner, as a process of its own, with no server anywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WEPEOPLE = Path(sys.executable).with_name("wepeople")
SERVICES = ("gateway", "auth", "quota", "projector")
CHECKS = {name: [sys.executable, "-m", f"wepeople_{name}", "--check-config"] for name in SERVICES} | {
    "provision": [str(WEPEOPLE), "provision", "--check-config"]
}
DSN = "postgresql://somebody:pa55word@localhost:1/wepeople"


def run(command: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("WEPEOPLE_")}
    environment = clean | {f"WEPEOPLE_{key}": value for key, value in settings.items()}
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=60)


def enough_for(name: str, passwords: Path) -> dict[str, str]:
    match name:
        case "gateway":
            return {}
        case "provision":
            return {"ADMIN_DSN": DSN, "ROLE_PASSWORDS_FILE": str(passwords)}
        case _:
            return {"POSTGRES_DSN": DSN}


@pytest.mark.parametrize("name", CHECKS)
def test_it_says_ok_when_nothing_is_wrong(name: str, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords.json"
    passwords.write_text("{}")
    result = run(CHECKS[name], **enough_for(name, passwords))
    assert (result.returncode, result.stdout, result.stderr) == (0, "ok\n", "")


@pytest.mark.parametrize("name", CHECKS)
def test_it_names_everything_that_is_wrong_at_once_and_shows_no_secret(name: str) -> None:
    result = run(
        CHECKS[name], NATS_SEED="pa55word", NATS_ULR="nats://nats:4222", OPS_PORT="70000", POSTGRES_DSN="pa55word"
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert "WEPEOPLE_NATS_ULR: there is no such setting; did you mean WEPEOPLE_NATS_URL?" in result.stderr
    assert "WEPEOPLE_NATS_SEED: not the seed of an nkey" in result.stderr
    assert "found: '70000' in the environment" in result.stderr
    if name == "provision":
        assert "WEPEOPLE_ADMIN_DSN: missing" in result.stderr
    elif name != "gateway":
        assert "WEPEOPLE_POSTGRES_DSN: not a Postgres address" in result.stderr
    assert "pa55word" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_start_with_a_typo_ends_in_the_same_way(name: str) -> None:
    result = run(CHECKS[name][:-1], POSTGRES_DSN=DSN, NATS_ULR="x")
    assert result.returncode == 2
    assert "did you mean WEPEOPLE_NATS_URL?" in result.stderr
