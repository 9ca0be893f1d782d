"""Settings come from the environment or from files of secrets, under one prefix, and are checked at the start."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, Self, TypeVar

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from wepeople_chassis.broker import NatsAddress, user_of_seed
from wepeople_chassis.nats_settings import checked_authority, checked_servers, refuse_plaintext
from wepeople_chassis.settings_check import PREFIX, problems_of

SECRETS_DIR = "WEPEOPLE_SECRETS_DIR"
CHECK_CONFIG = "--check-config"


class ServiceSettings(BaseSettings):
    """What every service needs to know; each adds its own fields in its `settings.py`.

    The environment variable of a field is `WEPEOPLE_` + its name in capitals, e.g. `WEPEOPLE_NATS_URL`. What the
    environment does not give may be in the directory `WEPEOPLE_SECRETS_DIR`: the file `wepeople_nats_seed`, say.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    nats_url: str = Field(default="nats://127.0.0.1:4222", examples=["tls://nats-1:4222,tls://nats-2:4222"])
    """Where NATS is: one server, or several with commas between; `tls://` wants a certificate that is in order."""

    nats_plaintext: bool = Field(default=False, examples=["true"])
    """Whether `nats://`, without TLS, may be spoken with other addresses than the loopback's, because the network
    between encrypts by itself; whole API keys pass there."""

    nats_seed: SecretStr | None = Field(default=None, examples=["SUA…, the 58 letters of a user's nkey seed"])
    """Who this service is for NATS; without it, nobody in particular."""

    nats_ca_file: Path | None = Field(default=None, examples=["/run/ca/ca.crt"])
    """Whose certificates are believed of a `tls://` server; without it, those that the machine believes."""

    secrets_dir: Path | None = Field(default=None, examples=["/run/secrets"])
    """Files named like variables, in lower case: each gives a value that the environment does not."""

    ops_host: str = Field(default="127.0.0.1", examples=["0.0.0.0"])  # noqa: S104
    """Where `/healthz`, `/readyz` and `/metrics` are answered."""

    ops_port: int = Field(default=0, ge=0, le=65_535, examples=[9090])
    """0 takes a free port; which one it is stands in the log, as `ops_listening`."""

    log_level: str = Field(default="INFO", examples=["DEBUG"])
    """From which level on lines are written: DEBUG, INFO, WARNING or ERROR; lines of JSON on stderr."""

    @property
    def nats(self) -> NatsAddress:
        """Where NATS is, and who we are there."""
        seed = self.nats_seed.get_secret_value() if self.nats_seed else None
        return NatsAddress(self.nats_url, seed, self.nats_ca_file)

    @field_validator("log_level")
    @classmethod
    def _is_level(cls, level: str) -> str:
        if level.upper() not in logging.getLevelNamesMapping():
            raise ValueError("not a level")
        return level.upper()

    @field_validator("nats_url")
    @classmethod
    def _is_nats(cls, url: str) -> str:
        return checked_servers(url)

    @field_validator("nats_ca_file")
    @classmethod
    def _is_authority(cls, ca_file: Path | None) -> Path | None:
        return checked_authority(ca_file)

    @model_validator(mode="after")
    def _nats_is_not_spoken_in_the_clear(self) -> Self:
        refuse_plaintext(self.nats_url, allowed=self.nats_plaintext)
        return self

    @field_validator("nats_seed")
    @classmethod
    def _is_seed(cls, seed: SecretStr | None) -> SecretStr | None:
        if seed is not None:
            user_of_seed(seed.get_secret_value())
        return seed


S = TypeVar("S", bound=BaseSettings)


def load_settings(cls: type[S], arguments: Sequence[str] = ()) -> S:
    """Read a settings class; exits with code 2 and a word on each variable that is missing, wrong or unknown, and never
    a secret's value. With the argument `--check-config` it exits with 0 and `ok` when all is well.
    """
    if list(arguments) not in ([], [CHECK_CONFIG]):
        _refuse(f"Settings come from the environment; the only argument is {CHECK_CONFIG}.")
    directory = os.environ.get(SECRETS_DIR) or None
    if directory is not None and not Path(directory).is_dir():
        _refuse(f"Wrong settings:\n  {SECRETS_DIR}: there is no directory {directory}")
    secrets_dir = Path(directory) if directory else None
    if problems := problems_of(cls, secrets_dir):
        _refuse("\n".join(["Wrong settings:", *map(str, problems)]))
    if arguments:
        print("ok")
        raise SystemExit(0)
    return cls(_secrets_dir=secrets_dir)


def _refuse(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(2)
