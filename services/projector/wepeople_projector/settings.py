"""The projector's settings."""

from wepeople_chassis.settings import PostgresSettings


class ProjectorSettings(PostgresSettings):
    """Addresses of NATS and of Postgres; it needs nothing else."""
