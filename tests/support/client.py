"""A client of the API for tests: it sends exactly what it is told, and shows the whole answer."""

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDict

from tests.support.tls import trusting

REQUEST_ID = re.compile(r"req_[0-9A-HJKMNP-TV-Z]{26}")


@dataclass(frozen=True, slots=True)
class Answer:
    """One response, read to its end."""

    status: int
    headers: CIMultiDict[str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body, which must be a JSON object."""
        value = json.loads(self.body)
        assert isinstance(value, dict), self
        return value


class Client:
    """Sends requests with one key over one pool of connections."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, key: str | None) -> None:
        self._session = session
        self._base = f"{base_url}/api/v1/ingest"
        self._authorization = {} if key is None else {"Authorization": f"Bearer {key}"}

    async def ping(self) -> Answer:
        """`GET /ping`."""
        return await self.send("GET", "/ping")

    async def events(self, rows: Sequence[Mapping[str, Any]], idempotency_key: str | None = None) -> Answer:
        """`POST /events` with these rows."""
        return await self.post("/events", json.dumps({"events": rows}).encode(), idempotency_key)

    async def post(self, path: str, body: bytes, idempotency_key: str | None = None) -> Answer:
        """`POST` a JSON body as it is."""
        headers = {"Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        return await self.send("POST", path, body, headers)

    async def send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Any request; an asynchronous iterator as body is sent in chunks."""
        async with self._session.request(
            method,
            self._base + path,
            data=body,
            headers={**self._authorization, **(headers or {})},
            skip_auto_headers=("Content-Type", "Accept-Encoding"),
        ) as response:
            return Answer(response.status, CIMultiDict(response.headers), await response.read())


@asynccontextmanager
async def client(base_url: str, key: str | None, *, timeout_seconds: float = 30.0) -> AsyncIterator[Client]:
    """A client whose connections are closed at the end."""
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    connector = aiohttp.TCPConnector(limit=0, ssl=trusting() if base_url.startswith("https:") else True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, auto_decompress=False) as session:
        yield Client(session, base_url, key)


def refusal(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """The error object of a refusal, which must be of this status and code and have the one shape."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"].partition(";")[0] == "application/json", answer
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code, answer
    assert isinstance(error["message"], str), answer
    assert error["message"], answer
    assert error["docsUrl"] == f"/developers/guide#errors-{code}", answer
    assert REQUEST_ID.fullmatch(error["requestId"]), answer
    assert error["requestId"] == answer.headers["X-Request-Id"], answer
    assert b"Traceback" not in answer.body, answer
    assert b'.py"' not in answer.body, answer
    return error
