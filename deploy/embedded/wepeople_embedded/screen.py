"""The one screen that `wepeople up` prints when everything runs."""

import json
import os
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from wepeople_embedded.binaries import postgres
from wepeople_embedded.demo import Demo
from wepeople_embedded.state import DEFAULT_STATE_DIR, StateDir
from wepeople_embedded.system import System

EXTERNAL_ID = "eng-17"
EVENTS = {
    "events": [
        {
            "eventType": "deploy.shipped",
            "category": "code",
            "actor": {"externalId": EXTERNAL_ID},
            "duration": 612,
            "metadata": {"service": "checkout-api", "sha": "3c4d8a1", "env": "production"},
        }
    ]
}
SNAPSHOT = {
    "snapshotType": "oncall_queue",
    "actor": {"externalId": EXTERNAL_ID},
    "metrics": {
        "active": 2,
        "waiting": {"value": 5, "unit": "count", "label": "queued"},
        "p95_ack": {"value": 3.4, "unit": "minutes", "label": "p95 ack"},
    },
}
TIMELINE_QUERY = (
    "SELECT occurred_at, event_type, worker_id, metadata FROM live.timeline ORDER BY received_at DESC LIMIT 5"
)


def print_screen(console: Console, state: StateDir, system: System, demo: Demo | None) -> None:
    """Print the addresses and, with a demo, what to paste; lines are never wrapped."""
    lines = [
        "",
        "# WePeople Ingest is running. Ctrl-C stops it; the data stays.",
        *_facts(state, system, demo),
    ]
    if demo is not None:
        lines += ["", "# Try it:", *curl_lines(demo), "", "# Look at the result:", *_look_lines(state, demo)]
    for line in lines:
        style = "bold green" if line.startswith("#") else ""
        console.print(Text(line.removeprefix("# "), style=style), soft_wrap=True)


def _facts(state: StateDir, system: System, demo: Demo | None) -> list[str]:
    facts = {
        "gateway": system.gateway_url,
        "nats": system.nats.url,
        "postgres": demo.postgres_dsn + "  (reads the org Demo)" if demo else system.operator_dsn,
        "state": f"{state.path}  (logs in {state.logs})",
    }
    if demo is not None:
        facts["API key"] = demo.api_key
    return [f"  {name:9} {value}" for name, value in facts.items()]


def curl_lines(demo: Demo) -> list[str]:
    """Three requests to paste: ping, events, a snapshot."""
    curl = f"curl -sS -H 'Authorization: Bearer {demo.api_key}'"
    base = f"{demo.gateway_url}/api/v1/ingest"
    post = f"{curl} -H 'Content-Type: application/json'"
    return [
        f"{curl} {base}/ping",
        f"{post} {base}/events -d {shlex.quote(json.dumps(EVENTS))}",
        f"{post} {base}/snapshots -d {shlex.quote(json.dumps(SNAPSHOT))}",
    ]


def _look_lines(state: StateDir, demo: Demo) -> list[str]:
    wepeople = _short(Path(sys.executable).with_name("wepeople"))
    if state.path != DEFAULT_STATE_DIR.absolute():
        wepeople = f"WEPEOPLE_STATE_DIR={shlex.quote(str(state.path))} {wepeople}"
    return [
        f"{wepeople} timeline {EXTERNAL_ID}",
        f"{wepeople} status",
        f"{_short(postgres('psql'))} {shlex.quote(demo.postgres_dsn)} -c {shlex.quote(TIMELINE_QUERY)}",
    ]


def _short(path: Path) -> str:
    """A path to paste: relative where it is below the current directory."""
    relative = os.path.relpath(path)
    return shlex.quote(str(path) if relative.startswith("..") else relative)
