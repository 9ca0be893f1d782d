"""What an app may ask: whose key it is, what is left, and what became of a request. Each costs one unit of rate."""

import re

from aiohttp import web
from nats.aio.client import Client

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.rpc import Refused, Unavailable, call
from wepeople_chassis.stream import StreamError, stream_of
from wepeople_contracts.auth import Principal
from wepeople_contracts.envelope import decode
from wepeople_contracts.projection import RequestQuery, RequestStatus
from wepeople_contracts.quota import Usage, UsageQuery
from wepeople_contracts.rows import MAX_METADATA_BYTES, MAX_METRICS, MAX_ROWS
from wepeople_contracts.subjects import REQUEST_STATUS, partition_of, usage_subject
from wepeople_gateway.budgets import Budgets
from wepeople_gateway.errors import ApiError, unavailable
from wepeople_gateway.ingest.publish import NotStored, Publisher
from wepeople_gateway.ingest.respond import results
from wepeople_gateway.principals import Principals
from wepeople_gateway.settings import GatewaySettings

REQUEST_ID = re.compile(r"req_[0-9A-HJKMNP-TV-Z]{26}")
_STATUS_SECONDS = 8.0


class ReadHandler:
    """The endpoints that change nothing."""

    def __init__(
        self,
        settings: GatewaySettings,
        principals: Principals,
        budgets: Budgets,
        publisher: Publisher,
        connection: Client,
    ) -> None:
        self._settings = settings
        self._principals = principals
        self._budgets = budgets
        self._publisher = publisher
        self._connection = connection

    async def ping(self, request: web.Request) -> web.Response:
        """`GET /api/v1/ingest/ping`: whose key this is."""
        principal = await self._admit(request)
        app = {"slug": principal.app_slug}
        return _json(request, {"organizationId": principal.org_id, "app": app})

    async def usage(self, request: web.Request) -> web.Response:
        """`GET /api/v1/ingest/usage`: the org's month, in all and by app; requests in flight are not in it yet."""
        principal = await self._admit(request)
        try:
            subject, query = usage_subject(principal.org_id), UsageQuery(org_id=principal.org_id)
            usage = await call(self._connection, subject, query, Usage, timeout_seconds=2)
        except (Unavailable, Refused) as error:
            raise unavailable("The month's count cannot be read right now; ask again shortly.") from error
        apps = [{"slug": app.connection.removeprefix("custom:"), "used": app.used} for app in usage.apps]
        return _json(
            request,
            {
                "organizationId": principal.org_id,
                "period": usage.period,
                "used": usage.used,
                "limit": principal.max_events_per_month,
                "resetAt": usage.resets_at.isoformat().replace("+00:00", "Z"),
                "apps": apps,
            },
        )

    async def limits(self, request: web.Request) -> web.Response:
        """`GET /api/v1/ingest/limits`: every limit that holds for this key."""
        principal = await self._admit(request)
        return _json(
            request,
            {
                "key": {"requestsPerSecond": principal.key_requests_per_second},
                "organization": {
                    "requestsPerSecond": principal.org_requests_per_second,
                    "maxEventsPerMonth": principal.max_events_per_month,
                },
                "request": {
                    "maxBodyBytes": self._settings.max_body_bytes,
                    "maxEvents": MAX_ROWS,
                    "maxMetadataBytes": MAX_METADATA_BYTES,
                    "maxMetrics": MAX_METRICS,
                },
                "eventTypes": sorted(principal.allowed_event_types),
            },
        )

    async def request_status(self, request: web.Request) -> web.Response:
        """`GET /api/v1/ingest/requests/{requestId}`: where one of this app's requests is, and what became of its rows.

        404 only once the read models have passed the stream's end as it was at the asking.
        """
        principal = await self._admit(request)
        request_id = request.match_info["request_id"]
        if not REQUEST_ID.fullmatch(request_id):
            raise ApiError("not_found", "A request id looks like req_01HP3K5V4J3M9NVT8XZKQ9YQ2E.")
        query = RequestQuery(org_id=principal.org_id, app_id=principal.app_id, request_id=request_id)
        try:
            status = await call(self._connection, REQUEST_STATUS, query, RequestStatus, timeout_seconds=_STATUS_SECONDS)
            stream = await stream_of(self._connection, partition_of(principal.org_id))
            envelope = decode(await self._publisher.read(stream.name, status.sequence))
        except Refused as refused:
            if refused.error.code == "not_found":
                raise ApiError("not_found", f"No request {request_id} of this app was stored.") from refused
            raise unavailable("The read models are behind; ask again shortly.") from refused
        except (Unavailable, NotStored, StreamError, *BROKER_DOWN) as error:
            raise unavailable("The request cannot be looked up right now; ask again shortly.") from error
        found = status.model_dump(mode="json")
        return _json(
            request,
            {
                "request": {
                    "requestId": found["request_id"],
                    "kind": found["kind"],
                    "receivedAt": found["received_at"],
                    "sequence": found["sequence"],
                    "projectedAt": found["projected_at"],
                    "accepted": found["accepted"],
                    "rejected": found["rejected"],
                    "results": results(envelope),
                }
            },
        )

    async def _admit(self, request: web.Request) -> Principal:
        principal = await self._principals.identify(request)
        request["rate_headers"] = self._budgets.headers(principal)
        self._budgets.check_refused(principal)
        await self._budgets.reserve(principal, None)
        request["rate_headers"] = self._budgets.headers(principal)
        return principal


def _json(request: web.Request, fields: dict[str, object]) -> web.Response:
    return web.json_response(fields | {"requestId": request["request_id"]})
