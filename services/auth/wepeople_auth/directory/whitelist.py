"""Which event types an app may be allowed to send."""

from collections.abc import Iterable

from wepeople_auth.refusals import invalid
from wepeople_contracts.rows import is_event_type

MAX_EVENT_TYPES = 1_000
"""Per app: every principal carries its whole whitelist."""


def checked_event_types(event_types: Iterable[str]) -> list[str]:
    """The event types, each once and sorted; `invalid` names those that no row could ever carry."""
    wanted = sorted(set(event_types))
    if bad := [event_type for event_type in wanted if not is_event_type(event_type)]:
        raise invalid(
            f"Not an event type: {', '.join(map(repr, bad[:5]))}. "
            "Use 1 to 128 of the characters a-z, 0-9, dot, underscore and hyphen, such as 'deploy.shipped'."
        )
    check_count(len(wanted))
    return wanted


def check_count(count: int) -> None:
    """`invalid` when a whitelist is longer than an app's may be."""
    if count > MAX_EVENT_TYPES:
        raise invalid(f"An app may have {MAX_EVENT_TYPES} event types at most; this would make {count}.")
