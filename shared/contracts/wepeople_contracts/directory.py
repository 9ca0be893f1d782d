"""Facts of an org's directory, stored in the stream under the kind `directory`.

Everything a read model needs is in the stream (design §2.3): which orgs and apps there are, and whom the org employs.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct


class OrgFounded(Struct, frozen=True, kw_only=True, tag="org_founded"):
    """An org came into being. `salt` (32 random bytes) keys the worker ids derived for it."""

    fact_id: str
    org_id: str
    name: str
    salt: bytes
    occurred_at_us: int


class AppCreated(Struct, frozen=True, kw_only=True, tag="app_created"):
    """An org created an app, whose events are shown under `connection` (`custom:<slug>`)."""

    fact_id: str
    org_id: str
    app_id: str
    slug: str
    connection: str
    occurred_at_us: int


class DirectoryEntry(Struct, frozen=True, array_like=True):
    """One person of the org's directory; `email` is already trimmed and case-folded."""

    email: str
    name: Annotated[str, Meta(max_length=200)]


class WorkersImported(Struct, frozen=True, kw_only=True, tag="workers_imported"):
    """A directory import: each entry adopts the worker its email is bound to, or founds a new one."""

    fact_id: str
    org_id: str
    workers: list[DirectoryEntry]
    occurred_at_us: int


DirectoryFact = OrgFounded | AppCreated | WorkersImported

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[DirectoryFact] = msgspec.msgpack.Decoder(DirectoryFact)


def encode_fact(fact: DirectoryFact) -> bytes:
    """The bytes of a fact as they are stored."""
    return _encoder.encode(fact)


def decode_fact(data: bytes) -> DirectoryFact:
    """A fact from its stored bytes; `msgspec.DecodeError` (a `ValueError`) when they are not one."""
    return _decoder.decode(data)


def normalize_email(email: str) -> str:
    """The form in which emails are compared: trimmed and case-folded."""
    return email.strip().casefold()
