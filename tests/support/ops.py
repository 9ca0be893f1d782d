"""The ops port of a service's process: what it says of its readiness, and its metrics as numbers."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from wepeople_embedded.ports import HOST
from wepeople_embedded.services import ServiceProcess


@dataclass(frozen=True, slots=True)
class Ops:
    """One process's."""

    port: int

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of any path."""
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://{HOST}:{self.port}{path}") as answer,
        ):
            return answer.status, await answer.text()

    async def ready(self) -> tuple[int, dict[str, str]]:
        """The status of `/readyz`, and what each check says."""
        status, body = await self.get("/readyz")
        checks: dict[str, str] = json.loads(body)["checks"]
        return status, checks

    async def metrics(self) -> "Metrics":
        """What `/metrics` says now."""
        status, body = await self.get("/metrics")
        assert status == 200, body
        samples = (sample for family in text_string_to_metric_families(body) for sample in family.samples)
        return Metrics({(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples})


@dataclass(frozen=True, slots=True)
class Metrics:
    """The samples of one scrape."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float:
        """One sample's value; 0 for one that was never counted."""
        return self.samples.get((name, frozenset(labels.items())), 0.0)

    def labels(self, name: str, label: str) -> set[str]:
        """All values of a label."""
        return {dict(found)[label] for sample, found in self.samples if sample == name}


def log_lines(log_path: Path) -> list[dict[str, Any]]:
    """What a process has logged so far, of all its starts."""
    return [json.loads(line) for line in log_path.read_text().splitlines() if line.startswith("{")]


def ops_of(service: ServiceProcess) -> Ops:
    """Of a process that runs, by what its log says of its last start."""
    listening = [line for line in log_lines(service.child.log_path) if line["event"] == "ops_listening"]
    return Ops(listening[-1]["port"])
