"""The order of decisions for one request (design §3): 401, 415/413, 429, replay, 400, rows, 402, then the stream.

A fault of the request itself (its key, a parameter, broken gzip) is 400 before a replay: such a request is never the
same as one that was stored.
"""

import hashlib
import time

from aiohttp import web

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_contracts.auth import Principal
from wepeople_contracts.envelope import Envelope, decode, encode
from wepeople_contracts.ids import message_id
from wepeople_contracts.quota import Seen
from wepeople_contracts.subjects import ingest_subject, partition_of
from wepeople_gateway.budgets import Budgets
from wepeople_gateway.errors import ApiError, MalformedBody, unavailable
from wepeople_gateway.ingest.body import Account, MemoryBudget, check_content_type, read_body
from wepeople_gateway.ingest.command import EVENTS, SNAPSHOTS, Command, Endpoint, judge, price, seal
from wepeople_gateway.ingest.publish import NotStored, OutcomeUnknown, Publisher
from wepeople_gateway.ingest.respond import render
from wepeople_gateway.metrics import accepted_rows, duplicate_rows, not_stored, outcome_unknown, rejected_rows
from wepeople_gateway.principals import Principals
from wepeople_gateway.projected import Positions
from wepeople_gateway.settings import GatewaySettings

log = get_logger(__name__)

MAX_KEY_CHARACTERS = 255
_PROJECTED_SECONDS = 5.0


class IngestHandler:
    """Carries a request through its decisions; every step is named by the module it lives in."""

    def __init__(
        self,
        settings: GatewaySettings,
        principals: Principals,
        budgets: Budgets,
        publisher: Publisher,
        positions: Positions,
    ) -> None:
        self._settings = settings
        self._principals = principals
        self._budgets = budgets
        self._publisher = publisher
        self._positions = positions
        self._memory = MemoryBudget(settings.in_flight_bytes)

    @property
    def bytes_in_flight(self) -> int:
        """Bodies held in memory now."""
        return self._memory.taken_bytes

    async def events(self, request: web.Request) -> web.Response:
        """`POST /api/v1/ingest/events`."""
        return await self._ingest(request, EVENTS)

    async def snapshots(self, request: web.Request) -> web.Response:
        """`POST /api/v1/ingest/snapshots`."""
        return await self._ingest(request, SNAPSHOTS)

    async def _ingest(self, request: web.Request, endpoint: Endpoint) -> web.Response:
        principal = await self._principals.identify(request)
        request["rate_headers"] = self._budgets.headers(principal)
        self._budgets.check_refused(principal)
        check_content_type(request)
        with self._memory.account() as account:
            command = await self._receive(request, endpoint, principal, account)
            judged = judge(command)
            units, event_ids = price(command, judged)
            verdict = await self._budgets.reserve(principal, command.message_id, units, event_ids)
            request["rate_headers"] = self._budgets.headers(principal)
            if command.problem is not None:
                raise ApiError("invalid_body", command.problem)
            if isinstance(verdict, Seen):
                return await self._replay(command, verdict.stream, verdict.sequence)
            if isinstance(judged, MalformedBody):
                raise ApiError("invalid_body", str(judged))
            return await self._store(command, seal(command, judged, verdict))

    async def _receive(
        self, request: web.Request, endpoint: Endpoint, principal: Principal, account: Account
    ) -> Command:
        request_id: str = request["request_id"]
        key, *others = request.headers.getall("Idempotency-Key", [request_id])
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
        wait = request.query.get("wait")
        if wait not in (None, "projected"):
            problem = "The parameter wait must be `projected`, or absent."
        if others or not (1 <= len(key) <= MAX_KEY_CHARACTERS and key.isprintable()):
            problem = f"Idempotency-Key must be one, of 1 to {MAX_KEY_CHARACTERS} printable characters."
            key = request_id
        return Command(
            endpoint=endpoint,
            principal=principal,
            request_id=request_id,
            message_id=message_id(principal.app_id, request.method, request.path, key),
            received_at_us=time.time_ns() // 1000,
            body=body,
            fingerprint=hashlib.sha256(body).digest(),
            problem=problem,
            wait_projected=wait is not None,
        )

    async def _store(self, command: Command, envelope: Envelope) -> web.Response:
        subject = ingest_subject(envelope.org_id, envelope.app_id, envelope.kind)
        try:
            stored = await self._publisher.publish(subject, envelope.message_id, encode(envelope))
        except NotStored as error:
            not_stored.count += 1
            log.warning("not_stored", error=str(error))
            await self._budgets.release(envelope.org_id, envelope.message_id)
            raise unavailable("The event log is away and nothing was stored; send this request again.") from error
        except OutcomeUnknown as error:
            outcome_unknown.count += 1
            log.warning("outcome_unknown", error=str(error))
            raise unavailable(
                "The event log did not confirm in time. Send the same request again with its Idempotency-Key; if it "
                f"had none, with `Idempotency-Key: {command.request_id}`: it is stored once.",
                outcome="unknown",
            ) from error
        if stored.duplicate:
            return await self._replay(command, stored.stream, stored.sequence)
        _count_rows(envelope, costs_events=command.endpoint.costs_events)
        return await self._answer(command, envelope, stored.sequence)

    async def _replay(self, command: Command, stream: str, sequence: int) -> web.Response:
        """Answer as the stored request was answered, if it is the same; 422 if it is not."""
        try:
            original = decode(await self._publisher.read(stream, sequence))
        except (NotStored, *BROKER_DOWN) as error:
            raise unavailable("This request was stored, but its answer cannot be read right now; ask again.") from error
        if original.fingerprint != command.fingerprint:
            raise ApiError(
                "idempotency_mismatch",
                "This Idempotency-Key was used within ten minutes for another body; use a new key for a new request.",
                {"originalRequestId": original.request_id},
            )
        return await self._answer(command, original, sequence)

    async def _answer(self, command: Command, envelope: Envelope, sequence: int) -> web.Response:
        answer = render(envelope, self._settings.docs_url)
        headers = {}
        if envelope.request_id != command.request_id:
            headers["Idempotent-Replayed"] = "true"
        if command.wait_projected:
            partition = partition_of(envelope.org_id)
            visible = await self._positions.reached(partition, sequence, _PROJECTED_SECONDS)
            headers["Projected"] = "true" if visible else "false"
        return web.Response(status=answer.status, body=answer.body, content_type="application/json", headers=headers)


def _count_rows(envelope: Envelope, *, costs_events: bool) -> None:
    # What was accepted and not charged was there before: so no row has to be looked at.
    known = len(envelope.accepted) - envelope.charge.units if costs_events else 0
    accepted_rows.count += len(envelope.accepted) - known
    duplicate_rows.count += known
    rejected_rows.count += len(envelope.rejected)
