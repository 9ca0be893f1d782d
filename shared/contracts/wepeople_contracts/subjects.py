"""The one place that spells a NATS subject.

Worker ids and keys never appear in a subject: the number of subjects costs the server memory and speed (design §4).
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

STREAM = "INGEST"
STREAM_SUBJECTS = "ingest.*.*.*.*"
PARTITIONS = 16

Kind = Literal["events", "snapshot", "directory"]

NO_APP = "-"
"""Stands in the app's place of a subject for facts that belong to the whole org."""

AUTHENTICATE = "rpc.auth.authenticate"
KEY_REVOKED = "fact.key_revoked"
RELEASE = "rpc.quota.release"
USAGE = "rpc.quota.usage"
RESERVE_ALL = "rpc.quota.*.reserve"
"""Matches `reserve_subject` of every partition."""

LEASE_BUCKET = "quota-lease"
LEASE_STREAM = f"KV_{LEASE_BUCKET}"
LEASE_SUBJECT = f"$KV.{LEASE_BUCKET}.owner"
"""The one entry of the key-value bucket: which process of quota may answer."""

LEAVING = "fact.quota_leaving"
"""Where quota's owner says that it is about to stop: asks a standby to listen too, then tells what it answered."""


@lru_cache(maxsize=65_536)
def partition_of(org_id: str) -> int:
    """The partition that holds the whole ordered history of an org; stable across processes and releases."""
    return int.from_bytes(hashlib.blake2b(org_id.encode(), digest_size=2).digest(), "big") % PARTITIONS


def ingest_subject(org_id: str, app_id: str, kind: Kind) -> str:
    """The subject under which one envelope of an app (or, with `NO_APP`, of the org) is stored."""
    return f"ingest.{partition_of(org_id)}.{org_id}.{app_id}.{kind}"


def partition_filter(partition: int) -> str:
    """Matches every message of one partition."""
    return f"ingest.{partition}.*.*.*"


def partition_token(subject: str) -> str:
    """The partition as a stored message's subject, or the filter of a partition, spells it."""
    return subject.split(".", 2)[1]


def org_filter(org_id: str) -> str:
    """Matches every message of one org."""
    return f"ingest.{partition_of(org_id)}.{org_id}.*.*"


REQUEST_STATUS = "rpc.projector.request_status"
PROJECTED_ALL = "fact.projected.*"


def projected_subject(partition: int) -> str:
    """Where the projector says how far a partition's read models have come, after each commit."""
    return f"fact.projected.{partition}"


def reserve_subject(org_id: str) -> str:
    """Where the owner of the org's partition answers whether a request may pass."""
    return f"rpc.quota.{partition_of(org_id)}.reserve"


def auth_command(name: str) -> str:
    """Where auth answers an operator's command or question, such as `create_org`."""
    return f"rpc.auth.operator.{name}"


def ready_subject(service: str) -> str:
    """Where a service answers once it can work; silence means that it cannot."""
    return f"rpc.{service}.ready"


@dataclass(frozen=True, slots=True)
class IngestSubject:
    """A stored message's subject, taken apart."""

    partition: int
    org_id: str
    app_id: str
    kind: str


def parse_ingest_subject(subject: str) -> IngestSubject:
    """Take apart a subject of the stream; a `ValueError` for any other."""
    parts = subject.split(".")
    if len(parts) != 5 or parts[0] != "ingest":  # noqa: PLR2004
        raise ValueError(f"{subject!r} is not a subject of the stream {STREAM}")
    return IngestSubject(int(parts[1]), parts[2], parts[3], parts[4])
