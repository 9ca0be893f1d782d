"""The clients' own ledger: what they sent, what they were promised, and what the read models make of it. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Gauge:
    """What a snapshot says, and of whom; `observed_at_us` is its own timestamp."""

    external_id: str
    snapshot_type: str
    observed_at_us: int


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request under one Idempotency-Key, however often it was tried; each row carries a marker of its own."""

    key: str
    markers: tuple[str, ...]
    sent_at: float
    gauge: Gauge | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong with the timeline: empty when every promise was kept. The keys are markers."""

    lost: frozenset[str] = frozenset()
    doubled: frozenset[str] = frozenset()
    renamed: frozenset[str] = frozenset()
    strangers: frozenset[str] = frozenset()
    torn: frozenset[str] = frozenset()

    def all(self) -> dict[str, frozenset[str]]:
        """The findings by name, without the empty ones."""
        named = {name: getattr(self, name) for name in ("lost", "doubled", "renamed", "strangers", "torn")}
        return {name: markers for name, markers in named.items() if markers}


@dataclass(slots=True)
class Ledger:
    """Requests by their key: sent, and either promised (event ids in the rows' order), refused, or still unknown."""

    sent: dict[str, SentRequest] = field(default_factory=dict)
    promised: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def send(self, request: SentRequest) -> None:
        """Note a request before its first attempt."""
        self.sent[request.key] = request

    def promise(self, request: SentRequest, event_ids: Iterable[str]) -> None:
        """Note the event ids of a 202."""
        self.promised[request.key] = tuple(event_ids)

    def refuse(self, request: SentRequest, why: str) -> None:
        """Note an answer that a good request must never get."""
        self.refused[request.key] = why

    @property
    def unknown(self) -> list[SentRequest]:
        """Requests without an answer: each may be stored once, or not at all."""
        return [r for key, r in self.sent.items() if key not in self.promised and key not in self.refused]

    def promised_events(self) -> int:
        """How many events were accepted."""
        return sum(len(ids) for key, ids in self.promised.items() if self.sent[key].gauge is None)

    def request_of(self, marker: str) -> SentRequest | None:
        """The request that carried a marker: its key is all before the last dash."""
        return self.sent.get(marker.rpartition("-")[0])

    def compare_events(self, timeline: Iterable[tuple[str, str]]) -> Findings:
        """Judge the timeline's rows, (marker, event id) each."""
        rows = list(timeline)
        count = Counter(marker for marker, _ in rows)
        stored = dict(rows)
        events = [request for request in self.sent.values() if request.gauge is None]
        expected = {
            marker: event_id
            for request in events
            for marker, event_id in zip(request.markers, self.promised.get(request.key, ()), strict=False)
        }
        return Findings(
            lost=frozenset(expected.keys() - stored.keys()),
            doubled=frozenset(marker for marker, times in count.items() if times > 1),
            renamed=frozenset(m for m, event_id in expected.items() if stored.get(m, event_id) != event_id),
            strangers=frozenset(stored.keys() - {marker for request in events for marker in request.markers}),
            # A request is in the stream as a whole or not at all, answered or not.
            torn=frozenset(
                request.markers[0]
                for request in events
                if 0 < sum(marker in stored for marker in request.markers) < len(request.markers)
            ),
        )

    def compare_snapshots(self, latest: Mapping[tuple[str, str], str]) -> list[str]:
        """Judge the latest snapshots, marker by (external id, snapshot type); what is wrong, in words."""
        promised: dict[tuple[str, str], SentRequest] = {}
        for request in self.sent.values():
            if request.gauge is None or request.key not in self.promised:
                continue
            place = (request.gauge.external_id, request.gauge.snapshot_type)
            if place not in promised or _observed(promised[place]) < request.gauge.observed_at_us:
                promised[place] = request
        wrong = [f"{place} is missing" for place in promised.keys() - latest.keys()]
        for place, marker in latest.items():
            shown = self.request_of(marker)
            if shown is None or shown.gauge is None or shown.gauge.external_id != place[0]:
                wrong.append(f"{place} shows {marker}, which was never sent for it")
            elif place in promised and _observed(shown) < _observed(promised[place]):
                wrong.append(f"{place} shows {marker}, but {promised[place].markers[0]} is newer and was accepted")
        return wrong


def _observed(request: SentRequest) -> int:
    assert request.gauge is not None
    return request.gauge.observed_at_us
