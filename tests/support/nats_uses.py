"""Who says and who hears each subject, and who makes each call of JetStream's: what the permissions must come to."""

from dataclasses import dataclass

from wepeople_contracts import subjects

SERVICES = {"gateway", "auth", "quota", "projector", "archiver"}
READERS = {"quota", "projector", "archiver", "trimmer", "analyst", "operator"}
ORG, APP = "org_1", "app_1"


@dataclass(frozen=True)
class Use:
    """Who publishes a subject, and who subscribes to it; an answer to it is neither."""

    subject: str
    says: set[str]
    hears: set[str]


USES = {
    "AUTHENTICATE": [Use(subjects.AUTHENTICATE, {"gateway"}, {"auth"})],
    "KEY_REVOKED": [Use(subjects.KEY_REVOKED, {"auth"}, {"auth", "gateway"})],
    "QUOTA_ALL": [Use(subjects.QUOTA_ALL, {"gateway"}, {"quota"})],
    "REQUEST_STATUS": [Use(subjects.REQUEST_STATUS, {"gateway"}, {"projector"})],
    "PROJECTED_ALL": [Use(subjects.PROJECTED_ALL, {"projector"}, {"gateway", "analyst", "operator"})],
    "STREAM_SUBJECTS": [Use(subjects.STREAM_SUBJECTS, set(), set())],
    "ingest_subject": [
        Use(subjects.ingest_subject(ORG, APP, "events"), {"gateway"}, set()),
        Use(subjects.ingest_subject(ORG, APP, "snapshot"), {"gateway"}, set()),
        Use(subjects.ingest_subject(ORG, subjects.NO_APP, "directory"), {"auth"}, set()),
    ],
    "partition_filter": [Use(subjects.partition_filter(3), set(), set())],
    "org_filter": [Use(subjects.org_filter(ORG), set(), set())],
    "projected_subject": [Use(subjects.projected_subject(3), {"projector"}, {"gateway", "analyst", "operator"})],
    "reserve_subject": [Use(subjects.reserve_subject(ORG), {"gateway"}, {"quota"})],
    "release_subject": [Use(subjects.release_subject(ORG), {"gateway"}, {"quota"})],
    "usage_subject": [Use(subjects.usage_subject(ORG), {"gateway", "operator"}, {"quota"})],
    "quota_filter": [Use(subjects.quota_filter(3), {"gateway"}, {"quota"})],
    "lease_subject": [Use(subjects.lease_subject(stream), {"quota"}, set()) for stream in subjects.STREAMS],
    "leaving_subject": [Use(subjects.leaving_subject("INGEST_1"), {"quota"}, {"quota"})],
    "sharing_subject": [Use(subjects.sharing_subject("INGEST_1"), {"quota"}, {"quota"})],
    "stream_subjects": [Use(subject, set(), set()) for subject in subjects.stream_subjects({3, 4})],
    "split_subject": [
        Use(subjects.split_subject(stream), {"provision", "gateway"}, set()) for stream in subjects.STREAMS
    ],
    "auth_command": [Use(subjects.auth_command("create_key"), {"operator"}, {"auth"})],
    "ready_subject": [Use(subjects.ready_subject(service), {"operator"}, {service}) for service in sorted(SERVICES)],
}
ASKERS = {
    "gateway": {"operator"},
    "auth": {"gateway", "operator"},
    "quota": {"gateway", "operator", "quota"},
    "projector": {"gateway", "operator"},
    "archiver": {"operator"},
}
"""Into whose inboxes a service answers."""

NO_SUBJECTS = {"LEASE_BUCKET", "LEASE_STREAM", "PARTITIONS", "NO_APP"}
TAKING_APART = {"partitions_in", "partition_of", "partition_token", "parse_ingest_subject", "IngestSubject"}

PROVISION = {"provision"}
CALLS_OF_A_STREAM = {
    "STREAM.INFO.*": SERVICES | READERS | PROVISION | {"copier"},
    "STREAM.CREATE.*": PROVISION,
    "STREAM.UPDATE.*": PROVISION,
    "STREAM.MSG.GET.*": {"gateway", "projector", "archiver", "trimmer", "analyst", "operator", "provision"},
    "STREAM.SNAPSHOT.*": PROVISION | {"copier"},
    "STREAM.RESTORE.*": PROVISION,
    "STREAM.DELETE.*": PROVISION,
    "STREAM.PURGE.*": PROVISION | {"trimmer"},
    "CONSUMER.LIST.*": {"trimmer"},
    "CONSUMER.CREATE.*.read-1.ingest.3.*.*.*": READERS | PROVISION,
    "CONSUMER.CREATE.*.count-1": PROVISION,
    "CONSUMER.INFO.*.read-1": READERS | PROVISION,
    "CONSUMER.MSG.NEXT.*.read-1": READERS | PROVISION,
    "CONSUMER.DELETE.*.read-1": READERS | PROVISION,
}
"""The same for each of the names that streams may have, which stands where the first star is."""

CALLS = {
    call.replace("*", stream, 1): users for stream in subjects.STREAMS for call, users in CALLS_OF_A_STREAM.items()
} | {
    "STREAM.NAMES": SERVICES | READERS | PROVISION,
    "STREAM.INFO.KV_quota-lease": {"provision", "quota", "operator"},
    "STREAM.CREATE.KV_quota-lease": PROVISION,
    "STREAM.UPDATE.KV_quota-lease": PROVISION,
    "STREAM.MSG.GET.KV_quota-lease": {"quota", "operator"},
    "INFO": PROVISION,
}

SNAPSHOTS = {"ACK": PROVISION | {"copier"}, "RESTORE": PROVISION}
"""Who takes a copy, and who puts it back."""

SUBJECTS = [use for uses in USES.values() for use in uses] + [
    Use(f"$JS.SNAPSHOT.{way}.{stream}.x", says, set()) for way, says in SNAPSHOTS.items() for stream in subjects.STREAMS
]
"""All of them."""

FORBIDDEN_CALLS = (
    *(f"STREAM.{call}.INGEST_16" for call in ("INFO", "CREATE", "UPDATE", "DELETE", "PURGE", "MSG.GET")),
    "STREAM.MSG.DELETE.INGEST",
    "STREAM.MSG.DELETE.INGEST_8",
    "STREAM.DELETE.KV_quota-lease",
    "STREAM.PURGE.KV_quota-lease",
    "STREAM.CREATE.OTHER",
    "STREAM.LIST",
    "CONSUMER.NAMES.INGEST",
    "CONSUMER.LIST.KV_quota-lease",
    "CONSUMER.CREATE.INGEST",
    "CONSUMER.CREATE.KV_quota-lease.read-1.>",
    "CONSUMER.DURABLE.CREATE.INGEST.read-1",
    "DIRECT.GET.INGEST",
)
"""Nobody's."""
