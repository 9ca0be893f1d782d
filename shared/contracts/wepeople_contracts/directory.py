"""Facts of an org's directory, stored in the stream under the kind `directory`.

Everything a read model needs is in the stream (design §2.3): which orgs and apps there are, and whom the org employs.
They change as envelopes do (docs/adr/0002-envelope.md): all facts have one version, and one chain of upcasters.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from wepeople_contracts.upcasting import Chain, Upcaster

FACT_VERSION = 1
UPCASTERS: Mapping[int, Upcaster] = {}
"""By the version that each takes; the field `type` tells it which fact it has. Version 1 is the only one so far."""


class OrgFounded(Struct, frozen=True, kw_only=True, tag="org_founded"):
    """An org came into being. `salt` (32 random bytes) keys the worker ids derived for it."""

    version: int = FACT_VERSION
    fact_id: str
    org_id: str
    name: str
    salt: bytes
    occurred_at_us: int


class AppCreated(Struct, frozen=True, kw_only=True, tag="app_created"):
    """An org created an app, whose events are shown under `connection` (`custom:<slug>`)."""

    version: int = FACT_VERSION
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

    version: int = FACT_VERSION
    fact_id: str
    org_id: str
    workers: list[DirectoryEntry]
    occurred_at_us: int


DirectoryFact = OrgFounded | AppCreated | WorkersImported

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[DirectoryFact] = msgspec.msgpack.Decoder(DirectoryFact)
_chain = Chain("fact", FACT_VERSION, UPCASTERS)


def encode_fact(fact: DirectoryFact) -> bytes:
    """The bytes of a fact as they are stored."""
    return _encoder.encode(fact)


def decode_fact(data: bytes) -> DirectoryFact:
    """A fact from its stored bytes, of whatever version; `NewerVersion` when this release does not know it,
    `msgspec.DecodeError` when the bytes are not a fact. Both are `ValueError`.
    """
    return _chain.read(_decoder, data)


def normalize_email(email: str) -> str:
    """The form in which emails are compared: trimmed and case-folded."""
    return email.strip().casefold()
