"""Tries a projection out without servers: given what was stored, expect these rows.

    from wepeople_projections.kit import event, given, worker

    given(
        Deploys,
        event("deploy.shipped", actor={"email": "alex@acme.com"}, metadata={"service": "api"}, at="2026-04-01T09:00Z"),
    ).expect(DeploysPerWeek, [{"service": "api", "week": date(2026, 3, 30), "deploys": 1}])

What is given becomes envelopes as they are stored, and goes through the same decoding and folding as in production.
"""

from wepeople_projections.kit.given import Given, given, worker
from wepeople_projections.kit.items import Item, event, fact, imported, org, rejected, request, snapshot

__all__ = [
    "Given",
    "Item",
    "event",
    "fact",
    "given",
    "imported",
    "org",
    "rejected",
    "request",
    "snapshot",
    "worker",
]
