"""What quota measures. Of what each process has for each stream, the label `stream` says of which."""

from prometheus_client import Gauge

from wepeople_chassis.tallies import TallyMetric

VERDICTS = TallyMetric(
    "wepeople_quota_verdicts_total",
    "Verdicts given: granted; month (granted, but the month is full for some rows); seen; key or org (rate limited).",
    ["scope"],
)
OWNER = Gauge(
    "wepeople_quota_owner",
    "1 while this process holds the stream's lease and answers for its orgs, 0 while it stands by.",
    ["stream"],
)
EPOCH = Gauge(
    "wepeople_quota_epoch", "The epoch under which this process answers for a stream; 0 while it stands by.", ["stream"]
)
RESERVATIONS = Gauge("wepeople_quota_reservations", "Message ids for which events are reserved.", ["stream"])
LAG_MESSAGES = Gauge(
    "wepeople_quota_lag_messages", "Stored messages of a stream that this process has not counted yet.", ["stream"]
)
UNSAVED_MESSAGES = Gauge(
    "wepeople_quota_unsaved_messages",
    "Sequences counted since the last save: what a crash would have counted again.",
    ["stream"],
)

granted = VERDICTS.labels("granted")
month_full = VERDICTS.labels("month")
seen = VERDICTS.labels("seen")
limited = {"key": VERDICTS.labels("key"), "org": VERDICTS.labels("org")}
