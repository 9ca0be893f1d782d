"""Settings are checked at every start, and by `--check-config` without one."""

import os
from pathlib import Path

import pytest
from pydantic import Field

from wepeople_chassis.settings import ServiceSettings, load_settings
from wepeople_chassis.settings_check import example_of, known_settings, meaning_of, variable_of


class _Settings(ServiceSettings):
    """Of a service in a test."""

    wait_seconds: float = Field(default=2, gt=0, examples=[5])
    """How long it waits."""

    key_file: Path | None = None
    """Where its key is."""


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WEPEOPLE_")]:
        monkeypatch.delenv(name)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        load_settings(_Settings, arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return [line.strip() for line in printed.err.splitlines()]


def test_when_all_is_well_the_check_says_ok_and_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load_settings(_Settings, ["--check-config"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "ok\n"
    assert load_settings(_Settings).wait_seconds == 2


@pytest.mark.parametrize("arguments", [[], ["--check-config"]])
def test_what_is_wrong_is_said_with_what_was_found_what_it_means_and_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setenv("WEPEOPLE_WAIT_SECONDS", "-1")
    monkeypatch.setenv("WEPEOPLE_LOG_LEVEL", "LOUD")
    assert refused(capsys, *arguments) == [
        "Wrong settings:",
        "WEPEOPLE_LOG_LEVEL: not a level",
        "found: 'LOUD' in the environment",
        "meaning: From which level on lines are written: DEBUG, INFO, WARNING or ERROR; lines of JSON on stderr.",
        "for example: DEBUG",
        "WEPEOPLE_WAIT_SECONDS: Input should be greater than 0",
        "found: '-1' in the environment",
        "meaning: How long it waits.",
        "for example: 5",
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("WEPEOPLE_WAIT_SECOND", "WEPEOPLE_WAIT_SECONDS"), ("wepeople_nats_ulr", "WEPEOPLE_NATS_URL")],
)
def test_a_name_that_nobody_knows_is_refused_and_the_nearest_known_one_is_said(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "5")
    assert refused(capsys)[1] == f"{name.upper()}: there is no such setting; did you mean {meant}?"


def test_a_name_that_is_like_no_other_is_refused_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEPEOPLE_XYZZY", "5")
    assert refused(capsys)[1] == "WEPEOPLE_XYZZY: there is no such setting"


def test_what_another_part_that_is_installed_here_knows_is_no_typo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEPEOPLE_BCRYPT_COST", "12")
    monkeypatch.setenv("WEPEOPLE_STATE_DIR", ".wepeople")
    monkeypatch.setenv("OTHERS_ARE_NOT_OURS", "1")
    assert load_settings(_Settings).wait_seconds == 2


def test_a_file_of_a_secret_is_checked_like_a_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "wepeople_nats_seat").write_text("pa55word")
    (tmp_path / "wepeople_nats_seed").write_text("pa55word")
    (tmp_path / "tls.key").write_text("nobody's variable")
    monkeypatch.setenv("WEPEOPLE_SECRETS_DIR", str(tmp_path))
    printed = refused(capsys)
    assert "WEPEOPLE_NATS_SEAT: there is no such setting; did you mean WEPEOPLE_NATS_SEED?" in printed
    assert f"found: a value in the file {tmp_path}/wepeople_nats_seed, which is not shown" in printed
    assert "pa55word" not in "".join(printed)


def test_a_file_that_is_not_there_is_found_missing_before_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("WEPEOPLE_KEY_FILE", str(tmp_path / "absent.key"))
    assert "WEPEOPLE_KEY_FILE: there is no such file or directory" in refused(capsys)
    (tmp_path / "absent.key").touch()
    assert load_settings(_Settings).key_file == tmp_path / "absent.key"


def test_a_variable_that_is_empty_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEPEOPLE_KEY_FILE", "")
    monkeypatch.setenv("WEPEOPLE_WAIT_SECONDS", "")
    monkeypatch.setenv("WEPEOPLE_OLD_THING", "")
    settings = load_settings(_Settings)
    assert (settings.key_file, settings.wait_seconds) == (None, 2)


def test_another_argument_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--check-config" in refused(capsys, "--chek-config")[0]


@pytest.mark.parametrize("name", sorted(known_settings()))
def test_every_setting_says_what_it_is_for_and_shows_an_example_that_it_takes(name: str) -> None:
    cls = known_settings()[name]
    for field, info in cls.model_fields.items():
        assert meaning_of(info), variable_of(field)
        assert example_of(info) not in ("None", "PydanticUndefined"), variable_of(field)
