"""An archive in a bucket: what the storage says is said on in a line, and what will not mend itself is no outage."""

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import obstore
import pytest
from obstore.exceptions import GenericError
from pydantic import ValidationError

from tests.support.s3 import KEY, s3_bucket
from wepeople_archive.errors import ArchiveError, StorageAway
from wepeople_archive.opening import open_archive
from wepeople_archive.store import Store, refuse_overwriting
from wepeople_chassis.archive_settings import ArchiveSettings

SECRET = KEY["WEPEOPLE_ARCHIVE_SECRET_ACCESS_KEY"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with s3_bucket() as url:
        yield url


def store_at(url: str, ca_file: str | None = None) -> Store:
    options = {"archive_url": url, "archive_access_key_id": "AKIATESTS", "archive_secret_access_key": SECRET}
    return open_archive(ArchiveSettings.model_validate(options | {"archive_ca_file": ca_file})).store


async def test_a_name_is_written_once_and_what_was_written_is_read_and_listed(url: str) -> None:
    store = store_at(url)
    await refuse_overwriting(store)
    assert await store.create("kind/1", b"first")
    assert not await store.create("kind/1", b"second")
    assert await store.read("kind/1") == b"first"
    assert await store.read("kind/2") is None
    assert await store.sizes("kind") == {"kind/1": 5}


async def test_a_storage_that_hangs_up_on_a_name_that_is_there_is_not_away(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(url)
    await store.create("there", b"first")

    async def hung_up(*_: object, **__: object) -> None:
        raise GenericError("HTTP error: error sending request")

    monkeypatch.setattr(obstore, "put_async", hung_up)
    assert not await store.create("there", b"second")
    with pytest.raises(StorageAway, match="error sending request"):
        await store.create("not there", b"first")


async def test_a_bucket_that_does_not_exist_is_refused_in_a_line_and_not_waited_for(url: str) -> None:
    store = store_at(urlunsplit(urlsplit(url)._replace(netloc="another")))
    for asked in (store.sizes("messages"), store.create("name", b"")):
        with pytest.raises(ArchiveError, match=r"refuses us.*The specified bucket does not exist") as said:
            await asked
        assert "\n" not in str(said.value)
        assert SECRET not in str(said.value)


def test_a_file_of_certificates_that_is_not_there_is_named(url: str) -> None:
    with pytest.raises(ArchiveError, match=r"WEPEOPLE_ARCHIVE_CA_FILE cannot be read: .*nowhere"):
        store_at(url, "/nowhere/ca.crt")


def test_an_endpoint_with_a_password_is_refused_without_saying_it() -> None:
    with pytest.raises(ValidationError, match="would be in every log") as said:
        ArchiveSettings(archive_url="s3://bucket?endpoint=https://me:planted-password@minio:9000")
    assert "planted-password" not in str(said.value)
