"""The one place that spells a NATS subject.

Worker ids and keys never appear in a subject: the number of subjects costs the server memory and speed (design §4).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

PARTITIONS = 16
STREAMS = ("INGEST", *(f"INGEST_{number}" for number in range(1, PARTITIONS)))
"""The names that streams may have. Each that there is takes some of the partitions, and has their whole history."""

STREAM_SUBJECTS = "ingest.*.*.*.*"
"""Matches every message of every partition."""

Kind = Literal["events", "snapshot", "directory"]

NO_APP = "-"
"""Stands in the app's place of a subject for facts that belong to the whole org."""

AUTHENTICATE = "rpc.auth.authenticate"
KEY_REVOKED = "fact.key_revoked"
QUOTA_ALL = "rpc.quota.*.*"
"""Matches whatever quota is asked and told about an org."""

LEASE_BUCKET = "quota-lease"
LEASE_STREAM = f"KV_{LEASE_BUCKET}"


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


def stream_subjects(partitions: Iterable[int]) -> list[str]:
    """What a stream that has these partitions takes."""
    taken = sorted(set(partitions))
    return [STREAM_SUBJECTS] if len(taken) == PARTITIONS else [partition_filter(partition) for partition in taken]


def partitions_in(subjects: Iterable[str]) -> frozenset[int]:
    """The partitions of which a stream with these subjects, or a reader with these filters, gets something."""
    found = set[int]()
    for subject in subjects:
        beginning, _, rest = subject.partition(".")
        token = rest.partition(".")[0]
        if beginning != "ingest":
            continue
        if token in ("*", ">"):
            return frozenset(range(PARTITIONS))
        if token.isascii() and token.isdigit() and int(token) < PARTITIONS:
            found.add(int(token))
    return frozenset(found)


def split_subject(stream: str) -> str:
    """Where one message marks the cut by which this stream left another, and where that other stream is asked later for
    message ids of before. Of no partition, so that no reader sees it.
    """
    return f"split.{stream}"


def org_filter(org_id: str) -> str:
    """Matches every message of one org."""
    return f"ingest.{partition_of(org_id)}.{org_id}.*.*"


REQUEST_STATUS = "rpc.projector.request_status"
PROJECTED_ALL = "fact.projected.*"


def projected_subject(partition: int) -> str:
    """Where the projector says how far a partition's read models have come, after each commit."""
    return f"fact.projected.{partition}"


def quota_filter(partition: int) -> str:
    """Matches whatever quota is asked and told about an org of one partition."""
    return f"rpc.quota.{partition}.*"


def reserve_subject(org_id: str) -> str:
    """Where the owner of the org's partition answers whether a request may pass."""
    return f"rpc.quota.{partition_of(org_id)}.reserve"


def release_subject(org_id: str) -> str:
    """Where the owner of the org's partition takes a reservation back."""
    return f"rpc.quota.{partition_of(org_id)}.release"


def usage_subject(org_id: str) -> str:
    """Where the owner of the org's partition answers what the org has used of its month."""
    return f"rpc.quota.{partition_of(org_id)}.usage"


def lease_subject(stream: str) -> str:
    """The entry of the key-value bucket that says which process of quota answers for a stream's partitions."""
    return f"$KV.{LEASE_BUCKET}.{stream}"


def leaving_subject(stream: str) -> str:
    """Where the owner of a stream says that it is about to stop: asks a standby to listen too, then tells what it
    answered.
    """
    return f"fact.quota_leaving.{stream}"


def sharing_subject(stream: str) -> str:
    """Where the owner of a stream learns that another process would take it."""
    return f"fact.quota_sharing.{stream}"


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
        raise ValueError(f"{subject!r} is not a subject of a stream")
    return IngestSubject(int(parts[1]), parts[2], parts[3], parts[4])
