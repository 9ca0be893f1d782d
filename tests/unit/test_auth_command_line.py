"""What the command line says of itself, without a system that runs."""

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from wepeople_auth import cli

COMMANDS = [
    (cli.org, "org", ["create", "plan", "list"]),
    (cli.app, "app", ["create", "list", "allow"]),
    (cli.key, "key", ["create", "list", "revoke"]),
    (cli.worker, "worker", ["import"]),
]
CASES = [(group, name, command) for group, name, commands in COMMANDS for command in commands]


@pytest.mark.parametrize(("group", "name", "command"), CASES)
def test_every_commands_help_has_an_example(group: typer.Typer, name: str, command: str) -> None:
    root = typer.Typer(rich_markup_mode="markdown")
    root.add_typer(group, name=name)
    result = CliRunner().invoke(root, [name, command, "--help"])
    assert result.exit_code == 0
    assert f"Example: wepeople {name} {command}" in result.output


def test_the_help_of_create_tells_what_each_plan_allows() -> None:
    root = typer.Typer(rich_markup_mode="markdown")
    root.add_typer(cli.org, name="org")
    text = CliRunner().invoke(root, ["org", "create", "--help"]).output
    assert all(words in text for words in ("10,000", "10,000,000", "no limit", "20,000"))


def test_what_help_needs_is_light() -> None:
    heavy = "{'nats', 'pydantic', 'faststream', 'psycopg', 'bcrypt'}"
    code = f"import sys, wepeople_auth.cli; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
