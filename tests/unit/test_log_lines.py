"""A line of the log says of which request it is, and has no secret: not in a field, not in a traceback, not in what
another library says. Each test runs a process, and reads what it wrote.
"""

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from wepeople_chassis.logging import without_secrets

KEY = "wp_live_0123456789abfedcba98765432101234"
SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"

BEGIN = """
import asyncio, logging
from wepeople_chassis.logging import about_org, about_request, configure_logging, get_logger
configure_logging("gateway", "INFO")
log = get_logger("tests")
"""


def written_by(program: str) -> list[dict[str, Any]]:
    """The lines that a process wrote, each of which must be JSON."""
    ran = subprocess.run([sys.executable, "-c", BEGIN + program], capture_output=True, text=True, check=False)
    return [json.loads(line) for line in ran.stderr.splitlines()]


def test_every_line_of_a_request_says_which_and_whose_it_is() -> None:
    first, second = written_by(
        'about_request("req_1"); log.info("began"); about_org("org_1"); logging.getLogger("other").warning("went on")'
    )
    assert first["request_id"] == "req_1"
    assert "org_id" not in first
    assert (second["request_id"], second["org_id"], second["event"]) == ("req_1", "org_1", "went on")


def test_the_next_request_of_a_connection_is_nobodys_until_that_is_known() -> None:
    [line] = written_by('about_request("req_1", "org_1"); about_request("req_2"); log.info("began")')
    assert line["request_id"] == "req_2"
    assert "org_id" not in line


def test_requests_side_by_side_keep_their_own() -> None:
    lines = written_by("""
async def serve(number, turn):
    about_request(f"req_{number}")
    await asyncio.sleep(0)
    about_org(f"org_{number}")
    await asyncio.sleep(0)
    log.info("served")
async def main():
    await asyncio.gather(*(serve(number, None) for number in range(5)))
asyncio.run(main())
""")
    assert {(line["request_id"], line["org_id"]) for line in lines} == {(f"req_{n}", f"org_{n}") for n in range(5)}


def test_what_belongs_to_no_request_names_none() -> None:
    [line] = written_by('about_request("req_1"); about_request(None); about_org("org_1"); log.info("rested")')
    assert "request_id" not in line
    assert "org_id" not in line


SAID = (
    f"Authorization: Bearer {KEY}",
    f"looked up {KEY}",
    "authorization: bearer s3cr3t.of-ours",
    f"nkeys_seed_str={SEED}",
    f"the seed is {SEED}",
    "postgresql://wepeople_auth:s3cr3t-of-ours@db:5432/wepeople",
    "host=db user=wepeople_auth password=s3cr3t-of-ours dbname=wepeople",
    '{"password": "s3cr3t-of-ours"}',
    "nats://user:s3cr3t-of-ours@nats:4222,nats://other:4222",
    "tls://nats-1:4222,nats://s3cr3t-of-ours@nats-2:4222",
    "postgresql://wepeople_auth:s3/cr3t@s3cr3t@db:5432/wepeople",
    "sslkey=/run/key sslpassword=s3cr3t-of-ours sslmode=verify-full",
    "superuser_password=s3cr3t,s3cr3t",
    "Authorization: Basic dXNlcjpzM2NyM3Q=",
    '{"authorization": "Basic dXNlcjpzM2NyM3Q="}',
    "verifier SCRAM-SHA-256$4096:c2FsdHM=$s3cr3t/c3RvcmVk=:s3cr3tc2VydmVy=",
    "hash $2b$12$s3cr3ts3cr3ts3cr3ts3cr3ts3cr3ts3cr3ts3cr3ts3cr3ts3cr3",
    "-----BEGIN PRIVATE KEY-----\nMIIs3cr3t\ns3cr3t\n-----END PRIVATE KEY-----\n",
    "-----BEGIN EC PRIVATE KEY-----\nMIIs3cr3t\ns3cr",
    "password='one s3cr3t of ours' dbname=wepeople",
    r"password='it\'s one s3cr3t' dbname=wepeople",
    '{"password": "one, s3cr3t; of ours", "dbname": "wepeople"}',
    r'{"password": "one \" s3cr3t", "dbname": "wepeople"}',
    "ALTER ROLE wepeople_auth PASSWORD 'one s3cr3t'",
    "password='never ended s3cr3t",
)
SECRETS = (KEY[8:], SEED[2:], "s3cr3t", "dXNlcjpzM2NyM3Q", "c2FsdHM", "cr3t@", "s3cr")


@pytest.mark.parametrize(
    "say",
    [
        "log.warning(said)",
        'log.warning("said", what=said, deep={"in": [said]})',
        'logging.getLogger("other").error("said %s", said)',
        'try: raise ValueError(said)\n    except ValueError: log.exception("failed")',
    ],
    ids=["event", "fields", "another library", "traceback"],
)
def test_no_line_has_a_secret(say: str) -> None:
    lines = written_by(f"for said in {SAID!r}:\n    {say}")
    assert len(lines) == len(SAID)
    assert [line for line in lines if any(secret in json.dumps(line) for secret in SECRETS)] == []


def test_what_ends_a_process_is_said_in_one_line_and_has_no_secret_either() -> None:
    [line] = written_by(f"about_request('req_1')\nraise RuntimeError({SAID!r})")
    assert line["event"] == "crashed"
    assert "RuntimeError" in line["exception"]
    assert [secret for secret in SECRETS if secret in json.dumps(line)] == []


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("password='one s3cr3t' dbname=wepeople", "password='…' dbname=wepeople"),
        (r"password='it\'s one' dbname=wepeople", "password='…' dbname=wepeople"),
        ("password=s3cr3t dbname=wepeople", "password=… dbname=wepeople"),
        ('{"password": "one s3cr3t", "dbname": "wepeople"}', '{"password": "…", "dbname": "wepeople"}'),
        ("nats://s3cr3t@a:4222,tls://b:4222", "nats://…@a:4222,tls://b:4222"),
        ("postgresql://me:s3cr3t@a:5432/db", "postgresql://me:…@a:5432/db"),
        ("postgresql://me@a:5432/db", "postgresql://me@a:5432/db"),
        ("Authorization: Basic dXNlcjpw", "Authorization: Basic …"),
        ('the password is wrong, "really"', 'the password is wrong, "really"'),
        ("a basic thing of the bearer: none", "a basic thing of the bearer: none"),
    ],
)
def test_what_is_around_a_secret_stays_readable(said: str, written: str) -> None:
    [line] = written_by(f"log.info('x', said={said!r}, after='there')")
    assert (line["said"], line["after"]) == (written, "there")


def test_a_long_line_takes_no_long_time() -> None:
    for part in ("a", "password", "://a:", "'", "\\", "PRIVATE KEY-----", "BEGIN ", "password='", " ", "nats://a:b,"):
        began = time.perf_counter()
        without_secrets(part * (100_000 // len(part)))
        assert time.perf_counter() - began < 2, part


def test_what_is_no_secret_stays_readable() -> None:
    [line] = written_by('log.info("x", url="http://127.0.0.1:8080/a@b", mail="ada@example.com", key_id="0123456789ab")')
    assert line["url"] == "http://127.0.0.1:8080/a@b"
    assert line["mail"] == "ada@example.com"
    assert line["key_id"] == "0123456789ab"
