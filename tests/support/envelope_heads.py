"""Envelopes as quota folds them, without rows."""

from collections.abc import Sequence

from wepeople_contracts.envelope import Charge, EnvelopeHead

MONTH = "2026-04"
APRIL_NS = 1_776_600_000 * 10**9
"""2026-04-19, in nanoseconds since 1970."""


def head(
    message_id: str,
    units: int,
    event_ids: Sequence[str] = (),
    *,
    org_id: str = "org",
    period: str = MONTH,
    connection: str = "custom:ci",
) -> EnvelopeHead:
    """A stored request that costs so many units of a month, those of the named events among them."""
    return EnvelopeHead(
        org_id=org_id,
        app_id="app",
        connection=connection,
        message_id=message_id,
        received_at_us=0,
        charge=Charge(period, units, 1, list(event_ids)),
    )
