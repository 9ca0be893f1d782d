"""`wepeople rejects`: rows that were rejected, and sending them again as they were received."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wepeople_chassis.operator import Operator, fail, run, show, stderr
from wepeople_contracts.ids import new_id
from wepeople_projector.gateway_client import GatewayAnswer, GatewayAway, GatewayClient
from wepeople_projector.reading import Row, find_org, read_models, rows

LIST_COLUMNS = ("received_at", "connection", "request_id", "row_index", "code", "field", "message")
SHOW_COLUMNS = ("row_index", "code", "field", "message", "raw")
RETRY_COLUMNS = ("row_index", "status", "event_id", "code", "message")


def list_rejects(target: str | None, code: str | None, limit: int, as_json: bool) -> None:
    """The newest rejected rows: of everybody, of an org, or of one app (`ORG/APP`)."""

    async def work(operator: Operator) -> None:
        org, _, slug = (target or "").partition("/")
        async with read_models(operator) as models:
            org_id = await find_org(models, org) if org else None
            app = f"custom:{slug}" if slug else None
            found = await rows(models, "rejects", org_id=org_id, app=app, code=code, limit=limit)
        show(found, columns=LIST_COLUMNS, as_json=as_json, empty="Nothing was rejected in the last 14 days.")

    run(work)


def show_rejects(request_id: str, index: int | None, as_json: bool) -> None:
    """A request's rejected rows as they were received."""

    async def work(operator: Operator) -> None:
        found = await _chosen(operator, request_id, [] if index is None else [index])
        show(found, columns=SHOW_COLUMNS, as_json=as_json)

    run(work)


def retry_rejects(request_id: str, indices: Sequence[int], key: str, gateway: str | None, as_json: bool) -> None:
    """Send a request's rejected rows again; exit 1 unless every one is accepted now."""
    url = gateway or _demo_gateway()
    try:
        client = GatewayClient(url, key)
    except ValueError as error:
        fail(str(error))

    async def work(operator: Operator) -> None:
        chosen = await _chosen(operator, request_id, indices)
        try:
            answer = await asyncio.to_thread(_send_again, client, chosen)
        except GatewayAway as away:
            fail(str(away), 1)
        if "results" not in answer.body:
            fail(f"The gateway refused: {answer.describe()}", 1)
        show(breakdown(chosen, answer.body["results"]), columns=RETRY_COLUMNS, as_json=as_json)
        if answer.body["rejected"]:
            fail(f"{answer.body['rejected']} of {len(chosen)} rows were rejected again.", 1)
        if not as_json:
            stderr.print(
                f"Accepted as {answer.body['requestId']}. The rejected rows stay listed for their 14 days: "
                "sent once more, those without an id of their sender's would be there twice."
            )

    run(work)


def body_of(chosen: Sequence[Row]) -> tuple[str, bytes]:
    """The endpoint and the body that carry these rows again, each byte for byte as it was received."""
    if chosen[0]["kind"] == "snapshot":
        return "/snapshots", chosen[0]["raw"].encode()
    return "/events", f'{{"events":[{",".join(row["raw"] for row in chosen)}]}}'.encode()


def breakdown(chosen: Sequence[Row], results: Sequence[dict[str, Any]]) -> list[Row]:
    """The answer's rows under the numbers that they had in the first request."""
    found = []
    for result in results:
        error = result.get("error", {})
        found.append(
            {
                "row_index": chosen[result["index"]]["row_index"],
                "status": result["status"],
                "event_id": result.get("eventId"),
                **{name: error.get(name) for name in ("code", "field", "message", "retryable")},
            }
        )
    return found


async def _chosen(operator: Operator, request_id: str, indices: Sequence[int]) -> list[Row]:
    async with read_models(operator) as models:
        found = await rows(models, "rejects_of_request", request_id=request_id)
    if not found:
        fail(
            f"No rejected row of {request_id} is here: none was rejected, or it is more than 14 days ago. "
            f"`wepeople request {request_id}` shows what became of it.",
            1,
        )
    missing = set(indices) - {row["row_index"] for row in found}
    if missing:
        fail(f"{request_id} has no rejected row {', '.join(map(str, sorted(missing)))}.", 1)
    return [row for row in found if not indices or row["row_index"] in indices]


def _send_again(client: GatewayClient, chosen: Sequence[Row]) -> GatewayAnswer:
    """Send rows again, with a key of the app that sent them: events and workers belong to the key's app."""
    mine = client.ping()
    if "app" not in mine.body:
        return mine
    holder, app = (mine.body["organizationId"], f"custom:{mine.body['app']['slug']}"), chosen[0]
    if holder != (app["org_id"], app["connection"]):
        fail(f"The key is of {holder[1]} in {holder[0]}, the rows are of {app['connection']} in {app['org_id']}.", 1)
    path, body = body_of(chosen)
    return client.post(path, body, new_id("retry"))


def _demo_gateway() -> str:
    """The gateway that `wepeople up` left the address of."""
    file = Path(os.environ.get("WEPEOPLE_STATE_DIR", ".wepeople")) / "demo.json"
    if not file.exists():
        fail(f"No gateway found: {file} is not there. Give --gateway URL, or set WEPEOPLE_GATEWAY_URL.")
    url: str = json.loads(file.read_text())["gatewayUrl"]
    return url
