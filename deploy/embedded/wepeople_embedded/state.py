"""The state directory: everything that one installation remembers between runs, for its owner's eyes only."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wepeople_embedded.errors import StateDirInUse, StateDirUnusable
from wepeople_embedded.ports import free_port, is_free
from wepeople_provision.nats_users import USERS
from wepeople_provision.nkey_seeds import new_seed
from wepeople_provision.roles import LOGIN_ROLES

DEFAULT_STATE_DIR = Path(".wepeople")
SUPERUSER = "postgres"
DEMO_READER = "wepeople_demo_reader"


@dataclass(frozen=True, slots=True)
class StateDir:
    """An absolute path, locked by this process as long as `open_state_dir` lasts."""

    path: Path

    @property
    def logs(self) -> Path:
        """Where each process has its log file."""
        return self.path / "logs"

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self.logs / f"{name}.log"

    def read(self, name: str) -> dict[str, str]:
        """A JSON file's values; empty when there is none."""
        file = self.path / name
        values: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        return values

    def write(self, name: str, values: Mapping[str, str | int]) -> None:
        """Replace a JSON file in one step; only its owner may read it."""
        unfinished = self.path / f"{name}.unfinished"
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(json.dumps(values, indent=2) + "\n")
        unfinished.replace(self.path / name)

    def write_secrets(self, folder: str, values: Mapping[str, str]) -> None:
        """Replace the files of a directory for `WEPEOPLE_SECRETS_DIR`; only its owner may read them."""
        directory = self.path / folder
        directory.mkdir(mode=0o700, exist_ok=True)
        for name, value in values.items():
            file = directory / name
            file.touch(mode=0o600)
            file.write_text(f"{value}\n")

    def passwords(self) -> dict[str, str]:
        """A password for each database login, generated once."""
        remembered = self.read("passwords.json")
        logins = (SUPERUSER, *LOGIN_ROLES, DEMO_READER)
        passwords = {login: remembered.get(login) or secrets.token_urlsafe(18) for login in logins}
        if passwords != remembered:
            self.write("passwords.json", passwords)
        return passwords

    def nats_seeds(self) -> dict[str, str]:
        """The seed of each NATS user's key, generated once."""
        remembered = self.read("nats_seeds.json")
        seeds = {user: remembered.get(user) or new_seed() for user in USERS}
        if seeds != remembered:
            self.write("nats_seeds.json", seeds)
        return seeds

    def port(self, server: str) -> int:
        """The server's port of the last run if it is free, else another one, remembered."""
        remembered = self.read("ports.json")
        port = int(remembered.get(server, 0))
        if not (port and is_free(port)):
            port = free_port()
            self.write("ports.json", remembered | {server: port})
        return port


@contextmanager
def open_state_dir(path: Path) -> Iterator[StateDir]:
    """Make the directory if need be (mode 700) and lock it; `StateDirInUse` or `StateDirUnusable` when it can't be."""
    path = path.absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (path / "logs").mkdir(mode=0o700, exist_ok=True)
        lock = (path / "lock").open("a+")
    except OSError as error:
        raise StateDirUnusable(path, error.strerror or str(error)) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StateDirInUse(path, lock.read().strip() or "unknown") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield StateDir(path)
