"""`wepeople NAME …` loads those members alone that contribute to NAME."""

from importlib.metadata import entry_points

import pytest
import typer

from wepeople_chassis.cli import build

NAMES = sorted({entry.name for entry in entry_points(group="wepeople.commands")})


def commands(only: str = "") -> dict[str, object]:
    return typer.main.get_command(build(only)).commands  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("name", NAMES)
def test_a_command_is_there_under_its_name_and_no_other_is_loaded(name: str) -> None:
    assert list(commands(name)) == [name]


def test_a_group_has_what_several_members_contribute() -> None:
    assert commands("worker")["worker"].commands.keys() == commands()["worker"].commands.keys()  # type: ignore[attr-defined]


@pytest.mark.parametrize("word", ["", "--help", "no-such-command"])
def test_whoever_names_none_of_them_is_shown_all(word: str) -> None:
    assert sorted(commands(word)) == NAMES
