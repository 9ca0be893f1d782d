"""What auth measures."""

from prometheus_client import Gauge, Histogram

from wepeople_chassis.tallies import TallyMetric

AUTHENTICATIONS = TallyMetric(
    "wepeople_authentications_total",
    "Keys asked about: remembered (from memory), checked (by Postgres or bcrypt), invalid_key, unavailable, internal.",
    ["outcome"],
)
BCRYPT_SECONDS = Histogram(
    "wepeople_bcrypt_seconds",
    "One computation of bcrypt, without its wait for a thread.",
    buckets=(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5),
)
BCRYPT_WAITING = Gauge("wepeople_bcrypt_waiting", "Computations that wait for a thread.")
OUTBOX_FACTS = Gauge("wepeople_outbox_facts", "Directory facts that are committed and not yet known to be stored.")

remembered = AUTHENTICATIONS.labels("remembered")
checked = AUTHENTICATIONS.labels("checked")
invalid_key = AUTHENTICATIONS.labels("invalid_key")
unavailable = AUTHENTICATIONS.labels("unavailable")
internal = AUTHENTICATIONS.labels("internal")


def count_refusal(code: str) -> None:
    """Count an answer that is not a principal, by its error's code."""
    {"invalid_key": invalid_key, "unavailable": unavailable}.get(code, internal).count += 1
