"""How messages are cut into transactions: by size; and by number too where Postgres has refused something."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

from wepeople_chassis.stream import Batch, StoredMessage

_FINER = 8
_COARSER = 2
_ANY_NUMBER = 4096


class Cut:
    """One partition's. Each refusal makes the parts an eighth as long, down to single messages; then they grow again,
    so that many refusals in a row cost little.
    """

    def __init__(self) -> None:
        self._most = _ANY_NUMBER

    def refine(self, count: int) -> None:
        """One of so many messages was refused."""
        self._most = max(1, count // _FINER)

    def parts(self, messages: list[StoredMessage], limit: Callable[[], int]) -> Iterator[list[StoredMessage]]:
        """Parts that fit into one transaction; no message is one empty part, which moves the checkpoint."""
        part: list[StoredMessage] = []
        size = 0
        for message in messages:
            part.append(message)
            size += len(message.data)
            if size >= limit() or len(part) >= self._most:
                self._most = min(self._most * _COARSER, _ANY_NUMBER)
                yield part
                part, size = [], 0
        if part or not messages:
            yield part


def groups_of(messages: list[StoredMessage], size: int) -> Iterator[list[StoredMessage]]:
    """The messages in groups that have so many bytes, or a little more."""
    group: list[StoredMessage] = []
    taken = 0
    for message in messages:
        group.append(message)
        taken += len(message.data)
        if taken >= size:
            yield group
            group, taken = [], 0
    if group:
        yield group


async def gathered(batches: AsyncIterator[Batch], limit: Callable[[], int]) -> AsyncGenerator[Batch]:
    """What arrives, put together until it has its bytes, as long as more is on its way: each transaction costs the same
    however little is in it.
    """
    messages: list[StoredMessage] = []
    size = 0
    async for batch in batches:
        messages += batch.messages
        size += sum(len(message.data) for message in batch.messages)
        if batch.messages and batch.pending and size < limit():
            continue
        yield Batch(messages, batch.through, batch.pending)
        messages, size = [], 0
