"""What auth reads from the environment."""

from pydantic import Field

from wepeople_chassis.settings import PostgresSettings


class AuthSettings(PostgresSettings):
    """Auth's own settings, e.g. `WEPEOPLE_BCRYPT_COST`.

    `bcrypt_cost` is for new keys (each step doubles the time: 10 takes about 60 ms); keys keep the cost they were
    made with. `bcrypt_workers` threads compute at most, and `bcrypt_waiting` more requests wait for one before auth
    says that it is busy.
    """

    bcrypt_cost: int = Field(default=10, ge=4, le=14)
    bcrypt_workers: int = Field(default=2, ge=1, le=64)
    bcrypt_waiting: int = Field(default=32, ge=0, le=1024)
