"""Where the command line finds the system: by the environment, by `operator.json`, or not at all."""

import json
from pathlib import Path

import pytest
import typer

from wepeople_chassis.operator import Operator, load_operator
from wepeople_projections.commands.session import owner_dsn

NAMES = ("NATS_URL", "POSTGRES_DSN", "ANALYST_DSN", "PROJECTOR_DSN", "NATS_SEED")


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEPEOPLE_STATE_DIR", str(tmp_path))
    for name in NAMES:
        monkeypatch.delenv(f"WEPEOPLE_{name}", raising=False)
    return tmp_path


def test_the_file_has_all_addresses_and_the_environment_goes_before_it(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = {name.lower(): f"postgresql://file/{name}" for name in NAMES}
    (state_dir / "operator.json").write_text(json.dumps(stored))
    assert load_operator().model_dump(exclude_none=True) == stored
    for name in NAMES:
        monkeypatch.setenv(f"WEPEOPLE_{name}", f"postgresql://environment/{name}")
    expected = {name.lower(): f"postgresql://environment/{name}" for name in NAMES}
    assert load_operator().model_dump(exclude_none=True) == expected


def test_not_every_operator_owns_projections(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES[:2]:
        monkeypatch.setenv(f"WEPEOPLE_{name}", f"postgresql://{name}")
    operator = load_operator()
    assert (operator.nats_url, operator.postgres_dsn) == tuple(f"postgresql://{name}" for name in NAMES[:2])
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
