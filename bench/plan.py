"""How much is measured: rounds, seconds and rows, for the whole bench and for the quick one."""

from msgspec import Struct


class Shape(Struct, frozen=True, kw_only=True):
    """Requests of one kind, sent to the gateway and to the bare limit in turns.

    `requests` bounds a round where bodies are large, so that a run does not fill the disk.
    """

    name: str
    rows: int
    connections: int
    rounds: int
    seconds: float
    metadata_bytes: int = 0
    bodies: int = 20
    requests: int | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """Everything that differs between the two."""

    shapes: list[Shape]
    path_rounds: int
    path_seconds: float
    lag_seconds: float
    backlog_requests: int
    projector_rounds: int
    strangers_rounds: int
    reading_events: int
    reading_rounds: int
    replay_events: tuple[int, ...]
    replay_rounds: int
    beside_rounds: int
    beside_seconds: float
    calls: int
    profile_seconds: float
    keys: int
    scale_orgs: tuple[int, ...]
    scale_events: int
    scale_rounds: int
    scale_seconds: float


def _shapes(rounds: int, seconds: float, beside: int, beside_seconds: float) -> list[Shape]:
    """The guide's event, 500 and 1 to a request, then the same with larger metadata beside them."""
    return [
        Shape(name="500 rows of 220 B", rows=500, connections=8, rounds=rounds, seconds=seconds),
        Shape(name="1 row of 220 B", rows=1, connections=64, rounds=rounds, seconds=seconds, bodies=1000),
        Shape(
            name="500 rows, 1 KB metadata",
            rows=500,
            connections=8,
            rounds=beside,
            seconds=beside_seconds,
            metadata_bytes=1024,
        ),
        Shape(
            name="1 row, 1 KB metadata",
            rows=1,
            connections=64,
            rounds=beside,
            seconds=beside_seconds,
            metadata_bytes=1024,
            bodies=1000,
        ),
        Shape(
            name="500 rows, 8 KB metadata",
            rows=500,
            connections=4,
            rounds=beside,
            seconds=beside_seconds,
            metadata_bytes=8192,
            bodies=6,
            requests=60,
        ),
        Shape(
            name="1 row, 8 KB metadata",
            rows=1,
            connections=64,
            rounds=beside,
            seconds=beside_seconds,
            metadata_bytes=8192,
            bodies=200,
        ),
    ]


WHOLE = Plan(
    shapes=_shapes(6, 2.5, 3, 1.5),
    path_rounds=3,
    path_seconds=8.0,
    lag_seconds=15.0,
    backlog_requests=300,
    projector_rounds=4,
    strangers_rounds=2,
    reading_events=5_000_000,
    reading_rounds=7,
    replay_events=(100_000, 1_000_000, 10_000_000),
    replay_rounds=3,
    beside_rounds=5,
    beside_seconds=6.0,
    calls=2000,
    profile_seconds=12.0,
    keys=32,
    scale_orgs=(1, 16, 1000),
    scale_events=500_000,
    scale_rounds=2,
    scale_seconds=3.0,
)
QUICK = Plan(
    shapes=_shapes(3, 1.0, 1, 0.7),
    path_rounds=1,
    path_seconds=4.0,
    lag_seconds=4.0,
    backlog_requests=200,
    projector_rounds=2,
    strangers_rounds=1,
    reading_events=3_000_000,
    reading_rounds=3,
    replay_events=(50_000, 200_000, 500_000),
    replay_rounds=1,
    beside_rounds=3,
    beside_seconds=5.0,
    calls=400,
    profile_seconds=6.0,
    keys=16,
    scale_orgs=(16, 1000),
    scale_events=200_000,
    scale_rounds=1,
    scale_seconds=1.5,
)
