"""Settings come from the environment, under one prefix, and are checked at the start."""

from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """What every service needs to know; each adds its own fields in its `settings.py`.

    The environment variable of a field is `WEPEOPLE_` + its name in capitals, e.g. `WEPEOPLE_NATS_URL`.
    """

    model_config = SettingsConfigDict(env_prefix="WEPEOPLE_", frozen=True)

    nats_url: str = "nats://127.0.0.1:4222"
    log_level: str = "INFO"


class PostgresSettings(ServiceSettings):
    """Of a service with a database: `postgres_dsn` is a libpq URI with its own role and password."""

    postgres_dsn: str


S = TypeVar("S", bound=BaseSettings)


def load_settings(cls: type[S]) -> S:
    """Read a settings class from the environment; exit 2 with the variable's name when one is missing or wrong."""
    try:
        return cls()
    except ValidationError as error:
        prefix = cls.model_config.get("env_prefix", "")
        lines = [f"  {prefix}{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
        raise SystemExit("Wrong settings in the environment:\n" + "\n".join(lines)) from None
