"""Where the archive is: for whoever writes it, and for whoever may have to read what the stream no longer has."""

import os
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from wepeople_chassis.nats_settings import is_loopback
from wepeople_chassis.settings import SECRETS_DIR
from wepeople_chassis.settings_check import PREFIX

_OPTIONS = frozenset({"endpoint", "region"})


class ArchiveSettings(BaseSettings):
    """Of a process that may read or write the archive."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    archive_url: str | None = Field(
        default=None, examples=["s3://bucket/prefix?endpoint=https://minio:9000&region=us-east-1"]
    )
    """Where the archive is: `s3://bucket/prefix`, with `?endpoint=…&region=…` for what is not Amazon's, or
    `file:///a/folder`. Whoever reads the stream reads there what was trimmed from it."""

    archive_access_key_id: SecretStr | None = Field(default=None, examples=["the id of a key of the bucket"])
    """With which key the bucket is opened; without it AWS's own variables and roles are tried."""

    archive_secret_access_key: SecretStr | None = Field(default=None, examples=["the key's secret"])
    """The secret that belongs to the key's id."""

    archive_ca_file: Path | None = Field(default=None, examples=["/run/ca/ca.crt"])
    """Whose certificates are believed of the endpoint; without it, those that the machine believes."""

    archive_plaintext: bool = Field(default=False, examples=["true"])
    """Whether an endpoint may be `http://` on another machine, because the network between encrypts by itself."""

    @property
    def archive_key(self) -> tuple[str, str] | None:
        """The key's id and secret, if they are given."""
        if self.archive_access_key_id is None or self.archive_secret_access_key is None:
            return None
        return self.archive_access_key_id.get_secret_value(), self.archive_secret_access_key.get_secret_value()

    @field_validator("archive_url")
    @classmethod
    def _is_archive(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme == "file" and not parts.netloc and parts.path.strip("/") and not parts.query:
            return url
        options = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or not options.keys() <= _OPTIONS:
            raise ValueError("not s3://bucket/prefix?endpoint=…&region=… and not file:///a/folder")
        return url

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.archive_access_key_id is None) != (self.archive_secret_access_key is None):
            raise ValueError(
                "WEPEOPLE_ARCHIVE_ACCESS_KEY_ID and WEPEOPLE_ARCHIVE_SECRET_ACCESS_KEY go together: set both, or none"
            )
        endpoint = urlsplit(next(iter(parse_qs(urlsplit(self.archive_url or "").query).get("endpoint", [])), ""))
        if "@" in endpoint.netloc:
            raise ValueError(
                "the endpoint in WEPEOPLE_ARCHIVE_URL has a name or a password in it, which would be in every log: set "
                "WEPEOPLE_ARCHIVE_ACCESS_KEY_ID and WEPEOPLE_ARCHIVE_SECRET_ACCESS_KEY"
            )
        if endpoint.scheme == "http" and not self.archive_plaintext and not is_loopback(endpoint.hostname or ""):
            raise ValueError(
                "the endpoint in WEPEOPLE_ARCHIVE_URL is http:// on another machine, where all events would go over "
                "the network in the clear: make it https://, or set WEPEOPLE_ARCHIVE_PLAINTEXT=true if the network "
                "between encrypts by itself"
            )
        return self


def archive_settings() -> ArchiveSettings:
    """As the environment says, and the directory of secrets; services have checked them at their start."""
    return ArchiveSettings(_secrets_dir=os.environ.get(SECRETS_DIR) or None)
