"""What auth reads from the environment."""

from pydantic import Field

from wepeople_chassis.postgres_settings import PostgresSettings


class AuthSettings(PostgresSettings):
    """Auth's own settings, e.g. `WEPEOPLE_BCRYPT_COST`."""

    bcrypt_cost: int = Field(default=10, ge=4, le=14)
    """For new keys: each step doubles the time, and 10 takes about 60 ms. Keys keep the cost they were made with."""

    bcrypt_workers: int = Field(default=2, ge=1, le=64)
    """How many threads compute at once."""

    bcrypt_waiting: int = Field(default=32, ge=0, le=1024)
    """How many more requests wait for a thread before auth says that it is busy, and the gateway answers 503."""
