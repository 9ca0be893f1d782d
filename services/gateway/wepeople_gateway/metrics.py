"""What the gateway measures, and what its hot path counts on: two microseconds a request, nothing a row."""

from functools import cache

from prometheus_client import Gauge

from wepeople_chassis.metrics import QUICK_SECONDS
from wepeople_chassis.tallies import Spread, SpreadMetric, Tally, TallyMetric

HTTP_REQUESTS = TallyMetric("wepeople_http_requests_total", "Requests answered.", ["route", "method", "status"])
HTTP_SECONDS = SpreadMetric(
    "wepeople_http_request_seconds",
    "From a request's head to the end of its answer's making.",
    ["route"],
    bounds=QUICK_SECONDS,
)
HTTP_CONNECTIONS = Gauge("wepeople_http_connections", "Connections of clients that are open.")
TLS_REFUSED = TallyMetric("wepeople_tls_refused_total", "Connections whose TLS handshake failed, or took too long.")
BODIES_IN_FLIGHT = Gauge("wepeople_bodies_in_flight_bytes", "Bodies held in memory by the requests under way.")
ROWS = TallyMetric("wepeople_rows_total", "Rows of stored requests: accepted, duplicate or rejected.", ["outcome"])
VERDICTS = TallyMetric(
    "wepeople_verdicts_total",
    "May it pass: granted; month (granted, but the month is full for some rows); seen (stored before); key or org (rate"
    " limited).",
    ["scope"],
)
ASK_SECONDS = SpreadMetric(
    "wepeople_ask_seconds", "How long another service's answer took.", ["service"], bounds=QUICK_SECONDS
)
FAIL_OPEN = TallyMetric(
    "wepeople_fail_open_total",
    "Requests that passed although somebody was away: quota (rates by share, month unchecked) or auth (a known key).",
    ["dependency"],
)
PUBLISH_SECONDS = SpreadMetric(
    "wepeople_publish_seconds", "From the envelope to its acknowledgement by the stream.", bounds=QUICK_SECONDS
)
PUBLISH_FAILED = TallyMetric(
    "wepeople_publish_failed_total",
    "Envelopes that the stream did not acknowledge in time: not_stored, or unknown.",
    ["outcome"],
)

OTHER = "other"
"""Stands for routes and methods that are not ours: clients must not make labels."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

tls_refused = TLS_REFUSED.labels()
accepted_rows = ROWS.labels("accepted")
duplicate_rows = ROWS.labels("duplicate")
rejected_rows = ROWS.labels("rejected")
granted = VERDICTS.labels("granted")
month_full = VERDICTS.labels("month")
seen = VERDICTS.labels("seen")
limited = {"key": VERDICTS.labels("key"), "org": VERDICTS.labels("org")}
quota_away = FAIL_OPEN.labels("quota")
auth_away = FAIL_OPEN.labels("auth")
ask_quota_seconds = ASK_SECONDS.labels("quota")
ask_auth_seconds = ASK_SECONDS.labels("auth")
publish_seconds = PUBLISH_SECONDS.labels()
not_stored = PUBLISH_FAILED.labels("not_stored")
outcome_unknown = PUBLISH_FAILED.labels("unknown")


def answered(route: str, method: str, status: int, seconds: float) -> None:
    """Count an answer."""
    requests, took = _of_answers(route, known_method(method), status)
    requests.count += 1
    took.observe(seconds)


def known_method(method: str) -> str:
    """The method, if it is one that HTTP knows."""
    return method if method in _METHODS else OTHER


@cache
def _of_answers(route: str, method: str, status: int) -> tuple[Tally, Spread]:
    # There are as many as routes, methods and statuses, so all may be kept.
    return HTTP_REQUESTS.labels(route, method, str(status)), HTTP_SECONDS.labels(route)
