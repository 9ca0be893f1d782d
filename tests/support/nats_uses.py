"""Who says and who hears each subject, and who makes each call of JetStream's: what the permissions must come to."""

from dataclasses import dataclass

from wepeople_contracts import subjects

SERVICES = {"gateway", "auth", "quota", "projector"}
READERS = {"quota", "projector", "analyst", "operator"}
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
    "lease_subject": [Use(subjects.lease_subject("INGEST_1"), {"quota"}, set())],
    "leaving_subject": [Use(subjects.leaving_subject("INGEST_1"), {"quota"}, {"quota"})],
    "sharing_subject": [Use(subjects.sharing_subject("INGEST_1"), set(), set())],
    "stream_subjects": [Use(subject, set(), set()) for subject in subjects.stream_subjects({3, 4})],
    "split_subject": [Use(subjects.split_subject("INGEST_8"), {"provision"}, set())],
    "auth_command": [Use(subjects.auth_command("create_key"), {"operator"}, {"auth"})],
    "ready_subject": [Use(subjects.ready_subject(service), {"operator"}, {service}) for service in sorted(SERVICES)],
}
ASKERS = {
    "gateway": {"operator"},
    "auth": {"gateway", "operator"},
    "quota": {"gateway", "operator", "quota"},
    "projector": {"gateway", "operator"},
}
"""Into whose inboxes a service answers."""

NO_SUBJECTS = {"LEASE_BUCKET", "LEASE_STREAM", "PARTITIONS", "NO_APP"}
TAKING_APART = {"partitions_in", "partition_of", "partition_token", "parse_ingest_subject", "IngestSubject"}

CALLS = {
    "STREAM.INFO.INGEST": SERVICES | READERS | {"provision"},
    "STREAM.CREATE.INGEST": {"provision"},
    "STREAM.UPDATE.INGEST": {"provision"},
    "STREAM.MSG.GET.INGEST": {"gateway", "projector", "analyst", "operator", "provision"},
    "STREAM.SNAPSHOT.INGEST": {"provision"},
    "STREAM.RESTORE.INGEST": {"provision"},
    "STREAM.DELETE.INGEST": {"provision"},
    "CONSUMER.CREATE.INGEST.read-1.ingest.3.*.*.*": READERS,
    "CONSUMER.INFO.INGEST.read-1": READERS,
    "CONSUMER.MSG.NEXT.INGEST.read-1": READERS,
    "CONSUMER.DELETE.INGEST.read-1": READERS,
    "STREAM.INFO.KV_quota-lease": {"provision", "quota", "operator"},
    "STREAM.CREATE.KV_quota-lease": {"provision"},
    "STREAM.UPDATE.KV_quota-lease": {"provision"},
    "STREAM.MSG.GET.KV_quota-lease": {"quota", "operator"},
    "STREAM.NAMES": SERVICES | READERS,
    "INFO": {"provision"},
}

SNAPSHOTS = ("$JS.SNAPSHOT.ACK.INGEST.x", "$JS.SNAPSHOT.RESTORE.INGEST.x")
"""How a copy is taken and put back, by the provisioner alone."""

SUBJECTS = [use for uses in USES.values() for use in uses] + [
    Use(subject, {"provision"}, set()) for subject in SNAPSHOTS
]
"""All of them."""

FORBIDDEN_CALLS = (
    "STREAM.PURGE.INGEST",
    "STREAM.MSG.DELETE.INGEST",
    "STREAM.DELETE.KV_quota-lease",
    "STREAM.PURGE.KV_quota-lease",
    "STREAM.CREATE.OTHER",
    "STREAM.LIST",
    "CONSUMER.NAMES.INGEST",
    "CONSUMER.LIST.INGEST",
    "CONSUMER.CREATE.INGEST",
    "CONSUMER.CREATE.KV_quota-lease.read-1.>",
    "CONSUMER.DURABLE.CREATE.INGEST.read-1",
    "DIRECT.GET.INGEST",
)
"""Nobody's."""
