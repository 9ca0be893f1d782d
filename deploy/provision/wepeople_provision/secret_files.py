"""A directory with every secret of a deployment: what is there is kept, what is missing is made, and what follows from
other files always says what they say.
"""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from wepeople_chassis.broker import user_of_seed
from wepeople_provision.certificates import Pair, new_authority, new_server
from wepeople_provision.errors import ProvisionError
from wepeople_provision.nats_users import USERS, authorization
from wepeople_provision.nkey_seeds import new_seed
from wepeople_provision.roles import ANALYST_ROLE, LOGIN_ROLES, OPERATOR_ROLE, PROJECTOR_ROLE, REPLICATION_ROLE

NATS_URL = "tls://nats:4222"
CA_FILE = "/run/ca/ca.crt"
_PRIMARY = ("postgres:5432", f"sslmode=verify-full&sslrootcert={CA_FILE}")
# Whichever of the two takes writes is found, also after the standby has taken over.
_EITHER = ("postgres:5432,postgres-replica:5432", f"{_PRIMARY[1]}&target_session_attrs=read-write")

_HERE = ("localhost", "127.0.0.1")
NATS_HOSTS = ("nats", "nats-2", "nats-3", "nats.wepeople.svc", "*.nats-headless", *_HERE)
POSTGRES_HOSTS = ("postgres", "postgres-replica", "postgres-rw", "postgres-r", "postgres-ro", *_HERE)
GATEWAY_HOSTS = ("gateway", "gateway-2", *_HERE)

SEED = "wepeople_nats_seed"
AUTHORITY_KEY = "ca/ca.key"
REPLICATION_PASSWORD = "postgres/replication_password"  # noqa: S105 - a file's name
"""It is there where a standby copies the server."""
USERS_FILE = "nats/users.conf"


class SecretFiles:
    """A directory, and what was made in it by this run; new files are for their owner's eyes until `seal`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made: list[str] = []
        self._ours: set[Path] = set()

    def keep(self, name: str, make: Callable[[], str]) -> str:
        """A file's text, without the last line's end; made if there is no such file."""
        path = self.directory / name
        self._ours.add(path)
        if path.exists():
            return path.read_text().rstrip("\n")
        text = make()
        self.write(name, text)
        self.made.append(name)
        return text

    def derive(self, name: str, text: str) -> None:
        """A file that follows from others: whatever it held, it holds this now."""
        path = self.directory / name
        self._ours.add(path)
        if not path.exists() or path.read_text() != text:
            self.write(name, text)
            self.made.append(name)

    def keep_pair(self, certificate: str, key: str, make: Callable[[], Pair]) -> Pair:
        """A certificate and its key; both are made unless both are there."""
        self._ours |= {self.directory / certificate, self.directory / key}
        if not all((self.directory / name).exists() for name in (certificate, key)):
            pair = make()
            for name, text in ((key, pair.key), (certificate, pair.certificate)):
                self.write(name, text)
                self.made.append(name)
        return Pair((self.directory / certificate).read_text(), (self.directory / key).read_text())

    def write(self, name: str, text: str) -> None:
        """Replace a file in one step."""
        path = self.directory / name
        self._ours.add(path)
        for folder in (self.directory, path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.unfinished")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            # No line's end is added: some, like CloudNativePG, would take it for the password's last letter.
            file.write(text)
        unfinished.replace(path)

    def seal(self, file_mode: int) -> None:
        """Give each of these files this mode, but the authority's key its owner's alone, and close the folders."""
        for path in self._ours:
            path.chmod(0o600 if path == self.directory / AUTHORITY_KEY else file_mode)
        for folder in {self.directory, *(path.parent for path in self._ours)}:
            folder.chmod(0o700)


def generate(
    directory: Path, *, gateway_hosts: tuple[str, ...] = (), file_mode: int = 0o600, replica: bool = False
) -> list[str]:
    """Complete the directory; the names of the files that are new or say something new. `ProvisionError` when it cannot
    be written. With `replica`, and ever after, also for a Postgres with a standby `postgres-replica`.

    Sources are seeds, passwords and certificates; addresses, `operator.json` and `nats/users.conf` follow from them,
    and from what this release lets users do.
    """
    files = SecretFiles(directory)
    try:
        _certificates(files, gateway_hosts)
        seeds = {user: files.keep(f"{user}/{SEED}", new_seed) for user in USERS}
        files.derive(USERS_FILE, authorization({user: user_of_seed(seed) for user, seed in seeds.items()}))
        _database(files, seeds, replica=replica)
        files.seal(file_mode)
    except OSError as error:
        raise ProvisionError(f"The secrets cannot be written into {directory}: {error.strerror}.") from error
    return list(dict.fromkeys(files.made))


def _certificates(files: SecretFiles, gateway_hosts: tuple[str, ...]) -> None:
    if (files.directory / "ca/ca.crt").exists() and not (files.directory / AUTHORITY_KEY).exists():
        raise ProvisionError(
            f"{files.directory} has the certificate of an authority, but not its key ({AUTHORITY_KEY}): put the key "
            "there; to begin anew with another authority, take ca.crt and every server's certificate away."
        )
    authority = files.keep_pair("ca/ca.crt", AUTHORITY_KEY, new_authority)
    # The servers of a cluster verify each other, as clients too.
    files.keep_pair("nats/server.crt", "nats/server.key", lambda: new_server(authority, NATS_HOSTS, also_client=True))
    files.keep_pair("postgres/server.crt", "postgres/server.key", lambda: new_server(authority, POSTGRES_HOSTS))
    hosts = (*gateway_hosts, *GATEWAY_HOSTS)
    files.keep_pair("gateway-tls/tls.crt", "gateway-tls/tls.key", lambda: new_server(authority, hosts))


def _database(files: SecretFiles, seeds: Mapping[str, str], *, replica: bool) -> None:
    superuser = files.keep("postgres/superuser_password", _new_password)
    has_replica = replica or (files.directory / REPLICATION_PASSWORD).exists()
    at = _EITHER if has_replica else _PRIMARY
    files.derive("provision/wepeople_admin_dsn", _dsn("postgres", superuser, at))
    made = files.keep(
        "provision/role_passwords.json",
        lambda: json.dumps({role: _new_password() for role in LOGIN_ROLES}, indent=2),
    )
    passwords: dict[str, str] = json.loads(made)
    wanted = {role: _new_password() for role in LOGIN_ROLES if role not in passwords}
    if has_replica:
        wanted[REPLICATION_ROLE] = files.keep(REPLICATION_PASSWORD, _new_password)
    if wanted.items() - passwords.items():
        passwords |= wanted
        files.derive("provision/role_passwords.json", json.dumps(passwords, indent=2))
    for service in ("auth", "quota", "projector"):
        role = f"wepeople_{service}"
        files.derive(f"{service}/wepeople_postgres_dsn", _dsn(role, passwords[role], at))
    operator = {
        "nats_url": NATS_URL,
        "nats_seed": seeds["operator"],
        "nats_ca_file": CA_FILE,
        "postgres_dsn": _dsn(OPERATOR_ROLE, passwords[OPERATOR_ROLE], at),
        "analyst_dsn": _dsn(ANALYST_ROLE, passwords[ANALYST_ROLE], at),
        "projector_dsn": _dsn(PROJECTOR_ROLE, passwords[PROJECTOR_ROLE], at),
        "trimmer_seed": seeds["trimmer"],
    }
    files.derive("operator/operator.json", json.dumps(operator, indent=2))


def _new_password() -> str:
    return secrets.token_urlsafe(24)


def _dsn(role: str, password: str, at: tuple[str, str]) -> str:
    servers, query = at
    return f"postgresql://{role}:{quote(password, safe='')}@{servers}/wepeople?{query}"
