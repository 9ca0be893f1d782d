"""What quota measures."""

from prometheus_client import Gauge

from wepeople_chassis.tallies import TallyMetric

VERDICTS = TallyMetric(
    "wepeople_quota_verdicts_total",
    "Verdicts given: granted; month (granted, but the month is full for some rows); seen; key or org (rate limited).",
    ["scope"],
)
OWNER = Gauge("wepeople_quota_owner", "1 while this process holds the lease and answers, 0 while it stands by.")
EPOCH = Gauge("wepeople_quota_epoch", "The epoch under which this process answers; 0 while it stands by.")
RESERVATIONS = Gauge("wepeople_quota_reservations", "Message ids for which events are reserved.")
LAG_MESSAGES = Gauge("wepeople_quota_lag_messages", "Stored messages that this process has not counted yet.")
UNSAVED_MESSAGES = Gauge(
    "wepeople_quota_unsaved_messages", "Sequences counted since the last save: what a crash would have counted again."
)

granted = VERDICTS.labels("granted")
month_full = VERDICTS.labels("month")
seen = VERDICTS.labels("seen")
limited = {"key": VERDICTS.labels("key"), "org": VERDICTS.labels("org")}
