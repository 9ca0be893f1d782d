"""Where keys are asked for over NATS."""

import asyncio
from collections.abc import Mapping

from faststream.nats import NatsBroker

from wepeople_auth.keys.authenticator import Authenticator
from wepeople_auth.keys.commands import KeyCommands
from wepeople_auth.keys.revocation import Revocations
from wepeople_auth.metrics import checked, count_refusal, invalid_key, remembered
from wepeople_auth.refusals import unavailable
from wepeople_chassis.logging import about_request
from wepeople_chassis.rpc import Refused, error_reply
from wepeople_chassis.tracing import is_tracing, served
from wepeople_contracts.auth import Authenticate, KeyRevoked, Principal
from wepeople_contracts.operators import CreateKey, Key, KeyList, ListKeys, NewKey, RevokeKey
from wepeople_contracts.reply import Reply
from wepeople_contracts.subjects import AUTHENTICATE, KEY_REVOKED, auth_command

QUEUE = "auth"
"""All auth processes share the work."""

COMMAND_WORKERS = 8

SLOW_ANSWERS = 512
"""So many requests may wait for Postgres or bcrypt in one process; more are told at once that it is busy."""


class AuthenticationHandlers:
    """Answers who holds a token, and hears of revocations, on one connection.

    FastStream handles a subject's messages one after the other, and with `max_workers` less than half as many a
    second. So what memory answers is answered in turn, and what takes longer goes on as a task that replies later.
    One connection keeps order: who asks after a revocation's broadcast is answered after it.
    """

    def __init__(self, broker: NatsBroker, authenticator: Authenticator, revocations: Revocations) -> None:
        self._broker = broker
        self._authenticator = authenticator
        self._revocations = revocations
        self._slow: set[asyncio.Task[None]] = set()

    def subscribe(self) -> None:
        """Serve from the broker's start on."""
        self._broker.subscriber(AUTHENTICATE, queue=QUEUE)(self._authenticate)
        self._broker.subscriber(KEY_REVOKED)(self._key_revoked)

    async def finish(self, timeout_seconds: float) -> None:
        """Before the broker stops: let the slow answers go out."""
        if self._slow:
            await asyncio.wait(self._slow, timeout=timeout_seconds)

    async def _authenticate(self, request: Authenticate) -> Reply[Principal] | None:
        try:
            principal = self._authenticator.recall(request.token)
        except Refused:
            invalid_key.count += 1
            raise
        if principal is not None:
            remembered.count += 1
            if is_tracing():
                with served("recall", self._broker.context.get_local("message").headers):
                    pass
            return Reply[Principal](ok=principal)
        if len(self._slow) >= SLOW_ANSWERS:
            count_refusal("unavailable")
            raise unavailable("Auth has too many keys to check at once. Try again in a second.")
        # From the context: as a parameter, the message makes FastStream four times slower.
        message = self._broker.context.get_local("message")
        if not message.reply_to:
            return None
        task = asyncio.create_task(self._answer_slowly(request, message.reply_to, message.headers))
        self._slow.add(task)
        task.add_done_callback(self._slow.discard)
        # Without a place to reply to, FastStream does not reply None.
        message.reply_to = ""
        return None

    async def _answer_slowly(self, request: Authenticate, reply_to: str, headers: Mapping[str, str]) -> None:
        about_request(request.request_id)
        try:
            with served("authenticate", headers):
                reply = Reply[Principal](ok=await self._authenticator.authenticate(request.token))
            checked.count += 1
        except Exception as error:
            reply = error_reply(error)
            if reply.error is not None:
                count_refusal(reply.error.code)
        await self._broker.publish(reply, reply_to)

    async def _key_revoked(self, fact: KeyRevoked) -> None:
        self._revocations.hear(fact)


def serve_key_commands(broker: NatsBroker, commands: KeyCommands) -> None:
    """Answer operators' commands and questions about keys."""

    @broker.subscriber(auth_command("create_key"), queue=QUEUE, max_workers=COMMAND_WORKERS)
    async def create_key(command: CreateKey) -> Reply[NewKey]:
        return Reply[NewKey](ok=await commands.create(command))

    @broker.subscriber(auth_command("list_keys"), queue=QUEUE, max_workers=COMMAND_WORKERS)
    async def list_keys(question: ListKeys) -> Reply[KeyList]:
        return Reply[KeyList](ok=await commands.list_of(question))

    @broker.subscriber(auth_command("revoke_key"), queue=QUEUE, max_workers=COMMAND_WORKERS)
    async def revoke_key(command: RevokeKey) -> Reply[Key]:
        return Reply[Key](ok=await commands.revoke(command))
