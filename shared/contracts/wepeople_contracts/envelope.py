"""The envelope: one accepted request, as it is stored in the stream.

MessagePack, because it frames the rows' raw bytes by length and never escapes them again (500 rows of 220 bytes:
encode 18 µs, decode 55 µs).

How it may change: fields are only ever added, with a default. When a field changes its meaning or goes, the version
is raised and an upcaster from the version before joins `UPCASTERS`; what is stored stays as it is. See
docs/adr/0002-envelope.md.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from wepeople_contracts.upcasting import Chain, Upcaster

ENVELOPE_VERSION = 1
RENDERER_VERSION = 1
UPCASTERS: Mapping[int, Upcaster] = {}
"""By the version that each takes: version 1 is the only one so far."""

MSG_ID_HEADER = "Nats-Msg-Id"


class Charge(Struct, frozen=True, array_like=True):
    """What the request costs the org: the fold of these is the month's usage.

    `period` is a UTC month such as `2026-04`; `epoch` names the quota owner that granted it (0: nobody was asked).
    `event_ids` are those of the charged rows whose sender named them: the fold charges each once a month, so it takes
    one unit off for every one that an earlier envelope of the month has charged.
    """

    period: str
    units: int
    epoch: int
    event_ids: list[str] = []


class AcceptedRow(Struct, frozen=True, array_like=True, gc=False):
    """A row as received, and the id it has. `named`: its sender gave the id, so the first of it in the stream counts,
    here or earlier; `duplicate`: an earlier one was known when the request was answered.
    """

    index: int
    event_id: str
    raw: bytes
    named: bool = False
    duplicate: bool = False


class RejectedRow(Struct, frozen=True, array_like=True, gc=False):
    """A row as received, and why it was refused."""

    index: int
    code: str
    message: str
    field: str | None
    retryable: bool
    raw: bytes


class Envelope(Struct, frozen=True, kw_only=True):
    """One request whose rows were judged. `received_at_us` is microseconds since 1970 UTC; `fingerprint` is the
    SHA-256 of the body after decompression; `renderer` names the function that turns this into the response.
    """

    version: int = ENVELOPE_VERSION
    renderer: int = RENDERER_VERSION
    kind: Literal["events", "snapshot"]
    request_id: str
    message_id: str
    org_id: str
    app_id: str
    connection: str
    key_id: str
    received_at_us: int
    fingerprint: bytes
    charge: Charge
    accepted: list[AcceptedRow]
    rejected: list[RejectedRow]


class EnvelopeHead(Struct, frozen=True, kw_only=True):
    """What quota folds: the envelope without its rows, which the decoder skips."""

    version: int = ENVELOPE_VERSION
    org_id: str
    app_id: str
    connection: str
    message_id: str
    received_at_us: int
    charge: Charge


_SHORT_ARRAY = 0x9
_LENGTH_BYTES = {0xDC: 2, 0xDD: 4}


class EnvelopeOutline(Struct, frozen=True, kw_only=True):
    """For who needs no accepted row: the decoder skips them, a quarter of its work. `accepted_count` is how many."""

    version: int = ENVELOPE_VERSION
    kind: Literal["events", "snapshot"]
    request_id: str
    org_id: str
    app_id: str
    connection: str
    received_at_us: int
    accepted: msgspec.Raw
    rejected: list[RejectedRow]

    @property
    def accepted_count(self) -> int:
        """From the head of MessagePack's array; `msgspec.DecodeError` when it is none."""
        head = bytes(memoryview(self.accepted)[:5])
        if head[0] in _LENGTH_BYTES:
            return int.from_bytes(head[1 : 1 + _LENGTH_BYTES[head[0]]], "big")
        if head[0] >> 4 == _SHORT_ARRAY:
            return head[0] & 0x0F
        raise msgspec.DecodeError("accepted is not an array")


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)
_head_decoder = msgspec.msgpack.Decoder(EnvelopeHead)
_outline_decoder = msgspec.msgpack.Decoder(EnvelopeOutline)
_chain = Chain("envelope", ENVELOPE_VERSION, UPCASTERS)


def encode(envelope: Envelope) -> bytes:
    """The bytes of an envelope as they are stored."""
    return _encoder.encode(envelope)


def decode(data: bytes) -> Envelope:
    """An envelope from its stored bytes, of whatever version; `NewerVersion` when this release does not know it,
    `msgspec.DecodeError` when the bytes are not an envelope. Both are `ValueError`.
    """
    return _chain.read(_decoder, data)


def decode_head(data: bytes) -> EnvelopeHead:
    """Only what quota folds; the errors are those of `decode`."""
    return _chain.read(_head_decoder, data)


def decode_outline(data: bytes) -> EnvelopeOutline:
    """All but the accepted rows; the errors are those of `decode`."""
    return _chain.read(_outline_decoder, data)
