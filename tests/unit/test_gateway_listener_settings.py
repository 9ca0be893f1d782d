"""Where the gateway may listen: with a certificate anywhere, in the clear on the loopback or behind an ingress."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.support.tls import write_server
from wepeople_chassis.settings import load_settings
from wepeople_gateway.settings import GatewaySettings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GatewaySettings.model_fields:
        monkeypatch.delenv(f"WEPEOPLE_{name.upper()}", raising=False)


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of settings that are refused."""
    with pytest.raises(SystemExit) as ended:
        load_settings(GatewaySettings)
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "gateway.example.org"])
def test_plain_http_off_the_loopback_is_refused_unless_an_ingress_is_in_front(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEPEOPLE_HTTP_HOST", host)
    for ingress in (None, "false"):
        if ingress is not None:
            monkeypatch.setenv("WEPEOPLE_HTTP_BEHIND_INGRESS", ingress)
        said = refused(capsys)
        assert f"WEPEOPLE_HTTP_HOST is {host}" in said
        assert "WEPEOPLE_HTTP_CERTIFICATE_FILE" in said
        assert "WEPEOPLE_HTTP_BEHIND_INGRESS=true" in said
    monkeypatch.setenv("WEPEOPLE_HTTP_BEHIND_INGRESS", "true")
    assert load_settings(GatewaySettings).http_host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_plain_http_on_the_loopback_needs_nothing(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEPEOPLE_HTTP_HOST", host)
    assert load_settings(GatewaySettings).http_host == host


def test_a_certificate_makes_any_address_fit_and_needs_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = map(str, write_server(tmp_path))
    monkeypatch.setenv("WEPEOPLE_HTTP_HOST", "0.0.0.0")
    monkeypatch.setenv("WEPEOPLE_HTTP_CERTIFICATE_FILE", certificate)
    assert "WEPEOPLE_HTTP_KEY_FILE" in refused(capsys)
    monkeypatch.setenv("WEPEOPLE_HTTP_KEY_FILE", key)
    assert load_settings(GatewaySettings).http_certificate_file == Path(certificate)


def test_a_certificate_that_is_none_has_another_key_or_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "none").write_text("no PEM")
    certificate, _ = map(str, write_server(tmp_path))
    _, key = map(str, write_server(other))
    monkeypatch.setenv("WEPEOPLE_HTTP_KEY_FILE", key)
    for wrong in (certificate, str(tmp_path / "none"), str(tmp_path / "missing")):
        monkeypatch.setenv("WEPEOPLE_HTTP_CERTIFICATE_FILE", wrong)
        said = refused(capsys)
        assert "WEPEOPLE_HTTP_CERTIFICATE_FILE" in said
        assert wrong in said


def test_an_encrypted_key_is_refused_in_words_and_nobody_is_asked_for_its_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = write_server(tmp_path)
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key.write_bytes(plain.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"secret")))
    monkeypatch.setenv("WEPEOPLE_HTTP_CERTIFICATE_FILE", str(certificate))
    monkeypatch.setenv("WEPEOPLE_HTTP_KEY_FILE", str(key))
    said = refused(capsys)
    assert f"{key} is encrypted" in said
    assert "without one" in said
