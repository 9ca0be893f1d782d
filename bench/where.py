"""From samples of a process to words: where its processor time goes. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.figures import Profile

TOP = 15

Stacks = Iterable[tuple[Sequence[str], int]]

WORK = (
    ("wepeople_gateway/ingest/decode.py", "splitting the body into rows"),
    ("wepeople_gateway/ingest/decide.py", "judging rows"),
    ("wepeople_gateway/ingest/rules.py", "judging rows"),
    ("wepeople_gateway/ingest/body.py", "reading the body"),
    ("wepeople_gateway/ingest/command.py", "event ids and sealing the envelope"),
    ("wepeople_contracts/ids.py", "event ids and sealing the envelope"),
    ("wepeople_contracts/envelope.py", "encoding or decoding the envelope"),
    ("wepeople_gateway/ingest/respond.py", "rendering the answer"),
    ("wepeople_gateway/ingest/publish.py", "publishing to JetStream"),
    ("wepeople_gateway/budgets.py", "asking quota"),
    ("wepeople_gateway/principals.py", "knowing the caller"),
    ("wepeople_gateway/ingest/handler.py", "fingerprint and order of decisions"),
    ("wepeople_quota/fold.py", "folding the stream into the month"),
    ("wepeople_quota/ledger.py", "folding the stream into the month"),
    ("wepeople_quota/count.py", "folding the stream into the month"),
    ("wepeople_quota/", "verdicts"),
    ("wepeople_projections/folding/decode.py", "decoding rows"),
    ("wepeople_projections/folding/memory.py", "resolving workers"),
    ("wepeople_projections/folding/knowing.py", "resolving workers"),
    ("wepeople_projections/folding/identity.py", "resolving workers"),
    ("wepeople_projector/models/", "handlers"),
    ("wepeople_projections/postgres/", "packing and sending COPY"),
    ("wepeople_projections/running/", "running"),
    ("wepeople_projections/", "folding"),
    ("wepeople_chassis/reader.py", "reading the stream"),
    ("psycopg", "Postgres client"),
    ("/nats/", "NATS client"),
    ("/aiohttp/", "HTTP server"),
    ("structlog", "logging"),
)


def work_of(stack: Sequence[str]) -> str:
    """What a sample was busy with: the innermost frame that the list above knows."""
    for frame in stack:
        for part, words in WORK:
            if part in frame:
                return words
    return "event loop and the kernel"


def profile_of(process: str, stacks: Stacks) -> Profile:
    """Shares of all samples, the largest first; importing at the start is left out."""
    by_work: Counter[str] = Counter()
    by_function: Counter[str] = Counter()
    for stack, samples in stacks:
        if any("importlib" in frame for frame in stack):
            continue
        by_work[work_of(stack)] += samples
        by_function[_short(stack[0])] += samples
    total = by_work.total() or 1
    return Profile(
        process=process,
        by_work=[(words, number / total) for words, number in by_work.most_common()],
        by_function=[(name, number / total) for name, number in by_function.most_common(TOP)],
    )


def _short(frame: str) -> str:
    path, _, function = frame.rpartition(":")
    return f"{'/'.join(Path(path).parts[-2:])} {function}"
