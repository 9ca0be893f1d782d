"""When the gateway takes another certificate from the disk."""

from pathlib import Path

import pytest

from tests.support.tls import write_server
from wepeople_gateway.certificate import ServerCertificate
from wepeople_provision import certificates


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_server(tmp_path)


def another(tmp_path: Path) -> tuple[Path, Path]:
    directory = tmp_path / "another"
    directory.mkdir()
    return write_server(directory)


def test_what_has_not_changed_is_not_read_again(pair: tuple[Path, Path]) -> None:
    shown = ServerCertificate(*pair)
    first = shown.context
    for _ in range(3):
        shown.look()
    assert shown.context is first


def test_a_certificate_whose_key_comes_later_is_not_looked_at_before(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = ServerCertificate(*pair)
    first = shown.context
    certificate, key = another(tmp_path)
    certificate.replace(pair[0])
    shown.look()
    key.replace(pair[1])
    shown.look()
    assert shown.context is first
    shown.look()
    assert shown.context is not first
    assert "certificate_refused" not in "".join(capsys.readouterr())


def test_a_file_that_is_gone_or_holds_nothing_changes_nothing_until_a_pair_is_there(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    shown = ServerCertificate(*pair)
    first = shown.context
    pair[0].unlink()
    shown.look()
    shown.look()
    pair[0].write_text("")
    shown.look()
    shown.look()
    assert shown.context is first
    certificate, key = another(tmp_path)
    certificate.replace(pair[0])
    key.replace(pair[1])
    shown.look()
    shown.look()
    assert shown.context is not first


def test_one_that_has_expired_is_refused_and_the_old_one_stays(
    pair: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = ServerCertificate(*pair)
    first = shown.context
    monkeypatch.setattr(certificates, "SERVER_DAYS", -0.01)
    certificate, key = another(tmp_path)
    certificate.replace(pair[0])
    key.replace(pair[1])
    shown.look()
    shown.look()
    assert shown.context is first
    assert "server.crt has expired" in "".join(capsys.readouterr())
