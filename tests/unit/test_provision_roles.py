"""What of the database roles is to be changed."""

import pytest

from wepeople_provision.roles import (
    ANALYST_CONNECTIONS,
    ANALYST_ROLE,
    LOGIN_ROLES,
    OWN_NAMES,
    READER_ROLE,
    REPLICATION_ROLE,
    ExistingRole,
    role_changes,
)

PASSWORDS = dict.fromkeys(LOGIN_ROLES, "secret")
NAMES = [f"search_path={OWN_NAMES}"]


@pytest.fixture(autouse=True)
def _every_password_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wepeople_provision.roles.is_verifier_of", lambda *_: True)


def existing(**others: ExistingRole) -> dict[str, ExistingRole]:
    roles = {role: ExistingRole(settings=NAMES) for role in LOGIN_ROLES} | {READER_ROLE: ExistingRole(can_login=False)}
    return roles | {ANALYST_ROLE: ExistingRole(connection_limit=ANALYST_CONNECTIONS, settings=NAMES)} | others


def changes(found: dict[str, ExistingRole], **passwords: str) -> list[tuple[str, str, str]]:
    return [(change.name, change.verb, change.what) for change in role_changes(found, PASSWORDS | passwords)]


def test_roles_that_are_as_they_should_be_are_left_alone() -> None:
    assert changes(existing()) == []


def test_a_session_of_any_role_begins_with_postgres_own_names_alone() -> None:
    of_before = existing(wepeople_quota=ExistingRole(settings=["statement_timeout=60s"]))
    assert changes(of_before) == [("wepeople_quota", "set", f"search_path {OWN_NAMES}")]


def test_a_role_that_copies_the_server_is_made_where_it_has_a_password_and_may_do_nothing_else() -> None:
    given = {REPLICATION_ROLE: "secret"}
    made = [(REPLICATION_ROLE, "create", ""), (REPLICATION_ROLE, "set", "REPLICATION")]
    assert changes(existing(), **given) == made
    settled = existing(wepeople_replication=ExistingRole(powers=["REPLICATION"], settings=NAMES))
    assert changes(settled, **given) == []
    too_much = existing(wepeople_replication=ExistingRole(powers=["BYPASSRLS", "REPLICATION"], settings=NAMES))
    assert changes(too_much, **given) == [(REPLICATION_ROLE, "set", "NOBYPASSRLS")]


def test_no_other_role_may_copy_the_server() -> None:
    mighty = existing(wepeople_quota=ExistingRole(powers=["REPLICATION"], settings=NAMES))
    assert changes(mighty) == [("wepeople_quota", "set", "NOREPLICATION")]
