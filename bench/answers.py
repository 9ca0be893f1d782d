"""Just enough of HTTP to read answers on a kept connection. Pure: bytes in, answers out."""

from typing import NamedTuple

_LENGTH = b"content-length:"
_REQUEST_ID = b"x-request-id:"


class Answer(NamedTuple):
    """One response: its status, its `X-Request-Id` (empty when it had none), its body's first bytes."""

    status: int
    request_id: str
    start_of_body: bytes


class AnswerReader:
    """Fed with what arrives on one connection that has one request open at a time; needs `Content-Length`."""

    def __init__(self) -> None:
        self._head = b""
        self._answer: Answer | None = None
        self._missing = 0

    def feed(self, data: bytes) -> Answer | None:
        """The answer, once its last byte is there; `ValueError` for an answer without a length."""
        if self._answer is None:
            self._head += data
            head, separator, data = self._head.partition(b"\r\n\r\n")
            if not separator:
                return None
            self._head = b""
            self._missing = int(_field(head, _LENGTH) or _no_length(head))
            self._answer = Answer(int(head[9:12]), _field(head, _REQUEST_ID).decode(), data[:300])
        self._missing -= len(data)
        if self._missing > 0:
            return None
        answer, self._answer = self._answer, None
        return answer


def _field(head: bytes, name: bytes) -> bytes:
    start = head.lower().find(b"\r\n" + name)
    if start < 0:
        return b""
    end = head.find(b"\r\n", start + 2)
    return head[start + 2 + len(name) : end if end >= 0 else len(head)].strip()


def _no_length(head: bytes) -> bytes:
    raise ValueError(f"an answer without Content-Length: {head[:200]!r}")
