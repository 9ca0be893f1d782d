"""What the command line's commands do: ask auth over NATS, and print the answer."""

import json
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from nats.aio.client import Client
from pydantic import BaseModel, ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from wepeople_auth.worker_csv import Directory, read_workers
from wepeople_chassis.operator import Operator, fail, operator_connection, show, stderr, stdout
from wepeople_chassis.rpc import Refused, Unavailable, call
from wepeople_contracts.operators import (
    AllowEventTypes,
    App,
    AppList,
    ChangePlan,
    CreateApp,
    CreateKey,
    CreateOrg,
    Imported,
    ImportedWorker,
    ImportWorkers,
    Key,
    KeyList,
    ListApps,
    ListKeys,
    NewKey,
    Nothing,
    Org,
    OrgList,
    RevokeKey,
)
from wepeople_contracts.subjects import auth_command

T = TypeVar("T", bound=BaseModel)

CHUNK_WORKERS = 5_000
COMMAND_SECONDS = 15.0
SHOWN_PROBLEMS = 20


async def checked(work: Awaitable[None]) -> None:
    """Do a command's work; a value that no command may carry is named, with exit code 2."""
    try:
        await work
    except ValidationError as error:
        for problem in error.errors():
            stderr.print(f"{problem['loc'][0]} {problem['input']!r}: {problem['msg']}", highlight=False, markup=False)
        fail("Nothing was sent. `--help` shows what fits.")


async def create_org(operator: Operator, name: str, plan: str, *, as_json: bool) -> None:
    """Found an org."""
    async with operator_connection(operator) as connection:
        org = await _ask(connection, "create_org", CreateOrg(name=name, plan=plan), Org)
    _told(org, f"Org {org.name!r} is founded on the plan {org.plan.name}: {org.org_id}", as_json=as_json)


async def change_plan(operator: Operator, org: str, plan: str, *, as_json: bool) -> None:
    """Move an org to another plan."""
    async with operator_connection(operator) as connection:
        command = ChangePlan(org_id=await _find_org(connection, org), plan=plan)
        changed = await _ask(connection, "change_plan", command, Org)
    told = f"Org {changed.name!r} is on the plan {changed.plan.name}, at every gateway within 60 seconds."
    _told(changed, told, as_json=as_json)


async def list_orgs(operator: Operator, *, as_json: bool) -> None:
    """Show every org."""
    async with operator_connection(operator) as connection:
        orgs = await _orgs(connection)
    rows = [org.model_dump(mode="json") for org in orgs]
    if not as_json:
        rows = [row | {"plan": row["plan"]["name"]} for row in rows]
    show(
        rows,
        columns=["org_id", "name", "plan", "created_at"],
        as_json=as_json,
        empty="No orgs yet. Found one: wepeople org create NAME",
    )


async def create_app(operator: Operator, org: str, slug: str, event_types: list[str], *, as_json: bool) -> None:
    """Create an app."""
    async with operator_connection(operator) as connection:
        org_id = await _find_org(connection, org)
        command = CreateApp(org_id=org_id, slug=slug, allowed_event_types=event_types)
        app = await _ask(connection, "create_app", command, App)
    hint = "" if event_types else f" It may not send any event yet: wepeople app allow {app.app_id} TYPE"
    _told(app, f"App {app.slug!r} is created: {app.app_id}.{hint}", as_json=as_json)


async def list_apps(operator: Operator, org: str, *, as_json: bool) -> None:
    """Show an org's apps."""
    async with operator_connection(operator) as connection:
        apps = await _apps(connection, await _find_org(connection, org))
    show(
        apps,
        columns=["app_id", "slug", "connection", "allowed_event_types", "created_at"],
        as_json=as_json,
        empty="This org has no apps yet. Create one: wepeople app create ORG SLUG",
    )


async def allow_event_types(operator: Operator, app: str, event_types: list[str], *, as_json: bool) -> None:
    """Add to an app's whitelist."""
    async with operator_connection(operator) as connection:
        command = AllowEventTypes(app_id=await _find_app(connection, app), event_types=event_types)
        changed = await _ask(connection, "allow_event_types", command, App)
    text = f"App {changed.slug!r} may send: {', '.join(changed.allowed_event_types)}. All gateways know in a minute."
    _told(changed, text, as_json=as_json)


async def create_key(
    operator: Operator, app: str, name: str, requests_per_second: int | None, *, as_json: bool
) -> None:
    """Issue a key and print its token, for the only time."""
    async with operator_connection(operator) as connection:
        app_id = await _find_app(connection, app)
        command = CreateKey(app_id=app_id, name=name, requests_per_second=requests_per_second)
        issued = await _ask(connection, "create_key", command, NewKey)
    text = (
        f"Key {issued.key.key_id} of app {issued.key.app_id}:\n\n    {issued.token}\n\n"
        "This is the only time it is shown. Copy it now: only its hash is kept; a lost key is replaced by a new one."
    )
    _told(issued, text, as_json=as_json)


async def list_keys(operator: Operator, app: str, *, as_json: bool) -> None:
    """Show an app's keys."""
    async with operator_connection(operator) as connection:
        app_id = await _find_app(connection, app)
        keys = (await _ask(connection, "list_keys", ListKeys(app_id=app_id), KeyList)).keys
    show(
        keys,
        columns=["key_id", "name", "requests_per_second", "created_at", "revoked_at"],
        as_json=as_json,
        empty="This app has no keys yet. Issue one: wepeople key create APP",
    )


async def revoke_key(operator: Operator, key_id: str, *, as_json: bool) -> None:
    """Revoke a key for good."""
    async with operator_connection(operator) as connection:
        key = await _ask(connection, "revoke_key", RevokeKey(key_id=key_id), Key)
    _told(key, f"Key {key.key_id} is revoked. Every gateway refuses it from now on.", as_json=as_json)


async def import_workers(operator: Operator, org: str, file: Path, *, as_json: bool) -> None:
    """Bring a CSV file's people into an org's directory; nothing is sent unless every line is good."""
    workers = _read_file(file).workers
    imported, sequence = 0, 0
    async with operator_connection(operator) as connection:
        org_id = await _find_org(connection, org)
        columns = TextColumn("importing"), BarColumn(), MofNCompleteColumn()
        with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as progress:
            bar = progress.add_task("", total=len(workers))
            for start in range(0, len(workers), CHUNK_WORKERS):
                chunk = workers[start : start + CHUNK_WORKERS]
                sequence = (await _import_chunk(connection, org_id, chunk, imported)).sequence
                imported += len(chunk)
                progress.update(bar, completed=imported)
    done = Imported(count=imported, sequence=sequence)
    _told(done, f"{imported} workers are imported; the last of them stand at sequence {sequence}.", as_json=as_json)


async def _import_chunk(connection: Client, org_id: str, chunk: list[ImportedWorker], imported: int) -> Imported:
    try:
        return await _ask(connection, "import_workers", ImportWorkers(org_id=org_id, workers=chunk), Imported)
    except (Refused, Unavailable):
        if imported:
            stderr.print(f"The first {imported} workers are in. Import the file again: twice in is the same as once.")
        raise


def _read_file(file: Path) -> Directory:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            directory = read_workers(lines)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        fail(f"{file} is not UTF-8 text. Save it as CSV in UTF-8.")
    if directory.bad_lines:
        for bad in directory.bad_lines[:SHOWN_PROBLEMS]:
            stderr.print(f"{file}, line {bad.line}: {bad.problem}", highlight=False, markup=False)
        count = len(directory.bad_lines)
        fail(f"{count} bad {'line' if count == 1 else 'lines'}; nothing was imported. Mend the file and try again.")
    if not directory.workers:
        fail(f"{file} names nobody: there is only the header.")
    return directory


async def _find_org(connection: Client, org: str) -> str:
    """The id of the org of that id or, when only one has it, that name."""
    if org.startswith("org_"):
        return org
    found = [o.org_id for o in await _orgs(connection) if o.name == org]
    if not found:
        fail(f"There is no org named {org!r}. `wepeople org list` shows all.", 1)
    if len(found) > 1:
        fail(f"{len(found)} orgs are named {org!r}: {', '.join(found)}. Give the id of the one you mean.", 1)
    return found[0]


async def _find_app(connection: Client, app: str) -> str:
    """The id of the app of that id, or of that `ORG/slug`."""
    org, slash, slug = app.rpartition("/")
    if not slash:
        return app
    for candidate in await _apps(connection, await _find_org(connection, org)):
        if candidate.slug == slug:
            return candidate.app_id
    return str(fail(f"The org {org} has no app {slug!r}. `wepeople app list {org}` shows its apps.", 1))


async def _orgs(connection: Client) -> list[Org]:
    return (await _ask(connection, "list_orgs", Nothing(), OrgList)).orgs


async def _apps(connection: Client, org_id: str) -> list[App]:
    return (await _ask(connection, "list_apps", ListApps(org_id=org_id), AppList)).apps


async def _ask(connection: Client, name: str, request: BaseModel, ok: type[T]) -> T:
    return await call(connection, auth_command(name), request, ok, timeout_seconds=COMMAND_SECONDS)


def _told(answer: BaseModel, text: str, *, as_json: bool) -> None:
    """Print what was done: as one JSON object for scripts, else in words."""
    if as_json:
        print(json.dumps(answer.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        stdout.print(text, highlight=False, markup=False)
