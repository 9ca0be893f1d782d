"""Requests and replies between services, as pydantic models; bodies are JSON.

A reply carries either `ok` or `error`, never both: a handler that failed still answers, so that nobody waits in vain.
"""

from typing import Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

T = TypeVar("T", bound=BaseModel)


class Message(BaseModel):
    """Base of every message: immutable, and deaf to fields of newer releases."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class RpcError(Message):
    """Why a command was refused. `code` is stable; `message` says what to do next.

    `unavailable`: something the service needs is away or busy, and the same request can succeed later.
    """

    code: Literal["invalid_key", "not_found", "already_exists", "invalid", "unavailable", "internal"]
    message: str


class Reply(Message, Generic[T]):
    """The answer to a request: `ok` or `error`."""

    ok: T | None = None
    error: RpcError | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.ok is None) == (self.error is None):
            raise ValueError("a reply carries exactly one of ok and error")
        return self
