"""Where keys are asked for over NATS."""

import secrets

from faststream.nats import NatsBroker

from wepeople_auth.keys.authenticator import Authenticator
from wepeople_auth.keys.commands import KeyCommands
from wepeople_auth.keys.revocation import Revocations
from wepeople_contracts.rpc import (
    Authenticate,
    CreateKey,
    Key,
    KeyList,
    KeyRevoked,
    ListKeys,
    NewKey,
    Principal,
    Reply,
    RevokeKey,
)
from wepeople_contracts.subjects import AUTHENTICATE, KEY_REVOKED, auth_command

QUEUE = "auth"
"""All auth processes share the work."""

SLOW_WORKERS = 64
COMMAND_WORKERS = 8


def serve_authentication(broker: NatsBroker, authenticator: Authenticator, revocations: Revocations) -> None:
    """Answer who holds a token, and hear of revocations, on one connection.

    Two lanes: `max_workers` more than halves what FastStream handles per second, but without it one bcrypt would
    hold everybody up. So the fast lane answers from memory, one message after the other, and hands what takes longer
    to this process's slow lane. One connection keeps order: who asks after the broadcast is answered after it.
    """
    slow_lane = f"_INBOX.auth.{secrets.token_hex(8)}"

    @broker.subscriber(AUTHENTICATE, queue=QUEUE)
    async def authenticate(request: Authenticate) -> Reply[Principal] | None:
        principal = authenticator.recall(request.token)
        if principal is not None:
            return Reply[Principal](ok=principal)
        # From the context: as a parameter, the message makes FastStream four times slower.
        message = broker.context.get_local("message")
        await broker.publish(request, slow_lane, reply_to=message.reply_to)
        # Without it FastStream would reply None.
        message.reply_to = ""
        return None

    @broker.subscriber(slow_lane, max_workers=SLOW_WORKERS)
    async def authenticate_slowly(request: Authenticate) -> Reply[Principal]:
        return Reply[Principal](ok=await authenticator.authenticate(request.token))

    @broker.subscriber(KEY_REVOKED)
    async def key_revoked(fact: KeyRevoked) -> None:
        revocations.hear(fact)


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
