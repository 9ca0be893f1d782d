"""Where the command line finds the system: by the environment, by `operator.json`, or not at all."""

import json
from pathlib import Path

import pytest
import typer

from tests.support.nats_users import SEEDS
from wepeople_chassis.operator import Operator, load_operator
from wepeople_projections.commands.session import owner_dsn

NAMES = ("NATS_URL", "POSTGRES_DSN", "ANALYST_DSN", "PROJECTOR_DSN", "NATS_SEED")
SEEDS_OF = {"file": SEEDS["operator"], "environment": SEEDS["analyst"]}


def addresses(where: str) -> dict[str, str]:
    """One of each, as told by the file or by the environment."""
    found = {name: f"postgresql://{where}/{name}" for name in NAMES}
    return found | {"NATS_URL": f"tls://{where}:4222", "NATS_SEED": SEEDS_OF[where]}


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEPEOPLE_STATE_DIR", str(tmp_path))
    for name in NAMES:
        monkeypatch.delenv(f"WEPEOPLE_{name}", raising=False)
    return tmp_path


def test_the_file_has_all_addresses_and_the_environment_goes_before_it(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = {name.lower(): value for name, value in addresses("file").items()}
    (state_dir / "operator.json").write_text(json.dumps(stored))
    assert load_operator().model_dump(include={*stored}) == stored
    for name, value in addresses("environment").items():
        monkeypatch.setenv(f"WEPEOPLE_{name}", value)
    expected = {name.lower(): value for name, value in addresses("environment").items()}
    assert load_operator().model_dump(include={*expected}) == expected


def test_not_every_operator_owns_projections(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {name: addresses("environment")[name] for name in NAMES[:2]}
    for name, value in told.items():
        monkeypatch.setenv(f"WEPEOPLE_{name}", value)
    operator = load_operator()
    assert (operator.nats_url, operator.postgres_dsn) == tuple(told.values())
    assert (operator.analyst_dsn, operator.projector_dsn) == (None, None)


@pytest.mark.parametrize(("projection", "variable"), [("live", "PROJECTOR"), ("of_an_analyst", "ANALYST")])
def test_who_only_looks_is_told_which_address_a_deciding_command_misses(
    projection: str, variable: str, capsys: pytest.CaptureFixture[str]
) -> None:
    looking = Operator(nats_url="nats://a", postgres_dsn="postgresql://a")
    with pytest.raises(typer.Exit) as ended:
        owner_dsn(looking, projection)
    assert ended.value.exit_code == 2
    assert f"WEPEOPLE_{variable}_DSN" in capsys.readouterr().err


def test_where_nothing_is_found_the_command_ends_and_says_what_to_do(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        load_operator()
    assert ended.value.exit_code == 2
    assert "make up" in capsys.readouterr().err


WRONG = {
    "WEPEOPLE_NATS_URL: not addresses": {"NATS_URL": "http://nats:4222"},
    "either all servers speak TLS, or none": {"NATS_URL": "nats://127.0.0.1:4222,tls://nats:4222"},
    "in the clear": {"NATS_URL": "nats://10.1.2.3:4222"},
    "WEPEOPLE_NATS_SEED": {"NATS_SEED": "SUAPL4NTED"},
}


@pytest.mark.parametrize("said", WRONG)
def test_a_command_refuses_what_a_service_would_not_start_with_and_repeats_no_secret(
    said: str, state_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (addresses("environment") | WRONG[said]).items():
        monkeypatch.setenv(f"WEPEOPLE_{name}", value)
    with pytest.raises(typer.Exit) as ended:
        load_operator()
    assert ended.value.exit_code == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert "PL4NTED" not in printed


def test_plain_nats_over_a_network_that_encrypts_by_itself_has_to_be_said(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (addresses("environment") | {"NATS_URL": "nats://10.1.2.3:4222"}).items():
        monkeypatch.setenv(f"WEPEOPLE_{name}", value)
    monkeypatch.setenv("WEPEOPLE_NATS_PLAINTEXT", "true")
    assert load_operator().nats_url == "nats://10.1.2.3:4222"
