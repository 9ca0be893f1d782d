"""The gateway's settings, read from the environment."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from wepeople_chassis.nats_settings import is_loopback
from wepeople_chassis.settings import ServiceSettings
from wepeople_gateway.certificate import server_context


class GatewaySettings(ServiceSettings):
    """`WEPEOPLE_` + the field's name in capitals."""

    http_host: str = Field(default="127.0.0.1", examples=["0.0.0.0"])  # noqa: S104
    """Where clients are answered."""

    http_port: int = Field(default=8080, ge=0, le=65_535)
    """0 takes a free port; which one it is stands in the log, as `listening`."""

    http_certificate_file: Path | None = Field(default=None, examples=["/run/secrets/tls.crt"])
    """The certificate that clients are shown, as PEM, with those between it and its authority; then all speak TLS. A
    new one that takes the file's place is shown to new connections within seconds.
    """

    http_key_file: Path | None = Field(default=None, examples=["/run/secrets/tls.key"])
    """The certificate's private key, as PEM."""

    http_behind_ingress: bool = Field(default=False, examples=["true"])
    """Whether plain HTTP may be spoken on other addresses than the loopback's, because an ingress in front of the
    gateway ends TLS and nobody else comes through.
    """

    docs_url: str = Field(default="/developers/guide", examples=["https://docs.example.com/ingest"])
    """The page that `docsUrl` of errors points into; as it is, relative to whichever gateway answered, so that a replay
    by another one is the same to the byte: set the same one everywhere. The page must have the guide's anchors.
    """

    max_body_bytes: int = Field(default=9 * 1024 * 1024, ge=1024, le=9 * 1024 * 1024)
    """After decompression; never more, as an envelope must fit into a message of the stream."""

    max_connections: int = Field(default=4000, ge=1)
    """Open at once; a new one takes the place of the one that has been idle longest."""

    idle_seconds: float = Field(default=75, gt=0)
    """How long a connection may wait for its next request."""

    head_seconds: float = Field(default=10, gt=0)
    """From the first byte of a request to the end of its headers."""

    body_seconds: float = Field(default=30, gt=0)
    """From the end of the headers to the end of the body."""

    in_flight_bytes: int = Field(default=64 * 1024 * 1024, ge=9 * 1024 * 1024)
    """Bodies held in memory by all requests together; past that, 503 (20 publishes of 9 MB at once peak at 917 MB)."""

    publish_seconds: float = Field(default=5, gt=0, le=10)
    """How long a publish is repeated; must stay below the lease of quota's reservations."""

    gateways: int = Field(default=1, ge=1)
    """How many gateways share the rates while quota is away."""

    trust_traceparent: bool = Field(default=False, examples=["true"])
    """Whether a request continues the trace of its `traceparent` and is sampled as that says, because a front that is
    ours sets it or takes it away; else it only points there.
    """

    @model_validator(mode="after")
    def _keys_are_not_sent_in_the_clear(self) -> Self:
        if (self.http_certificate_file is None) != (self.http_key_file is None):
            raise ValueError("WEPEOPLE_HTTP_CERTIFICATE_FILE and WEPEOPLE_HTTP_KEY_FILE go together: set both, or none")
        self._check_certificate()
        if self.http_certificate_file or self.http_behind_ingress or is_loopback(self.http_host):
            return self
        raise ValueError(
            f"WEPEOPLE_HTTP_HOST is {self.http_host}, where API keys would go over the network in the clear: set "
            "WEPEOPLE_HTTP_CERTIFICATE_FILE and WEPEOPLE_HTTP_KEY_FILE (for example /run/secrets/tls.crt and "
            "/run/secrets/tls.key), or WEPEOPLE_HTTP_BEHIND_INGRESS=true if an ingress ends TLS in front of the gateway"
        )

    def _check_certificate(self) -> None:
        if self.http_certificate_file is None or self.http_key_file is None:
            return
        try:
            server_context(self.http_certificate_file, self.http_key_file)
        except ValueError as error:
            raise ValueError(f"WEPEOPLE_HTTP_CERTIFICATE_FILE and WEPEOPLE_HTTP_KEY_FILE: {error}") from None
        except OSError:
            # That a file is not there is said of each by itself.
            return
