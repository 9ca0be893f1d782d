"""Addresses that name several servers: of other logins, and to read at a standby."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from wepeople_chassis.postgres_address import checked_address, reading_at, servers_of
from wepeople_provision.dsn import login_dsn

ONE = "postgresql://wepeople_operator:p%40ss@postgres:5433/wepeople?sslmode=verify-full&sslrootcert=/run/ca/ca.crt"
TWO = "postgresql://postgres:secret@one:5432,two:5433/wepeople?target_session_attrs=read-write"


@pytest.mark.parametrize(
    ("address", "servers"),
    [
        (ONE, [("postgres", "5433")]),
        (TWO, [("one", "5432"), ("two", "5433")]),
        ("postgresql://u@one,two/x", [("one", "5432"), ("two", "5432")]),
    ],
)
def test_each_server_of_an_address_has_its_port(address: str, servers: list[tuple[str, str]]) -> None:
    assert servers_of(address) == servers


def test_another_login_is_at_the_same_servers() -> None:
    address = checked_address(login_dsn(TWO, "wepeople_auth", "p@ss"))
    assert servers_of(address) == servers_of(TWO)
    parts = conninfo_to_dict(address)
    assert (parts["user"], parts["password"], parts["target_session_attrs"]) == ("wepeople_auth", "p@ss", "read-write")


def test_reading_asks_the_standby_first_as_the_same_login_and_the_others_when_it_is_away() -> None:
    address = reading_at(ONE, "postgres-ro")
    assert servers_of(address) == [("postgres-ro", "5432"), ("postgres", "5433")]
    parts, of_one = conninfo_to_dict(address), conninfo_to_dict(ONE)
    assert parts["target_session_attrs"] == "prefer-standby"
    for name in ("user", "password", "dbname", "sslmode", "sslrootcert"):
        assert parts[name] == of_one[name]


def test_a_standby_that_the_address_names_already_comes_first_once() -> None:
    assert servers_of(reading_at(TWO, "two:5433")) == [("two", "5433"), ("one", "5432")]
