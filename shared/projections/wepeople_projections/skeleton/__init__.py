"""What `wepeople projection new` writes: a projection and its test, filled in with a name, and pytest's settings."""

from importlib.resources import files
from string import Template


def class_name(name: str) -> str:
    """The class of a projection: `on_call` is OnCall."""
    return "".join(part.capitalize() for part in name.split("_"))


def projection_text(name: str) -> str:
    """NAME.py."""
    return _filled("projection.txt", name)


def test_text(name: str) -> str:
    """test_NAME.py."""
    return _filled("test.txt", name)


def pytest_text() -> str:
    """pytest.ini, without which pytest takes those of a parent folder, and warns of a plugin that nobody uses here."""
    return files(__package__).joinpath("pytest.txt").read_text()


def _filled(file: str, name: str) -> str:
    template = Template(files(__package__).joinpath(file).read_text())
    return template.substitute(name=name, Class=class_name(name))
