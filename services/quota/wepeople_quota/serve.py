"""Quota's subjects, a subscription for each partition. `reserve` is asked once for every HTTP request, so it goes the
short way: through FastStream a verdict took two and a half times the processor time of the verdict itself.

No queue group, as nothing may be shared: a standby does not subscribe at all, so that gateways learn at once when
nobody is there. All answers are sent from here, and only here the lease is looked at: silence is one line.
"""

import time
from collections import deque
from collections.abc import Callable, Collection
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from wepeople_chassis.logging import about_request
from wepeople_chassis.rpc import error_reply
from wepeople_chassis.tracing import served
from wepeople_contracts.quota import RateLimited, Release, Reserve, Seen, Usage, UsageQuery, Verdict
from wepeople_contracts.reply import Reply
from wepeople_contracts.subjects import quota_filter
from wepeople_quota.lease import Lease
from wepeople_quota.metrics import granted, limited, month_full, seen
from wepeople_quota.owner import Now, Owner

_VerdictReply = Reply[Verdict]
_UsageReply = Reply[Usage]

KEPT_SECONDS = 0.8
"""A request that waits for the next owner is worth an answer for so long; the gateways ask for a second."""


_MakeReply = Callable[[Owner, bytes, int], bytes]


class _Kept(NamedTuple):
    arrived: float
    message: Msg
    make_reply: _MakeReply


class Desk:
    """Where the requests about a partition's orgs arrive. Between `listen` and `open` it keeps them, then it answers
    while the lease is held under which it was opened last. `lease` is None until it is open.

    That is how a hand-over loses no request.
    """

    def __init__(
        self, connection: Client, partition: int, owner: Owner, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.partition = partition
        self.lease: Lease | None = None
        self._owner = owner
        self._clock = clock
        self._kept: deque[_Kept] = deque()
        self._answered: list[str] | None = None
        self._connection = connection
        self._subscription: Subscription | None = None

    async def listen(self) -> None:
        """Hear requests from now on."""
        if self._subscription is None:
            self._subscription = await self._connection.subscribe(quota_filter(self.partition), cb=self._take)

    async def open(self, lease: Lease) -> None:
        """Answer under this lease from now on, first what was kept."""
        self.lease = lease
        while self._kept:
            kept = self._kept.popleft()
            if kept.arrived > self._clock() - KEPT_SECONDS:
                await self._ask(kept.message, kept.make_reply)

    def note_answers(self, answered: list[str] | None) -> None:
        """From now on write down where answers went, for `forget` of whoever hears the same requests; or no more."""
        self._answered = answered

    def forget(self, answered: Collection[str]) -> None:
        """Keep no request that another desk has answered, by where the answer went."""
        self._kept = deque(kept for kept in self._kept if kept.message.reply not in answered)

    async def close(self) -> None:
        """Answer and hear no more."""
        self.lease = self._answered = None
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.unsubscribe()
        self._kept.clear()

    async def _take(self, message: Msg) -> None:
        match message.subject.rpartition(".")[2]:
            case "reserve":
                await self._ask(message, verdict_reply)
            case "usage":
                await self._ask(message, usage_reply)
            case "release":
                self._owner.release(Release.model_validate_json(message.data))

    async def _ask(self, message: Msg, make_reply: _MakeReply) -> None:
        lease = self.lease
        if lease is None:
            self._kept.append(_Kept(self._clock(), message, make_reply))
        elif (epoch := lease.epoch()) is not None:
            with served("quota", message.headers):
                reply = make_reply(self._owner, message.data, epoch)
            await message.respond(reply)
            if self._answered is not None:
                self._answered.append(message.reply)


def verdict_reply(owner: Owner, body: bytes, epoch: int) -> bytes:
    """The reply to one request to reserve, whatever is wrong with it."""
    about_request(None)
    try:
        request = Reserve.model_validate_json(body)
        about_request(request.request_id, request.org_id)
        verdict = owner.decide(request, now(), epoch)
        _count(verdict, request)
    except Exception as error:
        return error_reply(error).model_dump_json().encode()
    return _VerdictReply(ok=verdict).model_dump_json().encode()


def _count(verdict: Verdict, request: Reserve) -> None:
    given = verdict.verdict
    if isinstance(given, RateLimited):
        limited[given.scope].count += 1
    elif isinstance(given, Seen):
        seen.count += 1
    elif request.message_id and given.units + len(given.known_event_ids) < request.units + len(request.event_ids):
        month_full.count += 1
    else:
        granted.count += 1


def usage_reply(owner: Owner, body: bytes, _: int) -> bytes:
    """The reply to one question what an org has used."""
    try:
        usage = owner.usage(UsageQuery.model_validate_json(body), now())
    except Exception as error:
        return error_reply(error).model_dump_json().encode()
    return _UsageReply(ok=usage).model_dump_json().encode()


def now() -> Now:
    """This moment."""
    return Now(time.monotonic_ns(), time.time_ns())
