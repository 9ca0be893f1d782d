"""What the `wepeople` command reads from the environment."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from wepeople_chassis.archive_settings import ArchiveSettings
from wepeople_chassis.settings_check import PREFIX


class CommandLineSettings(ArchiveSettings):
    """Each stands before what `operator.json` says; see `wepeople_chassis.operator`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, use_attribute_docstrings=True)

    state_dir: Path = Field(default=Path(".wepeople"), examples=["/etc/wepeople/operator"])
    """Where `operator.json` is, with all that the others below say; `wepeople up` and `wepeople secrets generate` write
    it."""

    nats_url: str | None = Field(default=None, examples=["tls://nats:4222"])
    """NATS, for every command that asks a service or reads the stream."""

    nats_seed: SecretStr | None = Field(default=None, examples=["SUA…, the 58 letters of a user's nkey seed"])
    """Who types the command, for NATS: the user `operator`, or `analyst`."""

    nats_plaintext: bool = Field(default=False, examples=["true"])
    """Whether `nats://`, without TLS, may be spoken with other addresses than the loopback's, because the network
    between encrypts by itself; whole API keys pass there."""

    nats_ca_file: Path | None = Field(default=None, examples=["/run/ca/ca.crt"])
    """Whose certificates are believed of a `tls://` server."""

    postgres_dsn: SecretStr | None = Field(
        default=None, examples=["postgresql://wepeople_operator:PASSWORD@postgres:5432/wepeople"]
    )
    """The read models, as the role `wepeople_operator`, for every command that reads them."""

    read_replica: str | None = Field(default=None, examples=["postgres-ro", "replica.example.com:5433"])
    """A standby of that database, with the same login: what shows workers, their events, rejected rows and requests
    reads there, and at `WEPEOPLE_POSTGRES_DSN`'s own servers when it does not answer.
    """

    analyst_dsn: SecretStr | None = Field(
        default=None, examples=["postgresql://wepeople_analyst:PASSWORD@postgres:5432/wepeople"]
    )
    """The role that owns the projections of files, for `wepeople projection …`."""

    projector_dsn: SecretStr | None = Field(
        default=None, examples=["postgresql://wepeople_projector:PASSWORD@postgres:5432/wepeople"]
    )
    """The role that owns the built-in projection, for `wepeople prove` and `wepeople projection … live`."""

    ops_host: str = Field(default="127.0.0.1", examples=["0.0.0.0"])  # noqa: S104
    """Where `wepeople projection run` answers on `WEPEOPLE_OPS_PORT`."""

    ops_port: int | None = Field(default=None, ge=0, le=65_535, examples=[9090])
    """Its port for `/healthz`, `/readyz` and `/metrics`; without it, it has none."""

    trimmer_seed: SecretStr | None = Field(default=None, examples=["SUA…, the 58 letters of a user's nkey seed"])
    """The NATS user `trimmer`, for `wepeople archive trim`."""

    gateway_url: str | None = Field(default=None, examples=["https://ingest.example.com"])
    """The gateway, for `wepeople rejects retry`."""

    api_key: SecretStr | None = Field(default=None, examples=["wp_live_…, a key of the app"])
    """The key of the app whose rows `wepeople rejects retry` sends again."""
