"""Who may talk to whom: the arrows of the design's picture, as the NetworkPolicies must let them through.

Read by `tests/unit/test_manifests_network.py`, which compares the manifests with them, and by `reach.py`, which tries
them in a cluster. A part is a value of the label `wepeople.io/part`.
"""

Arrow = tuple[str, str, int]
"""From, to, port."""

SERVICES = ("gateway", "auth", "quota", "projector", "archiver")
USES_NATS = {"gateway", "auth", "quota", "projector", "provision", "analyst", "operator", "copier", "archiver"}
USES_POSTGRES = USES_NATS - {"gateway", "copier", "archiver"}
"""The gateway has no database, and who copies the streams or archives them needs none."""

PARTS = (*sorted(USES_NATS), "nats", "postgres")

THE_INGRESS = "namespace wepeople.io/ingress=true"
THE_MONITORING = "namespace wepeople.io/monitoring=true"
_THE_OPERATOR_OF_POSTGRES = "namespace kubernetes.io/metadata.name=cnpg-system"

DRAWN: set[Arrow] = {
    *((user, "nats", 4222) for user in USES_NATS),
    *((user, "postgres", 5432) for user in USES_POSTGRES),
    ("operator", "gateway", 8080),
}
FROM_OUTSIDE: set[Arrow] = {
    (THE_INGRESS, "gateway", 8080),
    *((THE_MONITORING, service, 9090) for service in SERVICES),
}
IN_PRODUCTION_TOO: set[Arrow] = {
    ("nats", "nats", 6222),
    *(("postgres", "postgres", port) for port in (5432, 8000)),
}
FROM_OUTSIDE_IN_PRODUCTION_TOO: set[Arrow] = {
    (THE_MONITORING, "nats", 7777),
    (THE_MONITORING, "postgres", 9187),
    *((_THE_OPERATOR_OF_POSTGRES, "postgres", port) for port in (5432, 8000)),
}
OUT: set[Arrow] = {
    *((part, "0.0.0.0/0", 443) for part in ("archiver", "quota", "projector", "operator", "analyst")),
}
"""To the archive's bucket, once there is an archive."""
OUT_IN_PRODUCTION: set[Arrow] = {
    *((service, "namespace kubernetes.io/metadata.name=observability", 4318) for service in SERVICES),
    *(("postgres", "0.0.0.0/0", port) for port in (443, 6443)),
}


def arrows(overlay: str) -> set[Arrow]:
    """All arrows of an overlay, `dev` or `production`."""
    always = DRAWN | FROM_OUTSIDE | OUT
    if overlay == "dev":
        return always
    return always | IN_PRODUCTION_TOO | FROM_OUTSIDE_IN_PRODUCTION_TOO | OUT_IN_PRODUCTION
