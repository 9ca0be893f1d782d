"""A client of the gateway for one command: standard library only, no proxy, no redirect."""

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_SECONDS = 30.0
_ATTEMPTS = 3
_PAUSE_SECONDS = 1.0
_UNAVAILABLE = 503
_BASE_PATH = "/api/v1/ingest"


class GatewayAway(Exception):
    """The gateway gave no answer that it would give."""


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """Status and JSON body of an answer."""

    status: int
    body: dict[str, Any]

    def describe(self) -> str:
        """The refusal in words."""
        error = self.body.get("error", {})
        return f"{self.status} {error.get('code', '')}: {error.get('message', self.body)}"


class GatewayClient:
    """Speaks to one gateway with one key; `ValueError` when the URL is none."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url} is not a gateway's URL, such as http://127.0.0.1:8080")
        self._parts = parts
        self._key = key

    def ping(self) -> GatewayAnswer:
        """Whose key it is."""
        return self._send("GET", "/ping", None, {})

    def post(self, path: str, body: bytes, idempotency_key: str) -> GatewayAnswer:
        """Post a JSON body; one that got no answer is sent again under the same key, which is stored once."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        for _ in range(_ATTEMPTS - 1):
            try:
                answer = self._send("POST", path, body, headers)
                if answer.status != _UNAVAILABLE:
                    return answer
            except GatewayAway:
                pass
            time.sleep(_PAUSE_SECONDS)
        return self._send("POST", path, body, headers)

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> GatewayAnswer:
        connection_type = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        assert self._parts.hostname is not None
        connection = connection_type(self._parts.hostname, self._parts.port, timeout=_SECONDS)
        target = self._parts.path.rstrip("/") + _BASE_PATH + path
        try:
            connection.request(method, target, body, {"Authorization": f"Bearer {self._key}", **headers})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException) as error:
            raise GatewayAway(
                f"The gateway at {self._parts.netloc} does not answer: {error}. Is it running?"
            ) from error
        except ValueError as error:
            raise GatewayAway(f"What answers at {self._parts.netloc} is not a gateway: {error}") from error
        finally:
            connection.close()
        return GatewayAnswer(response.status, answer if isinstance(answer, dict) else {})
