"""What "exactly once" is measured by: the messages that the stream holds, and the month that was charged."""

import json
from dataclasses import dataclass

from tests.support.client import Answer, client
from tests.support.operators import EVENT_TYPE, Caller, Operators
from tests.support.read_models import eventually
from wepeople_chassis.stream import stream_of
from wepeople_contracts.subjects import ingest_subject, partition_of


def events_body(*markers: str) -> bytes:
    """An events request with a row for each marker."""
    row = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}
    return json.dumps({"events": [row | {"metadata": {"marker": marker}} for marker in markers]}).encode()


async def stored_messages(operator: Operators, caller: Caller) -> int:
    """How many events requests of the app the stream holds that takes its partition."""
    subject = ingest_subject(caller.org_id, caller.app_id, "events")
    body = json.dumps({"subjects_filter": subject}).encode()
    stream = await stream_of(operator.connection, partition_of(caller.org_id))
    reply = await operator.connection.request(f"$JS.API.STREAM.INFO.{stream.name}", body, timeout=5)
    count: int = (json.loads(reply.data)["state"].get("subjects") or {}).get(subject, 0)
    return count


async def charged(operator: Operators, caller: Caller, events: int) -> None:
    """The month holds so many events of the org, and soon no reservation beside them."""
    await eventually(
        lambda: operator.usage(caller.org_id),
        lambda usage: (usage.used, usage.reserved) == (events, 0),
        what=f"{events} events charged and nothing reserved",
    )


def same(one: Answer, other: Answer) -> bool:
    """Byte for byte: status, body and content type."""
    return (one.status, one.body, one.headers["Content-Type"]) == (
        other.status,
        other.body,
        other.headers["Content-Type"],
    )


@dataclass(frozen=True, slots=True)
class Exactly:
    """One request of one app under one key, and what must be true of it in the end."""

    operator: Operators
    caller: Caller
    key: str = "the-key"
    markers: tuple[str, ...] = ("a", "b")

    async def send(self, url: str, timeout_seconds: float = 20.0) -> Answer:
        """Send it; always the same bytes."""
        async with client(url, self.caller.token, timeout_seconds=timeout_seconds) as api:
            return await api.post("/events", events_body(*self.markers), self.key)

    async def holds(self, *answers: Answer) -> None:
        """It is stored once and charged once, and all its answers are one."""
        assert answers[0].status == 202, answers[0]
        for answer in answers[1:]:
            assert same(answers[0], answer), answers
        originals = [answer for answer in answers if "Idempotent-Replayed" not in answer.headers]
        assert len(originals) <= 1, "of all that were answered only the first is no replay"
        assert await stored_messages(self.operator, self.caller) == 1
        await charged(self.operator, self.caller, len(self.markers))
