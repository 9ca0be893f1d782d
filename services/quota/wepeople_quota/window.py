"""Rates: exact sliding windows of one second, by key and by org.

A window is the log of the moments at which requests passed. A request that is refused leaves no trace, so a client
that asks too often still gets its whole rate (design §3).
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

WINDOW_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class WindowState:
    """How a key's window stands: what may still pass now, and when the oldest request in it leaves."""

    remaining: int
    reset_ns: int


@dataclass(frozen=True, slots=True)
class Passed:
    """The request passes; one unit was charged to the key and one to the org."""

    key: WindowState


@dataclass(frozen=True, slots=True)
class Refused:
    """The request does not pass and costs nothing; after `retry_after_ns` it would, if nobody else asked meanwhile."""

    scope: Literal["key", "org"]
    retry_after_ns: int
    key: WindowState


class Windows:
    """The windows of every key and org that asked within the last second.

    All moments are nanoseconds of one monotonic clock, and never go back.
    """

    def __init__(self) -> None:
        self._keys: dict[str, deque[int]] = {}
        self._orgs: dict[str, deque[int]] = {}

    def ask(self, *, key_id: str, key_limit: int, org_id: str, org_limit: int, now_ns: int) -> Passed | Refused:
        """Decide the key's rate first, then the org's; charge both, or neither. Limits are requests per second, ≥ 1."""
        key, org = _current(self._keys, key_id, now_ns), _current(self._orgs, org_id, now_ns)
        key_wait, org_wait = _wait_ns(key, key_limit, now_ns), _wait_ns(org, org_limit, now_ns)
        if key_wait or org_wait:
            return Refused("key" if key_wait else "org", max(key_wait, org_wait), _state(key, key_limit, now_ns))
        key.append(now_ns)
        org.append(now_ns)
        return Passed(_state(key, key_limit, now_ns))

    def drop_idle(self, now_ns: int) -> None:
        """Forget the windows in which nothing is left, so that memory follows who is active."""
        for windows in (self._keys, self._orgs):
            for name in [n for n, log in windows.items() if not log or log[-1] <= now_ns - WINDOW_NS]:
                del windows[name]

    def __len__(self) -> int:
        return len(self._keys) + len(self._orgs)


def _current(windows: dict[str, deque[int]], name: str, now_ns: int) -> deque[int]:
    log = windows.get(name)
    if log is None:
        log = windows[name] = deque()
    while log and log[0] <= now_ns - WINDOW_NS:
        log.popleft()
    return log


def _wait_ns(log: deque[int], limit: int, now_ns: int) -> int:
    # All but limit - 1 of the requests must have left; more than one has to go when the limit was lowered.
    return log[len(log) - limit] + WINDOW_NS - now_ns if len(log) >= limit else 0


def _state(log: deque[int], limit: int, now_ns: int) -> WindowState:
    return WindowState(max(limit - len(log), 0), log[0] + WINDOW_NS - now_ns if log else 0)
