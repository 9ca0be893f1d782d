"""Identifiers: how each is made, and from what.

Derived ids are pure functions, so that every rebuild of a read model finds the same ones.
"""

import base64
import hashlib
import re
import secrets

from ulid import ULID

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_BASE32_PAIRS = tuple(first + second for first in _BASE32 for second in _BASE32)
_ROW_SUFFIXES = tuple(_CROCKFORD[n >> 10] + _CROCKFORD[(n >> 5) & 31] + _CROCKFORD[n & 31] for n in range(1024))

KEY_PATTERN = re.compile(r"wp_live_([0-9a-f]{12})[0-9a-f]{20}")
"""A whole key; the group is its public id."""


def new_id(prefix: str) -> str:
    """A fresh, time-ordered id such as `org_01J…` for prefix `org`."""
    return f"{prefix}_{ULID()}"


def new_request_id() -> str:
    """`req_` + ULID: cited in support, carried in `X-Request-Id`, stored in the envelope."""
    return f"req_{ULID()}"


def event_id(request_id: str, row: int) -> str:
    """The id of one row of one request: `evt_` + the request's ULID + the row in three characters.

    Unique because request ids are, and ordered by time, which keeps the read model's index append-only. Why not a
    hash of the message id: docs/adr/0001-event-ids.md.
    """
    return f"evt_{request_id[4:]}{_ROW_SUFFIXES[row]}"


def client_event_id(app_id: str, client_id: str) -> str:
    """The id of an event that its sender named: the same name from the same app is the same event, for ever.

    As long as the other kind, and of other letters (lower case), so that neither can be taken for the other.
    """
    digest = hashlib.blake2b(f"{app_id}\0{client_id}".encode(), digest_size=18).digest()
    return "evt_" + base64.b32encode(digest).decode().rstrip("=").lower()


def message_id(app_id: str, method: str, path: str, idempotency_key: str) -> str:
    """`Nats-Msg-Id` of a request: the same key of the same app and endpoint is the same message (design §2.2)."""
    text = "\0".join((app_id, method, path, idempotency_key))
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def worker_id(org_salt: bytes, kind: str, scope: str, value: str) -> str:
    """The id of a provisioned worker, derived from the identifier it was first seen with.

    `org_salt` is the random value of the org's founding fact: without it nobody can guess a worker's id.
    """
    digest = hashlib.blake2b("\0".join((kind, scope, value)).encode(), key=org_salt, digest_size=15).digest()
    # What base64.b32encode makes in lower case, in a third of its time: a stream of strangers derives one for each row.
    bits = int.from_bytes(digest, "big")
    return "wrk_" + "".join([_BASE32_PAIRS[bits >> shift & 1023] for shift in range(110, -1, -10)])


def new_key() -> str:
    """A bearer key: `wp_live_` + 32 lowercase hex, of which the first 12 are its public id (80 secret bits remain)."""
    return f"wp_live_{secrets.token_hex(16)}"


def key_public_id(token: str) -> str | None:
    """The public id inside a key, or None when the token is not shaped like a key."""
    match = KEY_PATTERN.fullmatch(token)
    return match[1] if match else None
