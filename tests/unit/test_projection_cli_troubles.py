"""What is said when Postgres does not do what a command asks: the hint fits, or there is none."""

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from wepeople_projections.commands.troubles import postgres_trouble


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("connection failed: Connection refused"),
        psycopg.errors.AdminShutdown("terminating connection"),
        psycopg.errors.CannotConnectNow("the database system is starting up"),
        PoolTimeout("couldn't get a connection after 5.00 sec"),
    ],
)
def test_only_of_a_server_that_is_away_it_is_asked_whether_the_system_runs(error: psycopg.Error) -> None:
    said = postgres_trouble(error)
    assert said.startswith("Postgres does not answer: ")
    assert said.endswith(". Is the system running?")


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.InsufficientPrivilege("permission denied for schema live_v1"),
        psycopg.OperationalError('connection failed: FATAL:  password authentication failed for user "x"'),
    ],
)
def test_only_of_rights_and_passwords_it_is_asked_whether_the_release_is_provisioned(error: psycopg.Error) -> None:
    said = postgres_trouble(error)
    assert said.startswith("Postgres refused: ")
    assert "Is this release provisioned" in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            psycopg.errors.TooManyColumns("tables can have at most 1600 columns"),
            "Postgres refused: tables can have at most 1600 columns.",
        ),
        (
            psycopg.errors.NumericValueOutOfRange("integer out of range\nCONTEXT: …"),
            "Postgres refused: integer out of range.",
        ),
        (
            psycopg.errors.SyntaxError('syntax error at or near "SELEC"'),
            'Postgres refused: syntax error at or near "SELEC".',
        ),
    ],
)
def test_what_is_wrong_with_a_class_has_no_hint_about_the_system(error: psycopg.Error, said: str) -> None:
    assert postgres_trouble(error) == said


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError(
            "FATAL: remaining connection slots are reserved for roles with the SUPERUSER attribute"
        ),
        psycopg.errors.TooManyConnections("too many connections for role"),
    ],
)
def test_a_server_that_is_full_is_called_full(error: psycopg.Error) -> None:
    assert postgres_trouble(error).startswith("Postgres has too many connections: ")
