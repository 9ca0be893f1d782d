"""`wepeople secrets generate DIR`: everything that a deployment needs, kept when it is run again."""

import json
import ssl
import stat
from pathlib import Path

import pytest

from tests.support.shell import Result, wepeople
from wepeople_chassis.broker import inbox_prefix, user_of_seed
from wepeople_chassis.postgres_address import servers_of
from wepeople_provision.nats_users import USERS
from wepeople_provision.roles import LOGIN_ROLES
from wepeople_provision.secret_files import GATEWAY_HOSTS, NATS_HOSTS, POSTGRES_HOSTS, generate


async def generated(directory: Path, *options: str) -> Result:
    result = await wepeople(
        "nats://127.0.0.1:1", "postgresql://nobody", "secrets", "generate", str(directory), *options
    )
    assert result.code == 0, result.stderr
    return result


def contents(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def modes(directory: Path) -> dict[str, int]:
    return {str(path.relative_to(directory)): stat.S_IMODE(path.stat().st_mode) for path in directory.rglob("*")}


async def test_every_service_finds_its_own_secrets_and_only_those(tmp_path: Path) -> None:
    await generated(tmp_path / "secrets")
    folders: dict[str, set[str]] = {}
    for name in contents(tmp_path / "secrets"):
        folder, file = name.split("/")
        folders.setdefault(folder, set()).add(file)
    with_database = {"wepeople_nats_seed", "wepeople_postgres_dsn"}
    assert folders == {
        "ca": {"ca.crt", "ca.key"},
        "nats": {"users.conf", "server.crt", "server.key"},
        "postgres": {"server.crt", "server.key", "superuser_password"},
        "gateway-tls": {"tls.crt", "tls.key"},
        "gateway": {"wepeople_nats_seed"},
        "auth": with_database,
        "quota": with_database,
        "projector": with_database,
        "archiver": {"wepeople_nats_seed"},
        "analyst": {"wepeople_nats_seed"},
        "copier": {"wepeople_nats_seed"},
        "trimmer": {"wepeople_nats_seed"},
        "provision": {"wepeople_nats_seed", "wepeople_admin_dsn", "role_passwords.json"},
        "operator": {"wepeople_nats_seed", "operator.json"},
    }


async def test_nothing_is_anybodys_but_the_owners_and_containers_get_files_in_closed_folders(tmp_path: Path) -> None:
    await generated(tmp_path / "secrets")
    assert {mode for name, mode in modes(tmp_path).items() if "/" in name and "." in name} == {0o600}
    await generated(tmp_path / "secrets", "--for-containers")
    found = modes(tmp_path)
    assert {found[name] for name in found if (tmp_path / name).is_dir()} == {0o700}
    assert found.pop("secrets/ca/ca.key") == 0o600
    assert {found[name] for name in found if (tmp_path / name).is_file()} == {0o644}
    await generated(tmp_path / "secrets")
    assert 0o644 not in modes(tmp_path).values()


async def test_run_again_it_keeps_what_is_there_and_makes_what_was_taken_away(tmp_path: Path) -> None:
    await generated(tmp_path)
    first = contents(tmp_path)
    assert (await generated(tmp_path)).stdout == "nothing was missing\n"
    assert contents(tmp_path) == first
    (tmp_path / "quota" / "wepeople_nats_seed").unlink()
    (tmp_path / "nats" / "server.crt").unlink()
    again = await generated(tmp_path)
    assert set(again.stdout.split("\n")) == {
        *("made quota/wepeople_nats_seed", "made nats/server.crt", "made nats/server.key", "made nats/users.conf", "")
    }
    changed = {name for name, text in contents(tmp_path).items() if text != first[name]}
    assert changed == {"quota/wepeople_nats_seed", "nats/server.crt", "nats/server.key", "nats/users.conf"}


ADDRESSES = {f"{service}/wepeople_postgres_dsn" for service in ("auth", "quota", "projector")}
FOLLOWS = {
    "provision/role_passwords.json": ADDRESSES | {"operator/operator.json"},
    "postgres/superuser_password": {"provision/wepeople_admin_dsn"},
    **{f"{user}/wepeople_nats_seed": {"nats/users.conf"} for user in USERS},
    **{f"{user}/wepeople_nats_seed": {"nats/users.conf", "operator/operator.json"} for user in ("operator", "trimmer")},
}


@pytest.mark.parametrize("source", FOLLOWS)
def test_a_secret_whose_file_was_taken_away_is_new_in_every_file_that_holds_it(tmp_path: Path, source: str) -> None:
    generate(tmp_path)
    first = contents(tmp_path)
    (tmp_path / source).unlink()
    made = generate(tmp_path)
    assert {name for name, text in contents(tmp_path).items() if text != first[name]} == {source} | FOLLOWS[source]
    assert set(made) == {source} | FOLLOWS[source]
    agrees(tmp_path)


def test_one_roles_password_is_renewed_by_taking_its_line_out(tmp_path: Path) -> None:
    generate(tmp_path)
    first = contents(tmp_path)
    passwords = json.loads(first["provision/role_passwords.json"])
    old = passwords.pop("wepeople_quota")
    (tmp_path / "provision" / "role_passwords.json").write_text(json.dumps(passwords))
    made = generate(tmp_path)
    assert set(made) == {"provision/role_passwords.json", "quota/wepeople_postgres_dsn"}
    assert [name for name, text in contents(tmp_path).items() if old in text] == []
    agrees(tmp_path)


def test_a_password_that_was_put_into_its_file_by_hand_reaches_the_files_that_hold_it(tmp_path: Path) -> None:
    generate(tmp_path)
    (tmp_path / "postgres" / "superuser_password").write_text("chosen/by us")
    assert generate(tmp_path) == ["provision/wepeople_admin_dsn"]
    assert ":chosen%2Fby%20us@" in (tmp_path / "provision" / "wepeople_admin_dsn").read_text()


def test_what_belongs_together_says_the_same(tmp_path: Path) -> None:
    generate(tmp_path)
    agrees(tmp_path)


def test_a_standby_gets_a_role_of_its_own_and_everybody_finds_whichever_server_takes_writes(tmp_path: Path) -> None:
    generate(tmp_path)
    first = contents(tmp_path)
    assert set(generate(tmp_path, replica=True)) == ADDRESSES | {
        *("postgres/replication_password", "provision/role_passwords.json"),
        *("provision/wepeople_admin_dsn", "operator/operator.json"),
    }
    passwords = json.loads((tmp_path / "provision/role_passwords.json").read_text())
    assert passwords.pop("wepeople_replication") == (tmp_path / "postgres/replication_password").read_text()
    assert passwords == json.loads(first["provision/role_passwords.json"])
    for name in (*ADDRESSES, "provision/wepeople_admin_dsn"):
        address = (tmp_path / name).read_text()
        assert servers_of(address) == [("postgres", "5432"), ("postgres-replica", "5432")]
        assert address.endswith("&target_session_attrs=read-write")
        assert "sslmode=verify-full" in address
    assert generate(tmp_path) == []


def agrees(tmp_path: Path) -> None:
    """Every file has the seeds and passwords of the files that they come from."""
    users = (tmp_path / "nats" / "users.conf").read_text()
    for user in USERS:
        key = user_of_seed((tmp_path / user / "wepeople_nats_seed").read_text())
        assert f"nkey: {key}" in users
        assert f"{inbox_prefix(key)}.>" in users
    assert "seed" not in users
    passwords = json.loads((tmp_path / "provision" / "role_passwords.json").read_text())
    assert set(passwords) == set(LOGIN_ROLES)
    assert len(set(passwords.values())) == len(LOGIN_ROLES)
    for service in ("auth", "quota", "projector"):
        dsn = (tmp_path / service / "wepeople_postgres_dsn").read_text()
        assert dsn.startswith(f"postgresql://wepeople_{service}:{passwords[f'wepeople_{service}']}@postgres:5432/")
        assert "sslmode=verify-full" in dsn
    operator = json.loads((tmp_path / "operator" / "operator.json").read_text())
    assert operator["nats_seed"] == (tmp_path / "operator" / "wepeople_nats_seed").read_text().strip()
    for name in ("operator", "analyst", "projector"):
        address = operator["postgres_dsn" if name == "operator" else f"{name}_dsn"]
        assert address.startswith(f"postgresql://wepeople_{name}:{passwords[f'wepeople_{name}']}@postgres:5432/")
    superuser = (tmp_path / "postgres" / "superuser_password").read_text()
    assert f"postgres:{superuser}@" in (tmp_path / "provision" / "wepeople_admin_dsn").read_text()


@pytest.mark.parametrize(
    ("certificate", "key", "hosts"),
    [
        ("nats/server.crt", "nats/server.key", NATS_HOSTS),
        ("postgres/server.crt", "postgres/server.key", POSTGRES_HOSTS),
        ("gateway-tls/tls.crt", "gateway-tls/tls.key", ("ingest.example.org", *GATEWAY_HOSTS)),
    ],
)
def test_each_server_has_a_certificate_of_its_names_that_a_strict_client_accepts(
    tmp_path: Path, certificate: str, key: str, hosts: tuple[str, ...]
) -> None:
    generate(tmp_path, gateway_hosts=("ingest.example.org",))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / certificate, tmp_path / key)
    client = ssl.create_default_context(cafile=str(tmp_path / "ca" / "ca.crt"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    for host in hosts:
        if not host.startswith("*"):
            handshake(server, client, host)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client, "another.example.org")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, ssl.create_default_context(), hosts[0])


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> None:
    """Between two ends in memory."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = server.wrap_bio(to_server, to_client, server_side=True)
    asking = client.wrap_bio(to_client, to_server, server_hostname=host)
    for _ in range(4):
        for end in (asking, serving):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    asking.getpeercert()


async def test_without_the_authoritys_key_nothing_new_can_be_signed_and_it_says_so(tmp_path: Path) -> None:
    await generated(tmp_path)
    (tmp_path / "ca" / "ca.key").unlink()
    result = await wepeople("nats://127.0.0.1:1", "postgresql://x", "secrets", "generate", str(tmp_path))
    assert result.code == 1
    assert "ca/ca.key" in result.stderr
    assert "Traceback" not in result.stderr


async def test_a_strangers_file_in_the_directory_stays_as_it_is(tmp_path: Path) -> None:
    stranger = tmp_path / "notes.txt"
    stranger.write_text("mine")
    stranger.chmod(0o640)
    await generated(tmp_path, "--for-containers")
    assert stat.S_IMODE(stranger.stat().st_mode) == 0o640
