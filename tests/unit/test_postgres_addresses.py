"""Postgres addresses as people get them wrong: each is refused, and none is repeated, because it holds a password."""

import pytest
import typer

from wepeople_chassis.operator import load_operator
from wepeople_chassis.postgres_address import checked_address

PASSWORD = "pl4nted-p4ssword"
WRONG = {
    "of a wrong scheme": f"postgres//wepeople_auth:{PASSWORD}@127.0.0.1:1/wepeople",
    "without a scheme": f"wepeople_auth:{PASSWORD}@127.0.0.1:1/wepeople",
    "with a wrong port": f"postgresql://wepeople_auth:{PASSWORD}@127.0.0.1:port/wepeople",
    "with a password that is not quoted": f"postgresql://wepeople_auth:100%{PASSWORD}@127.0.0.1:1/wepeople",
    "with a password that has an @": f"postgresql://wepeople_auth:a@{PASSWORD}@127.0.0.1:1/wepeople",
    "with a password that has a /": f"postgresql://wepeople_auth:a/{PASSWORD}@127.0.0.1:1/wepeople",
    "in words": f"host=127.0.0.1 port=1 password={PASSWORD} dbname",
    "of an unknown option": f"postgresql://wepeople_auth:{PASSWORD}@127.0.0.1:1/wepeople?sslmod={PASSWORD}",
}


@pytest.mark.parametrize("which", WRONG)
def test_a_wrong_address_is_refused_and_not_repeated(which: str) -> None:
    with pytest.raises(ValueError, match="not a Postgres address") as refused:
        checked_address(WRONG[which])
    assert PASSWORD not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("which", WRONG)
def test_so_it_is_for_an_operators_command(
    which: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEPEOPLE_NATS_URL", "nats://127.0.0.1:1")
    monkeypatch.setenv("WEPEOPLE_POSTGRES_DSN", WRONG[which])
    with pytest.raises(typer.Exit):
        load_operator()
    said = capsys.readouterr().err
    assert "WEPEOPLE_POSTGRES_DSN: not a Postgres address" in said
    assert PASSWORD not in said


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://wepeople_auth:a%40b@postgres:5432/wepeople?sslmode=verify-full&sslrootcert=/run/ca/ca.crt",
        "postgres://one:1,two:2/wepeople?target_session_attrs=read-write",
        "postgresql:///wepeople?host=/run/postgresql",
    ],
)
def test_a_right_one_is_taken_as_it_is(address: str) -> None:
    assert checked_address(address) == address
