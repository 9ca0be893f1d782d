"""The commands that operators type, through the real `wepeople`, against the real service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.auth_process import Auth, refusal, running_auth
from tests.support.fresh import Fresh, Template, fresh_system
from tests.support.shell import Result, as_operator

CommandLine = Callable[..., Awaitable[Result]]


@pytest.fixture(scope="module")
async def home(template: Template) -> AsyncIterator[Fresh]:
    async with fresh_system(template) as ready:
        yield ready


@pytest.fixture(scope="module")
async def auth(home: Fresh, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Auth]:
    async with running_auth(home.nats_url, home.dsn("auth"), tmp_path_factory.mktemp("auth") / "auth.log") as running:
        yield running


@pytest.fixture
def wepeople(home: Fresh, auth: Auth, tmp_path: Path) -> CommandLine:
    return partial(as_operator, home, WEPEOPLE_STATE_DIR=str(tmp_path))


async def test_from_nothing_to_a_working_key_and_its_end(wepeople: CommandLine, auth: Auth) -> None:
    org = (await wepeople("org", "create", "Acme Inc.", "--plan", "scale", "--json")).json
    app = (await wepeople("app", "create", "Acme Inc.", "ci", "--allow", "deploy.shipped", "--json")).json
    assert app["org_id"] == org["org_id"]
    allowed = (await wepeople("app", "allow", "Acme Inc./ci", "review.done", "incident.opened", "--json")).json
    assert allowed["allowed_event_types"] == ["deploy.shipped", "incident.opened", "review.done"]
    issued = (
        await wepeople("key", "create", app["app_id"], "--name", "build", "--rate-per-second", "9", "--json")
    ).json
    principal = await auth.authenticate(issued["token"])
    assert (principal.org_id, principal.key_requests_per_second) == (org["org_id"], 9)
    [listed] = (await wepeople("key", "list", "Acme Inc./ci", "--json")).json
    assert listed == issued["key"]
    assert issued["token"] not in (await wepeople("key", "list", app["app_id"])).stdout
    revoked = (await wepeople("key", "revoke", listed["key_id"], "--json")).json
    assert revoked["revoked_at"] is not None
    assert (await refusal(auth.authenticate(issued["token"]))).code == "invalid_key"


async def test_for_people_ids_are_shown_whole_and_a_token_stands_alone_on_its_line(
    wepeople: CommandLine, auth: Auth
) -> None:
    org = await auth.org("People")
    assert org.org_id in (await wepeople("org", "list")).stdout
    created = await wepeople("app", "create", org.org_id, "ci")
    [app] = (await wepeople("app", "list", "People", "--json")).json
    assert f"wepeople app allow {app['app_id']}" in created.stdout
    issued = await wepeople("key", "create", app["app_id"])
    [token] = [line.strip() for line in issued.stdout.splitlines() if line.strip().startswith("wp_live_")]
    assert len(token) == len("wp_live_") + 32
    assert "only time" in issued.stdout


async def test_what_is_wrong_is_said_in_a_sentence_without_a_traceback(wepeople: CommandLine, auth: Auth) -> None:
    await auth.org("Twin")
    await auth.org("Twin")
    cases = [
        (("app", "create", "Twin", "ci"), 1, "Give the id of the one you mean"),
        (("app", "list", "Nobody"), 1, "wepeople org list"),
        (("app", "create", "org_none", "No Slug"), 2, "slug 'No Slug'"),
        (("key", "create", "Nobody/ci"), 1, "Nobody"),
        (("key", "revoke", "none"), 1, "wepeople key list"),
    ]
    results = await asyncio.gather(*(wepeople(*arguments) for arguments, _, _ in cases))
    for (arguments, code, words), result in zip(cases, results, strict=True):
        assert (result.code, result.stdout) == (code, ""), arguments
        assert words in result.stderr
        assert "Traceback" not in result.stderr


async def test_a_directory_is_imported_in_chunks(wepeople: CommandLine, auth: Auth, tmp_path: Path) -> None:
    org = await auth.org("Large")
    file = tmp_path / "people.csv"
    file.write_text("name,email\n" + "".join(f"Worker {n},w{n}@acme.com\n" for n in range(10_001)))
    imported = (await wepeople("worker", "import", "Large", str(file), "--json")).json
    again = (await wepeople("worker", "import", org.org_id, str(file), "--json")).json
    assert imported["count"] == again["count"] == 10_001
    assert again["sequence"] == imported["sequence"] + 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"email,name\na@acme.com,A\nnobody,B\na@acme.com,C\n", ["line 3", "line 4", "2 bad lines", "nothing"]),
        (None, ["cannot be read"]),
    ],
)
async def test_of_a_bad_file_nothing_is_sent_and_it_says_where(
    wepeople: CommandLine, auth: Auth, tmp_path: Path, content: bytes | None, words: list[str]
) -> None:
    file = tmp_path / "people.csv"
    if content is not None:
        file.write_bytes(content)
    org_id = (await auth.org()).org_id
    before = (await auth.connection.jetstream().stream_info("INGEST")).state.last_seq
    result = await wepeople("worker", "import", org_id, str(file))
    assert result.code == 2
    assert all(word in result.stderr for word in words), result.stderr
    assert (await auth.connection.jetstream().stream_info("INGEST")).state.last_seq == before
