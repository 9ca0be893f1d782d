"""What the archiver measures."""

from prometheus_client import Counter, Gauge

ARCHIVED_MESSAGES = Counter("wepeople_archiver_messages_total", "Messages archived: in a file, and verified.")
ARCHIVED_BYTES = Counter("wepeople_archiver_file_bytes_total", "Bytes of the files of messages that were written.")
FILES = Counter("wepeople_archiver_files_total", "Files of messages that were written and verified.")
STORAGE_FAILURES = Counter(
    "wepeople_archiver_storage_failures_total", "Times that the object storage did not answer, after its own retries."
)
WAITING_BYTES = Gauge("wepeople_archiver_waiting_bytes", "Bytes read from the stream that are in no file yet.")
LAG_MESSAGES = Gauge("wepeople_archiver_lag_messages", "Stored messages that are in no verified file yet.")
LAG_SECONDS = Gauge(
    "wepeople_archiver_lag_seconds", "How long ago the oldest message was stored that is in no verified file yet."
)
