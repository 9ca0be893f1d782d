"""May they: quota's verdict for each request, and what the gateway knows without asking."""

import math
import time
from collections.abc import Callable, Mapping, Sequence

from nats.aio.client import Client

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger, request_in_hand
from wepeople_chassis.rpc import Refused, Unavailable, call
from wepeople_contracts.auth import Principal
from wepeople_contracts.quota import Granted, RateLimited, Release, Reserve, Seen, Verdict, Window
from wepeople_contracts.subjects import PARTITIONS, partition_of, release_subject, reserve_subject
from wepeople_gateway.alone import Owner
from wepeople_gateway.errors import ApiError
from wepeople_gateway.metrics import ask_quota_seconds, granted, limited, month_full, quota_away, seen

log = get_logger(__name__)

_ASK_SECONDS = 1.0
_MAX_WINDOWS = 10_000


class Outdated(Exception):
    """A verdict of a process that is no longer the partition's owner: as good as none."""

    def __init__(self, epoch: int, highest: int) -> None:
        super().__init__(f"a verdict of epoch {epoch}, after one of epoch {highest}")


class Budgets:
    """Asks quota, remembers refusals until the time they named, and counts alone while quota is away.

    Fails open, and says so in the log: while quota is away each gateway admits its share of the rates, and the month
    is not checked (the stream still counts it).
    """

    def __init__(self, connection: Client, gateways: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._gateways = gateways
        self._clock = clock
        self._refused_until: dict[str, tuple[float, RateLimited]] = {}
        self._owners = tuple(Owner() for _ in range(PARTITIONS))
        self._windows: dict[str, tuple[float, Window]] = {}

    def check_refused(self, principal: Principal) -> None:
        """429 at once, without asking, until the time that quota told this key or its org."""
        for scope in (principal.key_id, principal.org_id):
            until, verdict = self._refused_until.get(scope, (0.0, None))
            left = until - self._clock()
            if verdict is not None and left > 0:
                limited[verdict.scope].count += 1
                raise rate_limited(verdict.model_copy(update={"retry_after_seconds": left}), principal)
            self._refused_until.pop(scope, None)

    async def reserve(
        self, principal: Principal, message_id: str | None, units: int = 0, event_ids: Sequence[str] = ()
    ) -> Granted | Seen:
        """Quota's verdict on one request; `ApiError` rate_limited when it does not pass."""
        request = Reserve(
            org_id=principal.org_id,
            key_id=principal.key_id,
            message_id=message_id,
            units=units,
            event_ids=list(event_ids),
            key_limit=principal.key_requests_per_second,
            org_limit=principal.org_requests_per_second,
            month_limit=principal.max_events_per_month,
            request_id=request_in_hand(),
        )
        verdict = await self._ask(request)
        if len(self._windows) >= _MAX_WINDOWS:
            self._windows.clear()
        self._windows[principal.key_id] = (self._clock(), verdict.key_window)
        if isinstance(verdict, RateLimited):
            scope = principal.key_id if verdict.scope == "key" else principal.org_id
            self._refused_until[scope] = (self._clock() + verdict.retry_after_seconds, verdict)
            limited[verdict.scope].count += 1
            raise rate_limited(verdict, principal)
        _count(verdict, units + len(event_ids))
        return verdict

    def headers(self, principal: Principal) -> Mapping[str, str]:
        """The rate headers of an answer: the key's window as it was when quota was last asked, less what has passed
        since; a request that is refused before quota is asked leaves it as it was.
        """
        asked_at, window = self._windows.get(principal.key_id, (0.0, None))
        left = 0.0 if window is None else window.reset_seconds - (self._clock() - asked_at)
        if window is None or left <= 0:
            window = Window(remaining=principal.key_requests_per_second, reset_seconds=1.0)
        return rate_headers(principal, window)

    async def release(self, org_id: str, message_id: str) -> None:
        """Give a reservation back; if quota does not hear it, the reservation runs out by itself."""
        release = Release(org_id=org_id, message_id=message_id)
        try:
            await self._connection.publish(release_subject(org_id), release.model_dump_json().encode())
        except BROKER_DOWN as error:
            log.warning("release_not_sent", message_id=message_id, error=repr(error))

    async def _ask(self, request: Reserve) -> Granted | RateLimited | Seen:
        owner = self._owners[partition_of(request.org_id)]
        if owner.is_away(self._clock()):
            return self._decide_alone(owner, request)
        subject = reserve_subject(request.org_id)
        began = time.perf_counter()
        try:
            reply = await call(self._connection, subject, request, Verdict, timeout_seconds=_ASK_SECONDS)
            _check_epoch(owner, reply.verdict)
        except (Unavailable, Refused, Outdated) as error:
            log.warning("quota_away_fail_open", error=str(error))
            owner.went_away(self._clock())
            return self._decide_alone(owner, request)
        finally:
            ask_quota_seconds.observe(time.perf_counter() - began)
        owner.answered()
        return reply.verdict

    def _decide_alone(self, owner: Owner, request: Reserve) -> Granted | RateLimited:
        quota_away.count += 1
        return owner.decide_alone(request, self._clock(), self._gateways)


def _check_epoch(owner: Owner, verdict: Granted | RateLimited | Seen) -> None:
    if isinstance(verdict, Granted):
        if verdict.epoch < owner.epoch:
            raise Outdated(verdict.epoch, owner.epoch)
        owner.epoch = verdict.epoch


def _count(verdict: Granted | Seen, needed: int) -> None:
    if isinstance(verdict, Seen):
        seen.count += 1
    elif verdict.units + len(verdict.known_event_ids) < needed:
        month_full.count += 1
    else:
        granted.count += 1


def rate_headers(principal: Principal, window: Window) -> Mapping[str, str]:
    """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers)."""
    key, org = principal.key_requests_per_second, principal.org_requests_per_second
    return {
        "RateLimit-Policy": f'"key";q={key};w=1, "org";q={org};w=1',
        "RateLimit": f'"key";r={window.remaining};t={math.ceil(window.reset_seconds)}',
    }


def rate_limited(verdict: RateLimited, principal: Principal) -> ApiError:
    """429 with the scope that is full and the whole seconds after which the client gets through."""
    seconds = max(1, math.ceil(verdict.retry_after_seconds))
    limit = principal.key_requests_per_second if verdict.scope == "key" else principal.org_requests_per_second
    whose = "This key" if verdict.scope == "key" else "This organization"
    return ApiError(
        "rate_limited",
        f"{whose} may send {limit} requests a second; wait {seconds} s and send this request again.",
        {"scope": verdict.scope},
        {"Retry-After": str(seconds), **rate_headers(principal, verdict.key_window)},
    )
