"""Settings of services with a database: apart from the others, because the gateway has no driver of Postgres."""

from pydantic import Field, SecretStr, field_validator

from wepeople_chassis.postgres_address import checked_address
from wepeople_chassis.settings import ServiceSettings


class PostgresSettings(ServiceSettings):
    """Of a service with a database: `postgres_dsn` is a libpq URI with its own role and password."""

    postgres_dsn: SecretStr = Field(
        examples=[
            "postgresql://wepeople_SERVICE:PASSWORD@postgres:5432/wepeople?sslmode=verify-full&sslrootcert=/run/ca/ca.crt"
        ]
    )
    """The database, with this service's own role and password."""

    @field_validator("postgres_dsn")
    @classmethod
    def _is_postgres(cls, dsn: SecretStr) -> SecretStr:
        return SecretStr(checked_address(dsn.get_secret_value()))
