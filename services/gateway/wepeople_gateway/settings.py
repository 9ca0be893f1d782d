"""The gateway's settings, read from the environment."""

from pydantic import Field

from wepeople_chassis.settings import ServiceSettings


class GatewaySettings(ServiceSettings):
    """`WEPEOPLE_` + the field's name in capitals."""

    http_host: str = Field(default="127.0.0.1", examples=["0.0.0.0"])  # noqa: S104
    """Where clients are answered."""

    http_port: int = Field(default=8080, ge=0, le=65_535)
    """0 takes a free port; which one it is stands in the log, as `listening`."""

    docs_url: str = Field(default="/developers/guide", examples=["https://docs.example.com/ingest"])
    """The page that `docsUrl` of errors points into; as it is, relative to whichever gateway answered, so that a replay
    by another one is the same to the byte: set the same one everywhere. The page must have the guide's anchors.
    """

    max_body_bytes: int = Field(default=9 * 1024 * 1024, ge=1024)
    """After decompression."""

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
