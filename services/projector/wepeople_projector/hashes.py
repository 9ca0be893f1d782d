"""A set of 64-bit hashes in little memory: 16 to 32 bytes each, where a Python set of them takes a hundred."""

from array import array

_FIRST_SLOTS = 64
_EMPTY = 0


class Hashes:
    """Open addressing, at most half full. Of ten million different names, two have the same hash with a probability of
    one in 370,000.
    """

    __slots__ = ("_count", "_slots")

    def __init__(self) -> None:
        self._slots = _empty(_FIRST_SLOTS)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, value: int) -> bool:
        """Take in a hash (0 <= value < 2**64); whether it was not there yet."""
        if not _put(self._slots, value or 1):
            return False
        self._count += 1
        if self._count * 2 > len(self._slots):
            larger = _empty(len(self._slots) * 2)
            for present in self._slots:
                if present != _EMPTY:
                    _put(larger, present)
            self._slots = larger
        return True


def _empty(slots: int) -> "array[int]":
    return array("Q", bytes(8 * slots))


def _put(slots: "array[int]", value: int) -> bool:
    """Whether it was not there yet. There are free slots, and their number is a power of two."""
    last = len(slots) - 1
    at = value & last
    while (present := slots[at]) != _EMPTY:
        if present == value:
            return False
        at = (at + 1) & last
    slots[at] = value
    return True
