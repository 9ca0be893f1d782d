"""The permissions on NATS: every subject is in those of exactly the users that say or hear it."""

import pytest

from tests.support.nats_uses import CALLS, FORBIDDEN_CALLS, NO_SUBJECTS, SERVICES, SUBJECTS, TAKING_APART, USES, Use
from wepeople_chassis.broker import inbox_prefix
from wepeople_contracts import subjects
from wepeople_provision.nats_users import USERS, authorization


def matches(pattern: str, subject: str) -> bool:
    """Whether the server lets a subject, or a subscription with wildcards, pass by a pattern."""
    wanted, given = pattern.split("."), subject.split(".")
    for position, token in enumerate(wanted):
        if token == ">":
            return len(given) > position
        if position >= len(given) or token not in ("*", given[position]):
            return False
    return len(wanted) == len(given)


def says(subject: str) -> set[str]:
    return {user for user, may in USERS.items() if any(matches(pattern, subject) for pattern in may.publishes)}


def hears(subject: str) -> set[str]:
    return {user for user, may in USERS.items() if any(matches(pattern, subject) for pattern in may.subscribes)}


def test_every_name_that_spells_a_subject_is_known_here() -> None:
    own = {
        name
        for name, value in vars(subjects).items()
        if not name.startswith("_")
        and (callable(value) or isinstance(value, str | int))
        and getattr(value, "__module__", subjects.__name__) == subjects.__name__
    }
    assert own - TAKING_APART == set(USES) | NO_SUBJECTS


@pytest.mark.parametrize("use", SUBJECTS, ids=lambda use: use.subject)
def test_a_subject_is_said_and_heard_by_exactly_those_who_use_it(use: Use) -> None:
    assert says(use.subject) == use.says
    assert hears(use.subject) == use.hears


@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_jetstreams_is_open_to_exactly_those_who_make_it(call: str) -> None:
    assert says(f"$JS.API.{call}") == CALLS[call]


@pytest.mark.parametrize("call", FORBIDDEN_CALLS)
def test_what_destroys_or_looks_around_is_open_to_nobody(call: str) -> None:
    assert says(f"$JS.API.{call}") == set()


def test_nothing_is_allowed_beside_these_subjects_and_calls() -> None:
    known = [use.subject for use in SUBJECTS] + [f"$JS.API.{call}" for call in CALLS]
    for user, may in USERS.items():
        for pattern in (*may.publishes, *may.subscribes):
            assert any(matches(pattern, subject) for subject in known), f"{user}: {pattern}"


def test_who_answers_may_do_so_and_nobody_else_may() -> None:
    assert {user for user, may in USERS.items() if may.answers} == SERVICES


def test_the_servers_configuration_has_each_user_once_with_an_inbox_of_its_own() -> None:
    keys = {user: f"U{user.upper():A<55}" for user in USERS}
    text = authorization(keys)
    for user, key in keys.items():
        assert text.count(f"nkey: {key}") == 1
        assert text.count(f'"{inbox_prefix(key)}.>"') == 1, user
    assert "no_auth_user" not in text
