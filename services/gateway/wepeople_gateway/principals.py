"""Who is it: principals as auth told them, kept for at most a minute and forgotten at a revocation."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from nats.aio.client import Client
from nats.aio.msg import Msg

from wepeople_chassis.logging import about_org, get_logger, request_in_hand
from wepeople_chassis.rpc import Refused, Unavailable, call
from wepeople_contracts.auth import Authenticate, KeyRevoked, Principal
from wepeople_contracts.ids import key_public_id
from wepeople_contracts.subjects import AUTHENTICATE, KEY_REVOKED
from wepeople_gateway.errors import ApiError, unavailable
from wepeople_gateway.metrics import ask_auth_seconds, auth_away

log = get_logger(__name__)

MAX_AGE_SECONDS = 60.0
"""A key's state is never older, counted from auth's read of its database."""

REFRESH_AGE_SECONDS = 30.0
"""From here on auth is asked again, while the old answer still serves if it is away."""

_MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class _Entry:
    principal: Principal
    read_at: float


class Principals:
    """Turns bearer tokens into principals. Tokens themselves are never kept, only their SHA-256."""

    def __init__(self, connection: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Principal]] = {}
        self._revocations = 0

    async def listen(self) -> None:
        """Forget a key the moment its revocation is broadcast."""
        await self._connection.subscribe(KEY_REVOKED, cb=self._on_revoked)

    async def forget_all(self) -> None:
        """After a lost connection: a revocation may have been missed."""
        self._revocations += 1
        self._entries.clear()

    async def identify(self, request: web.Request) -> Principal:
        """Who sends a request (see `authenticate`); the log and the trace know whose it is from then on."""
        principal = await self.authenticate(request.headers.get("Authorization"))
        request["org_id"] = principal.org_id
        about_org(principal.org_id)
        return principal

    async def authenticate(self, authorization: str | None) -> Principal:
        """The caller behind an `Authorization` header; `ApiError` invalid_key, or unavailable when nobody can tell."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or key_public_id(token) is None:
            raise _invalid_key()
        digest = hashlib.sha256(token.encode()).digest()
        entry = self._entries.get(digest)
        age = self._clock() - entry.read_at if entry else MAX_AGE_SECONDS
        if entry and age < REFRESH_AGE_SECONDS:
            return entry.principal
        try:
            return await self._ask_once(digest, token)
        except (Unavailable, Refused) as error:
            if isinstance(error, Refused) and error.error.code == "invalid_key":
                self._entries.pop(digest, None)
                raise _invalid_key() from error
            # Away, or too busy to tell: what auth said less than a minute ago still holds, if no revocation came.
            if entry and digest in self._entries and age < MAX_AGE_SECONDS:
                auth_away.count += 1
                log.warning("auth_away_serving_cached", key_id=entry.principal.key_id)
                return entry.principal
            raise unavailable("Keys cannot be checked right now; send this request again shortly.") from error

    async def _ask_once(self, digest: bytes, token: str) -> Principal:
        """One question per token at a time; all who wait share its answer."""
        task = self._asking.get(digest)
        if task is None:
            task = asyncio.create_task(self._ask(digest, token))
            self._asking[digest] = task
            task.add_done_callback(lambda _: self._asking.pop(digest, None))
        return await asyncio.shield(task)

    async def _ask(self, digest: bytes, token: str) -> Principal:
        while True:
            revocations, asked_at = self._revocations, self._clock()
            question = Authenticate(token=token, request_id=request_in_hand())
            began = time.perf_counter()
            try:
                principal = await call(self._connection, AUTHENTICATE, question, Principal)
            finally:
                ask_auth_seconds.observe(time.perf_counter() - began)
            if revocations == self._revocations:
                break
        self._entries[digest] = _Entry(principal, asked_at - principal.age_seconds)
        self._entries.move_to_end(digest)
        while len(self._entries) > _MAX_ENTRIES:
            self._entries.popitem(last=False)
        return principal

    async def _on_revoked(self, message: Msg) -> None:
        key_id = KeyRevoked.model_validate_json(message.data).key_id
        self._revocations += 1
        for digest in [d for d, e in self._entries.items() if e.principal.key_id == key_id]:
            del self._entries[digest]


def _invalid_key() -> ApiError:
    message = "The key is missing, malformed, unknown or revoked; send `Authorization: Bearer wp_live_…`."
    return ApiError("invalid_key", message, headers={"WWW-Authenticate": 'Bearer realm="wepeople"'}, close=True)
