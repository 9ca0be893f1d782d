"""Settings: from the environment, else from a directory of secrets; what is wrong is named, and never repeated."""

import re
from pathlib import Path

import nkeys
import pytest
from pydantic import Field, SecretStr

from wepeople_chassis.postgres_settings import PostgresSettings
from wepeople_chassis.settings import load_settings
from wepeople_provision.certificates import new_authority

SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER).decode()
DSN = "postgresql://wepeople_auth:pa55word@postgres:5432/wepeople"


class _Settings(PostgresSettings):
    """Of a service in a test."""

    cost: int = Field(default=10, ge=4)
    token: SecretStr = SecretStr("")


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed of settings that are wrong."""
    with pytest.raises(SystemExit) as ended:
        load_settings(_Settings)
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("NATS_URL", "NATS_SEED", "NATS_CA_FILE", "SECRETS_DIR"):
        monkeypatch.delenv(f"WEPEOPLE_{name}", raising=False)
    monkeypatch.setenv("WEPEOPLE_POSTGRES_DSN", DSN)
    return tmp_path


def test_what_the_environment_does_not_give_comes_from_the_directory_of_secrets(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEPEOPLE_POSTGRES_DSN")
    (environment / "wepeople_postgres_dsn").write_text(f"{DSN}\n")
    (environment / "wepeople_nats_seed").write_text(f"{SEED}\n")
    (environment / "wepeople_cost").write_text("5")
    monkeypatch.setenv("WEPEOPLE_SECRETS_DIR", str(environment))
    monkeypatch.setenv("WEPEOPLE_COST", "6")
    settings = load_settings(_Settings)
    assert settings.postgres_dsn.get_secret_value() == DSN
    assert settings.nats.seed == SEED
    assert settings.cost == 6


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTGRES_DSN", "wepeople_auth:pa55word@postgres"),
        ("NATS_SEED", "SUpa55word"),
        ("NATS_SEED", nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_ACCOUNT).decode()),
        ("NATS_URL", "https://pa55word@nats"),
        ("NATS_URL", "nats://one:4222,x:pa55word@two"),
    ],
)
def test_what_is_wrong_is_named_with_an_example_and_its_value_is_not_repeated(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"WEPEOPLE_{name}", value)
    printed = refused(capsys)
    assert f"WEPEOPLE_{name}: " in printed
    assert "for example: " in printed
    assert "pa55word" not in printed
    assert value not in printed


@pytest.mark.parametrize(
    ("url", "why"),
    [
        *((f"tls://one:{port}", "not addresses") for port in ("notaport", "99999", "0")),
        ("tls://[one:4222", "not addresses"),
        ("tls://one:4222,tls://two:4222,", "not addresses"),
        ("nats://127.0.0.1:4222,tls://two:4222", "either all servers speak TLS, or none"),
    ],
)
def test_servers_that_cannot_be_reached_are_refused_before_the_start(
    url: str, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEPEOPLE_NATS_URL", url)
    assert re.search(f"WEPEOPLE_NATS_URL: .*{why}", refused(capsys))


def test_what_is_missing_is_named_with_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WEPEOPLE_POSTGRES_DSN")
    assert re.search(r"WEPEOPLE_POSTGRES_DSN: missing\n.*\n *for example: postgresql://", refused(capsys))


def test_a_directory_of_secrets_that_is_not_there_is_no_empty_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEPEOPLE_SECRETS_DIR", "/nowhere/to/be/found")
    assert re.search(r"WEPEOPLE_SECRETS_DIR.*/nowhere/to/be/found", refused(capsys))


def test_nothing_that_settings_print_of_themselves_has_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEPEOPLE_NATS_SEED", SEED)
    monkeypatch.setenv("WEPEOPLE_TOKEN", "pa55word")
    settings = load_settings(_Settings)
    for text in (repr(settings), str(settings.model_dump()), settings.model_dump_json(), repr(settings.nats)):
        assert SEED not in text
        assert "pa55word" not in text


def test_a_file_without_a_certificate_is_no_authority(
    environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = environment / "ca.crt"
    monkeypatch.setenv("WEPEOPLE_NATS_CA_FILE", str(file))
    file.write_text("host-1")
    assert "WEPEOPLE_NATS_CA_FILE: there is no certificate in this file" in refused(capsys)
    file.write_text(new_authority().certificate)
    assert load_settings(_Settings).nats.ca_file == file


@pytest.mark.parametrize("url", ["nats://10.0.0.5:4222", "nats://nats", "nats://127.0.0.1:4222,nats://two:4222"])
def test_keys_go_in_the_clear_to_no_other_machine_unless_somebody_says_so(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEPEOPLE_NATS_URL", url)
    assert "WEPEOPLE_NATS_PLAINTEXT=true" in refused(capsys)
    monkeypatch.setenv("WEPEOPLE_NATS_PLAINTEXT", "true")
    assert load_settings(_Settings).nats.servers == url.split(",")


@pytest.mark.parametrize(
    "url", ["nats://127.0.0.1:4222", "nats://localhost", "nats://[::1]:4222", "tls://10.0.0.5:4222,tls://two"]
)
def test_what_stays_on_the_machine_or_is_encrypted_needs_no_word(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEPEOPLE_NATS_URL", url)
    assert load_settings(_Settings).nats.servers == url.split(",")
