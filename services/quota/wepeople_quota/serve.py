"""Quota's subjects on FastStream. `reserve` is asked once for every HTTP request, so it goes the short way."""

import time
from typing import Any

from faststream.nats import NatsBroker, NatsMessage
from nats.aio.msg import Msg

from wepeople_chassis.rpc_server import error_reply
from wepeople_contracts.quota import Release, Reserve, Usage, UsageQuery, Verdict
from wepeople_contracts.reply import Reply
from wepeople_contracts.subjects import RELEASE, RESERVE_ALL, USAGE
from wepeople_quota.owner import Now, Owner

_VerdictReply = Reply[Verdict]
_UsageReply = Reply[Usage]


def subscribe(broker: NatsBroker, owner: Owner) -> None:
    """Serve an owner's subjects; the broker must not apply types. No queue group: two owners must not share."""

    @broker.subscriber(RESERVE_ALL, parser=_bare_message, decoder=_whole_message, no_reply=True)
    async def reserve(message: Msg) -> None:
        # Without FastStream's own reply, whose headers cost us a sixth and the gateway their parsing.
        await message.respond(verdict_reply(owner, message.data))

    @broker.subscriber(RELEASE, decoder=_body, no_reply=True)
    async def release(body: bytes) -> None:
        owner.release(Release.model_validate_json(body))

    @broker.subscriber(USAGE, decoder=_body)
    async def usage(body: bytes) -> bytes:
        query = UsageQuery.model_validate_json(body)
        return _UsageReply(ok=owner.usage(query, now())).model_dump_json().encode()


def verdict_reply(owner: Owner, body: bytes) -> bytes:
    """The reply to one request to reserve, whatever is wrong with it."""
    try:
        verdict = owner.decide(Reserve.model_validate_json(body), now())
    except Exception as error:
        return error_reply(error).model_dump_json().encode()
    return _VerdictReply(ok=verdict).model_dump_json().encode()


def now() -> Now:
    """This moment."""
    return Now(time.monotonic_ns(), time.time_ns())


async def _bare_message(message: Msg) -> NatsMessage:
    # FastStream's parser reads headers that nobody sends, matches the subject again and draws a random id.
    message._ackd = True
    return NatsMessage(raw_message=message, body=message.data, reply_to=message.reply, correlation_id="-")


async def _whole_message(message: NatsMessage) -> Msg:
    return message.raw_message


async def _body(message: NatsMessage) -> Any:
    return message.body
