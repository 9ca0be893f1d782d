"""How the archive's objects are called; a name says what is in it, and no object is ever written twice.

`messages/history=H/partition=09/00000000000000000100.parquet` holds what partition 9 has after sequence 100, and its
footer says up to where. The next file's name is that sequence. Two archivers that write the same stretch write the same
name, and the storage lets one of them. What has no name yet is not there, so nothing is ever half visible.
"""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["messages", "events", "verified", "trimmed"]
"""Messages as they are in the stream; accepted events, flat; which files were compared; what left the stream."""

_ENDS = {"messages": "parquet", "events": "parquet", "verified": "json", "trimmed": "json"}
_NUMBERED = re.compile(r"(.*/)?(\d{20})\.(parquet|json)")
_DIGITS = 20
FOUNDED = "archive.json"
"""Is there once an archiver has tried that the storage refuses to write a name twice."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """One partition of one history: `history` is the stream's identity."""

    history: str
    partition: int

    def folder(self, kind: Kind) -> str:
        """Where the partition's objects of a kind are."""
        # Colons are for nobody's folders: `2026-11-24T153314.123Z`.
        history = re.sub(r"[^0-9A-Za-z.-]", "", self.history)
        return f"{kind}/history={history}/partition={self.partition:02}"

    def name(self, kind: Kind, number: int) -> str:
        """Of the object of a kind that begins after the sequence `number`."""
        return f"{self.folder(kind)}/{number:0{_DIGITS}}.{_ENDS[kind]}"


def number_of(name: str) -> int | None:
    """The sequence in an object's name; None when it is not one of ours."""
    match = _NUMBERED.fullmatch(name)
    return int(match[2]) if match else None
