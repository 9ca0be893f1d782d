"""The verdict: rate first, then the ids already stored, then the month. From memory alone."""

from typing import NamedTuple

from wepeople_contracts.quota import (
    AppUsage,
    Granted,
    RateLimited,
    Release,
    Reserve,
    Seen,
    Usage,
    UsageQuery,
    Verdict,
    Window,
)
from wepeople_quota.ledger import Held, Ledger
from wepeople_quota.month import NANOSECONDS, month_named, month_of
from wepeople_quota.window import Refused, Windows, WindowState


class Now(NamedTuple):
    """One moment on both clocks: the monotonic one for rates, the one since 1970 for months and leases."""

    monotonic_ns: int
    unix_ns: int


class Owner:
    """Decides for a partition's orgs; whether its process may answer is not its affair.

    A process that takes over begins with empty windows, and knows no reservation of the owner before it.
    """

    def __init__(self, ledger: Ledger, windows: Windows) -> None:
        self._ledger = ledger
        self._windows = windows

    def decide(self, request: Reserve, now: Now, epoch: int) -> Verdict:
        """The verdict on one request, which is charged as the verdict says; `epoch` is that of the lease.

        A request without a message id can store nothing, so it is granted no units.
        """
        passed = self._windows.ask(
            key_id=request.key_id,
            key_limit=request.key_limit,
            org_id=request.org_id,
            org_limit=request.org_limit,
            now_ns=now.monotonic_ns,
        )
        key_window = _window(passed.key)
        if isinstance(passed, Refused):
            wait = _seconds(passed.retry_after_ns)
            return Verdict(verdict=RateLimited(scope=passed.scope, retry_after_seconds=wait, key_window=key_window))
        month = month_of(now.unix_ns)
        held = Held(0, month.period)
        if request.message_id is not None:
            sequence = self._ledger.seen(request.message_id)
            if sequence is not None:
                return Verdict(verdict=Seen(stream=self._ledger.stream, sequence=sequence, key_window=key_window))
            held = self._ledger.reserve(
                org_id=request.org_id,
                message_id=request.message_id,
                units=request.units,
                event_ids=request.event_ids,
                period=month.period,
                month_limit=request.month_limit,
                now_ns=now.unix_ns,
            )
            if held.period != month.period:
                month = month_named(held.period)
        return Verdict(
            verdict=Granted(
                units=held.units,
                known_event_ids=held.known,
                period=held.period,
                epoch=epoch,
                month_resets_at=month.resets_at,
                key_window=key_window,
            )
        )

    def release(self, request: Release) -> None:
        """Give a reservation back."""
        self._ledger.release(request.org_id, request.message_id)

    def usage(self, query: UsageQuery, now: Now) -> Usage:
        """What an org has used of the month that is now, and which of its apps used it."""
        month = month_of(now.unix_ns)
        used, reserved = self._ledger.usage(query.org_id, month.period)
        by_connection = self._ledger.count.by_connection(query.org_id, month.period)
        return Usage(
            org_id=query.org_id,
            period=month.period,
            used=used,
            reserved=reserved,
            resets_at=month.resets_at,
            apps=[AppUsage(connection=name, used=units) for name, units in sorted(by_connection.items())],
        )


def _window(state: WindowState) -> Window:
    return Window(remaining=state.remaining, reset_seconds=_seconds(state.reset_ns))


def _seconds(nanoseconds: int) -> float:
    # Up to the next microsecond, so that whoever waits this long has waited long enough.
    return -(-nanoseconds // 1000) * 1000 / NANOSECONDS
