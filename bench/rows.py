"""What is sent: request bodies of the guide's own event, each row with an actor of its own. Pure."""

import json
from typing import Any

EVENT_TYPE = "deploy.shipped"


def event(actor: int, timestamp: str, metadata_bytes: int = 0) -> dict[str, Any]:
    """The guide's event (about 220 bytes of JSON) of one actor; its metadata filled up to `metadata_bytes`."""
    metadata: dict[str, Any] = {"service": "checkout-api", "sha": "3c4d8a1", "env": "production"}
    if metadata_bytes:
        files = metadata["files"] = []
        line = "services/checkout/src/payment/module-{:05}.py"
        line_bytes = len(json.dumps([line.format(0), ""])) - len(json.dumps([""]))
        files += [line.format(n) for n in range((metadata_bytes - len(json.dumps(metadata))) // line_bytes)]
    return {
        "eventType": EVENT_TYPE,
        "category": "code",
        "timestamp": timestamp,
        "actor": {"externalId": f"eng-{actor:07}"},
        "duration": 612,
        "metadata": metadata,
    }


def body(first_actor: int, rows: int, timestamp: str, metadata_bytes: int = 0) -> bytes:
    """A request body of `rows` events, whose actors are numbered from `first_actor`."""
    events = [event(first_actor + n, timestamp, metadata_bytes) for n in range(rows)]
    return json.dumps({"events": events}).encode()


def bodies(count: int, rows: int, timestamp: str, metadata_bytes: int = 0, first_actor: int = 0) -> list[bytes]:
    """`count` bodies; no two rows of them have the same actor."""
    return [body(first_actor + n * rows, rows, timestamp, metadata_bytes) for n in range(count)]


def http_request(payload: bytes, *, path: str, host: str, token: str) -> bytes:
    """The bytes of one POST on a connection that is kept."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload
