"""What could not be applied: kept with the reason, for somebody to decide."""

from msgspec import Struct

from wepeople_chassis.stream import StoredMessage

WHOLE_MESSAGE = -1


class Parked(Struct, frozen=True, gc=False):
    """A message, or one row of it (`row_index`), that a projection could not take, and why.

    `waits`: it is not at fault itself, but comes of a worker after a row that is. `worker_id` is "" where nobody knows.
    """

    message: StoredMessage
    row_index: int
    org_id: str
    worker_id: str
    reason: str
    waits: bool = False
