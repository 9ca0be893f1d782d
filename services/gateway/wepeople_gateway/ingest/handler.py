"""The order of decisions for one request (design §3): 401, 415/413, 429, replay, 400, rows, 402, then the stream."""

import hashlib
import time

from aiohttp import web

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_contracts.auth import Principal
from wepeople_contracts.envelope import Envelope, decode, encode
from wepeople_contracts.ids import message_id
from wepeople_contracts.quota import Seen
from wepeople_contracts.subjects import ingest_subject
from wepeople_gateway.budgets import Budgets, rate_headers
from wepeople_gateway.errors import ApiError, MalformedBody, unavailable
from wepeople_gateway.ingest.body import Account, MemoryBudget, check_content_type, read_body
from wepeople_gateway.ingest.command import EVENTS, SNAPSHOTS, Command, Endpoint, judge, seal
from wepeople_gateway.ingest.decide import Judged
from wepeople_gateway.ingest.publish import NotStored, OutcomeUnknown, Publisher
from wepeople_gateway.ingest.respond import render
from wepeople_gateway.principals import Principals
from wepeople_gateway.settings import GatewaySettings

log = get_logger(__name__)

_MAX_KEY_CHARACTERS = 255


class IngestHandler:
    """Carries a request through its decisions; every step is named by the module it lives in."""

    def __init__(
        self, settings: GatewaySettings, principals: Principals, budgets: Budgets, publisher: Publisher
    ) -> None:
        self._settings = settings
        self._principals = principals
        self._budgets = budgets
        self._publisher = publisher
        self._memory = MemoryBudget(settings.in_flight_bytes)

    async def ping(self, request: web.Request) -> web.Response:
        """`GET /api/v1/ingest/ping`: whose key this is; costs one unit of rate."""
        principal = await self._admit(request)
        verdict = await self._budgets.reserve(principal, None, 0)
        request["rate_headers"] = rate_headers(principal, verdict.key_window)
        return web.json_response(
            {
                "organizationId": principal.org_id,
                "app": {"slug": principal.app_slug},
                "requestId": request["request_id"],
            }
        )

    async def events(self, request: web.Request) -> web.Response:
        """`POST /api/v1/ingest/events`."""
        return await self._ingest(request, EVENTS)

    async def snapshots(self, request: web.Request) -> web.Response:
        """`POST /api/v1/ingest/snapshots`."""
        return await self._ingest(request, SNAPSHOTS)

    async def _admit(self, request: web.Request) -> Principal:
        principal = await self._principals.authenticate(request.headers.get("Authorization"))
        self._budgets.check_refused(principal)
        return principal

    async def _ingest(self, request: web.Request, endpoint: Endpoint) -> web.Response:
        principal = await self._admit(request)
        check_content_type(request)
        with self._memory.account() as account:
            command = await self._receive(request, endpoint, principal, account)
            judged = judge(command)
            units = len(judged.accepted) if isinstance(judged, Judged) and endpoint.costs_events else 0
            verdict = await self._budgets.reserve(principal, command.message_id, units)
            request["rate_headers"] = rate_headers(principal, verdict.key_window)
            if isinstance(verdict, Seen):
                return await self._replay(command, verdict.sequence)
            if isinstance(judged, MalformedBody):
                raise ApiError("invalid_body", str(judged))
            return await self._store(command, seal(command, judged, verdict))

    async def _receive(
        self, request: web.Request, endpoint: Endpoint, principal: Principal, account: Account
    ) -> Command:
        request_id: str = request["request_id"]
        key = request.headers.get("Idempotency-Key", request_id)
        body, problem = b"", None
        try:
            body = await read_body(
                request,
                account,
                max_bytes=self._settings.max_body_bytes,
                timeout_seconds=self._settings.body_seconds,
            )
        except MalformedBody as error:
            problem = str(error)
        if not (1 <= len(key) <= _MAX_KEY_CHARACTERS and key.isprintable()):
            key, problem = request_id, f"Idempotency-Key must be 1 to {_MAX_KEY_CHARACTERS} printable characters."
        return Command(
            endpoint=endpoint,
            principal=principal,
            request_id=request_id,
            message_id=message_id(principal.app_id, request.method, request.path, key),
            received_at_us=time.time_ns() // 1000,
            body=body,
            fingerprint=hashlib.sha256(body).digest(),
            problem=problem,
        )

    async def _store(self, command: Command, envelope: Envelope) -> web.Response:
        subject = ingest_subject(envelope.org_id, envelope.app_id, envelope.kind)
        try:
            stored = await self._publisher.publish(subject, envelope.message_id, encode(envelope))
        except NotStored as error:
            log.warning("not_stored", request_id=command.request_id, error=str(error))
            await self._budgets.release(envelope.org_id, envelope.message_id)
            raise unavailable("The event log is away and nothing was stored; send this request again.") from error
        except OutcomeUnknown as error:
            log.warning("outcome_unknown", request_id=command.request_id, error=str(error))
            raise unavailable(
                "The event log did not confirm in time. Send the same request again with its Idempotency-Key; if it "
                f"had none, with `Idempotency-Key: {command.request_id}`: it is stored once.",
                outcome="unknown",
            ) from error
        if stored.duplicate:
            return await self._replay(command, stored.sequence)
        return self._answer(envelope, replayed=False)

    async def _replay(self, command: Command, sequence: int) -> web.Response:
        """Answer as the stored request was answered, if it is the same; 422 if it is not."""
        try:
            original = decode(await self._publisher.read(sequence))
        except (NotStored, *BROKER_DOWN) as error:
            raise unavailable("This request was stored, but its answer cannot be read right now; ask again.") from error
        if original.fingerprint != command.fingerprint:
            raise ApiError(
                "idempotency_mismatch",
                "This Idempotency-Key was used within ten minutes for another body; use a new key for a new request.",
                {"originalRequestId": original.request_id},
            )
        return self._answer(original, replayed=original.request_id != command.request_id)

    def _answer(self, envelope: Envelope, *, replayed: bool) -> web.Response:
        answer = render(envelope, self._settings.docs_url)
        headers = {"Idempotent-Replayed": "true"} if replayed else {}
        return web.Response(status=answer.status, body=answer.body, content_type="application/json", headers=headers)
