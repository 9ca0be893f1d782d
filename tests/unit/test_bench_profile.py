"""Samples become words: the innermost known frame says what the process was busy with."""

import pytest

from bench.where import profile_of, work_of

LOOP = ("/usr/lib/python3/asyncio/runners.py:Runner.run",)
HANDLER = ("/x/wepeople_gateway/ingest/handler.py:IngestHandler._ingest", *LOOP)


@pytest.mark.parametrize(
    ("stack", "words"),
    [
        (("/x/wepeople_gateway/ingest/rules.py:actor_error", *HANDLER), "judging rows"),
        (("/x/asyncio/locks.py:Event.wait", "/x/nats/aio/client.py:Client.request", *HANDLER), "NATS client"),
        (LOOP, "event loop and the kernel"),
    ],
)
def test_the_innermost_known_frame_decides(stack: tuple[str, ...], words: str) -> None:
    assert work_of(stack) == words


def test_shares_are_of_all_samples_after_the_start() -> None:
    starting = ("/x/wepeople_gateway/app.py:<module>", "<frozen importlib._bootstrap>:_load")
    judging = ("/x/wepeople_gateway/ingest/decide.py:judge_event", *HANDLER)
    found = profile_of("gateway", [(judging, 3), (LOOP, 1), (starting, 100)])
    assert found.by_work == [("judging rows", 0.75), ("event loop and the kernel", 0.25)]
    assert found.by_function == [("ingest/decide.py judge_event", 0.75), ("asyncio/runners.py Runner.run", 0.25)]
