"""What the provisioner needs to know, from the environment."""

import json
from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from wepeople_chassis.postgres_address import checked_address
from wepeople_chassis.settings import ServiceSettings
from wepeople_contracts.subjects import PARTITIONS
from wepeople_provision.errors import ProvisionError


class ProvisionSettings(ServiceSettings):
    """Where it works, as whom, and what a deployment wishes for itself."""

    admin_dsn: SecretStr = Field(
        examples=[
            "postgresql://postgres:PASSWORD@postgres:5432/wepeople?sslmode=verify-full&sslrootcert=/run/ca/ca.crt"
        ]
    )
    """The database, and a superuser of it."""

    role_passwords_file: Path = Field(examples=["/run/secrets/role_passwords.json"])
    """The password of each login role, as one JSON object: `{"wepeople_auth": "…", …}`."""

    stream_replicas: int | None = Field(default=None, ge=1, le=5, examples=[3])
    """How many servers of the NATS cluster have a copy of each stream; without it, a running stream keeps its number
    and a new one has 1."""

    stream_max_bytes: int | None = Field(default=None, ge=1024 * 1024, examples=[100 * 1024**3])
    """How large each stream may become; when one is full, new requests of its orgs get 503 and nothing is deleted.
    Without it, as large as the server's disk allows."""

    streams: int | None = Field(default=None, examples=[4])
    """How many streams a new deployment begins with: 1, 2, 4, 8 or 16; without it, 1. Where there are streams it may
    be absent or their number; `wepeople stream split` makes more of them."""

    @field_validator("streams")
    @classmethod
    def _share_evenly(cls, streams: int | None) -> int | None:
        if streams is not None and (streams < 1 or PARTITIONS % streams):
            raise ValueError("it is 1, 2, 4, 8 or 16: each stream has as many of the 16 partitions")
        return streams

    @field_validator("admin_dsn")
    @classmethod
    def _is_postgres(cls, dsn: SecretStr) -> SecretStr:
        return SecretStr(checked_address(dsn.get_secret_value()))


def read_passwords(path: Path) -> dict[str, str]:
    """The passwords by role; `ProvisionError` when the file is not one JSON object of strings."""
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise ProvisionError(f"The role passwords file {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ProvisionError(f"The role passwords file {path} is not JSON: {error}.") from error
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise ProvisionError(f'The role passwords file {path} must look like {{"wepeople_auth": "…", …}}.')
    return values
