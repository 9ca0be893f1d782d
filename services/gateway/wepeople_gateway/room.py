"""How many connections there is room for: a new one takes the place of the one that has waited longest."""

import resource
from typing import Protocol

from wepeople_chassis.logging import get_logger

log = get_logger(__name__)

_OTHER_FILES = 128
"""What the process opens beside its clients' connections."""


class Guest(Protocol):
    """A connection, as far as its place is concerned."""

    @property
    def waits(self) -> bool:
        """Whether no request of it is being answered."""
        ...

    def leave(self) -> None:
        """Close at once."""
        ...


class Room:
    """The open connections, the one that was used longest ago first. Nobody who only waits keeps another out."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._guests: dict[Guest, None] = {}

    def enter(self, guest: Guest) -> bool:
        """Give a new connection a place, or leave it its own; False when all others are being answered."""
        if guest in self._guests:
            return True
        if len(self._guests) >= self._places:
            longest = next((guest for guest in self._guests if guest.waits), None)
            if longest is None:
                return False
            # It says so itself once it is closed, but its place is free from now on.
            self.left(longest)
            longest.leave()
        self._guests[guest] = None
        return True

    def used(self, guest: Guest) -> None:
        """Take note that a request was answered on a connection."""
        if guest in self._guests:
            del self._guests[guest]
            self._guests[guest] = None

    def left(self, guest: Guest) -> None:
        """Take note that a connection is closed."""
        self._guests.pop(guest, None)

    def __len__(self) -> int:
        return len(self._guests)


def open_files_for(connections: int) -> int:
    """Raise the process's limit of open files for so many connections; how many it really has room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < needed:
            log.warning("fewer_connections_than_set", wanted=connections, open_files=hard)
            return max(1, soft - _OTHER_FILES)
    return connections
