"""The permissions on NATS: every subject is in those of exactly the users that say or hear it."""

import json
import re

import pytest

from tests.support.nats_uses import ASKERS, CALLS, FORBIDDEN_CALLS, NO_SUBJECTS, SUBJECTS, TAKING_APART, USES, Use
from wepeople_chassis.broker import inbox_prefix
from wepeople_contracts import subjects
from wepeople_provision.nats_users import GUESTS_INBOXES, USERS, authorization


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


KEYS = {user: f"U{user.upper():A<55}" for user in USERS}


def allowed(text: str) -> dict[str, tuple[list[str], list[str]]]:
    """What a configuration of the server's lets each user publish and subscribe to."""
    pattern = r"# (\w+)\n.*?publish: \{ allow: (\[.*?\]) \}\n.*?subscribe: \{ allow: (\[.*?\]) \}"
    return {
        user: (json.loads(says), json.loads(hears)) for user, says, hears in re.findall(pattern, text, flags=re.DOTALL)
    }


def test_who_answers_may_do_so_into_the_inboxes_of_those_who_ask_it_and_nowhere_else() -> None:
    text = authorization(KEYS)
    assert "allow_responses" not in text
    for user, (says, _) in allowed(text).items():
        into = {asker for asker in USERS if f"{inbox_prefix(KEYS[asker])}.>" in says}
        assert into == ASKERS.get(user, set()), user
        assert len(says) == len(USERS[user].publishes) + len(into), user


@pytest.mark.parametrize("user", USERS)
def test_who_answers_answers_all_that_put_a_question_to_it(user: str) -> None:
    """A fact that is heard is no question; what is not known here is one."""
    facts = {subjects.KEY_REVOKED, subjects.PROJECTED_ALL}
    askers = {asker for subject in set(USERS[user].subscribes) - facts for asker in says(subject.replace("*", "x"))}
    assert set(USERS[user].answers) == askers


def test_a_guest_is_answered_by_all_who_answer() -> None:
    text = allowed(authorization(KEYS, "UGUEST"))
    assert {user for user, (says, _) in text.items() if GUESTS_INBOXES in says} == set(ASKERS)
    assert GUESTS_INBOXES not in authorization(KEYS)


def test_the_servers_configuration_has_each_user_once_with_an_inbox_of_its_own() -> None:
    text = authorization(KEYS)
    for user, key in KEYS.items():
        assert text.count(f"nkey: {key}") == 1
        assert [one for one, (_, hears) in allowed(text).items() if f"{inbox_prefix(key)}.>" in hears] == [user]
    assert "no_auth_user" not in text
