"""Why auth says no, each in words that say what to do next."""

from wepeople_chassis.rpc import Refused
from wepeople_contracts.reply import RpcError


def invalid_key() -> Refused:
    """A key that is malformed, unknown, wrong or revoked: always the same words, so that nobody learns which."""
    return Refused(RpcError(code="invalid_key", message="The key is not valid. Use a live key, or issue a new one."))


def invalid(message: str) -> Refused:
    """A command that breaks a rule; `message` names the rule and the value."""
    return Refused(RpcError(code="invalid", message=message))


def not_found(message: str) -> Refused:
    """A command about something that does not exist; `message` says how to find what does."""
    return Refused(RpcError(code="not_found", message=message))


def already_exists(message: str) -> Refused:
    """A command that would make the same thing twice."""
    return Refused(RpcError(code="already_exists", message=message))


def unavailable(message: str) -> Refused:
    """Something auth needs is away or busy: not the asker's fault, and no verdict about a key."""
    return Refused(RpcError(code="unavailable", message=message))


class DatabaseAway(Refused):
    """Postgres does not answer: an `unavailable` refusal with a type of its own, as cached state may stand in."""

    def __init__(self) -> None:
        super().__init__(unavailable("Auth's database does not answer. Try again in a moment.").error)
