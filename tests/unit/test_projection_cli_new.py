"""`wepeople projection new`: what it writes works as it is, and nothing that is there is touched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wepeople_projections.cli import projection
from wepeople_projections.commands.load import load_file
from wepeople_projections.skeleton import class_name

ROOT = Path(__file__).parents[2]


def new(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(projection, ["new", *arguments])
    return result.exit_code, result.output


def on_the_paths(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command], capture_output=True, text=True, timeout=100, check=False, env=dict(os.environ))


@pytest.mark.parametrize("name", ["deploys", "on_call", "x" * 48])
def test_what_is_written_is_a_projection_and_its_test_passes(tmp_path: Path, name: str) -> None:
    code, output = new(name, "--in", str(tmp_path))
    assert code == 0, output
    assert load_file(str(tmp_path / f"{name}.py")).definition.schema == f"{name}_v1"
    tested = on_the_paths(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path)
    assert tested.returncode == 0, tested.stdout
    assert "1 passed" in tested.stdout
    assert "arning" not in tested.stdout + tested.stderr


def test_settings_of_pytest_that_are_there_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    new("deploys", "--in", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deploys.py", "pyproject.toml", "test_deploys.py"]


def test_a_second_projection_in_a_folder_finds_the_settings_of_the_first(tmp_path: Path) -> None:
    for name in ("deploys", "reviews"):
        assert new(name, "--in", str(tmp_path))[0] == 0
    assert len(list(tmp_path.iterdir())) == 5


def test_the_written_test_fails_when_the_projection_is_wrong(tmp_path: Path) -> None:
    new("deploys", "--in", str(tmp_path))
    path = tmp_path / "deploys.py"
    path.write_text(path.read_text().replace("event.event_type, 1,", "event.event_type, 2,"))
    tested = on_the_paths(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path)
    assert tested.returncode == 1
    assert "1 failed" in tested.stdout


def test_what_is_written_is_typed_and_formatted(tmp_path: Path) -> None:
    new("on_call", "--in", str(tmp_path))
    files = sorted(tmp_path.glob("*.py"))
    tools = Path(sys.executable).parent
    formatted = on_the_paths(tools / "ruff", "format", "--isolated", "--line-length", "120", "--check", *files)
    assert formatted.returncode == 0, formatted.stdout
    config = f"--config-file={ROOT / 'pyproject.toml'}"
    typed = on_the_paths(tools / "mypy", config, "--cache-dir", tmp_path / "cache", tmp_path / "on_call.py")
    assert typed.returncode == 0, typed.stdout


def test_nothing_is_overwritten_and_nothing_written_beside_it(tmp_path: Path) -> None:
    (tmp_path / "test_deploys.py").write_text("mine")
    code, output = new("deploys", "--in", str(tmp_path))
    assert code == 2
    assert "is there already" in output
    assert [path.name for path in tmp_path.iterdir()] == ["test_deploys.py"]
    assert (tmp_path / "test_deploys.py").read_text() == "mine"


@pytest.mark.parametrize("name", ["Deploys", "json", "class", "deploys_v2", "quota"])
def test_a_name_that_would_not_do_is_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    code, output = new(name, "--in", str(tmp_path))
    assert code == 2
    assert "choose a" in output.replace("\n", " ") or "lower case" in output
    assert not list(tmp_path.iterdir())


def test_a_class_has_its_name_in_capitals() -> None:
    assert class_name("on_call_load") == "OnCallLoad"
